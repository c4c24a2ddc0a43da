import pytest

from providers.surroundings import M, session_step
from strongroom.credentials import Credentials
from strongroom.errors import AwsRefused, AwsUnreachable, MfaRefused, PromptDismissed
from strongroom.providers.mfa import with_code

GOT = Credentials("ASIAGOT", "s", "t", 1)
WRONG = AwsRefused("AccessDenied", 403, "sts X was refused (AccessDenied): MultiFactorAuthentication failed with invalid "
                   "MFA one time pass code.")  # fmt: skip


class Aws:
    """A call that takes one code, and notes those that it got."""

    def __init__(self, right="", error=WRONG):
        self.right = right
        self.error = error
        self.codes = []

    def __call__(self, code):
        self.codes.append(code)
        if code != self.right:
            raise self.error
        return GOT


def test_without_a_device_no_code(world):
    """Nobody is asked, and the call is made once."""
    call = Aws()
    assert with_code(session_step(serial=""), world, call) == GOT
    assert (call.codes, world.asked) == ([""], [])


def test_a_right_code(world):
    """Asked for once, used once."""
    world.codes = ["123456"]
    call = Aws("123456")
    assert with_code(session_step(), world, call) == GOT
    assert (call.codes, world.asked) == (["123456"], [(M, 0)])


def test_a_wrong_code_is_asked_for_again(world):
    """For as long as there is somebody to ask, who says how it went: see `World.code`."""
    world.codes = ["111111", "222222", "123456"]
    call = Aws("123456")
    assert with_code(session_step(), world, call) == GOT
    assert call.codes == ["111111", "222222", "123456"]
    assert world.asked == [(M, 0), (M, 1), (M, 2)]


def test_no_more_codes(world):
    """The last refusal is the reason; the device is named, and no code."""
    world.codes = ["111111", "222222"]
    with pytest.raises(MfaRefused) as caught:
        with_code(session_step(), world, Aws("123456"))
    error = caught.value
    assert error.serial == M
    assert error.message == f"AWS did not accept the code of MFA device {M}: {WRONG.message}"
    assert error.hint == (
        "a code works once and for half a minute: wait for the next one, and check this machine's clock"
    )
    assert error.__cause__ is WRONG
    assert world.asked == [(M, 0), (M, 1), (M, 2)]


@pytest.mark.parametrize(
    "error",
    [
        AwsRefused("AccessDenied", 403, "User: jon is not authorized to perform: sts:AssumeRole"),
        AwsRefused("ValidationError", 400, "MultiFactorAuthentication failed"),
        AwsUnreachable("no"),
    ],
    ids=["not authorized", "not denied", "unreachable"],
)
def test_what_is_not_about_the_code_is_told_at_once(world, error):
    """Another code would not help."""
    world.codes = ["111111", "222222"]
    with pytest.raises(type(error)) as caught:
        with_code(session_step(), world, Aws("123456", error))
    assert caught.value is error
    assert world.codes == ["222222"]


def test_a_human_who_declines(world):
    """Is not asked again."""
    world.codes = ["111111", "dismissed"]
    with pytest.raises(PromptDismissed):
        with_code(session_step(), world, Aws("123456"))
    assert world.codes == []
