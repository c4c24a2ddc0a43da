"""What the agent knows of a call to AWS that came to nothing."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Kind = Literal["transient", "denied", "gone", "other"]


class Failure(Exception):
    """AWS has no secret for us: what the caller is told, and what becomes of the copy that we may have.

    Args:
        status: The HTTP status for the caller; AWS's own where AWS answered.
        code: The error's name for the caller, ``ResourceNotFoundException``.
        message: For the caller; may be empty.
        kind: ``transient``: it may go well in a moment, a kept copy may be served. ``denied`` and ``gone``: we may not
            have the secret any more, or nobody can; a kept copy must go. ``other``: neither.
        reason: One line for our own log, which may say more than the caller is told. No secrets.
        outage: Whether AWS could not be reached, or failed at its side; not so for throttling and for credentials that
            are missing, which are transient too.
    """

    def __init__(
        self, status: int, code: str, message: str, *, kind: Kind, reason: str = "", outage: bool = False
    ) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.kind = kind
        self.reason = reason
        self.outage = outage
