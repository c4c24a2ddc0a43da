"""The demo's act about the server of credentials: for one command, as long as it runs, and for nobody else."""

import json
import shlex
import shutil
import subprocess
import sys
from typing import Any

from agent_act import PATIENCE_SECONDS, fetch_script

URI, TOKEN = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN"
# The command: it tells where its server is, and goes on until its input ends.
TELLS = f"import os, sys; print(os.environ['{URI}'], os.environ['{TOKEN}'], flush=True); sys.stdin.read()"


def play(stage: Any) -> None:
    """From an environment without keys to a request that is refused."""
    if sys.platform == "win32":
        return  # the lines are a shell's
    stage.say("A server of credentials for one command: no key in its environment, and its SDK asks when it needs one")
    shown = stage.run("strongroom exec --server admin -- sh -c 'env | grep -E \"^AWS_.*(URI|KEY)\"'", URI)
    stage.expect("KEY" not in shown, "there is a key in the environment")
    shown = stage.run("strongroom exec --server admin -- aws sts get-caller-identity", ":assumed-role/admin/")
    stage.expect(":assumed-role/admin/" in json.loads(shown)["Arn"], "that is somebody else")

    stage.say("Another program of the same user gets nothing, even with the token: it is not the command's")
    print("$ strongroom exec --server admin -- LONG-RUNNING COMMAND &", flush=True)
    program = shutil.which("strongroom", path=stage.environ["PATH"]) or "strongroom"
    command = subprocess.Popen(
        [program, "exec", "--server", "admin", "--", sys.executable, "-c", TELLS],
        env=stage.environ,
        cwd=stage.place,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        told = command.stdout.readline().split() if command.stdout else []
        stage.expect(len(told) == 2, "the command was not started")
        get = "curl" if shutil.which("curl") else f"{shlex.quote(sys.executable)} {shlex.quote(fetch_script())}"
        stage.run(f"{get} -s -H {shlex.quote(f'Authorization: {told[1]}')} {told[0]}", "refused")
    finally:
        command.communicate(timeout=PATIENCE_SECONDS)
    stage.expect(command.returncode == 0, f"the command ended with exit status {command.returncode}")
