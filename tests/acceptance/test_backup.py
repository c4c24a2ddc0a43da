"""`backup` and `restore`: a vault that survives its laptop."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pyrage
import pytest

from harness import age, items
from harness.home import PASSPHRASE, M, Result, decode
from strongroom.backup import MAIN, Archive, Entry, envelope
from strongroom.cli import passphrase
from strongroom.keystore import Item

OTHER_ID = "AKIAOTHEROTHEROTHER2"
needs_age = pytest.mark.skipif(not shutil.which("age"), reason="age is not installed")
needs_ssh = pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="ssh-keygen is not installed")


@pytest.fixture
def typed(monkeypatch):
    """What is typed when a passphrase is asked for; the questions go to ``typed.asked``."""

    class Typed(list):
        pass

    typed = Typed()
    typed.asked = []

    def ask(_settings, message, *, confirm=False, **_):
        typed.asked.append((message, confirm))
        return typed.pop(0)

    monkeypatch.setattr(passphrase, "ask", ask)
    monkeypatch.setattr(envelope, "seal_by_passphrase", age.seal_by_passphrase)
    return typed


@pytest.fixture
def key(home):
    """A file of age-keygen's: (its path, its public key)."""
    identity = pyrage.x25519.Identity.generate()
    path = home.path / "key.txt"
    path.write_text(f"# created: today\n{identity}\n")
    path.chmod(0o600)
    return str(path), str(identity.to_public())


@pytest.fixture
def vault(c1):
    """Two keys, a session, and a seed, with the path for a backup."""
    c1.put_key("team/dev 100%")
    c1.put_session("sts.GetSessionToken", "jon", M)
    items.write(str(c1.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE, "a seed")
    return c1


@pytest.fixture
def path(home):
    return str(home.work / "vault.age")


def everything(home, directory=None):
    """What is in both collections of a file keystore."""
    directory = str(directory or home.keys)
    own = os.path.join(os.path.dirname(directory), "strongroom")
    return [{name: items.read(place, name, PASSPHRASE) for name in items.names(place)} for place in (directory, own)]


def lines(result):
    """What `restore` shows of each item, with single blanks."""
    return [" ".join(line.split()) for line in result.stdout.splitlines() if line.startswith("   ")]


def refused(result, *, status=1):
    """The one line of error, and the hint."""
    assert (result.status, result.stdout) == (status, "")
    told = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in told] in (["error"], ["error", "hint"])
    return told[0].partition(": error: ")[2].removesuffix(", try --help")


# backup


def test_under_a_passphrase(vault, typed, path):
    """Asked for twice; one file, which nobody else may read; what is in it is said."""
    typed += ["a long one"]
    assert vault.call("backup", path) == Result(
        0, f"Backed up 2 keys, 1 session, 1 item of strongroom's own to {path}.\n", ""
    )
    assert typed.asked == [(f'Enter a new passphrase for "{path}": ', True)]
    if sys.platform != "win32":
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert os.listdir(vault.work) == ["vault.age"]
    typed += ["a long one"]
    result = vault.call("backup", "--verify", path)
    assert result.stdout.startswith(f"{path} is whole: 2 keys, 1 session, 1 item of strongroom's own, of file (")
    assert (result.status, result.stderr) == (0, "")


def test_keys_only(vault, key, path):
    """What could not be had again."""
    result = vault.call("backup", "--keys-only", "-r", key[1], path)
    assert result.stdout == f"Backed up 2 keys, 1 item of strongroom's own to {path}.\n"


def test_a_file_that_is_there(vault, key, path):
    """Not replaced unless told so, and never if it is something else."""
    argv = ["backup", "-r", key[1], path]
    assert vault.call(*argv).status == 0
    os.chmod(path, 0o644)
    assert refused(vault.call(*argv)) == f"backup: {path} is there already"
    assert vault.call(*argv, "--force").status == 0
    if sys.platform != "win32":
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    mine = vault.work / "mine.txt"
    mine.write_text("mine")
    assert refused(vault.call("backup", "-f", "-r", key[1], str(mine))) == f"backup: {mine} is there, and is no backup"
    assert mine.read_text() == "mine"
    where = str(vault.work / "no" / "vault.age")
    assert (
        refused(vault.call("backup", "-r", key[1], where))
        == f"backup: cannot write {where}: its directory does not exist"
    )
    assert refused(vault.call("backup", "-f", "-r", key[1], os.devnull)) == (
        f"backup: cannot write {os.devnull}: it is there, and is not a file"
    )


def test_a_file_that_comes_while_the_passphrase_is_typed(vault, typed, path, monkeypatch):
    """Stays."""

    def ask(*_, **__):
        with open(path, "w") as file:
            file.write("mine")
        return "a long one"

    monkeypatch.setattr(passphrase, "ask", ask)
    assert refused(vault.call("backup", path)) == f"backup: {path} is there already"
    with open(path) as file:
        assert file.read() == "mine"


def test_a_damaged_item(vault, key, path):
    """It is named; the rest is saved; the status tells."""
    with open(vault.keys / "jon", "r+b") as file:
        file.truncate(50)
    result = vault.call("backup", "-r", key[1], path)
    assert result == Result(
        1,
        f"Backed up 1 key, 1 session, 1 item of strongroom's own to {path}.\n",
        "strongroom: warning: item 'jon' is damaged, and is not in the backup\n",
    )
    result = vault.call("backup", "--verify", "-i", key[0], path)
    assert result.stderr == "strongroom: warning: item 'jon' was damaged when it was made, and is not in it\n"


def test_nothing_to_back_up(home, key, path):
    """An empty vault, perhaps the wrong one, does not replace a good backup."""
    assert refused(home.call("backup", "-r", key[1], path)) == f"backup: there is nothing to back up in {home.keys}"
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([""], "required argument 'file' not provided"),
        (["-r", "age1nobody", "F"], "--recipient: what is given is no recipient 'age1nobody'"),
        (["-r", "AGE-SECRET-KEY-1X", "F"], "--recipient: what is given is no recipient"),
        (["-r", "age1x", "-p", "F"], "--recipient: what is given is no recipient 'age1x'"),
        (["--verify", "-f", "F"], "--verify writes nothing, so --force says nothing"),
        (["-i", "key", "F"], "--identity is for --verify and for `restore`: a backup is encrypted for a --recipient"),
    ],
)
def test_wrong_words(vault, argv, message):
    """Said before anything is asked or written; a private key in the wrong place is not repeated."""
    assert refused(vault.call("backup", *argv), status=2) == f"backup: {message}"


def test_recipients_and_a_passphrase(vault, key, path):
    """age knows no such file."""
    message = refused(vault.call("backup", "-p", "-r", key[1], path), status=2)
    assert message == "backup: a backup is encrypted for recipients or under a passphrase, not both"


def test_a_file_of_recipients(vault, key, path):
    """With comments; one that names nobody, or is not there, is refused."""
    file = vault.work / "team.txt"
    file.write_text(f"# the team\n{pyrage.x25519.Identity.generate().to_public()}\n\n{key[1]}\n")
    assert vault.call("backup", "-R", str(file), path).status == 0
    assert vault.call("backup", "--verify", "-i", key[0], path).status == 0
    file.write_text("# nobody\n")
    message = refused(vault.call("backup", "-f", "-R", str(file), path), status=2)
    assert message == f"backup: --recipients-file {str(file)!r} names nobody"
    file.unlink()
    message = refused(vault.call("backup", "-f", "-R", str(file), path))
    assert message == f"backup: cannot read --recipients-file {str(file)!r}: no such file or directory"


# restore


def test_onto_another_machine(vault, key, path):
    """Identical items, in both collections; a second time there is nothing to do."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    before = everything(vault)
    there = vault.path / "there" / "keys"
    env = {"AWS_VAULT_FILE_DIR": str(there)}
    result = vault.call("restore", "-y", "-i", key[0], path, env=env)
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.endswith("Restored 4 items.\n")
    assert {line.split()[-1] for line in lines(result)} == {"new"}
    assert everything(vault, there) == before
    assert sorted(os.listdir(there)) == sorted(os.listdir(vault.keys))
    result = vault.call("restore", "-i", key[0], path, env=env)
    assert (result.status, result.stdout.splitlines()[-1]) == (0, "There is nothing to restore.")


def test_what_differs(vault, typed, path):
    """Shown first, in words; what is replaced can be had back."""
    typed += ["p", "p", "p"]
    assert vault.call("backup", path).status == 0
    vault.put_key("jon", OTHER_ID)
    vault.put_key("ann")
    (vault.keys / "team%2Fdev 100%25").unlink()
    changed = everything(vault)
    result = vault.call("restore", "--dry-run", path)
    assert (result.status, result.stderr) == (0, "")
    [session] = [line for line in lines(result) if line.startswith("session")]
    assert session.startswith('session "jon", until 20')
    assert session.endswith("Z the same")
    assert [line for line in lines(result) if line != session] == [
        'key "jon" differs: the one that is there is replaced, and a copy of it kept '
        "(****************HER2 by ****************XJON)",
        'key "team/dev 100%" new',
        f'totp "{M}" the same',
    ]
    assert everything(vault) == changed
    result = vault.call("restore", "-y", path)
    assert result.stdout.endswith("Restored 2 items.\n")
    after = vault.items()
    assert after["jon"]["AccessKeyID"] != OTHER_ID
    assert set(after) == {*changed[0], "team/dev 100%"}  # and what is not in the backup stays
    [copy] = vault.path.rglob("replaced-*.age")
    assert result.stderr == f"strongroom: what is replaced is kept in {copy}: `strongroom restore` takes it back\n"
    typed += ["p"]
    assert vault.call("restore", "-y", str(copy)).status == 0
    assert vault.items()["jon"]["AccessKeyID"] == OTHER_ID
    assert len(list(copy.parent.iterdir())) == 2


def test_sessions_of_a_key_that_is_replaced(c1, key, path):
    """They go, those of its roles too: aws-vault's do not say which key they were made from. Those of the backup stay."""
    kept = c1.put_session("sts.GetSessionToken", "jon", M)
    assert c1.call("backup", "-r", key[1], path).status == 0
    c1.put_key("jon", OTHER_ID)
    c1.put_key("ann")
    c1.put_session("sts.AssumeRole", "ro")
    other = c1.put_session("sts.GetSessionToken", "ann")
    result = c1.call("restore", "-y", "-i", key[0], path)
    assert result.stdout.endswith("Deleted 1 existing sessions.\nRestored 1 item.\n")
    assert c1.item_names() == sorted(["ann", "jon", kept, other])


def test_what_its_maker_wrote(c1, key, path):
    """Nothing in a backup steers the terminal."""
    strange = Archive(
        [Entry(MAIN, Item("a\x1b[2Jb", b""), None)], made_at="\x07", made_by="", store="\x1b[31m", location="\n"
    )
    Path(path).write_bytes(pyrage.encrypt(strange.to_bytes(), [pyrage.x25519.Recipient.from_str(key[1])]))
    shown = [c1.call("backup", "--verify", "-i", key[0], path), c1.call("restore", "--dry-run", "-i", key[0], path)]
    assert [result.status for result in shown] == [0, 0]
    assert not [
        character
        for result in shown
        for character in result.stdout
        if not character.isprintable() and character != "\n"
    ]
    assert '   key "a\\u001b[2Jb"  new\n' in shown[1].stdout


def test_asked_first(vault, key, path, tty):
    """The differences, then a question; anything but yes changes nothing."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    (vault.keys / "jon").unlink()
    terminal = tty("restore", "-i", key[0], path)
    terminal.expect(f"Restore this item to {vault.keys}? (y|N) ")
    terminal.send("\n")
    result = terminal.wait()
    assert (result.status, result.stderr) == (0, "")
    assert 'key "jon"' in result.stdout
    assert "jon" not in vault.items()


def test_nobody_to_ask(vault, key, path):
    """What would change is shown, and what to type."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    (vault.keys / "jon").unlink()
    result = vault.run("restore", "-i", key[0], path)
    assert result.status == 1
    assert result.stderr.endswith("strongroom: hint: run it in a terminal, or use --yes\n")
    assert "jon" not in vault.items()


def test_of_one_profile(vault, key, path):
    """Its key and its sessions; a profile that is not in it is said, and what may have been meant."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    shutil.rmtree(vault.keys)
    shutil.rmtree(vault.path / "strongroom")
    assert vault.call("restore", "-y", "-i", key[0], "--only", "jon", path).status == 0
    assert [name.split(",")[0] for name in vault.items()] == ["jon", "sts.GetSessionToken"]
    message = refused(vault.call("restore", "-y", "-i", key[0], "--only", "jn", path))
    assert message.startswith("restore: nothing of profile 'jn' is in the backup")


def test_to_another_store(vault, key, path):
    """By its name, which must be one, and its place; how to use it is said."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    there = vault.path / "there"
    result = vault.call("restore", "-y", "-i", key[0], "--to", f"file:{there}", path)
    assert (result.status, len(os.listdir(there))) == (0, 3)
    assert f"to use it from now on: AWS_VAULT_FILE_DIR={there}; " in result.stderr
    result = vault.call("restore", "-y", "-i", key[0], "--to", "file", path, env={"AWS_VAULT_FILE_DIR": str(there)})
    assert result.stdout.endswith("There is nothing to restore.\n")
    message = refused(vault.call("restore", "-y", "-i", key[0], "--to", "nowhere", path), status=2)
    assert message.startswith("restore: --to: must be one of wincred, ")


def test_what_changes_while_the_human_is_asked(vault, key, path, monkeypatch):
    """Is left alone, for nobody agreed to replace that: no copy of it is kept."""
    from strongroom import prompt

    assert vault.call("backup", "-r", key[1], path).status == 0
    vault.put_key("jon", "AKIAOTHER")
    vault.call("remove", "-f", "team/dev 100%")

    def confirm(_):
        vault.put_key("jon", "AKIANEWER")
        vault.put_key("team/dev 100%", "AKIANEW")
        return True

    monkeypatch.setattr(prompt, "confirm", confirm)
    result = vault.call("restore", "-i", key[0], path)
    assert (result.status, result.stdout.splitlines()[-1]) == (1, "Restored 0 of 2 items.")
    assert result.stderr.count("was changed meanwhile: left alone\n") == 2
    found = {name: item["AccessKeyID"] for name, item in vault.items().items() if not name.startswith("sts.")}
    assert found == {"jon": "AKIANEWER", "team/dev 100%": "AKIANEW"}


def test_to_another_kind_of_store(vault, key, path):
    """Out of files under a passphrase into files for a key, and back: identical items. Its identity opens backups too."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    before = everything(vault)
    env = {"STRONGROOM_AGE_IDENTITY": key[0], "STRONGROOM_AGE_DIR": str(vault.path / "age" / "items")}
    result = vault.call("restore", "-y", "--to", "age", path, env=env)
    assert (result.status, result.stdout.splitlines()[-1]) == (0, "Restored 4 items.")
    env |= {"AWS_VAULT_BACKEND": "age"}
    assert vault.call("list", "--credentials", env=env).stdout == "jon\nteam/dev 100%\n"
    assert vault.call("backup", "-f", "-r", key[1], path, env=env).status == 0
    shutil.rmtree(vault.keys)
    shutil.rmtree(vault.path / "strongroom")
    assert vault.call("restore", "-y", "-i", key[0], path).status == 0
    assert everything(vault) == before


def test_a_key_that_cannot_be_read_where_it_is(vault, key, path):
    """It is left alone, since nobody could keep a copy; everything else is restored."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    broken = (vault.keys / "jon").read_bytes()[:-9]
    (vault.keys / "jon").write_bytes(broken)
    (vault.keys / "team%2Fdev 100%25").unlink()
    result = vault.call("restore", "-y", "-i", key[0], path)
    assert 'key "jon" cannot be read where it is, so no copy can be kept: left alone' in lines(result)
    assert result.stderr == (
        "strongroom: warning: remove what cannot be read, with `remove` or `mfa remove`, and restore it then\n"
    )
    assert (result.status, result.stdout.splitlines()[-1]) == (1, "Restored 1 item.")
    assert (vault.keys / "jon").read_bytes() == broken
    assert vault.call("remove", "-f", "jon").status == 0
    assert vault.call("restore", "-y", "-i", key[0], path).status == 0
    assert vault.items()["jon"]


def test_an_item_that_cannot_be_stored(vault, key, path, monkeypatch):
    """The others are, and the status tells."""
    from strongroom.errors import KeystoreError
    from strongroom.keystore.file import FileKeystore

    assert vault.call("backup", "-r", key[1], path).status == 0
    shutil.rmtree(vault.keys)
    original = FileKeystore.set

    def picky(self, item):
        if item.key == "jon":
            raise KeystoreError("cannot store item 'jon': it is too long")
        original(self, item)

    monkeypatch.setattr(FileKeystore, "set", picky)
    result = vault.call("restore", "-y", "-i", key[0], path)
    assert (result.status, result.stdout.splitlines()[-1]) == (1, "Restored 2 of 3 items.")
    assert result.stderr == "strongroom: error: restore: cannot store item 'jon': it is too long\n"
    shutil.rmtree(vault.keys)
    shutil.rmtree(vault.path / "strongroom")

    def refuse(_, item):
        raise KeystoreError("no space left on device")

    monkeypatch.setattr(FileKeystore, "set", refuse)
    result = vault.call("restore", "-y", "-i", key[0], path)
    assert (result.status, result.stdout.splitlines()[-1]) == (1, "Restored 0 of 4 items.")
    assert result.stderr == "strongroom: error: restore: no space left on device\n" * 3


def test_a_yes(vault, key, path, monkeypatch):
    """One question for all; an end of input is a no."""
    from strongroom import prompt
    from strongroom.errors import PromptDismissed

    def dismissed(_):
        raise PromptDismissed("the question was dismissed")

    assert vault.call("backup", "-r", key[1], path).status == 0
    shutil.rmtree(vault.keys)
    monkeypatch.setattr(prompt, "confirm", dismissed)
    assert vault.call("restore", "-i", key[0], path).status == 0
    assert not vault.keys.exists()
    asked = []
    monkeypatch.setattr(prompt, "confirm", lambda question: asked.append(question) or True)
    assert vault.call("restore", "-i", key[0], path).status == 0
    assert asked == [f"Restore these 3 items to {vault.keys}? (y|N) "]
    assert len(vault.items()) == 3


def test_a_session_that_cannot_be_read_where_it_is(vault, key, path):
    """It is no loss."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    [session] = [name for name in vault.item_names() if name.startswith("sts.")]
    (vault.keys / session.replace("/", "%2F")).write_bytes(b"eyJ")
    result = vault.call("restore", "-y", "-i", key[0], path)
    assert (result.status, result.stderr) == (0, "")
    assert "until" in next(line for line in lines(result) if line.endswith("cannot be read where it is: replaced"))
    assert session in vault.items()


def test_two_copies_in_a_second(vault, key, path, monkeypatch):
    """Neither takes the other's place."""
    monkeypatch.setattr("time.strftime", lambda *_: "20261123T080000Z")
    assert vault.call("backup", "-r", key[1], path).status == 0
    for _ in range(2):
        vault.put_key("jon", OTHER_ID)
        assert vault.call("restore", "-y", "-i", key[0], path).status == 0
    names = ["replaced-20261123T080000Z-2.age", "replaced-20261123T080000Z.age"]
    assert sorted(copy.name for copy in vault.path.rglob("replaced-*.age")) == names


def test_no_place_for_a_copy(vault, key, path, monkeypatch):
    """Then nothing is replaced."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    vault.put_key("jon", OTHER_ID)
    place = str(vault.work / "file" / "strongroom")
    Path(os.path.dirname(place)).write_text("")
    monkeypatch.setattr("strongroom.cli.backup_file.data_directory", lambda _: place)
    result = vault.call("restore", "-y", "-i", key[0], path)
    assert (result.status, f"error: restore: cannot make {place}: " in result.stderr) == (1, True)
    assert vault.items()["jon"]["AccessKeyID"] == OTHER_ID


def test_a_full_disk(vault, key, path, monkeypatch):
    """The older backup is intact."""

    def full(*_):
        raise OSError(28, "No space left on device")

    argv = ["backup", "-f", "-r", key[1], path]
    assert vault.call(*argv).status == 0
    before = Path(path).read_bytes()
    monkeypatch.setattr("strongroom.durable.replace_as_it_is", full)
    assert refused(vault.call(*argv)) == f"backup: cannot write {path}: no space left on device"
    assert Path(path).read_bytes() == before


# What is no good


def test_wrong_passphrases(vault, typed, path):
    """Asked three times, then one line."""
    typed += ["right", "1", "2", "3"]
    assert vault.call("backup", path).status == 0
    assert refused(vault.call("restore", path)) == f"restore: wrong passphrase for {path}"
    assert [message.partition(" for ")[0] for message, _ in typed.asked[1:]] == [
        "Enter passphrase", "Wrong passphrase. Enter passphrase", "Wrong passphrase. Enter passphrase",
    ]  # fmt: skip


def test_files_that_are_no_good(vault, key, path, typed):
    """One clear line each, and nothing is changed."""
    identity, public = key
    assert vault.call("backup", "-r", public, path).status == 0
    content = Path(path).read_bytes()
    before = everything(vault)

    def said(content, *argv):
        with open(path, "wb") as file:
            file.write(content)
        return refused(vault.call("restore", "-y", *argv, path)).removeprefix(f"restore: {path} ")

    def sealed(inside):
        return pyrage.encrypt(inside, [pyrage.x25519.Recipient.from_str(public)])

    inside = pyrage.decrypt(content, [pyrage.x25519.Identity.from_str(Path(identity).read_text().split()[-1])])
    use = ("-i", identity)
    assert said(content[:-40], *use) == "is cut short or damaged"
    assert said(content[:100], *use) == "is cut short or damaged"
    assert said(b"", *use) == "is no backup: it is empty"
    assert said(b"hello", *use) == "is no backup: it is not encrypted by age"
    assert said(sealed(b"hello"), *use) == "is encrypted by age, and is no backup that strongroom made"
    assert said(sealed(inside.replace(b'"version":1', b'"version":2')), *use).startswith(
        "was made by a newer strongroom"
    )
    assert said(sealed(inside.rpartition(b'{"collection"')[0]), *use).startswith("is cut short: 3 items are in it")
    assert "the checksum of item 'jon' does not match" in said(sealed(inside.replace(b"aws-vault (jon)", b"x")), *use)
    assert said(content) == "is encrypted for the holder of a key"
    other = vault.path / "other.txt"
    other.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    assert said(content, "-i", str(other)) == "is encrypted for somebody else than this identity"
    other.write_text("no key\n")
    message = refused(vault.call("restore", "-i", str(other), path))
    assert message == f"restore: --identity {str(other)!r} holds something that is no identity of age's"
    message = refused(vault.call("restore", str(vault.work / "none.age")))
    assert message == f"restore: cannot read {vault.work / 'none.age'}: no such file or directory"
    assert refused(vault.call("restore", ""), status=2) == "restore: required argument 'file' not provided"
    assert everything(vault) == before


# Other programs


@needs_age
def test_opened_by_age_itself(vault, key, path):
    """By the standard program; what is inside can be read without strongroom."""
    assert vault.call("backup", "-r", key[1], path).status == 0
    done = subprocess.run(["age", "-d", "-i", key[0], path], capture_output=True, check=True)
    first, *rest = map(json.loads, decode(done.stdout).splitlines())
    assert (first["format"], first["version"], first["items"]) == ("strongroom backup", 1, len(rest))
    assert sorted(line["item"]["Key"] for line in rest) == sorted([*vault.items(), f"totp:{M}"])


@needs_age
@needs_ssh
def test_an_ssh_key(vault, path):
    """Written for it, opened by age; written again by age, armoured, and restored here; a copy is kept for it too."""
    key = str(vault.work / "id_ed25519")
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    public = Path(f"{key}.pub").read_text()
    assert vault.call("backup", "-r", public, path).status == 0
    inside = subprocess.run(["age", "-d", "-i", key, path], capture_output=True, check=True).stdout
    subprocess.run(["age", "-a", "-R", f"{key}.pub", "-o", path], input=inside, check=True)
    jon = vault.items()["jon"]
    vault.put_key("jon", OTHER_ID)
    assert vault.call("restore", "-y", "-i", key, path).status == 0
    assert vault.items()["jon"] == jon
    [copy] = vault.path.rglob("replaced-*.age")
    kept = subprocess.run(["age", "-d", "-i", key, str(copy)], capture_output=True, check=True).stdout
    assert json.loads(kept.splitlines()[1])["item"]["Key"] == "jon"
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", key], check=True)
    result = vault.run("restore", "-i", key, path)
    assert result.stderr.startswith(
        f"strongroom: error: restore: the passphrase of --identity {key!r} is needed, and there is no terminal to ask at"
    )
    assert "hint: run it in a terminal, or name a key that has no passphrase\n" in result.stderr
