"""One step, once: of many processes that want the same, one asks AWS and the human, and all get the answer."""

from __future__ import annotations

import json
import os

from strongroom import lock
from strongroom.errors import (
    AwsError,
    KeystoreError,
    LockError,
    LockTimeout,
    MfaRefused,
    PromptDismissed,
    PromptFailed,
)
from strongroom.plan import NOT_KEPT
from strongroom.providers import load
from strongroom.told import tell, told

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.providers import World
    from strongroom.vault import Vault

# Failures that would meet everybody who asks for the same: AWS said no, the human did, or the program that stands in
# for the human. What is a caller's own (no terminal, a wrong passphrase, a code from a flag, an interrupt) is not among
# them: the next one tries.
_SHARED = (AwsError, MfaRefused, PromptDismissed, PromptFailed)


def once(step: Step, source: Credentials | None, vault: Vault, world: World, master: str) -> Credentials:
    """The credentials of *step*, by whichever process gets them first.

    Args:
        step: What to ask for.
        source: The credentials to ask with; None for a first step.
        vault: Where the result is kept.
        world: The surroundings.
        master: The profile whose long-term key the plan begins with; empty if it begins with something else.

    Raises:
        StrongroomError: Any of the tree.
    """
    if step.kind in NOT_KEPT:
        return _ask(step, source, vault, world, master)
    looked_at: dict[str, float | None] | None = None

    def look() -> Credentials | None:
        """Look whether another process has stored it; what was looked at before is not opened again."""
        nonlocal looked_at
        vault.refresh()
        there = vault.seen(step)
        if there == looked_at:
            return None
        looked_at = there
        return vault.session(step, master)

    try:
        turn = lock.hold(
            world.lock_directory,
            f"{step.kind} of profile {step.profile.name} in {vault.keystore.location} with {step.slot}",
            command=world.command,
            scope=_scope(step, world),
            wait_seconds=world.lock_wait_seconds,
            ready=look,
            waiting=world.waiting,
        )
    except LockTimeout:
        raise
    except LockError as error:
        world.warn(f"going on without a lock, so others may be asked at the same time: {error.message}")
        return _ask(step, source, vault, world, master)
    with turn:
        if turn.value is not None:
            return turn.value
        if turn.failure is not None:
            raise told(turn.failure)
        try:
            return _ask(step, source, vault, world, master)
        except _SHARED as error:
            if not (step.serial and world.has_own_code):
                turn.publish(tell(error))
            raise


def _scope(step: Step, world: World) -> str:
    """What a failure must be about to concern others: the same request. A code of one's own makes it one's own."""
    own = os.getpid() if step.serial and world.has_own_code else None
    return json.dumps([step.fingerprint, step.wanted_seconds, own], sort_keys=True)


def _ask(step: Step, source: Credentials | None, vault: Vault, world: World, master: str) -> Credentials:
    for note in step.notes:
        world.tell(note)
    credentials = load(step.kind).retrieve(step, source, world)
    if step.kind in NOT_KEPT or credentials.expiration is None:
        return credentials  # nobody knows for how long it is good
    try:
        vault.keep(step, credentials, master)
    except KeystoreError as error:
        world.warn(f"the session could not be stored, so the next command asks again: {error.message}")
    return credentials
