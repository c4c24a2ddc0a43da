"""``mfa``: keep the seeds of MFA devices in the vault, so that their codes are made here."""

from __future__ import annotations

import hmac
import sys
import time
from typing import TYPE_CHECKING

from strongroom import profiles, prompt, totp
from strongroom.cli import retrieval
from strongroom.cli.asking import asker
from strongroom.cli.codes import SEED
from strongroom.cli.flags import Flag
from strongroom.cli.spent_codes import SpentCodes
from strongroom.cli.terminal import answer
from strongroom.errors import (
    ProfileError,
    ProfileIncomplete,
    ProfileNotFound,
    PromptDismissed,
    PromptUnavailable,
    StrongroomError,
    UsageError,
)

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (
    Flag("stdin", "add: read the seed from standard input"),
    Flag("show-codes", "add: print two codes in a row, for AWS to enable a new device"),
    Flag("force", "remove: do not ask", short="f"),
)
WORDS = ("add|remove|list", "[profile or serial]")
RUNS = False

ACTIONS = ("add", "remove", "list")

# More than any otpauth URL.
LIMIT_CHARACTERS = 4096


def run(arguments: Arguments, settings: Settings) -> int:
    """Add a seed, remove one, or say which there are.

    Raises:
        UsageError: None of these is asked for, or it is not said of which device.
    """
    word, *rest = arguments.words
    if word not in ACTIONS:
        raise UsageError(f"expected add, remove or list, got {word!r}", word=word, known=ACTIONS)
    for flag, meant in (("stdin", "add"), ("show-codes", "add"), ("force", "remove")):
        if arguments.on(flag) and word != meant:
            raise UsageError(f"--{flag} is for `mfa {meant}`")
    if word == "list":
        if rest:
            raise UsageError(f"unexpected {rest[0]!r}")
        _list(settings)
    elif not rest or not rest[0]:
        raise UsageError(
            "required argument 'profile or serial' not provided", "name a profile, or the MFA device itself"
        )
    elif word == "add":
        _add(arguments, settings, _serial(settings, rest[0]))
    else:
        _remove(arguments, settings, rest[0])
    return 0


def _add(arguments: Arguments, settings: Settings, serial: str) -> None:
    own = settings.own_items()
    stored = own.get(SEED, serial)
    try:
        seed = totp.read_seed(_from_stdin() if arguments.on("stdin") else _from_human(settings, serial))
    except ValueError as error:
        raise StrongroomError(str(error), "nothing was stored") from None
    text = totp.to_base32(seed)
    if stored is None and serial not in own.names(SEED):
        own.put(SEED, serial, {"seed": text})
        if (own.get(SEED, serial) or {}).get("seed") != text:
            raise StrongroomError(f"the seed of MFA device {serial} cannot be read back", "nothing will use it")
    elif stored is None or not hmac.compare_digest(str(stored.get("seed")).encode(), text.encode()):
        raise StrongroomError(
            f"another seed is stored for MFA device {serial}",
            f"it may be the only copy; remove it first with `{settings.talk.program} mfa remove {serial}`",
        )
    answer(f"The seed of MFA device {serial} is in the vault.\n")
    retrieval.warn_of_store(settings)
    settings.talk.say("codes of this device are made here now: whoever opens this store has both of its factors")
    if arguments.on("show-codes"):
        _show_codes(settings, serial, seed)


def _show_codes(settings: Settings, serial: str, seed: bytes) -> None:
    """Print this code and the next, and use neither for anything else."""
    now = time.time()
    spent = SpentCodes(settings.lock_directory(), settings.command)
    codes = []
    for at in (now, now + totp.PERIOD_SECONDS):
        codes.append(totp.totp(seed, at))
        spent.claim(serial, codes[-1], at=at)
    answer(f"Two codes in a row: {' '.join(codes)}\n")


def _remove(arguments: Arguments, settings: Settings, word: str) -> None:
    own = settings.own_items()
    names = own.names(SEED)
    serial = word if word in names else _serial(settings, word)
    if serial not in names:
        raise StrongroomError(f"no seed is stored for MFA device {serial}", "`mfa list` shows those that are")
    if not arguments.on("force") and not _confirmed(serial):
        return
    own.remove(SEED, serial)
    answer(f"Removed the seed of MFA device {serial}.\n")


def _confirmed(serial: str) -> bool:
    try:
        return prompt.confirm(f"Remove the seed of MFA device {serial}, which may be the only copy? (y|N) ")
    except PromptDismissed:
        return False
    except PromptUnavailable as error:
        raise PromptUnavailable(error.message, "run it in a terminal, or use --force") from error


def _list(settings: Settings) -> None:
    users: dict[str, list[str]] = {serial: [] for serial in settings.own_items().names(SEED)}
    document = settings.document()
    for name in profiles.names(document):
        try:
            serial = profiles.resolve(document, name, flags={}, environ={}).mfa_serial
        except ProfileError:
            continue  # whoever uses it will be told
        if serial in users:
            users[serial].append(name)
    width = max(map(len, users), default=0)
    answer("".join(f"{serial:{width}}  {', '.join(names) or '-'}\n" for serial, names in users.items()))


def _serial(settings: Settings, word: str) -> str:
    """The device that is meant: the word itself if it is an ARN, else that of the profile of that name.

    Raises:
        ProfileError: There is no such profile, or it has no device.
    """
    retrieval.refuse_bytes(word)
    if word.startswith("arn:"):
        return word
    profile = settings.profile(word)
    if not profile.exists:
        raise ProfileNotFound(
            word,
            f"profile {word!r} not found in {settings.config_path}",
            "name a profile, or the MFA device by its ARN",
            known=profiles.names(settings.document()),
        )
    if not profile.mfa_serial:
        raise ProfileIncomplete(
            word, "mfa_serial", f"profile {word!r} has no mfa_serial", "set it, or name the MFA device by its ARN"
        )
    return profile.mfa_serial


def _from_human(settings: Settings, serial: str) -> str:
    question = prompt.Question(f"Enter the seed of MFA device {serial}: ", echo="hidden")
    try:
        return asker(settings, hidden=True)(question)
    except PromptUnavailable as error:
        raise PromptUnavailable(error.message, "run it in a terminal, or use --stdin") from error


def _from_stdin() -> str:
    if sys.stdin is None:  # the interpreter found descriptor 0 closed
        raise StrongroomError("standard input is closed", "give the seed by a pipe or a file")
    if sys.stdin.isatty():
        raise UsageError(
            "--stdin is for a pipe or a file: a terminal would show the seed", "leave out --stdin to be asked"
        )
    try:
        return sys.stdin.read(LIMIT_CHARACTERS)
    except ValueError as error:
        raise StrongroomError("what is on standard input is no text", "nothing was stored") from error
    except OSError as error:
        raise StrongroomError(f"cannot read standard input: {error.strerror}", "nothing was stored") from error
