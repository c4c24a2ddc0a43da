"""``list``: list profiles, stored keys and sessions. No secret is opened, and no passphrase needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import narrowed, profiles
from strongroom.cli import retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.credentials import go_json, show_time
from strongroom.durations import show, show_age
from strongroom.errors import KeystoreError, StrongroomError
from strongroom.own_items import ROTATION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.vault import SessionName, Vault

FLAGS = (
    Flag("profiles", "names of profiles only, one a line"),
    Flag("sessions", "sessions only, one a line"),
    Flag("credentials", "names of stored keys only, one a line"),
    Flag("long", "also for how long each key has been stored, narrowed sessions, and interrupted rotations"),
    Flag("json", "everything, as JSON"),
)
WORDS: tuple[str, ...] = ()
RUNS = False

HEADS = ("Profile", "Credentials", "Sessions")
AGE_HEAD = "Stored"
# What a session that was narrowed for one run is called, instead of a digest of what it was made for.
NARROWED = "narrowed"
# A file that is no config at all would otherwise be told of line by line.
MOST_MISTAKES = 10
# aws-vault's: scripts cut columns out of it.
LEAST_WIDTH = 25


def run(arguments: Arguments, settings: Settings) -> int:
    """Print what there is."""
    inventory = Inventory(settings)
    _tell_of_mistakes(settings)
    retrieval.warn_of_store(settings)
    if not arguments.on("json"):
        for name in inventory.interrupted:
            settings.talk.say(f"a rotation was interrupted: `{settings.talk.program} rotate --resume {name}` goes on")
    if arguments.on("json"):
        told = inventory.as_json()
        if arguments.on("long"):
            told |= inventory.more_as_json()
        answer(go_json(told, indent=2) + "\n")
    elif arguments.on("credentials"):
        answer(_lines(inventory.credentials))
    elif arguments.on("profiles"):
        answer(_lines(inventory.profiles))
    elif arguments.on("sessions"):
        answer(_lines(label for _, labels in inventory.rows_of_sessions() for label in labels))
    elif arguments.on("long"):
        answer(_table([(*HEADS, AGE_HEAD), *((*row, inventory.age_of(row[1])) for row in inventory.rows())]))
    else:
        answer(_table([HEADS, *inventory.rows()]))
    return 0


def _tell_of_mistakes(settings: Settings) -> None:
    mistakes = settings.document().mistakes()
    for mistake in mistakes[:MOST_MISTAKES]:
        settings.talk.warn(f"{settings.config_path}:{mistake.line}: {mistake.reason}")
    if len(mistakes) > MOST_MISTAKES:
        settings.talk.warn(f"{settings.config_path}: {len(mistakes) - MOST_MISTAKES} more lines cannot be read")


class Inventory:
    """What is configured and what is stored, as of one moment.

    Args:
        settings: Where to look.
    """

    def __init__(self, settings: Settings) -> None:
        store: Vault = settings.vault()
        self.now = store.now()
        self.profiles = profiles.names(settings.document())
        self.credentials = store.credentials()
        self.stored_at = {name: store.listing.get(name) for name in self.credentials}
        self.sessions: dict[str, list[SessionName]] = {}
        for session in store.sessions():
            self.sessions.setdefault(session.profile, []).append(session)
        self.tokens = store.tokens()
        self.narrowed: list[SessionName] = []
        self.interrupted: list[str] = []
        if settings.arguments.on("long"):
            self._look_beside(settings)
        self._token_labels = _token_labels(settings, self.tokens)
        self._token_of = _token_of_profiles(settings, self.profiles) if self.tokens else {}

    def _look_beside(self, settings: Settings) -> None:
        """Look into the collection that only strongroom knows, as far as that can be done."""
        try:
            own = settings.own_items()
            self.narrowed, self.interrupted = narrowed.sessions(own), own.names(ROTATION)
        except KeystoreError as error:
            settings.talk.warn(f"neither narrowed sessions nor interrupted rotations are shown: {error.message}")

    def rows(self) -> Iterable[tuple[str, str, str]]:
        """The table's rows: profiles in the config's order, then keys without a profile, then other sessions."""
        known = set(self.credentials)
        labels = dict(self.rows_of_sessions())
        for profile in self.profiles:
            yield profile, profile if profile in known else "-", ", ".join(labels.pop(profile, ())) or "-"
        configured = set(self.profiles)
        for name in self.credentials:
            if name not in configured:
                yield "-", name, "-"
        for others in labels.values():
            for label in others:
                yield "-", "-", label

    def rows_of_sessions(self) -> Iterable[tuple[str, list[str]]]:
        """Profile -> the labels of its tokens and sessions; those of no profile come last, under their own names."""
        shown = set()
        for profile in self.profiles:
            token = self._token_of.get(profile, "")
            labels = [self._token_labels[token]] if token in self._token_labels else []
            shown.add(token)
            labels += [self._label(session) for session in self.sessions.get(profile, ())]
            labels += [self._label(session, NARROWED) for session in self.narrowed if session.profile == profile]
            if labels:
                yield profile, labels
        configured = set(self.profiles)
        for token in self.tokens:
            if token not in shown:
                yield f"\0{token}", [self._token_labels[token]]
        for profile, sessions in self.sessions.items():
            if profile not in configured:
                yield f"\0{profile}", [self._label(session) for session in sessions]
        others = [self._label(session, NARROWED) for session in self.narrowed if session.profile not in configured]
        if others:
            yield f"\0{NARROWED}", others

    def age_of(self, credentials: str) -> str:
        """For how long a key has been stored, as the table shows it."""
        stored_at = self.stored_at.get(credentials)
        return "-" if stored_at is None else f"{show_age(self.now - stored_at)} ago"

    def more_as_json(self) -> dict[str, object]:
        """What `--long` adds; the time at which a key was stored is None where the store does not know it."""
        keys = [
            {
                "name": name,
                "stored": None if stored_at is None else show_time(stored_at),
                "age_seconds": None if stored_at is None else int(self.now - stored_at),
            }
            for name, stored_at in self.stored_at.items()
        ]
        sessions = [
            {"profile": session.profile, "key": session.serial or None, **self._times_json(session)}
            for session in self.narrowed
        ]
        return {"keys": keys, "narrowed_sessions": sessions, "interrupted_rotations": self.interrupted}

    def _label(self, session: SessionName, kind: str = "") -> str:
        left = session.expires_at - self.now
        return f"{kind or session.kind}:{show(left) if left > 0 else 'expired'}"

    def as_json(self) -> dict[str, object]:
        """The same for programs; times are RFC 3339."""
        known = set(self.credentials)
        return {
            "profiles": [
                {
                    "name": profile,
                    "has_credentials": profile in known,
                    "sessions": [self._session_json(session) for session in self.sessions.get(profile, ())],
                }
                for profile in self.profiles
            ],
            "credentials": self.credentials,
            "sessions": [self._session_json(session) for sessions in self.sessions.values() for session in sessions],
            "tokens": [
                {"start_url": token.removeprefix("oidc:"), "label": self._token_labels[token]} for token in self.tokens
            ],
        }

    def _session_json(self, session: SessionName) -> dict[str, object]:
        return {
            "type": session.kind,
            "profile": session.profile,
            "mfa_serial": session.serial,
            **self._times_json(session),
        }

    def _times_json(self, session: SessionName) -> dict[str, object]:
        return {
            "expiration": show_time(session.expires_at),
            "seconds_left": int(session.expires_at - self.now),
            "expired": session.expires_at <= self.now,
        }


def _token_labels(settings: Settings, tokens: Iterable[str]) -> dict[str, str]:
    """Item name -> ``oidc:`` and the sso-session of that start URL, the first in the file, or else the URL's host."""
    sessions: dict[str, str] = {}
    for name, start_url in profiles.sso_sessions(settings.document()).items():
        sessions.setdefault(start_url, name)
    labels = {}
    for token in tokens:
        start_url = token.removeprefix("oidc:")
        host = start_url.partition("://")[2].partition("/")[0]
        labels[token] = f"oidc:{sessions.get(start_url) or host or start_url}"
    return labels


def _token_of_profiles(settings: Settings, names: Iterable[str]) -> Mapping[str, str]:
    """Profile -> the name that its Identity Center token would have."""
    found = {}
    for name in names:
        try:
            profile = profiles.resolve(settings.document(), name, flags={}, environ={})
        except StrongroomError:
            continue  # a mistake that was told of already
        if profile.sso_start_url:
            found[name] = f"oidc:{profile.sso_start_url}"
    return found


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns under their heads, the first row; each padded, the last one too."""
    heads = rows[0]
    cells = [heads, tuple("=" * len(head) for head in heads), *rows[1:]]
    widths = [max(LEAST_WIDTH, *(len(row[column]) + 2 for row in cells)) for column in range(len(heads))]
    return _lines("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
