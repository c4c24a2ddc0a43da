"""Items in stores that keep bytes under a name and nothing beside them.

aws-vault puts an item's data there as it is and drops its label. So does `pack`, if the label and the description are
those that every such item has, for `unpack` knows these by the name. An item that would lose something is written
with a first line that says the rest; aws-vault does not know that line.
"""

from __future__ import annotations

import binascii
import json

from strongroom.credentials import show_time
from strongroom.errors import ItemDamaged
from strongroom.keystore import Item

# Stands before the data of an item that is not plain; no JSON and no text begins so.
_MARK = b"\x00strongroom-item "

_OIDC = "oidc:"


def pack(item: Item) -> bytes:
    """Write an item without its name; never empty."""
    if item.data and not item.data.startswith(_MARK) and _usual(item.key, item.data) == item:
        return item.data
    rest = {
        "Label": item.label,
        "Description": item.description,
        "KeychainNotTrustApplication": item.not_trust_application,
        "KeychainNotSynchronizable": item.not_synchronizable,
    }
    told = {name: value for name, value in rest.items() if value}
    return _MARK + json.dumps(told, separators=(",", ":")).encode("ascii") + b"\n" + item.data


def unpack(key: str, payload: bytes) -> Item:
    """Read what `pack` or aws-vault wrote under the name *key*.

    Raises:
        ItemDamaged: It begins like ours, and does not go on like that.
    """
    if not payload.startswith(_MARK):
        return _usual(key, payload)
    head, _, data = payload[len(_MARK) :].partition(b"\n")
    try:
        told = json.loads(head)
        label, description = told.get("Label", ""), told.get("Description", "")
        if not isinstance(label, str) or not isinstance(description, str):
            raise TypeError  # noqa: TRY301 - the same answer as for every other shape that is not ours
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise ItemDamaged(key, f"item {key!r} is damaged: its first line cannot be read") from None
    return Item(
        key,
        data,
        label,
        description,
        not_trust_application=told.get("KeychainNotTrustApplication") is True,
        not_synchronizable=told.get("KeychainNotSynchronizable") is True,
    )


def _usual(key: str, data: bytes) -> Item:
    """Return the item of that name and data with the label that it has in every other store."""
    if key.startswith(_OIDC):
        until = _expiration(data)
        return Item(
            key, data, f"aws-vault oidc token for {key[len(_OIDC) :]} (expires {until})", "aws-vault oidc token"
        )
    session = _session(key)
    if session:
        return Item(
            key, data, f"aws-vault session for {session[0]} (expires {show_time(session[1])})", "aws-vault session"
        )
    return Item(key, data, f"aws-vault ({key})", not_trust_application=True)


def _expiration(data: bytes) -> str:
    """Return when a token of IAM Identity Center expires, as its data has it."""
    try:
        return str(json.loads(data)["Expiration"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""


def _session(key: str) -> tuple[str, int] | None:
    """Return whose session an item is, and until when: ``<type>,<base64 profile>,<base64 serial>,<end>``.

    What is no such name is a long-term key's; that some odd name is taken for the one or the other here costs it a
    first line, and nothing else.
    """
    parts = key.split(",")
    if len(parts) != 4 or not (parts[3].isascii() and parts[3].isdigit() and len(parts[3]) <= 11):
        return None
    try:
        coded = parts[1].replace("-", "+").replace("_", "/")
        return binascii.a2b_base64(coded + "=" * (-len(coded) % 4)).decode(), int(parts[3])
    except ValueError:
        return None
