"""The Credential Manager of Windows, by its functions in advapi32.

https://learn.microsoft.com/windows/win32/api/wincred/ describes them. A generic credential has a target, by which it is
found without regard to upper and lower case, a blob of at most 2,560 bytes, and small attributes that other programs
leave alone.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any

from strongroom.errors import KeystoreError, KeystoreUnavailable

if TYPE_CHECKING:
    from typing import Protocol

    class Api(Protocol):
        """The functions that are used, as ctypes calls them; each true if it succeeded."""

        def CredReadW(self, target: str, kind: int, flags: int, found: Any) -> int:  # noqa: D102, N802
            ...

        def CredWriteW(self, credential: Any, flags: int) -> int:  # noqa: D102, N802
            ...

        def CredDeleteW(self, target: str, kind: int, flags: int) -> int:  # noqa: D102, N802
            ...

        def CredEnumerateW(self, wanted: str, flags: int, count: Any, found: Any) -> int:  # noqa: D102, N802
            ...

        def CredFree(self, found: Any) -> None:  # noqa: D102, N802
            ...

        def last_error(self) -> int:
            """Why the last one did not."""


# wincred.h: CRED_MAX_CREDENTIAL_BLOB_SIZE is 5 * 512.
LIMIT_BYTES = 2560
# wincred.h: CRED_MAX_ATTRIBUTES, CRED_MAX_VALUE_SIZE.
MOST_ATTRIBUTES = 64
ATTRIBUTE_BYTES = 256
# Names "should be of the form <CompanyName>_<Name>".
ATTRIBUTE = "strongroom_"

GENERIC = 1  # CRED_TYPE_GENERIC
LOCAL_MACHINE = 2  # CRED_PERSIST_LOCAL_MACHINE: stays, and roams nowhere

NOT_FOUND = 1168  # ERROR_NOT_FOUND
_REASONS = {
    5: "access is denied",  # ERROR_ACCESS_DENIED
    8: "there is no memory for it",  # ERROR_NOT_ENOUGH_MEMORY
    87: "Windows does not take its name or size",  # ERROR_INVALID_PARAMETER
    1312: "this session has no credentials of its own",  # ERROR_NO_SUCH_LOGON_SESSION
    1783: "it is too large for Windows",  # RPC_X_BAD_STUB_DATA
}
_HINTS = {1312: "sign in at the machine, or by a password: a session over the network by a key has none"}

# FILETIME counts 100 nanoseconds since 1601.
_EPOCH_SECONDS = 11_644_473_600


class CREDENTIALW(ctypes.Structure):
    """As in wincred.h."""

    _fields_ = (
        ("Flags", ctypes.c_uint32),
        ("Type", ctypes.c_uint32),
        ("TargetName", ctypes.c_wchar_p),
        ("Comment", ctypes.c_wchar_p),
        ("LastWrittenLow", ctypes.c_uint32),
        ("LastWrittenHigh", ctypes.c_uint32),
        ("CredentialBlobSize", ctypes.c_uint32),
        ("CredentialBlob", ctypes.c_void_p),
        ("Persist", ctypes.c_uint32),
        ("AttributeCount", ctypes.c_uint32),
        ("Attributes", ctypes.c_void_p),
        ("TargetAlias", ctypes.c_wchar_p),
        ("UserName", ctypes.c_wchar_p),
    )


class ATTRIBUTEW(ctypes.Structure):
    """CREDENTIAL_ATTRIBUTEW, as in wincred.h."""

    _fields_ = (
        ("Keyword", ctypes.c_wchar_p),
        ("Flags", ctypes.c_uint32),
        ("ValueSize", ctypes.c_uint32),
        ("Value", ctypes.c_void_p),
    )


class Credential:
    """A generic credential.

    Args:
        target: Its name, in the spelling it was written with.
        blob: The secret.
        note: What our attributes hold, in one piece.
        written_at: When it was last written, epoch seconds.
    """

    __slots__ = ("blob", "note", "target", "written_at")

    def __init__(self, target: str, blob: bytes, note: bytes, written_at: float) -> None:
        self.target = target
        self.blob = blob
        self.note = note
        self.written_at = written_at


def read(api: Api, target: str) -> Credential | None:
    """Return the credential of that name, in any spelling of it, or None.

    Raises:
        KeystoreError: Windows refused.
    """
    found = ctypes.POINTER(CREDENTIALW)()
    if not api.CredReadW(target, GENERIC, 0, ctypes.byref(found)):
        _refused(api, "cannot read a credential")
        return None
    try:
        return _taken(found.contents)
    finally:
        api.CredFree(found)


def write(api: Api, target: str, blob: bytes, note: bytes = b"") -> None:
    """Write a credential, in place of the one of that name if there is one: whole, or not at all.

    Args:
        api: The functions.
        target: Its name.
        blob: At most `LIMIT_BYTES`.
        note: What comes back with it; kept in attributes, so at most `MOST_ATTRIBUTES` times `ATTRIBUTE_BYTES`.

    Raises:
        KeystoreError: Windows refused; an older one is intact.
    """
    pieces = [note[at : at + ATTRIBUTE_BYTES] for at in range(0, len(note), ATTRIBUTE_BYTES)]
    buffers = [ctypes.create_string_buffer(piece, len(piece)) for piece in pieces]
    attributes = (ATTRIBUTEW * len(pieces))(
        *(
            ATTRIBUTEW(f"{ATTRIBUTE}{number:02}", 0, len(piece), ctypes.addressof(buffer))
            for number, (piece, buffer) in enumerate(zip(pieces, buffers, strict=True))
        )
    )
    secret = ctypes.create_string_buffer(blob, max(len(blob), 1))
    credential = CREDENTIALW(
        Type=GENERIC,
        TargetName=target,
        CredentialBlobSize=len(blob),
        CredentialBlob=ctypes.addressof(secret),
        Persist=LOCAL_MACHINE,
        AttributeCount=len(pieces),
        Attributes=ctypes.addressof(attributes) if pieces else None,
    )
    try:
        if not api.CredWriteW(ctypes.byref(credential), 0):
            _refused(api, "cannot write a credential", missing=False)
    finally:
        ctypes.memset(secret, 0, len(secret))


def delete(api: Api, target: str) -> bool:
    """Delete the credential of that name, in any spelling of it; False if there was none.

    Raises:
        KeystoreError: Windows refused.
    """
    if api.CredDeleteW(target, GENERIC, 0):
        return True
    _refused(api, "cannot delete a credential")
    return False


def beginning(api: Api, prefix: str) -> list[Credential]:
    """Return the generic credentials whose names begin with *prefix*.

    Raises:
        KeystoreError: Windows refused.
    """
    count, found = ctypes.c_uint32(), ctypes.POINTER(ctypes.POINTER(CREDENTIALW))()
    if not api.CredEnumerateW(f"{prefix}*", 0, ctypes.byref(count), ctypes.byref(found)):
        _refused(api, "cannot list credentials")
        return []
    try:
        taken = [
            _taken(found[number].contents) for number in range(count.value) if found[number].contents.Type == GENERIC
        ]
    finally:
        api.CredFree(found)
    return [each for each in taken if each.target.startswith(prefix)]


def _taken(credential: CREDENTIALW) -> Credential:
    """Copy a credential out of the memory of Windows."""
    size, attributes = credential.CredentialBlobSize, {}
    if credential.AttributeCount:
        array = ctypes.cast(credential.Attributes, ctypes.POINTER(ATTRIBUTEW))
        for number in range(credential.AttributeCount):
            each = array[number]
            if (each.Keyword or "").startswith(ATTRIBUTE):
                attributes[each.Keyword] = ctypes.string_at(each.Value, each.ValueSize) if each.ValueSize else b""
    return Credential(
        credential.TargetName or "",
        ctypes.string_at(credential.CredentialBlob, size) if size else b"",
        b"".join(attributes[name] for name in sorted(attributes)),
        (credential.LastWrittenHigh << 32 | credential.LastWrittenLow) / 10_000_000 - _EPOCH_SECONDS,
    )


def _refused(api: Api, what: str, *, missing: bool = True) -> None:
    """Raise what the last error means, unless that is that there is no such credential."""
    code = api.last_error()
    if code == NOT_FOUND and missing:
        return
    reason = _REASONS.get(code)
    raise KeystoreError(
        f"{what}: {reason} (error {code})" if reason else f"{what}: Windows refused (error {code})",
        _HINTS.get(code, ""),
    )


if sys.platform == "win32":

    class _Native:
        def __init__(self) -> None:
            library = ctypes.WinDLL("advapi32", use_last_error=True)
            text, number, pointer = ctypes.c_wchar_p, ctypes.c_uint32, ctypes.c_void_p
            for name, words in {
                "CredReadW": (text, number, number, pointer),
                "CredWriteW": (pointer, number),
                "CredDeleteW": (text, number, number),
                "CredEnumerateW": (text, number, pointer, pointer),
                "CredFree": (pointer,),
            }.items():
                function = getattr(library, name)
                function.argtypes = words
                function.restype = None if name == "CredFree" else ctypes.c_int
                setattr(self, name, function)

        def last_error(self) -> int:
            return ctypes.get_last_error()

    def native() -> Any:
        """Return Windows' own functions."""
        return _Native()

else:

    def native() -> Any:
        """Return Windows' own functions.

        Raises:
            KeystoreUnavailable: This is no Windows.
        """
        raise KeystoreUnavailable("the Credential Manager is a part of Windows")
