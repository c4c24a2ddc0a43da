"""From the words that start the agent to its event loop, and from signals to its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import os
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

import strongroom
from strongroom.agent import config_file, token
from strongroom.agent.app import App
from strongroom.agent.cache import Ask, Cache
from strongroom.agent.config_file import ConfigMistakes
from strongroom.agent.failure import Failure
from strongroom.agent.generations import GENERATIONS, Generation
from strongroom.agent.log import Log, open_writer
from strongroom.agent.metrics import Metrics
from strongroom.agent.policy import Policy
from strongroom.agent.service import Service
from strongroom.cli.terminal import answer
from strongroom.errors import StrongroomError
from strongroom.serve import sockets, systemd
from strongroom.serve.listener import Limits, Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from strongroom.agent.config import Config
    from strongroom.agent.secret import Secret
    from strongroom.agent.upstream import Upstream
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.cli.terminal import Talk

# One for each call to AWS in flight; they are made when they are needed, and a hung one holds no other up.
THREADS = 256
# What is in hand when we are told to end may still be answered; whoever started us kills us after ten.
DRAIN_SECONDS = 5.0
MOST_DESCRIPTORS = 65_536

if sys.platform == "linux":
    # A machine that sleeps has its secrets grow old.
    clock: Callable[[], float] = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
else:
    clock = time.monotonic


def check(arguments: Arguments, settings: Settings, word: str) -> int:
    """Say what is in force and where from; nothing is started."""
    generation = GENERATIONS[word]
    try:
        config = config_file.load(_config_path(arguments, settings, generation), generation)
    except ConfigMistakes as mistakes:
        settings.talk.show(generation.error_prefix + mistakes.text.rstrip("\n") + "\n")
        return 1
    for warning in config.warnings:
        settings.talk.warn(warning)
    answer(config_file.describe(config, generation))
    return 0


def start(arguments: Arguments, settings: Settings, word: str) -> int:
    """Serve until we are told to end."""
    generation = GENERATIONS[word]
    try:
        program = Program(generation, _config_path(arguments, settings, generation), settings.inherited, settings.talk)
        if not program.config.enabled:
            settings.talk.show("Secrets Manager is not enabled\n")
            return 0
        return program.run()
    except StrongroomError as error:
        text = error.text.rstrip("\n") if isinstance(error, ConfigMistakes) else error.message
        settings.talk.show(f"{generation.error_prefix}{text}\n")
        if error.hint and not isinstance(error, ConfigMistakes):
            settings.talk.show(f"hint: {error.hint}\n")
        return 1


def _config_path(arguments: Arguments, settings: Settings, generation: Generation) -> str | None:
    return arguments.text("config") or config_file.find(generation, sys.platform, settings.inherited)


class Program:
    """The agent, from its config file to its end.

    Args:
        generation: Which original it stands in for.
        path: The config file, or None.
        environ: The environment.
        talk: Our side of the conversation.

    Raises:
        ConfigMistakes: The file has some.
    """

    def __init__(self, generation: Generation, path: str | None, environ: Mapping[str, str], talk: Talk) -> None:
        self.generation = generation
        self.path = path
        self.environ = environ
        self.talk = talk
        self.config = config_file.load(path, generation)
        self.metrics = Metrics()
        self.banner = ""

    def run(self) -> int:
        """Serve.

        Raises:
            StrongroomError: It cannot be started.
        """
        self.log = _log(self.config, self.generation)
        policy = self._policy(self.config)
        bound, made = self._bind()
        _limit_resources(self.config.max_conn)
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                return runner.run(self._serve(policy, bound))
        finally:
            for path, identity in made:
                sockets.remove(path, identity)
            self.log.close()

    def _policy(self, config: Config) -> Policy:
        main = token.read(config.ssrf_env_variables, self.environ, self.log.warn)
        return Policy(config, main, lambda path: token.from_file(path, self.log.warn))

    def _metrics_token(self, config: Config) -> bytes | None:
        path = config.own.metrics_token_file
        return None if path is None else token.from_file(path, self.log.warn)

    def _bind(self) -> tuple[list[socket.socket], list[tuple[str, tuple[int, int] | None]]]:
        own = self.config.own
        made: list[tuple[str, tuple[int, int] | None]] = []
        bound = systemd.listening(self.environ, os.getpid())
        if not bound:
            bound = sockets.loopback(self.config.http_port)
            if own.unix_socket is not None:
                bound.append(sockets.unix(own.unix_socket, own.unix_socket_mode, sockets.owner(own.unix_socket_owner)))
                made.append((own.unix_socket, sockets.identity(own.unix_socket)))
        return bound, made

    # In the loop.

    async def _serve(self, policy: Policy, bound: list[socket.socket]) -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unexpected)
        self.ended = asyncio.Event()
        self._on_signals(loop)
        executor = ThreadPoolExecutor(THREADS, "aws")
        cache = Cache(self.config.cache_size, self.config.own.max_bytes)
        self.upstream = self._upstream(self.config)
        self.service = Service(
            config=self.config,
            cache=cache,
            upstream=self.upstream,
            executor=executor,
            loop=loop,
            clock=clock,
            random=random.random,
            log=self.log,
            metrics=self.metrics,
        )
        self.app = App(
            config=self.config,
            generation=self.generation,
            policy=policy,
            metrics_token=self._metrics_token(self.config),
            service=self.service,
            log=self.log,
            metrics=self.metrics,
        )
        self.server = Server(self.app, _limits(self.config), loop)
        self.app.connections = lambda: len(self.server.connections)
        self.app.waiting_for["credentials"] = "the credentials have not been tried yet"
        if self.config.prefetch.secrets or self.config.prefetch.filter_tags:
            self.app.waiting_for["prefetch"] = "the secrets to fetch at start are not all here yet"
        must_check = self.config.validate_credentials and not self.config.credentials_file_path
        if must_check and not await self._checked(loop, executor):
            executor.shutdown(wait=False, cancel_futures=True)
            return 0
        self._announce(bound)
        await self.server.listen(bound)
        systemd.notify(self.environ, systemd.READY)
        background = loop.run_in_executor(executor, self._load)
        background.add_done_callback(lambda _: None)
        await self.ended.wait()
        systemd.notify(self.environ, systemd.STOPPING)
        self.log.info(f"{_workload(self.generation)} shutting down")
        await self.server.drain(DRAIN_SECONDS)
        self.upstream.close()
        executor.shutdown(wait=False, cancel_futures=True)
        return 0

    async def _checked(self, loop: asyncio.AbstractEventLoop, executor: ThreadPoolExecutor) -> bool:
        """Whether AWS takes our credentials; False if we are told to end meanwhile.

        Raises:
            StrongroomError: It does not.
        """
        asked = loop.run_in_executor(executor, self._identity)
        ending = asyncio.ensure_future(self.ended.wait())
        await asyncio.wait([asyncio.ensure_future(asked), ending], return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not asked.done():
            return False
        failure = asked.result()
        if failure is not None and not (failure.kind == "transient" and self._is_outage(failure)):
            raise StrongroomError(
                failure.reason or failure.code, "check credentials and region, or set validate_credentials = false"
            )
        if failure is not None:
            self.log.warn(f"The credentials could not be tried: {failure.reason}")
        return True

    def _is_outage(self, failure: Failure) -> bool:
        """Whether it is AWS that is away; credentials that are missing are not."""
        return self.config.ignore_transient_errors and failure.outage

    def _identity(self) -> Failure | None:
        try:
            self.upstream.load()
            account = self.upstream.identity()
        except Failure as failure:
            return failure
        self.app.waiting_for.pop("credentials", None)
        if self.upstream.region:
            self.service.cache.home(None, account, self.upstream.region)
        return None

    def _announce(self, bound: list[socket.socket]) -> None:
        shown = next((_shown(listening) for listening in bound), "")
        self.banner = f"{self.generation.banner}/{strongroom.__version__} listening on {shown}"
        _print(self.banner)
        self.log.release()
        self.log.info(self.banner)
        for warning in self.config.warnings:
            self.log.warn(warning)

    def _load(self) -> None:
        """In a worker thread: what the first miss would wait for, and what is to be fetched at start."""
        try:
            self.upstream.load()
            if self.upstream.has_credentials():
                self.app.waiting_for.pop("credentials", None)
        except Failure as failure:
            self.log.warn(f"AWS cannot be asked yet: {failure.reason or failure.code}")
        gc.collect()
        gc.freeze()  # what was loaded stays; collections need not walk through it
        if "prefetch" in self.app.waiting_for:
            self._prefetch()

    def _prefetch(self) -> None:
        prefetch = import_module("strongroom.agent.prefetch")
        try:
            prefetch.run(self.config, self.upstream, self._keep, self.log, time.sleep, random.random)
        finally:
            self.app.waiting_for.pop("prefetch", None)

    def _keep(self, role_arn: str | None, asked: str | None, secret: Secret) -> None:
        """In a worker thread: hand a secret to the loop."""
        ask = Ask("secret", role_arn, asked or secret.name or secret.arn or "")
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending
            self.service.loop.call_soon_threadsafe(self.service.keep, ask, secret, 0)

    def _upstream(self, config: Config) -> Upstream:
        # Late: what it needs of AWS's modules is loaded when AWS is asked.
        made: Upstream = import_module("strongroom.agent.upstream").Upstream(
            config, self.generation, self.environ, self.log, self.metrics
        )
        return made

    # Signals.

    def _on_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        actions: dict[str, Callable[[], object]] = {
            "SIGTERM": self.ended.set,
            "SIGINT": self.ended.set,
            "SIGBREAK": self.ended.set,
            "SIGHUP": self.reload,
        }
        for name, action in actions.items():
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                loop.add_signal_handler(number, action)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_, action=action: loop.call_soon_threadsafe(action))

    def reload(self) -> None:
        """Read config, tokens and log anew; with a mistake in one of them all stays as it was."""
        systemd.notify(self.environ, systemd.reloading())
        try:
            config = config_file.load(self.path, self.generation)
            policy = self._policy(config)
            scraper = self._metrics_token(config)
        except StrongroomError as error:
            text = error.text if isinstance(error, ConfigMistakes) else error.message
            self.log.error(f"Not reloaded, the former settings stay in force: {text}")
        else:
            self._apply(config, policy, scraper)
        systemd.notify(self.environ, systemd.READY)

    def _apply(self, config: Config, policy: Policy, scraper: bytes | None) -> None:
        had, self.config = self.config, config
        self.log.reopen(config.log_level)
        for key in _FIXED:
            if _value(had, key) != _value(config, key):
                self.log.warn(f"{key} takes effect at the next start")
        if any(_value(had, key) != _value(config, key) for key in _OF_UPSTREAM):
            self.upstream.close()
            self.upstream = self._upstream(config)
        self.service.reconfigure(config, self.upstream)
        self.app.reconfigure(config, policy, scraper)
        self.server.limits = _limits(config)
        self.log.info("Configuration reloaded")

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Something that nobody caught: its type and place are told, never its text, which may hold anything."""
        error = context.get("exception")
        self.log.error(f"Unexpected: {context.get('message')} ({type(error).__name__})")


# What a running program cannot change, and what the way to AWS depends on.
_FIXED = (
    "http_port",
    "log_to_file",
    "own.unix_socket",
    "own.unix_socket_mode",
    "own.unix_socket_owner",
    "enabled",
    "prefetch",
)
_OF_UPSTREAM = ("region", "credentials_file_path", "max_roles", "own.attempt_timeout_seconds")


def _value(config: Config, key: str) -> object:
    return functools.reduce(getattr, key.split("."), config)


def _limits(config: Config) -> Limits:
    return Limits(config.max_conn, config.own.header_timeout_seconds, config.own.idle_timeout_seconds)


def _log(config: Config, generation: Generation) -> Log:
    """The log, whose records wait for the banner.

    Raises:
        LogError: Its file cannot be written.
    """
    writer = open_writer(to_file=config.log_to_file, name=generation.log_name)
    log = Log(config.log_level, generation.log_target, writer)
    log.hold()
    kind = "File" if config.log_to_file else "Console"
    log.info(f"{kind} logger initialized with `{config.log_level.capitalize()}` log level.")
    return log


def _workload(generation: Generation) -> str:
    return "Secrets Manager workload" if generation.word == "sm" else "Agent"


def _shown(listening: socket.socket) -> str:
    name = listening.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}"
    return f"unix:{name}"


def _print(line: str) -> None:
    """To stdout, at once; whoever started us may have closed it."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        return None  # asyncio's own
    return factory


def _limit_resources(most_connections: int) -> None:
    """No core dumps, which would hold secrets; as many descriptors as connections may need."""
    if sys.platform == "win32":
        return
    resource = import_module("resource")
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = max(soft, min(MOST_DESCRIPTORS, most_connections * 4 + 1024))
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )
