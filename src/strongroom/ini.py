"""Config files: text to sections, and a new section onto a text.

A :class:`Document` reads a text from end to end or, since a process that needs one profile out of thousands must not
pay for the others, looks for the header of the section that was asked for and reads from there. Both ways give the
same sections for every text. What a line means is said in :mod:`strongroom.ini_lines`.

A mistake belongs to the section in which it stands: it never keeps anybody from reading the others. A dot in a
section's name means nothing, unlike in go-ini, where ``[a.b]`` inherits from ``[a]``.
"""

from __future__ import annotations

import re

from strongroom.ini_lines import (
    SPACE,
    Entry,
    Mistake,
    Placed,
    end_of_line,
    read_body,
    read_header,
    without_quotes,
)

__all__ = ["IMPLICIT", "Document", "Entry", "Mistake", "Section", "append_section", "decode", "encode"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The section that keys before any header belong to, and that ``%(name)s`` falls back to.
IMPLICIT = "DEFAULT"

#: After so many single look-ups all headers are collected once: ``list`` asks for every profile.
_LOOKUPS_BEFORE_INDEX = 8

#: Lines that no reader takes for a mistake, whatever stands around them: settings with an ordinary key, closed headers,
#: comments, blank lines. `list` looks for mistakes each time, and this is ten times as fast as reading every value.
_PLAIN_LINES = (
    r"(?:[ \t]*+(?:[A-Za-z][A-Za-z0-9_]*+[ \t]*+[=:][^\n\ud800-\udfff]*+"
    r"|\[[^]\n\ud800-\udfff]++\][^\n\ud800-\udfff]*+|[#;][^\n]*+|\r?)(?:\n|\Z))*+"
)


class Section(Placed):
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
        if self._searchable and re.compile(_PLAIN_LINES).fullmatch(self._text, self._start):
            return ()
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
            read_body(self._text, self._start, entries, mistakes)
        for offset in headers:
            _, reason, body = read_header(self._text, offset)
            if reason:
                mistakes.append(Mistake(self._text, offset, reason))
            read_body(self._text, body, entries, mistakes)
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
                self._offsets.setdefault(read_header(self._text, offset)[0], []).append(offset)
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


def _may_span_lines(text: str) -> bool:
    """Whether some value may reach over the end of its line, so that a header cannot be told by its own line."""
    # The first test of the two finds one character much faster than the second one three.
    if "`" in text or ('"' in text and '"""' in text):
        return True
    at = text.find("\\")
    while at >= 0:
        end = end_of_line(text, at)
        if not text[text.rfind("\\", at, end) + 1 : end].strip(SPACE):
            return True
        at = text.find("\\", end)
    return False


def _search_headers(text: str, start: int, name: str) -> list[int] | None:
    """Offsets of the headers of *name*, or None if only a walk through the whole text can tell."""
    found = []
    opening = "[" + name
    # Backwards: str.rfind stops at first characters, which are rare here, str.find at last ones. Three times as fast.
    at = text.rfind(opening, start)
    while at >= 0:
        after = text[at + len(opening) : at + len(opening) + 1]
        if after == "]" or not after.strip(SPACE):
            if at > start and text[at - 1] != "\n":
                if _is_indented(text, start, at):
                    return None
            elif read_header(text, at)[0] == name:
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
        at = text.find("[", end_of_line(text, at))
    return found


def _is_indented(text: str, start: int, at: int) -> bool:
    """Whether nothing but space stands between the beginning of the line and *at*."""
    while at > start and text[at - 1] in SPACE:
        if text[at - 1] == "\n":
            return True
        at -= 1
    return at == start


def _walk_headers(text: str, start: int) -> Iterator[int]:
    """Offsets of all headers, by reading everything between them."""
    at = read_body(text, start, {}, [])
    while at < len(text):
        yield at
        at = read_body(text, read_header(text, at)[2], {}, [])


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
    if name == IMPLICIT or not _is_plain(name) or any(mark in name for mark in ("]", "`", '"""')):
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


def _is_plain(text: str) -> bool:
    """Whether all readers of INI files leave *text* as it is: no control characters, no blanks around it."""
    blanks = text[:1] + text[-1:]
    return blanks == blanks.strip().strip(SPACE) != "" and not any(
        char < " " or "\x7f" <= char <= "\x9f" or "\ud800" <= char <= "\udfff" for char in text
    )


def _reads_the_same(value: str) -> bool:
    """Whether go-ini and the AWS CLI, which knows no inline comments, quotes, continuations or ``%()s``, agree."""
    return (
        _is_plain(value)
        and not any(mark in value for mark in (" #", " ;", "`", '"""', "%("))
        and not value.endswith("\\")
        and without_quotes(value) == value
    )
