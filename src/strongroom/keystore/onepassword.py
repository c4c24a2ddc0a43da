"""What an item looks like in 1Password, whichever way leads there: the same shape as aws-vault's, so that both find it.

An item is of the category API Credential, has our tag, is titled ``<prefix>: <key>``, and holds one concealed field,
``keyring``, whose value is the JSON of `Item`. Everything else in the vault is somebody else's.
"""

from __future__ import annotations

import time
from calendar import timegm
from typing import TYPE_CHECKING, Any

from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError, KeystoreUnavailable
from strongroom.keystore import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CATEGORY = "API_CREDENTIAL"
FIELD = "keyring"
DEFAULT_PREFIX = "aws-vault"
# How long 1Password may take over one call.
DEFAULT_TIMEOUT_SECONDS = 15.0

_TWICE = "remove one of them in 1Password, or all of them by removing the item here"


class Layout:
    """Which items of a vault are ours, and what they are called.

    Args:
        vault: The vault's id.
        prefix: What titles begin with.
        tag: The tag that our items have.
    """

    __slots__ = ("prefix", "tag", "vault")

    def __init__(self, vault: str, prefix: str = DEFAULT_PREFIX, tag: str = DEFAULT_PREFIX) -> None:
        self.vault = vault
        self.prefix = prefix
        self.tag = tag

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Layout:
        """Read the settings ``op_vault_id``, ``op_item_title_prefix`` and ``op_item_tag``.

        Raises:
            KeystoreUnavailable: There is no vault to look into.
        """
        vault = settings.get("op_vault_id")
        if not vault:
            raise KeystoreUnavailable(
                "no 1Password vault is named", "give --op-vault-id, or set AWS_VAULT_OP_VAULT_ID to the vault's id"
            )
        return cls(
            str(vault),
            str(settings.get("op_item_title_prefix") or DEFAULT_PREFIX),
            str(settings.get("op_item_tag") or DEFAULT_PREFIX),
        )

    def beside(self, collection: str) -> Layout:
        """Where another collection is: in the same vault, under titles and a tag that this one does not look at."""
        return Layout(self.vault, f"{self.prefix}-{collection}", f"{self.tag}-{collection}")

    @property
    def location(self) -> str:
        """Where the items are, for people."""
        return f"1Password, vault {self.vault}, items {self.prefix!r}"

    def ids(self, summaries: Any) -> dict[str, list[tuple[str, float | None]]]:
        """Pick our items from a list of a vault's.

        Args:
            summaries: What 1Password lists, as JSON; the same names in each of its interfaces, but for the case.

        Returns:
            Key -> the id and the time of the last change of each item that has this title.

        Raises:
            KeystoreError: It is no such list.
        """
        found: dict[str, list[tuple[str, float | None]]] = {}
        start = f"{self.prefix}: "
        try:
            for each in summaries or ():
                title, tags = each["title"], each.get("tags") or ()
                ours = each["category"] == CATEGORY and self.tag in tags and title.startswith(start)
                if ours and each.get("state") not in {"ARCHIVED", "DELETED"}:
                    changed = epoch(each.get("updatedAt") or each.get("updated_at") or "")
                    found.setdefault(title[len(start) :], []).append((str(each["id"]), changed))
        except (TypeError, KeyError, AttributeError):
            raise KeystoreError("1Password's answer is no list of items") from None
        return found

    def written(self, item: Item, id: str = "") -> dict[str, Any]:  # noqa: A002 - 1Password's word
        """Return the whole item as 1Password takes it; with *id*, in place of that one.

        Raises:
            KeystoreError: 1Password cannot hold it.
        """
        try:
            item.key.encode("utf-8")
        except UnicodeEncodeError:
            raise KeystoreError(f"cannot store item {item.key!r}: 1Password's titles are Unicode text") from None
        whole: dict[str, Any] = {
            "title": f"{self.prefix}: {item.key}",
            "category": CATEGORY,
            "vault": {"id": self.vault},
            "tags": [self.tag],
            "fields": [{"id": FIELD, "type": "CONCEALED", "label": FIELD, "value": item.to_json().decode("ascii")}],
        }
        return {"id": id, **whole} if id else whole

    def read(self, key: str, whole: Any) -> Item:
        """Take the item *key* out of what 1Password has under its id.

        Raises:
            ItemDamaged: It does not hold exactly one such field, or that holds something else.
        """
        try:
            # Fields that belong to the category and were left empty are shown by some of 1Password's interfaces.
            concealed = [f for f in whole["fields"] if f.get("type") == "CONCEALED" and f.get("value")]
            if [field.get("label") for field in concealed] != [FIELD]:
                raise ItemDamaged(key, f"item {key!r} is damaged: it has not just the one field {FIELD!r}")
            value = concealed[0]["value"].encode("utf-8", "surrogatepass")
        except (TypeError, KeyError, AttributeError):
            raise ItemDamaged(key, f"item {key!r} is damaged: it is no item as 1Password shows them") from None
        return Item.from_json(key, value)


def only(key: str, found: list[tuple[str, float | None]], location: str) -> str:
    """Return the id of the one item that is called *key*.

    Raises:
        ItemNotFound: There is none.
        ItemDamaged: There are several, and nothing says which one counts.
    """
    if not found:
        raise ItemNotFound(key, f"no item {key!r} in {location}")
    if len(found) > 1:
        raise ItemDamaged(key, f"item {key!r} is there {len(found)} times in {location}", _TWICE)
    return found[0][0]


def modified(found: Mapping[str, Iterable[tuple[str, float | None]]]) -> dict[str, float | None]:
    """Tell when each item was last changed."""
    return {key: max((when for _, when in each if when is not None), default=None) for key, each in found.items()}


def epoch(text: str) -> float | None:
    """Read a time as 1Password writes it (RFC 3339, UTC), in epoch seconds; None if it is something else."""
    try:
        return float(timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
    except (ValueError, TypeError):
        return None
