"""What strongroom runs as root to have 169.254.169.254:80, where SDKs look for Amazon EC2's metadata service.

    python3 -I -S -c THIS-TEXT SOCKET UID

Listens there, on the loopback interface only, passes the listening socket to the program of user UID that waits at the
Unix socket SOCKET, and takes the address away when that program ends. It answers no request and obeys no other word.
It is in the words of Python 3.6, for any interpreter that a system may have.
"""

import contextlib
import errno
import os
import signal
import socket
import struct
import subprocess
import sys

ADDRESS = "169.254.169.254"
PORT = 80
BACKLOG = 1024
LINUX = sys.platform == "linux"
IP_FREEBIND = 15  # Linux, ip(7): an address may be bound to before there is one
IP_BOUND_IF = 25  # macOS, netinet/in.h


def main(path: str, uid: int) -> None:
    """Take the address for the program at *path*, and give it back when that ends."""
    door = socket.socket(socket.AF_UNIX)
    door.connect(path)
    if uid_of(door) != uid:
        door.close()
        raise SystemExit("the program that asks is not that user's")
    # Away from the terminal, whose Ctrl-C is meant for others.
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, end)
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    serve(door)


def serve(door: socket.socket) -> None:
    """Listen, pass the socket on, wait."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    is_ours = False
    step = "restrict"
    try:
        try:
            # What is left of earlier connections is no obstacle; another listener is one all the same.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if LINUX:
                # Nothing that comes in from elsewhere gets here, even if it is for this address.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
                # The port comes first, so that of several only the one that has it adds and removes the address.
                listener.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
                step = "listen"
                listener.bind((ADDRESS, PORT))
                listener.listen(BACKLOG)
                step = "add"
                was_there = not add_on_linux()
                is_ours = True
            else:
                listener.setsockopt(socket.IPPROTO_IP, IP_BOUND_IF, socket.if_nametoindex("lo0"))
                step = "add"
                was_there = has_address()
                if not was_there:
                    ifconfig("alias", ADDRESS, "netmask", "255.255.255.255")
                    is_ours = True
                step = "listen"
                listener.bind((ADDRESS, PORT))
                listener.listen(BACKLOG)
                is_ours = True
        except OSError as error:
            door.sendall(f"failed {step} {error.errno}\n".encode())
            return
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", listener.fileno()))
        door.sendmsg([b"listening found\n" if was_there else b"listening added\n"], [rights])
        while door.recv(1):
            pass
    except OSError:
        pass  # the other end has gone
    finally:
        if is_ours:
            remove()
            with contextlib.suppress(OSError):
                door.sendall(b"removed\n")
        # Closed last: whoever has the port next must not lose the address to us.
        listener.close()


def end(*_: object) -> None:
    """Stop waiting, and clean up."""
    raise SystemExit(1)


def uid_of(connection: socket.socket) -> int:
    """Whose program is at the other end of a Unix socket."""
    if LINUX:
        _, uid, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    else:
        _, uid = struct.unpack_from("II", connection.getsockopt(0, 1, 128))  # LOCAL_PEERCRED: struct xucred
    return int(uid)


def add_on_linux() -> bool:
    """Add the address to the interface lo, as ``ip address add 169.254.169.254/32 dev lo scope host`` does.

    Returns:
        Whether it was not there: one that was may be what is left of a helper that was killed.
    """
    try:
        change(20, 0x600)  # RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL
    except FileExistsError:
        return False
    return True


def remove() -> None:
    """Take the address away."""
    try:
        if LINUX:
            change(21, 0)  # RTM_DELADDR
        else:
            ifconfig("-alias", ADDRESS)
    except OSError:
        pass  # somebody else has


def change(kind: int, flags: int) -> None:
    """Ask the kernel to change addresses: rtnetlink(7)."""
    address = socket.inet_aton(ADDRESS)
    body = struct.pack("=BBBBI", socket.AF_INET, 32, 0, 254, socket.if_nametoindex("lo"))  # RT_SCOPE_HOST
    for attribute in (1, 2):  # IFA_ADDRESS, IFA_LOCAL
        body += struct.pack("=HH4s", 8, attribute, address)
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    try:
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, flags | 5, 0, 0) + body)  # NLM_F_REQUEST, NLM_F_ACK
        number = -struct.unpack_from("=i", netlink.recv(8192), 16)[0]
    finally:
        netlink.close()
    if number:
        raise OSError(number, os.strerror(number))


def has_address() -> bool:
    """Whether this machine has the address already."""
    probe = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        probe.bind((ADDRESS, 0))
    except OSError:
        return False
    finally:
        probe.close()
    return True


def ifconfig(*words: str) -> None:
    """Change the interface lo0 of macOS."""
    if subprocess.call(("/sbin/ifconfig", "lo0", *words)):
        raise OSError(errno.EPERM, "ifconfig failed")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))  # noqa: TID251 - a program of its own
