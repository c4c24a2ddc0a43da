"""From what a config file holds to what an option wants: one value at a time.

*Strict* is what the AWS Workload Credentials Provider does, and numbers may be texts. *Lenient* is what the AWS Secrets
Manager Agent does, whose library turns texts, numbers and booleans into one another.
"""

from __future__ import annotations

import os
import re
import sys

from strongroom.agent.mistakes import kind_of, rust_float, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.agent.option import Option

# sun_path holds 108 bytes on Linux and 104 elsewhere, the NUL at the end included (unix(7), unix(4)).
LONGEST_SOCKET_BYTES = 107 if sys.platform == "linux" else 103

# Rust's FromStr of unsigned integers and of floats.
_INTEGER = re.compile(r"\+?([0-9]+)", re.ASCII)
_FLOAT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?", re.ASCII)

# No limit of ours has as many digits; Python itself refuses to read thousands.
_MOST_DIGITS = 20

_WORDS = dict.fromkeys(("1", "true", "on", "yes"), True) | dict.fromkeys(("0", "false", "off", "no"), False)


class WrongType(Exception):
    """The value is of a kind that the option does not take; *expected* says which it takes, as serde would."""

    def __init__(self, expected: str) -> None:
        super().__init__(expected)
        self.expected = expected


class WrongValue(Exception):
    """The kind is right and the value is not.

    Args:
        message: What is said of it.
        got: What is shown in the value's place, or None for the value.
    """

    def __init__(self, message: str, got: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.got = got


def convert(option: Option, value: object, *, lenient: bool) -> object:
    """Return what an option of a simple kind is set to.

    Args:
        option: The option, neither a list nor a table.
        value: What the file holds.
        lenient: Whether values are turned into one another.

    Raises:
        WrongType: It is of the wrong kind.
        WrongValue: It is out of range, or not of the form that is asked for.
    """
    return _CONVERT[option.kind](option, value, lenient)


def text(option: Option, value: object, lenient: bool) -> str:
    """Return a text."""
    found = _as_text(value) if lenient else value
    if not isinstance(found, str):
        raise WrongType("a string")
    if option.pattern and not option.pattern.fullmatch(found):
        raise WrongValue(message(option, lenient))
    return found


def message(option: Option, lenient: bool) -> str:
    """Return what is said of a wrong value."""
    return (lenient and option.earlier_message) or option.message


def _as_text(value: object) -> object:
    if isinstance(value, (bool, int)):
        return shown(value)
    if isinstance(value, float):
        return rust_float(value)
    if kind_of(value) == "datetime":
        return str(value)
    return value


def _flag(_option: Option, value: object, lenient: bool) -> bool:
    if isinstance(value, bool):
        return value
    if lenient:
        if isinstance(value, (int, float)):
            return value != 0
        if isinstance(value, str) and value.lower() in _WORDS:
            return _WORDS[value.lower()]
    raise WrongType("a boolean")


def number(option: Option, value: object, lenient: bool) -> int:
    """Return a whole number within its range."""
    if not lenient and (isinstance(value, bool) or not isinstance(value, (int, str))):
        raise WrongValue(f"Expected a string or integer for '{option.name.rpartition('.')[2]}'.", kind_of(value))
    found = _as_text(value)
    if not isinstance(found, str):
        raise WrongType("a string")
    match = _INTEGER.fullmatch(found)
    digits = match[1].lstrip("0") or "0" if match else ""
    if not digits or len(digits) > _MOST_DIGITS:
        raise WrongValue(message(option, lenient))
    number = int(digits)
    if option.or_zero and number == 0 and (lenient or found == "0"):
        return 0
    if not option.low <= number <= option.high:
        raise WrongValue(message(option, lenient))
    return number


def _seconds(option: Option, value: object, lenient: bool) -> float:
    found = value
    if lenient and isinstance(value, str):
        if not _FLOAT.fullmatch(value):
            raise WrongType("a floating point number")
        found = float(value)
    if isinstance(found, bool) or not isinstance(found, (int, float)):
        raise WrongType("a floating point number")
    if not option.low <= found <= option.high:
        raise WrongValue(message(option, lenient))
    return float(found)


def _octal(option: Option, value: object, _lenient: bool) -> int:
    """Permission bits. A number is never taken: 660 and 0o660 look alike to people, and YAML's 0660 is decimal."""
    if not isinstance(value, str) or not option.pattern or not option.pattern.fullmatch(value):
        raise WrongValue(option.message)
    return int(value, 8)


def _socket(_option: Option, value: object, _lenient: bool) -> str:
    if not isinstance(value, str):
        raise WrongType("a string")
    if not value or "\0" in value:
        raise WrongValue("The path of the Unix socket can't be empty or hold a NUL.")
    length = len(os.fsencode(value))
    if length > LONGEST_SOCKET_BYTES:
        raise WrongValue(
            f"The path of the Unix socket is {length} bytes long. The system takes at most {LONGEST_SOCKET_BYTES}."
        )
    return value


_CONVERT: dict[str, Callable[[Option, object, bool], object]] = {
    "text": text,
    "flag": _flag,
    "number": number,
    "seconds": _seconds,
    "octal": _octal,
    "socket": _socket,
}
