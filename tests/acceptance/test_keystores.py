"""The commands with every keystore that runs here: what is stored is found again, and no more is opened than needed."""

import json
import os
import subprocess
import sys

import pytest

import fakes.browser
from fakes.centers import center, center_server  # noqa: F401 - fixtures
from fakes.identity_center import START_URL
from harness.home import ACCOUNT, RO, key_id
from harness.stores import STAND_INS, Stores
from strongroom import keystore
from strongroom.cli import signing_in

HAS_DESKTOP = "secret-service" in Stores.names()
DESKTOP = pytest.mark.skipif(not HAS_DESKTOP, reason="needs dbus-daemon and gnome-keyring-daemon")

KEYS = {"AWS_ACCESS_KEY_ID": key_id("jon"), "AWS_SECRET_ACCESS_KEY": "secret+of/jon"}
ADDED = 'Added credentials to profile "jon" in vault\n'
EXPORT = ("export", "--format=json")
CONFIG = f"""\
[default]
region = us-east-1
endpoint_url = {{url}}

[profile jon]

[profile ro]
source_profile = jon
role_arn = {RO}

[profile dev]
sso_start_url = {START_URL}
sso_region = eu-west-1
sso_account_id = {ACCOUNT}
sso_role_name = Admin

[profile ops]
sso_start_url = {START_URL}
sso_region = eu-west-1
sso_account_id = {ACCOUNT}
sso_role_name = ReadOnly
"""
# These do not know when an item was written, so nothing but the key itself tells whether a session was made from it.
TIMELESS = {"keyctl", "kwallet"}


class Counting:
    """A keystore that notes what is listed and what is opened, each as (store, what, name).

    Long-term keys were written ten seconds earlier than it says, as they are outside of tests: some stores count whole
    seconds.
    """

    def __init__(self, name, store, notes):
        self._name, self._store, self._notes = name, store, notes

    def __getattr__(self, name):
        return getattr(self._store, name)

    def listing(self):
        self._notes.append((self._name, "listing", ""))
        found = self._store.listing()
        return {key: at - 10 if key == "jon" and at is not None else at for key, at in found.items()}

    def get(self, key):
        self._notes.append((self._name, "get", key.partition(",")[0]))
        return self._store.get(key)

    def beside(self, collection):
        return Counting(f"{self._name} {collection}", self._store.beside(collection), self._notes)


@pytest.fixture
def opened(tmp_path, home, center, monkeypatch):  # noqa: F811
    """Make a keystore the home's: ``opened("pass")`` returns its variables. What is done to it is in `home.notes`."""
    home.write_config(CONFIG.format(url=center.url))
    home.notes = []
    center.role(RO)
    center.key(KEYS["AWS_ACCESS_KEY_ID"], KEYS["AWS_SECRET_ACCESS_KEY"], user="jon")
    for name in ("AWS_VAULT_FILE_DIR", "AWS_VAULT_FILE_PASSPHRASE"):
        del home.environ[name]
    with Stores(tmp_path) as stores:

        def counting(name, settings, ask):
            return Counting(name, stores.open(name, settings, ask), home.notes)

        def opened(name):
            home.environ |= stores.environ(name)
            return stores

        monkeypatch.setattr(keystore, "open", counting)
        yield opened


@pytest.fixture
def human(monkeypatch):
    """Follows the link to sign in, on some other machine."""
    browser = fakes.browser.Browser()
    told = []
    monkeypatch.setattr(signing_in.SigningIn, "tell", lambda _, message: told.append(message))
    monkeypatch.setattr(
        signing_in.SigningIn, "sleep", lambda *_: browser.open(told[-1].partition("open ")[2].partition(" in any")[0])
    )
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", "/nonexistent/tty")
    return browser


def operations(cloud):
    return [call.action for call in cloud.calls]


def notes(home, what):
    return [(store, key) for store, noted, key in home.notes if noted == what]


def listed(home, env=None):
    """What `list` prints below its head: profile, key, and sessions without their time."""
    lines = home.call("list", env=env).stdout.splitlines()[2:]
    return [tuple(word.partition(":")[0] for word in line.split()) for line in lines]


@pytest.mark.parametrize("name", [*Stores.names(), *STAND_INS])
def test_from_the_first_key_to_none(opened, home, center, human, name):  # noqa: F811
    """add, list, export, exec, doctor, signing in, clear, remove: by a store as its program, its bus or its kernel has it."""
    opened(name)
    nothing = [("default", "-", "-"), ("jon", "-", "-"), ("ro", "-", "-"), ("dev", "-", "-"), ("ops", "-", "-")]
    assert listed(home) == nothing
    added = home.call("add", "--env", "jon", env=KEYS)
    assert (added.status, added.stdout, added.stderr) == (0, ADDED, "")

    first = home.call(*EXPORT, "ro")
    assert (first.status, first.stderr) == (0, "")
    home.notes.clear()
    assert home.call(*EXPORT, "ro").stdout == first.stdout
    assert operations(center) == ["AssumeRole"]
    # One listing, and one secret if the store tells which of the two is older.
    assert notes(home, "listing") == [(name, "")]
    assert notes(home, "get") == [(name, "sts.AssumeRole"), *([(name, "jon")] if name in TIMELESS else [])]
    run = home.call("exec", "ro", "--", "true")
    assert run.environ["AWS_ACCESS_KEY_ID"] == first.json()["AccessKeyId"]

    # A token of Identity Center, and what only strongroom understands beside it.
    dev = home.call(*EXPORT, "--no-browser", "dev")
    assert (dev.status, dev.stderr) == (0, "")
    home.notes.clear()
    assert home.call(*EXPORT, "ops").status == 0
    assert len(human.opened) == 1
    assert notes(home, "get") == [(name, f"oidc:{START_URL}")]
    assert listed(home) == [
        ("default", "-", "-"),
        ("jon", "jon", "-"),
        ("ro", "-", "sts.AssumeRole"),
        ("dev", "-", "oidc", "sso.GetRoleCredentials"),
        ("ops", "-", "oidc", "sso.GetRoleCredentials"),
    ]
    home.notes.clear()
    doctor = home.call("doctor", "--json")
    [used] = [row for row in doctor.json()["keystores"] if row["used"]]
    assert (doctor.status, used["name"], used["usable"], used["why"]) == (0, name, True, "STRONGROOM_BACKEND")
    assert used["keys"] in {1, None}  # None: it would have to be unlocked
    assert notes(home, "get") == []

    assert home.call("clear").stdout == "Cleared 4 sessions.\n"
    assert listed(home) == [*nothing[:1], ("jon", "jon", "-"), *nothing[2:]]
    assert home.call(*EXPORT, "--no-browser", "dev").status == 0  # signed in anew, by the client that is known already
    assert (len(human.opened), center.count("RegisterClient")) == (2, 1)
    assert home.call("remove", "--force", "jon").stdout == "Deleted credentials.\n"
    assert home.call("clear").stdout == "Cleared 2 sessions.\n"
    assert listed(home) == nothing


@pytest.mark.parametrize(
    ("keys", "sessions"),
    [
        ("age", "file"),
        pytest.param("op", "keyctl", marks=pytest.mark.skipif("keyctl" not in Stores.names(), reason="needs Linux")),
        pytest.param("secret-service", "age", marks=DESKTOP),
    ],
)
def test_sessions_apart(opened, home, center, keys, sessions):  # noqa: F811
    """`session_backend`: the key in one store, what is made from it in another; neither is asked twice."""
    opened(sessions)
    opened(keys)
    home.environ["STRONGROOM_SESSION_BACKEND"] = sessions
    assert home.call("add", "--env", "jon", env=KEYS).status == 0
    first = home.call(*EXPORT, "ro")
    home.notes.clear()
    assert home.call(*EXPORT, "ro").stdout == first.stdout
    assert operations(center) == ["AssumeRole"]
    assert sorted(notes(home, "listing")) == sorted([(keys, ""), (sessions, "")])
    assert notes(home, "get") == [(sessions, "sts.AssumeRole"), *([(keys, "jon")] if sessions in TIMELESS else [])]
    assert listed(home)[1:3] == [("jon", "jon", "-"), ("ro", "-", "sts.AssumeRole")]
    together = {"STRONGROOM_SESSION_BACKEND": ""}
    assert listed(home, env=together)[1:3] == [("jon", "jon", "-"), ("ro", "-", "-")]
    only = {"STRONGROOM_BACKEND": sessions, **together}
    assert listed(home, env=only)[1:3] == [("jon", "-", "-"), ("ro", "-", "sts.AssumeRole")]
    assert home.call("remove", "--force", "jon").status == 0
    assert [row[1:] for row in listed(home)] == [("-", "-")] * 5


# What each store brings along that others do not need, of these.
FOREIGN = ("secretstorage", "jeepney", "pyrage", "cryptography", "ctypes", "subprocess", "socket", "urllib3", "urllib")
BRINGS = {
    "file": {"cryptography"},
    "age": {"pyrage"},
    "helper:sqlite": {"subprocess"},
    "keyctl": {"ctypes"},
    "pass": {"subprocess"},
    "secret-service": {"secretstorage", "jeepney", "cryptography", "socket"},
}
STARTS = {"helper:sqlite": ["strongroom-store-sqlite"] * 2, "pass": ["pass"]}
MODULES = {"helper:sqlite": "helper", "pass": "password_store", "secret-service": "secret_service"}
# Runs the program, and then tells which modules it loaded, which programs it started and where it connected to.
WITNESS = """
import sys
started, met = [], []
def note(event, words):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork"):
        started.append(str(words[0]))
    elif event == "socket.connect":
        met.append(str(words[1]))
sys.addaudithook(note)
from strongroom.cli.main import main
status = main(sys.argv[1:])
loaded = list(sys.modules)
import json
sys.stderr.write(json.dumps([status, loaded, started, met]))
"""


@pytest.mark.parametrize("name", Stores.names())
def test_only_what_was_chosen(opened, home, center, name):  # noqa: F811
    """A cached answer imports no other store, looks for no other's bus and starts no other's program."""
    opened(name)
    home.environ.setdefault("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nobody/may/look/here")
    assert home.call("add", "--env", "jon", env=KEYS).status == 0
    first = home.call(*EXPORT, "ro")
    command = [sys.executable, "-c", WITNESS, *EXPORT, "ro"]
    ended = subprocess.run(command, env=home.environ, capture_output=True, text=True, timeout=60)
    status, loaded, started_programs, met = json.loads(ended.stderr)
    assert (status, ended.stdout, operations(center)) == (0, first.stdout, ["AssumeRole"])
    assert {each for each in FOREIGN if each in loaded} == BRINGS[name]
    stores = {each.rpartition(".")[2] for each in loaded if each.startswith("strongroom.keystore.")}
    modules = {keystore.MODULES.get(each, each) for each in keystore.KEYSTORES}
    assert stores & modules == {MODULES.get(name, name)}
    assert [os.path.basename(each) for each in started_programs] == STARTS.get(name, [])
    bus = home.environ["DBUS_SESSION_BUS_ADDRESS"].removeprefix("unix:path=")
    assert met == ([bus] if name == "secret-service" else [])


def unnamed(home, **more):
    """Variables of somebody who names no store, at a desktop or away from it."""
    chosen = {"AWS_VAULT_BACKEND": "", "STRONGROOM_BACKEND": None}
    return chosen | {"AWS_VAULT_FILE_PASSPHRASE": "pw", "AWS_VAULT_FILE_DIR": str(home.keys)} | more


def used(home, env):
    """What `doctor` says is used, and why; and the stores that it finds to be of no use."""
    rows = home.call("doctor", "--json", env=env).json()["keystores"]
    [used] = [row for row in rows if row["used"]]
    return used["name"], used["why"]


@DESKTOP
def test_a_key_stored_without_a_desktop_stays(opened, home):
    """Nobody names a store, and there is no bus: files. A desktop that comes later does not hide what is in them."""
    opened("secret-service")
    away = unnamed(home, DBUS_SESSION_BUS_ADDRESS=None)
    assert used(home, away) == ("file", "it is the first that can be used here")
    assert home.call("add", "--env", "jon", env=away | KEYS).stdout == ADDED
    home.notes.clear()
    settings = str(home.path / "xdg-config" / "strongroom" / "config.toml")
    assert used(home, unnamed(home, DISPLAY=":0")) == ("file", settings)
    home.notes.clear()
    assert ("jon", "jon", "-") in listed(home, env=unnamed(home, DISPLAY=":0"))
    assert {store for store, _, _ in home.notes} == {"file"}


@DESKTOP
def test_a_key_stored_at_a_desktop_stays(opened, home):
    """Nobody names a store, and there is a bus: the desktop's. Away from it that is said, and no other store is taken."""
    opened("secret-service")
    assert home.call("add", "--env", "jon", env=unnamed(home, DISPLAY=":0") | KEYS).stdout == ADDED
    assert not home.keys.exists()
    assert ("jon", "jon", "-") in listed(home, env=unnamed(home))  # over ssh, with the bus
    away = home.call("list", env=unnamed(home, DBUS_SESSION_BUS_ADDRESS=None))
    assert (away.status, away.stdout) == (1, "")
    assert away.stderr == (
        "strongroom: error: list: there is no session bus here\n"
        "strongroom: hint: DBUS_SESSION_BUS_ADDRESS is not set: this is no desktop session\n"
    )


@DESKTOP
def test_a_prompt_that_is_dismissed(opened, home):
    """It is said in one line; nothing else is tried, and AWS is not asked."""
    stores = opened("secret-service")
    assert home.call("add", "--env", "jon", env=KEYS).status == 0
    human = stores.bus.person()
    stores.bus.lock(stores.collection)
    for words in ((*EXPORT, "ro"), ("exec", "ro", "--", "true"), ("list",), ("remove", "--force", "jon")):
        result = home.call(*words)
        assert (result.status, result.stdout) == (1, "")
        assert result.stderr.splitlines()[0] == (
            f"strongroom: error: {words[0]}: collection 'awsvault' of the Secret Service stays locked: "
            "its prompt was dismissed"
        )
    assert len(human.seen) == 4


@DESKTOP
def test_fifty_commands_ask_once(opened, home, center):  # noqa: F811
    """They all want one session of a locked collection: one prompt, fifty answers."""
    stores = opened("secret-service")
    assert home.call("add", "--env", "jon", env=KEYS).status == 0
    first = home.call(*EXPORT, "ro")
    human = stores.bus.person()
    stores.bus.lock(stores.collection)
    human.answers.put(lambda: stores.bus.wait_for_queue("strongroom.Prompting", 50) or "pw")
    ended = subprocess.run(
        [sys.executable, "-c", FIFTY, *EXPORT, "ro"], env=home.environ, capture_output=True, text=True, timeout=120
    )
    assert ended.stderr == ""
    assert ended.stdout == first.stdout * 50
    assert len(human.seen) == 1
    assert operations(center) == ["AssumeRole"]


# The program fifty times, each from the moment on at which its modules are loaded; their answers one after the other.
FIFTY = """
import os, sys
from strongroom.cli import export, main
from strongroom.keystore import secret_service
children = []
for _ in range(50):
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(writer, 1)
        os._exit(main.main(sys.argv[1:]))
    os.close(writer)
    children.append(reader)
for reader in children:
    sys.stdout.write(os.fdopen(reader).read())
"""

OTHER_SYSTEMS = [
    ("wincred", "the Credential Manager is a part of Windows", "win32"),
    ("winhello", "the Credential Manager is a part of Windows", "win32"),
    ("keychain", "the Keychain is a part of macOS", "darwin"),
    ("keyctl", "keyctl: only Linux has keyrings in its kernel", "linux"),
]
VAULT, SHARE, NOWHERE = {"OP_VAULT_ID": "v"}, {"PROTON_PASS_SHARE_ID": "s"}, {"PATH": "/nonexistent"}


@pytest.mark.parametrize(
    ("name", "env", "told"),
    [
        ("pass", NOWHERE, "the program 'pass' is not on the path"),
        ("passage", NOWHERE, "the program 'passage' is not on the path"),
        ("helper:nosuch", NOWHERE, "the program 'strongroom-store-nosuch' is not on the path"),
        ("op", NOWHERE | VAULT, "the program 'op' is not on the path"),
        ("op", {}, "no 1Password vault is named"),
        ("op-desktop", NOWHERE | VAULT, "the program 'op' is not on the path"),
        ("op-connect", VAULT, "no 1Password Connect server is named"),
        (
            "op-connect",
            VAULT | {"OP_CONNECT_HOST": "http://127.0.0.1:1", "OP_CONNECT_TOKEN": "t"},
            "no answer from the Connect server http://127.0.0.1:1: it cannot be reached",
        ),
        ("proton-pass", NOWHERE | SHARE, "the program 'pass-cli' is not on the path"),
        ("age", {}, "the age keystore has neither age_identity nor age_recipients"),
        *((name, {}, told) for name, told, system in OTHER_SYSTEMS if sys.platform != system),
    ],
)
@pytest.mark.parametrize("words", [("list",), (*EXPORT, "jon"), ("add", "--env", "jon")], ids=["list", "export", "add"])
def test_a_store_that_cannot_be_had(home, name, env, told, words):
    """It is said in one line, with at most one more of advice; no other store is tried."""
    result = home.call(*words, env={"AWS_VAULT_BACKEND": "", "STRONGROOM_BACKEND": name} | KEYS | env)
    assert (result.status, result.stdout) == (1, "")
    error, *hint = result.stderr.splitlines()
    assert error == f"strongroom: error: {words[0]}: {told}"
    assert [line.partition(": ")[2].partition(": ")[0] for line in hint] in ([], ["hint"])
    assert not home.keys.exists()
    assert home.call("doctor", env={"AWS_VAULT_BACKEND": "", "STRONGROOM_BACKEND": name} | env).status == 1


@DESKTOP
@pytest.mark.parametrize("name", ["secret-service", "kwallet"])
def test_a_dead_bus(home, tmp_path, name):
    """Its address is still in the environment, and nobody listens there; or there is none."""
    address = f"unix:path={tmp_path / 'gone'}"
    chosen = {"AWS_VAULT_BACKEND": "", "STRONGROOM_BACKEND": name}
    result = home.call("list", env=chosen | {"DBUS_SESSION_BUS_ADDRESS": address})
    told = f"the session bus at {address!r} cannot be used: no such file or directory"
    assert (result.status, result.stdout, result.stderr) == (1, "", f"strongroom: error: list: {told}\n")
    assert home.call("list", env=chosen).stderr.splitlines()[0] == (
        "strongroom: error: list: there is no session bus here"
    )
