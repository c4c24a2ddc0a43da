from types import SimpleNamespace

import pytest

from providers.surroundings import JON, NOW, M, key_step, role_step, session_step
from strongroom import providers
from strongroom.credentials import Credentials
from strongroom.errors import AwsRefused, ItemNotFound, KeystoreLocked
from strongroom.plan import ASSUME_ROLE, LOGIN_SESSION, PROCESS, SESSION_TOKEN, SOURCE, SSO_ROLE, WEB_IDENTITY
from strongroom.providers import assume_role, session_token

SESSION = Credentials("ASIASESSION", "s1", "t1", NOW + 28_800)
ROLE = Credentials("ASIAROLE", "s2", "t2", NOW + 3600)


@pytest.fixture
def aws(monkeypatch):
    """AWS, which gives a session and a role, and notes with which credentials it was asked."""

    aws = SimpleNamespace(asked=[], answers={SESSION_TOKEN: SESSION, ASSUME_ROLE: ROLE})

    def retrieve(step, source, world):
        aws.asked.append((step.kind, source))
        answer = aws.answers[step.kind]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(session_token, "retrieve", retrieve)
    monkeypatch.setattr(assume_role, "retrieve", retrieve)
    return aws


def no_world():
    raise AssertionError("nothing had to be done beyond reading")


def test_each_kind_of_step_has_its_module():
    """The table says which; the first step, the key, is read and not asked for."""
    assert providers.load(SESSION_TOKEN) is session_token
    assert providers.load(ASSUME_ROLE) is assume_role
    assert all(callable(providers.load(kind).retrieve) for kind in providers.PROVIDERS)
    assert set(providers.PROVIDERS) == {
        SESSION_TOKEN,
        ASSUME_ROLE,
        WEB_IDENTITY,
        PROCESS,
        SOURCE,
        LOGIN_SESSION,
        SSO_ROLE,
    }


def test_a_key_alone(vault, aws):
    """Is read; no lock, no AWS, no surroundings."""
    assert providers.retrieve([key_step()], vault, no_world) == JON
    assert aws.asked == []


def test_no_key(vault):
    """The store's own error."""
    with pytest.raises(ItemNotFound):
        providers.retrieve([key_step("ann")], vault, no_world)


def test_step_by_step(vault, store, world, aws):
    """Each with the credentials of the one before; each result is kept."""
    assert providers.retrieve([key_step(), session_step(), role_step()], vault, lambda: world) == ROLE
    assert aws.asked == [(SESSION_TOKEN, JON), (ASSUME_ROLE, SESSION)]
    assert [(name.kind, name.profile, name.serial) for name in vault.sessions()] == [
        (ASSUME_ROLE, "admin", ""), (SESSION_TOKEN, "jon", M),
    ]  # fmt: skip


def test_what_is_stored_is_not_asked_for(vault, world, aws):
    """The last step that is there is where the work begins; and if it is the last of all, there is none."""
    steps = [key_step(), session_step(), role_step()]
    providers.retrieve(steps, vault, lambda: world)
    aws.asked.clear()
    assert providers.retrieve(steps, vault, no_world) == ROLE
    vault.remove([name.key for name in vault.sessions() if name.kind == ASSUME_ROLE])
    assert providers.retrieve(steps, vault, lambda: world) == ROLE
    assert aws.asked == [(ASSUME_ROLE, SESSION)]


def test_nothing_before_a_good_result_is_opened(vault, store, world, aws, monkeypatch):
    """A cached role costs one item: neither the session before it nor the key."""
    steps = [key_step(), session_step(), role_step()]
    providers.retrieve(steps, vault, lambda: world)
    monkeypatch.setattr(vault, "_keys", {})
    opened = []
    get = store.get
    monkeypatch.setattr(type(store), "get", lambda _, key: opened.append(key) or get(key))
    assert providers.retrieve(steps, vault, no_world) == ROLE
    assert [key.partition(",")[0] for key in opened] == [ASSUME_ROLE]


def test_a_failure_ends_it(vault, world, aws):
    """What was got before it is kept."""
    aws.answers[ASSUME_ROLE] = AwsRefused("AccessDenied", 403, "no")
    with pytest.raises(AwsRefused):
        providers.retrieve([key_step(), session_step(), role_step()], vault, lambda: world)
    assert [name.kind for name in vault.sessions()] == [SESSION_TOKEN]


def test_a_wrong_passphrase_ends_it(vault, monkeypatch, aws):
    """Before anybody is asked."""

    def refuse(profile):
        raise KeystoreLocked("wrong passphrase")

    monkeypatch.setattr(vault, "key", refuse)
    with pytest.raises(KeystoreLocked):
        providers.retrieve([key_step(), session_step()], vault, no_world)
    assert aws.asked == []
