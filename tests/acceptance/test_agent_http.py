"""What the agent answers to which request: order of checks, routes, parameters, limits of a connection."""

import contextlib
import select
import socket
import time

import pytest

from harness.agent import HEADER, PATIENCE_SECONDS, TOKEN, Agent, at_once, eventually, head

T = f"{HEADER}: {TOKEN}"
METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW", "get")
SECRET = "/secretsmanager/get?secretId="


@pytest.fixture(scope="module")
def _standing(tmp_path_factory, _secrets_server):
    # Attempts are one, so that a refusal that AWS would repeat comes at once.
    with Agent(tmp_path_factory.mktemp("agent"), _secrets_server, env={"AWS_MAX_ATTEMPTS": "1"}) as agent:
        yield agent


@pytest.fixture
def standing(secrets, _standing):
    """An agent with the default settings, which most tests share. No two of them use the same secret."""
    return _standing


@pytest.fixture
def name(secrets):
    """A secret's name."""
    return secrets.create()


def sent(secrets):
    """The ids that AWS was asked for."""
    return [members["SecretId"] for members in secrets.members("GetSecretValue")]


# Ping.


def test_ping_wants_nothing(standing, secrets):
    """Ping: 200, ``healthy``, a length and a date; AWS is not asked."""
    with standing.wire() as wire:
        wire.get("/ping", "X-Nothing: here")
        reply = wire.reply()
    assert reply.short == (200, "healthy")
    assert {**reply.headers, "date": ""} == {"content-length": "7", "date": ""}
    assert secrets.asked == []


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("/ping?x=1", "X-Nothing: here"),
        ("/ping", "X-Forwarded-For: 1.2.3.4"),
        ("/ping", f"{HEADER}: wrong"),
        ("/ping", "Host: evil.example"),
    ],
)
def test_ping_minds_nothing(standing, target, header):
    """A query, a proxy, a wrong token and another host are all the same to ping."""
    with standing.wire() as wire:
        wire.get(target, header)
        assert wire.reply().short == (200, "healthy")


@pytest.mark.parametrize("path", ["/ping/", "/Ping", "//ping", "/pong", "/v1", "/secretsmanager/get/", "/", "/V1/x"])
def test_unknown_paths(standing, path):
    """Paths are exact: with a token 404, without one 403, so that nobody learns what there is."""
    assert standing.fetch(path).short == (404, "Not found")
    assert standing.fetch(path, token=None).short == (403, "Bad Token")


# Methods.


@pytest.mark.parametrize("method", METHODS)
def test_only_get(standing, name, method):
    """Other methods are 405 on every route, ping's too; without a token that comes first, but for ping."""
    for target in ("/ping", f"{SECRET}{name}", f"/v1/{name}"):
        assert standing.request(method, target).short == (405, "Not allowed")
    assert standing.request(method, "/ping", token=None).short == (405, "Not allowed")
    assert standing.request(method, f"{SECRET}{name}", token=None).short == (403, "Bad Token")


def test_connect(standing):
    """Nobody is connected anywhere."""
    assert standing.request("CONNECT", "localhost:443").short == (405, "Not allowed")
    assert standing.request("CONNECT", "localhost:443", token=None).short == (403, "Bad Token")


def test_head_is_get_without_a_body(standing, name):
    """HEAD has GET's status and headers, its length too, and no body."""
    for target in (f"{SECRET}{name}", f"/v1/{name}", "/ping", "/pong", "/secretsmanager/get"):
        with standing.wire() as wire:
            wire.get(target)
            got = wire.reply()
            wire.get(target, method="HEAD")
            headed = wire.reply("HEAD")
            wire.get("/ping")
            assert wire.reply().short == (200, "healthy"), "nothing of a body was left on the connection"
        assert (headed.status, headed.body) == (got.status, b"")
        assert {**headed.headers, "date": ""} == {**got.headers, "date": ""}
    assert standing.request("HEAD", f"{SECRET}{name}", token=None).status == 403


# Tokens.


def test_the_answer_to_the_byte(standing, secrets, name):
    """The secret as JSON, each member at its place; asked again, the same bytes without AWS."""
    secrets.created(name, 1569534789.046)
    expected = (
        f'{{"ARN":"{secrets.arn(name)}","Name":"{name}","VersionId":"{secrets.version_id(name)}",'
        '"SecretString":"hunter2","VersionStages":["AWSCURRENT"],"CreatedDate":"1569534789.046"}'
    )
    first, second = standing.get(name), standing.get(name)
    assert first.short == second.short == (200, expected)
    assert secrets.members("GetSecretValue") == [{"SecretId": name}]


def test_headers_of_a_secret(standing, name):
    """It is JSON, it has a tag to compare, and nobody on the way shall keep it."""
    with standing.wire() as wire:
        for _ in range(2):  # from AWS, and from memory
            wire.get(f"{SECRET}{name}")
            reply = wire.reply()
            assert reply.headers.keys() == {"content-length", "date", "content-type", "etag", "cache-control"}
            assert (reply.headers["content-type"], reply.headers["cache-control"]) == ("application/json", "no-store")
            assert "age" not in reply.headers
            assert "warning" not in reply.headers


def test_headers_of_errors(standing, secrets):
    """Plain texts say that they are; what AWS said is JSON."""
    text = "text/plain; charset=utf-8"
    assert standing.fetch("/pong").headers["content-type"] == text
    assert standing.fetch("/pong", token=None).headers["content-type"] == text
    assert standing.fetch("/secretsmanager/get").headers["content-type"] == text
    assert standing.get(secrets.name()).headers["content-type"] == "application/json"


def test_not_modified(standing, secrets, name):
    """Who has it already, by its tag, gets 304 and no body; after a change the whole."""
    etag = standing.get(name).headers["etag"]
    target = f"{SECRET}{name}"
    for condition in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        reply = standing.fetch(target, If_None_Match=condition)
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
    assert standing.fetch(target, If_None_Match='"other"').value == "hunter2"
    secrets.put(name, "hunter3")
    changed = standing.fetch(f"{target}&refreshNow=1", If_None_Match=etag)
    assert changed.value == "hunter3"
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((f"{HEADER.lower()}: {TOKEN}",), 200),
        ((f"{HEADER.upper()}: {TOKEN}",), 200),
        ((f"X-Vault-Token: {TOKEN}",), 200),
        ((f"{HEADER}: wrong", f"X-Vault-Token: {TOKEN}"), 200),
        ((f"{HEADER}: wrong", T), 403),
        ((T, f"{HEADER}: wrong"), 200),
        ((f"{HEADER}:  \t {TOKEN} \t ",), 200),
        ((f"{HEADER}:{TOKEN}",), 200),
        ((f"{HEADER}: {TOKEN}x",), 403),
        ((f"{HEADER}: {TOKEN[:-1]}",), 403),
        ((f"{HEADER}: {TOKEN.upper()}",), 403),
        ((f"{HEADER}: Bearer {TOKEN}",), 403),
        ((f"{HEADER}:",), 403),
        ((f"Authorization: Bearer {TOKEN}",), 403),
        (("X-Nothing: here",), 403),
    ],
    ids=["lower", "upper", "second-header", "second-header-right", "wrong-then-right", "right-then-wrong", "space-around",
         "no-space", "longer", "shorter", "upper-token", "bearer", "empty", "another-header", "none"],
)  # fmt: skip
def test_tokens(standing, name, headers, status):
    """One of the two headers has the token; of a header that is sent twice the first counts. Anything else is 403."""
    with standing.wire() as wire:
        wire.get(f"{SECRET}{name}", *headers)
        reply = wire.reply()
    assert reply.status == status
    assert status == 200 or reply.text == "Bad Token"


def test_headers_of_one_s_own(agent, secrets, name):
    """``ssrf_headers`` names others; a name that no header can have matches nothing."""
    running = agent(ssrf_headers=["X-Mine", "Bad Header"])
    with running.wire() as wire:
        for header, status in ((f"x-mine: {TOKEN}", 200), (T, 403), (f"X-Vault-Token: {TOKEN}", 403)):
            wire.get(f"{SECRET}{name}", header)
            assert wire.reply().status == status


# Requests that others had made.


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "x-forwarded-for"])
def test_forwarded_requests(standing, name, header):
    """What came through a proxy is refused, even if the header is empty, before the token is looked at."""
    for value in ("1.2.3.4", ""):
        assert standing.request("GET", f"{SECRET}{name}", {header: value}).short == (400, "Forwarded")
        assert standing.request("GET", f"{SECRET}{name}", {header: value}, token=None).short == (400, "Forwarded")


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:2773", "127.0.0.1", "127.9.9.9:1", "[::1]:2773", "localhost.", "a.localhost"]
)
def test_hosts_of_this_machine(standing, name, host):
    """Any name or address of the loopback interface may be asked."""
    assert standing.request("GET", f"{SECRET}{name}", {"Host": host}).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:2773", "localhost.evil.example", "10.0.0.1", "127.0.0.1.evil.example", "[::2]", ""],
)
def test_other_hosts(standing, name, host):
    """A page whose own name was made to point here is refused by that name."""
    assert standing.request("GET", f"{SECRET}{name}", {"Host": host}).short == (421, "Bad Host")
    standing.wait_for_log("Rejecting request to host ")


def test_no_host(standing, name):
    """Who names none is answered: HTTP/1.0 clients do not."""
    with standing.wire() as wire:
        wire.send(f"GET {SECRET}{name} HTTP/1.1\r\n{T}\r\n\r\n".encode())
        assert wire.reply().status == 200


def test_hosts_that_are_allowed(agent, name):
    """``allowed_hosts`` names further ones, with any port, in any case."""
    running = agent(own={"allowed_hosts": ["Secrets.internal"]})
    for host, status in (("secrets.internal", 200), ("SECRETS.INTERNAL:80", 200), ("x.secrets.internal", 421)):
        assert running.request("GET", f"{SECRET}{name}", {"Host": host}).status == status


def test_absolute_targets(standing, secrets, name):
    """As a client asks that takes us for its proxy: the path counts, and both hosts are looked at."""
    url = standing.url
    assert standing.fetch(f"{url}/ping", token=None).short == (200, "healthy")
    assert standing.fetch(f"{url}{SECRET}{name}").value == "hunter2"
    assert standing.fetch(f"{url}/v1/{name}").value == "hunter2"
    assert standing.fetch(f"http://evil.example{SECRET}{name}").short == (421, "Bad Host")
    assert standing.request("GET", f"{url}{SECRET}{name}", {"Host": "evil.example"}).short == (421, "Bad Host")
    assert sent(secrets) == [name]


# The query style.


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "missing parameter secretId"),
        ("?", "missing parameter secretId"),
        ("?secretId=", "missing parameter secretId"),
        ("?versionStage=X", "missing parameter secretId"),
        ("?secretId=a&secretId=", "missing parameter secretId"),
        ("?secretId=a&abc=1", "unknown parameter: abc"),
        ("?abc=1", "unknown parameter: abc"),
        ("?secretid=a", "unknown parameter: secretid"),
        ("?secretId=a&b%20c", "unknown parameter: b c"),
        ("?secretId=a&refreshNow=yes", "invalid refreshNow value"),
        ("?secretId=a&refreshNow=", "invalid refreshNow value"),
        ("?secretId=a&refreshNow=2", "invalid refreshNow value"),
        ("?secretId=a&refreshNow=0&refreshNow=bad", "invalid refreshNow value"),
        ("?refreshNow=bad&abc=1", "invalid refreshNow value"),
        ("?abc=1&refreshNow=bad", "unknown parameter: abc"),
    ],
)
def test_wrong_parameters(standing, secrets, query, message):
    """The first mistake is told, a missing id last; AWS is not asked."""
    assert standing.fetch(f"/secretsmanager/get{query}").short == (400, message)
    assert secrets.asked == []


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("secretId=q1+b", "q1 b"),
        ("secretId=q2%2Bb", "q2+b"),
        ("secretId=q3%2Fb", "q3/b"),
        ("secretId=q4&secretId=q5/b", "q5/b"),
        ("&&secretId=q6&", "q6"),
        ("%73ecretId=q7", "q7"),
        ("secretId=q8;x=1", "q8;x=1"),
        ("secretId=q9=b=c", "q9=b=c"),
        ("secretId=q10%zz%4", "q10%zz%4"),
        ("secretId=q11%C3%A9", "q11é"),
        ("secretId=q12é", "q12é"),
        ("secretId=q13%FF", "q13�"),
        ("secretId=q14%00b", "q14\0b"),
        ("secretId=q15#fragment", "q15"),
        ("secretId=arn:aws:secretsmanager:us-east-1:123456789012:secret:q/r-AbCdEf",
         "arn:aws:secretsmanager:us-east-1:123456789012:secret:q/r-AbCdEf"),
    ],
)  # fmt: skip
def test_ids_in_queries(standing, secrets, query, asked):
    """Forms are decoded as browsers' forms are; the last of several counts. AWS is asked for exactly that."""
    standing.fetch(f"/secretsmanager/get?{query}")
    assert secrets.members("GetSecretValue") == [{"SecretId": asked}]


def test_one_entry_however_it_is_written(standing, secrets, name):
    """Escaped or not, in the query or in the path: one secret, one call."""
    escaped = name.replace("/", "%2F")
    for target in (f"{SECRET}{name}", f"{SECRET}{escaped}", f"{SECRET}x&secretId={name}", f"/v1/{name}"):
        assert standing.fetch(target).value == "hunter2"
    assert sent(secrets) == [name]


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "True"])
def test_refresh_now(standing, secrets, name, value):
    """Each time AWS is asked."""
    for _ in range(3):
        assert standing.get(name, refreshNow=value).value == "hunter2"
    assert sent(secrets) == [name] * 3


@pytest.mark.parametrize("value", ["false", "FALSE", "0"])
def test_refresh_not_now(standing, secrets, name, value):
    """As if it had not been said."""
    for _ in range(3):
        assert standing.get(name, refreshNow=value).value == "hunter2"
    assert sent(secrets) == [name]


@pytest.mark.parametrize("member", ["versionId", "versionStage"])
def test_empty_versions_go_to_aws(standing, secrets, name, member):
    """AWS judges what is empty."""
    reply = standing.get(name, **{member: ""})
    assert (reply.status, reply.json()["__type"]) == (400, "ValidationException")
    assert secrets.members("GetSecretValue") == [{"SecretId": name, member[0].upper() + member[1:]: ""}]


def test_version_and_stage_go_to_aws_together(standing, secrets, name):
    """Both are sent; AWS wants them to fit."""
    version_id = secrets.version_id(name)
    assert standing.get(name, versionId=version_id, versionStage="AWSCURRENT").value == "hunter2"
    reply = standing.get(name, versionId=version_id, versionStage="AWSPENDING")
    assert reply.status == 400
    assert reply.json() == {
        "__type": "InvalidRequestException",
        "message": "You provided a VersionStage that is not associated to the provided VersionId.",
    }
    assert secrets.members("GetSecretValue") == [
        {"SecretId": name, "VersionId": version_id, "VersionStage": stage} for stage in ("AWSCURRENT", "AWSPENDING")
    ]


# The path style.


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/p1/db", "p1/db"),
        ("/v1/p2%2Fdb", "p2%2Fdb"),
        ("/v1//p3/db", "/p3/db"),
        ("/v1/arn:aws:secretsmanager:us-east-1:123456789012:secret:p4/db-AbCdEf",
         "arn:aws:secretsmanager:us-east-1:123456789012:secret:p4/db-AbCdEf"),
        ("/v1/a/../p5/db", "p5/db"),
        ("/v1/./p6", "p6"),
        ("/v1/p7/.", "p7/"),
        ("/v1/p8/", "p8/"),
        ("/v1/p9+b", "p9+b"),
        ("/v1/p10%20b", "p10%20b"),
        ("/v1/p11é", "p11%C3%A9"),
        ('/v1/p12"{}', "p12%22%7B%7D"),
        ("/v1/p13^|'~!$()*,;=:@", "p13^|'~!$()*,;=:@"),
        ("/v1/p14\\b", "p14/b"),
        ("/v1/%2e%2E/v1/p15", "p15"),
        ("/v1/p16#fragment", "p16"),
    ],
)  # fmt: skip
def test_ids_in_paths(standing, secrets, path, asked):
    """The path as a browser would send it, cut behind the prefix, not decoded: names with odd characters need the query."""
    standing.fetch(path)
    assert secrets.members("GetSecretValue") == [{"SecretId": asked}]


def test_versions_in_paths(standing, secrets, name):
    """The other parameters are those of the query style."""
    pending = secrets.put(name, "hunter3", stages=("AWSPENDING",))
    assert standing.fetch(f"/v1/{name}?versionStage=AWSPENDING").value == "hunter3"
    assert standing.fetch(f"/v1/{name}?versionId={pending}&refreshNow=TRUE").value == "hunter3"
    assert secrets.members("GetSecretValue") == [
        {"SecretId": name, "VersionStage": "AWSPENDING"}, {"SecretId": name, "VersionId": pending},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/v1/", "missing secret ID"),
        ("/v1/?versionStage=X", "missing secret ID"),
        ("/v1/.", "missing secret ID"),
        ("/v1/../x", "missing secret ID"),
        ("/v1/../secretsmanager/get/abc", "missing secret ID"),
        ("/v1/?bad=1", "missing secret ID"),
        ("/v1/a?secretId=x", "unknown parameter: secretId"),
        ("/v1/a?bad=1", "unknown parameter: bad"),
        ("/v1/a?refreshNow=maybe", "invalid refreshNow value"),
    ],
)
def test_wrong_paths(standing, secrets, path, message):
    """A missing id comes before the parameters here; AWS is not asked."""
    assert standing.fetch(path).short == (400, message)
    assert secrets.asked == []


def test_a_prefix_of_one_s_own(agent, secrets):
    """Cut off as it is: one without a slash at its end leaves the slash to the id. The usual one is gone then."""
    running = agent(path_prefix="/other")
    assert running.fetch("/v1/x").short == (404, "Not found")
    running.fetch("/other/app/db")
    running.fetch("/otherapp/db")
    assert sent(secrets) == ["/app/db", "app/db"]
    assert running.fetch("/other").short == (400, "missing secret ID")


def test_a_prefix_that_covers_all(agent, secrets, name):
    """The original routes go on, ours are found below /strongroom/ only, and everything else is a secret."""
    running = agent(path_prefix="/")
    assert running.fetch(f"/{name}").value == "hunter2"
    assert running.ping().short == (200, "healthy")
    assert running.get(name).value == "hunter2"
    ready = eventually(lambda: found if (found := running.fetch("/strongroom/ready")).status == 200 else None)
    assert ready.text == "ready"
    assert running.fetch("/metrics").status == running.fetch("/ready").status == 400
    assert running.fetch("/strongroom/metrics").status == 200
    assert sent(secrets) == [name, "metrics", "ready"]


# The protocol.


def test_http_1_0(standing, name):
    """The connection ends with the answer, unless the client asks to go on."""
    target = f"{SECRET}{name}"
    with standing.wire() as wire:
        wire.send(head(target, T, version="1.0"))
        assert wire.reply().value == "hunter2"
        assert wire.is_ended()
    with standing.wire() as wire:
        for _ in range(2):
            wire.send(head(target, T, "Connection: keep-alive", version="1.0"))
            reply = wire.reply()
            assert (reply.value, reply.headers["connection"]) == ("hunter2", "keep-alive")


def test_the_connection_goes_on(standing, name):
    """HTTP/1.1 goes on, after errors too, until either side says otherwise."""
    with standing.wire() as wire:
        for target, status in ((f"{SECRET}{name}", 200), ("/pong", 404), ("/secretsmanager/get", 400), ("/ping", 200)):
            wire.get(target)
            reply = wire.reply()
            assert (reply.status, "connection" in reply.headers) == (status, False)
        wire.get(f"{SECRET}{name}", T, "Connection: close")
        reply = wire.reply()
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert wire.is_ended()


def test_pipelined_requests(standing, secrets):
    """Answered in order, however long each takes."""
    slow, quick = secrets.create(value="slow"), secrets.create(value="quick")
    assert standing.get(quick).status == 200
    gate = secrets.hold("GetSecretValue", about=slow)
    with standing.wire() as wire:
        wire.send(b"".join(head(f"{SECRET}{name}", T) for name in (slow, quick, quick)) + head("/ping"))
        gate.wait_for(1)
        gate.release()
        assert [wire.reply().value for _ in range(3)] == ["slow", "quick", "quick"]
        assert wire.reply().short == (200, "healthy")


def test_requests_in_pieces(standing, name):
    """Byte by byte it is the same request, known before or not."""
    with standing.wire() as wire:
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(2):
            for byte in head(f"{SECRET}{name}", T):
                wire.send(bytes([byte]))
            assert wire.reply().value == "hunter2"


def test_bodies_of_gets(standing, name):
    """Nobody looks at them, and the next request is found behind them."""
    with standing.wire() as wire:
        wire.send(head(f"{SECRET}{name}", T, "Content-Length: 7") + b"ignored" + head("/ping"))
        assert wire.reply().value == "hunter2"
        assert wire.reply().short == (200, "healthy")


def test_a_client_that_waits_to_continue(standing, name):
    """``Expect: 100-continue`` gets the answer itself."""
    with standing.wire() as wire:
        wire.send(head(f"{SECRET}{name}", T, "Content-Length: 3", "Expect: 100-continue"))
        assert wire.reply().value == "hunter2"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /pi ng HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping<> HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping`x HTTP/1.1\r\n\r\n", 400),
        (b"GET /secretsmanager/get?a=<b HTTP/1.1\r\n\r\n", 400),
        (b'GET /secretsmanager/get?a="b HTTP/1.1\r\n\r\n', 400),
        (b"GET /v1/\xff HTTP/1.1\r\n\r\n", 400),
        (b"GET ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping HTTP/3.1\r\n\r\n", 400),
        (b"GET /ping\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"G(T /ping HTTP/1.1\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nBad Name: x\r\n\r\n", 400),
        (b"GET /ping HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
        (b"GET /ping HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /ping?" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /ping HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(101)) + b"\r\n", 431),
        (b"GET /ping HTTP/1.1\r\nX: " + b"y" * 400_000 + b"\r\n\r\n", 431),
    ],
    ids=["space", "angle", "backtick", "query-angle", "query-quote", "no-utf-8", "no-slash", "version", "no-version",
         "http-2", "method", "no-colon", "header-name", "two-lengths", "length", "tls", "long-target", "many-headers",
         "large-head"],
)  # fmt: skip
def test_what_is_no_request(standing, data, status):
    """A status, no body, and the connection ends."""
    with standing.wire() as wire:
        with contextlib.suppress(OSError):  # it closes before it has read all of them
            wire.send(data)
        reply = wire.reply()
        assert reply.short == (status, "")
        assert (reply.headers["content-length"], reply.headers["connection"]) == ("0", "close")
        assert wire.is_ended()


def test_limits_themselves_are_allowed(standing):
    """100 headers, a target of 65,534 bytes, a large head."""
    with standing.wire() as wire:
        wire.send(head("/ping", *(f"X-{number}: y" for number in range(99))))
        assert wire.reply().status == 200
        wire.send(head("/ping?" + "x" * (65_534 - 6)))
        assert wire.reply().status == 200
        wire.send(head("/ping", "X: " + "y" * 300_000))
        assert wire.reply().status == 200


# Connections.


def until_closed(wires, meanwhile=lambda: None):
    """Wait until something comes on all of these, which nobody has asked for: an end, mostly."""
    begun = time.monotonic()
    waiting = {wire.socket for wire in wires}
    while waiting:
        meanwhile()
        waiting -= set(select.select(waiting, [], [], 0.05)[0])
        assert time.monotonic() - begun < PATIENCE_SECONDS


def test_requests_that_do_not_come(agent, name):
    """Who connects and says nothing, or only half, is sent away after ``header_timeout_seconds``; who has asked is not."""
    running = agent(own={"header_timeout_seconds": 0.3, "idle_timeout_seconds": 60})
    with running.wire() as silent, running.wire() as half, running.wire() as asked, running.wire() as known:
        for wire in (asked, asked, asked, known):  # by then the agent knows the request
            wire.get(f"{SECRET}{name}")
            assert wire.reply().status == 200
        half.send(b"GET /ping HTTP/1.1\r\nHost: lo")
        until_closed([silent, half])
        assert silent.is_ended()
        assert half.reply().short == (408, "")
        assert half.is_ended()
        for wire in (asked, known):
            wire.get("/ping")
            assert wire.reply().status == 200


def test_idle_connections(agent, name):
    """They end after ``idle_timeout_seconds``, and not before; who goes on asking goes on being answered."""
    running = agent(own={"idle_timeout_seconds": 1})
    with running.wire() as idle, running.wire() as busy:

        def ask():
            busy.get(f"{SECRET}{name}")
            assert busy.reply().status == 200

        idle.get("/ping")
        assert idle.reply().status == 200
        begun = time.monotonic()
        until_closed([idle], ask)
        assert idle.is_ended()
        assert time.monotonic() - begun >= 1
        ask()


def test_as_many_requests_as_max_conn(agent, secrets):
    """One more than ``max_conn`` is 429, whatever it asks for, with or without a token; ping has room of its own."""
    running = agent(max_conn=1)
    slow, name = secrets.create(value="slow"), secrets.create()
    gate = secrets.hold("GetSecretValue", about=slow)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(running.wire())
        first.get(f"{SECRET}{slow}")
        gate.wait_for(1)
        second = stack.enter_context(running.wire())
        for target, headers in ((f"{SECRET}{name}", (T,)), (f"{SECRET}{name}", ("X: y",)), ("/pong", (T,))):
            second.get(target, *headers)
            assert second.reply().short == (429, "Connection limit exceeded")
        second.get("/ping")
        assert second.reply().short == (200, "healthy")
        gate.release()
        assert first.reply().value == "slow"
        second.get(f"{SECRET}{name}")
        assert second.reply().value == "hunter2", "a connection is not refused for what was once"
    assert sorted(sent(secrets)) == sorted([slow, name])


def test_idle_connections_take_no_place(agent, name):
    """Those above ``max_conn`` that are idle are closed, the oldest first; whoever asks is answered."""
    running = agent(max_conn=1)
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(running.wire()) for _ in range(3)]
        assert running.ping().status == 200
        assert running.get(name).value == "hunter2"
        assert idle[0].is_ended()


def test_silent_sockets_lock_nobody_out(agent, name):
    """Five hundred that say nothing, and a good one is served at once."""
    running = agent(max_conn=10)
    with contextlib.ExitStack() as stack:
        for _ in range(500):
            stack.enter_context(running.wire())
        assert running.get(name).value == "hunter2"


def test_loopback_only(standing):
    """127.0.0.1 and, where there is IPv6, ::1; no other address of this machine."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            has_ipv6 = False
        else:
            has_ipv6 = True
    if has_ipv6:
        with standing.wire("::1") as wire:
            wire.get("/ping")
            assert wire.reply().short == (200, "healthy")
    with pytest.raises(OSError, match=r"refused|unreachable|timed out|assign"):
        standing.wire("127.0.0.2")


def test_a_client_that_leaves(standing, secrets):
    """What it asked for is fetched all the same, and kept for the next."""
    name = secrets.create()
    gate = secrets.hold("GetSecretValue", about=name)
    with standing.wire() as wire:
        wire.get(f"{SECRET}{name}")
        gate.wait_for(1)
    gate.release()
    assert standing.get(name).value == "hunter2"
    assert sent(secrets) == [name]


def test_many_clients(standing, secrets):
    """Fifty connections with forty requests each: every answer is the one that was asked for."""
    names = [secrets.create(value=f"value {number}") for number in range(10)]

    def ask(number):
        with standing.wire() as wire:
            for each in range(40):
                wanted = (number + each) % 10
                wire.get(f"{SECRET}{names[wanted]}")
                assert wire.reply().value == f"value {wanted}"

    at_once(50, ask)
    assert sorted(sent(secrets)) == sorted(names)


def test_refusals_are_logged(standing, name):
    """With who asked for what and why it was refused; never with a token."""
    standing.fetch(f"{SECRET}{name}", token=None)
    standing.fetch(f"{SECRET}{name}", token="guess-4711")
    standing.fetch(f"{SECRET}{name}", X_Forwarded_For="1.2.3.4")
    for told in (
        "Rejecting request with incorrect SSRF token; reason=missing_header, peer=127.0.0.1:",
        "Rejecting request with incorrect SSRF token; reason=token_mismatch, peer=127.0.0.1:",
        "Rejecting request with X-Forwarded-For header; peer=127.0.0.1:",
        "method=GET, path=/secretsmanager/get",
    ):
        standing.wait_for_log(told)
    assert "guess-4711" not in standing.log
    assert TOKEN not in standing.log
