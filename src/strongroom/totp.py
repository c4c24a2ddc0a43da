"""The codes of MFA devices: HOTP (RFC 4226) and TOTP (RFC 6238), and the forms in which their seeds are handed out."""

from __future__ import annotations

import base64
import hmac
from urllib.parse import parse_qs, urlsplit

# What AWS's virtual MFA devices are (IAM User Guide, "Assign a virtual MFA device"; the defaults of RFC 6238).
PERIOD_SECONDS = 30
DIGITS = 6
ALGORITHM = "SHA1"

# RFC 4226, 4, R6 wants 16 bytes, and AWS hands out 40; other services' 10 are in use everywhere. Less is a part of one.
FEWEST_BYTES = 10
MOST_BYTES = 128


def hotp(seed: bytes, counter: int, *, digits: int = DIGITS, algorithm: str = ALGORITHM) -> str:
    """The code of a counter (RFC 4226, 5.3).

    Args:
        seed: The shared secret.
        counter: From 0.
        digits: The code's length.
        algorithm: A name that hashlib knows.
    """
    digest = hmac.digest(seed, counter.to_bytes(8, "big"), algorithm)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 10**digits:0{digits}}"


def totp(
    seed: bytes, at: float, *, period_seconds: int = PERIOD_SECONDS, digits: int = DIGITS, algorithm: str = ALGORITHM
) -> str:
    """The code of a moment, *at* in epoch seconds (RFC 6238, 4)."""
    return hotp(seed, int(at) // period_seconds, digits=digits, algorithm=algorithm)


def read_seed(text: str) -> bytes:
    """Read a seed as AWS and others show it: base32, in groups or not, or an ``otpauth://`` URL.

    Raises:
        ValueError: It is none, or one of a device that AWS does not have. The message does not repeat it.
    """
    text = text.strip()
    if text.lower().startswith("otpauth:"):
        text = _of_url(text)
    return from_base32(text)


def from_base32(text: str) -> bytes:
    """Decode base32 (RFC 4648, 6) in either case, with or without blanks, hyphens and padding.

    Raises:
        ValueError: It is none, or has no length that a seed has. The message does not repeat it.
    """
    plain = "".join(text.split()).replace("-", "").rstrip("=").upper()
    if not plain:
        raise ValueError("the seed is empty")
    try:
        seed = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except ValueError:
        raise ValueError("the seed is not base32: letters A to Z and digits 2 to 7") from None
    if not FEWEST_BYTES <= len(seed) <= MOST_BYTES:
        raise ValueError(f"a seed of {len(seed)} bytes is not one: expected {FEWEST_BYTES} to {MOST_BYTES}")
    return seed


def to_base32(seed: bytes) -> str:
    """Encode a seed so that `from_base32` reads it."""
    return base64.b32encode(seed).decode("ascii").rstrip("=")


def _of_url(text: str) -> str:
    """The secret of an otpauth URL (Google Authenticator's "Key Uri Format")."""
    try:
        url = urlsplit(text)
        fields = {name.lower(): values for name, values in parse_qs(url.query, strict_parsing=True).items()}
    except ValueError:
        raise ValueError("the otpauth URL cannot be read") from None
    if url.netloc.lower() != "totp":
        raise ValueError("the otpauth URL is not for codes that change with time: expected otpauth://totp/")
    for name, expected in (("algorithm", ALGORITHM), ("digits", str(DIGITS)), ("period", str(PERIOD_SECONDS))):
        found = fields.get(name, [expected])
        if [value.upper() for value in found] != [expected]:
            raise ValueError(f"AWS's devices have {name} {expected}; the otpauth URL says something else")
    secrets = fields.get("secret", [])
    if len(secrets) != 1:
        raise ValueError("the otpauth URL has no secret, or several")
    return secrets[0]
