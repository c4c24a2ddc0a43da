"""STS AssumeRole: credentials that may assume a role become that role's."""

from __future__ import annotations

from strongroom.aws import sts
from strongroom.providers.mfa import with_code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.providers import World


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:
    """Assume the role."""
    profile = step.profile
    endpoint = sts.endpoint(profile)

    assert source is not None  # noqa: S101 - it is never the first step

    def call(code: str) -> Credentials:
        return sts.assume_role(
            endpoint,
            source,
            role_arn=profile.role_arn or "",
            duration_seconds=step.duration_seconds,
            session_name=profile.role_session_name or "",
            external_id=profile.external_id or "",
            serial=step.serial,
            token_code=code,
            tags=profile.session_tags,
            transitive_tags=profile.transitive_session_tags,
            source_identity=profile.source_identity or "",
            policy=step.narrowing.policy if step.narrowing else "",
            policy_arns=step.narrowing.policy_arns if step.narrowing else (),
        )

    return with_code(step, world, call)
