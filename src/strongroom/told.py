"""A failure, as those are told it who waited for the same: what is written into a lock file, and read there.

No error of the tree holds a secret.
"""

from __future__ import annotations

from strongroom.errors import AwsError, AwsRefused, AwsUnreachable, MfaRefused, PromptDismissed, PromptFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.errors import StrongroomError


def tell(error: StrongroomError) -> dict[str, object]:
    """A failure as JSON takes it."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "code": getattr(error, "code", ""),
        "status": getattr(error, "status", 0),
        "serial": getattr(error, "serial", ""),
    }


def told(failure: Mapping[str, object]) -> StrongroomError:
    """The failure that another process told of; of a kind that nobody shares, as one of AWS's."""
    message, hint = str(failure.get("message")), str(failure.get("hint"))
    match failure.get("kind"):
        case "AwsRefused":
            return AwsRefused(str(failure.get("code")), int(str(failure.get("status"))), message, hint)
        case "AwsUnreachable":
            return AwsUnreachable(message, hint)
        case "MfaRefused":
            return MfaRefused(str(failure.get("serial")), message, hint)
        case "PromptDismissed":
            return PromptDismissed(message, hint)
        case "PromptFailed":
            return PromptFailed(message, hint)
    return AwsError(message, hint)
