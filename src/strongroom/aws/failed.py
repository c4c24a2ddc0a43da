"""What can be told of a call to AWS that failed, for callers that decide by it. Light: loads nothing of botocore."""

from __future__ import annotations

from strongroom.errors import AwsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Cause = Literal[
        "refused",  # AWS answered with an error
        "timeout",  # no connection, or no answer, in time
        "unreachable",  # refused, no such host, TLS, proxy, cut
        "closed",  # the connection was closed in place of an answer
        "unreadable",  # an answer that is not in AWS's format
        "credentials",  # there are none now
        "region",  # nothing names one
        "other",  # settings that make no sense
    ]


class CallFailed(AwsError):
    """A call to AWS, or the preparation of one, failed.

    Args:
        cause: What kind of failure this is.
        message: One line for our log.
        status: The HTTP status that AWS answered with, or 0.
        code: The error's code in AWS's answer, without namespace; empty when there was none.
        said: What AWS said of it; None when there was no message, or no code, in the answer.
    """

    def __init__(self, cause: Cause, message: str, *, status: int = 0, code: str = "", said: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause
        self.status = status
        self.code = code
        self.said = said
