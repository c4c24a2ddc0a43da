"""Another passphrase for a file store: all items or none."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from strongroom.errors import KeystoreError, KeystoreLocked
from strongroom.keystore import Item, rekeying
from strongroom.keystore.file import FileKeystore

OLD, NEW = "former", "next"
ITEMS = {"jon": b"1", "team/dev": b"2", "sts.GetSessionToken,am9u,,1795315097": b"3"}


def opened(store, passphrase):
    return FileKeystore(store.location, None, passphrase=passphrase, iterations=1000)


def contents(store, passphrase):
    store = opened(store, passphrase)
    return {key: store.get(key).data for key in store.listing()}


@pytest.fixture
def stores(tmp_path):
    """A store with three items, and its second collection with one."""
    made = [
        FileKeystore(str(tmp_path / name), None, passphrase=OLD, iterations=1000) for name in ("keys", "strongroom")
    ]
    for key, data in ITEMS.items():
        made[0].set(Item(key, data))
    made[1].set(Item("totp:x", b"4"))
    return made


def prepared(stores):
    return rekeying.prepare(stores, OLD.encode(), NEW.encode(), iterations=1000)


def test_all_of_it(stores):
    """Both directories, nothing but items in the first, and no journal left."""
    plan = prepared(stores)
    assert [(move.place, move.name) for move in plan.moves] == [
        (0, "jon"), (0, "sts.GetSessionToken,am9u,,1795315097"), (0, "team%2Fdev"), (1, "totp:x"),
    ]  # fmt: skip
    assert plan.left == ()
    assert repr(plan.moves[0]) == "<Move 'jon'>"
    assert contents(stores[0], OLD) == ITEMS  # so far nothing has changed
    rekeying.commit(stores, plan.moves)
    assert rekeying.is_unfinished(stores[0])
    if sys.platform != "win32":
        assert stat.S_IMODE(os.stat(stores[0].journal).st_mode) == 0o600
    assert rekeying.finish(stores) == 4
    assert contents(stores[0], NEW) == ITEMS
    assert contents(stores[1], NEW) == {"totp:x": b"4"}
    assert sorted(os.listdir(os.path.dirname(stores[0].location))) == ["keys", "strongroom"]
    with pytest.raises(KeystoreLocked):
        opened(stores[0], OLD).get("jon")


def test_finishing_twice(stores):
    """What was done half is done; what is done is not done again."""
    assert rekeying.finish(stores) == 0
    rekeying.commit(stores, prepared(stores).moves)
    journal = Path(stores[0].journal).read_bytes()
    assert rekeying.finish(stores) == 4
    Path(stores[0].journal).write_bytes(journal)
    os.chmod(stores[0].journal, 0o600)
    assert rekeying.finish(stores) == 0
    assert not rekeying.is_unfinished(stores[0])


def test_what_others_did_meanwhile(stores):
    """What was written stays as it was written, what was removed is not brought back."""
    moves = prepared(stores).moves
    rekeying.commit(stores, moves)
    stores[0].remove("team/dev")
    opened(stores[0], OLD).set(Item("jon", b"written meanwhile"))
    assert rekeying.finish(stores) == 2
    assert opened(stores[0], OLD).get("jon").data == b"written meanwhile"
    assert "team/dev" not in stores[0].listing()
    plan = prepared(stores)  # the next look finds it
    assert [move.name for move in plan.moves] == ["jon"]
    assert plan.left == ()


def test_a_key_that_is_stored_while_the_other_is_written(stores, monkeypatch):
    """Stays: a new key that was just proved must not become the old one again."""
    real = os.fsync

    def fsync(descriptor):
        real(descriptor)
        monkeypatch.setattr(os, "fsync", real)
        FileKeystore(stores[0].location, None, passphrase=OLD, iterations=1000).set(Item("jon", b"new"))

    rekeying.commit(stores, [move for move in prepared(stores).moves if move.name == "jon"])
    monkeypatch.setattr(os, "fsync", fsync)
    assert rekeying.finish(stores) == 0
    assert contents(stores[0], OLD)["jon"] == b"new"


def test_what_the_former_passphrase_does_not_open(stores):
    """Damaged, or of somebody else: named, and left."""
    directory = Path(stores[0].location)
    token = (directory / "jon").read_bytes()
    (directory / "broken").write_bytes(token[:-30])
    (directory / "empty").write_bytes(b"")
    (directory / "foreign").write_bytes(b"no item")
    opened_by_other = FileKeystore(str(directory.parent / "other"), None, passphrase="third", iterations=1000)
    opened_by_other.set(Item("theirs", b""))
    os.replace(directory.parent / "other" / "theirs", directory / "theirs")
    plan = prepared(stores)
    assert plan.left == ("broken", "theirs")
    assert len(plan.moves) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b'{"version": 2, "items": []}', b'{"version": 1, "items": [{}]}',
        json.dumps({"version": 1, "items": [{"place": 0, "name": "../x", "was": "", "is": "e30"}]}).encode(),
        json.dumps({"version": 1, "items": [{"place": 2, "name": "x", "was": "", "is": "e30"}]}).encode(),
        json.dumps({"version": 1, "items": [{"place": 0, "name": "", "was": "", "is": "e30"}]}).encode(),
    ],
)  # fmt: skip
def test_a_journal_that_makes_no_sense(stores, content):
    """It leads nowhere outside of the store, and says which file is wrong."""
    Path(stores[0].journal).write_bytes(content)
    os.chmod(stores[0].journal, 0o600)
    with pytest.raises(KeystoreError) as caught:
        rekeying.finish(stores)
    assert caught.value.message == f"{stores[0].journal} is damaged, or of a newer strongroom"
    assert contents(stores[0], OLD) == ITEMS


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes, and links need a privilege there")
def test_a_journal_that_others_may_have_written(stores):
    """It is none: in a directory that is open to others, anybody could put one there."""
    rekeying.commit(stores, prepared(stores).moves)
    os.chmod(stores[0].journal, 0o666)
    assert not rekeying.is_unfinished(stores[0])
    os.replace(stores[0].journal, stores[0].journal + "-")
    os.symlink(stores[0].journal + "-", stores[0].journal)
    assert rekeying.finish(stores) == 0
    assert contents(stores[0], OLD) == ITEMS


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes, and links need a privilege there")
def test_through_a_link(stores, tmp_path):
    """The journal is where the items really are, so that it is found on every way to them."""
    (tmp_path / "elsewhere").mkdir()
    os.symlink(stores[0].location, tmp_path / "elsewhere" / "link")
    linked = FileKeystore(str(tmp_path / "elsewhere" / "link"), None, passphrase=OLD, iterations=1000)
    assert linked.journal == stores[0].journal


def test_no_room(stores, monkeypatch):
    """Before the journal: nothing has changed. After it: it goes on later."""

    def full(*_):
        raise OSError(28, "No space left on device")

    moves = prepared(stores).moves
    with monkeypatch.context() as patch:
        patch.setattr("strongroom.durable.replace_as_it_is", full)
        with pytest.raises(KeystoreError) as caught:
            rekeying.commit(stores, moves)
    assert caught.value.message == f"cannot write {stores[0].journal}: no space left on device"
    assert not rekeying.is_unfinished(stores[0])
    rekeying.commit(stores, moves)
    with monkeypatch.context() as patch:
        patch.setattr("strongroom.durable.replace", full)
        with pytest.raises(KeystoreError) as caught:
            rekeying.finish(stores)
    assert caught.value.message == (
        f"the change of the passphrase of {stores[0].location} cannot be finished: no space left on device"
    )
    assert rekeying.finish(stores) == 4
