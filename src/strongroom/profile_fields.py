"""The settings that a profile can have: their names in each place where they stand, and how they are read.

One table, :data:`FIELDS`. A setting that is new to strongroom is a row here and an annotation in
:class:`strongroom.profiles.Profile`. The keys are those of the AWS CLI and SDKs (AWS SDKs and Tools Reference Guide,
"Settings reference") and of aws-vault.
"""

from __future__ import annotations

from strongroom import durations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

#: What STS accepts as DurationSeconds of AssumeRole, and of GetSessionToken and GetFederationToken.
ROLE_SECONDS = (900, 43_200)
SESSION_SECONDS = (900, 129_600)


# How values are read. A parser never gets an empty text, returns None for "not set", and raises ValueError.


def _text(text: str) -> str:
    return text


def _switch(text: str) -> bool:
    try:
        return {"true": True, "false": False}[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither 'true' nor 'false'") from None


def _duration(text: str) -> int | None:
    return durations.parse(text) or None


def _duration_seconds(text: str) -> int | None:
    """The AWS CLI's plain seconds, or ``1h``."""
    return durations.parse(text, plain=True) or None


def _words(text: str) -> tuple[str, ...] | None:
    return tuple(word.strip() for word in text.split(",") if word.strip()) or None


def _tags(text: str) -> tuple[tuple[str, str], ...] | None:
    """``k=v,k=v``; a comma cannot be written in a value."""
    tags = {}
    for pair in text.split(","):
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{pair!r} is not KEY=VALUE: write KEY=VALUE,KEY=VALUE")
        tags[key.strip()] = value.strip()
    return tuple(tags.items()) or None


class Field:
    """One setting of a profile: what it is called in each place, and how it is read.

    Args:
        name: The attribute of :class:`Profile`.
        parse: Text to value; None means "not set", ValueError "wrong".
        key: The key in a config file, if not *name*; "" for none.
        variables: Environment variables, the strongest first.
        flag: The command-line flag without its dashes.
        target: Whether the variables count only for the profile that was asked for, not for its sources.
        parse_key: How the text in a config file is read, if not by *parse*.
        session: Whether an ``sso-session`` section may hold it.
        limits: Of a duration, the least and the most seconds.
        limited_by: The limits matter only to profiles that have this other field.
        unset: The value where nobody set one.
    """

    __slots__ = (
        "flag",
        "key",
        "limited_by",
        "limits",
        "name",
        "parse",
        "parse_key",
        "session",
        "target",
        "unset",
        "variables",
    )

    def __init__(
        self,
        name: str,
        parse: Callable[[str], Any] = _text,  # each row gives its own type; Profile's annotations tell it
        *,
        key: str | None = None,
        variables: tuple[str, ...] = (),
        flag: str = "",
        target: bool = False,
        parse_key: Callable[[str], Any] | None = None,
        session: bool = False,
        limits: tuple[int, int] | None = None,
        limited_by: str = "",
        unset: object = None,
    ) -> None:
        self.name = name
        self.parse = parse
        self.parse_key = parse_key or parse
        self.key = name if key is None else key
        self.variables = variables
        self.flag = flag
        self.target = target
        self.session = session
        self.limits = limits
        self.limited_by = limited_by
        self.unset = unset

    def reason_against(self, seconds: Any, others: Mapping[str, Any]) -> str:
        """Why AWS would not take a duration of so many *seconds* in a profile with these *others*, or ""."""
        if self.limits is None or seconds is None or (self.limited_by and self.limited_by not in others):
            return ""
        least, most = self.limits
        if least <= seconds <= most:
            return ""
        return f"{durations.show(seconds)} is not within AWS's {durations.show(least)} to {durations.show(most)}"


FIELDS = (
    Field("region", variables=("AWS_REGION", "AWS_DEFAULT_REGION"), flag="region"),
    Field("source_profile"),
    Field("include_profile"),
    Field("credential_source"),
    Field("credential_process"),
    Field("login_session"),
    # the role
    Field("role_arn", variables=("AWS_ROLE_ARN",), flag="role", target=True),
    Field("role_session_name", variables=("AWS_ROLE_SESSION_NAME",), target=True),
    Field("external_id"),
    Field("session_tags", _tags, variables=("AWS_SESSION_TAGS",), flag="tags", target=True, unset=()),
    Field("transitive_session_tags", _words, variables=("AWS_TRANSITIVE_TAGS",), target=True, unset=()),
    Field("source_identity", variables=("AWS_SOURCE_IDENTITY",), flag="source-identity", target=True),
    Field("web_identity_token_file"),
    Field("web_identity_token_process"),
    # how long: after role_arn, which says whether a role's limits matter
    Field(
        "assume_role_duration",
        _duration,
        key="duration_seconds",
        parse_key=_duration_seconds,
        variables=("AWS_ASSUME_ROLE_TTL",),
        flag="duration",
        limits=ROLE_SECONDS,
        limited_by="role_arn",
    ),
    Field(
        "session_token_duration",
        _duration,
        key="",
        variables=("AWS_SESSION_TOKEN_TTL",),
        flag="duration",
        limits=SESSION_SECONDS,
    ),
    Field(
        "chained_session_token_duration",
        _duration,
        key="",
        variables=("AWS_CHAINED_SESSION_TOKEN_TTL",),
        flag="duration",
        limits=SESSION_SECONDS,
    ),
    Field(
        "federation_token_duration",
        _duration,
        key="",
        variables=("AWS_FEDERATION_TOKEN_TTL",),
        flag="duration",
        limits=SESSION_SECONDS,
    ),
    # the second factor
    Field("mfa_serial", variables=("AWS_MFA_SERIAL",)),
    Field("mfa_process"),
    # IAM Identity Center: after sso_session, whose section comes first for the rest
    Field("sso_session"),
    Field("sso_start_url", session=True),
    Field("sso_region", session=True),
    Field("sso_registration_scopes", _words, session=True, unset=()),
    Field("sso_account_id"),
    Field("sso_role_name"),
    # where AWS is
    Field("endpoint_url", variables=("AWS_ENDPOINT_URL",)),
    Field("sts_endpoint_url", key="", variables=("AWS_ENDPOINT_URL_STS",)),
    Field("sts_regional_endpoints", variables=("AWS_STS_REGIONAL_ENDPOINTS",)),
    Field("use_fips_endpoint", _switch, variables=("AWS_USE_FIPS_ENDPOINT",)),
    Field("use_dualstack_endpoint", _switch, variables=("AWS_USE_DUALSTACK_ENDPOINT",)),
    Field("ca_bundle", variables=("AWS_CA_BUNDLE",)),
    Field("services"),
    # what a server may do for whoever asks it
    Field("allowed_roles", _words, unset=()),
    # where its pages are shown
    Field("browser", variables=("STRONGROOM_BROWSER",), flag="browser"),
)
