import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import ini, plan, profiles
from strongroom.errors import NoCredentials
from strongroom.plan import ASSUME_ROLE, KEY, SESSION_TOKEN, SSO_ROLE

M, N = "arn:aws:iam::111111111111:mfa/jon", "arn:aws:iam::111111111111:mfa/other"
ROLE, ROLE1, ROLE2, OWN = (f"arn:aws:iam::111111111111:role/{name}" for name in ("role", "role1", "role2", "own"))
STORED = {"base", "nomfa", "own"}


def section(name, **settings):
    return "\n".join([f"[profile {name}]", *(f"{key} = {value}" for key, value in settings.items()), ""])


def resolve(text, name, *, environ=None, **flags):
    return profiles.resolve(ini.Document(text, "/c"), name, flags=flags, environ=environ or {})


def steps_of(text, target, options=""):
    """The plan for a command's options, ``-n`` and ``-d DURATION``."""
    words = options.split()
    flags = {"duration": words[words.index("-d") + 1]} if "-d" in words else {}
    return plan.plan(resolve(text, target, **flags), STORED, no_session="-n" in words)


def shown(steps):
    """(kind, profile, duration, serial) of each step."""
    return [(step.kind, step.profile.name, step.duration_seconds, step.serial) for step in steps]


def key(profile):
    return KEY, profile, 0, ""


def gst(profile, seconds, serial=""):
    return SESSION_TOKEN, profile, seconds, serial


def ar(profile, seconds=3600, serial=""):
    return ASSUME_ROLE, profile, seconds, serial


BASE, NOMFA = section("base", mfa_serial=M), section("nomfa")
PLAIN = BASE + section("role", role_arn=ROLE, source_profile="base")
OTHER = BASE + section("role", role_arn=ROLE, source_profile="base", mfa_serial=N)
AT_ROLE = NOMFA + section("role", role_arn=ROLE, source_profile="nomfa", mfa_serial=M)
SHARED = BASE + section("role", role_arn=ROLE, source_profile="base", mfa_serial=M)
LONG = BASE + section("role", role_arn=ROLE, source_profile="base", mfa_serial=M, duration_seconds=7200)
OWN_ROLE = section("own", role_arn=OWN, mfa_serial=M)
OWN_PLAIN = section("own", role_arn=OWN)


def two_roles(serial1, serial2):
    """role2 <- role1 <- base."""
    first = {"mfa_serial": serial1} if serial1 else {}
    second = {"mfa_serial": serial2} if serial2 else {}
    return (
        BASE
        + section("role1", role_arn=ROLE1, source_profile="base", **first)
        + section("role2", role_arn=ROLE2, source_profile="role1", **second)
    )


# What aws-vault does, but for the rows with a mark:
# (!) AWS would refuse a code with a role's session: none is sent.
ROWS = {
    "1 a key with a device": (BASE, "base", "", [key("base"), gst("base", 3600, M)]),
    "2 a key, no session": (BASE, "base", "-n", [key("base")]),
    "3 a key, duration": (BASE, "base", "-d 2h", [key("base"), gst("base", 7200, M)]),
    "4 a key without device": (NOMFA, "nomfa", "", [key("nomfa"), gst("nomfa", 3600)]),
    "5 a role without device": (PLAIN, "role", "", [key("base"), ar("role")]),
    "6 a role without device, duration": (PLAIN, "role", "-d 2h", [key("base"), ar("role", 7200)]),
    "7 a role with another device": (OTHER, "role", "", [key("base"), ar("role", 3600, N)]),
    "8 a role with a device, source without": (AT_ROLE, "role", "", [key("nomfa"), ar("role", 3600, M)]),
    "9 a role and its source share a device": (
        SHARED, "role", "", [key("base"), gst("base", 28800, M), ar("role")],
    ),
    "10 the same, duration by flag": (SHARED, "role", "-d 2h", [key("base"), ar("role", 7200, M)]),
    "10 the same, duration by config": (LONG, "role", "", [key("base"), ar("role", 7200, M)]),
    "10 the same, an hour by flag": (SHARED, "role", "-d 1h", [key("base"), gst("base", 3600, M), ar("role")]),
    "11 the same, no session": (SHARED, "role", "-n", [key("base"), ar("role", 3600, M)]),
    "12 an alias without device": (
        BASE + section("alias", source_profile="base"), "alias", "", [key("base"), gst("alias", 3600)],
    ),
    "13 an alias with the device": (
        BASE + section("alias", source_profile="base", mfa_serial=M), "alias", "",
        [key("base"), gst("base", 28800, M)],
    ),
    "14 own key, role and device": (OWN_ROLE, "own", "", [key("own"), ar("own", 3600, M)]),
    "14 the same, duration": (OWN_ROLE, "own", "-d 2h", [key("own"), ar("own", 7200, M)]),
    "14 the same, no session": (OWN_ROLE, "own", "-n", [key("own"), ar("own", 3600, M)]),
    "15 own key and role": (OWN_PLAIN, "own", "", [key("own"), ar("own")]),
    "16 two roles, one device": (
        two_roles(M, M), "role2", "", [key("base"), gst("base", 28800, M), ar("role1"), ar("role2")],
    ),
    "17 the same, duration": (
        two_roles(M, M), "role2", "-d 2h", [key("base"), gst("base", 7200, M), ar("role1"), ar("role2")],
    ),
    "18 the same, no session (!)": (two_roles(M, M), "role2", "-n", [key("base"), ar("role1", 3600, M), ar("role2")]),
    "19 two roles with another device": (
        two_roles(N, N), "role2", "", [key("base"), gst("role1", 28800, N), ar("role1"), ar("role2")],
    ),
    "20 the device at the second role only (!)": (two_roles("", M), "role2", "", [key("base"), ar("role1"), ar("role2")]),
    "21 a role from a key with a role": (
        OWN_ROLE + section("role", role_arn=ROLE, source_profile="own", mfa_serial=M), "role", "",
        [key("own"), gst("own", 28800, M), ar("own"), ar("role")],
    ),
    "22 an alias of a key with a role": (
        OWN_ROLE + section("alias", source_profile="own"), "alias", "", [key("own"), ar("own", 3600, M)],
    ),
    "the stored key of a profile comes before its source": (
        NOMFA + section("base", source_profile="nomfa"), "base", "-n", [key("base")],
    ),
    "two roles, two devices": (
        two_roles(M, N), "role2", "", [key("base"), gst("base", 28800, M), ar("role1"), ar("role2")],
    ),
    "a third device at the role": (
        OWN_ROLE + section("role", role_arn=ROLE, source_profile="own", mfa_serial=N), "role", "",
        [key("own"), ar("own", 3600, M), ar("role")],
    ),
    "an alias in between, with a device at the role only": (
        NOMFA + section("alias", source_profile="nomfa") + section("role", role_arn=ROLE, source_profile="alias",
                                                                   mfa_serial=M),
        "role", "", [key("nomfa"), ar("role", 3600, M)],
    ),
    "an alias in between that shares the device with the role": (
        NOMFA + section("alias", source_profile="nomfa", mfa_serial=M)
        + section("role", role_arn=ROLE, source_profile="alias", mfa_serial=M),
        "role", "", [key("nomfa"), gst("alias", 28800, M), ar("role")],
    ),
    "no profile of the config: a stored key": ("", "nomfa", "", [key("nomfa"), gst("nomfa", 3600)]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "target", "options", "expected"), ROWS.values(), ids=ROWS)
def test_the_decision_table(text, target, options, expected):
    """For each shape of configuration: what is asked of STS, for how long, with which device's code."""
    assert shown(steps_of(text, target, options)) == expected


# Every key and device alike: what is asked for, beside the defaults, and what is told.


def test_wanted_durations_are_those_that_somebody_asked_for():
    """A default never counts as a wish, so that a target's hour and a source's eight hours share one session."""
    assert [step.wanted_seconds for step in steps_of(SHARED, "role")] == [0, 0, 0]
    assert [step.wanted_seconds for step in steps_of(BASE, "base")] == [0, 0]
    assert [step.wanted_seconds for step in steps_of(BASE, "base", "-d 2h")] == [0, 7200]
    assert [step.wanted_seconds for step in steps_of(LONG, "role")] == [0, 7200]
    # a chain is capped, and asks for no more than that
    assert [step.wanted_seconds for step in steps_of(two_roles(M, M), "role2", "-d 2h")] == [0, 7200, 3600, 3600]


@pytest.mark.parametrize(
    ("variable", "text", "target", "durations"),
    [
        ("AWS_SESSION_TOKEN_TTL", BASE, "base", [7200]),
        ("AWS_SESSION_TOKEN_TTL", SHARED, "role", [28800, 3600]),
        ("AWS_CHAINED_SESSION_TOKEN_TTL", BASE, "base", [3600]),
        ("AWS_CHAINED_SESSION_TOKEN_TTL", SHARED, "role", [7200, 3600]),
        ("AWS_ASSUME_ROLE_TTL", SHARED, "role", [7200]),
        ("AWS_ASSUME_ROLE_TTL", BASE, "base", [3600]),
    ],
)
def test_each_duration_has_its_variable(variable, text, target, durations):
    """A session for the command itself, one that roles are assumed from, and a role."""
    steps = plan.plan(resolve(text, target, environ={variable: "2h"}), STORED)
    assert [step.duration_seconds for step in steps[1:]] == durations


def test_the_source_of_a_shared_session_and_the_key_itself_have_one_item():
    """``exec base`` and ``exec role`` look for the same session: same kind, profile, device, fingerprint."""
    own, shared = steps_of(SHARED, "base")[1], steps_of(SHARED, "role")[1]
    assert shown([own])[0][:2] == shown([shared])[0][:2]
    assert (own.serial, own.fingerprint, own.wanted_seconds) == (
        shared.serial,
        shared.fingerprint,
        shared.wanted_seconds,
    )


# Reasons and notes


def test_each_step_says_why():
    """One sentence for each, in the words of the config."""
    assert [step.reason for step in steps_of(SHARED, "role")] == [
        "a long-term key is stored for profile 'base'",
        "one session of 'base' serves every profile that shares its MFA device: one code",
        f"profile 'role' has role {ROLE}, and its MFA device is proved already",
    ]
    assert [step.reason for step in steps_of(PLAIN, "role")] == [
        "a long-term key is stored for profile 'base'",
        f"profile 'role' has role {ROLE} and no mfa_serial",
    ]
    assert steps_of(BASE, "base")[1].reason == "a session keeps the long-term key out of the command's hands"
    assert steps_of(AT_ROLE, "role")[1].reason == f"profile 'role' has role {ROLE} and an MFA device"
    assert steps_of(two_roles("", M), "role2")[2].reason == (
        f"profile 'role2' has role {ROLE2}; a role session carries no MFA, so no code is sent"
    )
    assert steps_of(two_roles(M, M), "role2", "-d 2h")[2].reason == (
        f"profile 'role1' has role {ROLE1}, and its MFA device is proved already"
        "; for an hour, which is as long as a chain of roles can last"
    )


def test_another_device_than_the_sessions():
    """A session of one device does not prove another: its code goes with the role."""
    text = (
        section("own", mfa_serial=M)
        + section("alias", source_profile="own", mfa_serial=M)
        + section("role", role_arn=ROLE, source_profile="alias", mfa_serial=N)
    )
    steps = steps_of(text, "role")
    assert shown(steps) == [key("own"), gst("own", 28800, M), ar("role", 3600, N)]
    assert steps[2].reason == f"profile 'role' has role {ROLE} and another MFA device than its source"
    assert steps[2].fingerprint["serial"] == N


def test_what_aws_will_not_do_is_noted_with_the_step():
    """A role from a role takes no code, and lasts an hour at most: told when it happens, not found out later."""
    without_mfa = (
        f"profile 'role2': no MFA code is sent for role {ROLE2}, because it is assumed by another role, and a role's "
        "session carries no MFA"
    )
    capped = f"profile 'role2': role {ROLE2} is assumed by another role, and AWS gives such a session an hour at most, not 2h0m0s"
    assert [step.notes for step in steps_of(two_roles("", M), "role2")] == [(), (), (without_mfa,)]
    assert [step.notes for step in steps_of(two_roles(M, M), "role2", "-n")] == [(), (), ()]
    assert [step.notes for step in steps_of(two_roles(M, M), "role2", "-d 2h")] == [
        (), (), (), (capped,),
    ]  # fmt: skip
    assert [step.notes for step in steps_of(two_roles("", M), "role2", "-d 2h")] == [
        (), (), (without_mfa, capped),
    ]  # fmt: skip
    assert [step.notes for step in steps_of(LONG, "role")] == [(), ()]


def test_a_credential_source_beside_a_key_is_not_passed_over_in_silence():
    """The key, or the source profile, is what counts; whoever also wrote credential_source is told."""
    text = section("base", credential_source="Environment") + section(
        "role", role_arn=ROLE, source_profile="base", credential_source="Ec2InstanceMetadata"
    )
    assert steps_of(text, "role")[0].notes == (
        "profile 'base': credential_source is not used, because credentials come from its stored key",
        "profile 'role': credential_source is not used, because credentials come from its source_profile",
    )


def test_a_step_is_shown_in_short():
    """For debugging: kind, profile, duration, device."""
    assert [repr(step) for step in steps_of(SHARED, "role")] == [
        "<Step key 'base' 0s>",
        f"<Step sts.GetSessionToken 'base' 28800s with {M}>",
        "<Step sts.AssumeRole 'role' 3600s>",
    ]


# Where no credentials come from


@pytest.mark.parametrize("settings", [{"sso_start_url": "https://x/start"}, {"sso_session": "corp"}])
def test_identity_center(settings):
    """The place where it stands is the reason; what is missing to sign in is found out when it comes to that."""
    steps = steps_of(section("p", **settings) + section("role", role_arn=ROLE, source_profile="p"), "role")
    field = next(iter(settings))
    assert [(step.kind, step.profile.name, step.slot) for step in steps] == [
        (SSO_ROLE, "p", settings.get("sso_start_url", "")),
        (ASSUME_ROLE, "role", ""),
    ]
    assert steps[0].reason == f"profile 'p' names its source: {field} (/c:2 [profile p])"


def test_a_stored_key_comes_before_any_other_source():
    """Of the same profile: what is set beside it does not matter."""
    text = section("base", credential_process="x", sso_start_url="https://x/start")
    assert shown(steps_of(text, "base", "-n")) == [key("base")]


@pytest.mark.parametrize(
    ("text", "target", "named"),
    [
        (section("p", role_arn=ROLE), "p", "p"),
        (section("p", role_arn=ROLE, source_profile="q") + section("q"), "p", "q"),
    ],
)
def test_no_source_at_all(text, target, named):
    """The profile at the end of the chain is the one that needs a key."""
    with pytest.raises(NoCredentials) as caught:
        steps_of(text, target)
    assert caught.value.profile == named
    assert caught.value.message == f"profile {named}: credentials missing"
    assert caught.value.hint == f"store a key with `strongroom add {named}`, or set source_profile"


def test_a_source_without_a_section():
    """It needs a key, or its name is a typing error: where that stands is said."""
    with pytest.raises(NoCredentials) as caught:
        steps_of(section("p", source_profile="gone"), "p")
    assert caught.value.profile == "gone"
    assert caught.value.message == "profile gone: credentials missing"
    assert caught.value.hint == (
        "store a key with `strongroom add gone`, or correct source_profile of 'p' (/c:2 [profile p])"
    )


# Fingerprints


FULL = BASE + section(
    "role", role_arn=ROLE, source_profile="base", external_id="x", role_session_name="s", session_tags="b=2,a=1",
    transitive_session_tags="b,a", source_identity="i", region="eu-west-1", endpoint_url="https://e",
)  # fmt: skip


def fingerprint(text, *, target="role", index=-1, **flags):
    """As it comes back from a stored item."""
    return json.loads(json.dumps(plan.plan(resolve(text, target, **flags), STORED)[index].fingerprint))


def test_a_fingerprint_holds_what_the_session_is():
    """All that was sent and could have been otherwise; only what is set."""
    assert fingerprint(FULL) == {
        "step": "sts.AssumeRole",
        "partition": "aws",
        "endpoint": "https://e",
        "roles": [ROLE],
        "external_id": "x",
        "session_name": "s",
        "tags": [["a", "1"], ["b", "2"]],
        "transitive_tags": ["a", "b"],
        "source_identity": "i",
    }
    assert fingerprint(SHARED) == {"step": "sts.AssumeRole", "partition": "aws", "serial": M, "roles": [ROLE]}
    assert fingerprint(SHARED, index=1) == {"step": "sts.GetSessionToken", "partition": "aws", "serial": M}
    assert fingerprint(two_roles(M, M), target="role2")["roles"] == [ROLE1, ROLE2]
    assert plan.plan(resolve(SHARED, "role"), STORED)[0].fingerprint == {}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (ROLE, ROLE2),
        ("external_id = x\n", ""),
        ("external_id = x", "external_id = y"),
        ("role_session_name = s", "role_session_name = t"),
        ("session_tags = b=2,a=1", "session_tags = b=2"),
        ("session_tags = b=2,a=1", "session_tags = b=2,a=3"),
        ("transitive_session_tags = b,a", "transitive_session_tags = b"),
        ("source_identity = i", "source_identity = j"),
        ("endpoint_url = https://e", "endpoint_url = https://f"),
        ("region = eu-west-1", "region = cn-north-1"),
        ("[profile role]\n", f"[profile role]\nmfa_serial = {N}\n"),
    ],
)
def test_what_changes_a_fingerprint(before, after):
    """A session that was made for something else is not used."""
    assert before in FULL
    assert fingerprint(FULL.replace(before, after)) != fingerprint(FULL)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("region = eu-west-1", "region = us-east-2"),
        ("region = eu-west-1\n", ""),
        ("session_tags = b=2,a=1", "session_tags = a=1, b=2"),
        ("transitive_session_tags = b,a", "transitive_session_tags = a,b"),
        ("[profile role]\n", "[profile role]\nduration_seconds = 1800\n"),
        ("[profile role]\n", "[profile role]\nmfa_process = echo 1\n"),
        ("[profile role]\n", "[profile role]\nsts_regional_endpoints = legacy\n"),
    ],
)
def test_what_does_not_change_a_fingerprint(before, after):
    """A session is good everywhere in its partition, however long it was asked for, in whatever order it was written."""
    assert before in FULL
    assert fingerprint(FULL.replace(before, after)) == fingerprint(FULL)


def test_the_way_to_a_role_is_part_of_its_fingerprint():
    """The same role by way of another role, or with a device proved on the way, is another session."""
    through = two_roles("", "")
    direct = BASE + section("role2", role_arn=ROLE2, source_profile="base")
    assert fingerprint(through, target="role2") != fingerprint(direct, target="role2")
    assert fingerprint(two_roles(M, M), target="role2") != fingerprint(through, target="role2")


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        (None, "aws"), ("", "aws"), ("eu-west-1", "aws"), ("us-east-1", "aws"), ("cn-north-1", "aws-cn"),
        ("us-gov-west-1", "aws-us-gov"), ("eusc-de-east-1", "aws-eusc"), ("us-iso-east-1", "aws-iso"),
        ("us-isob-east-1", "aws-iso-b"), ("us-isof-south-1", "aws-iso-f"), ("eu-isoe-west-1", "aws-iso-e"),
    ],
)  # fmt: skip
def test_partitions(region, partition):
    """By the prefix of the region."""
    assert plan.partition(region) == partition


# Any graph


NAMES = ["p0", "p1", "p2", "p3", "p4"]


@st.composite
def graphs(draw):
    """A config of some profiles, each of which may name an earlier one as its source; which have a key; the target."""
    parts = []
    for number, name in enumerate(NAMES):
        settings = {}
        if number and draw(st.booleans() | st.just(value=True)):
            settings["source_profile"] = draw(st.sampled_from(NAMES[:number]))
        if draw(st.booleans()):
            settings["role_arn"] = f"arn:aws:iam::1:role/{name}"
        if (serial := draw(st.sampled_from(["", M, M, N]))) != "":
            settings["mfa_serial"] = serial
        if draw(st.integers(0, 4)) == 0:
            settings["duration_seconds"] = draw(st.sampled_from([1800, 7200]))
        parts.append(section(name, **settings))
    stored = draw(st.sets(st.sampled_from(NAMES)).map(lambda more: {"p0"} | more))
    return "".join(parts), draw(st.sampled_from(NAMES)), stored, draw(st.booleans()), draw(st.sampled_from(["", "2h"]))


@given(graphs())
def test_any_graph_of_profiles(graph):
    """What holds for every plan, whatever the profiles look like."""
    text, target, stored, no_session, duration = graph
    profile = resolve(text, target, duration=duration)
    chain = lineage(profile)
    if not stored & set(chain):
        with pytest.raises(NoCredentials) as caught:
            plan.plan(profile, stored, no_session=no_session)
        assert caught.value.profile == chain[-1]
        return
    steps = plan.plan(profile, stored, no_session=no_session)
    assert shown(steps) == shown(plan.plan(resolve(text, target, duration=duration), stored, no_session=no_session))
    master = next(name for name in chain if name in stored)
    on_the_way = chain[: chain.index(master) + 1]
    kinds = [step.kind for step in steps]
    # A key first, and only there; a session at most once, directly from the key, and never when it was declined.
    assert shown(steps)[0] == key(master)
    assert kinds.count(KEY) == 1
    assert SESSION_TOKEN not in kinds[2:]
    assert not (no_session and SESSION_TOKEN in kinds)
    # The roles on the way, each once, from the key outwards.
    roles = [step.profile.name for step in steps if step.kind == ASSUME_ROLE]
    assert roles == [name for name in reversed(on_the_way) if f"role/{name}\n" in text]
    # The last step is the target's, unless the target has nothing to add to its source.
    last = steps[-1].profile
    assert last.name == target or not profile.role_arn
    for before, step in itertools.pairwise(steps):
        # A code goes with temporary credentials of a role never, and never again for a device that was proved.
        assert not (before.kind == ASSUME_ROLE and step.serial)
        assert step.serial in {"", step.profile.mfa_serial}
        assert step.kind == SESSION_TOKEN or before.kind == KEY or step.duration_seconds <= 3600
        assert step.wanted_seconds in {0, step.duration_seconds}
        assert json.loads(json.dumps(step.fingerprint)) == step.fingerprint
    serials = [step.serial for step in steps if step.serial]
    assert len(serials) == len(set(serials))
    assert len(serials) <= 2
    assert all(step.reason and "\n" not in step.reason for step in steps)


def lineage(profile):
    """The names from the profile to its innermost source."""
    return [profile.name, *(lineage(profile.source) if profile.source else [])]
