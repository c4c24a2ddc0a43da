"""What is known of one option of the config file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from strongroom.agent.config import Config

Path = tuple[str | int, ...]
Kind = Literal["text", "flag", "number", "seconds", "texts", "octal", "socket", "times", "rows"]

# No option lies deeper than a pattern of a client: strongroom, clients, 0, secrets, 0.
DEEPEST = 6

NOT_EMPTY = re.compile(r".+", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Option:
    """One option.

    Attributes:
        name: Its key path in a flat file.
        nested: Its key path in a nested file, if that is another.
        kind: What it holds: a text, a flag, a whole number, seconds (any number with a fraction), a list of texts,
            permission bits as octal text, the path of a socket, a table of seconds, or rows (an array of tables).
        summary: What it does, for people.
        low: The least number, or the least length of a list.
        high: The greatest number.
        or_zero: Whether 0 is right too.
        pattern: What a text, or each text of a list, must match as a whole.
        message: What is said of a value that is out of range, does not match, or is an empty list that must not be.
        earlier_message: What the flat file's original said instead.
        columns: What a row consists of, for rows.
        row_name: What one row is called, for rows.
        is_required: Whether a row must have it.
        is_quiet: Whether its value is not shown, lest somebody wrote a secret there.
        field: What messages call it, if not by its key path.
    """

    name: str
    kind: Kind
    summary: str
    nested: str = ""
    low: float = 0
    high: float = 0
    or_zero: bool = False
    pattern: re.Pattern[str] | None = None
    message: str = ""
    earlier_message: str = ""
    columns: tuple[Option, ...] = ()
    row_name: str = ""
    is_required: bool = False
    is_quiet: bool = False
    field: str = ""

    @property
    def default(self) -> object:
        """What is in force when the file is silent; None: nothing."""
        return self.value(Config())

    def value(self, config: Config) -> object:
        """Return what is in force."""
        found: object = attrgetter(re.sub(r"^strongroom\.", "own.", self.name))(config)
        return found

    def path(self, nested: bool) -> Path:
        """Return its key path as a tuple."""
        return tuple(((self.nested if nested else "") or self.name).split("."))
