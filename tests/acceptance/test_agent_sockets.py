"""Where the agent listens: TCP, Unix sockets, sockets of systemd's; who may come; what the service manager is told."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.agent import HEADER, PATIENCE_SECONDS, TOKEN, Agent, eventually, head, toml
from harness.launch import by_shell, by_unix, has_ipv6

if sys.platform == "win32":
    pytest.skip("Windows has neither users of this kind nor Unix sockets that Python knows", allow_module_level=True)

import pwd
import resource

SECRET = "/secretsmanager/get?secretId="
WORDS = ("agent", "sm")
UNCHECKED = {"validate_credentials": False}

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc and sockets without a file")
ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


@pytest.fixture
def known(secrets):
    return secrets.create()


@pytest.fixture
def failing(tmp_path, secrets):
    """Start an agent that must not get as far as its banner; returns what it said."""

    def start(**settings):
        result = Agent(tmp_path, secrets, **settings).ended()
        assert (result.status, result.stdout) == (1, ""), result
        assert "Traceback" not in result.stderr
        return result.stderr

    return start


# What the service manager is told.


class Manager:
    """The service manager's end: what it is told, in order."""

    def __init__(self, path):
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(os.path.relpath(path))
        self.socket.settimeout(PATIENCE_SECONDS)

    def told(self):
        return self.socket.recv(1000).decode()

    def is_told_nothing(self):
        self.socket.setblocking(False)
        try:
            return self.socket.recv(1000) == b""
        except BlockingIOError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_SECONDS)


@pytest.fixture
def manager():
    directory = tempfile.mkdtemp(dir="/tmp")  # a short path, which must be absolute
    made = Manager(Path(directory) / "notify")
    yield made
    made.socket.close()
    shutil.rmtree(directory)


@pytest.mark.parametrize("word", WORDS)
def test_the_service_manager(agent, manager, word):
    """Is told when requests are answered, when a reload begins and ends, and when the end comes; nothing else."""
    running = agent(word=word, env={"NOTIFY_SOCKET": str(manager.path)}, **UNCHECKED)
    assert manager.told() == "READY=1"
    for _ in range(2):
        running.signal(signal.SIGHUP)
        assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.told())
        assert manager.told() == "READY=1"
    running.config.write_text("x = 1")  # a reload that fails ends, too
    running.signal(signal.SIGHUP)
    assert manager.told().startswith("RELOADING=1\n")
    assert manager.told() == "READY=1"
    assert manager.is_told_nothing()
    running.stop()
    assert manager.told() == "STOPPING=1"
    assert manager.is_told_nothing()


def test_not_ready_before_aws_has_answered(tmp_path, secrets, manager):
    """As long as the credentials are being checked nobody is told that it is ready; if they are bad, never."""
    gate = secrets.hold("GetCallerIdentity")
    running = Agent(tmp_path, secrets, env={"NOTIFY_SOCKET": str(manager.path)})
    gate.wait_for()
    assert manager.is_told_nothing()
    gate.release()
    with running:
        assert manager.told() == "READY=1"
        assert running.ping().status == 200
    assert manager.told() == "STOPPING=1"
    directory = tmp_path / "bad"
    directory.mkdir()
    secrets.fail("GetCallerIdentity")
    result = Agent(directory, secrets, env={"NOTIFY_SOCKET": str(manager.path)}).ended()
    assert (result.status, manager.is_told_nothing()) == (1, True)


@linux
@pytest.mark.parametrize("address", ["@strongroom-nobody-listens-here", "/none/at/all", "relative", ""])
def test_no_service_manager(agent, known, address):
    """A manager that is not there is no fault."""
    running = agent(env={"NOTIFY_SOCKET": address}, **UNCHECKED)
    assert running.get(known).status == 200


# Sockets of systemd's.


@pytest.fixture
def activated(tmp_path, secrets, monkeypatch):
    """Start an agent through ``systemd-socket-activate -l`` *addresses*: it comes with the first connection."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not installed")
    with contextlib.ExitStack() as stack:

        def start(*addresses, env=None, **settings):
            names = sorted({"AWS_TOKEN", "PYTHONPATH", *secrets.environ, *(env or {})})
            options = [f"--listen={address}" for address in addresses] + [f"--setenv={name}" for name in names]
            by_shell(monkeypatch, tmp_path, f"exec systemd-socket-activate {shlex.join(options)} python")
            running = Agent(tmp_path, secrets, env=env, **UNCHECKED, **settings)
            stack.callback(running.kill)
            eventually(lambda: running.stderr.count("Listening on") == len(addresses), "listening")
            return running

        yield start


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.mark.parametrize("word", WORDS)
def test_started_by_a_connection(activated, tmp_path, known, word):
    """The first request, by whichever socket, starts it and is answered; the settings for sockets have no meaning then."""
    port, path = free_port(), tmp_path / "s"
    running = activated(f"127.0.0.1:{port}", str(path), word=word, own={"unix_socket": str(tmp_path / "t")})
    with by_unix(path) as wire:
        wire.get(f"{SECRET}{known}")
        assert wire.reply().value == "hunter2"
        wire.get("/ping")
        assert wire.reply().status == 200
    running.ready()
    assert running.port == port  # not the one of the config
    assert running.get(known).value == "hunter2"
    assert not (tmp_path / "t").exists()
    running.stop()
    assert path.exists()  # the manager's


def test_what_is_handed_over_is_no_listening_socket(tmp_path, secrets, monkeypatch):
    """It says which, and does not start."""
    by_shell(monkeypatch, tmp_path, "export LISTEN_PID=$$ LISTEN_FDS=1; exec python 3</dev/null")
    result = Agent(tmp_path, secrets, **UNCHECKED).ended()
    assert (result.status, result.stdout, result.stderr) == (
        1,
        "",
        "descriptor 3 from the service manager is no socket\n"
        "hint: use ListenStream= in the socket unit, with Accept=no\n",
    )


def test_variables_for_another_process(agent, known):
    """Our parent's are none of our business."""
    running = agent(env={"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}, **UNCHECKED)
    assert running.get(known).status == 200


# Ports.


@ipv6
@pytest.mark.parametrize(("word", "prefix"), [("agent", ""), ("sm", "Error: ")])
def test_another_program_has_the_port_of_ipv6(failing, word, prefix):
    """Then whoever asks for localhost might reach it instead of us: we do not start."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        told = failing(word=word, http_port=port, **UNCHECKED)
    assert re.match(
        rf"{prefix}Could not bind to \[::1\]:{port}: Address already in use \(os error \d+\)\n"
        r"hint: is another agent running\? choose another http_port, or end it\n$",
        told,
    )


def test_two_agents_with_one_port(agent, failing, known):
    """The second does not start, and the first does not notice."""
    first = agent(**UNCHECKED)
    for word in WORDS:
        told = failing(word=word, http_port=first.port, **UNCHECKED)
        assert f"Could not bind to 127.0.0.1:{first.port}: Address already in use" in told
    assert first.get(known).status == 200


def test_the_port_is_bound_first(tmp_path, secrets, known):
    """Whoever connects while AWS is still asked waits, and is answered then."""
    port = free_port()
    gate = secrets.hold("GetCallerIdentity")
    running = Agent(tmp_path, secrets, http_port=port)
    gate.wait_for()
    running.port = port
    with running.wire() as wire:
        wire.get(f"{SECRET}{known}")
        gate.release()
        assert wire.reply().value == "hunter2"
    with running:
        assert running.port == port


@ipv6
def test_every_door_answers_alike(agent, known):
    """By TCP over both protocols, and by the Unix socket; a Host matters by TCP alone."""
    running = agent(own={"unix_socket": "s"}, **UNCHECKED)
    path = running.directory / "s"
    doors = [running.wire, lambda: running.wire("::1"), lambda: by_unix(path)]
    asked = [
        head(f"{SECRET}{known}", f"{HEADER}: {TOKEN}"), head(f"/v1/{known}", f"{HEADER}: {TOKEN}"), head("/ping"),
        head(f"{SECRET}{known}"), head("/none", f"{HEADER}: {TOKEN}"), head(f"{SECRET}", f"{HEADER}: {TOKEN}"),
        head(f"{SECRET}{known}", f"{HEADER}: {TOKEN}", method="POST"), head("/v1/unknown", f"{HEADER}: {TOKEN}"),
        head(f"{SECRET}{known}", f"{HEADER}: {TOKEN}", version="1.0"),
    ]  # fmt: skip
    found = []
    for door in doors:
        with door() as wire:
            answers = []
            for each in asked:
                wire.send(each)
                reply = wire.reply()
                del reply.headers["date"]
                answers.append(reply)
            found.append(answers)
    assert found[0] == found[1] == found[2]
    assert [reply.status for reply in found[0]] == [200, 200, 200, 403, 404, 400, 405, 400, 200]
    elsewhere = head("/v1/x", "Host: evil.example", f"{HEADER}: {TOKEN}")
    statuses = []
    for door in doors:
        with door() as wire:
            wire.send(elsewhere)
            statuses.append(wire.reply().status)
    assert statuses == [421, 421, 400]


def test_an_early_end_frees_the_port(tmp_path, secrets, failing, known):
    """A start that AWS refuses leaves nothing behind: neither port nor Unix socket."""
    port = free_port()
    secrets.fail("GetCallerIdentity")
    failing(http_port=port, own={"unix_socket": "s"})
    assert not (tmp_path / "s").exists()
    with Agent(tmp_path, secrets, http_port=port, own={"unix_socket": "s"}) as running:
        assert running.get(known).status == 200
        assert (tmp_path / "s").exists()
    assert not (tmp_path / "s").exists()


# Unix sockets.


@pytest.fixture
def public():
    """A directory that every user may enter."""
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


def as_root(name):
    return pytest.mark.skipif(
        sys.platform == "win32" or os.geteuid() != 0 or shutil.which("setpriv") is None,
        reason=f"only root may {name}",
    )


def test_the_mode_of_the_socket(agent):
    """Nobody else may connect, unless that is set."""
    for mode, set_to in ((0o600, {}), (0o660, {"unix_socket_mode": "0660"}), (0o666, {"unix_socket_mode": "666"})):
        running = agent(own={"unix_socket": "s"} | set_to, **UNCHECKED)
        found = (running.directory / "s").stat()
        assert stat.S_ISSOCK(found.st_mode)
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (mode, os.geteuid())


@as_root("give a socket away")
@pytest.mark.parametrize("owner", ["nobody", "nobody:{gid}", "{uid}:{gid}", ":{gid}"])
def test_the_owner_of_the_socket(agent, owner):
    """A user, a group, or both, by name or by number."""
    nobody = pwd.getpwnam("nobody")
    text = owner.format(uid=nobody.pw_uid, gid=nobody.pw_gid)
    running = agent(own={"unix_socket": "s", "unix_socket_owner": text}, **UNCHECKED)
    found = (running.directory / "s").stat()
    user, colon, _ = owner.partition(":")
    assert (found.st_uid, found.st_gid) == (nobody.pw_uid if user else 0, nobody.pw_gid if colon else os.getegid())


def test_an_owner_that_is_none(failing, tmp_path):
    """It says so, and leaves nothing behind."""
    told = failing(own={"unix_socket": "s", "unix_socket_owner": "no-such-user"}, **UNCHECKED)
    assert told.startswith("unix_socket_owner: ")
    assert "no-such-user" in told
    assert not (tmp_path / "s").exists()


ASK = """
import socket, sys
path, head = sys.argv[1:]
with socket.socket(socket.AF_UNIX) as connection:
    try:
        connection.connect(path)
    except PermissionError:
        sys.exit("not permitted")
    connection.sendall(head.encode())
    print(connection.makefile("rb").read().split()[1].decode())
"""


def ask_as(user, path, *lines):
    """The status of an answer to a user's question for ``x``."""
    uid = pwd.getpwnam(user).pw_uid
    command = ["setpriv", f"--reuid={uid}", "--clear-groups", "/usr/bin/python3", "-IS", "-c", ASK, str(path)]
    asked = head("/v1/x", "Connection: close", *lines).decode()
    done = subprocess.run([*command, asked], capture_output=True, text=True, check=False, cwd="/")
    return done.stdout.strip() or done.stderr.strip()


@as_root("ask as another user")
def test_users(agent, secrets, public):
    """Who may not write to the socket does not get in; who is declared needs no token; everybody else does."""
    secrets.create("x")
    if ask_as("nobody", public / "none").count("FileNotFoundError") != 1:
        pytest.skip("only root may ask as another user, and not here")
    with_token = f"{HEADER}: {TOKEN}"
    shut, wide, declared = (public / name for name in ("shut", "wide", "declared"))
    agent(own={"unix_socket": shut}, **UNCHECKED)
    assert ask_as("nobody", shut, with_token) == "not permitted"
    assert (ask_as("root", shut), ask_as("root", shut, with_token)) == ("403", "200")
    agent(own={"unix_socket": wide, "unix_socket_mode": "0666"}, **UNCHECKED)
    for user in ("root", "nobody"):
        assert [ask_as(user, wide, *lines) for lines in ((), (with_token,), (f"{HEADER}: wrong",))] == [
            "403",
            "200",
            "403",
        ]
    rule = {"name": "worker", "uid": pwd.getpwnam("nobody").pw_uid, "secrets": ["x"]}
    running = agent(
        own={"unix_socket": declared, "unix_socket_owner": "nobody", "unix_socket_mode": "0600", "clients": [rule]},
        **UNCHECKED,
    )
    assert [ask_as("nobody", declared, *lines) for lines in ((), (with_token,), ())] == ["200", "200", "200"]
    assert [ask_as("root", declared, *lines) for lines in ((), (with_token,))] == ["403", "403"]
    assert running.fetch("/v1/x").status == 403  # the token alone is nobody's any more
    assert ask_as("nobody", declared) == "200"


def test_a_socket_left_behind(agent, tmp_path, secrets, known):
    """One that a killed agent left is replaced; the end removes it."""
    path = tmp_path / "s"
    killed = Agent(tmp_path, secrets, own={"unix_socket": path}, **UNCHECKED)
    try:
        killed.ready()
    finally:
        killed.kill()
    with pytest.raises(ConnectionRefusedError):
        by_unix(path)
    second = agent(own={"unix_socket": path}, **UNCHECKED)
    with by_unix(path) as wire:
        wire.get(f"{SECRET}{known}")
        assert wire.reply().value == "hunter2"
    second.stop()
    assert not path.exists()


def test_a_socket_of_a_living_one(agent, failing, tmp_path, known):
    """Stays with it; so does a file that is no socket, and one that took the place of ours."""
    path = tmp_path / "s"
    first = agent(own={"unix_socket": path}, **UNCHECKED)
    told = f"Could not bind to {path}: Address already in use (os error 98)\nhint: check unix_socket\n"
    if sys.platform == "linux":
        assert failing(own={"unix_socket": path}, **UNCHECKED) == told
    with by_unix(path) as wire:
        wire.get(f"{SECRET}{known}")
        assert wire.reply().status == 200
    path.unlink()
    path.write_text("a file")
    assert "Could not bind to" in failing(own={"unix_socket": path}, **UNCHECKED)
    first.stop()
    assert path.read_text() == "a file"


@pytest.mark.parametrize("word", WORDS)
def test_a_path_that_cannot_be(failing, word):
    """It says why."""
    prefix = {"agent": "", "sm": "Error: "}[word]
    told = failing(word=word, own={"unix_socket": "none/s"}, **UNCHECKED)
    assert told == (
        f"{prefix}Could not bind to none/s: No such file or directory (os error 2)\nhint: check unix_socket\n"
    )
    assert "108 bytes" in failing(word=word, own={"unix_socket": "x" * 108}, **UNCHECKED)


# Limits of the process.


def limit(running, name):
    """Its soft and its hard limit."""
    text = Path(f"/proc/{running.process.pid}/limits").read_text()
    return re.search(rf"^{name} +(\w+) +(\w+)", text, re.MULTILINE).groups()


@linux
def test_limits(agent, tmp_path, monkeypatch):
    """No core is ever written; descriptors suffice for the connections, as far as they may be had."""
    by_shell(monkeypatch, tmp_path, "ulimit -Sn 256; ulimit -Sc unlimited 2>/dev/null; exec python")
    running = agent(max_conn=1000, **UNCHECKED)
    assert limit(running, "Max core file size") == ("0", "0")
    soft, hard = limit(running, "Max open files")
    assert int(soft) == min(5024, int(hard))
    by_shell(monkeypatch, tmp_path, "ulimit -n 300; exec python")
    assert limit(agent(**UNCHECKED), "Max open files") == ("300", "300")


@linux
def test_a_thousand_idle_connections(agent, tmp_path, monkeypatch, known):
    """All stay, at a start with few descriptors; one that asks is answered."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 4096:
        pytest.skip("needs 2,000 descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    by_shell(monkeypatch, tmp_path, "ulimit -Sn 256; exec python")
    running = agent(max_conn=1000, **UNCHECKED)
    with contextlib.ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        idle = [stack.enter_context(socket.create_connection(("127.0.0.1", running.port))) for _ in range(1000)]
        for _ in range(10):
            assert running.get(known).value == "hunter2"
        assert running.ping().status == 200
        for each in idle[::100]:
            each.settimeout(PATIENCE_SECONDS)
        # The ones that had to make room are the oldest.
        idle[-1].sendall(head("/ping", "Connection: close"))
        assert idle[-1].makefile("rb").read().startswith(b"HTTP/1.1 200 ")
    assert running.get(known).value == "hunter2"


# Without uvloop.


@linux
@pytest.mark.parametrize("word", WORDS)
def test_without_uvloop(agent, tmp_path, secrets, known, word):
    """Where it is not installed asyncio's own loop does the same, on all sockets and for all signals."""
    (tmp_path / "uvloop.py").write_text("raise ImportError('not here')")
    uid = {"name": "me", "uid": os.getuid(), "secrets": ["*"]}
    token = tmp_path / "token"
    token.write_text(TOKEN)
    running = agent(
        word=word,
        env={"PYTHONPATH": str(tmp_path)},
        own={"unix_socket": "s", "clients": [uid, {"name": "all", "token_file": token, "secrets": ["*"]}]},
        **UNCHECKED,
    )
    assert "uvloop" not in Path(f"/proc/{running.process.pid}/maps").read_text()
    assert running.get(known).value == "hunter2"
    with by_unix(running.directory / "s") as wire:
        for _ in range(3):
            wire.send(head(f"{SECRET}{known}"))
            assert wire.reply().value == "hunter2"
    running.signal(signal.SIGHUP)
    running.wait_for_log("Configuration reloaded")
    running.config.write_text(toml({"http_port": 0, "ttl_seconds": 0}))
    gate = secrets.hold("GetSecretValue")
    with running.wire() as wire, running.wire() as silent:
        wire.get(f"{SECRET}{known}&refreshNow=true")
        gate.wait_for()
        running.signal(signal.SIGINT)
        running.wait_for_log("shutting down")
        assert silent.is_ended()
        gate.release()
        assert wire.reply().value == "hunter2"
        assert running.process.wait(PATIENCE_SECONDS) == 0
    assert not (running.directory / "s").exists()
