"""Roles that are assumed from a slot's credentials when somebody asks: those that were allowed, and so many at once.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html has what an ARN is made of.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from strongroom.endpoints.slot import Slot, Unavailable
from strongroom.patterns import compiled, fits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from strongroom.credentials import Credentials

# Roles whose sessions are kept, for one slot.
MOST_ROLES = 100

# Partition, account, path and name. AWS has the same lengths: 512 for a path, 64 for a name.
_ARN = re.compile(r"arn:aws(?:-[a-z]+)*:iam::([0-9]{12}):role/(?:[!-~]{1,511}/)?[A-Za-z0-9_+=,.@-]{1,64}")

_COLONS = 5


def account_of(role_arn: str) -> str | None:
    """The number of the account that a role is in; None for what is no role's ARN."""
    match = _ARN.fullmatch(role_arn)
    return match[1] if match else None


def fits_none(pattern: str) -> bool:
    """Whether no role's ARN can fit a pattern: it has five colons, and nothing in a pattern stands for one."""
    return pattern.count(":") < _COLONS


class Roles:
    """Slots of roles, made when they are asked for. The one that was not asked for the longest goes first.

    Args:
        base: Whose credentials assume them.
        assume: Assumes a role with these credentials: ``assume(credentials, role_arn)``; called in a thread.
        allowed: Patterns of ARNs: ``*`` stands for any characters but ``:``; letter case counts.
        limit: How many are kept.
    """

    def __init__(
        self,
        base: Slot,
        assume: Callable[[Credentials, str], Credentials],
        allowed: Collection[str],
        *,
        limit: int = MOST_ROLES,
    ) -> None:
        self._base = base
        self._assume = assume
        self._allowed = compiled(allowed)
        self._limit = limit
        self._slots: OrderedDict[str, RoleSlot] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slots)

    def allows(self, role_arn: str) -> bool:
        """Whether a role may be assumed for whoever asks."""
        return account_of(role_arn) is not None and fits(self._allowed, role_arn)

    def slot(self, role_arn: str) -> Slot:
        """The slot of a role that is allowed."""
        slot = self._slots.get(role_arn)
        if slot is None:
            slot = self._slots[role_arn] = RoleSlot(self._base, role_arn, self._assume)
        self._slots.move_to_end(role_arn)
        if len(self._slots) > self._limit:
            self._slots.popitem(last=False)
        return slot

    def tick(self) -> None:
        """Drop what has expired, and renew what is in use."""
        for role_arn, slot in list(self._slots.items()):
            if slot.is_idle:
                del self._slots[role_arn]
            elif slot.is_used:
                slot.tick()

    async def close(self) -> None:
        """Hand out nothing more."""
        for slot in self._slots.values():
            await slot.close()
        self._slots.clear()


class RoleSlot(Slot):
    """A role's credentials.

    Args:
        base: Whose credentials assume it; it lends its pool, its log and its clocks too.
        role_arn: The role.
        assume: As in `Roles`.
    """

    def __init__(self, base: Slot, role_arn: str, assume: Callable[[Credentials, str], Credentials]) -> None:
        super().__init__(
            role_arn,
            _never,
            pool=base.pool,
            log=base.log,
            renewed=base.renewed,
            now=base.now,
            clock=base.clock,
            jitter=base.jitter,
        )
        self._base = base
        self._role_arn = role_arn
        self._assume = assume

    async def _obtain(self) -> Credentials | Unavailable:
        try:
            source = await self._base.get()
        except Unavailable as unavailable:
            return unavailable
        return await self._in_thread(partial(self._assume, source, self._role_arn))


def _never() -> Credentials:
    raise AssertionError
