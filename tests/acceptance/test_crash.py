"""strongroom is stopped dead before each write, rename and call in turn: what is left is the old or the new, never less."""

import shutil
import signal
import sys

import pytest

from harness.crash import crashing
from harness.home import ADM, CODE, M

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

MOST_STEPS = 200  # no command does so much; bounds a test whose command never gets done


@pytest.fixture(params=[False, True], ids=["whole writes", "torn writes"])
def torn(request):
    """Whether the fatal write puts half of its bytes into the file first."""
    return request.param


def each_death(home, torn, argv, check, env=None):
    """Run *argv* from the same state again and again, dying a step later each time; returns what it died before."""
    saved = home.path.parent / "saved"
    shutil.copytree(home.path, saved, symlinks=True)
    deaths = []
    with crashing(home, env) as run:
        for at in range(1, MOST_STEPS):
            shutil.rmtree(home.path)
            shutil.copytree(saved, home.path, symlinks=True)
            status, about_to = run(at, torn, *argv)
            check()
            if about_to == "done":
                assert status == 0
                return deaths
            assert status == -signal.SIGKILL
            deaths.append(about_to.removeprefix("before "))
    raise AssertionError("it never gets done")


def test_a_session_that_is_replaced(c1, cloud, torn):
    """`export -d 2h` over a session of one hour: the key stays whole, every item can be read, the next run works."""
    name = c1.put_session("sts.GetSessionToken", "jon", M, left=600, Strongroom={"lifetime": 900})
    key = c1.items()["jon"]

    def check():
        found = c1.items()
        assert found["jon"] == key
        assert 2 <= len(found) <= 3
        assert name in found or len(found) == 2
        assert c1.call("export", "jon", "-t", CODE).status == 0

    deaths = each_death(c1, torn, ["export", "jon", "-d", "2h", "-t", CODE], check)
    assert {"send", "write", "fsync", "replace"} <= set(deaths)


def test_two_steps(c1, cloud):
    """A chain that dies after its first step goes on from there: no second code."""

    def check():
        assert c1.items()["jon"]
        before = len(cloud.calls)
        result = c1.call("export", "admin", "-t", CODE)
        assert result.status == 0, result.stderr
        seen.append(len(cloud.calls) - before)

    seen = []
    deaths = each_death(c1, torn=False, argv=["export", "admin", "-t", CODE], check=check)
    assert deaths.count("send") == 2
    # Two calls were left to make, then one, then none.
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {2, 1, 0}
    assert cloud.calls[-1].role in {ADM, None}


def test_a_key_that_is_replaced(c1, cloud, torn):
    """`add` over a stored key with sessions: the old key or the new one, both readable, and nothing else broken."""
    c1.put_session("sts.GetSessionToken", "jon", M)
    c1.put_session("sts.AssumeRole", "ro")
    old = c1.items()["jon"]["AccessKeyID"]
    config = c1.config.read_bytes()
    env = {"AWS_ACCESS_KEY_ID": "AKIANEWKEYXXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": "new"}

    def check():
        assert c1.items()["jon"]["AccessKeyID"] in {old, env["AWS_ACCESS_KEY_ID"]}
        assert c1.config.read_bytes() == config

    assert "replace" in each_death(c1, torn, ["add", "--env", "jon"], check, env)
    assert c1.items()["jon"]["AccessKeyID"] == env["AWS_ACCESS_KEY_ID"]


def test_a_section_that_is_added(c1, torn):
    """`add` of a new profile: the config file is the old one or the new one, byte for byte; the store can be read."""
    old = c1.config.read_bytes() + b"# the last word, without a newline"
    c1.config.write_bytes(old)
    seen = set()

    def check():
        assert set(c1.items()) in ({"jon"}, {"jon", "fresh"})
        seen.add(c1.config.read_bytes())

    env = {"AWS_ACCESS_KEY_ID": "AKIANEWKEYXXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": "new"}
    each_death(c1, torn, ["add", "--env", "fresh"], check, env)
    assert len(seen) == 2
    assert old in seen
    (new,) = seen - {old}
    assert new.startswith(old)
    assert b"[profile fresh]" in new


@pytest.mark.parametrize("argv", [["remove", "-f", "jon"], ["clear"], ["clear", "jon"]], ids=" ".join)
def test_what_is_removed(c1, argv):
    """Removing stops between items, never within one; `clear` takes no key with it."""
    c1.put_session("sts.GetSessionToken", "jon", M)
    c1.put_session("sts.AssumeRole", "ro")
    c1.put_key("other")
    before = set(c1.items())

    def check():
        left = set(c1.items())
        assert left <= before
        assert "other" in left
        assert "jon" in left or argv[0] == "remove"

    assert "unlink" in each_death(c1, torn=False, argv=argv, check=check)
