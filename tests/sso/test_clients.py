import pytest

from fakes.identity_center import DEVICE_GRANT, START_URL
from sso.surroundings import profile
from strongroom.aws import sso
from strongroom.errors import KeystoreError
from strongroom.sso import clients
from strongroom.sso.session import Session

CODE = sso.AUTHORIZATION_CODE


@pytest.fixture
def get(center, world):
    """Get a client for a session."""

    def get(grant=CODE, **settings):
        session = Session.of(profile(center, START_URL, **settings))
        return clients.get(sso.Oidc(session.endpoint), session, world, grant)

    return get


def test_a_client_for_a_browser(center, world, get):
    """Is registered once: with scopes, both grants, the address to come back to, and whose it is."""
    first = get()
    assert get() == first
    assert center.asked[0].members == {
        "clientName": "strongroom", "clientType": "public", "scopes": ["sso:account:access"],
        "grantTypes": ["authorization_code", "refresh_token"], "redirectUris": ["http://127.0.0.1/oauth/callback"],
        "issuerUrl": START_URL,
    }  # fmt: skip
    assert center.operations == ["RegisterClient"]
    assert world.own.names("sso-refresh") == []
    assert first.client_secret not in repr(first)


def test_a_client_for_a_code(center, get):
    """In the older form with nothing but a name; with the scopes that are set."""
    get(DEVICE_GRANT, session="")
    get(DEVICE_GRANT, sso_registration_scopes=("sso:account:access", "codewhisperer:completions"))
    assert [asked.members for asked in center.asked] == [
        {"clientName": "strongroom", "clientType": "public"},
        {
            "clientName": "strongroom", "clientType": "public",
            "scopes": ["sso:account:access", "codewhisperer:completions"],
            "grantTypes": [DEVICE_GRANT, "refresh_token"],
        },
    ]  # fmt: skip


def test_each_region_start_url_and_scope_has_its_own(center, get):
    """And each grant; sessions with other names share one."""
    made = [
        get(),
        get(DEVICE_GRANT),
        get(sso_region="us-east-1"),
        get(sso_registration_scopes=("sso:account:access", "codewhisperer:completions")),
    ]
    assert len({each.client_id for each in made}) == 4
    assert get(session="other") == made[0]


@pytest.mark.parametrize(("left", "is_kept"), [(901, True), (900, False), (0, False)])
def test_one_that_is_about_to_expire(center, world, get, left, is_kept):
    """Is replaced."""
    first = get()
    center.pass_time(first.expires_at - center.now() - left + 0.5 * is_kept)
    assert (get() == first) is is_kept


def test_one_that_is_damaged_or_forgotten(center, world, get):
    """Is replaced."""
    first = get()
    session = Session.of(profile(center, START_URL))
    world.own.put("sso-registration", session.client_label(CODE), {"client_id": "x"})
    second = get()
    clients.forget(session, world, CODE)
    clients.forget(session, world, CODE)
    assert len({first.client_id, second.client_id, get().client_id}) == 3


def test_one_that_cannot_be_stored(center, world, get, monkeypatch):
    """Is used; one that cannot be removed is left."""

    def refuse(*_):
        raise KeystoreError("the disk is full")

    monkeypatch.setattr(type(world.own), "put", refuse)
    monkeypatch.setattr(type(world.own), "remove", refuse)
    assert get().client_id == "client-1"
    clients.forget(Session.of(profile(center, START_URL)), world, CODE)
    assert world.warned == ["the registration at IAM Identity Center could not be stored: the disk is full"]
