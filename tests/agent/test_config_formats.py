import pytest

from strongroom.agent import config_formats
from strongroom.agent.config_formats import SyntaxMistake


def mistake(read, text):
    with pytest.raises(SyntaxMistake) as raised:
        read(text)
    return raised.value.message


def test_endings():
    """TOML comes first where a file is named without its ending."""
    assert list(config_formats.FORMATS) == [".toml", ".json", ".yaml", ".yml"]


def test_toml():
    """Data and lines."""
    document = config_formats.toml("a = 1\n[b]\nc = '2'")
    assert document.data == {"a": 1, "b": {"c": "2"}}
    assert document.lines == {("a",): 1, ("b",): 2, ("b", "c"): 3}


def test_toml_points_at_the_mistake():
    """The line is shown without what would act on a terminal, with a caret below the column."""
    assert mistake(config_formats.toml, "# a\n" * 9 + "b\t\x1b = 1\r\n") == (
        "TOML parse error at line 10, column 3\n"
        "   |\n"
        "10 | b   = 1\n"
        "   |   ^\n"
        "Expected '=' after a key in a key/value pair"
    )


def test_toml_at_the_end():
    """A mistake may be behind the last line."""
    assert mistake(config_formats.toml, "a = [\n") == (
        "TOML parse error at line 2, column 1\n  |\n2 |\n  | ^\nInvalid value"
    )


@pytest.mark.parametrize("text", ["a = " + "9" * 5000, "a = " + "[" * 5000, "a = " + "{a=" * 5000])
def test_toml_beyond_measure(text):
    """What the library gives up on is a mistake of the file, in one line."""
    told = mistake(config_formats.toml, text)
    assert told.startswith("TOML parse error")
    assert "\n" not in told


def test_json():
    """Data, and the lines of keys that stand there once."""
    document = config_formats.json_('{"a": 1,\n "b": {"c"\n:2, "e": "a"},\n "d": [{"e": 1}, {"f": 1}]}')
    assert document.data == {"a": 1, "b": {"c": 2, "e": "a"}, "d": [{"e": 1}, {"f": 1}]}
    assert document.lines == {("a",): 1, ("b",): 2, ("b", "c"): 2, ("d",): 4, ("d", 1, "f"): 4}


def test_json_that_is_deep():
    """Keys deeper than any option have no line."""
    document = config_formats.json_('{"a": ' * 500 + "1" + "}" * 500)
    assert document.lines == {}
    assert config_formats.json_('{"a": {"b": {"c": {"d": {"e": {"f": {"g": 1}}}}}}}').lines.keys() == {
        tuple("abcdef"[:depth]) for depth in range(1, 7)
    }


def test_json_with_escapes_has_no_lines():
    """A key may be spelt in several ways; then no line is certain."""
    assert config_formats.json_('{"a": "\\n"}').lines == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "Expecting value at line 1 column 1"),
        ('{"a": 1,\n}', "Illegal trailing comma before end of object at line 1 column 8"),
        ("[]", "invalid type: the file must hold a map"),
        ("1", "invalid type: the file must hold a map"),
        ('{"a": "\\ud800"}', "a lone surrogate is no character"),
        ('{"\\ud800": 1}', "a lone surrogate is no character"),
    ],
)
def test_json_refused(text, told):
    """What is no JSON, no object, or no Unicode."""
    found = mistake(config_formats.json_, text)
    # Before 3.13 the library says of a comma at the end only that a key is missing after it.
    assert found in {told, "Expecting property name enclosed in double quotes at line 2 column 1"}


@pytest.mark.parametrize("text", ['{"a": ' + "9" * 5000 + "}", '{"a": ' + "[" * 100_000])
def test_json_beyond_measure(text):
    """What the library gives up on is a mistake of the file, in one line."""
    assert "\n" not in mistake(config_formats.json_, text)


def test_yaml():
    """Data and lines."""
    document = config_formats.yaml("a: 1\nb:\n  c: '2'\n")
    assert document.data == {"a": 1, "b": {"c": "2"}}
    assert document.lines == {("a",): 1, ("b",): 2, ("b", "c"): 3}


def test_yaml_refused():
    """The file must be a mapping."""
    assert mistake(config_formats.yaml, "- a") == "invalid type: the file must hold a map"
