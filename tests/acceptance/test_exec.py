"""The command that `exec` becomes: its environment, descriptors, signals, status; and the terminal around it."""

import fcntl
import json
import os
import re
import signal
import struct
import subprocess
import sys
import zlib

import pytest

from fakes.cloud import Call
from harness.home import ADM, CODE, PASSPHRASE, RO, M, Result
from strongroom import keystore
from strongroom.cli import environment

if sys.platform == "win32":
    pytest.skip("Windows cannot replace a process, and its commands are others", allow_module_level=True)

import termios

GST, AR = "GetSessionToken", "AssumeRole"
LINUX = sys.platform == "linux"
needs_proc = pytest.mark.skipif(not LINUX, reason="needs Linux's /proc")

JON = "AKIAXXXXXXXXXXXXXJON"
KEYS = {"AWS_ACCESS_KEY_ID": JON, "AWS_SECRET_ACCESS_KEY": "secret+of/jon"}
REGION = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
STRONGROOM = [sys.executable, "-m", "strongroom"]

SECRETS = {
    "AWS_VAULT_FILE_PASSPHRASE": PASSPHRASE,
    "AWS_VAULT_OP_CONNECT_TOKEN": "op-connect",
    "AWS_VAULT_OP_SERVICE_ACCOUNT_TOKEN": "op-account",
}
STALE = dict.fromkeys(
    (
        # Credentials of before, and what led to them.
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_FILE",
        "AWS_CREDENTIAL_EXPIRATION", "AWS_SESSION_EXPIRATION", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_SESSION_NAME",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        # A profile of before.
        "AWS_DEFAULT_PROFILE", "AWS_PROFILE", "AWS_SDK_LOAD_CONFIG",
    ),
    "stale",
)  # fmt: skip
# Whose business they are is not known, so they stay.
KEPT = {
    "AWS_PAGER": "",
    "AWS_SHARED_CREDENTIALS_FILE": "/x",
    "AWS_VAULT_PROMPT": "terminal",
    "AWS_MAX_ATTEMPTS": "1",
    "EMPTY": "",
}


def env_of(home, *words, env=None):
    """The whole environment of a real command that `exec` with these words runs."""
    result = home.run("exec", *words, "--", "env", "-0", env=env)
    assert (result.status, result.stderr) == (0, "")
    return dict(entry.split("=", 1) for entry in result.stdout.split("\0") if entry)


def without(variables, *names):
    return {name: value for name, value in variables.items() if name not in names}


def marked(variables):
    return {"STRONGROOM": ",".join(f"{name}:{zlib.crc32(value.encode()):08x}" for name, value in variables.items())}


def inside(outer):
    """The variables of `Home.call` that make a run one inside of the child of *outer*."""
    return {**dict.fromkeys((*SECRETS, *STALE)), **outer.environ}


# The environment


def test_environment(c1, cloud):
    """Exactly what was there, without credentials, choices and secrets of before, and with what the profile gives."""
    got = env_of(c1, "-t", CODE, "jon", env=STALE | SECRETS | KEPT)
    assert cloud.actions == [GST]
    (key,) = [key for key in cloud.keys.values() if key.kind == "session"]
    expiration = got["AWS_CREDENTIAL_EXPIRATION"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expiration)
    ours = {
        "AWS_VAULT": "jon",
        **REGION,
        "AWS_ENDPOINT_URL": cloud.url,
        "AWS_ACCESS_KEY_ID": key.access_key_id,
        "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
        "AWS_SESSION_TOKEN": key.session_token,
        "AWS_CREDENTIAL_EXPIRATION": expiration,
    }
    assert got == {**without(c1.environ, *SECRETS), **KEPT, **ours, **marked(ours)}


def test_environment_without_session(c1, cloud):
    """With -n the key itself, and no expiry time of before either. (aws-vault leaves AWS_CREDENTIAL_EXPIRATION.)"""
    ours = {"AWS_VAULT": "jon", **REGION, "AWS_ENDPOINT_URL": cloud.url, **KEYS}
    got = env_of(c1, "-n", "jon", env=STALE)
    assert got == {**without(c1.environ, *SECRETS), **ours, **marked(ours)}
    assert cloud.calls == []


def test_environment_without_region(home):
    """No region known, no region set; no endpoint known, none set."""
    home.put_key("jon")
    ours = {"AWS_VAULT": "jon", **KEYS}
    assert env_of(home, "-n", "jon") == {**without(home.environ, *SECRETS), **ours, **marked(ours)}


def test_environment_of_a_role_of_before(c1, cloud):
    """AWS_ROLE_ARN is heeded, as the target's role, and not passed on: an SDK would assume it again."""
    result = c1.call("exec", "-nt", CODE, "jon", "true", env={"AWS_ROLE_ARN": RO, "AWS_WEB_IDENTITY_TOKEN_FILE": "/x"})
    assert cloud.calls == [Call(AR, 3600, M, "key", RO)]
    assert not {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} & set(result.environ)


def test_the_users_own_region(c1):
    """A region that the user set stays the user's: it is the same for the command, and not marked as ours."""
    result = c1.call("exec", "-n", "jon", "true", env={"AWS_REGION": "eu-west-1"})
    assert (result.environ["AWS_REGION"], result.environ["AWS_DEFAULT_REGION"]) == ("eu-west-1", "eu-west-1")
    assert ",AWS_REGION:" not in result.environ["STRONGROOM"]
    assert ",AWS_DEFAULT_REGION:" in result.environ["STRONGROOM"]
    nested = c1.call("export", "-n", "jon", env=inside(result) | SECRETS)
    assert "AWS_REGION=eu-west-1\n" in nested.stdout


def test_secrets_of_the_vault(c1):
    """What opens the vault is not the command's to know (aws-vault passes it on), unless one says so."""
    result = c1.call("exec", "-n", "jon", "true", env=SECRETS)
    assert not set(SECRETS) & set(result.environ)
    assert PASSPHRASE not in result.environ.values()
    result = c1.call("exec", "-n", "--keep-vault-secrets", "jon", "true", env=SECRETS)
    assert SECRETS.items() <= result.environ.items()
    assert not any(name in result.environ["STRONGROOM"] for name in SECRETS)


def test_secrets_of_another_program(c1, monkeypatch):
    """Its token is taken out if it opens the keystore in use, and else is none of our business."""
    opened = keystore.open
    monkeypatch.setattr(keystore, "open", lambda name, settings, ask: opened("file", file | settings, ask))
    file = {"file_dir": str(c1.keys), "file_passphrase": PASSPHRASE}
    tokens = {"OP_SERVICE_ACCOUNT_TOKEN": "ops_x", "PROTON_PASS_PERSONAL_ACCESS_TOKEN": "pst_x"}
    for backend, left in (("op", {"PROTON_PASS_PERSONAL_ACCESS_TOKEN"}), ("file", set(tokens))):
        environ = c1.call("exec", "-n", "jon", "true", env=tokens | {"AWS_VAULT_BACKEND": backend}).environ
        assert set(tokens) & set(environ) == left
        kept = c1.call("exec", "-n", "--keep-vault-secrets", "jon", "true", env=tokens | {"AWS_VAULT_BACKEND": backend})
        assert tokens.items() <= kept.environ.items()


def test_only_the_profile(c1, cloud):
    """--profile-env gives the name instead of keys, after seeing that credentials can be had."""
    result = c1.call("exec", "--profile-env", "-t", CODE, "jon", "true", env=STALE | SECRETS)
    ours = {"AWS_VAULT": "jon", **REGION, "AWS_ENDPOINT_URL": cloud.url, "AWS_PROFILE": "jon"}
    assert result.environ == {**without(c1.environ, *SECRETS), **ours, **marked(ours)}
    assert cloud.actions == [GST]
    assert c1.call("exec", "jon", "true", env={"AWS_VAULT_PROFILE_ENV": "1"}).environ["AWS_PROFILE"] == "jon"
    assert "AWS_PROFILE" not in c1.call("exec", "--no-profile-env", "jon", "true").environ

    cloud.fail(GST)
    result = c1.call("exec", "--profile-env", "-d", "2h", "-t", CODE, "jon", "true")
    assert (result.status, result.child) == (1, None)


@needs_proc
@pytest.mark.parametrize(
    "locale", [{}, {"LANG": "C"}, {"LC_CTYPE": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"LC_ALL": "C"}, {"LANG": "POSIX"}],
    ids=lambda locale: " ".join(f"{name}={value}" for name, value in locale.items()) or "none",
)  # fmt: skip
def test_the_locale_is_the_users(c1, locale):
    """Python sets LC_CTYPE for its own use in a C locale (PEP 538); the command does not see it."""
    ours = {
        "AWS_VAULT": "jon",
        **REGION,
        "AWS_ENDPOINT_URL": c1.call("exec", "-n", "jon", "x").environ["AWS_ENDPOINT_URL"],
    }
    ours |= KEYS
    given = {"LANG": None, "LC_ALL": None, **locale}
    expected = {**without(c1.environ, "LANG", "LC_ALL", *SECRETS), **locale, **ours, **marked(ours)}
    assert env_of(c1, "-n", "jon", env=given) == expected


@needs_proc
def test_the_locale_of_mfa_process_too(c1, cloud):
    """A program of the user's that brings a code runs in the user's locale."""
    c1.config.write_text(
        c1.config.read_text().replace("[profile jon]\n", f"[profile jon]\nmfa_process = env >seen; echo {CODE}\n")
    )
    assert c1.run("export", "jon", env={"LANG": None, "LC_ALL": None}).status == 0
    seen = (c1.work / "seen").read_text()
    assert "LC_CTYPE" not in seen
    assert PASSPHRASE not in seen


def test_bytes_that_are_no_text(c1):
    """Values and words that are no UTF-8 reach the command as they are."""
    odd = os.fsdecode(b"\xff\xfe")
    result = c1.run("exec", "-n", "jon", "--", "sh", "-c", 'printf "%s%s" "$ODD" "$1"', "sh", odd, env={"ODD": odd})
    assert result == Result(0, odd + odd, "")


# Runs inside of runs


@pytest.mark.parametrize("flags", [(), ("--region", "eu-west-1"), ("--profile-env",), ("-d", "2h")], ids=str)
@pytest.mark.parametrize(("outer", "inner"), [("jon", "ro"), ("ro", "jon"), ("admin", "admin"), ("jon", "abroad")])
def test_a_run_inside_a_run(c1, cloud, flags, outer, inner):
    """It gives what it would have given outside: nothing that the outer one set is taken for the user's.

    Different from aws-vault, which refuses.
    """
    c1.config.write_text(
        c1.config.read_text() + f"\n[profile abroad]\nregion = ap-south-1\nendpoint_url = {cloud.url}/\n"
        f"source_profile = jon\nrole_arn = {RO}\n"
    )
    around = c1.call("exec", "-t", CODE, *flags, outer, "true")
    assert around.status == 0, around.stderr
    direct = c1.call("exec", "-t", CODE, inner, "true")
    assert direct.status == 0, direct.stderr
    printed = c1.call("export", inner)
    explained = c1.call("explain", inner)
    variables = inside(around) | SECRETS
    assert c1.call("exec", inner, "true", env=variables) == direct
    assert c1.call("export", inner, env=variables) == printed
    assert c1.call("explain", inner, env=variables) == explained


def test_a_run_inside_a_run_inside_a_run(c1, cloud):
    """For real: three deep, with another region each, and the last one is like one outside."""
    expected = env_of(c1, "--keep-vault-secrets", "ro")
    outer = ("exec", "-n", "--keep-vault-secrets", "--region", "eu-west-1", "jon", "--", *STRONGROOM)
    middle = ("exec", "--keep-vault-secrets", "--region", "ap-south-1", "ro", "--", *STRONGROOM)
    result = c1.run(*outer, *middle, "exec", "--keep-vault-secrets", "ro", "--", "env", "-0")
    assert (result.status, result.stderr) == (0, "")
    assert dict(entry.split("=", 1) for entry in result.stdout.split("\0") if entry) == expected
    assert cloud.calls == [Call(AR, 3600, None, "key", RO)]


def test_the_profile_of_the_outer_run_is_not_ours(c1):
    """AWS_PROFILE that --profile-env set does not name the profile of a run inside; the user's own does."""
    around = c1.call("exec", "-n", "--profile-env", "jon", "true")
    assert around.environ["AWS_PROFILE"] == "jon"
    result = c1.call("exec", "--", "true", env=inside(around) | SECRETS)
    assert (result.status, result.child) == (2, None)
    assert "required argument 'profile' not provided" in result.stderr


def test_a_run_inside_a_run_without_the_passphrase(c1):
    """The passphrase is not passed on, and the error says which flag passes it on."""
    result = c1.run("exec", "-n", "jon", "--", *STRONGROOM, "export", "jon", timeout=20)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("strongroom: error: export: the keystore's passphrase is needed, and there is no ")
    assert "exec --keep-vault-secrets passes it on" in result.stderr


def test_what_the_user_changes_inside_is_the_users(c1):
    """A variable that the outer one set and the user set anew is heeded by a run inside, and by `add --env` too."""
    around = c1.call("exec", "-n", "jon", "true")
    changed = inside(around) | SECRETS | {"AWS_REGION": "eu-west-1"}
    assert "AWS_REGION=eu-west-1\n" in c1.call("export", "-n", "jon", env=changed).stdout
    new = inside(around) | SECRETS | {"AWS_ACCESS_KEY_ID": "AKIAANOTHER", "AWS_SECRET_ACCESS_KEY": "of another"[3:]}
    assert c1.call("add", "--env", "ann", env=new).stdout == 'Added credentials to profile "ann" in vault\n'


def test_aws_vault_inside_is_refused(c1):
    """AWS_VAULT that another program has changed since is no longer ours."""
    around = c1.call("exec", "-n", "jon", "true")
    result = c1.call("export", "-n", "jon", env=inside(around) | SECRETS | {"AWS_VAULT": "other"})
    assert (result.status, result.stdout) == (1, "")
    assert "in an existing aws-vault subshell" in result.stderr


@pytest.mark.parametrize("mark", [None, "", "AWS_REGION,AWS_PROFILE", "AWS_VAULT", "AWS_VAULT:", "AWS_VAULT:00000000"])
def test_inside_aws_vault(c1, cloud, mark):
    """AWS_VAULT that no strongroom set is aws-vault's: its variables cannot be told from the user's, so both refuse."""
    env = {"AWS_VAULT": "x", "STRONGROOM": mark}
    advice = "; 'exit' from the subshell or unset AWS_VAULT to force\n"
    for words in (["exec", "jon", "true"], ["exec", "-n", "jon"], ["exec", "--profile-env", "jon", "true"]):
        assert c1.call(*words, env=env) == Result(
            1, "", f"strongroom: error: exec: running in an existing aws-vault subshell{advice}"
        )
    assert c1.call("export", "jon", env=env) == Result(
        1, "", f"strongroom: error: export: in an existing aws-vault subshell{advice}"
    )
    assert c1.call("exec", "-j", "jon", env=env).status == 1
    assert cloud.calls == []
    for words in (["list"], ["explain", "jon"], ["clear"]):
        assert c1.call(*words, env=env).status == 0
    assert c1.call("exec", "-n", "jon", "true", env={"AWS_VAULT": ""}).child == ["true"]


# Which profile


def test_the_profile_of_the_environment(c1):
    """Without a word, AWS_PROFILE names the profile, and is not passed on."""
    result = c1.call("exec", "-n", "--", "true", env={"AWS_PROFILE": "jon"})
    assert (result.child, result.environ["AWS_VAULT"]) == (["true"], "jon")
    assert "AWS_PROFILE" not in result.environ
    assert c1.call("exec", "-n", "jon", "true", env={"AWS_PROFILE": "nosuch"}).environ["AWS_VAULT"] == "jon"


def test_json(c1, cloud):
    """`exec -j` is `export --format=json`, byte for byte."""
    expected = c1.call("export", "--format=json", "-t", CODE, "jon")
    assert expected.status == 0
    for words in (["-j", "jon"], ["--json", "jon"], ["jon", "-j"], ["-j", "jon", "--", "true"]):
        assert c1.call("exec", *words) == expected
    assert c1.call("exec", "-nj", "jon") == c1.call("export", "-n", "--format=json", "jon")
    assert cloud.actions == [GST]


# The process


@needs_proc
def test_the_same_process(c1):
    """The command has our process id, its words as they were typed, our directory, umask and descriptors."""
    read, write = os.pipe()
    try:
        with c1.popen(
            "exec", "-n", "jon", "sh", "-c", 'echo $$; umask; pwd; tr "\\0" " " </proc/$$/cmdline; echo passed >/dev/fd/$1',
            "sh", str(write), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=[write], umask=0o027,
        ) as process:  # fmt: skip
            out, _ = process.communicate(timeout=30)
        os.close(write)
        write = -1
        pid, umask, directory, words = out.decode().split("\n")
        assert (int(pid), umask, directory) == (process.pid, "0027", os.path.realpath(c1.work))
        assert words.startswith("sh -c echo $$; umask;")
        assert os.read(read, 100) == b"passed\n"
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


@needs_proc
@pytest.mark.parametrize("flags", [("-n",), ("-t", CODE)])
def test_no_descriptor_of_ours(c1, flags):
    """Only 0, 1 and 2 are open in the command, after calls to AWS, locks and all."""
    result = c1.run("exec", *flags, "admin" if "-t" in flags else "jon", "--", "ls", "/proc/self/fd")
    # 3 is the directory that ls reads.
    assert result == Result(0, "0\n1\n2\n3\n", "")


def test_standard_input_is_the_commands(c1, cloud):
    """Not a byte of it is read before the command runs."""
    text = f"{CODE}\nline\n"
    assert c1.run("exec", "-t", CODE, "jon", "--", "cat", stdin=text) == Result(0, text, "")


# 1 to 31; those from 32 on are the C library's, and may come ignored from whoever started the tests.
STANDARD_SIGNALS = 0x7FFFFFFF


@needs_proc
def test_signals_are_as_usual(c1):
    """Nothing is ignored or blocked in the command, though the interpreter ignores SIGPIPE and SIGXFSZ."""
    result = c1.run("exec", "-n", "jon", "--", "grep", "^Sig[BI]", "/proc/self/status")
    assert (result.status, result.stderr) == (0, "")
    assert [int(mask, 16) & STANDARD_SIGNALS for mask in result.stdout.split()[1::2]] == [0, 0]


@needs_proc
def test_signals_that_were_ignored_before(c1):
    """What nohup and the like ignore stays ignored."""
    ignored = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
    with c1.popen(
        "exec", "-n", "jon", "--", "grep", "^SigIgn", "/proc/self/status", stdout=subprocess.PIPE,
        preexec_fn=lambda: [signal.signal(number, signal.SIG_IGN) for number in ignored],
    ) as process:  # fmt: skip
        out, _ = process.communicate(timeout=30)
    assert int(out.split()[1], 16) & STANDARD_SIGNALS == sum(1 << number - 1 for number in ignored)


def test_a_pipe_that_breaks(c1):
    """`exec ... yes | head` ends: yes is killed by SIGPIPE, without a word."""
    words = " ".join(f"'{word}'" for word in (*STRONGROOM, "exec", "-n", "jon", "--", "yes"))
    run = subprocess.run(
        ["bash", "-c", f"{words} | head -n 1; echo ${{PIPESTATUS[0]}}"],
        env=c1.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.stdout, run.stderr) == ("y\n141\n", "")


@pytest.mark.parametrize("status", [0, 7, 126, 127, 255])
def test_the_status_is_the_commands(c1, status):
    """Whatever the command says."""
    assert c1.run("exec", "-n", "jon", "--", "sh", "-c", f"exit {status}") == Result(status, "", "")


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "KILL", "USR1"])
def test_a_command_that_is_killed(c1, name):
    """A shell sees 128 and the signal's number: 143 for TERM."""
    number = getattr(signal, f"SIG{name}")
    assert c1.run("exec", "-n", "jon", "--", "sh", "-c", f"kill -{name} $$").status == -number
    run = subprocess.run(
        ["sh", "-c", '"$@"; echo $?', "sh", *STRONGROOM, "exec", "-n", "jon", "--", "sh", "-c", f"kill -{name} $$"],
        env=c1.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.stdout == f"{128 + number}\n"


def test_a_signal_from_outside(c1):
    """A signal that is sent to us is the command's, once."""
    with c1.popen(
        "exec", "-n", "jon", "--", "sh", "-c", "trap 'echo got; exit 3' TERM; echo ready; while :; do sleep 0.02; done",
        stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == b"got\n"
        assert process.wait(30) == 3


# What cannot be run


def executable(path, text):
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("word", ["nosuchcmd", "./nosuch", "/nosuch/cmd", "", "plain/x"])
def test_a_command_that_is_not_there(c1, word):
    """127 and its name. (aws-vault: 1.)"""
    (c1.work / "plain").write_text("x")
    result = c1.run("exec", "-n", "jon", "--", word)
    assert (result.status, result.stdout) == (127, "")
    assert result.stderr == (
        f"strongroom: error: exec: command not found: {word!r}\n"
        "strongroom: hint: the first word after the profile is the command; flags of ours stand before it\n"
    )


def test_a_command_that_is_no_program(c1):
    """126 and its name: a file without the permission, a directory, a script whose interpreter cannot be run."""
    (c1.work / "plain").write_text("x")
    (c1.work / "directory").mkdir()
    executable(c1.work / "bad-interpreter", "#!/etc/passwd\n")
    for word in ("./plain", "./directory", "./bad-interpreter"):
        result = c1.run("exec", "-n", "jon", "--", word)
        assert (result.status, result.stdout) == (126, "")
        assert result.stderr == f"strongroom: error: exec: cannot run {word!r}: Permission denied\n"
    # One that the search finds is no better, unless another directory has a right one.
    result = c1.run("exec", "-n", "jon", "--", "plain", env={"PATH": str(c1.work)})
    assert result.status == 126
    assert "Permission denied" in result.stderr
    (c1.work / "bin").mkdir()
    executable(c1.work / "bin" / "plain", "#!/bin/sh\necho right\n")
    result = c1.run("exec", "-n", "jon", "--", "plain", env={"PATH": f"{c1.work}:{c1.work / 'bin'}"})
    assert result == Result(0, "right\n", "")


def test_a_script_without_a_first_line(c1):
    """It is the shell's, with its words, found by PATH too, as execvp(3) has it."""
    path = executable(c1.work / "script", 'printf "[%s]" "$0" "$@"\nexit 4\n')
    assert c1.run("exec", "-n", "jon", "--", "./script", "a b", "", "-x") == Result(4, "[./script][a b][][-x]", "")
    # Before a program of the same name, which util-linux has.
    env = {"PATH": f"/nonexistent:{c1.work}:{c1.environ['PATH']}"}
    assert c1.run("exec", "-n", "jon", "--", "script", "a", env=env) == Result(4, f"[{path}][a]", "")


def test_nothing_is_run_without_credentials(c1, cloud):
    """A failure is ours: 1, and the command was not started."""
    ran = c1.work / "ran"
    cloud.fail(GST, message="not today")
    result = c1.run("exec", "-t", CODE, "jon", "--", "touch", str(ran))
    assert (result.status, result.stdout) == (1, "")
    assert "not today" in result.stderr
    result = c1.run("exec", "nosuch", "--", "touch", str(ran))
    assert result == Result(
        1,
        "",
        f"strongroom: error: exec: profile 'nosuch' not found in {c1.config} and no stored credentials exist for it\n"
        "strongroom: hint: store a key with `strongroom add nosuch`\n",
    )
    assert not ran.exists()


# At the terminal

ALL = ("stdin", "stdout", "stderr")


@pytest.mark.parametrize("status", [0, 5])
def test_a_shell(c1, tty, status):
    """Without a command, $SHELL: that is said, the shell is an interactive one, its status is ours."""
    terminal = tty("exec", "-n", "jon", env={"SHELL": "/bin/bash"}, streams=ALL)
    terminal.expect("strongroom: Starting subshell /bin/bash, use `exit` to exit the subshell\n")
    terminal.send("case $- in *i*) echo inter''active $AWS_VAULT;; esac\n")
    terminal.expect("interactive jon\n")
    terminal.send(f"exit {status}\n")
    assert terminal.wait().status == status


@pytest.mark.parametrize(
    ("env", "streams"), [({"AWS_VAULT_DISABLE_HELP_MESSAGE": "1"}, ALL), ({}, ("stdin", "stderr"))]
)
def test_a_shell_without_a_word(c1, tty, env, streams):
    """Nothing is said if that is wanted, or if stdout is no terminal."""
    terminal = tty("exec", "-n", "jon", env={"SHELL": "/bin/cat", **env}, streams=streams)
    terminal.send("x\n\x04")
    result = terminal.wait()
    assert result.status == 0
    assert "subshell" not in terminal.shown + result.stdout + result.stderr


def test_the_shell_of_nobody(c1):
    """SHELL unset or empty: /bin/sh."""
    for shell in (None, ""):
        assert c1.call("exec", "-n", "jon", env={"SHELL": shell}).child == ["/bin/sh"]
        assert c1.run("exec", "-n", "jon", env={"SHELL": shell}, stdin="echo $AWS_VAULT\n").stdout == "jon\n"


def test_a_shell_after_the_credentials(c1, cloud, tty):
    """The question for a code comes first, and a failure starts no shell."""
    cloud.fail(GST)
    terminal = tty("exec", "jon", env={"SHELL": "/bin/bash"}, streams=ALL)
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.send(f"{CODE}\n")
    assert terminal.wait().status == 1
    assert "subshell" not in terminal.shown


def test_a_code_while_stdout_is_a_pipe(c1, cloud, tty):
    """The question is asked at the terminal, with stdin from elsewhere; stdout has the command's words alone."""
    terminal = tty("exec", "jon", "--", "echo", "out", streams=())
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.send(f"{CODE}\n")
    assert terminal.wait() == Result(0, "out\n", "")
    assert terminal.shown == f"Enter MFA code for {M}: {CODE}\n"
    assert cloud.calls == [Call(GST, 3600, M)]


def test_three_wrong_codes(c1, cloud, tty):
    """A wrong code is asked for again, three times in all; then the command is not run."""
    terminal = tty("exec", "jon", "--", "touch", "ran")
    for _ in range(3):
        terminal.expect(f"Enter MFA code for {M}: ")
        terminal.send("000000\n")
    result = terminal.wait()
    assert (result.status, result.stdout) == (1, "")
    assert [call.code for call in cloud.calls] == ["000000"] * 3
    assert "AWS did not accept the code" in result.stderr
    assert not (c1.work / "ran").exists()


def test_a_right_code_after_a_wrong_one(c1, cloud, tty):
    """The second code is as good as the first would have been."""
    terminal = tty("exec", "jon", "--", "echo", "out")
    for code in ("000000", CODE):
        terminal.expect(f"Enter MFA code for {M}: ")
        terminal.send(f"{code}\n")
    result = terminal.wait()
    assert (result.status, result.stdout) == (0, "out\n")
    assert cloud.answers == ["AccessDenied", "ok"]


def test_no_terminal(c1, cloud):
    """Nobody to ask: a line with what to do, at once; the command is not run."""
    result = c1.run("exec", "jon", "--", "touch", "ran", stdin=f"{CODE}\n", timeout=20)
    assert (result.status, result.stdout) == (1, "")
    assert re.fullmatch(
        rf"strongroom: error: exec: a code of MFA device {M} is needed, and there is no terminal to ask at \(.*\)\n"
        r"strongroom: hint: run it in a terminal once, give the code with --mfa-token, or set mfa_process in the "
        r"profile\n",
        result.stderr,
    )
    assert cloud.calls == []
    assert not (c1.work / "ran").exists()


def test_no_terminal_and_nothing_open(c1):
    """The same with /dev/null everywhere: it ends."""
    with c1.popen("exec", "jon", "true", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                  stderr=subprocess.DEVNULL) as process:  # fmt: skip
        assert process.wait(20) == 1


# With job control: what `exec` started is a bash with a terminal, and what is typed there runs strongroom again.

PROMPT = "ready> "


@pytest.fixture
def bash(c1, tty):
    """An interactive bash that strongroom became, at its prompt."""
    env = {"PS1": PROMPT, "HISTFILE": None}
    words = ("exec", "-n", "--keep-vault-secrets", "jon", "--", "bash", "--norc", "--noprofile", "-i")
    terminal = tty(*words, env=env, streams=ALL)
    terminal.expect(PROMPT)
    return terminal


def typed(*words):
    """A line for a shell."""
    return " ".join(f"'{word}'" for word in (*STRONGROOM, *words)) + "\n"


def test_ctrl_z(bash):
    """Ctrl-Z stops the command, the shell tells of it, fg goes on with it, and its status is the shell's to see."""
    bash.send(typed("exec", "-n", "jon", "--", "sh", "-c", "echo be''gun; read x; echo got $x; exit 6"))
    bash.expect("begun\n")
    bash.send("\x1a")
    bash.expect("Stopped")
    bash.expect(PROMPT)
    bash.send("jobs\n")
    bash.expect("[1]+  Stopped")
    bash.expect(PROMPT)
    bash.send("fg\n")
    bash.expect("strongroom")
    bash.send("hello\n")
    bash.expect("got hello\n")
    bash.expect(PROMPT)
    bash.send("echo status $?\n")
    bash.expect("status 6\n")
    bash.send("exit 0\n")
    assert bash.wait().status == 0


COUNT_INTERRUPTS = """\
import os, signal, sys
count = 0
def handle(*_):
    global count
    count += 1
    os.write(1, b"interrupt %d\\n" % count)
signal.signal(signal.SIGINT, handle)
print("begun", flush=True)
sys.stdin.readline()
print("in all", count, flush=True)
"""


def test_ctrl_c(bash, c1):
    """Ctrl-C is the command's alone, once each time, and what it makes of it holds."""
    script = c1.work / "count.py"
    script.write_text(COUNT_INTERRUPTS)
    bash.send(typed("exec", "-n", "jon", "--", sys.executable, str(script)))
    bash.expect("begun\n")
    for count in (1, 2):
        bash.interrupt()
        bash.expect(f"interrupt {count}\n")
    bash.send("\n")
    bash.expect("in all 2\n")
    bash.expect(PROMPT)
    bash.send("echo status $?\n")
    bash.expect("status 0\n")

    bash.send(typed("exec", "-n", "jon", "--", "sh", "-c", "echo be''gun; exec sleep 60"))
    bash.expect("begun\n")
    bash.interrupt()
    bash.expect(PROMPT)
    bash.send("echo status $?\n")
    bash.expect("status 130\n")


def test_in_the_background(bash, c1, cloud):
    """A run in the background asks nobody, does not stop, and says why."""
    bash.send(typed("export", "jon").rstrip("\n") + " >out 2>err & wait $!; echo status $?\n")
    bash.expect("status 1\n")
    assert (c1.work / "out").read_text() == ""
    assert "the terminal is not ours to ask at: this process runs in the background" in (c1.work / "err").read_text()
    assert cloud.calls == []
    bash.send(typed("exec", "-n", "jon", "true").rstrip("\n") + " & wait $!; echo status $?\n")
    bash.expect("status 0\n")


def test_ctrl_z_at_a_question(bash, cloud):
    """The question can be put aside; fg asks it again, and the terminal echoes in between."""
    bash.send(typed("exec", "jon", "--", "echo", "out''put"))
    bash.expect(f"Enter MFA code for {M}: ")
    bash.send("\x1a")
    bash.expect("Stopped")
    bash.expect(PROMPT)
    bash.send("echo vis''ible\n")
    bash.expect("echo vis''ible")
    bash.expect("visible\n")
    bash.expect(PROMPT)
    bash.send("fg\n")
    bash.expect(f"Enter MFA code for {M}: ")
    bash.send(f"{CODE}\n")
    bash.expect("output\n")
    assert cloud.actions == [GST]


def test_the_window(c1, tty):
    """The command has the terminal's size, and learns of a change."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b'now %d %d\\n' % os.get_terminal_size(0)))\n"
        "print('begun', flush=True); sys.stdin.readline()\n"
    )
    script = c1.work / "window.py"
    script.write_text(program)
    terminal = tty("exec", "-n", "jon", "--", sys.executable, str(script), streams=ALL)
    terminal.expect("begun\n")
    fcntl.ioctl(terminal._master, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    terminal.expect("now 77 33\n")
    terminal.send("\n")
    assert terminal.wait().status == 0


# The name


def test_a_link_named_aws_vault(c1):
    """Messages carry the name that one typed, advice on what to type too."""
    link = c1.work / "aws-vault"
    link.symlink_to(os.path.join(os.path.dirname(sys.executable), "strongroom"))
    run = subprocess.run(
        [link, "exec", "nosuch", "--", "true"], env=c1.environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        f"aws-vault: error: exec: profile 'nosuch' not found in {c1.config} and no stored credentials exist for it\n"
        "aws-vault: hint: store a key with `aws-vault add nosuch`\n"
    )
    c1.config.write_text(c1.config.read_text() + "\n[profile x]\nsource_profile = y\n")
    run = subprocess.run([link, "export", "x"], env=c1.environ, capture_output=True, text=True, timeout=60, check=False)
    assert run.stderr == (
        "aws-vault: error: export: profile y: credentials missing\n"
        f"aws-vault: hint: store a key with `aws-vault add y`, or correct source_profile of 'x' ({c1.config}:28 "
        "[profile x])\n"
    )
    run = subprocess.run([link, "exec", "-n", "jon", "sh", "-c", "echo $AWS_VAULT $0"], env=c1.environ,
                         capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "jon sh\n", "")


# Other programs as the command


def test_the_aws_cli_as_the_command(c1, cloud):
    """The AWS CLI in the command's place uses the credentials, the region and the endpoint that it was given."""
    aws = os.path.join(os.path.dirname(sys.executable), "aws")
    result = c1.run("exec", "-t", CODE, "admin", "--", aws, "sts", "get-caller-identity", "--output", "json",
                    env=STALE | {"AWS_ROLE_SESSION_NAME": "me"})  # fmt: skip
    assert (result.status, result.stderr) == (0, "")
    assert json.loads(result.stdout)["Arn"] == "arn:aws:sts::111111111111:assumed-role/ADM/me"
    assert cloud.calls == [
        Call(GST, 28800, M),
        Call(AR, 3600, None, "session", ADM),
        Call("GetCallerIdentity", None, None, "role"),
    ]


def test_lists_of_variables():
    """The lists of this module are the program's."""
    assert set(SECRETS) == environment.VAULT_SECRETS
    names = {name for name in STALE if not name.startswith(environment.STALE_PREFIX)}
    assert names == (environment.STALE | environment.CHOOSERS) - {"AWS_ROLE_ARN"}
