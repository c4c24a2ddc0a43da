"""``clear``: remove stored sessions, of one profile or all; keys stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import profiles
from strongroom.cli import lineage
from strongroom.cli.terminal import answer
from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments, Flag
    from strongroom.cli.settings import Settings

FLAGS: tuple[Flag, ...] = ()
WORDS = ("[profile]",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Remove them, and say how many there were."""
    store = settings.vault()
    if arguments.words:
        name = arguments.words[0]
        keys = [*lineage.sessions_of_profile(settings, name), *_tokens(settings, name)]
    else:
        keys = [*store.old_sessions(), *(session.key for session in store.sessions()), *store.tokens()]
    answer(f"Cleared {store.remove(keys)} sessions.\n")
    return 0


def _tokens(settings: Settings, name: str) -> list[str]:
    """The Identity Center token that the profile uses, as far as the config tells."""
    try:
        profile = profiles.resolve(settings.document(), name, flags={}, environ=settings.environ)
    except StrongroomError as error:
        settings.talk.warn(f"only sessions are looked for, not a token: {error.message}")
        return []
    token = f"oidc:{profile.sso_start_url}"
    # [default] may name a start URL, and is everybody's: a name without a section does not stand for its token.
    return [token] if profile.exists and token in settings.vault().listing else []
