"""Sessions that are narrowed for one run: what AWS takes for that, and the plan of such a session.

A session policy takes rights away, for it counts only where the role's own policies allow the same:
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from strongroom import plan
from strongroom.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.plan import Narrowing, Step

# https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html: characters of an inline policy, managed
# policies, tags, and characters of a tag's key and value.
MOST_POLICY, MOST_ARNS, MOST_TAGS, MOST_KEY, MOST_VALUE = 2048, 10, 50, 128, 256
_SOURCE_IDENTITY = r"[A-Za-z0-9_+=,.@-]{2,64}"
# "[\p{L}\p{Z}\p{N}_.:/=+\-@]": letters, blanks and digits of any script, and these.
_TAG_MARKS = frozenset("_.:/=+-@")
# Of names that belong to AWS, whatever their case.
_RESERVED = "aws:"

_PARTITION = r"arn:aws(?:-[a-z]+)*"
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html: 64 characters of a name, 512 of a path.
_ROLE = rf"{_PARTITION}:iam::[0-9]{{12}}:role/(?:[!-~]{{1,511}}/)?[A-Za-z0-9_+=,.@-]{{1,64}}"
_POLICY = rf"{_PARTITION}:iam::(?:[0-9]{{12}}|aws):policy/(?:[!-~]{{1,511}}/)?[A-Za-z0-9_+=,.@-]{{1,128}}"
_CENTERS_OWN = ":role/aws-reserved/sso.amazonaws.com/"

# What the last step of a plan may be, and why its session cannot be narrowed.
_WHY_NOT = {
    plan.KEY: "a long-term key can do all that its user may",
    plan.SESSION_TOKEN: "GetSessionToken takes nothing that narrows a session",
    plan.SSO_ROLE: "IAM Identity Center takes nothing that narrows a session",
}
_USE_A_ROLE = "assume a role with its credentials: --role ARN --source {}"


def role_arn(text: str) -> str:
    """Check the ARN of a role that is to be assumed.

    Raises:
        ValueError: It is none, or nobody can assume it; the message says why.
    """
    if ":assumed-role/" in text:
        raise ValueError(f"{text!r} is a role's session: give the role, arn:aws:iam::ACCOUNT:role/NAME")
    if not re.fullmatch(_ROLE, text):
        raise ValueError(f"{text!r} is not the ARN of a role: it should be like arn:aws:iam::ACCOUNT:role/NAME")
    if _CENTERS_OWN in text:
        raise ValueError(f"{text!r} belongs to IAM Identity Center, which alone gives it out: use a profile for it")
    return text


def source_identity(text: str) -> str:
    """Check a source identity.

    Raises:
        ValueError: AWS would not take it.
    """
    if not re.fullmatch(_SOURCE_IDENTITY, text) or text.lower().startswith(_RESERVED):
        raise ValueError(f"{text!r} is not 2 to 64 letters, digits and characters of _+=,.@-")
    return text


def tags(pairs: Iterable[tuple[str, str]]) -> None:
    """Check session tags.

    Raises:
        ValueError: AWS would not take them.
    """
    keys: list[str] = []
    for key, value in pairs:
        if not key:
            raise ValueError(f"{value!r} is not KEY=VALUE")
        wrong = next((c for c in key + value if not (c.isalnum() or c.isspace() or c in _TAG_MARKS)), "")
        if wrong:
            raise ValueError(f"{key}={value}: AWS takes letters, digits, blanks and _.:/=+-@ in tags, not {wrong!r}")
        if len(key) > MOST_KEY or len(value) > MOST_VALUE:
            raise ValueError(f"{key[:MOST_KEY]}: a key has {MOST_KEY} characters at most, a value {MOST_VALUE}")
        if key.lower().startswith(_RESERVED):
            raise ValueError(f"{key}: keys that begin with {_RESERVED} are AWS's own")
        if key.lower() in keys:
            raise ValueError(f"{key} is given twice; to AWS, upper and lower case are the same in keys")
        keys.append(key.lower())
    if len(keys) > MOST_TAGS:
        raise ValueError(f"AWS takes {MOST_TAGS} tags, not {len(keys)}")


def policy_arns(arns: Iterable[str]) -> tuple[str, ...]:
    """Check the ARNs of managed policies; each is taken once.

    Raises:
        ValueError: AWS would not take them.
    """
    found = tuple(dict.fromkeys(arns))
    for arn in found:
        if not re.fullmatch(_POLICY, arn):
            raise ValueError(f"{arn!r} is not the ARN of a managed policy: arn:aws:iam::ACCOUNT:policy/NAME")
    if len(found) > MOST_ARNS:
        raise ValueError(f"AWS takes {MOST_ARNS} managed policies, not {len(found)}")
    return found


def policy(text: str) -> str:
    """A policy as it is sent: without the blanks, which AWS would count.

    Raises:
        ValueError: It is no policy, or too long.
    """
    try:
        fields = json.loads(text, object_pairs_hook=_each_once)
    except RecursionError:
        raise ValueError("is no policy: it is nested too deep") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON: {error}") from error
    if not (isinstance(fields, dict) and fields.get("Statement")):
        raise ValueError("is no policy: it has no Statement")
    sent = json.dumps(fields, separators=(",", ":"))
    if len(sent) > MOST_POLICY:
        raise ValueError(
            f"has {len(sent):,} characters without blanks, and AWS takes {MOST_POLICY:,}: "
            "make a managed policy of it, and give its ARN"
        )
    return sent


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The members of an object. What is there twice, such as a Condition, would be lost once, and with it a limit."""
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"is no policy: {twice!r} is there twice in the same place")
    return fields


def narrow(steps: tuple[Step, ...], narrowing: Narrowing) -> tuple[Step, ...]:
    """The same plan for a narrowed session: its last step asks for that, the others are as they were.

    Args:
        steps: A plan, of a profile that has the role, tags and source identity that are asked for.
        narrowing: The rest.

    Raises:
        UsageError: The last step's session cannot be narrowed, or not that way.
    """
    last, asked = steps[-1], _listed(narrowing.flags)
    name, role = last.profile.name, last.profile.role_arn
    if last.kind not in {plan.ASSUME_ROLE, plan.WEB_IDENTITY}:
        why = _WHY_NOT.get(last.kind, f"{last.kind} brings credentials as they are")
        raise UsageError(
            f"{asked}: the credentials of profile {name!r} cannot be narrowed: {why}", _USE_A_ROLE.format(name)
        )
    of_a_token = [flag for flag in narrowing.flags if flag in {"--tags", "--source-identity"}]
    if last.kind == plan.WEB_IDENTITY and of_a_token:
        raise UsageError(
            f"{_listed(of_a_token)}: a web identity's role has these from the token, and takes no others",
            _USE_A_ROLE.format(name),
        )
    reason = last.reason.replace(f"profile {name!r} has role {role}", f"--role {role}") if name == role else last.reason
    fingerprint = last.fingerprint | _more(narrowing)
    mark = hashlib.sha256(json.dumps(fingerprint, sort_keys=True).encode()).hexdigest()[:32]
    narrowed = plan.Step(
        last.kind,
        last.profile,
        f"{reason}; a session of its own, because of {asked}",
        serial=last.serial,
        duration_seconds=last.duration_seconds,
        wanted_seconds=last.wanted_seconds,
        fingerprint=fingerprint,
        notes=last.notes,
        slot=mark,
        narrowing=narrowing,
    )
    return (*steps[:-1], narrowed)


def _more(narrowing: Narrowing) -> dict[str, object]:
    """What the session depends on beside what its profile says. Tags and source identity are in there already."""
    more: dict[str, object] = {}
    if narrowing.policy:
        ordered = json.dumps(json.loads(narrowing.policy), sort_keys=True)
        more["policy"] = hashlib.sha256(ordered.encode()).hexdigest()
    if narrowing.policy_arns:
        more["policy_arns"] = sorted(narrowing.policy_arns)
    return more


def _listed(flags: Iterable[str]) -> str:
    *others, last = flags
    return f"{', '.join(others)} and {last}" if others else last
