"""HTTP/1.1 as bytes: a request out of a head, a response out of an answer. No sockets, no clock."""

from __future__ import annotations


class HttpError(Exception):
    """A request is answered with an error.

    Args:
        status: The HTTP status.
        message: For people. Without *code* the whole body, as plain text.
        code: The error's name; with it the body is JSON: ``{"__type": code, "message": message}``, the second member
            left out when the message is empty.
    """

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
