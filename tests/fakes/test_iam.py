"""The fake IAM as botocore sees it."""

import pytest

from fakes.test_cloud import client, refusal, with_keys

ARN = "arn:aws:iam::111111111111:user/jon"
M = "arn:aws:iam::111111111111:mfa/jon"


@pytest.fixture
def jon(cloud):
    """A client of IAM with jon's only key."""
    cloud.key("AKIAJON", "secret", user="jon")
    cloud.iam.user("jon", age_days=10)
    return client(cloud, service="iam")


def listed(iam):
    return [(key["AccessKeyId"], key["Status"]) for key in iam.list_access_keys()["AccessKeyMetadata"]]


def test_the_life_of_a_key(cloud, jon):
    """Made, used, switched off and on, deleted; the other key does it all."""
    made = jon.create_access_key(UserName="jon")["AccessKey"]
    assert listed(jon) == [("AKIAJON", "Active"), (made["AccessKeyId"], "Active")]
    used = jon.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])
    assert (used["UserName"], "LastUsedDate" in used["AccessKeyLastUsed"]) == ("jon", False)
    other = client(cloud, made["AccessKeyId"], made["SecretAccessKey"])
    assert other.get_caller_identity()["Arn"] == ARN
    assert "LastUsedDate" in jon.get_access_key_last_used(AccessKeyId=made["AccessKeyId"])["AccessKeyLastUsed"]
    jon.update_access_key(AccessKeyId=made["AccessKeyId"], Status="Inactive")
    assert refusal(other.get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    jon.update_access_key(AccessKeyId=made["AccessKeyId"], Status="Active")
    assert other.get_caller_identity()["Arn"] == ARN
    jon.delete_access_key(AccessKeyId=made["AccessKeyId"])
    assert refusal(other.get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    assert refusal(jon.delete_access_key, AccessKeyId=made["AccessKeyId"])[:2] == (404, "NoSuchEntity")
    assert listed(jon) == [("AKIAJON", "Active")]
    assert jon.get_user()["User"]["UserName"] == "jon"


def test_two_keys_are_all(jon):
    """A third is refused."""
    jon.create_access_key()
    assert refusal(jon.create_access_key) == (
        409, "LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2"
    )  # fmt: skip


def test_a_new_key_is_not_known_at_once(cloud, jon):
    """By AWS's clock, or by which of its machines is asked; lists lag too."""
    cloud.iam.delay_seconds, cloud.iam.list_delay_seconds, cloud.iam.flaps = 30, 10, [True, False]
    made = jon.create_access_key()["AccessKey"]
    other = client(cloud, made["AccessKeyId"], made["SecretAccessKey"])
    assert refusal(other.get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    assert listed(jon) == [("AKIAJON", "Active")]
    cloud.skew_seconds += 31
    assert refusal(other.get_caller_identity)[:2] == (403, "InvalidClientTokenId")
    assert other.get_caller_identity()["Arn"] == ARN
    assert len(listed(jon)) == 2


def test_who_may_do_what(cloud, jon):
    """A denied action, another user, a policy that asks for MFA, and sessions that die with their key."""
    cloud.iam.denied = {"DeleteAccessKey"}
    status, code, message = refusal(jon.delete_access_key, AccessKeyId="AKIAJON")
    assert (status, code) == (403, "AccessDenied")
    assert message.startswith(f"User: {ARN} is not authorized to perform: iam:DeleteAccessKey on resource: user jon")
    assert refusal(jon.list_access_keys, UserName="ann")[:2] == (404, "NoSuchEntity")
    cloud.iam.needs_mfa, cloud.iam.sessions_die = True, True
    assert refusal(jon.list_access_keys)[:2] == (403, "AccessDenied")
    cloud.mfa[M] = {"123456"}
    session = client(cloud).get_session_token(SerialNumber=M, TokenCode="123456")["Credentials"]
    proved = with_keys(cloud, session, service="iam")
    assert listed(proved) == [("AKIAJON", "Active")]
    proved.update_access_key(AccessKeyId="AKIAJON", Status="Inactive")
    assert refusal(proved.list_access_keys)[:2] == (403, "InvalidClientTokenId")


def test_a_second_key(cloud, jon):
    """One that was there before."""
    added = cloud.iam.second_key("jon", is_active=False)
    assert listed(jon) == [("AKIAJON", "Active"), (added, "Inactive")]
    assert cloud.iam.status() == {"AKIAJON": "Active", added: "Inactive"}
