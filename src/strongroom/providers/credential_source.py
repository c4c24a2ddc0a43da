"""``credential_source``: credentials of the machine that we run on, or out of the environment."""

from __future__ import annotations

from strongroom.aws import ambient
from strongroom.errors import CredentialsError, ProfileIncomplete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.providers import World

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-assume-role-credentials.html
_ADVICE = {
    "Environment": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "Ec2InstanceMetadata": "is this an EC2 instance with a role, and its metadata service reachable?",
    "EcsContainer": "is this a container with a task role? AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI tells",
}


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:  # noqa: ARG001 - it is a first step
    """Get them.

    Raises:
        ProfileIncomplete: There is no such source.
        CredentialsError: It has none.
    """
    profile = step.profile
    wanted = profile.credential_source or ""
    if wanted not in _ADVICE:
        where = profile.origins.get("credential_source", "the config file")
        raise ProfileIncomplete(
            profile.name,
            "credential_source",
            f"profile {profile.name!r}: credential_source is {wanted!r} ({where})",
            f"known are {', '.join(_ADVICE)}",
        )
    found = ambient.credentials(wanted, world.inherited_environment())
    if found is None:
        raise CredentialsError(
            f"profile {profile.name!r}: credential_source = {wanted} has no credentials", _ADVICE[wanted]
        )
    return found
