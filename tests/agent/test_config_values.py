import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.config_values import WrongType, WrongValue, convert
from strongroom.agent.option import Option

NUMBER = Option(
    "a.number", "number", "", low=1024, high=65535, or_zero=True, message="range", earlier_message="earlier"
)
SECONDS = Option("seconds", "seconds", "", low=0.5, high=2, message="range")
FLAG = Option("flag", "flag", "")
TEXT = Option("text", "text", "", pattern=re.compile("a+"), message="pattern")
OCTAL = Option("octal", "octal", "", pattern=re.compile("[0-7]{3}"), message="octal")
SOCKET = Option("socket", "socket", "")


@given(st.integers(1024, 65535), st.text("0", max_size=50), st.sampled_from(["", "+"]), st.booleans())
def test_numbers_as_texts(value, zeros, sign, lenient):
    """A plus and any zeros before the digits change nothing."""
    assert convert(NUMBER, f"{sign}{zeros}{value}", lenient=lenient) == value
    assert convert(NUMBER, value, lenient=lenient) == value


@given(st.text("+-0123456789.eE_ x\n٣", max_size=8), st.booleans())
def test_texts_that_may_be_numbers(text, lenient):
    """A text is a number if and only if Rust's FromStr takes it."""
    is_number = re.fullmatch(r"\+?[0-9]+", text) and (1024 <= int(text) <= 65535 or text == "0")
    is_number = is_number or (lenient and re.fullmatch(r"\+?0+", text))
    if is_number:
        assert convert(NUMBER, text, lenient=lenient) == int(text)
    else:
        with pytest.raises(WrongValue) as raised:
            convert(NUMBER, text, lenient=lenient)
        assert raised.value.message == ("earlier" if lenient else "range")


@given(st.integers() | st.integers(1000, 1050) | st.integers(min_value=10**4400))
def test_numbers(value):
    """A number counts if it is in range, be it ever so long."""
    for lenient in (False, True):
        if 1024 <= value <= 65535 or value == 0:
            assert convert(NUMBER, value, lenient=lenient) == value
        else:
            with pytest.raises(WrongValue):
                convert(NUMBER, value, lenient=lenient)


@given(st.floats() | st.integers(1000, 1050).map(float))
def test_floats_as_numbers(value):
    """Leniently a whole float is a number; strictly none is."""
    if value == 0 and math.copysign(1, value) > 0:
        assert convert(NUMBER, value, lenient=True) == 0
    elif value.is_integer() and 1024 <= value <= 65535:
        assert convert(NUMBER, value, lenient=True) == value
    else:
        with pytest.raises(WrongValue):
            convert(NUMBER, value, lenient=True)
    with pytest.raises(WrongValue) as raised:
        convert(NUMBER, value, lenient=False)
    assert (raised.value.message, raised.value.got) == ("Expected a string or integer for 'number'.", "float")


@given(st.floats(allow_nan=False) | st.floats(0.4, 2.1))
def test_seconds(value):
    """Within the range; as a text leniently only."""
    if 0.5 <= value <= 2:
        assert convert(SECONDS, value, lenient=False) == value
        assert convert(SECONDS, repr(value), lenient=True) == value
    else:
        with pytest.raises(WrongValue):
            convert(SECONDS, value, lenient=False)
    with pytest.raises(WrongType):
        convert(SECONDS, repr(value), lenient=False)


@pytest.mark.parametrize("value", [True, None, [], {}, "x", "1_0", "", " 1", "nan", "٣"])
def test_no_seconds(value):
    """What is no number."""
    with pytest.raises(WrongType) as raised:
        convert(SECONDS, value, lenient=True)
    assert raised.value.expected == "a floating point number"


def test_whole_seconds():
    """An integer is a number with a fraction of nothing; one beyond every float is out of range."""
    found = convert(SECONDS, 1, lenient=False)
    assert (found, type(found)) == (1.0, float)
    for value in (10**400, math.nan):
        with pytest.raises(WrongValue):
            convert(SECONDS, value, lenient=False)


@given(st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.none() | st.just([]))
def test_flags(value):
    """Strictly only flags are; leniently numbers and a few words too."""
    words = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}
    for lenient in (False, True):
        if isinstance(value, bool):
            expected = value
        elif lenient and isinstance(value, (int, float)):
            expected = bool(value)
        elif lenient and isinstance(value, str):
            expected = words.get(value.lower())
        else:
            expected = None
        if expected is None:
            with pytest.raises(WrongType):
                convert(FLAG, value, lenient=lenient)
        else:
            assert convert(FLAG, value, lenient=lenient) is expected


def test_texts():
    """A text matches its pattern as a whole."""
    assert convert(TEXT, "aa", lenient=False) == "aa"
    for value in ("aab", "aa\n", ""):
        with pytest.raises(WrongValue) as raised:
            convert(TEXT, value, lenient=False)
        assert raised.value.message == "pattern"
    with pytest.raises(WrongType):
        convert(TEXT, 1, lenient=False)
    with pytest.raises(WrongValue):
        convert(TEXT, 1, lenient=True)


def test_octal_is_a_text():
    """A number is never taken for permission bits."""
    assert convert(OCTAL, "660", lenient=True) == 0o660
    for value in (660, 0o660, "66", None):
        with pytest.raises(WrongValue) as raised:
            convert(OCTAL, value, lenient=True)
        assert raised.value.message == "octal"


def test_socket_is_a_text():
    """A number is no path."""
    assert convert(SOCKET, "/x", lenient=True) == "/x"
    with pytest.raises(WrongType):
        convert(SOCKET, 1, lenient=True)
