import json
import shutil
import signal
import subprocess
import sys

import pytest

if sys.platform != "linux" or not (shutil.which("dbus-daemon") and shutil.which("gnome-keyring-daemon")):
    pytest.skip("needs dbus-daemon and gnome-keyring-daemon", allow_module_level=True)

import secretstorage
from jeepney import DBusAddress
from jeepney.io.blocking import open_dbus_connection

from contracts.keystore import SharedKeystoreContract
from harness.desktop import DISMISS, Bus, storm
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
    PromptFailed,
)
from strongroom.keystore import Item, secret_service, session_bus

SECRET = '{"AccessKeyID":"AKIAIOSFODNN7EXAMPLE","SecretAccessKey":"wJalrXUtnFEMI/K7MDENG"}'


@pytest.fixture(scope="module")
def desktop(tmp_path_factory):
    """A bus with GNOME Keyring; each test takes a collection of its own."""
    bus = Bus(tmp_path_factory.mktemp("desktop"))
    bus.keyring()
    bus.human = bus.person()
    yield bus
    bus.close()


@pytest.fixture(scope="module")
def names():
    return (f"awsvault{number}" for number in range(1_000))


@pytest.fixture
def settings(desktop, names):
    return {"secret_service_collection": next(names), "program_environment": desktop.environ}


@pytest.fixture
def path(desktop, settings):
    """The collection, made and unlocked."""
    return desktop.create(settings["secret_service_collection"], "pw")


@pytest.fixture
def store(settings, path):
    return secret_service.open(settings, None)


@pytest.fixture
def human(desktop):
    """Who sits at the prompts, with nothing seen yet and no answer ready."""
    desktop.human.seen.clear()
    yield desktop.human
    assert desktop.human.answers.empty()


@pytest.fixture
def others(desktop):
    """Another client's connection: SecretStorage as it is."""
    connection = open_dbus_connection(desktop.address)
    secretstorage.add_match_rules(connection)
    yield connection
    connection.close()


class TestSecretService(SharedKeystoreContract):
    @pytest.fixture
    def opening(self, settings):
        return f"from strongroom.keystore import secret_service\nstore = secret_service.open({settings!r}, None)"


# The items


def test_an_item_is_what_aws_vault_writes(store, path, others):
    """The key is the label and the one attribute; the secret is one line of JSON, in that program's order."""
    store.set(Item("jon", b"data", "aws-vault (jon)", "", not_trust_application=True))
    [item] = secretstorage.Collection(others, path).get_all_items()
    assert item.get_label() == "jon"
    attributes = item.get_attributes()
    attributes.pop("xdg:schema", None)  # GNOME Keyring's own, from when it reads its file again
    assert attributes == {"profile": "jon"}
    assert item.get_secret() == (
        b'{"Key":"jon","Data":"ZGF0YQ==","Label":"aws-vault (jon)","Description":"",'
        b'"KeychainNotTrustApplication":true,"KeychainNotSynchronizable":false}'
    )


def test_the_content_type_is_json(store, monkeypatch):
    """It is said, although GNOME Keyring does not keep it."""
    said = []
    create = secretstorage.Collection.create_item
    monkeypatch.setattr(
        secretstorage.Collection,
        "create_item",
        lambda self, *args, **named: said.append(named["content_type"]) or create(self, *args, **named),
    )
    store.set(Item("jon", b"data"))
    assert said == ["application/json"]


def test_an_item_that_aws_vault_wrote(store, path, others):
    """With its label, its attribute, and a session that is not encrypted."""
    item = Item("jon", SECRET.encode(), "aws-vault (jon)")
    secretstorage.Collection(others, path).create_item(
        "jon", {"profile": "jon"}, item.to_json(), replace=True, content_type="application/json"
    )
    assert list(store.listing()) == ["jon"]
    assert store.get("jon") == item


@pytest.mark.skipif(not shutil.which("secret-tool"), reason="needs secret-tool")
def test_secret_tool_finds_it(store, desktop):
    """GNOME's own client, which is no Python, sees the item by its attribute."""
    store.set(Item("jon", b"data"))
    found = subprocess.run(
        ["secret-tool", "search", "--all", "profile", "jon"], env=desktop.environ, capture_output=True, text=True
    )
    assert Item("jon", b"data").to_json().decode() in found.stdout
    store.remove("jon")


def test_writing_again_makes_no_second_item(store, path, others):
    """One item per key, whatever its label was meanwhile."""
    store.set(Item("jon", b"first"))
    [item] = secretstorage.Collection(others, path).get_all_items()
    item.set_label("renamed by its owner")
    store.set(Item("jon", b"second"))
    assert store.get("jon").data == b"second"
    assert len(list(secretstorage.Collection(others, path).get_all_items())) == 1


def test_what_others_keep_in_the_collection_stays_out(store, path, others):
    """An item without our attribute is not listed, and one that was renamed is listed by what it is looked up by."""
    collection = secretstorage.Collection(others, path)
    collection.create_item("a note", {"xdg:schema": "org.gnome.keyring.Note"}, b"text")
    store.set(Item("jon", b"data"))
    next(collection.search_items({"profile": "jon"})).set_label("my key")
    assert list(store.listing()) == ["jon"]


def test_an_item_of_somebody_else(store, path, others):
    """With our attribute, and a content that is no item: damaged, and not shown."""
    secretstorage.Collection(others, path).create_item("jon", {"profile": "jon"}, b"plain secret")
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    assert caught.value.message == "item 'jon' is damaged: its content is not the JSON of an item"


def test_an_item_under_the_name_of_another(store, path, others):
    """Whoever can change attributes cannot make one profile use the key of another."""
    store.set(Item("jon", b"data"))
    next(secretstorage.Collection(others, path).search_items({"profile": "jon"})).set_attributes({"profile": "admin"})
    with pytest.raises(ItemDamaged) as caught:
        store.get("admin")
    assert caught.value.message == "item 'admin' is damaged: it holds the item 'jon'"


@pytest.mark.parametrize("key", ["a\0b", "a\udcffb"], ids=["NUL", "not Unicode"])
def test_a_name_that_the_bus_cannot_carry(store, key):
    """It is refused, and there is none of that name."""
    with pytest.raises(KeystoreError) as caught:
        store.set(Item(key, b"data"))
    assert caught.value.message == (
        f"cannot store item {key!r}: names on the session bus are valid Unicode without NUL"
    )
    with pytest.raises(ItemNotFound):
        store.get(key)
    assert store.listing() == {}


def test_no_secret_crosses_the_bus_in_clear(store, desktop):
    """Whoever listens to the bus sees names and no secret, neither raw nor in base64."""
    monitor = session_bus.connect(desktop.address)
    monitor.call(
        DBusAddress("/org/freedesktop/DBus", "org.freedesktop.DBus", "org.freedesktop.DBus.Monitoring"),
        "BecomeMonitor", "asu", [], 0,
    )  # fmt: skip
    store.set(Item("jon", SECRET.encode()))
    assert store.get("jon").data == SECRET.encode()
    heard = ""
    while "(oayays)" not in heard.rpartition("GetSecret")[2]:  # the reply with the secret
        message = monitor.receive(timeout=30)
        heard += repr(message.header.fields) + repr(message.body)
    monitor.close()
    encoded = json.loads(Item("jon", SECRET.encode()).to_json())["Data"]
    assert "CreateItem" in heard
    assert "'jon'" in heard
    assert encoded[:20] not in heard
    assert "SecretAccessKey" not in heard


def test_a_service_without_encryption(store, monkeypatch):
    """Its secrets are taken all the same, and it is said."""
    real = secretstorage.util.DBusAddressWrapper.call

    def call(self, method, signature, *body):
        if method == "OpenSession" and body[0] != "plain":
            raise_not_supported()
        return real(self, method, signature, *body)

    def raise_not_supported():
        from jeepney import HeaderFields, Message, MessageType
        from jeepney.low_level import Endianness, Header

        fields = {HeaderFields.error_name: "org.freedesktop.DBus.Error.NotSupported"}
        header = Header(Endianness.little, MessageType.error, 0, 1, 0, 1, fields)
        raise session_bus.DBusErrorResponse(Message(header, ()))

    monkeypatch.setattr(secretstorage.util.DBusAddressWrapper, "call", call)
    store.set(Item("jon", b"data"))
    assert store.get("jon").data == b"data"
    assert store.warnings == ["secrets cross the session bus unencrypted: the Secret Service offers nothing better"]


# Collections


def test_reading_makes_no_collection(settings, desktop, human):
    """Where there is none, nothing is found, nothing is made and nobody is asked."""
    store = secret_service.open(settings, None)
    assert store.listing() == {}
    with pytest.raises(ItemNotFound):
        store.get("jon")
    with pytest.raises(ItemNotFound):
        store.remove("jon")
    assert not store.exists()
    assert human.seen == []


def test_the_first_write_makes_the_collection(settings, human):
    """The desktop asks for its password, once."""
    store = secret_service.open(settings, None)
    human.answers.put("new password")
    store.set(Item("jon", b"data"))
    store.set(Item("ann", b"data"))
    assert store.get("jon").data == b"data"
    assert len(human.seen) == 1
    assert settings["secret_service_collection"] in human.seen[0]["description"]


def test_a_collection_that_the_human_does_not_want(settings, human):
    """Dismissed: nothing is made, and it is said."""
    store = secret_service.open(settings, None)
    with pytest.raises(PromptDismissed) as caught:
        store.set(Item("jon", b"data"))
    assert caught.value.message == f"{store.location} was not made: the prompt for its password was dismissed"
    assert not store.exists()


@pytest.mark.parametrize("name", ["aws-vault", "my keys", "\u00fcml\u00e4ut", "a_2d"])
def test_names_of_collections(settings, desktop, name):
    """Paths hold letters and digits only; other characters are found in their escaped form."""
    desktop.create(name, "pw")
    assert secret_service.open(settings | {"secret_service_collection": name}, None).exists()


def test_a_collection_of_our_own(store, settings, desktop):
    """It is another collection; neither shows the items of the other."""
    desktop.create(f"strongroom-{settings['secret_service_collection']}", "other")
    own = store.beside(f"strongroom-{settings['secret_service_collection']}")
    own.set(Item("totp", b"seed"))
    store.set(Item("jon", b"data"))
    assert (list(store.listing()), list(own.listing())) == (["jon"], ["totp"])
    assert own.beside(f"strongroom-{settings['secret_service_collection']}").location != own.location


# Prompts


def test_a_locked_collection_asks_once(store, path, desktop, human):
    """For a listing, and then for nothing more."""
    store.set(Item("jon", b"data"))
    desktop.lock(path)
    human.answers.put("pw")
    assert list(store.listing()) == ["jon"]
    assert store.get("jon").data == b"data"
    store.set(Item("jon", b"other"))
    store.remove("jon")
    assert len(human.seen) == 1


@pytest.mark.parametrize("use", ["get", "set", "remove"])
def test_each_use_unlocks(store, path, desktop, human, use):
    """Not only the listing."""
    item = Item("jon", b"data")
    store.set(item)
    desktop.lock(path)
    human.answers.put("pw")
    getattr(store, use)(item if use == "set" else "jon")
    assert len(human.seen) == 1


def test_a_wrong_password_is_the_desktops_to_repeat(store, path, desktop, human):
    """It asks again by itself."""
    desktop.lock(path)
    for word in ("wrong", "pw"):
        human.answers.put(word)
    assert store.listing() == {}
    assert human.seen[-1]["warning"] == "The unlock password was incorrect"


def test_a_prompt_that_is_dismissed(store, path, desktop, human):
    """It is said, and the next command asks again."""
    desktop.lock(path)
    for _ in range(2):
        with pytest.raises(PromptDismissed) as caught:
            store.get("jon")
        assert caught.value.message == f"{store.location} stays locked: its prompt was dismissed"
    assert len(human.seen) == 2


def test_fifty_processes_ask_once(store, settings, path, desktop, human):
    """They all want one item of a locked collection: one prompt, fifty answers."""
    store.set(Item("jon", b"data"))
    desktop.lock(path)
    human.answers.put(lambda: desktop.wait_for_queue("strongroom.Prompting", 50) or "pw")
    assert storm("secret_service", settings, "jon", 50) == {"b'data'": 50}
    assert len(human.seen) == 1


def test_fifty_processes_hear_no_once(store, settings, path, desktop, human):
    """The human declines: those who wait for the same thing do not ask again."""
    store.set(Item("jon", b"data"))
    desktop.lock(path)
    human.answers.put(lambda: desktop.wait_for_queue("strongroom.Prompting", 50) or DISMISS)
    assert storm("secret_service", settings, "jon", 50) == {"PromptDismissed": 50}
    assert len(human.seen) == 1


def test_a_collection_that_stays_locked(store, path, desktop, monkeypatch):
    """The service says that it unlocked it, and did not."""
    desktop.lock(path)
    monkeypatch.setattr(secretstorage.Collection, "unlock", lambda self, timeout: False)
    with pytest.raises(KeystoreLocked) as caught:
        store.listing()
    assert caught.value.message == f"{store.location} stays locked"


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (secretstorage.PromptDismissedException, PromptDismissed, "the prompt of the Secret Service was dismissed"),
        (secretstorage.ItemNotFoundException, ItemNotFound, "no item 'jon' in {location}"),
        (secretstorage.LockedException, KeystoreLocked, "{location} was locked by somebody else meanwhile"),
        (secretstorage.SecretServiceNotAvailableException, KeystoreUnavailable, "the Secret Service is not there: why"),
    ],
    ids=["dismissed", "removed", "locked", "gone"],
)
def test_what_happens_between_finding_and_removing(store, monkeypatch, error, kind, message):
    """Other programs use the collection too, and the service may ask even for that."""
    store.set(Item("jon", b"data"))

    def delete(self):
        raise error("why")

    monkeypatch.setattr(secretstorage.Item, "delete", delete)
    with pytest.raises(kind) as caught:
        store.remove("jon")
    assert caught.value.message == message.format(location=store.location)


def test_another_process_makes_the_collection(settings, desktop, human, monkeypatch):
    """While we wait for our turn: there is nothing left to make."""
    store = secret_service.open(settings, None)
    turn = session_bus.Bus.turn

    def slow(self, about):
        desktop.create(settings["secret_service_collection"], "pw")
        return turn(self, about)

    monkeypatch.setattr(session_bus.Bus, "turn", slow)
    store.set(Item("jon", b"data"))
    assert human.seen == []
    assert list(store.listing()) == ["jon"]


def test_a_sandbox_that_may_own_no_name(tmp_path, monkeypatch):
    """There, each process asks for itself."""
    bus = Bus(tmp_path, policy='<deny own="strongroom.Prompting"/>')
    bus.keyring()
    person = bus.person()
    person.answers.put("pw")
    bus.lock(bus.create("awsvault", "pw"))
    assert secret_service.open({"program_environment": bus.environ}, None).listing() == {}
    assert len(person.seen) == 1
    bus.close()


# What may be missing or broken


def test_no_bus():
    """The store is not to be had."""
    with pytest.raises(KeystoreUnavailable) as caught:
        secret_service.open({"program_environment": {}}, None)
    assert caught.value.message == "there is no session bus here"


def test_a_bus_that_systemd_made(desktop):
    """It needs no variable of its own."""
    environment = {"XDG_RUNTIME_DIR": desktop.environ["XDG_RUNTIME_DIR"]}
    assert secret_service.open({"program_environment": environment}, None).location == (
        "collection 'awsvault' of the Secret Service"
    )


@pytest.fixture
def lonely(tmp_path):
    """A bus with nothing on it."""
    bus = Bus(tmp_path)
    yield bus
    bus.close()


def test_nobody_at_the_prompt(lonely, monkeypatch):
    """After a while we give up. Whoever comes back and unlocks the collection need not do it again."""
    lonely.keyring()
    person = lonely.person()
    person.answers.put(None)
    path = lonely.create("awsvault", "pw")
    lonely.lock(path)
    store = secret_service.open({"program_environment": lonely.environ}, None)
    monkeypatch.setattr(session_bus, "PROMPT_SECONDS", 0.1)
    with pytest.raises(PromptFailed) as caught:
        store.get("jon")
    assert caught.value.message == "nobody answered the keystore's prompt within 0.1 seconds"
    lonely.unlock(path, "pw")
    assert store.listing() == {}
    assert len(person.seen) == 1


def test_after_a_restart(lonely):
    """The collection is locked, its items' names are hashed and their attributes more: they are still the same items."""
    daemon = lonely.keyring()
    path = lonely.create("awsvault", "pw")
    store = secret_service.open({"program_environment": lonely.environ}, None)
    for key in ("jon", "ann"):
        store.set(Item(key, b"before"))
    lonely.stop(daemon, secret_service.BUS_NAME)
    lonely.keyring()
    person = lonely.person()
    person.answers.put("pw")
    assert sorted(store.listing()) == ["ann", "jon"]
    store.set(Item("jon", b"after"))
    assert (store.get("jon").data, store.get("ann").data) == (b"after", b"before")
    assert len(list(secretstorage.Collection(lonely.connection, path).get_all_items())) == 2
    assert len(person.seen) == 1


def test_nobody_offers_it(lonely):
    """A bus alone is no store."""
    with pytest.raises(KeystoreUnavailable) as caught:
        secret_service.open({"program_environment": lonely.environ}, None)
    assert caught.value.message == "no program offers the Secret Service on the session bus"


def test_the_bus_ends_under_us(lonely):
    """One error, and the next use says that there is no bus."""
    lonely.keyring()
    store = secret_service.open({"program_environment": lonely.environ}, None)
    lonely.close()
    with pytest.raises(KeystoreError) as caught:
        store.listing()
    assert caught.value.message.startswith("the connection to the Secret Service broke: ")
    with pytest.raises(KeystoreUnavailable):
        store.listing()


def test_the_service_ends_under_us(lonely):
    """It is not there any more; once it is back the same store goes on."""
    daemon = lonely.keyring()
    store = secret_service.open({"program_environment": lonely.environ}, None)
    lonely.stop(daemon, secret_service.BUS_NAME)
    with pytest.raises(KeystoreUnavailable) as caught:
        store.listing()
    assert caught.value.message.startswith("the Secret Service is not there: ")
    lonely.keyring()
    assert store.listing() == {}


def test_a_service_that_hangs(lonely, monkeypatch):
    """No call waits for ever."""
    monkeypatch.setattr(session_bus, "CALL_SECONDS", 0.1)
    daemon = lonely.keyring()
    store = secret_service.open({"program_environment": lonely.environ}, None)
    daemon.send_signal(signal.SIGSTOP)
    with pytest.raises(KeystoreError) as caught:
        store.listing()
    assert caught.value.message == "the Secret Service did not answer within 0.1 seconds"


def test_headless(lonely):
    """Without a display nobody can be asked for a new collection's password: another store is chosen for that."""
    lonely.keyring()
    settings = {"program_environment": lonely.environ}
    with pytest.raises(KeystoreUnavailable) as caught:
        secret_service.open(settings | {"choosing": 1}, None)
    assert caught.value.message == ("there is no collection 'awsvault' yet, and no display to ask for its password on")
    display = {"program_environment": lonely.environ | {"WAYLAND_DISPLAY": "wayland-0"}}
    assert secret_service.open(settings | display | {"choosing": 1}, None).listing() == {}
    lonely.create("awsvault", "pw")
    assert secret_service.open(settings | {"choosing": 1}, None).listing() == {}


def test_no_prompter(lonely):
    """Who names the store all the same is told what happened."""
    lonely.keyring()
    store = secret_service.open({"program_environment": lonely.environ}, None)
    with pytest.raises(PromptDismissed) as caught:
        store.set(Item("jon", b"data"))
    assert (caught.value.message, caught.value.hint) == (
        "collection 'awsvault' of the Secret Service was not made: the prompt for its password was dismissed",
        "the desktop shows it: without one, use another keystore, such as --backend=file",
    )


def test_another_system(monkeypatch):
    """The store is not to be had there."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(KeystoreUnavailable) as caught:
        secret_service.open({}, None)
    assert caught.value.message == "the Secret Service belongs to desktops on Linux"
