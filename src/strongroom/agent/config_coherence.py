"""What no option of a config file tells alone: what contradicts another, and what is right and should be changed."""

from __future__ import annotations

from typing import Any

from strongroom.agent.config import Own
from strongroom.agent.mistakes import quoted, shown, shown_path
from strongroom.agent.options import OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.agent.config_reader import Reader
    from strongroom.agent.generations import Generation
    from strongroom.agent.option import Path

CLIENTS = "strongroom.clients"


def check(reader: Reader) -> None:
    """Take down the mistakes that lie between options."""
    _check_times(reader)
    taken: dict[tuple[str, object], Path] = {}
    for index, client in enumerate(_rows(reader, CLIENTS)):
        place = (*reader.paths[CLIENTS], index)
        for column, what in (("name", "names"), ("uid", "user ids")):
            value = client[column]
            if value is None:
                continue
            other = taken.setdefault((column, value), place)
            if other != place:
                told = f"The {what} of clients must be unique; {shown_path(other)} has it too."
                reader.refuse((*place, column), told, shown(value))
        if client["token_file"] is None and client["uid"] is None:
            reader.refuse(place, f"Client {quoted(client['name'])} needs a token_file or a uid; nobody could be it.")


def _check_times(reader: Reader) -> None:
    keys = ("total_timeout_seconds", "attempt_timeout_seconds")
    default = Own()
    values: dict[str, Any] = dict(reader.values)
    total, attempt = (values.get(f"strongroom.{key}", getattr(default, key)) for key in keys)
    if total < attempt:
        key = next(key for key in keys if f"strongroom.{key}" in values)
        told = f"The time for all attempts ({total:g} seconds) can't be less than that for one ({attempt:g} seconds)."
        reader.refuse(("strongroom", key), told)


def warnings(reader: Reader, file: str, generation: Generation) -> tuple[str, ...]:
    """Return what is to be said of a file that is right."""
    return tuple(f"{file}: {told}" for told in _warnings(reader, generation))


def _warnings(reader: Reader, generation: Generation) -> Iterator[str]:
    if not reader.is_nested and not generation.converts:
        moved = [option for option in OPTIONS if option.nested and option.name in reader.values]
        if moved:
            listed = ", ".join(f"{option.name} is now {option.nested}" for option in moved)
            yield f"the flat form of the configuration file is deprecated: {listed}"
    section = (reader.data.get("capabilities") or {}).get("acm")
    if section is not None and section.get("enabled") is not False:
        yield "certificates are not exported by this version; [capabilities.acm] is ignored"
    for name in ("prefetch.secrets", "prefetch.filter_tags"):
        rows = _rows(reader, name)
        for index, row in enumerate(rows):
            first = rows.index(row)
            if first != index:
                place = reader.paths[name]
                yield f"{shown_path((*place, index))} is the same as {shown_path((*place, first))}"
    if reader.values.get("strongroom.unix_socket") is None:
        for client in _rows(reader, CLIENTS):
            if client["token_file"] is None:
                name = quoted(client["name"])
                yield f"client {name} is known by its uid only, and there is no unix_socket to tell it"


def _rows(reader: Reader, name: str) -> tuple[dict[str, Any], ...]:
    rows: Any = reader.values.get(name, ())
    return tuple(rows)
