"""What the agent is told by its config file: values only; `strongroom.agent.config_file` reads them."""

from __future__ import annotations

from dataclasses import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SSRF_HEADERS = ("X-Aws-Parameters-Secrets-Token", "X-Vault-Token")
SSRF_ENV_VARIABLES = ("AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN")


@dataclass(frozen=True, slots=True)
class Prefetch:
    """What is fetched at start.

    Attributes:
        cache_buffer_ratio: How much of the cache it may fill, 0.1 to 1.
        max_jitter_seconds: It begins after a random time of at most this.
        secrets: Pairs of secret id and role ARN (or None).
        filter_tags: Pairs of tag key and role ARN (or None).
    """

    cache_buffer_ratio: float = 0.8
    max_jitter_seconds: int = 0
    secrets: tuple[tuple[str, str | None], ...] = ()
    filter_tags: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True, slots=True)
class ClientRule:
    """One ``[[strongroom.clients]]``: who it is, and what it may have.

    Attributes:
        name: As the log shows it.
        token_file: The file with its token, or None.
        uid: The user id of its processes on the Unix socket, or None.
        secrets: Patterns of the ids, names and ARNs that it may read.
        roles: Patterns of the role ARNs that it may use in ``roleArn``.
    """

    name: str
    token_file: str | None = None
    uid: int | None = None
    secrets: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Own:
    """The ``[strongroom]`` table: what neither original has.

    Attributes:
        unix_socket: Path of a Unix socket to listen on beside TCP, or None.
        unix_socket_mode: Its permission bits.
        unix_socket_owner: ``user``, ``user:group`` or ``:group`` by name or number, or None for our own.
        allowed_hosts: Names that ``Host`` may have besides those of the loopback interface.
        max_stale_seconds: How long after its expiry a secret may be served while AWS cannot be asked; 0: never.
        negative_ttl_seconds: For how long a refusal by AWS (not found, denied) is remembered.
        ttl: Pairs of pattern and seconds; the first whose pattern fits the id or name of a secret counts.
        max_bytes: How many bytes of responses the cache may hold.
        attempt_timeout_seconds: For each attempt to reach AWS.
        total_timeout_seconds: For which a request waits for AWS, all attempts together.
        rejected_interval_seconds: How often ``rejected=`` may force a refresh of one secret.
        header_timeout_seconds: In which a client must have sent a request's head.
        idle_timeout_seconds: After which a connection without a request is closed.
        clients: Who may ask for what; without any, the token may have everything.
        access_log: Whether each request is logged.
        metrics_secret_names: Whether metrics name secrets.
        metrics_token_file: A file with a token that is good for ``/metrics`` only, or None.
    """

    unix_socket: str | None = None
    unix_socket_mode: int = 0o600
    unix_socket_owner: str | None = None
    allowed_hosts: tuple[str, ...] = ()
    max_stale_seconds: int = 3600
    negative_ttl_seconds: float = 2.0
    ttl: tuple[tuple[str, int], ...] = ()
    max_bytes: int = 64 * 1024 * 1024
    attempt_timeout_seconds: float = 2.0
    total_timeout_seconds: float = 6.0
    rejected_interval_seconds: float = 10.0
    header_timeout_seconds: float = 10.0
    idle_timeout_seconds: float = 120.0
    clients: tuple[ClientRule, ...] = ()
    access_log: bool = False
    metrics_secret_names: bool = False
    metrics_token_file: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that is in force, by the names of the flat file.

    Attributes:
        path: The file that was read, or None.
        enabled: Whether the Secrets Manager capability is on.
        http_port: 0 lets the system choose.
        region: Or None: environment, profile, instance metadata, or the secret's ARN tell.
        origins: Key path -> where its value comes from, for what is not a default: ``FILE line N``.
        warnings: What should be changed but is understood.
    """

    path: str | None = None
    enabled: bool = True
    log_level: str = "info"
    log_to_file: bool = True
    http_port: int = 2773
    ttl_seconds: int = 300
    cache_size: int = 1000
    ssrf_headers: tuple[str, ...] = SSRF_HEADERS
    ssrf_env_variables: tuple[str, ...] = SSRF_ENV_VARIABLES
    path_prefix: str = "/v1/"
    max_conn: int = 800
    max_roles: int = 20
    region: str | None = None
    ignore_transient_errors: bool = True
    validate_credentials: bool = True
    credentials_file_path: str | None = None
    prefetch: Prefetch = Prefetch()
    own: Own = Own()
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
