"""zenity, kdialog and osascript: programs that open a window and print what was typed."""

import os
import signal
import time

import pytest

from harness.programs import path_with
from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable
from strongroom.prompt import kdialog, osascript, window, zenity
from strongroom.prompt.question import Place, Question

MESSAGE = "Enter MFA code for arn:aws:iam::111111111111:mfa/jon: "
DRIVERS = {"zenity": zenity, "kdialog": kdialog, "osascript": osascript}
each_driver = pytest.mark.parametrize("name", DRIVERS)


@pytest.fixture
def place(tmp_path):
    """A place with all three programs, and what they were told."""

    def make(does="answer", timeout_seconds=20.0, title="strongroom", **environ):
        environ |= {
            "PATH": path,
            "WINDOW": does,
            "WINDOW_LOG": os.fspath(tmp_path / "log"),
            "WINDOW_PID": os.fspath(tmp_path / "pid"),
        }
        return Place(environ, timeout_seconds=timeout_seconds, title=title)

    path = path_with(tmp_path / "bin", *DRIVERS)
    return make


@pytest.fixture
def told(tmp_path):
    return lambda: (tmp_path / "log").read_text().removesuffix("--\n").splitlines()


def bring(name, place, **more):
    return DRIVERS[name].bring(Question(MESSAGE, **{"echo": "plain", "serial": "s"} | more), place)


@pytest.mark.parametrize(
    ("name", "echo", "words"),
    [
        ("zenity", "plain", ["--entry", "--title", "aws-vault", "--text", MESSAGE]),
        ("zenity", "hidden", ["--entry", "--title", "aws-vault", "--text", MESSAGE, "--hide-text"]),
        ("kdialog", "plain", ["--inputbox", MESSAGE, "--title", "aws-vault"]),
        ("kdialog", "hidden", ["--password", MESSAGE, "--title", "aws-vault"]),
        ("osascript", "plain", ["-e", f'text returned of (display dialog "{MESSAGE}" with title "aws-vault" default '
         'answer "" buttons {"Cancel", "OK"} default button "OK" cancel button "Cancel")']),
        ("osascript", "hidden", ["-e", f'text returned of (display dialog "{MESSAGE}" with title "aws-vault" default '
         'answer "" with hidden answer buttons {"Cancel", "OK"} default button "OK" cancel button "Cancel")']),
    ],
)  # fmt: skip
def test_what_it_is_told(place, told, name, echo, words):
    """The question and the title, and nothing else; the title is the name that we were called by."""
    assert bring(name, place(title="aws-vault"), echo=echo) == "123456"
    assert told() == [name, *words]


def test_a_quote_does_not_end_the_text_of_a_script(place, told):
    """Nor does a backslash, or a line end: a name in the config file runs no AppleScript."""
    question = Question('a"b\\c', echo="plain", note='") do shell script "x')
    assert osascript.bring(question, place()) == "123456"
    assert told()[2].startswith('text returned of (display dialog "\\") do shell script \\"x\\na\\"b\\\\c" with title')


@each_driver
def test_the_note_stands_above_the_question(place, told, name):
    """A window may hide the terminal that says what was wrong."""
    bring(name, place(), note="AWS did not accept the code")
    assert "AWS did not accept the code" in "\n".join(told())


@each_driver
@pytest.mark.parametrize("answer", ["", " 123456 ", "p\xe4ss w\xf6rd ", "\t"])
def test_answers(place, name, answer):
    """Trimmed, unless it is hidden: then each blank may belong to it."""
    assert bring(name, place(WINDOW_ANSWER=answer)) == answer.strip()
    assert bring(name, place(WINDOW_ANSWER=answer), echo="hidden") == answer


@each_driver
def test_a_window_that_is_closed(place, name):
    """The human declined, and it is said so."""
    with pytest.raises(PromptDismissed) as caught:
        bring(name, place("cancel"))
    assert caught.value.message == f"the question was dismissed in the window of {name}"


@each_driver
def test_no_desktop(place, name):
    """Nobody declined: another driver may reach the human."""
    with pytest.raises(PromptUnavailable) as caught:
        bring(name, place("display"))
    assert caught.value.message == (
        "osascript: nobody is logged in at the screen"
        if name == "osascript"
        else f"{name}: it finds no desktop to open a window on"
    )


@each_driver
@pytest.mark.parametrize(
    ("does", "message"),
    [
        ("fail", "exit status 3"),
        ("signal", "ended by signal 9"),
        ("junk", "it printed more than 4096 bytes"),
        ("lines", "it printed more than one line"),
        ("bytes", "what it printed is no text"),
    ],
)
def test_what_goes_wrong(place, name, does, message):
    """One line, without what it printed."""
    with pytest.raises(PromptFailed) as caught:
        bring(name, place(does))
    assert caught.value.message == f"{name}: {message}"
    assert caught.value.__cause__ is None


@each_driver
def test_a_window_that_nobody_answers(place, tmp_path, name):
    """It is closed, with all that the program started."""
    with pytest.raises(PromptFailed) as caught:
        bring(name, place("hang", timeout_seconds=0.5))
    assert caught.value.message == f"{name}: no answer within 0.5 seconds"
    group = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 20
    while is_there(group):
        assert time.monotonic() < end


def is_there(group):
    """Whether any process of the group runs; whoever inherits orphans may be slow to bury them."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    states = [stat(pid) for pid in os.listdir("/proc") if pid.isdigit()] if os.path.isdir("/proc") else []
    return not states or any(number == group and state != "Z" for number, state in states)


def stat(pid):
    """(process group, state)."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return 0, "Z"
    return int(fields[2]), fields[0]


def test_a_talkative_program(place):
    """What goes to stderr, however much, stops neither the program nor us."""
    assert bring("zenity", place("noise")) == "123456"


def test_a_program_that_leaves_something_running(place, tmp_path):
    """Its end counts, not the end of its output."""
    started = time.monotonic()
    assert bring("zenity", place("leave")) == "123456"
    assert time.monotonic() - started < 15
    os.killpg(int((tmp_path / "pid").read_text()), 9)


@each_driver
def test_a_program_that_is_not_there(name, tmp_path):
    """Said with its name."""
    place = Place({"PATH": os.fspath(tmp_path)})
    assert DRIVERS[name].absent(place) == f"there is no program {name!r} on PATH"


@pytest.mark.parametrize("name", ["/nowhere/zenity", "/tmp/zen\0ity"])
def test_a_program_that_cannot_be_started(name):
    """It may have gone since it was found."""
    with pytest.raises(PromptUnavailable) as caught:
        window.run([name], Place({}))
    assert caught.value.message.endswith(("no such file or directory", "it is no program"))


def test_an_interrupt_while_the_window_opens(place, monkeypatch):
    """It counts as soon as the window can be closed."""
    opened = []

    def start(*words, begin=window._start):
        opened.append(begin(*words))
        signal.raise_signal(signal.SIGINT)
        return opened[0]

    monkeypatch.setattr(window, "_start", start)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            bring("zenity", place("hang"))
    finally:
        signal.signal(signal.SIGINT, before)
    assert opened[0].returncode == -signal.SIGKILL


def test_an_interrupt_closes_the_window(place, tmp_path, monkeypatch):
    """Ctrl-C in the terminal that we were started from."""

    def interrupt(*_):
        end = time.monotonic() + 20
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert time.monotonic() < end
        raise KeyboardInterrupt

    monkeypatch.setattr(window.subprocess.Popen, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        bring("zenity", place("hang"))
    monkeypatch.undo()
    group = int((tmp_path / "pid").read_text())
    end = time.monotonic() + 20
    while is_there(group):
        assert time.monotonic() < end
