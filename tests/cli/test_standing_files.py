import os
import sys

import pytest

from strongroom.cli import standing_files
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.standing_files import Files, state_directory
from strongroom.cli.terminal import Talk
from strongroom.endpoints.state import State
from strongroom.errors import StrongroomError

posix = pytest.mark.skipif(sys.platform == "win32", reason="modes are others there")


def settings_of(environ):
    return Settings(Arguments({}, []), environ, Talk("strongroom"), "serve")


@pytest.fixture
def files(home):
    return Files(settings_of(home.environ))


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="the place is another one there")
def test_the_place():
    """As freedesktop.org has it; a relative path there is to be ignored."""
    assert state_directory(settings_of({"HOME": "/h"})) == "/h/.local/state/strongroom"
    assert state_directory(settings_of({"HOME": "/h", "XDG_STATE_HOME": "s"})) == "/h/.local/state/strongroom"
    assert state_directory(settings_of({"XDG_STATE_HOME": "/s"})) == "/s/strongroom"
    with pytest.raises(StrongroomError):
        state_directory(settings_of({}))


@pytest.mark.skipif(sys.platform == "win32", reason="a path of another form")
def test_names(files):
    """Each profile has a directory of its own, whatever it is called."""
    mounts = os.path.dirname(files.mount("x"))
    assert files.mount("a/../b c") == f"{mounts}/a%2F..%2Fb%20c"
    assert files.mount("..") == f"{mounts}/%2E%2E"
    assert files.mount(".") == f"{mounts}/%2E"
    assert files.token("x") == f"{mounts}/x/token"
    assert files.socket("x") == f"{mounts}/x/socket"


@posix
def test_the_state(files, capsys):
    """For the user alone; what is missing is empty, without a word."""
    assert (files.read().port, capsys.readouterr().err) == (0, "")
    files.write(State(4711, {"jon": "j" * 40}, ["jon"]))
    assert files.read().tokens == {"jon": "j" * 40}
    assert os.stat(files.state).st_mode & 0o777 == 0o600
    os.unlink(files.state)
    os.mkdir(files.state)
    assert files.read().port == 0
    assert "is not used, and made anew: is a directory" in capsys.readouterr().err


def test_one_at_a_time(files, monkeypatch):
    """Whoever is the server is known by its process, until it has ended."""
    monkeypatch.setattr(standing_files, "PATIENCE_SECONDS", 0)
    assert files.server() == 0
    with files._lock(0, standing_files._LOOKING):
        assert files.server() == 0  # but another who looks
    with files.claim():
        assert files.server() == os.getpid()
        assert not files.has_ended(0)
        with pytest.raises(StrongroomError) as caught:
            files.claim()
        assert caught.value.message == f"a server is running already: process {os.getpid()}, for nothing yet"
    assert files.has_ended(0)


@posix
def test_the_log(files, monkeypatch):
    """For the user alone, appended to; a long one is set aside."""
    for text in (b"one\n", b"two\n"):
        descriptor = files.open_log()
        os.write(descriptor, text)
        os.close(descriptor)
    with open(files.log, "rb") as file:
        assert file.read() == b"one\ntwo\n"
        assert os.fstat(file.fileno()).st_mode & 0o777 == 0o600
    monkeypatch.setattr(standing_files, "MOST_LOG_BYTES", 7)
    os.close(files.open_log())
    assert os.path.getsize(files.log) == 0
    with open(f"{files.log}.1", "rb") as file:
        assert file.read() == b"one\ntwo\n"
    os.unlink(files.log)
    os.symlink("/dev/null", files.log)
    with pytest.raises(StrongroomError) as caught:
        files.open_log()
    assert caught.value.message.startswith(f"cannot write {files.log}: ")
