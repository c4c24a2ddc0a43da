import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.query import (
    MAX_BATCH_ITEMS,
    MAX_FIELDS,
    ParameterQuery,
    SecretQuery,
    batch,
    batch_body,
    invalidation,
    parameter_query,
    secret_path,
    secret_query,
)
from strongroom.serve.http import HttpError

ROLE = "arn:aws:iam::123456789012:role/app"
BAD_ROLE = "invalid roleArn format, expected arn:<partition>:iam::<account>:role/<name>"


def refusal(call, *arguments):
    """What *call* answers: status, message and code."""
    with pytest.raises(HttpError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.message, caught.value.code


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("secretId=app/db", SecretQuery("app/db")),
        ("%73ecretId=app/db", SecretQuery("app/db")),
        ("secretId=app%2Fdb", SecretQuery("app/db")),
        ("secretId=a+b", SecretQuery("a b")),
        ("secretId=a%2Bb", SecretQuery("a+b")),
        ("secretId=x&secretId=app/db", SecretQuery("app/db")),
        ("secretId=&secretId=app/db", SecretQuery("app/db")),
        ("&&secretId=app/db&", SecretQuery("app/db")),
        ("secretId=a;b", SecretQuery("a;b")),
        ("secretId=a=b=", SecretQuery("a=b=")),
        ("secretId=%zz%4", SecretQuery("%zz%4")),
        ("secretId=%00", SecretQuery("\0")),
        ("secretId=%C3%A9%C3", SecretQuery("é\ufffd")),
        ("secretId=é%ed%a0%80", SecretQuery("é\ufffd\ufffd\ufffd")),
        (
            "secretId=arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf",
            SecretQuery("arn:aws:secretsmanager:us-east-1:123456789012:secret:app/db-AbCdEf"),
        ),
        ("secretId=a&versionId=&versionStage", SecretQuery("a", version_id="", version_stage="")),
        ("secretId=a&versionId=x&versionId=", SecretQuery("a", version_id="")),
        ("versionStage=B&versionId=A&secretId=a", SecretQuery("a", version_id="A", version_stage="B")),
        ("secretId=a&refreshNow=1&refreshNow=false", SecretQuery("a")),
        ("secretId=a&jsonKey=users.0&rejected=V1", SecretQuery("a", json_key="users.0", rejected="V1")),
        ("secretId=a&jsonKey=&rejected=", SecretQuery("a", json_key="", rejected="")),
        (f"secretId=a&roleArn={ROLE}", SecretQuery("a", role_arn=ROLE)),
        (f"roleArn=bad&secretId=a&roleArn={ROLE}", SecretQuery("a", role_arn=ROLE)),
    ],
)
def test_query(query, asked):
    """A query is read as a form: escapes decoded once, blanks from plus signs, the last of several counts."""
    assert secret_query(query) == asked


@pytest.mark.parametrize("value", ["true", "TRUE", "True", "1"])
def test_refresh(value):
    """refreshNow is on in any letter case."""
    assert secret_query(f"secretId=a&refreshNow={value}") == SecretQuery("a", refresh_now=True)


@pytest.mark.parametrize("value", ["false", "False", "FALSE", "0"])
def test_no_refresh(value):
    """refreshNow can be off, in any letter case."""
    assert secret_query(f"secretId=a&refreshNow={value}") == SecretQuery("a")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "missing parameter secretId"),
        ("&", "missing parameter secretId"),
        ("secretId=", "missing parameter secretId"),
        ("secretId", "missing parameter secretId"),
        ("secretId=a&secretId=", "missing parameter secretId"),
        ("versionStage=X", "missing parameter secretId"),
        ("roleArn=bad", "missing parameter secretId"),
        ("secretId=a&abc=1", "unknown parameter: abc"),
        ("abc=1", "unknown parameter: abc"),
        ("secretid=a", "unknown parameter: secretid"),
        ("secretId=a&=", "unknown parameter: "),
        ("secretId=a&%3Cb%3E+%C3%A9=", "unknown parameter: <b> é"),
        ("roleArn=bad&x=1", "unknown parameter: x"),
        ("x=1&refreshNow=bad", "unknown parameter: x"),
        ("refreshNow=bad&x=1", "invalid refreshNow value"),
        ("refreshNow=bad", "invalid refreshNow value"),
        ("secretId=a&refreshNow=yes", "invalid refreshNow value"),
        ("secretId=a&refreshNow=", "invalid refreshNow value"),
        ("secretId=a&refreshNow", "invalid refreshNow value"),
        ("secretId=a&refreshNow=2", "invalid refreshNow value"),
        ("secretId=a&refreshNow=%20true", "invalid refreshNow value"),
        ("secretId=a&refreshNow=0&refreshNow=bad", "invalid refreshNow value"),
        ("secretId=a&refreshNow=bad&refreshNow=0", "invalid refreshNow value"),
        ("secretId=a&roleArn=not-a-valid-arn", BAD_ROLE),
        ("secretId=a" + "&" * MAX_FIELDS, "too many parameters"),
    ],
)
def test_mistakes(query, message):
    """The first mistake from the left is told, then a missing id, then a bad role."""
    assert refusal(secret_query, query) == (400, message, "")


@pytest.mark.parametrize(
    "role_arn",
    [
        "arn:aws:iam::123456789012:role/app",
        "arn:aws-cn:iam::123456789012:role/team/app",
        "arn:aws-us-gov:iam::000000000000:role/A+=,.@-_/b",
    ],
)
def test_roles(role_arn):
    """Roles of any partition and path are taken, when plus signs are escaped."""
    assert secret_query(f"secretId=a&roleArn={role_arn.replace('+', '%2B')}").role_arn == role_arn


@pytest.mark.parametrize(
    "role_arn",
    [
        "",
        "arn:aws:iam::12345678901:role/app",
        "arn:aws:iam::1234567890123:role/app",
        "arn:aws:iam::12345678901a:role/app",
        "arn:aws:iam::١٢٣٤٥٦٧٨٩٠١٢:role/app",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:role/é",
        "arn:aws:iam::123456789012:user/app",
        "arn:aws:sts::123456789012:assumed-role/app/me",
        "arn:aws:iam:us-east-1:123456789012:role/app",
        "arn::iam::123456789012:role/app",
        "arn:aws:iam::123456789012:role/a+b",
        "arn:aws:iam::123456789012:role/app%0A",
        "arn:aws:iam::123456789012:role/a%22b",
        "arn:aws:iam::123456789012:role/a%5Cb",
        "%20arn:aws:iam::123456789012:role/app",
    ],
)
def test_no_roles(role_arn):
    """What is no role's ARN to the last character is refused, so is a plus sign that became a blank."""
    assert refusal(secret_query, f"secretId=a&roleArn={role_arn}") == (400, BAD_ROLE, "")


@pytest.mark.parametrize(
    ("path", "query", "prefix", "asked"),
    [
        ("/v1/app/db", "", "/v1/", SecretQuery("app/db")),
        ("/v1/app%2Fdb", "", "/v1/", SecretQuery("app%2Fdb")),
        ("/v1//app/db", "", "/v1/", SecretQuery("/app/db")),
        ("/v1/a/../app/db", "", "/v1/", SecretQuery("app/db")),
        ("/other/app/db", "", "/other", SecretQuery("/app/db")),
        ("/otherapp/db", "", "/other", SecretQuery("app/db")),
        ("/app/db", "", "/", SecretQuery("app/db")),
        (
            "/v1/a",
            f"versionId=A&versionStage=B&refreshNow=true&roleArn={ROLE}&rejected=V1&jsonKey=k",
            "/v1/",
            SecretQuery("a", "A", "B", ROLE, refresh_now=True, rejected="V1", json_key="k"),
        ),
    ],
)
def test_path(path, query, prefix, asked):
    """A path names a secret, its query says the rest."""
    assert secret_path(path, query, prefix) == asked


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("/v1/", "", "missing secret ID"),
        ("/v1/", "versionStage=X", "missing secret ID"),
        ("/v1/", "bad=1", "missing secret ID"),
        ("/v1/.", "", "missing secret ID"),
        ("/v1/../x", "", "missing secret ID"),
        ("/v1/app/db", "secretId=x", "unknown parameter: secretId"),
        ("/v1/app/db", "refreshNow=bad", "invalid refreshNow value"),
        ("/v1/app/db", "roleArn=bad", BAD_ROLE),
    ],
)
def test_path_mistakes(path, query, message):
    """A missing id goes before the mistakes of the query; the id stands in the path only."""
    assert refusal(secret_path, path, query, "/v1/") == (400, message, "")


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("name=%2Fa%2Fb", ParameterQuery("/a/b")),
        ("name=/dev/db/url", ParameterQuery("/dev/db/url")),
        ("name=a&version=2", ParameterQuery("a", "2")),
        ("name=a&label=Dev", ParameterQuery("a", "Dev")),
        ("version=2&name=a&label=Dev", ParameterQuery("a", "2")),
        ("label=Dev&name=a&version=2", ParameterQuery("a", "Dev")),
        ("name=a&version=&label=Dev", ParameterQuery("a", "Dev")),
        ("name=a&version=", ParameterQuery("a")),
        ("name=a&version=1&version=2", ParameterQuery("a", "1")),
        ("name=a&withDecryption=true", ParameterQuery("a", with_decryption=True)),
        ("name=a&withDecryption=TRUE", ParameterQuery("a", with_decryption=True)),
        ("name=a&withDecryption=1", ParameterQuery("a", with_decryption=True)),
        ("name=a&withDecryption=False", ParameterQuery("a")),
        ("name=a&withDecryption=0", ParameterQuery("a")),
        (
            f"name=a&refreshNow=1&jsonKey=k.0&roleArn={ROLE}",
            ParameterQuery("a", role_arn=ROLE, refresh_now=True, json_key="k.0"),
        ),
    ],
)
def test_parameter(query, asked):
    """A parameter is asked for by name; the first of version and label in the URL decides."""
    assert parameter_query(query) == asked


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "missing parameter name"),
        ("name=", "missing parameter name"),
        ("version=2", "missing parameter name"),
        ("roleArn=bad", "missing parameter name"),
        ("withDecryption=yes", "invalid withDecryption value"),
        ("name=a&withDecryption=", "invalid withDecryption value"),
        ("name=a&refreshNow=", "invalid refreshNow value"),
        ("name=a&secretId=b", "unknown parameter: secretId"),
        ("name=a&rejected=b", "unknown parameter: rejected"),
        ("name=a&roleArn=bad", BAD_ROLE),
        ("&" * MAX_FIELDS, "too many parameters"),
    ],
)
def test_parameter_mistakes(query, message):
    """Mistakes are told as for secrets."""
    assert refusal(parameter_query, query) == (400, message, "")


@pytest.mark.parametrize(
    ("query", "forgotten"),
    [
        ("secretId=app%2Fdb", ("app/db", None)),
        ("secretId=*", ("*", None)),
        (f"roleArn={ROLE}&secretId=a", ("a", ROLE)),
    ],
)
def test_invalidation(query, forgotten):
    """What is to be forgotten is named by id, and by role."""
    assert invalidation(query) == forgotten


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "missing parameter secretId"),
        ("secretId=", "missing parameter secretId"),
        ("secretId=a&versionId=b", "unknown parameter: versionId"),
        ("secretId=a&roleArn=bad", BAD_ROLE),
    ],
)
def test_invalidation_mistakes(query, message):
    """Mistakes are told as for secrets."""
    assert refusal(invalidation, query) == (400, message, "")


def told(items):
    """What a batch made of its items, mistakes as tuples."""
    return [
        (secret_id, (asked.status, asked.message, asked.code) if isinstance(asked, HttpError) else asked)
        for secret_id, asked in items
    ]


def mistake(message):
    return 400, message, "InvalidParameterException"


@pytest.mark.parametrize("name", ["secrets", "secretIds"])
def test_batch(name):
    """A batch lists ids, and objects where more is to be said."""
    body = json.dumps(
        {
            name: [
                "app/db",
                "app/db",
                {"secretId": "a"},
                {"secretId": "a", "versionId": "", "versionStage": "B", "roleArn": ROLE, "refreshNow": True},
                {"secretId": "a", "versionId": None, "roleArn": None, "refreshNow": False},
                {"secretId": "a", "refreshNow": "TRUE"},
                "\0é",
            ]
        }
    )
    assert told(batch(body.encode())) == [
        ("app/db", SecretQuery("app/db")),
        ("app/db", SecretQuery("app/db")),
        ("a", SecretQuery("a")),
        ("a", SecretQuery("a", "", "B", ROLE, refresh_now=True)),
        ("a", SecretQuery("a")),
        ("a", SecretQuery("a", refresh_now=True)),
        ("\0é", SecretQuery("\0é")),
    ]


@pytest.mark.parametrize(
    ("item", "secret_id", "message"),
    [
        ("", "", "missing parameter secretId"),
        ({}, None, "missing parameter secretId"),
        ({"secretId": ""}, "", "missing parameter secretId"),
        ({"secretId": None}, None, "missing parameter secretId"),
        ({"secretId": 1}, None, "invalid secretId value"),
        ({"secretId": True}, None, "invalid secretId value"),
        ({"secretId": "a", "versionId": 1}, "a", "invalid versionId value"),
        ({"secretId": "a", "versionStage": ["B"]}, "a", "invalid versionStage value"),
        ({"secretId": "a", "refreshNow": 1}, "a", "invalid refreshNow value"),
        ({"secretId": "a", "refreshNow": "yes"}, "a", "invalid refreshNow value"),
        ({"secretId": "a", "roleArn": "bad"}, "a", BAD_ROLE),
        ({"secretId": "a", "jsonKey": "k"}, "a", "unknown parameter: jsonKey"),
        ({"secretId": "a", "x": None}, "a", "unknown parameter: x"),
        ({"versionId": 1, "x": 1}, None, "invalid versionId value"),
        ({"secretId": "a", "\ud800": 1}, "a", "unknown parameter: \ufffd"),
        ("\ud800", "\ufffd", "invalid secretId value"),
        ({"secretId": "a", "versionId": "\udfff"}, "a", "invalid versionId value"),
        (None, None, "an item must be a secret id or an object"),
        (1, None, "an item must be a secret id or an object"),
        (["a"], None, "an item must be a secret id or an object"),
    ],
)
def test_batch_item_mistakes(item, secret_id, message):
    """A mistake in one item is told in its place, the others are read."""
    body = json.dumps({"secrets": ["before", item, "after"]}).encode()
    assert told(batch(body)) == [
        ("before", SecretQuery("before")),
        (secret_id, mistake(message)),
        ("after", SecretQuery("after")),
    ]


def test_empty_batch():
    """Nothing asked for is nothing answered."""
    assert batch(b'{"secrets":[]}') == []
    assert batch_body([]) == b'{"secrets":[]}'


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is not JSON"),
        (b"{", "the body is not JSON"),
        (b'{"secrets":["\xff"]}', "the body is not JSON"),
        (b"[" * 100_000, "the body is not JSON"),
        (b'{"secrets":' + b"9" * 5000 + b"}", "the body is not JSON"),
        (b"[]", 'the body must be an object with one member, "secrets"'),
        (b"null", 'the body must be an object with one member, "secrets"'),
        (b'"secrets"', 'the body must be an object with one member, "secrets"'),
        (b"{}", 'the body must be an object with one member, "secrets"'),
        (b'{"ids":[]}', 'the body must be an object with one member, "secrets"'),
        (b'{"secrets":[],"secretIds":[]}', 'the body must be an object with one member, "secrets"'),
        (b'{"secrets":"a"}', '"secrets" must be a list'),
        (b'{"secretIds":null}', '"secretIds" must be a list'),
        (
            json.dumps({"secrets": ["a"] * (MAX_BATCH_ITEMS + 1)}).encode(),
            '"secrets" must hold at most 100 items, not 101',
        ),
    ],
)
def test_batch_mistakes(body, message):
    """A batch that is not understood as a whole is refused as a whole."""
    assert refusal(batch, body) == mistake(message)


def test_full_batch():
    """As many items as are allowed are allowed."""
    body = json.dumps({"secrets": ["a"] * MAX_BATCH_ITEMS}).encode()
    assert batch(body) == [("a", SecretQuery("a"))] * MAX_BATCH_ITEMS


def test_batch_body():
    """Each item has its own status; a secret's JSON is taken as it is, mistakes are escaped."""
    results = [
        ("a", b'{"ARN":"x"}'),
        ("b", HttpError(400, 'not "b"', "ResourceNotFoundException")),
        ("é", HttpError(500, "", "InternalFailure")),
        (None, HttpError(403, "no")),
        ("\ud800", HttpError(400, "\ud800", "X")),
    ]
    assert batch_body(results).decode() == (
        '{"secrets":['
        '{"secretId":"a","status":200,"value":{"ARN":"x"}},'
        '{"secretId":"b","status":400,"error":{"__type":"ResourceNotFoundException","message":"not \\"b\\""}},'
        '{"secretId":"é","status":500,"error":{"__type":"InternalFailure"}},'
        '{"secretId":null,"status":403,"error":{"message":"no"}},'
        '{"secretId":"\ufffd","status":400,"error":{"__type":"X","message":"\ufffd"}}'
        "]}"
    )


PIECES = st.lists(
    st.sampled_from(["secretId", "name", "refreshNow", "roleArn", "version", "=", "&", "%", "+", "%C3", "true", ROLE])
    | st.text(st.characters(codec="utf-8"), max_size=5)
).map("".join)


@pytest.mark.parametrize(
    "read", [secret_query, parameter_query, invalidation, lambda query: secret_path("/v1/a", query, "/v1/")]
)
@given(query=PIECES)
def test_queries_never_fail_otherwise(read, query):
    """Whatever is sent, it is understood or it is a bad request."""
    try:
        status = read(query) and 200
    except HttpError as error:
        status = error.status
    assert status in {200, 400}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["secrets", "secretIds", "secretId", "versionId", "refreshNow"]), inner)
    ),
)


@given(
    st.binary()
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps({"secrets": [value]}).encode())
)
def test_batches_never_fail_otherwise(body):
    """Whatever is sent, each item is understood or has its mistake, and an answer can be written."""
    try:
        items = batch(body)
    except HttpError as error:
        items = [(None, error)]
    assert {(error.status, error.code) for _, error in items if isinstance(error, HttpError)} <= {
        (400, "InvalidParameterException")
    }
    results = [(secret_id, asked if isinstance(asked, HttpError) else b"{}") for secret_id, asked in items]
    assert [item["secretId"] for item in json.loads(batch_body(results))["secrets"]] == [item[0] for item in items]


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_id_can_be_sent(secret_id):
    """What a form encodes is what is asked for."""
    assert secret_query(urlencode({"secretId": secret_id})) == SecretQuery(secret_id)
