"""strongroom is stopped dead before each write, rename and call in turn: what is left is the old or the new, never less."""

import os
import shutil
import signal
import sys

import pyrage
import pytest

from harness import items
from harness.crash import crashing
from harness.home import ADM, CODE, PASSPHRASE, M

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

MOST_STEPS = 200  # no command does so much; bounds a test whose command never gets done


def each_death(home, argv, check, env=None, prelude="", *, torn=True):
    """Run *argv* from the same state again and again, dying a step later each time; returns what it died before.

    With *torn*, it also dies in the midst of each write, when half of the bytes are in the file.
    """
    saved = home.path.parent / "saved"
    shutil.copytree(home.path, saved, symlinks=True)
    deaths = []
    with crashing(home, env, prelude) as run:
        at, half = 1, False
        while at < MOST_STEPS:
            shutil.rmtree(home.path)
            shutil.copytree(saved, home.path, symlinks=True)
            status, about_to = run(at, half, *argv)
            check()
            if about_to == "done":
                assert status == 0
                return deaths
            assert status == -signal.SIGKILL
            deaths.append(about_to.removeprefix("before "))
            half = torn and not half and deaths[-1] == "write"
            at += not half
    raise AssertionError("it never gets done")


def test_a_session_that_is_replaced(c1, cloud):
    """`export -d 2h` over a session of one hour: the key stays whole, every item can be read, the next run works."""
    name = c1.put_session("sts.GetSessionToken", "jon", M, left=600, Strongroom={"lifetime": 900})
    key = c1.items()["jon"]

    def check():
        found = c1.items()
        assert found["jon"] == key
        assert 2 <= len(found) <= 3
        assert name in found or len(found) == 2
        assert c1.call("export", "jon", "-t", CODE).status == 0

    deaths = each_death(c1, ["export", "jon", "-d", "2h", "-t", CODE], check)
    assert {"send", "write", "fsync", "replace"} <= set(deaths)


def test_two_steps(c1, cloud):
    """A chain that dies after its first step goes on from there: no second code."""

    def check():
        assert c1.items()["jon"]
        before = len(cloud.calls)
        result = c1.call("export", "admin", "-t", CODE)
        assert result.status == 0, result.stderr
        seen.append(len(cloud.calls) - before)

    seen = []
    deaths = each_death(c1, ["export", "admin", "-t", CODE], check, torn=False)
    assert deaths.count("send") == 2
    # Two calls were left to make, then one, then none.
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {2, 1, 0}
    assert cloud.calls[-1].role in {ADM, None}


def test_a_key_that_is_replaced(c1, cloud):
    """`add` over a stored key with sessions: the old key or the new one, both readable, and nothing else broken."""
    c1.put_session("sts.GetSessionToken", "jon", M)
    c1.put_session("sts.AssumeRole", "ro")
    old = c1.items()["jon"]["AccessKeyID"]
    config = c1.config.read_bytes()
    env = {"AWS_ACCESS_KEY_ID": "AKIANEWKEYXXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": "new"}

    def check():
        assert c1.items()["jon"]["AccessKeyID"] in {old, env["AWS_ACCESS_KEY_ID"]}
        assert c1.config.read_bytes() == config

    assert "replace" in each_death(c1, ["add", "--env", "jon"], check, env)
    assert c1.items()["jon"]["AccessKeyID"] == env["AWS_ACCESS_KEY_ID"]


def test_a_section_that_is_added(c1):
    """`add` of a new profile: the config file is the old one or the new one, byte for byte; the store can be read."""
    old = c1.config.read_bytes() + b"# the last word, without a newline"
    c1.config.write_bytes(old)
    seen = set()

    def check():
        assert set(c1.items()) in ({"jon"}, {"jon", "fresh"})
        seen.add(c1.config.read_bytes())

    env = {"AWS_ACCESS_KEY_ID": "AKIANEWKEYXXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": "new"}
    each_death(c1, ["add", "--env", "fresh"], check, env)
    assert len(seen) == 2
    assert old in seen
    (new,) = seen - {old}
    assert new.startswith(old)
    assert b"[profile fresh]" in new


@pytest.mark.parametrize("argv", [["remove", "-f", "jon"], ["clear"], ["clear", "jon"]], ids=" ".join)
def test_what_is_removed(c1, argv):
    """Removing stops between items, never within one; `clear` takes no key with it."""
    c1.put_session("sts.GetSessionToken", "jon", M)
    c1.put_session("sts.AssumeRole", "ro")
    c1.put_key("other")
    before = set(c1.items())

    def check():
        left = set(c1.items())
        assert left <= before
        assert "other" in left
        assert "jon" in left or argv[0] == "remove"

    assert "unlink" in each_death(c1, argv, check, torn=False)


# Somebody who types this whenever a passphrase is asked for.
TYPES = "import strongroom.cli.passphrase as asking; asking.ask = lambda *_, **__: {!r}"


def opened(directory, passphrase):
    """Item name -> its data, of those that this passphrase opens."""
    found = {}
    for name in items.names(str(directory)):
        try:
            found[name] = items.read(str(directory), name, passphrase)
        except Exception:  # joserfc has many
            continue
    return found


@pytest.mark.parametrize(
    ("torn", "finish"), [(True, ["list"]), (False, ["passwd", "--resume"])], ids=["the next run", "--resume"]
)
def test_a_passphrase_that_is_changed(c1, torn, finish):
    """`passwd`: after the next run, whichever, all items of both collections are under one passphrase, the old or the new."""
    c1.put_session("sts.GetSessionToken", "jon", M)
    own = c1.keys.parent / "strongroom"
    items.write(str(own), "totp:x", {"seed": "S"}, PASSPHRASE, "a seed")
    before = opened(c1.keys, PASSPHRASE), opened(own, PASSPHRASE)
    outcomes = []

    def check():
        result = c1.call(*finish)
        assert (result.status, "error" in result.stderr, "warning" in result.stderr) == (0, False, False)
        found = [(opened(c1.keys, word), opened(own, word)) for word in (PASSPHRASE, "next")]
        assert sorted(map(bool, (each[0] for each in found))) == [False, True]
        assert before in found
        assert not [name for name in os.listdir(c1.path) if name.startswith(".strongroom-passwd-")]
        outcomes.append(found.index(before))

    deaths = each_death(c1, ["passwd"], check, prelude=TYPES.format("next"), torn=torn)
    assert deaths.count("replace") == 4  # the journal, and three items
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {0, 1}


def test_a_vault_that_is_backed_up(c1):
    """`backup` over an older one: the old file or the new, and nobody else may read either."""
    identity = pyrage.x25519.Identity.generate()
    path = c1.path / "vault.age"
    argv = ["backup", "--force", "-r", str(identity.to_public()), str(path)]
    assert c1.call(*argv).status == 0
    c1.put_key("ann")
    counts = []

    def check():
        assert path.stat().st_mode & 0o777 == 0o600
        counts.append(len(pyrage.decrypt(path.read_bytes(), [identity]).splitlines()) - 1)

    assert "replace" in each_death(c1, argv, check)
    assert counts == sorted(counts)
    assert set(counts) == {1, 2}


def test_a_vault_that_is_restored(c1):
    """`restore` over a changed key: the one of the backup or the other, and then there is a copy of that."""
    identity = pyrage.x25519.Identity.generate()
    (c1.path / "key.txt").write_text(f"{identity}\n")
    path = c1.path / "vault.age"
    assert c1.call("backup", "-r", str(identity.to_public()), str(path)).status == 0
    old, new = c1.items()["jon"], c1.put_key("jon", "AKIANEWKEYXXXXXXXXXX")
    seen = set()

    def check():
        found = c1.items()["jon"]
        seen.add(found["AccessKeyID"])
        assert found == old or found["AccessKeyID"] == new
        if found == old:
            [copy] = c1.path.rglob("replaced-*.age")
            assert b'"Key":"jon"' in pyrage.decrypt(copy.read_bytes(), [identity])

    each_death(c1, ["restore", "-y", "-i", str(c1.path / "key.txt"), str(path)], check)
    assert seen == {old["AccessKeyID"], new}


def test_files_that_are_set_aside(c1):
    """`doctor --reset`: each file is in one place, whole, and the next run sets aside the rest."""
    c1.put_key("ann")
    before = {name: (c1.keys / name).read_bytes() for name in ("ann", "jon")}

    def check():
        left = {path.name: path.read_bytes() for path in c1.keys.iterdir()}
        aside = {path.name: path.read_bytes() for path in c1.path.glob("set-aside-*/keys/*")}
        assert left | aside == before
        assert not left.keys() & aside.keys()
        assert c1.call("doctor", "--reset", "-y").status == 0
        assert list(c1.keys.iterdir()) == []

    assert each_death(c1, ["doctor", "--reset", "-y"], check, torn=False).count("rename") == 2


def test_import(home):
    """At no moment is a key neither in the file nor in the keystore; the next run completes it."""
    path = home.path / ".aws" / "credentials"
    path.parent.mkdir()
    key = "aws_access_key_id = AKIAXXXXXXXXXXXXXJON\naws_secret_access_key = secret+of/jon\n"
    path.write_text(f"# mine\n[jon]\n{key}region = x\n")

    def check():
        text = path.read_text()
        assert text in (f"# mine\n[jon]\n{key}region = x\n", "# mine\n[jon]\nregion = x\n")
        assert key in text or home.items()["jon"]["SecretAccessKey"] == "secret+of/jon"
        assert home.call("import", "--yes").status == 0
        assert path.read_text() == "# mine\n[jon]\nregion = x\n"
        assert home.items()["jon"]["SecretAccessKey"] == "secret+of/jon"

    deaths = each_death(home, ["import", "--yes"], check)
    assert deaths.count("replace") == 2


def test_migrate_backend(home):
    """At no moment is a key in neither keystore; the next run completes it."""
    home.put_key("jon")
    other = home.path / "elsewhere" / "keys"
    argv = ["migrate-backend", "--from", "file", "--to", f"file:{other}", "--delete-source"]

    def check():
        assert "jon" in home.item_names() or items.read(str(other), "jon", PASSPHRASE)
        result = home.call(*argv)
        assert result.status == 0, result
        assert (home.item_names(), items.names(str(other))) == ([], ["jon"])
        assert items.read(str(other), "jon", PASSPHRASE)["SecretAccessKey"] == "secret+of/jon"

    deaths = each_death(home, argv, check)
    assert {"replace", "unlink"} <= set(deaths)
