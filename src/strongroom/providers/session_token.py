"""STS GetSessionToken: a long-term key becomes a session, with the code of an MFA device if there is one."""

from __future__ import annotations

from strongroom.aws import sts
from strongroom.providers.mfa import with_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.providers import World


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:
    """Ask for the session."""
    endpoint = sts.endpoint(step.profile)

    assert source is not None  # noqa: S101 - it is never the first step

    def call(code: str) -> Credentials:
        return sts.get_session_token(
            endpoint, source, duration_seconds=step.duration_seconds, serial=step.serial, token_code=code
        )

    return with_code(step, world, call)
