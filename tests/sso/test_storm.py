"""Many processes at once, none of which has a good token."""

import json
import os
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from fakes.identity_center import START_URL

BROWSER = Path(__file__).parent.parent / "fakes" / "browser.py"

# One process loads everything and forks the others, which begin together: the storm is in the locks, not in imports.
STARTER = textwrap.dedent(
    """
    import json, os, subprocess, sys, time
    from strongroom.errors import StrongroomError
    from strongroom.keystore.file import FileKeystore
    from strongroom.keystore import Item
    from strongroom.own_items import OwnItems
    from strongroom.profiles import Profile
    from strongroom.sso import token

    settings = json.loads(sys.argv[1])

    class World:
        lock_directory = settings["directory"] + "/locks"
        lock_wait_seconds = 120.0
        command = "strongroom export"
        wants_device = settings["wants_device"]
        now = staticmethod(lambda: time.time() + settings["ahead"])

        def __init__(self):
            ask = lambda *_, **__: "correct horse"
            self.store = FileKeystore(settings["directory"] + "/keys", ask, passphrase="correct horse")
            self.own = OwnItems(self.store.beside("strongroom"))

        def sleep(self, seconds):
            time.sleep(seconds / 20)

        def tell(self, message):
            os.write(2, b"told\\n")
            if " in any browser" in message:
                self.open_url(message.split(", open ")[1].split(" in any")[0])

        def why_unheard(self):
            return ""

        def waiting(self, message):
            pass

        def warn(self, message):
            os.write(2, b"warned\\n")

        def open_url(self, url):
            subprocess.Popen([sys.executable, settings["browser"], "--click", settings["click"], url])
            return True

        def token(self, start_url):
            try:
                return json.loads(self.store.get("oidc:" + start_url).data)
            except StrongroomError:
                return None

        def token_changed_at(self, start_url):
            return self.store.listing().get("oidc:" + start_url)

        def keep_token(self, start_url, fields):
            self.store.set(Item("oidc:" + start_url, json.dumps(fields).encode()))

        def remove_token(self, start_url):
            self.store.remove("oidc:" + start_url)

    def run(number):
        session = settings["sessions"][number % len(settings["sessions"])]
        profile = Profile("p", {"sso_region": "eu-west-1", "endpoint_url": settings["url"], **session})
        try:
            return token.access_token(profile, World()).access_token
        except StrongroomError as error:
            return f"{type(error).__name__}: {error.message}"

    go_read, go = os.pipe()
    children = []
    for number in range(settings["number"]):
        read, write = os.pipe()
        if not os.fork():
            os.close(go)
            os.read(go_read, 1)
            os.write(write, run(number).encode())
            os._exit(0)
        os.close(write)
        children.append(open(read, "rb"))
    os.close(go_read)
    os.close(go)
    print(json.dumps([child.read().decode() for child in children]))
    while children:
        children.pop().close()
        os.wait()
    """
)


@pytest.fixture
def storm(center, tmp_path):
    """What so many processes come to, and what they said."""
    if sys.platform == "win32":
        pytest.skip("Windows has no fork, with which the processes are started together")

    def storm(
        number=40,
        click="allow",
        wants_device="",
        ahead=0.0,
        sessions=({"sso_session": "corp", "sso_start_url": START_URL},),
    ):
        settings = {
            "directory": str(tmp_path), "browser": str(BROWSER), "url": center.url, "number": number, "click": click,
            "wants_device": wants_device, "sessions": sessions, "ahead": ahead,
        }  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", STARTER, json.dumps(settings)], capture_output=True, text=True, timeout=300,
            env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Counter(json.loads(done.stdout)), done.stderr.split()

    return storm


@pytest.mark.parametrize("wants_device", ["", "why not"], ids=["browser", "code"])
def test_one_signs_in_for_all(center, storm, wants_device):
    """One window, or one code; everybody has the same token."""
    tokens, said = storm(200, wants_device=wants_device)
    assert (list(tokens.values()), said) == ([200], ["told"])
    assert set(tokens) <= set(center.access)
    assert center.visits == ["Device" if wants_device else "Authorize", "Decide"]
    assert center.count("RegisterClient") == 1
    assert len(center.access) == 1


def test_one_is_declined_for_all(center, storm):
    """One window, one message."""
    center.delay("Decide", 1)
    answers, said = storm(click="deny")
    assert answers == {f"PromptDismissed: the sign-in to {START_URL} was declined in the browser": 40}
    assert (center.visits, said) == (["Authorize", "Decide"], ["told"])


def test_one_refreshes_for_all(center, storm):
    """Each refresh token is shown once: shown twice it would end the session."""
    first, _ = storm(number=1)
    for hour in (9, 18):
        center.skew_seconds = hour * 3600
        tokens, said = storm(ahead=hour * 3600.0)
        assert (list(tokens.values()), said) == ([40], [])
        assert set(tokens) != set(first)
    assert center.visits == ["Authorize", "Decide"]
    assert [asked.members["grantType"] for asked in center.asked if asked.operation == "CreateToken"] == [
        "authorization_code", "refresh_token", "refresh_token",
    ]  # fmt: skip


def test_two_sessions(center, storm):
    """A window each."""
    other = "https://other.example/start"
    center.start_url(other)
    sessions = [
        {"sso_session": "corp", "sso_start_url": START_URL},
        {"sso_session": "other", "sso_start_url": other},
    ]
    tokens, said = storm(sessions=sessions)
    assert (sorted(tokens.values()), said) == ([20, 20], ["told", "told"])
    assert center.visits.count("Authorize") == 2
