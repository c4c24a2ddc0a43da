"""Calls to AWS Systems Manager: https://docs.aws.amazon.com/systems-manager/latest/APIReference/."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from strongroom.aws.chain import Chain
    from strongroom.credentials import Credentials


def get_parameter(
    chain: Chain, region: str | None, credentials: Credentials, *, name: str, with_decryption: bool
) -> dict[str, Any]:
    """Get a parameter; its *name* may be an ARN, and may end in a colon and a version or label.

    Raises:
        CallFailed: There is no answer, or it is an error.
    """
    members: dict[str, object] = {"Name": name, "WithDecryption": with_decryption}
    return chain.call("ssm", "GetParameter", members, region=region, credentials=credentials)
