"""A secret as AWS answers it, and the JSON that clients get."""

from __future__ import annotations

import math
from binascii import b2a_base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from strongroom.agent.compact_json import dump, encode

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, repr=False)
class Secret:
    """One version of a secret; None is what AWS did not send.

    Attributes:
        arn: Its ARN, with the random end.
        name: Its name.
        version_id: Which version this is.
        string: Its text.
        binary: Its bytes, if it is no text.
        stages: The labels of this version, in AWS's order.
        created: When this version was made, seconds since 1970 as text.
    """

    arn: str | None
    name: str | None
    version_id: str | None
    string: str | None
    binary: bytes | None
    stages: tuple[str, ...] | None
    created: str | None

    def __repr__(self) -> str:
        return f"Secret(name={self.name!r}, version_id={self.version_id!r}, ...)"

    @classmethod
    def from_aws(cls, answer: Mapping[str, Any]) -> Secret:
        """The secret in an answer to GetSecretValue, or in one of the items of BatchGetSecretValue.

        Args:
            answer: As botocore parsed it; ``CreatedDate`` as the number that AWS sent, or as a datetime.
        """
        binary = answer.get("SecretBinary")
        stages = answer.get("VersionStages")
        return cls(
            arn=answer.get("ARN"),
            name=answer.get("Name"),
            version_id=answer.get("VersionId"),
            string=answer.get("SecretString"),
            binary=None if binary is None else bytes(binary),
            stages=None if stages is None else tuple(stages),
            created=created_text(answer.get("CreatedDate")),
        )

    def body(self) -> bytes:
        """The secret's JSON, byte for byte as the AWS agent writes it, see `strongroom.agent.compact_json`."""
        members: dict[str, object] = {"ARN": self.arn, "Name": self.name, "VersionId": self.version_id}
        if self.string is not None:
            members["SecretString"] = self.string
        if self.binary is not None:
            members["SecretBinary"] = b2a_base64(self.binary, newline=False).decode()
        if self.stages is not None:
            members["VersionStages"] = self.stages
        members["CreatedDate"] = self.created
        return encode(dump(members))


def created_text(number: Any) -> str | None:
    """Seconds since 1970 as the AWS agent shows them: the fewest digits that tell the number, never an exponent.

    Args:
        number: A number, or a datetime that knows its zone. Anything else, also what is no finite number, is None:
            a date is not worth failing for.
    """
    if hasattr(number, "timestamp"):
        number = number.timestamp()
    if not isinstance(number, int | float):
        return None
    try:
        seconds = float(number)
    except OverflowError:
        return None
    return _decimal(repr(seconds)) if math.isfinite(seconds) else None


def _decimal(text: str) -> str:
    """*text*, a finite float's repr, without exponent and without a fraction of nothing."""
    mantissa, _, exponent = text.partition("e")
    if not exponent:
        return text.removesuffix(".0")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.removeprefix("-").partition(".")
    if exponent.startswith("-"):
        return f"{sign}0.{'0' * (-int(exponent) - 1)}{whole}{fraction}"
    return f"{sign}{whole}{fraction.ljust(int(exponent), '0')}"
