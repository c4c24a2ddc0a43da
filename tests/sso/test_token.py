import json
import tarfile
from pathlib import Path

import pytest

from fakes.browser import Browser
from fakes.identity_center import START_URL
from sso.surroundings import NoBrowser, World, profile
from sso.test_pkce import Later
from strongroom import lock
from strongroom.aws import sso
from strongroom.credentials import show_time
from strongroom.errors import (
    AwsError,
    AwsRefused,
    AwsUnreachable,
    KeystoreError,
    LockTimeout,
    ProfileIncomplete,
    PromptDismissed,
    PromptFailed,
)
from strongroom.keystore.file import FileKeystore
from strongroom.sso import token
from strongroom.sso.session import Session

GOLDEN = Path(__file__).parent.parent / "vectors" / "golden.tar.gz"


@pytest.fixture
def world(center, tmp_path):
    """Surroundings with a browser that goes its own way."""
    made = World(center, tmp_path / "locks", Later())
    yield made
    if hasattr(made.browser, "thread"):
        made.browser.thread.join(30)


@pytest.fixture
def dev(center):
    """A profile of an sso-session."""
    return profile(center, START_URL)


@pytest.fixture
def old(center, world):
    """A profile in the older form; the browser is done when it comes back."""
    world.browser = Browser()
    return profile(center, START_URL, session="")


def aws_vault(access_token, expires_at, **more):
    """What aws-vault stores."""
    inner = {"AccessToken": access_token, "ExpiresIn": 28800, "IdToken": None, "RefreshToken": None, "TokenType": "Bearer",
             "ResultMetadata": {}}  # fmt: skip
    return {"Token": inner, "Expiration": show_time(expires_at), **more}


def holding(world):
    """The lock, taken by somebody else."""
    return lock.hold(world.lock_directory, f"signing in to {START_URL} in eu-west-1", command="strongroom export other")


# Getting one


def test_the_first_time(center, world, dev):
    """A browser is opened; the access token is stored as aws-vault stores it, the refresh token among our own items."""
    got = token.access_token(dev, world)
    assert (got.origin, got.access_token in center.access) == (token.SIGNED_IN, True)
    assert got.expires_at == pytest.approx(center.now() + 28_800, abs=5)
    fields, _ = world.tokens[START_URL]
    assert fields == aws_vault(got.access_token, got.expires_at, Strongroom={"region": "eu-west-1"})
    assert list(fields["Token"]) == [
        "AccessToken",
        "ExpiresIn",
        "IdToken",
        "RefreshToken",
        "TokenType",
        "ResultMetadata",
    ]
    (name,) = world.own.names("sso-refresh")
    stored = world.own.get("sso-refresh", name)
    assert stored["refresh_token"] in center.refreshes
    assert (sorted(stored), stored["client_id"]) == (
        ["client_id", "client_secret", "expires_at", "refresh_token"],
        "client-1",
    )
    assert repr(got) == f"<Token signed in, until {show_time(got.expires_at)}>"


def test_the_second_time(center, world, dev):
    """Nobody is asked, and no lock is taken; other profiles of the same start URL are served too."""
    first = token.access_token(dev, world)
    center.asked.clear()
    with holding(world):
        again = token.access_token(dev, world)
        other = token.access_token(profile(center, START_URL, session="other", name="x"), world)
    assert [(each.access_token, each.origin) for each in (again, other)] == [(first.access_token, token.KEPT)] * 2
    assert center.asked == []


def test_the_older_form(center, world, old):
    """Has the human compare a code, without scopes and so without a refresh token."""
    got = token.access_token(old, world)
    assert got.access_token in center.access
    assert center.visits == ["Device", "Decide"]
    assert world.own.names("sso-refresh") == []


@pytest.mark.parametrize("why", ["wanted", "no browser"])
def test_a_session_without_a_browser_here(center, world, dev, why):
    """Is signed in to with a code, from any device: the reason is said."""
    if why == "wanted":
        world.wants_device = "this is a session over SSH"
    else:
        world.browser = NoBrowser()
    world.human, world.comes_after = Browser(), 1
    got = token.access_token(dev, world)
    assert got.access_token in center.access
    assert len(world.own.names("sso-refresh")) == 1
    reason = "this is a session over SSH" if why == "wanted" else "no browser could be opened here"
    assert world.told[-1].endswith(f"({reason})")
    assert len(world.browser.opened) == (0 if why == "wanted" else 1)


def test_a_profile_that_does_not_say_where(world):
    """Is told so before anything is looked at."""
    from strongroom.profiles import Profile

    with pytest.raises(ProfileIncomplete):
        token.access_token(Profile("p", {"sso_session": "corp"}), world)
    assert world.opened == 0


# What is stored


@pytest.mark.parametrize(("left", "is_used"), [(62, True), (58, False), (-1, False)])
def test_how_long_a_token_must_last(center, world, old, left, is_used):
    """A minute; one that has expired is removed before anybody is asked."""
    world.keep_token(START_URL, aws_vault("kept", center.now() + left))
    center.fail("RegisterClient", code="InvalidRequestException", status=400)
    if is_used:
        assert token.access_token(old, world).access_token == "kept"
        return
    with pytest.raises(AwsRefused):
        token.access_token(old, world)
    assert (START_URL in world.tokens) is (left > 0)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"Token": None},
        {"Token": {"AccessToken": None}, "Expiration": "2999-01-01T00:00:00Z"},
        {"Token": {"AccessToken": "a\r\nX: y"}, "Expiration": "2999-01-01T00:00:00Z"},
        {"Token": {"AccessToken": "ä"}, "Expiration": "2999-01-01T00:00:00Z"},
        {"Token": {"AccessToken": "a"}, "Expiration": "soon"},
        {"Token": {"AccessToken": "a"}, "Expiration": None},
        {"Token": {"AccessToken": "a"}, "Expiration": "2999-01-01T00:00:00Z", "Strongroom": {"region": "us-east-1"}},
    ],
)
def test_what_is_no_token(center, world, dev, fields):
    """Counts as none: another one takes its place."""
    world.keep_token(START_URL, fields)
    assert token.access_token(dev, world).origin == token.SIGNED_IN


def test_the_token_of_aws_vault(center, world, old, tmp_path):
    """Is used while it lasts."""
    with tarfile.open(GOLDEN) as archive:
        archive.extractall(tmp_path, filter="data")
    (keys,) = [path for path in tmp_path.rglob("keys") if path.is_dir()]
    data = FileKeystore(str(keys), lambda *_, **__: "correct horse").get("oidc:https://corp.example/start").data
    world.keep_token(START_URL, json.loads(data))
    expires_at = token._read(json.loads(data), Session.of(old)).expires_at
    world.now = lambda: expires_at - 3600
    assert token.access_token(old, world).access_token == json.loads(data)["Token"]["AccessToken"]
    assert center.asked == []


def test_a_store_that_is_full(center, world, dev, monkeypatch):
    """Costs the next one a sign-in, not this one."""

    def refuse(*_):
        raise KeystoreError("the disk is full")

    world.keep_token = refuse
    assert token.access_token(dev, world).access_token in center.access
    assert world.warned == ["the sign-in could not be stored, so the next command asks again: the disk is full"]


# Refreshing


def signed_in(center, world, profile, age):
    """Sign in, and let time pass; then it is all about refreshing."""
    got = token.access_token(profile, world)
    center.pass_time(age)
    center.asked.clear()
    center.visits.clear()
    world.told.clear()
    return got


@pytest.mark.parametrize("age", [28_800 + 3600, 28_800 - 200], ids=["at hour nine", "before it ends"])
@pytest.mark.parametrize("rotates", [True, False])
def test_a_token_that_ends_is_refreshed(center, world, dev, age, rotates):
    """Without a browser, with the client that it belongs to; the refresh token that comes back is stored, or the old goes on."""
    first = signed_in(center, world, dev, age)
    center.rotates = rotates
    second = token.access_token(dev, world)
    assert (second.origin, second.access_token != first.access_token) == (token.REFRESHED, True)
    assert (center.operations, center.visits, world.told) == (["CreateToken"], [], [])
    assert center.asked[0].members["grantType"] == "refresh_token"
    center.pass_time(28_800)
    assert token.access_token(dev, world).origin == token.REFRESHED
    assert token.access_token(dev, world).origin == token.KEPT


def test_a_session_that_has_ended(center, world, dev):
    """Its refresh token is dropped, and the human signs in."""
    signed_in(center, world, dev, 28_800)
    center.end_sessions()
    before = world.own.get("sso-refresh", world.own.names("sso-refresh")[0])
    assert token.access_token(dev, world).origin == token.SIGNED_IN
    assert center.operations == ["CreateToken", "CreateToken"]  # the client is still good
    assert world.own.get("sso-refresh", world.own.names("sso-refresh")[0]) != before


def test_a_session_that_has_ended_and_nobody_comes(center, world, dev):
    """The refresh token is gone then, too."""
    signed_in(center, world, dev, 28_800)
    center.end_sessions()
    world.browser = Later("deny")
    with pytest.raises(PromptDismissed):
        token.access_token(dev, world)
    assert world.own.names("sso-refresh") == []


def test_a_session_that_has_ended_while_the_token_lasts(center, world, dev):
    """The token is used to its end, and the refresh token dropped."""
    first = signed_in(center, world, dev, 28_800 - 200)
    center.fail("CreateToken", code="InvalidGrantException", status=400)
    for _ in range(2):
        assert token.access_token(dev, world).access_token == first.access_token
    assert center.operations == ["CreateToken"]
    assert world.own.names("sso-refresh") == []


TROUBLES = {
    "500": {"code": "InternalServerException", "status": 500},
    "429": {"code": "TooManyRequestsException", "status": 429},
    "slow down": {"code": "SlowDownException", "status": 400},
}


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_at_the_server(center, world, dev, trouble, monkeypatch):
    """Keeps the refresh token: the command fails, and says so; the next one goes on as if nothing had been."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    signed_in(center, world, dev, 28_800)
    center.fail("CreateToken", times=9, message="not now", **TROUBLES[trouble])
    with pytest.raises(AwsRefused) as caught:
        token.access_token(dev, world)
    code = TROUBLES[trouble]["code"]
    assert caught.value.message == (
        f"the sign-in to {START_URL} could not be renewed: sso-oidc CreateToken was refused ({code}): not now"
    )
    assert caught.value.hint == "try again in a moment: the sign-in itself is kept"
    assert center.visits == []
    center.heal()
    assert token.access_token(dev, world).origin == token.REFRESHED


def test_no_answer(center, world, dev, monkeypatch):
    """The same; and while a token lasts, it is used, with a warning."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    first = signed_in(center, world, dev, 28_800 - 200)
    with center.down():
        assert token.access_token(dev, world).access_token == first.access_token
    assert world.warned[0].startswith(f"the sign-in to {START_URL} lasts for 3m")
    assert ", and cannot be renewed now: sso-oidc CreateToken did not reach AWS: " in world.warned[0]
    center.pass_time(200)
    with center.down(), pytest.raises(AwsUnreachable) as caught:
        token.access_token(dev, world)
    assert caught.value.hint == "try again in a moment: the sign-in itself is kept"
    assert token.access_token(dev, world).origin == token.REFRESHED


def test_another_refusal(center, world, dev):
    """Leads to the browser; the refresh token is not blamed for it before a new one is there."""
    signed_in(center, world, dev, 28_800)
    center.fail("CreateToken", code="InvalidRequestException", status=400)
    assert token.access_token(dev, world).origin == token.SIGNED_IN


def test_a_client_that_has_expired(center, world, dev):
    """Cannot refresh any more: nobody is asked in vain."""
    signed_in(center, world, dev, 91 * 86_400)
    assert token.access_token(dev, world).origin == token.SIGNED_IN
    assert center.operations == ["RegisterClient", "CreateToken"]


def test_a_client_that_the_server_has_forgotten(center, world, dev):
    """Is dropped with its refresh token, and registered anew before the human is sent to sign in with it."""
    signed_in(center, world, dev, 28_800)
    center.forget_clients()
    assert token.access_token(dev, world).origin == token.SIGNED_IN
    assert center.operations == ["CreateToken", "RegisterClient", "CreateToken"]


def test_a_refresh_token_that_is_damaged(center, world, dev):
    """Is none."""
    signed_in(center, world, dev, 28_800)
    world.own.put("sso-refresh", Session.of(dev).label(), {"refresh_token": 3})
    assert token.access_token(dev, world).origin == token.SIGNED_IN


def test_two_sessions(center, world, dev):
    """Each refreshes by itself: trouble of one start URL is none of the other's, nor is its lock."""
    other_url = "https://other.example/start"
    center.start_url(other_url)
    other = profile(center, other_url, session="other")
    signed_in(center, world, dev, 0)
    signed_in(center, world, other, 28_800)
    with holding(world):
        assert token.access_token(other, world).origin == token.REFRESHED
        world.lock_wait_seconds = 0
        with pytest.raises(LockTimeout):
            token.access_token(dev, world)
    assert token.access_token(dev, world).origin == token.REFRESHED


# Others


@pytest.mark.parametrize("form", ["dev", "old"])
def test_another_process_has_signed_in(center, world, form, request):
    """While we waited: theirs is ours, whichever way a profile names the start URL."""
    ours = request.getfixturevalue(form)
    with holding(world) as turn:
        looks = []

        def token_changed_at(start_url):
            looks.append(start_url)
            if len(looks) == 3:
                world.keep_token(START_URL, aws_vault("theirs", center.now() + 3600))
            return world.tokens[start_url][1]

        world.token_changed_at = token_changed_at
        world.keep_token(START_URL, aws_vault("old", center.now() + 3600))
        assert token.access_token(ours, world, refused="old").access_token == "theirs"
        assert turn.held
    assert center.asked == []


def test_a_token_is_not_opened_again_while_we_wait(center, world, dev):
    """As long as it is the same: opening costs."""
    world.lock_wait_seconds = 0.5
    world.keep_token(START_URL, aws_vault("old", center.now()))
    with holding(world), pytest.raises(LockTimeout) as caught:
        token.access_token(dev, world)
    assert world.opened == 2
    assert "(strongroom export other) has been busy with" in caught.value.message


def test_another_process_is_about_to_renew_it(center, world, dev):
    """What lasts is used without waiting."""
    first = signed_in(center, world, dev, 28_800 - 200)
    with holding(world):
        assert token.access_token(dev, world).access_token == first.access_token
    assert center.asked == []


FAILURES = [
    (AwsRefused("X", 400, "no", "hint"), AwsRefused),
    (AwsUnreachable("no", "hint"), AwsUnreachable),
    (AwsError("no", "hint"), AwsError),
    (PromptDismissed("no", "hint"), PromptDismissed),
    (PromptFailed("no", "hint"), PromptFailed),
]


@pytest.mark.parametrize(("failure", "kind"), FAILURES)
def test_another_process_has_failed(center, world, dev, failure, kind, monkeypatch):
    """While we waited: so would we, so we say the same and ask nobody."""
    shared = []
    monkeypatch.setattr(token, "_sign_in", lambda *_: (_ for _ in ()).throw(failure))
    monkeypatch.setattr(lock.Lock, "publish", lambda _, told: shared.append(told))
    with pytest.raises(kind):
        token.access_token(dev, world)
    assert shared == [token.tell(failure)]


def test_the_failure_of_another_process(center, world, dev, monkeypatch):
    """Is raised here as it was there; nobody is asked."""
    told = token.tell(PromptDismissed("the sign-in was declined", "hint"))
    monkeypatch.setattr(lock, "hold", lambda *_, **__: lock.Lock(None, {}, failure=told))
    with pytest.raises(PromptDismissed) as caught:
        token.access_token(dev, world)
    assert (caught.value.message, caught.value.hint) == ("the sign-in was declined", "hint")
    assert center.asked == []


def test_what_is_nobody_elses_business(center, world, dev, monkeypatch):
    """An interrupt is not told to others: the next one tries."""
    shared = []
    monkeypatch.setattr(lock.Lock, "publish", lambda _, told: shared.append(told))
    world.open_url = lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        token.access_token(dev, world)
    assert shared == []
    with holding(world) as turn:
        assert turn.held


def test_no_lock(center, world, dev, tmp_path):
    """Is said, and no reason to fail."""
    (tmp_path / "file").write_text("")
    world.lock_directory = str(tmp_path / "file")
    assert token.access_token(dev, world).access_token in center.access
    assert len(world.warned) == 1
    assert world.warned[0].startswith("going on without a lock, so others may sign in at the same time: cannot ")


def test_two_without_a_lock_refresh_at_once(center, world, dev, tmp_path, monkeypatch):
    """The one who comes second takes what the first has stored, and does not throw its refresh token away."""
    signed_in(center, world, dev, 28_800)
    (tmp_path / "file").write_text("")
    world.lock_directory = str(tmp_path / "file")
    refresh = sso.Oidc.refresh
    theirs = {}

    def late(oidc, registration, refresh_token):
        if not theirs:
            theirs["first"] = None
            theirs["first"] = token.access_token(dev, world)
        return refresh(oidc, registration, refresh_token)

    monkeypatch.setattr(sso.Oidc, "refresh", late)
    assert token.access_token(dev, world).access_token == theirs["first"].access_token
    assert len(world.own.names("sso-refresh")) == 1
    assert center.visits == []


def test_what_cannot_be_removed(center, world, dev, monkeypatch):
    """Is no reason to fail: what comes in its place is stored."""

    def refuse(*_):
        raise KeystoreError("the store is read-only")

    first = signed_in(center, world, dev, 28_800)
    center.end_sessions()
    world.remove_token = refuse
    monkeypatch.setattr(type(world.own), "remove", refuse)
    assert token.access_token(dev, world, refused=first.access_token).origin == token.SIGNED_IN


def test_forgetting_a_start_url(center, world, dev):
    """Removes the refresh tokens of all its sessions, and of no other start URL."""
    other_url = START_URL + "/more"
    center.start_url(other_url)
    other = profile(center, other_url)
    for each in (dev, profile(center, START_URL, session="two"), other):
        world.tokens.clear()
        token.access_token(each, world)
    assert token.forget(world.own, START_URL) == 2
    assert token.forget(world.own, START_URL) == 0
    assert world.own.names("sso-refresh") == [Session.of(other).label()]


# Refused tokens


@pytest.fixture
def accounts(center):
    """A call that needs a token, and notes which ones it got."""
    portal = sso.Portal(sso.endpoint(profile(center, START_URL)), sleep=lambda _: None)

    def call(access_token):
        accounts.used.append(access_token)
        return list(portal.list_accounts(access_token))

    accounts.used = []
    accounts.call = call
    return accounts


def test_a_good_token(center, world, dev, accounts):
    """Is used once."""
    assert [each["accountId"] for each in token.with_token(dev, world, accounts.call)] == ["111111111111"]
    assert len(accounts.used) == 1


def test_a_revoked_token_in_the_older_form(center, world, old, accounts):
    """Is dropped; the human signs in once, and the call is made again."""
    signed_in(center, world, old, 0)
    center.revoke_access()
    assert token.with_token(old, world, accounts.call)
    assert len(accounts.used) == 2
    assert center.operations == ["ListAccounts", "StartDeviceAuthorization", "CreateToken", "ListAccounts"]
    assert token.access_token(old, world).access_token == accounts.used[1]


def test_a_revoked_token_of_a_session(center, world, dev, accounts):
    """Is refreshed; no browser."""
    signed_in(center, world, dev, 0)
    center.revoke_access()
    assert token.with_token(dev, world, accounts.call)
    assert (center.operations, center.visits) == (["ListAccounts", "CreateToken", "ListAccounts"], [])


def test_a_refreshed_token_that_is_refused_too(center, world, dev, accounts):
    """The human signs in."""
    signed_in(center, world, dev, 0)
    center.fail("ListAccounts", code="UnauthorizedException", status=401, times=2)
    assert token.with_token(dev, world, accounts.call)
    assert len(set(accounts.used)) == 3
    assert center.visits == ["Authorize", "Decide"]


@pytest.mark.parametrize("form", ["old", "dev"])
def test_a_new_token_that_is_refused(center, world, accounts, form, request):
    """Is an error, and kept by nobody; there is no end of asking else."""
    chosen = request.getfixturevalue(form)
    signed_in(center, world, chosen, 0)
    center.fail("ListAccounts", code="UnauthorizedException", status=401, times=99, message="Session token not found")
    with pytest.raises(AwsRefused) as caught:
        token.with_token(chosen, world, accounts.call)
    assert caught.value.message == "sso ListAccounts was refused (UnauthorizedException): Session token not found"
    assert len(accounts.used) == (2 if form == "old" else 3)
    assert (world.tokens, world.own.names("sso-refresh")) == ({}, [])


def test_another_refusal_of_a_call(center, world, dev, accounts):
    """Is not the token's fault."""
    center.fail("ListAccounts", code="ForbiddenException", status=403)
    with pytest.raises(AwsRefused, match="ForbiddenException"):
        token.with_token(dev, world, accounts.call)
    assert len(world.tokens) == 1
