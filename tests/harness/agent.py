"""The agent as a child process, and a plain socket client that shows it whatever bytes a test wants.

::

    with Agent(tmp_path, secrets, ttl_seconds=1) as agent:
        assert agent.get("app/db").json()["SecretString"] == "hunter2"
"""

import contextlib
import http.client
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from harness.home import MACHINE, Result, decode, kill_all

TOKEN = "test-token-123"
HEADER = "X-Aws-Parameters-Secrets-Token"
PATIENCE_SECONDS = 20  # bounds what a failing test can cost; a working agent needs none of it
BANNER = re.compile(r"(Agent|Secrets Manager Provider)/\S+ listening on http://127\.0\.0\.1:(\d+)\n")
COMMANDS = {"agent": ("agent",), "sm": ("sm", "start")}


@dataclass
class Reply:
    """One response, as it came. Header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes
    version: int = 11

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    @property
    def value(self) -> str:
        """The SecretString of an answer, which must be one."""
        assert self.status == 200, self
        return self.json()["SecretString"]

    @property
    def short(self) -> tuple[int, str]:
        """What most tests compare."""
        return self.status, self.text


class Wire:
    """One connection to the agent."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket = connection
        self.socket.settimeout(PATIENCE_SECONDS)
        self._file = connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc) -> None:
        self._file.close()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def get(self, target: str, *headers: str, method: str = "GET") -> None:
        """Send a request for *target*, with the token if *headers* are none."""
        self.send(head(target, *(headers or (f"{HEADER}: {TOKEN}",)), method=method))

    def reply(self, method: str = "GET") -> Reply:
        """Read one response."""
        response = http.client.HTTPResponse(_Borrowed(self._file), method=method)
        response.begin()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, headers, response.read(), response.version)

    def is_ended(self) -> bool:
        """Wait for more; whether the agent has closed instead."""
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True


class _Borrowed:
    """A file that a response may read from, and not close."""

    def __init__(self, file) -> None:
        self._file = file

    def makefile(self, _mode: str):
        return self

    def __getattr__(self, name: str):
        return getattr(self._file, name)

    def close(self) -> None:
        pass


class Agent:
    """The program, started with a config file of its own.

    Args:
        directory: Where it runs; its home, config and logs are there.
        secrets: The AWS it talks to; None leaves it without.
        word: ``agent`` or ``sm``: which original it stands in for.
        env: Variables besides, or instead of, the usual ones; None unsets one.
        text: The config file, word for word, in place of *settings*. It should say ``http_port = 0``.
        config: The config file's name.
        argv: More words.
        closes_stdout: Whether its stdout is closed once the banner is there, as whoever waits for that line may do.
        settings: Of the config file, flat. ``own`` is the table ``[strongroom]``.
    """

    def __init__(
        self,
        directory: Path,
        secrets=None,
        *,
        word: str = "agent",
        env: dict[str, str | None] | None = None,
        text: str | None = None,
        config: str = "config.toml",
        argv: tuple[str, ...] = (),
        closes_stdout: bool = False,
        **settings,
    ) -> None:
        self.directory = directory
        self.word = word
        self.config = directory / config
        self.config.write_text(text if text is not None else toml({"http_port": 0} | settings))
        self.environ = {name: os.environ[name] for name in MACHINE if name in os.environ}
        self.environ |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        self.environ |= {"HOME": str(directory), "AWS_EC2_METADATA_DISABLED": "true", "AWS_TOKEN": TOKEN}
        merged = self.environ | (secrets.environ if secrets is not None else {}) | (env or {})
        self.environ = {name: value for name, value in merged.items() if value is not None}
        self.port = 0
        self.banner = ""
        self._out = bytearray()
        self._err = directory / "stderr"
        with open(self._err, "wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "strongroom", *COMMANDS[word], "--config", str(self.config), *argv],
                env=self.environ, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr,
                start_new_session=True,
            )  # fmt: skip
        self._closes_stdout = closes_stdout
        self._drain: threading.Thread | None = None

    # Its life.

    def __enter__(self) -> Self:
        try:
            return self.ready()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, kind, *_exc) -> None:
        try:
            if kind is None:
                self.stop()
        finally:
            self.kill()

    def ready(self) -> "Agent":
        """Wait for the banner, which is the first line that it says on stdout."""
        end = time.monotonic() + PATIENCE_SECONDS
        while b"\n" not in self._out:
            assert select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))[0], "it says nothing"
            data = os.read(self.process.stdout.fileno(), 65536)
            assert data, f"it ended with {self.process.wait()}: {self.stderr}"
            self._out += data
        self.banner = decode(bytes(self._out)).splitlines(keepends=True)[0]
        match = BANNER.fullmatch(self.banner)
        assert match, f"the first line is {self.banner!r}"
        self.port = int(match[2])
        if self._closes_stdout:
            self.process.stdout.close()
        else:
            self._drain = threading.Thread(target=self._read, daemon=True)
            self._drain.start()
        return self

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := os.read(self.process.stdout.fileno(), 65536):
                self._out += data

    def ended(self) -> Result:
        """Wait for an end that comes by itself: a start that fails."""
        try:
            stdout, _ = self.process.communicate(timeout=PATIENCE_SECONDS)
        finally:
            self.kill()
        return Result(self.process.returncode, decode(stdout), self.stderr)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end; it must, and well, without a word of trouble."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS)
        assert status == 0 or sys.platform == "win32", f"it ended with {status}: {self.stderr}"
        assert "Traceback" not in self.stderr + self.stdout + self.log

    def kill(self) -> None:
        """End it without asking."""
        if self.process.poll() is None:
            kill_all(self.process)
            self.process.wait()
        if self._drain is not None:
            self._drain.join()
        self.process.stdout.close()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    # What it says.

    @property
    def stdout(self) -> str:
        return decode(bytes(self._out))

    @property
    def stderr(self) -> str:
        return decode(self._err.read_bytes())

    @property
    def log(self) -> str:
        """Its log file, if there is one."""
        name = {"agent": "secrets_manager_agent.log", "sm": "secrets_manager_provider.log"}[self.word]
        path = self.directory / "logs" / name
        return path.read_text() if path.exists() else ""

    def wait_for_log(self, text: str) -> None:
        """Wait until the log file has *text*."""
        eventually(lambda: text in self.log, f"{text!r} in {self.log!r}")

    # Asking it.

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wire(self, address: str = "127.0.0.1") -> Wire:
        """A connection of one's own."""
        return Wire(socket.create_connection((address, self.port), PATIENCE_SECONDS))

    def raw(self, data: bytes) -> bytes:
        """Send bytes, and read what comes until the agent closes: ask it to, or send what it closes upon."""
        with self.wire() as wire, contextlib.suppress(ConnectionResetError):
            wire.send(data)
            said = b""
            while more := wire.socket.recv(65536):
                said += more
        return said

    def request(
        self,
        method: str,
        target: str,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        *,
        token: str | None = TOKEN,
    ) -> Reply:
        """One request on a connection of its own; ``token=None`` sends none."""
        lines = [f"{name}: {value}" for name, value in (headers or {}).items()]
        if token is not None:
            lines.append(f"{HEADER}: {token}")
        if body:
            lines.append(f"Content-Length: {len(body)}")
        with self.wire() as wire:
            wire.send(head(target, *lines, "Connection: close", method=method) + body)
            return wire.reply(method)

    def fetch(self, target: str, *, token: str | None = TOKEN, **headers: str) -> Reply:
        """GET; underscores in the names of *headers* stand for hyphens."""
        return self.request(
            "GET", target, {name.replace("_", "-"): value for name, value in headers.items()}, token=token
        )

    def get(self, secret_id: str, *, token: str | None = TOKEN, **parameters: str) -> Reply:
        """Ask for a secret in the query style."""
        return self.fetch("/secretsmanager/get?" + urlencode({"secretId": secret_id} | parameters), token=token)

    def ping(self) -> Reply:
        return self.fetch("/ping", token=None)


def head(target: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request's head, with a Host unless *lines* have one."""
    hosts = () if any(line.lower().startswith("host:") for line in lines) else ("Host: localhost",)
    return "\r\n".join([f"{method} {target} HTTP/{version}", *hosts, *lines, "", ""]).encode()


def toml(settings: dict) -> str:
    """A config file; ``own`` becomes the table ``[strongroom]``."""
    return "".join(
        f"{ {'own': 'strongroom'}.get(name, name) } = {toml_value(value)}\n" for name, value in settings.items()
    )


def toml_value(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(name)} = {toml_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml_value, value)) + "]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def eventually(is_so: Callable[[], object], what: str = "it", seconds: float = PATIENCE_SECONDS):
    """Wait until something is so, which it must be in the end; returns it."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, f"not {what}"
        time.sleep(0.01)
    return found


def at_once(number: int, do: Callable[[int], object]) -> list:
    """What *do* returns for 0, 1, 2... done by as many threads."""
    found: list = [None] * number
    troubles = []
    together = threading.Barrier(number)

    def run(index: int) -> None:
        try:
            together.wait(PATIENCE_SECONDS)
            found[index] = do(index)
        except BaseException as trouble:
            troubles.append(trouble)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if troubles:
        raise troubles[0]
    return found
