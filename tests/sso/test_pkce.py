import errno
import socket
import threading
import urllib.parse

import pytest

from fakes.browser import Browser
from fakes.identity_center import START_URL
from sso.surroundings import NoBrowser, World, profile
from strongroom.aws import sso
from strongroom.errors import AwsRefused, PromptDismissed, PromptFailed
from strongroom.sso import pkce
from strongroom.sso.session import Session


class Later(Browser):
    """A browser that goes its own way once it was started, as browsers do."""

    def open(self, url):
        self.thread = threading.Thread(target=super().open, args=(url,), daemon=True)
        self.thread.start()
        return True


@pytest.fixture
def sign_in(center, tmp_path):
    """Sign in with this browser."""

    def sign_in(browser, wait_seconds=60, **settings):
        sign_in.world = World(center, tmp_path / "locks", browser)
        session = Session.of(profile(center, START_URL, **settings))
        oidc = sso.Oidc(session.endpoint)
        try:
            return pkce.sign_in(oidc, session, sign_in.world, wait_seconds=wait_seconds)
        finally:
            if hasattr(browser, "thread"):
                browser.thread.join(30)

    return sign_in


def test_signing_in(center, sign_in):
    """The browser brings the code, which is exchanged with the verifier: an access token and a refresh token."""
    browser = Later()
    granted, registration = sign_in(browser)
    assert granted.access_token in center.access
    assert granted.refresh_token in center.refreshes
    assert registration.client_id == "client-1"
    assert sign_in.world.told == [f"opening a browser to sign in to {START_URL}"]
    assert center.operations == ["RegisterClient", "CreateToken"]
    assert "This window can be closed." in browser.text
    token = center.asked[1].members
    query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(browser.opened[0]).query))
    assert query == {
        "response_type": "code", "client_id": "client-1", "redirect_uri": token["redirectUri"], "state": query["state"],
        "code_challenge_method": "S256", "code_challenge": pkce.challenge(token["codeVerifier"]),
        "scopes": "sso:account:access",
    }  # fmt: skip
    assert (len(query["state"]), len(token["codeVerifier"])) == (43, 64)
    secrets = [granted.access_token, granted.refresh_token, registration.client_secret]
    assert not [secret for secret in secrets if secret in repr((granted, registration))]


def test_each_sign_in_has_its_own_state_and_verifier(center, sign_in):
    """And its own port, maybe."""
    first, second = Later(), Later()
    sign_in(first)
    sign_in(second)
    query = [urllib.parse.parse_qs(urllib.parse.urlsplit(each.opened[0]).query) for each in (first, second)]
    assert query[0]["state"] != query[1]["state"]
    assert query[0]["code_challenge"] != query[1]["code_challenge"]
    assert center.asked[1].members["codeVerifier"] != center.asked[-1].members["codeVerifier"]


def test_the_digest():
    """The example of RFC 7636, appendix B."""
    assert (
        pkce.challenge("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    )


def test_no_browser(center, sign_in):
    """Is no failure: there is another way."""
    assert sign_in(NoBrowser()) is None
    assert center.operations == ["RegisterClient"]


def test_no_port(center, sign_in, monkeypatch):
    """The same."""

    def refuse(*_, **__):
        raise OSError(errno.EADDRNOTAVAIL, "cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", refuse)
    browser = Browser()
    assert sign_in(browser) is None
    assert browser.opened == []


def test_the_human_declines(center, sign_in):
    """That is what is said, and nothing is exchanged."""
    with pytest.raises(PromptDismissed) as caught:
        sign_in(Later("deny"))
    assert caught.value.message == f"the sign-in to {START_URL} was declined in the browser"
    assert center.operations == ["RegisterClient"]


def test_the_human_does_not_come(center, sign_in):
    """The wait ends; the next one is another client, in case the server showed the human that it knows this one not."""
    with pytest.raises(PromptFailed) as caught:
        sign_in(Later(click=""), wait_seconds=0.3)
    assert caught.value.message == f"nobody signed in to {START_URL} within 0s"
    assert sign_in.world.own.names("sso-registration") == []


def test_another_error_of_the_server(center, sign_in):
    """Is told in its words, cut."""
    browser = Later(
        edit=lambda url: url.replace("?state=", f"?error=server_error&error_description={'x' * 999}&state=")
    )
    with pytest.raises(AwsRefused) as caught:
        sign_in(browser)
    assert (caught.value.code, caught.value.message) == (
        "server_error", f"the sign-in to {START_URL} was refused (server_error): {'x' * 300}",
    )  # fmt: skip


def test_a_code_of_somebody_else(center, sign_in):
    """An attacker who has the browser come with their own state and code gets nowhere; the right one still does."""

    class Attacked(Later):
        def open(self, url):
            self.url = url
            return super().open(url)

        def _next(self, url):
            if url == self.url:
                back = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["redirect_uri"][0]
                super()._next(f"{back}?code=stolen&state=guessed")
                assert self.seen[-1][0] == 403
            return super()._next(url)

    granted, _ = sign_in(Attacked())
    assert granted.access_token in center.access


def test_a_code_that_was_changed_on_the_way(center, sign_in):
    """Is AWS's to refuse."""
    with pytest.raises(AwsRefused) as caught:
        sign_in(Later(edit=lambda url: url.replace("&code=", "&code=x")))
    assert caught.value.message == "sso-oidc CreateToken was refused (InvalidGrantException): Invalid grant provided"


def test_an_interrupt(center, sign_in):
    """Goes on, and nobody listens any more."""

    class Interrupted(Browser):
        def open(self, url):
            self.opened.append(url)
            raise KeyboardInterrupt

    browser = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        sign_in(browser)
    back = urllib.parse.parse_qs(urllib.parse.urlsplit(browser.opened[0]).query)["redirect_uri"][0]
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", urllib.parse.urlsplit(back).port), 30)
