"""Asking for a keystore's passphrase; a module of its own because a cached run with a passphrase needs none of it."""

from __future__ import annotations

from strongroom import prompt
from strongroom.errors import KeystoreLocked, PromptUnavailable

# A new passphrase that is typed differently this often is given up.
TRIES = 3


def ask(message: str, *, confirm: bool = False) -> str:
    """Ask for a passphrase, hidden.

    Args:
        message: The question.
        confirm: Whether it is a new one, which is asked twice and must not be empty.

    Raises:
        KeystoreLocked: There is no terminal to ask at, or a new passphrase was typed differently again and again.
        PromptDismissed: The human declined.
    """
    try:
        for _ in range(TRIES):
            first = prompt.ask(message, echo="hidden")
            if not confirm:
                return first
            if not first:
                prompt.tell("An empty passphrase protects nothing.")
            elif prompt.ask("Enter the same passphrase again: ", echo="hidden") == first:
                return first
            else:
                prompt.tell("The two differ.")
    except PromptUnavailable as error:
        raise KeystoreLocked(
            f"the keystore's passphrase is needed, and {error.message}",
            "run it in a terminal, or set AWS_VAULT_FILE_PASSPHRASE; inside `strongroom exec`, "
            "exec --keep-vault-secrets passes it on",
        ) from error
    raise KeystoreLocked("no new passphrase was agreed on")
