import pytest

from contracts.keystore import KeystoreContract
from strongroom.keystore import Item, memory


class TestMemoryKeystore(KeystoreContract):
    @pytest.fixture
    def store(self):
        return memory.open({}, None)


def test_it_can_begin_with_items():
    """A test says in one line what is stored, and when."""
    store = memory.MemoryKeystore([Item("jon", b"data")], now=lambda: 1_700_000_000.5)
    assert store.listing() == {"jon": 1_700_000_000.5}
    assert store.get("jon") == Item("jon", b"data")
