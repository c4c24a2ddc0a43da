import os
import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no terminals to lend", allow_module_level=True)

import pty
import termios

from strongroom import foreground


def test_a_terminal_that_is_not_there():
    """There is nothing to lend."""
    assert foreground.own("/nowhere") is None


def test_a_terminal_that_is_not_the_controlling_one():
    """It has no foreground to lend, and is closed again."""
    master, slave = pty.openpty()
    before = os.listdir("/dev/fd")
    try:
        assert foreground.own(os.ttyname(slave)) is None
        assert os.listdir("/dev/fd") == before
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_that_goes_as_it_is_looked_at(monkeypatch):
    """It is not lent then."""

    def gone(descriptor):
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(termios, "tcgetattr", gone)
    loan = foreground.Loan(0)
    with loan.to(os.getpgrp()):
        assert loan._tty is None


def test_no_terminal_to_lend():
    """Nothing is done."""
    with foreground.Loan(None).to(1):
        pass
