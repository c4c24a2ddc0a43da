"""Doing what a plan says: stored credentials where they serve, a call to AWS where not.

A provider is a module for one kind of step, with ``retrieve(step, source, world) -> Credentials``.
"""

from __future__ import annotations

from importlib import import_module

from strongroom.plan import KEY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Protocol

    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.sso import SsoWorld
    from strongroom.vault import Vault

    class Provider(Protocol):
        """The face of a provider's module."""

        def retrieve(self, step: Step, source: Credentials | None, world: World) -> Credentials:
            """Get what *step* wants, signed with *source*; without one if it is the first step."""

    class World(Protocol):
        """What providers need of their surroundings, so that none of them reads a variable or a terminal."""

        lock_directory: str
        lock_wait_seconds: float
        command: str
        # Whether codes come from the command line: then what AWS says of them is nobody else's business.
        has_own_code: bool

        def code(self, step: Step, attempt: int) -> str | None:
            """A code of the step's MFA device; None when the last one must not be asked for again.

            Raises:
                MfaRequired: Nobody can be asked here.
                PromptDismissed: The human declined.
            """

        def expand(self, path: str) -> str:
            """A path of the config file, with a leading ``~/`` replaced."""

        def helper_environment(self, profile: str) -> dict[str, str]:
            """The environment of a program that is run on behalf of a profile, which it tells of."""

        def inherited_environment(self) -> Mapping[str, str]:
            """The variables that we were started with, less those of a strongroom around us."""

        def sso(self) -> SsoWorld:
            """What signing in to IAM Identity Center needs of them."""

        def tell(self, message: str) -> None:
            """Say something to the human."""

        def waiting(self, message: str) -> None:
            """Say to whoever looks on why nothing happens for a while."""

        def warn(self, message: str) -> None:
            """Say that something is not as it should be, and that we go on."""


# kind of step -> the module that does it
PROVIDERS = {
    "sts.GetSessionToken": "session_token",
    "sts.AssumeRole": "assume_role",
    "sts.AssumeRoleWithWebIdentity": "web_identity",
    "credential_process": "credential_process",
    "credential_source": "credential_source",
    "login_session": "login_session",
    "sso.GetRoleCredentials": "sso",
}


def load(kind: str) -> Provider:
    """Import the provider for one kind of step; *kind* must be a key of `PROVIDERS`."""
    provider: Provider = import_module(f"strongroom.providers.{PROVIDERS[kind]}")
    return provider


def retrieve(steps: Sequence[Step], vault: Vault, world: Callable[[], World]) -> Credentials:
    """The credentials that *steps* lead to.

    The last step whose result is stored and good is where the work begins; nothing before it is opened. The steps
    after it are done one by one, each under its own lock, so that of many processes one asks and all get the answer.

    Args:
        steps: A plan.
        vault: What is stored.
        world: Makes the surroundings; called only when there is something to do beyond reading.

    Raises:
        StrongroomError: Any of the tree.
    """
    master = steps[0].profile.name if steps[0].kind == KEY else ""
    if master:
        vault.begin(master)
    first = 1 if master else 0  # that asks anybody
    done, credentials = first - 1, None
    for index in range(len(steps) - 1, first - 1, -1):
        credentials = vault.session(steps[index], master)
        if credentials is not None:
            done = index
            break
    if credentials is None and master:
        credentials = vault.key(master)
    if credentials is not None and done + 1 == len(steps):
        return credentials
    once = import_module("strongroom.providers.once").once
    surroundings = world()
    for step in steps[done + 1 :]:
        credentials = once(step, credentials, vault, surroundings, master)
    assert credentials is not None  # noqa: S101 - a plan has a step
    return credentials
