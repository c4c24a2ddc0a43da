"""A role's session of one's own, for one run: a direct role, a session policy, tags, a source identity."""

import json
import os
import sys
from pathlib import Path

import pytest

from fakes.cloud import Call
from fakes.sts import members
from harness import items
from harness.home import ACCOUNT, CODE, PASSPHRASE, R1, RO, M, N
from harness.parallel import run_together

ONE = f"arn:aws:iam::{ACCOUNT}:role/team/One"
READ_ONLY, AUDIT = "arn:aws:iam::aws:policy/ReadOnlyAccess", f"arn:aws:iam::{ACCOUNT}:policy/audit"
POLICY = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}}
GST, AR = "GetSessionToken", "AssumeRole"
ASKS = Call(GST, 28800, M)


def ar(role, signer="key", serial=None, duration=3600):
    return Call(AR, duration, serial, signer=signer, role=role)


@pytest.fixture
def here(c1, cloud):
    """Config C1, one more role, and a policy in a file."""
    cloud.role(ONE)
    (c1.work / "policy.json").write_text("\ufeff" + json.dumps(POLICY, indent=4))
    c1.policy = str(c1.work / "policy.json")
    return c1


def key_of(home, *words, env=None):
    result = home.call("export", "--format=json", *words, env=env)
    assert (result.status, result.stderr) == (0, "")
    return result.json()["AccessKeyId"]


def narrowed(home):
    """(owner, profile with the key) of each narrowed session, sorted."""
    names = [name for name in items.names(str(home.path / "strongroom")) if name.startswith("session:")]
    return sorted(items.read_session_key(name)[1:3] for name in names)


# A role without a profile


def test_a_direct_role(here, cloud):
    """Its source's region, device and session are used; what is kept is not where aws-vault would find it."""
    words = ["--role", ONE, "--source", "jon", "-t", CODE]
    first = key_of(here, *words)
    assert cloud.calls == [ASKS, ar(ONE, "session")]
    assert cloud.calls[1].region == "us-east-1"
    assert key_of(here, *words) == first
    assert len(cloud.calls) == 2
    assert here.sessions() == [(GST, "jon", M)]
    assert narrowed(here) == [("jon", "jon")]


def test_the_commands_environment(here, cloud):
    """The first word is the command's; the command is told the role, and the region of the source."""
    result = here.call("exec", "--role", ONE, "--source", "ro", "env", "-u", "--", "x")
    assert (result.status, result.stderr) == (0, "")
    assert result.child == ["env", "-u", "--", "x"]
    told = {name: result.environ.get(name) for name in ("AWS_VAULT", "AWS_REGION", "AWS_PROFILE")}
    assert told == {"AWS_VAULT": ONE, "AWS_REGION": "us-east-1", "AWS_PROFILE": None}
    assert cloud.calls == [ar(RO), ar(ONE, "role")]
    assert here.sessions() == [(AR, "ro", "")]


def test_the_source_of_a_direct_role(here, cloud):
    """AWS_PROFILE, if no flag says; what variables say of the role is not said of the source."""
    env = {"AWS_PROFILE": "ro", "AWS_ROLE_SESSION_NAME": "me", "AWS_SESSION_TAGS": "a=1"}
    key_of(here, "--role", ONE, "-d", "30m", env=env)
    assert cloud.calls == [ar(RO, duration=1800), ar(ONE, "role", duration=1800)]
    assert [(call.tags, call.session_name == "me") for call in cloud.calls] == [({}, False), ({"a": "1"}, True)]
    env |= {"AWS_REGION": "eu-west-1", "AWS_MFA_SERIAL": N}
    key_of(here, "--role", ONE, "--source", "jon", "-t", CODE, env=env)
    assert cloud.calls[2:] == [Call(GST, 28800, N), ar(ONE, "session")]
    assert {call.region for call in cloud.calls[2:]} == {"eu-west-1"}


def test_a_direct_role_with_the_key_itself(here, cloud):
    """Longer than a chain can last, or without a session: the code goes with AssumeRole."""
    cloud.role(ONE, max_duration=43_200)
    key_of(here, "--role", ONE, "--source", "jon", "-d", "2h", "-t", CODE)
    key_of(here, "--role", ONE, "--source", "jon", "-n", "-t", CODE)
    assert cloud.calls == [ar(ONE, serial=M, duration=7200)]


def test_what_the_source_says_of_its_own_role_is_not_the_roles(here, cloud):
    """External id, session name and tags belong to the role of which they are said."""
    more = "external_id = shared\nrole_session_name = me\nsession_tags = a=1\nsource_identity = jon\nduration_seconds = 1800\n"
    here.config.write_text(here.config.read_text().replace("[profile ro]\n", f"[profile ro]\n{more}"))
    key_of(here, "--role", ONE, "--source", "ro")
    assert cloud.calls == [ar(RO, duration=1800), ar(ONE, "role")]
    last = cloud.calls[1]
    assert (last.external_id, last.tags, last.source_identity, last.session_name == "me") == (None, {}, None, False)


# Narrower than the profile


def test_a_session_policy(here, cloud):
    """The file's policy is sent without its blanks; the profile's own session is neither used nor replaced."""
    plain = key_of(here, "ro")
    words = ["--session-policy", here.policy, "ro"]
    first = key_of(here, *words)
    assert len({plain, first}) == 2
    assert cloud.calls == [ar(RO), ar(RO)]
    assert cloud.calls[1].policy == json.dumps(POLICY, separators=(",", ":"))
    (here.work / "policy.json").write_text(json.dumps(dict(reversed(POLICY.items()))))
    assert key_of(here, *words) == first
    assert key_of(here, "ro") == plain
    assert len(cloud.calls) == 2
    assert (here.sessions(), narrowed(here)) == ([(AR, "ro", "")], [("ro", "jon")])
    # A list shows it to those who want to know all; scripts that cut columns out of the plain one see what they know.
    labels = [[label.partition(":")[0] for label in here.call("list", "--sessions", *long).stdout.split()]
              for long in ((), ("--long",))]  # fmt: skip
    assert labels == [[f"sts.{AR}"], [f"sts.{AR}", "narrowed"]]
    [told] = here.call("list", "--long", "--json").json()["narrowed_sessions"]
    assert (told["profile"], told["key"], told["expired"], told["seconds_left"] > 3000) == ("ro", "jon", False, True)


def test_managed_policies(here, cloud):
    """Several, each once, beside a file; their order makes no other session."""
    first = key_of(here, "--session-policy", READ_ONLY, "--session-policy", here.policy, "--session-policy", AUDIT,
                   f"--session-policy={AUDIT}", "ro")  # fmt: skip
    assert members(cloud.calls[0].parameters, "PolicyArns", ".arn") == [READ_ONLY, AUDIT]
    assert json.loads(cloud.calls[0].policy) == POLICY
    again = ["--session-policy", AUDIT, "--session-policy", READ_ONLY, "--session-policy", here.policy, "ro"]
    assert key_of(here, *again) == first
    assert len(cloud.calls) == 1


def test_tags_and_a_source_identity(here, cloud):
    """In place of what config and variables say; of the last role only."""
    here.config.write_text(
        here.config.read_text().replace("[profile r1]\n", "[profile r1]\nsession_tags = of=r1\nsource_identity = one\n")
        + "session_tags = a=1, b=2\n"  # r2's
    )
    env = {"AWS_SOURCE_IDENTITY": "env"}
    words = ["--tags", "team = the red, case=1=2", "--source-identity", "jon@example.com", "-t", CODE, "r2"]
    key_of(here, *words, env=env)
    assert [(call.role, call.tags, call.source_identity) for call in cloud.calls[1:]] == [
        (R1, {"of": "r1"}, "one"),
        (f"arn:aws:iam::{ACCOUNT}:role/R2", {"team": "the red", "case": "1=2"}, "jon@example.com"),
    ]
    assert here.sessions() == [(AR, "r1", ""), (GST, "jon", M)]
    assert narrowed(here) == [("r2", "jon")]


def test_each_narrowing_is_a_session_of_its_own(here, cloud):
    """None is given out for another, nor for the profile; each is used again."""
    wishes = [
        ["--tags", "a=1"],
        ["--tags", "a=2"],
        ["--tags", "a=1", "--source-identity", "jon"],
        ["--session-policy", here.policy],
        ["--session-policy", READ_ONLY],
        ["--session-policy", here.policy, "--session-policy", READ_ONLY],
        [],
    ]
    keys = [key_of(here, *wish, "ro") for wish in wishes]
    assert len(set(keys)) == len(wishes) == len(cloud.calls)
    assert [key_of(here, *wish, "ro") for wish in wishes] == keys
    assert len(cloud.calls) == len(wishes)


def test_a_web_identity(here, cloud):
    """Its role takes a policy; tags and source identity are the token's."""
    cloud.web_identities = {"a.b.c"}
    (here.path / "token").write_text("a.b.c")
    with here.config.open("a") as file:
        file.write(f"[profile pod]\nrole_arn = {RO}\nweb_identity_token_file = ~/token\n")
    first = key_of(here, "--session-policy", here.policy, "--session-policy", READ_ONLY, "pod")
    assert cloud.calls == [Call("AssumeRoleWithWebIdentity", 3600, signer="nobody", role=RO)]
    assert json.loads(cloud.calls[0].policy) == POLICY
    assert members(cloud.calls[0].parameters, "PolicyArns", ".arn") == [READ_ONLY]
    assert key_of(here, "--session-policy", READ_ONLY, "--session-policy", here.policy, "pod") == first
    assert narrowed(here) == [("pod", "")]
    result = here.call("export", "--tags", "a=b", "--source-identity", "me", "pod")
    assert (result.status, result.stdout) == (2, "")
    assert "--source-identity and --tags: a web identity's role has these from the token, and takes no" in result.stderr


def test_a_long_command_keeps_its_policy(here, cloud):
    """A policy is read once: a renewal does not go by what the command has made of the file meanwhile."""
    from strongroom.cli import retrieval
    from strongroom.cli.flags import Arguments, Matcher
    from strongroom.cli.setting import GLOBAL_FLAGS
    from strongroom.cli.settings import Settings
    from strongroom.cli.terminal import Talk

    flags = (*GLOBAL_FLAGS, *retrieval.FLAGS, *retrieval.NARROWING)
    arguments = Matcher(flags).match(["--session-policy", here.policy, "ro"], {})
    retrieval.planned(Settings(arguments, here.environ, Talk("strongroom"), "exec"), "ro")
    os.unlink(here.policy)
    later = Arguments(dict(arguments.values), arguments.words)
    _, steps = retrieval.planned(Settings(later, here.environ, Talk("strongroom"), "exec"), "ro")
    assert json.loads(steps[-1].narrowing.policy) == POLICY
    assert cloud.calls == []


# Kept, and no longer than it may be


def test_a_narrowed_session_of_another_key_is_not_used(here, cloud):
    """The key was replaced, or the profile has another source."""
    words = ["--tags", "a=1", "ro"]
    key_of(here, *words)
    here.put_key("jon", "AKIANEWJONXXXXXXXXXX", "new secret", cloud=cloud)
    here.put_key("ann", cloud=cloud)
    key_of(here, *words)
    here.config.write_text(here.config.read_text().replace("source_profile = jon\nrole_arn = " + RO,
                                                           "source_profile = ann\nrole_arn = " + RO))  # fmt: skip
    key_of(here, *words)
    assert [call.access_key_id[-9:] for call in cloud.calls] == ["XXXXXXJON", "XXXXXXXXX", "XXXXXXANN"]


def test_a_longer_one_replaces_a_shorter_one(here, cloud):
    """As with other sessions: a duration that is asked for counts, and one of each kind is kept."""
    for words in ([], ["-d", "90m"], [], ["-d", "1h"]):
        key_of(here, "--tags", "a=1", *words, "ro")
    assert [call.duration for call in cloud.calls] == [3600, 5400]
    assert narrowed(here) == [("ro", "jon")]


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b'{"AccessKeyId": 1}'])
def test_a_damaged_one_is_a_miss(here, cloud, damage):
    """What cannot be read is asked for anew."""
    key_of(here, "--tags", "a=1", "ro")
    directory = str(here.path / "strongroom")
    (name,) = items.names(directory)
    if damage:
        items.write(directory, name, json.loads(damage), PASSPHRASE, "")
    else:
        (Path(directory) / items.file_name(name)).write_bytes(b"")
    key_of(here, "--tags", "a=1", "ro")
    assert cloud.actions == [AR, AR]


def test_expired_ones_are_swept(here, cloud):
    """When one is kept, those that have ended go, whosever they are."""
    directory = str(here.path / "strongroom")
    for words in (["--tags", "a=1", "ro"], ["--tags", "a=1", "-t", CODE, "admin"]):
        key_of(here, *words)
    old = items.session_key("0" * 32, "somebody", "jon", 1_600_000_000)
    items.write(directory, f"session:{old}", {}, PASSPHRASE, "")
    other = "session:not,a,name"
    items.write(directory, other, {}, PASSPHRASE, "")
    key_of(here, "--tags", "a=2", "ro")
    assert len(items.names(directory)) == 4
    assert f"session:{old}" not in items.names(directory)
    assert other in items.names(directory)


def test_a_session_that_cannot_be_kept(here, cloud):
    """The command gets it all the same, with a warning."""
    (here.path / "strongroom").write_text("no directory")
    result = here.call("export", "--tags", "a=1", "ro")
    assert result.status == 0
    assert "the session could not be stored, so the next command asks again" in result.stderr
    assert cloud.actions == [AR]


@pytest.fixture
def two(here, cloud):
    """Narrowed sessions of jon's key, by two profiles and a direct role, and one of ann's."""
    here.put_key("ann", cloud=cloud)
    with here.config.open("a") as file:
        file.write(f"[profile hers]\nsource_profile = ann\nrole_arn = {RO}\n")
    for words in (["ro"], ["-t", CODE, "admin"], ["hers"], ["--role", ONE, "--source", "jon"]):
        key_of(here, "--tags", "a=1", *words)
    assert narrowed(here) == [("admin", "jon"), ("hers", "ann"), ("jon", "jon"), ("ro", "jon")]
    return here


def test_clear(two):
    """Of one profile, those that were asked for by its name; or all."""
    result = two.call("clear", "ro")
    assert (result.status, result.stdout) == (0, "Cleared 1 sessions.\n")
    assert narrowed(two) == [("admin", "jon"), ("hers", "ann"), ("jon", "jon")]
    assert two.call("clear", "jon").stdout == "Cleared 2 sessions.\n"  # the session of GetSessionToken too
    assert narrowed(two) == [("admin", "jon"), ("hers", "ann")]
    assert two.call("clear").stdout == "Cleared 2 sessions.\n"
    assert narrowed(two) == []


def test_remove(two):
    """Those that were made from the key go with it."""
    result = two.call("remove", "--force", "jon")
    assert (result.status, result.stdout) == (0, "Deleted credentials.\nDeleted 4 sessions.\n")
    assert narrowed(two) == [("hers", "ann")]
    assert two.call("remove", "--sessions-only", "hers").stdout == "Deleted 1 sessions.\n"
    assert narrowed(two) == []


def test_add_over_a_key(two):
    """So they do when another key takes its place."""
    env = {"AWS_ACCESS_KEY_ID": "AKIAANOTHERXXXXXXXXX", "AWS_SECRET_ACCESS_KEY": "x" * 40}
    assert two.call("add", "--env", "jon", env=env).stdout.endswith("Deleted 4 existing sessions.\n")
    assert narrowed(two) == [("hers", "ann")]


def test_rotate(two, cloud, monkeypatch):
    """And when it is rotated."""
    from strongroom.rotation import Rotation

    monkeypatch.setitem(Rotation.__init__.__kwdefaults__, "pause", lambda _seconds: None)
    cloud.iam.user("jon")
    result = two.call("rotate", "-n", "-t", CODE, "jon")
    assert (result.status, result.stderr) == (0, "")
    assert "Deleted 3 narrowed sessions\n" in result.stdout
    assert narrowed(two) == [("hers", "ann")]


@pytest.mark.skipif(sys.platform == "win32", reason="the barrier passes descriptors to its children, as POSIX has it")
def test_many_at_once(here, cloud):
    """Of those that want the same, one asks; another wish waits for nobody's answer but its own."""
    same = ("export", "--format=json", "--tags", "a=1", "ro")
    other = ("export", "--format=json", "--tags", "a=2", "ro")
    ended = run_together(here, [same, same, same, other])
    assert [(each.status, each.stderr) for each in ended] == [(0, "")] * 4
    assert len({each.stdout for each in ended[:3]}) == 1
    assert len({each.stdout for each in ended}) == 2
    assert sorted(call.tags["a"] for call in cloud.calls) == ["1", "2"]


# explain


def test_explained(here, cloud):
    """What is asked for, whether that session is there, and which it is; another wish has another."""
    words = ["--tags", "a=1", "--session-policy", here.policy, "--session-policy", AUDIT, "ro"]
    told = here.call("explain", "--json", *words).json()["steps"]
    assert [step.get("narrowing") for step in told[:-1]] == [None]
    step = told[-1]
    mark = step["narrowing"].pop("session")
    assert (step["cached"], step["will_call"]) == ("no", True)
    assert step["narrowing"] == {
        "flags": ["--session-policy", "--tags"],
        "policy": POLICY,
        "policy_arns": [AUDIT],
        "source_identity": None,
        "tags": {"a": "1"},
    }
    key_of(here, *words)
    cloud.calls.clear()
    step = here.call("explain", "--json", *words).json()["steps"][-1]
    assert (step["cached"], step["will_call"], step["narrowing"]["session"]) == ("cached", False, mark)
    locked = here.call("explain", "--json", *words, env={"AWS_VAULT_FILE_PASSPHRASE": None}).json()["steps"][-1]
    assert locked["cached"] == "cached, not checked"
    for other in (words[2:], ["--tags", "a=2", *words[2:]], ["ro"]):
        step = here.call("explain", "--json", *other).json()["steps"][-1]
        assert (step["cached"], step.get("narrowing", {}).get("session") == mark) == ("no", False)
    assert cloud.calls == []


def test_explained_in_words(here):
    """A direct role is called by its ARN; policies stand with their step, flags with the settings."""
    words = ["--role", ONE, "--source", "jon", "--session-policy", here.policy, "--session-policy", AUDIT]
    result = here.call("explain", *words)
    assert (result.status, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"Credentials of role {ONE}:"
    start = next(number for number, line in enumerate(lines) if line.startswith("3. "))
    assert lines[start : start + 5] == [
        f"3. sts.AssumeRole of role {ONE}, for 1h0m0s, without MFA",
        f"   why:    --role {ONE}, and its MFA device is proved already; a session of its own, because of --role and "
        "--session-policy",
        "   now:    nothing stored; AWS will be asked",
        f"   policy: {AUDIT}",
        f"   policy: {json.dumps(POLICY)}",
    ]
    settings = [line.split() for line in lines[lines.index("Settings:") + 1 :]]
    assert [ONE, "source_profile", "jon", "--source"] in settings
    assert [ONE, "role_arn", ONE, "--role"] in settings


# What cannot be had


ROLE = f"arn:aws:iam::{ACCOUNT}:role/"
WRONG = [
    # the role
    (["--role", "admin", "--source", "jon"], "--role: 'admin' is not the ARN of a role: it should be like"),
    (["--role", "", "--source", "jon"], "--role: '' is not the ARN of a role"),
    (["--role", f"{ROLE}a b", "--source", "jon"], "is not the ARN of a role"),
    (["--role", AUDIT, "--source", "jon"], "is not the ARN of a role"),
    (["--role", f"arn:aws:sts::{ACCOUNT}:assumed-role/a/b", "--source", "jon"], "is a role's session: give the role"),
    (["--role", f"{ROLE}aws-reserved/sso.amazonaws.com/AWSReservedSSO_Dev_0", "--source", "jon"],
     "belongs to IAM Identity Center, which alone gives it out: use a profile for it"),
    (["--role", ONE], "--role: required flag --source not provided"),
    (["--role", ONE, "--source", "jon", "ro"], "with --role there is no profile word, got 'ro'"),
    (["ro", "--role", ONE], "with --role there is no profile word, got 'ro'"),
    (["--source", "jon", "ro"], "--source needs --role"),
    # policies
    (["--session-policy", "nosuch.json", "ro"], "--session-policy: cannot read 'nosuch.json': no such file or directory"),
    (["--session-policy", "", "ro"], "--session-policy: cannot read '': no such file or directory"),
    (["--session-policy", "arn:aws:iam::aws:role/x", "ro"], "is not the ARN of a managed policy"),
    (["--session-policy", "policy.json", "--session-policy", "policy.json", "ro"],
     "AWS takes one policy that is not a managed one"),
    ([word for n in range(11) for word in ("--session-policy", f"{AUDIT}{n}")] + ["ro"],
     "--session-policy: AWS takes 10 managed policies, not 11"),
    (["--session-policy", READ_ONLY, "-n", "jon"], "'jon' cannot be narrowed: a long-term key can do all that its user"),
    (["--session-policy", READ_ONLY, "jon"],
     "--session-policy: the credentials of profile 'jon' cannot be narrowed: GetSessionToken takes nothing that narrows"
     " a session, try --help\nstrongroom: hint: assume a role with its credentials: --role ARN --source jon\n"),
    (["--session-policy", READ_ONLY, "corp"], "'corp' cannot be narrowed: IAM Identity Center takes nothing"),
    (["--session-policy", READ_ONLY, "proc"], "'proc' cannot be narrowed: credential_process brings credentials as"),
    # tags
    (["--tags", "a", "ro"], "--tags: 'a' is not KEY=VALUE: write KEY=VALUE,KEY=VALUE"),
    (["--tags", "a=1,", "ro"], "--tags: '' is not KEY=VALUE"),
    (["--tags", "", "ro"], "--tags: '' is not KEY=VALUE"),
    (["--tags", "a=1,A=2", "ro"], "--tags: A is given twice"),
    (["--tags", "aws:x=1", "ro"], "--tags: aws:x: keys that begin with aws: are AWS's own"),
    (["--tags", "a=b*", "ro"], "--tags: a=b*: AWS takes letters, digits, blanks and _.:/=+-@ in tags, not '*'"),
    (["--tags", f"{'k' * 129}=1", "ro"], "a key has 128 characters at most, a value 256"),
    (["--tags", f"k={'v' * 257}", "ro"], "--tags: k: a key has 128 characters at most, a value 256"),
    (["--tags", ",".join(f"k{n}=v" for n in range(51)), "ro"], "--tags: AWS takes 50 tags, not 51"),
    # the source identity
    (["--source-identity", "x", "ro"], "--source-identity: 'x' is not 2 to 64 letters, digits and characters of"),
    (["--source-identity", "", "ro"], "--source-identity: '' is not 2 to 64"),
    (["--source-identity", "a b", "ro"], "--source-identity: 'a b' is not 2 to 64"),
    (["--source-identity", "aws:me", "ro"], "--source-identity: 'aws:me' is not 2 to 64"),
]  # fmt: skip


@pytest.fixture
def anything(here, monkeypatch):
    """Profiles of every kind."""
    monkeypatch.chdir(here.work)
    with here.config.open("a") as file:
        file.write("[profile corp]\nsso_start_url = https://corp.example/start\nsso_region = us-east-1\n"
                   "sso_account_id = 1\nsso_role_name = x\n[profile proc]\ncredential_process = exit 3\n")  # fmt: skip
    return here


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_wrong_words(anything, cloud, words, message):
    """Exit 2 and one line, before anybody is asked anything."""
    result = anything.call("export", *words)
    assert (result.status, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") <= 2
    assert cloud.calls == []


@pytest.mark.parametrize(("text", "message"), [
    ("", "is no JSON: Expecting value"),
    ("{", "is no JSON"),
    ("[]", "is no policy: it has no Statement"),
    ('{"Statement": []}', "is no policy: it has no Statement"),
    ('{"Statement": {"Condition": 1, "Condition": 2}}', "is no policy: 'Condition' is there twice in the same place"),
    ("\udcff", "is no JSON"),
    ('{"a":' * 60_000, "is no policy: it is nested too deep"),
    (json.dumps({"Statement": ["x" * 2031]}), "has 2,049 characters without blanks, and AWS takes 2,048: make a managed"),
])  # fmt: skip
def test_a_file_that_is_no_policy(anything, cloud, text, message):
    """It is refused here, for AWS's answer would not say which file is meant."""
    Path("policy.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    result = anything.call("export", "--session-policy", "policy.json", "ro")
    assert (result.status, result.stdout) == (2, "")
    assert f"--session-policy: 'policy.json' {message}" in result.stderr
    assert cloud.calls == []


def test_a_policy_that_is_just_short_enough(anything, cloud):
    """Blanks do not count, because they are not sent."""
    Path("policy.json").write_text(json.dumps({"Statement": ["x" * 2030]}, indent=30))
    key_of(anything, "--session-policy", "policy.json", "ro")
    assert len(cloud.calls[0].policy) == 2048


def test_an_unknown_source(anything, cloud):
    """It is a profile that is not there: exit 1, with a suggestion."""
    result = anything.call("export", "--role", ONE, "--source", "jno")
    assert (result.status, result.stdout) == (1, "")
    assert "profile 'jno' not found in" in result.stderr
    assert cloud.calls == []


def test_a_profile_word_after_a_direct_role(anything, cloud):
    """It would be the command: said, if it is a profile's name and no program's."""
    for words in (["ro", "--", "env"], ["ro", "env"]):
        result = anything.call("exec", "--role", ONE, "--source", "jon", *words)
        assert (result.status, result.child) == (2, None)
        assert "with --role there is no profile word, got 'ro'" in result.stderr
        assert "hint: --source ro has that profile assume the role" in result.stderr
    assert cloud.calls == []


def test_a_command_after_a_direct_role_and_a_config_that_cannot_be_read(here):
    """Whether its first word is a profile cannot be told; why not is what matters."""
    result = here.call(
        "exec", "--role", ONE, "--source", "jon", "nosuchprogram", env={"AWS_CONFIG_FILE": str(here.work)}
    )
    assert (result.status, result.child) == (1, None)
    assert f"cannot read the config file {here.work}" in result.stderr


def test_profile_env(anything, cloud):
    """The command would get the profile's own credentials by its name: refused."""
    result = anything.call("exec", "--profile-env", "--session-policy", READ_ONLY, "ro", "env")
    assert (result.status, result.child) == (2, None)
    assert "Can't use --profile-env with --session-policy" in result.stderr


@pytest.mark.parametrize(("code", "hint"), [
    ("PackedPolicyTooLarge", "hint: policies and tags share little room: shorten them, or make managed policies"),
    ("MalformedPolicyDocument", ""),
])  # fmt: skip
def test_aws_refuses(here, cloud, code, hint):
    """In its own words; nothing is kept."""
    cloud.fail(AR, code=code, status=400, message="Packed size of session tags consumes 104% of allotted space.")
    result = here.call("export", "--session-policy", READ_ONLY, "ro")
    assert (result.status, result.stdout) == (1, "")
    assert f"sts AssumeRole of {RO} was refused ({code}): Packed size" in result.stderr
    assert hint in result.stderr
    assert narrowed(here) == []


def test_a_role_on_identity_center_or_a_program(anything, cloud):
    """A direct role may have any source."""
    fields = {"Version": 1, "AccessKeyId": "AKIAPROCPROCPROCPROC", "SecretAccessKey": "secret"}
    cloud.key("AKIAPROCPROCPROCPROC", "secret")
    text = anything.config.read_text()
    anything.config.write_text(text.replace("exit 3", f"echo '{json.dumps(fields)}'"))
    key_of(anything, "--role", ONE, "--source", "proc")
    assert cloud.calls == [ar(ONE)]
    assert narrowed(anything) == [("proc", "")]
    told = anything.call("explain", "--json", "--role", ONE, "--source", "corp").json()["steps"]
    assert [step["action"] for step in told] == ["sso.GetRoleCredentials", "sts.AssumeRole"]


def test_no_secret_is_among_what_others_are_told(here, cloud):
    """Lock files hold a digest of a policy, and no more of it."""
    cloud.fail(AR)
    assert here.call("export", "--session-policy", here.policy, "ro").status == 1
    told = b"".join(path.read_bytes() for path in (here.path / "run" / "strongroom").iterdir())
    assert b"s3:Get" not in told
