"""``credential_process``: a program of the user's prints credentials, as the AWS CLI and SDKs have it.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
"""

from __future__ import annotations

import json

from strongroom.credentials import Credentials, parse_time
from strongroom.errors import CredentialsError, PromptFailed
from strongroom.prompt import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.plan import Step
    from strongroom.providers import World

LIMIT_BYTES = 65_536
PROCESS_SECONDS = 60.0


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:  # noqa: ARG001 - it is a first step
    """Run the program.

    Raises:
        CredentialsError: It failed, or printed something else; what it printed is not shown.
    """
    name = step.profile.name
    try:
        output = process.run_program(
            step.profile.credential_process or "",
            world.helper_environment(name),
            what="credential_process",
            wanted="credentials",
            timeout_seconds=PROCESS_SECONDS,
            limit_bytes=LIMIT_BYTES,
        )
    except PromptFailed as error:
        raise CredentialsError(f"there are no credentials for profile {name!r}: {error.message}") from error
    try:
        return _read(json.loads(output))
    except (ValueError, RecursionError, _Wrong) as error:
        reason = str(error) if isinstance(error, _Wrong) else "it is no JSON"
        # Not chained: a parser's error may quote the output.
        raise CredentialsError(
            f"what the credential_process of profile {name!r} prints are no credentials: {reason}",
            "it should print JSON with Version, AccessKeyId, SecretAccessKey, and maybe SessionToken and Expiration",
        ) from None


class _Wrong(Exception):
    """What is wrong, in words without a value."""


def _read(fields: object) -> Credentials:
    if not isinstance(fields, dict):
        raise _Wrong("it is no JSON object")
    if fields.get("Version") != 1:
        raise _Wrong("its Version is not 1")
    access_key_id, secret_access_key = _text(fields, "AccessKeyId"), _text(fields, "SecretAccessKey")
    session_token = _text(fields, "SessionToken", is_required=False)
    expiration = fields.get("Expiration")
    if expiration is None:
        return Credentials(access_key_id, secret_access_key, session_token)
    try:
        return Credentials(access_key_id, secret_access_key, session_token, int(parse_time(str(expiration))))
    except ValueError:
        raise _Wrong("its Expiration is no time") from None


def _text(fields: dict[str, object], key: str, *, is_required: bool = True) -> str:
    text = fields.get(key)
    if text is None and not is_required:
        return ""
    if not isinstance(text, str) or (is_required and not text):
        raise _Wrong(f"{key} is {'no text' if fields.get(key) else 'missing'}")
    return text
