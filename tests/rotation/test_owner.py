import pytest

from rotation.surroundings import ARN, OLD, Surroundings
from strongroom.errors import AwsRefused, AwsUnreachable
from strongroom.rotation.owner import Owner, _pauses, shown_id


@pytest.fixture
def owner(jon):
    made = Owner(jon, jon.stored, pause=jon.pause, clock=lambda: jon.time, now=jon.cloud.now)
    assert made.identify() == ARN
    return made


@pytest.mark.parametrize(
    ("key_id", "shown"),
    [
        ("AKIAIOSFODNN7EXAMPLE", "*" * 16 + "MPLE"),
        ("AKIAXYZWV", "*" * 16 + "YZWV"),
        ("AKIAXYZW", "*" * 16),
        ("abc", "*" * 16),
        ("", "*" * 16),
    ],
)
def test_how_an_id_is_shown(key_id, shown):
    """As aws-vault does; none of a very short one, which crashes aws-vault."""
    assert shown_id(key_id) == shown


def test_pauses():
    """Longer and longer, up to five seconds."""
    pauses = _pauses()
    assert [next(pauses) for _ in range(6)] == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0]


@pytest.mark.parametrize("status", [500, 503])
def test_a_key_is_made_in_one_attempt(owner, jon, status):
    """Another one could make a second key, if AWS did not say that it made none."""
    jon.cloud.fail("CreateAccessKey", code="ServiceFailure", status=status)
    with pytest.raises(AwsRefused):
        owner.make_key()
    assert jon.cloud.actions.count("CreateAccessKey") == 1
    jon.cloud.cut("CreateAccessKey")
    with pytest.raises(AwsUnreachable):
        owner.make_key()
    assert jon.cloud.actions.count("CreateAccessKey") == 1 + 1
    assert jon.waited == 0


@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("ConcurrentModification", 409)])
def test_a_key_is_made_once_aws_has_time(owner, jon, code, status):
    """It was busy, and said so: nothing was made."""
    jon.cloud.fail("CreateAccessKey", code=code, status=status, times=2)
    owner.make_key()
    assert jon.cloud.actions.count("CreateAccessKey") == 3
    assert jon.waited == 2.5


def test_what_is_gone_already(owner, jon):
    """Switching it off and deleting it again are no errors."""
    assert owner.switch_off("AKIAGONEGONEGONEGONE") is False
    owner.delete("AKIAGONEGONEGONEGONE")
    with pytest.raises(AwsRefused):
        owner.delete("AKIAGONEGONEGONEGONE", just_made=True)
    assert 30 <= jon.waited < 40


@pytest.mark.parametrize("action", ["UpdateAccessKey", "DeleteAccessKey"])
def test_other_refusals(owner, jon, action):
    """They are told."""
    jon.cloud.fail(action, code="Nonsense", status=400)
    with pytest.raises(AwsRefused):
        owner.switch_off(OLD.access_key_id) if action == "UpdateAccessKey" else owner.delete(OLD.access_key_id)


def test_a_key_is_described(owner, jon):
    """With what somebody needs to decide about it."""
    other = jon.cloud.iam.second_key("jon", is_active=False, age_days=2)
    old, new = owner.list_keys()
    shown = f"{shown_id(OLD.access_key_id)} (active, made 100 days ago, last used less than a minute ago)"
    assert owner.describe(old) == shown
    assert owner.describe(new) == f"{shown_id(other)} (inactive, made 2 days ago, never used)"
    new.created_at = None
    assert owner.describe(new) == f"{shown_id(other)} (inactive, never used)"


def test_the_new_key_signs_once_it_is_stored(owner, jon):
    """Unless a session does."""
    made = owner.make_key()
    owner.new_key = made
    owner.switch_off(OLD.access_key_id)
    assert jon.cloud.calls[-1].access_key_id == made.access_key_id


def test_a_session_signs_to_the_end(cloud):
    """It proved MFA, which the new key alone does not."""
    jon = Surroundings(cloud, mfa=True)
    owner = Owner(jon, jon.stored, pause=jon.pause, clock=lambda: jon.time)
    owner.identify()
    owner.new_key = owner.make_key()
    owner.delete(OLD.access_key_id)
    assert jon.cloud.calls[-1].signer == "session"
    assert cloud.actions.count("GetSessionToken") == 1
