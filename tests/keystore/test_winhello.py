import base64
import json
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contracts.keystore import KeystoreContract
from fakes.windows import RSA, CredentialManager, Hello
from strongroom.errors import ItemDamaged, KeystoreError, KeystoreLocked, KeystoreUnavailable, PromptDismissed
from strongroom.keystore import Item, winhello

MAIN = "keyring-winhello:aws-vault:"
KEY = "S-1-5-21-1-2-3-1001//ByteNess/keyring-winhello/keyring-winhello-v1"


@pytest.fixture
def api():
    api = CredentialManager()
    yield api
    assert api.held == {}, "what Windows gave was not given back"


@pytest.fixture
def hello():
    hello = Hello()
    yield hello
    assert hello.objects == {}, "a handle was not closed"


@pytest.fixture
def store(api, hello):
    return winhello.open({}, None, lambda: api, lambda: hello)


class TestWinhello(KeystoreContract):
    @pytest.fixture
    def store(self, store):
        return store


def stored(api, key="jon"):
    return api.credentials[(MAIN + key).upper()][1]


def envelope(key="jon", data=b"data", **changes):
    """What aws-vault writes, made without our own code."""
    aad = changes.pop("plain_aad", None)
    if aad is None:
        aad = f'{{"backend":"winhello","version":1,"service_name":"aws-vault","item_key":"{key}"}}'.encode()
    content_key, nonce = b"k" * 32, b"n" * 12
    fields = {
        "version": 1,
        "provider": "Microsoft Passport Key Storage Provider",
        "key_name": KEY,
        "content_alg": "AES-256-GCM",
        "wrap_alg": "RSAES-PKCS1-v1_5",
        "nonce": base64.b64encode(nonce).decode(),
        "wrapped_cek": base64.b64encode(RSA.public_key().encrypt(content_key, PKCS1v15())).decode(),
        "ciphertext": base64.b64encode(AESGCM(content_key).encrypt(nonce, data, aad)).decode(),
        "aad": base64.b64encode(aad).decode(),
    }
    return json.dumps(fields | changes).encode()


@pytest.mark.parametrize(
    ("key", "written"), [("jon", "jon"), ('a"b<&>\u2028\xfc', 'a\\"b\\u003c\\u0026\\u003e\\u2028\xfc')]
)
def test_what_aws_vault_stored_is_read(store, api, hello, key, written):
    """Its envelope, once the human makes a gesture and knows for what."""
    hello.keys[KEY] = RSA
    aad = f'{{"backend":"winhello","version":1,"service_name":"aws-vault","item_key":"{written}"}}'.encode()
    api.put(MAIN + key, envelope(plain_aad=aad))
    assert store.get(key) == Item(key, b"data", f"aws-vault ({key})", not_trust_application=True)
    assert hello.gestures == [f"Unlock {key} of aws-vault"]


def test_what_aws_vault_reads(store, api):
    """Each field as it writes it; opened without our own code."""
    store.set(Item("jon", b"data"))
    fields = json.loads(stored(api))
    assert list(fields) == ["version", "provider", "key_name", "content_alg", "wrap_alg", "nonce", "wrapped_cek", "ciphertext", "aad"]  # fmt: skip
    assert list(fields.values())[:5] == [1, "Microsoft Passport Key Storage Provider", KEY, "AES-256-GCM", "RSAES-PKCS1-v1_5"]  # fmt: skip
    nonce, wrapped, ciphertext, aad = (base64.b64decode(value) for value in list(fields.values())[5:])
    assert aad == b'{"backend":"winhello","version":1,"service_name":"aws-vault","item_key":"jon"}'
    assert AESGCM(RSA.decrypt(wrapped, PKCS1v15())).decrypt(nonce, ciphertext, aad) == b"data"


def test_how_often_it_asks(store, hello):
    """Once for the key, never to write or list, once for each reading."""
    for number in range(3):
        store.set(Item(f"jon{number}", b"data"))
    store.listing()
    assert hello.gestures == ["Create a key that protects AWS credentials"]
    store.get("jon1")
    store.get("jon1")
    assert hello.gestures[1:] == ["Unlock jon1 of aws-vault"] * 2


def test_a_value_that_windows_cannot_hold(store, api, hello):
    """Its envelope is stored in pieces, and opened by one gesture."""
    store.set(Item("jon", b"x" * 4096))
    assert stored(api).startswith(b"strongroom parts 1 ")
    hello.gestures.clear()
    assert store.get("jon").data == b"x" * 4096
    assert len(hello.gestures) == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "item 'jon' cannot be opened: its version is 2"),
        ({"provider": "TPM"}, "item 'jon' cannot be opened: its provider is 'TPM'"),
        ({"key_name": "another"}, "item 'jon' cannot be opened: its key_name is 'another'"),
        ({"content_alg": "none"}, "item 'jon' cannot be opened: its content_alg is 'none'"),
        ({"wrap_alg": "none"}, "item 'jon' cannot be opened: its wrap_alg is 'none'"),
        ({"nonce": "?"}, "item 'jon' is damaged: it is no envelope of Windows Hello"),
        ({"ciphertext": 7}, "item 'jon' is damaged: it is no envelope of Windows Hello"),
        ({"aad": ""}, "item 'jon' is damaged: its envelope belongs to another item"),
    ],
)
def test_an_envelope_that_is_wrong(store, api, hello, changes, message):
    """Nobody is asked for a gesture for it."""
    hello.keys[KEY] = RSA
    api.put(MAIN + "jon", envelope(**changes))
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    assert caught.value.message == message
    assert hello.gestures == []


@pytest.mark.parametrize("blob", [b"", b"{", b"[]", b"7", b"data", b"{}"])
def test_a_blob_that_is_no_envelope(store, api, blob):
    """It is damaged."""
    api.put(MAIN + "jon", blob)
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    assert caught.value.message == "item 'jon' is damaged: it is no envelope of Windows Hello"


def test_an_envelope_that_was_changed_or_renamed(store, api, hello):
    """It opens under its own name only, and whole."""
    hello.keys[KEY] = RSA
    api.put(MAIN + "admin", envelope("jon"))
    with pytest.raises(ItemDamaged):
        store.get("admin")
    ciphertext = bytearray(base64.b64decode(json.loads(envelope())["ciphertext"]))
    ciphertext[0] ^= 1
    for changes in ({"ciphertext": base64.b64encode(bytes(ciphertext)).decode()}, {"nonce": "", "ciphertext": ""}):
        api.put(MAIN + "jon", envelope(**changes))
        with pytest.raises(ItemDamaged) as caught:
            store.get("jon")
        assert caught.value.message == "item 'jon' is damaged: its envelope does not open"


def test_the_human_declines(store, api, hello):
    """To make the key, or to use it; nothing is stored, nothing is shown."""
    hello.declines = True
    with pytest.raises(PromptDismissed) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == "the question was dismissed in the window of Windows Hello"
    assert api.credentials == {}
    hello.declines = False
    store.set(Item("jon", b"data"))
    hello.declines = True
    with pytest.raises(PromptDismissed):
        store.get("jon")


def test_a_key_that_is_gone(store, hello):
    """With the PIN; what was encrypted for it is gone, too."""
    store.set(Item("jon", b"data"))
    hello.keys.clear()
    with pytest.raises(KeystoreLocked) as caught:
        store.get("jon")
    assert caught.value.message == "the key of Windows Hello is gone, and with it what it protected"


@pytest.mark.parametrize(
    ("refuses", "message"),
    [
        ({"provider": -2146893783}, "cannot open Windows Hello: it is not set up, or not for this session (0x80090029)"),
        ({"open": 0x80090020}, "cannot open the key of Windows Hello: Windows refused (0x80090020)"),
        ({"create": 0x80090030}, "cannot make a key for Windows Hello: it is not set up, or not for this session (0x80090030)"),
        ({"Length": 0x80090020}, "cannot prepare Windows Hello (Length): Windows refused (0x80090020)"),
        ({"NgcCacheType": 1, "NgcCacheTypeProperty": 2},
         "cannot prepare Windows Hello (NgcCacheTypeProperty): Windows refused (0x00000002)"),
    ],
)  # fmt: skip
def test_windows_refuses(store, api, hello, refuses, message):
    """It is told why, and nothing is stored."""
    hello.refuses = refuses
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == message
    assert api.credentials == {}


def test_older_and_newer_versions(store, hello):
    """The kind of the key has an older name, the gesture is demanded where that is known, and there may be no window."""
    hello.refuses = {"NgcCacheType": 0x80090029, "PinCacheIsGestureRequired": 0x80090029}
    hello.foreground = 0
    store.set(Item("jon", b"data"))
    assert store.get("jon").data == b"data"
    hello.refuses = {"decrypt": 0x80090020}
    with pytest.raises(KeystoreError) as caught:
        store.get("jon")
    assert caught.value.message == "cannot decrypt by Windows Hello: Windows refused (0x80090020)"


def test_our_own_collection(store, api):
    """It has another service, which is authenticated, too."""
    own = store.beside("strongroom")
    store.set(Item("jon", b"key"))
    own.set(Item("jon", b"journal"))
    assert (store.get("jon").data, own.get("jon").data) == (b"key", b"journal")
    api.put("keyring-winhello:strongroom:jon", stored(api))
    with pytest.raises(ItemDamaged):
        own.get("jon")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has it")
def test_elsewhere(api):
    """It is a part of Windows."""
    with pytest.raises(KeystoreUnavailable) as caught:
        winhello.open({}, None, lambda: api)
    assert caught.value.message == "Windows Hello is a part of Windows"
