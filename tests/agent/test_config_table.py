import pytest

from strongroom.agent import config_file
from strongroom.agent.config import Config
from strongroom.agent.generations import GENERATIONS
from strongroom.agent.options import OPTIONS

AGENT = GENERATIONS["agent"]
SM = GENERATIONS["sm"]


def rows(config, generation):
    return [line.split(maxsplit=1) for line in config_file.describe(config, generation).split("\n")]


@pytest.mark.parametrize(("generation", "nested"), [(AGENT, False), (SM, True)], ids=["agent", "sm"])
def test_every_option(generation, nested):
    """All options in the order of their table, each by default, under the names of the original's form."""
    found = rows(Config(), generation)
    assert [name for name, _ in found] == [".".join(option.path(nested)) for option in OPTIONS]
    assert all(rest.endswith("default") for _, rest in found)


def test_columns_are_aligned():
    """Three columns, no blanks at the end."""
    lines = config_file.describe(Config(), AGENT).split("\n")
    assert len({line.rindex("default") for line in lines}) == 1
    assert len({line.index(line.split(maxsplit=1)[1]) for line in lines}) == 1
    assert not [line for line in lines if line != line.rstrip()]


def test_values(tmp_path, monkeypatch):
    """Each as TOML has it, rows below their option, where each comes from behind it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(
        "region = 'r\\u001b'\nprefetch.secrets = [{secret_id = 'a'}]\nssrf_headers = ['X', 'é\"']\n".replace(
            "'r\\u001b'", '"r\\u001b"'
        )
        + "[strongroom]\nunix_socket = '/x'\nunix_socket_mode = '660'\nheader_timeout_seconds = 0.5\n"
        "[strongroom.ttl]\n'a.*' = 60\nb = 0\n[[strongroom.clients]]\nname = 'c'\nuid = 0\nroles = ['r']\n",
        encoding="utf-8",
    )
    config = config_file.load("c.toml", AGENT)
    found = {name: rest for name, rest in rows(config, AGENT) if not rest.endswith("default")}
    assert {name: " ".join(rest.split()) for name, rest in found.items()} == {
        "ssrf_headers": '["X", "é\\""] c.toml line 3',
        "region": '"r\\u001b" c.toml line 1',
        "prefetch.secrets[0]": '{ secret_id = "a" } c.toml line 2',
        "strongroom.unix_socket": '"/x" c.toml line 5',
        "strongroom.unix_socket_mode": '"0660" c.toml line 6',
        'strongroom.ttl."a.*"': "60 c.toml line 9",
        "strongroom.ttl.b": "0 c.toml line 10",
        "strongroom.header_timeout_seconds": "0.5 c.toml line 7",
        "strongroom.clients[0]": '{ name = "c", uid = 0, roles = ["r"] } c.toml line 11',
    }
    nested = dict(rows(config, SM))
    assert nested["capabilities.secrets_manager.prefetch.secrets[0]"].split() == found["prefetch.secrets[0]"].split()
