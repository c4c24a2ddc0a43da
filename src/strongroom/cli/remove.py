"""``remove``: remove a stored key, and the sessions that were made from it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from strongroom import prompt, vault
from strongroom.cli import lineage
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.errors import ItemNotFound, ProfileNotFound, PromptDismissed, PromptUnavailable

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (
    Flag("force", "do not ask", short="f"),
    Flag("sessions-only", short="s", hidden=True),
)
WORDS = ("profile",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Ask, and remove."""
    name = arguments.words[0]
    store = settings.vault()
    if arguments.on("sessions-only"):
        removed = store.remove(lineage.sessions_of_profile(settings, name))
        answer(f"Deleted {removed + lineage.forget_narrowed(settings, profile=name)} sessions.\n")
        return 0
    if name not in store.listing or vault.kind_of(name) != vault.CREDENTIAL:
        raise _unknown(name, settings)
    if not arguments.on("force") and not _confirmed(name):
        return 0
    # The sessions first: should it end in between, what is left can be removed again.
    sessions = store.remove(lineage.sessions_of_key(settings, name)) + lineage.forget_narrowed(settings, master=name)
    try:
        store.keystore.remove(name)
    except ItemNotFound as error:
        raise _unknown(name, settings) from error
    answer("Deleted credentials.\n")
    if sessions:
        answer(f"Deleted {sessions} sessions.\n")
    settings.talk.say("the key itself is still active in IAM: deactivate or delete it there if it is no longer needed")
    return 0


def _unknown(name: str, settings: Settings) -> ProfileNotFound:
    return ProfileNotFound(
        name,
        f"no credentials are stored for profile {name!r}",
        "`list --credentials` shows those that are",
        known=settings.vault().credentials(),
    )


def _confirmed(name: str) -> bool:
    try:
        return prompt.confirm(f"Delete credentials for profile {json.dumps(name, ensure_ascii=False)}? (y|N) ")
    except PromptDismissed:
        return False
    except PromptUnavailable as error:
        raise PromptUnavailable(error.message, "run it in a terminal, or use --force") from error
