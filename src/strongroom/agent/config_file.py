"""The agent's config file: which it is, what it says, and what of it is in force.

Only what finds it is imported at the start; what reads it is loaded when there is one.
"""

from __future__ import annotations

import os
from importlib import import_module

from strongroom.agent.config import Config
from strongroom.agent.mistakes import ConfigMistakes, Mistake

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.agent.generations import Generation

__all__ = ["ConfigMistakes", "Mistake", "describe", "find", "load"]


def find(generation: Generation, platform: str, environ: Mapping[str, str]) -> str | None:
    """Return the config file that is read when none is named, if it exists.

    Args:
        generation: Whose it is.
        platform: As ``sys.platform``.
        environ: The environment, for ``%PROGRAMDATA%``.
    """
    for where, path in generation.default_config:
        if where in {platform, ""}:
            # Taken by hand: os.path.expandvars reads our own environment, and knows percent signs on Windows only.
            found = path.replace("%PROGRAMDATA%", environ.get("PROGRAMDATA") or r"C:\ProgramData")
            return found if os.path.exists(found) else None
    return None


def load(path: str | None, generation: Generation) -> Config:
    """Return what is in force.

    Args:
        path: The config file; None: everything has its default.
        generation: Whose rules hold.

    Raises:
        ConfigMistakes: The file cannot be read, or has mistakes: all of them.
    """
    if path is None:
        return Config()
    config: Config = import_module("strongroom.agent.config_loading").load(path, generation)
    return config


def describe(config: Config, generation: Generation) -> str:
    """Return every option, its value and where it comes from, one a line and aligned, without a newline at the end."""
    text: str = import_module("strongroom.agent.config_table").describe(config, generation)
    return text
