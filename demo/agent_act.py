"""The demo's act about the secrets agent: a secret is served, rotated, and served anew."""

import json
import os
import queue
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
from typing import Any

import boto3
from cloud import REGION, Cloud

PATIENCE_SECONDS = 30
TOKEN_HEADER = "X-Aws-Parameters-Secrets-Token"

CONFIG = """\
http_port = 0
log_to_file = false
log_level = "warn"
ttl_seconds = 300
"""


class Agent:
    """``strongroom agent`` as a child, with the credentials of a role out of the vault."""

    def __init__(self, line: str, environ: dict[str, str], place: str) -> None:
        print(f"$ {line} &", flush=True)
        argv = shlex.split(line)
        program = shutil.which(argv[0], path=environ["PATH"]) or argv[0]
        self.process = subprocess.Popen(
            [program, *argv[1:]], env=environ, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.banner = self.lines.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            self.banner = ""
        print(self.banner, end="", flush=True)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line)
        self.lines.put("")

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.banner.rsplit(" ", 1)[-1].strip()

    def stop(self) -> int:
        """End it as a service manager does; return its exit status."""
        self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


def play(stage: Any, cloud: Cloud) -> None:
    """From a secret at AWS to its value in a program, and to the value that takes its place."""
    aws = boto3.client(
        "secretsmanager",
        endpoint_url=cloud.url,
        region_name=REGION,
        aws_access_key_id="root",
        aws_secret_access_key="root",
    )
    first, second = (f"hunter{number}-{secrets.token_hex(4)}" for number in (1, 2))
    aws.create_secret(Name="app/db", SecretString=json.dumps({"user": "app", "password": first}))

    stage.say("The secrets agent, with the role's credentials: it asks AWS once and serves from memory")
    with open(os.path.join(stage.place, "agent.toml"), "w", encoding="ascii") as file:
        file.write(CONFIG)
    print(f"$ cat agent.toml\n{CONFIG.strip()}")
    token = secrets.token_urlsafe(6)
    agent = Agent(
        "strongroom exec admin -- strongroom agent --config agent.toml",
        stage.environ | {"AWS_TOKEN": token},
        stage.place,
    )
    try:
        stage.expect("listening on http://127.0.0.1:" in agent.banner, "the agent does not listen")
        get = "curl" if shutil.which("curl") else f"{shlex.quote(sys.executable)} {shlex.quote(fetch_script())}"

        def ask(query: str, *shows: str, header: str = f"{TOKEN_HEADER}: {token}") -> str:
            url = f"{agent.url}/secretsmanager/get?{query}"
            return stage.run(f"{get} -s -H {shlex.quote(header)} {shlex.quote(url)}", *shows)

        ask("secretId=app/db", '"Name":"app/db"', first)
        stage.expect(ask("secretId=app/db&jsonKey=password") == first, "that is not the password")
        ask("secretId=app/db", "Bad Token", header=f"{TOKEN_HEADER}: guessed")

        stage.say("The secret is rotated: memory has the old one until it is asked to look again")
        aws.put_secret_value(SecretId="app/db", SecretString=json.dumps({"user": "app", "password": second}))
        ask("secretId=app/db&jsonKey=password", first)
        ask("secretId=app/db&jsonKey=password&refreshNow=true", second)
        ask("secretId=app/db&jsonKey=password", second)
    finally:
        status = agent.stop()
    stage.expect(status == 0, f"the agent ended with exit status {status}")


def fetch_script() -> str:
    """The stand-in for curl where that is not installed."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "fetch.py")
