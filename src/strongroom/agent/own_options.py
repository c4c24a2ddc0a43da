"""The options of the ``[strongroom]`` table, which neither original has."""

from __future__ import annotations

import re

from strongroom.agent.option import NOT_EMPTY, Option

DAY_SECONDS = 86_400
MIB = 1024 * 1024

_HOST = re.compile(r"[\w-]+(\.[\w-]+)*\.?|\[?[0-9a-f:]*:[0-9a-f:.]*\]?", re.ASCII | re.IGNORECASE)
_OWNER = re.compile(r"[^:\s]+(:[^:\s]+)?|:[^:\s]+")
# Names stand in the log, one record a line.
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def _range(what: str, low: float, high: float, unit: str = "") -> str:
    return f"{what} must be in the range {low} to {high}{unit}."


_CLIENTS = (
    Option(
        name="name",
        kind="text",
        summary="Its name in the log.",
        pattern=_NAME,
        message="The name of a client can't be empty or hold control characters.",
        is_required=True,
    ),
    Option(
        name="token_file",
        kind="text",
        summary="The file with its token.",
        pattern=NOT_EMPTY,
        message="The path of a token file can't be empty.",
        is_quiet=True,
    ),
    Option(
        name="uid",
        kind="number",
        summary="The user id of its processes, on the Unix socket.",
        high=2**32 - 2,
        message=_range("A user id", 0, 2**32 - 2),
    ),
    Option(
        name="secrets",
        kind="texts",
        summary="Patterns of the ids, names and ARNs of secrets that it may read.",
        pattern=NOT_EMPTY,
        message="A pattern can't be empty.",
    ),
    Option(
        name="roles",
        kind="texts",
        summary="Patterns of the ARNs of roles that it may use.",
        pattern=NOT_EMPTY,
        message="A pattern can't be empty.",
    ),
)

OWN_OPTIONS = (
    Option(
        name="strongroom.unix_socket",
        kind="socket",
        summary="Path of a Unix socket to listen on, beside the port.",
    ),
    Option(
        name="strongroom.unix_socket_mode",
        kind="octal",
        summary='Its permission bits, in quotes: `"0660"`.',
        pattern=re.compile("0?[0-7]{3}", re.ASCII),
        message='The mode of the Unix socket must be three or four octal digits in quotes, such as "0660".',
    ),
    Option(
        name="strongroom.unix_socket_owner",
        kind="text",
        summary="Its owner: `user`, `user:group` or `:group`, by name or number.",
        pattern=_OWNER,
        message="The owner of the Unix socket must be user, user:group, or :group.",
    ),
    Option(
        name="strongroom.allowed_hosts",
        kind="texts",
        summary="Names that the `Host` header may have besides those of the loopback interface.",
        pattern=_HOST,
        message="An allowed host must be a name or an address, without scheme and port.",
    ),
    Option(
        name="strongroom.max_stale_seconds",
        kind="number",
        summary="How long after its time a cached secret may be served while AWS cannot be asked; 0: never.",
        high=DAY_SECONDS,
        message=_range("The maximum staleness", 0, DAY_SECONDS, " seconds"),
    ),
    Option(
        name="strongroom.negative_ttl_seconds",
        kind="seconds",
        summary="For how long it is remembered that AWS said no.",
        high=300,
        message=_range("The negative TTL", 0, 300, " seconds"),
    ),
    Option(
        name="strongroom.ttl",
        kind="times",
        summary="A table of patterns: how long a secret is served from the cache whose id, name or ARN fits; "
        "the first that fits counts.",
        high=DAY_SECONDS,
        message=_range("A TTL", 0, DAY_SECONDS, " seconds"),
    ),
    Option(
        name="strongroom.max_bytes",
        kind="number",
        summary="How many bytes of responses the cache holds.",
        low=MIB,
        high=64 * 1024 * MIB,
        message=_range("The size of the cache", MIB, 64 * 1024 * MIB, " bytes"),
    ),
    Option(
        name="strongroom.attempt_timeout_seconds",
        kind="seconds",
        summary="How long one attempt to reach AWS may take.",
        low=0.1,
        high=60,
        message=_range("The time for an attempt", 0.1, 60, " seconds"),
    ),
    Option(
        name="strongroom.total_timeout_seconds",
        kind="seconds",
        summary="How long a request waits for AWS, all attempts together.",
        low=0.1,
        high=300,
        message=_range("The time for all attempts", 0.1, 300, " seconds"),
    ),
    Option(
        name="strongroom.rejected_interval_seconds",
        kind="seconds",
        summary="How often `rejected=` may have one secret fetched anew.",
        high=3600,
        message=_range("The interval between rejections", 0, 3600, " seconds"),
    ),
    Option(
        name="strongroom.header_timeout_seconds",
        kind="seconds",
        summary="How long a client may take to send a request.",
        low=0.1,
        high=300,
        message=_range("The time for a request's head", 0.1, 300, " seconds"),
    ),
    Option(
        name="strongroom.idle_timeout_seconds",
        kind="seconds",
        summary="How long a connection without a request stays open.",
        low=1,
        high=DAY_SECONDS,
        message=_range("The time for an idle connection", 1, DAY_SECONDS, " seconds"),
    ),
    Option(
        name="strongroom.clients",
        kind="rows",
        summary="Who may read what; without any, the token may read everything.",
        columns=_CLIENTS,
        row_name="client",
    ),
    Option(
        name="strongroom.access_log",
        kind="flag",
        summary="Log each request.",
    ),
    Option(
        name="strongroom.metrics_secret_names",
        kind="flag",
        summary="Name secrets in `/metrics`.",
    ),
    Option(
        name="strongroom.metrics_token_file",
        kind="text",
        summary="A file with a token that is good for `/metrics` only.",
        pattern=NOT_EMPTY,
        message="The path of a token file can't be empty.",
        is_quiet=True,
    ),
)
