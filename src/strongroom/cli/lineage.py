"""Which stored sessions come from which stored key, told from the config without opening a secret."""

from __future__ import annotations

from strongroom import narrowed, plan, profiles
from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.cli.settings import Settings


def sessions_of_profile(settings: Settings, name: str) -> list[str]:
    """The stored sessions of the steps that belong to profile *name*."""
    return [session.key for session in settings.vault().sessions() if session.profile == name]


def sessions_of_key(settings: Settings, name: str) -> list[str]:
    """The stored sessions that were made from the key of profile *name*, by whichever profile."""
    vault = settings.vault()
    stored = {*vault.credentials(), name}
    masters: dict[str, str] = {}
    for session in vault.sessions():
        if session.profile not in masters:
            masters[session.profile] = _master(settings, session.profile, stored)
    return [session.key for session in vault.sessions() if masters[session.profile] == name]


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
