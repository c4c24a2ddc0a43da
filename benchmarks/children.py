"""Starts what the benchmarks need beside the program: processes that say their ports, and end when their stdin does."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import upstream

HERE = os.path.dirname(os.path.abspath(__file__))


class Ports(list[int]):
    """Where a child listens, and its process."""

    pid = 0


@contextlib.contextmanager
def child(script: str, said: str) -> Iterator[Ports]:
    """Start one, tell it *said*; gives the ports that it says."""
    with subprocess.Popen(
        [sys.executable, os.path.join(HERE, script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            process.stdin.write(said)
            process.stdin.flush()
            ports = Ports(map(int, process.stdout.readline().split()))
            ports.pid = process.pid
            if not ports:
                raise SystemExit(f"{script} ended with {process.wait()}")
            yield ports
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


class Aws:
    """The Secrets Manager of upstream.py, as the harness of the agent takes one."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.environ = upstream.KEY | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}

    def counts(self) -> dict[str, int]:
        """What it was asked for, and how often it failed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", "/counts")
            return json.loads(connection.getresponse().read())


@contextlib.contextmanager
def aws(plan: upstream.Plan) -> Iterator[Aws]:
    """Start one."""
    with child("upstream.py", upstream.as_line(plan)) as [port]:
        yield Aws(port)


@contextlib.contextmanager
def floor(*responses: bytes) -> Iterator[Ports]:
    """Start a server of constants; gives a port for each."""
    with child("floor.py", "".join(f"{response.hex()}\n" for response in responses) + "\n") as ports:
        yield ports
