"""The package itself: the table, `open`, and items with their JSON."""

from importlib import import_module

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import keystore
from strongroom.errors import ItemDamaged, KeystoreError
from strongroom.keystore import Item


def nobody(message, *, confirm):
    raise AssertionError(f"asked: {message}")


def test_a_store_of_the_table_can_be_opened(tmp_path):
    """Its name leads to its module, whose `open` makes the store; nothing is read or written yet."""
    settings = {"file_dir": str(tmp_path / "keys"), "file_passphrase": "pw", "file_iterations": 1000}
    store = keystore.open("file", settings, nobody)
    assert (store.location, store.listing(), store.warnings) == (str(tmp_path / "keys"), {}, [])


def test_each_name_of_the_table_is_a_module():
    """A member of the family is a module with a function `open`, and one line of help."""
    for name, line in keystore.KEYSTORES.items():
        assert callable(import_module(f"strongroom.keystore.{keystore.MODULES.get(name, name)}").open)
        assert line.endswith(".")
        assert "\n" not in line


def test_a_store_that_is_not_in_the_table_is_refused():
    """A name from outside never becomes the name of a module."""
    with pytest.raises(KeystoreError) as caught:
        keystore.open("jwe", {}, nobody)
    assert (caught.value.message, caught.value.hint) == (
        "no keystore is called 'jwe'",
        f"known are: {', '.join(keystore.KEYSTORES)}",
    )


def test_an_item_shows_its_name_and_size_only():
    """Its repr has no data."""
    assert repr(Item("jon", b"secret")) == "<Item 'jon', 6 bytes>"


def test_items_are_equal_if_everything_is():
    """Any part makes a difference; an item is no tuple."""
    item = Item("jon", b"data", "label", "description")
    assert item == Item("jon", b"data", "label", "description")
    assert hash(item) == hash(Item("jon", b"data", "label", "description"))
    assert item != Item("jon", b"data", "label", "description", not_synchronizable=True)
    assert item != ("jon", b"data")


def test_json_is_what_aws_vault_writes():
    """One line, the fields in its order, the data in padded base64."""
    item = Item("jon", b"data", "aws-vault (jon)", not_trust_application=True)
    text = (
        b'{"Key":"jon","Data":"ZGF0YQ==","Label":"aws-vault (jon)","Description":"",'
        b'"KeychainNotTrustApplication":true,"KeychainNotSynchronizable":false}'
    )
    assert item.to_json() == text
    assert Item.from_json("jon", text) == item


@given(st.text(), st.binary(), st.text(), st.text(), st.booleans(), st.booleans())
def test_json_round_trip(key, data, label, description, trust, synchronizable):
    """Any item comes back from its JSON."""
    item = Item(key, data, label, description, not_trust_application=trust, not_synchronizable=synchronizable)
    assert Item.from_json(key, item.to_json()) == item


def test_json_of_go_without_data():
    """Go writes no bytes as null, and readers accept missing fields."""
    assert Item.from_json("jon", b'{"Key":"jon","Data":null}') == Item("jon", b"")
    assert Item.from_json("jon", b'{"Key":"jon"}') == Item("jon", b"")


def test_an_item_under_another_name_is_refused():
    """Whoever can rename files must not be able to swap the credentials of two profiles."""
    with pytest.raises(ItemDamaged) as caught:
        Item.from_json("admin", Item("jon", b"data").to_json())
    assert caught.value.key == "admin"
    assert caught.value.message == "item 'admin' is damaged: it holds the item 'jon'"
    assert (
        caught.value.hint
        == "it was renamed or copied after it was written: rename it back, or remove it and add it anew"
    )


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"jon"',
        b"{}",
        b'{"Key":1}',
        b'{"Key":"jon","Data":1}',
        b'{"Key":"jon","Data":"_-"}',
        b'{"Key":"jon","Data":"AAA"}',
        b'{"Key":"jon","Label":[1]}',
        b'{"Key":"jon","Description":1}',
        b"\xff\xfe{",
        b"[" * 100_000,
    ],
    ids=range(14),
)
def test_what_is_no_item_is_refused_without_being_shown(text):
    """Every shape of wrong JSON gives the same message; the text, which is the secret, is nowhere in the error."""
    with pytest.raises(ItemDamaged) as caught:
        Item.from_json("jon", text)
    assert caught.value.message == "item 'jon' is damaged: its content is not the JSON of an item"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
