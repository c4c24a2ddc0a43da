import pytest

from strongroom.sso import reach

SSH = "this is a session over SSH"
NO_DISPLAY = "there is no display here"
NO_OPENER = "this is WSL, without a program that opens a browser"


@pytest.mark.parametrize(
    ("platform", "environ", "programs", "reason"),
    [
        ("linux", {"DISPLAY": ":0"}, (), ""),
        ("linux", {"WAYLAND_DISPLAY": "wayland-0"}, (), ""),
        ("linux", {"DISPLAY": ""}, (), NO_DISPLAY),
        ("linux", {}, ("xdg-open",), NO_DISPLAY),
        ("freebsd14", {}, (), NO_DISPLAY),
        ("linux", {"DISPLAY": "localhost:10", "SSH_CONNECTION": "a 1 b 22"}, (), SSH),
        ("linux", {"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, (), SSH),
        ("linux", {"DISPLAY": ":0", "SSH_CLIENT": "a 1 22"}, (), SSH),
        ("linux", {"WSL_DISTRO_NAME": "Debian"}, ("wslview",), ""),
        ("linux", {"WSL_INTEROP": "/run/1"}, ("xdg-open",), ""),
        ("linux", {"WSL_DISTRO_NAME": "Debian", "DISPLAY": ":0"}, (), NO_OPENER),
        ("darwin", {}, (), ""),
        ("darwin", {"SSH_TTY": "/dev/ttys1"}, (), SSH),
        ("win32", {}, (), ""),
        ("win32", {"SSH_CONNECTION": "a 1 b 22"}, (), SSH),
    ],
)
def test_whether_a_browser_is_one_that_the_human_sees(platform, environ, programs, reason):
    """Not over SSH, not without a display, not in a WSL that opens none."""
    found = lambda name: f"/usr/bin/{name}" if name in programs else None  # noqa: E731
    assert reach.why_not(environ, platform=platform, find=found) == reason
