import errno
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.terminal import Closed, Talk, answer
from strongroom.errors import StrongroomError


class Stream(io.StringIO):
    """A stream that takes one *encoding* only, or fails."""

    def __init__(self, error=None, encoding="utf-8", at="write"):
        super().__init__()
        self.error = error
        self.codec = encoding
        self.at = at
        self.flushed = 0

    @property
    def encoding(self):
        return self.codec

    def write(self, text):
        if self.error and self.at == "write":
            raise self.error
        text.encode(self.codec or "ascii")
        return super().write(text)

    def flush(self):
        self.flushed += 1
        if self.error and self.at == "flush":
            raise self.error


# The answer


def test_an_answer_goes_to_stdout_at_once(monkeypatch, capsys):
    """Whole, and flushed: a failure to write it must be seen while it can still be told."""
    stream = Stream()
    monkeypatch.setattr(sys, "stdout", stream)
    answer("a\nb é\U0001f511\n")
    assert (stream.getvalue(), stream.flushed) == ("a\nb é\U0001f511\n", 1)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("encoding", "written"), [("ascii", "\\xe9\\u2028x"), ("latin-1", "é\\u2028x"), (None, "\\xe9\\u2028x")]
)
def test_characters_that_stdout_does_not_have(monkeypatch, encoding, written):
    """Are written as escapes: an answer with a strange name in it is better than none."""
    stream = Stream(encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    answer("é\u2028x")
    assert stream.getvalue() == written


@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_reader_that_has_gone(monkeypatch, at):
    """Is an error of its own kind, about which nobody is told."""
    monkeypatch.setattr(sys, "stdout", Stream(BrokenPipeError(errno.EPIPE, "Broken pipe"), at=at))
    with pytest.raises(Closed) as caught:
        answer("x")
    assert caught.value.message == "nobody reads the answer"
    assert caught.value.exit_status == 1


@pytest.mark.parametrize("at", ["write", "flush"])
def test_a_full_disk(monkeypatch, at):
    """Is told in the system's words."""
    monkeypatch.setattr(sys, "stdout", Stream(OSError(errno.ENOSPC, "No space left on device"), at=at))
    with pytest.raises(StrongroomError) as caught:
        answer("x")
    assert caught.value.message == "cannot write to standard output: No space left on device"


def test_no_stdout(monkeypatch):
    """A process that was started with descriptor 1 closed."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(StrongroomError) as caught:
        answer("x")
    assert (caught.value.message, caught.value.hint) == (
        "standard output is closed", "redirect it to a file or a pipe",
    )  # fmt: skip


# Talk


def test_talk_goes_to_stderr_with_our_name(capsys):
    """As we were called; a warning, a detail, an error and its hint say what they are."""
    talk = Talk("aws-vault")
    talk.say("hello")
    talk.warn("careful")
    talk.debug("not wanted")
    talk.debug_is_on = True
    talk.debug("wanted")
    talk.error("it broke")
    talk.error("it broke", "fix it")
    assert capsys.readouterr() == (
        "",
        "aws-vault: hello\n"
        "aws-vault: warning: careful\n"
        "aws-vault: debug: wanted\n"
        "aws-vault: error: it broke\n"
        "aws-vault: error: it broke\n"
        "aws-vault: hint: fix it\n",
    )
    assert talk.command == ""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("a\u202eb\u2028", "a\\u202eb\\u2028"),
        ("\udcff", "\\udcff"),
        ("grün 🔑", "grün 🔑"),
        ('it\'s "\\x"', 'it\'s "\\x"'),
    ],
)
def test_a_message_is_one_line_and_moves_no_cursor(capsys, text, shown):
    """Names may hold anything; what is printable stays as it is."""
    talk = Talk("strongroom")
    talk.say(text)
    talk.error(text, text)
    assert capsys.readouterr().err == (f"strongroom: {shown}\nstrongroom: error: {shown}\nstrongroom: hint: {shown}\n")


@given(st.text())
def test_any_text_is_said_in_one_printable_line(text):
    """No control character ever reaches the terminal."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", Stream())
        Talk("strongroom").warn(text)
        written = sys.stderr.getvalue()
    assert written[-1] == "\n"
    assert written[:-1].isprintable()


@pytest.mark.parametrize(
    "stream",
    [None, Stream(BrokenPipeError()), Stream(OSError(errno.EBADF, "x"), at="flush"), Stream(ValueError("closed"))],
    ids=["closed", "pipe", "bad", "value"],
)
def test_nobody_listens(monkeypatch, stream):
    """That is no reason to fail."""
    monkeypatch.setattr(sys, "stderr", stream)
    Talk("strongroom").say("x")
    Talk("strongroom").error("x", "y")
