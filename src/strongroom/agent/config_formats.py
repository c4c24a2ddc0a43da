"""The formats of a config file: text in, plain data and the line of every key out. Libraries read them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from strongroom.agent import toml_lines
from strongroom.agent.option import DEEPEST, Path
from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.agent.config_yaml import YamlReader


class SyntaxMistake(StrongroomError):
    """The text is not what its format asks for; the message tells where."""


@dataclass(frozen=True, slots=True)
class Document:
    """What a config file says.

    Attributes:
        data: Its tables, lists and values.
        lines: Key path -> line, counted from 1, as far as that is certain.
    """

    data: dict[str, Any]
    lines: dict[Path, int]


def toml(text: str) -> Document:
    """Read TOML 1.1.

    Raises:
        SyntaxMistake: It is none. The message has the form of the Rust library's.
    """
    tomli = import_module("tomli")
    try:
        data: dict[str, Any] = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise SyntaxMistake(_pointed(text, error.lineno, error.colno, error.msg)) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits; a list in a list in a list...
        raise SyntaxMistake(f"TOML parse error: {_first_line(error)}") from error
    return Document(data, toml_lines.lines(text))


def _pointed(text: str, line: int, column: int, reason: str) -> str:
    shown = text.replace("\r\n", "\n").split("\n")[line - 1].replace("\t", " ")
    shown = "".join(character if character.isprintable() else " " for character in shown)
    margin = " " * len(str(line))
    return (
        f"TOML parse error at line {line}, column {column}\n{margin} |\n{line} | {shown}".rstrip()
        + f"\n{margin} | {' ' * (column - 1)}^\n{reason}"
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def json_(text: str) -> Document:
    """Read JSON.

    Raises:
        SyntaxMistake: It is none, or something other than an object.
    """
    try:
        data = _as_root(json.loads(text))
    except json.JSONDecodeError as error:
        raise SyntaxMistake(f"{error.msg} at line {error.lineno} column {error.colno}") from error
    except (ValueError, RecursionError) as error:
        raise SyntaxMistake(_first_line(error)) from error
    return Document(data, _json_lines(text, data))


def _json_lines(text: str, data: object) -> dict[Path, int]:
    """Return the lines of the keys that stand in the text once; none if a key may be spelt in two ways."""
    lines: dict[Path, int] = {}
    if "\\" in text:
        return lines
    for path in _paths(data):
        found = list(re.finditer(rf'"{re.escape(str(path[-1]))}"\s*:', text))
        if len(found) == 1 and not isinstance(path[-1], int):
            lines[path] = text.count("\n", 0, found[0].start()) + 1
    return lines


def _paths(data: object, path: Path = ()) -> list[Path]:
    """Return the key paths of all that data hold, as deep as options are."""
    if len(path) == DEEPEST:
        return []
    members: list[tuple[str | int, object]] = []
    if isinstance(data, dict):
        members = list(data.items())
    elif isinstance(data, list):
        members = list(enumerate(data))
    found = []
    for key, value in members:
        found += [(*path, key), *_paths(value, (*path, key))]
    return found


def yaml(text: str) -> Document:
    """Read YAML.

    Raises:
        SyntaxMistake: It is none, or something other than a mapping.
    """
    reader: YamlReader = import_module("strongroom.agent.config_yaml").YamlReader()
    return Document(_as_root(reader.read(text)), reader.lines)


def _as_root(data: Any) -> dict[str, Any]:
    """Return data if they are a table of Unicode text.

    Raises:
        SyntaxMistake: They are not.
    """
    if not isinstance(data, dict):
        raise SyntaxMistake("invalid type: the file must hold a map")
    try:
        for path in _paths(data):
            "".join(key for key in path if isinstance(key, str)).encode()
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise SyntaxMistake("a lone surrogate is no character") from error
    return data


# By a file's ending, in the order in which they are tried when a file is named without.
FORMATS = {".toml": toml, ".json": json_, ".yaml": yaml, ".yml": yaml}
