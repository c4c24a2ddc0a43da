"""Names for profiles, made of what is known of a role: no two the same, none that somebody has, none to be quoted."""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from strongroom import vault
from strongroom.profiles import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from strongroom.sso.discovery import Role

TEMPLATE = "{account_name}-{role_name}"
PLACEHOLDERS = ("account_name", "account_id", "role_name", "email", "session")

# Besides letters and digits: what shells, the config file, and the names of stored items take for no more than itself.
_PLAIN = "._+=@-"
_SLASH = "/"

# What is put after names that are the same.
_TELLING_APART = ("account_id", "role_name")


class Template:
    """A pattern for names, such as ``{account_name}-{role_name}``.

    Args:
        text: The pattern: `PLACEHOLDERS` in braces, letters, digits, and some signs.

    Raises:
        ValueError: It is none; the message says why.
    """

    def __init__(self, text: str) -> None:
        try:
            self._parts = list(string.Formatter().parse(text))
        except ValueError as error:
            raise ValueError(f"{text!r}: {error}") from None
        known = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        for literal, field, form, conversion in self._parts:
            for character in literal:
                if not _is_plain(character) and character != _SLASH:
                    raise ValueError(f"{character!r} cannot be part of a name")
            if field is not None and (field not in PLACEHOLDERS or form or conversion):
                raise ValueError(f"{text!r} holds something in braces that is none of {known}")
        if not text or text[0] == "-":
            raise ValueError(f"{text!r} cannot begin a name")
        self.fields = frozenset(field for _, field, _, _ in self._parts if field is not None)

    def name(self, role: Role, session: str) -> str:
        """The name for a role; what a role lacks, or has no plain character in, is replaced by its account's number."""
        values = {
            "account_name": role.account_name,
            "account_id": role.account_id,
            "role_name": role.role_name,
            "email": role.email,
            "session": session,
        }
        return "".join(
            literal + (_plain(values[field]) or role.account_id if field is not None else "")
            for literal, field, _, _ in self._parts
        )


def assign(roles: Iterable[Role], template: Template, session: str, taken: Container[str]) -> dict[Role, str]:
    """A name for each role, whatever the order in which they come.

    Those that would be the same, or are *taken*, get the account's number at the end, then the role's name, then a
    count.
    """
    left = sorted(set(roles))
    names: dict[Role, str] = {}
    given: set[str] = set()
    suffixes = dict.fromkeys(left, "")
    for more in ("", *_TELLING_APART):
        if more in template.fields:
            continue
        if more:
            suffixes = {role: f"{suffixes[role]}-{_plain(getattr(role, more)) or role.account_id}" for role in left}
        wanted = {role: template.name(role, session) + suffixes[role] for role in left}
        counts = Counter(wanted.values())
        names |= {role: name for role, name in wanted.items() if counts[name] == 1 and _is_free(name, taken, given)}
        given.update(names.values())
        left = [role for role in left if role not in names]
    for role in left:
        name, count = template.name(role, session) + suffixes[role], 2
        while not _is_free(f"{name}-{count}", taken, given):
            count += 1
        names[role] = f"{name}-{count}"
        given.add(names[role])
    return names


def _is_free(name: str, taken: Container[str], given: Container[str]) -> bool:
    usable = name != DEFAULT and vault.kind_of(name) == vault.CREDENTIAL
    return usable and name not in taken and name not in given


def _plain(text: str) -> str:
    """*text* with a dash for each run of other characters: ``Prod (EU)`` is ``Prod-EU``."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(character if _is_plain(character) else " " for character in composed)
    return "-".join(kept.split()).strip("-.")


def _is_plain(character: str) -> bool:
    return character.isalnum() or character in _PLAIN
