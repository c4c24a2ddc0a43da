"""Where `import` finds keys: plaintext files, other keystores, the stores of other programs."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from typing import TYPE_CHECKING

from strongroom import ini, plaintext
from strongroom.cli import access_key, places, text_file
from strongroom.credentials import Credentials
from strongroom.errors import ConfigError, ItemDamaged, ItemNotFound, KeystoreError, StrongroomError, UsageError
from strongroom.plaintext import Found
from strongroom.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from strongroom.cli.settings import Settings
    from strongroom.keystore import Keystore

GRANTED, AWS_SSO_CLI = "granted", "aws-sso-cli"

# What granted calls its keys, in whichever store: https://github.com/common-fate/granted, pkg/securestorage.
_GRANTED_NAME = "granted-aws-iam-credentials"
# The one item in which aws-sso-cli keeps everything, unless in JSON: its internal/storage.
_RECORDS = "aws-sso-cli-records"
# Where that is in the Secret Service.
_COLLECTION = "awsssocli"
# Of its config.yaml: https://github.com/synfinatic/aws-sso-cli, docs/config.md.
_AWS_SSO_LINE = r"^(SecureStore|JsonStore):[ \t]*(\"[^\"\n]*\"|'[^'\n]*'|[^#\s]+)"


class Source:
    """What was found, and where.

    Args:
        title: Where, for people.
        found: The keys.
        path: The plaintext file they stand in, if it is one.
        text: What is in that.
    """

    __slots__ = ("found", "path", "text", "title")

    def __init__(self, title: str, found: list[Found], path: str = "", text: str = "") -> None:
        self.title = title
        self.found = found
        self.path = path
        self.text = text


def credentials_path(settings: Settings) -> str:
    """The file that the AWS CLI and the SDKs read keys from."""
    given = settings.variable("AWS_SHARED_CREDENTIALS_FILE")
    return settings.expand(given) if given else os.path.join(settings.home(), ".aws", "credentials")


def read_file(path: str) -> tuple[bytes, str]:
    """The content of a plaintext file, as bytes and as text.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        data = text_file.read(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}", "name the file that the keys are in"
        ) from error
    return data, ini.decode(data)


def find(text: str, path: str) -> list[Found]:
    """The keys in a plaintext file; such as no key can be are marked as that.

    Raises:
        ConfigError: It cannot be read.
    """
    try:
        found = plaintext.find(text, os.path.splitext(os.path.basename(path))[0])
    except ValueError as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    return [_checked(each) for each in found]


def from_file(path: str) -> Source:
    """The keys in a credentials file, or in a CSV of the IAM console.

    Raises:
        ConfigError: It cannot be read.
    """
    _, text = read_file(path)
    return Source(path, find(text, path), path, text)


def from_store(settings: Settings, text: str, wanted: Collection[str]) -> Source:
    """The keys in another keystore, ours or aws-vault's.

    Args:
        settings: Flags, variables, files.
        text: Which, as `strongroom.cli.places.read` takes it.
        wanted: The profiles whose keys are opened; none for all.

    Raises:
        UsageError: There is no such store.
        KeystoreError: It cannot be read.
        StrongroomError: It is the one in use.
    """
    place = places.read(settings, text, "--from")
    settings.vault()
    in_use = str(settings.get("backend")) or settings.chosen
    if in_use and place.is_same(places.read(settings, in_use, "backend")):
        raise StrongroomError(f"{text} is the keystore in use: there is nothing to import")
    return _from_keystore(place.open(settings), wanted)


def _from_keystore(keystore: Keystore, wanted: Collection[str]) -> Source:
    store = Vault(keystore)
    found = []
    for name in store.credentials():
        if not wanted or name in wanted:
            try:
                found.append(_checked(Found(name, 0, store.key(name))))
            except (ItemDamaged, ItemNotFound) as error:
                found.append(Found(name, 0, reason=error.message))
    return Source(keystore.location, found)


def _checked(found: Found) -> Found:
    """With the reason why it can be no key, if it cannot."""
    if found.credentials is not None:
        try:
            access_key.checked(found.credentials.access_key_id, found.credentials.secret_access_key)
        except StrongroomError as error:
            found.credentials, found.reason = None, error.message
    return found


# Other programs


def from_granted(settings: Settings, wanted: Collection[str]) -> Source:
    """The keys that ``granted credentials add`` and ``import`` have stored.

    Raises:
        KeystoreError: They cannot be read.
        StrongroomError: They are where only granted can read them.
    """
    folder = _folder(settings, ".granted", "granted")
    chosen = _granted_settings(os.path.join(folder, "config"))
    directory = str(chosen.get("FileDir") or os.path.join(folder, "secure-storage-aws-iam-credentials"))
    backend = str(chosen.get("Backend") or _usual_backend(directory))
    opening: dict[str, dict[str, str | None]] = {
        "file": {"file_dir": settings.expand(directory), "file_passphrase": None},
        "pass": {"pass_prefix": _GRANTED_NAME},
        "secret-service": {
            "secret_service_collection": str(chosen.get("LibSecretCollectionName") or _GRANTED_NAME),
        },
    }
    if backend not in opening:
        raise StrongroomError(
            f"granted keeps its keys in {backend!r}, under a name by which only granted finds them",
            "`granted credentials export-plaintext PROFILE` writes a key to the credentials file; import it from there",
        )
    return _from_keystore(settings.store(backend, opening[backend]), wanted)


def _granted_settings(path: str) -> dict[str, object]:
    try:
        table = tomllib.loads(text_file.read(path).decode()).get("Keyring")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    return table if isinstance(table, dict) else {}


def _usual_backend(directory: str) -> str:
    """Where granted keeps keys if it is not told where."""
    if os.path.isdir(directory):
        return "file"
    return {"darwin": "keychain", "win32": "wincred"}.get(sys.platform, "secret-service")


def from_aws_sso_cli(settings: Settings, path: str) -> Source:
    """The static credentials of aws-sso-cli; what it has of IAM Identity Center is temporary.

    Args:
        settings: Flags, variables, files.
        path: Its ``JsonStore``; empty for the usual places.

    Raises:
        KeystoreError: They cannot be read.
        StrongroomError: They are where only aws-sso-cli can read them.
    """
    folder = _folder(settings, ".aws-sso", "aws-sso")
    said = _aws_sso_settings(settings.variable("AWS_SSO_CONFIG") or os.path.join(folder, "config.yaml"))
    kind, secure = said.get("SecureStore", ""), os.path.join(folder, "secure")
    usual = settings.expand(said.get("JsonStore", "")) or os.path.join(folder, "store.json")
    if path or (kind in {"", "json"} and os.path.exists(usual)):
        path = path or usual
        return Source(path, _static(read_file(path)[0], path))
    if kind in {"", "file"} and os.path.exists(os.path.join(secure, _RECORDS)):
        secret = {"file_passphrase": settings.variable("AWS_SSO_FILE_PASSWORD") or None}
        store = settings.store("file", {"file_dir": secure, **secret})
    elif kind == "secret-service":
        store = settings.store(kind, {"secret_service_collection": _COLLECTION})
    else:
        elsewhere = f"aws-sso-cli keeps its keys in {kind!r}, where only it finds them"
        raise StrongroomError(
            elsewhere
            if kind not in {"", "json", "file"}
            else f"there is neither {usual} nor {os.path.join(secure, _RECORDS)}",
            "store a static key with `strongroom add`; roles of IAM Identity Center need no import: "
            "`strongroom sso discover --write` adds them",
        )
    return Source(store.location, _static(store.get(_RECORDS).data, store.location))


def _aws_sso_settings(path: str) -> dict[str, str]:
    """The two settings of aws-sso-cli that say where it keeps its keys, each a line of its YAML."""
    try:
        text = text_file.read(path).decode("utf-8", "replace")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return {name: value.strip("'\"") for name, value in re.findall(_AWS_SSO_LINE, text, re.MULTILINE)}


def _static(data: bytes, path: str) -> list[Found]:
    try:
        rows = (json.loads(data).get("StaticCredentials") or {}).items()
        found = [
            (
                str(row.get("Profile") or row.get("userName") or arn),
                Credentials(str(row.get("accessKeyId", "")), str(row.get("secretAccessKey", ""))),
            )
            for arn, row in rows
        ]
    except (ValueError, AttributeError, RecursionError):
        raise KeystoreError(f"{path} is not what aws-sso-cli writes") from None
    return [_checked(Found(profile, 0, key)) for profile, key in sorted(found, key=lambda pair: pair[0])]


def _folder(settings: Settings, hidden: str, plain: str) -> str:
    """Where a program has its files: a directory of old in the user's home, else where XDG says."""
    old = os.path.join(settings.home(), hidden)
    base = settings.inherited.get("XDG_CONFIG_HOME") or os.path.join(settings.home(), ".config")
    new = os.path.join(base, plain)
    return new if os.path.isdir(new) and not os.path.isdir(old) else old


def find_keys(settings: Settings, path: str, store: str, wanted: Collection[str]) -> Source:
    """What the command line names; by default the file that the AWS CLI reads.

    Raises:
        UsageError: It names two things.
        StrongroomError: It cannot be read.
    """
    if path and store and store != AWS_SSO_CLI:
        raise UsageError(f"keys come from {path!r} or from {store!r}, not both")
    programs: dict[str, Callable[[], Source]] = {
        GRANTED: lambda: from_granted(settings, wanted),
        AWS_SSO_CLI: lambda: from_aws_sso_cli(settings, path),
    }
    if store in programs:
        return programs[store]()
    return from_store(settings, store, wanted) if store else from_file(path or credentials_path(settings))
