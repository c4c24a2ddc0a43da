"""Ask in a window of kdialog: KDE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.prompt import window

if TYPE_CHECKING:
    from strongroom.prompt.question import Place, Question


def absent(place: Place) -> str:
    """Why it cannot be used here; empty if it can."""
    return place.no_program("kdialog")


def bring(question: Question, place: Place) -> str:
    """Ask. The answer comes by its stdout."""
    kind = "--password" if question.hidden else "--inputbox"
    argv = [place.program("kdialog"), kind, question.text, "--title", place.title]
    return window.answer(window.run(argv, place), question, "kdialog")
