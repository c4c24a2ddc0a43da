"""Item names as names of entries in a password store, both ways.

An entry is a path below the store; aws-vault takes an item's name for it as it is, and cleans the path. A name that
cleaning would change, that leads elsewhere (``../x``), or that the program would take for an option is written with
``%XX`` for some of its characters, so that no two names are the same entry. All other names, nearly all there are, are
aws-vault's. So are the tokens of IAM Identity Center: their ``oidc:https://`` has one slash there.
"""

from __future__ import annotations

import os
import re

from strongroom.keystore.filenames import LIMIT_BYTES, decode

# What cleaning makes of a start URL; an item's name that looks like that already is written in another way.
_TOKEN = re.compile(r"(oidc:https?:)//(?=[^/])")
_CLEANED = re.compile(r"(oidc:https?:)/(?=.)", re.DOTALL)
_LIKE_CLEANED = re.compile(r"(oidc:https?:)/")

# What a path of a shell program's should not hold, and a "%" that reading would take for an escape.
_SPECIAL = re.compile(r"[\x01-\x1f\x7f]|%(?=[0-9A-Fa-f]{2})")


def encode(key: str, suffix: str) -> str:
    """Turn an item's name into its entry's.

    Args:
        key: The item's name.
        suffix: What the program puts behind it for the file's name.

    Raises:
        ValueError: No entry can have that name; the message says why.
    """
    if not key:
        raise ValueError("it has no name")
    if "\0" in key:
        raise ValueError("its name holds a NUL character")
    token = _TOKEN.match(key)
    if token:
        entry = f"{token[1]}/{_path(key[token.end() :], suffix)}"
    else:
        like = _LIKE_CLEANED.match(key)
        entry = f"{like[1]}%2F{_path(key[like.end() :], suffix)}" if like else _path(key, suffix)
    if entry.startswith("-"):
        entry = _escape(entry)
    try:
        size = max(len(os.fsencode(part)) for part in f"{entry}{suffix}".split("/"))
    except UnicodeEncodeError:
        raise ValueError("its name holds half a character (a lone surrogate)") from None
    if size > LIMIT_BYTES:
        raise ValueError(f"its file name would have {size} bytes, and a file system takes {LIMIT_BYTES}")
    return entry


def read(entry: str) -> str:
    """Turn an entry's name into the item's name."""
    return decode(_CLEANED.sub(r"\1//", entry, count=1) if _CLEANED.match(entry) else entry)


def _path(text: str, suffix: str) -> str:
    """Write a path that cleaning leaves alone: no part is empty, hidden, or called like a file of the program's."""
    parts = [_SPECIAL.sub(lambda found: _escape(found[0]), part) for part in text.split("/")]
    joined = parts[0]
    for number, part in enumerate(parts[1:]):
        is_literal = parts[number] and (part or number + 2 < len(parts))
        joined += ("/" if is_literal else "%2F") + part
    *above, last = joined.split("/")
    above = [f"{part[: -len(suffix)]}{_escape(suffix)}" if part.endswith(suffix) else part for part in above]
    return "/".join(_escape(part) if part.startswith(".") else part for part in [*above, last])


def _escape(text: str) -> str:
    """Write the first character as ``%XX``."""
    return f"%{ord(text[0]):02X}{text[1:]}"
