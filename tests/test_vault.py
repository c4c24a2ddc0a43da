import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import vault as module
from strongroom.credentials import Credentials, show_time
from strongroom.errors import ItemDamaged, ItemNotFound, KeystoreError, KeystoreLocked
from strongroom.keystore import Item
from strongroom.keystore.memory import MemoryKeystore
from strongroom.plan import ASSUME_ROLE, SESSION_TOKEN, Step
from strongroom.profiles import Profile
from strongroom.vault import CREDENTIAL, OLD_SESSION, SESSION, TOKEN, SessionName, Vault, kind_of

NOW = 1_795_300_000
M = "arn:aws:iam::111111111111:mfa/jon"
JON, OLD = Credentials("AKIAJONJONJONJONJON1", "secret of jon"), Credentials("AKIAOLDOLDOLDOLDOLD1", "old secret")
GOT = Credentials("ASIAGOTGOTGOTGOTGOT1", "temporary secret", "token", NOW + 3600)
FINGERPRINT = {"step": SESSION_TOKEN, "partition": "aws", "serial": M}

# Text as it may stand in a file of the user's: bytes that are no UTF-8 are kept as lone surrogates.
TEXTS = st.binary().map(lambda data: data.decode("utf-8", "surrogateescape"))


class Clock:
    """A clock that stands until it is told to go on."""

    def __init__(self, at=NOW):
        self.at = at

    def tick(self, seconds):
        self.at += seconds

    def __call__(self):
        return self.at


class Store(MemoryKeystore):
    """A store in memory that counts what is opened, and fails where a test says so."""

    def __init__(self, *args, **settings):
        super().__init__(*args, **settings)
        self.opened = []
        self.listings = 0
        self.failures = {}  # (method, key) -> error

    def listing(self):
        self.listings += 1
        return super().listing()

    def get(self, key):
        self.opened.append(key)
        return self._or_fail("get", key, super().get)

    def set(self, item):
        return self._or_fail("set", item.key, lambda _: super(Store, self).set(item))

    def remove(self, key):
        return self._or_fail("remove", key, super().remove)

    def _or_fail(self, method, key, do):
        if (method, key) in self.failures:
            raise self.failures[method, key]
        return do(key)


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(clock):
    return Store(now=clock)


@pytest.fixture
def vault(store, clock):
    """A vault with jon's key, stored a while ago."""
    made = Vault(store, now=clock)
    made.store_key("jon", JON)
    clock.tick(10)
    return made


def step(*, serial=M, profile="jon", duration=3600, wanted=0, fingerprint=None, kind=SESSION_TOKEN):
    return Step(kind, Profile(profile, {}), "why not", serial=serial, duration_seconds=duration, wanted_seconds=wanted,
                fingerprint=FINGERPRINT if fingerprint is None else fingerprint)  # fmt: skip


def put(store, *, left=3600, serial=M, profile="jon", kind=SESSION_TOKEN, fields=None, **more):
    """Store a session as aws-vault does, or with *more* fields of ours; returns its name."""
    expires_at = NOW + 10 + left
    name = SessionName.of(kind, profile, serial, expires_at)
    data = Credentials("ASIAPUTPUTPUTPUTPUT1", "secret", "token", expires_at).sts_fields() | more
    store.set(Item(name.key, json.dumps(data if fields is None else fields).encode()))
    return name.key


def made_for(*, key=JON.access_key_id, master="jon", lifetime=3600, fingerprint=FINGERPRINT):
    return {"fingerprint": fingerprint, "key": key, "from": master, "lifetime": lifetime}


# Names


def test_the_name_of_a_session():
    """The example of a name that aws-vault wrote, both ways."""
    key = "sts.GetSessionToken,am9u,YXJuOmF3czppYW06OjExMTExMTExMTExMTptZmEvam9u,1795315097"
    made = SessionName.of("sts.GetSessionToken", "jon", M, 1_795_315_097)
    read = SessionName.read(key)
    assert made.key == key
    assert values(read) == values(made) == (key, "sts.GetSessionToken", "jon", M, 1_795_315_097)


def values(name):
    return name.key, name.kind, name.profile, name.serial, name.expires_at


@given(TEXTS.filter(bool), TEXTS, st.integers(0, module.LATEST_EXPIRY), st.sampled_from([SESSION_TOKEN, ASSUME_ROLE]))
def test_any_session_has_a_name_that_is_read_back(profile, serial, expires_at, kind):
    """Whatever a profile or a device is called; and base64 is that of the standard library."""
    made = SessionName.of(kind, profile, serial, expires_at)
    assert values(SessionName.read(made.key)) == values(made)
    assert kind_of(made.key) == SESSION
    coded = base64.urlsafe_b64encode(profile.encode("utf-8", "surrogateescape")).decode().rstrip("=")
    assert made.key.split(",")[1] == coded
    assert "\n" not in made.key


@given(st.text() | st.lists(st.text("ab=+/-_,.Z9"), min_size=4, max_size=4).map(",".join))
def test_any_name_is_of_one_kind(key):
    """A name of a session is read, and nothing else is; no name is too strange."""
    kind = kind_of(key)
    assert kind in {CREDENTIAL, SESSION, OLD_SESSION, TOKEN}
    if kind == SESSION:
        assert SessionName.read(key).key == key
    elif kind == CREDENTIAL:
        assert SessionName.read(key) is None


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("jon", CREDENTIAL),
        ("", CREDENTIAL),
        ("a,b:c d/ü", CREDENTIAL),
        ("oidc:https://x.awsapps.com/start", TOKEN),
        ("oidc:", TOKEN),
        ("sts.GetSessionToken,am9u,,1795315097", SESSION),
        ("sso.GetRoleCredentials,am9u,aHR0cHM6Ly94,1795315097", SESSION),
        ("credential_process,am9u,,1", SESSION),
        ("a,am9u,,0", SESSION),
        # the first three forms of aws-vault
        ("session,am9u,,17", OLD_SESSION),
        ("session,jon,serial,1795315097", OLD_SESSION),
        ("session:jon:serial:1795315097", OLD_SESSION),
        ("session:::x", OLD_SESSION),
        ("jon session (1795315097)", OLD_SESSION),
        (" session (1)", OLD_SESSION),
        ("a\nb session (1)", OLD_SESSION),
        # nearly
        ("session,am9u,,1", SESSION),
        ("session,jon,serial,1x", CREDENTIAL),
        ("session:jo n:serial:1", CREDENTIAL),
        ("jon session ()", CREDENTIAL),
        ("jon session (1) ", CREDENTIAL),
        ("jon (1)", CREDENTIAL),
        ("sts.X,am9u,,", CREDENTIAL),
        ("sts.X,am9u,,-1", CREDENTIAL),
        ("sts.X,am9u,,١", CREDENTIAL),
        ("sts.X,,,1", CREDENTIAL),
        (",am9u,,1", CREDENTIAL),
        ("sts.X,am9u,1", CREDENTIAL),
        ("sts.X,am9u,,1,", CREDENTIAL),
        ("sts.X,am9u=,,1", CREDENTIAL),
        ("sts.X,am9,+w,1", CREDENTIAL),
        ("sts.X,am9,/w,1", CREDENTIAL),
        ("sts.X,am9ux,,1", CREDENTIAL),
        ("sts.X,a m9,,1", CREDENTIAL),
        ("sts.X,é,,1", CREDENTIAL),
        ("sts.X,am9u,,253402300799", SESSION),
        ("sts.X,am9u,,253402300800", CREDENTIAL),
        ("sts.X,am9u,," + "9" * 5000, CREDENTIAL),
    ],
)
def test_kinds_of_items(key, kind):
    """All items share one namespace: what one is, its name alone says."""
    assert kind_of(key) == kind


def test_what_is_stored_is_listed_by_kind(vault, store):
    """Each in its place, sorted, expired sessions too; the store is asked once until it is to be asked again."""
    old, late, soon = "ann session (12)", put(store, left=900), put(store, left=-900, profile="ann")
    store.set(Item(old, b""))
    store.set(Item("oidc:https://x", b""))
    store.set(Item("Ann", b""))
    store.listings = 0
    assert vault.credentials() == ["Ann", "jon"]
    assert [name.key for name in vault.sessions()] == sorted([late, soon])
    assert vault.tokens() == ["oidc:https://x"]
    assert vault.old_sessions() == [old]
    assert store.listings == 1
    vault.refresh()
    assert vault.listing == store.listing()
    assert store.listings == 3
    assert store.opened == []


# Long-term keys


def test_a_key_is_stored_as_aws_vault_stores_it(vault, store):
    """Its name, label, hint and every byte of its data; and it is read back, opened once."""
    assert store.get("jon") == Item(
        "jon",
        b'{"AccessKeyID":"AKIAJONJONJONJONJON1","SecretAccessKey":"secret of jon","SessionToken":"","Source":"",'
        b'"CanExpire":false,"Expires":"0001-01-01T00:00:00Z","AccountID":""}',
        label="aws-vault (jon)",
        not_trust_application=True,
    )
    store.opened.clear()
    assert vault.key("jon") == JON
    assert vault.key("jon") == JON
    assert store.opened == ["jon"]


def test_a_key_that_is_replaced_is_listed_anew(vault, store, clock):
    """What was known of the store is forgotten with a change of our own."""
    assert vault.listing == {"jon": NOW}
    clock.tick(5)
    vault.store_key("ann", OLD)
    assert vault.listing == {"jon": NOW, "ann": NOW + 15}


def test_the_two_fields_that_matter(store, vault):
    """Older versions wrote less, newer ones may write more."""
    store.set(Item("ann", b'{"SecretAccessKey":"s","AccessKeyID":"AKIA","New":[1]}'))
    assert vault.key("ann") == Credentials("AKIA", "s")


@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b"\xff", b"null", b"[]", b'"text"', b"7", b"{}", b'{"AccessKeyID":"AKIA"}', b"[" * 100_000,
        b'{"AccessKeyID":"","SecretAccessKey":"s"}', b'{"AccessKeyID":7,"SecretAccessKey":"s"}',
        b'{"AccessKeyID":"AKIA","SecretAccessKey":null}',
    ],
    ids=range(13),
)  # fmt: skip
def test_a_damaged_key(store, vault, data):
    """It is named, and how to replace it; nothing of it is shown, nor carried along as a cause."""
    store.set(Item("ann", data))
    with pytest.raises(ItemDamaged) as caught:
        vault.key("ann")
    error = caught.value
    assert (error.key, error.message) == ("ann", "what is stored for profile 'ann' is not an access key")
    assert error.hint == "store the key again with `strongroom add ann`"
    assert error.__cause__ is None
    assert error.__context__ is None


def test_no_key(vault):
    """The store's own error."""
    with pytest.raises(ItemNotFound) as caught:
        vault.key("ann")
    assert caught.value.key == "ann"


# Finding a session


@pytest.mark.parametrize(("left", "found"), [(299, False), (300, True), (301, True)])
def test_a_session_must_last_for_another_five_minutes(vault, store, left, found):
    """What is left must be enough for the command that gets it: to the second."""
    put(store, left=left)
    assert (vault.session(step(), "jon") is not None) is found
    assert store.opened == ([vault.sessions()[0].key] if found else [])


@pytest.mark.parametrize(("window", "left", "found"), [(60, 59, False), (60, 60, True), (0, 0, True), (-10, -5, True)])
def test_the_window_can_be_set(store, clock, window, left, found):
    """As AWS_MIN_TTL does."""
    clock.tick(10)
    put(store, left=left)
    other = Vault(store, min_ttl_seconds=window, now=clock)
    assert (other.session(step(), "jon") is not None) is found


def test_the_expiry_inside_counts_too(vault, store):
    """A name may promise more than the credentials keep."""
    inside = show_time(NOW + 10 + 299)
    put(store, left=3600, Expiration=inside)
    assert vault.session(step(), "jon") is None


@pytest.mark.parametrize("other", [{"serial": ""}, {"serial": M + "2"}, {"profile": "jo"}, {"kind": ASSUME_ROLE}])
def test_sessions_of_something_else_are_not_even_opened(vault, store, other):
    """Another device, profile or kind of step."""
    put(store, **other)
    assert vault.session(step(), "jon") is None
    assert store.opened == []


def test_a_session_of_aws_vault_is_used_as_aws_vault_would(vault, store):
    """It does not say what it was made for, so whatever is asked for, it is good; the key is not opened."""
    name = put(store)
    wanted = Credentials("ASIAPUTPUTPUTPUTPUT1", "secret", "token", NOW + 3610)
    assert vault.session(step(wanted=7200, fingerprint={"step": "other"}), "jon") == wanted
    assert store.opened == [name]


@pytest.mark.parametrize("ours", ["text", None, 7, [FINGERPRINT]])
def test_a_field_of_ours_that_is_none_of_ours(vault, store, ours):
    """Something else by that name says nothing, either."""
    put(store, Strongroom=ours)
    assert vault.session(step(), "jon") is not None


@pytest.mark.parametrize(
    "made",
    [
        made_for(fingerprint={**FINGERPRINT, "partition": "aws-cn"}), made_for(fingerprint={}), made_for(fingerprint=None),
        {}, made_for(lifetime=3599), made_for(lifetime="3600"), made_for(lifetime=None),
    ],
    ids=["another fingerprint", "empty", "none", "nothing", "shorter", "text", "no lifetime"],
)  # fmt: skip
def test_a_session_that_was_made_for_something_else(vault, store, made):
    """It is a miss: another fingerprint, or less time than is asked for now."""
    put(store, Strongroom=made)
    assert vault.session(step(wanted=3600), "jon") is None


@pytest.mark.parametrize(("lifetime", "wanted", "found"), [(3600, 0, True), (3600, 3600, True), (3600, 3601, False),
                                                           (28800, 3600, True), (900, 0, True)])  # fmt: skip
def test_a_session_that_lasts_as_long_as_is_wanted(vault, store, lifetime, wanted, found):
    """The whole lifetime counts, not what is left; a default wants nothing."""
    put(store, left=400, Strongroom=made_for(lifetime=lifetime))
    assert (vault.session(step(wanted=wanted), "jon") is not None) is found


def test_of_several_the_one_that_lasts_longest(vault, store):
    """And if it does not serve, the next."""
    short, long = put(store, left=600), put(store, left=7200)
    assert [name.key for name in vault.candidates(step())] == [long, short]
    assert vault.session(step(), "jon").expiration == NOW + 10 + 7200
    put(store, left=9000, Strongroom=made_for(fingerprint={}))
    put(store, left=8000, fields="damaged")
    vault.refresh()
    assert vault.session(step(), "jon").expiration == NOW + 10 + 7200


DAMAGED = {
    "text": "x",
    "list": [],
    "nothing": None,
    "number": 7,
    "empty": {},
    "no secret": {"AccessKeyId": "a", "SessionToken": "t", "Expiration": "2099-01-01T00:00:00Z"},
    "no time": {"AccessKeyId": "a", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": "tomorrow"},
}


@pytest.mark.parametrize("fields", DAMAGED.values(), ids=DAMAGED)
def test_a_corrupt_session_is_a_miss(vault, store, fields):
    """Whatever shape it has: the next command replaces it."""
    name = put(store)
    store.set(Item(name, json.dumps(fields).encode()))
    assert vault.session(step(), "jon") is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[" * 100_000], ids=range(4))
def test_bytes_that_are_no_json_are_a_miss(vault, store, data):
    """Cut short, or never were."""
    store.set(Item(put(store), data))
    assert vault.session(step(), "jon") is None


@pytest.mark.parametrize("error", [ItemDamaged("k", "damaged"), ItemNotFound("k"), KeystoreError("no")])
def test_an_item_that_cannot_be_opened_is_a_miss(vault, store, error):
    """Damaged, or removed by another process meanwhile."""
    store.failures["get", put(store)] = error
    assert vault.session(step(), "jon") is None


def test_a_session_under_another_passphrase_is_a_miss_if_the_key_can_be_opened(vault, store):
    """A store may hold items under several passphrases."""
    store.failures["get", put(store)] = KeystoreLocked("wrong passphrase")
    assert vault.session(step(), "jon") is None
    assert store.opened[-1] == "jon"


def test_a_wrong_passphrase_is_told(vault, store):
    """If it opens neither the session nor the key, asking AWS would fail all the same, and later."""
    store.failures["get", put(store)] = KeystoreLocked("of the session")
    store.failures["get", "jon"] = KeystoreLocked("of the key")
    with pytest.raises(KeystoreLocked) as caught:
        vault.session(step(), "jon")
    assert caught.value.message == "of the key"


# A session belongs to a key


def test_a_key_that_is_older_than_the_session_is_not_opened(vault, store):
    """The times of the items say that nothing has changed: half the work of a cached run."""
    name = put(store, Strongroom=made_for(key="AKIAWHOEVER"))
    assert vault.session(step(), "jon") is not None
    assert store.opened == [name]


@pytest.mark.parametrize(("ahead", "opened"), [(-1, False), (0, True), (1, True)])
def test_a_key_that_is_not_older_is_compared(vault, store, clock, ahead, opened):
    """Changed at the same time or later than the session: whose session is it?"""
    name = put(store, Strongroom=made_for())
    clock.tick(ahead)
    vault.store_key("jon", JON)
    assert vault.session(step(), "jon") is not None
    assert store.opened == [name, "jon"][: 1 + opened]


@pytest.mark.parametrize(("key", "found"), [(JON, True), (OLD, False)])
def test_a_session_of_another_profiles_key_is_compared(vault, store, clock, key, found):
    """That key is older too, but of whom? It may be the same key under another name."""
    store.set(Item("ann", store.get("jon").data))
    clock.tick(1)
    name = put(store, Strongroom=made_for(key=key.access_key_id))
    store.opened.clear()
    vault.refresh()
    assert (vault.session(step(), "ann") is not None) is found
    assert store.opened == [name, "ann"]


def test_a_session_of_the_key_before_is_a_miss(vault, store, clock):
    """The key was replaced, so its sessions may be those of another user."""
    put(store, Strongroom=made_for())
    clock.tick(1)
    vault.store_key("jon", OLD)
    assert vault.session(step(), "jon") is None


@pytest.mark.parametrize("unknown", [{"jon"}, {"session"}, {"jon", "session"}])
def test_a_store_that_does_not_know_when(vault, store, monkeypatch, unknown):
    """Without a time the key is compared: right all the same, and slower."""
    name = put(store, Strongroom=made_for())
    missing = {name if each == "session" else each for each in unknown}
    known = store.listing()
    monkeypatch.setattr(store, "listing", lambda: {k: None if k in missing else at for k, at in known.items()})
    vault.refresh()
    assert vault.session(step(), "jon") is not None
    assert store.opened == [name, "jon"]


# Keeping a session


def test_a_session_is_kept_as_aws_vault_keeps_it_and_says_what_for(vault, store):
    """Name, label, description and data; aws-vault passes over the field that it does not know."""
    vault.begin("jon")
    vault.keep(step(), GOT, "jon")
    name = SessionName.of(SESSION_TOKEN, "jon", M, NOW + 3600)
    item = store.get(name.key)
    assert (item.label, item.description, item.not_trust_application) == (
        "aws-vault session for jon (expires 2026-11-21T23:26:40Z)", "aws-vault session", False,
    )  # fmt: skip
    assert list(json.loads(item.data).items()) == [
        ("AccessKeyId", "ASIAGOTGOTGOTGOTGOT1"),
        ("Expiration", "2026-11-21T23:26:40Z"),
        ("SecretAccessKey", "temporary secret"),
        ("SessionToken", "token"),
        ("Strongroom", {"fingerprint": FINGERPRINT, "key": JON.access_key_id, "from": "jon", "lifetime": 3600}),
    ]
    assert vault.session(step(wanted=3600), "jon") == GOT
    assert vault.session(step(wanted=3601), "jon") is None


def test_what_is_kept_takes_the_place_of_what_was_there(vault, store, clock):
    """Of the same kind, profile and device; expired ones of all profiles and old forms go too, the rest stays."""
    stay = [put(store, serial=""), put(store, profile="ann"), put(store, kind=ASSUME_ROLE), "ann", "jon", "oidc:x"]
    put(store)
    put(store, left=7200)
    put(store, left=0, profile="ann")
    put(store, left=-1, serial="x")
    for name in ("ann", "oidc:x", "jon session (12)"):
        store.set(Item(name, b""))
    vault.begin("jon")
    vault.keep(step(), GOT, "jon")
    kept = SessionName.of(SESSION_TOKEN, "jon", M, NOW + 3600).key
    assert sorted(store.listing()) == sorted([*stay, kept])
    assert sorted(vault.listing) == sorted(store.listing())


def test_nothing_is_lost_if_the_new_one_cannot_be_written(vault, store):
    """The error is the caller's to tell; the older session stays."""
    older = put(store)
    vault.begin("jon")
    store.failures["set", SessionName.of(SESSION_TOKEN, "jon", M, NOW + 3600).key] = KeystoreError("disk full")
    with pytest.raises(KeystoreError, match="disk full"):
        vault.keep(step(), GOT, "jon")
    assert sorted(store.listing()) == sorted(["jon", older])


def test_a_session_that_cannot_be_swept_stays(vault, store):
    """What others left behind is no reason to fail, nor to stop sweeping."""
    locked, other = put(store, left=-10, profile="ann"), put(store, left=-10, profile="zoe")
    store.failures["remove", locked] = KeystoreError("read-only")
    vault.begin("jon")
    vault.keep(step(), GOT, "jon")
    assert locked in store.listing()
    assert other not in store.listing()


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_nothing_is_kept_if_the_key_changed_meanwhile(vault, store, clock, change):
    """The session is that of the former key: the next command would take it for one of the new."""
    vault.begin("jon")
    assert vault.key("jon") == JON
    clock.tick(1)
    another = Vault(store, now=clock)
    if change == "replaced":
        another.store_key("jon", OLD)
    else:
        another.remove(["jon"])
    vault.keep(step(), GOT, "jon")
    assert vault.sessions() == []
    assert list(store.listing()) == (["jon"] if change == "replaced" else [])


def test_a_store_without_times_keeps_sessions_too(vault, store, monkeypatch):
    """It cannot say whether the key has changed; the key's id inside the session can."""
    known = store.listing
    monkeypatch.setattr(store, "listing", lambda: dict.fromkeys(known()))
    vault.refresh()
    vault.begin("jon")
    vault.keep(step(), GOT, "jon")
    assert vault.session(step(), "jon") == GOT


def test_credentials_without_an_end_are_stored_as_expired(vault, store):
    """STS never gives them; should it, nobody uses them for ever."""
    vault.begin("jon")
    vault.keep(step(), Credentials("ASIA", "s", "t"), "jon")
    assert [name.expires_at for name in vault.sessions()] == [0]
    assert vault.session(step(), "jon") is None


# Removing


def test_sweeping_removes_what_nobody_can_use(vault, store):
    """To the second: what ends now is over."""
    put(store, left=-1)
    put(store, left=0)
    good = put(store, left=1)
    store.set(Item("session,jon,x,17", b""))
    vault.sweep()
    assert sorted(store.listing()) == sorted(["jon", good])


def test_what_is_removed_is_counted(vault, store):
    """What another process removed first is not; the store is listed anew."""
    names = [put(store), put(store, left=9000)]
    assert vault.listing
    assert vault.remove([names[0], "gone", names[1]]) == 2
    assert vault.listing == {"jon": NOW}
    assert vault.remove([]) == 0


def test_what_cannot_be_removed_is_an_error(vault, store):
    """Nobody may think that it is gone."""
    name = put(store)
    store.failures["remove", name] = KeystoreError("read-only")
    with pytest.raises(KeystoreError, match="read-only"):
        vault.remove([name])
    assert name in store.listing()


@given(TEXTS)
def test_base64_without_padding(text):
    """Of RFC 4648, section 5; what has padding or other letters is refused."""
    coded = module.encode(text)
    assert module.decode(coded) == text
    padding = "=" * (-len(coded) % 4)
    if padding:
        with pytest.raises(ValueError):
            module.decode(coded + padding)
    with pytest.raises(ValueError):
        module.decode(coded + "+" * 4)
