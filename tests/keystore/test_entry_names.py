import posixpath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contracts.keystore import KEYS
from strongroom.keystore import entry_names

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
PATHS = st.lists(st.sampled_from(["", ".", "..", "a", "b.gpg", "-x", "%2F", "%", "2f", ".git", "oidc:https:"])).map(
    "/".join
)


@given(TEXT | PATHS.filter(bool) | PATHS.map(lambda path: "oidc:https:" + path))
@example("oidc:https://corp.example/start")
@example("oidc:https:/corp.example/start")
@example("oidc:https:///x")
@example("oidc:https://h/../x")
def test_any_name_comes_back(key):
    """And none of them leads out, is hidden, looks like an option, or is changed by cleaning."""
    entry = entry_names.encode(key, ".gpg")
    assert entry_names.read(entry) == key
    assert posixpath.normpath(entry) == entry
    parts = entry.split("/")
    assert not any(part.startswith(".") for part in parts)
    assert not any(part.endswith(".gpg") for part in parts[:-1])
    assert not entry.startswith(("-", "/"))
    assert not any(ord(character) < 32 for character in entry)


@given(PATHS.filter(bool), PATHS.filter(bool))
def test_no_two_names_are_one_entry(one, two):
    """However alike they are."""
    assert (entry_names.encode(one, ".gpg") == entry_names.encode(two, ".gpg")) == (one == two)


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("jon", "jon"),
        ("team/dev 100%", "team/dev 100%"),
        ("oidc:https://corp.example/start", "oidc:https:/corp.example/start"),
        ("sts.AssumeRole,am9u,,1795315097", "sts.AssumeRole,am9u,,1795315097"),
        ("a:b,c;d*e?f<g>h|i", "a:b,c;d*e?f<g>h|i"),
        ("\u00fcml\u00e4ut", "\u00fcml\u00e4ut"),
    ],
)
def test_most_names_are_aws_vaults(key, entry):
    """Its cleaning makes the same of them."""
    assert entry_names.encode(key, ".gpg") == entry == posixpath.normpath(key)


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("../../etc/passwd", "%2E./%2E./etc/passwd"),
        ("/absolute", "%2Fabsolute"),
        ("trailing/", "trailing%2F"),
        ("a//b", "a/%2Fb"),
        ("-rf", "%2Drf"),
        (".git/config", "%2Egit/config"),
        ("a.gpg/b", "a%2Egpg/b"),
        ("a%2Fb", "a%252Fb"),
        ("new\nline", "new%0Aline"),
        ("oidc:https:/corp", "oidc:https:%2Fcorp"),
        ("oidc:https://", "oidc:https:%2F%2F"),
    ],
)
def test_names_that_are_made_safe(key, entry):
    """By as few escapes as it takes."""
    assert entry_names.encode(key, ".gpg") == entry


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "it has no name"),
        ("a\0b", "its name holds a NUL character"),
        ("\ud800", "its name holds half a character (a lone surrogate)"),
        ("a/" + "x" * 252, "its file name would have 256 bytes, and a file system takes 255"),
    ],
    ids=["empty", "NUL", "surrogate", "long"],
)
def test_names_that_no_entry_can_have(key, reason):
    """The reason is told."""
    with pytest.raises(ValueError) as caught:
        entry_names.encode(key, ".gpg")
    assert str(caught.value) == reason


def test_all_hard_names_are_entries():
    """Those of every keystore's tests."""
    assert [entry_names.read(entry_names.encode(key, ".age")) for key in KEYS] == KEYS
