"""A command that is served, on a terminal: its keys reach the command once, and a shell's job control works."""

import os
import subprocess
import sys

import pytest

from harness.home import CODE, M

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals that a test can drive", allow_module_level=True)

ALL = ("stdin", "stdout", "stderr")
PROMPT = "ready> "
# A shell that has just taken the terminal back may lose what is typed at once.
FG = "  fg\n"
STRONGROOM = [sys.executable, "-m", "strongroom"]

COUNT_INTERRUPTS = """\
import os, signal, sys
count = 0
def handle(*_):
    global count
    count += 1
    os.write(1, b"interrupt %d\\n" % count)
signal.signal(signal.SIGINT, handle)
print("begun", flush=True)
while sys.stdin.readline() == "\\n":
    print("in all", count, flush=True)
"""


def typed(*words):
    """A line for a shell."""
    return " ".join(f"'{word}'" for word in (*STRONGROOM, *words)) + "\n"


@pytest.fixture
def bash(c1, tty):
    """An interactive bash, at its prompt, in which strongroom is typed."""
    env = {"PS1": PROMPT, "HISTFILE": None}
    words = ("exec", "-n", "--keep-vault-secrets", "jon", "--", "bash", "--norc", "--noprofile", "-i")
    terminal = tty(*words, env=env, streams=ALL)
    terminal.expect(PROMPT)
    return terminal


def status(bash, number):
    bash.expect(PROMPT)
    bash.send("echo status $?\n")
    bash.expect(f"status {number}\n")
    bash.expect(PROMPT)


def test_ctrl_c(bash, c1):
    """Is the command's, once each time; what it makes of it holds. `kill %1` of the shell reaches it once, too."""
    script = c1.work / "count.py"
    script.write_text(COUNT_INTERRUPTS)
    bash.send(typed("exec", "-s", "ro", "--", sys.executable, str(script)))
    bash.expect("begun\n")
    for count in (1, 2):
        bash.interrupt()
        bash.expect(f"interrupt {count}\n")
    bash.send("\n")
    bash.expect("in all 2\n")
    bash.send("x\n")
    status(bash, 0)
    bash.send(typed("exec", "-s", "ro", "--", "sh", "-c", "echo be''gun; exec sleep 60"))
    bash.expect("begun\n")
    bash.interrupt()
    status(bash, 130)
    bash.send(f"(sleep 60) | {typed('exec', '-s', 'ro', '--', sys.executable, str(script)).strip()} > counted &\n")
    bash.expect(PROMPT)
    bash.send("until grep -q begun counted; do :; done; kill -INT %1; until grep -q interrupt counted; do :; done\n")
    bash.expect(PROMPT)
    bash.send("kill -KILL %1; wait %1; cat counted\n")
    bash.expect("begun\ninterrupt 1\n")
    bash.expect(PROMPT)
    assert "interrupt 2" not in (c1.work / "counted").read_text()


def test_ctrl_z(bash):
    """Stops the command and strongroom; the shell tells of it, fg goes on with both."""
    bash.send(typed("exec", "-s", "ro", "--", "sh", "-c", "echo be''gun; while read x; do echo got $x; done; exit 6"))
    bash.expect("begun\n")
    for word in ("one", "two"):
        bash.send("\x1a")
        bash.expect("Stopped")
        bash.expect(PROMPT)
        bash.send(FG)
        bash.expect("strongroom")
        bash.send(f"{word}\n")
        bash.expect(f"got {word}\n")
    bash.send("\x04")
    status(bash, 6)


def test_in_the_background(bash):
    """A command in the background that wants to read is stopped, and strongroom with it."""
    bash.send(typed("exec", "-s", "ro", "--", "sh", "-c", "read x; echo got $x").strip() + " &\n")
    bash.expect(PROMPT)
    bash.send("until jobs | grep -q Stopped; do sleep 0.05; done; fg\n")
    bash.expect("strongroom")
    bash.send("hello\n")
    bash.expect("got hello\n")
    status(bash, 0)


def test_in_a_pipeline(bash):
    """The other commands of a pipeline have the terminal as well."""
    bash.send(typed("exec", "-s", "ro", "--", "echo", "one").strip() + " | (cat; read x < /dev/tty; echo got $x)\n")
    bash.expect("one\n")
    bash.send("hello\n")
    bash.expect("got hello\n")
    status(bash, 0)


def test_a_shell_in_a_shell(bash):
    """A served shell has job control of its own, can be suspended, and is where it was afterwards."""
    bash.send(typed("exec", "-s", "ro", "--", "env", "PS1=inner> ", "bash", "--norc", "--noprofile", "-i"))
    bash.expect("inner> ")
    bash.send("sh -c \"echo be''gun; read x\"\n")
    bash.expect("begun\n")
    bash.send("\x1a")
    bash.expect("Stopped")
    bash.expect("inner> ")
    bash.send("suspend\n")
    bash.expect("Stopped")
    bash.expect(PROMPT)
    bash.send("echo outer $$\n")
    bash.expect("outer ")
    bash.expect(PROMPT)
    bash.send(FG)
    bash.expect("inner> ")
    bash.send(FG)
    bash.expect("read x")
    bash.send("x\n")
    bash.expect("inner> ")
    bash.send("exit 9\n")
    status(bash, 9)


def test_nobody_is_asked_at_the_commands_terminal(c1, cloud, tty):
    """Once the command has the terminal, a code cannot be asked for there: the request says so, and the log."""
    program = (
        "import os, urllib.error, urllib.request\n"
        "request = urllib.request.Request(os.environ['AWS_CONTAINER_CREDENTIALS_FULL_URI'],\n"
        "    headers={'Authorization': os.environ['AWS_CONTAINER_AUTHORIZATION_TOKEN']})\n"
        "try:\n"
        "    urllib.request.urlopen(request)\n"
        "except urllib.error.HTTPError as error:\n"
        "    print(error.code, error.read().decode(), flush=True)\n"
    )
    terminal = tty("exec", "--server", "--lazy", "jon", "--", sys.executable, "-c", program, streams=ALL)
    terminal.expect(
        f'403 {{"Message":"a code of MFA device {M} is needed, and the terminal is not ours to ask at: the command has it'
    )
    assert terminal.wait().status == 0
    assert cloud.calls == []


def test_somebody_is_asked_at_a_terminal_that_is_free(c1, cloud, tty):
    """The command uses none of it, so the question is asked there; and no answer ends nothing but the request."""
    url = "$AWS_CONTAINER_CREDENTIALS_FULL_URI"
    script = f'curl -sS -o /dev/null -w "%{{http_code}}" -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" {url} > out 2>&1'
    terminal = tty("exec", "--server", "--lazy", "jon", "--", "sh", "-c", script, streams=())
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.send(f"{CODE}\n")
    assert terminal.wait().status == 0
    assert (c1.work / "out").read_text() == "200"
    assert cloud.actions == ["GetSessionToken"]


def test_the_terminal_after_a_question_that_nobody_answered(c1, cloud, tty):
    """The command ends while somebody is asked: the terminal shows again what is typed."""
    read, write = os.pipe()
    script = (
        'curl -sS -o /dev/null -m 20 -H "Authorization: $AWS_CONTAINER_AUTHORIZATION_TOKEN" '
        '"$AWS_CONTAINER_CREDENTIALS_FULL_URI" & read x < go; kill %1'
    )
    os.close(read)
    os.close(write)
    os.mkfifo(c1.work / "go")
    terminal = tty("exec", "--server", "--lazy", "jon", "--", "sh", "-c", script, streams=())
    terminal.expect(f"Enter MFA code for {M}: ")
    subprocess.run(["sh", "-c", "echo x > go"], cwd=c1.work, check=True, timeout=20)
    terminal.wait()
    assert terminal.echo
    assert cloud.calls == []
