import importlib
import os

import pytest

from harness.programs import path_with
from strongroom import prompt
from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable

NOWHERE = "/nowhere/tty"
NO_TERMINAL = f"there is no terminal to ask at ({NOWHERE}: no such file or directory)"
QUESTION = prompt.Question("Code: ", echo="plain", serial="s")


@pytest.fixture
def place(tmp_path):
    """A place without a terminal; with a desktop, and stand-ins for these programs."""

    def make(*programs, desktop=True, taken="", **environ):
        environ |= {"PATH": path_with(tmp_path / "bin", *programs), "WINDOW_LOG": os.fspath(tmp_path / "log")}
        if desktop:
            environ |= {"DISPLAY": ":0"}
        return prompt.Place(environ, terminal=NOWHERE, platform="linux", taken=taken)

    return make


def log(place):
    """What the windows were told."""
    with open(place.environ["WINDOW_LOG"]) as file:
        return file.read()


def unavailable(ask):
    with pytest.raises(PromptUnavailable) as caught:
        ask()
    return caught.value.message


def test_each_driver_of_the_table_is_a_module_with_the_family_s_face():
    """And each can say that it is not there, without a word to the human."""
    nowhere = prompt.Place({}, terminal=NOWHERE, platform="plan9")
    for name in prompt.DRIVERS:
        module = importlib.import_module(f"strongroom.prompt.{name}")
        assert callable(module.bring)
        assert module.absent(nowhere) != ""
    assert set(prompt.DRIVERS) >= prompt.MACHINES


# The choice


def test_an_unknown_driver():
    """The known ones are told."""
    with pytest.raises(PromptUnavailable) as caught:
        prompt.choose("carrier pigeon", prompt.Place({}))
    assert caught.value.message == "no prompt driver is called 'carrier pigeon'"
    assert caught.value.hint == f"known are: {', '.join(prompt.DRIVERS)}"


@pytest.mark.parametrize("name", ["kdialog", "osascript", "pinentry", "wincredui", "ykman", "zenity"])
def test_a_driver_that_is_not_there(place, name):
    """It was chosen, so no other one takes its place; the error says what is missing."""
    reason = "it is a part of Windows" if name == "wincredui" else f"there is no program {name!r} on PATH"
    assert unavailable(lambda: prompt.choose(name, place())) == f"the prompt driver {name!r} cannot be used: {reason}"


def test_a_chosen_driver_is_the_only_one(place):
    """A terminal, or another window, does not matter."""
    here = place("zenity", "kdialog", WINDOW="answer", WINDOW_ANSWER="654321")
    assert prompt.choose("kdialog", here)(QUESTION) == "654321"
    assert log(here).startswith("kdialog\n")
    assert unavailable(lambda: prompt.choose("terminal", here)(QUESTION)) == NO_TERMINAL


def test_a_chosen_driver_without_a_desktop(place):
    """It may know better than we do what a desktop is."""
    assert prompt.choose("zenity", place("zenity", desktop=False, WINDOW="answer"))(QUESTION) == "123456"


def test_a_terminal_goes_first(person, tmp_path):
    """Also with a desktop, and whatever standard output is: a pipe here."""
    environ = {"PATH": path_with(tmp_path / "bin", "zenity"), "DISPLAY": ":0", "WINDOW": "answer"}
    someone = person(f"print(prompt.choose('auto', prompt.Place({environ!r}))(prompt.Question('? ', echo='plain')))")
    someone.expect("? ")
    someone.send("at the terminal\r")
    assert someone.wait() == (0, "at the terminal\n", "")


def test_a_terminal_that_is_taken(person, tmp_path):
    """The command that runs in it would get the answer, or lose its own input."""
    environ = {"PATH": path_with(tmp_path / "bin", "zenity"), "DISPLAY": ":0", "WINDOW": "answer"}
    code = "print(prompt.choose('auto', prompt.Place({!r}, taken='vim has it'))(prompt.Question('? ', echo='plain')))"
    someone = person(code.format(environ))
    assert someone.wait() == (0, "123456\n", "")
    someone = person(code.format({}))
    status, out, err = someone.wait()
    assert (status, out) == (1, "")
    assert err == (
        "strongroom.errors.PromptUnavailable: the terminal is not ours to ask at: vim has it, and no desktop to open a "
        "window on (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    )
    assert someone.shown == ""


@pytest.mark.parametrize(("desktop", "first"), [("KDE", "kdialog"), ("GNOME", "zenity")])
def test_no_terminal_and_a_desktop(place, desktop, first):
    """The desktop's own window."""
    here = place("kdialog", "zenity", WINDOW="answer", XDG_CURRENT_DESKTOP=desktop)
    assert prompt.choose("auto", here)(QUESTION) == "123456"
    assert log(here).startswith(f"{first}\n")


def test_a_window_that_cannot_be_shown(place):
    """The next one is tried; each says why not."""
    here = place("zenity", "kdialog", "pinentry", WINDOW="display")
    assert prompt.choose("auto", here)(QUESTION) == "123456"


def test_no_window_can_be_shown(place):
    """All reasons, in order."""
    here = place("zenity", "kdialog", "pinentry", WINDOW="display", PINENTRY="notty")
    assert unavailable(lambda: prompt.choose("auto", here)(QUESTION)) == (
        f"{NO_TERMINAL}, and zenity: it finds no desktop to open a window on, and kdialog: it finds no desktop to open a "
        "window on, and pinentry: inappropriate ioctl for device"
    )


@pytest.mark.parametrize(
    ("does", "error"), [("cancel", PromptDismissed), ("fail", PromptFailed)], ids=["cancelled", "failed"]
)
def test_no_other_window_after_an_answer(place, does, error):
    """Who declined is not asked again by the next program."""
    here = place("zenity", "kdialog", WINDOW=does)
    with pytest.raises(error):
        prompt.choose("auto", here)(QUESTION)
    assert log(here).count("--\n") == 1


def test_nothing_there(place):
    """Neither a terminal nor a desktop; or no program for it. A YubiKey is never asked unasked."""
    here = place("ykman", "zenity", desktop=False)
    assert unavailable(lambda: prompt.choose("auto", here)(QUESTION)) == (
        f"{NO_TERMINAL}, and no desktop to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set)"
    )


def test_a_desktop_without_programs(place):
    """Those that would do are named."""
    assert unavailable(lambda: prompt.choose("auto", place("ykman"))(QUESTION)) == (
        f"{NO_TERMINAL}, and no program to open a window with (zenity, kdialog, pinentry)"
    )


def test_a_machine_is_no_human(place):
    """It has codes and no passphrases: for those the choice is as if nobody had chosen."""
    here = place("ykman", "zenity", WINDOW="answer", WINDOW_ANSWER="secret ")
    chosen = prompt.choose("ykman", here)
    assert (chosen.is_machine, chosen(QUESTION)) == (True, "123456")
    instead = prompt.choose("ykman", here, hidden=True)
    assert (instead.is_machine, instead(prompt.Question("Passphrase: ", echo="hidden"))) == (False, "secret ")


# Yes or no


@pytest.mark.parametrize(
    ("keys", "answer"),
    [("y\r", True), ("YES\r", True), (" y \r", True), ("\r", False), ("n\r", False), ("yep\r", False), ("\x04", False)],
)
def test_yes_or_no(person, keys, answer):
    """Only a yes is a yes."""
    someone = person('print(prompt.confirm("Remove it? "))')
    someone.expect("Remove it? ")
    someone.send(keys)
    assert someone.wait() == (0, f"{answer}\n", "")
    assert someone.as_before


def test_yes_or_no_without_a_terminal():
    """Nobody said yes, and nobody said no."""
    with pytest.raises(PromptUnavailable):
        prompt.confirm("Remove it?", terminal="/nowhere/tty")
