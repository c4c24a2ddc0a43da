import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys

import pytest

from fakes.mac import FakeMac, tcp
from harness import namespace
from harness.namespace import PYTHON, as_user
from strongroom.endpoints import scope
from strongroom.endpoints.libproc import Libproc
from strongroom.endpoints.scope import GONE, Scope, become_subreaper

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux, which tells whose a connection is")
STRANGER = "the client is none of the processes started here"

# Connects to a port, tells so, and stays until its input ends.
CLIENT = """
import socket, sys
c = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
sys.stdin.read()
"""


class Server:
    """A listener that asks a scope about whoever connects."""

    def __init__(self, judge):
        self.judge = judge
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.stack = contextlib.ExitStack()
        self.stack.enter_context(self.listener)

    def client(self, *prefix, program=CLIENT, python=sys.executable):
        """Start one, by way of the commands in *prefix*."""
        command = [*prefix, python, "-I", "-S", "-c", program, str(self.port)]
        client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd="/")
        self.stack.callback(client.communicate)
        assert client.stdout.readline() == "connected\n"
        return client

    def verdict(self):
        """Of whoever is next."""
        connection, remote = self.listener.accept()
        self.stack.enter_context(connection)
        return self.judge.refusal(connection.getsockname(), remote)


@pytest.fixture
def server():
    found = Server(Scope(os.getpid()))
    with found.stack:
        yield found


def run_server(body, *prefix, python=sys.executable, source=None):
    """What a server in a process of its own comes to: *body* prints it as JSON; it has `Server`'s parts and more."""
    program = f"import sys; sys.path.insert(0, {str(source or namespace.SOURCE)!r}); CLIENT = {CLIENT!r}\n{OWN}\n{body}"
    done = subprocess.run(
        [*prefix, python, "-I", "-c", program], capture_output=True, text=True, check=False, cwd="/", timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


OWN = """
import json, os, socket, struct, subprocess
from strongroom.endpoints.scope import Scope, become_subreaper
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(20)
port = str(listener.getsockname()[1])
kept = []
def client(*prefix):
    kept.append(subprocess.Popen([*prefix, sys.executable, "-I", "-S", "-c", CLIENT, port], stdin=subprocess.PIPE,
                                 stdout=subprocess.DEVNULL))
    return verdict()
def verdict():
    connection, remote = listener.accept()
    kept.append(connection)
    return judge.refusal(connection.getsockname(), remote)
judge = Scope(os.getpid())
"""


# Linux.


@LINUX
def test_the_family(server):
    """A child may, and what it started; so may one that is in another session."""
    server.client()
    assert server.verdict() == ""
    server.client("sh", "-c", '"$@"; true', "sh")
    assert server.verdict() == ""
    if shutil.which("setsid"):
        server.client("setsid", "--wait")
        assert server.verdict() == ""


@LINUX
def test_ourselves_and_strangers(server):
    """This process is the server, not one that it started; nor is one that another process started."""
    with socket.create_connection(server.listener.getsockname()):
        assert server.verdict() == STRANGER
    child = server.client()
    assert server.verdict() == ""
    server.judge = Scope(child.pid)
    server.client()
    assert server.verdict() == STRANGER


@LINUX
def test_ipv6():
    """A client of ::1, and one that reaches an address of IPv4 by a socket of IPv6."""
    judge = Scope(os.getpid())
    program = CLIENT.replace('("127.0.0.1", int(sys.argv[1]))', "(sys.argv[2], int(sys.argv[1]))")
    with socket.socket(socket.AF_INET6) as listener:
        try:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        listener.listen()
        port = str(listener.getsockname()[1])
        for host in ("::1", "127.0.0.1", "::ffff:127.0.0.1"):
            command = [sys.executable, "-I", "-S", "-c", program, port, host]
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
                connection, remote = listener.accept()
                with connection:
                    assert judge.refusal(connection.getsockname(), remote) == ""
                client.communicate()


ORPHANS = """
is_subreaper = {}
double = [sys.executable, "-I", "-S", "-c", '''
import os, sys
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        exec(sys.argv[2])
    os._exit(0)
''', port, CLIENT]
parent = subprocess.run(double, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
print(json.dumps([is_subreaper, verdict()]))
"""


@LINUX
def test_orphans():
    """A daemon, whose parents have ended, is still of the family if we are subreaper; it is a stranger otherwise."""
    waiting = ORPHANS.replace("exec(sys.argv[2])", 'exec(sys.argv[2].replace("sys.stdin.read()", "c.recv(1)"))')
    assert run_server(waiting.format("become_subreaper()")) == [True, ""]
    assert run_server(waiting.format("False")) == [False, STRANGER]


@LINUX
def test_sockets_that_are_handed_on(server):
    """It is asked who has the socket open, not who made it: heirs have it, and so has who got it over a Unix socket."""
    heir = """
import os, sys
exec(sys.argv[2].replace("sys.stdin.read()", "pass"))
os.set_inheritable(c.fileno(), True)
os.execvp("cat", ["cat"])
"""
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", heir, str(server.port), CLIENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    server.stack.callback(child.communicate)
    assert child.stdout.readline() == "connected\n"
    assert server.verdict() == ""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    taker = "import socket, sys; s = socket.socket(fileno=0); d = socket.recv_fds(s, 1, 1); s.send(b'.'); s.recv(1)"
    with ours, socket.create_connection(server.listener.getsockname()) as made_here:
        with theirs:
            child = subprocess.Popen([sys.executable, "-I", "-S", "-c", taker], stdin=theirs)
        socket.send_fds(ours, [b"."], [made_here.fileno()])
        assert ours.recv(1) == b"."
        assert server.verdict() == ""
        ours.shutdown(socket.SHUT_WR)
        child.wait()


@LINUX
def test_gone(server):
    """Who has closed already is not identified: it is not taken for root, whose number such sockets show."""
    child = server.client()
    child.communicate()
    assert server.verdict() == GONE


@LINUX
def test_a_port_that_passes_to_another():
    """Each connection is judged by itself: the same port in a stranger's hand is refused."""
    # From an address that nobody else connects from, where the port can be in no other use.
    body = """
CLIENT = CLIENT.replace("int(sys.argv[1]))", "int(sys.argv[1])), source_address=('127.77.0.1', 0)")
told = [client()]
before = kept[1].getpeername()
kept[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # the port is free at once
kept[1].close()
kept[0].communicate()
stranger = socket.socket()
stranger.bind(before)
stranger.connect(listener.getsockname())
print(json.dumps([*told, verdict()]))
"""
    assert run_server(body) == ["", STRANGER]


@LINUX
def test_a_process_that_cannot_be_looked_at():
    """One that keeps secrets from its own user; it is refused, and named. Root may look at it."""
    if namespace.why_no_users():
        pytest.skip(namespace.why_no_users())
    hiding = 'import ctypes; ctypes.CDLL(None).prctl(4, 0, 0, 0, 0); ctypes.CDLL(None).prctl(15, b"hiding")'
    body = f"""
CLIENT = CLIENT.replace("print", {hiding!r} + "; print")
kept.append(subprocess.Popen([sys.executable, "-I", "-c", CLIENT, port], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
kept[0].stdout.readline()
told = verdict()
print(json.dumps([told, kept[0].pid]))
"""
    with namespace.public_source() as source:
        told, pid = run_server(body, *as_user(1234), python=PYTHON, source=source)
        assert told == f"{STRANGER}, or one that cannot be looked at: hiding ({pid})"
        assert run_server(body, python=PYTHON, source=source)[0] == ""


@LINUX
def test_other_users(server):
    """For root's server two others are strangers, though it started them; so are root and another for a user's own."""
    if namespace.why_no_users():
        pytest.skip(namespace.why_no_users())
    for uid in (1234, 1235):
        server.client(*as_user(uid), python=PYTHON)
        assert server.verdict() == f"the client belongs to another user, number {uid}"
    body = """
told = [client()]
print(port, file=sys.stderr, flush=True)
told += [verdict() for _ in range(3)]
print(json.dumps(told))
"""
    with namespace.public_source() as source:
        program = f"import sys; sys.path.insert(0, {str(source)!r}); CLIENT = {CLIENT!r}\n{OWN}\n{body}"
        command = [*as_user(1234), PYTHON, "-I", "-c", program]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd="/") as theirs,
            contextlib.ExitStack() as stack,
        ):
            server.port = int(theirs.stderr.readline())
            for prefix in (as_user(1234), as_user(1235), []):
                stack.callback(server.client(*prefix, python=PYTHON).communicate)
            told = json.loads(theirs.stdout.read())
    assert told == [
        "",
        STRANGER,
        "the client belongs to another user, number 1235",
        "the client belongs to another user, number 0",
    ]


@LINUX
def test_a_user_namespace(server):
    """A child that has made itself root of its own little world, as sandboxes do, is still a child of ours."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-r", "true"], check=False).returncode:
        pytest.skip("there are no user namespaces here")
    server.client("unshare", "-r")
    assert server.verdict() == ""


@LINUX
def test_thousands_of_descriptors(server):
    """They take time, not the verdict."""
    many = "import os; kept = [os.dup(2) for _ in range(900)]\n" + CLIENT
    server.client(program=many)
    assert server.verdict() == ""


MANY = """
import socket, sys
kept = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(51)]
print("connected", flush=True)
sys.stdin.read()
"""


@LINUX
def test_many_connections_at_once(server, monkeypatch):
    """Of one process, which is looked at for the first and once for all others; a second later anew."""
    server.client(program=MANY)
    assert server.verdict() == ""
    looks = []
    sockets = scope.processes.sockets
    monkeypatch.setattr(scope.processes, "sockets", lambda *words: looks.append(1) or sockets(*words))
    assert [server.verdict() for _ in range(40)] == [""] * 40
    assert len(looks) == 1
    server.judge._finder._clock = lambda: 1e12
    assert server.verdict() == ""
    assert len(looks) == 2
    with socket.create_connection(server.listener.getsockname()):
        assert [server.verdict() for _ in range(10)] == [""] * 9 + [STRANGER]


TWICE = CLIENT.replace("sys.stdin.read()", "sys.stdin.readline()\n" + CLIENT)


@LINUX
def test_the_same_again(server, monkeypatch):
    """Who was right last time is looked at first, and found without a look at the others."""
    again = server.client(program=TWICE)
    assert server.verdict() == ""
    with monkeypatch.context() as patch:
        patch.setattr(scope.processes, "descendants", lambda *_: [])
        again.stdin.write("\n")
        again.stdin.flush()
        assert server.verdict() == ""
    server.client()
    assert server.verdict() == ""


@LINUX
def test_the_same_number_again(server, monkeypatch):
    """A process that was right once and is not below us any more, or hides now, is not what counts."""
    again = server.client(program=TWICE)
    assert server.verdict() == ""
    monkeypatch.setattr(scope.processes, "is_below", lambda *_: False)
    monkeypatch.setattr(scope.processes, "descendants", lambda *_: [])
    again.stdin.write("\n")
    again.stdin.flush()
    assert server.verdict() == STRANGER

    def refusing(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.undo()
    monkeypatch.setattr(scope.processes, "has_socket", refusing)
    with socket.create_connection(server.listener.getsockname()):
        assert server.verdict().startswith(f"{STRANGER}, or one that cannot be looked at: ")


@LINUX
def test_processes_that_come_and_go(server, monkeypatch):
    """As long as they do, a client is looked for again; but not for ever, and twice where nothing moves."""
    looks = []
    pids = iter(range(10**6, 10**7))
    monkeypatch.setattr(scope.processes, "descendants", lambda *_: looks.append(1) or [next(pids)])
    with socket.create_connection(server.listener.getsockname()):
        assert server.verdict() == STRANGER
    assert len(looks) == 5
    looks.clear()
    monkeypatch.setattr(scope.processes, "descendants", lambda *_: looks.append(1) or [])
    with socket.create_connection(server.listener.getsockname()):
        assert server.verdict() == STRANGER
    assert len(looks) == 3


@LINUX
def test_a_kernel_without_the_module(server, monkeypatch):
    """Where sock_diag knows no connection at all, not even our own end, the long list is read."""
    monkeypatch.setattr(scope.sock_diag, "owner", lambda *_: None)
    child = server.client()
    assert server.verdict() == ""
    with socket.create_connection(server.listener.getsockname()):
        assert server.verdict() == STRANGER
    child.communicate()
    server.client().communicate()
    assert server.verdict() == GONE


@LINUX
def test_a_kernel_that_does_not_say(server, monkeypatch):
    """The long list is read then too; without that, the reason is told."""

    def refusing(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(scope.sock_diag, "owner", refusing)
    server.client()
    assert server.verdict() == ""
    monkeypatch.setattr(scope.tcp_table, "rows", refusing)
    server.client()
    assert server.verdict() == "the client cannot be identified: Operation not permitted"


@LINUX
def test_the_processes_of_another_namespace(tmp_path):
    """Their numbers mean other processes than ours: nobody is identified by them."""
    (tmp_path / "self").symlink_to("1")
    judge = Scope(os.getpid(), proc=str(tmp_path))
    expected = "this system does not tell which process a connection is from: "
    assert judge.unavailable == f"{expected}{tmp_path} is not of this process's namespace"
    assert judge.refusal(("127.0.0.1", 80), ("127.0.0.1", 50_000)) == judge.unavailable
    assert Scope(os.getpid(), proc=str(tmp_path / "none")).unavailable == f"{expected}No such file or directory"


# Other systems.


def test_macos():
    """The connections of the processes below are compared with ours; nobody else's are looked at."""
    us, them = ("127.0.0.1", 80), ("127.0.0.1", 50_000)
    parents = {11: 10, 12: 11, 13: 10, 14: 1}
    fake = FakeMac(
        parents, {11: {0: None}, 12: {3: tcp(them, us)}, 14: {3: tcp(("127.0.0.1", 50_001), us)}}, closed=[13]
    )
    judge = Scope(10, platform="darwin", libproc=Libproc(fake))
    assert judge.unavailable == ""
    assert judge.refusal(us, them) == ""
    assert judge.refusal(("::ffff:127.0.0.1", 80, 0, 0), ("::ffff:127.0.0.1", 50_000, 0, 0)) == ""
    assert judge.refusal(us, ("127.0.0.1", 50_001)) == STRANGER
    assert judge.refusal(them, us) == STRANGER


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has its library")
def test_macos_without_its_library():
    """Then nobody is identified."""
    judge = Scope(10, platform="darwin")
    assert judge.unavailable.startswith("this system does not tell which process a connection is from: ")
    assert judge.refusal(("127.0.0.1", 80), ("127.0.0.1", 50_000)) == judge.unavailable


@pytest.mark.parametrize("platform", ["win32", "freebsd14"])
def test_systems_that_do_not_tell(platform):
    """Nobody is identified there, and it says so."""
    judge = Scope(10, platform=platform)
    assert judge.unavailable == f"{platform} does not tell which process a connection is from"
    assert judge.refusal(("127.0.0.1", 80), ("127.0.0.1", 50_000)) == judge.unavailable


def test_no_subreaper(monkeypatch):
    """Other systems have no such thing, and one that refuses is believed."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", "darwin")
        assert become_subreaper() is False

    class Refusing:
        def __init__(self, _name):
            pass

        def prctl(self, *_):
            return -1

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", Refusing)
    assert become_subreaper() is False
