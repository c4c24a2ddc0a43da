"""``explain``: show the steps to a profile's credentials, why each is taken, and where each setting stands.

Nothing is asked, neither AWS nor you, and nothing is changed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from strongroom import plan
from strongroom.cli import retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.credentials import go_json, show_time
from strongroom.durations import show
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.plan import Narrowing, Step
    from strongroom.profiles import Profile
    from strongroom.vault import Vault

FLAGS = (*retrieval.FLAGS, *retrieval.NARROWING, Flag("json", "the same, as JSON"))
WORDS = ("[profile]",)
RUNS = False

# Who brings the credentials of a step, if it is not AWS.
_ASKED = {
    plan.PROCESS: "the program",
    plan.SOURCE: "the machine",
    plan.LOGIN_SESSION: "the AWS CLI's cache",
}

# What is stored for a step: nothing; credentials that were opened and fit; some that fit by their name, in a store
# that is locked; some that were opened and are for something else.
NOTHING, CHECKED, NOT_CHECKED, UNFIT = "no", "cached", "cached, not checked", "cached for something else"


def run(arguments: Arguments, settings: Settings) -> int:
    """Print the plan."""
    profile, steps = retrieval.planned(settings, retrieval.profile_name(settings))
    explained = _explained(steps, settings)
    retrieval.warn_of_store(settings)
    if arguments.on("json"):
        fields = {"profile": profile.name, "steps": explained, "settings": list(_settings(profile))}
        answer(go_json(fields, indent=2) + "\n")
    else:
        answer("\n".join(_text(profile, explained)) + "\n")
    return 0


def _explained(steps: tuple[Step, ...], settings: Settings) -> list[dict[str, object]]:
    vault = retrieval.vault_for(settings, steps)
    can_open = settings.inherited.get("AWS_VAULT_FILE_PASSPHRASE") is not None
    master = steps[0].profile.name if steps[0].kind == plan.KEY else ""
    explained = [_step(step, vault, master, can_open=can_open) for step in steps]
    # The work begins after the last step whose result is there.
    usable = [index for index, each in enumerate(explained) if each["cached"] in {CHECKED, NOT_CHECKED}]
    begin = max(usable, default=0 if master else -1)
    for index, each in enumerate(explained):
        each["will_call"] = index > begin
    return explained


def _step(step: Step, vault: Vault, master: str, *, can_open: bool) -> dict[str, object]:
    fields: dict[str, object] = {"action": step.kind, "profile": step.profile.name, "reason": step.reason}
    if step.kind == plan.KEY:
        return fields | {"cached": NOTHING, "notes": list(step.notes)}
    if step.kind in {plan.ASSUME_ROLE, plan.WEB_IDENTITY}:
        fields["role_arn"] = step.profile.role_arn
    fields |= {"mfa_serial": step.serial, "duration_seconds": step.duration_seconds, "notes": list(step.notes)}
    if step.narrowing is not None:
        fields["narrowing"] = _narrowing(step, step.narrowing)
    candidates = vault.candidates(step)
    if not candidates:
        return fields | {"cached": NOTHING}
    if not can_open:
        return fields | {"cached": NOT_CHECKED, "expiration": show_time(candidates[0].expires_at)}
    try:
        found = vault.session(step, master)
    except StrongroomError:
        return fields | {"cached": NOT_CHECKED, "expiration": show_time(candidates[0].expires_at)}
    if found is None:
        return fields | {"cached": UNFIT}
    return fields | {"cached": CHECKED, "expiration": show_time(found.expiration or 0)}


def _narrowing(step: Step, narrowing: Narrowing) -> dict[str, object]:
    """What makes the step's session one of its own; only a session of the same name is used again."""
    return {
        "flags": list(narrowing.flags),
        "session": step.slot,
        "policy": json.loads(narrowing.policy) if narrowing.policy else None,
        "policy_arns": list(narrowing.policy_arns),
        "source_identity": step.profile.source_identity,
        "tags": dict(step.profile.session_tags),
    }


def _settings(profile: Profile) -> Iterator[dict[str, object]]:
    """Each setting of the profile and its sources, with the place where it stands."""
    following: Profile | None = profile
    while following is not None:
        for field, origin in following.origins.items():
            value = getattr(following, field)
            if field == "session_tags":
                value = ",".join(f"{key}={text}" for key, text in value)
            elif isinstance(value, tuple):
                value = ",".join(value)
            yield {"profile": following.name, "setting": field, "value": value, "origin": origin}
        following = following.source


def _text(profile: Profile, explained: list[dict[str, object]]) -> Iterator[str]:
    yield f"Credentials of {'role' if profile.name == profile.role_arn else 'profile'} {profile.name}:"
    for number, step in enumerate(explained, 1):
        yield ""
        yield f"{number}. {_title(step)}"
        yield f"   why:    {step['reason']}"
        yield f"   now:    {_state(step)}"
        narrowing = step.get("narrowing")
        if isinstance(narrowing, dict):
            for arn in narrowing["policy_arns"]:
                yield f"   policy: {arn}"
            if narrowing["policy"] is not None:
                yield f"   policy: {json.dumps(narrowing['policy'])}"
        notes = step["notes"]
        if isinstance(notes, list):
            for note in notes:
                yield f"   note:   {note}"
    rows = list(_settings(profile))
    if rows:
        yield ""
        yield "Settings:"
    wide = [max(len(str(row[column])) for row in rows) for column in ("profile", "setting", "value")] if rows else []
    for row in rows:
        cells = (
            str(row[column]).ljust(width) for column, width in zip(("profile", "setting", "value"), wide, strict=True)
        )
        yield f"   {'  '.join(cells)}  {row['origin']}"


def _title(step: dict[str, object]) -> str:
    if step["action"] == plan.KEY:
        return f"read the long-term key of profile {step['profile']}"
    has_profile = step["profile"] != step.get("role_arn")
    title = f"{step['action']} for profile {step['profile']}" if has_profile else f"{step['action']}"
    if not step["duration_seconds"]:
        return title
    if "role_arn" in step:
        title += f"{',' if has_profile else ' of'} role {step['role_arn']}"
    title += f", for {show(int(str(step['duration_seconds'])))}"
    return title + (f", with a code of {step['mfa_serial']}" if step["mfa_serial"] else ", without MFA")


def _state(step: dict[str, object]) -> str:
    if step["action"] == plan.KEY:
        return "stored"
    told = {
        NOTHING: "nothing stored",
        UNFIT: "what is stored was made for something else",
        CHECKED: f"stored and good until {step.get('expiration')}",
        NOT_CHECKED: f"cached, not checked: the keystore is locked; good until {step.get('expiration')} by its name",
    }[str(step["cached"])]
    who = _ASKED.get(str(step["action"]), "AWS")
    return f"{told}; {who} will {'' if step['will_call'] else 'not '}be asked"
