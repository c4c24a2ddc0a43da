"""Programs of the user's that answer a question: ``mfa_process``, ``credential_process``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from strongroom import foreground
from strongroom.errors import PromptFailed
from strongroom.prompt.terminal import TERMINAL

if sys.platform != "win32":
    import select

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# How long a program may take: time to touch a device or type a PIN, less than other processes wait for our lock.
MFA_PROCESS_SECONDS = 60.0
# More than any code; a program that prints more is the wrong one, and is stopped.
LIMIT_BYTES = 4096


def run_mfa_process(
    command: str,
    environ: Mapping[str, str],
    *,
    timeout_seconds: float = MFA_PROCESS_SECONDS,
    terminal: str = TERMINAL,
) -> str:
    """Run *command* by the shell and return the one line that it prints.

    It gets the terminal as standard input and error if there is one that we may use, so that it can ask for a touch or
    a PIN; else an empty input and our own standard error.

    Args:
        command: A line for ``/bin/sh`` (Windows: ``cmd.exe``). Shown nowhere: it may hold a secret.
        environ: The whole environment of the program.
        timeout_seconds: How long it may take; then it is ended, with everything it started.
        terminal: The terminal's path.

    Raises:
        PromptFailed: It failed, took too long, or printed no line or several; what it printed is not shown.
        KeyboardInterrupt: It was ended by Ctrl-C.
    """
    output = run_program(
        command, environ, what="mfa_process", wanted="code", timeout_seconds=timeout_seconds, terminal=terminal
    )
    return one_line(output, "mfa_process")


def one_line(output: bytes, what: str) -> str:
    """The line that a program printed, trimmed.

    Args:
        output: What it printed.
        what: What the program is, for messages.

    Raises:
        PromptFailed: There is none, or several; what there is is not shown.
    """
    text = output.decode("utf-8", "replace").strip()
    if not text:
        raise PromptFailed(f"{what}: it printed nothing")
    if len(text.splitlines()) > 1:
        raise PromptFailed(f"{what}: it printed more than one line")
    return text


def run_program(
    command: str | Sequence[str],
    environ: Mapping[str, str],
    *,
    what: str,
    wanted: str,
    timeout_seconds: float,
    limit_bytes: int = LIMIT_BYTES,
    terminal: str = TERMINAL,
) -> bytes:
    """Run *command* and return what it prints; it gets the terminal as `run_mfa_process` says.

    Args:
        command: A line for ``/bin/sh`` (Windows: ``cmd.exe``), or the words of a program that is run without a shell.
            Shown nowhere: it may hold a secret.
        environ: The whole environment of the program.
        what: The setting that names it, for messages.
        wanted: What it is to print, for messages.
        timeout_seconds: How long it may take; then it is ended, with everything it started.
        limit_bytes: How much it may print.
        terminal: The terminal's path.

    Raises:
        PromptFailed: It failed, took too long, or printed too much; what it printed is not shown.
        KeyboardInterrupt: It was ended by Ctrl-C.
    """
    try:
        output, status = _run(command, environ, timeout_seconds, limit_bytes, terminal)
    except (OSError, ValueError) as error:
        # A ValueError may quote the command line: only the system's own words go on.
        reason = (error.strerror or "").lower() if isinstance(error, OSError) else "it holds a NUL character"
        raise PromptFailed(f"{what}: cannot start it: {reason}") from None
    if output is None:
        raise PromptFailed(f"{what}: no {wanted} within {timeout_seconds:g} seconds")
    if len(output) > limit_bytes:
        raise PromptFailed(f"{what}: it printed more than {limit_bytes} bytes")
    if status in {-signal.SIGINT, 128 + signal.SIGINT}:
        raise KeyboardInterrupt
    if status:
        raise PromptFailed(f"{what}: ended by signal {-status}" if status < 0 else f"{what}: exit status {status}")
    return output


if sys.platform == "win32":

    def _run(
        command: str | Sequence[str],
        environ: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,  # noqa: ARG001 - there the whole is read
        terminal: str,
    ) -> tuple[bytes | None, int]:
        root = next((value for name, value in environ.items() if name.upper() == "SYSTEMROOT"), r"C:\Windows")
        shell = rf"{root}\System32\cmd.exe"
        console, screen = _console(terminal), _console("CONOUT$")
        try:
            # cmd.exe takes the rest of its line as it is: quoting by list2cmdline would change it.
            process = subprocess.Popen(
                f'"{shell}" /C "{command}"' if isinstance(command, str) else command,
                env=dict(environ),
                stdin=subprocess.DEVNULL if console is None else console,
                stdout=subprocess.PIPE,
                stderr=screen,
            )
        finally:
            for descriptor in (console, screen):
                if descriptor is not None:
                    os.close(descriptor)
        with process:
            try:
                output, _ = process.communicate(timeout=timeout_seconds)
            except subprocess.TimeoutExpired:
                subprocess.run(
                    [rf"{root}\System32\taskkill.exe", "/T", "/F", "/PID", str(process.pid)],
                    check=False,
                    capture_output=True,
                )
                return None, 0
        return output, process.returncode

    def _console(terminal: str) -> int | None:
        try:
            return os.open(terminal, os.O_RDWR)
        except OSError:
            return None

else:

    def _run(
        command: str | Sequence[str],
        environ: Mapping[str, str],
        timeout_seconds: float,
        limit_bytes: int,
        terminal: str,
    ) -> tuple[bytes | None, int]:
        tty = foreground.own(terminal)
        loan, interrupts = foreground.Loan(tty), foreground.Interrupts()
        try:
            # A process group of its own, so that all of it can be ended; `Loan` lends it the terminal.
            process = subprocess.Popen(
                ["/bin/sh", "-c", command] if isinstance(command, str) else command,
                env=dict(environ),
                stdin=subprocess.DEVNULL if tty is None else tty,
                stdout=subprocess.PIPE,
                stderr=tty,
                process_group=0,
            )
            with process, loan.to(process.pid):
                try:
                    interrupts.let_through()
                    output = _read(process, time.monotonic() + timeout_seconds, limit_bytes)
                finally:
                    if process.poll() is None:
                        os.killpg(process.pid, signal.SIGKILL)
            return output, process.returncode
        finally:
            if tty is not None:
                os.close(tty)
            interrupts.let_through()

    def _read(process: subprocess.Popen[bytes], deadline: float, limit_bytes: int) -> bytes | None:
        """Read what the program prints until it ends, or None when that takes too long.

        Its end counts, not the end of its output: something that it left in the background may keep that open.
        """
        assert process.stdout is not None  # noqa: S101 - for the type checker: it is a pipe
        descriptor = process.stdout.fileno()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        output, closed = b"", False
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            if not closed and poller.poll(0 if ended else 20):
                chunk = os.read(descriptor, limit_bytes)
                output, closed = output + chunk, not chunk
                if len(output) > limit_bytes:
                    return output
            elif ended:
                return output
            elif closed:
                time.sleep(0.01)
        return None
