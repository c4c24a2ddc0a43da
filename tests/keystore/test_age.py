import errno
import json
import os
import shutil
import subprocess
import sys

import pyrage
import pytest

from contracts.keystore import SharedKeystoreContract
from harness.identities import age_identity, ssh_key
from strongroom.errors import ConfigError, ItemDamaged, ItemNotFound, KeystoreError, KeystoreLocked
from strongroom.keystore import Item, age

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes, pipes and signals")
ITEM = Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)


def nobody(message, *, confirm):
    raise AssertionError(f"asked {message!r}")


@pytest.fixture
def identity(tmp_path):
    """The path of an identity."""
    age_identity(tmp_path / "identity")
    return os.fspath(tmp_path / "identity")


@pytest.fixture
def items(tmp_path):
    """The store's directory, which is not there yet."""
    return tmp_path / "vault" / "items"


@pytest.fixture
def opened(identity, items):
    """Open the store: ``opened(age_identity="...")``."""

    def opened(ask=nobody, **settings):
        return age.open({"age_dir": os.fspath(items), "age_identity": identity} | settings, ask)

    return opened


class TestAge(SharedKeystoreContract):
    @pytest.fixture
    def store(self, opened):
        return opened()

    @pytest.fixture
    def opening(self, items, identity):
        settings = {"age_dir": os.fspath(items), "age_identity": identity}
        return f"from strongroom.keystore import age\nstore = age.open({settings!r}, None)"


@pytest.mark.skipif(not shutil.which("age"), reason="age is not installed")
@pytest.mark.parametrize("is_ssh", [False, True], ids=["own", "ssh"])
def test_with_the_program_age(opened, items, tmp_path, is_ssh):
    """It reads what we write, and we read what it writes, with both kinds of keys."""
    path = os.fspath(tmp_path / "key")
    public = (ssh_key if is_ssh else age_identity)(tmp_path / "key")
    store = opened(age_identity=path)
    store.set(ITEM)
    shown = subprocess.run(["age", "-d", "-i", path, items / "jon.age"], capture_output=True, check=True)
    assert shown.stdout == ITEM.to_json()
    other = Item("kim", b"theirs")
    subprocess.run(["age", "-r", public, "-o", items / "kim.age"], input=other.to_json(), check=True)
    assert store.get("kim") == other


def test_the_directory(opened, items):
    """One file per item, called like it, closed to others; all else in it is left alone."""
    store = opened()
    store.set(Item("team/dev", b"data"))
    store.set(Item("..", b"data"))
    (items / "notes.txt").write_text("x")
    (items / "dir.age").mkdir()
    assert sorted(os.listdir(items)) == ["%2E..age", "dir.age", "notes.txt", "team%2Fdev.age"]
    assert store.listing().keys() == {"team/dev", ".."}
    if sys.platform != "win32":
        assert [items.stat().st_mode & 0o777, (items / "%2E..age").stat().st_mode & 0o777] == [0o700, 0o600]


def test_writing_needs_no_identity(opened, tmp_path, identity):
    """A machine with the public key alone stores items; it cannot open them."""
    public = age_identity(tmp_path / "elsewhere")
    writer = opened(age_identity="", age_recipients=public)
    writer.set(ITEM)
    with pytest.raises(KeystoreLocked) as caught:
        writer.get("jon")
    assert caught.value.message == "no age_identity is set, so items can be written and not opened"
    assert opened(age_identity=os.fspath(tmp_path / "elsewhere")).get("jon") == ITEM


def test_writing_asks_for_no_passphrase(opened, tmp_path):
    """The public half of a key with a passphrase is enough; opening asks once."""
    ssh_key(tmp_path / "key", passphrase="pass")
    asked = []

    def human(message, *, confirm):
        asked.append(message)
        return "pass"

    store = opened(human, age_identity=os.fspath(tmp_path / "key"))
    store.set(ITEM)
    assert asked == []
    assert [store.get("jon"), store.get("jon"), store.beside("strongroom").listing()] == [ITEM, ITEM, {}]
    assert asked == [f'Enter passphrase for "{tmp_path / "key"}": ']


def test_several_recipients(opened, tmp_path):
    """Each of them opens the item."""
    one, two = age_identity(tmp_path / "one"), ssh_key(tmp_path / "two")
    opened(age_recipients=f"{one},{two}").set(ITEM)
    assert [opened(age_identity=os.fspath(tmp_path / name)).get("jon") for name in ("one", "two")] == [ITEM, ITEM]


def test_somebody_elses_item(opened, tmp_path, items):
    """Is locked, not damaged."""
    opened().set(ITEM)
    age_identity(tmp_path / "other")
    with pytest.raises(KeystoreLocked) as caught:
        opened(age_identity=os.fspath(tmp_path / "other")).get("jon")
    path = items / "jon.age"
    assert caught.value.message == f"item 'jon' ({path}) is encrypted for somebody else than age_identity"


def test_damage_at_any_byte(opened, items):
    """An item that was cut short or changed is damaged, or for nobody; what it held is never half there."""
    store = opened()
    store.set(ITEM)
    whole = (items / "jon.age").read_bytes()
    for at in range(0, len(whole), 3):
        for broken in (whole[:at], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]):
            (items / "jon.age").write_bytes(broken)
            with pytest.raises((ItemDamaged, KeystoreLocked)):
                store.get("jon")


def test_an_item_under_another_name(opened, items):
    """Whoever renames files does not swap profiles."""
    store = opened()
    store.set(ITEM)
    (items / "jon.age").rename(items / "kim.age")
    with pytest.raises(ItemDamaged) as caught:
        store.get("kim")
    assert caught.value.message == "item 'kim' is damaged: it holds the item 'jon'"


def test_other_spellings_of_a_name(opened, items):
    """A directory that comes from another system is read, written and cleared."""
    store = opened()
    store.set(ITEM)
    (items / "jon.age").rename(items / "%6Aon.age")
    assert (store.listing().keys(), store.get("jon")) == ({"jon"}, ITEM)
    store.set(Item("jon", b"new"))
    assert (os.listdir(items), store.get("jon").data) == (["%6Aon.age"], b"new")
    (items / "jon.age").write_bytes((items / "%6Aon.age").read_bytes())
    assert list(store.listing()) == ["jon"]
    store.remove("jon")
    assert os.listdir(items) == []


@POSIX
def test_what_cannot_be_an_item(opened, items):
    """A pipe in an item's place does not hang the reader; a huge file does not fill the memory."""
    store = opened()
    store.set(ITEM)
    os.mkfifo(items / "pipe.age")
    assert store.listing().keys() == {"jon"}
    with pytest.raises(ItemDamaged) as caught:
        store.get("pipe")
    assert caught.value.message == f"item 'pipe' cannot be used: {items / 'pipe.age'} is not a file"
    with (items / "huge.age").open("wb") as file:
        file.truncate(age.LIMIT_BYTES + 1)
    with pytest.raises(ItemDamaged, match=r"huge\.age has more than 1048576 bytes"):
        store.get("huge")


def test_items_that_are_too_large(opened, items):
    """Are refused; what was there is there still."""
    store = opened()
    store.set(ITEM)
    with pytest.raises(
        KeystoreError, match=r"cannot store item 'jon': it has .* and no item may be larger than 1048576"
    ):
        store.set(Item("jon", bytes(age.LIMIT_BYTES)))
    assert store.get("jon") == ITEM


@pytest.mark.parametrize("key", ["", "a\0b", "x" * 252], ids=["empty", "NUL", "long"])
def test_names_that_no_file_can_have(opened, key):
    """Are refused when they are stored, and not there when they are asked for."""
    store = opened()
    with pytest.raises(KeystoreError, match="cannot store item"):
        store.set(Item(key, b"data"))
    with pytest.raises(ItemNotFound):
        store.get(key)


def test_the_longest_name(opened):
    """Has 251 bytes and the ending."""
    store = opened()
    store.set(Item("x" * 251, b"data"))
    assert store.get("x" * 251).data == b"data"


@POSIX
def test_what_is_worth_telling(opened, items, identity):
    """An identity that others may read, and a directory that others may write to; each once."""
    store = opened()
    store.set(ITEM)
    os.chmod(identity, 0o644)
    items.chmod(0o770)
    for _ in range(2):
        store.get("jon")
        store.listing()
    assert store.warnings == [
        f"{items}: others may put items of their own there (mode 0770; chmod 700)",
        f"age_identity {identity}: others may read the file (chmod 600)",
    ]


def test_neither_identity_nor_recipient(opened):
    """The store says what it needs before anything else."""
    with pytest.raises(ConfigError) as caught:
        opened(age_identity="")
    assert caught.value.message == "the age keystore has neither age_identity nor age_recipients"
    assert "~/.ssh/id_ed25519" in caught.value.hint


def test_recipients_that_are_none(opened, tmp_path):
    """An empty file of them names nobody."""
    (tmp_path / "list").write_text("# nobody\n")
    with pytest.raises(ConfigError) as caught:
        opened(age_recipients=os.fspath(tmp_path / "list")).set(ITEM)
    assert caught.value.message == f"age_recipients {os.fspath(tmp_path / 'list')!r} names nobody"


@pytest.mark.parametrize(
    ("call", "act", "message"),
    [
        (
            "replace",
            lambda store: store.set(Item("jon", b"new")),
            "cannot write item 'jon' ({}): no space left on device",
        ),
        ("unlink", lambda store: store.remove("jon"), "cannot remove item 'jon' in {}: no space left on device"),
        ("scandir", lambda store: store.listing(), "cannot list {}: no space left on device"),
        ("open", lambda store: store.get("jon"), "cannot read item 'jon' ({}): no space left on device"),
    ],
)
def test_refusals_of_the_system(opened, items, monkeypatch, call, act, message):
    """Are told with the item and the place."""
    store = opened()
    store.set(ITEM)
    store.get("jon")

    def refuse(*args, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(KeystoreError) as caught:
        act(store)
    place = items / "jon.age" if "(" in message else items
    assert caught.value.message == message.format(place)
    monkeypatch.undo()
    assert store.get("jon") == ITEM


def test_a_file_system_that_does_not_tell_names_apart(opened, items, monkeypatch):
    """ "Jon" does not take the place of "jon"."""
    store = opened()
    store.set(ITEM)
    monkeypatch.setattr(os.path, "lexists", lambda path: True)
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("Jon", b"data"))
    assert caught.value.message == "cannot store item 'Jon': this file system does not tell it from 'jon'"


def test_the_second_collection(opened, items):
    """Lies beside the first, and is not in its listing."""
    store = opened()
    own = store.beside("strongroom")
    own.set(Item("own", b"data"))
    assert (store.listing(), list(own.listing()), own.location) == ({}, ["own"], os.fspath(items.parent / "strongroom"))


# For each of the calls that a write makes, a child that dies (by SIGKILL, which nothing can catch) right before it.
KILLED = """
import json, os, signal, sys
from strongroom.keystore import Item, age
store = age.open(json.loads(sys.argv[1]), None)
CALLS = ("open", "write", "fsync", "close", "replace", "mkdir", "unlink", "scandir")
def die_at(number):
    made = []
    def patched(name):
        real = getattr(os, name)
        def call(*args, **more):
            made.append(name)
            if len(made) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)
        return call
    for name in CALLS:
        setattr(os, name, patched(name))
stories = []
for number in range(1, 100):
    store.set(Item("jon", b"old"))
    child = os.fork()
    if not child:
        die_at(number)
        store.set(Item("jon", b"new" * 1000))
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    stories.append([killed, list(store.listing()), store.get("jon").data[:3].decode()])
    if not killed:
        break
print(json.dumps(stories))
"""


@POSIX
def test_a_writer_that_is_killed_at_any_call(items, identity):
    """However far it came, the item reads as before or as after, and is the only one."""
    settings = json.dumps({"age_dir": os.fspath(items), "age_identity": identity})
    run = subprocess.run([sys.executable, "-c", KILLED, settings], capture_output=True, text=True)
    assert run.stderr == ""
    stories = json.loads(run.stdout)
    assert [killed for killed, _, _ in stories] == [True] * (len(stories) - 1) + [False]
    assert {tuple(names) for _, names, _ in stories} == {("jon",)}
    found = [data for _, _, data in stories]
    changed = found.index("new")
    assert 4 < changed < len(found) - 2
    assert found == ["old"] * changed + ["new"] * (len(found) - changed)


def test_no_message_holds_a_secret(opened, items, identity):
    """Neither what is in an item nor the identity."""
    store = opened()
    store.set(Item("kim", b"do not show"))
    (items / "jon.age").write_bytes(pyrage.encrypt(b"do not show", store._keys.recipients()))
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    told = repr(store) + caught.value.message + caught.value.hint + repr(caught.value.__cause__)
    assert "do not show" not in told
    assert "AGE-SECRET-KEY" not in told
