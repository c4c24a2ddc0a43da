"""The access keys of IAM users, and what makes replacing them hard, from IAM's API reference:
https://docs.aws.amazon.com/IAM/latest/APIReference/.

A user of whom the fake is told is answered for here; everything else about IAM is moto's::

    cloud.key("AKIAJON", "secret", user="jon")
    cloud.iam.user("jon", age_days=100)
    cloud.iam.delay_seconds = 30  # until AWS knows a new key, by its own clock
    cloud.iam.flaps = [False, True, False]  # whether the next requests that new keys sign find one who knows them
    cloud.iam.denied = {"DeleteAccessKey"}
"""

import base64
import secrets
import time
from dataclasses import dataclass
from xml.sax.saxutils import escape

from fakes.sts import Call, Key, Refusal, request_id

NAMESPACE = "https://iam.amazonaws.com/doc/2010-05-08/"
MOST_KEYS = 2  # a quota that nobody can have raised
DAY_SECONDS = 86_400


@dataclass
class AccessKey:
    """A long-term key, as IAM has it."""

    key: Key
    created_at: float
    known_at: float = 0  # when it begins to work
    listed_at: float = 0  # when lists begin to show it
    is_active: bool = True
    is_new: bool = False
    last_used_at: float | None = None

    @property
    def id(self) -> str:
        return self.key.access_key_id


class Iam:
    """The actions. ``cloud`` has the keys that sign, and the clock."""

    def __init__(self, cloud) -> None:
        self.cloud = cloud
        self.users: dict[str, str] = {}  # ARN -> name
        self.keys: dict[str, AccessKey] = {}
        self.denied: set[str] = set()
        self.needs_mfa = False  # whether a policy denies everything to those who did not prove a device
        self.delay_seconds = 0.0
        self.list_delay_seconds = 0.0
        self.flaps: list[bool] = []
        self.sessions_die = False  # with the key that they were made from
        self._dead: set[str] = set()
        self.actions = {
            "CreateAccessKey": self.create,
            "DeleteAccessKey": self.delete,
            "GetAccessKeyLastUsed": self.last_used,
            "GetUser": self.get_user,
            "ListAccessKeys": self.list_keys,
            "UpdateAccessKey": self.update,
        }

    def user(self, name: str, age_days: float = 100) -> None:
        """Answer for a user, whose keys are those that the cloud knows."""
        for key in list(self.cloud.keys.values()):
            if key.kind == "key" and key.arn.endswith(f":user/{name}"):
                self.users[key.arn] = name
                self.keys[key.access_key_id] = AccessKey(key, self.cloud.now() - age_days * DAY_SECONDS)

    def second_key(self, name: str, *, is_active: bool = True, age_days: float = 400) -> str:
        """Give a user one key more; returns its id."""
        arn = next(arn for arn in self.users if self.users[arn] == name)
        made = AccessKey(new_key(arn), self.cloud.now() - age_days * DAY_SECONDS, is_active=is_active)
        self.keys[made.id] = made
        self.cloud.keys[made.id] = made.key
        return made.id

    def status(self) -> dict[str, str]:
        """Id -> Active or Inactive."""
        return {key.id: "Active" if key.is_active else "Inactive" for key in self.keys.values()}

    # What STS and IAM ask before they answer.

    def check(self, key: Key) -> None:
        """Refuse what an inactive key signed, and what one did that is not known yet."""
        if key.access_key_id in self._dead:
            raise invalid_token()
        found = self.keys.get(key.access_key_id)
        if found is None:
            return
        flaps = found.is_new and self.flaps and not self.flaps.pop(0)
        if not found.is_active or flaps or self.cloud.now() < found.known_at:
            raise invalid_token()
        found.last_used_at = self.cloud.now()

    def knows(self, call: Call, key: Key) -> bool:
        """Whether this request is answered here."""
        return key.arn in self.users and call.action in self.actions

    def answer(self, call: Call, key: Key) -> str:
        """The answer's body."""
        name = self.users[key.arn]
        if call.action in self.denied or (self.needs_mfa and not key.mfa):
            raise Refusal(403, "AccessDenied",
                          f"User: {key.arn} is not authorized to perform: iam:{call.action} on resource: user {name}"
                          f" because no identity-based policy allows the iam:{call.action} action")  # fmt: skip
        about = call.parameters.get("UserName", name)
        if about != name:
            raise Refusal(404, "NoSuchEntity", f"The user with name {about} cannot be found.")
        result = self.actions[call.action](call, key.arn)
        return (
            f'<{call.action}Response xmlns="{NAMESPACE}"><{call.action}Result>{result}</{call.action}Result>'
            f"<ResponseMetadata><RequestId>{request_id()}</RequestId></ResponseMetadata></{call.action}Response>"
        )

    # The actions.

    def create(self, _call: Call, arn: str) -> str:
        if len(self._of(arn)) >= MOST_KEYS:
            raise Refusal(409, "LimitExceeded", f"Cannot exceed quota for AccessKeysPerUser: {MOST_KEYS}")
        now = self.cloud.now()
        made = AccessKey(new_key(arn), now, now + self.delay_seconds, now + self.list_delay_seconds, is_new=True)
        self.keys[made.id] = made
        self.cloud.keys[made.id] = made.key
        secret = f"<SecretAccessKey>{escape(made.key.secret_access_key)}</SecretAccessKey>"
        return f"<AccessKey>{self._shown(made)}{secret}</AccessKey>"

    def list_keys(self, _call: Call, arn: str) -> str:
        members = (f"<member>{self._shown(key)}</member>" for key in self._of(arn) if key.listed_at <= self.cloud.now())
        return f"<IsTruncated>false</IsTruncated><AccessKeyMetadata>{''.join(members)}</AccessKeyMetadata>"

    def update(self, call: Call, arn: str) -> str:
        found = self._named(call, arn)
        found.is_active = call.parameters["Status"] == "Active"
        if not found.is_active:
            self._kill_sessions(arn)
        return ""

    def delete(self, call: Call, arn: str) -> str:
        found = self._named(call, arn)
        del self.keys[found.id]
        self.cloud.keys.pop(found.id, None)
        self._kill_sessions(arn)
        return ""

    def last_used(self, call: Call, arn: str) -> str:
        found = self._named(call, arn)
        used = "" if found.last_used_at is None else f"<LastUsedDate>{shown(found.last_used_at)}</LastUsedDate>"
        return (
            f"<UserName>{escape(self.users[arn])}</UserName>"
            f"<AccessKeyLastUsed>{used}<ServiceName>N/A</ServiceName><Region>N/A</Region></AccessKeyLastUsed>"
        )

    def get_user(self, _call: Call, arn: str) -> str:
        return (
            f"<User><Path>/</Path><UserName>{escape(self.users[arn])}</UserName><UserId>AIDAEXAMPLE</UserId>"
            f"<Arn>{escape(arn)}</Arn><CreateDate>2024-01-01T00:00:00Z</CreateDate></User>"
        )

    def _of(self, arn: str) -> list[AccessKey]:
        return [key for key in self.keys.values() if key.key.arn == arn]

    def _named(self, call: Call, arn: str) -> AccessKey:
        wanted = call.parameters.get("AccessKeyId", "")
        for key in self._of(arn):
            if key.id == wanted:
                return key
        raise Refusal(404, "NoSuchEntity", f"The Access Key with id {wanted} cannot be found.")

    def _shown(self, key: AccessKey) -> str:
        return (
            f"<UserName>{escape(self.users[key.key.arn])}</UserName><AccessKeyId>{key.id}</AccessKeyId>"
            f"<Status>{'Active' if key.is_active else 'Inactive'}</Status><CreateDate>{shown(key.created_at)}</CreateDate>"
        )

    def _kill_sessions(self, arn: str) -> None:
        if self.sessions_die:
            self._dead |= {
                key.access_key_id for key in self.cloud.keys.values() if key.arn == arn and key.kind != "key"
            }


def new_key(arn: str) -> Key:
    """A key unlike every other."""
    unique, secret = secrets.token_bytes(10), secrets.token_bytes(30)
    return Key("AKIA" + base64.b32encode(unique).decode(), base64.b64encode(secret).decode(), arn)


def invalid_token() -> Refusal:
    return Refusal(403, "InvalidClientTokenId", "The security token included in the request is invalid.")


def shown(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
