import threading
from types import SimpleNamespace

import pytest

from strongroom.aws.failed import CallFailed
from strongroom.aws.own_credentials import RENEWAL_SECONDS, OwnCredentials
from strongroom.credentials import Credentials


class Chains:
    """A chain of credentials that finds what it is told."""

    def __init__(self, *found):
        self.found = list(found)
        self.looks = 0
        self.gate = threading.Event()
        self.gate.set()

    def load_credentials(self):
        self.looks += 1
        self.gate.wait(30)
        found = self.found.pop(0) if len(self.found) > 1 else self.found[0]
        if isinstance(found, Exception):
            raise found
        return found


class Found:
    def __init__(self, key_id, token="t"):
        self.key_id = key_id
        self.token = token

    def get_frozen_credentials(self):
        if isinstance(self.key_id, Exception):
            raise self.key_id
        return SimpleNamespace(access_key=self.key_id, secret_key="s", token=self.token)


def own(chains, now=lambda: 0.0):
    return OwnCredentials(
        chains.load_credentials, lambda error: CallFailed("credentials", f"why: {type(error).__name__}"), now=now
    )


class Turnstile:
    """A lock that tells how many came to it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._came = threading.Semaphore(0)

    def __enter__(self):
        self._came.release()
        self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()

    def wait_for(self, number):
        for _ in range(number):
            assert self._came.acquire(timeout=30)


@pytest.mark.parametrize(("found", "outcome"), [("A", "A"), (None, "credentials"), (OSError("x"), "credentials")])
def test_those_who_wait_share_one_look(found, outcome):
    """A look may take seconds; those who came meanwhile do not repeat it."""
    chains = Chains(Found(found) if isinstance(found, str) else found)
    chains.gate.clear()
    ours = own(chains)
    ours._lock = Turnstile()
    outcomes = []

    def ask():
        try:
            outcomes.append(ours.current().access_key_id)
        except CallFailed as error:
            outcomes.append(error.cause)

    threads = [threading.Thread(target=ask) for _ in range(5)]
    for thread in threads:
        thread.start()
    ours._lock.wait_for(5)
    chains.gate.set()
    for thread in threads:
        thread.join()
    assert (outcomes, chains.looks) == ([outcome] * 5, 1)


def test_credentials_that_aws_refuses_are_looked_for_anew():
    """Who was refused with older ones takes those that are there; the others look, but not all the time."""
    chains = Chains(Found("A"), Found("B"), Found("B"), Found("C"))
    now = [0.0]
    ours = own(chains, lambda: now[0])
    first = ours.current()
    assert ours.renew(first)
    second = ours.current()
    assert (first.access_key_id, second.access_key_id) == ("A", "B")
    assert ours.renew(first)
    assert chains.looks == 2
    assert not ours.renew(second)
    assert chains.looks == 2
    now[0] += RENEWAL_SECONDS
    assert not ours.renew(second)
    assert chains.looks == 3
    now[0] += RENEWAL_SECONDS
    assert ours.renew(second)
    assert ours.current().access_key_id == "C"


@pytest.mark.parametrize("found", [None, OSError("x")])
def test_refused_credentials_stay_if_there_are_no_others(found):
    """The next call may be answered otherwise."""
    ours = own(Chains(Found("A"), found))
    first = ours.current()
    assert not ours.renew(first)
    assert ours.current() == first


def test_credentials_that_cannot_be_refreshed():
    """The reason is told, and others are looked for only when AWS refuses."""
    ours = own(Chains(Found(OSError("x"))))
    for _ in range(2):
        with pytest.raises(CallFailed) as caught:
            ours.current()
        assert caught.value.message == "why: OSError"
    assert not ours.renew(Credentials("A", "s", "t"))


def test_nothing_in_the_chain():
    """Is no error of the chain's."""
    with pytest.raises(CallFailed) as caught:
        own(Chains(None)).current()
    assert (caught.value.cause, caught.value.message) == (
        "credentials", "no credentials: nothing in the SDK's chain has any"
    )  # fmt: skip


def test_credentials_without_a_token():
    """As the environment may give them."""
    ours = own(Chains(Found("A", None)))
    assert ours.current() == Credentials("A", "s")
