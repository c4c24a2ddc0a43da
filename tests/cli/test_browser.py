import json
import os
import shlex
import sys
import time
from itertools import count

import pytest

from strongroom.cli import browser
from strongroom.cli.browser import BROWSERS, Browser, CannotOpen
from strongroom.cli.flags import Arguments
from strongroom.cli.one_time_link import OneTimeLink
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import StrongroomError
from strongroom.profiles import Profile

URL = "http://127.0.0.1:1234/abc-_"
SECRET = "https://signin.example/federation?SigninToken=sesame"
HINT = "with --stdout the link is printed instead, to be opened by you"
DISPLAY = {"DISPLAY": ":0"}


def command(choice="", profile="dev", environ=DISPLAY, platform="linux", there=None):
    """The command that opens URL, on a machine that has the programs *there*; all by default."""
    find = lambda word: word if there is None or word in there else None  # noqa: E731
    return Browser(choice, profile, environ, platform=platform, find=find).command(URL)


def refused(*args, **settings):
    with pytest.raises(CannotOpen) as caught:
        command(*args, **settings)
    return caught.value.message, caught.value.hint


# Which browser


@pytest.mark.parametrize(("platform", "words"), [
    ("linux", ["xdg-open", URL]),
    ("freebsd14", ["xdg-open", URL]),
    ("darwin", ["open", URL]),
    ("win32", ["rundll32", "url.dll,FileProtocolHandler", URL]),
])  # fmt: skip
def test_the_systems_own(platform, words):
    """What each system has for opening a page."""
    assert command(platform=platform) == words


@pytest.mark.parametrize("there", ["xdg-open", "wslview", "gio"])
def test_the_systems_own_by_what_is_installed(there):
    """The first that is there."""
    assert command(there=[there])[0] == there
    assert command(there=[there])[-1] == URL


def test_nothing_is_installed():
    """Is said, with what was tried."""
    assert refused(there=[]) == (
        "cannot open a browser: found none of xdg-open, wslview, gio",
        "set BROWSER, or choose one with --browser; with --stdout the link is printed instead",
    )


def test_no_display():
    """Nothing is started where nothing could be seen; a Linux inside of Windows has its display there."""
    message = "cannot open a browser: there is no display here (DISPLAY and WAYLAND_DISPLAY are not set)"
    assert refused(environ={}) == refused(environ={"DISPLAY": ""}) == (message, HINT)
    assert command(environ={"WAYLAND_DISPLAY": "w"}) == ["xdg-open", URL]
    assert command(environ={"WSL_DISTRO_NAME": "Debian"}, there=["wslview"]) == ["wslview", URL]
    assert command(environ={}, platform="darwin") == ["open", URL]
    assert command("lynx", environ={}) == ["lynx", URL]
    assert command(environ={"BROWSER": "lynx"}) == ["lynx", URL]


@pytest.mark.parametrize(("variable", "there", "words"), [
    ("firefox", None, ["firefox", URL]),
    ("firefox %s", None, ["firefox", URL]),
    ("firefox --new-tab %s", None, ["firefox", "--new-tab", URL]),
    ("firefox:chromium", ["chromium"], ["chromium", URL]),
    ("firefox -P x %s:chromium %s", ["chromium"], ["chromium", URL]),
    ("nosuch", ["xdg-open"], ["xdg-open", URL]),
    (":", None, ["xdg-open", URL]),
    ("sh -c 'echo x:y \"$0\"'", ["sh"], ["sh", "-c", 'echo x:y "$0"', URL]),
    ("x 'y", ["xdg-open"], ["xdg-open", URL]),
])  # fmt: skip
@pytest.mark.skipif(os.pathsep != ":", reason="$BROWSER is separated like $PATH, elsewhere by another character")
def test_the_variable(variable, there, words):
    """$BROWSER: commands with colons between them, each with the page at %s or at its end; the first that is there."""
    assert command(environ={"BROWSER": variable} | DISPLAY, there=there) == words


@pytest.mark.parametrize(("choice", "words"), [
    ("firefox -P {profile} {url}", ["firefox", "-P", "dev/é x&y", URL]),
    ("firefox -P {profile}", ["firefox", "-P", "dev/é x&y", URL]),
    ("'my browser' --app={url}", ["my browser", f"--app={URL}"]),
    ("firefox 'ext+container:name={profile}&url={url}'",
     ["firefox", "ext+container:name=dev%2F%C3%A9%20x%26y&url=http%3A%2F%2F127.0.0.1%3A1234%2Fabc-_"]),
    ("/opt/x/browser", ["/opt/x/browser", URL]),
    ("chrome-{profile}", ["chrome-dev/é x&y", URL]),
])  # fmt: skip
def test_a_command(choice, words):
    """{url} is the page and {profile} the profile; in a word that is an address, both are escaped."""
    assert command(choice, "dev/é x&y") == words


def test_values_are_put_in_once():
    """A profile's name that looks like a place stays a name."""
    assert command("x {profile} {url}", "{url}") == ["x", "{url}", URL]


def test_without_a_profile():
    """There is a name all the same."""
    assert command("x {profile} {url}", "") == ["x", "aws", URL]


def test_a_command_that_is_none():
    """Says so."""
    hint = "its quotes may not be closed"
    assert refused("firefox 'x") == ('cannot open a browser: "firefox \'x" is no command', hint)
    assert refused(" ") == ("cannot open a browser: ' ' is no command", hint)


def test_a_program_that_is_not_there():
    """Says so, and which names are known."""
    message, hint = refused("netscape", there=[])
    assert message == "cannot open a browser: 'netscape' is not found"
    assert hint.startswith("the browser can be one of firefox, firefox-container, ")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("name", BROWSERS)
def test_a_name(name, platform):
    """Each name is a command on at least one system, with the page in it once; elsewhere it is not installed."""
    environ = {"ProgramFiles": r"C:\Program Files"}
    if BROWSERS[name].get("" if platform == "linux" else platform) is None:
        assert refused(name, environ=environ, platform=platform) == (
            f"cannot open a browser: {name!r} is not installed here, or not found", HINT,
        )  # fmt: skip
        return
    words = command(name, environ=environ, platform=platform)
    place = words[-1]
    if name == "firefox-container":
        assert place == "ext+container:name=dev&url=http%3A%2F%2F127.0.0.1%3A1234%2Fabc-_"
    else:
        assert place == URL
    assert words[0] != ""
    if platform == "win32":
        assert words[0].startswith("C:\\Program Files\\")


def test_names_by_what_is_installed():
    """A browser is called differently on different systems."""
    assert command("firefox", there=["firefox-esr"]) == ["firefox-esr", URL]
    assert refused("chrome", there=["firefox"]) == (
        "cannot open a browser: 'chrome' is not installed here, or not found", HINT,
    )  # fmt: skip


def test_a_path_of_windows():
    """Keeps its backslashes; quotes around it are taken off."""
    choice = r'"C:\My Tools\browser.exe" --x {url}'
    assert command(choice, platform="win32") == [r"C:\My Tools\browser.exe", "--x", URL]


def test_the_profiles_own():
    """The key `browser` chooses, and the child gets neither credentials nor what opens the vault."""
    environ = {"PATH": os.environ["PATH"], "AWS_SECRET_ACCESS_KEY": "s", "AWS_VAULT_FILE_PASSPHRASE": "pw", "X": "y"}
    settings = Settings(Arguments({}, []), environ, Talk("strongroom"), "login dev")
    made = browser.of(settings, Profile("dev", {"browser": f"{shlex.quote(sys.executable)} {{profile}}"}))
    assert made.command(URL) == [sys.executable, "dev", URL]
    assert made._environ == {"PATH": os.environ["PATH"], "X": "y"}
    assert browser.of(settings, Profile("dev", {"browser": sys.executable + " {profile}"}), "").command(URL)[1] == "aws"


# Opening


needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the programs that stand for a browser are shell scripts")

# A browser: asks for the page, and notes how it was called and where it was sent.
FOLLOW = """
import http.client, json, os, sys, urllib.parse
url = urllib.parse.urlsplit(sys.argv[-1])
connection = http.client.HTTPConnection(url.netloc, timeout=30)
connection.request("GET", url.path)
answer = connection.getresponse()
own = open(f"/proc/{os.getpid()}/cmdline").read() if os.path.exists("/proc/self/cmdline") else ""
with open(sys.argv[1], "w") as file:
    json.dump([sys.argv[1:], answer.getheader("Location"), own, dict(os.environ), os.getsid(0) == os.getpid()], file)
"""


@pytest.fixture
def follower(tmp_path):
    """A command that follows the link, and notes how in a pipe: whoever reads that waits for it."""
    os.mkfifo(tmp_path / "seen")
    script = tmp_path / "follow.py"
    script.write_text(FOLLOW)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {shlex.quote(str(tmp_path / 'seen'))}"


@needs_sh
def test_a_browser_gets_the_page_without_its_address(tmp_path, follower):
    """Its command names a link of this machine; that leads to the page."""
    made = Browser(follower, "dev", {"PATH": os.environ["PATH"], "X": "y"})
    made.open(SECRET)
    words, location, line, environ, leads = json.loads((tmp_path / "seen").read_text())
    assert location == SECRET
    assert words[-1].startswith("http://127.0.0.1:")
    assert "sesame" not in line + "".join(words) + "".join(environ.values())
    assert environ["X"] == "y"
    assert leads


@needs_sh
def test_a_browser_that_fails():
    """Its status is told, and never the page."""
    clock = count(0, browser.GRACE_SECONDS + 1)
    with pytest.raises(CannotOpen) as caught:
        Browser("sh -c 'exit 3'", "dev", {"PATH": os.environ["PATH"]}).open(SECRET, clock=ticking(clock))
    assert (caught.value.message, caught.value.hint) == (
        "cannot open a browser: 'sh' ended with exit status 3", HINT,
    )  # fmt: skip


def ticking(numbers):
    """A clock that goes on only once a while was waited."""
    started = time.monotonic()
    return lambda: next(numbers) / 1000 + (time.monotonic() - started) * 20


@needs_sh
def test_a_browser_that_does_not_come():
    """After a minute nobody waits any more."""
    clock = count(0, 30)
    with pytest.raises(CannotOpen) as caught:
        Browser("true", "dev", {"PATH": os.environ["PATH"]}).open(SECRET, clock=lambda: next(clock))
    assert caught.value.message == "cannot open a browser: 'true' was started, and no browser came for the page"


@needs_sh
def test_a_program_that_fails_after_the_page_was_got(tmp_path, follower):
    """Is no failure: openers pass on the status of what they started."""
    script = tmp_path / "opener"
    script.write_text(f'#!/bin/sh\n{follower} "$1"\nexit 1\n')
    script.chmod(0o755)
    Browser(str(script), "dev", {"PATH": os.environ["PATH"]}).open(SECRET)
    assert json.loads((tmp_path / "seen").read_text())[1] == SECRET


@needs_sh
def test_a_program_that_cannot_be_run(tmp_path):
    """Is named, with the reason."""
    program = tmp_path / "browser"
    program.write_bytes(b"\x7fELF junk")
    program.chmod(0o755)
    with pytest.raises(CannotOpen) as caught:
        Browser(str(program), "dev", {}).open(SECRET)
    assert caught.value.message == f"cannot open a browser: cannot run {str(program)!r}: Exec format error"
    assert isinstance(caught.value, StrongroomError)


@needs_sh
def test_interrupted_while_waiting():
    """Nothing listens any more, and nothing is left to be waited for."""
    links = []

    def link(url):
        links.append(OneTimeLink(url))
        return links[-1]

    def interrupted():
        raise KeyboardInterrupt

    clocks = iter([lambda: 0.0, interrupted])

    def clock():
        return next(clocks)()

    with pytest.raises(KeyboardInterrupt):
        Browser("true", "dev", {"PATH": os.environ["PATH"]}).open(SECRET, link=link, clock=clock)
    assert links[0]._door._listener.fileno() == -1
