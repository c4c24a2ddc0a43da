import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import ini, vault
from strongroom.sso.discovery import Role
from strongroom.sso.names import TEMPLATE, Template, assign

A, B = "111111111111", "222222222222"


def names(roles, template=TEMPLATE, taken=(), session="corp"):
    return list(assign(roles, Template(template), session, taken).values())


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (TEMPLATE, "Prod-EU-Admin"),
        ("{account_id}_{role_name}", f"{A}_Admin"),
        ("{session}/{role_name}", "corp/Admin"),
        ("{email}", "ops@corp.example"),
        ("aws.{account_name}", "aws.Prod-EU"),
        ("only", "only"),
    ],
)
def test_a_template(template, name):
    """What is in braces is put in, with a dash for what would have to be quoted; the rest stays."""
    assert names([Role("Prod (EU)", A, "Admin", "ops@corp.example")], template) == [name]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("", "'' cannot begin a name"),
        ("-{role_name}", "'-{role_name}' cannot begin a name"),
        ("{role}", "'{role}' holds something in braces that is none of {account_name}, {account_id}, {role_name}, {email}, "
                   "{session}"),
        ("{role_name!r}", "'{role_name!r}' holds something in braces that is none of {account_name}, {account_id}, "
                          "{role_name}, {email}, {session}"),
        ("{role_name:>99999999999}", "'{role_name:>99999999999}' holds something in braces that is none of {account_name}, "
                                     "{account_id}, {role_name}, {email}, {session}"),
        ("{}", "'{}' holds something in braces that is none of {account_name}, {account_id}, {role_name}, {email}, {session}"),
        ("{role_name.__class__}", "'{role_name.__class__}' holds something in braces that is none of {account_name}, "
                                  "{account_id}, {role_name}, {email}, {session}"),
        ("{role_name", "'{role_name': expected '}' before end of string"),
        ("a b", "' ' cannot be part of a name"),
        ("a]", "']' cannot be part of a name"),
        ("a:{role_name}", "':' cannot be part of a name"),
        ("{{x", "'{' cannot be part of a name"),
    ],
)  # fmt: skip
def test_no_template(template, reason):
    """Why, in so many words."""
    with pytest.raises(ValueError) as caught:
        Template(template)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("roles", "template", "expected"),
    [
        ([Role("dev", A, "Admin"), Role("dev", B, "Admin")], TEMPLATE, [f"dev-Admin-{A}", f"dev-Admin-{B}"]),
        ([Role("dev", A, "Admin"), Role("dev", B, "Ops")], TEMPLATE, ["dev-Admin", "dev-Ops"]),
        ([Role("dev", A, "Admin"), Role("dev", A, "Ops")], "{account_name}", [f"dev-{A}-Admin", f"dev-{A}-Ops"]),
        ([Role("dev", A, "Admin"), Role("dev", A, "Ops")], "{account_id}", [f"{A}-Admin", f"{A}-Ops"]),
        ([Role("", A, "a@b"), Role("", A, "a,b"), Role("", A, "a-b")], TEMPLATE,
         [f"{A}-a@b", f"{A}-a-b-{A}-2", f"{A}-a-b-{A}-3"]),
        ([Role("***", A, "Admin")], TEMPLATE, [f"{A}-Admin"]),
        ([Role("default", A, "Admin")], "{account_name}", [f"default-{A}"]),
        ([Role("--help", A, "Admin")], "{account_name}", ["help"]),
    ],
)  # fmt: skip
def test_names_that_would_be_the_same(roles, template, expected):
    """All of those get more, until they differ."""
    assert sorted(names(roles, template)) == sorted(expected)


def test_taken():
    """What somebody has is not given again."""
    role = Role("dev", A, "Admin")
    assert names([role], taken={"dev-Admin"}) == [f"dev-Admin-{A}"]
    assert names([role], taken={"dev-Admin", f"dev-Admin-{A}"}) == [f"dev-Admin-{A}-2"]


ROLES = st.lists(
    st.builds(
        Role,
        st.text(max_size=6) | st.sampled_from(["dev", "Dev", "default"]),
        st.sampled_from([A, B]),
        st.text(alphabet="ab+=,.@-_", min_size=1, max_size=4),
        st.text(max_size=4),
    ),
    max_size=8,
)
TEMPLATES = st.sampled_from(
    [TEMPLATE, "{account_name}", "{role_name}", "x", "{email}/{session}", "{account_id}-{role_name}"]
)


@given(ROLES, TEMPLATES, st.sets(st.sampled_from(["dev-a", "dev", "x", "a", f"dev-{A}"])))
def test_names_are_usable(roles, template, taken):
    """For any roles: each has a name, no two the same, none taken; in any order the same; and the file takes them."""
    made = assign(roles, Template(template), "corp", taken)
    assert set(made) == set(roles)
    assert len(set(made.values())) == len(made)
    assert not set(made.values()) & {*taken, "default"}
    assert assign(reversed(roles), Template(template), "corp", taken) == made
    for name in made.values():
        assert vault.kind_of(name) == vault.CREDENTIAL
        assert not name.startswith("-")
        text = ini.append_section("", f"profile {name}", {"region": "x"})
        assert ini.Document(text).section(f"profile {name}") is not None
