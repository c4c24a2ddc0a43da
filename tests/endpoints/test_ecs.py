import asyncio
import json

import pytest

from harness.endpoints import HOST, HOUR, START, TCP, TOKEN, Bench, made
from harness.service import DATE, Reply
from strongroom.endpoints.ecs import Ecs, Entry
from strongroom.errors import AwsRefused, AwsUnreachable, PromptDismissed
from strongroom.serve.listener import Peer

ROLE = "arn:aws:iam::111122223333:role/admin"
OTHER_ROLE = "arn:aws:iam::111122223333:role/team/audit"
BODY = (
    '{"AccessKeyId":"ASIAEXAMPLE000000001","Expiration":"2030-03-17T18:46:40Z",'
    '"SecretAccessKey":"secret-1","Token":"session"}\n'
)
FORBIDDEN = '{"Message":"invalid Authorization token"}\n'


@pytest.fixture
def bench():
    bench = Bench()
    bench.ecs("arn:aws:iam::111122223333:role/*")
    yield bench
    bench.close()


def message(reply):
    assert reply.headers["content-type"] == "application/json"
    return reply.status, json.loads(reply.body)["Message"]


def test_credentials(bench):
    """The right token: status 200, JSON, four members, nothing for a cache to keep."""
    reply = bench.fetch()
    assert reply.short == (200, BODY)
    assert reply.headers == {
        "date": DATE.decode(),
        "content-type": "application/json",
        "content-length": str(len(BODY)),
        "cache-control": "no-store",
    }


@pytest.mark.parametrize("target", ["/", "/?a=b", "http://127.0.0.1:4000", "http://127.0.0.1:4000/"])
def test_where(bench, target):
    """However the address without a path is written, and whatever is asked behind it."""
    assert bench.fetch(target).short == (200, BODY)


@pytest.mark.parametrize("target", ["/creds", "/latest/meta-data/", "/role-arn", "/roles", "//", "/profile", "/./"])
def test_nowhere_else(bench, target):
    """Other paths are unknown."""
    assert message(bench.fetch(target)) == (404, "not found")
    assert bench.fetched.calls == 0


@pytest.mark.parametrize("token", [None, "", "x", TOKEN[:-1], TOKEN + "t", TOKEN.upper(), "Bearer " + TOKEN])
@pytest.mark.parametrize("target", ["/", "/nowhere", "/role-arn/" + ROLE])
def test_the_wrong_token(bench, token, target):
    """403 before anything else is looked at, in aws-vault's words; the log shows no token."""
    assert bench.fetch(target, token=token).short == (403, FORBIDDEN)
    assert bench.fetched.calls == 0
    assert bench.lines == ["refused a request of 127.0.0.1:40001: no token, or not the right one"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "CONNECT", "get"])
def test_methods(bench, method):
    """Nothing is ever changed here."""
    reply = bench.fetch(method=method)
    assert message(reply) == (405, "only GET is allowed")
    assert reply.headers["allow"] == "GET, HEAD"


def test_head(bench):
    """HEAD tells of the body without it."""
    reply = bench.fetch(method="HEAD")
    assert reply.short == (200, "")
    assert reply.headers["content-length"] == str(len(BODY))


def test_a_body_that_is_still_coming(bench):
    """It is not waited for."""
    from strongroom.serve.http import Request

    desk = bench.site.desk(TCP)
    for token, status in ((TOKEN, 405), ("x", 403)):
        request = Request(bench.head("/", "Content-Length: 100000", method="POST", token=token))
        assert desk.refuse(request, TCP).status == status


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        (b"127.0.0.1", "it is for host '127.0.0.1'"),
        (b"127.0.0.1:4001", "it is for host '127.0.0.1:4001'"),
        (b"127.0.0.1.evil.com:4000", "it is for host '127.0.0.1.evil.com:4000'"),
        (b"evil.com", "it is for host 'evil.com'"),
        (b"", "it is for host ''"),
        (b"a" * 300, f"it is for host '{'a' * 100}'..."),
        (None, "it names no host"),
    ],
)
def test_hosts(bench, host, reason):
    """A name that a web page had point to this machine is not ours, whatever the token."""
    assert message(bench.fetch(host=host)) == (403, f"refused: {reason}")
    assert bench.lines == [f"refused a request of 127.0.0.1:40001: {reason}"]
    assert bench.fetched.calls == 0


def test_an_absolute_target(bench):
    """Its host counts as well as the header's: both must be ours."""
    assert message(bench.fetch("http://evil.com/"))[1] == "refused: it is for host 'evil.com'"
    assert bench.fetch("http://127.0.0.1:4000/", host=b"evil.com").status == 403


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("X-Forwarded-For: 127.0.0.1", "it has been forwarded (X-Forwarded-For)"),
        ("x-forwarded-for:", "it has been forwarded (X-Forwarded-For)"),
        ("Forwarded: for=127.0.0.1", "it has been forwarded (Forwarded)"),
        ("Via: 1.1 proxy", "it has been forwarded (Via)"),
        ("X-Real-IP: 127.0.0.1", "it has been forwarded (X-Real-IP)"),
        ("Origin: https://evil.com", "it was sent by a web page of 'https://evil.com'"),
        ("Origin: null", "it was sent by a web page of 'null'"),
        ("Origin: http://127.0.0.1:4000", "it was sent by a web page of 'http://127.0.0.1:4000'"),
    ],
)
def test_through_others(bench, header, reason):
    """What came through another host, or from a page in a browser, is refused, with the right token too."""
    assert message(bench.fetch("/", header)) == (403, f"refused: {reason}")
    assert bench.lines == [f"refused a request of 127.0.0.1:40001: {reason}"]


def test_from_another_machine(bench):
    """The address of the other end must be this machine's."""
    peer = Peer("tcp", None, "192.168.0.7:555", ("192.168.0.2", 4000), ("192.168.0.7", 555))
    assert message(bench.fetch(peer=peer)) == (403, "refused: not from this machine: 192.168.0.7")


def test_another_process(bench):
    """Asked once for a connection; the log says what would let it in, the client learns the reason."""
    bench.scope.reason = "it is not a child of this command"
    desk = bench.site.desk(TCP)
    assert message(bench.fetch(desk=desk)) == (403, "refused: it is not a child of this command")
    assert message(bench.fetch(desk=desk)) == (403, "refused: it is not a child of this command")
    assert bench.scope.asked == [(("127.0.0.1", 4000), ("127.0.0.1", 40001))]
    assert bench.lines == [
        "refused a request of 127.0.0.1:40001: it is not a child of this command; --any-process would let it"
    ]
    bench.scope.reason = ""
    assert bench.fetch().status == 200


def test_role(bench):
    """Assumed with the slot's credentials, once for many who ask; with the role and its account."""
    for _ in range(3):
        reply = bench.fetch("/role-arn/" + ROLE)
        assert reply.status == 200
        assert json.loads(reply.body) == {
            "AccessKeyId": "ASIAEXAMPLE000000051",
            "AccountId": "111122223333",
            "Expiration": "2030-03-17T18:46:40Z",
            "RoleArn": ROLE,
            "SecretAccessKey": "secret-51",
            "Token": "role session",
        }
    assert bench.assumed.calls == [("ASIAEXAMPLE000000001", ROLE)]
    assert bench.lines[-1] == f"{ROLE}: credentials ****0051 until 2030-03-17T18:46:40Z"


@pytest.mark.parametrize(
    "target", ["/role-arn/" + ROLE.replace(":", "%3A").replace("/", "%2f"), "/role-arn/" + ROLE + "?a=b"]
)
def test_role_however_written(bench, target):
    """Escaped or not, with or without a query: it is the same role."""
    bench.fetch("/role-arn/" + ROLE)
    assert bench.fetch(target).status == 200
    assert bench.assumed.calls == [("ASIAEXAMPLE000000001", ROLE)]


def test_fifty_cold_requests(bench):
    """One fetch, one AssumeRole."""
    bench.calls.is_held = True
    tasks = [bench.send("/role-arn/" + ROLE) for _ in range(50)]
    bench.settle()
    bench.calls.run()
    bench.settle()
    bench.calls.run()
    bench.settle()
    assert {each.result().status for each in tasks} == {200}
    assert (bench.fetched.calls, len(bench.assumed.calls)) == (1, 1)


def test_a_role_that_is_not_allowed(bench):
    """403 that names the flag; nothing is fetched."""
    other = "arn:aws:iam::999999999999:role/admin"
    reason = f"{other} is not one of the allowed roles: --allow-role says which are"
    assert message(bench.fetch("/role-arn/" + other)) == (403, reason)
    assert bench.lines == [f"refused a request of 127.0.0.1:40001: {other} is not allowed; --allow-role would allow it"]
    assert (bench.fetched.calls, bench.assumed.calls) == (0, [])


@pytest.mark.parametrize("how", [{"assume": None}, {"allowed_roles": ()}])
def test_no_roles_at_all(bench, how):
    """None is allowed unless it is said."""
    entry = Entry(bench.slot, TOKEN, **{"assume": bench.assumed, "allowed_roles": ["*"]} | how)
    bench.serve(Ecs({"jon": entry}, hosts={HOST}, scope=None, log=bench.lines.append))
    assert bench.fetch("/role-arn/" + ROLE).status == 403
    assert bench.fetch("/").status == 200


@pytest.mark.parametrize("text", ["", "admin", "arn:aws:iam::1:role/x", "%00", "arn:aws:iam::111122223333:role/a%0ab"])
def test_no_role(bench, text):
    """What is no ARN of a role is not sent anywhere."""
    assert message(bench.fetch("/role-arn/" + text)) == (400, "what follows /role-arn/ is not the ARN of a role")


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (AwsUnreachable("no answer"), 503, "no answer"),
        (AwsRefused("AccessDenied", 403, "not authorized"), 403, "not authorized"),
        (PromptDismissed("nobody entered a code"), 403, "nobody entered a code"),
        (ValueError("canary"), 500, "internal error: ValueError"),
    ],
)
@pytest.mark.parametrize("is_role", [False, True])
def test_no_credentials(bench, error, status, reason, is_role):
    """A status and the reason, never an empty answer with success."""
    if is_role:
        bench.assumed.answers[ROLE] = error
    else:
        bench.fetched.answer = error
    assert message(bench.fetch("/role-arn/" + ROLE if is_role else "/")) == (status, reason)


def test_a_role_needs_the_slot(bench):
    """Without credentials to assume it with, the reason is the slot's."""
    bench.fetched.answer = AwsUnreachable("no answer")
    assert message(bench.fetch("/role-arn/" + ROLE)) == (503, "no answer")
    assert bench.assumed.calls == []


def test_whose_they_are(bench):
    """A profile that is a role says so; another one says of which account it is, if that is known."""
    for how, said in (
        ({"role_arn": ROLE}, {"RoleArn": ROLE, "AccountId": "111122223333"}),
        ({"account_id": "123456789012"}, {"AccountId": "123456789012"}),
        ({"role_arn": ROLE, "account_id": "1"}, {"RoleArn": ROLE, "AccountId": "1"}),
        ({}, {}),
    ):
        entry = Entry(bench.slot, TOKEN, **how)
        bench.serve(Ecs({"jon": entry}, hosts={HOST}, scope=None, log=bench.lines.append))
        assert json.loads(bench.fetch().body) == json.loads(BODY) | said


def test_several_profiles(bench):
    """Each token opens its own profile and no other, and tells of no other."""
    entries = {
        name: Entry(
            bench.new_slot(name, lambda name=name: made(1, token=name)), f"token of {name}", assume=bench.assumed
        )
        for name in ("jon", "jo n/ß")
    }
    bench.serve(Ecs(entries, hosts={HOST}, scope=None, log=bench.lines.append))

    def tokens(target, token):
        reply = bench.fetch(target, token=token)
        return json.loads(reply.body)["Token"] if reply.status == 200 else reply.status

    for target, token, seen in (
        ("/", "token of jon", "jon"),
        ("/profile/jon", "token of jon", "jon"),
        ("/profile/jon/", "token of jon", "jon"),
        ("/profile/jo%20n%2F%C3%9F", "token of jon", 403),
        ("/profile/nobody", "token of jon", 403),
        ("/profile/jo", "token of jon", 403),
        ("/profile/", "token of jon", 403),
        ("/profile/jon", "token of nobody", 403),
        ("/profile/jon/x", "token of jon", 404),
        ("/profile/jon/profile/jon", "token of jon", 404),
        ("/profile/jon/role-arn/" + ROLE, "token of jon", 403),
    ):
        assert tokens(target, token) == seen, target
    desk = bench.site.desk(TCP)
    token = "token of jo n/ß".encode().decode("latin-1")
    reply = bench.run(bench.send("/profile/jo%20n%2F%C3%9F", f"Authorization: {token}", token=None, desk=desk))
    assert json.loads(reply.body)["Token"] == "jo n/ß"


def test_known_heads(bench):
    """The same head on the same connection is answered by its bytes: as long as the credentials are the same."""
    desk = bench.site.desk(TCP)
    head = bench.head()
    assert desk.recall(head) is None
    bench.fetch(desk=desk)
    assert desk.recall(head) is None  # it had to wait
    first = bench.fetch(desk=desk)
    assert Reply(desk.recall(head)).raw == first.raw
    assert desk.recall(bench.head("/?")) is None
    assert bench.site.desk(TCP).recall(head) is None
    bench.site.date = b"Sun, 06 Nov 1994 08:49:38 GMT"
    assert desk.recall(head) == first.raw.replace(DATE, bench.site.date)
    bench.slot.keep(made(2))
    assert desk.recall(head) is None
    assert json.loads(bench.fetch(desk=desk).body)["SecretAccessKey"] == "secret-2"
    assert desk.recall(head) is not None
    bench.wall.tick(HOUR)
    assert desk.recall(head) is None
    assert bench.fetch(desk=desk).status == 200
    assert bench.fetched.calls == 2


def test_another_head_for_the_same(bench):
    """Checked anew; the answer is not made anew."""
    bench.slot.keep(made(1))
    desk = bench.site.desk(TCP)
    first = bench.fetch(desk=desk)
    assert bench.fetch("/", "Traceparent: 1", desk=desk).raw == first.raw
    assert bench.fetch("/", "Traceparent: 2", "Origin: null", desk=desk).status == 403
    assert bench.fetch("/", "Traceparent: 3", token="x", desk=desk).status == 403
    bench.site.date = b"Sun, 06 Nov 1994 08:49:38 GMT"
    assert bench.fetch("/?4", desk=desk).raw == first.raw.replace(DATE, bench.site.date)
    assert json.loads(bench.run(bench.send("/role-arn/" + ROLE, desk=desk)).body)["RoleArn"] == ROLE
    bench.slot.keep(made(2))
    assert json.loads(bench.fetch("/", "Traceparent: 5", desk=desk).body)["SecretAccessKey"] == "secret-2"


@pytest.mark.parametrize(
    ("headers", "how"),
    [
        ([], {"method": "HEAD"}),
        ([], {"version": b"1.0"}),
        (["Connection: close"], {}),
        (["Content-Length: 3"], {}),
        (["Transfer-Encoding: chunked"], {}),
        (["A: " + "a" * 2048], {}),
    ],
)
def test_heads_that_are_not_known(bench, headers, how):
    """What does not say everything, or whose answer is another one, is looked at each time."""
    bench.slot.keep(made(1))
    desk = bench.site.desk(TCP)
    for _ in range(3):
        assert bench.fetch("/", *headers, desk=desk, **how).status == 200
        assert desk.recall(bench.head("/", *headers, **how)) is None


def test_each_request_is_told(bench):
    """To whoever wants to know: who asked for what, and what came of it; no secret, and no query."""
    told = []
    bench.ecs(access=told.append)
    desk = bench.site.desk(TCP)
    for target in ("/?secret", "/", "/nowhere", "/\xc2\x9b2J"):
        bench.fetch(target, desk=desk)
    shown = [line.rpartition(" (")[0] for line in told]
    assert shown == [
        "http: 127.0.0.1:40001: 200 GET /",
        "http: 127.0.0.1:40001: 200 GET /",
        "http: 127.0.0.1:40001: 404 GET /nowhere",
        r"http: 127.0.0.1:40001: 404 GET '/\x9b2J'",
    ]
    assert all(line.endswith(" ms)") for line in told)


def test_the_end(bench):
    """An entry begins and ends with all that belongs to it."""
    entry = next(iter(bench.site.slots.values()))
    bench.fetch("/role-arn/" + ROLE)

    async def start():
        entry.start()
        await asyncio.sleep(0)

    bench.run(start())
    bench.run(entry.close())
    assert message(bench.fetch()) == (503, "the server is ending")
    assert message(bench.fetch("/role-arn/" + ROLE)) == (503, "the server is ending")
    assert bench.wall() == START


def test_the_end_without_roles(bench):
    """There is only the slot to end."""
    entry = Entry(bench.slot, TOKEN)
    bench.slot.keep(made(1))
    bench.run(entry.close())
    assert bench.slot.current() is None


def test_no_token_at_all(bench):
    """It would be in every request."""
    with pytest.raises(ValueError) as caught:
        Entry(bench.slot, "")
    assert str(caught.value) == "without a token anybody could ask"
