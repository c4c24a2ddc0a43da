"""What signing in to IAM Identity Center needs of its surroundings; see `strongroom.sso.SsoWorld`."""

from __future__ import annotations

import contextlib
import errno
import shutil
import sys
import time
from typing import TYPE_CHECKING

from strongroom.cli import browser
from strongroom.errors import ItemNotFound
from strongroom.sso import reach

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO, Any

    from strongroom.cli.settings import Settings
    from strongroom.profiles import Profile

# Where a human is who reads neither our output nor our complaints, because another program does.
CONTROLLING_TERMINAL = "/dev/tty"


class SigningIn:
    """The surroundings of one run's sign-ins.

    Args:
        settings: Flags, variables, files.
        profile: Whose credentials are wanted: its browser is opened.
    """

    def __init__(self, settings: Settings, profile: Profile) -> None:
        self._settings = settings
        self._profile = profile
        self._vault = settings.vault()
        self.lock_directory = settings.lock_directory()
        self.lock_wait_seconds = float(str(settings.get("lock_wait")))
        self.command = f"{settings.talk.program} {settings.command}"
        self.own = settings.own_items()
        self.wants_device = self._why_no_browser()

    def _why_no_browser(self) -> str:
        flag = self._flag()
        if flag:
            return f"--{flag} was given"
        return reach.why_not(self._settings.inherited, platform=sys.platform, find=shutil.which)

    def _flag(self) -> str:
        """The flag that asks for a link instead of a browser, if one does."""
        return next((flag for flag in ("no-browser", "stdout") if self._settings.arguments.on(flag)), "")

    def now(self) -> float:
        """The time, epoch seconds."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    def tell(self, message: str) -> None:
        """Say something to the human, at the terminal too when our complaints go elsewhere.

        An SDK that runs us shows nobody what we say, and without the link there is no signing in.
        """
        self._settings.talk.say(message)
        if self._settings.talk.is_seen:
            return
        with contextlib.suppress(OSError), self._terminal() as terminal:
            terminal.write(f"{self._settings.talk.program}: {message}\n")

    def why_unheard(self) -> str:
        """Why nobody would see what we say; empty if somebody may, or if a flag asks for a link wherever it goes."""
        if self._settings.talk.is_seen or self._flag():
            return ""
        try:
            self._terminal().close()
        except OSError:
            taken = self._settings.terminal_is_taken
            return f"the terminal is not ours to write to: {taken}" if taken else "there is no terminal here"
        return ""

    def _terminal(self) -> IO[str]:
        """The controlling terminal, if it is ours to write to.

        Raises:
            OSError: It is not.
        """
        if sys.platform == "win32" or self._settings.terminal_is_taken:
            raise OSError(errno.ENXIO, "no terminal of ours")
        return open(CONTROLLING_TERMINAL, "w", encoding="utf-8")

    def waiting(self, message: str) -> None:
        """Say to whoever looks on why nothing happens for a while."""
        if self._settings.talk.is_seen:
            self._settings.talk.say(message)

    def warn(self, message: str) -> None:
        """Say that something is not as it should be, and that we go on."""
        self._settings.talk.warn(message)

    def open_url(self, url: str) -> bool:
        """Show a page in a browser of this machine; tells whether one came for it."""
        try:
            browser.of(self._settings, self._profile).open(url)
        except browser.CannotOpen as error:
            self._settings.talk.warn(error.message)
            return False
        return True

    def token(self, start_url: str) -> Mapping[str, Any] | None:
        """The stored access token; None if there is none that can be read."""
        return self._vault.token(start_url)

    def token_changed_at(self, start_url: str) -> float | None:
        """When the stored access token was last written; None if there is none."""
        return self._vault.token_changed_at(start_url)

    def keep_token(self, start_url: str, fields: Mapping[str, Any]) -> None:
        """Store an access token in place of the one that is there."""
        self._vault.keep_token(start_url, fields)

    def remove_token(self, start_url: str) -> None:
        """Remove the stored access token, if there is one."""
        with contextlib.suppress(ItemNotFound):
            self._vault.remove_token(start_url)
