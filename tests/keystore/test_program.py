import os
import signal
import sys
import threading
import time

import pytest

from strongroom.errors import KeystoreError, KeystoreUnavailable
from strongroom.keystore import program

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither signals nor process groups like these")


def python(code, *, given=b"", timeout_seconds=30.0):
    return program.run([sys.executable, "-I", "-S", "-c", code], {}, given=given, timeout_seconds=timeout_seconds)


def test_how_it_ends():
    """Its status, what it printed, what it complained about; more of each than a pipe holds."""
    code = "import sys; d = sys.stdin.buffer.read(); sys.stdout.buffer.write(d * 2); sys.stderr.write('oh' * 50000); sys.exit(3)"
    outcome = python(code, given=b"\xff" * 100_000)
    assert (outcome.status, outcome.output, outcome.complaint) == (3, b"\xff" * 200_000, "oh" * 50_000)


def test_it_does_not_read_what_it_is_given():
    """That is no mistake of ours."""
    assert python("", given=b"x" * 1_000_000).status == 0


def test_it_cannot_be_started(tmp_path):
    """The path is told."""
    path = os.fspath(tmp_path / "nosuch")
    with pytest.raises(KeystoreError) as caught:
        program.run([path, "secret"], {}, given=b"", timeout_seconds=1)
    assert caught.value.message.startswith(f"cannot start {path!r}: ")


@POSIX
def test_it_takes_too_long(tmp_path):
    """It is ended, with what it started; what it printed so far goes nowhere."""
    child = tmp_path / "child"
    code = (
        "import os, time; print('half a secret', flush=True)\n"
        f"if not os.fork():\n  open({str(child)!r}, 'w').write(str(os.getpid())); time.sleep(60)\n"
        "time.sleep(60)"
    )
    with pytest.raises(KeystoreError) as caught:
        python(code, timeout_seconds=1.0)
    assert caught.value.message == f"{os.path.basename(sys.executable)}: no answer within 1 seconds"
    assert caught.value.__cause__ is None
    pid = int(child.read_text())
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().split()[2] == "Z":
                    break
        except OSError:
            break
    else:
        pytest.fail("the child of the program is still there")


@POSIX
def test_an_interrupt_ends_it():
    """Ctrl-C is ours; the program goes with us."""
    timer = threading.Timer(0.2, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            python("import time; time.sleep(60)")
    finally:
        signal.signal(signal.SIGINT, before)
        timer.join()


def test_where_it_is(tmp_path):
    """On the path that was given, and nowhere else."""
    name = "tool.exe" if sys.platform == "win32" else "tool"
    (tmp_path / name).write_text("")
    (tmp_path / name).chmod(0o755)
    assert program.find("tool", {"PATH": os.fspath(tmp_path)}, "") == os.fspath(tmp_path / name)
    with pytest.raises(KeystoreUnavailable) as caught:
        program.find("tool", {}, "install it")
    assert (caught.value.message, caught.value.hint) == ("the program 'tool' is not on the path", "install it")


IN_FRONT = """
import os
from strongroom.keystore import program
outcome = program.run_in_front(["/bin/sh", "-c", {code!r}], os.environ, given=b"data", timeout_seconds={seconds})
print(outcome.status, outcome.output, outcome.complaint, flush=True)
"""


@pytest.fixture
def person():
    """Start a program at a terminal of its own, by `program.run_in_front`: ``person("echo ...", seconds=20)``."""
    from harness.person import Person

    people = []

    def start(code, seconds=20):
        people.append(Person([sys.executable, "-c", IN_FRONT.format(code=code, seconds=seconds)]))
        return people[-1]

    yield start
    for each in people:
        each.close()


@POSIX
def test_a_program_may_ask_at_the_terminal(person):
    """Its input and output are ours all the same, and the terminal is as it was in the end."""
    someone = person("cat; stty -echo </dev/tty; printf 'PIN: ' >/dev/tty; read pin </dev/tty; echo \" $pin\"")
    someone.expect("PIN: ")
    someone.send("1234\n")
    assert someone.wait() == (0, "0 b'data 1234\\n' \n", "")
    assert someone.as_before


@POSIX
def test_an_interrupt_at_the_terminal(person):
    """Goes to the program, and is ours too."""
    someone = person("printf 'PIN: ' >/dev/tty; read pin </dev/tty")
    someone.expect("PIN: ")
    someone.send("\3")
    assert someone.wait()[1:] == ("", "KeyboardInterrupt")


@POSIX
def test_nobody_answers_at_the_terminal(person):
    """The program is ended, and the terminal is ours again."""
    someone = person("stty -echo </dev/tty; printf 'PIN: ' >/dev/tty; read pin </dev/tty", seconds=0.3)
    someone.expect("PIN: ")
    error = "strongroom.errors.KeystoreError: sh: no answer within 0.3 seconds"
    assert someone.wait() == (1, "", error)
    assert someone.as_before


@POSIX
def test_without_a_terminal():
    """It runs as any other."""
    outcome = program.run_in_front(
        ["/bin/sh", "-c", "cat; exit 130"], {}, given=b"data", timeout_seconds=30, terminal="/nowhere"
    )
    assert (outcome.status, outcome.output) == (130, b"data")


@POSIX
def test_in_front_of_nothing():
    """What cannot be started leaves the terminal, and Ctrl-C, alone."""
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeystoreError, match="cannot start '/nowhere'"):
        program.run_in_front(["/nowhere"], {}, given=b"", timeout_seconds=1)
    assert signal.getsignal(signal.SIGINT) is before
