"""What the servers of credentials cost: answers over kept connections against the least that the event loop can do, and
the memory of one that stays and does nothing."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import children
import driver
import vault
from driver import Heads
from handing_out import ROLE
from processes import resident

from agent import Limits, Row, Server, exactly, loop_name, print_rows, verdict
from fakes.cloud import Cloud

TOKEN = "t" * 40
LEAST = Limits(0.6)
# Half of it is the interpreter with botocore, which brings the credentials.
MEMORY_IDLE = 70e6
SETTLE_SECONDS = 1.0
CLIENT_LINES = ("User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1", "Accept: application/json")
ROLES = "/latest/meta-data/iam/security-credentials/"


@dataclass
class Results:
    """Everything that was measured."""

    rows: list[Row]
    memory: int | None


def measure(path: Path, rounds: int, seconds: int = 1) -> Results:
    """Measure everything.

    Args:
        path: An empty directory.
        rounds: How often each pair is compared.
        seconds: For how long each server is then asked.
    """
    with world() as rows:
        for _ in range(1 + rounds):
            for row in rows:
                row.run(seconds, path)
    for row in rows:
        del row.turns[0]  # to warm up
    return Results(rows, idle_memory(path))


def idle_memory(path: Path) -> int | None:
    """What ``serve`` has of the machine's memory, with one profile's credentials and nobody who asks; bytes."""
    with Cloud().serve() as cloud:
        home = vault.World(path, cloud).home("standing", 10)
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen([sys.executable, "-m", "strongroom", "serve", "deploy"], env=home.environ, **pipes)
        with process:
            try:
                if not process.stdout.readline():
                    raise SystemExit(f"serve ended with {process.wait()}")
                time.sleep(SETTLE_SECONDS)
                return resident(process.pid)
            finally:
                process.terminate()


@contextlib.contextmanager
def world() -> Iterator[list[Row]]:
    """A process that serves, floors for it, and what to compare."""
    # Those below our parent may ask: ourselves, and who drives it.
    task = {"root_pid": os.getppid(), "token": TOKEN}
    with children.child("handing_out.py", json.dumps(task) + "\n") as ports:
        ecs, ec2 = (Server(port, ports.pid) for port in ports)
        header = f"Authorization: {TOKEN}"
        metadata_token = f"X-aws-ec2-metadata-token: {given_token(ec2.port)}"
        asked = [
            (ecs, Heads(("/",), (header, *CLIENT_LINES))),
            (ecs, Heads((f"/role-arn/{ROLE}",), (header, *CLIENT_LINES))),
            (ec2, Heads((f"{ROLES}bench",), (metadata_token, *CLIENT_LINES))),
        ]
        with children.floor(*(fetch(server.port, heads) for server, heads in asked)) as floors:
            (_, base), (_, role), (_, instance) = asked
            of_base, of_role, of_instance = (Server(port, floors.pid) for port in floors)
            yield [
                Row("ECS, 1 connection", ecs, of_base, base, 1, LEAST),
                Row("ECS, 64 connections", ecs, of_base, base, 64, LEAST),
                Row("ECS, a role, 64 connections", ecs, of_role, role, 64, LEAST),
                Row("EC2, 1 connection", ec2, of_instance, instance, 1, LEAST),
                Row("EC2, 64 connections", ec2, of_instance, instance, 64, LEAST),
                Row(
                    "ECS, every head different, 64 connections",
                    ecs,
                    of_base,
                    Heads(base.targets, base.lines, traced=True),
                    64,
                ),
            ]


def given_token(port: int) -> str:
    """A token of the metadata service, for the whole of the run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "21600"})
        return connection.getresponse().read().decode()


def fetch(port: int, heads: Heads) -> bytes:
    """The whole response to the first head, as it comes once the credentials are there."""
    head = heads.all(port)[0].encode() + b"\r\n"
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head)
            response = exactly(connection)
        if not response.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"it answers {response!r}")
    return response


def print_table(results: Results) -> list[str]:
    """Print it; returns the names of the rows that miss their limits."""
    print(
        f"The servers of credentials, driven by {driver.name()}, the floor being {loop_name()} with a constant answer"
    )
    print(f"{len(results.rows[0].turns)} runs of each, in turn; x: median of the ratios to the floor of the same turn")
    print()
    missed = print_rows(results.rows)
    print()
    name = "memory, a standing server that idles"
    if results.memory is None:
        print(f"{name:50} not told by this system")
        return missed
    is_over = results.memory > MEMORY_IDLE
    print(f"{name:50}{results.memory / 1e6:6.1f} MB  {verdict(is_over)} {MEMORY_IDLE / 1e6:g} MB")
    return missed + [name] * is_over
