"""`exec --server`: what the command gets, who else gets nothing, and what becomes of it all in the end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from fakes.cloud import Call
from harness.home import ADM, PASSPHRASE, RO, M, kill_all
from harness.served import NOTE_SIGNALS, TELL, TOKEN, TOKEN_FILE, URI, Served, ask, python

if sys.platform == "win32":
    pytest.skip("signals and sockets are others there", allow_module_level=True)

GST, AR = "GetSessionToken", "AssumeRole"
needs_scope = pytest.mark.skipif(sys.platform not in {"linux", "darwin"}, reason="nobody tells whose a connection is")


@pytest.fixture
def served(c1):
    """Start a command with a server: ``served("--server", "jon")``."""
    with contextlib.ExitStack() as stack:

        def start(*words, **how):
            made = Served(c1, *words, **how)
            stack.callback(lambda: made.process.poll() is None and kill_all(made.process))
            stack.enter_context(made.process)
            return made

        yield start


# What the command gets


def test_environment(served, c1, cloud):
    """The address of a server and a token; no key, no passphrase, no profile; what is stale is gone."""
    stale = {
        "AWS_ACCESS_KEY_ID": "stale",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/stale",
        "AWS_PROFILE": "stale",
        "AWS_SESSION_TOKEN": "stale",
    }
    command = served("--server", "jon", env=stale)
    got = command.environ
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", got[URI])
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", got[TOKEN])
    ours = {
        "AWS_VAULT": "jon",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": cloud.url,
    }
    secret = {"AWS_VAULT_FILE_PASSPHRASE"}
    usual = {name: value for name, value in c1.environ.items() if name not in secret}
    assert got == usual | ours | {URI: got[URI], TOKEN: got[TOKEN], "STRONGROOM": got["STRONGROOM"]}
    assert PASSPHRASE not in got.values()
    assert command.end() == (0, "", "")
    assert cloud.actions == [GST]


def test_token_file(served, c1):
    """The token in a file: for the user alone, without a line end, and gone at the end."""
    command = served("--ecs-server", "--token-file", "--any-process", "jon")
    got = command.environ
    assert TOKEN not in got
    path = got[TOKEN_FILE]
    with open(path, encoding="ascii") as file:
        token = file.read()
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", token)
    assert ask(got[URI], token).status == 200
    assert command.end()[0] == 0
    assert not os.path.exists(path)


def test_token_files_of_the_dead(served, c1):
    """What a process left that was killed goes with the next start."""
    command = served("--server", "--token-file", "jon")
    path = command.environ[TOKEN_FILE]
    kill_all(command.process)
    command.process.wait()
    assert os.path.exists(path)
    later = served("--server", "--token-file", "jon")
    assert not os.path.exists(path)
    assert later.end()[0] == 0


# What a request gets


def test_requests(served, cloud):
    """The token alone opens; credentials have all that SDKs ask for, and are renewed by nobody meanwhile."""
    command = served("--server", "--any-process", "--allow-role", "arn:aws:iam::111111111111:role/R*", "ro")
    uri, token = command.environ[URI], command.environ[TOKEN]
    for wrong in ("", "x", token[:-1], token + "x", f"Bearer {token}"):
        reply = ask(uri, wrong)
        assert (reply.status, reply.body) == (403, b'{"Message":"invalid Authorization token"}\n')
    reply = ask(uri, token)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    found = reply.json()
    assert list(found) == ["AccessKeyId", "AccountId", "Expiration", "RoleArn", "SecretAccessKey", "Token"]
    assert (found["RoleArn"], found["AccountId"]) == (RO, "111111111111")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["Expiration"])
    assert found["SecretAccessKey"] == cloud.keys[found["AccessKeyId"]].secret_access_key
    assert ask(uri, token).json() == found
    before = list(cloud.calls)
    role = "arn:aws:iam::111111111111:role/R1"
    assert [ask(uri, token, f"/role-arn/{role}").json()["RoleArn"] for _ in range(3)] == [role] * 3
    assert cloud.calls[len(before) :] == [Call(AR, 3600, None, "role", role)]
    refused = ask(uri, token, f"/role-arn/{ADM}")
    assert refused.status == 403
    assert refused.json() == {"Message": f"{ADM} is not one of the allowed roles: --allow-role says which are"}
    status, _, stderr = command.end()
    assert status == 0
    assert token not in stderr
    assert stderr.startswith(
        "strongroom: warning: --any-process: every process that learns of the token, not only those of the command, "
        "gets credentials from the server\n"
    )


def test_roles_of_the_profile(served, c1, cloud):
    """`allowed_roles` of the profile allows them as the flag does; fifty who ask at once make one call."""
    c1.config.write_text(c1.config.read_text().replace("[profile jon]\n", f"[profile jon]\nallowed_roles = x, {RO}\n"))
    program = f"""\
import concurrent.futures, os, urllib.request
request = urllib.request.Request(os.environ[{URI!r}] + "/role-arn/{RO}", headers={{"Authorization": os.environ[{TOKEN!r}]}})
with concurrent.futures.ThreadPoolExecutor(50) as pool:
    print(len(set(pool.map(lambda _: urllib.request.urlopen(request).read(), range(50)))), flush=True)
"""
    cloud.delay(AR, 0.2)
    command = served("-s", "jon", command=python(program))
    assert command.first == "1\n"
    warning = "strongroom: warning: allowed_roles of profile 'jon': 'x' fits no role's ARN\n"
    assert command.end() == (0, "", warning)
    assert cloud.calls == [Call(GST, 3600, M), Call(AR, 3600, None, "session", RO)]


@needs_scope
def test_only_processes_of_the_command(served):
    """The command and what it starts get credentials, also what has left its session; anybody else gets nothing."""
    program = f"""\
import os, subprocess, sys
ask = ["curl", "-sS", "-o", "/dev/null", "-w", "%{{http_code}}\\n", "-H", "Authorization: " + os.environ[{TOKEN!r}],
       os.environ[{URI!r}]]
print(os.environ[{URI!r}], os.environ[{TOKEN!r}], flush=True)
subprocess.run(ask, check=True)
subprocess.run(["setsid", "sh", "-c", '"$@"', "sh", *ask], check=True)
# A daemon: its parent has gone, and it has a session of its own.
read, write = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        subprocess.run(ask, check=True)
        os.close(write)
    os._exit(0)
os.wait()
os.close(write)
os.read(read, 1)
sys.stdin.readline()
"""
    command = served("--server", "jon", command=python(program))
    uri, token = command.first.split()
    assert [command.line() for _ in range(3)] == ["200"] * 3
    reply = ask(uri, token)
    assert (reply.status, reply.json()) == (
        403,
        {"Message": "refused: the client is none of the processes started here"},
    )
    status, _, stderr = command.end()
    assert status == 0
    assert re.fullmatch(
        r"strongroom: refused a request of 127\.0\.0\.1:\d+: the client is none of the processes started here; "
        r"--any-process would let it\n",
        stderr,
    )


def test_lazy(c1, cloud):
    """Nothing is asked of AWS before the first request."""
    program = f"""\
import os, sys, urllib.request
print("begun", flush=True)
sys.stdin.readline()
request = urllib.request.Request(os.environ[{URI!r}], headers={{"Authorization": os.environ[{TOKEN!r}]}})
try:
    print(urllib.request.urlopen(request).status, flush=True)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode(), flush=True)
"""
    words = ("exec", "--server", "--lazy")
    with c1.popen(*words, "-n", "jon", "true", stderr=subprocess.PIPE) as refused:
        assert refused.communicate(timeout=30)[1].startswith(b"strongroom: error: exec: Can't use --ecs-server with")
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with c1.popen(*words, "ro", "--", *python("import urllib.error\n" + program), **pipes) as process:
        try:
            assert process.stdout.readline() == b"begun\n"
            assert cloud.calls == []
            stdout, stderr = process.communicate(b"\n", 30)
        except BaseException:
            kill_all(process)
            raise
    assert (process.returncode, stdout, stderr) == (0, b"200\n", b"")
    assert cloud.calls == [Call(AR, 3600, None, "key", RO)]


def test_a_failure_at_the_beginning(c1, cloud):
    """Without --lazy the command is not started: no server without credentials."""
    cloud.fail(AR)
    result = c1.run("exec", "--server", "ro", "--", "touch", "ran")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("strongroom: error: exec: sts AssumeRole of ")
    assert not (c1.work / "ran").exists()


def test_a_passphrase_is_typed_once(tty, c1, cloud):
    """What opened the keystore at the beginning opens it for every renewal; a change of the config file counts."""
    c1.config.write_text(c1.config.read_text() + f"\n[profile x]\nsource_profile = jon\nrole_arn = {RO}\n")
    program = f"""\
import os, sys, urllib.request
request = urllib.request.Request(os.environ[{URI!r}], headers={{"Authorization": os.environ[{TOKEN!r}]}})
for line in sys.stdin:
    print(urllib.request.urlopen(request).read().decode(), flush=True)
"""
    original = cloud.issue
    lives = iter([1, 3600])
    cloud.issue = lambda kind, arn, duration, **more: original(kind, arn, next(lives), **more)
    try:
        terminal = tty("exec", "-s", "x", "--", *python(program), env={"AWS_VAULT_FILE_PASSPHRASE": None},
                       streams=("stdin", "stdout", "stderr"))  # fmt: skip
        terminal.expect("passphrase")
        terminal.wait_for_echo(on=False)
        terminal.send(f"{PASSPHRASE}\n")
        terminal.wait_for_echo(on=True)
        while len(cloud.calls) < 1:
            terminal._pump(0.02)
        expired_at = time.time() + 1.1
        c1.config.write_text(c1.config.read_text().replace("[profile x]", "[profile x]\nregion = eu-west-1"))
        while time.time() < expired_at:
            terminal._pump(0.05)
        terminal.send("\n")
        terminal.expect('"RoleArn"')
        terminal.send("\x04")
        assert terminal.wait().status == 0
    finally:
        del cloud.issue
    assert [call.region for call in cloud.calls] == ["us-east-1", "eu-west-1"]
    assert terminal.shown.count("Enter passphrase") == 1


# Mistakes


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ec2-server", "--ecs-server"], "Can't use --ec2-server with --ecs-server"),
        (["--ec2-server", "--server"], "Can't use --ec2-server with --ecs-server"),
        (["--ec2-server", "--no-session"], "Can't use --ec2-server with --no-session"),
        (["--server", "-n"], "Can't use --ecs-server with --no-session"),
        (["--ec2-server", "--lazy"], "Can't use --lazy with --ec2-server"),
        (["--token-file"], "--token-file needs --ecs-server"),
        (["--ec2-server", "--allow-role", "x"], "--allow-role needs --ecs-server"),
        (["--server", "--allow-role", "*"], "--allow-role: '*' fits no role's ARN"),
        (["--server", "--unprivileged"], "--unprivileged needs --ec2-server"),
        (["--imdsv1"], "--imdsv1 needs --ec2-server"),
        (["--any-process"], "--any-process needs --ecs-server or --ec2-server"),
    ],
)
def test_flags_that_contradict_each_other(c1, cloud, flags, message):
    """Are refused before anything happens, in aws-vault's words where it has some."""
    result = c1.call("exec", *flags, "jon", "true")
    assert (result.status, result.stdout, result.child) == (2, "", None)
    assert result.stderr.startswith(f"strongroom: error: exec: {message}, try --help\n")
    assert cloud.calls == []


def test_a_token_file_that_cannot_be_written(c1):
    """Nothing is started."""
    in_the_way = c1.path / "run" / "strongroom"
    in_the_way.mkdir(mode=0o700)
    (in_the_way / "servers").write_text("")
    result = c1.run("exec", "--server", "--token-file", "ro", "--", "touch", "ran")
    assert result.status == 1
    assert re.fullmatch(
        r"strongroom: error: exec: cannot write .*/servers/token-\d+: .*\nstrongroom: hint: check its directory\n",
        result.stderr,
    )
    assert not (c1.work / "ran").exists()


def test_what_an_sdk_would_take_first(c1):
    """Keys in [default] of the files that SDKs read are named: the server would never be asked."""
    credentials = c1.path / ".aws" / "credentials"
    credentials.write_text("[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n")
    result = c1.run("exec", "--server", "ro", "--", "true")
    assert result.status == 0
    assert result.stderr == (
        f"strongroom: warning: SDKs take what [default] in {credentials} says (aws_access_key_id) before they ask a "
        "server: give that section another name, or use exec without a server\n"
    )


# The end


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (["sh", "-c", "exit 7"], 7),
        (["sh", "-c", "kill -TERM $$"], 143),
        (["sh", "-c", "kill -KILL $$"], 137),
        (["nosuchcommand"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_the_status_is_the_commands(c1, command, status):
    """As shells have it; nothing is left of the server."""
    result = c1.run("exec", "--server", "ro", "--", *command)
    assert (result.status, result.stdout) == (status, "")
    assert result.stderr == "" or status in {126, 127}


def test_signals_arrive_once(served):
    """Each one that is sent to us, and each one that is sent to all of the group."""
    names = ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT"]
    command = served("--server", "ro", command=python(NOTE_SIGNALS))
    for name in names:
        command.process.send_signal(getattr(signal, name))
        assert command.line() == name
    for name in names[:-1]:
        os.killpg(command.process.pid, getattr(signal, name))
        assert command.line() == name
        # What came twice would come before the answer to this.
        command.process.send_signal(signal.SIGCONT)
        assert command.line() == "SIGCONT"
    assert command.end() == (0, "ended\n", "")


def test_what_is_ignored_stays_ignored(c1):
    """As nohup has it."""
    program = (
        "import signal; print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN, signal.getsignal(signal.SIGPIPE))"
    )
    with subprocess.Popen(
        ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", sys.executable, "-m", "strongroom", "exec", "-s", "ro", "--",
         sys.executable, "-S", "-c", program],
        env=c1.environ, cwd=c1.work, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.communicate(timeout=30)[0].decode().startswith("True ")


def test_the_server_is_killed(served):
    """The command goes on, without credentials; nothing listens any more, and nothing else is left."""
    program = TELL.replace("sys.stdin.readline()", "print(sys.stdin.readline(), flush=True)")
    command = served("--server", "--any-process", "jon", command=python(program))
    uri = command.environ[URI]
    os.kill(command.process.pid, signal.SIGKILL)
    command.process.wait()
    with pytest.raises(ConnectionRefusedError):
        ask(uri)
    command.process.stdin.write(b"still here\n")
    command.process.stdin.flush()
    assert command.line() == "still here"
    # The end of its output is the end of all who have it.
    command.process.stdin.close()
    assert command.process.stdout.read() == b"\n"


def test_the_command_is_killed(served):
    """The server ends with it, also while somebody is asking."""
    command = served(
        "--server", "--any-process", "jon", command=python("import os; os.write(1, b'%d\\n' % os.getpid()); input()")
    )
    os.kill(int(command.first), signal.SIGKILL)
    assert command.end() == (137, "", command_warning())


def command_warning():
    return (
        "strongroom: warning: --any-process: every process that learns of the token, not only those of the command, "
        "gets credentials from the server\n"
    )


# With other flags of `exec`


def test_a_narrowed_role(served, cloud):
    """--role with a server: its session is what is served, and renewed."""
    command = served("--server", "--any-process", "--role", RO, "--source", "jon", "--tags", "team=x")
    found = command.ask().json()
    assert (found["RoleArn"], found["AccountId"]) == (RO, "111111111111")
    assert (cloud.calls[-1].role, cloud.calls[-1].tags) == (RO, {"team": "x"})
    assert command.environ["AWS_VAULT"]
    assert command.end()[0] == 0


def test_what_opens_the_keystore(c1, monkeypatch):
    """Is not the command's to know, by whatever variable; --keep-vault-secrets lets it."""
    from strongroom.cli import exec_server
    from strongroom.cli.renewal import Source

    seen = []

    async def serve(_door, _words, variables):
        seen.append(variables)
        return 0

    monkeypatch.setattr(exec_server, "_serve", serve)
    monkeypatch.setattr(Source, "opened_by", {"OTHER_TOKEN"})
    for flags in ((), ("--keep-vault-secrets",)):
        assert c1.call("exec", "--server", *flags, "ro", "true", env={"OTHER_TOKEN": "x"}).status == 0
    assert [sorted({"OTHER_TOKEN", "AWS_VAULT_FILE_PASSPHRASE"} & set(each)) for each in seen] == [
        [],
        ["AWS_VAULT_FILE_PASSPHRASE", "OTHER_TOKEN"],
    ]
