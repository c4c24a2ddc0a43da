"""Clients that others wrote, with their own ideas of HTTP: curl, Python's libraries, a metrics scraper."""

import http.client
import json
import shutil
import socket
import subprocess
import urllib.error
import urllib.request

import pytest
import requests

from harness.agent import HEADER, PATIENCE_SECONDS, TOKEN, Agent

T = f"{HEADER}: {TOKEN}"
CURL = shutil.which("curl")
SECRET = "/secretsmanager/get?secretId="

needs_curl = pytest.mark.skipif(CURL is None, reason="curl is not installed")


def has_ipv6():
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def _standing(tmp_path_factory, _secrets_server):
    directory = tmp_path_factory.mktemp("agent")
    with Agent(directory, _secrets_server, own={"unix_socket": directory / "s"}) as agent:
        yield agent


@pytest.fixture
def standing(secrets, _standing):
    """An agent that all tests share. No two of them use the same secret."""
    return _standing


@pytest.fixture
def name(secrets):
    return secrets.create()


def curl(*words, status=frozenset({0})):
    """Run curl; what it printed. It must end with one of *status*."""
    line = [CURL, "--silent", "--show-error", "--noproxy", "*", "--max-time", str(PATIENCE_SECONDS), *words]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=2 * PATIENCE_SECONDS, check=False)
    assert ended.returncode in status, ended
    return ended.stdout


@needs_curl
@pytest.mark.parametrize("version", ["0.9", "1.0", "1.1", "2"])
def test_curl(standing, name, version):
    """Each version that it offers: an upgrade to 2 is not taken, and the request is answered by 1.1."""
    url = f"{standing.url}{SECRET}{name}"
    shown = "1.1" if version == "0.9" else version
    flags = ("--http0.9",) if version == "0.9" else (f"--http{shown}",)
    for _ in range(2):
        said = curl(*flags, "-H", T, "-w", "\\n%{http_version} %{response_code}", url)
        body, _, end = said.rpartition("\n")
        assert json.loads(body)["SecretString"] == "hunter2"
        assert end == "1.1 200"


@needs_curl
def test_curl_with_knowledge_that_it_has_not(standing, name):
    """HTTP/2 right away is refused and the connection closed, so that it need not wait."""
    # What it hears is no HTTP/2, or it hears nothing any more: it has sent more than the agent has read.
    curl("--http2-prior-knowledge", "-H", T, f"{standing.url}{SECRET}{name}", status={16, 52, 55, 56})
    assert standing.get(name).value == "hunter2"


@needs_curl
def test_curl_asks_twice(standing, secrets):
    """Two secrets through one connection, told apart by its own count of connections."""
    urls = [f"{standing.url}/v1/{secrets.create(value=value)}?jsonKey=a" for value in ('{"a":"one"}', '{"a":"two"}')]
    said = curl("-H", T, "-w", " %{num_connects}\\n", urls[0], urls[1])
    assert said == "one 1\ntwo 0\n"


@needs_curl
def test_curl_head_conditions_and_failures(standing, name, tmp_path):
    """``-I``, ``--etag-compare``, ``--fail``, ``--data``: as with any other server."""
    url = f"{standing.url}{SECRET}{name}"
    head = curl("-I", "-H", T, url)
    assert head.startswith("HTTP/1.1 200 OK")
    assert "content-type: application/json" in head
    etag = tmp_path / "etag"
    assert "hunter2" in curl("-H", T, "--etag-save", str(etag), url)
    assert curl("-H", T, "--etag-compare", str(etag), "-w", "%{response_code}", url) == "304"
    curl("--fail", "-H", f"{HEADER}: wrong", url, status={22})
    body = curl("-H", T, "--data", json.dumps({"secrets": [name]}), f"{standing.url}/secretsmanager/batch")
    assert json.loads(body)["secrets"][0]["value"]["SecretString"] == "hunter2"
    large = json.dumps({"secrets": [name], "x": "y" * 5000})  # for which curl waits to be told to go on
    said = curl("-H", T, "-H", "Expect: 100-continue", "--data", large, "-w", "%{response_code}",
                f"{standing.url}/secretsmanager/batch")  # fmt: skip
    assert said.endswith("400")


@needs_curl
def test_curl_by_the_name_of_this_machine(standing, name):
    """``localhost`` is ::1 first for many; both answer."""
    addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    for host in ("localhost", *addresses):
        assert "hunter2" in curl("-g", "-H", T, f"http://{host}:{standing.port}{SECRET}{name}")
    for flag, is_there in (("-4", True), ("-6", has_ipv6())):
        if is_there:
            assert "hunter2" in curl(flag, "-H", T, f"http://localhost:{standing.port}{SECRET}{name}")


@needs_curl
@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no Unix sockets")
def test_curl_on_the_unix_socket(standing, name):
    """The same answers there; the host in the URL is only a word."""
    for host in ("localhost", "agent"):
        said = curl("--unix-socket", str(standing.directory / "s"), "-H", T, f"http://{host}{SECRET}{name}")
        assert json.loads(said)["SecretString"] == "hunter2"
    said = curl("--unix-socket", str(standing.directory / "s"), "-w", " %{response_code}", f"http://x{SECRET}{name}")
    assert said == "Bad Token 403"


@needs_curl
def test_curl_through_a_proxy(standing, name):
    """Who takes the agent for a proxy gets what it asks of the agent itself, and nowhere else."""
    # Not --noproxy here.
    words = [CURL, "-sS", "-m", "20", "-x", standing.url, "-w", " %{response_code}", "-H", T]
    for url, expected in (
        (f"{standing.url}/v1/{name}", "200"), ("http://evil.example/v1/x", "421"), ("https://evil.example/", "000"),
    ):  # fmt: skip
        ended = subprocess.run([*words, url], capture_output=True, text=True, timeout=40, check=False)
        assert ended.stdout.endswith(expected), ended


def test_http_client(standing, secrets):
    """Python's own, over one connection: secrets, errors, bodies, HEAD."""
    name = secrets.create(value="x" * 65_536)
    connection = http.client.HTTPConnection("localhost", standing.port, timeout=PATIENCE_SECONDS)
    try:
        for _ in range(3):
            for method, target, status in (
                ("GET", f"{SECRET}{name}", 200), ("HEAD", f"{SECRET}{name}", 200), ("GET", "/pong", 404),
                ("DELETE", f"/v1/{name}", 405), ("GET", f"/v1/{name}", 200),
            ):  # fmt: skip
                connection.request(method, target, headers={HEADER: TOKEN})
                response = connection.getresponse()
                body = response.read()
                assert (response.status, response.version) == (status, 11)
                assert (len(body) > 65_536) == (status == 200 and method == "GET")
        connection.request("POST", "/secretsmanager/batch", json.dumps({"secrets": []}), {HEADER: TOKEN})
        assert connection.getresponse().read() == b'{"secrets":[]}'
    finally:
        connection.close()


def test_urllib(standing, name):
    """Which asks once a connection, and calls everything but 200 an error."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(f"http://localhost:{standing.port}{SECRET}{name}", headers={HEADER: TOKEN})
    with opener.open(request, timeout=PATIENCE_SECONDS) as response:
        assert json.load(response)["SecretString"] == "hunter2"
    bare = urllib.request.Request(f"{standing.url}{SECRET}{name}")
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(bare, timeout=PATIENCE_SECONDS)
    with caught.value as error:
        assert (error.code, error.read()) == (403, b"Bad Token")


def test_requests(standing, secrets):
    """As AWS's documentation asks: a session, parameters of its own encoding, JSON in and out."""
    name = secrets.create("test/requests ä+&=#?", '{"a": "ü"}')
    with requests.Session() as session:
        session.trust_env = False
        session.headers[HEADER] = TOKEN
        for _ in range(3):
            reply = session.get(
                f"http://localhost:{standing.port}/secretsmanager/get", params={"secretId": name}, timeout=20
            )
            assert json.loads(reply.json()["SecretString"]) == {"a": "ü"}
            assert reply.encoding == "utf-8"
        picked = session.get(
            f"{standing.url}/secretsmanager/get", params={"secretId": name, "jsonKey": "a"}, timeout=PATIENCE_SECONDS
        )
        assert (picked.text, picked.encoding) == ("ü", "utf-8")
        many = session.post(f"{standing.url}/secretsmanager/batch", json={"secrets": [name]}, timeout=PATIENCE_SECONDS)
        assert many.json()["secrets"][0]["status"] == 200
    assert secrets.gets(name) == 1
