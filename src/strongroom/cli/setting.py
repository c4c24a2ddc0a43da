"""The table of settings: where each is set, by which flag, variable or line of our own file, and what it is.

A setting is looked for in this order: its flag, ``STRONGROOM_<KEY>``, aws-vault's variable, our settings file, the
default; `strongroom.cli.settings.Settings.get` does so.
"""

from __future__ import annotations

from strongroom import durations, keystore
from strongroom.cli.flags import Flag

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_FILE_DIR = "~/.awsvault/keys/"
DEFAULT_LOCK_WAIT = "2m"

# The drivers that ask, as strongroom.prompt has them, which most runs need not import; "auto" is whoever can.
PROMPTS = ("auto", "terminal", "kdialog", "osascript", "pinentry", "wincredui", "ykman", "zenity")

# More would only make a typing error expensive; jose2go, which aws-vault uses, reads up to 1,300,000.
MOST_ITERATIONS = 1_300_000
FEWEST_ITERATIONS = 8192

_YES, _NO = ("true", "1", "yes"), ("false", "0", "no", "")


def _wait(text: str) -> int:
    """Read how long to wait, in seconds."""
    seconds = durations.parse(text)
    if seconds < 0:
        raise ValueError(f"expected 0 or more, got {text!r}")
    return seconds


def _time_out(text: str) -> int:
    """Read how long something may take, in seconds."""
    seconds = durations.parse(text)
    if seconds <= 0:
        raise ValueError(f"expected more than 0, got {text!r}")
    return seconds


def _iterations(text: str) -> int:
    """Read a count of PBKDF2 iterations."""
    if not (text.isascii() and text.isdigit() and FEWEST_ITERATIONS <= int(text[:9]) <= MOST_ITERATIONS):
        raise ValueError(f"expected a number from {FEWEST_ITERATIONS} to {MOST_ITERATIONS}, got {text!r}")
    return int(text)


def _switch(text: str) -> int:
    """Read yes or no, as 1 or 0."""
    word = text.lower()
    if word not in _YES + _NO:
        raise ValueError(f"expected true or false, got {text!r}")
    return int(word in _YES)


class Setting:
    """A row of the table of settings.

    Args:
        default: What holds when nobody says anything.
        flag: Its flag, or empty.
        env: aws-vault's variable, or empty.
        also: A variable of another program's that holds if aws-vault's does not.
        read: Makes the value out of its text; raises ValueError with a message.
        choices: The values that are taken, or none for any.
        is_path: Whether a leading ``~/`` of it is replaced.
    """

    __slots__ = ("also", "choices", "default", "env", "flag", "is_path", "read")

    def __init__(
        self,
        default: str,
        *,
        flag: str = "",
        env: str = "",
        also: str = "",
        read: Callable[[str], object] = str,
        choices: tuple[str, ...] = (),
        is_path: bool = False,
    ) -> None:
        self.default = default
        self.flag = flag
        self.env = env
        self.also = also
        self.read = read
        self.choices = choices
        self.is_path = is_path

    def takes(self, text: str) -> bool:
        """Whether *text* is among the choices; any is, if there are none."""
        return not self.choices or text in self.choices or text == self.default or self._is_helper(text)

    def _is_helper(self, text: str) -> bool:
        return text.startswith(keystore.HELPER) and text != keystore.HELPER and self.choices == STORES


STORES = tuple(keystore.KEYSTORES)

# key -> where it is set, what it is
SETTINGS = {
    "backend": Setting("", flag="backend", env="AWS_VAULT_BACKEND", choices=STORES),
    "session_backend": Setting("", choices=STORES),
    "prompt": Setting("auto", flag="prompt", env="AWS_VAULT_PROMPT", choices=PROMPTS),
    "file_dir": Setting(DEFAULT_FILE_DIR, flag="file-dir", env="AWS_VAULT_FILE_DIR", is_path=True),
    "file_iterations": Setting(str(FEWEST_ITERATIONS), read=_iterations),
    "lock_wait": Setting(DEFAULT_LOCK_WAIT, read=_wait),
    "forbid_long_term_output": Setting("false", read=_switch),
    # Of single stores, by the names that aws-vault has for their flags.
    "keychain": Setting("aws-vault", flag="keychain", env="AWS_VAULT_KEYCHAIN_NAME"),
    "biometrics": Setting("false", flag="biometrics", env="AWS_VAULT_BIOMETRICS", read=_switch),
    "secret_service_collection": Setting(
        "awsvault", flag="secret-service-collection", env="AWS_VAULT_SECRET_SERVICE_COLLECTION_NAME"
    ),
    "keyctl_scope": Setting("user", flag="keyctl-scope", choices=("user", "session", "process", "persistent")),
    "keyctl_expiry": Setting("0s", read=_wait),
    "pass_dir": Setting("", flag="pass-dir", env="AWS_VAULT_PASS_PASSWORD_STORE_DIR", is_path=True),
    "pass_cmd": Setting("", flag="pass-cmd", env="AWS_VAULT_PASS_CMD"),
    "pass_prefix": Setting("", flag="pass-prefix", env="AWS_VAULT_PASS_PREFIX"),
    "pass_timeout": Setting("2m", read=_wait),
    "op_timeout": Setting("15s", flag="op-timeout", env="AWS_VAULT_OP_TIMEOUT", read=_time_out),
    "op_vault_id": Setting("", flag="op-vault-id", env="AWS_VAULT_OP_VAULT_ID", also="OP_VAULT_ID"),
    "op_item_title_prefix": Setting("aws-vault", flag="op-item-title-prefix", env="AWS_VAULT_OP_ITEM_TITLE_PREFIX"),
    "op_item_tag": Setting("aws-vault", flag="op-item-tag", env="AWS_VAULT_OP_ITEM_TAG"),
    "op_connect_host": Setting("", flag="op-connect-host", env="AWS_VAULT_OP_CONNECT_HOST", also="OP_CONNECT_HOST"),
    "op_desktop_account_id": Setting("", flag="op-desktop-account-id", env="AWS_VAULT_OP_DESKTOP_ACCOUNT_ID"),
    "proton_pass_share_id": Setting(
        "", flag="proton-pass-share-id", env="AWS_VAULT_PROTON_PASS_SHARE_ID", also="PROTON_PASS_SHARE_ID"
    ),
    "proton_pass_item_title_prefix": Setting(
        "aws-vault", flag="proton-pass-item-title-prefix", env="AWS_VAULT_PROTON_PASS_ITEM_TITLE_PREFIX"
    ),
    "proton_pass_timeout": Setting(
        "30s", flag="proton-pass-timeout", env="AWS_VAULT_PROTON_PASS_TIMEOUT", read=_time_out
    ),
    "age_dir": Setting("~/.local/share/strongroom/age", flag="age-dir", is_path=True),
    "age_identity": Setting("", flag="age-identity", is_path=True),
    "age_recipients": Setting("", flag="age-recipients", is_path=True),
    "helper_timeout": Setting("60s", read=_time_out),
}

GLOBAL_FLAGS = (
    Flag("help", "show this help and exit", short="h"),
    Flag("help-long", "show the help of every command and exit", hidden=True),
    Flag("version", "print the version and exit", short="v"),
    Flag("debug", "say on stderr what is done and why"),
    Flag("backend", f"where keys are kept: {', '.join(keystore.KEYSTORES)} [AWS_VAULT_BACKEND]", value="NAME"),
    Flag("prompt", f"how to ask for a code or a passphrase: {', '.join(PROMPTS)} [AWS_VAULT_PROMPT]", value="DRIVER"),
    Flag("file-dir", f"directory of the file keystore, default {DEFAULT_FILE_DIR} [AWS_VAULT_FILE_DIR]", value="DIR"),
    # Of single stores: docs/keystores.md tells of them.
    *(
        Flag(name, value=value, hidden=True)
        for name, value in {
            "keychain": "NAME",
            "secret-service-collection": "NAME",
            "keyctl-scope": "SCOPE",
            "pass-dir": "DIR",
            "pass-cmd": "PROGRAM",
            "pass-prefix": "FOLDER",
            "op-timeout": "DURATION",
            "op-vault-id": "ID",
            "op-item-title-prefix": "TEXT",
            "op-item-tag": "TAG",
            "op-connect-host": "URL",
            "op-desktop-account-id": "ID",
            "proton-pass-share-id": "ID",
            "proton-pass-item-title-prefix": "TEXT",
            "proton-pass-api-base": "URL",  # of aws-vault's own client; Proton's program has no use for it
            "proton-pass-timeout": "DURATION",
            "age-dir": "DIR",
            "age-identity": "FILE",
            "age-recipients": "FILE",
        }.items()
    ),
    Flag("biometrics", hidden=True),
)

# store -> what it wants to know: keys of `SETTINGS`, and secrets that only variables hold: name -> variables
_OP = ("op_vault_id", "op_item_title_prefix", "op_item_tag", "op_timeout")
_PASS = ("pass_dir", "pass_cmd", "pass_prefix", "pass_timeout")
WISHES: dict[str, tuple[str, ...]] = {
    "file": ("file_dir", "file_iterations"),
    "secret-service": ("secret_service_collection",),
    "keyctl": ("keyctl_scope", "keyctl_expiry"),
    "pass": _PASS,
    "passage": _PASS,
    "age": ("age_dir", "age_identity", "age_recipients"),
    "keychain": ("keychain", "biometrics"),
    "op": _OP,
    "op-connect": (*_OP, "op_connect_host"),
    "op-desktop": (*_OP, "op_desktop_account_id"),
    "proton-pass": ("proton_pass_share_id", "proton_pass_item_title_prefix", "proton_pass_timeout"),
    "helper": ("helper_timeout",),
}
SECRETS: dict[str, dict[str, tuple[str, ...]]] = {
    "file": {"file_passphrase": ("AWS_VAULT_FILE_PASSPHRASE",)},
    "op": {"op_token": ("AWS_VAULT_OP_SERVICE_ACCOUNT_TOKEN", "OP_SERVICE_ACCOUNT_TOKEN")},
    "op-connect": {"op_connect_token": ("AWS_VAULT_OP_CONNECT_TOKEN", "OP_CONNECT_TOKEN")},
    "proton-pass": {"proton_pass_token": ("PROTON_PASS_PERSONAL_ACCESS_TOKEN",)},
}
