import os
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from strongroom.durable import is_temporary
from strongroom.keystore.filenames import LIMIT_BYTES, beside, decode, encode

# What may stand in a name: any text but NUL and halves of characters, short enough for every system.
KEYS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
# The same, with what needs care more often than chance would have it.
HARD = st.lists(
    st.one_of(st.sampled_from(["%", "/", ".", "%2F", "%2f", "%25", "\\", ":", " ", "CON", "nul", "."]), KEYS)
)


@pytest.mark.parametrize("windows", [False, True], ids=["posix", "windows"])
@given(HARD.map("".join))
def test_a_name_comes_back(windows, key):
    """Decoding undoes encoding, so no two names share a file; the result is one name in one directory."""
    try:
        name = encode(key, windows=windows)
    except ValueError:
        assume(False)
    assert decode(name) == key
    assert "/" not in name
    assert name not in {"", ".", ".."}
    assert not is_temporary(name)


@given(st.text(), st.text())
def test_different_names_have_different_files(one, other):
    """Encoding is injective."""
    assume(one != other)
    try:
        assert encode(one) != encode(other)
    except ValueError:
        assume(False)


@given(st.text(st.characters(exclude_characters="\0/"), max_size=50))
def test_any_file_name_can_be_decoded(name):
    """Whatever stands in the directory has a name of some item."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        assume(False)
    decode(name)


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("jon", "jon"),
        ("my/prof ile%x", "my%2Fprof ile%25x"),
        ("oidc:https://corp.example/start", "oidc:https:%2F%2Fcorp.example%2Fstart"),
        ("team/dev 100%", "team%2Fdev 100%25"),
        ("a:b,c#d\\e*", "a:b,c#d\\e*"),
        ("new\nline", "new\nline"),
        (".", "%2E"),
        ("..", "%2E."),
        ("...", "..."),
        (".strongroom-x", "%2Estrongroom-x"),
    ],
)
def test_file_names_on_posix(key, name):
    """Only / and % are encoded, as aws-vault does; and what would not be an item's file otherwise."""
    assert encode(key, windows=False) == name


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("jon", "jon"),
        ("oidc:https://corp.example/start", "oidc%3Ahttps%3A%2F%2Fcorp.example%2Fstart"),
        ('<>:"\\|?*\n', "%3C%3E%3A%22%5C%7C%3F%2A%0A"),
        ("ends.", "ends%2E"),
        ("ends ", "ends%20"),
        ("CON", "%43ON"),
        ("nul.txt", "%6Eul.txt"),
        ("com1 .x", "%63om1 .x"),
        ("LPT\u00b9", "%4CPT\u00b9"),
        ("console", "console"),
        ("..", "%2E%2E"),
    ],
)
def test_file_names_on_windows(key, name):
    """What NTFS refuses or changes is encoded too."""
    assert encode(key, windows=True) == name
    assert decode(name) == key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("my%2fprof", "my/prof"),
        ("%c3%BC", "\u00fc"),
        ("%41", "A"),
        ("100%", "100%"),
        ("%4", "%4"),
        ("%zz%2", "%zz%2"),
        ("%%41", "%A"),
        ("% 4", "% 4"),
    ],
)
def test_decoding_is_generous(name, key):
    """Any two hexadecimal digits in either case count; everything else stands for itself."""
    assert decode(name) == key


@pytest.mark.skipif(sys.platform == "win32", reason="file names are Unicode there")
def test_file_names_that_are_not_utf8():
    """Bytes of another encoding come through unchanged."""
    key = os.fsdecode(b"caf\xe9")
    assert (encode(key), decode("%E9"), decode("caf%E9")) == (key, os.fsdecode(b"\xe9"), key)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "it has no name"),
        ("a\0b", "its name holds a NUL character"),
        ("\ud800", "its name holds half a character (a lone surrogate)"),
        ("x" * 256, "its file name would have 256 bytes, and a file system takes 255"),
        ("/" * 86, "its file name would have 258 bytes, and a file system takes 255"),
        ("\U0001f511" * 64, "its file name would have 256 bytes, and a file system takes 255"),
    ],
    ids=["empty", "NUL", "surrogate", "long", "long when encoded", "long in bytes"],
)
def test_names_that_no_file_can_have(key, reason):
    """The reason is told."""
    with pytest.raises(ValueError) as caught:
        encode(key)
    assert str(caught.value) == reason


def test_the_longest_name():
    """What just fits is taken."""
    assert len(encode("x" * LIMIT_BYTES)) == 255


def test_our_own_files():
    """Only both ends together make a temporary file of ours."""
    names = [".strongroom-12.tmp", ".strongroom-12", "x.strongroom-12.tmp", ".strongroom-12.tmp~"]
    assert [is_temporary(name) for name in names] == [True, False, False, False]


@pytest.mark.parametrize(
    ("name", "other"), [("keys", "strongroom"), ("strongroom", "strongroom-own"), ("Strongroom", "strongroom-own")]
)
def test_the_directory_of_another_collection(name, other):
    """Is another one, whatever the first is called: what only we understand would be listed as keys in that."""
    home = os.path.join("home", "jon")
    assert beside(os.path.join(home, name, ""), "strongroom") == os.path.join(home, other)
