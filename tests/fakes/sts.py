"""The answers of STS, and its refusals, from its API reference: https://docs.aws.amazon.com/STS/latest/APIReference/."""

import base64
import hashlib
import hmac
import json
import re
import secrets
import struct
import time
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/"
USER_RANGE = 900, 129_600  # 15 minutes to 36 hours
ROLE_RANGE = 900, 43_200  # 15 minutes to 12 hours
CHAINED_MAXIMUM = 3_600
TOTP_SECONDS = 30  # RFC 6238


class Refusal(Exception):
    """AWS says no."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Key:
    """An access key that the fake knows.

    ``kind`` is ``key`` (long-term), ``session`` (GetSessionToken), ``role`` (AssumeRole) or ``federated``
    (GetFederationToken).
    """

    access_key_id: str
    secret_access_key: str
    arn: str
    kind: str = "key"
    session_token: str | None = None
    expires_at: float | None = None
    mfa: bool = False

    @property
    def account(self) -> str:
        return self.arn.split(":")[4]


@dataclass(frozen=True)
class Role:
    """A role and its trust policy, as far as it matters here: ``mfa`` asks for a session with MFA."""

    arn: str
    max_duration: int = 43_200
    mfa: bool = False
    external_id: str | None = None


@dataclass(frozen=True)
class Call:
    """One request as it arrived. Only what a plan decides is compared; the rest is there to be looked at."""

    action: str
    duration: int | None = None
    serial: str | None = None
    signer: str = "key"  # the kind of the key that signed: "key", "session", "role", or "nobody"
    role: str | None = None
    code: str | None = field(default=None, compare=False)
    access_key_id: str | None = field(default=None, compare=False)
    region: str | None = field(default=None, compare=False)
    service: str | None = field(default=None, compare=False)
    external_id: str | None = field(default=None, compare=False)
    session_name: str | None = field(default=None, compare=False)
    policy: str | None = field(default=None, compare=False)
    source_identity: str | None = field(default=None, compare=False)
    tags: dict[str, str] = field(default_factory=dict, compare=False)
    transitive: tuple[str, ...] = field(default=(), compare=False)
    host: str = field(default="", compare=False)
    parameters: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def read(cls, parameters: dict[str, str], **who: str | None) -> "Call":
        """The call in a decoded form body."""
        keys = members(parameters, "Tags", ".Key")
        duration = parameters.get("DurationSeconds", "")
        return cls(
            action=parameters.get("Action", ""),
            duration=int(duration) if duration.isdigit() else None,
            serial=parameters.get("SerialNumber"),
            code=parameters.get("TokenCode"),
            role=parameters.get("RoleArn"),
            external_id=parameters.get("ExternalId"),
            session_name=parameters.get("RoleSessionName"),
            policy=parameters.get("Policy"),
            source_identity=parameters.get("SourceIdentity"),
            tags=dict(zip(keys, members(parameters, "Tags", ".Value"), strict=True)),
            transitive=tuple(members(parameters, "TransitiveTagKeys")),
            parameters=parameters,
            **who,
        )


def members(parameters: dict[str, str], name: str, suffix: str = "") -> list[str]:
    """A list parameter of the query protocol: ``Name.member.1``, ``Name.member.2``..."""
    found = []
    while (key := f"{name}.member.{len(found) + 1}{suffix}") in parameters:
        found.append(parameters[key])
    return found


class Sts:
    """The actions. ``cloud`` has the keys, roles and MFA devices, and the clock."""

    def __init__(self, cloud) -> None:
        self.cloud = cloud
        self.actions = {
            "GetCallerIdentity": self.get_caller_identity,
            "GetSessionToken": self.get_session_token,
            "AssumeRole": self.assume_role,
            "GetFederationToken": self.get_federation_token,
        }

    def get_caller_identity(self, _call: Call, key: Key) -> str:
        return xml("GetCallerIdentity", {"UserId": "AIDAEXAMPLE", "Account": key.account, "Arn": key.arn})

    def get_session_token(self, call: Call, key: Key) -> str:
        if key.kind != "key":
            raise Refusal(403, "AccessDenied", "Cannot call GetSessionToken with session credentials")
        duration = within(call, USER_RANGE, default=43_200)
        self.check_mfa(call, key)
        made = self.cloud.issue("session", key.arn, duration, mfa=call.serial is not None)
        return xml("GetSessionToken", {"Credentials": credentials(made)})

    def assume_role(self, call: Call, key: Key) -> str:
        duration = within(call, ROLE_RANGE, default=3_600)
        constrain("roleSessionName", call.session_name, r"[\w+=,.@-]{2,64}")
        self.check_mfa(call, key)
        role = self.cloud.roles.get(call.role)
        trusted = role and role.external_id == (call.external_id if role.external_id else None)
        if not role or not trusted or (role.mfa and not (call.serial or key.mfa)):
            raise Refusal(403, "AccessDenied",
                          f"User: {key.arn} is not authorized to perform: sts:AssumeRole on resource: {call.role}")  # fmt: skip
        if key.kind == "role" and duration > CHAINED_MAXIMUM:
            raise Refusal(400, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit"
                          " for roles assumed by role chaining")  # fmt: skip
        if duration > role.max_duration:
            raise Refusal(400, "ValidationError",
                          "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")  # fmt: skip
        arn = f"{role.arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{call.session_name}"
        made = self.cloud.issue("role", arn, duration)
        user = {"AssumedRoleId": f"AROAEXAMPLE:{call.session_name}", "Arn": arn}
        return xml("AssumeRole", {"Credentials": credentials(made), "AssumedRoleUser": user})

    def assume_role_with_web_identity(self, call: Call) -> str:
        duration = within(call, ROLE_RANGE, default=3_600)
        role = self.cloud.roles.get(call.role)
        if call.parameters.get("WebIdentityToken") not in self.cloud.web_identities:
            raise Refusal(400, "InvalidIdentityToken", "The ID Token provided is not a valid JWT.")
        if not role:
            raise Refusal(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
        arn = f"{role.arn.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{call.session_name}"
        made = self.cloud.issue("role", arn, duration)
        return xml("AssumeRoleWithWebIdentity", {"Credentials": credentials(made)})

    def get_federation_token(self, call: Call, key: Key) -> str:
        if key.kind != "key":
            raise Refusal(403, "AccessDenied", "Cannot call GetFederationToken with session credentials")
        root = key.arn.endswith(":root")
        duration = within(call, (USER_RANGE[0], CHAINED_MAXIMUM) if root else USER_RANGE, default=43_200)
        name = call.parameters.get("Name")
        constrain("name", name, r"[\w+=,.@-]{2,32}")
        if call.policy is not None:
            try:
                statements = json.loads(call.policy)["Statement"]
            except (ValueError, KeyError, TypeError):
                statements = None
            if not statements or len(call.policy) > 2_048:
                raise Refusal(400, "MalformedPolicyDocument", "Syntax errors in policy.")
        arn = f"arn:aws:sts::{key.account}:federated-user/{name}"
        made = self.cloud.issue("federated", arn, duration)
        user = {"FederatedUserId": f"{key.account}:{name}", "Arn": arn}
        return xml("GetFederationToken", {"Credentials": credentials(made), "FederatedUser": user})

    def check_mfa(self, call: Call, key: Key) -> None:
        """The serial and the code of a request, if it has any."""
        if call.serial is None and call.code is None:
            return
        if call.serial is None or call.code is None:
            raise Refusal(403, "AccessDenied",
                          "MultiFactorAuthentication failed, must provide both MFA serial number and one time pass code.")  # fmt: skip
        if not re.fullmatch(r"\d{6}", call.code):
            constrain("tokenCode", call.code, r"[\d]{6}")
        if key.kind == "role" or call.serial not in self.cloud.mfa:
            raise Refusal(403, "AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.  "
                          "Please verify your MFA serial number is valid and associated with this user.")  # fmt: skip
        if not self.cloud.accepts(call.serial, call.code):
            raise Refusal(403, "AccessDenied",
                          "MultiFactorAuthentication failed with invalid MFA one time pass code. ")  # fmt: skip


def within(call: Call, allowed: tuple[int, int], default: int) -> int:
    """The duration of a call, if AWS allows it."""
    text = call.parameters.get("DurationSeconds", str(default))
    if not text.isdigit():
        raise Refusal(400, "MalformedInput", "Start of structure or map found where not expected.")
    for wrong, relation, limit in (
        (int(text) < allowed[0], "greater", allowed[0]),
        (int(text) > allowed[1], "less", allowed[1]),
    ):
        if wrong:
            raise Refusal(400, "ValidationError",
                          f"1 validation error detected: Value '{text}' at 'durationSeconds' failed to satisfy constraint: "
                          f"Member must have value {relation} than or equal to {limit}")  # fmt: skip
    return int(text)


def constrain(name: str, value: str | None, pattern: str) -> None:
    """Refuse a parameter that is missing or does not have the form that STS asks for."""
    if value is None or not re.fullmatch(pattern, value):
        raise Refusal(400, "ValidationError",
                      f"1 validation error detected: Value '{value}' at '{name}' failed to satisfy constraint: "
                      f"Member must satisfy regular expression pattern: {pattern}")  # fmt: skip


def issue(kind: str, arn: str, expires_at: float, *, mfa: bool = False) -> Key:
    """New temporary keys, each unlike every other."""
    unique = secrets.token_bytes(10)
    return Key(
        access_key_id="ASIA" + base64.b32encode(unique).decode(),
        secret_access_key=base64.b64encode(secrets.token_bytes(30)).decode(),
        arn=arn,
        kind=kind,
        # As long as a real one, with the characters that quoting and URLs trip over.
        session_token="FwoGZXIvYXdzE/+" + base64.b64encode(secrets.token_bytes(330)).decode() + "==",
        expires_at=expires_at,
        mfa=mfa,
    )


def totp(seed: str, at: float) -> str:
    """RFC 6238 with its defaults; *seed* in base32."""
    key = base64.b32decode(seed.upper() + "=" * (-len(seed) % 8))
    digest = hmac.digest(key, struct.pack(">Q", int(at) // TOTP_SECONDS), hashlib.sha1)
    offset = digest[-1] & 15
    return f"{(struct.unpack_from('>I', digest, offset)[0] & 0x7FFFFFFF) % 1_000_000:06}"


def credentials(key: Key) -> dict[str, str]:
    return {
        "AccessKeyId": key.access_key_id,
        "SecretAccessKey": key.secret_access_key,
        "SessionToken": key.session_token,
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(key.expires_at)),
    }


def xml(action: str, result: dict) -> str:
    """An answer in the query protocol's form."""
    return (
        f'<{action}Response xmlns="{NAMESPACE}"><{action}Result>{elements(result)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{request_id()}</RequestId></ResponseMetadata></{action}Response>"
    )


def error_xml(refusal: Refusal) -> str:
    sender = "Receiver" if refusal.status >= 500 else "Sender"
    error = elements({"Error": {"Type": sender, "Code": refusal.code, "Message": refusal.message}})
    return f'<ErrorResponse xmlns="{NAMESPACE}">{error}<RequestId>{request_id()}</RequestId></ErrorResponse>'


def elements(values: dict) -> str:
    return "".join(
        f"<{name}>{elements(value) if isinstance(value, dict) else escape(value)}</{name}>"
        for name, value in values.items()
    )


def request_id() -> str:
    return secrets.token_hex(16)
