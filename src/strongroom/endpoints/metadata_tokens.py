"""The tokens of version 2 of the instance metadata service.

SDKs do not ask for another one when theirs is refused, so a token is good for as long as was promised, however many
others were asked for since. Nothing of it is kept here: it says itself when it ends, under a signature. Its time is
that of a clock that stands still while the machine sleeps, or all would have to start again in the morning.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
import struct
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-v2-how-it-works.html
MOST_SECONDS = 21_600

_KEY_BYTES = 32
_NONCE_BYTES = 8
_SIGNATURE_BYTES = 24
# The end, in milliseconds, and what tells tokens with the same end apart.
_CLAIM = struct.Struct(f">Q{_NONCE_BYTES}s")
# 56 characters, as EC2's have.
_LENGTH = (_CLAIM.size + _SIGNATURE_BYTES + 2) // 3 * 4


def ttl_of(value: bytes | None) -> int | None:
    """The seconds that a client wants its token to be good for; None if it says nothing that it may."""
    if value is None or not value.isdigit() or len(value) > len(str(MOST_SECONDS)):
        return None
    seconds = int(value)
    return seconds if 1 <= seconds <= MOST_SECONDS else None


class MetadataTokens:
    """Tokens that this server has given out, and no other.

    Args:
        clock: Seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._key = secrets.token_bytes(_KEY_BYTES)

    def give(self, seconds: int) -> bytes:
        """A token that is good for so long."""
        claim = _CLAIM.pack(int((self._clock() + seconds) * 1000), secrets.token_bytes(_NONCE_BYTES))
        return base64.urlsafe_b64encode(claim + self._sign(claim))

    def end(self, token: bytes) -> float | None:
        """When a token ends, by the clock; None for one that is not good now."""
        if len(token) != _LENGTH:
            return None
        try:
            whole = base64.b64decode(token, b"-_", validate=True)
        except binascii.Error:
            return None
        claim, signature = whole[: _CLAIM.size], whole[_CLAIM.size :]
        if not hmac.compare_digest(self._sign(claim), signature):
            return None
        end = float(_CLAIM.unpack(claim)[0]) / 1000
        return end if self._clock() < end else None

    def _sign(self, claim: bytes) -> bytes:
        return hmac.digest(self._key, claim, "sha256")[:_SIGNATURE_BYTES]
