import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import narrowing, plan
from strongroom.errors import UsageError
from strongroom.plan import Narrowing, Step
from strongroom.profiles import Profile

ACCOUNT = "111111111111"
RO = f"arn:aws:iam::{ACCOUNT}:role/RO"


# What AWS takes


@pytest.mark.parametrize("arn", [
    RO,
    f"arn:aws-us-gov:iam::{ACCOUNT}:role/team/sub/A_b+=,.@-1",
    f"arn:aws-iso-b:iam::{ACCOUNT}:role/{'x' * 64}",
])  # fmt: skip
def test_a_role(arn):
    """Of any partition, below any path."""
    assert narrowing.role_arn(arn) == arn


@pytest.mark.parametrize("arn", [
    "", "RO", f"arn:aws:iam::{ACCOUNT}:role/", f"arn:aws:iam::{ACCOUNT}:user/jon", "arn:aws:iam::1:role/RO",
    f"arn:aws:iam::{ACCOUNT}:role/{'x' * 65}", f"{RO}\n", f"arn:gcp:iam::{ACCOUNT}:role/RO", f"arn:aws:sts::{ACCOUNT}:role/RO",
    f"arn:aws:iam::{ACCOUNT}:role/\u00e4", "arn:aws:iam::\u0661" + "1" * 11 + ":role/RO",
])  # fmt: skip
def test_no_role(arn):
    """Anything else is no role's ARN."""
    with pytest.raises(ValueError, match="is not the ARN of a role: it should be like arn:aws:iam::ACCOUNT:role/NAME"):
        narrowing.role_arn(arn)


TAG = st.text(st.characters(categories=["L", "N", "Zs"], include_characters="_.:/=+-@"), min_size=1, max_size=128)


@given(TAG.filter(lambda key: not key.lower().startswith("aws:")), TAG)
def test_tags_of_any_script(key, value):
    """Letters, digits and blanks of any script, and the marks that AWS names."""
    narrowing.tags([(key, value)])
    narrowing.tags([(key, "")])


@given(st.text(st.characters(categories=["P", "S", "C"], exclude_characters="_.:/=+-@\t\n\r\v\f\x1c\x1d\x1e\x1f\x85")))
def test_marks_that_no_tag_may_have(marks):
    """Are refused by name."""
    if marks:
        with pytest.raises(ValueError, match="AWS takes letters, digits, blanks and"):
            narrowing.tags([("key", marks)])


def test_policies_are_counted_once():
    """The order is kept, which makes messages and calls repeatable."""
    arns = [f"arn:aws:iam::aws:policy/job-function/{name}" for name in "bab"]
    assert narrowing.policy_arns(arns) == (arns[0], arns[1])
    assert narrowing.policy_arns([]) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON), JSON.filter(bool), st.sampled_from([None, 1, "\t"]))
def test_a_policy_is_sent_as_it_was_meant(others, statement, indent):
    """Nothing but blanks is taken out of it, and only characters that AWS takes are in it."""
    fields = others | {"Statement": statement}
    text = json.dumps(fields, indent=indent, ensure_ascii=False)
    try:
        sent = narrowing.policy(text)
    except ValueError as error:
        assert "characters without blanks" in str(error)  # noqa: PT017 - it may be too long, and only that
        return
    assert json.loads(sent) == fields
    assert list(json.loads(sent)) == list(fields)
    assert sent.isascii()
    assert len(sent) <= narrowing.MOST_POLICY


# The plan


def step(kind, name="ro", role=RO, **more):
    profile = Profile(name, {"role_arn": role, "session_tags": (("a", "1"),)})
    return Step(kind, profile, f"profile {name!r} has role {role} and no mfa_serial", duration_seconds=3600, **more)


KEY = Step(plan.KEY, Profile("jon", {}), "a key")


def test_the_last_step_is_narrowed():
    """All that it was stays; what it is for grows, and gives it a name of its own."""
    last = step(plan.ASSUME_ROLE, serial="m", wanted_seconds=900, fingerprint={"roles": [RO]}, notes=("note",))
    wish = Narrowing("ro", ("--session-policy", "--tags"), policy='{"Statement":[1]}', policy_arns=("b", "a"))
    first, narrowed = narrowing.narrow((KEY, last), wish)
    assert first is KEY
    assert (narrowed.kind, narrowed.profile, narrowed.serial, narrowed.duration_seconds, narrowed.wanted_seconds) == (
        plan.ASSUME_ROLE, last.profile, "m", 3600, 900,
    )  # fmt: skip
    assert (narrowed.notes, narrowed.narrowing) == (("note",), wish)
    assert narrowed.reason == f"{last.reason}; a session of its own, because of --session-policy and --tags"
    assert narrowed.fingerprint.keys() == {"roles", "policy", "policy_arns"}
    assert narrowed.fingerprint["policy_arns"] == ["a", "b"]
    assert json.loads(json.dumps(narrowed.fingerprint)) == narrowed.fingerprint
    assert last.fingerprint == {"roles": [RO]}


def marks(*wishes):
    return [narrowing.narrow((step(plan.ASSUME_ROLE),), Narrowing("ro", ("--x",), **wish))[-1].slot for wish in wishes]


def test_a_policy_in_another_order_is_the_same():
    """Members of objects have no order; those of lists do."""
    one, same, other, arns, neither = marks(
        {"policy": '{"Statement":[{"a":1,"b":2},3]}'},
        {"policy": '{"Statement":[{"b":2,"a":1},3]}'},
        {"policy": '{"Statement":[3,{"a":1,"b":2}]}'},
        {"policy_arns": ("a",)},
        {},
    )
    assert one == same
    assert len({one, other, arns, neither}) == 4


def test_the_source_of_a_direct_role_is_not_its_profile():
    """Its reason speaks of the flag, for there is no profile of that name."""
    (narrowed,) = narrowing.narrow((step(plan.ASSUME_ROLE, name=RO),), Narrowing("jon", ("--role",)))
    assert narrowed.reason == f"--role {RO} and no mfa_serial; a session of its own, because of --role"


@pytest.mark.parametrize(("kind", "why"), [
    (plan.KEY, "a long-term key can do all that its user may"),
    (plan.SESSION_TOKEN, "GetSessionToken takes nothing that narrows a session"),
    (plan.SSO_ROLE, "IAM Identity Center takes nothing that narrows a session"),
    (plan.SOURCE, "credential_source brings credentials as they are"),
])  # fmt: skip
def test_what_cannot_be_narrowed(kind, why):
    """The reason, and the way that there is."""
    with pytest.raises(UsageError) as caught:
        narrowing.narrow((step(kind, role=None),), Narrowing("ro", ("--session-policy", "--source-identity", "--tags")))
    assert caught.value.message == (
        f"--session-policy, --source-identity and --tags: the credentials of profile 'ro' cannot be narrowed: {why}"
    )
    assert caught.value.hint == "assume a role with its credentials: --role ARN --source ro"
