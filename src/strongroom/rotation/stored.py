"""The stored long-term keys, read anew each time: while one is rotated, they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.errors import ItemNotFound, KeystoreError
from strongroom.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.credentials import Credentials


class StoredKeys:
    """Those of a vault.

    Args:
        vault: Where they are.
    """

    def __init__(self, vault: Vault) -> None:
        self.vault = vault

    def key(self, name: str) -> Credentials:
        """The key of a profile.

        Raises:
            KeystoreError: It cannot be read.
        """
        return Vault(self.vault.keystore).key(name)  # a new one: a vault opens a key once

    def key_id(self, name: str) -> str:
        """The id of the key that is stored for a profile; empty if there is none.

        Raises:
            KeystoreError: It cannot be read.
        """
        try:
            return self.key(name).access_key_id
        except ItemNotFound:
            return ""

    def copies(self, name: str, key_id: str, warn: Callable[[str], None]) -> list[str]:
        """The profiles other than *name* that the same key is stored for."""
        found = []
        for each in self.vault.credentials():
            try:
                if each != name and self.key_id(each) == key_id:
                    found.append(each)
            except KeystoreError as error:
                warn(f"whether {each!r} has the same key cannot be told: {error.message}")
        return found
