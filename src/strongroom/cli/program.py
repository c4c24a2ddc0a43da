"""The agent in its event loop: what is made of a config, in which order it starts, and how signals reach it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING, Any

import strongroom
from strongroom.agent import config_file, token
from strongroom.agent.app import App
from strongroom.agent.cache import Ask, Cache
from strongroom.agent.config_file import ConfigMistakes
from strongroom.agent.failure import Failure
from strongroom.agent.metrics import Metrics
from strongroom.agent.policy import Policy
from strongroom.agent.service import Service
from strongroom.errors import CredentialsError, StrongroomError
from strongroom.serve import systemd
from strongroom.serve.listener import Limits, Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from strongroom.agent.config import Config
    from strongroom.agent.generations import Generation
    from strongroom.agent.log import Log
    from strongroom.agent.secret import Secret
    from strongroom.agent.upstream import Upstream

# One for each call to AWS in flight; they are made when they are needed, and a hung one holds no other up.
THREADS = 256
# What is in hand when we are told to end may still be answered; whoever started us kills us after ten.
DRAIN_SECONDS = 5.0
# Between attempts to try the credentials when they could not be tried at start.
FIRST_TRY_SECONDS, LAST_TRY_SECONDS = 2.0, 60.0

# What a running program cannot change, and what the way to AWS depends on.
_FIXED = (
    "enabled",
    "http_port",
    "log_to_file",
    "own.unix_socket",
    "own.unix_socket_mode",
    "own.unix_socket_owner",
    "prefetch",
)
_OF_UPSTREAM = ("region", "credentials_file_path", "max_roles", "own.attempt_timeout_seconds")

if sys.platform == "linux":
    # Secrets grow old while the machine sleeps, too.
    clock: Callable[[], float] = functools.partial(time.clock_gettime, time.CLOCK_BOOTTIME)
else:
    clock = time.monotonic


class NotAccepted(CredentialsError):
    """AWS does not take the agent's own credentials, or there are none."""


class Program:
    """The agent.

    Args:
        generation: Which original it stands in for.
        path: The config file, or None.
        config: What is in it.
        environ: The environment.
        log: The log, which is held until we listen.

    Raises:
        StrongroomError: There is no token, or a client's cannot be had.
    """

    def __init__(
        self, generation: Generation, path: str | None, config: Config, environ: Mapping[str, str], log: Log
    ) -> None:
        self.generation = generation
        self.path = path
        self.config = config
        self.environ = environ
        self.log = log
        self.metrics = Metrics()
        self.policy, self.metrics_token = self._tokens(config)

    async def serve(self, bound: list[socket.socket], announce: Callable[[str], None]) -> None:
        """Serve until a signal ends us.

        Args:
            bound: Sockets that listen already, so that clients that are early wait.
            announce: Is told the line that says that we listen.

        Raises:
            NotAccepted: AWS does not take our credentials.
        """
        self.loop = asyncio.get_running_loop()
        self.loop.set_exception_handler(self._unexpected)
        self.ended = asyncio.Event()
        hung_up = asyncio.Event()  # before we can do anything about it, and it would end us
        end = self.ended.set
        self._on_signals({"SIGTERM": end, "SIGINT": end, "SIGBREAK": end, "SIGHUP": hung_up.set})
        self.executor = ThreadPoolExecutor(THREADS, "aws")
        try:
            self._assemble()
            if self._must_check(self.config) and not await self._checked():
                return
            self._announce(bound, announce)
            await self.server.listen(bound)
            self._on_signals({"SIGHUP": self.reload})
            systemd.notify(self.environ, systemd.READY)
            if hung_up.is_set():
                self.reload()
            self._in_background(self._load)
            trying = self.loop.create_task(self._try_credentials())
            await self.ended.wait()
            trying.cancel()
            systemd.notify(self.environ, systemd.STOPPING)
            self.log.info("Secrets Manager workload shutting down")
            await self.server.drain(DRAIN_SECONDS)
        finally:
            self.upstream.close()
            self.executor.shutdown(wait=False, cancel_futures=True)

    def _assemble(self) -> None:
        config = self.config
        self.upstream = self._upstream(config)
        self.service = Service(
            config=config,
            cache=Cache(config.cache_size, config.own.max_bytes),
            upstream=self.upstream,
            executor=self.executor,
            loop=self.loop,
            clock=clock,
            random=random.random,
            log=self.log,
            metrics=self.metrics,
        )
        self.app = App(
            config=config,
            generation=self.generation,
            policy=self.policy,
            metrics_token=self.metrics_token,
            service=self.service,
            log=self.log,
            metrics=self.metrics,
        )
        self.server = Server(self.app, _limits(config), self.loop)
        self.app.connections = lambda: len(self.server.connections)
        self.app.waiting_for["credentials"] = "the credentials have not been seen good yet"
        if config.prefetch.secrets or config.prefetch.filter_tags:
            self.app.waiting_for["prefetch"] = "the secrets to fetch at start are not all here yet"

    def _upstream(self, config: Config) -> Upstream:
        # Imported here: it is not needed before AWS is.
        made: Upstream = import_module("strongroom.agent.upstream").Upstream(
            config, self.generation, self.environ, self.log, self.metrics
        )
        return made

    def _tokens(self, config: Config) -> tuple[Policy, bytes | None]:
        main = token.read(config.ssrf_env_variables, self.environ, self.log.warn)
        policy = Policy(config, main, lambda path: token.from_file(path, self.log.warn))
        path = config.own.metrics_token_file
        return policy, None if path is None else token.from_file(path, self.log.warn)

    # At the start.

    def _must_check(self, config: Config) -> bool:
        """Whether AWS is asked at start; a credentials file need not hold good ones yet."""
        return config.validate_credentials and not config.credentials_file_path

    async def _checked(self) -> bool:
        """Whether we may start; False if we are told to end meanwhile.

        Raises:
            NotAccepted: AWS does not take our credentials, or there are none.
        """
        asked = asyncio.ensure_future(self.loop.run_in_executor(self.executor, self._tried))
        ending = asyncio.ensure_future(self.ended.wait())
        waiting: list[asyncio.Future[Any]] = [asked, ending]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not asked.done():
            return False
        failure = asked.result()
        if failure is None:
            return True
        if not (self.config.ignore_transient_errors and failure.outage):
            raise NotAccepted(
                failure.reason or failure.code,
                "check credentials and region; validate_credentials = false starts without asking AWS",
            )
        self.log.warn(f"The credentials could not be tried: {failure.reason}")
        return True

    def _announce(self, bound: list[socket.socket], announce: Callable[[str], None]) -> None:
        banner = f"{self.generation.banner}/{strongroom.__version__} listening on {_shown(bound[0])}"
        announce(banner)
        self.log.release()
        for warning in self.config.warnings:
            self.log.warn(warning)
        for further in bound[1:]:
            self.log.debug(f"Also listening on {_shown(further)}")
        self.log.info(banner)

    async def _try_credentials(self) -> None:
        """Until AWS has taken the credentials, or a file has brought some: look again."""
        pause = FIRST_TRY_SECONDS
        while "credentials" in self.app.waiting_for:
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_TRY_SECONDS)
            failure = await self.loop.run_in_executor(self.executor, self._tried)
            if failure is not None:
                self.log.warn(f"The credentials could not be tried: {failure.reason}")

    # In worker threads.

    def _in_background(self, work: Callable[[], None]) -> None:
        self.loop.run_in_executor(self.executor, work).add_done_callback(self._told)

    def _told(self, done: asyncio.Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self.log.error(f"Unexpected in the background: {type(error).__name__}")

    def _tried(self) -> Failure | None:
        """Try the credentials; why they could not be tried, or are not good."""
        try:
            if self._must_check(self.config):
                account = self.upstream.identity()
                if self.upstream.region:
                    self.loop.call_soon_threadsafe(self.service.cache.home, None, account, self.upstream.region)
            elif not self.upstream.has_credentials():
                return None
        except Failure as failure:
            return failure
        self.app.waiting_for.pop("credentials", None)
        return None

    def _load(self) -> None:
        """What the first miss would wait for; then what is to be fetched at start."""
        try:
            self.upstream.load()
            if not self._must_check(self.config):
                self._tried()
        except Failure as failure:
            self.log.warn(f"AWS cannot be asked yet: {failure.reason or failure.code}")
        gc.collect()
        gc.freeze()  # what was loaded stays: later collections need not walk through it
        if "prefetch" in self.app.waiting_for:
            try:
                import_module("strongroom.agent.prefetch").run(
                    self.config, self.upstream, self._keep, self.log, time.sleep, random.random
                )
            finally:
                self.app.waiting_for.pop("prefetch", None)

    def _keep(self, role_arn: str | None, asked: str | None, secret: Secret) -> None:
        """Hand a secret that was fetched ahead to the loop."""
        ask = Ask("secret", role_arn, asked or secret.name or secret.arn or "")
        with contextlib.suppress(RuntimeError):  # the loop is closed: we are ending
            self.loop.call_soon_threadsafe(self.service.keep, ask, secret, 0)

    # Signals, and what nobody caught.

    def _on_signals(self, actions: Mapping[str, Callable[[], object]]) -> None:
        for name, action in actions.items():
            number = getattr(signal, name, None)
            if number is None:
                continue
            try:
                self.loop.add_signal_handler(number, action)
            except NotImplementedError:  # Windows
                signal.signal(number, lambda *_, action=action: self.loop.call_soon_threadsafe(action))

    def reload(self) -> None:
        """Read config, tokens and log anew; with a mistake in one of them all stays as it was."""
        systemd.notify(self.environ, systemd.reloading())
        try:
            config = config_file.load(self.path, self.generation)
            policy, metrics_token = self._tokens(config)
        except StrongroomError as error:
            text = error.text if isinstance(error, ConfigMistakes) else error.message
            self.log.error(f"Not reloaded, the former settings stay in force: {text.rstrip()}")
        else:
            self._apply(config, policy, metrics_token)
        systemd.notify(self.environ, systemd.READY)

    def _apply(self, config: Config, policy: Policy, metrics_token: bytes | None) -> None:
        had, self.config = self.config, config
        self.log.reopen(config.log_level)
        for key in _FIXED:
            if _value(had, key) != _value(config, key):
                self.log.warn(f"{key.removeprefix('own.')} takes effect at the next start")
        if any(_value(had, key) != _value(config, key) for key in _OF_UPSTREAM):
            self.upstream.close()
            self.upstream = self._upstream(config)
        self.service.reconfigure(config, self.upstream)
        self.app.reconfigure(config, policy, metrics_token)
        self.server.limits = _limits(config)
        for warning in config.warnings:
            self.log.warn(warning)
        self.log.info("Configuration reloaded")

    def _unexpected(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """Its type and place are told, never its text, which may hold anything."""
        self.log.error(f"Unexpected: {context.get('message')} ({type(context.get('exception')).__name__})")


def _value(config: Config, key: str) -> object:
    return functools.reduce(getattr, key.split("."), config)


def _limits(config: Config) -> Limits:
    return Limits(config.max_conn, config.own.header_timeout_seconds, config.own.idle_timeout_seconds)


def _shown(listening: socket.socket) -> str:
    name = listening.getsockname()
    if isinstance(name, tuple):
        host = f"[{name[0]}]" if ":" in name[0] else name[0]
        return f"http://{host}:{name[1]}"
    return f"unix:{name}"
