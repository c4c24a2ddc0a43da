import pytest

from harness.home import ACCOUNT, ADM, CODE, PASSPHRASE, R1, RO, M
from strongroom.cli import passphrase
from strongroom.cli.flags import Arguments
from strongroom.cli.renewal import Passphrases, Source, SparingTalk
from strongroom.cli.settings import Settings
from strongroom.cli.terminal import Talk
from strongroom.errors import KeystoreLocked, MfaRequired, ProfileNotFound


@pytest.fixture
def settings(c1):
    """Settings in C1's home: ``settings(**flags)``."""

    def make(environ=None, **values):
        flags = {name.replace("_", "-"): value for name, value in values.items()}
        return Settings(Arguments(flags, []), c1.environ | (environ or {}), Talk("strongroom"), "exec ro")

    return make


def test_config_changes_count(c1, cloud, settings):
    """Each time the profile is what the file says then; whoever listens is told."""
    learned = []
    source = Source(settings(), "ro", Passphrases(), lambda source: learned.append(source.profile.region))
    source.first()
    assert (source.role_arn, source.account_id, learned) == (RO, ACCOUNT, [])
    c1.config.write_text(c1.config.read_text().replace(f"role_arn = {RO}", f"role_arn = {R1}\nregion = eu-west-1"))
    source()
    assert (source.role_arn, learned) == (R1, ["eu-west-1"])
    assert [call.role for call in cloud.calls] == [RO, R1]


def test_a_code_is_good_once(cloud, settings):
    """That of the command line goes with the first call only."""
    source = Source(settings(mfa_token=CODE), "jon", Passphrases())
    source()
    cloud.mfa[M] = set()
    # The session that was stored is good; without it a human would be asked.
    assert source().session_token
    source._fresh.vault().remove([name.key for name in source._fresh.vault().sessions()])
    with pytest.raises(MfaRequired):
        source()


@pytest.mark.parametrize(("left", "calls"), [(590, 2), (610, 1)])
@pytest.mark.parametrize("setting", ["", "1m"])
def test_a_session_that_ends_soon(cloud, settings, monkeypatch, setting, left, calls):
    """Is replaced sooner than for a command: what a server has is renewed five minutes before its end, and not later."""
    issue = cloud.issue
    monkeypatch.setattr(cloud, "issue", lambda kind, arn, _, **more: issue(kind, arn, left, **more))
    source = Source(settings({"AWS_MIN_TTL": setting}), "ro", Passphrases())
    source()
    source()
    assert len(cloud.calls) == calls


def test_a_profile_that_is_removed(c1, cloud, settings):
    """Is a failure of the renewal, which may pass."""
    source = Source(settings(), "ro", Passphrases())
    config = c1.config.read_text()
    c1.config.write_text("")
    with pytest.raises(ProfileNotFound):
        source()
    c1.config.write_text(config)
    assert source().expiration


def test_a_passphrase_is_asked_once(cloud, settings, monkeypatch):
    """For all profiles and renewals; a wrong one is asked again, and forgotten."""
    answers = iter(["wrong", PASSPHRASE])
    asked = []

    def ask(_settings, message, *, confirm=False):
        asked.append(message)
        return next(answers)

    monkeypatch.setattr(passphrase, "ask", ask)
    passphrases = Passphrases()
    assert PASSPHRASE not in repr(passphrases)
    locked = settings()
    locked.inherited = {name: value for name, value in locked.inherited.items() if name != "AWS_VAULT_FILE_PASSPHRASE"}
    for name in ("ro", "ro", "admin"):
        source = Source(locked, name, passphrases)
        assert source._fresh.vault().key("jon").access_key_id == "AKIAXXXXXXXXXXXXXJON"
    assert len(asked) == 2


def test_a_wrong_passphrase(cloud, settings, monkeypatch):
    """Ends the first time as it ends every command."""
    monkeypatch.setattr(passphrase, "ask", lambda *_, **__: "wrong")
    locked = settings()
    locked.inherited = {name: value for name, value in locked.inherited.items() if name != "AWS_VAULT_FILE_PASSPHRASE"}
    with pytest.raises(KeystoreLocked):
        Source(locked, "ro", Passphrases()).first()


def test_roles_of_the_credentials(cloud, settings):
    """By their name alone; for an hour at most, which is as long as a chain of roles can last."""
    source = Source(settings(duration="2h"), "ro", Passphrases())
    source.assume(source.first(), ADM)
    call = cloud.calls[-1]
    assert (call.role, call.duration, call.signer, call.serial, call.region) == (ADM, 3600, "role", None, "us-east-1")


def test_whose_they_are(c1, cloud, settings):
    """The role and the account, as far as the config file tells."""

    def of(name):
        source = Source(settings(), name, Passphrases())
        return source.role_arn, source.account_id

    assert of("jon") == ("", ACCOUNT)
    assert of("admin") == (ADM, ACCOUNT)
    c1.put_key("bare")
    assert of("bare") == ("", "")


def test_the_same_is_said_once(capsys):
    """What is so each hour; what is different is said."""
    talk = SparingTalk(Talk("strongroom"))
    for text in ("one", "one", "two"):
        talk.say(text)
    talk.warn("three")
    talk.warn("three")
    assert capsys.readouterr().err == "strongroom: one\nstrongroom: two\nstrongroom: warning: three\n"
    talk.error("one")
    talk.error("one")
    assert capsys.readouterr().err == "strongroom: error: one\n" * 2
