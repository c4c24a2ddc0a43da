"""AWS's sign-in service: temporary credentials become a token that a browser can bring to the console.

https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_providers_enable-console-custom-url.html
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from strongroom.aws import client
from strongroom.durations import show
from strongroom.errors import AwsRefused, AwsUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.credentials import Credentials

NAME = "getSigninToken"

# What SessionDuration may be.
LEAST_SECONDS, MOST_SECONDS = 900, 43_200

# Before the second and the third try, when AWS itself has trouble; the request changes nothing, so it can be repeated.
PAUSES_SECONDS = (0.5, 1.0)


def get_signin_token(
    url: str,
    credentials: Credentials,
    *,
    session_seconds: int = 0,
    ca_bundle: str | None = None,
    sleep: Callable[[float], object] = time.sleep,
) -> str:
    """Exchange temporary credentials for a sign-in token, which is good for a quarter of an hour.

    The credentials go in the body: an address is what ends up in logs and messages.

    Args:
        url: The federation endpoint of the partition.
        credentials: Of a role, or from GetFederationToken.
        session_seconds: How long the console session should last, `LEAST_SECONDS` to `MOST_SECONDS`; 0 for as long as
            the credentials were made for. AWS refuses it for federated users and for roles that a role assumed.
        ca_bundle: Path of a file of trusted certificates, or None for the system's.
        sleep: Waits for so many seconds.

    Raises:
        AwsRefused: AWS does not take the credentials, or the duration.
        AwsUnreachable: There was no answer that makes sense.
    """
    session = {
        "sessionId": credentials.access_key_id,
        "sessionKey": credentials.secret_access_key,
        "sessionToken": credentials.session_token,
    }
    fields = {"Action": NAME, "Session": json.dumps(session)}
    if session_seconds:
        fields["SessionDuration"] = str(session_seconds)
    status, body = client.post_form(NAME, url, fields, ca_bundle=ca_bundle)
    for pause in PAUSES_SECONDS:
        if status < 500:
            break
        sleep(pause)
        status, body = client.post_form(NAME, url, fields, ca_bundle=ca_bundle)
    if status >= 500:
        raise AwsUnreachable(f"{NAME} failed at AWS's side with HTTP status {status}", "try again in a moment")
    if status != 200:
        raise _refused(status, session_seconds)
    return _token(body)


def _refused(status: int, session_seconds: int) -> AwsRefused:
    """The error for an answer whose body is a page for people, the same whatever is wrong."""
    if status == 429:
        hint = "AWS limits the rate of calls: try again in a moment"
    elif session_seconds:
        hint = f"the role may not allow a session of {show(session_seconds)}: ask for less with --duration"
    else:
        hint = "the credentials may have expired or been revoked: `strongroom clear` removes stored ones"
    return AwsRefused("", status, f"{NAME} was refused with HTTP status {status}", hint)


def _token(body: bytes) -> str:
    """The token in an answer. No error goes on as a cause: it would repeat the answer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        answer = None
    token = answer.get("SigninToken") if isinstance(answer, dict) else None
    if not (token and isinstance(token, str)):
        raise AwsUnreachable(
            f"{NAME} was answered without a SigninToken", "check whether a proxy or a sign-in page stands in between"
        )
    return token
