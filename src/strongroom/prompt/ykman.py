"""A code from a YubiKey, by Yubico's ykman: nobody types it, though somebody may have to touch the key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.errors import PromptFailed, PromptUnavailable
from strongroom.prompt.process import one_line, run_program

if TYPE_CHECKING:
    from strongroom.prompt.question import Place, Question

# Up to version 3 the command was another one.
OLD_VERSIONS = frozenset({"1", "2", "3"})


def absent(place: Place) -> str:
    """Why it cannot be used here; empty if it can."""
    return place.no_program("ykman")


def bring(question: Question, place: Place) -> str:
    """Get the code of the question's device.

    Raises:
        PromptUnavailable: The question is not about a device.
        PromptFailed: There is no key, no such account on it, or nobody touched it.
    """
    if not question.serial:
        raise PromptUnavailable("ykman brings codes of MFA devices, and nothing else")
    environ = place.environ
    argv = [place.program("ykman")]
    if device := environ.get("YKMAN_OATH_DEVICE_SERIAL"):
        argv += ["--device", device]
    old = environ.get("AWS_VAULT_YKMAN_VERSION") in OLD_VERSIONS
    argv += ["oath", "code", "--single"] if old else ["oath", "accounts", "code", "--single"]
    # A name that begins with a dash would be taken for an option.
    name = environ.get("YKMAN_OATH_CREDENTIAL_NAME") or question.serial
    if name.startswith("-"):
        raise PromptFailed(f"ykman: an account cannot be called {name!r}", "check YKMAN_OATH_CREDENTIAL_NAME")
    output = run_program(
        [*argv, name],
        environ,
        what="ykman",
        wanted="code",
        timeout_seconds=place.timeout_seconds,
        terminal="" if place.taken else place.terminal,
    )
    return one_line(output, "ykman")
