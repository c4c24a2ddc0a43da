import sys

import pytest

from strongroom.cli import resources

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")


class Resource:
    """Limits of another process: descriptors (soft, hard); *refused* ones cannot be set."""

    RLIMIT_CORE, RLIMIT_NOFILE, RLIM_INFINITY = "core", "files", -1

    def __init__(self, soft, hard, refused=()):
        self.limits = {"core": (5, 9), "files": (soft, hard)}
        self.refused = dict(refused)

    def getrlimit(self, name):
        return self.limits[name]

    def setrlimit(self, name, limits):
        if name in self.refused:
            raise self.refused[name]
        self.limits[name] = limits


@posix
@pytest.mark.parametrize(
    ("most", "soft", "hard", "files"),
    [
        (800, 256, 20_000, (4224, 20_000)), (800, 256, -1, (4224, -1)), (1000, 256, 1000, (1000, 1000)),
        (800, 10_000, 20_000, (10_000, 20_000)), (1_000_000, 256, -1, (65_536, -1)), (1, 100, 100, (100, 100)),
    ],
)  # fmt: skip
def test_limits(monkeypatch, most, soft, hard, files):
    """As many descriptors as connections may need, as far as the hard limit goes, and never fewer; no core."""
    fake = Resource(soft, hard)
    monkeypatch.setitem(sys.modules, "resource", fake)
    resources.limit(most)
    assert fake.limits == {"core": (0, 0), "files": files}


@posix
@pytest.mark.parametrize("trouble", [OSError(1, "Operation not permitted"), ValueError("not allowed to raise")])
def test_limits_that_cannot_be_set(monkeypatch, trouble):
    """Stay as they are, each for itself."""
    for name, expected in (
        ("core", {"core": (5, 9), "files": (1024 + 40, 9999)}),
        ("files", {"core": (0, 0), "files": (7, 9999)}),
    ):
        fake = Resource(7, 9999, {name: trouble})
        monkeypatch.setitem(sys.modules, "resource", fake)
        resources.limit(10)
        assert fake.limits == expected


def test_limits_of_windows(monkeypatch):
    """There are none to set."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "resource", None)
    resources.limit(10)
