"""On which line of a TOML file each key stands, which no library for TOML 1.1 tells.

Every statement of a TOML file, be it ``[a.b]`` or ``c = [1,`` and so on to its end, is a TOML file itself; a piece of
one that ends early is not, because something is still open there. So the library finds where each ends and what it
says, and nothing of the format's grammar is repeated here but what sets a table's header apart.
"""

from __future__ import annotations

from importlib import import_module

from strongroom.agent.option import DEEPEST, Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# A statement of more lines is not looked into, and neither is what follows: each line more reads it all again.
LONGEST_STATEMENT = 200


def lines(text: str) -> dict[Path, int]:
    """Return key path -> line, counted from 1, for the keys of a TOML text of which that is certain.

    Not among them are the keys inside a value of several lines.

    Args:
        text: It must be right: whoever calls has read it already.
    """
    source = text.replace("\r\n", "\n").split("\n")
    scan = _Scan()
    at = 0
    while at < len(source):
        end, said = _statement(source, at)
        if said is None:
            break
        if said:
            scan.take(source[at].lstrip(" \t"), said, at + 1, end - at)
        at = end
    return scan.found


def _statement(source: Sequence[str], at: int) -> tuple[int, dict[str, object] | None]:
    """Return where the statement that begins at a line ends, and what it says; None: it is too long."""
    tomli = import_module("tomli")
    for end in range(at + 1, min(at + LONGEST_STATEMENT, len(source)) + 1):
        try:
            return end, tomli.loads("\n".join(source[at:end]))
        except ValueError:
            continue
    return at, None


class _Scan:
    """Statement by statement: which table we are in, and what was found."""

    def __init__(self) -> None:
        self.found: dict[Path, int] = {}
        self.table: Path = ()
        self.counts: dict[Path, int] = {}

    def take(self, start: str, said: dict[str, object], line: int, height: int) -> None:
        """Take a statement.

        Args:
            start: How it begins.
            said: What it says by itself.
            line: Where it begins.
            height: How many lines it has.
        """
        if start.startswith("["):
            self._enter(_header(said), line, is_element=start.startswith("[["))
        elif height == 1:
            self._note(self.table, said, line)
        else:
            # Of `a.b = {` and `a = { b =` the library says the same, and their `b` may be on different lines.
            self.found.setdefault((*self.table, next(iter(said))), line)

    def _enter(self, keys: Sequence[str], line: int, *, is_element: bool) -> None:
        path: Path = ()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            self.found.setdefault(path, line)
            if number == len(keys) and is_element:
                self.counts[path] = self.counts.get(path, 0) + 1
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
                self.found.setdefault(path, line)
        self.table = path

    def _note(self, path: Path, value: object, line: int) -> None:
        if len(path) > DEEPEST:
            return
        if path != self.table:
            self.found.setdefault(path, line)
        if isinstance(value, dict):
            for key, member in value.items():
                self._note((*path, key), member, line)
        elif isinstance(value, list):
            for index, member in enumerate(value):
                self._note((*path, index), member, line)


def _header(said: object) -> list[str]:
    """Return the keys of a header, out of what it says by itself: ``{"a": {"b": {}}}`` or ``{"a": {"b": [{}]}}``."""
    keys = []
    while isinstance(said, dict) and said:
        [(key, said)] = said.items()
        keys.append(key)
    return keys
