"""Items in 1Password by its own command line program, ``op``: what the stores ``op`` and ``op-desktop`` share.

https://developer.1password.com/docs/cli/reference/management-commands/item documents the commands. Items are given to
it as a template on standard input: what stands among the words of a program, everybody on the machine can read.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    PromptDismissed,
    StrongroomError,
)
from strongroom.keystore import onepassword, program

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.keystore import Item
    from strongroom.keystore.onepassword import Layout
    from strongroom.keystore.program import Run

INSTALL = "install 1Password's command line program, version 2.30 or later, or choose another keystore"

# What decides by which way `op` reaches 1Password; each store sets its own and no other.
WAYS = frozenset(
    {"OP_ACCOUNT", "OP_BIOMETRIC_UNLOCK_ENABLED", "OP_CONNECT_HOST", "OP_CONNECT_TOKEN", "OP_SERVICE_ACCOUNT_TOKEN"}
)

_UNLOCK = "unlock the 1Password app, and turn on its integration with the command line (Settings, Developer)"
_TOKEN = "check AWS_VAULT_OP_SERVICE_ACCOUNT_TOKEN, and what the service account may do in this vault"  # noqa: S105
_VAULT = "check --op-vault-id; `op vault list` shows what there is"

# What `op` says, in lower case -> what that means, and what to do about it.
_SAYINGS: tuple[tuple[str, type[StrongroomError], str, str], ...] = (
    ("prompt dismissed", PromptDismissed, "the question was dismissed in the window of 1Password", ""),
    ("authorization timeout", KeystoreLocked, "1Password was not unlocked in time", _UNLOCK),
    ("authorization denied", KeystoreLocked, "1Password refused to be unlocked", _UNLOCK),
    ("to desktop app", KeystoreLocked, "op cannot reach the 1Password app", _UNLOCK),
    ("1password desktop app", KeystoreLocked, "op cannot reach the 1Password app", _UNLOCK),
    ("isn't a vault", KeystoreError, "1Password has no vault {vault!r} for us", _VAULT),
    (
        "isn't an account",
        KeystoreLocked,
        "1Password's app knows no account of that name",
        "check its id: op account list",
    ),
    ("no accounts configured", KeystoreLocked, "op knows no account", _UNLOCK),
    ("not currently signed in", KeystoreLocked, "op is not signed in", _UNLOCK),
    ("not signed in", KeystoreLocked, "op is not signed in", _UNLOCK),
    ("session expired", KeystoreLocked, "op is not signed in any more", _UNLOCK),
    ("authtoken", KeystoreLocked, "1Password refused the token", _TOKEN),
    ("service account token", KeystoreLocked, "1Password refused the token", _TOKEN),
    ("(401)", KeystoreLocked, "1Password refused the token", _TOKEN),
    ("unauthorized", KeystoreLocked, "1Password refused the token", _TOKEN),
    ("permission to", KeystoreError, "1Password does not allow this in vault {vault!r}", _TOKEN),
    ("forbidden", KeystoreError, "1Password does not allow this in vault {vault!r}", _TOKEN),
    ("too many requests", KeystoreError, "1Password's limit of requests is used up", "try again later"),
    ("rate-limited", KeystoreError, "1Password's limit of requests is used up", "try again later"),
)
# `op` says of an item that has gone: "X" isn't an item.
_GONE = "isn't an item"


class OpKeystore:
    """A vault of 1Password, by ``op``.

    Args:
        layout: Which items are ours.
        path: The program.
        environ: Makes its whole environment, and asks for what that needs; called when the program first runs.
        words: What it is told before each command.
        timeout_seconds: How long one run of it may take, a human's answer to it included.
        run: How to run it.
    """

    __slots__ = ("_environ", "_ids", "_layout", "_path", "_run", "_timeout_seconds", "_words", "warnings")

    def __init__(
        self,
        layout: Layout,
        path: str,
        environ: Callable[[], Mapping[str, str]],
        *,
        words: tuple[str, ...] = (),
        timeout_seconds: float = onepassword.DEFAULT_TIMEOUT_SECONDS,
        run: Run = program.run,
    ) -> None:
        self.warnings: list[str] = []
        self._layout = layout
        self._path = path
        self._environ = environ
        self._words = words
        self._timeout_seconds = timeout_seconds
        self._run = run
        # As they were last listed: an item that is opened after a listing costs one run more, not two.
        self._ids: dict[str, list[tuple[str, float | None]]] | None = None

    @property
    def location(self) -> str:
        """The vault, and what the items are called in it."""
        return self._layout.location

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last changed: one run, which shows no secret."""
        return onepassword.modified(self._listed())

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        remembered = self._ids
        if remembered is not None and len(remembered.get(key, ())) == 1:
            try:
                return self._opened(key, remembered[key][0][0])
            except ItemNotFound:
                pass  # replaced by another program since
        return self._opened(key, onepassword.only(key, self._listed().get(key, []), self.location))

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract."""
        whole = self._layout.written(item)
        found = self._listed().get(item.key, [])
        words = ["item", "edit", onepassword.only(item.key, found, self.location)] if found else ["item", "create", "-"]
        self._ids = None
        self._told(item.key, *words, given=json.dumps(whole).encode())

    def remove(self, key: str) -> None:
        """Remove one item, as often as it is there; the errors are those of the contract."""
        found = self._listed().get(key, [])
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        self._ids = None
        for id, _ in found:  # noqa: A001 - 1Password's word
            self._told(key, "item", "delete", id, json_wanted=False)

    def beside(self, collection: str) -> OpKeystore:
        """Items of other titles and another tag in the same vault."""
        return OpKeystore(
            self._layout.beside(collection),
            self._path,
            self._environ,
            words=self._words,
            timeout_seconds=self._timeout_seconds,
            run=self._run,
        )

    def _listed(self) -> dict[str, list[tuple[str, float | None]]]:
        words = ("item", "list", "--categories", "API Credential", "--tags", self._layout.tag)
        self._ids = self._layout.ids(_json(self._told("", *words)))
        return self._ids

    def _opened(self, key: str, id: str) -> Item:  # noqa: A002 - 1Password's word
        output = self._told(key, "item", "get", id, "--reveal")
        try:
            whole = _json(output)
        except KeystoreError:
            raise ItemDamaged(key, f"item {key!r} is damaged: op did not print it as JSON") from None
        return self._layout.read(key, whole)

    def _told(self, key: str, *words: str, given: bytes = b"", json_wanted: bool = True) -> bytes:
        """Run ``op`` and return what it printed, or say what went wrong. Its words hold ids and our tag, no more."""
        argv = [self._path, *self._words, *words, "--vault", self._layout.vault]
        if json_wanted:
            argv += ["--format", "json"]
        outcome = self._run(argv, self._environ(), given=given, timeout_seconds=self._timeout_seconds)
        if not outcome.status:
            return outcome.output
        said = outcome.complaint.lower()
        if key and _GONE in said:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        for saying, error, message, hint in _SAYINGS:
            if saying in said:
                raise error(message.format(vault=self._layout.vault), hint)
        # What it says of a template that it was given may quote that.
        told = "" if given else f": {_last_line(outcome.complaint)}"
        raise KeystoreError(f"op {' '.join(words[:2])}: exit status {outcome.status}{told}")


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what every run of ``op`` gets, before a store adds its way to 1Password."""
    inherited: Mapping[str, str] = settings.get("program_environment") or {}
    return {name: value for name, value in inherited.items() if name not in WAYS}


def timeout(settings: Mapping[str, Any]) -> float:
    """Return how long a run of ``op`` may take, in seconds."""
    return float(settings.get("op_timeout") or onepassword.DEFAULT_TIMEOUT_SECONDS)


def _json(output: bytes) -> Any:
    try:
        return json.loads(output or b"null")
    except ValueError:  # no cause: it quotes what may be a secret
        raise KeystoreError("op did not print JSON", INSTALL) from None


def _last_line(complaint: str) -> str:
    lines = complaint.strip().splitlines()
    return lines[-1].strip()[:200] if lines else "it did not say why"
