"""Items in Proton Pass, by Proton's own command line program, ``pass-cli``.

https://protonpass.github.io/pass-cli/commands/item/ documents the commands. An item is a note, ``<prefix>/<key>``,
whose text is the item's data as it is, which is what aws-vault keeps there. An item that would lose something by that,
because its data is no text or its label is an unusual one, is kept whole, as `Item.to_json` writes it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
    StrongroomError,
)
from strongroom.keystore import Item, plain, program
from strongroom.keystore.onepassword import epoch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.keystore import Ask
    from strongroom.keystore.program import Run

DEFAULT_PREFIX = "aws-vault"
DEFAULT_TIMEOUT_SECONDS = 30.0

INSTALL = "install Proton's pass-cli (https://protonpass.github.io/pass-cli/), or choose another keystore"
_SIGN_IN = "sign in: pass-cli login; or set PROTON_PASS_PERSONAL_ACCESS_TOKEN"
_SHARE = "check --proton-pass-share-id; `pass-cli vault list --output json` shows what there is"

# What `pass-cli` says, in lower case -> what that means, and what to do about it.
_SAYINGS: tuple[tuple[str, type[StrongroomError], str, str], ...] = (
    ("human verification", KeystoreLocked, "Proton wants to see a human first", "run pass-cli login and follow it"),
    ("too many requests", KeystoreError, "Proton's limit of requests is used up", "try again later"),
    ("too many recent", KeystoreError, "Proton's limit of requests is used up", "try again later"),
    ("rate limit", KeystoreError, "Proton's limit of requests is used up", "try again later"),
    ("operation cancelled", PromptDismissed, "the question of pass-cli was dismissed", ""),
    ("session is locked", KeystoreLocked, "the session of pass-cli is locked", "unlock it: pass-cli session unlock"),
    ("permission denied", KeystoreError, "Proton Pass does not allow this in that vault", _SHARE),
    ("not have permission", KeystoreError, "Proton Pass does not allow this in that vault", _SHARE),
    ("finding share", KeystoreError, "Proton Pass has no such vault for us", _SHARE),
    ("finding vault", KeystoreError, "Proton Pass has no such vault for us", _SHARE),
    ("share not found", KeystoreError, "Proton Pass has no such vault for us", _SHARE),
    ("vault not found", KeystoreError, "Proton Pass has no such vault for us", _SHARE),
)
_SIGNED_OUT = (
    "not logged in",
    "please log in",
    "pass-cli login",
    "unauthorized",
    "no session",
    "session expired",
    "authenticated client",
)

# A note of ours that is no JSON to others.
_WHOLE = "strongroom item: "


def open(settings: Mapping[str, Any], ask: Ask, run: Run = program.run) -> ProtonKeystore:  # noqa: A001, ARG001 - the family's shape
    """Open the vault ``proton_pass_share_id``; ``proton_pass_token`` signs in when nobody is.

    Raises:
        KeystoreUnavailable: ``pass-cli`` is not installed, or no vault is named.
    """
    environ = dict(settings.get("program_environment") or {})
    # Proton's audit log wants to know, of sessions that were made for programs.
    environ.setdefault("PROTON_PASS_AGENT_REASON", "strongroom keeps AWS credentials here")
    path = program.find("pass-cli", environ, INSTALL)
    share = settings.get("proton_pass_share_id")
    if not share:
        raise KeystoreUnavailable(
            "no vault of Proton Pass is named", "give --proton-pass-share-id, or set AWS_VAULT_PROTON_PASS_SHARE_ID"
        )
    return ProtonKeystore(
        path,
        environ,
        str(share),
        str(settings.get("proton_pass_item_title_prefix") or DEFAULT_PREFIX),
        token=str(settings.get("proton_pass_token") or ""),
        timeout_seconds=float(settings.get("proton_pass_timeout") or DEFAULT_TIMEOUT_SECONDS),
        run=run,
    )


class ProtonKeystore:
    """A vault of Proton Pass.

    Args:
        path: The program ``pass-cli``.
        environ: Its whole environment.
        share: The vault's share id.
        prefix: What titles begin with.
        token: A personal access token, to sign in with when nobody is.
        timeout_seconds: How long one run of the program may take.
        run: How to run it.
    """

    __slots__ = ("_environ", "_ids", "_path", "_prefix", "_run", "_share", "_timeout_seconds", "_token", "warnings")

    def __init__(
        self,
        path: str,
        environ: Mapping[str, str],
        share: str,
        prefix: str,
        *,
        token: str = "",
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        run: Run = program.run,
    ) -> None:
        self.warnings: list[str] = []
        self._path = path
        self._environ = environ
        self._share = share
        self._prefix = prefix
        self._token = token
        self._timeout_seconds = timeout_seconds
        self._run = run
        # As they were last listed: an item that is opened after a listing costs one run more, not two.
        self._ids: dict[str, list[tuple[str, float | None]]] | None = None

    @property
    def location(self) -> str:
        """The vault, and what the items are called in it."""
        return f"Proton Pass, vault {self._share}, notes {self._prefix!r}"

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last changed: one run. Older programs send the notes along."""
        return {key: found[0][1] for key, found in self._listed().items()}

    def get(self, key: str) -> Item:
        """Open one item, the newest if a writer was killed before it removed the one before."""
        if self._ids is not None and key in self._ids:
            try:
                return self._opened(key, self._ids[key][0][0])
            except ItemNotFound:
                pass  # replaced by another program since
        found = self._listed().get(key)
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        return self._opened(key, found[0][0])

    def set(self, item: Item) -> None:
        """Store an item: a new note, then the older ones are removed.

        The program changes a note only by a value among its words, which everybody on the machine can read.
        """
        try:
            item.key.encode("utf-8")
        except UnicodeEncodeError:
            raise KeystoreError(f"cannot store item {item.key!r}: Proton's titles are Unicode text") from None
        template = json.dumps({"title": f"{self._prefix}/{item.key}", "note": _note(item)}).encode()
        older = self._listed().get(item.key, [])
        self._ids = None
        self._told(item.key, "create", "note", "--from-template", "-", given=template)
        self._delete(item.key, older)

    def remove(self, key: str) -> None:
        """Remove one item, as often as it is there; the errors are those of the contract."""
        found = self._listed().get(key)
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        self._ids = None
        self._delete(key, found)

    def beside(self, collection: str) -> ProtonKeystore:
        """Notes of other titles in the same vault."""
        return ProtonKeystore(
            self._path,
            self._environ,
            self._share,
            f"{self._prefix}-{collection}",
            token=self._token,
            timeout_seconds=self._timeout_seconds,
            run=self._run,
        )

    def _listed(self) -> dict[str, list[tuple[str, float | None]]]:
        """List our notes: key -> id and time of each, the newest first."""
        output = self._told("", "list", "--filter-type", "note", "--filter-state", "active", "--output", "json")
        found: dict[str, list[tuple[str, float | None]]] = {}
        start = f"{self._prefix}/"
        try:
            for each in json.loads(output)["items"]:
                title = each["title"] if "title" in each else each["content"]["title"]
                if title.startswith(start):
                    when = epoch(each.get("modify_time") or each.get("create_time") or "")
                    found.setdefault(title[len(start) :], []).insert(0, (str(each["id"]), when))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise KeystoreError("pass-cli did not print a list of items", INSTALL) from None
        for copies in found.values():
            copies.sort(key=lambda copy: copy[1] or 0.0, reverse=True)
        self._ids = found
        return found

    def _opened(self, key: str, id: str) -> Item:  # noqa: A002 - Proton's word
        output = self._told(key, "view", "--item-id", id, "--output", "json")
        try:
            content = json.loads(output)["item"]["content"]
            title, note = content["title"], content["note"]
            if not isinstance(note, str) or title != f"{self._prefix}/{key}":
                raise TypeError  # noqa: TRY301 - the same answer as for every other shape that is not ours
        except (ValueError, TypeError, KeyError):  # no cause: it may quote the secret
            raise ItemDamaged(key, f"item {key!r} is damaged: it is no note as pass-cli shows them") from None
        return _item(key, note)

    def _delete(self, key: str, found: list[tuple[str, float | None]]) -> None:
        for id, _ in found:  # noqa: A001 - Proton's word
            try:
                self._told(key, "delete", "--item-id", id)
            except ItemNotFound:
                continue  # somebody else was faster

    def _told(self, key: str, *words: str, given: bytes = b"") -> bytes:
        """Run ``pass-cli item`` and return what it printed, or say what went wrong."""
        argv = [self._path, "item", *words, "--share-id", self._share]
        outcome = self._run(argv, self._environ, given=given, timeout_seconds=self._timeout_seconds)
        if outcome.status and self._token and _says(outcome.complaint, _SIGNED_OUT):
            self._sign_in()
            outcome = self._run(argv, self._environ, given=given, timeout_seconds=self._timeout_seconds)
        if not outcome.status:
            return outcome.output
        if key and _says(outcome.complaint, ("item not found", "item does not exist", "retrieving item")):
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        if _says(outcome.complaint, _SIGNED_OUT):
            raise KeystoreLocked("pass-cli is not signed in", _SIGN_IN)
        for saying, error, message, hint in _SAYINGS:
            if _says(outcome.complaint, (saying,)):
                raise error(message, hint)
        # What it says of a template that it was given may quote that.
        raise KeystoreError(f"pass-cli item {words[0]}: exit status {outcome.status}")

    def _sign_in(self) -> None:
        environ = {**self._environ, "PROTON_PASS_PERSONAL_ACCESS_TOKEN": self._token}
        outcome = self._run([self._path, "login"], environ, given=b"", timeout_seconds=self._timeout_seconds)
        if outcome.status:
            raise KeystoreLocked(
                "Proton refused the personal access token", "make a new one: pass-cli personal-access-token create"
            )


def _says(complaint: str, sayings: tuple[str, ...]) -> bool:
    said = complaint.lower()
    return any(saying in said for saying in sayings)


def _note(item: Item) -> str:
    """Write an item as a note's text: its data if that is text and all that there is to it, else all of the item."""
    try:
        text = plain.pack(item).decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    # What may not come back from a program, a server or an app as it was sent.
    is_safe = text and text == text.strip() and "\0" not in text and "\r" not in text
    return text if is_safe and not text.startswith(_WHOLE) else _WHOLE + item.to_json().decode("ascii")


def _item(key: str, note: str) -> Item:
    """Read what `_note` or aws-vault wrote."""
    text = note.encode("utf-8", "surrogatepass")
    return Item.from_json(key, text[len(_WHOLE) :]) if note.startswith(_WHOLE) else plain.unpack(key, text)
