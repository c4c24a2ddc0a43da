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


def add_section(settings: Settings, section: str, values: Mapping[str, str]) -> None:
    """Append a section to the config file, which is made if it is missing.

    Every byte that is there stays. The file is replaced at once, under a lock; its mode and owner stay, and a
    symbolic link to it goes on pointing at it.

    Raises:
        ConfigError: The file cannot be read or written, or the section cannot be written so that it reads back.
        LockError: Another process keeps the file locked.
    """
    check_section(settings, section, values)
    path = os.path.realpath(settings.config_path)
    with lock.hold(settings.lock_directory(), f"config {path}", command=settings.command):
        try:
            before = _read(path)
            after = ini.encode(ini.append_section(ini.decode(before), section, values), like=before)
            durable.make_directory(os.path.dirname(path))
            durable.replace_as_it_is(path, after)
        except OSError as error:
            raise ConfigError(
                f"cannot write the config file {path}: {error.strerror}",
                "check its permissions, or use --no-add-config",
            ) from error


def check_section(settings: Settings, section: str, values: Mapping[str, str]) -> None:
    """Find out beforehand whether `add_section` could write this.

    Raises:
        ConfigError: The section cannot be written so that it reads back, or there is no file to write to.
    """
    path = settings.config_path
    if os.path.exists(path) and not os.path.isfile(path):
        # A pipe, or /dev/null for "none": replacing it would take it away from everybody else.
        raise ConfigError(f"cannot write the config file {path}: not a regular file", "use --no-add-config")
    try:
        ini.append_section("", section, values)
    except ValueError as error:
        raise ConfigError(
            f"the config file {path} cannot hold section {section!r}: {error}",
            "use --no-add-config, or another name",
        ) from error


def _read(path: str) -> bytes:
    try:
        return text_file.read(path)
    except FileNotFoundError:
        return b""
