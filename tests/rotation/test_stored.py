import pytest

from strongroom.credentials import Credentials
from strongroom.errors import ItemDamaged, ItemNotFound
from strongroom.keystore import Item
from strongroom.keystore.memory import MemoryKeystore
from strongroom.rotation.stored import StoredKeys
from strongroom.vault import Vault

OLD, NEW = Credentials("AKIAOLDOLDOLDOLDOLD1", "old"), Credentials("AKIANEWNEWNEWNEWNEW1", "new")


@pytest.fixture
def vault():
    made = Vault(MemoryKeystore())
    made.store_key("jon", OLD)
    return made


def test_a_key_is_read_anew(vault):
    """Somebody else may have replaced it meanwhile."""
    stored = StoredKeys(vault)
    assert (stored.key("jon"), stored.key_id("jon")) == (OLD, OLD.access_key_id)
    Vault(vault.keystore).store_key("jon", NEW)
    assert (stored.key("jon"), stored.key_id("jon")) == (NEW, NEW.access_key_id)


def test_no_key(vault):
    """It has no id; what is damaged is an error."""
    assert StoredKeys(vault).key_id("ann") == ""
    with pytest.raises(ItemNotFound):
        StoredKeys(vault).key("ann")
    vault.keystore.set(Item("ann", b"{}"))
    with pytest.raises(ItemDamaged):
        StoredKeys(vault).key_id("ann")


def test_copies(vault):
    """The same key under other names; of what cannot be read it is said that nobody knows."""
    vault.store_key("copy", OLD)
    vault.store_key("other", NEW)
    vault.keystore.set(Item("damaged", b"{}"))
    vault.refresh()
    warned = []
    assert StoredKeys(vault).copies("jon", OLD.access_key_id, warned.append) == ["copy"]
    assert warned == [
        "whether 'damaged' has the same key cannot be told: what is stored for profile 'damaged' is not an access key"
    ]
