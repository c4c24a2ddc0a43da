"""Items as keys of the Linux kernel's keyrings (keyrings(7)): in memory that is never written to a disk.

Keys have the type ``user``; an item's name is the key's description, and its data the payload. They are linked to a
keyring of the name ``aws-vault`` inside that of the scope. Everything goes away when the machine is switched off, so
this is a place for sessions.

The kernel shows the payload to whoever *possesses* a key: to processes that reach it from their own keyrings. The
user's keyring is not among these in every login, so it is linked to this process's own first, which ends with us.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import struct
import sys

from strongroom.errors import ConfigError, ItemNotFound, KeystoreError, KeystoreUnavailable
from strongroom.keystore import Item, plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from strongroom.keystore import Ask

KEYRING = "aws-vault"
DEFAULT_SCOPE = "user"

# What the kernel takes (add_key(2)): a payload of the type "user"; a description, without the zero at its end.
LIMIT_BYTES = 32_767
LIMIT_NAME_BYTES = 4095

# The kernel's names for keyrings that every process has (keyctl(2)).
_PROCESS, _SESSION, _USER = -2, -3, -4
# Operations of keyctl(2).
_GET_KEYRING_ID, _DESCRIBE, _LINK, _UNLINK, _SEARCH, _READ, _SET_TIMEOUT = 0, 6, 8, 9, 10, 11, 15
_GET_PERSISTENT, _MOVE = 22, 30
_MOVE_EXCL = 1

# machine -> the numbers of add_key and keyctl, from the kernel's system call tables; all newer machines share one.
_NUMBERS = {
    "x86_64": (248, 250),
    "i386": (286, 288),
    "i686": (286, 288),
    "armv7l": (309, 311),
    "armv8l": (309, 311),
    "ppc64le": (269, 271),
    "s390x": (278, 280),
    "aarch64": (217, 219),
    "riscv64": (217, 219),
    "loongarch64": (217, 219),
}

# A key that is listed, and has expired, been revoked, or gone meanwhile.
_GONE = frozenset({errno.ENOKEY, errno.ENOENT, errno.EKEYEXPIRED, errno.EKEYREVOKED} if sys.platform == "linux" else ())
# Kernels and containers without keyrings say one of these.
_MISSING = frozenset({errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP})

_QUOTA = "remove items, or let root raise kernel.keys.maxbytes (sysctl); /proc/key-users shows what is used"


class Kernel:
    """The kernel's two calls.

    Args:
        machine: The kind of processor, as uname(1) has it.
        pointer_bytes: How long an address is in this process: a small one may run on a large kernel.

    Raises:
        KeystoreUnavailable: Its numbers are not known here.
    """

    __slots__ = ("_add", "_keyctl", "_syscall")

    def __init__(self, machine: str, pointer_bytes: int = ctypes.sizeof(ctypes.c_void_p)) -> None:
        if pointer_bytes == 4:
            machine = {"x86_64": "i386", "aarch64": "armv8l"}.get(machine, machine)
        if machine not in _NUMBERS:
            raise KeystoreUnavailable(f"keyctl: the calls of a kernel for {machine!r} are not known")
        self._add, self._keyctl = _NUMBERS[machine]
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        self._syscall.restype = ctypes.c_long

    def _call(self, number: int, *values: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
        words = (ctypes.c_long(each) if isinstance(each, int) else each for each in values)
        result: int = self._syscall(ctypes.c_long(number), *words)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def add(self, kind: bytes, name: bytes, payload: bytes | None, keyring: int) -> int:
        """Make a key in a keyring, or give the one of that kind and name a new payload. Returns its number."""
        return self._call(self._add, kind, name, payload, len(payload or b""), keyring)

    def control(self, operation: int, *values: int | bytes | None) -> int:
        """Do one of the operations of keyctl(2)."""
        return self._call(self._keyctl, operation, *values)

    def read(self, operation: int, key: int) -> bytes:
        """Do an operation that fills a buffer: describe, or read."""
        size = LIMIT_BYTES + 1
        while True:
            buffer = ctypes.create_string_buffer(size)
            needed = self._call(self._keyctl, operation, key, buffer, size)
            if needed <= size:
                return buffer.raw[:needed]
            size = needed  # a keyring with thousands of keys


def open(settings: Mapping[str, Any], ask: Ask) -> KeyctlKeystore:  # noqa: A001, ARG001 - the family's shape
    """Open the store.

    Args:
        settings: ``keyctl_scope``, a key of `SCOPES`; ``keyctl_expiry``, after how many seconds an item goes, 0 or
            None for never.
        ask: Never called.

    Raises:
        KeystoreUnavailable: There are no keyrings here: another system, or a container that forbids them.
        ConfigError: There is no such scope.
    """
    scope = str(settings.get("keyctl_scope") or DEFAULT_SCOPE)
    if scope not in SCOPES:
        raise ConfigError(f"keyctl_scope is {scope!r}, which is not one of {', '.join(SCOPES)}")
    if sys.platform != "linux":
        raise KeystoreUnavailable("keyctl: only Linux has keyrings in its kernel")
    kernel = Kernel(os.uname().machine)
    _probe(kernel)
    return KeyctlKeystore(kernel, scope, expiry_seconds=int(settings.get("keyctl_expiry") or 0))


def _probe(kernel: Kernel) -> None:
    """Add a key, for containers forbid just that."""
    try:
        kernel.control(_UNLINK, kernel.add(b"user", b"strongroom probe", b"-", _PROCESS), _PROCESS)
    except OSError as error:
        if error.errno in _MISSING:
            raise KeystoreUnavailable(
                f"keyctl: the kernel's keyrings cannot be used here ({_reason(error)})", "containers often forbid them"
            ) from error
        if error.errno != errno.EDQUOT:
            raise KeystoreError(f"keyctl: {_reason(error)}") from error


def _user(kernel: Kernel) -> int:
    """The user's own keyring, which all the user's processes share."""
    kernel.control(_LINK, _USER, _PROCESS)
    return kernel.control(_GET_KEYRING_ID, _USER, 0)


def _session(kernel: Kernel) -> int:
    """The keyring of this login; of a process that has none, the user's for such processes.

    Asked for by number: adding to "the session's keyring" would make a process without one a keyring that nobody else
    sees (keyctl(2), KEYCTL_GET_KEYRING_ID).
    """
    return kernel.control(_GET_KEYRING_ID, _SESSION, 0)


def _process(kernel: Kernel) -> int:
    """The keyring of this process, which ends with it."""
    return kernel.control(_GET_KEYRING_ID, _PROCESS, 1)


def _persistent(kernel: Kernel) -> int:
    """The keyring that outlives the user's logins: three days from its last use (persistent-keyring(7))."""
    return kernel.control(_GET_PERSISTENT, -1, _PROCESS)


# name -> finds the keyring
SCOPES = {"user": _user, "session": _session, "process": _process, "persistent": _persistent}


class KeyctlKeystore:
    """A keyring inside that of a scope.

    Args:
        kernel: The kernel's calls.
        scope: A key of `SCOPES`.
        keyring: The keyring's name.
        expiry_seconds: The kernel removes an item so long after it was written; 0 for never.
    """

    __slots__ = ("_expiry_seconds", "_kernel", "_keyring", "_scope", "warnings")

    def __init__(self, kernel: Kernel, scope: str, keyring: str = KEYRING, *, expiry_seconds: int = 0) -> None:
        self.warnings: list[str] = []
        self._kernel = kernel
        self._scope = scope
        self._keyring = keyring
        self._expiry_seconds = expiry_seconds

    @property
    def location(self) -> str:
        """The keyring, and where it is."""
        return f"keyring {self._keyring} ({self._scope})"

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are; the kernel does not say since when."""
        with self._telling("list"):
            keyring = self._find()
            names = [] if keyring is None else [name for _, name in self._children(keyring, "user")]
        return {os.fsdecode(name): None for name in names}

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        with self._telling("read", key):
            number, _ = self._item(key)
            return plain.unpack(key, self._kernel.read(_READ, number))

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract."""
        payload = plain.pack(item)
        if len(payload) > LIMIT_BYTES:
            size = f"{len(payload)} bytes, and a key of the kernel takes {LIMIT_BYTES}"
            raise KeystoreError(f"cannot store item {item.key!r}: it has {size}", "use another keystore for it")
        name = _name(item.key)
        with self._telling("store", item.key):
            number = self._kernel.add(b"user", name, payload, self._made())
            if self._expiry_seconds:
                self._kernel.control(_SET_TIMEOUT, number, self._expiry_seconds)

    def remove(self, key: str) -> None:
        """Remove one item; the errors are those of the contract."""
        with self._telling("remove", key):
            number, keyring = self._item(key)
            self._kernel.control(_UNLINK, number, keyring)

    def beside(self, collection: str) -> KeyctlKeystore:
        """The keyring of that name in the same scope."""
        return KeyctlKeystore(self._kernel, self._scope, collection, expiry_seconds=self._expiry_seconds)

    # Keyrings are looked for each time: a thread has its own keyrings, and other processes may remove ours.

    def _item(self, key: str) -> tuple[int, int]:
        """Find an item. Returns its number and its keyring's."""
        keyring = self._find()
        if keyring is None:
            raise OSError(errno.ENOKEY, "")
        return self._kernel.control(_SEARCH, keyring, b"user", _name(key), 0), keyring

    def _find(self) -> int | None:
        """Find our keyring; a search by the kernel would also look into the keyrings of other scopes."""
        for number, name in self._children(SCOPES[self._scope](self._kernel), "keyring"):
            if name == os.fsencode(self._keyring):
                return number
        return None

    def _made(self) -> int:
        """Find our keyring, or make it."""
        found = self._find()
        if found is not None:
            return found
        scope, name = SCOPES[self._scope](self._kernel), os.fsencode(self._keyring)
        if self._scope == "process":
            return self._kernel.add(b"keyring", name, None, scope)
        # A keyring would take the place of another of its name, with all that is in it: of two processes that make
        # one, the second has to find the first's. It is made apart, and moved to its place if that is free.
        made = self._kernel.add(b"keyring", name, None, _PROCESS)
        try:
            self._kernel.control(_MOVE, made, _PROCESS, scope, _MOVE_EXCL)
        except OSError as error:
            self._kernel.control(_UNLINK, made, _PROCESS)
            if error.errno == errno.EEXIST:
                return self._made()
            if error.errno != errno.EOPNOTSUPP:  # before Linux 5.3
                raise
            return self._kernel.add(b"keyring", name, None, scope)
        return made

    def _children(self, keyring: int, kind: str) -> Iterator[tuple[int, bytes]]:
        """Yield number and name of each key of one type in a keyring."""
        content = self._kernel.read(_READ, keyring)
        for (number,) in struct.iter_unpack("=i", content[: len(content) // 4 * 4]):
            try:
                # type;user;group;permissions;description
                told = self._kernel.read(_DESCRIBE, number).rstrip(b"\0").split(b";", 4)
            except OSError as error:
                if error.errno not in _GONE | {errno.EACCES}:
                    raise
                continue
            if told[0] == kind.encode():
                yield number, told[-1]

    @contextlib.contextmanager
    def _telling(self, verb: str, key: str = "") -> Iterator[None]:
        """Say in our words what the kernel refuses.

        Args:
            verb: What is done.
            key: With which item; empty for all.
        """
        try:
            yield
        except OSError as error:
            if error.errno in _GONE and key:
                raise ItemNotFound(key, f"no item {key!r} in {self.location}") from None
            what = f"cannot {verb} item {key!r} in {self.location}" if key else f"cannot {verb} {self.location}"
            if error.errno == errno.EDQUOT:
                raise KeystoreError(f"{what}: the kernel's quota for this user is used up", _QUOTA) from error
            raise KeystoreError(f"{what}: {_reason(error)}") from error


def _name(key: str) -> bytes:
    """Return an item's name as the kernel's.

    Raises:
        KeystoreError: No key can have that name.
    """
    try:
        name = os.fsencode(key)
    except UnicodeEncodeError:
        name = b"\0"
    if not name or b"\0" in name:
        raise KeystoreError(f"no key of the kernel can be called {key!r}")
    if len(name) > LIMIT_NAME_BYTES:
        raise KeystoreError(f"a name of {len(name)} bytes is too long: the kernel takes {LIMIT_NAME_BYTES}")
    return name


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
