import pytest

from strongroom import ini, profiles
from strongroom.errors import ConfigError, ProfileIncomplete, ProfileLoop, UsageError

SET_BY_THE_USER = [field.name for field in profiles.FIELDS]


def resolve(text, name="a", *, environ=None, **flags):
    return profiles.resolve(ini.Document(text, "/c"), name, flags=flags, environ=environ or {})


def settings(profile):
    """All fields that somebody set."""
    values = {name: getattr(profile, name) for name in SET_BY_THE_USER}
    return {name: value for name, value in values.items() if value not in (None, ())}


def test_a_profile_has_what_its_section_says():
    """Every key of the own section is there, with the file and line that it came from; nothing else is set."""
    profile = resolve("[profile a]\nROLE_ARN = r\nduration_seconds = 7200\nsession_tags = k=v\n")
    assert profile.name == "a"
    assert profile.exists
    assert profile.source is None
    assert profile.warnings == ()
    assert settings(profile) == {"role_arn": "r", "assume_role_duration": 7_200, "session_tags": (("k", "v"),)}
    assert profile.origins == {
        "role_arn": "/c:2 [profile a]",
        "assume_role_duration": "/c:3 [profile a]",
        "session_tags": "/c:4 [profile a]",
    }
    assert profile.transitive_session_tags == ()
    assert repr(profile) == "<Profile 'a'>"


def test_a_profile_cannot_be_changed():
    """Settings are a value: neither set, nor removed, nor extended."""
    profile = resolve("[profile a]\n")
    with pytest.raises(AttributeError, match="a profile cannot be changed: region"):
        profile.region = "x"
    with pytest.raises(AttributeError, match="a profile cannot be changed: region"):
        del profile.region


def test_precedence_from_flag_to_default():
    """Flag, variable, own section, first include, second include, `[default]`, nothing: the first that has it."""
    text = (
        "[default]\nregion = r-default\n[profile c]\nregion = r-c\n[profile b]\ninclude_profile = c\nregion = r-b\n"
        "[profile a]\ninclude_profile = b\nregion = r-a\n"
    )
    environ = {"AWS_REGION": "r1", "AWS_DEFAULT_REGION": "r2"}
    found = []
    for remove, left in [
        (None, ({"region": "r3"}, environ)),
        (None, ({"region": ""}, environ)),
        (None, ({}, {"AWS_REGION": "", "AWS_DEFAULT_REGION": "r2"})),
        (None, ({}, {})),
        ("region = r-a\n", ({}, {})),
        ("region = r-b\n", ({}, {})),
        ("region = r-c\n", ({}, {})),
        ("region = r-default\n", ({}, {})),
    ]:
        text = text.replace(remove or "\0", "")
        profile = resolve(text, environ=left[1], **left[0])
        found.append((profile.region, profile.origins.get("region")))
    assert found == [
        ("r3", "--region"),
        ("r1", "$AWS_REGION"),
        ("r2", "$AWS_DEFAULT_REGION"),
        ("r-a", "/c:10 [profile a]"),
        ("r-b", "/c:7 [profile b]"),
        ("r-c", "/c:4 [profile c]"),
        ("r-default", "/c:2 [default]"),
        (None, None),
    ]


def test_an_empty_or_zero_setting_is_not_set():
    """A key without a value, or a duration of zero, lets the next place speak."""
    text = "[default]\nregion = r\nduration_seconds = 1800\n[profile a]\nregion =\nduration_seconds = 0\n"
    assert settings(resolve(text)) == {"region": "r", "assume_role_duration": 1_800}
    assert resolve(text, duration="0s").assume_role_duration == 1_800


def test_everything_in_default_is_inherited():
    """`[default]` gives every profile all its settings, its role and source as well, as aws-vault does."""
    text = "[default]\nrole_arn = r\nsource_profile = jon\ncredential_process = x\n[profile a]\n[profile jon]\n"
    assert settings(resolve(text)) == {"role_arn": "r", "source_profile": "jon", "credential_process": "x"}
    assert settings(resolve(text).source) == {"role_arn": "r", "credential_process": "x"}


def test_a_name_without_a_section_has_the_settings_of_default():
    """What only the keystore knows still has a region."""
    profile = resolve("[default]\nregion = r\n[profile b]\nregion = x\n")
    assert (profile.exists, settings(profile)) == (False, {"region": "r"})


def test_the_section_of_the_default_profile():
    """`default` is `[default]`; `[profile default]` is never read; without either nothing is set."""
    assert settings(resolve("[profile default]\nregion = x\n[default]\nregion = r\n", "default")) == {"region": "r"}
    only_odd = resolve("[profile default]\nregion = x\n", "default")
    assert (only_odd.exists, settings(only_odd)) == (False, {})


def test_names_of_profiles_are_what_follows_the_word_untrimmed():
    """`[profile   x ]` is the profile `  x `; case counts, keys before the sections do not."""
    text = "region = head\n[profile   x ]\nregion = r\n[profile X]\n"
    assert resolve(text, "  x ").region == "r"
    assert not resolve(text, "x").exists
    assert resolve(text, "X").region is None


def test_a_source_is_resolved_with_the_same_flags_and_variables():
    """Region, serial, durations and endpoints from outside hold for the whole chain."""
    text = "[profile a]\nsource_profile = b\nrole_arn = r\n[profile b]\nmfa_serial = m\n"
    environ = {
        "AWS_MFA_SERIAL": "M",
        "AWS_ENDPOINT_URL": "u",
        "AWS_ENDPOINT_URL_STS": "s",
        "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "false",
        "AWS_CA_BUNDLE": "/ca",
    }
    profile = resolve(text, environ=environ, region="x", duration="2h")
    shared = {
        "region": "x",
        "mfa_serial": "M",
        "endpoint_url": "u",
        "sts_endpoint_url": "s",
        "sts_regional_endpoints": "legacy",
        "use_fips_endpoint": True,
        "use_dualstack_endpoint": False,
        "ca_bundle": "/ca",
        "assume_role_duration": 7_200,
        "session_token_duration": 7_200,
        "chained_session_token_duration": 7_200,
        "federation_token_duration": 7_200,
    }
    assert settings(profile.source) == shared
    assert settings(profile) == {"source_profile": "b", "role_arn": "r"} | shared
    assert profile.source.origins["mfa_serial"] == "$AWS_MFA_SERIAL"
    assert profile.origins["session_token_duration"] == "--duration"


def test_the_variables_of_the_role_hold_for_the_target_only():
    """AWS_ROLE_ARN and its kin beat the file, and never reach a source."""
    text = "[profile a]\nsource_profile = b\nrole_arn = r\n[profile b]\nrole_arn = rb\n"
    environ = {
        "AWS_ROLE_ARN": "R",
        "AWS_ROLE_SESSION_NAME": "n",
        "AWS_SESSION_TAGS": "k=v",
        "AWS_TRANSITIVE_TAGS": "k",
        "AWS_SOURCE_IDENTITY": "i",
    }
    profile = resolve(text, environ=environ)
    assert settings(profile) == {
        "source_profile": "b",
        "role_arn": "R",
        "role_session_name": "n",
        "session_tags": (("k", "v"),),
        "transitive_session_tags": ("k",),
        "source_identity": "i",
    }
    assert settings(profile.source) == {"role_arn": "rb"}


def test_a_serial_is_not_taken_from_the_source():
    """The device of the source is not the device of the role."""
    assert resolve("[profile a]\nsource_profile = b\n[profile b]\nmfa_serial = m\n").mfa_serial is None


def test_mfa_process_is_taken_from_the_source_if_nobody_else_has_one():
    """A role uses its user's program for codes, through several sources, unless it has its own."""
    text = "[profile a]\nsource_profile = b\n[profile b]\nsource_profile = c\n[profile c]\nmfa_process = p\n"
    profile = resolve(text)
    assert (profile.mfa_process, profile.origins["mfa_process"]) == ("p", "/c:6 [profile c]")
    own = resolve(text.replace("[profile a]", "[profile a]\nmfa_process = own"))
    assert (own.mfa_process, own.source.mfa_process) == ("own", "p")


def test_a_source_without_a_section_is_a_profile_still():
    """It may have a stored key; whether it has is not for the config file to say."""
    source = resolve("[default]\nregion = r\n[profile a]\nsource_profile = nobody\n").source
    assert (source.name, source.exists, settings(source)) == ("nobody", False, {"region": "r"})


def test_a_profile_that_is_its_own_source_has_none():
    """`source_profile = <self>` says nothing, and hides what `[default]` says, as in aws-vault."""
    profile = resolve("[default]\nsource_profile = b\n[profile a]\nsource_profile = a\n[profile b]\n")
    assert (profile.source, profile.source_profile) == (None, None)
    assert "source_profile" not in profile.origins


def test_a_long_chain_of_sources():
    """A chain longer than Python's stack is a chain."""
    text = "".join(f"[profile p{n}]\nsource_profile = p{n + 1}\n" for n in range(2_000))
    profile, length = resolve(text, "p0"), 0
    while profile is not None:
        profile, length = profile.source, length + 1
    assert length == 2_001


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        (
            "[profile a]\ninclude_profile = b\n[profile b]\ninclude_profile = a\n",
            ("a", "b", "a"),
            "loop detected in config file for profile 'a': include_profile leads a -> b -> a",
        ),
        (
            "[profile a]\ninclude_profile = a\n",
            ("a", "a"),
            "loop detected in config file for profile 'a': include_profile leads a -> a",
        ),
        (
            "[profile a]\ninclude_profile = b\n[profile b]\ninclude_profile = c\n[profile c]\ninclude_profile = b\n",
            ("b", "c", "b"),
            "loop detected in config file for profile 'b': include_profile leads b -> c -> b",
        ),
        (
            "[profile a]\nsource_profile = b\n[profile b]\nsource_profile = a\n",
            ("a", "b", "a"),
            "loop detected in config file for profile 'a': source_profile leads a -> b -> a",
        ),
        (
            "[profile a]\nsource_profile=b\n[profile b]\nsource_profile=c\n[profile c]\nsource_profile=b\n",
            ("b", "c", "b"),
            "loop detected in config file for profile 'b': source_profile leads b -> c -> b",
        ),
        (
            "[default]\ninclude_profile = b\n[profile a]\n",
            ("default", "b", "default"),
            "loop detected in config file for profile 'default': include_profile leads default -> b -> default",
        ),
    ],
)
def test_loops_are_found(text, names, message):
    """Profiles that lead back to themselves are named in the order in which they do."""
    with pytest.raises(ProfileLoop) as raised:
        resolve(text)
    assert raised.value.names == names
    assert str(raised.value) == message


def test_an_include_of_default_is_no_loop():
    """`[default]` comes last anyway."""
    assert settings(resolve("[default]\nregion = r\n[profile a]\ninclude_profile = default\n")) == {
        "include_profile": "default",
        "region": "r",
    }


def test_an_unknown_include_is_ignored_with_a_warning():
    """The rest of the chain, which is `[default]`, still counts."""
    profile = resolve("[default]\nregion = r\n[profile a]\ninclude_profile = nobody\n")
    assert profile.region == "r"
    assert profile.warnings == ("/c:4 [profile a]: include_profile = 'nobody' has no section and is ignored",)


def test_services_are_not_read_and_that_is_said():
    """The warning names the line and what works instead; a source's warnings are the target's, each once."""
    text = "[default]\nservices = s\n[profile a]\nsource_profile = b\n[profile b]\nsource_profile = c\nservices = t\n"
    advice = "is not read: use endpoint_url, or AWS_ENDPOINT_URL_STS"
    profile = resolve(text)
    assert profile.services == "s"
    assert profile.warnings == (
        f"/c:2 [default]: services = 's' {advice}",
        f"/c:7 [profile b]: services = 't' {advice}",
    )


SSO = "[sso-session s]\nsso_start_url = https://s\nsso_region = sr\nsso_registration_scopes = x,y\n"


def test_a_session_block_beats_inline_settings():
    """Start URL, region and scopes come from the `[sso-session]`; inline ones only fill what it leaves open."""
    text = SSO + "[default]\nsso_session = s\n[profile a]\nsso_start_url = https://i\nsso_account_id = 1\n"
    profile = resolve(text)
    assert settings(profile) == {
        "sso_session": "s",
        "sso_start_url": "https://s",
        "sso_region": "sr",
        "sso_registration_scopes": ("x", "y"),
        "sso_account_id": "1",
    }
    assert profile.origins["sso_start_url"] == "/c:2 [sso-session s]"
    open_region = text.replace("sso_region = sr\n", "").replace("[default]\n", "[default]\nsso_region = ir\n")
    assert resolve(open_region).sso_region == "ir"


def test_a_missing_session_block_is_ignored_with_a_warning():
    """Inline settings then count."""
    profile = resolve("[profile a]\nsso_session = s\nsso_start_url = https://i\n")
    assert profile.sso_start_url == "https://i"
    assert profile.warnings == ("/c:2 [profile a]: sso_session = 's' has no section and is ignored",)


def test_a_session_block_gives_nothing_else():
    """Only three keys of an `[sso-session]` count."""
    text = "[sso-session s]\nregion = r\nsso_account_id = 1\nendpoint_url = x\n[profile a]\nsso_session = s\n"
    assert settings(resolve(text + "endpoint_url = y\n")) == {"sso_session": "s", "endpoint_url": "y"}


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("AWS_ASSUME_ROLE_TTL", "assume_role_duration"),
        ("AWS_SESSION_TOKEN_TTL", "session_token_duration"),
        ("AWS_CHAINED_SESSION_TOKEN_TTL", "chained_session_token_duration"),
        ("AWS_FEDERATION_TOKEN_TTL", "federation_token_duration"),
    ],
)
def test_duration_variables(variable, field):
    """Each kind of session has its variable; the flag beats it, it beats the file."""
    text = "[profile a]\nrole_arn = r\nduration_seconds = 3600\n"
    expected = {"role_arn": "r", "assume_role_duration": 3_600} | {field: 1_800}
    assert settings(resolve(text, environ={variable: "30m"})) == expected
    assert getattr(resolve(text, environ={variable: "30m"}, duration="2h"), field) == 7_200


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("zz", "invalid duration 'zz', for example 1h30m"),
        ("3600", "missing unit in duration '3600', for example 3600s or 1h30m"),
        ("13h", "13h0m0s is not within AWS's 15m0s to 12h0m0s"),
    ],
)
def test_a_wrong_duration_variable_is_ignored_with_a_warning(text, reason):
    """A bad variable costs nobody the command: the next place counts, and the warning tells."""
    profile = resolve("[profile a]\nrole_arn = r\nduration_seconds = 7200\n", environ={"AWS_ASSUME_ROLE_TTL": text})
    assert profile.assume_role_duration == 7_200
    assert profile.warnings == (f"$AWS_ASSUME_ROLE_TTL is ignored: {reason}",)


@pytest.mark.parametrize(
    ("line", "environ", "field", "message"),
    [
        (
            "duration_seconds = abc",
            {},
            "assume_role_duration",
            "/c:4 [profile a]: duration_seconds: invalid duration 'abc', for example 1h30m",
        ),
        (
            "duration_seconds = 60",
            {},
            "assume_role_duration",
            "/c:4 [profile a]: duration_seconds: 1m0s is not within AWS's 15m0s to 12h0m0s",
        ),
        (
            "session_tags = a",
            {},
            "session_tags",
            "/c:4 [profile a]: session_tags: 'a' is not KEY=VALUE: write KEY=VALUE,KEY=VALUE",
        ),
        (
            "",
            {"AWS_SESSION_TAGS": "a=1,"},
            "session_tags",
            "$AWS_SESSION_TAGS: '' is not KEY=VALUE: write KEY=VALUE,KEY=VALUE",
        ),
        (
            "use_fips_endpoint = yes",
            {},
            "use_fips_endpoint",
            "/c:4 [profile a]: use_fips_endpoint: 'yes' is neither 'true' nor 'false'",
        ),
    ],
)
def test_a_wrong_value_stops_the_profile_that_needs_it(line, environ, field, message):
    """The message names file, line and key, or the variable; other profiles go on."""
    text = f"[profile b]\n[profile a]\nrole_arn = r\n{line}\n[profile c]\nsource_profile = a\n"
    with pytest.raises(ProfileIncomplete) as raised:
        resolve(text, environ=environ)
    assert (raised.value.name, raised.value.field, str(raised.value)) == ("a", field, message)
    assert resolve(text, "b").exists
    assert "a" in profiles.names(ini.Document(text))


def test_a_value_that_a_stronger_place_hides_is_not_read():
    """With a flag nobody asks what the file says."""
    assert resolve("[profile a]\nduration_seconds = abc\n", duration="1h").assume_role_duration == 3_600


def test_a_flag_out_of_range():
    """The flag is named with AWS's range: a role's where there is a role, a session's otherwise."""
    assert resolve("[profile a]\n", duration="1d").session_token_duration == 86_400
    with pytest.raises(ProfileIncomplete) as raised:
        resolve("[profile a]\nrole_arn = r\n", duration="1d")
    assert str(raised.value) == "--duration: 24h0m0s is not within AWS's 15m0s to 12h0m0s"
    with pytest.raises(ProfileIncomplete) as raised:
        resolve("[profile a]\n", duration="37h")
    assert str(raised.value) == "--duration: 37h0m0s is not within AWS's 15m0s to 36h0m0s"


def test_a_flag_that_is_no_duration_is_wrong_usage():
    """What was typed wrongly is the command line's mistake, not the profile's."""
    with pytest.raises(UsageError) as raised:
        resolve("[profile a]\n", duration="3600")
    assert str(raised.value) == "--duration: missing unit in duration '3600', for example 3600s or 1h30m"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense\n[profile a]\n", "/c:1 [DEFAULT]: key-value delimiter not found: 'nonsense'"),
        ("[profile a]\nnonsense\n", "/c:2 [profile a]: key-value delimiter not found: 'nonsense'"),
        ("[profile a]\n[default]\n= x\n", "/c:3 [default]: empty key name: '= x'"),
        ("[profile a]\ninclude_profile=b\n[profile b]\nno\n", "/c:4 [profile b]: key-value delimiter not found: 'no'"),
        ("[profile a]\nsource_profile=b\n[profile b\n", "/c:3 [profile b]: unclosed section: '[profile b'"),
        (
            "[profile a]\nsso_session=s\n[sso-session s]\nk = `\n",
            "/c:4 [sso-session s]: missing closing quote: 'k = `'",
        ),
    ],
)
def test_a_broken_line_stops_the_profiles_that_need_it(text, message):
    """The own section, includes, sources, the session block, `[default]` and the head of the file are needed."""
    with pytest.raises(ConfigError) as raised:
        resolve(text)
    assert str(raised.value) == message


def test_a_broken_line_elsewhere_stops_nobody():
    """Mistakes in sections that a profile does not need are not its own."""
    text = "[profile a]\nregion = r\n[profile b]\nno\n[sso-session s]\nno\n[odd]\nno\n[profile c\n"
    assert resolve(text).region == "r"
    assert profiles.names(ini.Document(text)) == ("a", "b", "c")


def test_profiles_are_listed_in_the_order_of_the_file():
    """Each once; other sections are none; `[profile default]` and `[default]` are one."""
    text = "[profile z]\n[services x]\n[default]\nregion = r\n[sso-session s]\n[profile a]\n[profile z]\n[plain]\n"
    text += "[profile default]\n[DEFAULT]\n[profile]\n[profile ]\n[profile  b ]\n"
    assert profiles.names(ini.Document(text)) == ("z", "default", "a", " b ")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[default]\n", ()),
        ("[default]\noutput = json\nregion =\n", ()),
        ("[default]\nREGION = r\n", ("default",)),
        ("[default]\noutput = json\n[profile default]\n", ("default",)),
        ("", ()),
    ],
)
def test_default_is_listed_only_if_it_says_something(text, names):
    """A `[default]` without any setting that we know is no profile."""
    assert profiles.names(ini.Document(text)) == names


def test_a_session_block_as_a_profile():
    """What a profile would be that names the session and nothing else: with [default] and the variables, as any other."""
    text = (
        "[default]\nregion = r\nsso_session = other\nsso_start_url = https://no\n[profile s]\nregion = no\n"
        "[sso-session s]\nsso_start_url = https://s\nsso_region = eu-west-1\nsso_registration_scopes = x, y\n"
    )
    environ = {"AWS_CA_BUNDLE": "/ca"}
    profile = profiles.resolve_session(ini.Document(text, "/c"), "s", environ=environ)
    assert (profile.name, profile.exists, profile.warnings) == ("sso-session s", False, ())
    assert settings(profile) == {
        "region": "r", "sso_session": "s", "sso_start_url": "https://s", "sso_region": "eu-west-1",
        "sso_registration_scopes": ("x", "y"), "ca_bundle": "/ca",
    }  # fmt: skip
    assert profile.origins["sso_region"] == "/c:9 [sso-session s]"
    with pytest.raises(ConfigError, match="/c:2 "):
        profiles.resolve_session(ini.Document("[sso-session s]\nno\n", "/c"), "s", environ={})


def test_sso_sessions_are_listed_with_their_start_urls():
    """Name to URL, in the order of the file; one without a URL is there too."""
    text = "[sso-session b]\nsso_start_url = https://b\n[profile x]\n[sso-session a]\n"
    assert profiles.sso_sessions(ini.Document(text)) == {"b": "https://b", "a": ""}


def test_the_section_of_a_profile():
    """The header that `add` writes and everybody reads."""
    assert profiles.section_name("team/dev") == "profile team/dev"
    assert profiles.section_name("default") == "default"
