import json

import pytest

from strongroom.aws.answers import Unreadable, read_json


def read(status, body, **headers):
    """What botocore gets to read, and what it is told besides."""
    told = {}
    response = {"status_code": status, "headers": headers, "body": body}
    read_json(response, told, operation_model=None)
    return response["body"], told


@pytest.mark.parametrize("body", [b"{}", b'{"Name":"n"}', b" {} "])
def test_a_good_answer(body):
    """Is left alone."""
    assert read(200, body) == (body, {})


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"hush"', b"<html>hush</html>", b"\xff"])
def test_a_good_answer_that_is_none(body):
    """The exception has no text: that may be a secret."""
    with pytest.raises(Unreadable) as caught:
        read(200, body)
    assert str(caught.value) == ""


@pytest.mark.parametrize(
    ("body", "headers", "code", "message"),
    [
        ({"__type": "X", "message": "m"}, {}, "X", "m"),
        ({"__type": "a.b#X:http://c", "Message": "m"}, {}, "X", "m"),
        ({"__type": "X:http://c#d", "Message": "m"}, {}, "X", "m"),
        ({"__type": "X", "errorMessage": ""}, {}, "X", ""),
        ({"code": "Y", "__type": "X"}, {}, "Y", None),
        ({"__type": "X"}, {"X-Amzn-ErrorType": "Z"}, "Z", None),
        ({"__type": "X"}, {"x-amzn-errortype": ""}, "X", None),
        ({"message": "m"}, {}, "", None),
        ([], {}, "", None),
    ],
)
def test_an_error(body, headers, code, message):
    """Botocore gets the form that it understands, whoever answered in whatever form."""
    body = json.dumps(body).encode()
    shown, told = read(400, body, **headers)
    assert told == {"Told": (code, message, body)}
    assert json.loads(shown)["__type"] == (code or "400")
