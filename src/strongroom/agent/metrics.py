"""What the agent has done, as counters that Prometheus reads.

The text format is version 0.0.4 of https://prometheus.io/docs/instrumenting/exposition_formats/. A hit costs one
addition. Secrets are named only if the config asks for it: everybody who sees the metrics sees the names.
"""

from __future__ import annotations

import threading
from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PREFIX = "strongroom_agent_"

# Upper bounds in seconds. A call in the same region takes some 20 ms; two seconds are the limit of an attempt and six
# that of all attempts, unless the config says otherwise.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 6.0, 10.0)

# Codes come from AWS, or from whoever stands in for it; a series each would be no end.
_MOST_CODES = 200
_OTHER = "other"

_GAUGES = {
    "entries": "Secrets and parameters in the cache.",
    "bytes": "Size of the responses in the cache.",
    "connections": "Open connections.",
    "in_hand": "Requests being answered.",
    "in_flight": "Calls to AWS under way.",
    "roles": "Roles with a session.",
}


class Metrics:
    """The counters.

    Those that are attributes, and `answered` and `forbidden`, belong to one thread, the event loop's, and so does
    `render`. `called` is for all.

    Attributes:
        hits: Requests answered from the cache, by an entry that was fresh.
        recalled: The same, for requests whose whole head was known, which `answered` is not told of.
        misses: Requests that waited for AWS.
        stale: Requests answered from the cache by an entry that was not fresh, because AWS could not be asked.
    """

    __slots__ = ("_answers", "_calls", "_forbidden", "_lock", "hits", "misses", "recalled", "stale")

    def __init__(self) -> None:
        self.hits = 0
        self.recalled = 0
        self.misses = 0
        self.stale = 0
        self._answers: dict[tuple[str, int], int] = {}
        self._forbidden: dict[str, int] = {}
        self._calls: dict[str, _Calls] = {}
        self._lock = threading.Lock()

    def answered(self, route: str, status: int) -> None:
        """Count a request.

        Args:
            route: One of a few names; never what a client may choose.
            status: The HTTP status.
        """
        key = (route, status)
        self._answers[key] = self._answers.get(key, 0) + 1

    def forbidden(self, client: str) -> None:
        """Count a refusal by the policy, by the client's name."""
        self._forbidden[client] = self._forbidden.get(client, 0) + 1

    def called(self, operation: str, code: str, seconds: float) -> None:
        """Count a call to AWS.

        Args:
            operation: As AWS calls it.
            code: That of the error; "" for none.
            seconds: How long it took, all attempts together.
        """
        with self._lock:
            calls = self._calls.get(operation)
            if calls is None:
                calls = self._calls[operation] = _Calls()
            calls.add(code, seconds)

    def render(self, gauges: Mapping[str, float], ages: Mapping[str, float] | None = None) -> bytes:
        """Return all of it as text.

        Args:
            gauges: What is so at this moment, by name.
            ages: Secret -> seconds since AWS sent it; None if secrets are not to be named.
        """
        lines: list[str] = []
        answers = [({"route": route, "status": str(status)}, count) for (route, status), count in self._answers.items()]
        if self.recalled:
            answers.append(({"route": "recalled", "status": "200"}, self.recalled))
        _family(lines, "requests_total", "counter", "Requests, by route and status.", answers)
        for name, count, text in (
            ("hits_total", self.hits + self.recalled, "Requests answered from the cache."),
            ("misses_total", self.misses, "Requests that waited for AWS."),
            ("stale_total", self.stale, "Requests answered by what had expired, because AWS could not be asked."),
        ):
            _family(lines, name, "counter", text, [({}, count)])
        refusals = [({"client": client}, count) for client, count in self._forbidden.items()]
        _family(lines, "forbidden_total", "counter", "Requests refused by a client's policy.", refusals)
        with self._lock:
            self._render_calls(lines)
        for name, value in gauges.items():
            _family(lines, name, "gauge", _GAUGES.get(name, name), [({}, value)])
        if ages is not None:
            told = [({"secret": secret}, age) for secret, age in ages.items()]
            _family(lines, "secret_age_seconds", "gauge", "Time since AWS sent a secret.", told)
        return "".join(lines).encode("utf-8", "backslashreplace")

    def _render_calls(self, lines: list[str]) -> None:
        outcomes: list[tuple[dict[str, str], float]] = []
        errors: list[tuple[dict[str, str], float]] = []
        for operation, calls in self._calls.items():
            failed = sum(calls.errors.values())
            outcomes.append(({"operation": operation, "outcome": "ok"}, sum(calls.buckets) - failed))
            outcomes.append(({"operation": operation, "outcome": "error"}, failed))
            errors += [({"operation": operation, "code": code}, count) for code, count in calls.errors.items()]
        _family(lines, "upstream_calls_total", "counter", "Calls to AWS, by operation and outcome.", outcomes)
        _family(lines, "upstream_errors_total", "counter", "Calls to AWS that failed, by the error's code.", errors)
        name = "upstream_seconds"
        _family(lines, name, "histogram", "How long calls to AWS took, all attempts together.", ())
        for operation, calls in self._calls.items():
            labels = {"operation": operation}
            count = 0
            for bound, inside in zip((*BUCKETS, float("inf")), calls.buckets, strict=True):
                count += inside
                _sample(lines, f"{name}_bucket", {**labels, "le": _number(bound)}, count)
            _sample(lines, f"{name}_sum", labels, calls.seconds)
            _sample(lines, f"{name}_count", labels, count)


class _Calls:
    """The calls of one operation."""

    __slots__ = ("buckets", "errors", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0
        self.errors: dict[str, int] = {}

    def add(self, code: str, seconds: float) -> None:
        self.buckets[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds
        if code:
            if code not in self.errors and len(self.errors) >= _MOST_CODES:
                code = _OTHER
            self.errors[code] = self.errors.get(code, 0) + 1


def _family(
    lines: list[str], name: str, kind: str, text: str, samples: Iterable[tuple[Mapping[str, str], float]]
) -> None:
    lines.append(f"# HELP {PREFIX}{name} {text}\n# TYPE {PREFIX}{name} {kind}\n")
    for labels, value in samples:
        _sample(lines, name, labels, value)


def _sample(lines: list[str], name: str, labels: Mapping[str, str], value: float) -> None:
    inside = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels.items())
    lines.append(f"{PREFIX}{name}{{{inside}}} {_number(value)}\n" if inside else f"{PREFIX}{name} {_number(value)}\n")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(value)
