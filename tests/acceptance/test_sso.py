"""Signing in to IAM Identity Center, as a user meets it: the program, a browser, a fake portal."""

import base64
import json
import shlex
import sys
import time

import pytest

import fakes.browser
from fakes.centers import center, center_server  # noqa: F401 - fixtures
from fakes.cloud import Call
from fakes.identity_center import START_URL
from fakes.signin import Signin
from harness import items
from harness.home import ACCOUNT, PASSPHRASE, RO, Result, shown_time
from strongroom.cli import signing_in

OTHER_URL = "https://other.example/start"
BROWSER = f"{shlex.quote(sys.executable)} {shlex.quote(fakes.browser.__file__)}"

CONFIG = f"""\
[default]
region = us-east-1
endpoint_url = {{url}}

[sso-session corp]
sso_start_url = {START_URL}
sso_region = eu-west-1

[profile dev]
sso_session = corp
sso_account_id = {ACCOUNT}
sso_role_name = Admin

[profile ops]
sso_session = corp
sso_account_id = {ACCOUNT}
sso_role_name = ReadOnly

[profile legacy]
sso_start_url = {START_URL}
sso_region = eu-west-1
sso_account_id = {ACCOUNT}
sso_role_name = Admin

[profile role]
source_profile = dev
role_arn = {RO}
"""

SIGN_IN = ["RegisterClient", "CreateToken"]
BY_DEVICE = ["RegisterClient", "StartDeviceAuthorization", "CreateToken"]
ROLE = ["GetRoleCredentials"]


@pytest.fixture
def desk(home, center):  # noqa: F811
    """A home with a display and a browser whose human allows everything."""
    center.role(RO)
    home.write_config(CONFIG.format(url=center.url))
    home.environ |= {"DISPLAY": ":7", "BROWSER": BROWSER}
    return home


@pytest.fixture
def remote(desk):
    """The same, over SSH: no browser of this machine is any use."""
    desk.environ |= {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"}
    return desk


@pytest.fixture
def human(monkeypatch):
    """Reads what is said while the program waits, follows the link on the *after*-th wait; no wait takes time."""

    class Human:
        def __init__(self):
            self.browser, self.after, self.waits, self.told = fakes.browser.Browser(), 1, [], []

    person = Human()
    tell = signing_in.SigningIn.tell

    def telling(self, message):
        person.told.append(message)
        tell(self, message)

    def sleep(_self, seconds):
        person.waits.append(seconds)
        if len(person.waits) == person.after:
            person.browser.open(person.told[-1].split("open ")[-1].split(" in any")[0].split("go to ")[-1])

    monkeypatch.setattr(signing_in.SigningIn, "tell", telling)
    monkeypatch.setattr(signing_in.SigningIn, "sleep", sleep)
    monkeypatch.setattr(signing_in.SigningIn, "why_unheard", lambda _self: "")
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", "/nonexistent/tty")
    return person


def key_of(result, stderr=""):
    assert (result.status, result.stderr) == (0, stderr)
    return result.json()["AccessKeyId"]


def exported(home, profile="dev", *words, stderr=""):
    return key_of(home.call("export", "--format=json", *words, profile), stderr)


OPENING = f"strongroom: opening a browser to sign in to {START_URL}\n"


def put_token(home, access_token, start_url=START_URL, *, left=3600):
    """An access token as aws-vault stores it."""
    token = {"AccessToken": access_token, "ExpiresIn": int(left), "IdToken": None, "RefreshToken": None,
             "TokenType": "Bearer", "ResultMetadata": {}}  # fmt: skip
    fields = {"Token": token, "Expiration": shown_time(int(time.time() + left))}
    name = f"oidc:{start_url}"
    items.write(str(home.keys), name, fields, PASSPHRASE, "aws-vault oidc token", "aws-vault oidc token")


# The first time.


def test_in_a_browser(desk, center):  # noqa: F811
    """An sso-session is signed in to with PKCE; the token lies where aws-vault looks for it, and so does the session."""
    access_key_id = exported(desk, stderr=OPENING)
    assert center.operations == [*SIGN_IN, *ROLE]
    assert center.visits == ["Authorize", "Decide"]
    assert center.asked[0].members["scopes"] == ["sso:account:access"]
    assert center.asked[2].members["account_id"] == ACCOUNT
    assert center.keys[access_key_id].arn.split("/")[1] == "AWSReservedSSO_Admin_0123456789abcdef"
    stored = desk.items()
    token = stored.pop(f"oidc:{START_URL}")
    assert set(token) == {"Token", "Expiration", "Strongroom"}
    assert token["Token"]["RefreshToken"] is None  # what renews it lies apart
    assert set(center.access) == {token["Token"]["AccessToken"]}
    [name] = stored
    assert name.startswith("sso.GetRoleCredentials,ZGV2,")
    assert desk.sessions() == [("GetRoleCredentials", "dev", START_URL)]


def test_warm(desk, center):  # noqa: F811
    """A good session costs no call; a good token one; another profile of the same session needs no browser."""
    first = exported(desk, stderr=OPENING)
    assert exported(desk) == first
    assert center.operations == [*SIGN_IN, *ROLE]
    exported(desk, "ops")
    assert center.operations == [*SIGN_IN, *ROLE, *ROLE]
    exported(desk, "legacy")  # the same start URL
    assert center.operations == [*SIGN_IN, *ROLE, *ROLE, *ROLE]
    assert center.visits == ["Authorize", "Decide"]


def test_from_any_device(remote, center, human):  # noqa: F811
    """Over SSH nothing is opened: the code and the link are said, and why; the server is asked when it wants to be."""
    human.after = 2
    result = remote.call("exec", "dev", "--", "env")
    assert result.status == 0
    assert result.stderr == (
        f"strongroom: to sign in to {START_URL}, open {center.url}/device?user_code=ABCD-0002 in any browser, and confirm "
        "only if it shows the code ABCD-0002 (this is a session over SSH)\n"
    )
    assert center.operations == [*BY_DEVICE, "CreateToken", "CreateToken", *ROLE]
    assert human.waits == [1, 1]


@pytest.mark.parametrize("flag", ["--stdout", "--no-browser"])
@pytest.mark.parametrize("words", [("export", "--format=json"), ("exec",)])
def test_a_flag_keeps_the_browser_shut(desk, center, human, words, flag):  # noqa: F811
    """Both commands, both words for it."""
    result = desk.call(*words, flag, "dev", *(["--", "true"] if words == ("exec",) else []))
    assert result.status == 0
    assert f"(--{flag[2:]} was given)" in result.stderr
    assert center.operations[:2] == BY_DEVICE[:2]


def test_a_variable_keeps_the_browser_shut(desk, center, human):  # noqa: F811
    """aws-vault's own, which people have in their shells' files."""
    result = desk.call("export", "dev", env={"AWS_VAULT_STDOUT": "true"})
    assert (result.status, "(--stdout was given)" in result.stderr) == (0, True)


def test_login_keeps_it_shut_too(desk, center, human, tmp_path, monkeypatch):  # noqa: F811
    """`login --stdout` prints its link, and opens no browser on the way there either; the role's credentials sign in."""
    (tmp_path / "signin").mkdir()
    with Signin(center, tmp_path / "signin").serve() as signin:
        for name, value in signin.environ.items():
            monkeypatch.setenv(name, value)
        desk.environ |= signin.environ
        result = desk.call("login", "--stdout", "dev")
    assert result.status == 0
    assert "(--stdout was given)" in result.stderr
    assert result.stdout.startswith("https://us-east-1.signin.aws.amazon.com/federation?Action=login&")
    assert center.operations == [*BY_DEVICE, "CreateToken", *ROLE]
    assert center.calls == []  # nobody asks STS who they are
    [request] = signin.requests
    assert center.keys[request.key].kind == "role"


def test_the_older_form(desk, center, human):  # noqa: F811
    """Inline settings keep the device flow, in a browser of this machine."""
    human.after = 99  # the browser's human does it
    result = desk.call("export", "--format=json", "legacy")
    assert result.status == 0
    assert result.stderr == (
        f"strongroom: opening a browser to sign in to {START_URL}: confirm only if it shows the code ABCD-0002; if none "
        f"opens, go to {center.url}/device?user_code=ABCD-0002\n"
    )
    assert center.operations[:2] == BY_DEVICE[:2]
    assert center.visits == ["Device", "Decide"]
    assert "scopes" not in center.asked[0].members


def test_no_browser_to_be_had(desk, center, human):  # noqa: F811
    """What should open one is not there: the code and the link take its place."""
    result = desk.call("export", "--format=json", "dev", env={"BROWSER": "", "PATH": "/nonexistent"})
    assert result.status == 0
    said = result.stderr.splitlines()
    assert said[0] == OPENING.strip()
    assert said[1].startswith("strongroom: warning: cannot open a browser: found none of ")
    assert said[2].endswith("(no browser could be opened here)")
    assert center.operations == ["RegisterClient", *BY_DEVICE, "CreateToken", *ROLE]


def test_the_link_at_the_terminal(remote, center, human, monkeypatch, tmp_path):  # noqa: F811
    """An SDK that runs us shows nobody our stderr: the link goes to the controlling terminal as well."""
    terminal = tmp_path / "tty"
    terminal.touch()
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", str(terminal))
    result = remote.call("export", "--format=json", "dev")
    assert terminal.read_text() == result.stderr


def test_nobody_would_see_the_link(remote, center, monkeypatch):  # noqa: F811
    """Where neither a terminal nor a browser is, as under an SDK on a server, that is said instead of waiting."""
    monkeypatch.setattr(signing_in, "CONTROLLING_TERMINAL", "/nonexistent/tty")
    result = remote.call("export", "--format=json", "dev")
    assert result == Result(1, "", (
        f"strongroom: error: export: to sign in to {START_URL} somebody has to open a link (this is a session over SSH), "
        "and nobody would see it: there is no terminal here\n"
        "strongroom: hint: run it in a terminal once; with --no-browser the link is printed on standard error all the "
        "same\n"
    ))  # fmt: skip
    assert center.asked == []


# Staying signed in.


def test_no_browser_again(desk, center):  # noqa: F811
    """The token expires, and is renewed without anybody."""
    center.token_seconds = 30  # less than what a token must last to be begun with
    exported(desk, stderr=OPENING)
    exported(desk, "ops")
    assert center.operations == [*SIGN_IN, *ROLE, "CreateToken", *ROLE]
    assert center.asked[3].members["grantType"] == "refresh_token"
    assert center.visits == ["Authorize", "Decide"]


def test_what_aws_vault_left(desk, center):  # noqa: F811
    """A token that aws-vault stored serves; its items are its own still."""
    exported(desk, stderr=OPENING)
    [access_token] = center.access
    desk.call("clear")
    put_token(desk, access_token)
    exported(desk)
    assert center.operations == [*SIGN_IN, *ROLE, *ROLE]


def test_an_expired_token(desk, center):  # noqa: F811
    """It is not even tried; it goes."""
    put_token(desk, "of yesterday", left=-60)
    exported(desk, stderr=OPENING)
    assert center.operations == [*SIGN_IN, *ROLE]
    assert "of yesterday" not in json.dumps(desk.items())


def test_a_token_that_was_revoked(desk, center):  # noqa: F811
    """One new sign-in, and success."""
    put_token(desk, "revoked")
    exported(desk, stderr=OPENING)
    assert center.operations == [*ROLE, *SIGN_IN, *ROLE]


def test_a_token_that_is_never_good(desk, center):  # noqa: F811
    """A new one is refused too: an error, and no endless loop."""
    put_token(desk, "revoked")
    center.fail("GetRoleCredentials", code="UnauthorizedException", status=401, times=9)
    result = desk.call("export", "dev")
    assert (result.status, result.stdout) == (1, "")
    assert center.operations == [*ROLE, *SIGN_IN, *ROLE]
    assert len(result.stderr.splitlines()) <= 3


def test_the_slow_are_told(remote, center, human):  # noqa: F811
    """Slow down: five seconds more between two questions, and on."""
    center.fail("CreateToken", code="SlowDownException", status=400)
    human.after = 2
    assert remote.call("export", "dev").status == 0
    assert human.waits == [6, 6]


# A role on top.


def test_a_role_on_top(desk, center):  # noqa: F811
    """AssumeRole with the credentials of Identity Center; both are kept."""
    exported(desk, "role", stderr=OPENING)
    assert center.operations == [*SIGN_IN, *ROLE]
    exported(desk, "role")
    [call] = center.calls
    assert call == Call("AssumeRole", 3600, signer="role", role=RO)
    assert desk.sessions() == [("AssumeRole", "role", ""), ("GetRoleCredentials", "dev", START_URL)]


def test_a_session_that_is_not_there(desk, center):  # noqa: F811
    """The profile's own start URL serves; without one, what is missing is said."""
    text = desk.config.read_text()
    desk.config.write_text(text.replace("sso_session = corp\n", "sso_session = gone\n"))
    result = desk.call("export", "dev")
    assert (result.status, result.stdout) == (1, "")
    assert "sso_start_url" in result.stderr
    assert center.operations == []


# Mistakes.


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (f"sso_start_url = {START_URL}", "sso_start_url"),
        ("sso_region = eu-west-1", "sso_region"),
        (f"sso_account_id = {ACCOUNT}", "sso_account_id"),
        ("sso_role_name = Admin", "sso_role_name"),
    ],
)
def test_a_missing_setting(desk, center, line, field):  # noqa: F811
    """Named, with the place where it belongs, before anything is asked of anybody."""
    desk.config.write_text(desk.config.read_text().replace(line + "\n", ""))
    result = desk.call("export", "dev")
    where = "[sso-session corp]" if field in {"sso_start_url", "sso_region"} else "the profile"
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        f"strongroom: error: export: profile 'dev' takes its credentials from IAM Identity Center and has no {field}\n"
        f"strongroom: hint: set {field} in {where}\n"
    )
    assert center.operations == []


@pytest.mark.parametrize(
    ("line", "wrong", "what", "place"),
    [
        (f"sso_start_url = {START_URL}", "corp.example/start", "no address of the web", "[sso-session corp]"),
        ("sso_region = eu-west-1", "Mars Two", "no region", "[sso-session corp]"),
        (f"sso_account_id = {ACCOUNT}", "1111-1111-1111", "not 12 digits", "[profile dev]"),
    ],
)
def test_a_wrong_setting(desk, center, line, wrong, what, place):  # noqa: F811
    """Quoted, with its line, before anything is asked of anybody: AWS's answer would not name it."""
    field = line.partition(" ")[0]
    text = desk.config.read_text()
    number = text[: text.index(line)].count("\n") + 1
    desk.config.write_text(text.replace(line, f"{field} = {wrong}", 1))
    result = desk.call("export", "dev")
    assert result == Result(1, "", (
        f"strongroom: error: export: profile 'dev': {field} is {wrong!r} ({desk.config}:{number} {place}), which is {what}\n"
    ))  # fmt: skip
    assert center.operations == []


def test_an_account_without_that_role(desk, center):  # noqa: F811
    """What the portal refuses is said in the words of the config."""
    desk.config.write_text(desk.config.read_text().replace("sso_role_name = Admin", "sso_role_name = Root"))
    result = desk.call("export", "dev")
    assert (result.status, result.stdout) == (1, "")
    assert f"whoever signed in to {START_URL} has no role 'Root' in account '{ACCOUNT}'" in result.stderr


def test_declined(desk, center):  # noqa: F811
    """The human says no in the browser."""
    result = desk.call("export", "dev", env={"BROWSER": f"{BROWSER} --click deny"})
    assert (result.status, result.stdout) == (1, "")
    assert f"the sign-in to {START_URL} was declined in the browser" in result.stderr


def test_a_wrong_clock(desk, center):  # noqa: F811
    """A portal whose clock is hours ahead: how long a token lasts is what it says, not when it ends."""
    center.skew_seconds = 6 * 3600
    exported(desk, stderr=OPENING)
    exported(desk, "ops")
    assert center.visits == ["Authorize", "Decide"]


def test_explained(desk, center):  # noqa: F811
    """`explain` asks nobody."""
    plan = desk.call("explain", "--json", "role").json()["steps"]
    assert [(step["action"], step["will_call"]) for step in plan] == [
        ("sso.GetRoleCredentials", True), ("sts.AssumeRole", True)
    ]  # fmt: skip
    assert "asked" in desk.call("explain", "role").stdout
    assert center.operations == []


def test_nothing_secret_is_said(desk, center):  # noqa: F811
    """Not with --debug either: no token, no client's secret, no link with a code in it."""
    center.token_seconds = 30
    said = "".join(desk.call("export", "--debug", name).stderr for name in ("dev", "ops"))
    secrets = [*center.access, *center.refreshes, *(client.secret for client in center.clients.values()), *center.codes]
    assert [secret for secret in secrets if secret in said] == []


def test_labels(desk, center):  # noqa: F811
    """The token's item has aws-vault's label and description, by which desktops show it."""
    exported(desk, stderr=OPENING)
    path = desk.keys / items.file_name(f"oidc:{START_URL}")
    item = items.decrypt(path.read_text(), PASSPHRASE)
    expiration = json.loads(base64.b64decode(item["Data"]))["Expiration"]
    assert item["Label"] == f"aws-vault oidc token for {START_URL} (expires {expiration})"
    assert item["Description"] == "aws-vault oidc token"
