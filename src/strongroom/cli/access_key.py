"""What can be a long-term access key, and what cannot."""

from __future__ import annotations

from strongroom.credentials import Credentials
from strongroom.errors import StrongroomError

TEMPORARY_KEY_PREFIX = "ASIA"


def checked(access_key_id: str, secret_access_key: str) -> Credentials:
    """Refuse what cannot be a long-term key, without repeating it.

    Raises:
        StrongroomError: It cannot be one.
    """
    for name, value in (("access key id", access_key_id), ("secret access key", secret_access_key)):
        if not value:
            raise StrongroomError(f"the {name} is empty", "nothing was stored")
        if not value.isascii() or not value.isprintable() or " " in value:
            raise StrongroomError(
                f"the {name} holds a blank or a character that no key has",
                "nothing was stored; check for what was copied along with it",
            )
    if access_key_id.startswith(TEMPORARY_KEY_PREFIX):
        raise StrongroomError(
            f"the access key id begins with {TEMPORARY_KEY_PREFIX}: it is a temporary key, which works only with its "
            "session token and not for long",
            "store a long-term key of an IAM user; it begins with AKIA",
        )
    return Credentials(access_key_id, secret_access_key)
