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

from strongroom.errors import AwsError, AwsRefused, KeystoreError, StrongroomError
from strongroom.rotation.journal import CREATED, DEACTIVATED, DELETED, KIND, PLANNED, PROVED, SWAPPED, Journal
from strongroom.rotation.other_keys import Found, OtherKeys
from strongroom.rotation.owner import DENIED, PROOFS, QUOTA_REACHED, Owner, shown_id
from strongroom.rotation.stored import StoredKeys
from strongroom.rotation.truth import RotationFailed, explained, still_old

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.own_items import OwnItems
    from strongroom.rotation.owner import World
    from strongroom.vault import Vault


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
        self.stored = StoredKeys(vault)
        self.owner = Owner(world, lambda: self.stored.key(name), pause=pause, clock=clock, now=now)
        self.others = OtherKeys(name, self.owner, world)
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
        key_id = self.stored.key(self.name).access_key_id
        self.owner.identify()
        try:
            return Found(key_id, self.owner.list_keys())
        except AwsRefused as error:
            if error.code not in DENIED:
                raise
            self.world.warn(f"what a crash might leave could not be found again: {error.message}")
            return Found(key_id, None)

    # The rotation

    def begin(self, found: Found) -> Journal:
        """Replace the key.

        Raises:
            RotationFailed: There is no room for a new one, or it stopped; then the journal knows where.
        """
        self.others.make_room(found)
        names = [self.name, *self.stored.copies(self.name, found.key_id, self.world.warn)]
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
        stored = self.stored.key_id(journal.name)
        if stored not in {journal.old, journal.new_id}:
            self.others.check_forgettable(journal)
            self.own.remove(KIND, journal.name)
            return None
        if stored == journal.old and journal.stage in {SWAPPED, DEACTIVATED, DELETED}:
            journal = journal.at(CREATED)  # somebody has put the old key back: does the new one still work?
        if journal.stage == PLANNED:
            with explained(journal, self.stored):
                self.others.remove_appeared(journal)
        return self._go_on(journal)

    def _go_on(self, journal: Journal) -> Journal:
        while journal.stage != DELETED:
            with explained(journal, self.stored):
                following = self._stages[journal.stage](journal)
                if following.stage != CREATED:  # which has to be noted sooner
                    self.own.put(KIND, journal.name, following.fields())
            journal = following
        with explained(journal, self.stored):
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
            if not self.others.remove_appeared(journal):
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
                f"{still_old(journal)}; delete {new} in IAM, and rotate again",
            )
        with contextlib.suppress(KeystoreError):  # a journal that knows of no new key harms nobody
            self.own.remove(KIND, journal.name)
        return RotationFailed(
            f"{error.message}; the new access key {new} was deleted again",
            "; ".join(filter(None, [still_old(journal), error.hint])),
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
                f"{still_old(journal)}; rotate again",
            )
        if not keys[journal.new_id].is_active:
            raise AwsError(f"the new access key {new} is inactive: somebody has switched it off in IAM")

    def _swap(self, journal: Journal) -> Journal:
        for name in journal.names:
            if self.stored.key_id(name) == journal.old:
                self.vault.store_key(name, journal.new_key)
        if self.stored.key(journal.name) != journal.new_key:
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
