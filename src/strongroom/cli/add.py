"""``add``: store a long-term access key for a profile."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from strongroom import prompt, vault
from strongroom.cli import access_key, config_file, lineage, retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.errors import ProfileIncomplete, PromptUnavailable, StrongroomError, UsageError
from strongroom.profiles import section_name

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.credentials import Credentials

FLAGS = (
    Flag("env", "take the key from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    Flag("add-config", "add a section to the config file if there is none, the default; --no-add-config: do not"),
)
WORDS = ("profile",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Store the key, forget what was made from the one before, and see to the config file."""
    name = arguments.words[0]
    _check_name(name)
    section = settings.document().section(section_name(name))
    source = section.entries.get("source_profile") if section else None
    if source and source.value and source.value != name:
        raise ProfileIncomplete(
            name,
            "source_profile",
            f"Your profile has a source_profile of {source.value}, adding credentials to {name} won't have any effect",
            f"add them to {source.value}, or remove source_profile from {settings.config_path}:{source.line}",
        )
    adds_section = section is None and bool(arguments.values.get("add-config", True))
    if adds_section:
        config_file.check_section(settings, section_name(name), {})

    key, mfa_serial = (_from_environment(settings), "") if arguments.on("env") else _from_human()
    values = {"mfa_serial": mfa_serial} if mfa_serial else {}
    if adds_section:
        config_file.check_section(settings, section_name(name), values)
    store = settings.vault()
    outdated = lineage.sessions_of_key(settings, name)
    store.store_key(name, key)
    settings.remember_store()
    told = f"Added credentials to profile {json.dumps(name, ensure_ascii=False)} in vault\n"
    retrieval.warn_of_store(settings)
    try:
        removed = store.remove(outdated) + lineage.forget_narrowed(settings, master=name)
        if removed:
            told += f"Deleted {removed} existing sessions.\n"
        if adds_section:
            config_file.add_section(settings, section_name(name), values)
    finally:
        answer(told)  # after the work, which should not stop half-way because nobody listens
    if mfa_serial and not adds_section:
        settings.talk.warn(
            f"the config file was left as it is; for MFA, set mfa_serial = {mfa_serial} in section "
            f"[{section_name(name)}] of {settings.config_path}"
        )
    return 0


def _check_name(name: str) -> None:
    if not name:
        raise UsageError("required argument 'profile' not provided")
    retrieval.refuse_bytes(name)
    if vault.kind_of(name) != vault.CREDENTIAL:
        raise UsageError(
            f"a profile cannot be called {name!r}: that is how a stored {vault.kind_of(name)} is called, "
            "and it would be taken for one"
        )


def _from_environment(settings: Settings) -> Credentials:
    found = {name: settings.variable(name).strip() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    for name, value in found.items():
        if not value:
            raise StrongroomError(f"Missing value for {name}", "set it, or leave out --env to be asked")
    return access_key.checked(*found.values())


def _from_human() -> tuple[Credentials, str]:
    try:
        access_key_id = prompt.ask("Enter Access Key ID: ", echo="plain")
        secret_access_key = prompt.ask("Enter Secret Access Key: ", echo="stars")
        key = access_key.checked(access_key_id, secret_access_key)
        return key, prompt.ask("Enter MFA Device ARN (If MFA is not enabled, leave this blank): ", echo="plain")
    except PromptUnavailable as error:
        raise PromptUnavailable(
            error.message, "run it in a terminal, or use --env with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
