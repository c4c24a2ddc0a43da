import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from strongroom import lock
from strongroom.errors import LockError, LockTimeout

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="these tests look at modes, owners and forks")


class Clock:
    """Time that passes only in pauses; what happens meanwhile is a list of calls, one for each pause."""

    def __init__(self, *meanwhile):
        self.seconds = 0.0
        self.pauses = []
        self.meanwhile = list(meanwhile)

    def now(self):
        return self.seconds

    def pause(self, seconds):
        self.seconds += seconds
        self.pauses.append(seconds)
        if self.meanwhile:
            self.meanwhile.pop(0)()


@pytest.fixture
def directory(tmp_path):
    return str(tmp_path / "run" / "strongroom")


@pytest.fixture
def hold(directory):
    """Take the lock "jon", with a clock of the test's."""
    taken = []

    def hold_it(clock=None, name="jon", command="exec jon", **more):
        clock = clock or Clock()
        taken.append(lock.hold(directory, name, command=command, pause=clock.pause, now=clock.now, **more))
        return taken[-1]

    yield hold_it
    for each in taken:
        each.release()


def lock_file(directory):
    (name,) = os.listdir(directory)
    return os.path.join(directory, name)


# Taking and giving back


def test_a_lock_is_taken_and_given_back(hold, directory):
    """It is ours until the block ends, and free afterwards."""
    for _ in range(2):
        with hold(wait_seconds=0) as turn:
            assert (turn.held, turn.value, turn.failure) == (True, None, None)
        assert not turn.held
    turn.release()


def test_only_one_has_it(hold):
    """Somebody else waits in vain, even in the same process."""
    hold()
    with pytest.raises(LockTimeout):
        hold(wait_seconds=0)


def test_locks_of_other_names_are_free(hold):
    """Unrelated names do not wait for each other, however alike they are."""
    names = ["jon", "Jon", "jon ", "", "a/b", "..", "\0", "\ud800", "\U0001f511", "x" * 5000]
    assert all(hold(name=name, wait_seconds=0).held for name in names)


def test_what_is_on_disk(hold, directory):
    """One closed file per name in a closed directory; the name is not readable; the file stays."""
    turn = hold()
    path = lock_file(directory)
    assert "jon" not in os.path.basename(path)
    assert [oct(os.stat(p).st_mode & 0o777) for p in (path, directory)] == ["0o600", "0o700"]
    checksum, _, text = Path(path).read_text().partition(" ")
    assert json.loads(text) == {"pid": os.getpid(), "command": "exec jon", "scope": ""}
    assert len(checksum) == 8
    turn.release()
    assert lock_file(directory) == path


# Waiting


def test_pauses_grow_up_to_a_limit(hold):
    """Short at first, never long; the wait ends on time, and says who was in the way."""
    hold(command="exec jon")
    clock = Clock()
    with pytest.raises(LockTimeout) as caught:
        hold(clock, wait_seconds=0.5)
    assert clock.pauses[:4] == pytest.approx([0.005, 0.0075, 0.01125, 0.016875])
    assert max(clock.pauses) == 0.05
    assert clock.seconds == pytest.approx(0.5)
    assert (caught.value.pid, caught.value.command) == (os.getpid(), "exec jon")
    assert (
        caught.value.message == f"process {os.getpid()} (exec jon) has been busy with 'jon' for more than 0.5 seconds"
    )
    assert caught.value.hint == "answer its question, wait for it, or end it"


def test_whoever_waits_for_long_is_told_for_whom(hold):
    """Once, and only after a while; a record that cannot be read names nobody."""
    hold(command="exec jon")
    told = []
    with pytest.raises(LockTimeout):
        hold(wait_seconds=2.9, waiting=told.append)
    assert told == []
    with pytest.raises(LockTimeout):
        hold(wait_seconds=9, waiting=told.append)
    assert told == [f"waiting for process {os.getpid()} (exec jon), which is busy with 'jon'"]


def test_the_lock_comes_when_the_holder_is_done(hold):
    """Whoever waited goes on."""
    first = hold()
    clock = Clock(lambda: None, first.release)
    assert hold(clock).held
    assert len(clock.pauses) == 2


def test_a_result_ends_the_wait_without_the_lock(hold):
    """All who wait go on at once when the holder has stored what they want."""
    hold()
    results = [None, None, "session"]
    clock = Clock()
    turn = hold(clock, ready=lambda: results.pop(0))
    assert (turn.held, turn.value, turn.failure) == (False, "session", None)
    assert len(clock.pauses) == 2


def test_a_result_is_looked_for_once_more_with_the_lock(hold):
    """It may have been stored between the caller's own look and the lock; then the lock is given back."""
    turn = hold(ready=lambda: "session")
    assert (turn.held, turn.value) == (False, "session")
    assert hold(wait_seconds=0).held


def test_a_look_that_fails_gives_the_lock_back(hold):
    """What `ready` raises is the caller's; nobody is locked out by it."""

    def broken():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        hold(ready=broken)
    other = hold(wait_seconds=0)
    with pytest.raises(ZeroDivisionError):
        hold(ready=broken)
    other.release()
    assert hold(wait_seconds=0).held


# Sharing a failure

REFUSED = {"code": "AccessDenied", "status": 403}


def test_a_failure_reaches_those_who_wait(hold):
    """They end with it, without the lock, while the holder still has it or after."""
    holder = hold()
    turn = hold(Clock(lambda: holder.publish(REFUSED)))
    assert (turn.held, turn.value, turn.failure) == (False, None, REFUSED)
    again = {"code": "AccessDenied again"}
    turn = hold(Clock(lambda: None, lambda: (holder.publish(again), holder.release())))
    assert (turn.held, turn.failure) == (False, again)
    assert hold(wait_seconds=0).held


def test_a_failure_does_not_reach_those_who_come_later(hold):
    """They try themselves: whether the lock is free by then, or held by another."""
    with hold() as holder:
        holder.publish(REFUSED)
        late = Clock(holder.release)
        turn = hold(late)
        assert (turn.held, turn.failure) == (True, None)
    turn.release()
    turn = hold()
    assert (turn.held, turn.failure) == (True, None)
    with pytest.raises(LockTimeout):
        hold(wait_seconds=0.1)


def test_a_failure_outlives_the_next_holder(hold):
    """Who was waiting when it was published learns of it even if somebody else took the lock first."""
    holder = hold()

    def next_one():
        holder.publish(REFUSED)
        holder.release()
        hold(wait_seconds=0)

    turn = hold(Clock(next_one))
    assert (turn.held, turn.failure) == (False, REFUSED)


def test_a_failure_concerns_its_scope_only(hold):
    """Whoever asked for something else tries it."""
    holder = hold(scope="role A")
    turn = hold(Clock(lambda: holder.publish(REFUSED), holder.release), scope="role B")
    assert (turn.held, turn.failure) == (True, None)


def test_only_the_holder_can_share_a_failure(hold):
    """Not before, not after."""
    turn = hold(ready=lambda: "value")
    with pytest.raises(LockError) as caught:
        turn.publish(REFUSED)
    assert caught.value.message == "a failure can be shared only while the lock is held"
    turn = hold()
    with pytest.raises(LockError) as caught:
        turn.publish({"text": "x" * lock.LIMIT_BYTES})
    assert caught.value.message.startswith("a lock file cannot hold 65")
    assert turn.held


# What may be in the file


@pytest.mark.parametrize(
    "content",
    [b"\0" * 100, b"hello", b"00000000 {}", b"zz {}\n", b"\xff\xff", b"a40c5d1d []\n", b"x" * 100_000, b"{}\n"],
    ids=range(8),
)
def test_foreign_content_is_no_error(hold, directory, content):
    """The lock works; whoever waits is told less."""
    holder = hold()
    Path(lock_file(directory)).write_bytes(content)
    with pytest.raises(LockTimeout) as caught:
        hold(wait_seconds=0)
    assert caught.value.message == "another process has been busy with 'jon' for more than 0 seconds"
    assert (caught.value.pid, caught.value.command) == (0, "")
    holder.publish(REFUSED)
    holder.release()
    assert hold(wait_seconds=0).held


def test_content_that_was_half_written_is_read_again(hold, directory):
    """A record that does not match its checksum counts as not read yet: no failure in it is adopted by mistake."""
    holder = hold()
    holder.publish(REFUSED)
    path = Path(lock_file(directory))
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    clock = Clock(lambda: path.write_bytes(whole), lambda: None, holder.release)
    turn = hold(clock)
    assert (turn.held, turn.failure) == (True, None)


@pytest.mark.parametrize("change", [{"failures": "1"}, {"failures": True}, {"failure": "text"}, {"failed": None}])
def test_records_of_another_shape(hold, change):
    """A later version may write others: they are no failure of ours."""
    holder = hold()
    record = {"failures": 1, "failed": "", "failure": REFUSED, "pid": "1", "command": "x"}
    assert hold(Clock(lambda: lock._write(holder._descriptor, record))).failure == REFUSED
    lock._write(holder._descriptor, {})
    clock = Clock(lambda: lock._write(holder._descriptor, record | change))
    with pytest.raises(LockTimeout) as caught:
        hold(clock, wait_seconds=0.1)
    assert caught.value.pid == 0


def test_a_full_disk_does_not_matter(hold, directory, monkeypatch):
    """The lock is the system's; only the record is missing."""

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        assert hold().held
    assert os.path.getsize(lock_file(directory)) == 0
    with pytest.raises(LockTimeout) as caught:
        hold(wait_seconds=0)
    assert caught.value.pid == 0


def test_a_record_that_cannot_be_read(hold, monkeypatch):
    """Whoever waits goes on waiting."""
    holder = hold()
    real = os.read

    def refuse(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", refuse)
    turn = hold(Clock(lambda: monkeypatch.setattr(os, "read", real), holder.release))
    assert turn.held


# Safety of the place


def refused(hold):
    with pytest.raises(LockError) as caught:
        hold()
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize("mode", [0o770, 0o702, 0o777])
def test_a_directory_that_others_may_write_to(hold, directory, mode):
    """They could put a lock there that is always taken."""
    os.makedirs(directory)
    os.chmod(directory, mode)
    message = f"cannot use {directory} for locks: others may write to it ({mode:04o})"
    assert refused(hold) == (message, f"chmod 700 {directory}")


def test_a_directory_of_another_user(hold, directory, monkeypatch):
    """The same."""
    os.makedirs(directory, mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert refused(hold) == (f"cannot use {directory} for locks: it is not a directory of this user", "")


def test_a_link_in_the_place_of_the_directory(hold, directory, tmp_path):
    """It may lead anywhere."""
    os.mkdir(tmp_path / "run")
    os.symlink(tmp_path, directory)
    assert refused(hold)[0] == f"cannot use {directory} for locks: it is not a directory of this user"


def test_a_directory_that_cannot_be_made(hold, directory, tmp_path):
    """The reason is told."""
    (tmp_path / "run").touch()
    assert refused(hold)[0] == f"cannot make a lock in {directory}: not a directory"


def test_a_link_in_the_place_of_the_file(hold, directory, tmp_path):
    """It is not followed: what it leads to would be overwritten."""
    hold().release()
    path = lock_file(directory)
    os.unlink(path)
    os.symlink(tmp_path / "precious", path)
    assert refused(hold)[0].startswith(f"cannot make a lock in {directory}: ")
    assert not (tmp_path / "precious").exists()


def test_something_else_in_the_place_of_the_file(hold, directory):
    """A pipe is not locked."""
    hold().release()
    path = lock_file(directory)
    os.unlink(path)
    os.mkfifo(path)
    assert refused(hold)[0] == f"cannot use {path} as a lock: it is not a file of this user"


def test_a_file_system_without_locks(hold, directory, monkeypatch):
    """Better to say so than to go on without."""

    def unsupported(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    message, hint = refused(hold)
    assert message.startswith(f"cannot lock {directory}")
    assert message.endswith(".lock: no locks available")
    assert hint == "its file system may not support locks"


# Real processes

PROGRAM = """
import json, os, signal, subprocess, sys, time
from strongroom import lock
directory, path = sys.argv[1:3]
def hold(**more):
    return lock.hold(directory, "jon", command="test", wait_seconds=60, **more)
def say(word):
    print(word, flush=True)
def begin(number, work):
    children = []
    for n in range(number):
        child = os.fork()
        if not child:
            status = 1
            try:
                status = work(n)
            finally:
                os._exit(status)
        children.append(child)
    return children
def crowd(number, work):
    return ended(begin(number, work))
def ended(children):
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
"""


def start(directory, path, code):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, directory, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(directory, path, code):
    with start(directory, path, code) as process:
        output = process.stdout.read()
    assert process.returncode == 0
    return output


def test_many_processes_take_turns(directory, tmp_path):
    """Fifty that each add one to a number, reading and writing it, lose none."""
    code = """
def work(n):
    with hold() as turn:
        number = int(open(path).read())
        open(path, "w").write(str(number + 1))
        return 0 if turn.held else 2
print(set(crowd(50, work)))
"""
    (tmp_path / "number").write_text("0")
    assert run(directory, tmp_path / "number", code) == "{0}\n"
    assert (tmp_path / "number").read_text() == "50"


def test_many_processes_wait_for_one_result(directory, tmp_path):
    """Of fifty, one makes it; each of the others has it when it goes on."""
    code = """
def ready():
    return open(path).read() if os.path.exists(path) else None
def work(n):
    with hold(ready=ready) as turn:
        if turn.value is not None:
            return 0 if turn.value == "result" else 3
        time.sleep(0.1)
        open(path + "~", "w").write("result")
        os.replace(path + "~", path)
        return 1
print(sorted(crowd(50, work)))
"""
    assert run(directory, tmp_path / "result", code) == f"{[0] * 49 + [1]}\n"


def test_many_processes_share_one_failure(directory, tmp_path):
    """Forty that wait get the holder's; one that comes afterwards takes the lock."""
    code = """
def work(n):
    def ready():
        nonlocal waiting
        if not waiting:
            waiting = True
            os.write(write, b".")
    waiting = False
    with hold(ready=ready) as turn:
        return 0 if turn.failure == {"code": 7} else 2
read, write = os.pipe()
holder = hold()
children = begin(40, work)
for _ in children:
    os.read(read, 1)
holder.publish({"code": 7})
holder.release()
print(set(ended(children)), hold().held)
"""
    assert run(directory, tmp_path, code) == "{0} True\n"


def test_a_lock_dies_with_its_owner(hold, directory, tmp_path):
    """Killed, with a child of its own still alive: the next one goes on."""
    code = """
turn = hold()
child = subprocess.Popen(["sleep", "60"])
say(child.pid)
sys.stdin.readline()
"""
    with start(directory, tmp_path, code) as owner:
        child = int(owner.stdout.readline())
        try:
            with pytest.raises(LockTimeout) as caught:
                hold(wait_seconds=0)
            assert (caught.value.pid, caught.value.command) == (owner.pid, "test")
            os.kill(owner.pid, signal.SIGKILL)
            owner.wait()
            assert hold(wait_seconds=0).held
        finally:
            os.kill(child, signal.SIGKILL)


def test_a_release_counts_though_a_child_has_the_file(hold, directory):
    """Between its fork and its exec a child shares the file; the lock is given back all the same."""
    turn = hold()
    os.set_inheritable(turn._descriptor, True)
    with subprocess.Popen(["sleep", "60"], pass_fds=[turn._descriptor]) as child:
        try:
            turn.release()
            assert hold(wait_seconds=0).held
        finally:
            child.kill()
