"""The keys that `import` has found, and what is known of each: how it compares with what is stored, what was done."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from strongroom import vault
from strongroom.cli import retrieval
from strongroom.credentials import shown_key_id
from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError, ProfileNotFound, UsageError

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.import_sources import Source
    from strongroom.cli.settings import Settings
    from strongroom.credentials import Credentials
    from strongroom.plaintext import Found
    from strongroom.vault import Vault

NEW, SAME, DIFFERENT, UNREADABLE, UNUSABLE = "new", "same", "different", "unreadable", "unusable"

# What each state means.
TOLD = {
    NEW: "new",
    SAME: "stored already",
    DIFFERENT: "another key is stored: --overwrite replaces it",
    UNREADABLE: "what is stored cannot be read: --overwrite replaces it",
}


class Candidate:
    """A key that was found, and what becomes of it.

    Args:
        found: What was found.
        name: The profile to store it under.
        state: `NEW`, `SAME`, `DIFFERENT`, `UNREADABLE`: as it compares with what is stored; or `UNUSABLE`.
        reason: Why it is unusable.
        stored: The other key that is stored.
    """

    __slots__ = ("arn", "found", "is_gone", "is_stored", "name", "reason", "state", "stored")

    def __init__(
        self, found: Found, name: str, state: str, reason: str = "", *, stored: Credentials | None = None
    ) -> None:
        self.found = found
        self.name = name
        self.state = state
        self.reason = reason
        self.stored = stored
        # Whose it is, as AWS says; what was done.
        self.arn = ""
        self.is_stored = False
        self.is_gone = False

    @property
    def key(self) -> Credentials:
        """The key; of one that is usable."""
        assert self.found.credentials is not None  # noqa: S101 - it is usable
        return self.found.credentials

    @property
    def shown_name(self) -> str:
        """The profile's name for people; a question mark if there is none."""
        return (self.name if self.name.isprintable() else ascii(self.name)) or "?"

    @property
    def shown_id(self) -> str:
        """The last four characters of its id."""
        return shown_key_id(self.key.access_key_id) if self.found.credentials else ""

    def as_json(self) -> dict[str, object]:
        """What `--json` says of it."""
        return {
            "profile": self.name,
            "access_key_id": self.shown_id,
            "line": self.found.line or None,
            "state": self.state,
            "reason": self.reason or self.found.stays,
            "arn": self.arn or None,
            "imported": self.is_stored,
            "lines_removed": self.is_gone,
        }


def candidates(arguments: Arguments, settings: Settings, source: Source) -> list[Candidate]:
    """What was found and is meant, compared with what is stored.

    Raises:
        UsageError: One name is given to several keys.
        ProfileNotFound: A profile is named that has no key there.
    """
    wanted = arguments.texts("only")
    known = [each.profile for each in source.found]
    for name in wanted:
        if name not in known:
            raise ProfileNotFound(str(name), f"there is no key of profile {name!r} in {source.title}", known=known)
    meant = [each for each in source.found if not wanted or each.profile in wanted]
    name = arguments.text("as")
    if name and sum(each.credentials is not None for each in meant) != 1:
        raise UsageError(f"--as names one key, and {len(meant)} are meant", "say which with --only")
    return [_compared(settings, each, name if name and each.credentials else each.profile) for each in meant]


def _compared(settings: Settings, found: Found, name: str) -> Candidate:
    reason = found.reason or _wrong_name(name)
    if reason or found.credentials is None:
        return Candidate(found, name, UNUSABLE, reason)
    store = settings.vault()
    if name not in store.listing:
        return Candidate(found, name, NEW)
    try:
        stored = store.key(name)
    except ItemDamaged:
        return Candidate(found, name, UNREADABLE)
    return Candidate(found, name, SAME if is_same(stored, found.credentials) else DIFFERENT, stored=stored)


def look_again(store: Vault, each: Candidate) -> bool:
    """Whether a key is still to be stored: somebody may have stored it while a human was asked, or another one.

    Raises:
        KeystoreError: Another key is there than was shown, or it cannot be read any more.
    """
    try:
        stored = store.key(each.name)
    except ItemNotFound:
        return True
    except ItemDamaged:
        if each.state == UNREADABLE:
            return True
        raise
    if is_same(stored, each.key):
        each.state = SAME
        return False
    if each.stored is None or not is_same(stored, each.stored):
        raise KeystoreError("another key was stored under that name meanwhile", "run this again, to see what is there")
    return True


def _wrong_name(name: str) -> str:
    if not name:
        return "the file does not say whose it is: --as PROFILE does"
    try:
        retrieval.refuse_bytes(name)
    except UsageError as error:
        return error.message
    kind = vault.kind_of(name)
    return "" if kind == vault.CREDENTIAL else f"that is how a stored {kind} is called"


def is_same(one: Credentials, other: Credentials) -> bool:
    """Whether two keys are one, in a time that tells nothing of where they differ."""
    pairs = ((one.access_key_id, other.access_key_id), (one.secret_access_key, other.secret_access_key))
    return all(hmac.compare_digest(left.encode(), right.encode()) for left, right in pairs)
