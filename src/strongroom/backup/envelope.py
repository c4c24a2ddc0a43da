"""What is around a backup: one file of age's (https://age-encryption.org/v1), which the program ``age`` opens too."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING

import pyrage

from strongroom.backup.archive import BackupError
from strongroom.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

BINARY = b"age-encryption.org/v1\n"
ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"

# What pyrage says; all else it says is of damage.
_WRONG_PASSPHRASE = "Decryption failed"  # noqa: S105 - it is none
_NOT_OURS = "No matching keys found"

# The first stanza of a file under a passphrase: such a file has no other.
_SCRYPT = b"-> scrypt "


def seal(content: bytes, recipients: Iterable[Any]) -> bytes:
    """Encrypt for those who hold the keys of *recipients*, made by `strongroom.keystore.age_keys`."""
    sealed: bytes = pyrage.encrypt(content, list(recipients))
    return sealed


def seal_by_passphrase(content: bytes, passphrase: str) -> bytes:
    """Encrypt under a passphrase.

    Raises:
        UsageError: It is no text.
    """
    try:
        sealed: bytes = pyrage.passphrase.encrypt(content, passphrase)
    except UnicodeEncodeError:
        raise UsageError("the passphrase holds bytes that are not UTF-8, and age takes only text") from None
    return sealed


def is_sealed(content: bytes) -> bool:
    """Whether a file begins as age's files do."""
    return content.startswith((BINARY, ARMOUR))


def wants_passphrase(content: bytes, path: str) -> bool:
    """Whether a file is under a passphrase; if not, it is for recipients.

    Raises:
        BackupError: It is no file of age's.
    """
    if not content:
        raise BackupError(f"{path} is no backup: it is empty")
    if content.startswith(ARMOUR):
        try:  # four characters stand for three bytes: these are enough for the first stanza's name
            line = content[len(ARMOUR) :].lstrip()[:60]
            content = binascii.a2b_base64(line)
        except binascii.Error:
            content = b""
    if not content.startswith(BINARY):
        raise BackupError(f"{path} is no backup: it is not encrypted by age")
    return content.startswith(BINARY + _SCRYPT)


def open_by_passphrase(content: bytes, passphrase: str, path: str) -> bytes | None:
    """Decrypt a file that is under a passphrase; None if that is wrong.

    Raises:
        BackupError: The file is cut short, or damaged.
    """
    try:
        opened: bytes = pyrage.passphrase.decrypt(content, passphrase)
    except UnicodeEncodeError:
        return None
    except pyrage.DecryptError as error:
        if str(error) == _WRONG_PASSPHRASE:
            return None
        raise _damaged(path) from None
    return opened


def open_by_identities(content: bytes, identities: Iterable[Any], path: str) -> bytes:
    """Decrypt a file that is for recipients.

    Raises:
        BackupError: It is for others, cut short, or damaged.
    """
    try:
        opened: bytes = pyrage.decrypt(content, list(identities))
    except pyrage.DecryptError as error:
        if str(error) == _NOT_OURS:
            raise BackupError(
                f"{path} is encrypted for somebody else than this identity",
                "--identity names the private key, or the file of age-keygen, that it was made for",
            ) from None
        raise _damaged(path) from None
    return opened


def _damaged(path: str) -> BackupError:
    return BackupError(f"{path} is cut short or damaged", "take another backup; nothing was read from this one")
