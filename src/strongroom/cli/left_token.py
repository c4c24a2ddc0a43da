"""What a command that is given a profile's name finds in the AWS CLI's cache: an access token of Identity Center."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.cli.signing_in import SigningIn
from strongroom.errors import StrongroomError
from strongroom.plan import SSO_ROLE
from strongroom.sso import token
from strongroom.sso.cli_cache import CliCache
from strongroom.sso.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.cli.settings import Settings
    from strongroom.plan import Step


def cli_cache(settings: Settings) -> CliCache:
    """The AWS CLI's cache of this user."""
    return CliCache(
        settings.home(),
        settings.own_items(),
        lock_directory=settings.lock_directory(),
        command=f"{settings.talk.program} {settings.command}",
    )


def leave(settings: Settings, steps: Iterable[Step]) -> None:
    """Leave a token for the profile where *steps* begin, if it is one of IAM Identity Center.

    Another program's stays; that a token cannot be left is said, and no more.

    Raises:
        StrongroomError: There is no token to be had.
    """
    profile = next((step.profile for step in steps if step.kind == SSO_ROLE), None)
    if profile is None:
        return
    session, cache, world = Session.of(profile), cli_cache(settings), SigningIn(settings, profile)
    path = cache.path(session)
    if cache.is_foreign(session):
        _tell_of_foreign(settings, path, cache.lasts_until(session), world.now())
        return
    got = token.access_token(profile, world)
    try:
        if not cache.write(session, got):
            _tell_of_foreign(settings, path, cache.lasts_until(session), world.now())
    except StrongroomError as error:
        settings.talk.warn(f"no access token was left for the command: {error.message}")


def _tell_of_foreign(settings: Settings, path: str, lasts_until: float | None, now: float) -> None:
    if lasts_until is not None and lasts_until > now:
        settings.talk.debug(f"the command finds an access token in {path}, which another program has left")
        return
    settings.talk.warn(
        f"no access token was left for the command: {path} is another program's, and no good; "
        "remove it, or sign in with `aws sso login`"
    )
