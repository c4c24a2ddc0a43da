"""Durations as people write them: Go's grammar, which aws-vault's flags and variables use, with days and weeks."""

import re

UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,  # U+00B5, micro sign
    "μs": 1e-6,  # U+03BC, Greek mu: Go takes both
    "ms": 1e-3,
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
}

# Compiled where it is used: most runs do not, and compiling takes longer than importing this module.
_PART = r"(?a:(\d+\.?\d*|\.\d+)([^\d.]*))"

# Enough for any lifetime that AWS knows, and small enough for every clock: 100 years.
LONGEST_SECONDS = 100 * 365 * 86400


def parse(text: str, *, plain: bool = False) -> int:
    """Read a duration such as ``1h30m``, ``1.5h``, ``1d12h`` or ``-10s``.

    Args:
        text: One or more numbers, each with a unit of ``ns us ms s m h d w``; ``0`` needs none.
        plain: Whether a bare number of seconds is taken too, as AWS's ``duration_seconds`` is written.

    Returns:
        Whole seconds; a fraction of a second is dropped.

    Raises:
        ValueError: The text is no duration; the message says why, and quotes it.
    """
    rest = text.strip() if plain else text
    sign = -1 if rest[:1] == "-" else 1
    rest = rest[1:] if rest[:1] in {"+", "-"} else rest
    if rest.isascii() and rest.isdigit() and (plain or rest.strip("0") == ""):
        return _bounded(float(rest), sign, text)
    total, position = 0.0, 0
    for part in re.finditer(_PART, rest):
        if part.start() != position:
            break
        number, unit = part.groups()
        if not unit:
            raise ValueError(f"missing unit in duration {text!r}, for example {rest}s or 1h30m")
        if unit not in UNITS:
            raise ValueError(f"unknown unit {unit!r} in duration {text!r}, known are {' '.join(_shown_units())}")
        total += float(number) * UNITS[unit]
        position = part.end()
    if not rest or position != len(rest):
        raise ValueError(f"invalid duration {text!r}, for example 1h30m")
    # What binary fractions lose: 0.3 h is 1079.9999... s.
    return _bounded(total + 1e-6, sign, text)


def show_age(seconds: float) -> str:
    """Write for how long something has been there, for people: ``91 days``, ``5 hours``, ``1 minute``."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        count = int(seconds // length)
        if count > 0:
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "less than a minute"


def _bounded(seconds: float, sign: int, text: str) -> int:
    # As a float, which any number of digits can be read as: infinity, if need be.
    if seconds >= LONGEST_SECONDS + 1:
        raise ValueError(f"duration {text!r} is longer than a hundred years")
    return sign * int(seconds)


def _shown_units() -> list[str]:
    return [unit for unit in UNITS if unit.isascii()]


def show(seconds: float) -> str:
    """Write a duration as Go does: ``1h0m0s``, ``59m59s``, ``7s``, ``-1m40s``; fractions are dropped."""
    whole = int(abs(seconds))
    hours, minutes = divmod(whole // 60, 60)
    shown = f"{whole % 60}s"
    if whole >= 60:
        shown = f"{minutes}m{shown}"
    if whole >= 3600:
        shown = f"{hours}h{shown}"
    return f"-{shown}" if seconds < 0 and whole else shown
