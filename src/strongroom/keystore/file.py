"""Items as encrypted files in one directory: the store that aws-vault calls ``file``, readable by both, both ways.

One item is one file: its name is `filenames.encode` of the key, its content the item's JSON under a passphrase
(`jwe`). The directory holds nothing else, because aws-vault takes every entry for an item. Names, and so profiles,
device serials and expiry times, can be read by whoever can read the directory.
"""

from __future__ import annotations

import errno
import os
import stat
import sys

from strongroom.durable import is_temporary, make_directory, replace, sync_directory
from strongroom.errors import ConfigError, ItemDamaged, ItemNotFound, KeystoreError, KeystoreLocked
from strongroom.keystore import Item, jwe
from strongroom.keystore.filenames import beside, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from strongroom.keystore import Ask

# The largest item: far above any session or key, low enough that a wrong file does not fill the memory.
LIMIT_BYTES = 1 << 20
# How often a passphrase is asked before giving up.
TRIES = 3
# A passphrase is proved on this many items at most: each costs a key derivation, and one that opens is enough.
PROOFS = 16

# What a change of the passphrase writes beside the directory: see `strongroom.keystore.rekeying`.
JOURNAL_PREFIX = ".strongroom-passwd-"

# What to do, by the system's reason.
_ADVICE = {
    errno.EACCES: "check its owner and permissions",
    errno.EPERM: "check its owner and permissions",
    errno.EROFS: "its file system is read-only: use another directory",
    errno.ENOSPC: "nothing was changed: make room, and try again",
    errno.EDQUOT: "nothing was changed: make room, and try again",
    errno.ENOTDIR: "the keystore is a directory: name another one",
}
_MEND = "restore its file from a backup, or remove the item and store it anew"
_CHECK_PASSPHRASE = "check the passphrase; AWS_VAULT_FILE_PASSPHRASE, if it is set, is taken for it"  # noqa: S105

# Without O_NONBLOCK a named pipe in an item's place would hang the reader. Windows knows neither, but text mode.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open(settings: Mapping[str, str | int | None], ask: Ask) -> FileKeystore:  # noqa: A001 - the family's shape
    """Open the store: ``file_dir`` is its directory, which need not exist.

    Raises:
        ConfigError: ``file_iterations`` is outside of what readers accept.
    """
    passphrase, iterations = settings.get("file_passphrase"), settings.get("file_iterations")
    return FileKeystore(
        str(settings["file_dir"]),
        ask,
        passphrase=None if passphrase is None else str(passphrase),
        iterations=jwe.DEFAULT_ITERATIONS if iterations is None else int(iterations),
    )


class FileKeystore:
    """A directory of encrypted items.

    Args:
        directory: Where; made on the first write.
        ask: How to ask for the passphrase, at most once per process unless it is wrong.
        passphrase: Known already, so nobody is asked. May be empty.
        iterations: How often new items hash the passphrase; items keep the count they were written with.
    """

    __slots__ = ("_ask", "_iterations", "_passphrase", "_proved", "location", "warnings")

    def __init__(
        self, directory: str, ask: Ask, *, passphrase: str | None = None, iterations: int = jwe.DEFAULT_ITERATIONS
    ) -> None:
        if not jwe.MIN_ITERATIONS <= iterations <= jwe.MAX_ITERATIONS:
            raise ConfigError(
                f"file_iterations is {iterations}, which is not between {jwe.MIN_ITERATIONS} and {jwe.MAX_ITERATIONS}"
            )
        self.location = directory
        self.warnings: list[str] = []
        self._ask = ask
        self._iterations = iterations
        self._passphrase = None if passphrase is None else _bytes(passphrase)
        self._proved = False  # whether this passphrase has opened an item

    # Changing the passphrase: see `strongroom.keystore.rekeying`

    @property
    def directory(self) -> str:
        """Where items really are, links followed."""
        return os.path.realpath(self.location)

    @property
    def journal(self) -> str:
        """The file that is there while the passphrase is changed, or when that was interrupted."""
        folder, name = os.path.split(self.directory)
        return os.path.join(folder, JOURNAL_PREFIX + name)

    def passphrase(self) -> bytes:
        """The passphrase, proved on what is there; of an empty store it is a new one.

        Raises:
            KeystoreLocked: It opens nothing, or nobody can be asked.
            PromptError: It could not be asked.
        """
        return self._passphrase_for_writing()

    def file_names(self) -> list[str]:
        """The names of the files that are items, sorted.

        Raises:
            KeystoreError: The directory cannot be read.
        """
        return sorted(name for name, _ in self._entries())

    # Reading

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last written; needs no passphrase and makes no directory.

        Files that cannot be items are left out; one that is empty or cut short is in, because it was one.
        """
        found: dict[str, float | None] = {}
        loose = []
        for name, status in self._entries():
            key = decode(name)
            if key not in found or _canonical(name):
                found[key] = status.st_mtime
            if status.st_mode & 0o077:
                loose.append(key)
        if loose and sys.platform != "win32":
            more = f" and {len(loose) - 1} more" if len(loose) > 1 else ""
            self._warn(f"item {loose[0]!r}{more} in {self.location}: others may read the file (chmod 600)")
        return found

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        for path in self._paths(key):
            token = self._read(key, path)
            if token is not None:
                return Item.from_json(key, self._open(key, token))
        raise ItemNotFound(key, f"no item {key!r} in {self.location}")

    def _paths(self, key: str) -> Iterator[str]:
        """Where an item may be: the file of its name; then, found by a listing, other spellings of that name.

        Other spellings come from other programs and from other systems, where other characters are encoded.
        """
        try:
            name = encode(key)
        except ValueError as error:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}: {error}") from None
        yield os.path.join(self.location, name)
        for other in self._names():
            path = os.path.join(self.location, other)
            if other != name and decode(other) == key and os.path.isfile(path) and not _is_foreign(path):
                yield path

    def _entries(self) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the name and status of every file that is an item, and look at the directory's own mode."""
        try:
            with os.scandir(self.location) as entries:
                self._look_at_directory()
                for entry in entries:
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        continue  # removed since, or a link to nowhere
                    if stat.S_ISREG(status.st_mode) and not is_temporary(entry.name) and not _is_foreign(entry.path):
                        yield entry.name, status
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeystoreError(f"cannot list {self.location}: {_reason(error)}", _advice(error)) from error

    def _look_at_directory(self) -> None:
        if sys.platform == "win32":
            return
        status = os.stat(self.location)
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            self._warn(f"{self.location} is open to other users (mode {mode:04o}; chmod 700 {self.location})")

    def _read(self, key: str, path: str) -> bytes | None:
        """Read the content of an item's file, or None if there is none."""
        try:
            descriptor = os.open(path, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeystoreError(f"cannot read item {key!r} ({path}): {_reason(error)}", _advice(error)) from error
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ItemDamaged(key, f"item {key!r} cannot be used: {path} is not a file", _MEND)
            if status.st_size > LIMIT_BYTES:
                size = f"{status.st_size} bytes, and no item is larger than {LIMIT_BYTES}"
                raise ItemDamaged(key, f"item {key!r} cannot be used: {path} has {size}", _MEND)
            if not status.st_size:
                raise ItemDamaged(key, f"item {key!r} is damaged: {path} is empty", _MEND)
            return _read_all(descriptor, status.st_size)
        except OSError as error:
            raise KeystoreError(f"cannot read item {key!r} ({path}): {_reason(error)}", _advice(error)) from error
        finally:
            os.close(descriptor)

    # The passphrase

    def _open(self, key: str, token: bytes) -> bytes:
        """Decrypt an item, asking for the passphrase if it is not known yet."""
        try:
            sealed = jwe.parse(token)
            for passphrase in self._candidates():
                plaintext = self._try(key, sealed, passphrase)
                if plaintext is not None:
                    return plaintext
        except ValueError as error:
            raise ItemDamaged(key, f"item {key!r} is damaged: {error}", _MEND) from None
        raise KeystoreLocked(
            f"wrong passphrase for {key!r} in {self.location} (or the item is damaged: the two look the same)",
            _CHECK_PASSPHRASE,
        )

    def _candidates(self) -> Iterator[bytes]:
        """Yield the passphrase that is known, or ask for it until the caller is content or patience ends."""
        if self._passphrase is not None:
            yield self._passphrase
            return
        message = f'Enter passphrase to unlock "{self.location}": '
        for _ in range(TRIES):
            yield _bytes(self._ask(message, confirm=False))
            message = f'Wrong passphrase. Enter passphrase to unlock "{self.location}": '

    def _try(self, key: str, sealed: jwe.Sealed, passphrase: bytes) -> bytes | None:
        """Open *sealed*, or return None if the passphrase is wrong: another item decides whether it is that."""
        try:
            plaintext = sealed.open(passphrase)
        except KeystoreLocked:
            if not self._proved and not _opens_any(passphrase, self._sealed(skip=key)):
                return None
            self._remember(passphrase)
            raise ItemDamaged(
                key,
                f"item {key!r} is damaged, or was written under another passphrase than the rest of {self.location}",
                _MEND,
            ) from None
        self._remember(passphrase)
        return plaintext

    def _remember(self, passphrase: bytes) -> None:
        self._passphrase, self._proved = passphrase, True

    def _sealed(self, skip: str = "") -> list[jwe.Sealed]:
        """Return some items that a passphrase can be proved on, those that live longest first."""
        keys = [key for key in self.listing() if key != skip]
        # The names of sessions and tokens begin or are built like this, and none of those outlives a day.
        keys.sort(key=lambda key: (key.startswith("oidc:") or key.count(",") >= 3, key))
        found = []
        for key in keys[:PROOFS]:
            try:
                token = next(filter(None, (self._read(key, path) for path in self._paths(key))), b"")
                found.append(jwe.parse(token))
            except (KeystoreError, ValueError):
                continue
        return found

    def _passphrase_for_writing(self) -> bytes:
        """Return a passphrase that opens what is there: a typing mistake must not make an item that nobody can read."""
        if self._passphrase is not None and self._proved:
            return self._passphrase
        items = self._sealed()
        if not items:
            new = self._passphrase
            if new is None:
                new = _bytes(self._ask(f'Enter a new passphrase to protect "{self.location}": ', confirm=True))
            self._remember(new)
            return new
        for passphrase in self._candidates():
            if _opens_any(passphrase, items):
                self._remember(passphrase)
                return passphrase
        raise KeystoreLocked(
            f"wrong passphrase: it opens no item in {self.location}, so nothing was written", _CHECK_PASSPHRASE
        )

    # Writing

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract."""
        path = self._path_for_writing(item.key)
        passphrase = self._passphrase_for_writing()
        token = jwe.encrypt(item.to_json(), passphrase, self._iterations)
        if len(token) > LIMIT_BYTES:
            size = f"{len(token)} bytes, and no item may be larger than {LIMIT_BYTES}"
            raise KeystoreError(f"cannot store item {item.key!r}: it has {size}")
        if not passphrase:
            self._warn(f"the passphrase of {self.location} is empty: whoever reads its files reads the keys in them")
        try:
            make_directory(os.path.realpath(self.location))
            replace(os.path.realpath(path), token)
        except OSError as error:
            raise KeystoreError(f"cannot write item {item.key!r} ({path}): {_reason(error)}", _advice(error)) from error

    def remove(self, key: str) -> None:
        """Remove one item, under every spelling of its name; the errors are those of the contract."""
        found = [os.path.join(self.location, name) for name in self._names() if decode(name) == key]
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        for path in found:
            self._refuse_foreign(key, path, "remove")
        try:
            for path in found:
                os.unlink(path)
            sync_directory(self.location)
        except OSError as error:
            raise KeystoreError(f"cannot remove item {key!r} ({path}): {_reason(error)}", _advice(error)) from error

    def beside(self, collection: str) -> FileKeystore:
        """The directory of that name next to this one, whose passphrase is this one's."""
        return _Beside(self, beside(self.location, collection))

    def _path_for_writing(self, key: str) -> str:
        """Return the file that an item is in, or will be."""
        try:
            name = encode(key)
        except ValueError as error:
            raise KeystoreError(f"cannot store item {key!r} in {self.location}: {error}") from None
        names = self._names()
        if name not in names:
            # macOS and Windows open "jon" for "Jon"; writing would replace another item.
            alike = [other for other in names if other.casefold() == name.casefold()]
            if alike and os.path.lexists(os.path.join(self.location, name)):
                raise KeystoreError(
                    f"cannot store item {key!r}: this file system does not tell it from {decode(alike[0])!r}"
                )
            name = next((other for other in names if decode(other) == key), name)
        path = os.path.join(self.location, name)
        self._refuse_foreign(key, path, "overwrite")
        return path

    def _names(self) -> list[str]:
        """Return every name in the directory, as it is spelled there."""
        try:
            return [name for name in os.listdir(self.location) if not is_temporary(name)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KeystoreError(f"cannot list {self.location}: {_reason(error)}", _advice(error)) from error

    def _refuse_foreign(self, key: str, path: str, verb: str) -> None:
        """Leave alone what this store, or aws-vault, did not write."""
        if os.path.lexists(path) and _is_foreign(path):
            raise KeystoreError(f"cannot {verb} item {key!r}: {path} is not an item", "move that file away")

    def _warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)


class _Beside(FileKeystore):
    """A second directory of a store: only the first is asked for the passphrase."""

    __slots__ = ("_first",)

    def __init__(self, first: FileKeystore, directory: str) -> None:
        super().__init__(directory, first._ask, iterations=first._iterations)  # noqa: SLF001 - of its own class
        self._first = first

    def _candidates(self) -> Iterator[bytes]:
        yield self._first._passphrase_for_writing()  # noqa: SLF001

    def _passphrase_for_writing(self) -> bytes:
        return self._first._passphrase_for_writing()  # noqa: SLF001


def _bytes(passphrase: str) -> bytes:
    """Encode a passphrase; bytes that were not UTF-8, in a variable or typed, stay the bytes they were."""
    return passphrase.encode("utf-8", "surrogateescape")


def _canonical(name: str) -> bool:
    try:
        return encode(decode(name)) == name
    except ValueError:
        return False


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _advice(error: OSError) -> str:
    return _ADVICE.get(error.errno or 0, "")


def _read_all(descriptor: int, size: int) -> bytes:
    """Read a file to its end; one byte more than *size* is asked so that the usual case takes one call and a half."""
    chunks = []
    while chunk := os.read(descriptor, size + 1):
        chunks.append(chunk)
    return b"".join(chunks)


def _is_foreign(path: str) -> bool:
    """Tell whether a file cannot be an item, by its first bytes.

    An item that is empty, cut after a byte, or zeroed by a crash of the system still was an item, and so is one that
    cannot be read just now.
    """
    try:
        descriptor = os.open(path, _READ)
    except OSError:
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return True
        head = os.read(descriptor, 16)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return not jwe.PREFIX.startswith(head[: len(jwe.PREFIX)]) and bool(head.strip(b"\0"))


def _opens_any(passphrase: bytes, items: list[jwe.Sealed]) -> bool:
    """Tell whether a passphrase opens at least one of these."""
    for sealed in items:
        try:
            sealed.open(passphrase)
        except (KeystoreLocked, ValueError):
            continue
        return True
    return False
