"""The service manager's side of a server: sockets that it opened for us, and words to it about our state.

The protocols are plain enough to need no library: sd_notify(3), section "Standalone Implementations", and
sd_listen_fds(3). Other supervisors speak them too.
"""

from __future__ import annotations

import os
import socket
import stat
import sys
import time

from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

READY = "READY=1"
STOPPING = "STOPPING=1"

# SD_LISTEN_FDS_START
FIRST_DESCRIPTOR = 3

# For which a full queue of the manager's may hold us up.
_PATIENCE_SECONDS = 1.0


class ActivationError(StrongroomError):
    """What the service manager handed over is no socket that can be served."""


def reloading(clock: Callable[[], int] = time.monotonic_ns) -> str:
    """Return the state of a server that reads its configuration again; `READY` ends it."""
    return f"RELOADING=1\nMONOTONIC_USEC={clock() // 1000}"


def notify(environ: Mapping[str, str], state: str) -> bool:
    """Tell the service manager our state, if there is one; never raises.

    Args:
        environ: The environment; ``NOTIFY_SOCKET`` names the manager's socket.
        state: `READY`, `STOPPING`, what `reloading` returns, or any other assignments, one a line.

    Returns:
        Whether somebody took it.
    """
    address = environ.get("NOTIFY_SOCKET", "")
    if sys.platform == "win32" or address[:1] not in {"/", "@"}:
        return False
    if address.startswith("@"):  # the abstract name space
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
            speaker.settimeout(_PATIENCE_SECONDS)
            speaker.sendto(state.encode(), address)
    except (OSError, ValueError):
        return False
    return True


def listening(environ: Mapping[str, str], pid: int) -> list[socket.socket]:
    """Return the sockets that the service manager opened for us; none if it opened none, or for another process.

    They are ours to close, and no program that we start inherits them.

    Args:
        environ: The environment, with ``LISTEN_PID``, ``LISTEN_FDS`` and maybe ``LISTEN_FDNAMES``.
        pid: Our process.

    Raises:
        ActivationError: A descriptor is not a stream socket that listens.
    """
    if environ.get("LISTEN_PID", "") != str(pid):
        return []
    text = environ.get("LISTEN_FDS", "")
    if not (text.isascii() and text.isdecimal()):
        raise ActivationError(f"LISTEN_FDS is {text!r}, not a number of descriptors")
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    sockets: list[socket.socket] = []
    try:
        for index in range(int(text)):
            name = names[index] if index < len(names) else ""
            sockets.append(_listening(FIRST_DESCRIPTOR + index, name))
    except ActivationError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _listening(descriptor: int, name: str) -> socket.socket:
    called = f"descriptor {descriptor}" + (f" ({name!r})" if name else "")
    hint = "use ListenStream= in the socket unit, with Accept=no"
    try:
        os.set_inheritable(descriptor, False)
        is_socket = stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError as error:
        raise ActivationError(f"{called} from the service manager is not open: {error.strerror}") from error
    if not is_socket:
        raise ActivationError(f"{called} from the service manager is no socket", hint)
    opened = socket.socket(fileno=descriptor)
    if opened.type != socket.SOCK_STREAM or not opened.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        opened.close()
        raise ActivationError(f"{called} from the service manager is no stream socket that listens", hint)
    return opened
