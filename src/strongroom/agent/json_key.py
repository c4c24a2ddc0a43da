"""One value out of a secret or a parameter that is JSON."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from strongroom.agent.compact_json import dump, encode
from strongroom.serve.http import HttpError

# Each part of a key is looked up together with those after it, which costs the square of its length.
MAX_KEY_LENGTH = 1024


class _Number(str):
    """A number as it was written: 1.10 stays 1.10, and one with thirty digits keeps them."""

    __slots__ = ()


def pick(text: str | None, json_key: str, what: str) -> bytes:
    """The value at *json_key* in *text*.

    Dots lead into objects, and numbers (from 0) into lists: ``users.0.name``. A key that itself holds dots goes before
    the way that its dots would lead.

    Args:
        text: The value of a secret or parameter, or None: it has no text.
        json_key: As asked for.
        what: What *text* is of, for the message.

    Returns:
        The text of a string, the JSON of anything else.

    Raises:
        HttpError: 404 if there is no such value. It tells nothing of what there is instead.
    """
    if text is None:
        raise _not_found(f"the {what} is not text")
    if len(json_key) > MAX_KEY_LENGTH:
        raise _not_found(f"a jsonKey has at most {MAX_KEY_LENGTH} characters, not {len(json_key)}")
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_no_json)
        for found in _ways(value, json_key):
            return encode(found if isinstance(found, str) else _json(found))
        message = f"the {what} has no value at {json_key!r}"
    except (ValueError, RecursionError):
        message = f"the {what} is not JSON"
    # Raised out here, as the parser's own error holds the whole text and would stay with ours as its context.
    raise _not_found(message)


def _ways(value: Any, json_key: str) -> Any:
    """All values that *json_key* may mean in *value*, the longest keys first."""
    waiting: list[tuple[Any, str | None]] = [(value, json_key)]
    while waiting:
        value, rest = waiting.pop()
        if rest is None:
            yield value
        elif isinstance(value, dict):
            dots = [at for at, character in enumerate(rest) if character == "."]
            waiting += [(value[rest[:at]], rest[at + 1 :]) for at in dots if rest[:at] in value]
            waiting += [(value[rest], None)] if rest in value else []
        elif isinstance(value, list):
            index, dot, after = rest.partition(".")
            if index.isascii() and index.isdigit() and str(int(index)) == index and int(index) < len(value):
                waiting.append((value[int(index)], after if dot else None))


def _json(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{dump(key)}:{_json(member)}" for key, member in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    return value if isinstance(value, _Number) else dump(value)


def _no_json(constant: str) -> NoReturn:
    raise ValueError(constant)


def _not_found(message: str) -> HttpError:
    return HttpError(404, message, "JsonKeyNotFound")
