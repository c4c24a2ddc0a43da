"""AWS credentials as a value, and the three shapes in which they travel.

* what STS answers (and what aws-vault stores of a session): ``AccessKeyId``, ``SecretAccessKey``, ``SessionToken``,
  ``Expiration``;
* what a ``credential_process`` prints:
  https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sourcing-external.html;
* the ``AWS_*`` variables that every SDK reads.

Times are epoch seconds, UTC.
"""

from __future__ import annotations

import json
import re
import time

_RFC3339 = r"(?a:(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(\.\d+)?([Zz]|([+-])(\d\d):(\d\d)))"
_DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365)
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Credentials:
    """An access key, long-term or temporary. Immutable; its repr shows the last four characters of the id only.

    Args:
        access_key_id: For example ``AKIA...`` (long-term) or ``ASIA...`` (temporary).
        secret_access_key: The secret.
        session_token: Empty for a long-term key.
        expiration: Epoch seconds, or None when the credentials do not expire.
    """

    __slots__ = ("access_key_id", "expiration", "secret_access_key", "session_token")

    access_key_id: str
    secret_access_key: str
    session_token: str
    expiration: int | None

    def __init__(
        self,
        access_key_id: str,
        secret_access_key: str,
        session_token: str = "",
        expiration: int | None = None,
    ) -> None:
        for name, value in (
            ("access_key_id", access_key_id),
            ("secret_access_key", secret_access_key),
            ("session_token", session_token),
            ("expiration", expiration),
        ):
            object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: credentials do not change")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Credentials) and self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def _values(self) -> tuple[str, str, str, int | None]:
        return self.access_key_id, self.secret_access_key, self.session_token, self.expiration

    def __repr__(self) -> str:
        until = "" if self.expiration is None else f" until {show_time(self.expiration)}"
        return f"<Credentials {shown_key_id(self.access_key_id)}{until}>"

    def __reduce__(self) -> str:
        raise TypeError("credentials are not pickled")

    @classmethod
    def from_sts(cls, answer: dict[str, object]) -> Credentials:
        """Read the ``Credentials`` member of an STS answer, or the same fields as aws-vault stores them.

        Raises:
            ValueError: A field is missing or is not what it should be; the message names the field only.
        """
        found = []
        for field in ("AccessKeyId", "SecretAccessKey", "SessionToken"):
            value = answer.get(field)
            found.append(value if isinstance(value, str) else "")
            if not found[-1]:
                raise ValueError(f"the credentials have no {field}")
        expiration = answer.get("Expiration")
        try:
            expires_at = int(parse_time(expiration if isinstance(expiration, str) else ""))
        except ValueError:
            raise ValueError("the Expiration of the credentials is not an RFC 3339 time") from None
        return cls(found[0], found[1], found[2], expires_at)

    def sts_fields(self) -> dict[str, object]:
        """The fields of `from_sts`, in the order in which aws-vault writes them."""
        return {
            "AccessKeyId": self.access_key_id,
            "Expiration": show_time(self.expiration or 0),
            "SecretAccessKey": self.secret_access_key,
            "SessionToken": self.session_token,
        }

    def process_json(self) -> str:
        """What a ``credential_process`` prints, indented by two spaces, without a final newline."""
        fields: dict[str, object] = {
            "Version": 1,
            "AccessKeyId": self.access_key_id,
            "SecretAccessKey": self.secret_access_key,
        }
        if self.session_token:
            fields["SessionToken"] = self.session_token
        if self.expiration is not None:
            fields["Expiration"] = show_time(self.expiration)
        return go_json(fields, indent=2)

    def environment(self) -> dict[str, str]:
        """The variables that SDKs read, in the order in which ``export`` prints them."""
        variables = {
            "AWS_ACCESS_KEY_ID": self.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret_access_key,
        }
        if self.session_token:
            variables["AWS_SESSION_TOKEN"] = self.session_token
        if self.expiration is not None:
            variables["AWS_CREDENTIAL_EXPIRATION"] = show_time(self.expiration)
        return variables


def shown_key_id(access_key_id: str) -> str:
    """An access key id as logs and messages show it: its last four characters, less for a very short one."""
    return "*" * 4 + access_key_id[-4:] if len(access_key_id) > 8 else "*" * 4


def show_time(epoch_seconds: float) -> str:
    """Write epoch seconds as RFC 3339 in UTC, whole seconds: ``2026-11-22T02:38:17Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch_seconds))


def parse_time(text: str) -> float:
    """Read an RFC 3339 time (section 5.6), any offset, any fraction, into epoch seconds.

    `datetime` would do the same at a third of a bare interpreter's start-up time.

    Raises:
        ValueError: The text is no RFC 3339 time.
    """
    if len(text) == 20 and text.isascii() and text[-1] == "Z" and text[4] + text[7] + text[10] + text[13] == "--T:":
        # As STS and we ourselves write it; compiling the pattern would take longer than all the rest.
        numbers = [text[0:4], text[5:7], text[8:10], text[11:13], text[14:16], text[17:19]]
        fraction, sign, offset_hour, offset_minute = "", "", 0, 0
    else:
        match = re.fullmatch(_RFC3339, text)
        if match is None:
            raise ValueError(f"not an RFC 3339 time: {text!r}")
        numbers, fraction, sign = list(match.groups()[:6]), match[7] or "", match[9] or ""
        offset_hour, offset_minute = int(match[10] or 0), int(match[11] or 0)
    if not all(number.isdigit() for number in numbers):
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    year, month, day, hour, minute, second = map(int, numbers)
    if not (1 <= month <= 12 and 1 <= day <= _days_of(year, month) and hour <= 23 and minute <= 59 and second <= 60):
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    if offset_hour > 23 or offset_minute > 59:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    # Leap days up to the first of March of this year, in the proleptic Gregorian calendar.
    leaping = year if month > 2 else year - 1
    days = (year - 1970) * 365 + _DAYS_BEFORE_MONTH[month - 1] + day - 1
    days += leaping // 4 - leaping // 100 + leaping // 400 - 477
    seconds = days * 86400 + hour * 3600 + minute * 60 + second + float(fraction or 0)
    offset = offset_hour * 3600 + offset_minute * 60
    return seconds + offset if sign == "-" else seconds - offset


def _days_of(year: int, month: int) -> int:
    leaps = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _DAYS_BEFORE_MONTH[month] - _DAYS_BEFORE_MONTH[month - 1] + leaps


def go_json(value: object, *, indent: int | None = None) -> str:
    """Write JSON with the bytes that Go's encoder gives: compact by default, ``< > &`` and line separators escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent, separators=None if indent else (",", ":"))
    for character, escaped in _ESCAPED.items():
        # These occur in strings only, never in JSON's own punctuation.
        if character in text:
            text = text.replace(character, escaped)
    return text
