"""The commands with every keystore that runs here: what is stored is found again, and no more is opened than needed."""

import contextlib
import os
import sys

import pytest

from fakes.centers import center, center_server  # noqa: F401 - fixtures
from harness.home import ACCOUNT, RO, key_id
from harness.stores import Stores
from strongroom import keystore

KEYS = {"AWS_ACCESS_KEY_ID": key_id("jon"), "AWS_SECRET_ACCESS_KEY": "secret+of/jon"}
CONFIG = """\
[default]
region = us-east-1
endpoint_url = {url}

[profile jon]

[profile ro]
source_profile = jon
role_arn = {role}
"""
# What stores bring along, none of which is anybody's business who did not choose them.
FOREIGN = ("secretstorage", "jeepney", "pyrage", "ctypes", "subprocess", "urllib3")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    with Stores(tmp_path_factory.mktemp("stores")) as made:
        yield made


@pytest.fixture(params=Stores.names())
def store(request, stores, home, cloud, tmp_path, monkeypatch):
    """A home whose keystore is one of them, and empty; what is done to it is counted."""
    stores.directory = tmp_path
    home.write_config(CONFIG.format(url=cloud.url, role=RO))
    cloud.role(RO)
    cloud.key(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], user="jon")
    del home.environ["AWS_VAULT_FILE_PASSPHRASE"]
    home.environ |= stores.environ(request.param)
    home.name, home.counted = request.param, []
    opened = keystore.open

    def counting(name, settings, ask):
        made = opened(name, settings, ask)
        return Counting(made, home.counted)

    monkeypatch.setattr(keystore, "open", counting)
    return home


class Counting:
    """A keystore that notes what it is asked."""

    def __init__(self, store, notes):
        self._store, self._notes = store, notes

    def __getattr__(self, name):
        if name in {"listing", "get"}:
            self._notes.append(name)
        return getattr(self._store, name)


def test_from_the_first_key_to_none(store, cloud):
    """add, list, a session that is kept, doctor, clear, remove."""
    assert store.call("list").status == 0  # of nothing
    added = store.call("add", "--env", "jon", env=KEYS)
    assert (added.status, added.stdout) == (0, 'Added credentials to profile "jon" in vault\n')
    first = store.call("export", "--format=json", "ro")
    assert (first.status, first.stderr) == (0, "")
    store.counted.clear()
    again = store.call("export", "--format=json", "ro")
    assert again.stdout == first.stdout
    assert len(cloud.calls) == 1
    assert store.counted.count("listing") == 1
    # The session; the key stays shut if the store tells, to less than a second, which of them is older.
    assert store.counted.count("get") <= (2 if store.name in {"keyctl", "secret-service"} else 1)
    run = store.call("exec", "ro", "--", "true")
    assert run.environ["AWS_ACCESS_KEY_ID"] == first.json()["AccessKeyId"]
    listed = store.call("list").stdout.splitlines()[2:]
    assert [line.split()[:3] for line in listed] == [
        ["default", "-", "-"], ["jon", "jon", "-"], ["ro", "-", "sts.AssumeRole:59m59s"]
    ] or listed[2].split()[2].startswith("sts.AssumeRole:")  # fmt: skip
    doctor = store.call("doctor", "--json").json()
    assert next(row["name"] for row in doctor["keystores"] if row["used"]) == store.name.partition(":")[0] or (
        store.name in str(doctor)
    )
    assert store.call("clear").stdout == "Cleared 1 sessions.\n"
    assert store.call("remove", "--force", "jon").stdout == "Deleted credentials.\n"
    assert "jon  " not in store.call("list", "--credentials").stdout


def test_a_wrong_start(home):
    """A store that cannot be had says so in one line, and nothing else is tried."""
    for name, env, told in (
        ("secret-service", {"DBUS_SESSION_BUS_ADDRESS": "unix:path=/nonexistent"}, "bus"),
        ("pass", {"PATH": "/nonexistent"}, "pass"),
        ("helper:nosuch", {}, "strongroom-store-nosuch"),
        ("age", {}, "age_identity"),
        ("op", {"PATH": "/nonexistent"}, "op"),
        ("proton-pass", {"PATH": "/nonexistent"}, "pass-cli"),
        ("wincred", {}, "Windows"),
        ("keychain", {}, "macOS"),
    ):
        if (name, sys.platform) in {("wincred", "win32"), ("keychain", "darwin")}:
            continue
        result = home.call("list", env={"AWS_VAULT_BACKEND": "", "STRONGROOM_BACKEND": name} | env)
        assert (result.status, result.stdout) == (1, ""), name
        assert told in result.stderr, name
        assert len(result.stderr.splitlines()) <= 2


@pytest.mark.parametrize("store", [name for name in Stores.names() if name != "file"], indirect=True)
def test_sessions_apart(store, cloud):
    """`session_backend`: the key here, what is made from it in files."""
    apart = {
        "STRONGROOM_SESSION_BACKEND": "file",
        "AWS_VAULT_FILE_DIR": str(store.keys),
        "AWS_VAULT_FILE_PASSPHRASE": "pw",
    }
    store.call("add", "--env", "jon", env=KEYS | apart)
    first = store.call("export", "--format=json", "ro", env=apart)
    assert store.call("export", "--format=json", "ro", env=apart).stdout == first.stdout
    assert len(cloud.calls) == 1
    assert [name.split(",")[0] for name in os.listdir(store.keys)] == ["sts.AssumeRole"]
    assert store.call("remove", "--force", "jon", env=apart).status == 0
    assert os.listdir(store.keys) == []


def test_only_what_was_chosen(c1):
    """The file store in use, no other store's library is imported, no bus looked for, no program started."""
    with contextlib.suppress(KeyError):
        del c1.environ["DBUS_SESSION_BUS_ADDRESS"]
    program = (
        "import sys, json; from strongroom.cli.main import main; main(sys.argv[1:]);"
        f"print(json.dumps([name for name in {FOREIGN} if name in sys.modules]))"
    )
    import subprocess

    ended = subprocess.run(
        [sys.executable, "-c", program, "list", "--profiles"],
        env=c1.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.stdout.splitlines()[-1] == "[]"
    assert ACCOUNT not in ended.stderr
