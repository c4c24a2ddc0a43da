"""A throw-away home, and ways to run strongroom in it.

`Home.run` starts a real process, as a user does. `Home.call` runs the same words in this process, which is twenty times
faster: the bulk of the tests. Where `exec` would replace the process, `call` returns what would have been run.
"""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from fakes import sts
from harness import items

PASSPHRASE = "pw"
ACCOUNT = "111111111111"
M, N = f"arn:aws:iam::{ACCOUNT}:mfa/jon", f"arn:aws:iam::{ACCOUNT}:mfa/other"
RO, ADM, R1, R2 = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("RO", "ADM", "R1", "R2"))
CODE = "123456"

C1 = """\
[default]
region = us-east-1
endpoint_url = {url}

[profile jon]
mfa_serial = {M}

[profile ro]
source_profile = jon
role_arn = {RO}

[profile admin]
source_profile = jon
role_arn = {ADM}
mfa_serial = {M}

[profile r1]
source_profile = jon
role_arn = {R1}
mfa_serial = {M}

[profile r2]
source_profile = r1
role_arn = {R2}
mfa_serial = {M}
"""

# What a process needs of the machine; everything else of the outer environment stays outside.
MACHINE = ("PATH", "LANG", "LC_ALL", "SYSTEMROOT", "PATHEXT", "COMSPEC", "TMPDIR", "TEMP", "TMP")


@dataclass
class Result:
    """How a run ended. ``child`` and ``environ``: what `exec` would have become (in-process runs only)."""

    status: int
    stdout: str
    stderr: str
    child: list[str] | None = None
    environ: dict[str, str] | None = None

    def json(self):
        """stdout, which must be JSON."""
        return json.loads(self.stdout)


class Replaced(BaseException):
    """The process would be another one now."""

    def __init__(self, argv, environ) -> None:
        super().__init__(argv)
        self.argv = list(argv)
        self.environ = dict(environ)


class Home:
    """A home directory below *path*."""

    def __init__(self, path: Path) -> None:
        self.path = path / "home"
        self.config = self.path / ".aws" / "config"
        self.keys = self.path / "keys"
        self.work = path / "work"
        for directory in (self.path, self.work, self.path / "run"):
            directory.mkdir(mode=0o700)
        self.environ = {name: os.environ[name] for name in MACHINE if name in os.environ}
        # Children are counted too, if anybody counts.
        self.environ |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        self.environ |= {
            "HOME": str(self.path),
            "USERPROFILE": str(self.path),
            "XDG_CONFIG_HOME": str(self.path / "xdg-config"),
            "XDG_DATA_HOME": str(self.path / "xdg-data"),
            "XDG_CACHE_HOME": str(self.path / "xdg-cache"),
            "XDG_RUNTIME_DIR": str(self.path / "run"),
            "LOCALAPPDATA": str(self.path / "local"),
            "APPDATA": str(self.path / "roaming"),
            "AWS_VAULT_BACKEND": "file",
            "AWS_VAULT_FILE_DIR": str(self.keys),
            "AWS_VAULT_FILE_PASSPHRASE": PASSPHRASE,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    # What is there.

    def write_config(self, text: str) -> None:
        self.config.parent.mkdir(mode=0o700, exist_ok=True)
        self.config.write_text(text)

    def put_key(self, profile: str, access_key_id: str = "", secret: str = "", *, cloud=None) -> str:
        """Store a long-term key, made known to *cloud* if given; returns its id."""
        access_key_id = access_key_id or key_id(profile)
        secret = secret or f"secret+of/{profile}"
        fields = {"AccessKeyID": access_key_id, "SecretAccessKey": secret}
        items.write(str(self.keys), profile, fields, PASSPHRASE, f"aws-vault ({profile})")
        if cloud is not None:
            cloud.key(access_key_id, secret, user=profile)
        return access_key_id

    def put_session(self, kind: str, profile: str, serial: str = "", *, left: float = 3600, key=None, **more) -> str:
        """Store a session as aws-vault does, which says nothing of what it was made for; returns the item's name.

        Args:
            left: Seconds until it expires.
            key: The keys, a `fakes.sts.Key`; by default some that no AWS knows.
            more: Further fields of the data, or other values of the usual ones.
        """
        expires_at = int(time.time() + left)
        key = key or sts.issue("session", f"arn:aws:iam::{ACCOUNT}:user/{profile}", expires_at)
        fields = sts.credentials(key) | {"Expiration": shown_time(expires_at)} | more
        name = items.session_key(kind, profile, serial, expires_at)
        items.write(str(self.keys), name, fields, PASSPHRASE, f"aws-vault session for {profile}", "aws-vault session")
        return name

    def item_names(self) -> list[str]:
        """The names of all stored items, sorted."""
        return items.names(str(self.keys))

    def items(self) -> dict[str, dict]:
        """Item name -> its fields."""
        return {name: items.read(str(self.keys), name, PASSPHRASE) for name in self.item_names()}

    def sessions(self) -> list[tuple[str, str, str]]:
        """(kind without service, profile, serial) of each stored session, sorted."""
        found = [items.read_session_key(name) for name in self.item_names() if items.is_session(name)]
        return sorted((kind.partition(".")[2] or kind, profile, serial) for kind, profile, serial, _ in found)

    # Ways to run.

    def _environ(self, env: dict[str, str | None] | None) -> dict[str, str]:
        merged = self.environ | (env or {})
        return {name: value for name, value in merged.items() if value is not None}

    def popen(self, *argv: str, env: dict[str, str | None] | None = None, **streams) -> subprocess.Popen:
        """Start a real process, in a session of its own: without a terminal. A variable that is None is unset."""
        command = [sys.executable, "-m", "strongroom", *argv]
        return subprocess.Popen(command, env=self._environ(env), cwd=self.work, start_new_session=True, **streams)

    def run(self, *argv: str, env: dict[str, str | None] | None = None, stdin: str = "", timeout: float = 60) -> Result:
        """Run a real process to its end."""
        with self.popen(
            *argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            try:
                stdout, stderr = process.communicate(stdin.encode(), timeout)
            except BaseException:
                kill_all(process)
                raise
        return Result(process.returncode, decode(stdout), decode(stderr))

    def call(self, *argv: str, env: dict[str, str | None] | None = None) -> Result:
        """Run the same words in this process."""
        from strongroom.cli.main import main

        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", "surrogateescape", newline="") for _ in range(2))

        def replace(_file, words, environ=os.environ):
            raise Replaced(words, environ)

        child = environ = None
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.redirect_stdout(out))
            stack.enter_context(contextlib.redirect_stderr(err))
            for name in ("execv", "execve", "execvp", "execvpe"):
                stack.enter_context(mock.patch.object(os, name, replace))
            if sys.platform == "win32":  # which cannot replace a process: a child is waited for instead
                stack.enter_context(mock.patch("strongroom.cli.child.run", lambda words, env: replace("", words, env)))
            try:
                status = main(list(argv), self._environ(env))
            except Replaced as replaced:
                status, child, environ = 0, replaced.argv, replaced.environ
        texts = []
        for stream in (out, err):
            stream.flush()
            texts.append(decode(stream.detach().getvalue()))
        return Result(status, *texts, child, environ)


def config_c1(home: Home, cloud) -> None:
    """Config C1, jon's key, and an AWS that knows the roles and the two devices."""
    home.write_config(C1.format(url=cloud.url, M=M, RO=RO, ADM=ADM, R1=R1, R2=R2))
    home.put_key("jon", cloud=cloud)
    for arn in (RO, ADM, R1, R2):
        cloud.role(arn)
    for serial in (M, N):
        cloud.mfa[serial] = {CODE}


def key_id(profile: str) -> str:
    """The access key id that tests store for a profile: as long as a real one."""
    return "AKIA" + "".join(filter(str.isalnum, profile)).upper().rjust(16, "X")


def shown_time(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def kill_all(process: subprocess.Popen) -> None:
    """End a process that `Home.popen` started, with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
