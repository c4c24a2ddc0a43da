"""JSON as the agent writes it: no spaces, everything that is text left as text."""

from __future__ import annotations

import json
from typing import Any


def dump(value: Any) -> str:
    """*value* as JSON text: control characters, quotes and backslashes escaped, nothing else."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode(text: str) -> bytes:
    r"""*text* as UTF-8, whatever it holds.

    JSON can spell halves of surrogate pairs (``"\ud800"``), which are no characters and have no UTF-8 form. AWS stores
    none, so one that comes nevertheless is damage: it becomes U+FFFD, as everywhere where text is repaired, because a
    secret that can be read but for one character is worth more than none. Two halves that belong together are joined.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
