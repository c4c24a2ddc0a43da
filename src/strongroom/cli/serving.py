"""From the words that start the agent, or check its config file, to the process that serves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from typing import TYPE_CHECKING

from strongroom.agent import config_file
from strongroom.agent.config_file import ConfigMistakes
from strongroom.agent.generations import GENERATIONS, Generation
from strongroom.agent.log import Log, open_writer
from strongroom.cli import event_loop, resources
from strongroom.cli.program import NotAccepted, Program
from strongroom.cli.terminal import answer
from strongroom.errors import StrongroomError
from strongroom.serve import sockets, systemd

if TYPE_CHECKING:
    import socket

    from strongroom.agent.config import Config
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings


def check(arguments: Arguments, settings: Settings, word: str) -> int:
    """Say what is in force and where from; nothing is started."""
    generation = GENERATIONS[word]
    try:
        config = config_file.load(_config_path(arguments, settings, generation), generation)
    except ConfigMistakes as mistakes:
        return _refused(mistakes, settings, generation)
    for warning in config.warnings:
        settings.talk.warn(warning)
    answer(config_file.describe(config, generation) + "\n")
    return 0


def start(arguments: Arguments, settings: Settings, word: str) -> int:
    """Serve until we are told to end."""
    generation = GENERATIONS[word]
    try:
        path = _config_path(arguments, settings, generation)
        config = config_file.load(path, generation)
        if not config.enabled:
            settings.talk.show("Secrets Manager is not enabled\n")
            return 0
        with contextlib.closing(_log(config, generation)) as log:
            program = Program(generation, path, config, settings.inherited, log)
            with _listening(config, settings) as bound:
                resources.limit(config.max_conn)
                with asyncio.Runner(loop_factory=event_loop.factory()) as runner:
                    runner.run(program.serve(bound, _print))
    except StrongroomError as error:
        return _refused(error, settings, generation)
    return 0


def _refused(error: StrongroomError, settings: Settings, generation: Generation) -> int:
    """Say why not, in the form that the original has it: its users' scripts may read it."""
    text = error.text.rstrip("\n") if isinstance(error, ConfigMistakes) else error.message
    # What is found out after the port is bound begins alike in both generations.
    prefix = "Error: " if isinstance(error, NotAccepted) else generation.error_prefix
    settings.talk.show(f"{prefix}{text}\n")
    if error.hint and not isinstance(error, ConfigMistakes):
        settings.talk.show(f"hint: {error.hint}\n")
    return 1


def _config_path(arguments: Arguments, settings: Settings, generation: Generation) -> str | None:
    return arguments.text("config") or config_file.find(generation, sys.platform, settings.inherited)


def _log(config: Config, generation: Generation) -> Log:
    """The log; its records wait for the line that tells that we listen.

    Raises:
        LogError: Its file cannot be written.
    """
    writer = open_writer(to_file=config.log_to_file, name=generation.log_name)
    log = Log(config.log_level, generation.log_target, writer)
    log.hold()
    kind = "File" if config.log_to_file else "Console"
    log.info(f"{kind} logger initialized with `{config.log_level.capitalize()}` log level.")
    return log


@contextlib.contextmanager
def _listening(config: Config, settings: Settings):  # type: ignore[no-untyped-def]  # noqa: ANN202 - of list[socket]
    """Sockets that listen: those that the service manager passes, else our own."""
    own = config.own
    bound: list[socket.socket] = systemd.listening(settings.inherited, os.getpid())
    made = None
    try:
        if not bound:
            bound = sockets.loopback(config.http_port)
            if own.unix_socket is not None:
                bound.append(sockets.unix(own.unix_socket, own.unix_socket_mode, sockets.owner(own.unix_socket_owner)))
                made = sockets.identity(own.unix_socket)
        yield bound
    finally:
        for each in bound:
            each.close()
        if own.unix_socket is not None:
            sockets.remove(own.unix_socket, made)


def _print(line: str) -> None:
    """To stdout, at once; whoever started us may have closed it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
