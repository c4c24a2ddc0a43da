"""What each route does, once a request has passed the checks of `strongroom.agent.app`."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from typing import TYPE_CHECKING

from strongroom.agent.cache import NEVER, Ask, Part, Record
from strongroom.agent.failure import Failure
from strongroom.agent.json_key import pick
from strongroom.agent.query import (
    SecretQuery,
    batch,
    batch_body,
    invalidation,
    parameter_query,
    secret_path,
    secret_query,
)
from strongroom.agent.service import CONTENT_TYPE, NO_STORE, Pending, Served
from strongroom.serve.http import Answer, HttpError, redated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from strongroom.agent.app import App, Desk
    from strongroom.agent.policy import Client
    from strongroom.serve.http import Request
    from strongroom.serve.listener import Peer

    # The work on an answer that is not there yet, not begun.
    Later = Callable[[], Awaitable[Answer]]

TEXT = b"text/plain; charset=utf-8"
METRICS_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

# Of one batch, how many may wait for AWS at once.
BATCH_AT_ONCE = 20
# Answers to `jsonKey` that are kept with each record.
MOST_PARTS = 16


class Visit:
    """One request on its way.

    Attributes:
        app: What is served.
        desk: Where it came in.
        request: What came.
        peer: From whom.
        client: Who that is, once the token was looked at.
        secret_id: What is asked for, for the access log.
        started: When, in nanoseconds; 0 where nobody wants to know.
    """

    __slots__ = ("app", "client", "desk", "peer", "request", "secret_id", "started")

    def __init__(self, app: App, desk: Desk, request: Request, peer: Peer) -> None:
        self.app = app
        self.desk = desk
        self.request = request
        self.peer = peer
        self.client: Client | None = None
        self.secret_id = ""
        self.started = 0

    def check(self, ask: Ask) -> None:
        """Refuse what the client may not ask for.

        Raises:
            HttpError: 403.
        """
        if self.client is None or not self.allows(ask):
            raise self.forbidden(f"read {ask.id}")
        if ask.role_arn is not None and not self.client.may_assume(ask.role_arn):
            raise self.forbidden(f"use {ask.role_arn}")

    def allows(self, ask: Ask) -> bool:
        """Whether the client may ask for this id."""
        return self.client is not None and self.client.allows(ask.sent)

    def open(self, ask: Ask, served: Served | Failure) -> Served:
        """What was found, if the client may have it under the names that it really has.

        Raises:
            HttpError: AWS refused, or we do.
        """
        if isinstance(served, Failure):
            raise HttpError(served.status, served.message, served.code)
        if served.outcome == "stale":
            self.app.metrics.stale += 1
        record = served.record
        if self.client is None or not self.client.allows_record(ask.sent, record.arn, record.name):
            raise self.forbidden(f"read {ask.id}")
        return served

    def forbidden(self, what: str) -> HttpError:
        """The refusal to be raised; it is logged with the client's name."""
        name = self.client.name if self.client is not None else "-"
        self.app.metrics.forbidden(name)
        self.app.log.warn(f"client {name} may not {what}; peer={self.peer.address}")
        return HttpError(403, f"client {name} may not {what}", "AccessDeniedException")


# The routes. Each returns bytes where the answer is ready as a whole, and the work to be done where it is not ready.


def ping(_visit: Visit) -> Answer:
    """We run."""
    return Answer(200, b"healthy")


def ready(visit: Visit) -> Answer:
    """We can serve: AWS has taken our credentials, and what is to be fetched at start is here."""
    waiting = visit.app.waiting_for
    if waiting:
        return Answer(503, "".join(f"{line}\n" for line in list(waiting.values())).encode(), content_type=TEXT)
    return Answer(200, b"ready", content_type=TEXT)


def metrics(visit: Visit) -> Answer:
    """The counters, as Prometheus reads them."""
    app = visit.app
    named = app.config.own.metrics_secret_names and (visit.client is None or visit.client.unrestricted)
    return Answer(200, app.metrics_text(with_names=named), content_type=METRICS_TYPE)


def secret(visit: Visit) -> bytes | Answer | Later:
    """A secret, asked for as AWS's Lambda extension does."""
    return _secret(visit, _known(visit, in_path=False))


def secret_in_path(visit: Visit) -> bytes | Answer | Later:
    """A secret whose id follows the prefix."""
    return _secret(visit, _known(visit, in_path=True))


def _known(visit: Visit, *, in_path: bool) -> SecretQuery:
    """What is asked for: parsing it costs more than all the rest of a hit, so it is remembered."""
    request = visit.request
    target = request.path, request.query
    known = visit.app.queries.get(target)
    if known is None:
        if in_path:
            known = secret_path(request.path, request.query, visit.app.config.path_prefix)
        else:
            known = secret_query(request.query)
        visit.app.remember(target, known)
    return known


def _secret(visit: Visit, query: SecretQuery) -> bytes | Answer | Later:
    visit.secret_id = query.id
    ask = Ask("secret", query.role_arn, query.id, query.version_id, query.version_stage)
    visit.check(ask)
    return _serve(visit, ask, query.json_key, force=query.refresh_now, rejected=query.rejected)


def parameter(visit: Visit) -> bytes | Answer | Later:
    """A parameter of the Parameter Store, asked for as AWS's Lambda extension does."""
    query = parameter_query(visit.request.query)
    visit.secret_id = query.name
    form = "plain" if query.with_decryption else "stored"
    ask = Ask("parameter", query.role_arn, query.name, query.selector, form)
    visit.check(ask)
    return _serve(visit, ask, query.json_key, force=query.refresh_now, rejected=None)


def many(visit: Visit) -> Later:
    """Several secrets at once; each has its own result or error."""
    return partial(_many, visit, batch(visit.request.body))


async def _many(visit: Visit, items: list[tuple[str | None, SecretQuery | HttpError]]) -> Answer:
    room = asyncio.Semaphore(BATCH_AT_ONCE)

    async def one(query: SecretQuery) -> bytes | HttpError:
        try:
            ask = Ask("secret", query.role_arn, query.id, query.version_id, query.version_stage)
            visit.check(ask)
            served = _at_once(visit, ask, force=query.refresh_now)
            if served is None:
                async with room:
                    service = visit.app.service
                    served = await service.wait(service.ask(ask, force=query.refresh_now))
            return visit.open(ask, served).record.body
        except HttpError as error:
            return error

    # What stands in the list several times is asked for once.
    queries = list(dict.fromkeys(query for _, query in items if isinstance(query, SecretQuery)))
    found = dict(zip(queries, await asyncio.gather(*map(one, queries)), strict=True))
    body = batch_body(
        (secret_id, query if isinstance(query, HttpError) else found[query]) for secret_id, query in items
    )
    return Answer(200, body, content_type=CONTENT_TYPE, headers=NO_STORE, outcome="batch")


def invalidate(visit: Visit) -> Answer:
    """Forget a secret, so that the next request asks AWS."""
    secret_id, role_arn = invalidation(visit.request.query)
    visit.secret_id = secret_id
    if secret_id == "*":  # noqa: S105 - it stands for all
        if visit.client is None or not visit.client.unrestricted:
            raise visit.forbidden("forget all secrets")
        count = visit.app.service.forget_all()
    else:
        # It does not say which of the two is meant: both, as far as the client may.
        asks = [Ask(kind, role_arn, secret_id) for kind in ("secret", "parameter")]
        allowed = [ask for ask in asks if visit.allows(ask)]
        visit.check(allowed[0] if allowed else asks[0])
        count = sum(map(visit.app.service.forget, allowed))
    return Answer(200, b'{"invalidated":%d}' % count, content_type=CONTENT_TYPE, outcome="invalidated")


# From what was found to the answer.


def _serve(
    visit: Visit, ask: Ask, json_key: str | None, *, force: bool, rejected: str | None
) -> bytes | Answer | Later:
    app = visit.app
    served = _at_once(visit, ask, force=force, rejected=rejected)
    if served is None:
        pending = app.service.ask(ask, force=force, is_hint=rejected is not None)
        return partial(_serve_later, visit, json_key, pending)
    response = _respond(visit, visit.open(ask, served), json_key)
    if isinstance(response, Answer):
        return response
    if not rejected:
        visit.desk.memorise(visit.request, response)
    if response.date is not app.service.date:
        response.response = redated(response.response, app.service.date)
        response.date = app.service.date
    return response.response


def _at_once(visit: Visit, ask: Ask, *, force: bool, rejected: str | None = None) -> Served | Failure | None:
    """What can be said without asking AWS, and counted so."""
    app = visit.app
    served = app.service.at_once(ask, force=force, rejected=rejected)
    if served is None:
        app.metrics.misses += 1
    elif isinstance(served, Served) and served.outcome == "hit":
        app.metrics.hits += 1
    return served


async def _serve_later(visit: Visit, json_key: str | None, pending: Pending) -> Answer:
    served = visit.open(pending.ask, await visit.app.service.wait(pending))
    response = _respond(visit, served, json_key)
    return response if isinstance(response, Answer) else _whole(response, b"", served.outcome)


def _respond(visit: Visit, served: Served, json_key: str | None) -> Record | Part | Answer:
    """The answer, or what holds it as a whole when a plain GET of HTTP/1.1 asks."""
    request = visit.request
    found: Record | Part = served.record if json_key is None else _part(visit.app, served.record, json_key)
    stale = b""
    if served.outcome == "stale":
        stale = b'age: %d\r\nwarning: 110 - "Response is Stale"\r\n' % served.age
    if _names(request.first(b"if-none-match"), found.etag):
        return Answer(304, headers=b"etag: %b\r\n%b%b" % (found.etag, NO_STORE, stale), outcome=served.outcome)
    if stale or request.method != "GET" or request.is_old or not request.keep_alive:
        return _whole(found, stale, served.outcome)
    return found


def _whole(found: Record | Part, headers: bytes, outcome: str) -> Answer:
    kind = CONTENT_TYPE if isinstance(found, Record) else TEXT
    head = b"etag: %b\r\n%b%b" % (found.etag, NO_STORE, headers)
    return Answer(200, found.body, content_type=kind, headers=head, outcome=outcome)


def _part(app: App, record: Record, json_key: str) -> Part:
    """One value of a JSON secret; made once for each record."""
    part = record.parts.get(json_key)
    if part is not None:
        return part
    body = json.loads(record.body)
    if record.key[0] == "secret":
        value = pick(body.get("SecretString"), json_key, "secret")
    else:
        value = pick(body["Parameter"]["Value"], json_key, "parameter")
    service = app.service
    etag = service.etag(value)
    response, body_at = service.response(value, TEXT, etag)
    part = Part(record, response, service.date, body_at, etag)
    if len(record.parts) < MOST_PARTS and service.cache.grow(record, len(response)):
        record.parts[json_key] = part
    else:
        part.calm_until = NEVER  # nobody would tell it of the record's end
    return part


def _names(condition: bytes | None, etag: bytes) -> bool:
    """Whether If-None-Match names this tag: RFC 9110, section 13.1.2."""
    if condition is None:
        return False
    return condition == b"*" or etag in {tag.strip().removeprefix(b"W/") for tag in condition.split(b",")}
