"""Signing in to IAM Identity Center, and staying signed in: one good access token, whoever asks.

`strongroom.sso.token` has the way from a stored token to a new one; `pkce` and `device` are the two ways to sign in,
`reach` says which of them can work here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.own_items import OwnItems


class SsoWorld(Protocol):
    """What signing in needs of its surroundings.

    Attributes:
        lock_directory: Where locks are.
        lock_wait_seconds: How long to wait for another process that signs in.
        command: What we are doing, as other processes may be told it: no secrets.
        wants_device: Why no browser of this machine is used, in words that go on a sentence; empty if one is.
        own: Where refresh tokens and client registrations are kept.
    """

    lock_directory: str
    lock_wait_seconds: float
    command: str
    wants_device: str
    own: OwnItems

    def now(self) -> float:
        """The time, epoch seconds."""

    def why_unheard(self) -> str:
        """Why nobody would see what we say; empty if somebody may, or if it was asked for all the same."""

    def sleep(self, seconds: float) -> None:
        """Wait."""

    def tell(self, message: str) -> None:
        """Say something to the human."""

    def waiting(self, message: str) -> None:
        """Say to whoever looks on why nothing happens for a while."""

    def warn(self, message: str) -> None:
        """Say that something is not as it should be, and that we go on."""

    def open_url(self, url: str) -> bool:
        """Show a page in a browser of this machine, without its address in any program's arguments.

        Returns:
            Whether a browser came for it.
        """

    def token(self, start_url: str) -> Mapping[str, Any] | None:
        """The stored access token, as aws-vault's JSON has it; None if there is none that can be read.

        Raises:
            KeystoreLocked: Wrong or no passphrase.
        """

    def token_changed_at(self, start_url: str) -> float | None:
        """When the stored access token was last written, without opening it; None if there is none."""

    def keep_token(self, start_url: str, fields: Mapping[str, Any]) -> None:
        """Store an access token, JSON as aws-vault's, in place of the one that is there.

        Raises:
            KeystoreError: It could not be stored.
        """

    def remove_token(self, start_url: str) -> None:
        """Remove the stored access token, if there is one.

        Raises:
            KeystoreError: It could not be removed.
        """
