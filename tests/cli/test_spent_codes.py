import json
import os
import stat
import subprocess
import sys

import pytest

from strongroom.cli.spent_codes import REMEMBERED_SECONDS, SpentCodes

M, N = "arn:aws:iam::111111111111:mfa/jon", "arn:aws:iam::111111111111:mfa/other"


class Clock:
    def __init__(self):
        self.time = 1_700_000_010.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def spent(tmp_path, clock):
    return SpentCodes(os.fspath(tmp_path / "locks"), "export jon", clock)


def files(tmp_path):
    return sorted(path for path in (tmp_path / "locks").iterdir() if path.suffix == ".codes")


def test_a_code_is_good_once(spent):
    """Another one of the same device, and the same of another, are other codes."""
    assert [spent.claim(M, "123456"), spent.claim(M, "123456")] == [True, False]
    assert [spent.claim(M, "654321"), spent.claim(N, "123456")] == [True, True]
    assert [spent.claim(M, "123456"), spent.claim(M, "654321"), spent.claim(N, "123456")] == [False] * 3


@pytest.mark.parametrize(("passed", "good"), [(REMEMBERED_SECONDS - 1, False), (REMEMBERED_SECONDS, True)])
def test_it_is_forgotten(spent, clock, passed, good):
    """Once AWS would not take it anyway: a device may show the same digits again in a thousand years, or today."""
    spent.claim(M, "123456")
    clock.time += passed
    assert spent.claim(M, "123456") is good


def test_a_code_of_later(spent, clock):
    """Remembered from then on."""
    assert spent.claim(M, "123456", at=clock.time + 30)
    clock.time += 30 + REMEMBERED_SECONDS - 1
    assert not spent.claim(M, "123456")


def test_a_clock_that_was_set_back(spent, clock):
    """A code of the far future does not count for ever."""
    spent.claim(M, "123456")
    clock.time -= 2 * REMEMBERED_SECONDS
    assert spent.claim(M, "123456")


@pytest.mark.parametrize(("at", "seconds"), [(1_700_000_010.0, 30), (1_700_000_011.0, 29), (1_700_000_039.5, 0.5)])
def test_when_the_next_code_comes(spent, clock, at, seconds):
    """At each half minute."""
    clock.time = at
    assert spent.seconds_to_next() == seconds


def test_what_is_written(spent, tmp_path):
    """Hashes with a key, closed to others; neither the code nor the device. What is old goes."""
    spent.claim(M, "123456")
    [path] = files(tmp_path)
    text = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 or sys.platform == "win32"
    assert set(json.loads(text)) == {"salt", "spent"}
    assert "123456" not in text
    assert "jon" not in text + path.name


def test_only_what_counts_is_kept(spent, clock, tmp_path):
    """A file does not grow with the years."""
    for number in range(20):
        assert spent.claim(M, f"{number:06}")
        clock.time += 30
    assert len(json.loads(files(tmp_path)[0].read_text())["spent"]) == 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"salt": "x", "spent": {}}', b'{"salt": "00", "spent": []}',
                                     b'{"salt": 1, "spent": {}}', b"\xff" * 9000])  # fmt: skip
def test_a_damaged_file(spent, tmp_path, content):
    """It is as if there was none."""
    spent.claim(M, "123456")
    [path] = files(tmp_path)
    path.write_bytes(content)
    assert spent.claim(M, "123456")
    assert not spent.claim(M, "123456")


def test_where_nothing_can_be_noted(tmp_path):
    """AWS is there to judge."""
    (tmp_path / "file").touch()
    nowhere = SpentCodes(os.fspath(tmp_path / "file" / "locks"), "export jon")
    assert [nowhere.claim(M, "123456"), nowhere.claim(M, "123456")] == [True, True]


def test_many_processes(tmp_path):
    """One of them has it."""
    program = (
        "import sys; from strongroom.cli.spent_codes import SpentCodes; "
        f"sys.stdin.read(); print(SpentCodes({os.fspath(tmp_path / 'locks')!r}, 'x').claim({M!r}, '123456'))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(8)
    ]
    for child in children:
        child.stdin.close()
        child.stdin = None
    assert sorted(child.communicate(timeout=60)[0].strip() for child in children) == [b"False"] * 7 + [b"True"]
