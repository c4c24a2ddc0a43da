"""Replace a stored long-term key by a new one, so that no crash, refusal or delay leaves anybody without a key.

Each stage is noted in a journal, one of our own items, when it is done. Each can be done again.

===========  =============================================  ========================================================
noted        what has been done                             what comes next
===========  =============================================  ========================================================
planned      the user's keys were listed                    make a new key
created      the new key is in the journal, secret and all  prove it: it answers several times in a row
proved       the new key works                              store it in place of the old; forget the old's sessions
swapped      the stored key is the new one                  switch the old one off
deactivated  the old key is off                             delete it
deleted      the old key is gone                            remove the journal
===========  =============================================  ========================================================
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from strongroom.errors import (
    AwsError,
    AwsRefused,
    ItemNotFound,
    KeystoreError,
    PromptUnavailable,
    StrongroomError,
)
from strongroom.rotation.journal import CREATED, DEACTIVATED, DELETED, KIND, PLANNED, PROVED, SWAPPED, Journal
from strongroom.rotation.owner import DENIED, PROOFS, Owner, shown_id
from strongroom.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from strongroom.aws.iam import AccessKey
    from strongroom.credentials import Credentials
    from strongroom.own_items import OwnItems
    from strongroom.rotation.owner import World

# "A maximum of two": https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_KEYS = 2
QUOTA_REACHED = "LimitExceeded"

_RIGHTS = (
    "the user needs iam:ListAccessKeys, iam:CreateAccessKey, iam:UpdateAccessKey and iam:DeleteAccessKey; "
    "if a policy asks for MFA, set mfa_serial"
)


class RotationFailed(StrongroomError):
    """A rotation stopped; the hint says what is true now, and how to go on."""


class Found:
    """What a look at a user's keys finds. Immutable by convention.

    Args:
        key_id: The id of the stored key.
        keys: All keys of that user; None if AWS does not tell.
    """

    __slots__ = ("key_id", "keys")

    def __init__(self, key_id: str, keys: tuple[AccessKey, ...] | None) -> None:
        self.key_id = key_id
        self.keys = keys

    @property
    def created_at(self) -> float | None:
        """When the stored key was made, epoch seconds, as far as AWS tells."""
        return next((key.created_at for key in self.keys or () if key.access_key_id == self.key_id), None)

    @property
    def is_full(self) -> bool:
        """Whether the user has as many keys as AWS allows."""
        return len(self.keys or ()) >= MOST_KEYS


class Rotation:
    """The rotation of the key that is stored for one profile. Nobody else may be rotating it: take a lock first.

    Args:
        name: The profile.
        vault: Where the key is.
        own: Where the journal is.
        world: The surroundings.
        pause: How to wait, seconds.
        clock: What patience is measured by, seconds.
        now: The time of day, epoch seconds.
    """

    def __init__(
        self,
        name: str,
        vault: Vault,
        own: OwnItems,
        world: World,
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self.vault = vault
        self.own = own
        self.world = world
        self.owner = Owner(world, lambda: self._key(name), pause=pause, clock=clock, now=now)
        self._stages = {
            PLANNED: self._create,
            CREATED: self._prove,
            PROVED: self._swap,
            SWAPPED: self._switch_off,
            DEACTIVATED: self._delete,
        }

    # Before it begins

    def look(self) -> Found:
        """Look at the keys of the user whose key is stored. Changes nothing.

        Raises:
            StrongroomError: There is no key, or AWS does not answer.
        """
        key_id = self._key(self.name).access_key_id
        self.owner.identify()
        try:
            return Found(key_id, self.owner.list_keys())
        except AwsRefused as error:
            if error.code not in DENIED:
                raise
            self.world.warn(f"what a crash might leave could not be found again: {error.message}")
            return Found(key_id, None)

    def no_room(self, found: Found) -> RotationFailed:
        """Why there is no room for a new key, and what to do."""
        keys = found.keys or ()
        others = [key for key in keys if key.access_key_id != found.key_id]
        if any(not key.is_active for key in others):
            hint = f"`strongroom rotate --yes {self.name}` deletes the inactive one first"
        else:
            shown = " or ".join(shown_id(key.access_key_id) for key in others)
            hint = f"if nobody uses {shown} any more, deactivate it in IAM and rotate again: then it can be deleted"
        return RotationFailed(
            f"the user has {len(keys)} access keys, as many as AWS allows: "
            f"{' and '.join(self.owner.describe(key) for key in keys)}; {shown_id(found.key_id)} is the stored one",
            hint,
        )

    def make_room(self, found: Found) -> None:
        """See that there is room for a new key: an inactive one is deleted, after a question.

        Raises:
            RotationFailed: There is none.
            AwsError: The key could not be deleted.
        """
        if not found.is_full:
            return
        for key in found.keys or ():
            if key.access_key_id == found.key_id or key.is_active:
                continue
            if self._confirmed(f"Delete the inactive access key {self.owner.describe(key)}? (y|N) "):
                self.owner.delete(key.access_key_id)
                self.world.say(f"Deleted inactive access key {shown_id(key.access_key_id)}")
                return
        raise self.no_room(found)

    # The rotation

    def begin(self, found: Found) -> Journal:
        """Replace the key.

        Raises:
            RotationFailed: There is no room for a new one, or it stopped; then the journal knows where.
        """
        self.make_room(found)
        names = [self.name, *self._copies(found.key_id)]
        known = None if found.keys is None else [key.access_key_id for key in found.keys]
        journal = Journal(self.name, names=names, arn=self.owner.arn, old=found.key_id, known=known)
        self.own.put(KIND, self.name, journal.fields())
        return self._go_on(journal)

    def resume(self, journal: Journal) -> Journal | None:
        """Go on where another run stopped.

        Returns:
            The journal at its end; None if there is nothing to go on with, so that a new rotation may begin.

        Raises:
            RotationFailed: It stopped.
        """
        self.owner.arn = journal.arn
        stored = self._stored_id(journal.name)
        if stored not in {journal.old, journal.new_id}:
            self._drop_outdated(journal)
            return None
        if stored == journal.old and journal.stage in {SWAPPED, DEACTIVATED, DELETED}:
            journal = journal.at(CREATED)  # somebody has put the old key back: does the new one still work?
        if journal.stage == PLANNED:
            with self._explained(journal):
                self._remove_appeared(journal)
        return self._go_on(journal)

    def _go_on(self, journal: Journal) -> Journal:
        while journal.stage != DELETED:
            with self._explained(journal):
                following = self._stages[journal.stage](journal)
                if following.stage != CREATED:  # which has to be noted sooner
                    self.own.put(KIND, journal.name, following.fields())
            journal = following
        with self._explained(journal):
            self.own.remove(KIND, journal.name)
        self.world.say("Finished rotating access key")
        return journal

    def _create(self, journal: Journal) -> Journal:
        self.world.say("Creating a new access key")
        try:
            new = self.owner.make_key()
        except AwsRefused as error:
            if error.code != QUOTA_REACHED:
                if error.status < 500:  # else AWS may have made one all the same
                    self.own.remove(KIND, journal.name)
                raise
            # Lists lag behind: one that another run had made may be shown by now.
            if not self._remove_appeared(journal):
                raise
            new = self.owner.make_key()
        created = journal.at(CREATED, new)
        try:
            self.own.put(KIND, journal.name, created.fields())
        except StrongroomError as error:
            raise self._unmade(created, error) from error
        self.world.say(f"Created new access key {shown_id(new.access_key_id)}")
        return created

    def _unmade(self, journal: Journal, error: StrongroomError) -> RotationFailed:
        """The new key cannot be kept: delete it again, while it is known to be ours."""
        new = shown_id(journal.new_id)
        try:
            self.owner.delete(journal.new_id, just_made=True)
        except StrongroomError as other:
            return RotationFailed(
                f"{error.message}; so the secret of the new access key {new} is lost, and it could not be deleted "
                f"again: {other.message}",
                f"{self._still_old(journal)}; delete {new} in IAM, and rotate again",
            )
        with contextlib.suppress(KeystoreError):  # a journal that knows of no new key harms nobody
            self.own.remove(KIND, journal.name)
        return RotationFailed(
            f"{error.message}; the new access key {new} was deleted again",
            "; ".join(filter(None, [self._still_old(journal), error.hint])),
        )

    def _prove(self, journal: Journal) -> Journal:
        new = shown_id(journal.new_id)
        try:
            arn = self.owner.prove(journal.new_key)
        except AwsError as error:
            self._explain_unproved(journal)
            raise AwsError(f"the new access key {new} does not work, or not yet: {error.message}") from error
        if arn != journal.arn:
            raise AwsError(f"the new access key {new} is that of {arn}, not of {journal.arn}")
        self.world.say(f"The new access key works: it has answered {PROOFS} times in a row")
        return journal.at(PROVED)

    def _explain_unproved(self, journal: Journal) -> None:
        """Look whether the new key is still there, and on."""
        try:
            keys = {key.access_key_id: key for key in self.owner.list_keys()}
        except StrongroomError:
            return  # then the first failure is what is told
        new = shown_id(journal.new_id)
        if journal.new_id not in keys:
            self.own.remove(KIND, journal.name)
            raise RotationFailed(
                f"the new access key {new} is gone: somebody has deleted it in IAM",
                f"{self._still_old(journal)}; rotate again",
            )
        if not keys[journal.new_id].is_active:
            raise AwsError(f"the new access key {new} is inactive: somebody has switched it off in IAM")

    def _swap(self, journal: Journal) -> Journal:
        for name in journal.names:
            if self._stored_id(name) == journal.old:
                self.vault.store_key(name, journal.new_key)
        if self._key(journal.name) != journal.new_key:
            raise KeystoreError(f"what is stored for {journal.name!r} is not what was written")
        self.world.forget_sessions(journal.names)
        return journal.at(SWAPPED)

    def _switch_off(self, journal: Journal) -> Journal:
        self.owner.new_key = journal.new
        try:
            is_there = self.owner.switch_off(journal.old)
        except AwsRefused as error:
            if error.code not in DENIED:
                raise
            # The new key works and is stored, so that the old one goes at once is no loss.
            self.world.warn(f"the old access key is deleted without being switched off first: {error.message}")
            return self._delete(journal)
        if is_there:
            self.world.say(f"Deactivated old access key {shown_id(journal.old)}")
        return journal.at(DEACTIVATED)

    def _delete(self, journal: Journal) -> Journal:
        self.owner.new_key = journal.new
        self.world.say(f"Deleting old access key {shown_id(journal.old)}")
        try:
            self.owner.delete(journal.old)
        except AwsRefused as error:
            # Who may not delete a key is not told that it is gone, which somebody else may have seen to.
            if error.code not in DENIED or not self._is_gone(journal.old):
                raise
        self.world.say(f"Deleted old access key {shown_id(journal.old)}")
        return journal.at(DELETED)

    def _is_gone(self, key_id: str) -> bool:
        try:
            return key_id not in {key.access_key_id for key in self.owner.list_keys()}
        except AwsError:
            return False

    # What another run, or somebody else, has left

    def _remove_appeared(self, journal: Journal) -> bool:
        """Delete keys that are there since the journal began, after a question; tells whether there were any.

        One of them may be ours, made by a run that ended before it could write down which. Its secret is lost.
        """
        if journal.known is None:
            return False
        known = {*journal.known, journal.old}
        appeared = [key for key in self.owner.list_keys() if key.access_key_id not in known]
        for key in appeared:
            described = self.owner.describe(key)
            # One that has been used is somebody else's: of ours, nobody knows the secret.
            unused = self._is_unused(key.access_key_id)
            text = f"access key {described} has appeared since the rotation of {journal.name!r} began"
            if not self._confirmed(
                f"{text[0].upper()}{text[1:]}, and its secret is not known here. Delete it? (y|N) ", beforehand=unused
            ):
                delete = f"`strongroom rotate --resume --yes {journal.name}`" if unused else "in IAM, and rotate again"
                raise RotationFailed(
                    f"{text}, and its secret is not known here",
                    f"{self._still_old(journal)}; if nobody needs the other, delete it: {delete}",
                )
            self.owner.delete(key.access_key_id)
            self.world.say(f"Deleted access key {shown_id(key.access_key_id)}")
        return bool(appeared)

    def _is_unused(self, key_id: str) -> bool:
        try:
            return self.owner.last_used(key_id) is None
        except AwsError:
            return False

    def _drop_outdated(self, journal: Journal) -> None:
        """Forget a rotation whose stored key has been replaced, or removed, by somebody else meanwhile."""
        if journal.new is not None and journal.stage != DELETED:
            old, new = shown_id(journal.old), shown_id(journal.new_id)
            text = (
                f"the key stored for {journal.name!r} is neither {old}, which an interrupted rotation was to replace, "
                f"nor its new one, {new}"
            )
            question = f"{text[0].upper()}{text[1:]}. Forget that rotation, and the secret of {new}? (y|N) "
            if not self._confirmed(question):
                raise RotationFailed(
                    text,
                    f"see in IAM which keys there are; `strongroom rotate --resume --yes {journal.name}` forgets that "
                    f"rotation, and the secret of {new}",
                )
        self.own.remove(KIND, journal.name)

    def _confirmed(self, question: str, *, beforehand: bool = True) -> bool:
        try:
            return self.world.confirm(question, beforehand=beforehand)
        except PromptUnavailable:
            return False

    # The store

    def _key(self, name: str) -> Credentials:
        return Vault(self.vault.keystore).key(name)  # a new one: a vault opens a key once, and here they change

    def _stored_id(self, name: str) -> str:
        """The id of the key that is stored for a profile; empty if there is none."""
        try:
            return self._key(name).access_key_id
        except ItemNotFound:
            return ""

    def _copies(self, key_id: str) -> list[str]:
        """The other profiles that the same key is stored for."""
        found = []
        for name in self.vault.credentials():
            try:
                if name != self.name and self._stored_id(name) == key_id:
                    found.append(name)
            except KeystoreError as error:
                self.world.warn(f"whether {name!r} has the same key cannot be told: {error.message}")
        return found

    # What is true when it stops

    @contextlib.contextmanager
    def _explained(self, journal: Journal) -> Iterator[None]:
        """Whatever goes wrong, say what is true now and what to do."""
        try:
            yield
        except RotationFailed:
            raise
        except StrongroomError as error:
            raise RotationFailed(error.message, self._what_now(journal, error)) from error

    def _still_old(self, journal: Journal) -> str:
        return f"{journal.name!r} still has its key {shown_id(journal.old)}"

    def _what_now(self, journal: Journal, error: StrongroomError) -> str:
        denied = isinstance(error, AwsRefused) and error.code in DENIED
        if journal.stage == PLANNED and isinstance(error, AwsRefused) and error.status < 500:
            if error.code == QUOTA_REACHED:
                wait = "AWS counts a key that it does not list yet: wait a minute"
                return f"{self._still_old(journal)}; {wait}, then `strongroom rotate --resume {journal.name}`"
            return f"{self._still_old(journal)}, and nothing has changed" + (f"; {_RIGHTS}" if denied else "")
        advice = f"`strongroom rotate --resume {journal.name}` goes on from there"
        if denied and journal.stage in {SWAPPED, DEACTIVATED}:
            advice += f", once the user may do this or {shown_id(journal.old)} is deleted in IAM"
        return f"{self._truth(journal)}; {advice}"

    def _truth(self, journal: Journal) -> str:
        """Which key is stored, which is active."""
        if journal.stage == PLANNED:
            return f"{self._still_old(journal)}, and whether AWS has made another is not known"
        old, new = shown_id(journal.old), shown_id(journal.new_id)
        try:
            is_swapped = self._stored_id(journal.name) == journal.new_id
        except StrongroomError:
            is_swapped = journal.stage in {SWAPPED, DEACTIVATED, DELETED}
        if not is_swapped:
            return f"{self._still_old(journal)}, and the new one, {new}, is active too and kept in the vault"
        state = {DEACTIVATED: "inactive but not deleted", DELETED: "deleted"}.get(journal.stage, "still active")
        return f"{journal.name!r} has the new key {new}, which works, and the old one, {old}, is {state}"
