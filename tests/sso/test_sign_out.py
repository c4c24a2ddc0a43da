import pytest

from fakes.browser import Browser
from fakes.identity_center import START_URL
from sso.surroundings import World, profile
from sso.test_pkce import Later
from strongroom.errors import AwsRefused, ItemDamaged, ProfileIncomplete
from strongroom.sso import token
from strongroom.sso.session import Session
from strongroom.sso.sign_out import sign_out


@pytest.fixture
def world(center, tmp_path):
    made = World(center, tmp_path / "locks", Later())
    yield made
    if hasattr(made.browser, "thread"):
        made.browser.thread.join(30)


@pytest.fixture
def dev(center):
    return profile(center, START_URL)


@pytest.fixture
def signed_in(center, world, dev):
    """Somebody has, and nothing was asked for since."""
    token.access_token(dev, world)
    center.asked.clear()


def goes_on(center):
    """Whether any sign-in does, at the server."""
    return any(not given.sign_in.ended for given in center.access.values())


def test_signed_out(center, world, dev, signed_in):
    """By the stored token; the refresh token turns out to be good for nothing, and goes. Nobody is asked."""
    sign_out(dev, world)
    assert center.operations == ["Logout", "CreateToken"]
    assert not goes_on(center)
    assert (world.own.names(token.REFRESH), len(world.browser.opened)) == ([], 1)


def test_expired(center, world, dev, signed_in):
    """A sign-in outlives its access token: it is renewed, to be ended."""
    center.pass_time(center.token_seconds)
    sign_out(dev, world)
    assert center.operations == ["CreateToken", "Logout"]
    assert not goes_on(center)


def test_two_sign_ins(center, world, dev):
    """The older form shares the access token and not the refresh token: both end."""
    token.access_token(dev, world)
    world.tokens.clear()
    world.browser.thread.join(30)
    world.browser = Browser()
    token.access_token(profile(center, START_URL, session=""), world)
    center.asked.clear()
    sign_out(dev, world)
    assert center.operations == ["Logout", "CreateToken", "Logout"]
    assert not goes_on(center)


def test_nobody_there(center, world, dev):
    """Without a token there is nothing to end, and no browser opens."""
    sign_out(dev, world)
    assert (center.operations, world.browser.opened) == ([], [])


def test_ended_already(center, world, dev, signed_in):
    """The token is not accepted any more: that is what was wanted."""
    center.end_sessions()
    sign_out(dev, world)
    assert center.operations == ["Logout", "CreateToken"]


def test_the_server_is_away(center, world, dev, signed_in):
    """It is asked as often as other services, and then the failure is the caller's business."""
    center.fail("Logout", code="InternalServerException", status=500, times=9)
    with pytest.raises(AwsRefused):
        sign_out(dev, world)
    assert center.count("Logout") == 3
    assert world.own.names(token.REFRESH) != []


def test_busy(center, world, dev, signed_in):
    """Too many requests: again, after a while."""
    center.throttle("Logout", times=2)
    sign_out(dev, world)
    assert center.count("Logout") == 3
    assert not goes_on(center)


def test_cannot_be_renewed(center, world, dev, signed_in):
    """While the OAuth server is away nobody knows whether the sign-in goes on."""
    center.pass_time(center.token_seconds)
    center.fail("CreateToken", code="InternalServerException", status=500, times=9)
    with pytest.raises(AwsRefused):
        sign_out(dev, world)


def test_damaged(center, world, dev, signed_in):
    """A refresh token that cannot be read may be good for something still."""
    world.tokens.clear()
    world.own.put(token.REFRESH, Session.of(dev).label(), {})
    with pytest.raises(ItemDamaged) as caught:
        sign_out(dev, world)
    assert caught.value.message == "the stored refresh token cannot be used"


def test_incomplete(center, world):
    """It must be known where."""
    with pytest.raises(ProfileIncomplete):
        sign_out(profile(center, START_URL, sso_region=""), world)
