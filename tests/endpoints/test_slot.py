import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.endpoints import HOUR, START, Bench, made
from strongroom.endpoints import slot as slots
from strongroom.endpoints.slot import AHEAD_SECONDS, DECLINED_SECONDS, FAILED_SECONDS, HUMAN_SECONDS, Unavailable
from strongroom.errors import (
    AwsRefused,
    AwsUnreachable,
    KeystoreLocked,
    LockTimeout,
    MfaRefused,
    MfaRequired,
    NoCredentials,
    PromptDismissed,
)

AWAY = AwsUnreachable("sts GetSessionToken: no answer", "is there a network?")


@pytest.fixture
def bench():
    bench = Bench()
    yield bench
    bench.close()


def failure_of(bench, slot=None):
    with pytest.raises(Unavailable) as caught:
        bench.get(slot)
    return caught.value.status, caught.value.reason


def test_fetched_when_they_are_asked_for(bench):
    """Nothing is fetched before; then once, and kept."""
    assert bench.slot.current() is None
    assert bench.fetched.calls == 0
    assert [bench.get() for _ in range(3)] == [made(1)] * 3
    assert bench.slot.current() == made(1)
    assert bench.fetched.calls == 1
    assert bench.slot.fetched_at == START
    assert bench.lines == ["jon: credentials ****0001 until 2030-03-17T18:46:40Z"]


def test_renewals_are_told_elsewhere(bench):
    """Whoever shares a terminal with a command wants to hear of failures only."""
    renewed = []
    bench.slot.renewed = renewed.append
    bench.get()
    assert (bench.lines, renewed) == ([], ["jon: credentials ****0001 until 2030-03-17T18:46:40Z"])


def test_fifty_at_once(bench):
    """All who ask while nothing is there wait for one fetch."""
    bench.calls.is_held = True
    asking = [bench.begin() for _ in range(50)]
    bench.settle()
    assert len(bench.calls.waiting) == 1
    bench.calls.run()
    bench.settle()
    assert [each.result() for each in asking] == [made(1)] * 50
    assert bench.fetched.calls == 1


def test_handed_in(bench):
    """What was fetched before the server began is handed out without another fetch."""
    bench.slot.keep(made(7))
    assert bench.get() == made(7)
    assert bench.fetched.calls == 0
    assert bench.lines == []


@pytest.mark.parametrize(("left", "is_good"), [(1, True), (0.001, True), (0, False), (-1, False)])
@pytest.mark.parametrize("clock", ["wall", "clock"])
def test_never_after_their_end(bench, clock, left, is_good):
    """To the second, by either clock: a machine that sleeps stops one, and the other may be set back."""
    bench.slot.keep(made(99))
    getattr(bench, clock).tick(HOUR - left)
    assert (bench.slot.current() is not None) is is_good
    if not is_good:
        assert bench.get() != made(99)
        assert bench.fetched.calls == 1


@pytest.mark.parametrize(("dice", "before"), [(0.0, 300), (0.5, 330), (1.0, 360)])
def test_renewed_in_good_time(bench, dice, before):
    """Five minutes before they end, or up to one sooner, as the dice fall; whoever asks meanwhile has the old ones."""
    bench.dice = dice
    bench.slot.keep(made(99))
    bench.pass_by(HOUR - before - 1)
    bench.tick()
    assert bench.fetched.calls == 0
    bench.pass_by(1)
    bench.calls.is_held = True
    bench.tick()
    assert len(bench.calls.waiting) == 1
    assert bench.get() == made(99)
    bench.tick()
    assert len(bench.calls.waiting) == 1
    bench.calls.run()
    bench.settle()
    assert bench.get() == made(1, until=START + 2 * HOUR - before)
    bench.tick()
    assert bench.fetched.calls == 1


def test_nothing_is_fetched_unasked(bench):
    """Before the first request there is nothing to renew."""
    bench.tick()
    bench.pass_by(10 * HOUR)
    bench.tick()
    assert bench.fetched.calls == 0


@pytest.mark.parametrize("clock", ["wall", "clock"])
def test_nine_hours_later(bench, clock):
    """A clock that jumps: nobody gets the old ones, and all that follows is one fetch."""
    bench.slot.keep(made(99))
    getattr(bench, clock).tick(9 * HOUR)
    bench.calls.is_held = True
    bench.tick()
    asking = [bench.begin() for _ in range(20)]
    bench.settle()
    bench.tick()
    assert not any(each.done() for each in asking)
    bench.calls.is_held = False
    bench.calls.run()
    bench.settle()
    until = int(bench.wall()) + HOUR
    assert [each.result() for each in asking] == [made(1, until=until)] * 20
    bench.tick()
    assert bench.fetched.calls == 1


def test_the_clock_is_set_back(bench):
    """Nine hours: the credentials are not good for nine hours more."""
    bench.slot.keep(made(99))
    bench.wall.tick(-9 * HOUR)
    assert bench.get() == made(99)
    bench.clock.tick(HOUR - 300)
    bench.tick()
    assert bench.fetched.calls == 1
    assert bench.get() == made(1, until=START - 8 * HOUR)


def test_a_short_life(bench):
    """What lives for a minute is renewed after half of it; what is nearly over, after some seconds."""
    bench.slot.keep(made(99, until=START + 60))
    bench.pass_by(29)
    bench.tick()
    assert bench.fetched.calls == 0
    bench.pass_by(1)
    bench.tick()
    assert bench.fetched.calls == 1
    bench.slot.keep(made(99, until=int(bench.wall()) + 6))
    bench.pass_by(4)
    bench.tick()
    assert bench.fetched.calls == 1
    bench.pass_by(1)
    bench.tick()
    assert bench.fetched.calls == 2


def test_without_an_end(bench):
    """Credentials that do not expire are said to do so in an hour, for SDKs want a time; then they are fetched again."""
    bench.fetched.answer = made(5, until=None, token="")
    assert bench.get() == made(5, until=START + HOUR, token="")
    bench.pass_by(HOUR - AHEAD_SECONDS)
    bench.tick()
    assert bench.get() == made(5, until=START + 2 * HOUR - AHEAD_SECONDS, token="")


def test_over_when_they_come(bench):
    """Credentials that have expired already are no credentials."""
    bench.fetched.answer = made(5, until=START)
    reason = "jon: the credentials that came have expired already"
    assert failure_of(bench) == (503, reason)
    assert bench.slot.current() is None
    assert bench.lines == [f"jon: no new credentials: {reason}"]


def test_aws_is_away(bench):
    """The last good ones are handed out until they end, then the reason; as soon as AWS is back, new ones."""
    bench.slot.keep(made(99))
    bench.fetched.answer = AWAY
    bench.pass_by(HOUR - 300)
    bench.tick()
    assert bench.get() == made(99)
    assert bench.lines.pop() == (
        "jon: no new credentials: sts GetSessionToken: no answer; those that are here are good until 2030-03-17T18:46:40Z"
    )
    bench.pass_by(299)
    bench.tick()
    assert bench.get() == made(99)
    bench.pass_by(1)
    assert failure_of(bench) == (503, "sts GetSessionToken: no answer")
    assert bench.lines == []  # it is known
    bench.fetched.answer = None
    bench.pass_by(FAILED_SECONDS)
    assert bench.get().expiration == START + 2 * HOUR + FAILED_SECONDS


@pytest.mark.parametrize(("dice", "seconds"), [(0.0, 15), (1.0, 45)])
def test_tried_again(bench, dice, seconds):
    """A renewal that failed is tried again after half a minute, more or less."""
    bench.slot.keep(made(99))
    bench.fetched.answer = AWAY
    bench.dice = dice
    bench.pass_by(HOUR - 300)
    bench.tick()
    bench.fetched.answer = None
    bench.pass_by(seconds - 1)
    bench.tick()
    assert bench.fetched.calls == 1
    bench.pass_by(1)
    bench.tick()
    assert bench.fetched.calls == 2
    assert bench.get() == made(2, until=int(bench.wall()) + HOUR)


def test_tried_less_and_less(bench):
    """While nothing is left and nobody asks; once it has worked, the next failure begins anew."""
    bench.dice = 0.5
    bench.fetched.answer = AWAY
    for _ in range(2):
        calls = bench.fetched.calls
        assert failure_of(bench)[0] == 503
        for seconds in (60, 120, 240, 480, 600, 600):
            calls += 1
            bench.pass_by(seconds - 1)
            bench.tick()
            assert bench.fetched.calls == calls
            bench.pass_by(1)
            bench.tick()
        bench.fetched.answer = None
        bench.pass_by(600)
        bench.tick()
        bench.fetched.answer = AWAY
        bench.pass_by(2 * HOUR)
    assert [line.rpartition(" credentials")[0] for line in bench.lines] == ["jon: no new", "jon:"] * 2


def test_a_failure_is_shared(bench):
    """All who waited have it, and who asks right after; then it is tried again."""
    bench.fetched.answer = AWAY
    bench.calls.is_held = True
    asking = [bench.begin() for _ in range(5)]
    bench.settle()
    bench.calls.is_held = False
    bench.calls.run()
    bench.settle()
    failures = [each.exception() for each in asking]
    assert len({id(each) for each in failures}) == 5
    assert {(each.status, each.reason) for each in failures} == {(503, "sts GetSessionToken: no answer")}
    assert {each.__cause__ for each in failures} == {AWAY}
    assert failure_of(bench) == (503, "sts GetSessionToken: no answer")
    assert bench.fetched.calls == 1
    bench.clock.tick(FAILED_SECONDS)
    assert failure_of(bench)[0] == 503
    assert bench.fetched.calls == 2


@pytest.mark.parametrize(
    "error",
    [
        PromptDismissed("the code was not entered"),
        MfaRequired("arn:aws:iam::111122223333:mfa/jon", "nobody can be asked"),
        MfaRefused("arn:aws:iam::111122223333:mfa/jon", "the code was refused"),
        KeystoreLocked("wrong passphrase"),
    ],
)
def test_declined(bench, error):
    """A human who says no is left alone: by the next requests for a while, and by renewals until somebody asks."""
    bench.slot.keep(made(99))
    bench.fetched.answer = error
    bench.pass_by(HOUR - 300)
    bench.tick()
    bench.pass_by(200)
    bench.tick()
    assert bench.fetched.calls == 1
    bench.pass_by(100)
    bench.tick()
    assert bench.fetched.calls == 1
    assert failure_of(bench) == (403, error.message)
    assert bench.fetched.calls == 2
    bench.pass_by(DECLINED_SECONDS - 1)
    assert failure_of(bench) == (403, error.message)
    assert bench.fetched.calls == 2
    bench.fetched.answer = None
    bench.pass_by(1)
    assert bench.get() == made(3, until=int(bench.wall()) + HOUR)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (AWAY, 503, "sts GetSessionToken: no answer"),
        (LockTimeout(7, "strongroom", "pid 7 holds the lock"), 503, "pid 7 holds the lock"),
        (AwsRefused("AccessDenied", 403, "not authorized"), 403, "not authorized"),
        (AwsRefused("Throttling", 400, "rate exceeded"), 503, "rate exceeded"),
        (AwsRefused("TooMany", 429, "too many"), 503, "too many"),
        (AwsRefused("InternalFailure", 500, "oops"), 503, "oops"),
        (NoCredentials("jon"), 500, "profile jon: credentials missing"),
        (ValueError("canary"), 500, "internal error: ValueError"),
        (SystemExit("canary"), 500, "internal error: SystemExit"),
        (KeyboardInterrupt(), 500, "internal error: KeyboardInterrupt"),
    ],
)
def test_statuses(bench, error, status, reason):
    """403 where to ask again at once would not help, 503 where it may; of a mistake of ours no more than its kind."""
    bench.fetched.answer = error
    assert failure_of(bench) == (status, reason)
    assert bench.lines == [f"jon: no new credentials: {reason}"]


def test_a_human_takes_long(bench):
    """A request is not kept waiting; what the human brings is there for the next one."""
    assert HUMAN_SECONDS == 30
    bench.calls.is_held = True
    with pytest.raises(Unavailable) as caught:
        bench.run(bench.slot.get(0))
    assert (caught.value.status, caught.value.reason) == (
        504,
        "jon: the credentials are still being fetched; is somebody being asked?",
    )
    asking = bench.begin()
    bench.settle()
    assert len(bench.calls.waiting) == 1
    bench.calls.run()
    bench.settle()
    assert asking.result() == bench.get() == made(1)


def test_all_have_gone(bench):
    """Clients that do not wait for the answer do not end the fetch; the next one has what it brings."""
    bench.calls.is_held = True
    asking = [bench.begin() for _ in range(3)]
    bench.settle()
    for each in asking:
        each.cancel()
    bench.settle()
    bench.calls.run()
    bench.settle()
    assert bench.slot.current() == made(1)


def test_closed(bench):
    """Nothing is handed out any more; those who wait are told at once, and who is being asked is not waited for."""
    bench.calls.is_held = True
    asking = bench.begin()
    bench.settle()
    bench.run(bench.slot.close())
    bench.settle()
    assert asking.exception().reason == "the server is ending"
    bench.calls.cancel()
    assert failure_of(bench) == (503, "the server is ending")
    bench.pass_by(10 * HOUR)
    bench.tick()
    assert bench.calls.waiting == []


def test_closed_with_credentials(bench):
    """They are gone too."""
    bench.slot.keep(made(1))
    bench.run(bench.slot.close())
    assert bench.slot.current() is None


def test_no_threads(bench):
    """The pool has ended, or the system has no thread for us."""
    bench.calls.is_full = True
    assert failure_of(bench) == (503, "the server is ending")


def test_started(bench, monkeypatch):
    """From then on the clocks are looked at, again and again, until it is closed; others are called as often."""
    monkeypatch.setattr(slots, "TICK_SECONDS", 0)
    others = []
    bench.slot.keep(made(99))

    async def start():
        bench.slot.start(lambda: others.append(1))

    bench.run(start())
    bench.settle()
    assert bench.fetched.calls == 0
    bench.wall.tick(9 * HOUR)
    bench.settle()
    assert bench.fetched.calls == 1
    assert len(others) > 5
    bench.run(bench.slot.close())
    seen = len(others)
    bench.settle()
    assert len(others) == seen


async def told(slot):
    """What comes of asking."""
    try:
        return await slot.get()
    except Unavailable as unavailable:
        return unavailable.reason


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["wall", "clock", "both", "tick", "get", "away", "back"]),
            st.floats(-40_000, 40_000),
        ),
        max_size=40,
    )
)
def test_never_old_ones(steps):
    """Whatever the clocks do and AWS does: what is handed out is good by the wall clock, and nobody waits for ever."""
    bench = Bench()
    try:
        for step, seconds in steps:
            if step in {"wall", "both"}:
                bench.wall.tick(seconds)
            if step in {"clock", "both"}:
                bench.clock.tick(abs(seconds))
            if step == "tick":
                bench.tick()
            if step in {"away", "back"}:
                bench.fetched.answer = AWAY if step == "away" else None
            if step == "get":
                outcome = bench.run(told(bench.slot))
                assert outcome == AWAY.message or outcome.expiration > bench.wall()
    finally:
        bench.close()
