"""YAML as a config file. Imported for such a file only."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from strongroom.agent.config_formats import SyntaxMistake
from strongroom.agent.option import DEEPEST, Path

# Aliases of aliases can make a short file stand for any number of values.
MOST_VALUES = 100_000

_WORDS = {"": None, "~": None, "null": None, "true": True, "false": False}
_FLOATS = {".inf": float("inf"), "+.inf": float("inf"), "-.inf": float("-inf"), ".nan": float("nan")}
_INTEGER = re.compile(r"[-+]?[0-9]{1,40}", re.ASCII)
_BASED = re.compile(r"0o[0-7]{1,40}|0x[0-9a-fA-F]{1,40}", re.ASCII)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)


class YamlReader:
    """One file.

    Attributes:
        lines: Key path -> line, counted from 1.
    """

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self._count = 0

    def read(self, text: str) -> Any:
        """Return what it says.

        Raises:
            SyntaxMistake: It is no YAML.
        """
        try:
            node = yaml.compose(text, Loader=yaml.BaseLoader)
            return {} if node is None else self._value(node, ())
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
            raise SyntaxMistake(f"{error.problem or error.context}{where}") from error
        except yaml.YAMLError as error:
            raise SyntaxMistake(str(error).partition("\n")[0]) from error
        except RecursionError as error:
            raise SyntaxMistake("nested too deeply") from error

    def _value(self, node: yaml.Node, path: Path) -> Any:
        """Return what a node stands for; below the depth of options nothing is looked at."""
        self._count += 1
        if self._count > MOST_VALUES:
            raise SyntaxMistake(f"more than {MOST_VALUES} values")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path) if len(path) < DEEPEST else {}
        if isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path) if len(path) < DEEPEST else []
        return scalar(node.value) if node.style is None else node.value  # type: ignore[attr-defined] # a ScalarNode's

    def _sequence(self, node: yaml.SequenceNode, path: Path) -> list[Any]:
        found = []
        for index, element in enumerate(node.value):
            self.lines[*path, index] = element.start_mark.line + 1
            found.append(self._value(element, (*path, index)))
        return found

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            mark = key_node.start_mark
            where = f"at line {mark.line + 1} column {mark.column + 1}"
            key = key_node.value
            if not isinstance(key, str):
                raise SyntaxMistake(f"a key is no text {where}")
            if key in found:
                raise SyntaxMistake(f"duplicate key {json.dumps(key)} {where}")
            self.lines[*path, key] = mark.line + 1
            found[key] = self._value(value_node, (*path, key))
        return found


def scalar(text: str) -> Any:
    """Return what an unquoted word stands for in the core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

    The library's own rules are those of YAML 1.1, where ``no`` is false and ``1:30`` is ninety.
    """
    word = text.lower()
    if word in _WORDS:
        return _WORDS[word]
    if word in _FLOATS:
        return _FLOATS[word]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text
