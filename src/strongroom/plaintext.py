"""Long-term keys that stand in files for everybody to read: finding them, and taking out exactly their lines.

Two kinds of files: the credentials file of the AWS CLI and the SDKs
(https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html), which its config file may stand in for, and the CSV
that the IAM console offers for download when a key is made.

Programs do not agree on what a line of the first may hold: Go's SDK drops a comment behind a value, botocore takes it
for a part of it. So the file is read twice, by `strongroom.ini` as Go programs do, and as botocore does. A key that
they read differently is not taken; lines are removed only if both read all the rest as they did before.
"""

from __future__ import annotations

import configparser
import csv
import io
import re
from typing import TYPE_CHECKING

from strongroom import ini
from strongroom.credentials import Credentials
from strongroom.ini_lines import end_of_line

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID, _SECRET = "aws_access_key_id", "aws_secret_access_key"
_TOKENS = ("aws_session_token", "aws_security_token")

# The columns of the console's files, whose writing changed with the years: "Access key ID", "Access Key Id".
_USER, _CSV_ID, _CSV_SECRET = "user name", "access key id", "secret access key"
# The name of such a file that has no column for the user.
_FILE_NAME = r"(.+)_accessKeys"

_CONFIG_WORD = "profile "

#: A section's settings as one reader has them.
Reading = dict[str, dict[str, object]]

TWO_READINGS = "AWS's programs read it in different ways"


class Found:
    """A key in a file, or something that looks like one.

    Args:
        profile: Whose it is; empty if the file does not say.
        line: Where it begins, from 1.
        credentials: The key; None if it cannot be taken.
        reason: Why it cannot be taken, or empty.
        section: The name of its section as it is written, in a file of sections.
        spans: The offsets of its lines in the text, begin and end.
        stays: Why its lines have to stay where they are, or empty.
    """

    __slots__ = ("credentials", "line", "profile", "reason", "section", "spans", "stays")

    def __init__(
        self,
        profile: str,
        line: int,
        credentials: Credentials | None = None,
        reason: str = "",
        *,
        section: str = "",
        spans: Iterable[tuple[int, int]] = (),
        stays: str = "",
    ) -> None:
        self.profile = profile
        self.line = line
        self.credentials = credentials
        self.reason = reason
        self.section = section
        self.spans = tuple(spans)
        self.stays = stays

    def __repr__(self) -> str:
        return f"<Found {self.profile!r} in line {self.line}: {self.reason or self.credentials!r}>"


def find(text: str, stem: str = "") -> list[Found]:
    """Every key in a file, in the order of the file.

    Args:
        text: All of it, as `strongroom.ini.decode` gives it.
        stem: The file's name without its suffix, which may name the user.

    Raises:
        ValueError: It is a table that cannot be read.
    """
    return _find_rows(text, stem) if _is_table(text) else _find_sections(text)


def without(text: str, found: Iterable[Found]) -> str:
    """The text without the lines of these; each other byte stays."""
    for begin, end in sorted({span for each in found for span in each.spans}, reverse=True):
        text = text[:begin] + text[end:]
    return text


def leaves_the_rest(text: str, found: Iterable[Found]) -> bool:
    """Whether every program reads all else as before once the lines of these are gone."""
    return _is_table(text) or _leaves_the_rest(text, list(found), _as_go(text), _as_botocore(text))


# Credentials files


def _find_sections(text: str) -> list[Found]:
    document = ini.Document(text)
    by_go, by_botocore = _as_go(text), _as_botocore(text)
    found: list[Found] = []
    for name in document.names():
        section = document.section(name)
        if section is None or not section.entries.keys() & {_ID, _SECRET}:
            continue
        lines = [section.entries[key] for key in (_ID, _SECRET) if key in section.entries]
        profile = name.removeprefix(_CONFIG_WORD).strip() if name.startswith(_CONFIG_WORD) else name
        reason = _not_a_key({key: entry.value for key, entry in section.entries.items()})
        if not reason and by_botocore is not None:
            others = by_botocore.get(name, {})
            if any(others.get(entry.key) != entry.value for entry in lines):
                reason = TWO_READINGS
        if any(each.profile == profile for each in found):
            reason = reason or f"there is another section for {profile!r}"
        line = min(entry.line for entry in lines)
        if reason:
            found.append(Found(profile, line, reason=reason))
            continue
        key = Credentials(section.entries[_ID].value, section.entries[_SECRET].value)
        spans = [(entry.offset, end_of_line(text, entry.offset) + 1) for entry in lines]
        found.append(Found(profile, line, key, section=name, spans=spans))
    for each in _needed(text, [each for each in found if each.credentials], by_go, by_botocore):
        each.stays = "without its lines the rest of the file would mean something else"
    return found


def _needed(text: str, keys: list[Found], by_go: Reading, by_botocore: Reading | None) -> list[Found]:
    """Those whose lines have to stay: they are few, so halves are tried, and not each key."""
    if not keys or _leaves_the_rest(text, keys, by_go, by_botocore):
        return []
    if len(keys) == 1:
        return keys
    middle = len(keys) // 2
    halves = (keys[:middle], keys[middle:])
    return [each for half in halves for each in _needed(text, half, by_go, by_botocore)]


def _not_a_key(values: dict[str, str]) -> str:
    """Why a section has no long-term key; empty if it has one."""
    if any(values.get(token) for token in _TOKENS):
        return "a temporary key, which works only with its session token and not for long"
    if not values.get(_ID):
        return f"there is no {_ID}"
    return "" if values.get(_SECRET) else f"there is no {_SECRET}"


def _leaves_the_rest(text: str, found: list[Found], by_go: Reading, by_botocore: Reading | None) -> bool:
    """Whether both readers find all else as it was once these lines are gone."""
    rest = without(text, found)
    gone = [each.section for each in found]
    if _as_go(rest) != _less(by_go, gone):
        return False
    return by_botocore is None or _as_botocore(rest) == _less(by_botocore, gone)


def _less(reading: Reading, gone: list[str]) -> Reading:
    return {
        name: {key: value for key, value in values.items() if name not in gone or key not in (_ID, _SECRET)}
        for name, values in reading.items()
    }


def _as_go(text: str) -> Reading:
    """All settings and mistakes of a file, as `strongroom.ini` has them."""
    document = ini.Document(text)
    reading: Reading = {}
    for name in dict.fromkeys((ini.IMPLICIT, *document.names())):
        section = document.section(name)
        if section is not None:
            reading[name] = {key: (entry.value, entry.nested) for key, entry in section.entries.items()}
            reading[name]["mistakes"] = tuple(mistake.reason for mistake in section.mistakes)
    return reading


def _as_botocore(text: str) -> Reading | None:
    """All settings of a file as botocore reads them; None if it refuses the file.

    See ``_raw_config_parse`` in botocore's configloader.py.
    """
    parser = configparser.RawConfigParser(default_section="")  # of which no header can be
    try:
        parser.read_file(io.StringIO(text.removeprefix("\ufeff"), newline=None))
    except (configparser.Error, ValueError):
        return None
    return {name: dict(parser.items(name)) for name in parser.sections()}


# The console's tables


def _is_table(text: str) -> bool:
    first = next((line for line in text.removeprefix("\ufeff").splitlines() if line.strip()), "")
    return {_CSV_ID, _CSV_SECRET} <= set(_heads(next(csv.reader([first]), [])))


def _heads(row: list[str]) -> list[str]:
    return [" ".join(cell.casefold().split()) for cell in row]


def _find_rows(text: str, stem: str) -> list[Found]:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    reader = csv.reader(line.removeprefix("\ufeff") if number == 0 else line for number, line in enumerate(lines))
    heads: list[str] = []
    found: list[Found] = []
    before = 0
    try:
        for row in reader:
            begin, before = before, reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            if not heads:
                heads = _heads(row)
                continue
            found.append(_row(dict(zip(heads, row, strict=False)), row, stem, begin + 1))
            found[-1].spans = ((starts[begin], starts[before]),)
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} cannot be read: {error}") from None
    named = [each.profile for each in found]
    for each in found:
        if each.profile and named.count(each.profile) > 1 and not each.reason:
            each.reason, each.credentials = f"there is another line for {each.profile!r}", None
    return found


def _row(cells: dict[str, str], row: list[str], stem: str, line: int) -> Found:
    cells = {head: cell.strip() for head, cell in cells.items()}
    by_name = re.fullmatch(_FILE_NAME, stem)
    profile = cells.get(_USER) or (by_name[1] if by_name else "")
    access_key_id, secret = cells.get(_CSV_ID, ""), cells.get(_CSV_SECRET, "")
    if not (access_key_id and secret):
        return Found(profile, line, reason="there is no access key in this line")
    others = [head for head, cell in cells.items() if cell and head not in (_USER, _CSV_ID, _CSV_SECRET)]
    if len(row) > len(cells):
        others.append("cells without a heading")
    stays = f"its line holds more than the key: {', '.join(others)}" if others else ""
    return Found(profile, line, Credentials(access_key_id, secret), stays=stays)
