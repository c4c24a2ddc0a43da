import os
import sys

import pytest

from strongroom.agent import config_loading
from strongroom.agent.config_file import ConfigMistakes
from strongroom.agent.config_loading import load
from strongroom.agent.generations import GENERATIONS

AGENT = GENERATIONS["agent"]
SM = GENERATIONS["sm"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such files")


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A config file that only its owner may use."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "c.toml"
    file.touch(0o600)
    return file


def texts(path):
    """What each generation says of a file."""
    found = []
    for generation in (AGENT, SM):
        with pytest.raises(ConfigMistakes) as raised:
            load(path, generation)
        found.append(raised.value.text)
    return found


def test_origins(path):
    """Where each value comes from; rows and patterns have places of their own."""
    path.write_text(
        "http_port = 3000\nssrf_headers = [\n'X',\n'Y']\n[[prefetch.secrets]]\nsecret_id = 'a'\n"
        "[[prefetch.secrets]]\nsecret_id = 'b'\n[strongroom.ttl]\n'x.*' = 1\n"
    )
    assert load("c.toml", AGENT).origins == load("c.toml", SM).origins == {
        "http_port": "c.toml line 1",
        "ssrf_headers": "c.toml line 2",
        "ssrf_headers[0]": "c.toml line 2",
        "ssrf_headers[1]": "c.toml line 2",
        "prefetch.secrets": "c.toml line 5",
        "prefetch.secrets[0]": "c.toml line 5",
        "prefetch.secrets[1]": "c.toml line 7",
        "strongroom.ttl": "c.toml line 9",
        'strongroom.ttl."x.*"': "c.toml line 10",
    }  # fmt: skip


def test_origin_without_a_line(path):
    """Where the line is not certain the file is told."""
    path.write_text("prefetch.secrets = [\n{secret_id = 'a'},\n]")
    assert load("c.toml", AGENT).origins == {"prefetch.secrets": "c.toml", "prefetch.secrets[0]": "c.toml"}


def test_byte_order_mark(path):
    """Editors on Windows write one."""
    path.write_bytes(b"\xef\xbb\xbfhttp_port = 3000\r\n")
    assert load("c.toml", AGENT).http_port == load("c.toml", SM).http_port == 3000
    assert load("c.toml", SM).origins == {"http_port": "c.toml line 1"}


def test_no_utf_8(path):
    """Told as Rust does."""
    path.write_bytes(b"region = '\xff'")
    assert texts("c.toml") == [
        "stream did not contain valid UTF-8 in c.toml",
        "Configuration validation failed with 1 error(s):\n"
        "  1. Failed to read config file 'c.toml': stream did not contain valid UTF-8",
    ]


def test_directory(path):
    """It is no file to the one, and cannot be read to the other."""
    path.parent.joinpath("d.toml").mkdir()
    agent, sm = texts("d.toml")
    assert agent == 'configuration file "d.toml" not found'
    assert sm.startswith("Configuration validation failed with 1 error(s):\n  1. Failed to read config file 'd.toml': ")


def test_not_allowed(path, monkeypatch):
    """The system's words."""

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(config_loading, "open", refuse, raising=False)
    assert texts("c.toml") == [
        "Permission denied (os error 13) in c.toml",
        "Configuration validation failed with 1 error(s):\n"
        "  1. Failed to read config file 'c.toml': Permission denied (os error 13)",
    ]


def test_path_with_a_nul(path):
    """No file has such a name."""
    agent, sm = texts("c\0.toml")
    assert agent == 'configuration file "c\\u{0}.toml" not found'
    assert sm.endswith("Invalid argument (os error 22)")


@POSIX
def test_file_without_end(monkeypatch):
    """A device that is named by mistake is not read to its end."""
    with pytest.raises(ConfigMistakes) as raised:
        load("/dev/zero", SM)
    assert raised.value.message == "Failed to read config file '/dev/zero': more than 4194304 bytes"


@POSIX
@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o644, False), (0o664, True), (0o602, True)])
def test_others_may_write(path, mode, is_told):
    """Who may write to the file decides which roles are used."""
    path.chmod(mode)
    told = f"c.toml: others than its owner may write to the configuration file (mode {mode:04o}); chmod go-w takes that away"
    for generation in (AGENT, SM):
        assert load("c.toml", generation).warnings == ((told,) if is_told else ())


@POSIX
def test_somebody_else_s(path, monkeypatch):
    """Its owner may write to it; that should be root or us."""
    told = "c.toml: the configuration file belongs to neither root nor us (uid 4711)"
    for owner, us, warnings in ((4711, 4711, ()), (0, 4711, ()), (4711, 0, (told,))):
        state = os.stat_result((0o100600, 0, 0, 1, owner, 0, 0, 0, 0, 0))
        monkeypatch.setattr(config_loading.os, "fstat", lambda _, state=state: state)
        monkeypatch.setattr(config_loading.os, "geteuid", lambda us=us: us)
        assert load("c.toml", AGENT).warnings == warnings


def test_path_of_the_file_that_was_found(path):
    """With the ending that was appended."""
    assert load("c", AGENT).path == "c.toml"
    assert load(str(path), AGENT).path == str(path)


@POSIX
def test_pipe(path):
    """A shell's `<(...)` is read, and has no mode to speak of."""
    reading, writing = os.pipe()
    os.write(writing, b"http_port = 3000")
    os.close(writing)
    try:
        config = load(f"/dev/fd/{reading}", SM)
    finally:
        os.close(reading)
    assert config.http_port == 3000
    assert [warning.partition(": ")[2][:13] for warning in config.warnings] == ["the flat form"]


def test_on_another_drive(path, monkeypatch):
    """A path that cannot be told from here is told whole."""

    def refuse(_):
        raise ValueError

    monkeypatch.setattr(config_loading.os.path, "relpath", refuse)
    path.write_text("a b")
    assert texts(str(path))[0].endswith(f" in {path}")
