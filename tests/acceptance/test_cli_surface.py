"""The command line: words, flags, variables, exit statuses, and what goes to which stream."""

import os
import re
import sys

import pytest

from fakes.cloud import Call
from harness.home import ADM, CODE, R1, RO, M
from strongroom import __version__
from strongroom.cli.main import COMMANDS

GST, AR = "GetSessionToken", "AssumeRole"
needs_sh = pytest.mark.skipif(sys.platform == "win32", reason="the commands that are run are POSIX's")


def usage_error(result, message, hint=""):
    """Whether a run ended as wrong words do: exit 2, one line that ends in advice, perhaps a hint."""
    assert (result.status, result.stdout) == (2, "")
    lines = result.stderr.splitlines()
    assert lines[0] == f"strongroom: error: {message}, try --help"
    assert lines[1:] == ([f"strongroom: hint: {hint}"] if hint else [])


# Help and version.


def test_no_command(c1):
    """The usage on stderr, exit 2. (aws-vault: exit 0.)"""
    result = c1.call()
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: strongroom [flags] COMMAND ...\n")
    assert c1.call("--debug").status == 2


def test_unknown_command(c1):
    """Exit 2, the word, and the nearest one."""
    usage_error(c1.call("foo"), 'expected command but got "foo"')
    usage_error(c1.call("exprot", "jon"), 'expected command but got "exprot"', "did you mean 'export'?")
    usage_error(c1.call("help", "nope"), 'help: expected command but got "nope"')


@pytest.mark.parametrize(
    "words", [("--version",), ("-v",), ("version",), ("list", "--version"), ("--debug", "version")]
)
def test_version(c1, words):
    """The version on stdout, wherever it is asked for. (aws-vault: the flag's on stderr.)"""
    result = c1.call(*words)
    assert (result.status, result.stdout, result.stderr) == (0, f"{__version__}\n", "")


def test_help(c1):
    """Help on stdout, exit 0. (aws-vault: stderr.)"""
    overview = c1.call("--help")
    assert (overview.status, overview.stderr) == (0, "")
    assert c1.call("help").stdout == c1.call("-h").stdout == overview.stdout
    for name, line in COMMANDS.items():
        assert re.search(rf"^  {name}\b.*{re.escape(line)}", overview.stdout, re.MULTILINE)
    assert max(map(len, overview.stdout.splitlines())) <= 80
    long = c1.call("--help-long")
    assert (long.status, long.stderr) == (0, "")
    assert long.stdout.startswith(overview.stdout)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_of_a_command(c1, name):
    """`help X` and `X --help` are the same, on stdout, and part of --help-long."""
    result = c1.call("help", name)
    assert (result.status, result.stderr) == (0, "")
    assert c1.call(name, "--help") == result
    assert result.stdout in c1.call("--help-long").stdout
    assert result.stdout.startswith(f"usage: strongroom {name}")


def test_help_needs_nothing(home):
    """Help and version work without a home, a config, a keystore that makes sense, or a terminal's width."""
    env = {"HOME": None, "AWS_VAULT_BACKEND": "nope", "COLUMNS": "7", "XDG_CONFIG_HOME": None}
    assert home.call("--help", env=env).stdout == home.call("--help").stdout
    assert home.call("version", env=env).status == 0


def test_help_does_not_run_the_command(c1, cloud):
    """`exec jon --help` is help; after the command's first word it is the command's."""
    assert c1.call("exec", "jon", "--help").stdout == c1.call("help", "exec").stdout
    assert c1.call("exec", "-t", CODE, "jon", "ls", "--help").child == ["ls", "--help"]
    assert c1.call("exec", "-t", CODE, "jon", "ls", "--version").child == ["ls", "--version"]


# Durations and other values.


def test_a_duration_without_unit(c1, cloud):
    """Exit 2 and what to type."""
    result = c1.call("exec", "-d", "3600", "jon", "--", "true")
    usage_error(result, "exec: -d: missing unit in duration '3600', for example 3600s or 1h30m")
    assert cloud.calls == []


def test_days(c1, cloud):
    """`-d 1d` is 86,400 seconds."""
    assert c1.call("exec", "-d", "1d", "-t", CODE, "jon", "--", "true").child == ["true"]
    assert cloud.calls == [Call(GST, 86400, M)]


@pytest.mark.parametrize("words", [("-d", "30m"), ("-d30m",), ("--duration=30m",), ("--duration", "30m")])
def test_a_flag_beats_its_variable(c1, cloud, words):
    """AWS_VAULT_DURATION is the default of --duration."""
    env = {"AWS_VAULT_DURATION": "90m"}
    assert c1.call("export", *words, "jon", "-t", CODE, env=env).status == 0
    assert c1.call("export", "jon", "-t", CODE, env=env).status == 0
    assert cloud.calls == [Call(GST, 1800, M), Call(GST, 5400, M)]


def test_a_variable_that_makes_no_sense(c1, cloud):
    """A variable that stands in for a flag is checked like it, and named."""
    result = c1.call("exec", "jon", "--", "true", env={"AWS_VAULT_DURATION": "zz"})
    usage_error(result, "exec: AWS_VAULT_DURATION: invalid duration 'zz', for example 1h30m")
    result = c1.call("export", "jon", env={"AWS_VAULT_STDOUT": "yes"})
    usage_error(result, "export: AWS_VAULT_STDOUT: expected a boolean (1, t, true, 0, f, false), got 'yes'")
    assert c1.call("export", "jon", "-t", CODE, env={"AWS_VAULT_STDOUT": "1"}).status == 0
    assert c1.call("export", "jon", env={"AWS_VAULT_STDOUT": "", "AWS_VAULT_DURATION": ""}).status == 0
    assert cloud.actions == [GST]


def test_a_keystore_that_does_not_exist(c1):
    """The kinds that there are, and the nearest one."""
    for result in (
        c1.call("list", env={"AWS_VAULT_BACKEND": "fil"}),
        c1.call("list", "--backend=fil", env={"AWS_VAULT_BACKEND": None}),
    ):
        assert (result.status, result.stdout) == (2, "")
        assert "must be one of wincred, " in result.stderr
        assert "got 'fil'" in result.stderr
        assert "did you mean 'file'?" in result.stderr


@pytest.mark.parametrize("driver", ["pass", "zzz"])
def test_a_prompt_that_does_not_exist(c1, driver):
    """The drivers that there are; `pass` was one once, and mfa_process took its place."""
    result = c1.call(f"--prompt={driver}", "list")
    assert (result.status, result.stdout) == (2, "")
    expected = "must be one of auto, terminal, kdialog, osascript, pinentry, wincredui, ykman, zenity, got 'zzz'"
    if driver == "pass":
        expected = "the pass driver is gone from aws-vault too; set mfa_process = pass otp NAME in the profile instead"
    usage_error(result, f"list: --prompt: {expected}")


def test_a_variable_for_a_prompt_that_is_not_needed(c1, cloud):
    """AWS_VAULT_PROMPT may name a driver of aws-vault's that is not there: an error only when somebody must be asked."""
    env = {"AWS_VAULT_PROMPT": "zenity", "PATH": str(c1.work)}
    assert c1.call("export", "jon", "-t", CODE, env=env).status == 0
    assert c1.call("export", "jon", env=env).status == 0
    assert c1.call("list", env=env).status == 0
    result = c1.call("export", "jon", "-d", "2h", env=env)
    assert (result.status, result.stdout) == (1, "")
    assert "the prompt driver 'zenity' cannot be used: there is no program 'zenity' on PATH" in result.stderr
    assert cloud.actions == [GST]


def test_formats(c1):
    """An unknown format."""
    result = c1.call("export", "--format=xml", "jon")
    assert (result.status, result.stdout) == (2, "")
    assert "--format: must be one of env, export-env, json, ini, fish, powershell, cmd, nu, got 'xml'" in result.stderr


@pytest.mark.parametrize("code", ["12345", "abcdef", "1234567", "12 456", "١٢٣٤٥٦"])
def test_a_code_has_six_digits(c1, cloud, code):
    """A code that cannot be one is refused before anybody is asked, and not repeated."""
    result = c1.call("export", "jon", "-t", code)
    usage_error(result, f"export: -t: expected a code of six digits, got {len(code)} characters")
    assert code not in result.stderr.replace("six digits", "")
    assert cloud.calls == []


# The grammar.


@pytest.mark.parametrize("words", [("-n", "-n"), ("--no-session", "-n"), ("--no-session", "--no-no-session")])
def test_flags_are_given_once(c1, words):
    """A flag and its negative are the same flag."""
    result = c1.call("exec", *words, "jon", "--", "true")
    assert result.status == 2
    assert re.fullmatch(r"strongroom: error: exec: flag '\S+' cannot be repeated, try --help\n", result.stderr)


def test_negative_flags(c1, cloud):
    """Each switch has a negative; that of --no-session is --no-no-session."""
    assert c1.call("exec", "--no-no-session", "--no-debug", "-t", CODE, "jon", "--", "true").child == ["true"]
    assert cloud.actions == [GST]
    for words in (["--no-json"], ["--no-stdout"]):
        result = c1.call("exec", *words, "jon", "true")
        assert result.child == ["true"], result.stderr


def test_grouped_short_flags(c1, cloud):
    """`-nj` is `-n -j`, and a value may follow in the same word."""
    result = c1.call("exec", "-nj", "jon")
    assert result.json()["AccessKeyId"] == "AKIAXXXXXXXXXXXXXJON"
    assert c1.call("exec", f"-njt{CODE}", "jon") == result
    assert cloud.calls == []


def test_flags_anywhere(c1, cloud):
    """Global flags stand before or after the command, flags before or after the profile."""
    for words in (
        ("--file-dir", str(c1.keys), "export", "jon", "-n"),
        ("export", "jon", "-n", "--file-dir", str(c1.keys)),
        ("export", "-n", f"--file-dir={c1.keys}", "jon"),
    ):
        result = c1.call(*words, env={"AWS_VAULT_FILE_DIR": None})
        assert (result.status, result.stderr) == (0, "")
        assert "AKIAXXXXXXXXXXXXXJON" in result.stdout


def test_unknown_flags(c1):
    """The flag, and the nearest one; flags are never abbreviated."""
    usage_error(
        c1.call("export", "--durration=1h", "jon"),
        "export: unknown long flag '--durration'",
        "did you mean '--duration'?",
    )
    usage_error(c1.call("export", "--dur=1h", "jon"), "export: unknown long flag '--dur'", "did you mean '--duration'?")
    usage_error(c1.call("export", "-x", "jon"), "export: unknown short flag '-x'")
    usage_error(c1.call("list", "-d", "1h"), "list: unknown short flag '-d'")
    usage_error(c1.call("--zzzzzz", "list"), "unknown long flag '--zzzzzz'")


def test_values_that_are_missing(c1):
    """A flag without its value, a switch with one."""
    result = c1.call("export", "jon", "-d")
    assert result.status == 2
    assert "expected argument for flag '-d'" in result.stderr
    result = c1.call("export", "jon", "--duration", "-n")
    assert result.status == 2
    assert "expected argument for flag '--duration'" in result.stderr
    usage_error(c1.call("export", "--no-session=1", "jon"), "export: flag '--no-session' takes no value, got '1'")


@pytest.mark.parametrize("name", ["add", "remove", "rm"])
def test_profiles_that_are_missing(c1, name):
    """A command that needs a profile says so."""
    told = {"rm": "remove"}.get(name, name)
    usage_error(c1.call(name), f"{told}: required argument 'profile' not provided",
                f"type `strongroom help {told}` to see what it takes")  # fmt: skip


@pytest.mark.parametrize("name", ["exec", "export", "explain"])
def test_no_profile_and_nobody_to_choose(c1, cloud, name):
    """Without a word, the profile is AWS_PROFILE's; with neither it is a usage error."""
    result = c1.call(name)
    assert (result.status, result.stdout) == (2, "")
    assert "profile" in result.stderr
    result = c1.call(name, "-n", env={"AWS_PROFILE": "jon"})
    assert result.status == 0, result.stderr
    assert cloud.calls == []


@pytest.mark.parametrize(
    "words", [("export", "jon", "ro"), ("list", "jon"), ("version", "x"), ("clear", "a", "b"), ("add", "a", "b")]
)
def test_words_too_many(c1, words):
    """A word that nobody takes is an error, not ignored."""
    result = c1.call(*words)
    assert (result.status, result.stdout) == (2, "")
    assert f"strongroom: error: {words[0]}: unexpected {words[-1]!r}, try --help\n" in result.stderr


# The words of the command that `exec` runs.


@pytest.mark.parametrize(
    ("words", "child"),
    [
        (("jon", "printf", "[%s]", "--", "-x", "@f", "--", "-"), ["printf", "[%s]", "--", "-x", "@f", "--", "-"]),
        (("jon", "--", "printf", "--", "@f", "-n", "--region", "x"), ["printf", "--", "@f", "-n", "--region", "x"]),
        (("jon", "ls", "-l"), ["ls", "-l"]),
        (("jon", "aws", "s3", "ls", "--region", "x", "--debug", "-t", "1"),
         ["aws", "s3", "ls", "--region", "x", "--debug", "-t", "1"]),
        (("jon", "@file"), ["@file"]),
        (("jon", "-"), ["-"]),
        (("jon", "--", "--"), ["--"]),
        (("jon", "", "x"), ["", "x"]),
    ],
)  # fmt: skip
def test_the_commands_words_are_its_own(c1, words, child):
    """From the first word of the command on, with or without `--`, nothing is ours.

    Different from aws-vault, which reads `-l` and `--region` there as its own flags.
    """
    result = c1.call("exec", "-n", *words)
    assert (result.status, result.stderr, result.child) == (0, "", child)


def test_flags_before_the_command(c1):
    """Our own flags stand before the command, after the profile too."""
    result = c1.call("exec", "jon", "-n", "--region", "eu-west-1", "ls", "-n")
    assert result.child == ["ls", "-n"]
    assert result.environ["AWS_REGION"] == "eu-west-1"


def test_words_after_the_dashes_are_no_profile(c1):
    """`exec -- ls` runs ls for AWS_PROFILE. (aws-vault takes ls as the profile.)"""
    result = c1.call("exec", "-n", "--", "ls", env={"AWS_PROFILE": "jon"})
    assert result.child == ["ls"]
    assert result.environ["AWS_VAULT"] == "jon"
    assert c1.call("exec", "-n", "--", "ls").status == 2


@needs_sh
def test_no_command_is_a_shell(c1):
    """`exec jon` starts $SHELL, or /bin/sh, without a word to a stdout that is no terminal."""
    assert c1.call("exec", "-n", "jon", env={"SHELL": "/bin/bash"}).child == ["/bin/bash"]
    result = c1.call("exec", "-n", "jon", env={"SHELL": None})
    assert (result.child, result.stderr) == (["/bin/sh"], "")


@needs_sh
def test_real_words(c1):
    """The same with real processes: printf gets its words, in their order and whole."""
    result = c1.run("exec", "-n", "jon", "printf", "[%s]", "--", "a b", "-x", "@f", "", "ü")
    assert (result.status, result.stdout, result.stderr) == (0, "[--][a b][-x][@f][][ü]", "")


# Exit statuses.


@needs_sh
@pytest.mark.parametrize("status", [0, 1, 2, 7, 130, 255])
def test_the_commands_status_is_ours(c1, status):
    """The status of the command is passed through."""
    assert c1.run("exec", "-n", "jon", "--", "sh", "-c", f"exit {status}").status == status


@needs_sh
def test_commands_that_cannot_be_run(c1):
    """127 not found, 126 not executable, with a line each."""
    plain = c1.work / "plain"
    plain.write_text("x")
    for word, status in (("nosuchcmd", 127), (str(c1.work / "nosuch"), 127), (str(plain), 126), (str(c1.work), 126)):
        result = c1.run("exec", "-n", "jon", "--", word)
        assert (result.status, result.stdout) == (status, "")
        assert repr(word) in result.stderr
        assert "Traceback" not in result.stderr


def test_failures_are_one(c1):
    """What fails after the words were understood is 1: an unknown profile, no key, a config that cannot be read."""
    assert c1.call("exec", "nosuch", "--", "true").status == 1
    assert c1.call("remove", "-f", "nosuch").status == 1
    c1.config.unlink()
    c1.config.mkdir()
    result = c1.call("export", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert str(c1.config) in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals that a test can drive")
def test_an_interrupt_is_130(c1, cloud, tty):
    """Ctrl-C at the question for a code: 130, nothing on stdout, no call, and the terminal echoes again."""
    terminal = tty("export", "--format=json", "jon")
    terminal.expect(f"Enter MFA code for {M}: ")
    terminal.interrupt()
    result = terminal.wait()
    assert (result.status, result.stdout) == (130, "")
    assert terminal.echo
    assert "Traceback" not in result.stderr
    assert cloud.calls == []


# The name that we are called by.


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a privilege there")
def test_a_link_named_aws_vault(c1, cloud):
    """A symbolic link named aws-vault is strongroom; its messages and help use that name."""
    import subprocess

    program = os.path.join(os.path.dirname(sys.executable), "strongroom")
    link = c1.work / "aws-vault"
    link.symlink_to(program)
    environ = c1.environ
    run = subprocess.run([link, "export", "-n", "jon"], env=environ, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert "AKIAXXXXXXXXXXXXXJON" in run.stdout
    run = subprocess.run([link, "foo"], env=environ, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (2, 'aws-vault: error: expected command but got "foo", try --help\n')
    run = subprocess.run([link], env=environ, capture_output=True, text=True, check=False)
    assert run.stderr.startswith("usage: aws-vault ")
    run = subprocess.run([link, "--help"], env=environ, capture_output=True, text=True, check=False)
    assert run.stdout.startswith("usage: aws-vault ")


def test_the_module_is_the_program(c1):
    """`python -m strongroom` and the console script are one; messages say strongroom."""
    result = c1.run("foo")
    assert (result.status, result.stderr) == (2, 'strongroom: error: expected command but got "foo", try --help\n')


# Aliases.


def test_aliases(c1):
    """ls is list, rm is remove."""
    assert c1.call("ls") == c1.call("list")
    assert c1.call("help", "rm").stdout == c1.call("help", "remove").stdout
    assert c1.call("rm", "--help") == c1.call("remove", "--help")


def test_c1_itself(c1, cloud):
    """The config that these tests stand on does what it should: every profile is usable."""
    for profile in ("jon", "ro", "admin", "r1", "r2"):
        assert c1.call("export", profile, "-t", CODE).status == 0
    assert [call.role for call in cloud.calls if call.action == AR][:3] == [RO, ADM, R1]
