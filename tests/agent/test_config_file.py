"""The acceptance of whole config files, in both generations."""

import dataclasses
import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent import config_file
from strongroom.agent.config import ClientRule, Config, Own, Prefetch
from strongroom.agent.config_file import ConfigMistakes
from strongroom.agent.config_formats import Document
from strongroom.agent.config_reader import Reader
from strongroom.agent.generations import GENERATIONS
from strongroom.agent.options import known_keys
from strongroom.errors import ConfigError

AGENT = GENERATIONS["agent"]
SM = GENERATIONS["sm"]

INVALID = "specified in the configuration file isn't valid."
LEVEL = f"The log level {INVALID} The log level must be DEBUG, INFO, WARN, ERROR, or NONE."
PORT = f"The HTTP port {INVALID} The HTTP port must be in the range 1024 to 65535."
TTL = f"The TTL in seconds {INVALID} The TTL in seconds must be in the range 0 to 3600."
SIZE = f"The cache size {INVALID} The cache size must be in the range 1 to 1000."
CONN = f"The maximum number of connections {INVALID} The maximum number of connections must be in the range 1 to 1000."
ROLES = f"The maximum number of roles {INVALID} The maximum number of roles must be in the range 1 to 20."
HEADERS = "The list of SSRF headers in the configuration file can't be empty."
VARIABLES = "The list of SSRF environment variables in the configuration file can't be empty."
PREFIX = "The path prefix specified in the configuration file must begin with /."
RATIO = f"The cache buffer ratio {INVALID} The cache buffer ratio must be in the range 0.1 to 1.0."
JITTER = f"The max jitter seconds {INVALID} The max jitter seconds must be in the range 0 to 10."
ROLE = f"The IAM role ARN {INVALID}"
MIXED = (
    "The configuration file format isn't valid. "
    "Flat keys can't be used in conjunction with nested sections ('logging' or 'capabilities')."
)
AGENT_KEYS = (
    "expected one of `log_level`, `log_to_file`, `http_port`, `ttl_seconds`, `cache_size`, `ssrf_headers`, "
    "`ssrf_env_variables`, `path_prefix`, `max_conn`, `region`, `ignore_transient_errors`, `validate_credentials`, "
    "`credentials_file_path`, `max_roles`, `prefetch`, `strongroom`"
)


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Load a config file with the given text."""
    monkeypatch.chdir(tmp_path)

    def load(text, generation, name="c.toml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return config_file.load(name, generation)

    return load


@pytest.fixture
def refused(loaded):
    """Load a config file that has mistakes and return what is said of them."""

    def load(text, generation, name="c.toml"):
        with pytest.raises(ConfigMistakes) as raised:
            loaded(text, generation, name)
        assert "\n" not in raised.value.message
        assert not raised.value.text.endswith("\n")
        return raised.value.text

    return load


def numbered(*lines):
    return "\n".join(
        (
            f"Configuration validation failed with {len(lines)} error(s):",
            *(f"  {number}. {line}" for number, line in enumerate(lines, 1)),
        )
    )


# Which file.


def test_no_file_is_all_defaults():
    """Without a file everything has its default."""
    assert config_file.load(None, AGENT) == config_file.load(None, SM) == Config()


@pytest.mark.parametrize("generation", [AGENT, SM], ids=["agent", "sm"])
@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_empty_file_is_all_defaults(loaded, generation, text):
    """An empty file is right."""
    assert loaded(text, generation) == Config(path="c.toml")


def test_mistakes_are_a_config_error():
    """Whoever handles config errors handles these."""
    assert issubclass(ConfigMistakes, ConfigError)


def test_no_default_file_of_the_agent():
    """The AWS Secrets Manager Agent has no default place."""
    assert config_file.find(AGENT, "linux", {}) is None


@pytest.mark.parametrize("platform", ["linux", "darwin"])
def test_default_file_of_sm(platform, tmp_path):
    """The Workload Credentials Provider's default file counts if it exists."""
    path = tmp_path / "config.toml"
    generation = dataclasses.replace(SM, default_config=(("win32", "nowhere"), ("", str(path))))
    assert config_file.find(generation, platform, {}) is None
    path.touch()
    assert config_file.find(generation, platform, {}) == str(path)


def test_default_file_on_windows(tmp_path):
    """On Windows it lies in the program data; the variable is the caller's."""
    path = tmp_path / "config.toml"
    path.touch()
    generation = dataclasses.replace(SM, default_config=(("win32", os.path.join("%PROGRAMDATA%", "config.toml")),))
    assert config_file.find(generation, "win32", {"PROGRAMDATA": str(tmp_path)}) == str(path)
    assert config_file.find(generation, "win32", {"PROGRAMDATA": str(tmp_path / "other")}) is None
    assert config_file.find(generation, "win32", {}) is None
    assert config_file.find(generation, "linux", {"PROGRAMDATA": str(tmp_path)}) is None


def test_places_of_default_files():
    """The places are the original's."""
    assert dict(SM.default_config) == {
        "win32": r"%PROGRAMDATA%\AWS\WorkloadCredentialsProvider\config.toml",
        "": "/etc/aws-workload-credentials-provider/config.toml",
    }


def test_agent_finds_no_file(refused, tmp_path, monkeypatch):
    """A name that is no file, with any of the known endings, is told."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigMistakes) as raised:
        config_file.load("NoSuchFile", AGENT)
    assert raised.value.text == raised.value.message == 'configuration file "NoSuchFile" not found'


@pytest.mark.parametrize("name", ["agent.conf", "agent", "agent.ini", "agent.ron", "agent.json5", "agent.TOML"])
def test_agent_does_not_know_the_format(refused, tmp_path, name):
    """A file with another ending is refused by its absolute path."""
    expected = f'configuration file "{tmp_path / name}" is not of a registered file format'.replace("\\", "\\\\")
    assert refused("http_port = 3000", AGENT, name) == expected


@pytest.mark.parametrize("ending", [".toml", ".json", ".yaml", ".yml"])
def test_agent_appends_endings(loaded, ending):
    """A name without ending finds the file with one, as does one whose ending is part of the name."""
    texts = {".toml": "http_port = 3001", ".json": '{"http_port": 3001}'}
    loaded(texts.get(ending, "http_port: 3001"), AGENT, f"agent.local{ending}")
    assert config_file.load("agent.local", AGENT).http_port == 3001
    assert config_file.load("agent.local", AGENT).path == f"agent.local{ending}"


@pytest.mark.parametrize("name", ["c", "c.conf", "c.json", "c.yaml"])
def test_sm_reads_toml_whatever_the_name(loaded, refused, name):
    """The Workload Credentials Provider reads TOML under any name, and nothing else."""
    assert loaded("http_port = 3001", SM, name).http_port == 3001
    assert "TOML parse error" in refused('{"http_port": 3001}', SM, name)


def test_sm_names_the_file_that_is_not_there(tmp_path):
    """A missing file is a list of one mistake, with the path and the system's words."""
    with pytest.raises(ConfigMistakes) as raised:
        config_file.load("/nowhere/c.toml", SM)
    told = "Failed to read config file '/nowhere/c.toml': No such file or directory (os error 2)"
    assert raised.value.text == numbered(told)
    assert raised.value.message == told


# The flat file of the AWS Secrets Manager Agent.


@pytest.mark.parametrize("value", ["1023", '"1023"', '"-1"', "-1", "65536", '"x"', '""', '"0x10"', "true", "3000.5"])
def test_agent_port_refused(refused, value):
    """A port that is none, or needs root."""
    got = value.replace('"', "'")
    assert refused(f"http_port = {value}", AGENT) == f"{PORT} (http_port: got {got}, line 1)"


@pytest.mark.parametrize(
    ("value", "port"),
    [("1024", 1024), ('"1024"', 1024), ('"+1024"', 1024), ("65535", 65535), ('"0"', 0), ("0", 0), ("2773.0", 2773)],
)
def test_agent_port_accepted(loaded, value, port):
    """Numbers, texts, whole floats; 0 leaves it to the system."""
    assert loaded(f"http_port = {value}", AGENT).http_port == port


@pytest.mark.parametrize("value", ["-1", "3601", '"abc"', '"3e2"', '" 300"', '"300 "', '"300.0"', '"-0"', '"1_000"'])
def test_agent_ttl_refused(refused, value):
    """Texts are read as Rust reads integers."""
    got = value.replace('"', "'")
    assert refused(f"ttl_seconds = {value}", AGENT) == f"{TTL} (ttl_seconds: got {got}, line 1)"


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("3600", 3600), ('"0300"', 300), ('"+300"', 300), ("1_000", 1000)]
)
def test_agent_ttl_accepted(loaded, value, seconds):
    """Leading zeros and a plus are right; TOML's own underscores are."""
    assert loaded(f"ttl_seconds = {value}", AGENT).ttl_seconds == seconds


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("cache_size", "0", SIZE),
        ("cache_size", "1001", SIZE),
        ("cache_size", "-1", SIZE),
        ("max_conn", "0", CONN),
        ("max_conn", "1001", CONN),
        ("max_roles", "0", ROLES),
        ("max_roles", "21", ROLES),
        ("log_level", "'information'", LEVEL),
        ("log_level", "' info'", LEVEL),
        ("log_level", "''", LEVEL),
        ("log_level", "true", LEVEL),
        ("path_prefix", "'v1'", PREFIX),
        ("path_prefix", "''", PREFIX),
        ("ssrf_headers", "[]", HEADERS),
        ("ssrf_env_variables", "[]", VARIABLES),
    ],
)
def test_agent_refuses(refused, key, value, message):
    """Each option has its own words."""
    assert refused(f"\n{key} = {value}", AGENT) == f"{message} ({key}: got {value}, line 2)"


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("cache_size", "1", 1),
        ("cache_size", "'1000'", 1000),
        ("max_conn", "1", 1),
        ("max_conn", "1000", 1000),
        ("max_roles", "20", 20),
        ("log_level", "'DeBuG'", "debug"),
        ("log_level", "'NONE'", "none"),
        ("path_prefix", "'/x'", "/x"),
        ("path_prefix", "'/'", "/"),
        ("ssrf_headers", "['Bad Header', '']", ("Bad Header", "")),
        ("ssrf_headers", "[1, true, 2.0]", ("1", "true", "2")),
        ("region", "1", "1"),
        ("region", "''", ""),
        ("region", "1979-05-27", "1979-05-27"),
        ("credentials_file_path", "'~/x'", "~/x"),
        ("HTTP_PORT", "3000", None),
    ],
)
def test_agent_accepts(loaded, key, value, found):
    """At the ends of the ranges, in any letter case, turned into texts."""
    config = loaded(f"{key} = {value}", AGENT)
    if key == "HTTP_PORT":
        assert config.http_port == 3000
        assert config.origins == {"http_port": "c.toml line 1"}
    else:
        assert getattr(config, key) == found


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("'off'", False),
        ("'YES'", True),
        ("'On'", True),
        ("'1'", True),
        ("'0'", False),
        ("'nO'", False),
        ("'False'", False),
        ("'true'", True),
        ("0", False),
        ("1", True),
        ("-1", True),
        ("0.0", False),
        ("0.5", True),
        ("nan", True),
        ("false", False),
    ],
)
@pytest.mark.parametrize("key", ["log_to_file", "ignore_transient_errors", "validate_credentials"])
def test_agent_flags(loaded, key, value, found):
    """Many words are flags."""
    assert getattr(loaded(f"{key} = {value}", AGENT), key) is found


@pytest.mark.parametrize(
    ("line", "unexpected", "got"),
    [
        ("log_to_file = 'maybe'", 'string "maybe", expected a boolean', "'maybe'"),
        ("log_to_file = [1]", "sequence, expected a boolean", "a sequence"),
        ("ssrf_headers = 'X'", 'string "X", expected a sequence', "'X'"),
        ("http_port = [1]", "sequence, expected a string", "a sequence"),
        ("region = {}", "map, expected a string", "an empty map"),
        ("prefetch = 1", "integer `1`, expected a map", "1"),
        ("strongroom = 1.5", "floating point `1.5`, expected a map", "1.5"),
        ("prefetch.secrets = true", "boolean `true`, expected a sequence", "true"),
        ("strongroom.ttl = 60", "integer `60`, expected a map", "60"),
        ("strongroom.ttl.a = []", "sequence, expected a string", "an empty sequence"),
    ],
)
def test_agent_wrong_types(refused, line, unexpected, got):
    """What cannot be turned into what is wanted is told as the original's library does."""
    key = line.partition(" ")[0]
    expected = f"invalid type: {unexpected} for key `{key}` in c.toml ({key}: got {got}, line 1)"
    assert refused(line, AGENT) == expected


def test_agent_unknown_key(refused):
    """All keys are listed, the originals' first, and the nearest is suggested."""
    expected = f"unknown field `max_connections`, {AGENT_KEYS} (max_connections: line 1, did you mean 'max_conn'?)"
    assert refused('max_connections = "1001"', AGENT) == expected


def test_agent_tells_all_mistakes(refused):
    """Every mistake is told, in the original's order of checks whatever the file's; what is not understood first."""
    text = "path_prefix = 'v1'\nttl_seconds = 9999\nhttp_port = 1\nzzz = 1\n"
    assert refused(text, AGENT).split("\n") == [
        f"unknown field `zzz`, {AGENT_KEYS} (zzz: line 4)",
        f"{PORT} (http_port: got 1, line 3)",
        f"{TTL} (ttl_seconds: got 9999, line 2)",
        f"{PREFIX} (path_prefix: got 'v1', line 1)",
    ]


def test_summary_of_several_mistakes(loaded):
    """In one line, their number and the first."""
    with pytest.raises(ConfigMistakes) as raised:
        loaded("http_port = 1\nttl_seconds = 9999", AGENT)
    assert raised.value.message == f"'c.toml' holds 2 mistakes; the first: {PORT} (http_port: got 1, line 1)"


def test_agent_gibberish(refused):
    """A syntax error points at its place and names the file."""
    assert refused("This is gibberish", AGENT) == (
        "TOML parse error at line 1, column 6\n"
        "  |\n"
        "1 | This is gibberish\n"
        "  |      ^\n"
        "Expected '=' after a key in a key/value pair in c.toml"
    )


@pytest.mark.parametrize(
    ("name", "text"), [("c.json", '{"HTTP_Port": 3001}'), ("c.yaml", "HTTP_Port: 3001"), ("c.yml", "HTTP_Port: '3001'")]
)
def test_agent_reads_json_and_yaml(loaded, name, text):
    """JSON and YAML by their endings; lines are known there too."""
    config = loaded(text, AGENT, name)
    assert config.http_port == 3001
    assert config.origins == {"http_port": f"{name} line 1"}


@pytest.mark.parametrize(
    ("name", "text"), [("c.json", '{"region": null, "prefetch": null}'), ("c.yaml", "region:\nprefetch: ~\n")]
)
def test_nothing_is_no_value(loaded, name, text):
    """What may be absent may be null."""
    assert loaded(text, AGENT, name) == Config(path=name)


def test_null_where_there_must_be_something(refused):
    """What cannot be absent cannot be null."""
    expected = (
        "invalid type: unit value, expected a string for key `http_port` in c.json (http_port: got nothing, line 1)"
    )
    assert refused('{"http_port": null}', AGENT, "c.json") == expected


def test_agent_key_in_two_letter_cases(refused):
    """A key that is given twice is told, not chosen between."""
    expected = "http_port is given twice, in different letter case. (http_port: line 2)"
    assert refused("HTTP_PORT = 3000\nhttp_port = 3001", AGENT) == expected


def test_agent_prefetch(loaded, refused):
    """Release 2.1 has `max_roles` and `prefetch`, and its own words for the latter."""
    assert loaded("[prefetch]\ncache_buffer_ratio = '0.5'\nmax_jitter_seconds = '3'", AGENT).prefetch == Prefetch(
        0.5, 3
    )
    assert refused("[prefetch]\ncache_buffer_ratio = 0.05\nmax_jitter_seconds = 11", AGENT).split("\n") == [
        "The cache_buffer_ratio specified in the prefetch configuration isn't valid. "
        "The cache_buffer_ratio must be between 0.1 and 1.0. (prefetch.cache_buffer_ratio: got 0.05, line 2)",
        "The max_jitter_seconds specified in the prefetch configuration isn't valid. "
        "The max_jitter_seconds must be in the range 0 to 10. (prefetch.max_jitter_seconds: got 11, line 3)",
    ]


def test_agent_reads_the_nested_form(loaded):
    """The newer form is read too, with the older rules for values and keys."""
    text = "[Logging]\nlog_to_file = 'off'\n[capabilities.secrets_manager]\nhttp_port = '3000'\n"
    config = loaded(text, AGENT)
    assert (config.http_port, config.log_to_file, config.warnings) == (3000, False, ())
    assert config.origins == {"log_to_file": "c.toml line 2", "http_port": "c.toml line 4"}


# The files of the Workload Credentials Provider.

NUMBERS = [
    ("http_port", "", 1024, 65535, PORT),
    ("max_conn", "", 1, 1000, CONN),
    ("max_roles", "", 1, 20, ROLES),
    ("ttl_seconds", "cache.", 0, 3600, TTL),
    ("cache_size", "cache.", 1, 1000, SIZE),
]


@pytest.mark.parametrize("quote", ["", "'"], ids=["number", "text"])
@pytest.mark.parametrize(("key", "table", "low", "high", "message"), NUMBERS, ids=[row[0] for row in NUMBERS])
@pytest.mark.parametrize("form", ["nested", "flat"])
def test_sm_numbers(loaded, refused, form, key, table, low, high, message, quote):
    """At both ends of each range, in both forms, as numbers and as texts."""
    start = "capabilities.secrets_manager." + table if form == "nested" else ""
    for value in (low, high):
        assert getattr(loaded(f"{start}{key} = {quote}{value}{quote}", SM), key) == value
    for value in (low - 1, high + 1):
        told = f"{start}{key}: {message} (Got: {quote}{value}{quote}) [line 1]"
        assert refused(f"{start}{key} = {quote}{value}{quote}", SM) == numbered(told)


@pytest.mark.parametrize(
    ("value", "kind"),
    [("true", "boolean"), ("3000.0", "float"), ("[1]", "sequence"), ("{a=1}", "map"), ("1979-05-27", "datetime")],
)
@pytest.mark.parametrize(("key", "table"), [row[:2] for row in NUMBERS])
@pytest.mark.parametrize("form", ["nested", "flat"])
def test_sm_numbers_of_other_types(refused, form, key, table, value, kind):
    """Only integers and texts are numbers."""
    start = "capabilities.secrets_manager." + table if form == "nested" else ""
    told = f"{start}{key}: Expected a string or integer for '{key}'. (Got: {kind}) [line 1]"
    assert refused(f"{start}{key} = {value}", SM) == numbered(told)


@pytest.mark.parametrize("text", ["' 300'", "'300 '", "'3e2'", "''", "'-0'"])
def test_sm_texts_that_are_no_numbers(refused, text):
    """The range is told, and what was there."""
    assert refused(f"ttl_seconds = {text}", SM) == numbered(f"ttl_seconds: {TTL} (Got: {text}) [line 1]")


def test_sm_port_zero(loaded, refused):
    """0 is right only as just that."""
    assert loaded("http_port = 0", SM).http_port == loaded("http_port = '0'", SM).http_port == 0
    assert refused("http_port = '00'", SM) == numbered(f"http_port: {PORT} (Got: '00') [line 1]")


def test_sm_order_does_not_depend_on_the_file(refused):
    """Three mistakes are a list of three, in the same order whatever the file's."""
    lines = ["ttl_seconds = 9999", "http_port = 1", "log_level = 'verbose'"]
    expected = [
        f"log_level: {LEVEL} (Got: 'verbose')",
        f"http_port: {PORT} (Got: 1)",
        f"ttl_seconds: {TTL} (Got: 9999)",
    ]
    assert refused("\n".join(lines), SM) == numbered(
        *(f"{told} [line {line}]" for told, line in zip(expected, (3, 2, 1), strict=True))
    )
    assert refused("\n".join(reversed(lines)), SM) == numbered(
        *(f"{told} [line {line}]" for told, line in zip(expected, (1, 2, 3), strict=True))
    )


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("xyz = 1", "xyz"),
        ("[logging]\nxyz = 1", "logging.xyz"),
        ("[capabilities]\nxyz = 1", "capabilities.xyz"),
        ("[capabilities.secrets_manager]\nxyz = 1", "capabilities.secrets_manager.xyz"),
        ("[capabilities.secrets_manager.cache]\nxyz = 1", "capabilities.secrets_manager.cache.xyz"),
        ("[capabilities.secrets_manager.security]\nxyz = 1", "capabilities.secrets_manager.security.xyz"),
        ("[capabilities.secrets_manager.prefetch]\nxyz = 1", "capabilities.secrets_manager.prefetch.xyz"),
        ("[[prefetch.secrets]]\nsecret_id = 'a'\nxyz = 1", "prefetch.secrets[0].xyz"),
        ("[[prefetch.filter_tags]]\nkey = 'a'\nxyz = 1", "prefetch.filter_tags[0].xyz"),
        ("[strongroom]\nxyz = 1", "strongroom.xyz"),
        ("[[strongroom.clients]]\nname = 'a'\nuid = 1\nxyz = 1", "strongroom.clients[0].xyz"),
        ("enabled = true", "enabled"),
        ("HTTP_PORT = 3000", "HTTP_PORT"),
        ("[capabilities]\n[xyz]", "xyz"),
    ],
)
def test_sm_unknown_keys(refused, text, field):
    """At every level a key that nobody knows is named, with its line."""
    told = refused(text, SM)
    line = text.count("\n") + 1
    assert told.startswith(
        "Configuration validation failed with 1 error(s):\n"
        f"  1. {field}: Failed to parse config: unknown field `{field.rpartition('.')[2]}`, expected "
    )
    assert told.endswith(f" [line {line}]")


@pytest.mark.parametrize(
    ("line", "nested"),
    [
        ("log_level = 'info'", "logging.log_level"),
        ("log_to_file = true", "logging.log_to_file"),
        ("http_port = 3000", "capabilities.secrets_manager.http_port"),
        ("ttl_seconds = 1", "capabilities.secrets_manager.cache.ttl_seconds"),
        ("cache_size = 1", "capabilities.secrets_manager.cache.cache_size"),
        ("ssrf_headers = ['X']", "capabilities.secrets_manager.security.ssrf_headers"),
        ("ssrf_env_variables = ['X']", "capabilities.secrets_manager.security.ssrf_env_variables"),
        ("path_prefix = '/'", "capabilities.secrets_manager.path_prefix"),
        ("max_conn = 1", "capabilities.secrets_manager.max_conn"),
        ("region = 'x'", "capabilities.secrets_manager.region"),
        ("ignore_transient_errors = true", "capabilities.secrets_manager.ignore_transient_errors"),
        ("validate_credentials = true", "capabilities.secrets_manager.validate_credentials"),
        ("credentials_file_path = 'x'", "capabilities.secrets_manager.credentials_file_path"),
        ("max_roles = 1", "capabilities.secrets_manager.max_roles"),
        ("prefetch = {}", "capabilities.secrets_manager.prefetch"),
    ],
)
@pytest.mark.parametrize("section", ["[logging]", "[capabilities]"])
def test_mixed_forms(refused, line, nested, section):
    """A flat key beside a section is refused, and where it belongs is told."""
    key = line.partition(" ")[0]
    told = f"{key}: {MIXED} (Use '{nested}' instead of '{key}'.) [line 1]"
    assert refused(f"{line}\n{section}", SM) == numbered(told)
    assert refused(f"{line}\n{section}", AGENT) == f"{MIXED} ({key}: line 1, Use '{nested}' instead of '{key}')"


@pytest.mark.parametrize("text", ["[logging]\nlog_level = 'info'", "[capabilities]", "[capabilities.secrets_manager]"])
def test_sm_sections_alone(loaded, text):
    """A section without Secrets Manager's leaves it on, with its defaults."""
    config = loaded(text, SM)
    assert dataclasses.replace(config, origins={}) == Config(path="c.toml")


def test_sm_other_capability_alone(loaded):
    """Certificates are not ours: their section is told of, and not looked into."""
    config = loaded("[capabilities.acm]\nenabled = true\ncertificates = 'broken'", SM)
    assert config == Config(
        path="c.toml",
        warnings=("c.toml: certificates are not exported by this version; [capabilities.acm] is ignored",),
    )


def test_sm_other_capability_off(loaded, refused):
    """A section that is off costs nothing, and no word."""
    assert loaded("[capabilities.acm]\nenabled = false\ncertificates = 'broken'", SM).warnings == ()
    assert refused("[capabilities]\nacm = 1", SM) == numbered(
        "capabilities.acm: Failed to parse config: invalid type: integer `1`, expected a map (Got: 1) [line 2]"
    )


def test_sm_disabled(loaded, refused):
    """Secrets can be off."""
    assert loaded("[capabilities.secrets_manager]\nenabled = false", SM).enabled is False
    assert refused("capabilities.secrets_manager.enabled = 'no'", SM) == numbered(
        "capabilities.secrets_manager.enabled: Failed to parse config: "
        "invalid type: string \"no\", expected a boolean (Got: 'no') [line 1]"
    )


@pytest.mark.parametrize("level", ["debug", "INFO", "Warn", "eRRor", "NONE"])
def test_sm_log_levels(loaded, level):
    """In any letter case."""
    assert loaded(f"[logging]\nlog_level = '{level}'", SM).log_level == level.lower()


def test_sm_log_level_refused(refused):
    """The field is `log_level` in either form."""
    told = f"log_level: {LEVEL} (Got: 'verbose')"
    assert refused("[logging]\nlog_level = 'verbose'", SM) == numbered(f"{told} [line 2]")
    assert refused("log_level = 'verbose'", SM) == numbered(f"{told} [line 1]")


@pytest.mark.parametrize("start", ["", "capabilities.secrets_manager."])
def test_sm_lists_and_prefix(refused, start):
    """Empty lists and a prefix without slash are refused in both forms."""
    security = f"{start}security." if start else ""
    text = f"{start}path_prefix = 'v1'\n{security}ssrf_headers = []\n{security}ssrf_env_variables = []"
    assert refused(text, SM) == numbered(
        f"{security}ssrf_headers: {HEADERS} (Got: []) [line 2]",
        f"{security}ssrf_env_variables: {VARIABLES} (Got: []) [line 3]",
        f"{start}path_prefix: {PREFIX} (Got: 'v1') [line 1]",
    )


@pytest.mark.parametrize(("value", "ratio"), [("0.1", 0.1), ("1", 1.0), ("1.0", 1.0), ("0.5", 0.5)])
def test_sm_ratio_accepted(loaded, value, ratio):
    """From a tenth to all, as float or integer."""
    assert loaded(f"prefetch.cache_buffer_ratio = {value}", SM).prefetch == Prefetch(ratio)


@pytest.mark.parametrize("value", ["0.0999", "1.0001", "nan", "inf", "-0.5", "0", "2"])
def test_sm_ratio_refused(refused, value):
    """What is out of range is, nan is."""
    told = f"prefetch.cache_buffer_ratio: {RATIO} (Got: {value}) [line 1]"
    assert refused(f"prefetch.cache_buffer_ratio = {value}", SM) == numbered(told)


def test_sm_jitter(loaded, refused):
    """From 0 to 10 whole seconds."""
    assert loaded("prefetch.max_jitter_seconds = 10", SM).prefetch == Prefetch(max_jitter_seconds=10)
    for value in ("11", "-1"):
        told = f"prefetch.max_jitter_seconds: {JITTER} (Got: {value}) [line 1]"
        assert refused(f"prefetch.max_jitter_seconds = {value}", SM) == numbered(told)
    told = "prefetch.max_jitter_seconds: Expected a string or integer for 'max_jitter_seconds'. (Got: float) [line 1]"
    assert refused("prefetch.max_jitter_seconds = 2.5", SM) == numbered(told)


ARN = "arn:aws:iam::123456789012:role/a/b+c=d,e.f@g-h_i"


def test_sm_prefetch_in_two_forms(loaded):
    """An array of tables and an inline array are the same; an empty table is nothing."""
    rows = f'[[prefetch.secrets]]\nsecret_id = "a"\n[[prefetch.secrets]]\nsecret_id = "b"\nrole_arn = "{ARN}"\n'
    inline = f'prefetch.secrets = [\n{{secret_id = "a"}},\n{{secret_id = "b", role_arn = "{ARN}"}}\n]\n'
    wanted = Prefetch(secrets=(("a", None), ("b", ARN)))
    assert loaded(rows, SM).prefetch == loaded(inline, SM).prefetch == wanted
    tags = f'[[prefetch.filter_tags]]\nkey = "k"\nrole_arn = "{ARN}"'
    assert loaded(tags, SM).prefetch == Prefetch(filter_tags=(("k", ARN),))
    assert loaded("[prefetch]", SM) == Config(path="c.toml")


def test_sm_prefetch_rows_refused(refused):
    """Rows are looked into: what is missing, empty, or no role."""
    text = (
        "[prefetch]\nsecrets = [{}, {secret_id = ''}, 5]\n"
        "filter_tags = [{key = ''}, {key = 'k', role_arn = 'arn:aws:iam::1:role/x'}]"
    )
    expected = "Expected format: arn:{partition}:iam::{account-id}:role/{role-name}, got: 'arn:aws:iam::1:role/x'"
    assert refused(text, SM) == numbered(
        "prefetch.secrets[0]: Failed to parse config: missing field `secret_id` [line 2]",
        "prefetch.secrets[2]: Failed to parse config: invalid type: integer `5`, expected a map (Got: 5) [line 2]",
        "prefetch.secrets[1].secret_id: The secret id can't be empty. (Got: '') [line 2]",
        "prefetch.filter_tags[0].key: The tag key can't be empty. (Got: '') [line 3]",
        f"prefetch.filter_tags[1].role_arn: {ROLE} ({expected}) [line 3]",
    )


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:iam::12345678901:role/x",
        "arn:aws:iam::1234567890123:role/x",
        "arn:aws:iam::12345678901a:role/x",
        "arn:aws:iam::123456789012:role/",
        "arn:aws:iam::123456789012:user/x",
        "arn:aws:sts::123456789012:role/x",
        "arn:aws:iam:us-east-1:123456789012:role/x",
        "arn:aws:iam::123456789012:role/x\\n",
        "arn:aws:iam::123456789012:role/x y",
        "",
    ],
)
def test_role_arns_refused(refused, arn):
    """The whole text must be the ARN of a role."""
    told = refused(f'prefetch.secrets = [{{secret_id = "a", role_arn = "{arn}"}}]', AGENT)
    assert told == f"{ROLE} (prefetch.secrets[0].role_arn: got '{arn}', line 1)"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("log_to_file = 'false'", "log_to_file: Failed to parse config: invalid type: string \"false\", expected a boolean (Got: 'false')"),
        ("region = 1", "region: Failed to parse config: invalid type: integer `1`, expected a string (Got: 1)"),
        ("ssrf_headers = [1]", "ssrf_headers[0]: Failed to parse config: invalid type: integer `1`, expected a string (Got: 1)"),
        ("logging = 1", "logging: Failed to parse config: invalid type: integer `1`, expected a map (Got: 1)"),
        ("capabilities = []", "capabilities: Failed to parse config: invalid type: sequence, expected a map (Got: an empty sequence)"),
    ],
)  # fmt: skip
def test_sm_converts_nothing(refused, line, told):
    """Values are not turned into one another."""
    assert refused(line, SM) == numbered(f"{told} [line 1]")


def test_sm_reads_toml_1_1(loaded):
    """Newlines and a last comma in inline tables, `\\e` and `\\x`."""
    config = loaded('prefetch = {\n  secrets = [{secret_id = "\\x41",}],\n}\n', SM)
    assert config.prefetch.secrets == (("A", None),)


def test_sm_syntax_error(refused):
    """A syntax error is told alone, without the original's lone colon."""
    assert refused("http_port = 1\na b", SM) == numbered(
        "Failed to parse config: TOML parse error at line 2, column 3\n"
        "  |\n"
        "2 | a b\n"
        "  |   ^\n"
        "Expected '=' after a key in a key/value pair"
    )


def test_sm_flat_file_is_deprecated(loaded):
    """Where each flat key of the file belongs is told; the agent's own form is not deprecated."""
    text = "http_port = 3000\nlog_level = 'info'\nprefetch.max_jitter_seconds = 1\n[strongroom]\naccess_log = true"
    assert loaded(text, SM).warnings == (
        "c.toml: the flat form of the configuration file is deprecated: log_level is now logging.log_level, "
        "http_port is now capabilities.secrets_manager.http_port, prefetch.max_jitter_seconds is now "
        "capabilities.secrets_manager.prefetch.max_jitter_seconds",
    )
    assert loaded(text, AGENT).warnings == ()
    assert loaded("[strongroom]\naccess_log = true", SM).warnings == ()


# Ours.

OWN = """
[strongroom]
unix_socket = "/run/x.sock"
unix_socket_mode = "0660"
unix_socket_owner = "root:adm"
allowed_hosts = ["a.b", "[::1]"]
max_stale_seconds = 0
negative_ttl_seconds = 1.5
max_bytes = 1048576
attempt_timeout_seconds = 1
total_timeout_seconds = 2
rejected_interval_seconds = 0
header_timeout_seconds = 5
idle_timeout_seconds = 60
access_log = true
metrics_secret_names = true
metrics_token_file = "/m"

[strongroom.ttl]
"App/*" = 60
"arn:aws:x" = 0

[[strongroom.clients]]
name = "web"
token_file = "/t"
secrets = ["App/*"]
roles = ["arn:aws:iam::*:role/x"]

[[strongroom.clients]]
name = "job"
uid = 1000
"""


@pytest.mark.parametrize("generation", [AGENT, SM], ids=["agent", "sm"])
@pytest.mark.parametrize("section", ["", "[capabilities]\n"], ids=["flat", "nested"])
def test_own_table(loaded, generation, section):
    """Our own table is read in both forms of both generations."""
    assert loaded(section + OWN, generation).own == Own(
        unix_socket="/run/x.sock",
        unix_socket_mode=0o660,
        unix_socket_owner="root:adm",
        allowed_hosts=("a.b", "[::1]"),
        max_stale_seconds=0,
        negative_ttl_seconds=1.5,
        ttl=(("App/*", 60), ("arn:aws:x", 0)),
        max_bytes=1048576,
        attempt_timeout_seconds=1.0,
        total_timeout_seconds=2.0,
        rejected_interval_seconds=0.0,
        header_timeout_seconds=5.0,
        idle_timeout_seconds=60.0,
        clients=(
            ClientRule("web", "/t", None, ("App/*",), ("arn:aws:iam::*:role/x",)),
            ClientRule("job", None, 1000, (), ()),
        ),
        access_log=True,
        metrics_secret_names=True,
        metrics_token_file="/m",
    )


@pytest.mark.parametrize(
    ("line", "message", "got"),
    [
        ("unix_socket = ''", "The path of the Unix socket can't be empty or hold a NUL.", "''"),
        ('unix_socket = "/a\\u0000"', "The path of the Unix socket can't be empty or hold a NUL.", "'/a\\u{0}'"),
        ("unix_socket_mode = 660", 'The mode of the Unix socket must be three or four octal digits in quotes, such as "0660".', "660"),
        ("unix_socket_mode = '0o660'", 'The mode of the Unix socket must be three or four octal digits in quotes, such as "0660".', "'0o660'"),
        ("unix_socket_mode = '1777'", 'The mode of the Unix socket must be three or four octal digits in quotes, such as "0660".', "'1777'"),
        ("unix_socket_mode = '888'", 'The mode of the Unix socket must be three or four octal digits in quotes, such as "0660".', "'888'"),
        ("unix_socket_owner = 'a b'", "The owner of the Unix socket must be user, user:group, or :group.", "'a b'"),
        ("unix_socket_owner = ':'", "The owner of the Unix socket must be user, user:group, or :group.", "':'"),
        ("max_stale_seconds = 86401", "The maximum staleness must be in the range 0 to 86400 seconds.", "86401"),
        ("negative_ttl_seconds = -0.5", "The negative TTL must be in the range 0 to 300 seconds.", "-0.5"),
        ("max_bytes = 10", "The size of the cache must be in the range 1048576 to 68719476736 bytes.", "10"),
        ("attempt_timeout_seconds = 0", "The time for an attempt must be in the range 0.1 to 60 seconds.", "0"),
        ("total_timeout_seconds = nan", "The time for all attempts must be in the range 0.1 to 300 seconds.", "nan"),
        ("rejected_interval_seconds = -1", "The interval between rejections must be in the range 0 to 3600 seconds.", "-1"),
        ("header_timeout_seconds = 0", "The time for a request's head must be in the range 0.1 to 300 seconds.", "0"),
        ("idle_timeout_seconds = 0", "The time for an idle connection must be in the range 1 to 86400 seconds.", "0"),
        ("metrics_token_file = ''", "The path of a token file can't be empty.", ""),
    ],
)  # fmt: skip
def test_own_values_refused(refused, line, message, got):
    """Each has its range and its words."""
    key = "strongroom." + line.partition(" ")[0]
    assert refused(f"[strongroom]\n{line}", SM) == numbered(f"{key}: {message}{got and f' (Got: {got})'} [line 2]")
    assert refused(f"[strongroom]\n{line}", AGENT) == f"{message} ({key}: {got and f'got {got}, '}line 2)"


@pytest.mark.parametrize(
    ("host", "is_right"),
    [
        ("localhost", True),
        ("my_host.docker.internal.", True),
        ("10.0.0.1", True),
        ("::1", True),
        ("[fe80::1]", True),
        ("http://x", False),
        ("x:80", False),
        ("", False),
        ("a b", False),
        ("*", False),
    ],
)
def test_allowed_hosts(loaded, refused, host, is_right):
    """Names and addresses, nothing around them."""
    text = f"[strongroom]\nallowed_hosts = ['{host}']"
    if is_right:
        assert loaded(text, AGENT).own.allowed_hosts == (host,)
    else:
        message = "An allowed host must be a name or an address, without scheme and port."
        assert refused(text, AGENT) == f"{message} (strongroom.allowed_hosts[0]: got '{host}', line 2)"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the limit is another")
def test_path_of_socket_is_too_long(loaded, refused):
    """The limit is the system's, in bytes."""
    most = "/" + "x" * 106
    assert loaded(f"strongroom.unix_socket = '{most}'", AGENT).own.unix_socket == most
    told = refused(f"strongroom.unix_socket = '/{'é' * 54}'", AGENT)
    assert told.startswith("The path of the Unix socket is 109 bytes long. The system takes at most 107. (strongroom.")


def test_own_ttl_refused(refused):
    """Patterns keep their letters; the seconds have a range."""
    assert refused("[strongroom.ttl]\n'A*' = 86401\nb = true\n'' = 1", AGENT).split("\n") == [
        'A TTL must be in the range 0 to 86400 seconds. (strongroom.ttl."A*": got 86401, line 2)',
        "A TTL must be in the range 0 to 86400 seconds. (strongroom.ttl.b: got true, line 3)",
        'A pattern can\'t be empty. (strongroom.ttl."": line 4)',
    ]


def test_clients_refused(refused):
    """A client has a name of its own, and something that it is known by."""
    text = (
        "[[strongroom.clients]]\nuid = 1\n"
        "[[strongroom.clients]]\nname = 'a'\n"
        "[[strongroom.clients]]\nname = 'b'\nuid = -1\n"
        "[[strongroom.clients]]\nname = \"c\\nd\"\nuid = 4294967295\nsecrets = ['']\nroles = 'x'\n"
    )
    assert refused(text, AGENT).split("\n") == [
        "missing field `name` (strongroom.clients[0]: line 1)",
        'invalid type: string "x", expected a sequence for key `strongroom.clients[3].roles` in c.toml '
        "(strongroom.clients[3].roles: got 'x', line 12)",
        "A user id must be in the range 0 to 4294967294. (strongroom.clients[2].uid: got -1, line 7)",
        "The name of a client can't be empty or hold control characters. (strongroom.clients[3].name: got 'c\\nd', line 9)",
        "A user id must be in the range 0 to 4294967294. (strongroom.clients[3].uid: got 4294967295, line 10)",
        "A pattern can't be empty. (strongroom.clients[3].secrets[0]: got '', line 11)",
    ]


def test_value_of_a_token_file_is_never_shown(refused):
    """Somebody may have written the token itself there."""
    text = "[strongroom]\nmetrics_token_file = ['hunter2']\n[[strongroom.clients]]\nname = 'a'\ntoken_file = {x = 'hunter2'}\ntoken = 'hunter2'"
    for generation in (AGENT, SM):
        told = refused(text, generation)
        assert "hunter2" not in told
        assert told.count("line ") == 3


# Anything at all.


@pytest.mark.parametrize("generation", [AGENT, SM], ids=["agent", "sm"])
@pytest.mark.parametrize("digits", [30, 5000, 100_000])
def test_numbers_of_many_digits(refused, generation, digits):
    """What Python itself does not print or read is refused like any other number."""
    assert PORT in refused(f"http_port = 0x{'f' * digits}", generation)
    assert TTL in refused(f"ttl_seconds = '{'9' * digits}'", generation)
    assert refused(f"ttl_seconds = {'9' * digits}", generation)


@pytest.mark.parametrize("generation", [AGENT, SM], ids=["agent", "sm"])
@pytest.mark.parametrize("name", ["c.toml", "c.json", "c.yaml"])
@given(text=st.text(st.characters(exclude_categories=["Cs"])) | st.text("[]{}=.,:'\"\n #-&*!|>?abhttp_por0123456789\\"))
def test_any_text(tmp_path_factory, generation, name, text):
    """Whatever a file holds, it is read or refused."""
    path = tmp_path_factory.getbasetemp() / name
    path.write_text(text, encoding="utf-8")
    told = ""
    try:
        told = config_file.describe(config_file.load(str(path), generation), generation)
    except ConfigMistakes as mistakes:
        told = mistakes.text
    assert told.encode()


KEYS = st.sampled_from(
    sorted({key for form in (True, False) for keys in known_keys(form).values() for key in keys} | {"secret_id", "uid"})
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["0", "0660", "/x", "arn:aws:iam::123456789012:role/x", 10**30])
)
DATA = st.dictionaries(
    KEYS,
    st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)),
    max_size=5,
)


@pytest.mark.parametrize("generation", [AGENT, SM], ids=["agent", "sm"])
@given(data=DATA)
def test_any_data(generation, data):
    """Whatever the options are set to, the file is taken or every mistake can be told."""
    for mistake in Reader(Document(data, {}), "c", generation).mistakes:
        assert "\n" not in mistake.plain() + mistake.numbered()
        (mistake.plain() + mistake.numbered()).encode()
