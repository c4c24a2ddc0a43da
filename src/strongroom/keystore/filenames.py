"""Item names as file names, both ways, as aws-vault writes them: percent-encoded, no two the same.

On POSIX only ``/`` and ``%`` are encoded, and what the system or this store would take for something else. Windows
refuses more ("Naming Files, Paths, and Namespaces" in its documentation). Reading decodes any ``%XX``, so that a
directory may move between systems.
"""

from __future__ import annotations

import binascii
import os
import sys

from strongroom.durable import TEMPORARY_PREFIX

# What a single file name may hold, in bytes, on every common file system (NAME_MAX).
LIMIT_BYTES = 255

_POSIX = "%/"
_WINDOWS = '%/<>:"\\|?*' + "".join(map(chr, range(1, 32)))
_DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"}
_DEVICES |= {port + digit for port in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3"}


def encode(key: str, *, windows: bool = sys.platform == "win32") -> str:
    """Turn an item's name into its file's name.

    Raises:
        ValueError: No file can have that name; the message says why.
    """
    if not key:
        raise ValueError("it has no name")
    if "\0" in key:
        raise ValueError("its name holds a NUL character")
    special = _WINDOWS if windows else _POSIX
    # Most names need nothing: this stands on the path of every read.
    name = key if not any(c in special for c in key) else "".join(_escape(c) if c in special else c for c in key)
    if name in {".", ".."} or name.startswith(TEMPORARY_PREFIX):
        name = _escape(name[0]) + name[1:]
    if windows:
        name = _windows(name)
    try:
        size = len(os.fsencode(name))
    except UnicodeEncodeError:
        raise ValueError("its name holds half a character (a lone surrogate)") from None
    if size > LIMIT_BYTES:
        raise ValueError(f"its file name would have {size} bytes, and a file system takes {LIMIT_BYTES}")
    return name


def decode(name: str) -> str:
    """Turn a file's name into the item's name; a ``%`` without two hexadecimal digits after it stands for itself."""
    if "%" not in name:
        return name
    first, *parts = os.fsencode(name).split(b"%")
    return os.fsdecode(first + b"".join(map(_unescape, parts)))


def beside(directory: str, collection: str) -> str:
    """The directory of another collection, next to one of items, and never that one itself."""
    above, name = os.path.split(os.path.normpath(directory))
    return os.path.join(above, f"{collection}-own" if name.casefold() == collection else collection)


def _escape(character: str) -> str:
    return f"%{ord(character):02X}"


def _unescape(part: bytes) -> bytes:
    try:
        return binascii.unhexlify(part[:2]) + part[2:] if len(part) > 1 else b"%" + part
    except binascii.Error:
        return b"%" + part


def _windows(name: str) -> str:
    """Change what Windows would: it drops dots and blanks at the end, and opens devices by name, with any extension."""
    if name[-1] in ". ":
        name = name[:-1] + _escape(name[-1])
    if name.split(".")[0].rstrip(" ").upper() in _DEVICES:
        name = _escape(name[0]) + name[1:]
    return name
