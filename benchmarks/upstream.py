"""Secrets Manager as the benchmarks need it: a process that costs little, with secrets that nobody has to create.

Every name is a secret. ``NAME.BYTES`` has a value of that many bytes; any other's value says whose it is, and which
version. There may be a new version every few seconds, and calls may fail. What is what follows from the name and from
the clock alone, so that whoever knows `Plan` knows what is right at any time.

Started as a process of its own: it reads its plan from stdin, a line of JSON, says on which port it listens, and ends
with its stdin. ``GET /counts`` tells what it was asked for.
"""

import asyncio
import collections
import contextlib
import hashlib
import json
import sys
import threading
import time
from dataclasses import asdict, dataclass

ACCOUNT, REGION = "123456789012", "us-east-1"
ARN = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:"
SUFFIX = "-AbCdEf"
KEY = {"AWS_ACCESS_KEY_ID": "AKIABENCHMARK0000000", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_REGION": REGION}
UNKNOWN = "unknown"  # names that begin like this are no secrets
JSON = "application/x-amz-json-1.1"
IDENTITY = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
    f"<Arn>arn:aws:iam::{ACCOUNT}:user/bench</Arn><UserId>AIDABENCH</UserId><Account>{ACCOUNT}</Account>"
    "</GetCallerIdentityResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
)
# How a call fails: as an outage, as too much asked, as a connection cut, as an answer that comes too late.
MODES = ("error", "throttle", "cut", "delay")


@dataclass(frozen=True)
class Plan:
    """What happens when.

    Attributes:
        began: The reading of `time.monotonic` at which each secret has its first version.
        period: Seconds between two versions of a secret; 0: it has one.
        failing: Which part of the time a secret cannot be had, 0 to 1; in another way each time.
        spell: Seconds for which it then cannot, or can.
        delay: Seconds by which an answer comes late in the mode of that name.
        late: Seconds by which every seventh good answer comes late; what it says was decided before.
    """

    began: float
    period: float = 0.0
    failing: float = 0.0
    spell: float = 1.0
    delay: float = 0.0
    late: float = 0.0

    def version(self, name: str, now: float) -> int:
        """The number of the current version."""
        if not self.period:
            return 1
        return 2 + int((now - self.began) / self.period + _share("phase", name))

    def mode(self, name: str, now: float) -> str | None:
        """How calls for a secret fail at the moment; None: they do not."""
        number = int((now - self.began) / self.spell + _share("spell", name))
        if number < 1 or _share("fails", name, number) >= self.failing:
            return None
        return MODES[int(_share("mode", name, number) * len(MODES))]


def _share(*words) -> float:
    """A number below 1 that these words have."""
    return int.from_bytes(hashlib.blake2s(" ".join(map(str, words)).encode(), digest_size=4).digest()) / 2**32


def version_id(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012}"


def secret_string(name: str, number: int) -> str:
    """What a version says."""
    _, dot, size = name.rpartition(".")
    return "x" * int(size) if dot else json.dumps({"name": name, "version": number})


def name_of(secret_id: str) -> str:
    """The name behind a name, an ARN, or an ARN without the suffix that AWS adds."""
    return secret_id.removeprefix(ARN).removesuffix(SUFFIX)


class Refusal(Exception):
    """AWS says no: a status, a code, a message."""


class Upstream:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.counts = collections.Counter()

    async def converse(self, reader, writer) -> None:
        """Answer whatever comes on a connection."""
        ends = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        with contextlib.suppress(*ends), contextlib.closing(writer):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                fields = {
                    name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))
                }
                body = await reader.readexactly(int(fields.get("content-length", 0)))
                answer = await self.answer(head.split()[0], fields.get("x-amz-target", ""), body)
                if answer is None:
                    return
                status, kind, text = answer
                data = text.encode()
                head = f"HTTP/1.1 {status} _\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n"
                writer.write(head.encode() + data)

    async def answer(self, method: str, target: str, body: bytes) -> tuple[int, str, str] | None:
        """Status, content type and body; None cuts the connection."""
        if method == "GET":
            return 200, "application/json", json.dumps(self.counts)
        if not target:
            self.counts["GetCallerIdentity"] += 1
            return 200, "text/xml", IDENTITY
        try:
            return 200, JSON, json.dumps(await self.secret(target.partition(".")[2], json.loads(body)))
        except ConnectionAbortedError:
            return None
        except Refusal as refusal:
            status, code, message = refusal.args
            return status, JSON, json.dumps({"__type": code, "message": message})

    async def secret(self, operation: str, asked: dict) -> dict:
        self.counts[operation] += 1
        if operation != "GetSecretValue":
            raise Refusal(400, "UnknownOperationException", operation)
        name, now = name_of(asked["SecretId"]), time.monotonic()
        mode = self.plan.mode(name, now)
        if mode is not None:
            self.counts[mode] += 1
            if mode == "cut":
                raise ConnectionAbortedError
            if mode == "error":
                raise Refusal(500, "InternalServiceError", "An error occurred on the server side.")
            if mode == "throttle":
                raise Refusal(400, "ThrottlingException", "Rate exceeded")
        if name.startswith(UNKNOWN):
            raise Refusal(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        found = self.version(name, now, asked)
        if mode == "delay":
            await asyncio.sleep(self.plan.delay)
        elif self.plan.late and self.counts[operation] % 7 == 0:
            await asyncio.sleep(self.plan.late)
        return found

    def version(self, name: str, now: float, asked: dict) -> dict:
        current = self.plan.version(name, now)
        stages = {current: "AWSCURRENT", current - 1: "AWSPREVIOUS"}
        if "VersionId" in asked:
            number = int(asked["VersionId"].rpartition("-")[2])
        else:
            number = current - ("AWSCURRENT", "AWSPREVIOUS").index(asked.get("VersionStage", "AWSCURRENT"))
        if not 0 < number <= current:
            raise Refusal(400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret value.")
        return {
            "ARN": f"{ARN}{name}{SUFFIX}",
            "Name": name,
            "VersionId": version_id(number),
            "SecretString": secret_string(name, number),
            "VersionStages": [stages[number]] if number in stages else [],
            "CreatedDate": 1569534789.046,
        }


async def serve(plan: Plan) -> None:
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait() -> None:
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    server = await asyncio.start_server(Upstream(plan).converse, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    threading.Thread(target=wait, daemon=True).start()
    await ended.wait()
    server.close()


def as_line(plan: Plan) -> str:
    return json.dumps(asdict(plan)) + "\n"


if __name__ == "__main__":
    asyncio.run(serve(Plan(**json.loads(sys.stdin.readline()))))
