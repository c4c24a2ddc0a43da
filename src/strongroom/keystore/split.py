"""Two stores as one: long-term keys in the first, what is made from them in the second."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.keystore import Item, Keystore


class Split:
    """A store that keeps keys apart from sessions, so that those need no human each time.

    Sessions that are in the first store already are found and removed there, and not written there any more.

    Args:
        keys: Where long-term keys are, and other collections.
        rest: Where everything else is written.
        is_key: Whether an item's name is that of a long-term key.
    """

    __slots__ = ("_is_key", "_keys", "_rest", "_there")

    def __init__(self, keys: Keystore, rest: Keystore, is_key: Callable[[str], bool]) -> None:
        self._keys = keys
        self._rest = rest
        self._is_key = is_key
        self._there: frozenset[str] | None = None  # what is in the second store, as far as is known

    @property
    def location(self) -> str:
        """Where the keys are, and where the rest is."""
        return f"{self._keys.location} and {self._rest.location}"

    @property
    def warnings(self) -> list[str]:
        """What was noticed in both."""
        return [*self._keys.warnings, *self._rest.warnings]

    def listing(self) -> dict[str, float | None]:
        """Which items there are: of the second store, those that are no keys."""
        rest = {key: changed for key, changed in self._rest.listing().items() if not self._is_key(key)}
        self._there = frozenset(rest)
        return self._keys.listing() | rest

    def _home(self, key: str) -> Keystore:
        """The store that has an item, or would."""
        if self._is_key(key):
            return self._keys
        if self._there is None:
            self.listing()
        return self._rest if key in (self._there or ()) else self._keys

    def get(self, key: str) -> Item:
        """Open one item."""
        return self._home(key).get(key)

    def set(self, item: Item) -> None:
        """Store an item; an older one of that name in the other store goes."""
        if self._is_key(item.key):
            self._keys.set(item)
            return
        is_moved = self._home(item.key) is self._keys and item.key in self._keys.listing()
        self._rest.set(item)
        self._there = (self._there or frozenset()) | {item.key}
        if is_moved:
            self._keys.remove(item.key)

    def remove(self, key: str) -> None:
        """Remove one item."""
        self._home(key).remove(key)
        self._there = None

    def beside(self, collection: str) -> Keystore:
        """Another collection of the first store: what is in it cannot be had again."""
        return self._keys.beside(collection)
