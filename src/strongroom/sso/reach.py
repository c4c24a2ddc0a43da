"""Whether a browser of this machine is one that the human can see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SSH = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
_WSL = ("WSL_DISTRO_NAME", "WSL_INTEROP")
# What opens a browser of the Windows around a Linux, or of that Linux.
_OPENERS = ("wslview", "xdg-open")


def why_not(environ: Mapping[str, str], *, platform: str, find: Callable[[str], str | None]) -> str:
    """Why there is no such browser; empty if there may be one.

    Args:
        environ: The environment variables.
        platform: As in `sys.platform`.
        find: The path of a program, or None.
    """
    if any(environ.get(name) for name in _SSH):
        return "this is a session over SSH"
    if platform in {"darwin", "win32"}:
        return ""
    if any(environ.get(name) for name in _WSL):
        return "" if any(find(name) for name in _OPENERS) else "this is WSL, without a program that opens a browser"
    if not any(environ.get(name) for name in _DISPLAYS):
        return "there is no display here"
    return ""
