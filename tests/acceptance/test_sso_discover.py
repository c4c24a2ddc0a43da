"""`sso discover`, as a user meets it: the program, a browser, a fake portal, a config file."""

import sys

import pytest

from acceptance.test_sso import BROWSER, OPENING, ROLE, desk, exported, put_token
from fakes.centers import center, center_server  # noqa: F401 - fixtures
from fakes.identity_center import START_URL, Given, SignIn
from harness.home import ACCOUNT, Result

__all__ = ["desk"]  # a fixture

# pytest gives each fixture by its name, which hides the import.
# ruff: noqa: F811

OPS = "222222222222"
CONFIG = f"""\
# Mine.
[default]
region = us-east-1
endpoint_url = {{url}}

[sso-session corp]
sso_start_url = {START_URL}
sso_region = eu-west-1

[profile mine]   # by hand
sso_session=corp
sso_account_id={ACCOUNT}
sso_role_name=Admin
"""

TABLE = f"""\
Account       Name    Role      Profile
{OPS}  Ops EU  Admin     Ops-EU-Admin (new)
{ACCOUNT}  dev     Admin     mine
{ACCOUNT}  dev     ReadOnly  dev-ReadOnly (new)
"""

ADDED = f"""\

[profile Ops-EU-Admin]
sso_session=corp
sso_account_id={OPS}
sso_role_name=Admin

[profile dev-ReadOnly]
sso_session=corp
sso_account_id={ACCOUNT}
sso_role_name=ReadOnly
"""


@pytest.fixture
def corp(desk, center):
    """A home with one profile by hand, signed in; two accounts with three roles."""
    center.account(ACCOUNT, "Admin", "ReadOnly", name="dev")
    center.account(OPS, "Admin", name="Ops EU")
    desk.write_config(CONFIG.format(url=center.url))
    center.access["access-1"] = Given(SignIn(START_URL, "client-1", (), center.now() + 3600))
    put_token(desk, "access-1")
    return desk


def discover(home, *words, **more):
    return home.call("sso", "discover", *words, **more)


def unchanged(home, center, more=""):
    return home.config.read_text() == CONFIG.format(url=center.url) + more


HINT = "strongroom: {} without a profile: --write adds what is marked as new\n"


# What there is


@pytest.mark.parametrize("words", [("corp",), (), ("mine",)])
def test_listed(corp, center, words):
    """All roles with their profiles; by the session, by the only one, and by a profile of it. Nothing is changed."""
    assert discover(corp, *words) == Result(0, TABLE, HINT.format("2 roles"))
    assert unchanged(corp, center)
    assert center.operations == ["ListAccounts", "ListAccountRoles", "ListAccountRoles"]


def test_signed_in_first(corp, center):
    """As any other command does, once."""
    corp.call("clear")
    assert discover(corp, "corp") == Result(0, TABLE, OPENING + HINT.format("2 roles"))
    assert discover(corp, "corp").stderr == HINT.format("2 roles")


def test_by_device(corp, center):
    """A flag keeps the browser shut; nobody comes with another."""
    corp.call("clear")
    center.answer_with("StartDeviceAuthorization", {})
    result = discover(corp, "--no-browser", "corp")
    assert (result.status, center.operations[-1]) == (1, "StartDeviceAuthorization")


def test_declined(corp):
    """The human says no."""
    corp.call("clear")
    result = discover(corp, "corp", env={"BROWSER": f"{BROWSER} --click deny"})
    assert (result.status, result.stdout) == (1, "")
    assert "was declined in the browser" in result.stderr


def test_json(corp):
    """The same for programs."""
    assert discover(corp, "--json", "--template", "{role_name}@{session}").json() == {
        "session": "corp",
        "start_url": START_URL,
        "region": "eu-west-1",
        "roles": [
            {"account_id": OPS, "account_name": "Ops EU", "email": f"{OPS}@corp.example", "role_name": "Admin",
             "profiles": [], "new_profile": "Admin@corp"},
            {"account_id": ACCOUNT, "account_name": "dev", "email": f"{ACCOUNT}@corp.example", "role_name": "Admin",
             "profiles": ["mine"], "new_profile": None},
            {"account_id": ACCOUNT, "account_name": "dev", "email": f"{ACCOUNT}@corp.example", "role_name": "ReadOnly",
             "profiles": [], "new_profile": "ReadOnly@corp"},
        ],
        "gone": [],
        "unknown_accounts": [],
        "written": [],
    }  # fmt: skip


def test_no_roles(corp, center):
    """Somebody without any account: an empty table, and a profile whose role is gone."""
    center.accounts.clear()
    result = discover(corp)
    assert result.stdout == "Account  Name  Role  Profile\n"
    assert result.stderr == (
        f"strongroom: warning: profile 'mine' is for role 'Admin' in account {ACCOUNT}, which is not given to you any more\n"
    )


def test_an_account_that_is_refused(corp, center):
    """What is not known is not called gone."""
    center.fail("ListAccountRoles", code="ForbiddenException", status=403)  # of the first account
    result = discover(corp, "--json")
    assert result.json()["gone"] == []
    assert result.json()["unknown_accounts"] == [ACCOUNT]
    assert result.stderr.startswith(f"strongroom: warning: the roles in account {ACCOUNT} are not known: ")


# What is added


def test_written(corp, center):
    """The diff, then what was done; every byte that was there stays, and the profiles work. A second time: nothing."""
    result = discover(corp, "--write", "--yes", "corp")
    assert (result.status, result.stderr) == (0, "")
    lines = CONFIG.count("\n")
    head = f"--- {corp.config}\n+++ {corp.config}\n@@ -{lines},0 +{lines + 1},10 @@\n"
    assert result.stdout == (
        head + "".join(f"+{line}\n" for line in ADDED.splitlines()) + f"Added 2 profiles to {corp.config}.\n"
    )
    assert unchanged(corp, center, ADDED)
    center.asked.clear()
    exported(corp, "dev-ReadOnly")
    assert center.operations == ROLE
    before = corp.config.stat()
    assert discover(corp, "--write", "corp") == Result(0, "Each role has a profile already.\n", "")
    assert corp.config.stat() == before


def test_options(corp, center):
    """A region, and other names."""
    discover(corp, "--write", "-y", "--region", "eu-central-1", "--template", "{account_id}.{role_name}")
    assert corp.config.read_text().endswith(
        f"[profile {ACCOUNT}.ReadOnly]\nsso_session=corp\nsso_account_id={ACCOUNT}\nsso_role_name=ReadOnly\n"
        "region=eu-central-1\n"
    )


def test_edited_by_hand(corp, center):
    """A profile that was renamed or changed is not written again, and not changed back; nor is one that is gone removed."""
    discover(corp, "--write", "--yes")
    text = corp.config.read_text().replace("[profile Ops-EU-Admin]", "[profile ops]\nregion = x")
    corp.config.write_text(text)
    center.account(ACCOUNT, "Admin", name="renamed")
    center.account(OPS, "Admin", "New", name="Ops EU")
    result = discover(corp, "--write", "--yes")
    assert result.stderr == (
        f"strongroom: warning: profile 'dev-ReadOnly' is for role 'ReadOnly' in account {ACCOUNT}, "
        "which is not given to you any more\n"
    )
    assert corp.config.read_text() == (
        text + f"\n[profile Ops-EU-New]\nsso_session=corp\nsso_account_id={OPS}\nsso_role_name=New\n"
    )


def test_names_that_are_taken(corp, center):
    """By a profile for something else, and by a stored key, which would win over the profile."""
    corp.config.write_text(corp.config.read_text() + "[profile dev-ReadOnly]\nregion = x\n")
    corp.put_key("Ops-EU-Admin")
    result = discover(corp)
    assert f" Ops-EU-Admin-{OPS} (new)" in result.stdout
    assert f" dev-ReadOnly-{ACCOUNT} (new)" in result.stdout


def test_accounts_of_one_name(corp, center):
    """Both get their numbers."""
    center.account("333333333333", "ReadOnly", name="dev")
    names = [role["new_profile"] for role in discover(corp, "--json").json()["roles"]]
    assert names == ["Ops-EU-Admin", None, f"dev-ReadOnly-{ACCOUNT}", "dev-ReadOnly-333333333333"]


def test_the_older_form(corp, center):
    """A profile with the settings in itself: the new ones have them in themselves, too."""
    text = f"[profile old]\nsso_start_url={START_URL}#/\nsso_region=eu-west-1\n"
    corp.config.write_text(f"[default]\nendpoint_url={center.url}\n{text}")
    center.start_url(f"{START_URL}#/")
    assert discover(corp, "--write", "--yes", "old").status == 0
    assert corp.config.read_text().endswith(
        f"[profile dev-ReadOnly]\nsso_start_url={START_URL}#/\nsso_region=eu-west-1\nsso_account_id={ACCOUNT}\n"
        "sso_role_name=ReadOnly\n"
    )


def test_inherited_by_all(corp, center):
    """What [default] says is not what each profile says."""
    corp.config.write_text(
        corp.config.read_text().replace(
            "[default]", f"[default]\nsso_session=corp\nsso_account_id={ACCOUNT}\nsso_role_name=Admin"
        )
        + "\n[profile other]\nregion = x\n"
    )
    assert f"{ACCOUNT}  dev     Admin     default, mine\n" in discover(corp).stdout


def test_start_urls_that_are_the_same(corp, center):
    """With and without an end."""
    corp.config.write_text(
        f"{corp.config.read_text()}\n[profile again]\nsso_start_url = {START_URL}/#/\nsso_region = eu-west-1\n"
        f"sso_account_id = {OPS}\nsso_role_name = Admin\n[profile broken]\nno delimiter\n"
        f"[profile without]\nsso_session = corp\n"
    )
    result = discover(corp)
    assert "  again\n" in result.stdout
    assert result.stderr == HINT.format("1 role")


def test_written_and_json(corp):
    """The answer is JSON, and the diff is talk."""
    result = discover(corp, "--write", "--yes", "--json")
    assert result.json()["written"] == ["Ops-EU-Admin", "dev-ReadOnly"]
    assert "+[profile dev-ReadOnly]\n" in result.stderr
    assert result.stderr.endswith(f"Added 2 profiles to {corp.config}.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes, and links only for some")
def test_the_file_stays_what_it_is(corp, tmp_path):
    """A link goes on being one; the mode stays."""
    elsewhere = tmp_path / "elsewhere"
    corp.config.rename(elsewhere)
    elsewhere.chmod(0o640)
    corp.config.symlink_to(elsewhere)
    discover(corp, "--write", "--yes")
    assert corp.config.is_symlink()
    assert elsewhere.stat().st_mode & 0o777 == 0o640
    assert "dev-ReadOnly" in elsewhere.read_text()


# Asking


@pytest.mark.parametrize(("typed", "more"), [("y\n", ADDED), ("\n", ""), ("\x03", None)])
def test_asked(corp, center, tty, typed, more):
    """At the terminal, after the diff; anything but a yes changes nothing."""
    terminal = tty("sso", "discover", "--write", "corp", streams=("stdin", "stdout", "stderr"))
    terminal.expect("+sso_role_name=ReadOnly\n")
    terminal.expect(f"Add 2 profiles to {corp.config}? (y|N) ")
    terminal.send(typed)
    result = terminal.wait()
    assert (result.status, unchanged(corp, center, more or "")) == (130 if more is None else 0, True)
    assert "strongroom: looking for roles, 1 of 2 accounts done" in terminal.shown


def test_nobody_to_ask(corp, center):
    """Without a terminal nothing is written, and what to do is said."""
    result = corp.run("sso", "discover", "--write", "corp")
    assert (result.status, unchanged(corp, center)) == (1, True)
    assert result.stderr.endswith("hint: run it in a terminal, or use --yes\n")
    assert "looking" not in result.stderr


# What is wrong


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("find",), 2, "expected discover, got 'find'"),
        (("discover", "corp", "x"), 2, "unexpected 'x'"),
        (("discover", "--yes"), 2, "--yes is for `sso discover --write`"),
        (("discover", "nope"), 1, "neither [sso-session nope] nor a profile 'nope' is in {config}"),
        (("discover", "--template", "{x}"), 2, "--template: '{x}' holds something in braces that is none of {account_name}, "
         "{account_id}, {role_name}, {email}, {session}"),
        (("discover", "plain"), 1, "profile 'plain' takes its credentials from IAM Identity Center and has no sso_start_url"),
        (("discover", "torn"), 1, "profile 'sso-session torn' takes its credentials from IAM Identity Center and has no "
         "sso_region"),
        (("discover",), 2, "required argument 'session' not provided"),
    ],
)  # fmt: skip
def test_bad_words(corp, center, words, status, message):
    """Said before anybody is asked anything."""
    corp.config.write_text(
        corp.config.read_text()
        + "[profile plain]\nregion = x\n[sso-session torn]\nsso_start_url = https://torn.example\n"
    )
    result = corp.call("sso", *words)
    assert (result.status, result.stdout) == (status, "")
    shown = message.replace("{config}", str(corp.config))
    end = ", try --help" if status == 2 else ""
    assert result.stderr.splitlines()[0] == f"strongroom: error: sso: {shown}{end}"
    assert center.operations == []


def test_no_sessions(home):
    """Nothing to choose from."""
    result = home.call("sso", "discover")
    assert result.status == 2
    assert f"add an [sso-session NAME] to {home.config}" in result.stderr


def test_busy(corp, center):
    """Rate limits are waited for."""
    center.throttle("ListAccounts", times=2)
    assert discover(corp) == Result(0, TABLE, HINT.format("2 roles"))


def test_trouble(corp, center):
    """Half of it is no answer, and nothing is written."""
    center.fail("ListAccountRoles", code="InternalServerException", status=500, times=9)
    result = discover(corp, "--write", "--yes")
    assert (result.status, result.stdout, unchanged(corp, center)) == (1, "", True)
