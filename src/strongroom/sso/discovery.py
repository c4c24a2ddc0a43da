"""What there is for whoever has signed in: the accounts, and the roles in each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from strongroom.aws import sso
from strongroom.errors import AwsRefused, AwsUnreachable
from strongroom.sso import token
from strongroom.sso.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.profiles import Profile
    from strongroom.sso import SsoWorld

# https://docs.aws.amazon.com/singlesignon/latest/APIReference/API_Account.html and API_PermissionSet.html
_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ROLE_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]{1,64}")

# How the portal says that an account is not, or no longer, for who asks.
_NOT_THEIRS = (403, 404)


@dataclass(frozen=True, order=True)
class Role:
    """A role that somebody may use; *account_name* and *email* are what people wrote, or empty."""

    account_name: str
    account_id: str
    role_name: str
    email: str = ""


@dataclass(frozen=True)
class Discovered:
    """What was found.

    Args:
        roles: All roles, sorted by account.
        refused: Account id -> why its roles are not among them.
    """

    roles: tuple[Role, ...]
    refused: Mapping[str, str]


def discover(profile: Profile, world: SsoWorld, report: Callable[[int, int], object]) -> Discovered:
    """Ask for all accounts and roles, after signing in if need be.

    Args:
        profile: Where to sign in.
        world: The surroundings.
        report: Told of how many accounts the roles are known, and of how many there are.

    Raises:
        ProfileIncomplete: The profile does not say where to sign in.
        PromptDismissed: The human declined to sign in.
        PromptFailed: The human did not come to sign in.
        AwsError: A call failed.
    """
    portal = sso.Portal(Session.of(profile).endpoint, sleep=world.sleep)
    # What is known stays known if a token ends in between.
    roles: dict[str, list[Role]] = {}
    refused: dict[str, str] = {}

    def call(access_token: str) -> None:
        accounts = {_account_id(fields): fields for fields in portal.list_accounts(access_token)}
        for account_id, fields in accounts.items():
            report(len(roles) + len(refused), len(accounts))
            if account_id in roles or account_id in refused:
                continue
            try:
                found = [_role_name(each) for each in portal.list_account_roles(access_token, account_id)]
            except AwsRefused as error:
                if error.status not in _NOT_THEIRS:
                    raise
                refused[account_id] = error.message
                continue
            name, email = _told(fields, "accountName"), _told(fields, "emailAddress")
            roles[account_id] = [Role(name, account_id, role_name, email) for role_name in dict.fromkeys(found)]
        report(len(accounts), len(accounts))

    token.with_token(profile, world, call)
    return Discovered(tuple(sorted(role for each in roles.values() for role in each)), refused)


def _account_id(fields: Mapping[str, object]) -> str:
    value = fields.get("accountId")
    if not (isinstance(value, str) and _ACCOUNT_ID.fullmatch(value)):
        raise AwsUnreachable("sso ListAccounts was answered without a usable accountId", "check endpoint_url")
    return value


def _role_name(fields: Mapping[str, object]) -> str:
    value = fields.get("roleName")
    if not (isinstance(value, str) and _ROLE_NAME.fullmatch(value)):
        raise AwsUnreachable("sso ListAccountRoles was answered without a usable roleName", "check endpoint_url")
    return value


def _told(fields: Mapping[str, object], member: str) -> str:
    """What people wrote, on one line; half a character or a command to a terminal is none."""
    value = fields.get(member)
    text = value if isinstance(value, str) else ""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
