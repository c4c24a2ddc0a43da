"""The frameworks of macOS that keep secrets, as far as they are used, with a human who is asked and may decline.

Values are handles that are counted, so that what is not released, or released twice, is found.
"""

import ctypes
import itertools
import threading
import time

NOT_FOUND, DUPLICATE, NO_KEYCHAIN, AUTH_FAILED, CANCELED, NO_INTERACTION, PARAM = (
    -25300,
    -25299,
    -25294,
    -25293,
    -128,
    -25308,
    -50,
)
FIELDS = {"kSecAttrLabel", "kSecAttrDescription", "kSecAttrGeneric", "kSecValueData"}


class File:
    def __init__(self, password):
        self.password = password
        self.locked = False
        self.items = {}  # (service, account) -> fields


class Access:
    def __init__(self, trusted):
        self.trusted = trusted  # None: the program that made it


class Mac:
    """A Mac. *answers* are what its human does when asked: "yes", "no", or a password; without one nobody is there."""

    def __init__(self):
        self.files = {"login.keychain": File("login")}
        self.objects = {}  # handle -> [value, count]
        self.constants = {}
        self.numbers = itertools.count(1 << 20)
        self.buffers = {}
        self.questions = []
        self.answers = iter(())
        self.refuses = {}  # function -> status
        self.finger = (True, 0)  # whether the owner agrees to Touch ID, and the code of the error
        self.touched = []
        self.threads = []
        self.silent = False  # Touch ID gets no answer
        self.classes = {"LAContext": self._handle("class")}
        self.now = time.time

    # The runtime

    def left(self):
        """What was not released."""
        for thread in self.threads:
            thread.join()
        permanent = {*self.constants.values(), *self.classes.values()}
        return [value for handle, (value, count) in self.objects.items() if handle not in permanent]

    def _handle(self, value):
        handle = next(self.numbers)
        self.objects[handle] = [value, 1]
        return handle

    def _value(self, handle):
        return self.objects[getattr(handle, "value", handle)][0]

    def constant(self, name):
        if name not in self.constants:
            self.constants[name] = self._handle(True if name == "kCFBooleanTrue" else name)
        return self.constants[name]

    def address(self, name):
        return name

    def CFRelease(self, handle):
        kept = self.objects[handle]
        kept[1] -= 1
        if not kept[1]:
            del self.objects[handle]
            for each in kept[0] if isinstance(kept[0], list) else kept[0].values() if isinstance(kept[0], dict) else ():
                self.CFRelease(each)

    def _keep(self, handles):
        for handle in handles:
            self.objects[handle][1] += 1
        return handles

    def CFStringCreateWithBytes(self, allocator, data, size, encoding, external):
        assert (allocator, len(data), encoding) == (None, size, 0x08000100)
        return self._handle(data.decode())

    def CFStringCreateExternalRepresentation(self, allocator, string, encoding, loss):
        return self._handle(self._value(string).encode())

    def CFDataCreate(self, allocator, data, size):
        assert len(data) == size
        return self._handle(bytes(data))

    def CFDataGetLength(self, data):
        return len(self._value(data))

    def CFDataGetBytePtr(self, data):
        value = self._value(data)
        self.buffers[data] = ctypes.create_string_buffer(value, len(value))
        return ctypes.addressof(self.buffers[data])

    def CFArrayCreate(self, allocator, values, count, callbacks):
        assert callbacks == "kCFTypeArrayCallBacks"
        return self._handle(self._keep([values[number] for number in range(count)]))

    def CFArrayGetCount(self, array):
        return len(self._value(array))

    def CFArrayGetValueAtIndex(self, array, number):
        return self._value(array)[number]

    def CFDictionaryCreate(self, allocator, keys, values, count, key_callbacks, value_callbacks):
        assert (key_callbacks, value_callbacks) == ("kCFTypeDictionaryKeyCallBacks", "kCFTypeDictionaryValueCallBacks")
        made = {self._value(keys[number]): values[number] for number in range(count)}
        self._keep(made.values())
        return self._handle(made)

    def CFDictionaryGetValue(self, dictionary, key):
        return self._value(dictionary).get(self._value(key))

    def CFDateGetAbsoluteTime(self, date):
        return self._value(date)

    # Keychains

    def _ask(self, question):
        self.questions.append(question)
        return next(self.answers, None)

    def SecKeychainOpen(self, path, keychain):
        keychain._obj.value = self._handle(path.decode())
        return 0

    def _file(self, keychain):
        return self.files.get(self._value(keychain))

    def SecKeychainGetStatus(self, keychain, flags):
        file = self._file(keychain)
        if file is None:
            return NO_KEYCHAIN
        flags._obj.value = 2 | (0 if file.locked else 1)
        return self.refuses.get("status", 0)

    def SecKeychainCreate(self, path, size, password, ask, access, keychain):
        assert len(password) == size
        if ask:
            password = self._ask(f"new password for {path.decode()}")
            if password in {None, "no"}:
                return CANCELED if password else NO_INTERACTION
        self.files[path.decode()] = File(password if ask else password.decode())
        keychain._obj.value = self._handle(path.decode())
        return 0

    def SecKeychainLock(self, keychain):
        self._file(keychain).locked = True
        return self.refuses.get("lock", 0)

    def SecKeychainUnlock(self, keychain, size, password, use):
        assert (len(password), use) == (size, 1)
        file = self._file(keychain)
        if password.decode("utf-8", "surrogateescape") != file.password:
            return self.refuses.get("unlock", AUTH_FAILED)
        file.locked = False
        return 0

    # Items

    def SecAccessCreate(self, label, trusted, access):
        if status := self.refuses.get("access"):
            return status
        access._obj.value = self._handle(Access(None if trusted is None else list(self._value(trusted))))
        return 0

    def _query(self, query, *more):
        query = dict(self._value(query))
        assert self._value(query.pop("kSecClass")) == "kSecClassGenericPassword"
        service, account = self._value(query.pop("kSecAttrService")), query.pop("kSecAttrAccount", None)
        where = query.pop("kSecMatchSearchList", None)
        names = ["login.keychain"] if where is None else [self._value(each) for each in self._value(where)]
        assert set(query) <= set(more), query
        found = [
            (file, key)
            for file in (self.files[name] for name in names if name in self.files)
            for key in list(file.items)
            if key[0] == service and (account is None or key[1] == self._value(account))
        ]
        return found, query

    def SecItemAdd(self, new, result):
        assert result is None
        if status := self.refuses.get("add"):
            return status
        new = dict(self._value(new))
        assert self._value(new.pop("kSecClass")) == "kSecClassGenericPassword"
        where = new.pop("kSecUseKeychain", None)
        file = self.files["login.keychain" if where is None else self._value(where)]
        key = self._value(new.pop("kSecAttrService")), self._value(new.pop("kSecAttrAccount"))
        access = self._value(new.pop("kSecAttrAccess"))
        assert new.keys() == FIELDS
        if key in file.items:
            return DUPLICATE
        if not self._opened(file):
            return CANCELED
        file.items[key] = {name: self._value(value) for name, value in new.items()} | {
            "access": access,
            "when": self.now(),
        }
        return 0

    def _opened(self, file):
        if file.locked and self._ask("password of the keychain") != file.password:
            return False
        file.locked = False
        return True

    def SecItemUpdate(self, query, new):
        if status := self.refuses.get("update"):
            return status
        found, _ = self._query(query)
        new = {name: self._value(value) for name, value in self._value(new).items()}
        assert new.keys() == FIELDS
        if not found:
            return NOT_FOUND
        for file, key in found:
            if not self._opened(file):
                return CANCELED
            file.items[key] |= new | {"when": self.now()}
        return 0

    def SecItemDelete(self, query):
        if status := self.refuses.get("delete"):
            return status
        found, _ = self._query(query)
        for file, key in found:
            del file.items[key]
        return 0 if found else NOT_FOUND

    def SecItemCopyMatching(self, query, result):
        if status := self.refuses.get("match"):
            return status
        found, query = self._query(query, "kSecMatchLimit", "kSecReturnAttributes", "kSecReturnData")
        limit = self._value(query["kSecMatchLimit"])
        with_data = "kSecReturnData" in query
        assert not (with_data and limit == "kSecMatchLimitAll"), "macOS returns no data of several items"
        if not found:
            return NOT_FOUND
        shown = []
        for file, (service, account) in found[: None if limit == "kSecMatchLimitAll" else 1]:
            fields = file.items[service, account]
            if with_data:
                if not self._opened(file):
                    return CANCELED
                if fields["access"].trusted is not None and self._ask(f"may it read {account}?") != "yes":
                    return CANCELED
            shown.append(self._shown(account, fields, with_data=with_data))
        result._obj.value = shown[0] if limit != "kSecMatchLimitAll" else self._handle(shown)
        return 0

    def _shown(self, account, fields, *, with_data):
        values = {"kSecAttrAccount": account, "kSecAttrModificationDate": fields["when"] - 978_307_200.0}
        values |= {name: fields[name] for name in FIELDS if name in fields and (with_data or name != "kSecValueData")}
        return self._handle({name: self._handle(value) for name, value in values.items()})

    def put(self, service, account, data, *, label="", file="aws-vault.keychain", trusted=None):
        """Store an item as aws-vault does."""
        fields = {"kSecAttrLabel": label, "kSecAttrDescription": "", "kSecValueData": data}
        self.files[file].items[service, account] = fields | {"access": Access(trusted), "when": self.now()}

    # Objective-C

    def kind(self, name):
        return self.classes.get(name, 0)

    def global_block(self):
        return 0xB10C

    def send(self, receiver, selector, returned, *words):
        return getattr(self, "_" + selector.replace(":", "_"))(receiver, *(word for _, word in words))

    def _alloc(self, receiver):
        assert self._value(receiver) == "class"
        return self._handle("context")

    def _init(self, receiver):
        return receiver

    def _invalidate(self, receiver):
        assert self._value(receiver) == "context"

    def _code(self, receiver):
        return self._value(receiver)

    def _evaluatePolicy_localizedReason_reply_(self, receiver, policy, reason, block):
        from strongroom.keystore.touch_id import Block

        assert (self._value(receiver), policy) == ("context", 2)
        self.touched.append(self._value(reason))
        block = Block.from_address(block)
        assert (block.isa, block.flags, block.descriptor.contents.size) == (0xB10C, 0x50000000, ctypes.sizeof(Block))
        agreed, code = self.finger

        def answer():
            error = self._handle(code) if code else None
            block.invoke(ctypes.addressof(block), agreed, error)
            if error:
                self.CFRelease(error)

        if not self.silent:
            self.threads.append(threading.Thread(target=answer))
            self.threads[-1].start()
