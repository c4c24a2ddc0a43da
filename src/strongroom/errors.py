"""Everything that can go wrong, in one tree.

::

    StrongroomError                      exit status 1
      UsageError                         exit status 2: wrong words, flags, values, combinations
      ConfigError                        a file of the user's cannot be read or holds a mistake
        ConfigMistakes                   the agent's: all of a file's mistakes (agent/mistakes.py)
      ProfileError
        ProfileNotFound                  no section and no stored key of that name
        ProfileLoop                      profiles that name each other
        ProfileIncomplete                a setting is missing, wrong, or not supported
      KeystoreError
        ItemNotFound                     no such item
        ItemDamaged                      an item that is there and cannot be used
        KeystoreLocked                   wrong or no passphrase
        KeystoreUnavailable              "not this one, try the next"; anything else stops
        NoKeystore                       all were tried; every reason kept
      PromptError
        PromptUnavailable                there is no way to ask a human here
        PromptDismissed                  the human declined
        PromptFailed                     the program that asks, such as mfa_process, did not bring an answer
      LockError
        LockTimeout                      another process held the lock for too long
      CredentialsError
        NoCredentials                    nothing says where a profile's credentials come from
        MfaRequired                      a code is needed and nobody can be asked
        MfaRefused                       AWS did not accept the code
      AwsError
        AwsRefused                       AWS answered, and said no
        AwsUnreachable                   no answer, or none that makes sense
      CommandError                       the command to run cannot be run (126, 127)
      RotationFailed                     a rotation stopped half-way (rotation/)
      BackupError                        a backup cannot be made, opened or trusted (backup/)
      CannotOpen                         no browser came for a page (cli/browser.py)
      TokenError                         there is no token for the agent's requests (agent/token.py)
      LogError                           the agent's log cannot be written (agent/log.py)
      CannotListen                       an address is taken, or cannot be one (serve/sockets.py)
      ActivationError                    the service manager passed what is no socket to listen on (serve/systemd.py)

A message is one line in lower case, without a full stop, and quotes the offending value; the advice is the
separate ``hint``. Facts are attributes. No message, hint or attribute ever holds a secret.
"""

from collections.abc import Iterable


class StrongroomError(Exception):
    """The root of the tree, never raised itself.

    Args:
        message: What is wrong, where, with the offending value quoted.
        hint: What to do about it; shown on a line of its own.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(StrongroomError):
    """The command line, or a variable that stands in for a flag, is wrong.

    Args:
        message: What is wrong.
        hint: What to type instead.
        word: A word that is not known, if that is what is wrong.
        known: The words that would have been; the nearest is suggested.
    """

    exit_status = 2

    def __init__(self, message: str, hint: str = "", *, word: str = "", known: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.word = word
        self.known = tuple(known)


class ConfigError(StrongroomError):
    """A configuration file cannot be read, or one of its lines is wrong."""


class ProfileError(StrongroomError):
    """A profile cannot be used."""


class ProfileNotFound(ProfileError):
    """Neither the config file nor the keystore knows the profile *name*; the nearest of *known* is suggested."""

    def __init__(self, name: str, message: str, hint: str = "", *, known: Iterable[str] = ()) -> None:
        super().__init__(message, hint)
        self.name = name
        self.word = name
        self.known = tuple(known)


class ProfileLoop(ProfileError):
    """The profiles in *names* lead back to themselves through *field*."""

    def __init__(self, names: Iterable[str], field: str, hint: str = "") -> None:
        self.names = tuple(names)
        self.field = field
        path = " -> ".join(self.names)
        super().__init__(f"loop detected in config file for profile {self.names[0]!r}: {field} leads {path}", hint)


class ProfileIncomplete(ProfileError):
    """The setting *field* of profile *name* is missing, wrong, or not supported."""

    def __init__(self, name: str, field: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.name = name
        self.field = field


class KeystoreError(StrongroomError):
    """A keystore cannot do what was asked."""


class ItemNotFound(KeystoreError):
    """The keystore has no item *key*."""

    def __init__(self, key: str, message: str = "", hint: str = "") -> None:
        super().__init__(message or f"no item {key!r} in the keystore", hint)
        self.key = key


class ItemDamaged(KeystoreError):
    """The item *key* exists and cannot be used: cut short, foreign, too large, or under another name."""

    def __init__(self, key: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.key = key


class KeystoreLocked(KeystoreError):
    """The keystore's passphrase is wrong, or there is none."""


class KeystoreUnavailable(KeystoreError):
    """This keystore cannot be used on this machine; the next one may be."""


class NoKeystore(KeystoreError):
    """No keystore can be used; *reasons* says why, one entry per store that was tried."""

    def __init__(self, reasons: Iterable[tuple[str, str]], hint: str = "") -> None:
        self.reasons = tuple(reasons)
        told = "; ".join(f"{name}: {reason}" for name, reason in self.reasons)
        super().__init__(f"no keystore can be used here ({told})", hint)


class PromptError(StrongroomError):
    """A question could not be asked or was not answered."""


class PromptUnavailable(PromptError):
    """There is no terminal, or no other way to reach a human from here."""


class PromptDismissed(PromptError):
    """The human was asked and declined."""


class PromptFailed(PromptError):
    """A program that was to bring the answer failed, took too long, or printed something else."""


class LockError(StrongroomError):
    """A lock cannot be taken."""


class LockTimeout(LockError):
    """The process *pid*, running *command*, held the lock for longer than we wait."""

    def __init__(self, pid: int, command: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.pid = pid
        self.command = command


class CredentialsError(StrongroomError):
    """Credentials for a profile cannot be had."""


class NoCredentials(CredentialsError):
    """Nothing says where the credentials of *profile* come from."""

    def __init__(self, profile: str, message: str = "", hint: str = "") -> None:
        super().__init__(message or f"profile {profile}: credentials missing", hint)
        self.profile = profile


class MfaRequired(CredentialsError):
    """A code of the device *serial* is needed, and nobody can be asked for it here."""

    def __init__(self, serial: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.serial = serial


class MfaRefused(CredentialsError):
    """AWS did not accept the code of the device *serial*."""

    def __init__(self, serial: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.serial = serial


class AwsError(StrongroomError):
    """A call to AWS failed."""


class AwsRefused(AwsError):
    """AWS answered with an error.

    Args:
        code: The error code as AWS sent it, e.g. ``AccessDenied``.
        status: The HTTP status.
    """

    def __init__(self, code: str, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.code = code
        self.status = status


class AwsUnreachable(AwsError):
    """There was no answer from AWS, or none that makes sense."""


class CommandError(StrongroomError):
    """The command to run cannot be run; *exit_status* is 127 (not found) or 126 (not executable)."""

    def __init__(self, exit_status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.exit_status = exit_status
