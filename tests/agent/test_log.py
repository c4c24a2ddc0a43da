import contextlib
import errno
import gzip
import os
import re
import stat
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent import log
from strongroom.agent.log import ConsoleWriter, FileWriter, Log, LogError, one_line, open_writer

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such files")
RECORD = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d (DEBUG|INFO|WARN|ERROR) \S+ - [^\n]*\n")
AT = 1_767_323_045_123_456_789


class Listed:
    """A writer that keeps records, and can refuse them."""

    def __init__(self):
        self.records = []
        self.full = False
        self.closed = False
        self.reopened = 0
        self.trouble = None

    def write(self, record):
        if not self.full:
            self.records.append(record.decode())
        return not self.full

    def reopen(self):
        self.reopened += 1
        if self.trouble:
            raise self.trouble

    def close(self):
        self.closed = True

    @property
    def said(self):
        """The records without their time."""
        return [record.split(" ", 1)[1].removesuffix("\n") for record in self.records]


@pytest.fixture
def listed():
    return Listed()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory, with an ordinary umask."""
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o022)
    yield tmp_path
    os.umask(before)


def make(writer, level="info", **settings):
    return Log(level, "strongroom::agent", writer, **settings)


def local(offset_seconds):
    return lambda seconds: time.struct_time((*time.gmtime(seconds + offset_seconds)[:9], "X", offset_seconds))


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0, "2026-01-02T03:04:05.123456789+00:00"),
        (19_800, "2026-01-02T08:34:05.123456789+05:30"),
        (-12_600, "2026-01-01T23:34:05.123456789-03:30"),
        (-28_800, "2026-01-01T19:04:05.123456789-08:00"),
    ],
)
def test_a_record(listed, offset, expected):
    """Local time with nine digits and its offset, level, source, message, one line."""
    make(listed, clock=lambda: AT, local=local(offset)).info("listening on http://127.0.0.1:2773")
    assert listed.records == [f"{expected} INFO strongroom::agent - listening on http://127.0.0.1:2773\n"]


@POSIX
def test_the_time_zone_of_the_machine(tmp_path):
    """What the system calls local time is local time."""
    script = (
        "from strongroom.agent.log import ConsoleWriter, Log\n"
        f"Log('info', 't', ConsoleWriter(1), clock=lambda: {AT}).info('m')"
    )
    done = subprocess.run([sys.executable, "-c", script], env={"TZ": "XYZ-5:30"}, capture_output=True, check=True)
    assert done.stdout == b"2026-01-02T08:34:05.123456789+05:30 INFO t - m\n"


@given(st.integers(0, 4_000_000_000_000_000_000), st.text())
def test_one_record_is_one_line(nanoseconds, message):
    """Whatever is logged, whenever."""
    listed = Listed()
    make(listed, clock=lambda: nanoseconds).error(message)
    (record,) = listed.records
    assert RECORD.fullmatch(record.encode())
    assert len(record.splitlines()) == 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("plain 'text' \\n \"quoted\" gr\u00fc\u00df \u6f22", "plain 'text' \\n \"quoted\" gr\u00fc\u00df \u6f22"),
        ("a\nb\r\n2026 ERROR x - y", "a\\nb\\r\\n2026 ERROR x - y"),
        ("\x1b[2J\x00\x7f\x9b\t'", "\\x1b[2J\\x00\\x7f\\x9b\\t'"),
        ("\u2028\u2029\u202e\ufeff\U000e0001", "\\u2028\\u2029\\u202e\\ufeff\\U000e0001"),
        ("lone \udcff", "lone \\udcff"),
        ("", ""),
    ],
)
def test_what_is_no_text_is_escaped(message, expected):
    """No line of somebody else's, no colours, no text that runs backwards."""
    assert one_line(message) == expected


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["DEBUG d", "INFO i", "WARN w", "ERROR e"]),
        ("info", ["INFO i", "WARN w", "ERROR e"]),
        ("warn", ["WARN w", "ERROR e"]),
        ("error", ["ERROR e"]),
        ("none", []),
    ],
)
def test_levels(listed, level, expected):
    """A level lets itself and the graver ones through."""
    written = make(listed, level)
    for each in ("debug", "info", "warn", "error"):
        getattr(written, each)(each[0])
    assert listed.said == [line.replace(" ", " strongroom::agent - ") for line in expected]


def test_records_that_wait(listed):
    """Records before the banner come after it, each with its own time, in order; later ones at once."""
    times = iter([AT, AT + 1, AT + 2])
    written = make(listed, clock=lambda: next(times), local=local(0))
    written.hold()
    written.info("one")
    written.hold()
    written.error("two")
    written.debug("not asked for")
    assert listed.records == []
    written.release()
    written.info("three")
    written.release()
    assert listed.records == [
        "2026-01-02T03:04:05.123456789+00:00 INFO strongroom::agent - one\n",
        "2026-01-02T03:04:05.123456790+00:00 ERROR strongroom::agent - two\n",
        "2026-01-02T03:04:05.123456791+00:00 INFO strongroom::agent - three\n",
    ]


def test_records_that_waited_for_nothing(listed):
    """If the start fails, closing the log writes them; nothing is written later."""
    written = make(listed)
    written.hold()
    written.info("one")
    written.close()
    written.error("two")
    assert listed.said == ["INFO strongroom::agent - one"]
    assert listed.closed


def test_records_that_are_lost(listed):
    """They are counted, and told once there is room again."""
    written = make(listed)
    written.info("one")
    listed.full = True
    written.info("two")
    written.error("three")
    assert written.lost == 2
    listed.full = False
    written.info("four")
    assert written.lost == 0
    written.info("five")
    assert [line.rpartition(" - ")[2] for line in listed.said] == [
        "one",
        "2 log records could not be written",
        "four",
        "five",
    ]
    assert listed.said[1].startswith("WARN")


def test_reopening(listed):
    """The level may be another; a file that cannot be opened again is told in the old one."""
    written = make(listed)
    written.debug("one")
    written.reopen("debug")
    written.debug("two")
    listed.trouble = LogError("cannot write the log file 'x': Permission denied")
    written.reopen("error")
    written.warn("three")
    assert listed.reopened == 2
    assert listed.said == [
        "DEBUG strongroom::agent - two",
        "ERROR strongroom::agent - cannot write the log file 'x': Permission denied",
    ]


def test_many_threads(here):
    """No record is lost or mixed with another, while files are rolled."""
    written = make(FileWriter("logs", "n", roll_bytes=40_000))

    def write(name):
        for number in range(200):
            written.info(f"{name} {number} {'x' * 50}")

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written.close()
    contents = [(here / "logs" / "n.log").read_bytes()]
    contents += [gzip.decompress(path.read_bytes()) for path in (here / "logs" / "archive").glob("n_*.gz")]
    lines = b"".join(contents).splitlines(keepends=True)
    assert all(RECORD.fullmatch(line) for line in lines)
    assert len({line.split(b" - ")[1] for line in lines}) == len(lines)
    if len(contents) <= log.KEPT:  # more were filled if the packing was quick, and the oldest are gone
        assert len(lines) == 1600


def test_the_console_leaves_no_files(here, capfd):
    """With log_to_file = false nothing is made on disk; errors go to stdout like the rest."""
    written = make(open_writer(to_file=False, name="n"))
    written.info("one")
    written.error("two")
    written.reopen("info")
    written.close()
    assert os.listdir(here) == []
    captured = capfd.readouterr()
    assert [line.rpartition(" - ")[2] for line in captured.out.splitlines()] == ["one", "two"]
    assert captured.err == ""


def test_a_console_that_is_closed(tmp_path):
    """Whoever gets its number later, a socket or a file, gets no records."""
    descriptor = os.open(tmp_path / "victim", os.O_WRONLY | os.O_CREAT)
    os.close(descriptor)
    written = make(ConsoleWriter(descriptor))
    again = os.open(tmp_path / "victim", os.O_WRONLY | os.O_CREAT)
    assert again == descriptor
    try:
        written.info("lost")
    finally:
        os.close(again)
    assert (tmp_path / "victim").read_bytes() == b""
    assert written.lost == 0


@POSIX
def test_a_console_whose_reader_is_gone():
    """A pipe without a reader is no error, and is not tried again."""
    reader, writer = os.pipe()
    written = make(ConsoleWriter(writer))
    written.info("read")
    assert RECORD.fullmatch(os.read(reader, 200))
    os.close(reader)
    try:
        written.info("not read")
        written.info("not even written")
    finally:
        os.close(writer)
    assert written.lost == 0


@POSIX
def test_a_console_that_is_full():
    """Where a write would wait, which others' settings decide, the record is lost; the next begins its own line."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    written = make(ConsoleWriter(writer))
    try:
        for _ in range(20):
            written.info("x" * 10_000)
        lost = written.lost
        os.set_blocking(reader, False)
        content = b""
        with contextlib.suppress(BlockingIOError):
            while True:
                content += os.read(reader, 65_536)
        written.info("again")
        content += os.read(reader, 65_536)
    finally:
        os.close(reader)
        os.close(writer)
    lines = content.splitlines(keepends=True)
    whole = [
        line for line in lines if RECORD.fullmatch(line) and line.endswith((b" - " + b"x" * 10_000 + b"\n", b"again\n"))
    ]
    told = [int(number) for number in re.findall(rb" WARN \S+ - (\d+) log records could not be written\n", content)]
    assert lost > 0
    assert whole[-1] == lines[-1]
    # More than once, if a record that tells of the loss found room where a long one did not.
    assert len(whole) + sum(told) == 21


def test_a_file(here):
    """Directories are made; a second run appends."""
    for number in (1, 2):
        written = make(open_writer(to_file=True, name="secrets_manager_agent"))
        written.error(f"run {number}")
        content = (here / "logs" / "secrets_manager_agent.log").read_text()
        assert content.endswith(f" ERROR strongroom::agent - run {number}\n")
        written.close()
    assert len(content.splitlines()) == 2
    assert os.listdir(here / "logs") == ["secrets_manager_agent.log"]


@POSIX
@pytest.mark.parametrize(("umask", "modes"), [(0o022, (0o640, 0o750)), (0o077, (0o600, 0o700)), (0, (0o640, 0o750))])
def test_modes(here, umask, modes):
    """Others read nothing, whatever the umask; a stricter one counts."""
    os.umask(umask)
    writer = FileWriter("logs", "n", roll_bytes=10)
    assert writer.write(b"x" * 11)
    writer.close()
    found = [
        stat.S_IMODE(os.stat(here / "logs" / name).st_mode)
        for name in ("n.log", os.path.join("archive", "n_0.gz"), "", "archive")
    ]
    assert found == [modes[0], modes[0], modes[1], modes[1]]


def test_rolling(here):
    """The record that takes the file above its limit is its last; the newest archive is 0, and five are kept."""
    writer = FileWriter("logs", "n", roll_bytes=20)
    archive = here / "logs" / "archive"
    for number in range(8):
        assert writer.write(b"%d" % number * 20)
        assert os.path.getsize(here / "logs" / "n.log") == 20
        assert writer.write(b"+\n")
        writer.settle()
        assert os.path.getsize(here / "logs" / "n.log") == 0
        expected = [b"%d" % old * 20 + b"+\n" for old in range(number, max(number - 5, -1), -1)]
        assert sorted(os.listdir(archive)) == [f"n_{index}.gz" for index in range(len(expected))]
        for index, content in enumerate(expected):
            assert gzip.decompress((archive / f"n_{index}.gz").read_bytes()) == content
    writer.close()


def test_the_limit(here):
    """It is the original's: 10 MiB, and not a byte before."""
    writer = FileWriter("logs", "n")
    chunk = b"x" * 1_048_575 + b"\n"
    for _ in range(10):
        assert writer.write(chunk)
    assert os.path.getsize(here / "logs" / "n.log") == 10_485_760
    assert not os.path.exists(here / "logs" / "archive")
    assert writer.write(b"\n")
    writer.close()
    assert os.path.getsize(here / "logs" / "n.log") == 0
    with gzip.open(here / "logs" / "archive" / "n_0.gz") as file:
        assert file.read() == chunk * 10 + b"\n"


def test_a_file_that_was_full_before(here):
    """What earlier runs wrote counts."""
    (here / "logs").mkdir()
    (here / "logs" / "n.log").write_bytes(b"x" * 20)
    writer = FileWriter("logs", "n", roll_bytes=20)
    assert writer.write(b"y")
    writer.close()
    assert gzip.decompress((here / "logs" / "archive" / "n_0.gz").read_bytes()) == b"x" * 20 + b"y"


def test_writing_never_waits_for_packing(here, monkeypatch):
    """While one file is being compressed records are written, and the next full one waits for its turn."""
    go, real = threading.Event(), log._gzip

    def slow(source, target):
        go.wait()
        real(source, target)

    monkeypatch.setattr(log, "_gzip", slow)
    writer = FileWriter("logs", "n", roll_bytes=5)
    for record in (b"first.", b"second", b"third."):
        assert writer.write(record)
    assert (here / "logs" / "n.log").read_bytes() == b"secondthird."
    go.set()
    writer.settle()
    assert writer.write(b"fourth")
    writer.close()
    found = [gzip.decompress((here / "logs" / "archive" / f"n_{number}.gz").read_bytes()) for number in (0, 1)]
    assert found == [b"secondthird.fourth", b"first."]


def test_packing_that_was_cut_off(here):
    """A full file that a killed run left is compressed by the next start; its unfinished half is overwritten."""
    archive = here / "logs" / "archive"
    archive.mkdir(parents=True)
    (archive / "n.log").write_bytes(b"left")
    (archive / "n_0.gz.tmp").write_bytes(b"rubbish, longer than what takes its place, so that it must be cut")
    (archive / "n_0.gz").write_bytes(gzip.compress(b"older"))
    writer = FileWriter("logs", "n")
    writer.close()
    assert sorted(os.listdir(archive)) == ["n_0.gz", "n_1.gz"]
    assert [gzip.decompress((archive / f"n_{n}.gz").read_bytes()) for n in (0, 1)] == [b"left", b"older"]


def test_packing_that_fails(here, monkeypatch):
    """It hurts nobody; with the next full file it is tried again."""
    real, fail = log._gzip, [True]

    def full(source, target):
        if fail.pop():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(source, target)

    monkeypatch.setattr(log, "_gzip", full)
    writer = FileWriter("logs", "n", roll_bytes=5)
    assert writer.write(b"first.")
    writer.settle()
    assert os.listdir(here / "logs" / "archive") == ["n.log"]
    fail.append(False)
    assert writer.write(b"second")
    writer.close()
    assert os.listdir(here / "logs" / "archive") == ["n_0.gz"]
    assert gzip.decompress((here / "logs" / "archive" / "n_0.gz").read_bytes()) == b"second"


def test_no_thread_to_be_had(here, monkeypatch):
    """A machine without another thread to give keeps the file for later."""

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        writer = FileWriter("logs", "n", roll_bytes=5)
        assert writer.write(b"first.")
        assert writer.write(b"2")
        writer.close()
    writer = FileWriter("logs", "n", roll_bytes=5)
    writer.close()
    assert gzip.decompress((here / "logs" / "archive" / "n_0.gz").read_bytes()) == b"first."
    assert (here / "logs" / "n.log").read_bytes() == b"2"


def test_no_archive_to_be_had(here):
    """Where no archive can be made the file grows on; it is tried again after as much again."""
    (here / "logs").mkdir()
    (here / "logs" / "archive").write_text("no directory")
    writer = FileWriter("logs", "n", roll_bytes=5)
    for record in (b"first.", b"second"):
        assert writer.write(record)
    assert (here / "logs" / "n.log").read_bytes() == b"firstsecond".replace(b"firsts", b"first.s")
    os.unlink(here / "logs" / "archive")
    assert writer.write(b"third.")
    writer.close()
    assert gzip.decompress((here / "logs" / "archive" / "n_0.gz").read_bytes()) == b"first.secondthird."


def test_a_directory_that_cannot_be_made(here):
    """It ends the start with the path and the system's reason."""
    (here / "logs").write_text("no directory")
    with pytest.raises(LogError) as raised:
        open_writer(to_file=True, name="n")
    reason = "No such file or directory" if sys.platform == "win32" else "File exists"
    assert raised.value.message == f"cannot write the log file {str(here / 'logs' / 'n.log')!r}: {reason}"
    assert raised.value.hint == "make its directory writable, or log to the console: log_to_file = false"


@POSIX
def test_a_directory_of_others(here):
    """A working directory that may not be written to; root may, so root's test becomes somebody else."""
    script = (
        "import os, sys\n"
        "from strongroom.agent.log import LogError, open_writer\n"
        "os.chdir('/')\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: open_writer(to_file=True, name='n')\n"
        "except LogError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "cannot write the log file '/logs/n.log': Permission denied\n"


def test_a_file_that_was_moved_away(here):
    """After reopen records go to a new file of the name, wherever the working directory is meanwhile."""
    writer = FileWriter("logs", "n")
    assert writer.write(b"one\n")
    if sys.platform == "win32":  # where only a closed file can be moved
        writer.close()
    os.rename("logs/n.log", "logs/moved")
    os.chdir("/")
    writer.reopen()
    assert writer.write(b"two\n")
    writer.close()
    assert (here / "logs" / "moved").read_bytes() == b"one\n"
    assert (here / "logs" / "n.log").read_bytes() == b"two\n"


@POSIX
def test_reopening_that_fails(here):
    """The old file goes on, and holds the reason."""
    written = make(FileWriter("logs", "n"))
    (here / "logs").rename(here / "moved")
    (here / "logs").write_text("no directory")
    written.reopen("info")
    written.info("on")
    written.close()
    lines = (here / "moved" / "n.log").read_text().splitlines()
    assert [line.rpartition(" strongroom::agent - ")[2] for line in lines] == [
        f"cannot write the log file {str(here / 'logs' / 'n.log')!r}: File exists",
        "on",
    ]


@POSIX
def test_a_directory_that_goes_away(here):
    """Rolling into nowhere loses records, not the program; reopen finds the way back."""
    writer = FileWriter("logs", "n", roll_bytes=5)
    (here / "logs").rename(here / "moved")
    (here / "logs").write_text("no directory")
    assert writer.write(b"first.")
    assert not writer.write(b"second")
    os.unlink(here / "logs")
    writer.reopen()
    assert writer.write(b"3")
    writer.close()
    writer.close()
    assert not writer.write(b"4")
    assert (here / "moved" / "n.log").read_bytes() == b"first."
    assert (here / "logs" / "n.log").read_bytes() == b"3"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk(here):
    """Records are lost and counted; nobody is told by an exception."""
    (here / "logs").mkdir()
    (here / "logs" / "n.log").symlink_to("/dev/full")
    written = make(FileWriter("logs", "n", roll_bytes=5))
    written.info("one")
    written.info("two")
    assert written.lost == 2
    written.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such device")
def test_a_file_that_is_a_device(here):
    """A link to the console's device, as containers have it, is never rolled."""
    (here / "logs").mkdir()
    (here / "logs" / "n.log").symlink_to("/dev/null")
    writer = FileWriter("logs", "n", roll_bytes=5)
    assert writer.write(b"more than five bytes")
    writer.close()
    assert os.listdir(here / "logs") == ["n.log"]


def test_a_record_that_is_cut_off(here, monkeypatch):
    """A disk that becomes full in the middle of a record leaves a piece; the next record begins its own line."""
    real, room = os.write, [10]

    def small(descriptor, data):
        if room[0] == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(descriptor, bytes(data)[: room[0]])
        room[0] -= written
        return written

    writer = FileWriter("logs", "n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", small)
        assert not writer.write(b"0123456789abcdef\n")
        assert not writer.write(b"lost\n")
    assert writer.write(b"whole\n")
    assert writer.write(b"and on\n")
    writer.close()
    assert (here / "logs" / "n.log").read_bytes() == b"0123456789\nwhole\nand on\n"


def test_nothing_heavy_at_start():
    """What only a full file needs is not loaded before one is full."""
    script = "import sys; import strongroom.agent.log; print(*({'gzip', 'zlib', 'logging'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = sys.argv[1:]; " + script, *sys.path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to ask a pipe")
def test_a_pipe_that_nobody_reads():
    """Writing never waits: records are lost and counted, and told once somebody reads again."""
    reader, writer = os.pipe()
    try:
        written = make(ConsoleWriter(writer))
        for number in range(2000):
            written.info(f"{number} {'x' * 100}")
        lost = written.lost
        assert lost > 0
        os.read(reader, 1 << 20)
        written.info("again")
        assert f"{lost} log records could not be written".encode() in os.read(reader, 1 << 20)
    finally:
        os.close(reader)
        os.close(writer)
