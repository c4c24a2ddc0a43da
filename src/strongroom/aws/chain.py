"""The agent's door to AWS: botocore with the SDK's whole chain of credentials, regions and endpoints.

`strongroom.aws.client`, the vault's door, trusts nothing but what it is told. The agent stands where any SDK would
stand and finds its credentials as any SDK does: variables, profile, SSO, web identity, containers, instance metadata.

There is one botocore client per service and region, whoever's credentials sign: connections are shared, and a further
role costs no memory. Credentials are handed to each call and found again by the thread that signs.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import botocore.config
import botocore.credentials
import botocore.exceptions
import botocore.loaders
import botocore.parsers
import botocore.session
import botocore.utils

from strongroom import __version__
from strongroom.aws.answers import Unreadable, read_json
from strongroom.aws.failed import CallFailed
from strongroom.aws.own_credentials import OwnCredentials
from strongroom.credentials import Credentials, shown_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.aws.failed import Cause

# Standard mode's own count: https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
ATTEMPTS = 3

# What is kept in reserve per service and region; the agent has about as many threads that may call.
CONNECTIONS = 64

# Callers may name any region in an ARN; each costs a sixth of a megabyte.
MOST_CLIENTS = 32

# Instance metadata that did not tell the region is not asked again for so long: each try may take a second.
REGION_PATIENCE_SECONDS = 30.0

# Of the thousand services in botocore's list of endpoints: those that we and the credential chain call.
_SERVICES = frozenset({"oidc", "portal.sso", "secretsmanager", "signin", "ssm", "sts"})

# And as botocore names them: it would look through its descriptions of four hundred for each.
_DESCRIBED = ("secretsmanager", "signin", "sso", "sso-oidc", "ssm", "sts")

_JSON_SERVICES = ("secrets-manager", "ssm")
_CODE_IN_XML = re.compile(rb"<Code>\s*([A-Za-z0-9._]{1,100})\s*</Code>")

_METHODS = {
    "AssumeRole": "assume_role",
    "BatchGetSecretValue": "batch_get_secret_value",
    "GetCallerIdentity": "get_caller_identity",
    "GetParameter": "get_parameter",
    "GetSecretValue": "get_secret_value",
}


class Chain:
    """A session with AWS; may be used by many threads at once.

    Args:
        region: The one to ask, before all that the environment names; or None.
        environ: Where ``AWS_REGION`` and the like are looked for. All else botocore takes from the process's own.
        attempt_seconds: How long one attempt may take to connect, and then to answer.
        patient_seconds: The same for calls that ask for more time.
        own_credentials: Whether the chain's credentials are used at all; if not, a profile that nobody knows is no
            mistake.
        now: A clock that never goes back, seconds.

    Raises:
        CallFailed: The shared AWS files, or variables named ``AWS_*``, make no sense.
    """

    def __init__(
        self,
        region: str | None,
        environ: Mapping[str, str],
        *,
        attempt_seconds: float,
        patient_seconds: float,
        own_credentials: bool = True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environ = environ
        self._named = region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
        self._seconds = {False: attempt_seconds, True: patient_seconds}
        self._now = now
        self._lock = threading.Lock()
        self._clients: OrderedDict[tuple[str, str, bool], Any] = OrderedDict()
        self._region: str | None = None
        self._region_at = float("-inf")
        self._signer = _Signer()
        try:
            self._session = _session(own_credentials=own_credentials)
            self._attempts = _attempts(self._session)
            if self._named:
                # For the calls that the chain makes itself.
                self._session.set_config_variable("region", self._named)
            chain = self._session.get_component("credential_provider")
            self._own = OwnCredentials(chain.load_credentials, _no_credentials, now=now)
            self._session.register_component("credential_provider", _Always(self._signer))
        except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
            raise CallFailed("credentials", f"AWS's settings cannot be used: {_one_line(error)}") from error

    @property
    def region(self) -> str | None:
        """The region that is asked unless an ARN names another; None if nothing tells.

        The one given, else ``AWS_REGION``, ``AWS_DEFAULT_REGION``, the profile's, that of the EC2 instance we run on.
        """
        with self._lock:
            if self._region is None and self._now() >= self._region_at + REGION_PATIENCE_SECONDS:
                self._region = self._named or self._find_region()
                self._region_at = self._now()
            return self._region

    def _find_region(self) -> str | None:
        try:
            found = (
                self._session.get_scoped_config().get("region")
                or botocore.utils.IMDSRegionProvider(self._session, environ=self._environ).provide()
            )
        except Exception:  # noqa: BLE001 - whoever answers at that address, it is not the instance metadata
            return None
        return str(found) if found else None

    def own(self) -> Credentials:
        """Our own credentials, as they are now.

        Raises:
            CallFailed: There are none, or AWS refuses to hand them out.
        """
        return self._own.current()

    def renew(self, refused: Credentials) -> bool:
        """Look for our own credentials anew, since AWS refused these; tells whether there are others now."""
        return self._own.renew(refused)

    def call(
        self,
        service: str,
        operation: str,
        members: dict[str, object],
        *,
        region: str | None,
        credentials: Credentials,
        patient: bool = False,
    ) -> dict[str, Any]:
        """Make one call. Times in the answer are as AWS sent them: numbers in JSON, text in XML.

        Args:
            service: ``secretsmanager``, ``ssm``, ``sts``.
            operation: As AWS calls it, ``GetSecretValue``.
            members: What is sent; exactly these, also empty ones.
            region: Which to ask.
            credentials: Who asks.
            patient: Whether this call may take longer than others.

        Raises:
            CallFailed: There is no answer, or it is an error.
        """
        name = f"{service} {operation}"
        if not region:
            raise CallFailed("region", f"{name}: no region: set AWS_REGION, or region in a config file")
        try:
            method = getattr(self._client(service, region, patient=patient), _METHODS[operation])
            with self._signer.signing(credentials):
                answer: dict[str, Any] = method(**members)
        except CallFailed:
            raise
        except Exception as error:  # noqa: BLE001 - botocore's parsers let out whatever a strange answer makes of them
            raise _failed(name, error) from None  # its text and frames may hold the answer, a secret
        return answer

    def prepare(self, service: str) -> None:
        """Make the client for *service* before it is needed, if a region is known.

        Raises:
            CallFailed: It cannot be made.
        """
        region = self.region
        if region is None:
            return
        try:
            self._client(service, region, patient=False)
        except Exception as error:  # noqa: BLE001 - as in `call`
            raise _failed(service, error) from None

    def close(self) -> None:
        """Close connections that are not in use."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
        for client in clients:
            client.close()

    def _client(self, service: str, region: str, *, patient: bool) -> Any:
        key = service, region, patient
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = self._make(service, region, self._seconds[patient])
                if len(self._clients) > MOST_CLIENTS:
                    self._clients.popitem(last=False)
            self._clients.move_to_end(key)
            return client

    def _make(self, service: str, region: str, seconds: float) -> Any:
        return self._session.create_client(
            service,
            region_name=region,
            config=botocore.config.Config(
                # AWS's own answer goes to the caller, so botocore does not judge what is sent.
                parameter_validation=False,
                retries={"mode": "standard", "total_max_attempts": self._attempts},
                connect_timeout=seconds,
                read_timeout=seconds,
                max_pool_connections=CONNECTIONS,
                tcp_keepalive=True,
                user_agent_extra=f"strongroom/{__version__}",
            ),
        )


def _session(*, own_credentials: bool) -> Any:
    session = botocore.session.Session()
    try:
        session.get_scoped_config()
    except botocore.exceptions.ProfileNotFound:
        if own_credentials:
            raise
        # AWS_PROFILE names a section of the credentials file that takes the chain's place.
        session = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    loader = botocore.loaders.create_loader(session.get_config_variable("data_path"))
    loader.file_loader = _LeanFiles()
    loader.list_available_services = lambda _type_name: _DESCRIBED
    session.register_component("data_loader", loader)
    # A datetime has lost digits of the number that was sent.
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=lambda value: value)
    for service in _JSON_SERVICES:
        session.register(f"before-parse.{service}", read_json)
    return session


def _attempts(session: Any) -> int:
    try:
        attempts = session.get_config_variable("max_attempts")
    except ValueError:
        return ATTEMPTS
    return attempts if isinstance(attempts, int) and attempts > 0 else ATTEMPTS


class _LeanFiles(botocore.loaders.JSONFileLoader):  # type: ignore[misc] # botocore ships no types
    """Reads botocore's descriptions of services without what only readers need: half of the memory they take."""

    def load_file(self, file_path: str) -> Any:
        for path, opened in ((f"{file_path}.json", open), (f"{file_path}.json.gz", gzip.open)):
            if os.path.isfile(path):
                with opened(path, "rb") as file:
                    hook = _few_services if os.path.basename(file_path) == "endpoints" else _without_documentation
                    return json.loads(file.read(), object_hook=hook)
        return None


def _without_documentation(part: dict[str, Any]) -> dict[str, Any]:
    if isinstance(part.get("documentation"), str):
        part["documentation"] = ""
    return part


def _few_services(part: dict[str, Any]) -> dict[str, Any]:
    if "services" in part:
        part["services"] = {name: value for name, value in part["services"].items() if name in _SERVICES}
    return part


# Credentials.


class _Signer(botocore.credentials.Credentials):  # type: ignore[misc] # botocore ships no types
    """To botocore's clients the one and only credentials: those of the call that the thread is making."""

    def __init__(self) -> None:
        super().__init__("", "", method="strongroom")
        self._of_thread = threading.local()

    def signing(self, credentials: Credentials) -> _Signing:
        return _Signing(self._of_thread, _frozen(credentials))

    def get_frozen_credentials(self) -> Any:
        return self._of_thread.credentials


class _Signing:
    """While the block lasts, this thread signs with these credentials."""

    def __init__(self, of_thread: threading.local, frozen: Any) -> None:
        self._of_thread = of_thread
        self._frozen = frozen

    def __enter__(self) -> None:
        self._of_thread.credentials = self._frozen

    def __exit__(self, *_: object) -> None:
        del self._of_thread.credentials


class _Always:
    """A provider of credentials that has one answer."""

    def __init__(self, credentials: _Signer) -> None:
        self._credentials = credentials

    def load_credentials(self) -> _Signer:
        return self._credentials


def _frozen(credentials: Credentials) -> Any:
    for value in (credentials.access_key_id, credentials.secret_access_key, credentials.session_token):
        if not (value.isascii() and value.isprintable()):
            # They travel in HTTP headers, and the library that refuses such a header quotes it: a secret, maybe.
            shown = shown_key_id(credentials.access_key_id)
            raise CallFailed("credentials", f"the access key {shown!r} holds characters that no access key has")
    return botocore.credentials.ReadOnlyCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token or None
    )


def _no_credentials(error: Exception) -> CallFailed:
    """Why the chain has none. AWS's own refusal, of a role that a profile names, goes on as such."""
    if isinstance(error, botocore.exceptions.ClientError):
        return _refused("the SDK's chain of credentials", error)
    text = _one_line(error) if isinstance(error, botocore.exceptions.BotoCoreError) else type(error).__name__
    return CallFailed("credentials", f"no credentials: {text}")


# Answers, and what goes wrong.


def _failed(name: str, error: Exception) -> CallFailed:
    if isinstance(error, botocore.exceptions.ClientError):
        return _refused(name, error)
    cause = _cause(error)
    if cause == "unreadable":
        return CallFailed(cause, f"{name} was answered with something that is not AWS's format")
    known = isinstance(error, botocore.exceptions.BotoCoreError)
    return CallFailed(cause, f"{name}: {_one_line(error) if known else type(error).__name__}")


def _cause(error: Exception) -> Cause:
    if isinstance(error, botocore.exceptions.ConnectTimeoutError | botocore.exceptions.ReadTimeoutError):
        return "timeout"
    if isinstance(error, botocore.exceptions.ConnectionClosedError):
        # What urllib3 said of it, and inside that what Python did.
        inner = getattr(error.kwargs.get("error"), "args", ())
        if any(isinstance(each, http.client.RemoteDisconnected) for each in inner):
            return "closed"
        return "unreadable" if any(isinstance(each, http.client.HTTPException) for each in inner) else "unreachable"
    if isinstance(error, botocore.exceptions.ConnectionError | botocore.exceptions.HTTPClientError):
        return "unreachable"
    if isinstance(error, Unreadable | botocore.parsers.ResponseParserError | botocore.exceptions.IncompleteReadError):
        return "unreadable"
    if isinstance(error, botocore.exceptions.BotoCoreError | ValueError | OSError):
        return "other"
    return "unreadable"  # what a parser makes of an answer in which things stand where others belong


def _refused(name: str, error: Any) -> CallFailed:
    answer = error.response
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if "Told" in answer:
        code, said, body = answer["Told"]
        if not code and (match := _CODE_IN_XML.search(body[:4096])):
            # Not for the caller, who is told what AWS's agent tells; but it decides what becomes of a kept copy.
            code = match[1].decode()
    else:
        code, said = answer.get("Error", {}).get("Code", ""), answer.get("Error", {}).get("Message")
        if code.isdigit():  # botocore's, in place of a code
            code, said = "", None
    words = f"{name} was refused with HTTP status {status} ({code or 'no code'}): "
    return CallFailed("refused", words + _one_line(said or "no reason given"), status=status, code=code, said=said)


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:500]
