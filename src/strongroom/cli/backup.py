"""``backup``: all items of the vault, of any store, in one file that age encrypts; and whether such a file is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from strongroom import vault
from strongroom.backup import MAIN, BackupError, collect, envelope
from strongroom.cli import backup_file, retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer
from strongroom.errors import ConfigError, UsageError
from strongroom.keystore import age_keys

if TYPE_CHECKING:
    from strongroom.backup import Archive
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FLAGS = (
    Flag(
        "recipient",
        "encrypt for the holder of this key: age1..., ssh-ed25519 ... or ssh-rsa ...; may be repeated",
        value="KEY",
        short="r",
        many=True,
    ),
    Flag("recipients-file", "the same, of the keys in a file, one a line; may be repeated", value="FILE", short="R",
         many=True),
    Flag("passphrase", "encrypt under a passphrase, which is asked for: the default", short="p"),
    Flag("keys-only", "leave out sessions and sign-ins, which can be had again"),
    Flag("force", "replace FILE if it is a backup already", short="f"),
    Flag("verify", "write nothing: say what is in FILE, and whether it is whole"),
    Flag("identity", "what opens FILE for --verify: an SSH key, or a file of age-keygen", value="FILE", short="i"),
)  # fmt: skip
WORDS = ("file",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Write a backup, or look into one; 1 if an item had to be left out."""
    path = arguments.words[0]
    if not path:
        raise UsageError("required argument 'file' not provided")
    for_writing = [name for name in ("recipient", "recipients-file", "passphrase", "keys-only", "force")
                   if arguments.values.get(name)]  # fmt: skip
    if arguments.on("verify"):
        if for_writing:
            raise UsageError(f"--verify writes nothing, so --{for_writing[0]} says nothing")
        return _verify(settings, path)
    if arguments.text("identity"):
        raise UsageError("--identity is for --verify and for `restore`: a backup is encrypted for a --recipient")
    return _write(arguments, settings, path)


def _write(arguments: Arguments, settings: Settings, path: str) -> int:
    recipients = _recipients(arguments)
    if recipients and arguments.on("passphrase"):
        raise UsageError("a backup is encrypted for recipients or under a passphrase, not both")
    backup_file.check(path, is_replaced=arguments.on("force"))
    keystore = settings.vault().keystore
    archive = collect(
        backup_file.collections(keystore),
        store=str(settings.get("backend")) or settings.chosen,
        keys_only=arguments.on("keys-only"),
    )
    retrieval.warn_of_store(settings)
    if not archive.entries:
        raise BackupError(f"there is nothing to back up in {keystore.location}", "no file was written")
    inside = archive.to_bytes()
    if recipients:
        sealed = envelope.seal(inside, recipients)
    else:
        sealed = envelope.seal_by_passphrase(inside, backup_file.new_passphrase(settings, path))
    backup_file.write(path, sealed, is_replaced=arguments.on("force"))
    for key in archive.left_out:
        settings.talk.warn(f"item {key!r} is damaged, and is not in the backup")
    answer(f"Backed up {summary(archive)} to {path}.\n")
    if not any(vault.is_key(entry.item.key) for entry in archive.entries if entry.collection == MAIN):
        settings.talk.warn("there is no long-term key among them")
    return 1 if archive.left_out else 0


def _recipients(arguments: Arguments) -> list[Any]:
    """Whom to encrypt for.

    Raises:
        UsageError: One of them is nobody.
        KeystoreError: A file of them cannot be read.
    """
    found = [("--recipient", text.strip()) for text in arguments.texts("recipient")]
    for path in arguments.texts("recipients-file"):
        lines = age_keys.read(path, "--recipients-file").decode("utf-8", "replace").splitlines()
        texts = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
        if not texts:
            raise UsageError(f"--recipients-file {path!r} names nobody")
        found += [(f"--recipients-file {path!r}", text) for text in texts]
    made = []
    for origin, text in found:
        try:
            made += age_keys.recipients([text])
        except ConfigError as error:
            # Shown only if it is public: a private key may have been given by mistake.
            shown = f" {text!r}" if text.startswith(("age1", "ssh-")) else ""
            raise UsageError(f"{origin}: what is given is no recipient{shown}", error.hint) from error
    return made


def _verify(settings: Settings, path: str) -> int:
    archive = backup_file.read(settings, path).archive
    answer(f"{path} is whole: {summary(archive)}, of {backup_file.origin(archive)}.\n")
    for key in archive.left_out:
        settings.talk.warn(f"item {key!r} was damaged when it was made, and is not in it")
    return 0


def summary(archive: Archive) -> str:
    """How many items of which kind are in a backup."""
    kinds = [vault.kind_of(entry.item.key) if entry.collection == MAIN else "own" for entry in archive.entries]
    keys, own = kinds.count(vault.CREDENTIAL), kinds.count("own")
    parts = [
        _count(keys, "key"),
        _count(len(kinds) - keys - own, "session"),
        _count(own, "item") + " of strongroom's own",
    ]
    return ", ".join(part for part, count in zip(parts, (keys, len(kinds) - keys - own, own), strict=True) if count)


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
