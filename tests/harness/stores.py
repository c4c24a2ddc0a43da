"""Every keystore that runs here, ready for the program: which variables choose it, without a human.

``with Stores(directory) as stores: stores.environ("pass")``. Some are stood in for: `STAND_INS`. Those of them that are
programs are no processes of their own if they are opened by `Stores.open`, which is `keystore.open` for all others.
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

from fakes import onepassword, proton
from harness.gpg import Gpg
from harness.identities import age_identity
from harness.programs import PROGRAMS
from strongroom import keystore
from strongroom.keystore import op, op_desktop, proton_pass

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
JOIN_SESSION_KEYRING = 1

# What is not to be had without an account or another desktop, and has a stand-in that says no like the real one.
STAND_INS = ["op", "op-connect", "op-desktop", "proton-pass"]
if sys.platform == "linux" and shutil.which("dbus-daemon"):
    STAND_INS.append("kwallet")
if sys.platform != "win32" and shutil.which("age"):
    STAND_INS.append("passage")


class Stores:
    """Makes them below *directory*, each when it is asked for; what it starts ends with the block."""

    def __init__(self, directory):
        self.directory = directory
        self.vault = onepassword.Vault()
        self.proton = proton.Proton()
        self._opened = keystore.open
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    @staticmethod
    def names():
        """Those that can be had on this machine, for real."""
        names = ["file", "age"]
        if sys.platform != "win32":
            names.append("helper:sqlite")
        if sys.platform == "linux":
            names.append("keyctl")
        if shutil.which("pass") and shutil.which("gpg"):
            names.append("pass")
        if shutil.which("gnome-keyring-daemon") and shutil.which("dbus-daemon"):
            names.append("secret-service")
        return names

    def environ(self, name):
        """The variables that make *name* the keystore."""
        made = getattr(self, "_" + name.partition(":")[0].replace("-", "_"))()
        return {"AWS_VAULT_BACKEND": "", "STRONGROOM_BACKEND": name} | made

    def open(self, name, settings, ask):
        """In place of `keystore.open`."""
        runs = {
            "op": (op, self.vault.run),
            "op-desktop": (op_desktop, self.vault.run),
            "proton-pass": (proton_pass, self.proton.run),
        }
        if name not in runs:
            return self._opened(name, settings, ask)
        module, run = runs[name]
        return module.open(settings, ask, run)

    def _file(self):
        return {"AWS_VAULT_FILE_DIR": str(self.directory / "files"), "AWS_VAULT_FILE_PASSPHRASE": "pw"}

    def _age(self):
        import pyrage

        identity = self.directory / "identity"
        identity.write_text(str(pyrage.x25519.Identity.generate()))
        identity.chmod(0o600)
        return {"STRONGROOM_AGE_DIR": str(self.directory / "age"), "STRONGROOM_AGE_IDENTITY": str(identity)}

    def _helper(self):
        return {"PATH": os.pathsep.join([str(EXAMPLES), os.path.dirname(sys.executable), os.environ["PATH"]])}

    def _keyctl(self):
        from strongroom.keystore import keyctl

        # A session keyring of this process's own, which its children share and nobody else.
        keyctl.open({}, None)._kernel.control(JOIN_SESSION_KEYRING, 0)
        return {"STRONGROOM_KEYCTL_SCOPE": "session"}

    def _pass(self):
        gpg = self._stack.enter_context(contextlib.closing(Gpg()))
        store = self.directory / "store"
        store.mkdir()
        (store / ".gpg-id").write_text(f"{gpg.fingerprint}\n")
        return {"AWS_VAULT_PASS_PASSWORD_STORE_DIR": str(store), "GNUPGHOME": gpg.environ["GNUPGHOME"]}

    def _passage(self):
        age_identity(self.directory / "identities")
        return {
            "PATH": self._path_with("passage"),
            "PASSAGE_DIR": str(self.directory / "passage"),
            "PASSAGE_IDENTITIES_FILE": str(self.directory / "identities"),
        }

    def _op(self):
        return self._onepassword("op") | {"AWS_VAULT_OP_SERVICE_ACCOUNT_TOKEN": onepassword.TOKEN}

    def _op_desktop(self):
        return self._onepassword("op")

    def _onepassword(self, *programs):
        self.vault.items.clear()
        return {"PATH": self._path_with(*programs), "AWS_VAULT_OP_VAULT_ID": onepassword.VAULT}

    def _op_connect(self):
        server = self._stack.enter_context(onepassword.Connect(self.vault).serve())
        told = {"AWS_VAULT_OP_CONNECT_HOST": server.url, "AWS_VAULT_OP_CONNECT_TOKEN": onepassword.CONNECT_TOKEN}
        return self._onepassword() | told

    def _proton_pass(self):
        self.proton.notes.clear()
        return {"PATH": self._path_with("pass-cli"), "AWS_VAULT_PROTON_PASS_SHARE_ID": proton.SHARE}

    def _path_with(self, *programs):
        directory = self.directory / "programs"
        directory.mkdir()
        for name in programs:
            found = directory / (f"{name}.exe" if sys.platform == "win32" else name)
            if sys.platform == "win32":
                found.write_text("")  # never started
            else:
                found.symlink_to(PROGRAMS / name)
        return os.pathsep.join([str(directory), os.path.dirname(sys.executable), os.environ["PATH"]])

    def _kwallet(self):
        from fakes.kwallet import KWallet

        bus = self._bus()
        self._stack.callback(KWallet(bus.address).stop)
        return {"DBUS_SESSION_BUS_ADDRESS": bus.address}

    def _bus(self):
        from harness.desktop import Bus

        home = self.directory / "desktop"
        home.mkdir()
        bus = Bus(home)
        self._stack.callback(bus.close)
        return bus

    def _secret_service(self):
        bus = self.bus = self._bus()
        bus.keyring()
        self.collection = bus.create("awsvault", "pw")
        bus.create("strongroom", "pw")
        return {"DBUS_SESSION_BUS_ADDRESS": bus.address}
