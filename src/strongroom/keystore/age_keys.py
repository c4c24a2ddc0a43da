"""Keys of age (https://age-encryption.org/v1): recipients, which encrypt, and identities, which decrypt.

Either may be age's own or a key of SSH. A key of SSH may have a passphrase, and so may a file of age's identities.
"""

from __future__ import annotations

import binascii
import os
import stat
import sys

import pyrage

from strongroom.errors import ConfigError, KeystoreError, KeystoreLocked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from strongroom.keystore import Ask

# How often a passphrase is asked before giving up.
TRIES = 3
# Far above any file of keys.
LIMIT_BYTES = 1 << 20

_SSH = ("ssh-ed25519 ", "ssh-rsa ")
_ARMOUR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_BINARY = b"age-encryption.org/v1\n"
_PEM = b"-----BEGIN "
_BEGIN_OPENSSH = b"-----BEGIN OPENSSH PRIVATE KEY-----"
# In the head of a key with a passphrase as OpenSSL wrote it, long ago (RFC 1421 section 4.6.1.1).
_OLD_AND_LOCKED = b"ENCRYPTED"
_OPENSSH = b"openssh-key-v1\0"

# The setting that names a file of identities, unless something else did.
SETTING = "age_identity"

_HOW = "`age-keygen -o FILE` makes an identity; a key of SSH (ed25519 or RSA) is one, too"


def read(path: str, what: str) -> bytes:
    """Read a file of keys.

    Args:
        path: Where it is.
        what: The setting that says so.

    Raises:
        KeystoreError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise KeystoreError(f"cannot read {what} {path!r}: {(error.strerror or '').lower()}", _HOW) from error
    if len(content) > LIMIT_BYTES:
        raise KeystoreError(f"{what} {path!r} is no file of keys: it has more than {LIMIT_BYTES} bytes")
    return content


def is_loose(path: str) -> bool:
    """Whether others may read a file."""
    return sys.platform != "win32" and bool(stat.S_IMODE(os.stat(path).st_mode) & 0o077)


def named_recipients(setting: str) -> list[str]:
    """Read the setting ``age_recipients``: recipients with commas between them, or the path of a file with one a line.

    Raises:
        KeystoreError: There is such a file, and it cannot be read.
    """
    if setting.startswith(("age1", *_SSH)):
        return [each.strip() for each in setting.split(",") if each.strip()]
    lines = read(setting, "age_recipients").decode("utf-8", "replace").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def recipients(texts: Iterable[str]) -> list[Any]:
    """Make recipients of their texts.

    Raises:
        ConfigError: One is none.
    """
    return [_recipient(text) for text in texts]


def _recipient(text: str) -> Any:
    try:
        if text.startswith(_SSH):
            return pyrage.ssh.Recipient.from_str(text)
        return pyrage.x25519.Recipient.from_str(text)
    except pyrage.RecipientError as error:
        # It is shown: a recipient is public. Something else may be not, such as an identity in the wrong place.
        shown = f": {text!r}" if text.startswith(("age1", *_SSH)) else ""
        raise ConfigError(f"age_recipients holds something that is no recipient{shown}", _HOW) from error


def public(path: str, what: str = SETTING) -> list[str]:
    """Return the recipients that the identities in a file belong to. Nobody is asked for a passphrase.

    Args:
        path: The file.
        what: The setting or the flag that names it.

    Raises:
        KeystoreError: They cannot be told without a passphrase.
    """
    content = read(path, what)
    if content.startswith(_PEM) and not content.startswith(_ARMOUR):
        return [_public_of_ssh(path, content, what)]
    if not content.startswith((_ARMOUR, _BINARY)):
        return [str(identity.to_public()) for identity in _own(path, content, what)]
    raise KeystoreError(
        f"{what} {path!r} is encrypted, and does not say for whom to encrypt",
        "set age_recipients to its public key, which age-keygen printed",
    )


def _public_of_ssh(path: str, content: bytes, what: str) -> str:
    """Return the public half of a key of SSH: of the file itself, if it has it in the clear, or of that beside it."""
    _, inside = _clear(content)
    if inside:
        return inside
    try:
        with open(f"{path}.pub", encoding="ascii", errors="replace") as file:
            return file.readline(LIMIT_BYTES).strip()
    except OSError:
        raise KeystoreError(
            f"cannot tell the public key of {what} {path!r}", f"ssh-keygen -y -f {path} > {path}.pub"
        ) from None


def _clear(content: bytes) -> tuple[str, str]:
    """Read what OpenSSH's own format has in the clear: the cipher of the rest ("none"), and the public key.

    PROTOCOL.key of OpenSSH: magic, then strings (cipher, kdf, kdf's options), a count, and the public key. Of other
    formats, and of broken files, nothing is known: two empty texts.
    """
    if not content.startswith(_BEGIN_OPENSSH):
        return "", ""
    try:
        rest = binascii.a2b_base64(content[len(_BEGIN_OPENSSH) :].partition(b"-----")[0])[len(_OPENSSH) :]
    except ValueError:
        return "", ""
    cipher, rest = _string(rest)
    _, rest = _string(rest)
    _, rest = _string(rest)
    blob, _ = _string(rest[4:])
    kind, _ = _string(blob)
    if not kind:
        return "", ""
    encoded = binascii.b2a_base64(blob, newline=False).decode("ascii")
    return cipher.decode("ascii", "replace"), f"{kind.decode('ascii', 'replace')} {encoded}"


def _string(data: bytes) -> tuple[bytes, bytes]:
    """Split data behind the string it begins with: four bytes of length, and so many bytes (RFC 4251 section 5)."""
    end = 4 + int.from_bytes(data[:4], "big")
    return data[4:end], data[end:]


def identities(path: str, ask: Ask, what: str = SETTING) -> list[Any]:
    """Read the identities in a file.

    Args:
        path: An SSH private key, or a file of age's identities; either may have a passphrase.
        ask: How to ask for that.
        what: The setting or the flag that names the file.

    Raises:
        KeystoreError: The file holds no identities, or none that can be used.
        KeystoreLocked: Its passphrase is wrong.
        PromptError: The passphrase could not be asked.
    """
    content = read(path, what)
    if content.startswith((_ARMOUR, _BINARY)):
        return _own(path, _asked(path, ask, lambda passphrase: _decrypted(content, passphrase), what), what)
    if content.startswith(_PEM):
        return [_ssh(path, content, ask, what)]
    return _own(path, content, what)


def _own(path: str, content: bytes, what: str) -> list[Any]:
    """Read age's own identities, one a line."""
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    try:
        found = [pyrage.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    except pyrage.IdentityError:
        found = []  # no cause: it may quote a part of a secret
    if not found:
        raise KeystoreError(f"{what} {path!r} holds something that is no identity of age's", _HOW)
    return found


def _ssh(path: str, content: bytes, ask: Ask, what: str) -> Any:
    cipher, inside = _clear(content)
    if (cipher not in {"", "none"} and inside.startswith(_SSH)) or _OLD_AND_LOCKED in content[:200]:
        content = _asked(path, ask, lambda passphrase: _unlocked(content, passphrase), what)
    try:
        return pyrage.ssh.Identity.from_buffer(content)
    except pyrage.IdentityError:
        kind = f": {inside.split()[0]}" if inside and not inside.startswith(_SSH) else ""
        raise KeystoreError(f"{what} {path!r} is a key that age cannot use{kind}", _HOW) from None


def _asked(path: str, ask: Ask, attempt: Callable[[str], bytes | None], what: str) -> bytes:
    """Ask for a passphrase until an attempt with it succeeds."""
    message = f'Enter passphrase for "{path}": '
    for _ in range(TRIES):
        found = attempt(ask(message, confirm=False))
        if found is not None:
            return found
        message = f'Wrong passphrase. Enter passphrase for "{path}": '
    raise KeystoreLocked(f"wrong passphrase for {what} {path!r}")


def _decrypted(content: bytes, passphrase: str) -> bytes | None:
    """Open a file that age encrypted by a passphrase; None if that is wrong."""
    try:
        opened: bytes = pyrage.passphrase.decrypt(content, passphrase)
    except pyrage.DecryptError:
        return None
    return opened


def _unlocked(content: bytes, passphrase: str) -> bytes | None:
    """Return a key of SSH without its passphrase; None if that is wrong."""
    from cryptography.hazmat.primitives import serialization

    is_new = content.startswith(_BEGIN_OPENSSH)
    load = serialization.load_ssh_private_key if is_new else serialization.load_pem_private_key
    try:
        key = load(content, passphrase.encode("utf-8", "surrogateescape"))
    except (ValueError, TypeError):  # the latter for an empty one
        return None
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
