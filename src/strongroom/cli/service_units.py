"""A standing server as a service of the user's: a unit for systemd, a property list for launchd.

https://www.freedesktop.org/software/systemd/man/latest/systemd.service.html and
https://developer.apple.com/library/archive/documentation/MacOSX/Conceptual/BPSystemStartup/Chapters/CreatingLaunchdJobs.html
"""

from __future__ import annotations

import os
import plistlib
import re
import sys
from typing import TYPE_CHECKING

from strongroom.cli import detaching, private_file, retrieval
from strongroom.cli.setting import SETTINGS
from strongroom.cli.standing import is_opened_by_hand
from strongroom.cli.standing_files import Files
from strongroom.cli.terminal import answer
from strongroom.errors import StrongroomError, UsageError

if TYPE_CHECKING:
    from collections.abc import Collection

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

NAME = "strongroom"
LABEL = "strongroom.serve"
# In what we have written, so that it may be written again.
MARK = "Made by `strongroom serve install`"

# A service does not have the variables of a shell, and these say where things are.
_PLACES = ("AWS_CONFIG_FILE", "AWS_CA_BUNDLE", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
_NOT_PASSED_ON = detaching.NOT_PASSED_ON | {"kind", "stdout", "lazy"}
_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def install(arguments: Arguments, settings: Settings, names: Collection[str]) -> int:
    """Write the service's file, or print it, and say what is to be done with it.

    It gets credentials when somebody asks for them: when it begins, nobody may be there to be asked.

    Raises:
        StrongroomError: A profile is unknown; the file cannot be written, or is somebody else's.
        UsageError: There is no such thing on this system.
    """
    for name in names:
        retrieval.refuse_unknown(settings, settings.profile(name))
    kind = arguments.text("kind") or {"linux": "systemd", "darwin": "launchd"}.get(sys.platform, "")
    if not kind:
        raise UsageError(f"no service is known for {sys.platform}", "--kind says which, --stdout prints it")
    words = detaching.words(arguments, names, _NOT_PASSED_ON)
    words.insert(words.index("--"), "--lazy")
    variables = _variables(settings)
    if is_opened_by_hand(settings):
        settings.talk.warn(
            "the file keystore wants its passphrase, which is not written into the service: "
            "that begins only where somebody can be asked, or AWS_VAULT_FILE_PASSPHRASE is set for all services"
        )
    log = Files(settings).log
    content = systemd_unit(words, names, variables) if kind == "systemd" else launchd_job(words, variables, log)
    if arguments.on("stdout"):
        answer(content)
        return 0
    path = _systemd_path(settings) if kind == "systemd" else _launchd_path(settings)
    _refuse_foreign(path)
    private_file.write(path, content.encode())
    if kind == "launchd":
        # As launchd would make it others could read it.
        os.close(Files(settings).open_log())
    answer(f"{path}\n")
    for line in _NEXT[kind]:
        settings.talk.say(f"next: {line.format(path=path)}")
    return 0


_NEXT = {
    "systemd": ("systemctl --user daemon-reload", f"systemctl --user enable --now {NAME}.service"),
    "launchd": ("launchctl bootstrap gui/$(id -u) '{path}'",),
}


def _variables(settings: Settings) -> dict[str, str]:
    """What is set in the environment and is no secret."""
    names = {name for setting in SETTINGS.values() for name in (setting.env, setting.also) if name}
    names |= {f"STRONGROOM_{key.upper()}" for key in SETTINGS}
    names |= set(_PLACES)
    return {name: settings.variable(name) for name in sorted(names) if settings.variable(name)}


def _systemd_path(settings: Settings) -> str:
    base = settings.inherited.get("XDG_CONFIG_HOME", "")
    base = base if os.path.isabs(base) else os.path.join(settings.home(), ".config")
    return os.path.join(base, "systemd", "user", f"{NAME}.service")


def _launchd_path(settings: Settings) -> str:
    return os.path.join(settings.home(), "Library", "LaunchAgents", f"{LABEL}.plist")


def _refuse_foreign(path: str) -> None:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            if MARK in file.read():
                return
    except FileNotFoundError:
        return
    except OSError as error:
        raise StrongroomError(f"cannot read {path}: {error.strerror}") from error
    raise StrongroomError(f"{path} is there, and not ours", "move it away, or use --stdout")


def systemd_unit(words: Collection[str], names: Collection[str], variables: dict[str, str]) -> str:
    """The unit.

    Args:
        words: The command line.
        names: The profiles.
        variables: Its environment, beside that of the user's manager.
    """
    profiles = _specifiers(", ".join(names)).replace("\n", " ")
    lines = [
        f"# {MARK}",
        "[Unit]",
        f"Description=AWS credentials of {profiles}",
        # What cannot begin now will not a hundred times more.
        "StartLimitIntervalSec=300",
        "StartLimitBurst=5",
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={' '.join(_quoted(word, dollars=True) for word in words)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        *(f"Environment={_quoted(f'{name}={value}')}" for name, value in variables.items()),
        "Restart=on-failure",
        "RestartSec=10",
        "UMask=0077",
        "LimitCORE=0",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str, *, dollars: bool = False) -> str:
    """Quote for a unit: systemd.syntax(7), section "Quoting"; and systemd.service(5) on ``$`` in command lines."""
    if _PLAIN.fullmatch(word):
        return word
    escaped = _specifiers(word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t"))
    return '"' + (escaped.replace("$", "$$") if dollars else escaped) + '"'


def launchd_job(words: Collection[str], variables: dict[str, str], log: str) -> str:
    """The property list.

    Args:
        words: The command line.
        variables: Its environment, beside that of the user's session.
        log: Where what it says goes.
    """
    job = {
        "Label": LABEL,
        "ProgramArguments": list(words),
        "EnvironmentVariables": variables,
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ThrottleInterval": 10,
        "Umask": 0o077,
        "StandardErrorPath": log,
    }
    text = plistlib.dumps(job).decode()
    head, _, rest = text.partition("<plist")
    return f"{head}<!-- {MARK} -->\n<plist{rest}"
