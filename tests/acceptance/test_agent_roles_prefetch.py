"""Secrets read as a role, secrets fetched at start, and parameters."""

import time

import pytest

from fakes.secrets import ACCESS_KEY_ID, ACCOUNT
from harness.agent import Agent, at_once, eventually

ONCE = {"AWS_MAX_ATTEMPTS": "1"}
SECRET = "/secretsmanager/get?secretId="
PARAMETER = "/systemsmanager/parameters/get"
BAD_ROLE = "invalid roleArn format, expected arn:<partition>:iam::<account>:role/<name>"


def role_arn(name, account=ACCOUNT):
    return f"arn:aws:iam::{account}:role/{name}"


ROLE, OTHER = role_arn("reader"), role_arn("team/other+role=1,2.3@4_5-6")
ASSUMED = {"agent": "secrets-manager-agent", "sm": "secrets-manager-provider"}


@pytest.fixture(scope="module")
def _standing(tmp_path_factory, _secrets_server):
    with Agent(tmp_path_factory.mktemp("agent"), _secrets_server, word="sm", env=ONCE) as agent:
        yield agent


@pytest.fixture
def standing(secrets, _standing):
    """An agent that most tests share. No two of them use the same secret, or, where it is assumed, the same role."""
    return _standing


@pytest.fixture(scope="module")
def hasty(tmp_path_factory, _secrets_server):
    """An agent that does not wait long for AWS."""
    own = {"attempt_timeout_seconds": 0.4, "total_timeout_seconds": 1}
    with Agent(tmp_path_factory.mktemp("hasty"), _secrets_server, word="sm", env=ONCE, own=own) as agent:
        yield agent


@pytest.fixture
def name(secrets):
    secrets.role(ROLE)
    return secrets.create()


def assumed(secrets):
    """The roles that STS was asked for."""
    return [call.role for call in secrets.calls if call.action == "AssumeRole"]


# Roles.


@pytest.mark.parametrize("word", ASSUMED)
def test_a_role_is_assumed_once(agent, secrets, name, word):
    """One AssumeRole, in the config's region, and nothing but that; the secret is then asked for with the role's key."""
    running = agent(word=word, region="us-east-1", env={"AWS_REGION": None})
    secrets.calls.clear()
    for _ in range(2):
        assert running.get(name, roleArn=ROLE).value == "hunter2"
    (call,) = secrets.calls
    assert (call.action, call.role, call.session_name, call.region) == ("AssumeRole", ROLE, ASSUMED[word], "us-east-1")
    assert call.parameters.keys() == {"Action", "Version", "RoleArn", "RoleSessionName"}
    assert [asked.role for asked in secrets.asked] == [ROLE]
    assert running.get(secrets.create(), roleArn=ROLE).status == 200
    assert len(secrets.calls) == 1
    running.wait_for_log("Created new role client (1/20)")


@pytest.mark.parametrize(
    "wrong",
    [
        "not-a-valid-arn",
        "",
        "arn:aws:iam::12345678901:role/x",
        "arn:aws:iam::1234567890123:role/x",
        "arn:aws:iam::12345678901a:role/x",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:user/x",
        "arn:aws:sts::123456789012:assumed-role/x/y",
        "arn:aws:iam:us-east-1:123456789012:role/x",
        'arn:aws:iam::123456789012:role/x"',
        "arn:aws:iam::123456789012:role/x\\",
        "arn:aws:iam::123456789012:role/x\n",
        "arn:aws:iam::123456789012:role/x y",
        " arn:aws:iam::123456789012:role/x",
        "arn:aws:iam::１23456789012:role/x",
    ],
)
def test_wrong_roles(standing, secrets, wrong):
    """What is no role's ARN is refused before AWS is asked, in both styles."""
    assert standing.get("a", roleArn=wrong).short == (400, BAD_ROLE)
    assert standing.get("a", roleArn=wrong, refreshNow="true").short == (400, BAD_ROLE)
    assert (secrets.calls, secrets.asked) == ([], [])


@pytest.mark.parametrize(
    "right", ["arn:aws-cn:iam::123456789012:role/a", OTHER, "arn:aws:iam::123456789012:role/a/b/c"]
)
def test_right_roles(standing, secrets, right):
    """Paths, all the characters that names may have, other partitions."""
    name = secrets.create()
    secrets.role(right)
    assert standing.get(name, roleArn=right).value == "hunter2"
    assert assumed(secrets) in ([right], [])  # assumed already by the test before


def test_plus_signs_of_roles(standing, secrets, name):
    """A plus is a space in a query, unless it is escaped."""
    secrets.role(role_arn("a+b"))
    assert standing.fetch(f"{SECRET}{name}&roleArn={role_arn('a+b')}").short == (400, BAD_ROLE)
    assert standing.fetch(f"{SECRET}{name}&roleArn={role_arn('a%2Bb')}").value == "hunter2"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/secretsmanager/get?roleArn=bad", "missing parameter secretId"),
        ("/secretsmanager/get?roleArn=bad&x=1", "unknown parameter: x"),
        ("/secretsmanager/get?roleArn=bad&secretId=a&refreshNow=x", "invalid refreshNow value"),
        ("/v1/?roleArn=bad", "missing secret ID"),
        ("/v1/a?secretId=b&roleArn=bad", "unknown parameter: secretId"),
        ("/v1/a?roleArn=bad", BAD_ROLE),
        (f"/v1/a?roleArn={ROLE}&roleArn=bad", BAD_ROLE),
    ],
)
def test_which_mistake_is_told(standing, secrets, target, message):
    """Unknown names and values first, then a missing id, then the role; of several roles the last counts."""
    assert standing.fetch(target).short == (400, message)
    assert (secrets.calls, secrets.asked) == ([], [])


def test_records_of_roles(standing, secrets, name):
    """What is read as a role is kept apart from what is read as oneself and as others; the path style is no other."""
    secrets.role(role_arn("second"))
    for role in ({}, {"roleArn": ROLE}, {"roleArn": role_arn("second")}):
        assert standing.get(name, **role).value == "hunter2"
    secrets.put(name, "hunter3")
    assert standing.get(name, roleArn=ROLE, refreshNow="true").value == "hunter3"
    assert standing.get(name, roleArn=ROLE).value == standing.fetch(f"/v1/{name}?roleArn={ROLE}").value == "hunter3"
    assert standing.get(name).value == standing.get(name, roleArn=role_arn("second")).value == "hunter2"
    assert [asked.role for asked in secrets.asked] == [None, ROLE, role_arn("second"), ROLE]


def test_one_role_over_the_limit(agent, secrets):
    """The least recently used makes room: no role is refused for the number of them, and what is cached stays."""
    roles = [role_arn(f"r{number}") for number in range(3)]
    for role in roles:
        secrets.role(role)
    running = agent(max_roles=2)
    cached = secrets.create()
    for index in (0, 1, 0, 2, 0, 1):
        name = cached if index == 1 else secrets.create()
        assert running.get(name, roleArn=roles[index]).value == "hunter2"
    assert assumed(secrets) == roles, "the one that went last was the second, whose secret is still there"
    assert running.get(secrets.create(), roleArn=roles[1]).value == "hunter2"
    assert assumed(secrets) == [*roles, roles[1]]


def test_a_role_that_may_not_be_assumed(standing, secrets, name):
    """403 with its ARN and no more; it takes no place. Soon after it may be assumed, it works."""
    denied = role_arn("denied")
    expected = f'{{"__type":"AccessDeniedException","message":"Failed to create caching client from role: {denied}"}}'
    for _ in range(3):
        assert standing.get(name, roleArn=denied).short == (403, expected)
    assert assumed(secrets) == [denied]
    secrets.role(denied)
    assert standing.get(name, roleArn=denied, refreshNow="true").value == "hunter2"


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        (lambda secrets: secrets.fail("AssumeRole", code="Throttling", status=400), (400, 429, 503)),
        (lambda secrets: secrets.fail("AssumeRole", code="InternalFailure", status=500), (500,)),
        (lambda secrets: secrets.hang("AssumeRole"), (504,)),
        (lambda secrets: secrets.html("AssumeRole"), (500, 502)),
    ],
    ids=["throttled", "500", "silence", "page"],
)
def test_an_sts_in_trouble(hasty, secrets, trouble, expected):
    """An outage of STS is told as one, not as a denial: it is not the role that is wrong."""
    role, name = role_arn(secrets.name("role")), secrets.create()
    secrets.role(role)
    trouble(secrets)
    reply = hasty.get(name, roleArn=role)
    assert reply.status in expected
    assert "AccessDenied" not in reply.text
    assert hasty.get(name, roleArn=role).value == "hunter2"


def test_many_first_requests_as_one_role(standing, secrets):
    """Twenty at once, each for another secret: one AssumeRole."""
    role = role_arn("crowded")
    secrets.role(role)
    names = [secrets.create() for _ in range(20)]
    secrets.delay("AssumeRole", 0.1)
    replies = at_once(20, lambda number: standing.get(names[number], roleArn=role))
    assert {reply.value for reply in replies} == {"hunter2"}
    assert assumed(secrets) == [role]


def test_a_role_that_is_taken_back(standing, secrets, name):
    """What is cached is served for its time; after that AWS's refusal is, in one line of JSON."""
    role = role_arn("taken-back")
    secrets.role(role)
    assert standing.get(name, roleArn=role).value == "hunter2"
    secrets.deny(role=role)
    assert standing.get(name, roleArn=role).value == "hunter2"
    reply = standing.get(name, roleArn=role, refreshNow="true")
    assert (reply.status, reply.json()["__type"]) == (400, "AccessDeniedException")
    assert "assumed-role/taken-back" in reply.json()["message"]
    assert standing.get(name, roleArn=role).status == 400


def test_sessions_that_aws_forgets(standing, secrets, name):
    """A session that AWS no longer takes is not the end of the role: the error is told, others are not kept waiting."""
    role = role_arn("forgotten")
    secrets.role(role)
    assert standing.get(name, roleArn=role).value == "hunter2"
    (used,) = {asked.access_key_id for asked in secrets.asked}
    del secrets.keys[used]
    reply = standing.get(name, roleArn=role, refreshNow="true")
    assert (reply.status, reply.json()["__type"]) in {(200, None), (400, "UnrecognizedClientException")}
    assert standing.get(name).value == "hunter2"


# What is fetched at start.


def started(agent, name="", **settings):
    """An agent that has fetched what it should; its settings are flat."""
    running = agent(log_level="debug", **settings)
    eventually(lambda: running.fetch("/ready", token=None).status == 200, "ready")
    running.wait_for_log("Pre-fetch complete")
    return running


def outcome(running):
    return running.log.partition("Pre-fetch complete: ")[2].splitlines()[0]


def listed(*ids, role=None):
    return [{"secret_id": each} | ({"role_arn": role} if role else {}) for each in ids]


def test_listed_secrets(agent, secrets):
    """One BatchGetSecretValue for all; served without another call, until they are refreshed, in the usual form."""
    one, two = secrets.create(value="one"), secrets.create(value=b"two")
    running = started(agent, prefetch={"secrets": listed(one, two)})
    assert secrets.members("BatchGetSecretValue") == [{"SecretIdList": [one, two]}]
    secrets.put(one, "changed")
    assert running.get(one).value == "one"
    assert running.get(one, versionStage="AWSCURRENT").value == running.get(secrets.arn(one)).value == "one"
    assert running.get(two).json()["SecretBinary"] == "dHdv"
    assert running.get(two).json()["VersionStages"] == ["AWSCURRENT"]
    assert secrets.count("GetSecretValue") == 0
    assert running.get(one, refreshNow="true").value == "changed"
    assert outcome(running) == "success=2, failed=0"
    assert running.log.count("Pre-fetch enabled, starting background task") == 1


def test_listed_by_arn(agent, secrets):
    """What is listed by ARN is a hit by that ARN, by the ARN without its end, and by name."""
    name = secrets.create()
    arn = secrets.arn(name)
    for text in (arn, arn[:-7]):
        secrets.asked.clear()
        running = started(agent, prefetch={"secrets": listed(text)})
        assert {running.get(each).value for each in (text, arn, name)} == {"hunter2"}
        assert [asked.operation for asked in secrets.asked] == ["BatchGetSecretValue"]


def test_more_than_one_batch(agent, secrets):
    """Twenty at a time, with a pause between."""
    names = [secrets.create() for _ in range(45)]
    begun = time.monotonic()
    running = started(agent, prefetch={"secrets": listed(*names)})
    assert time.monotonic() - begun >= 2 * 0.034
    assert [len(members["SecretIdList"]) for members in secrets.members("BatchGetSecretValue")] == [20, 20, 5]
    assert {running.get(name).status for name in names} == {200}
    assert secrets.count("GetSecretValue") == 0
    assert outcome(running) == "success=45, failed=0"


def test_bad_ones_among_good_ones(agent, secrets):
    """Are counted, and told at debug; the good ones are there, and the agent is well."""
    good, denied, unknown = secrets.create(), secrets.create(), secrets.name("unknown")
    secrets.deny(denied)
    running = started(agent, prefetch={"secrets": listed(good, denied, unknown)})
    assert outcome(running) == "success=1, failed=2"
    assert f"Pre-fetch: failed to fetch {unknown}: ResourceNotFoundException" in running.log
    assert running.get(good).value == "hunter2"
    assert secrets.count("GetSecretValue") == 0
    assert running.ping().status == 200


@pytest.mark.parametrize(("status", "ignore"), [(400, True), (500, True), (500, False)])
def test_batches_that_fail(agent, secrets, status, ignore):
    """A refused or broken batch stops neither the next one nor the agent."""
    names = [secrets.create() for _ in range(21)]
    secrets.fail("BatchGetSecretValue", code="InvalidParameterException", status=status)
    running = started(
        agent, prefetch={"secrets": listed(*names)}, env=ONCE, ignore_transient_errors=ignore,
    )  # fmt: skip
    assert secrets.count("BatchGetSecretValue") == 2
    assert running.ping().status == 200
    assert running.get(names[20]).status == 200
    assert secrets.count("GetSecretValue", names[20]) == 0
    assert {running.get(name).status for name in names} == {200}


def test_no_permission_for_batches(agent, secrets):
    """Then each secret is fetched by itself."""
    names = [secrets.create() for _ in range(3)]
    secrets.deny(operation="BatchGetSecretValue")
    running = started(agent, prefetch={"secrets": listed(*names)})
    assert outcome(running) == "success=3, failed=0"
    assert {running.get(name).status for name in names} == {200}
    assert secrets.count("GetSecretValue") == 3


def test_tags(agent, secrets):
    """Page by page, at most what there is room for; each key is a search of its own, so that any of them is enough."""
    one, other = ([secrets.create(tags=(tag,)) for _ in range(22)] for tag in ("one", "other"))
    running = started(
        agent, prefetch={"filter_tags": [{"key": "one"}, {"key": "other"}, {"key": "none"}]}, cache_size=50,
    )  # fmt: skip
    assert [
        (members["Filters"][0]["Values"], members["MaxResults"], "NextToken" in members)
        for members in secrets.members("BatchGetSecretValue")
    ] == [(["one"], 20, False), (["one"], 20, True), (["other"], 18, False)]
    assert {running.get(name).status for name in one + other[:18]} == {200}
    assert secrets.count("GetSecretValue") == 0
    assert outcome(running) == "success=40, failed=0"
    assert " WARN " in running.log


def test_a_tag_that_nothing_has(agent, secrets):
    """Is worth a warning."""
    running = started(agent, prefetch={"filter_tags": [{"key": "nothing-has-it"}]})
    assert outcome(running) == "success=0, failed=0"
    assert "nothing-has-it" in next(line for line in running.log.splitlines() if " WARN " in line)


@pytest.mark.parametrize(("size", "ratio", "expected"), [(50, 0.58, 29), (1, 0.1, 1)])
def test_how_much_is_fetched(agent, secrets, size, ratio, expected):
    """A part of the cache: size times ratio, in the numbers of the original."""
    names = [secrets.create() for _ in range(size + 1)]
    running = started(
        agent, cache_size=size, prefetch={"secrets": listed(*names), "cache_buffer_ratio": ratio},
    )  # fmt: skip
    fetched = sum(len(members["SecretIdList"]) for members in secrets.members("BatchGetSecretValue"))
    assert fetched == expected
    assert outcome(running).startswith(f"success={expected}, ")


def test_fetched_as_roles(agent, secrets):
    """For each role apart; a role that cannot be assumed costs its own secrets, and no others."""
    secrets.role(ROLE)
    mine, theirs = secrets.create(), secrets.create()
    wanted = listed(mine) + listed(theirs, role=ROLE) + listed(mine, role=role_arn("denied"))
    running = started(agent, prefetch={"secrets": wanted})
    assert outcome(running) == "success=2, failed=1"
    assert running.get(mine).value == running.get(theirs, roleArn=ROLE).value == "hunter2"
    assert secrets.count("GetSecretValue") == 0
    assert running.get(theirs).value == "hunter2"
    assert [asked.role for asked in secrets.asked] == [None, ROLE, None]


def test_readiness_waits_for_it_and_requests_do_not(agent, secrets):
    """``/ready`` is 503 while it goes on; secrets are served meanwhile, with one connection even."""
    listed_one, other = secrets.create(), secrets.create()
    gate = secrets.hold("BatchGetSecretValue")
    running = agent(prefetch={"secrets": listed(listed_one)}, max_conn=1)
    gate.wait_for(1)
    assert running.fetch("/ready", token=None).status == 503
    assert running.get(other).value == running.get(listed_one).value == "hunter2"
    assert running.ping().status == 200
    gate.release()
    eventually(lambda: running.fetch("/ready", token=None).status == 200, "ready")


def test_it_begins_some_time_later(agent, secrets):
    """Within ``max_jitter_seconds``; nothing waits for it."""
    name = secrets.create()
    running = agent(prefetch={"secrets": listed(name), "max_jitter_seconds": 1}, max_conn=1)
    assert running.get(name).value == "hunter2"
    running.wait_for_log("Pre-fetch complete: success=1, failed=0")


def test_an_older_answer_changes_nothing(agent, secrets):
    """What was asked for while the batch was under way is newer than what the batch brings."""
    name = secrets.create()
    gate = secrets.hold("BatchGetSecretValue")
    secrets.edit(name, lambda answer: None)
    running = agent(prefetch={"secrets": listed(name)})
    gate.wait_for(1)
    secrets.put(name, "hunter3")
    assert running.get(name).value == "hunter3"
    secrets.edit(name, lambda answer: answer.update(SecretString="an old one"))
    gate.release()
    running.wait_for_log("Pre-fetch complete: success=1, failed=0")
    eventually(lambda: running.fetch("/ready", token=None).status == 200, "ready")
    assert running.get(name).value == "hunter3"


# Parameters.


@pytest.mark.parametrize("path", [PARAMETER, f"{PARAMETER}/"])
@pytest.mark.parametrize("written", ["%2Fa%2Fb", "/a/b"])
def test_a_parameter(standing, secrets, path, written):
    """As the Lambda extension has it: by its name, with its hierarchy, escaped or not; kept like a secret."""
    secrets.parameter("/a/b", "value")
    reply = standing.fetch(f"{path}?name={written}&refreshNow=true")
    parameter = reply.json()["Parameter"]
    assert list(parameter) == [
        "ARN", "DataType", "LastModifiedDate", "Name", "Selector", "SourceResult", "Type", "Value", "Version",
    ]  # fmt: skip
    assert (parameter["Name"], parameter["Value"], parameter["Type"], parameter["Version"]) == (
        "/a/b",
        "value",
        "String",
        1,
    )
    assert (parameter["Selector"], parameter["SourceResult"], parameter["DataType"]) == (None, None, "text")
    assert parameter["LastModifiedDate"].endswith("Z")
    assert reply.json()["ResultMetadata"] == {}
    assert standing.fetch(f"{path}?name={written}").json() == reply.json()
    assert secrets.count("GetParameter") == 1


def test_versions_and_labels_of_a_parameter(standing, secrets):
    """Of version and label the first in the URL counts."""
    name = "/versions"
    secrets.parameter(name, "one", labels=("Dev",))
    secrets.parameter(name, "two")
    secrets.parameter(name, "three")
    for query, value, selector in (
        ("", "three", None), ("&version=2", "two", ":2"), ("&label=Dev", "one", ":Dev"),
        ("&version=2&label=Dev", "two", ":2"), ("&label=Dev&version=2", "one", ":Dev"),
    ):  # fmt: skip
        parameter = standing.fetch(f"{PARAMETER}?name={name}{query}").json()["Parameter"]
        assert (parameter["Value"], parameter["Selector"]) == (value, selector)


def test_secure_parameters(standing, secrets):
    """Are cipher text unless their decryption is asked for; the two are kept apart."""
    secrets.parameter("/secure", "plain", "SecureString")
    for _ in range(2):
        assert standing.fetch(f"{PARAMETER}?name=/secure").json()["Parameter"]["Value"] != "plain"
        assert standing.fetch(f"{PARAMETER}?name=/secure&withDecryption=true").json()["Parameter"]["Value"] == "plain"
    assert secrets.count("GetParameter") == 2


def test_parameters_that_are_secrets(standing, secrets, name):
    """A reference to a secret gives the secret, if it is to be decrypted."""
    target = f"{PARAMETER}?name=/aws/reference/secretsmanager/{name}&withDecryption=true"
    assert standing.fetch(target).json()["Parameter"]["Value"] == "hunter2"


@pytest.mark.parametrize(
    ("query", "status"),
    [("name=/unknown", 400), ("", 400), ("name=", 400), ("name=/a&x=1", 400), ("name=/a&withDecryption=perhaps", 400)],
)
def test_wrong_parameters(standing, query, status):
    """What cannot be found or makes no sense is 400."""
    assert standing.fetch(f"{PARAMETER}?{query}").status == status


def test_parameters_need_a_token(standing, secrets):
    """Like secrets."""
    assert standing.fetch(f"{PARAMETER}?name=/a", token=None).short == (403, "Bad Token")
    assert secrets.asked == []


def test_parameters_as_a_role(standing, secrets):
    """``roleArn`` works for them as for secrets."""
    secrets.role(role_arn("parameters"))
    secrets.parameter("/as-a-role", "value")
    target = f"{PARAMETER}?name=/as-a-role"
    assert standing.fetch(f"{target}&roleArn={role_arn('parameters')}").json()["Parameter"]["Value"] == "value"
    assert standing.fetch(target).json()["Parameter"]["Value"] == "value"
    assert [asked.role for asked in secrets.asked] == [role_arn("parameters"), None]


def test_parameters_with_ttl_zero(agent, secrets):
    """Each request asks AWS."""
    secrets.parameter("/zero", "value")
    running = agent(ttl_seconds=0)
    for _ in range(2):
        assert running.fetch(f"{PARAMETER}?name=/zero").status == 200
    assert secrets.count("GetParameter") == 2
    assert {asked.access_key_id for asked in secrets.asked} == {ACCESS_KEY_ID}
