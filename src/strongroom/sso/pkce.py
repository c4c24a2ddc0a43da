"""Signing in with a browser of this machine, which brings the code back: the authorization code grant with PKCE.

https://www.rfc-editor.org/rfc/rfc7636, https://www.rfc-editor.org/rfc/rfc8252
"""

from __future__ import annotations

import binascii
import hashlib
import secrets
from typing import TYPE_CHECKING

from strongroom.aws import sso
from strongroom.durations import show
from strongroom.errors import AwsRefused, PromptDismissed, PromptFailed
from strongroom.sso import clients
from strongroom.sso.callback import Answer, Callback

if TYPE_CHECKING:
    from strongroom.sso import SsoWorld
    from strongroom.sso.session import Session

# As long as a code for another device lasts.
SIGN_IN_SECONDS = 600


def sign_in(
    oidc: sso.Oidc, session: Session, world: SsoWorld, *, wait_seconds: float = SIGN_IN_SECONDS
) -> tuple[sso.Granted, sso.Registration] | None:
    """Have the human sign in.

    Args:
        oidc: The server.
        session: What is signed in to.
        world: The surroundings.
        wait_seconds: How long to wait for the human.

    Returns:
        The token, and whose it is; None if no browser can be had here.

    Raises:
        PromptDismissed: The human declined.
        PromptFailed: The human did not come in time.
        AwsError: A call failed.
    """
    registration = clients.get(oidc, session, world, sso.AUTHORIZATION_CODE)
    state, verifier = secrets.token_urlsafe(32), secrets.token_urlsafe(48)
    try:
        callback = Callback(state)
    except OSError:
        return None
    with callback:
        url = oidc.authorize_url(
            registration,
            redirect_uri=callback.redirect_uri,
            state=state,
            challenge=challenge(verifier),
            scopes=session.scopes,
        )
        world.tell(f"opening a browser to sign in to {session.start_url}")
        if not world.open_url(url):
            return None
        answer = callback.wait(wait_seconds)
    code = _code(answer, session, world, wait_seconds)
    return oidc.token_for_code(
        registration, code=code, verifier=verifier, redirect_uri=callback.redirect_uri
    ), registration


def challenge(verifier: str) -> str:
    """What the server is told at first of the *verifier* that it is shown at last: its SHA-256, URL-safe base64."""
    digest = hashlib.sha256(verifier.encode()).digest()
    text = binascii.b2a_base64(digest, newline=False).decode()
    return text.rstrip("=").replace("+", "-").replace("/", "_")


def _code(answer: Answer | None, session: Session, world: SsoWorld, waited_seconds: float) -> str:
    if answer is not None and answer.error == "access_denied":
        raise PromptDismissed(f"the sign-in to {session.start_url} was declined in the browser")
    if answer is not None and not answer.error:
        return answer.code
    # It may be that the server showed the human, and not us, that it has forgotten the client that we were.
    clients.forget(session, world, sso.AUTHORIZATION_CODE)
    if answer is None:
        raise PromptFailed(
            f"nobody signed in to {session.start_url} within {show(waited_seconds)}",
            "run it again, and sign in in the browser; with --stdout it can be the browser of any device",
        )
    told = answer.description[:300] or "no reason given"
    raise AwsRefused(answer.error, 0, f"the sign-in to {session.start_url} was refused ({answer.error[:100]}): {told}")
