import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.credentials import Credentials
from strongroom.errors import ItemDamaged
from strongroom.keystore import Item, memory, plain
from strongroom.vault import SessionName, Vault

ITEMS = st.builds(
    Item,
    st.text(min_size=1),
    st.binary() | st.binary().map(lambda data: b"\0strongroom-item " + data),
    st.text(),
    st.text(),
    not_trust_application=st.booleans(),
    not_synchronizable=st.booleans(),
)


@given(ITEMS)
def test_an_item_comes_back_whole(item):
    """Whatever it is, even data that looks like our own first line; and it never comes to nothing."""
    assert plain.pack(item)
    assert plain.unpack(item.key, plain.pack(item)) == item


@given(st.text(), st.binary())
def test_any_payload_is_an_item_or_damaged(key, payload):
    """What others put there is read as data."""
    try:
        assert plain.unpack(key, payload).data == payload or payload.startswith(b"\0strongroom-item ")
    except ItemDamaged as error:
        assert error.key == key  # noqa: PT017 - either answer is right


def test_what_the_vault_stores_is_stored_as_aws_vault_does():
    """A long-term key and a token are their data and nothing else, label and description being the usual ones."""
    store = memory.MemoryKeystore()
    vault = Vault(store)
    vault.store_key("jon", Credentials("AKIA", "secret"))
    vault.keep_token("https://corp.example/start", {"Token": {}, "Expiration": "2026-11-22T10:00:00Z"})
    items = [store.get(key) for key in store.listing()]
    assert [item.label for item in items] == [
        "aws-vault (jon)",
        "aws-vault oidc token for https://corp.example/start (expires 2026-11-22T10:00:00Z)",
    ]
    assert [plain.pack(item) for item in items] == [item.data for item in items]
    assert [plain.unpack(item.key, item.data) for item in items] == items


def test_a_session():
    """Its label is in its name: the profile and the expiry."""
    key = SessionName.of("sts.GetSessionToken", "j\u00f6n/dev", "arn:x", 1_795_315_097).key
    label = "aws-vault session for j\u00f6n/dev (expires 2026-11-22T02:38:17Z)"
    item = Item(key, b"{}", label, "aws-vault session")
    assert plain.pack(item) == b"{}"
    assert plain.unpack(key, b"{}") == item


@pytest.mark.parametrize("key", ["a,_,c,1", "a,b,c,x", "a,b,c", "a,b,c,999999999999", "a,4pyT,c,\u0661"])
def test_names_like_those_of_sessions(key):
    """Are those of profiles."""
    assert plain.unpack(key, b"{}").label == f"aws-vault ({key})"


@pytest.mark.parametrize("data", [b"", b"no JSON", b"[]", b"{}"])
def test_a_token_that_does_not_say_until_when(data):
    """Is read nevertheless."""
    assert plain.unpack("oidc:x", data).label == "aws-vault oidc token for x (expires )"


@pytest.mark.parametrize("head", [b"", b"x", b"[]", b'{"Label":1}\n', b'{"Description":null}\n'])
def test_a_first_line_that_cannot_be_read(head):
    """The item is damaged; what it holds is not shown."""
    with pytest.raises(ItemDamaged) as caught:
        plain.unpack("jon", b"\0strongroom-item " + head)
    assert caught.value.message == "item 'jon' is damaged: its first line cannot be read"


def test_other_labels_take_a_first_line():
    """Only what is not empty is in it."""
    assert plain.pack(Item("jon", b"data", "mine")) == b'\0strongroom-item {"Label":"mine"}\ndata'
    assert binascii.hexlify(plain.pack(Item("jon", b""))).startswith(b"00")
