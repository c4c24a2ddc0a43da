"""IAM Identity Center: whoever has signed in gets the credentials of a role."""

from __future__ import annotations

from strongroom.aws import sso
from strongroom.errors import AwsRefused, ProfileIncomplete
from strongroom.sso import token
from strongroom.sso.session import Session, check

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.profiles import Profile
    from strongroom.providers import World


# How the portal says that there is no such account, or no such role in it, for who asks.
_NOT_THEIRS = (403, 404)


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:  # noqa: ARG001 - it is a first step
    """Get them, after signing in if need be.

    Raises:
        ProfileIncomplete: The profile does not say which account or role, or where to sign in; or it makes no sense.
        PromptDismissed: The human declined to sign in.
        PromptFailed: The human did not come to sign in.
        AwsError: A call failed.
    """
    profile = step.profile
    for field in ("sso_account_id", "sso_role_name"):
        if not getattr(profile, field):
            raise ProfileIncomplete(
                profile.name,
                field,
                f"profile {profile.name!r} takes its credentials from IAM Identity Center and has no {field}",
                f"set {field} in the profile",
            )
    check(profile, "sso_account_id", "[0-9]{12}", "not 12 digits")
    surroundings = world.sso()
    portal = sso.Portal(Session.of(profile).endpoint, sleep=surroundings.sleep)

    def call(access_token: str) -> Credentials:
        return portal.get_role_credentials(
            access_token, account_id=profile.sso_account_id or "", role_name=profile.sso_role_name or ""
        )

    try:
        return token.with_token(profile, surroundings, call)
    except AwsRefused as error:
        if error.status in _NOT_THEIRS:
            raise _not_theirs(profile, error) from error
        raise


def _not_theirs(profile: Profile, error: AwsRefused) -> AwsRefused:
    account, role = profile.sso_account_id, profile.sso_role_name
    return AwsRefused(
        error.code,
        error.status,
        f"profile {profile.name!r}: whoever signed in to {profile.sso_start_url} has no role {role!r} in account "
        f"{account!r}: {error.message}",
        "check sso_account_id and sso_role_name, and which user the browser signs in",
    )
