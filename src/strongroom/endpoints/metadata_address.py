"""The address of Amazon EC2's metadata service, 169.254.169.254:80, on this machine.

Only root may add an address and listen on such a port. A small helper does, whose whole text stands in the log of sudo:
it passes the listening socket to us and, when we end in whatever way, takes the address away (address_helper.py). What
answers requests is never root's.
"""

from __future__ import annotations

import contextlib
import errno
import importlib.resources
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from strongroom.endpoints import address_helper, processes, roots_own, tcp_table
from strongroom.serve.peer import uid_of
from strongroom.serve.sockets import CannotListen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ADDRESS = address_helper.ADDRESS
PORT = address_helper.PORT

# Where systems have a Python of their own. On macOS /usr/bin/python3 is a stand-in, which opens a window where the
# command line tools are missing.
INTERPRETERS = {
    "linux": (
        "/usr/bin/python3",
        "/usr/libexec/platform-python",
        "/usr/local/bin/python3",
        "/run/current-system/sw/bin/python3",
    ),
    "darwin": ("/Library/Developer/CommandLineTools/usr/bin/python3", "/usr/local/bin/python3"),
}
PROGRAMS = "/usr/bin:/bin:/usr/sbin:/sbin:/usr/local/bin:/run/wrappers/bin:/opt/local/bin"

# The helper is through in milliseconds once it has connected. Until then it may take as long as it likes: a password is
# typed meanwhile.
ANSWER_SECONDS = 20.0
_CHECK_SECONDS = 0.05
_END_SECONDS = 5.0
_MESSAGE_BYTES = 64

_UNPRIVILEGED = "--unprivileged needs no root"
_OTHER_PORT = "--unprivileged takes another port"
# What root can do once instead of the helper, so that we may listen ourselves; and how it is undone.
_BY_HAND = {
    "linux": (
        "root can prepare it: ip address add 169.254.169.254/32 dev lo scope host;"
        " sysctl -w net.ipv4.ip_unprivileged_port_start=80"
        " (and undo it: ip address del 169.254.169.254/32 dev lo; sysctl -w net.ipv4.ip_unprivileged_port_start=1024)"
    ),
    "darwin": "xcode-select --install brings such a Python",
}


class Keepalive:
    """As long as this is open, the address is there. It ends with this process, however that ends.

    Args:
        connection: To the helper; None if there is none, and nothing to take away.

    Attributes:
        was_there: Whether the address was there before: left by a helper that was killed, or added by the user.
    """

    def __init__(self, connection: socket.socket | None, *, was_there: bool) -> None:
        self._connection = connection
        self.was_there = was_there

    def fileno(self) -> int:
        """What can be read from once the helper has gone before its time; -1 if there is none."""
        return -1 if self._connection is None else self._connection.fileno()

    def close(self) -> str:
        """Have the address taken away, and wait for that. The listening socket is to be closed before.

        Returns:
            What is left over; empty if nothing is.
        """
        if self._connection is None:
            return ""
        told = b""
        with self._connection as connection, contextlib.suppress(OSError):
            connection.settimeout(ANSWER_SECONDS)
            connection.shutdown(socket.SHUT_WR)
            while data := connection.recv(_MESSAGE_BYTES):
                told += data
        self._connection = None
        if told == b"removed\n":
            return ""
        return f"the helper has ended before its time: {ADDRESS} stays on this machine until the next --ec2-server ends"


def take(
    *,
    platform: str = sys.platform,
    uid: int | None = None,
    interpreters: Sequence[str] | None = None,
    programs: str = PROGRAMS,
    directory: str | None = None,
    say: Callable[[str], None],
) -> tuple[socket.socket, Keepalive]:
    """Listen on 169.254.169.254:80 of the loopback interface. Waits for a password that sudo may ask for.

    Args:
        platform: As in `sys.platform`.
        uid: Whom we act as, by default as the system says; root needs no sudo.
        interpreters: Paths of Pythons that may be root's own; by default those that systems have, and this one.
        programs: Directories, as in ``PATH``, in which sudo is.
        directory: Where a directory is made for the time of the talk with the helper.
        say: Is told what happens.

    Returns:
        The listening socket, which does not block, and what keeps the address.

    Raises:
        CannotListen: It cannot be had; the hint tells how it could.
    """
    if platform not in INTERPRETERS:
        raise CannotListen(f"{ADDRESS}:{PORT} cannot be taken on {platform}", _UNPRIVILEGED)
    uid = os.geteuid() if uid is None else uid
    if uid == 0:
        return _from_helper([sys.executable], uid, directory, platform, say)
    if interpreters is None:
        interpreters = (*INTERPRETERS[platform], os.path.realpath(sys.executable))
    interpreter = roots_own.interpreter(interpreters)
    sudo = shutil.which("sudo", path=programs)
    if interpreter is None:
        return _without_helper("there is no Python that only root can change", platform)
    if sudo is None or not roots_own.belongs(os.path.abspath(sudo)):
        return _without_helper("there is no sudo", platform)
    say(f"sudo is asked for {ADDRESS}:{PORT}, which only root can give")
    return _from_helper([sudo, "--", interpreter], uid, directory, platform, say)


def helper_text() -> str:
    """What root runs."""
    return importlib.resources.files(__package__).joinpath("address_helper.py").read_text(encoding="utf-8")


# With the helper.


def _from_helper(
    begin: Sequence[str], uid: int, directory: str | None, platform: str, say: Callable[[str], None]
) -> tuple[socket.socket, Keepalive]:
    with contextlib.ExitStack() as at_the_end:
        with _door(directory) as (door, path):
            process = _started([*begin, "-I", "-S", "-c", helper_text(), path, str(uid)], platform)
            at_the_end.callback(_reap, process)
            connection = _accepted(door, process, begin[0], platform)
        with contextlib.ExitStack() as if_it_fails:
            if_it_fails.enter_context(connection)
            message, listener = _received(connection, platform)
            if_it_fails.pop_all()
    was_there = message == "listening found"
    if was_there:
        say(f"{ADDRESS} was on this machine already; it is taken away at the end")
    return listener, Keepalive(connection, was_there=was_there)


@contextlib.contextmanager
def _door(directory: str | None) -> Iterator[tuple[socket.socket, str]]:
    """A Unix socket that nobody but we and root get to, and its path; for as long as it takes to connect."""
    with contextlib.ExitStack() as stack:
        try:
            private = stack.enter_context(tempfile.TemporaryDirectory(prefix="strongroom-", dir=directory))
        except OSError as error:
            reason = f"cannot make a directory for the talk with the helper: {error}"
            raise CannotListen(reason, "set TMPDIR to one that can be written to") from error
        path = os.path.join(private, "s")
        door = stack.enter_context(socket.socket(socket.AF_UNIX))
        try:
            door.bind(path)
            door.listen(1)
        except OSError as error:
            reason = f"cannot wait for the helper at {path!r}: {error.strerror or error}"
            raise CannotListen(reason, "set TMPDIR to a directory with a shorter path") from error
        yield door, path


def _started(command: list[str], platform: str) -> subprocess.Popen[bytes]:
    try:
        # Nothing of our environment, which may hold secrets, is shown to what runs as root. What sudo has to say to the
        # user, it says on our standard error.
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env={"PATH": PROGRAMS})
    except OSError as error:
        raise CannotListen(f"cannot run {command[0]!r}: {error.strerror}", _advice(platform)) from error


def _reap(process: subprocess.Popen[bytes]) -> None:
    """Wait for sudo, which ends when the helper has put itself into the background, or when nobody listens any more."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END_SECONDS)


def _accepted(door: socket.socket, process: subprocess.Popen[bytes], program: str, platform: str) -> socket.socket:
    """The helper's connection."""
    door.settimeout(_CHECK_SECONDS)
    has_ended = False
    while True:
        try:
            connection, _ = door.accept()
            break
        except TimeoutError:
            if has_ended:
                name = os.path.basename(program)
                reason = f"{name} did not start the helper for {ADDRESS} (exit status {process.returncode})"
                raise CannotListen(reason, _advice(platform)) from None
            has_ended = process.poll() is not None
    owner = uid_of(connection)
    if owner != 0:
        connection.close()
        raise CannotListen(f"the helper for {ADDRESS} runs as user {owner}, not as root", _advice(platform))
    connection.settimeout(ANSWER_SECONDS)
    return connection


def _received(connection: socket.socket, platform: str) -> tuple[str, socket.socket]:
    """What the helper says, and the socket that it passes."""
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, _MESSAGE_BYTES, 1, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
    except OSError as error:
        reason = f"the helper for {ADDRESS} does not answer: {error.strerror or error}"
        raise CannotListen(reason, _UNPRIVILEGED) from error
    message = data.decode(errors="replace").partition("\n")[0]
    if not descriptors:
        raise _refusal(message, platform)
    os.set_inheritable(descriptors[0], False)
    listener = socket.socket(fileno=descriptors[0])
    is_right = (
        listener.family == socket.AF_INET
        and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        and listener.getsockname() == (ADDRESS, PORT)
    )
    if not is_right:
        listener.close()
        raise CannotListen(f"the helper has brought something else than {ADDRESS}:{PORT}", _UNPRIVILEGED)
    return message, _prepared(listener)


def _prepared(listener: socket.socket) -> socket.socket:
    """Accepted sockets have it too: nothing that is sent gets past a router."""
    listener.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
    listener.setblocking(False)
    return listener


def _refusal(message: str, platform: str) -> CannotListen:
    """``failed STEP ERRNO``, in words."""
    _, step, number = [*message.split(), "", "", ""][:3]
    if not number.isdecimal():
        return CannotListen(f"the helper for {ADDRESS} has ended without a word", _UNPRIVILEGED)
    return _failure(step, int(number), platform)


def _failure(step: str, number: int, platform: str) -> CannotListen:
    reason = os.strerror(number)
    if step == "listen" and number == errno.EADDRINUSE:
        return CannotListen(
            f"{ADDRESS}:{PORT} is taken by {_taker(platform)}",
            f"end that; {_OTHER_PORT}",
        )
    if step == "listen":
        return CannotListen(f"cannot listen on {ADDRESS}:{PORT}: {reason}", _UNPRIVILEGED)
    if step == "add":
        hint = f"a container needs --cap-add NET_ADMIN; {_UNPRIVILEGED}" if number == errno.EPERM else _UNPRIVILEGED
        return CannotListen(f"cannot add {ADDRESS} to the loopback interface: {reason}", hint)
    return CannotListen(f"cannot keep {ADDRESS}:{PORT} to the loopback interface: {reason}", _UNPRIVILEGED)


def _taker(platform: str, proc: str = "/proc") -> str:
    """Who listens on the port, as far as we may know."""
    if platform == "linux":
        with contextlib.suppress(OSError):
            hosts = (ADDRESS, "0.0.0.0", "::")  # noqa: S104 - compared, not listened on
            rows = [row for row in tcp_table.rows(proc) if row.state == tcp_table.LISTENING and row.local[1] == PORT]
            rows = sorted((row for row in rows if row.local[0] in hosts), key=lambda row: hosts.index(row.local[0]))
            for row in rows[:1]:
                found = [f"{pid} ({processes.name_of(pid, proc)})" for pid in processes.holders(row.inode, proc)]
                return f"process {', '.join(found)}" if found else f"a process of user {_user(row.uid)}"
        return "another program"
    return f"another program (sudo lsof -nP -iTCP:{PORT} -sTCP:LISTEN tells which)"


def _user(uid: int) -> str:
    try:
        import pwd

        return f"{pwd.getpwuid(uid).pw_name} ({uid})"
    except (ImportError, KeyError):
        return str(uid)


# Without.


def _without_helper(reason: str, platform: str) -> tuple[socket.socket, Keepalive]:
    """Listen ourselves, where root has prepared it."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sys.platform == "linux":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        listener.bind((ADDRESS, PORT))
        listener.listen(address_helper.BACKLOG)
        return _prepared(listener), Keepalive(None, was_there=True)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise _failure("listen", error.errno, platform) from error
        raise CannotListen(f"cannot take {ADDRESS}:{PORT}: {reason}", _advice(platform)) from error


def _advice(platform: str) -> str:
    return f"{_BY_HAND[platform]}; {_UNPRIVILEGED}"
