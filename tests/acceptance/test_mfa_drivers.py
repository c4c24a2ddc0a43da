"""Who asks for a code, as real processes see it: with a terminal and without, with a desktop and without."""

import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from fakes.cloud import Call
from harness.home import CODE, PASSPHRASE, M
from harness.programs import path_with

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the programs that ask are shell scripts here")

EXPORT = ("export", "--format=json", "jon")
GST = "GetSessionToken"
MESSAGE = f"Enter MFA code for {M}: "
HINT = (
    "strongroom: hint: run it in a terminal once, give the code with --mfa-token, or set mfa_process in the profile\n"
)
# Far from what a window may take, and from what other processes wait for.
AT_ONCE_SECONDS = 20


@pytest.fixture
def desktop(c1, tmp_path):
    """The environment of a desktop with stand-ins for these programs."""

    def make(*programs, does="answer", **environ):
        path = path_with(tmp_path / "bin", *programs)
        return {"PATH": path, "DISPLAY": ":0", "WINDOW": does, "WINDOW_LOG": f"{tmp_path}/log"} | environ

    return make


@pytest.fixture
def told(tmp_path):
    """What the windows were told, a list of words each."""

    def told():
        text = (tmp_path / "log").read_text() if (tmp_path / "log").exists() else ""
        return [each.splitlines() for each in text.split("--\n")[:-1]]

    return told


# Without a terminal


def test_a_window(c1, cloud, desktop, told):
    """A process without a terminal, on a desktop; only JSON is on stdout."""
    result = c1.run(*EXPORT, env=desktop("zenity"))
    assert (result.status, result.stderr) == (0, "")
    assert result.json()["AccessKeyId"].startswith("ASIA")
    assert told() == [["zenity", "--entry", "--title", "strongroom", "--text", MESSAGE]]
    assert cloud.calls == [Call(GST, 3600, M)]


def test_a_window_as_aws_vault_opens_it(c1, cloud, desktop, told, tmp_path):
    """By that name, its words are the same."""
    script = tmp_path / "aws-vault"
    script.write_text("from strongroom.cli.main import console\nconsole()\n")
    environ = c1.environ | desktop("kdialog", "zenity", "osascript")
    for driver, words in (
        ("zenity", ["--entry", "--title", "aws-vault", "--text", MESSAGE]),
        ("kdialog", ["--inputbox", MESSAGE, "--title", "aws-vault"]),
    ):
        subprocess.run(
            [sys.executable, script, "--prompt", driver, "export", "--no-session", "admin"],
            env=environ, check=True, capture_output=True, start_new_session=True, timeout=60,
        )  # fmt: skip
        c1.call("clear")
        assert told()[-1] == [driver, *words]


def test_a_window_that_is_closed(c1, cloud, desktop):
    """Exit 1, and it is told that a human said no. AWS is not asked."""
    result = c1.run(*EXPORT, env=desktop("zenity", does="cancel"))
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == "strongroom: error: export: the question was dismissed in the window of zenity\n"
    assert cloud.calls == []


def test_neither_a_terminal_nor_a_desktop(c1, cloud, desktop):
    """As in a service: a line that says what is missing, at once, although the programs are there."""
    started = time.monotonic()
    result = c1.run(*EXPORT, env=desktop("zenity", "pinentry", "ykman", DISPLAY=None))
    assert time.monotonic() - started < AT_ONCE_SECONDS
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        f"strongroom: error: export: a code of MFA device {M} is needed, and there is no terminal to ask at (/dev/tty: "
        "no such device or address), and no desktop to open a window on (neither DISPLAY nor WAYLAND_DISPLAY is set)\n"
        + HINT
    )
    assert cloud.calls == []


def test_a_desktop_without_a_program(c1, cloud, desktop):
    """Those that would do are named."""
    result = c1.run(*EXPORT, env=desktop("ykman"))
    assert (result.status, result.stdout) == (1, "")
    assert "no program to open a window with (zenity, kdialog, pinentry)" in result.stderr


def test_a_program_that_is_not_there(c1, cloud, desktop):
    """It was chosen, so nobody else is asked, though they could be."""
    result = c1.run(*EXPORT, env=desktop("zenity") | {"AWS_VAULT_PROMPT": "kdialog"})
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        f"strongroom: error: export: a code of MFA device {M} is needed, and the prompt driver 'kdialog' cannot be used: "
        "there is no program 'kdialog' on PATH\n" + HINT
    )


def test_a_dead_display(c1, cloud, desktop, told):
    """A variable that leads nowhere: each program is tried, each says so, nothing hangs."""
    result = c1.run(*EXPORT, env=desktop("zenity", "kdialog", does="display"))
    assert (result.status, result.stdout) == (1, "")
    assert [words[0] for words in told()] == ["zenity", "kdialog"]
    assert "zenity: it finds no desktop to open a window on, and kdialog: it finds no desktop" in result.stderr


def test_the_terminal_driver_without_a_terminal(c1, desktop):
    """It is what was asked for: no window instead."""
    result = c1.run("--prompt=terminal", *EXPORT, env=desktop("zenity"))
    assert (result.status, result.stdout) == (1, "")
    assert "there is no terminal to ask at (/dev/tty: " in result.stderr


def test_a_wrong_code_in_a_window(c1, cloud, desktop, told, tmp_path):
    """What was wrong stands in the next one: nobody may see stderr."""
    (tmp_path / "answers").write_text(f"000000\n12345\n{CODE}\n")
    result = c1.run(*EXPORT, env=desktop("zenity", does="answers", WINDOW_ANSWERS=f"{tmp_path}/answers"))
    assert result.status == 0
    assert [words[-1] for words in told()] == [MESSAGE] * 3
    assert [words[5:-1] for words in told()] == [
        [],
        [f"AWS did not accept the code of {M}"],
        ["A code is six digits."],
    ]
    assert [call.code for call in cloud.calls] == ["000000", CODE]


def test_what_a_window_s_program_is_given(c1, cloud, desktop, tmp_path):
    """Nothing that opens the vault, no credentials; nothing secret in its words."""
    environ = desktop()
    program = tmp_path / "bin" / "zenity"
    program.write_text(f"#!/bin/sh\nenv >{tmp_path}/env\necho {CODE}\n")
    program.chmod(0o755)
    assert c1.run(*EXPORT, env=environ | {"AWS_SECRET_ACCESS_KEY": "stale"}).status == 0
    seen = (tmp_path / "env").read_text()
    assert "DISPLAY=:0\n" in seen
    assert f"HOME={c1.path}\n" in seen
    assert PASSPHRASE not in dict(line.split("=", 1) for line in seen.splitlines()).values()
    assert "stale" not in seen


def test_ten_processes_open_one_window(c1, cloud, desktop, told):
    """And all get the answer."""
    environ = desktop("zenity")
    processes = [c1.popen(*EXPORT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(10)]
    ended = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert {(err, status) for _, err, status in ended} == {(b"", 0)}
    assert len({out for out, _, _ in ended}) == 1
    assert len(told()) == 1
    assert len(cloud.calls) == 1


def test_ten_processes_and_a_no(c1, cloud, desktop, told, tmp_path):
    """A human who declined is not asked by those who were waiting."""
    environ = desktop("zenity")
    (tmp_path / "bin" / "zenity").unlink()
    (tmp_path / "bin" / "zenity").write_text(
        f"#!/bin/sh\necho zenity >>{tmp_path}/asked\nwhile [ ! -e {tmp_path}/go ]; do sleep 0.05; done\nexit 1\n"
    )
    (tmp_path / "bin" / "zenity").chmod(0o755)
    processes = [c1.popen(*EXPORT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(10)]
    end = time.monotonic() + 60
    while not all(has_lock(process.pid, c1) for process in processes):
        assert time.monotonic() < end
        time.sleep(0.02)
    (tmp_path / "go").touch()
    ended = [(*process.communicate(timeout=60), process.returncode) for process in processes]
    assert {(out, status) for out, _, status in ended} == {(b"", 1)}
    assert {err.decode() for _, err, _ in ended} == {
        "strongroom: error: export: the question was dismissed in the window of zenity\n"
    }
    assert (tmp_path / "asked").read_text() == "zenity\n"
    assert cloud.calls == []


def has_lock(pid, home):
    """Whether a process has opened a lock file: it holds it, or waits for it."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("only Linux shows which files a process has open")
    directory = f"/proc/{pid}/fd"
    try:
        links = [os.readlink(f"{directory}/{name}") for name in os.listdir(directory)]
    except OSError:
        return False
    return any(link.startswith(str(home.path / "run" / "strongroom")) for link in links)


# As the credential_process of somebody else


@pytest.fixture
def aws(c1, cloud):
    """The AWS CLI in a session without a terminal, with a profile whose credentials we bring."""
    ours = f"{sys.executable} -m strongroom export --format=json jon"
    outer = c1.work / "outer"
    outer.write_text(f"[profile outer]\nregion = us-east-1\nendpoint_url = {cloud.url}\ncredential_process = sh ours\n")
    # The AWS CLI's config is not ours.
    (c1.work / "ours").write_text(f"AWS_CONFIG_FILE={c1.config} exec {ours}\n")
    program = shutil.which("aws", path=os.path.dirname(sys.executable))

    def run(environ):
        return subprocess.run(
            [sys.executable, program, "sts", "get-caller-identity", "--profile", "outer", "--output", "json"],
            env=c1.environ | environ | {"AWS_CONFIG_FILE": str(outer)},
            cwd=c1.work, stdin=subprocess.DEVNULL, capture_output=True, start_new_session=True, timeout=60, text=True,
        )  # fmt: skip

    return run


def test_the_aws_cli_and_a_window(aws, cloud, desktop, told):
    """Nothing but JSON reaches it; the human is asked all the same."""
    result = aws(desktop("zenity"))
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["Arn"].endswith("user/jon")
    assert len(told()) == 1


def test_the_aws_cli_and_nobody_to_ask(aws, cloud, desktop):
    """It fails at once, and shows why."""
    environ = desktop("zenity")
    del environ["DISPLAY"]
    started = time.monotonic()
    result = aws(environ)
    assert time.monotonic() - started < AT_ONCE_SECONDS
    assert result.returncode != 0
    assert f"a code of MFA device {M} is needed, and there is no terminal to ask at" in result.stderr


# With a terminal


def test_a_pipe_does_not_matter(c1, cloud, desktop, told, tty):
    """With a terminal that is where the question goes, and the answer of strongroom into the pipe."""
    terminal = tty(*EXPORT, env=desktop("zenity", "ykman"), streams=())
    terminal.expect(MESSAGE)
    terminal.send(f"{CODE}\n")
    result = terminal.wait()
    assert (result.status, result.stderr) == (0, "")
    assert result.json()["AccessKeyId"].startswith("ASIA")
    assert told() == []


def test_a_window_beside_a_terminal(c1, cloud, desktop, told, tty):
    """If it is chosen."""
    result = tty("--prompt=kdialog", *EXPORT, env=desktop("kdialog")).wait()
    assert (result.status, result.stderr) == (0, "")
    assert told() == [["kdialog", "--inputbox", MESSAGE, "--title", "strongroom"]]


def test_an_interrupt_at_the_question(c1, cloud, tty):
    """Ctrl-C: status 130, and the terminal shows again what is typed."""
    terminal = tty(*EXPORT)
    terminal.expect(MESSAGE)
    terminal.wait_for_echo(on=False)
    terminal.interrupt()
    result = terminal.wait()
    assert (result.status, result.stdout) == (130, "")
    assert terminal.echo
    assert cloud.calls == []


def test_an_interrupt_at_a_window(c1, cloud, desktop, tty, tmp_path):
    """Ctrl-C in the terminal closes it."""
    environ = desktop("zenity", does="hang", WINDOW_PID=f"{tmp_path}/pid")
    terminal = tty("--prompt=zenity", *EXPORT, env=environ)
    end = time.monotonic() + 30
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < end
        time.sleep(0.02)
    terminal.interrupt()
    result = terminal.wait()
    assert (result.status, result.stdout) == (130, "")
    pid = int((tmp_path / "pid").read_text())
    while not has_ended(pid):
        assert time.monotonic() < end
        time.sleep(0.02)


def has_ended(pid):
    """Whether a process is no more, or only waits for somebody to ask how it ended: its parent has gone before it."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except ProcessLookupError:
        return True
    except FileNotFoundError:
        return os.path.exists("/proc/self")  # else it is not Linux, and it is there


# A YubiKey, pinentry


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["oath", "accounts", "code", "--single", M]),
        ({"YKMAN_OATH_DEVICE_SERIAL": "42"}, ["--device", "42", "oath", "accounts", "code", "--single", M]),
        ({"AWS_VAULT_YKMAN_VERSION": "3", "YKMAN_PLAYS": "3"}, ["oath", "code", "--single", M]),
        ({"YKMAN_OATH_CREDENTIAL_NAME": "jon"}, ["oath", "accounts", "code", "--single", "jon"]),
    ],
    ids=["plain", "serial", "old", "name"],
)
def test_a_yubikey(c1, cloud, desktop, tmp_path, environ, words):
    """Its exact words."""
    environ = desktop("ykman", YKMAN_LOG=f"{tmp_path}/ykman") | environ
    result = c1.run("--prompt=ykman", *EXPORT, env=environ)
    assert (result.status, result.stderr) == (0, "")
    assert (tmp_path / "ykman").read_text().splitlines()[:-1] == words


def test_a_yubikey_that_waits_for_a_touch(c1, cloud, desktop, tty):
    """It says so at the terminal, also when our own stderr leads elsewhere."""
    terminal = tty("--prompt=ykman", *EXPORT, env=desktop("ykman", YKMAN="touch"), streams=())
    terminal.expect("Touch your YubiKey...")
    terminal.send("\n")
    result = terminal.wait()
    assert (result.status, result.stderr) == (0, "")


def test_a_yubikey_that_is_not_there(c1, cloud, desktop):
    """Its own words, and ours."""
    result = c1.run("--prompt=ykman", *EXPORT, env=desktop("ykman", YKMAN="none"))
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == ("Error: No YubiKey detected!\nstrongroom: error: export: ykman: exit status 1\n")
    assert cloud.calls == []


def test_a_wrong_code_of_a_yubikey(c1, cloud, desktop, tmp_path):
    """It would bring the same again: once is enough."""
    environ = desktop("ykman", YKMAN_CODE="000000", YKMAN_LOG=f"{tmp_path}/ykman")
    result = c1.run("--prompt=ykman", *EXPORT, env=environ)
    assert (result.status, result.stdout) == (1, "")
    assert f"AWS did not accept the code of MFA device {M}" in result.stderr
    assert (tmp_path / "ykman").read_text().count("--single") == 1


def test_the_real_pinentry(c1, cloud, tty, tmp_path):
    """In the terminal, with the code and then without a trace of it."""
    program = shutil.which("pinentry-curses")
    if program is None:
        pytest.skip("there is no pinentry-curses here")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pinentry").symlink_to(program)
    environ = {"PATH": f"{tmp_path}/bin", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    terminal = tty("--prompt=pinentry", *EXPORT, env=environ)
    terminal.expect("MFA code")
    terminal.expect("<OK>")
    terminal.send(f"{CODE}\r")
    result = terminal.wait()
    assert (result.status, result.stderr) == (0, "")
    assert result.json()["AccessKeyId"].startswith("ASIA")
    assert CODE not in terminal.shown
    assert terminal.echo


# Passphrases


LOCKED = {"AWS_VAULT_FILE_PASSPHRASE": None}


def test_a_passphrase_in_a_window(c1, cloud, desktop, told, tmp_path):
    """Hidden; and then the code, which is not."""
    (tmp_path / "answers").write_text(f"{PASSPHRASE}\n{CODE}\n")
    result = c1.run(*EXPORT, env=desktop("zenity", does="answers", WINDOW_ANSWERS=f"{tmp_path}/answers") | LOCKED)
    assert (result.status, result.stderr) == (0, "")
    first, second = told()
    assert first == ["zenity", "--entry", "--title", "strongroom", "--text",
                     f'Enter passphrase to unlock "{c1.keys}": ', "--hide-text"]  # fmt: skip
    assert second[-1] == MESSAGE


def test_a_passphrase_and_a_yubikey(c1, cloud, desktop, told):
    """A YubiKey has codes; the passphrase is asked for in a window."""
    environ = desktop("ykman", "zenity", WINDOW_ANSWER=PASSPHRASE) | LOCKED
    result = c1.run("--prompt=ykman", *EXPORT, env=environ)
    assert (result.status, result.stderr) == (0, "")
    assert len(told()) == 1


def test_a_new_passphrase_in_a_window(home, tmp_path):
    """Asked for twice; what was wrong is said where it is typed."""
    (tmp_path / "answers").write_text("new\nwen\nnew\nnew\n")
    environ = {
        "PATH": path_with(tmp_path / "bin", "kdialog"),
        "DISPLAY": ":0",
        "WINDOW": "answers",
        "WINDOW_ANSWERS": f"{tmp_path}/answers",
        "WINDOW_LOG": f"{tmp_path}/log",
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "x" * 40,
    }
    assert home.run("add", "--env", "jon", env=environ | LOCKED).status == 0
    told = (tmp_path / "log").read_text()
    assert told.count("Enter the same passphrase again: \n") == 2
    assert told.count("The two differ.\n") == 1
    assert home.run("export", "-n", "jon", env={"AWS_VAULT_FILE_PASSPHRASE": "new"}).status == 0


def test_a_passphrase_and_nobody_to_ask(c1, desktop):
    """What is missing, and what to do."""
    environ = desktop(DISPLAY=None) | LOCKED
    result = c1.run(*EXPORT, env=environ)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith(
        "strongroom: error: export: the keystore's passphrase is needed, and there is no term"
    )
    assert "AWS_VAULT_FILE_PASSPHRASE" in result.stderr
