import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import narrowed
from strongroom.credentials import Credentials
from strongroom.errors import KeystoreError
from strongroom.keystore import Item
from strongroom.keystore.memory import MemoryKeystore
from strongroom.narrowed import NarrowedVault
from strongroom.own_items import OwnItems
from strongroom.plan import ASSUME_ROLE, Narrowing, Step
from strongroom.profiles import Profile
from strongroom.vault import SessionName, Vault

NOW = 1_795_300_000
JON = Credentials("AKIAJONJONJONJONJON1", "secret of jon")
GOT = Credentials("ASIAGOTGOTGOTGOTGOT1", "temporary secret", "token", NOW + 3600)


class Own(OwnItems):
    """Own items of a store that fails where a test says so."""

    __slots__ = ("fails",)

    def times(self, kind):
        if "times" in self.fails:
            raise KeystoreError("no listing")
        return super().times(kind)

    def get(self, kind, name):
        if "get" in self.fails:
            raise KeystoreError("cannot be read")
        return super().get(kind, name)

    def remove(self, kind, name):
        if "remove" in self.fails:
            raise KeystoreError("cannot be removed")
        return super().remove(kind, name)


class World:
    """A vault with jon's key, stored a while ago, and its clock."""

    def __init__(self):
        self.at = NOW
        self.store = MemoryKeystore(now=lambda: self.at)
        self.plain = Vault(self.store, now=lambda: self.at)
        self.plain.store_key("jon", JON)
        self.own = Own(self.store.beside("strongroom"))
        self.own.fails = set()
        self.at += 10
        self.vault = NarrowedVault(self.plain, self.own)

    def keep(self, step, credentials=GOT, master="jon"):
        self.vault.begin(master)
        self.vault.keep(step, credentials, master)

    def names(self):
        return self.own.names("session")


@pytest.fixture
def world():
    return World()


def step(mark="0" * 32, owner="ro", *, narrowing=True, duration=3600, wanted=0):
    return Step(ASSUME_ROLE, Profile("ro", {}), "why not", slot=mark, duration_seconds=duration, wanted_seconds=wanted,
                fingerprint={"mark": mark}, narrowing=Narrowing(owner, ("--role",)) if narrowing else None)  # fmt: skip


def test_it_is_kept_apart(world):
    """In our own collection, under a name that tells whose it is, and found again by the same step only."""
    world.keep(step())
    assert world.names() == [SessionName.of("0" * 32, "ro", "jon", NOW + 3600).key]
    assert list(world.store.listing()) == ["jon"]
    assert world.vault.session(step(), "jon") == GOT
    assert world.vault.session(step("1" * 32), "jon") is None
    assert world.vault.session(step(owner="jon"), "jon") is None
    assert world.plain.session(step(), "jon") is None
    assert [name.expires_at for name in world.vault.candidates(step())] == [NOW + 3600]
    assert world.vault.seen(step()) == dict.fromkeys(world.names(), NOW + 10)


def test_other_steps_are_kept_as_ever(world):
    """The collections do not mix."""
    usual = step("", narrowing=False)
    world.keep(usual)
    assert world.names() == []
    assert world.vault.session(usual, "jon") == GOT
    assert world.vault.seen(usual) == dict.fromkeys([name.key for name in world.plain.sessions()], NOW + 10)
    assert world.vault.session(step(), "jon") is None


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_profiles_are_called(owner, master):
    """Names are read back as they were."""
    world = World()
    world.own.put("session", SessionName.of("m", owner, master, NOW).key, {})
    assert narrowed.remove(world.own, owner=owner + "x") == narrowed.remove(world.own, master=master + "x") == 0
    assert narrowed.remove(world.own, owner=owner, master=master) == 1


def test_too_short_or_at_its_end(world):
    """What is left counts, and what was asked for."""
    world.keep(step(duration=1800))
    assert world.vault.session(step(wanted=1801), "jon") is None
    assert world.vault.session(step(wanted=1800), "jon") == GOT
    world.at = NOW + 3300
    assert world.vault.session(step(), "jon") == GOT
    world.at += 1
    assert world.vault.session(step(), "jon") is None


def test_the_expiry_inside_counts(world):
    """Not only that of the name."""
    world.keep(step())
    (name,) = world.names()
    fields = world.own.get("session", name) | {"Expiration": "2020-01-01T00:00:00Z"}
    world.own.put("session", name, fields)
    assert world.vault.session(step(), "jon") is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"AccessKeyId": 1}', json.dumps(GOT.sts_fields()).encode()])
def test_what_does_not_say_what_it_is_for_is_a_miss(world, data):
    """Nor is what cannot be read anything else."""
    world.keep(step())
    (name,) = world.names()
    world.own.keystore.set(Item(f"session:{name}", data))
    assert world.vault.session(step(), "jon") is None


@pytest.mark.parametrize("failure", ["times", "get", "remove"])
def test_a_store_in_trouble(world, failure):
    """There is nothing, then; what cannot be removed stays."""
    world.keep(step())
    world.own.fails.add(failure)
    assert (world.vault.session(step(), "jon") is None) is (failure != "remove")
    world.at += 10
    world.keep(step(), Credentials("ASIA2", "s", "t", NOW + 4000))
    world.own.fails.clear()
    assert len(world.names()) == 1 + (failure in {"times", "remove"})


def test_the_key_that_it_was_made_from(world):
    """Another key under that name, or another name: a miss. And nothing is kept of a key that changed meanwhile."""
    world.keep(step())
    world.at += 1
    world.plain.store_key("ann", JON)
    world.plain.store_key("eve", Credentials("AKIAEVE", "s"))
    assert NarrowedVault(world.plain, world.own).session(step(), "ann") == GOT  # it is the same key
    assert NarrowedVault(world.plain, world.own).session(step(), "eve") is None
    world.vault.begin("jon")
    world.at += 1
    world.plain.store_key("jon", Credentials("AKIANEW", "s"))
    assert NarrowedVault(world.plain, world.own).session(step(), "jon") is None
    world.vault.keep(step("1" * 32), GOT, "jon")
    assert len(world.names()) == 1


def test_without_a_key(world):
    """A web identity's session comes from none."""
    world.keep(step(), master="")
    assert world.vault.session(step(), "") == GOT
    assert world.vault.session(step(), "jon") is None


def test_what_is_swept(world):
    """What has expired, and what the new one replaces; neither what is no session nor what is still good."""
    world.keep(step())
    world.keep(step("1" * 32, "ann"))
    world.own.put("session", "not a name", {})
    world.own.put("session", SessionName.of("m", "ann", "jon", NOW).key, {})
    world.keep(step(), Credentials("ASIA2", "s", "t", NOW + 4000))
    assert world.names() == sorted([
        SessionName.of("0" * 32, "ro", "jon", NOW + 4000).key,
        SessionName.of("1" * 32, "ann", "jon", NOW + 3600).key,
        "not a name",
    ])  # fmt: skip
    assert narrowed.remove(world.own) == 2
