import os
import subprocess
import sys
import threading

import pytest

from strongroom.cli import text_file

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in its file system")


@pytest.mark.parametrize("content", [b"", b"a", b"a\r\nb\n\xff\0", b"x" * 100_000])
def test_a_file_is_read_whole(tmp_path, content):
    """Every byte, line ends too."""
    (tmp_path / "file").write_bytes(content)
    assert text_file.read(str(tmp_path / "file")) == content


def test_the_null_device_is_empty():
    """AWS_CONFIG_FILE=/dev/null is how people say "none"."""
    assert text_file.read(os.devnull) == b""


@pytest.mark.skipif(not os.path.isdir("/dev/fd"), reason="needs descriptors that have names")
def test_a_pipe_is_read_to_its_end(tmp_path):
    """As a shell's <(command) gives it: in pieces, and for as long as somebody has it open for writing."""
    read, write = os.pipe()
    code = f"import os, sys; sys.stdin.read(); os.write({write}, b'a'); os.write({write}, b'b')"
    with subprocess.Popen([sys.executable, "-Ic", code], pass_fds=[write], stdin=subprocess.PIPE) as writer:
        os.close(write)
        threading.Thread(target=writer.stdin.close).start()
        assert text_file.read(f"/dev/fd/{read}") == b"ab"
    assert text_file.read(f"/dev/fd/{read}") == b""
    os.close(read)


@posix
def test_a_pipe_that_nobody_fills(tmp_path, monkeypatch):
    """It is given up after a while; one that does not end, when it is too large."""
    os.mkfifo(tmp_path / "pipe")
    held = os.open(tmp_path / "pipe", os.O_RDWR)
    monkeypatch.setattr(text_file, "PIPE_SECONDS", 0.05)
    for content in (b"", b"[default]"):
        os.write(held, content)
        with pytest.raises(TimeoutError, match=r"a pipe that was not written to its end within 0\.05 seconds"):
            text_file.read(str(tmp_path / "pipe"))
    monkeypatch.setattr(text_file, "LIMIT_BYTES", 10)
    os.write(held, b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        text_file.read(str(tmp_path / "pipe"))
    os.close(held)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="needs a device without an end")
def test_a_device_without_an_end_is_refused():
    """It would fill the memory."""
    with pytest.raises(OSError, match="not a regular file"):
        text_file.read("/dev/zero")


def test_a_directory_is_refused(tmp_path):
    """In the system's own words."""
    with pytest.raises(OSError) as caught:
        text_file.read(str(tmp_path))
    assert sys.platform == "win32" or caught.type is IsADirectoryError


def test_a_file_that_is_too_large(tmp_path, monkeypatch):
    """A wrong file, or one that does not stop growing, must not fill the memory."""
    monkeypatch.setattr(text_file, "LIMIT_BYTES", 10)
    (tmp_path / "file").write_bytes(b"x" * 10)
    assert text_file.read(str(tmp_path / "file")) == b"x" * 10
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(OSError, match="larger than 10 bytes"):
        text_file.read(str(tmp_path / "file"))
