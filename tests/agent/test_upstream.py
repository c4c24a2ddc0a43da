import os
import subprocess
import sys
import textwrap

import pytest

from fakes.secrets import ACCOUNT, DELETED, NOT_FOUND, REGION
from strongroom.agent.config import Config, Own
from strongroom.agent.failure import Failure
from strongroom.agent.generations import GENERATIONS
from strongroom.agent.secret import Secret
from strongroom.agent.upstream import DENIED, EXPIRED, GONE, THROTTLED, BatchError, Upstream, failure_of
from strongroom.aws.failed import CallFailed
from strongroom.errors import AwsUnreachable

ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"


class Log:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda message: self.lines.append(f"{level.upper()} {message}")


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def metrics():
    """What was counted: operation and code."""
    counted = []

    class Metrics:
        def called(self, operation, code, seconds):
            assert 0 <= seconds < 60
            counted.append((operation, code))

    made = Metrics()
    made.counted = counted
    return made


@pytest.fixture
def made(log, metrics, monkeypatch, secrets):
    """Make an upstream in the environment of the fake AWS, with one attempt for each call unless told otherwise."""
    for name, value in (secrets.environ | {"AWS_MAX_ATTEMPTS": "1"}).items():
        monkeypatch.setenv(name, value)
    ups = []

    def make(word="sm", environ=None, **settings):
        for name, value in (environ or {}).items():
            monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
        ups.append(Upstream(Config(**settings), GENERATIONS[word], os.environ, log, metrics))
        return ups[-1]

    yield make
    for up in ups:
        up.close()


@pytest.fixture
def up(made):
    return made()


def told(call, *args):
    """What the caller is told, and what it means: status, code, message, kind, outage."""
    with pytest.raises(Failure) as caught:
        call(*args)
    failure = caught.value
    return failure.status, failure.code, failure.message, failure.kind, failure.outage


# Secrets


def test_a_secret(up, secrets):
    """As AWS has it, for one call."""
    name = secrets.create(value="hunter2")
    secrets.created(name, 1569534789.046)
    assert up.secret(None, name, None, None) == Secret(
        arn=secrets.arn(name), name=name, version_id=secrets.version_id(name), string="hunter2", binary=None,
        stages=("AWSCURRENT",), created="1569534789.046",
    )  # fmt: skip
    assert secrets.members("GetSecretValue") == [{"SecretId": name}]
    assert secrets.actions == []


def test_a_version_of_a_secret(up, secrets):
    """By id, by label, by both; what is empty is sent as it is."""
    name = secrets.create(value="one")
    first = secrets.version_id(name)
    secrets.put(name, "two")
    assert up.secret(None, name, first, None).string == "one"
    assert up.secret(None, name, None, "AWSPREVIOUS").string == "one"
    assert up.secret(None, name, first, "AWSPREVIOUS").string == "one"
    assert told(up.secret, None, name, "", None)[:2] == (400, "ValidationException")
    assert told(up.secret, None, name, None, "")[:2] == (400, "ValidationException")
    assert secrets.members("GetSecretValue") == [
        {"SecretId": name, "VersionId": first},
        {"SecretId": name, "VersionStage": "AWSPREVIOUS"},
        {"SecretId": name, "VersionId": first, "VersionStage": "AWSPREVIOUS"},
        {"SecretId": name, "VersionId": ""},
        {"SecretId": name, "VersionStage": ""},
    ]


@pytest.mark.parametrize(
    ("secret_id", "region"),
    [
        ("app/db", REGION),
        ("arn:aws:secretsmanager:eu-west-3:123456789012:secret:x-AbCdEf", "eu-west-3"),
        ("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:x", "cn-north-1"),
        ("arn:aws-us-gov:secretsmanager:us-gov-west-1:123456789012:secret:x", "us-gov-west-1"),
        ("arn:aws:secretsmanager::123456789012:secret:x", REGION),
        ("arn:aws:secretsmanager:NOWHERE:123456789012:secret:x", REGION),
        ("arn:aws:secretsmanager:evil.example/:123456789012:secret:x", REGION),
        ("arn:aws:s3:eu-west-3:123456789012:secret:x", REGION),
        ("x-arn:aws:secretsmanager:eu-west-3:123456789012:secret:x", REGION),
    ],
)
def test_where_a_secret_is_asked_for(up, secrets, secret_id, region):
    """An ARN in its own region; whatever is none, where we are."""
    told(up.secret, None, secret_id)
    assert [asked.region for asked in secrets.asked] == [region]


def test_without_a_region_only_arns_can_be_asked_for(made, secrets):
    """The reason is in our log only."""
    up = made(environ={"AWS_REGION": None})
    assert up.region is None
    with pytest.raises(Failure) as caught:
        up.secret(None, "app/db")
    failure = caught.value
    assert (failure.status, failure.code, failure.message, failure.kind) == (500, "InternalFailure", "", "other")
    assert failure.reason == ("secretsmanager GetSecretValue: no region: set AWS_REGION, or region in a config file")
    assert told(up.identity)[:2] == (500, "InternalFailure")
    name = secrets.create(region="eu-west-3")
    assert up.secret(None, secrets.arn(name, "eu-west-3")).name == name
    assert up.region is None


def test_the_region_of_the_config_file(made, secrets):
    """Comes before the environment's, for STS too."""
    up = made(region="eu-west-3")
    secrets.role(ROLE)
    name = secrets.create(region="eu-west-3")
    assert up.region is None  # nothing is loaded yet
    assert up.secret(ROLE, name).name == name
    assert up.region == "eu-west-3"
    up.identity()
    assert [call.region for call in secrets.calls] == ["eu-west-3", "eu-west-3"]


# Failures


GET = "GetSecretValue"
INTERNAL = 500, "InternalFailure", ""


@pytest.mark.parametrize(
    ("status", "code", "message", "answer"),
    [
        (400, "ThrottlingException", "Rate exceeded", (400, "ThrottlingException", "Rate exceeded", "transient", False)),
        (400, "ThrottlingException", "", (400, "InternalFailure", "", "transient", False)),
        (429, "Whatever", "m", (429, "Whatever", "m", "transient", False)),
        (500, "InternalServiceError", "m", (500, "InternalServiceError", "m", "transient", True)),
        (503, "ServiceUnavailable", "m", (503, "ServiceUnavailable", "m", "transient", True)),
        (500, "InternalFailure", "m", (500, "InternalFailure", "", "transient", True)),
        (400, "InternalFailure", "m", (400, "InternalFailure", "", "other", False)),
        (400, "AccessDeniedException", 'a "b" \\ \n', (400, "AccessDeniedException", 'a "b" \\ \n', "denied", False)),
        (400, "AccessDeniedException", "Access to KMS is not allowed",
         (400, "AccessDeniedException", "Access to KMS is not allowed", "denied", False)),
        (400, "DecryptionFailure", "m", (400, "DecryptionFailure", "m", "denied", False)),
        (400, "UnrecognizedClientException", "m", (400, "UnrecognizedClientException", "m", "denied", False)),
        (400, "InvalidSignatureException", "m", (400, "InvalidSignatureException", "m", "denied", False)),
        (400, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2",
         (400, "InvalidSignatureException", "Signature expired: 1 is now earlier than 2", "transient", False)),
        (400, "InvalidSignatureException", "Signature not yet current: 2 is still later than 1",
         (400, "InvalidSignatureException", "Signature not yet current: 2 is still later than 1", "transient", False)),
        (400, "ExpiredTokenException", "m", (400, "ExpiredTokenException", "m", "transient", False)),
        (400, "RequestExpired", "m", (400, "RequestExpired", "m", "transient", False)),
        (400, "ResourceNotFoundException", NOT_FOUND, (400, "ResourceNotFoundException", NOT_FOUND, "gone", False)),
        (400, "InvalidRequestException", DELETED, (400, "InvalidRequestException", DELETED, "gone", False)),
        (400, "InvalidRequestException", "m", (400, "InvalidRequestException", "m", "other", False)),
        (400, "InvalidParameterException", "m", (400, "InvalidParameterException", "m", "other", False)),
    ],
)  # fmt: skip
def test_a_refusal(up, secrets, status, code, message, answer):
    """Is told as AWS said it; by its cause it is decided what becomes of a kept copy."""
    name = secrets.create()
    secrets.fail(GET, status=status, code=code, message=message)
    assert told(up.secret, None, name) == answer


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (400, b'{"__type":"X"}', (*INTERNAL, "other", False)),
        (400, b'{"__type":"ThrottlingException"}', (*INTERNAL, "transient", False)),
        (400, b'{"__type":"AccessDeniedException"}', (*INTERNAL, "denied", False)),
        (400, b'{"message":"m"}', (*INTERNAL, "other", False)),
        (403, b"<E><Error><Code>AccessDenied</Code><Message>m</Message></Error></E>", (*INTERNAL, "denied", False)),
        (403, b"<html>blocked</html>", (*INTERNAL, "other", False)),
        (404, b"", (*INTERNAL, "other", False)),
        (502, b"<html>bad gateway</html>", (*INTERNAL, "transient", True)),
        (429, b"", (*INTERNAL, "transient", False)),
        (200, b"{", (502, "ConnectionError", "Response Error", "transient", True)),
        (200, b"<html>log in</html>", (502, "ConnectionError", "Response Error", "transient", True)),
    ],
)
def test_an_answer_that_is_not_aws(up, secrets, status, body, answer):
    """What the original says to its callers, whatever stands in between."""
    name = secrets.create()
    secrets.html(GET, status=status, page=body)
    assert told(up.secret, None, name) == answer


def test_no_answer(made, secrets):
    """Cut, too late, nobody there."""
    name = secrets.create()
    up = made(own=Own(attempt_timeout_seconds=0.3))
    secrets.cut(GET)
    assert told(up.secret, None, name) == (*INTERNAL, "transient", True)
    secrets.hang(GET)
    assert told(up.secret, None, name) == (504, "TimeoutError", "Timeout", "transient", True)
    up = made(environ={"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
    assert told(up.secret, None, name) == (502, "ConnectionError", "Read Error", "transient", True)


def test_three_attempts(made, secrets, monkeypatch):
    """Unless the environment says otherwise."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    up = made(environ={"AWS_MAX_ATTEMPTS": None})
    name = secrets.create()
    secrets.fail(GET, code="ThrottlingException", status=400, times=2)
    assert up.secret(None, name).name == name
    secrets.fail(GET, code="ThrottlingException", status=400, times=3)
    assert told(up.secret, None, name)[:2] == (400, "ThrottlingException")
    assert secrets.gets(name) == 6


def test_no_code_has_two_meanings():
    """The sets by which failures are sorted have nothing in common."""
    sets = (THROTTLED, EXPIRED, DENIED, GONE)
    assert len(frozenset().union(*sets)) == sum(map(len, sets))


def test_an_answer_without_credentials():
    """The one error that does not come from the call itself is one of those that make no sense."""
    failure = failure_of(AwsUnreachable("sts AssumeRole was answered without credentials"))
    assert (failure.status, failure.code, failure.message, failure.kind, failure.outage) == (
        502, "ConnectionError", "Response Error", "transient", True
    )  # fmt: skip


def test_a_setting_that_makes_no_sense():
    """Waiting does not help, but nothing says that the secret is gone."""
    failure = failure_of(CallFailed("other", "secretsmanager: Invalid endpoint: x"))
    assert (failure.status, failure.code, failure.kind, failure.reason) == (
        500, "InternalFailure", "other", "secretsmanager: Invalid endpoint: x"
    )  # fmt: skip


# Our own credentials


def test_who_we_are(up, secrets):
    """The account, for one call."""
    assert up.identity() == ACCOUNT
    assert secrets.actions == ["GetCallerIdentity"]
    assert up.has_credentials()
    secrets.fail("GetCallerIdentity", code="InvalidClientTokenId", status=403, message="m")
    assert told(up.identity) == (403, "InvalidClientTokenId", "m", "denied", False)
    secrets.fail("GetCallerIdentity", code="InternalFailure", status=500, message="m")
    assert told(up.identity) == (500, "InternalFailure", "", "transient", True)


def test_no_credentials_now(made, secrets, monkeypatch):
    """It may have some at the next call."""
    up = made(environ={"AWS_ACCESS_KEY_ID": None})
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Failure) as caught:
        up.secret(None, "app/db")
    failure = caught.value
    assert (failure.status, failure.code, failure.message, failure.kind, failure.outage) == (
        *INTERNAL,
        "transient",
        False,
    )
    assert failure.reason == "no credentials: nothing in the SDK's chain has any"
    assert told(up.identity) == (*INTERNAL, "transient", False)
    assert told(up.secret, ROLE, "app/db") == (*INTERNAL, "transient", False)
    assert not up.has_credentials()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, secrets.environ[name])
    assert up.has_credentials()
    assert up.identity() == ACCOUNT


def test_settings_that_cannot_be_used(made, tmp_path):
    """Told at each call, since somebody may mend them."""
    up = made(environ={"AWS_PROFILE": "nosuch", "AWS_CONFIG_FILE": str(tmp_path / "config")})
    for call in (up.load, up.identity, up.has_credentials):
        assert told(call) == (*INTERNAL, "transient", False)
    (tmp_path / "config").write_text("[profile nosuch]\n")
    assert up.identity() == ACCOUNT


@pytest.mark.parametrize("code", ["ExpiredTokenException", "UnrecognizedClientException"])
def test_credentials_that_aws_does_not_know(made, secrets, tmp_path, code):
    """They are looked for anew, and the call is made again, once, if there are others."""
    name = secrets.create()
    path = tmp_path / "credentials"
    lines = "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n"
    first, second = secrets.key("AKIAONE", "one"), secrets.key("AKIATWO", "two")
    path.write_text(lines.format(first.access_key_id, first.secret_access_key))
    up = made(environ={
        "AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SHARED_CREDENTIALS_FILE": str(path),
    })  # fmt: skip
    assert up.secret(None, name).name == name
    path.write_text(lines.format(second.access_key_id, second.secret_access_key))
    secrets.fail(GET, code=code, status=400, message="m")
    assert up.secret(None, name).name == name
    assert [asked.access_key_id for asked in secrets.asked] == ["AKIAONE", "AKIAONE", "AKIATWO"]
    secrets.fail(GET, code=code, status=400, message="m")
    assert told(up.secret, None, name)[:3] == (400, code, "m")
    assert secrets.gets(name) == 4


# Credentials out of a file


def credentials_file(path, key, profile="default"):
    path.with_suffix(".new").write_text(
        f"[{profile}]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret_access_key}\n"
        f"aws_session_token = {key.session_token}\n"
    )
    path.with_suffix(".new").chmod(0o600)
    path.with_suffix(".new").replace(path)


@pytest.fixture
def session(secrets):
    """Make a session that the fake AWS knows."""
    return lambda: secrets.issue("session", f"arn:aws:iam::{ACCOUNT}:user/jon", 3600)


def test_a_credentials_file_takes_the_place_of_all_others(made, secrets, session, tmp_path, log):
    """For secrets and for roles; AWS_PROFILE names its section and no profile of the shared files."""
    path = tmp_path / "credentials"
    first = session()
    credentials_file(path, first, profile="p")
    name = secrets.create()
    secrets.role(ROLE)
    up = made(credentials_file_path=str(path), environ={"AWS_PROFILE": "p"})
    assert up.secret(None, name).name == up.secret(ROLE, name).name == name
    assert secrets.asked[0].access_key_id == first.access_key_id
    assert [(call.action, call.access_key_id) for call in secrets.calls] == [("AssumeRole", first.access_key_id)]
    assert log.lines == [
        f"INFO Using file-based credentials from: {path}",
        f"INFO Loaded file-based credentials from: {path}",
        "INFO Skipping STS credential validation for file-based credentials",
        "INFO Created new role client (1/20)",
    ]


def test_a_file_that_gives_none(made, secrets, tmp_path):
    """There is no way back to the chain's credentials."""
    up = made(credentials_file_path=str(tmp_path / "none"))
    assert not up.has_credentials()
    assert told(up.secret, None, "app/db") == (*INTERNAL, "transient", False)
    assert told(up.secret, ROLE, "app/db") == (*INTERNAL, "transient", False)
    assert secrets.asked == []


def test_a_file_is_read_again_when_aws_refuses_what_it_gave(made, secrets, session, tmp_path):
    """Not only when its time has come; the call is made again then."""
    path = tmp_path / "credentials"
    first, second = session(), session()
    credentials_file(path, first)
    name = secrets.create()
    up = made(credentials_file_path=str(path))
    assert up.secret(None, name).name == name
    del secrets.keys[first.access_key_id]
    assert told(up.secret, None, name)[1::2] == ("UnrecognizedClientException", "denied")
    credentials_file(path, second)
    assert up.secret(None, name).name == name
    used = [asked.access_key_id for asked in secrets.asked]
    assert used == [first.access_key_id] * 3 + [second.access_key_id]


def test_a_role_is_assumed_with_what_the_file_gives_now(made, secrets, session, tmp_path):
    """AssumeRole is made again, too."""
    path = tmp_path / "credentials"
    first, second = session(), session()
    credentials_file(path, first)
    secrets.role(ROLE)
    up = made(credentials_file_path=str(path))
    up.load()
    del secrets.keys[first.access_key_id]
    credentials_file(path, second)
    told(up.secret, ROLE, "nosuch")
    assert [call.access_key_id for call in secrets.calls] == [first.access_key_id, second.access_key_id]


def test_long_term_keys_in_a_file(made, secrets, tmp_path):
    """As each original has it."""
    path = tmp_path / "credentials"
    path.write_text(
        f"[default]\naws_access_key_id = {secrets.environ['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {secrets.environ['AWS_SECRET_ACCESS_KEY']}\n"
    )
    assert made("agent", credentials_file_path=str(path)).identity() == ACCOUNT
    assert told(made("sm", credentials_file_path=str(path)).identity) == (*INTERNAL, "transient", False)


# Roles


@pytest.mark.parametrize("word", GENERATIONS)
def test_a_role(made, secrets, word):
    """One AssumeRole with nothing but two names, and no further call to STS."""
    up = made(word)
    secrets.role(ROLE)
    name = secrets.create()
    assert [up.secret(ROLE, name).name for _ in range(2)] == [name, name]
    assert [call.parameters for call in secrets.calls] == [{
        "Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": ROLE,
        "RoleSessionName": GENERATIONS[word].role_session_name,
    }]  # fmt: skip
    assert [asked.role for asked in secrets.asked] == [ROLE, ROLE]


def test_a_role_is_asked_for_where_its_partition_is_at_home(made, secrets):
    """If no region is known; STS is alike everywhere."""
    up = made(environ={"AWS_REGION": None})
    role = "arn:aws-cn:iam::123456789012:role/reader"
    arn = "arn:aws-cn:secretsmanager:cn-northwest-1:123456789012:secret:x"
    told(up.secret, role, arn)
    assert [call.region for call in secrets.calls] == ["cn-north-1"]


def test_a_role_that_we_may_not_assume(up, secrets):
    """The caller learns which, and nothing more; our log does."""
    with pytest.raises(Failure) as caught:
        up.secret(ROLE, "app/db")
    failure = caught.value
    assert (failure.status, failure.code, failure.message, failure.kind, failure.outage) == (
        403, "AccessDeniedException", f"Failed to create caching client from role: {ROLE}", "denied", False
    )  # fmt: skip
    assert failure.reason == (
        "sts AssumeRole was refused with HTTP status 403 (AccessDenied): "
        f"User: arn:aws:iam::{ACCOUNT}:user/agent is not authorized to perform: sts:AssumeRole on resource: {ROLE}"
    )
    assert secrets.asked == []


def test_sts_that_does_not_answer_denies_nothing(made, secrets):
    """Each trouble keeps its name."""
    secrets.role(ROLE)
    name = secrets.create()
    up = made(own=Own(attempt_timeout_seconds=0.3))
    secrets.fail("AssumeRole", code="Throttling", status=400, message="m")
    assert told(up.secret, ROLE, name) == (400, "Throttling", "m", "transient", False)
    secrets.fail("AssumeRole", code="ServiceUnavailable", status=503, message="m")
    assert told(up.secret, ROLE, name) == (503, "ServiceUnavailable", "m", "transient", True)
    secrets.fail("AssumeRole", code="ExpiredToken", status=403, message="m")
    assert told(up.secret, ROLE, name) == (403, "ExpiredToken", "m", "transient", False)
    secrets.html("AssumeRole", status=200)
    assert told(up.secret, ROLE, name) == (502, "ConnectionError", "Response Error", "transient", True)
    secrets.hang("AssumeRole")
    assert told(up.secret, ROLE, name) == (504, "TimeoutError", "Timeout", "transient", True)
    assert up.secret(ROLE, name).name == name


def test_a_role_that_aws_does_not_take(up, secrets):
    """Whatever else STS says is a denial, as in the original."""
    secrets.fail("AssumeRole", code="RegionDisabledException", status=403, message="m")
    assert told(up.secret, ROLE, "x")[1::2] == ("AccessDeniedException", "denied")


def test_as_many_roles_as_allowed(made, secrets, log):
    """The one not used for longest gives way."""
    up = made(max_roles=2)
    name = secrets.create()
    roles = [f"{ROLE}-{number}" for number in range(3)]
    for role in roles:
        secrets.role(role)
        assert up.secret(role, name).name == name
    up.secret(roles[2], name)
    up.secret(roles[0], name)
    assert [call.role for call in secrets.calls] == [*roles, roles[0]]
    assert log.lines == [f"INFO Created new role client ({number}/2)" for number in (1, 2, 2, 2)]


def test_a_role_has_its_own_permissions(up, secrets):
    """What it may not read is denied as AWS says it."""
    secrets.role(ROLE)
    name = secrets.create()
    secrets.deny(name, role=ROLE)
    assert up.secret(None, name).name == name
    assert told(up.secret, ROLE, name)[:2] == (400, "AccessDeniedException")


# Batches, tags, parameters


def test_a_batch(up, secrets):
    """One call; each id has its secret or its error."""
    one, two = secrets.create(value="1"), secrets.create(value="2")
    found, errors = up.secrets(None, [one, "nosuch", two])
    assert [(secret.name, secret.string, secret.stages) for secret in found] == [
        (one, "1", ("AWSCURRENT",)),
        (two, "2", ("AWSCURRENT",)),
    ]
    assert errors == [BatchError("nosuch", "ResourceNotFoundException", NOT_FOUND)]
    assert secrets.members("BatchGetSecretValue") == [{"SecretIdList": [one, "nosuch", two]}]


def test_a_batch_over_regions(up, secrets):
    """Each region has its own call."""
    here, there = secrets.create(), secrets.create(region="eu-west-3")
    arn = secrets.arn(there, "eu-west-3")
    found, errors = up.secrets(None, [here, arn])
    assert ([secret.name for secret in found], errors) == ([here, there], [])
    assert [(asked.region, asked.members) for asked in secrets.asked] == [
        (REGION, {"SecretIdList": [here]}),
        ("eu-west-3", {"SecretIdList": [arn]}),
    ]


def test_a_batch_in_two_parts(up, secrets):
    """AWS may answer with the rest later."""
    for page in (
        b'{"SecretValues":[{"Name":"a"}],"Errors":[{"SecretId":"x"}],"NextToken":"t"}',
        b'{"SecretValues":[{"Name":"b","VersionStages":["L"]}]}',
    ):
        secrets.html("BatchGetSecretValue", status=200, page=page)
    found, errors = up.secrets(None, ["a", "b", "x"])
    assert [(secret.name, secret.stages) for secret in found] == [("a", ()), ("b", ("L",))]
    assert errors == [BatchError("x", "", "")]
    assert secrets.members("BatchGetSecretValue") == [
        {"SecretIdList": ["a", "b", "x"]},
        {"SecretIdList": ["a", "b", "x"], "NextToken": "t"},
    ]


def test_a_batch_that_is_refused(up, secrets):
    """As one secret."""
    secrets.deny(operation="BatchGetSecretValue")
    assert told(up.secrets, None, ["a"])[:2] == (400, "AccessDeniedException")


def test_secrets_with_a_tag(up, secrets):
    """Page by page."""
    names = [secrets.create(tags=("t",)) for _ in range(3)]
    secrets.create()
    first, errors, token = up.tagged(None, "t", 2)
    second, _, end = up.tagged(None, "t", 2, token)
    assert sorted(secret.name for secret in [*first, *second]) == sorted(names)
    assert (len(first), errors, end) == (2, [], None)


def test_a_parameter(up, secrets):
    """By name with a version, by ARN in its region; refusals without words have none."""
    name = "/" + secrets.name("parameter")
    secrets.parameter(name, "1")
    secrets.parameter(name, "2")
    assert up.parameter(None, name, False).value == "2"
    assert up.parameter(None, f"{name}:1", True).value == "1"
    assert secrets.members("GetParameter") == [
        {"Name": name, "WithDecryption": False},
        {"Name": f"{name}:1", "WithDecryption": True},
    ]
    told(up.parameter, None, f"arn:aws:ssm:eu-west-3:{ACCOUNT}:parameter/a", False)
    assert secrets.asked[-1].region == "eu-west-3"
    secrets.html("GetParameter", status=400, page=b'{"__type":"ParameterNotFound"}')
    assert told(up.parameter, None, name, False) == (400, "ParameterNotFound", "", "gone", False)


# Life


def test_what_is_counted(up, secrets, metrics):
    """What we ask for ourselves, by its outcome; secrets are counted by those who ask for them."""
    secrets.role(ROLE)
    up.identity()
    up.secrets(ROLE, ["nosuch"])
    up.tagged(ROLE, "t", 1)
    told(up.secret, None, "nosuch")
    secrets.fail("AssumeRole", code="Throttling", status=400)
    told(up.secret, f"{ROLE}-2", "nosuch")
    assert metrics.counted == [
        ("GetCallerIdentity", ""),
        ("AssumeRole", ""),
        ("BatchGetSecretValue", ""),
        ("BatchGetSecretValue", ""),
        ("AssumeRole", "Throttling"),
    ]


def test_how_many_roles_there_are(up, secrets):
    """None before anything is loaded."""
    assert up.roles == 0
    secrets.role(ROLE)
    told(up.secret, ROLE, "nosuch")
    told(up.secret, f"{ROLE}-2", "nosuch")
    assert up.roles == 1


def test_a_session_that_aws_refuses(up, secrets, monkeypatch):
    """The role is assumed anew, and the call made again."""
    secrets.role(ROLE)
    name = secrets.create()
    assert up.secret(ROLE, name).name == name
    monkeypatch.setattr("strongroom.agent.roles.RETRY_SECONDS", -1)
    secrets.fail(GET, code="ExpiredTokenException", status=400)
    assert up.secret(ROLE, name).name == name
    assert (secrets.actions, secrets.gets(name)) == (["AssumeRole", "AssumeRole"], 3)


def test_the_end_while_it_is_loaded(made, monkeypatch, tmp_path):
    """It does not wait; what was begun is ended as soon as it is there."""
    up = made(credentials_file_path=str(tmp_path / "none"))
    real = up._load

    def load():
        loaded = real()
        up.close()
        return loaded

    monkeypatch.setattr(up, "_load", load)
    assert told(up.load) == (*INTERNAL, "transient", False)
    assert (up._aws, up._file) == (None, None)


def test_after_the_end(up):
    """Nothing is begun any more."""
    up.load()
    up.close()
    up.close()
    assert told(up.identity) == (*INTERNAL, "transient", False)


def test_what_is_loaded_and_when(secrets):
    """Making one loads nothing of AWS; loading it loads neither the CLI's parts nor the Parameter Store's client."""
    code = textwrap.dedent("""
        import os, sys
        from strongroom.agent.config import Config
        from strongroom.agent.generations import GENERATIONS
        from strongroom.agent.upstream import Upstream
        up = Upstream(Config(), GENERATIONS["sm"], os.environ, None, None)
        early = [name for name in ("botocore", "asyncio", "logging", "json", "strongroom.ini") if name in sys.modules]
        assert early == [], early
        up.load()
        assert "botocore" in sys.modules
        assert "boto3" not in sys.modules
        assert [key[0] for key in up._aws.chain._clients] == ["secretsmanager"]
        print(up.region)
    """)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")} | secrets.environ
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == (f"{REGION}\n", "")
