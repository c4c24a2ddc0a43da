"""What only strongroom understands, apart from the items that aws-vault reads too: a second collection of the store.

aws-vault lists, sweeps and migrates whatever it finds in its own collection, so nothing of this may be there.

====================  ==========================================  =====================================================
kind                  name                                        fields
====================  ==========================================  =====================================================
``rotation``          the profile whose key is stored             the journal of a rotation under way
``totp``              an MFA device's serial                      its seed
``sso-registration``  what the client was registered for          client id and secret
``sso-refresh``       what the user signed in to                  a refresh token
``sso-cli-cache``     digests of a path and what we wrote there   the path
``session``           see `strongroom.narrowed`                   a session narrowed for one run
====================  ==========================================  =====================================================
"""

from __future__ import annotations

import json

from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreLocked
from strongroom.keystore import Item

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from strongroom.keystore import Keystore

# The collection's name, as `strongroom.keystore.Keystore.beside` takes it.
COLLECTION = "strongroom"

# The kind of the journals of rotations: here, so that who merely lists them does not import what rotates.
ROTATION = "rotation"


class OwnItems:
    """Items of our own over the second collection of a keystore.

    Args:
        keystore: That collection.
    """

    __slots__ = ("keystore",)

    def __init__(self, keystore: Keystore) -> None:
        self.keystore = keystore

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """The fields of an item; None if it is not there, damaged, or under a passphrase of former times.

        Raises:
            PromptError: The passphrase could not be asked.
            KeystoreError: The store cannot be read.
        """
        try:
            fields = json.loads(self.keystore.get(_key(kind, name)).data)
        except (ItemNotFound, ItemDamaged, KeystoreLocked, ValueError, RecursionError):
            return None
        return fields if isinstance(fields, dict) else None

    def put(self, kind: str, name: str, fields: Mapping[str, Any]) -> None:
        """Store an item in place of the one that is there.

        Raises:
            KeystoreError: It could not be stored; an older one is intact.
        """
        data = json.dumps(dict(fields)).encode()
        self.keystore.set(Item(_key(kind, name), data, label=f"strongroom {kind} of {name}"))

    def remove(self, kind: str, name: str) -> bool:
        """Remove an item; tells whether it was there.

        Raises:
            KeystoreError: It could not be removed.
        """
        try:
            self.keystore.remove(_key(kind, name))
        except ItemNotFound:
            return False
        return True

    def names(self, kind: str) -> list[str]:
        """The names of the items of a kind, sorted.

        Raises:
            KeystoreError: The store cannot be read.
        """
        return sorted(self.times(kind))

    def times(self, kind: str) -> dict[str, float | None]:
        """When the items of a kind were last changed, epoch seconds, by their names; None if the store does not know.

        Raises:
            KeystoreError: The store cannot be read.
        """
        prefix = _key(kind, "")
        listing = self.keystore.listing()
        return {key.removeprefix(prefix): at for key, at in listing.items() if key.startswith(prefix)}


def _key(kind: str, name: str) -> str:
    return f"{kind}:{name}"
