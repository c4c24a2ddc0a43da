"""How a strongroom in `exec`'s child tells what the outer one set from what is the user's.

The variable `STRONGROOM` names the variables that were set, each with a checksum of its value: one that has been
changed since, by the user or by another program, is no longer ours.
"""

from __future__ import annotations

import binascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MARK = "STRONGROOM"


def written(variables: Mapping[str, str]) -> str:
    """The mark's value for *variables*: ``NAME:checksum,NAME:checksum``."""
    return ",".join(f"{name}:{_checksum(value)}" for name, value in variables.items())


def read(environ: Mapping[str, str]) -> frozenset[str]:
    """The names of the variables that are as an outer strongroom set them."""
    pairs = (entry.partition(":") for entry in environ.get(MARK, "").split(","))
    return frozenset(name for name, _, checksum in pairs if name and checksum == _checksum(environ.get(name, "")))


def _checksum(value: str) -> str:
    # To notice a change, not to keep a secret: the value stands beside it. hashlib would cost the fast path 3 ms.
    return f"{binascii.crc32(value.encode('utf-8', 'surrogateescape')):08x}"
