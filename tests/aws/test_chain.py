import os
import socket
import struct
import sys
import threading
from contextlib import contextmanager

import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.session
import pytest

from fakes.secrets import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY
from strongroom import __version__
from strongroom.aws import chain as module
from strongroom.aws import secretsmanager, ssm, sts
from strongroom.aws.chain import Chain
from strongroom.aws.failed import CallFailed
from strongroom.credentials import Credentials

KEY = Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
OTHER = Credentials("AKIAOTHEROTHEROTHER0", "other secret")


@pytest.fixture
def env(monkeypatch):
    """Set variables of the process: botocore reads them itself."""
    return lambda **variables: [monkeypatch.setenv(name, value) for name, value in variables.items()]


@pytest.fixture
def made():
    """Make chains; all are closed with the test."""
    chains = []

    def make(region=None, *, seconds=5.0, patient=5.0, **settings):
        chains.append(Chain(region, os.environ, attempt_seconds=seconds, patient_seconds=patient, **settings))
        return chains[-1]

    yield make
    for chain in chains:
        chain.close()


@pytest.fixture
def aws(secrets, env, made):
    """A chain that the fake AWS knows."""
    env(**secrets.environ)
    return made()


def failed(call, *args, **settings):
    with pytest.raises(CallFailed) as caught:
        call(*args, **settings)
    return caught.value


def get(chain, secret_id="app/db", credentials=KEY, region=REGION, **members):
    return secretsmanager.get_secret_value(chain, region, credentials, secret_id=secret_id, **members)


# A server of bytes


class Wire:
    """Answers each connection with the next of *answers*: bytes, or something that is done with the socket."""

    def __init__(self):
        self.answers = []
        self.requests = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._open = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.requests.append(self._read(connection))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if answer is None:
                self._open.append(connection)
                continue
            with connection:
                if callable(answer):
                    answer(connection)
                else:
                    connection.sendall(answer)

    def _read(self, connection):
        """A request, or what begins some other protocol."""
        data = b""
        while not (data[:1] == b"\x16" or b"\r\n\r\n" in data) and (more := connection.recv(65536)):
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        missing = int(lengths[0].split(b":")[1]) - len(body) if lengths else 0
        while missing > 0 and (more := connection.recv(65536)):
            data += more
            missing -= len(more)
        return data

    def close(self):
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for connection in self._open:
            connection.close()


@pytest.fixture
def wire(env):
    """The server of bytes as our AWS; one attempt for each call."""
    wire = Wire()
    env(AWS_ENDPOINT_URL=wire.url, AWS_MAX_ATTEMPTS="1")
    yield wire
    wire.close()


def http(status, body, *headers):
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(_connection):
    pass


# Region


@pytest.mark.parametrize(
    ("given", "variables", "profile", "region"),
    [
        ("eu-west-1", {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-north-1", "eu-west-1"),
        (None, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-north-1", "eu-west-2"),
        (None, {"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-north-1", "eu-west-3"),
        (None, {"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, "eu-north-1", "eu-north-1"),
        ("", {}, "eu-north-1", "eu-north-1"),
        (None, {}, None, None),
    ],
)
def test_where_the_region_comes_from(env, made, tmp_path, given, variables, profile, region):
    """The one given, AWS_REGION, AWS_DEFAULT_REGION, the profile's, in this order."""
    config = tmp_path / "config"
    config.write_text(f"[default]\nregion = {profile}\n" if profile else "")
    env(AWS_CONFIG_FILE=str(config), **variables)
    assert made(given).region == region


def test_the_region_of_the_instance(env, made, wire, monkeypatch):
    """The instance metadata is asked last, once."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    env(AWS_EC2_METADATA_SERVICE_ENDPOINT=wire.url)
    wire.answers = [http(200, b"token"), http(200, b"ap-south-2b")]
    chain = made()
    assert [chain.region, chain.region] == ["ap-south-2", "ap-south-2"]
    assert [request.split(b" ")[:2] for request in wire.requests] == [
        [b"PUT", b"/latest/api/token"],
        [b"GET", b"/latest/meta-data/placement/availability-zone/"],
    ]
    assert made("eu-west-1").region == "eu-west-1"
    assert len(wire.requests) == 2


def test_an_instance_that_does_not_tell_its_region(env, made, wire, monkeypatch):
    """It is asked again, but not at once: it may take a second each time."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    env(AWS_EC2_METADATA_SERVICE_ENDPOINT=wire.url)
    wire.answers = [http(404, b"")]
    now = [100.0]
    chain = made(now=lambda: now[0])
    assert [chain.region, chain.region] == [None, None]
    asked = len(wire.requests)
    now[0] += module.REGION_PATIENCE_SECONDS
    wire.answers = [http(200, b"token"), http(200, b"ap-south-2b")]
    assert chain.region == "ap-south-2"
    assert len(wire.requests) == asked + 2


def test_something_else_at_the_address_of_the_instance_metadata(env, made, wire, monkeypatch):
    """Is like nothing; an address that is none is a mistake."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    env(AWS_EC2_METADATA_SERVICE_ENDPOINT=wire.url)
    wire.answers = [http(400, b"what?")]
    assert made().region is None
    env(AWS_EC2_METADATA_SERVICE_ENDPOINT="nonsense")
    error = failed(made)
    assert (error.cause, error.message) == (
        "credentials",
        "AWS's settings cannot be used: Invalid endpoint EC2 Instance Metadata endpoint: nonsense",
    )


def test_without_a_region_nothing_is_asked(made, wire):
    """What to do about it is said."""
    error = failed(get, made(), region=None)
    assert (error.cause, error.message) == (
        "region", "secretsmanager GetSecretValue: no region: set AWS_REGION, or region in a config file"
    )  # fmt: skip
    assert wire.requests == []


def test_a_region_that_cannot_be_one(made, wire):
    """It is told, not asked."""
    error = failed(get, made(), region="not a region")
    assert error.cause == "other"
    assert error.message.startswith("secretsmanager GetSecretValue: Provided region_name 'not a region' doesn't match")
    assert wire.requests == []


# Calls


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        ({}, {"SecretId": "app/db"}),
        ({"version_id": "", "version_stage": ""}, {"SecretId": "app/db", "VersionId": "", "VersionStage": ""}),
        ({"version_id": "x"}, {"SecretId": "app/db", "VersionId": "x"}),
        ({"version_stage": "AWSPREVIOUS"}, {"SecretId": "app/db", "VersionStage": "AWSPREVIOUS"}),
    ],
)
def test_what_is_sent_is_what_was_given(aws, secrets, members, sent):
    """Nothing is added, dropped or judged: what is wrong with it is for AWS to say."""
    failed(get, aws, **members)
    assert secrets.members("GetSecretValue") == [sent]


def test_an_answer(aws, secrets):
    """With bytes decoded, and the time as the number that was sent."""
    secrets.create("app/db", b"\0\xff")
    secrets.created("app/db", 1569534789.046)
    answer = get(aws)
    assert (answer["Name"], answer["SecretBinary"], answer["CreatedDate"]) == ("app/db", b"\0\xff", 1569534789.046)
    assert isinstance(answer["CreatedDate"], float)


def test_who_we_say_we_are(aws, secrets):
    """The last word of the user agent is ours."""
    failed(get, aws)
    assert secrets.asked[0].user_agent.endswith(f" strongroom/{__version__}")


def test_each_call_is_signed_by_those_who_make_it(aws, secrets):
    """Also at the same time, through one client."""
    secrets.key(OTHER.access_key_id, OTHER.secret_access_key)
    name = secrets.create()
    gate = secrets.hold("GetSecretValue", times=8)
    keys = [KEY, OTHER] * 4
    threads = [threading.Thread(target=get, args=(aws, name, key)) for key in keys]
    for thread in threads:
        thread.start()
    gate.wait_for(8)
    gate.release()
    for thread in threads:
        thread.join()
    assert sorted(asked.access_key_id for asked in secrets.asked) == sorted(key.access_key_id for key in keys)
    assert len(aws._clients) == 1


def test_a_client_for_each_service_and_region(aws, secrets):
    """And for the calls that may take longer; the number is bounded, the one not used for longest goes."""
    for region in ("eu-west-1", "eu-west-2"):
        failed(get, aws, region=region)
    failed(ssm.get_parameter, aws, "eu-west-1", KEY, name="/a", with_decryption=False)
    secretsmanager.batch_get_secret_value(aws, "eu-west-1", KEY, ids=["a"])
    assert [asked.region for asked in secrets.asked] == ["eu-west-1", "eu-west-2", "eu-west-1", "eu-west-1"]
    assert list(aws._clients) == [
        ("secretsmanager", "eu-west-1", False),
        ("secretsmanager", "eu-west-2", False),
        ("ssm", "eu-west-1", False),
        ("secretsmanager", "eu-west-1", True),
    ]
    for number in range(module.MOST_CLIENTS - 4):
        aws._client("sts", f"eu-test-{number}", patient=False)
    failed(get, aws, region="eu-west-1")
    aws._client("sts", "eu-new-1", patient=False)
    assert len(aws._clients) == module.MOST_CLIENTS
    assert ("secretsmanager", "eu-west-1", False) in aws._clients
    assert ("secretsmanager", "eu-west-2", False) not in aws._clients


def test_a_client_is_made_before_it_is_needed(aws, made):
    """If it is known where to ask; settings that make no sense are told then."""
    aws.prepare("secretsmanager")
    assert list(aws._clients) == [("secretsmanager", REGION, False)]
    error = failed(made("no region").prepare, "sts")
    assert (error.cause, error.message.split(" doesn't")[0]) == ("other", "sts: Provided region_name 'no region'")


def test_nothing_is_made_where_no_region_is_known(made):
    """There is time until somebody asks."""
    chain = made()
    chain.prepare("secretsmanager")
    assert list(chain._clients) == []


def test_timeouts(made):
    """Each attempt has its time, a call that may take longer has more."""
    chain = made("eu-west-1", seconds=1.5, patient=10.0)
    configs = [chain._client("secretsmanager", "eu-west-1", patient=patient).meta.config for patient in (False, True)]
    assert [(config.connect_timeout, config.read_timeout) for config in configs] == [(1.5, 1.5), (10.0, 10.0)]


@pytest.mark.parametrize(("variable", "attempts"), [(None, 3), ("2", 2), ("0", 3), ("many", 3), ("-1", 3)])
def test_how_often_a_call_is_tried(env, made, wire, monkeypatch, variable, attempts):
    """Three times, or as AWS_MAX_ATTEMPTS says."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    if variable is None:
        monkeypatch.delenv("AWS_MAX_ATTEMPTS")
    else:
        env(AWS_MAX_ATTEMPTS=variable)
    wire.answers = [http(500, b'{"__type":"InternalServiceError","Message":"m"}')]
    assert failed(get, made()).status == 500
    assert len(wire.requests) == attempts


def test_a_throttled_call_is_tried_again(made, env, wire, monkeypatch):
    """Also if only a header tells what it is."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _seconds: None)
    env(AWS_MAX_ATTEMPTS="2")
    wire.answers = [http(400, b"{}", "x-amzn-ErrorType: ThrottlingException:http://x/"), http(200, b'{"Name":"n"}')]
    assert get(made())["Name"] == "n"


# Failures


@pytest.mark.parametrize(
    ("answer", "cause", "text"),
    [
        (None, "timeout", 'Read timeout on endpoint URL: "{url}/"'),
        (close, "closed", 'Connection was closed before we received a valid response from endpoint URL: "{url}/".'),
        (reset, "unreachable",
         'Connection was closed before we received a valid response from endpoint URL: "{url}/".'),
        (b"hello\r\n\r\n", "unreadable", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{", "unreadable", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "unreadable", None),
        (http(200, b""), "unreadable", None),
        (http(200, b"{"), "unreadable", None),
        (http(200, b"[]"), "unreadable", None),
        (http(200, b"null"), "unreadable", None),
        (http(200, b"\xff\xfe"), "unreadable", None),
        (http(200, b"<html><body>log in</body></html>"), "unreadable", None),
        (http(200, b'{"SecretBinary":[1]}'), "unreadable", None),
        (http(200, b'{"VersionStages":"AWSCURRENT"}'), None, None),
    ],
)  # fmt: skip
def test_no_answer_that_makes_sense(made, wire, answer, cause, text):
    """By what stood in its way; the text of an answer is never told, it may hold a secret."""
    wire.answers = [answer]
    if cause is None:
        # Not judged here.
        assert get(made())
        return
    error = failed(get, made(seconds=0.3 if answer is None else 5.0))
    told = "was answered with something that is not AWS's format" if text is None else text.format(url=wire.url)
    separator = " " if text is None else ": "
    assert (error.cause, error.message) == (cause, f"secretsmanager GetSecretValue{separator}{told}")
    assert error.__cause__ is None
    assert len(wire.requests) == 1


@contextmanager
def full_port():
    """A port that lets nobody in, since its queue is full: connections time out."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        waiting = []
        for _ in range(4):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"
        for each in waiting:
            each.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a full queue wait")
def test_nobody_lets_us_in(env, made):
    """A time-out, as of an address that is a black hole."""
    with full_port() as url:
        env(AWS_ENDPOINT_URL=url, AWS_MAX_ATTEMPTS="1")
        error = failed(get, made(seconds=0.3))
    assert (error.cause, error.message) == (
        "timeout", f'secretsmanager GetSecretValue: Connect timeout on endpoint URL: "{url}/"'
    )  # fmt: skip


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://secrets.invalid", "https://{plain}"])
def test_nobody_is_there(env, made, wire, url):
    """Refused, no such host, somebody who speaks no TLS."""
    wire.answers = [http(200, b"{}")]
    url = url.format(plain=wire.url.removeprefix("http://"))
    env(AWS_ENDPOINT_URL=url)
    assert failed(get, made()).cause == "unreachable"


def test_an_address_that_is_none(env, made):
    """A mistake of the environment, told as such."""
    env(AWS_ENDPOINT_URL="nonsense")
    error = failed(get, made())
    assert (error.cause, error.message) == ("other", "secretsmanager GetSecretValue: ValueError")


@pytest.mark.parametrize(
    ("status", "body", "headers", "code", "said"),
    [
        (400, b'{"__type":"AccessDeniedException","Message":"m"}', (), "AccessDeniedException", "m"),
        (400, b'{"__type":"X","message":"a","Message":"b"}', (), "X", "a"),
        (400, b'{"__type":"X","errorMessage":"e"}', (), "X", "e"),
        (400, b'{"__type":"com.amazonaws.x#ResourceNotFoundException:http://x/","message":"m"}', (),
         "ResourceNotFoundException", "m"),
        (400, b'{"code":"Y","__type":"X","message":"m"}', (), "Y", "m"),
        (400, b'{"code":7,"__type":"X","message":"m"}', (), "X", "m"),
        (400, b'{"__type":"X","message":"m"}', ("x-amzn-errortype: a.b#Z:http://x",), "Z", "m"),
        (400, b'{"__type":"X","message":""}', (), "X", ""),
        (400, b'{"__type":"X","message":null}', (), "X", None),
        (400, b'{"__type":"X","message":{"a":1}}', (), "X", None),
        (400, b'{"__type":"X"}', (), "X", None),
        (400, b'{"message":"m"}', (), "", None),
        (400, b'{"__type":["X"],"message":"m"}', (), "", None),
        (403, b"<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>m</Message></Error></ErrorResponse>",
         (), "InvalidClientTokenId", None),
        (403, b"<html><body>blocked</body></html>", (), "", None),
        (404, b"", (), "", None),
        (429, b"[]", (), "", None),
        (500, b"", (), "", None),
        (502, b"<html><body>bad gateway</body></html>", (), "", None),
        (503, b'{"__type":"ServiceUnavailable","message":"m"}', (), "ServiceUnavailable", "m"),
        (301, b"moved", ("Location: http://127.0.0.1:1/",), "", None),
        (400, b'{"__type":"X","message":"one\\n two"}', (), "X", "one\n two"),
    ],
)  # fmt: skip
def test_a_refusal_is_read_as_it_was_written(made, wire, status, body, headers, code, said):
    """Nothing is made up where AWS, or whoever answered, said nothing."""
    wire.answers = [http(status, body, *headers)]
    error = failed(get, made())
    assert (error.cause, error.status, error.code, error.said) == ("refused", status, code, said)
    words = f"({code or 'no code'}): {' '.join((said or 'no reason given').split())}"
    assert error.message == f"secretsmanager GetSecretValue was refused with HTTP status {status} {words}"


def test_a_refusal_by_sts(aws, secrets):
    """The same out of XML."""
    secrets.fail("GetCallerIdentity", code="AccessDenied", status=403, message="m")
    error = failed(sts.get_caller_identity, aws, REGION, KEY)
    assert (error.cause, error.status, error.code, error.said) == ("refused", 403, "AccessDenied", "m")


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        (500, b"<html><body>oops</body></html>", "refused"),
        (403, b"", "unreadable"),
        (403, b"{}", "unreadable"),
        (200, b"<html><body>log in</body></html>", "unreadable"),
        (200, b"log in", "unreadable"),
    ],
)
def test_something_that_is_not_sts(made, wire, status, body, cause):
    """A proxy, or a page to log in at."""
    wire.answers = [http(status, body)]
    error = failed(sts.get_caller_identity, made(), REGION, KEY)
    assert (error.cause, error.code, error.said) == (cause, "", None)


@pytest.mark.parametrize("field", ["access_key_id", "secret_access_key", "session_token"])
def test_credentials_that_cannot_be_sent(made, wire, field):
    """They stand in a header: a line break in them would be one there."""
    values = {"access_key_id": "AKIAJONJONJONJON", "secret_access_key": "hush", "session_token": "hush"}
    values[field] += "\r\nX-Canary: 1"
    error = failed(get, made(), credentials=Credentials(**values))
    assert error.cause == "credentials"
    assert error.message.endswith("holds characters that no access key has")
    assert "hush" not in error.message
    assert wire.requests == []


# Our own credentials


def test_credentials_of_the_environment(env, made):
    """The first that the SDK's chain looks at."""
    env(AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="s", AWS_SESSION_TOKEN="t")
    assert made().own() == Credentials("AKIA", "s", "t")


def test_credentials_of_a_profile_that_assumes_a_role(env, made, secrets, tmp_path):
    """The chain calls STS itself, in the region that is ours."""
    role = "arn:aws:iam::123456789012:role/of-profile"
    secrets.role(role)
    config = tmp_path / "config"
    config.write_text(
        f"[profile p]\nrole_arn = {role}\nsource_profile = q\n\n"
        f"[profile q]\naws_access_key_id = {ACCESS_KEY_ID}\naws_secret_access_key = {SECRET_ACCESS_KEY}\n"
    )
    env(AWS_ENDPOINT_URL=secrets.url, AWS_CONFIG_FILE=str(config), AWS_PROFILE="p")
    own = made("eu-west-1").own()
    assert own.session_token == secrets.keys[own.access_key_id].session_token
    assert [(call.action, call.role, call.region) for call in secrets.calls] == [("AssumeRole", role, "eu-west-1")]
    secrets.roles.clear()
    error = failed(made("eu-west-1").own)
    assert (error.cause, error.status, error.code) == ("refused", 403, "AccessDenied")


def test_no_credentials_now(env, made):
    """Each call looks again."""
    chain = made()
    error = failed(chain.own)
    assert (error.cause, error.message) == ("credentials", "no credentials: nothing in the SDK's chain has any")
    env(AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="s")
    assert chain.own() == Credentials("AKIA", "s")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"AWS_ACCESS_KEY_ID": "AKIA"},
         "no credentials: Partial credentials found in env, missing: AWS_SECRET_ACCESS_KEY"),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/"},
         "no credentials: ValueError"),
    ],
)  # fmt: skip
def test_credentials_that_are_not_whole(env, made, variables, message):
    """What the chain stumbles over is told."""
    env(**variables)
    error = failed(made().own)
    assert error.cause == "credentials"
    assert error.message == message


def test_a_profile_that_does_not_exist(env, made, tmp_path):
    """Is a mistake, except where the profile's credentials are not wanted: then its name is of another file."""
    env(AWS_PROFILE="nosuch", AWS_CONFIG_FILE=str(tmp_path / "none"))
    error = failed(made)
    assert (error.cause, error.message) == (
        "credentials", "AWS's settings cannot be used: The config profile (nosuch) could not be found"
    )  # fmt: skip
    assert made("eu-west-1", own_credentials=False).region == "eu-west-1"


def test_a_config_file_that_is_none(env, made, tmp_path):
    """Is told with its path."""
    config = tmp_path / "config"
    config.write_text("[[[\n=")
    env(AWS_CONFIG_FILE=str(config))
    error = failed(made)
    assert error.cause == "credentials"
    assert str(config) in error.message


class Broken:
    """Credentials that cannot be refreshed."""

    def __init__(self, error):
        self.error = error

    def get_frozen_credentials(self):
        raise self.error


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (botocore.exceptions.CredentialRetrievalError(provider="p", error_msg="e"),
         "Error when retrieving credentials from p: e"),
        (OSError("hush"), "OSError"),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be_refreshed(made, monkeypatch, error, told):
    """The reason is told in botocore's words, that of other errors by their type alone."""
    monkeypatch.setattr(botocore.credentials.CredentialResolver, "load_credentials", lambda _self: Broken(error))
    caught = failed(made().own)
    assert (caught.cause, caught.message) == ("credentials", f"no credentials: {told}")


# What botocore is spared


def resolved(session, service, region):
    client = session.create_client(service, region_name=region, aws_access_key_id="a", aws_secret_access_key="b")
    try:
        return client.meta.endpoint_url, client.meta.partition, client._request_signer.region_name
    finally:
        client.close()


@pytest.mark.parametrize("service", ["secretsmanager", "ssm", "sts"])
@pytest.mark.parametrize(
    "region", ["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1", "eusc-de-east-1", "xy-new-9"]
)
def test_endpoints_are_those_of_the_whole_list(service, region):
    """The services left out of it make no difference."""
    lean = botocore.session.Session()
    lean.register_component("data_loader", botocore.loaders.Loader(file_loader=module._LeanFiles()))
    assert resolved(lean, service, region) == resolved(botocore.session.Session(), service, region)


def test_descriptions_of_services_without_their_documentation():
    """Everything else is there."""
    lean = botocore.loaders.Loader(file_loader=module._LeanFiles()).load_service_model("sts", "service-2")
    whole = botocore.loaders.Loader().load_service_model("sts", "service-2")

    def without(part):
        if isinstance(part, dict):
            return {key: "" if key == "documentation" and isinstance(value, str) else without(value)
                    for key, value in part.items()}  # fmt: skip
        return [without(each) for each in part] if isinstance(part, list) else part

    assert lean == without(whole)
    assert "documentation" in lean


def test_a_description_that_is_not_there():
    """As with botocore's own reader."""
    assert module._LeanFiles().load_file("/nonexistent/file") is None


@pytest.mark.parametrize("service", module._DESCRIBED)
def test_each_service_is_found_under_its_name(aws, service):
    """Without a look at all the others that botocore has descriptions of."""
    client = aws._client(service, REGION, patient=False)
    assert client.meta.service_model.service_name == service


# The functions for each call


def test_a_batch(aws, secrets):
    """By ids, or by tag; what is not given is not sent."""
    for name in ("a", "b", "c"):
        secrets.create(name, tags=("t",))
    by_id = secretsmanager.batch_get_secret_value(aws, REGION, KEY, ids=["a", "nosuch"])
    assert [value["Name"] for value in by_id["SecretValues"]] == ["a"]
    first = secretsmanager.batch_get_secret_value(aws, REGION, KEY, tag_key="t", max_results=2)
    secretsmanager.batch_get_secret_value(aws, REGION, KEY, tag_key="t", max_results=2, next_token=first["NextToken"])
    filters = [{"Key": "tag-key", "Values": ["t"]}]
    assert secrets.members("BatchGetSecretValue") == [
        {"SecretIdList": ["a", "nosuch"]},
        {"Filters": filters, "MaxResults": 2},
        {"Filters": filters, "MaxResults": 2, "NextToken": first["NextToken"]},
    ]
