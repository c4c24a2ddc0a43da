"""Items in 1Password, for a service account: by the program ``op`` and a token, without an app or a human."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom.keystore import onepassword, op_program, program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.keystore import Ask
    from strongroom.keystore.program import Run


def open(settings: Mapping[str, Any], ask: Ask, run: Run = program.run) -> op_program.OpKeystore:  # noqa: A001 - the family's shape
    """Open the vault ``op_vault_id``; ``op_token`` is the service account's token, which is asked for otherwise.

    Raises:
        KeystoreUnavailable: ``op`` is not installed, or no vault is named.
    """
    layout = onepassword.Layout.of(settings)
    environ = op_program.environment(settings)
    path = program.find("op", environ, op_program.INSTALL)
    token = [str(settings.get("op_token") or "")]

    def with_token() -> dict[str, str]:
        token[0] = token[0] or ask("Enter 1Password service account token: ", confirm=False)
        return environ | {"OP_SERVICE_ACCOUNT_TOKEN": token[0]}

    return op_program.OpKeystore(layout, path, with_token, timeout_seconds=op_program.timeout(settings), run=run)
