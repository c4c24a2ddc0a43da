import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rotation.surroundings import ARN, OLD, Surroundings, shown
from strongroom.aws import client
from strongroom.credentials import Credentials
from strongroom.errors import AwsRefused, ItemNotFound, KeystoreError, StrongroomError
from strongroom.keystore.memory import MemoryKeystore
from strongroom.rotation import Found, RotationFailed
from strongroom.rotation import journal as journals
from strongroom.rotation.owner import Owner

S1 = shown(OLD.access_key_id)
HAS_OLD = f"'jon' still has its key {S1}"
RESUME = "`strongroom rotate --resume jon` goes on from there"
RIGHTS = (
    "the user needs iam:ListAccessKeys, iam:CreateAccessKey, iam:UpdateAccessKey and iam:DeleteAccessKey; "
    "if a policy asks for MFA, set mfa_serial"
)


def refuse(jon, action, **settings):
    jon.cloud.fail(action, times=settings.pop("times", 1000), **settings)


def failure(jon):
    """(message, hint) of a rotation that stops."""
    with pytest.raises(RotationFailed) as caught:
        jon.rotate()
    return caught.value.message, caught.value.hint


class TestWhole:
    """A rotation that nothing disturbs."""

    def test_without_mfa(self, jon):
        """The old key makes the new one, the new one switches the old one off and deletes it. No session."""
        ended = jon.rotate()
        jon.check_done()
        assert (ended.stage, ended.old, ended.new) == ("deleted", OLD.access_key_id, jon.stored())
        signers = [(call.action, call.access_key_id) for call in jon.cloud.calls[:-1]]
        new = jon.stored().access_key_id
        assert signers == [
            ("GetCallerIdentity", OLD.access_key_id),
            ("ListAccessKeys", OLD.access_key_id),
            ("CreateAccessKey", OLD.access_key_id),
            *[("GetCallerIdentity", new)] * 4,
            ("UpdateAccessKey", new),
            ("DeleteAccessKey", new),
        ]
        assert [call.parameters.get("UserName") for call in jon.cloud.calls if call.service == "iam"] == ["jon"] * 4
        assert jon.said == [
            "Creating a new access key",
            f"Created new access key {shown(new)}",
            "The new access key works: it has answered 4 times in a row",
            f"Deactivated old access key {S1}",
            f"Deleting old access key {S1}",
            f"Deleted old access key {S1}",
            "Finished rotating access key",
        ]
        assert (jon.warned, jon.forgotten, jon.waited) == ([], [["jon"]], 3)

    def test_with_mfa(self, cloud):
        """One session, made once, does everything but the proof."""
        jon = Surroundings(cloud, mfa=True)
        cloud.iam.needs_mfa = True
        jon.rotate()
        jon.check_done()
        assert jon.actions() == [
            ("GetSessionToken", "key"),
            ("ListAccessKeys", "session"),
            ("CreateAccessKey", "session"),
            ("UpdateAccessKey", "session"),
            ("DeleteAccessKey", "session"),
        ]
        assert jon.reasons == []

    def test_a_session_that_ends_with_the_old_key(self, cloud):
        """Then, and only then, a second one is made, from the new key; why is said."""
        jon = Surroundings(cloud, mfa=True)
        cloud.iam.sessions_die = True
        jon.rotate()
        jon.check_done()
        assert jon.reasons == [
            "AWS does not take the session any more, now that the old key is off: a new one is needed"
        ]
        made = [call.access_key_id for call in cloud.calls if call.action == "GetSessionToken"]
        assert made == [OLD.access_key_id, jon.stored().access_key_id]

    def test_a_session_that_aws_refuses_from_the_start(self, cloud):
        """A stored one may have been revoked: a new one is made from the stored key."""
        jon = Surroundings(cloud, mfa=True)
        cloud.fail("GetCallerIdentity", code="ExpiredToken")
        jon.rotate()
        jon.check_done()
        assert jon.reasons == [
            "AWS does not take the session any more, although it has not expired: a new one is needed"
        ]

    def test_two_refused_sessions(self, cloud):
        """A third is not tried."""
        jon = Surroundings(cloud, mfa=True)
        cloud.fail("GetCallerIdentity", code="ExpiredToken", times=9)
        with pytest.raises(AwsRefused):
            jon.rotate()
        assert len(jon.reasons) == 1

    def test_copies(self, jon):
        """Other profiles that the same key is stored for get the new one too; other keys stay."""
        jon.vault.store_key("copy", OLD)
        other = Credentials("AKIAOTHEROTHEROTHER1", "other")
        jon.vault.store_key("other", other)
        jon.rotate()
        jon.check_done()
        assert jon.stored("copy") == jon.stored()
        assert jon.stored("other") == other
        assert jon.forgotten == [["jon", "copy"]]

    def test_a_copy_that_cannot_be_read(self, jon):
        """It is said, and left alone."""
        jon.vault.store_key("copy", OLD)
        jon.keystore._items["copy"][0].data = b"{"
        jon.rotate()
        jon.check_done()
        assert jon.warned == [
            "whether 'copy' has the same key cannot be told: what is stored for profile 'copy' is not an access key"
        ]

    def test_the_root_user(self, cloud):
        """It has keys and no name."""
        jon = Surroundings(cloud)
        key = cloud.iam.keys.pop(OLD.access_key_id)
        arn = "arn:aws:iam::111111111111:root"
        root = type(key.key)(OLD.access_key_id, OLD.secret_access_key, arn)
        cloud.keys[OLD.access_key_id] = root
        cloud.iam.users = {arn: "root"}
        cloud.iam.keys[root.access_key_id] = type(key)(root, 0)
        jon.rotate()
        assert cloud.iam.status() == {jon.stored().access_key_id: "Active"}
        assert all("UserName" not in call.parameters for call in cloud.calls)


class TestNewKey:
    """A key that AWS does not know everywhere yet."""

    @settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(delay=st.integers(0, 30), flaps=st.lists(st.booleans(), max_size=12))
    def test_delays(self, cloud, delay, flaps):
        """However late, and whichever of AWS's machines know the key: it is stored once it answers four times in a row."""
        cloud.reset()
        jon = Surroundings(cloud)
        jon.cloud.iam.delay_seconds, jon.cloud.iam.flaps = delay, list(flaps)
        jon.rotate()
        answers = "".join(
            "+" if answer == "ok" else "-"
            for call, answer in zip(jon.cloud.calls, jon.cloud.answers, strict=True)
            if call.action == "GetCallerIdentity" and call.access_key_id == jon.stored().access_key_id
        )
        assert answers.endswith("++++")
        assert "++++" not in answers[:-1]
        jon.check_done()

    def test_a_key_that_never_works(self, jon):
        """The old one stays; the new one is kept, and the next run goes on with it."""
        jon.cloud.iam.delay_seconds = 200
        message, hint = failure(jon)
        new = jon.journal()["new"]
        assert message == (
            f"the new access key {shown(new)} does not work, or not yet: sts GetCallerIdentity was refused "
            "(InvalidClientTokenId): The security token included in the request is invalid."
        )
        assert hint == f"{HAS_OLD}, and the new one, {shown(new)}, is active too and kept in the vault; {RESUME}"
        assert 90 <= jon.waited < 100
        assert jon.stored() == OLD
        jon.cloud.skew_seconds += 200
        jon.rotate()
        jon.check_done()
        assert jon.stored().access_key_id == new

    def test_aws_away_for_a_while(self, jon):
        """A proof that gets no answer is tried again."""
        work = jon.rotation()
        found = work.look()
        jon.cloud.fail("GetCallerIdentity", status=503, code="ServiceUnavailable", times=8)
        jon.cloud.cut("GetCallerIdentity", times=6)
        work.begin(found)
        jon.check_done()

    def test_a_key_that_somebody_deletes(self, jon):
        """Nothing is left of the rotation, and the next one begins anew."""
        jon.cloud.iam.delay_seconds = 200
        failure(jon)
        new = jon.journal()["new"]
        del jon.cloud.iam.keys[new], jon.cloud.keys[new]
        assert failure(jon) == (
            f"the new access key {shown(new)} is gone: somebody has deleted it in IAM", f"{HAS_OLD}; rotate again"
        )  # fmt: skip
        assert jon.journal() is None
        jon.cloud.iam.delay_seconds = 0
        jon.rotate()
        jon.check_done()

    def test_a_key_that_somebody_switches_off(self, jon):
        """It is said; once it is on, the rotation goes on."""
        jon.cloud.iam.delay_seconds = 200
        failure(jon)
        new = jon.journal()["new"]
        jon.cloud.iam.keys[new].is_active = False
        message, hint = failure(jon)
        assert message == f"the new access key {shown(new)} is inactive: somebody has switched it off in IAM"
        assert hint.startswith(HAS_OLD)
        jon.cloud.iam.keys[new].is_active = True
        jon.cloud.skew_seconds += 200
        jon.rotate()
        jon.check_done()

    def test_a_key_of_somebody_else(self, jon):
        """AWS would have to be out of its mind; nothing is stored then."""
        jon.cloud.iam.delay_seconds = 200
        failure(jon)
        other = jon.cloud.key(jon.journal()["new"], jon.journal()["secret"], user="ann")
        jon.cloud.iam.keys.pop(other.access_key_id)
        message, _ = failure(jon)
        new = shown(other.access_key_id)
        assert message == f"the new access key {new} is that of arn:aws:iam::111111111111:user/ann, not of {ARN}"
        assert jon.stored() == OLD

    def test_a_key_that_does_not_work_and_cannot_be_looked_for(self, jon):
        """Then what AWS said of the key itself is told."""
        jon.cloud.iam.delay_seconds = 200
        jon.cloud.iam.denied = {"ListAccessKeys"}
        message, hint = failure(jon)
        assert message.startswith("the new access key ****************")
        assert "does not work, or not yet" in message
        assert hint.endswith(RESUME)


class TestDenied:
    """A user who may not do all of it."""

    @pytest.mark.parametrize("action", ["CreateAccessKey"])
    def test_make(self, jon, action):
        """Nothing has changed, and there is nothing to go on with."""
        jon.cloud.iam.denied = {action}
        message, hint = failure(jon)
        assert message.startswith(f"iam {action} was refused (AccessDenied): User: {ARN} is not authorized")
        assert hint == f"{HAS_OLD}, and nothing has changed; {RIGHTS}"
        assert (jon.stored(), jon.journal()) == (OLD, None)
        assert jon.cloud.iam.status() == {OLD.access_key_id: "Active"}

    def test_list(self, jon):
        """The rotation goes on; what could not be found again after a crash is said."""
        jon.cloud.iam.denied = {"ListAccessKeys"}
        jon.rotate()
        jon.check_done()
        (warning,) = jon.warned
        assert warning.startswith("what a crash might leave could not be found again: iam ListAccessKeys was refused")

    def test_switch_off(self, jon):
        """The old key goes at once."""
        jon.cloud.iam.denied = {"UpdateAccessKey"}
        jon.rotate()
        jon.check_done()
        (warning,) = jon.warned
        assert warning.startswith("the old access key is deleted without being switched off first: iam UpdateAccessKey")

    def test_delete(self, jon):
        """The new key is stored, the old one off; a second run makes no third key, and ends it once it may."""
        jon.cloud.iam.denied = {"DeleteAccessKey"}
        message, hint = failure(jon)
        new = jon.stored().access_key_id
        assert message.startswith("iam DeleteAccessKey was refused (AccessDenied)")
        assert hint == (
            f"'jon' has the new key {shown(new)}, which works, and the old one, {S1}, is inactive but not deleted; "
            f"{RESUME}, once the user may do this or {S1} is deleted in IAM"
        )
        assert jon.cloud.iam.status() == {OLD.access_key_id: "Inactive", new: "Active"}
        assert [call.action for call in jon.cloud.calls].count("DeleteAccessKey") == 1
        failure(jon)
        assert [call.action for call in jon.cloud.calls].count("CreateAccessKey") == 1
        jon.cloud.iam.denied = set()
        jon.rotate()
        jon.check_done()
        assert jon.stored().access_key_id == new

    def test_switch_off_and_delete(self, jon):
        """The old key is active still, and that is said."""
        jon.cloud.iam.denied = {"UpdateAccessKey", "DeleteAccessKey"}
        _, hint = failure(jon)
        assert f"and the old one, {S1}, is still active; " in hint
        assert failure(jon)[1] == hint
        del jon.cloud.iam.keys[OLD.access_key_id]  # by hand, by somebody who may
        jon.rotate()
        jon.check_done()

    def test_switch_off_and_delete_and_list(self, jon):
        """Whether somebody has deleted the old key cannot be seen then."""
        jon.cloud.iam.denied = {"UpdateAccessKey", "DeleteAccessKey", "ListAccessKeys"}
        assert failure(jon)[0].startswith("iam DeleteAccessKey was refused")

    def test_everything_for_want_of_mfa(self, jon):
        """The key cannot be listed, and not made: the hint names mfa_serial."""
        jon.cloud.iam.needs_mfa = True
        _, hint = failure(jon)
        assert hint == f"{HAS_OLD}, and nothing has changed; {RIGHTS}"


class TestAway:
    """AWS that is busy, or does not answer."""

    @pytest.mark.parametrize("action", ["ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"])
    @pytest.mark.parametrize("late", [False, True])
    def test_cut_connections(self, jon, action, late):
        """It is tried again, patiently; that it was done already does no harm."""
        jon.cloud.cut(action, times=4, late=late)
        jon.rotate()
        jon.check_done()

    @pytest.mark.parametrize("action", ["ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"])
    @pytest.mark.parametrize("code", ["Throttling", "ServiceFailure", "EntityTemporarilyUnmodifiable"])
    def test_busy(self, jon, action, code):
        """The same."""
        refuse(jon, action, code=code, status=409, times=5)
        jon.rotate()
        jon.check_done()

    def test_for_good(self, jon):
        """After half a minute it stops, and says where."""
        refuse(jon, "DeleteAccessKey", code="ServiceFailure", status=500)
        message, hint = failure(jon)
        assert message == "iam DeleteAccessKey was refused (ServiceFailure): no"
        assert hint.endswith(f"is inactive but not deleted; {RESUME}")
        assert 30 <= jon.waited - 3 < 40
        jon.cloud.heal()
        jon.rotate()
        jon.check_done()

    def test_other_refusals_are_not_tried_again(self, jon):
        """What will not change by itself is said at once."""
        refuse(jon, "DeleteAccessKey", code="DeleteConflict", status=409)
        failure(jon)
        assert jon.waited == 3

    def test_the_new_key_is_not_known_to_iam_yet(self, jon):
        """STS knew it, and IAM asks another machine."""
        jon.cloud.fail("UpdateAccessKey", code="InvalidClientTokenId", times=3)
        jon.rotate()
        jon.check_done()

    @pytest.mark.parametrize("action", ["ListAccessKeys", "UpdateAccessKey"])
    def test_a_refusal_that_is_none_of_rights(self, jon, action):
        """It is no reason to do without the call."""
        refuse(jon, action, code="Nonsense", status=400)
        with pytest.raises(StrongroomError, match=rf"iam {action} was refused \(Nonsense\): no"):
            jon.rotate()
        jon.cloud.heal()
        jon.rotate()
        jon.check_done()

    def test_a_lost_key_that_shows_just_in_time(self, jon, monkeypatch):
        """Listed only after AWS has refused to make a third one: it is deleted after a yes, and all goes on."""
        jon.cloud.cut("CreateAccessKey")
        failure(jon)
        make, lost = Owner.make_key, []

        def full(owner):
            if not lost:
                lost.append(jon.cloud.iam.second_key("jon", age_days=0))
            return make(owner)

        monkeypatch.setattr(Owner, "make_key", full)
        jon.yes = True
        jon.rotate()
        jon.check_done()
        assert f"Deleted access key {shown(lost[0])}" in jon.said

    def test_a_dead_key(self, jon):
        """A stored key that AWS does not know is no matter of patience."""
        jon.cloud.iam.keys[OLD.access_key_id].is_active = False
        with pytest.raises(AwsRefused) as caught:
            jon.rotate()
        assert caught.value.code == "InvalidClientTokenId"
        assert (jon.waited, jon.journal()) == (0, None)

    def test_no_word_of_a_new_key(self, jon):
        """Whether one was made is not known: the next run looks, and deletes it after a yes."""
        jon.cloud.cut("CreateAccessKey", late=True)
        message, hint = failure(jon)
        assert message.startswith("iam CreateAccessKey did not reach AWS: ")
        assert hint == f"{HAS_OLD}, and whether AWS has made another is not known; {RESUME}"
        message, hint = failure(jon)
        (lost,) = set(jon.cloud.iam.status()) - {OLD.access_key_id}
        text = f"access key {shown(lost)} (active, made less than a minute ago, never used) has appeared since the rotation of 'jon' began"
        assert message == f"{text}, and its secret is not known here"
        assert hint == (f"{HAS_OLD}; if nobody needs the other, delete it: `strongroom rotate --resume --yes jon`")
        assert jon.questions == [f"A{text[1:]}, and its secret is not known here. Delete it? (y|N) "]
        assert jon.journal()["stage"] == "planned"
        jon.yes = True
        jon.rotate()
        jon.check_done()

    def test_trouble_at_awss_side_while_a_key_is_made(self, jon):
        """It may have been made all the same, so the journal stays."""
        refuse(jon, "CreateAccessKey", code="ServiceFailure", status=500)
        assert failure(jon)[1] == f"{HAS_OLD}, and whether AWS has made another is not known; {RESUME}"
        assert (jon.journal()["stage"], jon.cloud.actions.count("CreateAccessKey")) == ("planned", 1)

    def test_no_word_of_a_new_key_that_was_not_made(self, jon):
        """The next run simply makes one."""
        jon.cloud.cut("CreateAccessKey")
        message, hint = failure(jon)
        assert message.startswith("iam CreateAccessKey did not reach AWS: ")
        assert hint == f"{HAS_OLD}, and whether AWS has made another is not known; {RESUME}"
        jon.rotate()
        jon.check_done()

    def test_a_lost_key_that_is_listed_late(self, jon):
        """AWS counts it before it shows it: there is no third key, and a minute later it is found."""
        jon.cloud.iam.list_delay_seconds = 20
        jon.cloud.cut("CreateAccessKey", late=True)
        failure(jon)
        message, hint = failure(jon)
        assert (
            message == "iam CreateAccessKey was refused (LimitExceeded): Cannot exceed quota for AccessKeysPerUser: 2"
        )
        assert hint == (
            f"{HAS_OLD}; AWS counts a key that it does not list yet: wait a minute, then "
            "`strongroom rotate --resume jon`"
        )
        jon.cloud.skew_seconds += 60
        jon.yes = True
        jon.rotate()
        jon.check_done()


class TestTwoKeys:
    """A user who has as many keys as there may be."""

    def test_an_active_one(self, jon):
        """Refused, with both keys; nothing is asked, whatever --yes says."""
        other, jon.yes = jon.cloud.iam.second_key("jon", age_days=400), True
        jon.cloud.iam.keys[other].last_used_at = jon.cloud.now() - 86_400 * 30
        assert failure(jon) == (
            "the user has 2 access keys, as many as AWS allows: "
            f"{shown(other)} (active, made 400 days ago, last used 30 days ago) and "
            f"{S1} (active, made 100 days ago, last used less than a minute ago); {S1} is the stored one",
            f"if nobody uses {shown(other)} any more, deactivate it in IAM and rotate again: then it can be deleted",
        )
        assert (jon.questions, jon.journal()) == ([], None)

    @pytest.mark.parametrize("answers", [[], [False]])
    def test_an_inactive_one_without_a_yes(self, jon, answers):
        """A no is a no, and so is silence."""
        other = jon.cloud.iam.second_key("jon", is_active=False)
        jon.answers = answers
        message, hint = failure(jon)
        assert message.startswith(f"the user has 2 access keys, as many as AWS allows: {shown(other)} (inactive, made")
        assert hint == "`strongroom rotate --yes jon` deletes the inactive one first"
        assert jon.questions == [
            f"Delete the inactive access key {shown(other)} (inactive, made 400 days ago, never used)? (y|N) "
        ]
        assert len(jon.cloud.iam.status()) == 2

    @pytest.mark.parametrize("yes", [True, False])
    def test_an_inactive_one(self, jon, yes):
        """With a yes it goes, and the rotation begins."""
        other = jon.cloud.iam.second_key("jon", is_active=False)
        jon.yes, jon.answers = yes, [True]
        jon.rotate()
        jon.check_done()
        assert jon.said[0] == f"Deleted inactive access key {shown(other)}"

    def test_last_use_unknown(self, jon):
        """Who may not ask is told so."""
        jon.cloud.iam.second_key("jon")
        jon.cloud.iam.denied = {"GetAccessKeyLastUsed"}
        message, _ = failure(jon)
        assert message.count("last use unknown") == 2


class TestAppeared:
    """Keys that are there since an interrupted rotation began."""

    @pytest.fixture
    def planned(self, jon):
        jon.own.put(
            journals.KIND,
            "jon",
            journals.Journal("jon", names=["jon"], arn=ARN, old=OLD.access_key_id, known=[OLD.access_key_id]).fields(),
        )
        return jon

    def test_one_that_has_been_used(self, planned):
        """It is somebody's: --yes does not reach it."""
        other, planned.yes = planned.cloud.iam.second_key("jon", age_days=0), True
        planned.cloud.iam.keys[other].last_used_at = planned.cloud.now()
        message, hint = failure(planned)
        assert "last used less than a minute ago) has appeared since" in message
        assert hint == f"{HAS_OLD}; if nobody needs the other, delete it: in IAM, and rotate again"
        planned.answers = [True]
        planned.rotate()
        planned.check_done()

    def test_who_may_not_ask_for_the_last_use(self, planned):
        """It may have been used, so --yes does not reach it."""
        planned.cloud.iam.second_key("jon", age_days=0)
        planned.cloud.iam.denied, planned.yes = {"GetAccessKeyLastUsed"}, True
        assert "last use unknown" in failure(planned)[0]

    def test_one_that_was_there_before(self, jon):
        """It is none of our business, but there is no room."""
        other = jon.cloud.iam.second_key("jon")
        known = [OLD.access_key_id, other]
        made = journals.Journal("jon", names=["jon"], arn=ARN, old=OLD.access_key_id, known=known)
        jon.own.put(journals.KIND, "jon", made.fields())
        jon.yes = True
        message, _ = failure(jon)
        assert "LimitExceeded" in message
        assert other in jon.cloud.iam.status()

    def test_what_cannot_be_listed(self, planned):
        """Then it stops: which key has appeared cannot be known."""
        planned.cloud.iam.denied = {"ListAccessKeys"}
        message, hint = failure(planned)
        assert message.startswith("iam ListAccessKeys was refused")
        assert hint == f"{HAS_OLD}, and nothing has changed; {RIGHTS}"

    def test_what_could_not_be_listed(self, jon):
        """A journal that does not know of other keys leaves all of them alone."""
        made = journals.Journal("jon", names=["jon"], arn=ARN, old=OLD.access_key_id, known=None)
        jon.own.put(journals.KIND, "jon", made.fields())
        jon.rotate()
        jon.check_done()


class TestStore:
    """A store that fails."""

    def fail_at(self, monkeypatch, jon, wanted, times=1):
        """Let the next writes of items whose journal would be at that stage, or of the key, fail."""
        left = [times]
        original = MemoryKeystore.set

        def broken(store, item):
            told = item.data.decode()
            if left[0] and (f'"stage": "{wanted}"' in told if wanted != "key" else item.key == "jon"):
                left[0] -= 1
                raise KeystoreError("the disk is full", "make room")
            original(store, item)

        monkeypatch.setattr(MemoryKeystore, "set", broken)

    def test_before_anything(self, jon, monkeypatch):
        """Nothing has been done."""
        self.fail_at(monkeypatch, jon, "planned")
        with pytest.raises(KeystoreError, match="the disk is full"):
            jon.rotate()
        assert "CreateAccessKey" not in jon.cloud.actions

    def test_the_new_key_cannot_be_kept(self, jon, monkeypatch):
        """It is deleted again; the old one is untouched."""
        self.fail_at(monkeypatch, jon, "created")
        message, hint = failure(jon)
        assert message.startswith("the disk is full; the new access key ****************")
        assert message.endswith(" was deleted again")
        assert hint == f"{HAS_OLD}; make room"
        assert (jon.stored(), jon.journal()) == (OLD, None)
        assert jon.cloud.iam.status() == {OLD.access_key_id: "Active"}

    def test_the_new_key_can_neither_be_kept_nor_deleted(self, jon, monkeypatch):
        """Its id and what to do are said; the next run finds it."""
        self.fail_at(monkeypatch, jon, "created")
        jon.cloud.iam.denied = {"DeleteAccessKey"}
        message, hint = failure(jon)
        (lost,) = set(jon.cloud.iam.status()) - {OLD.access_key_id}
        assert message.startswith(
            f"the disk is full; so the secret of the new access key {shown(lost)} is lost, and it could not be deleted "
            "again: iam DeleteAccessKey was refused"
        )
        assert hint == f"{HAS_OLD}; delete {shown(lost)} in IAM, and rotate again"
        jon.cloud.iam.denied, jon.yes = set(), True
        jon.rotate()
        jon.check_done()

    def test_a_new_key_that_is_not_known_yet_is_deleted_all_the_same(self, jon, monkeypatch):
        """Where IAM does not find what it has just made, it is asked again."""
        self.fail_at(monkeypatch, jon, "created")
        jon.cloud.fail("DeleteAccessKey", code="NoSuchEntity", status=404, times=3)
        failure(jon)
        assert jon.cloud.iam.status() == {OLD.access_key_id: "Active"}

    def test_a_journal_that_stays(self, jon, monkeypatch):
        """It knows of no key that could be missed."""
        self.fail_at(monkeypatch, jon, "created")

        def broken(_store, _key):
            raise KeystoreError("the disk is broken")

        with monkeypatch.context() as patch:
            patch.setattr(MemoryKeystore, "remove", broken)
            failure(jon)
        jon.rotate()
        jon.check_done()

    @pytest.mark.parametrize("stage", ["proved", "key", "swapped", "deactivated", "deleted"])
    def test_later(self, jon, monkeypatch, stage):
        """What is true is said; the next run goes on."""
        self.fail_at(monkeypatch, jon, stage)
        message, hint = failure(jon)
        assert message == "the disk is full"
        new = shown(jon.journal()["new"])
        expected = {
            "proved": f"{HAS_OLD}, and the new one, {new}, is active too and kept in the vault",
            "key": f"{HAS_OLD}, and the new one, {new}, is active too and kept in the vault",
            "swapped": f"'jon' has the new key {new}, which works, and the old one, {S1}, is still active",
            "deactivated": f"'jon' has the new key {new}, which works, and the old one, {S1}, is still active",
            "deleted": f"'jon' has the new key {new}, which works, and the old one, {S1}, is inactive but not deleted",
        }
        assert hint == f"{expected[stage]}; {RESUME}"
        jon.rotate()
        jon.check_done()

    def test_a_store_that_cannot_be_read_any_more(self, jon, monkeypatch):
        """What is true is told by the journal."""
        jon.cloud.iam.denied = {"DeleteAccessKey"}
        with monkeypatch.context() as patch:
            delete = Owner.delete

            def broken(owner, key_id):
                patch.setattr(MemoryKeystore, "get", lambda _store, _key: fail())
                delete(owner, key_id)

            def fail():
                raise KeystoreError("the disk is broken")

            patch.setattr(Owner, "delete", broken)
            _, hint = failure(jon)
        assert f"and the old one, {S1}, is inactive but not deleted" in hint

    def test_at_the_end(self, jon, monkeypatch):
        """The journal that cannot be removed is, by the next run."""

        def broken(_store, _key):
            raise KeystoreError("the disk is broken")

        with monkeypatch.context() as patch:
            patch.setattr(MemoryKeystore, "remove", broken)
            message, hint = failure(jon)
        assert message == "the disk is broken"
        assert hint.endswith(f"and the old one, {S1}, is deleted; {RESUME}")
        jon.rotate()
        jon.check_done()
        assert jon.cloud.actions.count("CreateAccessKey") == 1

    def test_what_is_stored_is_not_what_was_written(self, jon, monkeypatch):
        """The old key is not touched before the stored one was read back."""
        original = MemoryKeystore.set
        monkeypatch.setattr(MemoryKeystore, "set", lambda store, item: item.key == "jon" or original(store, item))
        message, hint = failure(jon)
        assert message == "what is stored for 'jon' is not what was written"
        assert hint.startswith(HAS_OLD)
        assert "UpdateAccessKey" not in jon.cloud.actions


class TestReplaced:
    """A stored key that changed while a rotation was interrupted."""

    NEW = Credentials("AKIANEWNEWNEWNEWNEW1", "new")

    def put(self, jon, stage, new=NEW):
        made = journals.Journal("jon", names=["jon"], arn=ARN, old=OLD.access_key_id, known=[OLD.access_key_id])
        jon.own.put(journals.KIND, "jon", made.at(stage, new).fields())

    def replace(self, jon):
        """Somebody has stored another key of jon's."""
        other = jon.cloud.iam.second_key("jon")
        jon.vault.store_key("jon", Credentials(other, jon.cloud.keys[other].secret_access_key))
        del jon.cloud.iam.keys[OLD.access_key_id]

    def test_before_there_was_a_new_key(self, jon):
        """The journal is worth nothing, and a new rotation begins."""
        self.put(jon, "planned", None)
        self.replace(jon)
        jon.rotate()
        jon.check_done()
        assert jon.questions == []

    def test_when_all_was_done(self, jon):
        """The same."""
        self.put(jon, "deleted")
        self.replace(jon)
        jon.rotate()
        jon.check_done()

    def test_in_between(self, jon):
        """The new key's secret may be wanted: it is forgotten after a yes only."""
        self.put(jon, "created")
        self.replace(jon)
        text = (
            f"the key stored for 'jon' is neither {S1}, which an interrupted rotation was to replace, nor its new one, "
            f"{shown(self.NEW.access_key_id)}"
        )
        assert failure(jon) == (
            text,
            "see in IAM which keys there are; `strongroom rotate --resume --yes jon` forgets that rotation, and the "
            f"secret of {shown(self.NEW.access_key_id)}",
        )
        assert jon.questions == [
            f"T{text[1:]}. Forget that rotation, and the secret of {shown(self.NEW.access_key_id)}? (y|N) "
        ]
        jon.yes = True
        jon.rotate()
        jon.check_done()

    def test_by_nothing(self, jon):
        """A key that was removed is not put back."""
        self.put(jon, "created")
        jon.keystore.remove("jon")
        assert failure(jon)[0].startswith("the key stored for 'jon' is neither")
        with pytest.raises(ItemNotFound):
            jon.stored()

    @pytest.mark.parametrize("stage", ["swapped", "deactivated", "deleted"])
    def test_by_the_old_one(self, jon, stage):
        """Out of a backup, say: the new key is proved again before it is stored again."""
        made = jon.cloud.iam.second_key("jon")
        self.put(jon, stage, Credentials(made, jon.cloud.keys[made].secret_access_key))
        jon.cloud.iam.keys[OLD.access_key_id].is_active = False
        jon.rotate()
        jon.check_done()
        assert jon.said[0] == "The new access key works: it has answered 4 times in a row"


# Crashes


class Killed(BaseException):
    """The process is gone: nothing catches this, nothing tidies up."""


class Killer:
    """Ends the process before, or right after, the n-th call to AWS or write to the store."""

    def __init__(self, patch):
        self.at = 0
        self.count = 0
        self.died = ""
        call, put, remove = client.call, MemoryKeystore.set, MemoryKeystore.remove
        patch.setattr(client, "call", lambda operation, name, **sent: self.around(name, call, operation, name, **sent))
        patch.setattr(MemoryKeystore, "set", lambda store, item: self.around(f"set {item.key}", put, store, item))
        patch.setattr(MemoryKeystore, "remove", lambda store, key: self.around(f"remove {key}", remove, store, key))

    def around(self, name, function, *args, **kwargs):
        self.count += 1
        self.die(f"before {name}")
        result = function(*args, **kwargs)
        self.count += 1
        self.die(f"after {name}")
        return result

    def die(self, where):
        if self.count == self.at:
            self.died = where
            raise Killed(where)

    def run(self, at, jon):
        """Rotate, and die at step *at*; tells whether it did."""
        self.at, self.count = at, 0
        try:
            jon.rotate()
        except Killed:
            return True
        finally:
            self.at = 0
        return False


def one_of_ours_works(jon):
    """At any moment: what is stored works, or a journal has what does."""
    active = {key for key, status in jon.cloud.iam.status().items() if status == "Active"}
    assert jon.stored().access_key_id in active


@pytest.mark.parametrize("mfa", [False, True])
def test_a_crash_at_each_step(cloud, monkeypatch, mfa):
    """Before and after each call and each write: what is stored works all the time, and the next run ends it well."""
    killer, died = Killer(monkeypatch), []
    for at in itertools.count(1):
        cloud.reset()
        jon = Surroundings(cloud, mfa=mfa)
        dead = killer.run(at, jon)
        one_of_ours_works(jon)
        if not dead:
            break
        died.append(killer.died)
        jon.yes = True
        jon.rotate()
        jon.check_done()
        # Only a key whose secret was lost is made a second time.
        lost = jon.said.count("Creating a new access key") - 1
        assert cloud.actions.count("CreateAccessKey") <= 1 + lost
    assert {
        "before iam CreateAccessKey",
        "after iam CreateAccessKey",
        "after set jon",
        "after iam DeleteAccessKey",
    } <= set(died)


@settings(max_examples=settings().max_examples // 4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=st.integers(1, 45), second=st.integers(1, 45), third=st.integers(1, 45), mfa=st.booleans())
def test_crashes_of_those_who_go_on(cloud, first, second, third, mfa):
    """Whoever goes on may die too, again and again."""
    with pytest.MonkeyPatch.context() as patch:
        killer = Killer(patch)
        cloud.reset()
        jon = Surroundings(cloud, mfa=mfa)
        jon.yes = True
        for at in (first, second, third):
            if not killer.run(at, jon):
                break
            one_of_ours_works(jon)
        else:
            jon.rotate()
        jon.check_done()


def test_found():
    """What a look finds, without an answer too."""
    assert (Found("a", None).created_at, Found("a", None).is_full) == (None, False)


def test_it_is_of_the_tree():
    """And so ends with status 1."""
    assert issubclass(RotationFailed, StrongroomError)
