import json

import pytest

from fakes.signin import Request, Signin, visit
from strongroom import console
from strongroom.aws import client, signin
from strongroom.credentials import Credentials
from strongroom.errors import AwsError, AwsRefused, AwsUnreachable

HOST = "us-east-1.signin.aws.amazon.com"
URL = console.federation_endpoint("aws")
PATH = "/federation"


@pytest.fixture
def fake(cloud, tmp_path, monkeypatch):
    """The fake sign-in service, to which this process is led by its environment."""
    with Signin(cloud, tmp_path).serve() as serving:
        for name, value in serving.environ.items():
            monkeypatch.setenv(name, value)
        yield serving


@pytest.fixture
def role(cloud):
    """Credentials of a role."""
    made = cloud.issue("role", "arn:aws:sts::111111111111:assumed-role/admin/x", 3600)
    return Credentials(made.access_key_id, made.secret_access_key, made.session_token, int(made.expires_at))


def ask(fake, credentials, **more):
    pauses = []
    try:
        return signin.get_signin_token(URL, credentials, ca_bundle=fake.certificate, sleep=pauses.append, **more)
    finally:
        fake.pauses = pauses


def told(kind, fake, credentials, **more):
    with pytest.raises(AwsError) as caught:
        ask(fake, credentials, **more)
    assert type(caught.value) is kind
    shown = f"{caught.value.message} {caught.value.hint} {caught.value!r} {caught.value.__cause__}"
    for secret in (credentials.access_key_id, credentials.secret_access_key, credentials.session_token):
        assert secret not in shown
    return caught.value.message, caught.value.hint


def test_a_token(fake, role):
    """Credentials go in the body, through the proxy and past its certificate; the token signs a browser in."""
    token = ask(fake, role)
    assert fake.requests == [Request("POST", HOST, PATH, role.access_key_id)]
    assert fake.requests[0].query == ""
    assert fake.tunnels == [f"{HOST}:443"]
    page = console.destination("aws", "us-east-1")
    assert visit(console.login_url("aws", page, token), fake)[-1] == page
    assert [(seen.access_key_id, seen.issuer) for seen in fake.visits] == [(role.access_key_id, "strongroom")]


def test_a_duration(fake, role):
    """Is sent if it is asked for."""
    assert ask(fake, role, session_seconds=28_800)
    assert fake.requests == [Request("POST", HOST, PATH, role.access_key_id, "28800")]


def test_a_duration_that_aws_does_not_take(fake, role):
    """Is a refusal with what to do about it."""
    assert told(AwsRefused, fake, role, session_seconds=43_201) == (
        "getSigninToken was refused with HTTP status 400",
        "the role may not allow a session of 12h0m1s: ask for less with --duration",
    )


def test_credentials_that_aws_does_not_take(fake, cloud):
    """Those of a session cannot sign in."""
    made = cloud.issue("session", "arn:aws:iam::111111111111:user/jon", 3600)
    session = Credentials(made.access_key_id, made.secret_access_key, made.session_token)
    assert told(AwsRefused, fake, session) == (
        "getSigninToken was refused with HTTP status 400",
        "the credentials may have expired or been revoked: `strongroom clear` removes stored ones",
    )
    assert len(fake.requests) == 1


def test_a_limited_rate(fake, role):
    """Is said, and nothing is tried again."""
    fake.answer(429)
    assert told(AwsRefused, fake, role) == (
        "getSigninToken was refused with HTTP status 429",
        "AWS limits the rate of calls: try again in a moment",
    )


def test_a_redirect_is_not_followed(fake, role):
    """Or else the credentials would go to whoever is named there."""
    fake.answer(302)
    assert told(AwsRefused, fake, role)[0] == "getSigninToken was refused with HTTP status 302"
    assert len(fake.requests) == 1


def test_trouble_at_aws_that_passes(fake, role):
    """The request is sent again, twice at most, after a pause."""
    fake.answer(503, b"<html>", times=2)
    assert ask(fake, role)
    assert fake.pauses == [0.5, 1.0]
    assert len(fake.requests) == 3


def test_trouble_at_aws_that_stays(fake, role):
    """Is told as such."""
    fake.answer(500, times=3)
    assert told(AwsUnreachable, fake, role) == (
        "getSigninToken failed at AWS's side with HTTP status 500", "try again in a moment",
    )  # fmt: skip
    assert len(fake.requests) == 3


@pytest.mark.parametrize("body", [
    b"", b"{}", b"<html>Log in</html>", b"[]", b'"SigninToken"', b'{"SigninToken": ""}', b'{"SigninToken": null}',
    b'{"SigninToken": ["x"]}', b"\xff\xfe", b"[" * 100_000,
])  # fmt: skip
def test_an_answer_without_a_token(fake, role, body):
    """Is one message, which does not repeat the answer."""
    fake.answer(200, body)
    assert told(AwsUnreachable, fake, role) == (
        "getSigninToken was answered without a SigninToken",
        "check whether a proxy or a sign-in page stands in between",
    )


def test_no_answer(fake, role, monkeypatch):
    """A service that says nothing is given up after a while."""
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)
    fake.hang()
    message, hint = told(AwsUnreachable, fake, role)
    assert message == f'getSigninToken did not reach AWS: Read timeout on endpoint URL: "{URL}"'
    assert hint == "check the network, region and endpoint_url"


def test_a_certificate_that_nobody_trusts(fake, role):
    """Nothing is sent; where to name a company's certificate is said."""
    with pytest.raises(AwsUnreachable) as caught:
        signin.get_signin_token(URL, role)
    assert caught.value.hint == "if a proxy re-signs connections, name its certificate in AWS_CA_BUNDLE or ca_bundle"
    assert caught.value.message.startswith(f"getSigninToken did not reach AWS: SSL validation failed for {URL} ")
    assert fake.requests == []
    assert fake.tunnels


def test_certificates_that_are_not_there(fake, role):
    """Are named."""
    with pytest.raises(AwsError) as caught:
        signin.get_signin_token(URL, role, ca_bundle="/nowhere.pem")
    assert caught.value.message == "there are no certificates at '/nowhere.pem'"
    assert fake.tunnels == []


def test_a_proxy_that_is_not_there(role, monkeypatch):
    """Its password is not shown."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:1")
    with pytest.raises(AwsUnreachable) as caught:
        signin.get_signin_token(URL, role)
    assert caught.value.hint == "check HTTPS_PROXY"
    assert "hunter2" not in caught.value.message


def test_the_session_is_the_documented_one(fake, role, monkeypatch):
    """Three fields, as JSON; characters that forms trip over arrive as they are."""
    seen = {}
    monkeypatch.setattr(fake, "token_for", lambda fields: seen.update(fields) or (200, b'{"SigninToken": "t+/="}'))
    odd = Credentials("ASIA1", "a+b/c=&d %\u00e9", 't"\\')
    assert ask(fake, odd) == "t+/="
    assert json.loads(seen.pop("Session")) == {
        "sessionId": "ASIA1", "sessionKey": "a+b/c=&d %\u00e9", "sessionToken": 't"\\',
    }  # fmt: skip
    assert seen == {"Action": "getSigninToken"}
    assert role
