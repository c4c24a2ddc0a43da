from types import SimpleNamespace

import pytest

from fakes.browser import Browser
from fakes.centers import center, center_server  # noqa: F401 - fixtures
from fakes.identity_center import START_URL
from sso.surroundings import ACCOUNT, World, profile
from strongroom.errors import AwsRefused, ProfileIncomplete
from strongroom.plan import SSO_ROLE, Step
from strongroom.providers import sso


@pytest.fixture
def surroundings(center, tmp_path):  # noqa: F811
    """Surroundings with a browser."""
    return World(center, tmp_path / "locks", Browser())


@pytest.fixture
def retrieve(center, surroundings):  # noqa: F811
    """Take the step of a profile in the older form, with these settings."""

    def retrieve(**settings):
        step = Step(SSO_ROLE, profile(center, START_URL, session="", **settings), "why not", slot=START_URL)
        return sso.retrieve(step, None, SimpleNamespace(sso=lambda: surroundings))

    return retrieve


def test_the_first_time(center, retrieve):  # noqa: F811
    """Sign in, then ask for the role's credentials, which last as long as the portal says."""
    got = retrieve()
    assert center.operations == ["RegisterClient", "StartDeviceAuthorization", "CreateToken", "GetRoleCredentials"]
    key = center.keys[got.access_key_id]
    assert (key.kind, key.arn.split("/")[1]) == ("role", "AWSReservedSSO_Admin_0123456789abcdef")
    assert got.expiration == int(key.expires_at)


def test_with_a_token(center, retrieve):  # noqa: F811
    """Only for the credentials; of another role or account too."""
    retrieve()
    center.asked.clear()
    retrieve(sso_role_name="ReadOnly", name="other")
    assert [asked.members["role_name"] for asked in center.asked] == ["ReadOnly"]


def test_a_token_that_is_revoked(center, surroundings, retrieve):  # noqa: F811
    """Is dropped; one more sign-in, one more try."""
    retrieve()
    center.asked.clear()
    center.revoke_access()
    assert retrieve().session_token
    assert center.operations == [
        "GetRoleCredentials", "StartDeviceAuthorization", "CreateToken", "GetRoleCredentials",
    ]  # fmt: skip
    center.fail("GetRoleCredentials", code="UnauthorizedException", status=401, times=9)
    with pytest.raises(AwsRefused) as caught:
        retrieve()
    assert (caught.value.status, center.count("GetRoleCredentials")) == (401, 4)
    assert surroundings.tokens == {}


def test_too_many_requests(center, surroundings, retrieve):  # noqa: F811
    """Are waited out, as long as the portal asks."""
    center.throttle("GetRoleCredentials", times=2, retry_after="2")
    assert retrieve().session_token
    assert [int(seconds) for seconds in surroundings.waited] == [2, 2]


@pytest.mark.parametrize(
    ("settings", "status", "code"),
    [
        ({"sso_role_name": "Nosuch"}, 403, "ForbiddenException"),
        ({"sso_account_id": "999999999999"}, 403, "ForbiddenException"),
        ({}, 404, "ResourceNotFoundException"),
    ],
)
def test_a_role_that_is_not_theirs(center, retrieve, settings, status, code):  # noqa: F811
    """Is named, with account, profile and AWS's words."""
    if not settings:
        center.fail("GetRoleCredentials", code=code, status=status, message="No access")
    with pytest.raises(AwsRefused) as caught:
        retrieve(**settings)
    named = {"sso_role_name": "Admin", "sso_account_id": ACCOUNT} | settings
    assert (caught.value.code, caught.value.status) == (code, status)
    told = "No access" if settings else "no reason given"
    assert caught.value.message == (
        f"profile 'dev': whoever signed in to {START_URL} has no role {named['sso_role_name']!r} in account "
        f"{named['sso_account_id']!r}: sso GetRoleCredentials was refused ({code}): {told}"
    )
    assert caught.value.hint == "check sso_account_id and sso_role_name, and which user the browser signs in"


@pytest.mark.parametrize("field", ["sso_account_id", "sso_role_name", "sso_start_url", "sso_region"])
def test_what_is_missing_is_named(center, surroundings, retrieve, field):  # noqa: F811
    """Before anybody is asked to sign in."""
    with pytest.raises(ProfileIncomplete) as caught:
        retrieve(**{field: ""})
    assert (caught.value.name, caught.value.field) == ("dev", field)
    assert caught.value.message == f"profile 'dev' takes its credentials from IAM Identity Center and has no {field}"
    assert (center.asked, surroundings.told) == ([], [])


def test_an_empty_region_of_sso_is_not_the_profiles(center, retrieve):  # noqa: F811
    """Identity Center is in one region, and that may be another one."""
    with pytest.raises(ProfileIncomplete):
        retrieve(sso_region="", region="eu-west-1")
