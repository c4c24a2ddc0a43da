"""Keychain files and the generic passwords in them, by the Security framework of macOS.

https://developer.apple.com/documentation/security/keychain-items describes the functions. Those for keychains in files
are deprecated without a successor: a program that is not signed with an entitlement has no other keychain.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from strongroom.errors import KeystoreError, KeystoreLocked, PromptDismissed
from strongroom.keystore.macos import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.errors import StrongroomError

NOT_FOUND = -25300  # errSecItemNotFound
DUPLICATE = -25299  # errSecDuplicateItem
NO_KEYCHAIN = -25294  # errSecNoSuchKeychain
AUTH_FAILED = -25293  # errSecAuthFailed

_UNLOCK = "unlock it at the Mac, or with: security unlock-keychain {name}"
_STATUSES: dict[int, tuple[type[StrongroomError], str, str]] = {
    -128: (PromptDismissed, "the question was dismissed in the window of macOS", ""),  # errSecUserCanceled
    AUTH_FAILED: (KeystoreLocked, "macOS does not accept the password", _UNLOCK),
    -25308: (KeystoreLocked, "macOS would have to ask, and cannot in this session", _UNLOCK),  # InteractionNotAllowed
    -25315: (KeystoreLocked, "macOS would have to ask, and cannot in this session", _UNLOCK),  # InteractionRequired
    -25291: (KeystoreError, "there is no keychain here", ""),  # errSecNotAvailable
    -25292: (KeystoreError, "the keychain is read-only", ""),  # errSecReadOnly
    -25295: (KeystoreError, "the file is no keychain", ""),  # errSecInvalidKeychain
    -61: (KeystoreError, "the file may not be written", ""),  # errSecWrPerm
    -34018: (KeystoreError, "this program may not use it", ""),  # errSecMissingEntitlement
    NO_KEYCHAIN: (KeystoreError, "there is no such keychain", ""),
}


class Password:
    """A generic password.

    Args:
        account: Its key among those of one service.
        data: The secret; empty in a listing.
        label: What it is called.
        description: What kind of thing it is.
        generic: What its program noted.
        modified_at: When it was last changed, epoch seconds.
    """

    __slots__ = ("account", "data", "description", "generic", "label", "modified_at")

    def __init__(
        self,
        account: str,
        data: bytes,
        label: str = "",
        *,
        description: str = "",
        generic: bytes = b"",
        modified_at: float | None = None,
    ) -> None:
        self.account = account
        self.data = data
        self.label = label
        self.description = description
        self.generic = generic
        self.modified_at = modified_at


class Keychain:
    """A keychain, or all those that are searched by default.

    Args:
        api: The functions of macOS.
        path: The file; a name is looked for in the user's own directory of keychains. Empty for the default ones.
    """

    __slots__ = ("_api", "path")

    def __init__(self, api: Any, path: str) -> None:
        self._api = api
        self.path = path

    # The file

    def exists(self) -> bool:
        """Tell whether there is such a file.

        Raises:
            KeystoreError: It is there and cannot be used.
        """
        with Values(self._api) as values:
            flags = ctypes.c_uint32()
            status = self._api.SecKeychainGetStatus(self._reference(values), ctypes.byref(flags))
            if status == NO_KEYCHAIN:
                return False
            self._check("open", status)
            return True

    def create(self, password: str | None = None) -> None:
        """Make the file; macOS asks for a new password unless it is given.

        Raises:
            PromptDismissed: The human declined.
            KeystoreError: It cannot be made.
        """
        secret = (password or "").encode()
        with Values(self._api) as values:
            made = ctypes.c_void_p()
            ask = password is None
            status = self._api.SecKeychainCreate(
                self.path.encode(), len(secret), secret, int(ask), None, ctypes.byref(made)
            )
            self._check("make", status)
            values.own(made.value)

    def unlock(self, password: str) -> bool:
        """Unlock the file, after it was locked: so that the password is proved. False if it is wrong.

        Raises:
            KeystoreError: It cannot be unlocked for another reason.
        """
        secret = password.encode("utf-8", "surrogateescape")
        with Values(self._api) as values:
            reference = self._reference(values)
            self._check("lock", self._api.SecKeychainLock(reference))
            status = self._api.SecKeychainUnlock(reference, len(secret), secret, 1)
            if status == AUTH_FAILED:
                return False
            self._check("unlock", status)
            return True

    # Its passwords

    def listing(self, service: str) -> list[Password]:
        """Return the passwords of one service, without their data; nobody is asked.

        Raises:
            KeystoreError: macOS refused.
        """
        with Values(self._api) as values:
            query = self._query(values, service) | {
                "kSecMatchLimit": self._api.constant("kSecMatchLimitAll"),
                "kSecReturnAttributes": self._api.constant("kCFBooleanTrue"),
            }
            found = self._matching(values, "list", query)
            return [] if found is None else [_password(values, each) for each in values.all_of(found)]

    def get(self, service: str, account: str) -> Password | None:
        """Return one password with its data, or None; macOS may ask the human.

        Raises:
            PromptDismissed: The human declined.
            KeystoreLocked: It is locked, and nobody can be asked.
            KeystoreError: macOS refused.
        """
        with Values(self._api) as values:
            query = self._query(values, service, account) | {
                "kSecMatchLimit": self._api.constant("kSecMatchLimitOne"),
                "kSecReturnAttributes": self._api.constant("kCFBooleanTrue"),
                "kSecReturnData": self._api.constant("kCFBooleanTrue"),
            }
            found = self._matching(values, "read", query)
            return None if found is None else _password(values, found)

    def set(self, service: str, password: Password, *, trusting: bool) -> None:
        """Store a password, instead of the one of the same account if there is one, whose access list stays.

        Args:
            service: The service.
            password: The password.
            trusting: Whether this program may read a new one without a question to the human.

        Raises:
            PromptDismissed: The human declined.
            KeystoreError: macOS refused; an older one is intact.
        """
        with Values(self._api) as values:
            fields = {
                "kSecAttrLabel": values.text(password.label),
                "kSecAttrDescription": values.text(password.description),
                "kSecAttrGeneric": values.data(password.generic),
                "kSecValueData": values.data(password.data),
            }
            new = {
                "kSecClass": self._api.constant("kSecClassGenericPassword"),
                "kSecAttrService": values.text(service),
                "kSecAttrAccount": values.text(password.account),
                "kSecAttrAccess": self._access(values, password.label or password.account, trusting=trusting),
                **fields,
            }
            if self.path:
                new["kSecUseKeychain"] = self._reference(values)
            status = self._api.SecItemAdd(values.dictionary(new), None)
            if status == DUPLICATE:
                query = values.dictionary(self._query(values, service, password.account))
                status = self._api.SecItemUpdate(query, values.dictionary(fields))
            self._check("write to", status)

    def remove(self, service: str, account: str) -> bool:
        """Remove a password; False if there was none.

        Raises:
            KeystoreError: macOS refused.
        """
        with Values(self._api) as values:
            status = self._api.SecItemDelete(values.dictionary(self._query(values, service, account)))
            if status == NOT_FOUND:
                return False
            self._check("remove from", status)
            return True

    def _query(self, values: Values, service: str, account: str | None = None) -> dict[str, int]:
        query = {
            "kSecClass": self._api.constant("kSecClassGenericPassword"),
            "kSecAttrService": values.text(service),
        }
        if account is not None:
            query["kSecAttrAccount"] = values.text(account)
        if self.path:
            query["kSecMatchSearchList"] = values.array([self._reference(values)])
        return query

    def _matching(self, values: Values, what: str, query: Mapping[str, int]) -> int | None:
        found = ctypes.c_void_p()
        status = self._api.SecItemCopyMatching(values.dictionary(query), ctypes.byref(found))
        if status == NOT_FOUND:
            return None
        self._check(what, status)
        return values.own(found.value)

    def _reference(self, values: Values) -> int:
        keychain = ctypes.c_void_p()
        self._check("open", self._api.SecKeychainOpen(self.path.encode(), ctypes.byref(keychain)))
        return values.own(keychain.value)

    def _access(self, values: Values, label: str, *, trusting: bool) -> int:
        """Make an access list: of this program, or of none, so that macOS asks the human each time."""
        access = ctypes.c_void_p()
        trusted = None if trusting else values.array([])
        status = self._api.SecAccessCreate(values.text(label), trusted, ctypes.byref(access))
        self._check("make an access list for", status)
        return values.own(access.value)

    def _check(self, what: str, status: int) -> None:
        """Raise what a status means that is not success."""
        if not status:
            return
        name = self.path or "the default keychain"
        error, reason, hint = _STATUSES.get(status, (KeystoreError, "macOS refused", ""))
        if error is PromptDismissed:
            raise error(reason, hint)
        raise error(f"cannot {what} {name}: {reason} ({status})", hint.format(name=name))


def _password(values: Values, found: int) -> Password:
    return Password(
        values.text_of(values.value_of(found, "kSecAttrAccount")),
        values.data_of(values.value_of(found, "kSecValueData")),
        values.text_of(values.value_of(found, "kSecAttrLabel")),
        description=values.text_of(values.value_of(found, "kSecAttrDescription")),
        generic=values.data_of(values.value_of(found, "kSecAttrGeneric")),
        modified_at=values.epoch_of(values.value_of(found, "kSecAttrModificationDate")),
    )
