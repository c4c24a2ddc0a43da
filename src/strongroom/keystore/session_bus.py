"""The session bus of a desktop, where its password stores are found: every wait on it has an end.

Two of the keystores are other programs that are spoken to over D-Bus. `Link` is what they share: one connection, made
when it is first needed and again after it broke; one exception tree; and one prompt at a time among all processes of
ours that want the same thing unlocked.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from jeepney import (
    DBusAddress,
    DBusErrorResponse,
    HeaderFields,
    MatchRule,
    Message,
    MessageType,
    Properties,
    message_bus,
    new_method_call,
    new_signal,
)
from jeepney.bus import get_bus
from jeepney.io.blocking import DBusConnection, prep_socket

from strongroom.errors import KeystoreError, KeystoreUnavailable, PromptDismissed, PromptFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# How long a program on the bus may take for an answer that needs no human. libdbus waits 25 seconds; a store that is
# well answers within some milliseconds.
CALL_SECONDS = 10.0
# How long a human may take for a prompt. As long as one of ours waits for another.
PROMPT_SECONDS = 120.0
# Questions that are on their way at the same time; the bus itself limits how many replies may be owed.
_AT_ONCE = 64

# Who owns this name on the bus may show a prompt. The bus passes it on when a process dies.
_TURN = "strongroom.Prompting"
_BUS = DBusAddress(message_bus.object_path, message_bus.bus_name, message_bus.interface)
_DECLINED = DBusAddress("/strongroom", interface=_TURN)
_OWNS_IT, _WAITS_FOR_IT = 1, 2  # replies of RequestName, in the D-Bus specification

# What an error means whose name is one of these: the program is not there, does not start, or has just ended.
_ABSENT = {
    "org.freedesktop.DBus.Error.NoReply",
    "org.freedesktop.DBus.Error.ServiceUnknown",
    "org.freedesktop.DBus.Error.NameHasNoOwner",
}
_ABSENT_PREFIX = "org.freedesktop.DBus.Error.Spawn."


class Bus(DBusConnection):  # type: ignore[misc] # jeepney ships no types
    """A connection to a session bus. SecretStorage takes it for jeepney's own, which would wait for ever."""

    def send_and_get_reply(self, message: Message, *, timeout: float | None = None) -> Message:
        """Send a call and return its reply, which may be an error.

        Raises:
            TimeoutError: There is none within *timeout* seconds.
        """
        return super().send_and_get_reply(message, timeout=CALL_SECONDS if timeout is None else timeout)

    def recv_until_filtered(self, queue: deque[Message], *, timeout: float | None = None) -> Message:
        """Return the next message that a filter has put into *queue*: what a human's answer leads to.

        A prompt that was not answered stays on the screen, and what it unlocks is unlocked for the next command: GNOME
        Keyring (42) crashes when it is told to dismiss one.

        Raises:
            PromptFailed: There is none within *timeout* seconds.
        """
        seconds = PROMPT_SECONDS if timeout is None else timeout
        try:
            return super().recv_until_filtered(queue, timeout=seconds)
        except TimeoutError:
            raise PromptFailed(f"nobody answered the keystore's prompt within {seconds:g} seconds") from None

    def call(
        self, address: DBusAddress, method: str, signature: str = "", *body: Any, timeout: float | None = None
    ) -> Any:
        """Call a method and return what it returns: a tuple.

        Raises:
            DBusErrorResponse: It failed.
            TimeoutError: It did not answer.
        """
        message = new_method_call(address, method, signature or None, body)
        return _body(self.send_and_get_reply(message, timeout=timeout))

    def property(self, address: DBusAddress, name: str) -> Any:
        """Return the value of a property; raises as `call`."""
        ((_, value),) = _body(self.send_and_get_reply(Properties(address).get(name)))
        return value

    def properties(self, addresses: Iterable[DBusAddress]) -> Iterator[dict[str, Any]]:
        """Yield all properties of each of these objects that exists: asked together, not one after the other."""
        left = list(addresses)
        while left:
            asked, left = left[:_AT_ONCE], left[_AT_ONCE:]
            serials = {}
            for address in asked:
                serial = next(self.outgoing_serial)
                self.send(Properties(address).get_all(), serial=serial)
                serials[serial] = address
            while serials:
                reply = self.receive(timeout=CALL_SECONDS)
                if serials.pop(reply.header.fields.get(HeaderFields.reply_serial), None) is None:
                    continue  # a signal
                if reply.header.message_type is not MessageType.error:
                    yield {name: value for name, (_, value) in reply.body[0].items()}

    def first_of(self, names: list[str]) -> str | None:
        """Return the first of these names whose program runs; failing that, the first that the bus would start."""
        for name in names:
            if self.call(_BUS, "NameHasOwner", "s", name)[0]:
                return name
        startable = self.call(_BUS, "ListActivatableNames")[0]
        return next((name for name in names if name in startable), None)

    @contextmanager
    def turn(self, about: str) -> Iterator[None]:
        """Be the only process of ours that shows a prompt; look again whether one is needed, once inside.

        When the human declines (PromptDismissed leaves the block), those who wait for their turn about the same thing
        are told, and ask no more.

        Args:
            about: What is to be unlocked; the same text in each process.

        Raises:
            PromptDismissed: The human declined when another process asked.
            PromptFailed: Another process held the turn for too long.
        """
        told: deque[Message] = deque()
        acquired = MatchRule(type="signal", interface=_BUS.interface, member="NameAcquired")
        acquired.add_arg_condition(0, _TURN)
        declined = MatchRule(type="signal", interface=_TURN, member="Declined")
        declined.add_arg_condition(0, about)
        with self.filter(acquired, queue=told), self.filter(declined, queue=told):
            self.call(_BUS, "AddMatch", "s", declined.serialise())
            try:
                reply = self.call(_BUS, "RequestName", "su", _TURN, 0)[0]
            except DBusErrorResponse:
                reply = _OWNS_IT  # a sandbox may own no names: then there is no turn to wait for
            try:
                if reply == _WAITS_FOR_IT:
                    self._wait_for_turn(told)
                try:
                    yield
                except PromptDismissed:
                    self.send(new_signal(_DECLINED, "Declined", "s", (about,)))
                    raise
            finally:
                self.send(new_method_call(_BUS, "ReleaseName", "s", (_TURN,)))

    def _wait_for_turn(self, told: deque[Message]) -> None:
        if self.recv_until_filtered(told).header.fields[HeaderFields.member] == "Declined":
            raise PromptDismissed("the keystore's prompt was dismissed, when another process asked")


class Link:
    """The way to the programs on one bus: a connection that is made when it is needed, and anew after it broke.

    Args:
        address: The bus, as ``DBUS_SESSION_BUS_ADDRESS`` has it.
        program: What to call the other side in messages.
    """

    __slots__ = ("__weakref__", "_address", "_bus", "_hang_up", "_lock", "_program")

    def __init__(self, address: str, program: str) -> None:
        self._address = address
        self._bus: Bus | None = None
        self._hang_up: Callable[[], object] = int  # nothing to do yet
        self._lock = threading.RLock()
        self._program = program

    @contextmanager
    def bus(self) -> Iterator[Bus]:
        """Lend the connection to one thread at a time, and translate what goes wrong with it.

        Raises:
            KeystoreUnavailable: There is no bus, or the program on it is not installed.
            KeystoreError: The program or the bus does not answer, or says no.
        """
        with self._lock:
            try:
                if self._bus is None:
                    self._bus = connect(self._address)
                    # A keystore has no end that its users tell it: the connection ends with the last that uses it. A
                    # finalizer, since __del__ comes too late where that one is part of a reference cycle.
                    self._hang_up = weakref.finalize(self, self._bus.close)
                yield self._bus
            except DBusErrorResponse as error:
                raise self._refusal(error) from error
            except TimeoutError as error:
                self.close()
                raise KeystoreError(
                    f"{self._program} did not answer within {CALL_SECONDS:g} seconds",
                    "it may wait for something itself: look for its window, or start it anew",
                ) from error
            except OSError as error:
                self.close()
                reason = (error.strerror or str(error)).lower()
                raise KeystoreError(f"the connection to {self._program} broke: {reason}") from error

    def close(self) -> None:
        """Hang up; the next `bus` connects anew."""
        self._hang_up()
        self._bus = None

    def _refusal(self, error: DBusErrorResponse) -> KeystoreError:
        told = error.data[0] if error.data and isinstance(error.data[0], str) else ""
        if error.name in _ABSENT or error.name.startswith(_ABSENT_PREFIX):
            return KeystoreUnavailable(f"{self._program} is not there: {told or error.name}")
        return KeystoreError(f"{self._program} refused: {told or error.name}")


def address_in(settings: Mapping[str, str | int | None]) -> str:
    """Find the session bus in ``program_environment``, as sd-bus does: a variable, or a socket where systemd puts it.

    No bus is started for it, and none is looked for on an X display.

    Raises:
        KeystoreUnavailable: There is none.
    """
    environment: Any = settings.get("program_environment") or {}
    if named := environment.get("DBUS_SESSION_BUS_ADDRESS"):
        return str(named)
    if (directory := environment.get("XDG_RUNTIME_DIR")) and os.path.exists(path := os.path.join(directory, "bus")):
        return f"unix:path={path}"
    raise KeystoreUnavailable(
        "there is no session bus here", "DBUS_SESSION_BUS_ADDRESS is not set: this is no desktop session"
    )


def is_headless(settings: Mapping[str, str | int | None]) -> bool:
    """Tell whether a window could not be shown to whoever started us, by the variables in ``program_environment``."""
    environment: Any = settings.get("program_environment") or {}
    return not (environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))


def connect(address: str) -> Bus:
    """Connect to a bus.

    Raises:
        KeystoreUnavailable: Nobody listens there, or what listens is no bus.
    """
    try:
        path = get_bus(address)
        return Bus(prep_socket(path, timeout=CALL_SECONDS))
    except (OSError, ValueError, KeyError, RuntimeError, DBusErrorResponse) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise KeystoreUnavailable(f"the session bus at {address!r} cannot be used: {reason}") from error


def can_carry(text: str) -> bool:
    """Tell whether D-Bus can carry a text: valid Unicode without NUL."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def check_name(key: str) -> None:
    """Refuse an item's name that D-Bus cannot carry.

    Raises:
        KeystoreError: It cannot.
    """
    if not can_carry(key):
        raise KeystoreError(f"cannot store item {key!r}: names on the session bus are valid Unicode without NUL")


def _body(reply: Message) -> Any:
    if reply.header.message_type is MessageType.error:
        raise DBusErrorResponse(reply)
    return reply.body
