"""Calls that take the code of an MFA device: a wrong code is asked for again where a human types it."""

from __future__ import annotations

from strongroom.errors import AwsRefused, MfaRefused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.providers import World


def with_code(step: Step, world: World, call: Callable[[str], Credentials]) -> Credentials:
    """Make a call with a code of the step's device, or with an empty one if the step has no device.

    Raises:
        MfaRefused: AWS did not accept the code, the last of several where a human was asked.
        AwsError: The call failed for another reason.
        MfaRequired, PromptDismissed: There is no code.
    """
    if not step.serial:
        return call("")
    attempt, refusal = 0, None
    while True:
        code = world.code(step, attempt)
        if code is None:
            raise MfaRefused(
                step.serial,
                f"AWS did not accept the code of MFA device {step.serial}: {refusal}",
                "a code works once and for half a minute: wait for the next one, and check this machine's clock",
            ) from refusal
        try:
            return call(code)
        except AwsRefused as error:
            if not _is_wrong_code(error):
                raise
            refusal = error
        attempt += 1


def _is_wrong_code(error: AwsRefused) -> bool:
    # STS has no code of its own for it: AccessDenied, "MultiFactorAuthentication failed with invalid MFA one time
    # pass code." A role that wants MFA and got none says AccessDenied too, in other words.
    return error.code == "AccessDenied" and "MultiFactorAuthentication failed" in error.message
