r"""The lines of a config file as go-ini reads them: what a header, a setting, a comment, a mistake is.

The dialect, where it differs from the standard library's: lines end at ``\n``; keys are case-insensitive, section
names are not; a section's name ends at the *last* ``]`` of its line; a comment inside a line begins at `` #`` or else
`` ;``; values may be quoted, continued by a backslash, or span lines between backticks or triple double quotes;
``%(name)s`` stands for another value. Unlike in go-ini an empty value does not swallow indented lines of the *next*
section.

Everything is given as a text and an offset into it, because a document finds its sections by offset.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

#: What go-ini trims: Go's ``unicode.IsSpace``, i.e. Unicode's White_Space. ``str.strip()`` alone would also take
#: U+001C to U+001F.
SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

#: How many ``%(name)s`` are replaced in one value before the rest is taken literally: go-ini's own bound.
_MAX_EXPANSIONS = 99

#: A run of a broken line that a message does not repeat: secret access keys have 40 characters of base64, session
#: tokens more.
_LONG_RUN = r"[A-Za-z0-9+/=_-]{40,}"

_SHOWN_LENGTH = 100


class Placed:
    """Something that stands at an offset of a text; counting the lines above it waits until somebody asks."""

    __slots__ = ("_text", "offset")

    def __init__(self, text: str, offset: int) -> None:
        self._text = text
        self.offset = offset

    @property
    def line(self) -> int:
        """The line it stands in, from 1."""
        return self._text.count("\n", 0, self.offset) + 1


class Entry(Placed):
    """One setting: *key* in lower case, its *value*, and the lines *nested* below it if the value is empty."""

    __slots__ = ("_nested", "key", "value")

    def __init__(self, text: str, offset: int, key: str, value: str, nested: list[str] | None = None) -> None:
        super().__init__(text, offset)
        self.key = key
        self.value = value
        self._nested = nested

    @property
    def nested(self) -> tuple[str, ...]:
        """The indented lines below a setting without a value, trimmed."""
        return tuple(self._nested or ())

    def expanded(self, own: Mapping[str, Entry], fallback: Mapping[str, Entry]) -> Entry:
        """This setting with each ``%(name)s`` replaced by the raw value of that key; unknown ones stay."""
        if "%(" not in self.value:
            return self
        value, at, left = self.value, 0, _MAX_EXPANSIONS
        while left and (at := value.find("%(", at)) >= 0:
            close = value.find(")", at)
            name = value[at + 2 : close].lower()
            source = (own.get(name) if name != self.key else None) or fallback.get(name)
            if close < 0 or value[close + 1 : close + 2] != "s" or source is None:
                at += 2
            else:
                value = value[:at] + source.value + value[close + 2 :]
                left -= 1
        return Entry(self._text, self.offset, self.key, value, self._nested)


class Mistake(Placed):
    """A line that means nothing, and the *reason*."""

    __slots__ = ("reason",)

    def __init__(self, text: str, offset: int, reason: str) -> None:
        super().__init__(text, offset)
        self.reason = reason


def end_of_line(text: str, at: int) -> int:
    """The offset of the line break after *at*, or the end of the text."""
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def read_header(text: str, offset: int) -> tuple[str, str, int]:
    """The name in the header line at *offset*, what is wrong with that line or "", and where its body begins."""
    end = end_of_line(text, offset)
    line = text[offset:end].lstrip(SPACE)
    close = line.rfind("]")
    reason = ""
    if close < 0:
        name = line[1:].rstrip(SPACE)
        reason = f"unclosed section: {_shown(line)}"
    else:
        name = line[1:close]
        if not name:
            reason = "empty section name: '[]'"
    if not _is_utf8(name):
        reason = reason or f"not UTF-8: {_shown(line)}"
    return name, reason, end + 1


def read_body(text: str, at: int, entries: dict[str, Entry], mistakes: list[Mistake]) -> int:
    """Read settings from *at* into *entries* and *mistakes*; returns where the next header's line begins."""
    nested: list[str] | None = None  # of the last setting, if its value is empty
    while at < len(text):
        end = end_of_line(text, at)
        line = text[at:end].strip(SPACE)
        following = end + 1
        if nested is not None and text[at] in " \t":
            nested.append(line)
        elif line[:1] == "[":
            return at
        elif line and line[0] not in "#;":
            nested, reason = None, ""
            try:
                key, value, following = _read_setting(text, text.index(line, at), line)
            except ValueError as error:
                reason = str(error)
            else:
                if _is_utf8(key) and _is_utf8(value):
                    nested = None if value else []
                    entries[key] = Entry(text, at, key, value, nested)
                else:
                    reason = "not UTF-8"
            if reason:
                mistakes.append(Mistake(text, at, f"{reason}: {_shown(line)}"))
        at = following
    return len(text)


def _read_setting(text: str, at: int, line: str) -> tuple[str, str, int]:
    """Key, value, and where the next line begins, for the setting that *line*, which stands at *at*, begins with.

    Raises:
        ValueError: It is no setting.
    """
    key, delimiter = _read_key(line)
    value = line[delimiter + 1 :].lstrip(SPACE)
    end = end_of_line(text, at)
    quote = '"""' if value.startswith('"""') else "`" if value.startswith("`") else ""
    if quote:
        value, end = _read_quoted(text, at + len(line) - len(value) + len(quote), quote)
    elif value.endswith("\\"):
        value, end = _read_continued(text, value, end)
    else:
        value = without_quotes(_without_comment(value))
    return key, value, end + 1


def _read_key(line: str) -> tuple[str, int]:
    """The key in lower case, and the place of the delimiter after it."""
    quote = '"""' if line.startswith('"""') and len(line) > 6 else line[0] if line[0] in '"`' else ""
    begin = len(quote)
    close = line.find(quote, begin) if quote else 0
    if close < 0:
        raise ValueError("missing closing quote of a key")
    places = [place for place in (line.find("=", close + begin), line.find(":", close + begin)) if place >= 0]
    if not places:
        raise ValueError("key-value delimiter not found")
    delimiter = min(places)
    key = line[begin : close if quote else delimiter].strip(SPACE).lower()
    if not key:
        raise ValueError("empty key name")
    return key, delimiter


def _read_quoted(text: str, at: int, quote: str) -> tuple[str, int]:
    """The value from *at* up to the last *quote* of the first line that has one, and the end of that line."""
    end = end_of_line(text, max(text.find(quote, at), at))
    close = text.rfind(quote, at, end)
    if close < 0:
        raise ValueError("missing closing quote")
    return text[at:close], end


def _read_continued(text: str, value: str, end: int) -> tuple[str, int]:
    """The value with the next lines, each trimmed, while one ends with a backslash; a blank line ends it too."""
    line = value
    while line and value.endswith("\\"):
        at, end = end + 1, end_of_line(text, end + 1)
        line = text[at:end].strip(SPACE)
        value = value[:-1] + line
    return value, end


def _without_comment(value: str) -> str:
    at = value.find(" #")
    if at < 0:
        at = value.find(" ;")
    return value if at < 0 else value[:at].strip(SPACE)


def without_quotes(value: str) -> str:
    """The value without its quotes, if the quote stands just at both ends."""
    for quote in "'\"":
        if len(value) >= 2 and value[0] == quote and value.find(quote, 1) == len(value) - 1:
            return value[1:-1]
    return value


def _is_utf8(text: str) -> bool:
    """Whether no byte had to be smuggled in as a lone surrogate."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


def _shown(line: str) -> str:
    """A line as a message may show it: quoted, not endless, without what might be a secret."""
    return repr(re.sub(_LONG_RUN, lambda found: found[0][:4] + "...", line.strip())[:_SHOWN_LENGTH])
