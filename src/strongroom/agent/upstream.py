"""What the agent asks of AWS, and what becomes of AWS's refusals. Blocks; may be used by many threads at once.

The modules that speak to AWS are loaded by `Upstream.load`: the agent answers before they are there.
"""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from strongroom.agent.failure import Failure
from strongroom.aws.failed import CallFailed
from strongroom.errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType
    from typing import Any, Protocol, TypeVar

    from strongroom.agent.config import Config
    from strongroom.agent.failure import Kind
    from strongroom.agent.file_credentials import FileCredentials
    from strongroom.agent.generations import Generation
    from strongroom.agent.log import Log
    from strongroom.agent.metrics import Metrics
    from strongroom.agent.parameter import Parameter
    from strongroom.agent.secret import Secret
    from strongroom.aws.chain import Chain
    from strongroom.credentials import Credentials

    T = TypeVar("T")

    class Source(Protocol):
        """Where credentials come from."""

        def current(self) -> Credentials:
            """Those that are good now."""

        def renew(self, refused: Credentials) -> bool:
            """Look for others than these; tells whether there are."""


# Calls for many secrets at once may take longer than `attempt_timeout_seconds`. The AWS agent's own number.
BATCH_SECONDS = 10.0

# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html and what single services say instead.
THROTTLED = frozenset({
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
})  # fmt: skip

# https://docs.aws.amazon.com/secretsmanager/latest/apireference/CommonErrors.html, and STS's names for the same.
EXPIRED = frozenset({
    "ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "TokenRefreshRequired",
})  # fmt: skip
UNKNOWN = frozenset(
    {
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
DENIED = UNKNOWN | {
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "DecryptionFailure",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidKeyId",
    "KMSAccessDeniedException",
    "KmsAccessDeniedException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "UnauthorizedOperation",
}
GONE = frozenset({"ParameterNotFound", "ParameterVersionNotFound", "ResourceNotFoundException"})

# What AWS's agent answers to the caller, by cause: status, code, message; and what it means for a kept copy.
_ANSWERS: dict[str, tuple[int, str, str, Kind, bool]] = {
    "timeout": (504, "TimeoutError", "Timeout", "transient", True),
    "unreachable": (502, "ConnectionError", "Read Error", "transient", True),
    "unreadable": (502, "ConnectionError", "Response Error", "transient", True),
    "closed": (500, "InternalFailure", "", "transient", True),
    "credentials": (500, "InternalFailure", "", "transient", False),
    "region": (500, "InternalFailure", "", "other", False),
    "other": (500, "InternalFailure", "", "other", False),
}

_OF_A_REGION = re.compile(r"arn:[^:]+:(?:secretsmanager|ssm):([a-z]{2,}(?:-[a-z]+)+-[0-9]{1,2}):")


class BatchError(NamedTuple):
    """One secret of a batch that AWS did not give.

    Attributes:
        id: As it was asked for, or its ARN.
        code: The error's code.
        message: AWS's words.
    """

    id: str
    code: str
    message: str


class Upstream:
    """AWS as the agent sees it. Every method that asks AWS raises `Failure`, and nothing else.

    Args:
        config: What is in force.
        generation: Which original the agent stands in for.
        environ: The environment.
        log: The log.
        metrics: The counters.
    """

    def __init__(
        self, config: Config, generation: Generation, environ: Mapping[str, str], log: Log, metrics: Metrics
    ) -> None:
        self._config = config
        self._generation = generation
        self._environ = environ
        self._log = log
        self._metrics = metrics
        self._lock = threading.Lock()
        self._aws: _Aws | None = None
        self._file: FileCredentials | None = None
        self._closed = False

    # Life.

    def load(self) -> None:
        """Load what speaks to AWS, and make the first client; everything else that needs it does so, too.

        Raises:
            Failure: The shared AWS files or the environment make no sense.
        """
        self._loaded()

    def close(self) -> None:
        """Close connections, and watch the credentials file no more."""
        self._closed = True  # no lock: nobody waits for a load that takes its time
        self._end()

    def _end(self) -> None:
        aws, self._aws = self._aws, None
        file, self._file = self._file, None
        if file is not None:
            file.close()
        if aws is not None:
            aws.chain.close()

    @property
    def region(self) -> str | None:
        """The region that is asked unless an ARN names another; None if nothing tells, or nothing is loaded yet."""
        return self._aws.chain.region if self._aws is not None else None

    @property
    def roles(self) -> int:
        """How many roles have a session."""
        return len(self._aws.roles) if self._aws is not None else 0

    def has_credentials(self) -> bool:
        """Whether there are credentials to ask with; AWS is not asked what it thinks of them.

        Raises:
            Failure: As `load`.
        """
        aws = self._loaded()
        try:
            aws.base.current()
        except (AwsError, Failure):
            return False
        return True

    def _loaded(self) -> _Aws:
        aws = self._aws
        if aws is None:
            with self._lock:
                aws = self._aws
                if aws is None and not self._closed:
                    aws = self._aws = self._load()
        if aws is None or self._closed:
            self._end()
            raise Failure(500, "InternalFailure", "", kind="transient", reason="the agent is ending")
        return aws

    def _load(self) -> _Aws:
        path = self._config.credentials_file_path
        if path and self._file is None:
            from strongroom.agent.file_credentials import FileCredentials

            self._file = FileCredentials(
                path, self._environ, self._log, wants_session_token=self._generation.wants_session_token
            )
            self._file.start()
            self._log.info("Skipping STS credential validation for file-based credentials")
        try:
            return _Aws(
                self._config, self._generation, self._environ, log=self._log, metrics=self._metrics, file=self._file
            )
        except CallFailed as error:
            raise failure_of(error) from error

    # Questions.

    def identity(self) -> str:
        """Ask AWS who we are; returns the account id."""
        aws = self._loaded()

        def ask(key: Credentials) -> str:
            account: str = aws.sts.get_caller_identity(aws.chain, aws.chain.region, key)
            return account

        return self._ask(aws, None, _counted(self._metrics, "GetCallerIdentity", ask))

    def secret(
        self, role_arn: str | None, secret_id: str, version_id: str | None = None, version_stage: str | None = None
    ) -> Secret:
        """Get one version of a secret.

        Args:
            role_arn: In whose name; None for our own.
            secret_id: Its name or ARN; an ARN is asked for in its own region.
            version_id: Sent as it is, unless None.
            version_stage: Sent as it is, unless None.
        """
        aws = self._loaded()
        region = _region(secret_id) or aws.chain.region

        def ask(key: Credentials) -> Any:
            return aws.secretsmanager.get_secret_value(
                aws.chain, region, key, secret_id=secret_id, version_id=version_id, version_stage=version_stage
            )

        return self._ask(aws, role_arn, lambda key: aws.secret(ask(key)))

    def secrets(self, role_arn: str | None, ids: Sequence[str]) -> tuple[list[Secret], list[BatchError]]:
        """Get the current versions of at most 20 secrets, with one call for each region that they are in."""
        aws = self._loaded()
        regions: dict[str | None, list[str]] = {}
        for secret_id in ids:
            regions.setdefault(_region(secret_id) or aws.chain.region, []).append(secret_id)
        secrets: list[Secret] = []
        errors: list[BatchError] = []
        for region, there in regions.items():
            token: str | None = None
            while True:
                found, failed, token = self._batch(aws, role_arn, region, ids=there, next_token=token)
                secrets += found
                errors += failed
                if token is None:
                    break
        return secrets, errors

    def tagged(
        self, role_arn: str | None, key: str, max_results: int, next_token: str | None = None
    ) -> tuple[list[Secret], list[BatchError], str | None]:
        """Get the current versions of secrets that have a tag, whatever its value.

        Args:
            role_arn: In whose name; None for our own.
            key: The tag's key.
            max_results: At most so many now, 1 to 20.
            next_token: What the call before this one returned as its third value.

        Returns:
            Secrets, errors, and the token for more; None if there are no more.
        """
        aws = self._loaded()
        return self._batch(aws, role_arn, aws.chain.region, tag_key=key, max_results=max_results, next_token=next_token)

    def parameter(self, role_arn: str | None, name: str, with_decryption: bool) -> Parameter:
        """Get a parameter of the Parameter Store.

        Args:
            role_arn: In whose name; None for our own.
            name: Its name or ARN (asked for in its own region), with a colon and a version or label if need be.
            with_decryption: Whether a SecureString is decrypted.
        """
        aws = self._loaded()
        region = _region(name) or aws.chain.region

        def ask(key: Credentials) -> Any:
            return aws.ssm.get_parameter(aws.chain, region, key, name=name, with_decryption=with_decryption)

        return self._ask(aws, role_arn, lambda key: aws.parameter(ask(key)))

    def _batch(
        self, aws: _Aws, role_arn: str | None, region: str | None, **what: Any
    ) -> tuple[list[Secret], list[BatchError], str | None]:
        def ask(key: Credentials) -> Any:
            return aws.secretsmanager.batch_get_secret_value(aws.chain, region, key, **what)

        answer = self._ask(aws, role_arn, _counted(self._metrics, "BatchGetSecretValue", ask))
        # AWS always sends the labels, and if it did not there would be none.
        secrets = [aws.secret({"VersionStages": [], **value}) for value in answer.get("SecretValues", ())]
        errors = [
            BatchError(error.get("SecretId", ""), error.get("ErrorCode", ""), error.get("Message", ""))
            for error in answer.get("Errors", ())
        ]
        return secrets, errors, answer.get("NextToken") or None

    def _ask(self, aws: _Aws, role_arn: str | None, ask: Callable[[Credentials], T]) -> T:
        """Ask with the credentials of the moment; once more if AWS does not know them, and there are others now."""
        source = aws.base if role_arn is None else aws.role(role_arn)
        try:
            return _renewing(source, ask)
        except AwsError as error:
            raise failure_of(error) from error


class _Aws:
    """What `Upstream.load` loads."""

    def __init__(
        self,
        config: Config,
        generation: Generation,
        environ: Mapping[str, str],
        *,
        log: Log,
        metrics: Metrics,
        file: FileCredentials | None,
    ) -> None:
        from strongroom.agent.parameter import Parameter
        from strongroom.agent.roles import Roles
        from strongroom.agent.secret import Secret
        from strongroom.aws import chain, client, secretsmanager, ssm, sts

        self.secretsmanager: ModuleType = secretsmanager
        self.ssm: ModuleType = ssm
        self.sts: ModuleType = sts
        self.secret: Callable[[Mapping[str, Any]], Secret] = Secret.from_aws
        self.parameter: Callable[[Mapping[str, Any]], Parameter] = Parameter.from_aws
        self.homes: Mapping[str, str] = client.DEFAULT_REGIONS
        self.chain: Chain = chain.Chain(
            config.region,
            environ,
            attempt_seconds=config.own.attempt_timeout_seconds,
            patient_seconds=max(BATCH_SECONDS, config.own.attempt_timeout_seconds),
            own_credentials=file is None,
        )
        self.base: Source = _Own(self.chain) if file is None else file
        self.session_name = generation.role_session_name
        self.metrics = metrics
        self.roles = Roles(config.max_roles, self._assume, log)
        self.chain.prepare("secretsmanager")

    def role(self, role_arn: str) -> Source:
        """The role's credentials."""
        return _OfRole(self.roles, role_arn)

    def _assume(self, role_arn: str) -> Credentials:
        # STS answers alike everywhere in a partition.
        region = self.chain.region or self.homes.get(role_arn.split(":")[1], "us-east-1")

        def ask(key: Credentials) -> Any:
            return self.sts.assume_role_plainly(
                self.chain, region, key, role_arn=role_arn, session_name=self.session_name
            )

        try:
            made: Credentials = _renewing(self.base, _counted(self.metrics, "AssumeRole", ask))
        except AwsError as error:
            failure = failure_of(error)
            if failure.kind == "transient":
                raise failure from error
            raise Failure(403, "AccessDeniedException", f"Failed to create caching client from role: {role_arn}",
                          kind="denied", reason=failure.reason) from error  # fmt: skip
        return made


class _Own:
    """The chain's credentials."""

    def __init__(self, chain: Chain) -> None:
        self.current = chain.own
        self.renew = chain.renew


class _OfRole:
    """A role's credentials."""

    def __init__(self, roles: Any, role_arn: str) -> None:
        self._roles = roles
        self._role_arn = role_arn

    def current(self) -> Credentials:
        credentials: Credentials = self._roles.current(self._role_arn)
        return credentials

    def renew(self, refused: Credentials) -> bool:
        return bool(self._roles.renew(self._role_arn, refused))


def _counted(metrics: Metrics, operation: str, ask: Callable[[Credentials], T]) -> Callable[[Credentials], T]:
    """*ask*, and a line for it in the metrics. Secrets and parameters are counted by those who ask for them."""

    def counted(key: Credentials) -> T:
        started = time.perf_counter()
        code = ""
        try:
            return ask(key)
        except AwsError as error:
            code = failure_of(error).code
            raise
        finally:
            metrics.called(operation, code, time.perf_counter() - started)

    return counted


def _renewing(source: Source, ask: Callable[[Credentials], T]) -> T:
    credentials = source.current()
    try:
        return ask(credentials)
    except CallFailed as error:
        if error.code not in EXPIRED | UNKNOWN or not source.renew(credentials):
            raise
    return ask(source.current())


def _region(name: str) -> str | None:
    """The region that an ARN names; None for everything else."""
    match = _OF_A_REGION.match(name)
    return match[1] if match else None


def failure_of(error: AwsError) -> Failure:
    """What the caller is told of *error*, as AWS's agent tells it, and what it means for a kept copy."""
    if isinstance(error, CallFailed) and error.cause == "refused":
        return _refusal(error)
    # The other error that comes here is of an AssumeRole that was answered without credentials.
    status, code, message, kind, outage = _ANSWERS[error.cause if isinstance(error, CallFailed) else "unreadable"]
    return Failure(status, code, message, kind=kind, reason=error.message, outage=outage)


def _refusal(error: CallFailed) -> Failure:
    status, code, message = error.status, error.code, error.said
    if code in GONE:
        message = message or ""  # Parameter Store has no words for this
    elif not code or message is None:
        status, code, message = 500, "InternalFailure", ""
    elif not message or code == "InternalFailure":
        code, message = "InternalFailure", ""
    kind = _kind(error.status, error.code, error.said or "")
    return Failure(status, code, message, kind=kind, reason=error.message, outage=error.status >= 500)


def _kind(status: int, code: str, message: str) -> Kind:
    if status == 429 or status >= 500 or code in THROTTLED or code in EXPIRED:
        return "transient"
    if code in UNKNOWN and message.startswith(("Signature expired", "Signature not yet current")):
        return "transient"  # a clock is wrong, nothing was denied
    if code in DENIED:
        return "denied"
    if code in GONE or (code == "InvalidRequestException" and "for deletion" in message):
        return "gone"
    return "other"
