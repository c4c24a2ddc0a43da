"""The functions of Windows that keep secrets, with the limits that they are documented to have; they can refuse, too."""

import ctypes
import itertools
import time

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from strongroom.keystore.credential_manager import ATTRIBUTEW, CREDENTIALW

RSA = generate_private_key(65537, 2048)
NOT_FOUND, INVALID_PARAMETER, BAD_STUB_DATA = 1168, 87, 1783


class CredentialManager:
    """CredReadW and its kin. *refuses*: the error of every call. Names are found without regard to case."""

    def __init__(self):
        self.credentials = {}  # upper-case target -> (target, blob, attributes, when)
        self.refuses = 0
        self.error = 0
        self.calls = []
        self.now = time.time
        self.held = {}  # address -> what must stay alive until CredFree

    def last_error(self):
        return self.error

    def _call(self, name, target=""):
        self.calls.append((name, target))
        self.error = self.refuses
        return not self.refuses

    def _fail(self, error):
        self.error = error
        return 0

    def CredReadW(self, target, kind, flags, found):
        if not self._call("read", target):
            return 0
        assert (kind, flags) == (1, 0)
        stored = self.credentials.get(target.upper())
        if stored is None:
            return self._fail(NOT_FOUND)
        keep = self._struct(*stored)
        pointer = ctypes.pointer(keep[0])
        self.held[ctypes.addressof(keep[0])] = keep
        found._obj.contents = pointer.contents
        return 1

    def CredWriteW(self, credential, flags):
        credential = credential._obj
        if not self._call("write", credential.TargetName):
            return 0
        assert flags == 0
        if credential.Type != 1 or not 1 <= credential.Persist <= 3 or not credential.TargetName:
            return self._fail(INVALID_PARAMETER)
        if credential.CredentialBlobSize > 5 * 512 or len(credential.TargetName) > 32767:
            return self._fail(BAD_STUB_DATA)
        attributes = []
        if credential.AttributeCount:
            if credential.AttributeCount > 64:
                return self._fail(INVALID_PARAMETER)
            array = ctypes.cast(credential.Attributes, ctypes.POINTER(ATTRIBUTEW))
            for number in range(credential.AttributeCount):
                if array[number].ValueSize > 256 or len(array[number].Keyword) > 256 or array[number].Flags:
                    return self._fail(INVALID_PARAMETER)
                attributes.append(
                    (array[number].Keyword, ctypes.string_at(array[number].Value, array[number].ValueSize))
                )
        blob = ctypes.string_at(credential.CredentialBlob, credential.CredentialBlobSize)
        self.put(credential.TargetName, blob, attributes)
        return 1

    def put(self, target, blob, attributes=()):
        self.credentials[target.upper()] = (target, blob, list(attributes), self.now())

    def CredDeleteW(self, target, kind, flags):
        if not self._call("delete", target):
            return 0
        assert (kind, flags) == (1, 0)
        return 1 if self.credentials.pop(target.upper(), None) else self._fail(NOT_FOUND)

    def CredEnumerateW(self, wanted, flags, count, found):
        if not self._call("enumerate", wanted):
            return 0
        assert wanted.endswith("*")
        assert flags == 0
        structs = [self._struct(*stored) for name, stored in sorted(self.credentials.items()) if name.startswith(wanted[:-1].upper())]  # fmt: skip
        if not structs:
            return self._fail(NOT_FOUND)
        array = (ctypes.POINTER(CREDENTIALW) * len(structs))(*(ctypes.pointer(keep[0]) for keep in structs))
        self.held[ctypes.addressof(array)] = (array, structs)
        count._obj.value = len(structs)
        found._obj.contents = array[0] and ctypes.cast(array, ctypes.POINTER(ctypes.POINTER(CREDENTIALW))).contents
        return 1

    def CredFree(self, found):
        del self.held[ctypes.addressof(found.contents)]

    def _struct(self, target, blob, attributes, when):
        values = [ctypes.create_string_buffer(value, max(len(value), 1)) for _, value in attributes]
        array = (ATTRIBUTEW * len(attributes))(*(ATTRIBUTEW(name, 0, len(value), ctypes.addressof(buffer))
                                                 for (name, value), buffer in zip(attributes, values, strict=True)))  # fmt: skip
        secret = ctypes.create_string_buffer(blob, max(len(blob), 1))
        filetime = int((when + 11_644_473_600) * 10_000_000)
        struct = CREDENTIALW(Type=1, TargetName=target, LastWrittenLow=filetime & 0xFFFFFFFF, LastWrittenHigh=filetime >> 32,
                             CredentialBlobSize=len(blob), CredentialBlob=ctypes.addressof(secret) if blob else None, Persist=2,
                             AttributeCount=len(attributes), Attributes=ctypes.addressof(array) if attributes else None)  # fmt: skip
        return struct, values, array, secret


class Hello:
    """NCrypt with the provider of Windows Hello: keys by name, a human who makes a gesture or declines."""

    BAD_KEYSET, CANCELLED, NOT_SUPPORTED = 0x80090016, 0x80090036, 0x80090029

    def __init__(self):
        self.keys = {}  # name -> RSA key
        self.declines = False
        self.refuses = {}  # function or property -> status
        self.gestures = []  # what each was asked for
        self.objects = {}  # handle -> what it is
        self.numbers = itertools.count(1)
        self.foreground = 0x1234

    def sid(self):
        return "S-1-5-21-1-2-3-1001"

    def window(self):
        return self.foreground

    def _new(self, handle, what):
        handle._obj.value = next(self.numbers)
        self.objects[handle._obj.value] = what
        return self.refuses.get("free", 0)

    def NCryptOpenStorageProvider(self, handle, name, flags):
        assert (name, flags) == ("Microsoft Passport Key Storage Provider", 0)
        return self.refuses.get("provider") or self._new(handle, {})

    def NCryptOpenKey(self, provider, handle, name, spec, flags):
        assert self.objects[provider.value] is not None
        if status := self.refuses.get("open"):
            return status
        if name not in self.keys:
            return self.BAD_KEYSET
        return self._new(handle, {"name": name, "final": True})

    def NCryptCreatePersistedKey(self, provider, handle, algorithm, name, spec, flags):
        assert (algorithm, spec, flags) == ("RSA", 0, 0)
        assert name.startswith(self.sid() + "//")
        return self.refuses.get("create") or self._new(handle, {"name": name, "final": False})

    def NCryptSetProperty(self, handle, name, data, size, flags):
        if status := self.refuses.get(name):
            return status
        if name == "HWND Handle":
            data = bytes(data._obj)
        assert len(data) == size
        self.objects[handle.value][name] = data
        return 0

    def NCryptFinalizeKey(self, handle, flags):
        key = self.objects[handle.value]
        assert key["Length"] == (2048).to_bytes(4, "little")
        assert key["Key Usage"] == (1).to_bytes(4, "little")
        assert (key.get("NgcCacheType") or key["NgcCacheTypeProperty"]) == (1).to_bytes(4, "little")
        if self._declined(key):
            return self.CANCELLED
        self.keys[key["name"]] = RSA
        key["final"] = True
        return 0

    def _declined(self, key):
        self.gestures.append(key["Use Context"].decode("utf-16-le").removesuffix("\0"))
        return self.declines

    def NCryptEncrypt(self, handle, data, size, padding, out, room, written, flags):
        key = self.keys[self.objects[handle.value]["name"]]
        assert (len(data), padding, flags) == (size, None, 2)
        return self._out(key.public_key().encrypt(data, PKCS1v15()), out, room, written)

    def NCryptDecrypt(self, handle, data, size, padding, out, room, written, flags):
        key = self.objects[handle.value]
        assert (len(data), padding, flags) == (size, None, 2)
        if self._declined(key):
            return self.CANCELLED
        if status := self.refuses.get("decrypt"):
            return status
        return self._out(self.keys[key["name"]].decrypt(data, PKCS1v15()), out, room, written)

    def _out(self, data, out, room, written):
        assert len(data) <= room
        ctypes.memmove(out, data, len(data))
        written._obj.value = len(data)
        return 0

    def NCryptFreeObject(self, handle):
        del self.objects[handle.value]
        return 0
