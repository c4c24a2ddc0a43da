"""Which stored sessions come from which stored key, told from the config without opening a secret."""

from __future__ import annotations

from strongroom import narrowed, plan, profiles
from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.cli.settings import Settings


def sessions_of_profile(settings: Settings, name: str) -> list[str]:
    """The stored sessions of the steps that belong to profile *name*."""
    return [session.key for session in settings.vault().sessions() if session.profile == name]


def sessions_of_key(settings: Settings, name: str) -> list[str]:
    """The stored sessions that were made from the key of profile *name*, by whichever profile."""
    return sessions_of_keys(settings, [name]).get(name, [])


def sessions_of_keys(settings: Settings, names: Iterable[str]) -> dict[str, list[str]]:
    """For each of these profiles from whose key sessions were made: those. The config is read once for all of them."""
    vault, wanted = settings.vault(), set(names)
    stored = {*vault.credentials(), *wanted}
    masters: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for session in vault.sessions():
        if session.profile not in masters:
            masters[session.profile] = _master(settings, session.profile, stored)
        if masters[session.profile] in wanted:
            found.setdefault(masters[session.profile], []).append(session.key)
    return found


def forget_narrowed(settings: Settings, *, profile: str | None = None, master: str | None = None) -> int:
    """Remove the sessions that were narrowed for one run.

    Args:
        settings: Flags, variables, files.
        profile: The profile by which they were asked for; all of them if none is named.
        master: The profile whose key they were made from; whichever if none is named.

    Returns:
        How many there were.

    Raises:
        KeystoreError: One could not be removed.
    """
    return narrowed.remove(settings.own_items(), owner=profile, master=master)


def _master(settings: Settings, name: str, stored: set[str]) -> str:
    """The profile whose key the sessions of profile *name* begin with; itself if the config does not tell."""
    if name in stored:
        return name
    try:
        profile = profiles.resolve(settings.document(), name, flags={}, environ=settings.environ)
        return plan.plan(profile, stored)[0].profile.name
    except StrongroomError:
        return name
