"""Many processes that want the same credentials at once: one asks, all get the answer, and nobody waits for nothing."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fakes.cloud import Call
from harness.home import CODE, RO, M
from harness.parallel import results, run_together, started

GST, AR = "GetSessionToken", "AssumeRole"
EXPORT = ("export", "--format=json", "jon")

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the barrier passes descriptors to its children, as POSIX has it"
)


def edited(home, old, new):
    text = home.config.read_text()
    assert old in text
    home.config.write_text(text.replace(old, new, 1))


@pytest.fixture
def asked(c1, cloud):
    """An mfa_process for jon, with a new code each time; returns how often it has been run."""
    log = c1.work / "asked"
    cloud.mfa[M] = {f"12345{number}" for number in range(10)}
    edited(c1, "[profile jon]", f"[profile jon]\nmfa_process = echo >> {log}; echo 12345$(grep -c '' {log})")
    return lambda: len(log.read_text().splitlines()) if log.exists() else 0


def wait_for_lock_files(home, *processes):
    """Return once each process has opened a lock file: it waits, or holds the lock."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("only Linux shows which files a process has open")
    locks = str(home.path / "run" / "strongroom")
    end = time.monotonic() + 30
    waiting = list(processes)
    while waiting := [process for process in waiting if not has_open(process.pid, locks)]:
        assert time.monotonic() < end, f"{len(waiting)} do not wait"
        assert all(process.poll() is None for process in waiting), "one ended instead of waiting"
        time.sleep(0.01)


def has_open(pid, prefix):
    try:
        names = os.listdir(f"/proc/{pid}/fd")
        return any(os.readlink(f"/proc/{pid}/fd/{name}").startswith(prefix) for name in names)
    except OSError:
        return False


def same(ended):
    """The one answer that all gave."""
    assert {(result.status, result.stderr) for result in ended} == {(0, "")}
    assert len({result.stdout for result in ended}) == 1
    return ended[0].json()


def test_two_hundred(c1, cloud, asked):
    """Two hundred cold exports of one profile: one call, one question, one answer."""
    cloud.delay(GST, 1)
    got = same(run_together(c1, [EXPORT] * 200))
    assert cloud.calls == [Call(GST, 3600, M)]
    assert asked() == 1
    assert cloud.keys[got["AccessKeyId"]].mfa
    assert len(c1.sessions()) == 1


def test_profiles_that_share_a_device(c1, cloud, asked):
    """Eight profiles' worth of commands at once, one device: one code, and one AssumeRole for each role."""
    cloud.delay("*", 0.3)
    commands = [("export", "--format=json", profile) for profile in ("jon", "admin", "r1", "r2") * 3]
    ended = run_together(c1, commands)
    assert [result.status for result in ended] == [0] * len(commands)
    assert asked() == 1
    assert sorted(cloud.actions) == [AR] * 3 + [GST]
    for place in range(4):
        same(ended[place::4])


def test_roles_without_a_device(c1, cloud):
    """A role session is shared as well."""
    cloud.delay(AR, 0.5)
    same(run_together(c1, [("export", "--format=json", "ro")] * 12))
    assert cloud.calls == [Call(AR, 3600, role=RO)]


def test_the_lock_dies_with_its_owner(c1, cloud, asked):
    """SIGKILL of the process that talks to AWS: the next one goes on."""
    gate = cloud.hold(GST, times=float("inf"))
    with started(c1, [EXPORT]) as (first, release):
        release()
        gate.wait_for(1)
        with started(c1, [EXPORT] * 4) as (others, release_others):
            release_others()
            wait_for_lock_files(c1, *others)
            assert len(cloud.calls) == 1
            first[0].send_signal(signal.SIGKILL)
            gate.wait_for(2)
            gate.release()
            same(results(c1, others))
    assert first[0].returncode == -signal.SIGKILL
    assert cloud.calls == [Call(GST, 3600, M)] * 2
    assert asked() == 2


def test_a_child_does_not_keep_the_lock(c1, cloud):
    """The owner dies while its mfa_process runs on: the next one does not wait for that."""
    first, fifo = c1.work / "first", c1.work / "fifo"
    os.mkfifo(fifo)
    edited(c1, "[profile jon]", f"[profile jon]\nmfa_process = mkdir {first} 2>/dev/null && cat {fifo}; echo {CODE}")
    owner = c1.popen(*EXPORT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    writer = None
    try:
        end = time.monotonic() + 30
        while writer is None:  # a FIFO opens for writing once somebody reads it: the child is there
            assert time.monotonic() < end
            try:
                writer = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.01)
        owner.kill()
        owner.wait()
        assert c1.run(*EXPORT).status == 0
    finally:
        owner.kill()
        owner.wait()
        if writer is not None:
            os.close(writer)  # end of file: the orphan ends
    assert cloud.calls == [Call(GST, 3600, M)]


def test_unrelated_profiles_do_not_wait(c1, cloud, asked):
    """While one profile waits for AWS, another key's profile and another step of the same key go on."""
    c1.put_key("bare", cloud=cloud)
    gate = cloud.hold(GST, times=1)
    with started(c1, [EXPORT]) as (processes, release):
        release()
        gate.wait_for(1)
        for profile in ("bare", "ro"):
            assert c1.run("export", "--format=json", profile).status == 0
        assert processes[0].poll() is None
        gate.release()
        same(results(c1, processes))
    assert cloud.actions == [GST, GST, AR]


def test_a_cached_profile_does_not_wait(c1, cloud):
    """Who finds what is wanted takes no lock, even while another process holds it for a longer session."""
    assert c1.run(*EXPORT, "-t", CODE).status == 0
    gate = cloud.hold(GST, times=1)
    with started(c1, [(*EXPORT, "-t", CODE, "-d", "2h")]) as (processes, release):
        release()
        gate.wait_for(1)
        assert c1.run(*EXPORT).status == 0
        gate.release()
        same(results(c1, processes))
    assert cloud.calls == [Call(GST, 3600, M), Call(GST, 7200, M)]


def test_a_refusal_is_shared(c1, cloud):
    """AWS's no to one is a no to those who wait for the same; whoever comes later asks again."""
    access_key_id = c1.put_key("bare", cloud=cloud)
    gate = cloud.hold(GST, times=1)
    command = ("export", "--format=json", "bare")
    with started(c1, [command] * 8) as (processes, release):
        release()
        gate.wait_for(1)
        wait_for_lock_files(c1, *processes)
        key = cloud.keys.pop(access_key_id)
        gate.release()
        ended = results(c1, processes)
    assert {(result.status, result.stdout) for result in ended} == {(1, "")}
    assert len({result.stderr for result in ended}) == 1
    assert "InvalidClientTokenId" in ended[0].stderr
    assert cloud.calls == [Call(GST, 3600, signer="key")]
    cloud.keys[access_key_id] = key
    assert c1.run(*command).status == 0


def test_somebody_elses_question_is_not_answered_by_a_refusal(c1, cloud):
    """A refusal of one request says nothing about another: whoever waits with other wishes asks."""
    access_key_id = c1.put_key("bare", cloud=cloud)
    gate = cloud.hold(GST, times=1)
    with started(c1, [("export", "bare")]) as (first, release):
        release()
        gate.wait_for(1)
        with started(c1, [("export", "bare", "-d", "2h")]) as (second, release_second):
            release_second()
            wait_for_lock_files(c1, *second)
            key = cloud.keys.pop(access_key_id)
            gate.release()
            assert results(c1, first)[0].status == 1
            cloud.keys[access_key_id] = key
            second[0].wait(60)
    assert cloud.calls[1].duration == 7200


def test_a_wrong_code_of_ones_own(c1, cloud):
    """A code from a flag is the caller's own: its refusal is nobody else's, and the next one tries with another."""
    gate = cloud.hold(GST, times=1)
    with started(c1, [(*EXPORT, "-t", "654321")]) as (wrong, release):
        release()
        gate.wait_for(1)
        with started(c1, [(*EXPORT, "-t", CODE)] * 3) as (right, release_right):
            release_right()
            wait_for_lock_files(c1, *right)
            gate.release()
            same(results(c1, right))
        (refused,) = results(c1, wrong)
    assert (refused.status, refused.stdout) == (1, "")
    assert f"MFA device {M}" in refused.stderr
    assert [call.code for call in cloud.calls] == ["654321", CODE]


def test_no_terminal_is_ones_own_trouble(c1, cloud):
    """Callers that nobody can be asked for fail by themselves, or get what the one with a code got."""
    ended = run_together(c1, [EXPORT] * 6 + [(*EXPORT, "-t", CODE)])
    assert ended[-1].status == 0
    for result in ended:
        assert (result.status, result.stdout) in {(0, ended[-1].stdout), (1, "")}
        assert result.status == 0 or f"MFA device {M}" in result.stderr
    assert cloud.calls == [Call(GST, 3600, M)]


def test_one_question_for_two_terminals(c1, cloud, tty):
    """Of two terminals one is asked; the other goes on with its answer."""
    first = tty(*EXPORT)
    first.expect(f"Enter MFA code for {M}: ")
    second = tty(*EXPORT)
    wait_for_lock_files(c1, second.process)
    first.send(f"{CODE}\n")
    got = same([first.wait(), second.wait()])
    assert got["AccessKeyId"].startswith("ASIA")
    assert second.shown == ""
    assert cloud.calls == [Call(GST, 3600, M)]


def test_ctrl_c_is_ones_own(c1, cloud, tty):
    """Ctrl-C at one terminal: the other one is asked."""
    first = tty(*EXPORT)
    first.expect(f"Enter MFA code for {M}: ")
    second = tty(*EXPORT)
    wait_for_lock_files(c1, second.process)
    first.interrupt()
    assert first.wait().status == 130
    second.expect(f"Enter MFA code for {M}: ")
    second.send(f"{CODE}\n")
    same([second.wait()])
    assert cloud.calls == [Call(GST, 3600, M)]


def test_a_wait_is_bounded(c1, cloud, asked):
    """Who waits for too long says for whom: the process and what it runs."""
    gate = cloud.hold(GST, times=1)
    with started(c1, [EXPORT]) as (processes, release):
        release()
        gate.wait_for(1)
        result = c1.run(*EXPORT, env={"STRONGROOM_LOCK_WAIT": "1s"})
        assert (result.status, result.stdout) == (1, "")
        assert str(processes[0].pid) in result.stderr
        assert "export jon" in result.stderr
        gate.release()
        same(results(c1, processes))
    assert asked() == 1


def test_nothing_is_left_in_the_store(c1, cloud, asked):
    """After a storm the directory holds the key and one session, with the modes they should have."""
    run_together(c1, [EXPORT] * 12)
    assert len(c1.item_names()) == 2
    assert {(c1.keys / name).stat().st_mode & 0o777 for name in os.listdir(c1.keys)} == {0o600}
    locks = c1.path / "run" / "strongroom"
    assert locks.stat().st_mode & 0o777 == 0o700
    assert not any(CODE.encode() in path.read_bytes() for path in locks.iterdir())
