import pytest

from strongroom.agent.config_formats import Document
from strongroom.agent.config_reader import Reader
from strongroom.agent.generations import GENERATIONS

AGENT = GENERATIONS["agent"]
SM = GENERATIONS["sm"]


def read(data, generation=AGENT, lines=None):
    return Reader(Document(data, lines or {}), "f", generation)


def test_values_and_their_places():
    """What is set and right, by the names of the flat form, in either form."""
    reader = read({"HTTP_PORT": "3000", "Prefetch": {"Secrets": []}}, lines={("HTTP_PORT",): 7})
    assert reader.values == {"http_port": 3000, "prefetch.secrets": ()}
    assert reader.paths == {"http_port": ("http_port",), "prefetch.secrets": ("prefetch", "secrets")}
    assert reader.line(("http_port",)) == 7
    assert reader.line(("prefetch",)) is None
    assert (reader.is_nested, reader.mistakes) == (False, [])
    nested = read({"capabilities": {"secrets_manager": {"http_port": 3000}}}, SM)
    assert nested.values == {"http_port": 3000}
    assert nested.paths == {"http_port": ("capabilities", "secrets_manager", "http_port")}
    assert nested.is_nested


def test_patterns_keep_their_letter_case():
    """Keys of the TTL table are not words of ours; those of rows are."""
    data = {"STRONGROOM": {"TTL": {"App/*": 1, "app/*": 2}, "Clients": [{"NAME": "A", "UID": "5"}]}}
    lines = {("STRONGROOM", "TTL", "App/*"): 3, ("STRONGROOM", "Clients", 0, "UID"): 4}
    reader = read(data, lines=lines)
    assert reader.mistakes == []
    assert reader.values["strongroom.ttl"] == (("App/*", 1), ("app/*", 2))
    assert reader.line(("strongroom", "ttl", "App/*")) == 3
    assert reader.line(("strongroom", "clients", 0, "uid")) == 4
    client = {"name": "A", "token_file": None, "uid": 5, "secrets": None, "roles": None}
    assert reader.values["strongroom.clients"] == (client,)


def test_what_is_wrong_is_not_a_value():
    """A mistake in one row or element takes the whole list away, and nothing else."""
    data = {
        "ssrf_headers": ["X", []],
        "http_port": 3000,
        "prefetch": {"secrets": [{"secret_id": "a"}, {}]},
        "strongroom": {"ttl": {"a": 1, "b": -1}, "allowed_hosts": ["a", "b c"]},
    }
    reader = read(data)
    assert reader.values == {"http_port": 3000}
    assert [mistake.field for mistake in reader.mistakes] == [
        "ssrf_headers[1]",
        "prefetch.secrets[1]",
        "strongroom.allowed_hosts[1]",
        "strongroom.ttl.b",
    ]


@pytest.mark.parametrize(
    ("key", "near"),
    [("max_con", "max_conn"), ("ssrf_header", "ssrf_headers"), ("capability", "capabilities"), ("qqq", "")],
)
def test_nearest_key(key, near):
    """A key that is nearly one of ours brings up that one."""
    [mistake] = read({key: 1}, SM).mistakes
    assert mistake.advice == (f"did you mean '{near}'?" if near else "")


def test_key_that_would_act_on_a_terminal():
    """It is shown escaped."""
    [mistake] = read({"a\x1b[2j\n`": 1}).mistakes
    assert mistake.message.startswith("unknown field `a\\u{1b}[2j\\n``, expected one of ")
    assert mistake.field == '"a\\u{1b}[2j\\n`"'


def test_value_of_an_unknown_key_is_not_shown():
    """Nobody knows what it is."""
    for generation in (AGENT, SM):
        [mistake] = read({"token": "hunter2"}, generation).mistakes
        assert "hunter2" not in mistake.plain() + mistake.numbered()


def test_very_deep_data():
    """What lies deeper than options is not walked through."""
    data = inner = {}
    for _ in range(5000):
        inner["a"] = {}
        inner = inner["a"]
    for generation in (AGENT, SM):
        assert len(read(data, generation).mistakes) == 1
        assert len(read({"region": data}, generation).mistakes) == 1
    while data:  # taking it apart at once would need as deep a stack
        data = data.pop("a")


def test_nothing_in_a_rows_place():
    """A column that is null is one that is not there."""
    data = {"prefetch": {"secrets": [{"secret_id": "a", "role_arn": None}]}}
    assert read(data).values == {"prefetch.secrets": ({"secret_id": "a", "role_arn": None},)}
    [mistake] = read({"prefetch": {"secrets": [{"secret_id": None}]}}).mistakes
    assert mistake.plain() == "missing field `secret_id` (prefetch.secrets[0])"
