"""Credentials got again and again while a server runs, each time from flags, config and keystore as they are then."""

from __future__ import annotations

import os
import threading
from importlib import import_module
from typing import TYPE_CHECKING

from strongroom import plan
from strongroom.cli import retrieval
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.endpoints.roles import fits_none
from strongroom.endpoints.slot import LEAST_LEFT_SECONDS
from strongroom.errors import AwsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from strongroom.credentials import Credentials
    from strongroom.plan import Step
    from strongroom.profiles import Profile

# The code of the command line is good once.
_ONLY_AT_FIRST = frozenset({"mfa-token"})


def check_roles(arguments: Arguments) -> None:
    """Refuse what would allow no role.

    Raises:
        UsageError: ``--allow-role`` says something that fits none.
    """
    for pattern in arguments.texts("allow-role"):
        if fits_none(pattern):
            raise UsageError(
                f"--allow-role: {pattern!r} fits no role's ARN",
                "such as arn:aws:iam::111111111111:role/deploy-*; a star stands for no colon",
            )


class Passphrases:
    """What a human has typed to open the keystore: kept while the server runs, so that nobody is asked each hour."""

    def __init__(self) -> None:
        # Two slots that are renewed together ask one question.
        self.lock = threading.RLock()
        self._known: dict[str, str] = {}

    def __repr__(self) -> str:
        return "<Passphrases>"

    def get(self, message: str) -> str | None:
        """What was answered to a question."""
        return self._known.get(message)

    def keep(self, message: str, passphrase: str) -> None:
        """Remember an answer; it may turn out to be wrong, and be replaced."""
        self._known[message] = passphrase


class SparingTalk(Talk):
    """Says everything once, for what is the same each hour."""

    __slots__ = ("_said",)

    def __init__(self, talk: Talk) -> None:
        super().__init__(talk.program)
        self.command, self.debug_is_on = talk.command, talk.debug_is_on
        self._said: set[str] = set()

    def say(self, text: str) -> None:
        """Tell the human something, once."""
        if text not in self._said:
            self._said.add(text)
            super().say(text)

    def warn(self, text: str) -> None:
        """Tell the human that something is not as it should be, once."""
        if text not in self._said:
            self._said.add(text)
            super().warn(text)


class FreshSettings(Settings):
    """Settings for one renewal.

    Args:
        settings: Those of the beginning.
        arguments: The command line.
        passphrases: What was typed before.
        before: The settings of the renewal before.
    """

    def __init__(
        self,
        settings: Settings,
        arguments: Arguments,
        passphrases: Passphrases,
        before: FreshSettings | None = None,
    ) -> None:
        super().__init__(arguments, settings.inherited, settings.talk, settings.command)
        self.terminal_is_taken = settings.terminal_is_taken
        self._passphrases = passphrases
        self._answered: set[str] = set()
        if before is not None and os.path.exists(self.config_path) and not os.path.isfile(self.config_path):
            # Such as a pipe of the shell's: it was read at the beginning, and nobody writes it again.
            self._document = before.document()

    def min_ttl_seconds(self) -> int:
        """As for a command, but a session is renewed before it ends."""
        return max(super().min_ttl_seconds(), LEAST_LEFT_SECONDS)

    def _ask_passphrase(self, message: str, *, confirm: bool = False) -> str:
        with self._passphrases.lock:
            known = None if message in self._answered else self._passphrases.get(message)
            # Asked again in the same run: what was answered before was wrong.
            self._answered.add(message)
            if known is None:
                known = super()._ask_passphrase(message, confirm=confirm)
                self._passphrases.keep(message, known)
            return known


class Source:
    """Where the credentials of one profile come from.

    Args:
        settings: Flags, variables, files; what is set there later counts.
        name: The profile.
        passphrases: What was typed, shared by all profiles of a server.
        learned: Is told after each renewal: profile and steps may be others.

    Attributes:
        settings: As given.
        profile: The profile as it was read last.
        steps: The way to its credentials.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        passphrases: Passphrases,
        learned: Callable[[Source], None] = lambda _: None,
    ) -> None:
        self.settings = settings
        self.learned = learned
        self._name = name
        self._passphrases = passphrases
        self._arguments = settings.arguments
        self._fresh = FreshSettings(settings, self._arguments, passphrases)
        self.profile: Profile
        self.steps: tuple[Step, ...]
        self.profile, self.steps = retrieval.planned(self._fresh, name)

    def first(self) -> Credentials:
        """The credentials with which the server begins, for which a human may be asked at the terminal.

        Raises:
            StrongroomError: Any of the tree.
        """
        given = self._arguments
        values = {name: value for name, value in given.values.items() if name not in _ONLY_AT_FIRST}
        self._arguments = Arguments(values, given.words, given.command)
        return retrieval.credentials(self._fresh, self.profile, self.steps)

    def __call__(self) -> Credentials:
        """Credentials anew; called in a thread.

        Raises:
            StrongroomError: Any of the tree.
        """
        self._fresh = FreshSettings(self.settings, self._arguments, self._passphrases, self._fresh)
        self.profile, self.steps = retrieval.planned(self._fresh, self._name)
        credentials = self.first()
        self.learned(self)
        return credentials

    def assume(self, credentials: Credentials, role_arn: str) -> Credentials:
        """Assume a role with credentials of the profile: by its name alone, for as long as a chain of roles can last.

        Raises:
            AwsError: The call failed.
        """
        # It takes longer to import than all of the rest, and a command waits to be started; most ask for no role.
        sts = import_module("strongroom.aws.sts")
        wanted = self.profile.assume_role_duration or plan.ROLE_SECONDS
        assumed: Credentials = sts.assume_role(
            sts.endpoint(self.profile),
            credentials,
            role_arn=role_arn,
            duration_seconds=min(wanted, plan.ROLE_CHAINING_LIMIT_SECONDS),
        )
        return assumed

    @property
    def role_arn(self) -> str:
        """The role that the credentials are of; empty if it is none whose ARN is known."""
        if self.steps[-1].kind in {plan.ASSUME_ROLE, plan.WEB_IDENTITY}:
            return self.profile.role_arn or ""
        return ""

    @property
    def account_id(self) -> str:
        """The account that they are of, as far as the config file tells."""
        if self.steps[-1].kind == plan.SSO_ROLE:
            return self.profile.sso_account_id or ""
        arn = self.role_arn or (self.profile.mfa_serial or "")
        return arn.split(":")[4] if arn.count(":") >= 5 else ""

    @property
    def opened_by(self) -> Collection[str]:
        """The variables whose values opened the keystore."""
        return self._fresh.opened_by

    def allowed_roles(self) -> tuple[str, ...]:
        """Patterns of the roles that may be assumed: the command line's and the profile's."""
        for pattern in filter(fits_none, self.profile.allowed_roles):
            self.settings.talk.warn(f"allowed_roles of profile {self.profile.name!r}: {pattern!r} fits no role's ARN")
        return (*self.settings.arguments.texts("allow-role"), *self.profile.allowed_roles)

    def warn_of_store(self) -> None:
        """Say what was noticed about the keystore."""
        retrieval.warn_of_store(self._fresh)

    def needs_browser(self) -> bool:
        """Whether nobody can sign in without a browser: then the first request would wait for one."""
        step = self.steps[0]
        settings = self._fresh
        if step.kind != plan.SSO_ROLE or any(
            retrieval.vault_for(settings, self.steps).session(each, "") for each in self.steps
        ):
            return False
        world = import_module("strongroom.cli.signing_in").SigningIn(settings, self.profile)
        try:
            return import_module("strongroom.sso.token").unasked(step.profile, world) is None
        except AwsError:
            return False  # another time it may
