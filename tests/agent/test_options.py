import dataclasses

import pytest

from strongroom.agent.config import Config, Own, Prefetch
from strongroom.agent.options import OPTIONS, in_form, known_keys


def test_every_field_has_its_option():
    """What the config holds is what the file can say, and nothing else."""
    fields = {field.name for field in dataclasses.fields(Config)} - {"path", "origins", "warnings", "own", "prefetch"}
    fields |= {f"prefetch.{field.name}" for field in dataclasses.fields(Prefetch)}
    fields |= {f"strongroom.{field.name}" for field in dataclasses.fields(Own)}
    assert sorted(option.name for option in OPTIONS) == sorted(fields)


def test_no_place_is_taken_twice():
    """In either form each option has a place of its own."""
    for nested in (False, True):
        paths = [option.path(nested) for option in in_form(nested)]
        assert len(set(paths)) == len(paths)
        assert not [path for path in paths for other in paths if other[: len(path)] == path and other != path]


@pytest.mark.parametrize("option", [*OPTIONS, *(c for o in OPTIONS for c in o.columns)], ids=lambda option: option.name)
def test_option_is_whole(option):
    """Each says what it does, and what is said of a wrong value if there can be one."""
    assert option.summary.endswith(".")
    can_be_wrong = option.kind in {"number", "seconds", "times", "octal"} or option.pattern is not None
    assert bool(option.message) == (can_be_wrong or (option.kind == "texts" and option.low > 0))
    assert bool(option.columns) == bool(option.row_name) == (option.kind == "rows")


@pytest.mark.parametrize(
    "option", [o for o in OPTIONS if o.kind in {"number", "seconds"}], ids=lambda option: option.name
)
def test_defaults_are_in_range(option):
    """A default could stand in the file, and the message tells the range."""
    assert option.low <= option.default <= option.high
    assert f"{option.low} to {option.high}" in option.message


def test_keys_of_the_flat_form():
    """The order is that of the original's list."""
    keys = known_keys(nested=False)
    assert set(keys) == {(), ("prefetch",), ("strongroom",)}
    assert keys[()][:3] == ("log_level", "log_to_file", "http_port")
    assert keys[()][-3:] == ("max_roles", "prefetch", "strongroom")
    assert keys["prefetch",] == ("cache_buffer_ratio", "max_jitter_seconds", "secrets", "filter_tags")


def test_keys_of_the_nested_form():
    """Sections, and tables inside of them."""
    keys = known_keys(nested=True)
    start = ("capabilities", "secrets_manager")
    assert keys[()] == ("logging", "capabilities", "strongroom")
    assert keys["capabilities",] == ("secrets_manager", "acm")
    assert keys[*start, "cache"] == ("ttl_seconds", "cache_size")
    assert keys[*start, "security"] == ("ssrf_headers", "ssrf_env_variables")
    assert "enabled" in keys[start]
    assert "enabled" not in known_keys(nested=False)[()]
