"""Asking for a keystore's passphrase."""

import pytest

from strongroom.cli import passphrase
from strongroom.errors import KeystoreLocked, PromptUnavailable

SETTINGS = "the settings"


@pytest.fixture
def human(monkeypatch):
    """Somebody who types these answers."""

    class Human:
        answers, asked = [], []

        def __call__(self, question):
            Human.asked.append((question.message, question.echo, question.note))
            answer = Human.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    Human.answers, Human.asked = [], []
    monkeypatch.setattr(passphrase, "asker", lambda settings, *, hidden: {(SETTINGS, True): Human()}[settings, hidden])
    return Human


def test_a_known_passphrase(human):
    """One hidden question; whether it is right is the store's to say, and an empty one may be."""
    human.answers += ["secret", ""]
    assert passphrase.ask(SETTINGS, "Open: ") == "secret"
    assert passphrase.ask(SETTINGS, "Open: ") == ""
    assert human.asked == [("Open: ", "hidden", "")] * 2


def test_a_new_passphrase(human):
    """Asked twice."""
    human.answers += ["secret", "secret"]
    assert passphrase.ask(SETTINGS, "New: ", confirm=True) == "secret"
    assert human.asked == [("New: ", "hidden", ""), ("Enter the same passphrase again: ", "hidden", "")]


def test_a_new_passphrase_that_was_mistyped(human):
    """Both are asked for again; an empty one is not taken."""
    human.answers += ["secret", "secrte", "", "secret", "secret"]
    assert passphrase.ask(SETTINGS, "New: ", confirm=True) == "secret"
    assert [note for message, _, note in human.asked if message == "New: "] == [
        "",
        "The two differ.",
        "An empty passphrase protects nothing.",
    ]


def test_a_new_passphrase_that_nobody_can_type(human):
    """Given up after three times, and nothing is stored under a passphrase that nobody knows."""
    human.answers += ["a", "b"] * passphrase.TRIES
    with pytest.raises(KeystoreLocked) as caught:
        passphrase.ask(SETTINGS, "New: ", confirm=True)
    assert caught.value.message == "no new passphrase was agreed on"
    assert human.answers == []


def test_nobody_to_ask(human):
    """What is missing, and the three ways to give it."""
    human.answers += [PromptUnavailable("there is no terminal to ask at", "run it in a terminal")]
    with pytest.raises(KeystoreLocked) as caught:
        passphrase.ask(SETTINGS, "Open: ")
    assert caught.value.message == "the keystore's passphrase is needed, and there is no terminal to ask at"
    assert caught.value.hint == (
        "run it in a terminal, or set AWS_VAULT_FILE_PASSPHRASE; inside `strongroom exec`, exec --keep-vault-secrets "
        "passes it on"
    )
