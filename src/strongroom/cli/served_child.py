"""A command that runs while we serve it: started, told of our signals, stopped and continued with us, and waited for.

It shares our process group, so that a pipeline stays one job for the shell: what the terminal sends reaches all of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

from strongroom.cli import controlling_terminal, lookup
from strongroom.cli.group_witness import GroupWitness

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# Those that can be sent to us and are meant for the command.
PASSED_ON = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGTSTP,
    signal.SIGCONT,
}
# Those that stop a process; what stops the command otherwise is like the first of them.
_STOPPING = (signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
# In which one that is sent to a group has been sent to all of it.
_SETTLE_SECONDS = 0.01
# What the interpreter ignores, and an ignored signal stays ignored in a child.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
# wait(2): only the children of this thread. Those of others, which bring credentials, are waited for by them.
_WNOTHREAD = 0x2000_0000 if sys.platform == "linux" else 0


class ServedChild:
    """The command.

    Args:
        command: Its words.
        variables: Its whole environment.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str]) -> None:
        self._command = command
        self._variables = variables
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[int] = self._loop.create_future()
        self._waiting: dict[int, asyncio.TimerHandle] = {}
        self._deaf_to: set[int] = set()
        self.pid = 0

    async def run(self, begun: Callable[[], None] = lambda: None) -> int:
        """Start it, and wait for its end.

        Args:
            begun: Is called once it has started.

        Returns:
            Its exit status; 128 and the signal's number if one has ended it, as shells have it.

        Raises:
            CommandError: It cannot be run.
        """
        # What is ignored now was meant to be, for the command too (nohup).
        numbers = {each for each in PASSED_ON if signal.getsignal(each) is not signal.SIG_IGN}
        self._witness = GroupWitness(numbers)
        try:
            self._loop.add_signal_handler(signal.SIGCHLD, self._look)
            for number in numbers:
                self._loop.add_signal_handler(number, self._arrived, number)
            self.pid = lookup.start(self._command, self._variables, self._spawn)
            begun()
            return await self._ended
        finally:
            # What still comes ends us or does not, as it would have without the command.
            for number in (*numbers, signal.SIGCHLD):
                self._loop.remove_signal_handler(number)
            self._witness.close()
            for timer in self._waiting.values():
                timer.cancel()

    def _spawn(self, path: str, words: list[str]) -> int:
        return os.posix_spawn(path, words, self._variables, setsigdef=_IGNORED_BY_PYTHON)

    # Children

    def _look(self) -> None:
        """Learn what has become of the command, and bury orphans that have come to us."""
        while True:
            try:
                pid, status = os.waitpid(-1 if _WNOTHREAD else self.pid, os.WNOHANG | os.WUNTRACED | _WNOTHREAD)
            except ChildProcessError:
                return
            if not pid:
                return
            if pid != self.pid:
                continue
            if os.WIFSTOPPED(status):
                self._stop(os.WSTOPSIG(status))
            elif not self._ended.done():
                code = os.waitstatus_to_exitcode(status)
                self._ended.set_result(code if code >= 0 else 128 - code)

    # Signals

    def _arrived(self, number: int) -> None:
        """A signal has come; in a moment it can be told for whom."""
        if number not in self._waiting and number not in self._deaf_to:
            self._waiting[number] = self._loop.call_later(_SETTLE_SECONDS, self._pass_on, number)

    def _pass_on(self, number: int) -> None:
        del self._waiting[number]
        if self._witness.came(number) and self._group() == os.getpgrp():
            return  # it has it
        self._send(number)

    def _send(self, number: int) -> None:
        # Until it is waited for, its number is nobody else's.
        if self.pid and not self._ended.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self.pid, number)

    def _group(self) -> int:
        try:
            return os.getpgid(self.pid)
        except ProcessLookupError:
            return 0

    # Job control

    def _stop(self, number: int) -> None:
        """Stop as the command has, so that the shell that started us has its turn; go on when that lets us.

        A shell among the commands leads a group of its own, which has the terminal while it runs.
        """
        with controlling_terminal.opened() as terminal:
            if terminal < 0:
                return  # nobody would let us go on; whoever stopped the command will continue it
            group = self._group()
            lends = group != os.getpgrp() and controlling_terminal.holder(terminal) == group
            if lends:
                controlling_terminal.lend(terminal, os.getpgrp())
            is_continued = self._sleep(number if number in _STOPPING else signal.SIGTSTP)
            if lends and controlling_terminal.holder(terminal) == os.getpgrp():
                controlling_terminal.lend(terminal, group)
        if group and group != os.getpgrp():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGCONT)
        elif not is_continued:
            # Also where no shell is there to continue us: then we were not stopped at all.
            self._send(signal.SIGCONT)

    def _sleep(self, number: int) -> bool:
        """Be stopped by a signal; tells, later, whether all of the group has been continued."""
        # What came with the command's own, it has heeded; also what is still on its way to our handler.
        timer = self._waiting.pop(signal.SIGTSTP, None)
        if timer is not None:
            timer.cancel()
        for each in (signal.SIGTSTP, signal.SIGCONT):
            self._witness.came(each)
            if self._loop.remove_signal_handler(each):
                self._deaf_to.add(each)
        # To this thread, so that it does not run on until another has taken it.
        signal.raise_signal(number)
        self._loop.call_later(_SETTLE_SECONDS, self._hear)
        return self._witness.came(signal.SIGCONT)

    def _hear(self) -> None:
        """Heed again what was not heeded while we were stopped."""
        while self._deaf_to and not self._ended.done():
            number = self._deaf_to.pop()
            self._loop.add_signal_handler(number, self._arrived, number)
