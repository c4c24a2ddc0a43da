"""The MFA device of the demo: ``python totp.py SEED-FILE`` prints the code of now (RFC 6238: SHA-1, 30 s, 6 digits)."""

import base64
import hashlib
import hmac
import sys
import time

PERIOD_SECONDS = 30


def code(seed: bytes, at: float) -> str:
    """Return the six digits that a device with *seed* shows at the time *at* (epoch seconds)."""
    counter = int(at // PERIOD_SECONDS).to_bytes(8, "big")
    digest = hmac.digest(seed, counter, hashlib.sha1)
    offset = digest[-1] & 15  # RFC 4226, section 5.3: dynamic truncation
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return f"{number % 1_000_000:06}"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="ascii") as file:
        print(code(base64.b32decode(file.read().strip()), time.time()))
