"""age's files under a passphrase, written from their specification (https://c2sp.org/age): in a millisecond.

pyrage and ``age`` make a passphrase as expensive to try as the machine allows, a second or more; nothing in the format
asks for that, and a test has no time for it.
"""

import base64
import hashlib
import hmac
import os

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

WORK_FACTOR = 2
CHUNK = 64 * 1024


def seal_by_passphrase(content: bytes, passphrase: str) -> bytes:
    """Encrypt, with next to no work for whoever tries passphrases."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    key = hashlib.scrypt(
        passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=2**WORK_FACTOR, r=8, p=1, dklen=32
    )
    stanza = f"-> scrypt {_base64(salt)} {WORK_FACTOR}\n{_base64(ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None))}\n"
    header = f"age-encryption.org/v1\n{stanza}---".encode()
    mac = hmac.digest(_derive(file_key, b"", b"header"), header, "sha256")
    cipher = ChaCha20Poly1305(_derive(file_key, nonce, b"payload"))
    chunks = [content[at : at + CHUNK] for at in range(0, len(content), CHUNK)] or [b""]
    payload = b"".join(
        cipher.encrypt(number.to_bytes(11, "big") + bytes([number == len(chunks) - 1]), chunk, None)
        for number, chunk in enumerate(chunks)
    )
    return header + b" " + _base64(mac).encode() + b"\n" + nonce + payload


def _derive(key: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(key)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
