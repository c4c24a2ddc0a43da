from strongroom.agent.config import Config, Own, Prefetch
from strongroom.agent.option import Option


def test_place_and_value():
    """The name leads to the value that is in force, the default included."""
    config = Config(http_port=1, prefetch=Prefetch(0.5), own=Own(max_bytes=2))
    port = Option("http_port", "number", "", nested="a.b")
    ratio = Option("prefetch.cache_buffer_ratio", "seconds", "", nested="c.d.e")
    size = Option("strongroom.max_bytes", "number", "")
    assert [option.value(config) for option in (port, ratio, size)] == [1, 0.5, 2]
    assert [option.default for option in (port, ratio, size)] == [2773, 0.8, 67_108_864]
    assert [option.path(nested=False) for option in (port, size)] == [("http_port",), ("strongroom", "max_bytes")]
    assert [option.path(nested=True) for option in (port, size)] == [("a", "b"), ("strongroom", "max_bytes")]
