import importlib
import pkgutil
import re
import sys

import pytest

from strongroom import cli
from strongroom.cli import help as module
from strongroom.cli.flags import Arguments
from strongroom.cli.main import ALIASES, COMMANDS, MODULES, load
from strongroom.cli.setting import GLOBAL_FLAGS
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import UsageError


def run(*words, values=None, program="strongroom"):
    arguments = Arguments(values or {}, list(words))
    return module.run(arguments, Settings(arguments, {}, Talk(program), "help"))


def shown_flags(text):
    """The long flags that a help lists."""
    return re.findall(r"^  (?:-\w(?: [A-Z]+)?, )?--([\w-]+)", text, re.MULTILINE)


EVERY = {"the overview": module.overview("strongroom")} | {
    name: module.of_command(name, "strongroom") for name in COMMANDS
}


def test_the_commands_are_the_modules_of_the_family():
    """What has the face of a command can be typed, and nothing else can; each alias leads to one of them."""
    modules = [importlib.import_module(f"strongroom.cli.{each.name}") for each in pkgutil.iter_modules(cli.__path__)]
    commands = {each.__name__.rpartition(".")[2] for each in modules if hasattr(each, "WORDS")}
    assert commands == {MODULES.get(name, name) for name in COMMANDS}
    for name in COMMANDS:
        face = load(name)
        assert isinstance(face.FLAGS, tuple)
        assert isinstance(face.WORDS, tuple)
        assert isinstance(face.RUNS, bool)
        assert callable(face.run)
    assert set(ALIASES.values()) <= set(COMMANDS)
    assert not set(ALIASES) & set(COMMANDS)


def test_no_flag_of_a_command_hides_one_of_all():
    """Neither by its name, nor by its letter; and none is there twice."""
    for name in COMMANDS:
        flags = [*GLOBAL_FLAGS, *load(name).FLAGS]
        names, letters = [flag.name for flag in flags], [flag.short for flag in flags if flag.short]
        assert len(names) == len(set(names)), name
        assert len(letters) == len(set(letters)), name
        assert all(flag.help or flag.hidden for flag in flags)


@pytest.mark.parametrize("text", EVERY.values(), ids=EVERY)
def test_the_help_fits_into_80_columns(text):
    """In every window; plain text, which ends with one line end."""
    assert [line for line in text.splitlines() if len(line) > 80] == []
    assert "\x1b" not in text
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_the_window_and_colours_change_nothing(monkeypatch):
    """The same text everywhere, so that the docs can show it."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert module.overview("strongroom") == EVERY["the overview"]
    assert {name: module.of_command(name, "strongroom") for name in COMMANDS} | EVERY == EVERY


def test_the_overview():
    """Each command with its line and its alias; each flag of all commands that is not hidden."""
    text = EVERY["the overview"]
    assert text.startswith("usage: strongroom [flags] COMMAND ...\n")
    rows = dict(
        re.findall(r"^  ([\w-]+) +(\S.*)$", text.partition("commands:\n")[2].partition("\n\n")[0], re.MULTILINE)
    )
    aliases = {name: f" (or {alias})" for alias, name in ALIASES.items()}
    assert rows == {name: line + aliases.get(name, "") for name, line in COMMANDS.items()}
    assert shown_flags(text) == [flag.name for flag in GLOBAL_FLAGS if not flag.hidden]
    assert text.endswith("\n`strongroom help COMMAND` tells more. Each switch has a negative: --no-debug.\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command(name):
    """What it takes, what it is for, each of its flags that is not hidden, with the variable that stands in for it."""
    text, face = EVERY[name], load(name)
    usage, _, rest = text.partition("\n\n")
    typed = getattr(face, "ACTIONS", ())
    words = [word if word.startswith("[") or "|" in word or word in typed else word.upper() for word in face.WORDS]
    words += ["[-- COMMAND ...]"] if face.RUNS else []
    assert usage == " ".join(["usage: strongroom", name, "[flags]", *words])
    assert rest[0].isupper()
    assert shown_flags(text) == [flag.name for flag in face.FLAGS if not flag.hidden]
    folded = " ".join(text.split())
    for flag in face.FLAGS:
        if not flag.hidden:
            assert " ".join(flag.help.split()) in folded
            assert not flag.env or f"[{flag.env}]" in folded
    assert text.endswith("\nThe flags of `strongroom --help` are taken too.\n")


def test_help_is_an_answer(capsys):
    """It goes to stdout, with the name that we were called by."""
    assert run(program="aws-vault") == 0
    assert capsys.readouterr() == (EVERY["the overview"].replace("strongroom", "aws-vault"), "")
    assert run("list") == 0
    assert capsys.readouterr() == (EVERY["list"], "")
    assert run("ls") == 0
    assert capsys.readouterr() == (EVERY["list"], "")


def test_the_help_of_everything(capsys):
    """The overview and each command, one after the other."""
    assert run(values={"help-long": True}) == 0
    assert capsys.readouterr() == ("\n".join(EVERY.values()), "")


def test_help_for_what_is_no_command():
    """The word is named, and the nearest can be."""
    with pytest.raises(UsageError) as caught:
        run("exce")
    assert caught.value.message == 'expected command but got "exce"'
    assert (caught.value.word, caught.value.known) == ("exce", (*COMMANDS, *ALIASES))


def test_no_command_at_all(capsys, monkeypatch):
    """The overview is then a complaint; with nobody to complain to, nothing."""
    module.usage_error("strongroom")
    assert capsys.readouterr() == ("", EVERY["the overview"])
    monkeypatch.setattr(sys, "stderr", None)
    module.usage_error("strongroom")
