"""STS AssumeRoleWithWebIdentity: the token of an OpenID Connect provider becomes a role's credentials."""

from __future__ import annotations

from strongroom.aws import sts
from strongroom.errors import CredentialsError, PromptFailed
from strongroom.prompt import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.profiles import Profile
    from strongroom.providers import World

# What STS takes as a token, and how long a program may take to bring one:
# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
LIMIT_BYTES = 20_000
PROCESS_SECONDS = 60.0


def retrieve(step: Step, source: Credentials | None, world: World) -> Credentials:  # noqa: ARG001 - it is a first step
    """Assume the role.

    Raises:
        CredentialsError: There is no token.
        AwsError: The call failed.
    """
    profile = step.profile
    return sts.assume_role_with_web_identity(
        sts.endpoint(profile),
        role_arn=profile.role_arn or "",
        token=_token(profile, world),
        duration_seconds=step.duration_seconds,
        session_name=profile.role_session_name or "",
        policy=step.narrowing.policy if step.narrowing else "",
        policy_arns=step.narrowing.policy_arns if step.narrowing else (),
    )


def _token(profile: Profile, world: World) -> str:
    """The token, without the newline that files and programs end with."""
    what = f"the web identity token of profile {profile.name!r}"
    if profile.web_identity_token_file:
        path = world.expand(profile.web_identity_token_file)
        try:
            with open(path, "rb") as file:
                data = file.read(LIMIT_BYTES + 1)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise CredentialsError(f"cannot read {what}: {path}: {reason}", "check web_identity_token_file") from error
    else:
        try:
            data = process.run_program(
                profile.web_identity_token_process or "",
                world.helper_environment(profile.name),
                what="web_identity_token_process",
                wanted="token",
                timeout_seconds=PROCESS_SECONDS,
                limit_bytes=LIMIT_BYTES,
            )
        except PromptFailed as error:
            raise CredentialsError(f"there is no token for profile {profile.name!r}: {error.message}") from error
    try:
        token = data.decode("ascii").strip()
    except UnicodeDecodeError:
        token = ""
    if not token or len(data) > LIMIT_BYTES or not token.isprintable():
        raise CredentialsError(f"{what} is none: it is empty, too long, or no text", "it should be a JSON Web Token")
    return token
