"""strongroom, stopped dead (SIGKILL, which nothing can catch) right before each of its writes, renames and calls.

One process imports everything once; for each run it forks a child that counts what it is about to do to the outside.
"""

import contextlib
import json
import subprocess
import sys

from harness.home import decode

# Everything that changes a file or a directory, and what talks to AWS.
DRIVER = """\
import json, os, signal, sys
exec(sys.argv[2])
import botocore.httpsession, botocore.session, tempfile
from strongroom.cli import (
    add, backup, clear, export, importing, migrate_backend, passwd, remove, reset, restore, world
)
from strongroom.cli.main import main
from strongroom.aws import sts
from strongroom.providers import once

FATAL = "open write fsync replace rename unlink remove mkdir chmod chown ftruncate link symlink rmdir".split()


def wrapped(function, name, before):
    def call(*args, **kwargs):
        before(name, args)
        return function(*args, **kwargs)
    return call


def child(at, torn, argv, told):
    count = 0
    real_write = os.write

    def before(name, args):
        nonlocal count
        if name == "open" and not args[1] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            return  # only looks
        count += 1
        if count == at:
            if torn and name == "write":
                real_write(args[0], bytes(args[1])[: len(args[1]) // 2])
            real_write(told, f"before {name}".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    for name in FATAL:
        setattr(os, name, wrapped(getattr(os, name), name, before))
    session = botocore.httpsession.URLLib3Session
    session.send = wrapped(session.send, "send", before)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0), os.dup2(null, 1), os.dup2(null, 2)
    status = main(argv)
    real_write(told, b"done")
    os._exit(status)


exec(sys.argv[1])

for line in sys.stdin:
    at, torn, argv = json.loads(line)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(at, torn, argv, writer)
    os.close(writer)
    _, status = os.waitpid(pid, 0)
    with open(reader, "rb") as file:
        print(json.dumps([os.waitstatus_to_exitcode(status), file.read().decode()]), flush=True)
"""


@contextlib.contextmanager
def crashing(home, env=None, prelude="", first=""):
    """Yields ``run(at, torn, *argv)``, which returns (exit status, what it was about to do, or "done").

    Args:
        env: Variables on top of the home's.
        prelude: What the process does before its runs, such as putting somebody there who answers questions.
        first: What it does before it imports anything.
    """
    environ = {name: value for name, value in home._environ(env).items() if not name.startswith("COVERAGE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, prelude, first], env=environ, cwd=home.work, start_new_session=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip

    def run(at, torn, *argv):
        process.stdin.write(json.dumps([at, torn, argv]).encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the driver died"
        return tuple(json.loads(decode(answer)))

    try:
        yield run
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
