import datetime
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent import mistakes
from strongroom.agent.mistakes import ConfigMistakes, Mistake


@pytest.mark.parametrize(
    ("mistake", "plain", "numbered"),
    [
        (Mistake("M"), "M", "M"),
        (Mistake("M", "k"), "M (k)", "k: M"),
        (Mistake("M", "k", "1"), "M (k: got 1)", "k: M (Got: 1)"),
        (Mistake("M", "k", "1", line=3), "M (k: got 1, line 3)", "k: M (Got: 1) [line 3]"),
        (Mistake("M", "k", "1", "Use x.", 3), "M (k: got 1, line 3, Use x)", "k: M (Use x.) [line 3]"),
        (Mistake("M", "k", line=3), "M (k: line 3)", "k: M [line 3]"),
    ],
)
def test_both_ways_to_tell(mistake, plain, numbered):
    """The original's words come first, whatever else is known behind them."""
    assert mistake.plain() == plain
    assert mistake.numbered() == numbered


def test_one_and_several():
    """One is told as it is; several with their number."""
    first, second = Mistake("M", "k"), Mistake("N\n  ^\nwhy")
    one = ConfigMistakes("f", [first], is_numbered=False)
    assert (one.text, one.message, one.path, one.mistakes) == ("M (k)", "M (k)", "f", (first,))
    two = ConfigMistakes("f", [second, first], is_numbered=True)
    assert two.text == "Configuration validation failed with 2 error(s):\n  1. N\n  ^\nwhy\n  2. k: M"
    assert two.message == "'f' holds 2 mistakes; the first: N: why"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("a",), "a"),
        (("a", 0, "b-c", 1), "a[0].b-c[1]"),
        (("strongroom", "ttl", "x.*"), 'strongroom.ttl."x.*"'),
        (("", "é", "a\nb\x1b"), '""."é"."a\\nb\\u{1b}"'),
    ],
)
def test_key_paths(path, text):
    """As TOML writes them, and rows in brackets."""
    assert mistakes.shown_path(path) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (-1, "-1"),
        (10**99, str(10**99)),
        (10**100, "a number of many digits"),
        pytest.param(16**10_000, "a number of many digits", id="huge"),
        (1.5, "1.5"),
        (math.nan, "nan"),
        ("a'\"\n", "'a'\"\\n'"),
        ("x" * 101, "'" + "x" * 100 + "…'"),
        ([], "an empty sequence"),
        ([1], "a sequence"),
        ({}, "an empty map"),
        ({"a": 1}, "a map"),
        (None, "nothing"),
        (datetime.date(2020, 1, 2), "2020-01-02"),
    ],
)
def test_values(value, text):
    """Texts in quotes and cut if they are long, nothing of what is inside of others."""
    assert mistakes.shown(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "boolean `true`"),
        (1, "integer `1`"),
        (2.0, "floating point `2`"),
        ('a"', 'string "a\\""'),
        ([1], "sequence"),
        ({}, "map"),
        (None, "unit value"),
        (datetime.time(1), "datetime"),
    ],
)
def test_as_serde_describes(value, text):
    """In the words of the originals' library; only the kind if it must not be shown."""
    assert mistakes.described(value) == text
    assert mistakes.described(value, is_quiet=True) == mistakes.kind_of(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2773.0, "2773"),
        (-0.0, "-0"),
        (0.5, "0.5"),
        (1e20, "100000000000000000000"),
        (math.inf, "inf"),
        (-math.inf, "-inf"),
        (math.nan, "NaN"),
    ],
)
def test_as_rust_shows_floats(value, text):
    """Whole ones have no fraction."""
    assert mistakes.rust_float(value) == text


def test_what_was_expected():
    """One, two, many."""
    assert mistakes.one_of("a") == "`a`"
    assert mistakes.one_of("ab") == "`a` or `b`"
    assert mistakes.one_of("abc") == "one of `a`, `b`, `c`"


@given(st.text())
def test_quoted_texts_are_harmless(text):
    """Whatever the text, it fits a line of UTF-8 and does nothing to a terminal."""
    shown = mistakes.quoted(text)
    assert shown.isprintable()
    assert shown.encode()
