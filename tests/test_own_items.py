import pytest

from strongroom.errors import KeystoreLocked
from strongroom.keystore import Item
from strongroom.keystore.file import FileKeystore
from strongroom.keystore.memory import MemoryKeystore
from strongroom.own_items import COLLECTION, OwnItems


def nobody(message, *, confirm):
    raise AssertionError(f"asked: {message}")


@pytest.fixture(params=["memory", "file"])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryKeystore()
    return FileKeystore(f"{tmp_path}/keys/", nobody, passphrase="pw")


@pytest.fixture
def own(store):
    return OwnItems(store.beside(COLLECTION))


def test_an_item_comes_back(own):
    """With all its fields, whatever is in its name."""
    own.put("totp", "arn:aws:iam::111111111111:mfa/jon", {"seed": "x", "number": 1, "none": None})
    assert own.get("totp", "arn:aws:iam::111111111111:mfa/jon") == {"seed": "x", "number": 1, "none": None}
    assert own.names("totp") == ["arn:aws:iam::111111111111:mfa/jon"]
    assert own.names("rotation") == []
    assert own.remove("totp", "arn:aws:iam::111111111111:mfa/jon") is True
    assert own.remove("totp", "arn:aws:iam::111111111111:mfa/jon") is False
    assert own.get("totp", "arn:aws:iam::111111111111:mfa/jon") is None


def test_the_first_collection_knows_nothing_of_it(own, store):
    """Neither what aws-vault lists, nor the other way round."""
    store.set(Item("jon", b"{}"))
    own.put("rotation", "jon", {})
    assert list(store.listing()) == ["jon"]
    assert own.names("rotation") == ["jon"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"1"])
def test_what_makes_no_sense_is_not_there(own, data):
    """It is replaced by the next one."""
    own.keystore.set(Item("totp:x", data))
    assert own.get("totp", "x") is None
    own.put("totp", "x", {"a": 1})
    assert own.get("totp", "x") == {"a": 1}


def test_the_file_store_has_a_directory_for_it(tmp_path):
    """Beside that of the items, opened by the same passphrase, which is asked for once and proved on the items."""
    FileKeystore(f"{tmp_path}/keys/", nobody, passphrase="pw").set(Item("jon", b"{}"))
    answers = ["wrong", "pw"]
    store = FileKeystore(f"{tmp_path}/keys/", lambda *_, **__: answers.pop(0))
    own = OwnItems(store.beside(COLLECTION))
    own.put("rotation", "jon", {"stage": "created"})
    assert own.get("rotation", "jon") == {"stage": "created"}
    assert store.get("jon").data == b"{}"
    assert answers == []
    assert [path.name for path in sorted((tmp_path / "strongroom").iterdir())] == ["rotation:jon"]
    assert (tmp_path / "strongroom").stat().st_mode & 0o777 == 0o700


def test_a_wrong_passphrase_writes_nothing(tmp_path):
    """It opens no item of the store, so it is not taken for one of ours either."""
    FileKeystore(f"{tmp_path}/keys", nobody, passphrase="pw").set(Item("jon", b"{}"))
    own = OwnItems(FileKeystore(f"{tmp_path}/keys", nobody, passphrase="other").beside(COLLECTION))
    with pytest.raises(KeystoreLocked):
        own.put("totp", "x", {"seed": "y"})
    assert not (tmp_path / "strongroom").exists()


def test_what_was_stored_under_another_passphrase_is_not_there(tmp_path):
    """As after a vault was made anew; it does not stand in the way."""
    FileKeystore(f"{tmp_path}/strongroom", nobody, passphrase="former").set(Item("totp:x", b'{"seed":"y"}'))
    own = OwnItems(FileKeystore(f"{tmp_path}/keys", nobody, passphrase="pw").beside(COLLECTION))
    assert own.get("totp", "x") is None
    own.put("totp", "x", {"seed": "z"})
    assert own.get("totp", "x") == {"seed": "z"}


def test_when_items_were_changed(store, own):
    """As the store says, of one kind."""
    own.put("session", "a,b", {})
    own.put("sessions", "c", {})
    assert own.times("session") == {"a,b": store.beside(COLLECTION).listing()["session:a,b"]}
