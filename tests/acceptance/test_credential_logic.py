"""How credentials are chosen, asked for, kept and found again: what the fake AWS saw, and what lies in the keystore."""

import json
import signal
import subprocess
import sys
import time

import pytest

from fakes.cloud import Call
from harness import items
from harness.home import ADM, C1, CODE, PASSPHRASE, R1, R2, RO, M, N, shown_time

GST, AR = "GetSessionToken", "AssumeRole"
ROLE, ROLE1, ROLE2, OWN = (f"arn:aws:iam::111111111111:role/{name}" for name in ("role", "role1", "role2", "own"))

HEAD = "[default]\nregion = us-east-1\nendpoint_url = {url}\n"
BASE = f"[profile base]\nmfa_serial = {M}\n"
NOMFA = "[profile nomfa]\n"


def role(name, arn, source, serial="", more=""):
    """A profile with a role."""
    lines = [f"[profile {name}]", f"role_arn = {arn}", f"source_profile = {source}" if source else ""]
    return "\n".join([*lines, f"mfa_serial = {serial}" if serial else "", more, ""])


def chain(serial1, serial2):
    """role2 <- role1 <- base."""
    return BASE + role("role1", ROLE1, "base", serial1) + role("role2", ROLE2, "role1", serial2)


def alias(source, serial=""):
    return f"[profile alias]\nsource_profile = {source}\n" + (f"mfa_serial = {serial}\n" if serial else "")


def gst(seconds, serial=None):
    return Call(GST, seconds, serial)


def ar(arn, seconds=3600, serial=None, signer="key"):
    return Call(AR, seconds, serial, signer, arn)


# id: (config, target, options, calls, sessions kept: (kind, profile, device sent with it))
ROWS = {
    "1 a key with a device": (BASE, "base", "", [gst(3600, M)], [(GST, "base", M)]),
    "2 a key, no session": (BASE, "base", "-n", [], []),
    "3 a key, duration": (BASE, "base", "-d 2h", [gst(7200, M)], [(GST, "base", M)]),
    "4 a key without device": (NOMFA, "nomfa", "", [gst(3600)], [(GST, "nomfa", "")]),
    "5 a role without device": (BASE + role("role", ROLE, "base"), "role", "", [ar(ROLE)], [(AR, "role", "")]),
    "6 a role without device, duration": (
        BASE + role("role", ROLE, "base"), "role", "-d 2h", [ar(ROLE, 7200)], [(AR, "role", "")],
    ),
    "7 a role with another device": (
        BASE + role("role", ROLE, "base", N), "role", "", [ar(ROLE, serial=N)], [(AR, "role", N)],
    ),
    "8 a role with a device, source without": (
        NOMFA + role("role", ROLE, "nomfa", M), "role", "", [ar(ROLE, serial=M)], [(AR, "role", M)],
    ),
    "9 a role and its source share a device": (
        BASE + role("role", ROLE, "base", M), "role", "",
        [gst(28800, M), ar(ROLE, signer="session")], [(AR, "role", ""), (GST, "base", M)],
    ),
    "10 the same, duration by flag": (
        BASE + role("role", ROLE, "base", M), "role", "-d 2h", [ar(ROLE, 7200, M)], [(AR, "role", M)],
    ),
    "10 the same, duration by config": (
        BASE + role("role", ROLE, "base", M, "duration_seconds = 7200"), "role", "",
        [ar(ROLE, 7200, M)], [(AR, "role", M)],
    ),
    "11 the same, no session": (
        BASE + role("role", ROLE, "base", M), "role", "-n", [ar(ROLE, serial=M)], [(AR, "role", M)],
    ),
    "12 an alias without device": (BASE + alias("base"), "alias", "", [gst(3600)], [(GST, "alias", "")]),
    "13 an alias with the device": (BASE + alias("base", M), "alias", "", [gst(28800, M)], [(GST, "base", M)]),
    "14 own key, role and device": (role("own", OWN, "", M), "own", "", [ar(OWN, serial=M)], [(AR, "own", M)]),
    "14 the same, duration": (role("own", OWN, "", M), "own", "-d 2h", [ar(OWN, 7200, M)], [(AR, "own", M)]),
    "14 the same, no session": (role("own", OWN, "", M), "own", "-n", [ar(OWN, serial=M)], [(AR, "own", M)]),
    "15 own key and role": (role("own", OWN, ""), "own", "", [ar(OWN)], [(AR, "own", "")]),
    "16 two roles, one device": (
        chain(M, M), "role2", "",
        [gst(28800, M), ar(ROLE1, signer="session"), ar(ROLE2, signer="role")],
        [(AR, "role1", ""), (AR, "role2", ""), (GST, "base", M)],
    ),
    "17 the same, duration": (
        chain(M, M), "role2", "-d 2h",
        [gst(7200, M), ar(ROLE1, signer="session"), ar(ROLE2, signer="role")],
        [(AR, "role1", ""), (AR, "role2", ""), (GST, "base", M)],
    ),
    "18 the same, no session": (
        chain(M, M), "role2", "-n",
        [ar(ROLE1, serial=M), ar(ROLE2, signer="role")], [(AR, "role1", M), (AR, "role2", "")],
    ),
    "19 two roles with another device": (
        chain(N, N), "role2", "",
        [gst(28800, N), ar(ROLE1, signer="session"), ar(ROLE2, signer="role")],
        [(AR, "role1", ""), (AR, "role2", ""), (GST, "role1", N)],
    ),
    "20 the device at the second role only": (
        chain("", M), "role2", "",
        [ar(ROLE1), ar(ROLE2, signer="role")], [(AR, "role1", ""), (AR, "role2", "")],
    ),
    "21 a role from a key with a role": (
        role("own", OWN, "", M) + role("role", ROLE, "own", M), "role", "",
        [gst(28800, M), ar(OWN, signer="session"), ar(ROLE, signer="role")],
        [(AR, "own", ""), (AR, "role", ""), (GST, "own", M)],
    ),
    "22 an alias of a key with a role": (
        role("own", OWN, "", M) + alias("own"), "alias", "", [ar(OWN, serial=M)], [(AR, "own", M)],
    ),
}  # fmt: skip

rows = pytest.mark.parametrize(("config", "target", "options", "calls", "kept"), ROWS.values(), ids=ROWS.keys())


@pytest.fixture
def table(home, cloud):
    """The keys, roles and devices of the table's rows."""
    for profile in ("base", "nomfa", "own"):
        home.put_key(profile, cloud=cloud)
    for arn in (ROLE, ROLE1, ROLE2, OWN):
        cloud.role(arn)
    cloud.mfa = {M: {CODE}, N: {CODE}}

    def write(config):
        # Only the keys of profiles that the row has: a stored key decides.
        home.write_config(HEAD.format(url=cloud.url) + config)
        for profile in ("base", "nomfa", "own"):
            if f"[profile {profile}]" not in config:
                (home.keys / profile).unlink()
        return home

    return write


def export(home, profile, *options, env=None):
    """The credentials of a profile, which must be had without a word on stderr unless a role's hour is explained."""
    result = home.call("export", "--format=json", profile, "-t", CODE, *options, env=env)
    assert result.status == 0, result.stderr
    return result.json()


@rows
def test_table_cold(table, cloud, config, target, options, calls, kept):
    """Each row with nothing stored: these calls, and these sessions kept.

    Different from aws-vault: every role session is kept, with or without a device (there: rows 5, 6, 9 and 15 keep
    nothing of the role, so that each command costs a call); in row 18 the second role is assumed without a code, and in
    row 20 too, because AWS refuses codes from role credentials.
    """
    home = table(config)
    got = export(home, target, *options.split())
    assert cloud.calls == calls
    assert cloud.answers == ["ok"] * len(calls)
    assert home.sessions() == kept
    assert {call.code for call in cloud.calls} <= {CODE, None}
    assert [call.code is not None for call in cloud.calls] == [call.serial is not None for call in cloud.calls]
    kind = {GST: "session", AR: "role"}[calls[-1].action] if calls else "key"
    assert cloud.keys[got["AccessKeyId"]].kind == kind
    assert ("SessionToken" in got, "Expiration" in got) == (bool(calls), bool(calls))


@rows
def test_table_warm(table, cloud, config, target, options, calls, kept):
    """Each row again: no call, and the same credentials."""
    home = table(config)
    first = export(home, target, *options.split())
    cloud.calls.clear()
    assert export(home, target, *options.split()) == first
    assert cloud.calls == []
    assert home.sessions() == kept


@rows
def test_table_explained(table, cloud, config, target, options, calls, kept):
    """`explain --json` says beforehand which calls will be made, with which key, and afterwards that none is needed."""
    home = table(config)
    before = home.call("explain", "--json", target, *options.split())
    assert before.status == 0, before.stderr
    assert cloud.calls == []
    steps = before.json()["steps"]
    assert [as_call(steps, step) for step in steps[1:]] == calls
    assert [step["will_call"] for step in steps] == [False] + [True] * len(calls)
    assert all(step["reason"] for step in steps)
    export(home, target, *options.split())
    assert cloud.calls == calls
    after = home.call("explain", "--json", target, *options.split()).json()["steps"]
    assert [step["will_call"] for step in after] == [False] * len(after)
    assert [step["cached"] for step in after[1:]] == ["cached"] * len(calls)
    promised = [(step["action"], step["profile"], step["mfa_serial"], step["expiration"]) for step in after[1:]]
    assert sorted(promised) == sorted(
        (kind, profile, serial, shown_time(expires_at))
        for kind, profile, serial, expires_at in map(
            items.read_session_key, filter(items.is_session, home.item_names())
        )
    )
    assert cloud.calls == calls


def as_call(steps, step):
    """The call that a step of `explain --json` announces, signed with what the step before it gives."""
    signers = {"key": "key", "sts.GetSessionToken": "session", "sts.AssumeRole": "role"}
    before = steps[steps.index(step) - 1]["action"]
    return Call(step["action"].partition(".")[2], step["duration_seconds"], step["mfa_serial"] or None,
                signers[before], step.get("role_arn"))  # fmt: skip


# One session for many: what is asked for decides, and defaults never count.


def test_profiles_with_one_device_share_a_code(c1, cloud):
    """jon, then admin, r1 and r2, then jon in another region: one GetSessionToken, one code.

    Different from aws-vault, where a region does not matter either, but the durations are the first one's: a target's
    default of one hour and a source's of eight are defaults, and satisfied by whatever is there.
    """
    jon = export(c1, "jon")
    export(c1, "admin")
    assert cloud.calls == [gst(3600, M), ar(ADM, signer="session")]
    assert cloud.calls[1].access_key_id == jon["AccessKeyId"]
    export(c1, "r1")
    export(c1, "r2")
    assert export(c1, "jon", "--region", "eu-west-1") == jon
    assert cloud.actions == [GST, AR, AR, AR]
    assert [call.code for call in cloud.calls] == [CODE, None, None, None]


def test_the_other_way_round(c1, cloud):
    """admin first: its source's eight hours serve jon."""
    export(c1, "admin")
    export(c1, "jon")
    assert cloud.calls == [gst(28800, M), ar(ADM, signer="session")]


def test_another_region_costs_nothing(c1, cloud):
    """The region alone never costs a new session, a role's neither."""
    first = export(c1, "ro")
    assert export(c1, "ro", "--region", "ap-south-1") == first
    assert export(c1, "ro", env={"AWS_REGION": "sa-east-1"}) == first
    assert cloud.actions == [AR]


def test_another_partition_does(c1, cloud):
    """A session of one partition is no use in another."""
    export(c1, "jon")
    export(c1, "jon", "--region", "cn-north-1")
    assert cloud.actions == [GST, GST]


def test_a_duration_that_is_asked_for_counts(c1, cloud):
    """A kept session serves if it lasted at least that long in all; a shorter one is replaced."""
    export(c1, "jon")
    export(c1, "jon", "-d", "30m")
    assert cloud.calls == [gst(3600, M)]
    export(c1, "jon", "-d", "2h")
    assert cloud.calls == [gst(3600, M), gst(7200, M)]
    export(c1, "jon", "-d", "2h")
    export(c1, "jon")
    export(c1, "jon", "-d", "90m")
    assert cloud.calls == [gst(3600, M), gst(7200, M)]
    assert c1.sessions() == [(GST, "jon", M)]


def test_a_role_serves_whichever_way_its_device_was_proved(c1, cloud):
    """Assumed with the code for twelve hours, it is not asked for again by those who want an hour; and vice versa."""
    export(c1, "admin", "-d", "12h")
    assert cloud.calls == [ar(ADM, 43200, M)]
    export(c1, "admin")
    export(c1, "admin", "-n")
    assert cloud.calls == [ar(ADM, 43200, M)]
    c1.call("clear")
    export(c1, "admin")
    export(c1, "admin", "-n")
    assert cloud.calls[1:] == [gst(28800, M), ar(ADM, 3600, None, "session")]
    export(c1, "admin", "-d", "12h")
    assert cloud.calls[3:] == [ar(ADM, 43200, M)]


def test_a_session_of_aws_vault_serves_only_its_own_step(c1, cloud):
    """It does not say which device was proved how, so it is used for the very step that aws-vault would use it for."""
    c1.put_session(AR, "admin", M)
    export(c1, "admin")
    assert cloud.calls == [gst(28800, M), ar(ADM, 3600, None, "session")]


def test_a_duration_in_the_config_counts(c1, cloud):
    """`duration_seconds` is asking too."""
    export(c1, "ro")
    c1.config.write_text(c1.config.read_text().replace(f"role_arn = {RO}", f"role_arn = {RO}\nduration_seconds = 5400"))
    export(c1, "ro")
    assert cloud.calls == [ar(RO), ar(RO, 5400)]


# What a session was made for is kept with it.


def edited(home, old, new):
    """Change the config file."""
    text = home.config.read_text()
    assert old in text
    home.config.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("profile", "old", "new"),
    [
        ("ro", f"role_arn = {RO}", f"role_arn = {ADM}"),
        ("ro", f"role_arn = {RO}", f"role_arn = {RO}\nexternal_id = shared"),
        ("ro", f"role_arn = {RO}", f"role_arn = {RO}\nrole_session_name = me"),
        ("ro", f"role_arn = {RO}", f"role_arn = {RO}\nsession_tags = a=1"),
        ("ro", f"role_arn = {RO}", f"role_arn = {RO}\nsession_tags = a=1\ntransitive_session_tags = a"),
        ("ro", f"role_arn = {RO}", f"role_arn = {RO}\nsource_identity = me"),
        ("r2", f"role_arn = {R1}", f"role_arn = {ADM}"),
        ("jon", f"mfa_serial = {M}", f"mfa_serial = {N}"),
    ],
)
def test_a_change_of_the_config_changes_the_credentials(c1, cloud, profile, old, new):
    """A session that was made for something else is not used; back again, what is still there is.

    Different from aws-vault, which gives the old role's credentials until they expire.
    """
    first = export(c1, profile)
    calls = len(cloud.calls)
    edited(c1, old, new)
    second = export(c1, profile)
    assert second != first
    assert len(cloud.calls) > calls
    calls = len(cloud.calls)
    assert export(c1, profile) == second
    assert len(cloud.calls) == calls


def test_a_device_that_is_added_counts(c1, cloud):
    """Credentials made without MFA are not used once the profile has a device."""
    edited(c1, f"[profile jon]\nmfa_serial = {M}", "[profile jon]")
    export(c1, "jon")
    edited(c1, "[profile jon]", f"[profile jon]\nmfa_serial = {M}")
    export(c1, "jon")
    assert cloud.calls == [gst(3600), gst(3600, M)]


def test_a_replaced_key_counts(c1, cloud):
    """Sessions made from a key that has been replaced are not used."""
    export(c1, "jon")
    export(c1, "ro")
    c1.put_key("jon", "AKIANEWJONXXXXXXXXXX", "new secret", cloud=cloud)
    export(c1, "jon")
    export(c1, "ro")
    assert cloud.calls == [gst(3600, M), ar(RO)] * 2
    assert [call.access_key_id for call in cloud.calls[2:]] == ["AKIANEWJONXXXXXXXXXX"] * 2


def test_another_source_counts(c1, cloud):
    """A role that is assumed with another profile's key from now on is another one's, however old that key is."""
    c1.put_key("ann", cloud=cloud)
    export(c1, "ro")
    edited(c1, "[profile ro]\nsource_profile = jon", "[profile ro]\nsource_profile = ann")
    export(c1, "ro")
    assert [call.access_key_id[-3:] for call in cloud.calls] == ["JON", "ANN"]


def test_another_endpoint_counts(c1, cloud):
    """Credentials of one AWS are not used at another."""
    export(c1, "jon")
    edited(c1, "127.0.0.1", "localhost")
    export(c1, "jon")
    assert cloud.actions == [GST, GST]
    assert [call.host.partition(":")[0] for call in cloud.calls] == ["127.0.0.1", "localhost"]


@pytest.mark.parametrize(
    ("kind", "profile", "serial"), [("sts.GetSessionToken", "jon", M), ("sts.AssumeRole", "ro", "")]
)
def test_sessions_of_aws_vault_are_used(c1, cloud, kind, profile, serial):
    """A session that does not say what it was made for is used as aws-vault would."""
    name = c1.put_session(kind, profile, serial)
    stored = c1.items()[name]
    got = export(c1, profile)
    assert (got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"], got["Expiration"]) == tuple(
        stored[field] for field in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    assert cloud.calls == []


def test_a_session_of_aws_vault_feeds_a_role(c1, cloud):
    """A GetSessionToken session of aws-vault's saves the code for a role."""
    key = cloud.issue("session", "arn:aws:iam::111111111111:user/jon", 3600, mfa=True)
    c1.put_session("sts.GetSessionToken", "jon", M, key=key)
    result = c1.call("export", "--format=json", "admin")
    assert result.status == 0, result.stderr
    assert cloud.calls == [ar(ADM, signer="session")]


@pytest.mark.parametrize("expiration", ["{}.123456789Z", "{}Z", "{}.5+00:00"])
def test_times_as_go_writes_them(c1, cloud, expiration):
    """Fractions and offsets in a stored Expiration are read; what is printed is UTC and whole."""
    at = int(time.time()) + 3600
    shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))
    c1.put_session("sts.GetSessionToken", "jon", M, Expiration=expiration.format(shown))
    assert export(c1, "jon")["Expiration"] == f"{shown}Z"
    assert cloud.calls == []


# How fresh a session must be.


@pytest.mark.parametrize(
    ("left", "variable", "used"),
    [
        (200, None, False), (310, None, True), (290, None, False), (200, "1m", True), (200, "4m", False),
        (200, "zz", False), (310, "zz", True), (310, "1h", False),
    ],
)  # fmt: skip
def test_what_is_left_must_last(c1, cloud, left, variable, used):
    """Five minutes must be left, or `AWS_MIN_TTL`; a value that makes no sense counts as five minutes, and is said."""
    c1.put_session("sts.GetSessionToken", "jon", M, left=left)
    result = c1.call("export", "--format=json", "jon", "-t", CODE, env={"AWS_MIN_TTL": variable})
    assert result.status == 0
    assert cloud.calls == ([] if used else [gst(3600, M)])
    assert ("AWS_MIN_TTL" in result.stderr) is (variable == "zz")
    # The one that was too old is replaced.
    assert len(c1.sessions()) == 1


def test_expired_sessions_are_swept(c1, cloud):
    """Storing a session removes what has expired, of every profile, and what only old versions wrote; the rest stays.

    Different from aws-vault: reading sweeps nothing, since it must be cheap and many read at once.
    """
    expired = c1.put_session("sts.AssumeRole", "other", left=-100)
    old = "session,other,,1500000000"
    items.write(str(c1.keys), old, {}, PASSPHRASE)
    good = c1.put_session("sts.AssumeRole", "another", left=400)
    short = c1.put_session("sts.AssumeRole", "third", left=100)
    mine = c1.put_session("sts.GetSessionToken", "jon", M, left=1000)
    export(c1, "jon")
    assert set(c1.item_names()) == {"jon", expired, old, good, short, mine}
    export(c1, "ro")
    names = set(c1.item_names())
    assert names > {"jon", good, short, mine}
    assert not names & {expired, old}
    assert cloud.calls == [ar(RO)]


# What is stored may be broken.


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "no JWE at all",
        lambda text: items.encrypt({"Key": "jon", "Data": "e30="}, PASSPHRASE),
        lambda text: items.encrypt({}, "another passphrase"),
        lambda text: text.replace(text[-8:], "AAAAAAAA"),
    ],
    ids=["empty", "half", "junk", "another item's", "another passphrase", "tampered"],
)
def test_a_broken_session_is_replaced(c1, cloud, damage):
    """A session that cannot be read is a miss, not an error; it is removed unless it is no item at all."""
    name = c1.put_session("sts.GetSessionToken", "jon", M, left=1000)
    path = c1.keys / items.file_name(name)
    path.write_text(damage(path.read_text()))
    got = export(c1, "jon")
    assert cloud.calls == [gst(3600, M)]
    assert (name in c1.item_names()) is (path.exists() and path.read_text() == "no JWE at all")
    assert export(c1, "jon") == got
    assert cloud.calls == [gst(3600, M)]


@pytest.mark.parametrize(
    "fields",
    [
        {"AccessKeyId": ""}, {"SecretAccessKey": None}, {"SessionToken": 7}, {"Expiration": "soon"}, {"Expiration": None},
        {"Strongroom": {}}, {"Strongroom": {"fingerprint": []}},
    ],
)  # fmt: skip
def test_a_session_with_wrong_fields_is_replaced(c1, cloud, fields):
    """JSON that is not what it should be is a miss too."""
    c1.put_session("sts.GetSessionToken", "jon", M, left=1000, **fields)
    export(c1, "jon")
    assert cloud.calls == [gst(3600, M)]


def test_the_expiry_inside_counts_too(c1, cloud):
    """A session whose name promises more than its content holds is not given out."""
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 10))
    c1.put_session("sts.GetSessionToken", "jon", M, left=3000, Expiration=at)
    export(c1, "jon")
    assert cloud.calls == [gst(3600, M)]


# Becomes the rest of its words, with files that cannot grow.
NO_FILES = (
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); os.execv(sys.argv[1], sys.argv[1:])"
)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on the size of files there")
def test_a_session_that_cannot_be_stored(c1, cloud):
    """On a disk that is full the credentials are had all the same, with a warning: exit 0, and the store as it was."""
    words = [sys.executable, "-m", "strongroom", "export", "--format=json", "jon", "-t", CODE]
    process = subprocess.Popen(
        [sys.executable, "-ISc", NO_FILES, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=c1.work,
        env={name: value for name, value in c1.environ.items() if not name.startswith("COVERAGE_")},
    )  # fmt: skip
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert cloud.keys[json.loads(stdout)["AccessKeyId"]].kind == "session"
    assert b"strongroom: warning: the session could not be stored" in stderr
    assert b"Traceback" not in stderr
    assert c1.item_names() == ["jon"]


# Codes.


def test_no_session_is_the_key_itself(c1, cloud):
    """`-n` gives the long-term key: no token, no expiration, nothing kept, no call."""
    got = c1.call("export", "-n", "jon")
    assert got.stdout == (
        "AWS_ACCESS_KEY_ID=AKIAXXXXXXXXXXXXXJON\nAWS_SECRET_ACCESS_KEY=secret+of/jon\n"
        "AWS_REGION=us-east-1\nAWS_DEFAULT_REGION=us-east-1\n"
    )
    assert got.stderr == ""
    assert (cloud.calls, c1.sessions()) == ([], [])


def test_the_given_code_is_the_code(c1, cloud):
    """With `-t` nothing else is asked: an mfa_process would leave a trace."""
    trace = c1.work / "trace"
    edited(c1, "[profile jon]", f"[profile jon]\nmfa_process = touch {trace}; echo 000000")
    export(c1, "jon")
    assert [call.code for call in cloud.calls] == [CODE]
    assert not trace.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="cmd.exe's echo prints the quotes too")
def test_mfa_process_gives_the_code(c1, cloud):
    """The code that mfa_process prints is used, of the source too, once."""
    edited(c1, "[profile jon]", f"[profile jon]\nmfa_process = echo ' {CODE} '")
    result = c1.call("export", "--format=json", "admin")
    assert result.status == 0, result.stderr
    assert [call.code for call in cloud.calls] == [CODE, None]


@pytest.mark.parametrize("profile", ["jon", "admin"])
def test_a_wrong_code(c1, cloud, profile):
    """A given code that AWS refuses: exit 1, the action or device named, nothing kept, one call."""
    result = c1.call("export", "--format=json", profile, "-t", "654321")
    assert (result.status, result.stdout) == (1, "")
    assert M in result.stderr
    assert "GetSessionToken" in result.stderr
    assert cloud.calls == [gst(28800 if profile == "admin" else 3600, M)]
    assert c1.sessions() == []


def test_a_wrong_code_of_mfa_process(c1, cloud):
    """A program's wrong code is not asked for again: it would be the same one."""
    edited(c1, "[profile jon]", "[profile jon]\nmfa_process = echo 654321")
    result = c1.call("export", "jon")
    assert (result.status, result.stdout, len(cloud.calls)) == (1, "", 1)


def test_a_code_is_good_once(c1, cloud):
    """With a device whose codes work once, as real ones do, a chain of roles still needs one."""
    from fakes.sts import totp

    cloud.mfa[M] = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    for profile in ("r2", "admin", "jon"):
        result = c1.call("export", "--format=json", profile, "-t", totp(cloud.mfa[M], time.time()))
        assert result.status == 0, result.stderr
    assert cloud.actions == [GST, AR, AR, AR]


def test_nobody_to_ask(c1, cloud):
    """No terminal, no code: a clear error at once, and nothing on stdout."""
    result = c1.run("export", "--format=json", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert f"MFA device {M}" in result.stderr
    assert "--mfa-token" in result.stderr
    assert cloud.calls == []


# At a terminal.

needs_a_terminal = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals that a test can drive")


@needs_a_terminal
def test_the_code_is_asked_for_at_the_terminal(c1, cloud, tty):
    """With stdout piped, as in `$(strongroom export)`, the question is on the terminal, and only the answer on stdout."""
    terminal = tty("export", "--format=json", "jon")
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.send(f"{CODE}\n")
    result = terminal.wait()
    assert (result.status, result.stderr) == (0, "")
    assert result.json()["AccessKeyId"] in cloud.keys
    assert terminal.echo
    assert cloud.calls == [gst(3600, M)]


@needs_a_terminal
def test_a_wrong_code_is_asked_for_again(c1, cloud, tty):
    """A code that AWS refuses, and then the right one."""
    terminal = tty("export", "--format=json", "admin")
    terminal.expect("Enter MFA code")
    terminal.send("000000\n")
    terminal.expect("Enter MFA code")
    terminal.send(f"{CODE}\n")
    result = terminal.wait()
    assert result.status == 0
    assert "did not accept the code" in result.stderr
    assert [call.code for call in cloud.calls] == ["000000", CODE, None]


@needs_a_terminal
def test_three_wrong_codes_are_enough(c1, cloud, tty):
    """After the third wrong code it is over: exit 1, nothing kept."""
    terminal = tty("export", "--format=json", "jon")
    for code in ("000000", "000001", "000002"):
        terminal.expect("Enter MFA code")
        terminal.send(f"{code}\n")
    result = terminal.wait()
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.count(f"AWS did not accept the code of {M}\n") == 2
    assert f"AWS did not accept the code of MFA device {M}" in result.stderr
    assert len(cloud.calls) == 3
    assert c1.sessions() == []


@needs_a_terminal
def test_what_cannot_be_a_code_is_not_sent(c1, cloud, tty):
    """A typing error costs no call."""
    terminal = tty("export", "--format=json", "jon")
    terminal.expect("Enter MFA code")
    terminal.send("12345\n")
    terminal.expect("six digits")
    terminal.expect("Enter MFA code")
    terminal.send(f"{CODE}\n")
    assert terminal.wait().status == 0
    assert cloud.calls == [gst(3600, M)]


@needs_a_terminal
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_terminal_is_as_it_was(c1, cloud, tty, number):
    """However the question ends, the terminal is left as it was found."""
    terminal = tty("export", "jon", env={"AWS_VAULT_FILE_PASSPHRASE": None})
    terminal.expect("passphrase")
    terminal.wait_for_echo(on=False)
    terminal.signal(number)
    result = terminal.wait()
    assert result.status in {130, -number, 128 + number, 1}
    assert result.status != 0
    assert terminal.echo
    assert "Traceback" not in result.stderr + terminal.shown


@needs_a_terminal
def test_mfa_process_has_the_terminal(c1, cloud, tty):
    """A program that asks for a touch or a PIN finds the terminal as its stdin, and its words go to stderr."""
    edited(c1, "[profile jon]", "[profile jon]\nmfa_process = echo touch it >&2; read code; echo $code")
    terminal = tty("export", "--format=json", "jon", streams=("stdin", "stderr"))
    terminal.expect("touch it")
    terminal.send(f"{CODE}\n")
    assert terminal.wait().status == 0
    assert cloud.calls == [gst(3600, M)]


# Durations.


@pytest.mark.parametrize(
    ("profile", "env", "options", "calls"),
    [
        ("ro", {"AWS_ASSUME_ROLE_TTL": "30m"}, [], [ar(RO, 1800)]),
        ("ro", {"AWS_ASSUME_ROLE_TTL": "30m"}, ["-d", "20m"], [ar(RO, 1200)]),
        ("jon", {"AWS_SESSION_TOKEN_TTL": "30m"}, [], [gst(1800, M)]),
        ("jon", {"AWS_SESSION_TOKEN_TTL": "30m"}, ["-d", "20m"], [gst(1200, M)]),
        ("jon", {"AWS_CHAINED_SESSION_TOKEN_TTL": "12h"}, [], [gst(3600, M)]),
        ("admin", {"AWS_CHAINED_SESSION_TOKEN_TTL": "12h"}, [], [gst(43200, M), ar(ADM, signer="session")]),
        ("admin", {"AWS_SESSION_TOKEN_TTL": "12h"}, [], [gst(28800, M), ar(ADM, signer="session")]),
        ("admin", {"AWS_CHAINED_SESSION_TOKEN_TTL": "12h"}, ["-d", "30m"], [gst(1800, M), ar(ADM, 1800, signer="session")]),
        ("jon", {}, ["-d", "1d12h"], [gst(129600, M)]),
        ("jon", {}, ["-d", "15m"], [gst(900, M)]),
    ],
)  # fmt: skip
def test_durations(c1, cloud, profile, env, options, calls):
    """Flag before variable before default, each for its own step."""
    export(c1, profile, *options, env=env)
    assert cloud.calls == calls


def test_a_variable_beats_the_config(c1, cloud):
    """AWS_ASSUME_ROLE_TTL before duration_seconds before the default."""
    edited(c1, f"role_arn = {RO}", f"role_arn = {RO}\nduration_seconds = 5400")
    export(c1, "ro", env={"AWS_ASSUME_ROLE_TTL": "30m"})
    export(c1, "ro")
    assert cloud.calls == [ar(RO, 1800), ar(RO, 5400)]


@pytest.mark.parametrize("duration", ["14m", "37h"])
def test_durations_outside_of_awss_range(c1, cloud, duration):
    """Said before AWS is asked: which setting, which limits."""
    result = c1.call("export", "jon", "-t", CODE, "-d", duration)
    assert result.status != 0
    assert duration in result.stderr or "15m" in result.stderr
    assert cloud.calls == []


def test_the_hour_of_chained_roles_is_explained(c1, cloud):
    """Asking more of a chain than AWS gives is not a surprise: an hour is taken, and it is said why."""
    result = c1.call("export", "--format=json", "r2", "-t", CODE, "-d", "2h")
    assert result.status == 0, result.stderr
    assert cloud.calls == [gst(7200, M), ar(R1, signer="session"), ar(R2, signer="role")]
    assert "hour" in result.stderr
    assert R2 in result.stderr


def test_a_role_that_allows_less(c1, cloud):
    """AWS's refusal of a duration is passed on with what to do, and nothing is kept."""
    cloud.role(RO, max_duration=3600)
    result = c1.call("export", "ro", "-d", "2h")
    assert (result.status, result.stdout) == (1, "")
    assert "MaxSessionDuration" in result.stderr
    assert "--duration" in result.stderr
    assert c1.sessions() == []


# What is sent.


def test_everything_of_a_role_is_sent(c1, cloud):
    """External id, session name, tags, transitive tags and source identity reach AssumeRole."""
    more = "external_id = ext\nrole_session_name = me@x\nsession_tags = a = 1 , b=2=3\n"
    more += "transitive_session_tags = ,a, b,\nsource_identity = who"
    cloud.role(RO, external_id="ext")
    edited(c1, f"role_arn = {RO}", f"role_arn = {RO}\n{more}")
    export(c1, "ro")
    (call,) = cloud.calls
    assert call == ar(RO)
    assert (call.external_id, call.session_name, call.tags, call.transitive, call.source_identity) == (
        "ext", "me@x", {"a": "1", "b": "2=3"}, ("a", "b"), "who",
    )  # fmt: skip


def test_session_names_are_unique(c1, cloud):
    """Without a name of the user's, each AssumeRole has its own; nothing else is sent unasked."""
    export(c1, "r2")
    first, second = (call for call in cloud.calls if call.action == AR)
    assert first.session_name != second.session_name
    assert set(first.parameters) == {"Action", "Version", "RoleArn", "RoleSessionName", "DurationSeconds"}


def test_variables_of_the_role_are_the_targets_only(c1, cloud):
    """AWS_ROLE_SESSION_NAME and its like reach the target's request, not its source's."""
    env = {"AWS_ROLE_SESSION_NAME": "target", "AWS_SESSION_TAGS": "a=1", "AWS_TRANSITIVE_TAGS": "a",
           "AWS_SOURCE_IDENTITY": "who"}  # fmt: skip
    export(c1, "r2", env=env)
    _, source, target = cloud.calls
    assert (target.session_name, target.tags, target.transitive, target.source_identity) == (
        "target", {"a": "1"}, ("a",), "who",
    )  # fmt: skip
    assert (source.tags, source.transitive, source.source_identity) == ({}, (), None)
    assert source.session_name != "target"


def test_regions_are_signed_for(c1, cloud):
    """The region of config, variable and flag is what requests are signed for."""
    export(c1, "jon")
    export(c1, "ro", env={"AWS_DEFAULT_REGION": "eu-west-1"})
    export(c1, "admin", "--region", "ap-south-1", env={"AWS_REGION": "eu-west-1"})
    assert [call.region for call in cloud.calls] == ["us-east-1", "eu-west-1", "ap-south-1"]


def test_the_sdks_own_settings_stay_out(c1, cloud):
    """AWS_PROFILE may name anything, other profiles may be broken, the shared credentials file may hold keys."""
    c1.config.write_text(c1.config.read_text() + "\n[profile broken]\nthis is no setting\n[profile loop]\nsource_profile = loop2\n"
                         "[profile loop2]\nsource_profile = loop\n")  # fmt: skip
    (c1.config.parent / "credentials").write_text(
        "[default]\naws_access_key_id = AKIAWRONG\naws_secret_access_key = x\n[broken\n"
    )
    env = {"AWS_PROFILE": "nosuch", "AWS_DEFAULT_PROFILE": "nosuch", "AWS_ACCESS_KEY_ID": "AKIAWRONG",
           "AWS_SECRET_ACCESS_KEY": "x", "AWS_SESSION_TOKEN": "y"}  # fmt: skip
    result = c1.run("export", "--format=json", "ro", env=env)
    assert result.status == 0, result.stderr
    assert cloud.calls == [ar(RO)]
    assert cloud.calls[0].access_key_id == "AKIAXXXXXXXXXXXXXJON"


# Who there is not.


def test_an_unknown_profile(c1, cloud):
    """Exit 1, a word on it, what was meant, and no call, even if [default] could supply credentials."""
    c1.put_key("default", cloud=cloud)
    result = c1.call("exec", "admim", "--", "true")
    assert (result.status, result.stdout, result.child) == (1, "", None)
    assert "'admim' not found in" in result.stderr
    assert str(c1.config) in result.stderr
    assert "did you mean 'admin'?" in result.stderr
    assert cloud.calls == []


def test_a_key_without_a_section(c1, cloud):
    """A stored key needs no section: [default]'s settings hold."""
    c1.put_key("bare", cloud=cloud)
    export(c1, "bare")
    assert cloud.calls == [gst(3600)]


@pytest.mark.parametrize("source", ["nosuch", ""])
def test_no_credentials_anywhere(c1, cloud, source):
    """A profile that leads to no key."""
    c1.config.write_text(c1.config.read_text() + f"[profile lost]\nrole_arn = {RO}\nsource_profile = {source}\n")
    result = c1.call("export", "lost")
    assert (result.status, result.stdout) == (1, "")
    assert "credentials missing" in result.stderr
    assert cloud.calls == []


def test_a_stored_key_beats_other_sources(c1, cloud):
    """A profile's own key is used even if it names Identity Center or a process; so `credential_process` can be us."""
    for setting in ("sso_start_url = https://x.awsapps.com/start", "credential_process = strongroom export jon"):
        edited(c1, "[profile jon]", f"[profile jon]\n{setting}")
    export(c1, "jon")
    assert cloud.calls == [gst(3600, M)]


# AWS says no, or nothing.


@pytest.fixture
def impatient(monkeypatch):
    """The same retries with short waits: the fake needs no rest between them."""
    import botocore.retries.standard

    from strongroom.aws import client

    monkeypatch.setattr(botocore.retries.standard.ExponentialBackoff, "delay_amount", lambda *_: 0)
    monkeypatch.setattr(client, "READ_SECONDS", 0.3)
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.3)


def refused(home, *words):
    """stderr of an export that fails with one line and perhaps a hint."""
    result = home.call("export", "--format=json", "jon", "-t", CODE, *words)
    assert (result.status, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0].startswith("strongroom: error: ")
    assert len(lines) <= 2
    assert all(line.startswith("strongroom: ") for line in lines)
    assert home.sessions() == []
    return result.stderr


def test_throttling(c1, cloud, impatient):
    """AWS's limits are met by trying again, three times in all."""
    cloud.fail(GST, code="Throttling", status=400, message="Rate exceeded", times=2)
    export(c1, "jon")
    assert cloud.actions == [GST] * 3
    cloud.fail(AR, code="Throttling", status=400, message="Rate exceeded", times=9)
    result = c1.call("export", "ro")
    assert result.status == 1
    assert "Throttling" in result.stderr
    assert cloud.actions.count(AR) == 3


@pytest.mark.parametrize("minutes", [20, -20, -10])
def test_a_clock_that_is_off(c1, cloud, impatient, minutes):
    """A clock beyond AWS's tolerance is named with the difference and the direction, not blamed on the key."""
    cloud.skew(minutes)
    told = refused(c1)
    assert f"clock is {abs(minutes)}m" in told or f"clock is {abs(minutes) - 1}m" in told
    assert ("behind" if minutes > 0 else "ahead of") in told


def test_a_wrong_secret(c1, cloud):
    """A signature that AWS does not accept, with the right time."""
    cloud.key("AKIAXXXXXXXXXXXXXJON", "another")
    assert "SignatureDoesNotMatch" in refused(c1)


def test_a_key_that_aws_does_not_know(c1, cloud):
    """A deleted key."""
    del cloud.keys["AKIAXXXXXXXXXXXXXJON"]
    assert "InvalidClientTokenId" in refused(c1)


@pytest.mark.parametrize(
    "page", [b"<!DOCTYPE html><html><body>Please log in</body></html>", b"<html><br></html>", b"", b"{}"]
)
@pytest.mark.parametrize("status", [200, 403, 502])
def test_html_instead_of_xml(c1, cloud, impatient, page, status):
    """Whatever a captive portal or a proxy answers is one clear line."""
    cloud.html(GST, times=9, status=status, page=page)
    told = refused(c1)
    assert "GetSessionToken" in told
    assert "Traceback" not in told


def test_a_setting_that_cannot_be_sent(c1, cloud):
    """A value that botocore refuses is a mistake in the settings, not a network without AWS."""
    edited(c1, f"role_arn = {RO}", f"role_arn = {RO}\nexternal_id = x")
    result = c1.call("export", "ro")
    assert (result.status, result.stdout) == (1, "")
    assert "ExternalId" in result.stderr
    assert "a setting of the profile" in result.stderr
    assert cloud.calls == []


def test_a_cut_connection(c1, cloud, impatient):
    """A connection that closes is tried again, and then named."""
    cloud.cut(GST, times=9)
    assert "GetSessionToken" in refused(c1)
    assert cloud.actions == [GST] * 3


def test_no_answer(c1, cloud, impatient):
    """An AWS that never answers is given up."""
    cloud.hang(GST, times=9)
    assert "GetSessionToken" in refused(c1)


def test_nobody_listens(c1, cloud, impatient):
    """A port that nobody listens on."""
    c1.config.write_text(C1.format(url="http://127.0.0.1:1", M=M, RO=RO, ADM=ADM, R1=R1, R2=R2))
    assert "http://127.0.0.1:1" in refused(c1)


def test_an_aws_that_is_broken(c1, cloud, impatient):
    """Errors of AWS's own are tried again."""
    cloud.fail(GST, code="InternalFailure", status=500, times=1)
    export(c1, "jon")
    assert cloud.actions == [GST, GST]


def test_a_role_that_says_no(c1, cloud):
    """AssumeRole's refusal, with AWS's words; the session that fed it stays."""
    del cloud.roles[ADM]
    result = c1.call("export", "admin", "-t", CODE)
    assert (result.status, result.stdout) == (1, "")
    assert f"is not authorized to perform: sts:AssumeRole on resource: {ADM}" in result.stderr
    assert c1.sessions() == [(GST, "jon", M)]


def test_nothing_secret_is_said(c1, cloud):
    """--debug tells the steps and never a secret, a token, a passphrase or a whole key id."""
    first = c1.run("export", "--format=json", "--debug", "r2", "-t", CODE)
    second = c1.run("export", "--format=json", "--debug", "r2")
    assert (first.status, second.status) == (0, 0)
    for result in (first, second):
        assert result.stderr != ""
        for key in cloud.keys.values():
            for secret in (key.access_key_id, key.secret_access_key, key.session_token):
                assert secret is None or secret not in result.stderr
        assert PASSPHRASE not in result.stderr.split()
        assert CODE not in result.stderr
    assert json.loads(first.stdout) == json.loads(second.stdout)


@pytest.mark.skipif(sys.platform == "win32", reason="quoted for a POSIX shell")
def test_mfa_process_that_asks_for_itself(c1, cloud):
    """An mfa_process that leads back to the same profile is found out, instead of starting programs without end."""
    words = f"AWS_VAULT_FILE_PASSPHRASE={PASSPHRASE} '{sys.executable}' -m strongroom export --format=json jon"
    c1.write_config(c1.config.read_text().replace("[profile jon]\n", f"[profile jon]\nmfa_process = {words}\n"))
    result = c1.run("export", "jon", timeout=60)
    assert (result.status, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[:2] == [
        "strongroom: error: export: the mfa_process of profile 'jon' asks strongroom for that same profile",
        "strongroom: hint: let it use another profile, or none",
    ]
    assert lines[2] == "strongroom: error: export: mfa_process: exit status 1"
    assert cloud.calls == []
