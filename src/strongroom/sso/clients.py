"""The clients that we are at OAuth servers: registered once, kept until they expire.

https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/API_RegisterClient.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom.aws import sso
from strongroom.errors import KeystoreError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.sso import SsoWorld
    from strongroom.sso.session import Session

KIND = "sso-registration"

# A client that is about to expire would do so while the human signs in.
MARGIN_SECONDS = 15 * 60

# How the server says that a client is gone.
GONE = frozenset({"InvalidClientException", "UnauthorizedClientException"})

# The port is the one that is free when we listen: https://www.rfc-editor.org/rfc/rfc8252#section-7.3
REDIRECT_URI = "http://127.0.0.1/oauth/callback"


def get(oidc: sso.Oidc, session: Session, world: SsoWorld, grant: str) -> sso.Registration:
    """The client for one way to sign in, registered if need be.

    Args:
        oidc: The server.
        session: What is signed in to.
        world: The surroundings.
        grant: `sso.AUTHORIZATION_CODE` or `sso.DEVICE_CODE`.

    Raises:
        AwsError: It could not be registered.
    """
    name = session.client_label(grant)
    kept = read(world.own.get(KIND, name))
    if kept is not None and kept.expires_at > world.now() + MARGIN_SECONDS:
        return kept
    if grant == sso.AUTHORIZATION_CODE:
        made = oidc.register(
            scopes=session.scopes,
            grants=(grant, sso.REFRESH_TOKEN),
            redirect_uri=REDIRECT_URI,
            start_url=session.start_url,
        )
    else:
        made = oidc.register(scopes=session.scopes, grants=(grant, sso.REFRESH_TOKEN) if session.scopes else ())
    try:
        world.own.put(KIND, name, fields(made))
    except KeystoreError as error:
        world.warn(f"the registration at IAM Identity Center could not be stored: {error.message}")
    return made


def forget(session: Session, world: SsoWorld, grant: str) -> None:
    """Drop a client that the server does not take any more; one that cannot be dropped is no error."""
    try:
        world.own.remove(KIND, session.client_label(grant))
    except KeystoreError:
        return


def fields(registration: sso.Registration) -> dict[str, Any]:
    """A client as it is stored."""
    return {
        "client_id": registration.client_id,
        "client_secret": registration.client_secret,
        "expires_at": registration.expires_at,
    }


def read(stored: Mapping[str, Any] | None) -> sso.Registration | None:
    """Read `fields`; None if there is nothing that makes sense."""
    stored = stored or {}
    client_id, client_secret = stored.get("client_id"), stored.get("client_secret")
    expires_at = stored.get("expires_at")
    if not (isinstance(client_id, str) and isinstance(client_secret, str) and isinstance(expires_at, int)):
        return None
    return sso.Registration(client_id, client_secret, expires_at)
