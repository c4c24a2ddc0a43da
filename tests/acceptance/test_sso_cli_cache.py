"""`exec --profile-env`, the AWS CLI that it is for, and `clear` after it, as a user meets them."""

import hashlib
import json
import os
import subprocess
import sys

import pytest

from acceptance.test_sso import BROWSER, BY_DEVICE, OPENING, ROLE, SIGN_IN, desk, exported, put_token
from fakes.centers import center, center_server  # noqa: F401 - fixtures
from fakes.identity_center import START_URL
from harness.home import ACCOUNT, Result
from strongroom.sso.cli_cache import CliCache

__all__ = ["desk"]  # a fixture

# pytest gives each fixture by its name, which hides the import.
# ruff: noqa: F811

CORP = hashlib.sha1(b"corp").hexdigest() + ".json"
LEGACY = hashlib.sha1(START_URL.encode()).hexdigest() + ".json"

AWS_CLI = [sys.executable, "-m", "awscli", "sts", "get-caller-identity", "--query", "Arn", "--output", "text"]
BOTO3 = [sys.executable, "-c", "import boto3; print(boto3.client('sts').get_caller_identity()['Arn'])"]

LEFT = "strongroom: warning: no access token was left for the command: "
FOREIGN = "is another program's, and no good; remove it, or sign in with `aws sso login`\n"


def cache(home):
    return home.path / ".aws" / "sso" / "cache"


def run_as(home, profile, *words, stderr="", env=None):
    """The environment that `exec --profile-env` gives its command."""
    result = home.call("exec", "--profile-env", *words, profile, "--", "env", env=env)
    assert (result.status, result.stdout, result.stderr) == (0, "", stderr)
    return result.environ


def foreign(home, expires_at="2999-01-01T00:00:00Z", name=CORP):
    """What `aws sso login` leaves."""
    cache(home).mkdir(parents=True, exist_ok=True)
    fields = {"startUrl": START_URL, "region": "eu-west-1", "accessToken": "theirs", "expiresAt": expires_at}
    (cache(home) / name).write_text(json.dumps(fields))
    return (cache(home) / name).read_text()


def goes_on(center):
    return any(not given.sign_in.ended for given in center.access.values())


# exec


def test_what_the_command_gets(desk, center):
    """The profile's name and no keys; a token where every SDK looks, readable by its owner only, and nothing else there."""
    environ = run_as(desk, "dev", stderr=OPENING)
    assert (environ["AWS_PROFILE"], environ["AWS_VAULT"]) == ("dev", "dev")
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & set(environ)
    [access_token] = center.access
    written = json.loads((cache(desk) / CORP).read_text())
    assert written == {
        "startUrl": START_URL, "region": "eu-west-1", "accessToken": access_token,
        "expiresAt": desk.items()[f"oidc:{START_URL}"]["Expiration"],
    }  # fmt: skip
    if sys.platform != "win32":
        assert (cache(desk) / CORP).stat().st_mode & 0o777 == 0o600
        assert cache(desk).stat().st_mode & 0o777 == 0o700
    left = [path.name for path in (desk.path / ".aws").rglob("*") if path.is_file()]
    assert sorted(left) == sorted(["config", CORP])


@pytest.mark.parametrize(
    ("profile", "program", "role"),
    [("dev", AWS_CLI, "AWSReservedSSO_Admin_0123456789abcdef/jon"), ("legacy", BOTO3, "AWSReservedSSO_Admin"),
     ("role", BOTO3, "RO/")],
)  # fmt: skip
def test_other_programs(desk, center, profile, program, role):
    """The AWS CLI and boto3 get credentials with it: of a session, of the older form, and for a role on top."""
    exported(desk, stderr=OPENING)
    environ = run_as(desk, profile)
    center.asked.clear()
    # Neither takes a region or an endpoint from [default], as strongroom does.
    done = subprocess.run(program, env=environ, cwd=desk.work, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}")
    assert center.operations == ROLE


def test_a_cached_session(desk, center):
    """The token is left even if no credentials had to be asked for; what is there already is left alone."""
    exported(desk, stderr=OPENING)
    run_as(desk, "dev")
    before = (cache(desk) / CORP).stat()
    run_as(desk, "dev")
    assert (cache(desk) / CORP).stat() == before
    assert center.operations == [*SIGN_IN, *ROLE]


def test_renewed(desk, center):
    """A token that is about to end is renewed for the command, and takes the place of the one before."""
    center.token_seconds = 200
    run_as(desk, "dev", stderr=OPENING)
    center.token_seconds = 28_800
    run_as(desk, "dev")
    *_, newest = center.access
    assert json.loads((cache(desk) / CORP).read_text())["accessToken"] == newest
    assert center.operations[-1] == "CreateToken"


def test_another_program_is_signed_in(desk, center):
    """Its file stays, and serves: nobody is asked to sign in once more, and nothing is said."""
    before = foreign(desk)
    exported(desk, stderr=OPENING)
    center.end_sessions()
    put_token(desk, "of yesterday", left=-60)
    center.asked.clear()
    run_as(desk, "dev")  # its credentials are stored
    assert (center.operations, (cache(desk) / CORP).read_text()) == ([], before)


@pytest.mark.parametrize("content", ["2001-01-01T00:00:00Z", "soon", None])
def test_another_program_was_signed_in(desk, content):
    """A file of another program's that is no good stays, and that is said."""
    before = foreign(desk, content) if content else foreign(desk)
    if content is None:
        before = "{}"
        (cache(desk) / CORP).write_text(before)
    run_as(desk, "dev", stderr=f"{OPENING}{LEFT}{cache(desk) / CORP} {FOREIGN}")
    assert (cache(desk) / CORP).read_text() == before


def test_it_cannot_be_left(desk):
    """The command runs all the same."""
    (desk.path / ".aws" / "sso").write_text("")
    result = desk.call("exec", "--profile-env", "dev", "--", "env")
    assert result.environ["AWS_PROFILE"] == "dev"
    assert result.stderr.startswith(f"{OPENING}{LEFT}cannot write {cache(desk) / CORP}: ")


def test_another_program_signs_in_meanwhile(desk, monkeypatch):
    """While we sign in, `aws sso login` does: its file stays."""
    write = CliCache.write

    def writing(self, session, token):
        foreign(desk)
        return write(self, session, token)

    monkeypatch.setattr(CliCache, "write", writing)
    run_as(desk, "dev", stderr=OPENING)
    assert json.loads((cache(desk) / CORP).read_text())["accessToken"] == "theirs"


def test_declined(desk, center):
    """No token, no command: it could do nothing."""
    exported(desk, stderr=OPENING)
    center.end_sessions()
    put_token(desk, "of yesterday", left=-60)
    result = desk.call("exec", "--profile-env", "dev", "--", "env", env={"BROWSER": f"{BROWSER} --click deny"})
    assert (result.status, result.child) == (1, None)
    assert f"the sign-in to {START_URL} was declined in the browser" in result.stderr


def test_keys_need_no_token(c1, center):
    """A profile with a stored key has nothing to do with Identity Center."""
    result = c1.call("exec", "--profile-env", "jon", "-t", "123456", "--", "env")
    assert (result.status, result.environ["AWS_PROFILE"]) == (0, "jon")
    assert not cache(c1).exists()


def test_without_the_flag(desk):
    """Keys in the environment need no file."""
    assert desk.call("exec", "dev", "--", "env").status == 0
    assert not cache(desk).exists()


# clear


def test_cleared(desk, center):
    """What was written goes, what renews the sign-in too: the next command signs in. Other programs' files stay."""
    for profile in ("dev", "legacy"):
        run_as(desk, profile, stderr=OPENING if profile == "dev" else "")
    foreign(desk, name="other.json")
    said = "strongroom: removed 2 access tokens from the AWS CLI's cache\n"
    assert desk.call("clear") == Result(0, "Cleared 3 sessions.\n", said)
    assert os.listdir(cache(desk)) == ["other.json"]
    assert desk.call("clear") == Result(0, "Cleared 0 sessions.\n", "")
    exported(desk, stderr=OPENING)
    assert center.operations == [*SIGN_IN, *ROLE, *ROLE, "CreateToken", *ROLE]  # the client is known still


def test_one_profile_cleared(desk, center):
    """Its sessions, and its sign-in with all copies of it; another start URL's stay."""
    center.start_url("https://other.example/start")
    text = desk.config.read_text()
    other = text[text.index("[sso-session") : text.index("[profile ops")].replace(
        START_URL, "https://other.example/start"
    )
    desk.config.write_text(text + "\n" + other.replace("corp", "other").replace("profile dev", "profile stranger"))
    run_as(desk, "dev", stderr=OPENING)
    run_as(desk, "stranger", stderr=OPENING.replace(START_URL, "https://other.example/start"))
    said = "strongroom: removed 1 access token from the AWS CLI's cache\n"
    assert desk.call("clear", "dev") == Result(0, "Cleared 2 sessions.\n", said)
    assert os.listdir(cache(desk)) == [hashlib.sha1(b"other").hexdigest() + ".json"]
    assert desk.item_names() != []
    center.asked.clear()
    run_as(desk, "stranger")
    assert center.operations == []


def test_a_forgotten_sign_in(desk, center):
    """A refresh token alone is a sign-in: it goes, and counts."""
    center.token_seconds = 30
    exported(desk, stderr=OPENING)
    for path in desk.keys.glob("oidc*"):
        path.unlink()
    assert desk.call("clear").stdout == "Cleared 2 sessions.\n"
    exported(desk, stderr=OPENING)


def test_cleared_without_a_passphrase(desk):
    """Names are enough, for files too."""
    run_as(desk, "dev", stderr=OPENING)
    result = desk.run("clear", env={"AWS_VAULT_FILE_PASSPHRASE": None}, timeout=20)
    assert (result.status, result.stdout) == (0, "Cleared 2 sessions.\n")
    assert os.listdir(cache(desk)) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes of directories")
def test_a_copy_that_stays(desk, monkeypatch):
    """The rest goes, and which file has a token in it is said."""
    run_as(desk, "dev", stderr=OPENING)
    unlink = os.unlink

    def refuse(path, **more):
        if str(path).endswith(CORP):
            raise PermissionError(13, "Permission denied", path)
        unlink(path, **more)

    monkeypatch.setattr(os, "unlink", refuse)
    result = desk.call("clear")
    assert (result.status, desk.item_names()) == (1, [])
    assert f"cannot remove {cache(desk) / CORP}: Permission denied" in result.stderr


# clear --logout


@pytest.mark.parametrize("words", [(), ("dev",), ("legacy",)])
def test_logged_out(desk, center, words):
    """The sign-in ends at the server, so a copy of the token is worth nothing; nobody is asked."""
    with desk.config.open("a") as file:  # nobody can have signed in like that
        file.write(f"\n[profile wrong]\nsso_start_url = {START_URL}\nsso_region = Mars Two\n")
    run_as(desk, "dev", stderr=OPENING)
    result = desk.call("clear", "--logout", *words)
    assert (result.status, result.stdout) == (0, f"Cleared {1 if words == ('legacy',) else 2} sessions.\n")
    assert not goes_on(center)
    assert (center.count("Logout"), center.visits) == (1, ["Authorize", "Decide"])
    assert os.listdir(cache(desk)) == []
    center.asked.clear()
    assert desk.call("clear", "--logout").status == 0
    assert center.operations == []


def test_without_logout(desk, center):
    """`clear` alone asks nobody."""
    exported(desk, stderr=OPENING)
    center.asked.clear()
    desk.call("clear")
    assert (center.operations, goes_on(center)) == ([], True)


def test_not_logged_out(desk, center):
    """The server is away: what could end the sign-in later stays, everything else goes."""
    run_as(desk, "dev", stderr=OPENING)
    center.fail("Logout", code="InternalServerException", status=500, times=9)
    result = desk.call("clear", "--logout")
    assert (result.status, result.stdout) == (1, "Cleared 1 sessions.\n")
    assert result.stderr == (
        f"strongroom: error: clear: not signed out of {START_URL}, so what is stored for it stays: "
        "sso Logout was refused (InternalServerException): no reason given\n"
        "strongroom: hint: try again in a moment; without --logout it is removed here, and lives on at the server\n"
    )
    assert (desk.item_names(), os.listdir(cache(desk))) == ([f"oidc:{START_URL}"], [CORP])


def test_logged_out_of_what_nobody_configures(desk, center):
    """A token of ours knows its region; one of aws-vault's does not, and without the config that is said."""
    exported(desk, stderr=OPENING)
    desk.config.write_text(f"[default]\nendpoint_url = {center.url}\n")
    put_token(desk, "theirs", "https://gone.example/start")
    result = desk.call("clear", "--logout", env={"AWS_ENDPOINT_URL": center.url})
    assert (result.status, result.stdout) == (1, "Cleared 1 sessions.\n")
    unknown = "nothing in the config file tells any longer how that was signed in to"
    assert [line for line in result.stderr.splitlines() if "error" in line] == [
        f"strongroom: error: clear: not signed out of {url}, so what is stored for it stays: {unknown}"
        for url in ("https://gone.example/start", START_URL)
    ]
    assert desk.call("clear").status == 0
    assert desk.item_names() == []


def test_a_wrong_passphrase(desk, center):
    """Without the token there is no logging out: nothing is removed, for it could not be done later."""
    exported(desk, stderr=OPENING)
    before = desk.item_names()
    result = desk.call("clear", "--logout", env={"AWS_VAULT_FILE_PASSPHRASE": "wrong"})
    assert (result.status, result.stdout) == (1, "")
    assert desk.item_names() == before
    assert goes_on(center)


def test_by_device(desk, center):
    """Nobody is asked to sign in in order to sign out: not with a code either."""
    put_token(desk, "of yesterday", left=-60)
    result = desk.call("clear", "--logout", env={"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"})
    assert (result.status, result.stdout) == (0, "Cleared 1 sessions.\n")
    assert not set(center.operations) & set(BY_DEVICE)


def test_nothing_secret_is_said(desk, center):
    """Not with --debug either, by any command that has a token in hand; and the token is in the one file only."""
    center.token_seconds = 200
    said = desk.call("exec", "--debug", "--profile-env", "dev", "--", "env").stderr
    said += desk.call("exec", "--debug", "--profile-env", "ops", "--", "env").stderr
    said += desk.call("sso", "discover", "--debug", "corp").stderr
    for path in desk.path.rglob("*"):
        if path.is_file() and path != cache(desk) / CORP:
            assert not [token for token in center.access if token in path.read_text(errors="replace")]
    said += desk.call("clear", "--debug", "--logout").stderr
    secrets = [*center.access, *center.refreshes, *(client.secret for client in center.clients.values())]
    assert len(secrets) >= 4
    assert [secret for secret in secrets if secret in said] == []
