import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.parameter import Parameter

ANSWER = {
    "Parameter": {
        "Name": "/dev/db/url",
        "Type": "String",
        "Value": "postgres://db",
        "Version": 3,
        "LastModifiedDate": datetime(2022, 11, 16, 8, 22, 40, 499000, tzinfo=UTC),
        "ARN": "arn:aws:ssm:us-east-1:123456789012:parameter/dev/db/url",
        "DataType": "text",
    },
    "ResponseMetadata": {"HTTPStatusCode": 200},
}


def changed(**members):
    return {"Parameter": ANSWER["Parameter"] | members}


def test_from_aws():
    """An answer's members are kept."""
    parameter = Parameter.from_aws(ANSWER)
    assert parameter == Parameter(
        arn="arn:aws:ssm:us-east-1:123456789012:parameter/dev/db/url",
        name="/dev/db/url",
        version=3,
        value="postgres://db",
        kind="String",
        data_type="text",
        selector=None,
        source_result=None,
        modified="2022-11-16T08:22:40.499Z",
    )


def test_body():
    """The body is that of AWS's Lambda extension: every member, by the alphabet."""
    assert Parameter.from_aws(ANSWER).body() == (
        b'{"Parameter":{"ARN":"arn:aws:ssm:us-east-1:123456789012:parameter/dev/db/url","DataType":"text",'
        b'"LastModifiedDate":"2022-11-16T08:22:40.499Z","Name":"/dev/db/url","Selector":null,"SourceResult":null,'
        b'"Type":"String","Value":"postgres://db","Version":3},"ResultMetadata":{}}'
    )


def test_selector():
    """The selector is shown with its colon, as AWS sends it."""
    assert b'"Selector":":3",' in Parameter.from_aws(changed(Selector=":3")).body()


def test_reference():
    """A reference to a secret has what a parameter lacks, and lacks what it has."""
    answer = {
        "Parameter": {
            "Name": "/aws/reference/secretsmanager/app/db",
            "Type": "SecureString",
            "Value": "hunter2",
            "SourceResult": '{"name":"app/db"}',
            "LastModifiedDate": 1668586960,
        }
    }
    assert Parameter.from_aws(answer).body() == (
        b'{"Parameter":{"ARN":null,"DataType":null,"LastModifiedDate":"2022-11-16T08:22:40Z",'
        b'"Name":"/aws/reference/secretsmanager/app/db","Selector":null,"SourceResult":"{\\"name\\":\\"app/db\\"}",'
        b'"Type":"SecureString","Value":"hunter2","Version":0},"ResultMetadata":{}}'
    )


@pytest.mark.parametrize("answer", [{}, {"Parameter": None}, {"Parameter": {}}])
def test_nothing(answer):
    """An answer without a parameter is empty, not a failure."""
    assert Parameter.from_aws(answer).body() == (
        b'{"Parameter":{"ARN":null,"DataType":null,"LastModifiedDate":null,"Name":null,"Selector":null,'
        b'"SourceResult":null,"Type":"","Value":null,"Version":0},"ResultMetadata":{}}'
    )


def test_as_go():
    """What could end a script in a page is escaped, as Go does; everything else is text."""
    body = Parameter.from_aws(changed(Value='<a>&"\\\n\u2028\u2029é/\x7f\ud800')).body().decode()
    assert '"Value":"\\u003ca\\u003e\\u0026\\"\\\\\\n\\u2028\\u2029é/\x7f\ufffd"' in body


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2022, 11, 16, 8, 22, 40, tzinfo=UTC), "2022-11-16T08:22:40Z"),
        (datetime(2022, 11, 16, 8, 22, 40, 400000, tzinfo=UTC), "2022-11-16T08:22:40.4Z"),
        (datetime(2022, 11, 16, 8, 22, 40, 40000, tzinfo=UTC), "2022-11-16T08:22:40.04Z"),
        (datetime(2022, 11, 16, 10, 22, 40, tzinfo=timezone(timedelta(hours=2))), "2022-11-16T08:22:40Z"),
        (1668586960.499, "2022-11-16T08:22:40.499Z"),
        (1668586960, "2022-11-16T08:22:40Z"),
        (0, "1970-01-01T00:00:00Z"),
        (-0.5, "1969-12-31T23:59:59.5Z"),
        (1e20, None),
        (10**400, None),
        (float("nan"), None),
        (float("inf"), None),
        ("yesterday", None),
        (None, None),
        ([], None),
    ],
)
def test_modified(moment, text):
    """A time is shown in UTC, without zeros at the end of its fraction."""
    assert Parameter.from_aws(changed(LastModifiedDate=moment)).modified == text


@given(st.text(st.characters(codec="utf-8")))
def test_values_survive(value):
    """Whatever a parameter holds, its body reads back as it."""
    body = Parameter.from_aws(changed(Value=value)).body()
    assert json.loads(body)["Parameter"]["Value"] == value
    assert not {b"<", b">", b"&"} & {bytes([byte]) for byte in body}


def test_repr():
    """A parameter does not show its value, nor the secret that it refers to."""
    parameter = Parameter.from_aws(changed(Value="hunter2", SourceResult="hunter2"))
    assert repr(parameter) == "Parameter(name='/dev/db/url', version=3, ...)"
