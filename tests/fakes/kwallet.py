"""KWallet's program on a bus: one wallet after another, a person at its dialogs, and every answer of the real one.

What it answers, to good calls and to bad ones, was taken from kwalletd5 5.103: -1 for a wallet that was not opened and
for an entry that was not written, -3 for an entry that is not there, empty bytes where there is nothing to read, and an
empty wallet to whoever has no handle.
"""

import collections
import socket
import threading

from jeepney import HeaderFields, MessageType, message_bus, new_error, new_method_return
from jeepney.io.blocking import open_dbus_connection

INTERFACE = "org.kde.KWallet"


class KWallet(threading.Thread):
    """Args:
    address: The bus.
    generation: ``kwalletd6``, or ``kwalletd5``.
    answer: Called for each dialog with the wallet's name and the application's; whether the human says yes. `None`:
        the human is away, and nobody is answered.
    """

    def __init__(self, address, generation="kwalletd6", answer=lambda wallet, application: True):
        super().__init__(daemon=True)
        self.answer = answer
        self.asked = []  # (wallet, application), one a dialog
        self.wallets = {}  # name -> folder -> entry -> bytes
        self.is_enabled = True
        self.is_full = False  # whether writing fails
        self.written = collections.Counter()  # wallet -> how often its file was written
        self._generation = generation
        self._handles = {}  # handle -> wallet
        self._next = 1_000
        self._dialog = threading.Lock()  # one after the other
        self._sending = threading.Lock()
        self._bus = open_dbus_connection(address)
        self._bus.send_and_get_reply(message_bus.RequestName(f"org.kde.{generation}"))
        self.start()

    def run(self):
        while True:
            try:
                message = self._bus.receive()
                if message.header.message_type is MessageType.method_call:
                    self._serve(message)
            except (OSError, ValueError):
                return

    def close_all(self):
        """The human locks the wallets."""
        self._handles.clear()

    def stop(self):
        if self.is_alive():
            self._bus.sock.shutdown(socket.SHUT_RDWR)
            self.join(30)
            self._bus.close()

    def _serve(self, message):
        fields = message.header.fields
        words = message.body
        if fields[HeaderFields.path] != f"/modules/{self._generation}" or fields[HeaderFields.interface] != INTERFACE:
            self._bus.send(new_error(message, "org.freedesktop.DBus.Error.UnknownObject", "s", ("no such object",)))
            return
        method = METHODS.get((fields[HeaderFields.member], fields.get(HeaderFields.signature, "")))
        if method is None:
            self._bus.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", ("no such method",)))
            return
        name, signature = method
        if name == "open":  # everything else goes on while a dialog is there
            threading.Thread(target=self._open, args=(message, *words), daemon=True).start()
        else:
            self._reply(message, signature, getattr(self, f"_{name}")(*words))

    def _reply(self, message, signature, answer):
        with self._sending:
            self._bus.send(new_method_return(message, signature or None, (answer,) if signature else ()))

    def _folder(self, handle, folder):
        """The folder, or None if the handle is no good or there is none."""
        return self.wallets[self._handles[handle]].get(folder) if handle in self._handles else None

    # The methods

    def _is_enabled(self):
        return self.is_enabled

    def _wallets(self):
        return list(self.wallets)

    def _open(self, message, wallet, window, application):
        with self._dialog:
            if wallet not in self._handles.values():
                self.asked.append((wallet, application))
                said = self.answer(wallet, application)
                if said is None:
                    return
                if not said:
                    self._reply(message, "i", -1)
                    return
            self.wallets.setdefault(wallet, {})
            self._next += 1
            self._handles[self._next] = wallet
            self._reply(message, "i", self._next)

    def _is_open(self, handle):
        return handle in self._handles

    def _has_folder(self, handle, folder, application):
        return self._folder(handle, folder) is not None

    def _create_folder(self, handle, folder, application):
        if handle not in self._handles or self._folder(handle, folder) is not None:
            return False
        self.wallets[self._handles[handle]][folder] = {}
        return True

    def _entry_list(self, handle, folder, application):
        return list(self._folder(handle, folder) or ())

    def _read_entry(self, handle, folder, key, application):
        return (self._folder(handle, folder) or {}).get(key, b"")

    def _write_entry(self, handle, folder, key, value, kind, application):
        entries = self._folder(handle, folder)
        if entries is None or kind != 2 or self.is_full:
            return -1
        entries[key] = bytes(value)
        return 0

    def _remove_entry(self, handle, folder, key, application):
        entries = self._folder(handle, folder)
        if entries is None:
            return -1
        return -3 if entries.pop(key, None) is None else 0

    def _sync(self, handle, application):
        self.written[self._handles.get(handle)] += 1
        return True


# (member, signature) -> (method of ours, signature of what it returns)
METHODS = {
    ("isEnabled", ""): ("is_enabled", "b"),
    ("wallets", ""): ("wallets", "as"),
    ("open", "sxs"): ("open", "i"),
    ("isOpen", "i"): ("is_open", "b"),
    ("hasFolder", "iss"): ("has_folder", "b"),
    ("createFolder", "iss"): ("create_folder", "b"),
    ("entryList", "iss"): ("entry_list", "as"),
    ("readEntry", "isss"): ("read_entry", "ay"),
    ("writeEntry", "issayis"): ("write_entry", "i"),
    ("removeEntry", "isss"): ("remove_entry", "i"),
    ("sync", "is"): ("sync", ""),
}
