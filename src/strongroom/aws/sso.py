"""Calls to IAM Identity Center: its OAuth server, which gives tokens, and its portal, which takes them.

* https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/
* https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/

None of them is signed: what proves who asks travels in the request. Whoever signs in polls, and whoever lists pages, so
each service is an object that keeps its connection.
"""

from __future__ import annotations

import random
import time
import urllib.parse
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from strongroom.aws import client
from strongroom.credentials import Credentials
from strongroom.errors import AwsError, AwsRefused, AwsUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

    from strongroom.profiles import Profile

T = TypeVar("T")

CLIENT_NAME = "strongroom"

AUTHORIZATION_CODE = "authorization_code"
DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the name of a grant

# What a poll waits for when the server does not say, and how much longer after each "slow_down":
# https://www.rfc-editor.org/rfc/rfc8628#section-3.5
INTERVAL_SECONDS = 5

# A rate limit that many processes run into together: the first pause is short, and pauses grow, each by chance, so that
# they do not come back together.
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
# Less than others wait for what we are asking for.
PATIENCE_SECONDS = 60.0

# The most that the portal gives in one page.
PAGE = 100


def endpoint(profile: Profile) -> client.Endpoint:
    """Where and how Identity Center is asked on behalf of *profile*: in the region where it is set up."""
    return client.Endpoint(
        profile.sso_region or "",
        profile.endpoint_url,
        fips=bool(profile.use_fips_endpoint),
        dualstack=bool(profile.use_dualstack_endpoint),
        ca_bundle=profile.ca_bundle,
    )


@dataclass(frozen=True, slots=True, repr=False)
class Registration:
    """A client that the OAuth server knows; *expires_at* is in epoch seconds."""

    client_id: str
    client_secret: str
    expires_at: int


@dataclass(frozen=True, slots=True, repr=False)
class Authorization:
    """What a human needs to sign in from any device, and what we need to learn of it."""

    device_code: str
    user_code: str
    url: str
    complete_url: str
    lasts_seconds: int
    interval_seconds: int


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """An access token; *refresh_token* is empty if there is none."""

    access_token: str
    lasts_seconds: int
    refresh_token: str


class Oidc:
    """The OAuth server.

    Args:
        endpoint: Where it is.

    Raises:
        AwsError: The endpoint's settings make no sense.
    """

    def __init__(self, endpoint: client.Endpoint) -> None:
        self._client: Any = client.connect("sso-oidc", endpoint, None)

    def register(
        self,
        *,
        scopes: Iterable[str] = (),
        grants: Iterable[str] = (),
        redirect_uri: str = "",
        start_url: str = "",
    ) -> Registration:
        """Make a client.

        Args:
            scopes: What its tokens may be used for.
            grants: How it gets them.
            redirect_uri: Where the browser brings an authorization code; the port does not count.
            start_url: Who may sign in, for authorization codes.

        Raises:
            AwsError: The call failed.
        """
        name = "sso-oidc RegisterClient"
        answer = client.call(
            self._client.register_client,
            name,
            clientName=CLIENT_NAME,
            clientType="public",
            scopes=list(scopes),
            grantTypes=list(grants),
            redirectUris=[redirect_uri] if redirect_uri else [],
            issuerUrl=start_url,
        )
        return Registration(
            _text(name, answer, "clientId"),
            _text(name, answer, "clientSecret"),
            _number(name, answer, "clientSecretExpiresAt"),
        )

    def start_device_authorization(self, registration: Registration, start_url: str) -> Authorization:
        """Ask for a code with which a human can sign in from any device.

        Raises:
            AwsError: The call failed.
        """
        name = "sso-oidc StartDeviceAuthorization"
        answer = client.call(
            self._client.start_device_authorization,
            name,
            clientId=registration.client_id,
            clientSecret=registration.client_secret,
            startUrl=start_url,
        )
        url = _url(name, answer, "verificationUri")
        complete = _url(name, answer, "verificationUriComplete") if answer.get("verificationUriComplete") else url
        return Authorization(
            _text(name, answer, "deviceCode"),
            _text(name, answer, "userCode"),
            url,
            complete,
            _number(name, answer, "expiresIn"),
            _number(name, answer, "interval") if answer.get("interval") else INTERVAL_SECONDS,
        )

    def authorize_url(
        self, registration: Registration, *, redirect_uri: str, state: str, challenge: str, scopes: Iterable[str]
    ) -> str:
        """The page where a human signs in, after which the browser brings an authorization code.

        Args:
            registration: Who asks.
            redirect_uri: Where the code is brought.
            state: Comes back with it.
            challenge: The SHA-256 of what we shall show with the code, in base64:
                https://www.rfc-editor.org/rfc/rfc7636
            scopes: What the token may be used for.
        """
        query = {
            "response_type": "code",
            "client_id": registration.client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "code_challenge_method": "S256",
            "code_challenge": challenge,
            # RFC 6749 has it in the singular; this is what the server and the AWS CLI call it.
            "scopes": " ".join(scopes),
        }
        return f"{self._client.meta.endpoint_url.rstrip('/')}/authorize?{urllib.parse.urlencode(query)}"

    def token_for_device(self, registration: Registration, device_code: str) -> Granted:
        """Ask whether the human has signed in, and for the token.

        Raises:
            AwsRefused: Not yet (``AuthorizationPendingException``), asked too often (``SlowDownException``), too late
                (``ExpiredTokenException``), or declined (``AccessDeniedException``).
            AwsUnreachable: There was no answer.
        """
        return self._create_token(registration, DEVICE_CODE, deviceCode=device_code)

    def token_for_code(self, registration: Registration, *, code: str, verifier: str, redirect_uri: str) -> Granted:
        """Exchange an authorization code.

        Raises:
            AwsError: The call failed.
        """
        return self._create_token(
            registration, AUTHORIZATION_CODE, code=code, codeVerifier=verifier, redirectUri=redirect_uri
        )

    def refresh(self, registration: Registration, refresh_token: str) -> Granted:
        """Exchange a refresh token.

        Raises:
            AwsRefused: It is used up, revoked, or of another client (``InvalidGrantException``).
            AwsUnreachable: There was no answer.
        """
        return self._create_token(registration, REFRESH_TOKEN, refreshToken=refresh_token)

    def _create_token(self, registration: Registration, grant: str, **proof: str) -> Granted:
        name = "sso-oidc CreateToken"
        answer = client.call(
            self._client.create_token,
            name,
            clientId=registration.client_id,
            clientSecret=registration.client_secret,
            grantType=grant,
            **proof,
        )
        refresh_token = _text(name, answer, "refreshToken") if answer.get("refreshToken") else ""
        return Granted(_text(name, answer, "accessToken"), _number(name, answer, "expiresIn"), refresh_token)


class Portal:
    """The portal: what someone who has signed in may use. It is asked again when it is busy.

    Args:
        endpoint: Where it is.
        sleep: Waits, seconds.
        now: Seconds that only grow.
        chance: A number from 0 to 1.

    Raises:
        AwsError: The endpoint's settings make no sense.
    """

    def __init__(
        self,
        endpoint: client.Endpoint,
        *,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client: Any = client.connect("sso", endpoint, None, attempts=1)
        self._sleep = sleep
        self._now = now
        self._chance = chance

    def get_role_credentials(self, access_token: str, *, account_id: str, role_name: str) -> Credentials:
        """Get credentials of a role.

        Raises:
            AwsRefused: The token is not accepted (status 401), or gives no such role (403, 404).
            AwsError: The call failed for another reason.
        """
        name = "sso GetRoleCredentials"
        answer = self._call(
            self._client.get_role_credentials,
            name,
            accessToken=access_token,
            accountId=account_id,
            roleName=role_name,
        )
        fields = answer.get("roleCredentials") or {}
        return Credentials(
            _text(name, fields, "accessKeyId"),
            _text(name, fields, "secretAccessKey"),
            _text(name, fields, "sessionToken"),
            _number(name, fields, "expiration") // 1000,
        )

    def list_accounts(self, access_token: str) -> Iterator[dict[str, str]]:
        """The accounts: ``accountId``, ``accountName``, ``emailAddress`` of each.

        Raises:
            AwsError: A call failed.
        """
        return self._pages(self._client.list_accounts, "sso ListAccounts", "accountList", accessToken=access_token)

    def list_account_roles(self, access_token: str, account_id: str) -> Iterator[dict[str, str]]:
        """The roles in an account: ``accountId``, ``roleName`` of each.

        Raises:
            AwsError: A call failed.
        """
        return self._pages(
            self._client.list_account_roles,
            "sso ListAccountRoles",
            "roleList",
            accessToken=access_token,
            accountId=account_id,
        )

    def logout(self, access_token: str) -> None:
        """End the session that the token belongs to, at the server.

        Raises:
            AwsError: The call failed.
        """
        self._call(self._client.logout, "sso Logout", accessToken=access_token)

    def _pages(
        self, operation: Callable[..., dict[str, Any]], name: str, member: str, **parameters: str
    ) -> Iterator[dict[str, str]]:
        token = ""
        while True:
            answer = self._call(operation, name, maxResults=PAGE, nextToken=token, **parameters)
            yield from answer.get(member) or ()
            before, token = token, answer.get("nextToken") or ""
            if not token or token == before:
                return

    def _call(self, operation: Callable[..., dict[str, Any]], name: str, **parameters: object) -> dict[str, Any]:
        """Make one call, and again while the portal is busy; while it fails, as often as other services are asked."""
        deadline, pause, failures = self._now() + PATIENCE_SECONDS, FIRST_PAUSE_SECONDS, 0
        while True:
            try:
                return client.call(operation, name, **parameters)
            except (AwsRefused, AwsUnreachable) as error:
                if not is_busy(error):
                    failures += 1
                if not is_passing(error) or failures == client.ATTEMPTS:
                    raise
                wait = client.retry_after_seconds(error) + pause * (0.5 + self._chance() / 2)
                if self._now() + wait > deadline:
                    raise
            self._sleep(wait)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def is_busy(error: AwsError) -> bool:
    """Whether AWS limits the rate of calls, and said so."""
    codes = {"TooManyRequestsException", "ThrottlingException", "SlowDownException"}
    return isinstance(error, AwsRefused) and (error.status == 429 or error.code in codes)


def is_passing(error: AwsError) -> bool:
    """Whether the same call may succeed in a while: no answer, trouble at AWS's side, or too many calls."""
    return isinstance(error, AwsUnreachable) or (
        isinstance(error, AwsRefused) and (error.status >= 500 or is_busy(error))
    )


# What an answer must have; neither message repeats a value, for it may be a secret.


def _text(name: str, fields: Mapping[str, Any], member: str) -> str:
    value = fields.get(member)
    # It travels on in a header or an address, and a library that refuses it there would quote it.
    if not (isinstance(value, str) and value and value.isascii() and value.isprintable()):
        raise AwsUnreachable(f"{name} was answered without a usable {member}", "check endpoint_url")
    return value


def _url(name: str, fields: Mapping[str, Any], member: str) -> str:
    """An address that a browser is sent to, so one of the web."""
    url = _text(name, fields, member)
    if not url.startswith(("https://", "http://")):
        raise AwsUnreachable(f"{name} was answered with a {member} that is no address of the web", "check endpoint_url")
    return url


def _number(name: str, fields: Mapping[str, Any], member: str) -> int:
    value = fields.get(member)
    if type(value) is not int or value <= 0:
        raise AwsUnreachable(f"{name} was answered without a usable {member}", "check endpoint_url")
    return value
