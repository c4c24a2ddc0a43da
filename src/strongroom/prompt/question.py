"""What is asked, and what is known of the place where it is asked. The drivers get both."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from strongroom.prompt.terminal import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.prompt.line import Echo

# How long a window stays open: time to find the phone, less than other processes wait for our lock.
WINDOW_SECONDS = 90.0


class Question:
    """One question.

    Args:
        message: What to ask, with its colon and blank.
        echo: ``plain`` shows what is typed, ``stars`` and ``hidden`` do not.
        serial: The MFA device whose code is wanted; empty when it is something else.
        note: What to say before, such as what was wrong with the last answer.
        told: Whether it was said on stderr already, which may be out of sight of a window.
    """

    __slots__ = ("echo", "message", "note", "serial", "told")

    def __init__(self, message: str, *, echo: Echo, serial: str = "", note: str = "", told: bool = False) -> None:
        self.message = message
        self.echo = echo
        self.serial = serial
        self.note = note
        self.told = told

    @property
    def hidden(self) -> bool:
        """Whether nobody may read the answer over a shoulder."""
        return self.echo != "plain"

    @property
    def text(self) -> str:
        """Note and message, for a window. Only what can be printed: names in a message may come from anywhere."""
        text = f"{self.note}\n{self.message}" if self.note else self.message
        return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class Place:
    """Where we are: what a driver may use to reach the human.

    Args:
        environ: The environment: ``PATH``, ``DISPLAY`` and the like; the whole of it is given to the programs that ask,
            so it holds no secret.
        title: What windows are called.
        terminal: The terminal's path.
        taken: Why the terminal is not to be used; empty when it may be.
        timeout_seconds: How long a program or a window may take.
        platform: The system, as `sys.platform` calls it.
    """

    __slots__ = ("environ", "platform", "taken", "terminal", "timeout_seconds", "title")

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        title: str = "strongroom",
        terminal: str = TERMINAL,
        taken: str = "",
        timeout_seconds: float = WINDOW_SECONDS,
        platform: str = sys.platform,
    ) -> None:
        self.environ = environ
        self.title = title
        self.terminal = terminal
        self.taken = taken
        self.timeout_seconds = timeout_seconds
        self.platform = platform

    def program(self, name: str) -> str:
        """The path of the program *name*; empty if there is none."""
        return shutil.which(name, path=self.environ.get("PATH", "")) or ""

    def no_program(self, name: str) -> str:
        """Why a driver that needs the program *name* cannot be used; empty if it can."""
        return "" if self.program(name) else f"there is no program {name!r} on PATH"

    def no_desktop(self) -> str:
        """Why no window can be shown here; empty if one can."""
        if self.platform in {"darwin", "win32"}:
            # The variables tell nothing of the desktop there, but a login over the network has none.
            return "this is a login over SSH" if self.environ.get("SSH_CONNECTION") else ""
        if self.environ.get("DISPLAY") or self.environ.get("WAYLAND_DISPLAY"):
            return ""
        return "neither DISPLAY nor WAYLAND_DISPLAY is set"

    def windows(self) -> tuple[str, ...]:
        """The drivers that open a window here, the desktop's own first."""
        if self.platform == "darwin":
            return ("osascript",)
        if self.platform == "win32":
            return ("wincredui",)
        if "KDE" in self.environ.get("XDG_CURRENT_DESKTOP", "").split(":"):
            return ("kdialog", "zenity", "pinentry")
        return ("zenity", "kdialog", "pinentry")
