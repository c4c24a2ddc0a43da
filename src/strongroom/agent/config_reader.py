"""From the data of a config file to the value of each option: what is known, what is not, and all that is wrong."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from strongroom.agent import config_values
from strongroom.agent.config_values import WrongType, WrongValue
from strongroom.agent.mistakes import Mistake, described, one_of, quoted, shown, shown_path
from strongroom.agent.option import DEEPEST, Path
from strongroom.agent.options import ACM, OPTIONS, in_form, known_keys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from strongroom.agent.config_formats import Document
    from strongroom.agent.generations import Generation
    from strongroom.agent.option import Option

SECTIONS = ("logging", "capabilities")
MIXED = (
    "The configuration file format isn't valid. "
    "Flat keys can't be used in conjunction with nested sections ('logging' or 'capabilities')."
)
# The keys of this table are patterns, not words of ours.
TTL: Path = ("strongroom", "ttl")

# What stands for a value that was wrong and has been told of.
_WRONG = object()


class Reader:
    """One file.

    Args:
        document: What it says.
        file: How messages name it.
        generation: Whose rules hold.

    Attributes:
        values: Name of the option -> its value, for those that the file sets and that are right.
        paths: Name of the option -> where in the file it stands.
        is_nested: Whether the file has the nested form.
        mistakes: What is wrong, in the order of the table of options; what cannot be understood comes first.
    """

    def __init__(self, document: Document, file: str, generation: Generation) -> None:
        self.file = file
        self.lenient = generation.converts
        self.data: dict[str, Any] = document.data
        self.lines: Mapping[Path, int] = document.lines
        self.values: dict[str, object] = {}
        self.paths: dict[str, Path] = {}
        self._misunderstood: list[Mistake] = []
        self._refused: list[Mistake] = []
        if self.lenient:
            self.lines = {_lowered_path(path): line for path, line in document.lines.items()}
            self.data = self._lowered(document.data, ())
        self.is_nested = any(section in self.data for section in SECTIONS)
        self._known = known_keys(self.is_nested)
        self._options = {option.path(self.is_nested): option for option in in_form(self.is_nested)}
        self._moved = self._elsewhere()
        self._walk(self.data, ())
        for key in (key for key in self._moved if key in self.data):
            self.refuse((key,), MIXED, advice=f"Use '{self._moved[key]}' instead of '{key}'.")
        for path, option in self._options.items():
            self._read(option, path)

    @property
    def mistakes(self) -> list[Mistake]:
        """All of them."""
        return self._misunderstood + self._refused

    def line(self, path: Path) -> int | None:
        """Return the line of a key, if it is certain."""
        return self.lines.get(path)

    def refuse(self, path: Path, message: str, got: str = "", advice: str = "") -> None:
        """Take down that a value is understood, and wrong."""
        self._refused.append(Mistake(message, self._field(path), got, advice, self.line(path)))

    def _misunderstand(self, path: Path, message: str, got: str = "", advice: str = "") -> None:
        if not self.lenient:
            message = f"Failed to parse config: {message}"
        self._misunderstood.append(Mistake(message, self._field(path), got, advice, self.line(path)))

    def _field(self, path: Path) -> str:
        option = self._options.get(path)
        return (option and option.field) or shown_path(path)

    # Keys.

    def _lowered(self, table: dict[str, Any], path: Path) -> dict[str, Any]:
        """Return a table with its keys, and those of tables inside, in lower case."""
        if path == TTL or len(path) >= DEEPEST:
            return table
        found: dict[str, Any] = {}
        for key, value in table.items():
            place = (*path, key.lower())
            if place[-1] in found:
                name = shown_path(place)
                told = f"{name} is given twice, in different letter case."
                self._misunderstood.append(Mistake(told, name, line=self.line(place)))
            found[key.lower()] = self._lowered_value(value, place)
        return found

    def _lowered_value(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict):
            return self._lowered(value, path)
        if isinstance(value, list):
            return [self._lowered_value(element, (*path, index)) for index, element in enumerate(value)]
        return value

    def _elsewhere(self) -> dict[str, str]:
        """Return flat key -> nested key, for the keys that a nested file must not have at its root."""
        if not self.is_nested:
            return {}
        flat = (option for option in OPTIONS if option.nested and option.name != "enabled")
        return {str(option.path(nested=False)[0]): shown_path(_parent(option)) for option in flat}

    def _walk(self, table: dict[str, Any], path: Path) -> None:
        """Find the keys that nobody knows."""
        for key, value in table.items():
            place = (*path, key)
            if place in self._options or (value is None and place in self._known) or (not path and key in self._moved):
                continue
            if place in self._known or place == ACM:
                if not isinstance(value, dict):
                    self._wrong_type(place, value, "a map")
                elif place != ACM:
                    self._walk(value, place)
            else:
                self._unknown(place, self._expected(path))

    def _expected(self, path: Path) -> Sequence[str]:
        known = self._known[path]
        return known if path or self.lenient or self.is_nested else (*known, *SECTIONS)

    def _unknown(self, path: Path, known: Sequence[str]) -> None:
        key = str(path[-1])
        near = import_module("difflib").get_close_matches(key, known, 1, 0.6)
        advice = f"did you mean '{near[0]}'?" if near else ""
        self._misunderstand(path, f"unknown field `{quoted(key)[1:-1]}`, expected {one_of(known)}", advice=advice)

    # Values.

    def _read(self, option: Option, path: Path) -> None:
        value: Any = self.data
        for key in path:
            if not isinstance(value, dict) or key not in value:
                return
            value = value[key]
        if value is None and option.default in {None, ()}:
            return
        found = self._value(option, value, path)
        if found is not _WRONG:
            self.values[option.name] = found
            self.paths[option.name] = path

    def _value(self, option: Option, value: object, path: Path) -> object:
        many = {"texts": self._texts, "times": self._times, "rows": self._rows}.get(option.kind)
        if many:
            return many(option, value, path)
        try:
            return config_values.convert(option, value, lenient=self.lenient)
        except WrongType as wrong:
            return self._wrong_type(path, value, wrong.expected, is_quiet=option.is_quiet)
        except WrongValue as wrong:
            got = "" if option.is_quiet else wrong.got or shown(value)
            advice = ""
            if option.name == "role_arn" and not self.lenient:
                advice = f"Expected format: arn:{{partition}}:iam::{{account-id}}:role/{{role-name}}, got: {got}"
            self.refuse(path, wrong.message, got, advice)
            return _WRONG

    def _wrong_type(self, path: Path, value: object, expected: str, *, is_quiet: bool = False) -> object:
        message = f"invalid type: {described(value, is_quiet=is_quiet)}, expected {expected}"
        if self.lenient:
            message += f" for key `{shown_path(path)}` in {self.file}"
        self._misunderstand(path, message, "" if is_quiet else shown(value))
        return _WRONG

    def _texts(self, option: Option, value: object, path: Path) -> object:
        if not isinstance(value, list):
            return self._wrong_type(path, value, "a sequence")
        if len(value) < option.low:
            self.refuse(path, option.message, "[]")
            return _WRONG
        found: list[object] = []
        for index, element in enumerate(value):
            place = (*path, index)
            try:
                found.append(config_values.text(option, element, self.lenient))
            except WrongType as wrong:
                found.append(self._wrong_type(place, element, wrong.expected))
            except WrongValue as wrong:
                self.refuse(place, wrong.message, shown(element))
                found.append(_WRONG)
        return _WRONG if _WRONG in found else tuple(found)

    def _times(self, option: Option, value: object, path: Path) -> object:
        if not isinstance(value, dict):
            return self._wrong_type(path, value, "a map")
        found: list[object] = []
        for pattern, seconds in value.items():
            place = (*path, pattern)
            if not pattern:
                self.refuse(place, "A pattern can't be empty.")
                found.append(_WRONG)
            try:
                found.append((pattern, config_values.number(option, seconds, self.lenient)))
            except WrongType as wrong:
                found.append(self._wrong_type(place, seconds, wrong.expected))
            except WrongValue as wrong:
                self.refuse(place, wrong.message, wrong.got or shown(seconds))
                found.append(_WRONG)
        return _WRONG if _WRONG in found else tuple(found)

    def _rows(self, option: Option, value: object, path: Path) -> object:
        if not isinstance(value, list):
            return self._wrong_type(path, value, "a sequence")
        found = [self._row(option, row, (*path, index)) for index, row in enumerate(value)]
        return _WRONG if _WRONG in found else tuple(found)

    def _row(self, option: Option, row: object, path: Path) -> object:
        """Return a row as a dictionary of its columns; those that it does not have are None."""
        if not isinstance(row, dict):
            return self._wrong_type(path, row, "a map")
        before = len(self.mistakes)
        names = [column.name for column in option.columns]
        for key in row:
            if key not in names:
                self._unknown((*path, key), names)
        found = {}
        for column in option.columns:
            value = row.get(column.name)
            if value is not None:
                found[column.name] = self._value(column, value, (*path, column.name))
            elif column.is_required:
                self._misunderstand(path, f"missing field `{column.name}`")
            else:
                found[column.name] = None
        return found if len(self.mistakes) == before else _WRONG


def _parent(option: Option) -> Path:
    """Return what stands in the nested form for the first key of the flat one."""
    path = option.path(nested=True)
    return path[: len(path) - len(option.path(nested=False)) + 1]


def _lowered_path(path: Path) -> Path:
    kept = len(TTL) if tuple(str(key).lower() for key in path[: len(TTL)]) == TTL else len(path)
    return tuple(key.lower() if isinstance(key, str) else key for key in path[:kept]) + path[kept:]
