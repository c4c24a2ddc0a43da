"""What the config file, the variables and the flags mean: seen in the calls that the fake AWS gets."""

import pytest

from fakes.cloud import Call
from harness.home import ADM, C1, CODE, R1, RO, M, N, Result

GST, AR = "GetSessionToken", "AssumeRole"
HEAD = "[default]\nregion = us-east-1\nendpoint_url = {url}\n"
OTHER_CODE = "654321"


@pytest.fixture
def config(home, cloud):
    """Write a config whose [default] leads to the fake AWS, which knows everything that these tests name."""
    home.put_key("jon", cloud=cloud)
    for arn in (RO, ADM, R1):
        cloud.role(arn)
    cloud.mfa = {M: {CODE}, N: {CODE, OTHER_CODE}}

    def write(text, head=HEAD):
        home.write_config(head.format(url=cloud.url) + "\n" + text)
        return home

    return write


def exported(home, profile, *flags, env=None):
    """What `export` prints of a profile, as a dictionary; the code is given."""
    result = home.call("export", profile, "-t", CODE, *flags, env=env)
    assert (result.status, result.stderr) == (0, ""), result.stderr
    return dict(line.split("=", 1) for line in result.stdout.splitlines())


def explained(home, profile):
    """(profile, setting) -> (value, origin), as `explain` tells them."""
    rows = home.call("explain", "--json", profile).json()["settings"]
    return {(row["profile"], row["setting"]): (row["value"], row["origin"]) for row in rows}


def failed(result, message, hint=""):
    """Whether a command failed with this line, and printed nothing."""
    assert (result.status, result.stdout) == (1, "")
    lines = result.stderr.splitlines()
    assert lines[0] == f"strongroom: error: {message}"
    assert lines[1:] == ([f"strongroom: hint: {hint}"] if hint else [])


def gst(seconds=3600, serial=None):
    return Call(GST, seconds, serial)


def ar(arn=RO, seconds=3600, serial=None, signer="key"):
    return Call(AR, seconds, serial, signer, arn)


# The file


def test_a_missing_config_is_an_empty_one(home, cloud):
    """Everything works without it, and only `add` makes it, with the directories above.

    Different from aws-vault, where most commands make it, and fail if two directories are missing.
    """
    home.put_key("jon", cloud=cloud)
    path = home.work / "one" / "two" / "config"
    env = {"AWS_CONFIG_FILE": str(path), "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": cloud.url}
    for words in (["list"], ["export", "jon"], ["exec", "jon", "true"], ["explain", "jon"], ["clear"]):
        result = home.call(*words, env=env)
        assert (result.status, result.stderr) == (0, "")
    assert cloud.calls == [gst()]
    assert not path.parent.parent.exists()
    assert not home.config.exists()
    key = {"AWS_ACCESS_KEY_ID": "AKIAEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert home.call("add", "--env", "x", env=env | key).status == 0
    assert path.read_text() == "[profile x]\n"


def test_the_config_file_by_its_variable(config, home):
    """AWS_CONFIG_FILE is used as it is: no ~ is expanded, no other file is looked at."""
    config("")
    home.write_config("[profile wrong]\n")
    elsewhere = home.work / "else where"
    elsewhere.write_text("[profile right]\n")
    env = {"AWS_CONFIG_FILE": str(elsewhere)}
    assert home.call("list", "--profiles", env=env) == Result(0, "right\n", "")
    assert home.call("list", "--profiles", env={"AWS_CONFIG_FILE": "~/.aws/config"}) == Result(0, "", "")
    assert home.call("list", "--profiles", env={"AWS_CONFIG_FILE": ""}) == Result(0, "wrong\n", "")


def test_a_line_without_delimiter(config, cloud):
    """The profiles that need the line fail, with file, line and content; the others work.

    Different from aws-vault, where every command fails.
    """
    home = config(
        "[profile jon]\nmfa_serial = " + M + "\n\n[profile bad]\nsource_profile jon\n\n"
        "[profile worse]\nsource_profile = bad\n\n[profile included]\ninclude_profile = bad\n"
    )
    for profile in ("bad", "worse", "included"):
        for words in (["export", profile], ["exec", profile, "true"], ["explain", profile]):
            failed(
                home.call(*words),
                f"{words[0]}: {home.config}:9 [profile bad]: key-value delimiter not found: 'source_profile jon'",
                "correct that line, or begin it with # to leave it out",
            )
    assert cloud.calls == []
    exported(home, "jon")
    assert home.call("list", "--profiles").stdout == "default\njon\nbad\nworse\nincluded\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("= x", "empty key name: '= x'"),
        ("[profile x", "unclosed section: '[profile x'"),
        ("`key = x", "missing closing quote of a key: '`key = x'"),
    ],
)
def test_other_broken_lines(config, line, reason):
    """Each is told with its file and line, and keeps nobody else from working."""
    home = config(f"[profile jon]\n\n[profile b]\nregion = x\n{line}\n\n[profile c]\n")
    result = home.call("list", "--profiles")
    assert result.status == 0
    assert result.stderr == f"strongroom: warning: {home.config}:9: {reason}\n"
    exported(home, "jon")


def test_a_broken_line_in_default(config):
    """[default] is part of every profile: a broken line there stops them all, and `list` goes on."""
    home = config("[profile jon]\n", head=HEAD + "oops\n")
    failed(
        home.call("export", "jon"),
        f"export: {home.config}:4 [default]: key-value delimiter not found: 'oops'",
        "correct that line, or begin it with # to leave it out",
    )
    assert home.call("list", "--profiles").stdout == "default\njon\n"


def test_what_looks_like_a_secret_is_not_repeated(config):
    """A broken line that holds a key is told of without it."""
    secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    home = config(f"[profile jon]\naws_secret_access_key {secret}\n")
    for words in (["export", "jon"], ["list"]):
        result = home.call(*words)
        assert "key-value delimiter not found: 'aws_secret_access_key wJal...'" in result.stderr
        assert secret not in result.stderr


# The dialect


def test_capitals(config, cloud):
    """Keys may be written in capitals; names of profiles are what they are."""
    home = config(f"[profile jon]\nREGION = eu-west-1\nMfa_Serial = {M}\n\n[profile Jon]\nRole_Arn = {RO}\n")
    assert exported(home, "jon")["AWS_REGION"] == "eu-west-1"
    assert cloud.calls == [gst(serial=M)]
    failed(
        home.call("export", "JON"),
        f"export: profile 'JON' not found in {home.config} and no stored credentials exist for it",
        "store a key with `strongroom add JON`",
    )
    assert home.call("list", "--profiles").stdout == "default\njon\nJon\n"


@pytest.mark.parametrize(
    ("line", "region"),
    [
        ("region: a", "a"),
        ("region=a", "a"),
        ("region = a # c", "a"),
        ("region = a ; c", "a"),
        ("region = a#c", "a#c"),
        ("region = a;c", "a;c"),
        ("region = a=b", "a=b"),
        ("region = a:b", "a:b"),
        ("region : a=b", "a=b"),
        ("region = 'a # b'", "'a"),
        ("region = 'a b'", "a b"),
        ('region = "a"', "a"),
        ("region = `a # b`", "a # b"),
        ("region = a\\\n  b", "ab"),
        ("name = a\nregion = %(name)s-1", "a-1"),
        ("region = %(region)s-2", "us-east-1-2"),
        ("region =\n  nested = b", "us-east-1"),
        ("region = a\nregion = b", "b"),
        ("# region = a", "us-east-1"),
    ],
)
def test_values(config, line, region):
    """How a value is read: delimiters, comments, quotes, continuations, references, nested lines."""
    head = HEAD.replace("[default]", "[DEFAULT]\nregion = us-east-1\n[default]")
    home = config(f"[profile jon]\n{line}\n", head=head)
    assert exported(home, "jon", "-n")["AWS_REGION"] == region


def test_the_fragment_of_a_url(config):
    """A # without a blank before it is part of the value. (The AWS CLI's own start URLs have one.)"""
    home = config("[profile jon]\nsso_start_url = https://h/s#/ # a comment\n")
    assert explained(home, "jon")["jon", "sso_start_url"][0] == "https://h/s#/"


def test_dots_in_names(config, cloud):
    """[profile jon.x] has nothing to do with [profile jon]. (aws-vault fills the one from the other.)"""
    home = config(f"[profile jon]\nmfa_serial = {M}\nregion = eu-west-1\n\n[profile jon.x]\nsource_profile = jon\n")
    assert exported(home, "jon.x")["AWS_REGION"] == "us-east-1"
    assert cloud.calls == [gst()]


def test_sections_that_come_twice(config, cloud):
    """Two sections of a name are one: later keys win, the others stay."""
    home = config(
        f"[profile jon]\nregion = eu-west-1\nmfa_serial = {N}\n\n[profile other]\n\n[profile jon]\nmfa_serial = {M}\n"
    )
    assert exported(home, "jon")["AWS_REGION"] == "eu-west-1"
    assert cloud.calls == [gst(serial=M)]
    assert home.call("list", "--profiles").stdout == "default\njon\nother\n"


def test_profile_default(config):
    """[profile default] next to [default]: one profile called default, and what [default] says holds."""
    home = config("[profile default]\nregion = eu-west-1\n")
    (home.keys / "jon").unlink()
    home.put_key("default")
    assert exported(home, "default", "-n")["AWS_REGION"] == "us-east-1"
    assert home.call("list", "--profiles").stdout == "default\n"
    home.write_config("[profile default]\nregion = eu-west-1\n")
    assert home.call("list", "--profiles").stdout == "default\n"
    assert "AWS_REGION" not in exported(home, "default", "-n")


def test_other_sections_are_no_profiles(config):
    """[plain], [services x], [sso-session x], [Profile x] are not listed, and cannot be used."""
    home = config("[plain]\nregion = a\n\n[services x]\n\n[sso-session corp]\n\n[Profile y]\n\n[profile]\n")
    assert home.call("list", "--profiles").stdout == "default\n"
    assert home.call("export", "plain").status == 1


# Inheritance


def test_includes(config):
    """A profile's own value goes before its include's, that before the include's include's, [default] comes last."""
    home = config(
        "[profile jon]\ninclude_profile = a\nexternal_id = own\n\n"
        "[profile a]\ninclude_profile = b\nexternal_id = first\nrole_session_name = first\n\n"
        f"[profile b]\nexternal_id = second\nrole_session_name = second\nsource_identity = second\nrole_arn = {RO}\n",
        head=HEAD
        + f"external_id = default\nrole_session_name = default\nsource_identity = default\nmfa_serial = {M}\n",
    )
    settings = {name: value for (_, name), (value, _) in explained(home, "jon").items()}
    del settings["region"], settings["endpoint_url"], settings["include_profile"]
    assert settings == {
        "external_id": "own",
        "role_session_name": "first",
        "source_identity": "second",
        "role_arn": RO,
        "mfa_serial": M,
    }


def test_what_is_included_is_sent(config, cloud):
    """The same in the request."""
    home = config(
        "[profile jon]\ninclude_profile = a\nexternal_id = own\n\n"
        "[profile a]\ninclude_profile = b\nexternal_id = first\nrole_session_name = first\n\n"
        f"[profile b]\nexternal_id = second\nrole_session_name = second\nsource_identity = second\nrole_arn = {RO}\n",
        head=HEAD + "external_id = default\nrole_session_name = default\nsource_identity = default\n",
    )
    exported(home, "jon")
    assert cloud.calls == [ar()]
    call = cloud.calls[0]
    assert (call.external_id, call.session_name, call.source_identity) == ("own", "first", "second")


@pytest.mark.parametrize(
    ("sections", "profile", "loop"),
    [
        ("[profile a]\ninclude_profile = b\n[profile b]\ninclude_profile = a\n", "a", "a -> b -> a"),
        ("[profile a]\ninclude_profile = b\n[profile b]\ninclude_profile = c\n[profile c]\ninclude_profile = b\n",
         "a", "b -> c -> b"),
        ("[profile a]\ninclude_profile = a\n", "a", "a -> a"),
    ],
)  # fmt: skip
def test_includes_that_loop(config, cloud, sections, profile, loop):
    """A line that names the profiles, not a hang; other profiles work."""
    home = config("[profile jon]\n" + sections)
    first = loop.partition(" ")[0]
    for command in ("export", "exec", "explain"):
        failed(
            home.call(command, profile),
            f"{command}: loop detected in config file for profile {first!r}: include_profile leads {loop}",
        )
    assert home.call("list").status == 0
    assert cloud.calls == []
    exported(home, "jon")


def test_sources_that_loop(config, cloud):
    """Profiles that are each other's source: a line that names them. (aws-vault never ends.)"""
    home = config(
        "[profile c]\nsource_profile = d\n\n[profile d]\nsource_profile = c\n\n[profile e]\nsource_profile = c\n"
    )
    for profile, loop in (("c", "c -> d -> c"), ("d", "d -> c -> d"), ("e", "c -> d -> c")):
        failed(
            home.call("export", profile),
            f"export: loop detected in config file for profile {loop[0]!r}: source_profile leads {loop}",
        )
    assert home.run("export", "c", timeout=20).status == 1
    assert home.call("list").status == 0
    assert cloud.calls == []


def test_a_profile_that_is_its_own_source(config, cloud):
    """It has none, then."""
    home = config(f"[profile jon]\nsource_profile = jon\nrole_arn = {RO}\n\n[profile x]\nsource_profile = x\n")
    exported(home, "jon")
    assert cloud.calls == [ar()]
    failed(
        home.call("export", "x"),
        "export: profile x: credentials missing",
        "store a key with `strongroom add x`, or set source_profile",
    )


def test_an_include_that_does_not_exist(config, cloud):
    """It is ignored, and that is said; [default] holds. (aws-vault does not say it.)"""
    home = config("[profile jon]\ninclude_profile = nosuch\n")
    result = home.call("export", "jon")
    assert result.status == 0
    assert "AWS_REGION=us-east-1\n" in result.stdout
    assert result.stderr == (
        f"strongroom: warning: {home.config}:6 [profile jon]: include_profile = 'nosuch' has no section and is ignored\n"
    )
    assert cloud.calls == [gst()]


def test_a_source_that_does_not_exist(config, cloud):
    """The profile whose credentials are missing is named."""
    home = config(f"[profile x]\nsource_profile = nosuch\nrole_arn = {RO}\n")
    line = home.config.read_text().partition("source_profile = nosuch")[0].count("\n") + 1
    failed(
        home.call("export", "x"),
        "export: profile nosuch: credentials missing",
        "store a key with `strongroom add nosuch`, or correct source_profile of 'x' "
        f"({home.config}:{line} [profile x])",
    )
    assert cloud.calls == []


def test_an_sso_session_that_does_not_exist(config):
    """It is ignored, and that is said. (aws-vault does not say it.)"""
    home = config("[profile jon]\nsso_session = nosuch\n")
    result = home.call("export", "jon")
    assert result.status == 0
    assert result.stderr == (
        f"strongroom: warning: {home.config}:6 [profile jon]: sso_session = 'nosuch' has no section and is ignored\n"
    )


def test_everything_in_default_is_inherited(config, cloud):
    """role_arn too, as in aws-vault, and not as in the AWS CLI; a source as well."""
    home = config(
        "[profile jon]\n\n[profile x]\nregion = eu-west-1\n", head=HEAD + f"role_arn = {RO}\nsource_profile = jon\n"
    )
    exported(home, "x")
    assert cloud.calls == [ar(RO), ar(RO, signer="role")]
    cloud.calls.clear()
    exported(home, "default")
    assert cloud.actions == [AR]


def test_a_device_of_the_source_only(config, cloud):
    """mfa_serial is not inherited from the source: the role is assumed without a code."""
    home = config(f"[profile jon]\nmfa_serial = {M}\n\n[profile ro]\nsource_profile = jon\nrole_arn = {RO}\n")
    exported(home, "ro")
    assert cloud.calls == [ar()]
    assert cloud.calls[0].code is None


def test_mfa_process_of_the_source(config, cloud):
    """mfa_process is inherited from the source; the profile's own goes before it."""
    role = f"source_profile = jon\nrole_arn = {RO}\nmfa_serial = {N}\n"
    home = config(
        f"[profile jon]\nmfa_process = echo {CODE}\n\n[profile a]\n{role}\n"
        f"[profile b]\n{role}mfa_process = echo {OTHER_CODE}\n"
    )
    for profile in ("a", "b"):
        result = home.call("export", profile)
        assert (result.status, result.stderr) == (0, "")
    assert cloud.calls == [ar(serial=N), ar(serial=N)]
    assert [call.code for call in cloud.calls] == [CODE, OTHER_CODE]


# Variables and flags


@pytest.mark.parametrize(
    ("env", "flags", "region"),
    [
        ({}, [], "us-east-1"),
        ({"AWS_DEFAULT_REGION": "r2"}, [], "r2"),
        ({"AWS_REGION": "r1", "AWS_DEFAULT_REGION": "r2"}, [], "r1"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "r2"}, [], "r2"),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": ""}, [], "us-east-1"),
        ({"AWS_REGION": "r1"}, ["--region", "r3"], "r3"),
        ({"AWS_DEFAULT_REGION": "r2"}, ["--region=r3"], "r3"),
    ],
)
def test_regions(config, cloud, env, flags, region):
    """A flag goes before AWS_REGION, that before AWS_DEFAULT_REGION, that before the config file; an empty one is none."""
    home = config(f"[profile jon]\n\n[profile ro]\nsource_profile = jon\nrole_arn = {RO}\nregion = us-east-1\n")
    got = exported(home, "ro", *flags, env=env)
    assert (got["AWS_REGION"], got["AWS_DEFAULT_REGION"]) == (region, region)
    assert [call.region for call in cloud.calls] == [region]


def test_a_region_for_the_whole_chain(config, cloud):
    """--region and AWS_REGION hold for the source too, whatever its section says."""
    home = config(
        f"[profile jon]\nregion = eu-west-1\nmfa_serial = {M}\n\n"
        f"[profile r]\nregion = eu-west-2\nsource_profile = jon\nrole_arn = {R1}\nmfa_serial = {M}\n"
    )
    exported(home, "r", env={"AWS_REGION": "ap-south-1"})
    assert [call.region for call in cloud.calls] == ["ap-south-1", "ap-south-1"]
    home.call("clear")
    cloud.calls.clear()
    exported(home, "r")
    assert [call.region for call in cloud.calls] == ["eu-west-1", "eu-west-2"]


def test_a_device_for_the_whole_chain(config, cloud):
    """AWS_MFA_SERIAL is the device of the source and the target, whatever their sections say."""
    home = config(f"[profile jon]\nmfa_serial = {N}\n\n[profile ro]\nsource_profile = jon\nrole_arn = {RO}\n")
    exported(home, "ro", env={"AWS_MFA_SERIAL": M})
    assert cloud.calls == [gst(28800, M), ar(signer="session")]


def test_variables_of_the_role(config, cloud):
    """They reach the target's AssumeRole alone, and beat what its section says."""
    home = config(
        f"[profile jon]\n\n[profile r1]\nsource_profile = jon\nrole_arn = {R1}\n\n"
        f"[profile x]\nsource_profile = r1\nrole_arn = {ADM}\nrole_session_name = cfg\nsession_tags = a=cfg\n"
    )
    env = {
        "AWS_ROLE_ARN": RO,
        "AWS_ROLE_SESSION_NAME": "env",
        "AWS_SESSION_TAGS": "a=1,b=2",
        "AWS_TRANSITIVE_TAGS": "a",
        "AWS_SOURCE_IDENTITY": "me",
    }
    exported(home, "x", env=env)
    source, target = cloud.calls
    assert [source, target] == [ar(R1), ar(RO, signer="role")]
    assert (source.tags, source.transitive, source.source_identity) == ({}, (), None)
    assert source.session_name != "env"
    assert (target.session_name, target.tags, target.transitive, target.source_identity) == (
        "env", {"a": "1", "b": "2"}, ("a",), "me",
    )  # fmt: skip


# Tags


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a = 1 , b=2", {"a": "1", "b": "2"}),
        ("a=1", {"a": "1"}),
        ("a=x=y", {"a": "x=y"}),
        ("a=", {"a": ""}),
    ],
)
def test_session_tags(config, cloud, text, tags):
    """Blanks around keys and values go; a value may hold an equals sign."""
    home = config(f"[profile jon]\nrole_arn = {RO}\nsession_tags = {text}\n")
    exported(home, "jon")
    home.call("clear")
    exported(home, "jon", env={"AWS_SESSION_TAGS": f" {text} "})
    assert [call.tags for call in cloud.calls] == [tags, tags]


@pytest.mark.parametrize(("text", "pair"), [("a=1,", ""), ("a", "a"), ("a=1,,b=2", ""), ("=x", "=x")])
def test_session_tags_that_are_none(config, cloud, text, pair):
    """Exit 1, where it stands, and the form it should have; from a variable too, where aws-vault says nothing."""
    home = config(f"[profile jon]\nrole_arn = {RO}\nsession_tags = {text}\n\n[profile x]\nsource_profile = jon\n")
    reason = f"{pair!r} is not KEY=VALUE: write KEY=VALUE,KEY=VALUE"
    failed(home.call("export", "jon"), f"export: {home.config}:7 [profile jon]: session_tags: {reason}")
    for command in ("export", "exec", "explain"):
        failed(home.call(command, "jon", env={"AWS_SESSION_TAGS": text}), f"{command}: $AWS_SESSION_TAGS: {reason}")
    assert home.call("list").status == 0
    assert cloud.calls == []


def test_transitive_tags(config, cloud):
    """Blanks and empty ones go."""
    home = config(f"[profile jon]\nrole_arn = {RO}\nsession_tags = x=1,y=2\ntransitive_session_tags = ,x, y,\n")
    exported(home, "jon")
    assert cloud.calls[0].transitive == ("x", "y")


# Durations in the file


@pytest.mark.parametrize(
    ("text", "seconds"), [("3600", 3600), ("1h", 3600), ("1h30m", 5400), ("1800", 1800), ("0", 3600)]
)
def test_duration_seconds(config, cloud, text, seconds):
    """Plain seconds, or a duration. (In aws-vault, `1h` crashes every command.)"""
    home = config(f"[profile jon]\nrole_arn = {RO}\nduration_seconds = {text}\n")
    exported(home, "jon")
    assert cloud.calls == [ar(seconds=seconds)]


def test_duration_seconds_that_is_none(config, cloud):
    """An error of that profile, with its place; the others work, and `list` too. (aws-vault takes it for unset.)"""
    home = config(f"[profile jon]\nrole_arn = {RO}\nduration_seconds = abc\n\n[profile x]\nregion = a\n")
    failed(
        home.call("export", "jon"),
        f"export: {home.config}:7 [profile jon]: duration_seconds: invalid duration 'abc', for example 1h30m",
    )
    assert cloud.calls == []
    assert (home.call("list").status, home.call("list").stderr) == (0, "")


@pytest.mark.parametrize("text", ["899", "13h", "43201"])
def test_duration_seconds_that_aws_would_refuse(config, cloud, text):
    """Refused with AWS's limits, before AWS is asked. (aws-vault asks.)"""
    home = config(f"[profile jon]\nrole_arn = {RO}\nduration_seconds = {text}\n")
    result = home.call("export", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith(f"strongroom: error: export: {home.config}:7 [profile jon]: duration_seconds: ")
    assert "is not within AWS's 15m0s to 12h0m0s" in result.stderr
    assert cloud.calls == []


# What other programs read and this one does not


def test_credential_source(config):
    """It is a source; where it is not used it is said so, never in silence."""
    home = config(
        f"[profile x]\ncredential_source = Environment\nrole_arn = {RO}\n\n[profile jon]\ncredential_source = Environment\n"
    )
    result = home.call("export", "x")
    assert (result.status, result.stdout) == (1, "")
    assert "credential_source" in result.stderr
    assert "credential_source = Environment has no credentials" in result.stderr
    assert f"{home.config}:6 [profile x]" in home.call("explain", "x").stdout
    result = home.call("export", "jon")
    assert result.status == 0
    assert result.stderr == (
        "strongroom: warning: profile 'jon': credential_source is not used, because credentials come from its stored "
        "key\n"
    )


def test_services(config):
    """A clear line, and the profile works."""
    home = config("[profile jon]\nservices = local\n\n[services local]\nsts =\n  endpoint_url = http://localhost:1\n")
    result = home.call("export", "jon")
    assert result.status == 0
    assert result.stderr == (
        f"strongroom: warning: {home.config}:6 [profile jon]: services = 'local' is not read: use endpoint_url, "
        "or AWS_ENDPOINT_URL_STS\n"
    )


@pytest.mark.parametrize(
    ("variable", "key"), [("AWS_ENDPOINT_URL", True), ("AWS_ENDPOINT_URL_STS", True), ("AWS_ENDPOINT_URL_STS", False)]
)
def test_endpoints(home, cloud, variable, key):
    """A variable goes before endpoint_url; that of STS is for STS alone, and not the command's AWS_ENDPOINT_URL."""
    home.put_key("jon", cloud=cloud)
    other = "http://127.0.0.1:1"
    home.write_config("[profile jon]\nregion = us-east-1\n" + (f"endpoint_url = {other}\n" if key else ""))
    result = home.call("exec", "jon", "true", env={variable: cloud.url})
    assert (result.status, result.stderr) == (0, "")
    assert cloud.actions == [GST]
    expected = cloud.url if variable == "AWS_ENDPOINT_URL" else other if key else None
    assert result.environ.get("AWS_ENDPOINT_URL") == expected


def test_bytes_that_are_no_text(config):
    """A file with bytes that are no UTF-8 can be read; the profile that has them in a name or value says so."""
    home = config("[profile jon]\n")
    home.config.write_bytes(home.config.read_bytes() + b"\n[profile bad]\nregion = \xff\n")
    exported(home, "jon")
    result = home.call("export", "bad")
    assert (result.status, result.stdout) == (1, "")
    assert "not UTF-8" in result.stderr


def test_utf_16(config):
    """A file as Windows' Notepad may write it."""
    home = config("[profile jon]\nregion = eu-west-1\n")
    home.config.write_bytes(home.config.read_text().encode("utf-16"))
    assert exported(home, "jon")["AWS_REGION"] == "eu-west-1"


def test_c1_is_what_these_tests_think(c1, cloud):
    """The settings of the usual config, as `explain` tells them, with where they come from."""
    text = C1.format(url=cloud.url, M=M, RO=RO, ADM=ADM, R1=R1, R2="")
    assert text.splitlines()[13] == f"role_arn = {ADM}"
    got = explained(c1, "admin")
    assert got["admin", "role_arn"] == (ADM, f"{c1.config}:14 [profile admin]")
    assert got["jon", "mfa_serial"] == (M, f"{c1.config}:6 [profile jon]")
    assert got["jon", "region"] == got["admin", "region"] == ("us-east-1", f"{c1.config}:2 [default]")
