"""Items in a keychain of macOS, as aws-vault keeps them: generic passwords in a keychain file of their own.

A new item lets this program read it without a question, unless it says that it must not: long-term keys do, and macOS
asks each time. "This program" is the Python interpreter, so other Python programs of the user are trusted with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from strongroom.errors import ItemNotFound, KeystoreLocked
from strongroom.keystore import Item, macos, plain, touch_id
from strongroom.keystore.security import Keychain, Password

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.keystore import Ask

DEFAULT_KEYCHAIN = "aws-vault"
SERVICE = "aws-vault"
SUFFIX = ".keychain"
# Where the password of a keychain that Touch ID unlocks is, in the user's login keychain: as aws-vault has it.
BIOMETRICS = "cc.byteness.aws-vault.biometrics"


def open(  # noqa: A001 - the family's shape
    settings: Mapping[str, Any], ask: Ask, native: Callable[[], Any] = macos.native
) -> KeychainKeystore:
    """Open the keychain ``keychain``, by Touch ID if ``biometrics`` is set. It need not exist.

    Raises:
        KeystoreUnavailable: This is no Mac.
    """
    name = str(settings.get("keychain") or DEFAULT_KEYCHAIN)
    path = name if name.endswith((SUFFIX, f"{SUFFIX}-db")) else name + SUFFIX
    api = native()
    keychain = Keychain(api, path)
    return KeychainKeystore(keychain, _Biometrics(api, keychain, ask) if settings.get("biometrics") else None)


class KeychainKeystore:
    """The passwords of one service in a keychain.

    Args:
        keychain: The keychain.
        biometrics: How it is unlocked; macOS sees to it if there is none.
        service: The collection.
    """

    __slots__ = ("_biometrics", "_keychain", "_service", "warnings")

    def __init__(self, keychain: Keychain, biometrics: _Biometrics | None, service: str = SERVICE) -> None:
        self.warnings: list[str] = []
        self._keychain = keychain
        self._biometrics = biometrics
        self._service = service

    @property
    def location(self) -> str:
        """The keychain, and the service in it."""
        return f"keychain {self._keychain.path}, service {self._service}"

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last changed; no access list is asked about."""
        if not self._ready():
            return {}
        return {each.account: each.modified_at for each in self._keychain.listing(self._service)}

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        found = self._keychain.get(self._service, key) if self._ready() else None
        if found is None:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        return _item(key, found)

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract. A keychain that does not exist is made first."""
        if not self._ready():
            self._keychain.create()
        self._keychain.set(self._service, _password(item), trusting=not item.not_trust_application)

    def remove(self, key: str) -> None:
        """Remove one item; the errors are those of the contract."""
        if not self._ready() or not self._keychain.remove(self._service, key):
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")

    def beside(self, collection: str) -> KeychainKeystore:
        """Another service in the same keychain."""
        return KeychainKeystore(self._keychain, self._biometrics, collection)

    def _ready(self) -> bool:
        """Tell whether there is a keychain, unlocked if that is ours to do."""
        if not self._keychain.exists():
            return False
        if self._biometrics is not None:
            self._biometrics.unlock()
        return True


class _Biometrics:
    """Unlocks a keychain once per process, by a password in the login keychain, when the owner agrees.

    Args:
        api: The functions of macOS.
        keychain: The keychain.
        ask: How to ask for its password, the first time.
    """

    __slots__ = ("_api", "_ask", "_is_done", "_keychain", "_login")

    def __init__(self, api: Any, keychain: Keychain, ask: Ask) -> None:
        self._api = api
        self._keychain = keychain
        self._ask = ask
        self._login = Keychain(api, "")
        self._is_done = False

    def unlock(self) -> None:
        """Unlock it.

        Raises:
            PromptError: The owner declined, or could not be asked.
            KeystoreLocked: The password that was typed is wrong.
            KeystoreError: macOS refused.
        """
        if self._is_done:
            return
        touch_id.ask(self._api, f"unlock {self._keychain.path}")
        known = self._login.get(SERVICE, BIOMETRICS)
        if known is None or not self._keychain.unlock(known.data.decode("utf-8", "surrogateescape")):
            self._learn()
        self._is_done = True

    def _learn(self) -> None:
        name = self._keychain.path
        typed = self._ask(f"Enter the password of {name}, so that Touch ID can unlock it from now on: ", confirm=False)
        if not self._keychain.unlock(typed):
            raise KeystoreLocked(
                f"wrong password for {name}", "it is the one that was chosen when the keychain was made"
            )
        secret = Password(BIOMETRICS, typed.encode("utf-8", "surrogateescape"), f"Passphrase for {name}")
        self._login.set(SERVICE, secret, trusting=True)


def _password(item: Item) -> Password:
    """Write an item; what a keychain would change, or has no place for, is noted beside."""
    note: dict[str, Any] = {"label": item.label, "description": item.description}
    note |= {"not_trust_application": True} if item.not_trust_application else {}
    note |= {"not_synchronizable": True} if item.not_synchronizable else {}
    generic = json.dumps(note, separators=(",", ":")).encode("ascii")
    return Password(item.key, item.data, item.label, description=item.description, generic=generic)


def _item(key: str, found: Password) -> Item:
    """Read an item; aws-vault notes nothing beside, so that what it says by the access list is told by the name."""
    try:
        note = json.loads(found.generic)
    except ValueError:
        note = {}
    if not isinstance(note, dict) or not note:
        usual = plain.unpack(key, found.data)
        note = {"not_trust_application": usual.not_trust_application}
    label, description = note.get("label"), note.get("description")
    return Item(
        key,
        found.data,
        label if isinstance(label, str) else found.label,
        description if isinstance(description, str) else found.description,
        not_trust_application=note.get("not_trust_application") is True,
        not_synchronizable=note.get("not_synchronizable") is True,
    )
