import threading

import pytest

from strongroom.agent.failure import Failure
from strongroom.agent.roles import AHEAD_SECONDS, MARGIN_SECONDS, RETRY_SECONDS, Roles
from strongroom.credentials import Credentials

HOUR = 3600
DENIED = Failure(403, "AccessDeniedException", "no", kind="denied", reason="they said no")


class Log:
    def __init__(self):
        self.lines = []

    def info(self, message):
        self.lines.append(f"INFO {message}")

    def warn(self, message):
        self.lines.append(f"WARN {message}")


class Sts:
    """Assumes roles, one session after the other, unless it is told to fail or to wait."""

    def __init__(self):
        self.now = 1_000_000.0
        self.calls = []
        self.failure = None
        self.gate = None
        self.lives_seconds = HOUR

    def __call__(self, role_arn):
        self.calls.append(role_arn)
        number = len(self.calls)
        if self.gate is not None:
            assert self.gate.wait(30)
        if self.failure is not None:
            raise self.failure
        return Credentials(f"ASIA{number}", "s", "t", int(self.now + self.lives_seconds))


@pytest.fixture
def sts():
    return Sts()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def roles(sts, log):
    return Roles(2, sts, log, now=lambda: sts.now)


def test_a_role_is_assumed_once(roles, sts, log):
    """Its session serves until it is old."""
    assert [roles.current("a").access_key_id for _ in range(3)] == ["ASIA1"] * 3
    assert sts.calls == ["a"]
    assert log.lines == ["INFO Created new role client (1/2)"]


def test_the_least_recently_used_role_goes(roles, sts, log):
    """Using one counts, not only assuming it."""
    for role in ("a", "b", "a", "c"):
        roles.current(role)
    assert len(roles) == 2
    roles.current("a")
    assert sts.calls == ["a", "b", "c"]
    roles.current("b")
    assert sts.calls == ["a", "b", "c", "b"]
    assert log.lines == [f"INFO Created new role client ({number}/2)" for number in (1, 2, 2, 2)]


def test_a_role_that_cannot_be_assumed_takes_no_place(roles, sts):
    """The others stay, and it is tried again."""
    for role in ("a", "b"):
        roles.current(role)
    sts.failure = DENIED
    for _ in range(2):
        with pytest.raises(Failure) as caught:
            roles.current("c")
        assert caught.value is DENIED
    assert (len(roles), sts.calls) == (2, ["a", "b", "c", "c"])


@pytest.mark.parametrize(
    ("age", "calls"),
    [(HOUR - AHEAD_SECONDS - 1, 1), (HOUR - AHEAD_SECONDS, 2), (HOUR - MARGIN_SECONDS, 2), (HOUR, 2)],
)
def test_a_session_is_renewed_before_it_ends(roles, sts, log, age, calls):
    """And that is no new role."""
    roles.current("a")
    sts.now += age
    assert roles.current("a").access_key_id == f"ASIA{calls}"
    assert len(sts.calls) == calls
    assert log.lines == ["INFO Created new role client (1/2)"]


def test_one_that_cannot_be_renewed_yet_is_used_on(roles, sts, log):
    """While it is good; it is tried again after a while."""
    roles.current("a")
    sts.failure = DENIED
    sts.now += HOUR - AHEAD_SECONDS
    assert roles.current("a").access_key_id == "ASIA1"
    assert roles.current("a").access_key_id == "ASIA1"
    assert len(sts.calls) == 2
    assert log.lines[1:] == ["WARN The session of a could not be renewed yet: they said no"]
    sts.now += RETRY_SECONDS
    assert roles.current("a").access_key_id == "ASIA1"
    assert len(sts.calls) == 3
    sts.now += AHEAD_SECONDS - RETRY_SECONDS - MARGIN_SECONDS
    with pytest.raises(Failure):
        roles.current("a")
    sts.failure = None
    assert roles.current("a").access_key_id == "ASIA5"


def test_credentials_without_an_end(log):
    """They are never renewed."""
    now = [0.0]
    calls = []
    roles = Roles(1, lambda role: calls.append(role) or Credentials("AKIA", "s"), log, now=lambda: now[0])
    roles.current("a")
    now[0] = 1e12
    roles.current("a")
    assert calls == ["a"]


def together(number, work):
    """What *work* gave, or raised, in that many threads at once."""
    outcomes = []
    begin = threading.Barrier(number)

    def run():
        begin.wait(30)
        try:
            outcomes.append(work())
        except Failure as failure:
            outcomes.append(failure)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    return threads, outcomes


class Turnstile:
    """A lock that tells how many came to it."""

    def __init__(self, lock):
        self._lock = lock
        self._came = threading.Semaphore(0)

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()
        self._came.release()

    def wait_for(self, number):
        for _ in range(number):
            assert self._came.acquire(timeout=30)


@pytest.mark.parametrize("failure", [None, DENIED])
def test_many_at_once_assume_a_role_once(roles, sts, failure):
    """They share the session, or the refusal, each as an exception of its own."""
    sts.gate = threading.Event()
    sts.failure = failure
    roles._lock = Turnstile(roles._lock)
    threads, outcomes = together(10, lambda: roles.current("a"))
    roles._lock.wait_for(10)
    sts.gate.set()
    for thread in threads:
        thread.join()
    assert sts.calls == ["a"]
    if failure is None:
        assert outcomes == [roles.current("a")] * 10
    else:
        assert len({id(outcome) for outcome in outcomes}) == 10
        assert {(each.status, each.code, each.kind, each.reason, str(each)) for each in outcomes} == {
            (403, "AccessDeniedException", "denied", "they said no", str(DENIED))
        }


def test_one_role_does_not_wait_for_another(roles, sts):
    """Each has an AssumeRole of its own."""
    sts.gate = threading.Event()
    threads, outcomes = together(1, lambda: roles.current("a"))
    while not sts.calls:
        pass
    sts.gate, gate = None, sts.gate
    assert roles.current("b").access_key_id == "ASIA2"
    assert outcomes == []
    gate.set()
    threads[0].join()
    assert outcomes == [roles.current("a")]


def test_nobody_waits_for_a_session_that_is_renewed_ahead(roles, sts):
    """The old one is good while one of its users fetches the new one."""
    roles.current("a")
    sts.now += HOUR - AHEAD_SECONDS
    sts.gate = threading.Event()
    threads, outcomes = together(1, lambda: roles.current("a"))
    while len(sts.calls) < 2:
        pass
    assert roles.current("a").access_key_id == "ASIA1"
    sts.gate.set()
    threads[0].join()
    assert [outcome.access_key_id for outcome in outcomes] == ["ASIA2"]
    assert roles.current("a").access_key_id == "ASIA2"


def test_a_session_that_aws_refuses_is_replaced(roles, sts, log):
    """Once: a new one that is refused too is not to blame."""
    first = roles.current("a")
    sts.now += RETRY_SECONDS
    assert roles.renew("a", first)
    assert roles.renew("a", first)
    second = roles.current("a")
    assert (second.access_key_id, len(sts.calls)) == ("ASIA2", 2)
    assert not roles.renew("a", second)
    assert len(sts.calls) == 2
    assert log.lines == ["INFO Created new role client (1/2)"]


def test_a_session_that_was_dropped_meanwhile(roles, sts):
    """Is assumed anew."""
    first = roles.current("a")
    for role in ("b", "c"):
        roles.current(role)
    assert roles.renew("a", first)
    assert sts.calls == ["a", "b", "c", "a"]
