"""Both servers as their clients see them: over sockets of the loopback interface, and whatever bytes come."""

import asyncio
import contextlib
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import botocore.credentials
import botocore.utils
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.endpoints import HOST, TCP, TOKEN, Bench, made
from strongroom.endpoints.ec2 import Ec2
from strongroom.endpoints.ecs import Ecs, Entry
from strongroom.endpoints.guard import hosts_of
from strongroom.endpoints.slot import Slot
from strongroom.serve import sockets
from strongroom.serve.http import Answer, Malformed, Request
from strongroom.serve.listener import Limits, Server

PATIENCE_SECONDS = 20  # bounds what a failing test can cost
LIMITS = Limits(connections=200, head_seconds=10, idle_seconds=120)
LATER = 4_000_000_000
ROLE = "arn:aws:iam::111122223333:role/admin"
ROLES = "/latest/meta-data/iam/security-credentials/"


class World:
    """A server on a port of the loopback interface."""

    def __init__(self, make):
        self.fetches = 0
        self.assumed = []
        self.lines = []
        self.pool = ThreadPoolExecutor(4)
        self.make = make

    def fetch(self):
        self.fetches += 1
        return made(self.fetches, until=LATER)

    def assume(self, source, role_arn):
        self.assumed.append((source.access_key_id, role_arn))
        return made(51, until=LATER)

    async def __aenter__(self):
        loop = asyncio.get_running_loop()
        bound = sockets.loopback(0)
        self.port = bound[0].getsockname()[1]
        self.hosts = hosts_of([each.getsockname()[:2] for each in bound])
        self.slot = Slot("jon", self.fetch, pool=self.pool, log=self.lines.append)
        self.server = Server(self.make(self), LIMITS, loop)
        await self.server.listen(bound)
        return self

    async def __aexit__(self, *_):
        await self.server.drain(PATIENCE_SECONDS)
        await self.slot.close()
        self.pool.shutdown()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def connect(self, family=socket.AF_INET):
        with socket.socket(family) as client:
            client.setblocking(False)
            host = "127.0.0.1" if family == socket.AF_INET else "::1"
            await asyncio.get_running_loop().sock_connect(client, (host, self.port))
            yield client

    async def talk(self, *parts, family=socket.AF_INET):
        """Everything that comes back on one connection, whose client says when it has said all."""
        loop = asyncio.get_running_loop()
        data = b""
        async with self.connect(family) as client:
            for part in parts:
                await loop.sock_sendall(client, part)
            client.shutdown(socket.SHUT_WR)
            while more := await asyncio.wait_for(loop.sock_recv(client, 65536), PATIENCE_SECONDS):
                data += more
        return data

    def get(self, target, *lines, method="GET"):
        lines = (f"Host: 127.0.0.1:{self.port}", *lines)
        return "\r\n".join((f"{method} {target} HTTP/1.1", *lines, "", "")).encode()


def ecs(world):
    entry = Entry(world.slot, TOKEN, assume=world.assume, allowed_roles=["*" + ROLE, ROLE])
    return Ecs({"jon": entry}, hosts=world.hosts, scope=None, log=world.lines.append)


def ec2(world, *, imdsv1=False):
    return Ec2(
        world.slot,
        role_name="jon",
        region="eu-west-1",
        hosts=world.hosts,
        imdsv1=imdsv1,
        scope=None,
        log=world.lines.append,
    )


def serve(make, story):
    async def whole():
        async with World(make) as world:
            await story(world)

    asyncio.run(whole())


def bodies(data):
    """The bodies of responses, each of JSON or nothing."""
    return [json.loads(line) for line in data.decode().splitlines() if line.startswith("{")]


def test_fifty_cold_clients():
    """Each on its own connection: one fetch and one AssumeRole for all."""

    async def story(world):
        request = world.get("/role-arn/" + ROLE, f"Authorization: {TOKEN}")
        replies = await asyncio.gather(*(world.talk(request) for _ in range(50)))
        assert [bodies(each)[0]["SecretAccessKey"] for each in replies] == ["secret-51"] * 50
        assert (world.fetches, world.assumed) == (1, [("ASIAEXAMPLE000000001", ROLE)])

    serve(ecs, story)


def test_several_requests_on_one_connection():
    """Cold, then known by its bytes, at once and in pieces, then refused; the answers stay in order."""

    async def story(world):
        good = world.get("/", f"Authorization: {TOKEN}")
        bad = world.get("/", "Authorization: x")
        data = await world.talk(good, good, good + good + bad + good, good[:20], good[20:])
        found = [each.get("SecretAccessKey") or each["Message"] for each in bodies(data)]
        assert found == ["secret-1"] * 4 + ["invalid Authorization token"] + ["secret-1"] * 2

    serve(ecs, story)


@pytest.mark.parametrize("body", [b"x" * 10, b""])
def test_a_body_does_not_become_a_request(body):
    """What follows a head as its body is never answered as another request, known head or not."""

    async def story(world):
        hidden = world.get("/", f"Authorization: {TOKEN}")
        carrier = world.get("/", f"Authorization: {TOKEN}", f"Content-Length: {len(hidden)}")
        data = await world.talk(hidden, carrier + hidden, hidden + body)
        # The first, the carrier, and the last one; the hidden one is only a body.
        assert len([each for each in bodies(data) if "SecretAccessKey" in each]) == 3

    serve(ecs, story)


def test_both_families():
    """A client of ::1 is one of this machine too, where there is IPv6."""

    async def story(world):
        assert (await world.talk(world.get("/", f"Authorization: {TOKEN}"))).startswith(b"HTTP/1.1 200")
        head = world.get("/", f"Authorization: {TOKEN}").replace(b"127.0.0.1", b"[::1]")
        with contextlib.suppress(OSError):
            assert (await world.talk(head, family=socket.AF_INET6)).startswith(b"HTTP/1.1 200")

    serve(ecs, story)


def test_one_hop():
    """No answer gets past a router: a token that a server was made to ask for stays here."""

    async def story(world):
        loop = asyncio.get_running_loop()
        put = world.get("/latest/api/token", "X-aws-ec2-metadata-token-ttl-seconds: 300", method="PUT")
        async with world.connect() as client:
            await loop.sock_sendall(client, put)
            answer = await asyncio.wait_for(loop.sock_recv(client, 65536), PATIENCE_SECONDS)
            assert answer.startswith(b"HTTP/1.1 200")
            (connection,) = world.server.connections
            accepted = connection.transport.get_extra_info("socket")
            assert accepted.getsockopt(socket.IPPROTO_IP, socket.IP_TTL) == 1

    serve(ec2, story)


def test_botocore_as_a_container():
    """The provider of boto3 and the AWS CLI, for the address and for a role."""

    async def story(world):
        fetcher = botocore.utils.ContainerMetadataFetcher()
        headers = {"Authorization": TOKEN}
        for target, secret in (("", "secret-1"), ("/role-arn/" + ROLE, "secret-51")):
            found = await asyncio.to_thread(fetcher.retrieve_full_uri, world.url + target, headers)
            assert (found["SecretAccessKey"], found["Expiration"]) == (secret, "2096-10-02T07:06:40Z")
        fetcher._sleep = lambda _: None
        with pytest.raises(botocore.exceptions.MetadataRetrievalError, match="invalid Authorization token"):
            await asyncio.to_thread(fetcher.retrieve_full_uri, world.url, {})

    serve(ecs, story)


@pytest.mark.parametrize("make", [ec2, lambda world: ec2(world, imdsv1=True)])
def test_botocore_on_an_instance(make):
    """Its other provider, with a token as it asks for one by itself."""

    async def story(world):
        fetcher = botocore.utils.InstanceMetadataFetcher(
            base_url=world.url,
            env={},
            num_attempts=1,
            config={"ec2_metadata_v1_disabled": not world.server.site._imdsv1},
        )
        provider = botocore.credentials.InstanceMetadataProvider(fetcher)
        found = (await asyncio.to_thread(provider.load)).get_frozen_credentials()
        assert found[:3] == ("ASIAEXAMPLE000000001", "secret-1", "session")
        region = botocore.utils.InstanceMetadataRegionFetcher(base_url=world.url, env={}, num_attempts=1)
        assert await asyncio.to_thread(region.retrieve_region) == "eu-west-1"

    serve(make, story)


def test_slow_first_credentials():
    """Whoever goes away before they are there disturbs nobody."""

    async def story(world):
        request = world.get("/", f"Authorization: {TOKEN}")
        async with world.connect() as client:
            await asyncio.get_running_loop().sock_sendall(client, request)
        assert bodies(await world.talk(request))[0]["SecretAccessKey"] == "secret-1"
        assert world.fetches == 1

    serve(ecs, story)


# Whatever bytes come.

_WORDS = st.sampled_from(
    [
        b"GET ",
        b"PUT ",
        b"POST ",
        b"/",
        b"/role-arn/" + ROLE.encode(),
        b"/profile/jon",
        ROLES.encode() + b"jon",
        b"/latest/api/token",
        b"http://evil.com/",
        b"http://127.0.0.1:4000/",
        b" HTTP/1.1\r\n",
        b" HTTP/1.0\r\n",
        b"Host: ",
        b"Host: 127.0.0.1:4000\r\n",
        b"Host: 169.254.169.254\r\n",
        b"Origin: null\r\n",
        b"X-Forwarded-For: 1\r\n",
        b"Authorization: ",
        b"X-aws-ec2-metadata-token: ",
        b"X-aws-ec2-metadata-token-ttl-seconds: 60\r\n",
        b"Content-Length: 5\r\n",
        b"\r\n",
        b"%2e%00",
        TOKEN[:-1].encode(),
    ]
)
HEADS = st.lists(_WORDS | st.binary(max_size=6), max_size=12).map(b"".join)


@pytest.fixture(scope="module")
def both():
    """Each server, and a desk; with credentials there, so that a mistake would give them away at once."""
    bench = Bench()
    bench.slot.keep(made(1))
    yield [bench.ecs("*"), bench.ec2(hosts={HOST, b"169.254.169.254"})]
    bench.close()


@given(head=HEADS)
def test_nothing_without_a_token(both, head):
    """Any head is malformed or is answered; never with credentials, for no token is whole."""
    try:
        request = Request(head if head.endswith(b"\r\n\r\n") else head + b"\r\n\r\n")
    except Malformed:
        return
    for site in both:
        desk = site.desk(TCP)
        answer = desk.answer(request, TCP)
        assert isinstance(answer, Answer)
        assert b"secret-1" not in answer.body
        assert desk.recall(request.head) is None


@given(target=st.text(max_size=30) | st.lists(_WORDS, max_size=4).map(lambda parts: b"".join(parts).decode()))
def test_any_path_with_a_token(both, target):
    """With the right token too, a path that there is not is 400, 403, 404 or 405, not a fault."""
    head = b"GET /%b HTTP/1.1\r\nHost: 127.0.0.1:4000\r\nAuthorization: %b\r\n\r\n" % (
        target.encode("utf-8", "replace").replace(b" ", b"%20"),
        TOKEN.encode(),
    )
    try:
        request = Request(head)
    except Malformed:
        return
    answer = both[0].desk(TCP).answer(request, TCP)
    if isinstance(answer, Answer):
        assert answer.status in {400, 403, 404}
    elif isinstance(answer, bytes):
        assert target in {"", "?"} or target[0] in "?#/" or target.startswith("profile/jon")
        assert answer.startswith(b"HTTP/1.1 200 OK")
    else:
        answer.close()
