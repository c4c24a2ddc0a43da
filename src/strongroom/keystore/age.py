"""Items as files that age encrypted, one each, in a directory: ``age -d -i IDENTITY FILE`` shows an item's JSON.

The identity is age's own or a key of SSH. Writing needs only its public half, so a machine that stores keys for another
need not be able to open them; and so whoever may write to the directory may put an item of their own there.

A file is called like its item (`filenames.encode`), with ``.age`` behind; all else in the directory is left alone.
"""

from __future__ import annotations

import os
import stat
import sys

import pyrage

from strongroom.durable import is_temporary, make_directory, replace, sync_directory
from strongroom.errors import ConfigError, ItemDamaged, ItemNotFound, KeystoreError, KeystoreLocked
from strongroom.keystore import Item, age_keys
from strongroom.keystore.filenames import LIMIT_BYTES as LIMIT_NAME_BYTES
from strongroom.keystore.filenames import beside, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from strongroom.keystore import Ask

SUFFIX = ".age"
# The largest item: far above any session or key, low enough that a wrong file does not fill the memory.
LIMIT_BYTES = 1 << 20

# Without O_NONBLOCK a named pipe in an item's place would hang the reader. Windows knows neither, but text mode.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

_MEND = "restore its file from a backup, or remove the item and store it anew"
# What pyrage says if the file is for other identities; all else it says is of damage.
_NOT_OURS = "No matching keys found"


def open(settings: Mapping[str, Any], ask: Ask) -> AgeKeystore:  # noqa: A001 - the family's shape
    """Open the store.

    Args:
        settings: ``age_dir``, its directory, which need not exist; ``age_identity``, the path of an SSH key or a file
            of age identities; ``age_recipients``, for whom to encrypt, as `age_keys.named_recipients` reads it, or
            empty for the owner of the identity.
        ask: How to ask for the identity's passphrase, if it has one.

    Raises:
        ConfigError: There is neither an identity nor a recipient.
    """
    identity, recipients = str(settings.get("age_identity") or ""), str(settings.get("age_recipients") or "")
    if not identity and not recipients:
        raise ConfigError(
            "the age keystore has neither age_identity nor age_recipients",
            "set age_identity to an SSH private key (~/.ssh/id_ed25519) or to a file that age-keygen made",
        )
    return AgeKeystore(str(settings["age_dir"]), Keys(identity, recipients, ask))


class Keys:
    """The keys of a store, read when they are needed and once.

    Args:
        identity: The path of the identities, or empty on a machine that only writes.
        recipients: The setting ``age_recipients``, or empty.
        ask: How to ask for a passphrase.
    """

    __slots__ = ("_ask", "_identities", "_identity", "_recipients", "_setting", "warnings")

    def __init__(self, identity: str, recipients: str, ask: Ask) -> None:
        self.warnings: list[str] = []
        self._identity = identity
        self._setting = recipients
        self._ask = ask
        self._identities: list[Any] = []
        self._recipients: list[Any] = []

    def identities(self) -> list[Any]:
        """What decrypts.

        Raises:
            KeystoreLocked: There is none on this machine, or its passphrase is wrong.
            KeystoreError: It cannot be read.
            PromptError: The passphrase could not be asked.
        """
        if not self._identity:
            raise KeystoreLocked("no age_identity is set, so items can be written and not opened")
        if not self._identities:
            self._identities = age_keys.identities(self._identity, self._ask)
            if age_keys.is_loose(self._identity):
                self.warnings.append(f"age_identity {self._identity}: others may read the file (chmod 600)")
        return self._identities

    def recipients(self) -> list[Any]:
        """What encrypts.

        Raises:
            KeystoreError: They cannot be read.
            ConfigError: One of them is none.
        """
        if not self._recipients:
            texts = age_keys.named_recipients(self._setting) if self._setting else age_keys.public(self._identity)
            self._recipients = age_keys.recipients(texts)
            if not self._recipients:
                raise ConfigError(f"age_recipients {self._setting!r} names nobody")
        return self._recipients


class AgeKeystore:
    """A directory of files that age encrypted.

    Args:
        directory: Where; made on the first write.
        keys: What encrypts and decrypts.
    """

    __slots__ = ("_keys", "_warnings", "location")

    def __init__(self, directory: str, keys: Keys) -> None:
        self.location = directory
        self._keys = keys
        self._warnings: list[str] = []

    @property
    def warnings(self) -> list[str]:
        """What was noticed about the directory and the keys."""
        return self._warnings + self._keys.warnings

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last written; needs no identity and makes no directory."""
        found: dict[str, float | None] = {}
        for name, modified in self._entries():
            key = decode(name.removesuffix(SUFFIX))
            if key not in found or _name_or_nothing(key) == name:
                found[key] = modified
        return found

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        for path in self._paths(key):
            content = self._read(key, path)
            if content is not None:
                return Item.from_json(key, self._opened(key, path, content))
        raise ItemNotFound(key, f"no item {key!r} in {self.location}")

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract. No identity is needed."""
        try:
            name = _name(item.key)
        except ValueError as error:
            raise KeystoreError(f"cannot store item {item.key!r} in {self.location}: {error}") from None
        plaintext = item.to_json()
        content: bytes = pyrage.encrypt(plaintext, self._keys.recipients())
        if len(content) > LIMIT_BYTES:
            size = f"{len(content)} bytes, and no item may be larger than {LIMIT_BYTES}"
            raise KeystoreError(f"cannot store item {item.key!r}: it has {size}")
        path = os.path.join(self.location, self._place(item.key, name))
        try:
            make_directory(os.path.realpath(self.location))
            replace(os.path.realpath(path), content)
        except OSError as error:
            raise KeystoreError(f"cannot write item {item.key!r} ({path}): {_reason(error)}") from error

    def remove(self, key: str) -> None:
        """Remove one item, under every spelling of its name; the errors are those of the contract."""
        found = [name for name, _ in self._entries() if decode(name.removesuffix(SUFFIX)) == key]
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        try:
            for name in found:
                os.unlink(os.path.join(self.location, name))
            sync_directory(self.location)
        except OSError as error:
            raise KeystoreError(f"cannot remove item {key!r} in {self.location}: {_reason(error)}") from error

    def beside(self, collection: str) -> AgeKeystore:
        """The directory of that name next to this one, with the same keys."""
        return AgeKeystore(beside(self.location, collection), self._keys)

    def _entries(self) -> Iterator[tuple[str, float]]:
        """Yield name and time of every file of ours, and look at the directory's mode."""
        try:
            with os.scandir(self.location) as entries:
                self._look_at_directory()
                for entry in entries:
                    if entry.name.endswith(SUFFIX) and not is_temporary(entry.name) and entry.is_file():
                        yield entry.name, entry.stat().st_mtime
        except FileNotFoundError:
            return
        except OSError as error:
            raise KeystoreError(f"cannot list {self.location}: {_reason(error)}") from error

    def _look_at_directory(self) -> None:
        mode = stat.S_IMODE(os.stat(self.location).st_mode)
        text = f"{self.location}: others may put items of their own there (mode {mode:04o}; chmod 700)"
        if sys.platform != "win32" and mode & 0o022 and text not in self._warnings:
            self._warnings.append(text)

    def _paths(self, key: str) -> Iterator[str]:
        """Where an item may be: the file of its name; then, found by a listing, other spellings of that name."""
        name = _name_or_nothing(key)
        if name:
            yield os.path.join(self.location, name)
        for other, _ in self._entries():
            if other != name and decode(other.removesuffix(SUFFIX)) == key:
                yield os.path.join(self.location, other)

    def _place(self, key: str, name: str) -> str:
        """Return the file that an item is in, or will be."""
        names = [other for other, _ in self._entries()]
        if name in names:
            return name
        # macOS and Windows open "jon" for "Jon"; writing would replace another item.
        alike = [other for other in names if other.casefold() == name.casefold()]
        if alike and os.path.lexists(os.path.join(self.location, name)):
            other = decode(alike[0].removesuffix(SUFFIX))
            raise KeystoreError(f"cannot store item {key!r}: this file system does not tell it from {other!r}")
        return next((other for other in names if decode(other.removesuffix(SUFFIX)) == key), name)

    def _read(self, key: str, path: str) -> bytes | None:
        """Read an item's file, or return None if there is none."""
        try:
            with os.fdopen(os.open(path, _READ), "rb") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise ItemDamaged(key, f"item {key!r} cannot be used: {path} is not a file", _MEND)
                content = file.read(LIMIT_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise KeystoreError(f"cannot read item {key!r} ({path}): {_reason(error)}") from error
        if len(content) > LIMIT_BYTES:
            size = f"more than {LIMIT_BYTES} bytes, and no item is larger"
            raise ItemDamaged(key, f"item {key!r} cannot be used: {path} has {size}", _MEND)
        return content

    def _opened(self, key: str, path: str, content: bytes) -> bytes:
        """Decrypt an item."""
        try:
            plaintext: bytes = pyrage.decrypt(content, self._keys.identities())
        except pyrage.DecryptError as error:
            if str(error) == _NOT_OURS:
                raise KeystoreLocked(
                    f"item {key!r} ({path}) is encrypted for somebody else than age_identity",
                    "set age_identity to the key that it was stored with",
                ) from None
            raise ItemDamaged(key, f"item {key!r} is damaged: {path} is no whole file of age's", _MEND) from None
        return plaintext


def _name(key: str) -> str:
    """Turn an item's name into its file's name.

    Raises:
        ValueError: No file can have that name.
    """
    name = encode(key) + SUFFIX
    size = len(os.fsencode(name))
    if size > LIMIT_NAME_BYTES:
        raise ValueError(f"its file name would have {size} bytes, and a file system takes {LIMIT_NAME_BYTES}")
    return name


def _name_or_nothing(key: str) -> str:
    try:
        return _name(key)
    except ValueError:
        return ""


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
