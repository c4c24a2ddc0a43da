import errno
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from contracts.keystore import SharedKeystoreContract
from strongroom.errors import (
    ConfigError,
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    PromptDismissed,
)
from strongroom.keystore import Item, file, jwe

VECTORS = Path(__file__).parent.parent / "vectors"
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such files")
ITERATIONS = jwe.MIN_ITERATIONS


class Human:
    """Who is asked for the passphrase: gives the next of *answers*, declines when there is none."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def __call__(self, message, *, confirm):
        self.asked.append((message, confirm))
        if not self.answers:
            raise PromptDismissed("the question was dismissed")
        return self.answers.pop(0)


@pytest.fixture
def keys(tmp_path):
    """Where the store is; beside it is room for temporary files, and nothing else."""
    return tmp_path / "vault" / "keys"


@pytest.fixture
def opened(keys):
    """Open the store anew, as another process would: ``opened("pw")``, or with a `Human`."""

    def open_it(passphrase=None, human=None, **settings):
        settings = {"file_dir": str(keys), "file_passphrase": passphrase, "file_iterations": ITERATIONS} | settings
        return file.open(settings, human or Human())

    return open_it


@pytest.fixture
def golden(keys):
    """The vault that aws-vault wrote."""
    keys.parent.mkdir(mode=0o700)
    with tarfile.open(VECTORS / "golden.tar.gz") as archive:
        archive.extractall(keys.parent, filter="data")
    keys.chmod(0o700)
    return keys


def snapshot(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


class TestFileKeystore(SharedKeystoreContract):
    @pytest.fixture
    def store(self, opened):
        return opened("pw")

    @pytest.fixture
    def opening(self, keys):
        settings = {"file_dir": str(keys), "file_passphrase": "pw", "file_iterations": ITERATIONS}
        return f"from strongroom.keystore import file\nstore = file.open({settings!r}, None)"


# What aws-vault wrote, and what it reads

SESSION = "sts.GetSessionToken,am9u,YXJuOmF3czppYW06OjExMTExMTExMTExMTptZmEvam9u,1795487361"


@POSIX
def test_a_vault_of_aws_vault_opens(golden, opened):
    """Keys, sessions and a token, listed under their names and opened by its passphrase."""
    human = Human("correct horse")
    store = opened(human=human)
    assert sorted(store.listing()) == [
        "jon",
        "oidc:https://corp.example/start",
        "sso.GetRoleCredentials,c3Nv,aHR0cHM6Ly9jb3JwLmV4YW1wbGUvc3RhcnQ,1795361363",
        "sts.AssumeRole,bG9uZw,YXJuOmF3czppYW06OjExMTExMTExMTExMTptZmEvam9u,1795400961",
        SESSION,
        "team/dev 100%",
    ]
    assert human.asked == []
    items = {key: store.get(key) for key in store.listing()}
    for name in ("jon", "team/dev 100%"):
        fields = json.loads(items[name].data)
        assert fields["AccessKeyID"] == "AKIAIOSFODNN7EXAMPLE"
        assert fields["SecretAccessKey"] == "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
        assert (items[name].label, items[name].not_trust_application) == (f"aws-vault ({name})", True)
    assert items[SESSION].label == "aws-vault session for jon (expires 2026-11-24T02:29:21Z)"
    assert (items[SESSION].description, items[SESSION].not_trust_application) == ("aws-vault session", False)
    assert set(json.loads(items[SESSION].data)) == {"AccessKeyId", "Expiration", "SecretAccessKey", "SessionToken"}
    assert human.asked == [(f'Enter passphrase to unlock "{golden}": ', False)]
    assert store.warnings == []


@POSIX
def test_an_item_is_written_as_aws_vault_would(opened, keys):
    """Its file name, its file's mode, its form; and nothing beside or in the directory but the item."""
    store = opened("pw", file_iterations=None)
    store.set(Item("my/prof ile%x", b"data", "label"))
    path = keys / "my%2Fprof ile%25x"
    assert os.listdir(keys.parent) == ["keys"]
    assert os.listdir(keys) == [path.name]
    assert [oct(p.stat().st_mode & 0o777) for p in (path, keys, keys.parent)] == ["0o600", "0o700", "0o700"]
    token = path.read_bytes()
    assert jwe.parse(token).iterations == 8192
    assert Item.from_json("my/prof ile%x", jwe.decrypt(token, b"pw")) == Item("my/prof ile%x", b"data", "label")


def test_more_iterations_if_wanted(opened, keys):
    """New items hash the passphrase that often; older ones still open."""
    opened("pw").set(Item("old", b"1"))
    store = opened("pw", file_iterations=20_000)
    store.set(Item("new", b"2"))
    assert [jwe.parse((keys / name).read_bytes()).iterations for name in ("old", "new")] == [ITERATIONS, 20_000]
    assert (store.get("old").data, store.get("new").data) == (b"1", b"2")


@pytest.mark.parametrize("iterations", [999, 1_300_001, -1, 0])
def test_iterations_that_readers_refuse(opened, iterations):
    """An item with such a count could not be read back."""
    with pytest.raises(ConfigError) as caught:
        opened("pw", file_iterations=iterations)
    assert caught.value.message == f"file_iterations is {iterations}, which is not between 1000 and 1300000"


def test_settings_may_say_no_more_than_where(keys):
    """Passphrase and iterations have defaults."""
    human = Human("pw", "pw")
    store = file.open({"file_dir": str(keys)}, human)
    store.set(Item("jon", b"data"))
    assert jwe.parse((keys / "jon").read_bytes()).iterations == 8192
    assert human.asked == [(f'Enter a new passphrase to protect "{keys}": ', True)]


# Listing


def test_listing_makes_nothing(opened, keys):
    """A directory that is missing is an empty store; looking does not make it."""
    store = opened("pw")
    assert store.listing() == {}
    with pytest.raises(ItemNotFound) as caught:
        store.get("jon")
    assert caught.value.message == f"no item 'jon' in {keys}"
    with pytest.raises(ItemNotFound):
        store.remove("jon")
    assert not keys.parent.exists()


def test_listing_tells_fractions_of_a_second(opened, keys):
    """The time of writing is the file's own."""
    store = opened("pw")
    store.set(Item("jon", b"data"))
    os.utime(keys / "jon", (1, 1_700_000_000.25))
    assert store.listing() == {"jon": 1_700_000_000.25}


@POSIX
def test_what_is_not_an_item_is_not_listed(opened, keys):
    """Other programs' files, directories, pipes and dead links are left out; what was an item stays in."""
    store = opened("pw")
    store.set(Item("jon", b"data"))
    (keys / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (keys / "notes.txt").write_text("my keys")
    (keys / "folder").mkdir()
    (keys / ".strongroom-00.tmp").write_bytes(jwe.encrypt(b"x", b"pw", ITERATIONS))
    (keys / "dead").symlink_to(keys / "nowhere")
    os.mkfifo(keys / "pipe")
    (keys / "empty").touch()
    (keys / "cut").write_bytes(b"ey")
    (keys / "zeroed").write_bytes(bytes(800))
    (keys / "linked").symlink_to(keys / "jon")
    assert sorted(store.listing()) == ["cut", "empty", "jon", "linked", "zeroed"]


@POSIX
def test_a_directory_that_cannot_be_listed(opened, keys):
    """A file in its place is an error that names it, not an empty store."""
    keys.parent.mkdir()
    keys.write_text("not a directory")
    store = opened("pw")
    for call in (store.listing, lambda: store.remove("jon"), lambda: store.set(Item("jon", b""))):
        with pytest.raises(KeystoreError) as caught:
            call()
        assert caught.value.message == f"cannot list {keys}: not a directory"
    with pytest.raises(KeystoreError) as caught:
        store.get("jon")
    assert caught.value.message == f"cannot read item 'jon' ({keys}/jon): not a directory"


@POSIX
def test_loose_modes_are_reported(opened, keys):
    """The directory's and the items', once each; nothing is changed."""
    store = opened("pw")
    for name in ("one", "two", "three"):
        store.set(Item(name, b"data"))
    keys.chmod(0o755)
    (keys / "one").chmod(0o640)
    store.listing()
    store.listing()
    assert store.warnings == [
        f"{keys} is open to other users (mode 0755; chmod 700 {keys})",
        f"item 'one' in {keys}: others may read the file (chmod 600)",
    ]
    (keys / "two").chmod(0o604)
    store = opened("pw")
    first = next(key for key in store.listing() if key != "three")
    assert store.warnings[1] == f"item {first!r} and 1 more in {keys}: others may read the file (chmod 600)"
    assert (keys / "one").stat().st_mode & 0o777 == 0o640
    store.set(Item("one", b"new"))
    assert (keys / "one").stat().st_mode & 0o777 == 0o600


# Reading


def damaged(store, key="jon"):
    with pytest.raises(ItemDamaged) as caught:
        store.get(key)
    assert caught.value.key == key
    return caught.value.message


def test_reading_needs_no_listing(opened, monkeypatch):
    """One item is one open and one read, with a passphrase that is known."""
    opened("pw").set(Item("jon", b"data"))
    store = opened("pw")
    monkeypatch.setattr(os, "scandir", None)
    monkeypatch.setattr(os, "listdir", None)
    assert store.get("jon").data == b"data"


def test_an_empty_item(opened, keys):
    """Said to be empty; nobody is asked for a passphrase that cannot help."""
    keys.mkdir(parents=True)
    (keys / "jon").touch()
    assert damaged(opened()) == f"item 'jon' is damaged: {keys / 'jon'} is empty"


def test_an_item_that_was_cut_short(opened, keys):
    """At any length it is damaged, never a wrong passphrase."""
    store = opened("pw")
    store.set(Item("jon", b"data"))
    token = (keys / "jon").read_bytes()
    for length in range(3, len(token), 7):
        (keys / "jon").write_bytes(token[:length])
        assert damaged(opened()).startswith("item 'jon' is damaged: it is cut short")


@POSIX
def test_files_that_are_no_items(opened, keys):
    """Another program's file, a directory and a pipe in an item's place are told as such; nothing hangs."""
    keys.mkdir(parents=True)
    (keys / "notes").write_text("my keys")
    (keys / "folder").mkdir()
    os.mkfifo(keys / "pipe")
    store = opened()
    assert damaged(store, "notes") == "item 'notes' is damaged: it is not an encrypted item"
    assert damaged(store, "folder") == f"item 'folder' cannot be used: {keys}/folder is not a file"
    assert damaged(store, "pipe") == f"item 'pipe' cannot be used: {keys}/pipe is not a file"


def test_an_item_that_is_too_large(opened, keys):
    """A wrong file does not fill the memory."""
    keys.mkdir(parents=True)
    with (keys / "jon").open("wb") as big:
        big.truncate(file.LIMIT_BYTES + 1)
    message = f"item 'jon' cannot be used: {keys / 'jon'} has 1048577 bytes, and no item is larger than 1048576"
    assert damaged(opened()) == message


def test_items_that_were_swapped(opened, keys):
    """A file under another item's name is refused."""
    store = opened("pw")
    store.set(Item("dev", b"dev"))
    shutil.copy(keys / "dev", keys / "prod")
    assert damaged(store, "prod") == "item 'prod' is damaged: it holds the item 'dev'"


def test_an_item_that_was_changed(opened, keys):
    """The content does not match its tag, though the passphrase is right."""
    store = opened("pw")
    store.set(Item("jon", b"data"))
    parts = (keys / "jon").read_bytes().split(b".")
    parts[3] = parts[3][:-4] + b"AAAA"
    (keys / "jon").write_bytes(b".".join(parts))
    assert damaged(opened("pw")) == "item 'jon' is damaged: its content was changed after it was written"


def test_names_that_no_file_can_have(opened, keys):
    """They cannot be stored, so they are not found."""
    store = opened("pw")
    for call in (store.get, store.remove):
        with pytest.raises(ItemNotFound):
            call("a\0b")
    with pytest.raises(ItemNotFound) as caught:
        store.get("a\0b")
    assert caught.value.message == f"no item 'a\\x00b' in {keys}: its name holds a NUL character"
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("x" * 300, b"data"))
    reason = "its file name would have 300 bytes, and a file system takes 255"
    assert caught.value.message == f"cannot store item {'x' * 300!r} in {keys}: {reason}"
    assert not keys.exists()


@POSIX
def test_other_spellings_of_a_name(opened, keys):
    """Files whose names were encoded otherwise, as on Windows or by hand, are the same items."""
    store = opened("pw")
    store.set(Item("oidc:a/b", b"data"))
    (keys / "oidc:a%2Fb").rename(keys / "oidc%3aa%2fb")
    assert list(store.listing()) == ["oidc:a/b"]
    assert store.get("oidc:a/b").data == b"data"
    store.set(Item("oidc:a/b", b"new"))
    assert os.listdir(keys) == ["oidc%3aa%2fb"]
    assert store.get("oidc:a/b").data == b"new"
    shutil.copy(keys / "oidc%3aa%2fb", keys / "oidc:a%2Fb")
    os.utime(keys / "oidc:a%2Fb", (5, 5))
    assert store.listing() == {"oidc:a/b": 5.0}
    store.remove("oidc:a/b")
    assert os.listdir(keys) == []


@POSIX
def test_a_spelling_of_a_name_that_cannot_be_encoded(opened, keys):
    """Such a file is listed under what it decodes to, and cannot be opened; nothing breaks."""
    opened("pw").set(Item("jon", b"data"))
    (keys / "jon").rename(keys / "a%00b")
    shutil.copy(keys / "a%00b", keys / "a%00%62")
    assert list(opened("pw").listing()) == ["a\0b"]


@pytest.mark.parametrize("failing", ["open", "fstat", "read"])
def test_an_item_that_cannot_be_read(opened, keys, monkeypatch, failing):
    """Whatever the system refuses, the error names the file and its reason, and the listing still has the item."""
    store = opened("pw")
    store.set(Item("jon", b"data"))
    real = getattr(os, failing)

    def refuse(*args):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, failing, refuse)
    with pytest.raises(KeystoreError) as caught:
        store.get("jon")
    assert caught.value.message == f"cannot read item 'jon' ({keys / 'jon'}): permission denied"
    assert list(store.listing()) == ["jon"]
    monkeypatch.setattr(os, failing, real)
    assert store.get("jon").data == b"data"


# The passphrase


def test_the_passphrase_is_asked_once(opened):
    """It is remembered for the process, for reading and for writing."""
    first = opened("pw")
    for name in ("one", "two"):
        first.set(Item(name, name.encode()))
    human = Human("pw")
    store = opened(human=human)
    assert [store.get(name).data for name in ("one", "two")] == [b"one", b"two"]
    store.set(Item("three", b"3"))
    assert len(human.asked) == 1


def test_a_wrong_passphrase_is_asked_again(opened, keys):
    """Three times at most; the question says why it comes back."""
    opened("pw").set(Item("jon", b"data"))
    human = Human("p", "pw")
    assert opened(human=human).get("jon").data == b"data"
    assert human.asked == [
        (f'Enter passphrase to unlock "{keys}": ', False),
        (f'Wrong passphrase. Enter passphrase to unlock "{keys}": ', False),
    ]
    human = Human("p", "w", "wp", "pw")
    before = snapshot(keys)
    for _ in range(2):
        with pytest.raises(KeystoreLocked) as caught:
            opened(human=human).get("jon")
        human = Human("p", "w", "wp", "pw")
    reason = "(or the item is damaged: the two look the same)"
    assert caught.value.message == f"wrong passphrase for 'jon' in {keys} {reason}"
    assert human.answers[-1] == "pw"
    assert snapshot(keys) == before


def test_a_wrong_passphrase_from_the_settings(opened, keys):
    """Nobody is asked then."""
    opened("pw").set(Item("jon", b"data"))
    human = Human("pw")
    with pytest.raises(KeystoreLocked):
        opened("wrong", human).get("jon")
    assert human.asked == []


def test_nobody_who_could_be_asked(opened):
    """What the question raises goes through, and nothing is remembered."""
    opened("pw").set(Item("jon", b"data"))
    store = opened(human=Human())
    for call in (lambda: store.get("jon"), lambda: store.set(Item("new", b""))):
        with pytest.raises(PromptDismissed):
            call()


def break_key(path):
    """Damage the wrapped key: to a reader it looks like a wrong passphrase."""
    parts = path.read_bytes().split(b".")
    parts[1] = b"A" * 8 + parts[1][8:]
    path.write_bytes(b".".join(parts))


def test_another_item_tells_a_damaged_one_from_a_wrong_passphrase(opened, keys):
    """If the passphrase opens any other item, this one is damaged; asking again would not help."""
    store = opened("pw")
    store.set(Item("good", b"data"))
    store.set(Item("session,with,commas,1", b"data"))
    store.set(Item("jon", b"data"))
    break_key(keys / "jon")
    message = f"item 'jon' is damaged, or was written under another passphrase than the rest of {keys}"
    assert damaged(store) == message
    assert damaged(opened("pw")) == message
    human = Human("pw")
    store = opened(human=human)
    assert damaged(store) == message
    assert store.get("good").data == b"data"
    assert len(human.asked) == 1


def test_unusable_items_prove_nothing(opened, keys):
    """Whether a passphrase is wrong is decided by items that can be opened at all."""
    opened("pw").set(Item("jon", b"data"))
    opened("pw").set(Item("changed", b"data"))
    parts = (keys / "changed").read_bytes().split(b".")
    parts[4] = b"A" * 22
    (keys / "changed").write_bytes(b".".join(parts))
    (keys / "empty").touch()
    (keys / "cut").write_bytes(b"eyJ")
    break_key(keys / "jon")
    with pytest.raises(KeystoreLocked):
        opened("pw").get("jon")


def test_a_new_store_asks_for_a_new_passphrase(opened, keys):
    """To be confirmed; it is then the store's own."""
    human = Human("new")
    store = opened(human=human)
    store.set(Item("jon", b"data"))
    assert human.asked == [(f'Enter a new passphrase to protect "{keys}": ', True)]
    assert store.get("jon").data == b"data"
    assert opened("new").get("jon").data == b"data"


def test_a_store_with_nothing_that_opens_is_a_new_one(opened, keys):
    """Empty files are no reason to lock the owner out for ever."""
    keys.mkdir(parents=True)
    (keys / "jon").touch()
    human = Human("new")
    opened(human=human).set(Item("jon", b"data"))
    assert human.asked[0][1] is True
    assert opened("new").get("jon").data == b"data"


def test_a_passphrase_is_proved_before_it_writes(opened, keys):
    """A typing mistake does not make an item that nobody can read."""
    opened("pw").set(Item("jon", b"data"))
    before = snapshot(keys)
    with pytest.raises(KeystoreLocked) as caught:
        opened("pv").set(Item("new", b"data"))
    assert caught.value.message == f"wrong passphrase: it opens no item in {keys}, so nothing was written"
    with pytest.raises(KeystoreLocked):
        opened(human=Human("a", "b", "c")).set(Item("new", b"data"))
    assert snapshot(keys) == before
    human = Human("pv", "pw")
    opened(human=human).set(Item("new", b"data"))
    assert [confirm for _, confirm in human.asked] == [False, False]
    opened("pw").set(Item("newer", b"data"))
    assert sorted(opened("pw").listing()) == ["jon", "new", "newer"]


def test_one_proof_is_enough(opened, monkeypatch):
    """Long-term keys are tried first, a bounded number of items, and none once an item was opened."""
    old = opened("old")
    for number in range(30):
        old.set(Item(f"type,profile,serial,{number}", b"session"))
    old.set(Item("oidc:portal", b"token"))
    old._passphrase = b"new"
    old.set(Item("jon", b"key"))
    tried = []
    real = jwe.Sealed.open
    monkeypatch.setattr(
        jwe.Sealed, "open", lambda sealed, passphrase: tried.append(passphrase) or real(sealed, passphrase)
    )
    store = opened("new")
    store.set(Item("other", b"key"))
    store.set(Item("another", b"key"))
    assert tried == [b"new"]
    tried.clear()
    with pytest.raises(KeystoreLocked):
        opened("neither").set(Item("third", b"key"))
    assert len(tried) == file.PROOFS


def test_an_empty_passphrase(opened, keys):
    """It works, as in aws-vault, and is remarked on when it is used to write."""
    store = opened("")
    store.set(Item("jon", b"data"))
    store.set(Item("jon", b"more"))
    warning = f"the passphrase of {keys} is empty: whoever reads its files reads the keys in them"
    assert store.warnings == [warning]
    store = opened("")
    assert store.get("jon").data == b"more"
    assert store.warnings == []


@POSIX
def test_a_passphrase_that_is_not_utf8(opened, keys):
    """Its bytes are what counts, as they stand in the variable."""
    opened(os.fsdecode(b"caf\xe9")).set(Item("jon", b"data"))
    assert jwe.decrypt((keys / "jon").read_bytes(), b"caf\xe9")


# Writing


@POSIX
@pytest.mark.parametrize("key", ["notes", "folder", "dead"])
def test_foreign_files_are_left_alone(opened, keys, key):
    """What another program put in an item's place is neither overwritten nor removed."""
    keys.mkdir(parents=True, mode=0o700)
    (keys / "notes").write_text("my keys")
    (keys / "folder").mkdir()
    store = opened("pw")
    if key == "dead":
        (keys / key).symlink_to(keys / "notes")
    for call, verb in ((lambda: store.set(Item(key, b"")), "overwrite"), (lambda: store.remove(key), "remove")):
        with pytest.raises(KeystoreError) as caught:
            call()
        assert caught.value.message == f"cannot {verb} item {key!r}: {keys}/{key} is not an item"
        assert caught.value.hint == "move that file away"
    assert (keys / "notes").read_text() == "my keys"
    assert sorted(os.listdir(keys)) == sorted({"notes", "folder", key})


def test_damaged_items_can_be_replaced_and_removed(opened, keys):
    """They are ours, whatever became of them."""
    keys.mkdir(parents=True, mode=0o700)
    store = opened("pw")
    for content in (b"", b"e", bytes(100), b"eyJhbGci"):
        (keys / "jon").write_bytes(content)
        store.set(Item("jon", b"data"))
        assert store.get("jon").data == b"data"
        (keys / "jon").write_bytes(content)
        store.remove("jon")
        assert store.listing() == {}


@POSIX
def test_links_are_kept(opened, keys, tmp_path):
    """A directory, or an item, that is a link to elsewhere is written where it leads."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    keys.parent.mkdir()
    keys.symlink_to(elsewhere)
    store = opened("pw")
    store.set(Item("jon", b"data"))
    (keys / "linked").symlink_to(elsewhere / "jon")
    store.set(Item("jon", b"new"))
    assert keys.is_symlink()
    assert (keys / "linked").is_symlink()
    assert opened("pw").get("jon").data == b"new"


def test_an_item_that_is_too_large_to_be_read_back(opened, keys):
    """It is refused, and the old one stays."""
    store = opened("pw")
    store.set(Item("jon", b"data"))
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", bytes(600_000)))
    size = "1067031 bytes, and no item may be larger than 1048576"
    assert caught.value.message == f"cannot store item 'jon': it has {size}"
    assert store.get("jon").data == b"data"


def test_names_that_the_file_system_does_not_tell_apart(opened, keys, monkeypatch):
    """Where "Jon" opens the file of "jon", writing the one would lose the other: it is refused."""
    store = opened("pw")
    store.set(Item("jon", b"lower"))
    real = os.path.lexists
    monkeypatch.setattr(os.path, "lexists", lambda path: real(path) or real(str(path).replace("Jon", "jon")))
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("Jon", b"upper"))
    assert caught.value.message == "cannot store item 'Jon': this file system does not tell it from 'jon'"
    with pytest.raises(ItemNotFound):
        store.remove("Jon")
    monkeypatch.setattr(os.path, "lexists", real)
    if not (keys / "JON").exists():
        store.set(Item("Jon", b"upper"))
        assert (store.get("jon").data, store.get("Jon").data) == (b"lower", b"upper")


def test_an_item_that_cannot_be_removed(opened, keys, monkeypatch):
    """The error names it."""
    store = opened("pw")
    store.set(Item("jon", b"data"))

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(KeystoreError) as caught:
        store.remove("jon")
    assert caught.value.message == f"cannot remove item 'jon' ({keys / 'jon'}): permission denied"


def run_child(code, *words, prefix=(), **more):
    """Run code in a process of its own, which must print JSON."""
    run = subprocess.run([*prefix, sys.executable, "-c", code, *words], capture_output=True, text=True, **more)
    assert run.stderr == ""
    return json.loads(run.stdout)


STORE = """
import json, os, sys, tempfile
from strongroom.errors import StrongroomError
from strongroom.keystore import Item, file
keys = sys.argv[1]
def opened(): return file.open({"file_dir": keys, "file_passphrase": "pw", "file_iterations": 1000}, None)
"""

# For each of the calls that a write makes, a child that dies (by SIGKILL, which nothing can catch) right before it.
KILLED = (
    STORE
    + """
import signal
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
def tree(): return sorted(n for n in os.listdir(os.path.dirname(keys)) + (os.listdir(keys) if os.path.isdir(keys) else []))
stories = []
for number in range(1, 200):
    child = os.fork()
    if not child:
        try:
            store = opened()
            store.get("other") if os.path.isdir(keys) and os.listdir(keys) else None
            die_at(number)
            store.set(Item("jon", b"new" * 1000))
        finally:
            os._exit(0)
    status = os.waitpid(child, 0)[1]
    store = opened()
    found = {key: store.get(key).data[:3].decode() for key in store.listing()}
    stories.append([os.WIFSIGNALED(status), found])
    if not os.WIFSIGNALED(status):
        break
    if sys.argv[2] == "new":
        import shutil
        shutil.rmtree(keys, ignore_errors=True)
    else:
        store.set(Item("jon", b"old"))
print(json.dumps(stories))
"""
)


@POSIX
@pytest.mark.parametrize("begin", ["new", "old"])
def test_killed_at_any_call_an_item_is_old_or_new(opened, keys, begin):
    """However far a write came before it was killed, the item reads as before or as after, and others are untouched."""
    keys.parent.mkdir()
    rest = {}
    if begin == "old":
        opened("pw").set(Item("jon", b"old"))
        opened("pw").set(Item("other", b"other"))
        rest = {"other": "oth"}
    stories = run_child(KILLED, str(keys), begin)
    assert [killed for killed, _ in stories] == [True] * (len(stories) - 1) + [False]
    found = [found for _, found in stories]
    before = rest | ({"jon": "old"} if begin == "old" else {})
    after = rest | {"jon": "new"}
    assert found[0] == before
    assert found[-1] == after
    changed = found.index(after)
    assert 5 < changed < len(found) - 3
    assert found == [before] * changed + [after] * (len(found) - changed)


FAILING = {
    "open": (errno.ENOSPC, "No space left on device"),
    "write": (errno.ENOSPC, "No space left on device"),
    "fsync": (errno.EIO, "Input/output error"),
    "replace": (errno.EDQUOT, "Disk quota exceeded"),
}


@pytest.mark.parametrize("failing", FAILING)
def test_a_write_that_fails_leaves_the_old_item(opened, keys, monkeypatch, failing):
    """Whatever fails, the error names the file and the reason, the old item is there, and no temporary file stays."""
    store = opened("pw")
    store.set(Item("jon", b"old"))
    error = OSError(*FAILING[failing])
    real = getattr(os, failing)

    def fail(path, *args):
        if failing == "open" and not args[0] & os.O_CREAT:
            return real(path, *args)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(KeystoreError) as caught:
            store.set(Item("jon", b"new"))
    reason = FAILING[failing][1].lower()
    assert caught.value.message == f"cannot write item 'jon' ({keys / 'jon'}): {reason}"
    assert caught.value.__cause__ is error
    assert store.get("jon").data == b"old"
    assert (os.listdir(keys.parent), os.listdir(keys)) == (["keys"], ["jon"])


@POSIX
def test_a_full_disk(opened, keys):
    """A real limit on what may be written, in a child: the old item stays, and nothing else."""
    opened("pw").set(Item("jon", b"old"))
    code = (
        STORE
        + """
import resource
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limit[1]))
try:
    opened().set(Item("jon", b"new" * 5000))
except StrongroomError as error:
    resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    print(json.dumps(error.message))
"""
    )
    assert run_child(code, str(keys)) == f"cannot write item 'jon' ({keys}/jon): file too large"
    assert opened("pw").get("jon").data == b"old"
    assert (os.listdir(keys.parent), os.listdir(keys)) == (["keys"], ["jon"])


READ_ONLY = (
    STORE
    + """
outer = tempfile.mkdtemp()
keys = os.path.join(outer, "vault", "keys")
opened().set(Item("jon", b"old"))
def tried(call):
    try:
        return call()
    except StrongroomError as error:
        return error.message.replace(outer, "OUTER")
results = []
for inner, beside in ((0o500, 0o500), (0o500, 0o700), (0o700, 0o500), (0o700, 0o700)):
    os.chmod(keys, inner); os.chmod(os.path.dirname(keys), beside)
    results.append(tried(lambda: opened().set(Item("jon", b"%o" % beside))))
    results.append(opened().get("jon").data.decode())
    results.append(os.listdir(keys) + os.listdir(os.path.dirname(keys)))
os.chmod(keys, 0o500)
results.append(tried(lambda: opened().remove("jon")))
os.chmod(keys, 0o700)
os.chmod(os.path.join(keys, "jon"), 0)
results.append(tried(lambda: opened().get("jon")))
results.append(list(opened().listing()))
os.chmod(keys, 0)
results.append(tried(lambda: opened().listing()))
os.chmod(keys, 0o700)
import shutil
shutil.rmtree(outer)
print(json.dumps(results))
"""
)


@POSIX
def test_modes_that_forbid_it(keys):
    """To whom modes apply: a read-only directory is told; a read-only one beside it is no hindrance."""
    # Root, without what lets it pass over modes.
    tamed = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if tamed and not shutil.which(tamed[0]):
        pytest.skip("nothing keeps root out of files")
    refused = "cannot write item 'jon' (OUTER/vault/keys/jon): permission denied"
    assert run_child(READ_ONLY, str(keys), prefix=tamed) == [
        *(refused, "old", ["jon", "keys"]),
        *(refused, "old", ["jon", "keys"]),
        *(None, "500", ["jon", "keys"]),
        *(None, "700", ["jon", "keys"]),
        "cannot remove item 'jon' (OUTER/vault/keys/jon): permission denied",
        "cannot read item 'jon' (OUTER/vault/keys/jon): permission denied",
        ["jon"],
        "cannot list OUTER/vault/keys: permission denied",
    ]


def test_no_secret_is_in_any_error(opened, keys):
    """Neither the passphrase nor the data is in a message or a traceback's values, whichever way a call fails."""
    import traceback

    store = opened("the passphrase")
    store.set(Item("jon", b"the secret"))
    (keys / "notes").write_bytes(b"the secret")
    break_key(keys / "jon")
    shown = io.StringIO()
    for call in (
        lambda: opened("the passphrase").get("jon"),
        lambda: opened("the passphrase").get("notes"),
        lambda: opened("the passphrase").set(Item("notes", b"the secret")),
        lambda: opened("the passphrase").set(Item("new", b"the secret")),
    ):
        try:
            call()
        except KeystoreError as error:
            traceback.print_exception(error, file=shown)
    assert shown.getvalue().count("Traceback") >= 4
    assert "the secret" not in shown.getvalue().replace('b"the secret"', "")
    assert "the passphrase" not in shown.getvalue().replace('"the passphrase"', "")
