import itertools

import pytest

from harness.service import ACCOUNT, REGION, arn_of
from strongroom.agent.cache import NEVER, OVERHEAD_BYTES, Ask, Cache, Part, Record, meanings

ROLE = "arn:aws:iam::111122223333:role/reader"
orders = itertools.count(1)


def record_of(name="db", *, arn=None, size=100, order=None, response=b"head\r\n\r\nbody"):
    made = Record(("", None, "", (None, None)), name, response, next(orders) if order is None else order, size)
    made.name, made.arn = name, arn or arn_of(name)
    made.body_at = response.find(b"body")
    made.calm_until = made.fresh_until = 10.0
    return made


def asks(text, role=None, version=None, stage=None):
    return Ask("secret", role, text, version, stage)


def kept(cache, text, record=None, **how):
    return cache.keep(asks(text, **how), record or record_of(text))


def found(cache, text, **how):
    return cache.find(cache.key(asks(text, **how)))


@pytest.fixture
def cache():
    return Cache(3, 10_000)


# --- what is asked


def test_which_version_is_meant():
    """Without a word about it the current one, as with its label; parameters have no such label."""
    assert asks("db").selector == asks("db", stage="AWSCURRENT").selector == (None, "AWSCURRENT")
    assert asks("db", version="V1").selector == ("V1", None)
    assert asks("db", stage="").selector == (None, "")
    assert Ask("parameter", None, "/a").selector == (None, None)


def test_as_a_policy_knows_it():
    """Parameters stand behind ``ssm:``."""
    assert (asks("db").sent, Ask("parameter", None, "/a").sent) == ("db", "ssm:/a")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("db", {"db"}),
        ("a/b-AbCdEf", {"a/b-AbCdEf"}),
        (arn_of("a/b"), {arn_of("a/b"), "a/b-AbCdEf", "a/b"}),
        (arn_of("a/b")[:-7], {arn_of("a/b")[:-7], "a/b"}),
        ("arn:aws:ssm:eu-west-1:111122223333:parameter/a", {"arn:aws:ssm:eu-west-1:111122223333:parameter/a"}),
        ("", {""}),
    ],
)
def test_what_an_id_may_mean(text, meant):
    """Itself, and the name in an ARN."""
    assert meanings(text) == meant


# --- names


def test_names_that_are_certain(cache):
    """The id that was asked for and the ARN; by the ARN the one without its ending, in whatever account."""
    arn = arn_of("db", account="444455556666")
    record = kept(cache, arn, record_of("db", arn=arn))
    assert found(cache, arn) is found(cache, arn[:-7]) is record
    assert found(cache, "db") is None


def test_a_name_at_home(cache):
    """It is certain once we know where names belong: we were told, or a name led there."""
    cache.home(None, ACCOUNT, REGION)
    record = kept(cache, arn_of("db"), record_of("db"))
    assert found(cache, "db") is record
    kept(cache, "a", record_of("a"), role=ROLE)
    other = kept(cache, arn_of("b"), record_of("b"), role=ROLE)
    assert (found(cache, "b", role=ROLE), found(cache, "b")) == (other, None)


def test_the_last_home_counts(cache):
    """Credentials of another account may have come meanwhile."""
    kept(cache, "a", record_of("a"))
    kept(cache, "b", record_of("b", arn=arn_of("b", account="444455556666")))
    kept(cache, arn_of("c"), record_of("c"))
    assert found(cache, "c") is None


def test_endings_that_are_none(cache):
    """An ARN that has no random ending, or one that belongs to the name, is one name only."""
    bare = arn_of("db")[:-7]
    kept(cache, bare, record_of("db", arn=bare))
    assert found(cache, bare[:-7]) is None
    kept(cache, arn_of("a"), record_of("a-AbCdEf", arn=arn_of("a")))
    assert found(cache, arn_of("a")[:-7]) is None


def test_a_partial_arn_like_a_whole_one(cache):
    """``db-backup`` may be the secret of that name, or ``db`` with its random ending: only AWS knows."""
    whole = kept(cache, "db", record_of("db", arn=arn_of("db", ending="backup")))
    kept(cache, "db-backup", record_of("db-backup"))
    assert found(cache, arn_of("db", ending="backup")) is whole


def test_answers_without_an_arn(cache):
    """They are kept under what was asked for."""
    record = record_of("db")
    record.arn = record.name = None
    kept(cache, "db", record)
    assert found(cache, "db") is record
    assert cache.remove_all(asks("db")) == 1


def test_a_name_of_another_secret_now(cache):
    """What had the name before is gone, in all versions; its ARN and its other names lead nowhere."""
    old = [kept(cache, "db", record_of("db")), kept(cache, "db", record_of("db"), version="V1")]
    new = kept(cache, "db", record_of("db", arn=arn_of("db", ending="ZyXwVu")))
    assert found(cache, "db") is found(cache, arn_of("db")[:-7]) is new
    assert found(cache, arn_of("db")) is found(cache, "db", version="V1") is None
    assert [each.response for each in old] == [b"", b""]
    assert len(cache) == 1


def test_an_older_answer_takes_no_name(cache):
    """It is kept under its ARN alone."""
    new = kept(cache, "db", record_of("db", order=5))
    old = kept(cache, "db", record_of("db", order=4, arn=arn_of("db", ending="ZyXwVu")))
    assert found(cache, "db") is new
    assert found(cache, old.arn) is old


def test_an_older_answer_is_not_kept(cache):
    """What is served is the newer one."""
    new = kept(cache, "db", record_of("db", order=5))
    assert kept(cache, arn_of("db"), record_of("db", order=4)) is new
    again = record_of("db", order=5)
    assert kept(cache, "db", again) is again is found(cache, "db")


def test_what_goes_over_to_the_next_record(cache):
    """When a refresh was last forced; not that AWS failed."""
    had = kept(cache, "db", record_of("db"))
    had.forced_at, had.retry_at, had.patience = 7.0, 9.0, 4.0
    record = kept(cache, "db", record_of("db"))
    assert (record.forced_at, record.retry_at, record.patience) == (7.0, NEVER, 0.0)


# --- limits


def test_the_least_recently_used_goes(cache):
    """Reading counts as use."""
    for name in ("a", "b", "c"):
        kept(cache, name)
    found(cache, "a")
    kept(cache, "d")
    assert [found(cache, name) is not None for name in ("a", "b", "c", "d")] == [True, False, True, True]
    assert cache.evicted == 1


def test_use_from_outside(cache):
    """A record that is recalled by its head is used, too."""
    a, *_ = (kept(cache, name) for name in ("a", "b", "c"))
    cache.used(a.place)
    kept(cache, "d")
    assert (found(cache, "a"), found(cache, "b")) == (a, None)


def test_a_limit_by_bytes(cache):
    """As many go as it takes."""
    for name in ("a", "b", "c"):
        kept(cache, name, record_of(name, size=2000))
    assert cache.bytes == 3 * (2000 + OVERHEAD_BYTES)
    kept(cache, "d", record_of("d", size=5000))
    assert [found(cache, name) is not None for name in ("a", "b", "c", "d")] == [False, False, True, True]
    assert cache.bytes == 2000 + 5000 + 2 * OVERHEAD_BYTES


def test_larger_than_the_limit(cache):
    """It is served and not kept, nothing else goes for it, and what it replaces is not served any more."""
    kept(cache, "a")
    had = kept(cache, "b")
    record = kept(cache, "b", record_of("b", size=10_000))
    assert (record.response, record.calm_until) == (b"head\r\n\r\nbody", NEVER)
    assert (had.response, found(cache, "b"), len(cache)) == (b"", None, 1)
    assert cache.remove_all(asks("b")) == 0


def test_just_as_large_as_the_limit(cache):
    """It is kept, alone."""
    kept(cache, "a")
    record = kept(cache, "b", record_of("b", size=10_000 - OVERHEAD_BYTES))
    assert (found(cache, "b"), len(cache), cache.bytes) == (record, 1, 10_000)


def test_other_limits(cache):
    """They hold at once."""
    for name in ("a", "b", "c"):
        kept(cache, name)
    cache.limit(2, 10_000)
    assert [record.name for record in cache] == ["b", "c"]
    cache.limit(2, 100 + OVERHEAD_BYTES)
    assert [record.name for record in cache] == ["c"]


# --- what is made from a record


def part_of(cache, record, size=50):
    part = Part(record, b"head\r\n\r\npart", b"", 8, b"")
    assert cache.grow(record, size)
    record.parts["a"] = part
    return part


def test_parts_count(cache):
    """With their record, and they go with it."""
    record = kept(cache, "db")
    part = part_of(cache, record)
    assert (part.body, part.place, part.calm_until) == (b"part", record.place, 10.0)
    assert cache.bytes == 150 + OVERHEAD_BYTES
    kept(cache, "db")
    assert (part.response, part.calm_until, record.parts) == (b"", NEVER, {})
    assert cache.bytes == 100 + OVERHEAD_BYTES


def test_parts_are_calm_as_their_record(cache):
    """Both are looked at again at the same time."""
    record = kept(cache, "db")
    part = part_of(cache, record)
    record.stay_calm(20.0)
    assert (record.calm_until, part.calm_until) == (20.0, 20.0)


def test_parts_drive_out_others(cache):
    """Never their own record, though it was used least."""
    record = kept(cache, "a", record_of("a", size=2000))
    kept(cache, "b", record_of("b", size=2000))
    assert cache.grow(record, 4000)
    assert ([each.name for each in cache], cache.bytes) == (["a"], 6000 + OVERHEAD_BYTES)


def test_no_room_for_parts(cache):
    """Nothing is counted, and nothing goes, for what is too large, or of a record that is not kept."""
    record = kept(cache, "a")
    assert not cache.grow(record, 10_000)
    cache.remove(record.key)
    assert not cache.grow(record, 1)
    assert not cache.grow(record.apart(), 1)
    assert (cache.bytes, record.size) == (0, 100 + OVERHEAD_BYTES)


# --- the end


def test_forgetting(cache):
    """All versions of one secret of one role, by any of its names."""
    for name in ("db", arn_of("db"), arn_of("db")[:-7]):
        kept(cache, "db", record_of("db"))
        kept(cache, "db", record_of("db"), version="V1")
        kept(cache, "db", record_of("db"), role=ROLE)
        assert cache.remove_all(asks(name)) == 2
        assert [each.key[1] for each in cache] == [ROLE]


def test_forgetting_parameters(cache):
    """By the one name that they have; a secret of that name is another thing."""
    for kind in ("secret", "parameter"):
        for version in ("1", "2"):
            ask = Ask(kind, None, "/a", version)
            cache.keep(ask, record_of("/a", arn=f"arn:aws:{kind}"))
    assert len(cache) == 3
    assert cache.remove_all(Ask("parameter", None, "/a")) == 2
    assert cache.remove_all(Ask("secret", None, "/a")) == 1


def test_forgetting_everything(cache):
    """Nothing is left, but where names belong."""
    for name in ("a", "b"):
        kept(cache, name)
    cache.clear()
    assert (len(cache), cache.bytes, cache._aliases, cache._secrets, cache._used) == (0, 0, {}, {}, {})
    record = kept(cache, arn_of("c"), record_of("c"))
    assert found(cache, "c") is record


def test_moving(cache):
    """Where names belong is forgotten, too."""
    kept(cache, "a")
    cache.move()
    kept(cache, arn_of("c"), record_of("c"))
    assert (found(cache, "a"), found(cache, "c")) == (None, None)


def test_a_copy(cache):
    """What somebody waits for stays whole when the cache drops it."""
    record = kept(cache, "db")
    copy = record.apart()
    cache.remove(record.key)
    cache.remove(record.key)
    assert (record.body, copy.body, copy.calm_until) == (b"", b"body", NEVER)
    same = ("key", "asked", "order", "size", "arn", "name", "version_id", "date", "etag", "fetched_at")
    assert all(getattr(copy, each) == getattr(record, each) for each in same)


def test_no_secret_is_shown(cache):
    """A record shows what it is kept under."""
    record = kept(cache, "db", record_of("db"))
    assert repr(record) == f"<Record ('secret', None, {arn_of('db')!r}, (None, 'AWSCURRENT'))>"
