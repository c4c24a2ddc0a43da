"""The AWS of the demo: moto on a free loopback port, behind a door that counts calls and checks MFA codes.

moto answers STS and IAM well, but it takes any MFA code and gives every session the same keys. Both matter here, so the
door answers GetSessionToken itself, and refuses a wrong code the way AWS does.
"""

import base64
import io
import re
import secrets
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Self

import boto3
import totp
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

REGION = "eu-central-1"
ASKS_FOR_CREDENTIALS = ("GetSessionToken", "AssumeRole")

_REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>AccessDenied</Code><Message>MultiFactorAuthentication failed with invalid MFA one time pass code. </Message>
</Error><RequestId>demo</RequestId></ErrorResponse>"""

_SESSION = """<GetSessionTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetSessionTokenResult><Credentials>
<AccessKeyId>{key_id}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey><SessionToken>{token}</SessionToken>
<Expiration>{expiration}</Expiration></Credentials></GetSessionTokenResult></GetSessionTokenResponse>"""

Environ = dict[str, Any]
StartResponse = Callable[..., Any]


class Door:
    """A WSGI application in front of moto: counts the STS calls and knows the codes that an MFA device shows."""

    def __init__(self) -> None:
        self.seed = secrets.token_bytes(20)
        self.calls: Counter[str] = Counter()
        self.refused = 0
        self._owners: dict[str, str] = {}  # a session's access key id -> the one of the user's own key
        self._moto = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request, or hand it on to moto as its owner's."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        form = dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace")))
        authorization = environ.get("HTTP_AUTHORIZATION", "")
        if re.search(r"Credential=[^/]+/\d+/[^/]+/sts/", authorization):
            self.calls[form.get("Action", "?")] += 1
            if "TokenCode" in form and not self.shows(form["TokenCode"]):
                self.refused += 1
                return _answer(start_response, "403 Forbidden", _REFUSED)
            if form.get("Action") == "GetSessionToken":
                return _answer(start_response, "200 OK", self._session(authorization, int(form["DurationSeconds"])))
        key_id = _signed_by(authorization)
        environ["HTTP_AUTHORIZATION"] = authorization.replace(key_id, self._owners.get(key_id, key_id), 1)
        return self._moto(environ, start_response)

    def shows(self, code: str) -> bool:
        """Whether the device shows *code* now, or did or will within one period, as clocks differ."""
        times = (time.time() + drift * totp.PERIOD_SECONDS for drift in (-1, 0, 1))
        return any(secrets.compare_digest(code, totp.code(self.seed, at)) for at in times)

    def _session(self, authorization: str, seconds: int) -> str:
        key_id = "ASIA" + base64.b32encode(secrets.token_bytes(10)).decode()
        self._owners[key_id] = _signed_by(authorization)
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
        secret, token = secrets.token_urlsafe(30), secrets.token_urlsafe(200)
        return _SESSION.format(key_id=key_id, secret=secret, token=token, expiration=expiration)


class Cloud:
    """A running AWS with one user ``jon``, his MFA device, and a role ``admin``. Use it in a ``with`` statement."""

    def __init__(self) -> None:
        self.door = Door()
        self._server = make_server("127.0.0.1", 0, self.door, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Start to serve, and create what the demo works with."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        admin = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
        iam = boto3.client("iam", endpoint_url=self.url, region_name=REGION, **admin)
        iam.create_user(UserName="jon")
        key = iam.create_access_key(UserName="jon")["AccessKey"]
        self.access_key_id, self.secret_access_key = key["AccessKeyId"], key["SecretAccessKey"]
        self.mfa_serial = iam.create_virtual_mfa_device(VirtualMFADeviceName="jon")["VirtualMFADevice"]["SerialNumber"]
        codes = [totp.code(self.door.seed, time.time() + ahead) for ahead in (0, totp.PERIOD_SECONDS)]
        iam.enable_mfa_device(
            UserName="jon", SerialNumber=self.mfa_serial, AuthenticationCode1=codes[0], AuthenticationCode2=codes[1]
        )
        self.role_arn = iam.create_role(RoleName="admin", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    def asked(self) -> int:
        """Return how many calls for credentials have come in so far."""
        return sum(self.door.calls[action] for action in ASKS_FOR_CREDENTIALS)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Say nothing: the demo's own lines are the output."""


def _signed_by(authorization: str) -> str:
    found = re.search(r"Credential=([^/]+)/", authorization)
    return found[1] if found else ""


def _answer(start_response: StartResponse, status: str, body: str) -> Iterable[bytes]:
    start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(body)))])
    return [body.encode()]
