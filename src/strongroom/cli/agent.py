"""``agent``: serve secrets over local HTTP, as versions 1 and 2 of the AWS Secrets Manager Agent do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.cli import serving
from strongroom.cli.flags import Flag

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (Flag("config", "config file of the agent: TOML, JSON or YAML", short="c", value="FILE"),)
WORDS: tuple[str, ...] = ()
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Serve until we are told to end."""
    return serving.start(arguments, settings, "agent")
