"""``sm``: serve secrets over local HTTP, as the AWS Workload Credentials Provider does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.cli import serving
from strongroom.cli.flags import Flag
from strongroom.errors import UsageError

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (Flag("config", "config file, TOML; by default the one that AWS's program reads", short="c", value="FILE"),)
WORDS = ("start|check",)
RUNS = False

_ACTIONS = {"start": serving.start, "check": serving.check}


def run(arguments: Arguments, settings: Settings) -> int:
    """Serve until we are told to end; or say what a config file means.

    Raises:
        UsageError: Neither is asked for.
    """
    word = arguments.words[0]
    if word not in _ACTIONS:
        raise UsageError(f"expected start or check, got {word!r}", word=word, known=tuple(_ACTIONS))
    return _ACTIONS[word](arguments, settings, "sm")
