"""Ask in a window of Windows, by CredUIPromptForCredentialsW: a form with a name and a password."""

from __future__ import annotations

import ctypes
import sys
import threading
from typing import TYPE_CHECKING, Any

from strongroom.errors import PromptDismissed, PromptFailed, PromptUnavailable

if TYPE_CHECKING:
    from strongroom.prompt.question import Place, Question

# wincred.h
ALWAYS_SHOW_UI = 0x00080
DO_NOT_PERSIST = 0x00002
GENERIC_CREDENTIALS = 0x40000
KEEP_USERNAME = 0x100000
FLAGS = ALWAYS_SHOW_UI | DO_NOT_PERSIST | GENERIC_CREDENTIALS | KEEP_USERNAME

# CREDUI_MAX_USERNAME_LENGTH and CREDUI_MAX_PASSWORD_LENGTH, each with its end.
MOST_NAME = 513 + 1
MOST_ANSWER = 256 + 1

# winerror.h
NO_ERROR = 0
ERROR_CANCELLED = 1223


class _Info(ctypes.Structure):
    """CREDUI_INFOW."""

    _fields_ = (
        ("cbSize", ctypes.c_uint32),
        ("hwndParent", ctypes.c_void_p),
        ("pszMessageText", ctypes.c_wchar_p),
        ("pszCaptionText", ctypes.c_wchar_p),
        ("hbmBanner", ctypes.c_void_p),
    )


def absent(place: Place) -> str:
    """Why it cannot be used here; empty if it can."""
    return "" if place.platform == "win32" else "it is a part of Windows"


def bring(question: Question, place: Place, prompt: Any = None) -> str:  # Any: a function of a library of the system's
    """Ask; the window stays when nobody answers in time, and goes with this process.

    Args:
        question: What to ask.
        place: Where.
        prompt: CredUIPromptForCredentialsW, by default the system's own.

    Raises:
        PromptDismissed: The human declined.
        PromptUnavailable: There is no desktop.
        PromptFailed: Nobody answered in time.
    """
    prompt = prompt or _prompt()
    results: list[tuple[int, str]] = []
    thread = threading.Thread(target=lambda: results.append(_form(question, place.title, prompt)), daemon=True)
    thread.start()
    thread.join(place.timeout_seconds)
    if thread.is_alive():
        raise PromptFailed(f"wincredui: no answer within {place.timeout_seconds:g} seconds")
    status, answer = results[0] if results else (-1, "")
    if status == ERROR_CANCELLED:
        raise PromptDismissed("the question was dismissed in the window of wincredui")
    if status != NO_ERROR:
        raise PromptUnavailable(f"wincredui: Windows cannot show its window (error {status})")
    return answer if question.hidden else answer.strip()


def _form(question: Question, title: str, prompt: Any) -> tuple[int, str]:
    caption = f"Enter MFA code for {title}" if question.serial else title
    info = _Info(ctypes.sizeof(_Info), None, question.text, caption, None)
    name = ctypes.create_unicode_buffer(_short(question.serial) or title, MOST_NAME)
    answer = ctypes.create_unicode_buffer(MOST_ANSWER)
    save = ctypes.c_int(0)
    status = prompt(ctypes.byref(info), title, None, 0, name, MOST_NAME, answer, MOST_ANSWER, ctypes.byref(save), FLAGS)
    typed = answer.value
    ctypes.memset(answer, 0, ctypes.sizeof(answer))
    return status, typed


def _short(serial: str) -> str:
    """A device as it fits into the form: its account and its name."""
    return serial.replace("arn:aws:iam::", "").replace(":mfa", "")[: MOST_NAME - 1]


if sys.platform == "win32":

    def _prompt() -> Any:
        return ctypes.WinDLL("credui").CredUIPromptForCredentialsW

else:

    def _prompt() -> Any:
        raise PromptUnavailable("wincredui: it is a part of Windows")
