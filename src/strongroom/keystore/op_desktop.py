"""Items in 1Password, by the program ``op`` and the 1Password app, which asks to be unlocked when it is locked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom.keystore import onepassword, op_program, program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.keystore import Ask
    from strongroom.keystore.program import Run

# A human has to come, look, and touch or type something: longer than a service takes.
UNLOCK_SECONDS = 60.0


def open(settings: Mapping[str, Any], ask: Ask, run: Run = program.run) -> op_program.OpKeystore:  # noqa: A001, ARG001 - the family's shape
    """Open the vault ``op_vault_id`` of the account ``op_desktop_account_id``, or of the only one that the app knows.

    Raises:
        KeystoreUnavailable: ``op`` is not installed, or no vault is named.
    """
    layout = onepassword.Layout.of(settings)
    environ = op_program.environment(settings) | {"OP_BIOMETRIC_UNLOCK_ENABLED": "true"}
    path = program.find("op", environ, op_program.INSTALL)
    account = settings.get("op_desktop_account_id")
    return op_program.OpKeystore(
        layout,
        path,
        lambda: environ,
        words=("--account", str(account)) if account else (),
        timeout_seconds=max(op_program.timeout(settings), UNLOCK_SECONDS),
        run=run,
    )
