import os
import shutil
import socket
import subprocess
import sys
import uuid

import pytest

from strongroom.serve import systemd
from strongroom.serve.systemd import READY, STOPPING, ActivationError, listening, notify, reloading

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no service manager of this kind")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' sockets without a file")

SERVE = """
import os, sys
from strongroom.serve.systemd import listening
sockets = listening(os.environ, os.getpid())
inherited = [each.get_inheritable() for each in sockets]
print(len(sockets), *(each.family.name for each in sockets), *inherited, flush=True)
connection, _ = sockets[int(sys.argv[1])].accept()
connection.sendall(b"served")
connection.close()
"""


def receiver(address):
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(address)
    manager.setblocking(False)
    return manager


@pytest.fixture
def short(tmp_path, monkeypatch):
    """A place for sockets: their paths may have 107 bytes, so relative ones are used."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def descriptors(monkeypatch):
    """Pretend that the manager's descriptors begin behind ours."""

    def pretend(*files):
        first = os.dup(files[0])
        for offset, file in enumerate(files[1:], 1):
            os.dup2(file, first + offset)
        monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", first)
        return first

    # Numbers high enough that nobody else has the ones behind.
    blocked = []
    while not blocked or blocked[-1] < 200:
        blocked.append(os.open(os.devnull, os.O_RDONLY))
    yield pretend
    for each in blocked:
        os.close(each)


def activated(count, **others):
    return {"LISTEN_PID": "77", "LISTEN_FDS": str(count)} | others


# --- notify


@POSIX
def test_states(tmp_path):
    """Each is one datagram; the manager's socket is a path."""
    path = f"/tmp/strongroom-{uuid.uuid4().hex}"  # a short one
    with receiver(path) as manager:
        environ = {"NOTIFY_SOCKET": path}
        for state in (READY, reloading(lambda: 123_456_789), STOPPING):
            assert notify(environ, state)
        found = [manager.recv(100) for _ in range(3)]
    os.unlink(path)
    assert found == [b"READY=1", b"RELOADING=1\nMONOTONIC_USEC=123456", b"STOPPING=1"]


@LINUX
def test_a_socket_without_a_file():
    """An @ stands for the abstract name space."""
    name = f"strongroom-{uuid.uuid4().hex}"
    with receiver("\0" + name) as manager:
        assert notify({"NOTIFY_SOCKET": "@" + name}, READY)
        assert manager.recv(100) == b"READY=1"


def test_the_clock_of_a_reload():
    """It is the system's monotonic one."""
    import time

    before = time.monotonic_ns() // 1000
    told = int(reloading().removeprefix("RELOADING=1\nMONOTONIC_USEC="))
    assert before <= told <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    "address",
    [
        None,
        "",
        "relative",
        "vsock:2:1234",
        "/nonexistent/socket",
        "@",
        "/" + "x" * 200,
        "/a\0b",
        "@nobody-listens-here",
    ],
)
def test_no_manager(address):
    """Without one, or one that cannot be reached, nothing happens."""
    assert not notify({} if address is None else {"NOTIFY_SOCKET": address}, READY)


@LINUX
def test_a_manager_that_does_not_read(monkeypatch):
    """A full queue holds nobody up for long."""
    monkeypatch.setattr(systemd, "_PATIENCE_SECONDS", 0.01)
    name = f"strongroom-{uuid.uuid4().hex}"
    with receiver("\0" + name):
        for _ in range(10_000):
            if not notify({"NOTIFY_SOCKET": "@" + name}, READY):
                break
        else:
            pytest.fail("the queue is without end")


# --- socket activation


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "78", "LISTEN_FDS": "1"},
        {"LISTEN_PID": "", "LISTEN_FDS": "x"},
        {"LISTEN_PID": "077", "LISTEN_FDS": "1"},
    ],
)
def test_nothing_for_us(environ):
    """Without the variables, or with those of another process, our parent say, nothing was handed over."""
    assert listening(environ, 77) == []


@pytest.mark.parametrize("text", ["", "x", "-1", "1.5", " 1", "\u0661"])
def test_a_number_that_is_none(text):
    """The variable is for us and means nothing."""
    with pytest.raises(ActivationError) as raised:
        listening({"LISTEN_PID": "77", "LISTEN_FDS": text}, 77)
    assert raised.value.message == f"LISTEN_FDS is {text!r}, not a number of descriptors"


@POSIX
def test_sockets(descriptors, short):
    """Each is taken over as what it is, and closed to programs that we start."""
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_UNIX) as unix,
    ):
        unix.bind("socket")
        unix.listen()
        first = descriptors(tcp.fileno(), unix.fileno())
        found = listening(activated(2, LISTEN_FDNAMES="web:local"), 77)
        try:
            assert [each.fileno() for each in found] == [first, first + 1]
            assert [each.family for each in found] == [socket.AF_INET, socket.AF_UNIX]
            assert [each.getsockname() for each in found] == [tcp.getsockname(), "socket"]
            assert [each.get_inheritable() for each in found] == [False, False]
        finally:
            for each in found:
                each.close()
    assert listening(activated(0), 77) == []


@POSIX
def test_what_is_no_such_socket(descriptors, short):
    """The one that is wrong is told, by number and name; the good ones before it are not left open."""
    with (
        socket.create_server(("127.0.0.1", 0)) as good,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        socket.socket() as idle,
        open(os.devnull, "rb") as file,
    ):
        for wrong, reason in (
            (datagrams, "is no stream socket that listens"),
            (idle, "is no stream socket that listens"),
            (file, "is no socket"),
        ):
            first = descriptors(good.fileno(), wrong.fileno())
            with pytest.raises(ActivationError) as raised:
                listening(activated(2, LISTEN_FDNAMES="web:odd"), 77)
            assert raised.value.message == f"descriptor {first + 1} ('odd') from the service manager {reason}"
            assert raised.value.hint == "use ListenStream= in the socket unit, with Accept=no"
            with pytest.raises(OSError):
                os.fstat(first)
            if wrong is file:
                os.close(first + 1)


@POSIX
def test_a_descriptor_that_is_not_open(descriptors):
    """More are promised than there are."""
    with socket.create_server(("127.0.0.1", 0)) as good:
        first = descriptors(good.fileno())
        with pytest.raises(ActivationError) as raised:
            listening(activated(2), 77)
    assert raised.value.message == (f"descriptor {first + 1} from the service manager is not open: Bad file descriptor")


@pytest.mark.parametrize("which", [0, 1])
def test_the_real_thing(short, which):
    """systemd's own tool opens a port and a Unix socket; whoever connects to either is served by us."""
    if not shutil.which("systemd-socket-activate"):
        pytest.skip("systemd-socket-activate is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = short / "s"
    command = ["systemd-socket-activate", "-l", f"127.0.0.1:{port}", "-l", str(path), "--fdname=web:local"]
    with subprocess.Popen(
        [*command, sys.executable, "-c", SERVE, str(which)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as manager:
        told = [manager.stderr.readline(), manager.stderr.readline()]
        assert all("Listening on" in line for line in told), told
        if which == 0:
            connection = socket.create_connection(("127.0.0.1", port))
        else:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(os.path.relpath(path))
        with connection:
            assert connection.makefile("rb").read() == b"served"
        assert manager.stdout.read() == "2 AF_INET AF_UNIX False False\n"
    assert manager.returncode == 0


def test_nothing_heavy_at_start():
    """The start loads it, so it loads no more than it needs."""
    script = "import strongroom.serve.systemd; print(*({'asyncio', 'typing', 'logging'} & set(sys.modules)))"
    command = [sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = sys.argv[1:]; " + script, *sys.path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
