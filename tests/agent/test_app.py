import json
from dataclasses import replace

import pytest

from harness.service import DATE, TOKEN, AppBench, transient
from strongroom.agent import app as app_module
from strongroom.agent.config import ClientRule, Config, Own
from strongroom.serve.http import HttpError
from strongroom.serve.listener import Peer

GET = "/secretsmanager/get?secretId="
TOKEN_FIELD = "X-Aws-Parameters-Secrets-Token"


@pytest.fixture
def bench_of():
    """Makes agents, and sees to it that no loop stays open."""
    made = []

    def make(config=None, **how):
        bench = AppBench(config, **how)
        bench.upstream.put("db")
        made.append(bench)
        return bench

    yield make
    for each in made:
        each.close()


@pytest.fixture
def bench(bench_of):
    return bench_of()


def reconfigure(bench, **changes):
    bench.config = replace(bench.config, **changes)
    bench.service.reconfigure(bench.config, bench.upstream)
    bench.app.reconfigure(bench.config, bench.policy(bench.config), None)


# --- the order of the checks

# From the first to the last; a request with several faults is told of the first.
FAULTS = [
    ("limit", (429, "Connection limit exceeded")),
    ("X-Forwarded-For", (400, "Forwarded")),
    ("Forwarded", (400, "Forwarded")),
    ("Via", (400, "Forwarded")),
    ("X-Real-IP", (400, "Forwarded")),
    ("host", (421, "Bad Host")),
    ("token", (403, "Bad Token")),
    ("method", (405, "Not allowed")),
    ("route", (404, "Not found")),
    ("parameters", (400, "unknown parameter: x")),
]


def faulty(bench, faults, path=None):
    """A request with these faults."""
    bench.app.in_hand = bench.config.max_conn if "limit" in faults else 0
    return bench.fetch(
        path or ("/nothing" if "route" in faults else "/secretsmanager/get?x=1"),
        method="POST" if "method" in faults else "GET",
        token=b"wrong" if "token" in faults else TOKEN,
        host=b"evil.com" if "host" in faults else b"localhost",
        headers=[(name, "") for name, _ in FAULTS[1:5] if name in faults],
    )


@pytest.mark.parametrize("first", range(len(FAULTS)))
def test_the_order_of_the_checks(bench, first):
    """Each fault alone is told, and before all that come after it."""
    name, expected = FAULTS[first]
    assert faulty(bench, {name for name, _ in FAULTS[first:]}).short == expected
    if name != "parameters":
        assert faulty(bench, {name}, GET + "db" if name != "route" else None).short == expected
    assert bench.upstream.asked == []


@pytest.mark.parametrize("path", ["/ping", "/ready", "/strongroom/ready"])
def test_what_is_free(bench, path):
    """Neither way nor host nor token are looked at, but the method is."""
    faults = {name for name, _ in FAULTS} - {"limit", "method"}
    assert faulty(bench, faults, path).status == 200
    assert faulty(bench, faults | {"method"}, path).short == (405, "Not allowed")


def test_room_for_ping(bench):
    """Two more than for all else."""
    seen = []
    for in_hand in range(798, 803):
        bench.app.in_hand = in_hand
        seen.append((in_hand, bench.fetch("/ping").status, bench.fetch("/ready").status, bench.fetch(GET).status))
    assert seen == [
        (798, 200, 200, 400),
        (799, 200, 200, 400),
        (800, 200, 429, 429),
        (801, 200, 429, 429),
        (802, 429, 429, 429),
    ]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get", "CONNECT", "X"])
def test_methods(bench, method):
    """Only GET and HEAD, but for what is to be posted."""
    for path in ("/secretsmanager/get", "/v1/db", "/ping", "/nothing", "/metrics"):
        assert bench.fetch(path, method=method).short == (405, "Not allowed")
    if method != "POST":
        assert bench.fetch("/invalidate", method=method).short == (405, "Not allowed")
    assert bench.fetch("/secretsmanager/batch").short == bench.fetch("/invalidate").short == (405, "Not allowed")


def test_why_a_request_was_refused(bench):
    """The log tells it with where it came from, without what it asked for."""
    for faults in ({"X-Forwarded-For"}, {"X-Real-IP"}, {"host"}, {"token"}):
        faulty(bench, faults)
    bench.fetch("/v1/db?versionId=hunter2", token=None)
    asked = "peer=127.0.0.1:40000, method=GET, path=/secretsmanager/get"
    assert bench.log.of("error") == [
        f"Rejecting request with X-Forwarded-For header; {asked}",
        f"Rejecting request with X-Real-IP header; {asked}",
        f"Rejecting request to host 'evil.com'; {asked}",
        f"Rejecting request with incorrect SSRF token; reason=token_mismatch, {asked}",
        "Rejecting request with incorrect SSRF token; reason=missing_header, "
        "peer=127.0.0.1:40000, method=GET, path=/v1/db",
    ]


# --- hosts

GOOD_HOSTS = [
    "localhost",
    "LOCALHOST.",
    "localhost:2773",
    "localhost:",
    "foo.localhost",
    "a.b-c.Localhost:80",
    "127.0.0.1",
    "127.1.2.3:80",
    "127.0.0.1.",
    "[::1]:80",
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::FFFF:7f00:1]:2773",
]
BAD_HOSTS = [
    "evil.com",
    "",
    ":80",
    "localhost.evil.com",
    "localhost.evil.com:80",
    "notlocalhost",
    ".localhost",
    "localhost..",
    "evil.com/.localhost",
    "evil.com#.localhost",
    "evil.com?.localhost",
    "evil.com\\.localhost",
    "evil.com@localhost",
    "localhost@evil.com",
    "localhost:x",
    "localhost:80:80",
    "localhost:80@evil.com",
    "127.0.0.1.evil.com",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "127.0.0.01",
    "0.0.0.0",
    "169.254.169.254",
    "128.0.0.1",
    "[::]",
    "::1",
    "[::1",
    "::1]",
    "[localhost]",
    "[127.0.0.1]x",
    "[::ffff:10.0.0.1]",
    "[::1%25lo]",
    "[fe80::1]",
    "localhost, evil.com",
    "localhost evil.com",
    "localhost\x80",
    "\xe9.localhost",
]


@pytest.mark.parametrize(("hosts", "status"), [(GOOD_HOSTS, 200), (BAD_HOSTS, 421)])
def test_hosts(bench, hosts, status):
    """Names and addresses of the loopback interface, with any port; nothing that only looks like one. Asked twice."""
    for host in hosts * 2:
        assert (host, bench.fetch(GET + "db", host=host.encode("latin-1")).status) == (host, status)


def test_no_host(bench):
    """A client of HTTP/1.0 need not tell it."""
    assert bench.fetch(GET + "db", host=None, version=b"1.0").status == 200


def test_the_host_of_an_absolute_target(bench):
    """It counts as well as the header."""
    for target, host, status in (
        ("http://localhost:2773", b"localhost", 200),
        ("http://evil.com", b"localhost", 421),
        ("http://localhost", b"evil.com", 421),
        ("http://localhost@evil.com", b"localhost", 421),
        ("http://", b"localhost", 421),
    ):
        assert bench.fetch(f"{target}{GET}db", host=host).status == status


def test_hosts_that_are_allowed(bench_of):
    """By name or address, whatever the case, with any port."""
    bench = bench_of(allowed_hosts=("Agent.Internal.", "10.0.0.7", "fd00::1", "[fd00::2]"))
    for host in (
        b"agent.internal",
        b"AGENT.internal.:80",
        b"10.0.0.7:2773",
        b"[fd00::1]",
        b"[FD00::2]:80",
        b"localhost",
    ):
        assert bench.fetch(GET + "db", host=host).status == 200
    for host in (b"x.agent.internal", b"10.0.0.8", b"fd00::1", b"[fd00::3]", b"agent"):
        assert bench.fetch(GET + "db", host=host).status == 421
    reconfigure(bench, own=Own())
    assert bench.fetch(GET + "db", host=b"agent.internal").status == 421


def test_hosts_on_a_unix_socket(bench):
    """No page in a browser can send anything there."""
    assert bench.fetch(GET + "db", host=b"evil.com", peer=Peer("unix", 0, "uid 0")).status == 200


def test_hosts_are_remembered_within_bounds(bench, monkeypatch):
    """Neither many nor long ones fill the memory of one who has no token."""
    monkeypatch.setattr(app_module, "MOST_REMEMBERED", 10)
    for number in range(100):
        bench.fetch("/metrics", host=b"%d.evil.com" % number)
        bench.fetch("/metrics", host=b"x" * 1000)
    assert len(bench.app._hosts) <= 10
    assert all(len(host) < 300 for host in bench.app._hosts)


# --- tokens


def test_tokens(bench):
    """In any of the headers, the first of each; compared as a whole."""

    def status(*headers):
        return bench.fetch(GET + "db", token=None, headers=headers).status

    token = TOKEN.decode()
    assert status((TOKEN_FIELD, token)) == status(("x-vault-TOKEN", token)) == 200
    assert status((TOKEN_FIELD, f"  {token}\t")) == 200
    assert status((TOKEN_FIELD, "wrong"), ("X-Vault-Token", token)) == 200
    assert status((TOKEN_FIELD, token), (TOKEN_FIELD, "wrong")) == 200
    assert status((TOKEN_FIELD, "wrong"), (TOKEN_FIELD, token)) == 403
    for wrong in ("", token[:-1], token + "x", token.upper(), f"{token},{token}", f"Bearer {token}"):
        assert status((TOKEN_FIELD, wrong)) == 403
    assert status(("Authorization", f"Bearer {token}")) == status() == 403


def test_other_headers(bench_of):
    """Those of the config, and no others."""
    bench = bench_of(Config(ssrf_headers=("X-Mine",)))
    assert bench.fetch(GET + "db", token=None, headers=[("x-mine", TOKEN.decode())]).status == 200
    assert bench.fetch(GET + "db").status == 403


def test_the_token_of_the_metrics(bench_of):
    """It is good for the metrics only, in the usual headers or as a bearer's; the main token is as well."""
    bench = bench_of(metrics_token=b"scrape")
    for path in ("/metrics", "/strongroom/metrics"):
        assert bench.fetch(path).status == 200
        assert bench.fetch(path, token=b"scrape").status == 200
        assert bench.fetch(path, token=None).status == 403
        for value, status in (("Bearer scrape", 200), ("bearer  scrape ", 200), ("Bearer main-token", 200)):
            assert bench.fetch(path, token=None, headers=[("Authorization", value)]).status == status
        for value in ("Basic scrape", "scrape", "Bearer", "Bearer x", ""):
            assert bench.fetch(path, token=None, headers=[("Authorization", value)]).status == 403
    assert bench.fetch(GET + "db", token=b"scrape").status == 403
    assert bench.fetch(GET + "db", token=None, headers=[("Authorization", "Bearer scrape")]).status == 403
    assert bench.fetch("/metrics", token=b"scrape", method="POST").status == 405


# --- routes

OWN = {
    "/ready": ("GET", 200),
    "/metrics": ("GET", 200),
    "/systemsmanager/parameters/get": ("GET", 400),
    "/systemsmanager/parameters/get/": ("GET", 400),
    "/secretsmanager/batch": ("POST", 200),
    "/invalidate": ("POST", 400),
}


@pytest.mark.parametrize(
    ("prefix", "covered"),
    [
        ("/v1/", []),
        ("/", list(OWN)),
        ("/secretsmanager/", ["/secretsmanager/batch"]),
        ("/systemsmanager/parameters/get/", ["/systemsmanager/parameters/get/"]),
        ("/m", ["/metrics"]),
        ("/strongroom/", []),
    ],
)
def test_own_routes(bench_of, prefix, covered):
    """Below ``/strongroom`` always, and beside the others where the prefix for secrets does not cover them."""
    bench = bench_of(Config(path_prefix=prefix))
    for path, (method, status) in OWN.items():
        for each in [f"/strongroom{path}"] + [path] * (path not in covered):
            assert (each, bench.fetch(each, method=method, body=b'{"secrets":[]}').status) == (each, status)
    assert bench.upstream.asked == []
    for path in covered:
        if path == prefix:
            assert bench.fetch(path).short == (400, "missing secret ID")
            continue
        assert bench.fetch(path).headers["content-type"] == "application/json"
        assert bench.upstream.asked.pop()[1] == path.removeprefix(prefix)
        assert bench.fetch(path, method="POST").short == (405, "Not allowed")
    assert bench.fetch("/ping").short == (200, "healthy")
    assert bench.fetch(GET + "db").status == 200


def test_no_such_route(bench):
    """Paths are compared as they are."""
    for path in (
        "/",
        "/nothing",
        "/v1",
        "/PING",
        "/ping/",
        "/secretsmanager/get/",
        "//v1/db",
        "/strongroom",
        "/%70ing",
    ):
        assert bench.fetch(path).short == (404, "Not found")


# --- errors


@pytest.mark.parametrize(("generation", "space"), [("agent", " "), ("sm", "")])
def test_errors(bench_of, generation, space):
    """Plain text of ours; AWS's as JSON in the form of the generation, valid whatever is in it."""
    error = bench_of(generation=generation).app.error
    plain = error(HttpError(400, "unknown parameter: \udc80"))
    assert (plain.status, plain.body, plain.content_type) == (
        400,
        b"unknown parameter: ?",
        b"text/plain; charset=utf-8",
    )
    named = error(HttpError(400, 'a "b"\n', "X"))
    assert named.body == b'{"__type":"X",' + space.encode() + rb'"message":"a \"b\"\n"}'
    assert (named.content_type, named.outcome) == (b"application/json", "X")
    assert error(HttpError(500, "", "InternalFailure")).body == b'{"__type":"InternalFailure"}'


@pytest.mark.parametrize("is_late", [False, True])
def test_a_mistake_of_ours(bench, monkeypatch, is_late):
    """It is an answer; its text, which may hold a secret, is nowhere."""

    def broken(*_args, **_named):
        raise ValueError("hunter2")

    if not is_late:
        bench.fetch(GET + "db")
    monkeypatch.setattr("strongroom.agent.routes._respond", broken)
    assert bench.fetch(GET + "db").short == (500, '{"__type":"InternalFailure"}')
    (line,) = bench.log.of("error")
    assert line.startswith("Internal error - ValueError in broken, line ")
    assert line.endswith("; peer=127.0.0.1:40000, method=GET, path=/secretsmanager/get")
    assert bench.app.in_hand == 0


# --- the memo


def known(bench, target=GET + "db", peer=None, **how):
    """Whether a head is known after it came three times."""
    head = bench.head(target, **how)
    peer = peer or Peer("tcp", None, "127.0.0.1:1")
    for _ in range(3):
        reply = bench.send(head, peer=peer)
        if not hasattr(reply, "short"):
            bench.loop.run_until_complete(reply)
    return bench.app.desk(peer).recall(head) is not None


def test_what_is_known(bench):
    """Plain heads of secrets, parameters and values in them."""
    bench.upstream.put("json", '{"a":1}')
    bench.upstream.answers["ssm:/p"] = {"Name": "/p", "Value": "v"}
    assert known(bench)
    assert known(bench, "/v1/db")
    assert known(bench, GET + "json&jsonKey=a")
    assert known(bench, "/systemsmanager/parameters/get?name=/p")
    assert known(bench, GET + "db&refreshNow=false")
    assert known(bench, headers=[("Traceparent", "00-1-2-01")])


def test_what_is_never_known(bench):
    """What asks for more than the look-up tells, has another form, or is no success."""
    assert not known(bench, GET + "db&refreshNow=true")
    assert not known(bench, GET + "db&rejected=V0")
    assert not known(bench, GET + "no")
    assert not known(bench, GET + "db&x=1")
    assert not known(bench, GET + "db&jsonKey=a")
    assert not known(bench, "/ping")
    assert not known(bench, "/metrics")
    assert not known(bench, method="HEAD")
    assert not known(bench, version=b"1.0")
    assert not known(bench, token=b"wrong")
    assert not known(bench, host=b"evil.com")
    for header in (
        "Content-Length: 0",
        "Transfer-Encoding: chunked",
        "If-None-Match: *",
        "Connection: close",
        "Via: x",
    ):
        assert not known(bench, headers=[header.split(": ")])
    desk = bench.app.desk(Peer("tcp", None, "127.0.0.1:1"))
    assert (desk.memo, desk.memo_bytes) == ({}, 0)


def test_a_known_head_is_answered_alike(bench):
    """By its bytes, by what matters of it, and by all checks: the same response, and counted as a hit."""
    head = bench.head(GET + "db")
    bench.fetch(GET + "db")
    first = bench.send(head)
    replies = [bench.send(head) for _ in range(4)]
    assert {reply.raw for reply in replies} == {first.raw}
    assert (bench.recalled, bench.metrics.hits + bench.metrics.recalled, bench.metrics.misses) == (3, 5, 1)
    assert len(bench.upstream.asked) == 1


def test_the_date_of_a_known_head(bench):
    """It is that of the answer."""
    assert known(bench)
    reply = bench.fetch(GET + "db")
    bench.app.date = b"Mon, 07 Nov 1994 08:49:37 GMT"
    again = bench.fetch(GET + "db")
    assert (reply.headers["date"], again.headers["date"]) == (DATE.decode(), "Mon, 07 Nov 1994 08:49:37 GMT")
    assert again.body == reply.body
    assert bench.recalled > 1


def test_trace_ids(bench):
    """Heads that differ in what no answer depends on are known by the rest; by nothing less."""
    bench.fetch(GET + "db")
    for number in range(20):
        assert bench.fetch(GET + "db", headers=[("Traceparent", str(number))]).status == 200
    assert bench.metrics.recalled == 19
    assert bench.app.desk(Peer("tcp", None, "x")).memo == {}
    trace = [("Traceparent", "x")]
    assert bench.fetch(GET + "db", headers=trace, token=b"wrong").short == (403, "Bad Token")
    assert bench.fetch(GET + "db", headers=trace, host=b"evil.com").short == (421, "Bad Host")
    assert bench.fetch(GET + "db", headers=[*trace, ("Via", "x")]).short == (400, "Forwarded")
    assert bench.fetch(GET + "db&x=1", headers=trace).status == 400
    assert bench.fetch(GET + "db", headers=trace, method="POST").status == 405
    assert bench.fetch(GET + "db", headers=trace, method="HEAD").body == b""


def test_expiry_of_a_known_head(bench):
    """It asks AWS like any other; in an outage it says that it is stale."""
    assert known(bench)
    bench.clock.tick(300)
    bench.upstream.put("db", "new")
    assert '"SecretString":"new"' in bench.fetch(GET + "db").text
    assert known(bench)
    bench.clock.tick(300)
    bench.upstream.fail(transient(), "db")
    assert bench.fetch(GET + "db").headers["age"] == "300"
    assert bench.fetch(GET + "db").headers["warning"] == '110 - "Response is Stale"'


@pytest.mark.parametrize("target", [GET + "db", GET + "db&jsonKey=a"])
def test_a_known_head_after_a_change(bench, target):
    """Once anybody has seen the new value nobody gets the old one, whichever way it came."""
    bench.upstream.put("db", '{"a":"old"}')
    assert known(bench, target)
    bench.upstream.put("db", '{"a":"new"}')
    assert "new" in bench.fetch(GET + "db&refreshNow=true").text
    assert "new" in bench.fetch(target).text
    assert known(bench, target)
    bench.upstream.put("db", '{"a":"newer"}')
    assert bench.fetch("/invalidate?secretId=db", method="POST").text == '{"invalidated":1}'
    assert "newer" in bench.fetch(target).text
    assert known(bench, target)
    bench.upstream.put("db", '{"a":"another"}', ending="ZyXwVu")
    assert "another" in bench.fetch(GET + "db&refreshNow=true").text
    assert "another" in bench.fetch(target).text


def test_limits_hold_for_known_heads(bench):
    """Above the limit they are refused too."""
    assert known(bench)
    bench.app.in_hand = 800
    assert bench.fetch(GET + "db").status == 429
    assert bench.fetch(GET + "db", headers=[("Traceparent", "x")]).status == 429
    bench.app.in_hand = 799
    assert bench.fetch(GET + "db").status == 200


def test_known_heads_are_use(bench_of):
    """What is recalled stays in the cache."""
    bench = bench_of(Config(cache_size=2))
    assert known(bench)
    for name in ("b", "c"):
        bench.upstream.put(name)
        bench.fetch(GET + name)
        assert bench.fetch(GET + "db").status == 200
    assert bench.upstream.ids() == ["db", "b", "c"]


def test_other_settings(bench):
    """Nothing is known any more, neither heads nor what they meant."""
    assert known(bench)
    assert known(bench, "/v1/db")
    reconfigure(bench, path_prefix="/v2/", ssrf_headers=("X-Mine",))
    assert bench.app.desk(Peer("tcp", None, "x")).recall(bench.head(GET + "db")) is None
    assert bench.fetch(GET + "db").short == (403, "Bad Token")
    mine = [("X-Mine", TOKEN.decode())]
    assert bench.fetch("/v1/db", headers=mine).short == (404, "Not found")
    assert bench.fetch("/v2/db", headers=mine).status == 200
    reconfigure(bench, path_prefix="/")
    assert bench.fetch("/v2/db", headers=mine).status == 400
    assert bench.upstream.ids()[-1] == "v2/db"


def test_peers_apart(bench_of):
    """What one kind of peer may have says nothing about another, though it sends the same bytes."""
    rules = (ClientRule("one", uid=1, secrets=("db",)), ClientRule("two", uid=2, secrets=("x",)))
    bench = bench_of(clients=rules)
    peers = [Peer("unix", 1, "uid 1"), Peer("unix", 2, "uid 2"), Peer("unix", 3, "uid 3"), Peer("tcp", None, "x")]
    assert known(bench, peer=peers[0], token=None)
    for _ in range(3):
        assert [bench.fetch(GET + "db", peer=peer, token=None).status for peer in peers] == [200, 403, 403, 403]


def test_the_memo_is_bounded(bench, monkeypatch):
    """In bytes, however many heads are known and however long they are."""
    monkeypatch.setattr(app_module, "MEMO_BYTES", 5000)
    monkeypatch.setattr(app_module, "MOST_REMEMBERED", 20)
    desk = bench.app.desk(Peer("tcp", None, "x"))
    for number in range(100):
        for _ in range(3):
            bench.fetch(GET + "db", headers=[("X-Number", str(number) * 50)])
        bench.fetch(GET + "db", headers=[("X-Long", "x" * 5000)])
        bench.fetch(GET + f"db&versionId={number}")
        bench.fetch(GET + f"db&versionId={number}")
        assert desk.memo_bytes == sum(map(len, desk.memo)) <= 5000 + app_module.LONGEST_REMEMBERED
        assert max(len(desk.essences), len(desk.seen), len(bench.app.queries)) <= 20
    assert all(len(head) <= app_module.LONGEST_REMEMBERED for head in desk.memo)
    bench.fetch(GET + "x" * 3000)
    assert all(len(query) < 3000 for _, query in bench.app.queries)


def test_values_that_are_not_counted_are_not_known(bench):
    """More values of one secret than are kept with it: each is answered, and the memo holds none of the rest."""
    bench.upstream.put("db", json.dumps({f"k{number}": str(number) for number in range(20)}))
    for number in range(20):
        head = bench.head(f"{GET}db&jsonKey=k{number}")
        for _ in range(3):
            assert bench.fetch(f"{GET}db&jsonKey=k{number}").text == str(number)
        desk = bench.app.desk(Peer("tcp", None, "x"))
        assert (desk.recall(head) is not None) == (number < 16)
    assert len(desk.essences) == len(desk.memo) == 16


# --- what is logged and counted


def test_the_access_log(bench_of, monkeypatch):
    """A line for each request, on the level of information, with nothing that a client can forge."""
    ticks = iter(range(0, 10**9, 1_500_000))
    monkeypatch.setattr(app_module.time, "perf_counter_ns", lambda: next(ticks))
    rules = (ClientRule("web", token_file="/w", secrets=("*",)),)
    bench = bench_of(clients=rules, access_log=True, tokens={"/w": b"web"})
    for target in (GET + "db", GET + "db", "/v1/db", GET + "no", GET + "a%20status=200%0Ax", "/ping", "/nothing"):
        bench.fetch(target, token=b"web")
    bench.fetch(GET + "db", token=b"x")
    bench.fetch("/secretsmanager/batch", method="POST", token=b"web", body=b'{"secrets":["db"]}')
    begin, end = "access client=web peer=127.0.0.1:40000 method=", "microseconds=1500"
    get = "/secretsmanager/get"
    assert bench.log.of("info") == [
        f"{begin}GET route={get} secret=db status=200 outcome=miss {end}",
        f"{begin}GET route={get} secret=db status=200 outcome=hit {end}",
        f"{begin}GET route=path secret=db status=200 outcome=hit {end}",
        f"{begin}GET route={get} secret=no status=400 outcome=ResourceNotFoundException {end}",
        f"{begin}GET route={get} secret='a status=200\\nx' status=400 outcome=ResourceNotFoundException {end}",
        f"{begin.replace('web', '-')}GET route=/ping secret=- status=200 outcome=ok {end}",
        f"{begin}GET route=none secret=- status=404 outcome=refused {end}",
        f"{begin.replace('web', '-')}GET route={get} secret=- status=403 outcome=refused {end}",
        f"{begin}POST route=/secretsmanager/batch secret=- status=200 outcome=batch {end}",
    ]
    desk = bench.app.desk(Peer("tcp", None, "x"))
    assert (desk.memo, desk.essences) == ({}, {})


def test_no_access_log(bench):
    """Not unless it is asked for."""
    bench.fetch(GET + "db")
    bench.fetch(GET + "db")
    assert bench.log.lines == []


def test_counts(bench):
    """Requests by route and status, and what the cache holds."""
    for target in (GET + "db", GET + "db", GET + "db", "/v1/db", "/nothing", "/ping", GET + "no"):
        bench.fetch(target)
    bench.app.connections = lambda: 7
    bench.app.in_hand = 3
    bench.upstream.roles = 2
    text = bench.fetch("/metrics").text
    for line in (
        'requests_total{route="/secretsmanager/get",status="200"} 2',
        'requests_total{route="recalled",status="200"} 1',
        'requests_total{route="path",status="200"} 1',
        'requests_total{route="none",status="404"} 1',
        'requests_total{route="/secretsmanager/get",status="400"} 1',
        "hits_total 3",
        "misses_total 2",
        "stale_total 0",
        "entries 1",
        f"bytes {bench.cache.bytes}",
        "connections 7",
        "in_hand 3",
        "in_flight 0",
        "roles 2",
    ):
        assert f"strongroom_agent_{line}\n" in text
    assert "db" not in text
