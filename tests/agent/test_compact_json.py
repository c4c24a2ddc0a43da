import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.compact_json import dump, encode


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"\\\b\f\n\r\t\x01\x1f', r'"\"\\\b\f\n\r\t\u0001\u001f"'),
        ("é/<>&'\x7f\u2028\U0001f600", '"é/<>&\'\x7f\u2028\U0001f600"'),
        ({"b": [1, None], "a": {}}, '{"b":[1,null],"a":{}}'),
    ],
)
def test_dump(value, text):
    """Only what must be is escaped, nothing stands between the members, and their order is kept."""
    assert dump(value) == text


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("é\0", b"\xc3\xa9\0"),
        ("a\ud800b", b"a\xef\xbf\xbdb"),
        ("\udc00\ud800", b"\xef\xbf\xbd\xef\xbf\xbd"),
        ("\ud83d\ude00", b"\xf0\x9f\x98\x80"),
    ],
)
def test_encode(text, data):
    """Half a character becomes U+FFFD, two halves one character."""
    assert encode(text) == data


@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_encode_never_fails(text):
    """Any text has a form, its own if it has one."""
    data = encode(dump(text))
    assert json.loads(data) == encode(text).decode()
