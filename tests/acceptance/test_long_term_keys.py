"""Long-term keys go only when somebody removes them: whatever else is stored, and wherever a command is stopped dead."""

import base64
import os
import shutil
import signal
import sys

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from harness import items
from harness.crash import crashing
from harness.home import CODE, M

NEW = {"AWS_ACCESS_KEY_ID": "AKIANEWNEWNEWNEWNEW1", "AWS_SECRET_ACCESS_KEY": "new+secret"}
FUTURE, PAST = 4_000_000_000, 1_000_000_000
MOST_STEPS = 200  # no command does so much; bounds a test whose command never gets done


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


# Names that are those of long-term keys, though each is nearly something else.
NEAR_MISSES = [
    "sts.GetSessionToken,am9u,1795315097",
    "sts.GetSessionToken,am9u,,,1795315097",
    "sts.GetSessionToken,,,1795315097",
    ",am9u,,1795315097",
    "sts.GetSessionToken,a,,1795315097",
    "sts.GetSessionToken,YQ==,,1795315097",
    "sts.GetSessionToken,a+b/,,1795315097",
    "sts.GetSessionToken,am9u,,17953x5097",
    "sts.GetSessionToken,am9u,,-1795315097",
    "sts.GetSessionToken,am9u,,\u0661\u0662\u0663",
    "sts.GetSessionToken,am9u,,",
    "Session,jon,x,12",
    "session,jon,x,1",
    "session,jon,12",
    "session:jon:x",
    "session:jo n:x:y",
    "session",
    "jon session",
    "jon session ()",
    "jon session (1x)",
    "jon session (12",
    "session (12)",
    "OIDC:https://x",
    "oidc",
    " oidc:x",
]
PLAIN = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=",:()"), min_size=1, max_size=20)
keys = st.sets(st.sampled_from(NEAR_MISSES) | PLAIN.filter(lambda name: name.strip(".")), max_size=6)
profiles = st.sampled_from(["jon", "bare", "ro", "admin", "gone", "a b", "é"])
sessions = st.builds(
    lambda kind, profile, serial, at: f"{kind},{encoded(profile)},{encoded(serial)},{at}",
    st.sampled_from(["sts.GetSessionToken", "sts.AssumeRole", "sso.GetRoleCredentials"]),
    profiles,
    st.sampled_from(["", M]),
    st.sampled_from([FUTURE, PAST, 0]),
)
old_sessions = st.sampled_from(["session,jon,x,12", "session:jon:x:y", "jon session (12)", " session (1)"])
tokens = st.sampled_from(["oidc:https://x.awsapps.com/start", "oidc:"])
temporary = st.sets(sessions | old_sessions | tokens, max_size=6)
COMMANDS = [
    ("clear",),
    ("clear", "jon"),
    ("clear", "gone"),
    ("export", "ro"),
    ("export", "bare"),
    ("exec", "-t", CODE, "admin", "--", "true"),
    ("add", "--env", "--no-add-config", "new"),
    ("add", "--env", "--no-add-config", "bare"),
    ("remove", "-f", "bare"),
    ("remove", "-s", "jon"),
    ("list",),
]


@pytest.fixture
def store(c1, cloud):
    """The usual home with a second key, and a function that fills its store anew."""
    c1.put_key("bare", cloud=cloud)
    kept = {name: (c1.keys / name).read_bytes() for name in ("jon", "bare")}

    def fill(names):
        shutil.rmtree(c1.keys)
        c1.keys.mkdir(mode=0o700)
        # What is inside does not matter: these are never opened. They are items by their first bytes.
        content = dict.fromkeys(map(items.file_name, names), kept["bare"]) | kept
        for name, data in content.items():
            with open(c1.keys / name, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
                file.write(data)
        (c1.keys / "README").write_text("not an item")
        (c1.keys / "directory").mkdir()

    return c1, fill


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=keys, temporary=temporary, argv=st.sampled_from(COMMANDS))
@example(keys=set(NEAR_MISSES), temporary=set(), argv=("clear",))
@example(keys=set(NEAR_MISSES), temporary=set(), argv=("export", "ro"))
def test_nothing_else_removes_them(store, keys, temporary, argv):
    """In any store, after any command, each long-term item is what it was, byte for byte, and so is what is no item."""
    home, fill = store
    fill(keys | temporary)
    expected = {name: (home.keys / name).read_bytes() for name in {*map(items.file_name, keys), "jon", "bare"}}
    result = home.call(*argv, env=NEW if argv[0] == "add" else None)
    assert result.status == 0, result.stderr
    if argv[0] in {"add", "remove"} and "-s" not in argv:
        expected.pop(argv[-1], None)
    left = {entry.name: entry for entry in os.scandir(home.keys)}
    for name, data in expected.items():
        with open(left[name].path, "rb") as file:
            assert file.read() == data, name
    assert left["directory"].is_dir()
    assert (home.keys / "README").read_text() == "not an item"
    if argv == ("clear",):
        assert set(left) == {*expected, "README", "directory"}
    if argv == ("remove", "-f", "bare"):
        assert "bare" not in left


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
def test_exec_is_stopped_dead(c1, cloud):
    """`exec` of a role behind a device: at each step, and in the midst of each write, the keys are whole, nothing
    foreign lies in the store, and the next run gets there with what was reached."""
    c1.put_session("sts.GetSessionToken", "old", left=-60)
    c1.put_key("other")
    saved = c1.path.parent / "saved"
    shutil.copytree(c1.path, saved, symlinks=True)
    before = {name: (c1.keys / name).read_bytes() for name in ("jon", "other")}
    config = c1.config.read_bytes()
    argv = ["exec", "-t", CODE, "admin", "--", "true"]
    deaths = []
    with crashing(c1) as run:
        at, half = 1, False
        while at < MOST_STEPS:
            shutil.rmtree(c1.path)
            shutil.copytree(saved, c1.path, symlinks=True)
            status, about_to = run(at, half, *argv)
            assert {name: (c1.keys / name).read_bytes() for name in before} == before
            assert c1.config.read_bytes() == config
            assert {name.partition(",")[0] for name in c1.items()} <= {
                "jon", "other", "sts.GetSessionToken", "sts.AssumeRole",
            }  # fmt: skip
            assert not any(name.startswith(".") for name in os.listdir(c1.keys))
            assert c1.call("list", "--credentials").stdout == "jon\nother\n"
            assert c1.call(*argv).child == ["true"]
            if not about_to.startswith("before "):
                break  # it became the command
            assert status == -signal.SIGKILL
            deaths.append(about_to.removeprefix("before "))
            half = not half and deaths[-1] == "write"
            at += not half
    assert status == 0
    assert deaths.count("send") == deaths.count("replace") == 2
    assert {"write", "fsync", "unlink"} <= set(deaths)
