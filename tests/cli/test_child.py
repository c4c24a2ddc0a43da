"""Running a command as a child, which is how `exec` does it on Windows; here on whatever runs the tests."""

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
