"""Ask the human, wherever standard input and output lead: a code, a secret, a passphrase, yes or no.

`DRIVERS` are the ways to ask; each is a function of the shape of `ask`, chosen by `driver`. Nothing here is imported by
a run that finds what it needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.errors import PromptDismissed, PromptUnavailable
from strongroom.prompt.process import MFA_PROCESS_SECONDS, run_mfa_process
from strongroom.prompt.terminal import TERMINAL, ask, tell

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DRIVERS", "MFA_PROCESS_SECONDS", "TERMINAL", "ask", "confirm", "driver", "run_mfa_process", "tell"]

# Name -> the line that help shows.
DRIVERS = {
    "terminal": "Ask at the terminal, wherever standard input and output lead.",
}
_FUNCTIONS = {"terminal": ask}


def driver(name: str) -> Callable[..., str]:
    """Return the function that asks by the driver *name*: ``(message, *, echo) -> str``.

    Raises:
        PromptUnavailable: There is no driver of that name.
    """
    if name not in _FUNCTIONS:
        raise PromptUnavailable(f"no prompt driver is called {name!r}", f"known are: {', '.join(DRIVERS)}")
    return _FUNCTIONS[name]


def confirm(question: str, *, terminal: str = TERMINAL) -> bool:
    """Ask a yes-or-no question at the terminal, as it is worded; anything but a yes is a no.

    Raises:
        PromptUnavailable: There is no terminal.
    """
    try:
        answer = ask(question, echo="plain", terminal=terminal)
    except PromptDismissed:
        return False
    return answer.lower() in {"y", "yes"}
