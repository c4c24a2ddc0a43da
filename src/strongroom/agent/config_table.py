"""What is in force, as people read it."""

from __future__ import annotations

import json

from strongroom.agent.mistakes import shown_path
from strongroom.agent.option import Option
from strongroom.agent.options import OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from strongroom.agent.config import Config
    from strongroom.agent.generations import Generation


def describe(config: Config, generation: Generation) -> str:
    """Return every option, its value and where it comes from, one a line and aligned, without a newline at the end.

    The names are those of the form that the original writes: flat, or nested. Rows stand below their option.
    """
    nested = not generation.converts
    rows = [row for option in OPTIONS for row in _rows(config, option, nested=nested)]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"{name:{widths[0]}}  {value:{widths[1]}}  {origin}".rstrip() for name, value, origin in rows)


def _rows(config: Config, option: Option, *, nested: bool) -> Iterator[tuple[str, str, str]]:
    name = shown_path(option.path(nested))
    value = option.value(config)
    origin = config.origins.get(option.name, "default")
    if option.kind not in {"rows", "times"} or not isinstance(value, tuple) or not value:
        yield name, _shown(option, value), origin
        return
    for index, row in enumerate(value):
        member = row[0] if option.kind == "times" else index
        place = shown_path((*option.name.split("."), member))
        text = str(row[1]) if option.kind == "times" else _inline(option, row)
        yield shown_path((*option.path(nested), member)), text, config.origins.get(place, origin)


def _inline(option: Option, row: object) -> str:
    """Return a row as an inline table of TOML, without what it does not have."""
    values: Sequence[object]
    values = row if isinstance(row, tuple) else [getattr(row, column.name) for column in option.columns]
    pairs = zip(option.columns, values, strict=True)
    listed = (f"{column.name} = {_shown(column, value)}" for column, value in pairs if value not in {None, ()})
    return "{ " + ", ".join(listed) + " }"


def _shown(option: Option, value: object) -> str:
    if value is None:
        return "(none)"
    if option.kind == "octal":
        return f'"{value:04o}"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_shown(option, element) for element in value) + "]"
    if isinstance(value, float):
        return str(value).removesuffix(".0")
    return json.dumps(value, ensure_ascii=not str(value).isprintable())
