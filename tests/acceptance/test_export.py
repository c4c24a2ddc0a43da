"""What `export` prints, read by those who read it: shells, the AWS CLI, SDKs."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys

import boto3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes.cloud import Call
from harness.home import CODE, M, Result
from strongroom.cli import quoting
from strongroom.cli.export import FORMATS
from strongroom.errors import StrongroomError

GST, AR = "GetSessionToken", "AssumeRole"
JON, SECRET = "AKIAXXXXXXXXXXXXXJON", "secret+of/jon"
NAMES = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CREDENTIAL_EXPIRATION",
         "AWS_REGION", "AWS_DEFAULT_REGION"]  # fmt: skip
STRONGROOM = [sys.executable, "-m", "strongroom"]
AWS = os.path.join(os.path.dirname(sys.executable), "aws")


@pytest.fixture
def session(c1, cloud):
    """The six values of jon's session, which is kept from now on."""
    assert c1.call("export", "jon", "-t", CODE).status == 0
    (key,) = [key for key in cloud.keys.values() if key.kind == "session"]
    expiration = c1.call("export", "--format=json", "jon").json()["Expiration"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", expiration)
    values = (key.access_key_id, key.secret_access_key, key.session_token, expiration, "us-east-1", "us-east-1")
    return dict(zip(NAMES, values, strict=True))


# The formats


def test_env(c1, cloud, session):
    """Six lines in this order, unquoted, and nothing else; env is the default."""
    expected = Result(0, "".join(f"{name}={value}\n" for name, value in session.items()), "")
    assert c1.call("export", "jon") == c1.call("export", "--format=env", "jon") == expected
    assert list(session) == NAMES
    assert cloud.actions == [GST]


def test_env_of_a_long_term_key(c1):
    """No token, no expiry; and no region when none is known."""
    assert c1.call("export", "-n", "jon").stdout == (
        f"AWS_ACCESS_KEY_ID={JON}\nAWS_SECRET_ACCESS_KEY={SECRET}\nAWS_REGION=us-east-1\nAWS_DEFAULT_REGION=us-east-1\n"
    )
    c1.config.unlink()
    assert c1.call("export", "-n", "jon").stdout == f"AWS_ACCESS_KEY_ID={JON}\nAWS_SECRET_ACCESS_KEY={SECRET}\n"


def test_export_env(c1, session):
    """Each line begins with `export `; a value that a shell would change is quoted. (aws-vault quotes nothing.)"""
    lines = c1.call("export", "--format=export-env", "jon").stdout.splitlines()
    plain = [f"export {name}={value}" for name, value in session.items() if "TOKEN" not in name]
    assert [line.replace("'", "") for line in lines if "TOKEN" not in line] == plain
    assert [line.partition("=")[0] for line in lines] == [f"export {name}" for name in NAMES]
    result = c1.call("export", "-n", "--format=export-env", "--region", "a b", "jon")
    assert result.stdout.splitlines()[2:] == ["export AWS_REGION='a b'", "export AWS_DEFAULT_REGION='a b'"]


def test_json(c1, session):
    """Two blanks of indentation, this order of keys, one newline at the end; no region."""
    identifier, secret, token, expiration, *_ = session.values()
    assert c1.call("export", "--format=json", "jon") == Result(
        0,
        "{\n"
        '  "Version": 1,\n'
        f'  "AccessKeyId": "{identifier}",\n'
        f'  "SecretAccessKey": "{secret}",\n'
        f'  "SessionToken": "{token}",\n'
        f'  "Expiration": "{expiration}"\n'
        "}\n",
        "",
    )


def test_json_of_a_long_term_key(c1):
    """Without token and expiry; < > & as Go escapes them."""
    c1.put_key("odd", JON, "a<b>c&d/e+f\u2028")
    assert c1.call("export", "-n", "--format=json", "odd") == Result(
        0,
        "{\n"
        '  "Version": 1,\n'
        f'  "AccessKeyId": "{JON}",\n'
        '  "SecretAccessKey": "a\\u003cb\\u003ec\\u0026d/e+f\\u2028"\n'
        "}\n",
        "",
    )


def test_ini(c1, session):
    """A section of the profile's name, five keys in this order, no blanks around the equals sign."""
    keys = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token", "aws_credential_expiration", "region"]
    lines = [f"{key}={value}" for key, value in zip(keys, list(session.values())[:5], strict=True)]
    assert c1.call("export", "--format=ini", "jon") == Result(0, "\n".join(["[jon]", *lines]) + "\n", "")


def test_ini_of_a_long_term_key(c1):
    """What is not there is left out."""
    expected = f"[jon]\naws_access_key_id={JON}\naws_secret_access_key={SECRET}\nregion=us-east-1\n"
    assert c1.call("export", "-n", "--format=ini", "jon") == Result(0, expected, "")
    c1.config.unlink()
    assert c1.call("export", "-n", "--format=ini", "jon").stdout == expected.removesuffix("region=us-east-1\n")


def test_ini_is_read_as_it_is(c1):
    """A value with # or ; reaches an SDK as it is. (aws-vault puts it in backticks, which SDKs take for its own.)"""
    c1.put_key("odd", JON, "a#b;c%d")
    read = configparser.RawConfigParser()  # as botocore does
    read.read_string(c1.call("export", "-n", "--format=ini", "odd").stdout)
    assert dict(read["odd"])["aws_secret_access_key"] == "a#b;c%d"


def test_ini_cannot_hold_a_line_break(c1):
    """Refused, and nothing printed: the rest of the value would be a line of its own."""
    result = c1.call("export", "-n", "--format=ini", "--region", "a\nb", "jon")
    assert result == Result(
        1,
        "",
        "strongroom: error: export: a value or the profile's name holds a line break, which an INI file cannot keep\n",
    )


@pytest.mark.parametrize("word", ["x", "JSON", ""])
def test_an_unknown_format(c1, cloud, word):
    """Exit 2 and the formats that there are. (aws-vault: exit 1.)"""
    result = c1.call("export", f"--format={word}", "jon")
    assert (result.status, result.stdout) == (2, "")
    assert f"--format: must be one of {', '.join(FORMATS)}, got {word!r}, try --help\n" in result.stderr
    assert cloud.calls == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_profile_by_the_environment(c1, form):
    """AWS_PROFILE names the profile when no word does. (aws-vault's export does not look at it.)"""
    expected = c1.call("export", "-n", f"--format={form}", "jon")
    assert expected.status == 0
    assert c1.call("export", "-n", f"--format={form}", env={"AWS_PROFILE": "jon"}) == expected


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize("form", ["env", "json"])
def test_an_answer_that_cannot_be_written(c1, form):
    """A full disk is a failure, not half an answer that nobody notices."""
    with open("/dev/full", "wb") as full, c1.popen("export", "-n", f"--format={form}", "jon", stdin=subprocess.DEVNULL,
                                                   stdout=full, stderr=subprocess.PIPE) as process:  # fmt: skip
        _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert said == b"strongroom: error: export: cannot write to standard output: No space left on device\n"


def test_warnings_are_not_in_the_answer(c1):
    """What is said goes to stderr; the answer is still whole and alone."""
    c1.config.write_text(c1.config.read_text().replace("[profile jon]\n", "[profile jon]\ninclude_profile = nosuch\n"))
    result = c1.call("export", "-n", "--format=json", "jon")
    assert result.json()["AccessKeyId"] == JON
    assert result.stdout.startswith("{\n")
    assert "nosuch" in result.stderr


# Shells

# A child that prints its environment, as JSON in ASCII whatever the locale is.
CHILD = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('V_')}))"
PROGRAM = [sys.executable, "-I", "-S", "-c", CHILD]


def posix(path):
    return 'eval "$(cat "$1")"; shift; exec "$@"', [path, *PROGRAM]


# Shell -> (format, how to run a script in it without anybody's settings, the script that reads a file of variables and
# then runs the child, with its words).
SHELLS = {
    "sh": ("export-env", ["sh", "-c", "{}", "sh"], posix),
    "bash": ("export-env", ["bash", "--norc", "--noprofile", "-c", "{}", "bash"], posix),
    "zsh": ("export-env", ["zsh", "-f", "-c", "{}", "zsh"], posix),
    "ksh": ("export-env", ["ksh", "-c", "{}", "ksh"], posix),
    "mksh": ("export-env", ["mksh", "-c", "{}", "mksh"], posix),
    "fish": (
        "fish",
        ["fish", "--no-config", "-c", "{}"],
        lambda path: ("cat $argv[1] | source; $argv[2..]", [path, *PROGRAM]),
    ),
    "nu": (
        "nu",
        ["nu", "--no-config-file", "-c", "{}"],
        lambda path: (f"source {path}; ^{' '.join(map(quoting.nu, PROGRAM))}", []),
    ),
    "pwsh": (
        "powershell",
        ["pwsh", "-NoProfile", "-NonInteractive", "-Command", "{}"],
        lambda path: (
            f"Get-Content -Raw -Encoding utf8 {quoting.powershell(path)} | Out-String | Invoke-Expression; "
            f"& {' '.join(map(quoting.powershell, PROGRAM))}",
            [],
        ),
    ),
    "cmd": ("cmd", ["cmd", "/d", "/c", "{}"], lambda path: (f"call {path} & {subprocess.list2cmdline(PROGRAM)}", [])),
}

HARD = [
    "plain", "a b", " a ", "", "-n", "--", "'", "''", '"', "\\", "\\\\", "a\\", "\\'", "\\n", "$HOME", "${HOME}", "$(id)",
    "`id`", "!", "!!", "a!b", "*", "?", "[a]", "{a,b}", "~", "~root", "#", "a #b", ";", "a;b", "&", "|", "<", ">", "(", ")",
    "=", "a=b", "%", "%PATH%", "^", "@", "@a", "a\nb", "\n", "a\n", "\na", "\r", "\t", "ü", "日本語", "🔑", "\u2019", "\u2018x",
    "\u201c", "\x01", "\x1b[0m", "\x7f", "\x85", "\ufeff", "\u202e", "e\u0301", "$'a'", "a'b\"c\\d$e`f!g", "IQoJb3JpZ2luX2VjEB//==",
]  # fmt: skip

characters = st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")
values = st.lists(
    st.text("'\"\\$!`*?[]{}~#;&|<>()= \t\n\r-%^@,:n\u2018\u2019ü🔑aA0\x01\x1b\x7f") | st.text(characters),
    min_size=1, max_size=80,
)  # fmt: skip


def through(shell, texts, directory, home):
    """The values that a program gets from *shell* when it reads *texts* in its format."""
    form, command, script = SHELLS[shell]
    variables = {f"V_{number}": text for number, text in enumerate(texts)}
    path = os.path.join(directory, {"cmd": "set.cmd", "pwsh": "set.ps1"}.get(shell, "set"))
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(
            ("@echo off\r\nchcp 65001 >nul\r\n" if shell == "cmd" else "") + quoting.written(form, variables, "p")
        )
    source, words = script(path)
    run = subprocess.run(
        [source if word == "{}" else word for word in command] + words,
        env={**home.environ, "LANG": "C.UTF-8"}, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, b"")
    got = json.loads(run.stdout)
    return [got.get(f"V_{number}", "") for number in range(len(texts))]


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A home and a directory for all examples of a property."""
    from harness.home import Home

    path = tmp_path_factory.mktemp("shells")
    return Home(path), str(path)


@pytest.fixture(scope="module", params=SHELLS)
def shell(request):
    """Each shell that is here."""
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} on this machine")
    return request.param


@given(texts=values)
@example(texts=HARD)
@settings(max_examples=settings().max_examples // 8)  # each starts a shell, and tries up to 80 values
def test_shells(scratch, shell, texts):
    """Whatever the values are, a program started by the shell gets exactly those."""
    home, directory = scratch
    if shell == "cmd":  # which cannot be given the others: `quoting.cmd` refuses them
        texts = [text for text in texts if not re.search(r'["%!^\r\n]', text)]
    assert through(shell, texts, directory, home) == texts


@pytest.mark.parametrize("text", ['a"b', "a%b", "a!b", "a^b", "a\nb", "a\rb"])
def test_what_cmd_cannot_take(c1, text):
    """cmd.exe has no way to quote these: refused, with another way, before anything is printed."""
    result = c1.call("export", "-n", "--format=cmd", f"--region={text}", "jon")
    assert result == Result(
        1,
        "",
        "strongroom: error: export: a value holds a character that cmd.exe cannot take safely\n"
        "strongroom: hint: use --format=json, or another shell\n",
    )
    with pytest.raises(StrongroomError):
        quoting.cmd(text)


def test_forms_of_shells_that_are_not_here(c1):
    """The lines of each shell's own form."""
    region = "a'b\"c\\d"
    lines = {
        form: c1.call("export", "-n", f"--format={form}", f"--region={region if form != 'cmd' else 'a b'}", "jon")
        .stdout.splitlines()[2]
        for form in FORMATS
        if form not in {"json", "ini"}
    }  # fmt: skip
    assert lines == {
        "env": "AWS_REGION=a'b\"c\\d",
        "export-env": "export AWS_REGION='a'\"'\"'b\"c\\d'",
        "fish": "set -gx AWS_REGION 'a\\'b\"c\\\\d'",
        "powershell": "$Env:AWS_REGION = 'a''b\"c\\d'",
        "cmd": 'set "AWS_REGION=a b"',
        "nu": '$env.AWS_REGION = "a\'b\\"c\\\\d"',
    }
    assert quoting.powershell("\u2018\u2019\u201a\u201b") == "'\u2018\u2018\u2019\u2019\u201a\u201a\u201b\u201b'"
    assert quoting.nu("\x1b\n\x7fü") == '"\\u{1b}\\u{a}\\u{7f}ü"'


@pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX shells")
@pytest.mark.parametrize("name", ["sh", "bash", "zsh", "ksh", "mksh"])
def test_eval(c1, session, name):
    """The line of the documentation, in each shell: afterwards its commands have the credentials."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} on this machine")
    line = 'eval "$("$@" export --format=export-env jon)"; env'
    got = lines_of([name, "-c", line, name, *STRONGROOM], c1)
    assert {name: got.get(name) for name in NAMES} == session


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish on this machine")
def test_fish(c1, session):
    """The line of the documentation, in fish."""
    got = lines_of(["fish", "--no-config", "-c", "$argv export --format=fish jon | source; env", *STRONGROOM], c1)
    assert {name: got.get(name) for name in NAMES} == session


def lines_of(command, home):
    run = subprocess.run(
        command, env=home.environ, cwd=home.work, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    return dict(line.split("=", 1) for line in run.stdout.splitlines() if "=" in line)


# Programs that run us as their credential_process


@pytest.fixture
def process(c1, cloud):
    """The config's profile `via` asks strongroom for admin, `plain` for jon's own key."""
    words = " ".join(f'"{word}"' for word in STRONGROOM)
    c1.config.write_text(
        c1.config.read_text()
        + f"\n[profile via]\nregion = us-east-1\ncredential_process = {words} export --format=json admin\n"
        + f"\n[profile plain]\nregion = us-east-1\ncredential_process = {words} export -n --format=json jon\n"
    )
    assert c1.call("export", "admin", "-t", CODE).status == 0
    cloud.calls.clear()
    return c1


def aws(home, *words, env=None):
    """Run the AWS CLI."""
    run = subprocess.run(
        [AWS, *words], env=home.environ | (env or {}), cwd=home.work, capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")
    return json.loads(run.stdout)


def test_the_aws_cli(process, cloud):
    """The AWS CLI gets a role's credentials, and a long-term key, from us."""
    endpoint = {"AWS_ENDPOINT_URL": cloud.url}
    role = aws(process, "sts", "get-caller-identity", "--output", "json", "--profile", "via", env=endpoint)
    assert role["Arn"].startswith("arn:aws:sts::111111111111:assumed-role/ADM/")
    user = aws(process, "sts", "get-caller-identity", "--output", "json", "--profile", "plain", env=endpoint)
    assert user["Arn"] == "arn:aws:iam::111111111111:user/jon"
    assert cloud.calls == [
        Call("GetCallerIdentity", None, None, "role"),
        Call("GetCallerIdentity", None, None, "key"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_the_aws_cli_and_a_link_named_aws_vault(process, cloud):
    """A credential_process written for aws-vault goes on working once a link of that name leads to us."""
    folder = process.work / "bin"
    folder.mkdir()
    (folder / "aws-vault").symlink_to(os.path.join(os.path.dirname(sys.executable), "strongroom"))
    process.config.write_text(
        process.config.read_text()
        + "\n[profile old]\nregion = us-east-1\ncredential_process = aws-vault export --format=json admin\n"
        + "\n[profile older]\nregion = us-east-1\ncredential_process = aws-vault exec --json --no-session jon\n"
    )
    env = {"AWS_ENDPOINT_URL": cloud.url, "PATH": f"{folder}{os.pathsep}{process.environ['PATH']}"}
    for profile, kind in (("old", "assumed-role/ADM/"), ("older", "user/jon")):
        assert (
            kind in aws(process, "sts", "get-caller-identity", "--output", "json", "--profile", profile, env=env)["Arn"]
        )


def test_boto3(process, cloud, monkeypatch):
    """boto3 gets credentials that it knows to renew, or a key that it need not."""
    for name, value in process.environ.items():
        monkeypatch.setenv(name, value)
    expected = process.call("export", "--format=json", "admin").json()
    got = boto3.Session(profile_name="via").get_credentials()
    frozen = got.get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key, frozen.token) == (
        expected["AccessKeyId"], expected["SecretAccessKey"], expected["SessionToken"],
    )  # fmt: skip
    assert got.method == "custom-process"
    assert got._expiry_time.strftime("%Y-%m-%dT%H:%M:%SZ") == expected["Expiration"]
    assert not got.refresh_needed(refresh_in=60)

    client = boto3.Session(profile_name="plain").client("sts", endpoint_url=cloud.url)
    assert client.get_caller_identity()["Arn"] == "arn:aws:iam::111111111111:user/jon"
    client.close()
    assert cloud.calls == [Call("GetCallerIdentity", None, None, "key")]


def test_credentials_file(c1, cloud, session):
    """The INI form is a section of ~/.aws/credentials for the AWS CLI."""
    (c1.config.parent / "credentials").write_text(c1.call("export", "--format=ini", "jon").stdout)
    c1.config.write_text("[profile jon]\nregion = us-east-1\n")
    words = ("sts", "get-caller-identity", "--output", "json", "--profile", "jon")
    assert aws(c1, *words, env={"AWS_ENDPOINT_URL": cloud.url})["Arn"] == "arn:aws:iam::111111111111:user/jon"
    assert cloud.calls == [Call(GST, 3600, M), Call("GetCallerIdentity", None, None, "session")]
