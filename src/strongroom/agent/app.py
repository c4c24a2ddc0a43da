"""Requests to routes: who may ask, and in which order that is checked.

The order of the checks, their statuses and texts are those of both originals: too many at once, forwarded, (another
host,) no token, wrong method, no such route, wrong parameters. ``/ping`` is checked for the first, the method and the
route only.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from typing import TYPE_CHECKING

from strongroom.agent import routes
from strongroom.agent.cache import NEVER
from strongroom.agent.compact_json import dump, encode
from strongroom.agent.policy import why_unknown
from strongroom.agent.routes import Visit
from strongroom.agent.service import CONTENT_TYPE
from strongroom.serve.http import Answer, HttpError, redated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from strongroom.agent.cache import Part, Record
    from strongroom.agent.config import Config
    from strongroom.agent.generations import Generation
    from strongroom.agent.log import Log
    from strongroom.agent.metrics import Metrics
    from strongroom.agent.policy import Policy
    from strongroom.agent.query import SecretQuery
    from strongroom.agent.routes import Later
    from strongroom.agent.service import Service
    from strongroom.serve.http import Request
    from strongroom.serve.listener import Peer

    Route = Callable[[Visit], bytes | Answer | Later]

# A request that came through another host is one that a web server was made to send: RFC 7239, RFC 9110 section 7.6.3.
FORWARDED = {
    b"x-forwarded-for": "X-Forwarded-For",
    b"forwarded": "Forwarded",
    b"via": "Via",
    b"x-real-ip": "X-Real-IP",
}
# Ping has room of its own when all else is taken.
PING_RESERVE = 2
# Request heads that are known, per kind of peer.
MEMO_BYTES = 1024 * 1024
MOST_REMEMBERED = 4096
LONGEST_REMEMBERED = 2048
LONGEST_HOST = 255
# RFC 9110, section 7.2, and the dot that a name may end in. In brackets an address of IPv6, else a name.
_AUTHORITY = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+?)\.?)(?::[0-9]*)?")
_LOCALHOST = re.compile(r"(?:[a-z0-9_-]+\.)*localhost")
# With one of these an answer may be another one, or none.
SPECIAL = frozenset((*FORWARDED, b"content-length", b"transfer-encoding", b"if-none-match"))


class App:
    """What the agent serves.

    Args:
        config: What is in force.
        generation: Which original it stands in for.
        policy: Who may have what.
        metrics_token: A token that is good for the metrics only, or None.
        service: The secrets.
        log: The log.
        metrics: The counters.

    Attributes:
        in_hand: How many requests wait for an answer; the server counts them.
        connections: Tells how many connections there are.
        waiting_for: Why we are not ready yet.
    """

    def __init__(
        self,
        *,
        config: Config,
        generation: Generation,
        policy: Policy,
        metrics_token: bytes | None = None,
        service: Service,
        log: Log,
        metrics: Metrics,
    ) -> None:
        self.service = service
        self.log = log
        self.metrics = metrics
        self.generation = generation
        self.in_hand = 0
        self.connections: Callable[[], int] = int
        self.waiting_for: dict[str, str] = {}
        self._desks: dict[tuple[str, int | None], Desk] = {}
        self.reconfigure(config, policy, metrics_token)

    def reconfigure(self, config: Config, policy: Policy, metrics_token: bytes | None) -> None:
        """Go on with other settings; nothing that was decided by the former ones is remembered."""
        self.config = config
        self.policy = policy
        self.metrics_token = metrics_token
        self.token_headers = [name.lower().encode() for name in config.ssrf_headers]
        self.is_logged = config.own.access_log
        self.queries: dict[tuple[str, str], SecretQuery] = {}
        self._hosts: dict[bytes, bool] = {}
        self._allowed_hosts = {name.lower().removesuffix(".").strip("[]") for name in config.own.allowed_hosts}
        own: dict[str, Route] = {
            "/ready": routes.ready,
            "/metrics": routes.metrics,
            "/systemsmanager/parameters/get": routes.parameter,
            "/systemsmanager/parameters/get/": routes.parameter,
            "/secretsmanager/batch": routes.many,
            "/invalidate": routes.invalidate,
        }
        self.routes: dict[str, Route] = {f"/strongroom{path}": route for path, route in own.items()}
        self.routes |= {path: route for path, route in own.items() if not path.startswith(config.path_prefix)}
        self.routes |= {"/ping": routes.ping, "/secretsmanager/get": routes.secret}
        self.free = {path for path, route in self.routes.items() if route in {routes.ping, routes.ready}}
        self.posts = {path for path, route in self.routes.items() if route in {routes.many, routes.invalidate}}
        for desk in self._desks.values():
            desk.forget()

    @property
    def date(self) -> bytes:
        """The time, as the server sets it each second."""
        return self.service.date

    @date.setter
    def date(self, date: bytes) -> None:
        self.service.date = date

    def desk(self, peer: Peer) -> Desk:
        """Where requests of this kind of peer are answered."""
        kind = peer.listener, peer.uid
        if kind not in self._desks:
            self._desks[kind] = Desk(self)
        return self._desks[kind]

    def remember(self, target: tuple[str, str], query: SecretQuery) -> None:
        """Know what a target asks for."""
        if len(target[0]) + len(target[1]) > LONGEST_REMEMBERED:
            return
        if len(self.queries) >= MOST_REMEMBERED:
            del self.queries[next(iter(self.queries))]
        self.queries[target] = query

    def error(self, error: HttpError) -> Answer:
        """An error as the generation writes it."""
        if not error.code:
            text = error.message.encode("utf-8", "replace")
            return Answer(error.status, text, content_type=routes.TEXT, outcome="refused")
        body = b'{"__type":' + encode(dump(error.code))
        if error.message:
            body += self.generation.error_separator.encode() + b'"message":' + encode(dump(error.message))
        return Answer(error.status, body + b"}", content_type=CONTENT_TYPE, outcome=error.code)

    def metrics_text(self, *, with_names: bool) -> bytes:
        """The counters, as Prometheus reads them."""
        cache = self.service.cache
        gauges = {
            "entries": len(cache),
            "bytes": cache.bytes,
            "connections": self.connections(),
            "in_hand": self.in_hand,
            "in_flight": self.service.flights,
            "roles": self.service.upstream.roles,
        }
        return self.metrics.render(gauges, self.service.ages() if with_names else None)

    def is_welcome(self, authority: bytes) -> bool:
        """Whether requests may be addressed to this host: one of the loopback interface, or one that is listed.

        A page in a browser can have its own name point to this machine; the name then gives it away.
        """
        known = self._hosts.get(authority)
        if known is None:
            known = self._is_welcome(authority.decode("latin-1").lower())
            if len(self._hosts) < MOST_REMEMBERED and len(authority) <= LONGEST_HOST:
                self._hosts[authority] = known
        return known

    def _is_welcome(self, authority: str) -> bool:
        parts = _AUTHORITY.fullmatch(authority)
        if parts is None:
            return False
        inside, host = parts.groups()
        if host is not None and _LOCALHOST.fullmatch(host):
            return True  # RFC 6761, section 6.3
        text = host or inside
        if text in self._allowed_hosts:
            return True
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Desk:
    """Where the requests of one kind of peer are answered."""

    __slots__ = ("app", "essences", "memo", "memo_bytes", "seen")

    def __init__(self, app: App) -> None:
        self.app = app
        # Heads that were accepted -> what they ask for. Whether that may still be served is looked at each time.
        self.memo: dict[bytes, Record | Part] = {}
        self.memo_bytes = 0
        # The same without what no answer depends on: trace ids differ from request to request.
        self.essences: dict[tuple[object, ...], Record | Part] = {}
        self.seen: set[int] = set()

    def recall(self, head: bytes) -> bytes | None:
        """The response to a head that was answered before, while nothing has changed."""
        found = self.memo.get(head)
        return None if found is None else self._current(found)

    def _current(self, found: Record | Part) -> bytes | None:
        app = self.app
        service = app.service
        if service.clock() >= found.calm_until or app.in_hand >= app.config.max_conn:
            return None
        app.metrics.recalled += 1
        service.cache.used(found.place)
        date = service.date
        if found.date is not date:
            found.response = redated(found.response, date)
            found.date = date
        return found.response

    def memorise(self, request: Request, found: Record | Part) -> None:
        """Know what this head asks for from now on, if all that it says is in the look-up."""
        if self.app.is_logged or found.calm_until == NEVER or not self._is_plain(request):
            return
        if len(self.essences) >= MOST_REMEMBERED:
            self.essences.clear()
        self.essences[self._essence(request)] = found
        self._memorise_head(request.head, found)

    def _memorise_head(self, head: bytes, found: Record | Part) -> None:
        """Know the head itself, if it came before: one with a trace id never comes again."""
        mark = hash(head)
        if mark not in self.seen:
            if len(self.seen) >= MOST_REMEMBERED:
                self.seen.clear()
            self.seen.add(mark)
            return
        if head not in self.memo:
            if self.memo_bytes > MEMO_BYTES:
                self.memo.clear()
                self.memo_bytes = 0
            self.memo_bytes += len(head)
        self.memo[head] = found

    def _recall_essence(self, request: Request) -> bytes | None:
        if not self._is_plain(request):
            return None
        found = self.essences.get(self._essence(request))
        if found is None:
            return None
        response = self._current(found)
        if response is not None:
            self._memorise_head(request.head, found)
        return response

    def _is_plain(self, request: Request) -> bool:
        return (
            request.method == "GET"
            and request.keep_alive
            and not request.is_old
            and len(request.head) <= LONGEST_REMEMBERED
            and SPECIAL.isdisjoint(request.headers)
        )

    def _essence(self, request: Request) -> tuple[object, ...]:
        """All that an answer depends on in a plain request."""
        get = request.headers.get
        return request.path, request.query, request.authorities, *[get(name) for name in self.app.token_headers]

    def forget(self) -> None:
        """Forget the heads that are known."""
        self.memo.clear()
        self.memo_bytes = 0
        self.essences.clear()
        self.seen.clear()

    def answer(self, request: Request, peer: Peer) -> bytes | Answer | Awaitable[Answer]:
        """Check a request and lead it to its route."""
        known = self._recall_essence(request)
        if known is not None:
            return known
        visit = Visit(self.app, self, request, peer)
        if self.app.is_logged:
            visit.started = time.perf_counter_ns()
        try:
            answer = self._lead(visit)
        except HttpError as error:
            answer = self.app.error(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            answer = self._broken(visit, error)
        if isinstance(answer, (bytes, Answer)):
            self._note(visit, answer)
            return answer
        return self._later(visit, answer)

    async def _later(self, visit: Visit, work: Later) -> Answer:
        try:
            answer = await work()
        except HttpError as error:
            answer = self.app.error(error)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            answer = self._broken(visit, error)
        self._note(visit, answer)
        return answer

    def _broken(self, visit: Visit, error: Exception) -> Answer:
        """A mistake of ours. Its type and place are told, never its text, which may hold anything."""
        self.app.log.error(f"Internal error - {type(error).__name__} {_place(error)}; {_described(visit)}")
        return self.app.error(HttpError(500, "", "InternalFailure"))

    def _note(self, visit: Visit, answer: bytes | Answer) -> None:
        app = self.app
        status, outcome = (200, "hit") if isinstance(answer, bytes) else (answer.status, answer.outcome)
        path = visit.request.path
        route = path if path in app.routes else "path" if path.startswith(app.config.path_prefix) else "none"
        app.metrics.answered(route, status)
        if app.is_logged:
            taken = (time.perf_counter_ns() - visit.started) // 1000
            name = visit.client.name if visit.client is not None else "-"
            app.log.info(
                f"access client={name} peer={visit.peer.address} method={visit.request.method} route={route} "
                f"secret={_word(visit.secret_id)} status={status} outcome={outcome or 'ok'} microseconds={taken}"
            )

    # The checks.

    def refuse(self, request: Request, peer: Peer) -> Answer | None:
        """What is answered to a request whose body is not worth reading; None if it is."""
        visit = Visit(self.app, self, request, peer)
        try:
            self._check(visit)
        except HttpError as error:
            answer = self.app.error(error)
            self._note(visit, answer)
            return answer
        return None

    def _check(self, visit: Visit) -> None:
        app = self.app
        path, method = visit.request.path, visit.request.method
        if app.in_hand >= app.config.max_conn + (PING_RESERVE if path == "/ping" else 0):
            raise HttpError(429, "Connection limit exceeded")
        if path not in app.free:
            self._check_way(visit)
            self._check_token(visit)
        is_post = path in app.posts
        if method not in ({"POST"} if is_post else {"GET", "HEAD"}):
            raise HttpError(405, "Not allowed")

    def _lead(self, visit: Visit) -> bytes | Answer | Later:
        self._check(visit)
        app, path = self.app, visit.request.path
        route = app.routes.get(path)
        if route is None:
            if not path.startswith(app.config.path_prefix):
                raise HttpError(404, "Not found")
            route = routes.secret_in_path
        return route(visit)

    def _check_way(self, visit: Visit) -> None:
        """Whether it was sent by a program of this machine, to this machine."""
        app, request, peer = self.app, visit.request, visit.peer
        for name, title in FORWARDED.items():
            if name in request.headers:
                app.log.error(f"Rejecting request with {title} header; {_described(visit)}")
                raise HttpError(400, "Forwarded")
        if peer.listener == "tcp":
            for authority in request.authorities:
                if not app.is_welcome(authority):
                    app.log.error(f"Rejecting request to host {authority.decode('latin-1')!r}; {_described(visit)}")
                    raise HttpError(421, "Bad Host")

    def _check_token(self, visit: Visit) -> None:
        app, request = self.app, visit.request
        values = [request.first(name) for name in app.token_headers]
        visit.client = app.policy.identify(values, visit.peer.uid)
        if visit.client is not None:
            return
        if app.routes.get(request.path) is routes.metrics and self._is_scraper(visit, values):
            return
        reason = why_unknown(values)
        app.log.error(f"Rejecting request with incorrect SSRF token; reason={reason}, {_described(visit)}")
        raise HttpError(403, "Bad Token")

    def _is_scraper(self, visit: Visit, values: list[bytes | None]) -> bool:
        """Whether it may see the metrics, with a token of their own, and in the header that scrapers can send."""
        kind, _, bearer = (visit.request.first(b"authorization") or b"").partition(b" ")
        if kind.lower() == b"bearer":
            values = [*values, bearer.strip()]
            visit.client = self.app.policy.identify([bearer.strip()], None)
        token = self.app.metrics_token
        known = [hmac.compare_digest(token, value) for value in values if value is not None and token is not None]
        return visit.client is not None or any(known)


def _place(error: Exception) -> str:
    """The line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"in {trace.tb_frame.f_code.co_name}, line {trace.tb_lineno}" if trace is not None else ""


def _word(text: str) -> str:
    """A text as one word of a record, which nobody takes for several."""
    return "-" if not text else repr(text) if " " in text or '"' in text or "'" in text else text


def _described(visit: Visit) -> str:
    return f"peer={visit.peer.address}, method={visit.request.method}, path={visit.request.path}"
