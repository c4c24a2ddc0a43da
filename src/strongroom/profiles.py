"""Profiles: what a config file, the environment and the command line say about one name, as one value.

Each setting of a profile is taken from the first place that has it: a flag, an environment variable, the profile's own
section, the sections it includes, ``[default]``. :data:`FIELDS` lists the settings; one loop walks it.

Only the sections that a profile needs are read: its own, its includes, ``[default]``, its ``sso-session``, and the same
for each source profile. A mistake anywhere else is somebody else's.
"""

from __future__ import annotations

from strongroom.errors import ConfigError, ProfileIncomplete, ProfileLoop, UsageError
from strongroom.ini import IMPLICIT
from strongroom.profile_fields import FIELDS, Field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from strongroom.ini import Document, Entry, Section

    # A flag or a variable; or the path of a config file, a section of it, and the entry there.
    _Place = str | tuple[str, Section, Entry]
    _Found = tuple[str, _Place]

#: The section of the profile that every other one inherits from, and its name.
DEFAULT = "default"
_PREFIX = "profile "
_SSO_PREFIX = "sso-session "

_KEYS = frozenset(field.key for field in FIELDS) - {""}


class Profile:
    """All settings of the profile *name*; None, or () for lists, where nobody set one. Durations are seconds.

    Attributes:
        exists: Whether the config file has a section of its own for it.
        source: The profile that ``source_profile`` names, resolved the same way.
        warnings: What was ignored, and should not have been there; of the sources too.
        places: Field to where its value stands, as :attr:`origins` tells it in words.
    """

    __slots__ = ("places", "exists", "name", "source", "warnings", *(field.name for field in FIELDS))

    name: str
    exists: bool
    source: Profile | None
    warnings: tuple[str, ...]
    region: str | None
    source_profile: str | None
    include_profile: str | None
    credential_source: str | None
    credential_process: str | None
    login_session: str | None
    role_arn: str | None
    role_session_name: str | None
    external_id: str | None
    session_tags: tuple[tuple[str, str], ...]
    transitive_session_tags: tuple[str, ...]
    source_identity: str | None
    web_identity_token_file: str | None
    web_identity_token_process: str | None
    assume_role_duration: int | None
    session_token_duration: int | None
    chained_session_token_duration: int | None
    federation_token_duration: int | None
    mfa_serial: str | None
    mfa_process: str | None
    sso_session: str | None
    sso_start_url: str | None
    sso_region: str | None
    sso_registration_scopes: tuple[str, ...]
    sso_account_id: str | None
    sso_role_name: str | None
    endpoint_url: str | None
    sts_endpoint_url: str | None
    sts_regional_endpoints: str | None
    use_fips_endpoint: bool | None
    use_dualstack_endpoint: bool | None
    ca_bundle: str | None
    services: str | None
    allowed_roles: tuple[str, ...]
    browser: str | None
    places: Mapping[str, _Place]

    def __init__(
        self,
        name: str,
        values: Mapping[str, object],
        *,
        exists: bool = True,
        source: Profile | None = None,
        warnings: tuple[str, ...] = (),
        places: Mapping[str, _Place] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "exists", exists)
        put(self, "source", source)
        put(self, "warnings", warnings)
        put(self, "places", places or {})
        for field in FIELDS:
            put(self, field.name, values.get(field.name, field.unset))

    def __setattr__(self, attribute: str, value: object) -> None:
        raise AttributeError(f"a profile cannot be changed: {attribute}")

    def __delattr__(self, attribute: str) -> None:
        raise AttributeError(f"a profile cannot be changed: {attribute}")

    def __repr__(self) -> str:
        return f"<Profile {self.name!r}>"

    @property
    def origins(self) -> dict[str, str]:
        """Where each setting came from: ``/path/config:12 [profile x]``, ``$AWS_REGION`` or ``--region``."""
        return {name: _shown(place) for name, place in self.places.items()}


def resolve(document: Document, name: str, *, flags: Mapping[str, str], environ: Mapping[str, str]) -> Profile:
    """The profile *name* with its sources.

    A name without a section gives ``exists=False`` and what ``[default]``, the environment and the flags say.

    Args:
        document: The config file.
        name: What follows ``profile `` in the header, untrimmed.
        flags: Values by flag, e.g. ``{"region": "eu-west-1", "duration": "2h"}``.
        environ: The environment variables to look at.

    Raises:
        ProfileLoop: Profiles include each other, or are each other's source.
        ProfileIncomplete: A value is wrong.
        UsageError: The value of a flag is.
        ConfigError: A line that this profile needs is.
    """
    _refuse_mistakes(document, document.section(IMPLICIT))
    outside = {field.name: found for field in FIELDS if (found := _outside(field, flags, environ))}
    drafts: dict[str, _Draft] = {}
    following: str | None = name
    while following is not None:
        if following in drafts:
            names = [*drafts, following]
            raise ProfileLoop(names[names.index(following) :], "source_profile")
        drafts[following] = draft = _Draft(document, following)
        draft.fill(outside, target=following == name)
        following = draft.values.get("source_profile")
    innermost, *others = reversed(drafts.values())
    profile = innermost.finish(None)
    for draft in others:
        profile = draft.finish(profile)
    return profile


def resolve_session(document: Document, session: str, *, environ: Mapping[str, str]) -> Profile:
    """What a profile would be that says no more than ``sso_session = SESSION``: for whoever means the session itself.

    Args:
        document: The config file.
        session: What follows ``sso-session `` in the header.
        environ: The environment variables to look at.

    Raises:
        As `resolve`.
    """
    _refuse_mistakes(document, document.section(IMPLICIT))
    outside = {field.name: found for field in FIELDS if (found := _outside(field, {}, environ))}
    draft = _Draft(document, _SSO_PREFIX + session)
    draft.fill(outside | {"sso_session": [(session, f"[{_SSO_PREFIX}{session}]")]}, target=True)
    return draft.finish(None)


def names(document: Document) -> tuple[str, ...]:
    """The profiles of the file in its order, each once; ``default`` only if its section says something."""
    found = []
    for section in document.names():
        if section.startswith(_PREFIX) and section != _PREFIX:
            found.append(section.removeprefix(_PREFIX))
        elif section == DEFAULT and _says_something(document.section(DEFAULT)):
            found.append(DEFAULT)
    return tuple(dict.fromkeys(found))


def sso_sessions(document: Document) -> dict[str, str]:
    """The start URL of each ``[sso-session NAME]``, by name in the order of the file; "" where there is none."""
    found = {}
    for header in document.names():
        section = document.section(header) if header.startswith(_SSO_PREFIX) else None
        if section is not None:
            start_url = section.entries.get("sso_start_url")
            found[header.removeprefix(_SSO_PREFIX)] = start_url.value if start_url else ""
    return found


def section_name(profile: str) -> str:
    """The section that holds *profile*: ``[default]`` has no prefix, and ``[profile default]`` is never read."""
    return DEFAULT if profile == DEFAULT else _PREFIX + profile


def _says_something(section: Section | None) -> bool:
    return section is not None and any(entry.value and key in _KEYS for key, entry in section.entries.items())


def _refuse_mistakes(document: Document, section: Section | None) -> None:
    if section is not None and section.mistakes:
        mistake = section.mistakes[0]
        raise ConfigError(
            f"{document.path}:{mistake.line} [{section.name}]: {mistake.reason}",
            hint="correct that line, or begin it with # to leave it out",
        )


class _Draft:
    """A profile in the making: what is known of *name* before its sources are."""

    __slots__ = ("document", "exists", "name", "places", "values", "warnings")

    def __init__(self, document: Document, name: str) -> None:
        self.document = document
        self.name = name
        self.exists = document.section(section_name(name)) is not None
        self.values: dict[str, Any] = {}
        self.places: dict[str, _Place] = {}
        self.warnings: list[str] = []

    def fill(self, outside: Mapping[str, list[_Found]], *, target: bool) -> None:
        """Give each field the value of the first place that has one, beginning with what stands *outside* the file."""
        chain = self._chain()
        session: list[Section] = []
        keys = {key for section in chain for key in section.entries}
        for field in FIELDS:
            found = [*outside.get(field.name, ())] if target or not field.target else []
            if field.key in keys:
                found += self._inside(field, session + chain if field.session else chain)
            for text, place in found:
                value = self._parsed(field, text, place)
                if value is not None:
                    self.values[field.name] = value
                    self.places[field.name] = place
                    break
            if field.name == "sso_session" and field.name in self.values:
                session = self._sso_session()
                keys.update(key for section in session for key in section.entries)
        if self.values.get("source_profile") == self.name:
            del self.values["source_profile"], self.places["source_profile"]
        if "services" in self.values:
            self._warn(self.places["services"], "services", "is not read: use endpoint_url, or AWS_ENDPOINT_URL_STS")

    def finish(self, source: Profile | None) -> Profile:
        """The profile, now that its *source* is known."""
        warnings = self.warnings
        if source is not None:
            warnings = [*warnings, *source.warnings]
            if source.mfa_process is not None and "mfa_process" not in self.values:
                self.values["mfa_process"] = source.mfa_process
                self.places["mfa_process"] = source.places["mfa_process"]
        return Profile(
            self.name,
            self.values,
            exists=self.exists,
            source=source,
            warnings=tuple(dict.fromkeys(warnings)),
            places=self.places,
        )

    def _chain(self) -> list[Section]:
        """The profile's own section, those it includes, and ``[default]``, as far as they exist."""
        chain: list[Section] = []
        seen: list[str] = []
        name: str | None = self.name
        include: _Place | None = None
        while name is not None:
            if name in seen:
                raise ProfileLoop([*seen[seen.index(name) :], name], "include_profile")
            seen.append(name)
            section = self.document.section(section_name(name))
            if section is not None:
                _refuse_mistakes(self.document, section)
                chain.append(section)
            elif include is not None:
                self._warn(include, "include_profile", "has no section and is ignored")
            entry = section.entries.get("include_profile") if section is not None else None
            if section is not None and entry is not None and entry.value:
                name, include = entry.value, (self.document.path, section, entry)
            else:
                name, include = None if name == DEFAULT else DEFAULT, None
        return chain

    def _sso_session(self) -> list[Section]:
        section = self.document.section(_SSO_PREFIX + self.values["sso_session"])
        if section is None:
            self._warn(self.places["sso_session"], "sso_session", "has no section and is ignored")
            return []
        _refuse_mistakes(self.document, section)
        return [section]

    def _inside(self, field: Field, sections: list[Section]) -> list[_Found]:
        """Each text that the config file has for *field*, with its place, the strongest first."""
        path = self.document.path
        entries = [(section, section.entries.get(field.key)) for section in sections]
        return [(entry.value, (path, section, entry)) for section, entry in entries if entry and entry.value]

    def _parsed(self, field: Field, text: str, place: _Place) -> Any:
        try:
            value = (field.parse if isinstance(place, str) else field.parse_key)(text)
            reason = field.reason_against(value, self.values)
        except ValueError as error:
            if field.flag and place == f"--{field.flag}":
                raise UsageError(f"{place}: {error}") from None
            value, reason = None, str(error)
        if not reason:
            return value
        if field.limits and isinstance(place, str) and place.startswith("$"):
            self.warnings.append(f"{place} is ignored: {reason}")
            return None
        what = place if isinstance(place, str) else f"{_shown(place)}: {field.key}"
        raise ProfileIncomplete(self.name, field.name, f"{what}: {reason}")

    def _warn(self, place: _Place, key: str, what: str) -> None:
        value = place[2].value if isinstance(place, tuple) else ""
        self.warnings.append(f"{_shown(place)}: {key} = {value!r} {what}")


def _outside(field: Field, flags: Mapping[str, str], environ: Mapping[str, str]) -> list[_Found]:
    """Each text that the command line and the environment have for *field*, with its place, the strongest first."""
    found: list[_Found] = [(environ[name], f"${name}") for name in field.variables if environ.get(name)]
    if field.flag and flags.get(field.flag):
        found.insert(0, (flags[field.flag], f"--{field.flag}"))
    return found


def _shown(place: _Place) -> str:
    if isinstance(place, str):
        return place
    path, section, entry = place
    return f"{path}:{entry.line} [{section.name}]"
