"""`serve`: a server that stays. Who gets what, and what becomes of it when it, or its terminal, ends."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest

from harness import namespace
from harness.agent import PATIENCE_SECONDS
from harness.home import ADM, CODE, PASSPHRASE, RO, kill_all
from harness.namespace import PYTHON, as_user
from harness.served import ask, python

if sys.platform == "win32":
    pytest.skip("signals and sockets are others there", allow_module_level=True)

# What a server does is done in no other process.
pytestmark = pytest.mark.usefixtures("counted")

GST, AR = "GetSessionToken", "AssumeRole"
URI, TOKEN, TOKEN_FILE = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)
ASK = """\
import sys, urllib.error, urllib.request
request = urllib.request.Request(sys.argv[1], headers={"Authorization": sys.argv[2]})
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code, error.read().decode())
"""


class Standing:
    """A server in the foreground."""

    def __init__(self, home, *words, env=None, wrap=lambda argv: argv) -> None:
        self.home = home
        argv = wrap([sys.executable, "-m", "strongroom", "serve", "-t", CODE, *words])
        environ = {name: value for name, value in (home.environ | (env or {})).items() if value is not None}
        self.process = subprocess.Popen(
            argv,
            env=environ,
            cwd=home.work,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.banner = self.process.stdout.readline().decode()
        assert self.banner, self.process.stderr.read().decode()

    def variables(self, *words):
        """What `serve env` prints."""
        result = self.home.run("serve", "env", "--format=json", *words)
        assert (result.status, result.stderr) == (0, "")
        return result.json()

    def end(self, number=signal.SIGTERM):
        """Send it a signal; how it ended, and what it said."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=PATIENCE_SECONDS)
        return self.process.returncode, stderr.decode()


@pytest.fixture
def standing(c1):
    """Start a server: ``standing("jon", "ro")``."""
    c1.environ["XDG_STATE_HOME"] = str(c1.path / "s")  # short enough for sockets
    with contextlib.ExitStack() as stack:

        def start(*words, **how):
            made = Standing(c1, *words, **how)
            stack.enter_context(made.process)
            stack.callback(lambda: made.process.poll() is None and kill_all(made.process))
            return made

        yield start


def key_of(variables):
    reply = ask(variables[URI], variables[TOKEN])
    assert reply.status == 200, reply.body
    return reply.json()["AccessKeyId"]


def test_two_profiles(standing, c1, cloud):
    """A slot and a token each; one's token opens nothing else. It ends by a signal, and is found again at its place."""
    server = standing("jon", "ro", "--allow-role", ADM)
    url = re.fullmatch(r"serving jon, ro at (http://127\.0\.0\.1:\d+)\n", server.banner)[1]
    jon, ro = server.variables("jon"), server.variables("ro")
    assert list(jon) == [URI, TOKEN, "AWS_REGION", "AWS_DEFAULT_REGION"]
    assert (jon[URI], ro[URI]) == (f"{url}/profile/jon", f"{url}/profile/ro")
    assert re.fullmatch(r"[A-Za-z0-9_-]{40}", jon[TOKEN])
    assert jon[TOKEN] != ro[TOKEN]
    assert ask(jon[URI], ro[TOKEN]).status == 403
    assert ask(jon[URI], "x" * 40).status == 403
    assert ask(jon[URI]).status == 403
    assert ask(ro[URI], ro[TOKEN]).json()["RoleArn"] == RO
    assert ask(ro[URI], ro[TOKEN], f"/profile/ro/role-arn/{ADM}").json()["RoleArn"] == ADM
    assert ask(ro[URI], ro[TOKEN], f"/profile/ro/role-arn/{RO}").status == 403
    assert ask(jon[URI], jon[TOKEN], headers={"Host": "evil.example"}).status == 403
    before = key_of(jon)
    assert cloud.actions == [GST, AR, AR]

    # Others of the family.
    until = ask(jon[URI], jon[TOKEN]).json()["Expiration"]
    found = c1.run("serve", "status", "--json").json()
    assert found["pid"] == server.process.pid
    assert (found["url"], found["profiles"][0]) == (url, {"profile": "jon", "expiration": until})
    shown = c1.run("serve", "status").stdout.splitlines()
    assert shown[0] == f"process {server.process.pid} serves at {url}"
    assert shown[1] == f"  jon  credentials until {until}"
    second = c1.run("serve", "jon")
    assert (second.status, second.stdout) == (1, "")
    assert second.stderr == (
        f"strongroom: error: serve: a server is running already: process {server.process.pid}, for jon, ro\n"
        "strongroom: hint: `strongroom serve stop` ends it; one serves as many profiles as you name\n"
    )
    stopped = c1.run("serve", "stop")
    assert (stopped.status, stopped.stdout) == (0, f"process {server.process.pid} has ended\n")
    status, stderr = server.end()
    assert status == 0
    assert "refused a request of 127.0.0.1" in stderr
    assert not any(token in stderr for token in (jon[TOKEN], ro[TOKEN]))
    assert c1.run("serve", "status").status == 1

    # What was evaluated before goes on.
    again = standing("jon", "r1")
    assert key_of(jon) == before
    assert ask(ro[URI], ro[TOKEN]).status == 403  # not served now
    kill_all(again.process)
    again.process.wait()
    third = standing("ro", "jon")
    assert third.banner == f"serving ro, jon at {url}\n"
    assert key_of(jon) == before
    assert ask(ro[URI], ro[TOKEN]).status == 200
    assert third.end(signal.SIGINT)[0] == 0


def test_only_programs_of_the_user(standing):
    """Another user who knows a token gets nothing; the tests' own user does."""
    if namespace.why_no_users():
        pytest.skip(namespace.why_no_users())
    server = standing("jon")
    jon = server.variables()
    words = [PYTHON, "-I", "-c", ASK, jon[URI], jon[TOKEN]]
    for uid, told in (
        (0, "200\n"),
        (1234, '403 {"Message":"refused: the client belongs to another user, number 1234"}'),
    ):
        command = as_user(uid, *words) if uid else words
        got = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE_SECONDS, cwd="/")
        assert got.stdout.strip() == told.strip()
    status, stderr = server.end()
    assert status == 0
    assert re.fullmatch(
        r"strongroom: warning: profile 'jon': once its session ends .*\n"
        r"(strongroom: warning: containers cannot be served: .*\n)?"  # where tests' files have long names
        r"strongroom: refused a request of 127\.0\.0\.1:\d+: the client belongs to another user, number 1234\n",
        stderr,
    )


def test_another_program_has_the_port(standing, c1):
    """A new one is taken, and new tokens: whoever has the old one was told the old ones."""
    c1.environ["XDG_STATE_HOME"] = str(c1.path / ("s" * 100))  # too long for sockets, which is no reason to end
    first = standing("jon", "--lazy")
    jon = first.variables("jon")
    assert first.end()[0] == 0
    port = int(jon[URI].split(":")[2].partition("/")[0])
    with socket.create_server(("127.0.0.1", port)):
        second = standing("jon", "--lazy")
        now = second.variables("jon")
        assert now[URI] != jon[URI]
        assert now[TOKEN] != jon[TOKEN]
        assert key_of(now)
        said = second.end()[1]
    assert f"warning: another program listens on port {port} now" in said
    assert "warning: containers cannot be served: Could not bind to " in said


def test_in_the_background(tty, c1, cloud):
    """Questions come to the terminal before it is let go of; the passphrase holds for later renewals."""
    c1.environ["XDG_STATE_HOME"] = str(c1.path / "s")
    lives = iter([1, 3600])
    original = cloud.issue
    cloud.issue = lambda kind, arn, duration, **more: original(kind, arn, next(lives), **more)
    try:
        streams = ("stdin", "stdout", "stderr")
        terminal = tty("serve", "--detach", "ro", env={"AWS_VAULT_FILE_PASSPHRASE": None}, streams=streams)
        terminal.expect("passphrase")
        terminal.wait_for_echo(on=False)
        terminal.send(f"{PASSPHRASE}\n")
        terminal.expect("serving ro at http")
        terminal.expect("goes on in the background")
        assert terminal.wait().status == 0  # the first of its session: all that is left there is hung up
        expired_at = time.time() + 1.1
        ro = c1.run("serve", "env", "ro", "--format=json").json()
        c1.config.write_text(c1.config.read_text().replace("[profile ro]", "[profile ro]\nregion = eu-west-1"))
        log = c1.path / "s" / "strongroom" / "serve" / "log"
        log.rename(f"{log}.old")
        os.kill(c1.run("serve", "status", "--json").json()["pid"], signal.SIGHUP)
        while time.time() < expired_at or not log.exists():
            time.sleep(0.05)
        assert key_of(ro)
    finally:
        del cloud.issue
        stopped = c1.run("serve", "stop")
    assert stopped.status == 0
    assert [call.region for call in cloud.calls] == ["us-east-1", "eu-west-1"]
    assert log.stat().st_mode & 0o777 == 0o600
    assert (c1.path / "s" / "strongroom" / "serve" / "state.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("end", ["hang up", "Ctrl-C"])
def test_in_the_foreground(tty, c1, end):
    """With its terminal it ends, as by Ctrl-C: it was asked to end, and that is no failure."""
    c1.environ["XDG_STATE_HOME"] = str(c1.path / "s")
    terminal = tty("serve", "ro", streams=("stdin", "stdout", "stderr"))
    terminal.expect("serving ro at http")
    if end == "Ctrl-C":
        terminal.send("\x03")
    else:
        os.kill(terminal.process.pid, signal.SIGHUP)
    assert terminal.wait().status == 0
    assert c1.run("serve", "status").status == 1


def test_a_background_that_cannot_begin(c1):
    """Its error is ours, and nothing is left."""
    result = c1.run("serve", "--detach", "nosuch")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("strongroom: error: serve: profile 'nosuch' not found")
    assert c1.run("serve", "status").status == 1


def test_a_store_that_wants_a_terminal(c1, cloud):
    """Is named at start, with --lazy too; nothing is asked of AWS."""
    env = {"AWS_VAULT_FILE_PASSPHRASE": None}
    first = c1.run("serve", "--prompt=terminal", "ro", env=env)
    assert first.status == 1
    assert "the keystore's passphrase is needed, and" in first.stderr
    lazy = c1.run("serve", "--prompt=terminal", "--lazy", "ro", env=env)
    assert lazy.status == 1
    assert lazy.stderr.startswith(
        "strongroom: error: serve: the file keystore wants its passphrase, and nobody can be asked for it: "
    )
    assert cloud.calls == []


def test_reading_anew(standing, c1, cloud):
    """SIGHUP has what the config file says now count now; the service manager is told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(c1.path / "notify"))
        manager.settimeout(PATIENCE_SECONDS)
        server = standing("ro", env={"NOTIFY_SOCKET": str(c1.path / "notify")})
        assert manager.recv(100) == b"READY=1"
        before = key_of(server.variables())
        c1.config.write_text(c1.config.read_text().replace(RO, ADM, 1))
        server.process.send_signal(signal.SIGHUP)
        assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(100) == b"READY=1"
        ro = server.variables()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while key_of(ro) == before:
            assert time.monotonic() < deadline
        assert ask(ro[URI], ro[TOKEN]).json()["RoleArn"] == ADM
        assert server.end()[0] == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_a_container(standing, c1, network):
    """What is in a network of its own reaches the server by what `docker-env` says: a relay and two variables."""
    if not os.path.exists("/usr/bin/socat"):
        pytest.skip("needs socat")
    server = standing("ro")
    result = c1.run("serve", "docker-env", "ro")
    assert result.status == 0
    flags = dict(line[2:].split("=", 1) for line in result.stdout.splitlines() if not line.startswith("--env"))
    environ = dict(line[6:].split("=", 1) for line in result.stdout.splitlines() if line.startswith("--env="))
    source = flags["mount"].split(",")[1].removeprefix("source=")
    relay = result.stderr.removeprefix("strongroom: in it: ").removesuffix(" &\n")
    port = int(environ[URI].split(":")[2].partition("/")[0])
    # The mount, as far as a test can make one.
    inside = ["sh", "-c", f"mkdir -p /run/strongroom && mount --bind '{source}' /run/strongroom && exec {relay}"]
    asks = """\
import botocore.session
credentials = botocore.session.Session().get_credentials()
print(credentials.method, credentials.get_frozen_credentials().access_key)
"""
    with subprocess.Popen(network.command(*inside)) as running:
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while True:
                with network.inside(), socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert running.poll() is None
                assert time.monotonic() < deadline
            got = subprocess.run(
                network.command(*python(asks)),
                env=environ,
                capture_output=True,
                text=True,
                timeout=PATIENCE_SECONDS,
                check=True,
            )
        finally:
            running.terminate()
    assert got.stdout == f"container-role {key_of(server.variables())}\n"
    assert server.end()[0] == 0
    assert not os.path.exists(os.path.join(source, "socket"))
    assert os.listdir(source) == ["token"]


def test_another_address(standing, c1, network):
    """With --listen it answers there too, whoever asks, if they know a token; and says so."""
    network.run("ip", "address", "add", "172.31.99.1/32", "dev", "lo")
    server = standing("jon", "--lazy", "--listen", "172.31.99.1:8080", "--from", "172.31.0.0/16",
                      wrap=lambda argv: network.command(*argv))  # fmt: skip
    jon = server.variables()
    with network.inside():
        for path, token, status in (("/profile/ro", jon[TOKEN], 403), ("/status", jon[TOKEN], 200), ("/", "x", 403)):
            assert ask("http://172.31.99.1:8080", token, path).status == status
        assert ask("http://172.31.99.1:8080", jon[TOKEN], "/status", headers={"Host": "evil.example"}).status == 403
    status, stderr = server.end()
    assert status == 0
    assert "warning: --listen: whoever reaches http://172.31.99.1:8080 and knows a token gets credentials" in stderr
