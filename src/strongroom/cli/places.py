"""Keystores that a command names besides the one in use: ``pass``, ``helper:NAME``, ``file:/media/old/keys``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from strongroom.cli.setting import SETTINGS, STORES
from strongroom.errors import UsageError
from strongroom.keystore import HELPER

if TYPE_CHECKING:
    from strongroom.cli.settings import Settings
    from strongroom.keystore import Keystore

# store -> the setting that says which one of its kind it is
_PLACES = {
    "file": "file_dir",
    "age": "age_dir",
    "pass": "pass_dir",
    "passage": "pass_dir",
    "keychain": "keychain",
    "secret-service": "secret_service_collection",
    "keyctl": "keyctl_scope",
    "op": "op_vault_id",
    "op-connect": "op_vault_id",
    "op-desktop": "op_vault_id",
    "proton-pass": "proton_pass_share_id",
}


class Place:
    """One keystore.

    Args:
        text: It, as the user wrote it.
        name: Its kind, as `strongroom.cli.settings.Settings.store` takes it.
        setting: What says where it is, a key of `SETTINGS`; empty for stores of which there is one.
        value: What that says, or is to say.
    """

    __slots__ = ("name", "setting", "text", "value")

    def __init__(self, text: str, name: str, setting: str = "", value: str = "") -> None:
        self.text = text
        self.name = name
        self.setting = setting
        self.value = value

    def is_same(self, other: Place) -> bool:
        """Whether both are one and the same store."""
        return (self.name, self._real()) == (other.name, other._real())

    @property
    def _is_path(self) -> bool:
        return bool(self.setting) and SETTINGS[self.setting].is_path

    def _real(self) -> object:
        """What is equal for two ways to one place: links, mounts, and names that the file system takes for one."""
        if not (self.value and self._is_path):
            return self.value
        try:
            status = os.stat(self.value)
        except OSError:
            return os.path.realpath(self.value)
        return status.st_dev, status.st_ino

    def open(self, settings: Settings) -> Keystore:
        """Open it.

        Raises:
            KeystoreUnavailable: It is not to be had on this machine.
            KeystoreError: Something is wrong with it.
        """
        return settings.store(self.name, {self.setting: self.value} if self.setting else None)

    def tell_how_to_use(self, settings: Settings) -> None:
        """Say how this store becomes the one in use, if it is not."""
        wanted = {"backend": self.name} | ({self.setting: self.value} if self.setting else {})
        changes = []
        for key, value in wanted.items():
            if settings.expand(str(settings.get(key))) != value:
                variable = settings.origin(key)
                is_variable = variable.isupper() and os.sep not in variable
                # A relative path would be another place for a command that runs elsewhere.
                shown = os.path.abspath(value) if value and SETTINGS[key].is_path else value
                changes.append(f"{variable}={shown}" if is_variable else f"{key} = {json.dumps(shown)}")
        if changes:
            what = " and ".join(changes)
            settings.talk.say(f"to use it from now on: {what}; {settings.settings_path()} is for settings")


def read(settings: Settings, text: str, flag: str) -> Place:
    """Read ``STORE`` or ``STORE:PLACE``.

    Args:
        settings: They say where a store is of which only the name is given.
        text: What was written.
        flag: Where, for messages.

    Raises:
        UsageError: There is no such store, or it has no places to choose from.
    """
    if SETTINGS["backend"].takes(text) and text.startswith(HELPER):
        return Place(text, text)
    name, colon, value = text.partition(":")
    if name not in STORES or name == HELPER.rstrip(":"):
        raise UsageError(f"{flag}: must be one of {', '.join(STORES)}, got {text!r}", word=name, known=STORES)
    setting = _PLACES.get(name, "")
    if not colon:
        value = str(settings.get(setting)) if setting else ""
    elif not (setting and value):
        known = ", ".join(_PLACES)
        raise UsageError(f"{flag}: {name!r} is not followed by a place, got {text!r}", f"these are: {known}")
    is_path = setting and SETTINGS[setting].is_path
    return Place(text, name, setting, settings.expand(value) if is_path else value)
