"""``restore``: put the items of a backup into a keystore, after showing what that would change."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from strongroom import prompt, vault
from strongroom.backup import (
    DIFFERENT,
    MAIN,
    NEW,
    SAME,
    UNREADABLE,
    Archive,
    BackupError,
    Entry,
    carry_out,
    compare,
    owner,
)
from strongroom.cli import backup_file, lineage, places
from strongroom.cli.flags import Flag
from strongroom.cli.moving import FAILURES_IN_A_ROW
from strongroom.cli.terminal import answer
from strongroom.credentials import show_time
from strongroom.errors import (
    KeystoreError,
    KeystoreLocked,
    ProfileNotFound,
    PromptDismissed,
    PromptUnavailable,
    UsageError,
)
from strongroom.rotation.owner import shown_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from strongroom.backup import Change
    from strongroom.cli.backup_file import Opened
    from strongroom.cli.flags import Arguments
    from strongroom.cli.places import Place
    from strongroom.cli.settings import Settings
    from strongroom.keystore import Keystore

FLAGS = (
    Flag("to", "the keystore to put them into, instead of the one in use", value="STORE"),
    Flag("only", "this profile's key and sessions only; may be repeated", value="PROFILE", many=True),
    Flag("identity", "what opens FILE: an SSH key, or a file of age-keygen", value="FILE", short="i"),
    Flag("dry-run", "show what would change, and change nothing"),
    Flag("yes", "do not ask", short="y"),
)
WORDS = ("file",)
RUNS = False

# A longer name stands out of its column: those of sessions and sign-ins need more than names of profiles.
WIDEST = 64

# What each state means for what is there.
_TOLD = {
    NEW: "new",
    SAME: "the same",
    DIFFERENT: "differs: the one that is there is replaced, and a copy of it kept",
    UNREADABLE: "cannot be read where it is: replaced",
}
_REFUSED = "cannot be read where it is, so no copy can be kept: left alone"


def run(arguments: Arguments, settings: Settings) -> int:
    """Show, ask, and put; 1 if an item could not be put back."""
    path = arguments.words[0]
    if not path:
        raise UsageError("required argument 'file' not provided")
    place = _place(arguments, settings)
    backup = backup_file.read(settings, path)
    entries = _wanted(arguments, backup.archive)
    keystore = place.open(settings) if place else settings.vault().keystore
    collections = backup_file.collections(keystore)
    changes = list(compare(entries, collections))
    for warning in keystore.warnings:
        settings.talk.warn(warning)
    answer(f"{path}: {backup_file.origin(backup.archive)}\n")
    answer("".join(f"   {line}\n" for line in _lines(changes)))
    to_do = [change for change in changes if change.is_to_do]
    refused = any(change.is_refused for change in changes)
    if refused:
        settings.talk.warn("remove what cannot be read, with `remove` or `mfa remove`, and restore it then")
    if not to_do:
        answer("There is nothing to restore.\n")
        return int(refused)
    if arguments.on("dry-run"):
        return int(refused)
    if not arguments.on("yes") and not _confirmed(len(to_do), keystore.location):
        return 0
    store = place.name if place else str(settings.get("backend")) or settings.chosen
    _keep_copy(settings, backup, to_do, store, keystore.location)
    if place is None:
        _forget_sessions(settings, changes)
    failed = _put(settings, to_do, collections)
    if place is not None:
        place.tell_how_to_use(settings)
    return int(refused or failed)


def _place(arguments: Arguments, settings: Settings) -> Place | None:
    """The keystore that is named; None if none is, or the one in use.

    Raises:
        UsageError: There is no such store.
    """
    text, in_use = arguments.text("to"), str(settings.get("backend"))
    place = places.read(settings, text, "--to") if text else None
    if place is None or not in_use:
        return place
    return None if place.is_same(places.read(settings, in_use, "backend")) else place


def _wanted(arguments: Arguments, archive: Archive) -> list[Entry]:
    """The items that are meant.

    Raises:
        ProfileNotFound: A profile is named of which there are none.
    """
    names = arguments.texts("only")
    if not names:
        return list(archive.entries)
    owned = [(owner(entry.collection, entry.item.key), entry) for entry in archive.entries]
    for name in names:
        if all(owned_by != name for owned_by, _ in owned):
            known = sorted(vault_name for vault_name, _ in owned if vault_name)
            raise ProfileNotFound(
                str(name), f"nothing of profile {name!r} is in the backup", known=dict.fromkeys(known)
            )
    return [entry for owned_by, entry in owned if owned_by in names]


# Showing


def _lines(changes: list[Change]) -> Iterator[str]:
    """A line for each item: what it is, and what becomes of it."""
    rows = [(_shown(change.entry), _told(change)) for change in changes]
    width = min(max((len(name) for name, _ in rows), default=0), WIDEST)
    for name, told in sorted(rows):
        yield f"{name.ljust(width)}  {told}"


def _shown(entry: Entry) -> str:
    """What an item is, for people."""
    key = entry.item.key
    if entry.collection != MAIN:
        kind, _, name = key.partition(":")
        return f"{kind} {_quoted(name)}"
    session = vault.SessionName.read(key)
    if session and not vault.is_key(key):
        return f"session {_quoted(session.profile)}, until {show_time(session.expires_at)}"
    return f"{'key' if vault.is_key(key) else 'sign-in'} {_quoted(key.removeprefix('oidc:'))}"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=not name.isprintable())


def _told(change: Change) -> str:
    if change.is_refused:
        return _REFUSED
    if change.state == DIFFERENT and change.present is not None:
        ids = [_access_key_id(data) for data in (change.present.data, change.entry.item.data)]
        if all(ids) and ids[0] != ids[1]:
            return f"{_TOLD[DIFFERENT]} ({shown_id(ids[0])} by {shown_id(ids[1])})"
    return _TOLD[change.state]


def _access_key_id(data: bytes) -> str:
    """The id of a long-term key; empty of everything else."""
    try:
        found = json.loads(data)["AccessKeyID"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    return found if isinstance(found, str) else ""


def _confirmed(count: int, location: str) -> bool:
    items = "this item" if count == 1 else f"these {count} items"
    try:
        return prompt.confirm(f"Restore {items} to {location}? (y|N) ")
    except PromptDismissed:
        return False
    except PromptUnavailable as error:
        raise PromptUnavailable(error.message, "run it in a terminal, or use --yes") from error


# Doing


def _keep_copy(settings: Settings, backup: Opened, changes: list[Change], store: str, location: str) -> None:
    """Before anything is replaced: a backup of what will be, which the same passphrase or key opens."""
    replaced = [
        Entry(change.entry.collection, change.present, None) for change in changes if change.present is not None
    ]
    if not replaced:
        return
    now = time.time()
    archive = Archive(
        replaced, made_at=show_time(now), made_by=f"{settings.talk.program} restore", store=store, location=location
    )
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    sealed = backup.seal(archive.to_bytes())
    path = backup_file.write_copy(settings, f"replaced-{stamp}.age", sealed)
    settings.talk.say(f"what is replaced is kept in {path}: `{settings.talk.program} restore` takes it back")


def _forget_sessions(settings: Settings, changes: list[Change]) -> None:
    """Remove the sessions of keys that are replaced: they would go on with the rights of those."""
    items = [(change.entry.item.key, change.state) for change in changes if change.entry.collection == MAIN]
    replaced = [key for key, state in items if state == DIFFERENT and vault.is_key(key)]
    outdated = {key for name in replaced for key in lineage.sessions_of_key(settings, name)}
    removed = settings.vault().remove(sorted(outdated - {key for key, _ in items}))
    removed += sum(lineage.forget_narrowed(settings, master=name) for name in replaced)
    if removed:
        answer(f"Deleted {removed} existing sessions.\n")


def _put(settings: Settings, changes: list[Change], collections: Mapping[str, Keystore]) -> bool:
    """Put items back; tell whether one could not be."""
    done = failed = in_a_row = 0
    try:
        for change in changes:
            try:
                carry_out(change, collections)
                done, in_a_row = done + 1, 0
            except KeystoreLocked:
                raise
            except (KeystoreError, BackupError) as error:
                settings.talk.error(f"restore: {error.message}", error.hint)
                failed += 1
                in_a_row = in_a_row + 1 if isinstance(error, KeystoreError) else 0
                if in_a_row == FAILURES_IN_A_ROW:
                    break  # a full disk takes none of the others either
    finally:
        if done:
            settings.remember_store()
        rest = f" of {len(changes)}" if done < len(changes) else ""
        answer(f"Restored {done}{rest} item{'' if len(changes) == 1 else 's'}.\n")
    return bool(failed)
