import pytest

from strongroom.aws import ssm
from strongroom.credentials import Credentials


@pytest.mark.parametrize("with_decryption", [True, False])
def test_a_parameter(with_decryption):
    """Its name as it is, and always whether it is to be decrypted."""
    calls = []

    class Recorded:
        def call(self, *what, **settings):
            calls.append((what, settings))
            return {"Parameter": {}}

    key = Credentials("AKIA", "s")
    assert ssm.get_parameter(Recorded(), "eu-west-1", key, name="/a:2", with_decryption=with_decryption) == {
        "Parameter": {}
    }
    sent = {"Name": "/a:2", "WithDecryption": with_decryption}
    assert calls == [(("ssm", "GetParameter", sent), {"region": "eu-west-1", "credentials": key})]
