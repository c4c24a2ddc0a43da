import os

import pytest

from strongroom.errors import ItemDamaged, KeystoreError, KeystoreLocked, PromptDismissed
from strongroom.keystore.password_programs import PROGRAMS
from strongroom.keystore.program import Outcome

PASS, PASSAGE = PROGRAMS["pass"], PROGRAMS["passage"]
DISMISSED = "it: gpg's question was dismissed, or not answered rightly"


def gpg(*status, says="gpg: decryption failed: No secret key"):
    return "\n".join([*(f"[GNUPG:] {line}" for line in status), says])


@pytest.mark.parametrize(
    ("complaint", "kind", "message"),
    [
        (gpg("ERROR pkdecrypt_failed 83886179"), PromptDismissed, DISMISSED),
        (gpg("ERROR pkdecrypt_failed 83886278"), PromptDismissed, DISMISSED),
        (gpg("ERROR pkdecrypt_failed 11"), KeystoreLocked, "it: wrong passphrase"),
        (gpg("ERROR pkdecrypt_failed 67108949"), KeystoreLocked, "it: gpg has no pinentry to ask by"),
        (gpg("ERROR", "ERROR x y", "", "PINENTRY_LAUNCHED 3", "DECRYPTION_FAILED"), PromptDismissed, DISMISSED),
        (
            gpg("ERROR pkdecrypt_failed 1", "BEGIN_DECRYPTION", "DECRYPTION_FAILED"),
            KeystoreLocked,
            "it: its secret key is not here, or gpg cannot ask for its passphrase",
        ),
        (gpg("NODATA 1"), ItemDamaged, "item 'jon' is damaged: gpg cannot decrypt it"),
        (gpg("PINENTRY_LAUNCHED", "DECRYPTION_KEY x"), ItemDamaged, "item 'jon' is damaged: gpg cannot decrypt it"),
        ("Error: You must run:\n  pass init your-gpg-id", KeystoreError, "it: there is no password store"),
        (gpg("KEY_CONSIDERED", says="gpg: no\x1b!"), KeystoreError, "it: pass: exit status 2: gpg: no?!"),
        ("", KeystoreError, "it: pass: exit status 2"),
    ],
)
def test_what_gpg_says(complaint, kind, message):
    """By its status lines, which are the same in every human's language."""
    error = PASS.failure(Outcome(2, b"", complaint), "it", "jon")
    assert (type(error), error.message) == (kind, message)


@pytest.mark.parametrize(
    ("complaint", "kind", "message"),
    [
        ("age: error: no identity matched any of the recipients", KeystoreLocked, "it: its identity is not here"),
        ("age: error: incorrect passphrase", KeystoreLocked, "it: wrong passphrase"),
        ("age: error: failed to read header: EOF", ItemDamaged, "item 'jon' is damaged: age cannot decrypt it"),
        ("age: error: unexpected EOF", ItemDamaged, "item 'jon' is damaged: age cannot decrypt it"),
        (
            "age: error: write: no space left",
            KeystoreError,
            "it: passage: ended by signal 9: age: error: write: no space left",
        ),
    ],
)
def test_what_age_says(complaint, kind, message):
    """Its last line, which is the same for every error, is not shown."""
    report = "\nage: report unexpected or unhelpful errors at https://filippo.io/age/report\n"
    error = PASSAGE.failure(Outcome(-9, b"", complaint + report), "it", "jon")
    assert (type(error), error.message) == (kind, message)


def test_the_environment_of_pass(monkeypatch):
    """The store, a way to hear what gpg means, and the terminal's name; what the user says of these is kept."""
    monkeypatch.setattr(os, "ttyname", lambda descriptor: "/dev/pts/7", raising=False)
    assert PASS.environment({"A": "b"}, "/store") == {
        "A": "b",
        "PASSWORD_STORE_DIR": "/store",
        "PASSWORD_STORE_GPG_OPTS": "--status-fd=2",
        "GPG_TTY": "/dev/pts/7",
    }
    own = {"PASSWORD_STORE_DIR": "/other", "PASSWORD_STORE_GPG_OPTS": "--status-fd=3", "GPG_TTY": "/dev/pts/1"}
    assert PASS.environment(own, "/store") == own | {"PASSWORD_STORE_DIR": "/store"}
    more = PASS.environment({"PASSWORD_STORE_GPG_OPTS": "--no-tty"}, "/store")
    assert more["PASSWORD_STORE_GPG_OPTS"] == "--no-tty --status-fd=2"


def test_no_terminal(monkeypatch):
    """None is named then."""

    def none(descriptor):
        raise OSError(25, "Inappropriate ioctl for device")

    monkeypatch.setattr(os, "ttyname", none, raising=False)
    assert "GPG_TTY" not in PASS.environment({}, "/store")
    monkeypatch.delattr(os, "ttyname")
    assert "GPG_TTY" not in PASS.environment({}, "/store")


def test_the_environment_of_passage():
    """The store."""
    assert PASSAGE.environment({"A": "b"}, "/store") == {"A": "b", "PASSAGE_DIR": "/store"}
