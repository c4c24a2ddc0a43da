"""Ask the human, wherever standard input and output lead: a code, a secret, a passphrase, yes or no.

`DRIVERS` are the ways to ask, and `choose` picks those that may reach the human from here. Nothing here is imported by
a run that finds what it needs.

A driver is a module with ``absent(place) -> str``, why it cannot be used here or an empty text, and
``bring(question, place) -> str``, the answer. `bring` raises PromptUnavailable when the human cannot be reached that
way after all, PromptDismissed when they declined, PromptFailed when a program failed or took too long.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from strongroom.errors import PromptDismissed, PromptUnavailable
from strongroom.prompt.process import MFA_PROCESS_SECONDS, run_mfa_process
from strongroom.prompt.question import WINDOW_SECONDS, Place, Question
from strongroom.prompt.terminal import HINT, TERMINAL, ask, is_among, tell

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Protocol

    class Driver(Protocol):
        """The face of a driver's module."""

        def absent(self, place: Place) -> str:
            """Why it cannot be used here; empty if it can."""

        def bring(self, question: Question, place: Place) -> str:
            """The answer."""


__all__ = [
    "DRIVERS",
    "MFA_PROCESS_SECONDS",
    "TERMINAL",
    "WINDOW_SECONDS",
    "Asker",
    "Place",
    "Question",
    "absent",
    "ask",
    "choose",
    "confirm",
    "is_among",
    "run_mfa_process",
    "tell",
]

# Name -> the line that help shows.
DRIVERS = {
    "terminal": "Ask at the terminal, wherever standard input and output lead.",
    "kdialog": "Ask in a window of KDE's kdialog.",
    "osascript": "Ask in a window of macOS.",
    "pinentry": "Ask by GnuPG's pinentry, in a window or in the terminal.",
    "wincredui": "Ask in a window of Windows.",
    "ykman": "Take the code from a YubiKey, by Yubico's ykman.",
    "zenity": "Ask in a window of GNOME's zenity.",
}
# Those that ask no human: they have codes, and no passphrases.
MACHINES = frozenset({"ykman"})
# Chosen by what can reach the human.
AUTO = "auto"


class Asker:
    """Drivers, of which the first that can reach the human asks.

    Args:
        names: Keys of `DRIVERS`, in the order in which they are tried.
        place: Where.
        reasons: Why others are not among them.
    """

    def __init__(self, names: Iterable[str], place: Place, reasons: Iterable[str] = ()) -> None:
        self._names = tuple(names)
        self._place = place
        self._reasons = tuple(reasons)

    @property
    def is_machine(self) -> bool:
        """Whether it is no human who answers: then asking again brings the same."""
        return set(self._names) <= MACHINES

    def __call__(self, question: Question) -> str:
        """Ask.

        Raises:
            PromptUnavailable: None of them reaches a human; each says why.
            PromptDismissed: The human declined.
            PromptFailed: A program failed, or took too long.
        """
        reasons = []
        for name in self._names:
            driver = _load(name)
            reason = driver.absent(self._place)
            if not reason:
                try:
                    return driver.bring(question, self._place)
                except PromptUnavailable as error:
                    reason = error.message
            reasons.append(reason)
        raise PromptUnavailable(", and ".join([*reasons, *self._reasons]), HINT)


def choose(wanted: str, place: Place, *, hidden: bool = False) -> Asker:
    """Choose who asks.

    Args:
        wanted: A key of `DRIVERS`, which is then the only one; or `AUTO`: the terminal, and where there is none that we
            may use, the windows of the desktop.
        place: Where.
        hidden: Whether it is about a passphrase, which only a human has.

    Raises:
        PromptUnavailable: There is no driver of that name, or it is not there.
    """
    if wanted != AUTO and not (hidden and wanted in MACHINES):
        if wanted not in DRIVERS:
            raise PromptUnavailable(f"no prompt driver is called {wanted!r}", f"known are: {', '.join(DRIVERS)}")
        reason = _load(wanted).absent(place)
        if reason and wanted != "terminal":
            raise PromptUnavailable(f"the prompt driver {wanted!r} cannot be used: {reason}", "choose another one")
        return Asker([wanted], place)
    no_desktop = place.no_desktop()
    if no_desktop:
        return Asker(["terminal"], place, [f"no desktop to open a window on ({no_desktop})"])
    windows = [name for name in place.windows() if not _load(name).absent(place)]
    if not windows:
        return Asker(["terminal"], place, [f"no program to open a window with ({', '.join(place.windows())})"])
    return Asker(["terminal", *windows], place)


def absent(name: str, place: Place) -> str:
    """Why the driver *name*, a key of `DRIVERS`, cannot be used in *place*; empty if it can."""
    return _load(name).absent(place)


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


def _load(name: str) -> Driver:
    driver: Driver = import_module(f"strongroom.prompt.{name}")
    return driver
