import pytest

from providers.surroundings import JON, NOW, World
from strongroom.keystore.memory import MemoryKeystore
from strongroom.vault import Vault


@pytest.fixture
def world(tmp_path):
    """Surroundings without codes."""
    return World(tmp_path / "locks")


@pytest.fixture
def store():
    """An empty keystore, whose clock stands."""
    return MemoryKeystore(now=lambda: NOW)


@pytest.fixture
def vault(store):
    """A vault with jon's key, which has been there for a while."""
    made = Vault(store, now=lambda: NOW)
    made.store_key("jon", JON)
    store._items["jon"] = store._items["jon"][0], NOW - 100
    return made
