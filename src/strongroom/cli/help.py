"""``help``: what there is to type."""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from strongroom.cli.flags import Flag
from strongroom.cli.main import ALIASES, COMMANDS, command_name, load
from strongroom.cli.setting import GLOBAL_FLAGS
from strongroom.cli.terminal import Talk, answer

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS: tuple[Flag, ...] = ()
WORDS = ("[command]",)
RUNS = False

# Fixed, so that the help is the same text in every window, and in the docs.
WIDTH = 80


def run(arguments: Arguments, settings: Settings) -> int:
    """Print the help of one command, of all, or the overview."""
    program = settings.talk.program
    if arguments.on("help-long"):
        answer("\n".join([overview(program), *(of_command(name, program) for name in COMMANDS)]))
    elif arguments.words:
        answer(of_command(command_name(arguments.words[0]), program))
    else:
        answer(overview(program))
    return 0


def usage_error(program: str) -> None:
    """Print the overview where errors go: no command was given."""
    Talk(program).show(overview(program))


def overview(program: str) -> str:
    """The commands and the flags that all of them take."""
    parser = _parser(f"{program} [flags] COMMAND ...", "Keeps AWS credentials and hands out short-lived ones.")
    group = parser.add_argument_group("commands")
    aliases = {name: alias for alias, name in ALIASES.items()}
    for name, line in COMMANDS.items():
        also = f" (or {aliases[name]})" if name in aliases else ""
        group.add_argument(name, help=line + also, action="store_true")
    _add(parser, GLOBAL_FLAGS)
    parser.epilog = f"`{program} help COMMAND` tells more. Each switch has a negative: --no-debug."
    return parser.format_help()


def of_command(name: str, program: str) -> str:
    """The help of one command."""
    command = load(name)
    typed = getattr(command, "ACTIONS", ())  # as they stand; other words are put in for something
    words = " ".join(
        word if word.startswith("[") or "|" in word or word in typed else word.upper() for word in command.WORDS
    )
    usage = " ".join(filter(None, (f"{program} {name}", "[flags]", words, "[-- COMMAND ...]" if command.RUNS else "")))
    text = (command.__doc__ or "").partition(": ")[2].strip()
    paragraphs = (text[:1].upper() + text[1:]).split("\n\n")
    folded = (textwrap.fill(" ".join(each.split()), WIDTH, break_on_hyphens=False) for each in paragraphs)
    parser = _parser(usage, "\n\n".join(folded))
    _add(parser, command.FLAGS)
    parser.epilog = f"The flags of `{program} --help` are taken too."
    return parser.format_help()


def _parser(usage: str, description: str) -> argparse.ArgumentParser:
    # Plain text everywhere: from 3.14 on, colours are the default on a terminal.
    plain: dict[str, Any] = {"color": False} if sys.version_info >= (3, 14) else {}
    return argparse.ArgumentParser(
        prog="strongroom",
        usage=usage,
        description=description,
        add_help=False,
        formatter_class=_Formatter,
        **plain,
    )


class _Formatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=WIDTH)


def _add(parser: argparse.ArgumentParser, flags: tuple[Flag, ...]) -> None:
    group = parser.add_argument_group("flags")
    for flag in flags:
        if flag.hidden:
            continue
        names = [f"-{flag.short}"] if flag.short else []
        names.append(f"--{flag.name}")
        text = (flag.help + (f" [{flag.env}]" if flag.env else "")).replace("%", "%%")
        if flag.value:
            group.add_argument(*names, metavar=flag.value, help=text)
        else:
            group.add_argument(*names, action="store_true", help=text)
