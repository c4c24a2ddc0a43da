"""Which steps lead to a profile's credentials: decided here, purely, and done in `strongroom.providers`.

A plan is a tuple of steps. The first brings credentials from somewhere: a stored long-term key, IAM Identity Center, a
web identity, a program, the machine; each next one asks STS with the credentials of the one before. Each step says why
it is there, so that ``strongroom explain`` can.

What AWS makes of these calls, and so what the rules below follow:

* GetSessionToken wants a long-term key: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html
* A role that another role assumes lasts an hour at most, and a role's session proves no MFA:
  https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_terms-and-concepts.html (role chaining)
"""

from __future__ import annotations

import binascii

from strongroom.durations import show
from strongroom.errors import NoCredentials, ProfileIncomplete

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

    from strongroom.profiles import Profile

KEY = "key"
SESSION_TOKEN = "sts.GetSessionToken"  # noqa: S105 - the name of an API action, and of stored items
ASSUME_ROLE = "sts.AssumeRole"
SSO_ROLE = "sso.GetRoleCredentials"
WEB_IDENTITY = "sts.AssumeRoleWithWebIdentity"
PROCESS = "credential_process"
SOURCE = "credential_source"
LOGIN_SESSION = "login_session"

# Whose credentials are a role's: a role that is assumed with them is chained, and they prove no MFA.
_ROLES = (ASSUME_ROLE, SSO_ROLE, WEB_IDENTITY)
# Whose credentials others keep: storing them would only make them old.
NOT_KEPT = (KEY, SOURCE, LOGIN_SESSION)

ROLE_SECONDS = 3600
SESSION_TOKEN_SECONDS = 3600
CHAINED_SESSION_TOKEN_SECONDS = 8 * 3600
ROLE_CHAINING_LIMIT_SECONDS = 3600

# Where a profile without a stored key or a source may have its credentials from, the first that is set counts:
# field -> kind of step.
_ROOTS = {
    "sso_start_url": SSO_ROLE,
    "sso_session": SSO_ROLE,
    "web_identity_token_file": WEB_IDENTITY,
    "web_identity_token_process": WEB_IDENTITY,
    "credential_process": PROCESS,
    "credential_source": SOURCE,
    "login_session": LOGIN_SESSION,
}

_PARTITIONS = (
    ("cn-", "aws-cn"),
    ("us-gov-", "aws-us-gov"),
    ("eusc-", "aws-eusc"),
    ("us-isob-", "aws-iso-b"),
    ("us-isof-", "aws-iso-f"),
    ("eu-isoe-", "aws-iso-e"),
    ("us-iso-", "aws-iso"),
)


class Narrowing:
    """What one run asks for beside what the profile says, of the last session of its plan. Immutable by convention.

    Args:
        owner: The profile by which it was asked for: with ``--role``, the source.
        flags: The flags that ask for it, with their dashes.
        policy: A session policy, JSON, or empty.
        policy_arns: Managed policies that are session policies, too.
    """

    __slots__ = ("flags", "owner", "policy", "policy_arns")

    def __init__(
        self, owner: str, flags: tuple[str, ...], *, policy: str = "", policy_arns: tuple[str, ...] = ()
    ) -> None:
        self.owner = owner
        self.flags = flags
        self.policy = policy
        self.policy_arns = policy_arns


class Step:
    """One step of a plan. Immutable by convention: made by `plan` or `strongroom.narrowing`, never changed.

    Args:
        kind: `KEY`, `SESSION_TOKEN`, ...; also the type in a stored item's name.
        profile: The profile whose step it is; its settings are what is sent.
        serial: The MFA device whose code is sent with this step, or empty.
        duration_seconds: The lifetime that is asked of AWS; 0 for a key.
        wanted_seconds: The lifetime that a flag, a variable or the config asks for; 0 when it is a default.
        fingerprint: What decides whether stored credentials are the ones this step would get, the long-term key's
            id apart, which is known only when that key is read.
        reason: Why this step is taken, one sentence.
        notes: What the user should know when this step is taken.
        slot: The third part of a stored item's name: the device, or for Identity Center the start URL.
        narrowing: What the session is narrowed to for one run; such a session is kept in a place of its own, and
            *slot* tells it from others.
    """

    __slots__ = (
        "duration_seconds",
        "fingerprint",
        "kind",
        "narrowing",
        "notes",
        "profile",
        "reason",
        "serial",
        "slot",
        "wanted_seconds",
    )

    def __init__(
        self,
        kind: str,
        profile: Profile,
        reason: str,
        *,
        serial: str = "",
        duration_seconds: int = 0,
        wanted_seconds: int = 0,
        fingerprint: dict[str, object] | None = None,
        notes: tuple[str, ...] = (),
        slot: str = "",
        narrowing: Narrowing | None = None,
    ) -> None:
        self.kind = kind
        self.narrowing = narrowing
        self.slot = slot or serial
        self.profile = profile
        self.reason = reason
        self.serial = serial
        self.duration_seconds = duration_seconds
        self.wanted_seconds = wanted_seconds
        self.fingerprint = fingerprint or {}
        self.notes = notes

    def __repr__(self) -> str:
        serial = f" with {self.serial}" if self.serial else ""
        return f"<Step {self.kind} {self.profile.name!r} {self.duration_seconds}s{serial}>"


def plan(profile: Profile, stored: Container[str], *, no_session: bool = False) -> tuple[Step, ...]:
    """Decide the steps that lead to the credentials of *profile*.

    Args:
        profile: The target, resolved.
        stored: The names of the profiles that have a long-term key in the keystore.
        no_session: Never call GetSessionToken.

    Returns:
        At least one step; the first, and no other, needs no credentials.

    Raises:
        NoCredentials: Neither the profile nor one of its sources has a key or names another source.
        ProfileIncomplete: A source is named, and something that it needs is not.
    """
    chain = _chain(profile, stored)
    is_stored = chain[0].name in stored
    root = _root(chain[0], chain[1] if len(chain) > 1 else None, is_stored=is_stored)
    walk = _Walk(chain, root, no_session=no_session)
    for index in range(len(chain)):
        walk.visit(index)
    return tuple(walk.steps)


def partition(region: str | None) -> str:
    """The partition that *region* belongs to, by the prefixes that AWS has given out so far."""
    for prefix, name in _PARTITIONS:
        if (region or "").startswith(prefix):
            return name
    return "aws"


def _chain(profile: Profile, stored: Container[str]) -> list[Profile]:
    """The profiles from the one whose stored key is used out to the target."""
    chain = [profile]
    while chain[0].name not in stored and chain[0].source is not None:
        chain.insert(0, chain[0].source)
    return chain


def _root(profile: Profile, named_by: Profile | None, *, is_stored: bool) -> Step:
    """The first step."""
    name = profile.name
    if is_stored:
        return Step(KEY, profile, f"a long-term key is stored for profile {name!r}")
    field = next((field for field in _ROOTS if getattr(profile, field)), "")
    if profile.role_arn and profile.credential_source and not profile.web_identity_token_file:
        field = "credential_source"  # as in AWS's own programs: what a role_arn is assumed with comes first
    if not field:
        raise _no_source(profile, named_by)
    kind = _ROOTS[field]
    where = profile.origins.get(field, "the config file")
    wanted = (profile.assume_role_duration or 0) if kind == WEB_IDENTITY else 0
    if kind == WEB_IDENTITY and not profile.role_arn:
        raise ProfileIncomplete(name, "role_arn", f"profile {name!r} has a {field} and no role_arn", "set role_arn")
    return Step(
        kind,
        profile,
        f"profile {name!r} names its source: {field} ({where})",
        duration_seconds=(wanted or ROLE_SECONDS) if kind == WEB_IDENTITY else 0,
        wanted_seconds=wanted,
        fingerprint=_root_fingerprint(kind, profile),
        slot=(profile.sso_start_url or "") if kind == SSO_ROLE else "",
    )


def _root_fingerprint(kind: str, profile: Profile) -> dict[str, object]:
    """What the credentials of a first step depend on, as `_Walk._fingerprint` has it."""
    fields: dict[str, object] = {"step": kind, "partition": partition(profile.region), "endpoint": profile.endpoint_url}
    if kind == SSO_ROLE:
        fields |= {
            "start_url": profile.sso_start_url,
            "session": profile.sso_session,
            "account": profile.sso_account_id,
            "role": profile.sso_role_name,
        }
    elif kind == WEB_IDENTITY:
        fields |= {
            "roles": [profile.role_arn],
            "session_name": profile.role_session_name,
            "token_file": profile.web_identity_token_file,
            "token_process": _digest(profile.web_identity_token_process),
        }
    elif kind == PROCESS:
        fields["command"] = _digest(profile.credential_process)
    else:
        fields["source"] = profile.credential_source or profile.login_session
    return {name: value for name, value in fields.items() if value}


def _digest(command: str | None) -> str:
    """A command's mark: the command may hold a secret, and a fingerprint is told to those who wait for the same."""
    return f"{binascii.crc32(command.encode()):08x}{len(command):x}" if command else ""


def _no_source(profile: Profile, named_by: Profile | None) -> Exception:
    """The error for *profile*, whose credentials come from nowhere, and which *named_by* has as its source."""
    advice = f"store a key with `strongroom add {profile.name}`, or "
    if named_by is None or profile.exists:
        return NoCredentials(profile.name, hint=advice + "set source_profile")
    where = named_by.origins.get("source_profile", "the config file")
    return NoCredentials(profile.name, hint=advice + f"correct source_profile of {named_by.name!r} ({where})")


class _Walk:
    """Visits the profiles of a chain from the first step outwards and collects the steps."""

    def __init__(self, chain: list[Profile], root: Step, *, no_session: bool) -> None:
        self.chain = chain
        self.no_session = no_session or root.kind != KEY
        self.root = root
        root.notes = _ignored(chain, root.kind)
        self.steps = [root]
        self.proved = ""  # the MFA device that the credentials so far have proved
        self.roles: list[str] = []  # the roles assumed so far

    def visit(self, index: int) -> None:
        """Add the steps of one profile."""
        profile = self.chain[index]
        outer = self.chain[index + 1] if index + 1 < len(self.chain) else None
        if self._primes(index, profile, outer):
            self._add_session_token(profile, outer)
        if profile.role_arn and not (index == 0 and self.root.kind == WEB_IDENTITY):
            self._add_role(profile)

    def _primes(self, index: int, profile: Profile, outer: Profile | None) -> bool:
        """Whether the long-term key is exchanged for a session before it goes on."""
        if len(self.steps) > 1 or self.no_session:
            return False
        if profile.role_arn and not (outer and outer.role_arn):
            return False
        roles = [each for each in self.chain[index:] if each.role_arn]
        if len(roles) == 1 and (roles[0].assume_role_duration or 0) > ROLE_CHAINING_LIMIT_SECONDS:
            return False  # assumed straight from the key, a role may last longer than chaining allows
        if outer is None:
            return True
        return bool(profile.mfa_serial) and profile.mfa_serial == outer.mfa_serial

    def _add_session_token(self, profile: Profile, outer: Profile | None) -> None:
        if outer is None:
            wanted, default = profile.session_token_duration or 0, SESSION_TOKEN_SECONDS
            reason = "a session keeps the long-term key out of the command's hands"
        else:
            wanted, default = profile.chained_session_token_duration or 0, CHAINED_SESSION_TOKEN_SECONDS
            reason = f"one session of {profile.name!r} serves every profile that shares its MFA device: one code"
        self.proved = profile.mfa_serial or ""
        self.steps.append(
            Step(
                SESSION_TOKEN,
                profile,
                reason,
                serial=self.proved,
                duration_seconds=wanted or default,
                wanted_seconds=wanted,
                fingerprint=self._fingerprint(SESSION_TOKEN, profile),
            )
        )

    def _add_role(self, profile: Profile) -> None:
        before = self.steps[-1].kind
        wanted = profile.assume_role_duration or 0
        serial, reason = self._serial_of_role(profile, before)
        notes: list[str] = []
        if before in _ROLES and profile.mfa_serial and profile.mfa_serial != self.proved:
            notes.append(
                f"profile {profile.name!r}: no MFA code is sent for role {profile.role_arn}, because it is assumed by "
                "another role, and a role's session carries no MFA"
            )
        if before in {SESSION_TOKEN, *_ROLES} and wanted > ROLE_CHAINING_LIMIT_SECONDS:
            # After GetSessionToken AWS might give more. Then another role follows, whose hour is what counts.
            if before in _ROLES:
                notes.append(
                    f"profile {profile.name!r}: role {profile.role_arn} is assumed by another role, and AWS gives such "
                    f"a session an hour at most, not {show(wanted)}"
                )
            reason += "; for an hour, which is as long as a chain of roles can last"
            wanted = ROLE_CHAINING_LIMIT_SECONDS
        self.proved = serial or self.proved
        self.steps.append(
            Step(
                ASSUME_ROLE,
                profile,
                reason,
                serial=serial,
                duration_seconds=wanted or ROLE_SECONDS,
                wanted_seconds=wanted,
                fingerprint=self._fingerprint(ASSUME_ROLE, profile),
                notes=tuple(notes),
            )
        )
        self.roles.append(profile.role_arn or "")

    def _serial_of_role(self, profile: Profile, before: str) -> tuple[str, str]:
        """The MFA device whose code goes with AssumeRole, and why."""
        name, role = profile.name, profile.role_arn
        if not profile.mfa_serial:
            return "", f"profile {name!r} has role {role} and no mfa_serial"
        if profile.mfa_serial == self.proved:
            return "", f"profile {name!r} has role {role}, and its MFA device is proved already"
        if before in _ROLES:
            return "", f"profile {name!r} has role {role}; a role session carries no MFA, so no code is sent"
        if before == SESSION_TOKEN:
            return profile.mfa_serial, f"profile {name!r} has role {role} and another MFA device than its source"
        return profile.mfa_serial, f"profile {name!r} has role {role} and an MFA device"

    def _fingerprint(self, kind: str, profile: Profile) -> dict[str, object]:
        """Values that JSON gives back as they are, only those that are set: a new field must not void old sessions."""
        is_role = kind == ASSUME_ROLE
        fields: dict[str, object] = {
            "step": kind,
            "partition": partition(profile.region),
            "endpoint": profile.sts_endpoint_url or profile.endpoint_url,
            "serial": self.proved,
            "roles": [*self.roles, profile.role_arn] if is_role else [],
            "root": self.root.fingerprint,
        }
        if is_role:
            fields["external_id"] = profile.external_id
            fields["session_name"] = profile.role_session_name
            fields["tags"] = [list(tag) for tag in sorted(profile.session_tags)]
            fields["transitive_tags"] = sorted(profile.transitive_session_tags)
            fields["source_identity"] = profile.source_identity
        return {name: value for name, value in fields.items() if value}


def _ignored(chain: list[Profile], root: str) -> tuple[str, ...]:
    """What the profiles ask for beside their source, as far as silence about it would mislead."""
    instead = {KEY: "its stored key"}.get(root, root)
    return tuple(
        f"profile {profile.name!r}: credential_source is not used, because credentials come from "
        + (instead if index == 0 else "its source_profile")
        for index, profile in enumerate(chain)
        if profile.credential_source and not (index == 0 and root == SOURCE)
    )
