import pytest

from strongroom import profiles
from strongroom.errors import ProfileIncomplete
from strongroom.ini import Document
from strongroom.profiles import Profile
from strongroom.sso.session import Session

CONFIG = """\
[sso-session corp]
sso_start_url = https://corp.example/start
sso_region = eu-west-1

[sso-session wide]
sso_start_url = https://corp.example/start
sso_region = eu-west-1
sso_registration_scopes = sso:account:access, codewhisperer:completions

[profile new]
sso_session = corp

[profile wide]
sso_session = wide

[profile old]
sso_start_url = https://corp.example/start
sso_region = eu-west-1

[profile lost]
sso_session = nosuch
sso_start_url = https://corp.example/start
sso_region = eu-west-1
"""


def session(name):
    document = Document(CONFIG, "/config")
    return Session.of(profiles.resolve(document, name, flags={}, environ={}))


@pytest.mark.parametrize(
    ("name", "session_name", "scopes"),
    [
        ("new", "corp", ("sso:account:access",)),
        ("wide", "wide", ("sso:account:access", "codewhisperer:completions")),
        ("old", "", ()),
        ("lost", "", ()),
    ],
)
def test_what_a_profile_signs_in_to(name, session_name, scopes):
    """A section of its own asks for scopes, so for a refresh token; one that is not there counts as none."""
    found = session(name)
    assert (found.name, found.start_url, found.region) == (session_name, "https://corp.example/start", "eu-west-1")
    assert (found.scopes, found.endpoint.region, found.endpoint.url) == (scopes, "eu-west-1", None)


def test_labels():
    """Each session has its own; clients are shared by those that want the same."""
    new, wide, old = session("new"), session("wide"), session("old")
    assert len({new.label(), wide.label(), old.label(), new.client_label("a"), new.client_label("b")}) == 5
    assert new.label() == session("new").label()
    assert old.client_label("a") == session("lost").client_label("a") != new.client_label("a")
    assert new.label().startswith("https://corp.example/start ")
    assert len(new.label()) == len("https://corp.example/start ") + 16


@pytest.mark.parametrize(
    ("settings", "field", "hint"),
    [
        ({"sso_start_url": "https://c"}, "sso_region", "set sso_region in the profile"),
        ({"sso_region": "eu-west-1"}, "sso_start_url", "set sso_start_url in the profile"),
        (
            {"sso_session": "corp", "sso_start_url": "https://c"},
            "sso_region",
            "set sso_region in [sso-session corp]",
        ),
    ],
)
def test_what_is_missing_is_named(settings, field, hint):
    """Before AWS is asked."""
    with pytest.raises(ProfileIncomplete) as caught:
        Session.of(Profile("p", settings))
    assert (caught.value.field, caught.value.hint) == (field, hint)
    assert caught.value.message == f"profile 'p' takes its credentials from IAM Identity Center and has no {field}"
