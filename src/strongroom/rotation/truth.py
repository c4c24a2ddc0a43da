"""What is true when a rotation stops, and what to do then."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from strongroom.errors import AwsRefused, StrongroomError
from strongroom.rotation.journal import DEACTIVATED, DELETED, PLANNED, SWAPPED
from strongroom.rotation.owner import DENIED, QUOTA_REACHED, shown_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.rotation.journal import Journal
    from strongroom.rotation.stored import StoredKeys

_RIGHTS = (
    "the user needs iam:ListAccessKeys, iam:CreateAccessKey, iam:UpdateAccessKey and iam:DeleteAccessKey; "
    "if a policy asks for MFA, set mfa_serial"
)


class RotationFailed(StrongroomError):
    """A rotation stopped; the hint says what is true now, and how to go on."""


@contextlib.contextmanager
def explained(journal: Journal, stored: StoredKeys) -> Iterator[None]:
    """Whatever goes wrong, say what is true now and what to do.

    Raises:
        RotationFailed: Something did.
    """
    try:
        yield
    except RotationFailed:
        raise
    except StrongroomError as error:
        raise RotationFailed(error.message, _what_now(journal, stored, error)) from error


def still_old(journal: Journal) -> str:
    """That nothing has changed in the store."""
    return f"{journal.name!r} still has its key {shown_id(journal.old)}"


def _what_now(journal: Journal, stored: StoredKeys, error: StrongroomError) -> str:
    denied = isinstance(error, AwsRefused) and error.code in DENIED
    if journal.stage == PLANNED and isinstance(error, AwsRefused) and error.status < 500:
        if error.code == QUOTA_REACHED:
            wait = "AWS counts a key that it does not list yet: wait a minute"
            return f"{still_old(journal)}; {wait}, then `strongroom rotate --resume {journal.name}`"
        return f"{still_old(journal)}, and nothing has changed" + (f"; {_RIGHTS}" if denied else "")
    advice = f"`strongroom rotate --resume {journal.name}` goes on from there"
    if denied and journal.stage in {SWAPPED, DEACTIVATED}:
        advice += f", once the user may do this or {shown_id(journal.old)} is deleted in IAM"
    return f"{_truth(journal, stored)}; {advice}"


def _truth(journal: Journal, stored: StoredKeys) -> str:
    """Which key is stored, which is active."""
    if journal.stage == PLANNED:
        return f"{still_old(journal)}, and whether AWS has made another is not known"
    old, new = shown_id(journal.old), shown_id(journal.new_id)
    try:
        is_swapped = stored.key_id(journal.name) == journal.new_id
    except StrongroomError:
        is_swapped = journal.stage in {SWAPPED, DEACTIVATED, DELETED}
    if not is_swapped:
        return f"{still_old(journal)}, and the new one, {new}, is active too and kept in the vault"
    state = {DEACTIVATED: "inactive but not deleted", DELETED: "deleted"}.get(journal.stage, "still active")
    return f"{journal.name!r} has the new key {new}, which works, and the old one, {old}, is {state}"
