"""Every option of the agent's config file, in one table: it drives reading, checking, showing and the docs' test.

A file is *flat*, as the AWS Secrets Manager Agent has it, or *nested*, as the AWS Workload Credentials Provider has it;
the ``[strongroom]`` table is the same in both.
"""

from __future__ import annotations

import re

from strongroom.agent.option import NOT_EMPTY, Option, Path
from strongroom.agent.own_options import OWN_OPTIONS

# As `roleArn` is checked; https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
ROLE_ARN = re.compile(r"arn:[\w-]+:iam::\d{12}:role/[\w+=,.@/-]+", re.ASCII)

_SM = "capabilities.secrets_manager"
_INVALID = "specified in the configuration file isn't valid."

_ROLE = Option(
    name="role_arn",
    kind="text",
    summary="The role to fetch it with.",
    pattern=ROLE_ARN,
    message=f"The IAM role ARN {_INVALID}",
)
_SECRETS = (
    Option(
        name="secret_id",
        kind="text",
        summary="Name or ARN of the secret.",
        pattern=NOT_EMPTY,
        message="The secret id can't be empty.",
        is_required=True,
    ),
    _ROLE,
)
_FILTER_TAGS = (
    Option(
        name="key",
        kind="text",
        summary="Key of the tag; every secret that has it is fetched.",
        pattern=NOT_EMPTY,
        message="The tag key can't be empty.",
        is_required=True,
    ),
    _ROLE,
)
OPTIONS = (
    # The order of the originals' lists and checks.
    Option(
        name="log_level",
        nested="logging.log_level",
        kind="text",
        summary="`debug`, `info`, `warn`, `error` or `none`, in any letter case.",
        pattern=re.compile("debug|info|warn|error|none", re.ASCII | re.IGNORECASE),
        message=f"The log level {_INVALID} The log level must be DEBUG, INFO, WARN, ERROR, or NONE.",
        field="log_level",
    ),
    Option(
        name="log_to_file",
        nested="logging.log_to_file",
        kind="flag",
        summary="Log to rotating files in `./logs` instead of stdout.",
    ),
    Option(
        name="http_port",
        nested=f"{_SM}.http_port",
        kind="number",
        summary="The port on the loopback interface; 0: one that the system chooses, as the first output tells.",
        low=1024,
        high=65535,
        or_zero=True,
        message=f"The HTTP port {_INVALID} The HTTP port must be in the range 1024 to 65535.",
    ),
    Option(
        name="ttl_seconds",
        nested=f"{_SM}.cache.ttl_seconds",
        kind="number",
        summary="How long a secret is served from the cache; 0: AWS is asked each time.",
        high=3600,
        message=f"The TTL in seconds {_INVALID} The TTL in seconds must be in the range 0 to 3600.",
    ),
    Option(
        name="cache_size",
        nested=f"{_SM}.cache.cache_size",
        kind="number",
        summary="How many secrets the cache holds.",
        low=1,
        high=1000,
        message=f"The cache size {_INVALID} The cache size must be in the range 1 to 1000.",
    ),
    Option(
        name="ssrf_headers",
        nested=f"{_SM}.security.ssrf_headers",
        kind="texts",
        summary="The headers that may bring the token.",
        low=1,
        message="The list of SSRF headers in the configuration file can't be empty.",
    ),
    Option(
        name="ssrf_env_variables",
        nested=f"{_SM}.security.ssrf_env_variables",
        kind="texts",
        summary="The variables that may hold the token or name its file; the first that is set counts.",
        low=1,
        message="The list of SSRF environment variables in the configuration file can't be empty.",
    ),
    Option(
        name="path_prefix",
        nested=f"{_SM}.path_prefix",
        kind="text",
        summary="What stands before the secret's id in requests that name it in the path.",
        pattern=re.compile("/.*", re.DOTALL),
        message="The path prefix specified in the configuration file must begin with /.",
    ),
    Option(
        name="max_conn",
        nested=f"{_SM}.max_conn",
        kind="number",
        summary="How many connections may have a request in hand at the same time.",
        low=1,
        high=1000,
        message=f"The maximum number of connections {_INVALID} "
        "The maximum number of connections must be in the range 1 to 1000.",
    ),
    Option(
        name="region",
        nested=f"{_SM}.region",
        kind="text",
        summary="The AWS region; without it environment, profile or the secret's ARN tell.",
    ),
    Option(
        name="ignore_transient_errors",
        nested=f"{_SM}.ignore_transient_errors",
        kind="flag",
        summary="Serve what is cached while AWS cannot be asked.",
    ),
    Option(
        name="validate_credentials",
        nested=f"{_SM}.validate_credentials",
        kind="flag",
        summary="Try the credentials before listening.",
    ),
    Option(
        name="credentials_file_path",
        nested=f"{_SM}.credentials_file_path",
        kind="text",
        summary="A file with credentials, read again when it changes, instead of the SDK's chain.",
    ),
    Option(
        name="max_roles",
        nested=f"{_SM}.max_roles",
        kind="number",
        summary="How many roles may be in use through `roleArn` at the same time.",
        low=1,
        high=20,
        message=f"The maximum number of roles {_INVALID} The maximum number of roles must be in the range 1 to 20.",
    ),
    Option(
        name="prefetch.cache_buffer_ratio",
        nested=f"{_SM}.prefetch.cache_buffer_ratio",
        kind="seconds",
        summary="The share of the cache that may be filled at start.",
        low=0.1,
        high=1.0,
        message=f"The cache buffer ratio {_INVALID} The cache buffer ratio must be in the range 0.1 to 1.0.",
        earlier_message="The cache_buffer_ratio specified in the prefetch configuration isn't valid. "
        "The cache_buffer_ratio must be between 0.1 and 1.0.",
    ),
    Option(
        name="prefetch.max_jitter_seconds",
        nested=f"{_SM}.prefetch.max_jitter_seconds",
        kind="number",
        summary="Fetching at start begins after a random time of at most this.",
        high=10,
        message=f"The max jitter seconds {_INVALID} The max jitter seconds must be in the range 0 to 10.",
        earlier_message="The max_jitter_seconds specified in the prefetch configuration isn't valid. "
        "The max_jitter_seconds must be in the range 0 to 10.",
    ),
    Option(
        name="prefetch.secrets",
        nested=f"{_SM}.prefetch.secrets",
        kind="rows",
        summary="Secrets that are fetched at start.",
        columns=_SECRETS,
        row_name="secret",
    ),
    Option(
        name="prefetch.filter_tags",
        nested=f"{_SM}.prefetch.filter_tags",
        kind="rows",
        summary="Secrets that have one of these tags are fetched at start.",
        columns=_FILTER_TAGS,
        row_name="tag",
    ),
    # Only the nested form has it; a flat file never says no.
    Option(
        name="enabled",
        nested=f"{_SM}.enabled",
        kind="flag",
        summary="Whether secrets are served at all; in nested files only.",
    ),
    *OWN_OPTIONS,
)

# Accepted in nested files and not looked into: certificates are another matter.
ACM: Path = ("capabilities", "acm")


def known_keys(nested: bool) -> dict[Path, tuple[str, ...]]:
    """Return the keys of every table of a file, each in the order in which messages list them."""
    found: dict[Path, list[str]] = {(): []}
    for option in in_form(nested):
        path = option.path(nested)
        for depth in range(len(path)):
            keys = found.setdefault(path[:depth], [])
            if path[depth] not in keys:
                keys.append(str(path[depth]))
    if nested:
        found[ACM[:1]].append(str(ACM[1]))
    return {path: tuple(keys) for path, keys in found.items()}


def in_form(nested: bool) -> tuple[Option, ...]:
    """Return the options that a file of one form may have."""
    return OPTIONS if nested else tuple(option for option in OPTIONS if option.name != "enabled")
