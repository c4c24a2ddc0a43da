"""``python -m strongroom``."""

from strongroom.cli.main import console

console()
