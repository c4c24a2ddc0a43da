"""A desktop session without a desktop: a private session bus, GNOME Keyring on it, and a person at its prompts.

The bus starts nothing by itself, so what a test did not start is not there. Two interfaces are not documented and
were found by talking to the programs: GNOME Keyring's way to make and unlock collections without a prompt, and gcr's
way to hand a prompt to whoever shows it (RFC 3526 group 5, HKDF-SHA256, AES-128-CBC).
"""

import base64
import collections
import queue
import secrets
import subprocess
import sys
import threading
import time

from cryptography.hazmat.primitives import hashes, padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jeepney import DBusAddress, HeaderFields, MessageType, message_bus, new_method_call, new_method_return
from jeepney.io.blocking import open_dbus_connection

DISMISS = ""  # an answer that is none

# Against a hang only.
PATIENCE_SECONDS = 30

CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>{policy}</policy>
  <limit name="max_replies_per_connection">50000</limit>
</busconfig>
"""

SERVICE = "/org/freedesktop/secrets", "org.freedesktop.secrets"
INNER = DBusAddress(*SERVICE, "org.gnome.keyring.InternalUnsupportedGuiltRiddenInterface")
# RFC 3526, section 2
PRIME = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD"
    "EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F"
    "83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA237327FFFFFFFFFFFFFFFF",
    16,
)


class Bus:
    """A private session bus, and what was started on it.

    Args:
        home: An empty directory for all of them.
        policy: Rules of the bus besides the usual ones, as its configuration has them.
    """

    def __init__(self, home, policy=""):
        run = home / "run"
        run.mkdir(mode=0o700)
        self.address = f"unix:path={run}/bus"
        self.environ = {
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "XDG_RUNTIME_DIR": str(run),
            "XDG_DATA_HOME": str(home / "data"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "DBUS_SESSION_BUS_ADDRESS": self.address,
            "QT_QPA_PLATFORM": "offscreen",
        }
        self._children = []
        self._people = []
        config = home / "bus.conf"
        config.write_text(CONFIG.format(socket=run / "bus", policy=policy))
        daemon = self.start(
            ["dbus-daemon", f"--config-file={config}", "--nofork", "--print-address"], stdout=subprocess.PIPE
        )
        daemon.stdout.readline()  # it listens now
        self.connection = open_dbus_connection(self.address)

    def start(self, argv, **streams):
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL} | streams
        self._children.append(subprocess.Popen(argv, env=self.environ, **streams))
        return self._children[-1]

    def person(self):
        """Somebody takes a seat at the prompter."""
        self._people.append(Person(self.address))
        return self._people[-1]

    def keyring(self, password="login password"):
        """Start GNOME Keyring, its login collection unlocked."""
        daemon = self.start(
            ["gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets"], stdin=subprocess.PIPE
        )
        daemon.stdin.write(password.encode())
        daemon.stdin.close()
        self.wait_for(SERVICE[1])
        return daemon

    def wait_for(self, name):
        end = time.monotonic() + PATIENCE_SECONDS
        while not self.connection.send_and_get_reply(message_bus.NameHasOwner(name)).body[0]:
            assert time.monotonic() < end, name
            time.sleep(0.01)

    def call(self, address, method, signature=None, *body):
        message = new_method_call(address, method, signature, body)
        reply = self.connection.send_and_get_reply(message, timeout=PATIENCE_SECONDS)
        if reply.header.message_type is MessageType.error:
            raise RuntimeError(reply.header.fields[HeaderFields.error_name])
        return reply.body

    # Collections of GNOME Keyring, without a prompt

    def _secret(self, password):
        session = self.call(
            DBusAddress(*SERVICE, "org.freedesktop.Secret.Service"), "OpenSession", "sv", "plain", ("s", "")
        )[1]
        return session, b"", password.encode(), "text/plain"

    def create(self, label, password):
        """Make a collection; returns its path."""
        properties = {"org.freedesktop.Secret.Collection.Label": ("s", label)}
        return self.call(INNER, "CreateWithMasterPassword", "a{sv}(oayays)", properties, self._secret(password))[0]

    def unlock(self, path, password):
        self.call(INNER, "UnlockWithMasterPassword", "o(oayays)", path, self._secret(password))

    def lock(self, path):
        self.call(DBusAddress(*SERVICE, "org.freedesktop.Secret.Service"), "Lock", "ao", [path])

    def wait_until_gone(self, name):
        end = time.monotonic() + PATIENCE_SECONDS
        while self.connection.send_and_get_reply(message_bus.NameHasOwner(name)).body[0]:
            assert time.monotonic() < end, name
            time.sleep(0.01)

    def stop(self, child, name):
        """Kill a program, and wait until the bus knows that its name is free."""
        child.kill()
        child.communicate()
        self.wait_until_gone(name)

    def wait_for_queue(self, name, length):
        """Wait until so many connections own a name or wait for it."""
        end = time.monotonic() + PATIENCE_SECONDS
        while len(self.connection.send_and_get_reply(message_bus.ListQueuedOwners(name)).body[0]) < length:
            assert time.monotonic() < end, name
            time.sleep(0.01)

    def close(self):
        self.connection.close()
        while self._children:
            child = self._children.pop()
            child.kill()
            child.communicate()
        while self._people:
            person = self._people.pop()
            person.join(PATIENCE_SECONDS)
            person.bus.close()


class Person(threading.Thread):
    """Sits at the prompter: types the next of `answers`, or dismisses when there is none.

    An answer may be a function, called when the prompt is there; `None`, itself or returned, is nobody at all.
    """

    def __init__(self, address):
        super().__init__(daemon=True)
        self.answers = queue.SimpleQueue()
        self.seen = []
        self._keys = {}
        self.bus = open_dbus_connection(address)
        self.bus.send_and_get_reply(message_bus.RequestName("org.gnome.keyring.SystemPrompter"))
        self.start()

    def run(self):
        while True:
            try:
                message = self.bus.receive()
            except (OSError, ValueError):
                return
            if message.header.message_type is MessageType.method_call:
                self.bus.send(new_method_return(message))
                getattr(self, message.header.fields[HeaderFields.member])(self._callback(message), message.body)

    @staticmethod
    def _callback(message):
        sender = message.header.fields[HeaderFields.sender]
        return DBusAddress(message.body[0], sender, "org.gnome.keyring.internal.Prompter.Callback")

    def _ready(self, prompt, reply, properties, exchange):
        self.bus.send(new_method_call(prompt, "PromptReady", "sa{sv}s", (reply, properties, exchange)))

    def BeginPrompting(self, prompt, body):
        self._keys[body[0]] = secrets.randbits(1024)
        self._ready(prompt, "", {}, "")

    def PerformPrompt(self, prompt, body):
        self.seen.append({name: value for name, (_, value) in body[2].items()})
        if self.answers.empty():
            self._ready(prompt, "no", {}, "")
            return
        answer = self.answers.get()
        if callable(answer):
            answer = answer()
        if answer == DISMISS:
            self._ready(prompt, "no", {}, "")
        elif answer is not None:
            # Variants in variants; without these two come further questions, and the login keyring learns the password.
            said = {"password-strength": ("v", ("i", 1)), "choice-chosen": ("v", ("b", False))}
            self._ready(prompt, "yes", said, self._seal(self._keys[body[0]], body[3], answer))

    def StopPrompting(self, prompt, body):
        self.bus.send(new_method_call(prompt, "PromptDone"))

    @staticmethod
    def _seal(key, exchange, password):
        """gcr's sx-aes-1."""
        theirs = dict(line.split("=", 1) for line in exchange.splitlines() if "=" in line)["public"]
        shared = pow(int.from_bytes(base64.b64decode(theirs), "big"), key, PRIME).to_bytes(192, "big")
        initial, pad = secrets.token_bytes(16), padding.PKCS7(128).padder()
        derived = HKDF(hashes.SHA256(), 16, None, b"").derive(shared)
        aes = Cipher(algorithms.AES(derived), modes.CBC(initial)).encryptor()
        fields = {
            "public": pow(2, key, PRIME).to_bytes(192, "big"),
            "iv": initial,
            "secret": aes.update(pad.update(password.encode()) + pad.finalize()),
        }
        return "[sx-aes-1]\n" + "".join(
            f"{name}={base64.b64encode(value).decode()}\n" for name, value in fields.items()
        )


def storm(module, settings, key, number):
    """Let that many processes read one item at once, each over its own connection; returns what each got, counted."""
    program = f"""
import os, sys
from importlib import import_module
from strongroom.errors import StrongroomError
module = import_module("strongroom.keystore." + {module!r})
gate, start = os.pipe()
children = []
for _ in range({number}):
    child = os.fork()
    if child == 0:
        os.close(start)
        os.read(gate, 1)
        try:
            told = repr(module.open({settings!r}, None).get({key!r}).data)
        except StrongroomError as error:
            told = type(error).__name__
        os.write(1, told.encode() + b"\\n")
        os._exit(0)
    children.append(child)
os.close(start)
for child in children:
    os.waitpid(child, 0)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_SECONDS * 2)
    assert run.stderr == ""
    return dict(collections.Counter(run.stdout.splitlines()))
