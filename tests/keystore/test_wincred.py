import hashlib
import secrets
import sys

import pytest

from contracts.keystore import KeystoreContract, SharedKeystoreContract
from fakes.windows import CredentialManager
from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError, KeystoreUnavailable
from strongroom.keystore import Item, wincred, windows

WINDOWS = pytest.mark.skipif(sys.platform != "win32", reason="the Credential Manager is a part of Windows")
MAIN = "aws-vault:aws-vault:"


@pytest.fixture
def api():
    api = CredentialManager()
    yield api
    assert api.held == {}, "what Windows gave was not given back"


@pytest.fixture
def store(api):
    return wincred.open({}, None, lambda: api)


class TestFake(KeystoreContract):
    @pytest.fixture
    def store(self, store):
        return store


@WINDOWS
class TestReal(SharedKeystoreContract):
    @pytest.fixture
    def prefix(self):
        return f"strongroom-test-{secrets.token_hex(8)}"

    @pytest.fixture
    def store(self, prefix):
        store = wincred.open({"wincred_prefix": prefix}, None)
        yield store
        for key in list(store.listing()):
            store.remove(key)

    @pytest.fixture
    def opening(self, prefix):
        return f"from strongroom.keystore import wincred\nstore = wincred.open({{'wincred_prefix': {prefix!r}}}, None)"


def test_what_an_item_looks_like(store, api):
    """As aws-vault's: prefix, service and key for its name, the data for its blob."""
    store.set(Item("jon", b"data"))
    assert list(api.credentials) == ["AWS-VAULT:AWS-VAULT:JON"]
    target, blob, attributes, _ = api.credentials["AWS-VAULT:AWS-VAULT:JON"]
    assert (target, blob) == (MAIN + "jon", b"data")
    assert attributes == [("strongroom_00", b'{"key":"jon"}')]


def test_what_aws_vault_stored_is_read(store, api):
    """It writes no attributes, so an item has the label of its kind. Another prefix is another store."""
    api.put(MAIN + "jon", b"data")
    api.put("aws-vault:aws-vaults:jon", b"x")
    api.put("aws-vault:aws-vault", b"x")
    api.now = lambda: 1_700_000_000.5
    api.put(MAIN + "ann", b"more", [("Other_Keyword", b"x")])
    assert store.get("jon") == Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)
    assert sorted(store.listing()) == ["ann", "jon"]
    assert store.listing()["ann"] == 1_700_000_000.5
    assert wincred.open({"wincred_prefix": "work"}, None, lambda: api).listing() == {}


@pytest.mark.parametrize("size", [2560, 2561, 4096, 5120, 5121, 100_000])
def test_a_value_that_windows_cannot_hold(store, api, size):
    """It is stored in pieces, beside the item, and none is left when it is replaced or removed."""
    data = bytes(n % 251 for n in range(size))
    store.set(Item("jon", data, "label"))
    assert store.get("jon") == Item("jon", data, "label")
    assert list(store.listing()) == ["jon"]
    assert len(api.credentials) == (1 if size <= 2560 else 1 + -(-size // 2560))
    store.set(Item("jon", data[::-1]))
    assert store.get("jon").data == data[::-1]
    assert len(api.credentials) == (1 if size <= 2560 else 1 + -(-size // 2560))
    store.set(Item("jon", b"short"))
    assert list(api.credentials) == ["AWS-VAULT:AWS-VAULT:JON"]
    store.set(Item("jon", data))
    store.remove("jon")
    assert api.credentials == {}


def test_what_aws_vault_sees_of_it(store, api):
    """One item under its name, which is no JSON: it asks for a new session. The pieces have names of their own."""
    store.set(Item("jon", b"x" * 3000))
    seen = [target for target, *_ in api.credentials.values() if target.startswith(MAIN)]
    assert seen == [MAIN + "jon"]
    blob = api.credentials["AWS-VAULT:AWS-VAULT:JON"][1]
    assert blob.startswith(b"strongroom parts 1 ")
    assert blob.endswith(b" 2 " + hashlib.sha256(b"x" * 3000).hexdigest().encode())


@pytest.mark.parametrize("data", [b"strongroom parts ", b"strongroom parts 1 " + b"0" * 32 + b" 1 " + b"0" * 64])
def test_a_value_that_looks_like_ours(store, data):
    """It comes back as it is."""
    store.set(Item("jon", data))
    assert store.get("jon").data == data
    store.remove("jon")
    assert store.listing() == {}


def test_a_piece_that_is_missing_or_was_changed(store, api):
    """The item is damaged."""
    store.set(Item("jon", b"x" * 3000))
    piece = next(name for name in api.credentials if "/PART:" in name)
    stored = api.credentials[piece]
    for there in (None, (stored[0], b"y", [], stored[3])):
        api.credentials.pop(piece, None)
        if there:
            api.credentials[piece] = there
        with pytest.raises(ItemDamaged) as caught:
            store.get("jon")
        assert caught.value.message == "item 'jon' is damaged: a part of it is missing or was changed"
    api.put(MAIN + "jon", b"strongroom parts 1 nonsense")
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    assert caught.value.message == "item 'jon' is damaged: nothing says where its parts are"


def test_a_reader_while_it_is_replaced(store, api):
    """It reads again: the pieces of the new value are there before it is spoken of."""
    store.set(Item("jon", b"x" * 3000))
    other = wincred.open({}, None, lambda: api)
    read = api.CredReadW

    def interrupted(target, *words):
        if "/part:" in target:
            api.CredReadW = read
            other.set(Item("jon", b"y" * 3000))
        return read(target, *words)

    api.CredReadW = interrupted
    assert store.get("jon").data == b"y" * 3000


def test_a_writer_that_is_stopped(store, api):
    """At each write in turn: the old value is still there, whole. What it left is removed by a later writer."""
    store.set(Item("jon", b"x" * 3000))
    write = api.CredWriteW

    for at in range(4):
        left = iter(range(at))

        def stopped(credential, flags, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return write(credential, flags)

        api.CredWriteW = stopped
        with pytest.raises(KeyboardInterrupt):
            store.set(Item("jon", b"y" * 6000))
        assert store.get("jon").data == b"x" * 3000
    api.CredWriteW = write
    assert len(api.credentials) == 1 + 2 + 0 + 1 + 2 + 3
    store.set(Item("ann", b"z" * 3000))
    assert len(api.credentials) == 3 + 6 + 3
    later = windows.WindowsKeystore(api, "aws-vault", now=lambda: api.now() + 3601)
    later.set(Item("ann", b"z" * 3000))
    assert len(api.credentials) == 3 + 3
    assert store.get("jon").data == b"x" * 3000


def test_keys_that_windows_takes_for_the_same(store, api):
    """Each has its own data; the one that was first keeps its name."""
    store.set(Item("Jon", b"first"))
    store.set(Item("jon", b"second"))
    store.set(Item("JON", b"third" * 1000))
    assert [store.get(key).data for key in ("Jon", "jon", "JON")] == [b"first", b"second", b"third" * 1000]
    assert sorted(store.listing()) == ["JON", "Jon", "jon"]
    store.remove("Jon")
    with pytest.raises(ItemNotFound):
        store.get("Jon")
    store.set(Item("jon", b"fourth"))
    assert store.get("jon").data == b"fourth"
    store.remove("jon")
    store.remove("JON")
    assert api.credentials == {}


def test_an_item_under_another_name(store, api):
    """Whoever can rename credentials must not make one profile use another's."""
    store.set(Item("jon", b"data"))
    _, blob, attributes, _ = api.credentials["AWS-VAULT:AWS-VAULT:JON"]
    api.put(MAIN + "admin", blob, attributes)
    with pytest.raises(ItemDamaged) as caught:
        store.get("admin")
    assert caught.value.message == "item 'admin' is damaged: it holds the item 'jon'"


def test_our_own_collection(store, api):
    """It has another service, which aws-vault does not list."""
    own = store.beside("strongroom")
    store.set(Item("jon", b"key"))
    own.set(Item("jon", b"j" * 3000))
    assert (store.get("jon").data, own.get("jon").data) == (b"key", b"j" * 3000)
    assert (list(store.listing()), list(own.listing())) == (["jon"], ["jon"])
    assert all(target.startswith((MAIN, "aws-vault:strongroom")) for target, *_ in api.credentials.values())
    assert own.location == "Windows Credential Manager, aws-vault:strongroom"


@pytest.mark.parametrize("key", ["a\0b", "x" * 32_001])
def test_a_name_that_windows_does_not_take(store, key):
    """It is refused by name, and is not there."""
    with pytest.raises(KeystoreError) as caught:
        store.set(Item(key, b"data"))
    assert caught.value.message == f"cannot store item {key[:80]!r}: Windows takes no such name"
    with pytest.raises(ItemNotFound):
        store.get(key)
    with pytest.raises(ItemNotFound):
        store.remove(key)


def test_a_label_that_windows_does_not_take(store, api):
    """Nothing is stored."""
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", b"data", "l" * 17_000))
    assert caught.value.message == "cannot store item 'jon': its name and label are too long for Windows"
    assert api.credentials == {}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (5, "access is denied (error 5)"),
        (1312, "this session has no credentials of its own (error 1312)"),
        (31, "Windows refused (error 31)"),
    ],
)
def test_windows_refuses(store, api, code, reason):
    """It is told why; a credential that cannot be read is not taken for one that is missing."""
    api.put(MAIN + "jon", b"data")
    api.refuses = code
    for use, what in [
        (store.listing, "list credentials"),
        (lambda: store.get("jon"), "read a credential"),
        (lambda: store.set(Item("jon", b"x")), "read a credential"),
        (lambda: store.remove("jon"), "read a credential"),
    ]:
        with pytest.raises(KeystoreError) as caught:
            use()
        assert caught.value.message == f"cannot {what}: {reason}"
    assert api.credentials["AWS-VAULT:AWS-VAULT:JON"][1] == b"data"


@pytest.mark.parametrize("method", ["CredWriteW", "CredDeleteW"])
def test_windows_refuses_to_change_anything(store, api, method):
    """The old value is intact."""
    store.set(Item("jon", b"old"))

    def refuse(*_):
        api.error = 1168 if method == "CredWriteW" else 5
        return 0

    setattr(api, method, refuse)
    with pytest.raises(KeystoreError):
        store.set(Item("jon", b"new")) if method == "CredWriteW" else store.remove("jon")
    assert store.get("jon").data == b"old"


def test_a_note_that_is_not_ours(store, api):
    """Attributes of our name with something else in them are read over."""
    for note in (b"{", b"[]", b"\xff"):
        api.put(MAIN + "jon", b"data", [("strongroom_00", note)])
        assert store.get("jon") == Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)
    api.put("aws-vault:aws-vault/other:" + "0" * 64, b"data", [("strongroom_00", b'{"key":"jon"}')])
    assert list(store.listing()) == ["jon"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has it")
def test_elsewhere():
    """It is a part of Windows."""
    with pytest.raises(KeystoreUnavailable) as caught:
        wincred.open({}, None)
    assert caught.value.message == "the Credential Manager is a part of Windows"
