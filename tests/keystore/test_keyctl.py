import os
import subprocess
import sys
import uuid

import pytest

from contracts.keystore import SharedKeystoreContract
from strongroom.errors import ConfigError, ItemDamaged, ItemNotFound, KeystoreError, KeystoreUnavailable
from strongroom.keystore import Item, keyctl

if sys.platform != "linux":
    pytest.skip("only Linux has keyrings in its kernel", allow_module_level=True)

try:
    KERNEL = keyctl.open({}, None)._kernel
except KeystoreUnavailable as error:  # in containers that forbid them
    pytest.skip(error.message, allow_module_level=True)

SCOPES = ("user", "session", "process", "persistent")


@pytest.fixture
def name():
    """The name of a keyring that nobody else uses."""
    return f"strongroom-test-{uuid.uuid4()}"


@pytest.fixture
def opened(name):
    """Open the store: ``opened("user")``. Its keyring is gone after the test."""
    used = []

    def opened(scope="user", **settings):
        used.append(scope)
        return keyctl.open({"keyctl_scope": scope, **settings}, None).beside(name)

    yield opened
    for scope in used:
        forget(scope, name)


def forget(scope, name):
    """Remove a keyring with all that is in it."""
    ring = keyctl.SCOPES[scope](KERNEL)
    found = keyctl.KeyctlKeystore(KERNEL, scope, name)._find()
    if found is not None:
        KERNEL.control(9, found, ring)


def other(name, scope, code, *words):
    """Run code in a process of its own, with the same keyring as ``store``."""
    opening = f"from strongroom.keystore import Item, keyctl\nstore = keyctl.open({{'keyctl_scope': {scope!r}}}, None)"
    program = f"import os, sys\n{opening}.beside({name!r})\n{code}"
    run = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
    assert run.stderr == ""
    return run.stdout.strip()


class TestUser(SharedKeystoreContract):
    longest_bytes = keyctl.LIMIT_BYTES

    @pytest.fixture
    def store(self, opened):
        return opened("user")

    @pytest.fixture
    def opening(self, name):
        return f"from strongroom.keystore import keyctl\nstore = keyctl.open({{}}, None).beside({name!r})"


@pytest.mark.parametrize("scope", ["session", "process", "persistent"])
def test_other_scopes(opened, scope):
    """Store, list, open and remove there too; and what is there is not in the others."""
    store = opened(scope)
    store.set(Item("jon", b"data", "label"))
    store.set(Item("kim", b"other"))
    assert store.listing() == {"jon": None, "kim": None}
    assert store.get("jon") == Item("jon", b"data", "label")
    store.remove("jon")
    assert store.listing() == {"kim": None}
    assert [opened(each).listing() for each in SCOPES if each != scope] == [{}, {}, {}]


@pytest.mark.parametrize(
    ("scope", "seen"), [("user", "['jon']"), ("session", "['jon']"), ("process", "[]"), ("persistent", "['jon']")]
)
def test_who_else_sees_it(opened, name, scope, seen):
    """Another process of the same login, unless the keyring is the process's own."""
    opened(scope).set(Item("jon", b"data"))
    assert other(name, scope, "print(list(store.listing()))") == seen


def test_where_nothing_was_stored(opened):
    """There is no keyring, and none is made by looking."""
    store = opened()
    with pytest.raises(ItemNotFound) as caught:
        store.get("jon")
    assert caught.value.message == f"no item 'jon' in {store.location}"
    assert store._find() is None


def test_a_session_of_its_own(opened, name):
    """A login sees neither the session of another nor, from there, what is not the user's; the user's it opens."""
    opened("session").set(Item("jon", b"data"))
    opened("user").set(Item("kim", b"data"))
    fresh = "store._kernel.control(1, None); print(list(store.listing()))"
    assert other(name, "session", fresh) == "[]"
    assert other(name, "user", f"{fresh}; print(store.get('kim').data)") == "['kim']\nb'data'"


def test_a_process_without_a_session_leaves_what_it_stores(name):
    """It does not get a keyring that ends with it: the next such process finds the item."""
    try:
        other(name, "session", "store.set(Item('jon', b'data'))")
        assert other(name, "session", "print(store.get('jon').data)") == "b'data'"
    finally:
        forget("session", name)


def test_what_the_kernel_has(opened):
    """A key of the type user, called like the item, whose payload is the item's data: as aws-vault has it."""
    item = Item("jon", b'{"AccessKeyID":"AKIA"}', "aws-vault (jon)", not_trust_application=True)
    store = opened()
    store.set(item)
    number, keyring = store._item("jon")
    assert KERNEL.read(6, number).rstrip(b"\0").split(b";")[::4] == [b"user", b"jon"]
    assert KERNEL.read(11, number) == item.data
    KERNEL.add(b"user", b"kim", b"theirs", keyring)
    assert store.get("kim") == Item("kim", b"theirs", "aws-vault (kim)", not_trust_application=True)
    KERNEL.add(b"user", b"kim", b"\0strongroom-item", keyring)
    assert store.get("kim").data == b"\0strongroom-item"
    KERNEL.add(b"user", b"kim", b"\0strongroom-item x", keyring)
    with pytest.raises(ItemDamaged):
        store.get("kim")


def test_what_is_no_item(opened):
    """A keyring in ours is left alone."""
    store = opened()
    store.set(Item("jon", b"data"))
    KERNEL.add(b"keyring", b"nested", None, store._find())
    assert store.listing() == {"jon": None}


def test_an_expired_item(opened):
    """Is not there any more; written anew, it is."""
    store = opened(keyctl_expiry=1)
    store.set(Item("jon", b"data"))
    number, _ = store._item("jon")
    KERNEL.control(3, number)  # revoked: what expiry looks like, without waiting for it
    assert store.listing() == {}
    with pytest.raises(ItemNotFound) as caught:
        store.get("jon")
    assert caught.value.message == f"no item 'jon' in {store.location}"
    with pytest.raises(ItemNotFound):
        store.remove("jon")
    store.set(Item("jon", b"again"))
    assert store.get("jon").data == b"again"


@pytest.mark.parametrize(("expiry", "shown"), [(None, "perm"), (0, "perm"), (7200, "2h")])
def test_how_long_an_item_lasts(opened, expiry, shown):
    """As long as the setting says; for ever, if it says nothing."""
    store = opened(keyctl_expiry=expiry)
    store.set(Item("jon", b"first"))
    store.set(Item("jon", b"data"))
    number, _ = store._item("jon")
    with open("/proc/keys") as file:
        line = next(line for line in file if line.startswith(f"{number:08x}"))
    assert line.split()[3].replace("119m", "2h") == shown


def test_processes_that_make_the_keyring_at_once(opened, name, monkeypatch):
    """The second finds the first's, and does not put its own in that place."""
    first, second = opened(), opened()
    finds = [None]
    real = type(second)._find
    monkeypatch.setattr(type(second), "_find", lambda store: finds.pop() if finds else real(store))
    first.set(Item("jon", b"first"))
    finds.append(None)  # looked before the first had made it
    second.set(Item("kim", b"second"))
    assert first.listing() == {"jon": None, "kim": None}


class Refusing:
    """A kernel that does what the real one does, but for one call.

    Args:
        error: What that says.
        call: Its name, "add" or "control", and its first value.
    """

    def __init__(self, error, *call):
        self.error = error
        self.call = call

    def _do(self, method, *values):
        if (method, values[0]) == self.call:
            raise OSError(self.error, os.strerror(self.error))
        return getattr(KERNEL, method)(*values)

    def add(self, *values):
        return self._do("add", *values)

    def control(self, *values):
        return self._do("control", *values)

    def read(self, *values):
        return self._do("read", *values)


def test_before_linux_5_3(name, opened):
    """A kernel that cannot move keys gets the keyring put where it belongs."""
    store = keyctl.KeyctlKeystore(Refusing(95, "control", 30), "user", name)
    store.set(Item("jon", b"data"))
    assert opened().get("jon").data == b"data"


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (122, "the kernel's quota for this user is used up", True),
        (13, "permission denied", False),
    ],
)
def test_refusals(opened, name, error, message, hint):
    """The message names the item; the item that was there is there still."""
    opened().set(Item("jon", b"before"))
    store = keyctl.KeyctlKeystore(Refusing(error, "add", b"user"), "user", name)
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == f"cannot store item 'jon' in keyring {name} (user): {message}"
    assert bool(caught.value.hint) == hint
    assert store.get("jon").data == b"before"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user whose quota nobody else uses")
def test_a_quota_that_is_used_up(name):
    """What is too much is refused by name, and what was there is there still."""
    code = f"""
import os
from strongroom.errors import KeystoreError
from strongroom.keystore import Item, keyctl
os.setgroups([]), os.setgid(54321), os.setuid(54321)
store = keyctl.open({{"keyctl_scope": "process"}}, None).beside({name!r})
store.set(Item("jon", b"before"))
try:
    for number in range(100):
        store.set(Item(f"session {{number}}", b"x" * 2000))
except KeystoreError as error:
    print(number, error.message)
try:
    store.set(Item("jon", b"x" * 20_000))
except KeystoreError as error:
    print(error.message)
print(store.get("jon").data)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr == ""
    first, second, third = run.stdout.splitlines()
    where = f"in keyring {name} (process): the kernel's quota for this user is used up"
    number = int(first.split()[0])
    assert first.partition(" ")[2] == f"cannot store item 'session {number}' {where}"
    assert 3 < number < 12
    assert (second, third) == (f"cannot store item 'jon' {where}", "b'before'")


def test_a_keyring_that_cannot_be_made(name):
    """Says why."""
    store = keyctl.KeyctlKeystore(Refusing(13, "control", 30), "user", name)
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == f"cannot store item 'jon' in keyring {name} (user): permission denied"


def test_a_listing_that_is_refused(name):
    """Says where."""
    store = keyctl.KeyctlKeystore(Refusing(13, "read", 11), "user", name)
    with pytest.raises(KeystoreError) as caught:
        store.listing()
    assert caught.value.message == f"cannot list keyring {name} (user): permission denied"


def test_a_key_that_cannot_be_looked_at(opened, name):
    """Whatever the reason, one that is not told here is told."""
    opened().set(Item("jon", b"data"))
    with pytest.raises(KeystoreError) as caught:
        keyctl.KeyctlKeystore(Refusing(5, "read", 6), "user", name).listing()
    assert caught.value.message == f"cannot list keyring {name} (user): input/output error"


def test_thousands_of_keys():
    """A keyring larger than the buffer is read whole."""
    kernel = keyctl.Kernel("x86_64")
    sizes = []

    def call(number, *values):
        sizes.append(values[-1])
        return 100_000

    kernel = type("Counting", (keyctl.Kernel,), {"_call": staticmethod(call)})("x86_64")
    assert len(kernel.read(11, 1)) == 100_000
    assert sizes == [32_768, 100_000]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("", "no key of the kernel can be called ''"),
        ("a\0b", "no key of the kernel can be called 'a\\x00b'"),
        ("\ud800", "no key of the kernel can be called '\\ud800'"),
        ("x" * 4096, "a name of 4096 bytes is too long: the kernel takes 4095"),
    ],
    ids=["empty", "NUL", "surrogate", "long"],
)
def test_names_that_no_key_can_have(opened, key, message):
    """Are refused by name."""
    with pytest.raises(KeystoreError) as caught:
        opened().set(Item(key, b"data"))
    assert caught.value.message == message


def test_the_longest(opened):
    """Payload and name to the last byte."""
    store = opened()
    item = Item("x" * 4095, b"x" * (32_767 - len(b"\0strongroom-item {}\n")))
    store.set(item)
    assert store.get(item.key) == item


def test_a_scope_that_there_is_not():
    """Is a mistake in the settings."""
    with pytest.raises(ConfigError) as caught:
        keyctl.open({"keyctl_scope": "thread"}, None)
    assert caught.value.message == "keyctl_scope is 'thread', which is not one of user, session, process, persistent"


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems(monkeypatch, platform):
    """Have no keyrings; another keystore may be there."""
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(KeystoreUnavailable) as caught:
        keyctl.open({}, None)
    assert caught.value.message == "keyctl: only Linux has keyrings in its kernel"


@pytest.mark.parametrize(
    ("machine", "pointer_bytes", "numbers"),
    [("x86_64", 8, (248, 250)), ("x86_64", 4, (286, 288)), ("aarch64", 8, (217, 219)), ("aarch64", 4, (309, 311))],
)
def test_machines(machine, pointer_bytes, numbers):
    """Each has its own numbers; a 32-bit process on a 64-bit kernel has those of its own kind."""
    kernel = keyctl.Kernel(machine, pointer_bytes)
    assert (kernel._add, kernel._keyctl) == numbers


def test_a_machine_nobody_has_heard_of():
    """Is said by name."""
    with pytest.raises(KeystoreUnavailable) as caught:
        keyctl.Kernel("z80")
    assert caught.value.message == "keyctl: the calls of a kernel for 'z80' are not known"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (38, KeystoreUnavailable, "keyctl: the kernel's keyrings cannot be used here (function not implemented)"),
        (1, KeystoreUnavailable, "keyctl: the kernel's keyrings cannot be used here (operation not permitted)"),
        (5, KeystoreError, "keyctl: input/output error"),
    ],
)
def test_containers(error, kind, message):
    """They forbid adding, not looking: it is tried before the store is taken for one."""
    with pytest.raises(kind) as caught:
        keyctl._probe(Refusing(error, "add", b"user"))
    assert (type(caught.value), caught.value.message) == (kind, message)


def test_a_full_quota_is_no_reason_not_to_open():
    """What is there can be read and removed."""
    keyctl._probe(Refusing(122, "add", b"user"))


def test_its_collections_are_apart(opened):
    """The second is not in the first's listing."""
    store = opened("process")
    store.beside("strongroom").set(Item("own", b"data"))
    store.set(Item("jon", b"data"))
    assert (list(store.listing()), list(store.beside("strongroom").listing())) == (["jon"], ["own"])
    assert store.location.endswith("(process)")
    assert keyctl.open({}, None).location == "keyring aws-vault (user)"
