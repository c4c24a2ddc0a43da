"""From a profile's name to its plan and its credentials: the walk that ``exec``, ``export`` and ``explain`` share."""

from __future__ import annotations

from importlib import import_module

from strongroom import plan, profiles, providers
from strongroom.cli.flags import Flag, duration, mfa_code
from strongroom.errors import ProfileNotFound, StrongroomError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.cli.settings import Settings
    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.profiles import Profile
    from strongroom.vault import Vault


# The flags that say which credentials are meant.
FLAGS = (
    Flag("duration", "how long the credentials should last, such as 2h", value="DURATION", short="d",
         env="AWS_VAULT_DURATION", read=duration),
    Flag("no-session", "never call GetSessionToken", short="n"),
    Flag("region", "region of every profile in the chain", value="REGION"),
    Flag("no-browser", "sign in to IAM Identity Center with a code, in a browser of any device"),
    Flag("mfa-token", "use this MFA code instead of asking", value="CODE", short="t", read=mfa_code),
)  # fmt: skip

# The flags that ask for a role's session of one's own, for one run: see `strongroom.cli.narrowing`.
NARROWING = (
    Flag("role", "assume this role: there is no profile then", value="ARN", for_words=True),
    Flag("source", "with --role: the profile that assumes it, if not AWS_PROFILE", value="PROFILE"),
    Flag("session-policy", "let the role do only what this file, or managed policy, allows too; may be repeated",
         value="FILE|ARN", many=True),
    Flag("source-identity", "source identity of the role's session", value="NAME"),
    Flag("tags", "session tags of the role's session, in place of the profile's", value="KEY=VALUE,..."),
)  # fmt: skip
_NARROWING = frozenset(flag.name for flag in NARROWING)

# For those whose own answer is not a link.
STDOUT = Flag("stdout", "the same as --no-browser", env="AWS_VAULT_STDOUT")


def profile_name(settings: Settings) -> str:
    """The profile that the command line, or ``AWS_PROFILE``, names; with ``--role``, the one that assumes it.

    Raises:
        UsageError: Neither does.
    """
    if "role" in settings.arguments.values:
        named: str = import_module("strongroom.cli.narrowing").source_name(settings)
        return named
    words = settings.arguments.words
    name = words[0] if words else settings.variable("AWS_PROFILE")
    if not name:
        raise UsageError("required argument 'profile' not provided", "name a profile, or set AWS_PROFILE")
    refuse_bytes(name)
    return name


def refuse_bytes(name: str) -> None:
    """Refuse a profile's name that is not UTF-8: no config file could hold it.

    Raises:
        UsageError: It is not.
    """
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the profile name {name!r} is not UTF-8") from error


def planned(settings: Settings, name: str) -> tuple[Profile, tuple[Step, ...]]:
    """The profile called *name*, or the role that it is to assume, and the steps to the credentials.

    Raises:
        UsageError: Flags ask for what cannot be had.
        ProfileError: There is no such profile, or it cannot be used.
        CredentialsError: Nothing says where its credentials come from.
    """
    if not _NARROWING.isdisjoint(settings.arguments.values):
        found: tuple[Profile, tuple[Step, ...]] = import_module("strongroom.cli.narrowing").planned(settings, name)
        return found
    profile = settings.profile(name)
    return profile, steps_to(settings, profile)


def steps_to(settings: Settings, profile: Profile) -> tuple[Step, ...]:
    """The steps to the credentials of *profile*.

    Raises:
        ProfileError: There is no such profile, or it cannot be used.
        CredentialsError: Nothing says where its credentials come from.
    """
    refuse_unknown(settings, profile)
    for warning in profile.warnings:
        settings.talk.warn(warning)
    steps = plan.plan(profile, settings.vault().listing, no_session=settings.arguments.on("no-session"))
    for step in steps:
        settings.talk.debug(f"{step!r}: {step.reason}")
    return steps


def refuse_unknown(settings: Settings, profile: Profile) -> None:
    """Refuse a profile of which neither the config file nor the keystore knows.

    Raises:
        ProfileNotFound: It is one.
    """
    name = profile.name
    if not profile.exists and name not in settings.vault().listing:
        raise ProfileNotFound(
            name,
            f"profile {name!r} not found in {settings.config_path} and no stored credentials exist for it",
            f"store a key with `{settings.talk.program} add {name}`",
            known=profiles.names(settings.document()),
        )


def vault_for(settings: Settings, steps: tuple[Step, ...]) -> Vault:
    """Where the credentials of these steps are kept."""
    vault = settings.vault()
    if steps[-1].narrowing is None:
        return vault
    made: Vault = import_module("strongroom.narrowed").NarrowedVault(vault, settings.own_items())
    return made


def credentials(
    settings: Settings, profile: Profile, steps: tuple[Step, ...], *, are_handed_out: bool = True
) -> Credentials:
    """Take the steps.

    Args:
        settings: Flags, variables, files.
        profile: Whose credentials.
        steps: The way to them.
        are_handed_out: Whether others get to see them, which a setting may forbid of a long-term key.

    Raises:
        StrongroomError: Any of the tree.
    """
    vault = vault_for(settings, steps)
    for note in steps[0].notes:  # of the key, which is not a step that anybody takes
        settings.talk.warn(note)
    got = providers.retrieve(
        steps, vault, lambda: import_module("strongroom.cli.world").World(settings, profile, steps)
    )
    settings.talk.debug(f"credentials of {profile.name!r}: {got!r}")
    if are_handed_out and not got.session_token:
        refuse_if_forbidden(settings, "leave out --no-session; what is handed out then is a session of the key")
    return got


def refuse_if_forbidden(settings: Settings, hint: str) -> None:
    """Refuse to show a long-term key, or to hand it out.

    Args:
        settings: One of them may say so.
        hint: What to do instead.

    Raises:
        StrongroomError: The setting `forbid_long_term_output` says so.
    """
    if settings.get("forbid_long_term_output"):
        raise StrongroomError(
            f"{settings.origin('forbid_long_term_output')} forbids to show or hand out a long-term key "
            "(forbid_long_term_output)",
            hint,
        )


def warn_of_store(settings: Settings) -> None:
    """Say what was noticed about the keystore. Not for ``export``, which SDKs run many times a minute."""
    for warning in settings.vault().keystore.warnings:
        settings.talk.warn(warning)


def refuse_foreign_nesting(settings: Settings, text: str) -> None:
    """Refuse to run inside aws-vault's own child, whose variables cannot be told from the user's.

    Raises:
        StrongroomError: We run inside one.
    """
    if settings.variable("AWS_VAULT"):
        raise StrongroomError(f"{text}; 'exit' from the subshell or unset AWS_VAULT to force")
