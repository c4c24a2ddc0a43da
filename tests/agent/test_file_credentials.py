import os
import sys
import threading

import pytest

from strongroom.agent.failure import Failure
from strongroom.agent.file_credentials import LIMIT_BYTES, FileCredentials
from strongroom.credentials import Credentials

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such files")
TEXT = "[default]\naws_access_key_id = ASIAONE\naws_secret_access_key = hush\naws_session_token = token\n"
ONE = Credentials("ASIAONE", "hush", "token")
TWO = Credentials("ASIATWO", "hush", "token")


class Log:
    def __init__(self):
        self.lines = []
        self.changed = threading.Condition()

    def __getattr__(self, level):
        def write(message):
            with self.changed:
                self.lines.append(f"{level.upper()} {message}")
                self.changed.notify_all()

        return write

    def wait_for(self, line):
        with self.changed:
            assert self.changed.wait_for(lambda: line in self.lines, 30), self.lines


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "credentials"


@pytest.fixture
def made(path, log):
    """Start a reader of the file; all end with the test."""
    started = []

    def make(*, token=False, **environ):
        started.append(FileCredentials(str(path), environ, log, wants_session_token=token))
        started[-1].start()
        return started[-1]

    yield make
    for each in started:
        each.close()


def write(path, text=TEXT, mode=0o600):
    """Replace the file, so that its state differs whatever the clock's resolution."""
    new = path.with_suffix(".new")
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    new.chmod(mode)
    new.replace(path)


def test_a_good_file(path, log, made):
    """Its credentials are there at once."""
    write(path)
    assert made().current() == ONE
    assert log.lines == [
        f"INFO Using file-based credentials from: {path}",
        f"INFO Loaded file-based credentials from: {path}",
    ]


def test_the_profile_that_the_environment_names(path, made):
    """AWS_PROFILE, as for an SDK; empty is none."""
    write(path, TEXT + TEXT.replace("default", "p").replace("ONE", "TWO"))
    assert made(AWS_PROFILE="p").current() == TWO
    assert made(AWS_PROFILE="").current() == ONE


def test_long_term_keys(path, made):
    """One original takes them."""
    write(path, TEXT.replace("aws_session_token", "other"))
    assert made().current() == Credentials("ASIAONE", "hush")


SECURITY = (
    "Security Policy Violation: Long-term IAM User credentials are not permitted. The file must hold temporary "
    "credentials, with an aws_session_token"
)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (None, "No such file or directory"),
        ("", "it has no section [default]"),
        ("garbage", "it has no section [default]"),
        (b"\xff\xfe\x00", "it has no section [default]"),
        ("[other]\n", "it has no section [default]"),
        ("[default]\n", "[default] has no aws_access_key_id"),
        ("[default]\naws_access_key_id=A\n", "[default] has no aws_secret_access_key"),
        ("[default]\naws_access_key_id=\naws_secret_access_key=s\n", "[default] has no aws_access_key_id"),
        ("[default]\naws_access_key_id=A\naws_secret_access_key=s\n", SECURITY),
        ("[default]\naws_access_key_id=A\naws_secret_access_key=s\naws_session_token=\n", SECURITY),
        (TEXT.replace("hush", "h\u00fcsh"), "aws_secret_access_key holds characters that it cannot have"),
        (TEXT.replace("token\n", "tok\x07en\n"), "aws_session_token holds characters that it cannot have"),
        (TEXT + "#" * LIMIT_BYTES, f"it is larger than {LIMIT_BYTES} bytes"),
        ("[default]\ncredential_process = touch /tmp/x\n", "[default] has no aws_access_key_id"),
    ],
)
def test_a_bad_file(path, log, made, text, why):
    """The start goes on, and the reason is told; calls fail, for the moment."""
    if text is not None:
        write(path, text)
    file = made(token=True)
    missing = (
        f"WARN Configured credentials_file_path does not exist yet: {path}. The agent will watch for it to appear."
    )
    assert log.lines == [missing] * (text is None) + [
        f"INFO Using file-based credentials from: {path}",
        f"WARN Could not load credentials from {path}: {why}. The agent will retry every 300 seconds.",
    ]
    with pytest.raises(Failure) as caught:
        file.current()
    failure = caught.value
    assert (failure.status, failure.code, failure.message, failure.kind) == (500, "InternalFailure", "", "transient")
    assert failure.reason == f"No credentials available: {path} has not given any yet"
    assert not failure.outage


@POSIX
@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_what_is_no_file(path, log, made, kind):
    """It is not waited for."""
    path.mkdir() if kind == "directory" else os.mkfifo(path)
    made()
    assert log.lines[0].startswith("WARN Configured credentials_file_path does not exist yet")
    why = "Is a directory" if kind == "directory" else "it is not a regular file"
    assert (
        log.lines[2] == f"WARN Could not load credentials from {path}: {why}. The agent will retry every 300 seconds."
    )


@POSIX
@pytest.mark.parametrize("mode", [0o600, 0o400, 0o644, 0o640, 0o604, 0o620])
def test_a_file_that_others_may_read(path, log, made, mode):
    """Is taken, and warned of each time it is read."""
    write(path, mode=mode)
    assert made().current() == ONE
    warning = (
        f"WARN Credentials file {path} has broad permissions ({mode:o}). "
        "Consider restricting to owner-only (chmod 600)."
    )
    assert log.lines.count(warning) == (1 if mode & 0o077 else 0)


@POSIX
@pytest.mark.parametrize("mode", [0o602, 0o666, 0o777])
def test_a_file_that_everybody_may_write(path, log, made, mode):
    """Anybody could have written these credentials."""
    write(path, mode=mode)
    made()
    assert log.lines[1] == (
        f"WARN Could not load credentials from {path}: everybody may write to it ({mode:o}). "
        "The agent will retry every 300 seconds."
    )


# Reloading


def test_a_file_that_changes(path, log, made):
    """Its new credentials count from then on; one that has not changed is not read."""
    write(path)
    file = made()
    file.reload()
    assert len(log.lines) == 2
    write(path, TEXT.replace("ONE", "TWO"))
    file.reload()
    assert file.current() == TWO
    assert log.lines[2:] == [f"DEBUG Successfully reloaded credentials from {path}"]


def test_a_file_that_appears(path, made):
    """As one that changes."""
    file = made()
    write(path)
    file.reload()
    assert file.current() == ONE


def test_a_file_that_turns_bad(path, log, made):
    """The old credentials stay, and each time it is tried again, changed or not."""
    write(path)
    file = made()
    write(path, "garbage")
    for _ in range(2):
        file.reload()
    path.unlink()
    file.reload()
    assert file.current() == ONE
    warning = f"WARN Failed to reload credentials from {path}: "
    assert log.lines[2:] == [warning + "it has no section [default]"] * 2 + [warning + "No such file or directory"]
    write(path, TEXT.replace("ONE", "TWO"))
    file.reload()
    assert file.current() == TWO


def test_a_file_that_was_bad_at_start(path, made):
    """Is read again without a change: what was wrong with it may have been its mode."""
    write(path, mode=0o666)
    file = made()
    path.chmod(0o600)
    file.reload()
    assert file.current() == ONE


def test_a_file_that_is_written_while_it_is_read(path, made, monkeypatch):
    """Is read again: what tells whether it changed is taken before its content."""
    from strongroom.agent import file_credentials

    write(path)
    real = file_credentials._content

    def content(name):
        found = real(name)
        monkeypatch.setattr(file_credentials, "_content", real)
        write(path, TEXT.replace("ONE", "TWO"))
        return found

    monkeypatch.setattr(file_credentials, "_content", content)
    file = made()
    assert file.current() == ONE
    file.reload()
    assert file.current() == TWO


def test_a_file_rewritten_within_the_clocks_resolution(path, made):
    """Another file has another number, and mostly another size."""
    write(path)
    file = made()
    found = path.stat()
    write(path, TEXT.replace("ONE", "TWO"))
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    file.reload()
    assert file.current() == TWO


def test_credentials_that_aws_refuses(path, made):
    """The file is looked at, at once; without a change there are no others."""
    write(path)
    file = made()
    assert not file.renew(ONE)
    write(path, TEXT.replace("ONE", "TWO"))
    assert file.renew(ONE)
    assert file.current() == TWO
    assert file.renew(ONE)
    assert not file.renew(TWO)


def test_the_period(path, log, made):
    """The file is read again by itself."""
    file = made(SMA_CREDENTIALS_RELOAD_SECS="1", SMA_DISABLE_IDENTITY_CACHE="")
    assert file.reload_seconds == 1
    assert log.lines[2].endswith("The agent will retry every 1 seconds.")
    write(path)
    log.wait_for(f"DEBUG Successfully reloaded credentials from {path}")
    assert file.current() == ONE


@pytest.mark.parametrize("text", ["0", "-1", "", "soon", "1.5", "1" * 30, "\u0661"])
def test_a_period_that_is_none(log, path, text):
    """Is ignored, and said so."""
    file = FileCredentials(str(path), {"SMA_CREDENTIALS_RELOAD_SECS": text}, log, wants_session_token=False)
    assert file.reload_seconds == 300
    assert log.lines == [f"WARN SMA_CREDENTIALS_RELOAD_SECS is not a number of seconds: {text!r}; using 300"]


def test_the_end(path, made):
    """The reader's thread ends; ending twice, or before the start, is no mistake."""
    write(path)
    file = made()
    file.close()
    assert not file._thread.is_alive()
    file.close()
    FileCredentials(str(path), {}, Log(), wants_session_token=False).close()


def test_the_end_while_it_begins(path, made, monkeypatch):
    """It is begun by another thread than the one that ends it."""
    write(path)
    files, threads = [], []

    def close(thread, start=threading.Thread.start):
        files[0].close()
        threads.append(thread)
        start(thread)

    begin = FileCredentials.start
    monkeypatch.setattr(FileCredentials, "start", lambda file: (files.append(file), begin(file)))
    monkeypatch.setattr(threading.Thread, "start", close)
    made()
    threads[0].join(30)
    assert not threads[0].is_alive()


def test_no_secret_is_told(path, log, made):
    """Whatever is wrong with the file."""
    for text in (
        TEXT,
        "[default]\nhush = hush\n",
        "hush",
        TEXT.replace("aws_access", "x"),
        TEXT.replace("hush", "hu\x00sh"),
    ):
        write(path, text)
        file = made(token=True)
        file.reload()
    assert "hush" not in "\n".join(log.lines)
    assert "token =" not in "\n".join(log.lines)
