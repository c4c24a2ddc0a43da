"""Items in whatever a program of the user's keeps them: ``helper:NAME`` is the program ``strongroom-store-NAME``.

It is started for each operation, without words, reads one line of JSON, prints one line of JSON, and ends with 0:

==========  ============================  ======================================================================
operation   beside ``collection``         answer
==========  ============================  ======================================================================
``get``     ``key``                       ``{"value": "..."}``
``put``     ``key``, ``value``            ``{}``
``delete``  ``key``                       ``{}``
``list``                                  ``{"keys": {"jon": 1795315097.5, "kim": null}}``: when each was written
any                                       ``{"error": "missing", "message": "..."}``, or another key of `ERRORS`
==========  ============================  ======================================================================

Requests have ``"strongroom": 1``, the version of all this. Keys are any text. A value is text in ASCII, to be given
back as it was: the JSON that aws-vault has for an item. No secret is among the program's words or in its environment.
"""

from __future__ import annotations

import json
import os
import re

from strongroom.errors import (
    ConfigError,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
    StrongroomError,
)
from strongroom.keystore import Item, program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from strongroom.keystore import Ask
    from strongroom.keystore.program import Run

PREFIX = "strongroom-store-"
VERSION = 1
# The name that aws-vault has for its collections where it chooses one.
COLLECTION = "aws-vault"
# Time for a human to type a passphrase.
DEFAULT_TIMEOUT_SECONDS = 60.0
# What is shown of what a program says of itself.
LIMIT_SHOWN = 200

# What a program may say -> what that is here. Any other word is taken for the last.
ERRORS: dict[str, type[StrongroomError]] = {
    "locked": KeystoreLocked,
    "dismissed": PromptDismissed,
    "unavailable": KeystoreUnavailable,
    "failed": KeystoreError,
}
MISSING = "missing"


def open(  # noqa: A001 - the family's shape
    settings: Mapping[str, Any],
    ask: Ask,  # noqa: ARG001 - the program asks by itself
    run: Run = program.run_in_front,
) -> HelperKeystore:
    """Open the store; no program is started.

    Args:
        settings: ``helper``, its name; ``helper_timeout``, how many seconds a run of it may take, a human included;
            ``program_environment``, what it gets for its environment.
        ask: Never called.
        run: How to run it.

    Raises:
        ConfigError: No program is called like that.
        KeystoreUnavailable: It is not on the path.
    """
    name = str(settings.get("helper") or "")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"helper {name!r} is no name of a program", "helper:NAME runs strongroom-store-NAME")
    environ = dict(settings.get("program_environment") or {})
    path = program.find(PREFIX + name, environ, "put it on the PATH and make it executable (chmod +x)")
    timeout_seconds = float(settings.get("helper_timeout") or DEFAULT_TIMEOUT_SECONDS)
    return HelperKeystore(path, environ, timeout_seconds=timeout_seconds, run=run)


class HelperKeystore:
    """What a program keeps.

    Args:
        path: The program.
        environ: Its whole environment.
        collection: Which of its collections.
        timeout_seconds: How long a run of it may take.
        run: How to run it.
    """

    __slots__ = ("_collection", "_environ", "_path", "_run", "_timeout_seconds", "warnings")

    def __init__(
        self,
        path: str,
        environ: Mapping[str, str],
        collection: str = COLLECTION,
        *,
        timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS,
        run: Run = program.run_in_front,
    ) -> None:
        self.warnings: list[str] = []
        self._path = path
        self._environ = environ
        self._collection = collection
        self._timeout_seconds = timeout_seconds
        self._run = run

    @property
    def location(self) -> str:
        """The program, and which of its collections."""
        return f"{os.path.basename(self._path)} ({self._collection})"

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are: one run."""
        keys = self._told("list").get("keys")
        if not isinstance(keys, dict):
            raise self._wrong("keys")
        for changed in keys.values():
            if changed is not None and (not isinstance(changed, (int, float)) or isinstance(changed, bool)):
                raise self._wrong("keys")
        return keys

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        value = self._told("get", key).get("value")
        if not isinstance(value, str):
            raise self._wrong("value")
        return Item.from_json(key, value.encode("utf-8", "replace"))

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract, as far as the program keeps it."""
        self._told("put", item.key, value=item.to_json().decode("ascii"))

    def remove(self, key: str) -> None:
        """Remove one item; the errors are those of the contract."""
        self._told("delete", key)

    def beside(self, collection: str) -> HelperKeystore:
        """Another of its collections."""
        return HelperKeystore(
            self._path, self._environ, collection, timeout_seconds=self._timeout_seconds, run=self._run
        )

    def _told(self, operation: str, key: str | None = None, **more: str) -> dict[str, Any]:
        """Ask the program, and return what it answers."""
        request = {"strongroom": VERSION, "operation": operation, "collection": self._collection} | more
        if key is not None:
            request["key"] = key
        line = json.dumps(request, separators=(",", ":")).encode("ascii") + b"\n"
        outcome = self._run([self._path], self._environ, given=line, timeout_seconds=self._timeout_seconds)
        name = os.path.basename(self._path)
        if outcome.status:
            ended = f"ended by signal {-outcome.status}" if outcome.status < 0 else f"exit status {outcome.status}"
            raise KeystoreError(f"{name}: {operation}: {ended}{_shown(outcome.complaint)}")
        try:
            answer = json.loads(outcome.output)
        except (ValueError, RecursionError):  # no cause: it quotes what may be a secret
            answer = None
        if not isinstance(answer, dict):
            raise KeystoreError(f"{name}: {operation}: it did not print one line of JSON")
        error = answer.get("error")
        if error is None:
            return answer
        if error == MISSING and key is not None:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        kind = ERRORS.get(error, KeystoreError) if isinstance(error, str) else KeystoreError
        raise kind(
            f"{name}: {operation}: {error if isinstance(error, str) else 'failed'}{_shown(answer.get('message'))}"
        )

    def _wrong(self, field: str) -> KeystoreError:
        return KeystoreError(
            f"{os.path.basename(self._path)}: {field!r} in its answer is missing, or is not what it should be"
        )


def _shown(said: object) -> str:
    """Return the last line of what a program says, to stand behind a message."""
    lines = said.strip().splitlines() if isinstance(said, str) else []
    if not lines:
        return ""
    return ": " + "".join(each if each.isprintable() else "?" for each in lines[-1].strip())[:LIMIT_SHOWN]
