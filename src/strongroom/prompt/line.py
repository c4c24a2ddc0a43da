"""A line while it is being typed: characters in, what to show out. No terminal in here."""

from __future__ import annotations

import unicodedata
from typing import Literal

Echo = Literal["plain", "stars", "hidden"]

ENTER = frozenset("\r\n")
# What erases, whatever the terminal's own settings say: terminals send either of the first two for the same key.
ERASE = frozenset("\x7f\b")
ERASE_LINE = "\x15"
ERASE_WORD = "\x17"
END = "\x04"
ESCAPE = "\x1b"

# Around what is pasted, in a terminal whose "bracketed paste" a shell left on (xterm control sequences, mode 2004).
PASTE_BEGINS = "200~"
PASTE_ENDS = "201~"


class Line:
    """The line so far.

    Args:
        echo: ``plain`` shows what is typed, ``stars`` one star per character, ``hidden`` nothing.

    Attributes:
        text: What was typed, after editing.
        done: Whether it was ended by Enter.
        dismissed: Whether it was ended on an empty line by Ctrl-D.
    """

    def __init__(self, echo: Echo) -> None:
        self.text = ""
        self.done = False
        self.dismissed = False
        self._echo = echo
        self._pasting = False
        self._sequence: str | None = None  # the escape sequence that we are in, without its ESC

    def type(self, character: str) -> str:
        """Take one character and return what to write to the terminal for it."""
        if self._sequence is not None:
            return self._in_sequence(character)
        if character == ESCAPE:
            self._sequence = ""
        elif character in ENTER:
            self.done = not self._pasting  # a line end inside a paste came along by accident
        elif not self._pasting and character in ERASE:
            return self._erase(1)
        elif not self._pasting and character == ERASE_LINE:
            return self._erase(len(self.text))
        elif not self._pasting and character == ERASE_WORD:
            return self._erase(len(self.text) - len("".join(self.text.rstrip().rpartition(" ")[:2])))
        elif not self._pasting and character == END:
            self.dismissed = not self.text
        elif character >= " " or self._echo == "hidden":  # a passphrase may hold control characters, nothing else does
            self.text += character
            return self._show(character)
        return ""

    def shown(self) -> str:
        """Return what stands on the terminal for the line so far, to write it again."""
        return "".join(map(self._show, self.text))

    def answer(self) -> str:
        """Return the line: trimmed, unless it was hidden and every blank may belong to it."""
        return self.text if self._echo == "hidden" else self.text.strip()

    def _in_sequence(self, character: str) -> str:
        """Skip what a key without a character sends: ESC [ parameters and one final character, or ESC O and one."""
        sequence = (self._sequence or "") + character
        if sequence[0] not in "[O":  # a lone Escape, or Alt with a key
            self._sequence = None
            return self.type(character)
        if len(sequence) == 1 or (sequence[0] == "[" and not "@" <= character <= "~"):
            self._sequence = sequence
            return ""
        self._sequence = None
        if sequence[1:] in {PASTE_BEGINS, PASTE_ENDS}:
            self._pasting = sequence[1:] == PASTE_BEGINS
        return ""

    def _erase(self, count: int) -> str:
        kept, erased = self.text[: len(self.text) - count], self.text[len(self.text) - count :]
        self.text = kept
        return "\b \b" * sum(_columns(shown) for shown in map(self._show, erased))

    def _show(self, character: str) -> str:
        if self._echo == "stars":
            return "*"
        return character if self._echo == "plain" and character.isprintable() else ""


def _columns(shown: str) -> int:
    """Return how many columns of a terminal one character takes."""
    if not shown or unicodedata.combining(shown):
        return 0
    return 2 if unicodedata.east_asian_width(shown) in "WF" else 1
