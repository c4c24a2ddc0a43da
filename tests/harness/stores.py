"""Every keystore that runs here for real, ready for the program: which variables choose it, without a human.

``with Stores(directory) as stores: stores.environ("pass")``
"""

import contextlib
import os
import shutil
import sys
from pathlib import Path

from harness.gpg import Gpg

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
JOIN_SESSION_KEYRING = 1


class Stores:
    """Makes them below *directory*, each when it is asked for; what it starts ends with the block."""

    def __init__(self, directory):
        self.directory = directory
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._stack.close()

    @staticmethod
    def names():
        """Those that can be had on this machine."""
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

    def _secret_service(self):
        from harness.desktop import Bus

        home = self.directory / "desktop"
        home.mkdir()
        bus = Bus(home)
        self._stack.callback(bus.close)
        bus.keyring()
        bus.create("awsvault", "pw")
        bus.create("strongroom", "pw")
        return {"DBUS_SESSION_BUS_ADDRESS": bus.address}
