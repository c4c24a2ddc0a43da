"""What a standing server remembers when it ends, so that those who were told where it is find it there again.

The port, and a token for each profile that it has ever served; a file of JSON that is for its user alone.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

VERSION = 1
# More is not ours, and is not read.
LIMIT_BYTES = 1 << 20
# A token that is shorter could be guessed; ours have 40.
LEAST_TOKEN = 32


class State:
    """What is remembered.

    Args:
        port: Of 127.0.0.1; 0 for none yet.
        tokens: Profile -> what requests for its credentials bring.
        serving: The profiles that are, or were last, served.
    """

    __slots__ = ("port", "serving", "tokens")

    def __init__(self, port: int = 0, tokens: Mapping[str, str] | None = None, serving: Iterable[str] = ()) -> None:
        self.port = port
        self.tokens = dict(tokens or {})
        self.serving = tuple(serving)

    def __repr__(self) -> str:
        return f"<State port {self.port} serving {', '.join(self.serving)}>"

    def beginning(self, profiles: Iterable[str], make: Callable[[], str]) -> State:
        """The state of a server of these profiles: tokens that are known stay, the others are made."""
        serving = tuple(profiles)
        made = {name: make() for name in serving if name not in self.tokens}
        return State(self.port, self.tokens | made, serving)

    def at(self, port: int) -> State:
        """The same at another port."""
        return State(port, self.tokens, self.serving)

    def encoded(self) -> bytes:
        """The file's content."""
        found = {"version": VERSION, "port": self.port, "serving": list(self.serving), "tokens": self.tokens}
        return json.dumps(found, indent=1).encode("ascii") + b"\n"


def decoded(data: bytes) -> State:
    """Read a file's content.

    Raises:
        ValueError: It is none that `State.encoded` has made; the message holds nothing of it.
    """
    if len(data) > LIMIT_BYTES:
        raise ValueError(f"it has more than {LIMIT_BYTES} bytes")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ValueError("it is of no version that is known")
    port, serving, tokens = (found.get(name) for name in ("port", "serving", "tokens"))
    if type(port) is not int or not 0 <= port <= 65_535:
        raise ValueError("its port is none")
    if not isinstance(serving, list) or not all(isinstance(name, str) for name in serving):
        raise ValueError("what it says of profiles is no list of names")
    if not isinstance(tokens, dict) or not all(map(_is_token, tokens.values())):
        raise ValueError("a token in it is none")
    if not set(serving) <= set(tokens):
        raise ValueError("a profile in it has no token")
    return State(port, tokens, serving)


def _is_token(value: object) -> bool:
    """Whether it can be sent as a header, and not guessed."""
    return (
        isinstance(value, str)
        and len(value) >= LEAST_TOKEN
        and value.isascii()
        and value.isprintable()
        and " " not in value
    )
