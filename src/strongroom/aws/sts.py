"""Calls to the AWS Security Token Service: https://docs.aws.amazon.com/STS/latest/APIReference/."""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

from strongroom.aws import client
from strongroom.credentials import Credentials, show_time
from strongroom.errors import AwsUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from strongroom.aws.chain import Chain
    from strongroom.profiles import Profile


def endpoint(profile: Profile) -> client.Endpoint:
    """Where and how STS is asked on behalf of *profile*.

    Without a region, STS is asked at home in the partition that the profile's ARNs name: it answers alike everywhere.
    """
    arn = profile.role_arn or profile.mfa_serial or ""
    partition = arn.split(":")[1] if arn.startswith("arn:") else "aws"
    return client.Endpoint(
        profile.region or client.DEFAULT_REGIONS.get(partition, "us-east-1"),
        profile.sts_endpoint_url or profile.endpoint_url,
        legacy_sts=profile.sts_regional_endpoints == "legacy",
        fips=bool(profile.use_fips_endpoint),
        dualstack=bool(profile.use_dualstack_endpoint),
        ca_bundle=profile.ca_bundle,
    )


def get_session_token(
    endpoint: client.Endpoint,
    key: Credentials,
    *,
    duration_seconds: int,
    serial: str = "",
    token_code: str = "",
) -> Credentials:
    """Exchange a long-term key for a session.

    Args:
        endpoint: Where STS is.
        key: A long-term key.
        duration_seconds: 900 to 129,600.
        serial: The MFA device, or empty.
        token_code: The device's code.

    Raises:
        AwsError: The call failed.
    """
    answer = client.call(
        client.connect("sts", endpoint, key).get_session_token,
        "sts GetSessionToken",
        DurationSeconds=duration_seconds,
        SerialNumber=serial,
        TokenCode=token_code,
    )
    return _credentials("sts GetSessionToken", answer)


def assume_role(
    endpoint: client.Endpoint,
    source: Credentials,
    *,
    role_arn: str,
    duration_seconds: int,
    session_name: str = "",
    external_id: str = "",
    serial: str = "",
    token_code: str = "",
    tags: Iterable[tuple[str, str]] = (),
    transitive_tags: Iterable[str] = (),
    source_identity: str = "",
    policy: str = "",
    policy_arns: Iterable[str] = (),
) -> Credentials:
    """Assume a role.

    Args:
        endpoint: Where STS is.
        source: Credentials that may assume the role.
        role_arn: The role.
        duration_seconds: 900 to 43,200, and no more than the role allows.
        session_name: As CloudTrail shows it; by default the time in nanoseconds, so that no two are the same.
        external_id: As agreed with the owner of the role, or empty.
        serial: The MFA device, or empty.
        token_code: The device's code.
        tags: Session tags, pairs of key and value.
        transitive_tags: The keys of tags that go on to further roles.
        source_identity: As the role's trust policy asks, or empty.
        policy: A session policy, JSON, or empty.
        policy_arns: Managed policies that are session policies, too.

    Raises:
        AwsError: The call failed.
    """
    answer = client.call(
        client.connect("sts", endpoint, source).assume_role,
        f"sts AssumeRole of {role_arn}",
        RoleArn=role_arn,
        RoleSessionName=session_name or str(time.time_ns()),
        DurationSeconds=duration_seconds,
        ExternalId=external_id,
        SerialNumber=serial,
        TokenCode=token_code,
        Tags=[{"Key": key, "Value": value} for key, value in tags],
        TransitiveTagKeys=list(transitive_tags),
        SourceIdentity=source_identity,
        Policy=policy,
        PolicyArns=[{"arn": arn} for arn in policy_arns],
    )
    return _credentials(f"sts AssumeRole of {role_arn}", answer)


def assume_role_plainly(
    chain: Chain, region: str | None, credentials: Credentials, *, role_arn: str, session_name: str
) -> Credentials:
    """Assume a role as an SDK's chain would: no duration, no policy, nothing but its name and that of the session.

    Raises:
        AwsError: The call failed.
    """
    members: dict[str, object] = {"RoleArn": role_arn, "RoleSessionName": session_name}
    answer = chain.call("sts", "AssumeRole", members, region=region, credentials=credentials)
    return _credentials(f"sts AssumeRole of {role_arn}", answer)


def get_caller_identity(chain: Chain, region: str | None, credentials: Credentials) -> str:
    """Ask whose credentials these are; returns the account id.

    Raises:
        AwsError: The call failed.
    """
    answer = chain.call("sts", "GetCallerIdentity", {}, region=region, credentials=credentials)
    return str(answer.get("Account", ""))


def caller_arn(endpoint: client.Endpoint, credentials: Credentials) -> str:
    """The ARN of whose credentials these are; AWS tells everybody, whatever their rights.

    Raises:
        AwsError: The call failed.
    """
    name = "sts GetCallerIdentity"
    answer = client.call(client.connect("sts", endpoint, credentials).get_caller_identity, name)
    arn = answer.get("Arn")
    if not (arn and isinstance(arn, str)):
        raise AwsUnreachable(f"{name} was answered without an ARN", "check endpoint_url")
    return arn


def assume_role_with_web_identity(
    endpoint: client.Endpoint,
    *,
    role_arn: str,
    token: str,
    duration_seconds: int,
    session_name: str = "",
    policy: str = "",
    policy_arns: Iterable[str] = (),
) -> Credentials:
    """Assume a role with a token of an OpenID Connect provider; the call is not signed.

    Args:
        endpoint: Where STS is.
        role_arn: The role.
        token: The token.
        duration_seconds: 900 to 43,200, and no more than the role allows.
        session_name: As CloudTrail shows it; by default the time in nanoseconds.
        policy: A session policy, JSON, or empty.
        policy_arns: Managed policies that are session policies, too.

    Raises:
        AwsError: The call failed.
    """
    name = f"sts AssumeRoleWithWebIdentity of {role_arn}"
    answer = client.call(
        client.connect("sts", endpoint, None).assume_role_with_web_identity,
        name,
        RoleArn=role_arn,
        RoleSessionName=session_name or str(time.time_ns()),
        WebIdentityToken=token,
        DurationSeconds=duration_seconds,
        Policy=policy,
        PolicyArns=[{"arn": arn} for arn in policy_arns],
    )
    return _credentials(name, answer)


# What STS takes as the name of a federated user.
_NAME_LENGTHS = 2, 32


def get_federation_token(
    endpoint: client.Endpoint,
    key: Credentials,
    *,
    name: str,
    duration_seconds: int,
    policy: str = "",
    policy_arn: str = "",
) -> Credentials:
    """Exchange a long-term key for a session that can sign in to the console.

    It may do what its user may *and* its policy allows, so nothing at all without one.

    Args:
        endpoint: Where STS is.
        key: A long-term key.
        name: As CloudTrail shows the session; cut, or filled up with dashes, to the 2 to 32 characters that STS takes.
        duration_seconds: 900 to 129,600.
        policy: A policy, JSON, or empty.
        policy_arn: The ARN of a managed policy, or empty.

    Raises:
        AwsError: The call failed.
    """
    least, most = _NAME_LENGTHS
    answer = client.call(
        client.connect("sts", endpoint, key).get_federation_token,
        "sts GetFederationToken",
        Name=name[:most].ljust(least, "-"),
        DurationSeconds=duration_seconds,
        Policy=policy,
        PolicyArns=[{"arn": policy_arn}] if policy_arn else [],
    )
    return _credentials("sts GetFederationToken", answer)


def _credentials(name: str, answer: dict[str, Any]) -> Credentials:
    fields = dict(answer.get("Credentials") or {})
    expiration = fields.get("Expiration")
    if isinstance(expiration, dt.datetime):
        fields["Expiration"] = show_time(expiration.timestamp())
    try:
        return Credentials.from_sts(fields)
    except ValueError as error:
        raise AwsUnreachable(f"{name} was answered without credentials: {error}", "check endpoint_url") from error
