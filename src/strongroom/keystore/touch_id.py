"""Touch ID, by the LocalAuthentication framework of macOS.

https://developer.apple.com/documentation/localauthentication/lacontext describes the question; its answer comes to a
block, whose layout is that of https://clang.llvm.org/docs/Block-ABI-Apple.html.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Any

from strongroom.errors import KeystoreError, PromptDismissed, PromptFailed
from strongroom.keystore.macos import Values

OWNER = 2  # LAPolicyDeviceOwnerAuthentication: Touch ID, a watch, or the user's password
# As long as other questions wait for a human.
TIMEOUT_SECONDS = 60.0

_IS_GLOBAL, _HAS_SIGNATURE = 1 << 28, 1 << 30
# Returns nothing, takes the block, a truth and an object.
_SIGNATURE = b"v@?B@"

_DISMISSED = frozenset({-2, -4, -9})  # LAErrorUserCancel, SystemCancel, AppCancel
_REASONS = {
    -1: "it was not the owner",  # LAErrorAuthenticationFailed
    -5: "no password is set",  # LAErrorPasscodeNotSet
    -6: "it is not to be had here",  # LAErrorBiometryNotAvailable
    -7: "no finger is enrolled",  # LAErrorBiometryNotEnrolled
    -8: "it is locked after too many tries",  # LAErrorBiometryLockout
    -1004: "it cannot ask in this session",  # LAErrorNotInteractive
}

Reply = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_bool, ctypes.c_void_p)


class Descriptor(ctypes.Structure):
    """Block_descriptor, with a signature."""

    _fields_ = (("reserved", ctypes.c_ulong), ("size", ctypes.c_ulong), ("signature", ctypes.c_char_p))


class Block(ctypes.Structure):
    """Block_literal, of a block that captures nothing."""

    _fields_ = (
        ("isa", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("reserved", ctypes.c_int),
        ("invoke", Reply),
        ("descriptor", ctypes.POINTER(Descriptor)),
    )


def ask(api: Any, reason: str, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Let the owner of the Mac agree; return when they did.

    Args:
        api: The functions of macOS.
        reason: What they agree to; macOS puts its "strongroom is trying to" before it.
        timeout_seconds: How long to wait for them.

    Raises:
        PromptDismissed: They declined.
        PromptFailed: Nobody answered.
        KeystoreError: They cannot be asked.
    """
    kind = api.kind("LAContext")
    if not kind:
        raise KeystoreError("Touch ID cannot be used: this macOS has no LocalAuthentication")
    answers: list[tuple[bool, int]] = []
    answered = threading.Event()

    def reply(_block: int, agreed: bool, error: int | None) -> None:
        code = api.send(error, "code", ctypes.c_long) if error else 0
        answers.append((bool(agreed), int(code)))
        answered.set()

    # These live as long as the question does, which macOS may hold after we stopped to wait.
    descriptor = Descriptor(0, ctypes.sizeof(Block), _SIGNATURE)
    flags = _IS_GLOBAL | _HAS_SIGNATURE
    block = Block(api.global_block(), flags, 0, Reply(reply), ctypes.pointer(descriptor))
    _kept.append((block, descriptor))

    with Values(api) as values:
        context = values.own(api.send(api.send(kind, "alloc", ctypes.c_void_p), "init", ctypes.c_void_p))
        api.send(
            context,
            "evaluatePolicy:localizedReason:reply:",
            None,
            (ctypes.c_long, OWNER),
            (ctypes.c_void_p, values.text(reason)),
            (ctypes.c_void_p, ctypes.addressof(block)),
        )
        if not answered.wait(timeout_seconds):
            api.send(context, "invalidate", None)
            raise PromptFailed(f"Touch ID: no answer within {timeout_seconds:g} seconds")
    agreed, code = answers[0]
    if agreed:
        return
    if code in _DISMISSED:
        raise PromptDismissed("the question was dismissed in the window of Touch ID")
    raise KeystoreError(f"Touch ID cannot be used: {_REASONS.get(code, 'macOS refused')} ({code})", "or do without it")


_kept: list[tuple[Block, Descriptor]] = []
