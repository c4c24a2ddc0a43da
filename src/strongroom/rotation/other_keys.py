"""The user's keys besides the stored one, left by somebody else or by a run that ended early. None goes unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom.errors import AwsError, PromptUnavailable
from strongroom.rotation.journal import DELETED
from strongroom.rotation.owner import shown_id
from strongroom.rotation.truth import RotationFailed, still_old

if TYPE_CHECKING:
    from strongroom.aws.iam import AccessKey
    from strongroom.rotation.journal import Journal
    from strongroom.rotation.owner import Owner, World

# "A maximum of two": https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
MOST_KEYS = 2


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


class OtherKeys:
    """Those of the user whose key is stored for a profile.

    Args:
        name: The profile.
        owner: The user.
        world: The surroundings.
    """

    def __init__(self, name: str, owner: Owner, world: World) -> None:
        self.name = name
        self.owner = owner
        self.world = world

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

    def remove_appeared(self, journal: Journal) -> bool:
        """Delete keys that are there since the journal began, after a question; tells whether there were any.

        One of them may be ours, made by a run that ended before it could write down which. Its secret is lost.

        Raises:
            RotationFailed: The answer was no.
            AwsError: One could not be deleted.
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
                    f"{still_old(journal)}; if nobody needs the other, delete it: {delete}",
                )
            self.owner.delete(key.access_key_id)
            self.world.say(f"Deleted access key {shown_id(key.access_key_id)}")
        return bool(appeared)

    def check_forgettable(self, journal: Journal) -> None:
        """Ask before a rotation is forgotten whose stored key somebody else has replaced, or removed, meanwhile.

        Raises:
            RotationFailed: The answer was no.
        """
        if journal.new is None or journal.stage == DELETED:
            return
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

    def _is_unused(self, key_id: str) -> bool:
        try:
            return self.owner.last_used(key_id) is None
        except AwsError:
            return False

    def _confirmed(self, question: str, *, beforehand: bool = True) -> bool:
        try:
            return self.world.confirm(question, beforehand=beforehand)
        except PromptUnavailable:
            return False
