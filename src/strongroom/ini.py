r"""The INI dialect of AWS config files as go-ini reads it: text to sections, and a new section onto a text.

What one line means is decided in one place (:func:`_read_body`). A :class:`Document` walks a text with it from end
to end, or, since a process that needs one profile out of thousands must not pay for the others, looks for the header
of the section that was asked for and reads from there. Both ways give the same sections for every text.

The dialect, where it differs from the standard library's: lines end at ``\n``; keys are case-insensitive, section
names are not; a section's name ends at the *last* ``]`` of its line; a comment inside a line begins at `` #`` or else
`` ;``; values may be quoted, continued by a backslash, or span lines between backticks or triple double quotes;
``%(name)s`` stands for another value of the section or of the implicit section ``DEFAULT``. Unlike in go-ini a dot
in a section's name means nothing, and an empty value does not swallow indented lines of the *next* section.

A mistake belongs to the section in which it stands: it never keeps anybody from reading the others.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: What go-ini trims: Go's ``unicode.IsSpace``, i.e. Unicode's White_Space. ``str.strip()`` alone would also take
#: U+001C to U+001F.
_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

#: The section that keys before any header belong to, and that ``%(name)s`` falls back to.
IMPLICIT = "DEFAULT"

#: How many ``%(name)s`` are replaced in one value before the rest is taken literally: go-ini's own bound.
_MAX_EXPANSIONS = 99

#: After so many single look-ups all headers are collected once: ``list`` asks for every profile.
_LOOKUPS_BEFORE_INDEX = 8

#: A run of a broken line that a message does not repeat: secret access keys have 40 characters of base64, session
#: tokens more.
_LONG_RUN = r"[A-Za-z0-9+/=_-]{40,}"

_SHOWN_LENGTH = 100


class _Placed:
    """Something that stands at an offset of a text; counting the lines above it waits until somebody asks."""

    __slots__ = ("_text", "offset")

    def __init__(self, text: str, offset: int) -> None:
        self._text = text
        self.offset = offset

    @property
    def line(self) -> int:
        """The line it stands in, from 1."""
        return self._text.count("\n", 0, self.offset) + 1


class Entry(_Placed):
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


class Mistake(_Placed):
    """A line that means nothing, and the *reason*."""

    __slots__ = ("reason",)

    def __init__(self, text: str, offset: int, reason: str) -> None:
        super().__init__(text, offset)
        self.reason = reason


class Section(_Placed):
    """All that a file says under one name: *entries* by lower-case key, and the *mistakes* among them.

    ``line`` is that of the first header of this name.
    """

    __slots__ = ("entries", "mistakes", "name")

    def __init__(
        self, text: str, offset: int, name: str, entries: dict[str, Entry], mistakes: tuple[Mistake, ...]
    ) -> None:
        super().__init__(text, offset)
        self.name = name
        self.entries = entries
        self.mistakes = mistakes


class Document:
    """The sections of *text*.

    Args:
        text: A whole config file, as :func:`decode` gives it.
        path: Where it came from, for messages.
        index: Look for single sections without reading the rest. Only tests want this off.
    """

    def __init__(self, text: str, path: str = "", *, index: bool = True) -> None:
        self.path = path
        self._text = text
        self._start = 1 if text.startswith("\ufeff") else 0
        self._searchable = index and not _may_span_lines(text)
        self._lookups = 0
        self._offsets: dict[str, list[int]] | None = None
        self._raw: dict[str, Section | None] = {}
        self._expanded: dict[str, Section | None] = {}

    def section(self, name: str) -> Section | None:
        """All sections called *name* as one, later keys before earlier ones, or None if there is none."""
        try:
            return self._expanded[name]
        except KeyError:
            section = self._expanded[name] = self._expand(self._section(name))
            return section

    def names(self) -> tuple[str, ...]:
        """The names of all sections that have a header, in the order of the file, each once."""
        return tuple(self._index())

    def mistakes(self) -> tuple[Mistake, ...]:
        """Every mistake of the file, in the order of the lines."""
        sections = [self._section(name) for name in dict.fromkeys((IMPLICIT, *self.names()))]
        found = [mistake for section in sections if section is not None for mistake in section.mistakes]
        return tuple(sorted(found, key=lambda mistake: mistake.offset))

    def _section(self, name: str) -> Section | None:
        """The section before ``%(name)s`` is replaced."""
        if name not in self._raw:
            self._raw[name] = self._read(name)
        return self._raw[name]

    def _read(self, name: str) -> Section | None:
        entries: dict[str, Entry] = {}
        mistakes: list[Mistake] = []
        headers = self._headers_of(name)
        if name == IMPLICIT:
            _read_body(self._text, self._start, entries, mistakes)
        for offset in headers:
            _, reason, body = _read_header(self._text, offset)
            if reason:
                mistakes.append(Mistake(self._text, offset, reason))
            _read_body(self._text, body, entries, mistakes)
        if not (headers or entries or mistakes):
            return None
        first = headers[0] if headers else self._start
        return Section(self._text, first, name, entries, tuple(mistakes))

    def _headers_of(self, name: str) -> list[int]:
        self._lookups += 1
        if self._offsets is None and self._searchable and self._lookups <= _LOOKUPS_BEFORE_INDEX:
            found = _search_headers(self._text, self._start, name)
            if found is not None:
                return found
        return self._index().get(name, [])

    def _index(self) -> dict[str, list[int]]:
        """Section name to the offsets of its headers."""
        if self._offsets is None:
            offsets = _search_all_headers(self._text, self._start) if self._searchable else None
            self._offsets = {}
            for offset in _walk_headers(self._text, self._start) if offsets is None else offsets:
                self._offsets.setdefault(_read_header(self._text, offset)[0], []).append(offset)
        return self._offsets

    def _expand(self, section: Section | None) -> Section | None:
        """The section with each ``%(name)s`` replaced."""
        if section is None or not any("%(" in entry.value for entry in section.entries.values()):
            return section
        implicit = self._section(IMPLICIT)
        fallback = implicit.entries if implicit else {}
        own = section.entries
        entries = {key: entry.expanded(own, fallback) for key, entry in own.items()}
        return Section(self._text, section.offset, section.name, entries, section.mistakes)


def append_section(text: str, name: str, settings: Mapping[str, str]) -> str:
    """*text* with a new section at its end; not a byte of what was there changes.

    Args:
        text: A whole config file, as :func:`decode` gives it.
        name: The section's name, e.g. ``profile dev``.
        settings: Keys and values, written one a line as ``key=value``.

    Raises:
        ValueError: The section exists, or the name or a setting cannot be written so that go-ini and the AWS CLI
            both read it back as it is.
    """
    if Document(text).section(name) is not None:
        raise ValueError(f"there is a section [{name}] already")
    if not _is_plain(name) or any(mark in name for mark in ("]", "`", '"""')):
        raise ValueError(f"{name!r} cannot be the name of a section")
    for key, value in settings.items():
        if not (key.isascii() and key.replace("_", "").isalnum() and key == key.lower()):
            raise ValueError(f"{key!r} cannot be a key")
        if not _reads_the_same(value):
            raise ValueError(f"the value of {key!r} cannot be written to a config file as it is")
    newline = "\r\n" if "\r\n" in text[: text.find("\n") + 1] else "\n"
    if text.strip("\ufeff") and not text.endswith("\n"):
        text += newline
    if text.strip("\ufeff") and not text.endswith(("\n\n", "\n\r\n")):
        text += newline
    lines = [f"[{name}]", *(f"{key}={value}" for key, value in settings.items())]
    return text + "".join(line + newline for line in lines)


def decode(data: bytes) -> str:
    """The text of a config file; bytes that are no UTF-8 become lone surrogates, a byte order mark U+FEFF."""
    return data.decode(_encoding(data), _errors(data))


def encode(text: str, like: bytes = b"") -> bytes:
    """The bytes of *text*, in the encoding of the file *like*: ``encode(decode(data), data) == data``."""
    return text.encode(_encoding(like), _errors(like))


def _encoding(data: bytes) -> str:
    """UTF-16 if its byte order mark says so and the rest agrees, else UTF-8."""
    for mark, encoding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark) and len(data) % 2 == 0:
            return encoding
    return "utf-8"


def _errors(data: bytes) -> str:
    return "surrogateescape" if _encoding(data) == "utf-8" else "surrogatepass"


# Headers: where sections begin


def _may_span_lines(text: str) -> bool:
    """Whether some value may reach over the end of its line, so that a header cannot be told by its own line."""
    # The first test of the two finds one character much faster than the second one three.
    if "`" in text or ('"' in text and '"""' in text):
        return True
    at = text.find("\\")
    while at >= 0:
        if not text[at + 1 : _end_of_line(text, at)].strip(_SPACE):
            return True
        at = text.find("\\", at + 1)
    return False


def _search_headers(text: str, start: int, name: str) -> list[int] | None:
    """Offsets of the headers of *name*, or None if only a walk through the whole text can tell."""
    found = []
    opening = "[" + name
    # Backwards: str.rfind stops at first characters, which are rare here, str.find at last ones. Three times as fast.
    at = text.rfind(opening, start)
    while at >= 0:
        after = text[at + len(opening) : at + len(opening) + 1]
        if after == "]" or not after.strip(_SPACE):
            if at > start and text[at - 1] != "\n":
                if _is_indented(text, start, at):
                    return None
            elif _read_header(text, at)[0] == name:
                found.append(at)
        at = text.rfind(opening, start, at + len(opening) - 1)
    return found[::-1]


def _search_all_headers(text: str, start: int) -> list[int] | None:
    """Offsets of all headers, or None if only a walk through the whole text can tell."""
    found = []
    at = text.find("[", start)
    while at >= 0:
        if at == start or text[at - 1] == "\n":
            found.append(at)
        elif _is_indented(text, start, at):
            return None
        at = text.find("[", at + 1)
    return found


def _is_indented(text: str, start: int, at: int) -> bool:
    """Whether nothing but space stands between the beginning of the line and *at*."""
    return not text[max(text.rfind("\n", 0, at) + 1, start) : at].strip(_SPACE)


def _walk_headers(text: str, start: int) -> Iterator[int]:
    """Offsets of all headers, by reading everything between them."""
    at = _read_body(text, start, {}, [])
    while at < len(text):
        yield at
        at = _read_body(text, _read_header(text, at)[2], {}, [])


def _read_header(text: str, offset: int) -> tuple[str, str, int]:
    """The name in the header line at *offset*, what is wrong with that line or "", and where its body begins."""
    end = _end_of_line(text, offset)
    line = text[offset:end].lstrip(_SPACE)
    close = line.rfind("]")
    reason = ""
    if close < 0:
        name = line[1:].rstrip(_SPACE)
        reason = f"unclosed section: {_shown(line)}"
    else:
        name = line[1:close]
        if not name:
            reason = "empty section name: '[]'"
    if not _is_utf8(name):
        reason = reason or f"not UTF-8: {_shown(line)}"
    return name, reason, end + 1


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


# Bodies: what stands under a header


def _read_body(text: str, at: int, entries: dict[str, Entry], mistakes: list[Mistake]) -> int:
    """Read settings from *at* into *entries* and *mistakes*; returns where the next header's line begins."""
    nested: list[str] | None = None  # of the last setting, if its value is empty
    while at < len(text):
        end = _end_of_line(text, at)
        line = text[at:end].strip(_SPACE)
        following = end + 1
        if nested is not None and text[at] in " \t":
            nested.append(line)
        elif line[:1] == "[":
            return at
        elif line and line[0] not in "#;":
            nested = None
            try:
                key, value, following = _read_setting(text, text.index(line, at), line)
            except ValueError as error:
                mistakes.append(Mistake(text, at, f"{error}: {_shown(line)}"))
            else:
                nested = None if value else []
                entries[key] = Entry(text, at, key, value, nested)
        at = following
    return len(text)


def _read_setting(text: str, at: int, line: str) -> tuple[str, str, int]:
    """Key, value, and where the next line begins, for the setting that *line*, which stands at *at*, begins with.

    Raises:
        ValueError: It is no setting.
    """
    key, delimiter = _read_key(line)
    value = line[delimiter + 1 :].lstrip(_SPACE)
    end = _end_of_line(text, at)
    quote = '"""' if value.startswith('"""') else "`" if value.startswith("`") else ""
    if quote:
        value, end = _read_quoted(text, at + len(line) - len(value) + len(quote), quote)
    elif value.endswith("\\"):
        value, end = _read_continued(text, value, end)
    else:
        value = _without_quotes(_without_comment(value))
    if not (_is_utf8(key) and _is_utf8(value)):
        raise ValueError("not UTF-8")
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
    key = line[begin : close if quote else delimiter].strip(_SPACE).lower()
    if not key:
        raise ValueError("empty key name")
    return key, delimiter


def _read_quoted(text: str, at: int, quote: str) -> tuple[str, int]:
    """The value from *at* up to the last *quote* of the first line that has one, and the end of that line."""
    end = _end_of_line(text, max(text.find(quote, at), at))
    close = text.rfind(quote, at, end)
    if close < 0:
        raise ValueError("missing closing quote")
    return text[at:close], end


def _read_continued(text: str, value: str, end: int) -> tuple[str, int]:
    """The value with the next lines, each trimmed, while one ends with a backslash; a blank line ends it too."""
    line = value
    while line and value.endswith("\\"):
        at, end = end + 1, _end_of_line(text, end + 1)
        line = text[at:end].strip(_SPACE)
        value = value[:-1] + line
    return value, end


def _without_comment(value: str) -> str:
    at = value.find(" #")
    if at < 0:
        at = value.find(" ;")
    return value if at < 0 else value[:at].strip(_SPACE)


def _without_quotes(value: str) -> str:
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


def _is_plain(text: str) -> bool:
    """Whether all readers of INI files leave *text* as it is: no control characters, no blanks around it."""
    blanks = text[:1] + text[-1:]
    return blanks == blanks.strip().strip(_SPACE) != "" and not any(
        char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in text
    )


def _reads_the_same(value: str) -> bool:
    """Whether go-ini and the AWS CLI, which knows no inline comments, quotes, continuations or ``%()s``, agree."""
    return (
        _is_plain(value)
        and not any(mark in value for mark in (" #", " ;", "`", '"""', "%("))
        and not value.endswith("\\")
        and _without_quotes(value) == value
    )
