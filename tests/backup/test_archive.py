"""What is inside a backup: it comes back as it was, or not at all."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.backup.archive import MAIN, OWN, Archive, BackupError, Entry
from strongroom.keystore import Item

FACTS = {"made_at": "2026-11-22T23:42:28Z", "made_by": "strongroom 1", "store": "file", "location": "/keys"}
ENTRIES = (
    Entry(MAIN, Item("jon", b'{"AccessKeyID":"AKIA"}', "aws-vault (jon)", not_trust_application=True), 1.5),
    Entry(MAIN, Item("oidc:https://corp.example/start", b"\xff\0", "l", "d"), None),
    Entry(OWN, Item("totp:arn:aws:iam::1:mfa/jon", b'{"seed":"x"}'), 3),
)
ARCHIVE = Archive(ENTRIES, **FACTS, left_out=["broken"])
PATH = "vault.age"


def lines(archive=ARCHIVE):
    return archive.to_bytes().splitlines(keepends=True)


def refused(content):
    with pytest.raises(BackupError) as caught:
        Archive.from_bytes(content, PATH)
    return caught.value.message


def sealed(*changed, **head):
    """A backup of these lines whose first line fits them, and says *head* too."""
    body = b"".join(changed)
    first = json.loads(lines()[0]) | {"items": len(changed), "sha256": hashlib.sha256(body).hexdigest()} | head
    return json.dumps(first).encode() + b"\n" + body


def test_it_comes_back():
    """Every item, every fact."""
    found = Archive.from_bytes(ARCHIVE.to_bytes(), PATH)
    assert found.entries == ENTRIES
    assert {name: getattr(found, name) for name in FACTS} == FACTS
    assert found.left_out == ("broken",)


def test_it_says_itself_what_it_is():
    """Any reader of JSON can tell, and a checksum can be made by any program."""
    first, *rest = lines()
    assert json.loads(first) == {
        "format": "strongroom backup",
        "version": 1,
        **FACTS,
        "items": 3,
        "left_out": ["broken"],
        "sha256": hashlib.sha256(b"".join(rest)).hexdigest(),
    }
    assert json.loads(rest[0]) == {
        "collection": "aws-vault",
        "modified": 1.5,
        "item": json.loads(ENTRIES[0].item.to_json()),
        "sha256": hashlib.sha256(ENTRIES[0].item.to_json()).hexdigest(),
    }


@given(
    st.dictionaries(
        st.tuples(st.sampled_from([MAIN, OWN]), st.text(st.characters(codec=None), max_size=20)),
        st.tuples(st.binary(max_size=50), st.text(max_size=5), st.booleans(), st.none() | st.floats(0, 1e12)),
        max_size=5,
    )
)
def test_whatever_the_names_and_values(items):
    """Half characters, line ends, any bytes."""
    entries = [
        Entry(place, Item(key, data, label, not_synchronizable=flag), modified)
        for (place, key), (data, label, flag, modified) in items.items()
    ]
    assert Archive.from_bytes(Archive(entries, **FACTS).to_bytes(), PATH).entries == tuple(entries)


@pytest.mark.parametrize("content", [b"", b"{}\n", b"[]", b"\xff\xfe", b'{"format": "other"}\n', b"[" * 100_000])
def test_something_else(content):
    """A file of age's that is no backup."""
    assert refused(content) == "vault.age is encrypted by age, and is no backup that strongroom made"


def test_of_a_newer_version():
    """Not read, however much looks familiar."""
    for version, shown in ((2, "2"), ("1", "'1'"), (True, "True")):
        message = refused(sealed(*lines()[1:], version=version))
        assert message == f"vault.age was made by a newer strongroom: its format is {shown}, and this one knows 1"


def test_more_fields_than_are_known():
    """Of the same version: no trouble."""
    more = json.dumps(json.loads(lines()[1]) | {"colour": "red"}).encode() + b"\n"
    assert Archive.from_bytes(sealed(more, colour="red", left_out="?"), PATH).entries == ENTRIES[:1]


def test_cut_short():
    """By whole lines, and within one."""
    whole = ARCHIVE.to_bytes()
    assert refused(b"".join(lines()[:-1])) == "vault.age is cut short: 2 items are in it, and 3 should be"
    assert refused(whole[:-20]) == "vault.age is damaged: one of its lines is no item"


@given(st.integers(0, len(ARCHIVE.to_bytes()) - 1), st.integers(1, 255))
def test_any_byte_that_was_changed(at, by):
    """Of an item it is always seen; the first line's facts are only for people."""
    content = bytearray(ARCHIVE.to_bytes())
    content[at] ^= by
    try:
        entries = Archive.from_bytes(bytes(content), PATH).entries
    except BackupError:
        entries = ENTRIES
    assert entries == ENTRIES


def test_an_item_that_was_changed():
    """It is named, even if the checksum of the whole was made to fit."""
    for old, new in ((b'"Label":"aws-vault (jon)"', b'"Label":"x"'), (b'"Data":"ey', b'"Data":"??'), (b"jon", b"ann")):
        key = "ann" if new == b"ann" else "jon"
        assert refused(sealed(lines()[1].replace(old, new))) == (
            f"vault.age is damaged: the checksum of item {key!r} does not match"
        )


def test_what_fits_no_item():
    """Of a collection that there is not, or the same item twice, or lines in another order."""
    assert refused(sealed(lines()[1].replace(b'"aws-vault"', b'"other"'))) == (
        "vault.age is damaged: one of its lines is no item"
    )
    assert refused(sealed(lines()[1], lines()[1])) == "vault.age is damaged: it holds an item twice"
    first, one, two, three = lines()
    assert refused(first + two + one + three) == "vault.age is damaged: its checksum does not match"


def test_no_secret_is_shown():
    """Neither here nor in the message of an error."""
    assert repr(ARCHIVE) == "<Archive of file, 2026-11-22T23:42:28Z, 3 items>"
    assert repr(ENTRIES[0]) == "<Entry aws-vault <Item 'jon', 22 bytes>>"
    assert len({*ENTRIES, Entry(MAIN, ENTRIES[0].item, 1.5)}) == 3
