import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.config_formats import SyntaxMistake
from strongroom.agent.config_yaml import YamlReader, scalar


def read(text):
    return YamlReader().read(text)


def mistake(text):
    with pytest.raises(SyntaxMistake) as raised:
        read(text)
    return raised.value.message


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("NULL", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("off", "off"),
        ("1", 1),
        ("+0300", 300),
        ("-1", -1),
        ("0x1F", 31),
        ("0o17", 15),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.Inf", -math.inf),
        ("2020-01-01", "2020-01-01"),
        ("0x", "0x"),
        ("a b", "a b"),
    ],
)
def test_words(text, value):
    """The core schema's words are values; those of YAML 1.1 are texts."""
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)
    assert read(f"a: {text}") == {"a": value}
    assert read(f"a: '{text}'") == {"a": text}


def test_not_a_number():
    """The float of that name."""
    assert math.isnan(scalar(".NaN"))


def test_lines():
    """Keys and elements of lists have their lines."""
    reader = YamlReader()
    assert reader.read("a:\n  - b: 1\n    c: 2\n  -\n    d\ne: [1,\n 2]") == {"a": [{"b": 1, "c": 2}, "d"], "e": [1, 2]}
    assert reader.lines == {
        ("a",): 1,
        ("a", 0): 2,
        ("a", 0, "b"): 2,
        ("a", 0, "c"): 3,
        ("a", 1): 5,
        ("e",): 6,
        ("e", 0): 6,
        ("e", 1): 7,
    }


def test_empty():
    """A file without a document is an empty one."""
    assert read("") == read("# a\n") == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "expected ',' or ']', but got '<stream end>' at line 1 column 6"),
        ("a: 1\na: 2", 'duplicate key "a" at line 2 column 1'),
        ("? [a]\n: 1", "a key is no text at line 1 column 3"),
        ("a: *b", "found undefined alias 'b' at line 1 column 4"),
        ("a: 1\n---\nb: 1", "but found another document at line 2 column 1"),
        ("a: \x07", "unacceptable character #x0007: special characters are not allowed"),
        ("a: \n\tb: 1", "found character '\\t' that cannot start any token at line 2 column 1"),
    ],
)
def test_refused(text, told):
    """What the library refuses, in one line; and keys that are no texts or stand there twice."""
    assert mistake(text) == told


def test_an_alias_of_itself():
    """It is looked into as deep as options are."""
    assert read("a: &x\n  b: *x")["a"]["b"]["b"]["b"]["b"] == {"b": {}}
    assert read("a: &x [*x]")["a"] == [[[[[[]]]]]]


def test_aliases_that_swell():
    """A short file that stands for billions of values is refused."""
    lines = ["a0: &a0 [" + "1," * 50 + "]"]
    lines += [f"a{number}: &a{number} [" + f"*a{number - 1}," * 50 + "]" for number in range(1, 6)]
    assert mistake("\n".join(lines)) == "more than 100000 values"


def test_nested_too_deeply():
    """What the library gives up on is a mistake of the file."""
    assert mistake("a: " + "[" * 5000) == "nested too deeply"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text(text):
    """Whatever the text, it is read or refused."""
    told = ""
    try:
        read(text)
    except SyntaxMistake as error:
        told = error.message
    assert "\n" not in told
