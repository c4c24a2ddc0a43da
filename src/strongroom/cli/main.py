"""From words to a command, and from an error to an exit status.

==========  ==========================================================================
status      when
==========  ==========================================================================
0           done
1           everything that fails after the command line was understood
2           wrong words, flags, values, combinations, or no command at all
126, 127    the command to run is not executable, not found
130         interrupted at one of our questions
other       the status of the command that was run
==========  ==========================================================================
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from strongroom.cli.flags import Matcher
from strongroom.cli.setting import GLOBAL_FLAGS
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Closed, Talk
from strongroom.errors import StrongroomError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn, Protocol

    from strongroom.cli.flags import Arguments, Flag

    class Command(Protocol):
        """The face of a command's module."""

        @property
        def FLAGS(self) -> tuple[Flag, ...]:  # noqa: N802 - a constant of the module
            """Its own flags."""

        @property
        def WORDS(self) -> tuple[str, ...]:  # noqa: N802
            """The positional words, as the help shows them.

            "profile" is required, "[profile]" is not, "[profile]..." may be any number, at the end.
            """

        @property
        def RUNS(self) -> bool:  # noqa: N802
            """Whether the words of a command to run may follow."""

        def run(self, arguments: Arguments, settings: Settings) -> int:
            """Do it and return the exit status."""


# name -> the line shown by `strongroom --help`
COMMANDS = {
    "add": "store a long-term access key",
    "agent": "serve secrets over local HTTP like AWS's agent 1 and 2",
    "backup": "put the whole vault into one encrypted file",
    "clear": "remove stored sessions",
    "doctor": "say where keys are kept, and what is wrong",
    "exec": "run a command with temporary credentials",
    "explain": "show how a profile's credentials are obtained, and why",
    "export": "print temporary credentials",
    "help": "show the help of a command",
    "import": "move keys out of plaintext files and other stores",
    "list": "list profiles, stored keys and sessions",
    "mfa": "keep seeds of MFA devices, to make their codes here",
    "login": "open the AWS console, signed in",
    "migrate-backend": "copy keys from one keystore into another",
    "passwd": "change the passphrase of the file keystore",
    "remove": "remove a stored key and its sessions",
    "restore": "put the items of a backup into a keystore",
    "reveal": "show a stored key, on purpose",
    "rotate": "replace a stored key by a new one, in AWS too",
    "serve": "serve credentials of profiles to all programs of yours",
    "sm": "the same like AWS's credentials provider 3; check a config",
    "sso": "list the roles of IAM Identity Center, and add profiles",
    "version": "print the version",
}
ALIASES = {"ls": "list", "rm": "remove"}
# What aws-vault starts for itself, as root, and nobody needs to start here.
_NOT_NEEDED = {
    "proxy": "exec --ec2-server has what it needs of root done by itself; a server that stays is started with serve",
    "server": "exec --ec2-server and --ecs-server serve a command; a server that stays is started with serve",
}
# Where a command's module cannot be called like the command.
MODULES = {"import": "importing", "migrate-backend": "migrate_backend"}


def command_name(word: str) -> str:
    """The command that *word* means, by its name or its alias.

    Raises:
        UsageError: None.
    """
    name = ALIASES.get(word, word)
    if word in _NOT_NEEDED:
        raise UsageError(f"there is no command {word!r}", _NOT_NEEDED[word])
    if name not in COMMANDS:
        raise UsageError(f'expected command but got "{word}"', word=word, known=[*COMMANDS, *ALIASES])
    return name


def load(name: str) -> Command:
    """Import the module of one command; *name* must be a key of `COMMANDS`."""
    command: Command = import_module(f"strongroom.cli.{MODULES.get(name, name)}")
    return command


def console() -> NoReturn:
    """Run strongroom as a program: `main`, and then out.

    The interpreter would first take every module apart, which takes a sixth of the time of a cached ``export``; there
    is nothing left to do but to pass the status on. What was written has been flushed, and files are closed.
    """
    status = main()
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            continue  # nobody is listening any more
    os._exit(status)


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> int:
    """Run strongroom.

    Args:
        argv: The words after the program's name; by default those of this process.
        environ: The environment; by default that of this process.

    Returns:
        The exit status.
    """
    program = _program(sys.argv[0] if argv is None and sys.argv else "strongroom")
    words = sys.argv[1:] if argv is None else list(argv)
    talk = Talk(program)
    try:
        return _run(words, os.environ if environ is None else environ, talk)
    except KeyboardInterrupt:
        return 130
    except Closed:
        return 1
    except StrongroomError as error:
        import_module("strongroom.cli.trouble").report(error, talk)
        return error.exit_status


def _program(path: str) -> str:
    """The name we were called by, so that messages fit a symlink named aws-vault."""
    name = os.path.basename(path).removesuffix(".exe")
    return "strongroom" if name in {"__main__.py", "-c", "-m", ""} else name


# A flag -> the command that answers it, whatever else is on the line.
_INSTEAD = {"version": "version", "help": "help", "help-long": "help"}


def _run(words: list[str], environ: Mapping[str, str], talk: Talk) -> int:
    before = Matcher(GLOBAL_FLAGS, most_words=0).match(words, environ)
    rest = before.command or []
    for flag, instead in _INSTEAD.items():
        if before.on(flag):
            return load(instead).run(before, Settings(before, environ, talk, instead))
    if not rest:
        import_module("strongroom.cli.help").usage_error(talk.program)
        return 2
    name = command_name(rest[0])
    talk.command = name
    command = load(name)
    matcher = Matcher((*GLOBAL_FLAGS, *command.FLAGS), most_words=len(command.WORDS) if command.RUNS else None)
    matcher.values.update(before.values)
    arguments = matcher.match(rest[1:], environ)
    talk.debug_is_on = arguments.on("debug")
    for flag, instead in _INSTEAD.items():
        if arguments.on(flag):
            arguments.words = [name]
            return load(instead).run(arguments, Settings(arguments, environ, talk, instead))
    _check_words(command, arguments.words, f"type `{talk.program} help {name}` to see what it takes")
    settings = Settings(arguments, environ, talk, " ".join([name, *arguments.words]))
    if arguments.text("prompt"):
        settings.get("prompt")  # a flag that makes no sense is said even if nothing has to be asked
    return command.run(arguments, settings)


def _check_words(command: Command, words: list[str], hint: str) -> None:
    if len(words) > len(command.WORDS) and not (command.WORDS and command.WORDS[-1].endswith("...")):
        raise UsageError(f"unexpected {words[len(command.WORDS)]!r}", hint)
    for word in command.WORDS[len(words) :]:
        if not word.startswith("["):
            raise UsageError(f"required argument '{word}' not provided", hint)
