"""Signing out of IAM Identity Center: at the server, and here."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from strongroom import profiles
from strongroom.cli.left_token import cli_cache
from strongroom.cli.signing_in import SigningIn
from strongroom.errors import AwsError, ItemDamaged, ProfileIncomplete, StrongroomError
from strongroom.profile_fields import FIELDS
from strongroom.profiles import Profile
from strongroom.sso import sign_out, token
from strongroom.sso.cli_cache import MARK
from strongroom.sso.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from strongroom.cli.settings import Settings


_UNKNOWN = "nothing in the config file tells any longer how that was signed in to"


def start_urls(settings: Settings) -> list[str]:
    """The start URLs that something is stored for: an access token or a refresh token."""
    tokens = [key.removeprefix("oidc:") for key in settings.vault().tokens()]
    return list(dict.fromkeys([*tokens, *(url for url, _ in _refresh_tokens(settings))]))


def at_server(settings: Settings, urls: Iterable[str]) -> dict[str, str]:
    """Sign out at the server.

    Args:
        settings: Flags, variables, files.
        urls: The start URLs.

    Returns:
        Start URL -> why not, of those whose sign-in may go on.

    Raises:
        KeystoreLocked: Wrong or no passphrase.
    """
    wanted = set(urls)
    found = _profiles(settings, wanted)
    failures: dict[str, str] = {}
    ended: set[str] = set()
    for profile in found.values():
        try:
            ended |= sign_out.sign_out(profile, SigningIn(settings, profile), ended)
        except (AwsError, ItemDamaged) as error:
            failures[profile.sso_start_url or ""] = error.message
    known = {profile.sso_start_url for profile in found.values()}
    for url in start_urls(settings):
        if url in wanted and url not in known:
            failures[url] = _UNKNOWN
    for url, label in _refresh_tokens(settings):
        if url in wanted and label not in found:
            failures.setdefault(url, _UNKNOWN)
    return failures


def here(settings: Settings, urls: Iterable[str], is_meant: Callable[[str], bool]) -> int:
    """Remove what is stored for start URLs, and what was left in the AWS CLI's cache.

    Args:
        settings: Flags, variables, files.
        urls: The start URLs.
        is_meant: Whether a token in the AWS CLI's cache is to go, by its start URL.

    Returns:
        How many of the start URLs something was stored for.

    Raises:
        StrongroomError: Something could not be removed.
    """
    own, vault = settings.own_items(), settings.vault()
    # The refresh token goes first: it could bring the other one back.
    removed = sum((token.forget(own, url) > 0) | (vault.remove([f"oidc:{url}"]) > 0) for url in urls)
    if own.names(MARK):
        files = cli_cache(settings).remove(is_meant)
        if files:
            settings.talk.say(f"removed {files} access token{'s' * (files > 1)} from the AWS CLI's cache")
    return removed


def _refresh_tokens(settings: Settings) -> Iterator[tuple[str, str]]:
    """(start URL, label of the session) of each."""
    for label in settings.own_items().names(token.REFRESH):
        yield label.rpartition(" ")[0], label


def _profiles(settings: Settings, urls: set[str]) -> dict[str, Profile]:
    """Profiles that sign in to one of *urls*, one for each way that the config has, by what their sessions are called.

    For a stored token of a region that the config does not name, there is one that names it.
    """
    document, environ = settings.document(), settings.environ
    found: list[Profile] = []
    for name in profiles.names(document):
        with contextlib.suppress(StrongroomError):  # whoever uses it will be told
            found.append(profiles.resolve(document, name, flags={}, environ=environ))
    for name in profiles.sso_sessions(document):
        with contextlib.suppress(StrongroomError):
            found.append(profiles.resolve_session(document, name, environ=environ))
    found = [profile for profile in found if profile.sso_start_url in urls and profile.sso_region]
    places = {(profile.sso_start_url, profile.sso_region) for profile in found}
    for url in urls:
        made_for = (settings.vault().token(url) or {}).get("Strongroom")
        region = made_for.get("region") if isinstance(made_for, dict) else None
        if region and (url, region) not in places:
            found.append(_unnamed(settings, url, region))
    labelled: dict[str, Profile] = {}
    for profile in reversed(found):
        with contextlib.suppress(ProfileIncomplete):  # nobody can have signed in like that
            labelled[Session.of(profile).label()] = profile
    return labelled


def _unnamed(settings: Settings, url: str, region: str) -> Profile:
    """A profile that signs in to *url*, and for the rest has what [default] and the variables say."""
    base = profiles.resolve(settings.document(), url, flags={}, environ=settings.environ)
    values = {field.name: getattr(base, field.name) for field in FIELDS}
    return Profile(url, values | {"sso_session": None, "sso_start_url": url, "sso_region": region})
