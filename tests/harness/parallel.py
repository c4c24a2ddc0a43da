"""Many processes that begin at the same moment."""

import contextlib
import itertools
import os
import subprocess
import sys

from harness.home import Result, decode, kill_all

# Each child loads strongroom, says so with one byte, and begins when the starter closes the other pipe: what is left of
# the spread of their starts is a millisecond each.
CHILD = """\
import os, sys
from strongroom.cli.main import main
ready, go = map(int, sys.argv.pop(1).split(","))
os.write(ready, b"r")
os.read(go, 1)
os.close(ready), os.close(go)
sys.exit(main(sys.argv[1:]))
"""

_NUMBERS = itertools.count()  # of the files that the children's output goes to


@contextlib.contextmanager
def started(home, commands, env=None):
    """Start strongroom once for each of *commands*, all waiting at a barrier; yields (processes, release)."""
    environ = {name: value for name, value in home._environ(env).items() if not name.startswith("COVERAGE_")}
    ready_read, ready = os.pipe()
    go, go_write = os.pipe()
    gun = open(go_write, "wb")  # noqa: SIM115 - closed by whoever is first, the test or the end of the block
    processes = []
    try:
        for argv in commands:
            number = next(_NUMBERS)
            out, err = (open(home.work / f"{number}.{name}", "wb") for name in ("out", "err"))  # noqa: SIM115
            with out, err:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-c", CHILD, f"{ready},{go}", *argv],
                        env=environ, cwd=home.work, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                        pass_fds=[ready, go], start_new_session=True,
                    )
                )  # fmt: skip
                processes[-1].number = number
        os.close(ready)
        os.close(go)
        ready = go = -1
        for _ in processes:
            assert os.read(ready_read, 1), "a child died before the start"
        yield processes, gun.close
    finally:
        for process in processes:
            if process.poll() is None:
                kill_all(process)
            process.wait()
        gun.close()
        for descriptor in (ready_read, ready, go):
            if descriptor >= 0:
                os.close(descriptor)


def results(home, processes, timeout=120) -> list[Result]:
    """How each of them ended."""
    ended = []
    for process in processes:
        status = process.wait(timeout)
        texts = (decode((home.work / f"{process.number}.{name}").read_bytes()) for name in ("out", "err"))
        ended.append(Result(status, *texts))
    return ended


def run_together(home, commands, env=None) -> list[Result]:
    """Run all *commands* at once, to their ends."""
    with started(home, commands, env) as (processes, release):
        release()
        return results(home, processes)
