"""What a cached answer costs with each keystore that runs here: the subjects, and what each opens and starts."""

import os
import sys
import sysconfig
from pathlib import Path

from measure import Subject

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))

import vault

from fakes.cloud import Cloud
from harness.stores import Stores

EXPORT = ("export", "--format=json", "deploy")
# Started in front of the program: tells on stderr what was opened and started.
COUNTING = """
import json, sys
opened, started = [], []
def note(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec"):
        started.append(1)
sys.addaudithook(note)
from strongroom import keystore
made = keystore.open
class Counting:
    def __init__(self, store):
        self.store = store
    def __getattr__(self, name):
        if name == "get":
            opened.append(1)
        return getattr(self.store, name)
keystore.open = lambda *words: Counting(made(*words))
from strongroom.cli.main import main
status = main(sys.argv[1:])
sys.stderr.write(json.dumps([status, len(opened), len(started)]))
"""


def subjects(path: Path, cloud: Cloud, stores: Stores) -> tuple[list[Subject], dict[str, tuple[int, int]]]:
    """A row for the bare interpreter and one for each store; and for each (items opened, programs started)."""
    program = os.path.join(sysconfig.get_path("scripts"), "strongroom")
    rows: list[Subject] = []
    counts = {}
    for name in stores.names():
        home = vault.World(path / name.replace(":", "-"), cloud).home("home", 10)
        environ = {key: value for key, value in home.environ.items() if not key.startswith("AWS_VAULT_FILE_")}
        stores.directory = home.path
        environ |= stores.environ(name)
        rows = rows or [Subject(vault.BARE, [sys.executable, "-I", "-c", "pass"], environ)]
        keys = {"AWS_ACCESS_KEY_ID": "AKIABENCH", "AWS_SECRET_ACCESS_KEY": "bench"}
        cloud.key(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], user="user")
        Subject(f"add, {name}", [program, "add", "--no-add-config", "--env", "user"], environ | keys).check()
        row = Subject(f"export, cached, {name}", [program, *EXPORT], environ)
        if row.check() != row.check():
            raise SystemExit(f"{name}: what should be cached is not")
        counts[row.name] = counted(environ)
        rows.append(row)
    return rows, counts


def counted(environ: dict[str, str]) -> tuple[int, int]:
    """How many items a cached answer opens, and how many programs it starts."""
    import json
    import subprocess

    ended = subprocess.run([sys.executable, "-c", COUNTING, *EXPORT], env=environ, capture_output=True, text=True)
    status, opened, started = json.loads(ended.stderr.splitlines()[-1])
    if status:
        raise SystemExit(ended.stderr)
    return opened, started
