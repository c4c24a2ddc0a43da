import pytest

from fakes.cloud import Call
from providers.surroundings import JON, ROLE, M, role_step
from strongroom.providers import assume_role


@pytest.fixture(autouse=True)
def _known(cloud):
    cloud.key(JON.access_key_id, JON.secret_access_key)
    cloud.mfa[M] = {"123456"}
    cloud.role(ROLE)


def test_a_role_with_all_settings_of_its_profile(cloud, world):
    """Each goes to AWS; the code is that of the step's device."""
    world.codes = ["123456"]
    made = role_step(
        serial=M, duration=7200, endpoint_url=cloud.url, region="eu-west-1", role_session_name="me", external_id="ext",
        session_tags=(("a", "1"),), transitive_session_tags=("a",), source_identity="jon",
    )  # fmt: skip
    got = assume_role.retrieve(made, JON, world)
    assert cloud.keys[got.access_key_id].kind == "role"
    assert cloud.calls == [Call("AssumeRole", 7200, M, "key", ROLE)]
    (call,) = cloud.calls
    assert (call.code, call.region, call.session_name, call.external_id) == ("123456", "eu-west-1", "me", "ext")
    assert (call.tags, call.transitive, call.source_identity) == ({"a": "1"}, ("a",), "jon")


def test_a_role_with_no_settings(cloud, world):
    """Nothing is sent that is not set, and nobody is asked."""
    assume_role.retrieve(role_step(endpoint_url=cloud.url, mfa_serial=M), JON, world)
    assert cloud.calls == [Call("AssumeRole", 3600, role=ROLE)]
    assert sorted(cloud.calls[0].parameters) == ["Action", "DurationSeconds", "RoleArn", "RoleSessionName", "Version"]
    assert world.asked == []
