"""A standing server: credentials of several profiles for whatever program of the user's knows their tokens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

from strongroom import prompt
from strongroom.cli import detaching, environment, event_loop, listen_address, private_file, resources
from strongroom.cli.renewal import Passphrases, Source, SparingTalk
from strongroom.cli.standing_files import Files
from strongroom.cli.terminal import answer
from strongroom.durable import make_directory
from strongroom.endpoints.ecs import Entry
from strongroom.endpoints.guard import LOOPBACK, hosts_of
from strongroom.endpoints.same_user import SameUser
from strongroom.endpoints.slot import Slot
from strongroom.endpoints.standing import Standing
from strongroom.errors import StrongroomError, UsageError
from strongroom.serve import sockets, systemd
from strongroom.serve.listener import Limits, Server
from strongroom.serve.sockets import CannotListen

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.cli.terminal import Talk
    from strongroom.credentials import Credentials
    from strongroom.endpoints.state import State

HOST = "127.0.0.1"
# As many characters of URL-safe base64 as aws-vault's token has.
TOKEN_BYTES = 30
# Of all programs of a user.
LIMITS = Limits(connections=2000, head_seconds=10.0, idle_seconds=300.0)
# Those who wait for profiles' credentials, and for those of their roles, whatever hangs.
_THREADS = 32
# What is in hand when we are told to end may still be answered.
DRAIN_SECONDS = 5.0

_IN_BACKGROUND = "the server runs in the background"
_LIST = ", "


def start(arguments: Arguments, settings: Settings, names: list[str]) -> int:
    """Serve until we are told to end; with ``--detach``, until somebody else does.

    Args:
        arguments: The command line.
        settings: Flags, variables, files.
        names: The profiles, each once.

    Raises:
        StrongroomError: Any of the tree.
    """
    place = listen_address.read(arguments)
    networks = listen_address.networks(arguments) if place else ()
    files = Files(settings)
    if arguments.on("detach"):
        if sys.platform == "win32":
            raise UsageError("--detach is not for Windows", "have the Task Scheduler start it")
        return detaching.begin(arguments, settings, files, names)
    # What is the same at each renewal is said once; what happens, each time.
    talk, settings.talk = settings.talk, SparingTalk(settings.talk)
    with files.claim(), contextlib.ExitStack() as stack:
        sources = _sources(arguments, settings, names)
        firsts = {} if arguments.on("lazy") else {name: source.first() for name, source in sources.items()}
        next(iter(sources.values())).warn_of_store()
        _tell_who_can_be_asked(arguments, settings, sources)
        state, listening = _bind(files, settings, names, place, stack, makes_anew=arguments.on("new-tokens"))
        # Nobody waits for its end: somebody may still be asked for a code that nobody wants any more.
        pool = ThreadPoolExecutor(_THREADS, "credentials")
        stack.callback(lambda: pool.shutdown(wait=False, cancel_futures=True))
        program = Program(settings, files, talk, is_detached=arguments.on(detaching.FLAG))
        for name, source in sources.items():
            program.add(source, state.tokens[name], pool, firsts.get(name))
        if place is not None:
            where = listening[1].getsockname()[:2]
            talk.warn(f"--listen: whoever reaches {_shown(where)} and knows a token gets credentials")
        front = Standing(
            program.entries,
            hosts=hosts_of(
                [each.getsockname()[:2] for each in listening if each.family.name != "AF_UNIX"],
                # Programs in containers, which reach us through a relay there, call us by its address.
                listen_address.hosts(arguments, listening[1].getsockname()[1]) if place else listen_address.HOSTS,
            ),
            scope=SameUser(),
            log=talk.say,
            access=talk.debug if talk.debug_is_on else None,
            peers=(*LOOPBACK, *networks),
        )
        resources.limit(LIMITS.connections)
        if sys.platform != "win32":
            # A question may be open there at the end.
            stack.enter_context(import_module("strongroom.cli.controlling_terminal").as_it_was())
        shown = f"serving {_LIST.join(names)} at {_shown((HOST, state.port))}\n"
        with asyncio.Runner(loop_factory=event_loop.factory()) as runner:
            runner.run(program.serve(front, listening, lambda: answer(shown)))
    return 0


def _sources(arguments: Arguments, settings: Settings, names: list[str]) -> dict[str, Source]:
    passphrases = Passphrases()
    found = {name: Source(settings, name, passphrases) for name in names}
    if arguments.on("lazy"):
        for name, source in found.items():
            if source.needs_browser():
                settings.talk.warn(
                    f"profile {name!r} signs in with a browser, and no request can wait for that: "
                    f"sign in before, with `{settings.talk.program} export {name}`"
                )
    return found


def _tell_who_can_be_asked(arguments: Arguments, settings: Settings, sources: Mapping[str, Source]) -> None:
    """Say what will be asked later, when there may be nobody to ask.

    Raises:
        StrongroomError: Nothing can be had from the keystore without an answer that nobody can give.
    """
    if arguments.on(detaching.FLAG):
        settings.terminal_is_taken = _IN_BACKGROUND
    why = _nobody(settings)
    if not why:
        return
    is_told = "AWS_VAULT_FILE_PASSPHRASE" in settings.inherited
    if arguments.on("lazy") and not is_told and is_opened_by_hand(settings):
        raise StrongroomError(
            f"the file keystore wants its passphrase, and nobody can be asked for it: {why}",
            "leave out --lazy and start it in a terminal, set AWS_VAULT_FILE_PASSPHRASE, or use another keystore",
        )
    for name, source in sources.items():
        profile = source.profile
        if profile.mfa_serial and not profile.mfa_process:
            settings.talk.warn(
                f"profile {name!r}: once its session ends nobody can be asked for an MFA code ({why}); "
                f"then get a new one with `{settings.talk.program} export {name}` in a terminal"
            )


def _nobody(settings: Settings) -> str:
    """Why nobody can be asked from now on; empty if somebody can."""
    place = prompt.Place(
        environment.of_helper(settings.inherited), title=settings.talk.program, taken=settings.terminal_is_taken
    )
    wanted = str(settings.get("prompt"))
    if wanted != prompt.AUTO:
        return prompt.absent(wanted, place)
    why = prompt.absent("terminal", place)
    if not why:
        return ""
    no_desktop = place.no_desktop()
    if no_desktop:
        return f"{why}, and there is no desktop to open a window on ({no_desktop})"
    if all(prompt.absent(name, place) for name in place.windows()):
        return f"{why}, and there is no program to open a window with ({_LIST.join(place.windows())})"
    return ""


def is_opened_by_hand(settings: Settings) -> bool:
    """Whether the keystore is one that a human opens, and not a program of its own."""
    settings.vault()
    return "file" in {str(settings.get("backend")) or settings.chosen, str(settings.get("session_backend"))}


def _bind(
    files: Files,
    settings: Settings,
    names: list[str],
    place: tuple[str, int] | None,
    stack: contextlib.ExitStack,
    *,
    makes_anew: bool,
) -> tuple[State, list[socket.socket]]:
    """Listen where the last server did, and remember it; the loopback interface first, *place* second.

    Raises:
        StrongroomError: An address cannot be had, or nothing can be remembered.
    """
    before = files.read()
    try:
        bound = sockets.tcp(HOST, before.port, "")
    except CannotListen:
        bound = sockets.tcp(HOST, 0, "")
        settings.talk.warn(
            f"another program listens on port {before.port} now: "
            "shells that were told that one need `serve env` again, and all tokens are new"
        )
        # Whoever has the port was told the old ones.
        makes_anew = True
    listening = [stack.enter_context(contextlib.closing(bound))]
    port = bound.getsockname()[1]
    if makes_anew:
        before = type(before)(before.port)
    state = before.beginning(names, lambda: secrets.token_urlsafe(TOKEN_BYTES)).at(port)
    if place is not None:
        listened = sockets.tcp(place[0], place[1] or port, "choose another address, or a port with ADDRESS:PORT")
        listening.append(stack.enter_context(contextlib.closing(listened)))
    for name in names:
        private_file.write(files.token(name), state.tokens[name].encode())
        if sys.platform != "win32":
            listening += _unix(files.socket(name), settings, stack)
    files.write(state)
    return state, listening


def _unix(path: str, settings: Settings, stack: contextlib.ExitStack) -> Iterator[socket.socket]:
    """A socket for containers."""
    if sys.platform == "win32":
        return
    try:
        make_directory(os.path.dirname(path))
        bound = sockets.unix(path, 0o600, (-1, -1))
    except (CannotListen, OSError) as error:
        settings.talk.warn(f"containers cannot be served: {error}")
        return
    stack.callback(sockets.remove, path, sockets.identity(path))
    yield stack.enter_context(contextlib.closing(bound))


def _shown(address: tuple[str, int]) -> str:
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


class Program:
    """The server in its event loop.

    Args:
        settings: Flags, variables, files.
        files: Its files.
        talk: Is told of what happens.
        is_detached: Whether it lets go of the terminal once it listens.
    """

    def __init__(self, settings: Settings, files: Files, talk: Talk, *, is_detached: bool) -> None:
        self.environ = settings.inherited
        self.files = files
        self.talk = talk
        self.is_detached = is_detached
        self.entries: dict[str, Entry] = {}
        self._firsts: list[tuple[Slot, Credentials]] = []

    def add(self, source: Source, token: str, pool: ThreadPoolExecutor, first: Credentials | None) -> None:
        """Serve a profile."""
        name = source.profile.name
        slot = Slot(name, source, pool=pool, log=self.talk.say, renewed=self.talk.debug)
        entry = self.entries[name] = Entry(slot, token, assume=source.assume, allowed_roles=source.allowed_roles())

        def learn(source: Source) -> None:
            entry.role_arn, entry.account_id = source.role_arn, source.account_id

        learn(source)
        source.learned = learn
        if first is not None:
            slot.keep(first)

    async def serve(self, front: Standing, listening: list[socket.socket], announce: Callable[[], None]) -> None:
        """Serve until a signal ends us.

        Args:
            front: What is served.
            listening: Where.
            announce: Is called once we listen.
        """
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        server = Server(front, LIMITS, loop)
        # The window of one in the foreground was closed. With nohup nothing comes of that.
        is_of_terminal = not self.is_detached and prompt.is_among((0, 2))
        hung_up = ended.set if is_of_terminal else lambda: self._reload(front)
        _on_signals(loop, {"SIGTERM": ended.set, "SIGINT": ended.set, "SIGBREAK": ended.set, "SIGHUP": hung_up})
        await server.listen(listening)
        for entry in self.entries.values():
            entry.start()
        if self.is_detached:
            detaching.leave(self.files, announce)
        else:
            announce()
        systemd.notify(self.environ, systemd.READY)
        try:
            await ended.wait()
            systemd.notify(self.environ, systemd.STOPPING)
            await server.drain(DRAIN_SECONDS)
        finally:
            for entry in self.entries.values():
                await entry.close()

    def _reload(self, front: Standing) -> None:
        """Read config and keystore anew now, not only when credentials end."""
        systemd.notify(self.environ, systemd.reloading())
        if self.is_detached:
            try:
                detaching.reopen(self.files)
            except StrongroomError as error:
                self.talk.warn(error.message)
        front.renew()
        systemd.notify(self.environ, systemd.READY)


def _on_signals(loop: asyncio.AbstractEventLoop, actions: Mapping[str, Callable[[], object]]) -> None:
    for name, action in actions.items():
        number = getattr(signal, name, None)
        # What is ignored was meant to be.
        if number is None or signal.getsignal(number) is signal.SIG_IGN:
            continue
        try:
            loop.add_signal_handler(number, action)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, action=action: loop.call_soon_threadsafe(action))
