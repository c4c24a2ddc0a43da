"""Items in the desktop's own password store: GNOME Keyring, KDE's ksecretd, KeePassXC, whichever offers Secret Service.

The interface is the one of freedesktop.org (https://specifications.freedesktop.org/secret-service/). One collection
holds the items as aws-vault writes them: the key is the label and the only attribute, ``profile``; the secret is the
item's JSON. Secrets cross the bus encrypted, which aws-vault does not do, and the stored item is the same.

The desktop asks for the collection's password, once for all processes, and keeps it unlocked as long as it likes.
"""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from strongroom.errors import ItemNotFound, KeystoreLocked, KeystoreUnavailable, PromptDismissed
from strongroom.keystore import Item

if sys.platform == "linux":  # elsewhere neither is installed
    import secretstorage
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.algorithms import AES
    from cryptography.hazmat.primitives.ciphers.modes import CBC
    from jeepney import DBusAddress

    from strongroom.keystore import session_bus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from strongroom.keystore import Ask

PROGRAM = "the Secret Service"
BUS_NAME = "org.freedesktop.secrets"
COLLECTIONS = "/org/freedesktop/secrets/collection/"
DEFAULT_COLLECTION = "awsvault"
ATTRIBUTE = "profile"
CONTENT_TYPE = "application/json"

_HEADLESS = "the desktop shows it: without one, use another keystore, such as --backend=file"
_ITEM = "org.freedesktop.Secret.Item"
_SERVICE = ("/org/freedesktop/secrets", BUS_NAME, "org.freedesktop.Secret.Service")
# GNOME Keyring writes what an object path may not hold as _ and two digits.
_ESCAPED = re.compile("_([0-9a-fA-F]{2})")


def open(settings: Mapping[str, str | int | None], ask: Ask) -> SecretServiceKeystore:  # noqa: A001, ARG001 - the family's shape
    """Open the store: ``secret_service_collection`` names the collection, which need not exist.

    With ``choosing`` set, where the store was not asked for by name, a collection that would have to be made needs a
    display to ask for its password on.

    Raises:
        KeystoreUnavailable: There is no session bus, or no program on it that offers the Secret Service.
    """
    if sys.platform != "linux":
        raise KeystoreUnavailable("the Secret Service belongs to desktops on Linux")
    name = str(settings.get("secret_service_collection") or DEFAULT_COLLECTION)
    link = session_bus.Link(session_bus.address_in(settings), PROGRAM)
    store = SecretServiceKeystore(link, name)
    with link.bus() as bus:
        if bus.first_of([BUS_NAME]) is None:
            raise KeystoreUnavailable("no program offers the Secret Service on the session bus")
    if settings.get("choosing") and session_bus.is_headless(settings) and not store.exists():
        raise KeystoreUnavailable(f"there is no collection {name!r} yet, and no display to ask for its password on")
    return store


class SecretServiceKeystore:
    """A collection of the Secret Service.

    Args:
        link: The way to it.
        name: The collection's name; made on the first write.
    """

    __slots__ = ("_link", "_name", "location", "warnings")

    def __init__(self, link: session_bus.Link, name: str) -> None:
        self.location = f"collection {name!r} of the Secret Service"
        self.warnings: list[str] = []
        self._link = link
        self._name = name

    def exists(self) -> bool:
        """Tell whether there is such a collection; asks nobody."""
        with self._talking() as bus:
            return self._find(bus) is not None

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last written; unlocks the collection.

        What somebody else put into the collection, without the attribute that we look items up by, is left out.
        """
        with self._talking() as bus:
            collection = self._unlocked(bus)
            if collection is None:
                return {}
            found: dict[str, float | None] = {}
            for properties in bus.properties(_items(bus, collection)):
                key = properties["Attributes"].get(ATTRIBUTE)
                if key is not None:
                    found[key] = float(properties["Modified"])
            return found

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract, and the collection is unlocked for it."""
        with self._talking(key) as bus:
            secret = self._opened(bus, self._search(bus, key))
        return Item.from_json(key, secret)

    def set(self, item: Item) -> None:
        """Store an item; makes the collection if there is none, for which the desktop asks for a password.

        Raises:
            KeystoreError: The key is no text that the bus can carry.
        """
        session_bus.check_name(item.key)
        attributes = {ATTRIBUTE: item.key}
        with self._talking(item.key) as bus:
            collection = self._unlocked(bus) or self._create(bus)
            collection.create_item(item.key, attributes, item.to_json(), replace=True, content_type=CONTENT_TYPE)
            self._look_at(collection.session)

    def remove(self, key: str) -> None:
        """Remove one item, from a collection that is unlocked for it."""
        with self._talking(key) as bus:
            self._search(bus, key).delete()

    def beside(self, collection: str) -> SecretServiceKeystore:
        """Another collection of the same service, which has a password of its own."""
        return SecretServiceKeystore(self._link, f"{collection}-own" if self._name == collection else collection)

    # Collections

    def _find(self, bus: session_bus.Bus) -> secretstorage.Collection | None:
        """Look for the collection by its path, as aws-vault does: its label is its owner's to change.

        Failing that, by its label: paths do not tell every two names apart.
        """
        paths = bus.property(DBusAddress(*_SERVICE), "Collections")
        for path in paths:
            if path.startswith(COLLECTIONS) and _unescape(path.removeprefix(COLLECTIONS)) == self._name:
                return secretstorage.Collection(bus, path)
        for path in paths:
            collection = secretstorage.Collection(bus, path)
            if collection.get_label() == self._name:
                return collection
        return None

    def _unlocked(self, bus: session_bus.Bus) -> secretstorage.Collection | None:
        """Find the collection, and have the human unlock it if it is locked."""
        collection = self._find(bus)
        if collection is not None and collection.is_locked():
            with bus.turn(collection.collection_path):
                if collection.is_locked() and collection.unlock(timeout=session_bus.PROMPT_SECONDS):
                    raise PromptDismissed(f"{self.location} stays locked: its prompt was dismissed", _HEADLESS)
            if collection.is_locked():
                raise KeystoreLocked(f"{self.location} stays locked")
        return collection

    def _create(self, bus: session_bus.Bus) -> secretstorage.Collection:
        with bus.turn(f"new {self._name}"):
            made = self._unlocked(bus)  # by the process that had the turn before us
            if made is not None:
                return made
            try:
                return secretstorage.create_collection(bus, self._name)
            except secretstorage.PromptDismissedException as error:
                raise PromptDismissed(
                    f"{self.location} was not made: the prompt for its password was dismissed", _HEADLESS
                ) from error

    # Items

    def _search(self, bus: session_bus.Bus, key: str) -> secretstorage.Item:
        """Find an item in the collection, which is unlocked first: some services find nothing in a locked one."""
        collection = self._unlocked(bus) if session_bus.can_carry(key) else None
        found = next(collection.search_items({ATTRIBUTE: key}), None) if collection else None
        if found is None:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        return found

    def _opened(self, bus: session_bus.Bus, found: secretstorage.Item) -> bytes:
        """Do what its `get_secret` does, without loading all bindings of OpenSSL: that takes longer than the bus."""
        found.ensure_not_locked()
        session = secretstorage.util.open_session(bus)
        self._look_at(session)
        item = secretstorage.util.DBusAddressWrapper(found.item_path, _ITEM, bus)
        ((_, vector, secret, _),) = item.call("GetSecret", "o", session.object_path)
        if session.aes_key is None:  # it is not encrypted
            return bytes(secret)
        aes = Cipher(AES(session.aes_key), CBC(bytes(vector))).decryptor()
        padded: bytes = aes.update(bytes(secret)) + aes.finalize()
        return padded[: -padded[-1]]  # RFC 5652, section 6.3

    def _look_at(self, session: Any) -> None:
        message = f"secrets cross the session bus unencrypted: {PROGRAM} offers nothing better"
        if not session.encrypted and message not in self.warnings:
            self.warnings.append(message)

    @contextmanager
    def _talking(self, key: str = "") -> Iterator[session_bus.Bus]:
        """Borrow the connection, and translate what SecretStorage raises about the item *key*."""
        with self._link.bus() as bus:
            try:
                yield bus
            except secretstorage.PromptDismissedException as error:
                raise PromptDismissed(f"the prompt of {PROGRAM} was dismissed", _HEADLESS) from error
            except secretstorage.ItemNotFoundException as error:  # between finding it and using it
                raise ItemNotFound(key, f"no item {key!r} in {self.location}") from error
            except secretstorage.LockedException as error:
                raise KeystoreLocked(f"{self.location} was locked by somebody else meanwhile") from error
            except secretstorage.SecretServiceNotAvailableException as error:
                raise KeystoreUnavailable(f"{PROGRAM} is not there: {error}") from error


def _items(bus: session_bus.Bus, collection: secretstorage.Collection) -> Iterator[DBusAddress]:
    where = DBusAddress(collection.collection_path, BUS_NAME, "org.freedesktop.Secret.Collection")
    for path in bus.property(where, "Items"):
        yield DBusAddress(path, BUS_NAME, _ITEM)


def _unescape(name: str) -> str:
    codes = _ESCAPED.sub(lambda found: chr(int(found[1], 16)), name)
    return codes.encode("latin-1", "replace").decode("utf-8", "replace")
