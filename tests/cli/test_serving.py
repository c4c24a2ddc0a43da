import asyncio
import dataclasses
import os
import socket
import sys

import pytest

from harness.agent import toml
from strongroom.agent.generations import GENERATIONS
from strongroom.cli import event_loop, serving
from strongroom.cli.program import NotAccepted
from strongroom.serve import systemd

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such sockets")
TOKEN = {"AWS_TOKEN": "t"}


class Served:
    """In the place of the program: remembers how it was made and what it was given, and ends at once."""

    made: list["Served"]
    failure: Exception | None

    def __init__(self, generation, path, config, environ, log):
        self.generation, self.path, self.config, self.environ, self.log = generation, path, config, environ, log
        self.made.append(self)

    async def serve(self, bound, announce):
        self.addresses = [each.getsockname() for each in bound]
        self.bound = bound
        self.loop = type(asyncio.get_running_loop()).__module__
        announce("the banner")
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def limited(monkeypatch):
    """What limits were set by; none are, in this process."""
    asked = []
    monkeypatch.setattr(serving.resources, "limit", asked.append)
    return asked


@pytest.fixture
def served(monkeypatch, limited, home):
    """The programs that were started, with *failure* if there shall be one."""
    made = type("Served", (Served,), {"made": [], "failure": None})
    monkeypatch.setattr(serving, "Program", made)
    monkeypatch.chdir(home.work)
    return made


def config(home, text=None, name="config.toml", **settings):
    path = home.work / name
    path.write_text(text if text is not None else toml({"http_port": 0} | settings))
    return str(path)


# What is in force.


def row(text, name):
    """A row of the table: value, origin."""
    return next(line.split(None, 2)[1:] for line in text.splitlines() if line.startswith(f"{name} "))


def test_check(home, monkeypatch):
    """Prints every option, its value and where it is from; nothing is started, and no token is needed."""
    monkeypatch.setattr(serving, "Program", None)
    monkeypatch.setattr(serving.sockets, "loopback", None)
    nested = "[logging]\nlog_level = 'WARN'\n[capabilities.secrets_manager]\nhttp_port = 2774\n"
    path = config(home, nested + "[strongroom]\naccess_log = true\n")
    result = home.call("sm", "check", "--config", path)
    assert (result.status, result.stderr) == (0, "")
    assert row(result.stdout, "logging.log_level") == ['"warn"', f"{path} line 2"]
    assert row(result.stdout, "capabilities.secrets_manager.http_port") == ["2774", f"{path} line 4"]
    assert row(result.stdout, "capabilities.secrets_manager.cache.ttl_seconds") == ["300", "default"]
    assert row(result.stdout, "strongroom.access_log") == ["true", f"{path} line 6"]
    assert not (home.work / "logs").exists()


def test_check_of_the_flat_form(home):
    """Is understood, with a warning; the names shown are the newer ones."""
    path = config(home, ttl_seconds=5)
    result = home.call("sm", "check", "-c", path)
    assert result.status == 0
    assert row(result.stdout, "capabilities.secrets_manager.cache.ttl_seconds") == ["5", f"{path} line 2"]
    assert result.stderr == (
        f"strongroom: warning: {path}: the flat form of the configuration file is deprecated: http_port is now "
        "capabilities.secrets_manager.http_port, ttl_seconds is now capabilities.secrets_manager.cache.ttl_seconds\n"
    )


def test_check_of_mistakes(home):
    """All are listed, with their places; nothing else is said."""
    path = config(
        home,
        "[capabilities.secrets_manager]\nhttp_port = 80\n[capabilities.secrets_manager.cache]\nttl_seconds = 9999\n",
    )
    result = home.call("sm", "check", "--config", path)
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: Configuration validation failed with 2 error(s):\n")
    assert result.stderr.count("\n") == len(result.stderr.splitlines())
    for told in ("line 2", "line 4", "1024 to 65535", "0 to 3600"):
        assert told in result.stderr


def test_check_of_no_file(home):
    """It says which is missing."""
    result = home.call("sm", "check", "--config", "none.toml")
    assert (result.status, result.stdout) == (1, "")
    assert "none.toml" in result.stderr
    assert "No such file or directory" in result.stderr


@pytest.fixture
def default_config(home, monkeypatch):
    """Where the newer generation's default file is."""
    path = home.work / "default" / "config.toml"
    path.parent.mkdir()
    sm = dataclasses.replace(GENERATIONS["sm"], default_config=(("", str(path)),))
    monkeypatch.setitem(serving.GENERATIONS, "sm", sm)
    return path


def test_the_default_file(home, default_config, served):
    """Is read if it is there and no other is named; the older kind has none."""
    name = "capabilities.secrets_manager.cache.ttl_seconds"
    assert row(home.call("sm", "check").stdout, name) == ["300", "default"]
    default_config.write_text("ttl_seconds = 7\nhttp_port = 0\n")
    assert row(home.call("sm", "check").stdout, name) == ["7", f"{default_config} line 1"]
    assert row(home.call("sm", "check", "--config", config(home)).stdout, name) == ["300", "default"]
    assert home.call("sm", "start", env=TOKEN).status == 0
    assert (served.made[-1].path, served.made[-1].config.ttl_seconds) == (str(default_config), 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(serving.sockets, "loopback", lambda _port: [])
        assert home.call("agent", env=TOKEN).status == 0
    assert (served.made[-1].path, served.made[-1].config.http_port) == (None, 2773)


def test_a_default_file_that_is_none(home, default_config, served):
    """A directory in its place, too."""
    default_config.mkdir()
    for word in ("check", "start"):
        result = home.call("sm", word, env=TOKEN)
        assert (result.status, result.stdout) == (1, "")
        assert str(default_config) in result.stderr
        assert "Is a directory" in result.stderr or sys.platform == "win32"
    assert served.made == []


# Starting.


@pytest.mark.parametrize(("words", "generation"), [(["agent"], "agent"), (["sm", "start"], "sm")])
def test_start(home, served, limited, words, generation):
    """The sockets are bound before, and closed behind it; the banner goes to stdout; the log is open."""
    path = config(home, max_conn=77, http_port=0)
    result = home.call(*words, "--config", path, env=TOKEN)
    assert (result.status, result.stdout, result.stderr) == (0, "the banner\n", "")
    (made,) = served.made
    assert (made.generation, made.path, made.environ["AWS_TOKEN"]) == (GENERATIONS[generation], path, "t")
    assert made.addresses[0][0] == "127.0.0.1"
    assert all(each.fileno() == -1 for each in made.bound)
    assert limited == [77]
    name = {"agent": "secrets_manager_agent", "sm": "secrets_manager_provider"}[generation]
    assert "File logger initialized with `Info` log level." in (home.work / "logs" / f"{name}.log").read_text()


def test_without_secrets(home, served, limited):
    """``enabled = false`` is said, and is no failure; neither a token nor the port is looked for, no log is made."""
    path = config(home, "[capabilities.secrets_manager]\nenabled = false\n")
    result = home.call("sm", "start", "--config", path)
    assert (result.status, result.stdout, result.stderr) == (0, "", "Secrets Manager is not enabled\n")
    assert (served.made, limited) == ([], [])
    assert not (home.work / "logs").exists()
    checked = home.call("sm", "check", "--config", path)
    assert row(checked.stdout, "capabilities.secrets_manager.enabled") == ["false", f"{path} line 2"]


@pytest.mark.parametrize(("words", "prefix"), [(["agent"], ""), (["sm", "start"], "Error: ")])
def test_refusals(home, served, words, prefix):
    """What ends the start is told in the form of the original, with the advice on a line of its own."""
    path = config(home)
    served.failure = NotAccepted("AWS says no", "check the keys")
    result = home.call(*words, "--config", path, env=TOKEN)
    assert (result.status, result.stderr) == (1, "Error: AWS says no\nhint: check the keys\n")
    served.failure = serving.StrongroomError("odd")
    assert home.call(*words, "--config", path, env=TOKEN).stderr == f"{prefix}odd\n"
    assert all(each.fileno() == -1 for made in served.made for each in made.bound)
    mistaken = home.call(*words, "--config", config(home, "http_port = 80\n"), env=TOKEN)
    assert mistaken.status == 1
    assert mistaken.stderr.startswith(
        {"": "The HTTP port", "Error: ": "Error: Configuration validation failed"}[prefix]
    )
    assert "hint" not in mistaken.stderr


# Sockets.


@posix
def test_a_unix_socket(home, served):
    """Is there while it serves, and gone after it."""
    seen = []
    init = served.__init__

    def note(self, *given):
        init(self, *given)
        seen.append(os.path.exists("s"))

    served.__init__ = note
    result = home.call("agent", "--config", config(home, own={"unix_socket": "s"}), env=TOKEN)
    assert result.status == 0
    assert served.made[0].addresses[-1] == "s"
    assert seen == [False]  # the token is found first
    assert not os.path.exists("s")


@posix
def test_one_that_took_its_place(home, served, monkeypatch):
    """A socket that another program made there meanwhile stays."""

    async def serve(self, bound, announce):
        os.unlink("s")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind("s")

    monkeypatch.setattr(served, "serve", serve)
    assert home.call("agent", "--config", config(home, own={"unix_socket": "s"}), env=TOKEN).status == 0
    assert os.path.exists("s")


@posix
def test_a_unix_socket_that_cannot_be(home, served):
    """Then the port is let go, too."""
    (home.work / "s").write_text("a file")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    path = config(home, http_port=port, own={"unix_socket": "s"})
    result = home.call("agent", "--config", path, env=TOKEN)
    assert result.status == 1
    assert result.stderr.startswith("Could not bind to s: ")
    with socket.create_server(("127.0.0.1", port)):
        pass
    assert (home.work / "s").read_text() == "a file"


@posix
def test_sockets_of_the_service_manager(home, served, monkeypatch):
    """Are served in place of ours, and those of the config are not made."""
    given = socket.create_server(("127.0.0.1", 0))
    monkeypatch.setattr(systemd, "listening", lambda _environ, pid: [given] if pid == os.getpid() else [])
    path = config(home, own={"unix_socket": "s"})
    assert home.call("agent", "--config", path, env=TOKEN).status == 0
    assert served.made[0].bound == [given]
    assert given.fileno() == -1


# The rest of the surroundings.


def test_a_stdout_that_fails(monkeypatch, capsys):
    """Is no reason to end: closed from the start, closed later, or nobody reads it."""
    monkeypatch.setattr(sys, "stdout", None)
    serving._print("x")
    with open(os.devnull, "w", encoding="utf-8") as closed:
        pass
    monkeypatch.setattr(sys, "stdout", closed)
    serving._print("x")
    reader, writer = os.pipe()
    os.close(reader)
    unread = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", unread)
    serving._print("x")
    with pytest.raises(OSError):
        unread.close()
    monkeypatch.undo()
    serving._print("y")
    assert capsys.readouterr().out == "y\n"


def test_loops(monkeypatch, home, served):
    """uvloop's where it is installed, else asyncio's own."""
    path = config(home)
    home.call("agent", "--config", path, env=TOKEN)
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.factory() is None
    home.call("agent", "--config", path, env=TOKEN)
    kinds = [made.loop.partition(".")[0] for made in served.made]
    assert kinds[1] == "asyncio"
    assert kinds[0] in {"uvloop", "asyncio"}


# The words.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["sm"], "sm: required argument 'start|check' not provided, try --help"),
        (["sm", "stop"], "sm: expected start or check, got 'stop', try --help"),
        (["sm", "strat"], "did you mean 'start'?"),
        (["sm", "start", "x"], "sm: unexpected 'x', try --help"),
        (["agent", "x"], "agent: unexpected 'x', try --help"),
        (["agent", "--config"], "agent: "),
        (["agent", "-c", "a", "-c", "b"], "agent: flag 'c' cannot be repeated, try --help"),
        (["sm", "start", "--cnofig", "x"], "did you mean '--config'?"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)
def test_wrong_words(home, served, words, told):
    """Are told before any file is read, with exit status 2."""
    result = home.call(*words, env=TOKEN)
    assert (result.status, result.stdout) == (2, "")
    assert told in result.stderr
    assert served.made == []


@pytest.mark.parametrize("form", [["--config", "F"], ["--config=F"], ["-c", "F"], ["-cF"]], ids=" ".join)
def test_forms_of_the_flag(home, served, form):
    """All name the file."""
    path = config(home)
    for words in (["agent"], ["sm", "start"]):
        assert home.call(*words, *(word.replace("F", path) for word in form), env=TOKEN).status == 0
        assert served.made[-1].path == path


@pytest.mark.parametrize(
    ("word", "lines"),
    [
        ("agent", ("usage: strongroom agent [flags]\n", "\n  -c FILE, --config FILE  config file")),
        ("sm", ("usage: strongroom sm [flags] ", "\n  -c FILE, --config FILE  config file")),
    ],
)
def test_help(home, served, word, lines):
    """On stdout, whichever way it is asked for, and nothing is started."""
    texts = {home.call(*words).stdout for words in (["help", word], [word, "--help"], [word, "-h"])}
    (text,) = texts
    assert text.startswith(lines[0])
    assert lines[1] in text
    assert served.made == []
