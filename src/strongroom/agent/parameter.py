"""A parameter of AWS's Parameter Store, and the JSON that clients get."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from strongroom.agent.compact_json import dump, encode

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# AWS's Lambda extension is written in Go, whose JSON can stand in a HTML page: https://pkg.go.dev/encoding/json#Marshal
_AS_GO = str.maketrans({character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"})


@dataclass(frozen=True, slots=True, repr=False)
class Parameter:
    """One version of a parameter; None is what AWS did not send.

    Attributes:
        arn: Its ARN.
        name: Its name.
        version: Its number, 0 for a reference to a secret.
        value: Its text.
        kind: ``String``, ``StringList`` or ``SecureString``.
        data_type: ``text``, ``aws:ec2:image``...
        selector: The version or label that was asked for, with its colon in front.
        source_result: JSON text with the answer of the service that the parameter refers to.
        modified: When, in RFC 3339.
    """

    arn: str | None
    name: str | None
    version: int
    value: str | None
    kind: str
    data_type: str | None
    selector: str | None
    source_result: str | None
    modified: str | None

    def __repr__(self) -> str:
        return f"Parameter(name={self.name!r}, version={self.version!r}, ...)"

    @classmethod
    def from_aws(cls, answer: Mapping[str, Any]) -> Parameter:
        """The parameter in an answer to GetParameter.

        Args:
            answer: As botocore parsed it; ``LastModifiedDate`` as a datetime, or as the number that AWS sent.
        """
        parameter = answer.get("Parameter") or {}
        return cls(
            arn=parameter.get("ARN"),
            name=parameter.get("Name"),
            version=parameter.get("Version") or 0,
            value=parameter.get("Value"),
            kind=parameter.get("Type") or "",
            data_type=parameter.get("DataType"),
            selector=parameter.get("Selector"),
            source_result=parameter.get("SourceResult"),
            modified=_modified_text(parameter.get("LastModifiedDate")),
        )

    def body(self) -> bytes:
        """The parameter's JSON as AWS's Lambda extension writes it: every member, by the alphabet."""
        members = {
            "ARN": self.arn,
            "DataType": self.data_type,
            "LastModifiedDate": self.modified,
            "Name": self.name,
            "Selector": self.selector,
            "SourceResult": self.source_result,
            "Type": self.kind,
            "Value": self.value,
            "Version": self.version,
        }
        return encode(dump({"Parameter": members, "ResultMetadata": {}}).translate(_AS_GO))


def _modified_text(moment: Any) -> str | None:
    """*moment*, a datetime or seconds since 1970, to the millisecond, without zeros at the end of the fraction.

    What is neither, or too far away for a calendar, is None: a date is not worth failing for.
    """
    try:
        seconds = moment.timestamp() if isinstance(moment, datetime) else float(moment)
        shown = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    except (TypeError, ValueError, OverflowError):
        return None
    text = shown.replace(tzinfo=None).isoformat(timespec="milliseconds")
    return text.rstrip("0").rstrip(".") + "Z"
