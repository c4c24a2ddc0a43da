"""How fresh the agent's answers are, what they cost at AWS, and what becomes of them when AWS says no or nothing."""

import contextlib
import time

import pytest

from fakes.secrets import DELETED, NOT_FOUND
from harness.agent import HEADER, TOKEN, Agent, at_once, eventually

T = f"{HEADER}: {TOKEN}"
SECRET = "/secretsmanager/get?secretId="
READ_ERROR = '{"__type":"ConnectionError", "message":"Read Error"}'
STALE = '110 - "Response is Stale"'
NEGATIVE_SECONDS = 0.3
ONCE = {"AWS_MAX_ATTEMPTS": "1"}  # attempts, so that an outage is one at once


class Brief:
    """An agent whose secrets live for a second, and secrets that it fetched longer ago than that."""

    def __init__(self, agent, secrets):
        self.agent, self.secrets = agent, secrets
        self._old = [(self.fetched(), time.monotonic()) for _ in range(30)]

    def fetched(self):
        name = self.secrets.create()
        answer = self.agent.get(name)
        for _ in range(20):  # its time for an attempt is short, and the machine may be busy
            if answer.status != 504:
                break
            answer = self.agent.get(name)
        assert answer.value == "hunter2"
        return name

    def expired(self):
        """The name of a secret whose copy is too old. Only the first caller waits for that."""
        name, at = self._old.pop()
        time.sleep(max(0, at + 1.05 - time.monotonic()))
        self.secrets.asked.clear()
        return name

    def many_expired(self, number):
        return [self.expired() for _ in range(number)]


@pytest.fixture(scope="module", autouse=True)
def _empty(_secrets_server):
    _secrets_server.reset()


@pytest.fixture
def secrets(_secrets_server):
    """The fake AWS. It is not reset between the tests of this module: what agents have in their caches stays there."""
    _secrets_server.asked.clear()
    yield _secrets_server
    _secrets_server.heal()
    _secrets_server.allow_all()


@pytest.fixture(scope="module")
def _brief(tmp_path_factory, _secrets_server, _empty):
    own = {"negative_ttl_seconds": NEGATIVE_SECONDS, "attempt_timeout_seconds": 0.5, "total_timeout_seconds": 1}
    directory = tmp_path_factory.mktemp("brief")
    with Agent(directory, _secrets_server, env=ONCE, ttl_seconds=1, own=own) as agent:
        yield Brief(agent, _secrets_server)


@pytest.fixture
def brief(secrets, _brief):
    """An agent with a second to live."""
    return _brief


@pytest.fixture(scope="module")
def _lasting(tmp_path_factory, _secrets_server, _empty):
    own = {"negative_ttl_seconds": NEGATIVE_SECONDS}
    directory = tmp_path_factory.mktemp("lasting")
    with Agent(directory, _secrets_server, env=ONCE, own=own) as agent:
        yield agent


@pytest.fixture
def lasting(secrets, _lasting):
    """An agent with the usual five minutes to live."""
    return _lasting


# Within its time.


def test_one_record_per_secret(secrets, lasting):
    """Name, ARN, ARN without its random end, and AWSCURRENT said aloud: one call for all of them, and equal answers."""
    name = secrets.create()
    arn = secrets.arn(name)
    asked = [(name, {}), (arn, {}), (arn[:-7], {}), (name, {"versionStage": "AWSCURRENT"})]
    bodies = {lasting.get(each, **parameters).body for each, parameters in asked}
    assert len(bodies) == 1
    assert secrets.members("GetSecretValue") == [{"SecretId": name}]


def test_one_record_whatever_is_asked_for_first(secrets, lasting):
    """By ARN first, by name then."""
    name = secrets.create()
    arn = secrets.arn(name)
    assert lasting.get(arn).body == lasting.get(name).body == lasting.get(arn[:-7]).body
    assert secrets.members("GetSecretValue") == [{"SecretId": arn}]


def test_versions_are_records_of_their_own(secrets, lasting):
    """A version by its id, and each stage but the current one."""
    name = secrets.create()
    pending = secrets.put(name, "hunter3", stages=("AWSPENDING",))
    for _ in range(2):
        assert lasting.get(name).value == "hunter2"
        assert lasting.get(name, versionStage="AWSPENDING").value == "hunter3"
        assert lasting.get(name, versionId=pending).value == "hunter3"
        assert lasting.get(name, versionId=secrets.version_id(name)).value == "hunter2"
    assert secrets.gets(name) == 4


def test_a_change_is_not_seen(secrets, lasting):
    """Until its time is over, AWS is not asked."""
    name = secrets.create()
    before = lasting.get(name).body
    secrets.put(name, "hunter3")
    assert lasting.get(name).body == before
    assert secrets.gets(name) == 1


def test_refresh_now_renews_the_record(secrets, lasting):
    """What refreshNow fetched is what others get from then on, by whichever name."""
    name = secrets.create()
    assert lasting.get(name, versionStage="AWSCURRENT").value == "hunter2"
    secrets.put(name, "hunter3")
    assert lasting.get(name, refreshNow="true").value == "hunter3"
    assert lasting.get(name).value == lasting.get(name, versionStage="AWSCURRENT").value == "hunter3"
    assert lasting.get(secrets.arn(name)).value == "hunter3"
    assert secrets.gets(name) == 2


def test_refresh_now_in_an_outage(secrets, lasting):
    """It wants AWS's own word: an error, never the copy, which stays for others."""
    name = secrets.create()
    assert lasting.get(name).value == "hunter2"
    with secrets.down():
        assert lasting.get(name, refreshNow="true").short == (502, READ_ERROR)
        assert lasting.get(name).value == "hunter2"
    assert lasting.get(name, refreshNow="true").value == "hunter2"


def test_refresh_now_of_a_secret_that_is_gone(secrets, lasting):
    """Once AWS has said that it is gone, the copy is gone too."""
    name = secrets.create()
    assert lasting.get(name).value == "hunter2"
    secrets.delete(name, for_good=True)
    assert lasting.get(name).value == "hunter2"
    for parameters in ({"refreshNow": "true"}, {}):
        reply = lasting.get(name, **parameters)
        assert (reply.status, reply.json()["message"]) == (400, NOT_FOUND)


def test_refusals_are_remembered_shortly(secrets, lasting):
    """A wrong name in a loop asks AWS once; soon after it is asked again; refreshNow does not wait for that."""
    name = secrets.name("unknown")
    replies = {lasting.get(name).short for _ in range(5)}
    assert replies == {(400, f'{{"__type":"ResourceNotFoundException", "message":"{NOT_FOUND}"}}')}
    assert secrets.count("GetSecretValue", name) == 1
    assert lasting.get(name, refreshNow="true").status == 400
    assert secrets.count("GetSecretValue", name) == 2
    secrets.create(name)
    assert lasting.get(name, refreshNow="true").value == "hunter2"
    other = secrets.name("unknown")
    assert lasting.get(other).status == 400
    secrets.create(other)
    eventually(lambda: lasting.get(other).status == 200, "found")


def test_many_ask_for_one_new_secret(secrets, lasting):
    """A hundred at once: AWS is asked once, and all get the same."""
    name = secrets.create()
    gate = secrets.hold("GetSecretValue", about=name)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(lasting.wire()) for _ in range(100)]
        for wire in wires:
            wire.get(f"{SECRET}{name}")
        gate.wait_for(1)
        gate.release()
        assert len({wire.reply().body for wire in wires}) == 1
    assert secrets.gets(name) == 1


def test_many_ask_for_a_secret_that_is_not_there(secrets, lasting):
    """They share the refusal too."""
    name = secrets.name("unknown")
    gate = secrets.hold("GetSecretValue", about=name)
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(lasting.wire()) for _ in range(20)]
        for wire in wires:
            wire.get(f"{SECRET}{name}")
        gate.wait_for(1)
        gate.release()
        assert {wire.reply().status for wire in wires} == {400}
    assert secrets.count("GetSecretValue", name) == 1


def test_many_refresh_at_once(secrets, lasting):
    """Twenty that want it fresh: the call under way may be too old for them, one more serves them all."""
    name = secrets.create()
    assert lasting.get(name).value == "hunter2"
    gate = secrets.hold("GetSecretValue", about=name)
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(lasting.wire())
        first.get(f"{SECRET}{name}&refreshNow=true")
        gate.wait_for(1)
        wires = [stack.enter_context(lasting.wire()) for _ in range(20)]
        for wire in wires:
            wire.get(f"{SECRET}{name}&refreshNow=true")
            wire.get("/ping")  # whose answer comes behind; that it was read is certain once the next one is served
        assert lasting.get(name).value == "hunter2"
        secrets.put(name, "hunter3")
        gate.release()
        assert first.reply().value in {"hunter2", "hunter3"}
        assert {wire.reply().value for wire in wires} == {"hunter3"}
    assert 2 <= secrets.gets(name) <= 4


def test_one_hung_secret_delays_no_other(secrets, lasting):
    """Fifty that AWS does not answer for, and the fifty-first is served at once."""
    names = [secrets.create() for _ in range(50)]
    good = secrets.create()
    gates = [secrets.hold("GetSecretValue", about=name) for name in names]
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(lasting.wire()) for _ in names]
        for wire, name in zip(wires, names, strict=True):
            wire.get(f"{SECRET}{name}")
        for gate in gates:
            gate.wait_for(1)
        assert lasting.get(good).value == "hunter2"
        for gate in gates:
            gate.release()
        assert {wire.reply().status for wire in wires} <= {200, 504}


# After its time.


def test_an_unchanged_secret_lives_on(secrets, brief):
    """One GetSecretValue, no DescribeSecret, and the time begins anew."""
    name = brief.expired()
    assert [brief.agent.get(name).value for _ in range(3)] == ["hunter2"] * 3
    assert [asked.operation for asked in secrets.asked] == ["GetSecretValue"]


def test_a_changed_secret_is_seen(secrets, brief):
    """The new value, for one call."""
    name = brief.expired()
    secrets.put(name, "hunter3")
    assert brief.agent.get(name).value == brief.agent.get(secrets.arn(name)).value == "hunter3"
    assert [asked.operation for asked in secrets.asked] == ["GetSecretValue"]


def test_versions_and_stages_that_changed(secrets, brief):
    """A version by its id goes on being served, with the labels of now; a stage is the version that has it now."""
    name = secrets.create()
    version_id = secrets.version_id(name)
    secrets.put(name, "pending", stages=("AWSPENDING",))
    assert brief.agent.get(name, versionId=version_id).json()["VersionStages"] == ["AWSCURRENT"]
    assert brief.agent.get(name, versionStage="AWSPENDING").value == "pending"
    secrets.put(name, "hunter3")
    secrets.put(name, "later", stages=("AWSPENDING",))
    time.sleep(1.05)
    old = brief.agent.get(name, versionId=version_id)
    assert (old.value, old.json()["VersionStages"]) == ("hunter2", ["AWSPREVIOUS"])
    assert brief.agent.get(name, versionStage="AWSPENDING").value == "later"
    assert secrets.count("DescribeSecret") == 0


def test_versions_that_are_gone(secrets, lasting):
    """A version that AWS no longer has is 400, in AWS's words."""
    name, gone = secrets.create(), "0" * 32
    reply = lasting.get(name, versionId=gone)
    assert reply.status == 400
    assert reply.json()["message"] == (f"Secrets Manager can't find the specified secret value for VersionId: {gone}")


def fail(code, status):
    return lambda secrets, name: secrets.fail(
        "GetSecretValue", code=code, status=status, message="m", times=9, about=name
    )


OUTAGES = {
    "500": fail("InternalServiceError", 500),
    "503": fail("ServiceUnavailable", 503),
    "throttling": fail("ThrottlingException", 400),
    "too-many-requests": fail("TooManyRequestsException", 400),
    "expired-credentials": fail("ExpiredTokenException", 400),
    "gateway": lambda secrets, name: secrets.html("GetSecretValue", status=502, times=9, about=name),
    "half-an-answer": lambda secrets, name: secrets.html("GetSecretValue", status=200, page=b"{", times=9, about=name),
    "cut": lambda secrets, name: secrets.cut("GetSecretValue", times=9, about=name),
    "silence": lambda secrets, name: secrets.hang("GetSecretValue", times=9, about=name),
}


@pytest.mark.parametrize("outage", OUTAGES)
def test_stale_in_an_outage(secrets, brief, outage):
    """The copy is served, marked as old; AWS is left alone for a moment; once it is back the copy is renewed."""
    name = brief.expired()
    OUTAGES[outage](secrets, name)
    reply = brief.agent.get(name)
    assert (reply.value, reply.headers["warning"]) == ("hunter2", STALE)
    assert 1 <= int(reply.headers["age"]) < 60
    asked = secrets.gets(name)
    again = brief.agent.get(name)
    assert (again.value, again.headers["warning"]) == ("hunter2", STALE)
    assert secrets.gets(name) == asked == 1
    secrets.heal()
    secrets.put(name, "hunter3")
    assert brief.agent.get(name, refreshNow="true").value == "hunter3"
    fresh = brief.agent.get(name)
    assert (fresh.value, fresh.headers.keys() & {"age", "warning"}) == ("hunter3", set())


def test_stale_while_nobody_is_there(secrets, brief):
    """Refused connections are an outage too; for a secret that was never fetched they are 502."""
    name = brief.expired()
    with secrets.down():
        for _ in range(2):
            reply = brief.agent.get(name)
            assert (reply.value, reply.headers["warning"]) == ("hunter2", STALE)
        assert brief.agent.get("never/seen").short == (502, READ_ERROR)


REFUSALS = {
    "denied": lambda secrets, name: secrets.deny(name),
    "deleted": lambda secrets, name: secrets.delete(name, for_good=True),
    "marked-for-deletion": lambda secrets, name: secrets.delete(name),
    "no-key": fail("DecryptionFailure", 400),
    "kms": fail("AccessDeniedException", 400),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_never_against_awss_word(secrets, brief, refusal):
    """A secret that is denied or gone is never served from the cache: not now, and not in an outage that follows."""
    name = brief.expired()
    REFUSALS[refusal](secrets, name)
    assert brief.agent.get(name).status == 400
    secrets.heal()
    with secrets.down():
        assert brief.agent.get(name).status in {400, 502}
        time.sleep(NEGATIVE_SECONDS + 0.05)
        assert brief.agent.get(name).short == (502, READ_ERROR)


def test_what_aws_says_is_passed_on(secrets, brief):
    """The code and the message, each time that AWS is asked; and a permission that comes back is seen."""
    name, marked = brief.many_expired(2)
    secrets.deny(name)
    secrets.delete(marked)
    reply = brief.agent.get(name)
    assert (reply.status, reply.json()["__type"]) == (400, "AccessDeniedException")
    assert reply.json()["message"].endswith("allows the secretsmanager:GetSecretValue action")
    assert brief.agent.get(marked).json() == {"__type": "InvalidRequestException", "message": DELETED}
    secrets.allow_all()
    eventually(lambda: brief.agent.get(name).status == 200, "allowed")
    assert secrets.gets(name) == 2


def test_stale_never(agent, secrets):
    """With ``ignore_transient_errors = false``, or ``max_stale_seconds = 0``, an outage is an error."""
    running = [
        agent(ttl_seconds=1, ignore_transient_errors=False, env=ONCE),
        agent(ttl_seconds=1, own={"max_stale_seconds": 0}, env=ONCE),
    ]
    name = secrets.create()
    for each in running:
        assert each.get(name).value == "hunter2"
    time.sleep(1.05)
    with secrets.down():
        for each in running:
            assert each.get(name).short == (502, READ_ERROR)


def test_renewed_ahead(secrets, brief):
    """A secret that is asked for all the time is renewed before its time is over: nobody waits for AWS."""
    name = brief.fetched()
    secrets.asked.clear()
    gate = secrets.hold("GetSecretValue", about=name, times=99)
    begun = time.monotonic()
    while not gate.arrived and time.monotonic() < begun + 5:
        reply = brief.agent.get(name)
        assert reply.value == "hunter2"
        assert time.monotonic() < begun + 1 or gate.arrived
        time.sleep(0.01)
    gate.wait_for(1)
    secrets.put(name, "hunter3")
    gate.release()
    eventually(lambda: brief.agent.get(name).value == "hunter3", "renewed")


# A time of zero.


def test_zero_is_always_fresh(agent, secrets):
    """With ``ttl_seconds = 0`` each request asks AWS, and nothing is kept for an outage."""
    running = agent(ttl_seconds=0, env=ONCE)
    name = secrets.create()
    for value in ("hunter2", "hunter3", "hunter4"):
        secrets.put(name, value)
        assert running.get(name).value == value
    assert [asked.operation for asked in secrets.asked] == ["GetSecretValue"] * 3
    with secrets.down():
        assert running.get(name).short == (502, READ_ERROR)
    unknown = secrets.name("unknown")
    assert [running.get(unknown).status for _ in range(2)] == [400, 400]
    assert secrets.count("GetSecretValue", unknown) == 2


def test_times_by_pattern(agent, secrets):
    """``ttl`` in our own table gives single secrets another time, by name however they are asked for."""
    running = agent(own={"ttl": {"hot/*": 0}})
    hot, cold = secrets.create("hot/one"), secrets.create("cold/one")
    for _ in range(2):
        assert running.get(hot).status == running.get(cold).status == running.get(secrets.arn(hot)).status == 200
    assert (secrets.gets(hot), secrets.gets(cold)) == (4, 1)


# How much is kept.


def test_the_least_recently_used_goes(agent, secrets):
    """``cache_size`` counts secrets; one that was read lately stays."""
    running = agent(cache_size=2)
    a, b, c = (secrets.create() for _ in range(3))
    for name in (a, b, a, c, a):
        assert running.get(name).status == 200
    assert (secrets.gets(a), secrets.gets(b), secrets.gets(c)) == (1, 1, 1)
    assert running.get(b).status == 200
    assert secrets.gets(b) == 2


def test_a_limit_by_bytes(agent, secrets):
    """``max_bytes`` counts too: of large secrets fewer are kept."""
    running = agent(own={"max_bytes": 1024 * 1024})
    names = [secrets.create(value="x" * 65_536) for _ in range(18)]
    for name in names:
        assert running.get(name).status == 200
    assert running.get(names[-1]).status == running.get(names[0]).status == 200
    assert (secrets.gets(names[-1]), secrets.gets(names[0])) == (1, 2)


def test_regions_of_arns(agent, secrets):
    """An ARN of another region is asked for there; the same name here is another secret."""
    running = agent()
    name = secrets.create(value="here")
    secrets.create(name, "there", region="eu-west-1")
    assert running.get(secrets.arn(name, "eu-west-1")).value == "there"
    assert running.get(name).value == "here"
    assert [asked.region for asked in secrets.asked] == ["eu-west-1", "us-east-1"]


def test_no_wrong_value_under_load(secrets, brief):
    """Twenty clients, secrets that expire, an AWS that fails now and then: nobody gets another's secret."""
    names = [secrets.create(value=f"value {number}") for number in range(10)]
    for name in names:
        assert brief.agent.get(name).status == 200
    secrets.fail("GetSecretValue", code="InternalServiceError", status=500, times=5)
    secrets.cut("GetSecretValue", times=3)
    end = time.monotonic() + 1.3

    def ask(number):
        wrong = []
        with brief.agent.wire() as wire:
            while time.monotonic() < end:
                number = (number * 7 + 3) % 10
                wire.get(f"{SECRET}{names[number]}")
                reply = wire.reply()
                if reply.status != 200 or reply.value != f"value {number}":
                    wrong.append(reply)
        return wrong

    assert at_once(20, ask) == [[]] * 20
