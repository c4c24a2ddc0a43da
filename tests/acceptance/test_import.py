"""`import`: out of plaintext files and other stores, and the lines gone only once the copies are proved."""

import json
import os
import sys

import pyrage
import pytest

from harness import age, items
from harness.home import ACCOUNT, PASSPHRASE, M, Result, key_id
from strongroom import prompt
from strongroom.backup import envelope
from strongroom.cli import importing, passphrase, plaintext_file
from strongroom.cli.settings import Settings
from strongroom.errors import KeystoreError, PromptDismissed, PromptUnavailable
from strongroom.keystore import Item
from strongroom.keystore.file import FileKeystore
from strongroom.keystore.memory import MemoryKeystore

FILE = """\
# what I have
[jon]
aws_access_key_id = AKIAXXXXXXXXXXXXXJON
aws_secret_access_key = secret+of/jon

[tmp]
aws_access_key_id=ASIAXXXXXXXXXXXXXTMP
aws_secret_access_key=secret+of/tmp
aws_session_token=token

[ci] ; of the build
aws_access_key_id=AKIAXXXXXXXXXXXXXXCI
aws_secret_access_key=secret+of/ci
region = eu-west-1
"""
CLEAN = """\
# what I have
[jon]

[tmp]
aws_access_key_id=ASIAXXXXXXXXXXXXXTMP
aws_secret_access_key=secret+of/tmp
aws_session_token=token

[ci] ; of the build
region = eu-west-1
"""
TEMPORARY = "a temporary key, which works only with its session token and not for long"
TABLE = (
    "   jon  ****XJON  line 3   new\n"
    f"   tmp            line 7   {TEMPORARY}\n"
    "   ci   ****XXCI  line 12  new\n"
)  # fmt: skip
ROTATE = "strongroom: copies may exist, in backups for example: `strongroom rotate jon`, `strongroom rotate ci` makes them worthless\n"


@pytest.fixture
def path(home):
    """The credentials file, with two keys to take and one not to."""
    path = home.path / ".aws" / "credentials"
    path.parent.mkdir(mode=0o700)
    path.write_text(FILE)
    path.chmod(0o600)
    return path


@pytest.fixture
def answers(monkeypatch):
    """What the human answers; the questions go to ``answers.asked``."""

    class Answers(list):
        asked = None

    answers = Answers()
    answers.asked = []

    def ask(question, **_):
        answers.asked.append(question)
        given = answers.pop(0)
        if isinstance(given, Exception):
            raise given
        return given

    monkeypatch.setattr(prompt, "ask", ask)
    monkeypatch.setattr(passphrase, "ask", lambda _settings, message, **_: ask(message))
    monkeypatch.setattr(envelope, "seal_by_passphrase", age.seal_by_passphrase)
    return answers


def secrets(home):
    return {name: fields["SecretAccessKey"] for name, fields in home.items().items()}


def error(message, hint=""):
    return f"strongroom: error: import: {message}\n" + (f"strongroom: hint: {hint}\n" if hint else "")


# The credentials file


def test_a_dry_run(home, path):
    """What there is, the last four characters of ids only; nothing changes."""
    assert home.call("import", "--dry-run") == Result(0, f"{path}:\n{TABLE}", "")
    assert (path.read_text(), home.item_names()) == (FILE, [])


def test_all_of_it(home, path, answers):
    """Shown, asked, stored; the lines removed, each other byte kept; who else reads it, and what copies are worth."""
    home.write_config("[profile admin]\nsource_profile = jon\nrole_arn = arn:aws:iam::1:role/x\n")
    answers += ["y", "yes", ""]
    result = home.call("import")
    assert answers.asked == [
        f"Import these 2 keys to {home.keys}? (y|N) ",
        f"Remove the lines of these 2 keys from {path}? (y|N) ",
        "A file for an encrypted copy of it as it is (leave this blank for none): ",
    ]
    config = home.config
    assert result == Result(
        0,
        f"{path}:\n{TABLE}Imported jon (****XJON).\nImported ci (****XXCI).\nRemoved the lines of 2 keys from {path}.\n",
        "strongroom: the AWS CLI and SDKs find no key by profile jon any more, nor by admin, with source_profile = jon: "
        f"run them by `strongroom exec jon`, or add to [profile jon] of {config}: "
        "credential_process = strongroom export --format=json jon\n"
        "strongroom: the AWS CLI and SDKs find no key by profile ci any more: "
        f"run them by `strongroom exec ci`, or add to [profile ci] of {config}: "
        "credential_process = strongroom export --format=json ci\n"
        f"strongroom: region of ci in {path}: strongroom reads such from {config}\n" + ROTATE,
    )
    assert path.read_text() == CLEAN
    if sys.platform != "win32":
        assert path.stat().st_mode & 0o777 == 0o600
    assert secrets(home) == {"jon": "secret+of/jon", "ci": "secret+of/ci"}
    assert sorted(os.listdir(path.parent)) == ["config", "credentials"]


def test_a_no(home, path, answers):
    """To the first question: nothing is done. To the second: the file stays, and it is said that it does."""
    answers += ["n"]
    assert home.call("import") == Result(0, f"{path}:\n{TABLE}", "")
    assert home.item_names() == []
    answers += ["y", PromptDismissed("no")]
    result = home.call("import")
    still = "".join(
        f"strongroom: the key of {name} is still in {path}, where every program of yours can read it\n"
        for name in ("jon", "ci")
    )
    assert result.stderr == still + ROTATE
    assert (path.read_text(), home.item_names()) == (FILE, ["ci", "jon"])


def test_without_a_terminal(home, path, answers):
    """An error that names --yes; with it, all of it is done."""
    answers += [PromptUnavailable("there is no terminal")]
    result = home.call("import")
    assert (result.status, result.stdout) == (1, f"{path}:\n{TABLE}")
    assert result.stderr == error("there is no terminal", "run it in a terminal, or use --yes")
    assert (path.read_text(), home.item_names()) == (FILE, [])
    assert home.call("import", "--yes").status == 0
    assert (path.read_text(), home.item_names()) == (CLEAN, ["ci", "jon"])


def test_keeping_the_lines(home, path):
    """If that is wanted; a later run removes them, of keys that are the same."""
    assert home.call("import", "--yes", "--keep-lines").status == 0
    assert path.read_text() == FILE
    result = home.call("import", "--yes")
    assert "   jon  ****XJON  line 3   stored already\n" in result.stdout
    assert "There is nothing to import.\n" in result.stdout
    assert path.read_text() == CLEAN


def test_only_some(home, path):
    """Named; a name that is not there is an error."""
    assert home.call("import", "--yes", "--only", "ci").status == 0
    assert home.item_names() == ["ci"]
    assert path.read_text() == FILE.replace(
        "aws_access_key_id=AKIAXXXXXXXXXXXXXXCI\naws_secret_access_key=secret+of/ci\n", ""
    )
    assert home.call("import", "--only", "jno") == Result(
        1, "", error(f"there is no key of profile 'jno' in {path}", "did you mean 'jon'?")
    )


def test_under_another_name(home, path):
    """One key at a time."""
    result = home.call("import", "--yes", "--only", "ci", "--as", "build")
    assert "by `strongroom exec build`, or add to [profile ci] of " in result.stderr
    assert home.item_names() == ["build"]
    result = home.call("import", "--yes", "--as", "build")
    assert "   build  ****XJON  line 3  another key is stored: --overwrite replaces it\n" in result.stdout
    path.write_text(FILE)
    message = "--as names one key, and 3 are meant, try --help"
    assert home.call("import", "--as", "x") == Result(2, "", error(message, "say which with --only"))


def test_another_key_is_stored(home, path):
    """It stays, and the lines too, unless it is to be replaced: then the sessions made from it go."""
    home.put_key("jon", "AKIAOTHEROTHEROTHER2")
    home.put_session("sts.GetSessionToken", "jon", M)
    result = home.call("import", "--yes", "--only", "jon")
    assert result == Result(
        0,
        f"{path}:\n   jon  ****XJON  line 3  another key is stored: --overwrite replaces it\nThere is nothing to import.\n",
        "",
    )
    assert (path.read_text(), home.items()["jon"]["AccessKeyID"]) == (FILE, "AKIAOTHEROTHEROTHER2")
    result = home.call("import", "--yes", "--only", "jon", "--overwrite")
    assert "Imported jon (****XJON).\nDeleted 1 existing sessions.\n" in result.stdout
    assert (home.item_names(), home.items()["jon"]["AccessKeyID"]) == (["jon"], "AKIAXXXXXXXXXXXXXJON")


def test_what_is_stored_cannot_be_read(home, path):
    """The same."""
    home.put_key("jon")
    with open(home.keys / "jon", "r+b") as file:
        file.truncate(50)
    result = home.call("import", "--dry-run", "--only", "jon")
    assert "line 3  what is stored cannot be read: --overwrite replaces it\n" in result.stdout
    assert home.call("import", "--yes", "--only", "jon", "--overwrite").status == 0
    assert secrets(home) == {"jon": "secret+of/jon"}


def test_as_json(home, path):
    """What was found and done; all else is talk."""
    result = home.call("import", "--yes", "--json", "--only", "jon", "--only", "tmp")
    assert result.json() == {
        "source": str(path),
        "keys": [
            {"profile": "jon", "access_key_id": "****XJON", "line": 3, "state": "new", "reason": "", "arn": None,
             "imported": True, "lines_removed": True},
            {"profile": "tmp", "access_key_id": "", "line": 7, "state": "unusable", "reason": TEMPORARY, "arn": None,
             "imported": False, "lines_removed": False},
        ],
        "backup": None,
    }  # fmt: skip
    assert "Imported jon (****XJON).\n" in result.stderr


def test_lines_that_have_to_stay(home, path):
    """The key is stored, and why its lines stay is said."""
    path.write_text(FILE.replace("[jon]\n", "[jon]\naws_access_key_id = AKIAXXXXXXXXXXXXXOLD\n"))
    before = path.read_text()
    result = home.call("import", "--yes", "--only", "jon")
    assert (
        f"warning: {path}:4 stays: without its lines the rest of the file would mean something else\n" in result.stderr
    )
    assert (path.read_text(), home.item_names()) == (before, ["jon"])


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("oidc:x", "that is how a stored token is called"),
        ("x\udcff", "the profile name 'x\\udcff' is not UTF-8"),
    ],
)
def test_names_that_no_profile_has(home, path, name, reason):
    """Left alone, with the reason."""
    path.write_bytes(FILE.replace("[jon]", f"[{name}]").encode("utf-8", "surrogateescape"))
    assert f"  {reason}\n" in home.call("import", "--dry-run").stdout


@pytest.mark.parametrize("key", ["ASIAXXXXXXXXXXXXXTMP", "AKIA XX"])
def test_what_cannot_be_a_key(home, path, key):
    """As for `add`."""
    path.write_text(FILE.replace("AKIAXXXXXXXXXXXXXJON", key))
    assert home.call("import", "--yes", "--only", "jon").stdout.endswith("There is nothing to import.\n")
    assert home.item_names() == []


def test_which_file(home, path):
    """The one that is named, else AWS_SHARED_CREDENTIALS_FILE, else the usual one."""
    other = home.work / "other"
    path.rename(other)
    missing = f"cannot read {path}: no such file or directory"
    assert home.call("import") == Result(1, "", error(missing, "name the file that the keys are in"))
    assert home.call("import", "--dry-run", str(other)).status == 0
    assert home.call("import", "--dry-run", env={"AWS_SHARED_CREDENTIALS_FILE": str(other)}).status == 0
    assert home.call("import", "--dry-run", env={"AWS_SHARED_CREDENTIALS_FILE": "~/../work/other"}).status == 0
    other.write_bytes(b"\xff\xfe\x00\xd8")
    assert home.call("import", "--dry-run", str(other)).status in (0, 1)


def test_keys_in_the_config_file(home, path):
    """They are told of, and taken from there."""
    home.write_config(
        "[profile dev]\nregion = x\naws_access_key_id = AKIAXXXXXXXXXXXXXDEV\naws_secret_access_key = s/dev\n"
    )
    assert home.call("import", "--dry-run").stderr == (
        f"strongroom: warning: there are keys in {home.config}, too: `strongroom import {home.config}`\n"
    )
    assert home.call("import", "--yes", str(home.config)).status == 0
    assert (home.config.read_text(), home.item_names()) == ("[profile dev]\nregion = x\n", ["dev"])


@pytest.mark.skipif(sys.platform == "win32", reason="pipes have no names there")
def test_a_pipe(home):
    """``import <(command)``: its keys are taken, and it has no lines that could be removed."""
    reader, writer = os.pipe()
    os.write(writer, FILE.encode())
    os.close(writer)
    result = home.call("import", "--yes", f"/dev/fd/{reader}")
    os.close(reader)
    assert home.item_names() == ["ci", "jon"]
    assert f"strongroom: warning: /dev/fd/{reader} is not a file whose lines could be removed\n" in result.stderr
    assert not plaintext_file.is_changeable(str(home.work / "none"))


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_link(home, path):
    """Goes on pointing at the file."""
    real = home.work / "dotfiles"
    path.rename(real)
    path.symlink_to(real)
    assert home.call("import", "--yes").status == 0
    assert path.is_symlink()
    assert real.read_text() == CLEAN


def test_a_hard_link(home, path):
    """Leads to the lines as they were, and it is said."""
    other = path.parent / "other"
    os.link(path, other)
    message = f"warning: {path} has another name, a hard link, and there the lines are still to be read\n"
    assert message in home.call("import", "--yes").stderr
    assert (path.read_text(), other.read_text()) == (CLEAN, FILE)


def test_a_file_that_changes_meanwhile(home, path, answers, monkeypatch):
    """What was written meanwhile stays; a key that is another now is left alone."""
    changed = FILE.replace("secret+of/ci", "new+secret") + "[new]\nregion = x\n"
    real = plaintext_file.remove

    def remove(*args):
        path.write_text(changed)
        return real(*args)

    monkeypatch.setattr(plaintext_file, "remove", remove)
    result = home.call("import", "--yes")
    assert f"warning: the key of ci in {path} was changed meanwhile: left alone\n" in result.stderr
    assert path.read_text() == changed.replace(
        "aws_access_key_id = AKIAXXXXXXXXXXXXXJON\naws_secret_access_key = secret+of/jon\n", ""
    )
    changed = "[jon]\n"
    result = home.call("import", "--yes", "--only", "ci", "--overwrite", "--json")
    assert result.json()["keys"][0]["lines_removed"] is True  # by somebody else, and nothing is left of it
    assert "left alone" not in result.stderr
    assert "still in" not in result.stderr
    assert path.read_text() == changed


def test_keys_that_are_stored_while_the_human_is_asked(home, path, answers, monkeypatch):
    """The same key, by another run of this: all is well. Another key: it stays, and so do the lines."""

    def confirm(question):
        if question.startswith("Import"):
            home.put_key("jon", "AKIAXXXXXXXXXXXXXJON", "secret+of/jon")
            home.put_key("ci", "AKIAOTHER", "another")
        return True

    monkeypatch.setattr(prompt, "confirm", confirm)
    answers += [""]
    result = home.call("import")
    assert result.status == 1
    assert (
        error(
            "ci is left as it is: another key was stored under that name meanwhile",
            "run this again, to see what is there",
        )
        in result.stderr
    )
    assert secrets(home) == {"jon": "secret+of/jon", "ci": "another"}
    assert path.read_text() == FILE.replace(
        "aws_access_key_id = AKIAXXXXXXXXXXXXXJON\naws_secret_access_key = secret+of/jon\n", ""
    )
    monkeypatch.setattr(prompt, "confirm", lambda _: home.put_key("ci", "AKIATHIRD", "a third"))
    assert "stored under that name meanwhile" in home.call("import", "--overwrite").stderr
    assert secrets(home)["ci"] == "a third"


def test_many_keys(home, path):
    """Are not advised on one by one."""
    path.write_text("".join(f"[p{n}]\naws_access_key_id=AKIA{n}\naws_secret_access_key=s\n" for n in range(9)))
    rest = "strongroom: copies may exist, in backups for example: `strongroom rotate --all` makes them worthless\n"
    assert home.call("import", "--yes", "--keep-lines").stderr == (
        f"strongroom: 9 of these keys are still in {path}, where every program of yours can read them\n{rest}"
    )
    assert home.call("import", "--yes").stderr == (
        "strongroom: the AWS CLI and SDKs find no key by 9 profiles any more: run them by `strongroom exec PROFILE`, "
        f"or add to [profile PROFILE] of {home.config}: "
        f"credential_process = strongroom export --format=json PROFILE\n{rest}"
    )


def test_a_name_with_a_blank(home, path):
    """Is quoted in the commands that one is to type."""
    path.write_text("[my own]\naws_access_key_id=AKIAX\naws_secret_access_key=s\n")
    told = home.call("import", "--yes").stderr
    assert "run them by `strongroom exec 'my own'`, or add to [profile my own] of " in told
    assert "credential_process = strongroom export --format=json 'my own'\n" in told
    assert "`strongroom rotate 'my own'`" in told


def test_a_file_that_cannot_be_written(home, path, monkeypatch):
    """The keys are stored, and the file is as it was."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(plaintext_file.durable, "replace_as_it_is", refuse)
    result = home.call("import", "--yes")
    assert result.status == 1
    assert error(f"cannot write {path}: permission denied", "it is as it was; edit it by hand") in result.stderr
    monkeypatch.setattr(plaintext_file.plaintext, "leaves_the_rest", lambda *_: False)
    assert "would mean something else" in home.call("import", "--yes").stderr
    assert (path.read_text(), home.item_names()) == (FILE, ["ci", "jon"])


def test_a_copy_that_reads_differently(home, path, monkeypatch):
    """No line of that key is removed; the others go on, and the status tells."""
    real = FileKeystore.set

    def set_wrongly(store, item):
        data = item.data.replace(b"secret+of/jon", b"secret+of/jim")
        real(store, Item(item.key, data))

    monkeypatch.setattr(FileKeystore, "set", set_wrongly)
    result = home.call("import", "--yes")
    assert result.status == 1
    assert (
        error(f"jon is left as it is: the key was stored in {home.keys}, and reads as something else") in result.stderr
    )
    assert "secret+of/jon" in path.read_text()
    assert "secret+of/ci" not in path.read_text()


def test_a_full_store(home, path, monkeypatch):
    """The file is as it was; a key that is stored all the same is removed from it. What takes none is not asked for ever."""

    def refuse(*_):
        raise KeystoreError("no space left on device")

    real = FileKeystore.set
    monkeypatch.setattr(FileKeystore, "set", refuse)
    monkeypatch.setattr(importing, "FAILURES_IN_A_ROW", 1)
    result = home.call("import", "--yes")
    message = error("jon is left as it is, and so is every key after it: no space left on device")
    assert (result.status, result.stderr, path.read_text()) == (1, message, FILE)
    monkeypatch.setattr(importing, "FAILURES_IN_A_ROW", 2)
    monkeypatch.setattr(FileKeystore, "set", lambda store, item: (real if item.key == "ci" else refuse)(store, item))
    result = home.call("import", "--yes", "--json")
    assert result.status == 1
    assert [(each["imported"], each["reason"]) for each in result.json()["keys"]] == [
        (False, "no space left on device"), (False, TEMPORARY), (True, ""),
    ]  # fmt: skip
    lines = "aws_access_key_id=AKIAXXXXXXXXXXXXXXCI\naws_secret_access_key=secret+of/ci\n"
    assert path.read_text() == FILE.replace(lines, "")


# A copy of the file


def test_an_encrypted_copy(home, path, answers):
    """Under a passphrase, before anything is removed; never in plaintext."""
    copy = home.path / "copy.age"
    answers += ["y", "y", "~/copy.age", "a long one"]
    result = home.call("import")
    assert answers.asked[-1] == f'Enter a new passphrase for "{copy}": '
    assert f"{path} as it was is in {copy}, encrypted: `age -d` opens it.\n" in result.stdout
    assert pyrage.passphrase.decrypt(copy.read_bytes(), "a long one") == FILE.encode()
    if sys.platform != "win32":
        assert copy.stat().st_mode & 0o777 == 0o600
    assert path.read_text() == CLEAN


def test_a_copy_that_is_named(home, path, answers):
    """By a flag; a file that is there is found before anything is done."""
    copy = home.work / "copy.age"
    answers += ["a long one"]
    assert home.call("import", "--yes", "--json", "--backup", str(copy)).json()["backup"] == str(copy)
    assert answers.asked == [f'Enter a new passphrase for "{copy}": ']
    assert home.call("import", "--yes", "--backup", str(copy)).stderr.startswith(error(f"{copy} is there already"))


def test_a_copy_that_cannot_be_made(home, path, answers):
    """Nothing is removed."""
    answers += ["y", "y", str(home.work / "none" / "copy.age")]
    assert home.call("import").status == 1
    assert path.read_text() == FILE
    answers += ["y", PromptDismissed("no")]
    assert f"the key of jon is still in {path}" in home.call("import").stderr
    assert path.read_text() == FILE


# AWS


def test_proof(c1, cloud):
    """Each key by its own GetCallerIdentity; one that AWS refuses is neither stored nor removed from the file."""
    path = c1.path / ".aws" / "credentials"
    path.write_text(FILE)
    os.unlink(c1.keys / "jon")
    cloud.key("AKIAXXXXXXXXXXXXXJON", "secret+of/jon", user="jon")
    result = c1.call("import", "--yes", "--verify")
    assert f"Imported jon (****XJON), arn:aws:iam::{ACCOUNT}:user/jon.\n" in result.stdout
    assert "strongroom: error: import: ci is left as it is: " in result.stderr
    assert (result.status, c1.item_names()) == (1, ["jon"])
    assert "secret+of/ci" in path.read_text()
    assert "secret+of/jon" not in path.read_text()
    assert [call.action for call in cloud.calls] == ["GetCallerIdentity"] * 2


def test_proof_of_what_is_stored(c1, cloud):
    """Before its lines go."""
    path = c1.path / ".aws" / "credentials"
    path.write_text(f"[jon]\naws_access_key_id = {key_id('jon')}\naws_secret_access_key = secret+of/jon\n")
    result = c1.call("import", "--yes", "--verify")
    assert f"Proved jon (****XJON), arn:aws:iam::{ACCOUNT}:user/jon.\n" in result.stdout
    assert path.read_text() == "[jon]\n"


# The console's tables


def test_a_table(home):
    """The name of the file is that of the user; no word of programs that read it, since none does."""
    path = home.work / "jon_accessKeys.csv"
    path.write_text("\ufeffAccess key ID,Secret access key\nAKIAXXXXXXXXXXXXXJON,secret+of/jon\n", "utf-8")
    result = home.call("import", "--yes", str(path))
    assert result == Result(
        0,
        f"{path}:\n   jon  ****XJON  line 2  new\nImported jon (****XJON).\nRemoved the lines of 1 key from {path}.\n",
        "strongroom: copies may exist, in backups for example: `strongroom rotate jon` makes them worthless\n",
    )
    assert path.read_bytes() == "\ufeffAccess key ID,Secret access key\n".encode()
    assert home.call("import", "--yes", str(path)).stdout == f"{path}:\n   no keys\nThere is nothing to import.\n"


def test_a_table_without_a_name(home):
    """It has to be given one."""
    path = home.work / "key.csv"
    path.write_text("Access key ID,Secret access key\nAKIAXXXXXXXXXXXXXJON,secret+of/jon\n")
    result = home.call("import", "--yes", str(path))
    assert "   ?  ****XJON  line 2  the file does not say whose it is: --as PROFILE does\n" in result.stdout
    assert home.call("import", "--yes", "--as", "jon", str(path)).status == 0
    assert home.item_names() == ["jon"]


def test_a_table_that_cannot_be_read(home):
    """Is an error."""
    path = home.work / "key.csv"
    path.write_text("Access key ID,Secret access key\n" + "x" * 200_000)
    message = f"cannot read {path}: line 2 cannot be read: field larger than field limit (131072)"
    assert home.call("import", str(path)) == Result(1, "", error(message))


# Other stores


def test_another_keystore(home):
    """Its keys are copied, not its sessions; it stays as it is."""
    other = str(home.work / "old")
    for name in ("jon", "ci"):
        items.write(other, name, {"AccessKeyID": key_id(name), "SecretAccessKey": "s"}, PASSPHRASE)
    items.write(other, "broken", {}, PASSPHRASE)
    items.write(other, items.session_key("sts.GetSessionToken", "jon", "", 1), {}, PASSPHRASE)
    result = home.call("import", "--yes", "--from", f"file:{other}")
    assert result == Result(
        0,
        f"{other}:\n   broken              what is stored for profile 'broken' is not an access key\n"
        "   ci      ****XXCI    new\n   jon     ****XJON    new\nImported ci (****XXCI).\nImported jon (****XJON).\n",
        f"strongroom: the keys are still in {other}, too\n",
    )
    assert (home.item_names(), len(items.names(other))) == (["ci", "jon"], 4)


def test_some_keys_of_another_keystore(home):
    """The others are not opened; and nothing is said of those that are here already."""
    other = str(home.work / "old")
    for name in ("jon", "ci"):
        items.write(other, name, {"AccessKeyID": key_id(name), "SecretAccessKey": "s"}, PASSPHRASE)
    argv = ["import", "--yes", "--from", f"file:{other}", "--only", "jon"]
    assert home.call(*argv).stdout == f"{other}:\n   jon  ****XJON    new\nImported jon (****XJON).\n"
    assert home.call(*argv, "--as", "jim", "--dry-run").stdout == f"{other}:\n   jim  ****XJON    new\n"
    assert home.call(*argv, "--only", "ci").stdout.endswith("Imported ci (****XXCI).\n")
    with open(os.path.join(other, "ci"), "r+b") as file:
        file.truncate(50)
    result = home.call("import", "--yes", "--from", f"file:{other}", "--only", "ci")
    assert (result.status, result.stderr) == (0, "")


def test_the_keystore_in_use(home):
    """Has nothing to import from itself."""
    message = "file is the keystore in use: there is nothing to import"
    assert home.call("import", "--from", "file") == Result(1, "", error(message))


def granted(home, directory, **settings):
    """A home with granted's settings, and a key in its directory."""
    folder = home.path / ".granted"
    folder.mkdir()
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    (folder / "config").write_text("\n".join(["DefaultBrowser = 'x'", "[Keyring]", *lines]))
    items.write(str(directory or folder / "secure-storage-aws-iam-credentials"), "jon",
                {"AccessKeyID": key_id("jon"), "SecretAccessKey": "s"}, "granted's")  # fmt: skip


@pytest.mark.parametrize("elsewhere", [False, True])
def test_granted(home, answers, elsewhere):
    """Its files are those of the same library, under a passphrase of their own."""
    directory = home.work / "secure" if elsewhere else None
    granted(home, directory, **({"Backend": "file", "FileDir": str(directory)} if elsewhere else {}))
    answers += ["granted's"]
    assert home.call("import", "--yes", "--from", "granted").status == 0
    assert home.item_names() == ["jon"]


def test_granted_elsewhere(home):
    """Where strongroom cannot read it, what to do is said."""
    granted(home, None, Backend="keychain")
    result = home.call("import", "--from", "granted")
    assert result.stderr == error(
        "granted keeps its keys in 'keychain', under a name by which only granted finds them",
        "`granted credentials export-plaintext PROFILE` writes a key to the credentials file; import it from there",
    )
    config = home.path / ".granted" / "config"
    config.write_text("[Keyring")
    assert home.call("import", "--from", "granted").stderr.startswith(error(f"cannot read {config}: ").rstrip("\n"))


def test_granted_is_not_there(home, monkeypatch):
    """The usual store of the platform is looked into."""
    monkeypatch.setattr(sys, "platform", "darwin")
    (home.path / "xdg-config" / "granted").mkdir(parents=True)
    assert "granted keeps its keys in 'keychain'" in home.call("import", "--from", "granted").stderr


STATIC = {
    "StaticCredentials": {
        f"arn:aws:iam::{ACCOUNT}:user/jon": {
            "Profile": "", "userName": "jon", "accountId": 1, "accessKeyId": key_id("jon"), "secretAccessKey": "s",
        },
        f"arn:aws:iam::{ACCOUNT}:user/ci": {"Profile": "build", "accessKeyId": "", "secretAccessKey": ""},
    },
    "RoleCredentials": {"x": {"accessKeyId": "ASIAX"}},
}  # fmt: skip


def test_aws_sso_cli(home, answers):
    """Its JSON store, or the encrypted file of its own; static keys only."""
    store = home.work / "store.json"
    store.write_text(json.dumps(STATIC))
    result = home.call("import", "--dry-run", "--from", "aws-sso-cli", str(store))
    assert result.stdout == (f"{store}:\n   build              the access key id is empty\n   jon    ****XJON    new\n")
    items.write(str(home.path / ".aws-sso" / "secure"), "aws-sso-cli-records", STATIC, "theirs")
    env = {"AWS_SSO_FILE_PASSWORD": "theirs"}
    assert home.call("import", "--yes", "--from", "aws-sso-cli", env=env).status == 0
    assert home.item_names() == ["jon"]
    store.write_text("[]")
    assert home.call("import", "--from", "aws-sso-cli", str(store)).stderr == error(
        f"{store} is not what aws-sso-cli writes"
    )


def test_aws_sso_cli_as_its_settings_say(home, monkeypatch):
    """Not what it left elsewhere; and in the Secret Service under its own name."""
    folder = home.path / ".aws-sso"
    items.write(str(folder / "secure"), "aws-sso-cli-records", STATIC, "theirs")
    (folder / "store.json").write_text("{}")
    (folder / "config.yaml").write_text("SSOConfig:\n    x: {}\nSecureStore: file # not json\nJsonStore: '~/s.json'\n")
    env = {"AWS_SSO_FILE_PASSWORD": "theirs"}
    argv = ["import", "--dry-run", "--from", "aws-sso-cli"]
    assert "jon    ****XJON    new" in home.call(*argv, env=env).stdout
    (folder / "config.yaml").write_text("SecureStore: json\nJsonStore: '~/s.json'\n")
    assert f"there is neither {home.path}/s.json nor " in home.call(*argv, env=env).stderr
    (folder / "config.yaml").write_text('SecureStore: "secret-service"\n')
    opened = []

    def open_store(_settings, name, places=None):
        opened.append((name, places))
        found = MemoryKeystore()
        found.set(Item("aws-sso-cli-records", json.dumps(STATIC).encode()))
        return found

    monkeypatch.setattr(Settings, "store", open_store)
    assert "jon    ****XJON    new" in home.call(*argv, env=env).stdout
    assert opened[0] == ("secret-service", {"secret_service_collection": "awsssocli"})


def test_aws_sso_cli_is_not_there(home):
    """What to do is said."""
    result = home.call("import", "--from", "aws-sso-cli")
    assert result.status == 1
    assert "error: import: there is neither " in result.stderr
    assert "hint: store a static key with `strongroom add`; roles of IAM Identity Center" in result.stderr
    (home.path / ".aws-sso").mkdir()
    (home.path / ".aws-sso" / "config.yaml").write_text("SecureStore: keychain\n")
    message = "aws-sso-cli keeps its keys in 'keychain', where only it finds them\n"
    assert message in home.call("import", "--from", "aws-sso-cli").stderr


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--from", "granted", "FILE"], "keys come from 'FILE' or from 'granted', not both"),
        (["--from", "grated"], "--from: must be one of wincred, "),
        (["--keep-lines", "--backup", "x"], "--backup is for lines that are removed, and --keep-lines removes none"),
    ],
)
def test_wrong_words(home, path, argv, message):
    """Status 2."""
    result = home.call("import", *argv)
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith(f"strongroom: error: import: {message}")


def test_lines_of_a_store(home):
    """There are none."""
    items.write(str(home.work / "old"), "jon", {"AccessKeyID": key_id("jon"), "SecretAccessKey": "s"}, PASSPHRASE)
    result = home.call("import", "--from", f"file:{home.work}/old", "--keep-lines")
    message = f"--keep-lines is for files: {home.work}/old is not changed, try --help"
    assert result == Result(2, "", error(message))


def test_no_secret_is_shown(home, path, monkeypatch):
    """Not with --debug either, and not when things go wrong."""
    table = home.work / "jon_accessKeys.csv"
    table.write_text(
        "Access key ID,Secret access key\nAKIAXXXXXXXXXXXXXJON,secret+of/jon\x00\nsecret+of" + "x" * 200_000
    )
    store = home.work / "store.json"
    store.write_text('{"StaticCredentials": {"x": "secret+of/x"}')
    path.write_text(FILE + "secret+of/nobody\n[half]\naws_secret_access_key = secret+of/half\n")
    told = [home.call("import", "--debug", "--dry-run"), home.call("import", "--debug", "--yes", str(table))]
    told.append(home.call("import", "--debug", "--yes", "--from", "aws-sso-cli", str(store)))
    monkeypatch.setattr(FileKeystore, "set", lambda *_: None)
    told.append(home.call("import", "--debug", "--yes", "--json"))
    assert [result.status for result in told] == [0, 1, 1, 1]
    assert "secret+of" not in "".join(result.stdout + result.stderr for result in told)
