"""Another passphrase for the items of a `file` store: all of them or none, whatever happens on the way.

Every item is encrypted anew first, in memory, and all the results are written into one file beside the store, the
journal. As long as that is not there, nothing has changed. Once it is, the change is done: putting each of its items
into place needs no passphrase, so whoever finds a journal can finish (`finish`), and does it again if it was done half.

An item that was written or removed since it was read for the journal is left as it is.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
import sys
from typing import TYPE_CHECKING

from strongroom import durable
from strongroom.errors import KeystoreError, KeystoreLocked
from strongroom.keystore import jwe
from strongroom.keystore.filenames import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from strongroom.keystore.file import FileKeystore

VERSION = 1
# Far above any store.
LIMIT_BYTES = 1 << 28

_MOVE_AWAY = "move that file away; what was not changed yet is still under the former passphrase"


class Move:
    """One item that changes its passphrase.

    Args:
        place: Which of the store's directories it is in: 0 is the first.
        name: Its file there.
        was: The SHA-256 of that file as it was read.
        token: What it becomes.
    """

    __slots__ = ("name", "place", "token", "was")

    def __init__(self, place: int, name: str, was: str, token: bytes) -> None:
        self.place = place
        self.name = name
        self.was = was
        self.token = token

    def __repr__(self) -> str:
        return f"<Move {self.name!r}>"


class Plan:
    """What a change of the passphrase comes to.

    Args:
        moves: The items that the former passphrase opens.
        left: The names of items that it does not: damaged, or under another one.
    """

    __slots__ = ("left", "moves")

    def __init__(self, moves: Iterable[Move], left: Iterable[str]) -> None:
        self.moves = tuple(moves)
        self.left = tuple(left)


def prepare(
    stores: Sequence[FileKeystore], former: bytes, new: bytes, *, iterations: int = jwe.DEFAULT_ITERATIONS
) -> Plan:
    """Encrypt anew whatever *former* opens, in memory. What *new* opens already is neither moved nor left.

    Raises:
        KeystoreError: A directory or a file cannot be read.
    """
    moves, left = [], []
    for place, store in enumerate(stores):
        for name in store.file_names():
            content = _read(os.path.join(store.directory, name))
            if not content:
                continue
            plaintext = _opened(content, former)
            if plaintext is not None:
                token = jwe.encrypt(plaintext, new, iterations)
                moves.append(Move(place, name, _digest(content), token))
            elif _opened(content, new) is None:
                left.append(decode(name))
    return Plan(moves, left)


def commit(stores: Sequence[FileKeystore], moves: Iterable[Move]) -> None:
    """Write the journal: from here on the change is made, though no item has been touched.

    Raises:
        KeystoreError: It cannot be written; nothing has changed.
    """
    fields = [{"place": move.place, "name": move.name, "was": move.was, "is": move.token.decode()} for move in moves]
    path = stores[0].journal
    try:
        durable.replace_as_it_is(path, json.dumps({"version": VERSION, "items": fields}).encode("ascii"))
    except OSError as error:
        raise KeystoreError(
            f"cannot write {path}: {_reason(error)}", "nothing was changed; make room, or check the directory's owner"
        ) from error


def is_unfinished(store: FileKeystore) -> bool:
    """Whether there is a journal that this user wrote: another's, in a directory that is open to others, is none."""
    try:
        status = os.lstat(store.journal)
    except OSError:
        return False
    is_ours = sys.platform == "win32" or (status.st_uid == os.geteuid() and not status.st_mode & 0o022)
    return is_ours and stat.S_ISREG(status.st_mode)


def finish(stores: Sequence[FileKeystore]) -> int:
    """Put what the journal holds into place, and remove it. Whoever does this holds a lock.

    Returns:
        How many items were put into place; 0 if there is no journal.

    Raises:
        KeystoreError: That could not be done; the journal is still there.
    """
    if not is_unfinished(stores[0]):
        return 0
    path = stores[0].journal
    moves = _journal(path, len(stores))
    done = 0
    try:
        for move in moves:
            target = os.path.realpath(os.path.join(stores[move.place].directory, move.name))
            # Looked at again when the new file is ready: writing that takes long enough for another process to store
            # a new key, which must not be undone.
            is_as_read = functools.partial(_is, target, move.was)
            if is_as_read() and durable.replace(target, move.token, is_as_read):
                done += 1
        os.unlink(path)
        durable.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise KeystoreError(
            f"the change of the passphrase of {stores[0].location} cannot be finished: {_reason(error)}",
            "it goes on where it stopped, with `strongroom passwd --resume`",
        ) from error
    return done


def _journal(path: str, places: int) -> list[Move]:
    """Read a journal."""
    content = _read(path) or b""
    try:
        fields = json.loads(content)
        if fields["version"] != VERSION:
            raise ValueError  # noqa: TRY301 - the same answer as for everything else that is not ours
        moves = [_move(each, places) for each in fields["items"]]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise KeystoreError(f"{path} is damaged, or of a newer strongroom", _MOVE_AWAY) from None
    return moves


def _move(fields: Any, places: int) -> Move:
    place, name, was, token = fields["place"], fields["name"], fields["was"], fields["is"]
    if not (type(place) is int and 0 <= place < places and isinstance(was, str)):
        raise ValueError
    if not name or os.path.basename(name) != name or name in {".", ".."}:
        raise ValueError
    return Move(place, name, was, token.encode("ascii"))


def _opened(content: bytes, passphrase: bytes) -> bytes | None:
    """Decrypt an item, or return None if it is damaged or under another passphrase."""
    try:
        return jwe.decrypt(content, passphrase)
    except (KeystoreLocked, ValueError):
        return None


def _read(path: str) -> bytes | None:
    """Read a file that is there; None if it is not, or not any more."""
    try:
        with open(path, "rb") as file:
            return file.read(LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KeystoreError(f"cannot read {path}: {_reason(error)}") from error


def _is(path: str, digest: str) -> bool:
    """Whether a file is there, and has this content."""
    content = _read(path)
    return content is not None and _digest(content) == digest


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
