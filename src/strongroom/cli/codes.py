"""Where the code of an MFA device comes from.

In this order: ``--mfa-token``, the profile's ``mfa_process``, a seed that ``mfa add`` stored, a driver that asks.
"""

from __future__ import annotations

import time

from strongroom import prompt, totp
from strongroom.cli.asking import asker
from strongroom.cli.flags import mfa_code
from strongroom.cli.recursion import Running
from strongroom.cli.spent_codes import SpentCodes
from strongroom.errors import MfaRequired, PromptFailed, PromptUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from strongroom.cli.settings import Settings
    from strongroom.plan import Step
    from strongroom.profiles import Profile

# In the environment of a profile's mfa_process: the profiles whose mfa_process is running, one a line, so that one
# that leads back to itself is found out.
RUNNING = "STRONGROOM_MFA_PROCESS"

# The kind of our own items that seeds are.
SEED = "totp"

# A wrong code is asked for again this often, as other programs do.
TRIES = 3
# What is no code at all, this often; then a program asks, and no human.
TYPING_ERRORS = 10
# How often the next code of a machine is waited for: so many processes want one of the same device.
WAITS = 3


class Codes:
    """The codes of one run.

    Args:
        settings: Flags, variables, files.
        target: The profile whose credentials are wanted.
        steps: The way to them.
        now: The clock, epoch seconds.
        pause: How to wait, seconds.

    Raises:
        CredentialsError: We are run by an ``mfa_process`` to get what waits for it: found out before we wait in turn.
    """

    def __init__(
        self,
        settings: Settings,
        target: Profile,
        steps: Sequence[Step],
        *,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._running = Running(RUNNING, settings.inherited)
        for step in steps:
            if step.serial:
                self._running.refuse(step.profile.name, "mfa_process", "let it use another profile, or none")
        self.settings = settings
        self.target = target
        self._now = now
        self._pause = pause

    def code(self, step: Step, attempt: int, *, given: str = "") -> str | None:
        """A code of the step's device.

        Args:
            step: The step.
            attempt: How many codes AWS did not accept before.
            given: The code of the command line.

        Returns:
            Six digits, or None when a wrong one came from where there is no other.

        Raises:
            MfaRequired: Nobody can be asked here.
            PromptDismissed: The human declined.
            PromptFailed: A program did not bring a code.
        """
        if given:
            return None if attempt else given
        machine = self._machine(step)
        if machine is None:
            return None if attempt >= TRIES else self._from_human(step.serial, attempt)
        return None if attempt else self._unspent(step.serial, machine)

    def _machine(self, step: Step) -> Callable[[], str] | None:
        """What brings a code without asking anybody; None if there is nothing."""
        process = step.profile.mfa_process
        if not process and self.target.mfa_serial == step.serial:
            process = self.target.mfa_process
        if process:
            return lambda: self._from_process(process, step)
        seed = self.settings.own_items().get(SEED, step.serial)
        if seed is not None:
            return lambda: self._from_seed(step.serial, seed.get("seed"))
        try:
            bring = asker(self.settings)
        except PromptUnavailable as error:
            raise _nobody(step.serial, error) from error
        if bring.is_machine:
            return lambda: self._from_device(step.serial, bring)
        return None

    def _unspent(self, serial: str, bring: Callable[[], str]) -> str:
        """A code that nobody has used; one that was used is followed by another in less than half a minute.

        If none follows, AWS has the last word about the one that there is.
        """
        spent = SpentCodes(self.settings.lock_directory(), self.settings.command, self._now)
        code = bring()
        for _ in range(WAITS):
            if spent.claim(serial, code):
                break
            seconds = spent.seconds_to_next()
            self.settings.talk.say(
                f"the code that MFA device {serial} shows now has been used; waiting {seconds:.0f} s for the next one"
            )
            self._pause(seconds)
            before, code = code, bring()
            if code == before:
                break
        return code

    def _from_human(self, serial: str, attempt: int) -> str:
        """A code that a human types."""
        bring = asker(self.settings)
        note = f"AWS did not accept the code of {serial}" if attempt else ""
        if note:
            self.settings.talk.say(note)
        told = True
        for _ in range(TYPING_ERRORS):
            try:
                code = bring(_question(serial, note, told=told))
            except PromptUnavailable as error:
                raise _nobody(serial, error) from error
            try:
                return mfa_code(code)
            except ValueError:
                note, told = "A code is six digits.", False
        raise PromptFailed(f"no code of MFA device {serial} was typed in {TYPING_ERRORS} tries")

    def _from_process(self, command: str, step: Step) -> str:
        code = prompt.run_mfa_process(command, self._running.environment(step.profile.name))
        try:
            return mfa_code(code)
        except ValueError as error:
            raise PromptFailed(
                f"the mfa_process of profile {step.profile.name!r} did not print a code: {error}",
                "it should print the code and nothing else on stdout",
            ) from None

    def _from_seed(self, serial: str, seed: object) -> str:
        try:
            return totp.totp(totp.from_base32(str(seed)), self._now())
        except ValueError:
            raise PromptFailed(
                f"the seed that is stored for MFA device {serial} is damaged",
                f"remove it with `mfa remove {serial}`, and add it again",
            ) from None

    def _from_device(self, serial: str, bring: prompt.Asker) -> str:
        code = bring(_question(serial))
        try:
            return mfa_code(code)
        except ValueError as error:
            raise PromptFailed(f"ykman did not print a code: {error}") from None


def _question(serial: str, note: str = "", *, told: bool = False) -> prompt.Question:
    return prompt.Question(f"Enter MFA code for {serial}: ", echo="plain", serial=serial, note=note, told=told)


def _nobody(serial: str, error: PromptUnavailable) -> MfaRequired:
    return MfaRequired(
        serial,
        f"a code of MFA device {serial} is needed, and {error.message}",
        "run it in a terminal once, give the code with --mfa-token, or set mfa_process in the profile",
    )
