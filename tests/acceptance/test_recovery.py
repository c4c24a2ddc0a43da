"""`passwd`, `doctor --reset`, `reveal`, and the setting that forbids long-term keys to leave the vault."""

import base64
import json
import os
import re
import sys

import pytest

from harness import items
from harness.home import PASSPHRASE, M, Result
from strongroom import prompt
from strongroom.cli import passphrase

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals that a test can drive")
NEXT = {"AWS_VAULT_FILE_PASSPHRASE": "next"}
FORBIDDEN = "STRONGROOM_FORBID_LONG_TERM_OUTPUT forbids to show or hand out a long-term key (forbid_long_term_output)\n"


@pytest.fixture
def human(monkeypatch):
    """Types ``next`` when a passphrase is asked for, and answers each yes-or-no question with ``human.says``."""

    class Human:
        says = True

    def ask(_settings, message, **_):
        Human.asked.append(message)
        return "next"

    def confirm(question):
        Human.asked.append(question)
        return Human.says

    Human.asked = []
    monkeypatch.setattr(passphrase, "ask", ask)
    monkeypatch.setattr(prompt, "confirm", confirm)
    return Human


# passwd


def test_another_passphrase(c1, human):
    """Both collections; the variable that holds the former one is named."""
    items.write(str(c1.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE, "a seed")
    assert c1.call("passwd") == Result(
        0,
        "Changed the passphrase of 2 items.\n",
        "strongroom: warning: AWS_VAULT_FILE_PASSPHRASE holds the former passphrase: change it where it is set\n",
    )
    assert human.asked == [f'Enter a new passphrase to protect "{c1.keys}": ']
    assert items.read(str(c1.keys), "jon", "next")["AccessKeyID"]
    assert items.read(str(c1.path / "strongroom"), f"totp:{M}", "next") == {"seed": "S"}
    assert c1.call("export", "-n", "jon", env=NEXT).status == 0
    assert "wrong passphrase" in c1.call("export", "-n", "jon").stderr


def test_the_same_passphrase(c1, human):
    """With more iterations: each item is hashed with as many as are set now."""
    env = {**NEXT, "STRONGROOM_FILE_ITERATIONS": "20000"}
    assert c1.call("passwd").status == 0
    assert c1.call("passwd", env=env).stdout == "Changed the passphrase of 1 item.\n"
    header = (c1.keys / "jon").read_text().partition(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["p2c"] == 20000


def test_a_wrong_passphrase(c1, human):
    """Nothing is changed, and no new one is asked for."""
    before = (c1.keys / "jon").read_bytes()
    result = c1.call("passwd", env={"AWS_VAULT_FILE_PASSPHRASE": "wrong"})
    assert (result.status, result.stdout) == (1, "")
    assert "wrong passphrase: it opens no item" in result.stderr
    assert (human.asked, (c1.keys / "jon").read_bytes()) == ([], before)


def test_items_under_another_passphrase(c1, human):
    """They stay, and are named."""
    items.write(str(c1.keys), "theirs", {}, "another", "")
    result = c1.call("passwd")
    assert result.stdout == "Changed the passphrase of 1 item.\n"
    assert "warning: item 'theirs' is damaged, or under another passphrase: left as it is\n" in result.stderr
    assert items.read(str(c1.keys), "theirs", "another") == {}


def test_what_is_written_meanwhile(c1, human, monkeypatch):
    """By a process that knows the former passphrase: it is changed too."""
    from strongroom.cli import passwd

    original = passwd.commit

    def commit(stores, moves):
        original(stores, moves)
        if "ann" not in c1.item_names():
            c1.put_key("ann")

    monkeypatch.setattr(passwd, "commit", commit)
    assert c1.call("passwd").stdout == "Changed the passphrase of 2 items.\n"
    assert items.read(str(c1.keys), "ann", "next")


def test_only_the_second_collection_holds_items(home, human):
    """Its passphrase is the store's."""
    items.write(str(home.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE, "a seed")
    assert home.call("passwd").stdout == "Changed the passphrase of 1 item.\n"


def test_an_empty_store(home, human):
    """There is no passphrase yet."""
    assert home.call("passwd") == Result(
        1,
        "",
        f"strongroom: error: passwd: {home.keys} is empty, so it has no passphrase yet\n"
        "strongroom: hint: the first `add` asks for one\n",
    )


def test_nothing_to_finish(c1):
    """`--resume` begins nothing."""
    assert c1.call("passwd", "--resume") == Result(0, "Nothing is left to finish.\n", "")
    assert c1.items()["jon"]


def test_what_cannot_be_finished(c1, human, monkeypatch):
    """Every command says so and goes on; `--resume` says why, and finishes when it can."""

    def full(*_):
        raise OSError(28, "No space left on device")

    reason = f"the change of the passphrase of {c1.keys} cannot be finished: no space left on device\n"
    with monkeypatch.context() as patch:
        patch.setattr("strongroom.durable.replace", full)
        assert f"error: passwd: {reason}" in c1.call("passwd").stderr
        result = c1.call("list")
        assert (result.status, result.stderr) == (0, f"strongroom: warning: {reason}")
        assert c1.call("passwd", "--resume").status == 1
    result = c1.call("export", "-n", "jon", env=NEXT)
    assert result.status == 0
    assert result.stderr == "strongroom: finished an interrupted change of the passphrase: 1 item\n"


@needs_pty
def test_it_is_asked_for(c1, tty):
    """The current one once, the new one twice, hidden."""
    terminal = tty("passwd", env={"AWS_VAULT_FILE_PASSPHRASE": None})
    for question, typed in (
        (f'Enter passphrase to unlock "{c1.keys}": ', PASSPHRASE),
        (f'Enter a new passphrase to protect "{c1.keys}": ', "next"),
        ("Enter the same passphrase again: ", "next"),
    ):
        terminal.expect(question)
        terminal.wait_for_echo(on=False)
        terminal.send(f"{typed}\n")
    assert terminal.wait() == Result(0, "Changed the passphrase of 1 item.\n", "")
    assert items.read(str(c1.keys), "jon", "next")


# doctor --reset


def test_a_forgotten_passphrase(c1, human):
    """Each file is named, and asked for; then the store is empty, and the files are in one directory, as they were."""
    items.write(str(c1.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE, "a seed")
    human.says = False
    result = c1.call("doctor", "--reset")
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout == f"   {c1.keys / 'jon'}\n   {c1.path / 'strongroom' / f'totp:{M}'.replace('/', '%2F')}\n"
    assert c1.items()["jon"]
    human.says = True
    result = c1.call("doctor", "--reset")
    [place] = c1.path.glob("set-aside-*")
    assert re.fullmatch(r"set-aside-\d{8}T\d{6}Z", place.name)
    assert human.asked[-1] == f"Set these 2 files aside, in {place}? (y|N) "
    assert result.stdout.endswith(f"Set aside 2 files in {place}.\n")
    assert "still active in IAM" in result.stderr
    assert c1.item_names() == []
    assert items.read(str(place / "keys"), "jon", PASSPHRASE)
    assert items.read(str(place / "strongroom"), f"totp:{M}", PASSPHRASE) == {"seed": "S"}
    if sys.platform != "win32":
        assert place.stat().st_mode & 0o777 == 0o700
    result = c1.call("doctor", "--reset", "-y")
    assert result == Result(0, f"{c1.keys} is empty: the first `add` asks for a new passphrase.\n", "")


def test_twice_in_a_second(c1):
    """Nothing that was set aside is overwritten."""
    assert c1.call("doctor", "--reset", "-y").status == 0
    [first] = c1.path.glob("set-aside-*")
    c1.put_key("jon")
    assert c1.call("doctor", "--reset", "-y").status == 0
    assert len(list(c1.path.glob("set-aside-*/keys/jon"))) == 2
    assert first.exists()


def test_to_another_disk(c1, monkeypatch):
    """Copied, then removed."""

    def far(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "rename", far)
    assert c1.call("doctor", "--reset", "-y").status == 0
    assert len(list(c1.path.glob("set-aside-*/keys/jon"))) == 1
    assert c1.item_names() == []


def test_a_directory_that_cannot_be_made(c1, monkeypatch):
    """One line, and the files are where they were."""

    def denied(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "rename", denied)
    result = c1.call("doctor", "--reset", "-y")
    assert result.status == 1
    assert f"error: doctor: cannot set {c1.keys / 'jon'} aside: permission denied\n" in result.stderr
    assert c1.items()["jon"]


@pytest.mark.parametrize("argv", [["passwd"], ["doctor", "--reset"]], ids=" ".join)
def test_nobody_to_ask(c1, argv):
    """One line, and what to do; nothing is changed."""
    result = c1.run(*argv)
    assert result.status == 1
    assert re.search(r"error: (passwd: a new passphrase is needed, and|doctor:) .*no terminal", result.stderr)
    assert c1.items()["jon"]


@pytest.mark.parametrize("argv", [["passwd"], ["doctor", "--reset"]], ids=" ".join)
def test_another_keystore(c1, argv, monkeypatch):
    """Its passphrase is not ours to change."""
    from strongroom.cli.settings import Settings
    from strongroom.keystore.memory import MemoryKeystore

    monkeypatch.setattr(Settings, "store", lambda *_: MemoryKeystore())
    result = c1.call(*argv, env={"AWS_VAULT_BACKEND": "secret-service"})
    assert result.status == 1
    assert "the keystore in use is 'secret-service', and strongroom knows no passphrase of it" in result.stderr


@pytest.mark.parametrize(
    ("argv", "message"),
    [(["--reset", "--json"], "--reset has no answer in JSON"), (["-y"], "--yes is for --reset: nothing else is asked")],
)
def test_flags_of_doctor(c1, argv, message):
    """Those that say nothing are refused."""
    result = c1.call("doctor", *argv)
    assert (result.status, result.stderr) == (2, f"strongroom: error: doctor: {message}, try --help\n")


# reveal


@needs_pty
def test_a_key_on_the_screen(c1, tty):
    """After a yes, on the terminal, though standard output leads elsewhere."""
    terminal = tty("reveal", "jon")
    terminal.expect('Show the secret of profile "jon" to whoever can see this screen? (y|N) ')
    terminal.send("y\n")
    assert terminal.wait() == Result(0, "", "")
    stored = c1.items()["jon"]
    assert terminal.shown.endswith(
        f"Access Key ID: {stored['AccessKeyID']}\nSecret Access Key: {stored['SecretAccessKey']}\n"
    )


def test_a_key_on_standard_output(c1, human):
    """If asked for; a no shows nothing."""
    stored = c1.items()["jon"]
    shown = f"Access Key ID: {stored['AccessKeyID']}\nSecret Access Key: {stored['SecretAccessKey']}\n"
    assert c1.call("reveal", "--stdout", "jon") == Result(0, shown, "")
    human.says = False
    assert c1.call("reveal", "--stdout", "jon") == Result(0, "", "")
    assert len(human.asked) == 2


def test_what_is_no_key(c1, human):
    """Neither sessions nor seeds, nor what is not there."""
    session = c1.put_session("sts.GetSessionToken", "jon", M)
    items.write(str(c1.path / "strongroom"), f"totp:{M}", {"seed": "S"}, PASSPHRASE, "a seed")
    for name in (session, f"totp:{M}", M, "nobody"):
        result = c1.call("reveal", name)
        assert (result.status, result.stdout) == (1, "")
        assert f"error: reveal: no credentials are stored for profile {name!r}" in result.stderr
    assert human.asked == []


def test_reveal_where_nobody_can_say_yes(c1):
    """Not even on standard output."""
    result = c1.run("reveal", "--stdout", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert "programs are served by `export --no-session`" in result.stderr


# The setting


@pytest.mark.parametrize(
    "argv",
    [["reveal", "jon"], ["export", "-n", "jon"], ["exec", "-n", "jon", "--", "true"], ["exec", "-n", "--json", "jon"]],
    ids=" ".join,
)
def test_forbidden(c1, human, argv):
    """No long-term key leaves the vault; nobody is asked."""
    result = c1.call(*argv, env={"STRONGROOM_FORBID_LONG_TERM_OUTPUT": "true"})
    assert (result.status, result.stdout, result.child) == (1, "", None)
    assert f"error: {argv[0]}: {FORBIDDEN}" in result.stderr
    assert human.asked == []


def test_what_is_not_forbidden(c1, cloud):
    """Temporary credentials."""
    env = {"STRONGROOM_FORBID_LONG_TERM_OUTPUT": "true"}
    assert c1.call("export", "jon", "-t", "123456", env=env).status == 0
    assert c1.call("export", "ro", "-n", "-t", "123456", env=env).status == 0


def test_in_the_settings_file(c1):
    """As a switch of TOML."""
    path = c1.path / "xdg-config" / "strongroom" / "config.toml"
    path.parent.mkdir(parents=True)
    for text, status in (("true", 1), ('"yes"', 1), ("false", 0)):
        path.write_text(f"forbid_long_term_output = {text}\n")
        result = c1.call("export", "-n", "jon")
        assert (result.status, str(path) in result.stderr) == (status, bool(status))
