import os
import pty
import signal
import subprocess
import threading
import time

import pytest

from strongroom.errors import PromptFailed
from strongroom.prompt import process as module

NOWHERE = "/nowhere/tty"


def run(command, environ=None, **more):
    return module.run_mfa_process(command, environ or {"PATH": os.environ["PATH"]}, terminal=NOWHERE, **more)


def failed(command, **more):
    with pytest.raises(PromptFailed) as caught:
        run(command, **more)
    assert caught.value.__cause__ is None
    return caught.value.message


@pytest.mark.parametrize(
    "command", ["echo 123456", "printf 123456", "printf '\\n 123456\\r\\n\\n'", "echo 123456; echo no >&2"]
)
def test_what_it_prints_is_the_code(command, capfd):
    """Trimmed; standard error is not mixed in."""
    assert run(command) == "123456"
    assert capfd.readouterr() == ("", "no\n" if "no" in command else "")


def test_its_environment_is_what_it_was_given(monkeypatch):
    """And nothing of ours."""
    monkeypatch.setenv("OURS", "secret")
    assert run("echo $CODE$OURS", {"CODE": "123456"}) == "123456"


def test_its_input_is_empty_without_a_terminal():
    """Nothing that was meant for somebody else is read."""
    assert run("cat; echo 123456") == "123456"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("echo 654321; exit 3", "mfa_process: exit status 3"),
        ("exit 1 # 654321", "mfa_process: exit status 1"),
        ("no-such-program-654321 2>&1", "mfa_process: exit status 127"),
        ("echo 654321; kill -9 $$", "mfa_process: ended by signal 9"),
        ("true 654321", "mfa_process: it printed nothing"),
        ("echo ' '; true 654321", "mfa_process: it printed nothing"),
        ("echo 654321; echo 654321", "mfa_process: it printed more than one line"),
        ("yes 654321", "mfa_process: it printed more than 4096 bytes"),
        ("true 654321 \0", "mfa_process: cannot start it: it holds a NUL character"),
        ("true 654321" + "x" * 3_000_000, "mfa_process: cannot start it: argument list too long"),
        ("exec >&-; sleep 0.1; true 654321", "mfa_process: it printed nothing"),
    ],
    ids=range(11),
)
def test_what_goes_wrong(command, message):
    """One line; neither the command nor what it printed is in it."""
    assert failed(command) == message


def test_a_program_that_takes_too_long(tmp_path):
    """It is ended, with everything that it started."""
    command = f"sleep 60 & echo $! > {tmp_path}/pid; wait"
    assert failed(command, timeout_seconds=0.5) == "mfa_process: no code within 0.5 seconds"
    assert is_dead(int((tmp_path / "pid").read_text()))


def is_dead(pid):
    """Whether a process ends; the signal may still be on its way, and who inherits orphans may be slow to bury them."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        state = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True).stdout
        if state.strip() in {"", "Z"}:
            return True
    return False


def test_something_that_it_leaves_behind(tmp_path):
    """The program's own end counts, though a process in the background keeps its output open."""
    assert run(f"sleep 60 & echo $! > {tmp_path}/pid; echo 123456") == "123456"
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("command", ["kill -INT $$", "exit 130"])
def test_a_program_that_was_interrupted(command):
    """Whoever typed Ctrl-C meant all of it."""
    with pytest.raises(KeyboardInterrupt):
        run(command)


def test_an_interrupt_of_our_own(tmp_path):
    """The program does not live on."""
    with pytest.raises(KeyboardInterrupt):
        run(f"sleep 60 & echo $! > {tmp_path}/pid; kill -INT $PPID; wait")
    assert is_dead(int((tmp_path / "pid").read_text()))


def test_an_interrupt_while_it_is_being_started(tmp_path, monkeypatch):
    """It waits until the program is looked after; then the program ends by it."""
    real, started = subprocess.Popen, []

    def interrupted(*args, **more):
        started.append(real(*args, **more))
        signal.raise_signal(signal.SIGINT)
        return started[0]

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run("sleep 60")
    assert started[0].returncode == -signal.SIGKILL


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.default_int_handler], ids=["ignored", "default"])
def test_the_handler_comes_back(handler):
    """Whatever it was."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        assert run("echo 123456") == "123456"
        assert signal.getsignal(signal.SIGINT) == handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread():
    """Signals are the main thread's; a program can still be asked."""
    codes = []
    asking = threading.Thread(target=lambda: codes.append(run("echo 123456")))
    asking.start()
    asking.join()
    assert codes == ["123456"]


def test_no_shell(monkeypatch):
    """The system's reason is told."""

    def missing(*args, **more):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(subprocess, "Popen", missing)
    assert failed("true") == "mfa_process: cannot start it: no such file or directory"


# At a terminal

RUN = "print(prompt.run_mfa_process({!r}, os.environ))"


def test_it_gets_the_terminal(person):
    """As standard input and error, so that it can ask, with job control as if a shell had started it."""
    command = 'test -t 0 && test -t 2 && printf "PIN: " >&2 && read a && printf "Again: " >/dev/tty && read b </dev/tty && echo $a$b'
    someone = person(RUN.format(command) + '\nprint(prompt.ask("After: ", echo="hidden"))')
    someone.expect("PIN: ")
    someone.send("123\n")
    someone.expect("Again: ")
    someone.send("456\n")
    someone.expect("After: ")
    someone.send("word\r")
    assert someone.wait() == (0, "123456\nword\n", "")
    assert someone.as_before


def test_ctrl_c_in_it(person):
    """Ends it, and is KeyboardInterrupt here; the terminal is ours again."""
    code = f"try: {RUN.format('printf PIN: >&2; read a')}\nexcept KeyboardInterrupt: print(os.tcgetpgrp(os.open('/dev/tty', 2)) == os.getpgrp())"
    someone = person(code)
    someone.expect("PIN:")
    someone.send("\x03")
    assert someone.wait() == (0, "True\n", "")
    assert someone.as_before


@pytest.mark.parametrize("end", ["exit 1", "kill -9 $$"])
def test_a_terminal_that_it_leaves_without_echo(person, end):
    """It is restored."""
    someone = person(RUN.format(f"stty -echo -icanon; {end}"))
    assert someone.wait()[0] == 1
    assert someone.as_before


def test_too_long_at_a_terminal(person):
    """Ended there too, and the terminal is ours again."""
    code = (
        "try: prompt.run_mfa_process('stty -echo; printf PIN: >&2; read a', os.environ, timeout_seconds=0.5)\n"
        "except Exception as error: print(error.message, prompt.ask('After: ', echo='hidden'))"
    )
    someone = person(code)
    someone.expect("After: ")
    someone.send("word\r")
    assert someone.wait() == (0, "mfa_process: no code within 0.5 seconds word\n", "")
    assert someone.as_before


def test_in_the_background(person):
    """The terminal is not ours to lend: the program's input is empty, and nobody is stopped."""
    code = f"""
child = os.fork()
if not child:
    os.setpgid(0, 0)
    {RUN.format("test -t 0 || cat; echo 123456")}
    sys.stdout.flush()
    os._exit(0)
print(os.waitpid(child, os.WUNTRACED)[1])
"""
    assert person(code).wait() == (0, "123456\n0\n", "")


def test_a_terminal_that_is_not_the_controlling_one():
    """It has no foreground to lend."""
    master, slave = pty.openpty()
    try:
        assert module.run_mfa_process("test -t 0 || echo 123456", os.environ, terminal=os.ttyname(slave)) == "123456"
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_that_has_gone_by_the_end(person):
    """The code counts all the same."""
    code = "os.closerange(3, 256)\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    someone = person(
        code
        + RUN.format(
            "trap '' HUP; echo READY >&2; while test -t 0 && stty >/dev/null 2>&1; do sleep 0.01; done; echo 123456"
        )
    )
    someone.expect("READY")
    someone.hang_up()
    assert someone.process.communicate(timeout=30) == (b"123456\n", b"")
    assert someone.process.returncode == 0
