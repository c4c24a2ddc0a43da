import os
import threading

import pytest
from onepasswordconnectsdk import models
from onepasswordconnectsdk.client import new_client

from contracts.keystore import SharedKeystoreContract
from fakes.onepassword import CONNECT_TOKEN, VAULT, Connect, Vault
from strongroom.errors import (
    ItemDamaged,
    ItemNotFound,
    KeystoreError,
    KeystoreLocked,
    KeystoreUnavailable,
    PromptDismissed,
)
from strongroom.keystore import Item, op_connect

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def nobody(message, *, confirm):
    raise PromptDismissed(f"nobody is here to answer {message!r}")


@pytest.fixture(scope="module")
def _server():
    with Connect(Vault()).serve() as server:
        yield server


@pytest.fixture
def server(_server):
    _server.vault, _server.fails, _server.hold = Vault(), None, None
    _server.asked.clear()
    return _server


@pytest.fixture
def opened(server):
    def opened(ask=nobody, **settings):
        settings = {"op_vault_id": VAULT, "op_connect_host": server.url, "op_connect_token": CONNECT_TOKEN} | settings
        return op_connect.open(settings, ask)

    return opened


class TestConnect(SharedKeystoreContract):
    @pytest.fixture
    def store(self, opened):
        return opened()

    @pytest.fixture
    def opening(self, server):
        settings = {"op_vault_id": VAULT, "op_connect_host": server.url, "op_connect_token": CONNECT_TOKEN}
        return f"from strongroom.keystore import op_connect\nstore = op_connect.open({settings!r}, None)"


def test_what_an_item_looks_like(opened, server):
    """As aws-vault's do, and the server knows when it was changed."""
    store = opened()
    item = Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)
    store.set(item)
    (stored,) = server.vault.items
    assert (stored["title"], stored["category"], stored["tags"]) == ("aws-vault: jon", "API_CREDENTIAL", ["aws-vault"])
    assert [(field["type"], field["label"], field["value"]) for field in stored["fields"]] == [
        ("CONCEALED", "keyring", item.to_json().decode())
    ]
    assert store.listing() == {"jon": float(int(stored["changed"]))}


def test_another_client(opened, server):
    """1Password's own finds what we stored and stores what we find: the server of these tests is not just ours."""
    client = new_client(server.url, CONNECT_TOKEN)
    store = opened()
    mine = Item("jon", b"data", "aws-vault (jon)")
    store.set(mine)
    (field,) = client.get_item("aws-vault: jon", VAULT).fields
    assert (field.type, field.label, field.value) == ("CONCEALED", "keyring", mine.to_json().decode())
    other = models.Item(
        title="aws-vault: ann",
        category="API_CREDENTIAL",
        tags=["aws-vault"],
        vault=models.ItemVault(id=VAULT),
        fields=[
            models.Field(id="x", type="CONCEALED", label="keyring", value=Item("ann", b"old").to_json().decode()),
        ],
    )
    made = client.create_item(VAULT, other)
    assert store.get("ann").data == b"old"
    made.fields[0].value = Item("ann", b"new").to_json().decode()
    client.update_item(made.id, VAULT, made)
    assert store.get("ann").data == b"new"
    client.delete_item(made.id, VAULT)
    assert list(store.listing()) == ["jon"]
    store.remove("jon")
    assert client.get_items(VAULT) == []


def test_how_often_it_asks(opened, server):
    """One listing per command, and one request for one secret."""
    store = opened()
    store.set(Item("jon", b"data"))
    store.set(Item("jon", b"more"))
    assert [method for method, _ in server.asked] == ["GET", "POST", "GET", "PUT"]
    server.asked.clear()
    store = opened()
    store.listing()
    store.get("jon")
    items = f"/v1/vaults/{VAULT}/items"
    assert server.asked == [("GET", f"{items}?filter=tag%20eq%20%22aws-vault%22"), ("GET", f"{items}/{1:026}")]


def test_an_item_that_was_replaced_since_the_listing(opened):
    """It is looked for again."""
    store, other = opened(), opened()
    store.set(Item("jon", b"old"))
    store.listing()
    other.remove("jon")
    other.set(Item("jon", b"new"))
    assert store.get("jon").data == b"new"
    store.listing()
    other.remove("jon")
    with pytest.raises(ItemNotFound):
        store.get("jon")


def test_somebody_else_is_faster(opened, server):
    """An item goes away between the listing and its use: it is missing, or removed as was wanted."""
    store = opened()
    answer = server.answer

    def emptied(method, path, headers, body):
        if "?" not in path:
            server.vault.items.clear()
        return answer(method, path, headers, body)

    for use in (store.get, store.remove):
        server.answer = answer
        store.set(Item("jon", b"data"))
        server.answer = emptied
        if use == store.remove:
            use("jon")
        else:
            with pytest.raises(ItemNotFound):
                use("jon")
    server.answer = answer
    assert store.listing() == {}


def test_an_item_that_is_there_twice(opened, server):
    """Nothing says which one counts; removing it removes both."""
    store = opened()
    store.set(Item("jon", b"one"))
    server.vault.create(server.vault.items[0])
    with pytest.raises(ItemDamaged):
        store.get("jon")
    with pytest.raises(ItemDamaged):
        store.set(Item("jon", b"new"))
    store.remove("jon")
    assert server.vault.items == []


def test_our_own_collection(opened):
    """It stands beside, under another title and tag; each sees its own."""
    store = opened()
    own = store.beside("strongroom")
    store.set(Item("jon", b"key"))
    own.set(Item("jon", b"journal"))
    assert (store.get("jon").data, own.get("jon").data) == (b"key", b"journal")
    assert (list(store.listing()), list(own.listing())) == (["jon"], ["jon"])


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"op_connect_token": "other"}, KeystoreLocked, "refused the token: Invalid token signature"),
        ({"op_connect_token": "\u20ac"}, KeystoreLocked, "the Connect token is none: it has other characters"),
        ({"op_vault_id": "nosuch"}, KeystoreError, "knows no such thing: vault nosuch not found"),
        ({"op_vault_id": "../x?y"}, KeystoreError, "knows no such thing: vault ..%2Fx%3Fy not found"),
    ],
)
def test_what_the_server_refuses(opened, settings, error, message):
    """Its reason is told; the token is not."""
    with pytest.raises(error) as caught:
        opened(**settings).listing()
    assert caught.value.message.endswith(message)
    assert "other" not in caught.value.message or "characters" in caught.value.message


@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("drop", "no answer from the Connect server URL: it broke off"),
        ((500, b""), "the Connect server URL answered with status 500"),
        (
            (403, b'{"message": "vault is not in scope"}'),
            "the Connect server URL does not allow this: vault is not in scope",
        ),
        ((302, b"{}"), "the Connect server URL answered with status 302"),
        ((200, b"<html>secret"), "the answer of the Connect server URL is no JSON"),
        ((200, b'{"title": 7}'), "1Password's answer is no list of items"),
        ((200, b"[7]"), "1Password's answer is no list of items"),
        ((400, b'{"message": 7}'), "the Connect server URL answered with status 400"),
        ((400, b"[]"), "the Connect server URL answered with status 400"),
    ],
)
def test_what_goes_wrong(opened, server, fails, message):
    """Told in one line; the token goes nowhere else, and nothing is sent twice."""
    server.fails = fails
    with pytest.raises(KeystoreError) as caught:
        opened().listing()
    assert caught.value.message == message.replace("URL", server.url)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"null", b"[]", b'{"fields": 7}', b'{"fields": [{"type": "CONCEALED", "value": 7}]}']
)
def test_an_answer_that_is_no_item(opened, server, answer):
    """The item is damaged, not missing."""
    store = opened()
    store.set(Item("jon", b"data"))
    store.listing()
    server.fails = (200, answer)
    with pytest.raises(ItemDamaged) as caught:
        store.get("jon")
    assert caught.value.key == "jon"


def test_a_server_that_takes_too_long(opened, server):
    """It is not waited for longer than the setting says."""
    server.hold = threading.Event()
    with pytest.raises(KeystoreError) as caught:
        opened(op_timeout=0.05).listing()
    server.hold.set()
    assert caught.value.message == f"no answer from the Connect server {server.url}: it took too long"


def test_no_server(opened):
    """Nobody listens there; or it is no name of a machine."""
    for host in ("http://127.0.0.1:1", "http://127.0.0.1:99999"):
        with pytest.raises(KeystoreError) as caught:
            opened(op_connect_host=host).listing()
        assert caught.value.message.startswith(f"no answer from the Connect server {host}: ")


def test_the_token_is_asked_for_once(opened):
    """When no setting has it, with the first request."""
    asked = []

    def human(message, *, confirm):
        asked.append(message)
        return CONNECT_TOKEN

    store = opened(ask=human, op_connect_token=None)
    assert asked == []
    store.listing()
    store.beside("strongroom").listing()
    assert asked == ["Enter 1Password Connect token: "]


def test_settings_that_are_missing_or_wrong(opened):
    """Without a server or a vault there is no such store; an address that is none is a mistake."""
    for setting, message in [
        ("op_connect_host", "no 1Password Connect server is named"),
        ("op_vault_id", "no 1Password vault is named"),
    ]:
        with pytest.raises(KeystoreUnavailable) as caught:
            opened(**{setting: None})
        assert caught.value.message == message
    with pytest.raises(KeystoreError) as caught:
        opened(op_connect_host="connect:8080")
    assert caught.value.message == "'connect:8080' is no address of a Connect server"


def test_a_server_without_encryption(opened):
    """On another machine it is warned of; here it is not."""
    assert opened().warnings == []
    (warning,) = opened(op_connect_host="http://connect.corp:8080").warnings
    assert warning.startswith("http://connect.corp:8080 is not encrypted: ")


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://connect.corp", {}, ""),
        ("https://connect.corp", {"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ("https://connect.corp", {"HTTPS_PROXY": "http://upper", "https_proxy": "lower:1"}, "http://lower:1"),
        ("https://connect.corp", {"HTTPS_PROXY": "http://proxy", "NO_PROXY": ".corp"}, ""),
        ("https://connect.corp", {"HTTPS_PROXY": "http://proxy", "no_proxy": "elsewhere"}, "http://proxy"),
        ("http://connect.corp", {"HTTP_PROXY": "http://from-a-request"}, ""),
        ("http://connect.corp", {"http_proxy": "http://proxy"}, "http://proxy"),
        ("http://127.0.0.1:8080", {"http_proxy": "http://proxy"}, ""),
    ],
)
def test_a_proxy(url, environ, proxy):
    """The environment's, as with other programs; never for this machine."""
    assert op_connect._proxy(url, environ) == proxy


def test_requests_go_through_the_proxy(opened, server):
    """It is asked for the whole address."""
    store = opened(op_connect_host="http://connect.corp", program_environment={"http_proxy": server.url})
    server.fails = (200, b"[]")
    assert store.listing() == {}
    assert server.asked[0][1].startswith("http://connect.corp/v1/vaults/")
