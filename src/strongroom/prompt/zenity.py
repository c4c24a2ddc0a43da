"""Ask in a window of zenity: GNOME and its kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.prompt import window

if TYPE_CHECKING:
    from strongroom.prompt.question import Place, Question


def absent(place: Place) -> str:
    """Why it cannot be used here; empty if it can."""
    return place.no_program("zenity")


def bring(question: Question, place: Place) -> str:
    """Ask. The answer comes by its stdout."""
    argv = [place.program("zenity"), "--entry", "--title", place.title, "--text", question.text]
    if question.hidden:
        argv.append("--hide-text")
    return window.answer(window.run(argv, place), question, "zenity")
