"""Agents that a shell starts: it does to itself what the program then has, such as closed descriptors and limits."""

import os
import shlex
import socket
import sys
from pathlib import Path

import pytest

from harness.agent import PATIENCE_SECONDS, Wire

PYTHON = f'{shlex.quote(sys.executable)} "$@"'


def by_shell(patch: pytest.MonkeyPatch, directory: Path, command: str) -> None:
    """From now on, start each child by *command*, in which ``python`` stands for the interpreter with its words.

    ::

        by_shell(monkeypatch, tmp_path, "ulimit -n 256; exec python")
    """
    script = directory / "start"
    script.write_text(f"#!/bin/sh\n{command.replace('python', PYTHON)}\n")
    script.chmod(0o700)
    patch.setattr(sys, "executable", str(script))


def by_unix(path: Path) -> Wire:
    """A connection to a Unix socket; its path, which may have 107 bytes, is taken from here."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(PATIENCE_SECONDS)
    try:
        connection.connect(os.path.relpath(path))
    except OSError:
        connection.close()
        raise
    return Wire(connection)


def has_ipv6() -> bool:
    """Whether this machine has ``::1``."""
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True
