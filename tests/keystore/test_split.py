import pytest

from contracts.keystore import KeystoreContract
from strongroom.errors import ItemNotFound
from strongroom.keystore import Item
from strongroom.keystore.memory import MemoryKeystore
from strongroom.keystore.split import Split
from strongroom.vault import is_key

SESSION = "sts.GetSessionToken,am9u,,1795315097"
TOKEN = "oidc:https://corp.example/start"


@pytest.fixture
def both():
    """The store of the keys, and that of the rest."""
    return MemoryKeystore(), MemoryKeystore()


@pytest.fixture
def store(both):
    """Both as one."""
    return Split(*both, is_key)


class TestContract(KeystoreContract):
    """It is a keystore like any other."""


def test_where_things_go(store, both):
    """Keys into the first, the rest into the second; each is found and removed where it is."""
    keys, rest = both
    for key in ("jon", SESSION, TOKEN):
        store.set(Item(key, key.encode()))
    assert (set(keys.listing()), set(rest.listing())) == ({"jon"}, {SESSION, TOKEN})
    assert set(store.listing()) == {"jon", SESSION, TOKEN}
    assert [store.get(key).data for key in ("jon", SESSION)] == [b"jon", SESSION.encode()]
    for key in ("jon", SESSION):
        store.remove(key)
    assert (set(keys.listing()), set(rest.listing())) == (set(), {TOKEN})


def test_sessions_of_before(store, both):
    """What was stored before there were two serves, and moves when it is written anew."""
    keys, _ = both
    keys.set(Item(SESSION, b"old"))
    assert store.get(SESSION).data == b"old"
    store.set(Item(SESSION, b"new"))
    assert (set(keys.listing()), store.get(SESSION).data) == (set(), b"new")
    keys.set(Item(TOKEN, b"old"))
    store.remove(TOKEN)
    with pytest.raises(ItemNotFound):
        store.get(TOKEN)


def test_keys_in_the_second_store_are_not_seen(store, both):
    """They are somebody's, and nobody named that store for them."""
    both[1].set(Item("ann", b"key"))
    assert store.listing() == {}
    with pytest.raises(ItemNotFound):
        store.get("ann")


def test_its_own_collection(store, both):
    """What cannot be had again is beside the keys."""
    store.beside("strongroom").set(Item("totp:x", b"seed"))
    assert set(both[0].beside("strongroom").listing()) == {"totp:x"}
    assert both[1].beside("strongroom").listing() == {}
    assert store.location == "memory and memory"
    both[1].warnings.append("loose")
    assert store.warnings == ["loose"]
