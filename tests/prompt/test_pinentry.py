"""pinentry: a stand-in that can be told to go wrong, and the real ones of Debian."""

import os
import shutil
import time

import pytest

from harness.programs import path_with
from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable
from strongroom.prompt import pinentry
from strongroom.prompt.question import Place, Question

NOWHERE = "/nowhere/tty"
CODE = Question("Enter MFA code for jon: ", echo="plain", serial="jon")
REAL = {kind: shutil.which(f"pinentry-{kind}") for kind in ("curses", "tty")}


@pytest.fixture
def bring(tmp_path):
    """Ask by the stand-in."""

    def bring(does="answer", question=CODE, timeout_seconds=20.0, title="strongroom", **environ):
        environ |= {"PATH": path, "PINENTRY": does, "PINENTRY_LOG": os.fspath(tmp_path / "log")}
        place = Place(environ, terminal=NOWHERE, timeout_seconds=timeout_seconds, title=title)
        return pinentry.bring(question, place)

    path = path_with(tmp_path / "bin", "pinentry")
    return bring


@pytest.fixture
def told(tmp_path):
    return lambda: (tmp_path / "log").read_text().splitlines()


def test_what_it_is_told(bring, told):
    """What to show, and how long to wait; a percent sign and line ends are escaped."""
    question = Question("Code of 100%: ", echo="plain", serial="s", note="No.")
    assert bring(question=question, LANG="de_DE.UTF-8", TERM="xterm", title="aws-vault") == "123456"
    assert told() == [
        "OPTION lc-ctype=de_DE.UTF-8",
        "GETINFO flavor",
        "SETTITLE aws-vault",
        "SETTIMEOUT 20",
        "SETDESC No.%0ACode of 100%25: ",
        "SETPROMPT Code:",
        "GETPIN",
    ]


@pytest.mark.parametrize("answer", ["", "123456", " 123456 ", "100%\r\n p\xe4ss ", "%41"])
def test_answers(bring, answer):
    """The escapes of the protocol are undone; a hidden answer stays as it was typed."""
    assert bring(PINENTRY_ANSWER=answer) == answer.strip()
    assert bring(question=Question("Passphrase: ", echo="hidden"), PINENTRY_ANSWER=answer) == answer


@pytest.mark.parametrize("does", ["cancel", "close"])
def test_a_window_that_is_closed(bring, does):
    """The human declined, by the button or by closing the window."""
    with pytest.raises(PromptDismissed) as caught:
        bring(does)
    assert caught.value.message == "the question was dismissed in pinentry"


@pytest.mark.parametrize(
    ("does", "error", "message"),
    [
        ("timeout", PromptFailed, "pinentry: no answer within 20 seconds"),
        ("notty", PromptUnavailable, "pinentry: inappropriate ioctl for device"),
        ("die", PromptFailed, "pinentry: it ended"),
        ("junk", PromptFailed, "pinentry: what it prints is not the protocol"),
        ("flood", PromptFailed, "pinentry: what it prints is not the protocol"),
        ("long", PromptFailed, "pinentry: what it prints is not the protocol"),
    ],
)
def test_what_goes_wrong(bring, does, error, message):
    """One line, without what it printed."""
    with pytest.raises(error) as caught:
        bring(does)
    assert caught.value.message == message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("does", ["hang", "silent"])
def test_nobody_answers(bring, does):
    """It is ended."""
    started = time.monotonic()
    with pytest.raises(PromptFailed) as caught:
        bring(does, timeout_seconds=0.5)
    assert caught.value.message == "pinentry: no answer within 0.5 seconds"
    assert time.monotonic() - started < 15


@pytest.mark.parametrize("flavor", ["curses", "tty"])
def test_one_that_needs_a_terminal(bring, told, flavor):
    """Without one it would say that the human declined."""
    with pytest.raises(PromptUnavailable) as caught:
        bring(PINENTRY_FLAVOR=flavor)
    assert caught.value.message == f"pinentry: it is of the kind {flavor!r}, and there is no terminal for it"
    assert "GETPIN" not in told()
    assert bring(PINENTRY_FLAVOR="gtk2") == "123456"


def test_which_program(tmp_path):
    """Homebrew's graphical one goes first on macOS."""
    nothing = Place({"PATH": os.fspath(tmp_path)}, platform="darwin")
    assert pinentry.absent(nothing) == "there is no program 'pinentry' on PATH"
    for name in ("pinentry", "pinentry-mac"):
        (tmp_path / name).touch(mode=0o755)
        assert pinentry.absent(nothing) == ""
        assert pinentry._program(nothing) == str(tmp_path / name)
    assert pinentry._program(Place({"PATH": os.fspath(tmp_path)}, platform="linux")) == str(tmp_path / "pinentry")


# The real ones, on a real terminal


@pytest.fixture
def real(person, tmp_path):
    """Somebody at a terminal whom the real pinentry of a kind asks."""

    def start(kind, question="'Enter MFA code for jon: ', echo='plain', serial='jon'", more=""):
        if not REAL[kind]:
            pytest.skip(f"there is no pinentry-{kind} here")
        (tmp_path / "pinentry").symlink_to(REAL[kind])
        environ = {"PATH": os.fspath(tmp_path), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
        return person(
            f"place = prompt.Place({environ!r}{more})\n"
            f"print(repr(prompt._load('pinentry').bring(prompt.Question({question}), place)))"
        )

    return start


ASKS = {"curses": "<OK>", "tty": "Code:"}


@pytest.mark.parametrize("kind", ASKS)
def test_the_real_one(real, kind):
    """It shows the question in the terminal, hides what is typed, and the answer comes."""
    someone = real(kind)
    someone.expect("Enter MFA code for jon:")
    someone.expect(ASKS[kind])
    someone.send("123456\r")
    assert someone.wait() == (0, "'123456'\n", "")
    assert "123456" not in someone.shown
    assert someone.as_before


@pytest.mark.parametrize("kind", ASKS)
def test_the_real_one_and_a_passphrase(real, kind):
    """Blanks and percent signs are part of it."""
    someone = real(kind, "'Passphrase for 100%: ', echo='hidden'")
    someone.expect("Passphrase for 100%:")
    someone.expect(ASKS[kind].replace("Code", "Answer"))
    someone.send(" 5% %25 \r")
    assert someone.wait() == (0, "' 5% %25 '\n", "")


@pytest.mark.parametrize(("kind", "keys"), [("curses", "\t\t\r"), ("tty", "\x04")])
def test_the_real_one_cancelled(real, kind, keys):
    """By its button, by Ctrl-D."""
    someone = real(kind)
    someone.expect(ASKS[kind])
    someone.send(keys)
    status, out, err = someone.wait()
    assert (status, out) == (1, "")
    assert err == "strongroom.errors.PromptDismissed: the question was dismissed in pinentry"
    assert someone.as_before


@pytest.mark.parametrize("kind", ASKS)
def test_the_real_one_interrupted(real, kind):
    """Ctrl-C is ours: it ends both, and the terminal is as it was."""
    someone = real(kind)
    someone.expect(ASKS[kind])
    someone.send("\x03")
    status, out, err = someone.wait()
    assert (status != 0, out, err) == (True, "", "KeyboardInterrupt")
    assert someone.as_before
    assert ("\x1b[?1049h" in someone.shown) is ("\x1b[?1049l" in someone.shown)  # the screen of before is back


@pytest.mark.parametrize("kind", ASKS)
def test_the_real_one_that_nobody_answers(real, kind):
    """It goes, and the terminal is as it was."""
    someone = real(kind, more=", timeout_seconds=1")
    someone.expect(ASKS[kind])
    status, out, err = someone.wait()
    assert (status, out) == (1, "")
    assert err == "strongroom.errors.PromptFailed: pinentry: no answer within 1 seconds"
    assert someone.as_before


@pytest.mark.parametrize("kind", ASKS)
def test_the_real_one_without_a_terminal(kind, tmp_path):
    """It is told apart from a human who declined."""
    if not REAL[kind]:
        pytest.skip(f"there is no pinentry-{kind} here")
    (tmp_path / "pinentry").symlink_to(REAL[kind])
    with pytest.raises(PromptUnavailable) as caught:
        pinentry.bring(CODE, Place({"PATH": os.fspath(tmp_path)}, terminal=NOWHERE))
    assert caught.value.message == f"pinentry: it is of the kind {kind!r}, and there is no terminal for it"
