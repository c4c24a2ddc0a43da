"""Our own settings file, ``config.toml``: a flat table of the keys of `strongroom.cli.settings.SETTINGS`."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

from strongroom.cli import text_file
from strongroom.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def read(path: str, keys: Sequence[str]) -> Mapping[str, object]:
    """Read the file.

    Args:
        path: Where it is.
        keys: What it may set.

    Raises:
        ConfigError: It cannot be read, is no TOML, or sets something that is not known.
    """
    try:
        own = tomllib.loads(text_file.read(path).decode())
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", 'the file is TOML: key = "value"') from error
    for key, value in own.items():
        if key not in keys:
            raise ConfigError(f"{path}: unknown key {key!r}", f"known are {', '.join(keys)}")
        if not isinstance(value, (str, int)):
            raise ConfigError(f"{path}: {key}: expected a text, a number, true or false, got {value!r}")
    return own
