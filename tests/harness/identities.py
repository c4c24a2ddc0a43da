"""Keys for the tests of age: identities of its own, keys of SSH, and a writer of passphrase files that takes no second.

The format is https://age-encryption.org/v1; pyrage's own writer spends a second on each passphrase and has no knob.
"""

import base64
import hashlib
import hmac
import os

import pyrage
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

_FORMATS = {
    "openssh": serialization.PrivateFormat.OpenSSH,
    "pem": serialization.PrivateFormat.TraditionalOpenSSL,
    "pkcs8": serialization.PrivateFormat.PKCS8,
}


def age_identity(path):
    """Write a file as age-keygen does. Returns its public key."""
    identity = pyrage.x25519.Identity.generate()
    path.write_text(f"# created: 2026-11-22T10:00:00Z\n# public key: {identity.to_public()}\n{identity}\n")
    path.chmod(0o600)
    return str(identity.to_public())


def ssh_key(path, kind="ed25519", passphrase="", form="openssh"):
    """Write a file as ssh-keygen does. Returns its public key."""
    key = {
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "rsa": lambda: rsa.generate_private_key(65537, 2048),
        "ecdsa": lambda: ec.generate_private_key(ec.SECP256R1()),
    }[kind]()
    lock = serialization.NoEncryption()
    if passphrase and form == "openssh":
        # Two rounds of bcrypt, where ssh-keygen takes 24.
        builder = serialization.PrivateFormat.OpenSSH.encryption_builder()
        lock = builder.kdf_rounds(2).build(passphrase.encode())
    elif passphrase:
        lock = serialization.BestAvailableEncryption(passphrase.encode())
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, _FORMATS[form], lock))
    path.chmod(0o600)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return public.decode()


def _base64(data):
    return base64.b64encode(data).rstrip(b"=")


def _derived(secret, salt, info):
    first = hmac.digest(salt or bytes(32), secret, "sha256")
    return hmac.digest(first, info + b"\1", "sha256")


def under_passphrase(plaintext, passphrase, log_n=2):
    """Encrypt as ``age -p`` does, with less work."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    key = hashlib.scrypt(
        passphrase.encode(), salt=b"age-encryption.org/v1/scrypt" + salt, n=2**log_n, r=8, p=1, dklen=32
    )
    wrapped = ChaCha20Poly1305(key).encrypt(bytes(12), file_key, None)
    head = b"age-encryption.org/v1\n-> scrypt %s %d\n%s\n---" % (_base64(salt), log_n, _base64(wrapped))
    mac = hmac.digest(_derived(file_key, b"", b"header"), head, "sha256")
    body = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")).encrypt(bytes(11) + b"\1", plaintext, None)
    return head + b" " + _base64(mac) + b"\n" + nonce + body
