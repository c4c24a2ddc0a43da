"""Commands that `exec --server` serves: programs for them, and what is sent to their server from outside."""

import http.client
import json
import sys
from urllib.parse import urlsplit

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
