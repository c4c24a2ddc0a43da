"""Patterns of secret ids, names and ARNs in the config file."""

from __future__ import annotations

import re
from functools import lru_cache


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile("[^:]*".join(re.escape(part) for part in pattern.split("*")), re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern fits the whole of a text, case-sensitively.

    ``*`` stands for any characters but ``:``, so that one in an ARN stays within its field; nothing else is special.
    """
    return _compiled(pattern).fullmatch(text) is not None
