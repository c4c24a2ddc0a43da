"""The fake AWS as botocore and the AWS CLI see it: independent clients of everything it answers and refuses."""

import json
import os
import subprocess
import sys
import time
from email.utils import parsedate_to_datetime

import botocore.config
import botocore.exceptions
import botocore.parsers
import botocore.session
import pytest

from fakes.cloud import Call
from fakes.sts import totp

M = "arn:aws:iam::111111111111:mfa/jon"
ADMIN = "arn:aws:iam::111111111111:role/admin"


def client(cloud, access_key_id="AKIAJON", secret="secret", token=None, service="sts", attempts=1, timeout=30):
    config = botocore.config.Config(
        retries={"total_max_attempts": attempts}, connect_timeout=5, read_timeout=timeout, parameter_validation=False
    )
    session = botocore.session.Session(
        session_vars={"profile": (None, None, None, None), "config_file": (None, None, os.devnull, None)}
    )
    return session.create_client(
        service, region_name="eu-west-1", endpoint_url=cloud.url, aws_access_key_id=access_key_id,
        aws_secret_access_key=secret, aws_session_token=token, config=config,
    )  # fmt: skip


def with_keys(cloud, credentials, **settings):
    """A client with the credentials of an answer."""
    return client(
        cloud, credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"], **settings
    )


def refusal(call, **parameters):
    """(status, code, message) of a call that AWS must refuse."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


@pytest.fixture
def jon(cloud):
    """A client with jon's long-term key, who has an MFA device and may become admin."""
    cloud.key("AKIAJON", "secret", user="jon")
    cloud.mfa[M] = {"123456"}
    cloud.role(ADMIN)
    return client(cloud)


def test_session_tokens_are_unique_and_expire_when_asked(cloud, jon):
    """GetSessionToken gives new temporary keys each time, for as long as asked."""
    before = int(time.time())
    first, second = (jon.get_session_token(DurationSeconds=900)["Credentials"] for _ in range(2))
    assert first["AccessKeyId"].startswith("ASIA")
    assert len(first["AccessKeyId"]) == 20
    assert first["AccessKeyId"] != second["AccessKeyId"]
    assert first["SecretAccessKey"] != second["SecretAccessKey"]
    assert first["SessionToken"] != second["SessionToken"]
    assert before + 900 <= first["Expiration"].timestamp() <= time.time() + 900
    assert cloud.calls == [Call("GetSessionToken", 900)] * 2
    assert cloud.calls[0].access_key_id == "AKIAJON"
    assert cloud.calls[0].region == "eu-west-1"
    assert cloud.answers == ["ok", "ok"]


def test_identities(cloud, jon):
    """GetCallerIdentity knows who signed, through every kind of key."""
    assert jon.get_caller_identity()["Arn"] == "arn:aws:iam::111111111111:user/jon"
    session = with_keys(cloud, jon.get_session_token()["Credentials"])
    assert session.get_caller_identity()["Arn"] == "arn:aws:iam::111111111111:user/jon"
    role = with_keys(cloud, session.assume_role(RoleArn=ADMIN, RoleSessionName="me")["Credentials"])
    identity = role.get_caller_identity()
    assert identity["Arn"] == "arn:aws:sts::111111111111:assumed-role/admin/me"
    assert identity["Account"] == "111111111111"
    assert [call.signer for call in cloud.calls] == ["key", "key", "session", "session", "role"]


def test_everything_of_a_request_is_recorded(cloud, jon):
    """A test can look at each parameter that AssumeRole carried."""
    cloud.role(ADMIN, external_id="ext")
    jon.assume_role(
        RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=1800, ExternalId="ext", SerialNumber=M, TokenCode="123456",
        Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], TransitiveTagKeys=["a"], SourceIdentity="who",
        Policy="{}",
    )  # fmt: skip
    (call,) = cloud.calls
    assert call == Call("AssumeRole", 1800, M, "key", ADMIN)
    assert (call.code, call.external_id, call.session_name, call.tags, call.transitive) == (
        "123456", "ext", "me", {"a": "1", "b": "2"}, ("a",),
    )  # fmt: skip
    assert (call.source_identity, call.policy, call.service) == ("who", "{}", "sts")


@pytest.mark.parametrize(("seconds", "relation", "limit"), [(899, "greater", 900), (129601, "less", 129600)])
def test_session_durations_have_limits(jon, seconds, relation, limit):
    """15 minutes to 36 hours for a user."""
    assert refusal(jon.get_session_token, DurationSeconds=seconds) == (
        400, "ValidationError", f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy "
        f"constraint: Member must have value {relation} than or equal to {limit}",
    )  # fmt: skip


@pytest.mark.parametrize("seconds", [900, 129600])
def test_session_durations_at_the_limits(jon, seconds):
    """The limits themselves are allowed."""
    assert jon.get_session_token(DurationSeconds=seconds)


def test_role_durations_have_limits(cloud, jon):
    """15 minutes to 12 hours, and no more than the role itself allows."""
    assert refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=43201)[1] == "ValidationError"
    assert refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=899)[1] == "ValidationError"
    cloud.role(ADMIN, max_duration=3600)
    assert refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=3601) == (
        400, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
    )  # fmt: skip


def test_chained_roles_last_an_hour(cloud, jon):
    """A role assumed by a role lasts an hour at most, whatever it allows; from a user's session it is no chain."""
    session = with_keys(cloud, jon.get_session_token()["Credentials"])
    role = session.assume_role(RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=7200)["Credentials"]
    chained = with_keys(cloud, role)
    assert chained.assume_role(RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=3600)
    assert refusal(chained.assume_role, RoleArn=ADMIN, RoleSessionName="me", DurationSeconds=3601) == (
        400, "ValidationError",
        "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
    )  # fmt: skip


def test_sessions_get_no_sessions(cloud, jon):
    """GetSessionToken is for long-term keys."""
    session = with_keys(cloud, jon.get_session_token()["Credentials"])
    role = with_keys(cloud, jon.assume_role(RoleArn=ADMIN, RoleSessionName="me")["Credentials"])
    for temporary in (session, role):
        assert refusal(temporary.get_session_token) == (
            403, "AccessDenied", "Cannot call GetSessionToken with session credentials",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("serial", "code", "expected"),
    [
        (M, "654321", "MultiFactorAuthentication failed with invalid MFA one time pass code. "),
        (M, None, "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."),
        (None, "123456", "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code."),
        (M + "x", "123456", "MultiFactorAuthentication failed, unable to validate MFA code.  "
         "Please verify your MFA serial number is valid and associated with this user."),
    ],
)  # fmt: skip
def test_wrong_codes_are_refused(cloud, jon, serial, code, expected):
    """A wrong code, half of a pair, and an unknown device."""
    parameters = {name: value for name, value in (("SerialNumber", serial), ("TokenCode", code)) if value}
    assert refusal(jon.get_session_token, **parameters) == (403, "AccessDenied", expected)
    assert refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="me", **parameters) == (
        403,
        "AccessDenied",
        expected,
    )
    assert cloud.answers == ["AccessDenied"] * 2


def test_a_code_is_six_digits(jon):
    """Anything else is no code at all."""
    status, code, message = refusal(jon.get_session_token, SerialNumber=M, TokenCode="abcdef")
    assert (status, code) == (400, "ValidationError")
    assert "'tokenCode' failed to satisfy constraint" in message


def test_codes_of_a_seed_work_once(cloud, jon):
    """A device with a seed shows RFC 6238 codes (appendix B: 94287082 at 59 s), each good once."""
    assert totp("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 59) == "287082"
    cloud.mfa[M] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    code = totp(cloud.mfa[M], time.time())
    assert jon.get_session_token(SerialNumber=M, TokenCode=code)
    assert refusal(jon.get_session_token, SerialNumber=M, TokenCode=code)[1] == "AccessDenied"


def test_roles_cannot_use_mfa(cloud, jon):
    """A device belongs to a user: role credentials with a right code are refused."""
    role = with_keys(cloud, jon.assume_role(RoleArn=ADMIN, RoleSessionName="me")["Credentials"])
    refused = refusal(role.assume_role, RoleArn=ADMIN, RoleSessionName="me", SerialNumber=M, TokenCode="123456")
    assert refused[:2] == (403, "AccessDenied")


def test_who_may_assume_a_role(cloud, jon):
    """Unknown roles, a wrong external id and a missing MFA are the same AccessDenied; MFA of the session counts."""
    no = (403, "AccessDenied", "User: arn:aws:iam::111111111111:user/jon is not authorized to perform: sts:AssumeRole on"
          " resource: ")  # fmt: skip
    status, code, message = refusal(jon.assume_role, RoleArn=ADMIN + "x", RoleSessionName="me")
    assert (status, code, message) == (*no[:2], no[2] + ADMIN + "x")
    cloud.role(ADMIN, external_id="right")
    assert refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="me", ExternalId="wrong")[:2] == no[:2]
    assert jon.assume_role(RoleArn=ADMIN, RoleSessionName="me", ExternalId="right")
    cloud.role(ADMIN, mfa=True)
    assert refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="me")[:2] == no[:2]
    plain = with_keys(cloud, jon.get_session_token()["Credentials"])
    assert refusal(plain.assume_role, RoleArn=ADMIN, RoleSessionName="me")[:2] == no[:2]
    assert jon.assume_role(RoleArn=ADMIN, RoleSessionName="me", SerialNumber=M, TokenCode="123456")
    session = with_keys(cloud, jon.get_session_token(SerialNumber=M, TokenCode="123456")["Credentials"])
    assert session.assume_role(RoleArn=ADMIN, RoleSessionName="me")


def test_role_session_names_have_a_form(jon):
    """RoleSessionName: 2 to 64 of ``[\\w+=,.@-]``."""
    status, code, message = refusal(jon.assume_role, RoleArn=ADMIN, RoleSessionName="a b")
    assert (status, code) == (400, "ValidationError")
    assert "'roleSessionName' failed to satisfy constraint" in message


def test_unknown_keys_and_wrong_secrets(cloud, jon):
    """An unknown key id, a wrong secret, a session key without its token or with another's."""
    stranger = (403, "InvalidClientTokenId", "The security token included in the request is invalid.")
    assert refusal(client(cloud, "AKIANOBODY").get_session_token) == stranger
    assert cloud.calls == [Call("GetSessionToken", signer="nobody")]
    assert refusal(client(cloud, secret="wrong").get_session_token)[:2] == (403, "SignatureDoesNotMatch")
    session = jon.get_session_token()["Credentials"]
    bare = client(cloud, session["AccessKeyId"], session["SecretAccessKey"])
    assert refusal(bare.get_caller_identity) == stranger
    assert refusal(client(cloud, token="foreign").get_caller_identity) == stranger


def test_sessions_expire(cloud, jon):
    """Expired keys are refused as such. (The clock is set, nobody waits; the client's is inside the 15 minutes.)"""
    session = with_keys(cloud, jon.get_session_token(DurationSeconds=900)["Credentials"])
    cloud.skew(-4)
    soon = with_keys(cloud, jon.get_session_token(DurationSeconds=900)["Credentials"])
    cloud.skew(14)
    assert session.get_caller_identity()
    assert refusal(soon.get_caller_identity) == (
        403, "ExpiredToken", "The security token included in the request is expired",
    )  # fmt: skip


@pytest.mark.parametrize(("minutes", "words"), [(20, "Signature expired: "), (-10, "Signature not yet current: ")])
def test_clocks_that_disagree(cloud, jon, minutes, words):
    """A request that is too old or from the future is refused; the Date header tells AWS's time."""
    cloud.skew(minutes)
    with pytest.raises(botocore.exceptions.ClientError, match=words) as caught:
        jon.get_session_token()
    assert caught.value.response["Error"]["Code"] == "SignatureDoesNotMatch"
    date = caught.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]
    assert abs(parsedate_to_datetime(date).timestamp() - (time.time() + minutes * 60)) < 30


def test_refusals_on_demand(cloud, jon):
    """`fail` refuses as often as told, that action only, and then no more."""
    cloud.fail("GetSessionToken", code="Throttling", status=400, message="Rate exceeded", times=2)
    assert jon.get_caller_identity()
    assert refusal(jon.get_session_token) == (400, "Throttling", "Rate exceeded")
    assert client(cloud, attempts=3).get_session_token()
    assert cloud.actions == ["GetCallerIdentity", "GetSessionToken", "GetSessionToken", "GetSessionToken"]
    assert cloud.answers == ["ok", "trouble", "trouble", "ok"]
    cloud.fail("*", code="InternalFailure", status=500)
    assert refusal(jon.get_caller_identity) == (500, "InternalFailure", "no")


def test_html_instead_of_xml(cloud, jon):
    """A captive portal answers 200 with a page, well-formed as XML or not; botocore is surprised in two ways."""
    cloud.html("GetSessionToken", status=200)
    with pytest.raises(KeyError):
        jon.get_session_token()
    cloud.html("GetSessionToken", status=200, page=b"<html><br></html>")
    with pytest.raises(botocore.parsers.ResponseParserError):
        jon.get_session_token()
    cloud.html("GetSessionToken", status=502)
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        jon.get_session_token()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 502
    assert "Error" not in caught.value.response


def test_connections_that_break(cloud, jon):
    """A cut connection, before or after the work was done."""
    cloud.cut("GetSessionToken")
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        jon.get_session_token()
    known = len(cloud.keys)
    cloud.cut("GetSessionToken", late=True)
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        jon.get_session_token()
    assert len(cloud.keys) == known + 1
    assert jon.get_session_token()


def test_no_answer(cloud, jon):
    """`hang` keeps the client waiting until it gives up."""
    gate = cloud.hang("GetSessionToken")
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        client(cloud, timeout=0.3).get_session_token()
    assert gate.arrived == 1
    assert jon.get_session_token()


def test_late_answers(cloud, jon):
    """`delay` and `hold` answer properly, later."""
    cloud.delay("GetSessionToken", 0.05)
    start = time.monotonic()
    assert jon.get_session_token()
    assert time.monotonic() - start >= 0.05
    gate = cloud.hold("GetCallerIdentity")
    gate.release()
    assert jon.get_caller_identity()
    gate.wait_for(1)


def test_iam_is_motos(cloud, jon):
    """IAM requests are recorded and answered by moto; keys made there work; a session without MFA may not call IAM."""
    iam = client(cloud, service="iam")
    iam.create_user(UserName="ann")
    key = iam.create_access_key(UserName="ann")["AccessKey"]
    ann = client(cloud, key["AccessKeyId"], key["SecretAccessKey"])
    assert ann.get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:user/ann"
    session = with_keys(cloud, jon.get_session_token()["Credentials"], service="iam")
    assert refusal(session.get_user)[:2] == (403, "InvalidClientTokenId")
    assert refusal(iam.get_user, UserName="nobody")[:2] == (404, "NoSuchEntity")
    assert cloud.actions == [
        "CreateUser",
        "CreateAccessKey",
        "GetCallerIdentity",
        "GetSessionToken",
        "GetUser",
        "GetUser",
    ]


def test_other_services_are_motos(cloud, jon):
    """Everything else goes on to moto unlooked at; the keys that were used are known."""
    ssm = client(cloud, service="ssm")
    ssm.put_parameter(Name="a", Value="b", Type="String")
    assert ssm.get_parameter(Name="a")["Parameter"]["Value"] == "b"
    assert cloud.others == [("ssm", "AKIAJON")] * 2
    assert cloud.calls == []
    cloud.reset()
    assert refusal(ssm.get_parameter, Name="a")[:2] == (400, "ParameterNotFound")


def test_the_aws_cli_as_a_client(cloud, jon, tmp_path):
    """The real AWS CLI gets an identity, and is refused with AWS's words."""
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_ENDPOINT_URL": cloud.url, "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIAJON", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    aws = [sys.executable, "-m", "awscli", "sts"]
    run = subprocess.run([*aws, "get-caller-identity"], env=environ, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads(run.stdout)["Arn"] == "arn:aws:iam::111111111111:user/jon"
    run = subprocess.run([*aws, "get-session-token", "--serial-number", M, "--token-code", "654321"], env=environ,
                         capture_output=True, text=True)  # fmt: skip
    assert run.stderr.strip() == (
        "An error occurred (AccessDenied) when calling the GetSessionToken operation: "
        "MultiFactorAuthentication failed with invalid MFA one time pass code."
    )
    assert run.returncode != 0


def test_nothing_is_remembered(cloud, jon):
    """After a reset nobody is known and nothing was asked."""
    jon.get_caller_identity()
    cloud.fail("*", times=9)
    cloud.reset()
    assert (cloud.calls, cloud.answers, cloud.keys, cloud.roles, cloud.mfa) == ([], [], {}, {}, {})
    assert refusal(jon.get_caller_identity)[1] == "InvalidClientTokenId"
