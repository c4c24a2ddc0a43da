import os

import pytest

from harness.programs import path_with
from strongroom.errors import PromptFailed, PromptUnavailable
from strongroom.prompt import ykman
from strongroom.prompt.question import Place, Question

SERIAL = "arn:aws:iam::111111111111:mfa/jon"
NOWHERE = "/nowhere/tty"


@pytest.fixture
def bring(tmp_path):
    """Ask the stand-in for a code."""

    def bring(question=None, timeout_seconds=20.0, **environ):
        environ |= {"PATH": path, "YKMAN_LOG": os.fspath(tmp_path / "log")}
        place = Place(environ, terminal=NOWHERE, timeout_seconds=timeout_seconds)
        return ykman.bring(question or Question("Code: ", echo="plain", serial=SERIAL), place)

    path = path_with(tmp_path / "bin", "ykman")
    return bring


@pytest.fixture
def told(tmp_path):
    return lambda: (tmp_path / "log").read_text().removesuffix("--\n").splitlines()


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({}, ["oath", "accounts", "code", "--single", SERIAL]),
        ({"YKMAN_OATH_DEVICE_SERIAL": "123"}, ["--device", "123", "oath", "accounts", "code", "--single", SERIAL]),
        ({"YKMAN_OATH_CREDENTIAL_NAME": "AWS:jon"}, ["oath", "accounts", "code", "--single", "AWS:jon"]),
        *(({"AWS_VAULT_YKMAN_VERSION": version, "YKMAN_PLAYS": "3"}, ["oath", "code", "--single", SERIAL])
          for version in "123"),
        ({"AWS_VAULT_YKMAN_VERSION": "3", "YKMAN_PLAYS": "3", "YKMAN_OATH_DEVICE_SERIAL": "123"},
         ["--device", "123", "oath", "code", "--single", SERIAL]),
        ({"AWS_VAULT_YKMAN_VERSION": "5"}, ["oath", "accounts", "code", "--single", SERIAL]),
    ],
)  # fmt: skip
def test_what_it_is_told(bring, told, environ, words):
    """Its version decides about the command, variables about the key and the account."""
    assert bring(**environ) == "123456"
    assert told() == words


@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("none", "ykman: exit status 1"),
        ("empty", "ykman: it printed nothing"),
        ("hang", "ykman: no code within 0.5 seconds"),
    ],
)
def test_what_goes_wrong(bring, does, message, capfd):
    """What ykman says about it stands on stderr, as it came."""
    with pytest.raises(PromptFailed) as caught:
        bring(YKMAN=does, timeout_seconds=0.5 if does == "hang" else 20.0)
    assert caught.value.message == message
    assert capfd.readouterr().err == ("Error: No YubiKey detected!\n" if does == "none" else "")


def test_a_version_that_it_is_not(bring):
    """An old one refuses the new words."""
    with pytest.raises(PromptFailed) as caught:
        bring(YKMAN_PLAYS="3")
    assert caught.value.message == "ykman: exit status 2"


def test_an_account_is_not_an_option(bring):
    """Whatever it is called."""
    with pytest.raises(PromptFailed) as caught:
        bring(YKMAN_OATH_CREDENTIAL_NAME="--help")
    assert caught.value.message == "ykman: an account cannot be called '--help'"


def test_it_has_no_passphrases(bring):
    """It is not even run."""
    with pytest.raises(PromptUnavailable) as caught:
        bring(Question("Passphrase: ", echo="hidden"))
    assert caught.value.message == "ykman brings codes of MFA devices, and nothing else"


def test_it_has_the_terminal(person, tmp_path):
    """So that a human sees that the key is to be touched; stdout, which an SDK reads, gets nothing of it."""
    environ = {"PATH": path_with(tmp_path / "bin", "ykman"), "YKMAN": "touch"}
    code = (
        f"print(prompt._load('ykman').bring(prompt.Question('?', echo='plain', serial='s'), prompt.Place({environ!r})))"
    )
    someone = person(code)
    someone.expect("Touch your YubiKey...")
    someone.send("\n")
    assert someone.wait() == (0, "123456\n", "")
    assert someone.as_before


def test_a_terminal_that_is_taken(person, tmp_path):
    """It is not lent."""
    environ = {"PATH": path_with(tmp_path / "bin", "ykman"), "YKMAN": "touch"}
    someone = person(
        f"place = prompt.Place({environ!r}, taken='it is')\n"
        "print(prompt._load('ykman').bring(prompt.Question('?', echo='plain', serial='s'), place))"
    )
    status, out, err = someone.wait()
    assert (status, out, err) == (1, "", "strongroom.errors.PromptFailed: ykman: exit status 1")
