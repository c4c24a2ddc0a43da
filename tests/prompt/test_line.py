import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.prompt.line import Line


def typed(keys, echo="plain"):
    """Type *keys*: the line, and what the terminal has shown."""
    line = Line(echo)
    shown = "".join(map(line.type, keys))
    return line, shown


@pytest.mark.parametrize("echo", ["plain", "stars", "hidden"])
@given(st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cc"])))
def test_text_is_taken_as_typed(echo, text):
    """Up to Enter; blanks around it count only in what was hidden."""
    line, _ = typed(text + "\r", echo)
    assert line.done
    assert not line.dismissed
    assert line.text == text
    assert line.answer() == (text if echo == "hidden" else text.strip())


@pytest.mark.parametrize(("echo", "shown"), [("plain", "p\u00e4ss\U0001f511"), ("stars", "*****"), ("hidden", "")])
def test_what_is_shown(echo, shown):
    """The characters, one star for each, or nothing; the line can be written again after an interruption."""
    line, written = typed("p\u00e4ss\U0001f511", echo)
    assert (written, line.shown()) == (shown, shown)


@pytest.mark.parametrize("enter", ["\r", "\n"])
def test_enter(enter):
    """Terminals send either."""
    assert typed(enter)[0].done


ERASED = "\b \b"


@pytest.mark.parametrize(
    ("keys", "text", "shown"),
    [
        ("ab\x7fc", "ac", f"ab{ERASED}c"),
        ("ab\bc", "ac", f"ab{ERASED}c"),
        ("\x7f\x7fa", "a", "a"),
        ("abc\x15d", "d", f"abc{ERASED * 3}d"),
        ("one two\x17", "one ", f"one two{ERASED * 3}"),
        ("one two  \x17", "one ", f"one two  {ERASED * 5}"),
        ("one\x17\x17", "", f"one{ERASED * 3}"),
        ("\U0001f511\x7f", "", f"\U0001f511{ERASED * 2}"),
        ("u\u0308\x7f", "u", "u\u0308"),
        ("a\u200b\x7fb", "ab", "ab"),
    ],
)
def test_editing(keys, text, shown):
    """Backspace, Ctrl-U and Ctrl-W take away what was typed and the columns that it took."""
    line, written = typed(keys)
    assert (line.text, written) == (text, shown)


def test_editing_what_is_hidden():
    """Stars go one by one; nothing is shown for what was not shown."""
    assert typed("abc\x7f", "stars")[1] == f"***{ERASED}"
    line, written = typed("abc\x7f\x15x", "hidden")
    assert (line.text, written) == ("x", "")


def test_end_of_input():
    """Ctrl-D on an empty line declines; on any other it does nothing."""
    assert typed("\x04")[0].dismissed
    assert typed("a\x7f\x04")[0].dismissed
    line, _ = typed("a\x04b")
    assert (line.dismissed, line.done, line.text) == (False, False, "ab")


@pytest.mark.parametrize(
    "keys", ["a\x1b[Ab", "a\x1b[1;5Cb", "a\x1bOPb", "a\x1b[3~b", "a\x1bb", "a\x1b\x1b[Db", "\ta\x01b\x1f"]
)
def test_keys_without_a_character(keys):
    """Arrows, function keys, Escape, Alt and Ctrl leave no trace in the line."""
    assert typed(keys)[0].text == "ab"


def test_enter_after_escape():
    """It still ends the line."""
    assert typed("a\x1b\r")[0].done


def test_control_characters_in_a_passphrase():
    """They may belong to it."""
    assert typed("a\tb\x01", "hidden")[0].text == "a\tb\x01"


@pytest.mark.parametrize("echo", ["plain", "stars", "hidden"])
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", ""])
def test_what_is_pasted(echo, end):
    """The marks around a paste go, and so does a line end inside it: only a typed Enter ends the line."""
    line, _ = typed(f"\x1b[200~se{end}cret{end}\x1b[201~", echo)
    assert (line.text, line.done) == ("secret", False)
    line.type("\r")
    assert line.done


def test_editing_keys_inside_a_paste():
    """They are no keys there: a passphrase keeps them, a code loses them."""
    assert typed("\x1b[200~a\x7f\x15\x04b\x1b[201~", "hidden")[0].text == "a\x7f\x15\x04b"
    assert typed("\x1b[200~a\x15\x04b\x1b[201~")[0].text == "ab"


@given(st.text())
def test_any_keys(keys):
    """No sequence of keys breaks the line, and a hidden one never shows anything but the columns it takes back."""
    for echo in ("plain", "stars"):
        typed(keys, echo)
    assert typed(keys, "hidden")[1] == ""
