"""The environment of the command that we run: what is taken out, what is put in."""

from __future__ import annotations

import os

from strongroom.cli.mark import MARK, written

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from strongroom.credentials import Credentials
    from strongroom.profiles import Profile

# Credentials, and pointers to credentials, of whatever went before: an SDK would prefer some of them to ours.
STALE = frozenset(
    {
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        "AWS_CREDENTIAL_FILE",
        "AWS_CREDENTIAL_EXPIRATION",
        "AWS_SESSION_EXPIRATION",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
    }
)
STALE_PREFIX = "AWS_CONTAINER_"
# They choose a profile, which would lead an SDK past the credentials that it was given.
CHOOSERS = frozenset({"AWS_DEFAULT_PROFILE", "AWS_PROFILE", "AWS_SDK_LOAD_CONFIG"})

# What tells SDKs not to ask the instance metadata service, or where another one is.
METADATA = frozenset(
    {
        "AWS_EC2_METADATA_DISABLED",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
    }
)

# What the interpreter sets LC_CTYPE to, for itself and its children, when it is started in a C locale (PEP 538).
COERCED_LOCALES = frozenset({"C.UTF-8", "C.utf8", "UTF-8"})

# What opens the vault itself.
VAULT_SECRETS = frozenset(
    {
        "AWS_VAULT_FILE_PASSPHRASE",
        "AWS_VAULT_OP_CONNECT_TOKEN",
        "AWS_VAULT_OP_SERVICE_ACCOUNT_TOKEN",
    }
)


def of_child(
    inherited: Mapping[str, str],
    marked: Iterable[str],
    profile: Profile,
    credentials: Credentials | None,
    *,
    keep_vault_secrets: bool = False,
    served: Mapping[str, str] | None = None,
    removed: Collection[str] = (),
) -> dict[str, str]:
    """The environment of the command that ``exec`` runs.

    Args:
        inherited: Our own environment.
        marked: The variables in it that an outer strongroom set.
        profile: The profile that is used.
        credentials: Its credentials; without them the child is given the profile's name instead.
        keep_vault_secrets: Whether the child may open the vault as we do.
        served: What it finds our server by, if credentials are served to it; they are then all it gets.
        removed: Variables that would lead it elsewhere, or that open the keystore in use.
    """
    ours = {"AWS_VAULT": profile.name}
    if profile.region:
        ours |= {"AWS_REGION": profile.region, "AWS_DEFAULT_REGION": profile.region}
    if profile.endpoint_url:
        ours["AWS_ENDPOINT_URL"] = profile.endpoint_url
    if served is not None:
        ours |= served
    else:
        ours |= {"AWS_PROFILE": profile.name} if credentials is None else credentials.environment()
    outer = frozenset(marked) | {MARK}
    child = {
        name: value
        for name, value in without_credentials(inherited, keep_vault_secrets=keep_vault_secrets).items()
        if name not in CHOOSERS and name not in outer and name not in removed
    }
    # A variable of the user's that we only repeat stays the user's: a strongroom in the child should heed it.
    changed = {name: value for name, value in ours.items() if child.get(name) != value}
    return child | ours | {MARK: written(changed)}


def of_helper(inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a program that answers a question of ours, such as ``mfa_process``."""
    return without_credentials(inherited)


def without_credentials(inherited: Mapping[str, str], *, keep_vault_secrets: bool = False) -> dict[str, str]:
    """*inherited* without AWS credentials and, unless they are to be kept, without what opens the vault."""
    return {
        name: value
        for name, value in as_started(inherited).items()
        if name not in STALE and not name.startswith(STALE_PREFIX) and (keep_vault_secrets or name not in VAULT_SECRETS)
    }


def as_started(variables: Mapping[str, str]) -> Mapping[str, str]:
    """*variables* as they were before the interpreter set LC_CTYPE: the locale of a command is the user's business.

    Only the kernel still knows (proc_pid_environ(5)); on a system that does not tell, LC_CTYPE stays.
    """
    if variables is not os.environ or variables.get("LC_CTYPE") not in COERCED_LOCALES:
        return variables
    try:
        with open("/proc/self/environ", "rb") as file:
            started = file.read().split(b"\0")
    except OSError:
        return variables
    given = [os.fsdecode(entry[9:]) for entry in started if entry.startswith(b"LC_CTYPE=")]
    rest = {name: value for name, value in variables.items() if name != "LC_CTYPE"}
    return rest | {"LC_CTYPE": given[0]} if given else rest
