"""What is kept in a keystore, under which names: long-term keys, sessions, Identity Center tokens.

Names and payloads are aws-vault's, so that both programs read one store:

==========  ===================================================  =================================================
kind        item name                                            data (JSON)
==========  ===================================================  =================================================
credential  the profile's name                                   ``AccessKeyID``, ``SecretAccessKey``, ...
session     ``<type>,<base64 profile>,<base64 serial>,<expiry>``  ``AccessKeyId``, ``Expiration``, ... and, when we
                                                                 made it, ``Strongroom``: what it was made for
token       ``oidc:<start URL>``                                 an Identity Center access token
==========  ===================================================  =================================================

A session's expiry (epoch seconds) is part of its name: one listing of the store says what is still good without
opening a secret. Base64 is RFC 4648 section 5 without padding.
"""

from __future__ import annotations

import binascii
import json
import re
import time

from strongroom.credentials import Credentials, go_json, show_time
from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError, KeystoreLocked
from strongroom.keystore import Item
from strongroom.plan import ASSUME_ROLE, NOT_KEPT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from strongroom.keystore import Keystore
    from strongroom.plan import Step

CREDENTIAL, SESSION, OLD_SESSION, TOKEN = "credential", "session", "old session", "token"

_OIDC = "oidc:"

# aws-vault's default of AWS_MIN_TTL: what is left must last for the command that gets it.
MIN_TTL_SECONDS = 300

# The end of the year 9999, beyond which RFC 3339 has no times; and the digits to read to find that out, for Python
# refuses to read thousands.
LATEST_EXPIRY = 253_402_300_799
LONGEST_EXPIRY = 18

_OLD_NAMES = r"(?s:session,[^,]*,[^,]*,[0-9]{2,}|session:[^ ]*:[^ ]*:[^:]*|.* session \([0-9]+\))"


class SessionName:
    """The name of a stored session, read.

    Args:
        key: The item's name.
        kind: The API action that made it, e.g. ``sts.AssumeRole``.
        profile: The profile whose step it is.
        serial: The MFA device that was used, or empty.
        expires_at: Epoch seconds.
    """

    __slots__ = ("expires_at", "key", "kind", "profile", "serial")

    def __init__(self, key: str, kind: str, profile: str, serial: str, expires_at: int) -> None:
        self.key = key
        self.kind = kind
        self.profile = profile
        self.serial = serial
        self.expires_at = expires_at

    @classmethod
    def of(cls, kind: str, profile: str, serial: str, expires_at: int) -> SessionName:
        """The name for a new session."""
        key = f"{kind},{encode(profile)},{encode(serial)},{expires_at}"
        return cls(key, kind, profile, serial, expires_at)

    @classmethod
    def read(cls, key: str) -> SessionName | None:
        """Read an item's name; None when it is not that of a session."""
        parts = key.split(",")
        if len(parts) != 4 or not (parts[0] and parts[1] and parts[3].isascii() and parts[3].isdigit()):
            return None
        expires_at = int(parts[3][:LONGEST_EXPIRY])
        if expires_at > LATEST_EXPIRY:
            return None
        try:
            return cls(key, parts[0], decode(parts[1]), decode(parts[2]), expires_at)
        except ValueError:
            return None


def kind_of(key: str) -> str:
    """What the item named *key* is: `CREDENTIAL`, `SESSION`, `OLD_SESSION` or `TOKEN`."""
    if key.startswith(_OIDC):
        return TOKEN
    # The first half spares the thousands of names that cannot match the second.
    if (key.startswith(("session,", "session:")) or key.endswith(")")) and re.fullmatch(_OLD_NAMES, key):
        return OLD_SESSION
    return SESSION if SessionName.read(key) else CREDENTIAL


def is_key(key: str) -> bool:
    """Whether the item named *key* is a long-term key."""
    return kind_of(key) == CREDENTIAL


class Vault:
    """Keys and sessions over a keystore, which is listed once unless `refresh` is called.

    Args:
        keystore: Where the items are.
        min_ttl_seconds: A session with less than this left is not used.
        now: The clock, epoch seconds.
    """

    def __init__(
        self,
        keystore: Keystore,
        *,
        min_ttl_seconds: int = MIN_TTL_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.keystore = keystore
        self.min_ttl_seconds = min_ttl_seconds
        self.now = now
        self._listing: Mapping[str, float | None] | None = None
        # Long-term keys that were opened: a store is asked once for each.
        self._keys: dict[str, Credentials] = {}
        # When long-term keys had last been changed as the work with them began: see `keep`.
        self._began_with: dict[str, float | None] = {}

    @property
    def listing(self) -> Mapping[str, float | None]:
        """Item name -> when it was last changed, as of the last look."""
        if self._listing is None:
            self._listing = self.keystore.listing()
        return self._listing

    def refresh(self) -> None:
        """Forget the listing: the next look asks the store again."""
        self._listing = None

    def credentials(self) -> list[str]:
        """The names of the stored long-term keys, sorted."""
        return sorted(key for key in self.listing if kind_of(key) == CREDENTIAL)

    def sessions(self) -> list[SessionName]:
        """The stored sessions, expired ones too, sorted by name."""
        names = (SessionName.read(key) for key in sorted(self.listing) if kind_of(key) == SESSION)
        return [name for name in names if name]

    def tokens(self) -> list[str]:
        """The names of the stored Identity Center tokens, sorted."""
        return sorted(key for key in self.listing if kind_of(key) == TOKEN)

    def old_sessions(self) -> list[str]:
        """The names of sessions that versions of aws-vault before 5 wrote; nobody reads them."""
        return sorted(key for key in self.listing if kind_of(key) == OLD_SESSION)

    # Long-term keys

    def begin(self, master: str) -> None:
        """Note in what state the long-term key of *master* is, before anything is made from it."""
        self._began_with[master] = self.listing.get(master)

    def key(self, profile: str) -> Credentials:
        """The long-term key of *profile*, opened once.

        Raises:
            ItemNotFound: There is none.
            ItemDamaged: What is stored is not an access key.
            KeystoreLocked: Wrong or no passphrase.
        """
        if profile in self._keys:
            return self._keys[profile]
        data = self.keystore.get(profile).data
        try:
            fields = json.loads(data)
            access_key_id, secret_access_key = fields["AccessKeyID"], fields["SecretAccessKey"]
        except (ValueError, KeyError, TypeError, RecursionError):
            access_key_id = secret_access_key = None
        if not (access_key_id and isinstance(access_key_id, str) and isinstance(secret_access_key, str)):
            raise ItemDamaged(
                profile,
                f"what is stored for profile {profile!r} is not an access key",
                f"store the key again with `strongroom add {profile}`",
            )
        self._keys[profile] = Credentials(access_key_id, secret_access_key)
        return self._keys[profile]

    def store_key(self, profile: str, key: Credentials) -> None:
        """Store a long-term key in place of what was there."""
        fields = {
            "AccessKeyID": key.access_key_id,
            "SecretAccessKey": key.secret_access_key,
            "SessionToken": "",
            "Source": "",
            "CanExpire": False,
            "Expires": "0001-01-01T00:00:00Z",
            "AccountID": "",
        }
        data = go_json(fields).encode()
        self.keystore.set(Item(profile, data, label=f"aws-vault ({profile})", not_trust_application=True))
        self._keys.pop(profile, None)
        self.refresh()

    # Sessions

    def candidates(self, step: Step) -> list[SessionName]:
        """Sessions that may serve *step*, going by their names: the one that lasts longest first.

        For a role, the code of a device may have been sent with AssumeRole or with the step before: either way it is
        proved, so both are looked at. Those of a narrowed step are in `strongroom.narrowed`.
        """
        if step.kind in NOT_KEPT or step.narrowing is not None:
            return []
        serials = {step.slot}
        if step.kind == ASSUME_ROLE:
            serials |= {str(step.fingerprint.get("serial", "")), ""}
        prefix = f"{step.kind},{encode(step.profile.name)},"
        slots = tuple(f"{prefix}{encode(serial)}," for serial in serials)
        soonest = self.now() + self.min_ttl_seconds
        names = (SessionName.read(key) for key in self.listing if key.startswith(slots))
        fresh = [name for name in names if name and name.expires_at >= soonest]
        return sorted(fresh, key=lambda name: -name.expires_at)

    def session(self, step: Step, master: str) -> Credentials | None:
        """Stored credentials that *step* would get, or None. What cannot be read is a miss.

        Args:
            step: One whose credentials are kept.
            master: The profile whose long-term key the plan begins with; empty if it begins with something else.

        Raises:
            KeystoreLocked: The passphrase opens neither the session nor the long-term key.
        """
        for name in self.candidates(step):
            try:
                fields = json.loads(self.keystore.get(name.key).data)
                credentials = Credentials.from_sts(fields)
            except KeystoreLocked:
                # A store may hold items under several passphrases. If this one opens the key, the session is just a
                # miss; if it does not, that is what the user should hear.
                if not master:
                    raise
                self.key(master)
                continue
            except (KeystoreError, ValueError, AttributeError, RecursionError):
                continue
            if (credentials.expiration or 0) < self.now() + self.min_ttl_seconds:
                continue
            made_for = fields.get("Strongroom")
            if not isinstance(made_for, dict):
                fits = name.serial == step.slot  # made by aws-vault, which does not say more
            else:
                fits = self._fits(made_for, self.listing.get(name.key), step, master)
            if fits:
                return credentials
        return None

    def seen(self, step: Step) -> dict[str, float | None]:
        """The names of the sessions that may serve *step*, and when each was last changed."""
        return {name.key: self.listing[name.key] for name in self.candidates(step)}

    def _fits(self, made_for: dict[str, object], made_at: float | None, step: Step, master: str) -> bool:
        """Whether what a session was made for, and when, is what *step* asks for."""
        if made_for.get("fingerprint") != step.fingerprint:
            return False
        lifetime = made_for.get("lifetime")
        if not isinstance(lifetime, int) or lifetime < step.wanted_seconds:
            return False
        if not master:
            return "key" not in made_for
        changed_at = self.listing.get(master)
        is_same = made_for.get("from") == master
        if is_same and made_at is not None and changed_at is not None and changed_at < made_at:
            return True  # the key has not changed since, so there is no need to open it
        return bool(made_for.get("key") == self.key(master).access_key_id)

    def keep(self, step: Step, credentials: Credentials, master: str) -> None:
        """Store the session that *step* got, in place of older ones of the same kind, profile and device.

        Nothing is stored if the long-term key has been replaced since the work began: the next command would take the
        session for one of the new key. Expired sessions of all profiles are swept on the way.

        Raises:
            KeystoreError: The session could not be stored.
        """
        fields = self._fields(step, credentials, master)
        if self._was_replaced(master):
            return
        name = SessionName.of(step.kind, step.profile.name, step.slot, int(credentials.expiration or 0))
        label = f"aws-vault session for {step.profile.name} (expires {show_time(name.expires_at)})"
        data = go_json(fields).encode()
        # The new one first: whoever looks in between finds one of them.
        self.keystore.set(Item(name.key, data, label=label, description="aws-vault session"))
        slot = name.key.rpartition(",")[0] + ","
        self.sweep(key for key in self.listing if key.startswith(slot) and key != name.key)
        self.refresh()

    def _fields(self, step: Step, credentials: Credentials, master: str) -> dict[str, object]:
        """What is stored of a session: its keys, and what it was made for."""
        made_with = {"key": self.key(master).access_key_id, "from": master} if master else {}
        # Of the lifetime, what was asked for: whoever asks for as much would get no more than this.
        made_for = {"fingerprint": step.fingerprint, **made_with, "lifetime": step.duration_seconds}
        return {**credentials.sts_fields(), "Strongroom": made_for}

    def _was_replaced(self, master: str) -> bool:
        """Whether the long-term key is another one than when the work began."""
        self.refresh()
        return bool(master) and self.listing.get(master) != self._began_with.get(master)

    # Tokens of IAM Identity Center

    def token(self, start_url: str) -> dict[str, object] | None:
        """The stored access token of *start_url*, as aws-vault's JSON has it; None if there is none that can be read.

        Raises:
            KeystoreLocked: Wrong or no passphrase.
            PromptError: The passphrase could not be asked.
        """
        try:
            fields = json.loads(self.keystore.get(_OIDC + start_url).data)
        except KeystoreLocked:
            raise
        except (KeystoreError, ValueError, RecursionError):
            return None
        return fields if isinstance(fields, dict) else None

    def token_changed_at(self, start_url: str) -> float | None:
        """When the stored access token was last written, without opening it; None if there is none.

        A store that does not know when says 0.
        """
        self.refresh()
        key = _OIDC + start_url
        return (self.listing[key] or 0.0) if key in self.listing else None

    def keep_token(self, start_url: str, fields: Mapping[str, object]) -> None:
        """Store an access token in place of the one that is there.

        Raises:
            KeystoreError: It could not be stored; an older one is intact.
        """
        label = f"aws-vault oidc token for {start_url} (expires {fields.get('Expiration')})"
        data = go_json(dict(fields)).encode()
        self.keystore.set(Item(_OIDC + start_url, data, label=label, description="aws-vault oidc token"))
        self.refresh()

    def remove_token(self, start_url: str) -> None:
        """Remove the stored access token.

        Raises:
            ItemNotFound: There is none.
            KeystoreError: It could not be removed.
        """
        self.keystore.remove(_OIDC + start_url)
        self.refresh()

    def sweep(self, others: Iterable[str] = ()) -> None:
        """Remove sessions that have expired or that nobody reads, and *others*; a failure to do so is no error."""
        now = self.now()
        expired = [name.key for name in self.sessions() if name.expires_at <= now]
        for key in dict.fromkeys([*expired, *self.old_sessions(), *others]):
            try:
                self.keystore.remove(key)
            except KeystoreError:
                continue

    def remove(self, keys: Iterable[str]) -> int:
        """Remove items; one that another process has removed meanwhile is not counted.

        Returns:
            How many were removed.

        Raises:
            KeystoreError: An item could not be removed.
        """
        removed = 0
        for key in keys:
            try:
                self.keystore.remove(key)
                removed += 1
            except ItemNotFound:
                continue
        self.refresh()
        return removed


def encode(text: str) -> str:
    """A part of an item's name: URL-safe base64, unpadded, so that no comma is in it."""
    data = text.encode("utf-8", "surrogateescape")
    return binascii.b2a_base64(data, newline=False).decode().rstrip("=").replace("+", "-").replace("/", "_")


def decode(text: str) -> str:
    """What `encode` was given.

    Raises:
        ValueError: It is not unpadded URL-safe base64.
    """
    if "+" in text or "/" in text or "=" in text or len(text) % 4 == 1:
        raise ValueError("not unpadded URL-safe base64")
    padded = text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4)
    return binascii.a2b_base64(padded, strict_mode=True).decode("utf-8", "surrogateescape")
