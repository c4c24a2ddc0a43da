"""The routes that AWS's agents do not have, as programs use them: parameters, batches, invalidation, readiness, counters."""

import json
import re
import time
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fakes.secrets import ACCOUNT, NOT_FOUND
from harness.agent import HEADER, TOKEN, Agent, at_once, eventually, head

ONCE = {"AWS_MAX_ATTEMPTS": "1"}
SECRET = "/secretsmanager/get?secretId="
PARAMETER = "/systemsmanager/parameters/get"
BATCH = "/secretsmanager/batch"
METRICS_TOKEN = "metrics-token-1"
STALE = '110 - "Response is Stale"'
OWN_ROUTES = ("/ready", "/metrics", PARAMETER, f"{PARAMETER}/", BATCH, "/invalidate")


@pytest.fixture(scope="module")
def _standing(tmp_path_factory, _secrets_server):
    token_file = tmp_path_factory.mktemp("tokens") / "metrics"
    token_file.write_text(f"{METRICS_TOKEN}\n")
    token_file.chmod(0o600)
    own = {"negative_ttl_seconds": 0, "metrics_token_file": token_file}
    with Agent(tmp_path_factory.mktemp("agent"), _secrets_server, env=ONCE, own=own) as agent:
        yield agent


@pytest.fixture
def standing(secrets, _standing):
    """An agent that most tests share. No two of them use the same secret or parameter."""
    return _standing


@pytest.fixture
def name(secrets):
    """A secret's name."""
    return secrets.create()


@pytest.fixture
def parameter(secrets):
    """A parameter's name that no other test has."""
    return f"/{secrets.name('parameter')}"


def parameter_arn(name, region="us-east-1"):
    return f"arn:aws:ssm:{region}:{ACCOUNT}:parameter{name}"


def get_parameter(agent, name, query="", **headers):
    return agent.fetch(f"{PARAMETER}?name={quote(name)}{query}", **headers)


def post_batch(agent, items, *, token=TOKEN):
    return agent.request("POST", BATCH, body=json.dumps({"secrets": items}).encode(), token=token)


def results(reply):
    assert reply.status == 200, reply
    return reply.json()["secrets"]


def invalidate(agent, secret_id, query="", *, token=TOKEN):
    return agent.request("POST", f"/invalidate?secretId={quote(secret_id, safe='')}{query}", token=token)


# Parameters.


def test_parameters_by_arn(standing, secrets, parameter):
    """An ARN names a parameter too, with or without a version behind it."""
    secrets.parameter(parameter, "one")
    secrets.parameter(parameter, "two")
    arn = parameter_arn(parameter)
    for asked, value in ((arn, "two"), (f"{arn}:1", "one")):
        answer = get_parameter(standing, asked).json()["Parameter"]
        assert (answer["Value"], answer["ARN"], answer["Name"]) == (value, arn, parameter)
    assert [members["Name"] for members in secrets.members("GetParameter")] == [arn, f"{arn}:1"]


def test_parameters_of_another_region(standing, secrets, parameter):
    """An ARN's region is asked; the name alone means the configured one."""
    secrets.parameter(parameter, "here")
    secrets.parameter(parameter, "there", region="eu-west-1")
    assert get_parameter(standing, parameter_arn(parameter, "eu-west-1")).json()["Parameter"]["Value"] == "there"
    assert get_parameter(standing, parameter).json()["Parameter"]["Value"] == "here"
    assert [asked.region for asked in secrets.asked] == ["eu-west-1", "us-east-1"]


def test_lists(standing, secrets, parameter):
    """A StringList is one text with commas."""
    secrets.parameter(parameter, "a,b,c", "StringList")
    answer = get_parameter(standing, parameter).json()["Parameter"]
    assert (answer["Type"], answer["Value"]) == ("StringList", "a,b,c")


def test_a_version_in_the_name(standing, secrets, parameter):
    """Written behind a colon, as AWS has it."""
    secrets.parameter(parameter, "one", labels=("Dev",))
    secrets.parameter(parameter, "two")
    for selector in (":1", ":Dev"):
        answer = get_parameter(standing, parameter + selector).json()["Parameter"]
        assert (answer["Value"], answer["Selector"]) == ("one", selector)


@pytest.mark.parametrize(
    ("query", "code"),
    [("", "ParameterNotFound"), ("&version=9", "ParameterVersionNotFound")],
    ids=["name", "version"],
)
def test_parameters_that_are_not_there(standing, secrets, parameter, query, code):
    """AWS's refusal is passed on: an unknown name or version."""
    if query:
        secrets.parameter(parameter, "one")
    reply = get_parameter(standing, parameter, query)
    assert (reply.status, reply.json()["__type"]) == (400, code)
    assert secrets.count("GetParameter") == 1


def test_refusals_without_words(standing, secrets, parameter):
    """Parameter Store says nothing but the code, and neither do we."""
    secrets.html("GetParameter", status=400, page=b'{"__type":"ParameterNotFound"}', kind="application/x-amz-json-1.1")
    assert get_parameter(standing, parameter).short == (400, '{"__type":"ParameterNotFound"}')


def test_public_parameters(standing, secrets):
    """Those that AWS publishes are parameters like all others."""
    public = "/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"
    assert get_parameter(standing, public).json()["Parameter"]["Value"].startswith("ami-")


def test_references_to_secrets(standing, secrets, name):
    """A secret as a parameter: version 0, no data type, and what Secrets Manager said besides."""
    reply = get_parameter(standing, f"/aws/reference/secretsmanager/{name}", "&withDecryption=true")
    answer = reply.json()["Parameter"]
    assert (answer["Value"], answer["Type"], answer["Version"]) == ("hunter2", "SecureString", 0)
    assert answer["DataType"] is answer["Selector"] is None
    assert json.loads(answer["SourceResult"])["secretString"] == "hunter2"
    binary = secrets.create(value=b"\x00\x01")
    reply = get_parameter(standing, f"/aws/reference/secretsmanager/{binary}", "&withDecryption=true")
    assert reply.json()["Parameter"]["Value"] is None


def test_references_that_lead_nowhere(standing, secrets, name):
    """Without decryption there is no reading a secret, and one that is not there cannot be read at all."""
    reply = get_parameter(standing, f"/aws/reference/secretsmanager/{name}")
    assert (reply.status, reply.json()["__type"]) == (400, "ValidationException")
    reply = get_parameter(standing, f"/aws/reference/secretsmanager/{secrets.name()}", "&withDecryption=1")
    assert (reply.status, reply.json()["__type"]) == (400, "ParameterNotFound")


def test_parameters_are_cached(standing, secrets, parameter):
    """However the route is written; by name and by ARN they are kept apart. ``refreshNow`` asks AWS."""
    secrets.parameter(parameter, "one")
    assert get_parameter(standing, parameter).json()["Parameter"]["Value"] == "one"
    secrets.parameter(parameter, "two")
    for target in (f"{PARAMETER}?name={parameter}", f"{PARAMETER}/?name={quote(parameter, safe='')}"):
        assert standing.fetch(target).json()["Parameter"]["Value"] == "one"
    assert get_parameter(standing, parameter, "&refreshNow=1").json()["Parameter"]["Value"] == "two"
    assert get_parameter(standing, parameter, "&withDecryption=false").json()["Parameter"]["Value"] == "two"
    assert secrets.count("GetParameter") == 2


def test_headers_of_parameters(standing, secrets, parameter):
    """JSON with a tag; who has it already gets 304; HEAD is GET without a body."""
    secrets.parameter(parameter, "one")
    got = get_parameter(standing, parameter)
    assert (got.headers["content-type"], got.headers["cache-control"]) == ("application/json", "no-store")
    again = get_parameter(standing, parameter, If_None_Match=got.headers["etag"])
    assert (again.status, again.body) == (304, b"")
    headed = standing.request("HEAD", f"{PARAMETER}?name={parameter}")
    assert (headed.status, headed.body) == (200, b"")
    assert headed.headers["content-length"] == str(len(got.body))


def test_one_value_of_a_parameter(standing, secrets, parameter):
    """``jsonKey`` picks it, in one that is JSON."""
    secrets.parameter(parameter, '{"db": {"password": "hunter2"}}', "SecureString")
    for key, status, text in (
        ("db.password", 200, "hunter2"),
        ("db", 200, '{"password":"hunter2"}'),
        ("x", 404, '{"__type":"JsonKeyNotFound", "message":"the parameter has no value at \'x\'"}'),
    ):
        assert get_parameter(standing, parameter, f"&withDecryption=true&jsonKey={key}").short == (status, text)
    reply = get_parameter(standing, parameter, "&jsonKey=db")
    assert reply.json()["message"] == "the parameter is not JSON"
    assert secrets.count("GetParameter") == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "missing parameter name"),
        ("?name=", "missing parameter name"),
        ("?secretId=a", "unknown parameter: secretId"),
        ("?name=/a&versionId=1", "unknown parameter: versionId"),
        ("?name=/a&withDecryption=yes", "invalid withDecryption value"),
        ("?name=/a&refreshNow=", "invalid refreshNow value"),
        ("?name=/a&roleArn=x", "invalid roleArn format, expected arn:<partition>:iam::<account>:role/<name>"),
    ],
)
def test_mistakes_in_questions_for_parameters(standing, secrets, query, message):
    """As for secrets; AWS is not asked."""
    for path in (PARAMETER, f"{PARAMETER}/", f"/strongroom{PARAMETER}"):
        assert standing.fetch(path + query).short == (400, message)
    assert secrets.asked == []


# Batches.


def test_a_batch(standing, secrets, name):
    """For each item a result or an error, in order; one bad item harms no other. What came is cached."""
    pending = secrets.put(name, "pending", stages=("AWSPENDING",))
    denied, unknown, binary = secrets.create(), secrets.name(), secrets.create(value=b"\x00")
    secrets.deny(denied)
    answers = results(
        post_batch(standing, [
            name,
            {"secretId": name, "versionStage": "AWSPENDING"},
            {"secretId": name, "versionId": pending, "refreshNow": True},
            binary,
            denied,
            unknown,
            {"secretId": ""},
            {"secretId": name, "jsonKey": "x"},
            7,
        ])
    )  # fmt: skip
    assert [answer["status"] for answer in answers] == [200, 200, 200, 200, 400, 400, 400, 400, 400]
    assert [answer.get("secretId") for answer in answers] == [name, name, name, binary, denied, unknown, "", name, None]
    assert [answer["value"].get("SecretString") for answer in answers[:4]] == ["hunter2", "pending", "pending", None]
    assert [answer["error"]["__type"] for answer in answers[4:]] == [
        "AccessDeniedException",
        "ResourceNotFoundException",
        *["InvalidParameterException"] * 3,
    ]
    assert answers[5]["error"]["message"] == NOT_FOUND
    before = secrets.gets(name)
    assert json.loads(standing.get(name).body) == answers[0]["value"]
    assert secrets.gets(name) == before == 3


def test_a_batch_that_says_one_thing_often(standing, secrets, name):
    """AWS is asked once however often it stands in the list, a hundred times at most."""
    assert [answer["value"]["SecretString"] for answer in results(post_batch(standing, [name] * 100))] == [
        "hunter2"
    ] * 100
    assert secrets.gets(name) == 1
    reply = post_batch(standing, [name] * 101)
    assert (reply.status, reply.json()["__type"]) == (400, "InvalidParameterException")
    assert reply.json()["message"] == '"secrets" must hold at most 100 items, not 101'


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"secrets": "a"}', b'{"x": []}', b"\xff", b'{"secrets": [], "x": 1}']
)
def test_a_batch_that_is_none(standing, secrets, body):
    """Is refused as a whole; without the token that comes first."""
    reply = standing.request("POST", BATCH, body=body)
    assert (reply.status, reply.json()["__type"]) == (400, "InvalidParameterException")
    assert standing.request("POST", BATCH, body=body, token=None).short == (403, "Bad Token")
    assert secrets.asked == []


def test_bodies_of_batches(standing):
    """One whose length is not told is not read, nor one of more than a megabyte; an empty list is a list."""
    for line, status in (("Transfer-Encoding: chunked", 411), (f"Content-Length: {1024 * 1024 + 1}", 413)):
        with standing.wire() as wire:
            wire.send(head(BATCH, f"{HEADER}: {TOKEN}", line, method="POST"))
            assert wire.reply().status == status
            assert wire.is_ended()
    assert post_batch(standing, []).short == (200, '{"secrets":[]}')
    assert standing.fetch(BATCH).short == (405, "Not allowed")


def test_a_batch_larger_than_the_cache(agent, secrets):
    """What goes again at once for want of room is answered all the same."""
    names = [secrets.create(value=f"value {number}") for number in range(40)]
    running = agent(cache_size=1)
    answers = results(post_batch(running, names))
    assert [answer["value"]["SecretString"] for answer in answers] == [f"value {number}" for number in range(40)]


def test_many_misses_in_a_small_cache(agent, secrets):
    """The same for many that ask one each, for the whole or for a part."""
    names = [secrets.create(value=f'{{"a": {number}}}') for number in range(30)]
    running = agent(cache_size=1)
    gate = secrets.hold("GetSecretValue", times=60)

    def ask(number):
        if number == 30:
            gate.wait_for(30)
            gate.release()
            return None
        return (
            running.fetch(f"{SECRET}{names[number]}&jsonKey=a").text if number % 2 else running.get(names[number]).value
        )

    assert at_once(31, ask) == [str(n) if n % 2 else f'{{"a": {n}}}' for n in range(30)] + [None]


# Invalidation.


@pytest.mark.parametrize("asked", ["name", "arn", "partial"])
@pytest.mark.parametrize("forgotten", ["name", "arn", "partial"])
def test_invalidation(standing, secrets, name, asked, forgotten):
    """By whichever of its names a secret was asked for, and by whichever it is to be forgotten."""
    arn = secrets.arn(name)
    names = {"name": name, "arn": arn, "partial": arn[:-7]}
    with standing.wire() as wire:
        for _ in range(3):  # so that the whole request is known
            wire.get(SECRET + names[asked])
            assert wire.reply().value == "hunter2"
        secrets.put(name, "hunter3")
        assert invalidate(standing, names[forgotten]).short == (200, '{"invalidated":1}')
        wire.get(SECRET + names[asked])
        assert wire.reply().value == "hunter3"


def test_invalidation_of_all_versions(standing, secrets, name):
    """One secret's records all go, with the values that were picked out of them."""
    secrets.put(name, '{"a": 1}')
    for query in ("", "&versionStage=AWSPREVIOUS", "&jsonKey=a"):
        assert standing.fetch(f"{SECRET}{name}{query}").status == 200
    secrets.put(name, '{"a": 2}')
    assert invalidate(standing, name).short == (200, '{"invalidated":2}')
    assert standing.fetch(f"{SECRET}{name}&jsonKey=a").text == "2"
    assert invalidate(standing, name).short == (200, '{"invalidated":1}')


def test_invalidation_of_what_is_not_there(standing, secrets):
    """Nothing is forgotten, and that is no error."""
    assert invalidate(standing, secrets.name()).short == (200, '{"invalidated":0}')


def test_invalidation_of_everything(agent, secrets, name, parameter):
    """A star forgets all."""
    running = agent()
    secrets.parameter(parameter, "one")
    for _ in range(2):
        assert running.get(name).status == get_parameter(running, parameter).status == 200
    assert invalidate(running, "*").short == (200, '{"invalidated":2}')
    assert running.get(name).status == get_parameter(running, parameter).status == 200
    assert (secrets.gets(name), secrets.count("GetParameter")) == (2, 2)


def test_invalidation_of_parameters(standing, secrets, parameter):
    """By the name by which it was asked for, in all its versions."""
    secrets.parameter(parameter, "one")
    assert get_parameter(standing, parameter).status == get_parameter(standing, parameter, "&version=1").status == 200
    secrets.parameter(parameter, "two")
    assert invalidate(standing, parameter).short == (200, '{"invalidated":2}')
    assert get_parameter(standing, parameter).json()["Parameter"]["Value"] == "two"


def test_invalidation_during_a_call(standing, secrets, name):
    """An answer that AWS began to give before is not what those get who ask afterwards."""
    gate = secrets.hold("GetSecretValue", about=name)
    secrets.edit(name, lambda answer: None)
    with standing.wire() as first, standing.wire() as second:
        first.get(SECRET + name)
        gate.wait_for(1)
        assert invalidate(standing, name).status == 200
        second.get(SECRET + name)
        second.get("/ping")
        assert standing.ping().status == 200
        gate.release()
        assert first.reply().value == second.reply().value == "hunter2"
    assert standing.get(name).value == "hunter2"
    assert secrets.gets(name) == 2


def test_invalidation_of_refusals(agent, secrets):
    """What AWS said against a secret is forgotten too."""
    running = agent(own={"negative_ttl_seconds": 300})
    name = secrets.name()
    assert running.get(name).status == 400
    secrets.create(name)
    assert running.get(name).status == 400
    assert invalidate(running, name).status == 200
    assert running.get(name).value == "hunter2"


def test_mistakes_of_invalidation(standing, secrets, name):
    """It is a POST that names a secret; everything else is told."""
    assert standing.fetch(f"/invalidate?secretId={name}").short == (405, "Not allowed")
    assert standing.request("POST", "/invalidate").short == (400, "missing parameter secretId")
    assert invalidate(standing, name, "&versionId=1").short == (400, "unknown parameter: versionId")
    assert invalidate(standing, name, token=None).short == (403, "Bad Token")
    assert secrets.asked == []


def test_records_of_roles_are_forgotten_alone(standing, secrets, name):
    """``roleArn`` tells whose."""
    role = f"arn:aws:iam::{ACCOUNT}:role/forgetting"
    secrets.role(role)
    for _ in range(2):
        assert standing.get(name).status == standing.get(name, roleArn=role).status == 200
    assert invalidate(standing, name, f"&roleArn={role}").short == (200, '{"invalidated":1}')
    assert standing.get(name).status == standing.get(name, roleArn=role).status == 200
    assert [asked.role for asked in secrets.asked if asked.operation == "GetSecretValue"] == [None, role, role]


# Versions that did not work.


def test_a_version_that_was_rejected(standing, secrets, name):
    """Is asked for anew, once; within ten seconds not again. Another version's id means nothing."""
    old = standing.get(name).json()["VersionId"]
    assert standing.get(name, rejected="0" * 32).value == "hunter2"
    assert secrets.gets(name) == 1
    new = secrets.put(name, "hunter3")
    assert standing.get(name, rejected=old).value == "hunter3"
    assert standing.get(name, rejected=old).value == "hunter3"
    for _ in range(3):
        assert standing.get(name, rejected=new).value == "hunter3"
    assert secrets.gets(name) == 2


def test_a_rejected_version_that_is_still_the_newest(standing, secrets, name):
    """AWS is asked once, however many say so."""
    version = standing.get(name).json()["VersionId"]
    replies = at_once(20, lambda _: standing.get(name, rejected=version))
    assert {reply.value for reply in replies} == {"hunter2"}
    assert secrets.gets(name) == 2


def test_rejections_without_a_pause(agent, secrets, name):
    """``rejected_interval_seconds = 0``: each time."""
    running = agent(own={"rejected_interval_seconds": 0})
    version = running.get(name).json()["VersionId"]
    for _ in range(3):
        assert running.get(name, rejected=version).value == "hunter2"
    assert secrets.gets(name) == 4


def test_rejections_in_an_outage(standing, secrets, name):
    """It is a hint: while AWS cannot be asked, what is there is served."""
    version = standing.get(name).json()["VersionId"]
    with secrets.down():
        assert standing.get(name, rejected=version).value == "hunter2"


# One value of a secret.


@pytest.mark.parametrize(
    ("key", "status", "text"),
    [
        ("password", 200, "hunter2"),
        ("users.0.name", 200, "jon"),
        ("users.0", 200, '{"name":"jon","id":12345678901234567890}'),
        ("price", 200, "1.10"),
        ("none", 200, "null"),
        ("yes", 200, "true"),
        ("a.b", 200, "with a dot"),
        ("ü", 200, "é"),
        ("", 404, None),
        ("Password", 404, None),
        ("users.1.name", 404, None),
        ("password.x", 404, None),
        ("users.-1", 404, None),
    ],
)
def test_one_value_of_a_secret(standing, secrets, key, status, text):
    """As plain text: strings as they are, everything else as JSON; 404 for what is not there."""
    value = {
        "password": "hunter2", "users": [{"name": "jon", "id": 12345678901234567890}], "none": None, "yes": True,
        "a.b": "with a dot", "ü": "é",
    }  # fmt: skip
    name = secrets.create(value=json.dumps(value)[:-1] + ', "price": 1.10}')
    for reply in (standing.get(name, jsonKey=key), standing.fetch(f"/v1/{name}?jsonKey={quote(key)}")):
        assert reply.status == status
        if status == 200:
            assert (reply.text, reply.headers["content-type"]) == (text, "text/plain; charset=utf-8")
        else:
            assert reply.json() == {"__type": "JsonKeyNotFound", "message": f"the secret has no value at {key!r}"}
            assert "hunter2" not in reply.text
    assert secrets.gets(name) == 1


@pytest.mark.parametrize(
    ("value", "what"), [("hunter2", "is not JSON"), (b"\x00", "is not text"), ("[" * 5000, "is not JSON")]
)
def test_one_value_of_what_has_none(standing, secrets, value, what):
    """Text, bytes, and brackets without end: 404, and nothing of the value is told."""
    reply = standing.get(secrets.create(value=value), jsonKey="a")
    assert (reply.status, reply.json()) == (404, {"__type": "JsonKeyNotFound", "message": f"the secret {what}"})


def test_headers_of_one_value(standing, secrets):
    """It has a tag of its own, 304 and HEAD like the whole; a renewed secret has its new value."""
    name = secrets.create(value='{"a": "one"}')
    target = f"{SECRET}{name}&jsonKey=a"
    with standing.wire() as wire:
        for _ in range(4):
            wire.get(target)
            got = wire.reply()
            assert got.text == "one"
        assert got.headers["etag"] != standing.get(name).headers["etag"]
        assert standing.fetch(target, If_None_Match=got.headers["etag"]).status == 304
        assert standing.request("HEAD", target).headers["content-length"] == "3"
        secrets.put(name, '{"a": "two"}')
        assert standing.get(name, refreshNow="1").status == 200
        wire.get(target)
        assert wire.reply().text == "two"
    assert secrets.gets(name) == 2


def test_more_values_than_are_remembered(standing, secrets):
    """Dozens of keys of one secret, each known by its whole request: none outlives the secret."""
    keys = [f"k{number}" for number in range(40)]
    name = secrets.create(value=json.dumps(dict.fromkeys(keys, "old")))
    with standing.wire() as wire:
        for value in ("old", "new"):
            for key in keys * 3:
                wire.get(f"{SECRET}{name}&jsonKey={key}")
                assert wire.reply().text == value
            secrets.put(name, json.dumps(dict.fromkeys(keys, "new")))
            assert invalidate(standing, name).status == 200
    assert secrets.gets(name) == 2


# Counters.


def counters(agent, **headers):
    """The metrics: name -> labels -> value, as Prometheus' own library reads them."""
    reply = agent.fetch("/metrics", **headers)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = {}
    for family in text_string_to_metric_families(reply.text):
        assert family.documentation
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            name = sample.name.removeprefix("strongroom_agent_")
            assert labels not in found.setdefault(name, {}), f"{sample} is there twice"
            found[name][labels] = sample.value
    return found


def by(*labels):
    return tuple(sorted(labels))


def test_counts(agent, secrets, name):
    """Each request is counted once, by route and status; hits, misses, calls and refusals add up."""
    running = agent(env=ONCE, own={"ttl": {"test/*": 300}})
    known = secrets.create(value='{"a": 1}')
    with running.wire() as wire:
        for target in [SECRET + name] * 4 + ["/ping", f"/v1/{known}", f"/v1/{known}?jsonKey=a", "/pong"]:
            wire.get(target)
            assert wire.reply().status in {200, 404}
    assert running.get(secrets.name("missing")).status == 400
    assert running.get(name, token="wrong").status == 403
    assert running.request("POST", f"/v1/{name}").status == 405
    assert [each["status"] for each in results(post_batch(running, [name, known, known, "test/none"]))] == [200] * 3 + [
        400
    ]
    assert invalidate(running, known).status == 200
    assert counters(running)["requests_total"].pop(by(("route", "/metrics"), ("status", "200")), None) is None
    found = counters(running)
    requests = {
        (dict(labels)["route"], int(dict(labels)["status"])): n for labels, n in found["requests_total"].items()
    }
    assert requests == {
        ("/secretsmanager/get", 200): 2, ("recalled", 200): 2, ("/secretsmanager/get", 400): 1,
        ("/secretsmanager/get", 403): 1, ("/ping", 200): 1, ("path", 200): 2, ("path", 405): 1, ("none", 404): 1,
        ("/secretsmanager/batch", 200): 1, ("/invalidate", 200): 1, ("/metrics", 200): 1,
    }  # fmt: skip
    plain = {
        key: found[key][()] for key in ("hits_total", "misses_total", "stale_total", "entries", "in_hand", "in_flight")
    }
    assert plain == {
        "hits_total": 3 + 1 + 2, "misses_total": 3 + 1, "stale_total": 0, "entries": 1, "in_hand": 0, "in_flight": 0,
    }  # fmt: skip
    calls = found["upstream_calls_total"]
    get = ("operation", "GetSecretValue")
    assert (calls[by(get, ("outcome", "ok"))], calls[by(get, ("outcome", "error"))]) == (2, 2)
    assert found["upstream_errors_total"] == {
        by(("operation", "GetSecretValue"), ("code", "ResourceNotFoundException")): 2
    }
    assert found["upstream_seconds_count"][by(get)] == 4
    assert found["bytes"][()] > 0
    assert "test/" not in running.fetch("/metrics").text


def test_counts_of_stale_answers(agent, secrets, name):
    """Served in an outage: an Age, a warning, a count of its own; after ``max_stale_seconds`` an error."""
    running = agent(env=ONCE, ttl_seconds=1, own={"max_stale_seconds": 1})
    etag = running.get(name).headers["etag"]
    began = time.monotonic()
    with secrets.down():
        reply = eventually(lambda: "age" in (got := running.get(name)).headers and got, "stale")
        assert (reply.value, reply.headers["age"], reply.headers["warning"]) == ("hunter2", "1", STALE)
        not_modified = running.fetch(f"{SECRET}{name}", If_None_Match=etag)
        assert (not_modified.status, not_modified.headers["warning"]) == (304, STALE)
        assert results(post_batch(running, [name]))[0]["value"]["SecretString"] == "hunter2"
        assert counters(running)["stale_total"] == {(): 3}
        eventually(lambda: running.get(name).status == 502, "too old")
        assert time.monotonic() - began >= 2
    assert running.get(name).value == "hunter2"


def test_the_token_of_the_metrics(standing, name):
    """One of their own is good for them alone, in the header that scrapers send or in ours; so is the main one."""
    assert counters(standing, token=METRICS_TOKEN)
    assert counters(standing, token=None, Authorization=f"Bearer {METRICS_TOKEN}")
    assert counters(standing, token=None, Authorization=f"bearer {TOKEN}")
    for headers in (
        {"Authorization": "Bearer wrong"},
        {"Authorization": METRICS_TOKEN},
        {"Authorization": "Bearer"},
        {},
    ):
        assert standing.fetch("/metrics", token=None, **headers).short == (403, "Bad Token")
    assert standing.fetch("/metrics", token="wrong", Authorization=f"Basic {METRICS_TOKEN}").status == 403
    assert standing.get(name, token=METRICS_TOKEN).short == (403, "Bad Token")
    assert standing.fetch(SECRET + name, token=None, Authorization=f"Bearer {TOKEN}").short == (403, "Bad Token")
    assert post_batch(standing, [name], token=METRICS_TOKEN).short == (403, "Bad Token")
    assert standing.fetch("/metrics", X_Forwarded_For="1.2.3.4").short == (400, "Forwarded")
    assert standing.fetch("/metrics", Host="evil.example").short == (421, "Bad Host")


def test_names_in_the_metrics(agent, secrets, name, parameter):
    """Only if they are asked for, with the age of what is known of each."""
    secrets.parameter(parameter, "one")
    running = agent(own={"metrics_secret_names": True})
    assert running.get(secrets.arn(name)).status == get_parameter(running, parameter).status == 200
    ages = counters(running)["secret_age_seconds"]
    assert ages.keys() == {by(("secret", name)), by(("secret", parameter))}
    assert all(0 <= age < 60 for age in ages.values())


# Readiness.


def test_ready(standing):
    """Free like ping: no token, any host, through any proxy."""
    eventually(lambda: standing.fetch("/ready", token=None).status == 200, "ready")
    for headers in ({}, {"Host": "evil.example"}, {"X-Forwarded-For": "1.2.3.4"}):
        assert standing.request("GET", "/ready", headers, token=None).short == (200, "ready")
    assert standing.request("HEAD", "/ready", token=None).status == 200
    assert standing.request("POST", "/ready", token=None).short == (405, "Not allowed")


def test_not_ready_while_aws_is_away(agent, secrets, name):
    """It starts all the same, says why it is not ready, and is ready soon after AWS is there."""
    with secrets.down():
        running = agent(env=ONCE)
        assert running.fetch("/ready", token=None).short == (503, "the credentials have not been seen good yet\n")
        assert running.ping().short == (200, "healthy")
        assert running.get(name).status == 502
    assert running.get(name).value == "hunter2"
    eventually(lambda: running.fetch("/ready", token=None).short == (200, "ready"), "ready")


def test_not_ready_without_credentials(agent, tmp_path, secrets):
    """A credentials file that is still to come: not ready until it is there."""
    file = tmp_path / "credentials"
    running = agent(credentials_file_path=file, env=ONCE | {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None})
    running.wait_for_log("does not exist yet")
    assert running.fetch("/ready", token=None).short == (503, "the credentials have not been seen good yet\n")


def test_everything_it_waits_for(agent, secrets, name):
    """A line for each."""
    gate = secrets.hold("GetCallerIdentity")
    with secrets.down():
        running = agent(env=ONCE, prefetch={"secrets": [{"secret_id": name}], "max_jitter_seconds": 10})
        assert running.fetch("/ready", token=None).short == (503, (
            "the credentials have not been seen good yet\n"
            "the secrets to fetch at start are not all here yet\n"
        ))  # fmt: skip
    gate.release()


# Where the routes are.


@pytest.mark.parametrize("path", OWN_ROUTES)
def test_below_strongroom(standing, path):
    """Each route is there too, whatever the prefix."""
    for query in ("", "?x=1"):
        there = standing.fetch(f"/strongroom{path}{query}")
        assert there.status == standing.fetch(path + query).status != 404
        assert path in {"/metrics", "/strongroom/metrics"} or there.text == standing.fetch(path + query).text


def test_a_prefix_that_covers_ours(agent, secrets, parameter):
    """Secrets go before our own routes, which are then below /strongroom/ only."""
    running = agent(path_prefix="/")
    secrets.parameter(parameter, "one")
    for path in OWN_ROUTES:
        secrets.create(path[1:], f"secret {path}") if not path.endswith("/") else None
        if not path.endswith("/"):
            assert running.fetch(path).value == f"secret {path}"
            assert running.fetch(path, token=None).short == (403, "Bad Token")
    assert running.fetch("/strongroom/ready", token=None).status in {200, 503}
    assert running.fetch(f"/strongroom{PARAMETER}?name={parameter}").json()["Parameter"]["Value"] == "one"
    assert results(running.request("POST", f"/strongroom{BATCH}", body=b'{"secrets":["ready"]}'))[0]["status"] == 200
    assert running.request("POST", "/strongroom/invalidate?secretId=ready").short == (200, '{"invalidated":1}')
    assert running.fetch("/strongroom/metrics").status == 200
    assert running.fetch("/ping", token=None).short == (200, "healthy")


# The access log.


def test_the_access_log(agent, secrets, name):
    """A line per request: who, what, what became of it and how long it took. A request is never lost for being known."""
    running = agent(env=ONCE, own={"access_log": True})
    with running.wire() as wire:
        for target in [SECRET + name] * 3 + [f"/v1/{name}?jsonKey=x", "/ping", "/pong", f"{PARAMETER}?name=/none"]:
            wire.get(target)
            wire.reply()
    running.get(name, token="wrong")
    running.get("line\nbreak", refreshNow="1")
    post_batch(running, [name])
    invalidate(running, name)
    running.request("HEAD", SECRET + name)
    lines = eventually(lambda: len(found := re.findall(r" access (.*)", running.log)) >= 12 and found, "twelve lines")
    shown = [re.sub(r"peer=127\.0\.0\.1:\d+ (.*) microseconds=\d+", r"\1", line) for line in lines]
    get = "client=- method=GET route=/secretsmanager/get"
    assert shown == [
        f"{get} secret={name} status=200 outcome=miss",
        f"{get} secret={name} status=200 outcome=hit",
        f"{get} secret={name} status=200 outcome=hit",
        f"client=- method=GET route=path secret={name} status=404 outcome=JsonKeyNotFound",
        "client=- method=GET route=/ping secret=- status=200 outcome=ok",
        "client=- method=GET route=none secret=- status=404 outcome=refused",
        f"client=- method=GET route={PARAMETER} secret=/none status=400 outcome=ParameterNotFound",
        f"{get} secret=- status=403 outcome=refused",
        rf"{get} secret=line\nbreak status=400 outcome=ResourceNotFoundException",
        f"client=- method=POST route={BATCH} secret=- status=200 outcome=batch",
        f"client=- method=POST route=/invalidate secret={name} status=200 outcome=invalidated",
        f"client=- method=HEAD route=/secretsmanager/get secret={name} status=200 outcome=miss",
    ]


def test_no_access_log_unless_asked_for(standing, name):
    """The log is silent about requests that are in order."""
    assert standing.get(name).status == 200
    assert " access " not in standing.log


# How long.


def test_lifetimes_by_any_name(agent, secrets):
    """A pattern may fit the id as asked, the name or the ARN; the first that fits counts; 0 keeps nothing."""
    never, by_arn, first = (secrets.create(f"ttl/{each}") for each in ("never", "by-arn", "first"))
    patterns = {
        "ttl/never": 0,
        f"arn:aws:secretsmanager:*:{ACCOUNT}:secret:ttl/by-*": 0,
        "ttl/fir*": 300,
        "ttl/first": 0,
    }
    running = agent(own={"ttl": patterns})
    for _ in range(3):
        for name in (never, by_arn, first):
            assert running.get(name).value == "hunter2"
            assert running.get(secrets.arn(name)).value == "hunter2"
    assert [secrets.gets(name) for name in (never, by_arn, first)] == [6, 6, 1]
