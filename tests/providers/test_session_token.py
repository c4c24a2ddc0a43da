import pytest

from fakes.cloud import Call
from providers.surroundings import JON, M, session_step
from strongroom.errors import MfaRefused
from strongroom.providers import session_token


@pytest.fixture(autouse=True)
def _known(cloud):
    cloud.key(JON.access_key_id, JON.secret_access_key)
    cloud.mfa[M] = {"123456"}


def step(cloud, **more):
    return session_step(endpoint_url=cloud.url, region="eu-west-1", **more)


def test_a_session_with_the_code_of_the_steps_device(cloud, world):
    """Duration and device are the step's, address and region the profile's; a wrong code is followed by a right one."""
    world.codes = ["654321", "123456"]
    got = session_token.retrieve(step(cloud, duration=7200), JON, world)
    assert got.access_key_id in cloud.keys
    assert cloud.calls == [Call("GetSessionToken", 7200, M)] * 2
    assert [call.code for call in cloud.calls] == ["654321", "123456"]
    assert {call.region for call in cloud.calls} == {"eu-west-1"}


def test_a_session_without_a_device(cloud, world):
    """Nobody is asked."""
    session_token.retrieve(step(cloud, serial=""), JON, world)
    assert cloud.calls == [Call("GetSessionToken", 3600)]
    assert world.asked == []


def test_a_code_that_is_refused(cloud, world):
    """Without another one it ends."""
    world.codes = ["654321"]
    with pytest.raises(MfaRefused):
        session_token.retrieve(step(cloud), JON, world)
    assert cloud.answers == ["AccessDenied"]
