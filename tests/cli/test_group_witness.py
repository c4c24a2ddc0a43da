"""Real processes: a group of its own, to which signals are sent."""

import os
import signal
import subprocess
import sys
import time

import pytest

from harness.agent import PATIENCE_SECONDS

if sys.platform == "win32":
    pytest.skip("Windows has no process groups like these", allow_module_level=True)

# Asks its witness for the signals that are lines of standard input.
ASKS = """\
import signal, sys
from strongroom.cli.group_witness import GroupWitness
numbers = {signal.SIGTERM, signal.SIGUSR1, signal.SIGTSTP}
for each in numbers:
    signal.signal(each, lambda *_: None)
witness = GroupWitness(numbers)
print(witness.pid, witness.came(signal.SIGTERM), flush=True)
for line in sys.stdin:
    print(int(witness.came(int(line))), flush=True)
witness.close()
"""


@pytest.fixture
def leader():
    with subprocess.Popen(
        [sys.executable, "-c", ASKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        yield process
        process.kill()


def asked(leader, number):
    leader.stdin.write(f"{int(number)}\n")
    leader.stdin.flush()
    return leader.stdout.readline()


def test_who_was_meant(leader):
    """Each signal that was sent to all of the group is told once; what was sent to the leader alone, is not."""
    pid, came = leader.stdout.readline().split()
    assert came == "False"
    os.killpg(leader.pid, signal.SIGTERM)
    os.kill(leader.pid, signal.SIGUSR1)
    assert asked(leader, signal.SIGUSR1) == "0\n"
    assert asked(leader, signal.SIGTERM) == "1\n"
    assert asked(leader, signal.SIGTERM) == "0\n"
    os.killpg(leader.pid, signal.SIGTSTP)
    os.killpg(leader.pid, signal.SIGCONT)  # which takes the other one back
    assert asked(leader, signal.SIGTSTP) == "0\n"
    os.kill(int(pid), signal.SIGKILL)
    assert asked(leader, signal.SIGTERM) == "0\n"
    leader.communicate()
    assert leader.returncode == 0


def test_it_ends_with_us(leader):
    """Whoever waits for the end of our output does not wait for the witness."""
    pid = int(leader.stdout.readline().split()[0])
    leader.kill()
    assert leader.stdout.read() == ""
    leader.wait()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while is_running(pid):
        assert time.monotonic() < deadline


def is_running(pid):
    """Whether a process has not ended; one that nobody has waited for yet has."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return state.strip()[:1] not in {"", "Z"}
