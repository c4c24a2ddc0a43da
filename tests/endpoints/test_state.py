import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.endpoints.state import LIMIT_BYTES, State, decoded

TOKEN = "t" * 40
tokens = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=32, max_size=80)


@given(st.integers(0, 65_535), st.dictionaries(st.text(), tokens), st.data())
def test_there_and_back(port, known, data):
    """What was written is read again, whatever profiles are called."""
    serving = data.draw(st.lists(st.sampled_from(sorted(known)), unique=True)) if known else []
    found = decoded(State(port, known, serving).encoded())
    assert (found.port, found.tokens, found.serving) == (port, known, tuple(serving))


@given(st.binary())
def test_anything_else(data):
    """Is refused in words that hold nothing of it."""
    with pytest.raises(ValueError, match=r"^it is (no JSON|of no version that is known)$"):
        decoded(data)


GOOD = {"version": 1, "port": 4711, "serving": ["a"], "tokens": {"a": TOKEN}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 2}, "it is of no version that is known"),
        ({"port": -1}, "its port is none"),
        ({"port": 65_536}, "its port is none"),
        ({"port": True}, "its port is none"),
        ({"port": "80"}, "its port is none"),
        ({"serving": "a"}, "what it says of profiles is no list of names"),
        ({"serving": [1]}, "what it says of profiles is no list of names"),
        ({"serving": ["a", "b"]}, "a profile in it has no token"),
        ({"tokens": [TOKEN]}, "a token in it is none"),
        ({"tokens": {"a": "short"}}, "a token in it is none"),
        ({"tokens": {"a": f"{TOKEN}\r\nX: y"}}, "a token in it is none"),
        ({"tokens": {"a": f"{TOKEN} x"}}, "a token in it is none"),
        ({"tokens": {"a": TOKEN + "é"}}, "a token in it is none"),
        ({"tokens": {"a": 7}}, "a token in it is none"),
    ],
)
def test_mistakes(change, reason):
    """Each member is looked at; the good one is taken."""
    assert decoded(json.dumps(GOOD).encode()).tokens == {"a": TOKEN}
    with pytest.raises(ValueError, match=f"^{reason}$"):
        decoded(json.dumps(GOOD | change).encode())


def test_one_that_is_too_long():
    """It is not even parsed."""
    with pytest.raises(ValueError, match=f"^it has more than {LIMIT_BYTES} bytes$"):
        decoded(b" " * (LIMIT_BYTES + 1))


def test_a_beginning():
    """Known tokens stay, of profiles that are not served now too; the others are made."""
    made = iter(["new" * 20])
    state = State(4711, {"a": TOKEN, "old": "o" * 40}, ["old"]).beginning(["b", "a"], lambda: next(made)).at(4712)
    assert (state.port, state.serving) == (4712, ("b", "a"))
    assert state.tokens == {"a": TOKEN, "old": "o" * 40, "b": "new" * 20}


def test_no_secrets():
    """Its repr has none."""
    assert repr(State(4711, {"a": TOKEN}, ["a"])) == "<State port 4711 serving a>"
