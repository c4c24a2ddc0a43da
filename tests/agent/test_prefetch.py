import pytest

from strongroom.agent import prefetch
from strongroom.agent.config import Config, Prefetch
from strongroom.agent.failure import Failure
from strongroom.agent.prefetch import PAUSE_SECONDS, Outcome, capacity
from strongroom.agent.secret import Secret
from strongroom.agent.upstream import BatchError

ROLE = "arn:aws:iam::123456789012:role/reader"
BEGIN = "INFO Pre-fetch enabled, starting background task"
THROTTLED = Failure(400, "ThrottlingException", "m", kind="transient", reason="throttled")
AWAY = Failure(502, "ConnectionError", "Read Error", kind="transient", reason="away", outage=True)
DENIED = Failure(400, "AccessDeniedException", "m", kind="denied", reason="denied")
NO_ROLE = Failure(403, "AccessDeniedException", "m", kind="denied", reason="no such role")
WRONG = Failure(400, "InvalidParameterException", "m", kind="other")


def secret(name):
    return Secret(arn(name), name, "v", f"value of {name}", None, ("AWSCURRENT",), "1")


def arn(name):
    return f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-AbCdEf"


class Aws:
    """An upstream with secrets *names*, some of them with tags; what is asked for is noted in *calls*."""

    def __init__(self, *names, tags=None, pages=20):
        self.secrets_there = {text: secret(name) for name in names for text in (name, arn(name), arn(name)[:-7])}
        self.tags = tags or {}
        self.pages = pages
        self.failures = {}
        self.calls = []

    def _fail(self, what, role_arn=None):
        failure = self.failures.get(what) or self.failures.get(role_arn)
        if isinstance(failure, list):
            failure = failure.pop(0) if failure else None
        if failure is not None:
            raise failure

    def secret(self, role_arn, secret_id, version_id, version_stage):
        assert (version_id, version_stage) == (None, None)
        self.calls.append(("one", role_arn, secret_id))
        self._fail(secret_id, role_arn)
        self._fail("one")
        if secret_id not in self.secrets_there:
            raise Failure(400, "ResourceNotFoundException", "m", kind="gone")
        return self.secrets_there[secret_id]

    def secrets(self, role_arn, ids):
        self.calls.append(("batch", role_arn, list(ids)))
        self._fail("batch", role_arn)
        found = {self.secrets_there[each].arn: self.secrets_there[each] for each in ids if each in self.secrets_there}
        missing = [BatchError(each, "ResourceNotFoundException", "m") for each in ids if each not in self.secrets_there]
        return list(found.values()), missing

    def tagged(self, role_arn, key, max_results, next_token):
        self.calls.append(("tag", role_arn, key, max_results, next_token))
        self._fail(key, role_arn)
        names = self.tags.get(key, [])
        begin = int(next_token or 0)
        end = begin + min(max_results, self.pages)
        return [secret(name) for name in names[begin:end]], [], str(end) if end < len(names) else None


class Run:
    """One prefetch, and all that came of it."""

    def __init__(self, aws, *, cache_size=1000, dice=0.5, **settings):
        self.kept = []
        self.slept = []
        self.log = []
        self.aws = aws
        self.outcome = prefetch.run(
            Config(cache_size=cache_size, prefetch=Prefetch(**settings)),
            aws,
            lambda role_arn, asked, came: self.kept.append((role_arn, asked, came.name)),
            self,
            self.slept.append,
            lambda: dice,
        )

    def __getattr__(self, level):
        if level not in {"debug", "info", "warn", "error"}:
            raise AttributeError(level)
        return lambda message: self.log.append(f"{level.upper()} {message}")


def ids(*names, role=None):
    return tuple((name, role) for name in names)


def end(success, failed, stopped=""):
    return f"INFO Pre-fetch complete: success={success}, failed={failed}{stopped}"


def test_nothing_to_do():
    """Nothing is told, and nobody waits."""
    run = Run(Aws(), max_jitter_seconds=10)
    assert (run.outcome, run.log, run.slept, run.aws.calls) == (Outcome(0, 0, 0), [], [], [])


def test_two_secrets():
    """One call, and each is kept under what it was asked for."""
    run = Run(Aws("a", "b"), secrets=ids("a", "b"))
    assert run.aws.calls == [("batch", None, ["a", "b"])]
    assert run.kept == [(None, "a", "a"), (None, "b", "b")]
    assert run.log == [BEGIN, end(2, 0)]
    assert run.slept == []
    assert run.outcome == Outcome(2, 0, 0)


@pytest.mark.parametrize("asked", ["a", arn("a"), arn("a")[:-7]])
def test_whatever_it_is_asked_for_by(asked):
    """Name, ARN, ARN without its end."""
    assert Run(Aws("a"), secrets=ids(asked)).kept == [(None, asked, "a")]


def test_one_secret_by_two_names():
    """Is kept under both, and counts once for the cache."""
    run = Run(Aws("a", "b"), cache_size=2, cache_buffer_ratio=1.0, secrets=ids("a", arn("a"), "b"))
    assert sorted(run.kept) == [(None, "a", "a"), (None, arn("a"), "a"), (None, "b", "b")]
    assert [call[2] for call in run.aws.calls] == [["a", arn("a")], ["b"]]
    assert run.outcome == Outcome(2, 0, 0)


def test_a_secret_that_comes_by_another_name():
    """AWS decides what is meant; its own names are used then."""
    aws = Aws("a")
    aws.secrets_there["alias"] = secret("a")
    assert Run(aws, secrets=ids("alias")).kept == [(None, None, "a")]


def test_batches_of_twenty():
    """With a pause between them; what is listed twice is asked for once."""
    names = [f"s{number}" for number in range(45)]
    run = Run(Aws(*names), secrets=ids(*names, "s0"))
    assert [len(call[2]) for call in run.aws.calls] == [20, 20, 5]
    assert run.slept == [PAUSE_SECONDS] * 2
    assert run.outcome == Outcome(45, 0, 0)


@pytest.mark.parametrize(("jitter", "dice", "slept"), [(0, 0.5, []), (10, 0.0, [0.0]), (10, 0.25, [2.5])])
def test_the_time_before(jitter, dice, slept):
    """Some random part of the seconds allowed."""
    assert Run(Aws("a"), dice=dice, max_jitter_seconds=jitter, secrets=ids("a")).slept == slept


def test_one_bad_secret_among_good_ones():
    """Is counted, and told at the lowest level."""
    run = Run(Aws("a", "b"), secrets=ids("a", "nosuch", "b"))
    assert [name for _, _, name in run.kept] == ["a", "b"]
    assert run.log == [BEGIN, "DEBUG Pre-fetch: failed to fetch nosuch: ResourceNotFoundException", end(2, 1)]


# Batches that fail


def test_a_batch_that_is_denied():
    """The permission for batches is one of its own: each secret is asked for alone then."""
    aws = Aws("a", "b")
    aws.failures["batch"] = DENIED
    run = Run(aws, secrets=ids("a", "nosuch", "b"))
    assert aws.calls == [("batch", None, ["a", "nosuch", "b"]), *(("one", None, each) for each in ("a", "nosuch", "b"))]
    assert run.slept == [PAUSE_SECONDS] * 3
    assert run.kept == [(None, "a", "a"), (None, "b", "b")]
    assert run.log == [
        BEGIN,
        "ERROR Pre-fetch: a batch of 3 secrets failed: denied",
        "DEBUG Pre-fetch: failed to fetch nosuch: ResourceNotFoundException",
        end(2, 1),
    ]


def test_a_batch_that_fails_for_the_moment():
    """So too; if AWS is away there is no point in asking for each, and the next batch is tried."""
    names = [f"s{number}" for number in range(25)]
    aws = Aws(*names)
    aws.failures = {"batch": [AWAY], "s2": AWAY}
    run = Run(aws, secrets=ids(*names))
    assert [call[0] for call in aws.calls] == ["batch", "one", "one", "one", "batch"]
    assert run.outcome == Outcome(7, 18, 0)


def test_a_batch_that_is_throttled():
    """One by one, one that is throttled does not stop the others."""
    aws = Aws("a", "b")
    aws.failures = {"batch": THROTTLED, "a": THROTTLED}
    assert Run(aws, secrets=ids("a", "b")).outcome == Outcome(1, 1, 0)


def test_a_batch_that_is_wrong():
    """Is not repeated in any form; the next one is sent."""
    names = [f"s{number}" for number in range(25)]
    aws = Aws(*names)
    aws.failures["batch"] = [WRONG]
    run = Run(aws, secrets=ids(*names))
    assert [call[0] for call in aws.calls] == ["batch", "batch"]
    assert run.log == [
        BEGIN, "ERROR Pre-fetch: a batch of 20 secrets failed: InvalidParameterException", end(5, 20)
    ]  # fmt: skip


def test_no_more_than_the_cache_may_hold_one_by_one():
    """The limit is that of the batch."""
    aws = Aws("a", "b", "c")
    aws.failures["batch"] = DENIED
    run = Run(aws, cache_size=2, cache_buffer_ratio=1.0, secrets=ids("a", "b", "c"))
    assert [call[2] for call in aws.calls] == [["a", "b"], "a", "b"]
    assert run.outcome == Outcome(2, 0, 0)


# Tags


def test_a_tag():
    """Page by page, as many as the cache may still hold."""
    names = [f"s{number}" for number in range(45)]
    run = Run(Aws(tags={"k": names}), filter_tags=ids("k"))
    assert run.aws.calls == [("tag", None, "k", 20, None), ("tag", None, "k", 20, "20"), ("tag", None, "k", 20, "40")]
    assert run.kept == [(None, None, name) for name in names]
    assert run.slept == [PAUSE_SECONDS] * 2
    assert run.log == [BEGIN, end(45, 0)]


def test_several_tags():
    """Those that have any of them; who has two counts once for the cache."""
    run = Run(Aws(tags={"k": ["a", "b"], "l": ["b", "c"]}), cache_size=3, cache_buffer_ratio=1.0,
              filter_tags=ids("k", "l"))  # fmt: skip
    assert [call[2:4] for call in run.aws.calls] == [("k", 3), ("l", 1), ("l", 1)]
    assert [name for _, _, name in run.kept] == ["a", "b", "b", "c"]


def test_a_tag_that_nobody_has():
    """Is told."""
    run = Run(Aws(), filter_tags=((("k", ROLE)),))
    assert run.log == [BEGIN, f"WARN Pre-fetch: no secret has the tag k for {ROLE}", end(0, 0)]


def test_an_empty_page_is_not_the_end():
    """AWS looks at so many secrets for each page, whether they have the tag or not."""

    class Sparse(Aws):
        def tagged(self, role_arn, key, max_results, next_token):
            return ([], [], "more") if next_token is None else ([secret("a")], [BatchError("x", "C", "m")], None)

    run = Run(Sparse(), filter_tags=ids("k"))
    assert run.log == [BEGIN, "DEBUG Pre-fetch: failed to fetch x: C", end(1, 1)]


def test_a_search_that_fails():
    """Ends there, and is counted; the next one begins."""
    aws = Aws(tags={"k": ["a", "b"], "l": ["c"]}, pages=1)
    aws.failures["k"] = [None, AWAY]
    run = Run(aws, filter_tags=ids("k", "l"))
    assert [name for _, _, name in run.kept] == ["a", "c"]
    assert run.log == [
        BEGIN, "ERROR Pre-fetch: the search for the tag k stopped: away", end(2, 0, ", tag_searches_stopped=1")
    ]  # fmt: skip
    assert run.outcome == Outcome(2, 0, 1)


# Capacity


@pytest.mark.parametrize(
    ("size", "ratio", "number"),
    [(1000, 0.8, 800), (50, 0.58, 29), (90, 0.7, 63), (1, 0.1, 1), (9, 0.1, 1), (10, 1.0, 10), (1000, 0.999, 999)],
)
def test_how_many(size, ratio, number):
    """In numbers of 32 bits."""
    assert capacity(Config(cache_size=size, prefetch=Prefetch(cache_buffer_ratio=ratio))) == number


def test_how_often_32_bits_matter():
    """In 107 of these cases, as counted with the original's arithmetic."""
    cases = [(size, percent / 100) for size in range(1, 1001) for percent in range(10, 101)]
    different = [
        case for case in cases
        if capacity(Config(cache_size=case[0], prefetch=Prefetch(cache_buffer_ratio=case[1])))
        != max(1, int(case[0] * case[1]))
    ]  # fmt: skip
    assert len(different) == 107


def test_more_listed_than_there_is_room_for():
    """The first ones are fetched, and it is told how many are left out."""
    names = [f"s{number}" for number in range(45)]
    run = Run(Aws(*names), cache_size=25, cache_buffer_ratio=1.0, secrets=ids(*names))
    assert [len(call[2]) for call in run.aws.calls] == [20, 5]
    full = "WARN Pre-fetch: the part of the cache for it is full: 20 of the listed secrets are left out"
    assert run.log == [BEGIN, full, end(25, 0)]


def test_a_secret_that_does_not_come_takes_no_room():
    """Another one is fetched in its place."""
    run = Run(Aws("b", "c"), cache_size=2, cache_buffer_ratio=1.0, secrets=ids("nosuch", "b", "c"))
    assert [call[2] for call in run.aws.calls] == [["nosuch", "b"], ["c"]]
    assert run.outcome == Outcome(2, 1, 0)


def test_ids_and_tags_share_the_room():
    """Of one role; another has its own."""
    aws = Aws("a", "b", tags={"k": ["c", "d", "e"], "l": ["f"]})
    run = Run(aws, cache_size=3, cache_buffer_ratio=1.0, secrets=ids("a", "b"), filter_tags=(
        ("k", None), ("l", None), ("k", ROLE),
    ))  # fmt: skip
    assert aws.calls == [
        ("batch", None, ["a", "b"]), ("tag", None, "k", 1, None), ("tag", ROLE, "k", 3, None)
    ]  # fmt: skip
    assert run.log == [
        BEGIN,
        "WARN Pre-fetch: the part of the cache for it is full: more secrets have the tag k",
        "WARN Pre-fetch: the part of the cache for it is full: secrets with the tag l are not looked for",
        end(6, 0),
    ]


# Roles


def test_each_role_has_its_own_batches():
    """And its own secrets."""
    run = Run(Aws("a", "b"), secrets=(("a", None), ("b", ROLE), ("b", None), ("a", ROLE)))
    assert run.aws.calls == [("batch", None, ["a", "b"]), ("batch", ROLE, ["b", "a"])]
    assert sorted(run.kept, key=str) == [(ROLE, "a", "a"), (ROLE, "b", "b"), (None, "a", "a"), (None, "b", "b")]


def test_a_role_that_cannot_be_assumed():
    """All that was to be fetched in its name failed; the others go on."""
    names = [f"s{number}" for number in range(25)]
    aws = Aws("a", *names)
    aws.failures[ROLE] = NO_ROLE
    run = Run(aws, secrets=(*ids(*names, role=ROLE), ("a", None)), filter_tags=ids("k", role=ROLE))
    assert [call[0] for call in aws.calls] == ["batch", "batch", "tag"]
    assert run.log == [
        BEGIN,
        f"ERROR Pre-fetch: a batch of 20 secrets failed for {ROLE}: no such role",
        f"ERROR Pre-fetch: the search for the tag k stopped for {ROLE}: no such role",
        end(1, 25, ", tag_searches_stopped=1"),
    ]


def test_no_value_is_told():
    """At no level."""
    aws = Aws("a", tags={"k": ["b"]})
    run = Run(aws, secrets=ids("a", "nosuch"), filter_tags=ids("k", "l"))
    assert "value of" not in "\n".join(run.log)
