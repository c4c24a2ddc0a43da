"""Items in the Credential Manager of Windows, as aws-vault keeps them: every program of this user can read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom.keystore import credential_manager
from strongroom.keystore.windows import WindowsKeystore

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.keystore import Ask

DEFAULT_PREFIX = "aws-vault"


def open(  # noqa: A001 - the family's shape
    settings: Mapping[str, Any],
    ask: Ask,  # noqa: ARG001 - Windows asks nobody
    native: Callable[[], Any] = credential_manager.native,
) -> WindowsKeystore:
    """Open the credentials whose names begin with ``wincred_prefix``.

    Raises:
        KeystoreUnavailable: This is no Windows.
    """
    return WindowsKeystore(native(), str(settings.get("wincred_prefix") or DEFAULT_PREFIX))
