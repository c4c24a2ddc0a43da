"""A role's session of one's own, for one run: ``--role``, ``--session-policy``, ``--source-identity``, ``--tags``."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, TypeVar

from strongroom import ini, narrowing, plan, profiles
from strongroom.cli import retrieval
from strongroom.errors import StrongroomError, UsageError
from strongroom.profile_fields import FIELDS
from strongroom.profiles import Profile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from strongroom.cli.settings import Settings
    from strongroom.plan import Step

    T = TypeVar("T")

# What a role without a profile has from the profile that assumes it: where AWS is, and whose device proves what.
# Nothing that is said of the role that this profile may have itself.
_INHERITED = (
    "region",
    "mfa_serial",
    "mfa_process",
    "endpoint_url",
    "sts_endpoint_url",
    "sts_regional_endpoints",
    "use_fips_endpoint",
    "use_dualstack_endpoint",
    "ca_bundle",
    "browser",
)
# A policy that AWS takes has 2,048 characters; blanks and line breaks come on top.
_LIMIT_CHARACTERS = 1 << 17


def source_name(settings: Settings) -> str:
    """The profile whose credentials assume the role of ``--role``.

    Raises:
        UsageError: None is named, or a profile for the role itself.
    """
    arguments = settings.arguments
    if arguments.words:
        raise _no_word(arguments.words[0])
    name = arguments.text("source") or settings.variable("AWS_PROFILE")
    if not name:
        raise UsageError("--role: required flag --source not provided", "name the profile that assumes the role")
    retrieval.refuse_bytes(name)
    word = (arguments.command or [""])[0]
    if word and shutil.which(word) is None and _is_profile(settings, word):
        raise _no_word(word)
    return name


def planned(settings: Settings, name: str) -> tuple[Profile, tuple[Step, ...]]:
    """As `retrieval.planned`, for a session that the flags narrow.

    Raises:
        StrongroomError: Any of the tree.
    """
    arguments = settings.arguments
    flags = tuple(
        f"--{flag.name}" for flag in retrieval.NARROWING if flag.name in arguments.values and flag.name != "source"
    )
    if "role" not in arguments.values and "source" in arguments.values:
        raise UsageError("--source needs --role", "the source of a profile is its source_profile")
    if arguments.on("profile-env"):
        raise UsageError(
            f"Can't use --profile-env with {flags[0]}", "the command would get what the profile has, without limits"
        )
    policy, arns = _policies(settings)
    profile = _role(settings, name) if "role" in arguments.values else _profile(settings, name)
    if "tags" in arguments.values:
        pairs = (pair.partition("=") for pair in arguments.text("tags").split(","))
        _checked("tags", lambda: narrowing.tags((key.strip(), value.strip()) for key, _, value in pairs))
    if "source-identity" in arguments.values:
        _checked("source-identity", lambda: narrowing.source_identity(arguments.text("source-identity")))
    steps = retrieval.steps_to(settings, profile)
    return profile, narrowing.narrow(steps, plan.Narrowing(name, flags, policy=policy, policy_arns=arns))


def policy_of_file(settings: Settings, flag: str, path: str) -> str:
    """The policy in a file, as it is sent.

    Raises:
        UsageError: The file cannot be read, or is no policy.
    """
    try:
        with open(settings.expand(path), encoding="utf-8-sig") as file:
            text = file.read(_LIMIT_CHARACTERS)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"--{flag}: cannot read {path!r}: {reason}", "give a file, or a policy's ARN") from error
    except ValueError as error:  # of bytes that are no UTF-8, or a path that no file can have
        raise UsageError(f"--{flag}: {path!r} is no JSON: {error}") from error
    try:
        return narrowing.policy(text)
    except ValueError as error:
        raise UsageError(f"--{flag}: {path!r} {error}") from error


def _policies(settings: Settings) -> tuple[str, tuple[str, ...]]:
    """The session policies that the command line names: that of a file, and the ARNs of managed ones.

    A file is read once: a server that renews credentials for hours must not go by what is written there meanwhile,
    maybe by the very program that is to be held back.
    """
    values = settings.arguments.values
    words = settings.arguments.texts("session-policy")
    arns = _checked("session-policy", lambda: narrowing.policy_arns(word for word in words if word.startswith("arn:")))
    files = [word for word in words if not word.startswith("arn:")]
    if len(files) > 1:
        raise UsageError("--session-policy: AWS takes one policy that is not a managed one", "put them into one file")
    policies = [
        word if isinstance(word, _Read) else _Read(policy_of_file(settings, "session-policy", word)) for word in files
    ]
    if words:
        values["session-policy"] = (*arns, *policies)
    return "".join(policies), arns


class _Read(str):
    """A policy that has been read already."""

    __slots__ = ()


def _profile(settings: Settings, name: str) -> Profile:
    """The profile called *name*, with what the flags say of its role."""
    return profiles.resolve(settings.document(), name, flags=_flags(settings), environ=settings.environ)


def _role(settings: Settings, name: str) -> Profile:
    """A role without a profile, which the profile called *name* assumes. It is called by its ARN."""
    arn = settings.arguments.text("role")
    _checked("role", lambda: narrowing.role_arn(arn))
    flags = _flags(settings)
    # It is a source: what flags and variables say of the role that is wanted is not said of it.
    of_target = {field.flag for field in FIELDS if field.target}
    variables = {variable for field in FIELDS if field.target for variable in field.variables}
    source = profiles.resolve(
        settings.document(),
        name,
        flags={flag: text for flag, text in flags.items() if flag not in of_target},
        environ={variable: text for variable, text in settings.environ.items() if variable not in variables},
    )
    retrieval.refuse_unknown(settings, source)
    said = profiles.resolve(ini.Document("", settings.config_path), arn, flags=flags, environ=settings.environ)
    inherited = {field: place for field, place in source.places.items() if field in _INHERITED}
    by_whom = "--source" if settings.arguments.text("source") else "$AWS_PROFILE"
    values = {field: getattr(source, field) for field in inherited}
    values |= {field: getattr(said, field) for field in said.places}
    return Profile(
        arn,
        values | {"source_profile": name},
        source=source,
        warnings=tuple(dict.fromkeys([*said.warnings, *source.warnings])),
        places={"source_profile": by_whom, **inherited, **said.places},
    )


def _flags(settings: Settings) -> dict[str, str]:
    names: Iterable[str] = filter(None, (field.flag for field in FIELDS))
    given = {name: settings.arguments.text(name) for name in names}
    return {name: text for name, text in given.items() if text}


def _is_profile(settings: Settings, word: str) -> bool:
    try:
        return word in profiles.names(settings.document()) or word in settings.vault().credentials()
    except StrongroomError:
        return False


def _no_word(word: str) -> UsageError:
    return UsageError(
        f"with --role there is no profile word, got {word!r}", f"--source {word} has that profile assume the role"
    )


def _checked(flag: str, check: Callable[[], T]) -> T:
    try:
        return check()
    except ValueError as error:
        raise UsageError(f"--{flag}: {error}") from error
