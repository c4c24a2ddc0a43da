"""Items in this process's memory, for tests and dry runs: not in the table, since nothing would outlive a command."""

from __future__ import annotations

import time

from strongroom.errors import ItemNotFound
from strongroom.keystore import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from strongroom.keystore import Ask


class MemoryKeystore:
    """A store without a passphrase that is gone with the process.

    Args:
        items: What it holds at first.
        now: The clock, epoch seconds.
    """

    __slots__ = ("_beside", "_items", "_now", "location", "warnings")

    def __init__(self, items: Iterable[Item] = (), *, now: Callable[[], float] = time.time) -> None:
        self.location = "memory"
        self.warnings: list[str] = []
        self._now = now
        self._items = {item.key: (item, now()) for item in items}
        self._beside: dict[str, MemoryKeystore] = {}

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last written."""
        return {key: modified for key, (_, modified) in self._items.items()}

    def get(self, key: str) -> Item:
        """Return one item.

        Raises:
            ItemNotFound: There is none of that name.
        """
        if key not in self._items:
            raise ItemNotFound(key)
        return self._items[key][0]

    def set(self, item: Item) -> None:
        """Store an item, instead of the one of the same key if there is one."""
        self._items[item.key] = item, self._now()

    def remove(self, key: str) -> None:
        """Remove one item.

        Raises:
            ItemNotFound: There is none of that name.
        """
        if self._items.pop(key, None) is None:
            raise ItemNotFound(key)

    def beside(self, collection: str) -> MemoryKeystore:
        """Another collection."""
        if collection not in self._beside:
            self._beside[collection] = MemoryKeystore(now=self._now)
        return self._beside[collection]


def open(settings: Mapping[str, str | int | None], ask: Ask) -> MemoryKeystore:  # noqa: A001, ARG001 - the family's shape
    """Make an empty store."""
    return MemoryKeystore()
