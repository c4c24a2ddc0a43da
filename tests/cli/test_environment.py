import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli import environment, mark
from strongroom.cli.environment import CHOOSERS, STALE, STALE_PREFIX, VAULT_SECRETS, of_child, of_helper
from strongroom.cli.mark import MARK
from strongroom.credentials import Credentials
from strongroom.profiles import Profile

GOT = Credentials("ASIAGOT", "new secret", "new token", 1_795_315_097)
KEY = Credentials("AKIAKEY", "long secret")
PLAIN = Profile("jon", {})
FULL = Profile("jon", {"region": "eu-west-1", "endpoint_url": "http://e"})

OURS = {
    "AWS_VAULT": "jon",
    "AWS_ACCESS_KEY_ID": "ASIAGOT",
    "AWS_SECRET_ACCESS_KEY": "new secret",
    "AWS_SESSION_TOKEN": "new token",
    "AWS_CREDENTIAL_EXPIRATION": "2026-11-22T02:38:17Z",
}


def child(inherited, profile=PLAIN, credentials=GOT, **more):
    """The environment, and the names in its mark."""
    found = of_child(inherited, mark.read(inherited), profile, credentials, **more)
    return {name: value for name, value in found.items() if name != MARK}, set(mark.read(found))


# What is put in


def test_credentials_and_the_profiles_name():
    """All of them marked as ours; without a region no region."""
    assert child({"PATH": "/bin"}) == ({"PATH": "/bin"} | OURS, set(OURS))


def test_region_and_endpoint():
    """Under each name that SDKs read."""
    more = {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://e"}
    assert child({}, FULL) == (OURS | more, {*OURS, *more})


def test_a_long_term_key():
    """No token and no end, and none of what went before."""
    before = {"AWS_SESSION_TOKEN": "old", "AWS_CREDENTIAL_EXPIRATION": "old"}
    variables = {"AWS_VAULT": "jon", "AWS_ACCESS_KEY_ID": "AKIAKEY", "AWS_SECRET_ACCESS_KEY": "long secret"}
    assert child(before, credentials=KEY) == (variables, set(variables))


def test_the_profiles_name_instead_of_credentials():
    """The child is to find them itself: no key of anybody's."""
    before = {"AWS_ACCESS_KEY_ID": "old", "AWS_PROFILE": "other", "AWS_DEFAULT_PROFILE": "other"}
    variables = {"AWS_VAULT": "jon", "AWS_PROFILE": "jon"}
    assert child(before, credentials=None) == (variables, set(variables))


# What is taken out


@pytest.mark.parametrize("name", sorted(STALE | CHOOSERS | VAULT_SECRETS | {"AWS_CONTAINER_CREDENTIALS_FULL_URI"}))
def test_each_variable_that_would_mislead_is_taken_out(name):
    """Credentials, pointers to credentials, choosers of profiles, and what opens the vault."""
    assert child({name: "old", "OTHER": "stays"})[0] == {"OTHER": "stays"} | OURS


def test_what_the_user_set_stays():
    """Whatever is no credential: the rest of AWS's variables too."""
    kept = {
        "AWS_CONFIG_FILE": "/c", "AWS_MFA_SERIAL": "m", "AWS_ENDPOINT_URL": "http://user", "AWS_REGION": "user",
        "AWS_PAGER": "", "AWS_VAULT_FILE_DIR": "/keys", "AWS_VAULT_BACKEND": "file", "SHELL": "/bin/sh",
        "AWS_CONTAINERS": "x", "OP_SERVICE_ACCOUNT_TOKEN": "x", "": "x", "EMPTY": "",
    }  # fmt: skip
    assert child(kept) == (kept | OURS, set(OURS))


def test_the_vaults_secrets_stay_if_they_are_wanted():
    """For a strongroom in the child; credentials of before do not."""
    secrets = dict.fromkeys(VAULT_SECRETS, "secret")
    assert child(secrets | {"AWS_SESSION_TOKEN": "old"}, keep_vault_secrets=True)[0] == secrets | OURS


names = st.sampled_from([*sorted(STALE | CHOOSERS | VAULT_SECRETS), "PATH", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_VAULT",
                         "LC_CTYPE", "AWS_PAGER"]) | st.text("AB_", max_size=4).map((STALE_PREFIX + "{}").format)  # fmt: skip
environments = st.dictionaries(names, st.sampled_from(["old", "", "eu-west-1", "jon", "C.UTF-8"]))


@given(environments, st.sets(names), st.sampled_from([PLAIN, FULL]), st.sampled_from([GOT, KEY, None]), st.booleans())
def test_no_stale_variable_survives(inherited, outer, profile, credentials, keep):
    """Whatever was inherited, whoever set it: every credential in the child is ours, and the mark says what is."""
    before = inherited | {MARK: mark.written({name: inherited.get(name, "") for name in sorted(outer)})}
    found = of_child(before, outer, profile, credentials, keep_vault_secrets=keep)
    ours = {"AWS_VAULT": "jon"} | (credentials.environment() if credentials else {"AWS_PROFILE": "jon"})
    if profile is FULL:
        ours |= {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://e"}
    assert {name: found[name] for name in ours} == ours
    for name, value in found.items():
        if name in ours or name == MARK:
            continue
        # What is left was inherited as it is, was not set by an outer strongroom, and is nobody's credential.
        assert inherited[name] == value
        assert name not in STALE | CHOOSERS | outer
        assert not name.startswith(STALE_PREFIX)
        assert keep or name not in VAULT_SECRETS
    marked = mark.read(found)
    assert marked <= set(ours)
    assert marked >= set(ours) - set(inherited)


# Strongroom in strongroom's child


def test_what_the_outer_one_set_does_not_leak_inward():
    """Its region and endpoint were its profile's: the inner one's profile has none."""
    outer = of_child({"PATH": "/bin"}, (), FULL, GOT)
    inner = Profile("ann", {})
    found, marked = child(outer, inner, KEY)
    assert found == {
        "PATH": "/bin", "AWS_VAULT": "ann", "AWS_ACCESS_KEY_ID": "AKIAKEY", "AWS_SECRET_ACCESS_KEY": "long secret",
    }  # fmt: skip
    assert marked == {"AWS_VAULT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}


def test_what_the_user_set_and_we_only_repeat_stays_the_users():
    """An inner strongroom should heed it as the outer one did."""
    found, marked = child({"AWS_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://other"}, FULL)
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert marked == {*OURS, "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}


def test_what_the_outer_one_set_is_ours_if_we_set_it_again():
    """The same value twice does not make it the user's."""
    outer = of_child({}, (), FULL, GOT)
    assert child(outer, FULL) == ({name: value for name, value in outer.items() if name != MARK},
                                  set(mark.read(outer)))  # fmt: skip


# A program that helps us


def test_a_helper_gets_what_the_user_has_without_secrets():
    """Its own profile it may choose; neither credentials nor what opens the vault."""
    inherited = dict.fromkeys(STALE | VAULT_SECRETS | {"AWS_CONTAINER_AUTHORIZATION_TOKEN"}, "old")
    kept = {"AWS_PROFILE": "p", "AWS_CONFIG_FILE": "/c", "PATH": "/bin", MARK: "AWS_REGION", "AWS_REGION": "r"}
    assert of_helper(inherited | kept) == kept


# The locale


def test_a_locale_that_the_interpreter_set_is_taken_back(monkeypatch):
    """PEP 538: in a C locale it sets LC_CTYPE, for its children too; the command's locale is the user's business."""
    monkeypatch.setenv("LC_CTYPE", "C.UTF-8")
    for started, expected in ((b"A=1\0B=2\0", None), (b"A=1\0LC_CTYPE=C.UTF-8\0", "C.UTF-8"), (b"LC_CTYPE=\0", "")):
        monkeypatch.setattr(environment, "open", lambda *_, data=started: io.BytesIO(data), raising=False)
        assert of_helper(os.environ).get("LC_CTYPE") == expected


def test_a_locale_that_the_user_set_stays(monkeypatch):
    """Also when the kernel does not tell, and in an environment that is not this process's."""
    assert of_helper({"LC_CTYPE": "C.UTF-8"}) == {"LC_CTYPE": "C.UTF-8"}

    def refuse(*_):
        raise FileNotFoundError

    monkeypatch.setattr(environment, "open", refuse, raising=False)
    for locale in ("C.UTF-8", "de_DE.UTF-8"):
        monkeypatch.setenv("LC_CTYPE", locale)
        assert of_helper(os.environ)["LC_CTYPE"] == locale
