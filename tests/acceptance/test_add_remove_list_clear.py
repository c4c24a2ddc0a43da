"""What is stored and removed, what lists show of it, and what `add` does to the config file."""

import os
import re
import shutil
import stat
import subprocess
import sys

import pytest
from botocore.configloader import load_config

from fakes.cloud import Call
from harness import items
from harness.home import ADM, C1, CODE, PASSPHRASE, M, N, Result, shown_time
from harness.parallel import run_together
from strongroom.vault import Vault

ID, SECRET = "AKIAEXAMPLEEXAMPLE07", "wJalr/UtnFEMI+K7MDENG=bPxRfiCYEXAMPLEKEY"
KEY = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": SECRET}
ADDED = 'Added credentials to profile "{}" in vault\n'

GST, AR = "sts.GetSessionToken", "sts.AssumeRole"
NOW = 1_800_000_000

needs_links = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no modes, and links need a privilege there"
)
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals that a test can drive")


@pytest.fixture
def noon(monkeypatch):
    """The vault's clock stands still at `NOW`."""
    monkeypatch.setitem(Vault.__init__.__kwdefaults__, "now", lambda: NOW)


def put_session(home, kind, profile, serial="", *, left):
    """Store a session with so many seconds left at `NOW`."""
    name = items.session_key(kind, profile, serial, NOW + left)
    fields = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": shown_time(NOW + left)}
    items.write(str(home.keys), name, fields, PASSPHRASE, f"aws-vault session for {profile}", "aws-vault session")
    return name


def put_token(home, start_url):
    """Store an Identity Center token as aws-vault does."""
    token = {"AccessToken": "secret", "ExpiresIn": 28800, "TokenType": "Bearer", "RefreshToken": None, "IdToken": None}
    fields = {"Token": token, "Expiration": shown_time(NOW + 28800)}
    items.write(str(home.keys), f"oidc:{start_url}", fields, PASSPHRASE, "aws-vault oidc token", "aws-vault oidc token")


def row(*cells, widths=(25, 25, 25)):
    """A line of the table."""
    return "".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + "\n"


def table(*rows, widths=(25, 25, 25)):
    """The whole table."""
    heads = ("Profile", "Credentials", "Sessions"), ("=======", "===========", "========")
    return "".join(row(*cells, widths=widths) for cells in (*heads, *rows))


# add


def test_add_from_the_environment(home):
    """One line on stdout, an item that only its owner may read, in a directory that only its owner may enter."""
    assert home.call("add", "--env", "x", env=KEY) == Result(0, ADDED.format("x"), "")
    assert home.items() == {
        "x": {
            "AccessKeyID": ID,
            "SecretAccessKey": SECRET,
            "SessionToken": "",
            "Source": "",
            "CanExpire": False,
            "Expires": "0001-01-01T00:00:00Z",
            "AccountID": "",
        }
    }
    assert home.config.read_text() == "[profile x]\n"
    if sys.platform != "win32":
        modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (home.keys / "x", home.keys, home.config.parent)]
        assert modes == [0o600, 0o700, 0o700]


def test_add_from_the_environment_ignores_a_session_token(home):
    """AWS_SESSION_TOKEN is not stored: the key is a long-term one."""
    env = {**KEY, "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjEXAMPLE"}
    assert home.call("add", "--env", "x", env=env) == Result(0, ADDED.format("x"), "")
    assert home.items()["x"]["SessionToken"] == ""


@pytest.mark.parametrize("missing", sorted(KEY))
@pytest.mark.parametrize("value", [None, "", "  "])
def test_add_from_an_incomplete_environment(home, missing, value):
    """The variable that is missing is named; nothing is stored, nothing written."""
    result = home.call("add", "--env", "x", env={**KEY, missing: value})
    assert result == Result(
        1,
        "",
        f"strongroom: error: add: Missing value for {missing}\n"
        "strongroom: hint: set it, or leave out --env to be asked\n",
    )
    assert home.item_names() == []
    assert not home.config.exists()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AWS_ACCESS_KEY_ID", "ASIAEXAMPLEEXAMPLE07", "the access key id begins with ASIA: it is a temporary key"),
        ("AWS_ACCESS_KEY_ID", "AKIA EXAMPLE", "the access key id holds a blank or a character that no key has"),
        ("AWS_SECRET_ACCESS_KEY", "two words", "the secret access key holds a blank or a character that no key has"),
        ("AWS_SECRET_ACCESS_KEY", "sécret", "the secret access key holds a blank or a character that no key has"),
    ],
)
def test_add_refuses_what_is_no_long_term_key(home, name, value, said):
    """Temporary keys, and keys that were copied with something else. (aws-vault stores them.)"""
    result = home.call("add", "--env", "x", env={**KEY, name: value})
    assert (result.status, result.stdout) == (1, "")
    assert said in result.stderr
    assert value not in result.stderr
    assert SECRET not in result.stderr
    assert home.item_names() == []


def test_add_trims_what_was_pasted(home):
    """Blanks and line ends around a key are not part of it."""
    env = {name: f" {value}\n" for name, value in KEY.items()}
    assert home.call("add", "--env", "x", env=env).status == 0
    assert (home.items()["x"]["AccessKeyID"], home.items()["x"]["SecretAccessKey"]) == (ID, SECRET)


def test_add_without_config(c1):
    """--no-add-config leaves the config file as it is, or missing."""
    before = c1.config.read_bytes()
    assert c1.call("add", "--env", "--no-add-config", "y", env=KEY) == Result(0, ADDED.format("y"), "")
    assert c1.config.read_bytes() == before
    c1.config.unlink()
    assert c1.call("add", "--env", "--no-add-config", "z", env=KEY).status == 0
    assert not c1.config.exists()
    assert c1.item_names() == ["jon", "y", "z"]


def test_add_to_a_profile_with_a_source(c1):
    """Refused: its own key would take the place of the source without a word."""
    before = c1.config.read_bytes()
    result = c1.call("add", "--env", "ro", env=KEY)
    assert result == Result(
        1,
        "",
        "strongroom: error: add: Your profile has a source_profile of jon, adding credentials to ro won't have any "
        "effect\n"
        f"strongroom: hint: add them to jon, or remove source_profile from {c1.config}:9\n",
    )
    assert c1.item_names() == ["jon"]
    assert c1.config.read_bytes() == before


@pytest.mark.parametrize(
    "config",
    [
        "[profile x]\nsource_profile = x\n",
        "[profile x]\nsource_profile =\n",
        "[profile x]\ninclude_profile = y\n\n[profile y]\nsource_profile = z\n",
        "[default]\nsource_profile = z\n\n[profile x]\n",
    ],
)
def test_add_heeds_the_profiles_own_source_only(home, config):
    """A source in an include or in [default] does not keep a key out, nor does the profile itself.

    Different from aws-vault, which refuses a profile that names itself.
    """
    home.write_config(config)
    assert home.call("add", "--env", "x", env=KEY) == Result(0, ADDED.format("x"), "")
    assert home.config.read_text() == config


@needs_pty
def test_add_asks(c1, tty):
    """Three questions in this order at the terminal, the secret one star a character; stdout has the answer only."""
    terminal = tty("add", "x")
    terminal.expect("Enter Access Key ID: ")
    terminal.send(f"{ID}\n")
    terminal.expect("Enter Secret Access Key: ")
    terminal.wait_for_echo(on=False)
    terminal.send(f"{SECRET}\n")
    terminal.expect("Enter MFA Device ARN (If MFA is not enabled, leave this blank): ")
    terminal.send(f"{N}\n")
    assert terminal.wait() == Result(0, ADDED.format("x"), "")
    assert terminal.shown == (
        f"Enter Access Key ID: {ID}\n"
        f"Enter Secret Access Key: {'*' * len(SECRET)}\n"
        f"Enter MFA Device ARN (If MFA is not enabled, leave this blank): {N}\n"
    )
    assert terminal.echo
    assert (c1.items()["x"]["AccessKeyID"], c1.items()["x"]["SecretAccessKey"]) == (ID, SECRET)
    assert c1.config.read_text().endswith(f"\n\n[profile x]\nmfa_serial={N}\n")


@needs_pty
def test_add_asks_for_a_section_that_exists(c1, tty):
    """A section that is there stays as it is, and where mfa_serial belongs is said. (aws-vault drops the ARN.)"""
    before = c1.config.read_bytes()
    terminal = tty("add", "jon")
    for answer in (ID, SECRET, N):
        terminal.expect(": ")
        terminal.send(f"{answer}\n")
    result = terminal.wait()
    assert (result.status, result.stdout) == (0, ADDED.format("jon"))
    assert result.stderr == (
        f"strongroom: warning: the config file was left as it is; for MFA, set mfa_serial = {N} in section "
        f"[profile jon] of {c1.config}\n"
    )
    assert c1.config.read_bytes() == before


@needs_pty
def test_add_without_a_device(home, tty):
    """An empty answer to the third question adds a section without mfa_serial."""
    terminal = tty("add", "x")
    for answer in (ID, SECRET, ""):
        terminal.expect(": ")
        terminal.send(f"{answer}\n")
    assert terminal.wait() == Result(0, ADDED.format("x"), "")
    assert home.config.read_text() == "[profile x]\n"


@needs_pty
@pytest.mark.parametrize("answers", [("", ""), (ID, ""), (ID, "two words"), ("ASIAEXAMPLEEXAMPLE07", SECRET)])
def test_add_asks_and_gets_no_key(home, tty, answers):
    """An answer that cannot be a key stores nothing. (aws-vault stores it.)"""
    terminal = tty("add", "x")
    for answer in answers:
        terminal.expect(": ")
        terminal.send(f"{answer}\n")
    result = terminal.wait()
    assert (result.status, result.stdout) == (1, "")
    assert re.fullmatch(r"strongroom: error: add: .*\nstrongroom: hint: .*\n", result.stderr)
    assert home.item_names() == []
    assert not home.config.exists()


@needs_pty
@pytest.mark.parametrize("question", [1, 2, 3])
def test_add_is_interrupted(home, tty, question):
    """Ctrl-C at any question: 130, nothing stored, the terminal as it was."""
    terminal = tty("add", "x")
    for answer in (ID, SECRET)[: question - 1]:
        terminal.expect(": ")
        terminal.send(f"{answer}\n")
    terminal.expect(": ")
    terminal.interrupt()
    assert terminal.wait() == Result(130, "", "")
    assert terminal.echo
    assert home.item_names() == []
    assert not home.config.exists()


def test_add_without_a_terminal(home):
    """A line with what to do, at once; stdin is not read."""
    result = home.run("add", "x", stdin=f"{ID}\n{SECRET}\n\n", timeout=20)
    assert (result.status, result.stdout) == (1, "")
    assert re.fullmatch(
        r"strongroom: error: add: there is no terminal to ask at \(.*\)\n"
        r"strongroom: hint: run it in a terminal, or use --env with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY\n",
        result.stderr,
    )
    assert home.item_names() == []


def test_add_over_an_existing_key(c1):
    """The key is replaced, and the sessions made from the old one are removed and counted, those of its roles too.

    Different from aws-vault, which removes the profile's own sessions only, and lets the roles' go on.
    """
    kept = c1.put_session(GST, "other")
    c1.put_key("other")
    c1.put_session(GST, "jon", M)
    c1.put_session(AR, "admin")
    assert c1.call("add", "--env", "jon", env=KEY) == Result(
        0, ADDED.format("jon") + "Deleted 2 existing sessions.\n", ""
    )
    assert c1.item_names() == ["jon", "other", kept]
    assert c1.items()["jon"]["AccessKeyID"] == ID


def test_add_to_default(home):
    """The profile default is the section [default], not [profile default]."""
    assert home.call("add", "--env", "default", env=KEY) == Result(0, ADDED.format("default"), "")
    assert home.config.read_text() == "[default]\n"
    assert home.item_names() == ["default"]


@pytest.mark.parametrize("name", ["oidc:https://x/start", "session,a,b,123", "session:a:b:1", "x session (12)"])
def test_add_refuses_names_of_other_items(home, name):
    """A key under the name of a token or a session would be taken for one. (aws-vault stores it, and loses it.)"""
    result = home.call("add", "--env", name, env=KEY)
    assert (result.status, result.stdout) == (2, "")
    assert f"a profile cannot be called {name!r}" in result.stderr
    assert home.item_names() == []


@pytest.mark.parametrize("name", ["a b", "a/b", "a%b", "..", "ü", "🔑", 'q"q', "-x", "a#b", "a;b", "a.b"])
def test_add_takes_names_as_they_are(home, name):
    """The item, the section and the list have the name as it was typed."""
    assert home.call("add", "--env", "--", name, env=KEY).status == 0
    assert home.item_names() == [name]
    assert home.config.read_text() == f"[profile {name}]\n"
    assert home.call("list", "--profiles") == home.call("list", "--credentials") == Result(0, f"{name}\n", "")


# What add does to the config file

HARD = """\
# the first line
[default]
region=us-east-1 ; a comment
Output = json

[profile SSO]   # a name in capitals
sso_start_url=https://x/start#/
sso_region = us-east-1
; a comment
command = sh -c 'a; b # c'
quoted = "with blanks "

s3 =
    max_concurrent_requests = 20
    addressing_style = path

[sso-session corp]
sso_start_url = https://corp.awsapps.com/start#/
# the last line"""


@pytest.mark.parametrize(
    ("before", "between"),
    [
        (HARD, "\n\n"),
        (HARD + "\n", "\n"),
        (HARD + "\n\n", ""),
        (HARD.replace("\n", "\r\n"), "\r\n\r\n"),
        (HARD.replace("\n", "\r\n") + "\r\n", "\r\n"),
        ("\ufeff" + HARD, "\n\n"),
        ("", ""),
        ("\n", "\n"),
    ],
    ids=["no last newline", "newline", "blank line", "CRLF", "CRLF at the end", "BOM", "empty", "blank"],
)
def test_add_keeps_every_byte(home, before, between):
    """A new section comes after all that was there, in the file's own line ends; nothing else changes.

    Different from aws-vault, which writes the whole file anew: keys in lower case, values with # or ; in backticks,
    comments at the end lost.
    """
    home.config.parent.mkdir()
    home.config.write_bytes(before.encode())
    assert home.call("add", "--env", "x", env=KEY).status == 0
    newline = "\r\n" if "\r\n" in before else "\n"
    assert home.config.read_bytes() == (before + between + "[profile x]" + newline).encode()


def test_add_keeps_bytes_that_are_no_text(home):
    """Bytes that are no UTF-8 stay what they are."""
    home.config.parent.mkdir()
    home.config.write_bytes(b"# caf\xe9\n[profile a]\nregion = us-east-1\n")
    assert home.call("add", "--env", "x", env=KEY).status == 0
    assert home.config.read_bytes() == b"# caf\xe9\n[profile a]\nregion = us-east-1\n\n[profile x]\n"


def test_add_and_the_aws_cli(home):
    """The AWS CLI and botocore read the same settings as before, fragments of URLs and nested settings too."""
    home.write_config(HARD + "\n")
    before = load_config(str(home.config))
    assert home.call("add", "--env", "x", env=KEY).status == 0
    after = load_config(str(home.config))
    assert after["profiles"].pop("x") == {}
    assert after == before
    assert after["profiles"]["SSO"]["s3"]["max_concurrent_requests"] == "20"

    aws = os.path.join(os.path.dirname(sys.executable), "aws")
    run = subprocess.run(
        [aws, "configure", "get", "sso_start_url", "--profile", "SSO"],
        env=home.environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr, run.stdout) == (0, "", "https://x/start#/\n")


@needs_links
@pytest.mark.parametrize("mode", [0o600, 0o644, 0o640])
def test_add_keeps_the_mode(home, mode):
    """The file is another one afterwards, with the old one's mode: a reader sees the old bytes or the new."""
    home.write_config(HARD)
    home.config.chmod(mode)
    with open(home.config) as reader:
        assert home.call("add", "--env", "x", env=KEY).status == 0
        assert reader.read() == HARD
    assert stat.S_IMODE(os.stat(home.config).st_mode) == mode
    assert os.listdir(home.config.parent) == ["config"]


@needs_links
def test_add_keeps_a_link(home):
    """A config file that is a symbolic link stays one, and what it leads to gets the section."""
    real = home.work / "dotfiles" / "aws-config"
    real.parent.mkdir()
    real.write_text("[default]\nregion = us-east-1\n")
    home.config.parent.mkdir()
    home.config.symlink_to(real)
    assert home.call("add", "--env", "x", env=KEY).status == 0
    assert home.config.is_symlink()
    assert real.read_text() == "[default]\nregion = us-east-1\n\n[profile x]\n"
    assert os.listdir(real.parent) == ["aws-config"]


@needs_links
def test_add_through_a_link_to_nothing(home):
    """A link whose target is not there yet: the target is made, the link stays."""
    home.config.parent.mkdir()
    home.config.symlink_to(home.work / "later")
    assert home.call("add", "--env", "x", env=KEY).status == 0
    assert home.config.is_symlink()
    assert (home.work / "later").read_text() == "[profile x]\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
def test_add_when_nobody_can_be_told(c1):
    """The work is done to its end all the same: key, section, and the old key's sessions."""
    c1.put_session("sts.GetSessionToken", "x")
    with open("/dev/full", "w") as full:
        process = c1.popen("add", "--env", "x", env=KEY, stdout=full, stderr=subprocess.PIPE)
        stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert stderr == "strongroom: error: add: cannot write to standard output: No space left on device\n"
    assert c1.item_names() == ["jon", "x"]
    assert c1.config.read_text().endswith("\n[profile x]\n")


def test_add_to_a_file_that_cannot_be_replaced(home, monkeypatch):
    """The old file stays whole, nothing lies about, and the line says which file it was."""
    home.write_config(HARD)
    replace = os.replace

    def full(source, target):
        if os.fspath(target) == os.path.realpath(home.config):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    result = home.call("add", "--env", "x", env=KEY)
    assert (result.status, result.stdout) == (1, ADDED.format("x"))
    assert result.stderr == (
        f"strongroom: error: add: cannot write the config file {os.path.realpath(home.config)}: "
        "No space left on device\n"
        "strongroom: hint: check its permissions, or use --no-add-config\n"
    )
    assert home.config.read_text() == HARD
    assert os.listdir(home.config.parent) == ["config"]


def test_add_looks_first_whether_the_section_can_be_written(home):
    """A name that a config file cannot hold is refused before anything is stored. (aws-vault stores, then fails.)"""
    result = home.call("add", "--env", "a]b", env=KEY)
    assert (result.status, result.stdout) == (1, "")
    assert "'profile a]b' cannot be the name of a section" in result.stderr
    assert home.item_names() == []
    assert home.call("add", "--env", "--no-add-config", "a]b", env=KEY).status == 0
    assert home.item_names() == ["a]b"]


def test_add_many_at_once(home):
    """Ten processes that add a profile each: all sections are there, each once, and all keys."""
    home.write_config(HARD + "\n")
    names = [f"p{number}" for number in range(10)]
    results = run_together(home, [["add", "--env", name] for name in names], env=KEY)
    assert results == [Result(0, ADDED.format(name), "") for name in names]
    text = home.config.read_text()
    assert text.startswith(HARD + "\n\n[profile p")
    assert sorted(text.removeprefix(HARD).split()) == sorted(
        word for name in names for word in ("[profile", f"{name}]")
    )
    assert home.item_names() == sorted(names)


# remove


def test_remove(c1):
    """The key is gone, the section stays; sessions made from the key are removed, and that it lives on in IAM is said.

    Different from aws-vault, which leaves the sessions usable.
    """
    before = c1.config.read_bytes()
    kept = c1.put_session(GST, "other")
    c1.put_session(GST, "jon", M)
    c1.put_session(AR, "admin")
    assert c1.call("remove", "-f", "jon") == Result(
        0,
        "Deleted credentials.\nDeleted 2 sessions.\n",
        "strongroom: the key itself is still active in IAM: deactivate or delete it there if it is no longer needed\n",
    )
    assert c1.item_names() == [kept]
    assert c1.config.read_bytes() == before


def test_remove_without_sessions(c1):
    """What is not there is not counted."""
    assert c1.call("rm", "--force", "jon").stdout == "Deleted credentials.\n"
    assert c1.item_names() == []


@needs_pty
@pytest.mark.parametrize("answer", ["y", "Y", "yes", "YES", " y "])
def test_remove_on_a_yes(c1, tty, answer):
    """y and yes in any case remove."""
    terminal = tty("remove", "jon")
    terminal.expect('Delete credentials for profile "jon"? (y|N) ')
    terminal.send(f"{answer}\n")
    result = terminal.wait()
    assert (result.status, result.stdout) == (0, "Deleted credentials.\n")
    assert c1.item_names() == []


@needs_pty
@pytest.mark.parametrize("answer", ["n\n", "\n", "no\n", "yep\n", "ye\n", "\x04"])
def test_remove_on_anything_else(c1, tty, answer):
    """Anything but a yes keeps the key: exit 0, not a word."""
    terminal = tty("remove", "jon")
    terminal.expect('Delete credentials for profile "jon"? (y|N) ')
    terminal.send(answer)
    assert terminal.wait() == Result(0, "", "")
    assert c1.item_names() == ["jon"]


@needs_pty
def test_remove_is_interrupted(c1, tty):
    """Ctrl-C at the question: 130, and the key is there."""
    terminal = tty("remove", "jon")
    terminal.expect("(y|N) ")
    terminal.interrupt()
    assert terminal.wait() == Result(130, "", "")
    assert terminal.echo
    assert c1.item_names() == ["jon"]


def test_remove_without_a_terminal(c1):
    """Nobody to ask: a line, at once, that names --force."""
    result = c1.run("remove", "jon", stdin="y\n", timeout=20)
    assert (result.status, result.stdout) == (1, "")
    assert re.fullmatch(
        r"strongroom: error: remove: there is no terminal to ask at \(.*\)\n"
        r"strongroom: hint: run it in a terminal, or use --force\n",
        result.stderr,
    )
    assert c1.item_names() == ["jon"]


@pytest.mark.parametrize("words", [("rm", "-f"), ("remove",)])
def test_remove_what_is_not_there(c1, words):
    """Exit 1 without a question, in whichever keystore, and the nearest name."""
    result = c1.call(*words, "missing")
    assert result == Result(
        1,
        "",
        "strongroom: error: remove: no credentials are stored for profile 'missing'\n"
        "strongroom: hint: `list --credentials` shows those that are\n",
    )
    assert c1.call(*words, "john").stderr.endswith("strongroom: hint: did you mean 'jon'?\n")


def test_remove_takes_no_session_for_a_key(c1):
    """The name of a stored session or token is not a profile's."""
    session = c1.put_session(GST, "jon", M)
    put_token(c1, "https://x/start")
    for name in (session, "oidc:https://x/start"):
        assert c1.call("remove", "-f", name).status == 1
    assert len(c1.item_names()) == 3


@pytest.mark.parametrize("flag", ["-s", "--sessions-only"])
def test_remove_sessions_only(c1, flag):
    """The profile's sessions go, without a question; the key and other profiles' sessions stay."""
    kept = c1.put_session(AR, "admin")
    c1.put_session(GST, "jon", M)
    c1.put_session(GST, "jon", "", left=-10)
    assert c1.call("remove", flag, "jon") == Result(0, "Deleted 2 sessions.\n", "")
    assert c1.item_names() == ["jon", kept]
    assert c1.call("remove", flag, "jon") == Result(0, "Deleted 0 sessions.\n", "")


# list


def test_list(c1, noon):
    """Three columns, 25 wide, each padded, the last one too; profiles in the config's order."""
    put_session(c1, GST, "jon", M, left=5000)
    assert c1.call("list") == Result(
        0,
        "Profile                  Credentials              Sessions                      \n"
        "=======                  ===========              ========                      \n"
        "default                  -                        -                             \n"
        "jon                      jon                      sts.GetSessionToken:1h23m20s  \n"
        "ro                       -                        -                             \n"
        "admin                    -                        -                             \n"
        "r1                       -                        -                             \n"
        "r2                       -                        -                             \n",
        "",
    )


def test_list_of_nothing(home):
    """The heads alone, 25 wide each; nothing is made on the way. (aws-vault makes the config file.)"""
    assert home.call("list") == Result(0, table(), "")
    assert sorted(os.listdir(home.path)) == ["run"]
    for flag in ("--profiles", "--credentials", "--sessions"):
        assert home.call("list", flag) == Result(0, "", "")


def test_list_widths(home):
    """A column is two wider than its longest cell, counted in characters, and never narrower than 25."""
    home.write_config("[profile " + "ü" * 40 + "]\n[profile " + "x" * 23 + "]\n")
    home.put_key("k" * 24)
    assert home.call("list").stdout == table(
        ("ü" * 40, "-", "-"), ("x" * 23, "-", "-"), ("-", "k" * 24, "-"), widths=(42, 26, 25)
    )


def test_list_of_what_has_no_profile(c1, noon):
    """Keys without a section come after the profiles, then sessions of unknown profiles; each sorted."""
    c1.put_key("zoe")
    c1.put_key("bob")
    put_session(c1, AR, "gone", left=60)
    put_session(c1, GST, "bob", left=59)
    lines = c1.call("list").stdout.splitlines(keepends=True)
    assert lines[2:] == [
        *(row(name, "jon" if name == "jon" else "-", "-") for name in ("default", "jon", "ro", "admin", "r1", "r2")),
        row("-", "bob", "-"),
        row("-", "zoe", "-"),
        row("-", "-", "sts.AssumeRole:1m0s"),
        row("-", "-", "sts.GetSessionToken:59s"),
    ]


def test_list_several_sessions(c1, noon):
    """A profile's sessions stand in one cell, a comma between, in the order of their names."""
    put_session(c1, GST, "jon", M, left=3600)
    put_session(c1, AR, "jon", M, left=7 * 3600 + 3554)
    put_session(c1, "sso.GetRoleCredentials", "jon", "https://x/start", left=30)
    put_session(c1, "credential_process", "jon", "", left=3599)
    cell = "credential_process:59m59s, sso.GetRoleCredentials:30s, sts.AssumeRole:7h59m14s, sts.GetSessionToken:1h0m0s"
    expected = row("jon", "jon", cell, widths=(25, 25, len(cell) + 2))
    assert c1.call("list").stdout.splitlines(keepends=True)[3] == expected
    assert c1.call("list", "--sessions") == Result(0, cell.replace(", ", "\n") + "\n", "")


def test_list_needs_no_passphrase(c1):
    """Nothing is opened: no passphrase, a wrong one, items cut short, all the same."""
    c1.put_session(GST, "jon", M)
    for path in c1.keys.iterdir():
        os.truncate(path, 20)
    expected = c1.call("list", "--credentials")
    assert expected == Result(0, "jon\n", "")
    for env in ({"AWS_VAULT_FILE_PASSPHRASE": None}, {"AWS_VAULT_FILE_PASSPHRASE": "wrong"}):
        assert c1.run("list", "--credentials", env=env, timeout=20) == expected
        assert c1.run("list", "--sessions", env=env, timeout=20).stdout.startswith("sts.GetSessionToken:59m")


@pytest.mark.parametrize("left", [-100, 0])
def test_list_of_expired_sessions(c1, noon, left):
    """A session that has expired is listed as that, and not removed. (aws-vault shows a negative time.)"""
    name = put_session(c1, GST, "jon", M, left=left)
    assert row("jon", "jon", "sts.GetSessionToken:expired", widths=(25, 25, 29)) in c1.call("list").stdout
    assert c1.call("list", "--sessions") == Result(0, "sts.GetSessionToken:expired\n", "")
    assert c1.item_names() == ["jon", name]


PROFILES, CREDENTIALS, SESSIONS = "default\njon\nro\nadmin\nr1\nr2\n", "bob\njon\n", "sts.GetSessionToken:10m0s\n"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--profiles"], PROFILES),
        (["--credentials"], CREDENTIALS),
        (["--sessions"], SESSIONS),
        (["--profiles", "--sessions"], PROFILES),
        (["--sessions", "--credentials"], CREDENTIALS),
        (["--profiles", "--credentials"], CREDENTIALS),
        (["--sessions", "--profiles", "--credentials"], CREDENTIALS),
        (["--no-credentials", "--profiles"], PROFILES),
    ],
    ids=" ".join,
)
def test_list_of_one_kind(c1, noon, flags, expected):
    """One a line; credentials go before profiles, profiles before sessions."""
    c1.put_key("bob")
    put_session(c1, GST, "jon", M, left=600)
    assert c1.call("list", *flags) == Result(0, expected, "")


@pytest.mark.parametrize(
    ("section", "listed"),
    [
        ("[default]\n", False),
        ("[default]\noutput = json\n", False),
        ("[default]\nregion =\n", False),
        ("[default]\nregion = us-east-1\n", True),
        ("[default]\nRole_Arn = x\n", True),
        ("[DEFAULT]\nregion = us-east-1\n", False),
    ],
)
def test_list_of_default(home, section, listed):
    """[default] is a profile if it says anything that concerns us."""
    home.write_config(section + "\n[profile a]\n")
    assert home.call("list", "--profiles").stdout == ("default\na\n" if listed else "a\n")


SSO = """\
[profile one]
sso_session = corp
sso_account_id = 111111111111

[profile two]
sso_session = corp
sso_start_url = https://elsewhere.example/start

[profile legacy]
sso_start_url = https://legacy.awsapps.com/start

[sso-session corp]
sso_start_url = https://corp.awsapps.com/start#/
sso_region = us-east-1
"""


def test_list_of_tokens(home, noon):
    """A token is named after its sso-session, else after its host; in each profile that uses it, else in a row of its own.

    A start URL in the sso-session goes before one in the profile.
    """
    home.write_config(SSO)
    urls = ("https://corp.awsapps.com/start#/", "https://legacy.awsapps.com/start", "https://elsewhere.example/start")
    for url in (*urls, "junk"):
        put_token(home, url)
    put_session(home, "sso.GetRoleCredentials", "one", "https://corp.awsapps.com/start#/", left=600)
    cell = "oidc:corp, sso.GetRoleCredentials:10m0s"
    assert home.call("list") == Result(
        0,
        table(
            ("one", "-", cell),
            ("two", "-", "oidc:corp"),
            ("legacy", "-", "oidc:legacy.awsapps.com"),
            ("-", "-", "oidc:elsewhere.example"),
            ("-", "-", "oidc:junk"),
            widths=(25, 25, len(cell) + 2),
        ),
        "",
    )
    assert home.call("list", "--credentials") == Result(0, "", "")


def test_list_json(c1, noon):
    """The same for programs, with times. (aws-vault has no such thing.)"""
    c1.write_config(C1.format(url="http://x", M=M, RO="", ADM="", R1="", R2="") + "\n" + SSO)
    c1.put_key("bob")
    put_token(c1, "https://corp.awsapps.com/start#/")
    put_session(c1, GST, "jon", M, left=600)
    put_session(c1, AR, "gone", "", left=-60)
    jon = {
        "type": GST,
        "profile": "jon",
        "mfa_serial": M,
        "expiration": "2027-01-15T08:10:00Z",
        "seconds_left": 600,
        "expired": False,
    }
    gone = {
        "type": AR,
        "profile": "gone",
        "mfa_serial": "",
        "expiration": "2027-01-15T07:59:00Z",
        "seconds_left": -60,
        "expired": True,
    }
    result = c1.call("list", "--json")
    assert (result.status, result.stderr) == (0, "")
    names = ("default", "jon", "ro", "admin", "r1", "r2", "one", "two", "legacy")
    assert result.json() == {
        "profiles": [
            {"name": name, "has_credentials": name == "jon", "sessions": [jon] if name == "jon" else []}
            for name in names
        ],
        "credentials": ["bob", "jon"],
        "sessions": [gone, jon],
        "tokens": [{"start_url": "https://corp.awsapps.com/start#/", "label": "oidc:corp"}],
    }
    assert c1.call("list", "--json", "--profiles") == result


def test_list_with_a_mistake_in_the_config(c1):
    """A broken line is told of with file and line, and everything is listed. (aws-vault lists nothing.)"""
    text = c1.config.read_text()
    line = text.count("\n") + 3
    c1.write_config(text + "\n[profile broken]\nno delimiter here\n\n[profile after]\nduration_seconds = abc\n")
    result = c1.call("list", "--profiles")
    assert (result.status, result.stdout) == (0, PROFILES + "broken\nafter\n")
    assert result.stderr == (
        f"strongroom: warning: {c1.config}:{line}: key-value delimiter not found: 'no delimiter here'\n"
    )
    assert c1.call("list").status == 0


def test_list_with_a_config_that_is_none(c1):
    """Of a file that is something else altogether, ten lines are told of and the rest is counted."""
    c1.write_config("not a setting\n" * 20_000)
    result = c1.call("list", "--credentials")
    assert (result.status, result.stdout) == (0, "jon\n")
    assert result.stderr == "".join(
        f"strongroom: warning: {c1.config}:{line}: key-value delimiter not found: 'not a setting'\n"
        for line in range(1, 11)
    ) + (f"strongroom: warning: {c1.config}: 19990 more lines cannot be read\n")


def test_list_with_loops_in_the_config(home):
    """Profiles that lead to each other are listed like others, with a token stored too."""
    home.write_config(
        "[profile a]\nsource_profile = b\n\n[profile b]\nsource_profile = a\n\n[profile c]\ninclude_profile = c\n\n"
        "[profile d]\nsso_start_url = https://d.example/start\n"
    )
    put_token(home, "https://d.example/start")
    result = home.call("list")
    assert result.status == 0
    assert result.stdout == table(("a", "-", "-"), ("b", "-", "-"), ("c", "-", "-"), ("d", "-", "oidc:d.example"))


def test_list_of_thousands(home, noon):
    """5,000 profiles are all there, in order, with their keys and sessions, tokens and all."""
    count = 5000
    home.write_config("".join(f"[profile p{number:04}]\nregion = eu-west-1\n\n" for number in range(count)) + SSO)
    put_token(home, "https://corp.awsapps.com/start#/")
    home.put_key("p0000")
    for number in range(0, count, 100):
        # The names are enough: nothing is opened.
        for name in (f"p{number:04}", items.session_key(GST, f"p{number:04}", M, NOW + 60)):
            if name != "p0000":
                shutil.copy(home.keys / "p0000", home.keys / name)
    cell = "sts.GetSessionToken:1m0s"
    widths = (25, 25, len(cell) + 2)
    assert home.call("list").stdout == table(
        *(
            (f"p{number:04}", *((f"p{number:04}", cell) if number % 100 == 0 else ("-", "-")))
            for number in range(count)
        ),
        ("one", "-", "oidc:corp"),
        ("two", "-", "oidc:corp"),
        ("legacy", "-", "-"),
        widths=widths,
    )
    names = home.call("list", "--profiles").stdout.split()
    assert names == [*(f"p{number:04}" for number in range(count)), "one", "two", "legacy"]


# clear


def test_clear_a_profile(c1):
    """The sessions of that profile go and are counted; its key and others' sessions stay."""
    kept = [c1.put_session(AR, "admin"), c1.put_session(GST, "jon2", M)]
    c1.put_session(GST, "jon", M)
    c1.put_session(GST, "jon", N, left=-60)
    c1.put_session(AR, "jon", "")
    assert c1.call("clear", "jon") == Result(0, "Cleared 3 sessions.\n", "")
    assert c1.item_names() == sorted(["jon", *kept])


@pytest.mark.parametrize(
    ("profile", "url"),
    [
        ("one", "https://corp.awsapps.com/start#/"),
        ("two", "https://corp.awsapps.com/start#/"),
        ("legacy", "https://legacy.awsapps.com/start"),
    ],
)
def test_clear_a_profile_with_a_token(home, profile, url):
    """The token of the start URL that the profile uses goes too: that of its sso-session before one of its own."""
    home.write_config(SSO)
    urls = {"https://corp.awsapps.com/start#/", "https://legacy.awsapps.com/start", "https://elsewhere.example/start"}
    for each in urls:
        put_token(home, each)
    home.put_session("sso.GetRoleCredentials", profile, url)
    assert home.call("clear", profile) == Result(0, "Cleared 2 sessions.\n", "")
    assert home.item_names() == sorted(f"oidc:{each}" for each in urls - {url})


def test_clear_everything(c1):
    """Sessions of all profiles, sessions of old formats, and tokens go; keys stay, with strange names too."""
    c1.put_key("bob (12)")
    c1.put_key("a,b,c")
    for name in ("session,jon,arn,1234567890", "session:jon:abc:123", "jon session (1234567890)"):
        items.write(str(c1.keys), name, {"AccessKeyId": "A"}, PASSPHRASE)
    c1.put_session(GST, "jon", M)
    c1.put_session(AR, "gone", "", left=-100)
    put_token(c1, "https://corp.awsapps.com/start#/")
    put_token(c1, "https://other.awsapps.com/start")
    assert c1.call("clear") == Result(0, "Cleared 7 sessions.\n", "")
    assert c1.item_names() == ["a,b,c", "bob (12)", "jon"]
    assert c1.call("clear") == Result(0, "Cleared 0 sessions.\n", "")


def test_clear_an_unknown_profile(c1):
    """Nothing to remove is not a failure."""
    name = c1.put_session(GST, "jon", M)
    assert c1.call("clear", "nope") == Result(0, "Cleared 0 sessions.\n", "")
    assert c1.item_names() == ["jon", name]


def test_clear_needs_no_passphrase(c1):
    """Names are enough."""
    c1.put_session(GST, "jon", M)
    result = c1.run("clear", env={"AWS_VAULT_FILE_PASSPHRASE": None}, timeout=20)
    assert result == Result(0, "Cleared 1 sessions.\n", "")


def test_clear_with_a_broken_profile(c1):
    """The sessions of a profile whose section is broken can be removed."""
    c1.write_config("[profile jon]\nno delimiter here\n")
    c1.put_session(GST, "jon", M)
    result = c1.call("clear", "jon")
    assert (result.status, result.stdout) == (0, "Cleared 1 sessions.\n")
    assert "key-value delimiter not found" in result.stderr
    assert c1.item_names() == ["jon"]


def test_a_file_that_is_no_item_stays(c1):
    """What others put into the directory is not listed, not cleared. (aws-vault takes it for a key.)"""
    (c1.keys / ".DS_Store").write_text("x")
    (c1.keys / "directory").mkdir()
    assert c1.call("list", "--credentials") == Result(0, "jon\n", "")
    assert c1.call("clear").status == 0
    assert sorted(os.listdir(c1.keys)) == [".DS_Store", "directory", "jon"]


# A key without a section


def test_a_key_without_a_section_is_usable(c1, cloud):
    """`exec` and `export` work with what [default] says, for a profile that is a stored key alone."""
    c1.put_key("bob", cloud=cloud)
    result = c1.call("export", "bob")
    assert result.status == 0
    assert "AWS_REGION=us-east-1\n" in result.stdout
    result = c1.call("exec", "bob", "--", "true")
    assert (result.environ["AWS_VAULT"], result.environ["AWS_REGION"]) == ("bob", "us-east-1")
    assert cloud.calls == [Call("GetSessionToken", 3600)]


def test_from_add_to_remove(c1, cloud):
    """The whole life of a key: added, listed, used, cleared, removed."""
    cloud.key(ID, SECRET, user="bob")
    assert c1.call("add", "--env", "bob", env=KEY).status == 0
    c1.config.write_text(c1.config.read_text() + f"mfa_serial = {M}\n\n[profile up]\nsource_profile = bob\n"
                         f"mfa_serial = {M}\nrole_arn = {ADM}\n")  # fmt: skip
    assert c1.call("export", "up", "-t", CODE).status == 0
    assert cloud.calls == [
        Call("GetSessionToken", 28800, M),
        Call("AssumeRole", 3600, signer="session", role=ADM),
    ]
    assert re.fullmatch(
        r"sts.GetSessionToken:7h59m5\ds\nsts.AssumeRole:59m5\ds\n", c1.call("list", "--sessions").stdout
    )
    assert c1.call("clear", "up").stdout == "Cleared 1 sessions.\n"
    assert c1.call("remove", "-f", "bob").stdout == "Deleted credentials.\nDeleted 1 sessions.\n"
    assert c1.item_names() == ["jon"]
