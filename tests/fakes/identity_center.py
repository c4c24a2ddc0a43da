"""IAM Identity Center as tests have it: its OAuth server, the pages where a human signs in, and its portal.

Everything that `Cloud` is, so that the credentials it gives are good for STS, and that everything that can go wrong with
`Cloud` can go wrong here. It says no wherever AWS would: PKCE, redirect addresses, scopes, clients and their secrets,
codes that were used, polls that come too soon, refresh tokens that were exchanged already::

    center.start_url("https://corp.example/start")
    center.account("111111111111", "Admin", "ReadOnly")
    center.fail("CreateToken", code="InternalServerException", status=500)
    ...
    assert center.count("CreateToken") == 1

What the human does is done by `fakes.browser.Browser`, which follows links.

https://docs.aws.amazon.com/singlesignon/latest/OIDCAPIReference/,
https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/
"""

import base64
import hashlib
import itertools
import json
import secrets
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field

from werkzeug.serving import WSGIRequestHandler

from fakes.cloud import Answer, Cloud
from fakes.sts import Refusal

START_URL = "https://corp.example/start"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
GRANTS = {"authorization_code", "refresh_token", DEVICE_GRANT}
SCOPES = {"sso:account:access", "codewhisperer:completions"}
REDIRECT = "http://127.0.0.1/oauth/callback"
CODE_SECONDS = 600
CLIENT_SECONDS = 90 * 86_400
SLOW_DOWN_SECONDS = 5

ROUTES = {
    ("POST", "/client/register"): "RegisterClient",
    ("POST", "/device_authorization"): "StartDeviceAuthorization",
    ("POST", "/token"): "CreateToken",
    ("GET", "/federation/credentials"): "GetRoleCredentials",
    ("GET", "/assignment/accounts"): "ListAccounts",
    ("GET", "/assignment/roles"): "ListAccountRoles",
    ("POST", "/logout"): "Logout",
    # What a browser asks for.
    ("GET", "/authorize"): "Authorize",
    ("GET", "/device"): "Device",
    ("GET", "/decide"): "Decide",
}
PAGES = {"Authorize", "Device", "Decide"}
# RFC 6749 and RFC 8628 name errors so; AWS sends both forms.
OAUTH_ERRORS = {
    "AuthorizationPendingException": "authorization_pending",
    "SlowDownException": "slow_down",
    "ExpiredTokenException": "expired_token",
    "AccessDeniedException": "access_denied",
    "InvalidGrantException": "invalid_grant",
    "InvalidClientException": "invalid_client",
}


@dataclass
class Reply(Answer):
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One request as it arrived; the secrets in it are for looking at."""

    operation: str
    members: dict


@dataclass
class Client:
    secret: str
    expires_at: float
    scopes: tuple[str, ...]
    grants: tuple[str, ...]
    redirects: tuple[str, ...]
    issuer: str


@dataclass
class SignIn:
    """A human's session, in which tokens are given until it ends."""

    start_url: str
    client_id: str
    scopes: tuple[str, ...]
    ends_at: float
    ended: bool = False


@dataclass
class Pending:
    """What a human is asked to allow."""

    client_id: str
    start_url: str
    made_at: float
    user_code: str = ""
    interval: float = 0
    asked_at: float = 0
    redirect_uri: str = ""
    state: str = ""
    challenge: str = ""
    decided: str = ""  # "allow", "deny"
    used: bool = False


@dataclass
class Given:
    """A token."""

    sign_in: SignIn
    expires_at: float = float("inf")
    revoked: bool = False


class IdentityCenter(Cloud):
    """The fake."""

    def _forget(self) -> None:
        super()._forget()
        self.asked: list[Asked] = []
        self.visits: list[str] = []  # the pages that a browser asked for
        self.start_urls = {START_URL}
        self.accounts: dict[str, tuple[str, ...]] = {}
        self.names: dict[str, str] = {}
        self.interval = 1
        self.token_seconds = 28_800
        self.session_seconds = 90 * 86_400.0
        self.rotates = True  # whether a refresh token works once
        self.minds_polls = False  # whether a poll that comes too soon is told to slow down
        self.page = 2
        self.clients: dict[str, Client] = {}
        self.devices: dict[str, Pending] = {}
        self.codes: dict[str, Pending] = {}
        self.requests: dict[str, Pending] = {}
        self.access: dict[str, Given] = {}
        self.refreshes: dict[str, Given] = {}
        self._numbers = itertools.count(1)

    # What there is, and what becomes of it.

    def start_url(self, url: str) -> None:
        """Let there be another Identity Center."""
        self.start_urls.add(url)

    def account(self, account_id: str, *roles: str, name: str | None = None) -> None:
        """Give the human roles in an account."""
        self.accounts[account_id] = roles
        self.names[account_id] = f"Account {account_id}" if name is None else name

    def pass_time(self, seconds: float) -> None:
        """Set this clock forward."""
        self.skew_seconds += seconds

    def revoke_access(self) -> None:
        """Make every access token useless; refresh tokens go on."""
        for given in self.access.values():
            given.revoked = True

    def end_sessions(self) -> None:
        """End every session: no token of them is good for anything."""
        for given in [*self.access.values(), *self.refreshes.values()]:
            given.sign_in.ended = True

    def forget_clients(self) -> None:
        """Know no client any more."""
        self.clients.clear()

    def throttle(self, operation: str, *, times: float = 1, retry_after: str = "") -> None:
        """Answer that there are too many requests."""
        headers = {"Retry-After": retry_after} if retry_after else {}

        def happen(_environ: dict) -> Answer:
            answer = self._refused(
                Refusal(429, "TooManyRequestsException", "HTTP 429 Unknown Code"), {"PATH_INFO": "/x"}
            )
            return Reply(answer.status, answer.body, answer.kind, {**answer.headers, **headers})

        self._plan(operation, times, happen)

    def answer_with(self, operation: str, members: object, *, times: float = 1) -> None:
        """Answer with this JSON instead of what is right."""
        self._plan(operation, times, lambda _: Answer(200, json.dumps(members).encode(), "application/json"))

    def count(self, operation: str, **members: str) -> int:
        """How many requests there were for an operation, with these members if given."""
        return sum(
            asked.operation == operation and members.items() <= asked.members.items() for asked in list(self.asked)
        )

    @property
    def operations(self) -> list[str]:
        """What programs asked for, in order."""
        return [asked.operation for asked in list(self.asked)]

    # The door.

    def _handler(self) -> type[WSGIRequestHandler]:
        class Handler(super()._handler()):
            def make_environ(self) -> dict:
                # A header with an underscore, which WSGI servers leave out.
                return super().make_environ() | {"sso.token": self.headers.get("x-amz-sso_bearer_token", "")}

        return Handler

    def _door(self, environ: dict, start_response: Callable) -> list[bytes]:
        operation = ROUTES.get((environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")))
        if operation is None:
            return super()._door(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        members = json.loads(body or b"{}")
        members |= dict(urllib.parse.parse_qsl(environ.get("QUERY_STRING", "")))
        members |= {"accessToken": token} if (token := environ["sso.token"]) else {}
        with self._lock:
            if operation in PAGES:
                self.visits.append(operation)
            else:
                self.asked.append(Asked(operation, members))
        answer = None
        if (happen := self._trouble(operation, late=False)) is not None:
            answer = happen(environ)
        if answer is None:
            try:
                with self._lock:
                    answer = getattr(self, f"_{operation}")(members)
            except Refusal as refusal:
                answer = self._refused(refusal, environ)
            if (happen := self._trouble(operation, late=True)) is not None:
                answer = happen(environ) or answer
        if isinstance(answer, dict):
            answer = Answer(200, json.dumps(answer).encode(), "application/json")
        headers = getattr(answer, "headers", {})
        start_response(f"{answer.status} Whatever", [
            ("Content-Type", answer.kind), ("Content-Length", str(len(answer.body))), *headers.items(),
        ])  # fmt: skip
        return [answer.body]

    def _refused(self, refusal: Refusal, environ: dict) -> Answer:
        if environ.get("PATH_INFO", "/") == "/":
            return super()._refused(refusal, environ)
        told = {"error": OAUTH_ERRORS.get(refusal.code, "invalid_request"), "error_description": refusal.message}
        if refusal.code in {"UnauthorizedException", "ForbiddenException", "TooManyRequestsException"}:
            told = {"message": refusal.message, "__type": f"com.amazonaws.switchboard.portal#{refusal.code}"}
        return Reply(refusal.status, json.dumps(told).encode(), "application/json", {"x-amzn-ErrorType": refusal.code})

    # The OAuth server.

    def _RegisterClient(self, members: dict) -> dict:
        scopes, grants = tuple(members.get("scopes", ())), tuple(members.get("grantTypes", ()))
        redirects = tuple(members.get("redirectUris", ()))
        if not members.get("clientName") or members.get("clientType") != "public":
            raise Refusal(400, "InvalidClientMetadataException", "Invalid client metadata")
        if not set(scopes) <= SCOPES:
            raise Refusal(400, "InvalidScopeException", "Invalid scope")
        if not set(grants) <= GRANTS:
            raise Refusal(400, "UnsupportedGrantTypeException", "Unsupported grant type")
        if "authorization_code" in grants:
            if redirects != (REDIRECT,):
                raise Refusal(400, "InvalidRedirectUriException", "Invalid redirect URI")
            if members.get("issuerUrl") not in self.start_urls:
                raise Refusal(400, "InvalidRequestException", "Invalid issuer")
        client_id, secret = f"client-{next(self._numbers)}", secrets.token_hex(8)
        self.clients[client_id] = Client(
            secret, self.now() + CLIENT_SECONDS, scopes, grants, redirects, members.get("issuerUrl", "")
        )
        return {
            "clientId": client_id,
            "clientSecret": secret,
            "clientIdIssuedAt": int(self.now()),
            "clientSecretExpiresAt": int(self.now() + CLIENT_SECONDS),
        }

    def _client(self, members: dict, grant: str) -> Client:
        client = self.clients.get(members.get("clientId", ""))
        if client is None or client.secret != members.get("clientSecret") or client.expires_at <= self.now():
            raise Refusal(401, "InvalidClientException", "Invalid client provided")
        if grant not in (client.grants or (DEVICE_GRANT, "refresh_token")):
            raise Refusal(400, "UnauthorizedClientException", "The client may not use this grant")
        return client

    def _StartDeviceAuthorization(self, members: dict) -> dict:
        self._client(members, DEVICE_GRANT)
        if members.get("startUrl") not in self.start_urls:
            raise Refusal(400, "InvalidRequestException", "Invalid start URL provided")
        user_code = f"ABCD-{next(self._numbers):04d}"
        pending = Pending(
            members["clientId"], members["startUrl"], self.now(), user_code=user_code, interval=self.interval
        )
        device_code = secrets.token_hex(8)
        self.devices[device_code] = self.requests[user_code] = pending
        return {
            "deviceCode": device_code,
            "userCode": user_code,
            "verificationUri": f"{self.url}/device",
            "verificationUriComplete": f"{self.url}/device?user_code={user_code}",
            "expiresIn": CODE_SECONDS,
            "interval": self.interval,
        }

    def _CreateToken(self, members: dict) -> dict:
        grant = members.get("grantType", "")
        client = self._client(members, grant)
        if grant == "refresh_token":
            return self._refreshed(members, client)
        found = self.devices if grant == DEVICE_GRANT else self.codes
        pending = found.get(members.get("deviceCode" if grant == DEVICE_GRANT else "code", ""))
        if pending is None or pending.used or pending.client_id != members["clientId"]:
            raise Refusal(400, "InvalidGrantException", "Invalid grant provided")
        if pending.made_at + CODE_SECONDS <= self.now():
            raise Refusal(400, "ExpiredTokenException", "Device code or authorization code has expired")
        if grant == DEVICE_GRANT:
            self._check_device(pending)
        else:
            self._check_code(pending, members)
        pending.used = True
        ends_at = self.now() + self.session_seconds
        return self._give(SignIn(pending.start_url, pending.client_id, client.scopes, ends_at), client)

    def _check_device(self, pending: Pending) -> None:
        too_soon = self.minds_polls and self.now() < pending.asked_at + pending.interval
        pending.asked_at = self.now()
        if pending.decided == "deny":
            raise Refusal(400, "AccessDeniedException", "Access denied")
        if too_soon:
            pending.interval += SLOW_DOWN_SECONDS
            raise Refusal(400, "SlowDownException", "Slow down")
        if not pending.decided:
            raise Refusal(400, "AuthorizationPendingException", "Authorization is pending")

    def _check_code(self, pending: Pending, members: dict) -> None:
        if members.get("redirectUri") != pending.redirect_uri:
            raise Refusal(400, "InvalidGrantException", "Redirect URI does not match")
        digest = hashlib.sha256(members.get("codeVerifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).decode().rstrip("=") != pending.challenge:
            raise Refusal(400, "InvalidGrantException", "Code verifier does not match")

    def _refreshed(self, members: dict, client: Client) -> dict:
        given = self.refreshes.get(members.get("refreshToken", ""))
        sign_in = given.sign_in if given else None
        if sign_in is None or sign_in.client_id != members["clientId"] or not self._lasts(sign_in) or given.revoked:
            if given and given.revoked:
                sign_in.ended = True  # shown twice, so stolen: https://www.rfc-editor.org/rfc/rfc9700#section-4.14.2
            raise Refusal(400, "InvalidGrantException", "Invalid refresh token provided")
        given.revoked = self.rotates
        answer = self._give(sign_in, client)
        if not self.rotates:
            del answer["refreshToken"]
        return answer

    def _give(self, sign_in: SignIn, client: Client) -> dict:
        access_token = f"access-{next(self._numbers)}-{secrets.token_hex(16)}"
        self.access[access_token] = Given(sign_in, self.now() + self.token_seconds)
        answer = {"accessToken": access_token, "expiresIn": self.token_seconds, "tokenType": "Bearer"}
        if sign_in.scopes and "refresh_token" in (client.grants or ("refresh_token",)):
            answer["refreshToken"] = f"refresh-{next(self._numbers)}-{secrets.token_hex(16)}"
            self.refreshes[answer["refreshToken"]] = Given(sign_in)
        return answer

    def _lasts(self, sign_in: SignIn) -> bool:
        return not sign_in.ended and sign_in.ends_at > self.now()

    # The pages, which have links and no scripts.

    def _Authorize(self, members: dict) -> Answer:
        client = self.clients.get(members.get("client_id", ""))
        redirect = urllib.parse.urlsplit(members.get("redirect_uri", ""))
        without_port = f"{redirect.scheme}://{redirect.hostname}{redirect.path}"
        if client is None or "authorization_code" not in client.grants or without_port not in client.redirects:
            return page(400, "Invalid client or redirect URI")
        scopes = members.get("scopes", "").split()
        if (
            members.get("response_type") != "code"
            or members.get("code_challenge_method") != "S256"
            or len(members.get("code_challenge", "")) != 43
            or not set(scopes) <= set(client.scopes)
            or not scopes
        ):
            return page(400, "Invalid request")
        name = secrets.token_hex(4)
        self.requests[name] = Pending(
            members["client_id"], client.issuer, self.now(),
            redirect_uri=members["redirect_uri"], state=members.get("state", ""), challenge=members["code_challenge"],
        )  # fmt: skip
        return choice(name)

    def _Device(self, members: dict) -> Answer:
        if members.get("user_code") not in self.requests:
            return page(400, "Invalid code")
        return choice(members["user_code"])

    def _Decide(self, members: dict) -> Answer:
        pending = self.requests.pop(members.get("request", ""), None)
        if pending is None:
            return page(400, "Invalid request")
        pending.decided = members.get("answer", "")
        if not pending.redirect_uri:
            return page(200, "Request decided. You can close this window.")
        query = {"state": pending.state}
        if pending.decided == "allow":
            query["code"] = secrets.token_hex(8)
            self.codes[query["code"]] = pending
        else:
            query |= {"error": "access_denied", "error_description": "The user said no"}
        location = f"{pending.redirect_uri}?{urllib.parse.urlencode(query)}"
        return Reply(302, b"", "text/html", {"Location": location})

    # The portal.

    def _check_token(self, members: dict) -> SignIn:
        given = self.access.get(members.get("accessToken", ""))
        if given is None or given.revoked or given.expires_at <= self.now() or not self._lasts(given.sign_in):
            raise Refusal(401, "UnauthorizedException", "Session token not found or invalid")
        return given.sign_in

    def _GetRoleCredentials(self, members: dict) -> dict:
        self._check_token(members)
        account, role = members.get("account_id", ""), members.get("role_name", "")
        if role not in self.accounts.get(account, ()):
            raise Refusal(403, "ForbiddenException", "No access")
        key = self.issue(
            "role", f"arn:aws:sts::{account}:assumed-role/AWSReservedSSO_{role}_0123456789abcdef/jon", 3600
        )
        return {
            "roleCredentials": {
                "accessKeyId": key.access_key_id,
                "secretAccessKey": key.secret_access_key,
                "sessionToken": key.session_token,
                "expiration": int(key.expires_at) * 1000,
            }
        }

    def _ListAccounts(self, members: dict) -> dict:
        self._check_token(members)
        every = [
            {"accountId": each, "accountName": self.names[each], "emailAddress": f"{each}@corp.example"}
            for each in sorted(self.accounts)
        ]
        return self._paged("accountList", every, members)

    def _ListAccountRoles(self, members: dict) -> dict:
        self._check_token(members)
        account = members.get("account_id", "")
        if account not in self.accounts:
            raise Refusal(403, "ForbiddenException", "No access")
        every = [{"accountId": account, "roleName": role} for role in self.accounts[account]]
        return self._paged("roleList", every, members)

    def _paged(self, member: str, every: list[dict], members: dict) -> dict:
        first = int(members.get("next_token", "0"))
        last = first + min(self.page, int(members.get("max_result", "100")))
        answer = {member: every[first:last]}
        return answer | ({"nextToken": str(last)} if last < len(every) else {})

    def _Logout(self, members: dict) -> dict:
        self._check_token(members).ended = True
        return {}


def page(status: int, text: str) -> Answer:
    return Answer(status, f"<!DOCTYPE html><p>{text}".encode(), "text/html")


def choice(request: str) -> Answer:
    """A page that asks the human."""
    query = urllib.parse.urlencode({"request": request})
    links = "".join(f'<p><a href="/decide?{query}&amp;answer={answer}">{answer}</a>' for answer in ("allow", "deny"))
    return page(200, f"strongroom wants to use your accounts. The code is {request}.{links}")
