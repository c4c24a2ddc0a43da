"""Keys that Windows Hello guards, by the "Microsoft Passport Key Storage Provider" of the functions in ncrypt.dll.

https://learn.microsoft.com/windows/win32/api/ncrypt/ describes the functions. What is asked of this provider beyond
that is not documented by Microsoft; it is what the programs that use it agree on, aws-vault among them. The private key
never leaves the provider: each use of it asks the human for a gesture, a PIN, a face or a finger.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

from strongroom.errors import KeystoreError, KeystoreLocked, KeystoreUnavailable, PromptDismissed

PROVIDER = "Microsoft Passport Key Storage Provider"
# The key that aws-vault makes and uses, behind the user's SID.
KEY = "ByteNess/keyring-winhello/keyring-winhello-v1"
KEY_BITS = 2048

ALLOW_DECRYPT = 1  # NCRYPT_ALLOW_DECRYPT_FLAG
ASK_EACH_TIME = 1  # NCRYPT_NGC_CACHE_TYPE_PROPERTY_AUTH_MANDATORY_FLAG
PKCS1 = 2  # NCRYPT_PAD_PKCS1_FLAG

_MISSING = frozenset({0x80090016, 0x8009000D, 0x80090011})  # NTE_BAD_KEYSET, NTE_NO_KEY, NTE_NOT_FOUND
_DISMISSED = frozenset({0x80090036, 0x800704C7})  # NTE_USER_CANCELLED, ERROR_CANCELLED
_NO_HELLO = frozenset(
    {0x80090029, 0x80090030, 0x80090023}
)  # NTE_NOT_SUPPORTED, NTE_DEVICE_NOT_READY, NTE_SILENT_CONTEXT

_SET_UP = "set up a PIN for Windows Hello (Settings, Accounts, Sign-in options), or choose another keystore"


class Passport:
    """The key of this user.

    Args:
        api: The functions of ncrypt.dll, and ``sid()`` and ``window()``.
    """

    __slots__ = ("_api", "name")

    def __init__(self, api: Any) -> None:
        self._api = api
        self.name = f"{api.sid()}//{KEY}"

    def encrypt(self, data: bytes) -> bytes:
        """Encrypt with the public half, which asks nobody; the key is made first if there is none, which does.

        Raises:
            PromptDismissed: The human declined.
            KeystoreError: Windows refused.
        """
        return self._use("encrypt", self._api.NCryptEncrypt, data, "", make=True)

    def decrypt(self, data: bytes, purpose: str) -> bytes:
        """Decrypt with the private half, once the human agrees.

        Args:
            data: What `encrypt` returned.
            purpose: What the human is shown.

        Raises:
            PromptDismissed: The human declined.
            KeystoreLocked: The key is gone, with what was encrypted by it.
            KeystoreError: Windows refused.
        """
        return self._use("decrypt", self._api.NCryptDecrypt, data, purpose, make=False)

    def _use(self, what: str, function: Any, data: bytes, purpose: str, *, make: bool) -> bytes:
        handles: list[ctypes.c_void_p] = []
        try:
            provider = self._handle(handles)
            self._check("open Windows Hello", self._api.NCryptOpenStorageProvider(ctypes.byref(provider), PROVIDER, 0))
            self._show_above(provider)
            key = self._handle(handles)
            status = self._api.NCryptOpenKey(provider, ctypes.byref(key), self.name, 0, 0) & 0xFFFFFFFF
            if status in _MISSING and make:
                self._make(provider, key)
            elif status in _MISSING:
                raise KeystoreLocked(
                    "the key of Windows Hello is gone, and with it what it protected",
                    "it goes when the PIN is reset: restore a backup, or add the keys anew",
                )
            else:
                self._check("open the key of Windows Hello", status)
            if purpose:
                self._show_above(key)
                self._set(key, "Use Context", purpose)
                # Not known to every version of the provider, and what the kind of the key says already.
                self._try(key, "PinCacheIsGestureRequired", 1)
            return self._transformed(what, function, key, data)
        finally:
            for handle in reversed(handles):
                if handle.value:
                    self._api.NCryptFreeObject(handle)

    def _make(self, provider: ctypes.c_void_p, key: ctypes.c_void_p) -> None:
        create = self._api.NCryptCreatePersistedKey
        self._check("make a key for Windows Hello", create(provider, ctypes.byref(key), "RSA", self.name, 0, 0))
        self._show_above(key)
        self._set(key, "Length", KEY_BITS)
        self._set(key, "Key Usage", ALLOW_DECRYPT)
        # The same property under the name that older versions have for it.
        if not self._try(key, "NgcCacheType", ASK_EACH_TIME):
            self._set(key, "NgcCacheTypeProperty", ASK_EACH_TIME)
        self._set(key, "Use Context", "Create a key that protects AWS credentials")
        self._check("make a key for Windows Hello", self._api.NCryptFinalizeKey(key, 0))

    def _transformed(self, what: str, function: Any, key: ctypes.c_void_p, data: bytes) -> bytes:
        size = ctypes.c_uint32()
        room = ctypes.create_string_buffer(KEY_BITS // 8)
        status = function(key, data, len(data), None, room, len(room), ctypes.byref(size), PKCS1)
        try:
            self._check(f"{what} by Windows Hello", status)
            return room.raw[: size.value]
        finally:
            ctypes.memset(room, 0, len(room))

    @staticmethod
    def _handle(handles: list[ctypes.c_void_p]) -> ctypes.c_void_p:
        handles.append(ctypes.c_void_p())
        return handles[-1]

    def _show_above(self, handle: ctypes.c_void_p) -> None:
        """Ask in front of our window, if there is one; the question is asked in any case."""
        window = self._api.window()
        if window:
            value = ctypes.c_void_p(window)
            self._api.NCryptSetProperty(handle, "HWND Handle", ctypes.byref(value), ctypes.sizeof(value), 0)

    def _try(self, handle: ctypes.c_void_p, name: str, value: str | int) -> bool:
        return self._status(handle, name, value) == 0

    def _set(self, handle: ctypes.c_void_p, name: str, value: str | int) -> None:
        self._check(f"prepare Windows Hello ({name})", self._status(handle, name, value))

    def _status(self, handle: ctypes.c_void_p, name: str, value: str | int) -> int:
        data = value.encode("utf-16-le") + b"\0\0" if isinstance(value, str) else value.to_bytes(4, "little")
        status: int = self._api.NCryptSetProperty(handle, name, data, len(data), 0)
        return status

    @staticmethod
    def _check(what: str, status: int) -> None:
        """Raise what a status means that is not success."""
        status &= 0xFFFFFFFF
        if not status:
            return
        if status in _DISMISSED:
            raise PromptDismissed("the question was dismissed in the window of Windows Hello")
        if status in _NO_HELLO:
            raise KeystoreError(f"cannot {what}: it is not set up, or not for this session (0x{status:08x})", _SET_UP)
        raise KeystoreError(f"cannot {what}: Windows refused (0x{status:08x})", _SET_UP)


if sys.platform == "win32":

    class _Native:
        def __init__(self) -> None:
            library = ctypes.WinDLL("ncrypt")
            text, number, pointer = ctypes.c_wchar_p, ctypes.c_uint32, ctypes.c_void_p
            for name, words in {
                "NCryptOpenStorageProvider": (pointer, text, number),
                "NCryptOpenKey": (pointer, pointer, text, number, number),
                "NCryptCreatePersistedKey": (pointer, pointer, text, text, number, number),
                "NCryptSetProperty": (pointer, text, pointer, number, number),
                "NCryptFinalizeKey": (pointer, number),
                "NCryptEncrypt": (pointer, pointer, number, pointer, pointer, number, pointer, number),
                "NCryptDecrypt": (pointer, pointer, number, pointer, pointer, number, pointer, number),
                "NCryptFreeObject": (pointer,),
            }.items():
                function = getattr(library, name)
                function.argtypes = words
                function.restype = ctypes.c_uint32
                setattr(self, name, function)

        def window(self) -> int:
            """The window that the human looks at."""
            foreground = ctypes.WinDLL("user32").GetForegroundWindow
            foreground.restype = ctypes.c_void_p
            return foreground() or 0

        def sid(self) -> str:
            """The user's security identifier, as text."""
            return _sid()

    def _sid() -> str:
        kernel, advapi = ctypes.WinDLL("kernel32", use_last_error=True), ctypes.WinDLL("advapi32", use_last_error=True)
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        kernel.CloseHandle.argtypes = kernel.LocalFree.argtypes = (ctypes.c_void_p,)
        advapi.OpenProcessToken.argtypes = (ctypes.c_void_p, ctypes.c_uint32, ctypes.c_void_p)
        advapi.GetTokenInformation.argtypes = (
            ctypes.c_void_p,
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint32,
            ctypes.c_void_p,
        )
        advapi.ConvertSidToStringSidW.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
        token, size = ctypes.c_void_p(), ctypes.c_uint32()
        # TOKEN_QUERY; TokenUser, a SID_AND_ATTRIBUTES: a pointer to the SID comes first.
        if not advapi.OpenProcessToken(kernel.GetCurrentProcess(), 8, ctypes.byref(token)):
            raise KeystoreError(f"cannot tell which user this is (error {ctypes.get_last_error()})")
        try:
            room = ctypes.create_string_buffer(1024)
            text = ctypes.c_wchar_p()
            if not advapi.GetTokenInformation(token, 1, room, len(room), ctypes.byref(size)) or not (
                advapi.ConvertSidToStringSidW(ctypes.c_void_p.from_buffer(room), ctypes.byref(text))
            ):
                raise KeystoreError(f"cannot tell which user this is (error {ctypes.get_last_error()})")
            try:
                return text.value or ""
            finally:
                kernel.LocalFree(text)
        finally:
            kernel.CloseHandle(token)

    def native() -> Any:
        """Return Windows' own functions.

        Raises:
            KeystoreUnavailable: This Windows has none of them.
        """
        try:
            return _Native()
        except OSError as error:
            raise KeystoreUnavailable("this Windows has no Windows Hello") from error

else:

    def native() -> Any:
        """Return Windows' own functions.

        Raises:
            KeystoreUnavailable: This is no Windows.
        """
        raise KeystoreUnavailable("Windows Hello is a part of Windows")
