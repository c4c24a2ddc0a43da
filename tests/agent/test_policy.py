import hmac
import subprocess
import sys
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import patterns as globs
from strongroom.agent import policy
from strongroom.agent.config import ClientRule, Config, Own
from strongroom.agent.policy import EVERYBODY, Client, Policy, referenced_secret, why_unknown
from strongroom.agent.token import TokenError
from strongroom.errors import ConfigError

ARN = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:"
OTHER = "arn:aws:secretsmanager:us-east-1:444455556666:secret:"
PARAMETER = "arn:aws:ssm:eu-west-1:111122223333:parameter"
ROLE = "arn:aws:iam::111122223333:role/"


def client(*secrets, roles=()):
    return Client(ClientRule("billing", secrets=secrets, roles=roles))


def policy_of(*rules, main=b"main", files=None):
    return Policy(Config(own=Own(clients=rules)), main, (files or {}).__getitem__)


def fits(pattern, text):
    """The meaning of a pattern, written down as slowly and plainly as possible."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return fits(pattern[1:], text) or (text[:1] not in {"", ":"} and fits(pattern, text[1:]))
    return (
        text[:1] != ""
        and (pattern[0] == text[0] or (pattern[0] == "?" and text[0] != ":"))
        and fits(pattern[1:], text[1:])
    )


# --- who asks


def test_one_token_for_everybody():
    """Without clients the main token opens all, in any of the headers; a wrong value before it does no harm."""
    known = policy_of()
    assert not known.declared
    for values in ([b"main"], [b"main", None], [None, b"main"], [b"wrong", b"main"], [b"main", b"wrong"]):
        assert known.identify(values, None) is EVERYBODY
    for values in ([], [None, None], [b"wrong"], [b""], [b"main "], [b"MAIN"], [b"mai", b"n"], [b"wrong", None]):
        assert known.identify(values, None) is None
        assert known.identify(values, 0) is None


def test_everybody_may_have_everything():
    """Such a request is not checked any further, and has no name."""
    assert (EVERYBODY.name, EVERYBODY.uid, EVERYBODY.unrestricted) == ("-", None, True)
    assert EVERYBODY.allows("anything")
    assert EVERYBODY.allows("ssm:/anything")
    assert EVERYBODY.allows_record("anything", None, None)
    assert EVERYBODY.may_assume("anything")


def test_a_token_each():
    """Each client is known by its own; the main token has no rights any more."""
    known = policy_of(
        ClientRule("a", token_file="/a"), ClientRule("b", token_file="/b"), files={"/a": b"token-a", "/b": b"token-b"}
    )
    assert known.declared
    for values, name in (
        ([b"token-a"], "a"),
        ([b"token-b", None], "b"),
        ([None, b"token-b"], "b"),
        ([b"wrong", b"token-b"], "b"),
        ([b"token-b", b"token-a"], "b"),
    ):
        found = known.identify(values, None)
        assert (found.name, found.unrestricted) == (name, False)
    assert known.identify([b"main", b"main"], None) is None
    assert known.identify([b"main"], 1000) is None


def test_the_main_token_declared():
    """It has the rights of the client whose token it is, and no more."""
    known = policy_of(ClientRule("a", token_file="/a", secrets=("x",)), main=b"token-a", files={"/a": b"token-a"})
    found = known.identify([b"token-a"], None)
    assert (found.name, found.allows("x"), found.allows("y")) == ("a", True, False)


def test_a_user():
    """A declared user on the Unix socket needs no token, whatever it sends; all others do; there are none on TCP."""
    known = policy_of(
        ClientRule("root", uid=0),
        ClientRule("app", uid=1000, token_file="/app"),
        ClientRule("other", token_file="/other"),
        files={"/app": b"token-app", "/other": b"token-other"},
    )
    for values, uid, name in (
        ([None], 0, "root"),
        ([b"wrong"], 0, "root"),
        ([], 1000, "app"),
        ([b"token-other"], 1000, "app"),
        ([b"token-other"], 1001, "other"),
        ([b"token-app"], None, "app"),
        ([b"token-app"], 1001, "app"),
        ([None], 1001, None),
        ([None], None, None),
        ([b"main"], 1001, None),
    ):
        found = known.identify(values, uid)
        assert (found and found.name) == name


def test_each_token_is_compared(monkeypatch):
    """Whatever is found before, so that time tells nothing."""
    known = policy_of(
        *(ClientRule(name, token_file=name) for name in "abc"), files=dict.fromkeys("c", b"3") | {"a": b"1", "b": b"2"}
    )
    real, compared = hmac.compare_digest, []

    def compare(left, right):
        compared.append((left, right))
        return real(left, right)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for values in ([b"1", b"3"], [b"3", b"1"], [b"9", b"9"]):
        compared.clear()
        known.identify([*values, None], None)
        assert sorted(compared) == sorted(product([b"1", b"2", b"3"], values))


def test_what_is_wrong_with_clients():
    """All of it is told at once, by the clients' names, and no token is shown."""

    def read(path):
        if path == "/none":
            raise TokenError("No such file or directory (os error 2)")
        return b"canary"

    rules = (
        ClientRule("a", token_file="/a"),
        ClientRule("b", token_file="/b", uid=7),
        ClientRule("c", token_file="/none", uid=7),
        ClientRule("d"),
    )
    with pytest.raises(ConfigError) as raised:
        Policy(Config(own=Own(clients=rules)), b"main", read)
    assert raised.value.message == (
        "client 'b': its token is that of client 'a' too; "
        "client 'c': its uid 7 is that of client 'b' too; "
        "client 'c': cannot use token file '/none': No such file or directory (os error 2); "
        "client 'd': it has neither token_file nor uid, so it can never be known"
    )


def test_no_token_is_shown():
    """Neither by a policy nor by a client."""
    known = policy_of(ClientRule("a", token_file="/a", uid=3), main=b"canary", files={"/a": b"canary"})
    assert repr(known) == "Policy(['a'], {3: Client('a')})"
    assert repr(policy_of(main=b"canary")) == "Policy(['-'], {})"


def test_why_somebody_is_unknown():
    """The log tells a token that is missing from one that is wrong."""
    assert why_unknown([]) == why_unknown([None, None]) == "missing_header"
    assert why_unknown([None, b""]) == why_unknown([b"x"]) == "token_mismatch"


# --- what a pattern fits


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        ("prod/*", ["prod/a", "prod/a/b", "prod/"], ["prod", "prodx/a", "xprod/a", "Prod/a", "prod/a:b", "prod/a\n:"]),
        ("*", ["a", "a/b", "a\nb"], ["a:b", ":"]),
        ("prod/db", ["prod/db"], ["prod/db2", "prod/d", "PROD/DB", "prod/db\n", " prod/db"]),
        ("a?c", ["abc", "a/c", "a\nc"], ["ac", "abbc", "a:c"]),
        ("a*b*c", ["abc", "axbxc", "abbcbc"], ["acb", "ab", "axxc", "abc "]),
        ("a.c[d]\\e{2}^$|+()", ["a.c[d]\\e{2}^$|+()"], ["abcd\\ee^$|+()", "acd"]),
        ("**", ["a"], ["a:"]),
    ],
)
def test_names(pattern, fitting, others):
    """A star crosses slashes, but no colon; all else is meant literally, case and all."""
    one = client(pattern)
    assert [text for text in fitting if not one.allows_record(text, None, text)] == []
    assert [text for text in others if one.allows(text) or one.allows_record(text, None, text)] == []


@given(st.text("ab:*?", max_size=12), st.text("ab:\n", min_size=1, max_size=14))
def test_patterns_mean_what_they_say(pattern, text):
    """The same as the plainest possible reading, for any pattern and text."""
    found = globs.fits(globs.compiled([pattern]), text)
    assert found == fits(pattern, text)


@given(st.lists(st.text("ab*?", max_size=5), max_size=5), st.text("ab", min_size=1, max_size=8))
def test_any_of_several(patterns, text):
    """Patterns do not disturb each other."""
    assert client(*patterns).allows(text) == any(fits(pattern, text) for pattern in patterns)


def test_a_pattern_that_would_take_for_ever():
    """Many stars and a long text that nearly fits: found out within the text's length, not its power."""
    assert not client("*a" * 30 + "*b").allows("a" * 4000)
    assert client("*a" * 30 + "*b").allows("a" * 4000 + "b")


# --- which secret is which


@pytest.mark.parametrize("empty", [(), ("",), ("", "")])
def test_no_patterns(empty):
    """A client without patterns may read nothing."""
    one = client(*empty)
    assert [sent for sent in ("a", "", ARN + "a-AbCdEf", "ssm:/a") if one.allows(sent)] == []
    assert not one.allows_record("a", ARN + "a-AbCdEf", "a")
    assert not one.allows_record("", "", "")


@pytest.mark.parametrize(
    "sent",
    [
        "prod/db",
        ARN + "prod/db-AbCdEf",
        ARN + "prod/db",
        OTHER + "prod/db-AbCdEf",
        "arn:aws-cn:secretsmanager:x:1:secret:prod/db",
    ],
)
@pytest.mark.parametrize("pattern", ["prod/*", "prod/db", "*", "pr?d/d*"])
def test_a_name_allows_all_spellings(pattern, sent):
    """By name, by ARN, by partial ARN, in any account: what counts is the name of what came back."""
    one = client("other", pattern)
    arn = sent if sent.endswith("-AbCdEf") else ARN + "prod/db-AbCdEf"
    assert one.allows(sent)
    assert one.allows_record(sent, arn, "prod/db")
    assert one.allows_record(sent, None, "prod/db")


@pytest.mark.parametrize(
    ("pattern", "short"),
    [
        (ARN + "prod/db-AbCdEf", True),
        (ARN + "prod/db-??????", True),
        (ARN + "prod/db-*", True),
        (ARN + "prod/db*", True),
        (ARN + "prod/*", True),
        (ARN + "prod/db", True),
        ("arn:aws:secretsmanager:*:111122223333:secret:prod/db-??????", True),
        ("arn:*:*:*:*:*:*", True),
        (ARN + "prod/db-AbCde?", True),
    ],
)
def test_an_arn_allows_all_spellings(pattern, short):
    """By name, full and partial ARN, if the ARN of what came back fits."""
    full = ARN + ("prod/db-AbCdeF" if pattern.endswith("e?") else "prod/db-AbCdEf")
    one = client(pattern)
    for sent in ("prod/db", ARN + "prod/db", full):
        assert one.allows(sent)
        assert one.allows_record(sent, full, "prod/db")
        assert not one.allows_record(sent, None, "prod/db")
        assert not one.allows_record(sent, None, None)
        if "*:*" not in pattern:
            assert not one.allows_record(sent, full.replace("111122223333", "444455556666"), "prod/db")
            assert not one.allows_record(sent, ARN + "secret-AbCdEf", "secret")


def test_a_name_that_looks_like_an_arns():
    """A secret whose name ends as ARNs do is not the one whose ARN reads the same."""
    twin = (ARN + "prod/db-AbCdEf-ZzZzZz", "prod/db-AbCdEf")
    for one in (
        client("prod/db"),
        client(ARN + "prod/db-AbCdEf"),
        client(ARN + "prod/db-??????"),
        client(ARN + "prod/db"),
    ):
        assert one.allows(ARN + "prod/db-AbCdEf")
        assert not one.allows_record(ARN + "prod/db-AbCdEf", *twin)
        assert one.allows_record(ARN + "prod/db-AbCdEf", ARN + "prod/db-AbCdEf", "prod/db")
    assert client("prod/db-*").allows_record("prod/db-AbCdEf", *twin)
    # Taken for an ARN with its suffix: to allow the name, write the suffix.
    backup = (ARN + "prod/backup-backup-ZzZzZz", "prod/backup-backup")
    assert not client(ARN + "prod/backup-backup").allows_record(backup[1], *backup)
    assert client(ARN + "prod/backup-backup-??????").allows_record(backup[1], *backup)


def test_an_answer_without_a_suffix():
    """An ARN that does not belong to the name that came with it is no reason."""
    one = client(ARN + "prod/db")
    assert one.allows_record("prod/db", ARN + "prod/db-AbCdEf", None)
    assert not one.allows_record("prod/db", ARN + "prod/db-backup", "prod/db-backup")


def test_an_arn_of_another_account_is_not_asked_for():
    """A pattern that names the account is not met by another one's ARN, whatever its name."""
    for pattern in (ARN + "prod/db", ARN + "prod/*", ARN + "prod/db-??????"):
        assert not client(pattern).allows(OTHER + "prod/db")
        assert not client(pattern).allows(OTHER + "prod/db-AbCdEf")


@pytest.mark.parametrize("sent", ["secret", ARN + "secret", ARN + "secret-AbCdEf", "arn:aws:s3:::prod/db", "arn:", ""])
def test_what_is_not_allowed_is_not_asked_for(sent):
    """Nothing that cannot mean an allowed secret reaches AWS."""
    for one in (client("prod/*"), client(ARN + "prod/*"), client(ARN + "prod/db-AbCdEf")):
        assert not one.allows(sent)
        assert not one.allows_record(sent, ARN + "prod/db-AbCdEf", "prod/db")


NAMES = st.text("ab-/", min_size=1, max_size=3)
SUFFIXES = st.text("ab", min_size=6, max_size=6)
PREFIXES = st.sampled_from([ARN, OTHER])
NAME_PATTERNS = st.text("ab-/*?", max_size=4)
PATTERNS = st.one_of(
    NAME_PATTERNS,
    st.builds(
        lambda *parts: "".join(parts),
        st.sampled_from([ARN, OTHER, "arn:aws:secretsmanager:*:*:secret:"]),
        NAME_PATTERNS,
        st.sampled_from(["", "-*", "-??????", "-aaaaaa"]),
    ),
    NAME_PATTERNS.map("ssm:{}".format),
)


@given(st.lists(PATTERNS, max_size=3), PREFIXES, NAMES, SUFFIXES, st.data())
def test_nothing_else_is_ever_handed_out(patterns, prefix, name, suffix, data):
    """However it is asked for, a secret is handed out only if its name or its ARN, whole or without suffix, fits."""
    arn = f"{prefix}{name}-{suffix}"
    sent = data.draw(
        st.sampled_from([name, arn, f"{prefix}{name}", f"ssm:/aws/reference/secretsmanager/{name}"])
        | NAMES
        | st.builds(lambda *parts: "".join(parts), PREFIXES, NAMES, st.just("-") | st.just(""), SUFFIXES)
    )
    one = client(*patterns)
    fitting = any(fits(pattern, each) for pattern in patterns for each in (name, arn, f"{prefix}{name}"))
    handed = one.allows_record(sent, arn, name)
    assert not handed or fitting
    assert not handed or one.allows(sent)
    assert one.allows_record(sent, arn, name) == handed  # the second time from memory


@given(st.lists(PATTERNS, max_size=3), PREFIXES, NAMES, SUFFIXES)
def test_what_is_allowed_may_be_asked_for(patterns, prefix, name, suffix):
    """Whoever may have a secret may ask for it by its name and by both of its ARNs.

    A pattern that fits only by accident of the six characters, which nobody knows who asks by name, promises nothing.
    """
    arn = f"{prefix}{name}-{suffix}"
    one = client(*patterns)
    if any(
        fits(pattern, name) or (fits(pattern, arn) and fits(pattern, f"{prefix}{name}-000000")) for pattern in patterns
    ):
        for sent in (name, arn, f"{prefix}{name}"):
            assert one.allows(sent)
            assert one.allows_record(sent, arn, name)


def test_decisions_are_remembered_within_bounds(monkeypatch):
    """So many, and none for an id that is longer than any."""
    one = client("*")
    for number in range(policy._KEPT_DECISIONS + 10):
        assert one.allows(f"a{number}")
    assert 0 < len(one._decisions) <= 10
    assert one.allows("a" * 513)
    assert "a" * 513 not in one._decisions
    monkeypatch.setattr(policy, "fits", None)
    assert one.allows(f"a{policy._KEPT_DECISIONS + 9}")


# --- parameters


@pytest.mark.parametrize(
    ("pattern", "fitting", "others"),
    [
        (
            "ssm:/app/*",
            ["/app/x", "/app/x/y", "/app/x:3", "/app/x:Dev", PARAMETER + "/app/x", PARAMETER + "/app/x:2"],
            ["/other", "app/x", "/APP/x", PARAMETER + "/other", "/app"],
        ),
        (
            "ssm:x",
            ["x", "x:1", PARAMETER + "/x"],
            ["/x", "y", "xx", "arn:aws:ssm:a:b:document/x", "arn:", "arn:aws:ssm"],
        ),
        (
            PARAMETER + "/app/*",
            ["/app/x", "/app/x:1", "app/x", PARAMETER + "/app/x", PARAMETER + "/app/x:7"],
            ["/x", PARAMETER + "/x", PARAMETER.replace("eu", "us") + "/app/x"],
        ),
        ("*", [], ["/app/x", "x", PARAMETER + "/x"]),
        (
            "ssm:*",
            ["x", "/x", "/a/b/c:1", PARAMETER + "/x"],
            ["/aws/reference/secretsmanager/x", "/AWS/reference/secretsmanager/x", "arn:aws:ssm:a:b:document/x"],
        ),
        ("arn:aws:ssm:*:*:document/x", [], ["x", "/x", PARAMETER + "/x"]),
    ],
)
def test_parameters_that_may_be_asked_for(pattern, fitting, others):
    """By their names behind ssm:, or their ARNs; a version or label does not matter; names of secrets mean none."""
    one = client(pattern)
    assert [text for text in fitting if not one.allows("ssm:" + text)] == []
    assert [text for text in others if one.allows("ssm:" + text)] == []


def test_parameters_that_are_handed_out():
    """By the name or the ARN of what came back."""
    by_name, by_arn = client("ssm:/app/*"), client(PARAMETER + "/app/*")
    mine, other = (PARAMETER + "/app/x", "/app/x"), (PARAMETER + "/x", "/x")
    for sent in ("ssm:/app/x", "ssm:/app/x:3", "ssm:" + PARAMETER + "/app/x"):
        for one in (by_name, by_arn):
            assert one.allows_record(sent, *mine)
            assert not one.allows_record(sent, *other)
            assert not one.allows_record(sent, None, None)
        assert by_name.allows_record(sent, None, "/app/x")
        assert not by_arn.allows_record(sent, None, "/app/x")
    assert not by_name.allows_record("ssm:/x", *mine)
    # What is no parameter is not handed out as one.
    assert not client("arn:*:*:*:*:*:*", "ssm:/app/*").allows_record("ssm:/app/x", ARN + "y-AbCdEf", "y")


@pytest.mark.parametrize(
    ("parameter", "secret"),
    [
        ("/aws/reference/secretsmanager/prod/db", "prod/db"),
        ("/aws/reference/secretsmanager/prod/db:AWSPREVIOUS", "prod/db"),
        (PARAMETER + "/aws/reference/secretsmanager/prod/db", "prod/db"),
        (PARAMETER + "/aws/reference/secretsmanager/prod/db:1", "prod/db"),
        ("/aws/reference/secretsmanager/", ""),
        ("/aws/reference/secretsmanager/" + ARN + "prod/db", ""),
        ("aws/reference/secretsmanager/prod/db", ""),
        ("//aws/reference/secretsmanager/prod/db", ""),
        ("/AWS/Reference/SecretsManager/prod/db", ""),
        (" /aws/reference//secretsmanager/ prod/db", ""),
        ("/x/aws/reference/secretsmanager/prod/db", ""),
        ("/app/x", None),
        ("/aws/service/ami-amazon-linux-latest/x", None),
        (PARAMETER + "/app/x", None),
        ("", None),
    ],
)
def test_references_to_secrets(parameter, secret):
    """A reference is known, and what only resembles one is nobody's."""
    assert referenced_secret(parameter) == secret


def test_a_reference_is_the_secret():
    """Patterns of secrets decide about it, those of parameters never, in both halves of the check."""
    sent, short = "ssm:/aws/reference/secretsmanager/prod/db", "/aws/reference/secretsmanager/prod/db"
    back = (PARAMETER + short, short)
    for patterns in (("ssm:*",), ("ssm:/aws/reference/*",), (PARAMETER + "/*",), ("prod/x",), ("arn:*:*:*:*:*",)):
        assert not client(*patterns).allows(sent)
        assert not client(*patterns).allows_record(sent, *back)
    for pattern in ("prod/*", "*", "prod/db"):
        assert client(pattern).allows(sent)
        assert client(pattern).allows_record(sent, *back)
        assert client(pattern).allows_record(sent, None, None)
        assert client(pattern).allows_record(sent, ARN + "prod/db-AbCdEf", "prod/db")
        assert not client(pattern, "ssm:*").allows("ssm:/AWS/reference/secretsmanager/prod/db")
    # Only the secret's own ARN can show that it is the one.
    by_arn = client(ARN + "prod/db-??????")
    assert by_arn.allows(sent)
    assert not by_arn.allows_record(sent, *back)
    assert by_arn.allows_record(sent, ARN + "prod/db-AbCdEf", "prod/db")
    # What came back says what it is.
    assert not client("prod/db").allows_record(sent, None, "/aws/reference/secretsmanager/secret")
    assert not client("prod/db").allows_record(sent, ARN + "secret-AbCdEf", "secret")
    assert not client("ssm:/app/*").allows_record("ssm:/app/x", PARAMETER + short, short)


# --- roles


def test_roles():
    """A role is compared whole; a star stays within its field."""
    one = client(roles=(ROLE + "app-*", "arn:aws:iam::*:role/shared"))
    for role in ("app-x", "app-/path/x"):
        assert one.may_assume(ROLE + role)
    assert one.may_assume("arn:aws:iam::444455556666:role/shared")
    for role in (ROLE + "other", ROLE + "App-x", ROLE + "app-x:y", "arn:aws:iam::1:role/shared2", "shared", ""):
        assert not one.may_assume(role)
    assert not client(roles=("*",)).may_assume(ROLE + "x")
    assert not client("*").may_assume(ROLE + "x")


def test_nothing_heavy_at_start():
    """The start loads it, so it loads no more than it needs."""
    script = "import strongroom.agent.policy; print(*({'fnmatch', 'typing', 'logging', 'asyncio'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", "import sys; sys.path[:0] = sys.argv[1:]; " + script, *sys.path],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "\n"
