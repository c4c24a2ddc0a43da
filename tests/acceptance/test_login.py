"""The console: whose credentials, which address, which browser. The sign-in service is AWS's by its names."""

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from urllib.parse import parse_qs, urlsplit

import pytest

from fakes.cloud import Call
from fakes.signin import Request, Signin, visit
from fakes.sts import members
from harness.home import ACCOUNT, ADM, CODE, R1, R2, RO, M, key_id, kill_all
from strongroom import console

GST, AR, GCI, GFT = "GetSessionToken", "AssumeRole", "GetCallerIdentity", "GetFederationToken"
HOST = "us-east-1.signin.aws.amazon.com"
JON = key_id("jon")
EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


@pytest.fixture
def signin(c1, cloud, tmp_path, monkeypatch):
    """The fake sign-in service, to which this process and those that it starts are led."""
    directory = tmp_path / "signin"
    directory.mkdir()
    with Signin(cloud, directory).serve() as serving:
        for name, value in serving.environ.items():
            monkeypatch.setenv(name, value)
        c1.environ |= serving.environ
        yield serving


def page(result):
    """The page of the console behind a link that was printed, and nothing else was."""
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.endswith("\n")
    assert result.stdout.count("\n") == 1
    return parse_qs(urlsplit(result.stdout).query)["Destination"][0]


def nothing_secret(cloud, signin, *texts):
    """No secret that was ever handed out stands in these texts."""
    text = "".join(texts)
    for key in cloud.keys.values():
        for secret in (key.secret_access_key, key.session_token):
            assert not secret or secret not in text
    for token in signin.tokens:
        assert token not in text
        assert token[:40] not in text
    assert "SigninToken=" not in text


# The link


def test_the_link_of_a_role(c1, cloud, signin):
    """A role's credentials are used as they are; the link signs in, and leads to the console of the region."""
    result = c1.call("login", "admin", "-s", "-t", CODE)
    assert (result.status, result.stderr) == (0, "")
    token = next(iter(signin.tokens))
    assert result.stdout == console.login_url(
        "aws", "https://us-east-1.console.aws.amazon.com/console/home?region=us-east-1", token
    ) + "\n"  # fmt: skip
    assert result.stdout.startswith(
        f"https://{HOST}/federation?Action=login&Issuer=strongroom&Destination=https%3A%2F%2F"
    )
    assert cloud.calls == [Call(GST, 28800, M), Call(AR, 3600, signer="session", role=ADM)]
    (role,) = [key for key in cloud.keys.values() if key.kind == "role"]
    assert signin.requests == [Request("POST", HOST, "/federation", role.access_key_id)]
    assert visit(result.stdout.strip(), signin)[-1] == page(result)
    assert [seen.access_key_id for seen in signin.visits] == [role.access_key_id]


@pytest.mark.parametrize(("region", "host", "domain"), [
    ("cn-north-1", "signin.amazonaws.cn", "console.amazonaws.cn"),
    ("us-gov-west-1", "signin.amazonaws-us-gov.com", "console.amazonaws-us-gov.com"),
    ("eusc-de-east-1", "signin.amazonaws-eusc.eu", "console.amazonaws-eusc.eu"),
    ("us-iso-east-1", "signin.c2shome.ic.gov", "console.c2shome.ic.gov"),
    ("eu-west-1", HOST, "console.aws.amazon.com"),
])  # fmt: skip
def test_each_partition(c1, signin, region, host, domain):
    """Has its own places for the token, the link and the page."""
    result = c1.call("login", "ro", "-s", "--region", region)
    assert page(result) == f"https://{region}.{domain}/console/home?region={region}"
    assert [request.host for request in signin.requests] == [host]
    assert urlsplit(result.stdout).netloc == host


def test_a_path(c1, signin):
    """Where to land; heeded without a region too."""
    east = "https://us-east-1.console.aws.amazon.com"
    assert page(c1.call("login", "ro", "-s", "--path", "s3/buckets")) == f"{east}/s3/buckets?region=us-east-1"
    copied = "https://eu-west-1.console.aws.amazon.com/ec2/home?region=eu-west-1#Instances:"
    assert page(c1.call("login", "ro", "-s", "--path", copied)) == copied
    without_region(c1)
    assert page(c1.call("login", "ro", "-s", "--path", "/s3/buckets")) == "https://console.aws.amazon.com/s3/buckets"
    assert page(c1.call("login", "ro", "-s")) == "https://console.aws.amazon.com/"


def without_region(home):
    home.write_config(home.config.read_text().replace("region = us-east-1\n", ""))


def test_a_partition_without_a_region(c1, cloud, signin):
    """Is the one that the role's ARN names."""
    without_region(c1)
    arn = f"arn:aws-cn:iam::{ACCOUNT}:role/x"
    cloud.role(arn)
    c1.write_config(c1.config.read_text() + f"[profile cn]\nsource_profile = jon\nrole_arn = {arn}\n"
                    "[profile alias]\nsource_profile = cn\n")  # fmt: skip
    for name in ("cn", "alias"):
        assert page(c1.call("login", name, "-s", "-t", CODE)) == "https://console.amazonaws.cn/"
    assert {request.host for request in signin.requests} == {"signin.amazonaws.cn"}


def test_a_service(c1, signin):
    """A word for a page."""
    east = "https://us-east-1.console.aws.amazon.com"
    assert page(c1.call("login", "ro", "s3", "-s")) == f"{east}/s3/buckets?region=us-east-1"
    logs = page(c1.call("login", "-s", "ro", "logs", "--region", "eu-west-1"))
    assert logs == "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups"
    assert page(c1.call("login", "ro", "mgn/home", "-s")) == f"{east}/mgn/home?region=us-east-1"


@pytest.mark.parametrize(("words", "message"), [
    (["ro", "lamda"], "unknown service 'lamda', try --help\nstrongroom: hint: did you mean 'lambda'?\n"),
    (["ro", "s3", "--path", "x"], "Can't use --path with a service"),
    (["ro", "--path", "https://evil.example/"],
     "'https://evil.example/' is no address of the console at console.aws.amazon.com"),
    (["ro", "--region", "evil.example/"], "'evil.example/' cannot be a region"),
    (["ro", "s3", "x"], "unexpected 'x'"),
    (["ro", "--policy", "/nowhere.json"], "--policy: cannot read '/nowhere.json': no such file or directory"),
    (["corp", "--policy", "arn:aws:iam::aws:policy/ReadOnlyAccess"],
     "--policy: profile 'corp' leads to a role of IAM Identity Center, which takes none"),
])  # fmt: skip
def test_wrong_words(c1, cloud, signin, words, message):
    """Exit 2, before anybody is asked anything."""
    with c1.config.open("a") as file:
        file.write("[profile corp]\nsso_start_url = https://corp.example/start\nsso_region = us-east-1\n")
    result = c1.call("login", "-s", *words)
    assert (result.status, result.stdout) == (2, "")
    assert message in result.stderr
    assert (cloud.calls, signin.requests) == ([], [])


def test_signing_out_first(c1, signin):
    """The link leads by way of the partition's own sign-out; what is inside of it is escaped twice, and works."""
    for region, host in (("us-east-1", HOST), ("cn-north-1", "signin.amazonaws.cn")):
        result = c1.call("login", "ro", "-s", "-a", "--region", region)
        assert (result.status, result.stderr) == (0, "")
        assert result.stdout.startswith(
            f"https://{host}/oauth?Action=logout&redirect_uri=https%3A%2F%2F{host}%2Ffederation"
        )
        assert "SigninToken%3D" in result.stdout
        way = visit(result.stdout.strip(), signin)
        assert urlsplit(way[-1]).netloc.startswith(f"{region}.console.")
    assert signin.logouts == 2
    assert len(signin.visits) == 2
    env = {"AWS_VAULT_AUTO_LOGOUT": "1", "AWS_VAULT_STDOUT": "true"}
    assert "Action=logout" in c1.call("login", "ro", env=env).stdout
    assert "Action=logout" not in c1.call("login", "ro", "--no-auto-logout", env=env).stdout


# Whose credentials


def test_a_user(c1, cloud, signin):
    """A key is exchanged for a session that may do what its user may. Who that is, GetCallerIdentity says already;
    aws-vault asks GetUser, which many users may not. Never GetSessionToken."""
    assert page(c1.call("login", "jon", "-s"))
    assert cloud.calls == [Call(GCI), Call(GFT, 3600)]
    assert cloud.calls[1].parameters["Name"] == "jon"
    assert json.loads(cloud.calls[1].policy) == EVERYTHING
    assert [call.access_key_id for call in cloud.calls] == [JON, JON]
    (federated,) = [key for key in cloud.keys.values() if key.kind == "federated"]
    assert signin.requests == [Request("POST", HOST, "/federation", federated.access_key_id)]
    assert c1.sessions() == []
    assert c1.call("login", "-ns", "jon").status == 0
    # Nobody gets to see the key: what forbids that does not forbid this.
    assert c1.call("login", "-ns", "jon", env={"STRONGROOM_FORBID_LONG_TERM_OUTPUT": "true"}).status == 0


@pytest.mark.parametrize(("user", "name"), [
    ("j" * 40, "j" * 32), ("team/admins/jo.e+x=y@z", "jo.e+x=y@z"), ("x", "x-"),
])  # fmt: skip
def test_the_name_of_a_user(c1, cloud, signin, user, name):
    """Is cut to what AWS takes; its path is no part of it."""
    cloud.key(JON, "secret+of/jon", user=user)
    assert c1.call("login", "jon", "-s").status == 0
    assert cloud.calls[-1].parameters["Name"] == name


def test_a_user_who_may_not_ask_who_it_is(c1, cloud, signin):
    """Needs no right for it. (aws-vault fails.)"""
    cloud.fail("GetUser", times=9)
    assert c1.call("login", "jon", "-s").status == 0
    assert cloud.actions == [GCI, GFT]


def test_the_root_user(c1, cloud, signin):
    """Has a name too, and an hour at most."""
    key = cloud.key(JON, "secret+of/jon")
    cloud.keys[JON] = type(key)(JON, "secret+of/jon", f"arn:aws:iam::{ACCOUNT}:root")
    assert c1.call("login", "jon", "-s").status == 0
    assert cloud.calls[-1].parameters["Name"] == "root"


def test_an_alias_of_a_user(c1, cloud, signin):
    """Leads to the key itself, whatever its devices: a session could not sign in. (aws-vault tries it.)"""
    c1.write_config(c1.config.read_text() + f"[profile alias]\nsource_profile = jon\nmfa_serial = {M}\n"
                    f"[profile over]\nsource_profile = alias\nmfa_serial = {M}\n")  # fmt: skip
    for name in ("alias", "over"):
        assert c1.call("login", name, "-s").status == 0
        assert cloud.calls == [Call(GCI), Call(GFT, 3600)]
        cloud.calls.clear()
    assert c1.sessions() == []


def test_an_alias_of_a_role(c1, cloud, signin):
    """Leads to the role."""
    c1.write_config(c1.config.read_text() + "[profile alias]\nsource_profile = ro\n")
    assert c1.call("login", "alias", "-s").status == 0
    assert cloud.calls == [Call(AR, 3600, role=RO)]


def test_a_chain_of_roles(c1, cloud, signin):
    """The source's session is shared as in other commands, and kept."""
    assert c1.call("login", "r2", "-s", "-t", CODE).status == 0
    assert cloud.calls == [
        Call(GST, 28800, M), Call(AR, 3600, signer="session", role=R1), Call(AR, 3600, signer="role", role=R2),
    ]  # fmt: skip
    assert c1.call("login", "r2", "-s").status == 0
    assert len(cloud.calls) == 3
    assert c1.call("login", "r2", "-s", "-n", "-t", CODE).status == 0


def test_a_process_that_brings_a_roles_credentials(c1, cloud, signin):
    """Whose they are is asked, and then they are used as they are."""
    made = cloud.issue("role", f"arn:aws:sts::{ACCOUNT}:assumed-role/x/y", 3600)
    process(c1, made)
    assert c1.call("login", "proc", "-s").status == 0
    assert cloud.calls == [Call(GCI, signer="role")]
    assert [request.key for request in signin.requests] == [made.access_key_id]
    result = c1.call("login", "proc", "-s", "--policy", "arn:aws:iam::aws:policy/X")
    assert result.status == 2
    assert f"these are credentials of arn:aws:sts::{ACCOUNT}:assumed-role/x/y" in result.stderr


def test_a_process_that_brings_a_users_session(c1, cloud, signin):
    """Cannot sign in; it is not tried, and what to do is said."""
    process(c1, cloud.issue("session", f"arn:aws:iam::{ACCOUNT}:user/jon", 3600))
    result = c1.call("login", "proc", "-s")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        f"strongroom: error: login: temporary credentials of arn:aws:iam::{ACCOUNT}:user/jon cannot sign in to the console\n"
        "strongroom: hint: AWS takes those of a role, or a user's own key: name a profile that has one\n"
    )
    assert cloud.actions == [GCI]
    assert signin.requests == []


def test_a_process_that_brings_a_users_key(c1, cloud, signin):
    """Is exchanged, like a stored one."""
    process(c1, cloud.keys[JON])
    assert c1.call("login", "proc", "-s").status == 0
    assert cloud.calls == [Call(GCI), Call(GFT, 3600)]


def process(home, key):
    """A profile "proc", whose program prints these credentials."""
    fields = {"Version": 1, "AccessKeyId": key.access_key_id, "SecretAccessKey": key.secret_access_key}
    if key.session_token:
        fields |= {"SessionToken": key.session_token, "Expiration": "2099-01-01T00:00:00Z"}
    script = home.work / "process.py"
    script.write_text(f"print({json.dumps(json.dumps(fields))})\n")
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(script))}"
    home.write_config(home.config.read_text() + f"[profile proc]\ncredential_process = {command}\n")


def test_a_web_identity(c1, cloud, signin):
    """Brings a role's credentials: nobody has to ask whose they are."""
    cloud.web_identities.add("ey.ey.ey")
    (c1.work / "token").write_text("ey.ey.ey\n")
    c1.write_config(c1.config.read_text() + f"[profile web]\nrole_arn = {RO}\n"
                    f"web_identity_token_file = {c1.work / 'token'}\n")  # fmt: skip
    assert page(c1.call("login", "web", "-s"))
    assert cloud.actions == ["AssumeRoleWithWebIdentity"]
    assert c1.call("login", "web", "-s", "-d", "2h").status == 0
    assert [request.duration for request in signin.requests] == ["", "7200"]


def test_a_profile_that_the_environment_names(c1, cloud, signin):
    """AWS_PROFILE, before credentials in the environment; a word comes before both."""
    env = {"AWS_PROFILE": "jon", "AWS_ACCESS_KEY_ID": "AKIAOTHER", "AWS_SECRET_ACCESS_KEY": "x"}
    assert c1.call("login", "-s", env=env).status == 0
    assert cloud.calls == [Call(GCI), Call(GFT, 3600)]
    assert c1.call("login", "ro", "-s", env=env).status == 0
    assert cloud.actions[2:] == [AR]


@pytest.mark.parametrize(
    "names", [("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), ("AWS_ACCESS_KEY", "AWS_SECRET_KEY")]
)
def test_credentials_in_the_environment(c1, cloud, signin, names):
    """Are used if no profile is named; region and address are those of [default] and variables."""
    env = dict(zip(names, (JON, "secret+of/jon"), strict=True))
    assert page(c1.call("login", "-s", env=env)).endswith("region=us-east-1")
    assert cloud.calls == [Call(GCI), Call(GFT, 3600)]
    result = c1.call("login", "-s", env=env | {"AWS_REGION": "eu-west-1", "AWS_FEDERATION_TOKEN_TTL": "2h"})
    assert page(result).endswith("region=eu-west-1")
    assert cloud.calls[3] == Call(GFT, 7200)


def test_a_roles_credentials_in_the_environment(c1, cloud, signin):
    """Inside of a command that a vault runs, its console is meant. It is not refused there, nor under aws-vault."""
    made = cloud.issue("role", f"arn:aws:sts::{ACCOUNT}:assumed-role/x/y", 3600)
    env = {"AWS_ACCESS_KEY_ID": made.access_key_id, "AWS_SECRET_ACCESS_KEY": made.secret_access_key,
           "AWS_SESSION_TOKEN": made.session_token, "AWS_VAULT": "x"}  # fmt: skip
    assert c1.call("login", "-s", env=env).status == 0
    assert cloud.calls == [Call(GCI, signer="role")]
    assert c1.call("login", "ro", "-s", env=env).status == 0


def test_inside_of_our_own_command(c1, cloud, signin):
    """`login` without a profile is about what the command was given, region and all; with one it is about that."""
    inside = c1.call("exec", "ro", "--region", "eu-west-1", "--", "x").environ
    cloud.calls.clear()
    inside |= signin.environ | {name: c1.environ[name] for name in c1.environ if name.startswith("AWS_VAULT_")}
    assert page(c1.call("login", "-s", env=inside)).endswith("region=eu-west-1")
    assert cloud.actions == [GCI]
    assert page(c1.call("login", "ro", "-s", env=inside)).endswith("region=us-east-1")


def test_half_a_key_in_the_environment(c1, cloud, signin):
    """Is said."""
    result = c1.call("login", "-s", env={"AWS_ACCESS_KEY_ID": JON})
    assert result.status == 1
    assert "AWS_SECRET_ACCESS_KEY is not set, and the rest of a key is" in result.stderr
    assert cloud.calls == []


def test_nobody(c1, cloud, signin):
    """Without a profile and credentials there is an error, with what to do."""
    result = c1.call("login", "-s")
    assert (result.status, result.stdout) == (2, "")
    assert "argument 'profile' not provided, nor any AWS env vars found" in result.stderr
    result = c1.call("login", "nosuch", "-s")
    assert result.status == 1
    assert "profile 'nosuch' not found" in result.stderr
    assert cloud.calls == []


# For how long, and what for


def test_a_duration(c1, cloud, signin):
    """Of a user: the federation's. Of a role: its own, and that of the console's session."""
    assert c1.call("login", "jon", "-s", "-d", "2h").status == 0
    assert cloud.calls == [Call(GCI), Call(GFT, 7200)]
    assert signin.requests[-1].duration == ""
    assert c1.call("login", "jon", "-s", env={"AWS_VAULT_DURATION": "1d"}).status == 0
    assert cloud.calls[-1] == Call(GFT, 86_400)
    assert c1.call("login", "ro", "-s", "-d", "8h").status == 0
    assert cloud.calls[-1] == Call(AR, 28_800, role=RO)
    assert signin.requests[-1].duration == "28800"
    assert c1.call("login", "ro", "-s").status == 0
    assert signin.requests[-1].duration == ""


def test_a_duration_in_a_chain(c1, cloud, signin):
    """Is not sent: AWS refuses it for a role that a role assumed. That it is cut to an hour is said."""
    result = c1.call("login", "r2", "-s", "-t", CODE, "-d", "2h")
    assert result.status == 0
    assert "AWS gives such a session an hour at most, not 2h0m0s" in result.stderr
    assert signin.requests[-1].duration == ""


def test_a_duration_that_the_console_does_not_take(c1, cloud, signin):
    """Is left out, and that is said: a shorter session is better than none."""
    signin.takes_durations = False
    result = c1.call("login", "ro", "-s", "-d", "2h")
    assert result.status == 0
    assert [request.duration for request in signin.requests] == ["7200", ""]
    assert result.stderr == (
        "strongroom: warning: AWS does not take 2h0m0s for this role's session of the console: "
        "it ends with its credentials\n"
    )
    assert visit(result.stdout.strip(), signin)


def test_a_duration_that_aws_does_not_take(c1, cloud, signin):
    """Is refused before AWS is asked."""
    result = c1.call("login", "jon", "-s", "-d", "2d")
    assert result.status == 1
    assert "48h0m0s is not within AWS's 15m0s to 36h0m0s" in result.stderr
    assert cloud.calls == []


def test_a_policy(c1, cloud, signin):
    """A file or an ARN takes the place of the policy that allows everything."""
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
    (c1.work / "policy.json").write_text("\ufeff" + json.dumps(policy, indent=4))
    assert c1.call("login", "jon", "-s", "--policy", str(c1.work / "policy.json")).status == 0
    assert json.loads(cloud.calls[-1].policy) == policy
    assert " " not in cloud.calls[-1].policy
    assert c1.call("login", "jon", "-s", "--policy", "arn:aws:iam::aws:policy/ReadOnlyAccess").status == 0
    assert cloud.calls[-1].policy is None
    assert cloud.calls[-1].parameters["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/ReadOnlyAccess"


def test_a_policy_of_a_role(c1, cloud, signin):
    """It narrows a session of its own, which nobody else gets."""
    arn = "arn:aws:iam::aws:policy/ReadOnlyAccess"
    (c1.work / "policy.json").write_text('{"Statement": []}'.replace("[]", '[{"Effect": "Deny"}]'))
    for word, policy, arns in (
        (str(c1.work / "policy.json"), '{"Statement":[{"Effect":"Deny"}]}', []),
        (arn, None, [arn]),
    ):
        result = c1.call("login", "ro", "-s", "--policy", word)
        assert (result.status, result.stderr) == (0, "")
        assert (cloud.calls[-1].policy, members(cloud.calls[-1].parameters, "PolicyArns", ".arn")) == (policy, arns)
    assert c1.sessions() == []


@pytest.mark.parametrize(("text", "message"), [
    ("{", "is no JSON"), ("[]", "is no policy: it has no Statement"), ("{}", "is no policy: it has no Statement"),
    ("\udcff", "is no JSON"),
    ('{"Statement": [{"Effect": "Allow", "Effect": "Deny"}]}', "is no policy: 'Effect' is there twice"),
])  # fmt: skip
def test_a_file_that_is_no_policy(c1, cloud, signin, text, message):
    """Is refused before anything is done."""
    (c1.work / "policy.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    result = c1.call("login", "jon", "-s", "--policy", str(c1.work / "policy.json"))
    assert result.status == 2
    assert message in result.stderr
    result = c1.call("login", "jon", "-s", "--policy", RO)
    assert result.status == 2
    assert f"--policy: {RO!r} is not the ARN of a managed policy" in result.stderr
    assert cloud.calls == []


# What goes wrong


@pytest.mark.parametrize(("status", "body", "message"), [
    (400, b"<html>", "getSigninToken was refused with HTTP status 400"),
    (200, b"{}", "getSigninToken was answered without a SigninToken"),
    (200, b"\xff<html>", "getSigninToken was answered without a SigninToken"),
    (302, b"", "getSigninToken was refused with HTTP status 302"),
])  # fmt: skip
@pytest.mark.parametrize("profile", ["ro", "jon"])
def test_answers_that_are_none(c1, cloud, signin, profile, status, body, message):
    """One message, exit 1, and no secret; not with --debug either."""
    signin.answer(status, body, times=2)
    for flags in ([], ["--debug"]):
        result = c1.call("login", profile, "-s", *flags)
        assert (result.status, result.stdout) == (1, "")
        assert message in result.stderr
        nothing_secret(cloud, signin, result.stderr)


def test_no_connection(c1, cloud, signin):
    """As a real process: what did not work is said, without the request."""
    for env in ({"AWS_CA_BUNDLE": None}, {"HTTPS_PROXY": "http://u:sesame@127.0.0.1:1", "https_proxy": None}):
        result = c1.run("login", "ro", "-s", "--debug", env=env)
        assert (result.status, result.stdout) == (1, "")
        assert "getSigninToken did not reach AWS" in result.stderr
        assert "sesame" not in result.stderr
        nothing_secret(cloud, signin, result.stderr)
    assert signin.requests == []


def test_debug_tells_no_secret(c1, cloud, signin):
    """What is said on stderr is nobody's way in."""
    result = c1.run("login", "jon", "-s", "--debug")
    assert result.status == 0
    assert f"these are credentials of arn:aws:iam::{ACCOUNT}:user/jon" in result.stderr
    nothing_secret(cloud, signin, result.stderr)


@pytest.mark.parametrize("action", [GCI, GFT])
def test_a_refusal_by_aws(c1, cloud, signin, action):
    """Is told; nothing goes on."""
    cloud.fail(action, message="User: x is not authorized")
    result = c1.call("login", "jon", "-s")
    assert (result.status, result.stdout) == (1, "")
    assert f"sts {action} was refused (AccessDenied): User: x is not authorized" in result.stderr
    assert signin.requests == []


# The browser, as a real process

posix = pytest.mark.skipif(sys.platform == "win32", reason="the program that stands for a browser is a shell script")

# Notes its own words and what everybody can read of all processes, and then follows the link.
BROWSER = """
import glob, json, os, sys, urllib.error, urllib.request
lines = []
for path in glob.glob("/proc/[0-9]*/cmdline") + glob.glob("/proc/[0-9]*/environ"):
    try:
        lines.append(open(path, errors="replace").read())
    except OSError:
        pass
class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args):
        return None
opener = urllib.request.build_opener(Stay, urllib.request.ProxyHandler({}))
try:
    opener.open(sys.argv[-1], timeout=30)
except urllib.error.HTTPError as answer:
    told = [sys.argv[2:], answer.headers["Location"], "".join(lines), dict(os.environ)]
with open(sys.argv[1], "w") as file:
    json.dump(told, file)
"""


@pytest.fixture
def browser(c1):
    """A command for $BROWSER, and what it notes: read from a pipe, once."""
    seen = c1.work / "seen"
    os.mkfifo(seen)
    script = c1.work / "browser.py"
    script.write_text(BROWSER)
    noted = []
    reader = threading.Thread(target=lambda: noted.append(json.loads(seen.read_text())), daemon=True)
    reader.start()

    def notes():
        reader.join(60)
        return noted[0]

    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {shlex.quote(str(seen))}", notes


@posix
def test_a_browser_is_signed_in(c1, cloud, signin, browser):
    """It gets a link of this machine, which leads to the sign-in, once; nobody can read the token anywhere."""
    command, notes = browser
    result = c1.run("login", "ro", "s3", "--debug", env={"BROWSER": f"sh -c '{command} \"$0\"'"})
    assert (result.status, result.stdout) == (0, "")
    words, location, lines, environ = notes()
    assert words[0].startswith("http://127.0.0.1:")
    assert len(words) == 1
    token = next(iter(signin.tokens))
    if lines:
        assert words[0] in lines
    nothing_secret(cloud, signin, lines, "".join(words), result.stderr, "".join(environ.values()))
    assert token not in lines
    assert "AWS_VAULT_FILE_PASSPHRASE" not in environ
    assert visit(location, signin)[-1] == "https://us-east-1.console.aws.amazon.com/s3/buckets?region=us-east-1"


@posix
@pytest.mark.parametrize("how", ["flag", "variable", "profile", "default"])
def test_a_browser_per_profile(c1, signin, browser, how):
    """A command with the profile's name in it, from the flag, the variable, the profile, or [default]."""
    command, notes = browser
    command += " -P {profile} {url}"
    env, flags = {"BROWSER": "false", "DISPLAY": ":0"}, []
    if how == "flag":
        flags = ["--browser", command]
        env["STRONGROOM_BROWSER"] = "false"
    elif how == "variable":
        env["STRONGROOM_BROWSER"] = command
    else:
        before = "[profile ro]\n" if how == "profile" else "[default]\n"
        c1.write_config(c1.config.read_text().replace(before, f"{before}browser = {command}\n"))
    result = c1.run("login", "ro", *flags, env=env)
    assert (result.status, result.stdout, result.stderr) == (0, "", "")
    words, location, *_ = notes()
    assert words[:2] == ["-P", "ro"]
    assert visit(location, signin)


@posix
def test_a_browser_that_fails(c1, cloud, signin):
    """What to do is told, and not the link."""
    result = c1.run("login", "ro", env={"BROWSER": "false"})
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        "strongroom: error: login: cannot open a browser: 'false' ended with exit status 1\n"
        "strongroom: hint: with --stdout the link is printed instead, to be opened by you\n"
    )
    nothing_secret(cloud, signin, result.stderr)


@posix
def test_no_browser(c1, cloud, signin):
    """Is found out before anybody is asked for anything."""
    result = c1.run("login", "admin", env={"BROWSER": None, "DISPLAY": None, "WAYLAND_DISPLAY": None})
    if sys.platform == "linux":
        assert (result.status, result.stdout) == (1, "")
        assert "there is no display here" in result.stderr
        assert "--stdout" in result.stderr
        assert cloud.calls == []
    result = c1.run("login", "admin", "--browser", "netscape")
    assert (result.status, result.stdout) == (1, "")
    assert "cannot open a browser: 'netscape' is not found" in result.stderr
    assert cloud.calls == []


@posix
def test_interrupted_while_waiting_for_the_browser(c1, signin, tmp_path):
    """Ctrl-C ends the waiting at once, and quietly."""
    started = c1.work / "started"
    os.mkfifo(started)
    env = {"BROWSER": f"sh -c 'echo x > {shlex.quote(str(started))}'"}
    with c1.popen("login", "ro", env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        try:
            started.read_text()
            running.send_signal(signal.SIGINT)
            stdout, stderr = running.communicate(timeout=60)
        finally:
            kill_all(running)
    assert (running.returncode, stdout, stderr) == (130, b"", b"")
