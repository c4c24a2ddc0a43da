import sys

import pytest

from strongroom.cli import signing_in
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.profiles import Profile


@pytest.fixture
def surroundings(tmp_path, monkeypatch):
    """Those of a run whose stderr is no terminal, by its flags and by who has the controlling terminal, a file here."""
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", str(tmp_path / "tty"))
    environ = {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path),
               "LOCALAPPDATA": str(tmp_path), "AWS_VAULT_BACKEND": "file"}  # fmt: skip

    def surroundings(*flags, taken=""):
        (tmp_path / "tty").write_text("")
        settings = Settings(Arguments(dict.fromkeys(flags, True), []), environ, Talk("strongroom"), "export dev")
        settings.terminal_is_taken = taken
        return signing_in.SigningIn(settings, Profile("dev", {}))

    return surroundings


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no controlling terminal to write to")
def test_the_controlling_terminal(surroundings, tmp_path, capsys):
    """What an SDK would swallow is said there too, unless a command of ours has it."""
    free = surroundings()
    assert free.why_unheard() == ""
    free.tell("the link")
    assert (tmp_path / "tty").read_text() == "strongroom: the link\n"
    taken = surroundings(taken="the command has it")
    assert taken.why_unheard() == "the terminal is not ours to write to: the command has it"
    taken.tell("the link")
    assert (tmp_path / "tty").read_text() == ""
    assert capsys.readouterr().err == "strongroom: the link\n" * 2


def test_where_there_is_no_terminal(surroundings, monkeypatch, capsys):
    """Nobody would see a link, unless a flag says that somebody reads what we print; who waits need not be told."""
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", "/nonexistent/tty")
    assert surroundings().why_unheard() == "there is no terminal here"
    assert [surroundings(flag).why_unheard() for flag in ("no-browser", "stdout")] == ["", ""]
    surroundings().waiting("waiting for process 7")
    assert capsys.readouterr().err == ""


def test_a_terminal_as_stderr(surroundings, monkeypatch, capsys):
    """Is where everything is said, once."""
    monkeypatch.setattr(Talk, "is_seen", property(lambda _: True))
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", "/nonexistent/tty")
    seen = surroundings()
    assert seen.why_unheard() == ""
    seen.waiting("waiting for process 7")
    assert capsys.readouterr().err == "strongroom: waiting for process 7\n"
