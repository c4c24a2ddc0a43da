"""A PATH with the stand-ins of `fakes/programs` under the names that a test asks for, and the plain tools they need."""

import os
import shutil
import sys
from pathlib import Path

PROGRAMS = Path(__file__).parent.parent / "fakes" / "programs"
STANDS_FOR = {"zenity": "window", "kdialog": "window", "osascript": "window", "ykman": "ykman", "pinentry": "pinentry"}
TOOLS = ("sh", "printf", "grep", "sed", "sleep", "yes", "env", "cat", "echo", "true")


def path_with(directory, *names):
    """Make a directory that is the whole PATH: the tools, and stand-ins for *names*. Returns its path."""
    directory.mkdir()
    for name in names:
        (directory / name).symlink_to(PROGRAMS / STANDS_FOR[name])
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (directory / tool).symlink_to(found)
    # Not a link: the interpreter finds what is installed beside it by its own path.
    (directory / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -I "$@"\n')
    (directory / "python3").chmod(0o755)
    return os.fspath(directory)
