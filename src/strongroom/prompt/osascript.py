"""Ask in a window of macOS, by a line of AppleScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.errors import PromptDismissed, PromptUnavailable
from strongroom.prompt import window

if TYPE_CHECKING:
    from strongroom.prompt.question import Place, Question

# AppleScript's error numbers, which osascript prints at the end of a line on stderr.
_CANCELLED = "(-128)"
# "No user interaction allowed", "application isn't running": nobody is logged in at this machine's screen.
_NO_SCREEN = ("(-1713)", "(-600)", "(-10810)")


def absent(place: Place) -> str:
    """Why it cannot be used here; empty if it can."""
    return place.no_program("osascript")


def bring(question: Question, place: Place) -> str:
    """Ask. The answer comes by its stdout."""
    printed = window.run([place.program("osascript"), "-e", _script(question, place.title)], place)
    if printed.status and _CANCELLED in printed.errors:
        raise PromptDismissed("the question was dismissed in the window of osascript")
    if printed.status and any(number in printed.errors for number in _NO_SCREEN):
        raise PromptUnavailable("osascript: nobody is logged in at the screen")
    return window.line(printed, question, "osascript")


def _script(question: Question, title: str) -> str:
    hidden = " with hidden answer" if question.hidden else ""
    return (
        f'text returned of (display dialog {_quoted(question.text)} with title {_quoted(title)} default answer ""'
        f'{hidden} buttons {{"Cancel", "OK"}} default button "OK" cancel button "Cancel")'
    )


def _quoted(text: str) -> str:
    # AppleScript Language Guide, "text": only the backslash and the double quote end or change a string.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
