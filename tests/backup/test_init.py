"""Out of a store and into one."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strongroom
from strongroom import own_items
from strongroom.backup import MAIN, OWN, Archive, BackupError, Entry, collect, compare, is_lasting, put
from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreLocked
from strongroom.keystore import Item
from strongroom.keystore.file import FileKeystore
from strongroom.keystore.memory import MemoryKeystore

KEY = Item("jon", b'{"AccessKeyID":"AKIA1"}', "aws-vault (jon)")
OTHER_KEY = Item("jon", b'{"AccessKeyID":"AKIA2"}', "aws-vault (jon)")
SESSION = Item("sts.GetSessionToken,am9u,,1795315097", b"{}", "a session", "aws-vault session")
SEED = Item("totp:arn:aws:iam::1:mfa/jon", b'{"seed":"x"}')
PATH = "vault.age"


def collections(keystore):
    return {MAIN: keystore, OWN: keystore.beside(own_items.COLLECTION)}


def vault(*items, own=()):
    """A store that holds these, each a second younger than the one before."""
    clock = iter(range(1000, 2000))
    store = MemoryKeystore(items, now=lambda: next(clock))
    for item in own:
        store.beside(own_items.COLLECTION).set(item)
    return collections(store)


class Broken(MemoryKeystore):
    """A store in which some items cannot be opened."""

    __slots__ = ("errors",)

    def __init__(self, *args, **errors):
        super().__init__(*args)
        self.errors = errors

    def get(self, key):
        if key in self.errors:
            raise self.errors[key]
        return super().get(key)


def test_all_items_of_both_collections():
    """With what is known of them, and of where they were."""
    found = collect(vault(KEY, SESSION, own=[SEED]), store="memory", now=lambda: 1_795_390_948)
    assert found.entries == (Entry(MAIN, KEY, 1000), Entry(MAIN, SESSION, 1001), Entry(OWN, SEED, 1002))
    assert (found.made_at, found.made_by, found.store, found.location) == (
        "2026-11-22T23:42:28Z", f"strongroom {strongroom.__version__}", "memory", "memory",
    )  # fmt: skip


def test_keys_only():
    """What could not be had again: keys, seeds, and a rotation half-way."""
    registration = Item("sso-registration:x", b"{}")
    found = collect(vault(KEY, SESSION, own=[SEED, registration]), store="memory", keys_only=True)
    assert [entry.item for entry in found.entries] == [KEY, SEED]
    assert is_lasting(OWN, "rotation:jon")
    assert not is_lasting(MAIN, "oidc:https://corp.example/start")


def test_a_damaged_item():
    """It is named and left out; one that has gone meanwhile is not missed; a wrong passphrase ends it."""
    damage, gone = ItemDamaged("jon", "item 'jon' is damaged"), ItemNotFound(SESSION.key)
    found = collect(collections(Broken([KEY, SESSION], **{"jon": damage, SESSION.key: gone})), store="memory")
    assert (found.entries, found.left_out) == ((), ("jon",))
    with pytest.raises(KeystoreLocked):
        collect(collections(Broken([KEY], jon=KeystoreLocked("wrong passphrase"))), store="memory")


@pytest.mark.parametrize(
    ("present", "state"), [((), "new"), ((KEY,), "same"), ((Item("jon", KEY.data),), "same"), ((OTHER_KEY,), "different")]
)  # fmt: skip
def test_what_would_change(present, state):
    """Labels, which not every store keeps, are no difference."""
    [change] = compare([Entry(MAIN, KEY, None)], vault(*present))
    assert (change.state, change.present) == (state, OTHER_KEY if state == "different" else None)
    assert change.is_to_do is (state != "same")
    assert repr(change) == f"<Change {state} <Entry aws-vault <Item 'jon', 23 bytes>>>"


def test_what_is_there_and_cannot_be_read():
    """A key is left alone, because nobody could make a copy of it; a session is not."""
    errors = {key: ItemDamaged(key, "damaged") for key in ("jon", SESSION.key)}
    entries = [Entry(MAIN, KEY, None), Entry(MAIN, SESSION, None)]
    changes = list(compare(entries, collections(Broken([KEY, SESSION], **errors))))
    assert [(change.state, change.is_refused, change.is_to_do) for change in changes] == [
        ("unreadable", True, False),
        ("unreadable", False, True),
    ]
    [gone] = compare(entries[:1], collections(Broken([KEY], jon=ItemNotFound("jon"))))
    assert gone.state == "new"


def test_oldest_first():
    """A session must not become older than the key it was made from."""
    entries = [Entry(MAIN, SESSION, 20.0), Entry(MAIN, KEY, 10.0), Entry(OWN, SEED, None)]
    assert [change.entry.item for change in compare(entries, vault())] == [SEED, KEY, SESSION]


def test_a_store_that_takes_it_and_does_not_give_it_back():
    """It is looked at."""

    class Forgetful(MemoryKeystore):
        __slots__ = ()

        def get(self, key):
            return Item(key, b"")

    with pytest.raises(BackupError, match="item 'jon' was stored in memory, and reads as something else"):
        put(Entry(MAIN, KEY, None), collections(Forgetful()))


keys = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
contents = st.dictionaries(keys, st.binary(max_size=40), max_size=3)


@settings(max_examples=15)
@given(contents, contents)
def test_there_and_back(tmp_path_factory, main, own):
    """Out of one kind of store, through a backup, into another kind: identical items."""
    source = vault(*(Item(key, data, f"label of {key}") for key, data in main.items()),
                   own=[Item(key, data) for key, data in own.items()])  # fmt: skip
    directory = tmp_path_factory.mktemp("there") / "keys"
    target = collections(FileKeystore(str(directory), None, passphrase="pw", iterations=1000))
    read = Archive.from_bytes(collect(source, store="memory").to_bytes(), PATH)
    for change in compare(read.entries, target):
        put(change.entry, target)
    for name, keystore in source.items():
        assert set(target[name].listing()) == set(keystore.listing())
        for key in keystore.listing():
            assert target[name].get(key) == keystore.get(key)
    assert {change.state for change in compare(read.entries, target)} <= {"same"}
    assert json.loads(read.to_bytes().splitlines()[0])["items"] == len(main) + len(own)
