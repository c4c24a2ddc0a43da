"""The IAM user whose key is stored, and calls about that user's keys: patient where that helps, with one MFA code.

AWS learns of a new key by and by, and one of its machines may know it while the next does not:
https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol, TypeVar

from strongroom.aws import iam, sts
from strongroom.durations import show_age
from strongroom.errors import AwsError, AwsRefused, AwsUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

    from strongroom.aws.client import Endpoint
    from strongroom.credentials import Credentials

T = TypeVar("T")

# How often in a row a new key must answer, and how far apart: one answer comes from one of AWS's many machines.
PROOFS = 4
PROOF_PAUSE_SECONDS = 1.0
# AWS speaks of seconds; programs that wait for 10 to 20 fail now and then.
PROOF_PATIENCE_SECONDS = 90.0
# For calls that meet an AWS that is busy, or away, or does not know the new key everywhere yet.
CALL_PATIENCE_SECONDS = 30.0
FIRST_PAUSE_SECONDS, PAUSE_GROWTH, LONGEST_PAUSE_SECONDS = 1.0, 1.5, 5.0

NO_SUCH_KEY = "NoSuchEntity"
QUOTA_REACHED = "LimitExceeded"
DENIED = {"AccessDenied", "AccessDeniedException"}
# What AWS says of a key or session that it does not know, no longer or not yet.
UNKNOWN_SIGNER = {"InvalidClientTokenId", "ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException"}
# What AWS says when the same call may do a moment later.
BUSY = {
    "ConcurrentModification",
    "EntityTemporarilyUnmodifiable",
    "InternalFailure",
    "RequestLimitExceeded",
    "ServiceFailure",
    "ServiceUnavailable",
    "Throttling",
    "ThrottlingException",
}


class World(Protocol):
    """What a rotation needs of its surroundings."""

    iam: Endpoint
    sts: Endpoint

    def credentials(self) -> Credentials:
        """Credentials of the user whose key is stored: a session that proves MFA if there is a device, else the key.

        Raises:
            StrongroomError: They cannot be had.
        """

    def session(self, key: Credentials, why: str) -> Credentials:
        """A new session from *key*, after AWS refused the first one; the human is told *why*.

        Raises:
            StrongroomError: It cannot be had.
        """

    def forget_sessions(self, names: Iterable[str]) -> None:
        """Remove the stored sessions that were made from the keys of these profiles, whoever made them.

        Raises:
            KeystoreError: They cannot be removed.
        """

    def confirm(self, question: str, *, beforehand: bool) -> bool:
        """Ask the human; *beforehand*: whether a yes that was given on the command line counts.

        Raises:
            PromptUnavailable: Nobody can be asked.
        """

    def say(self, line: str) -> None:
        """Tell how it goes."""

    def warn(self, message: str) -> None:
        """Say that something is not as it should be, and that we go on."""


class Owner:
    """The user whose key is stored.

    Args:
        world: The surroundings.
        stored_key: Reads the stored key.
        pause: How to wait, seconds.
        clock: What patience is measured by, seconds.
        now: The time of day, epoch seconds.

    Attributes:
        arn: The user's; empty until `identify` or a journal tells.
        new_key: The new key, once it is the stored one: without MFA, it signs from then on.
    """

    def __init__(
        self,
        world: World,
        stored_key: Callable[[], Credentials],
        *,
        pause: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.world = world
        self.stored_key = stored_key
        self.pause = pause
        self.clock = clock
        self.now = now
        self.arn = ""
        self.new_key: Credentials | None = None
        self._session: Credentials | None = None
        self._renewed = False

    def identify(self) -> str:
        """Learn, and return, the user's ARN.

        Raises:
            StrongroomError: AWS does not know the key, or cannot be asked.
        """
        self.arn = self._call(lambda signer: sts.caller_arn(self.world.sts, signer))
        return self.arn

    def list_keys(self) -> tuple[iam.AccessKey, ...]:
        """The user's keys.

        Raises:
            AwsError: The call failed.
        """
        return self._call(lambda signer: iam.list_access_keys(self.world.iam, signer, self._name))

    def make_key(self) -> Credentials:
        """Make a key; once more only after AWS has said no, for else there could be a second key.

        Raises:
            AwsError: The call failed; unless AWS said no, a key may have been made.
        """
        return self._call(lambda signer: iam.create_access_key(self.world.iam, signer, self._name), is_harmless=False)

    def switch_off(self, key_id: str) -> bool:
        """Make a key inactive; tells whether it is there.

        Raises:
            AwsError: The call failed.
        """
        try:
            self._call(
                lambda signer: iam.update_access_key(self.world.iam, signer, key_id, self._name, active=False),
            )
        except AwsRefused as error:
            if error.code != NO_SUCH_KEY:
                raise
            return False
        return True

    def delete(self, key_id: str, *, just_made: bool = False) -> None:
        """Delete a key; one that is gone already is deleted, one that was *just made* may not be known yet.

        Raises:
            AwsError: The call failed for good.
        """
        try:
            self._call(
                lambda signer: iam.delete_access_key(self.world.iam, signer, key_id, self._name),
                busy=BUSY | {NO_SUCH_KEY} if just_made else BUSY,
            )
        except AwsRefused as error:
            if error.code != NO_SUCH_KEY or just_made:
                raise

    def prove(self, key: Credentials) -> str:
        """Use a key until it has answered several times in a row, or patience ends; returns the ARN that it is of.

        Raises:
            AwsError: It does not work, and may not work yet.
        """
        in_a_row, pauses, deadline = 0, _pauses(), self.clock() + PROOF_PATIENCE_SECONDS
        while True:
            try:
                arn = sts.caller_arn(self.world.sts, key)
            except (AwsRefused, AwsUnreachable):
                in_a_row = 0
                if self.clock() >= deadline:
                    raise
                self.pause(next(pauses))
                continue
            in_a_row += 1
            if in_a_row == PROOFS:
                return arn
            self.pause(PROOF_PAUSE_SECONDS)

    def last_used(self, key_id: str) -> float | None:
        """When a key was last used, epoch seconds; None if never.

        Raises:
            AwsError: The call failed.
        """
        return self._call(lambda signer: iam.get_access_key_last_used(self.world.iam, signer, key_id))

    def describe(self, key: iam.AccessKey) -> str:
        """A key for people who must decide about it: ``****************ABCD (inactive, made 400 days ago, ...)``."""
        parts = ["active" if key.is_active else "inactive"]
        if key.created_at is not None:
            parts.append(f"made {show_age(self.now() - key.created_at)} ago")
        try:
            last_used = self.last_used(key.access_key_id)
        except AwsError:
            parts.append("last use unknown")
        else:
            parts.append("never used" if last_used is None else f"last used {show_age(self.now() - last_used)} ago")
        return f"{shown_id(key.access_key_id)} ({', '.join(parts)})"

    @property
    def _name(self) -> str:
        # The root user has keys too, and no name.
        return iam.user_of(self.arn)

    def _call(self, call: Callable[[Credentials], T], *, is_harmless: bool = True, busy: Container[str] = BUSY) -> T:
        """Make a call with the user's credentials.

        Args:
            call: What to do with them.
            is_harmless: Whether it may be made again although AWS may have done it.
            busy: The codes that say so.
        """
        deadline, pauses = self.clock() + CALL_PATIENCE_SECONDS, _pauses()
        while True:
            signer = self._signer()
            try:
                return call(signer)
            except AwsRefused as error:
                unknown = error.code in UNKNOWN_SIGNER
                if unknown and signer.session_token and not self._renewed:
                    self._renew()
                    continue
                may_do_later = error.code in busy or (unknown and signer == self.new_key)
                is_undone = error.status < 500
                if not (may_do_later and (is_undone or is_harmless)) or self.clock() >= deadline:
                    raise
            except AwsUnreachable:
                if not is_harmless or self.clock() >= deadline:
                    raise
            self.pause(next(pauses))

    def _signer(self) -> Credentials:
        """The one session of this run, made when it is first needed; without MFA, the key that is good now."""
        if self._session is None:
            self._session = self.world.credentials()
        if self.new_key is not None and not self._session.session_token:
            return self.new_key
        return self._session

    def _renew(self) -> None:
        self._renewed = True
        why = "now that the old key is off" if self.new_key else "although it has not expired"
        self._session = self.world.session(
            self.new_key or self.stored_key(), f"AWS does not take the session any more, {why}: a new one is needed"
        )


def shown_id(access_key_id: str) -> str:
    """An access key id as aws-vault shows it: sixteen stars and the last four characters, none of a very short one."""
    return "*" * 16 + (access_key_id[-4:] if len(access_key_id) > 8 else "")


def _pauses() -> Iterator[float]:
    """Pauses between attempts, seconds: longer and longer, up to a limit."""
    length = FIRST_PAUSE_SECONDS
    while True:
        yield length
        length = min(length * PAUSE_GROWTH, LONGEST_PAUSE_SECONDS)
