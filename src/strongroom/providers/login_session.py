"""``login_session``: the session of ``aws login``, the AWS CLI's sign-in with console credentials, out of its cache."""

from __future__ import annotations

from strongroom.aws import ambient

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.providers import World


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:  # noqa: ARG001 - it is a first step
    """Get its credentials, renewed if they need to be.

    Raises:
        CredentialsError: There is no such session, it has ended, or what reads it is not installed.
    """
    profile = step.profile
    return ambient.login_session(
        profile.name, profile.login_session or "", profile.region, world.inherited_environment()
    )
