"""The window of Windows, against a stand-in for the system's function: it checks what it is given as Windows does."""

import ctypes
import threading

import pytest

from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable
from strongroom.prompt import wincredui
from strongroom.prompt.question import Place, Question

SERIAL = "arn:aws:iam::111111111111:mfa/jon"
INVALID_PARAMETER, INVALID_FLAGS, NO_SUCH_LOGON_SESSION = 87, 1004, 1312


class CredUI:
    """CredUIPromptForCredentialsW, with somebody who types *answer*."""

    def __init__(self, answer="123456", status=0):
        self.answer, self.status = answer, status
        self.seen = {}
        self.buffer = None

    def __call__(self, info, target, reserved, error, name, most_name, answer, most_answer, save, flags):
        info, save = info._obj, save._obj
        if info.cbSize != ctypes.sizeof(info) or reserved is not None or error != 0 or save.value not in {0, 1}:
            return INVALID_PARAMETER
        if most_name > ctypes.sizeof(name) // ctypes.sizeof(ctypes.c_wchar) or most_answer > 257:
            return INVALID_PARAMETER
        if flags & 0x80 and not flags & 0x40000:  # ALWAYS_SHOW_UI needs GENERIC_CREDENTIALS
            return INVALID_FLAGS
        self.seen = {"target": target, "text": info.pszMessageText, "caption": info.pszCaptionText,
                     "name": name.value, "flags": flags, "save": save.value}  # fmt: skip
        self.buffer = answer
        answer.value = self.answer
        return self.status


def bring(api, *, echo="plain", serial=SERIAL, message="Code: ", **more):
    place = Place({}, title="aws-vault", platform="win32", **more)
    return wincredui.bring(Question(message, echo=echo, serial=serial), place, api)


def test_a_code():
    """The name is the device, which cannot be changed; nothing is kept in the Credential Manager."""
    api = CredUI(" 123456 ")
    assert bring(api) == "123456"
    assert api.seen == {
        "target": "aws-vault",
        "text": "Code: ",
        "caption": "Enter MFA code for aws-vault",
        "name": "111111111111/jon",
        "flags": 0x80 | 0x40000 | 0x100000 | 0x2,
        "save": 0,
    }
    assert api.buffer.value == ""


def test_a_passphrase():
    """As it was typed."""
    api = CredUI(" p\xe4ss ")
    assert bring(api, echo="hidden", serial="") == " p\xe4ss "
    assert (api.seen["caption"], api.seen["name"]) == ("aws-vault", "aws-vault")


def test_a_name_that_is_too_long():
    """It is cut, instead of refused."""
    api = CredUI()
    assert bring(api, serial="x" * 2000) == "123456"
    assert api.seen["name"] == "x" * 513


@pytest.mark.parametrize(
    ("status", "error", "message"),
    [
        (1223, PromptDismissed, "the question was dismissed in the window of wincredui"),
        (NO_SUCH_LOGON_SESSION, PromptUnavailable, "wincredui: Windows cannot show its window (error 1312)"),
    ],
)
def test_no_answer(status, error, message):
    """The human declined; or there is no desktop, as in a service."""
    with pytest.raises(error) as caught:
        bring(CredUI(status=status))
    assert caught.value.message == message


def test_nobody_answers():
    """The window stays, and we go on."""
    gate = threading.Event()
    try:
        with pytest.raises(PromptFailed) as caught:
            bring(lambda *_: gate.wait(20) and 0, timeout_seconds=0.1)
    finally:
        gate.set()
    assert caught.value.message == "wincredui: no answer within 0.1 seconds"


def test_elsewhere():
    """It is a part of Windows."""
    assert wincredui.absent(Place({}, platform="linux")) == "it is a part of Windows"
    assert wincredui.absent(Place({}, platform="win32")) == ""
