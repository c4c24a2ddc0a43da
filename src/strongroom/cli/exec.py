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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType
    from typing import NoReturn

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (
    *retrieval.FLAGS,
    *retrieval.NARROWING,
    Flag("profile-env", "give the command AWS_PROFILE instead of keys", env="AWS_VAULT_PROFILE_ENV"),
    Flag("keep-vault-secrets", "let the command see AWS_VAULT_FILE_PASSPHRASE and the like"),
    Flag("json", short="j", hidden=True),
    retrieval.STDOUT,
    Flag("server", "the same as --ecs-server", short="s"),
    Flag("ecs-server", "serve the command credentials as Amazon ECS does, renewed as long as it runs"),
    Flag("ec2-server", "serve them as Amazon EC2's instance metadata, at 169.254.169.254"),
    Flag("lazy", "with --ecs-server: get credentials when the command asks for them"),
    Flag("unprivileged", "with --ec2-server: at another address, for which no root is needed"),
    Flag("imdsv1", "with --ec2-server: answer requests without a session token too"),
    Flag("token-file", "with --ecs-server: give the command its token in a file"),
    Flag(
        "allow-role",
        "with --ecs-server: let the command assume roles whose ARN fits; may be repeated",
        value="GLOB",
        many=True,
    ),
    Flag("any-process", "with a server: answer processes that the command did not start, too"),
)
WORDS = ("[profile]",)
RUNS = True

# Those that want a server, or nothing without one.
_OF_SERVERS = (
    "server",
    "ecs-server",
    "ec2-server",
    "unprivileged",
    "imdsv1",
    "token-file",
    "allow-role",
    "any-process",
)


def run(arguments: Arguments, settings: Settings) -> int:
    """Run the command; where the system can, it takes our place and this does not return."""
    if arguments.on("json"):
        retrieval.refuse_foreign_nesting(settings, "in an existing aws-vault subshell")
        return print_credentials(settings, "json")
    is_served = any(arguments.values.get(name) for name in _OF_SERVERS) and _servers().check(arguments)
    retrieval.refuse_foreign_nesting(settings, "running in an existing aws-vault subshell")
    if is_served:
        status: int = _servers().run(arguments, settings, lambda: arguments.command or [_shell(settings)])
        return status
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
        removed=() if arguments.on("keep-vault-secrets") else settings.opened_by,
    )
    command = arguments.command or [_shell(settings)]
    return replace_by(command, child)


def _servers() -> ModuleType:
    return import_module("strongroom.cli.exec_server")


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
