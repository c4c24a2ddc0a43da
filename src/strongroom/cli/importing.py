"""``import``: move keys out of plaintext files and other stores into the keystore.

FILE is a credentials file, by default the one that the AWS CLI reads, or a
CSV of the IAM console. What is found is shown before anything is done. The
lines of a key are removed from the file only after the stored copy was read
back and compared; each other byte of the file stays. Temporary keys are left
where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from strongroom import prompt, vault
from strongroom.aws import sts
from strongroom.cli import backup_file, import_advice, import_sources, lineage, plaintext_file, retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.import_candidates import DIFFERENT, NEW, SAME, TOLD, UNREADABLE, candidates, is_same, look_again
from strongroom.cli.moving import FAILURES_IN_A_ROW
from strongroom.cli.terminal import answer
from strongroom.credentials import go_json
from strongroom.errors import (
    AwsError,
    AwsRefused,
    ItemDamaged,
    KeystoreError,
    KeystoreLocked,
    ProfileError,
    PromptDismissed,
    PromptUnavailable,
    StrongroomError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.cli.flags import Arguments
    from strongroom.cli.import_candidates import Candidate
    from strongroom.cli.import_sources import Source
    from strongroom.cli.settings import Settings

FLAGS = (
    Flag("from", "take the keys of this keystore, or of granted or aws-sso-cli", value="STORE"),
    Flag("only", "this profile's key only; may be repeated", value="PROFILE", many=True),
    Flag("as", "the profile to store the key under, if there is one key", value="PROFILE"),
    Flag("verify", "ask AWS whose each key is, and leave alone those that it refuses"),
    Flag("overwrite", "replace keys that are stored already and differ"),
    Flag("keep-lines", "leave FILE as it is"),
    Flag("backup", "before lines are removed: put FILE into this one, encrypted under a passphrase", value="COPY"),
    Flag("dry-run", "show what was found, and change nothing"),
    Flag("yes", "do not ask", short="y"),
    Flag("json", "print what was found and done as JSON"),
)
WORDS = ("[file]",)
RUNS = False

# A longer name stands out of its column.
WIDEST = 48


def run(arguments: Arguments, settings: Settings) -> int:
    """Show, ask, store, compare, and clean up; 1 if a key was refused or could not be stored.

    Raises:
        UsageError: The flags do not go together.
        StrongroomError: Nothing could be read, or stored.
    """
    path = arguments.words[0] if arguments.words else ""
    wanted = arguments.texts("only")
    source = import_sources.find_keys(settings, path, arguments.text("from"), wanted)
    _check_flags(arguments, source)
    found = candidates(arguments, settings, source)
    work = Import(arguments, settings, source, found)
    failed = work.do()
    if source.path and not path:
        _tell_of_config(settings)
    if arguments.on("json"):
        keys = [each.as_json() for each in found]
        answer(go_json({"source": source.title, "keys": keys, "backup": work.copy or None}, indent=2) + "\n")
    return int(failed)


def _check_flags(arguments: Arguments, source: Source) -> None:
    for name in ("keep-lines", "backup"):
        if arguments.values.get(name) and not source.path:
            raise UsageError(f"--{name} is for files: {source.title} is not changed")
    if arguments.on("keep-lines") and arguments.text("backup"):
        raise UsageError("--backup is for lines that are removed, and --keep-lines removes none")
    if arguments.text("backup"):
        backup_file.check(arguments.text("backup"), is_replaced=False)


def _tell_of_config(settings: Settings) -> None:
    """Keys may stand in the config file, too, where one looks for them last."""
    document = settings.document()
    names = [
        name for name in document.names() if "aws_secret_access_key" in getattr(document.section(name), "entries", {})
    ]
    if names:
        path, program = settings.config_path, settings.talk.program
        settings.talk.warn(f"there are keys in {path}, too: `{program} import {path}`")


# The work


class Import:
    """One run.

    Args:
        arguments: The command line.
        settings: Flags, variables, files.
        source: Where the keys were found.
        candidates: They, in order.
    """

    def __init__(self, arguments: Arguments, settings: Settings, source: Source, candidates: list[Candidate]) -> None:
        self._arguments = arguments
        self._settings = settings
        self._source = source
        self._candidates = candidates
        # The answer is JSON, if that is wanted: then all else is talk.
        self._tell: Callable[[str], None] = settings.talk.show if arguments.on("json") else answer
        self.copy = ""
        # How many keys in a row could not be taken.
        self._failures = 0

    def do(self) -> bool:
        """Show, ask, store, clean up; tells whether something failed."""
        self._tell(f"{self._source.title}:\n" + "".join(f"   {line}\n" for line in self._lines()))
        overwritten = (DIFFERENT, UNREADABLE) if self._arguments.on("overwrite") else ()
        to_do = [each for each in self._candidates if each.state == NEW or each.state in overwritten]
        if not to_do:
            self._tell("There is nothing to import.\n")
        if self._arguments.on("dry-run"):
            return False
        if to_do and not self._agreed(f"Import {_these(len(to_do))} to {self._location()}? (y|N) "):
            return False
        there = [each for each in self._candidates if each in to_do or each.state == SAME]
        outdated = lineage.sessions_of_keys(self._settings, [each.name for each in to_do])
        done = [each for each in there if self._goes_on() and self._import(each, outdated.get(each.name, []))]
        if to_do:
            retrieval.warn_of_store(self._settings)
        is_clean = True
        if self._source.path:
            is_clean = self._clean(done)
        elif done:
            self._settings.talk.say(f"the keys are still in {self._source.title}, too")
        return len(done) < len(there) or not is_clean

    def _location(self) -> str:
        return self._settings.vault().keystore.location

    def _agreed(self, question: str) -> bool:
        if self._arguments.on("yes"):
            return True
        try:
            return prompt.confirm(question)
        except PromptUnavailable as error:
            raise PromptUnavailable(error.message, "run it in a terminal, or use --yes") from error

    # Showing

    def _lines(self) -> list[str]:
        rows = [
            (
                each.shown_name,
                each.shown_id,
                f"line {each.found.line}" if each.found.line else "",
                each.reason or TOLD[each.state],
            )
            for each in self._candidates
        ]
        widths = [min(max((len(row[column]) for row in rows), default=0), WIDEST) for column in range(3)]
        lines = ["  ".join([*map(str.ljust, row, widths), row[3]]) for row in rows]
        return lines or ["no keys"]

    # Storing

    def _goes_on(self) -> bool:
        """Whether it makes sense to try the next key: a full disk takes none, and no network proves none."""
        return self._failures < FAILURES_IN_A_ROW

    def _import(self, each: Candidate, outdated: list[str]) -> bool:
        """Prove a key if that is wanted, and have it in the keystore; tells whether that went well."""
        try:
            if self._arguments.on("verify"):
                endpoint = sts.endpoint(self._settings.profile(each.name))
                each.arn = sts.caller_arn(endpoint, each.key)
            removed = self._store(each, outdated) if each.state != SAME else 0
        except KeystoreLocked:
            raise
        except (AwsError, KeystoreError, ProfileError) as error:
            each.reason = error.message
            self._failures = 0 if isinstance(error, (AwsRefused, ProfileError)) else self._failures + 1
            rest = "" if self._goes_on() else ", and so is every key after it"
            self._settings.talk.error(f"import: {each.shown_name} is left as it is{rest}: {error.message}", error.hint)
            return False
        self._failures = 0
        whose = f", {each.arn}" if each.arn else ""
        if each.is_stored:
            self._tell(f"Imported {each.shown_name} ({each.shown_id}){whose}.\n")
        elif whose:
            self._tell(f"Proved {each.shown_name} ({each.shown_id}){whose}.\n")
        if removed:
            self._tell(f"Deleted {removed} existing sessions.\n")
        return True

    def _store(self, each: Candidate, outdated: list[str]) -> int:
        """Store a key in place of the one that is there; returns how many sessions of that were removed."""
        store = self._settings.vault()
        if not look_again(vault.Vault(store.keystore), each):
            return 0
        store.store_key(each.name, each.key)
        if not is_same(vault.Vault(store.keystore).key(each.name), each.key):
            raise ItemDamaged(each.name, f"the key was stored in {self._location()}, and reads as something else")
        each.is_stored = True
        self._settings.remember_store()
        return store.remove(outdated) + lineage.forget_narrowed(self._settings, master=each.name)

    # Cleaning up

    def _clean(self, stored: list[Candidate]) -> bool:
        """Offer to remove the lines of keys that are in the keystore, which was seen; tells whether that went well."""
        path, is_clean = self._source.path, True
        for each in stored:
            if each.found.stays:
                self._settings.talk.warn(f"{path}:{each.found.line} stays: {each.found.stays}")
        lines = [each for each in stored if not each.found.stays]
        if lines and not self._arguments.on("keep-lines"):
            if not plaintext_file.is_changeable(path):
                self._settings.talk.warn(f"{path} is not a file whose lines could be removed")
            elif self._agreed(f"Remove the lines of {_these(len(lines))} from {path}? (y|N) "):
                try:
                    self._remove(lines)
                except StrongroomError as error:
                    self._settings.talk.error(f"import: {error.message}", error.hint)
                    is_clean = False
        import_advice.tell(self._settings, self._source, stored)
        return is_clean

    def _remove(self, lines: list[Candidate]) -> None:
        path = self._source.path
        try:
            copy = self._arguments.text("backup") or self._copy_wanted()
        except PromptDismissed:
            return  # whoever does not want to be asked that has not said that it can go without a copy either
        if copy:
            plaintext_file.keep_copy(self._settings, path, copy)
            self.copy = copy
            self._tell(f"{path} as it was is in {copy}, encrypted: `age -d` opens it.\n")
        has_other_names = plaintext_file.has_other_names(path)
        gone, left = plaintext_file.remove(self._settings, path, [each.found for each in lines])
        for each in lines:
            # What is neither there nor was removed here was removed by somebody else.
            each.is_gone = each.found.profile in gone or each.found.profile not in left
            if not each.is_gone:
                self._settings.talk.warn(f"the key of {each.shown_name} in {path} was changed meanwhile: left alone")
        if gone:
            self._tell(f"Removed the lines of {len(gone)} {'key' if len(gone) == 1 else 'keys'} from {path}.\n")
            if has_other_names:
                self._settings.talk.warn(
                    f"{path} has another name, a hard link, and there the lines are still to be read"
                )

    def _copy_wanted(self) -> str:
        """Where a copy of the file should go, as the human says; empty for none.

        Raises:
            PromptDismissed: The human says neither.
        """
        if self._arguments.on("yes"):
            return ""
        told = prompt.ask("A file for an encrypted copy of it as it is (leave this blank for none): ", echo="plain")
        copy = self._settings.expand(told.strip())
        if copy:
            backup_file.check(copy, is_replaced=False)
        return copy


def _these(number: int) -> str:
    return "this key" if number == 1 else f"these {number} keys"
