"""What `import` says last: what finds no key any more, and that copies of the keys may exist."""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import ini
from strongroom.cli import quoting
from strongroom.profiles import section_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from strongroom.cli.import_candidates import Candidate
    from strongroom.cli.import_sources import Source
    from strongroom.cli.settings import Settings

# More keys than this are spoken of together: nobody reads a screen of lines that differ in a name.
FEW = 8


def tell(settings: Settings, source: Source, stored: list[Candidate]) -> None:
    """Say what is next.

    Args:
        settings: Flags, variables, files.
        source: The file that the keys were found in.
        stored: Those that are in the keystore now.
    """
    say, program, path = settings.talk.say, settings.talk.program, source.path
    still = [each for each in stored if not each.is_gone]
    read = [each for each in stored if each.is_gone and each.found.section]
    config = settings.config_path
    if len(stored) > FEW:
        if still:
            say(f"{len(still)} of these keys are still in {path}, where every program of yours can read them")
        if read:
            say(
                f"the AWS CLI and SDKs find no key by {len(read)} profiles any more: run them by "
                f"`{program} exec PROFILE`, or add to [{section_name('PROFILE')}] of {config}: "
                f"credential_process = {program} export --format=json PROFILE"
            )
        say(f"copies may exist, in backups for example: `{program} rotate --all` makes them worthless")
        return
    for each in still:
        say(f"the key of {each.shown_name} is still in {path}, where every program of yours can read it")
    documents = [settings.document(), ini.Document(source.text)]
    depending = _depending(documents)
    for each in read:
        others = sorted(depending.get(each.found.profile, set()) - {each.found.profile})
        through = f", nor by {', '.join(others)}, with source_profile = {each.found.profile}" if others else ""
        word = quoting.posix(each.name)
        say(
            f"the AWS CLI and SDKs find no key by profile {each.found.profile} any more{through}: run them by "
            f"`{program} exec {word}`, or add to [{section_name(each.found.profile)}] of {config}: "
            f"credential_process = {program} export --format=json {word}"
        )
        section = documents[1].section(each.found.section)
        rest = [key for key in section.entries if not key.startswith("aws_")] if section else []
        if rest and path != config:
            say(f"{', '.join(rest)} of {each.found.profile} in {path}: {program} reads such from {config}")
    if stored:
        commands = ", ".join(f"`{program} rotate {quoting.posix(each.name)}`" for each in stored)
        say(f"copies may exist, in backups for example: {commands} makes them worthless")


def _depending(documents: Iterable[ini.Document]) -> dict[str, set[str]]:
    """For each profile that others have as their source: those."""
    found: dict[str, set[str]] = {}
    for document in documents:
        for section in map(document.section, document.names()):
            source = section.entries.get("source_profile") if section else None
            if section and source:
                found.setdefault(source.value, set()).add(section.name.removeprefix("profile "))
    return found
