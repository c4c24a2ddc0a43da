import asyncio
import sys

from strongroom.cli import event_loop


def test_the_fastest(monkeypatch):
    """uvloop's where it is installed, else asyncio's own."""
    factory = event_loop.factory() or asyncio.new_event_loop
    loop = factory()
    try:
        assert type(loop).__module__.partition(".")[0] in {"uvloop", "asyncio"}
    finally:
        loop.close()
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert event_loop.factory() is None
