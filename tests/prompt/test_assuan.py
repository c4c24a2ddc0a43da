import contextlib
import io
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.prompt import assuan
from strongroom.prompt.assuan import AssuanError, Dialogue, NotAssuan, TooLate


def hear(answers, command="GETPIN"):
    """(what was sent, the data) of one command that is answered so."""
    sent = io.BytesIO()
    data = Dialogue(sent, io.BytesIO(answers), 20).command(command)
    return sent.getvalue(), data


@pytest.mark.parametrize(
    ("answers", "data"),
    [
        (b"OK\n", b""),
        (b"OK Pleased to meet you\r\n", b""),
        (b"D 123456\nOK\n", b"123456"),
        (b"D 12\n# D 99\nS PROGRESS D 99\nD 34%0A%25%0d\nOK closing\n", b"1234\n%\r"),
        (b"D  two blanks \nOK\n", b" two blanks "),
        (b"D \nOK\n", b""),
        (b"D %2\xc3\xa4%\nOK\n", b"%2\xc3\xa4%"),
    ],
)
def test_answers(answers, data):
    """Data in several lines is one; comments and status lines are not for us."""
    assert hear(answers) == (b"GETPIN\n", data)


def test_the_greeting():
    """Nothing is sent to hear it."""
    assert hear(b"OK Pleased to meet you\n", "") == (b"", b"")


@pytest.mark.parametrize(
    ("answers", "code", "text"),
    [
        (b"ERR 83886179 Operation cancelled <Pinentry>\n", 99, "Operation cancelled <Pinentry>"),
        (b"D 1\nERR 99\n", 99, ""),
        (b"ERR nonsense here\n", 0, "here"),
        (b"ERR " + b"9" * 900 + b"\n", 0, ""),
    ],
)
def test_refusals(answers, code, text):
    """The code is libgpg-error's, without the program that says it."""
    with pytest.raises(AssuanError) as caught:
        hear(answers)
    assert (caught.value.code, caught.value.text) == (code, text)


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (b"", "it ended"),
        (b"D 1\n", "it ended"),
        (b"OK", "what it prints is not the protocol"),
        (b"hello\n", "what it prints is not the protocol"),
        (b"\n", "what it prints is not the protocol"),
        (b"INQUIRE QUALITY 1\nOK\n", "what it prints is not the protocol"),
        (b"D " + b"1" * 2000 + b"\nOK\n", "what it prints is not the protocol"),
        (b"# 1\n" * 5000, "what it prints is not the protocol"),
    ],
)
def test_what_is_not_the_protocol(answers, message):
    """A program of another kind, one that died, one that talks for ever."""
    with pytest.raises(NotAssuan) as caught:
        hear(answers)
    assert str(caught.value) == message


def test_a_program_that_says_nothing():
    """It is not waited for for ever."""
    read, write = os.pipe()
    with open(read, "rb") as answers, open(write, "wb"), pytest.raises(TooLate):
        Dialogue(io.BytesIO(), answers, 0.1).command()


def test_a_program_that_no_longer_listens():
    """It ended."""
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb", buffering=0) as commands, pytest.raises(NotAssuan) as caught:
        Dialogue(commands, io.BytesIO(b"OK\n"), 20).command("GETPIN")
    assert str(caught.value) == "it ended"


def test_a_command_that_does_not_fit():
    """It is not sent, not even in part."""
    sent = io.BytesIO()
    with pytest.raises(NotAssuan):
        Dialogue(sent, io.BytesIO(b"OK\n"), 20).command("SETDESC " + "x" * 1000)
    assert sent.getvalue() == b""


@given(st.text())
def test_escapes(text):
    """What is escaped has no line ends and comes back as it was."""
    escaped = assuan.escaped(text)
    assert not {"\r", "\n"} & set(escaped)
    assert assuan.unescaped(escaped.encode("utf-8", "surrogatepass")) == text.encode("utf-8", "surrogatepass")


@given(st.binary())
def test_any_bytes(answers):
    """Data, a refusal, or "this is not the protocol": nothing else, and no thread is left."""
    with contextlib.suppress(AssuanError, NotAssuan):
        hear(answers)
    for thread in threading.enumerate():
        if thread.name.endswith("(_read)"):
            thread.join(5)
