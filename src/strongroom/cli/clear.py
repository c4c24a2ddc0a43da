"""``clear``: remove stored sessions and sign-ins, of one profile or all; keys stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import profiles
from strongroom.cli import lineage, signing_out
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (Flag("logout", "sign out of IAM Identity Center at the server first, which ends copies of the token too"),)
WORDS = ("[profile]",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Remove them, and say how many there were; a sign-in that may go on at the server stays here, too."""
    store = settings.vault()
    if arguments.words:
        name = arguments.words[0]
        keys = lineage.sessions_of_profile(settings, name)
        start_urls = _start_urls(settings, name)
    else:
        keys = [*store.old_sessions(), *(session.key for session in store.sessions())]
        start_urls = signing_out.start_urls(settings)
    failures = signing_out.at_server(settings, start_urls) if arguments.on("logout") else {}
    removed = store.remove(keys) + lineage.forget_narrowed(settings, profile=next(iter(arguments.words), None))
    try:
        removed += signing_out.here(
            settings,
            [url for url in start_urls if url not in failures],
            lambda url: url not in failures and (not arguments.words or url in start_urls),
        )
    finally:
        answer(f"Cleared {removed} sessions.\n")
    for url, reason in failures.items():
        settings.talk.error(
            f"clear: not signed out of {url}, so what is stored for it stays: {reason}",
            "try again in a moment; without --logout it is removed here, and lives on at the server",
        )
    return 1 if failures else 0


def _start_urls(settings: Settings, name: str) -> list[str]:
    """What the profile signs in to, as far as the config tells."""
    try:
        profile = profiles.resolve(settings.document(), name, flags={}, environ=settings.environ)
    except StrongroomError as error:
        settings.talk.warn(f"only sessions are looked for, not a token: {error.message}")
        return []
    # [default] may name a start URL, and is everybody's: a name without a section does not stand for its token.
    return [profile.sso_start_url] if profile.exists and profile.sso_start_url else []
