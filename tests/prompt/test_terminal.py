import os
import select
import shutil
import signal
import subprocess
import sys
import termios
import threading

import pytest

from strongroom.errors import PromptDismissed, PromptUnavailable
from strongroom.prompt import terminal as module
from strongroom.prompt.question import Place

ASK = 'print(ascii(prompt.ask("Code: ", echo="{}")))'


@pytest.mark.parametrize(
    ("echo", "shown"), [("plain", "Code:  12 34 \n"), ("stars", "Code: *******\n"), ("hidden", "Code: \n")]
)
def test_a_question_and_its_answer(person, echo, shown):
    """Asked at the terminal, though all standard streams lead elsewhere; the terminal is as it was afterwards."""
    someone = person(ASK.format(echo))
    someone.expect("Code: ")
    assert not someone.echo
    someone.send(" 12 34 \r")
    answer = " 12 34 " if echo == "hidden" else "12 34"
    assert someone.wait() == (0, f"{answer!r}\n", "")
    assert someone.shown == shown
    assert someone.as_before


def test_characters_of_several_bytes(person):
    """One star for each, and they are erased as one; bytes that are no UTF-8 stay the bytes they are."""
    someone = person(ASK.format("stars"))
    someone.expect("Code: ")
    someone.send(b"\xc3\xa9\xf0\x9f\x94\x91\x7f\xe9x\r")
    assert someone.wait() == (0, "'\\xe9\\udce9x'\n", "")
    assert someone.shown == "Code: **\b \b**\n"


def test_the_keys_of_this_terminal(person):
    """What erases, and what ends the input, is what the terminal's settings say."""
    someone = person(ASK.format("plain"))
    mode = termios.tcgetattr(someone.slave)
    someone.expect("Code: ")
    assert mode[6][termios.VKILL] == b"\x15"
    someone.send("abc\x15d\x7f\x17ef\r")
    assert someone.wait() == (0, "'ef'\n", "")


def test_keys_that_were_chosen_otherwise(terminal):
    """A terminal with other settings is believed; a key that is switched off is none."""
    path, master, slave = terminal
    mode = termios.tcgetattr(slave)
    mode[6][termios.VERASE], mode[6][termios.VKILL] = b"#", b"\0"
    termios.tcsetattr(slave, termios.TCSANOW, mode)
    assert ask_here(path, master, "ab#c\r") == "ac"


def ask_here(path, master, keys, **more):
    """Ask in this process; *keys* are typed as soon as the question is there."""
    typist = threading.Thread(target=lambda: (os.read(master, 100), os.write(master, keys.encode())))
    typist.start()
    try:
        return module.ask("Q: ", terminal=path, **{"echo": "plain"} | more)
    finally:
        typist.join()


def test_what_was_typed_before_the_question(person):
    """It was not meant for it, and was shown: it is dropped, like the second line of a paste."""
    someone = person('print(prompt.ask("One: ", echo="hidden"))\nprint(prompt.ask("Two: ", echo="hidden"))')
    someone.expect("One: ")
    someone.send("first\r\nsecond\r\n")
    someone.expect("Two: ")
    someone.send("third\r")
    assert someone.wait() == (0, "first\nthird\n", "")


# Ways out


def test_ctrl_c(person):
    """KeyboardInterrupt, on a new line, with the terminal as it was."""
    someone = person(ASK.format("stars"))
    someone.expect("Code: ")
    someone.send("12")
    someone.expect("**")
    someone.send("\x03")
    assert someone.wait() == (-signal.SIGINT, "", "KeyboardInterrupt")
    assert someone.shown.replace("^C", "") == "Code: **\n"
    assert someone.as_before


def test_ctrl_d(person):
    """On an empty line: the human declined."""
    someone = person(ASK.format("hidden"))
    someone.expect("Code: ")
    someone.send("1\x7f\x04")
    message = "strongroom.errors.PromptDismissed: the question was dismissed"
    assert someone.wait() == (1, "", message)
    assert someone.as_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_signals_that_end_the_process(person, number):
    """The terminal is restored, then the signal does what it does."""
    someone = person(ASK.format("hidden"))
    someone.expect("Code: ")
    assert not someone.echo
    someone.signal(number)
    status, out, _ = someone.wait()
    assert (status, out) == (-number, "")
    assert someone.as_before


def test_ctrl_backslash_leaves_no_core(person):
    """A core file would hold what was typed."""
    code = "import resource\nresource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)\n"
    code += "signal.signal(signal.SIGQUIT, lambda *_: print(resource.getrlimit(resource.RLIMIT_CORE)[0]))\n"
    someone = person(code + ASK.format("hidden"))
    someone.expect("Code: ")
    someone.send("\x1c")
    message = "strongroom.errors.PromptDismissed: the question was interrupted by SIGQUIT"
    assert someone.wait() == (1, "0\n", message)
    assert someone.as_before


def test_a_program_with_handlers_of_its_own(person):
    """They are called, once, with the terminal restored; the question is over."""
    code = 'signal.signal(signal.SIGTERM, lambda *_: print("handled"))\n'
    someone = person(code + ASK.format("hidden"))
    someone.expect("Code: ")
    someone.signal(signal.SIGTERM)
    message = "strongroom.errors.PromptDismissed: the question was interrupted by SIGTERM"
    assert someone.wait() == (1, "handled\n", message)
    assert someone.as_before


def test_signals_that_are_ignored(person):
    """They stay so: the question goes on."""
    someone = person("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + ASK.format("plain"))
    someone.expect("Code: ")
    someone.send("1")
    someone.expect("1")
    someone.signal(signal.SIGTERM)
    someone.send("2\r")
    assert someone.wait() == (0, "'12'\n", "")


def test_handlers_come_back(terminal):
    """What the program had set before is set again."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP, signal.SIGCONT)
    before = [signal.getsignal(number) for number in numbers]
    assert ask_here(*terminal[:2], "1\r") == "1"
    assert [signal.getsignal(number) for number in numbers] == before


@pytest.mark.parametrize("text", ["Q: ", "\n"], ids=["before the reading", "during the restoration"])
def test_a_signal_at_a_bad_moment(terminal, monkeypatch, text):
    """While the mode is being changed a signal waits; then it counts."""
    path, master, slave = terminal
    before = termios.tcgetattr(slave)
    real = module._write

    def write(descriptor, shown):
        real(descriptor, shown)
        if shown == text:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTSTP)

    monkeypatch.setattr(module, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        ask_here(path, master, "1\r")
    assert termios.tcgetattr(slave) == before


STOP_AT = """
from strongroom.prompt import terminal
write, caught = terminal._write, []
def stopping(descriptor, text):
    write(descriptor, text)
    if text == {!r} and not caught:
        caught.append(text)
        signal.raise_signal(signal.SIGTSTP)
terminal._write = stopping
"""


@pytest.mark.parametrize(("text", "shown"), [("Code: ", "Code: \nCode: 12\n"), ("\n", "Code: 12\n")], ids=ascii)
def test_a_stop_at_a_bad_moment(person, text, shown):
    """It waits too; here it stops nothing, since nobody could start the process again, and the question is asked again.

    (The kernel ignores Ctrl-Z in a process group that no shell looks after.)
    """
    someone = person(STOP_AT.format(text) + ASK.format("plain"))
    someone.expect(shown[: shown.index("12")])
    someone.send("12\r")
    assert someone.wait() == (0, "'12'\n", "")
    assert someone.shown == shown
    assert someone.as_before


def test_a_question_in_another_thread(person):
    """Only the main thread may handle signals; elsewhere one can still ask."""
    code = "asking = threading.Thread(target=lambda: " + ASK.format("hidden") + ")\nasking.start()\nasking.join()"
    someone = person(code)
    someone.expect("Code: ")
    someone.send("12\r")
    assert someone.wait() == (0, "'12'\n", "")
    assert someone.as_before


CLOSED = "os.closerange(3, 256)\n"  # else the child keeps the terminal alive that was passed to it


def test_a_terminal_that_goes_away(person):
    """The process ends by SIGHUP, as it would anywhere else."""
    someone = person(CLOSED + ASK.format("hidden"))
    someone.expect("Code: ")
    someone.hang_up()
    someone.process.wait(30)
    assert someone.process.returncode == -signal.SIGHUP


def test_a_terminal_that_goes_away_though_nobody_minds(person):
    """With SIGHUP ignored, as under nohup, the question fails."""
    someone = person(CLOSED + "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + ASK.format("hidden"))
    someone.expect("Code: ")
    someone.hang_up()
    someone.process.wait(30)
    assert someone.process.returncode == 1
    assert b"strongroom.errors.PromptUnavailable: the terminal is gone: " in someone.process.stderr.read()


@pytest.mark.parametrize("gone", [b"", OSError(5, "Input/output error")], ids=["end of file", "error"])
def test_a_terminal_that_is_gone_when_it_is_read(terminal, monkeypatch, gone):
    """Systems tell it in two ways."""

    def read(descriptor, size):
        if isinstance(gone, OSError):
            raise gone
        return gone

    monkeypatch.setattr(os, "read", read)
    with pytest.raises(PromptUnavailable) as caught:
        module.ask("Q: ", echo="plain", terminal=terminal[0])
    reason = "input/output error" if gone else "end of file"
    assert caught.value.message == f"the terminal is gone: {reason}"


# Job control


def shell(person, name):
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    argv = {"bash": ["bash", "--norc", "--noprofile", "--noediting", "-i"]}.get(name, [name, "-i"])
    someone = person(
        argv=["sh", "-c", 'exec "$@" 0<>/dev/tty 1>&0 2>&0', "sh", *argv],
        env=os.environ | {"PS1": "READY ", "PYTHON_COLORS": "0"},
    )
    someone.expect("READY ")
    program = "from strongroom import prompt; import sys; "
    ask = "print('answer', prompt.ask('Co' + 'de: ', echo='stars'), file=sys.stderr)"
    someone.send(f'{sys.executable} -c "{program}{ask}"\n')
    someone.expect("Code: ")
    return someone


@pytest.mark.parametrize("name", ["bash", "sh"])
def test_ctrl_z_and_back(person, name):
    """Stopped, the terminal is the shell's, with echo; back in the foreground the question and its stars are there."""
    someone = shell(person, name)
    someone.send("12")
    someone.expect("**")
    someone.send("\x1a")
    someone.expect("READY ")
    someone.wait_for(lambda: someone.echo)
    someone.send("fg\n")
    someone.expect("Code: **")
    someone.wait_for(lambda: not someone.echo)
    someone.send("3\r")
    someone.expect("answer 123")
    someone.expect("READY ")
    someone.wait_for(lambda: someone.echo)


def test_ctrl_z_and_on_in_the_background(person):
    """Nobody can answer there: an error, and no process that waits for ever."""
    someone = shell(person, "bash")
    someone.send("\x1a")
    someone.expect("READY ")
    someone.send("bg; wait; echo 'do''ne'\n")
    someone.expect("PromptUnavailable: the question was sent to the background")
    someone.expect("done")
    assert someone.echo


def test_stopped_by_another_signal(person):
    """SIGSTOP gives no warning; after it the mode that the shell has set is changed again, before anything is typed."""
    someone = shell(person, "bash")
    (child,) = subprocess.check_output(["ps", "-o", "pid=", "--ppid", str(someone.process.pid)], text=True).split()
    os.kill(int(child), signal.SIGSTOP)
    someone.expect("READY ")
    someone.wait_for(lambda: someone.echo)
    someone.send("fg\n")
    someone.wait_for(lambda: not someone.echo)
    someone.send("42\r")
    someone.expect("answer 42")


def test_going_on_without_a_stop(terminal):
    """SIGCONT alone changes nothing; if the mode was changed meanwhile, the question is written again."""
    path, master, slave = terminal
    before = termios.tcgetattr(slave)
    shown = []

    def type_and_continue():
        shown.append(os.read(master, 100))
        os.write(master, b"1")
        shown.append(os.read(master, 100))
        os.kill(os.getpid(), signal.SIGCONT)
        os.write(master, b"2")
        shown.append(os.read(master, 100))
        termios.tcsetattr(slave, termios.TCSANOW, before)
        os.kill(os.getpid(), signal.SIGCONT)
        shown.append(os.read(master, 100))
        os.write(master, b"3\r")

    typist = threading.Thread(target=type_and_continue)
    typist.start()
    assert module.ask("Q: ", echo="stars", terminal=path) == "123"
    typist.join()
    assert shown == [b"Q: ", b"*", b"*", b"Q: **"]


def test_a_stop_before_anything_is_read(terminal, monkeypatch):
    """Between the question and the first look at the keys: it is asked again all the same."""
    path, master, slave = terminal
    before = termios.tcgetattr(slave)
    enter = module._Question._enter
    shown = []

    def enter_and_stop(question):
        enter(question)
        shown.append(os.read(master, 100))
        monkeypatch.setattr(module._Question, "_enter", enter)
        termios.tcsetattr(slave, termios.TCSANOW, before)  # by the shell, which has the terminal meanwhile
        os.kill(os.getpid(), signal.SIGCONT)

    def answer():
        if select.select([master], [], [], 20)[0]:
            shown.append(os.read(master, 100))
        os.write(master, b"1\r")

    monkeypatch.setattr(module._Question, "_enter", enter_and_stop)
    typist = threading.Thread(target=answer)

    def begin(question, read=module._Question._read):
        typist.start()
        read(question)

    monkeypatch.setattr(module._Question, "_read", begin)
    assert module.ask("Q: ", echo="stars", terminal=path) == "1"
    typist.join()
    assert shown == [b"Q: ", b"Q: "]


# No terminal


def test_no_terminal():
    """A process without one, such as a service, says so at once."""
    code = "from strongroom import prompt; prompt.ask('Code: ', echo='plain')"
    run = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    reason = "there is no terminal to ask at (/dev/tty: no such device or address)"
    assert run.stderr.splitlines()[-1] == f"strongroom.errors.PromptUnavailable: {reason}"


def test_something_else_than_a_terminal(tmp_path):
    """A file or a device is none."""
    with pytest.raises(PromptUnavailable) as caught:
        module.ask("Q: ", echo="plain", terminal="/dev/null")
    assert caught.value.message == "there is no terminal to ask at (/dev/null is none)"
    assert caught.value.hint == "run it in a terminal"
    with pytest.raises(PromptUnavailable) as caught:
        module.ask("Q: ", echo="plain", terminal=str(tmp_path / "missing"))
    message = f"there is no terminal to ask at ({tmp_path}/missing: no such file or directory)"
    assert (caught.value.message, caught.value.hint) == (message, "run it in a terminal")


BACKGROUND = """
child = os.fork()
if not child:
    os.setpgid(0, 0)
    try:
        {}
    except Exception as error:
        print(error.message, error.hint, sep="; ", flush=True)
    os._exit(0)
print(os.waitpid(child, os.WUNTRACED)[1], flush=True)
"""


def test_in_the_background(person):
    """A process that may not use the terminal says so; the kernel would stop it, and nobody would know why."""
    someone = person(BACKGROUND.format('prompt.ask("Code: ", echo="plain")'))
    message = "the terminal is not ours to ask at: this process runs in the background; bring it to the front"
    assert someone.wait() == (0, f"{message}\n0\n", "")
    assert someone.shown == ""


# What is written


def test_messages_cannot_steer_the_terminal(terminal):
    """Names come from files and the network; their control characters are shown, not obeyed."""
    path, master, _ = terminal
    module.tell("a\x1b[2Jb\u202e\r\n\u00e4", terminal=path)
    assert os.read(master, 100) == "a\\x1b[2Jb\\u202e\\r\r\n\u00e4\r\n".encode()


def test_telling_needs_a_terminal():
    """As asking does."""
    with pytest.raises(PromptUnavailable):
        module.tell("text", terminal="/nowhere/tty")


def test_a_terminal_that_takes_a_byte_at_a_time(terminal, monkeypatch):
    """The rest is written too."""
    path, master, _ = terminal
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:1])))
    module.tell("text", terminal=path)
    assert b"".join(iter(lambda: os.read(master, 1), b"\n")) == b"text\r"


def test_dismissal_in_this_process(terminal):
    """Ctrl-D, without a process of its own."""
    with pytest.raises(PromptDismissed):
        ask_here(*terminal[:2], "\x04")


@pytest.mark.parametrize(("streams", "found"), [({}, False), ({"stdin": True}, True), ({"stderr": True}, True)])
def test_who_has_the_terminal(person, streams, found):
    """One that is not the controlling one is another terminal; a descriptor that is closed is none."""
    others = "a, b = os.openpty()"
    code = f"import os\n{others}\ntty = os.open('/dev/tty', os.O_RDWR)\n"
    descriptors = "[0, b, 999, tty]" if streams.get("stdin") else "[0, b, 999]"
    if streams.get("stderr"):
        descriptors = "[tty]"
    someone = person(f"{code}print(prompt.is_among({descriptors}), prompt.is_among([]))")
    assert someone.wait() == (0, f"{found} False\n", "")


def test_as_one_of_the_drivers(person):
    """What was wrong before is told at the terminal, unless it has been told already."""
    someone = person(
        "terminal = prompt._load('terminal')\n"
        "place = prompt.Place({})\n"
        "print(repr(terminal.absent(place)))\n"
        "for told in (False, True):\n"
        "    print(terminal.bring(prompt.Question('? ', echo='plain', note=f'No {told}.', told=told), place))"
    )
    someone.expect("No False.\n? ")
    someone.send("a\r")
    someone.expect("? ")
    someone.send("b\r")
    assert someone.wait() == (0, "''\na\nb\n", "")
    assert "No True." not in someone.shown


def test_why_it_is_not_there(tmp_path):
    """There is none; what there is is none; it is taken."""
    (tmp_path / "file").touch()
    for terminal, taken, reason in (
        ("/nowhere/tty", "", "there is no terminal to ask at (/nowhere/tty: no such file or directory)"),
        (str(tmp_path / "file"), "", f"there is no terminal to ask at ({tmp_path}/file is none)"),
        ("/dev/null", "vim has it", "the terminal is not ours to ask at: vim has it"),
    ):
        assert module.absent(Place({}, terminal=terminal, taken=taken)) == reason
