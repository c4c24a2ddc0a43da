import json

import pytest

from harness.endpoints import HOST, TOKEN, Bench
from strongroom.endpoints.ecs import Entry
from strongroom.endpoints.standing import Standing


@pytest.fixture
def bench():
    made = Bench()
    entry = Entry(made.slot, TOKEN, assume=made.assumed)
    made.serve(Standing({"jon": entry}, hosts={HOST}, scope=made.scope, log=made.lines.append, clock=made.clock))
    yield made
    made.close()


def test_the_status(bench):
    """Says until when the credentials of the token's profile are good; nothing is fetched to tell."""
    reply = bench.send("/status")
    assert (reply.status, json.loads(reply.body)) == (200, {"Profile": "jon", "Expiration": None})
    assert reply.headers["cache-control"] == "no-store"
    given = json.loads(bench.fetch("/").body)
    assert json.loads(bench.send("/status").body) == {"Profile": "jon", "Expiration": given["Expiration"]}
    bench.pass_by(100_000)
    assert json.loads(bench.send("/status").body) == {"Profile": "jon", "Expiration": None}


@pytest.mark.parametrize("how", [{"token": None}, {"token": TOKEN[:-1]}])
def test_without_the_token(bench, how):
    """Nothing is told."""
    assert bench.send("/status", **how).status == 403


def test_other_methods(bench):
    """Are none of it."""
    assert bench.send("/status", method="POST").status == 405


def test_renewal(bench):
    """Only what somebody has asked for is fetched anew; until then the old ones are handed out."""
    bench.site.renew()
    bench.settle()
    assert bench.fetched.calls == 0
    first = key_id(bench.fetch("/"))
    bench.calls.is_held = True
    bench.run(_renewed(bench.site))
    assert key_id(bench.fetch("/")) == first
    bench.calls.run()
    bench.settle()
    assert bench.fetched.calls == 2
    assert key_id(bench.fetch("/")) != first


async def _renewed(site):
    site.renew()
    site.renew()


def key_id(reply):
    return json.loads(reply.body)["AccessKeyId"]
