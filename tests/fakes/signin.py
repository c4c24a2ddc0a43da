"""AWS's sign-in service, reached as from behind a company's proxy: what this machine sends to any ``signin`` host of AWS
arrives here, over TLS, if the client trusts our certificate.

Nothing of strongroom has to be told about the fake: the addresses are AWS's own, and the client's environment names a
proxy and a bundle of certificates::

    with Signin(cloud, directory).serve() as signin:
        environ = signin.environ
        ...
    assert signin.requests == [Request("POST", "us-east-1.signin.aws.amazon.com", "/federation", "ASIA...")]
"""

import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from fakes.certificates import self_signed

HOSTS = (
    "us-east-1.signin.aws.amazon.com",
    "signin.amazonaws.cn",
    "signin.amazonaws-us-gov.com",
    "signin.amazonaws-eusc.eu",
    "signin.c2shome.ic.gov",
)
DURATION_RANGE = 900, 43_200
TOKEN_SECONDS = 900
HANG_SECONDS = 60


@dataclass(frozen=True)
class Request:
    """One request as it arrived. ``key`` is the id in the session that it brought."""

    method: str
    host: str
    path: str
    key: str = ""
    duration: str = ""
    query: str = field(default="", compare=False)
    status: int = field(default=0, compare=False)


@dataclass
class Visit:
    """A browser that was signed in: with whose key, and where it was sent."""

    access_key_id: str
    destination: str
    issuer: str


class Signin:
    """The fake. It knows the keys of *cloud*, and gives tokens for those that AWS would."""

    def __init__(self, cloud, directory) -> None:
        self.cloud = cloud
        self.certificate, key = self_signed(directory, HOSTS)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(self.certificate, key)
        self._ended = threading.Event()
        self.requests: list[Request] = []
        self.tunnels: list[str] = []  # "host:port", also of those who did not trust us
        self.tokens: dict[str, tuple[str, float]] = {}  # token -> (access key id, expires at)
        self.visits: list[Visit] = []
        self.logouts = 0
        self.takes_durations = True
        self._planned: list[tuple[int, bytes] | None] = []  # None: never answer
        self.url = ""

    @property
    def environ(self) -> dict[str, str]:
        """What leads a client here, and not to AWS; loopback addresses stay what they are."""
        return {
            "HTTPS_PROXY": self.url,
            "https_proxy": self.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "AWS_CA_BUNDLE": self.certificate,
        }

    def answer(self, status: int, body: bytes = b"", times: int = 1) -> None:
        """Answer the next requests for a token with this."""
        self._planned += [(status, body)] * times

    def hang(self) -> None:
        """Never answer the next request for a token."""
        self._planned.append(None)

    @contextmanager
    def serve(self) -> Iterator["Signin"]:
        """Listen on a free port until the block ends."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._ended.set()
            server.shutdown()
            thread.join()
            server.server_close()

    # What it does.

    def token_for(self, fields: dict[str, str]) -> tuple[int, bytes]:
        """The answer to getSigninToken."""
        if self._planned:
            planned = self._planned.pop(0)
            if planned is None:
                self._ended.wait(HANG_SECONDS)
                return 503, b""
            return planned
        session = json.loads(fields["Session"])
        key = self.cloud.keys.get(session.get("sessionId"))
        whole = (session.get("sessionKey"), session.get("sessionToken"))
        if key is None or key.kind not in {"role", "federated"} or whole != (key.secret_access_key, key.session_token):
            return 400, b"<html>Invalid credentials parameter</html>"
        if key.expires_at <= self.cloud.now():
            return 400, b"<html>Invalid credentials parameter</html>"
        if "SessionDuration" in fields:
            wanted = int(fields["SessionDuration"])
            in_range = DURATION_RANGE[0] <= wanted <= DURATION_RANGE[1]
            if key.kind == "federated" or not in_range or not self.takes_durations:
                return 400, b"<html>Invalid credentials parameter</html>"
        token = secrets.token_urlsafe(60) + "+/=" + secrets.token_urlsafe(600)
        self.tokens[token] = key.access_key_id, time.time() + TOKEN_SECONDS
        return 200, json.dumps({"SigninToken": token}).encode()

    def login(self, fields: dict[str, str]) -> tuple[int, str]:
        """The answer to a browser that brings a token: a status, and where it is sent."""
        access_key_id, expires_at = self.tokens.pop(fields.get("SigninToken", ""), ("", 0.0))
        if expires_at <= time.time():
            return 400, ""
        self.visits.append(Visit(access_key_id, fields["Destination"], fields["Issuer"]))
        return 302, fields["Destination"]


def _handler(signin: Signin) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        host = ""

        def log_message(self, *_args) -> None:
            """Say nothing: a test's output is its own."""

        def finish(self) -> None:
            with suppress(OSError):
                super().finish()
            self.connection.close()

        def do_CONNECT(self) -> None:
            signin.tunnels.append(self.path)
            self.host = self.path.removesuffix(":443")
            if self.host not in HOSTS:
                self.answer(502)
                return
            self.send_response(200, "Connection established")
            self.end_headers()
            try:
                self.connection = signin._tls.wrap_socket(self.connection, server_side=True)
            except OSError:  # who does not trust us
                self.close_connection = True
                return
            self.rfile = self.connection.makefile("rb")
            self.wfile = self.connection.makefile("wb", 0)
            self.close_connection = False

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            fields = flat(body)
            right = (self.headers.get("Content-Type"), self.path, fields.get("Action")) == (
                "application/x-www-form-urlencoded",
                "/federation",
                "getSigninToken",
            )
            answer = signin.token_for if right else (lambda _: (400, b""))
            status, content = answer(fields)
            with suppress(ValueError):
                session = json.loads(fields.get("Session", "{}"))
                self.note(status, session.get("sessionId", ""), fields.get("SessionDuration", ""))
            self.answer(status, content)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            fields = flat(parts.query)
            status, location = 404, ""
            if (parts.path, fields.get("Action")) == ("/federation", "login"):
                status, location = signin.login(fields)
            elif (parts.path, fields.get("Action")) == ("/oauth", "logout"):
                signin.logouts += 1
                status, location = 302, fields["redirect_uri"]
            self.note(status)
            self.answer(status, location=location)

        def note(self, status: int, key: str = "", duration: str = "") -> None:
            parts = urlsplit(self.path)
            signin.requests.append(Request(self.command, self.host, parts.path, key, duration, parts.query, status))

        def answer(self, status: int, body: bytes = b"", location: str = "") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(body)

    return Handler


def flat(query: str) -> dict[str, str]:
    """The fields of a form; each must be there once."""
    found = parse_qs(query, keep_blank_values=True, strict_parsing=bool(query))
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


def visit(url: str, signin: Signin, follow: Callable[[str], bool] = lambda _: True) -> list[str]:
    """Open an address as a browser does, and follow it as far as the console; returns every address on the way."""
    import urllib.error
    import urllib.request

    class NoRedirect(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_args):
            return None

    trusted = ssl.create_default_context(cafile=signin.certificate)
    proxies = urllib.request.ProxyHandler({"https": signin.url})
    opener = urllib.request.build_opener(NoRedirect, proxies, urllib.request.HTTPSHandler(context=trusted))
    way = [url]
    while "console." not in urlsplit(way[-1]).netloc and follow(way[-1]):
        try:
            opener.open(way[-1], timeout=30).close()
            break
        except urllib.error.HTTPError as answer:
            with answer:
                if answer.code != 302:
                    raise
                way.append(answer.headers["Location"])
    return way
