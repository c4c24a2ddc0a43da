"""Running a command as a child, which is how `exec` does it on Windows; here on whatever runs the tests."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from strongroom.cli import child
from strongroom.errors import CommandError

ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


def python(code):
    return [sys.executable, "-c", code]


@pytest.mark.parametrize("status", [0, 1, 7, 126])
def test_the_status_is_the_commands(status):
    """Whatever it is."""
    assert child.run(python(f"raise SystemExit({status})"), ENVIRON) == status


def test_the_environment_is_what_was_given(tmp_path):
    """And nothing else."""
    code = f"import os; open({str(tmp_path / 'out')!r}, 'w').write(os.environ.get('GIVEN', '') + os.environ.get('HOME', ''))"
    environ = {name: value for name, value in ENVIRON.items() if name != "HOME"}
    assert child.run(python(code), environ | {"GIVEN": "yes"}) == 0
    assert (tmp_path / "out").read_text() == "yes"


def test_a_command_that_is_served():
    """The event loop goes on while it runs."""
    seen = []

    async def served():
        begun = asyncio.Event()
        asyncio.get_running_loop().call_later(0, seen.append, "the loop")
        return await child.ServedChild(python("input(); raise SystemExit(5)"), ENVIRON).run(begun.set), begun.is_set()

    with open(os.devnull) as nothing:
        before = os.dup(0)
        os.dup2(nothing.fileno(), 0)
        try:
            status, begun = asyncio.run(served())
        finally:
            os.dup2(before, 0)
            os.close(before)
    assert (status, begun, seen) == (1, True, ["the loop"])  # 1: there was nothing to read


def test_a_command_that_is_not_there():
    """127, as shells say; it is looked for on the command's own PATH."""
    with pytest.raises(CommandError) as caught:
        child.run(["nosuchcommand"], {"PATH": os.defpath})
    assert (caught.value.exit_status, caught.value.message) == (127, "command not found: 'nosuchcommand'")


def test_a_command_that_cannot_be_started(monkeypatch):
    """126, with the system's reason."""

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(CommandError) as caught:
        child.run(python("pass"), ENVIRON)
    assert (caught.value.exit_status, caught.value.message) == (
        126,
        f"cannot run {sys.executable!r}: Permission denied",
    )
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(sys.platform == "win32", reason="a console is needed to send Ctrl-C there")
def test_ctrl_c_is_the_commands():
    """While the command runs, an interrupt does not end us: the status is what the command makes of it."""
    code = "import os, signal; os.kill(os.getppid(), signal.SIGINT); raise SystemExit(9)"
    before = signal.getsignal(signal.SIGINT)
    assert child.run(python(code), ENVIRON) == 9
    assert signal.getsignal(signal.SIGINT) is before
