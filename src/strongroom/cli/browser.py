"""Opening a page in a browser without telling anybody else its address.

Which browser: ``--browser``, ``STRONGROOM_BROWSER``, the profile's key ``browser``, ``$BROWSER``, the system's own way;
the first of these that says something.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from strongroom.cli import environment
from strongroom.cli.one_time_link import OneTimeLink
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from strongroom.cli.settings import Settings
    from strongroom.profiles import Profile


class CannotOpen(StrongroomError):
    """No browser came for the page."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint or "with --stdout the link is printed instead, to be opened by you")


# What {profile} is replaced by when no profile is used.
NO_PROFILE = "aws"

# A program that fails may have opened the page all the same: openers pass on the status of what they started.
GRACE_SECONDS = 2

_CONTAINER = "ext+container:name={profile}&url={url}"  # of the add-on "Open external links in a container"

# name -> the commands to try, by platform; "{url}" is the page. More can be written as a command.
BROWSERS: dict[str, dict[str, tuple[tuple[str, ...], ...]]] = {
    "firefox": {
        "": (("firefox", "{url}"), ("firefox-esr", "{url}")),
        "darwin": (("open", "-a", "Firefox", "{url}"),),
        "win32": ((r"Mozilla Firefox\firefox.exe", "{url}"),),
    },
    "firefox-container": {
        "": (("firefox", _CONTAINER), ("firefox-esr", _CONTAINER)),
        "darwin": (("open", "-a", "Firefox", _CONTAINER),),
        "win32": ((r"Mozilla Firefox\firefox.exe", _CONTAINER),),
    },
    "firefox-private": {
        "": (("firefox", "--private-window", "{url}"), ("firefox-esr", "--private-window", "{url}")),
        "darwin": (("open", "-na", "Firefox", "--args", "--private-window", "{url}"),),
        "win32": ((r"Mozilla Firefox\firefox.exe", "--private-window", "{url}"),),
    },
    "chrome": {
        "": (("google-chrome", "{url}"), ("google-chrome-stable", "{url}")),
        "darwin": (("open", "-a", "Google Chrome", "{url}"),),
        "win32": ((r"Google\Chrome\Application\chrome.exe", "{url}"),),
    },
    "chrome-incognito": {
        "": (("google-chrome", "--incognito", "{url}"), ("google-chrome-stable", "--incognito", "{url}")),
        "darwin": (("open", "-na", "Google Chrome", "--args", "--incognito", "{url}"),),
        "win32": ((r"Google\Chrome\Application\chrome.exe", "--incognito", "{url}"),),
    },
    "chromium": {
        "": (("chromium", "{url}"), ("chromium-browser", "{url}")),
        "darwin": (("open", "-a", "Chromium", "{url}"),),
    },
    "brave": {
        "": (("brave-browser", "{url}"), ("brave", "{url}")),
        "darwin": (("open", "-a", "Brave Browser", "{url}"),),
        "win32": ((r"BraveSoftware\Brave-Browser\Application\brave.exe", "{url}"),),
    },
    "edge": {
        "": (("microsoft-edge", "{url}"), ("microsoft-edge-stable", "{url}")),
        "darwin": (("open", "-a", "Microsoft Edge", "{url}"),),
        "win32": ((r"Microsoft\Edge\Application\msedge.exe", "{url}"),),
    },
    "safari": {"darwin": (("open", "-a", "Safari", "{url}"),)},
}

# The system's own ways, in the same form. wslu's wslview opens the browser of the Windows around a Linux.
_SYSTEM = {
    "": (("xdg-open", "{url}"), ("wslview", "{url}"), ("gio", "open", "{url}")),
    "darwin": (("open", "{url}"),),
    "win32": (("rundll32", "url.dll,FileProtocolHandler", "{url}"),),
}
# One of these is set where a window can be shown.
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME")
_PROGRAM_FOLDERS = ("ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA")

# A word that is an address itself, so that what is put into it must be escaped. "C:\..." is none.
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")


class Browser:
    """The browser that is to be used, found before anything else is done.

    Args:
        choice: One of `BROWSERS`, a program, or a command with ``{url}`` and perhaps ``{profile}`` in it; empty for
            ``$BROWSER`` or the system's own.
        profile: What ``{profile}`` stands for.
        environ: The environment in which it is started, and that says what there is.
        platform: As in `sys.platform`.
        find: The path of a program, or None; by default as the shell finds it.
        is_verbose: Whether what it says of itself is shown.

    Raises:
        CannotOpen: There is none.
    """

    def __init__(
        self,
        choice: str,
        profile: str,
        environ: Mapping[str, str],
        *,
        platform: str = sys.platform,
        find: Callable[[str], str | None] | None = None,
        is_verbose: bool = False,
    ) -> None:
        self._environ = environ
        self._platform = platform if platform in {"darwin", "win32"} else ""
        self._find = find or (lambda word: shutil.which(word, path=environ.get("PATH")))
        self._profile = profile or NO_PROFILE
        self._is_verbose = is_verbose
        self._words = self._chosen(choice) if choice else self._default()

    def command(self, url: str) -> list[str]:
        """The command that opens *url*."""
        values = {"{url}": url, "%s": url, "{profile}": self._profile}

        def put(match: re.Match[str]) -> str:
            value = values[match[0]]
            return quote(value, safe="") if is_address else value

        words = []
        for word in self._words:
            is_address = _ADDRESS.match(word) is not None
            words.append(re.sub(r"\{url\}|%s|\{profile\}", put, word))
        return words

    def open(
        self,
        url: str,
        *,
        link: Callable[[str], OneTimeLink] = OneTimeLink,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open *url*, and come back when the browser has got it.

        Args:
            url: The page. The browser's command names another address, which leads there once.
            link: Makes that other address.
            clock: Seconds that only grow.

        Raises:
            CannotOpen: The browser could not be started, failed, or did not come.
        """
        with link(url) as hidden:
            process = self._start(self.command(hidden.url))
            try:
                watch = _Watch(process, clock)
                was_used = hidden.serve(watch.go_on, clock=clock)
                status = process.poll()
            finally:
                if process.poll() is None:
                    process.returncode = 0  # a browser, which goes on without us: nobody will wait for it
        if was_used:
            return
        if status:
            raise CannotOpen(f"cannot open a browser: {self._words[0]!r} ended with exit status {status}")
        raise CannotOpen(f"cannot open a browser: {self._words[0]!r} was started, and no browser came for the page")

    def _start(self, command: list[str]) -> subprocess.Popen[bytes]:
        output = None if self._is_verbose else subprocess.DEVNULL
        try:
            return subprocess.Popen(
                command,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=output,
                start_new_session=True,  # Ctrl-C, and the end of the terminal, are not meant for the browser
            )
        except OSError as error:
            raise CannotOpen(f"cannot open a browser: cannot run {command[0]!r}: {error.strerror}") from error

    # Which command it is; in each, some word has the page's place.

    def _chosen(self, choice: str) -> list[str]:
        if choice in BROWSERS:
            found = self._first(BROWSERS[choice].get(self._platform, ()))
            if found is None:
                raise CannotOpen(f"cannot open a browser: {choice!r} is not installed here, or not found")
            return found
        words = self._split(choice)
        if words is None or not words:
            raise CannotOpen(f"cannot open a browser: {choice!r} is no command", "its quotes may not be closed")
        if self._find(words[0]) is None:
            raise CannotOpen(
                f"cannot open a browser: {words[0]!r} is not found",
                f"the browser can be one of {', '.join(BROWSERS)}, or a command with {{url}} in it",
            )
        return _with_url(words)

    def _default(self) -> list[str]:
        for text in self._of_variable(self._environ.get("BROWSER", "")):
            words = self._split(text)
            if words and self._find(words[0]) is not None:
                return _with_url(words)
        if not self._platform and not any(self._environ.get(name) for name in _DISPLAYS):
            names = " and ".join(_DISPLAYS[:2])
            raise CannotOpen(f"cannot open a browser: there is no display here ({names} are not set)")
        found = self._first(_SYSTEM[self._platform])
        if found is None:
            tried = ", ".join(words[0] for words in _SYSTEM[self._platform])
            raise CannotOpen(
                f"cannot open a browser: found none of {tried}",
                "set BROWSER, or choose one with --browser; with --stdout the link is printed instead",
            )
        return found

    def _of_variable(self, text: str) -> Iterator[str]:
        """The commands in ``$BROWSER``, which are separated like the directories in ``$PATH``."""
        parts = text.split(os.pathsep)
        if all(self._split(part) is not None for part in parts):
            yield from parts
        else:  # it is between quotes that there are colons
            yield text

    def _split(self, text: str) -> list[str] | None:
        """The words of a command, as a shell sees them; None if a quote is not closed."""
        try:
            words = shlex.split(text, posix=self._platform != "win32")
        except ValueError:
            return None
        return [word.strip('"') for word in words] if self._platform == "win32" else words

    def _first(self, commands: tuple[tuple[str, ...], ...]) -> list[str] | None:
        for program, *rest in commands:
            if self._platform == "win32" and "\\" in program:
                folders = [self._environ[name] for name in _PROGRAM_FOLDERS if self._environ.get(name)]
                paths = [f"{folder}\\{program}" for folder in folders]
            else:
                paths = [program]
            for path in paths:
                if self._find(path) is not None:
                    return [path, *rest]
        return None


class _Watch:
    """Tells whether a browser may still come: not if what should have started it has failed, a while ago."""

    def __init__(self, process: subprocess.Popen[bytes], clock: Callable[[], float]) -> None:
        self._process = process
        self._clock = clock
        self._failed_at: float | None = None

    def go_on(self) -> bool:
        if not self._process.poll():
            return True
        now = self._clock()
        self._failed_at = now if self._failed_at is None else self._failed_at
        return now < self._failed_at + GRACE_SECONDS


def _with_url(words: list[str]) -> list[str]:
    has_place = any("{url}" in word or "%s" in word for word in words)
    return words if has_place else [*words, "{url}"]


def of(settings: Settings, profile: Profile, name: str | None = None) -> Browser:
    """The browser for the pages of *profile*.

    Args:
        settings: Flags, variables, files.
        profile: Its key, or what stands over that, chooses.
        name: What ``{profile}`` stands for, if not the profile's name.

    Raises:
        CannotOpen: There is none.
    """
    return Browser(
        profile.browser or "",
        profile.name if name is None else name,
        environment.of_helper(settings.inherited),
        is_verbose=settings.talk.debug_is_on,
    )
