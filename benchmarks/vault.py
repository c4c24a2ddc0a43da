"""What the vault's commands cost: the subjects, and the limits they are held to."""

import os
import shutil
import sys
import sysconfig
import time
from pathlib import Path

from measure import Subject

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "tests"))

from fakes.cloud import Cloud
from harness import items
from harness.home import ACCOUNT, PASSPHRASE, Home

ROLE = f"arn:aws:iam::{ACCOUNT}:role/deploy"
BARE = "python -I -c pass"
EXPORT, EXPORT_LARGE = "export --format=json, cached, 10 profiles", "the same, 5,000 profiles"
LIST = "list, 5,000 profiles, 500 sessions"
EXEC = "exec -- true, cached"
COLD_EXPORT, COLD_EXEC = "export --format=json, cold", "exec -- true, cold"

# What a row may cost at most, as a multiple of which other row. Every call of every SDK that has us as its
# credential_process pays for the first; the others keep a command line that feels immediate.
LIMITS = {EXPORT: (3.5, BARE), EXPORT_LARGE: (1.15, EXPORT), LIST: (15, BARE)}


class World:
    """Homes below *path*, with keys, profiles and sessions, and an AWS that knows them."""

    def __init__(self, path: Path, cloud: Cloud) -> None:
        self.path = path
        self.cloud = cloud
        cloud.role(ROLE)

    def home(self, name: str, profiles: int) -> Home:
        """A home with a key and *profiles* profiles; `deploy`, a role with a device's worth of settings, comes last."""
        (self.path / name).mkdir(parents=True)
        home = Home(self.path / name)
        others = (
            f"[profile p{number}]\nsource_profile = user\nrole_arn = arn:aws:iam::{ACCOUNT}:role/p{number}\n"
            f"region = eu-west-1\noutput = json\n\n"
            for number in range(profiles - 2)
        )
        home.write_config(
            f"[default]\nregion = us-east-1\nendpoint_url = {self.cloud.url}\n\n[profile user]\n\n{''.join(others)}"
            f"[profile deploy]\nsource_profile = user\nrole_arn = {ROLE}\nrole_session_name = bench\n"
        )
        home.put_key("user", cloud=self.cloud)
        # What counts children in a test run would be measured here.
        home.environ = {key: value for key, value in home.environ.items() if not key.startswith("COVERAGE_")}
        return home


def forget_sessions(home: Home) -> None:
    """Remove every stored session, as `clear` does."""
    for name in os.listdir(home.keys):
        if items.is_session(name):
            os.unlink(home.keys / name)


def fill(home: Home, count: int) -> None:
    """Store *count* sessions; one is encrypted and its copies renamed, because `list` opens none."""
    expires_at = int(time.time()) + 3600
    name = home.put_session("sts.AssumeRole", "template")
    for number in range(count):
        copy = items.session_key("sts.AssumeRole", f"p{number}", "", expires_at + number)
        shutil.copy(home.keys / name, home.keys / copy)
    os.unlink(home.keys / name)


def subjects(path: Path, cloud: Cloud) -> list[Subject]:
    """Everything that is measured, each proved to work."""
    world = World(path, cloud)
    small, large, full, cold = (
        world.home(name, profiles)
        for name, profiles in (("small", 10), ("large", 5_000), ("full", 5_000), ("cold", 10))
    )
    fill(full, 500)
    program = os.path.join(sysconfig.get_path("scripts"), "strongroom")

    def subject(name: str, home: Home, *words: str, prepare=None) -> Subject:
        return Subject(name, [program, *words], home.environ, prepare)

    def without_sessions() -> None:
        forget_sessions(cold)

    true = shutil.which("true") or "true"
    export, run = ("export", "--format=json", "deploy"), ("exec", "deploy", "--", true)
    all_of_them = [
        Subject(BARE, [sys.executable, "-I", "-c", "pass"], small.environ),
        subject(EXPORT, small, *export),
        subject(EXPORT_LARGE, large, *export),
        subject(EXEC, small, *run),
        subject(LIST, full, "list"),
        subject(COLD_EXPORT, cold, *export, prepare=without_sessions),
        subject(COLD_EXEC, cold, *run, prepare=without_sessions),
    ]
    printed = {each.name: each.check() for each in all_of_them}
    calls = len(cloud.calls)
    again = {each.name: each.check() for each in all_of_them if each.prepare is None}
    if len(cloud.calls) != calls or any(again[name] != printed[name] for name in (EXPORT, EXPORT_LARGE)):
        raise SystemExit("what should be cached is not")
    if len(printed[LIST].splitlines()) != 5_000 + 3 or PASSPHRASE not in small.environ.values():
        raise SystemExit("list does not show what is there")
    return all_of_them
