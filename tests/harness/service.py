"""The agent without sockets and without AWS: a service whose clock, dice, threads and AWS obey the test.

Nothing here waits for time to pass: a call to AWS is answered when the test says so, and the loop is turned until
nothing is left to do.
"""

import asyncio
from concurrent.futures import Executor, Future

from strongroom.agent.app import App
from strongroom.agent.cache import Ask, Cache
from strongroom.agent.config import Config, Own
from strongroom.agent.failure import Failure
from strongroom.agent.generations import GENERATIONS
from strongroom.agent.metrics import Metrics
from strongroom.agent.parameter import Parameter
from strongroom.agent.policy import Policy
from strongroom.agent.secret import Secret
from strongroom.agent.service import Served, Service
from strongroom.serve.http import Answer, Request
from strongroom.serve.listener import Peer

ACCOUNT = "111122223333"
REGION = "eu-west-1"
TOKEN = b"main-token"
TCP = Peer("tcp", None, "127.0.0.1:40000")
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


def arn_of(name, *, ending="AbCdEf", account=ACCOUNT, region=REGION):
    return f"arn:aws:secretsmanager:{region}:{account}:secret:{name}-{ending}"


def secret_of(name, value="hunter2", *, version="V1", arn=None):
    return Secret(arn or arn_of(name), name, version, value, None, ("AWSCURRENT",), "1569534789.046")


def transient(code="ThrottlingException"):
    return Failure(400, code, "slow down", kind="transient", reason="throttled")


def denied():
    return Failure(400, "AccessDeniedException", "no", kind="denied", reason="denied")


def gone():
    return Failure(400, "ResourceNotFoundException", "not found", kind="gone", reason="gone")


def other():
    return Failure(400, "InvalidRequestException", "odd", kind="other", reason="odd")


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def tick(self, seconds):
        self.now += seconds


class Lines:
    """A log that can be read."""

    def __init__(self):
        self.lines = []

    def _add(self, level, message):
        self.lines.append((level, message))

    def debug(self, message):
        self._add("debug", message)

    def info(self, message):
        self._add("info", message)

    def warn(self, message):
        self._add("warn", message)

    def error(self, message):
        self._add("error", message)

    def of(self, level):
        return [message for found, message in self.lines if found == level]


class FakeUpstream:
    """AWS: what was put into it by its names, `ResourceNotFoundException` for the rest.

    Attributes:
        asked: Role, id, version and stage of each call.
        answers: Id, or role and id, of a parameter behind ``ssm:`` -> a secret or a parameter's members, an exception to raise, or what returns or raises one of them.
    """

    def __init__(self):
        self.asked = []
        self.answers = {}
        self.roles = 0

    def put(self, name, value="hunter2", *, version="V1", ending="AbCdEf", account=ACCOUNT, region=REGION, by=None):
        """A secret, found by its name, ARN and ARN without ending; or only by those that are listed."""
        arn = arn_of(name, ending=ending, account=account, region=region)
        made = secret_of(name, value, version=version, arn=arn)
        for text in by or (name, arn, arn[:-7]):
            self.answers[text] = made
        return arn

    def fail(self, failure, *names):
        for name in names:
            self.answers[name] = failure

    def secret(self, role_arn, secret_id, version_id, version_stage):
        self.asked.append((role_arn, secret_id, version_id, version_stage))
        return self._answer(role_arn, secret_id)

    def parameter(self, role_arn, name, with_decryption):
        self.asked.append((role_arn, name, with_decryption))
        return Parameter.from_aws({"Parameter": self._answer(role_arn, f"ssm:{name}")})

    def _answer(self, role_arn, text):
        answer = self.answers.get((role_arn, text)) or self.answers.get(text) or gone()
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ids(self):
        return [call[1] for call in self.asked]


class Calls(Executor):
    """Threads that run when the test says so.

    Attributes:
        is_held: Whether calls wait for `run`; without it each is done when it comes.
        waiting: Those that wait.
        is_full: Whether no call can begin.
    """

    def __init__(self):
        self.is_held = False
        self.is_full = False
        self.waiting = []

    def submit(self, work, /, *args, **named):
        if self.is_full:
            raise RuntimeError("can't start new thread")
        future = Future()
        self.waiting.append((future, work, args, named))
        if not self.is_held:
            self.run()
        return future

    def run(self, *, last_first=False):
        """Do what waits now."""
        waiting, self.waiting = self.waiting, []
        for future, work, args, named in reversed(waiting) if last_first else waiting:
            try:
                future.set_result(work(*args, **named))
            except BaseException as error:
                future.set_exception(error)

    def cancel(self):
        """End before they begin."""
        for future, *_ in self.waiting:
            future.cancel()
            future.set_running_or_notify_cancel()
        self.waiting = []


class Bench:
    """A service with all that it stands on."""

    def __init__(self, config=None, **own):
        self.config = config or Config(own=Own(**own))
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.log = Lines()
        self.metrics = Metrics()
        self.upstream = FakeUpstream()
        self.calls = Calls()
        self.dice = 0.5
        self.cache = Cache(self.config.cache_size, self.config.own.max_bytes)
        self.service = Service(
            config=self.config,
            cache=self.cache,
            upstream=self.upstream,
            executor=self.calls,
            loop=self.loop,
            clock=self.clock,
            random=lambda: self.dice,
            log=self.log,
            metrics=self.metrics,
        )
        self.service.date = DATE

    def close(self):
        self.calls.cancel()
        self.settle()
        self.loop.close()

    def settle(self):
        """Turn the loop until what can be done is done."""
        self.loop.run_until_complete(self._turns())

    async def _turns(self):
        for _ in range(10):
            await asyncio.sleep(0)

    def begin(self, secret_id, *, force=False, rejected=None, role=None, version=None, stage=None, kind="secret"):
        """Ask; what comes of it is there after `settle`, unless a call is held."""
        ask = Ask(kind, role, secret_id, version, stage)
        served = self.service.at_once(ask, force=force, rejected=rejected)
        if served is None:
            work = self._later(self.service.ask(ask, force=force, is_hint=rejected is not None))
        else:
            work = self._now(_copied(served))
        return self.loop.create_task(work)

    async def _now(self, served):
        return served

    async def _later(self, pending):
        return _copied(await self.service.wait(pending))

    def record(self, secret_id, role=None):
        """What is in the cache."""
        return self.cache.find(self.cache.key(Ask("secret", role, secret_id)))

    def get(self, secret_id, **how):
        """Ask, and what comes of it."""
        return self.loop.run_until_complete(self.begin(secret_id, **how))

    def land(self):
        """Have the calls that are held done."""
        self.calls.run()
        self.settle()


def _copied(served):
    """As it is now: the cache may drop its record before the test looks at it."""
    return served._replace(record=served.record.apart()) if isinstance(served, Served) else served


def outcome(served):
    """What came, in short: the text and how it came, or the code of the refusal."""
    if isinstance(served, Failure):
        return served.code
    text = served.record.body.decode().partition('"SecretString":"')[2].partition('"')[0]
    return text, served.outcome


class Reply:
    """A response, taken apart."""

    def __init__(self, raw):
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = dict(field.split(": ", 1) for field in fields)

    @property
    def text(self):
        return self.body.decode()

    @property
    def short(self):
        return self.status, self.text


class AppBench(Bench):
    """A service behind the routes and the checks, asked as the listener does."""

    def __init__(self, config=None, *, generation="agent", tokens=None, metrics_token=None, **own):
        super().__init__(config, **own)
        self.tokens = tokens or {}
        self.app = App(
            config=self.config,
            generation=GENERATIONS[generation],
            policy=self.policy(self.config),
            metrics_token=metrics_token,
            service=self.service,
            log=self.log,
            metrics=self.metrics,
        )
        self.app.date = DATE
        self.recalled = 0

    def policy(self, config):
        return Policy(config, TOKEN, lambda path: self.tokens[path])

    def head(self, target, *, method="GET", token=TOKEN, host=b"localhost:2773", version=b"1.1", headers=()):
        lines = [b"%b %b HTTP/%b" % (method.encode(), target.encode(), version)]
        if host is not None:
            lines.append(b"host: " + host)
        if token is not None:
            lines.append(b"x-aws-parameters-secrets-token: " + token)
        lines += [b"%b: %b" % (name.encode(), value.encode()) for name, value in headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def send(self, head, *, peer=TCP, body=b""):
        """The response to a head, or a task that will have it."""
        desk = self.app.desk(peer)
        known = desk.recall(head)
        if known is not None:
            self.recalled += 1
            return Reply(known)
        request = Request(head)
        request.body = body
        answer = desk.answer(request, peer)
        if isinstance(answer, bytes):
            return Reply(answer)
        if isinstance(answer, Answer):
            return self._rendered(request, answer)
        return self.loop.create_task(self._answered(request, answer))

    async def _answered(self, request, coming):
        return self._rendered(request, await coming)

    def _rendered(self, request, answer):
        return Reply(answer.render(self.app.date, without_body=request.method == "HEAD"))

    def fetch(self, target, *, peer=TCP, body=b"", **how):
        """Send a request and wait for its response."""
        reply = self.send(self.head(target, **how), peer=peer, body=body)
        return reply if isinstance(reply, Reply) else self.loop.run_until_complete(reply)
