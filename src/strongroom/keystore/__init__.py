"""The stores that keep secrets: one module each, one contract for all.

A member of this family is a module with one function, ``open(settings, ask) -> Keystore``, and a line in `KEYSTORES`;
`tests/contracts/keystore.py` holds what every member must do. `Item` is what they all keep. The stores that keep text
rather than bytes write an item as the JSON of `Item.to_json`.
"""

from __future__ import annotations

import binascii
import json
from importlib import import_module

from strongroom.errors import ItemDamaged, KeystoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    class Ask(Protocol):
        """How a store gets its passphrase: the caller's way to ask a human, without echo."""

        def __call__(self, message: str, *, confirm: bool) -> str:
            """Ask for a passphrase.

            Args:
                message: The question, with its colon and blank.
                confirm: Whether this is a new passphrase, to be typed twice.

            Raises:
                PromptError: Nobody could be asked, or the human declined. A store lets it pass.
            """

    class Keystore(Protocol):
        """A store that is open. Keys are any text; which ones a store cannot take is for `set` to say."""

        @property
        def location(self) -> str:
            """Where the store is, for people: a path, the name of a collection."""

        @property
        def warnings(self) -> list[str]:
            """What was noticed so far and is worth telling (loose modes, an empty passphrase), one line each."""

        def listing(self) -> dict[str, float | None]:
            """Tell which items there are, and when each was last written, without opening any.

            Returns:
                Key -> epoch seconds, or None in a store that does not know. A store that does not exist yet is empty.

            Raises:
                KeystoreError: The store cannot be read.
            """

        def get(self, key: str) -> Item:
            """Open one item.

            Raises:
                ItemNotFound: There is none of that name; nobody was asked for a passphrase.
                ItemDamaged: It is there and no passphrase can help: cut short, foreign, under another item's name.
                KeystoreLocked: The passphrase is wrong, or there is none.
                PromptError: The passphrase could not be asked.
                KeystoreError: The store cannot be read.
            """

        def set(self, item: Item) -> None:
            """Store an item, instead of the one of the same key if there is one: whole, or not at all.

            Raises:
                KeystoreLocked: The passphrase opens nothing of what is there.
                PromptError: The passphrase could not be asked.
                KeystoreError: The store cannot be written, or cannot hold this item; an older one is intact.
            """

        def remove(self, key: str) -> None:
            """Remove one item; needs no passphrase.

            Raises:
                ItemNotFound: There is none of that name.
                KeystoreError: The store cannot be written.
            """

        def beside(self, collection: str) -> Keystore:
            """Another collection of the same store, opened by the same passphrase; it need not exist.

            Args:
                collection: Its name.
            """

    class KeystoreModule(Protocol):
        """What each module of this family is."""

        def open(self, settings: Mapping[str, str | int | None], ask: Ask) -> Keystore:
            """Open the store.

            Raises:
                KeystoreUnavailable: It does not exist on this machine; another may.
                KeystoreError: It does, and cannot be used.
            """


# name -> the line that help shows
KEYSTORES = {
    "wincred": "Windows' Credential Manager.",
    "winhello": "The same, opened by Windows Hello.",
    "keychain": "A keychain of macOS.",
    "secret-service": "GNOME's keyring, or another Secret Service.",
    "kwallet": "KDE's wallet.",
    "keyctl": "The Linux kernel, until the machine restarts.",
    "pass": "The password store of the program pass.",
    "passage": "The same of the program passage.",
    "file": "Encrypted files in a directory, opened by a passphrase.",
    "age": "Files that age encrypts, opened by an SSH key or an age identity.",
    "op-connect": "1Password, by a Connect server.",
    "op": "1Password, by a service account.",
    "op-desktop": "1Password, by the app on this machine.",
    "proton-pass": "Proton Pass, by its own program.",
    "helper": "A program of yours, strongroom-store-NAME: helper:NAME.",
}
# Where a store's module is not called like the store.
MODULES = {
    "secret-service": "secret_service",
    "pass": "password_store",
    "passage": "password_store",
    "op-connect": "op_connect",
    "op-desktop": "op_desktop",
    "proton-pass": "proton_pass",
}
# What stands before the name of a program of the user's that keeps items: ``helper:NAME``.
HELPER = "helper:"


def open(name: str, settings: Mapping[str, str | int | None], ask: Ask) -> Keystore:  # noqa: A001 - read as keystore.open
    """Open the keystore *name*, importing its module only.

    Args:
        name: A key of `KEYSTORES`, or `HELPER` and a name.
        settings: What the store wants to know, such as ``file_dir``, ``file_iterations``, ``file_passphrase`` (None
            when there is none; an empty text is a passphrase).
        ask: How to ask a human for a passphrase.

    Raises:
        KeystoreUnavailable: This store cannot be used on this machine.
        KeystoreError: It can, and something is wrong with it, or there is none of that name.
    """
    family = "helper" if name.startswith(HELPER) else name
    if family not in KEYSTORES:
        raise KeystoreError(f"no keystore is called {name!r}", f"known are: {', '.join(KEYSTORES)}")
    module: KeystoreModule = import_module(f"strongroom.keystore.{MODULES.get(family, family)}")
    return module.open(settings, ask)


class Item:
    """One secret under its name. Immutable by custom; its repr shows no data.

    Args:
        key: The name, unique in a store.
        data: The secret.
        label: What a desktop's own password manager shows for it.
        description: The same, one line more.
        not_trust_application: For the macOS Keychain: ask before handing it out, the program that wrote it included.
        not_synchronizable: For the macOS Keychain: keep it out of iCloud.
    """

    __slots__ = ("data", "description", "key", "label", "not_synchronizable", "not_trust_application")

    def __init__(
        self,
        key: str,
        data: bytes,
        label: str = "",
        description: str = "",
        *,
        not_trust_application: bool = False,
        not_synchronizable: bool = False,
    ) -> None:
        self.key = key
        self.data = data
        self.label = label
        self.description = description
        self.not_trust_application = not_trust_application
        self.not_synchronizable = not_synchronizable

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Item) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        return f"<Item {self.key!r}, {len(self.data)} bytes>"

    def to_json(self) -> bytes:
        """Write the item as aws-vault does: one line of JSON, in this order, the data in padded base64."""
        fields = {
            "Key": self.key,
            "Data": binascii.b2a_base64(self.data, newline=False).decode("ascii"),
            "Label": self.label,
            "Description": self.description,
            "KeychainNotTrustApplication": self.not_trust_application,
            "KeychainNotSynchronizable": self.not_synchronizable,
        }
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    @classmethod
    def from_json(cls, key: str, text: bytes) -> Item:
        """Read what `to_json` or aws-vault wrote under the name *key*.

        Raises:
            ItemDamaged: It is no such JSON, or it belongs under another name: whoever can rename items must not be
                able to make one profile use the credentials of another.
        """
        try:
            fields = json.loads(text)
            stored = fields["Key"]
            data = binascii.a2b_base64(fields.get("Data") or "", strict_mode=True)
            label, description = fields.get("Label") or "", fields.get("Description") or ""
            if not isinstance(stored, str) or not isinstance(label, str) or not isinstance(description, str):
                raise TypeError  # noqa: TRY301 - the same answer as for every other shape that is not ours
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # None of these goes on as a cause: they may quote the text, and the text is the secret.
            raise ItemDamaged(key, f"item {key!r} is damaged: its content is not the JSON of an item") from None
        if stored != key:
            raise ItemDamaged(
                key,
                f"item {key!r} is damaged: it holds the item {stored!r}",
                "it was renamed or copied after it was written: rename it back, or remove it and add it anew",
            )
        return cls(
            key,
            data,
            label,
            description,
            not_trust_application=fields.get("KeychainNotTrustApplication") is True,
            not_synchronizable=fields.get("KeychainNotSynchronizable") is True,
        )
