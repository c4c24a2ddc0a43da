"""Items as entries of ``pass`` (https://www.passwordstore.org) and of ``passage``, which is the same over age.

An entry holds an item's JSON and is called as `entry_names` has it, below the prefix if there is one. Entries are
looked for in the file system; the program writes, shows and removes them: ``insert -m -f NAME``, ``show NAME``,
``rm -f NAME``.

The programs write an entry in place and know no locks. Ours take turns at a store by a lock on its directory, and
whoever reads half an entry reads once more when the writer is done.
"""

from __future__ import annotations

import builtins
import contextlib
import os
import posixpath
import sys
import time

from strongroom.durable import make_directory
from strongroom.errors import (
    ConfigError,
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
)
from strongroom.keystore import Item, entry_names, password_programs, program

if sys.platform != "win32":
    import fcntl

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from strongroom.keystore import Ask
    from strongroom.keystore.password_programs import Program
    from strongroom.keystore.program import Run

# Time for a human to type a passphrase, or touch a device.
DEFAULT_TIMEOUT_SECONDS = 120.0
# The largest entry that is opened: far above any item.
LIMIT_BYTES = 4 << 20
# Which entries of a store without a prefix are ours, one a line, besides those that show by their names.
NOTES = ".strongroom"

_MEND = "restore the entry from a backup, or remove it and store the item anew"
_POLL_SECONDS = 0.02


def open(  # noqa: A001 - the family's shape
    settings: Mapping[str, Any],
    ask: Ask,  # noqa: ARG001 - the programs ask by themselves
    run: Run = program.run_in_front,
) -> PasswordStore:
    """Open the store; no program is started.

    Args:
        settings: ``backend``, "pass" or "passage"; ``pass_cmd``, the program, by default called like that;
            ``pass_dir``, the store's directory, by default where the program has it; ``pass_prefix``, the folder in it;
            ``pass_timeout``, how many seconds a run may take, a human included; ``profile_names``, the names of the
            profiles there are, or what returns them; ``program_environment``, what the program gets for its
            environment.
        ask: Never called.
        run: How to run the program.

    Raises:
        KeystoreUnavailable: The program is not on the path.
        ConfigError: The prefix leads out of the store.
    """
    kind = password_programs.PROGRAMS[str(settings.get("backend") or "pass")]
    environ = dict(settings.get("program_environment") or {})
    path = program.find(str(settings.get("pass_cmd") or kind.name), environ, kind.install)
    directory = str(settings.get("pass_dir") or environ.get(kind.variable) or f"~/{kind.directory}")
    if directory.startswith("~/"):
        directory = os.path.join(environ.get("HOME", ""), directory[2:])
    profiles = settings.get("profile_names") or ()
    return PasswordStore(
        kind,
        path,
        environ,
        os.path.abspath(directory),
        _prefix(str(settings.get("pass_prefix") or "")),
        profiles=profiles if callable(profiles) else lambda: profiles,
        timeout_seconds=float(settings.get("pass_timeout") or DEFAULT_TIMEOUT_SECONDS),
        run=run,
    )


def _prefix(setting: str) -> str:
    """Clean a prefix as aws-vault does, without letting it out of the store."""
    cleaned = posixpath.normpath(setting.strip("/") or ".")
    if cleaned == ".." or cleaned.startswith("../"):
        raise ConfigError(f"pass_prefix {setting!r} leads out of the password store")
    return "" if cleaned == "." else cleaned


class PasswordStore:
    """Entries below a prefix of a password store.

    Args:
        kind: Which program.
        path: Where it is.
        environ: Its environment, to which the store's place is added.
        directory: The store.
        prefix: The folder in it that is ours; empty for none: then the store is its owner's, and the entries that are
            ours are those with names of sessions, tokens and profiles, and those that we wrote.
        profiles: The names of the profiles there are.
        timeout_seconds: How long a run of the program, or another writer, may take.
        run: How to run the program.
    """

    __slots__ = (
        "_directory",
        "_environ",
        "_kind",
        "_path",
        "_prefix",
        "_profiles",
        "_run",
        "_timeout_seconds",
        "warnings",
    )

    def __init__(
        self,
        kind: Program,
        path: str,
        environ: Mapping[str, str],
        directory: str,
        prefix: str,
        *,
        profiles: Callable[[], Iterable[str]] = tuple,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        run: Run = program.run_in_front,
    ) -> None:
        self.warnings: list[str] = []
        self._kind = kind
        self._path = path
        self._environ = kind.environment(environ, directory)
        self._directory = directory
        self._prefix = prefix
        self._profiles = profiles
        self._timeout_seconds = timeout_seconds
        self._run = run

    @property
    def location(self) -> str:
        """The folder of the entries."""
        return os.path.join(self._directory, self._prefix) if self._prefix else self._directory

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last written, without starting the program."""
        entries = dict(self._entries())
        found: dict[str, float | None] = {}
        for entry, modified in entries.items():
            key = entry_names.read(entry)
            if key not in found or self._encoded(key) == entry:
                found[key] = modified
        return found if self._prefix else {key: found[key] for key in self._ours(found)}

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        entry = self._found(key)
        try:
            return self._shown(key, entry)
        except ItemDamaged:
            # It may have been half written; if not, the second time says the same.
            with self._turn(exclusive=False):
                if self._found(key) != entry:
                    raise
                return self._shown(key, entry)

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract."""
        try:
            entry = entry_names.encode(item.key, self._kind.suffix)
        except ValueError as error:
            raise KeystoreError(f"cannot store item {item.key!r} in {self.location}: {error}") from None
        entry = self._place(item.key, entry)
        self._make()
        self._prove(item.key, entry)
        with self._turn():
            self._told("store", item.key, "insert", "-m", "-f", self._word(entry), given=item.to_json())
            if not self._size(entry):  # older versions end with 0 whatever happens
                raise KeystoreError(f"cannot store item {item.key!r} in {self.location}: {self._kind.name} did not")
        self._note(item.key)

    def remove(self, key: str) -> None:
        """Remove one item, under every spelling of its name; the errors are those of the contract."""
        found = [entry for entry, _ in self._entries() if entry_names.read(entry) == key]
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        self._prove(key, found[0])
        with self._turn():
            for entry in found:
                if self._size(entry) is None:  # removed since
                    raise ItemNotFound(key, f"no item {key!r} in {self.location}")
                self._told("remove", key, "rm", "-f", self._word(entry))
                if self._size(entry) is not None:
                    raise KeystoreError(f"cannot remove item {key!r} in {self.location}: {self._kind.name} did not")

    def beside(self, collection: str) -> PasswordStore:
        """The folder of that name next to the prefix."""
        above, name = posixpath.split(self._prefix)
        prefix = posixpath.join(above, collection if name != collection else f"{collection}-own")
        return PasswordStore(
            self._kind,
            self._path,
            self._environ,
            self._directory,
            prefix,
            timeout_seconds=self._timeout_seconds,
            run=self._run,
        )

    # Where entries are

    def _make(self) -> None:
        """Make the store's directory if that is how one begins."""
        if self._kind.begin and not os.path.isdir(self._directory):
            raise KeystoreError(f"there is no password store in {self._directory}", self._kind.begin)
        try:
            make_directory(self._directory)
        except OSError as error:
            raise KeystoreError(f"cannot make {self._directory}: {_reason(error)}") from error

    def _file(self, entry: str) -> str:
        return os.path.join(self.location, entry + self._kind.suffix)

    def _size(self, entry: str) -> int | None:
        """Return the size of an entry's file, or None if there is none."""
        try:
            return os.stat(self._file(entry)).st_size
        except OSError:
            return None

    def _word(self, entry: str) -> str:
        """The entry's name as the program takes it, for which a prefix may look like an option."""
        word = posixpath.join(self._prefix, entry)
        return f"./{word}" if word.startswith("-") else word

    def _encoded(self, key: str) -> str | None:
        try:
            return entry_names.encode(key, self._kind.suffix)
        except ValueError:
            return None

    def _entries(self) -> Iterator[tuple[str, float]]:
        """Yield each entry below the prefix, and when its file was written."""

        def fail(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise KeystoreError(f"cannot list {self.location}: {_reason(error)}") from error

        for folder, folders, files in os.walk(self.location, onerror=fail):
            folders[:] = [name for name in folders if name not in {".git", ".extensions"}]
            for name in files:
                path = os.path.join(folder, name)
                if name.endswith(self._kind.suffix) and os.path.isfile(path):
                    with contextlib.suppress(FileNotFoundError):  # removed since
                        modified = os.stat(path).st_mtime
                        yield os.path.relpath(path, self.location).removesuffix(self._kind.suffix), modified

    def _found(self, key: str) -> str:
        """Find an item's entry: of its name or, by a listing, of another spelling of that."""
        entry = self._encoded(key)
        if entry is not None and os.path.isfile(self._file(entry)):
            return entry
        for other, _ in self._entries():
            if entry_names.read(other) == key:
                return other
        raise ItemNotFound(key, f"no item {key!r} in {self.location}")

    def _place(self, key: str, entry: str) -> str:
        """Return the entry that an item is in, or will be."""
        entries = [other for other, _ in self._entries()]
        if entry in entries:
            return entry
        if os.path.lexists(self._file(entry)):
            # macOS opens "jon" for "Jon"; writing would replace another item.
            raise KeystoreError(f"cannot store item {key!r}: {self._file(entry)} is something else")
        return next((other for other in entries if entry_names.read(other) == key), entry)

    # Without a prefix

    def _ours(self, keys: Iterable[str]) -> Iterator[str]:
        """Yield the keys that are ours among the names of all entries."""
        named = self._noted().union(self._profiles())
        return (key for key in keys if key in named or _is_session_or_token(key))

    def _prove(self, key: str, entry: str) -> None:
        """Leave alone what is not ours: in a store without a prefix an entry that is there may be anything.

        Raises:
            KeystoreError: It is not an item.
        """
        if self._prefix or self._size(entry) is None or _is_session_or_token(key) or key in self._noted():
            return
        try:
            self.get(key)
        except ItemDamaged as error:
            hint = "set pass_prefix to a folder for strongroom alone"
            raise KeystoreError(f"entry {entry!r} of {self.location} is not an item: it stays", hint) from error
        self._note(key)

    def _noted(self) -> frozenset[str]:
        try:
            with builtins.open(os.path.join(self._directory, NOTES)) as file:
                return frozenset(entry_names.read(line) for line in file.read().splitlines())
        except OSError:
            return frozenset()

    def _note(self, key: str) -> None:
        """Remember that an item is ours; that it cannot be remembered hides it in a listing, and nothing else."""
        if self._prefix or _is_session_or_token(key) or key in self._noted():
            return
        line = f"{self._encoded(key)}\n"
        with contextlib.suppress(OSError), builtins.open(os.path.join(self._directory, NOTES), "a") as file:
            file.write(line)

    # The program

    def _shown(self, key: str, entry: str) -> Item:
        path, size = self._file(entry), self._size(entry)
        if not size:
            raise ItemDamaged(key, f"item {key!r} is damaged: {path} is empty", _MEND)
        if size > LIMIT_BYTES:
            size_told = f"{size} bytes, and no item is larger than {LIMIT_BYTES}"
            raise ItemDamaged(key, f"item {key!r} cannot be used: {path} has {size_told}", _MEND)
        return Item.from_json(key, self._told("read", key, "show", self._word(entry)))

    def _told(self, verb: str, key: str, *words: str, given: bytes = b"") -> bytes:
        """Run the program, and return what it printed."""
        outcome = self._run([self._path, *words], self._environ, given=given, timeout_seconds=self._timeout_seconds)
        if outcome.status:
            raise self._kind.failure(outcome, f"cannot {verb} item {key!r} in {self.location}", key)
        return outcome.output

    @contextlib.contextmanager
    def _turn(self, *, exclusive: bool = True) -> Iterator[None]:
        """Wait until no other process of ours writes to the store, or, to write, reads it again."""
        descriptor = self._locked(fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) if sys.platform != "win32" else None
        try:
            yield
        finally:
            if descriptor is not None:
                os.close(descriptor)

    if sys.platform != "win32":

        def _locked(self, kind: int) -> int:
            """Lock the store's directory itself: a file for that would be an entry of somebody's listing."""
            deadline = time.monotonic() + self._timeout_seconds
            while True:
                descriptor = os.open(self._directory, os.O_RDONLY)
                try:
                    fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                    # passage removes a directory that has become empty, and whoever waited has a lock on nothing.
                    if os.path.samestat(os.fstat(descriptor), os.stat(self._directory)):
                        return descriptor
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        os.close(descriptor)
                        raise KeystoreError(f"another process writes to {self._directory} for too long") from None
                    time.sleep(_POLL_SECONDS)
                except FileNotFoundError:
                    make_directory(self._directory)
                os.close(descriptor)


def _is_session_or_token(key: str) -> bool:
    """Whether an item's name is such as nobody gives to a password."""
    parts = key.split(",")
    return key.startswith("oidc:") or (len(parts) == 4 and parts[3].isdigit())


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
