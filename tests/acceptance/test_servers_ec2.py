"""`exec --ec2-server`: instance metadata for one command, in networks of the tests' own."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest

from fakes.cloud import Cloud
from harness.agent import PATIENCE_SECONDS
from harness.home import Home, config_c1, kill_all
from harness.namespace import ADDRESS, as_user
from harness.served import Served, ask, python

if sys.platform == "win32":
    pytest.skip("signals are others there", allow_module_level=True)

METADATA = f"http://{ADDRESS}"
TTL, TOKEN = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
LOOPBACK = ["127.0.0.1/8"]

# Asks like an SDK: a token, then each path that is a line of standard input; a line of JSON for each answer.
ASKS = f"""\
import http.client, json, os, sys
from urllib.parse import urlsplit
place = urlsplit(os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{METADATA}"))
def ask(method, path, **headers):
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=20)
    connection.request(method, path, headers={{name.replace("_", "-"): value for name, value in headers.items()}})
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body
token = ask("PUT", "/latest/api/token", X_aws_ec2_metadata_token_ttl_seconds="21600")
print(json.dumps([token[0], len(token[1]) > 20, dict(os.environ)]), flush=True)
for line in sys.stdin:
    path, version = line.split()
    headers = {{"X_aws_ec2_metadata_token": token[1]}} if version == "2" else {{}}
    print(json.dumps(ask("GET", path, **headers)), flush=True)
"""


@pytest.fixture
def inside(network, tmp_path):
    """A home and an AWS in a network of their own, where this thread is, too."""
    with network.inside(), Cloud().serve() as cloud:
        home = Home(tmp_path)
        config_c1(home, cloud)
        yield home


class Metadata(Served):
    """A command that asks for metadata."""

    def __init__(self, home, *words, **how) -> None:
        super().__init__(home, *words, command=python(ASKS), **how)
        self.status, self.has_token, self.variables = json.loads(self.first)

    def get(self, path, version=2):
        self.process.stdin.write(f"{path} {version}\n".encode())
        self.process.stdin.flush()
        return tuple(json.loads(self.line()))

    def end(self):
        """Have the command end; what came of it."""
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr.decode()


@pytest.fixture
def served(request):
    """Start a command with metadata: ``served(home, "--ec2-server", "ro")``."""

    def start(home, *words, **how):
        made = Metadata(home, *words, **how)
        request.addfinalizer(
            lambda: (made.process.poll() is None and kill_all(made.process), made.process.__exit__(None, None, None))
        )
        return made

    return start


def test_what_the_command_gets(inside, network, served):
    """What SDKs and tools ask for, with tokens; no variable but the usual ones; nothing without a token."""
    command = served(inside, "--ec2-server", "ro")
    assert (command.status, command.has_token) == (200, True)
    assert network.addresses() == [*LOOPBACK, f"{ADDRESS}/32"]
    assert not {
        name for name in command.variables if re.match("AWS_(CONTAINER|EC2|ACCESS|SECRET|SESSION|PROFILE)", name)
    }
    role = "/latest/meta-data/iam/security-credentials/"
    assert command.get(role) == (200, "local-credentials")
    status, body = command.get(role + "local-credentials")
    credentials = json.loads(body)
    assert (status, list(credentials)) == (
        200,
        ["AccessKeyId", "Code", "Expiration", "LastUpdated", "SecretAccessKey", "Token", "Type"],
    )
    assert (credentials["Code"], credentials["Type"]) == ("Success", "AWS-HMAC")
    assert command.get("/latest/meta-data/instance-id/") == (200, "strongroom")
    assert json.loads(command.get("/latest/meta-data/iam/info/")[1])["Code"] == "Success"
    document = json.loads(command.get("/latest/dynamic/instance-identity/document")[1])
    assert (document["region"], document["accountId"]) == ("us-east-1", "111111111111")
    assert command.get("/latest/meta-data/placement/region") == (200, "us-east-1")
    assert command.get("/latest/meta-data/placement/availability-zone/") == (200, "us-east-1a")
    assert command.get("/latest/nothing")[0] == 404
    assert command.get(role, version=1)[0] == 401
    status, stderr = command.end()
    assert status == 0
    assert re.fullmatch(rf"strongroom: refused a request of {re.escape(ADDRESS)}:\d+: no token, .*\n", stderr)
    assert network.addresses() == LOOPBACK


def test_nobody_else(inside, network, served):
    """Processes that the command did not start, other users and other names of the host get nothing; none can end it."""
    command = served(inside, "--ec2-server", "--imdsv1", "ro")
    path = "/latest/meta-data/iam/security-credentials/local-credentials"
    assert command.get(path, version=1)[0] == 200
    for reply in (ask(METADATA, path=path), ask(METADATA, path="/stop")):
        assert reply.status == 403
        assert b"none of the processes started here" in reply.body
    other = subprocess.run(
        as_user(65534, "curl", "-sS", "-m", "10", METADATA + path), check=False, capture_output=True, text=True, cwd="/"
    )
    assert "the client belongs to another user, number 65534" in other.stdout
    assert "SecretAccessKey" not in other.stdout
    assert command.get("/stop", version=1)[0] == 404
    assert command.get(path, version=1)[0] == 200
    status, stderr = command.end()
    assert status == 0
    assert len(stderr.splitlines()) == 1  # of what is refused again and again, the first is told
    assert "--any-process would let it" in stderr


def test_any_process(inside, served):
    """Whoever asks, with a warning; other names for the host are still refused."""
    command = served(inside, "--ec2-server", "--any-process", "ro")
    token = ask(METADATA, path="/latest/api/token", method="PUT", headers={TTL: "60"}).body.decode()
    assert ask(METADATA, path="/latest/meta-data/instance-id", headers={TOKEN: token}).body == b"strongroom"
    for host in ("localhost", "127.0.0.1", "evil.example", f"{ADDRESS}:81", f"{ADDRESS}.evil.example"):
        assert ask(METADATA, path="/latest/meta-data/", headers={TOKEN: token, "Host": host}).status == 401
    for header in ("X-Forwarded-For", "Origin"):
        assert ask(METADATA, path="/latest/meta-data/", headers={TOKEN: token, header: "x"}).status == 403
    status, stderr = command.end()
    assert status == 0
    assert stderr.startswith("strongroom: warning: --any-process: every process, not only those of the command, ")


def test_two_at_once(inside, network, served):
    """The second does not start, and says who is there; the first goes on."""
    command = served(inside, "--ec2-server", "ro")
    result = inside.run("exec", "--ec2-server", "ro", "--", "true")
    assert (result.status, result.stdout) == (1, "")
    assert re.fullmatch(
        rf"strongroom: error: exec: {re.escape(ADDRESS)}:80 is taken by process \d+ \(.*\)\n"
        r"strongroom: hint: end that; --unprivileged takes another port\n",
        result.stderr,
    )
    assert command.get("/latest/meta-data/instance-id")[0] == 200
    assert command.end() == (0, "")
    assert network.addresses() == LOOPBACK


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["TERM", "KILL"])
def test_the_end(inside, network, served, number):
    """However strongroom ends, the address is taken away."""
    command = served(inside, "--ec2-server", "ro")
    command.process.send_signal(number)
    if number == signal.SIGTERM:
        assert command.process.wait(20) == 143
    else:
        command.process.wait(20)
        # The command goes on; the helper has noticed once the address is gone.
        deadline = time.monotonic() + PATIENCE_SECONDS
        while network.addresses() != LOOPBACK:
            assert time.monotonic() < deadline
    assert network.addresses() == LOOPBACK


def test_what_is_left_over(inside, network, served):
    """An address that somebody left is used, and taken away in the end."""
    network.run("ip", "address", "add", f"{ADDRESS}/32", "dev", "lo")
    command = served(inside, "--ec2-server", "ro")
    assert command.get("/latest/meta-data/instance-id")[0] == 200
    status, stderr = command.end()
    assert (status, stderr) == (0, f"strongroom: {ADDRESS} was on this machine already; it is taken away at the end\n")
    assert network.addresses() == LOOPBACK


def test_unprivileged(c1, served):
    """On another port, of which the command is told; without root."""
    command = served(c1, "--ec2-server", "--unprivileged", "ro", env={"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"})
    endpoint = command.variables["AWS_EC2_METADATA_SERVICE_ENDPOINT"]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", endpoint)
    assert not {"AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE"} & set(command.variables)
    assert command.get("/latest/meta-data/iam/security-credentials/") == (200, "local-credentials")
    if sys.platform in {"linux", "darwin"}:
        assert ask(endpoint, path="/latest/meta-data/").status == 403
    assert command.end()[0] == 0
