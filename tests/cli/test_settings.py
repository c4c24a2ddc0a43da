import os
import sys

import pytest

from strongroom import durations, prompt
from strongroom.cli import mark
from strongroom.cli import settings as module
from strongroom.cli.flags import Arguments
from strongroom.cli.mark import MARK
from strongroom.cli.setting import FEWEST_ITERATIONS, GLOBAL_FLAGS, MOST_ITERATIONS, SECRETS, SETTINGS, WISHES
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import ConfigError, KeystoreLocked, StrongroomError, UsageError
from strongroom.keystore import KEYSTORES, Item

posix = pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="these are the places of Linux and its kin")

STORES = ", ".join(KEYSTORES)


def make(environ=None, values=None, **more):
    return Settings(Arguments(values or {}, []), environ or {}, Talk("strongroom"), "test", **more)


@pytest.fixture
def where(tmp_path):
    """An environment with a home."""
    return {"HOME": str(tmp_path), "USERPROFILE": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "xdg")}


@pytest.fixture
def own(tmp_path):
    """Write our own settings file."""

    def write(text):
        (tmp_path / "xdg" / "strongroom").mkdir(parents=True)
        (tmp_path / "xdg" / "strongroom" / "config.toml").write_text(text)

    return write


# One setting


def test_the_table():
    """Every setting has a default that is taken; every flag is one that there is."""
    flags = {flag.name for flag in GLOBAL_FLAGS}
    for key, setting in SETTINGS.items():
        assert setting.takes(setting.default)
        assert setting.read(setting.default) is not None
        assert not setting.flag or setting.flag in flags
        assert setting.flag in {"", key.replace("_", "-")}
    assert len(flags) == len(GLOBAL_FLAGS)
    assert set(SETTINGS["backend"].choices) == set(KEYSTORES)
    wishes = {key for keys in WISHES.values() for key in keys}
    assert wishes <= set(SETTINGS)
    assert set(WISHES) <= set(KEYSTORES)
    assert set(SECRETS) <= set(KEYSTORES)


def test_defaults(where):
    """Where nobody says anything."""
    settings = make(where)
    keys = ("backend", "session_backend", "prompt", "file_dir", "file_iterations", "lock_wait")
    assert {key: settings.get(key) for key in keys} == {
        "backend": "",
        "session_backend": "",
        "prompt": "auto",
        "file_dir": "~/.awsvault/keys/",
        "file_iterations": 8192,
        "lock_wait": 120,
    }


def test_a_flag_comes_first_and_the_file_last(where, own):
    """Flag, our own variable, aws-vault's variable, our file, the default."""
    own('file_dir = "of the file"\n')
    places = [
        ({}, {"file-dir": "of the flag"}),
        ({"STRONGROOM_FILE_DIR": "of our variable"}, {}),
        ({"AWS_VAULT_FILE_DIR": "of aws-vault's variable"}, {}),
        ({}, {}),
    ]
    environ, values = dict(where), {}
    for more, flags in places:
        environ |= more
        values |= flags
    found = []
    for more, flags in places:
        found.append(make(environ, values).get("file_dir"))
        for name in more:
            environ[name] = ""
        for name in flags:
            values[name] = ""
    assert found == ["of the flag", "of our variable", "of aws-vault's variable", "of the file"]


@pytest.mark.parametrize(
    ("key", "values", "environ", "message"),
    [
        ("backend", {"backend": "nope"}, {}, f"--backend: must be one of {STORES}, got 'nope'"),
        ("backend", {}, {"STRONGROOM_BACKEND": "x"}, f"STRONGROOM_BACKEND: must be one of {STORES}, got 'x'"),
        ("backend", {}, {"AWS_VAULT_BACKEND": "helper:"}, f"AWS_VAULT_BACKEND: must be one of {STORES}, got 'helper:'"),
        ("prompt", {"prompt": "zzz"}, {}, "--prompt: must be one of auto, terminal, kdialog, osascript, pinentry, "
         "wincredui, ykman, zenity, got 'zzz'"),
        ("prompt", {}, {"AWS_VAULT_PROMPT": "pass"}, "AWS_VAULT_PROMPT: the pass driver is gone from aws-vault too; set "
         "mfa_process = pass otp NAME in the profile instead"),
        ("file_iterations", {}, {"STRONGROOM_FILE_ITERATIONS": "8191"},
         "STRONGROOM_FILE_ITERATIONS: expected a number from 8192 to 1300000, got '8191'"),
        ("lock_wait", {}, {"STRONGROOM_LOCK_WAIT": "10"},
         "STRONGROOM_LOCK_WAIT: missing unit in duration '10', for example 10s or 1h30m"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_named_with_its_place(where, key, values, environ, message):
    """The flag or the variable that it came from; and what would be right, if that is a choice."""
    with pytest.raises(UsageError) as caught:
        make(where | environ, values).get(key)
    assert caught.value.message == message
    assert caught.value.known == SETTINGS[key].choices
    assert caught.value.word in message


@pytest.mark.parametrize("text", [str(FEWEST_ITERATIONS), str(MOST_ITERATIONS), "100000"])
def test_iterations(where, text):
    """Between what aws-vault writes and what it reads."""
    assert make(where | {"STRONGROOM_FILE_ITERATIONS": text}).get("file_iterations") == int(text)


@pytest.mark.parametrize("text", ["0", str(MOST_ITERATIONS + 1), "x", "²", "1e5", " 8192", "9" * 5000])
def test_iterations_that_are_none(where, text):
    """Not a number, or one that would lock the user or other programs out."""
    with pytest.raises(UsageError):
        make(where | {"STRONGROOM_FILE_ITERATIONS": text}).get("file_iterations")


# Our own file


def test_our_own_file(where, own):
    """Text and numbers; read once."""
    own('lock_wait = "5s"\nfile_iterations = 20000\nbackend = "file"\n')
    settings = make(where)
    assert [settings.get(key) for key in ("lock_wait", "file_iterations", "backend")] == [5, 20000, "file"]
    os.unlink(settings.settings_path())
    assert settings.get("lock_wait") == 5


@pytest.mark.parametrize(
    ("text", "key", "message"),
    [
        ('backend = "nope"', "backend", f"backend: must be one of {STORES}, got 'nope'"),
        ('lock_wait = "soon"', "lock_wait", "lock_wait: invalid duration 'soon', for example 1h30m"),
        ("file_iterations = 1", "file_iterations", "file_iterations: expected a number from 8192 to 1300000, got '1'"),
        ('prompt = "pass"', "prompt", "prompt: the pass driver is gone from aws-vault too; set mfa_process = pass otp "
         "NAME in the profile instead"),
    ],
)  # fmt: skip
def test_a_wrong_value_in_our_own_file(where, own, text, key, message):
    """The file is named, and the key."""
    own(text + "\n")
    settings = make(where)
    with pytest.raises(ConfigError) as caught:
        settings.get(key)
    assert caught.value.message == f"{settings.settings_path()}: {message}"


def test_without_a_home_there_is_no_file_of_ours():
    """Everything that needs none works."""
    assert make().get("lock_wait") == 120


@posix
def test_our_own_file_in_the_home(tmp_path):
    """Where XDG says it is when nobody sets XDG_CONFIG_HOME."""
    (tmp_path / ".config" / "strongroom").mkdir(parents=True)
    (tmp_path / ".config" / "strongroom" / "config.toml").write_text('lock_wait = "7s"\n')
    assert make({"HOME": str(tmp_path)}).get("lock_wait") == 7


# Places


@posix
def test_places_on_linux():
    """XDG's, where they are set; else below the home."""
    home = {"HOME": "/h"}
    everything = home | {"XDG_CONFIG_HOME": "/c", "XDG_DATA_HOME": "/d", "XDG_RUNTIME_DIR": "/r"}
    assert make(home).settings_path() == "/h/.config/strongroom/config.toml"
    assert make(everything).settings_path() == "/c/strongroom/config.toml"
    assert make(home).lock_directory() == "/h/.local/share/strongroom/locks"
    assert make(home | {"XDG_DATA_HOME": "/d"}).lock_directory() == "/d/strongroom/locks"
    assert make(everything).lock_directory() == "/r/strongroom"
    assert make(home).config_path == "/h/.aws/config"
    assert make({"AWS_CONFIG_FILE": "~/x"}).config_path == "~/x"


@pytest.mark.parametrize(
    ("platform", "environ", "settings_path", "lock_directory"),
    [
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/strongroom/config.toml",
         "/h/Library/Application Support/strongroom/locks"),
        ("darwin", {"HOME": "/h", "XDG_CONFIG_HOME": "/c", "XDG_RUNTIME_DIR": "/r"}, "/c/strongroom/config.toml",
         "/r/strongroom"),
        ("win32", {"USERPROFILE": "/u", "APPDATA": "/a", "LOCALAPPDATA": "/l"}, "/a/strongroom/config.toml",
         "/l/strongroom/locks"),
        ("win32", {"USERPROFILE": "/u"}, "/u/.config/strongroom/config.toml", "/u/.local/share/strongroom/locks"),
    ],
)  # fmt: skip
def test_places_elsewhere(monkeypatch, platform, environ, settings_path, lock_directory):
    """Each system's own, never a directory that others may write to."""
    monkeypatch.setattr(module.sys, "platform", platform)
    settings = make(environ)
    assert settings.settings_path().replace("\\", "/") == settings_path
    assert settings.lock_directory().replace("\\", "/") == lock_directory


@posix
def test_base_directories_that_are_relative_are_ignored():
    """As their specification has it: what they meant would depend on where a command is run."""
    home = {"HOME": "/h", "XDG_CONFIG_HOME": "c", "XDG_DATA_HOME": "d/e", "XDG_RUNTIME_DIR": "."}
    assert make(home).settings_path() == "/h/.config/strongroom/config.toml"
    assert make(home).lock_directory() == "/h/.local/share/strongroom/locks"
    assert make({"XDG_CONFIG_HOME": "c"}).get("lock_wait") == 120


@posix
def test_somebody_elses_runtime_directory_is_not_used(tmp_path, monkeypatch):
    """su and sudo leave the variable: locks of ours in there would be in that user's way for ever."""
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": str(tmp_path)}
    assert make(environ).lock_directory() == str(tmp_path / "strongroom")
    monkeypatch.setattr(module.os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    assert make(environ).lock_directory() == "/h/.local/share/strongroom/locks"


def test_a_wait_of_less_than_nothing():
    """Refused: it would be none."""
    with pytest.raises(UsageError) as caught:
        make({"STRONGROOM_LOCK_WAIT": "-1s"}).get("lock_wait")
    assert caught.value.message == "STRONGROOM_LOCK_WAIT: expected 0 or more, got '-1s'"


@pytest.mark.parametrize(("platform", "name"), [("linux", "HOME"), ("darwin", "HOME"), ("win32", "USERPROFILE")])
def test_no_home(monkeypatch, platform, name):
    """A clear error, only when something below it is needed."""
    monkeypatch.setattr(module.sys, "platform", platform)
    settings = make({"AWS_CONFIG_FILE": "/c", "HOME" if name != "HOME" else "USERPROFILE": "/other"})
    assert settings.config_path == "/c"
    with pytest.raises(StrongroomError) as caught:
        settings.home()
    assert caught.value.message == f"{name} is not set, so the files below it cannot be found"
    assert caught.value.hint == f"set {name}"


@posix
def test_a_tilde_is_the_home():
    """At the beginning, before a slash: ours, and nobody else's."""
    settings = make({"HOME": "/h"})
    paths = ["~/keys", "~", "/x/~/y", "~jon/keys", "keys", ""]
    assert [settings.expand(path) for path in paths] == ["/h/keys", "/h", "/x/~/y", "~jon/keys", "keys", ""]


def test_a_tilde_on_windows(monkeypatch):
    """With that system's own slash too."""
    monkeypatch.setattr(module.sys, "platform", "win32")
    assert make({"USERPROFILE": "C:\\u"}).expand("~\\keys") == "C:\\u\\keys"
    assert make({"USERPROFILE": "C:\\u"}).expand("~/keys") == "C:\\u/keys"


# Variables


def test_variables_that_an_outer_strongroom_set_are_no_input():
    """The mark names them; everything else is the user's."""
    marked = mark.written({"AWS_REGION": "r", "AWS_VAULT": "jon", "AWS_PROFILE": "before"})
    settings = make({MARK: marked, "AWS_REGION": "r", "AWS_VAULT": "jon", "AWS_PROFILE": "p"})
    assert [settings.variable(name) for name in ("AWS_REGION", "AWS_VAULT", "AWS_PROFILE", "X")] == ["", "", "p", ""]
    assert settings.environ == {MARK: marked, "AWS_PROFILE": "p"}
    assert make({"AWS_REGION": "r", MARK: ""}).variable("AWS_REGION") == "r"


@pytest.mark.parametrize(
    ("text", "seconds", "said"),
    [
        ("", 300, ""),
        ("1m", 60, ""),
        ("0", 0, ""),
        ("zz", 300, "strongroom: warning: AWS_MIN_TTL: invalid duration 'zz', for example 1h30m; 5m0s is used\n"),
        ("60", 300, "strongroom: warning: AWS_MIN_TTL: missing unit in duration '60', for example 60s or 1h30m; 5m0s "
         "is used\n"),
    ],
)  # fmt: skip
def test_how_long_a_session_must_last(capsys, text, seconds, said):
    """AWS_MIN_TTL, if it is a duration; else five minutes, and a word about it."""
    assert make({"AWS_MIN_TTL": text}).min_ttl_seconds() == seconds
    assert capsys.readouterr().err == said
    assert durations.show(300) == "5m0s"


# The config file and profiles


def test_a_missing_config_is_an_empty_one(where):
    """Nothing is made."""
    settings = make(where)
    assert settings.document().names() == ()
    assert not os.path.exists(settings.config_path)


def test_the_config_is_read_once(where, tmp_path):
    """What a command sees does not change under its hands."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_bytes(b"\xef\xbb\xbf[profile jon]\nregion = r\n# \xff\n")
    settings = make(where, {"region": "", "duration": ""})
    assert settings.document() is settings.document()
    assert settings.profile("jon").region == "r"
    assert settings.profile("jon").origins == {"region": f"{settings.config_path}:2 [profile jon]"}


def test_a_config_that_cannot_be_read(where, tmp_path):
    """A directory, for instance."""
    settings = make(where | {"AWS_CONFIG_FILE": str(tmp_path)})
    with pytest.raises(ConfigError) as caught:
        settings.document()
    assert caught.value.message.startswith(f"cannot read the config file {tmp_path}: ")
    assert caught.value.hint == "check AWS_CONFIG_FILE and its permissions"


def test_flags_and_variables_reach_the_profile(where):
    """Flags first; variables that an outer strongroom set do not."""
    environ = where | {"AWS_REGION": "outer", "AWS_MFA_SERIAL": "m", MARK: mark.written({"AWS_REGION": "outer"})}
    profile = make(environ, {"duration": "2h"}).profile("jon")
    assert (profile.region, profile.mfa_serial, profile.assume_role_duration) == (None, "m", 7200)
    assert make(environ, {"region": "r"}).profile("jon").region == "r"


# The vault


def test_the_vault_is_opened_once(where, tmp_path):
    """Where the settings say, with the passphrase of the environment and the window of AWS_MIN_TTL."""
    environ = where | {"AWS_VAULT_FILE_DIR": "~/keys", "AWS_VAULT_FILE_PASSPHRASE": "pw", "AWS_MIN_TTL": "1m"}
    settings = make(environ)
    vault = settings.vault()
    assert settings.vault() is vault
    assert vault.min_ttl_seconds == 60
    vault.keystore.set(Item("jon", b"x"))
    assert os.listdir(tmp_path / "keys") == ["jon"]
    assert make(environ).vault().keystore.get("jon").data == b"x"
    with pytest.raises(KeystoreLocked):
        make(environ | {"AWS_VAULT_FILE_PASSPHRASE": "other"}).vault().keystore.get("jon")


@pytest.mark.parametrize("confirm", [False, True])
def test_a_passphrase_is_asked_by_the_module_for_it(where, monkeypatch, confirm):
    """Imported when it is needed, not before."""
    from strongroom.cli import passphrase

    asked = []
    monkeypatch.setattr(passphrase, "ask", lambda *words, confirm: asked.append((*words, confirm)) or "pw")
    settings = make(where)
    assert settings._ask_passphrase("Passphrase: ", confirm=confirm) == "pw"
    assert asked == [(settings, "Passphrase: ", confirm)]


def test_the_drivers_that_ask():
    """The table of the prompts, which most runs need not import, and the choice by what is there."""
    assert set(SETTINGS["prompt"].choices) == {prompt.AUTO, *prompt.DRIVERS}
