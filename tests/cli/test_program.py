import asyncio
import contextlib
import itertools
import os
import runpy
import signal
import socket
import sys
import threading
import time

import pytest

import strongroom
from harness.agent import toml
from strongroom.agent.config import Config, Prefetch
from strongroom.agent.failure import Failure
from strongroom.agent.generations import GENERATIONS
from strongroom.agent.log import Log
from strongroom.agent.secret import Secret
from strongroom.cli import program
from strongroom.cli.program import NotAccepted, Program
from strongroom.serve import sockets, systemd

AGENT = GENERATIONS["agent"]
OUTAGE = Failure(502, "ConnectionError", "Read Error", kind="transient", reason="AWS is away", outage=True)
REFUSED = Failure(403, "InvalidClientTokenId", "no", kind="denied", reason="AWS refuses the key")
UNCHECKED = Config(http_port=0, validate_credentials=False)
CHECKED = Config(http_port=0)


class Lines:
    """A writer whose records can be read, without their times."""

    def __init__(self):
        self.lines = []
        self.reopened = 0

    def write(self, record):
        self.lines.append(record.decode().split(" ", 1)[1].replace("strongroom::agent - ", "").rstrip("\n"))
        return True

    def reopen(self):
        self.reopened += 1

    def close(self):
        pass


class Aws:
    """AWS: *identities* are what the attempts at the credentials bring, None for success; the last one stays."""

    region = "eu-west-1"

    def __init__(self, *identities, has_credentials=True, load=None):
        self.identities = list(identities) or [None]
        self.tried = 0
        self.closed = 0
        self.credentials = has_credentials
        self.loading = load
        self.configs = []

    def __call__(self, config, generation, environ, log, metrics):
        self.configs.append(config)
        return self

    def identity(self):
        self.tried += 1
        found = self.identities.pop(0) if len(self.identities) > 1 else self.identities[0]
        if callable(found):
            found = found()
        if found is not None:
            raise found
        return "111122223333"

    def has_credentials(self):
        return self.credentials

    def load(self):
        if self.loading is not None:
            raise self.loading

    def close(self):
        self.closed += 1


class Run:
    """One program in this process."""

    def __init__(self, patch, config, aws, *, path=None, environ=None, generation=AGENT):
        patch.setattr("strongroom.agent.upstream.Upstream", aws)
        patch.setattr("gc.freeze", lambda: None)  # these tests go on
        self.told = []  # to the service manager
        patch.setattr(systemd, "notify", lambda _environ, state: self.told.append(state.splitlines()[0]))
        self.aws = aws
        self.writer = Lines()
        self.log = Log("debug", generation.log_target, self.writer)
        self.log.hold()
        self.announced = []
        self.environ = {"AWS_TOKEN": "t"} | (environ or {})
        self.program = Program(generation, path, config, self.environ, self.log)

    def serve(self, while_it_runs):
        """Serve, until what is called then has returned."""

        async def live():
            bound = sockets.loopback(0)
            try:
                serving = asyncio.ensure_future(self.program.serve(bound, self.announced.append))
                await until(lambda: systemd.READY in self.told or serving.done())
                if not serving.done():
                    await while_it_runs()
                    self.program.ended.set()
                await serving
            finally:
                for each in bound:
                    each.close()

        asyncio.run(live())

    @property
    def lines(self):
        return self.writer.lines


async def settled():
    """Nothing is to be waited for."""


async def until(is_so):
    """Turn the loop until something is so."""
    async with asyncio.timeout(20):
        for _ in itertools.repeat(None):
            if is_so():
                return
            await asyncio.sleep(0)


@pytest.fixture
def run(monkeypatch):
    return lambda *words, **settings: Run(monkeypatch, *words, **settings)


# The start.


def test_what_is_said(run):
    """The banner first; then the records that waited for it, warnings of the config, further sockets, the banner again."""
    made = run(Config(http_port=0, validate_credentials=False, warnings=("old form",)), Aws())
    made.log.info("before")
    made.serve(settled)
    (banner,) = made.announced
    assert banner.startswith(f"Agent/{strongroom.__version__} listening on http://127.0.0.1:")
    port = banner.rpartition(":")[2]
    further = [f"DEBUG Also listening on http://[::1]:{port}"] if len(made.lines) > 4 else []
    assert made.lines == [
        "INFO before", "WARN old form", *further, f"INFO {banner}", "INFO Secrets Manager workload shutting down",
    ]  # fmt: skip
    assert made.aws.closed == 1


def test_credentials_that_are_good(run):
    """They are tried once, and then we are ready."""
    made = run(CHECKED, Aws())

    async def look():
        assert made.program.app.waiting_for == {}

    made.serve(look)
    assert made.aws.tried == 1


@pytest.mark.parametrize(
    ("config", "failure", "message"),
    [
        (CHECKED, REFUSED, "AWS refuses the key"),
        (CHECKED, Failure(400, "Throttling", "", kind="transient"), "Throttling"),
        (Config(http_port=0, ignore_transient_errors=False), OUTAGE, "AWS is away"),
    ],
    ids=["refused", "throttled", "outage"],
)
def test_credentials_that_are_not(run, config, failure, message):
    """Nothing is announced, and the reason is told; what was begun is closed."""
    made = run(config, Aws(failure))
    with pytest.raises(NotAccepted) as raised:
        made.serve(settled)
    assert raised.value.message == message
    assert raised.value.hint == "check credentials and region; validate_credentials = false starts without asking AWS"
    assert (made.announced, made.aws.closed, made.aws.tried) == ([], 1, 1)


def test_an_outage_at_the_start(run, monkeypatch):
    """Is told; the credentials are tried again after pauses that grow, until AWS has taken them."""
    pauses = []
    sleep = asyncio.sleep

    async def short(seconds):
        if seconds:
            pauses.append(seconds)
        await sleep(0)

    made = run(CHECKED, Aws(*[OUTAGE] * 9, None))

    async def look():
        assert list(made.program.app.waiting_for) == ["credentials"]
        monkeypatch.setattr(asyncio, "sleep", short)
        await until(lambda: not made.program.app.waiting_for)

    made.serve(look)
    assert pauses == [2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert made.lines.count("WARN The credentials could not be tried: AWS is away") == 9


def test_an_end_while_aws_is_asked(run):
    """Is no failure, and does not wait for AWS."""
    begun, answer = threading.Event(), threading.Event()

    def hang():
        begun.set()
        assert answer.wait(20)

    made = run(CHECKED, Aws(hang))

    async def live():
        bound = sockets.loopback(0)
        serving = asyncio.ensure_future(made.program.serve(bound, made.announced.append))
        await until(begun.is_set)
        made.program.ended.set()
        await serving
        answer.set()
        for each in bound:
            each.close()

    asyncio.run(live())
    assert (made.announced, made.aws.closed) == ([], 1)


def test_a_home_that_is_not_known(run):
    """Without a region nothing is told to the cache about ours."""
    aws = Aws()
    aws.region = None
    made = run(CHECKED, aws)

    async def look():
        assert made.program.app.waiting_for == {}

    made.serve(look)


@pytest.mark.parametrize("has_credentials", [True, False])
def test_readiness_without_a_check(run, has_credentials):
    """Credentials that are there suffice then; AWS is not asked."""
    made = run(UNCHECKED, Aws(has_credentials=has_credentials))
    done = threading.Event()
    collect = made.program._load

    def load():
        collect()
        done.set()

    made.program._load = load

    async def look():
        await until(done.is_set)
        assert bool(made.program.app.waiting_for) is not has_credentials

    made.serve(look)
    assert made.aws.tried == 0


def test_credentials_that_come_later(run, monkeypatch):
    """Without a check, too, they are looked for until they are there; that they are not is nothing to be told."""
    made = run(UNCHECKED, Aws(has_credentials=False))
    looked = made.aws.has_credentials
    times = itertools.count(1)
    monkeypatch.setattr(program, "FIRST_TRY_SECONDS", 0)
    made.aws.has_credentials = lambda: next(times) > 3 or looked()

    async def look():
        await until(lambda: not made.program.app.waiting_for)

    made.serve(look)
    assert [line for line in made.lines if line.startswith("WARN")] == []


# In the background.


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (OUTAGE, "WARN AWS cannot be asked yet: AWS is away"),
        (Failure(500, "InternalFailure", "", kind="other"), "WARN AWS cannot be asked yet: InternalFailure"),
        (RuntimeError("secret"), "ERROR Unexpected in the background: RuntimeError"),
    ],
    ids=["outage", "without-reason", "mistake"],
)
def test_loading_that_fails(run, failure, line):
    """Is told, the first request tries again; of a mistake of ours only its type."""
    made = run(UNCHECKED, Aws(load=failure))

    async def look():
        await until(lambda: line in made.lines)

    made.serve(look)
    assert "secret" not in str(made.lines)


PREFETCHING = Config(http_port=0, validate_credentials=False, prefetch=Prefetch(secrets=(("a", None), ("b", "role"))))


def test_secrets_fetched_ahead(run, monkeypatch):
    """They are kept as what was asked for, or by their name; until then we are not ready."""
    kept = []
    watched = threading.Event()

    def fetch(config, upstream, keep, log, sleep, random):
        assert watched.wait(20)
        assert "prefetch" in made.program.app.waiting_for
        keep(None, "a", Secret("arn:a", "a", "V1", "x", None, (), "1"))
        keep("role", None, Secret("arn:b", "b", "V1", "x", None, (), "1"))
        keep(None, None, Secret("arn:c", None, "V1", "x", None, (), "1"))

    monkeypatch.setattr("strongroom.agent.prefetch.run", fetch)
    made = run(PREFETCHING, Aws())

    async def look():
        monkeypatch.setattr(
            made.program.service, "keep", lambda ask, secret, order: kept.append((ask.role_arn, ask.id, order))
        )
        watched.set()
        await until(lambda: len(kept) == 3)
        await until(lambda: not made.program.app.waiting_for)

    made.serve(look)
    assert kept == [(None, "a", 0), ("role", "b", 0), (None, "arn:c", 0)]


def test_a_mistake_in_fetching_ahead(run, monkeypatch):
    """Does not keep us from being ready."""

    def fetch(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr("strongroom.agent.prefetch.run", fetch)
    made = run(PREFETCHING, Aws())

    async def look():
        await until(lambda: "ERROR Unexpected in the background: RuntimeError" in made.lines)
        assert made.program.app.waiting_for == {}

    made.serve(look)


def test_a_secret_that_comes_too_late(run):
    """After the end nobody keeps it, and nothing is said."""
    made = run(UNCHECKED, Aws())
    made.serve(settled)
    made.program._keep(None, "a", Secret("arn:a", "a", "V1", "x", None, (), "1"))
    assert made.lines[-1] == "INFO Secrets Manager workload shutting down"


def test_what_nobody_caught(run):
    """Its message and its type are told, never its text."""
    made = run(UNCHECKED, Aws())

    async def look():
        loop = asyncio.get_running_loop()
        loop.call_exception_handler({"message": "A request was not answered", "exception": ValueError("secret")})
        loop.call_exception_handler({"message": "Odd"})

    made.serve(look)
    assert "ERROR Unexpected: A request was not answered (ValueError)" in made.lines
    assert "ERROR Unexpected: Odd (NoneType)" in made.lines


# The end.


def test_an_answer_that_never_comes(run, monkeypatch):
    """Is waited for for a bounded time."""
    monkeypatch.setattr(program, "DRAIN_SECONDS", 0.01)
    made = run(UNCHECKED, Aws())
    begun, answer = threading.Event(), threading.Event()

    def hang(*_):
        begun.set()
        answer.wait(20)
        raise OUTAGE

    made.aws.secret = hang

    async def look():
        port = int(made.announced[0].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v1/x HTTP/1.1\r\nHost: localhost\r\nX-Aws-Parameters-Secrets-Token: t\r\n\r\n")
        await until(begun.is_set)
        made.program.ended.set()
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        answer.set()

    made.serve(look)
    assert made.aws.closed == 1


# Signals.


class WindowsLoop:
    """A loop that knows no signals."""

    def __init__(self):
        self.soon = []

    def add_signal_handler(self, number, action):
        raise NotImplementedError

    def call_soon_threadsafe(self, action):
        self.soon.append(action)


def test_signals_of_windows(run, monkeypatch):
    """There the interpreter's own handlers pass them on to the loop; what it does not have is left out."""
    handlers = {}
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    monkeypatch.setattr(signal, "SIGBREAK", 21, raising=False)
    made = run(UNCHECKED, Aws())
    loop = made.program.loop = WindowsLoop()
    end, reload = object(), object()
    made.program._on_signals({"SIGINT": end, "SIGBREAK": end, "SIGUNHEARDOF": reload})
    assert set(handlers) == {signal.SIGINT, 21}
    for number, handler in handlers.items():
        handler(number, None)
    assert loop.soon == [end, end]


@pytest.fixture
def _survives():
    """A hang-up that nobody waits for would end these tests."""
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
@pytest.mark.usefixtures("_survives")
def test_a_hang_up_before_we_serve(run):
    """Is not forgotten: the reload comes once we do."""
    made = run(CHECKED, Aws(lambda: os.kill(os.getpid(), signal.SIGHUP)))

    async def look():
        await until(lambda: "INFO Configuration reloaded" in made.lines)

    made.serve(look)
    assert made.writer.reopened == 1


# Reloads.


@pytest.fixture
def reloading(run, tmp_path):
    """A program whose config file is there; write to it, and reload."""
    path = tmp_path / "config.toml"

    def start(generation=AGENT, **settings):
        path.write_text(toml({"http_port": 0, "validate_credentials": False} | settings))
        config = program.config_file.load(str(path), generation)
        made = run(config, Aws(), path=str(path), generation=generation)
        made.file = path
        return made

    return start


def test_the_same_again(reloading):
    """Nothing is made anew but the log's file; the service manager is told of both ends."""
    made = reloading()

    async def look():
        policy = made.program.app.policy
        made.program.reload()
        assert made.program.app.policy is not policy

    made.serve(look)
    assert made.told == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    assert made.lines[-2] == "INFO Configuration reloaded"
    assert (made.writer.reopened, len(made.aws.configs), made.aws.closed) == (1, 1, 1)


@pytest.mark.parametrize(
    "changed",
    [
        {"region": "eu-west-2"}, {"credentials_file_path": "/none"},
        {"own": {"attempt_timeout_seconds": 1}}, {"max_roles": 3},
    ],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_another_way_to_aws(reloading, changed):
    """What the way depends on makes it anew, and closes the old one."""
    made = reloading()

    async def look():
        made.file.write_text(toml({"http_port": 0, "validate_credentials": False} | changed))
        made.program.reload()
        assert made.aws.closed == 1
        assert made.program.service.upstream is made.program.upstream

    made.serve(look)
    assert len(made.aws.configs) == 2
    assert made.aws.configs[1] is made.program.config


def test_what_waits_for_the_next_start(reloading):
    """Each is warned about by its name in the file."""
    made = reloading()

    async def look():
        changed = {"http_port": 1025, "log_to_file": False, "max_conn": 7, "own": {"unix_socket": "s"}}
        made.file.write_text(toml({"validate_credentials": False} | changed))
        made.program.reload()
        assert made.program.server.limits.connections == 7

    made.serve(look)
    warnings = [line.removeprefix("WARN ") for line in made.lines if line.startswith("WARN ")]
    assert warnings == [f"{key} takes effect at the next start" for key in ("http_port", "log_to_file", "unix_socket")]


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda made: made.file.write_text("ttl_seconds = -1\ncache_size = 0\n"), "The TTL in seconds specified"),
        (lambda made: made.environ.pop("AWS_TOKEN"), "Could not read SSRF token variable(s)"),
        (lambda made: made.file.write_text(toml({"own": {"metrics_token_file": "/none"}})), "No such file"),
    ],
    ids=["config", "token", "metrics-token"],
)
def test_a_reload_that_fails(reloading, break_it, reason):
    """Changes nothing, and tells why on one line."""
    made = reloading()

    async def look():
        had = (made.program.config, made.program.app.policy, made.program.upstream)
        break_it(made)
        made.program.reload()
        assert (made.program.config, made.program.app.policy, made.program.upstream) == had

    made.serve(look)
    (line,) = [line for line in made.lines if line.startswith("ERROR ")]
    assert line.startswith(f"ERROR Not reloaded, the former settings stay in force: {reason}")
    assert made.told[:3] == ["READY=1", "RELOADING=1", "READY=1"]
    assert made.writer.reopened == 0


def test_warnings(reloading):
    """What is still understood is warned of at each reload."""
    made = reloading(GENERATIONS["sm"])

    async def look():
        made.program.reload()

    made.serve(look)
    assert sum("the flat form of the configuration file is deprecated" in line for line in made.lines) == 2


def test_metrics_have_a_token_of_their_own(run, tmp_path):
    """It is read when the program is made."""
    (tmp_path / "token").write_text("for metrics\n")
    path = tmp_path / "config.toml"
    path.write_text(toml({"own": {"metrics_token_file": tmp_path / "token"}}))
    made = run(program.config_file.load(str(path), AGENT), Aws())
    assert made.program.metrics_token == b"for metrics"


def test_the_clock_of_other_systems(monkeypatch):
    """Is the monotonic one."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert runpy.run_path(program.__file__)["clock"] is time.monotonic


@pytest.mark.skipif(sys.platform == "win32", reason="Python knows no Unix sockets of Windows")
def test_how_sockets_are_shown(tmp_path, monkeypatch):
    """By the URL, or as the path of a Unix socket."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("s")
        assert program._shown(bound) == "unix:s"
