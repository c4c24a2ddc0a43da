"""The independent reader and writer of the file keystore."""

import os

import pytest
from joserfc.errors import JoseError

from harness import items
from harness.home import M


def test_round_trip(tmp_path):
    """What is written is read back, under a file name that aws-vault escapes in the same way."""
    items.write(str(tmp_path), "a/b %:#", {"AccessKeyID": "x"}, "pw")
    assert os.listdir(tmp_path) == ["a%2Fb %25:#"]
    assert items.names(str(tmp_path)) == ["a/b %:#"]
    assert items.read(str(tmp_path), "a/b %:#", "pw") == {"AccessKeyID": "x"}
    with pytest.raises(JoseError):
        items.read(str(tmp_path), "a/b %:#", "other")


def test_session_names():
    """The example of aws-vault's session names, both ways."""
    name = "sts.GetSessionToken,am9u,YXJuOmF3czppYW06OjExMTExMTExMTExMTptZmEvam9u,1795315097"
    assert items.session_key("sts.GetSessionToken", "jon", M, 1795315097) == name
    assert items.read_session_key(name) == ("sts.GetSessionToken", "jon", M, 1795315097)
    assert items.is_session(name)
    assert not items.is_session("jon")
