"""Items in 1Password, by a Connect server of one's own and its REST interface.

https://developer.1password.com/docs/connect/api-reference describes the requests; the specification is in
https://github.com/1Password/connect, docs/openapi/spec.yaml.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed leaves it out

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError

from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError, KeystoreLocked, KeystoreUnavailable
from strongroom.keystore import onepassword

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from strongroom.keystore import Ask, Item
    from strongroom.keystore.onepassword import Layout

# How long a connection to the server may take: it is a machine nearby.
CONNECT_SECONDS = 5.0

_CHECK_TOKEN = "check AWS_VAULT_OP_CONNECT_TOKEN, and which vaults the token is for"  # noqa: S105
_CHECK_HOST = "check --op-connect-host, and that the server runs"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def open(settings: Mapping[str, Any], ask: Ask) -> ConnectKeystore:  # noqa: A001 - the family's shape
    """Open the vault ``op_vault_id`` behind the server ``op_connect_host``; without ``op_connect_token`` that is asked.

    Raises:
        KeystoreUnavailable: No server or no vault is named.
        KeystoreError: The server's address is none.
    """
    layout = onepassword.Layout.of(settings)
    host = str(settings.get("op_connect_host") or "")
    if not host:
        raise KeystoreUnavailable(
            "no 1Password Connect server is named",
            "give --op-connect-host, or set AWS_VAULT_OP_CONNECT_HOST to its URL",
        )
    parts = urlsplit(host)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise KeystoreError(f"{host!r} is no address of a Connect server", "it begins with https:// or http://")
    token = [str(settings.get("op_connect_token") or "")]

    def the_token() -> str:
        token[0] = token[0] or ask("Enter 1Password Connect token: ", confirm=False)
        return token[0]

    seconds = float(settings.get("op_timeout") or onepassword.DEFAULT_TIMEOUT_SECONDS)
    server = Server(host, the_token, seconds, _proxy(host, settings.get("program_environment") or {}))
    store = ConnectKeystore(server, layout)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        store.warnings.append(
            f"{host} is not encrypted: whoever is between can read the token and the keys (use https)"
        )
    return store


class Server:
    """A Connect server.

    Args:
        url: Where it is.
        token: Brings its access token.
        timeout_seconds: How long it may take over one answer.
        proxy: The URL of a proxy between us, or none.
    """

    __slots__ = ("_pool", "_token", "url")

    def __init__(self, url: str, token: Callable[[], str], timeout_seconds: float, proxy: str = "") -> None:
        self.url = url.rstrip("/")
        self._token = token
        timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, timeout_seconds), read=timeout_seconds)
        self._pool: urllib3.PoolManager = (
            urllib3.ProxyManager(proxy, timeout=timeout) if proxy else urllib3.PoolManager(timeout=timeout)
        )

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Send one request.

        Args:
            method: As HTTP calls it.
            path: Below ``/v1/``, encoded.
            body: What is sent as JSON, if anything.

        Returns:
            The answer's JSON; None if there is none to it.

        Raises:
            Missing: There is no such thing there.
            KeystoreLocked: The server refused the token.
            KeystoreError: It refused the request, did not answer, or answered something else.
        """
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = json.dumps(body).encode()
        try:
            # Nothing is sent twice and nowhere else: the token goes along.
            answer = self._pool.request(
                method, f"{self.url}/v1/{path}", body=data, headers=headers, retries=False, redirect=False
            )
        except (HTTPError, LocationValueError) as error:
            raise KeystoreError(
                f"no answer from the Connect server {self.url}: {_reason(error)}", _CHECK_HOST
            ) from None
        except UnicodeError:
            raise KeystoreLocked("the Connect token is none: it has other characters", _CHECK_TOKEN) from None
        if answer.status in {200, 201, 204}:
            return _json(answer.data, self.url)
        said = _message(answer.data)
        if answer.status == 401:
            raise KeystoreLocked(f"the Connect server {self.url} refused the token{said}", _CHECK_TOKEN)
        if answer.status == 403:
            raise KeystoreError(f"the Connect server {self.url} does not allow this{said}", _CHECK_TOKEN)
        if answer.status == 404:
            raise Missing(f"the Connect server {self.url} knows no such thing{said}", "check --op-vault-id")
        raise KeystoreError(f"the Connect server {self.url} answered with status {answer.status}{said}", _CHECK_HOST)


class Missing(KeystoreError):
    """The server knows no such vault or item."""


class ConnectKeystore:
    """A vault of 1Password behind a Connect server.

    Args:
        server: The server.
        layout: Which items are ours.
    """

    __slots__ = ("_ids", "_layout", "_server", "warnings")

    def __init__(self, server: Server, layout: Layout) -> None:
        self.warnings: list[str] = []
        self._server = server
        self._layout = layout
        # As they were last listed: an item that is opened after a listing costs one request more, not two.
        self._ids: dict[str, list[tuple[str, float | None]]] | None = None

    @property
    def location(self) -> str:
        """The vault, what the items are called in it, and the server."""
        return f"{self._layout.location} at {self._server.url}"

    def listing(self) -> dict[str, float | None]:
        """Tell which items there are, and when each was last changed: one request, which shows no secret."""
        return onepassword.modified(self._listed())

    def get(self, key: str) -> Item:
        """Open one item; the errors are those of the contract."""
        remembered = self._ids
        if remembered is not None and len(remembered.get(key, ())) == 1:
            try:
                return self._opened(key, remembered[key][0][0])
            except Missing:
                pass  # replaced by another program since
        id = onepassword.only(key, self._listed().get(key, []), self.location)  # noqa: A001 - 1Password's word
        try:
            return self._opened(key, id)
        except Missing as error:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}") from error

    def set(self, item: Item) -> None:
        """Store an item; the errors are those of the contract."""
        found = self._listed().get(item.key, [])
        self._ids = None
        if not found:
            self._server.ask("POST", self._path(), self._layout.written(item))
            return
        id = onepassword.only(item.key, found, self.location)  # noqa: A001 - 1Password's word
        self._server.ask("PUT", self._path(id), self._layout.written(item, id))

    def remove(self, key: str) -> None:
        """Remove one item, as often as it is there; the errors are those of the contract."""
        found = self._listed().get(key, [])
        if not found:
            raise ItemNotFound(key, f"no item {key!r} in {self.location}")
        self._ids = None
        for id, _ in found:  # noqa: A001 - 1Password's word
            try:
                self._server.ask("DELETE", self._path(id))
            except Missing:
                continue  # somebody else was faster

    def beside(self, collection: str) -> ConnectKeystore:
        """Items of other titles and another tag in the same vault."""
        return ConnectKeystore(self._server, self._layout.beside(collection))

    def _listed(self) -> dict[str, list[tuple[str, float | None]]]:
        filtered = quote(f"tag eq {json.dumps(self._layout.tag)}", safe="")
        self._ids = self._layout.ids(self._server.ask("GET", f"{self._path()}?filter={filtered}"))
        return self._ids

    def _opened(self, key: str, id: str) -> Item:  # noqa: A002 - 1Password's word
        whole = self._server.ask("GET", self._path(id))
        if whole is None:
            raise ItemDamaged(key, f"item {key!r} is damaged: the Connect server says nothing about it")
        return self._layout.read(key, whole)

    def _path(self, id: str = "") -> str:  # noqa: A002 - 1Password's word
        path = f"vaults/{quote(self._layout.vault, safe='')}/items"
        return f"{path}/{quote(id, safe='')}" if id else path


def _proxy(url: str, environ: Mapping[str, str]) -> str:
    """Return the proxy that the environment names for *url*; the lower-case variables win, as with curl."""
    parts = urlsplit(url)
    no = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if parts.hostname in _LOOPBACK or proxy_bypass_environment(parts.netloc, {"no": no}):
        return ""
    name = f"{parts.scheme}_proxy"
    # An upper-case HTTP_PROXY may be a request's header, in a program that a web server runs (CVE-2016-5385).
    upper = "" if parts.scheme == "http" else environ.get(name.upper(), "")
    proxy = environ.get(name) or upper
    return proxy if "://" in proxy or not proxy else f"http://{proxy}"


def _json(data: bytes, url: str) -> Any:
    try:
        return json.loads(data) if data else None
    except ValueError:  # no cause: it quotes what may be a secret
        raise KeystoreError(f"the answer of the Connect server {url} is no JSON", _CHECK_HOST) from None


def _message(data: bytes) -> str:
    """What the server said about a refusal; its messages name things and quote no values."""
    try:
        said = json.loads(data)["message"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f": {' '.join(said.split())[:200]}" if isinstance(said, str) and said else ""


def _reason(error: Exception) -> str:
    """The kind of a network error, in words; its text names the host, port and memory address of a connection."""
    words = {
        "ConnectTimeoutError": "it cannot be reached",
        "NewConnectionError": "it cannot be reached",
        "NameResolutionError": "its name is not known",
        "ReadTimeoutError": "it took too long",
        "SSLError": "its certificate is not trusted",
        "ProxyError": "the proxy cannot be used",
        "ProtocolError": "it broke off",
    }
    return next((words[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in words), "the request failed")
