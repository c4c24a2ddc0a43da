import io
import re
import sys

from strongroom.cli import detaching
from strongroom.cli.flags import Arguments


def test_the_same_words_again():
    """All flags in a form that means the same wherever they stand; profiles cannot be taken for flags."""
    values = {
        "detach": True,
        "debug": True,
        "lazy": False,
        "region": "eu-west-1",
        "allow-role": ("a*", "b"),
        "backend": None,
    }
    assert detaching.words(Arguments(values, []), ["-x", "start"]) == [
        sys.executable,
        "-P",
        "-m",
        "strongroom",
        "serve",
        "--debug",
        "--no-lazy",
        "--region=eu-west-1",
        "--allow-role=a*",
        "--allow-role=b",
        "--",
        "start",
        "-x",
        "start",
    ]
    assert "--mfa-token=123456" not in detaching.words(Arguments({"mfa-token": "123456"}, []), ["jon"])


def test_the_time_is_said():
    """Before each line of the log."""
    raw = io.BytesIO()
    log = detaching.Dated(raw, encoding="utf-8")
    log.write("strongroom: jon: no new credentials\n")
    log.flush()
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ strongroom: jon: no new credentials\n", raw.getvalue())
    log.detach()
