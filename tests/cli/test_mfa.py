import io
import json
import sys
import time

import pytest

from fakes.cloud import Call
from harness.home import CODE, M, N
from strongroom import totp
from strongroom.cli import codes, mfa

SEED = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
OTHER = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
STORED = f"The seed of MFA device {M} is in the vault.\n"
TOLD = "strongroom: codes of this device are made here now: whoever opens this store has both of its factors\n"


@pytest.fixture
def stdin(monkeypatch):
    """Give standard input to runs in this process."""

    def give(text):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))

    give("")
    return give


@pytest.fixture
def add(c1, stdin):
    """Add a seed."""

    def add(*words, seed=SEED, **more):
        stdin(seed)
        return c1.call("mfa", "add", "--stdin", *(words or (M,)), **more)

    return add


def error(result, message, hint, status=1):
    assert (result.status, result.stdout) == (status, "")
    lines = [f"strongroom: error: mfa: {message}", *([f"strongroom: hint: {hint}"] if hint else [])]
    assert result.stderr.splitlines() == lines


# add


@pytest.mark.parametrize("word", [M, "jon", "admin"])
def test_add(c1, add, word):
    """By the device or a profile that has it; the seed is nowhere to be seen, neither here nor in the store."""
    result = add(word, seed=f" {SEED[:16].lower()} {SEED[16:]}\n")
    assert (result.status, result.stdout, result.stderr) == (0, STORED, TOLD)
    files = [path for path in c1.path.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if SEED.encode() in path.read_bytes()] == []
    assert c1.item_names() == ["jon"]  # aws-vault would take another item there for a key


def test_its_codes_are_used(c1, cloud, add):
    """AWS takes them, nobody is asked; a second device is asked for as ever."""
    cloud.mfa[M] = SEED
    add()
    assert c1.call("export", "--format=json", "admin").status == 0
    assert [call.serial for call in cloud.calls] == [M, None]
    result = c1.call("export", "jon", env={"AWS_MFA_SERIAL": N})
    assert (result.status, "is needed" in result.stderr, "to ask at" in result.stderr) == (1, True, True)


def test_an_otpauth_url(c1, cloud, add):
    """As a QR code holds it."""
    cloud.mfa[M] = SEED
    assert add(seed=f"otpauth://totp/AWS:jon@1?secret={SEED}&issuer=AWS").status == 0
    assert c1.call("export", "jon").status == 0


def test_one_code_is_used_once(c1, cloud, add, monkeypatch):
    """AWS refuses a code that it has seen: for the second session the next one is waited for."""
    cloud.mfa[M] = SEED
    add()
    waits = []

    def pause(seconds):
        waits.append(seconds)
        cloud.skew_seconds += seconds
        ahead[0] += seconds

    ahead = [0.0]
    clock = lambda: time.time() + ahead[0]  # noqa: E731
    monkeypatch.setattr(codes.Codes.__init__, "__kwdefaults__", {"now": clock, "pause": pause})
    for duration in ("1h", "2h", "3h"):
        result = c1.call("export", "jon", "-d", duration)
        assert result.status == 0, result.stderr
    assert cloud.calls == [Call("GetSessionToken", seconds, M) for seconds in (3600, 7200, 10800)]
    assert len({call.code for call in cloud.calls}) == 3
    assert len(waits) == 2


def test_the_hidden_question(c1, cloud, tty):
    """Without --stdin it is asked for; not a star is shown."""
    cloud.mfa[M] = SEED
    terminal = tty("mfa", "add", "jon")
    terminal.expect(f"Enter the seed of MFA device {M}: ")
    terminal.wait_for_echo(on=False)
    terminal.send(f"{SEED}\n")
    result = terminal.wait()
    assert (result.status, result.stdout, result.stderr) == (0, STORED, TOLD)
    assert terminal.shown == f"Enter the seed of MFA device {M}: \n"
    assert terminal.echo
    assert c1.run("export", "jon").status == 0


def test_nobody_to_ask(c1):
    """What to do instead."""
    result = c1.run("mfa", "add", M)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.endswith("strongroom: hint: run it in a terminal, or use --stdin\n")


def test_a_seed_is_never_replaced(c1, cloud, add):
    """It may be the only copy. The same one again does no harm."""
    cloud.mfa[M] = SEED
    assert add().status == 0
    error(
        add(seed=OTHER),
        f"another seed is stored for MFA device {M}",
        f"it may be the only copy; remove it first with `strongroom mfa remove {M}`",
    )
    assert add().stdout == STORED
    assert c1.call("export", "jon").status == 0


def test_the_codes_that_enable_a_device(c1, cloud, add):
    """This one and the next, which are then not used for anything else."""
    before = time.time()
    result = add("--show-codes", M)
    allowed = [totp.totp(totp.read_seed(SEED), before + 30 * number) for number in range(4)]
    assert result.stdout.startswith(STORED + "Two codes in a row: ")
    shown = result.stdout.split(": ")[1].split()
    assert shown in (allowed[0:2], allowed[1:3])
    [record] = (c1.path / "run" / "strongroom").glob("*.codes")
    assert len(json.loads(record.read_text())["spent"]) == 2
    assert add("--show-codes", M).stdout.startswith(STORED + "Two codes in a row: ")


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        ("", "the seed is empty"),
        ("GEZDGNB1GEZDGNB1", "the seed is not base32: letters A to Z and digits 2 to 7"),
        ("GEZDGNBV", "a seed of 5 bytes is not one: expected 10 to 128"),
        (f"otpauth://totp/x?secret={SEED}&digits=8",
         "AWS's devices have digits 6; the otpauth URL says something else"),
        (SEED * 500, "a seed of 2560 bytes is not one: expected 10 to 128"),
    ],
)  # fmt: skip
def test_what_is_no_seed(c1, add, seed, message):
    """It is not repeated, and nothing is stored."""
    error(add(seed=seed), message, "nothing was stored")
    assert c1.call("mfa", "list").stdout == ""


def test_what_is_no_text(c1):
    """Bytes that are no UTF-8."""
    process = c1.popen("mfa", "add", "--stdin", M, stdin=-1, stdout=-1, stderr=-1, env={"PYTHONUTF8": "1"})
    out, err = process.communicate(b"\xff\xfe" + SEED.encode())
    assert (process.returncode, out) == (1, b"")
    assert SEED.encode() not in err


def test_a_terminal_as_standard_input(c1, tty):
    """It would show the seed."""
    result = tty("mfa", "add", "--stdin", M).wait()
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith(
        "strongroom: error: mfa: --stdin is for a pipe or a file: a terminal would show the seed"
    )


def test_no_standard_input(c1, monkeypatch):
    """Closed."""
    monkeypatch.setattr(sys, "stdin", None)
    error(c1.call("mfa", "add", "--stdin", M), "standard input is closed", "give the seed by a pipe or a file")


@pytest.mark.parametrize("word", ["nope", "ro", "j\udcffn"])
def test_no_such_device(c1, add, word):
    """Neither an ARN, nor a profile that has one."""
    result = add(word)
    assert (result.status, result.stdout) == (2 if "\udcff" in word else 1, "")
    expected = {
        "nope": f"profile 'nope' not found in {c1.config}\nstrongroom: hint: name a profile, or the MFA device by its ARN",
        "ro": "profile 'ro' has no mfa_serial\nstrongroom: hint: set it, or name the MFA device by its ARN",
        "j\udcffn": "the profile name 'j\\udcffn' is not UTF-8",
    }
    assert result.stderr.startswith(f"strongroom: error: mfa: {expected[word]}")


def test_nothing_of_it_is_told(c1, cloud, add):
    """Not with --debug either, whatever is done with it."""
    cloud.mfa[M] = SEED
    said = [add("--debug", M), c1.call("--debug", "export", "--format=json", "jon"), c1.call("--debug", "mfa", "list")]
    said += [
        c1.call("explain", "jon"),
        c1.call("list", "--json"),
        add("--debug", M, seed=OTHER),
        add("--debug", M, seed=SEED + "1"),
    ]
    code = cloud.calls[0].code
    for result in said:
        text = result.stdout + result.stderr
        assert [secret for secret in (SEED, OTHER, code) if secret in text] == []


def test_a_store_that_is_locked(c1, add):
    """Nothing is stored under another passphrase."""
    result = add(env={"AWS_VAULT_FILE_PASSPHRASE": "wrong"})
    assert (result.status, result.stdout) == (1, "")
    assert "passphrase" in result.stderr


# list and remove


def test_list(c1, add):
    """Who uses it; nothing of it."""
    assert c1.call("mfa", "list").stdout == ""
    add()
    add("arn:aws:iam::1:mfa/x", seed=OTHER)
    c1.write_config(c1.config.read_text() + "[profile loop]\nsource_profile = loop2\n"
                    "[profile loop2]\nsource_profile = loop\n")  # fmt: skip
    result = c1.call("mfa", "list")
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["arn:aws:iam::111111111111:mfa/jon  jon, admin, r1, r2",
                                          "arn:aws:iam::1:mfa/x               -"]  # fmt: skip


def test_list_needs_no_passphrase(c1, add):
    """Names are no secret of this store."""
    add()
    result = c1.run("mfa", "list", env={"AWS_VAULT_FILE_PASSPHRASE": None})
    assert (result.status, result.stdout) == (0, f"{M}  jon, admin, r1, r2\n")


@pytest.mark.parametrize("word", [M, "jon"])
def test_remove(c1, cloud, add, word):
    """With --force at once; codes are asked for again."""
    add()
    result = c1.call("mfa", "remove", "-f", word)
    assert (result.status, result.stdout, result.stderr) == (0, f"Removed the seed of MFA device {M}.\n", "")
    assert c1.call("mfa", "list").stdout == ""
    assert c1.call("export", "jon", "-t", CODE).status == 0
    error(
        c1.call("mfa", "remove", "-f", word),
        f"no seed is stored for MFA device {M}",
        "`mfa list` shows those that are",
    )


@pytest.mark.parametrize(("keys", "left"), [("y\n", 0), ("\n", 1), ("\x04", 1)])
def test_remove_asks(c1, add, tty, keys, left):
    """Only a yes is a yes."""
    add()
    terminal = tty("mfa", "remove", "jon")
    terminal.expect(f"Remove the seed of MFA device {M}, which may be the only copy? (y|N) ")
    terminal.send(keys)
    assert terminal.wait().status == 0
    assert len(c1.call("mfa", "list").stdout.splitlines()) == left


def test_remove_without_a_terminal(c1, add):
    """It is not taken for a yes."""
    add()
    result = c1.run("mfa", "remove", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.endswith("strongroom: hint: run it in a terminal, or use --force\n")


# The words


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "required argument 'add|remove|list' not provided"),
        (["show"], "expected add, remove or list, got 'show'"),
        (["add"], "required argument 'profile or serial' not provided"),
        (["remove", ""], "required argument 'profile or serial' not provided"),
        (["list", "jon"], "unexpected 'jon'"),
        (["list", "--force"], "--force is for `mfa remove`"),
        (["remove", "--stdin", "jon"], "--stdin is for `mfa add`"),
        (["add", SEED, "jon"], None),
    ],
)
def test_wrong_words(c1, words, message):
    """Said at once."""
    result = c1.call("mfa", *words)
    assert (result.status, result.stdout) == (2, "")
    if message:
        assert result.stderr.startswith(f"strongroom: error: mfa: {message}, try --help\n")


def test_a_store_that_loses_what_it_is_given(c1, stdin, monkeypatch):
    """It is read back before anybody relies on it."""
    monkeypatch.setattr("strongroom.own_items.OwnItems.put", lambda *_: None)
    stdin(SEED)
    error(c1.call("mfa", "add", "--stdin", M), f"the seed of MFA device {M} cannot be read back", "nothing will use it")
    assert mfa.WORDS[0].split("|") == list(mfa.ACTIONS)
