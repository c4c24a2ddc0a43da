import pytest

from fakes.cloud import Call
from strongroom.aws import sts
from strongroom.aws.client import Endpoint
from strongroom.credentials import Credentials, parse_time
from strongroom.errors import AwsError, AwsRefused, AwsUnreachable
from strongroom.profiles import Profile

KEY = Credentials("AKIAJONJONJONJONJON1", "secret of jon")
M, ROLE = "arn:aws:iam::111111111111:mfa/jon", "arn:aws:iam::111111111111:role/admin"


@pytest.fixture
def aws(cloud):
    """Where the fake AWS is, which knows the key, its device and a role."""
    cloud.key(KEY.access_key_id, KEY.secret_access_key)
    cloud.mfa[M] = {"123456"}
    cloud.role(ROLE)
    return Endpoint("eu-west-1", cloud.url)


def given(cloud, key):
    """The credentials as the fake AWS made them."""
    made = cloud.keys[key.access_key_id]
    return Credentials(made.access_key_id, made.secret_access_key, made.session_token, int(made.expires_at))


# Where STS is


def fields(profile, **settings):
    endpoint = sts.endpoint(Profile(profile, settings))
    return {name: getattr(endpoint, name) for name in Endpoint.__slots__}


PLAIN = {"ca_bundle": None, "dualstack": False, "fips": False, "legacy_sts": False, "region": "us-east-1", "url": None}


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({}, {}),
        ({"region": "eu-west-1"}, {"region": "eu-west-1"}),
        ({"endpoint_url": "https://e"}, {"url": "https://e"}),
        ({"sts_endpoint_url": "https://s"}, {"url": "https://s"}),
        ({"endpoint_url": "https://e", "sts_endpoint_url": "https://s"}, {"url": "https://s"}),
        ({"sts_regional_endpoints": "legacy"}, {"legacy_sts": True}),
        ({"sts_regional_endpoints": "regional"}, {}),
        ({"sts_regional_endpoints": "nosuch"}, {}),
        ({"use_fips_endpoint": True}, {"fips": True}),
        ({"use_fips_endpoint": False}, {}),
        ({"use_dualstack_endpoint": True}, {"dualstack": True}),
        ({"ca_bundle": "/ca.pem"}, {"ca_bundle": "/ca.pem"}),
    ],
)
def test_each_setting_of_a_profile_reaches_the_endpoint(settings, changed):
    """What the profile says of region, address, kind of endpoint and certificates."""
    assert fields("p", **settings) == PLAIN | changed


@pytest.mark.parametrize(
    ("settings", "region"),
    [
        ({"role_arn": "arn:aws-cn:iam::1:role/r"}, "cn-north-1"),
        ({"role_arn": "arn:aws-us-gov:iam::1:role/r"}, "us-gov-west-1"),
        ({"mfa_serial": "arn:aws-eusc:iam::1:mfa/m"}, "eusc-de-east-1"),
        ({"role_arn": "arn:aws-iso:iam::1:role/r"}, "us-iso-east-1"),
        ({"role_arn": "arn:aws-iso-b:iam::1:role/r"}, "us-isob-east-1"),
        ({"role_arn": "arn:aws-iso-e:iam::1:role/r"}, "eu-isoe-west-1"),
        ({"role_arn": "arn:aws-iso-f:iam::1:role/r"}, "us-isof-south-1"),
        ({"role_arn": "arn:aws:iam::1:role/r", "mfa_serial": "arn:aws-cn:iam::1:mfa/m"}, "us-east-1"),
        ({"role_arn": "arn:aws-future:iam::1:role/r"}, "us-east-1"),
        ({"role_arn": "arn:"}, "us-east-1"),
        ({"role_arn": "nonsense"}, "us-east-1"),
        ({"mfa_serial": "GAHT12345678"}, "us-east-1"),  # a hardware token of one's own
        ({"role_arn": "arn:aws-cn:iam::1:role/r", "region": "eu-west-1"}, "eu-west-1"),
    ],
)
def test_without_a_region_sts_is_asked_at_home(settings, region):
    """In the partition that the profile's ARNs name; a region that is set comes before that."""
    assert fields("p", **settings)["region"] == region


# GetSessionToken


def test_a_session(aws, cloud):
    """Exactly what was asked for is sent, and what AWS answered comes back."""
    got = sts.get_session_token(aws, KEY, duration_seconds=7200)
    assert got == given(cloud, got)
    assert cloud.calls == [Call("GetSessionToken", 7200)]
    assert sorted(cloud.calls[0].parameters) == ["Action", "DurationSeconds", "Version"]


def test_a_session_with_a_code(aws, cloud):
    """Device and code go together."""
    got = sts.get_session_token(aws, KEY, duration_seconds=900, serial=M, token_code="123456")
    assert got == given(cloud, got)
    assert cloud.calls == [Call("GetSessionToken", 900, M)]
    assert cloud.calls[0].code == "123456"
    assert cloud.keys[got.access_key_id].mfa


def test_a_wrong_code(aws, cloud):
    """AWS's refusal, with its words, which name neither the code nor a secret."""
    with pytest.raises(AwsRefused) as caught:
        sts.get_session_token(aws, KEY, duration_seconds=900, serial=M, token_code="654321")
    assert caught.value.message == (
        "sts GetSessionToken was refused (AccessDenied): "
        "MultiFactorAuthentication failed with invalid MFA one time pass code."
    )
    assert cloud.answers == ["AccessDenied"]


# AssumeRole


def test_a_role_with_everything(aws, cloud):
    """Every setting has its parameter."""
    cloud.role(ROLE, external_id="ext")
    got = sts.assume_role(
        aws, KEY, role_arn=ROLE, duration_seconds=7200, session_name="me@work", external_id="ext", serial=M,
        token_code="123456", tags=[("a", "1"), ("b", "2")], transitive_tags=("b",), source_identity="jon",
    )  # fmt: skip
    assert got == given(cloud, got)
    assert cloud.calls == [Call("AssumeRole", 7200, M, "key", ROLE)]
    assert {name: value for name, value in cloud.calls[0].parameters.items() if name not in {"Action", "Version"}} == {
        "RoleArn": ROLE,
        "RoleSessionName": "me@work",
        "DurationSeconds": "7200",
        "ExternalId": "ext",
        "SerialNumber": M,
        "TokenCode": "123456",
        "Tags.member.1.Key": "a",
        "Tags.member.1.Value": "1",
        "Tags.member.2.Key": "b",
        "Tags.member.2.Value": "2",
        "TransitiveTagKeys.member.1": "b",
        "SourceIdentity": "jon",
    }


def test_a_role_with_nothing_more(aws, cloud):
    """Three parameters; each session has a name of its own: the time in nanoseconds."""
    for _ in range(2):
        sts.assume_role(aws, KEY, role_arn=ROLE, duration_seconds=3600)
    names = [call.session_name for call in cloud.calls]
    assert sorted(cloud.calls[0].parameters) == ["Action", "DurationSeconds", "RoleArn", "RoleSessionName", "Version"]
    assert len(set(names)) == 2
    assert all(name.isdigit() and len(name) == 19 for name in names)


def test_a_role_from_a_role(aws, cloud):
    """Temporary credentials sign as well, with their token."""
    first = sts.assume_role(aws, KEY, role_arn=ROLE, duration_seconds=3600)
    second = sts.assume_role(aws, first, role_arn=ROLE, duration_seconds=900)
    assert second == given(cloud, second)
    assert cloud.calls == [Call("AssumeRole", 3600, role=ROLE), Call("AssumeRole", 900, signer="role", role=ROLE)]


def test_a_role_that_may_not_be_assumed(aws):
    """The role is named: in a chain there are several."""
    other = ROLE + "2"
    with pytest.raises(AwsRefused) as caught:
        sts.assume_role(aws, KEY, role_arn=other, duration_seconds=3600)
    assert caught.value.message == (
        f"sts AssumeRole of {other} was refused (AccessDenied): User: arn:aws:iam::111111111111:user/jon is not "
        f"authorized to perform: sts:AssumeRole on resource: {other}"
    )


@pytest.mark.parametrize("settings", [{"role_arn": "short"}, {"session_name": "a"}])
def test_a_setting_that_aws_does_not_take(aws, cloud, settings):
    """Found out before it is sent."""
    with pytest.raises(AwsError) as caught:
        sts.assume_role(aws, KEY, **({"role_arn": ROLE, "duration_seconds": 3600} | settings))
    assert "Parameter validation failed: Invalid length" in caught.value.message
    assert caught.value.hint == "a setting of the profile has a form that AWS does not take"
    assert cloud.calls == []


# Answers


def answer(action, result):
    return (
        f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>{result}'
        f"</{action}Result></{action}Response>"
    ).encode()


CREDENTIALS = (
    "<Credentials><AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>s</SecretAccessKey>"
    "<SessionToken>t</SessionToken><Expiration>{}</Expiration></Credentials>"
)


@pytest.mark.parametrize("at", ["2026-11-22T02:38:17Z", "2026-11-22T02:38:17.999Z", "2026-11-22T04:38:17+02:00"])
def test_the_end_of_a_session_in_whole_seconds(aws, cloud, at):
    """In whatever zone and with whatever fraction it is said: never later than AWS means."""
    cloud.html("GetSessionToken", status=200, page=answer("GetSessionToken", CREDENTIALS.format(at)))
    got = sts.get_session_token(aws, KEY, duration_seconds=900)
    assert got == Credentials("ASIA", "s", "t", int(parse_time("2026-11-22T02:38:17Z")))


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("", "the credentials have no AccessKeyId"),
        ("<Credentials></Credentials>", "the credentials have no AccessKeyId"),
        ("<Credentials><AccessKeyId>ASIA</AccessKeyId></Credentials>", "the credentials have no SecretAccessKey"),
        (CREDENTIALS.replace("<Expiration>{}</Expiration>", ""),
         "the Expiration of the credentials is not an RFC 3339 time"),
    ],
)  # fmt: skip
def test_an_answer_without_credentials(aws, cloud, result, reason):
    """Some server answered in AWS's format and gave nothing."""
    cloud.html("AssumeRole", status=200, page=answer("AssumeRole", result))
    with pytest.raises(AwsUnreachable) as caught:
        sts.assume_role(aws, KEY, role_arn=ROLE, duration_seconds=3600)
    assert caught.value.message == f"sts AssumeRole of {ROLE} was answered without credentials: {reason}"
    assert caught.value.hint == "check endpoint_url"


# What the agent asks


class Answering:
    """A chain that gives one answer and notes what was asked."""

    def __init__(self, answer):
        self.answer = answer
        self.calls = []

    def call(self, service, operation, members, **settings):
        self.calls.append((service, operation, members, settings))
        return self.answer


def test_a_role_without_settings():
    """Its ARN and the session's name are sent, nothing else; the time comes as text here."""
    fields = {"AccessKeyId": "ASIA", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "2026-11-22T02:38:17Z"}
    chain = Answering({"Credentials": fields})
    got = sts.assume_role_plainly(chain, "eu-west-1", KEY, role_arn=ROLE, session_name="me")
    assert got == Credentials("ASIA", "s", "t", int(parse_time("2026-11-22T02:38:17Z")))
    sent = {"RoleArn": ROLE, "RoleSessionName": "me"}
    assert chain.calls == [("sts", "AssumeRole", sent, {"region": "eu-west-1", "credentials": KEY})]


def test_a_role_without_credentials():
    """Some server answered in AWS's format and gave nothing."""
    with pytest.raises(AwsUnreachable) as caught:
        sts.assume_role_plainly(Answering({}), "eu-west-1", KEY, role_arn=ROLE, session_name="me")
    assert caught.value.message == (
        f"sts AssumeRole of {ROLE} was answered without credentials: the credentials have no AccessKeyId"
    )


def test_who_we_are():
    """The account is all that is of interest."""
    chain = Answering({"Account": "111111111111", "Arn": "a"})
    assert sts.get_caller_identity(chain, "eu-west-1", KEY) == "111111111111"
    assert chain.calls == [("sts", "GetCallerIdentity", {}, {"region": "eu-west-1", "credentials": KEY})]


# GetFederationToken


def test_a_federation_token(cloud, aws):
    """A key is exchanged for a session of a federated user, with the policy that is given."""
    got = sts.get_federation_token(aws, KEY, name="jon", duration_seconds=7200, policy='{"Statement": [1]}')
    assert cloud.calls == [Call("GetFederationToken", 7200)]
    assert cloud.calls[0].parameters["Name"] == "jon"
    assert cloud.calls[0].policy == '{"Statement": [1]}'
    assert got == given(cloud, got)
    assert sts.caller_arn(aws, got) == "arn:aws:sts::111111111111:federated-user/jon"


def test_a_federation_token_with_a_managed_policy(cloud, aws):
    """Its ARN goes alone."""
    sts.get_federation_token(aws, KEY, name="jon", duration_seconds=900, policy_arn="arn:aws:iam::aws:policy/X")
    assert cloud.calls[0].parameters["PolicyArns.member.1.arn"] == "arn:aws:iam::aws:policy/X"
    assert cloud.calls[0].policy is None


@pytest.mark.parametrize(
    ("user", "name"),
    [("j", "j-"), ("jo", "jo"), ("a" * 32, "a" * 32), ("a" * 32 + "b", "a" * 32), ("a+=,.@-_", "a+=,.@-_")],
)
def test_the_name_of_a_federated_user(cloud, aws, user, name):
    """Has 2 to 32 characters, whatever the user's has."""
    sts.get_federation_token(aws, KEY, name=user, duration_seconds=900)
    assert cloud.calls[0].parameters["Name"] == name


def test_a_federation_token_is_refused(cloud, aws):
    """To a session."""
    session = sts.get_session_token(aws, KEY, duration_seconds=900)
    with pytest.raises(AwsRefused) as caught:
        sts.get_federation_token(aws, session, name="jon", duration_seconds=900)
    assert caught.value.message == (
        "sts GetFederationToken was refused (AccessDenied): Cannot call GetFederationToken with session credentials"
    )
    assert cloud.actions == ["GetSessionToken", "GetFederationToken"]
