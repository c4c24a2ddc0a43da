"""Signing in from any device, with a code: https://www.rfc-editor.org/rfc/rfc8628."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.aws import sso
from strongroom.aws.client import ATTEMPTS
from strongroom.durations import show
from strongroom.errors import AwsError, AwsRefused, PromptDismissed, PromptFailed, PromptUnavailable
from strongroom.sso import clients

if TYPE_CHECKING:
    from strongroom.sso import SsoWorld
    from strongroom.sso.session import Session


def sign_in(oidc: sso.Oidc, session: Session, world: SsoWorld, reason: str) -> tuple[sso.Granted, sso.Registration]:
    """Have the human sign in, in a browser of this machine or of any other.

    Args:
        oidc: The server.
        session: What is signed in to.
        world: The surroundings.
        reason: Why no browser is opened here; empty to open one.

    Returns:
        The token, and whose it is.

    Raises:
        PromptDismissed: The human declined.
        PromptFailed: The human did not come in time.
        PromptUnavailable: No browser can be opened here, and nobody would see the link and the code.
        AwsError: A call failed.
    """
    if reason:
        _check_heard(session, world, reason)
    registration, authorization = _start(oidc, session, world)
    code = authorization.user_code
    if reason:
        world.tell(
            f"to sign in to {session.start_url}, open {authorization.complete_url} in any browser, and confirm only if "
            f"it shows the code {code} ({reason})"
        )
    else:
        world.tell(
            f"opening a browser to sign in to {session.start_url}: confirm only if it shows the code {code}; if none "
            f"opens, go to {authorization.complete_url}"
        )
        if not world.open_url(authorization.complete_url):
            _check_heard(session, world, "no browser could be opened here")
    return _poll(oidc, registration, authorization, session, world), registration


def _check_heard(session: Session, world: SsoWorld, reason: str) -> None:
    """See that somebody may see the link: who runs us may show nobody what we say, and would seem to hang."""
    why = world.why_unheard()
    if why:
        raise PromptUnavailable(
            f"to sign in to {session.start_url} somebody has to open a link ({reason}), and nobody would see it: {why}",
            "run it in a terminal once; with --no-browser the link is printed on standard error all the same",
        )


def _start(oidc: sso.Oidc, session: Session, world: SsoWorld) -> tuple[sso.Registration, sso.Authorization]:
    registration = clients.get(oidc, session, world, sso.DEVICE_CODE)
    try:
        return registration, oidc.start_device_authorization(registration, session.start_url)
    except AwsRefused as error:
        if error.code not in clients.GONE:
            raise
    clients.forget(session, world, sso.DEVICE_CODE)
    registration = clients.get(oidc, session, world, sso.DEVICE_CODE)
    return registration, oidc.start_device_authorization(registration, session.start_url)


def _poll(
    oidc: sso.Oidc,
    registration: sso.Registration,
    authorization: sso.Authorization,
    session: Session,
    world: SsoWorld,
) -> sso.Granted:
    deadline = world.now() + authorization.lasts_seconds
    interval, unanswered = authorization.interval_seconds, 0
    while True:
        try:
            return oidc.token_for_device(registration, authorization.device_code)
        except AwsError as error:
            code = error.code if isinstance(error, AwsRefused) else ""
            if code == "AccessDeniedException":
                raise PromptDismissed(f"the sign-in to {session.start_url} was declined in the browser") from error
            if code == "ExpiredTokenException":
                raise _late(session, authorization) from error
            if code == "AuthorizationPendingException":
                unanswered = 0
            elif not sso.is_passing(error):
                raise
            else:
                # "slow_down"; or no answer, after which we are to come less often too (section 3.5).
                interval += sso.INTERVAL_SECONDS
                unanswered = 0 if sso.is_busy(error) else unanswered + 1
                if unanswered == ATTEMPTS:
                    raise
        if world.now() + interval > deadline:
            raise _late(session, authorization)
        world.sleep(interval)


def _late(session: Session, authorization: sso.Authorization) -> PromptFailed:
    return PromptFailed(
        f"nobody signed in to {session.start_url} within {show(authorization.lasts_seconds)}",
        "run it again, and confirm the code in the browser",
    )
