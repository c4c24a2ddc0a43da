"""The frameworks of macOS, by ctypes: values of Core Foundation, and what `security` and `touch_id` call.

https://developer.apple.com/documentation/corefoundation describes the functions. What a function with Create or Copy in
its name returns is ours to release; the rest is not.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, Self

from strongroom.errors import KeystoreError, KeystoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

UTF8 = 0x08000100  # kCFStringEncodingUTF8
# kCFAbsoluteTimeIntervalSince1970: Core Foundation counts from 2001.
EPOCH_SECONDS = 978_307_200.0


class Values:
    """Values that are made for some calls, and released after them.

    Args:
        api: The functions, and ``constant(name)``, ``address(name)``.
    """

    __slots__ = ("_api", "_ours")

    def __init__(self, api: Any) -> None:
        self._api = api
        self._ours: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._ours:
            self._api.CFRelease(self._ours.pop())

    def own(self, value: int | None) -> int:
        """Release *value* with the others; it came from a function that creates or copies.

        Raises:
            KeystoreError: There is none, because there is no memory.
        """
        if not value:
            raise KeystoreError("macOS has no memory left")
        self._ours.append(value)
        return value

    # Made

    def text(self, text: str) -> int:
        """Make a string.

        Raises:
            KeystoreError: It is no Unicode text.
        """
        try:
            data = text.encode("utf-8")
        except UnicodeEncodeError:
            raise KeystoreError(f"macOS takes no such text: {text[:80]!r}") from None
        return self.own(self._api.CFStringCreateWithBytes(None, data, len(data), UTF8, 0))

    def data(self, data: bytes) -> int:
        """Make data."""
        return self.own(self._api.CFDataCreate(None, data, len(data)))

    def array(self, values: Iterable[int]) -> int:
        """Make an array, which keeps its values."""
        values = list(values)
        callbacks = self._api.address("kCFTypeArrayCallBacks")
        return self.own(self._api.CFArrayCreate(None, _pointers(values), len(values), callbacks))

    def dictionary(self, values: Mapping[str, int]) -> int:
        """Make a dictionary, which keeps its values; its keys are constants of the framework."""
        keys = [self._api.constant(name) for name in values]
        return self.own(
            self._api.CFDictionaryCreate(
                None,
                _pointers(keys),
                _pointers(values.values()),
                len(keys),
                self._api.address("kCFTypeDictionaryKeyCallBacks"),
                self._api.address("kCFTypeDictionaryValueCallBacks"),
            )
        )

    # Read

    def text_of(self, string: int | None) -> str:
        """Read a string; empty if there is none."""
        if not string:
            return ""
        data = self.own(self._api.CFStringCreateExternalRepresentation(None, string, UTF8, 0))
        return self.data_of(data).decode("utf-8", "replace")

    def data_of(self, data: int | None) -> bytes:
        """Read data; empty if there is none."""
        size = self._api.CFDataGetLength(data) if data else 0
        return ctypes.string_at(self._api.CFDataGetBytePtr(data), size) if size else b""

    def all_of(self, array: int) -> list[int]:
        """Read an array."""
        count = self._api.CFArrayGetCount(array)
        return [self._api.CFArrayGetValueAtIndex(array, number) for number in range(count)]

    def value_of(self, dictionary: int, name: str) -> int | None:
        """Read one value of a dictionary, by a constant of the framework."""
        value: int | None = self._api.CFDictionaryGetValue(dictionary, self._api.constant(name))
        return value

    def epoch_of(self, date: int | None) -> float | None:
        """Read a date, in epoch seconds; None if there is none."""
        return self._api.CFDateGetAbsoluteTime(date) + EPOCH_SECONDS if date else None


def _pointers(values: Iterable[int]) -> Any:
    values = list(values)
    return (ctypes.c_void_p * len(values))(*values)


_FRAMEWORKS = "/System/Library/Frameworks/{0}.framework/{0}"
_POINTER, _INDEX, _STATUS = ctypes.c_void_p, ctypes.c_long, ctypes.c_int32
_BYTES, _NUMBER, _TRUTH = ctypes.c_char_p, ctypes.c_uint32, ctypes.c_ubyte

# framework -> function -> what it returns, what it takes
FUNCTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "CoreFoundation": {
        "CFRelease": (None, _POINTER),
        "CFStringCreateWithBytes": (_POINTER, _POINTER, _BYTES, _INDEX, _NUMBER, _TRUTH),
        "CFStringCreateExternalRepresentation": (_POINTER, _POINTER, _POINTER, _NUMBER, _TRUTH),
        "CFDataCreate": (_POINTER, _POINTER, _BYTES, _INDEX),
        "CFDataGetLength": (_INDEX, _POINTER),
        "CFDataGetBytePtr": (_POINTER, _POINTER),
        "CFArrayCreate": (_POINTER, _POINTER, _POINTER, _INDEX, _POINTER),
        "CFArrayGetCount": (_INDEX, _POINTER),
        "CFArrayGetValueAtIndex": (_POINTER, _POINTER, _INDEX),
        "CFDictionaryCreate": (_POINTER, _POINTER, _POINTER, _POINTER, _INDEX, _POINTER, _POINTER),
        "CFDictionaryGetValue": (_POINTER, _POINTER, _POINTER),
        "CFDateGetAbsoluteTime": (ctypes.c_double, _POINTER),
    },
    "Security": {
        "SecItemAdd": (_STATUS, _POINTER, _POINTER),
        "SecItemUpdate": (_STATUS, _POINTER, _POINTER),
        "SecItemDelete": (_STATUS, _POINTER),
        "SecItemCopyMatching": (_STATUS, _POINTER, _POINTER),
        "SecAccessCreate": (_STATUS, _POINTER, _POINTER, _POINTER),
        "SecKeychainOpen": (_STATUS, _BYTES, _POINTER),
        "SecKeychainGetStatus": (_STATUS, _POINTER, _POINTER),
        "SecKeychainCreate": (_STATUS, _BYTES, _NUMBER, _BYTES, _TRUTH, _POINTER, _POINTER),
        "SecKeychainLock": (_STATUS, _POINTER),
        "SecKeychainUnlock": (_STATUS, _POINTER, _NUMBER, _BYTES, _TRUTH),
    },
}


if sys.platform == "darwin":

    class _Native:
        def __init__(self) -> None:
            self._libraries = {name: ctypes.CDLL(_FRAMEWORKS.format(name)) for name in FUNCTIONS}
            for framework, functions in FUNCTIONS.items():
                for name, (returned, *taken) in functions.items():
                    function = getattr(self._libraries[framework], name)
                    function.argtypes, function.restype = taken, returned
                    setattr(self, name, function)
            self._constants: dict[str, int] = {}
            self._objc: Any = None

        def _library(self, name: str) -> Any:
            return self._libraries["Security" if name.startswith("kSec") else "CoreFoundation"]

        def constant(self, name: str) -> int:
            """What a constant of a framework points to."""
            if name not in self._constants:
                self._constants[name] = ctypes.c_void_p.in_dll(self._library(name), name).value or 0
            return self._constants[name]

        def address(self, name: str) -> int:
            """Where a structure of a framework is."""
            return ctypes.addressof(ctypes.c_char.in_dll(self._library(name), name))

        # Objective-C, https://developer.apple.com/documentation/objectivec/objective-c_runtime

        def _runtime(self) -> Any:
            if self._objc is None:
                ctypes.CDLL(_FRAMEWORKS.format("LocalAuthentication"))
                self._objc = ctypes.CDLL("/usr/lib/libobjc.A.dylib")
                for name in ("objc_getClass", "sel_registerName"):
                    getattr(self._objc, name).argtypes = (ctypes.c_char_p,)
                    getattr(self._objc, name).restype = ctypes.c_void_p
            return self._objc

        def kind(self, name: str) -> int:
            """The class of that name; 0 if there is none."""
            return self._runtime().objc_getClass(name.encode()) or 0

        def send(self, receiver: int, selector: str, returned: Any, *words: tuple[Any, Any]) -> Any:
            """Send a message; each word with its type, because the way to pass it depends on that."""
            objc = self._runtime()
            function = ctypes.CFUNCTYPE(returned, ctypes.c_void_p, ctypes.c_void_p, *(kind for kind, _ in words))
            address = ctypes.cast(objc.objc_msgSend, ctypes.c_void_p).value or 0
            return function(address)(receiver, objc.sel_registerName(selector.encode()), *(word for _, word in words))

        def global_block(self) -> int:
            """The class of blocks that capture nothing."""
            return ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(None), "_NSConcreteGlobalBlock"))

    def native() -> Any:
        """Return macOS's own functions."""
        return _Native()

else:

    def native() -> Any:
        """Return macOS's own functions.

        Raises:
            KeystoreUnavailable: This is no Mac.
        """
        raise KeystoreUnavailable("the Keychain is a part of macOS")
