"""The address for real: in networks of the tests' own, as root and by sudo."""

import contextlib
import os
import pwd
import select
import signal
import socket
import subprocess
import sys

import pytest

from harness import namespace
from harness.namespace import ADDRESS, PYTHON, as_user
from strongroom.endpoints.metadata_address import helper_text, take
from strongroom.serve.sockets import CannotListen

if sys.platform != "linux":
    pytest.skip("network namespaces are Linux' own", allow_module_level=True)

AVAILABLE = f"{ADDRESS}:80"
OTHER_PORT = "--unprivileged takes another port"
NO_ROOT = "--unprivileged needs no root"
BY_HAND = (
    "root can prepare it: ip address add 169.254.169.254/32 dev lo scope host;"
    " sysctl -w net.ipv4.ip_unprivileged_port_start=80"
    " (and undo it: ip address del 169.254.169.254/32 dev lo; sysctl -w net.ipv4.ip_unprivileged_port_start=1024)"
)
PATIENCE_SECONDS = 20


class Talk(list):
    """What was said."""

    __call__ = list.append


@pytest.fixture
def taken(network):
    """Take the address in a network of its own: ``listener, keepalive = taken()``."""
    with contextlib.ExitStack() as stack:

        def begin(**settings):
            with network.inside():
                listener, keepalive = take(say=settings.pop("say", Talk()), **settings)
            stack.callback(keepalive.close)
            stack.enter_context(listener)
            return listener, keepalive

        yield begin


def connect(network, host=ADDRESS):
    with network.inside():
        return socket.create_connection((host, 80), timeout=PATIENCE_SECONDS)


def helper_of(network):
    """The number of the helper: of those in that network, the one that leads a session."""
    (found,) = [pid for pid in network.processes() if os.getsid(pid) == pid]
    return found


# For real, as root.


def test_as_root(network, taken):
    """It listens on that address of the loopback interface alone; at the end all is as it was. Without sudo."""
    said = Talk()
    listener, keepalive = taken(say=said)
    assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
    assert "scope host" in network.run("ip", "address", "show", "to", ADDRESS).stdout
    assert listener.getsockname() == (ADDRESS, 80)
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16) == b"lo\0"
    assert listener.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1
    assert (listener.getblocking(), listener.get_inheritable(), listener.proto) == (False, False, socket.IPPROTO_TCP)
    with connect(network) as client:
        connection, remote = listener.accept()
        with connection:
            assert remote == client.getsockname()
            assert remote[0] == ADDRESS
    listener.close()
    assert keepalive.close() == ""
    assert network.addresses() == ["127.0.0.1/8"]
    assert (said, keepalive.was_there, keepalive.fileno(), keepalive.close()) == ([], False, -1, "")


def test_a_second_one(network, taken):
    """The port is taken, by whom is said, and the first one keeps its address. When that has ended, it can be had."""
    listener, keepalive = taken()
    with pytest.raises(CannotListen) as refused:
        taken()
    assert refused.value.message.startswith(f"{AVAILABLE} is taken by process ")
    assert f"{os.getpid()} (" in refused.value.message
    assert refused.value.hint == f"end that; {OTHER_PORT}"
    assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
    listener.close()
    assert keepalive.close() == ""
    listener, keepalive = taken()
    connect(network).close()


def test_another_program_on_the_port(network, taken):
    """On all addresses, of another user: nothing is added."""
    if namespace.why_no_users():
        pytest.skip(namespace.why_no_users())
    network.run("sysctl", "-q", "-w", "net.ipv4.ip_unprivileged_port_start=80")
    program = "import socket, sys; s = socket.create_server(('0.0.0.0', 80)); print(flush=True); sys.stdin.read()"
    command = network.command(*as_user(1234, PYTHON, "-I", "-c", program))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"\n"
        with pytest.raises(CannotListen) as refused:
            taken()
        assert refused.value.message == f"{AVAILABLE} is taken by process {other.pid} (python3)"
        assert network.addresses() == ["127.0.0.1/8"]
        other.communicate()


def ended(pid):
    """Wait for the end of a process that is not our child."""
    with contextlib.suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            assert select.select([descriptor], [], [], PATIENCE_SECONDS)[0]
        finally:
            os.close(descriptor)


def test_the_helper_is_killed(network, taken):
    """The address stays; that can be seen and is told. The next one recognises it, uses it and takes it away."""
    listener, keepalive = taken()
    os.kill(helper_of(network), signal.SIGKILL)
    assert select.select([keepalive], [], [], PATIENCE_SECONDS)[0]
    connect(network).close()
    listener.close()
    expected = (
        "the helper has ended before its time: 169.254.169.254 stays on this machine until the next --ec2-server ends"
    )
    assert keepalive.close() == expected
    assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
    said = Talk()
    listener, keepalive = taken(say=said)
    assert said == ["169.254.169.254 was on this machine already; it is taken away at the end"]
    assert keepalive.was_there is True
    connect(network).close()
    listener.close()
    assert keepalive.close() == ""
    assert network.addresses() == ["127.0.0.1/8"]


def test_the_helper_is_told_to_end(network, taken):
    """As when the machine is shut down: it takes the address away. Ctrl-C is not for it."""
    _, keepalive = taken()
    helper = helper_of(network)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        os.kill(helper, number)
    connect(network).close()
    os.kill(helper, signal.SIGTERM)
    ended(helper)
    assert network.addresses() == ["127.0.0.1/8"]
    assert keepalive.close() == ""


TAKE = """
import sys
sys.path.insert(0, {source!r})
from strongroom.endpoints.metadata_address import take
from strongroom.serve.sockets import CannotListen
try:
    listener, keepalive = take(say=lambda line: print(line, flush=True), **{settings!r})
except CannotListen as error:
    print(error.message + " | " + error.hint, flush=True)
    raise SystemExit(1)
print("taken", flush=True)
sys.stdin.read()
listener.close()
print(keepalive.close(), flush=True)
"""


def taking(network, *prefix, python=sys.executable, source=namespace.SOURCE, streams=None, **settings):
    """A process that takes the address, and gives it back when its input ends."""
    streams = streams or {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT}
    program = TAKE.format(source=str(source), settings=settings)
    command = network.command(*prefix, python, "-I", "-c", program)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **streams)


def test_we_are_killed(network):
    """Then the address goes too."""
    with taking(network) as ours:
        assert ours.stdout.readline() == "taken\n"
        assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
        helper = helper_of(network)
        ours.kill()
    ended(helper)
    assert network.addresses() == ["127.0.0.1/8"]


def test_several_at_once(network):
    """One has it; the others say who, and do not take it away from that one."""
    several = [taking(network) for _ in range(4)]
    told = [each.stdout.readline() for each in several]
    assert told.count("taken\n") == 1
    assert sum(line.startswith(f"{AVAILABLE} is taken by ") for line in told) == 3
    winner = several[told.index("taken\n")]
    for loser in several:
        if loser is not winner:
            loser.communicate()
    assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
    connect(network).close()
    assert winner.communicate() == ("\n", None)
    assert network.addresses() == ["127.0.0.1/8"]


def test_what_others_have_added(network, taken):
    """An address of another tool's, with another prefix, stays as it is."""
    network.run("ip", "address", "add", f"{ADDRESS}/24", "dev", "lo", "label", "lo:0")
    listener, keepalive = taken()
    connect(network).close()
    listener.close()
    assert keepalive.close() == ""
    assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/24"]


def test_another_machine(network, taken):
    """A neighbour that sends to the address through a cable gets nothing, whatever the system would let pass."""
    with namespace.Namespace() as neighbour:
        network.run("ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", str(neighbour.pid))
        network.run("ip", "address", "add", "192.0.2.1/24", "dev", "cable")
        network.run("ip", "link", "set", "cable", "up")
        neighbour.run("ip", "address", "add", "192.0.2.2/24", "dev", "cable")
        neighbour.run("ip", "link", "set", "cable", "up")
        neighbour.run("ip", "route", "add", ADDRESS, "via", "192.0.2.1")
        listener, _ = taken()
        with network.inside(), socket.create_server((ADDRESS, 81)) as open_to_all:
            # It does get there: a port beside it, of a program that is not careful, can be reached.
            with neighbour.inside(), socket.create_connection((ADDRESS, 81), timeout=PATIENCE_SECONDS):
                pass
            open_to_all.accept()[0].close()
        with pytest.raises(ConnectionRefusedError):
            connect(neighbour)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_root_without_the_right(network):
    """As in a container: it says what is missing."""
    if namespace.why_no_users():
        pytest.skip(namespace.why_no_users())
    with taking(network, "setpriv", "--bounding-set=-net_admin") as ours:
        told, _ = ours.communicate()
    assert told == (
        f"cannot add {ADDRESS} to the loopback interface: Operation not permitted"
        f" | a container needs --cap-add NET_ADMIN; {NO_ROOT}\n"
    )
    assert network.addresses() == ["127.0.0.1/8"]


# For real, by sudo.

SUDOERS = """\
Defaults logfile={log}, loglinelen=0, use_pty, !lecture
{user} ALL=(root) {tag}
"""
PASSWORD = "open sesame"
# By `openssl passwd -6 -salt strongroom`.
HASH = "$6$strongroom$dGq3AjENTHGQa7mclvBK3Ps5VYewKYcDDbngMYaBB7TLW74FtcjHEkGeWm/3./0qTn9UMGnpQwIoVDQPBG7nE/"


@pytest.fixture
def other_user(network, tmp_path_factory):
    """An ordinary user in a network where sudo's rules are the test's own."""
    if namespace.why_no_users():
        pytest.skip(namespace.why_no_users())
    if network.run("sh", "-c", "command -v sudo || true").stdout.strip() != "/usr/bin/sudo":
        pytest.skip("there is no sudo here")
    with namespace.public_source() as source:
        yield OtherUser(network, source)


class OtherUser:
    name = "daemon"

    def __init__(self, network, source):
        self.network = network
        self.source = source
        self.uid = pwd.getpwnam(self.name).pw_uid
        self.log = source / "log"

    def may(self, tag):
        text = SUDOERS.format(log=self.log, user=self.name, tag=tag)
        self.network.write_over("/etc/sudoers", text, self.source, 0o440)

    def taking(self, *prefix, **settings):
        command = [*prefix, *as_user(self.uid), "env", "STRONGROOM_PASSPHRASE=canary"]
        return taking(self.network, *command, python=PYTHON, source=self.source, **settings)


def read(pid, name):
    with open(f"/proc/{pid}/{name}", encoding="utf-8") as file:
        return file.read()


def test_by_sudo(network, other_user):
    """The helper alone is root's, its text is in sudo's log, and all is as with root."""
    other_user.may("NOPASSWD: ALL")
    with other_user.taking() as ours:
        assert ours.stdout.readline() == f"sudo is asked for {AVAILABLE}, which only root can give\n"
        assert ours.stdout.readline() == "taken\n"
        helper = helper_of(network)
        argv, environ, status = (read(helper, name) for name in ("cmdline", "environ", "status"))
        assert argv.split("\0")[:5] == [PYTHON, "-I", "-S", "-c", helper_text()]
        assert "\nUid:\t0\t0\t0\t0\n" in status
        assert "canary" not in environ
        assert [os.readlink(f"/proc/{helper}/fd/{number}") for number in range(3)] == ["/dev/null"] * 3
        assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
        connect(network).close()
        told, _ = ours.communicate()
    assert told == "\n"
    assert network.addresses() == ["127.0.0.1/8"]
    logged = "".join(other_user.log.read_text().replace("#012", "").replace("\\", "").split())
    assert "".join(helper_text().replace("\\", "").split()) in logged


def test_sudo_says_no(other_user):
    """It is told, with what root could do instead."""
    other_user.may("NOPASSWD: /bin/true")
    with other_user.taking() as ours:
        told, _ = ours.communicate()
    assert told.splitlines()[0] == f"sudo is asked for {AVAILABLE}, which only root can give"
    assert told.splitlines()[-1] == (
        f"sudo did not start the helper for {ADDRESS} (exit status 1) | {BY_HAND}; {NO_ROOT}"
    )


def test_a_password(network, other_user):
    """sudo asks for it on the terminal."""
    other_user.may("ALL")
    network.write_over("/etc/shadow", f"{other_user.name}:{HASH}:19000:0:99999:7:::\n", other_user.source, 0o640)
    terminal, slave = os.openpty()
    with other_user.taking("setsid", "-c", "-w", streams={"stdin": slave, "stderr": slave}) as ours:
        shown = b""
        while b"password for" not in shown:
            assert select.select([terminal], [], [], PATIENCE_SECONDS)[0], shown
            shown += os.read(terminal, 1024)
        os.write(terminal, f"{PASSWORD}\n".encode())
        assert ours.stdout.readline() == f"sudo is asked for {AVAILABLE}, which only root can give\n"
        assert ours.stdout.readline() == "taken\n"
        (helper,) = [pid for pid in network.processes() if read(pid, "cmdline").startswith(f"{PYTHON}\0-I\0-S\0")]
        assert os.getsid(helper) == helper
        os.write(terminal, b"\x03")  # Ctrl-C there is for others
        assert ours.wait(PATIENCE_SECONDS) != 0
        ended(helper)
    os.close(terminal)
    os.close(slave)
    assert network.addresses() == ["127.0.0.1/8"]


def test_no_interpreter(network, other_user):
    """What only root can change there is none: root's commands are told. Once they have been run, no helper is needed."""
    with other_user.taking(interpreters=[str(other_user.source / "none")]) as ours:
        told, _ = ours.communicate()
    assert told == f"cannot take {AVAILABLE}: there is no Python that only root can change | {BY_HAND}; {NO_ROOT}\n"
    by_hand, undone = BY_HAND.removeprefix("root can prepare it: ").removesuffix(")").split(" (and undo it: ")
    network.run("sh", "-ec", by_hand)
    with other_user.taking(interpreters=[]) as ours:
        assert ours.stdout.readline() == "taken\n"
        connect(network).close()
        with other_user.taking(interpreters=[]) as second:
            told, _ = second.communicate()
        assert told == f"{AVAILABLE} is taken by process {ours.pid} (python3) | end that; {OTHER_PORT}\n"
        told, _ = ours.communicate()
    assert told == "\n"
    assert network.addresses() == ["127.0.0.1/8", f"{ADDRESS}/32"]
    network.run("sh", "-ec", undone)
    assert network.addresses() == ["127.0.0.1/8"]
