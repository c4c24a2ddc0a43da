"""Calls to AWS Secrets Manager: https://docs.aws.amazon.com/secretsmanager/latest/apireference/."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from strongroom.aws.chain import Chain
    from strongroom.credentials import Credentials

#: How many secrets one BatchGetSecretValue may ask for, or return.
MOST_IN_BATCH = 20


def get_secret_value(
    chain: Chain,
    region: str | None,
    credentials: Credentials,
    *,
    secret_id: str,
    version_id: str | None = None,
    version_stage: str | None = None,
) -> dict[str, Any]:
    """Get one version of a secret. What is None is not sent; what is empty is.

    Raises:
        CallFailed: There is no answer, or it is an error.
    """
    members: dict[str, object] = {"SecretId": secret_id}
    if version_id is not None:
        members["VersionId"] = version_id
    if version_stage is not None:
        members["VersionStage"] = version_stage
    return chain.call("secretsmanager", "GetSecretValue", members, region=region, credentials=credentials)


def batch_get_secret_value(
    chain: Chain,
    region: str | None,
    credentials: Credentials,
    *,
    ids: Sequence[str] = (),
    tag_key: str | None = None,
    max_results: int | None = None,
    next_token: str | None = None,
) -> dict[str, Any]:
    """Get the current versions of several secrets: those named, or those that have a tag.

    Args:
        chain: AWS.
        region: Which to ask.
        credentials: Who asks.
        ids: At most `MOST_IN_BATCH`; none if there is a *tag_key*.
        tag_key: The tag, whatever its value.
        max_results: At most so many, with a *tag_key* only.
        next_token: What the answer before this one gave.

    Raises:
        CallFailed: There is no answer, or it is an error.
    """
    members: dict[str, object] = {}
    if tag_key is None:
        members["SecretIdList"] = list(ids)
    else:
        members["Filters"] = [{"Key": "tag-key", "Values": [tag_key]}]
        members["MaxResults"] = max_results
    if next_token is not None:
        members["NextToken"] = next_token
    return chain.call(
        "secretsmanager", "BatchGetSecretValue", members, region=region, credentials=credentials, patient=True
    )
