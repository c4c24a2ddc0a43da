"""Processes and what they have open, as Linux shows them: proc(5)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# What the link of a descriptor begins with.
_SOCKET = "socket:["


def descendants(root: int, proc: str = "/proc") -> list[int]:
    """The processes below *root*, without itself: its children, theirs, and so on.

    What begins or ends meanwhile may be missing.

    Args:
        root: A process.
        proc: Where the kernel's file system is.

    Raises:
        OSError: The kernel does not say.
    """
    found: list[int] = []
    waiting = [root]
    seen = {root}
    while waiting:
        children = _children(waiting.pop(), proc)
        if children is None:
            return _by_parents(root, proc)
        for child in children:
            if child not in seen:
                seen.add(child)
                found.append(child)
                waiting.append(child)
    return found


def _children(pid: int, proc: str) -> list[int] | None:
    """Of all threads of a process; None where the kernel was made without these files (CONFIG_PROC_CHILDREN)."""
    tasks = os.path.join(proc, str(pid), "task")
    found: list[int] = []
    try:
        threads = os.listdir(tasks)
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended
    for thread in threads:
        try:
            with open(os.path.join(tasks, thread, "children"), "rb") as file:
                found += map(int, file.read().split())
        except FileNotFoundError:
            if os.path.exists(os.path.join(tasks, thread)):
                return None
        except ProcessLookupError:
            continue
    return found


def _by_parents(root: int, proc: str) -> list[int]:
    """The same from all processes of the machine, which takes longer."""
    children: dict[int, list[int]] = {}
    for name in os.listdir(proc):
        if name.isdigit():
            children.setdefault(_parent(int(name), proc), []).append(int(name))
    found: list[int] = []
    waiting = [root]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _parent(pid: int, proc: str) -> int:
    """The parent of a process; 0 if that is outside of what is seen here, or the process has ended."""
    try:
        with open(os.path.join(proc, str(pid), "stat"), "rb") as file:
            # "PID (NAME) STATE PARENT ...", where a name may hold anything, brackets too
            return int(file.read().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def is_below(pid: int, root: int, proc: str = "/proc") -> bool:
    """Whether a process is one of `descendants`, which for one is told sooner than for all.

    Raises:
        OSError: The kernel does not say.
    """
    while pid > 0:
        pid = _parent(pid, proc)
        if pid == root:
            return True
    return False


def has_socket(pid: int, inode: int, proc: str = "/proc") -> bool:
    """Whether a process has a socket open.

    Raises:
        PermissionError: It does not let itself be looked at: another user's, or one that holds secrets.
    """
    return f"{_SOCKET}{inode}]" in _open_files(pid, proc)


def sockets(pid: int, proc: str = "/proc") -> frozenset[int]:
    """The numbers of all sockets that a process has open.

    Raises:
        PermissionError: As `has_socket`.
    """
    return frozenset(int(target[len(_SOCKET) : -1]) for target in _open_files(pid, proc) if target.startswith(_SOCKET))


def _open_files(pid: int, proc: str) -> Iterator[str]:
    try:
        directory = os.open(os.path.join(proc, str(pid), "fd"), os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, ProcessLookupError):
        return
    try:
        # By the directory's descriptor a link is read in half the time.
        for name in os.listdir(directory):
            yield _target(name, directory)
    except (FileNotFoundError, ProcessLookupError):
        return
    finally:
        os.close(directory)


def _target(name: str, directory: int) -> str:
    try:
        return os.readlink(name, dir_fd=directory)
    except FileNotFoundError:
        return ""  # closed meanwhile


def name_of(pid: int, proc: str = "/proc") -> str:
    """What a process calls itself, as a harmless word; empty if it has ended."""
    try:
        with open(os.path.join(proc, str(pid), "comm"), "rb") as file:
            shown = file.read().removesuffix(b"\n").decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return shown if shown.isprintable() else repr(shown)


def holders(inode: int, proc: str = "/proc") -> Iterator[int]:
    """Which processes have a socket open, of those that let themselves be looked at."""
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            if has_socket(int(name), inode, proc):
                yield int(name)
        except PermissionError:
            continue
