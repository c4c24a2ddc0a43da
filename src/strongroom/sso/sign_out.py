"""Signing out at the server: what was stored is good for nothing afterwards, wherever it has been copied to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.aws import sso
from strongroom.errors import AwsRefused, ItemDamaged
from strongroom.sso import token
from strongroom.sso.session import Session

if TYPE_CHECKING:
    from collections.abc import Collection

    from strongroom.profiles import Profile
    from strongroom.sso import SsoWorld


def sign_out(profile: Profile, world: SsoWorld, spent: Collection[str] = ()) -> set[str]:
    """End the sign-ins that the stored tokens of *profile* belong to. What is stored stays.

    Nobody signs in for that: without a token that is good, or can be renewed, there is nothing to do.

    Args:
        profile: Whose.
        world: The surroundings.
        spent: Access tokens whose sign-ins have been ended already.

    Returns:
        The access tokens whose sign-ins have ended now.

    Raises:
        ProfileIncomplete: The profile does not say where.
        AwsError: A call failed, so the sign-in may go on.
        ItemDamaged: There is a refresh token that can neither be used nor is known to be good for nothing.
        KeystoreLocked: Wrong or no passphrase.
    """
    session = Session.of(profile)
    portal = sso.Portal(session.endpoint, sleep=world.sleep)
    ended: set[str] = set()
    found = token.unasked(profile, world)
    if found is not None and found.origin == token.KEPT:
        ended.add(found.access_token)
        if found.access_token not in spent:
            _log_out(portal, found.access_token)
        # The refresh token may be of another sign-in: profiles with the same start URL share only the access token.
        found = token.unasked(profile, world, refused=found.access_token)
    if found is not None:
        ended.add(found.access_token)
        _log_out(portal, found.access_token)
    elif session.label() in world.own.names(token.REFRESH):
        raise ItemDamaged(session.label(), "the stored refresh token cannot be used")
    return ended


def _log_out(portal: sso.Portal, access_token: str) -> None:
    try:
        portal.logout(access_token)
    except AwsRefused as error:
        if error.status != 401:  # it has ended already
            raise
