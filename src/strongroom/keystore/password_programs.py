"""``pass`` and ``passage``: where they keep their entries, and what they say when something goes wrong."""

from __future__ import annotations

import os
import re

from strongroom.errors import ItemDamaged, KeystoreError, KeystoreLocked, PromptDismissed, StrongroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.keystore.program import Outcome

# How gpg reports, in no human's language (GnuPG, doc/DETAILS): lines with this before them.
_STATUS = "[GNUPG:] "
# The lower half of a number of libgpg-error says what is wrong; the upper half, where (gpg-error.h).
_CODES = 0xFFFF

_KEY_HINT = "see gpg --list-secret-keys"
_ASK_HINT = "see gpg --list-secret-keys; to ask in a terminal, gpg needs GPG_TTY=$(tty) in the environment"
_DISMISSED = "gpg's question was dismissed, or not answered rightly"

# code of libgpg-error -> what that is here; gpg tells them from 2.4 on
_GPG: dict[int, tuple[type[StrongroomError], str, str]] = {
    11: (KeystoreLocked, "wrong passphrase", ""),
    17: (KeystoreLocked, "its secret key is not here", _KEY_HINT),
    62: (KeystoreLocked, "nobody answered gpg's question in time", ""),
    85: (KeystoreLocked, "gpg has no pinentry to ask by", "install pinentry, or unlock the key before"),
    99: (PromptDismissed, _DISMISSED, ""),
    198: (PromptDismissed, _DISMISSED, ""),
}
# What shows that the key was there and the content was not.
_BROKEN = {"NODATA", "BADMDC", "DECRYPTION_KEY"}
# What age says of a file that is not whole, or was changed.
_CUT_SHORT = re.compile("failed to (read header|decrypt and authenticate)|unexpected EOF|last chunk is empty")
# age's last line, whatever the error.
_REPORT = "age: report unexpected"
_AGE = (
    ("no identity matched", KeystoreLocked, "its identity is not here", "check PASSAGE_IDENTITIES_FILE"),
    ("failed to open file", KeystoreLocked, "its identity is not here", "check PASSAGE_IDENTITIES_FILE"),
    ("incorrect passphrase", KeystoreLocked, "wrong passphrase", ""),
)


class Program:
    """One of the two.

    Args:
        name: What it is called.
        suffix: What it puts behind an entry's name.
        variable: The variable that says where the store is.
        directory: Where that is by default, below the home directory.
        install: What to do when it is missing.
        begin: How a store begins; empty if by itself.
        environment: Makes the program's whole environment from an inherited one and the store's directory.
        failure: Makes an error of how it ended, what could not be done, and the item's name.
    """

    __slots__ = ("begin", "directory", "environment", "failure", "install", "name", "suffix", "variable")

    def __init__(
        self,
        name: str,
        suffix: str,
        variable: str,
        directory: str,
        *,
        install: str,
        begin: str,
        environment: Callable[[Mapping[str, str], str], dict[str, str]],
        failure: Callable[[Outcome, str, str], StrongroomError],
    ) -> None:
        self.name = name
        self.suffix = suffix
        self.variable = variable
        self.directory = directory
        self.install = install
        self.begin = begin
        self.environment = environment
        self.failure = failure


def _of_pass(inherited: Mapping[str, str], directory: str) -> dict[str, str]:
    options = inherited.get("PASSWORD_STORE_GPG_OPTS", "")
    more = {"PASSWORD_STORE_DIR": directory}
    if "--status-fd" not in options:
        more["PASSWORD_STORE_GPG_OPTS"] = f"{options} --status-fd=2".strip()
    terminal = _terminal()
    if terminal and "GPG_TTY" not in inherited:
        more["GPG_TTY"] = terminal
    return {**inherited, **more}


def _terminal() -> str:
    """The terminal's own name, which gpg's agent, a program without one, needs to ask there."""
    if hasattr(os, "ttyname"):
        for descriptor in (0, 2, 1):
            try:
                return os.ttyname(descriptor)
            except OSError:
                continue
    return ""


def _of_passage(inherited: Mapping[str, str], directory: str) -> dict[str, str]:
    return {**inherited, "PASSAGE_DIR": directory}


def _pass_failed(outcome: Outcome, what: str, key: str) -> StrongroomError:
    status = [line[len(_STATUS) :].split() for line in outcome.complaint.splitlines() if line.startswith(_STATUS)]
    codes = [int(word) & _CODES for line in status if line[:1] == ["ERROR"] for word in line[2:3] if word.isdigit()]
    for code in codes:
        if code in _GPG:
            kind, reason, hint = _GPG[code]
            return kind(f"{what}: {reason}", hint)
    told = {line[0] for line in status if line}
    if told & _BROKEN:
        return ItemDamaged(key, f"item {key!r} is damaged: gpg cannot decrypt it")
    if "DECRYPTION_FAILED" in told and "PINENTRY_LAUNCHED" in told:
        return PromptDismissed(f"{what}: {_DISMISSED}")
    if "DECRYPTION_FAILED" in told:
        return KeystoreLocked(f"{what}: its secret key is not here, or gpg cannot ask for its passphrase", _ASK_HINT)
    if "pass init" in outcome.complaint:
        return KeystoreError(f"{what}: there is no password store", PROGRAMS["pass"].begin)
    return _failed("pass", outcome, what)


def _passage_failed(outcome: Outcome, what: str, key: str) -> StrongroomError:
    for saying, kind, reason, hint in _AGE:
        if saying in outcome.complaint:
            return kind(f"{what}: {reason}", hint)
    if _CUT_SHORT.search(outcome.complaint):
        return ItemDamaged(key, f"item {key!r} is damaged: age cannot decrypt it")
    return _failed("passage", outcome, what)


def _failed(name: str, outcome: Outcome, what: str) -> KeystoreError:
    lines = [line for line in outcome.complaint.strip().splitlines() if not line.startswith((_STATUS, _REPORT))]
    shown = "".join(each if each.isprintable() else "?" for each in lines[-1].strip())[:200] if lines else ""
    ended = f"exit status {outcome.status}" if outcome.status > 0 else f"ended by signal {-outcome.status}"
    return KeystoreError(f"{what}: {name}: {ended}{': ' if shown else ''}{shown}")


PROGRAMS = {
    "pass": Program(
        "pass",
        ".gpg",
        "PASSWORD_STORE_DIR",
        ".password-store",
        install="install pass (https://www.passwordstore.org), or choose another keystore",
        begin="pass init GPG-ID",
        environment=_of_pass,
        failure=_pass_failed,
    ),
    "passage": Program(
        "passage",
        ".age",
        "PASSAGE_DIR",
        ".passage/store",
        install="install passage (https://github.com/FiloSottile/passage), or choose another keystore",
        begin="",
        environment=_of_passage,
        failure=_passage_failed,
    ),
}
