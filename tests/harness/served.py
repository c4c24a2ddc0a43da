"""Commands that `exec --server` serves: programs for them, and what is sent to their server from outside."""

import http.client
import json
import select
import subprocess
import sys
from urllib.parse import urlsplit

from harness.agent import PATIENCE_SECONDS
from harness.home import CODE

URI, TOKEN, TOKEN_FILE = (
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
)

# Programs that run as the command. Each is one line of Python, or a few.
TELL = "import json, os, sys; print(json.dumps(dict(os.environ)), flush=True); sys.stdin.readline()"

# Notes every signal that comes; ends with its standard input.
NOTE_SIGNALS = """\
import os, signal, sys
names = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCONT")
def note(number, _frame):
    os.write(1, f"{signal.Signals(number).name}\\n".encode())
for name in names:
    signal.signal(getattr(signal, name), note)
print("begun", flush=True)
while sys.stdin.readline():
    pass
print("ended", flush=True)
"""


def python(code, *words):
    """The command that runs this code."""
    return [sys.executable, "-I", "-c", code, *words]


class Reply:
    """What a server answered."""

    def __init__(self, answer) -> None:
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}
        self.body = answer.read()

    def json(self):
        return json.loads(self.body)


def ask(url, token="", path="", *, method="GET", headers=()):
    """A request from this process, which is none of the server's."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    try:
        given = dict(headers) | ({"Authorization": token} if token else {})
        connection.request(method, path or place.path or "/", headers=given)
        return Reply(connection.getresponse())
    finally:
        connection.close()


class Served:
    """A command that is served, and tells its environment.

    Args:
        home: Where.
        words: Flags and profile.
        command: What runs; by default a program that prints its environment and waits for a line.
    """

    def __init__(self, home, *words, command=(), env=None) -> None:
        argv = ["exec", "-t", CODE, *words, "--", *(command or python(TELL))]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        # Without a buffer of ours: what has come can be waited for.
        self.process = home.popen(*argv, env=env, bufsize=0, **pipes)
        self.first = self.process.stdout.readline().decode()
        assert self.first, self.process.stderr.read().decode()

    @property
    def environ(self):
        return json.loads(self.first)

    def ask(self, path="", **how):
        return ask(self.environ[URI], self.environ.get(TOKEN, ""), path, **how)

    def line(self):
        ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE_SECONDS)
        assert ready, "it says nothing"
        return self.process.stdout.readline().decode().rstrip("\n")

    def end(self):
        """Have the command end; what came of it."""
        stdout, stderr = self.process.communicate(b"\n", 30)
        return self.process.returncode, stdout.decode(), stderr.decode()
