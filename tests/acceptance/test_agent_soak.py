"""Many clients, random requests, a ttl of a second, and an AWS that fails a fifth of the time: nothing wrong comes of it.

`benchmarks/soak.py` does the same for longer.
"""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import soak

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the fake AWS ends with its stdin, as POSIX has it")


def test_under_load_while_aws_fails_every_answer_is_the_right_one(tmp_path):
    """No wrong value, no older one after a newer, no error for what is cached, no growth of memory; and the load was real:
    there were hits, stale answers, failures of all kinds, and forced refreshes."""
    report = soak.soak(tmp_path, soak.Load(clients=40, seconds=8, names=60, pause=0.04))

    assert dict(report.troubles) == {}
    assert {what for kind, what in report.kinds if kind == "plain"} >= {"answered", "stale"}
    assert all(report.counts[mode] > 0 for mode in soak.upstream.MODES)
    assert report.kinds["refreshNow", "answered"] > 0
