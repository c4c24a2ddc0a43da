"""``reveal``: show a stored long-term key, on purpose."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from strongroom import prompt
from strongroom.cli import retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.errors import ProfileNotFound, PromptDismissed, PromptUnavailable

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (Flag("stdout", "print the key on standard output instead of on the terminal"),)
WORDS = ("profile",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Ask, and show.

    Raises:
        ProfileNotFound: No key is stored under that name.
        StrongroomError: A setting forbids it.
        PromptUnavailable: There is no terminal to ask at.
    """
    name = arguments.words[0]
    retrieval.refuse_bytes(name)
    retrieval.refuse_if_forbidden(settings, "whoever set it may have had a reason")
    vault = settings.vault()
    known = vault.credentials()
    if name not in known:
        raise ProfileNotFound(
            name,
            f"no credentials are stored for profile {name!r}",
            "`list --credentials` shows those that are",
            known=known,
        )
    if not _confirmed(name):
        return 0
    key = vault.key(name)
    retrieval.warn_of_store(settings)
    lines = (f"Access Key ID: {key.access_key_id}", f"Secret Access Key: {key.secret_access_key}")
    if arguments.on("stdout"):
        answer("".join(f"{line}\n" for line in lines))
    else:
        for line in lines:
            prompt.tell(line)
    return 0


def _confirmed(name: str) -> bool:
    shown = json.dumps(name, ensure_ascii=False)
    try:
        return prompt.confirm(f"Show the secret of profile {shown} to whoever can see this screen? (y|N) ")
    except PromptDismissed:
        return False
    except PromptUnavailable as error:
        raise PromptUnavailable(
            error.message, "run it in a terminal: a human has to say yes; programs are served by `export --no-session`"
        ) from error
