"""Bytes under a passphrase, as a compact JWE: the one form that aws-vault's ``file`` keystore writes.

The compact serialisation is RFC 7516, section 7.1: five base64url parts with dots between them.

====================  =======================================================================================
protected header      JSON: ``alg`` PBES2-HS256+A128KW, ``enc`` A256GCM, ``p2c`` iterations, ``p2s`` salt input
encrypted key         a fresh 256-bit content key, wrapped (RFC 3394) with a key derived from the passphrase by
                      PBKDF2-HMAC-SHA256 over ``alg || 0x00 || p2s`` (RFC 7518, section 4.8)
initialisation vector 96 bits
ciphertext            AES-256-GCM, with the encoded header as additional authenticated data (RFC 7518, 5.3)
authentication tag    128 bits
====================  =======================================================================================

No other algorithm is read: the header comes before any authentication, so what it may choose is kept to a minimum.
"""

from __future__ import annotations

import binascii
import json
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from strongroom.errors import KeystoreLocked

ALGORITHM = "PBES2-HS256+A128KW"
ENCRYPTION = "A256GCM"

# What aws-vault writes. Everything that it can read may be more, up to the limit below.
DEFAULT_ITERATIONS = 8192
# RFC 7518, section 4.8.1.2: "A minimum iteration count of 1000 is RECOMMENDED."
MIN_ITERATIONS = 1000
# jose2go, which aws-vault reads with, refuses more for this algorithm: a header must not keep a reader busy for hours.
MAX_ITERATIONS = 1_300_000

# RFC 7518, section 4.8.1.1: "A Salt Input value containing 8 or more octets MUST be used."
MIN_SALT_BYTES = 8
SALT_BYTES = 12
KEY_BYTES = 32
WRAPPED_BYTES = KEY_BYTES + 8
VECTOR_BYTES = 12
TAG_BYTES = 16

# How every compact JWE begins: base64url of '{"' and most of a letter.
PREFIX = b"eyJ"


class Sealed:
    """A compact JWE, parsed and not opened. Made by `parse`."""

    __slots__ = ("ciphertext", "header", "iterations", "salt", "tag", "vector", "wrapped")

    def __init__(self, header: bytes, fields: dict[str, object], parts: list[bytes]) -> None:
        self.header = header
        self.iterations, self.salt = _parameters(fields)
        self.wrapped, self.vector, self.ciphertext, self.tag = parts
        sizes = len(self.wrapped), len(self.vector), len(self.tag)
        if sizes != (WRAPPED_BYTES, VECTOR_BYTES, TAG_BYTES):
            raise ValueError("it is cut short, or one of its parts has the wrong length")

    def open(self, passphrase: bytes) -> bytes:
        """Decrypt.

        Raises:
            KeystoreLocked: The wrapped key does not open: a wrong passphrase, or a damaged key. Nothing in the format
                tells these two apart.
            ValueError: The key opened, and the content or the header was changed since it was written.
        """
        try:
            key = aes_key_unwrap(_derive(passphrase, self.salt, self.iterations), self.wrapped)
        except InvalidUnwrap:
            raise KeystoreLocked("wrong passphrase") from None
        try:
            return AESGCM(key).decrypt(self.vector, self.ciphertext + self.tag, self.header)
        except InvalidTag:
            raise ValueError("its content was changed after it was written") from None


def parse(token: bytes) -> Sealed:
    """Take a compact JWE apart, as far as that goes without the passphrase.

    Args:
        token: The five parts; a line end after them is allowed.

    Raises:
        ValueError: It is none, or not one of ours; the message says which, and never quotes it.
    """
    parts = token.rstrip(b"\r\n").split(b".")
    if not token.startswith(PREFIX):
        raise ValueError("it is not an encrypted item")
    if len(parts) != 5:
        raise ValueError("it is cut short" if len(parts) < 5 else "it is not an encrypted item")
    try:
        fields = json.loads(_decode(parts[0]).decode())  # an object, since it begins as `PREFIX` says
    except (ValueError, RecursionError):
        raise ValueError("its header is not JSON") from None
    return Sealed(parts[0], fields, [_decode(part) for part in parts[1:]])


def encrypt(plaintext: bytes, passphrase: bytes, iterations: int = DEFAULT_ITERATIONS) -> bytes:
    """Encrypt *plaintext* under *passphrase*, with a fresh salt, key and vector each time."""
    salt = os.urandom(SALT_BYTES)
    # aws-vault sorts the header and adds the time of writing in clear, which nobody reads: left out here.
    fields = {"alg": ALGORITHM, "enc": ENCRYPTION, "p2c": iterations, "p2s": _encode(salt).decode("ascii")}
    header = _encode(json.dumps(fields, separators=(",", ":")).encode("ascii"))
    key, vector = os.urandom(KEY_BYTES), os.urandom(VECTOR_BYTES)
    wrapped = aes_key_wrap(_derive(passphrase, salt, iterations), key)
    sealed = AESGCM(key).encrypt(vector, plaintext, header)
    parts = (wrapped, vector, sealed[:-TAG_BYTES], sealed[-TAG_BYTES:])
    return b".".join((header, *(_encode(part) for part in parts)))


def decrypt(token: bytes, passphrase: bytes) -> bytes:
    """Open a compact JWE; the errors are those of `parse` and `Sealed.open`."""
    return parse(token).open(passphrase)


def _parameters(fields: dict[str, object]) -> tuple[int, bytes]:
    """Check the header, which is not authenticated yet, and return its iterations and salt."""
    for name, known in (("alg", ALGORITHM), ("enc", ENCRYPTION)):
        if fields.get(name) != known:
            raise ValueError(f"its algorithm is not supported ({name} {fields.get(name)!r:.40}, not {known!r})")
    for name in ("crit", "zip"):  # RFC 7516, 4.1.3 and 4.1.13: what is not understood must be refused
        if name in fields:
            raise ValueError(f"its header asks for {name!r}, which is not supported")
    iterations, salt = fields.get("p2c"), fields.get("p2s")
    if type(iterations) is not int or not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
        raise ValueError(
            f"its iteration count (p2c {iterations!r:.40}) is not between {MIN_ITERATIONS} and {MAX_ITERATIONS}"
        )
    if not isinstance(salt, str):
        raise ValueError("its header has no salt (p2s)")  # noqa: TRY004 - one kind of error for one kind of trouble
    salt_input = _decode(salt.encode())
    if len(salt_input) < MIN_SALT_BYTES:
        raise ValueError(f"its salt (p2s) is shorter than {MIN_SALT_BYTES} bytes")
    return iterations, salt_input


def _derive(passphrase: bytes, salt_input: bytes, iterations: int) -> bytes:
    salt = ALGORITHM.encode("ascii") + b"\0" + salt_input
    return PBKDF2HMAC(SHA256(), 16, salt, iterations).derive(passphrase)


def _encode(data: bytes) -> bytes:
    return binascii.b2a_base64(data, newline=False).rstrip(b"=").replace(b"+", b"-").replace(b"/", b"_")


def _decode(part: bytes) -> bytes:
    """Read base64url without padding; only the one canonical spelling, so that no byte can be changed unnoticed."""
    try:
        text = part.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(part) % 4)
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error:
        data = b""
    if _encode(data) != part:
        raise ValueError("it is cut short, or holds characters that do not belong there")
    return data
