import os

import pytest

from strongroom.prompt.question import Place, Question

DISPLAY = {"DISPLAY": ":0"}


def test_what_a_window_shows():
    """The note above the question; what could steer a terminal or break a line stands escaped."""
    assert Question("Code: ", echo="plain").text == "Code: "
    assert Question("Code of \x1b[1mjon\r: ", echo="plain", note="No.").text == "No.\nCode of \\x1b[1mjon\\r: "


@pytest.mark.parametrize(("echo", "hidden"), [("plain", False), ("stars", True), ("hidden", True)])
def test_what_is_hidden(echo, hidden):
    """A window knows two ways; stars hide too."""
    assert Question("?", echo=echo).hidden is hidden


@pytest.mark.parametrize(
    ("platform", "environ", "reason"),
    [
        ("linux", {}, "neither DISPLAY nor WAYLAND_DISPLAY is set"),
        ("linux", {"DISPLAY": "", "WAYLAND_DISPLAY": ""}, "neither DISPLAY nor WAYLAND_DISPLAY is set"),
        ("linux", DISPLAY, ""),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, ""),
        ("freebsd14", DISPLAY | {"SSH_CONNECTION": "::1 1 ::1 22"}, ""),  # ssh -X
        ("darwin", {}, ""),
        ("darwin", {"SSH_CONNECTION": "::1 1 ::1 22"}, "this is a login over SSH"),
        ("win32", {}, ""),
        ("win32", {"SSH_CONNECTION": "::1 1 ::1 22"}, "this is a login over SSH"),
    ],
)
def test_whether_there_is_a_desktop(platform, environ, reason):
    """As each system tells."""
    assert Place(environ, platform=platform).no_desktop() == reason


@pytest.mark.parametrize(
    ("platform", "desktop", "windows"),
    [
        ("linux", "", ("zenity", "kdialog", "pinentry")),
        ("linux", "ubuntu:GNOME", ("zenity", "kdialog", "pinentry")),
        ("linux", "KDE", ("kdialog", "zenity", "pinentry")),
        ("linux", "X-NIXOS:KDE", ("kdialog", "zenity", "pinentry")),
        ("darwin", "", ("osascript",)),
        ("win32", "", ("wincredui",)),
    ],
)
def test_which_windows_there_are(platform, desktop, windows):
    """The desktop's own first; a YubiKey is never taken unasked."""
    assert Place({"XDG_CURRENT_DESKTOP": desktop}, platform=platform).windows() == windows


def test_programs_are_looked_for_on_the_path_that_is_given(tmp_path):
    """Not on our own; what cannot be run is not there."""
    program = tmp_path / "zenity"
    program.touch()
    place = Place({"PATH": os.fspath(tmp_path)})
    assert (place.program("zenity"), place.no_program("zenity")) == ("", "there is no program 'zenity' on PATH")
    program.chmod(0o755)
    assert (place.program("zenity"), place.no_program("zenity")) == (os.fspath(program), "")
    assert Place({}).program("sh") == ""
