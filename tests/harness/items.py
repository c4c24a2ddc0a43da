"""The file keystore's format, read and written by an independent implementation: joserfc's JWE, RFC 7516 and 7518.

aws-vault's format: a file per item, named after it with ``%`` and ``/`` escaped, holding a compact JWE whose key is
wrapped under a passphrase (PBES2-HS256+A128KW) and whose plaintext is the item as JSON.
"""

import base64
import json
import os
import re
import warnings
from urllib.parse import unquote

from joserfc import jwe
from joserfc.errors import SecurityWarning
from joserfc.jwk import OctKey

ALGORITHM, ENCRYPTION, ITERATIONS = "PBES2-HS256+A128KW", "A256GCM", 8192
# aws-vault's header has a member `created` that the RFCs do not know.
_REGISTRY = jwe.JWERegistry(algorithms=[ALGORITHM, ENCRYPTION], strict_check_header=False)


def _key(passphrase: str) -> OctKey:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)  # passphrases of tests are short
        return OctKey.import_key(passphrase)


def encrypt(item: dict, passphrase: str, iterations: int = ITERATIONS) -> str:
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "p2c": iterations}
    return jwe.encrypt_compact(header, json.dumps(item).encode(), _key(passphrase), registry=_REGISTRY)


def decrypt(text: str, passphrase: str) -> dict:
    return json.loads(jwe.decrypt_compact(text, _key(passphrase), registry=_REGISTRY).plaintext)


def file_name(key: str) -> str:
    return key.replace("%", "%25").replace("/", "%2F")


def session_key(kind: str, profile: str, serial: str, expires_at: int) -> str:
    """The name of a session's item."""
    fields = (base64.urlsafe_b64encode(text.encode()).decode().rstrip("=") for text in (profile, serial))
    return ",".join([kind, *fields, str(int(expires_at))])


def read_session_key(key: str) -> tuple[str, str, str, int]:
    """(kind, profile, serial, expiry) of a session's name."""
    kind, profile, serial, expires_at = key.split(",")
    fields = (base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode() for text in (profile, serial))
    return kind, *fields, int(expires_at)


def is_session(key: str) -> bool:
    return re.fullmatch(r"[^,]+,[^,]+,[^,]*,\d+", key) is not None


def write(directory: str, key: str, fields: dict, passphrase: str, label: str = "", description: str = "") -> None:
    """Write an item whose data is *fields*, as aws-vault does."""
    os.makedirs(directory, 0o700, exist_ok=True)
    data = base64.b64encode(json.dumps(fields, separators=(",", ":")).encode()).decode()
    item = {
        "Key": key,
        "Data": data,
        "Label": label,
        "Description": description,
        "KeychainNotTrustApplication": not is_session(key),
        "KeychainNotSynchronizable": False,
    }
    path = os.path.join(directory, file_name(key))
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(encrypt(item, passphrase))


def read(directory: str, key: str, passphrase: str) -> dict:
    """The fields of one item; its Key must be its name."""
    with open(os.path.join(directory, file_name(key))) as file:
        item = decrypt(file.read(), passphrase)
    assert item["Key"] == key
    return json.loads(base64.b64decode(item["Data"]))


def names(directory: str) -> list[str]:
    """The names of all items, sorted."""
    return sorted(unquote(name) for name in os.listdir(directory)) if os.path.isdir(directory) else []
