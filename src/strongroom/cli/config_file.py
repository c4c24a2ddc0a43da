"""Adding to the AWS config file without touching what is there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from strongroom import durable, ini, lock
from strongroom.cli import text_file
from strongroom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.cli.settings import Settings

_NO_ADD_CONFIG = "use --no-add-config"


def add_section(settings: Settings, section: str, values: Mapping[str, str]) -> None:
    """Append a section to the config file: see `add_sections`."""
    add_sections(settings, {section: values}, otherwise=_NO_ADD_CONFIG)


def add_sections(settings: Settings, sections: Mapping[str, Mapping[str, str]], *, otherwise: str) -> None:
    """Append sections to the config file, which is made if it is missing.

    Every byte that is there stays. The file is replaced at once, under a lock; its mode and owner stay, and a
    symbolic link to it goes on pointing at it.

    Args:
        settings: Which file.
        sections: Name -> keys and values.
        otherwise: What the user can do instead, for hints.

    Raises:
        ConfigError: The file cannot be read or written, or a section cannot be written so that it reads back.
        LockError: Another process keeps the file locked.
    """
    for section, values in sections.items():
        check_section(settings, section, values, otherwise=otherwise)
    path = os.path.realpath(settings.config_path)
    with lock.hold(settings.lock_directory(), f"config {path}", command=settings.command):
        try:
            before = _read(path)
            after = ini.encode(_appended(ini.decode(before), sections), like=before)
            durable.make_directory(os.path.dirname(path))
            durable.replace_as_it_is(path, after)
        except OSError as error:
            raise ConfigError(
                f"cannot write the config file {path}: {error.strerror}", f"check its permissions, or {otherwise}"
            ) from error
        except ValueError as error:
            raise ConfigError(
                f"the config file {path} was changed meanwhile: {error}", "nothing was written; try again"
            ) from error


def check_section(
    settings: Settings, section: str, values: Mapping[str, str], *, otherwise: str = _NO_ADD_CONFIG
) -> None:
    """Find out beforehand whether `add_sections` could write this.

    Raises:
        ConfigError: The section cannot be written so that it reads back, or there is no file to write to.
    """
    path = settings.config_path
    if os.path.exists(path) and not os.path.isfile(path):
        # A pipe, or /dev/null for "none": replacing it would take it away from everybody else.
        raise ConfigError(f"cannot write the config file {path}: not a regular file", otherwise)
    if os.path.exists(path) and not os.access(path, os.W_OK):
        # It could be replaced all the same, but somebody has said that it should not change.
        raise ConfigError(f"cannot write the config file {path}: it is read-only", f"check its mode, or {otherwise}")
    try:
        ini.append_section("", section, values)
    except ValueError as error:
        raise ConfigError(
            f"the config file {path} cannot hold section {section!r}: {error}", f"{otherwise}, or another name"
        ) from error


def shown(settings: Settings, sections: Mapping[str, Mapping[str, str]]) -> str:
    """What `add_sections` would change, as ``diff -U0`` shows it: no line that is there is repeated.

    Raises:
        ConfigError: The file cannot be read, or a section is there already.
    """
    path = os.path.realpath(settings.config_path)
    try:
        before = ini.decode(_read(path))
        after = _appended(before, sections)
    except OSError as error:
        raise ConfigError(f"cannot read the config file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the config file {path} cannot take it: {error}") from error
    line = before.count("\n")
    added = after[len(before) :].replace("\r\n", "\n").split("\n")[:-1]
    if before and not before.endswith("\n"):  # what is added begins with the end of the last line
        line, added = line + 1, added[1:]
    heads = [f"--- {path}", f"+++ {path}", f"@@ -{line},0 +{line + 1},{len(added)} @@"]
    return "".join(f"{line}\n" for line in [*heads, *(f"+{line}" for line in added)])


def _appended(text: str, sections: Mapping[str, Mapping[str, str]]) -> str:
    for section, values in sections.items():
        text = ini.append_section(text, section, values)
    return text


def _read(path: str) -> bytes:
    try:
        return text_file.read(path)
    except FileNotFoundError:
        return b""
