"""Sockets to listen on, of this machine only."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
import sys
from importlib import import_module

from strongroom.errors import StrongroomError

# What sockaddr_un holds, less the NUL: unix(7).
UNIX_PATH_BYTES = 107
# The one after it stands for "leave it as it is": chown(2).
HIGHEST_ID = 2**32 - 2
_TRIES = 20
_OTHER_PORT = "is another agent running? choose another http_port, or end it"


class CannotListen(StrongroomError):
    """An address cannot be listened on."""


def loopback(port: int) -> list[socket.socket]:
    """Sockets bound to *port* on 127.0.0.1 and, where this machine has it, on ::1; port 0 lets the system choose.

    Raises:
        CannotListen: The port is taken, on either.
    """
    for attempt in range(_TRIES):
        first = _bound(socket.AF_INET, "127.0.0.1", port)
        chosen = first.getsockname()[1]
        try:
            second = _bound(socket.AF_INET6, "::1", chosen)
        except CannotListen as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno != errno.EADDRINUSE:
                return [first]  # no IPv6 here
            first.close()
            if port or attempt == _TRIES - 1:
                raise
            continue
        return [first, second]
    raise AssertionError


def tcp(host: str, port: int, hint: str) -> socket.socket:
    """A socket bound to *port* of one address; port 0 lets the system choose.

    Args:
        host: The address, as numbers.
        port: The port.
        hint: What to do if it is taken.

    Raises:
        CannotListen: It is taken, or is none of this machine's.
    """
    return _bound(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port, hint)


def _bound(family: socket.AddressFamily, host: str, port: int, hint: str = _OTHER_PORT) -> socket.socket:
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    bound: socket.socket | None = None
    try:
        # By its protocol asyncio knows that it is for TCP, and does not have small answers wait (TCP_NODELAY).
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        if sys.platform == "win32":
            # There SO_REUSEADDR would let another program take the port from under us.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if ipaddress.ip_address(host).is_loopback:
            one_hop(bound)
        bound.bind((host, port))
        # Clients that connect while AWS is still asked wait here.
        bound.listen(1024)
        bound.setblocking(False)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise CannotListen(f"Could not bind to {shown}: {error.strerror} (os error {error.errno})", hint) from error
    return bound


def one_hop(listening: socket.socket) -> None:
    """Let no packet get past a router, where the system lets us say so; what is accepted from a socket has it too."""
    with contextlib.suppress(OSError):
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
        else:
            listening.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)


if sys.platform != "win32":

    def unix(path: str, mode: int, owner: tuple[int, int]) -> socket.socket:
        """A socket bound to a path of the file system.

        Args:
            path: Where.
            mode: Its permission bits: who may connect.
            owner: Its user and group id; -1 leaves one as it is.

        Raises:
            CannotListen: The path is none, too long or taken, or the owner cannot be set.
        """
        if len(os.fsencode(path)) > UNIX_PATH_BYTES:
            raise CannotListen(
                f"Could not bind to {path}: a socket's path has at most {UNIX_PATH_BYTES} bytes", "choose a shorter one"
            )
        if not path or "\0" in path:
            raise CannotListen(f"Could not bind to {path!r}: this is no path", "check unix_socket")
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made = None
        try:
            _remove_dead(path)
            # Nobody else may connect between the two steps. (The mask is the process's, which has one thread yet.)
            before = os.umask(0o177)
            try:
                bound.bind(path)
            finally:
                os.umask(before)
            made = identity(path)
            if owner != (-1, -1):
                os.chown(path, *owner)
            os.chmod(path, mode)
            bound.listen(1024)
            bound.setblocking(False)
        except OSError as error:
            bound.close()
            remove(path, made)
            raise CannotListen(
                f"Could not bind to {path}: {error.strerror} (os error {error.errno})", "check unix_socket"
            ) from error
        return bound

    def owner(text: str | None) -> tuple[int, int]:
        """The ids of ``user``, ``user:group`` or ``:group``, by name or number; -1 for what is not given.

        Raises:
            CannotListen: There is no such user or group.
        """
        user, _, group = (text or "").partition(":")
        try:
            uid = _number(user) if user else -1
            gid = _number(group) if group else -1
            if uid is None:
                uid = import_module("pwd").getpwnam(user).pw_uid
            if gid is None:
                gid = import_module("grp").getgrnam(group).gr_gid
        except (KeyError, ValueError) as error:
            raise CannotListen(f"unix_socket_owner: {error.args[0]}", "check the names in unix_socket_owner") from error
        return uid, gid

    def _number(text: str) -> int | None:
        """An id that is given as such; None for a name."""
        if not (text.isascii() and text.isdigit()):
            return None
        if int(text) > HIGHEST_ID:
            raise ValueError(f"no id is above {HIGHEST_ID}: {text!r}")
        return int(text)

    def _remove_dead(path: str) -> None:
        """Remove a socket that nobody listens on any more, if it is ours; whatever else is there stays."""
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode) or found.st_uid != os.geteuid():
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
            except OSError:
                return

    def identity(path: str) -> tuple[int, int] | None:
        """What tells this socket from a later one at the same path; None when there is none."""
        try:
            found = os.lstat(path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def remove(path: str, made: tuple[int, int] | None) -> None:
        """Remove a socket that `identity` told of; one that has taken its place stays."""
        if made is not None and identity(path) == made:
            with contextlib.suppress(OSError):
                os.unlink(path)
