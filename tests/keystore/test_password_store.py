import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("neither program runs on Windows", allow_module_level=True)

import fcntl

from contracts.keystore import KeystoreContract, SharedKeystoreContract
from harness.gpg import Gpg
from harness.identities import age_identity
from harness.programs import PROGRAMS
from strongroom.errors import (
    ConfigError,
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
)
from strongroom.keystore import Item, password_store

needs_pass = pytest.mark.skipif(
    not (shutil.which("pass") and shutil.which("gpg")), reason="pass or gpg is not installed"
)
needs_age = pytest.mark.skipif(not shutil.which("age"), reason="age is not installed")

ITEM = Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)


@pytest.fixture(scope="module")
def gpg():
    with contextlib.closing(Gpg()) as made:
        yield made


@pytest.fixture
def pass_store(tmp_path, gpg):
    """A store of pass's: its settings."""
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / ".gpg-id").write_text(f"{gpg.fingerprint}\n")
    return {
        "backend": "pass",
        "pass_dir": os.fspath(directory),
        "pass_prefix": "aws-vault",
        "program_environment": gpg.environ,
    }


@pytest.fixture
def passage_store(tmp_path):
    """A store of passage's: its settings."""
    age_identity(tmp_path / "identities")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "passage").symlink_to(PROGRAMS / "passage")
    environ = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "HOME": os.fspath(tmp_path),
        "PASSAGE_DIR": os.fspath(tmp_path / "passage"),
        "PASSAGE_IDENTITIES_FILE": os.fspath(tmp_path / "identities"),
        "PASSAGE_LOG": os.fspath(tmp_path / "log"),
    }
    return {"backend": "passage", "pass_prefix": "aws-vault", "program_environment": environ}


def opened(settings, **more):
    return password_store.open(settings | more, None)


def opening_of(settings):
    return f"from strongroom.keystore import password_store\nstore = password_store.open({settings!r}, None)"


@needs_pass
class TestPass(SharedKeystoreContract):
    @pytest.fixture
    def store(self, pass_store):
        return opened(pass_store)

    @pytest.fixture
    def opening(self, pass_store):
        return opening_of(pass_store)


@needs_age
class TestPassage(SharedKeystoreContract):
    @pytest.fixture
    def store(self, passage_store):
        return opened(passage_store)

    @pytest.fixture
    def opening(self, passage_store):
        return opening_of(passage_store)


@needs_pass
def test_with_pass_itself(pass_store, gpg):
    """It shows what we stored, byte for byte, and what it stored we read."""
    environ = gpg.environ | {"PASSWORD_STORE_DIR": pass_store["pass_dir"]}
    store = opened(pass_store)
    store.set(ITEM)
    shown = subprocess.run(["pass", "show", "aws-vault/jon"], env=environ, check=True, capture_output=True).stdout
    assert shown == ITEM.to_json()
    other = Item("oidc:https://corp.example/start", b"token")
    argv = ["pass", "insert", "-m", "-f", "aws-vault/oidc:https:/corp.example/start"]
    subprocess.run(argv, env=environ, check=True, capture_output=True, input=other.to_json())
    assert store.listing().keys() == {"jon", "oidc:https://corp.example/start"}
    assert store.get("oidc:https://corp.example/start") == other
    store.remove("oidc:https://corp.example/start")
    assert store.listing().keys() == {"jon"}


@needs_pass
def test_a_question_of_gpgs(pass_store):
    """Answered, dismissed, or answered wrongly; to write, nobody is asked."""
    with contextlib.closing(Gpg("pass")) as gpg:
        (Path(pass_store["pass_dir"]) / ".gpg-id").write_text(f"{gpg.fingerprint}\n")
        store = opened(pass_store, program_environment=gpg.environ)
        gpg.answer("")
        store.set(ITEM)
        with pytest.raises(PromptDismissed) as caught:
            store.get("jon")
        where = store.location
        told = f"cannot read item 'jon' in {where}: gpg's question was dismissed, or not answered rightly"
        assert caught.value.message == told
        gpg.answer("pass")
        assert store.get("jon") == ITEM
        shutil.rmtree(gpg.home / "private-keys-v1.d")
        gpg.end()
        with pytest.raises(KeystoreLocked) as caught:
            store.get("jon")
        told = "its secret key is not here, or gpg cannot ask for its passphrase"
        assert caught.value.message == f"cannot read item 'jon' in {where}: {told}"


@needs_pass
def test_a_broken_entry_of_pass(pass_store):
    """Cut short, empty, or something else: damaged, and its neighbours are not."""
    store = opened(pass_store)
    store.set(ITEM)
    path = Path(store.location) / "jon.gpg"
    whole = path.read_bytes()
    for content in (whole[:-20], whole[: len(whole) // 2], whole[:10], b"junk", b""):
        path.write_bytes(content)
        with pytest.raises(ItemDamaged) as caught:
            store.get("jon")
        assert caught.value.key == "jon"


@needs_pass
def test_no_store_of_pass(pass_store, tmp_path):
    """Says how one begins; an empty directory is none, and nothing is made in vain."""
    store = opened(pass_store, pass_dir=os.fspath(tmp_path / "none"))
    assert store.listing() == {}
    for told in ("there is no password store in", "cannot store item 'jon' in"):
        with pytest.raises(KeystoreError) as caught:
            store.set(ITEM)
        assert caught.value.message.startswith(told)
        assert caught.value.hint == "pass init GPG-ID"
        (tmp_path / "none").mkdir(exist_ok=True)


@needs_age
def test_the_words_of_the_program(passage_store, tmp_path):
    """Those of aws-vault, with the prefix; the store by its variable."""
    store = opened(passage_store)
    store.set(ITEM)
    store.get("jon")
    store.remove("jon")
    words = "insert -m -f aws-vault/jon\nshow aws-vault/jon\nrm -f aws-vault/jon\n"
    assert (tmp_path / "log").read_text() == words
    assert store.location == os.fspath(tmp_path / "passage" / "aws-vault")


@needs_age
def test_listing_starts_no_program(passage_store, tmp_path):
    """Nor does asking for what is not there."""
    store = opened(passage_store)
    store.set(ITEM)
    (tmp_path / "log").unlink()
    assert store.listing().keys() == {"jon"}
    with pytest.raises(ItemNotFound):
        store.get("kim")
    with pytest.raises(ItemNotFound):
        store.remove("kim")
    assert not (tmp_path / "log").exists()


@needs_age
def test_broken_entries_of_passage(passage_store, tmp_path):
    """Damaged; or locked, if the identity is another's, or missing."""
    store = opened(passage_store)
    store.set(ITEM)
    path = Path(store.location) / "jon.age"
    whole = path.read_bytes()
    for content in (whole[:-3], whole[:30], b"junk", b""):
        path.write_bytes(content)
        with pytest.raises(ItemDamaged):
            store.get("jon")
    path.write_bytes(whole)
    age_identity(tmp_path / "identities")
    with pytest.raises(KeystoreLocked) as caught:
        store.get("jon")
    assert caught.value.message == f"cannot read item 'jon' in {store.location}: its identity is not here"
    (tmp_path / "identities").unlink()
    with pytest.raises(KeystoreLocked):
        store.get("jon")
    with path.open("wb") as file:
        file.truncate(password_store.LIMIT_BYTES + 1)
    with pytest.raises(ItemDamaged, match="no item is larger than 4194304"):
        store.get("jon")


@needs_age
def test_an_item_under_another_name(passage_store):
    """Whoever renames entries does not swap profiles."""
    store = opened(passage_store)
    store.set(ITEM)
    os.rename(os.path.join(store.location, "jon.age"), os.path.join(store.location, "kim.age"))
    with pytest.raises(ItemDamaged) as caught:
        store.get("kim")
    assert caught.value.message == "item 'kim' is damaged: it holds the item 'jon'"


@needs_age
def test_other_spellings_of_a_name(passage_store):
    """What aws-vault wrote as it is, or somebody by hand, is read, written and removed."""
    store = opened(passage_store)
    item = Item(".hidden", b"data")
    store.set(item)
    os.rename(os.path.join(store.location, "%2Ehidden.age"), os.path.join(store.location, ".hidden.age"))
    assert (store.listing().keys(), store.get(".hidden")) == ({".hidden"}, item)
    store.set(Item(".hidden", b"new"))
    assert (os.listdir(store.location), store.get(".hidden").data) == ([".hidden.age"], b"new")
    shutil.copy(os.path.join(store.location, ".hidden.age"), os.path.join(store.location, "%2Ehidden.age"))
    assert store.listing().keys() == {".hidden"}
    store.remove(".hidden")
    assert store.listing() == {}


@needs_age
def test_a_prefix(passage_store, tmp_path):
    """What lies outside is not shown, whatever the name; what leads out of the store is refused."""
    store = opened(passage_store, pass_prefix="/work//aws/")
    store.set(Item("../../jon", b"data"))
    opened(passage_store, pass_prefix="work/other").set(ITEM)
    assert store.listing().keys() == {"../../jon"}
    assert os.listdir(tmp_path / "passage" / "work" / "aws") == ["%2E."]
    with pytest.raises(ConfigError) as caught:
        opened(passage_store, pass_prefix="a/../../b")
    assert caught.value.message == "pass_prefix 'a/../../b' leads out of the password store"


@needs_age
def test_a_prefix_like_an_option(passage_store, tmp_path):
    """Is none."""
    store = opened(passage_store, pass_prefix="-rf")
    store.set(ITEM)
    assert store.get("jon") == ITEM
    store.remove("jon")
    assert (tmp_path / "log").read_text().splitlines()[0] == "insert -m -f ./-rf/jon"


@needs_age
def test_the_second_collection(passage_store):
    """Lies beside the prefix, where aws-vault does not look."""
    store = opened(passage_store, pass_prefix="work/aws")
    own = store.beside("strongroom")
    own.set(ITEM)
    assert (store.listing(), own.listing().keys()) == ({}, {"jon"})
    assert own.location.endswith("/work/strongroom")
    assert opened(passage_store, pass_prefix="strongroom").beside("strongroom").location.endswith("/strongroom-own")


@pytest.fixture
def shared(passage_store, tmp_path):
    """A store without a prefix, in which its owner keeps passwords."""
    (tmp_path / "passage").mkdir()
    public = age_identity(tmp_path / "identities")
    for name in ("gmail", "work"):
        argv = ["age", "-r", public, "-o", tmp_path / "passage" / f"{name}.age"]
        subprocess.run(argv, input=b"hunter2\n", check=True)
    return passage_store | {"pass_prefix": None}


@needs_age
class TestWithoutPrefix(KeystoreContract):
    """A store that is its owner's passes too: what strongroom stored it knows again."""

    @pytest.fixture
    def store(self, shared):
        return opened(shared)


@needs_age
def test_passwords_are_not_shown(shared, tmp_path):
    """Shown is what has the name of a session, a token or a profile; and what strongroom stored, in any run."""
    aws_vault = opened(shared, pass_prefix="", profile_names=["jon"])
    for key in ("jon", "sts.AssumeRole,am9u,,1795315097", "oidc:https://corp.example/start", "lee"):
        path = tmp_path / "passage" / f"{key.replace('//', '/')}.age"
        path.parent.mkdir(parents=True, exist_ok=True)
        argv = ["age", "-e", "-i", tmp_path / "identities", "-o", path]
        subprocess.run(argv, input=Item(key, b"data").to_json(), check=True)
    ours = {"jon", "sts.AssumeRole,am9u,,1795315097", "oidc:https://corp.example/start"}
    assert aws_vault.listing().keys() == ours
    opened(shared).set(Item("kim", b"data"))
    assert opened(shared, profile_names=lambda: ["jon", "nobody"]).listing().keys() == ours | {"kim"}
    assert aws_vault.get("lee").data == b"data"


@needs_age
def test_passwords_stay(shared, tmp_path):
    """One that is called like a profile is neither replaced nor removed."""
    store = opened(shared, profile_names=["work"])
    before = (tmp_path / "passage" / "work.age").read_bytes()
    for act in (lambda: store.set(Item("work", b"data")), lambda: store.remove("work")):
        with pytest.raises(KeystoreError) as caught:
            act()
        assert caught.value.message == f"entry 'work' of {tmp_path / 'passage'} is not an item: it stays"
        assert caught.value.hint == "set pass_prefix to a folder for strongroom alone"
    assert (tmp_path / "passage" / "work.age").read_bytes() == before


@needs_age
def test_an_item_of_aws_vaults_is_replaced(shared, tmp_path):
    """After a look at it."""
    argv = ["age", "-e", "-i", tmp_path / "identities", "-o", tmp_path / "passage" / "lee.age"]
    subprocess.run(argv, input=Item("lee", b"data").to_json(), check=True)
    store = opened(shared)
    store.set(Item("lee", b"new"))
    assert (store.get("lee").data, store.listing().keys()) == (b"new", {"lee"})
    store.remove("lee")
    assert store.listing() == {}


@needs_age
def test_places(passage_store, tmp_path):
    """The setting, else the program's variable, else its default; ``~/`` is the home directory."""
    environ = dict(passage_store["program_environment"])
    del environ["PASSAGE_DIR"]
    home = os.fspath(tmp_path)

    def place(**more):
        return opened(passage_store | {"program_environment": environ, "pass_prefix": ""} | more).location

    assert place() == f"{home}/.passage/store"
    assert place(pass_dir="~/x") == f"{home}/x"
    assert place(program_environment=environ | {"PASSAGE_DIR": "/y/"}) == "/y"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "the program 'pass' is not on the path"),
        ({"backend": "passage"}, "the program 'passage' is not on the path"),
        ({"pass_cmd": "gopass"}, "the program 'gopass' is not on the path"),
    ],
)
def test_a_program_that_is_not_there(settings, message, tmp_path):
    """The store does not exist on this machine."""
    with pytest.raises(KeystoreUnavailable) as caught:
        opened({"program_environment": {"PATH": os.fspath(tmp_path)}} | settings)
    assert caught.value.message == message


@pytest.fixture
def odd(tmp_path):
    """Open a store whose program is this script: ``odd("exit 0")``."""

    def odd(script, **more):
        path = tmp_path / "odd"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": os.fspath(tmp_path)}
        settings = {"backend": "passage", "pass_cmd": "odd", "pass_prefix": "p", "program_environment": environ}
        return opened(settings | more)

    return odd


def entry_of(store, name="jon.age"):
    path = Path(store.location) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x")
    return path


def test_a_program_that_does_nothing(odd):
    """Is found out: some versions end with 0 whatever happens."""
    store = odd("cat >/dev/null")
    with pytest.raises(KeystoreError) as caught:
        store.set(ITEM)
    assert caught.value.message == f"cannot store item 'jon' in {store.location}: passage did not"
    entry_of(store)
    with pytest.raises(KeystoreError) as caught:
        store.remove("jon")
    assert caught.value.message == f"cannot remove item 'jon' in {store.location}: passage did not"


def test_a_program_that_does_not_end(odd):
    """Is ended."""
    store = odd("sleep 60", pass_timeout=0.2)
    entry_of(store)
    with pytest.raises(KeystoreError) as caught:
        store.get("jon")
    assert caught.value.message == "odd: no answer within 0.2 seconds"


def test_half_an_entry_is_read_again(odd, tmp_path):
    """When the writer is done."""
    (tmp_path / "item").write_bytes(ITEM.to_json())
    store = odd(f"if [ -e {tmp_path}/seen ]; then cat {tmp_path}/item; else touch {tmp_path}/seen; echo '{{'; fi")
    entry_of(store)
    assert store.get("jon") == ITEM


def test_an_entry_that_goes_meanwhile(odd, tmp_path):
    """Is not there."""
    store = odd(f"rm {tmp_path}/.passage/store/p/jon.age; echo '{{'")
    entry_of(store)
    with pytest.raises(ItemNotFound):
        store.get("jon")


def test_an_entry_that_moves_meanwhile(odd, tmp_path):
    """Is as damaged as it was."""
    there = f"{tmp_path}/.passage/store/p"
    store = odd(f"mv {there}/jon.age {there}/%6Aon.age; echo '{{'")
    entry_of(store)
    with pytest.raises(ItemDamaged):
        store.get("jon")


def test_an_entry_that_is_removed_by_another(odd, monkeypatch):
    """While this one waited for its turn."""
    store = odd("exit 1")
    path = entry_of(store)
    turn = type(store)._turn

    def late(store, **more):
        path.unlink()
        return turn(store, **more)

    monkeypatch.setattr(type(store), "_turn", late)
    with pytest.raises(ItemNotFound):
        store.remove("jon")


def test_another_writer_that_does_not_end(odd, tmp_path):
    """Is not waited for for ever."""
    store = odd("exit 0", pass_timeout=0.1)
    directory = tmp_path / ".passage" / "store"
    directory.mkdir(parents=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        with pytest.raises(KeystoreError) as caught:
            store.set(ITEM)
    finally:
        os.close(descriptor)
    assert caught.value.message == f"another process writes to {directory} for too long"


def test_a_directory_that_goes_while_one_waits(odd, tmp_path, monkeypatch):
    """passage removes an empty one; whoever waited for it takes the new one."""
    store = odd('mkdir -p "$PASSAGE_DIR/p"; cat > "$PASSAGE_DIR/p/jon.age"')
    directory = tmp_path / ".passage" / "store"
    real, made = fcntl.flock, []

    def flock(descriptor, kind):
        if len(made) < 2:
            made.append(descriptor)
            directory.rmdir()
            if len(made) == 2:
                directory.mkdir()
        real(descriptor, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    store.set(ITEM)
    assert (Path(store.location) / "jon.age").read_bytes() == ITEM.to_json()


def test_refusals_of_the_system(odd, tmp_path, monkeypatch):
    """Are told with the place."""
    store = odd("exit 0")
    (tmp_path / ".passage").write_text("")
    with pytest.raises(KeystoreError) as caught:
        store.set(ITEM)
    assert caught.value.message == f"cannot list {store.location}: not a directory"
    monkeypatch.setattr(type(store), "_place", lambda store, key, entry: entry)
    with pytest.raises(KeystoreError) as caught:
        store.set(ITEM)
    assert caught.value.message == f"cannot make {tmp_path / '.passage' / 'store'}: file exists"


def test_names_that_no_entry_can_have(odd):
    """Are refused when they are stored, and not there when they are asked for."""
    store = odd("exit 0")
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("", b"data"))
    assert caught.value.message == f"cannot store item '' in {store.location}: it has no name"
    with pytest.raises(ItemNotFound):
        store.get("")


def test_what_is_in_an_items_place(odd):
    """A directory, say; it stays."""
    store = odd("exit 0")
    os.makedirs(os.path.join(store.location, "jon.age"))
    with pytest.raises(KeystoreError) as caught:
        store.set(ITEM)
    assert caught.value.message == f"cannot store item 'jon': {store.location}/jon.age is something else"


def test_folders_that_are_not_looked_into(odd):
    """What Git and the program's extensions keep there."""
    store = odd("exit 0")
    entry_of(store)
    entry_of(store, ".git/x.age")
    entry_of(store, ".extensions/x.age")
    entry_of(store, "notes.txt")
    (Path(store.location) / "dangling.age").symlink_to("nowhere")
    assert store.listing().keys() == {"jon"}


def test_an_entry_that_goes_as_it_is_listed(odd, monkeypatch):
    """Is not in the listing."""
    store = odd("exit 0")
    path = entry_of(store)
    real = os.path.isfile
    monkeypatch.setattr(os.path, "isfile", lambda name: real(name) and (name != os.fspath(path) or not path.unlink()))
    assert store.listing() == {}
