"""The door to AWS: botocore, told everything explicitly, its errors translated.

botocore would read the shared AWS files and run its own credential chain; strongroom must not be led by either (the
config may name strongroom itself as ``credential_process``), so both are turned off and every setting is passed in.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import os
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

import botocore
import botocore.awsrequest
import botocore.config
import botocore.exceptions
import botocore.httpsession
import botocore.loaders
import botocore.parsers
import botocore.session
import botocore.utils

from strongroom.credentials import shown_key_id
from strongroom.durations import show
from strongroom.errors import AwsError, AwsRefused, AwsUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from strongroom.credentials import Credentials

# Standard mode's own count: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
ATTEMPTS = 3
CONNECT_SECONDS = 5
READ_SECONDS = 15

# AWS refuses a signature that is older or newer than this:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html
CLOCK_SKEW_SECONDS = 15 * 60

# The names that botocore has for what we call. It would look through all of its four hundred services for each.
_SERVICES = ("iam", "signin", "sso", "sso-oidc", "sts")

# Where a partition's STS is asked when no region is configured. STS is the same everywhere in a partition.
DEFAULT_REGIONS = {
    "aws": "us-east-1",
    "aws-cn": "cn-north-1",
    "aws-us-gov": "us-gov-west-1",
    "aws-eusc": "eusc-de-east-1",
    "aws-iso": "us-iso-east-1",
    "aws-iso-b": "us-isob-east-1",
    "aws-iso-e": "eu-isoe-west-1",
    "aws-iso-f": "us-isof-south-1",
}


class Endpoint:
    """Where and how a service is reached. Immutable by convention.

    Args:
        region: The region to sign for.
        url: The address to call instead of AWS's own, or None.
        legacy_sts: Whether STS is asked at its global address where it has one.
        fips: Whether the FIPS endpoint is asked for.
        dualstack: Whether the dual-stack (IPv4 and IPv6) endpoint is asked for.
        ca_bundle: Path of a file of trusted certificates, or None for the system's.
    """

    __slots__ = ("ca_bundle", "dualstack", "fips", "legacy_sts", "region", "url")

    def __init__(
        self,
        region: str,
        url: str | None = None,
        *,
        legacy_sts: bool = False,
        fips: bool = False,
        dualstack: bool = False,
        ca_bundle: str | None = None,
    ) -> None:
        self.region = region
        self.url = url
        self.legacy_sts = legacy_sts
        self.fips = fips
        self.dualstack = dualstack
        self.ca_bundle = ca_bundle


def connect(service: str, endpoint: Endpoint, credentials: Credentials | None, *, attempts: int | None = None) -> Any:
    """A botocore client for *service*.

    Args:
        service: botocore's name of it.
        endpoint: Where and how it is reached.
        credentials: None for calls that are not signed.
        attempts: How often a call is tried in all, if not `ATTEMPTS`; 1 where the caller knows better when to try
            again.

    Raises:
        AwsError: The endpoint's settings make no sense to botocore, or name certificates that are not there; or the
            credentials cannot be sent.
    """
    if credentials is not None:
        _check_characters(credentials)
    _check_certificates(endpoint.ca_bundle)
    # `profile` without its environment variables: AWS_PROFILE may name anything, and must not matter here.
    session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    for variable, value in (
        ("config_file", os.devnull),
        ("credentials_file", os.devnull),
        ("sts_regional_endpoints", "legacy" if endpoint.legacy_sts else "regional"),
    ):
        session.set_config_variable(variable, value)
    session.register_component("data_loader", _loader(session.get_config_variable("data_path")))
    config = botocore.config.Config(
        retries={"mode": "standard", "total_max_attempts": attempts or ATTEMPTS},
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        use_fips_endpoint=endpoint.fips,
        use_dualstack_endpoint=endpoint.dualstack,
        ignore_configured_endpoint_urls=True,
        defaults_mode="legacy",
        user_agent_extra="strongroom",
        signature_version=None if credentials is not None else botocore.UNSIGNED,
    )
    with _translated(f"{service} in region {endpoint.region!r}"):
        return session.create_client(
            service,
            region_name=endpoint.region,
            endpoint_url=endpoint.url,
            verify=endpoint.ca_bundle,
            aws_access_key_id=credentials and credentials.access_key_id,
            aws_secret_access_key=credentials and credentials.secret_access_key,
            aws_session_token=(credentials and credentials.session_token) or None,
            config=config,
        )


def _check_certificates(ca_bundle: str | None) -> None:
    if ca_bundle and not os.path.exists(ca_bundle):
        # botocore would say so at the first call, without the path.
        raise AwsError(f"there are no certificates at {ca_bundle!r}", "check AWS_CA_BUNDLE and ca_bundle")


@functools.cache
def _loader(data_path: str | None) -> Any:
    """What reads botocore's descriptions of services, and keeps them: each takes a tenth of a second to read."""
    loader = botocore.loaders.create_loader(data_path)
    loader.list_available_services = lambda _type_name: _SERVICES
    return loader


def _check_characters(credentials: Credentials) -> None:
    for value in (credentials.access_key_id, credentials.secret_access_key, credentials.session_token):
        if not (value.isascii() and value.isprintable()):
            # They travel in HTTP headers, and the library that refuses such a header quotes it: a secret, maybe.
            raise AwsError(
                f"the access key {shown_key_id(credentials.access_key_id)!r} holds characters that no access key has",
                "store it again with `strongroom add`",
            )


def call(operation: Callable[..., dict[str, Any]], name: str, **parameters: object) -> dict[str, Any]:
    """Make one call; a parameter that is None or empty is not sent.

    Raises:
        AwsRefused: AWS answered with an error.
        AwsUnreachable: There was no answer that makes sense.
    """
    sent = {key: value for key, value in parameters.items() if value}
    with _translated(name):
        return operation(**sent)


def post_form(name: str, url: str, fields: Mapping[str, str], *, ca_bundle: str | None = None) -> tuple[int, bytes]:
    """Send a form to an address of AWS's that is no API of an SDK: once, not signed, no redirect followed.

    Args:
        name: What is asked for, in messages.
        url: Where; it is shown in messages.
        fields: The form; never shown.
        ca_bundle: Path of a file of trusted certificates, or None for the system's.

    Returns:
        The HTTP status and the body.

    Raises:
        AwsError: There are no such certificates.
        AwsUnreachable: There was no answer.
    """
    _check_certificates(ca_bundle)
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": "strongroom"}
    request = botocore.awsrequest.AWSRequest("POST", url, headers, urllib.parse.urlencode(fields).encode())
    session = botocore.httpsession.URLLib3Session(
        verify=ca_bundle or True,
        proxies=botocore.utils.get_environ_proxies(url),
        timeout=(CONNECT_SECONDS, READ_SECONDS),
    )
    try:
        with _translated(name):
            answer = session.send(request.prepare())
            return answer.status_code, answer.content
    finally:
        session.close()


# botocore's errors of the way to AWS and back; its others are about settings.
_NO_ANSWER = (
    botocore.exceptions.ConnectionError,
    botocore.exceptions.HTTPClientError,
    botocore.exceptions.IncompleteReadError,
)


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except botocore.exceptions.ClientError as error:
        raise _refused(name, error) from error
    except botocore.exceptions.ParamValidationError as error:
        raise AwsError(
            f"{name}: {_one_line(error)}", "a setting of the profile has a form that AWS does not take"
        ) from error
    except (botocore.parsers.ResponseParserError, KeyError):
        # Of an answer that is no XML, and of one that is some other XML, such as the page of a captive portal. It does
        # not go on as a cause: its message repeats the answer, which may be cut short after the credentials in it.
        raise _foreign(name) from None
    except _NO_ANSWER as error:
        raise _unreachable(name, error) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        # Of a region or an address that cannot be one, and of variables that botocore reads and makes no sense of.
        raise AwsError(f"{name}: {_one_line(error)}", "check endpoint_url, region and variables named AWS_*") from error


def _refused(name: str, error: Any) -> AwsError:
    answer = error.response
    code = str(answer.get("Error", {}).get("Code", ""))
    # OAuth has names of its own: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
    told = answer.get("Error", {}).get("Message") or answer.get("error_description")
    message = _one_line(told or "no reason given")
    metadata = answer.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 0))
    if status >= 500 and (not code or code.isdigit()):
        return AwsUnreachable(f"{name} failed at AWS's side with HTTP status {status}", "try again in a moment")
    if not code:
        return _foreign(f"{name}, with HTTP status {status},")
    hint = _hint_for(code, message, metadata.get("HTTPHeaders", {}).get("date"))
    return AwsRefused(code, status, f"{name} was refused ({code}): {message}", hint)


def retry_after_seconds(error: AwsError) -> float:
    """How long AWS asks to be left alone, by the Retry-After header of the answer that *error* tells of.

    Returns:
        0 if it does not; a time of day instead of a number is not read.
    """
    cause: Any = error.__cause__
    if not isinstance(cause, botocore.exceptions.ClientError):
        return 0.0
    text = cause.response.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


_HINTS = {
    "InvalidClientTokenId": "the access key is deleted, inactive or of another partition: "
    "store a current one with `strongroom add`",
    "SignatureDoesNotMatch": "the stored secret does not belong to the stored access key id: "
    "store both again with `strongroom add`",
    "ExpiredToken": "the session has expired: `strongroom clear` removes stored ones",
    "InternalFailure": "try again in a moment",
    "ServiceUnavailable": "try again in a moment",
    "Throttling": "AWS limits the rate of calls: try again in a moment",
    "ThrottlingException": "AWS limits the rate of calls: try again in a moment",
    "TooManyRequestsException": "AWS limits the rate of calls: try again in a moment",
    "PackedPolicyTooLarge": "policies and tags share little room: shorten them, or make managed policies of the former",
    "RequestLimitExceeded": "AWS limits the rate of calls: try again in a moment",
}


def _hint_for(code: str, message: str, date: str | None) -> str:
    skew = _clock_skew(date)
    # AWS says it in words: a signature from the future is refused after five minutes already.
    told = message.startswith(("Signature expired", "Signature not yet current"))
    if told or (abs(skew) > CLOCK_SKEW_SECONDS and ("Signature" in code or "Time" in code or "Expired" in code)):
        direction = "behind" if skew > 0 else "ahead of"
        return f"this machine's clock is {show(abs(skew))} {direction} AWS's: set it, and try again"
    if code == "AccessDenied" and "MultiFactorAuthentication" in message:
        return "the role's trust policy asks for MFA: set mfa_serial, or check the code"
    if code == "ValidationError" and "DurationSeconds" in message:
        return "ask for less with --duration, or raise the role's maximum session duration"
    return _HINTS.get(code, "")


def _clock_skew(date: str | None) -> float:
    """By how many seconds AWS's clock is ahead of ours, by the Date header of its answer; 0 when it has none."""
    try:
        return email.utils.parsedate_to_datetime(date or "").timestamp() - time.time()
    except ValueError:
        return 0


def _unreachable(name: str, error: Exception) -> AwsUnreachable:
    text = _one_line(error)
    if isinstance(error, botocore.exceptions.SSLError):
        hint = "if a proxy re-signs connections, name its certificate in AWS_CA_BUNDLE or ca_bundle"
    elif isinstance(error, botocore.exceptions.ProxyConnectionError):
        hint = "check HTTPS_PROXY"
    else:
        hint = "check the network, region and endpoint_url"
    return AwsUnreachable(f"{name} did not reach AWS: {text}", hint)


def _foreign(name: str) -> AwsUnreachable:
    return AwsUnreachable(
        f"{name} was answered with something that is not AWS's format",
        "check endpoint_url, and whether a proxy or a sign-in page stands in between",
    )


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:500]
