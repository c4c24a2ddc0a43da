"""The fake secrets as boto3 and the AWS CLI see them: independent clients of everything it answers and refuses."""

import datetime
import json
import os
import subprocess
import sys
import threading

import boto3
import botocore.config
import botocore.exceptions
import pytest

from fakes.secrets import ACCESS_KEY_ID, ACCOUNT, DELETED, MISMATCH, NOT_FOUND, REGION, SECRET_ACCESS_KEY, Asked

READER = f"arn:aws:iam::{ACCOUNT}:role/reader"


def client(secrets, service="secretsmanager", key=None, region=REGION, attempts=1, timeout=30):
    key_id, secret, token = key or (ACCESS_KEY_ID, SECRET_ACCESS_KEY, None)
    config = botocore.config.Config(
        retries={"total_max_attempts": attempts}, read_timeout=timeout, parameter_validation=False
    )
    return boto3.session.Session(
        aws_access_key_id=key_id, aws_secret_access_key=secret, aws_session_token=token, region_name=region
    ).client(service, endpoint_url=secrets.url, config=config)


def refusal(call, **parameters):
    """(status, code, message) of a call that AWS must refuse."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"], response["Error"]["Message"]


def as_role(secrets, role=READER):
    """Credentials of a session of a role."""
    found = client(secrets, "sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    return found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"]


@pytest.fixture
def sm(secrets):
    """A Secrets Manager client with the agent's key."""
    return client(secrets)


def test_a_secrets_life(secrets, sm):
    """Made, read by name, ARN and partial ARN, updated, moved between stages, deleted: by boto3 as by the helpers."""
    made = sm.create_secret(Name="a/b", SecretString="one")
    arn, first = made["ARN"], made["VersionId"]
    assert (secrets.arn("a/b"), secrets.version_id("a/b")) == (arn, first)
    for each in ("a/b", arn, arn[:-7]):
        read = sm.get_secret_value(SecretId=each)
        assert (read["ARN"], read["Name"], read["VersionId"]) == (arn, "a/b", first)
        assert (read["SecretString"], read["VersionStages"]) == ("one", ["AWSCURRENT"])
    second = sm.update_secret(SecretId="a/b", SecretString="two")["VersionId"]
    third = secrets.put("a/b", "three")
    assert sm.get_secret_value(SecretId="a/b")["VersionId"] == third
    assert sm.get_secret_value(SecretId="a/b", VersionId=second)["VersionStages"] == ["AWSPREVIOUS"]
    pending = secrets.put("a/b", "four", stages=("AWSPENDING",))
    assert sm.get_secret_value(SecretId="a/b", VersionStage="AWSPENDING")["SecretString"] == "four"
    secrets.move("a/b", "AWSCURRENT", to=pending)
    assert sm.get_secret_value(SecretId="a/b")["SecretString"] == "four"
    sm.update_secret_version_stage(
        SecretId="a/b", VersionStage="AWSCURRENT", RemoveFromVersionId=pending, MoveToVersionId=third
    )
    assert sm.batch_get_secret_value(SecretIdList=["a/b"])["SecretValues"][0]["SecretString"] == "three"
    secrets.move("a/b", "AWSCURRENT", to=pending)
    assert sm.get_secret_value(SecretId="a/b", VersionStage="AWSPREVIOUS")["VersionId"] == third
    assert set(sm.describe_secret(SecretId=arn)["VersionIdsToStages"]) >= {third, pending}
    secrets.delete("a/b")
    assert refusal(sm.get_secret_value, SecretId="a/b") == (400, "InvalidRequestException", DELETED)
    secrets.delete("a/b", for_good=True)
    assert refusal(sm.get_secret_value, SecretId="a/b") == (400, "ResourceNotFoundException", NOT_FOUND)


def test_values_of_every_kind(secrets, sm):
    """Text, bytes, 64 KB, and the time of creation with its fraction."""
    name = secrets.create(value=b"\x00\xff")
    assert sm.get_secret_value(SecretId=name)["SecretBinary"] == b"\x00\xff"
    name = secrets.create(value="x" * 65536)
    assert sm.get_secret_value(SecretId=name)["SecretString"] == "x" * 65536
    secrets.created(name, 1569534789.046)
    assert sm.get_secret_value(SecretId=name)["CreatedDate"] == datetime.datetime(
        2019, 9, 26, 21, 53, 9, 46000, tzinfo=datetime.UTC
    )


def test_what_cannot_be_found(secrets, sm):
    """Unknown secrets, versions and stages are 400, in AWS's words."""
    name = secrets.create()
    other = "0" * 32
    cases = [
        ({"SecretId": "nothing"}, "ResourceNotFoundException", NOT_FOUND),
        ({"SecretId": name, "VersionId": other}, "ResourceNotFoundException",
         f"Secrets Manager can't find the specified secret value for VersionId: {other}"),
        ({"SecretId": name, "VersionStage": "NOSUCH"}, "ResourceNotFoundException",
         "Secrets Manager can't find the specified secret value for staging label: NOSUCH"),
        ({"SecretId": name, "VersionId": secrets.version_id(name), "VersionStage": "AWSPENDING"},
         "InvalidRequestException", MISMATCH),
    ]  # fmt: skip
    for parameters, code, message in cases:
        assert refusal(sm.get_secret_value, **parameters) == (400, code, message)
    assert refusal(sm.describe_secret, SecretId="nothing") == (400, "ResourceNotFoundException", NOT_FOUND)


def test_lengths(secrets, sm):
    """Empty ids, versions and stages are refused, and too long ones."""
    name = secrets.create()
    words = "1 validation error detected: Value '{}' at '{}' failed to satisfy constraint: Member must have length {} than or equal to {}"
    for parameters, told in [
        ({"SecretId": ""}, ("", "secretId", "greater", 1)),
        ({"SecretId": name, "VersionId": ""}, ("", "versionId", "greater", 32)),
        ({"SecretId": name, "VersionStage": ""}, ("", "versionStage", "greater", 1)),
        ({"SecretId": "x" * 2049}, ("x" * 2049, "secretId", "less", 2048)),
    ]:
        assert refusal(sm.get_secret_value, **parameters) == (400, "ValidationException", words.format(*told))
    assert [members.get("VersionId") for members in secrets.members("GetSecretValue")] == [None, "", None, None]


def test_everything_of_a_request_is_recorded(secrets, sm):
    """Operation, members, key, role, region and user agent; counting by the id that was sent, or by the secret."""
    name = secrets.create()
    sm.get_secret_value(SecretId=name)
    sm.get_secret_value(SecretId=secrets.arn(name), VersionStage="AWSCURRENT")
    secrets.role(READER)
    role = client(secrets, key=as_role(secrets), region="eu-west-1")
    assert refusal(role.get_secret_value, SecretId=name)[1] == "ResourceNotFoundException"
    assert secrets.asked == [
        Asked("GetSecretValue", {"SecretId": name}),
        Asked("GetSecretValue", {"SecretId": secrets.arn(name), "VersionStage": "AWSCURRENT"}),
        Asked("GetSecretValue", {"SecretId": name}),
    ]
    assert [asked.role for asked in secrets.asked] == [None, None, READER]
    assert [asked.region for asked in secrets.asked] == [REGION, REGION, "eu-west-1"]
    assert secrets.asked[0].access_key_id == ACCESS_KEY_ID
    assert "Boto3/" in secrets.asked[0].user_agent
    assert (secrets.count("GetSecretValue", name), secrets.gets(name), secrets.count("DescribeSecret")) == (2, 3, 0)


def test_regions_are_apart(secrets):
    """A secret is in the region it was made in."""
    name = secrets.create(region="eu-west-1")
    assert client(secrets, region="eu-west-1").get_secret_value(SecretId=name)["ARN"] == secrets.arn(name, "eu-west-1")
    assert refusal(client(secrets).get_secret_value, SecretId=name)[1] == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None),
         (400, "UnrecognizedClientException", "The security token included in the request is invalid.")),
        ((ACCESS_KEY_ID, SECRET_ACCESS_KEY, "token"),
         (400, "UnrecognizedClientException", "The security token included in the request is invalid.")),
    ],
    ids=["unknown", "foreign-token"],
)  # fmt: skip
def test_unknown_keys(secrets, key, expected):
    """Keys that nobody made, by Secrets Manager in JSON and by STS in XML."""
    assert refusal(client(secrets, key=key).get_secret_value, SecretId="x") == expected
    assert refusal(client(secrets, "ssm", key=key).get_parameter, Name="x") == expected
    assert refusal(client(secrets, "sts", key=key).get_caller_identity) == (403, "InvalidClientTokenId", expected[2])


def test_wrong_and_expired_keys(secrets):
    """Signatures are checked, and the life of sessions."""
    wrong = client(secrets, key=(ACCESS_KEY_ID, "wrong", None))
    assert refusal(wrong.get_secret_value, SecretId="x")[:2] == (400, "InvalidSignatureException")
    secrets.role(READER)
    secrets.skew(-4)
    short = client(secrets, "sts").assume_role(RoleArn=READER, RoleSessionName="me", DurationSeconds=900)["Credentials"]
    secrets.skew(14)
    expired = client(secrets, key=(short["AccessKeyId"], short["SecretAccessKey"], short["SessionToken"]))
    assert refusal(expired.get_secret_value, SecretId="x") == (
        400, "ExpiredTokenException", "The security token included in the request is expired",
    )  # fmt: skip


def test_roles(secrets):
    """A role that nobody made is refused by STS; a session of one that was may read."""
    unknown = "arn:aws:iam::000000000000:role/NonExistentRole"
    assert refusal(client(secrets, "sts").assume_role, RoleArn=unknown, RoleSessionName="me")[:2] == (
        403,
        "AccessDenied",
    )
    secrets.role(READER)
    name = secrets.create()
    reader = client(secrets, key=as_role(secrets))
    assert reader.get_secret_value(SecretId=name)["SecretString"] == "hunter2"
    secrets.reset()
    secrets.create(name)
    assert reader.get_secret_value(SecretId=name), "sessions outlive a reset: programs that outlive a test hold them"


def test_missing_permissions(secrets, sm):
    """By secret, however it is named, by operation and by role; and given back."""
    one, two = secrets.create(), secrets.create()
    secrets.role(READER)
    reader = client(secrets, key=as_role(secrets))
    secrets.deny(one)
    message = (f"User: arn:aws:iam::{ACCOUNT}:user/agent is not authorized to perform: secretsmanager:GetSecretValue on "
               "resource: {} because no identity-based policy allows the secretsmanager:GetSecretValue action")  # fmt: skip
    for named in (one, secrets.arn(one)):
        assert refusal(sm.get_secret_value, SecretId=named) == (400, "AccessDeniedException", message.format(named))
    assert sm.get_secret_value(SecretId=two)
    assert reader.get_secret_value(SecretId=one)
    secrets.allow_all()
    secrets.deny(role=READER)
    assert sm.get_secret_value(SecretId=one)
    assert refusal(reader.get_secret_value, SecretId=one)[1] == "AccessDeniedException"
    assert refusal(reader.batch_get_secret_value, SecretIdList=[one])[1] == "AccessDeniedException"
    secrets.allow_all()
    secrets.deny(operation="BatchGetSecretValue")
    assert refusal(sm.batch_get_secret_value, SecretIdList=[one])[1] == "AccessDeniedException"
    assert sm.get_secret_value(SecretId=one)


def test_batches(secrets, sm):
    """By ids and by tags, in pages; unknown and forbidden ones are errors of their own."""
    names = [secrets.create(tags=("team",)) for _ in range(23)]
    secrets.deny(names[1], operation="GetSecretValue")
    answer = sm.batch_get_secret_value(SecretIdList=[names[0], "nothing", names[1]])
    assert [each["Name"] for each in answer["SecretValues"]] == [names[0]]
    assert [(each["SecretId"], each["ErrorCode"]) for each in answer["Errors"]] == [
        ("nothing", "ResourceNotFoundException"), (secrets.arn(names[1]), "AccessDeniedException"),
    ]  # fmt: skip
    secrets.allow_all()
    filters = [{"Key": "tag-key", "Values": ["team"]}]
    first = sm.batch_get_secret_value(Filters=filters, MaxResults=20)
    second = sm.batch_get_secret_value(Filters=filters, MaxResults=20, NextToken=first["NextToken"])
    assert [each["Name"] for each in first["SecretValues"] + second["SecretValues"]] == names
    assert second.get("NextToken") is None


def test_parameters(secrets):
    """Versions, labels, secure strings; unknown ones."""
    ssm = client(secrets, "ssm")
    secrets.parameter("/a/b", "one", labels=("Old",))
    secrets.parameter("/a/b", "two")
    secrets.parameter("safe", "plain", "SecureString")
    assert ssm.get_parameter(Name="/a/b")["Parameter"]["Value"] == "two"
    assert ssm.get_parameter(Name="/a/b:1")["Parameter"]["Value"] == "one"
    assert ssm.get_parameter(Name="/a/b:Old")["Parameter"]["Value"] == "one"
    told = [ssm.get_parameter(Name=name)["Parameter"] for name in ("/a/b", "/a/b:2", "/a/b:Old")]
    assert [(parameter["Name"], parameter.get("Selector")) for parameter in told] == [
        ("/a/b", None), ("/a/b", ":2"), ("/a/b", ":Old"),
    ]  # fmt: skip
    arn = told[0]["ARN"]
    assert ssm.get_parameter(Name=arn)["Parameter"].get("Selector") is None
    assert ssm.get_parameter(Name=f"{arn}:1")["Parameter"]["Selector"] == ":1"
    assert ssm.get_parameter(Name="safe")["Parameter"]["Value"] != "plain"
    assert ssm.get_parameter(Name="safe", WithDecryption=True)["Parameter"]["Value"] == "plain"
    assert refusal(ssm.get_parameter, Name="nothing")[:2] == (400, "ParameterNotFound")
    assert secrets.count("GetParameter", "safe") == 2


def test_parameters_that_are_secrets(secrets):
    """References to secrets, which need decryption, and the permission for the secret too."""
    ssm = client(secrets, "ssm")
    name = secrets.create()
    reference = f"/aws/reference/secretsmanager/{name}"
    parameter = ssm.get_parameter(Name=reference, WithDecryption=True)["Parameter"]
    assert (parameter["ARN"], parameter["Type"], parameter["Version"]) == (secrets.arn(name), "SecureString", 0)
    assert parameter["Value"] == json.loads(parameter["SourceResult"])["secretString"] == "hunter2"
    assert refusal(ssm.get_parameter, Name=reference)[:2] == (400, "ValidationException")
    assert refusal(ssm.get_parameter, Name=reference + "x", WithDecryption=True)[:2] == (400, "ParameterNotFound")
    secrets.deny(name)
    assert refusal(ssm.get_parameter, Name=reference, WithDecryption=True)[:2] == (400, "AccessDeniedException")


def test_trouble_for_one_secret(secrets, sm):
    """What goes wrong goes wrong for the secret it is about, as often as told, until it heals."""
    one, two = secrets.create(), secrets.create()
    secrets.fail("GetSecretValue", code="ThrottlingException", status=400, message="Rate exceeded", about=one)
    assert sm.get_secret_value(SecretId=two)
    assert refusal(sm.get_secret_value, SecretId=one) == (400, "ThrottlingException", "Rate exceeded")
    assert sm.get_secret_value(SecretId=one)
    secrets.fail("GetSecretValue", code="InternalServiceError", status=500, times=9)
    assert refusal(sm.get_secret_value, SecretId=two)[:2] == (500, "InternalServiceError")
    secrets.heal()
    assert sm.get_secret_value(SecretId=two)


def test_answers_that_are_none(secrets, sm):
    """XML in place of JSON, a page, and JSON that stops."""
    name = secrets.create()
    secrets.html("GetSecretValue", status=403, page=b"<ErrorResponse><Error/></ErrorResponse>", kind="text/xml")
    assert refusal(sm.get_secret_value, SecretId=name)[0] == 403
    secrets.html("GetSecretValue", status=200, page=b"{", kind="application/x-amz-json-1.1")
    assert set(sm.get_secret_value(SecretId=name)) == {"ResponseMetadata"}  # botocore does not mind


def test_connections_that_break_and_answers_that_wait(secrets, sm):
    """Cut, hung, held, and nobody there at all."""
    name = secrets.create()
    secrets.cut("GetSecretValue", about=name)
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        sm.get_secret_value(SecretId=name)
    secrets.hang("GetSecretValue")
    with pytest.raises(botocore.exceptions.ReadTimeoutError):
        client(secrets, timeout=0.2).get_secret_value(SecretId=name)
    gate = secrets.hold("GetSecretValue")
    read = []
    thread = threading.Thread(target=lambda: read.append(sm.get_secret_value(SecretId=name)))
    thread.start()
    gate.wait_for(1)
    assert read == []
    gate.release()
    thread.join()
    assert read
    with secrets.down(), pytest.raises(botocore.exceptions.EndpointConnectionError):
        sm.get_secret_value(SecretId=name)
    assert sm.get_secret_value(SecretId=name)


def test_many_at_once(secrets):
    """200 threads get what they asked for."""
    names = [secrets.create(value=f"value {number}") for number in range(20)]
    sm = client(secrets)
    wrong = []

    def read(number):
        answer = sm.get_secret_value(SecretId=names[number % 20])
        if answer["SecretString"] != f"value {number % 20}":
            wrong.append(answer)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert secrets.count("GetSecretValue") == 200


def test_the_aws_cli_as_a_client(secrets, tmp_path):
    """The real AWS CLI makes a secret, reads it, and is refused with AWS's words."""
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **secrets.environ, "AWS_DEFAULT_REGION": REGION}
    aws = [sys.executable, "-m", "awscli", "secretsmanager"]
    made = subprocess.run(
        [*aws, "create-secret", "--name", "cli/one", "--secret-string", "hunter2"],
        env=environ, capture_output=True, text=True,
    )  # fmt: skip
    assert (made.returncode, made.stderr) == (0, "")
    assert json.loads(made.stdout)["ARN"] == secrets.arn("cli/one")
    environ["AWS_ACCESS_KEY_ID"] = "AKIAIOSFODNN7EXAMPLE"
    refused = subprocess.run(
        [*aws, "get-secret-value", "--secret-id", "cli/one"], env=environ, capture_output=True, text=True
    )
    assert refused.stderr.strip() == (
        "An error occurred (UnrecognizedClientException) when calling the GetSecretValue operation: "
        "The security token included in the request is invalid."
    )
    assert refused.returncode != 0


def test_names_are_new(secrets):
    """No two tests share a secret, even with an agent that outlives them."""
    assert secrets.name() != secrets.name()
