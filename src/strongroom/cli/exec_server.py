"""``exec`` with a server: the command gets no credentials, but the address of a server that has them while it runs.

An SDK asks there again whenever they are about to end, so a command may run for days, and its environment holds no key.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

from strongroom import prompt
from strongroom.cli import environment, private_file, resources, retrieval, shadows, token_file
from strongroom.cli.renewal import Passphrases, Source, SparingTalk, check_roles
from strongroom.endpoints.ec2 import Ec2
from strongroom.endpoints.ecs import Ecs, Entry
from strongroom.endpoints.guard import hosts_of
from strongroom.endpoints.scope import Scope, become_subreaper
from strongroom.endpoints.slot import Slot
from strongroom.errors import StrongroomError, UsageError
from strongroom.serve import sockets
from strongroom.serve.listener import Limits, Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterator, Mapping
    from types import ModuleType

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

HOST = "127.0.0.1"
# As many characters of URL-safe base64 as aws-vault's token has.
TOKEN_BYTES = 30
# Of one command: a program with a thousand threads is one.
LIMITS = Limits(connections=2000, head_seconds=10.0, idle_seconds=300.0)
# Those who wait for the profile's credentials, and for those of its roles, whatever hangs.
_THREADS = 16

TOKEN, TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
# What aws-vault calls it.
ROLE_NAME = "local-credentials"

_OF_ECS = ("token-file", "allow-role")
_OF_EC2 = ("unprivileged", "imdsv1")


def check(arguments: Arguments) -> bool:
    """Whether a server is wanted.

    Raises:
        UsageError: Flags contradict each other.
    """
    ecs, ec2 = arguments.on("server") or arguments.on("ecs-server"), arguments.on("ec2-server")
    if ec2 and ecs:
        raise UsageError("Can't use --ec2-server with --ecs-server")
    for on, name in ((ec2, "--ec2-server"), (ecs, "--ecs-server")):
        if on and arguments.on("no-session"):
            raise UsageError(
                f"Can't use {name} with --no-session", "a long-term key has no end, and SDKs take none from a server"
            )
    for flags, on, meant in ((_OF_ECS, ecs, "--ecs-server"), (_OF_EC2, ec2, "--ec2-server")):
        for flag in flags:
            if arguments.values.get(flag) and not on:
                raise UsageError(f"--{flag} needs {meant}")
    if arguments.on("any-process") and not (ecs or ec2):
        raise UsageError("--any-process needs --ecs-server or --ec2-server")
    check_roles(arguments)
    if ec2 and arguments.on("lazy"):
        raise UsageError(
            "Can't use --lazy with --ec2-server", "SDKs wait half a second for instance metadata: too short for a login"
        )
    return ecs or ec2


class Door:
    """One way to credentials, and how the command finds it.

    Args:
        listening: The socket.
        front: What is served there.
        holder: What is served, kept good from its `start` to its `close`.
        variables: What tells the command where.
        removed: Variables that would lead it elsewhere.
    """

    def __init__(
        self,
        listening: socket.socket,
        front: Ecs | Ec2,
        holder: Entry | Slot,
        variables: Mapping[str, str],
        removed: Collection[str] = (),
    ) -> None:
        self.listening = listening
        self.front = front
        self.holder = holder
        self.variables = variables
        self.removed = removed


def run(arguments: Arguments, settings: Settings, command: Callable[[], list[str]]) -> int:
    """Serve credentials to a command until it ends.

    Args:
        arguments: The command line, for which `check` was true.
        settings: Flags, variables, files.
        command: Tells the words of the command.

    Returns:
        The command's exit status.

    Raises:
        StrongroomError: Any of the tree; the command has not been started then.
    """
    settings.talk = SparingTalk(settings.talk)
    if arguments.on("profile-env"):
        settings.talk.warn("--profile-env: the command is told of the server, and of no profile")
    source = Source(settings, retrieval.profile_name(settings), Passphrases())
    if arguments.on("lazy"):
        if source.needs_browser():
            raise StrongroomError(
                f"profile {source.profile.name!r} signs in with a browser, and no request can wait for that",
                "leave --lazy out, or sign in with another command before",
            )
        first = None
    else:
        first = source.first()
    source.warn_of_store()
    scope = _scope(arguments, settings)
    # Nobody waits for its end: somebody may still be asked for a code that nobody wants any more.
    pool = ThreadPoolExecutor(_THREADS, "credentials")
    slot = Slot(source.profile.name, source, pool=pool, log=settings.talk.say, renewed=settings.talk.debug)
    try:
        with (_ec2 if arguments.on("ec2-server") else _ecs)(arguments, settings, source, slot, scope) as door:
            variables = environment.of_child(
                settings.inherited,
                settings.marked,
                source.profile,
                None,
                keep_vault_secrets=arguments.on("keep-vault-secrets"),
                served=door.variables,
                removed={*door.removed, *(() if arguments.on("keep-vault-secrets") else source.opened_by)},
            )
            for shadow in shadows.of(settings, variables):
                settings.talk.warn(shadow)
            words = command()
            if first is not None:
                slot.keep(first)
            if prompt.is_among((0, 1, 2)):
                settings.terminal_is_taken = "the command has it"
                return asyncio.run(_serve(door, words, variables))
            # Then we may have a question open there at the end.
            with _terminal_as_it_was():
                return asyncio.run(_serve(door, words, variables))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


async def _serve(door: Door, words: list[str], variables: Mapping[str, str]) -> int:
    server = Server(door.front, LIMITS, asyncio.get_running_loop())
    await server.listen([door.listening])
    door.holder.start()
    become_subreaper()
    try:
        status: int = await _child().ServedChild(words, variables).run(lambda: resources.limit(LIMITS.connections))
        return status
    finally:
        await server.drain(0)
        await door.holder.close()


def _child() -> ModuleType:
    """How commands are run here: `strongroom.cli.served_child`, or what there is of it on Windows."""
    return import_module("strongroom.cli.child" if sys.platform == "win32" else "strongroom.cli.served_child")


def _terminal_as_it_was() -> contextlib.AbstractContextManager[None]:
    if sys.platform == "win32":
        return contextlib.nullcontext()  # a console has no settings that a command would leave behind for us
    made: contextlib.AbstractContextManager[None] = import_module("strongroom.cli.controlling_terminal").as_it_was()
    return made


def _scope(arguments: Arguments, settings: Settings) -> Scope | None:
    """Which processes may ask: the command and what it starts."""
    if arguments.on("any-process"):
        whoever = "every process" if arguments.on("ec2-server") else "every process that learns of the token"
        settings.talk.warn(f"--any-process: {whoever}, not only those of the command, gets credentials from the server")
        return None
    if sys.platform not in {"linux", "darwin"}:
        return None
    scope = Scope(os.getpid())
    if scope.unavailable:
        raise StrongroomError(
            f"the server could not tell who asks: {scope.unavailable}", "--any-process lets every process ask"
        )
    return scope


@contextlib.contextmanager
def _ecs(arguments: Arguments, settings: Settings, source: Source, slot: Slot, scope: Scope | None) -> Iterator[Door]:
    token = secrets.token_urlsafe(TOKEN_BYTES)
    entry = Entry(slot, token, assume=source.assume, allowed_roles=source.allowed_roles())

    def learn(source: Source) -> None:
        entry.role_arn, entry.account_id = source.role_arn, source.account_id

    learn(source)
    source.learned = learn
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(contextlib.closing(sockets.tcp(HOST, 0, "")))
        port = listening.getsockname()[1]
        variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{HOST}:{port}"}
        if arguments.on("token-file"):
            directory = private_file.runtime_directory(settings)
            variables[TOKEN_FILE] = stack.enter_context(token_file.holding(directory, token))
        else:
            variables[TOKEN] = token
        front = Ecs(
            {source.profile.name: entry},
            hosts=hosts_of([(HOST, port)]),
            scope=scope,
            log=settings.talk.say,
            access=_access(settings),
        )
        yield Door(listening, front, entry, variables)


@contextlib.contextmanager
def _ec2(arguments: Arguments, settings: Settings, source: Source, slot: Slot, scope: Scope | None) -> Iterator[Door]:
    keepalive = None
    if arguments.on("unprivileged"):
        listening = sockets.tcp(HOST, 0, "")
        address = listening.getsockname()[:2]
        variables = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{HOST}:{address[1]}"}
    else:
        metadata_address = import_module("strongroom.endpoints.metadata_address")
        listening, keepalive = metadata_address.take(say=settings.talk.say)
        address, variables = (metadata_address.ADDRESS, metadata_address.PORT), {}
    try:
        with listening:
            front = Ec2(
                slot,
                role_name=ROLE_NAME,
                region=source.profile.region or "",
                hosts=hosts_of([address]),
                imdsv1=arguments.on("imdsv1"),
                scope=scope,
                log=settings.talk.say,
                access=_access(settings),
                account_id=source.account_id,
            )
            yield Door(listening, front, slot, variables, environment.METADATA)
    finally:
        left = "" if keepalive is None else keepalive.close()
        if left:
            settings.talk.warn(left)


def _access(settings: Settings) -> Callable[[str], None] | None:
    return settings.talk.debug if settings.talk.debug_is_on else None
