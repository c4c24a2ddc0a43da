"""Sessions narrowed for one run, in the collection that only strongroom reads.

aws-vault would give them to whoever asks for the profile. Each is used again when the same is asked for. They are named
as sessions are elsewhere, so that none has to be opened to be found or removed; but the first part is a digest of what
the session was made for, the second the profile by which it was asked for, the third the profile whose long-term key it
comes from, empty if it comes from something else.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from strongroom.credentials import Credentials
from strongroom.errors import KeystoreError
from strongroom.vault import SessionName, Vault

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.own_items import OwnItems
    from strongroom.plan import Step

KIND = "session"


def sessions(own: OwnItems) -> list[SessionName]:
    """The narrowed sessions that are stored, sorted by the profile by which they were asked for; none is opened.

    Returns:
        In each name, `SessionName.profile` is that profile, `SessionName.serial` the one whose key it comes from.

    Raises:
        KeystoreError: The store cannot be read.
    """
    return sorted(_named(own.times(KIND), lambda _: True).values(), key=lambda name: (name.profile, name.expires_at))


def remove(own: OwnItems, *, owner: str | None = None, master: str | None = None) -> int:
    """Remove narrowed sessions: those of an owner, those that come from a key, or all.

    Args:
        own: Where they are.
        owner: The profile by which they were asked for.
        master: The profile whose long-term key they come from.

    Returns:
        How many there were.

    Raises:
        KeystoreError: One could not be removed.
    """

    def is_meant(name: SessionName) -> bool:
        return owner in {None, name.profile} and master in {None, name.serial}

    return sum(own.remove(KIND, key) for key in _named(own.times(KIND), is_meant))


class NarrowedVault(Vault):
    """A vault that keeps the sessions of narrowed steps in a place of their own.

    Args:
        vault: That of everything else.
        own: That place.
    """

    def __init__(self, vault: Vault, own: OwnItems) -> None:
        super().__init__(vault.keystore, min_ttl_seconds=vault.min_ttl_seconds, now=vault.now)
        self.own = own

    def candidates(self, step: Step) -> list[SessionName]:
        """As `Vault.candidates`."""
        if step.narrowing is None:
            return super().candidates(step)
        owner, soonest = step.narrowing.owner, self.now() + self.min_ttl_seconds

        def may_serve(name: SessionName) -> bool:
            return name.kind == step.slot and name.profile == owner and name.expires_at >= soonest

        found = _named(self._times(), may_serve).values()
        return sorted(found, key=lambda name: -name.expires_at)

    def seen(self, step: Step) -> dict[str, float | None]:
        """As `Vault.seen`."""
        if step.narrowing is None:
            return super().seen(step)
        times = self._times()
        return {name.key: times.get(name.key) for name in self.candidates(step)}

    def session(self, step: Step, master: str) -> Credentials | None:
        """As `Vault.session`."""
        if step.narrowing is None:
            return super().session(step, master)
        for key, made_at in self.seen(step).items():
            try:
                fields = self.own.get(KIND, key) or {}
                credentials = Credentials.from_sts(fields)
            except (KeystoreError, ValueError):
                continue
            made_for = fields.get("Strongroom")
            is_fresh = (credentials.expiration or 0) >= self.now() + self.min_ttl_seconds
            if is_fresh and isinstance(made_for, dict) and self._fits(made_for, made_at, step, master):
                return credentials
        return None

    def keep(self, step: Step, credentials: Credentials, master: str) -> None:
        """As `Vault.keep`."""
        if step.narrowing is None:
            super().keep(step, credentials, master)
            return
        fields = self._fields(step, credentials, master)
        if self._was_replaced(master):
            return
        name = SessionName.of(step.slot, step.narrowing.owner, master, int(credentials.expiration or 0))
        self.own.put(KIND, name.key, fields)
        slot, now = name.key.rpartition(",")[0], self.now()
        self._sweep(lambda each: each.expires_at <= now or (each.key != name.key and each.key.startswith(f"{slot},")))

    def _times(self) -> dict[str, float | None]:
        """When each was last changed; where they cannot be told, there are none, as far as that matters here."""
        try:
            return self.own.times(KIND)
        except KeystoreError:
            return {}

    def _sweep(self, is_meant: Callable[[SessionName], bool]) -> None:
        """Remove those that nobody needs; a failure to do so is no error."""
        for key in _named(self._times(), is_meant):
            with contextlib.suppress(KeystoreError):
                self.own.remove(KIND, key)


def _named(keys: dict[str, float | None], is_meant: Callable[[SessionName], bool]) -> dict[str, SessionName]:
    """The sessions among *keys* that are meant, by their names."""
    names = {key: SessionName.read(key) for key in keys}
    return {key: name for key, name in names.items() if name is not None and is_meant(name)}
