import contextlib
import os
import subprocess
import sys

import pytest

from strongroom.cli import token_file
from strongroom.errors import StrongroomError

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes")


def test_while_it_is_needed(tmp_path):
    """The token and nothing else, no line end; gone afterwards, whatever happened."""
    with contextlib.suppress(KeyError), token_file.holding(str(tmp_path / "servers"), "secret") as path:
        with open(path, "rb") as file:
            assert file.read() == b"secret"
        raise KeyError
    assert os.listdir(tmp_path / "servers") == []


@posix
def test_for_the_user_alone(tmp_path):
    """File and directory."""
    with token_file.holding(str(tmp_path / "servers"), "secret") as path:
        assert os.stat(path).st_mode & 0o777 == 0o600
        assert os.stat(tmp_path / "servers").st_mode & 0o777 == 0o700


def test_what_the_dead_left(tmp_path):
    """Is removed; files of those who live, and other files, stay."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    for name in (f"token-{ended.pid}", f"token-{os.getppid()}", "token-x", "other"):
        (tmp_path / name).write_text("")
    with token_file.holding(str(tmp_path), "secret") as path:
        assert sorted(os.listdir(tmp_path)) == sorted(
            [os.path.basename(path), f"token-{os.getppid()}", "token-x", "other"]
        )


def test_it_cannot_be_written(tmp_path):
    """A file stands where the directory should be."""
    (tmp_path / "servers").write_text("")
    with pytest.raises(StrongroomError) as caught, token_file.holding(str(tmp_path / "servers"), "secret"):
        pass
    assert caught.value.message.startswith(f"cannot write {tmp_path / 'servers'}")
    assert caught.value.hint == "check its directory"
