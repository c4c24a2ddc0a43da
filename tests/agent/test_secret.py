import json
from base64 import b64encode
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.secret import Secret, created_text

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf"
ANSWER = {
    "ARN": ARN,
    "Name": "app/db",
    "VersionId": "V1",
    "SecretString": "hunter2",
    "VersionStages": ["AWSCURRENT"],
    "CreatedDate": 1569534789.046,
    "ResponseMetadata": {"HTTPStatusCode": 200},
    "Invented": 1,
}


def without(*names, **more):
    return {name: value for name, value in ANSWER.items() if name not in names} | more


def test_from_aws():
    """An answer's known members are kept, unknown ones are not."""
    assert Secret.from_aws(ANSWER) == Secret(ARN, "app/db", "V1", "hunter2", None, ("AWSCURRENT",), "1569534789.046")
    assert Secret.from_aws({}) == Secret(None, None, None, None, None, None, None)
    assert Secret.from_aws({"SecretBinary": bytearray(b"\0"), "VersionStages": []}).binary == b"\0"


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            ANSWER,
            f'{{"ARN":"{ARN}","Name":"app/db","VersionId":"V1","SecretString":"hunter2",'
            '"VersionStages":["AWSCURRENT"],"CreatedDate":"1569534789.046"}',
        ),
        (
            without(CreatedDate=1569534789),
            f'{{"ARN":"{ARN}","Name":"app/db","VersionId":"V1","SecretString":"hunter2",'
            '"VersionStages":["AWSCURRENT"],"CreatedDate":"1569534789"}',
        ),
        (
            without("CreatedDate", "VersionStages"),
            f'{{"ARN":"{ARN}","Name":"app/db","VersionId":"V1","SecretString":"hunter2","CreatedDate":null}}',
        ),
        (
            without("SecretString", SecretBinary=b"\x00\x01\x02\x03\xff\xfe\xfd", VersionStages=["B", "A"]),
            f'{{"ARN":"{ARN}","Name":"app/db","VersionId":"V1","SecretBinary":"AAECA//+/Q==",'
            '"VersionStages":["B","A"],"CreatedDate":"1569534789.046"}',
        ),
        ({}, '{"ARN":null,"Name":null,"VersionId":null,"CreatedDate":null}'),
        (
            {"SecretString": "", "SecretBinary": b"", "VersionStages": []},
            '{"ARN":null,"Name":null,"VersionId":null,"SecretString":"","SecretBinary":"","VersionStages":[],'
            '"CreatedDate":null}',
        ),
        (
            {"SecretString": '"\\\n\x01é/<{}'},
            '{"ARN":null,"Name":null,"VersionId":null,"SecretString":"\\"\\\\\\n\\u0001é/<{}","CreatedDate":null}',
        ),
    ],
)
def test_body(answer, body):
    """The body is byte for byte that of the AWS agent."""
    assert Secret.from_aws(answer).body().decode() == body


def test_broken_text():
    """A character that is none does not keep the rest of the secret away."""
    assert json.loads(Secret.from_aws({"SecretString": "a\ud800"}).body())["SecretString"] == "a\ufffd"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1569534789.046, "1569534789.046"),
        (1569534789.0, "1569534789"),
        (1569534789, "1569534789"),
        (1569534789.123456, "1569534789.123456"),
        (0, "0"),
        (-1.5, "-1.5"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1e-05, "0.00001"),
        (-1.5e-07, "-0.00000015"),
        (1e16, "10000000000000000"),
        (1.2345678901234567e16, "12345678901234568"),
        (-1.5e22, "-15000000000000000000000"),
        (10**22, "10000000000000000000000"),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        (float("-inf"), None),
        (None, None),
        ("1569534789", None),
        (datetime(2019, 9, 26, 21, 53, 9, 46000, tzinfo=UTC), "1569534789.046"),
        (datetime(2019, 9, 26, 23, 53, 9, tzinfo=timezone(timedelta(hours=2))), "1569534789"),
    ],
)
def test_created(number, text):
    """A time is shown with the fewest digits that tell it, never with an exponent."""
    assert created_text(number) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_created_is_exact(number):
    """What is shown reads back as the same number, and is plain digits."""
    text = created_text(number)
    assert float(text) == number
    assert set(text) <= set("-.0123456789")
    assert not text.endswith(".0")


@given(
    st.none() | st.text(st.characters(codec="utf-8")),
    st.none() | st.binary(),
    st.none() | st.lists(st.text(st.characters(codec="utf-8"))),
)
def test_body_is_json(string, binary, stages):
    """Whatever a secret holds, its body reads back as it."""
    answer = {"ARN": ARN, "SecretString": string, "SecretBinary": binary, "VersionStages": stages}
    expected = {"ARN": ARN, "Name": None, "VersionId": None, "CreatedDate": None}
    expected |= {} if string is None else {"SecretString": string}
    expected |= {} if binary is None else {"SecretBinary": b64encode(binary).decode()}
    expected |= {} if stages is None else {"VersionStages": stages}
    assert json.loads(Secret.from_aws(answer).body()) == expected


def test_repr():
    """A secret does not show itself."""
    secret = Secret.from_aws(without(SecretBinary=b"hunter3"))
    assert repr(secret) == "Secret(name='app/db', version_id='V1', ...)"
    assert "hunter" not in f"{secret} {[secret]}"


def test_frozen():
    """A secret is a value."""
    with pytest.raises(AttributeError):
        Secret.from_aws(ANSWER).string = "x"
