import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.endpoints import HOUR, START, Bench, made
from strongroom.endpoints.roles import Roles, account_of
from strongroom.endpoints.slot import Unavailable
from strongroom.errors import AwsUnreachable

ROLE = "arn:aws:iam::111122223333:role/admin"
OTHER = "arn:aws:iam::111122223333:role/other"


@pytest.fixture
def bench():
    bench = Bench()
    bench.slot.keep(made(1))
    yield bench
    bench.close()


def roles_of(bench, *allowed, limit=100):
    return Roles(bench.slot, bench.assumed, allowed, limit=limit)


@pytest.mark.parametrize(
    ("role_arn", "account_id"),
    [
        (ROLE, "111122223333"),
        ("arn:aws-cn:iam::111122223333:role/a", "111122223333"),
        ("arn:aws-us-gov:iam::111122223333:role/path/to/a+b=c,d.e@f-g_h", "111122223333"),
        ("arn:aws-iso-b:iam::111122223333:role/a", "111122223333"),
        ("arn:aws:iam::111122223333:role/" + "a" * 64, "111122223333"),
        ("arn:aws:iam::111122223333:role/" + "a" * 65, None),
        ("arn:aws:iam::111122223333:role/", None),
        ("arn:aws:iam::111122223333:role/path/", None),
        ("arn:aws:iam::11112222333:role/a", None),
        ("arn:aws:iam::1111222233334:role/a", None),
        ("arn:aws:iam::١11122223333:role/a", None),
        ("arn:aws:iam:eu-west-1:111122223333:role/a", None),
        ("arn:aws:iam::111122223333:user/a", None),
        ("arn:aws:sts::111122223333:assumed-role/a/b", None),
        ("arn:gcp:iam::111122223333:role/a", None),
        ("arn:aws:iam::111122223333:role/a b", None),
        ("arn:aws:iam::111122223333:role/a\n", None),
        ("arn:aws:iam::111122223333:role/ß", None),
        ("ARN:aws:iam::111122223333:role/a", None),
        (" " + ROLE, None),
        ("", None),
    ],
)
def test_arns(role_arn, account_id):
    """What AWS takes for the ARN of a role, to the letter."""
    assert account_of(role_arn) == account_id


@pytest.mark.parametrize(
    ("allowed", "fitting", "others"),
    [
        ([], [], [ROLE]),
        ([ROLE], [ROLE], [OTHER, ROLE + "x", ROLE.replace("admin", "Admin")]),
        (["arn:aws:iam::111122223333:role/*"], [ROLE, OTHER, ROLE + "/x"], [ROLE.replace("3333", "4444")]),
        (["arn:aws:iam::*:role/admin"], [ROLE, ROLE.replace("3333", "4444")], [OTHER]),
        (["*"], [], [ROLE]),
        (["arn:*:role/admin"], [], [ROLE]),
        (["admin"], [], [ROLE]),
        (["arn:aws:iam::111122223333:role/admi?", OTHER], [ROLE, OTHER], [ROLE + "s"]),
        (["arn:aws:iam::111122223333:role/[a-z]*"], [], [ROLE]),
        (["arn:aws:iam::111122223333:*"], [ROLE], ["arn:aws:iam::111122223333:user/jon", "x"]),
    ],
)
def test_allowed(bench, allowed, fitting, others):
    """The pattern stands for the whole ARN, and a star does not reach into another account."""
    roles = roles_of(bench, *allowed)
    assert [each for each in (*fitting, *others) if roles.allows(each)] == fitting


@given(st.text(alphabet="arn:wsiom/le-0123456789*?%\n", max_size=60))
def test_nothing_else_is_allowed(text):
    """Whatever pattern there is, only the ARN of a role gets through."""
    bench = Bench()
    try:
        assert not roles_of(bench, text, "arn:*:*:*:*:*").allows(text) or account_of(text) is not None
    finally:
        bench.close()


def test_a_bounded_number(bench):
    """The one that was not asked for the longest goes first, and is assumed anew when it is asked for again."""
    roles = roles_of(bench, "*", limit=2)
    for name in ("a", "b", "a", "c", "a", "b"):
        bench.get(roles.slot(ROLE + name))
    assert [arn[len(ROLE) :] for _, arn in bench.assumed.calls] == ["a", "b", "c", "b"]
    assert len(roles) == 2


def test_one_that_goes_while_it_is_waited_for(bench):
    """Whoever waits has it all the same."""
    roles = roles_of(bench, "*", limit=1)
    bench.calls.is_held = True
    asking = bench.begin(roles.slot(ROLE))
    bench.settle()
    roles.slot(OTHER)
    bench.calls.run()
    bench.settle()
    assert asking.result().secret_access_key == "secret-51"


def tick(bench, roles):
    async def once():
        roles.tick()

    bench.run(once())
    bench.settle()


def test_expired_ones_are_dropped(bench):
    """Nobody has asked again: nothing is renewed, and what is over is forgotten."""
    roles = roles_of(bench, "*")
    bench.get(roles.slot(ROLE))
    tick(bench, roles)
    assert len(roles) == 1
    bench.pass_by(HOUR - 60)
    tick(bench, roles)
    assert (len(roles), len(bench.assumed.calls)) == (1, 1)
    bench.pass_by(60)
    tick(bench, roles)
    assert (len(roles), len(bench.assumed.calls)) == (0, 1)


def test_used_ones_are_renewed(bench):
    """Somebody has asked again: they are renewed in good time, with the slot's credentials of then."""
    roles = roles_of(bench, "*")
    slot = roles.slot(ROLE)
    bench.get(slot)
    bench.get(slot)
    bench.pass_by(HOUR - 300)
    bench.slot.keep(made(2, until=START + 3 * HOUR))
    tick(bench, roles)
    assert bench.assumed.calls == [("ASIAEXAMPLE000000001", ROLE), ("ASIAEXAMPLE000000002", ROLE)]
    assert bench.get(slot).expiration == START + 2 * HOUR - 300


def test_the_slot_has_none(bench):
    """The reason is the slot's, and the role is tried again."""
    roles = roles_of(bench, "*")
    bench.pass_by(HOUR)
    bench.fetched.answer = AwsUnreachable("no answer")
    for _ in range(2):
        with pytest.raises(Unavailable) as caught:
            bench.get(roles.slot(ROLE))
        assert (caught.value.status, caught.value.reason) == (503, "no answer")
    bench.fetched.answer = None
    bench.pass_by(1)
    assert bench.get(roles.slot(ROLE)).session_token == "role session"


def test_closed(bench):
    """They end with the slot."""
    roles = roles_of(bench, "*")
    slot = roles.slot(ROLE)
    bench.get(slot)
    bench.run(roles.close())
    assert len(roles) == 0
    assert slot.current() is None
