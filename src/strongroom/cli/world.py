"""What providers need of their surroundings; imported only when there is something to do beyond reading."""

from __future__ import annotations

from importlib import import_module

from strongroom import plan
from strongroom.cli.codes import Codes
from strongroom.cli.recursion import Running

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.cli.settings import Settings
    from strongroom.plan import Step
    from strongroom.profiles import Profile
    from strongroom.sso import SsoWorld

# In the environment of a program that brings credentials or tokens: the profiles whose programs are running, one a
# line, so that one that leads back to itself is found out.
SOURCES_RUNNING = "STRONGROOM_SOURCE_PROCESS"
# The settings that name such programs, by the kind of the first step.
_PROGRAMS = {plan.PROCESS: "credential_process", plan.WEB_IDENTITY: "web_identity_token_process"}


class World:
    """The surroundings of one run; see `strongroom.providers.World`.

    Args:
        settings: Flags, variables, files.
        target: The profile whose credentials are wanted.
        steps: The way to them.

    Raises:
        CredentialsError: We are run by a program to get what waits for it: found out before we wait in turn.
    """

    def __init__(self, settings: Settings, target: Profile, steps: Sequence[Step]) -> None:
        self._codes = Codes(settings, target, steps)
        self._running = Running(SOURCES_RUNNING, settings.inherited)
        name, field = steps[0].profile.name, _PROGRAMS.get(steps[0].kind)
        if field:
            hint = f"store a key with `strongroom add {name}`, or let it run another program"
            self._running.refuse(name, field, hint)
        self.settings = settings
        self.target = target
        self.lock_directory = settings.lock_directory()
        self.lock_wait_seconds = float(str(settings.get("lock_wait")))
        self.command = f"{settings.talk.program} {settings.command}"
        self.given_code = settings.arguments.text("mfa-token")
        self.has_own_code = bool(self.given_code)

    def code(self, step: Step, attempt: int) -> str | None:
        """A code of the step's device: see `Codes.code`."""
        return self._codes.code(step, attempt, given=self.given_code)

    def expand(self, path: str) -> str:
        """A path of the config file, with a leading ``~/`` replaced."""
        return self.settings.expand(path)

    def helper_environment(self, profile: str) -> dict[str, str]:
        """The environment of a program that is run on behalf of a profile, which it tells of."""
        return self._running.environment(profile)

    def inherited_environment(self) -> dict[str, str]:
        """The variables that we were started with, less those of a strongroom around us."""
        return self.settings.environ

    def sso(self) -> SsoWorld:
        """What signing in to IAM Identity Center needs of them."""
        made: SsoWorld = import_module("strongroom.cli.signing_in").SigningIn(self.settings, self.target)
        return made

    def tell(self, message: str) -> None:
        """Say something to the human."""
        self.settings.talk.say(message)

    def waiting(self, message: str) -> None:
        """Say to whoever looks on why nothing happens for a while."""
        if self.settings.talk.is_seen:
            self.settings.talk.say(message)

    def warn(self, message: str) -> None:
        """Say that something is not as it should be, and that we go on."""
        self.settings.talk.warn(message)
