import itertools

import pytest

from fakes.browser import Browser
from fakes.centers import center, center_server  # noqa: F401 - fixtures
from fakes.identity_center import START_URL
from strongroom.aws import client, sso
from strongroom.aws.client import Endpoint
from strongroom.credentials import Credentials
from strongroom.errors import AwsRefused, AwsUnreachable
from strongroom.profiles import Profile

ACCOUNT = "111111111111"


class Clock:
    """Stands still but for waiting."""

    def __init__(self):
        self.time, self.waited = 100.0, []

    def now(self):
        return self.time

    def sleep(self, seconds):
        self.waited.append(seconds)
        self.time += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def endpoint(center):  # noqa: F811
    return Endpoint("eu-west-1", center.url)


@pytest.fixture
def oidc(endpoint):
    return sso.Oidc(endpoint)


@pytest.fixture
def portal(endpoint, clock):
    """The portal, where chance is always in the middle."""
    return sso.Portal(endpoint, sleep=clock.sleep, now=clock.now, chance=lambda: 0.5)


@pytest.fixture
def access_token(center, oidc):  # noqa: F811
    """Of a human who has signed in; what was asked for until then is forgotten."""
    me = oidc.register()
    started = oidc.start_device_authorization(me, START_URL)
    Browser().open(started.complete_url)
    granted = oidc.token_for_device(me, started.device_code)
    center.asked.clear()
    return granted.access_token


def test_each_setting_of_a_profile_reaches_the_endpoint():
    """The region is that of Identity Center, not that of the profile."""
    settings = {"sso_region": "eu-north-1", "region": "us-east-1", "endpoint_url": "https://e", "use_fips_endpoint": True,
                "use_dualstack_endpoint": True, "ca_bundle": "/ca.pem", "sts_endpoint_url": "https://s"}  # fmt: skip
    found = sso.endpoint(Profile("p", settings))
    assert {name: getattr(found, name) for name in Endpoint.__slots__} == {
        "ca_bundle": "/ca.pem", "dualstack": True, "fips": True, "legacy_sts": False, "region": "eu-north-1",
        "url": "https://e",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        (Endpoint("eu-west-1"), "https://oidc.eu-west-1.amazonaws.com"),
        (Endpoint("cn-north-1"), "https://oidc.cn-north-1.amazonaws.com.cn"),
        (Endpoint("us-east-1", dualstack=True), "https://oidc.us-east-1.api.aws"),
        (Endpoint("us-east-1", "http://localhost:1/"), "http://localhost:1"),
    ],
)
def test_where_a_browser_is_sent(endpoint, base):
    """To the same server that is asked for tokens."""
    me = sso.Registration("i d", "secret", 1)
    url = sso.Oidc(endpoint).authorize_url(
        me, redirect_uri="http://127.0.0.1:1/oauth/callback", state="s&t", challenge="c", scopes=("a:b", "c")
    )
    assert url == (
        f"{base}/authorize?response_type=code&client_id=i+d&redirect_uri=http%3A%2F%2F127.0.0.1%3A1%2Foauth%2Fcallback"
        "&state=s%26t&code_challenge_method=S256&code_challenge=c&scopes=a%3Ab+c"
    )


def test_nothing_shows_a_secret(center, oidc):  # noqa: F811
    """Neither clients, nor codes, nor tokens."""
    me = oidc.register(scopes=["sso:account:access"])
    started = oidc.start_device_authorization(me, START_URL)
    Browser().open(started.complete_url)
    granted = oidc.token_for_device(me, started.device_code)
    secrets = [me.client_secret, started.device_code, granted.access_token, granted.refresh_token]
    assert all(secrets)
    assert not [secret for secret in secrets if secret in repr([me, started, granted])]


def test_a_refresh_token(center, oidc):  # noqa: F811
    """Is exchanged for an access token and another refresh token; in OAuth's words if not."""
    me = oidc.register(scopes=["sso:account:access"])
    started = oidc.start_device_authorization(me, START_URL)
    Browser().open(started.complete_url)
    first = oidc.token_for_device(me, started.device_code)
    second = oidc.refresh(me, first.refresh_token)
    assert (second.access_token in center.access, second.refresh_token in center.refreshes) == (True, True)
    with pytest.raises(AwsRefused) as caught:
        oidc.refresh(me, first.refresh_token)
    assert (caught.value.code, caught.value.status, caught.value.message) == (
        "InvalidGrantException", 400,
        "sso-oidc CreateToken was refused (InvalidGrantException): Invalid refresh token provided",
    )  # fmt: skip


def test_role_credentials(center, portal, access_token):  # noqa: F811
    """As STS has them; the portal's milliseconds are rounded down."""
    got = portal.get_role_credentials(access_token, account_id=ACCOUNT, role_name="Admin")
    key = center.keys[got.access_key_id]
    assert got == Credentials(key.access_key_id, key.secret_access_key, key.session_token, int(key.expires_at))
    assert center.asked[0].members == {"accessToken": access_token, "account_id": ACCOUNT, "role_name": "Admin"}


def test_pages(center, portal, access_token):  # noqa: F811
    """Are followed to the end; one that leads to itself is the end."""
    center.account("222222222222", "A", "B", "C")
    center.account("333333333333")
    assert [each["accountId"][0] for each in portal.list_accounts(access_token)] == ["1", "2", "3"]
    assert [each["roleName"] for each in portal.list_account_roles(access_token, "222222222222")] == ["A", "B", "C"]
    assert center.operations == ["ListAccounts", "ListAccounts", "ListAccountRoles", "ListAccountRoles"]
    center.answer_with("ListAccounts", {"accountList": [{"accountId": "1"}], "nextToken": "x"}, times=2)
    assert len(list(portal.list_accounts(access_token))) == 2
    center.answer_with("ListAccounts", {})
    assert list(portal.list_accounts(access_token)) == []


def test_logging_out(center, portal, access_token):  # noqa: F811
    """Ends the session: the token is refused from then on."""
    portal.logout(access_token)
    with pytest.raises(AwsRefused) as caught:
        portal.logout(access_token)
    assert (caught.value.status, caught.value.message) == (
        401, "sso Logout was refused (UnauthorizedException): Session token not found or invalid",
    )  # fmt: skip


# A portal that is busy


def test_too_many_requests(center, portal, clock, access_token):  # noqa: F811
    """Are waited out: longer each time, by chance, and never as long as to be forgotten."""
    center.throttle("ListAccounts", times=7)
    assert list(portal.list_accounts(access_token))
    assert clock.waited == pytest.approx([0.15, 0.3, 0.6, 1.2, 2.4, 3.75, 3.75])


def test_retry_after(center, portal, clock, access_token):  # noqa: F811
    """Is obeyed, and chance added, for all were told the same."""
    center.throttle("ListAccounts", retry_after="7")
    center.throttle("ListAccounts", retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert list(portal.list_accounts(access_token))
    assert clock.waited == pytest.approx([7.15, 0.3])


@pytest.mark.parametrize(
    ("retry_after", "tries", "seconds"), [("", 20, 60), ("61", 1, 0), ("25", 3, 60), ("9" * 400, 1, 0)]
)
def test_patience_ends(center, portal, clock, access_token, retry_after, tries, seconds):  # noqa: F811
    """After a minute, or at once if a longer wait is asked for."""
    center.throttle("ListAccounts", times=99, retry_after=retry_after)
    with pytest.raises(AwsRefused) as caught:
        list(portal.list_accounts(access_token))
    assert (caught.value.status, caught.value.hint) == (429, "AWS limits the rate of calls: try again in a moment")
    assert center.count("ListAccounts") == tries
    assert sum(clock.waited) <= seconds


@pytest.mark.parametrize(("failures", "is_right"), [(2, True), (3, False)])
def test_trouble_at_the_servers_side(center, portal, clock, access_token, failures, is_right):  # noqa: F811
    """Is met as often as by any other service."""
    kinds = itertools.cycle([lambda: center.fail("ListAccounts", code="InternalServerException", status=500),
                             lambda: center.cut("ListAccounts")])  # fmt: skip
    for _ in range(failures):
        next(kinds)()
    center.throttle("ListAccounts", times=2)
    if is_right:
        assert list(portal.list_accounts(access_token))
        return
    with pytest.raises((AwsRefused, AwsUnreachable)):
        list(portal.list_accounts(access_token))
    assert center.count("ListAccounts") == 3


def test_a_refusal_is_not_repeated(center, portal, clock, access_token):  # noqa: F811
    """It would be the same again."""
    with pytest.raises(AwsRefused) as caught:
        portal.get_role_credentials(access_token, account_id=ACCOUNT, role_name="Nosuch")
    assert (caught.value.status, caught.value.message) == (
        403, "sso GetRoleCredentials was refused (ForbiddenException): No access",
    )  # fmt: skip
    assert (clock.waited, center.count("GetRoleCredentials")) == ([], 1)


# Answers that make no sense


@pytest.mark.parametrize("member", ["accessKeyId", "secretAccessKey", "sessionToken", "expiration"])
@pytest.mark.parametrize("value", [None, "", "evil\nHeader: x", "ä", 0])
def test_credentials_that_make_no_sense(center, portal, clock, access_token, member, value):  # noqa: F811
    """Are none; no value is repeated."""
    right = {"accessKeyId": "AKIA", "secretAccessKey": "s", "sessionToken": "t", "expiration": 1}
    if member == "expiration" and isinstance(value, str):
        value = -1
    center.answer_with("GetRoleCredentials", {"roleCredentials": right | {member: value}}, times=9)
    with pytest.raises(AwsUnreachable) as caught:
        portal.get_role_credentials(access_token, account_id=ACCOUNT, role_name="Admin")
    assert caught.value.message == f"sso GetRoleCredentials was answered without a usable {member}"


def test_no_credentials_at_all(center, portal, clock, access_token):  # noqa: F811
    """The same."""
    center.answer_with("GetRoleCredentials", {})
    with pytest.raises(AwsUnreachable, match="without a usable accessKeyId"):
        portal.get_role_credentials(access_token, account_id=ACCOUNT, role_name="Admin")


@pytest.mark.parametrize("member", ["clientId", "clientSecret", "clientSecretExpiresAt"])
def test_a_client_that_makes_no_sense(center, oidc, member):  # noqa: F811
    """Is none."""
    center.answer_with(
        "RegisterClient", {"clientId": "i", "clientSecret": "s", "clientSecretExpiresAt": 9} | {member: None}
    )
    with pytest.raises(AwsUnreachable) as caught:
        oidc.register()
    assert caught.value.message == f"sso-oidc RegisterClient was answered without a usable {member}"


def test_how_long_an_error_asks_to_be_left_alone():
    """Nothing, unless it is about an answer that says so."""
    assert client.retry_after_seconds(AwsUnreachable("no")) == 0
