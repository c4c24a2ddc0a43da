import os
import threading

import pytest

from providers.surroundings import JON, NOW, M, World, session_step
from strongroom import lock
from strongroom.credentials import Credentials
from strongroom.errors import (
    AwsError,
    AwsRefused,
    AwsUnreachable,
    KeystoreError,
    KeystoreLocked,
    LockTimeout,
    MfaRefused,
    MfaRequired,
    NoCredentials,
    PromptDismissed,
    PromptFailed,
)
from strongroom.keystore.memory import MemoryKeystore
from strongroom.providers import once as module
from strongroom.providers import session_token
from strongroom.providers.once import once
from strongroom.vault import Vault

GOT = Credentials("ASIAGOTGOTGOTGOTGOT1", "s", "t", NOW + 3600)
PATIENCE = 30  # bounds what a failing test can cost


class Provider:
    """AWS: *answers* one after the other, the last again and again; an exception is raised."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = 0
        self.before = lambda: None

    def __call__(self, step, source, world):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.before()
        if isinstance(answer, BaseException):
            raise answer
        return answer


@pytest.fixture
def aws(monkeypatch):
    """Put an AWS in place that gives these answers."""

    def put(*answers):
        provider = Provider(*answers)
        monkeypatch.setattr(session_token, "retrieve", provider)
        return provider

    return put


@pytest.fixture(autouse=True)
def _begun(vault):
    vault.begin("jon")


def run(vault, world, step=None):
    return once(step or session_step(), JON, vault, world, "jon")


def lock_name(step, store):
    return f"{step.kind} of profile {step.profile.name} in {store.location} with {step.serial}"


# Alone


def test_it_is_asked_for_and_kept(vault, world, aws):
    """And what the plan had to say about it is told, because now it happens."""
    provider = aws(GOT)
    assert run(vault, world, session_step(notes=("a note", "another"))) == GOT
    assert provider.asked == 1
    assert world.told == ["a note", "another"]
    assert vault.session(session_step(), "jon") == GOT
    assert world.warned == []


def test_what_another_process_stored_meanwhile_is_used(vault, store, world, aws):
    """It was not there when we looked first, and is when the lock is ours."""
    provider = aws(GOT)
    other = Vault(store, now=lambda: NOW)
    assert vault.candidates(session_step()) == []
    other.begin("jon")
    other.keep(session_step(), GOT, "jon")
    assert run(vault, world) == GOT
    assert provider.asked == 0


def test_a_store_that_fails_costs_only_the_next_command(vault, store, world, aws, monkeypatch):
    """The credentials are good: they are used, and that they could not be kept is told."""
    aws(GOT)

    def full(self, item):
        raise KeystoreError("no space left on device")

    monkeypatch.setattr(MemoryKeystore, "set", full)
    assert run(vault, world) == GOT
    assert world.warned == ["the session could not be stored, so the next command asks again: no space left on device"]


def test_without_a_lock_it_goes_on(vault, world, aws):
    """Nothing is wrong with the credentials; that others may be asked too is told."""
    provider = aws(GOT)
    os.mkdir(world.lock_directory, 0o700)
    world.lock_directory = os.path.join(world.lock_directory, "file")
    with open(world.lock_directory, "w"):
        pass
    assert run(vault, world) == GOT
    assert provider.asked == 1
    assert world.warned == [
        "going on without a lock, so others may be asked at the same time: cannot make a lock in "
        f"{world.lock_directory}: file exists"
    ]
    assert vault.session(session_step(), "jon") == GOT


def test_the_lock_is_given_back(vault, store, world, aws):
    """After success and after failure: the next one need not wait."""
    provider = aws(KeyboardInterrupt(), AwsRefused("AccessDenied", 403, "no"), GOT)
    world.lock_wait_seconds = 0
    with pytest.raises(KeyboardInterrupt):
        run(vault, world)
    with pytest.raises(AwsRefused):
        run(vault, world)
    assert run(vault, world) == GOT
    assert provider.asked == 3
    lock.hold(world.lock_directory, lock_name(session_step(), store), command="x", wait_seconds=0).release()


# Several


def test_a_wait_that_is_too_long_names_the_holder(vault, store, world, aws):
    """One that is asked for a code and has gone to lunch, for instance."""
    provider = aws(GOT)
    world.lock_wait_seconds = 0
    with (
        lock.hold(world.lock_directory, lock_name(session_step(), store), command="strongroom exec jon"),
        pytest.raises(LockTimeout) as caught,
    ):
        run(vault, world)
    assert (caught.value.pid, caught.value.command) == (os.getpid(), "strongroom exec jon")
    assert provider.asked == 0


def test_the_result_of_the_one_who_holds_the_lock(vault, store, world, aws):
    """Is taken as soon as it is in the store, even before the lock is free."""
    provider = aws(GOT)
    other = Vault(store, now=lambda: NOW)
    with lock.hold(world.lock_directory, lock_name(session_step(), store), command="x"):
        other.begin("jon")
        other.keep(session_step(), GOT, "jon")
        assert run(vault, world) == GOT
    assert provider.asked == 0


@pytest.mark.parametrize(
    "different",
    [{"serial": ""}, {"serial": "arn:aws:iam::111111111111:mfa/other"}],
    ids=["no device", "another device"],
)
def test_others_are_not_waited_for(vault, store, world, aws, different):
    """Another device, another question: another lock."""
    aws(GOT)
    world.lock_wait_seconds = 0
    with lock.hold(world.lock_directory, lock_name(session_step(), store), command="x"):
        assert run(vault, world, session_step(**different)) == GOT


class Watched(MemoryKeystore):
    """A store that says when it is listed, as one who waits for a lock does."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.looked = threading.Event()

    def listing(self):
        self.looked.set()
        return super().listing()


def together(tmp_path, provider, store, *, first=None, second=None, step=None):
    """One process asks, and another one waits for it; what the second one gets, or the exception."""
    first, second = first or World(tmp_path / "locks"), second or World(tmp_path / "locks")
    began, watched = threading.Event(), Watched(now=lambda: NOW)
    watched._items = store._items

    def ask():
        vault = Vault(store, now=lambda: NOW)
        vault.begin("jon")
        try:
            run(vault, first, session_step())
        except BaseException:
            return

    def until_the_other_waits():
        began.set()
        if provider.asked == 1:
            assert watched.looked.wait(PATIENCE)

    provider.before = until_the_other_waits
    vault = Vault(watched, now=lambda: NOW)
    vault.begin("jon")
    watched.looked.clear()
    thread = threading.Thread(target=ask)
    thread.start()
    assert began.wait(PATIENCE)
    try:
        return run(vault, second, step)
    except BaseException as error:
        return error
    finally:
        thread.join(PATIENCE)


def facts(error):
    names = ("message", "hint", "code", "status", "serial")
    return {name: getattr(error, name) for name in names if hasattr(error, name)}


SHARED = [
    AwsRefused("Throttling", 400, "too fast", "wait"),
    AwsUnreachable("no answer", "check"),
    AwsError("wrong setting", "set it"),
    MfaRefused(M, "wrong code", "wait for the next"),
    PromptDismissed("the question was dismissed"),
    PromptFailed("mfa_process: exit status 1", "fix it"),
]


@pytest.mark.parametrize("error", SHARED, ids=lambda error: type(error).__name__)
def test_a_refusal_is_shared_with_those_who_wait(tmp_path, vault, store, aws, error):
    """It would be theirs too: same class, same words, same facts, and AWS and the human are asked once."""
    provider = aws(error)
    told = together(tmp_path, provider, store)
    assert type(told) is type(error)
    assert told is not error
    assert facts(told) == facts(error)
    assert provider.asked == 1


@pytest.mark.parametrize(
    "error",
    [MfaRequired(M, "no terminal"), KeystoreLocked("no passphrase"), NoCredentials("jon"), KeyboardInterrupt()],
    ids=lambda error: type(error).__name__,
)
def test_trouble_of_ones_own_is_not_shared(tmp_path, vault, store, aws, error):
    """No terminal, a wrong passphrase, Ctrl-C: the next one tries, and has better luck."""
    provider = aws(error, GOT)
    assert together(tmp_path, provider, store) == GOT
    assert provider.asked == 2


def test_a_code_of_ones_own_is_not_shared(tmp_path, vault, store, aws):
    """What AWS says of a code from the command line is nobody else's business."""
    provider = aws(SHARED[0], GOT)
    first = World(tmp_path / "locks")
    first.has_own_code = True
    assert together(tmp_path, provider, store, first=first) == GOT
    assert provider.asked == 2


def test_who_has_a_code_does_not_take_over_a_failure(tmp_path, vault, store, aws):
    """It may be the right one."""
    provider = aws(SHARED[3], GOT)
    second = World(tmp_path / "locks")
    second.has_own_code = True
    assert together(tmp_path, provider, store, second=second) == GOT
    assert provider.asked == 2


@pytest.mark.parametrize("step", [session_step(wanted=7200, duration=7200)])
def test_a_failure_of_another_request_is_not_shared(tmp_path, vault, store, aws, step):
    """AWS may well give an hour to one and refuse a day to the other."""
    provider = aws(SHARED[0], GOT)
    assert together(tmp_path, provider, store, step=step) == GOT
    assert provider.asked == 2


def test_a_code_of_ones_own_without_a_device_changes_nothing(tmp_path, vault, store, world, aws):
    """It is not sent, so the failure is everybody's."""
    assert module._scope(session_step(serial=""), world) == module._scope(session_step(serial=""), owning(tmp_path))
    assert module._scope(session_step(), world) != module._scope(session_step(), owning(tmp_path))


def owning(tmp_path):
    made = World(tmp_path / "locks")
    made.has_own_code = True
    return made


def test_who_waits_opens_each_item_once(tmp_path, vault, store, world, aws, monkeypatch):
    """Looking for the result is done again and again; what was of no use is not opened again."""
    provider = aws(GOT)
    other = Vault(store, now=lambda: NOW)
    other.begin("jon")
    other.keep(session_step(wanted=900, duration=900), GOT, "jon")
    opened = []
    get = MemoryKeystore.get
    monkeypatch.setattr(MemoryKeystore, "get", lambda self, key: opened.append(key) or get(self, key))
    pauses = []
    holder = lock.hold(world.lock_directory, lock_name(session_step(), store), command="x")

    def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 5:
            holder.release()

    monkeypatch.setattr(lock.hold, "__kwdefaults__", lock.hold.__kwdefaults__ | {"pause": pause})
    assert run(vault, world, session_step(wanted=3600)) == GOT
    assert provider.asked == 1
    assert len(pauses) == 5
    assert [key for key in opened if key != "jon"] == opened[:1]
