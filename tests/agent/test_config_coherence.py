import pytest

from strongroom.agent import config_file
from strongroom.agent.config_file import ConfigMistakes
from strongroom.agent.generations import GENERATIONS

AGENT = GENERATIONS["agent"]
SM = GENERATIONS["sm"]


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Load a config file with the given text."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "c.toml"
    path.touch(0o600)

    def load(text, generation):
        path.write_text(text, encoding="utf-8")
        return config_file.load("c.toml", generation)

    return load


@pytest.fixture
def refused(loaded):
    """Load a config file that has mistakes and return what is said of them."""

    def load(text, generation):
        with pytest.raises(ConfigMistakes) as raised:
            loaded(text, generation)
        return raised.value.text

    return load


def test_clients_refused_together(refused):
    """Two of one name, and one that nobody could be."""
    text = "[[strongroom.clients]]\nname = 'a'\nuid = 1\n[[strongroom.clients]]\nname = 'a'\n"
    assert refused(text, AGENT).split("\n") == [
        "The names of clients must be unique; strongroom.clients[0] has it too. (strongroom.clients[1].name: got 'a', line 5)",
        'Client "a" needs a token_file or a uid; nobody could be it. (strongroom.clients[1]: line 4)',
    ]


def test_client_that_no_listener_could_tell(loaded):
    """A user id is seen on the Unix socket only."""
    text = (
        "[[strongroom.clients]]\nname = 'a'\nuid = 1\n[[strongroom.clients]]\nname = 'b'\nuid = 2\ntoken_file = 't'\n"
    )
    warning = 'c.toml: client "a" is known by its uid only, and there is no unix_socket to tell it'
    assert loaded(text, AGENT).warnings == (warning,)
    assert loaded(text + "[strongroom]\nunix_socket = '/x'", AGENT).warnings == ()


def test_times_that_contradict(loaded, refused):
    """All attempts together may not take less than one."""
    told = "The time for all attempts (1 seconds) can't be less than that for one (2 seconds)."
    expected = f"{told} (strongroom.total_timeout_seconds: line 1)"
    assert refused("strongroom.total_timeout_seconds = 1", AGENT) == expected
    told = "The time for all attempts (6 seconds) can't be less than that for one (7 seconds)."
    expected = f"{told} (strongroom.attempt_timeout_seconds: line 1)"
    assert refused("strongroom.attempt_timeout_seconds = 7", AGENT) == expected


def test_clients_of_one_user(refused):
    """Nobody could tell them apart."""
    text = (
        "[[strongroom.clients]]\nname = 'a'\nuid = 0\n[[strongroom.clients]]\nname = 'b'\ntoken_file = 't'\nuid = 0\n"
    )
    expected = "The user ids of clients must be unique; strongroom.clients[0] has it too. (strongroom.clients[1].uid: got 0, line 7)"
    assert refused(text, AGENT) == expected


def test_the_same_twice(loaded):
    """What is fetched twice is told, by its place in the form of the file."""
    text = (
        "[[capabilities.secrets_manager.prefetch.secrets]]\nsecret_id = 'a'\n" * 2
        + "[[capabilities.secrets_manager.prefetch.filter_tags]]\nkey = 'a'\n"
    )
    start = "capabilities.secrets_manager.prefetch.secrets"
    assert loaded(text, SM).warnings == (f"c.toml: {start}[1] is the same as {start}[0]",)
