"""Items in the Credential Manager of Windows, each encrypted for a key that Windows Hello guards.

A blob is the envelope that aws-vault writes, JSON: the data under AES-256-GCM with a key of its own, which is encrypted
(RSAES-PKCS1-v1_5, RFC 8017 section 7.2) for the key of Windows Hello. Service and item key are authenticated, so that
an envelope opens under its own name only. Writing asks nobody; each reading asks for a gesture.
"""

from __future__ import annotations

import binascii
import json
import os
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from strongroom.errors import ItemDamaged
from strongroom.keystore import credential_manager, passport
from strongroom.keystore.windows import SERVICE, WindowsKeystore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.keystore import Ask
    from strongroom.keystore.passport import Passport

PREFIX = "keyring-winhello"
VERSION = 1
CONTENT = "AES-256-GCM"
WRAP = "RSAES-PKCS1-v1_5"
KEY_BYTES = 32
NONCE_BYTES = 12


def open(  # noqa: A001 - the family's shape
    settings: Mapping[str, Any],  # noqa: ARG001 - aws-vault's names are fixed
    ask: Ask,  # noqa: ARG001 - Windows asks
    native: Callable[[], Any] = credential_manager.native,
    hello: Callable[[], Any] = passport.native,
) -> HelloKeystore:
    """Open the credentials that Windows Hello protects.

    Raises:
        KeystoreUnavailable: This is no Windows, or has none.
    """
    return HelloKeystore(native(), PREFIX, passport.Passport(hello()))


class HelloKeystore(WindowsKeystore):
    """Credentials whose data only a gesture of the human's opens.

    Args:
        api: The functions of the Credential Manager.
        prefix: What names begin with.
        key: The key of Windows Hello.
        service: The collection.
    """

    __slots__ = ("_passport",)

    def __init__(self, api: Any, prefix: str, key: Passport, service: str = SERVICE) -> None:
        super().__init__(api, prefix, service)
        self._passport = key

    def beside(self, collection: str) -> HelloKeystore:
        """Credentials of another service, for the same key."""
        return HelloKeystore(self._api, self._prefix, self._passport, collection)

    def _seal(self, key: str, data: bytes) -> bytes:
        content_key, nonce, aad = os.urandom(KEY_BYTES), os.urandom(NONCE_BYTES), self._aad(key)
        fields = {
            "version": VERSION,
            "provider": passport.PROVIDER,
            "key_name": self._passport.name,
            "content_alg": CONTENT,
            "wrap_alg": WRAP,
            "nonce": _base64(nonce),
            "wrapped_cek": _base64(self._passport.encrypt(content_key)),
            "ciphertext": _base64(AESGCM(content_key).encrypt(nonce, data, aad)),
            "aad": _base64(aad),
        }
        return json.dumps(fields, separators=(",", ":")).encode("ascii")

    def _opened(self, key: str, blob: bytes) -> bytes:
        nonce, wrapped, ciphertext = self._parsed(key, blob)
        content_key = self._passport.decrypt(wrapped, f"Unlock {key} of {self._service}")
        try:
            return AESGCM(content_key).decrypt(nonce, ciphertext, self._aad(key))
        except (InvalidTag, ValueError):  # a key or a nonce of another length
            raise ItemDamaged(key, f"item {key!r} is damaged: its envelope does not open") from None

    def _parsed(self, key: str, blob: bytes) -> tuple[bytes, bytes, bytes]:
        """Take an envelope apart, before anybody is asked anything."""
        try:
            fields = json.loads(blob)
            expected = {
                "version": VERSION,
                "provider": passport.PROVIDER,
                "key_name": self._passport.name,
                "content_alg": CONTENT,
                "wrap_alg": WRAP,
            }
            for name, value in expected.items():
                if fields[name] != value:
                    raise ItemDamaged(key, f"item {key!r} cannot be opened: its {name} is {fields[name]!r}")
            nonce, wrapped, ciphertext, aad = (
                binascii.a2b_base64(fields[name], strict_mode=True)
                for name in ("nonce", "wrapped_cek", "ciphertext", "aad")
            )
        except (ValueError, TypeError, KeyError):
            raise ItemDamaged(key, f"item {key!r} is damaged: it is no envelope of Windows Hello") from None
        if aad != self._aad(key):
            raise ItemDamaged(
                key,
                f"item {key!r} is damaged: its envelope belongs to another item",
                "it was renamed or copied after it was written: remove it and add it anew",
            )
        return nonce, wrapped, ciphertext

    def _aad(self, key: str) -> bytes:
        """What aws-vault authenticates with an item; JSON as Go writes it."""
        fields = {"backend": "winhello", "version": VERSION, "service_name": self._service, "item_key": key}
        text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        # https://pkg.go.dev/encoding/json#Marshal: these are escaped, so that the text can stand in HTML.
        for character in "<>&\u2028\u2029":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text.encode("utf-8", "surrogatepass")


def _base64(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")
