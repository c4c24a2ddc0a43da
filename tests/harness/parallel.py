"""Many processes that begin at the same moment."""

import contextlib
import itertools
import json
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

# The same, by one process that loads once what each of them needs, and then forks them: to load it two hundred times
# takes longer than all that they do.
FORKS = """\
import gc, importlib, json, os, sys
import hashlib, subprocess
from cryptography.hazmat.primitives import ciphers, hashes, keywrap
from strongroom.cli.main import main
for name in "add codes export retrieval".split():
    importlib.import_module(f"strongroom.cli.{name}")
from strongroom.keystore import file, jwe
from strongroom.prompt import process
from strongroom.providers import once
gc.freeze()
ready, told = os.pipe()
wait, go = os.pipe()
pids = []
for number, argv in enumerate(json.load(sys.stdin)):
    if pid := os.fork():
        pids.append(pid)
        continue
    os.close(go)
    for descriptor, name in enumerate((os.devnull, f"{number}.of-all.out", f"{number}.of-all.err")):
        opened = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.write(told, b"r")
    os.read(wait, 1)
    for descriptor in (ready, told, wait):
        os.close(descriptor)
    sys.exit(main(argv))
os.close(told)
for _ in pids:
    assert os.read(ready, 1)
os.close(go)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]))
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


def run_together(home, commands, env=None, timeout=120) -> list[Result]:
    """Run all *commands* at once, each in a process of its own, to their ends."""
    environ = {name: value for name, value in home._environ(env).items() if not name.startswith("COVERAGE_")}
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], env=environ, cwd=home.work, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            statuses, _ = process.communicate(json.dumps(commands).encode(), timeout)
        except BaseException:
            kill_all(process)
            raise
    ended = []
    for number, status in enumerate(json.loads(statuses)):
        texts = (decode((home.work / f"{number}.of-all.{name}").read_bytes()) for name in ("out", "err"))
        ended.append(Result(status, *texts))
    return ended
