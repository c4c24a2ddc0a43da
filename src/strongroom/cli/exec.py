"""``exec``: run a command, or a shell, with a profile's temporary credentials in its environment.

The first word after the profile begins the command; everything from there on
belongs to it, with or without "--" in front. Without a command, $SHELL is started.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from strongroom.cli import environment, lookup, retrieval
from strongroom.cli.export import print_credentials
from strongroom.cli.flags import Flag
from strongroom.errors import StrongroomError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (
    *retrieval.FLAGS,
    Flag("profile-env", "give the command AWS_PROFILE instead of keys", env="AWS_VAULT_PROFILE_ENV"),
    Flag("keep-vault-secrets", "let the command see AWS_VAULT_FILE_PASSPHRASE and the like"),
    Flag("json", short="j", hidden=True),
    retrieval.STDOUT,
    # Credential servers come later; until then these are understood, and refused in so many words.
    Flag("server", short="s", hidden=True),
    Flag("ecs-server", hidden=True),
    Flag("ec2-server", hidden=True),
    Flag("lazy", hidden=True),
)
WORDS = ("[profile]",)
RUNS = True


def run(arguments: Arguments, settings: Settings) -> int:
    """Run the command; where the system can, it takes our place and this does not return."""
    if arguments.on("json"):
        retrieval.refuse_foreign_nesting(settings, "in an existing aws-vault subshell")
        return print_credentials(settings, "json")
    _refuse_servers(arguments)
    retrieval.refuse_foreign_nesting(settings, "running in an existing aws-vault subshell")
    profile, steps = retrieval.planned(settings, retrieval.profile_name(settings))
    credentials = retrieval.credentials(settings, profile, steps)
    retrieval.warn_of_store(settings)
    if arguments.on("profile-env"):
        import_module("strongroom.cli.left_token").leave(settings, steps)
    child = environment.of_child(
        settings.inherited,
        settings.marked,
        profile,
        None if arguments.on("profile-env") else credentials,
        keep_vault_secrets=arguments.on("keep-vault-secrets"),
    )
    command = arguments.command or [_shell(settings)]
    return replace_by(command, child)


def _refuse_servers(arguments: Arguments) -> None:
    ecs = arguments.on("server") or arguments.on("ecs-server")
    ec2 = arguments.on("ec2-server")
    if ec2 and ecs:
        raise UsageError("Can't use --ec2-server with --ecs-server")
    for on, name in ((ec2, "--ec2-server"), (ecs, "--ecs-server")):
        if on and arguments.on("no-session"):
            raise UsageError(f"Can't use {name} with --no-session")
    for name in ("server", "ecs-server", "ec2-server", "lazy"):
        if arguments.on(name):
            raise StrongroomError(
                f"--{name}: this version of strongroom has no credential servers yet",
                "without it, the command gets the credentials in its environment",
            )


def _shell(settings: Settings) -> str:
    """The shell to start when no command is given; says so if a human is there to read it."""
    shell = settings.inherited.get("SHELL") or ("cmd.exe" if sys.platform == "win32" else "/bin/sh")
    silenced = settings.inherited.get("AWS_VAULT_DISABLE_HELP_MESSAGE") == "1"
    if not silenced and sys.stdout is not None and sys.stdout.isatty():
        settings.talk.say(f"Starting subshell {shell}, use `exit` to exit the subshell")
    return shell


def replace_by(command: list[str], variables: Mapping[str, str]) -> int:
    """Become the command: same process, same terminal, its own signals and exit status.

    Args:
        command: Its words.
        variables: Its whole environment.

    Returns:
        On Windows, which cannot replace a process, the command's exit status.

    Raises:
        CommandError: It cannot be run.
    """
    if sys.platform == "win32":
        return import_module("strongroom.cli.child").run(command, variables)
    signals = import_module("signal")
    # The interpreter ignores these, and an ignored signal stays ignored across exec.
    ignored = [getattr(signals, name) for name in ("SIGPIPE", "SIGXFSZ")]
    for number in ignored:
        signals.signal(number, signals.SIG_DFL)
    try:
        return lookup.start(command, variables, lambda path, words: _become(path, words, variables))
    finally:  # we are still here, and have something to say to whoever may have gone
        for number in ignored:
            signals.signal(number, signals.SIG_IGN)


def _become(path: str, words: list[str], variables: Mapping[str, str]) -> NoReturn:
    os.execve(path, words, variables)  # noqa: S606 - the command is the user's own words
