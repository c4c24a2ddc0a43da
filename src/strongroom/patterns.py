"""Patterns of secret ids, names and ARNs: the agent's config file and the roles that a server may assume have them.

``*`` stands for any characters but ``:``, so that one in an ARN stays within its field; ``?`` for one such character.
Nothing else is special, and letter case counts.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def compiled(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """Return an expression that fits what any of the patterns fits; None for no patterns."""
    alternatives = "|".join(_expression(pattern) for pattern in patterns)
    return re.compile(alternatives) if alternatives else None


def fits(patterns: re.Pattern[str] | None, text: str) -> bool:
    """Tell whether a pattern fits the whole of a text; none fits the empty one, which names nothing."""
    return text != "" and patterns is not None and patterns.fullmatch(text) is not None


def _expression(pattern: str) -> str:
    """Return a pattern as a regular expression that takes no longer than the text is long, for each star.

    Whatever stands between two stars is found at its first place and not looked for again (an atomic group): if the
    rest does not fit behind that one, it fits behind no later one.
    """
    first, *others = (
        "".join("[^:]" if each == "?" else re.escape(each) for each in part) for part in pattern.split("*")
    )
    if not others:
        return first
    *between, last = others
    return first + "".join(f"(?>[^:]*?{part})" for part in between) + "[^:]*" + last
