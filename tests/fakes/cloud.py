"""The AWS that tests talk to: a door of our own before moto, on a free port of this machine.

STS is answered here, because moto gives every GetSessionToken the same keys, and checks neither signatures, MFA codes nor
durations; everything else goes on to moto. Every STS and IAM request is recorded. The fake says no wherever AWS would,
and in any other way that a test asks for::

    cloud.key("AKIAJON", "secret", user="jon")
    cloud.mfa["arn:aws:iam::111111111111:mfa/jon"] = {"123456"}
    cloud.role("arn:aws:iam::111111111111:role/admin", mfa=True)
    cloud.fail("AssumeRole", code="Throttling", status=400, times=2)
    ...
    assert cloud.calls == [Call("GetSessionToken", 28800, M), Call("AssumeRole", 3600, signer="session", role=ADMIN)]
"""

import datetime
import io
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import parse_qsl

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import Client

from fakes import iam, sts
from fakes.sigv4 import Signed
from fakes.sts import Call, Key, Refusal, Role

ACCOUNT = "111111111111"
# What AWS's messages say: a request may be 15 minutes old, and 5 minutes from the future.
OLDEST_SECONDS, NEWEST_SECONDS = 900, 300
HANG_SECONDS = 60  # nobody in a test waits for that long; it bounds what a failing test can cost

PORTAL = b"<!DOCTYPE html><html><head><title>Please log in</title></head><body>Welcome!</body></html>"


@dataclass
class Trouble:
    """Something that happens to the next *times* requests of *action* (``*``: of any)."""

    action: str
    times: float
    happen: Callable[[dict], "Answer | None"]
    about: str | None = None  # only to requests for this secret or parameter
    late: bool = False  # after the action was carried out, instead of in its place


@dataclass
class Answer:
    status: int
    body: bytes
    kind: str = "text/xml"


class Gate:
    """Requests that arrive here wait, so that a test decides what happens meanwhile."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._changed = threading.Condition()
        self.arrived = 0

    def wait_for(self, number: int = 1, timeout: float = 30) -> None:
        """Return once *number* requests have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.arrived >= number, timeout), f"{self.arrived} of {number} came"

    def release(self) -> None:
        """Let everybody go on, now and later."""
        self._open.set()

    def __call__(self, _environ: dict) -> None:
        with self._changed:
            self.arrived += 1
            self._changed.notify_all()
        self._open.wait(HANG_SECONDS)


class Cloud:
    """The fake. One per test session is enough: `reset` forgets everything between tests."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._moto_lock = threading.Lock()
        self._moto = None
        self._server: BaseWSGIServer
        self._thread: threading.Thread
        self._sts = sts.Sts(self)
        self._ended = threading.Event()
        self.url = ""
        self._forget()

    def _forget(self) -> None:
        self.calls: list[Call] = []
        self.answers: list[str] = []  # "ok" or the error's code, one per call
        self.others: list[tuple[str, str]] = []  # (service, access key id) of the requests that moto answered
        self.tunnels: list[str] = []  # "host:port" that a client wanted to reach through us as its proxy
        self.keys: dict[str, Key] = {}
        self.roles: dict[str, Role] = {}
        self.mfa: dict[str, set[str] | str] = {}  # serial -> accepted codes, or a seed in base32 (codes work once then)
        self.web_identities: set[str] = set()  # tokens that are accepted, as they are
        self.skew_seconds = 0.0
        self.iam = iam.Iam(self)
        self._used: set[tuple[str, str]] = set()
        self._troubles: list[Trouble] = []
        self._gates: list[Gate] = []

    # What there is.

    def key(self, access_key_id: str, secret_access_key: str, user: str = "jon", account: str = ACCOUNT) -> Key:
        """Let AWS know a long-term key."""
        made = Key(access_key_id, secret_access_key, f"arn:aws:iam::{account}:user/{user}")
        self.keys[access_key_id] = made
        return made

    def role(self, arn: str, **settings) -> Role:
        """Let AWS know a role; an unknown one is refused. For the settings see `Role`."""
        self.roles[arn] = Role(arn, **settings)
        return self.roles[arn]

    def now(self) -> float:
        """AWS's clock, epoch seconds."""
        return time.time() + self.skew_seconds

    def issue(self, kind: str, arn: str, duration: int, *, mfa: bool = False) -> Key:
        made = sts.issue(kind, arn, self.now() + duration, mfa=mfa)
        self.keys[made.access_key_id] = made
        return made

    def accepts(self, serial: str, code: str) -> bool:
        """Whether this device shows this code now; a code made from a seed works once, as at AWS."""
        codes = self.mfa[serial]
        if not isinstance(codes, str):
            return code in codes
        right = (
            code in {sts.totp(codes, self.now() + drift) for drift in (-30, 0, 30)} and (serial, code) not in self._used
        )
        self._used.add((serial, code))
        return right

    @property
    def actions(self) -> list[str]:
        """The actions that were asked for, in order."""
        return [call.action for call in self.calls]

    # What goes wrong.

    def fail(
        self,
        action: str,
        *,
        times: float = 1,
        code: str = "AccessDenied",
        status: int = 403,
        message: str = "no",
        about: str | None = None,
    ):
        """Refuse as AWS does: throttling is ``code="Throttling", status=400``; a broken AWS is ``status=500``."""
        refusal = Refusal(status, code, message)
        self._plan(action, times, lambda environ: self._refused(refusal, environ), about=about)

    def html(
        self,
        action: str,
        *,
        times: float = 1,
        status: int = 502,
        page: bytes = PORTAL,
        kind: str = "text/html",
        about: str | None = None,
    ) -> None:
        """Answer as a proxy or a captive portal on the way does. The page is XML too unless another is given."""
        self._plan(action, times, lambda _: Answer(status, page, kind), about=about)

    def delay(self, action: str, seconds: float, *, times: float = float("inf"), about: str | None = None) -> None:
        """Answer properly, later: widens the window in which processes meet."""

        def happen(_environ: dict) -> None:
            self._ended.wait(seconds)

        self._plan(action, times, happen, about=about)

    def cut(self, action: str, *, times: float = 1, late: bool = False, about: str | None = None) -> None:
        """Close the connection instead of answering; with *late*, after doing what was asked."""
        self._plan(action, times, cut_connection, about=about, late=late)

    def hang(self, action: str, *, times: float = 1, about: str | None = None) -> Gate:
        """Never answer (until the test is over)."""

        def happen(environ: dict) -> None:
            gate(environ)
            cut_connection(environ)

        gate = Gate()
        self._gates.append(gate)
        self._plan(action, times, happen, about=about)
        return gate

    def hold(self, action: str, *, times: float = 1, about: str | None = None) -> Gate:
        """Answer properly once the gate is released."""
        gate = Gate()
        self._gates.append(gate)
        self._plan(action, times, gate, about=about)
        return gate

    def skew(self, minutes: float) -> None:
        """Set AWS's clock: *minutes* ahead of ours, or behind it if negative."""
        self.skew_seconds = minutes * 60

    def heal(self) -> None:
        """Forget what should have gone wrong from now on."""
        with self._lock:
            self._troubles.clear()

    def _refused(self, refusal: Refusal, _environ: dict) -> "Answer":
        """How this request is refused."""
        return Answer(refusal.status, sts.error_xml(refusal).encode())

    def _plan(
        self, action: str, times: float, happen: Callable, *, about: str | None = None, late: bool = False
    ) -> None:
        with self._lock:
            self._troubles.append(Trouble(action, times, happen, about, late))

    def _trouble(
        self, action: str, *, about: str | None = None, late: bool
    ) -> Callable[[dict], "Answer | None"] | None:
        with self._lock:
            for trouble in self._troubles:
                meant = trouble.action in {action, "*"} and trouble.about in {None, about}
                if trouble.late is late and meant and trouble.times > 0:
                    trouble.times -= 1
                    return trouble.happen
        return None

    # The server.

    @contextmanager
    def serve(self, certificate: tuple[str, str] | None = None) -> Iterator["Cloud"]:
        """Listen on a free port of the loopback interface until the block ends; with TLS if given (certificate, key)."""
        self._listen(0, certificate)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self._server.server_port}"
        try:
            yield self
        finally:
            self._ended.set()
            self._release()
            self._close()

    @contextmanager
    def down(self) -> Iterator[None]:
        """Refuse connections until the block ends; those that there are go on."""
        port = self._server.server_port
        self._close()
        try:
            yield
        finally:
            self._listen(port)

    def _listen(self, port: int, certificate: tuple[str, str] | None = None) -> None:
        self._server = make_server(
            "127.0.0.1", port, self._door, threaded=True, request_handler=self._handler(), ssl_context=certificate
        )
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def _close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[WSGIRequestHandler]:
        now = self.now

        class Handler(WSGIRequestHandler):
            def handle(self) -> None:
                sys.settrace(None)  # in a thread of its own: coverage counts nothing here, and would take its time
                super().handle()

            def log(self, *_args) -> None:
                """Say nothing: a test's output is its own."""

            def date_time_string(self, _timestamp: float | None = None) -> str:
                return formatdate(now(), usegmt=True)

        return Handler

    def reset(self) -> None:
        """Forget everything that was there, seen and planned."""
        with self._lock:
            self._release()
            self._forget()
            if self._moto is not None:
                assert Client(self._moto).post("/moto-api/reset").status_code == 200

    def _release(self) -> None:
        for gate in self._gates:
            gate.release()

    def _door(self, environ: dict, start_response: Callable) -> list[bytes]:
        if environ["REQUEST_METHOD"] == "CONNECT":
            # We are taken for a proxy: note who was wanted, and go no further.
            self.tunnels.append(environ["RAW_URI"])
            start_response("502 Bad Gateway", [("Content-Length", "0")])
            return []
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        signed = Signed.read(environ, body)
        if signed is None and b"Action=AssumeRoleWithWebIdentity" in body:
            return self._unsigned(dict(parse_qsl(body.decode())), environ, start_response)
        if signed is None or signed.service not in {"sts", "iam"}:
            self.others.append((signed.service, signed.access_key_id) if signed else ("", ""))
            return self._other(environ, start_response)
        parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
        call, note = self._record(parameters, signed, environ)
        action = parameters.get("Action", "")
        answer = None
        if (happen := self._trouble(action, late=False)) is not None:
            answer = happen(environ)
        if answer is None:
            try:
                answer = self._answer(call, signed, environ)
            except Refusal as refusal:
                note(refusal.code)
                answer = self._refused(refusal, environ)
            if (happen := self._trouble(action, late=True)) is not None:
                answer = happen(environ) or answer
        elif answer.status != 200:
            note("trouble")
        return respond(answer, start_response)

    def _unsigned(self, parameters: dict[str, str], environ: dict, start_response: Callable) -> list[bytes]:
        """AssumeRoleWithWebIdentity, which is proved by its token alone."""
        call = Call.read(parameters, signer="nobody", host=environ.get("HTTP_HOST", ""))
        with self._lock:
            self.calls.append(call)
        answer = None
        if (happen := self._trouble(call.action, late=False)) is not None:
            answer = happen(environ)
        if answer is None:
            try:
                answer = Answer(200, self._sts.assume_role_with_web_identity(call).encode())
            except Refusal as refusal:
                answer = self._refused(refusal, environ)
        return respond(answer, start_response)

    def _record(self, parameters: dict[str, str], signed: Signed, environ: dict) -> tuple[Call, Callable[[str], None]]:
        with self._lock:
            key = self.keys.get(signed.access_key_id)
            call = Call.read(
                parameters,
                signer=key.kind if key else "nobody",
                access_key_id=signed.access_key_id,
                region=signed.region,
                service=signed.service,
                host=environ.get("HTTP_HOST", ""),
            )
            self.calls.append(call)
            answers, place = self.answers, len(self.answers)  # a late answer must not meet the next test's list
            answers.append("ok")
            return call, lambda told: answers.__setitem__(place, told)

    def _answer(self, call: Call, signed: Signed, environ: dict) -> Answer:
        self._check_time(signed)
        key = self._check_key(signed)
        with self._lock:
            if signed.service == "sts" and call.action in self._sts.actions:
                return Answer(200, self._sts.actions[call.action](call, key).encode())
        if signed.service == "iam" and key.kind == "session" and not key.mfa:
            # "You cannot call any IAM API operations unless MFA authentication information is included in the request."
            raise Refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid")
        with self._lock:
            if signed.service == "iam" and self.iam.knows(call, key):
                return Answer(200, self.iam.answer(call, key).encode())
        caught: list = []
        body = b"".join(self._other(environ, lambda status, headers, *_: caught.append((status, dict(headers)))))
        status, headers = caught[0]
        return Answer(int(status.split()[0]), body, headers.get("Content-Type", "text/xml"))

    def _check_time(self, signed: Signed) -> None:
        try:
            sent = datetime.datetime.strptime(signed.at, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.UTC).timestamp()
        except ValueError:
            raise Refusal(400, "IncompleteSignature", "Date must be in ISO-8601 'basic format'.") from None
        shown = lambda at: time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))  # noqa: E731
        if sent < self.now() - OLDEST_SECONDS:
            raise Refusal(403, "SignatureDoesNotMatch", f"Signature expired: {signed.at} is now earlier than "
                          f"{shown(self.now() - OLDEST_SECONDS)} ({shown(self.now())} - 15 min.)")  # fmt: skip
        if sent > self.now() + NEWEST_SECONDS:
            raise Refusal(403, "SignatureDoesNotMatch", f"Signature not yet current: {signed.at} is still later than "
                          f"{shown(self.now() + NEWEST_SECONDS)} ({shown(self.now())} + 5 min.)")  # fmt: skip

    def _check_key(self, signed: Signed) -> Key:
        key = self.keys.get(signed.access_key_id) or self._moto_key(signed.access_key_id)
        if key is None or key.session_token != signed.token:
            raise Refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid.")
        if not signed.agrees_with(key.secret_access_key):
            raise Refusal(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature"
                          " you provided. Check your AWS Secret Access Key and signing method. Consult the service"
                          " documentation for details.")  # fmt: skip
        if key.expires_at is not None and key.expires_at <= self.now():
            raise Refusal(403, "ExpiredToken", "The security token included in the request is expired")
        with self._lock:
            self.iam.check(key)
        return key

    # moto, which takes half a second to import: only when something needs it.

    def _other(self, environ: dict, start_response: Callable) -> list[bytes]:
        return self._application()(environ, start_response)

    def _application(self) -> Callable:
        with self._moto_lock:
            if self._moto is None:
                from moto.server import DomainDispatcherApplication, create_backend_app

                self._moto = DomainDispatcherApplication(create_backend_app)
            return self._moto

    def _moto_key(self, access_key_id: str) -> Key | None:
        """A key that was made with CreateAccessKey."""
        if self._moto is None:
            return None
        from moto.iam.models import iam_backends

        for backends in list(iam_backends.values()):
            for user in list(backends["aws"].users.values()):
                for found in user.access_keys:
                    if found.access_key_id == access_key_id and found.status == "Active":
                        return Key(access_key_id, found.secret_access_key, user.arn)
        return None


def respond(answer: Answer, start_response: Callable) -> list[bytes]:
    """Send an answer, as WSGI does."""
    reason = {200: "OK", 400: "Bad Request", 403: "Forbidden"}.get(answer.status, "Trouble")
    start_response(f"{answer.status} {reason}", [
        ("Content-Type", answer.kind),
        ("Content-Length", str(len(answer.body))),
    ])  # fmt: skip
    return [answer.body]


def cut_connection(environ: dict) -> None:
    """Close the connection without a word."""
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError("a test asked for it")
