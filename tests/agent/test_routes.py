import json
import re
from dataclasses import replace
from urllib.parse import quote

import pytest

from harness.service import AppBench, arn_of, denied, gone, transient
from strongroom.agent import routes
from strongroom.agent.config import ClientRule, Config, Own
from strongroom.serve.listener import Peer

GET = "/secretsmanager/get?secretId="
PARAMETER = "/systemsmanager/parameters/get?name="
ROLE = "arn:aws:iam::111122223333:role/reader"
STALE = '110 - "Response is Stale"'
TEXT = "text/plain; charset=utf-8"


@pytest.fixture
def bench_of(closing):
    """Makes agents."""
    return closing(AppBench)


@pytest.fixture
def bench(bench_of):
    made = bench_of()
    made.upstream.put("db")
    return made


def post(bench, target, body=b"", **how):
    return bench.fetch(target, method="POST", body=body, **how)


def batch(bench, *items, **how):
    return json.loads(post(bench, "/secretsmanager/batch", json.dumps({"secrets": items}).encode(), **how).text)


# --- secrets


def test_a_secret(bench):
    """The same whole response at a miss and at a hit, in both styles, and nothing that may store it."""
    replies = [bench.fetch(target) for target in (GET + "db", GET + "db", "/v1/db", GET + quote(arn_of("db")))]
    assert {reply.raw for reply in replies} == {replies[0].raw}
    assert replies[0].text == (
        f'{{"ARN":"{arn_of("db")}","Name":"db","VersionId":"V1","SecretString":"hunter2",'
        '"VersionStages":["AWSCURRENT"],"CreatedDate":"1569534789.046"}'
    )
    headers = replies[0].headers
    assert re.fullmatch('"[0-9a-f]{32}"', headers.pop("etag"))
    assert headers == {
        "date": "Sun, 06 Nov 1994 08:49:37 GMT",
        "content-type": "application/json",
        "content-length": str(len(replies[0].body)),
        "cache-control": "no-store",
    }
    assert len(bench.upstream.asked) == 1


def test_all_that_may_be_asked(bench):
    """It is passed on as it was sent."""
    bench.fetch(f"{GET}a%2Fb%20c&versionId=V1&versionStage=AWSPENDING&roleArn={ROLE}")
    bench.fetch("/v1/a/b?versionStage=")
    assert bench.upstream.asked == [(ROLE, "a/b c", "V1", "AWSPENDING"), (None, "a/b", None, "")]


def test_head(bench):
    """As GET, without the body."""
    for _ in range(2):
        head, got = bench.fetch(GET + "db", method="HEAD"), bench.fetch(GET + "db")
        assert (head.status, head.headers, head.body) == (200, got.headers, b"")


def test_the_old_version(bench):
    """HTTP/1.0, and connections that end, get the same."""
    got = bench.fetch(GET + "db")
    for how in ({"version": b"1.0"}, {"headers": [("Connection", "close")]}):
        assert bench.fetch(GET + "db", **how).raw == got.raw


def test_not_modified(bench):
    """304 for whoever has this value already, by each way that RFC 9110 has to say it."""
    bench.upstream.put("db", '{"a":"x"}')
    for target in (GET + "db", GET + "db&jsonKey=a", GET + "db&refreshNow=true"):
        etag = bench.fetch(target).headers["etag"]
        for condition in (etag, f"W/{etag}", f'"x", {etag}', "*"):
            reply = bench.fetch(target, headers=[("If-None-Match", condition)])
            assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", etag)
            assert "content-length" not in reply.headers
        for condition in ('"x"', "", etag.strip('"')):
            assert bench.fetch(target, headers=[("If-None-Match", condition)]).status == 200
    bench.upstream.put("db", "new")
    reply = bench.fetch(GET + "db&refreshNow=true", headers=[("If-None-Match", etag)])
    assert (reply.status, reply.headers["etag"] == etag) == (200, False)


def test_stale(bench):
    """It says so and how old it is, whole, as a value, to HEAD and as not modified; also to who has waited."""
    bench.upstream.put("db", '{"a":"x"}')
    etag = bench.fetch(GET + "db").headers["etag"]
    bench.upstream.fail(transient(), "db")
    bench.clock.tick(350)
    replies = [
        bench.fetch(GET + "db"),
        bench.fetch(GET + "db"),
        bench.fetch(GET + "db", method="HEAD"),
        bench.fetch(GET + "db&jsonKey=a"),
        bench.fetch(GET + "db", headers=[("If-None-Match", etag)]),
    ]
    assert [reply.status for reply in replies] == [200, 200, 200, 200, 304]
    assert {(reply.headers["age"], reply.headers["warning"]) for reply in replies} == {("350", STALE)}
    assert bench.metrics.stale == 5
    bench.upstream.put("db", "back")
    bench.clock.tick(2)
    assert {"age", "warning"}.isdisjoint(bench.fetch(GET + "db").headers)


@pytest.mark.parametrize(("generation", "space"), [("agent", " "), ("sm", "")])
def test_what_aws_refuses(bench_of, generation, space):
    """Its status, code and message, in the form of the generation; at once when it is remembered."""
    bench = bench_of(generation=generation)
    for _ in range(2):
        reply = bench.fetch(GET + "no")
        assert reply.short == (400, f'{{"__type":"ResourceNotFoundException",{space}"message":"not found"}}')
        assert reply.headers["content-type"] == "application/json"
    assert len(bench.upstream.asked) == 1


def test_refresh_now(bench):
    """AWS is asked, whatever is cached."""
    bench.fetch(GET + "db")
    bench.upstream.put("db", "new")
    assert "hunter2" in bench.fetch(GET + "db").text
    assert "new" in bench.fetch(GET + "db&refreshNow=true").text
    assert "new" in bench.fetch(GET + "db").text
    assert (bench.metrics.misses, len(bench.upstream.asked)) == (2, 2)


def test_rejected(bench):
    """One refresh, if it names what would be served."""
    bench.fetch(GET + "db")
    bench.upstream.put("db", "new", version="V2")
    assert "hunter2" in bench.fetch(GET + "db&rejected=V2").text
    assert "new" in bench.fetch(GET + "db&rejected=V1").text
    assert len(bench.upstream.asked) == 2


def test_many_at_once(bench):
    """A thousand requests, one call, equal answers."""
    bench.calls.is_held = True
    waiting = [bench.send(bench.head(GET + "db")) for _ in range(1000)]
    bench.settle()
    bench.land()
    assert {each.result().raw for each in waiting} == {bench.fetch(GET + "db").raw}
    assert len(bench.upstream.asked) == 1


# --- values of JSON secrets


def test_json_key(bench):
    """The value alone, as text; made once for each record."""
    bench.upstream.put("db", '{"a":{"b":"deep"},"n":1.10}')
    for _ in range(3):
        reply = bench.fetch(GET + "db&jsonKey=a.b")
        assert (reply.short, reply.headers["content-type"]) == ((200, "deep"), TEXT)
        assert bench.fetch("/v1/db?jsonKey=n").text == "1.10"
    record = bench.record("db")
    assert sorted(record.parts) == ["a.b", "n"]
    assert bench.cache.bytes == record.size > len(record.response) + 1024


def test_json_keys_that_are_not_there(bench):
    """404, and nothing of the secret."""
    bench.upstream.put("db", '{"a":1}')
    for _ in range(2):
        reply = bench.fetch(GET + "db&jsonKey=b")
        assert json.loads(reply.text) == {"__type": "JsonKeyNotFound", "message": "the secret has no value at 'b'"}
        assert reply.status == 404
    bench.upstream.put("text", "hunter2")
    assert json.loads(bench.fetch(GET + "text&jsonKey=b").text)["message"] == "the secret is not JSON"
    assert bench.record("db").parts == {}


def test_values_of_a_secret_that_changed(bench):
    """Never an old one."""
    for value in ("one", "two", "three"):
        bench.upstream.put("db", json.dumps({"a": value}))
        assert bench.fetch(GET + "db&refreshNow=true&jsonKey=a").text == value
        assert [bench.fetch(GET + "db&jsonKey=a").text for _ in range(4)] == [value] * 4


def test_values_are_bounded(bench_of):
    """Neither their number nor their bytes outgrow the cache; what is not kept is served all the same."""
    bench = bench_of(max_bytes=6000)
    bench.upstream.put("db", json.dumps({str(number): "x" * 60 for number in range(40)}))
    bench.fetch(GET + "db")
    for number in range(40):
        assert bench.fetch(f"{GET}db&jsonKey={number}").text == "x" * 60
        assert bench.cache.bytes <= 6000
    assert 0 < len(bench.record("db").parts) < routes.MOST_PARTS
    bench.upstream.put("large", json.dumps({str(number): "x" for number in range(40)}))
    for number in range(40):
        assert bench.fetch(f"{GET}large&jsonKey={number}").text == "x"
    bench.service.reconfigure(replace(bench.config, own=Own()), bench.upstream)
    for number in range(40):
        assert bench.fetch(f"{GET}large&jsonKey={number}").text == "x"
    assert len(bench.record("large").parts) == routes.MOST_PARTS


# --- parameters


@pytest.fixture
def parameter(bench):
    """A parameter of AWS's."""
    answer = {
        "ARN": "arn:aws:ssm:eu-west-1:111122223333:parameter/a",
        "Name": "/a",
        "Type": "String",
        "Value": '{"k":"v"}',
    }
    bench.upstream.answers |= {"ssm:/a": {**answer, "Version": 2}, "ssm:/a:1": {**answer, "Version": 1}}
    return "/a"


def test_a_parameter(bench, parameter):
    """As AWS's Lambda extension answers it, from the cache as secrets are."""
    for _ in range(3):
        told = json.loads(bench.fetch(PARAMETER + parameter).text)
        assert (told["Parameter"]["Value"], told["Parameter"]["Version"]) == ('{"k":"v"}', 2)
        assert json.loads(bench.fetch(f"{PARAMETER}{parameter}&version=1").text)["Parameter"]["Version"] == 1
    bench.fetch(f"{PARAMETER}{parameter}&withDecryption=true&label=1&roleArn={ROLE}")
    assert bench.upstream.asked == [(None, "/a", False), (None, "/a:1", False), (ROLE, "/a:1", True)]


def test_a_value_of_a_parameter(bench, parameter):
    """By its key."""
    assert [bench.fetch(f"{PARAMETER}{parameter}&jsonKey=k").short for _ in range(3)] == [(200, "v")] * 3
    reply = bench.fetch(f"{PARAMETER}{parameter}&jsonKey=x")
    assert (reply.status, json.loads(reply.text)["message"]) == (404, "the parameter has no value at 'x'")


def test_a_secret_is_no_parameter(bench, parameter):
    """Of the same name, each is what it is."""
    bench.upstream.put("/a", "secret")
    assert '"Parameter"' in bench.fetch(PARAMETER + parameter).text
    assert '"SecretString":"secret"' in bench.fetch(GET + "/a").text
    assert len(bench.cache) == 2


# --- several at once


def test_a_batch(bench):
    """Each has its own result or error, in the order of the list; each is asked for once."""
    bench.upstream.put("a", "one")
    bench.fetch(GET + "a")
    told = batch(bench, "a", "no", {"secretId": "a", "versionId": "V1"}, "a", {"secretId": ""}, 7)
    assert [(each["secretId"], each["status"]) for each in told["secrets"]] == [
        ("a", 200),
        ("no", 400),
        ("a", 200),
        ("a", 200),
        ("", 400),
        (None, 400),
    ]
    assert told["secrets"][0]["value"]["SecretString"] == "one"
    assert told["secrets"][1]["error"] == {"__type": "ResourceNotFoundException", "message": "not found"}
    assert bench.upstream.ids() == ["a", "no", "a"]
    assert (bench.metrics.hits, bench.metrics.misses) == (1, 3)


def test_a_batch_does_not_crowd_out_others(bench):
    """Twenty calls at once; the rest when they are back."""
    bench.calls.is_held = True
    body = json.dumps({"secrets": [f"s{number}" for number in range(50)]}).encode()
    task = bench.send(bench.head("/secretsmanager/batch", method="POST"), body=body)
    seen = []
    while not task.done():
        bench.settle()
        seen.append(len(bench.calls.waiting))
        bench.land()
    assert [count for count in seen if count] == [20, 20, 10]
    assert {each["status"] for each in json.loads(task.result().text)["secrets"]} == {400}


def test_a_batch_refreshes(bench):
    """Those for which it is asked."""
    bench.fetch(GET + "db")
    bench.upstream.put("db", "new")
    told = batch(bench, "db", {"secretId": "db", "refreshNow": True})
    assert [each["value"]["SecretString"] for each in told["secrets"]] == ["hunter2", "new"]


def test_a_stale_batch(bench):
    """What is cached is served there, too."""
    bench.fetch(GET + "db")
    bench.upstream.fail(transient(), "db")
    bench.clock.tick(400)
    assert batch(bench, "db")["secrets"][0]["value"]["SecretString"] == "hunter2"
    assert bench.metrics.stale == 1


def test_a_batch_that_is_none(bench):
    """The whole is refused."""
    assert post(bench, "/secretsmanager/batch", b"{").short == (
        400,
        '{"__type":"InvalidParameterException", "message":"the body is not JSON"}',
    )


# --- forgetting


def test_invalidation(bench, parameter):
    """How many went is told: of a secret, of a parameter, of all."""
    for target in (GET + "db", GET + "db&versionId=V1", PARAMETER + "/a", GET + "b"):
        bench.fetch(target)
    assert post(bench, "/invalidate?secretId=db").short == (200, '{"invalidated":2}')
    assert post(bench, f"/invalidate?secretId=/a&roleArn={ROLE}").short == (200, '{"invalidated":0}')
    assert post(bench, "/invalidate?secretId=/a").short == (200, '{"invalidated":1}')
    bench.fetch(GET + "db")
    assert post(bench, "/strongroom/invalidate?secretId=*").short == (200, '{"invalidated":1}')
    assert post(bench, "/invalidate").short == (400, "missing parameter secretId")


# --- readiness and metrics


def test_ready(bench):
    """Once nothing is waited for; what is, is told."""
    bench.app.waiting_for |= {"credentials": "no credentials", "prefetch": "no secrets"}
    assert bench.fetch("/ready", token=None).short == (503, "no credentials\nno secrets\n")
    bench.app.waiting_for.clear()
    assert bench.fetch("/ready", token=None).short == (200, "ready")


def test_names_in_the_metrics(bench_of):
    """If the config wants them, and the client may know them."""
    rules = (ClientRule("web", token_file="/w", secrets=("web/*",)),)
    for own, metrics_token, token, named in (
        ({}, None, b"main-token", False),
        ({"metrics_secret_names": True}, None, b"main-token", True),
        ({"metrics_secret_names": True}, b"scrape", b"scrape", True),
        ({"metrics_secret_names": True, "clients": rules}, b"scrape", b"web", False),
        ({"metrics_secret_names": True, "clients": rules}, b"scrape", b"scrape", True),
    ):
        bench = bench_of(metrics_token=metrics_token, tokens={"/w": b"web"}, **own)
        bench.upstream.put("web/db")
        bench.fetch(GET + "web/db", token=b"web" if "clients" in own else b"main-token")
        text = bench.fetch("/metrics", token=token).text
        assert ('secret_age_seconds{secret="web/db"} 0.0' in text) == ("web/db" in text) == named


# --- who may have what

RULES = (
    ClientRule("web", token_file="/w", uid=1, secrets=("web/*", "ssm:/web/*"), roles=(ROLE,)),
    ClientRule("pay", token_file="/p", secrets=(arn_of("pay/*")[:-7],)),
)
NAMES = ("web/db", "pay/db", "else")


@pytest.fixture
def guarded(bench_of):
    """Two clients, three secrets, one more by a reference, and parameters."""
    bench = bench_of(tokens={"/w": b"web-token", "/p": b"pay-token"}, clients=RULES)
    for name in NAMES:
        arn = bench.upstream.put(name, json.dumps({"k": f"value of {name}"}))
        reference = f"/aws/reference/secretsmanager/{name}"
        told = {"ARN": arn, "Name": reference, "Value": json.dumps({"k": f"value of {name}"})}
        bench.upstream.answers[f"ssm:{reference}"] = told
        own = {"ARN": f"arn:aws:ssm:eu-west-1:111122223333:parameter/{name}", "Name": f"/{name}"}
        bench.upstream.answers[f"ssm:/{name}"] = {**own, "Value": f"value of /{name}"}
    return bench


def ways(name):
    """All ways to ask for a secret."""
    arn = arn_of(name)
    for text in (name, arn, arn[:-7]):
        for more in ("", "&versionId=V1", "&versionStage=AWSCURRENT", "&jsonKey=k", "&refreshNow=true", "&rejected=V1"):
            yield f"{GET}{quote(text, safe='')}{more}"
            yield f"/v1/{quote(text, safe='')}?{more[1:]}"
    reference = f"/aws/reference/secretsmanager/{name}"
    for spelling in (reference, f"/{reference}", reference.upper(), f"{reference}:1", reference[1:]):
        for more in ("", "&withDecryption=true", "&jsonKey=k", "&version=1"):
            yield f"{PARAMETER}{quote(spelling)}{more}"


def seen_by(bench, token, target):
    """Which secrets an answer holds."""
    text = bench.fetch(target, token=token).text
    return {name for name in NAMES if f"value of {name}" in text}


@pytest.mark.parametrize("is_warm", [False, True])
@pytest.mark.parametrize(("token", "own"), [(b"web-token", "web/db"), (b"pay-token", "pay/db")])
def test_nobody_gets_what_is_not_theirs(guarded, is_warm, token, own):
    """By no spelling, on no route, whether AWS has to be asked, or it is cached because another client has asked."""
    other = {b"web-token": b"pay-token", b"pay-token": b"web-token"}[token]
    for name in NAMES:
        for target in ways(name):
            for _ in range(3):
                if is_warm:
                    guarded.fetch(target, token=other)
                assert seen_by(guarded, token, target) <= {own}
    assert seen_by(guarded, token, f"{GET}{own}") == seen_by(guarded, token, f"{GET}{quote(arn_of(own))}") == {own}
    items = [text for name in NAMES for text in (name, arn_of(name), arn_of(name)[:-7], {"secretId": name})]
    told = batch(guarded, *items, token=token)["secrets"]
    assert {each["value"]["Name"] for each in told if each["status"] == 200} == {own}
    assert {each["status"] for each in told} == {200, 403}
    assert all(each["error"]["__type"] == "AccessDeniedException" for each in told if each["status"] == 403)


def test_what_is_theirs(guarded):
    """Each way to it leads there, from AWS and from the cache."""
    for _ in range(3):
        for text in ("web/db", arn_of("web/db"), arn_of("web/db")[:-7]):
            assert seen_by(guarded, b"web-token", GET + quote(text)) == {"web/db"}
        assert seen_by(guarded, b"web-token", f"{PARAMETER}/aws/reference/secretsmanager/web/db") == {"web/db"}
        assert "value of /web/db" in guarded.fetch(f"{PARAMETER}/web/db", token=b"web-token").text
        assert guarded.fetch(f"{PARAMETER}/web/db", token=b"pay-token").status == 403


def test_an_answer_that_is_another_secret(guarded):
    """An id that may be asked for leads to what may not be had: it is not handed out, now or later."""
    guarded.upstream.answers["web/alias"] = guarded.upstream.answers["pay/db"]
    for _ in range(3):
        reply = guarded.fetch(GET + "web/alias", token=b"web-token")
        assert reply.short == (403, '{"__type":"AccessDeniedException", "message":"client web may not read web/alias"}')
    assert batch(guarded, "web/alias", token=b"web-token")["secrets"][0]["status"] == 403
    assert guarded.log.of("warn") == ["client web may not read web/alias; peer=127.0.0.1:40000"] * 4


def test_refusals(guarded):
    """They are told, logged with the client's name, and counted; AWS is not asked."""
    reply = guarded.fetch(GET + "pay/db", token=b"web-token")
    assert reply.short == (403, '{"__type":"AccessDeniedException", "message":"client web may not read pay/db"}')
    assert guarded.log.of("warn") == ["client web may not read pay/db; peer=127.0.0.1:40000"]
    assert guarded.upstream.asked == []
    text = guarded.fetch("/metrics", token=b"web-token").text
    assert 'forbidden_total{client="web"} 1' in text


def test_the_main_token(guarded):
    """It has no rights once clients are declared."""
    assert guarded.fetch(GET + "web/db").short == (403, "Bad Token")


def test_roles(guarded):
    """Those that the client may use."""
    other = ROLE.replace("reader", "admin")
    assert guarded.fetch(f"{GET}web/db&roleArn={ROLE}", token=b"web-token").status == 200
    for token, role, name in ((b"web-token", other, "web/db"), (b"pay-token", ROLE, "pay/db")):
        reply = guarded.fetch(f"{GET}{name}&roleArn={role}", token=token)
        who = token.decode().partition("-")[0]
        assert (reply.status, json.loads(reply.text)["message"]) == (403, f"client {who} may not use {role}")


def test_forgetting_is_for_those_who_may_read(guarded):
    """All of it only for who may have everything."""
    guarded.fetch(GET + "web/db", token=b"web-token")
    guarded.fetch(f"{PARAMETER}/web/db", token=b"web-token")
    for target in ("web/db", "/web/db", "*"):
        assert post(guarded, f"/invalidate?secretId={target}", token=b"pay-token").status == 403
    assert post(guarded, "/invalidate?secretId=*", token=b"web-token").status == 403
    assert len(guarded.cache) == 2
    assert post(guarded, f"/invalidate?secretId=web/db&roleArn={ROLE}x", token=b"web-token").status == 403
    assert post(guarded, "/invalidate?secretId=web/db", token=b"web-token").short == (200, '{"invalidated":1}')
    assert post(guarded, "/invalidate?secretId=/web/db", token=b"web-token").short == (200, '{"invalidated":1}')


def test_users(guarded):
    """A user who is declared needs no token on the Unix socket, and may have no more than the client."""
    peer = Peer("unix", 1, "uid 1")
    for _ in range(3):
        assert guarded.fetch(GET + "web/db", token=None, peer=peer).status == 200
        assert guarded.fetch(GET + "pay/db", token=None, peer=peer).status == 403
        assert guarded.fetch(GET + "web/db", token=None, peer=Peer("unix", 2, "uid 2")).short == (403, "Bad Token")
        assert guarded.fetch(GET + "web/db", token=b"pay-token", peer=Peer("unix", 2, "uid 2")).status == 403


def test_a_policy_that_changed(guarded):
    """It holds from now on, for what is known by its head, too."""
    for _ in range(4):
        assert guarded.fetch(GET + "web/db", token=b"web-token").status == 200
    assert guarded.recalled
    config = replace(guarded.config, own=Own(clients=(replace(RULES[0], secrets=("x",)), RULES[1])))
    guarded.service.reconfigure(config, guarded.upstream)
    guarded.app.reconfigure(config, guarded.policy(config), None)
    for headers in ((), [("X-Trace", "1")]):
        assert guarded.fetch(GET + "web/db", token=b"web-token", headers=headers).status == 403


@pytest.mark.parametrize("refusal", [denied(), gone()])
def test_a_refusal_of_aws_reaches_everybody(guarded, refusal):
    """What one client finds out holds for all: the record is gone."""
    other = RULES[0]
    config = Config(own=Own(clients=(other, replace(RULES[1], secrets=("web/*",)))))
    guarded.service.reconfigure(config, guarded.upstream)
    guarded.app.reconfigure(config, guarded.policy(config), None)
    for token in (b"web-token", b"pay-token") * 3:
        assert guarded.fetch(GET + "web/db", token=token).status == 200
    guarded.upstream.fail(refusal, "web/db")
    assert guarded.fetch(GET + "web/db&refreshNow=true", token=b"web-token").status == 400
    for token in (b"web-token", b"pay-token"):
        assert json.loads(guarded.fetch(GET + "web/db", token=token).text)["__type"] == refusal.code
