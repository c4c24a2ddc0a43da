"""``rotate``: replace a stored key by a new one, and delete the old one in AWS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from strongroom import durations, lock, plan, prompt, providers, rotation
from strongroom.aws import iam, sts
from strongroom.cli import lineage, retrieval
from strongroom.cli.flags import Flag, duration, mfa_code
from strongroom.cli.terminal import answer
from strongroom.cli.world import World
from strongroom.credentials import go_json, show_time
from strongroom.errors import (
    KeystoreLocked,
    LockTimeout,
    NoCredentials,
    PromptUnavailable,
    StrongroomError,
    UsageError,
)
from strongroom.profile_fields import FIELDS
from strongroom.profiles import Profile
from strongroom.rotation import journal as journals
from strongroom.rotation.owner import shown_id
from strongroom.vault import Vault

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.credentials import Credentials
    from strongroom.own_items import OwnItems
    from strongroom.plan import Step
    from strongroom.rotation.journal import Journal

FLAGS = (
    Flag("no-session", "call IAM with the key itself, not with a session", short="n"),
    Flag("mfa-token", "use this MFA code instead of asking", value="CODE", short="t", read=mfa_code),
    Flag("all", "every stored key, each once"),
    Flag("older-than", "only a key that is older, such as 90d", value="DURATION", read=duration),
    Flag("resume", "go on with what was interrupted, and begin nothing"),
    Flag("yes", "do not ask", short="y"),
    Flag("dry-run", "say what would be done"),
    Flag("json", "say it as JSON"),
)
WORDS = ("[profile]",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Rotate one key, or several; one that fails does not stop the others."""
    _check(arguments)
    names = _names(arguments, settings)
    retrieval.warn_of_store(settings)
    several = not arguments.words and (arguments.on("all") or arguments.on("resume"))
    outcomes: list[Outcome] = []
    failed = 0
    for name in names:
        if any(name in outcome.names for outcome in outcomes):
            continue
        outcome = Outcome(name)
        outcomes.append(outcome)
        try:
            _rotate(settings, outcome)
        except StrongroomError as error:
            outcome.fail(error)
            failed += 1
            if not several or isinstance(error, KeystoreLocked):
                _tell_json(arguments, outcomes)
                raise
            hint = error.hint.replace("`strongroom ", f"`{settings.talk.program} ")
            settings.talk.error(f"rotate: {name}: {error.message}", hint)
        except KeyboardInterrupt:
            found = [journals.find(settings.own_items(), each) for each in outcome.names]
            for journal in filter(None, found[-1:]):
                hint = f"`{settings.talk.program} rotate --resume {journal.name}` goes on from there"
                settings.talk.say(f"interrupted: {hint}")
            raise
    _tell_json(arguments, outcomes)
    if several and not arguments.on("json"):
        answer(_summary(outcomes))
    return 1 if failed else 0


def _check(arguments: Arguments) -> None:
    if arguments.on("all") and arguments.words:
        raise UsageError(f"--all takes no profile, got {arguments.words[0]!r}")
    if arguments.on("all") and arguments.text("mfa-token"):
        raise UsageError("--mfa-token is one code, and --all may need several")


def _names(arguments: Arguments, settings: Settings) -> list[str]:
    """The profiles that are meant."""
    if arguments.on("resume") and not arguments.words:
        return settings.own_items().names(journals.KIND)
    if arguments.on("all"):
        return settings.vault().credentials()
    return [retrieval.profile_name(settings)]


def _tell_json(arguments: Arguments, outcomes: Iterable[Outcome]) -> None:
    if arguments.on("json"):
        answer(go_json([outcome.as_json() for outcome in outcomes], indent=2) + "\n")


def _summary(outcomes: list[Outcome]) -> str:
    if not outcomes:
        return "Nothing to do.\n"
    statuses = [outcome.status for outcome in outcomes]
    parts = (f"{status}: {statuses.count(status)}" for status in dict.fromkeys(statuses))
    return f"{', '.join(parts)}.\n".capitalize()


class Outcome:
    """What became of one key.

    Args:
        name: The profile that was named.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.names = [name]  # all profiles whose stored key it is
        self.status = "nothing to resume"
        self.old = ""
        self.new = ""
        self.created_at: float | None = None
        self.error = ""
        self.hint = ""

    def end(self, status: str, journal: Journal | None = None) -> None:
        """It came to *status*."""
        self.status = status
        if journal is not None:
            self.names = [self.name, *(name for name in journal.names if name != self.name)]
            self.old, self.new = journal.old, journal.new_id

    def fail(self, error: StrongroomError) -> None:
        """It came to nothing."""
        self.status, self.error, self.hint = "failed", error.message, error.hint

    def as_json(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "profile": self.name,
            "profiles": self.names,
            "status": self.status,
            "old_key": shown_id(self.old) if self.old else None,
            "new_key": shown_id(self.new) if self.new else None,
            "created": None if self.created_at is None else show_time(self.created_at),
            "age_seconds": None if self.created_at is None else int(time.time() - self.created_at),
            "error": self.error or None,
            "hint": self.hint or None,
        }


def _rotate(settings: Settings, outcome: Outcome) -> None:
    """Rotate the key that the plan of a profile begins with."""
    profile, steps = retrieval.planned(settings, outcome.name)
    root = steps[0]
    if root.kind != plan.KEY:
        raise NoCredentials(
            outcome.name,
            f"profile {outcome.name!r} has no stored key to rotate: {root.reason}",
            "only long-term keys are rotated; `list` shows which are stored",
        )
    name, own = root.profile.name, settings.own_items()
    outcome.names = list(dict.fromkeys([outcome.name, name]))
    key_id = _locked_id(settings, own, name)
    with _alone(settings, name, key_id):
        if _locked_id(settings, own, name) != key_id:
            raise StrongroomError(f"another process has just rotated the key of {name!r}", "there is no need to do so")
        surroundings = Surroundings(settings, profile, steps)
        journal = journals.find(own, name)
        if journal is not None and _resume(settings, outcome, surroundings, journal):
            return
        if not settings.arguments.on("resume"):
            _begin(settings, outcome, surroundings, rotation.Rotation(name, settings.vault(), own, surroundings))


def _resume(settings: Settings, outcome: Outcome, surroundings: Surroundings, journal: Journal) -> bool:
    """Go on with an interrupted rotation; tells whether that was it."""
    shown = f"the interrupted rotation of the key stored for profile {journal.name!r} (it was {journal.stage})"
    if settings.arguments.on("dry-run"):
        surroundings.say(f"Would go on with {shown}")
        outcome.end("would be resumed", journal)
        return True
    surroundings.say(f"Going on with {shown}")
    store = rotation.Rotation(journal.name, settings.vault(), settings.own_items(), surroundings)
    ended = store.resume(journal)
    if ended is None:
        surroundings.say("That rotation is forgotten")
        outcome.end("forgotten", journal)
        return False
    outcome.end("resumed", ended)
    return True


def _begin(settings: Settings, outcome: Outcome, surroundings: Surroundings, work: rotation.Rotation) -> None:
    """Begin a rotation, if the key is old enough."""
    arguments = settings.arguments
    if not arguments.on("dry-run"):
        how = f"a session from profile '{outcome.name}'" if surroundings.has_session else "master credentials"
        surroundings.say(f"Rotating credentials stored for profile '{work.name}' using {how} (takes 10-20 seconds)")
    found = work.look()
    outcome.old, outcome.created_at = found.key_id, found.created_at
    shown = f"access key {shown_id(found.key_id)} stored for profile '{work.name}'"
    age = None if found.created_at is None else work.owner.now() - found.created_at
    if age is not None:
        shown += f", {durations.show_age(age)} old"
    limit = arguments.text("older-than")
    if limit:
        if age is None:
            raise StrongroomError(f"the age of the {shown} is not known, so --older-than cannot be heeded")
        if age <= durations.parse(limit):
            surroundings.say(f"The {shown}, is young enough")
            outcome.end("young enough")
            return
    if arguments.on("dry-run"):
        if found.is_full:
            raise work.others.no_room(found)
        surroundings.say(f"Would rotate the {shown}\nNo changes made.")
        outcome.end("would be rotated")
        return
    outcome.end("rotated", work.begin(found))


# One at a time


def _locked_id(settings: Settings, own: OwnItems, name: str) -> str:
    """The id of the key by which whoever else rotates it locks it: the one that is replaced."""
    stored = Vault(settings.vault().keystore).key(name).access_key_id
    journal = journals.find(own, name)
    return journal.old if journal else stored


def _alone(settings: Settings, name: str, key_id: str) -> lock.Lock[object]:
    command = f"{settings.talk.program} {settings.command}"
    try:
        return lock.hold(settings.lock_directory(), f"rotation of {key_id}", command=command, wait_seconds=0)
    except LockTimeout as error:
        who = f"process {error.pid} ({error.command})" if error.pid else "another process"
        raise LockTimeout(
            error.pid, error.command, f"{who} is rotating the key of {name!r}", "wait for it, or answer its question"
        ) from error


# What a rotation needs


class Surroundings:
    """See `strongroom.rotation.owner.World`.

    Args:
        settings: Flags, variables, files.
        target: The profile that was named.
        steps: Its plan, which begins with the key.
    """

    def __init__(self, settings: Settings, target: Profile, steps: tuple[Step, ...]) -> None:
        self.settings = settings
        self.target = target
        owner = _without_role(steps[0].profile, [target, *(step.profile for step in steps)])
        self.iam = iam.endpoint(owner)
        self.sts = sts.endpoint(owner)
        # AWS lets a session call IAM only if it proves MFA; without a device, the key itself has to.
        no_session = settings.arguments.on("no-session") or not owner.mfa_serial
        self.steps = plan.plan(owner, {owner.name}, no_session=no_session)

    @property
    def has_session(self) -> bool:
        """Whether IAM is called with a session."""
        return len(self.steps) > 1

    def credentials(self) -> Credentials:
        """Those of the owner of the key: a session, stored or new, or the key."""
        settings = self.settings
        vault = Vault(settings.vault().keystore, min_ttl_seconds=settings.min_ttl_seconds())
        return providers.retrieve(self.steps, vault, self._world)

    def session(self, key: Credentials, why: str) -> Credentials:
        """A new session of the same kind."""
        self.settings.talk.say(why)
        world = self._world()
        world.given_code, world.has_own_code = "", False  # a code works once
        step = self.steps[-1]
        return providers.load(step.kind).retrieve(step, key, world)

    def forget_sessions(self, names: Iterable[str]) -> None:
        """Remove them, and say how many of which profile there were."""
        store = self.settings.vault()
        store.refresh()
        keys = {key for name in names for key in lineage.sessions_of_key(self.settings, name)}
        counts: dict[str, int] = {}
        for session in store.sessions():
            if session.key in keys:
                counts[session.profile] = counts.get(session.profile, 0) + 1
        store.remove(sorted(keys))
        narrowed = sum(lineage.forget_narrowed(self.settings, master=name) for name in names)
        if narrowed:
            self.say(f"Deleted {narrowed} narrowed sessions")
        for profile, count in counts.items():
            self.say(f"Deleted {count} sessions for {profile}")

    def confirm(self, question: str, *, beforehand: bool) -> bool:
        """Ask, unless --yes has answered."""
        if self.settings.arguments.on("yes") and beforehand:
            return True
        if self.settings.arguments.on("dry-run"):
            raise PromptUnavailable("a dry run asks nothing")
        return prompt.confirm(question)

    def say(self, line: str) -> None:
        """To stdout, or to stderr where stdout is for JSON; that nobody listens does not stop the work."""
        if self.settings.arguments.on("json"):
            self.settings.talk.say(line)
            return
        try:
            answer(f"{line}\n")
        except StrongroomError as error:
            self.settings.talk.debug(error.message)

    def warn(self, message: str) -> None:
        """To stderr."""
        self.settings.talk.warn(message)

    def _world(self) -> World:
        return World(self.settings, self.target, self.steps)


def _without_role(profile: Profile, others: Iterable[Profile]) -> Profile:
    """The profile as that of the user alone; what it lacks is taken from those that use its key.

    A device of a profile that uses the key is the user's: AWS takes no other's code.
    """
    values = {field.name: getattr(profile, field.name) for field in FIELDS}
    values |= {"role_arn": None, "source_profile": None}
    for other in others:
        values["mfa_serial"] = values["mfa_serial"] or other.mfa_serial
        # An ARN of theirs may tell the partition.
        values["region"] = values["region"] or (sts.endpoint(other).region if other.role_arn else None)
    return Profile(profile.name, values, exists=profile.exists, places=profile.places)
