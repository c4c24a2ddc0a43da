import shutil
import subprocess
import sys

import pytest

if sys.platform != "linux" or not shutil.which("dbus-daemon"):
    pytest.skip("needs dbus-daemon", allow_module_level=True)

from jeepney import DBusAddress

from contracts.keystore import SharedKeystoreContract
from fakes.kwallet import KWallet
from harness.desktop import Bus, storm
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreUnavailable,
    PromptDismissed,
    PromptFailed,
)
from strongroom.keystore import Item, kwallet, session_bus

REAL = pytest.mark.skipif(not shutil.which("kwalletd5"), reason="needs kwalletd5")
KWALLETD5 = DBusAddress("/modules/kwalletd5", "org.kde.kwalletd5", "org.kde.KWallet")
KEY = b"k" * 56  # what the login hands over instead of a password
CONFIG = """[Wallet]
Enabled=true
First Use=false
Prompt on Open=true
[Auto Allow]
aws-vault=aws-vault,kwallet-query
[Auto Deny]
denied=aws-vault
"""


def settings(bus, **more):
    return {"program_environment": bus.environ | more}


def opening(bus):
    return f"from strongroom.keystore import kwallet\nstore = kwallet.open({settings(bus)!r}, None)"


@pytest.fixture(scope="module")
def plasma(tmp_path_factory):
    """A bus with KWallet of Plasma 5, its wallet open, as it is after a login."""
    home = tmp_path_factory.mktemp("plasma")
    bus = Bus(home)
    (home / "config").mkdir()
    (home / "config" / "kwalletrc").write_text(CONFIG)
    bus.start(["kwalletd5"])
    bus.wait_for("org.kde.kwalletd5")
    bus.call(KWALLETD5, "pamOpen", "sayi", "aws-vault", KEY, 0)
    yield bus
    bus.close()


@REAL
class TestPlasma5(SharedKeystoreContract):
    """The real one."""

    @pytest.fixture
    def store(self, plasma):
        store = kwallet.open(settings(plasma), None)
        for key in store.listing():
            store.remove(key)
        return store

    @pytest.fixture
    def opening(self, plasma):
        return opening(plasma)

    def test_another_client_reads_it(self, store, plasma):
        """KDE's own, by its library."""
        store.set(Item("jon", b"data", "aws-vault (jon)", not_trust_application=True))
        run = subprocess.run(
            ["kwallet-query", "--folder", "aws-vault", "--list-entries", "aws-vault"],
            env=plasma.environ, capture_output=True, text=True,
        )  # fmt: skip
        assert run.stdout == "jon\n"
        [handle] = plasma.call(KWALLETD5, "open", "sxs", "aws-vault", 0, "aws-vault")
        assert plasma.call(KWALLETD5, "readEntry", "isss", handle, "aws-vault", "jon", "aws-vault") == (
            b'{"Key":"jon","Data":"ZGF0YQ==","Label":"aws-vault (jon)","Description":"",'
            b'"KeychainNotTrustApplication":true,"KeychainNotSynchronizable":false}',
        )

    def test_a_wallet_that_was_closed(self, store, plasma):
        """It is opened again before it is used: reading a closed one would look like an empty one."""
        store.set(Item("jon", b"data"))
        plasma.call(KWALLETD5, "close", "sb", "aws-vault", True)
        plasma.call(KWALLETD5, "pamOpen", "sayi", "aws-vault", KEY, 0)
        assert store.get("jon").data == b"data"

    def test_an_application_that_is_denied(self, plasma, monkeypatch):
        """KWallet asks nobody."""
        plasma.call(KWALLETD5, "pamOpen", "sayi", "denied", KEY, 0)
        monkeypatch.setattr(kwallet, "WALLET", "denied")
        with pytest.raises(PromptDismissed):
            kwallet.open(settings(plasma), None).listing()


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    bus = Bus(tmp_path_factory.mktemp("desktop"))
    yield bus
    bus.close()


@pytest.fixture
def kde(desktop):
    """KWallet of Plasma 6, without a wallet; the human says yes to everything."""
    fake = KWallet(desktop.address)
    yield fake
    fake.stop()


@pytest.fixture
def store(desktop, kde):
    return kwallet.open(settings(desktop), None)


class TestPlasma6(SharedKeystoreContract):
    @pytest.fixture
    def opening(self, desktop):
        return opening(desktop)


# The items


def test_an_item_is_what_aws_vault_writes(store, kde):
    """One line of JSON in the wallet and the folder of that program, written to disk at once."""
    store.set(Item("jon", b"data", "aws-vault (jon)", not_trust_application=True))
    assert kde.wallets == {
        "aws-vault": {
            "aws-vault": {
                "jon": b'{"Key":"jon","Data":"ZGF0YQ==","Label":"aws-vault (jon)","Description":"",'
                b'"KeychainNotTrustApplication":true,"KeychainNotSynchronizable":false}'
            }
        }
    }
    assert kde.written == {"aws-vault": 1}


def test_an_entry_of_somebody_else(store, kde):
    """It is damaged, and not shown."""
    kde.wallets = {"aws-vault": {"aws-vault": {"note": b"plain secret"}}}
    with pytest.raises(ItemDamaged) as caught:
        store.get("note")
    assert caught.value.message == "item 'note' is damaged: its content is not the JSON of an item"


@pytest.mark.parametrize("key", ["a\0b", "a\udcffb"], ids=["NUL", "not Unicode"])
def test_a_name_that_the_bus_cannot_carry(store, key):
    """It is refused, and there is none of that name."""
    with pytest.raises(KeystoreError) as caught:
        store.set(Item(key, b"data"))
    assert caught.value.message == f"cannot store item {key!r}: names on the session bus are valid Unicode without NUL"
    for use in (store.get, store.remove):
        with pytest.raises(ItemNotFound):
            use(key)


def test_a_folder_of_our_own(store, kde):
    """In the same wallet: nobody is asked again."""
    own = store.beside("strongroom")
    own.set(Item("totp", b"seed"))
    store.set(Item("jon", b"data"))
    assert (list(store.listing()), list(own.listing())) == (["jon"], ["totp"])
    assert kde.asked == [("aws-vault", "aws-vault")]


def test_what_kwallet_refuses_to_store(store, kde):
    """It is said, and the older item is intact."""
    store.set(Item("jon", b"first"))
    kde.is_full = True
    with pytest.raises(KeystoreError) as caught:
        store.set(Item("jon", b"second"))
    assert caught.value.message == "KWallet did not store item 'jon': it says -1"
    assert store.get("jon").data == b"first"


def test_what_kwallet_refuses_to_remove(store, kde):
    """It is said."""
    store.set(Item("jon", b"first"))
    kde.wallets["aws-vault"].clear()
    with pytest.raises(KeystoreError) as caught:
        store.remove("jon")
    assert caught.value.message == "KWallet did not remove item 'jon': it says -1"


# The wallet and its dialogs


def test_reading_makes_no_wallet(store, kde):
    """Where there is none, nothing is found, nothing is made and nobody is asked."""
    assert store.listing() == {}
    for use in (store.get, store.remove):
        with pytest.raises(ItemNotFound):
            use("jon")
    assert not store.exists()
    assert (kde.wallets, kde.asked) == ({}, [])


def test_the_wallet_asks_once(store, kde):
    """For whatever is done with it."""
    store.set(Item("jon", b"data"))
    store.get("jon")
    store.listing()
    store.remove("jon")
    assert kde.asked == [("aws-vault", "aws-vault")]


def test_a_wallet_that_was_closed_meanwhile(store, kde):
    """It is opened again; it does not look empty."""
    store.set(Item("jon", b"data"))
    kde.close_all()
    assert store.get("jon").data == b"data"
    assert len(kde.asked) == 2


def test_no(store, kde):
    """The human declines: it is said, and the next command asks again."""
    store.set(Item("jon", b"data"))
    kde.close_all()
    kde.answer = lambda wallet, application: False
    for _ in range(2):
        with pytest.raises(PromptDismissed) as caught:
            store.get("jon")
        assert (caught.value.message, caught.value.hint) == (
            "the wallet 'aws-vault' stays closed: its prompt was dismissed, or the answer was no",
            "KWallet's settings tell whether aws-vault may use it",
        )
    assert len(kde.asked) == 3


def test_nobody_at_the_dialog(store, kde, monkeypatch):
    """After a while we give up."""
    monkeypatch.setattr(session_bus, "PROMPT_SECONDS", 0.1)
    kde.answer = lambda wallet, application: None
    with pytest.raises(PromptFailed) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == "nobody answered the prompt of KWallet within 0.1 seconds"


def test_fifty_processes_ask_once(store, desktop, kde):
    """They all want one item of a closed wallet: one dialog, fifty answers."""
    store.set(Item("jon", b"data"))
    kde.close_all()
    kde.asked.clear()
    kde.answer = lambda wallet, application: desktop.wait_for_queue("strongroom.Prompting", 50) or True
    assert storm("kwallet", settings(desktop), "jon", 50) == {"b'data'": 50}
    assert len(kde.asked) == 1


def test_fifty_processes_hear_no_once(store, desktop, kde):
    """The human declines: those who wait for the same thing do not ask again."""
    store.set(Item("jon", b"data"))
    kde.close_all()
    kde.asked.clear()
    kde.answer = lambda wallet, application: bool(desktop.wait_for_queue("strongroom.Prompting", 50))
    assert storm("kwallet", settings(desktop), "jon", 50) == {"PromptDismissed": 50}
    assert len(kde.asked) == 1


# What may be missing or switched off


def test_no_bus():
    """The store is not to be had."""
    with pytest.raises(KeystoreUnavailable) as caught:
        kwallet.open({"program_environment": {}}, None)
    assert caught.value.message == "there is no session bus here"


def test_no_kwallet(desktop):
    """A bus alone is no store."""
    with pytest.raises(KeystoreUnavailable) as caught:
        kwallet.open(settings(desktop), None)
    assert caught.value.message == "no KWallet is on the session bus"


def test_switched_off(desktop, kde):
    """By KWallet's own setting, or by the variable that aws-vault knows."""
    with pytest.raises(KeystoreUnavailable) as caught:
        kwallet.open(settings(desktop, DISABLE_KWALLET="1"), None)
    assert caught.value.message == "KWallet is switched off by DISABLE_KWALLET"
    kde.is_enabled = False
    with pytest.raises(KeystoreUnavailable) as caught:
        kwallet.open(settings(desktop), None)
    assert caught.value.message == "KWallet is switched off in its settings"


def test_both_generations(desktop, kde):
    """The newer one is asked; the older one where it is alone."""
    old = KWallet(desktop.address, "kwalletd5")
    kwallet.open(settings(desktop), None).set(Item("jon", b"data"))
    assert (list(kde.wallets), list(old.wallets)) == (["aws-vault"], [])
    kde.stop()
    kwallet.open(settings(desktop), None).set(Item("jon", b"data"))
    assert list(old.wallets) == ["aws-vault"]
    old.stop()


def test_headless(desktop, kde):
    """Without a display nobody can be asked for a new wallet's password: another store is chosen for that."""
    with pytest.raises(KeystoreUnavailable) as caught:
        kwallet.open(settings(desktop) | {"choosing": 1}, None)
    assert caught.value.message == "there is no wallet 'aws-vault' yet, and no display to ask for its password on"
    assert kwallet.open(settings(desktop, DISPLAY=":0") | {"choosing": 1}, None).listing() == {}
    kde.wallets["aws-vault"] = {}
    assert kwallet.open(settings(desktop) | {"choosing": 1}, None).listing() == {}


def test_kwallet_that_hangs(store, desktop, kde, monkeypatch):
    """No call waits for ever."""
    monkeypatch.setattr(session_bus, "CALL_SECONDS", 0.1)
    kde._reply = lambda *_: None
    with pytest.raises(KeystoreError) as caught:
        store.listing()
    assert caught.value.message == "KWallet did not answer within 0.1 seconds"


def test_an_interface_that_changed(store, kde):
    """What KWallet says is passed on."""
    kde._generation = "kwalletd7"
    with pytest.raises(KeystoreError) as caught:
        store.listing()
    assert caught.value.message == "KWallet refused: no such object"


def test_another_system(monkeypatch):
    """The store is not to be had there."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(KeystoreUnavailable) as caught:
        kwallet.open({}, None)
    assert caught.value.message == "KWallet belongs to desktops on Linux"
