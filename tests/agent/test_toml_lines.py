import pytest
import tomli
from hypothesis import assume, given
from hypothesis import strategies as st

from strongroom.agent import toml_lines


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_lines_of_every_kind_of_statement(newline):
    """Tables, arrays of tables, dotted and quoted keys, inline values: each key has its line."""
    text = newline.join(
        [
            "# a comment",
            "a = 1",
            "",
            "  [ b . 'c d' ] # [x]",
            'e."f\\u0041" = { g = 1, h = [2, {i = 3}] }',
            "[[k.l]]",
            "m = 1",
            "[k.l.n]",
            "o = 1",
            "[[k.l]]",
            "m = 2",
            "[[k.l.p]]",
            "q = 1",
            "[b]",
            "r = 1",
        ]
    )
    assert toml_lines.lines(text) == {
        ("a",): 2,
        ("b",): 4,
        ("b", "c d"): 4,
        ("b", "c d", "e"): 5,
        ("b", "c d", "e", "fA"): 5,
        ("b", "c d", "e", "fA", "g"): 5,
        ("b", "c d", "e", "fA", "h"): 5,
        ("k",): 6,
        ("k", "l"): 6,
        ("k", "l", 0): 6,
        ("k", "l", 0, "m"): 7,
        ("k", "l", 0, "n"): 8,
        ("k", "l", 0, "n", "o"): 9,
        ("k", "l", 1): 10,
        ("k", "l", 1, "m"): 11,
        ("k", "l", 1, "p"): 12,
        ("k", "l", 1, "p", 0): 12,
        ("k", "l", 1, "p", 0, "q"): 13,
        ("b", "r"): 15,
    } | {("b", "c d", "e", "fA", "h", 0): 5, ("b", "c d", "e", "fA", "h", 1): 5}


@pytest.mark.parametrize(
    "value",
    [
        "[\n1, # ]\n2]",
        "{\n x = 1,\n y = 2,\n}",
        '"""\n[x]\ny = 1\n"""',
        "'''\nz = 2'''",
        '[ """\n[[x]]\n""",\n]',
    ],
)
def test_values_of_several_lines(value):
    """Such a value has its first line, what is inside has none, and what follows is found again."""
    text = f"a = {value}\nb = 1\n[c]\nd = {value}"
    at = value.count("\n") + 2
    assert toml_lines.lines(text) == {("a",): 1, ("b",): at, ("c",): at + 1, ("c", "d"): at + 2}


def test_what_is_not_certain_has_no_line():
    """Of a dotted key with a value of several lines only the first part is told."""
    assert toml_lines.lines("a.b = [\n]\n") == {("a",): 1}


def test_a_value_of_very_many_lines():
    """It is not looked into, and nothing behind it is told."""
    text = "a = 1\nb = [\n" + "1,\n" * toml_lines.LONGEST_STATEMENT + "]\nc = 1"
    assert toml_lines.lines(text) == {("a",): 1}


def test_keys_deeper_than_any_option():
    """They are left out."""
    depths = [len(path) for path in toml_lines.lines("a = {b = {c = {d = {e = {f = {g = {h = 1}}}}}}}")]
    assert max(depths) == toml_lines.DEEPEST


def test_nothing():
    """A text without statements has no lines."""
    assert toml_lines.lines("") == toml_lines.lines("\n# a\n") == {}


KEY = st.sampled_from(["a", "b", "'c.d'", '"[e]"'])
DOTTED = st.lists(KEY, min_size=1, max_size=2).map(".".join)
LAYOUT = st.sampled_from(
    ["{}", "[{}]", "{{ x = {} }}", "[\n{}\n]", "[[{}],\n]", "{{\n x = [ # ]\n{}] }}", "[{{y = {}}}]"]
)
STATEMENT = st.one_of(
    st.tuples(st.just("{} = "), DOTTED, LAYOUT),
    st.tuples(st.just("[{}]"), DOTTED, st.just("")),
    st.tuples(st.just("[[{}]]"), DOTTED, st.just("")),
    st.tuples(st.just("# {}"), DOTTED, st.just("")),
)


@given(st.lists(STATEMENT, max_size=8))
def test_a_line_is_never_wrong(statements):
    """Whatever the statements, a value's line is the one where it stands, or unknown if its statement has several."""
    text = ""
    stands = {}
    for number, (start, key, layout) in enumerate(statements):
        line = text.count("\n") + 1
        value = layout.format(number) if layout else ""
        if value:
            stands[number] = line + value.partition(str(number))[0].count("\n"), "\n" in value
        text += f"{start.format(key)}{value}\n"
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError:
        assume(False)
    found = toml_lines.lines(text)
    for path, number in _leaves(data, ()):
        line, is_of_several = stands[number]
        assert (
            found.get(path) == (None if is_of_several and path not in found else line) or len(path) > toml_lines.DEEPEST
        )


def _leaves(value, path):
    if isinstance(value, dict):
        for key, member in value.items():
            yield from _leaves(member, (*path, key))
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _leaves(member, (*path, index))
    else:
        yield path, value
