import time

import pytest

from fakes.cloud import Call
from strongroom.aws import iam, sts
from strongroom.aws.client import Endpoint
from strongroom.credentials import Credentials
from strongroom.errors import AwsRefused, AwsUnreachable
from strongroom.profiles import Profile

JON = Credentials("AKIAJONJONJONJONJON1", "secret of jon")
ARN = "arn:aws:iam::111111111111:user/jon"


@pytest.fixture
def aws(cloud):
    """Where the fake AWS is, which knows jon and the one key that is ten days old."""
    cloud.key(JON.access_key_id, JON.secret_access_key)
    cloud.iam.user("jon", age_days=10)
    return Endpoint("eu-west-1", cloud.url)


def shown(keys):
    return [(key.access_key_id, key.is_active) for key in keys]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("us-east-1", None, False, False, None)),
        ({"region": "eu-west-1", "endpoint_url": "https://e"}, ("eu-west-1", "https://e", False, False, None)),
        (
            {"sts_endpoint_url": "https://s", "sts_regional_endpoints": "legacy"},
            ("us-east-1", None, False, False, None),
        ),
        ({"mfa_serial": "arn:aws-cn:iam::1:mfa/m"}, ("cn-north-1", None, False, False, None)),
        (
            {"use_fips_endpoint": True, "use_dualstack_endpoint": True, "ca_bundle": "/ca"},
            ("us-east-1", None, True, True, "/ca"),
        ),
    ],
)
def test_where_iam_is(settings, expected):
    """What is said of AWS as a whole holds, what is said of STS does not."""
    endpoint = iam.endpoint(Profile("p", settings))
    assert endpoint.legacy_sts is False
    assert (endpoint.region, endpoint.url, endpoint.fips, endpoint.dualstack, endpoint.ca_bundle) == expected


@pytest.mark.parametrize(
    ("arn", "name"),
    [
        (ARN, "jon"),
        ("arn:aws-cn:iam::111111111111:user/team/a/jo+n=x,y.@z-w_v", "jo+n=x,y.@z-w_v"),
        ("arn:aws:iam::111111111111:root", ""),
        ("arn:aws:sts::111111111111:assumed-role/admin/jon", ""),
        ("arn:aws:sts::111111111111:federated-user/jon", ""),
        ("arn:aws:iam::111111111111:user/", ""),
        ("", ""),
    ],
)
def test_the_user_of_an_arn(arn, name):
    """Without the path; nobody for what is no user."""
    assert iam.user_of(arn) == name


def test_the_life_of_a_key(aws, cloud):
    """Each call sends what it is asked to, and no name unless there is one."""
    made = iam.create_access_key(aws, JON)
    assert made.secret_access_key == cloud.iam.keys[made.access_key_id].key.secret_access_key
    assert shown(iam.list_access_keys(aws, JON)) == [(JON.access_key_id, True), (made.access_key_id, True)]
    assert iam.get_access_key_last_used(aws, JON, made.access_key_id) is None
    assert iam.get_access_key_last_used(aws, JON, JON.access_key_id) == pytest.approx(time.time(), abs=60)
    iam.update_access_key(aws, JON, made.access_key_id, active=False)
    assert shown(iam.list_access_keys(aws, JON)) == [(JON.access_key_id, True), (made.access_key_id, False)]
    iam.update_access_key(aws, JON, made.access_key_id, active=True)
    iam.delete_access_key(aws, JON, made.access_key_id)
    assert shown(iam.list_access_keys(aws, JON)) == [(JON.access_key_id, True)]
    assert all("UserName" not in call.parameters for call in cloud.calls)


def test_the_user_by_name(aws, cloud):
    """Every call can name the user."""
    iam.list_access_keys(aws, JON, "jon")
    made = iam.create_access_key(aws, JON, "jon")
    iam.update_access_key(aws, JON, made.access_key_id, "jon", active=False)
    iam.delete_access_key(aws, JON, made.access_key_id, "jon")
    assert [call.parameters["UserName"] for call in cloud.calls] == ["jon"] * 4


def test_the_age_of_a_key(aws):
    """Seconds since the epoch."""
    (key,) = iam.list_access_keys(aws, JON)
    assert key.created_at == pytest.approx(time.time() - 10 * 86_400, abs=60)


def test_the_oldest_key_comes_first(aws, cloud):
    """However IAM sorts them."""
    older = cloud.iam.second_key("jon", age_days=400)
    assert shown(iam.list_access_keys(aws, JON)) == [(older, True), (JON.access_key_id, True)]


def test_a_refusal(aws, cloud):
    """In AWS's words, with the call's name."""
    cloud.iam.denied = {"CreateAccessKey"}
    with pytest.raises(AwsRefused) as caught:
        iam.create_access_key(aws, JON)
    assert caught.value.code == "AccessDenied"
    assert caught.value.message.startswith(f"iam CreateAccessKey was refused (AccessDenied): User: {ARN} is not auth")


def test_an_answer_without_a_key(aws, cloud):
    """It is not taken for one."""
    body = b"<CreateAccessKeyResponse><CreateAccessKeyResult><AccessKey/></CreateAccessKeyResult></CreateAccessKeyResponse>"
    cloud.html("CreateAccessKey", status=200, page=body, kind="text/xml")
    with pytest.raises(AwsUnreachable, match="iam CreateAccessKey was answered without a key"):
        iam.create_access_key(aws, JON)


def test_a_key_is_made_in_one_attempt(cloud, aws):
    """Were it tried again after its answer was lost, there would be two."""
    cloud.cut("CreateAccessKey", late=True)
    with pytest.raises(AwsUnreachable, match="iam CreateAccessKey did not reach AWS"):
        iam.create_access_key(aws, JON)
    assert cloud.actions == ["CreateAccessKey"]
    assert len(cloud.iam.keys) == 2


def test_the_user_whose_credentials_these_are(aws, cloud):
    """By asking; and out of the refusal, if asking is not allowed."""
    assert iam.get_user(aws, JON) == "jon"
    cloud.iam.denied = {"GetUser"}
    assert iam.get_user(aws, JON) == "jon"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("AccessDenied", "no"),
        ("AccessDenied", "User: arn:aws:sts::111111111111:assumed-role/admin/x is not authorized"),
        ("Throttling", f"User: {ARN} asks too often"),
    ],
)
def test_a_refusal_that_names_nobody(aws, cloud, code, message):
    """It stays a refusal."""
    cloud.fail("GetUser", code=code, message=message, times=9)
    with pytest.raises(AwsRefused) as caught:
        iam.get_user(aws, JON)
    assert caught.value.code == code


def test_who_the_caller_is(aws, cloud):
    """STS tells everybody; an answer that does not is none."""
    assert sts.caller_arn(aws, JON) == ARN
    assert cloud.calls == [Call("GetCallerIdentity")]
    page = b"<GetCallerIdentityResponse><GetCallerIdentityResult/></GetCallerIdentityResponse>"
    cloud.html("GetCallerIdentity", status=200, page=page, kind="text/xml")
    with pytest.raises(AwsUnreachable, match="sts GetCallerIdentity was answered without an ARN"):
        sts.caller_arn(aws, JON)
