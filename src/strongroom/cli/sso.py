"""``sso``: see which accounts and roles IAM Identity Center gives to you, and add profiles for them.

`sso discover` signs in to an [sso-session], or as a profile does that has the
settings in itself, and lists all roles with the profiles that use them. With
--write it adds a profile for each role that has none, and shows beforehand
what it would add. Sections that are there are never changed or removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from strongroom import profiles, prompt
from strongroom.cli import config_file, retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.signing_in import SigningIn
from strongroom.cli.terminal import answer
from strongroom.credentials import go_json
from strongroom.errors import ConfigError, ProfileError, ProfileNotFound, PromptUnavailable, UsageError
from strongroom.sso import names
from strongroom.sso.discovery import discover
from strongroom.sso.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.profiles import Profile
    from strongroom.sso.discovery import Discovered, Role


def _template(text: str) -> names.Template:
    return names.Template(text)


FLAGS = (
    Flag("write", "add a profile for each role that has none"),
    Flag("template", f"how new profiles are called, {names.TEMPLATE} by default", value="TEMPLATE", read=_template),
    Flag("region", "region of new profiles", value="REGION"),
    Flag("yes", "write without asking", short="y"),
    Flag("json", "print it as JSON"),
    Flag("no-browser", "sign in with a code, in a browser of any device"),
    retrieval.STDOUT,
)
WORDS = ("discover", "[session]")
RUNS = False

ACTIONS = ("discover",)

HEADS = ("Account", "Name", "Role", "Profile")


def run(arguments: Arguments, settings: Settings) -> int:
    """List the roles; add profiles for those that have none, if that is wanted.

    Raises:
        UsageError: Something else is asked for, or it is not said of which session.
    """
    word, *rest = arguments.words
    if word not in ACTIONS:
        raise UsageError(f"expected discover, got {word!r}", word=word, known=ACTIONS)
    if arguments.on("yes") and not arguments.on("write"):
        raise UsageError("--yes is for `sso discover --write`")
    name = rest[0] if rest else _only_session(settings)
    profile = _profile(settings, name)
    session = Session.of(profile)
    world = SigningIn(settings, profile)
    with Progress(settings) as progress:
        found = discover(profile, world, progress)
    inventory = Inventory(settings, session, found)
    template = arguments.values.get("template") or names.Template(names.TEMPLATE)
    assert isinstance(template, names.Template)  # noqa: S101 - what the flag reads
    new = names.assign(inventory.without_profile(), template, session.name or name, inventory.taken)
    for account_id, reason in found.refused.items():
        settings.talk.warn(f"the roles in account {account_id} are not known: {reason}")
    for gone, account_id, role_name in inventory.gone():
        settings.talk.warn(
            f"profile {gone!r} is for role {role_name!r} in account {account_id}, which is not given to you any more"
        )
    written: list[str] = []
    if arguments.on("write") and _write(arguments, settings, _sections(settings, session, new)):
        written = list(new.values())
    if arguments.on("json"):
        answer(go_json(inventory.as_json(new, written), indent=2) + "\n")
    elif not arguments.on("write"):
        answer(_table([HEADS, *inventory.rows(new)]))
        if new:
            settings.talk.say(f"{_count(len(new), 'role')} without a profile: --write adds what is marked as new")
    return 0


# What is meant


def _only_session(settings: Settings) -> str:
    """The session, if there is no other to choose from.

    Raises:
        UsageError: There is.
    """
    known = list(profiles.sso_sessions(settings.document()))
    if len(known) == 1:
        return known[0]
    hint = f"name one of {', '.join(known)}" if known else f"add an [sso-session NAME] to {settings.config_path}"
    raise UsageError("required argument 'session' not provided", hint)


def _profile(settings: Settings, name: str) -> Profile:
    """What signs in to the session *name*, or as the profile of that name does.

    Raises:
        ProfileNotFound: There is neither.
    """
    retrieval.refuse_bytes(name)
    sessions = profiles.sso_sessions(settings.document())
    if name in sessions:
        return profiles.resolve_session(settings.document(), name, environ=settings.environ)
    profile = settings.profile(name)
    if not profile.exists:
        raise ProfileNotFound(
            name,
            f"neither [sso-session {name}] nor a profile {name!r} is in {settings.config_path}",
            "an [sso-session NAME] has an sso_start_url and an sso_region",
            known=[*sessions, *profiles.names(settings.document())],
        )
    return profile


# What there is


class Inventory:
    """The roles that were found beside the profiles that there are.

    Args:
        settings: Where the profiles are.
        session: What was signed in to.
        found: What there is.
    """

    def __init__(self, settings: Settings, session: Session, found: Discovered) -> None:
        self._session = session
        self._found = found
        document = settings.document()
        # A stored key would win over what its profile says.
        self.taken = {*profiles.names(document), *settings.vault().credentials()}
        self._profiles: dict[tuple[str, str], list[str]] = {}
        for name in profiles.names(document):
            try:
                profile = profiles.resolve(document, name, flags={}, environ={})
            except (ConfigError, ProfileError):
                continue  # whoever uses it will be told
            if (
                profile.sso_account_id
                and profile.sso_role_name
                and _portal(profile.sso_start_url or "") == _portal(session.start_url)
                and _is_its_own(profile)
            ):
                self._profiles.setdefault((profile.sso_account_id, profile.sso_role_name), []).append(name)

    def without_profile(self) -> list[Role]:
        """The roles that no profile uses."""
        return [role for role in self._found.roles if not self._profiles_of(role)]

    def gone(self) -> Iterable[tuple[str, str, str]]:
        """Profile, account, role: those whose role was not found, in an account whose roles are known."""
        there = {(role.account_id, role.role_name) for role in self._found.roles}
        for (account_id, role_name), users in self._profiles.items():
            if (account_id, role_name) not in there and account_id not in self._found.refused:
                for user in users:
                    yield user, account_id, role_name

    def rows(self, new: Mapping[Role, str]) -> Iterable[tuple[str, ...]]:
        """The table's rows."""
        for role in self._found.roles:
            users = ", ".join(self._profiles_of(role)) or f"{new[role]} (new)"
            yield role.account_id, role.account_name or "-", role.role_name, users

    def as_json(self, new: Mapping[Role, str], written: Sequence[str]) -> dict[str, object]:
        """The same for programs."""
        return {
            "session": self._session.name or None,
            "start_url": self._session.start_url,
            "region": self._session.region,
            "roles": [
                {
                    "account_id": role.account_id,
                    "account_name": role.account_name or None,
                    "email": role.email or None,
                    "role_name": role.role_name,
                    "profiles": self._profiles_of(role),
                    "new_profile": new.get(role),
                }
                for role in self._found.roles
            ],
            "gone": [
                {"profile": user, "account_id": account_id, "role_name": role_name}
                for user, account_id, role_name in self.gone()
            ],
            "unknown_accounts": list(self._found.refused),
            "written": list(written),
        }

    def _profiles_of(self, role: Role) -> list[str]:
        return self._profiles.get((role.account_id, role.role_name), [])


def _portal(start_url: str) -> str:
    """What a start URL leads to, which people write with and without an end: ``/start``, ``/start/``, ``/start#/``."""
    return start_url.partition("#")[0].rstrip("/")


def _is_its_own(profile: Profile) -> bool:
    """Whether the profile says which role it is for, and does not merely inherit it from [default], as all do."""
    place = profile.places.get("sso_account_id")
    return profile.name == profiles.DEFAULT or not (isinstance(place, tuple) and place[1].name == profiles.DEFAULT)


# What is written


def _sections(settings: Settings, session: Session, new: Mapping[Role, str]) -> dict[str, dict[str, str]]:
    """The sections of new profiles, in the order of their roles."""
    if session.name:
        shared = {"sso_session": session.name}
    else:
        shared = {"sso_start_url": session.start_url, "sso_region": session.region}
    region = settings.arguments.text("region")
    return {
        profiles.section_name(name): {
            **shared,
            "sso_account_id": role.account_id,
            "sso_role_name": role.role_name,
            **({"region": region} if region else {}),
        }
        for role, name in sorted(new.items())
    }


def _write(arguments: Arguments, settings: Settings, sections: Mapping[str, Mapping[str, str]]) -> bool:
    """Show what would be added, ask, and add it; tells whether it was added."""
    tell = settings.talk.show if arguments.on("json") else answer
    if not sections:
        tell("Each role has a profile already.\n")
        return False
    for section, values in sections.items():
        config_file.check_section(settings, section, values, otherwise="leave out --write")
    tell(config_file.shown(settings, sections))
    count = _count(len(sections), "profile")
    if not arguments.on("yes"):
        try:
            if not prompt.confirm(f"Add {count} to {settings.config_path}? (y|N) "):
                return False
        except PromptUnavailable as error:
            raise PromptUnavailable(error.message, "run it in a terminal, or use --yes") from error
    config_file.add_sections(settings, sections, otherwise="leave out --write")
    tell(f"Added {count} to {settings.config_path}.\n")
    return True


# How it is shown


class Progress:
    """How far we are, on one line of a terminal, which is gone in the end.

    Args:
        settings: Whose name is in front.
    """

    def __init__(self, settings: Settings) -> None:
        self._talk = settings.talk
        self._shown = ""
        self._is_seen = settings.talk.is_seen

    def __enter__(self) -> Self:
        return self

    def __call__(self, done: int, accounts: int) -> None:
        """Say of how many accounts the roles are known, and of how many there are."""
        self._show(f"{self._talk.program}: looking for roles, {done} of {accounts} accounts done")

    def __exit__(self, *_: object) -> None:
        self._show("")

    def _show(self, text: str) -> None:
        if not self._is_seen or text == self._shown:
            return
        # Blanks and not a command to the terminal, which older ones of Windows would print.
        blank = " " * max(0, len(self._shown) - len(text))
        self._talk.show(f"\r{text}{blank}" if text else f"\r{blank}\r")
        self._shown = text


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
