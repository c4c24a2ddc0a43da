"""``version``: print the version."""

from __future__ import annotations

from strongroom import __version__
from strongroom.cli.terminal import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments, Flag
    from strongroom.cli.settings import Settings

FLAGS: tuple[Flag, ...] = ()
WORDS: tuple[str, ...] = ()
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:  # noqa: ARG001 - every command has this face
    """Print the version."""
    answer(f"{__version__}\n")
    return 0
