"""What is inside a backup: lines of JSON that say themselves what they are, so that any program can read them.

The first line is about the whole, each further one holds an item::

    {"format": "strongroom backup", "version": 1, "made_at": "2026-11-22T23:42:28Z", "made_by": "strongroom 0.9",
     "store": "file", "location": "/home/jon/.awsvault/keys", "items": 2, "left_out": [], "sha256": "..."}
    {"collection": "aws-vault", "modified": 1795390948.1, "sha256": "...", "item": {"Key": "jon", "Data": "..."}}

The first ``sha256`` is of all that follows its line; an item's is of the item as `Item.to_json` writes it, ``item`` has
the same fields. Fields that are not known are no trouble; a higher ``version`` is one that this reader would misread.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from strongroom.errors import ItemDamaged, StrongroomError
from strongroom.keystore import Item

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = "strongroom backup"
VERSION = 1

# The collections of a store: what aws-vault reads too, and what only strongroom understands.
MAIN, OWN = COLLECTIONS = ("aws-vault", "strongroom")


class BackupError(StrongroomError):
    """A backup cannot be made, opened or trusted."""


class Entry:
    """An item, and where it was.

    Args:
        collection: One of `COLLECTIONS`.
        item: It.
        modified: When it was last written, epoch seconds; None if the store did not know.
    """

    __slots__ = ("collection", "item", "modified")

    def __init__(self, collection: str, item: Item, modified: float | None) -> None:
        self.collection = collection
        self.item = item
        self.modified = modified

    def _values(self) -> tuple[object, ...]:
        return self.collection, self.item, self.modified

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entry) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"<Entry {self.collection} {self.item!r}>"


class Archive:
    """A backup, opened.

    Args:
        entries: The items.
        made_at: When, as RFC 3339 has it.
        made_by: By which program.
        store: Out of which kind of store.
        location: Where that was, for people.
        left_out: The names of items that could not be read, and so are not here.
    """

    __slots__ = ("entries", "left_out", "location", "made_at", "made_by", "store")

    def __init__(
        self,
        entries: Iterable[Entry],
        *,
        made_at: str,
        made_by: str,
        store: str,
        location: str,
        left_out: Iterable[str] = (),
    ) -> None:
        self.entries = tuple(entries)
        self.made_at = made_at
        self.made_by = made_by
        self.store = store
        self.location = location
        self.left_out = tuple(left_out)

    def __repr__(self) -> str:
        return f"<Archive of {self.store}, {self.made_at}, {len(self.entries)} items>"

    def to_bytes(self) -> bytes:
        """Write it."""
        body = b"".join(_line(entry) for entry in self.entries)
        head = {
            "format": FORMAT,
            "version": VERSION,
            "made_at": self.made_at,
            "made_by": self.made_by,
            "store": self.store,
            "location": self.location,
            "items": len(self.entries),
            "left_out": list(self.left_out),
            "sha256": _digest(body),
        }
        return _json(head) + body

    @classmethod
    def from_bytes(cls, content: bytes, path: str) -> Archive:
        """Read what `to_bytes` wrote.

        Args:
            content: It.
            path: The file it came from, for messages.

        Raises:
            BackupError: It is something else, was made by a newer version, is cut short, or was changed.
        """
        first, _, body = content.partition(b"\n")
        head = _object(first)
        if head.get("format") != FORMAT:
            raise BackupError(f"{path} is encrypted by age, and is no backup that strongroom made")
        version = head.get("version")
        if type(version) is not int or version > VERSION:
            raise BackupError(
                f"{path} was made by a newer strongroom: its format is {version!r}, and this one knows {VERSION}",
                "update strongroom",
            )
        lines = body.splitlines()
        count = head.get("items")
        if count != len(lines):
            raise BackupError(f"{path} is cut short: {len(lines)} items are in it, and {count!r} should be")
        entries = [_entry(line, path) for line in lines]
        if len({(entry.collection, entry.item.key) for entry in entries}) != len(entries):
            raise BackupError(f"{path} is damaged: it holds an item twice")
        if head.get("sha256") != _digest(body):
            raise BackupError(f"{path} is damaged: its checksum does not match")
        left_out = head.get("left_out")
        return cls(
            entries,
            made_at=str(head.get("made_at")),
            made_by=str(head.get("made_by")),
            store=str(head.get("store")),
            location=str(head.get("location")),
            left_out=map(str, left_out) if isinstance(left_out, list) else (),
        )


def _line(entry: Entry) -> bytes:
    item = entry.item.to_json()
    return _json(
        {
            "collection": entry.collection,
            "modified": entry.modified,
            "sha256": _digest(item),
            "item": json.loads(item),
        }
    )


def _entry(line: bytes, path: str) -> Entry:
    fields = _object(line)
    inside, collection, modified = fields.get("item"), fields.get("collection"), fields.get("modified")
    key = inside.get("Key") if isinstance(inside, dict) else None
    if not isinstance(key, str) or collection not in COLLECTIONS:
        raise BackupError(f"{path} is damaged: one of its lines is no item")
    try:
        item = Item.from_json(key, json.dumps(inside).encode("ascii"))
    except ItemDamaged:
        item = None
    if item is None or fields.get("sha256") != _digest(item.to_json()):
        raise BackupError(f"{path} is damaged: the checksum of item {key!r} does not match")
    is_time = isinstance(modified, (int, float)) and not isinstance(modified, bool)
    return Entry(collection, item, modified if is_time else None)


def _object(line: bytes) -> dict[str, Any]:
    """Read a line; what is no JSON object has no fields. Never says what it read: that is secret."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("ascii") + b"\n"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
