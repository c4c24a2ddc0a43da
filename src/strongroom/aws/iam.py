"""Calls to AWS Identity and Access Management: https://docs.aws.amazon.com/IAM/latest/APIReference/.

All of them are about one user, named or, without a name, the one whose key signs. IAM is one per partition, and each
part of AWS learns of a change by and by:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from strongroom.aws import client, sts
from strongroom.credentials import Credentials
from strongroom.errors import AwsRefused, AwsUnreachable

if TYPE_CHECKING:
    from strongroom.profiles import Profile

# Of a caller, as AWS names it when it refuses something; a path may stand before the user's name.
_USER = re.compile(r"\barn:[\w-]+:iam::\d+:user/([\w+=,.@/-]*[\w+=,.@-])")


class AccessKey:
    """A long-term key as IAM lists it, without its secret. Immutable by convention.

    Args:
        access_key_id: Its id.
        is_active: Whether it can be used.
        created_at: Epoch seconds, or None when IAM does not say.
    """

    __slots__ = ("access_key_id", "created_at", "is_active")

    def __init__(self, access_key_id: str, *, is_active: bool, created_at: float | None) -> None:
        self.access_key_id = access_key_id
        self.is_active = is_active
        self.created_at = created_at


def endpoint(profile: Profile) -> client.Endpoint:
    """Where and how IAM is asked on behalf of *profile*: its region only tells the partition."""
    of_sts = sts.endpoint(profile)
    return client.Endpoint(
        of_sts.region,
        profile.endpoint_url,
        fips=of_sts.fips,
        dualstack=of_sts.dualstack,
        ca_bundle=of_sts.ca_bundle,
    )


def user_of(arn: str) -> str:
    """The name of the IAM user that *arn* is of; empty for a role, the root user and anything else."""
    match = _USER.fullmatch(arn)
    return match[1].rpartition("/")[2] if match else ""


def get_user(endpoint: client.Endpoint, credentials: Credentials) -> str:
    """The name of the user whose credentials these are.

    Who may not ask is told the name all the same, in the refusal: "User: arn:aws:iam::111111111111:user/jon is not
    authorized to perform: iam:GetUser".

    Raises:
        AwsError: The call failed.
    """
    try:
        answer = client.call(client.connect("iam", endpoint, credentials).get_user, "iam GetUser")
    except AwsRefused as error:
        match = _USER.search(error.message) if error.code == "AccessDenied" else None
        if match is None:
            raise
        return user_of(match[0])
    return str((answer.get("User") or {}).get("UserName", ""))


def list_access_keys(endpoint: client.Endpoint, credentials: Credentials, user_name: str = "") -> tuple[AccessKey, ...]:
    """The user's keys, oldest first: two at most, so there is no second page.

    Raises:
        AwsError: The call failed.
    """
    answer = client.call(
        client.connect("iam", endpoint, credentials).list_access_keys, "iam ListAccessKeys", UserName=user_name
    )
    keys = [
        AccessKey(
            str(fields.get("AccessKeyId", "")),
            is_active=fields.get("Status") == "Active",
            created_at=_seconds(fields.get("CreateDate")),
        )
        for fields in answer.get("AccessKeyMetadata") or ()
    ]
    return tuple(sorted(keys, key=lambda key: key.created_at or 0))


def create_access_key(endpoint: client.Endpoint, credentials: Credentials, user_name: str = "") -> Credentials:
    """Make a key. Nobody can ever ask for its secret again.

    In one attempt: were the first one's answer lost, the second would make another key.

    Raises:
        AwsError: The call failed; unless AWS said no, a key may have been made.
    """
    name = "iam CreateAccessKey"
    connected = client.connect("iam", endpoint, credentials, attempts=1)
    answer = client.call(connected.create_access_key, name, UserName=user_name)
    fields = answer.get("AccessKey") or {}
    key = Credentials(str(fields.get("AccessKeyId") or ""), str(fields.get("SecretAccessKey") or ""))
    if not (key.access_key_id and key.secret_access_key):
        raise AwsUnreachable(f"{name} was answered without a key", "check endpoint_url")
    return key


def update_access_key(
    endpoint: client.Endpoint, credentials: Credentials, access_key_id: str, user_name: str = "", *, active: bool
) -> None:
    """Switch a key off, or on again.

    Raises:
        AwsError: The call failed.
    """
    client.call(
        client.connect("iam", endpoint, credentials).update_access_key,
        "iam UpdateAccessKey",
        AccessKeyId=access_key_id,
        Status="Active" if active else "Inactive",
        UserName=user_name,
    )


def delete_access_key(
    endpoint: client.Endpoint, credentials: Credentials, access_key_id: str, user_name: str = ""
) -> None:
    """Delete a key for good.

    Raises:
        AwsError: The call failed.
    """
    client.call(
        client.connect("iam", endpoint, credentials).delete_access_key,
        "iam DeleteAccessKey",
        AccessKeyId=access_key_id,
        UserName=user_name,
    )


def get_access_key_last_used(endpoint: client.Endpoint, credentials: Credentials, access_key_id: str) -> float | None:
    """When a key was last used, epoch seconds; None if never, as far as AWS remembers.

    Raises:
        AwsError: The call failed.
    """
    answer = client.call(
        client.connect("iam", endpoint, credentials).get_access_key_last_used,
        "iam GetAccessKeyLastUsed",
        AccessKeyId=access_key_id,
    )
    return _seconds((answer.get("AccessKeyLastUsed") or {}).get("LastUsedDate"))


def _seconds(value: object) -> float | None:
    return value.timestamp() if isinstance(value, dt.datetime) else None
