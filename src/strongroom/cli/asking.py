"""Who asks the human, as flags, variables and the machine say."""

from __future__ import annotations

from strongroom import prompt
from strongroom.cli import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.cli.settings import Settings


def asker(settings: Settings, *, hidden: bool = False) -> prompt.Asker:
    """Choose who asks.

    Args:
        settings: Flags, variables, files.
        hidden: Whether it is about a passphrase.

    Raises:
        UsageError: The setting names no driver.
        PromptUnavailable: It names one that is not there.
    """
    place = prompt.Place(
        environment.of_helper(settings.inherited), title=settings.talk.program, taken=settings.terminal_is_taken
    )
    return prompt.choose(str(settings.get("prompt")), place, hidden=hidden)
