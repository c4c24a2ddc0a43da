"""From a path to what is in force."""

from __future__ import annotations

import errno
import os
import stat
import sys
from dataclasses import fields
from typing import Any

from strongroom.agent import config_coherence
from strongroom.agent.config import ClientRule, Config, Own, Prefetch
from strongroom.agent.config_formats import FORMATS, SyntaxMistake
from strongroom.agent.config_reader import Reader
from strongroom.agent.mistakes import ConfigMistakes, Mistake, quoted, shown_path
from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.agent.generations import Generation
    from strongroom.agent.option import Path

# A thousand clients fit; /dev/zero, named by mistake, does not.
LIMIT_BYTES = 4 * 1024 * 1024

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class _Unreadable(StrongroomError):
    """The file cannot be read; the message is only the reason."""


def load(path: str, generation: Generation) -> Config:
    """Return what is in force with a config file.

    Raises:
        ConfigMistakes: The file cannot be read, or has mistakes: all of them.
    """
    place, read = _found(path, generation)
    try:
        text, warnings = _text(place)
    except _Unreadable as error:
        raise _alone(path, _not_read(place, error.message, generation), generation) from error
    file = _relative(place)
    try:
        document = read(text)
    except SyntaxMistake as error:
        told = f"{error.message} in {file}" if generation.converts else f"Failed to parse config: {error.message}"
        raise _alone(path, told, generation) from error
    reader = Reader(document, file, generation)
    config_coherence.check(reader)
    if reader.mistakes:
        raise ConfigMistakes(place, reader.mistakes, is_numbered=generation.numbered_mistakes)
    return _config(reader, place, (*warnings, *config_coherence.warnings(reader, place, generation)))


def _alone(path: str, told: str, generation: Generation) -> ConfigMistakes:
    return ConfigMistakes(path, [Mistake(told)], is_numbered=generation.numbered_mistakes)


# The file.


def _found(path: str, generation: Generation) -> tuple[str, Any]:
    """Return the path of the file and the function that reads its format."""
    if not generation.other_formats:
        return path, FORMATS[".toml"]
    if os.path.isfile(path):
        ending = os.path.splitext(path)[1]
        if ending in FORMATS:
            return path, FORMATS[ending]
        told = f"configuration file {quoted(os.path.abspath(path), None)} is not of a registered file format"
        raise _alone(path, told, generation)
    for ending, read in FORMATS.items():
        if os.path.isfile(path + ending):
            return path + ending, read
    raise _alone(path, f"configuration file {quoted(path, None)} not found", generation)


def _text(path: str) -> tuple[str, tuple[str, ...]]:
    """Return what a file holds, and what is to be said of the file itself."""
    try:
        with open(path, "rb") as file:
            state = os.fstat(file.fileno())
            content = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise _Unreadable(f"{error.strerror} (os error {error.errno})") from error
    except ValueError as error:  # a NUL in the path
        raise _Unreadable(f"{os.strerror(errno.EINVAL)} (os error {errno.EINVAL})") from error
    if len(content) > LIMIT_BYTES:
        raise _Unreadable(f"more than {LIMIT_BYTES} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Unreadable("stream did not contain valid UTF-8") from error
    return text, _of_access(path, state)


def _of_access(path: str, state: os.stat_result) -> tuple[str, ...]:
    if sys.platform == "win32" or not stat.S_ISREG(state.st_mode):
        return ()
    found = []
    if state.st_mode & _OTHERS_MAY_WRITE:
        found.append(
            f"{path}: others than its owner may write to the configuration file "
            f"(mode {stat.S_IMODE(state.st_mode):04o}); chmod go-w takes that away"
        )
    if state.st_uid not in {0, os.geteuid()}:
        found.append(f"{path}: the configuration file belongs to neither root nor us (uid {state.st_uid})")
    return tuple(found)


def _not_read(path: str, reason: str, generation: Generation) -> str:
    if generation.converts:
        return f"{reason} in {_relative(path)}"
    return f"Failed to read config file '{path}': {reason}"


def _relative(path: str) -> str:
    try:
        return os.path.relpath(path)
    except ValueError:  # another drive
        return path


# The values.


def _config(reader: Reader, file: str, warnings: tuple[str, ...]) -> Config:
    values: dict[str, Any] = dict(reader.values)
    own = {
        field.name: values.pop(f"strongroom.{field.name}")
        for field in fields(Own)
        if f"strongroom.{field.name}" in values
    }
    prefetch = {
        field.name: values.pop(f"prefetch.{field.name}")
        for field in fields(Prefetch)
        if f"prefetch.{field.name}" in values
    }
    if "log_level" in values:
        values["log_level"] = values["log_level"].lower()
    if "secrets" in prefetch:
        prefetch["secrets"] = tuple((row["secret_id"], row["role_arn"]) for row in prefetch["secrets"])
    if "filter_tags" in prefetch:
        prefetch["filter_tags"] = tuple((row["key"], row["role_arn"]) for row in prefetch["filter_tags"])
    if "clients" in own:
        own["clients"] = tuple(_client(row) for row in own["clients"])
    return Config(
        path=file,
        prefetch=Prefetch(**prefetch),
        own=Own(**own),
        origins=_origins(reader, file),
        warnings=warnings,
        **values,
    )


def _client(row: dict[str, Any]) -> ClientRule:
    return ClientRule(row["name"], row["token_file"], row["uid"], row["secrets"] or (), row["roles"] or ())


def _origins(reader: Reader, file: str) -> dict[str, str]:
    """Return name of the option, or of its row -> ``FILE line N``."""
    found = {}
    for name, path in reader.paths.items():
        found[name] = _origin(reader, file, path)
        value: Any = reader.data
        for key in path:
            value = value[key]
        members: Sequence[str | int] = ()
        if isinstance(value, dict):
            members = tuple(value)
        elif isinstance(value, list):
            members = range(len(value))
        for member in members:
            place = shown_path((*name.split("."), member))
            found[place] = _origin(reader, file, (*path, member)) if reader.line((*path, member)) else found[name]
    return found


def _origin(reader: Reader, file: str, path: Path) -> str:
    line = reader.line(path)
    return f"{file} line {line}" if line else file
