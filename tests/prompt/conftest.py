"""A person at a real terminal, for whatever code is to be asked there."""

import os
import sys

import pytest

if sys.platform == "win32":
    # They need pseudo-terminals, and programs that are shell scripts.
    collect_ignore = [
        "test_terminal.py",
        "test_process.py",
        "test_prompt.py",
        "test_pinentry.py",
        "test_windows.py",
        "test_ykman.py",
    ]
else:
    import pty

    from harness.person import Person


@pytest.fixture
def person():
    """Start Python code, or any argv, on a terminal: ``person("prompt.ask(...)")``."""
    people = []

    def start(code=None, *, argv=None, **settings):
        program = f"import os, signal, sys, threading\nfrom strongroom import prompt\n{code}"
        people.append(Person(argv or [sys.executable, "-c", program], **settings))
        return people[-1]

    yield start
    for each in people:
        each.close()


@pytest.fixture
def terminal():
    """A terminal that controls nobody, to be asked at in this process: its path, and the other end."""
    master, slave = pty.openpty()
    yield os.ttyname(slave), master, slave
    os.close(master)
    os.close(slave)
