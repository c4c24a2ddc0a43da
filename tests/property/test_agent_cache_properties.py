"""The cache against a model that says the same with plain dictionaries, whatever is kept, read and forgotten in turn."""

from collections import OrderedDict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from harness.service import arn_of
from strongroom.agent.cache import OVERHEAD_BYTES, Ask, Cache, Part, Record

HOME, ELSEWHERE = "111122223333", "444455556666"
roles = st.sampled_from([None, "arn:aws:iam::111122223333:role/reader"])
names = st.sampled_from(["a", "a/b", "db"])
endings = st.sampled_from(["AbCdEf", "ZyXwVu"])
accounts = st.sampled_from([HOME, ELSEWHERE])
versions = st.sampled_from([None, "V1"])
spellings = st.sampled_from(["name", "arn", "partial"])
sizes = st.integers(0, 1500)
texts = st.one_of(
    names,
    st.builds(lambda name, ending, account: arn_of(name, ending=ending, account=account), names, endings, accounts),
)


class CacheMachine(RuleBasedStateMachine):
    """Two roles, three names, two accounts; each secret may be deleted and made anew."""

    def __init__(self):
        super().__init__()
        self.cache = Cache(4, 8000)
        self.records = OrderedDict()  # least recently used first
        self.names = {}
        self.homes = {}
        self.order = 0

    # The model.

    def key(self, role, text, version):
        selector = (None, "AWSCURRENT") if version is None else (version, None)
        return "secret", role, self.names.get((role, text), text), selector

    def versions_of(self, role, arn):
        return [key for key in self.records if key[1:3] == (role, arn)]

    def forget(self, key):
        del self.records[key]
        self.forget_names(*key[1:3])

    def forget_names(self, role, arn):
        if not self.versions_of(role, arn):
            self.names = {name: to for name, to in self.names.items() if (name[0], to) != (role, arn)}

    def name(self, role, name, arn, order):
        before = self.names.get((role, name), arn)
        others = self.versions_of(role, before) if before != arn else []
        if all(self.records[key].order <= order for key in others):
            for key in others:
                self.forget(key)
            self.names[role, name] = arn

    def evict(self):
        while len(self.records) > self.cache.most_records or self.total() > self.cache.most_bytes:
            self.forget(next(iter(self.records)))

    def total(self):
        return sum(record.size for record in self.records.values())

    # What happens.

    @rule(
        role=roles,
        name=names,
        account=accounts,
        ending=endings,
        spelling=spellings,
        version=versions,
        size=sizes,
        is_old=st.booleans(),
    )
    def keep(self, role, name, account, ending, spelling, version, size, is_old):
        """AWS has answered. Names are those of one account; an answer may have been asked for before all others."""
        if spelling == "name":
            account = HOME
        arn = arn_of(name, ending=ending, account=account)
        text = {"name": name, "arn": arn, "partial": arn[:-7]}[spelling]
        self.order += 1
        record = Record(("", None, "", (None, None)), text, b"x", 0 if is_old else self.order, size)
        record.arn, record.name = arn, name
        came = self.cache.keep(Ask("secret", role, text, version), record)
        key = ("secret", role, arn, self.key(role, arn, version)[3])
        had = self.records.get(key)
        if had is not None and had.order > record.order:
            assert came is had
            return
        assert came is record
        self.records.pop(key, None)
        if spelling == "name":
            self.homes[role] = account
        certain = {text, arn[:-7]} | ({name} if self.homes.get(role) == account else set())
        for each in certain - {arn}:
            self.name(role, each, arn, record.order)
        if record.size > self.cache.most_bytes:
            self.forget_names(role, arn)
            return
        self.records[key] = record
        self.evict()

    @rule(role=roles, text=texts, is_partial=st.booleans(), version=versions)
    def find(self, role, text, is_partial, version):
        """The record of the secret that is asked for, and of no other, or none."""
        if is_partial and text.startswith("arn:"):
            text = text[:-7]
        found = self.cache.find(self.cache.key(Ask("secret", role, text, version)))
        key = self.key(role, text, version)
        assert found is self.records.get(key)
        if found is not None:
            self.records.move_to_end(key)
            assert text in {found.arn, found.arn[:-7], found.name}
            assert text != found.name or f":{HOME}:" in found.arn

    @rule(role=roles, text=texts, version=versions, size=st.integers(0, 9000))
    def make_a_part(self, role, text, version, size):
        """Something is made from a record."""
        record = self.records.get(self.key(role, text, version))
        if record is None:
            return
        has_room = record.size + size <= self.cache.most_bytes
        part = Part(record, b"y", b"", 0, b"")
        assert self.cache.grow(record, size) == has_room
        if has_room:
            record.parts[str(len(record.parts))] = part
            self.records.move_to_end(record.key)
            self.evict()
            assert self.records[record.key] is record

    @rule(role=roles, text=texts)
    def invalidate(self, role, text):
        """A secret is forgotten."""
        keys = self.versions_of(role, self.names.get((role, text), text))
        assert self.cache.remove_all(Ask("secret", role, text)) == len(keys)
        for key in keys:
            self.forget(key)

    @rule(records=st.integers(1, 5), size=st.integers(1000, 9000))
    def limit(self, records, size):
        """Other limits."""
        self.cache.limit(records, size)
        self.evict()

    @rule(has_moved=st.booleans())
    def clear(self, has_moved):
        """Everything is forgotten."""
        if has_moved:
            self.cache.move()
            self.homes.clear()
        else:
            self.cache.clear()
        self.records.clear()
        self.names.clear()

    # What is always so.

    @invariant()
    def all_is_counted(self):
        """Entries and bytes are what they are said to be, and within the limits."""
        cache = self.cache
        assert list(cache) == list(cache._records.values())
        assert list(cache._used.values()) == list(self.records.values())
        assert cache._records == dict(self.records)
        assert (len(cache), cache.bytes) == (len(self.records), self.total())
        assert len(cache) <= cache.most_records
        assert cache.bytes <= cache.most_bytes
        assert all(record.size >= OVERHEAD_BYTES for record in cache)

    @invariant()
    def names_lead_somewhere(self):
        """Each name to a secret that has records, each secret knows its names and records, and nothing else is left."""
        cache = self.cache
        assert cache._aliases == self.names
        by_secret = {}
        for (role, name), arn in cache._aliases.items():
            by_secret.setdefault((role, arn), set()).add(name)
        for (role, arn), secret in cache._secrets.items():
            assert secret.records == set(self.versions_of(role, arn)) != set()
            assert by_secret.pop((role, arn), set()) == secret.names
        assert by_secret == {}

    @invariant()
    def nothing_that_is_dropped_is_served(self):
        """What is kept has its response; what is not has none."""
        assert all(record.response for record in self.cache)


TestCache = CacheMachine.TestCase
TestCache.settings = settings(stateful_step_count=30)
