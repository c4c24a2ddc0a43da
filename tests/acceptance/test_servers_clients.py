"""Real SDKs as the commands of `exec --server` and `exec --ec2-server`: who they are, and who after a renewal."""

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fakes.cloud import Cloud
from harness.home import ACCOUNT, Home, config_c1, kill_all

if sys.platform == "win32":
    pytest.skip("its shells are others", allow_module_level=True)

CLIENTS = Path(__file__).parent.parent / "clients"
BIN = Path(sys.executable).parent
JS = CLIENTS / "js"
GO = CLIENTS / "go" / "identity"
# Of SDKs that are not Python's: what is missing, if anything is.
MISSING = {
    "JS": ""
    if shutil.which("node") and (JS / "node_modules").is_dir()
    else "needs node, and `npm ci` in tests/clients/js",
    "Go": "" if GO.is_file() else "needs go, and tests/clients/go/build",
}

COMMANDS = {
    "boto3": [sys.executable, str(CLIENTS / "boto3_identity.py")],
    "AWS CLI": ["sh", str(CLIENTS / "aws_cli.sh"), str(BIN / "aws")],
    # It warns of an old node.
    "JS": ["node", "--no-warnings", str(JS / "identity.mjs")],
    "Go": [str(GO)],
}
COMMANDS = {name: command for name, command in COMMANDS.items() if not MISSING.get(name)}
OF_EC2 = COMMANDS | {"boto3": [*COMMANDS["boto3"], "anew"]}

# What is told of a session's life; at AWS it lives on, so that no client is refused because it was slow.
LIFE_SECONDS = 3


def short_lived(cloud):
    """Have AWS give sessions that are said to end soon."""
    issue = cloud.issue

    def issue_shortly(kind, arn, duration, **more):
        made = issue(kind, arn, LIFE_SECONDS, **more)
        cloud.keys[made.access_key_id] = dataclasses.replace(made, expires_at=made.expires_at + 3600)
        return made

    cloud.issue = issue_shortly


def rounds(home, cloud, flag, commands):
    """Have each client say who it is, before and after a renewal; the key ids that they signed with each time."""
    short_lived(cloud)
    words = ("exec", flag, "ro", "--", sys.executable, str(CLIENTS / "together.py"), json.dumps(commands))
    process = home.popen(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        answers, ids = [], []
        for _ in range(2):
            before = len(cloud.calls)
            process.stdin.write(b"\n")
            process.stdin.flush()
            answers.append(json.loads(process.stdout.readline()))
            calls = [call for call in cloud.calls[before:] if call.action == "GetCallerIdentity"]
            ids.append({call.access_key_id for call in calls})
            until = max(cloud.keys[each].expires_at for each in ids[-1]) - 3600
            while len(answers) < 2 and time.time() <= until:
                cloud._ended.wait(0.05)
        _, stderr = process.communicate(timeout=60)
    except BaseException:
        kill_all(process)
        raise
    return answers, ids, process.returncode, stderr.decode()


def check(home, cloud, flag, commands):
    answers, ids, status, stderr = rounds(home, cloud, flag, commands)
    assert (status, stderr) == (0, "")
    for answer in answers:
        assert list(answer) == list(commands)
        for name, arn in answer.items():
            assert arn.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/RO/"), f"{name}: {arn}"
    assert ids[0]
    assert ids[1]
    assert not ids[0] & ids[1]


@pytest.mark.parametrize("name", MISSING)
def test_the_client_is_here(name):
    """Those that other tests here use if they are."""
    if MISSING[name]:
        pytest.skip(MISSING[name])


def test_ecs(c1, cloud):
    """They find the server, and come back for new credentials by themselves."""
    try:
        check(c1, cloud, "--server", COMMANDS)
    finally:
        del cloud.issue


@pytest.fixture
def inside(network, tmp_path):
    """A home and an AWS in a network of their own, where this thread is, too."""
    with network.inside(), Cloud().serve() as cloud:
        home = Home(tmp_path)
        config_c1(home, cloud)
        yield home, cloud


def test_ec2(inside, network):
    """The same as instance metadata, at the address that all know."""
    check(*inside, "--ec2-server", OF_EC2)
    assert network.addresses() == ["127.0.0.1/8"]
