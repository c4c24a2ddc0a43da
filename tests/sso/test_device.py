import pytest

from fakes.browser import Browser
from fakes.identity_center import START_URL
from sso.surroundings import NoBrowser, World, profile
from strongroom.aws import sso
from strongroom.errors import AwsRefused, AwsUnreachable, PromptDismissed, PromptFailed, PromptUnavailable
from strongroom.sso import device
from strongroom.sso.session import Session


@pytest.fixture
def sign_in(center, world):
    """Sign in in the older form, with a browser here or, if a *reason* is given, elsewhere."""

    def sign_in(reason="", world=world, **settings):
        session = Session.of(profile(center, START_URL, session="", **settings))
        return device.sign_in(sso.Oidc(session.endpoint), session, world, reason)[0]

    return sign_in


@pytest.fixture
def elsewhere(world):
    """The human, who reads the message and comes with another device, after so many polls."""

    def come(polls, click="allow"):
        world.human = Browser(click)
        world.comes_after = len(world.waited) + polls

    return come


def test_with_a_browser_here(center, world, sign_in):
    """It is opened at the page that has the code already; the human compares, or has nobody who shows the code."""
    world.unheard = "there is no terminal here"
    granted = sign_in()
    assert granted.access_token in center.access
    assert (granted.lasts_seconds, granted.refresh_token) == (28_800, "")
    assert center.operations == ["RegisterClient", "StartDeviceAuthorization", "CreateToken"]
    assert world.browser.opened == [f"{center.url}/device?user_code=ABCD-0002"]
    assert world.told == [
        f"opening a browser to sign in to {START_URL}: confirm only if it shows the code ABCD-0002; if none opens, go to "
        f"{center.url}/device?user_code=ABCD-0002"
    ]


def test_with_a_browser_elsewhere(center, world, sign_in, elsewhere):
    """The link and the code are said, with the reason, and none is opened; polls come at the server's interval."""
    elsewhere(polls=2)
    center.interval = 7
    assert sign_in("this is a session over SSH").access_token in center.access
    assert world.browser.opened == []
    assert world.told == [
        f"to sign in to {START_URL}, open {center.url}/device?user_code=ABCD-0002 in any browser, and confirm only if it "
        "shows the code ABCD-0002 (this is a session over SSH)"
    ]
    assert world.waited == [7, 7]
    assert center.count("CreateToken") == 3


def test_a_browser_that_cannot_be_opened(center, world, tmp_path, sign_in, elsewhere):
    """Is no reason to give up: the link is said anyway."""
    lame = World(center, tmp_path, NoBrowser())
    world.told = lame.told
    lame.told.append("open nothing in any")
    center.fail("CreateToken", code="AuthorizationPendingException", status=400, times=2)
    center.answer_with("CreateToken", {"accessToken": "a", "expiresIn": 60})
    assert sign_in(world=lame).access_token == "a"
    assert lame.waited == [1, 1]


def test_slow_down(center, world, sign_in, elsewhere):
    """Adds five seconds to every further wait."""
    center.minds_polls = True
    center.fail("CreateToken", code="SlowDownException", status=400, times=2)
    elsewhere(polls=3)
    sign_in("why not")
    assert world.waited == [6, 11, 11]


def test_no_interval(center, world, sign_in, elsewhere):
    """Is five seconds."""
    center.interval = 0
    elsewhere(polls=1)
    sign_in("why not")
    assert world.waited == [5]


def test_the_human_declines(center, sign_in, elsewhere):
    """That is what is said."""
    elsewhere(polls=1, click="deny")
    with pytest.raises(PromptDismissed) as caught:
        sign_in("why not")
    assert caught.value.message == f"the sign-in to {START_URL} was declined in the browser"


@pytest.mark.parametrize("told_by", ["the server", "the clock"])
def test_the_human_does_not_come(center, world, sign_in, told_by):
    """The wait ends with the code, in ten minutes; nothing is asked after that."""
    if told_by == "the server":
        center.fail("CreateToken", code="ExpiredTokenException", status=400)
    center.interval = 60
    with pytest.raises(PromptFailed) as caught:
        sign_in("why not")
    assert caught.value.message == f"nobody signed in to {START_URL} within 10m0s"
    assert len(world.waited) == (0 if told_by == "the server" else 9)


@pytest.mark.parametrize("reason", ["why not", ""])
def test_nobody_would_see_the_link(center, world, sign_in, reason):
    """It says so at once, rather than wait for a human who knows of nothing."""
    world.unheard = "there is no terminal here"
    world.browser = NoBrowser()
    with pytest.raises(PromptUnavailable) as caught:
        sign_in(reason)
    assert caught.value.message == (
        f"to sign in to {START_URL} somebody has to open a link ({reason or 'no browser could be opened here'}), "
        "and nobody would see it: there is no terminal here"
    )
    assert center.count("CreateToken") == 0


def test_the_network_goes_and_comes_back(center, world, sign_in, elsewhere):
    """Polls go on, less often; not forever."""
    elsewhere(polls=3)
    center.html("CreateToken", status=200, times=2)
    sign_in("why not")
    assert world.waited == [6, 11, 11]
    center.html("CreateToken", status=200, times=3)
    with pytest.raises(AwsUnreachable) as caught:
        sign_in("why not")
    assert caught.value.message == "sso-oidc CreateToken was answered without a usable accessToken"


def test_another_refusal_ends_it(center, sign_in):
    """With AWS's words."""
    center.fail("CreateToken", code="InvalidRequestException", status=400, message="that is wrong")
    with pytest.raises(AwsRefused) as caught:
        sign_in("why not")
    assert caught.value.message == "sso-oidc CreateToken was refused (InvalidRequestException): that is wrong"


def test_a_client_that_the_server_has_forgotten(center, sign_in):
    """Is registered anew; once."""
    sign_in()
    center.forget_clients()
    sign_in()
    assert center.operations[3:] == [
        "StartDeviceAuthorization", "RegisterClient", "StartDeviceAuthorization", "CreateToken",
    ]  # fmt: skip
    center.fail("StartDeviceAuthorization", code="InvalidClientException", status=401, times=2)
    with pytest.raises(AwsRefused, match="InvalidClientException"):
        sign_in()


def test_a_start_url_that_is_none(center, sign_in):
    """Is AWS's to refuse."""
    center.start_urls.clear()
    with pytest.raises(AwsRefused) as caught:
        sign_in()
    assert caught.value.message == (
        "sso-oidc StartDeviceAuthorization was refused (InvalidRequestException): Invalid start URL provided"
    )


@pytest.mark.parametrize(
    ("member", "value", "told"),
    [
        ("deviceCode", "", "a usable deviceCode"),
        ("userCode", "A\nB", "a usable userCode"),
        ("verificationUri", "file:///etc/passwd", "a verificationUri that is no address of the web"),
        ("verificationUriComplete", "javascript:0", "a verificationUriComplete that is no address of the web"),
        ("expiresIn", 0, "a usable expiresIn"),
        ("interval", -1, "a usable interval"),
    ],
)
def test_an_answer_that_makes_no_sense(center, world, sign_in, member, value, told):
    """Is refused before anybody is sent anywhere."""
    right = {"deviceCode": "d", "userCode": "u", "verificationUri": "https://d", "verificationUriComplete": "https://d?u",
             "expiresIn": 600, "interval": 1}  # fmt: skip
    center.answer_with("StartDeviceAuthorization", right | {member: value})
    with pytest.raises(AwsUnreachable) as caught:
        sign_in()
    assert caught.value.message.endswith(told)
    assert (world.told, world.browser.opened) == ([], [])
