"""What a run with cached credentials imports: every SDK call of every process may wait for it.

The cause is guarded, not the clock: a failure names the module that crept in.
"""

import json
import os
import subprocess
import sys

import pytest

from harness.home import ACCOUNT, M

# A run that, instead of ending or becoming a command, tells what was imported, and what our own modules asked for.
CHILD = """
import builtins, os, sys
sys.path += json_paths
before = set(sys.modules)
asked, leave, original = set(), os._exit, builtins.__import__

def noting(name, globals=None, locals=None, fromlist=(), level=0):
    if (globals or {}).get("__name__", "").partition(".")[0] == "strongroom":
        asked.add(name)
    return original(name, globals, locals, fromlist, level)

def tell(*_):
    loaded = set(sys.modules) - before
    import json
    os.write(2, json.dumps([sorted(loaded), sorted(asked)]).encode())
    leave(0)

os._exit = os.execve = os.execvpe = tell
builtins.__import__ = noting
from strongroom.cli.main import console
console()
"""

# Our own modules on the way to `export --format=json`. A new one is a decision: it costs every caller its import.
OURS = """
strongroom strongroom.cli strongroom.cli.export strongroom.cli.flags strongroom.cli.main strongroom.cli.mark
strongroom.cli.retrieval
strongroom.cli.setting strongroom.cli.settings strongroom.cli.terminal strongroom.cli.text_file strongroom.credentials strongroom.durations
strongroom.durable strongroom.errors strongroom.ini strongroom.ini_lines strongroom.keystore
strongroom.keystore.file strongroom.keystore.filenames strongroom.keystore.jwe strongroom.plan
strongroom.profile_fields strongroom.profiles strongroom.providers strongroom.vault
"""

# What they may ask for themselves. `collections.abc` is a name for a module that the interpreter has loaded already.
ASKED = "__future__ binascii collections.abc cryptography errno importlib json os re stat sys time"

# What these bring along, beyond a bare interpreter; most of it is of json, re, and cryptography's own modules.
BROUGHT = """
_cffi_backend _collections _functools _json _openssl _operator _sre _typing atexit binascii collections contextlib
copyreg cryptography encodings enum errno functools importlib itertools json keyword operator re reprlib types typing
warnings __future__
"""

# What must never be among them, whatever the lists above are made to say; their cost is known to be high.
FORBIDDEN = """
argparse ast asyncio base64 boto3 botocore concurrent configparser ctypes dataclasses datetime
decimal difflib email fcntl fnmatch getpass glob gzip hashlib hmac http importlib.metadata importlib.resources inspect
ipaddress locale logging multiprocessing pathlib pickle platform pprint queue random secrets select selectors shlex
shutil signal socket ssl string strongroom.aws strongroom.lock strongroom.prompt strongroom.providers.once subprocess
tempfile textwrap threading tomllib traceback urllib uuid zipfile
"""
# `exec` puts signals back before it becomes the command.
OF_EXEC = {"signal"}


def within(name, listed):
    """Whether a module, or a package that it is in, is listed."""
    parts = name.split(".")
    return any(".".join(parts[:length]) in listed for length in range(1, len(parts) + 1))


def imported(home, *argv):
    """(stdout, modules loaded beyond those of a bare interpreter, modules that our own asked for) of a run."""
    paths = [path for path in sys.path if os.path.isdir(os.path.join(path, "strongroom"))]
    program = CHILD.replace("json_paths", repr(paths))
    environ = {name: value for name, value in home.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-I", "-c", program, *argv], env=environ, cwd=home.work, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    loaded, asked = json.loads(done.stderr)
    return done.stdout.decode(), set(loaded), set(asked)


@pytest.fixture
def cached(home):
    """A home in which every profile has a good session."""
    home.write_config(
        f"[default]\nregion = eu-west-1\n[profile jon]\nmfa_serial = {M}\n"
        f"[profile admin]\nsource_profile = jon\nmfa_serial = {M}\nrole_arn = arn:aws:iam::{ACCOUNT}:role/admin\n"
    )
    home.put_key("jon")
    home.put_session("sts.GetSessionToken", "jon", M)
    home.put_session("sts.AssumeRole", "admin")
    return home


@pytest.mark.parametrize("profile", ["jon", "admin"])
def test_a_cached_export_imports_only_what_is_listed(cached, profile):
    """Our own modules, exactly; what they ask for; what that brings along."""
    stdout, loaded, asked = imported(cached, "export", "--format=json", profile)
    assert json.loads(stdout)["AccessKeyId"].startswith("ASIA")
    assert {name for name in loaded if within(name, {"strongroom"})} == set(OURS.split())
    assert {name for name in asked if not within(name, {"strongroom", *ASKED.split()})} == set()
    assert {name for name in loaded if not within(name, {"strongroom", *BROUGHT.split()})} == set()


@pytest.mark.parametrize("form", ["json", "env"])
def test_a_cached_export_imports_nothing_expensive(cached, form):
    """By name, so that a list which grows by and by does not let them in."""
    _, loaded, _ = imported(cached, "export", f"--format={form}", "admin")
    assert {name for name in loaded if within(name, set(FORBIDDEN.split()))} == set()


def test_a_cached_exec_imports_nothing_expensive(cached):
    """Nor does the command wait for what it does not need: no AWS, no lock, no prompt."""
    _, loaded, _ = imported(cached, "exec", "admin", "--", "true")
    assert "strongroom.cli.exec" in loaded
    assert {name for name in loaded if within(name, set(FORBIDDEN.split()) - OF_EXEC)} == set()


def test_flags_and_variables_cost_no_imports(cached):
    """The usual ones: a duration that is met, a region, a session that must last."""
    cached.environ |= {"AWS_REGION": "us-east-1", "AWS_MIN_TTL": "1m", "AWS_VAULT_PROMPT": "terminal"}
    stdout, loaded, _ = imported(cached, "export", "--format=json", "--region", "eu-west-1", "admin")
    assert stdout
    assert {name for name in loaded if within(name, {"strongroom"})} <= set(OURS.split())


def test_importing_the_package_imports_nothing():
    """Whoever asks for its version pays for a literal."""
    program = "import sys; before = set(sys.modules); import strongroom; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["strongroom"]


def test_what_is_imported_is_seen(cached):
    """The tests above can fail: a command that lays out its help needs argparse, and is caught at it."""
    _, loaded, asked = imported(cached, "help", "list")
    assert "argparse" in loaded
    assert "argparse" in asked
