"""Flags as a table, and the words of a command line matched against it.

The grammar is that of aws-vault (kingpin), which scripts rely on: flags stand anywhere, ``--name value`` and
``--name=value``, ``-d 2h`` and ``-d2h``, grouped switches (``-nj``), each switch has a negative (``--no-debug``; of
``--no-session`` that is ``--no-no-session``), nothing is abbreviated, nothing is given twice. `argparse` can do none
of the last three without being rewritten, and costs a fifth of a bare interpreter's start on the path that every SDK
call takes; it is used where it is best, to lay out the help (`strongroom.cli.help`).

Different from aws-vault: the first word of the command that ``exec`` runs ends our flags; ``@file`` and a lone ``-``
are ordinary words.
"""

from __future__ import annotations

from strongroom import durations
from strongroom.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

# What Go's strconv.ParseBool takes, which reads aws-vault's variables.
_BOOLEANS = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


class Flag:
    """One flag.

    Args:
        name: Without dashes.
        help: One line.
        value: How its value is called in the help; empty for a switch.
        short: One letter, or empty.
        env: The variable that stands in for the flag, or empty.
        choices: The values that are taken, or none for any.
        read: Makes the value out of its text; raises ValueError with a message.
        hidden: Whether the help leaves it out.
        many: Whether it may be given more than once: its value is then a tuple of them all.
        for_words: Whether it says what the positional words would: with it, a command begins with the first word.
    """

    __slots__ = ("choices", "env", "for_words", "help", "hidden", "many", "name", "read", "short", "value")

    def __init__(
        self,
        name: str,
        help: str = "",  # noqa: A002 - what it is called everywhere
        *,
        value: str = "",
        short: str = "",
        env: str = "",
        choices: tuple[str, ...] = (),
        read: Callable[[str], object] = str,
        hidden: bool = False,
        many: bool = False,
        for_words: bool = False,
    ) -> None:
        self.name = name
        self.help = help
        self.value = value
        self.short = short
        self.env = env
        self.choices = choices
        self.read = read
        self.hidden = hidden
        self.many = many
        self.for_words = for_words

    def parse(self, text: str, shown: str) -> object:
        """Read a value; *shown* is how the user wrote the flag, or the variable.

        Raises:
            UsageError: The value is not taken.
        """
        if not self.value:
            return boolean(text, shown)
        if self.choices and text not in self.choices:
            raise UsageError(
                f"{shown}: must be one of {', '.join(self.choices)}, got {text!r}", word=text, known=self.choices
            )
        try:
            return self.read(text)
        except ValueError as error:
            raise UsageError(f"{shown}: {error}") from error


class Arguments:
    """A command line, read.

    Args:
        values: Flag name -> value, of the flags that were given or have a variable that is set.
        words: The positional words.
        command: The words of the command to run, or None when the command line has no place for them.
    """

    __slots__ = ("command", "values", "words")

    def __init__(self, values: dict[str, object], words: list[str], command: list[str] | None = None) -> None:
        self.values = values
        self.words = words
        self.command = command

    def on(self, name: str) -> bool:
        """Whether a switch is on."""
        return bool(self.values.get(name))

    def text(self, name: str) -> str:
        """The value of a flag, or an empty string."""
        value = self.values.get(name)
        return "" if value is None else str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        """The values of a flag that may be given more than once, in order."""
        value = self.values.get(name)
        return value if isinstance(value, tuple) else ()


def duration(text: str) -> str:
    """Check a duration, and keep it as it was written."""
    durations.parse(text)
    return text


def mfa_code(text: str) -> str:
    """Check a code from the command line.

    Raises:
        ValueError: It is none; the message does not repeat it.
    """
    if not (len(text) == 6 and text.isascii() and text.isdigit()):
        raise ValueError(f"expected a code of six digits, got {len(text)} characters")
    return text


def boolean(text: str, shown: str) -> bool:
    """Read a boolean variable or setting as Go does.

    Raises:
        UsageError: It is none.
    """
    if text not in _BOOLEANS:
        raise UsageError(f"{shown}: expected a boolean (1, t, true, 0, f, false), got {text!r}")
    return _BOOLEANS[text]


class Matcher:
    """Matches the words of a command line against a table of flags.

    Args:
        flags: The table.
        most_words: How many positional words there may be before the words of a command begin; None for any number,
            and no command.
    """

    def __init__(self, flags: Iterable[Flag], most_words: int | None = None) -> None:
        self.most_words = most_words
        self.long: dict[str, tuple[Flag, bool]] = {}
        self.short: dict[str, Flag] = {}
        for flag in flags:
            self.long[flag.name] = flag, True
            if flag.short:
                self.short[flag.short] = flag
        for flag in [flag for flag, _ in self.long.values() if not flag.value]:
            self.long.setdefault(f"no-{flag.name}", (flag, False))
        self.values: dict[str, object] = {}
        self.words: list[str] = []
        self.command: list[str] | None = None

    def match(self, words: Sequence[str], environ: Mapping[str, str]) -> Arguments:
        """Read a command line.

        Raises:
            UsageError: A flag is unknown, repeated, or lacks its value; a variable that stands in for one is wrong.
        """
        rest = list(words)
        if self.most_words is not None:
            self.command = []
        while rest:
            word = rest.pop(0)
            if word == "--":
                self._take_literally(rest)
                break
            if word.startswith("--"):
                self._long(word, rest)
            elif word.startswith("-") and len(word) > 1:
                self._short(word, rest)
            elif self.most_words is not None and len(self.words) >= self.most_words:
                self.command = [word, *rest]
                break
            else:
                self.words.append(word)
        for flag, _ in self.long.values():
            if flag.env and flag.name not in self.values and environ.get(flag.env):
                self.values[flag.name] = flag.parse(environ[flag.env], flag.env)
        return Arguments(self.values, self.words, self.command)

    def _take_literally(self, rest: list[str]) -> None:
        if self.most_words is None:
            self.words += rest
        else:
            self.command = rest

    def _long(self, word: str, rest: list[str]) -> None:
        name, equals, value = word[2:].partition("=")
        if name not in self.long:
            known = [f"--{name}" for name, (flag, _) in self.long.items() if not flag.hidden]
            raise UsageError(f"unknown long flag '--{name}'", word=f"--{name}", known=known)
        flag, positive = self.long[name]
        if not flag.value:
            if equals:
                raise UsageError(f"flag '--{name}' takes no value, got {value!r}")
            self._set(flag, positive, f"--{name}")
            return
        self._set(flag, flag.parse(value if equals else _next(rest, f"--{name}"), f"--{name}"), f"--{name}")

    def _short(self, word: str, rest: list[str]) -> None:
        letters = word[1:]
        while letters:
            letter, letters = letters[0], letters[1:]
            flag = self.short.get(letter)
            if flag is None:
                raise UsageError(f"unknown short flag '-{letter}'")
            if flag.value:
                value = letters or _next(rest, f"-{letter}")
                self._set(flag, flag.parse(value, f"-{letter}"), f"-{letter}")
                return
            self._set(flag, True, f"-{letter}")

    def _set(self, flag: Flag, value: object, shown: str) -> None:
        if flag.for_words and self.most_words:
            self.most_words = 0
        if flag.many:
            before = self.values.get(flag.name)
            self.values[flag.name] = (*(before if isinstance(before, tuple) else ()), value)
            return
        if flag.name in self.values:
            raise UsageError(f"flag '{shown.lstrip('-')}' cannot be repeated")
        self.values[flag.name] = value


def _next(rest: list[str], shown: str) -> str:
    """The word after a flag that wants a value."""
    if not rest or (rest[0].startswith("-") and len(rest[0]) > 1):
        equals = "=" if shown.startswith("--") else ""
        raise UsageError(
            f"expected argument for flag '{shown}'", f"a value that begins with a dash is given as {shown}{equals}VALUE"
        )
    return rest.pop(0)
