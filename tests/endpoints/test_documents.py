import json

import pytest

from harness.endpoints import START, made
from strongroom.endpoints import documents


def test_container_credentials():
    """Members in alphabetical order, a time with a Z, a token even if it is empty; and whose they are, where known."""
    assert documents.container_credentials(made(1, token="")) == (
        b'{"AccessKeyId":"ASIAEXAMPLE000000001","Expiration":"2030-03-17T18:46:40Z","SecretAccessKey":"secret-1",'
        b'"Token":""}\n'
    )
    whole = documents.container_credentials(made(1), role_arn="arn:x", account_id="1")
    assert list(json.loads(whole)) == [
        "AccessKeyId",
        "AccountId",
        "Expiration",
        "RoleArn",
        "SecretAccessKey",
        "Token",
    ]


def test_instance_credentials():
    """With the code that the Go SDK wants to see, and when they came."""
    assert documents.instance_credentials(made(1), START + 0.9) == (
        b'{"AccessKeyId":"ASIAEXAMPLE000000001","Code":"Success","Expiration":"2030-03-17T18:46:40Z",'
        b'"LastUpdated":"2030-03-17T17:46:40Z","SecretAccessKey":"secret-1","Token":"session","Type":"AWS-HMAC"}\n'
    )


@pytest.mark.parametrize("reason", ["no", 'a "b"\n\\', "größer", "\udcff"])
def test_message(reason):
    """Whatever the reason holds, it is JSON, in ASCII."""
    body = documents.message(reason)
    assert body.isascii()
    assert json.loads(body) == {"Message": reason}


def test_identity():
    """No member without a value."""
    assert documents.identity("i", region="", zone="") == b'{"instanceId":"i","version":"2017-09-30"}\n'
