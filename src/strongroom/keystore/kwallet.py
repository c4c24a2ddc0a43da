"""Items in KDE's wallet, of Plasma 5 and Plasma 6.

A wallet called ``aws-vault`` has a folder called ``aws-vault``, and an entry there is an item: the key is its name, its
content the item's JSON, as aws-vault writes it. Both generations of the wallet's program keep the same files; aws-vault
knows the older one only. The interface is ``org.kde.KWallet`` on the session bus
(https://invent.kde.org/frameworks/kwallet/-/blob/master/src/runtime/kwalletd/org.kde.KWallet.xml).

KWallet asks for the wallet's password, and whether this application may use it. It does not know when an entry was
written.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from strongroom.errors import ItemNotFound, KeystoreError, KeystoreUnavailable, PromptDismissed, PromptFailed
from strongroom.keystore import Item

if sys.platform == "linux":  # elsewhere it is not installed
    from jeepney import DBusAddress

    from strongroom.keystore import session_bus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from strongroom.keystore import Ask

PROGRAM = "KWallet"
# The newer one first, where both run.
GENERATIONS = "kwalletd6", "kwalletd5"
WALLET = "aws-vault"
FOLDER = "aws-vault"
# Who we say we are. Whom the human has allowed to use the wallet need not ask again.
APPLICATION = "aws-vault"

# Replies: `open` gives no handle, `removeEntry` finds no entry.
_REFUSED, _NO_ENTRY = -1, -3
_STREAM = 2  # the type of an entry that is bytes
_NO_WINDOW = 0


def open(settings: Mapping[str, str | int | None], ask: Ask) -> KWalletKeystore:  # noqa: A001, ARG001 - the family's shape
    """Open the store.

    With ``choosing`` set, where the store was not asked for by name, a wallet that would have to be made needs a
    display to ask for its password on.

    Raises:
        KeystoreUnavailable: There is no session bus, or no KWallet on it, or it is switched off.
    """
    if sys.platform != "linux":
        raise KeystoreUnavailable("KWallet belongs to desktops on Linux")
    environment: Any = settings.get("program_environment") or {}
    if environment.get("DISABLE_KWALLET") == "1":
        raise KeystoreUnavailable("KWallet is switched off by DISABLE_KWALLET")
    link = session_bus.Link(session_bus.address_in(settings), PROGRAM)
    with link.bus() as bus:
        name = bus.first_of([f"org.kde.{generation}" for generation in GENERATIONS])
        if name is None:
            raise KeystoreUnavailable("no KWallet is on the session bus")
        address = DBusAddress(f"/modules/{name.rpartition('.')[2]}", name, "org.kde.KWallet")
        if not bus.call(address, "isEnabled")[0]:
            raise KeystoreUnavailable("KWallet is switched off in its settings")
    store = KWalletKeystore(link, address, FOLDER)
    if settings.get("choosing") and session_bus.is_headless(settings) and not store.exists():
        raise KeystoreUnavailable(f"there is no wallet {WALLET!r} yet, and no display to ask for its password on")
    return store


class KWalletKeystore:
    """A folder of the wallet.

    Args:
        link: The way to the bus.
        address: Where KWallet is on it.
        folder: The folder's name; made on the first write, with the wallet if need be.
    """

    __slots__ = ("_address", "_folder", "_handle", "_link", "location", "warnings")

    def __init__(self, link: session_bus.Link, address: DBusAddress, folder: str) -> None:
        self.location = f"folder {folder!r} of the wallet {WALLET!r}"
        self.warnings: list[str] = []
        self._address = address
        self._folder = folder
        self._link = link
        self._handle: tuple[session_bus.Bus, int] | None = None

    def exists(self) -> bool:
        """Tell whether there is such a wallet; asks nobody."""
        with self._link.bus() as bus:
            return self._is_there(bus)

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are; opens the wallet, if there is one."""
        with self._wallet() as wallet:
            return dict.fromkeys(wallet("entryList", "s", self._folder)) if wallet else {}

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract, and the wallet is opened for it."""
        text = b""
        if session_bus.can_carry(key):
            with self._wallet() as wallet:
                text = bytes(wallet("readEntry", "ss", self._folder, key)) if wallet else b""
        if not text:  # the answer where there is no entry, and no item is empty
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        return Item.from_json(key, text)

    def set(self, item: Item) -> None:
        """Store an item; makes the wallet if there is none, for which KWallet asks for a password.

        Raises:
            KeystoreError: The key is no text that the bus can carry, or KWallet did not store the item.
        """
        session_bus.check_name(item.key)
        with self._wallet(make=True) as wallet:
            assert wallet is not None  # noqa: S101 - it was made
            if not wallet("hasFolder", "s", self._folder):
                wallet("createFolder", "s", self._folder)
            status = wallet("writeEntry", "ssayi", self._folder, item.key, item.to_json(), _STREAM)
            if status != 0:
                raise KeystoreError(f"KWallet did not store item {item.key!r}: it says {status}")
            wallet("sync", "")  # it would be some seconds before KWallet wrote its file

    def remove(self, key: str) -> None:
        """Remove one item; the wallet is opened for it."""
        status = _NO_ENTRY
        if session_bus.can_carry(key):
            with self._wallet() as wallet:
                if wallet:
                    status = wallet("removeEntry", "ss", self._folder, key)
                    wallet("sync", "")
        if status == _NO_ENTRY:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        if status != 0:
            raise KeystoreError(f"KWallet did not remove item {key!r}: it says {status}")

    def beside(self, collection: str) -> KWalletKeystore:
        """Another folder of the same wallet."""
        return KWalletKeystore(self._link, self._address, collection)

    # The wallet

    @contextmanager
    def _wallet(self, *, make: bool = False) -> Iterator[Wallet | None]:
        """Lend the open wallet, or None if there is none and none is to be made."""
        with self._link.bus() as bus:
            yield Wallet(bus, self._address, self._opened(bus)) if make or self._is_there(bus) else None

    def _is_there(self, bus: session_bus.Bus) -> bool:
        return WALLET in bus.call(self._address, "wallets")[0]

    def _opened(self, bus: session_bus.Bus) -> int:
        """Return the wallet's handle on this connection, which the human may have closed since."""
        known = self._handle[1] if self._handle is not None and self._handle[0] is bus else None
        if known is not None and bus.call(self._address, "isOpen", "i", known)[0]:
            return known
        with bus.turn(f"wallet {WALLET}"):
            try:
                words = WALLET, _NO_WINDOW, APPLICATION
                handle: int = bus.call(self._address, "open", "sxs", *words, timeout=session_bus.PROMPT_SECONDS)[0]
            except TimeoutError:
                raise PromptFailed(
                    f"nobody answered the prompt of KWallet within {session_bus.PROMPT_SECONDS:g} seconds"
                ) from None
            if handle == _REFUSED:
                raise PromptDismissed(
                    f"the wallet {WALLET!r} stays closed: its prompt was dismissed, or the answer was no",
                    f"KWallet's settings tell whether {APPLICATION} may use it",
                )
        self._handle = bus, handle
        return handle


class Wallet:
    """A wallet that is open.

    Args:
        bus: The connection.
        address: Where KWallet is on it.
        handle: What it calls the wallet.
    """

    __slots__ = ("_address", "_bus", "_handle")

    def __init__(self, bus: session_bus.Bus, address: DBusAddress, handle: int) -> None:
        self._address = address
        self._bus = bus
        self._handle = handle

    def __call__(self, method: str, signature: str, *words: Any) -> Any:
        """Call a method: its first argument is the handle, its last the application, and *words* those between."""
        answer = self._bus.call(self._address, method, f"i{signature}s", self._handle, *words, APPLICATION)
        return answer[0] if answer else None
