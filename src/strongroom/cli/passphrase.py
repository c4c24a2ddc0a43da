"""Asking for a keystore's passphrase; a module of its own because a cached run with a passphrase needs none of it."""

from __future__ import annotations

from strongroom.cli.asking import asker
from strongroom.errors import KeystoreLocked, PromptUnavailable
from strongroom.prompt import Question

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.cli.settings import Settings

# A new passphrase that is typed differently this often is given up.
TRIES = 3

_INSTEAD = (
    "run it in a terminal, or set AWS_VAULT_FILE_PASSPHRASE; inside `strongroom exec`, exec --keep-vault-secrets "
    "passes it on"
)


def ask(
    settings: Settings,
    message: str,
    *,
    confirm: bool = False,
    what: str = "the keystore's passphrase",
    instead: str = _INSTEAD,
) -> str:
    """Ask for a passphrase, hidden.

    Args:
        settings: They say who asks.
        message: The question.
        confirm: Whether it is a new one, which is asked twice and must not be empty.
        what: What is asked for, in the words of an error.
        instead: What to do where nobody can be asked.

    Raises:
        KeystoreLocked: Nobody can be asked here, or a new passphrase was typed differently again and again.
        PromptDismissed: The human declined.
        PromptFailed: The program that asked failed.
    """
    try:
        bring = asker(settings, hidden=True)
        note = ""
        for _ in range(TRIES):
            first = bring(Question(message, echo="hidden", note=note))
            if not confirm:
                return first
            if not first:
                note = "An empty passphrase protects nothing."
            elif bring(Question("Enter the same passphrase again: ", echo="hidden")) == first:
                return first
            else:
                note = "The two differ."
    except PromptUnavailable as error:
        raise KeystoreLocked(f"{what} is needed, and {error.message}", instead) from error
    raise KeystoreLocked("no new passphrase was agreed on")
