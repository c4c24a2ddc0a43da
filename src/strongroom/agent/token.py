"""The token that every request must bring: from a variable, or from a file that a variable names.

The rules and the messages are those of the AWS Secrets Manager Agent, which is written in Rust. It starts with a token
that no request can bring, or with an empty one that a request brings by an empty header; here that ends the start.
"""

from __future__ import annotations

import os
import stat
import sys

from strongroom.errors import StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FILE_SCHEME = "file://"

# A header of more than this no server reads; a device or a log file named by mistake is not read to its end.
LIMIT_BYTES = 65_536

# What has the property White_Space (https://www.unicode.org/Public/UCD/latest/ucd/PropList.txt). `str.strip` without an
# argument also takes the separators U+001C to U+001F.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)

# What a field value cannot hold (RFC 9110, section 5.5); a tab may stand between other characters.
_NOT_IN_HEADERS = frozenset(range(32)) - {9} | {127}

_OTHERS_MAY = stat.S_IROTH | stat.S_IWOTH


class TokenError(StrongroomError):
    """There is no token, or none that a request could bring. Neither message nor hint ever shows it."""


def _unheard(_warning: str) -> None:
    """Take a warning of which nobody wants to know."""


def read(names: Sequence[str], environ: Mapping[str, str], warn: Callable[[str], object] = _unheard) -> bytes:
    """Return the token of the first variable that is set.

    A value ``file://PATH`` names a file; the path is taken as it stands and white space around the content is cut off.
    Any other value is the token itself.

    Args:
        names: The variables, in order.
        environ: The environment. What is no UTF-8 in it counts as not set.
        warn: Told what should be changed although it works.

    Raises:
        TokenError: No variable is set, its file cannot be read, or no request could bring such a token.
    """
    for name in names:
        value = environ.get(name)
        if value is not None and _is_text(value):
            break
    else:
        raise TokenError(_message(names, "environment variable not found"), _how(names))
    if not value.startswith(FILE_SCHEME):
        fault = _fault(value.encode())
        if fault:
            raise TokenError(_message(names, f"the token in {name} {fault}"), _how([name]))
        return value.encode()
    path = value.removeprefix(FILE_SCHEME)
    try:
        return from_file(path, warn)
    except TokenError as error:
        raise TokenError(_message(names, error.message), f"{name} names the file {path!r}") from error


def from_file(path: str, warn: Callable[[str], object] = _unheard) -> bytes:
    """Return the token that a file holds, without the white space around it.

    Args:
        path: The file.
        warn: Told if every user of the machine may read the file or write to it.

    Raises:
        TokenError: The file cannot be read, or no request could bring such a token. The message is only the reason.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = _whole(file.read)
    except OSError as error:
        raise TokenError(_as_rust(error)) from error
    except ValueError as error:  # a NUL in the path
        raise TokenError("file name contained an unexpected NUL byte") from error
    text = content.decode(errors="surrogateescape")
    if not _is_text(text):  # found so, because the decoder's own error holds what was read
        raise TokenError("stream did not contain valid UTF-8")
    token = text.strip(WHITE_SPACE).encode()
    fault = _fault(token)
    if fault:
        raise TokenError(f"the token in the file {fault}")
    if mode & _OTHERS_MAY and stat.S_ISREG(mode) and sys.platform != "win32":
        warn(
            f"The token file {path!r} is open to all users of this machine ({stat.S_IMODE(mode):o}); "
            "only its owner and group should have access (640)"
        )
    return token


def _whole(read: Callable[[int], bytes | None]) -> bytes:
    content = b""
    while chunk := read(LIMIT_BYTES):
        content += chunk
        if len(content) > LIMIT_BYTES:
            raise TokenError(f"the file is larger than {LIMIT_BYTES} bytes")
    return content


def _fault(token: bytes) -> str:
    """Say why no request could bring a token; "" if one could."""
    if not token:
        return "is empty"
    if token != token.strip(b" \t"):
        return "begins or ends with white space, which HTTP does not transmit"
    if not _NOT_IN_HEADERS.isdisjoint(token):
        return "has control characters, which HTTP does not transmit"
    return ""


def _is_text(value: str) -> bool:
    """Tell whether a variable's bytes were UTF-8; others come as lone surrogates (PEP 383)."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _message(names: Iterable[str], reason: str) -> str:
    listed = ", ".join(_debug(name) for name in names)
    return f"Could not read SSRF token variable(s) [{listed}]: {reason}"


def _how(names: Sequence[str]) -> str:
    return f"set {names[0]} to a random text, or to file://PATH of a file that holds one" if names else ""


def _debug(text: str) -> str:
    """Return a text as Rust's ``{:?}`` shows it."""
    shown = []
    for character in text:
        if character in _ESCAPES:
            shown.append(_ESCAPES[character])
        elif character.isprintable():
            shown.append(character)
        else:
            shown.append(f"\\u{{{ord(character):x}}}")
    return '"' + "".join(shown) + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


def _as_rust(error: OSError) -> str:
    """Return an error of the system as Rust shows it."""
    number = getattr(error, "winerror", None) or error.errno
    return f"{error.strerror} (os error {number})"
