import pytest

from fakes.identity_center import START_URL
from sso.surroundings import World, profile
from sso.test_pkce import Later
from strongroom.errors import AwsRefused, AwsUnreachable
from strongroom.sso import token
from strongroom.sso.discovery import Role, discover

DEV, OPS, OLD = "111111111111", "222222222222", "333333333333"


@pytest.fixture
def world(center, tmp_path):
    made = World(center, tmp_path / "locks", Later())
    yield made
    if hasattr(made.browser, "thread"):
        made.browser.thread.join(30)


@pytest.fixture
def corp(center, world):
    """A session that somebody has signed in to, with three accounts; nothing was asked for since."""
    center.account(DEV, "Admin", "ReadOnly", "Billing", name="dev")
    center.account(OPS, "Admin", name="Ops (EU)")
    center.account(OLD, name="empty")
    session = profile(center, START_URL, sso_account_id="", sso_role_name="")
    token.access_token(session, world)
    center.asked.clear()
    return session


def role(account_id, account_name, role_name):
    return Role(account_name, account_id, role_name, f"{account_id}@corp.example")


EVERYTHING = (
    role(OPS, "Ops (EU)", "Admin"),
    role(DEV, "dev", "Admin"), role(DEV, "dev", "Billing"), role(DEV, "dev", "ReadOnly"),
)  # fmt: skip


def test_everything(center, world, corp):
    """All pages of accounts, and of the roles in each; sorted; and how far we are is told."""
    told = []
    found = discover(corp, world, lambda done, accounts: told.append((done, accounts)))
    assert (found.roles, found.refused) == (EVERYTHING, {})
    assert center.operations == ["ListAccounts"] * 2 + ["ListAccountRoles"] * 4
    assert {asked.members["max_result"] for asked in center.asked} == {"100"}
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_nothing(center, world, corp):
    """Somebody without any account."""
    center.accounts.clear()
    assert discover(corp, world, lambda *_: None).roles == ()


@pytest.mark.parametrize(("times", "after", "waits"), [(3, "", 3), (1, "7", 1)])
def test_busy(center, world, corp, times, after, waits):
    """Too many requests: again, with growing pauses or when the server says, and nothing is missing."""
    center.throttle("ListAccountRoles", times=times, retry_after=after)
    assert discover(corp, world, lambda *_: None).roles == EVERYTHING
    assert len(world.waited) == waits
    assert not after or world.waited[0] >= 7


def test_busy_for_good(center, world, corp):
    """Nobody waits for as long as that."""
    center.throttle("ListAccountRoles", times=float("inf"), retry_after="99")
    with pytest.raises(AwsRefused) as caught:
        discover(corp, world, lambda *_: None)
    assert caught.value.code == "TooManyRequestsException"


def test_the_token_ends_in_between(center, world, corp):
    """It is renewed, and what is known is not asked for again."""
    ends = iter([False, False, True, False, False])

    def report(*_):
        if next(ends, False):
            center.revoke_access()

    assert discover(corp, world, report).roles == EVERYTHING
    roles = [asked.members["account_id"] for asked in center.asked if asked.operation == "ListAccountRoles"]
    assert roles == [DEV, DEV, OPS, OLD, OLD]
    assert center.count("CreateToken") == 1


@pytest.mark.parametrize("status", [403, 404])
def test_an_account_that_is_refused(center, world, corp, status):
    """The others are found, and why this one is not."""
    center.fail("ListAccountRoles", code="ForbiddenException", status=status)
    found = discover(corp, world, lambda *_: None)
    assert found.roles == EVERYTHING[:1]
    assert list(found.refused) == [DEV]
    assert "ForbiddenException" in found.refused[DEV]


def test_trouble(center, world, corp):
    """Half of the roles is no answer."""
    center.fail("ListAccountRoles", code="InternalServerException", status=500, times=9)
    with pytest.raises(AwsRefused):
        discover(corp, world, lambda *_: None)


@pytest.mark.parametrize(
    ("operation", "members", "message"),
    [
        ("ListAccounts", {"accountList": [{"accountName": "x"}]}, "sso ListAccounts was answered without a usable accountId"),
        ("ListAccounts", {"accountList": [{"accountId": "1\n[x]"}]},
         "sso ListAccounts was answered without a usable accountId"),
        ("ListAccountRoles", {"roleList": [{}]}, "sso ListAccountRoles was answered without a usable roleName"),
        ("ListAccountRoles", {"roleList": [{"roleName": "a\nb"}]},
         "sso ListAccountRoles was answered without a usable roleName"),
    ],
)  # fmt: skip
def test_answers_that_make_no_sense(center, world, corp, operation, members, message):
    """Nothing of it may get into a config file."""
    center.answer_with(operation, members)
    with pytest.raises(AwsUnreachable) as caught:
        discover(corp, world, lambda *_: None)
    assert caught.value.message == message


@pytest.mark.parametrize(("name", "shown"), [("a\x1b[31mb\r\nc", "a [31mb c"), ("  ", ""), ("Zürich ❤", "Zürich ❤")])
def test_what_people_wrote(center, world, corp, name, shown):
    """On one line, and without commands to the terminal."""
    center.accounts.clear()
    center.account(DEV, "Admin", name=name)
    assert discover(corp, world, lambda *_: None).roles == (role(DEV, shown, "Admin"),)
