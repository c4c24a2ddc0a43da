"""What the two services of AWS answer, as bytes.

Both are made for every SDK there is: an expiration is always there, as RFC 3339 with a ``Z``, and the token too, were
it empty. Members are in alphabetical order.

* ECS: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html
* EC2: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-categories.html and
  https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from strongroom.credentials import show_time

if TYPE_CHECKING:
    from strongroom.credentials import Credentials

# Which partition a region is in, by the begin of its name, and the partition's domain; all others are in the first.
_PARTITIONS = {
    "cn-": ("aws-cn", "amazonaws.com.cn"),
    "us-gov-": ("aws-us-gov", "amazonaws.com"),
    "eusc-": ("aws-eusc", "amazonaws.eu"),
    "us-iso-": ("aws-iso", "c2s.ic.gov"),
    "us-isob-": ("aws-iso-b", "sc2s.sgov.gov"),
    "eu-isoe-": ("aws-iso-e", "cloud.adc-e.uk"),
    "us-isof-": ("aws-iso-f", "csp.hci.ic.gov"),
}


def partition_of(region: str) -> tuple[str, str]:
    """The partition that a region is in, and the domain of its services."""
    return next((names for prefix, names in _PARTITIONS.items() if region.startswith(prefix)), ("aws", "amazonaws.com"))


def message(reason: str) -> bytes:
    """An error of the container service."""
    return _json({"Message": reason})


def container_credentials(credentials: Credentials, *, role_arn: str = "", account_id: str = "") -> bytes:
    """Credentials as the container service answers them.

    Args:
        credentials: They have an expiration.
        role_arn: Whose they are, if it is a role.
        account_id: The account that they are of, if it is known.
    """
    members = _members(credentials)
    if role_arn:
        members["RoleArn"] = role_arn
    if account_id:
        members["AccountId"] = account_id
    return _json(members)


def instance_credentials(credentials: Credentials, updated_at: float) -> bytes:
    """Credentials as the instance metadata service answers them.

    Args:
        credentials: They have an expiration.
        updated_at: When they were got, epoch seconds.
    """
    members = _members(credentials)
    return _json(members | {"Code": "Success", "LastUpdated": show_time(updated_at), "Type": "AWS-HMAC"})


def instance_profile(updated_at: float) -> bytes:
    """What ``iam/info`` says; there is no instance profile whose ARN and id could be told."""
    return _json({"Code": "Success", "LastUpdated": show_time(updated_at)})


def identity(instance_id: str, *, region: str, zone: str, account_id: str = "") -> bytes:
    """The instance identity document, with those members that there is something to say of."""
    members = {"accountId": account_id, "availabilityZone": zone, "instanceId": instance_id, "region": region}
    return _json({name: value for name, value in members.items() if value} | {"version": "2017-09-30"})


def _members(credentials: Credentials) -> dict[str, str]:
    return {
        "AccessKeyId": credentials.access_key_id,
        "Expiration": show_time(credentials.expiration or 0),
        "SecretAccessKey": credentials.secret_access_key,
        "Token": credentials.session_token,
    }


def _json(members: dict[str, str]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode() + b"\n"
