import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service import Clock
from strongroom.endpoints.metadata_tokens import MOST_SECONDS, MetadataTokens, ttl_of


@pytest.fixture
def clock():
    return Clock()


@pytest.mark.parametrize(("value", "seconds"), [(b"1", 1), (b"300", 300), (b"21600", 21_600), (b"00001", 1)])
def test_seconds(value, seconds):
    """From one to six hours."""
    assert ttl_of(value) == seconds


@pytest.mark.parametrize(
    "value", [None, b"", b"0", b"21601", b"-1", b"+1", b"1.0", b"1e3", b" 1", b"1_0", b"a", b"9" * 5000, "١".encode()]
)
def test_no_seconds(value):
    """Everything else is none, however long."""
    assert ttl_of(value) is None


def test_good_for_as_long_as_was_promised(clock):
    """To the second, and however many were given out since."""
    tokens = MetadataTokens(clock)
    token = tokens.give(300)
    assert len(token) == 56
    assert len({tokens.give(MOST_SECONDS) for _ in range(2000)}) == 2000
    for seconds, end in ((0, 1300.0), (299, 1300.0), (1, None), (1, None)):
        clock.tick(seconds)
        assert tokens.end(token) == end


def test_of_another_server(clock):
    """A token of one server is none of another's."""
    assert MetadataTokens(clock).end(MetadataTokens(clock).give(300)) is None


@given(st.integers(0, 39), st.integers(1, 255))
def test_changed(place, difference):
    """No byte can be changed, the end least of all."""
    clock = Clock()
    tokens = MetadataTokens(clock)
    whole = bytearray(base64.urlsafe_b64decode(tokens.give(300)))
    whole[place] ^= difference
    assert tokens.end(base64.urlsafe_b64encode(bytes(whole))) is None


@given(st.binary(max_size=80) | st.text("ABCabc-_=", min_size=56, max_size=56).map(str.encode))
def test_anything(token):
    """Whatever is sent is no token, and no fault."""
    assert MetadataTokens().end(token) is None
