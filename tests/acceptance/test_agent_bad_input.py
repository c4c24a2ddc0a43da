"""What no sane client, file or AWS would send: the agent says what is wrong, goes on, and tells nobody another's secret."""

import contextlib
import json
import signal
import socket
import sys
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.secrets import ACCESS_KEY_ID, DELETED, NOT_FOUND
from harness.agent import HEADER, TOKEN, Agent, eventually, head

ONCE = {"AWS_MAX_ATTEMPTS": "1"}
SECRET = "/secretsmanager/get?secretId="
PARAMETER = "/systemsmanager/parameters/get?name="
JSON = "application/x-amz-json-1.1"
PATIENCE = 10  # for what must come at once


@pytest.fixture(scope="module")
def _standing(tmp_path_factory, _secrets_server):
    own = {"negative_ttl_seconds": 0, "attempt_timeout_seconds": 2, "total_timeout_seconds": 4}
    with Agent(tmp_path_factory.mktemp("agent"), _secrets_server, env=ONCE, own=own) as agent:
        yield agent


@pytest.fixture
def standing(secrets, _standing):
    """An agent that most tests share. No two of them use the same secret."""
    return _standing


@pytest.fixture
def name(secrets):
    return secrets.create()


def of_batch(agent, secret_id):
    body = json.dumps({"secrets": [{"secretId": secret_id, "refreshNow": True}]}).encode()
    return agent.request("POST", "/secretsmanager/batch", body=body).json()["secrets"][0]


# Secrets.


@pytest.mark.parametrize(
    "value",
    [
        " ",
        "\x00",
        "\x7f\x80\u2028\ufeff\uffff",
        "e\u0301\u200d\u202e",
        "😀" * 100,
        "\\u0041",
        "a" * 65_536,
        "é" * 32_768,
    ],
    ids=["space", "nul", "controls", "joined", "emoji", "escape", "64K", "64K-two-bytes"],
)
def test_values_come_as_they_are(standing, secrets, value):
    """On every route, from AWS and from memory, and as one value of a JSON document."""
    name = secrets.create(value=value)
    document = secrets.create(value=json.dumps({"a": value}))
    for _ in range(2):
        assert standing.get(name).value == standing.fetch(f"/v1/{name}").value == value
        picked = standing.get(document, jsonKey="a")
        assert (picked.status, picked.body) == (200, value.encode())
    assert of_batch(standing, name)["value"]["SecretString"] == value
    reference = standing.fetch(f"{PARAMETER}/aws/reference/secretsmanager/{name}&withDecryption=1")
    assert reference.json()["Parameter"]["Value"] == value


def test_empty_values(standing, secrets, name):
    """Text or bytes of no length are a value like any other."""
    secrets.edit(name, lambda answer: answer.update(SecretString=""))
    binary = secrets.create(value=b"\x00")
    secrets.edit(binary, lambda answer: answer.update(SecretBinary=""))
    for _ in range(2):
        assert standing.get(name).value == ""
        assert standing.get(binary).json()["SecretBinary"] == ""
        assert standing.get(name, jsonKey="a").json()["message"] == "the secret is not JSON"


def test_half_characters(standing, secrets, name):
    """JSON can hold half of a character, UTF-8 cannot: what is answered is JSON all the same."""
    page = json.dumps({"ARN": "a", "Name": name, "VersionId": "1" * 32, "SecretString": '{"a": "\ud83d"}'}).encode()
    secrets.html("GetSecretValue", status=200, page=page, kind=JSON, times=2, about=name)
    whole = standing.get(name)
    assert (whole.status, "SecretString" in whole.json()) == (200, True)
    assert standing.get(name, jsonKey="a", refreshNow="1").status in {200, 404}
    assert standing.get(name, refreshNow="1").value == "hunter2"


LIVES = {
    "deleted": lambda secrets, name: secrets.delete(name),
    "deleted-for-good": lambda secrets, name: secrets.delete(name, for_good=True),
    "denied": lambda secrets, name: secrets.deny(name),
}
SAID = {"deleted": DELETED, "deleted-for-good": NOT_FOUND, "denied": "is not authorized to perform"}


@pytest.mark.parametrize("life", LIVES)
def test_the_end_of_a_secret(standing, secrets, name, life):
    """Every route hears of it when AWS does, and no copy is left for the others."""
    targets = [SECRET + name, f"/v1/{name}", SECRET + secrets.arn(name), f"{SECRET}{name}&jsonKey=a"]
    for target in targets[:3]:
        assert standing.fetch(target).value == "hunter2"
    LIVES[life](secrets, name)
    assert of_batch(standing, name)["status"] == 400
    for target in targets:
        reply = standing.fetch(target)
        assert reply.status == 400
        assert SAID[life] in reply.json()["message"]


def test_a_secret_that_comes_back(standing, secrets, name):
    """Deleted for good and made anew under its name: the new one, and the ARN of the old one leads nowhere."""
    arn = secrets.arn(name)
    assert standing.get(name).value == standing.get(arn).value == "hunter2"
    secrets.delete(name, for_good=True)
    secrets.create(name, "another")
    assert secrets.arn(name) != arn
    assert standing.get(name, refreshNow="1").value == standing.get(name).value == "another"
    assert standing.get(arn, refreshNow="1").status == 400
    assert standing.get(name).value == "another"


# Credentials and clocks.


def test_credentials_that_expire(agent, secrets, name):
    """What is cached is served on; what is not is an error in AWS's words; once they are good again all is well."""
    running = agent(env=ONCE, ttl_seconds=1, own={"negative_ttl_seconds": 0})
    other = secrets.create()
    assert running.get(name).value == "hunter2"
    key = secrets.keys[ACCESS_KEY_ID]
    secrets.keys[ACCESS_KEY_ID] = replace(key, expires_at=1)
    reply = running.get(other)
    assert (reply.status, reply.json()["__type"]) == (400, "ExpiredTokenException")
    stale = eventually(lambda: "warning" in (got := running.get(name)).headers and got, "stale")
    assert stale.value == "hunter2"
    secrets.keys[ACCESS_KEY_ID] = key
    assert running.get(other).value == "hunter2"
    eventually(lambda: "warning" not in running.get(name).headers, "fresh")


@pytest.mark.parametrize("minutes", [-20, 20])
def test_clocks_that_differ(agent, secrets, name, minutes):
    """AWS's is ahead of ours or behind: that is no denial, so the copy is served until the clocks agree again."""
    running = agent(env=ONCE, own={"ttl": {name: 1}, "negative_ttl_seconds": 0})
    other = secrets.create()
    assert running.get(name).value == "hunter2"
    secrets.skew(minutes)
    assert running.get(other).status in {200, 400, 403}
    time.sleep(1.05)
    assert running.get(name).value == "hunter2"
    secrets.skew(0)
    eventually(lambda: running.get(other, refreshNow="1").status == 200, "there")
    assert running.get(name).value == "hunter2"


def test_nothing_to_start_with(agent, secrets):
    """No credentials, no region, nobody at AWS's address: it runs, and says what is missing where it is asked."""
    nothing = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_REGION": None}
    running = agent(env=ONCE | nothing, validate_credentials=False, log_level="debug")
    assert running.ping().status == 200
    assert running.fetch("/ready", token=None).status == 503
    for target in (f"{SECRET}a", "/v1/a", f"{PARAMETER}/a"):
        assert running.fetch(target).short == (500, '{"__type":"InternalFailure"}')
    assert of_batch(running, "a") == {"secretId": "a", "status": 500, "error": {"__type": "InternalFailure"}}
    running.wait_for_log("no credentials: nothing in the SDK's chain has any")
    half = agent(env=ONCE | {"AWS_REGION": None}, validate_credentials=False)
    assert half.fetch(f"{SECRET}a").status == 500
    half.wait_for_log("region")
    assert secrets.asked == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_token_files_that_are_none(agent, tmp_path, secrets):
    """A directory, a device, nothing, too much: the start fails with the reason, and a reload changes nothing."""
    token = tmp_path / "token"
    token.write_text("the-first-one")
    good = agent(env={"AWS_TOKEN": f"file://{token}"})
    large = tmp_path / "large"
    large.write_bytes(b"x" * 65_537)
    for path, why in (
        (tmp_path, "Is a directory (os error 21)"), ("/dev/null", "the token in the file is empty"),
        (tmp_path / "none", "No such file or directory (os error 2)"), (large, "the file is larger than 65536 bytes"),
    ):  # fmt: skip
        directory = tmp_path / f"start-{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        ended = Agent(directory, secrets, env={"AWS_TOKEN": f"file://{path}"}).ended()
        assert ended.status == 1
        assert why in ended.stderr
        assert "Traceback" not in ended.stderr
    good.wait_for_log("listening")
    eventually(lambda: good.fetch("/ready", token=None).status == 200, "ready")
    token.write_text("")
    good.signal(signal.SIGHUP)
    good.wait_for_log("Not reloaded, the former settings stay in force: Could not read SSRF token variable(s)")
    assert good.fetch("/pong", token="the-first-one").status == 404


# Bytes.

MINE, THEIRS = "the-token-of-mallory", "the-token-of-victor"


@pytest.fixture(scope="module")
def pair(tmp_path_factory, _secrets_server):
    """An agent with two clients; only one of them may read a secret, which is cached, and known by its whole request."""
    _secrets_server.reset()
    directory = tmp_path_factory.mktemp("pair")
    clients = []
    for name, token in (("mallory", MINE), ("victor", THEIRS)):
        (directory / name).write_text(token)
        clients.append({"name": name, "token_file": directory / name, "secrets": [f"{name}/*"]})
        _secrets_server.create(f"{name}/secret", f"what {name} may know")
    with (
        Agent(directory, _secrets_server, env=ONCE, own={"clients": clients, "negative_ttl_seconds": 300}) as agent,
        agent.wire() as victor,
    ):
        yield agent, victor
    said = agent.stdout + agent.stderr + agent.log
    assert "Traceback" not in said
    assert "Internal error" not in said
    assert "Unexpected" not in said
    _secrets_server.reset()


VICTIM = head("/v1/victor/secret", f"{HEADER}: {THEIRS}")
MALLORY = f"{HEADER}: {MINE}"
HEADS = [
    head("/v1/mallory/secret", MALLORY), head("/v1/victor/secret", MALLORY), head("/ping"), head("/metrics", MALLORY),
    head(f"{SECRET}mallory/secret", MALLORY, version="1.0"), head("/v1/mallory/../victor/secret", MALLORY),
    head("/v1/mallory/%2e%2e/victor/secret", MALLORY), head("http://localhost/v1/victor/secret", MALLORY),
    head("http://evil.example/v1/victor/secret", MALLORY), head("*", MALLORY, method="OPTIONS"),
    head("localhost:443", MALLORY, method="CONNECT"), head("/v1/victor/secret", MALLORY, "Host: a", "Host: b"),
    head("/v1/victor/secret", f"{HEADER}: x", MALLORY), head("/v1/victor/secret", f"{HEADER}:\r\n {MINE}"),
    head("/v1/victor/secret", MALLORY, "Connection: keep-alive, close, upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    head("/v1/mallory/secret", MALLORY, "Content-Length: 5") + b"GET /", head("/v1/mallory/secret", MALLORY, "Content-Length: -1"),
    head("/v1/mallory/secret", MALLORY, "Content-Length: 4", "Content-Length: 5") + b"abcde",
    head("/v1/mallory/secret", MALLORY, "Content-Length: 4", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    head("/v1/mallory/secret", MALLORY, "Transfer-Encoding: identity, chunked") + b"5\r\nabcde\r\n0\r\n\r\n",
    head("/secretsmanager/batch", MALLORY, "Content-Length: 28", method="POST") + b'{"secrets":["victor/secret"]}'[:28],
    head("/secretsmanager/batch", MALLORY, "Content-Length: 29", method="POST") + b'{"secrets":["victor/secret"]}',
    head("/secretsmanager/batch", MALLORY, "Content-Length: 9" + "9" * 30, method="POST"),
    head("/invalidate?secretId=victor/secret", MALLORY, method="POST"),
    head("/v1/mallory/secret", MALLORY, *(f"X-{number}: y" for number in range(99))),
    head("/v1/mallory/secret", MALLORY, "X: " + "y" * 70_000), head("/v1/" + "x" * 66_000, MALLORY),
    head("/v1/mallory/secret", MALLORY, "If-None-Match: *"), head("/v1/mallory/secret", MALLORY, "Expect: 100-continue"),
    head("/v1/mallory/secret", MALLORY).replace(b"\r\n", b"\n"), head("/v1/mallory/secret", MALLORY).replace(b"\r\n", b"\r"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", b"GET /v1/mallory/secret\r\n", b"\r\n\r\n\n\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), b"\x00" * 100, VICTIM[:-12], VICTIM[:-30],
]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(HEADS),
    st.sampled_from(HEADS),
    st.binary(max_size=60),
    st.sampled_from(
        [b" ", b"\t", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\x00", b":", b"HTTP/1.1", b"GET ", b"x" * 340_000]
    ),
)


def twisted(draw, data):
    """The stream with some of its bytes changed, lost or doubled."""
    stream = bytearray(data)
    for _ in range(draw(st.integers(0, 3))):
        if stream:
            at = draw(st.integers(0, len(stream) - 1))
            stream[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
    return bytes(stream)


@st.composite
def streams(draw):
    """What somebody sends on one connection, and where it is cut into packets."""
    data = twisted(draw, b"".join(draw(st.lists(PIECES, min_size=1, max_size=5))))
    cuts = sorted(draw(st.sets(st.integers(0, len(data)), max_size=6)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]


def said_to(agent, packets):
    """All that the agent says to packets, once nothing more is to come; it must come to an end."""
    said = b""
    with socket.create_connection(("127.0.0.1", agent.port), PATIENCE) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):  # it may well have heard enough
            for packet in packets:
                connection.sendall(packet)
            with contextlib.suppress(OSError):  # that it has closed is another error here
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65_536):
                said += more
    return said


def check(pair, packets):
    """Nobody else notices, and nobody learns what is not his."""
    agent, victor = pair
    victor.send(VICTIM)
    said = said_to(agent, packets)
    assert b"what victor may know" not in said
    assert not said or said.startswith(b"HTTP/1.1 ")
    assert victor.reply().value == "what victor may know"
    assert agent.ping().short == (200, "healthy")


@pytest.mark.parametrize("data", HEADS, ids=range(len(HEADS)))
def test_each_oddity(pair, data):
    """By itself, and behind a good request in the same packet."""
    check(pair, [data])
    check(pair, [HEADS[0] + data])


@settings(max_examples=60)
@given(packets=streams())
def test_any_bytes(pair, packets):
    """Whatever comes in whatever packets: an answer or an end, and the others are served as ever."""
    check(pair, packets)


def test_requests_that_are_known_cut_anywhere(pair):
    """A request that is known by its bytes is not known by their beginning, nor by what comes behind."""
    agent, victor = pair
    for _ in range(3):
        victor.send(VICTIM)
        assert victor.reply().value == "what victor may know"
    for end in range(1, len(VICTIM), 7):
        assert b"what victor may know" not in said_to(agent, [VICTIM[:end]])
        assert said_to(agent, [VICTIM[:end], VICTIM[end:]]).endswith(b'"}')
    assert said_to(agent, [VICTIM + VICTIM[:-4]]).count(b"what victor may know") == 1
    assert said_to(agent, [VICTIM * 3]).count(b"what victor may know") == 3
    other = VICTIM.replace(THEIRS.encode(), MINE.encode())
    assert b"what victor may know" not in said_to(agent, [other])
    assert TOKEN.encode() not in said_to(agent, [other])


def test_floods(pair):
    """Hundreds of requests in one packet whose answers nobody reads at first: all are answered, in order."""
    agent, _ = pair
    with agent.wire() as wire:
        wire.send((head("/v1/mallory/secret", MALLORY) + head("/v1/victor/secret", MALLORY)) * 300)
        for _ in range(300):
            assert wire.reply().value == "what mallory may know"
            assert wire.reply().status == 403
