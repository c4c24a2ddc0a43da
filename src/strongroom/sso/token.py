"""A good access token: the stored one, a refreshed one, or a new one; of many processes one gets it for all.

What is stored: the access token under aws-vault's name and in its JSON, so that both programs sign in once; the refresh
token, which aws-vault does not know how to use, among our own items.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from strongroom import lock
from strongroom.aws import sso
from strongroom.credentials import parse_time, show_time
from strongroom.durations import show
from strongroom.errors import (
    AwsError,
    AwsRefused,
    AwsUnreachable,
    KeystoreError,
    LockError,
    LockTimeout,
    PromptDismissed,
    PromptFailed,
)
from strongroom.sso import clients, device, pkce
from strongroom.sso.session import Session
from strongroom.told import tell, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from strongroom.own_items import OwnItems
    from strongroom.profiles import Profile
    from strongroom.sso import SsoWorld

T = TypeVar("T")

REFRESH = "sso-refresh"

# A token with less left is not begun with.
MARGIN_SECONDS = 60
# One with less left is refreshed, if it can be; until it ends there is time for AWS to get well.
AHEAD_SECONDS = 300

# How a token came here.
KEPT, REFRESHED, SIGNED_IN = "kept", "refreshed", "signed in"

# How often one call is made before a refusal of the token is believed: with a kept one, a refreshed one, a new one.
TRIES = 3

# What says that a refresh token is of no use any more: used up or revoked, expired, of a client that is gone.
_USELESS = clients.GONE | {"InvalidGrantException", "ExpiredTokenException"}
# Failures that would meet everybody who waits: AWS said no, or the human did, or did not come.
_SHARED = (AwsError, PromptDismissed, PromptFailed)


class Token:
    """An access token. Its repr does not show it.

    Args:
        access_token: The token.
        expires_at: Epoch seconds.
        origin: `KEPT`, `REFRESHED` or `SIGNED_IN`.
    """

    __slots__ = ("access_token", "expires_at", "origin")

    def __init__(self, access_token: str, expires_at: float, origin: str = KEPT) -> None:
        self.access_token = access_token
        self.expires_at = expires_at
        self.origin = origin

    def __repr__(self) -> str:
        return f"<Token {self.origin}, until {show_time(self.expires_at)}>"


def with_token(profile: Profile, world: SsoWorld, call: Callable[[str], T]) -> T:
    """Make a call with an access token; if the token is refused, with a refreshed or a new one.

    Args:
        profile: Whose token.
        world: The surroundings.
        call: Takes the access token; raises AwsRefused with status 401 if AWS does not.

    Raises:
        StrongroomError: Any of the tree.
    """
    token = access_token(profile, world)
    for left in reversed(range(TRIES)):
        try:
            return call(token.access_token)
        except AwsRefused as error:
            if error.status != 401:
                raise
            session = Session.of(profile)
            if token.origin != KEPT:
                _forget_refresh(session, world)
            if token.origin == SIGNED_IN or not left:
                _drop(session, world, token.access_token)
                raise
        token = access_token(profile, world, refused=token.access_token)
    raise AssertionError  # the last try returns or raises


def access_token(profile: Profile, world: SsoWorld, *, refused: str | None = None) -> Token:
    """A token for the portal, which lasts for a minute at least.

    Args:
        profile: Whose.
        world: The surroundings.
        refused: A token that AWS did not accept, so not that one.

    Raises:
        ProfileIncomplete: The profile does not say where to sign in.
        PromptDismissed: The human declined.
        PromptFailed: The human did not come in time.
        PromptUnavailable: Nobody can be asked to sign in here.
        AwsError: A call failed, here or in the process that got the token for all.
        LockTimeout: Another process took too long.
        KeystoreLocked: Wrong or no passphrase.
    """
    session = Session.of(profile)
    kept = _kept(session, world, refused)
    if kept is not None and (not _is_due(kept, world) or world.own.get(REFRESH, session.label()) is None):
        return kept
    try:
        turn = lock.hold(
            world.lock_directory,
            # Not by session: the access token is the same for all that have the start URL, and one window is enough.
            f"signing in to {session.start_url} in {session.region}",
            command=world.command,
            scope=session.label(),
            wait_seconds=world.lock_wait_seconds if kept is None else 0,
            ready=_Look(session, world, refused, wants_fresh=kept is not None),
            waiting=world.waiting,
        )
    except LockTimeout:
        if kept is None:
            raise
        return kept  # another process is about to renew it
    except LockError as error:
        world.warn(f"going on without a lock, so others may sign in at the same time: {error.message}")
        return _renew(session, world, kept, refused)
    with turn:
        if turn.value is not None:
            return turn.value
        if turn.failure is not None:
            raise told(turn.failure)
        try:
            return _renew(session, world, kept, refused)
        except _SHARED as error:
            turn.publish(tell(error))
            raise


def unasked(profile: Profile, world: SsoWorld, *, refused: str | None = None) -> Token | None:
    """A token that can be had without signing in: the stored one, or a refreshed one. Nothing is locked.

    Args:
        profile: Whose.
        world: The surroundings.
        refused: Not that one.

    Raises:
        ProfileIncomplete: The profile does not say where to sign in.
        AwsError: The token could not be refreshed now, but may be another time.
        KeystoreLocked: Wrong or no passphrase.
    """
    session = Session.of(profile)
    return _kept(session, world, refused) or _refresh(session, world)


class _Look:
    """Looks whether another process has stored a token; what was looked at before is not opened again."""

    def __init__(self, session: Session, world: SsoWorld, refused: str | None, *, wants_fresh: bool) -> None:
        self._session = session
        self._world = world
        self._refused = refused
        self._wants_fresh = wants_fresh
        self._seen: object = ()

    def __call__(self) -> Token | None:
        changed_at = self._world.token_changed_at(self._session.start_url)
        if changed_at == self._seen:
            return None
        self._seen = changed_at
        token = _kept(self._session, self._world, self._refused)
        return None if token is not None and self._wants_fresh and _is_due(token, self._world) else token


def _renew(session: Session, world: SsoWorld, kept: Token | None, refused: str | None) -> Token:
    """Refresh, or sign in; *kept* is a token that would do for now."""
    if kept is None:
        _drop(session, world, refused)
    try:
        refreshed = _refresh(session, world)
    except AwsError as error:
        if kept is None:
            raise _unrefreshed(session, error) from error
        left = show(max(0, int(kept.expires_at - world.now())))
        world.warn(f"the sign-in to {session.start_url} lasts for {left}, and cannot be renewed now: {error.message}")
        return kept
    # If not, another process may have done so, one that could not lock either.
    token = refreshed or kept or _kept(session, world, refused)
    if token is not None:
        return token
    granted, registration = _sign_in(session, world)
    return _keep(session, world, granted, registration, SIGNED_IN)


def _sign_in(session: Session, world: SsoWorld) -> tuple[sso.Granted, sso.Registration]:
    oidc = sso.Oidc(session.endpoint)
    reason = world.wants_device
    if session.name and not reason:
        signed_in = pkce.sign_in(oidc, session, world)
        if signed_in is not None:
            return signed_in
        reason = "no browser could be opened here"
    return device.sign_in(oidc, session, world, reason)


# The refresh token


def forget(own: OwnItems, start_url: str) -> int:
    """Remove every refresh token for a start URL: without the access token, the next command signs in.

    Returns:
        How many there were.

    Raises:
        KeystoreError: One could not be removed.
    """
    return sum(own.remove(REFRESH, name) for name in own.names(REFRESH) if name.rpartition(" ")[0] == start_url)


def _refresh(session: Session, world: SsoWorld) -> Token | None:
    """A token by the refresh token; None if there is none that is of use.

    Raises:
        AwsError: It may be of use another time.
    """
    name = session.label()
    stored = world.own.get(REFRESH, name)
    registration, refresh_token = clients.read(stored), (stored or {}).get("refresh_token")
    if registration is None or not isinstance(refresh_token, str):
        return None
    if registration.expires_at <= world.now():
        _forget_refresh(session, world)
        return None
    try:
        granted = sso.Oidc(session.endpoint).refresh(registration, refresh_token)
    except AwsRefused as error:
        if error.code in _USELESS:
            if world.own.get(REFRESH, name) == stored:  # not exchanged by another process meanwhile
                _forget_refresh(session, world)
            if error.code in clients.GONE:
                clients.forget(session, world, sso.AUTHORIZATION_CODE)
        elif sso.is_passing(error):
            raise
        return None
    return _keep(session, world, granted, registration, REFRESHED)


def _forget_refresh(session: Session, world: SsoWorld) -> None:
    try:
        world.own.remove(REFRESH, session.label())
    except KeystoreError:
        return


def _unrefreshed(session: Session, error: AwsError) -> AwsError:
    message = f"the sign-in to {session.start_url} could not be renewed: {error.message}"
    hint = "try again in a moment: the sign-in itself is kept"
    if isinstance(error, AwsRefused):
        return AwsRefused(error.code, error.status, message, hint)
    return AwsUnreachable(message, hint)


# The access token


def _kept(session: Session, world: SsoWorld, refused: str | None) -> Token | None:
    """The stored token, if it lasts."""
    token = _read(world.token(session.start_url), session)
    if token is None or token.access_token == refused or token.expires_at < world.now() + MARGIN_SECONDS:
        return None
    return token


def _read(fields: Mapping[str, Any] | None, session: Session) -> Token | None:
    """Read aws-vault's JSON; None if it is something else, or of another region's Identity Center."""
    if fields is None:
        return None
    inner, ours = fields.get("Token"), fields.get("Strongroom")
    access_token = inner.get("AccessToken") if isinstance(inner, dict) else None
    # It is to go into a header, and the library that refuses it there would quote it.
    if not (isinstance(access_token, str) and access_token and access_token.isascii() and access_token.isprintable()):
        return None
    if isinstance(ours, dict) and ours.get("region") != session.region:
        return None
    try:
        return Token(access_token, parse_time(str(fields.get("Expiration"))))
    except ValueError:
        return None


def _is_due(token: Token, world: SsoWorld) -> bool:
    return token.expires_at < world.now() + AHEAD_SECONDS


def _keep(
    session: Session, world: SsoWorld, granted: sso.Granted, registration: sso.Registration, origin: str
) -> Token:
    """Store what was granted; what cannot be stored is said, and used all the same."""
    expires_at = int(world.now()) + granted.lasts_seconds
    fields = {
        "Token": {
            "AccessToken": granted.access_token,
            "ExpiresIn": granted.lasts_seconds,
            "IdToken": None,
            "RefreshToken": None,
            "TokenType": "Bearer",
            "ResultMetadata": {},
        },
        "Expiration": show_time(expires_at),
        "Strongroom": {"region": session.region},
    }
    try:
        if granted.refresh_token:  # else one that is stored goes on
            # First: the server may have forgotten the one before it.
            stored = {"refresh_token": granted.refresh_token, **clients.fields(registration)}
            world.own.put(REFRESH, session.label(), stored)
        world.keep_token(session.start_url, fields)
    except KeystoreError as error:
        world.warn(f"the sign-in could not be stored, so the next command asks again: {error.message}")
    return Token(granted.access_token, expires_at, origin)


def _drop(session: Session, world: SsoWorld, refused: str | None) -> None:
    """Remove the stored token if it has expired or is the one that was *refused*."""
    token = _read(world.token(session.start_url), session)
    if token is not None and (token.access_token == refused or token.expires_at <= world.now()):
        try:
            world.remove_token(session.start_url)
        except KeystoreError:
            return
