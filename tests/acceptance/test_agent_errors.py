"""How AWS's answers look to the agent's callers: values of every kind, and errors of every kind."""

import base64
import contextlib
import json
import socket

import pytest

from fakes.cloud import PORTAL
from harness.agent import Agent, eventually

ONCE = {"AWS_MAX_ATTEMPTS": "1"}
SECRET = "/secretsmanager/get?secretId="
READ_ERROR = '{"__type":"ConnectionError", "message":"Read Error"}'
RESPONSE_ERROR = '{"__type":"ConnectionError", "message":"Response Error"}'
TIMEOUT = '{"__type":"TimeoutError", "message":"Timeout"}'
INTERNAL = '{"__type":"InternalFailure"}'
JSON = "application/x-amz-json-1.1"


@pytest.fixture(scope="module")
def _standing(tmp_path_factory, _secrets_server):
    own = {"attempt_timeout_seconds": 0.4, "total_timeout_seconds": 1, "negative_ttl_seconds": 0}
    with Agent(tmp_path_factory.mktemp("agent"), _secrets_server, env=ONCE, own=own) as agent:
        yield agent


@pytest.fixture
def standing(secrets, _standing):
    """An agent that most tests share. No two of them use the same secret."""
    return _standing


@pytest.fixture
def name(secrets):
    return secrets.create()


# Values.


@pytest.mark.parametrize(
    ("at", "shown"),
    [
        (1569534789.046, "1569534789.046"),
        (1569534789, "1569534789"),
        (1569534789.0, "1569534789"),
        (1569534789.1, "1569534789.1"),
        (1763842759.123456, "1763842759.123456"),
        (0, "0"),
    ],
)
def test_times(standing, secrets, name, at, shown):
    """CreatedDate is text: the number that AWS sent, as short as it can be written."""
    secrets.created(name, at)
    assert standing.get(name).json()["CreatedDate"] == shown


def test_what_aws_did_not_send(standing, secrets, name):
    """No time is null; no stages and no binary value are no members at all."""
    secrets.edit(name, lambda answer: [answer.pop(member) for member in ("CreatedDate", "VersionStages")])
    assert standing.get(name).text == (
        f'{{"ARN":"{secrets.arn(name)}","Name":"{name}","VersionId":"{secrets.version_id(name)}",'
        '"SecretString":"hunter2","CreatedDate":null}'
    )


def test_an_answer_without_a_name(standing, secrets, name):
    """What an emulator leaves out is null too, and served from the cache all the same."""
    secrets.edit(name, lambda answer: [answer.pop(member) for member in ("ARN", "VersionId", "Name")])
    for _ in range(2):
        answer = standing.get(name).json()
        assert (answer["ARN"], answer["Name"], answer["VersionId"]) == (None, None, None)
    assert secrets.gets(name) == 1


def test_binary_values(standing, secrets):
    """Base64 with its padding; no SecretString then."""
    for value, shown in ((b"\x00\x01\x02\x03\xff\xfe\xfd", "AAECA//+/Q=="), (b"x" * 65_536, None)):
        answer = standing.get(secrets.create(value=value)).json()
        assert answer["SecretBinary"] == (shown or base64.b64encode(value).decode())
        assert "SecretString" not in answer


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ('"', r"\""),
        ("\\", r"\\"),
        ("\n\r\t\b\f", r"\n\r\t\b\f"),
        ("\x01\x1f", r"\u0001\u001f"),
        ("\x7f", "\x7f"),
        ("é/<>&😀\u2028", "é/<>&😀\u2028"),
        ('{"a": 1}', r"{\"a\": 1}"),
    ],
    ids=["quote", "backslash", "named", "control", "delete", "raw", "json"],
)
def test_characters(standing, secrets, value, shown):
    """What JSON must escape is escaped, in its shortest form; everything else is as it is."""
    assert f'"SecretString":"{shown}",' in standing.get(secrets.create(value=value)).text


@pytest.mark.parametrize("size", [1, 60_000, 65_536])
def test_large_values(standing, secrets, size):
    """As long as they say they are; from AWS and from memory."""
    name = secrets.create(value="x" * size)
    for _ in range(2):
        reply = standing.get(name)
        assert reply.value == "x" * size
        assert int(reply.headers["content-length"]) == len(reply.body)


# Errors.


def page(status, body, kind=JSON):
    return lambda secrets, name: secrets.html("GetSecretValue", status=status, page=body, kind=kind, about=name)


def test_denied(standing, secrets, name):
    """AWS's status, code and message, whatever case it wrote the member in."""
    body = b'{"__type":"AccessDeniedException","Message":"Access to KMS is not allowed"}'
    page(400, body)(secrets, name)
    assert standing.get(name).short == (
        400, '{"__type":"AccessDeniedException", "message":"Access to KMS is not allowed"}',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"__type": "com.amazonaws.x#ResourceNotFoundException:http://x/", "message": "m"},
         (400, '{"__type":"ResourceNotFoundException", "message":"m"}')),
        (400, {"__type": "InvalidParameterException", "message": 'a "b" \\ \n é <'},
         (400, '{"__type":"InvalidParameterException", "message":"a \\"b\\" \\\\ \\n é <"}')),
        (400, {"__type": "InvalidRequestException", "message": ""}, (400, INTERNAL)),
        (400, {"__type": "InternalFailure", "message": "m"}, (400, INTERNAL)),
        (400, {"__type": "InvalidRequestException"}, (500, INTERNAL)),
        (500, {"__type": "InternalServiceError", "message": "m"}, (500, '{"__type":"InternalServiceError", "message":"m"}')),
        (503, {"__type": "ServiceUnavailable", "Message": "m"}, (503, '{"__type":"ServiceUnavailable", "message":"m"}')),
        (400, {"__type": "ThrottlingException", "message": "Rate exceeded"},
         (400, '{"__type":"ThrottlingException", "message":"Rate exceeded"}')),
    ],
    ids=["namespace", "escaped", "empty-message", "internal", "no-message", "500", "503", "throttled"],
)  # fmt: skip
def test_what_aws_says(standing, secrets, name, status, body, expected):
    """Passed on with its status: the code without namespace, the message as JSON; without a message it is a failure."""
    page(status, json.dumps(body).encode())(secrets, name)
    assert standing.get(name).short == expected


def test_the_newer_kind_s_errors(agent, secrets, name):
    """The same without the space that the older kind's have."""
    running = agent(word="sm", env=ONCE)
    page(400, b'{"__type":"InvalidParameterException","message":"a \\"b\\""}')(secrets, name)
    assert running.get(name).short == (400, '{"__type":"InvalidParameterException","message":"a \\"b\\""}')
    page(400, b'{"__type":"InvalidParameterException","message":""}')(secrets, name)
    assert running.get(name, refreshNow="true").short == (400, INTERNAL)


@pytest.mark.parametrize(
    ("status", "body", "kind", "expected"),
    [
        (403, b"<ErrorResponse><Error><Code>AccessDenied</Code><Message>m</Message></Error></ErrorResponse>", "text/xml",
         (500, INTERNAL)),
        (400, PORTAL, "text/html", (500, INTERNAL)),
        (502, PORTAL, "text/html", (500, INTERNAL)),
        (200, b"{", JSON, (502, RESPONSE_ERROR)),
        (200, b"", JSON, (502, RESPONSE_ERROR)),
        (200, PORTAL, "text/html", (502, RESPONSE_ERROR)),
        (200, b"[]", JSON, (502, RESPONSE_ERROR)),
        (200, b'"x"', JSON, (502, RESPONSE_ERROR)),
        (200, b"\xff", JSON, (502, RESPONSE_ERROR)),
    ],
    ids=["xml", "page-400", "page-502", "half", "empty", "portal", "list", "text", "no-utf-8"],
)  # fmt: skip
def test_answers_that_are_none(standing, secrets, name, status, body, kind, expected):
    """An error that says nothing in AWS's way is 500; an answer that cannot be read is 502. Nothing of it is passed on."""
    page(status, body, kind)(secrets, name)
    assert standing.get(name).short == expected
    assert standing.get(name).value == "hunter2"


def test_members_of_the_wrong_kind(standing, secrets, name):
    """An answer whose members are not what they should be is no answer, and no traceback."""
    secrets.edit(name, lambda answer: answer.update(SecretString={"a": 1}, CreatedDate="soon", VersionStages=7))
    reply = standing.get(name)
    assert reply.short in {(502, RESPONSE_ERROR), (500, INTERNAL)}


def test_attempts(agent, secrets, name):
    """Errors at AWS's side are tried three times in all, its refusals once."""
    running = agent()
    secrets.fail("GetSecretValue", code="InternalServiceError", status=500, message="m", times=2)
    assert running.get(name).value == "hunter2"
    assert secrets.gets(name) == 3
    assert running.get(secrets.name("unknown")).status == 400
    assert secrets.count("GetSecretValue") == 4


def test_nobody_there(standing, secrets, name):
    """A refused connection is a read error."""
    with secrets.down():
        assert standing.get(name).short == (502, READ_ERROR)


def test_a_cut_connection(standing, secrets, name):
    """One that is closed in place of an answer is a failure that says no more."""
    secrets.cut("GetSecretValue", about=name)
    assert standing.get(name).short == (500, INTERNAL)


def test_no_answer(standing, secrets, name):
    """One that is never answered is given up in time: 504."""
    secrets.hang("GetSecretValue", times=9, about=name)
    assert standing.get(name).short == (504, TIMEOUT)


@pytest.fixture
def black_hole():
    """The address of somebody who takes no connections and refuses none."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):  # until there is no room for one more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def test_no_connection(agent, black_hole):
    """Neither is one that never comes about."""
    running = agent(
        env=ONCE | {"AWS_ENDPOINT_URL": black_hole}, validate_credentials=False,
        own={"attempt_timeout_seconds": 0.4, "total_timeout_seconds": 2},
    )  # fmt: skip
    assert running.get("any").short == (504, TIMEOUT)


def test_a_slow_answer(agent, secrets, name):
    """Waits end with the total time, whatever attempts are still to be made; the answer that these bring is kept."""
    running = agent(own={"attempt_timeout_seconds": 0.4, "total_timeout_seconds": 0.5})
    secrets.hang("GetSecretValue", about=name)
    secrets.delay("GetSecretValue", 0.3, times=1, about=name)
    assert running.get(name).short == (504, TIMEOUT)
    eventually(lambda: running.get(name).status == 200, "there")
    assert secrets.gets(name) == 2


@pytest.mark.parametrize("endpoint", ["http://no-such-host.invalid", "http://127.0.0.1:1", "https://{}"])
def test_addresses_that_lead_nowhere(agent, secrets, endpoint):
    """An unknown host, a closed port, a server that speaks no TLS."""
    endpoint = endpoint.format(secrets.url.removeprefix("http://"))
    running = agent(env=ONCE | {"AWS_ENDPOINT_URL": endpoint}, validate_credentials=False)
    assert running.get("any").short == (502, READ_ERROR)


def test_addresses_of_single_services(agent, secrets, name):
    """AWS_ENDPOINT_URL_SECRETS_MANAGER goes before AWS_ENDPOINT_URL."""
    nowhere = "http://127.0.0.1:1"
    running = agent(
        env={"AWS_ENDPOINT_URL": nowhere, "AWS_ENDPOINT_URL_SECRETS_MANAGER": secrets.url}, validate_credentials=False
    )
    assert running.get(name).value == "hunter2"
