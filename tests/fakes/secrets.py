"""Secrets Manager and Parameter Store as AWS has them: our door, with moto behind it.

What moto does otherwise than AWS is set right here: unknown secrets are 400 and not 404, an empty version id or stage is
refused, keys, signatures and permissions are checked, Parameter Store knows references to secrets. Every request is
recorded, and everything that `Cloud` lets go wrong can go wrong here too, for one secret alone if *about* names it::

    secrets.create("app/db", "hunter2")
    secrets.fail("GetSecretValue", code="ThrottlingException", status=400, about="app/db")
    ...
    assert secrets.count("GetSecretValue", "app/db") == 1
"""

import base64
import io
import itertools
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from fakes.cloud import Answer, Cloud, respond
from fakes.sigv4 import Signed
from fakes.sts import Key, Refusal

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"
ACCESS_KEY_ID = "AKIASTRONGROOMAGENT0"
SECRET_ACCESS_KEY = "agent+secret/access+key"
SERVICES = ("secretsmanager.", "AmazonSSM.")
REFERENCE = "/aws/reference/secretsmanager/"
JSON = "application/x-amz-json-1.1"

# The names that services of the JSON protocols have for what STS says in XML.
JSON_CODES = {
    "InvalidClientTokenId": (400, "UnrecognizedClientException"),
    "SignatureDoesNotMatch": (400, "InvalidSignatureException"),
    "ExpiredToken": (400, "ExpiredTokenException"),
}
NOT_FOUND = "Secrets Manager can't find the specified secret."
DELETED = "You can't perform this operation on the secret because it was marked for deletion."
MISMATCH = "You provided a VersionStage that is not associated to the provided VersionId."
# https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html
LENGTHS = {"SecretId": (1, 2048), "VersionId": (32, 64), "VersionStage": (1, 256)}


@dataclass(frozen=True)
class Asked:
    """One request as it arrived. *members* is its JSON: what was not sent is not there, what was empty is empty."""

    operation: str
    members: dict
    access_key_id: str = field(default="", compare=False)
    role: str | None = field(default=None, compare=False)  # the role whose session signed
    region: str = field(default="", compare=False)
    user_agent: str = field(default="", compare=False)

    @property
    def about(self) -> str | None:
        """The secret or parameter that is asked for."""
        return self.members.get("SecretId") or self.members.get("Name")


@dataclass(frozen=True)
class Denial:
    """What a permission is missing for; ``*`` stands for everything, None for the agent's own key."""

    operation: str
    secret: str
    role: str | None


class Secrets(Cloud):
    """The fake: everything that `Cloud` is, and secrets and parameters."""

    _names = itertools.count()

    def _forget(self) -> None:
        super()._forget()
        self.asked: list[Asked] = []
        self._denials: list[Denial] = []
        self._edits: dict[str, list[Callable[[dict], object]]] = {}
        self.key(ACCESS_KEY_ID, SECRET_ACCESS_KEY, user="agent", account=ACCOUNT)

    def reset(self) -> None:
        """Forget everything but the sessions of roles, which a program that outlives a test still holds."""
        sessions = {name: key for name, key in self.keys.items() if key.kind == "role"}
        super().reset()
        self.keys |= sessions

    # What there is. These speak to moto's memory, not over HTTP: nothing is recorded, and nothing goes wrong.

    @property
    def environ(self) -> dict[str, str]:
        """The variables with which an SDK finds us."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def name(self, kind: str = "secret") -> str:
        """A name that no other test has."""
        return f"test/{kind}-{next(self._names)}"

    def create(
        self,
        name: str | None = None,
        value: str | bytes = "hunter2",
        *,
        tags: tuple[str, ...] = (),
        region: str = REGION,
        version_id: str | None = None,
    ) -> str:
        """Make a secret; returns its name. Without one it gets a name that no other has."""
        name = name or self.name()
        with self._lock:
            self._backend(region).create_secret(
                name=name, **stored(value), description="", kms_key_id=None, replica_regions=[], force_overwrite=False,
                tags=[{"Key": tag, "Value": "yes"} for tag in tags], client_request_token=version_id or str(uuid.uuid4()),
            )  # fmt: skip
        return name

    def put(
        self,
        name: str,
        value: str | bytes,
        *,
        stages: tuple[str, ...] = ("AWSCURRENT",),
        region: str = REGION,
        version_id: str | None = None,
    ) -> str:
        """Put a version into a secret; returns the version's id. By default it becomes the current one."""
        version_id = version_id or str(uuid.uuid4())
        with self._lock:
            self._backend(region).put_secret_value(
                secret_id=name, **stored(value), client_request_token=version_id, version_stages=list(stages)
            )
        return version_id

    def move(self, name: str, stage: str, *, to: str | None = None) -> None:
        """Move a staging label to another version, or take it away."""
        versions = self._secret(name).versions
        source = next((each for each, version in versions.items() if stage in version["version_stages"]), None)
        with self._lock:
            self._backend(REGION).update_secret_version_stage(name, stage, source, to)
            self._settle(name, REGION)

    def delete(self, name: str, *, for_good: bool = False) -> None:
        """Mark a secret for deletion, or delete it *for_good*."""
        with self._lock:
            self._backend(REGION).delete_secret(name, None, for_good)

    def arn(self, name: str, region: str = REGION) -> str:
        return self._secret(name, region).arn

    def version_id(self, name: str, stage: str = "AWSCURRENT", region: str = REGION) -> str:
        """The id of the version that has the label."""
        versions = self._secret(name, region).versions
        return next(each for each, version in versions.items() if stage in version["version_stages"])

    def edit(self, name: str, edit: Callable[[dict], object]) -> None:
        """Let *edit* change each answer of GetSecretValue for a secret, by whatever it is asked for."""
        self._edits.setdefault(name, []).append(edit)

    def created(self, name: str, at: float) -> None:
        """Say that a secret was made *at* (epoch seconds, with the fraction that AWS gives and moto does not)."""
        self.edit(name, lambda answer: answer.update(CreatedDate=at))

    def deny(self, secret: str = "*", *, operation: str = "*", role: str | None = None) -> None:
        """Take permissions away: for a secret (by name), from the agent's own key or from a role (by ARN)."""
        self._denials.append(Denial(operation, secret, role))

    def allow_all(self) -> None:
        """Give back what `deny` took."""
        self._denials.clear()

    def parameter(
        self, name: str, value: str, kind: str = "String", labels: tuple[str, ...] = (), *, region: str = REGION
    ) -> None:
        """Put a parameter, or its next version."""
        from moto.ssm.models import ssm_backends

        with self._lock:
            self._backend(region)  # moto is there from then on
            backend = ssm_backends[ACCOUNT][region]
            made = backend.put_parameter(
                name=name, description="", value=value, parameter_type=kind, allowed_pattern=None, keyid="alias/aws/ssm",
                overwrite=True, tags=[], data_type="text", tier="Standard", policies=None,
            )  # fmt: skip
            if labels:
                backend.label_parameter_version(name, made.version, list(labels))

    # What was asked.

    def count(self, operation: str, *secrets: str) -> int:
        """How many requests there were for this operation, of any of these ids if given."""
        asked = [each for each in list(self.asked) if each.operation == operation]
        return sum(not secrets or each.about in secrets for each in asked)

    def gets(self, name: str) -> int:
        """How many GetSecretValue there were for a secret, by name or ARN."""
        return self.count("GetSecretValue", name, *([self.arn(name)] if self._found(name, REGION) else []))

    def members(self, operation: str) -> list[dict]:
        """What each request for this operation sent."""
        return [each.members for each in list(self.asked) if each.operation == operation]

    # The door.

    def _door(self, environ: dict, start_response: Callable) -> list[bytes]:
        service, _, operation = environ.get("HTTP_X_AMZ_TARGET", "").partition(".")
        if f"{service}." not in SERVICES:
            return super()._door(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        members = json.loads(body)
        signed = Signed.read(environ, body)
        asked = self._note(operation, members, signed, environ)
        about = {asked.about, *members.get("SecretIdList", [])}
        answer = None
        for each in about:
            if answer is None and (happen := self._trouble(operation, about=each, late=False)) is not None:
                answer = happen(environ)
        if answer is None:
            try:
                answer = self._perform(asked, signed, body, environ)
            except Refusal as refusal:
                answer = self._refused(refusal, environ)
            if (happen := self._trouble(operation, about=asked.about, late=True)) is not None:
                answer = happen(environ) or answer
        return respond(answer, start_response)

    def _note(self, operation: str, members: dict, signed: Signed | None, environ: dict) -> Asked:
        with self._lock:
            key = self.keys.get(signed.access_key_id) if signed else None
            asked = Asked(
                operation, members,
                access_key_id=signed.access_key_id if signed else "",
                role=role_of(key) if key and key.kind == "role" else None,
                region=signed.region if signed else "",
                user_agent=environ.get("HTTP_USER_AGENT", ""),
            )  # fmt: skip
            self.asked.append(asked)
            return asked

    def _refused(self, refusal: Refusal, environ: dict) -> Answer:
        if "HTTP_X_AMZ_TARGET" not in environ:
            return super()._refused(refusal, environ)
        status, code = JSON_CODES.get(refusal.code, (refusal.status, refusal.code))
        # Services write the second member both ways; this one mostly so.
        return Answer(status, json.dumps({"__type": code, "Message": refusal.message}).encode(), JSON)

    def _perform(self, asked: Asked, signed: Signed | None, body: bytes, environ: dict) -> Answer:
        if signed is None:
            raise Refusal(400, "MissingAuthenticationTokenException", "Missing Authentication Token")
        self._check_time(signed)
        key = self._check_key(signed)
        self._check_members(asked)
        self._check_permission(asked, asked.about or "*", asked.operation, key)
        if asked.operation == "GetParameter" and asked.about.startswith(REFERENCE):
            return self._reference(asked, key)
        status, said = self._moto_says(environ, body)
        if status != 200:
            raise self._as_aws(asked, status, said)
        if asked.operation == "UpdateSecretVersionStage":
            self._settle(asked.about, asked.region)
        elif asked.operation == "GetSecretValue":
            self._apply_edits(said)
        elif asked.operation == "GetParameter":
            self._tell_selector(asked, said["Parameter"])
        elif asked.operation == "BatchGetSecretValue":
            self._judge_batch(asked, said, key)
        return Answer(200, json.dumps(said).encode(), JSON)

    def _check_members(self, asked: Asked) -> None:
        for member, (least, most) in LENGTHS.items():
            value = asked.members.get(member)
            if value is not None and not least <= len(value) <= most:
                relation, limit = ("greater", least) if len(value) < least else ("less", most)
                shown = member[0].lower() + member[1:]
                raise Refusal(400, "ValidationException",
                              f"1 validation error detected: Value '{value}' at '{shown}' failed to satisfy constraint: "
                              f"Member must have length {relation} than or equal to {limit}")  # fmt: skip

    def _check_permission(self, asked: Asked, secret: str, operation: str, key: Key) -> None:
        if self._is_denied(asked, secret, operation):
            service = "ssm" if operation.startswith("GetParameter") else "secretsmanager"
            raise Refusal(400, "AccessDeniedException",
                          f"User: {key.arn} is not authorized to perform: {service}:{operation} on resource: {secret} "
                          f"because no identity-based policy allows the {service}:{operation} action")  # fmt: skip

    def _is_denied(self, asked: Asked, secret: str, operation: str) -> bool:
        found = self._found(secret, asked.region)
        names = {"*", secret} | ({found.name} if found else set())
        return any(
            denial.operation in {"*", operation} and denial.secret in names and denial.role in {"*", asked.role}
            for denial in self._denials
        )

    def _as_aws(self, asked: Asked, status: int, said: dict) -> Refusal:
        """AWS's words for what moto refuses."""
        code = said.get("__type", "InternalFailure")
        message = said.get("message") or said.get("Message") or ""
        version_id, stage = asked.members.get("VersionId"), asked.members.get("VersionStage")
        if asked.operation == "GetSecretValue" and code == "ResourceNotFoundException":
            if not self._found(asked.about, asked.region):
                message = NOT_FOUND
            elif version_id:
                message = f"Secrets Manager can't find the specified secret value for VersionId: {version_id}"
            else:
                message = (
                    f"Secrets Manager can't find the specified secret value for staging label: {stage or 'AWSCURRENT'}"
                )
        elif "marked deleted" in message or "marked for deletion" in message:
            message = DELETED
        return Refusal(400 if status == 404 else status, code, message)

    def _apply_edits(self, answer: dict) -> None:
        for edit in self._edits.get(answer["Name"], ()):
            edit(answer)

    def _tell_selector(self, asked: Asked, parameter: dict) -> None:
        """AWS says by which version or label it was chosen; moto does not."""
        _, colon, selector = asked.about.rpartition(":")
        if colon and parameter["Name"] != asked.about and not selector.startswith("parameter/"):
            parameter["Selector"] = f":{selector}"

    def _judge_batch(self, asked: Asked, said: dict, key: Key) -> None:
        """Of a batch each secret is judged alone: a missing permission is one entry of its errors."""
        allowed = []
        for answer in said["SecretValues"]:
            try:
                self._check_permission(asked, answer["Name"], "GetSecretValue", key)
            except Refusal as refusal:
                said["Errors"].append(
                    {"SecretId": answer["ARN"], "ErrorCode": refusal.code, "Message": refusal.message}
                )
            else:
                self._apply_edits(answer)
                allowed.append(answer)
        said["SecretValues"] = allowed
        for error in said["Errors"]:
            if error["ErrorCode"] == "ResourceNotFoundException":
                error["Message"] = NOT_FOUND

    def _reference(self, asked: Asked, key: Key) -> Answer:
        """https://docs.aws.amazon.com/systems-manager/latest/userguide/integration-ps-secretsmanager.html."""
        name = asked.about.removeprefix(REFERENCE)
        if not asked.members.get("WithDecryption"):
            raise Refusal(400, "ValidationException",
                          "WithDecryption flag must be True for retrieving a Secret Manager secret.")  # fmt: skip
        secret = self._found(name, asked.region)
        if secret is None:
            raise Refusal(400, "ParameterNotFound", f"An error occurred (ParameterNotFound) when referencing Secrets "
                          f"Manager: Secret {asked.about} not found.")  # fmt: skip
        self._check_permission(asked, name, "GetSecretValue", key)
        version_id = secret.default_version_id
        version = secret.versions[version_id]
        source = {
            "ARN": secret.arn, "name": secret.name, "versionId": version_id, "secretString": version.get("secret_string"),
            "versionStages": version["version_stages"], "createdDate": "Nov 22, 2026 8:00:00 PM",
        }  # fmt: skip
        parameter = {
            "ARN": secret.arn, "LastModifiedDate": version["createdate"], "Name": asked.about, "Type": "SecureString",
            "SourceResult": json.dumps(source), "Value": version.get("secret_string"), "Version": 0,
        }  # fmt: skip
        return Answer(200, json.dumps({"Parameter": parameter}).encode(), JSON)

    # moto.

    def _moto_says(self, environ: dict, body: bytes) -> tuple[int, dict]:
        environ["wsgi.input"] = io.BytesIO(body)
        caught: list[str] = []
        with self._lock:  # tests change what there is at the same time
            said = b"".join(self._other(environ, lambda status, _headers, *_: caught.append(status)))
        return int(caught[0].split()[0]), json.loads(said)

    def _backend(self, region: str):
        from moto.secretsmanager.models import secretsmanager_backends

        self._application()
        return secretsmanager_backends[ACCOUNT][region]

    def _settle(self, secret: str, region: str) -> None:
        """Whoever names no stage means AWSCURRENT; moto remembers for itself which version that was."""
        found = self._secret(secret, region)
        current = [each for each, version in found.versions.items() if "AWSCURRENT" in version["version_stages"]]
        found.set_default_version_id(current[0] if current else None)

    def _found(self, secret: str | None, region: str):
        with self._lock:
            return self._backend(region or REGION).secrets.get(secret) if secret else None

    def _secret(self, name: str, region: str = REGION):
        found = self._found(name, region)
        assert found is not None, f"there is no secret {name}"
        return found


def stored(value: str | bytes) -> dict[str, str | None]:
    """A value as the API's two members."""
    if isinstance(value, bytes):
        return {"secret_string": None, "secret_binary": base64.b64encode(value).decode()}
    return {"secret_string": value, "secret_binary": None}


def role_of(key: Key) -> str:
    """The ARN of the role that a session is of."""
    _, _, _, _, account, resource = key.arn.split(":", 5)
    return f"arn:aws:iam::{account}:role/{resource.split('/', 1)[1].rpartition('/')[0]}"
