import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from harness.service import (
    Bench,
    arn_of,
    denied,
    gone,
    other,
    outcome,
    secret_of,
    transient,
)
from strongroom.agent.cache import Ask
from strongroom.agent.config import Config, Own
from strongroom.agent.failure import Failure

ROLE = "arn:aws:iam::111122223333:role/reader"
OTHER_ACCOUNT = "444455556666"


@pytest.fixture
def bench_of(closing):
    """Makes benches."""
    return closing(Bench)


@pytest.fixture
def bench(bench_of):
    return bench_of()


# --- one record per secret


def test_a_miss_then_hits(bench):
    """AWS is asked once; what it said is served until it expires."""
    bench.upstream.put("db")
    assert outcome(bench.get("db")) == ("hunter2", "miss")
    bench.clock.tick(200)
    assert outcome(bench.get("db")) == ("hunter2", "hit")
    assert bench.upstream.asked == [(None, "db", None, None)]


@pytest.mark.parametrize("first", ["db", arn_of("db"), arn_of("db")[:-7]])
def test_all_names_of_a_secret(bench, first):
    """Whatever is asked for first, name, ARN, partial ARN and an explicit AWSCURRENT lead to one record."""
    arn = bench.upstream.put("db")
    bench.cache.home(None, "111122223333", "eu-west-1")
    bench.get(first)
    for name in ("db", arn, arn[:-7]):
        assert outcome(bench.get(name)) == outcome(bench.get(name, stage="AWSCURRENT")) == ("hunter2", "hit")
    assert (bench.upstream.ids(), len(bench.cache)) == ([first], 1)


def test_versions_and_stages_apart(bench):
    """Which version is meant is part of the question; an empty one is a question for AWS."""
    bench.upstream.put("db")
    asked = [(None, None), ("V1", None), ("V1", "AWSCURRENT"), (None, "AWSPREVIOUS"), (None, ""), ("", None)]
    for version, stage in asked * 2:
        bench.get("db", version=version, stage=stage)
    assert [call[2:] for call in bench.upstream.asked] == asked
    assert len(bench.cache) == 6


def test_the_same_name_in_another_account(bench):
    """A name is not that of a secret elsewhere that has it too, whichever of them is asked for first."""
    bench.upstream.put("db", "ours")
    elsewhere = [
        bench.upstream.put("db", "theirs", account=OTHER_ACCOUNT, by=[arn_of("db", account=OTHER_ACCOUNT)]),
        bench.upstream.put("db", "far", region="us-east-1", by=[arn_of("db", region="us-east-1")]),
    ]
    assert [outcome(bench.get(arn))[0] for arn in elsewhere] == ["theirs", "far"]
    assert outcome(bench.get("db")) == ("ours", "miss")
    assert [outcome(bench.get(arn)) for arn in elsewhere] == [("theirs", "hit"), ("far", "hit")]
    assert outcome(bench.get("db")) == ("ours", "hit")


def test_roles_apart(bench):
    """What one role may have says nothing about another, nor about a name in its account."""
    bench.upstream.answers[ROLE, "db"] = secret_of("db", "role's", arn=arn_of("db", account=OTHER_ACCOUNT))
    bench.upstream.put("db", "ours")
    assert outcome(bench.get("db", role=ROLE)) == ("role's", "miss")
    assert outcome(bench.get("db")) == ("ours", "miss")
    assert outcome(bench.get(arn_of("db"), role=ROLE)) == ("ours", "miss")
    assert outcome(bench.get("db", role=ROLE)) == ("role's", "hit")


def test_a_secret_that_was_made_anew(bench):
    """Its name leads to the new one for all, and the old one is served under no name any more."""
    old = bench.upstream.put("db", "old")
    assert outcome(bench.get("db")) == outcome(bench.get(old, force=True)) == ("old", "miss")
    record = bench.record(old)
    new = bench.upstream.put("db", "new", ending="ZyXwVu")
    bench.upstream.fail(gone(), old)
    assert outcome(bench.get("db", force=True)) == ("new", "miss")
    assert outcome(bench.get("db")) == outcome(bench.get(new)) == outcome(bench.get(new[:-7])) == ("new", "hit")
    assert bench.get(old).code == "ResourceNotFoundException"
    assert record.response == b""


def test_an_older_answer_changes_nothing(bench):
    """What AWS was asked for earlier gives way to what came since, under another name too."""
    arn = bench.upstream.put("db", "old")
    bench.cache.home(None, "111122223333", "eu-west-1")
    bench.calls.is_held = True
    late = bench.begin("db")
    newer = bench.begin(arn)
    ((future, *_), _) = bench.calls.waiting
    bench.calls.waiting[0] = (future, lambda: secret_of("db", "old"), (), {})
    bench.upstream.put("db", "new")
    bench.calls.run(last_first=True)
    bench.settle()
    assert outcome(newer.result()) == ("new", "miss")
    bench.settle()
    assert outcome(late.result()) == ("new", "miss")
    assert outcome(bench.get("db")) == outcome(bench.get(arn)) == ("new", "hit")


def test_what_was_fetched_ahead_gives_way(bench):
    """An answer without a place in the order never replaces one, nor takes its name away; one that is alone is kept."""
    bench.upstream.put("db", "new", ending="ZyXwVu")
    bench.get("db")
    ahead = Ask("secret", None, "db")
    bench.service.keep(ahead, secret_of("db", "ahead", arn=arn_of("db", ending="ZyXwVu")), 0)
    bench.service.keep(ahead, secret_of("db", "older", arn=arn_of("db")), 0)
    assert outcome(bench.get("db")) == ("new", "hit")
    bench.service.keep(Ask("secret", None, "b"), secret_of("b", "ahead"), 0)
    assert outcome(bench.get("b")) == ("ahead", "hit")
    assert bench.upstream.ids() == ["db"]


# --- how long


@pytest.mark.parametrize(("after", "how"), [(299, "hit"), (300, "miss"), (301, "miss")])
def test_the_end_of_a_lifetime(bench, after, how):
    """At its end AWS is asked."""
    bench.upstream.put("db")
    bench.get("db")
    bench.calls.is_held = True
    bench.clock.tick(after)
    asked = bench.begin("db")
    bench.land()
    assert outcome(asked.result())[1] == how


def test_lifetimes_by_pattern(bench_of):
    """The first pattern that fits the id, the name or the ARN counts."""
    patterns = (("live/*", 10), ("live/db", 1000), (arn_of("by-arn"), 20))
    bench = bench_of(ttl=patterns)
    for name, seconds in (("live/db", 10), ("by-arn", 20), ("else", 300)):
        bench.upstream.put(name)
        bench.get(name)
        record = bench.record(name)
        assert record.fresh_until - record.fetched_at == seconds


def test_zero_keeps_nothing(bench_of):
    """With a lifetime of 0 each question is one for AWS, and nothing is served in an outage."""
    bench = bench_of(Config(ttl_seconds=0))
    bench.upstream.put("db")
    assert [outcome(bench.get("db")) for _ in range(3)] == [("hunter2", "miss")] * 3
    bench.upstream.fail(transient(), "db")
    assert bench.get("db").code == "ThrottlingException"
    assert (len(bench.cache), len(bench.upstream.asked)) == (0, 4)


@pytest.mark.parametrize("pattern", ["db", arn_of("db")])
@pytest.mark.parametrize("name", ["db", arn_of("db")])
def test_zero_is_never_older_than_the_question(bench_of, pattern, name):
    """Whichever name has the lifetime of 0: a call that began before is not waited for, but those who wait share."""
    bench = bench_of(ttl=((pattern, 0),))
    bench.upstream.put("db", "old")
    bench.calls.is_held = True
    first, *later = [bench.begin(name) for _ in range(20)]
    bench.settle()
    bench.land()
    bench.upstream.put("db", "new")
    bench.land()
    assert outcome(first.result()) == ("old", "miss")
    assert {outcome(each.result()) for each in later} == {("new", "miss")}
    assert (len(bench.upstream.asked), len(bench.cache)) == (2, 0)


def test_zero_remembers_no_refusal(bench_of):
    """Not even that."""
    bench = bench_of(ttl=(("db", 0),))
    for name in ("db", arn_of("db")):
        assert [bench.get(name).code for _ in range(2)] == ["ResourceNotFoundException"] * 2
    assert len(bench.upstream.asked) == 4


# --- one call


def test_a_thousand_ask_at_once(bench):
    """One call to AWS."""
    bench.upstream.put("db")
    bench.calls.is_held = True
    asked = [bench.begin("db") for _ in range(1000)]
    bench.settle()
    assert (len(bench.calls.waiting), bench.service.flights) == (1, 1)
    bench.land()
    assert {outcome(each.result()) for each in asked} == {("hunter2", "miss")}
    assert (len(bench.upstream.asked), bench.service.flights) == (1, 0)


def test_a_thousand_hear_no_at_once(bench):
    """Refusals are shared as well."""
    bench.calls.is_held = True
    asked = [bench.begin("db") for _ in range(1000)]
    bench.land()
    assert {each.result().code for each in asked} == {"ResourceNotFoundException"}
    assert len(bench.upstream.asked) == 1


def test_forced_questions(bench):
    """They join no call that began before them, and share the next one."""
    bench.upstream.put("db", "old")
    bench.calls.is_held = True
    plain = [bench.begin("db") for _ in range(3)]
    forced = [bench.begin("db", force=True) for _ in range(3)]
    bench.land()
    assert {outcome(each.result()) for each in plain} == {("old", "miss")}
    assert not any(each.done() for each in forced)
    bench.upstream.put("db", "new")
    bench.land()
    assert {outcome(each.result()) for each in forced} == {("new", "miss")}
    assert len(bench.upstream.asked) == 2
    assert outcome(bench.get("db")) == ("new", "hit")


def test_who_is_gone_stops_nobody(bench):
    """A client that hangs up leaves the call to the others."""
    bench.upstream.put("db")
    bench.calls.is_held = True
    leaving, staying = bench.begin("db"), bench.begin("db")
    bench.settle()
    leaving.cancel()
    bench.land()
    assert leaving.cancelled()
    assert outcome(staying.result()) == ("hunter2", "miss")


def test_hung_calls_delay_no_other(bench):
    """Fifty secrets for which AWS does not answer, and one for which it does; with real threads."""
    gate = threading.Event()
    hung = [f"hung/{number}" for number in range(50)]
    for name in hung:
        bench.upstream.answers[name] = lambda: gate.wait(20) and gone()
    bench.upstream.put("db")
    with ThreadPoolExecutor(64) as threads:
        bench.service.executor = threads
        asked = [bench.begin(name) for name in hung]
        bench.settle()
        assert outcome(bench.get("db")) == ("hunter2", "miss")
        assert not any(each.done() for each in asked)
        gate.set()
        for each in asked:
            bench.loop.run_until_complete(each)
    assert {each.result().code for each in asked} == {"ResourceNotFoundException"}


def test_no_more_threads(bench):
    """A call that cannot begin is an answer: what is cached, or an error; and the next one may begin."""
    bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(400)
    bench.calls.is_full = True
    assert outcome(bench.get("db")) == ("hunter2", "stale")
    assert (bench.get("b").status, bench.service.flights) == (500, 0)
    assert "secret b: AWS cannot be asked: can't start new thread" in bench.log.of("warn")
    bench.calls.is_full = False
    bench.clock.tick(2)
    assert outcome(bench.get("db")) == ("hunter2", "miss")


def test_a_mistake_of_ours(bench):
    """What nobody foresaw is an answer too, and neither the text of it nor the secret is logged."""
    bench.upstream.answers["db"] = ValueError("hunter2")
    bench.upstream.answers["b"] = secret_of("b", 7 + 2j)
    for name, kind in (("db", "ValueError"), ("b", "TypeError")):
        assert (bench.get(name).status, bench.get(name).code) == (500, "InternalFailure")
        assert f"Internal error for {name} - {kind}" in bench.log.of("error")
    assert "hunter2" not in str(bench.log.lines)


def test_the_end(bench):
    """Calls that never begin leave nobody waiting."""
    bench.calls.is_held = True
    asked = [bench.begin("db"), bench.begin("db", force=True)]
    bench.settle()
    bench.calls.cancel()
    bench.settle()
    assert [each.cancelled() for each in asked] == [True, True]


# --- ahead of the end


@pytest.mark.parametrize(("dice", "at"), [(0.0, 240), (0.5, 262.5), (0.999, 284.9)])
def test_renewed_ahead(bench, dice, at):
    """In the last fifth of its life, when the dice say: served at once, and AWS asked once meanwhile."""
    bench.dice = dice
    bench.upstream.put("db", "old")
    bench.get("db")
    bench.upstream.put("db", "new")
    bench.clock.tick(at - 1)
    bench.get("db")
    bench.settle()
    assert len(bench.upstream.asked) == 1
    bench.calls.is_held = True
    bench.clock.tick(1.5)
    assert [outcome(bench.get("db")) for _ in range(5)] == [("old", "hit")] * 5
    assert len(bench.calls.waiting) == 1
    bench.land()
    assert outcome(bench.get("db")) == ("new", "hit")
    assert len(bench.upstream.asked) == 2


def test_a_call_that_is_under_way_renews(bench):
    """Nobody begins another."""
    bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(290)
    bench.calls.is_held = True
    forced = bench.begin("db", force=True)
    bench.settle()
    assert outcome(bench.get("db")) == ("hunter2", "hit")
    assert len(bench.calls.waiting) == 1
    bench.land()
    assert outcome(forced.result()) == ("hunter2", "miss")
    assert len(bench.upstream.asked) == 2


@pytest.mark.parametrize("failure", [transient(), other()])
def test_a_renewal_that_fails(bench_of, failure):
    """It is tried again after 1, 2, 4... and at last every 30 seconds; nobody who asks notices."""
    bench = bench_of(Config(ttl_seconds=3600))
    bench.upstream.put("db")
    bench.get("db")
    bench.upstream.fail(failure, "db")
    bench.clock.tick(3600 * 0.9)
    tried = []
    for _ in range(300):
        before = len(bench.upstream.asked)
        assert outcome(bench.get("db")) == ("hunter2", "hit")
        bench.settle()
        if len(bench.upstream.asked) > before:
            tried.append(bench.clock.now)
        bench.clock.tick(0.5)
    pauses = [after - before for before, after in itertools.pairwise(tried)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_after_a_failure_all_is_well(bench):
    """A success ends the growing pauses."""
    bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(290)
    bench.upstream.fail(transient(), "db")
    bench.get("db")
    bench.settle()
    bench.get("db")
    record = bench.record("db")
    assert (record.patience, record.calm_until) == (1.0, bench.clock.now + 1)
    bench.upstream.put("db")
    bench.clock.tick(1)
    bench.get("db")
    bench.settle()
    assert bench.record("db").patience == 0.0


@pytest.mark.parametrize("refusal", [denied(), gone()])
def test_a_renewal_that_is_refused(bench, refusal):
    """The record goes at once, though it was fresh."""
    bench.upstream.put("db")
    bench.get("db")
    record = bench.record("db")
    bench.clock.tick(290)
    bench.upstream.fail(refusal, "db")
    assert outcome(bench.get("db")) == ("hunter2", "hit")
    bench.settle()
    assert bench.get("db").code == refusal.code
    assert len(bench.cache) == 0
    assert (bench.cache.bytes, record.calm_until < bench.clock.now) == (0, True)


# --- when AWS cannot say


def test_stale(bench):
    """Served with its age until `max_stale_seconds` after its end, then the failure; AWS is tried at growing pauses."""
    bench.upstream.put("db")
    bench.get("db")
    bench.upstream.fail(transient(), "db", arn_of("db"))
    bench.clock.tick(300)
    served = bench.get("db")
    assert (outcome(served), served.age) == (("hunter2", "stale"), 300)
    bench.clock.tick(0.9)
    assert outcome(bench.get("db")) == ("hunter2", "stale")
    assert len(bench.upstream.asked) == 2
    bench.clock.tick(0.1)
    assert outcome(bench.get(arn_of("db"))) == ("hunter2", "stale")
    assert len(bench.upstream.asked) == 3
    bench.clock.tick(3598.9)
    assert (outcome(bench.get("db")), bench.get("db").age) == (("hunter2", "stale"), 3899)
    bench.clock.tick(0.2)
    assert bench.get("db").code == "ThrottlingException"
    bench.upstream.put("db", "back")
    assert outcome(bench.get("db")) == ("back", "miss")


def test_stale_never(bench_of):
    """With ``ignore_transient_errors = false``, or no time for it: the failure, each time."""
    for config in (Config(ignore_transient_errors=False), Config(own=Own(max_stale_seconds=0))):
        bench = bench_of(config)
        bench.upstream.put("db")
        bench.get("db")
        bench.upstream.fail(transient(), "db")
        bench.clock.tick(300)
        assert [bench.get("db").code for _ in range(3)] == ["ThrottlingException"] * 3


def test_another_failure_is_no_outage(bench):
    """What AWS says otherwise is passed on each time, and the record stays as it is."""
    bench.upstream.put("db")
    bench.get("db")
    bench.upstream.fail(other(), "db")
    bench.clock.tick(300)
    assert [bench.get("db").code for _ in range(3)] == ["InvalidRequestException"] * 3
    bench.upstream.fail(transient(), "db")
    assert outcome(bench.get("db")) == ("hunter2", "stale")


@pytest.mark.parametrize("refusal", [denied(), gone()])
@pytest.mark.parametrize("is_forced", [False, True])
def test_a_refusal_is_no_outage(bench, refusal, is_forced):
    """The record goes, by whatever name and for whoever asks, and does not come back in an outage."""
    arn = bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(0 if is_forced else 300)
    bench.upstream.fail(refusal, "db")
    assert bench.get("db", force=is_forced).code == refusal.code
    bench.upstream.fail(transient(), "db", arn)
    bench.clock.tick(3)
    assert {bench.get(name).code for name in ("db", arn)} == {"ThrottlingException"}


def test_forced_questions_in_an_outage(bench):
    """Who wants AWS's word gets no other; who only doubts a version gets what is there. The record stays."""
    bench.upstream.put("db")
    bench.get("db")
    bench.upstream.fail(transient(), "db")
    assert bench.get("db", force=True).code == "ThrottlingException"
    assert outcome(bench.get("db", rejected="V1")) == ("hunter2", "hit")
    assert outcome(bench.get("db")) == ("hunter2", "hit")
    assert len(bench.upstream.asked) == 3


def test_refusals_are_remembered(bench_of):
    """For `negative_ttl_seconds`, for the id that was asked for; not for who wants AWS's word."""
    bench = bench_of(negative_ttl_seconds=2.0)
    first = bench.get("db")
    bench.clock.tick(1.9)
    assert bench.get("db") is first
    assert bench.get("db", version="V1") is not first
    assert len(bench.upstream.asked) == 2
    bench.clock.tick(0.1)
    assert bench.get("db") is not first
    bench.upstream.put("db")
    assert bench.get("db").code == "ResourceNotFoundException"
    assert outcome(bench.get("db", force=True)) == ("hunter2", "miss")
    assert outcome(bench.get("db")) == ("hunter2", "hit")


def test_a_refusal_of_what_was_cached_is_remembered(bench):
    """Under the name by which it is asked for next, too."""
    bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(300)
    bench.upstream.fail(gone(), "db")
    assert [bench.get("db").code for _ in range(3)] == ["ResourceNotFoundException"] * 3
    assert len(bench.upstream.asked) == 2


def test_a_refusal_of_one_version_is_remembered(bench):
    """While others are cached, and so its names are known."""
    bench.upstream.put("db")
    bench.get("db")
    bench.get("db", version="V1")
    bench.upstream.fail(gone(), "db", arn_of("db"))
    bench.clock.tick(1)
    assert bench.get("db", force=True).code == "ResourceNotFoundException"
    assert {bench.get(name).code for name in ("db", arn_of("db"))} == {"ResourceNotFoundException"}
    assert outcome(bench.get("db", version="V1")) == ("hunter2", "hit")
    assert len(bench.upstream.asked) == 3


@pytest.mark.parametrize("name", ["db", arn_of("db")])
def test_what_was_refused_once(bench_of, name):
    """A refusal is forgotten when AWS says yes, by whatever name, though the record may go before the refusal would."""
    bench = bench_of(Config(cache_size=1, own=Own(negative_ttl_seconds=300)))
    bench.get(name)
    bench.upstream.put("db")
    bench.upstream.put("b")
    assert outcome(bench.get("db", force=True)) == ("hunter2", "miss")
    bench.get("b")
    assert outcome(bench.get(name)) == ("hunter2", "miss")


def test_refusals_are_remembered_within_bounds(bench):
    """The oldest is forgotten first."""
    for number in range(1001):
        bench.get(f"db/{number}")
    asked = len(bench.upstream.asked)
    bench.get("db/1")
    assert len(bench.upstream.asked) == asked
    bench.get("db/0")
    assert len(bench.upstream.asked) == asked + 1


def test_no_refusals_are_remembered(bench_of):
    """With 0 seconds each question is one for AWS."""
    bench = bench_of(negative_ttl_seconds=0)
    assert [bench.get("db").code for _ in range(2)] == ["ResourceNotFoundException"] * 2
    assert len(bench.upstream.asked) == 2


def test_failures_are_not_remembered(bench):
    """Nor refusals of an unknown kind."""
    for failure in (transient(), other()):
        bench.upstream.fail(failure, "db")
        before = len(bench.upstream.asked)
        assert [bench.get("db").code for _ in range(2)] == [failure.code] * 2
        assert len(bench.upstream.asked) == before + 2


def test_an_older_refusal_changes_nothing(bench):
    """A call that began before the one that brought the record has no say about it."""
    arn = bench.upstream.put("db")
    bench.cache.home(None, "111122223333", "eu-west-1")
    bench.upstream.answers["db"] = denied()
    bench.calls.is_held = True
    late, newer = bench.begin("db"), bench.begin(arn)
    bench.settle()
    bench.calls.run(last_first=True)
    bench.settle()
    assert (late.result().code, outcome(newer.result())) == ("AccessDeniedException", ("hunter2", "miss"))
    assert outcome(bench.get(arn)) == outcome(bench.get("db")) == ("hunter2", "hit")


# --- the deadline


def test_too_late(bench_of):
    """504 when AWS does not answer in time; what comes later is kept."""
    bench = bench_of(total_timeout_seconds=0.01)
    bench.upstream.put("db")
    bench.calls.is_held = True
    failure = bench.get("db")
    assert (failure.status, failure.code, failure.message) == (504, "TimeoutError", "Timeout")
    assert bench.log.of("warn") == ["db: AWS did not answer in time"]
    assert bench.service.flights == 1
    bench.land()
    assert outcome(bench.get("db")) == ("hunter2", "hit")


def test_too_late_but_cached(bench_of):
    """What is cached is served; not to who wants AWS's word. Nobody begins a second call."""
    bench = bench_of(total_timeout_seconds=0.01)
    bench.upstream.put("db", "old")
    bench.get("db")
    bench.clock.tick(300)
    bench.calls.is_held = True
    served = bench.get("db")
    assert (outcome(served), served.age) == (("old", "stale"), 300)
    assert bench.get("db", force=True).status == 504
    assert len(bench.calls.waiting) == 1
    bench.upstream.put("db", "new")
    bench.land()
    assert outcome(bench.get("db")) == ("new", "hit")


# --- a version that does not work


def test_rejected(bench):
    """It forces one refresh per interval, if it names what would be served."""
    bench.upstream.put("db", "old", version="V1")
    bench.get("db")
    assert outcome(bench.get("db", rejected="V0")) == outcome(bench.get("db", rejected="")) == ("old", "hit")
    assert outcome(bench.get("db", rejected="V1")) == ("old", "miss")
    bench.upstream.put("db", "new", version="V2")
    bench.clock.tick(9.9)
    assert outcome(bench.get("db", rejected="V1")) == ("old", "hit")
    bench.clock.tick(0.1)
    assert outcome(bench.get("db", rejected="V1")) == ("new", "miss")
    assert outcome(bench.get("db", rejected="V1")) == outcome(bench.get("db")) == ("new", "hit")
    assert len(bench.upstream.asked) == 3


def test_rejected_by_many(bench):
    """The first asks; the others are served what there is until the answer comes."""
    bench.upstream.put("db")
    bench.get("db")
    bench.calls.is_held = True
    asked = [bench.begin("db", rejected="V1") for _ in range(50)]
    bench.settle()
    assert len(bench.calls.waiting) == 1
    bench.land()
    assert sorted({outcome(each.result()) for each in asked}) == [("hunter2", "hit"), ("hunter2", "miss")]


# --- forgetting


def forget(bench, text, role=None, kind="secret"):
    return bench.service.forget(Ask(kind, role, text))


@pytest.mark.parametrize("text", ["db", arn_of("db"), arn_of("db")[:-7]])
def test_forgetting(bench, text):
    """All versions of a secret by any of its names, and of no other."""
    for name in ("db", "b"):
        bench.upstream.put(name)
        bench.get(name)
        bench.get(name, version="V1")
    assert (forget(bench, text, ROLE), forget(bench, text), forget(bench, text)) == (0, 2, 0)
    assert outcome(bench.get("db")) == ("hunter2", "miss")
    assert outcome(bench.get("b")) == ("hunter2", "hit")


@pytest.mark.parametrize("asked", ["db", arn_of("db"), arn_of("db")[:-7]])
@pytest.mark.parametrize("text", ["db", arn_of("db"), arn_of("db")[:-7]])
def test_forgetting_what_is_under_way(bench, asked, text):
    """The answer is for those who wait already, and is not kept, though its names were not known to be the same."""
    bench.upstream.put("db", "old")
    bench.upstream.put("b")
    bench.calls.is_held = True
    waiting, unconcerned = bench.begin(asked), bench.begin("b")
    bench.settle()
    assert forget(bench, text) == 0
    after = bench.begin(asked)
    bench.land()
    assert outcome(waiting.result()) == ("old", "miss")
    assert outcome(unconcerned.result()) == ("hunter2", "miss")
    bench.upstream.put("db", "new")
    bench.land()
    assert outcome(after.result()) == ("new", "miss")
    assert outcome(bench.get(asked)) == ("new", "hit")
    assert outcome(bench.get("b")) == ("hunter2", "hit")


def test_forgetting_refusals(bench):
    """What AWS said against it is forgotten, also what it is about to say."""
    bench.get("db")
    bench.calls.is_held = True
    waiting = bench.begin("b")
    bench.settle()
    assert (forget(bench, "db"), forget(bench, "b")) == (0, 0)
    bench.land()
    assert waiting.result().code == "ResourceNotFoundException"
    bench.calls.is_held = False
    bench.upstream.put("db")
    bench.upstream.put("b")
    assert outcome(bench.get("db")) == outcome(bench.get("b")) == ("hunter2", "miss")


def test_forgetting_everything(bench):
    """Records, refusals and what is under way, of all roles."""
    for name in ("a", "b", "c"):
        bench.upstream.put(name)
    bench.get("a")
    bench.get("b", role=ROLE)
    bench.get("no")
    bench.calls.is_held = True
    waiting = bench.begin("c")
    bench.settle()
    assert bench.service.forget_all() == 2
    bench.land()
    assert outcome(waiting.result()) == ("hunter2", "miss")
    bench.calls.is_held = False
    bench.upstream.put("no")
    served = [bench.get("a"), bench.get("b", role=ROLE), bench.get("c"), bench.get("no")]
    assert {outcome(each) for each in served} == {("hunter2", "miss")}


# --- other settings


def reconfigure(bench, **changes):
    bench.config = replace(bench.config, **changes)
    bench.service.reconfigure(bench.config, bench.upstream)


def test_other_lifetimes(bench):
    """They hold for what is cached, counted from when it came; nothing is asked for because of them alone."""
    bench.upstream.put("db")
    bench.get("db")
    record = bench.record("db")
    bench.clock.tick(100)
    reconfigure(bench, ttl_seconds=600)
    assert outcome(bench.get("db")) == ("hunter2", "hit")
    bench.settle()
    assert len(bench.upstream.asked) == 1
    bench.clock.tick(400)
    assert outcome(bench.get("db")) == ("hunter2", "hit")
    reconfigure(bench, ttl_seconds=60)
    assert outcome(bench.get("db")) == ("hunter2", "miss")
    assert record.response == b""


def test_a_lifetime_of_zero_from_now_on(bench):
    """Nothing stays, not even for an outage that is known."""
    bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(300)
    bench.upstream.fail(transient(), "db")
    assert outcome(bench.get("db")) == ("hunter2", "stale")
    reconfigure(bench, ttl_seconds=0)
    assert bench.get("db").code == "ThrottlingException"
    assert len(bench.cache) == 0


def test_pauses_go_on(bench):
    """AWS is left alone for as long as before."""
    bench.upstream.put("db")
    bench.get("db")
    bench.clock.tick(290)
    bench.upstream.fail(transient(), "db")
    bench.get("db")
    bench.settle()
    reconfigure(bench, ttl_seconds=310)
    bench.get("db")
    bench.settle()
    assert len(bench.upstream.asked) == 2
    bench.clock.tick(1)
    bench.get("db")
    bench.settle()
    assert len(bench.upstream.asked) == 3


def test_smaller_limits(bench):
    """What is too much goes at once, the least recently used first."""
    for name in ("a", "b", "c"):
        bench.upstream.put(name)
        bench.get(name)
    bench.get("a")
    reconfigure(bench, cache_size=2)
    assert sorted(bench.service.ages()) == ["a", "c"]
    reconfigure(bench, own=Own(max_bytes=2000))
    assert sorted(bench.service.ages()) == ["a"]


@pytest.mark.parametrize("change", [{"region": "us-east-1"}, {"credentials_file_path": "/x"}])
def test_names_elsewhere(bench, change):
    """In another region or with other credentials a name may be another secret's: nothing stays of what was known."""
    arn = bench.upstream.put("db", "here")
    bench.get("db")
    bench.get("no")
    bench.calls.is_held = True
    waiting = bench.begin("b")
    bench.upstream.put("b")
    bench.settle()
    reconfigure(bench, **change)
    bench.land()
    assert outcome(waiting.result()) == ("hunter2", "miss")
    assert len(bench.cache) == 0
    bench.calls.is_held = False
    assert outcome(bench.get(arn)) == ("here", "miss")
    bench.upstream.put("db", "there", region="us-east-1", by=["db"])
    assert outcome(bench.get("db")) == ("there", "miss")
    assert outcome(bench.get(arn)) == ("here", "hit")


def test_refusals_by_other_settings(bench):
    """They are asked for again."""
    bench.get("db")
    bench.upstream.put("db")
    reconfigure(bench)
    assert outcome(bench.get("db")) == ("hunter2", "miss")


# --- parameters


def test_parameters(bench):
    """Version, label and form are part of the question; the selector follows the name."""
    answer = {"ARN": "arn:aws:ssm:eu-west-1:111122223333:parameter/a", "Name": "/a", "Value": "v", "Version": 2}
    bench.upstream.answers |= {"ssm:/a": answer, "ssm:/a:2": answer}
    for version, form in ((None, "plain"), (None, "stored"), ("2", "plain")) * 2:
        bench.get("/a", kind="parameter", version=version, stage=form)
    assert bench.upstream.asked == [(None, "/a", True), (None, "/a", False), (None, "/a:2", True)]
    assert forget(bench, "/a") == 0
    assert forget(bench, "/a", kind="parameter") == 3


# --- what is counted


def test_calls_are_counted(bench):
    """By operation and code, in the thread of the call."""
    bench.upstream.put("db")
    bench.get("db")
    bench.get("no")
    bench.upstream.answers["ssm:/a"] = {"Name": "/a", "Value": "v"}
    bench.get("/a", kind="parameter", stage="stored")
    text = bench.metrics.render({}).decode()
    for line in (
        'upstream_calls_total{operation="GetSecretValue",outcome="ok"} 1',
        'upstream_calls_total{operation="GetSecretValue",outcome="error"} 1',
        'upstream_calls_total{operation="GetParameter",outcome="ok"} 1',
        'upstream_errors_total{operation="GetSecretValue",code="ResourceNotFoundException"} 1',
    ):
        assert line in text


def test_ages(bench):
    """How long ago AWS sent each."""
    for name in ("a", "b"):
        bench.upstream.put(name)
        bench.get(name)
        bench.clock.tick(10)
    assert bench.service.ages() == {"a": 20, "b": 10}


def test_etags(bench, bench_of):
    """Equal for equal bodies, others for others, and of no use to who does not know the key."""
    service = bench.service
    assert service.etag(b"a") == service.etag(b"a") != service.etag(b"b")
    assert bench_of().service.etag(b"a") != service.etag(b"a")


def test_failures_are_logged(bench):
    """With the reason, which may say more than the caller is told."""
    bench.upstream.fail(Failure(400, "AccessDeniedException", "no", kind="denied", reason="no permission x"), "db")
    bench.get("db")
    assert bench.log.of("warn") == ["secret db: no permission x"]
