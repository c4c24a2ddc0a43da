"""Flags, variables and our own settings file become `Settings`; the only reader of the environment.

A setting is looked for in this order: its flag, ``STRONGROOM_<KEY>``, aws-vault's variable, our settings file, the
default. One table says which.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module

from strongroom import durations, ini, keystore, profiles
from strongroom.cli import mark, text_file
from strongroom.cli.flags import Flag
from strongroom.errors import ConfigError, StrongroomError, UsageError
from strongroom.vault import MIN_TTL_SECONDS, Vault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.cli.flags import Arguments
    from strongroom.cli.terminal import Talk
    from strongroom.own_items import OwnItems

DEFAULT_BACKEND = "file"
DEFAULT_FILE_DIR = "~/.awsvault/keys/"
DEFAULT_LOCK_WAIT = "2m"

# The drivers that ask, as strongroom.prompt has them, which most runs need not import; "auto" is whoever can.
PROMPTS = ("auto", "terminal", "kdialog", "osascript", "pinentry", "wincredui", "ykman", "zenity")

# More would only make a typing error expensive; jose2go, which aws-vault uses, reads up to 1,300,000.
MOST_ITERATIONS = 1_300_000
FEWEST_ITERATIONS = 8192


def _wait(text: str) -> int:
    """Read how long to wait, in seconds."""
    seconds = durations.parse(text)
    if seconds < 0:
        raise ValueError(f"expected 0 or more, got {text!r}")
    return seconds


def _iterations(text: str) -> int:
    """Read a count of PBKDF2 iterations."""
    if not (text.isascii() and text.isdigit() and FEWEST_ITERATIONS <= int(text[:9]) <= MOST_ITERATIONS):
        raise ValueError(f"expected a number from {FEWEST_ITERATIONS} to {MOST_ITERATIONS}, got {text!r}")
    return int(text)


class Setting:
    """A row of the table of settings.

    Args:
        flag: Its flag, or None.
        env: aws-vault's variable, or empty.
        default: What holds when nobody says anything.
        read: Makes the value out of its text; raises ValueError with a message.
        choices: The values that are taken, or none for any.
    """

    __slots__ = ("choices", "default", "env", "flag", "read")

    def __init__(
        self,
        default: str,
        *,
        flag: str = "",
        env: str = "",
        read: Callable[[str], object] = str,
        choices: tuple[str, ...] = (),
    ) -> None:
        self.default = default
        self.flag = flag
        self.env = env
        self.read = read
        self.choices = choices


# key -> where it is set, what it is
SETTINGS = {
    "backend": Setting(DEFAULT_BACKEND, flag="backend", env="AWS_VAULT_BACKEND", choices=tuple(keystore.KEYSTORES)),
    "prompt": Setting("auto", flag="prompt", env="AWS_VAULT_PROMPT", choices=PROMPTS),
    "file_dir": Setting(DEFAULT_FILE_DIR, flag="file-dir", env="AWS_VAULT_FILE_DIR"),
    "file_iterations": Setting(str(FEWEST_ITERATIONS), read=_iterations),
    "lock_wait": Setting(DEFAULT_LOCK_WAIT, read=_wait),
}

GLOBAL_FLAGS = (
    Flag("help", "show this help and exit", short="h"),
    Flag("help-long", "show the help of every command and exit", hidden=True),
    Flag("version", "print the version and exit", short="v"),
    Flag("debug", "say on stderr what is done and why"),
    Flag("backend", f"where keys are kept: {', '.join(keystore.KEYSTORES)} [AWS_VAULT_BACKEND]", value="NAME"),
    Flag("prompt", f"how to ask for a code or a passphrase: {', '.join(PROMPTS)} [AWS_VAULT_PROMPT]", value="DRIVER"),
    Flag("file-dir", f"directory of the file keystore, default {DEFAULT_FILE_DIR} [AWS_VAULT_FILE_DIR]", value="DIR"),
    # Of stores that only aws-vault has so far: taken, because scripts give them, and without effect here.
    *(
        Flag(name, value="VALUE", hidden=True)
        for name in (
            "keychain",
            "secret-service-collection",
            "pass-dir",
            "pass-cmd",
            "pass-prefix",
            "op-timeout",
            "op-vault-id",
            "op-item-title-prefix",
            "op-item-tag",
            "op-connect-host",
            "op-desktop-account-id",
            "proton-pass-share-id",
            "proton-pass-item-title-prefix",
            "proton-pass-api-base",
            "proton-pass-timeout",
        )
    ),
    Flag("biometrics", hidden=True),
)


class Settings:
    """What one run of strongroom knows of its surroundings. What costs something is made when it is asked for.

    Args:
        arguments: The command line.
        environ: The environment as it is.
        talk: Our side of the conversation.
        command: What we are doing, as other processes may be told it: no secrets.
    """

    def __init__(self, arguments: Arguments, environ: Mapping[str, str], talk: Talk, command: str) -> None:
        self.arguments = arguments
        self.inherited = environ
        self.talk = talk
        self.command = command
        self.marked = mark.read(environ)
        self._document: ini.Document | None = None
        self._vault: Vault | None = None
        self._own: Mapping[str, object] | None = None
        # Why questions must not go to the terminal: set once a command that we run has it.
        self.terminal_is_taken = ""

    def variable(self, name: str) -> str:
        """A variable as input; empty when it is unset, or set by the strongroom that we run in."""
        return "" if name in self.marked else self.inherited.get(name, "")

    @property
    def environ(self) -> dict[str, str]:
        """The variables that are input: without those set by the strongroom that we run in."""
        return {name: value for name, value in self.inherited.items() if name not in self.marked}

    # Where things are

    def home(self) -> str:
        """The user's home directory.

        Raises:
            StrongroomError: The environment does not tell.
        """
        name = "USERPROFILE" if sys.platform == "win32" else "HOME"
        home = self.inherited.get(name, "")
        if not home:
            raise StrongroomError(f"{name} is not set, so the files below it cannot be found", f"set {name}")
        return home

    def expand(self, path: str) -> str:
        """Replace a leading ``~/`` by the home directory."""
        if path == "~" or path.startswith("~/") or (sys.platform == "win32" and path.startswith("~\\")):
            return self.home() + path[1:]
        return path

    @property
    def config_path(self) -> str:
        """The AWS config file: ``AWS_CONFIG_FILE`` as it is, else ``~/.aws/config``."""
        return self.variable("AWS_CONFIG_FILE") or os.path.join(self.home(), ".aws", "config")

    def settings_path(self) -> str:
        """Our own settings file."""
        base = self._base_directory("XDG_CONFIG_HOME")
        if not base and sys.platform == "win32":
            base = self.inherited.get("APPDATA", "")
        if not base and sys.platform == "darwin":
            base = os.path.join(self.home(), "Library", "Application Support")
        return os.path.join(base or os.path.join(self.home(), ".config"), "strongroom", "config.toml")

    def lock_directory(self) -> str:
        """Where lock files are: never in /tmp, where others could hold them."""
        runtime = self._base_directory("XDG_RUNTIME_DIR")
        if runtime and not _is_foreign(runtime):
            return os.path.join(runtime, "strongroom")
        if sys.platform == "win32" and self.inherited.get("LOCALAPPDATA"):
            return os.path.join(self.inherited["LOCALAPPDATA"], "strongroom", "locks")
        if sys.platform == "darwin":
            return os.path.join(self.home(), "Library", "Application Support", "strongroom", "locks")
        data = self._base_directory("XDG_DATA_HOME") or os.path.join(self.home(), ".local", "share")
        return os.path.join(data, "strongroom", "locks")

    def _base_directory(self, name: str) -> str:
        """One of freedesktop.org's base directories, whose specification has us ignore a relative path."""
        path = self.inherited.get(name, "")
        return path if os.path.isabs(path) else ""

    # What is set

    def get(self, key: str) -> object:
        """The value of one of `SETTINGS`.

        Raises:
            UsageError: A flag or variable has a value that is not taken.
            ConfigError: Our settings file has one.
        """
        setting = SETTINGS[key]
        flag = self.arguments.text(setting.flag) if setting.flag else ""
        own_variable = f"STRONGROOM_{key.upper()}"
        for value, shown in (
            (flag, f"--{setting.flag}"),
            (self.inherited.get(own_variable, ""), own_variable),
            (self.inherited.get(setting.env, "") if setting.env else "", setting.env),
        ):
            if value:
                try:
                    return self._checked(key, value)
                except ValueError as error:
                    raise UsageError(f"{shown}: {error}", word=value, known=setting.choices) from None
        own = self._own_settings()
        if key not in own:
            return setting.read(setting.default)
        try:
            return self._checked(key, str(own[key]))
        except ValueError as error:
            raise ConfigError(f"{self.settings_path()}: {key}: {error}") from None

    def _checked(self, key: str, text: str) -> object:
        setting = SETTINGS[key]
        if key == "prompt" and text == "pass":
            raise ValueError(
                "the pass driver is gone from aws-vault too; set mfa_process = pass otp NAME in the profile instead"
            )
        if setting.choices and text not in setting.choices:
            raise ValueError(f"must be one of {', '.join(setting.choices)}, got {text!r}")
        return setting.read(text)

    def _own_settings(self) -> Mapping[str, object]:
        """Our settings file, which is opened only if it exists."""
        if self._own is None:
            self._own = {}
            if self._base_directory("XDG_CONFIG_HOME") or self.inherited.get("HOME") or sys.platform == "win32":
                path = self.settings_path()
                if os.path.exists(path):
                    self._own = import_module("strongroom.cli.settings_file").read(path, tuple(SETTINGS))
        return self._own

    def min_ttl_seconds(self) -> int:
        """How long a stored session must still last; a value that is no duration is said and counts as unset."""
        text = self.variable("AWS_MIN_TTL")
        if not text:
            return MIN_TTL_SECONDS
        try:
            return durations.parse(text)
        except ValueError as error:
            self.talk.warn(f"AWS_MIN_TTL: {error}; {durations.show(MIN_TTL_SECONDS)} is used")
            return MIN_TTL_SECONDS

    # What is there

    def document(self) -> ini.Document:
        """The AWS config file; a missing one is an empty one.

        Raises:
            ConfigError: It cannot be read.
        """
        if self._document is None:
            path = self.config_path
            try:
                data = text_file.read(path)
            except FileNotFoundError:
                data = b""
            except OSError as error:
                raise ConfigError(
                    f"cannot read the config file {path}: {error.strerror}", "check AWS_CONFIG_FILE and its permissions"
                ) from error
            self._document = ini.Document(ini.decode(data), path)
        return self._document

    def profile(self, name: str, environ: Mapping[str, str] | None = None) -> profiles.Profile:
        """A profile with all that flags and variables say about it.

        Args:
            name: Its name.
            environ: The variables, if not those that are input.

        Raises:
            ProfileError: It cannot be resolved.
        """
        given = {name: self.arguments.text(name) for name in ("region", "duration", "browser")}
        flags = {name: text for name, text in given.items() if text}
        return profiles.resolve(
            self.document(), name, flags=flags, environ=self.environ if environ is None else environ
        )

    def own_items(self) -> OwnItems:
        """What only strongroom understands.

        Raises:
            KeystoreError: The keystore cannot be opened.
        """
        own_items = import_module("strongroom.own_items")
        made: OwnItems = own_items.OwnItems(self.vault().keystore.beside(own_items.COLLECTION))
        return made

    def vault(self) -> Vault:
        """What is stored.

        Raises:
            KeystoreError: The keystore cannot be opened.
        """
        if self._vault is None:
            name = str(self.get("backend"))
            store = keystore.open(
                name,
                {
                    "file_dir": self.expand(str(self.get("file_dir"))),
                    "file_iterations": int(str(self.get("file_iterations"))),
                    "file_passphrase": self.inherited.get("AWS_VAULT_FILE_PASSPHRASE"),
                },
                self._ask_passphrase,
            )
            self._vault = Vault(store, min_ttl_seconds=self.min_ttl_seconds())
        return self._vault

    def _ask_passphrase(self, message: str, *, confirm: bool = False) -> str:
        passphrase: str = import_module("strongroom.cli.passphrase").ask(self, message, confirm=confirm)
        return passphrase


def _is_foreign(directory: str) -> bool:
    """Whether a directory is another user's: su and sudo may leave us with the variables of whoever called them."""
    try:
        return sys.platform != "win32" and os.stat(directory).st_uid != os.geteuid()
    except OSError:
        return False
