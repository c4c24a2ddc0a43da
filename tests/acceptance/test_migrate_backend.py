"""`migrate-backend`: from one keystore into another, proved, and again where it stopped."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness import items
from harness.home import PASSPHRASE, M, Result, key_id
from harness.identities import age_identity
from strongroom import lock
from strongroom.cli import migrate_backend, moving
from strongroom.errors import KeystoreError
from strongroom.keystore import Item
from strongroom.keystore.file import FileKeystore

START_URL = "https://example.awsapps.com/start"


class Pair:
    """Two directories of items: ``a``, which is the home's own, and ``b``."""

    def __init__(self, home) -> None:
        self.home = home
        self.a, self.b = str(home.keys), str(home.path / "elsewhere" / "keys")
        self.flags = "--from", "file", "--to", f"file:{self.b}"

    def call(self, *argv):
        return self.home.call("migrate-backend", *self.flags, *argv)

    def there(self):
        return {name: items.read(self.b, name, PASSPHRASE) for name in items.names(self.b)}

    def put(self, name, access_key_id="AKIAOTHEROTHEROTHER2"):
        fields = {"AccessKeyID": access_key_id, "SecretAccessKey": f"secret+of/{name}"}
        items.write(self.b, name, fields, PASSPHRASE)


@pytest.fixture
def pair(home):
    """Keys of ``ci`` and ``jon`` in the first."""
    home.put_key("jon")
    home.put_key("ci")
    return Pair(home)


def summary(copied=0, overwritten=0, skipped=0, deleted=0, **more):
    lines = {"copied": copied, "overwritten": overwritten, "skipped": skipped, "deleted from source": deleted}
    lines |= {word.replace("_", " "): count for word, count in more.items()}
    return "\nMigration summary:\n" + "".join(f"  {word}: {count}\n" for word, count in lines.items())


def told(pair):
    """What is said on stderr at the end of a run."""
    settings = pair.home.path / "xdg-config" / "strongroom" / "config.toml"
    return f"strongroom: to use it from now on: AWS_VAULT_FILE_DIR={pair.b}; {settings} is for settings\n"


def test_a_dry_run(pair, monkeypatch):
    """The names; no secret is read, the destination is not opened, nothing is written."""
    monkeypatch.setattr(FileKeystore, "get", None)
    pair.flags = "--from", "file", "--to", "helper:missing"
    assert pair.call("--dry-run") == Result(
        0,
        "Would migrate 2 credential profile(s) from file to helper:missing:\n  ci\n  jon\n\nNo changes made.\n",
        "",
    )


def test_copying(pair):
    """Each name as it is worked on, one summary, and what to set; the items are the same, the source stays."""
    before = pair.home.items()
    assert pair.call() == Result(
        0,
        "Migrating ci... copied, verified\nMigrating jon... copied, verified\n" + summary(copied=2),
        told(pair),
    )
    assert pair.there() == pair.home.items() == before


def test_what_is_there_is_left_alone(pair):
    """With --delete-source, too, since it differs."""
    pair.put("jon")
    result = pair.call("--delete-source")
    assert result.stdout == (
        "Migrating ci... copied, verified, deleted source\n"
        "Migrating jon... skipped, already exists in destination\n" + summary(copied=1, skipped=1, deleted=1)
    )
    assert pair.there()["jon"]["AccessKeyID"] == "AKIAOTHEROTHEROTHER2"
    assert pair.home.item_names() == ["jon"]


def test_overwriting(pair):
    """If told so."""
    pair.put("jon")
    result = pair.call("--overwrite")
    assert result.stdout == (
        "Migrating ci... copied, verified\nMigrating jon... overwritten, verified\n" + summary(copied=1, overwritten=1)
    )
    assert pair.there() == pair.home.items()


def test_one_profile(pair):
    """Named; a wrong name is an error, and the nearest is suggested."""
    assert pair.call("--profile", "jon").stdout == "Migrating jon... copied, verified\n" + summary(copied=1)
    assert pair.call("--profile", "jn") == Result(
        1,
        "",
        'strongroom: error: migrate-backend: profile "jn" not found in source backend\n'
        "strongroom: hint: did you mean 'jon'?\n",
    )


def test_nothing_to_do(home):
    """Said."""
    pair = Pair(home)
    assert pair.call() == Result(0, "No credentials found in source backend file.\n", "")
    assert pair.call("--all") == Result(0, "No items found in source backend file.\n", "")


@pytest.mark.parametrize(
    ("source", "target"),
    [("file", "file"), ("file", "file:{a}"), ("file:{a}", "file:{a}/../keys"), ("helper:x", "helper:x")],
)
def test_one_and_the_same_store(pair, source, target):
    """Under whatever names."""
    argv = [text.format(a=pair.a) for text in ("--from", source, "--to", target)]
    result = pair.home.call("migrate-backend", *argv)
    message = "strongroom: error: migrate-backend: source and destination backends must differ\n"
    assert result == Result(1, "", message)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required flag(s) '--from', '--to' not provided"),
        (["--from", "file"], "required flag(s) '--to' not provided"),
        (["--from", "fil", "--to", "pass"], "--from: must be one of wincred, "),
        (["--from", "helper", "--to", "pass"], "--from: must be one of wincred, "),
        (["--from", "file", "--to", "kwallet:x"], "--to: 'kwallet' is not followed by a place, got 'kwallet:x'"),
        (["--from", "file", "--to", "pass:"], "--to: 'pass' is not followed by a place, got 'pass:'"),
    ],
)
def test_wrong_words(home, argv, message):
    """Status 2."""
    result = home.call("migrate-backend", *argv)
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith(f"strongroom: error: migrate-backend: {message}")


def test_stores_that_cannot_be_opened(pair):
    """Which of the two is said."""
    result = pair.home.call("migrate-backend", "--from", "helper:missing", "--to", "file")
    assert result.status == 1
    assert result.stderr.startswith('strongroom: error: migrate-backend: open source backend "helper:missing": ')
    result = pair.home.call("migrate-backend", "--from", "file", "--to", "helper:missing")
    assert result.status == 1
    assert result.stderr.startswith('strongroom: error: migrate-backend: open destination backend "helper:missing": ')


def test_a_copy_that_reads_differently(pair, monkeypatch):
    """Stops the run; what was done before stays done, and the original stays."""
    real = FileKeystore.set

    def set_wrongly(store, item):
        real(store, Item(item.key, b"{}") if item.key == "jon" else item)

    monkeypatch.setattr(FileKeystore, "set", set_wrongly)
    result = pair.call("--delete-source")
    reason = f"item 'jon' was stored in {pair.b}, and reads as something else"
    assert result == Result(
        1,
        "Migrating ci... copied, verified, deleted source\n"
        f"Migrating jon... failed: {reason}\nThe run stopped here; jon was kept in the source.\n",
        f"strongroom: error: migrate-backend: {reason}\n",
    )
    assert pair.home.item_names() == ["jon"]


def test_a_full_destination(pair, monkeypatch):
    """The same; the next run goes on."""
    with monkeypatch.context() as patch:

        def refuse(_store, _item):
            raise KeystoreError("no space left on device")

        patch.setattr(FileKeystore, "set", refuse)
        patch.setattr(moving, "FAILURES_IN_A_ROW", 2)
        result = pair.call("--delete-source")
    assert result == Result(
        1,
        "Migrating ci... failed: no space left on device\nMigrating jon... failed: no space left on device\n"
        "The run stopped here; jon was kept in the source.\n",
        "strongroom: error: migrate-backend: no space left on device\n",
    )
    assert pair.call("--delete-source").status == 0
    assert (pair.home.item_names(), sorted(pair.there())) == ([], ["ci", "jon"])


def test_a_damaged_item(pair):
    """Is named, and the others are copied; the status tells."""
    with open(pair.home.keys / "ci", "r+b") as file:
        file.truncate(50)
    result = pair.call("--delete-source")
    assert result.status == 1
    assert result.stdout.startswith("Migrating ci... failed: item 'ci' ")
    assert result.stdout.endswith(
        "\nMigrating jon... copied, verified, deleted source\n" + summary(copied=1, deleted=1, failed=1)
    )
    assert pair.home.item_names() == ["ci"]


def test_an_item_that_the_destination_refuses(pair, monkeypatch):
    """Is named and kept, and the others are copied: it may be its name, or its size."""
    real = FileKeystore.set

    def picky(store, item):
        if item.key == "ci":
            raise KeystoreError("cannot store item 'ci': it is too long")
        real(store, item)

    monkeypatch.setattr(FileKeystore, "set", picky)
    result = pair.call("--delete-source")
    assert (result.status, result.stdout) == (
        1,
        "Migrating ci... failed: cannot store item 'ci': it is too long\n"
        "Migrating jon... copied, verified, deleted source\n" + summary(copied=1, deleted=1, failed=1),
    )
    assert pair.home.item_names() == ["ci"]


def test_an_item_that_is_stored_there_meanwhile(pair, monkeypatch):
    """Is not overwritten: while a passphrase is asked for, another program may store a key."""
    real = FileKeystore.get

    def get(store, key):
        if store.location == pair.a and key == "jon":
            pair.put("jon")
        return real(store, key)

    monkeypatch.setattr(FileKeystore, "get", get)
    assert "Migrating jon... skipped, already exists in destination\n" in pair.call().stdout
    assert pair.there()["jon"]["AccessKeyID"] == "AKIAOTHEROTHEROTHER2"


def test_an_interrupted_run_is_completed(pair):
    """An original whose copy was made, but which was not removed yet, is removed once both are seen to be the same."""
    assert pair.call("--profile", "jon").status == 0
    result = pair.call("--delete-source")
    assert result.stdout == (
        "Migrating ci... copied, verified, deleted source\n"
        "Migrating jon... copied before, verified, deleted source\n" + summary(copied=1, deleted=2, copied_before=1)
    )
    assert (pair.home.item_names(), sorted(pair.there())) == ([], ["ci", "jon"])


def test_everything(pair):
    """Sessions, sign-ins, our own items; not what has expired. By age, so that a session stays younger than its key."""
    session = pair.home.put_session("sts.GetSessionToken", "jon", M)
    pair.home.put_session("sts.GetSessionToken", "ci", M, left=-60)
    items.write(pair.a, "session,jon,x,1400000000", {}, PASSPHRASE)
    items.write(pair.a, f"oidc:{START_URL}", {"Token": {}}, PASSPHRASE)
    items.write(str(pair.home.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE)
    for age, name in enumerate([f"oidc:{START_URL}", session, "jon", "ci"]):
        os.utime(os.path.join(pair.a, items.file_name(name)), (1_700_000_000 - age,) * 2)
    result = pair.call("--all", "--dry-run")
    blocks = result.stdout.splitlines()
    assert [line for line in blocks if not line.startswith("  ")] == [
        f"Would migrate 2 credential profile(s) from file to file:{pair.b}:",
        f"Would migrate 1 session(s) from file to file:{pair.b}:",
        f"Would migrate 1 sign-in(s) from file to file:{pair.b}:",
        f"Would migrate 1 item(s) of strongroom's own from file to file:{pair.b}:",
        "",
        "No changes made.",
    ]
    result = pair.call("--all", "--delete-source")
    lines = [line.partition(", until")[0].partition("...")[0] for line in result.stdout.splitlines()[:5]]
    assert lines == [
        "Migrating ci",
        "Migrating jon",
        "Migrating session of jon",
        f"Migrating sign-in to {START_URL}",
        f"Migrating totp of {M}",
    ]
    assert result.stdout.endswith(summary(copied=5, deleted=5))
    assert sorted(pair.there()) == sorted(["ci", "jon", session, f"oidc:{START_URL}"])
    assert items.names(str(pair.home.path / "elsewhere" / "strongroom")) == [f"totp:{M}"]
    assert len(pair.home.item_names()) == 2


def test_everything_of_one_profile(pair):
    """Its key and sessions."""
    session = pair.home.put_session("sts.GetSessionToken", "jon", M)
    assert pair.call("--all", "--profile", "jon").status == 0
    assert sorted(pair.there()) == sorted(["jon", session])


def test_two_directories_side_by_side(pair):
    """They share what only strongroom understands, so that stays, and is not removed either."""
    own = str(pair.home.path / "strongroom")
    items.write(own, f"totp:{M}", {"seed": "S"}, PASSPHRASE)
    pair.b = str(pair.home.path / "other-keys")
    pair.flags = "--from", "file", "--to", f"file:{pair.b}"
    assert pair.call("--all", "--delete-source").status == 0
    assert (items.names(own), sorted(pair.there())) == ([f"totp:{M}"], ["ci", "jon"])


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_one_store_under_two_names_that_nobody_can_tell(pair, monkeypatch):
    """Removing the original removed the copy: it is put back, and the run stops."""
    os.makedirs(os.path.dirname(pair.b))
    os.symlink(pair.a, pair.b)
    monkeypatch.setattr(migrate_backend.places.Place, "is_same", lambda *_: False)
    result = pair.call("--delete-source")
    assert result.status == 1
    assert "must differ, and these are one store" in result.stdout
    assert pair.home.item_names() == ["ci", "jon"]


def test_a_key_that_is_being_rotated(pair, monkeypatch):
    """Is not touched; and one whose rotation stopped half-way is not taken from where it would be completed."""
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0)
    with lock.hold(str(pair.home.path / "run" / "strongroom"), f"rotation of {key_id('ci')}", command="rotate ci"):
        result = pair.call()
    assert (result.status, pair.there()) == (1, {})
    message = f"the key of ci is being changed by process {os.getpid()} (rotate ci)"
    assert result.stderr == f"strongroom: error: migrate-backend: {message}\nstrongroom: hint: wait for it\n"
    items.write(str(pair.home.path / "strongroom"), "rotation:jon", {}, PASSPHRASE)
    result = pair.call("--delete-source")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("strongroom: error: migrate-backend: a rotation of 'jon' stopped half-way\n")
    assert pair.call("--delete-source", "--all").status == 0
    assert items.names(str(pair.home.path / "elsewhere" / "strongroom")) == ["rotation:jon"]


def test_what_to_set_for_another_kind_of_store(pair):
    """Its name; nothing if it is the one in use already."""
    assert pair.call().status == 0
    shutil.rmtree(pair.a)
    pair.flags = "--from", f"file:{pair.b}", "--to", "file"
    assert pair.call() == Result(
        0, "Migrating ci... copied, verified\nMigrating jon... copied, verified\n" + summary(copied=2), ""
    )
    pair.flags = "--from", "file", "--to", f"file:{pair.b}"
    env = {"AWS_VAULT_FILE_DIR": None, "AWS_VAULT_BACKEND": None}
    argv = ["migrate-backend", "--from", f"file:{pair.a}", "--to", f"file:{pair.b}"]
    result = pair.home.call(*argv, "--backend", "age", env=env)
    assert f'to use it from now on: backend = "file" and file_dir = "{pair.b}"; ' in result.stderr
    argv[-1] = f"file:{os.path.relpath(pair.b)}"
    assert f'file_dir = "{pair.b}"; ' in pair.home.call(*argv, "--backend", "age", env=env).stderr


def test_what_is_no_key_is_moved_all_the_same(pair):
    """What aws-vault takes for a key is one item more; what was noticed about the stores is said once."""
    items.write(pair.a, "odd", {}, PASSPHRASE)
    if sys.platform != "win32":
        os.chmod(pair.a, 0o755)
    result = pair.call("--profile", "odd")
    assert result.stdout == "Migrating odd... copied, verified\n" + summary(copied=1)
    assert result.stderr.count("warning: ") == (sys.platform != "win32")


def test_a_name_with_a_line_break(pair):
    """Moves no cursor."""
    pair.home.put_key("two\nlines")
    result = pair.call("--dry-run")
    assert '  "two\\nlines"\n' in result.stdout


# Other kinds of stores


@pytest.fixture
def gnupg():
    """A GnuPG with one key for encryption: (the variables that lead to it, its fingerprint)."""
    home = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))  # pytest's own names are too long for the agent's socket
    environ = {"GNUPGHOME": str(home)}
    argv = ["gpg", "--batch", "--quiet", "--passphrase", ""]
    run = {"env": {"PATH": os.environ["PATH"]} | environ, "check": True, "capture_output": True, "text": True}
    (home / "gpg-agent.conf").write_text("s2k-count 65536\n")
    subprocess.run([*argv, "--quick-generate-key", "t <t@example.invalid>", "ed25519", "sign", "never"], **run)
    listed = subprocess.run(["gpg", "--list-keys", "--with-colons"], **run).stdout
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    subprocess.run([*argv, "--quick-add-key", fingerprint, "cv25519", "encr", "never"], **run)
    yield environ, fingerprint
    subprocess.run(["gpgconf", "--kill", "gpg-agent"], **run)
    shutil.rmtree(home)


@pytest.mark.skipif(not (shutil.which("pass") and shutil.which("gpg")), reason="pass or gpg is not installed")
def test_file_to_pass(home, gnupg):
    """All outcomes in turn, with the real program; and back again."""
    environ, fingerprint = gnupg
    home.environ |= environ
    home.put_key("jon")
    before = home.items()
    store = home.path / "store"
    store.mkdir()
    (store / ".gpg-id").write_text(f"{fingerprint}\n")
    argv = ["migrate-backend", "--from", "file", "--to", f"pass:{store}", "--pass-prefix", "aws"]
    assert home.call(*argv, "--dry-run").stdout == (
        f"Would migrate 1 credential profile(s) from file to pass:{store}:\n  jon\n\nNo changes made.\n"
    )
    assert os.listdir(store) == [".gpg-id"]
    for flags, outcome, counts in (
        ([], "copied, verified", {"copied": 1}),
        ([], "skipped, already exists in destination", {"skipped": 1}),
        (["--overwrite", "--delete-source"], "overwritten, verified, deleted source", {"overwritten": 1, "deleted": 1}),
    ):
        assert home.call(*argv, *flags).stdout == f"Migrating jon... {outcome}\n" + summary(**counts)
    assert (home.item_names(), os.listdir(store / "aws")) == ([], ["jon.gpg"])
    back = ["migrate-backend", "--from", f"pass:{store}", "--to", "file", "--pass-prefix", "aws"]
    assert home.call(*back).status == 0
    assert home.items() == before


def test_file_to_age(pair):
    """Files of another kind, whose directory is named; what only strongroom understands goes along."""
    identity = pair.home.path / "identity"
    age_identity(identity)
    identity.chmod(0o600)
    items.write(str(pair.home.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE)
    before = pair.home.items()
    there = f"age:{pair.home.path}/age/items"
    flags = ["--all", "--age-identity", str(identity)]
    assert pair.home.call("migrate-backend", "--from", "file", "--to", there, "--delete-source", *flags).status == 0
    assert pair.home.items() == {}
    shutil.rmtree(pair.a)
    assert pair.home.call("migrate-backend", "--from", there, "--to", "file", *flags).status == 0
    assert pair.home.items() == before
    assert items.names(str(pair.home.path / "strongroom")) == [f"totp:{M}"]
