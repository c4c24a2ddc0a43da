"""What is wrong with a config file, all of it, in the words of the two originals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from strongroom.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from strongroom.agent.option import Path

# What is longer is cut where it is shown.
LONGEST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake.

    Attributes:
        message: What the original says.
        field: Which key it is about, or "".
        got: The value, as it is shown, or "".
        advice: What to write instead, or "".
        line: Where it stands, or None.
    """

    message: str
    field: str = ""
    got: str = ""
    advice: str = ""
    line: int | None = None

    def plain(self) -> str:
        """Return it as one of the lines of the AWS Secrets Manager Agent, and what else is known in parentheses."""
        facts = [f"got {self.got}"] if self.got else []
        facts += [f"line {self.line}"] if self.line else []
        facts += [self.advice.removesuffix(".")] if self.advice else []
        if not self.field:
            return self.message
        told = f"{self.field}: {', '.join(facts)}" if facts else self.field
        return f"{self.message} ({told})"

    def numbered(self) -> str:
        """Return it as one of the list of the AWS Workload Credentials Provider, and its line in brackets."""
        text = f"{self.field}: {self.message}" if self.field else self.message
        guidance = self.advice or (f"Got: {self.got}" if self.got else "")
        text += f" ({guidance})" if guidance else ""
        return f"{text} [line {self.line}]" if self.line else text


class ConfigMistakes(ConfigError):
    """A config file cannot be used.

    Args:
        path: The file.
        mistakes: At least one.
        is_numbered: Whether the text is a numbered list.

    Attributes:
        text: Everything that is to be told, as the original tells it; of several lines, without a newline at the end.
        message: The same in one line.
    """

    def __init__(self, path: str, mistakes: Sequence[Mistake], *, is_numbered: bool) -> None:
        self.path = path
        self.mistakes = tuple(mistakes)
        told = self.mistakes[0].plain().split("\n")  # of a syntax error, the lines between point at the place
        first = told[0] if len(told) == 1 else f"{told[0]}: {told[-1]}"
        count = len(self.mistakes)
        super().__init__(first if count == 1 else f"{path!r} holds {count} mistakes; the first: {first}")
        if is_numbered:
            listed = (f"  {number}. {mistake.numbered()}" for number, mistake in enumerate(self.mistakes, 1))
            self.text = "\n".join((f"Configuration validation failed with {count} error(s):", *listed))
        else:
            self.text = "\n".join(mistake.plain() for mistake in self.mistakes)


def shown_path(path: Path) -> str:
    """Return a key path as people write it: ``prefetch.secrets[0].role_arn``."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        else:
            is_bare = key != "" and key.isascii() and key.replace("_", "").replace("-", "").isalnum()
            text += ("." if text else "") + (key if is_bare else quoted(key))
    return text


def shown(value: object) -> str:
    """Return a value as messages show it; of a list or a table only what it is, unless it is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return "'" + quoted(value)[1:-1].replace('\\"', '"') + "'"
    if isinstance(value, int) and abs(value) >= 10**LONGEST_SHOWN:
        return "a number of many digits"
    if isinstance(value, (list, dict)):
        kind = kind_of(value)
        return f"a {kind}" if value else f"an empty {kind}"
    if value is None:
        return "nothing"
    return str(value)


def quoted(text: str, longest: int | None = LONGEST_SHOWN) -> str:
    """Return a text in quotes, cut if it is long, without anything that would act on a terminal.

    Args:
        text: The text.
        longest: How many characters are shown; None for all, as of a path, which is of no use when it is cut.
    """
    cut = text[:longest]
    characters = (_ESCAPES.get(each) or (each if each.isprintable() else f"\\u{{{ord(each):x}}}") for each in cut)
    return '"' + "".join(characters) + ("" if cut == text else "…") + '"'


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def kind_of(value: object) -> str:
    """Return what kind of value it is, in the words of Rust's serde."""
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "boolean"),
        (int, "integer"),
        (float, "float"),
        (str, "string"),
        (list, "sequence"),
        (dict, "map"),
        (type(None), "unit value"),
    )
    return next((word for kind, word in kinds if isinstance(value, kind)), "datetime")


def described(value: object, *, is_quiet: bool = False) -> str:
    """Return a value as serde describes what it did not expect: ``string "x"``, ``boolean `true```, ``sequence``.

    Args:
        value: The value.
        is_quiet: Whether it is not to be shown.
    """
    kind = kind_of(value)
    if is_quiet or kind in {"sequence", "map", "unit value", "datetime"}:
        return kind
    if isinstance(value, str):
        return f"string {quoted(value)}"
    if isinstance(value, float):
        return f"floating point `{rust_float(value)}`"
    return f"{kind} `{shown(value)}`"


def rust_float(value: float) -> str:
    """Return a number as Rust shows it: without a fraction if it has none, and never with an exponent."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    if value.is_integer():
        return ("-" if math.copysign(1, value) < 0 else "") + str(abs(int(value)))
    return str(value)


def one_of(keys: Iterable[str]) -> str:
    """Return what serde says it expected in a key's place."""
    known = [f"`{key}`" for key in keys]
    if len(known) == 1:
        return known[0]
    return " or ".join(known) if len(known) == 2 else f"one of {', '.join(known)}"
