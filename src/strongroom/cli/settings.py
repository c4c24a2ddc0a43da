"""Flags, variables and our own settings file become `Settings`; the only reader of the environment."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from strongroom import durations, ini, keystore, profiles
from strongroom.cli import mark, text_file
from strongroom.cli.setting import SECRETS, SETTINGS, WISHES
from strongroom.errors import ConfigError, StrongroomError, UsageError
from strongroom.vault import MIN_TTL_SECONDS, Vault, is_key

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from strongroom.cli.flags import Arguments
    from strongroom.cli.setting import Setting
    from strongroom.cli.terminal import Talk
    from strongroom.keystore import Keystore
    from strongroom.own_items import OwnItems


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
        # The keystore, if nobody named one.
        self.chosen = ""
        # The variables that hold what opens the keystores in use, other programs' own among them.
        self.opened_by: set[str] = set()
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
        for value, shown in self._said(key, setting):
            if value:
                try:
                    return self._checked(key, value)
                except ValueError as error:
                    raise UsageError(f"{shown}: {error}", word=value, known=setting.choices) from None
        own = self._own_settings()
        if key not in own:
            return setting.read(setting.default)
        try:
            return self._checked(key, _word(own[key]))
        except ValueError as error:
            raise ConfigError(f"{self.settings_path()}: {key}: {error}") from None

    def origin(self, key: str) -> str:
        """What says how one of `SETTINGS` is set: a flag, a variable, our own file; empty for the default."""
        told = next((shown for value, shown in self._said(key, SETTINGS[key]) if value), "")
        return told or (self.settings_path() if key in self._own_settings() else "")

    def _said(self, key: str, setting: Setting) -> tuple[tuple[str, str], ...]:
        """What flags and variables say, and where, the first that is not empty counts."""
        own_variable = f"STRONGROOM_{key.upper()}"
        return (
            (_word(self.arguments.values.get(setting.flag)) if setting.flag else "", f"--{setting.flag}"),
            (self.inherited.get(own_variable, ""), own_variable),
            (self.inherited.get(setting.env, "") if setting.env else "", setting.env),
            (self.inherited.get(setting.also, "") if setting.also else "", setting.also),
        )

    def _checked(self, key: str, text: str) -> object:
        setting = SETTINGS[key]
        if key == "prompt" and text == "pass":
            raise ValueError(
                "the pass driver is gone from aws-vault too; set mfa_process = pass otp NAME in the profile instead"
            )
        if not setting.takes(text):
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
            name, beside = str(self.get("backend")), str(self.get("session_backend"))
            store = self.store(name) if name else self._chosen()
            if beside and beside != name:
                store = import_module("strongroom.keystore.split").Split(store, self.store(beside), is_key)
            self._vault = Vault(store, min_ttl_seconds=self.min_ttl_seconds())
        return self._vault

    def store(self, name: str, places: Mapping[str, str | None] | None = None) -> Keystore:
        """Open a keystore.

        Args:
            name: Which, as `backend` has it.
            places: Settings of it that stand above all others.

        Raises:
            KeystoreUnavailable: It is not to be had on this machine.
            KeystoreError: Something is wrong with it.
        """
        family, _, helper = name.partition(":")
        wishes: dict[str, Any] = {"backend": family, "helper": helper}
        for key in WISHES.get(family, ()):
            value = self.get(key)
            wishes[key] = self.expand(str(value)) if SETTINGS[key].is_path and value else value
        for secret, variables in SECRETS.get(family, {}).items():
            self.opened_by.update(variables)
            values = (self.inherited[each] for each in variables if each in self.inherited)
            wishes[secret] = next(values, None)
        if family != "file":
            wishes["program_environment"] = import_module("strongroom.cli.environment").of_helper(self.inherited)
            wishes["profile_names"] = lambda: profiles.names(self.document())
        made = keystore.open(name, {**wishes, **(places or {})}, self._ask_passphrase)
        journal = getattr(made, "journal", "")
        if journal and os.path.lexists(journal):
            import_module("strongroom.cli.rekeying").finish(self, made)
        return made

    def remember_store(self) -> None:
        """Go on using the store that was chosen, if one was, now that there is a key in it."""
        if self.chosen:
            import_module("strongroom.cli.choice").remember(self, self.chosen)

    def _chosen(self) -> Keystore:
        """The store that is chosen when nobody names one."""
        made: Keystore = import_module("strongroom.cli.choice").choose(self)
        return made

    def _ask_passphrase(self, message: str, *, confirm: bool = False) -> str:
        passphrase: str = import_module("strongroom.cli.passphrase").ask(self, message, confirm=confirm)
        return passphrase


def _word(value: object) -> str:
    """A flag's value as one writes it; of a switch, too."""
    return str(value).lower() if isinstance(value, bool) else str("" if value is None else value)


def _is_foreign(directory: str) -> bool:
    """Whether a directory is another user's: su and sudo may leave us with the variables of whoever called them."""
    try:
        return sys.platform != "win32" and os.stat(directory).st_uid != os.geteuid()
    except OSError:
        return False
