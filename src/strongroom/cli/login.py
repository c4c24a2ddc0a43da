"""``login``: sign a browser in to the AWS console.

SERVICE is the part of the console to land on: a name such as s3, ec2, logs, or a
path such as ec2/home. Without a profile, and without AWS_PROFILE, the credentials
in the environment are used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import console, plan, profiles
from strongroom.aws import iam, signin, sts
from strongroom.cli import browser, narrowing, retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.credentials import Credentials
from strongroom.durations import show
from strongroom.errors import AwsRefused, CredentialsError, UsageError
from strongroom.narrowing import narrow, policy_arns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.aws.client import Endpoint
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.plan import Step

FLAGS = (
    *retrieval.FLAGS,
    Flag("path", "page of the console to land on, or its address", value="PATH"),
    Flag("stdout", "print the link instead of opening a browser", short="s", env="AWS_VAULT_STDOUT"),
    Flag("auto-logout", "sign out of the console first", short="a", env="AWS_VAULT_AUTO_LOGOUT"),
    Flag("browser", "which browser: a name, a program or a command", value="BROWSER"),
    Flag("policy", "what the session may do at most: a file or an ARN", value="POLICY"),
)
WORDS = ("[profile]", "[service]")
RUNS = False

FEDERATION_SECONDS = 3600
# Of its own, a session from GetFederationToken may do nothing; with this, what its user may.
EVERYTHING = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}'

# Steps whose credentials are a role's, which the console takes as they are.
_ROLES = (plan.ASSUME_ROLE, plan.SSO_ROLE, plan.WEB_IDENTITY)
# The same, of whoever brought the credentials, by the ARN that AWS knows them by; and of a federated user's.
_TAKEN = ("assumed-role/", "federated-user/")


def run(arguments: Arguments, settings: Settings) -> int:
    """Sign in, and come back when the browser is on its way."""
    path = _path(arguments)
    policy = _policy(settings, arguments.text("policy"))
    login = _Login(settings, policy)
    partition = login.partition()
    page = console.destination(partition, login.profile.region, path)
    window = None if arguments.on("stdout") else browser.of(settings, login.profile, login.name)
    credentials, seconds = login.credentials()
    token = login.token(console.federation_endpoint(partition), credentials, seconds)
    url = console.login_url(partition, page, token)
    if arguments.on("auto-logout"):
        url = console.logout_url(partition, url)
    if window is None:
        answer(url + "\n")
    else:
        window.open(url)
    return 0


def _path(arguments: Arguments) -> str:
    """The page to land on, or nothing.

    Raises:
        UsageError: It is named twice, or not known.
    """
    service = arguments.words[1] if len(arguments.words) > 1 else ""
    if service and arguments.text("path"):
        raise UsageError("Can't use --path with a service")
    return console.service_path(service) if service else arguments.text("path")


def _policy(settings: Settings, word: str) -> dict[str, str]:
    """The policy that narrows the session, as `sts.get_federation_token` takes it; empty if none is given.

    Raises:
        UsageError: The file cannot be read, or is no policy; or the ARN is that of something else.
    """
    if not word:
        return {}
    if word.startswith("arn:"):
        try:
            return {"policy_arn": policy_arns([word])[0]}
        except ValueError as error:
            raise UsageError(f"--policy: {error}") from error
    return {"policy": narrowing.policy_of_file(settings, "policy", word)}


def _of_environment(environ: Mapping[str, str]) -> Credentials | None:
    """The credentials in the environment; None if there are none.

    Raises:
        CredentialsError: There is half of a key.
    """
    key_id = environ.get("AWS_ACCESS_KEY_ID") or environ.get("AWS_ACCESS_KEY") or ""
    secret = environ.get("AWS_SECRET_ACCESS_KEY") or environ.get("AWS_SECRET_KEY") or ""
    if not key_id and not secret:
        return None
    if not (key_id and secret):
        missing = "AWS_SECRET_ACCESS_KEY" if key_id else "AWS_ACCESS_KEY_ID"
        raise CredentialsError(f"{missing} is not set, and the rest of a key is", "set both, or name a profile")
    return Credentials(key_id, secret, environ.get("AWS_SESSION_TOKEN") or "")


class _Login:
    """Whose console it is.

    Inside of a command that strongroom or aws-vault runs, the variables that were set for it count: this command's
    console is then the one that is meant, if no profile is named.

    Args:
        settings: Flags, variables, files.
        policy: What the session may do at most.

    Raises:
        UsageError: Nothing says whose.
        StrongroomError: The profile cannot be used.
    """

    def __init__(self, settings: Settings, policy: dict[str, str]) -> None:
        self.settings = settings
        self.policy = policy
        self.steps: tuple[Step, ...] = ()
        words = settings.arguments.words
        self.name = (words[0] if words else "") or settings.inherited.get("AWS_PROFILE", "")
        self.given = None if self.name else _of_environment(settings.inherited)
        if self.name:
            retrieval.refuse_bytes(self.name)
            self.profile, self.steps = retrieval.planned(settings, self.name)
            if self.steps[-1].kind == plan.SESSION_TOKEN:
                # Such a session can neither sign in nor be exchanged for one that can: the key itself is needed.
                self.steps = self.steps[:-1]
            if policy and self.steps[-1].kind == plan.SSO_ROLE:
                raise UsageError(
                    f"--policy: profile {self.name!r} leads to a role of IAM Identity Center, which takes none",
                    "what that role may do is set there",
                )
            if policy and self._is_role():
                arns = (policy["policy_arn"],) if "policy_arn" in policy else ()
                wish = plan.Narrowing(self.name, ("--policy",), policy=policy.get("policy", ""), policy_arns=arns)
                self.steps = narrow(self.steps, wish)
        elif self.given is not None:
            self.name = settings.inherited.get("AWS_VAULT", "")  # whose they are, if a vault set them
            self.profile = settings.profile(profiles.DEFAULT, settings.inherited)
        else:
            raise UsageError(
                "argument 'profile' not provided, nor any AWS env vars found",
                "name a profile, set AWS_PROFILE, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )

    def _is_role(self) -> bool:
        return bool(self.steps) and self.steps[-1].kind in _ROLES

    def _endpoint(self) -> Endpoint:
        """Where STS is asked: in the region; without one, in the partition of whatever ARN the way leads past."""
        on_the_way = (step.profile for step in reversed(self.steps))
        telling = (each for each in (self.profile, *on_the_way) if each.region or each.role_arn or each.mfa_serial)
        return sts.endpoint(next(telling, self.profile))

    def partition(self) -> str:
        """The partition whose console it is."""
        return plan.partition(self._endpoint().region)

    def credentials(self) -> tuple[Credentials, int]:
        """Credentials that can sign in, and how long the session of the console should last, 0 for their own life.

        Raises:
            StrongroomError: Any of the tree.
        """
        if self.given is not None:
            got = self.given
        else:
            retrieval.warn_of_store(self.settings)
            got = retrieval.credentials(self.settings, self.profile, self.steps, are_handed_out=False)
        if self._is_role():
            return got, self._session_seconds()
        endpoint = self._endpoint()
        arn = sts.caller_arn(endpoint, got)
        self.settings.talk.debug(f"these are credentials of {arn}")
        who = arn.split(":", 5)[-1]
        if who.startswith(_TAKEN):
            if self.policy:
                raise UsageError(f"--policy narrows the session of a user, and these are credentials of {arn}")
            return got, 0
        if got.session_token:
            raise CredentialsError(
                f"temporary credentials of {arn} cannot sign in to the console",
                "AWS takes those of a role, or a user's own key: name a profile that has one",
            )
        user = "root" if who == "root" else iam.user_of(arn) or iam.get_user(iam.endpoint(self.profile), got)
        seconds = self.profile.federation_token_duration or FEDERATION_SECONDS
        policy = self.policy or {"policy": EVERYTHING}
        return sts.get_federation_token(endpoint, got, name=user, duration_seconds=seconds, **policy), 0

    def _session_seconds(self) -> int:
        """What was asked for, if AWS takes it: for a role that was not itself assumed by a role."""
        before = self.steps[-2].kind if len(self.steps) > 1 else ""
        if before not in {"", plan.KEY, plan.SESSION_TOKEN}:
            return 0
        wanted = self.steps[-1].profile.assume_role_duration or 0
        return min(wanted, signin.MOST_SECONDS)

    def token(self, url: str, credentials: Credentials, seconds: int) -> str:
        """A sign-in token; for a session of *seconds* if AWS takes them, else as long as the credentials'.

        Raises:
            AwsError: There is none.
        """
        bundle = self.profile.ca_bundle
        try:
            return signin.get_signin_token(url, credentials, session_seconds=seconds, ca_bundle=bundle)
        except AwsRefused as error:
            if not seconds or error.status != 400:
                raise
        token = signin.get_signin_token(url, credentials, ca_bundle=bundle)
        self.settings.talk.warn(
            f"AWS does not take {show(seconds)} for this role's session of the console: it ends with its credentials"
        )
        return token
