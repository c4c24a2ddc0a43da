"""No secret is ever told: planted ones are looked for in all that the agent writes, whatever happens to it."""

import asyncio
import base64
import gzip
import json
import signal
import socket
import sys
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from fakes.secrets import ACCOUNT
from harness.agent import HEADER, TOKEN, Agent, eventually, head, toml
from strongroom.agent.app import App
from strongroom.agent.config import Config
from strongroom.agent.generations import GENERATIONS
from strongroom.agent.log import ROLL_BYTES, Log
from strongroom.agent.metrics import Metrics
from strongroom.agent.policy import Policy
from strongroom.serve.listener import Limits, Server

KEY_ID, KEY = "AKIACANARYCANARYCAN0", "canary4711+secret/access+key"
FILE_KEY, FILE_TOKEN = "canary4712+key/of+the+file", "canary4713+session/token+of+the+file"
MAIN, CLIENT, METRICS, WRONG = (f"canary471{number}-token" for number in range(4, 8))
VALUE, BINARY, PART, PARAMETER = "canary4718-value", b"canary4719-bytes", "canary4720-part", "canary4721-parameter"
CANARIES = {KEY, FILE_KEY, FILE_TOKEN, MAIN, CLIENT, METRICS, WRONG, VALUE, BINARY.decode(), PART, PARAMETER, TOKEN}
LEVELS = ("debug", "info", "warn", "error", "none")
JSON = "application/x-amz-json-1.1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/Canary"
SECRET = "/secretsmanager/get?secretId="
GET_PARAMETER = "/systemsmanager/parameters/get?name="
LOG_NAMES = {"agent": "secrets_manager_agent.log", "sm": "secrets_manager_provider.log"}

posix = pytest.mark.skipif(sys.platform == "win32", reason="the agent is reloaded by a signal that Windows has not")


def forms(canaries):
    """The canaries as they are, and as base64, percent-encoded and in Python's and JSON's spelling."""
    for canary in canaries:
        yield canary
        yield quote(canary, safe="")
        for pad in range(3):  # wherever in a longer text it may stand
            encoded = base64.b64encode(b"x" * pad + canary.encode())
            yield encoded[4 if pad else 0 : len(encoded) - 4].decode()


def look(text, where, *canaries):
    """No canary is in a text."""
    for canary in forms(canaries or CANARIES):
        assert canary not in text, f"{canary} is told in {where}"


def look_in_files(directory, *but):
    """Nor in any file below a directory."""
    found = 0
    for path in directory.rglob("*"):
        if path.is_file() and path not in but:
            data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            look(data.decode("latin-1"), path)
            found += path.suffix == ".gz"
    return found


class Scene:
    """An agent, what it may serve, and everything that can happen to it."""

    def __init__(self, secrets, directory, word, *, log_to_file):
        self.secrets, self.directory = secrets, directory
        self.tokens = [directory / name for name in ("main", "client", "metrics")]
        for path, token in zip(self.tokens, (MAIN, CLIENT, METRICS), strict=True):
            path.write_text(token)
            path.chmod(0o600)
        self.name, self.binary, self.json = (secrets.create(value=value) for value in (
            VALUE, BINARY, json.dumps({"a": PART})
        ))  # fmt: skip
        self.parameter, self.secure = "/canary/plain", "/canary/secure"
        secrets.parameter(self.parameter, PARAMETER)
        secrets.parameter(self.secure, json.dumps({"a": PART}), "SecureString")
        secrets.role(ROLE)
        secrets.key(KEY_ID, KEY, user="canary", account=ACCOUNT)
        clients = [
            {"name": "one", "token_file": self.tokens[1], "secrets": ["*", "ssm:*"], "roles": [ROLE]},
            {"name": "main", "token_file": self.tokens[0], "secrets": ["nothing"]},
        ]
        self.settings = {
            "http_port": 0, "log_level": "debug", "log_to_file": log_to_file, "ttl_seconds": 0,
            "prefetch": {"secrets": [{"secret_id": self.name}, {"secret_id": "none", "role_arn": ROLE}]},
            "own": {
                "clients": clients, "metrics_token_file": self.tokens[2], "access_log": True, "negative_ttl_seconds": 0,
                "attempt_timeout_seconds": 1.0, "total_timeout_seconds": 1.5, "metrics_secret_names": True,
            },
        }  # fmt: skip
        logs = directory / "logs"
        logs.mkdir()
        (logs / LOG_NAMES[word]).write_bytes((b"x" * 99 + b"\n") * (ROLL_BYTES // 100 - 200))
        keys = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_MAX_ATTEMPTS": "1"}
        env = keys | {"AWS_TOKEN": f"file://{self.tokens[0]}"}
        self.agent = Agent(directory, secrets, word=word, env=env, argv=("--debug",), **self.settings)

    def ask(self, target, token=CLIENT, method="GET", body=b"", may_tell=True, **headers):
        """Ask, and see that only a good answer to one who may have it tells something."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        reply = self.agent.request(method, target, headers, body, token=token)
        if reply.status != 200 or not may_tell:
            look(reply.text + str(reply.headers), target)
        return reply.status

    def good(self):
        """What goes well."""
        for secret_id in (self.name, self.binary, self.json):
            assert self.ask(SECRET + secret_id) == self.ask(f"/v1/{secret_id}") == 200
            assert self.ask(f"{SECRET}{secret_id}&refreshNow=1&roleArn={ROLE}") == 200
            assert self.ask(SECRET + secret_id, If_None_Match="*") == 304
            assert self.ask(GET_PARAMETER + f"/aws/reference/secretsmanager/{secret_id}&withDecryption=1") == 200
        for parameter in (self.parameter, self.secure):
            assert self.ask(GET_PARAMETER + parameter) == 200
            assert self.ask(f"{GET_PARAMETER}{parameter}&withDecryption=true") == 200
        assert self.ask(f"{SECRET}{self.json}&jsonKey=a") == 200
        assert (
            self.ask("/secretsmanager/batch", method="POST", body=json.dumps({"secrets": [self.name, "x"]}).encode())
            == 200
        )
        assert self.ask(f"/invalidate?secretId={self.name}", method="POST") == 200

    def refused(self):
        """What we refuse, and what AWS does."""
        for token in (WRONG, MAIN, METRICS, None):
            assert self.ask(SECRET + self.name, token=token) == 403
        assert self.ask(SECRET + self.name, token=None, Authorization=f"Bearer {WRONG}") == 403
        assert self.ask("/metrics", token=None, Authorization=f"Bearer {WRONG}") == 403
        assert self.ask(SECRET + self.name, Host="evil.example") == 421
        assert self.ask(SECRET + self.name, X_Forwarded_For="1.2.3.4") == 400
        assert self.ask(f"{SECRET}{self.name}&token={WRONG}") == 400
        assert self.ask(f"{SECRET}{self.name}&roleArn={ROLE}x") == 403
        for query in (f"{self.json}&jsonKey=b", f"{self.name}&jsonKey=a", f"{self.binary}&jsonKey=a"):
            assert self.ask(SECRET + query) == 404
        assert self.ask(f"{SECRET}{self.name}&versionId={'0' * 32}") == self.ask(f"{SECRET}none") == 400
        for data in (
            b"GET / HTTP/9\r\n\r\n", head("/", f"{HEADER}: {CLIENT}", f"no header {CLIENT}"),
            head("/", f"{HEADER}: {CLIENT}\x00"), f"{CLIENT}\r\n\r\n".encode(),
        ):  # fmt: skip
            look(self.agent.raw(data).decode("latin-1"), data)

    def troubled(self):
        """What comes from AWS, or from whoever answers in its place: the secret, but nowhere where it belongs."""
        good = {"ARN": "arn:x", "Name": self.name, "VersionId": "1" * 32, "SecretString": VALUE, "CreatedDate": 1}
        whole = json.dumps(good).encode()
        for status, body, kind in (
            (200, whole[:-9], JSON), (200, b"<html>" + whole + b"</html>", "text/html"), (200, b"[" + whole + b"]", JSON),
            (400, whole, JSON), (500, whole, JSON), (502, b"<html>" + whole + b"</html>", "text/html"), (403, whole, "text/xml"),
            (400, b'{"__type":"InvalidRequestException","SecretString":"' + VALUE.encode() + b'"}', JSON),
            (400, b'{"__type":"ResourceNotFoundException","Message":"no secret ' + self.name.encode() + b'"}', JSON),
            (302, whole, JSON), (200, whole.replace(b"{", b"{{"), JSON), (200, whole + whole, JSON), (200, b"\xff" + whole, JSON),
        ):  # fmt: skip
            self.secrets.html("GetSecretValue", status=status, page=body, kind=kind, about=self.name)
            assert self.ask(f"{SECRET}{self.name}&refreshNow=1") >= 400
            self.secrets.html("GetParameter", status=status, page=body, kind=kind, about=self.parameter)
            self.ask(f"{GET_PARAMETER}{self.parameter}&refreshNow=1", may_tell=status == 200)
        wrong = {
            "SecretString": {"a": VALUE},
            "SecretBinary": VALUE + "!",
            "CreatedDate": VALUE,
            "VersionStages": [[VALUE]],
        }
        for member, value in wrong.items():
            page = json.dumps(good | {member: value}).encode()
            self.secrets.html("GetSecretValue", status=200, page=page, kind=JSON, about=self.name)
            self.ask(f"{SECRET}{self.name}&refreshNow=1")
        for member in ("Value", "SourceResult", "LastModifiedDate", "Version", "Name"):
            page = json.dumps({"Parameter": {member: [PARAMETER], "SourceResult": PARAMETER}}).encode()
            self.secrets.html("GetParameter", status=200, page=page, kind=JSON, about=self.parameter)
            self.ask(f"{GET_PARAMETER}{self.parameter}&refreshNow=1&jsonKey=a")
        for code in ("ExpiredTokenException", "ThrottlingException", "InternalServiceError"):
            self.secrets.fail("GetSecretValue", code=code, status=400, message="m", about=self.name)
            assert self.ask(f"{SECRET}{self.name}&refreshNow=1") == 400
        self.secrets.cut("GetSecretValue", about=self.name)
        self.secrets.cut("GetSecretValue", about=self.json, late=True)
        for name in (self.name, self.json):
            assert self.ask(f"{SECRET}{name}&refreshNow=1") >= 500
        self.secrets.heal()
        with self.secrets.down():
            assert self.ask(f"{SECRET}{self.name}&refreshNow=1") == 502

    def reloaded(self, level):
        """Settings that are read anew, with mistakes at first."""
        asked = [json.dumps(MAIN)[1:-1] + "\x01", f"{MAIN} \n{MAIN}", CLIENT]
        for token in asked:
            self.tokens[0].write_text(token)
            self.agent.signal(signal.SIGHUP)
        self.agent.config.write_text(toml(self.settings) + f"\nssrf_env_variables = 7 # {WRONG}\n[x\n")
        self.agent.signal(signal.SIGHUP)
        self.ask("/ping", token=None)
        self.tokens[0].write_text(MAIN)
        self.agent.config.write_text(toml(self.settings | {"log_level": level}))
        self.agent.signal(signal.SIGHUP)
        self.ask("/ping", token=None)


@posix
@pytest.mark.parametrize("log_to_file", [True, False], ids=["file", "console"])
@pytest.mark.parametrize("word", ["agent", "sm"])
def test_whatever_happens(tmp_path, secrets, word, log_to_file):
    """At no level, to no place: no value, no token, no key, in no spelling; and no traceback."""
    scene = Scene(secrets, tmp_path, word, log_to_file=log_to_file)
    with scene.agent as agent:
        eventually(lambda: scene.ask("/ready", token=None) == 200, "ready")
        for level in LEVELS:
            scene.reloaded(level)
            scene.good()
            scene.refused()
            if level in {"debug", "error"}:
                scene.troubled()
            assert scene.ask("/metrics", token=METRICS, may_tell=False) == 200
            assert scene.ask("/ready", token=None, may_tell=False) in {200, 503}
        process = Path("/proc") / str(agent.process.pid)
        if process.exists():
            look((process / "cmdline").read_text(), "the command line")
            assert not any(path.read_text() for path in process.glob("task/*/children")), "it has started a program"
    said = agent.log if log_to_file else agent.stdout
    assert "Failed" in said or "GetSecretValue" in said, "the log is where it is looked for"
    assert "access client=one" in said
    look(agent.stdout + agent.stderr, "output")
    if log_to_file:
        eventually(lambda: list((tmp_path / "logs").rglob("*.gz")), "an archive")
    kept = [key for key in secrets.keys.values() if key.kind == "role"]
    look(
        agent.stdout + agent.stderr + agent.log,
        "output",
        *(each for key in kept for each in (key.secret_access_key, key.session_token)),
    )
    assert look_in_files(tmp_path, *scene.tokens) == log_to_file


@pytest.mark.parametrize("key", [FILE_KEY, f"{FILE_KEY}\x01", f"{FILE_KEY}\u00e9"], ids=["good", "control", "accent"])
def test_a_credentials_file(tmp_path, agent, secrets, key):
    """What is in it stays in it, whether AWS takes it or not, whether it can be sent or not."""
    file = tmp_path / "credentials"
    file.write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {key}\naws_session_token = {FILE_TOKEN}\n"
        f"{WRONG}\n[unfinished {WRONG}\n"
    )
    file.chmod(0o640)
    running = agent(credentials_file_path=file, log_level="debug", env={"AWS_MAX_ATTEMPTS": "1"}, argv=("--debug",))
    running.wait_for_log("credentials from")
    assert running.get("x").status >= 400
    file.write_text(file.read_text().replace("[default]", f"[{FILE_KEY}]"))
    look(running.get("x", refreshNow="1").text, "an answer")
    running.stop()
    look(running.stdout + running.stderr, "output")
    look_in_files(running.directory)


STARTS = {
    "control-character": ({"AWS_TOKEN": f"{MAIN}\n{MAIN}"}, {}),
    "space-around": ({"AWS_TOKEN": f"{MAIN} "}, {}),
    "no-file": ({"AWS_TOKEN": "file:///nowhere"}, {}),
    "key-that-is-refused": ({"AWS_SECRET_ACCESS_KEY": KEY}, {}),
    "key-that-cannot-be-sent": ({"AWS_SESSION_TOKEN": f"{FILE_TOKEN}\n{FILE_TOKEN}", "AWS_TOKEN": MAIN}, {}),
    "unknown-option": ({"AWS_TOKEN": MAIN}, {"own": {"unknown": True}}),
    "clients-with-one-token": ({"AWS_TOKEN": MAIN}, {"own": {"clients": [
        {"name": "a", "token_file": "TOKEN", "secrets": []}, {"name": "b", "token_file": "TOKEN", "secrets": []},
    ]}}),
}  # fmt: skip


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("word", ["agent", "sm"])
def test_starts_that_fail(tmp_path, secrets, word, start):
    """What they say tells what is wrong, and not with which value."""
    env, settings = STARTS[start]
    (tmp_path / "token").write_text(CLIENT)
    text = toml({"http_port": 0, "log_level": "debug"} | settings).replace(
        '"TOKEN"', json.dumps(str(tmp_path / "token"))
    )
    ended = Agent(tmp_path, secrets, word=word, env=env, text=text, argv=("--debug",)).ended()
    assert ended.status == 1
    assert ended.stderr
    assert "Traceback" not in ended.stderr
    look(ended.stdout + ended.stderr, "output")
    look_in_files(tmp_path, tmp_path / "token")


def test_check(home, tmp_path):
    """``sm check`` names files and clients, not what is in them."""
    (tmp_path / "token").write_text(CLIENT)
    config = tmp_path / "agent.toml"
    config.write_text(
        toml({"own": {"metrics_token_file": tmp_path / "token", "clients": [
            {"name": "one", "token_file": tmp_path / "token", "secrets": ["*"]},
        ]}})
    )  # fmt: skip
    env = {"AWS_TOKEN": MAIN, "AWS_SECRET_ACCESS_KEY": KEY, "AWS_ACCESS_KEY_ID": KEY_ID}
    result = home.run("sm", "check", "--debug", "--config", str(config), env=env)
    assert (result.status, "one" in result.stdout) == (0, True)
    look(result.stdout + result.stderr, "output")


# Mistakes of our own.


class Broken:
    """A service in which everything fails, with the secret in its mouth."""

    date = b"Thu, 01 Jan 1970 00:00:00 GMT"
    flights = 0
    cache = ()

    def __init__(self, *, is_late):
        self.is_late = is_late

    def at_once(self, *_args, **_options):
        if not self.is_late:
            raise ValueError(VALUE, {"SecretString": VALUE})

    def ask(self, ask, **_options):
        return SimpleNamespace(ask=ask)

    async def wait(self, _pending):
        raise KeyError(VALUE)


class Records:
    """A log's writer."""

    def __init__(self):
        self.text = ""

    def write(self, record):
        self.text += record.decode()
        return True

    def close(self):
        pass


@pytest.mark.parametrize("is_late", [False, True], ids=["at-once", "later"])
@pytest.mark.parametrize("word", ["agent", "sm"])
def test_mistakes_of_our_own(capfd, word, is_late):
    """An exception that nobody foresaw is a 500 for its request; its text is told nowhere, its type and place are."""
    writer, config, generation = Records(), Config(), GENERATIONS[word]
    app = App(
        config=config, generation=generation, policy=Policy(config, MAIN.encode(), None), service=Broken(is_late=is_late),
        log=Log("debug", generation.log_target, writer), metrics=Metrics(),
    )  # fmt: skip

    async def serve():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: pytest.fail(str(context)))
        server = Server(app, Limits(10, 10, 10), loop)
        listening = socket.create_server(("127.0.0.1", 0))
        await server.listen([listening])
        reader, sender = await asyncio.open_connection(*listening.getsockname())
        lines = f"{HEADER}: {MAIN}"
        batch = b'{"secrets": ["x"]}'
        sender.write(
            head(f"{SECRET}x", lines) + head("/v1/x?jsonKey=a", lines) + head(f"{GET_PARAMETER}/x", lines)
            + head("/secretsmanager/batch", lines, f"Content-Length: {len(batch)}", method="POST") + batch
            + head("/ping", "Connection: close")
        )  # fmt: skip
        said = await asyncio.wait_for(reader.read(), 20)
        sender.close()
        await server.drain(1)
        return said.decode()

    said = asyncio.run(serve())
    assert said.count("HTTP/1.1 500 Internal Server Error\r\n") == said.count('{"__type":"InternalFailure"}') == 4
    assert said.endswith("healthy")
    assert writer.text.count("Internal error - ") == 4
    assert ("KeyError in wait, line " if is_late else "ValueError in at_once, line ") in writer.text
    printed = capfd.readouterr()
    for told in (said, writer.text, printed.out + printed.err, app.metrics.render({}).decode()):
        look(told, "what was told of a mistake")
        assert "Traceback" not in told
