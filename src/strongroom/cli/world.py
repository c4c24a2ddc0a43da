"""What providers need of their surroundings; imported only when there is something to do beyond reading."""

from __future__ import annotations

from strongroom import plan, prompt
from strongroom.cli import environment
from strongroom.cli.flags import mfa_code
from strongroom.errors import CredentialsError, MfaRequired, PromptFailed, PromptUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from strongroom.cli.settings import Settings
    from strongroom.plan import Step
    from strongroom.profiles import Profile

# In the environment of a profile's mfa_process: the profiles whose mfa_process is running, one a line, so that one
# that leads back to itself is found out.
RUNNING = "STRONGROOM_MFA_PROCESS"

# The same of programs that bring credentials or tokens.
SOURCES_RUNNING = "STRONGROOM_SOURCE_PROCESS"

# A wrong code is asked for again this often, as other programs do.
TRIES = 3


class World:
    """The surroundings of one run; see `strongroom.providers.World`.

    Args:
        settings: Flags, variables, files.
        target: The profile whose credentials are wanted.
        steps: The way to them.

    Raises:
        CredentialsError: We are run by an ``mfa_process`` to get what waits for it: found out before we wait in turn.
    """

    def __init__(self, settings: Settings, target: Profile, steps: Sequence[Step]) -> None:
        self.running = settings.inherited.get(RUNNING, "").splitlines()
        for step in steps:
            if step.serial and step.profile.name in self.running:
                raise CredentialsError(
                    f"the mfa_process of profile {step.profile.name!r} asks strongroom for that same profile",
                    "let it use another profile, or none",
                )
        self.sources_running = settings.inherited.get(SOURCES_RUNNING, "").splitlines()
        root = steps[0]
        if root.kind in {plan.PROCESS, plan.WEB_IDENTITY} and root.profile.name in self.sources_running:
            field = "credential_process" if root.kind == plan.PROCESS else "web_identity_token_process"
            raise CredentialsError(
                f"the {field} of profile {root.profile.name!r} asks strongroom for that same profile",
                f"store a key with `strongroom add {root.profile.name}`, or let it run another program",
            )
        self.settings = settings
        self.target = target
        self.lock_directory = settings.lock_directory()
        self.lock_wait_seconds = float(str(settings.get("lock_wait")))
        self.command = f"{settings.talk.program} {settings.command}"
        self.given_code = settings.arguments.text("mfa-token")
        self.has_own_code = bool(self.given_code)

    def code(self, step: Step, attempt: int) -> str | None:
        """A code of the step's device: from the flag, else ``mfa_process``, else the terminal.

        Returns:
            Six digits, or None when a wrong one came from where there is no other.

        Raises:
            MfaRequired: Nobody can be asked here.
            PromptDismissed: The human declined.
            PromptError: ``mfa_process`` failed.
        """
        process = step.profile.mfa_process
        if not process and self.target.mfa_serial == step.serial:
            process = self.target.mfa_process
        if self.given_code or process:
            if attempt > 0:
                return None
            return self.given_code or self._from_process(str(process), step)
        if attempt >= TRIES:
            return None
        if attempt:
            self.tell(f"AWS did not accept the code of {step.serial}")
        return self._from_human(step.serial)

    def expand(self, path: str) -> str:
        """A path of the config file, with a leading ``~/`` replaced."""
        return self.settings.expand(path)

    def helper_environment(self, profile: str) -> dict[str, str]:
        """The environment of a program that is run on behalf of a profile, which it tells of."""
        variables = environment.of_helper(self.settings.inherited)
        variables[SOURCES_RUNNING] = "\n".join([*self.sources_running, profile])
        return variables

    def inherited_environment(self) -> dict[str, str]:
        """The variables that we were started with, less those of a strongroom around us."""
        return self.settings.environ

    def tell(self, message: str) -> None:
        """Say something to the human."""
        self.settings.talk.say(message)

    def warn(self, message: str) -> None:
        """Say that something is not as it should be, and that we go on."""
        self.settings.talk.warn(message)

    def _from_human(self, serial: str) -> str:
        ask = prompt.driver(str(self.settings.get("prompt")))
        while True:
            try:
                code = ask(f"Enter MFA code for {serial}: ", echo="plain")
            except PromptUnavailable as error:
                raise MfaRequired(
                    serial,
                    f"a code of MFA device {serial} is needed, and {error.message}",
                    "run it in a terminal once, give the code with --mfa-token, or set mfa_process in the profile",
                ) from error
            try:
                return mfa_code(code)
            except ValueError:
                prompt.tell("A code is six digits.")

    def _from_process(self, command: str, step: Step) -> str:
        variables = environment.of_helper(self.settings.inherited)
        variables[RUNNING] = "\n".join([*self.running, step.profile.name])
        code = prompt.run_mfa_process(command, variables)
        try:
            return mfa_code(code)
        except ValueError as error:
            raise PromptFailed(
                f"the mfa_process of profile {step.profile.name!r} did not print a code: {error}",
                "it should print the code and nothing else on stdout",
            ) from None
