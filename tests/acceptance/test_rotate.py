"""`rotate`, as its user sees it: one code, one key at the end, whatever happens on the way."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from fakes.cloud import Call
from harness.crash import crashing
from harness.home import ADM, CODE, M, Result, key_id
from strongroom.aws import client
from strongroom.rotation import Rotation, owner

OLD = key_id("jon")
S_OLD = "*" * 16 + OLD[-4:]
GST = "sts.GetSessionToken"

needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals that a test can drive")


@pytest.fixture(autouse=True)
def _in_no_time(monkeypatch):
    """In this process nobody waits, and a client that was made once is used again."""
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setitem(Rotation.__init__.__kwdefaults__, "pause", lambda _seconds: None)
    monkeypatch.setattr(owner, "CALL_PATIENCE_SECONDS", 0.1)
    connect, clients = client.connect, {}

    def once(service, endpoint, credentials, *, attempts=None):
        key = service, endpoint.url, credentials, attempts
        if key not in clients:
            clients[key] = connect(service, endpoint, credentials, attempts=attempts)
        return clients[key]

    monkeypatch.setattr(client, "connect", once)


@pytest.fixture
def jon(c1, cloud):
    """Config C1, and a user whose policy wants MFA for everything, as many do."""
    cloud.iam.user("jon", age_days=100)
    cloud.iam.needs_mfa = True
    return c1


@pytest.fixture
def plain(home, cloud):
    """Users without MFA: jon, ann and a profile that uses jon's key."""
    home.write_config(
        f"[default]\nregion = us-east-1\nendpoint_url = {cloud.url}\n[profile jon]\n[profile ann]\n"
        "[profile alias]\nsource_profile = jon\n"
    )
    for name, age in (("jon", 100), ("ann", 10)):
        home.put_key(name, cloud=cloud)
        cloud.iam.user(name, age_days=age)
    return home


def shown(access_key_id):
    return "*" * 16 + access_key_id[-4:]


def stored(home, profile="jon"):
    return home.items()[profile]["AccessKeyID"]


def status_of(cloud, name):
    """The keys of a user: id -> Active or Inactive."""
    return {key.id: cloud.iam.status()[key.id] for key in cloud.iam.keys.values() if key.key.arn.endswith(f"/{name}")}


def own_items(home):
    """The names of our own items."""
    directory = home.path / "strongroom"
    return sorted(os.listdir(directory)) if directory.exists() else []


def check_done(home, cloud, name="jon"):
    """The user has one key; it is active, stored, and works. No journal is left."""
    assert status_of(cloud, name) == {stored(home, name): "Active"}
    assert [item for item in own_items(home) if item.startswith("rotation")] == []
    result = home.call("export", "-n", "--format=json", name, "-t", CODE)
    assert result.status == 0, result.stderr
    assert result.json()["AccessKeyId"] == stored(home, name)


def lines(how, old, new, sessions=()):
    """What a rotation says on stdout."""
    return "".join(
        f"{line}\n"
        for line in [
            f"Rotating credentials stored for profile 'jon' using {how} (takes 10-20 seconds)",
            "Creating a new access key",
            f"Created new access key {shown(new)}",
            "The new access key works: it has answered 4 times in a row",
            *(f"Deleted {count} sessions for {profile}" for profile, count in sessions),
            f"Deactivated old access key {shown(old)}",
            f"Deleting old access key {shown(old)}",
            f"Deleted old access key {shown(old)}",
            "Finished rotating access key",
        ]
    )


def actions(cloud):
    """(action, kind of the signer), the proofs left out."""
    return [(call.action, call.signer) for call in cloud.calls if call.action != "GetCallerIdentity"]


# One key, one code


def test_a_key_with_mfa(jon, cloud):
    """One GetSessionToken with one code; every call of IAM by that session; the proof by the new key."""
    result = jon.call("rotate", "jon", "-t", CODE)
    new = stored(jon)
    assert result == Result(0, lines("a session from profile 'jon'", OLD, new, [("jon", 1)]), "")
    assert actions(cloud) == [
        ("GetSessionToken", "key"),
        ("ListAccessKeys", "session"),
        ("CreateAccessKey", "session"),
        ("UpdateAccessKey", "session"),
        ("DeleteAccessKey", "session"),
    ]
    assert [call.code for call in cloud.calls if call.code] == [CODE]
    proofs = [call.access_key_id for call in cloud.calls if call.action == "GetCallerIdentity"]
    assert proofs[1:] == [new] * 4
    assert new != OLD
    check_done(jon, cloud)


@needs_pty
def test_the_code_is_asked_for_once(jon, tty):
    """At the terminal, and never again."""
    terminal = tty("rotate", "jon")
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.send(f"{CODE}\n")
    result = terminal.wait()
    assert (result.status, result.stderr) == (0, "")
    assert terminal.shown.count("Enter MFA code") == 1
    assert result.stdout.endswith("Finished rotating access key\n")


def test_a_stored_session_will_do(jon, cloud):
    """No code at all, if there is a session that proved MFA."""
    jon.call("export", "jon", "-t", CODE)
    cloud.calls.clear()
    assert jon.call("rotate", "jon").status == 0
    assert "GetSessionToken" not in cloud.actions
    check_done(jon, cloud)


def test_a_session_that_ends_with_the_old_key(jon, cloud, monkeypatch):
    """Another code is asked for, and why; --mfa-token is not used twice."""
    cloud.iam.sessions_die = True
    asked = []
    monkeypatch.setattr(
        "strongroom.cli.codes.Codes.code",
        lambda _self, step, _attempt, given="": asked.append((step.serial, given)) or CODE,
    )
    result = jon.call("rotate", "jon", "-t", CODE)
    assert (result.status, result.stderr) == (
        0,
        "strongroom: AWS does not take the session any more, now that the old key is off: a new one is needed\n",
    )
    assert asked == [(M, CODE), (M, "")]
    check_done(jon, cloud)


def test_without_a_session(plain, cloud):
    """`-n`: the key itself makes the new one, which deletes it. STS is only asked whose the keys are.

    Different from aws-vault, which calls STS not at all, and stores what nobody has tried.
    """
    assert plain.call("rotate", "-n", "jon") == Result(0, lines("master credentials", OLD, stored(plain)), "")
    assert {call.action for call in cloud.calls if call.service == "sts"} == {"GetCallerIdentity"}
    assert [call.access_key_id for call in cloud.calls if call.action == "DeleteAccessKey"] == [stored(plain)]
    check_done(plain, cloud)


def test_a_user_without_a_device(plain, cloud):
    """A session without MFA may not call IAM, so there is none."""
    result = plain.call("rotate", "jon")
    assert (result.status, result.stdout.splitlines()[0]) == (
        0,
        "Rotating credentials stored for profile 'jon' using master credentials (takes 10-20 seconds)",
    )
    assert "GetSessionToken" not in cloud.actions
    check_done(plain, cloud)


def test_a_policy_that_asks_for_mfa(plain, cloud):
    """Nothing has changed; the hint says what to set."""
    cloud.iam.needs_mfa = True
    result = plain.call("rotate", "jon")
    assert result.status == 1
    assert result.stderr.splitlines()[-1] == (
        f"strongroom: hint: 'jon' still has its key {S_OLD}, and nothing has changed; the user needs "
        "iam:ListAccessKeys, iam:CreateAccessKey, iam:UpdateAccessKey and iam:DeleteAccessKey; if a policy asks for "
        "MFA, set mfa_serial"
    )
    cloud.iam.needs_mfa = False
    check_done_unchanged(plain, cloud)


def check_done_unchanged(home, cloud):
    assert stored(home) == OLD
    assert status_of(cloud, "jon") == {OLD: "Active"}
    assert own_items(home) == []


@pytest.mark.parametrize("flags", [(), ("-n",)])
@pytest.mark.parametrize("profile", ["ro", "admin", "r1", "r2"])
def test_a_profile_with_a_role(c1, cloud, profile, flags):
    """The key at its root is replaced, by the user, not by the role: even two hops away, and even with -n."""
    cloud.iam.user("jon")
    result = c1.call("rotate", profile, "-t", CODE, *flags)
    how = "master credentials" if flags else f"a session from profile '{profile}'"
    assert result.status == 0, result.stderr
    assert result.stdout.startswith(f"Rotating credentials stored for profile 'jon' using {how}")
    assert "AssumeRole" not in cloud.actions
    named = [call.parameters.get("UserName") for call in cloud.calls if call.service == "iam"]
    assert named == ["jon"] * 4
    check_done(c1, cloud)


def test_the_device_of_a_role(home, cloud):
    """Where the key's own profile names no device, that of the profile that was named is the user's too."""
    home.write_config(
        f"[default]\nendpoint_url = {cloud.url}\n[profile jon]\n"
        f"[profile admin]\nsource_profile = jon\nrole_arn = {ADM}\nmfa_serial = {M}\n"
    )
    home.put_key("jon", cloud=cloud)
    cloud.mfa[M] = {CODE}
    cloud.iam.user("jon")
    cloud.iam.needs_mfa = True
    assert home.call("rotate", "admin", "-t", CODE).status == 0
    assert Call("GetSessionToken", 3600, M) in cloud.calls
    cloud.iam.needs_mfa = False
    check_done(home, cloud)


def test_the_sessions_of_all_who_used_the_key(jon, cloud):
    """Those of roles, and of roles of roles, go with it; other keys' sessions stay."""
    for profile in ("jon", "ro", "r2"):
        assert jon.call("export", profile, "-t", CODE).status == 0
    jon.put_key("other")
    kept = jon.put_session(GST, "other")
    before = [session for session in jon.sessions() if session[1] != "other"]
    result = jon.call("rotate", "r1")
    assert sorted(line for line in result.stdout.splitlines() if line.startswith("Deleted 1")) == sorted(
        f"Deleted 1 sessions for {profile}" for _, profile, _ in before
    )
    assert [name for name in jon.item_names() if "," in name] == [kept]


def test_copies_of_a_key(plain, cloud):
    """A key that is stored for two profiles is replaced for both."""
    plain.put_key("copy", OLD, "secret+of/jon")
    result = plain.call("rotate", "--json", "copy")
    assert result.json()[0]["profiles"] == ["copy", "jon"]
    assert stored(plain, "copy") == stored(plain, "jon") != OLD
    assert status_of(cloud, "jon") == {stored(plain): "Active"}


def test_the_ids_are_never_shown_whole(jon, cloud):
    """Nor any secret, with --debug either."""
    result = jon.call("rotate", "jon", "-t", CODE, "--debug")
    told = result.stdout + result.stderr
    for key in jon.items().values():
        assert key["SecretAccessKey"] not in told
        assert key["AccessKeyID"] not in told
    assert OLD not in told
    assert "secret+of/jon" not in told


# What cannot be rotated


def test_an_unknown_profile(jon, cloud):
    """It is not found; AWS is not asked."""
    result = jon.call("rotate", "jo")
    assert result == Result(
        1,
        "",
        f"strongroom: error: rotate: profile 'jo' not found in {jon.config} and no stored credentials exist for it\n"
        "strongroom: hint: did you mean 'jon'?\n",
    )
    assert cloud.calls == []


def test_a_profile_without_a_key(home, cloud):
    """Its credentials come from somewhere else, so there is nothing to rotate."""
    home.write_config("[profile p]\ncredential_process = false\n[profile q]\nsource_profile = p\n")
    result = home.call("rotate", "q")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        "strongroom: error: rotate: profile 'q' has no stored key to rotate: profile 'p' names its source: "
        f"credential_process ({home.config}:2 [profile p])\n"
        "strongroom: hint: only long-term keys are rotated; `list` shows which are stored\n"
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--all", "jon"], "--all takes no profile, got 'jon'"),
        (["--all", "-t", CODE], "--mfa-token is one code, and --all may need several"),
        (["--older-than", "90"], "--older-than: missing unit in duration '90', for example 90s or 1h30m"),
        (["jon", "ann"], "unexpected 'ann'"),
        ([], "required argument 'profile' not provided"),
    ],
)
def test_wrong_words(plain, argv, message):
    """Status 2, and nothing done."""
    result = plain.call("rotate", *argv)
    assert (result.status, result.stdout) == (2, "")
    assert f"strongroom: error: rotate: {message}" in result.stderr


def test_the_profile_of_the_environment(plain, cloud):
    """AWS_PROFILE names it."""
    assert plain.call("rotate", env={"AWS_PROFILE": "jon"}).status == 0
    check_done(plain, cloud)


def test_a_dead_key(plain, cloud):
    """AWS does not know the stored one: it says what to do, and nothing is noted."""
    cloud.iam.keys[OLD].is_active = False
    result = plain.call("rotate", "jon")
    assert result.status == 1
    assert "(InvalidClientTokenId)" in result.stderr
    assert own_items(plain) == []


# Two keys


def test_two_active_keys(plain, cloud):
    """Refused; which is which, and what to do, is said."""
    other = cloud.iam.second_key("jon")
    result = plain.call("rotate", "jon", "--yes")
    assert result.status == 1
    assert result.stderr == (
        f"strongroom: error: rotate: the user has 2 access keys, as many as AWS allows: {shown(other)} (active, made "
        f"400 days ago, never used) and {S_OLD} (active, made 100 days ago, last used less than a minute ago); {S_OLD} "
        f"is the stored one\nstrongroom: hint: if nobody uses {shown(other)} any more, deactivate it in IAM and rotate "
        "again: then it can be deleted\n"
    )
    assert len(status_of(cloud, "jon")) == 2


def test_an_inactive_second_key(plain, cloud):
    """Without a terminal, only --yes lets it be deleted."""
    other = cloud.iam.second_key("jon", is_active=False)
    result = plain.run("rotate", "jon")
    assert result.status == 1
    assert result.stderr.endswith("strongroom: hint: `strongroom rotate --yes jon` deletes the inactive one first\n")
    assert other in status_of(cloud, "jon")
    result = plain.call("rotate", "jon", "-y")
    assert f"Deleted inactive access key {shown(other)}\n" in result.stdout
    check_done(plain, cloud)


@needs_pty
@pytest.mark.parametrize("answer", ["y", "n"])
def test_an_inactive_second_key_is_asked_about(plain, cloud, tty, answer):
    """With its age and last use."""
    other = cloud.iam.second_key("jon", is_active=False)
    terminal = tty("rotate", "jon")
    terminal.expect(f"Delete the inactive access key {shown(other)} (inactive, made 400 days ago, never used)? (y|N) ")
    terminal.send(f"{answer}\n")
    assert terminal.wait().status == (0 if answer == "y" else 1)
    assert (other in status_of(cloud, "jon")) is (answer == "n")


# What goes wrong on the way


def test_a_full_store(plain, cloud, monkeypatch):
    """The new key cannot be kept: it is deleted again, and the old item is intact."""
    before = (plain.keys / "jon").read_bytes()
    from strongroom.own_items import OwnItems

    put = OwnItems.put

    def full(self, kind, name, fields):
        if fields["stage"] == "created":
            from strongroom.errors import KeystoreError

            raise KeystoreError("cannot write item 'rotation:jon': no space left on device", "make room")
        put(self, kind, name, fields)

    monkeypatch.setattr(OwnItems, "put", full)
    result = plain.call("rotate", "jon")
    assert result.status == 1
    assert "no space left on device; the new access key ****************" in result.stderr
    assert result.stderr.endswith(f" was deleted again\nstrongroom: hint: 'jon' still has its key {S_OLD}; make room\n")
    assert (plain.keys / "jon").read_bytes() == before
    check_done_unchanged(plain, cloud)


def test_a_key_that_cannot_be_deleted(plain, cloud):
    """Both keys are named, and how to finish; the next run makes no third key."""
    cloud.iam.denied = {"DeleteAccessKey"}
    result = plain.call("rotate", "jon")
    new = stored(plain)
    assert result.status == 1
    assert result.stderr.splitlines()[-1] == (
        f"strongroom: hint: 'jon' has the new key {shown(new)}, which works, and the old one, {S_OLD}, is inactive but "
        f"not deleted; `strongroom rotate --resume jon` goes on from there, once the user may do this or {S_OLD} is "
        "deleted in IAM"
    )
    assert cloud.actions.count("DeleteAccessKey") == 1
    assert plain.call("exec", "-n", "jon", "true").status == 0
    again = plain.call("rotate", "jon")
    assert again.status == 1
    assert again.stdout == (
        "Going on with the interrupted rotation of the key stored for profile 'jon' (it was deactivated)\n"
        f"Deleting old access key {S_OLD}\n"
    )
    cloud.iam.denied = set()
    assert plain.call("rotate", "--resume").status == 0
    assert cloud.actions.count("CreateAccessKey") == 1
    check_done(plain, cloud)


def test_nothing_to_resume(plain, cloud):
    """Nothing is begun."""
    assert plain.call("rotate", "--resume") == Result(0, "Nothing to do.\n", "")
    assert plain.call("rotate", "--resume", "jon") == Result(0, "", "")
    assert plain.call("rotate", "--resume", "jon", "--json").json()[0]["status"] == "nothing to resume"
    assert cloud.calls == []


def test_a_rotation_that_is_out_of_date(plain, cloud):
    """Somebody has stored another key meanwhile: the journal is dropped after a yes, and a plain run begins anew."""
    cloud.iam.delay_seconds = 1000
    clock = itertools.count(0, 50)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Rotation.__init__.__kwdefaults__, "clock", lambda: next(clock))
        assert plain.call("rotate", "jon").status == 1
    cloud.iam.delay_seconds = 0
    lost = (set(status_of(cloud, "jon")) - {OLD}).pop()
    for key in (OLD, lost):
        del cloud.iam.keys[key], cloud.keys[key]
    other = cloud.iam.second_key("jon")
    env = {"AWS_ACCESS_KEY_ID": other, "AWS_SECRET_ACCESS_KEY": cloud.keys[other].secret_access_key}
    assert plain.call("add", "--env", "jon", env=env).status == 0
    result = plain.run("rotate", "jon")
    assert result.status == 1
    assert "is neither" in result.stderr
    assert plain.call("rotate", "--resume", "--yes", "jon").stdout.endswith("That rotation is forgotten\n")
    assert own_items(plain) == []
    assert plain.call("rotate", "jon").status == 0
    check_done(plain, cloud)


def test_two_at_once(plain, cloud):
    """The second one says who is at it, and does nothing."""
    gate = cloud.hold("CreateAccessKey")
    with plain.popen("rotate", "jon", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as first:
        try:
            gate.wait_for()
            result = plain.call("rotate", "alias")
            assert result == Result(
                1,
                "",
                f"strongroom: error: rotate: process {first.pid} (strongroom rotate jon) is rotating the key of 'jon'\n"
                "strongroom: hint: wait for it, or answer its question\n",
            )
        finally:
            gate.release()
            out, err = first.communicate(timeout=60)
    assert (first.returncode, err) == (0, b""), out
    assert cloud.actions.count("CreateAccessKey") == 1
    check_done(plain, cloud)


@needs_pty
def test_an_interrupt(plain, cloud, tty):
    """Ctrl-C: 130, what to do is said, and the next run goes on."""
    gate = cloud.hold("UpdateAccessKey")
    terminal = tty("rotate", "alias")
    gate.wait_for()
    terminal.interrupt()
    result = terminal.wait()
    gate.release()
    assert result.status == 130
    assert result.stderr == "strongroom: interrupted: `strongroom rotate --resume jon` goes on from there\n"
    listed = plain.call("list", "--long")
    assert listed.stderr == "strongroom: a rotation was interrupted: `strongroom rotate --resume jon` goes on\n"
    assert plain.call("list", "--long", "--json").json()["interrupted_rotations"] == ["jon"]
    assert plain.call("rotate", "--resume").stdout.endswith("Finished rotating access key\nResumed: 1.\n")
    check_done(plain, cloud)


def test_an_interrupt_before_anything_was_noted(plain, monkeypatch):
    """There is nothing to go on with, and nothing to say."""

    def interrupt(_self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Rotation, "look", interrupt)
    result = plain.call("rotate", "jon")
    assert (result.status, result.stderr) == (130, "")


def test_nobody_listens(plain, cloud):
    """A closed pipe does not stop it half-way."""
    with plain.popen("rotate", "jon", stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    check_done(plain, cloud)


# Several


def test_all(plain, cloud):
    """Each key once, by itself; one that fails does not stop the others."""
    plain.put_key("copy", OLD, "secret+of/jon")
    plain.put_key("gone")
    result = plain.call("rotate", "--all")
    assert result.status == 1
    assert result.stdout.endswith("Rotated: 2, failed: 1.\n")
    assert result.stderr.startswith("strongroom: error: rotate: gone: sts GetCallerIdentity was refused")
    assert cloud.actions.count("CreateAccessKey") == 2
    for name in ("jon", "ann"):
        check_done(plain, cloud, name)
    assert stored(plain, "copy") == stored(plain, "jon")


def test_all_of_none(home):
    """Nothing to do is no failure."""
    assert home.call("rotate", "--all") == Result(0, "Nothing to do.\n", "")
    assert home.call("rotate", "--all", "--json") == Result(0, "[]\n", "")


def test_only_old_ones(plain, cloud):
    """By the age that IAM tells."""
    result = plain.call("rotate", "--all", "--older-than", "90d")
    assert result.status == 0
    ann = key_id("ann")
    assert f"The access key {shown(ann)} stored for profile 'ann', 10 days old, is young enough\n" in result.stdout
    assert result.stdout.endswith("Young enough: 1, rotated: 1.\n")
    assert stored(plain, "ann") == ann
    check_done(plain, cloud)


def test_an_age_that_is_not_known(plain, cloud):
    """Then it is not guessed."""
    cloud.iam.denied = {"ListAccessKeys"}
    result = plain.call("rotate", "jon", "--older-than", "90d")
    assert result.status == 1
    assert (
        f"the age of the access key {S_OLD} stored for profile 'jon' is not known, so --older-than cannot be heeded"
        in result.stderr
    )
    assert cloud.actions.count("CreateAccessKey") == 0


def test_a_dry_run(plain, cloud):
    """What would be done; AWS is only asked what there is."""
    result = plain.call("rotate", "--dry-run", "jon")
    assert result == Result(
        0, f"Would rotate the access key {S_OLD} stored for profile 'jon', 100 days old\nNo changes made.\n", ""
    )
    assert cloud.actions == ["GetCallerIdentity", "ListAccessKeys"]
    cloud.iam.second_key("jon", is_active=False)
    assert plain.call("rotate", "--dry-run", "--yes", "jon").status == 1
    check = status_of(cloud, "jon")
    assert len(check) == 2
    assert own_items(plain) == []


def test_a_dry_run_of_what_was_interrupted(plain, cloud):
    """It would go on."""
    cloud.iam.denied = {"DeleteAccessKey"}
    plain.call("rotate", "jon")
    count = len(cloud.calls)
    for argv in (["jon"], ["--resume"], ["--all"]):
        result = plain.call("rotate", "--dry-run", *argv)
        assert result.status == 0
        assert (
            "Would go on with the interrupted rotation of the key stored for profile 'jon' (it was deactivated)\n"
            in result.stdout
        )
        if argv != ["--all"]:
            assert len(cloud.calls) == count


def test_json(plain, cloud):
    """What became of each, for programs; how it goes is told on stderr."""
    result = plain.call("rotate", "--json", "jon")
    (told,) = json.loads(result.stdout)
    assert told.pop("age_seconds") == pytest.approx(100 * 86_400, abs=120)
    assert told.pop("created").endswith("Z")
    assert told == {
        "profile": "jon",
        "profiles": ["jon"],
        "status": "rotated",
        "old_key": S_OLD,
        "new_key": shown(stored(plain)),
        "error": None,
        "hint": None,
    }
    assert "strongroom: Finished rotating access key\n" in result.stderr
    cloud.iam.denied = {"CreateAccessKey"}
    result = plain.call("rotate", "--json", "jon")
    (told,) = json.loads(result.stdout)
    assert (result.status, told["status"]) == (1, "failed")
    assert told["error"].startswith("iam CreateAccessKey was refused (AccessDenied)")
    assert told["hint"].startswith("'jon' still has its key")
    assert f"strongroom: error: rotate: {told['error']}\n" in result.stderr


def test_a_wrong_passphrase_stops_it(plain, cloud):
    """It would be wrong for every key."""
    result = plain.call("rotate", "--all", env={"AWS_VAULT_FILE_PASSPHRASE": "other"})
    assert result.status == 1
    assert result.stderr.count("error:") == 1
    assert cloud.calls == []


def test_what_aws_vault_sees(plain, cloud):
    """While a rotation is interrupted, the items that aws-vault reads are those that it knows."""
    cloud.iam.denied = {"DeleteAccessKey"}
    plain.call("rotate", "jon")
    assert plain.item_names() == ["ann", "jon"]
    assert own_items(plain) == ["rotation:jon"]


# Crashes

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")
MOST_STEPS = 250


@needs_fork
@pytest.mark.parametrize("resume", [["rotate", "--resume", "--yes"], ["rotate", "jon", "--yes"]], ids=" ".join)
def test_stopped_dead_at_each_step(plain, cloud, resume):
    """SIGKILL before each write, rename and call: what is stored works, and one more run ends with one key, stored.

    Only a run that died before its first note, or after its last, leaves nothing to resume; a plain run begins anew.
    """
    saved = plain.path.parent / "saved"
    shutil.copytree(plain.path, saved, symlinks=True)
    # Each of the two runs takes every second step: the seconds count, and both together take all.
    first = 1 if "--resume" in resume else 2
    deaths = set()
    with crashing(plain, first="import time; time.sleep = lambda seconds: None") as run:
        for at in range(first, MOST_STEPS, 2):
            shutil.rmtree(plain.path)
            shutil.copytree(saved, plain.path, symlinks=True)
            cloud.reset()
            for name in ("jon", "ann"):
                cloud.key(key_id(name), f"secret+of/{name}", user=name)
                cloud.iam.user(name)
            status, about_to = run(at, False, "rotate", "jon")
            assert status_of(cloud, "jon")[stored(plain)] == "Active"
            if about_to == "done":
                assert status == 0
                check_done(plain, cloud)
                break
            assert status == -signal.SIGKILL
            deaths.add(about_to.removeprefix("before "))
            result = plain.call(*resume)
            assert result.status == 0, result.stderr
            check_done(plain, cloud)
        else:
            raise AssertionError("it never gets done")
    assert {"send", "write"} <= deaths


# list --long


def test_ages_in_a_list(plain, cloud):
    """`list --long` shows for how long each key has been stored."""
    os.utime(plain.keys / "jon", (time.time() - 91 * 86_400,) * 2)
    result = plain.call("list", "--long")
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows == [
        ["Profile", "Credentials", "Sessions", "Stored"],
        ["=======", "===========", "========", "======"],
        ["default", "-", "-", "-"],
        ["jon", "jon", "-", "91", "days", "ago"],
        ["ann", "ann", "-", "less", "than", "a", "minute", "ago"],
        ["alias", "-", "-", "-"],
    ]
    told = plain.call("list", "--long", "--json").json()
    assert [key["name"] for key in told["keys"]] == ["ann", "jon"]
    assert told["keys"][1]["age_seconds"] == pytest.approx(91 * 86_400, abs=120)
    assert "keys" not in plain.call("list", "--json").json()
