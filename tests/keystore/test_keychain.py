import secrets
import subprocess
import sys

import pytest

from contracts.keystore import KeystoreContract, SharedKeystoreContract
from fakes.macos import File, Mac
from strongroom.errors import (
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
    PromptFailed,
)
from strongroom.keystore import Item, keychain, macos, touch_id
from strongroom.keystore.security import Keychain

MACOS = pytest.mark.skipif(sys.platform != "darwin", reason="the Keychain is a part of macOS")
FILE = "aws-vault.keychain"


def nobody(message, *, confirm):
    raise PromptDismissed(f"nobody is here to answer {message!r}")


@pytest.fixture
def mac():
    mac = Mac()
    yield mac
    assert mac.left() == [], "values were not released"


@pytest.fixture
def opened(mac):
    def opened(ask=nobody, **settings):
        return keychain.open(settings, ask, lambda: mac)

    return opened


@pytest.fixture
def made(mac):
    """The Mac with aws-vault's keychain, unlocked."""
    mac.files[FILE] = File("pw")
    return mac


class TestFake(KeystoreContract):
    @pytest.fixture
    def store(self, made, opened):
        made.answers = iter(lambda: "yes", None)
        return opened()


# A question that nobody answers is an error then, and does not hold up the tests.
QUIET = """
import ctypes
ctypes.CDLL("/System/Library/Frameworks/Security.framework/Security").SecKeychainSetUserInteractionAllowed(0)
"""


@MACOS
class TestReal(SharedKeystoreContract):
    @pytest.fixture
    def path(self, tmp_path):
        exec(QUIET)
        path = str(tmp_path / "strongroom-test.keychain")
        Keychain(macos.native(), path).create(secrets.token_hex(8))
        yield path
        subprocess.run(["security", "delete-keychain", path], check=False, capture_output=True)

    @pytest.fixture
    def store(self, path):
        return keychain.open({"keychain": path}, nobody)

    @pytest.fixture
    def opening(self, path):
        return (
            f"{QUIET}\nfrom strongroom.keystore import keychain\nstore = keychain.open({{'keychain': {path!r}}}, None)"
        )

    def test_an_item_comes_back_whole(self, store):
        """But for items that macOS asks about: nobody would answer."""
        item = Item("jon", b"data", "aws-vault (jon)", "a key", not_synchronizable=True)
        store.set(item)
        assert store.get("jon") == item


def stored(mac, service="aws-vault"):
    return {account: fields for (of, account), fields in mac.files[FILE].items.items() if of == service}


def test_a_keychain_is_made_by_the_first_write(mac, opened):
    """macOS asks for its password; reading makes none, and asks nobody."""
    store = opened()
    assert store.listing() == {}
    for use in (store.get, store.remove):
        with pytest.raises(ItemNotFound) as caught:
            use("jon")
        assert caught.value.message == f"no item 'jon' in keychain {FILE}, service aws-vault"
    assert mac.questions == []
    mac.answers = iter(["no", "pw"])
    with pytest.raises(PromptDismissed) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == "the question was dismissed in the window of macOS"
    store.set(Item("jon", b"data"))
    assert mac.questions == [f"new password for {FILE}"] * 2
    assert store.get("jon").data == b"data"


def test_what_an_item_looks_like(made, opened):
    """As aws-vault's: service, account, label, description, the data as it is; and who may read it."""
    store = opened()
    store.set(Item("jon", b"data", "aws-vault (jon)", not_trust_application=True))
    store.set(Item("session", b"data", "aws-vault session for jon", "aws-vault session"))
    key, session = stored(made)["jon"], stored(made)["session"]
    assert (key["kSecAttrLabel"], key["kSecAttrDescription"], key["kSecValueData"]) == ("aws-vault (jon)", "", b"data")
    assert session["kSecAttrDescription"] == "aws-vault session"
    assert (key["access"].trusted, session["access"].trusted) == ([], None)


def test_what_aws_vault_stored_is_read(made, opened):
    """It notes nothing beside."""
    made.put("aws-vault", "jon", b"data", label="aws-vault (jon)")
    made.put("other", "ann", b"data")
    made.now = lambda: 1_700_000_000.0
    made.put("aws-vault", "session", b"more")
    store = opened()
    assert store.get("jon") == Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)
    assert sorted(store.listing()) == ["jon", "session"]
    assert store.listing()["session"] == 1_700_000_000.0


@pytest.mark.parametrize(
    "note", [b"", b"{", b"[]", b'{"label": 7, "description": null, "not_trust_application": "yes"}']
)
def test_a_note_that_is_not_ours(made, opened, note):
    """What another program noted beside is read over."""
    made.put("aws-vault", "oidc:jon", b"data", label="label")
    stored(made)["oidc:jon"]["kSecAttrGeneric"] = note
    assert opened().get("oidc:jon") == Item("oidc:jon", b"data", "label")


def test_macos_asks_for_keys_only(made, opened):
    """Once for each reading of a key, never for a session, a listing or a write."""
    store = opened()
    made.answers = iter(["yes", "no"])
    for _ in range(2):
        store.set(Item("jon", b"key", not_trust_application=True))
        store.set(Item("session", b"session"))
    store.listing()
    store.get("session")
    assert made.questions == []
    assert store.get("jon").data == b"key"
    with pytest.raises(PromptDismissed):
        store.get("jon")
    assert made.questions == ["may it read jon?"] * 2


def test_an_update_leaves_the_access_list(made, opened):
    """Whom the human trusted with an item stays trusted."""
    store = opened()
    made.put("aws-vault", "jon", b"old", trusted=["/usr/local/bin/aws-vault"])
    store.set(Item("jon", b"new"))
    assert stored(made)["jon"]["access"].trusted == ["/usr/local/bin/aws-vault"]
    assert stored(made)["jon"]["kSecValueData"] == b"new"


def test_a_locked_keychain(made, opened):
    """Is listed; macOS asks for its password when an item is read."""
    store = opened()
    store.set(Item("jon", b"data"))
    made.files[FILE].locked = True
    assert list(store.listing()) == ["jon"]
    made.answers = iter(["wrong", "pw"])
    with pytest.raises(PromptDismissed):
        store.get("jon")
    assert store.get("jon").data == b"data"


def test_our_own_collection(made, opened):
    """It is another service in the same keychain."""
    store = opened()
    own = store.beside("strongroom")
    store.set(Item("jon", b"key"))
    own.set(Item("jon", b"journal"))
    assert (store.get("jon").data, own.get("jon").data) == (b"key", b"journal")
    assert (list(store.listing()), list(stored(made, "strongroom"))) == (["jon"], ["jon"])
    own.remove("jon")
    assert store.get("jon").data == b"key"


@pytest.mark.parametrize(
    ("function", "status", "use", "error", "message"),
    [
        ("match", -25308, "get", KeystoreLocked, "cannot read FILE: macOS would have to ask, and cannot in this session (-25308)"),
        ("match", -25293, "listing", KeystoreLocked, "cannot list FILE: macOS does not accept the password (-25293)"),
        ("match", -128, "get", PromptDismissed, "the question was dismissed in the window of macOS"),
        ("add", -61, "set", KeystoreError, "cannot write to FILE: the file may not be written (-61)"),
        ("add", -128, "set", PromptDismissed, "the question was dismissed in the window of macOS"),
        ("update", -67808, "set", KeystoreError, "cannot write to FILE: macOS refused (-67808)"),
        ("access", -50, "set", KeystoreError, "cannot make an access list for FILE: macOS refused (-50)"),
        ("delete", -25292, "remove", KeystoreError, "cannot remove from FILE: the keychain is read-only (-25292)"),
        ("status", -25295, "listing", KeystoreError, "cannot open FILE: the file is no keychain (-25295)"),
    ],
)  # fmt: skip
def test_macos_refuses(made, opened, function, status, use, error, message):
    """It is told why; the old value is intact."""
    made.put("aws-vault", "jon", b"old")
    store = opened()
    made.refuses = {function: status}
    with pytest.raises(error) as caught:
        {"get": lambda: store.get("jon"), "listing": store.listing, "remove": lambda: store.remove("jon"),
         "set": lambda: store.set(Item("jon", b"new"))}[use]()  # fmt: skip
    assert caught.value.message == message.replace("FILE", FILE)
    made.refuses = {}
    assert store.get("jon").data == b"old"


def test_a_hint_names_the_keychain(made, opened):
    """So that it can be typed."""
    made.refuses = {"match": -25308}
    with pytest.raises(KeystoreLocked) as caught:
        opened().get("jon")
    assert caught.value.hint == f"unlock it at the Mac, or with: security unlock-keychain {FILE}"


@pytest.mark.parametrize(
    ("name", "path"), [(None, FILE), ("work", "work.keychain"), ("/a/b.keychain-db", "/a/b.keychain-db")]
)
def test_which_keychain(mac, opened, name, path):
    """A name, or a file."""
    assert opened(keychain=name).location == f"keychain {path}, service aws-vault"


def test_a_key_that_is_no_text(made, opened):
    """It is refused."""
    with pytest.raises(KeystoreError) as caught:
        opened().set(Item("\udcff", b"data"))
    assert caught.value.message == "macOS takes no such text: '\\udcff'"


def test_no_memory(made, opened):
    """Is no crash."""
    made.CFDataCreate = lambda *_: None
    with pytest.raises(KeystoreError) as caught:
        opened().set(Item("jon", b"data"))
    assert caught.value.message == "macOS has no memory left"


# Touch ID


class Human:
    def __init__(self, *answers):
        self.answers = iter(answers)
        self.asked = []

    def __call__(self, message, *, confirm):
        self.asked.append((message, confirm))
        return next(self.answers)


def test_touch_id(made, opened):
    """The keychain's password is asked for once, kept in the login keychain, and used when the owner agrees."""
    human = Human("pw")
    store = opened(human, biometrics=1)
    made.files[FILE].locked = True
    store.set(Item("jon", b"data"))
    assert store.get("jon").data == b"data"
    store.beside("strongroom").listing()
    assert made.touched == [f"unlock {FILE}"]
    assert human.asked == [(f"Enter the password of {FILE}, so that Touch ID can unlock it from now on: ", False)]
    kept = made.files["login.keychain"].items["aws-vault", "cc.byteness.aws-vault.biometrics"]
    assert (kept["kSecAttrLabel"], kept["kSecValueData"]) == (f"Passphrase for {FILE}", b"pw")
    made.files[FILE].locked = True
    assert opened(biometrics=1).get("jon").data == b"data"
    assert made.questions == []
    assert len(made.touched) == 2


def test_touch_id_without_a_keychain(mac, opened):
    """There is nothing to unlock."""
    assert opened(biometrics=1).listing() == {}
    assert mac.touched == []


def test_a_password_that_was_changed(made, opened):
    """The one in the login keychain is asked for anew, and replaced."""
    made.put("aws-vault", "cc.byteness.aws-vault.biometrics", b"old", file="login.keychain")
    opened(Human("pw"), biometrics=1).listing()
    kept = made.files["login.keychain"].items["aws-vault", "cc.byteness.aws-vault.biometrics"]
    assert kept["kSecValueData"] == b"pw"


def test_a_wrong_password(made, opened):
    """Is not kept."""
    with pytest.raises(KeystoreLocked) as caught:
        opened(Human("wrong"), biometrics=1).listing()
    assert caught.value.message == f"wrong password for {FILE}"
    assert made.files["login.keychain"].items == {}
    made.refuses = {"unlock": -61}
    with pytest.raises(KeystoreError) as caught:
        opened(Human("wrong"), biometrics=1).listing()
    assert caught.value.message == f"cannot unlock {FILE}: the file may not be written (-61)"


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (-2, PromptDismissed, "the question was dismissed in the window of Touch ID"),
        (-4, PromptDismissed, "the question was dismissed in the window of Touch ID"),
        (-7, KeystoreError, "Touch ID cannot be used: no finger is enrolled (-7)"),
        (-99, KeystoreError, "Touch ID cannot be used: macOS refused (-99)"),
        (0, KeystoreError, "Touch ID cannot be used: macOS refused (0)"),
    ],
)
def test_the_owner_does_not_agree(made, opened, code, error, message):
    """Nothing is unlocked."""
    made.finger = (False, code)
    made.files[FILE].locked = True
    with pytest.raises(error) as caught:
        opened(biometrics=1).get("jon")
    assert caught.value.message == message
    assert made.files[FILE].locked


def test_nobody_answers_touch_id(mac):
    """It is not waited for for ever."""
    mac.silent = True
    with pytest.raises(PromptFailed) as caught:
        touch_id.ask(mac, "unlock it", timeout_seconds=0.01)
    assert caught.value.message == "Touch ID: no answer within 0.01 seconds"


def test_a_macos_without_touch_id(mac):
    """It is told."""
    mac.kind = lambda name: 0
    with pytest.raises(KeystoreError) as caught:
        touch_id.ask(mac, "unlock it")
    assert caught.value.message == "Touch ID cannot be used: this macOS has no LocalAuthentication"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has it")
def test_elsewhere():
    """It is a part of macOS."""
    with pytest.raises(KeystoreUnavailable) as caught:
        keychain.open({}, nobody)
    assert caught.value.message == "the Keychain is a part of macOS"
