import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from strongroom.agent.metrics import BUCKETS, Metrics


def read(text):
    """What an independent reader finds: {sample: value}, by name and labels."""
    found = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            key = (sample.name.removeprefix("strongroom_agent_"), *sorted(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def kinds(text):
    """The type of each family."""
    return {
        family.name.removeprefix("strongroom_agent_"): family.type
        for family in text_string_to_metric_families(text.decode())
    }


def test_the_whole_text():
    """As it is sent."""
    metrics = Metrics()
    metrics.hits, metrics.recalled, metrics.misses, metrics.stale = 3, 40, 2, 1
    metrics.answered("/secretsmanager/get", 200)
    metrics.answered("/secretsmanager/get", 200)
    metrics.answered("none", 404)
    metrics.forbidden("billing")
    metrics.called("GetSecretValue", "", 0.02)
    metrics.called("GetSecretValue", "ResourceNotFoundException", 11.5)
    text = metrics.render({"entries": 2, "bytes": 512, "unheard": 1.5}, {"prod/db": 4.25})
    assert text.decode().splitlines() == [
        "# HELP strongroom_agent_requests_total Requests, by route and status.",
        "# TYPE strongroom_agent_requests_total counter",
        'strongroom_agent_requests_total{route="/secretsmanager/get",status="200"} 2',
        'strongroom_agent_requests_total{route="none",status="404"} 1',
        'strongroom_agent_requests_total{route="recalled",status="200"} 40',
        "# HELP strongroom_agent_hits_total Requests answered from the cache.",
        "# TYPE strongroom_agent_hits_total counter",
        "strongroom_agent_hits_total 43",
        "# HELP strongroom_agent_misses_total Requests that waited for AWS.",
        "# TYPE strongroom_agent_misses_total counter",
        "strongroom_agent_misses_total 2",
        "# HELP strongroom_agent_stale_total Requests answered by what had expired, because AWS could not be asked.",
        "# TYPE strongroom_agent_stale_total counter",
        "strongroom_agent_stale_total 1",
        "# HELP strongroom_agent_forbidden_total Requests refused by a client's policy.",
        "# TYPE strongroom_agent_forbidden_total counter",
        'strongroom_agent_forbidden_total{client="billing"} 1',
        "# HELP strongroom_agent_upstream_calls_total Calls to AWS, by operation and outcome.",
        "# TYPE strongroom_agent_upstream_calls_total counter",
        'strongroom_agent_upstream_calls_total{operation="GetSecretValue",outcome="ok"} 1',
        'strongroom_agent_upstream_calls_total{operation="GetSecretValue",outcome="error"} 1',
        "# HELP strongroom_agent_upstream_errors_total Calls to AWS that failed, by the error's code.",
        "# TYPE strongroom_agent_upstream_errors_total counter",
        'strongroom_agent_upstream_errors_total{operation="GetSecretValue",code="ResourceNotFoundException"} 1',
        "# HELP strongroom_agent_upstream_seconds How long calls to AWS took, all attempts together.",
        "# TYPE strongroom_agent_upstream_seconds histogram",
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="0.01"} 0',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="0.025"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="0.05"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="0.1"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="0.25"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="0.5"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="1.0"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="2.0"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="4.0"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="6.0"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="10.0"} 1',
        'strongroom_agent_upstream_seconds_bucket{operation="GetSecretValue",le="+Inf"} 2',
        'strongroom_agent_upstream_seconds_sum{operation="GetSecretValue"} 11.52',
        'strongroom_agent_upstream_seconds_count{operation="GetSecretValue"} 2',
        "# HELP strongroom_agent_entries Secrets and parameters in the cache.",
        "# TYPE strongroom_agent_entries gauge",
        "strongroom_agent_entries 2",
        "# HELP strongroom_agent_bytes Size of the responses in the cache.",
        "# TYPE strongroom_agent_bytes gauge",
        "strongroom_agent_bytes 512",
        "# HELP strongroom_agent_unheard unheard",
        "# TYPE strongroom_agent_unheard gauge",
        "strongroom_agent_unheard 1.5",
        "# HELP strongroom_agent_secret_age_seconds Time since AWS sent a secret.",
        "# TYPE strongroom_agent_secret_age_seconds gauge",
        'strongroom_agent_secret_age_seconds{secret="prod/db"} 4.25',
    ]
    assert text.endswith(b"\n")


def test_an_independent_reader():
    """Prometheus' own library reads the same numbers and kinds out of it."""
    metrics = Metrics()
    metrics.recalled = 5
    metrics.answered("path", 429)
    metrics.called("GetParameter", "", 0.3)
    text = metrics.render({"entries": 0, "connections": 7}, {})
    found = read(text)
    assert found["requests_total", ("route", "path"), ("status", "429")] == 1
    assert found["requests_total", ("route", "recalled"), ("status", "200")] == 5
    assert (found["hits_total",], found["misses_total",], found["connections",]) == (5, 0, 7)
    assert found["upstream_seconds_bucket", ("le", "0.25"), ("operation", "GetParameter")] == 0
    assert found["upstream_seconds_bucket", ("le", "0.5"), ("operation", "GetParameter")] == 1
    assert found["upstream_seconds_sum", ("operation", "GetParameter")] == 0.3
    assert kinds(text) == {
        "requests": "counter",
        "hits": "counter",
        "misses": "counter",
        "stale": "counter",
        "forbidden": "counter",
        "upstream_calls": "counter",
        "upstream_errors": "counter",
        "upstream_seconds": "histogram",
        "entries": "gauge",
        "connections": "gauge",
        "secret_age_seconds": "gauge",
    }


def test_nothing_yet():
    """Counters begin at 0; secrets are not even a family unless asked for."""
    text = Metrics().render({})
    assert read(text) == {("hits_total",): 0, ("misses_total",): 0, ("stale_total",): 0}
    assert b"secret_age" not in text


@given(st.text(), st.text(), st.floats(0, 1e6))
def test_any_label(secret, client, age):
    """Whatever secrets and clients are called comes back from an independent reader as it was."""
    metrics = Metrics()
    metrics.forbidden(client)
    found = read(metrics.render({}, {secret: age}))
    seen = found.keys()
    assert ("secret_age_seconds", ("secret", _as_sent(secret))) in seen
    assert found["secret_age_seconds", ("secret", _as_sent(secret))] == age
    assert found["forbidden_total", ("client", _as_sent(client))] == 1


def _as_sent(text):
    return text.encode("utf-8", "backslashreplace").decode()


@pytest.mark.parametrize("bound", BUCKETS)
def test_a_bound_belongs_to_its_bucket(bound):
    """As Prometheus has it: less or equal."""
    metrics = Metrics()
    metrics.called("X", "", bound)
    metrics.called("X", "", bound * 1.001)
    found = read(metrics.render({}))
    assert found["upstream_seconds_bucket", ("le", repr(bound)), ("operation", "X")] == 1
    assert found["upstream_seconds_count", ("operation", "X")] == 2


def test_codes_without_end():
    """Whoever answers in AWS' place cannot make a series of each answer."""
    metrics = Metrics()
    for number in range(1_000):
        metrics.called("X", f"Code{number}", 0.1)
    found = {key: value for key, value in read(metrics.render({})).items() if key[0] == "upstream_errors_total"}
    assert len(found) == 201
    assert sum(found.values()) == 1_000
    assert found["upstream_errors_total", ("code", "other"), ("operation", "X")] == 800


def test_many_threads():
    """Calls that end at once are all counted, while the text is made."""
    metrics = Metrics()

    def call():
        for _ in range(500):
            metrics.called("X", "Y", 0.001)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        found = read(metrics.render({}))
        count = found.get(("upstream_seconds_count", ("operation", "X")), 0)
        assert found.get(("upstream_errors_total", ("code", "Y"), ("operation", "X")), 0) == count
    for thread in threads:
        thread.join()
    assert read(metrics.render({}))["upstream_seconds_count", ("operation", "X")] == 4_000
