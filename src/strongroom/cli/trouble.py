"""An error as the user sees it; imported only when there is one."""

from __future__ import annotations

import difflib
import traceback
from typing import TYPE_CHECKING

from strongroom.errors import ProfileNotFound, StrongroomError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.cli.terminal import Talk


def report(error: StrongroomError, talk: Talk) -> None:
    """Say on stderr what went wrong and what to do: a line each."""
    if talk.debug_is_on:
        text = "".join(traceback.format_exception(error))
        talk.show(text.encode("utf-8", "backslashreplace").decode())
    message, hint = error.message, error.hint
    if talk.command:
        message = f"{talk.command}: {message}"
    if isinstance(error, (ProfileNotFound, UsageError)) and error.word:
        hint = _nearest(error.word, error.known) or hint
    if isinstance(error, UsageError):
        message += ", try --help"
    # Below this floor nobody knows by which name we were called; what is to be typed should be.
    talk.error(message, hint.replace("`strongroom ", f"`{talk.program} "))


def _nearest(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else ""
