"""The credential servers without sockets and without AWS: clocks, dice and threads obey the test."""

import asyncio

from harness.service import DATE, Calls, Clock, Reply
from strongroom.credentials import Credentials
from strongroom.endpoints.ec2 import Ec2
from strongroom.endpoints.ecs import Ecs, Entry
from strongroom.endpoints.slot import Slot
from strongroom.serve.http import Answer, Request
from strongroom.serve.listener import Peer

START = 1_900_000_000  # 2030-03-17T17:46:40Z
HOUR = 3600
TOKEN = "t" * 40
LOCAL, REMOTE = ("127.0.0.1", 4000), ("127.0.0.1", 40001)
TCP = Peer("tcp", None, "127.0.0.1:40001", LOCAL, REMOTE)
HOST = b"127.0.0.1:4000"
METADATA_HOSTS = {b"169.254.169.254", b"169.254.169.254:80"}


def made(number=1, *, until=START + HOUR, token="session"):
    """Credentials that can be told from others."""
    return Credentials(f"ASIAEXAMPLE0000000{number:02}", f"secret-{number}", token, until)


class Scope:
    """Lets everybody in, until the test says no."""

    advice = "; --any-process would let it"

    def __init__(self):
        self.reason = ""
        self.asked = []

    def refusal(self, local, remote):
        self.asked.append((local, remote))
        return self.reason


class Fetched:
    """What a slot fetches: a new session of an hour each time, or what the test puts here.

    Attributes:
        calls: How often it was called.
        answer: Credentials or an exception in place of a new session.
    """

    def __init__(self, clock):
        self.clock = clock
        self.calls = 0
        self.answer = None

    def __call__(self):
        self.calls += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer or made(self.calls, until=int(self.clock()) + HOUR)


class Assumed:
    """What a role's slot fetches: AssumeRole, as `Fetched`.

    Attributes:
        calls: The key id of the source, and the role.
        answers: Role -> credentials or an exception.
    """

    def __init__(self, clock):
        self.clock = clock
        self.calls = []
        self.answers = {}

    def __call__(self, source, role_arn):
        self.calls.append((source.access_key_id, role_arn))
        answer = self.answers.get(role_arn)
        if isinstance(answer, BaseException):
            raise answer
        return answer or made(50 + len(self.calls), until=int(self.clock()) + HOUR, token="role session")


class Bench:
    """A slot with all that it stands on; and, in `serve`, a server before it."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.wall = Clock()
        self.wall.now = float(START)
        self.clock = Clock()
        self.calls = Calls()
        self.lines = []
        self.dice = 0.0
        self.fetched = Fetched(self.wall)
        self.assumed = Assumed(self.wall)
        self.scope = Scope()
        self.slot = self.new_slot("jon", self.fetched)
        self.site = None

    def new_slot(self, name, fetch):
        return Slot(
            name,
            fetch,
            pool=self.calls,
            log=self.lines.append,
            now=self.wall,
            clock=self.clock,
            jitter=lambda: self.dice,
        )

    def ecs(self, *allowed, **how):
        """Serve the slot as the container service does."""
        entry = Entry(self.slot, TOKEN, assume=self.assumed, allowed_roles=allowed)
        return self.serve(
            Ecs({"jon": entry}, hosts={HOST}, scope=self.scope, log=self.lines.append, clock=self.clock, **how)
        )

    def ec2(self, **how):
        """Serve the slot as the instance metadata service does."""
        settings = {"role_name": "jon", "region": "eu-west-1", "hosts": METADATA_HOSTS, "imdsv1": False}
        settings |= {"scope": self.scope, "log": self.lines.append, "now": self.wall, "clock": self.clock}
        return self.serve(Ec2(self.slot, **settings | how))

    def serve(self, site):
        self.site = site
        self.site.date = DATE
        return site

    def close(self):
        self.calls.cancel()
        self.run(self.slot.close())
        self.settle()
        self.loop.close()

    def run(self, work):
        return self.loop.run_until_complete(work)

    def settle(self):
        """Turn the loop until what can be done is done."""

        async def turns():
            for _ in range(20):
                await asyncio.sleep(0)

        self.run(turns())

    def pass_by(self, seconds):
        """That much time passes, by both clocks."""
        self.wall.tick(seconds)
        self.clock.tick(seconds)

    def tick(self):
        """The slot looks at the clocks."""

        async def once():
            self.slot.tick()

        self.run(once())
        self.settle()

    def begin(self, slot=None):
        """Ask the slot; what comes of it is there after `settle`, unless a call is held."""
        return self.loop.create_task((slot or self.slot).get())

    def get(self, slot=None):
        return self.run((slot or self.slot).get())

    # A server's.

    def head(self, target="/", *headers, method="GET", token=TOKEN, host=HOST, version=b"1.1"):
        lines = [b"%b %b HTTP/%b" % (method.encode(), target.encode("latin-1"), version)]
        if host is not None:
            lines.append(b"Host: " + host)
        if token is not None:
            lines.append(b"Authorization: " + token.encode())
        lines += [each.encode("latin-1") for each in headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def send(self, target="/", *headers, desk=None, peer=TCP, **how):
        """The response, or a task that will have it."""
        return self.answer(self.head(target, *headers, **how), desk=desk, peer=peer)

    def answer(self, head, *, desk=None, peer=TCP):
        desk = desk or self.site.desk(peer)
        known = desk.recall(head)
        if known is not None:
            return Reply(known)
        request = Request(head)
        answer = desk.answer(request, peer)
        if isinstance(answer, bytes):
            return Reply(answer)
        if isinstance(answer, Answer):
            return self._rendered(request, answer)

        async def later():
            return self._rendered(request, await answer)

        return self.loop.create_task(later())

    def _rendered(self, request, answer):
        return Reply(answer.render(self.site.date, without_body=request.method == "HEAD"))

    def fetch(self, target="/", *headers, **how):
        """The response, however long it takes."""
        reply = self.send(target, *headers, **how)
        return reply if isinstance(reply, Reply) else self.run(reply)
