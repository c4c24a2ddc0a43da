"""The fake before independent clients: boto3, and the AWS CLI with its own refresh."""

import base64
import hashlib
import json
import os
import subprocess
import sys
import time
import urllib.parse
from pathlib import Path

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from fakes.browser import Browser
from fakes.identity_center import DEVICE_GRANT, START_URL, IdentityCenter

AWS = Path(sys.executable).with_name("aws")
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
CALLBACK = "http://127.0.0.1:{}/oauth/callback"


@pytest.fixture(scope="module")
def _server():
    with IdentityCenter().serve() as center:
        yield center


@pytest.fixture
def center(_server):
    _server.reset()
    _server.account("111111111111", "Admin", "ReadOnly", "Audit")
    yield _server
    _server.reset()


def client(center, service):
    config = Config(signature_version=UNSIGNED, retries={"total_max_attempts": 1})
    return boto3.client(service, region_name="eu-west-1", endpoint_url=center.url, config=config)


@pytest.fixture
def oidc(center):
    return client(center, "sso-oidc")


@pytest.fixture
def portal(center):
    return client(center, "sso")


def refusal(operation, **members):
    with pytest.raises(ClientError) as caught:
        operation(**members)
    answer = caught.value.response
    return answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]


def registered(oidc, **members):
    made = oidc.register_client(clientName="me", clientType="public", **members)
    return {"clientId": made["clientId"], "clientSecret": made["clientSecret"]}


def signed_in(oidc, center, **members):
    """The tokens of a human who has signed in with a code, and whose they are."""
    me = registered(oidc, **members)
    started = oidc.start_device_authorization(**me, startUrl=START_URL)
    Browser().open(started["verificationUriComplete"])
    return me, oidc.create_token(**me, grantType=DEVICE_GRANT, deviceCode=started["deviceCode"])


def with_code(oidc):
    return registered(oidc, scopes=["sso:account:access"], grantTypes=["authorization_code", "refresh_token"],
                      redirectUris=["http://127.0.0.1/oauth/callback"], issuerUrl=START_URL)  # fmt: skip


def authorize(center, me, **changes):
    query = {
        "response_type": "code", "client_id": me["clientId"], "redirect_uri": CALLBACK.format(1), "state": "s",
        "code_challenge_method": "S256", "code_challenge": CHALLENGE, "scopes": "sso:account:access",
    } | changes  # fmt: skip
    return f"{center.url}/authorize?{urllib.parse.urlencode(query)}"


def brought(center, me, click="allow", **changes):
    """What the browser brings back to the callback, which is not listened for here."""
    caught = []

    def edit(url):
        if "/oauth/callback" in url:
            caught.append(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)))
            return f"{center.url}/device"
        return url

    browser = Browser(click, edit)
    browser.open(authorize(center, me, **changes))
    return caught[0] if caught else browser.seen[-1][0]


def test_a_code_for_another_device(center, oidc, portal):
    """Pending until the human allows it; then it works once."""
    me = registered(oidc)
    started = oidc.start_device_authorization(**me, startUrl=START_URL)
    assert (started["interval"], started["expiresIn"]) == (1, 600)
    ask = {**me, "grantType": DEVICE_GRANT, "deviceCode": started["deviceCode"]}
    assert refusal(oidc.create_token, **ask) == (400, "AuthorizationPendingException")
    Browser().open(started["verificationUriComplete"])
    token = oidc.create_token(**ask)
    assert sorted(set(token) - {"ResponseMetadata"}) == ["accessToken", "expiresIn", "tokenType"]
    assert refusal(oidc.create_token, **ask) == (400, "InvalidGrantException")
    given = portal.get_role_credentials(roleName="Admin", accountId="111111111111", accessToken=token["accessToken"])
    assert center.keys[given["roleCredentials"]["accessKeyId"]].kind == "role"
    assert given["roleCredentials"]["expiration"] / 1000 == pytest.approx(time.time() + 3600, abs=60)
    assert center.visits == ["Device", "Decide"]


def test_a_code_that_is_declined_or_late(center, oidc):
    """Each in its own words; a poll that comes too soon is told so."""
    me = registered(oidc)
    started = oidc.start_device_authorization(**me, startUrl=START_URL)
    ask = {**me, "grantType": DEVICE_GRANT, "deviceCode": started["deviceCode"]}
    center.minds_polls = True
    assert refusal(oidc.create_token, **ask) == (400, "AuthorizationPendingException")
    assert refusal(oidc.create_token, **ask) == (400, "SlowDownException")
    Browser("deny").open(started["verificationUriComplete"])
    assert refusal(oidc.create_token, **ask) == (400, "AccessDeniedException")
    center.pass_time(600)
    assert refusal(oidc.create_token, **ask) == (400, "ExpiredTokenException")


def test_clients_are_checked(center, oidc):
    """Their name, kind, scopes, grants and redirections, their secret, and whether they have expired."""
    me = registered(oidc)
    start = oidc.start_device_authorization
    assert refusal(oidc.register_client, clientName="me", clientType="secret")[1] == "InvalidClientMetadataException"
    assert (
        refusal(oidc.register_client, clientName="me", clientType="public", scopes=["x"])[1] == "InvalidScopeException"
    )
    assert (
        refusal(oidc.register_client, clientName="me", clientType="public", grantTypes=["x"])[1]
        == "UnsupportedGrantTypeException"
    )
    code = {"clientName": "me", "clientType": "public", "grantTypes": ["authorization_code"]}
    assert (
        refusal(oidc.register_client, **code, redirectUris=["http://evil.example/"])[1] == "InvalidRedirectUriException"
    )
    assert (
        refusal(oidc.register_client, **code, redirectUris=["http://127.0.0.1/oauth/callback"])[1]
        == "InvalidRequestException"
    )
    assert refusal(start, **me, startUrl="https://other.example")[1] == "InvalidRequestException"
    assert refusal(start, clientId=me["clientId"], clientSecret="x", startUrl=START_URL) == (
        401,
        "InvalidClientException",
    )
    assert refusal(start, **with_code(oidc), startUrl=START_URL)[1] == "UnauthorizedClientException"
    center.pass_time(91 * 86_400)
    assert refusal(start, **me, startUrl=START_URL) == (401, "InvalidClientException")


def test_a_code_that_a_browser_brings(center, oidc):
    """It is good for who has the verifier, at the same address, once."""
    me = with_code(oidc)
    code = brought(center, me)
    assert code["state"] == "s"
    ask = {**me, "grantType": "authorization_code", "code": code["code"], "redirectUri": CALLBACK.format(1)}
    assert refusal(oidc.create_token, **ask, codeVerifier="w" * 43) == (400, "InvalidGrantException")
    wrong = ask | {"redirectUri": CALLBACK.format(2)}
    assert refusal(oidc.create_token, **wrong, codeVerifier=VERIFIER) == (400, "InvalidGrantException")
    assert oidc.create_token(**ask, codeVerifier=VERIFIER)["refreshToken"]
    assert refusal(oidc.create_token, **ask, codeVerifier=VERIFIER) == (400, "InvalidGrantException")


def test_what_the_page_of_a_sign_in_refuses(center, oidc):
    """The human may say no; a request without a digest, with a foreign address, client or scope is none."""
    me = with_code(oidc)
    assert brought(center, me, click="deny")["error"] == "access_denied"
    assert brought(center, me, code_challenge_method="plain") == 400
    assert brought(center, me, redirect_uri="http://evil.example/oauth/callback") == 400
    assert brought(center, me, scopes="codewhisperer:completions") == 400
    assert brought(center, {"clientId": "nobody"}) == 400


def test_refresh_tokens(center, oidc, portal):
    """They come with scopes only, work once, and one that is shown twice ends the session."""
    me, token = signed_in(oidc, center, scopes=["sso:account:access"])
    ask = {**me, "grantType": "refresh_token"}
    second = oidc.create_token(**ask, refreshToken=token["refreshToken"])
    assert portal.list_accounts(accessToken=second["accessToken"])["accountList"]
    assert refusal(oidc.create_token, **ask, refreshToken=token["refreshToken"]) == (400, "InvalidGrantException")
    assert refusal(oidc.create_token, **ask, refreshToken=second["refreshToken"]) == (400, "InvalidGrantException")
    assert refusal(portal.list_accounts, accessToken=second["accessToken"]) == (401, "UnauthorizedException")


def test_the_portal(center, oidc, portal):
    """Pages; no such role; tokens that are revoked or have expired; the end of a session; too many calls."""
    _, token = signed_in(oidc, center)
    access = {"accessToken": token["accessToken"]}
    center.account("222222222222", "Admin")
    center.account("333333333333", "Admin")
    pages = list(portal.get_paginator("list_accounts").paginate(**access))
    assert [[each["accountId"][0] for each in page["accountList"]] for page in pages] == [["1", "2"], ["3"]]
    roles = portal.get_paginator("list_account_roles").paginate(**access, accountId="111111111111")
    assert [each["roleName"] for page in roles for each in page["roleList"]] == ["Admin", "ReadOnly", "Audit"]
    assert refusal(portal.get_role_credentials, **access, accountId="1", roleName="Admin") == (
        403,
        "ForbiddenException",
    )
    assert refusal(portal.list_account_roles, **access, accountId="1") == (403, "ForbiddenException")
    center.throttle("ListAccounts", retry_after="3")
    assert refusal(portal.list_accounts, **access) == (429, "TooManyRequestsException")
    portal.logout(**access)
    assert refusal(portal.list_accounts, **access) == (401, "UnauthorizedException")
    _, token = signed_in(oidc, center)
    center.revoke_access()
    assert refusal(portal.list_accounts, accessToken=token["accessToken"]) == (401, "UnauthorizedException")
    _, token = signed_in(oidc, center)
    center.pass_time(28_800)
    assert refusal(portal.list_accounts, accessToken=token["accessToken"]) == (401, "UnauthorizedException")


def cached(home, center, me, token, expires_in=3600):
    """The files of someone who has signed in with the AWS CLI: its config, and its cache."""
    aws = home / ".aws"
    (aws / "sso/cache").mkdir(parents=True)
    (aws / "config").write_text(
        f"[profile p]\nsso_session = corp\nsso_account_id = 111111111111\nsso_role_name = Admin\nregion = eu-west-1\n"
        f"[sso-session corp]\nsso_start_url = {START_URL}\nsso_region = eu-west-1\n"
    )
    shown = lambda at: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))  # noqa: E731
    fields = {
        **me, "startUrl": START_URL, "region": "eu-west-1", "accessToken": token["accessToken"],
        "refreshToken": token["refreshToken"], "expiresAt": shown(time.time() + expires_in),
        "registrationExpiresAt": shown(time.time() + 86_400),
    }  # fmt: skip
    name = hashlib.sha1(b"corp").hexdigest()
    (aws / f"sso/cache/{name}.json").write_text(json.dumps(fields))
    return {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ} | {
        "HOME": str(home), "USERPROFILE": str(home), "AWS_ENDPOINT_URL": center.url, "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip


@pytest.mark.parametrize("expires_in", [3600, 60], ids=["kept", "about to expire"])
def test_the_aws_cli_works_against_it(center, oidc, tmp_path, expires_in):
    """With a token of ours in its cache it gets a role's credentials, which STS knows; it refreshes by itself."""
    me, token = signed_in(oidc, center, scopes=["sso:account:access"])
    environ = cached(tmp_path, center, me, token, expires_in)
    argv = [str(AWS), "--profile", "p", "sts", "get-caller-identity"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        json.loads(done.stdout)["Arn"]
        == "arn:aws:sts::111111111111:assumed-role/AWSReservedSSO_Admin_0123456789abcdef/jon"
    )
    refreshed = [asked.members["grantType"] for asked in center.asked if asked.operation == "CreateToken"][1:]
    assert refreshed == (["refresh_token"] if expires_in == 60 else [])


def test_the_aws_cli_signs_in(center, tmp_path):
    """Registers, starts, and gets a token with the calls that it has for it."""
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\ncli_follow_urlparam = false\n")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "AWS_ENDPOINT_URL": center.url,
               "AWS_DEFAULT_REGION": "eu-west-1", "AWS_EC2_METADATA_DISABLED": "true"}  # fmt: skip

    def aws(*words):
        argv = [str(AWS), "sso-oidc", "--no-sign-request", *words]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)

    made = aws("register-client", "--client-name", "me", "--client-type", "public", "--scopes", "sso:account:access")
    me = ["--client-id", made["clientId"], "--client-secret", made["clientSecret"]]
    started = aws("start-device-authorization", *me, "--start-url", START_URL)
    Browser().open(started["verificationUriComplete"])
    token = aws("create-token", *me, "--grant-type", DEVICE_GRANT, "--device-code", started["deviceCode"])
    assert token["refreshToken"].startswith("refresh-")
