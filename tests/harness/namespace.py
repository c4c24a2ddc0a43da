"""Networks of their own, in which a test may have 169.254.169.254:80, and other users, who may not see ours.

::

    with Namespace() as network:
        with network.inside():          # this thread: sockets made here, and processes started here, are in it
            with Cloud().serve() as cloud: ...
        subprocess.run(network.command("curl", "http://169.254.169.254/"))

Only root can make one. What is mounted inside stays inside too.
"""

import contextlib
import ctypes
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ADDRESS = "169.254.169.254"
SOURCE = Path(__file__).parent.parent.parent / "src"
# Of Debian's own interpreter: that of the tests may lie where another user may not look.
PYTHON = "/usr/bin/python3"
_CLONE_NEWNET = 0x4000_0000
_NEEDED = ("unshare", "nsenter", "ip")


@functools.cache
def why_not() -> str:
    """Why there can be no namespaces here; empty if there can."""
    if sys.platform != "linux":
        return "network namespaces are Linux' own"
    missing = [name for name in _NEEDED if shutil.which(name) is None]
    if missing:
        return f"network namespaces need {' and '.join(missing)}"
    done = subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, check=False)
    return "only root may make network namespaces, and in some containers not even root" if done.returncode else ""


@functools.cache
def why_no_users() -> str:
    """Why no test can be another user here; empty if it can."""
    if sys.platform == "win32" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        return "only root may become another user, by setpriv"
    command = as_user(1234, PYTHON, "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))")
    done = subprocess.run(command, capture_output=True, check=False, cwd="/")
    return f"another user needs {PYTHON}, 3.11 or newer" if done.returncode else ""


def as_user(uid: int, *command: str) -> list[str]:
    """A command as another user runs it, without any group or capability."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "--", *command]


@contextlib.contextmanager
def public_source():
    """A directory that every user may enter, with a copy of the package; for ``PYTHONPATH``."""
    directory = Path(tempfile.mkdtemp(dir="/tmp", prefix="strongroom-public-"))
    try:
        directory.chmod(0o755)
        shutil.copytree(SOURCE / "strongroom", directory / "strongroom", ignore=shutil.ignore_patterns("__pycache__"))
        yield directory
    finally:
        shutil.rmtree(directory)


class Namespace:
    """A network, and a place for mounts, with a loopback interface that is up and nothing else."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "-n", "-m", "sh", "-c", "ip link set lo up && echo ready && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout.readline() == b"ready\n"
        self.pid = self._holder.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # End of input ends what holds it; the namespace goes with the last process in it.
        self._holder.communicate()

    def command(self, *command: str) -> list[str]:
        """A command that runs in it."""
        return ["nsenter", "--target", str(self.pid), "--net", "--mount", "--wd=/", "--", *command]

    def run(self, *command: str, **settings) -> subprocess.CompletedProcess:
        """Run a command in it; it must succeed."""
        return subprocess.run(self.command(*command), check=True, capture_output=True, text=True, **settings)

    @contextlib.contextmanager
    def inside(self):
        """Have this thread in its network until the block ends."""
        setns = ctypes.CDLL(None, use_errno=True).setns
        with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/proc/{self.pid}/ns/net", "rb") as theirs:
            assert setns(theirs.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield self
            finally:
                assert setns(ours.fileno(), _CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())

    def addresses(self) -> list[str]:
        """Those of the loopback interface, IPv4: ``127.0.0.1/8``."""
        shown = self.run("ip", "-4", "-o", "address", "show", "dev", "lo").stdout
        return [line.split()[3] for line in shown.splitlines()]

    def processes(self) -> list[int]:
        """The numbers of those that are in its network."""
        ours, found = self._network_of(self.pid), []
        for name in os.listdir("/proc"):
            with contextlib.suppress(OSError):
                if name.isdigit() and self._network_of(int(name)) == ours:
                    found.append(int(name))
        return found

    @staticmethod
    def _network_of(pid: int) -> str:
        return os.readlink(f"/proc/{pid}/ns/net")

    def write_over(self, path: str, text: str, directory: Path, mode: int = 0o644) -> None:
        """Have *text* at *path*, for those inside only."""
        replacement = directory / path.strip("/").replace("/", "-")
        replacement.write_text(text)
        replacement.chmod(mode)
        self.run("mount", "--bind", str(replacement), path)
