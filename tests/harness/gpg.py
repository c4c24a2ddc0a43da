"""GnuPG for tests: a home of its own with one key, and an agent that ends with the tests."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

# Answers gpg's agent like a human: types what is in the file beside it, or dismisses.
PINENTRY = """\
#!/bin/sh
echo "OK at your service"
while read -r line; do
    case $line in
    GETPIN*) if [ -s "$0.answer" ]; then echo "D $(cat "$0.answer")"; echo OK; else echo "ERR 83886179 no"; fi ;;
    BYE*) echo OK; exit ;;
    *) echo OK ;;
    esac
done
"""


class Gpg:
    """A home of gpg's with one key, and an agent that ends with the tests.

    Args:
        passphrase: The key's.
    """

    def __init__(self, passphrase=""):
        # Not below pytest's own, whose names are too long for the agent's socket.
        self.home = Path(tempfile.mkdtemp(prefix="g", dir="/tmp"))
        self.environ = {"PATH": os.environ["PATH"], "GNUPGHOME": os.fspath(self.home), "HOME": os.fspath(self.home)}
        # Else the agent measures how much work a passphrase should be, which takes seconds on a busy machine.
        (self.home / "gpg-agent.conf").write_text("s2k-count 65536\n")
        self.run(
            "--passphrase", passphrase, "--quick-generate-key", "t <t@example.invalid>", "ed25519", "sign", "never"
        )
        listed = self.run("--list-keys", "--with-colons").splitlines()
        self.fingerprint = next(line.split(":")[9] for line in listed if line.startswith("fpr"))
        self.run("--passphrase", passphrase, "--quick-add-key", self.fingerprint, "cv25519", "encr", "never")

    def run(self, *words):
        argv = ["gpg", "--batch", "--quiet", "--no-tty", "--pinentry-mode", "loopback", *words]
        return subprocess.run(argv, env=self.environ, check=True, capture_output=True, text=True).stdout

    def answer(self, text):
        """Let questions be answered by *text*, or dismissed; what the agent knows is forgotten."""
        (self.home / "pinentry").write_text(PINENTRY)
        (self.home / "pinentry").chmod(0o755)
        (self.home / "pinentry.answer").write_text(text)
        (self.home / "gpg-agent.conf").write_text(f"s2k-count 65536\npinentry-program {self.home / 'pinentry'}\n")
        self.end()

    def end(self):
        subprocess.run(["gpgconf", "--kill", "gpg-agent"], env=self.environ, check=True)

    def close(self):
        self.end()
        shutil.rmtree(self.home, ignore_errors=True)  # the agent removes its sockets meanwhile
