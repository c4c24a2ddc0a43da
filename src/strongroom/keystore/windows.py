"""Items in the Credential Manager of Windows: what ``wincred`` and ``winhello`` share.

An item is a generic credential, ``<prefix>:<service>:<key>``, whose blob is what aws-vault keeps there. What Windows
cannot hold is put aside under names that aws-vault does not look at:

``<prefix>:<service>/part:<generation>:<number>``
    The pieces of a blob above 2,560 bytes; the item itself then says where they are, in a line that is no JSON, so that
    aws-vault finds an item that it cannot use, and asks for a new session.
``<prefix>:<service>/other:<hash of the key>``
    An item whose key differs from another's in upper and lower case only, which Windows takes for the same.

Labels, and keys as they are, stand in attributes of the credential.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError
from strongroom.keystore import Item, plain
from strongroom.keystore import credential_manager as manager

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.keystore.credential_manager import Api, Credential

SERVICE = "aws-vault"
# Windows takes names up to 32,767 characters, the prefix and the service included.
MOST_KEY = 32_000
# Pieces that no item speaks of, left by a writer that was killed, are removed after this long: a writer that is still
# at it is done by then.
STALE_SECONDS = 3600.0
# How often an item is read again whose pieces are replaced at the same time.
TRIES = 8

_HEAD = re.compile(rb"strongroom parts 1 ([0-9a-f]{32}) ([0-9]{1,4}) ([0-9a-f]{64})\Z")
_BEGINS = b"strongroom parts "
_MEND = "remove the item and store it anew"


class WindowsKeystore:
    """Credentials of one prefix and one service.

    Args:
        api: The functions of Windows.
        prefix: What names begin with.
        service: What follows: the collection.
        now: The clock, epoch seconds.
    """

    __slots__ = ("_api", "_now", "_prefix", "_service", "warnings")

    def __init__(self, api: Api, prefix: str, service: str = SERVICE, *, now: Callable[[], float] = time.time) -> None:
        self.warnings: list[str] = []
        self._api = api
        self._prefix = prefix
        self._service = service
        self._now = now

    @property
    def location(self) -> str:
        """Where the items are, for people."""
        return f"Windows Credential Manager, {self._prefix}:{self._service}"

    # What `winhello` does otherwise

    def _seal(self, key: str, data: bytes) -> bytes:  # noqa: ARG002 - another store needs the key
        return data

    def _opened(self, key: str, blob: bytes) -> bytes:  # noqa: ARG002
        return blob

    # The contract

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last written: one call, which decrypts nothing of ours."""
        found: dict[str, float | None] = {}
        for each in manager.beginning(self._api, self._start("")):
            key = self._key(each)
            if key is not None:
                found[key] = each.written_at
        return found

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        before = b""
        for _ in range(TRIES):
            credential = self._find(key)
            if credential is None:
                raise ItemNotFound(key, f"no item {key!r} in {self.location}")
            blob = self._whole(key, credential.blob)
            if blob is not None:
                return self._item(key, credential, self._opened(key, blob))
            if credential.blob == before:
                break
            before = credential.blob
        raise ItemDamaged(key, f"item {key!r} is damaged: a part of it is missing or was changed", _MEND)

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract."""
        older = self._find(item.key)
        target = self._free(item.key) if older is None else older.target
        note = self._note(item)
        blob = self._seal(item.key, item.data)
        if len(blob) > manager.LIMIT_BYTES or blob.startswith(_BEGINS):
            blob = self._divided(blob)
        manager.write(self._api, target, blob, note)
        if older is not None:
            self._forget(older.blob)
        if blob.startswith(_BEGINS):
            self._sweep()

    def remove(self, key: str) -> None:
        """Remove one item; the errors are those of the contract."""
        credential = self._find(key)
        if credential is None or not manager.delete(self._api, credential.target):
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        self._forget(credential.blob)

    def beside(self, collection: str) -> WindowsKeystore:
        """Credentials of another service, under the same prefix."""
        return type(self)(self._api, self._prefix, collection, now=self._now)

    # Names

    def _start(self, kind: str) -> str:
        return f"{self._prefix}:{self._service}{kind}"

    def _find(self, key: str) -> Credential | None:
        """Return the credential of an item: of its name, or put aside because Windows takes another's for it."""
        if "\0" in key or len(key) > MOST_KEY:
            return None
        credential = manager.read(self._api, self._start(f":{key}"))
        if credential is not None and credential.target == self._start(f":{key}"):
            return credential
        return manager.read(self._api, self._other(key))

    def _free(self, key: str) -> str:
        """Return the name that a new item gets.

        Raises:
            KeystoreError: Windows has no name for it.
        """
        if "\0" in key or len(key) > MOST_KEY:
            raise KeystoreError(f"cannot store item {key[:80]!r}: Windows takes no such name")
        target = self._start(f":{key}")
        return target if manager.read(self._api, target) is None else self._other(key)

    def _other(self, key: str) -> str:
        return self._start(f"/other:{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()}")

    def _key(self, credential: Credential) -> str | None:
        """Return the key of an item; None if the credential is a piece, or something else."""
        if credential.target.startswith(self._start(":")):
            return credential.target[len(self._start(":")) :]
        if credential.target.startswith(self._start("/other:")):
            key = _fields(credential.note).get("key")
            if isinstance(key, str) and credential.target == self._other(key):
                return key
        return None

    # What an item is besides its data

    def _note(self, item: Item) -> bytes:
        fields: dict[str, Any] = {"key": item.key}
        fields |= {"label": item.label} if item.label else {}
        fields |= {"description": item.description} if item.description else {}
        fields |= {"not_trust_application": True} if item.not_trust_application else {}
        fields |= {"not_synchronizable": True} if item.not_synchronizable else {}
        note = json.dumps(fields, separators=(",", ":")).encode("ascii")
        if len(note) > manager.MOST_ATTRIBUTES * manager.ATTRIBUTE_BYTES:
            raise KeystoreError(f"cannot store item {item.key[:80]!r}: its name and label are too long for Windows")
        return note

    def _item(self, key: str, credential: Credential, data: bytes) -> Item:
        fields = _fields(credential.note)
        if not fields:
            return plain.unpack(key, data)  # aws-vault's, which drops the label
        if fields.get("key", key) != key:
            raise ItemDamaged(
                key,
                f"item {key!r} is damaged: it holds the item {fields['key']!r}",
                "it was renamed or copied after it was written: remove it and add it anew",
            )
        return Item(
            key,
            data,
            str(fields.get("label") or ""),
            str(fields.get("description") or ""),
            not_trust_application=fields.get("not_trust_application") is True,
            not_synchronizable=fields.get("not_synchronizable") is True,
        )

    # Pieces

    def _divided(self, blob: bytes) -> bytes:
        """Write a blob in pieces, and return the line that says where they are."""
        generation = secrets.token_hex(16)
        count = -(-len(blob) // manager.LIMIT_BYTES)
        for number in range(count):
            piece = blob[number * manager.LIMIT_BYTES : (number + 1) * manager.LIMIT_BYTES]
            manager.write(self._api, self._piece(generation, number), piece)
        return f"strongroom parts 1 {generation} {count} {hashlib.sha256(blob).hexdigest()}".encode()

    def _whole(self, key: str, blob: bytes) -> bytes | None:
        """Put the pieces of a blob together; None if some are missing, as they are while it is replaced."""
        if not blob.startswith(_BEGINS):
            return blob
        head = _HEAD.match(blob)
        if head is None:
            raise ItemDamaged(key, f"item {key!r} is damaged: nothing says where its parts are", _MEND)
        generation, count, digest = (group.decode("ascii") for group in head.groups())
        pieces = [manager.read(self._api, self._piece(generation, number)) for number in range(int(count))]
        whole = b"".join(piece.blob for piece in pieces if piece is not None)
        return whole if hashlib.sha256(whole).hexdigest() == digest else None

    def _piece(self, generation: str, number: int) -> str:
        return self._start(f"/part:{generation}:{number}")

    def _forget(self, blob: bytes) -> None:
        """Remove the pieces that an item spoke of before it was replaced or removed."""
        head = _HEAD.match(blob)
        if head is not None:
            for number in range(int(head.group(2))):
                manager.delete(self._api, self._piece(head.group(1).decode("ascii"), number))

    def _sweep(self) -> None:
        """Remove pieces of long ago that no item speaks of."""
        there = manager.beginning(self._api, self._start(""))
        heads = (_HEAD.match(each.blob) for each in there)
        used = {head.group(1).decode("ascii") for head in heads if head is not None}
        start = self._start("/part:")
        for each in there:
            is_stale = each.written_at < self._now() - STALE_SECONDS
            if each.target.startswith(start) and is_stale and each.target[len(start) :].split(":")[0] not in used:
                manager.delete(self._api, each.target)


def _fields(note: bytes) -> dict[str, Any]:
    """Read the attributes of a credential; empty if they are not ours."""
    try:
        fields = json.loads(note)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
