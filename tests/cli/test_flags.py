import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli.flags import Arguments, Flag, Matcher, boolean, duration
from strongroom.errors import UsageError

FLAGS = (
    Flag("debug", "say more"),
    Flag("help", short="h"),
    Flag("duration", value="DURATION", short="d", env="X_DURATION", read=duration),
    Flag("no-session", short="n"),
    Flag("region", value="REGION", env="X_REGION"),
    Flag("json", short="j", env="X_JSON"),
    Flag("format", value="FORMAT", choices=("env", "json")),
    Flag("hidden", value="VALUE", hidden=True),
)


def match(words, *, most_words=None, environ=None):
    """(values, words, command) of a command line, which is split at blanks."""
    words = words.split() if isinstance(words, str) else words
    found = Matcher(FLAGS, most_words).match(words, environ or {})
    return found.values, found.words, found.command


def refused(words, **more):
    with pytest.raises(UsageError) as caught:
        match(words, **more)
    return caught.value


# The grammar


@pytest.mark.parametrize(
    ("line", "values", "words"),
    [
        ("", {}, []),
        ("jon", {}, ["jon"]),
        ("--debug jon", {"debug": True}, ["jon"]),
        ("jon --debug", {"debug": True}, ["jon"]),
        ("a --region r b", {"region": "r"}, ["a", "b"]),
        ("--region=r", {"region": "r"}, []),
        ("--region=", {"region": ""}, []),
        ("--region=a=b", {"region": "a=b"}, []),
        ("--region=-x", {"region": "-x"}, []),
        ("--region -", {"region": "-"}, []),
        ("-d 2h", {"duration": "2h"}, []),
        ("-d2h", {"duration": "2h"}, []),
        ("-nj", {"no-session": True, "json": True}, []),
        ("-njd2h", {"no-session": True, "json": True, "duration": "2h"}, []),
        ("-njd 2h x", {"no-session": True, "json": True, "duration": "2h"}, ["x"]),
        ("--no-debug", {"debug": False}, []),
        ("--no-session", {"no-session": True}, []),
        ("--no-no-session", {"no-session": False}, []),
        ("--no-json", {"json": False}, []),
        ("--format json", {"format": "json"}, []),
        ("--hidden x", {"hidden": "x"}, []),
        ("- x", {}, ["-", "x"]),
        ("@file", {}, ["@file"]),
        ("-- --debug -n @x -- y", {}, ["--debug", "-n", "@x", "--", "y"]),
        ("a -- b", {}, ["a", "b"]),
        ("--", {}, []),
    ],
)
def test_a_command_line(line, values, words):
    """Flags anywhere, values with a blank or an equals sign, letters alone and grouped, negatives, and ``--``."""
    assert match(line) == (values, words, None)


def test_an_empty_word_is_a_word():
    """And an empty value a value."""
    assert match(["", "--region", "", "x"]) == ({"region": ""}, ["", "x"], None)


@pytest.mark.parametrize(
    ("line", "values", "words", "command"),
    [
        ("", {}, [], []),
        ("jon", {}, ["jon"], []),
        ("jon ls -l", {}, ["jon"], ["ls", "-l"]),
        ("-n jon --region r ls --region x -n", {"no-session": True, "region": "r"}, ["jon"], ["ls", "--region", "x", "-n"]),
        ("jon -- ls -- x", {}, ["jon"], ["ls", "--", "x"]),
        ("jon ls -- x", {}, ["jon"], ["ls", "--", "x"]),
        ("-- ls", {}, [], ["ls"]),
        ("-n -- -x", {"no-session": True}, [], ["-x"]),
        ("jon --", {}, ["jon"], []),
        ("jon - x", {}, ["jon"], ["-", "x"]),
        ("jon -nd1h cmd --version", {"no-session": True, "duration": "1h"}, ["jon"], ["cmd", "--version"]),
    ],
)  # fmt: skip
def test_the_words_of_a_command(line, values, words, command):
    """They begin with the first word that is no longer ours, or after ``--``; from there on nothing is read."""
    assert match(line, most_words=1) == (values, words, command)


def test_no_words_of_ours():
    """The first word is the command already: how the command of strongroom itself is found."""
    assert match("--debug list --json", most_words=0) == ({"debug": True}, [], ["list", "--json"])


# What is wrong


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--foo", "unknown long flag '--foo'"),
        ("--foo=secret", "unknown long flag '--foo'"),
        ("--reg x", "unknown long flag '--reg'"),
        ("--no-region", "unknown long flag '--no-region'"),
        ("--no-no-json", "unknown long flag '--no-no-json'"),
        ("---debug", "unknown long flag '---debug'"),
        ("-l", "unknown short flag '-l'"),
        ("-nl", "unknown short flag '-l'"),
        ("-n-", "unknown short flag '--'"),
        ("--debug=true", "flag '--debug' takes no value, got 'true'"),
        ("--no-debug=", "flag '--no-debug' takes no value, got ''"),
        ("--debug --debug", "flag 'debug' cannot be repeated"),
        ("--debug --no-debug", "flag 'no-debug' cannot be repeated"),
        ("--no-session -n", "flag 'n' cannot be repeated"),
        ("-nn", "flag 'n' cannot be repeated"),
        ("-d 1h --duration=2h", "flag 'duration' cannot be repeated"),
        ("-d", "expected argument for flag '-d'"),
        ("-nd", "expected argument for flag '-d'"),
        ("--region", "expected argument for flag '--region'"),
        ("--region --debug", "expected argument for flag '--region'"),
        ("--region -- x", "expected argument for flag '--region'"),
        ("--region -x", "expected argument for flag '--region'"),
        ("--format=x", "--format: must be one of env, json, got 'x'"),
        ("--format jso", "--format: must be one of env, json, got 'jso'"),
        ("-d 3600", "-d: missing unit in duration '3600', for example 3600s or 1h30m"),
        ("-dx", "-d: invalid duration 'x', for example 1h30m"),
        ("--duration=1y", "--duration: unknown unit 'y' in duration '1y', known are ns us ms s m h d w"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_that_were_typed(line, message):
    """Nothing is abbreviated, repeated, guessed or passed over."""
    assert refused(line).message == message


def test_what_would_be_right():
    """Long flags that there are, hidden ones not; the values of a choice; and how to give a value with a dash."""
    error = refused("--fromat x")
    assert error.word == "--fromat"
    assert error.known == (
        "--debug", "--help", "--duration", "--no-session", "--region", "--json", "--format",
        "--no-debug", "--no-help", "--no-no-session", "--no-json",
    )  # fmt: skip
    error = refused("--format=x")
    assert (error.word, error.known) == ("x", ("env", "json"))
    assert refused("--region -x").hint == "a value that begins with a dash is given as --region=VALUE"
    assert refused("-d -x").hint == "a value that begins with a dash is given as -dVALUE"


# Variables


@pytest.mark.parametrize(
    ("line", "environ", "values"),
    [
        ("", {"X_REGION": "r", "X_DURATION": "1h", "X_JSON": "true"}, {"region": "r", "duration": "1h", "json": True}),
        ("--region f -d 2h --no-json", {"X_REGION": "r", "X_DURATION": "1h", "X_JSON": "1"},
         {"region": "f", "duration": "2h", "json": False}),
        ("", {"X_REGION": "", "X_DURATION": "", "X_JSON": ""}, {}),
        ("", {"X_JSON": "F"}, {"json": False}),
        ("-d 2h", {"X_DURATION": "nonsense", "Y": "z"}, {"duration": "2h"}),
    ],
)  # fmt: skip
def test_a_variable_stands_in_for_a_flag(line, environ, values):
    """If it is set to something, and the flag is not given."""
    assert match(line, environ=environ)[0] == values


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"X_JSON": "yes"}, "X_JSON: expected a boolean (1, t, true, 0, f, false), got 'yes'"),
        ({"X_DURATION": "1"}, "X_DURATION: missing unit in duration '1', for example 1s or 1h30m"),
    ],
)
def test_a_variable_that_is_wrong_is_named(environ, message):
    """It, and not the flag that nobody gave."""
    assert refused("", environ=environ).message == message


@pytest.mark.parametrize(
    ("texts", "value"),
    [(["1", "t", "T", "TRUE", "true", "True"], True), (["0", "f", "F", "FALSE", "false", "False"], False)],
)
def test_booleans_are_gos(texts, value):
    """strconv.ParseBool: https://pkg.go.dev/strconv#ParseBool."""
    assert {boolean(text, "X") for text in texts} == {value}
    for text in ("yes", "on", "tRUE", "", "10", " 1"):
        with pytest.raises(UsageError):
            boolean(text, "X")


def test_a_duration_is_kept_as_written():
    """It is read where it is used."""
    assert duration("1h30m") == "1h30m"


# Arguments


def test_arguments_answer_for_what_was_not_given():
    """A switch is off, a text empty."""
    found = Arguments({"debug": True, "json": False, "region": "r", "number": 7, "none": None}, [])
    assert [found.on(name) for name in ("debug", "json", "gone")] == [True, False, False]
    assert [found.text(name) for name in ("region", "number", "none", "gone")] == ["r", "7", "", ""]
    assert found.command is None


@pytest.mark.parametrize(("line", "words", "command"), [
    (["--role", "x", "ls", "-l"], [], ["ls", "-l"]),
    (["--role=x", "-n", "--", "jon", "ls"], [], ["jon", "ls"]),
    (["jon", "--role", "x", "ls"], ["jon"], ["ls"]),
    (["jon", "ls", "--role", "x"], ["jon"], ["ls", "--role", "x"]),
])  # fmt: skip
def test_a_flag_for_the_words(line, words, command):
    """With it the command's first word is the next; a word before it is told to whoever asks."""
    flags = [Flag("role", value="ARN", for_words=True), Flag("no-session", short="n")]
    found = Matcher(flags, 1).match(line, {})
    assert (found.words, found.command) == (words, command)
    assert Matcher(flags).match(["--role", "x", "jon"], {}).words == ["jon"]


def test_a_flag_that_may_be_given_more_than_once():
    """All its values are there, in order; where none was given there are none."""
    found = Matcher([Flag("allow", value="GLOB", many=True)], 0).match(["--allow", "a", "--allow=b,c"], {})
    assert found.texts("allow") == ("a", "b,c")
    assert found.texts("other") == ()


# Any command line


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8) | st.sampled_from(
    ["--", "-", "-n", "--debug", "--region", "-d", "--region=x", "@x", "", "--nope", "ls"]
)
OURS = st.sampled_from(
    [
        ([], {}),
        (["--debug"], {"debug": True}),
        (["-n"], {"no-session": True}),
        (["--region", "r"], {"region": "r"}),
        (["--region=--"], {"region": "--"}),
        (["-nd1h"], {"no-session": True, "duration": "1h"}),
        (["-d", "1h"], {"duration": "1h"}),
        (["--no-json"], {"json": False}),
    ]
)
POSITIONAL = st.text(min_size=1).filter(lambda text: not text.startswith("-") or text == "-")


@given(OURS, OURS, POSITIONAL, st.lists(words))
def test_after_dashes_a_command_is_given_back_word_for_word(before, after, profile, command):
    """Whatever it holds, and wherever our flags stand before it."""
    if set(before[1]) & set(after[1]):
        after = [], {}
    found = match([*before[0], profile, *after[0], "--", *command], most_words=1)
    assert found == (before[1] | after[1], [profile], command)


@given(OURS, OURS, POSITIONAL, POSITIONAL, st.lists(words))
def test_without_dashes_too(before, after, profile, program, arguments):
    """From its first word on, which is no flag."""
    if set(before[1]) & set(after[1]):
        after = [], {}
    found = match([*before[0], profile, *after[0], program, *arguments], most_words=1)
    assert found == (before[1] | after[1], [profile], [program, *arguments])


@given(st.lists(words), st.sampled_from([None, 0, 1]))
def test_any_command_line_is_read_or_refused(line, most_words):
    """And what is read loses no word: each is a flag, a value, ours, or the command's."""
    try:
        values, ours, command = match(line, most_words=most_words)
    except UsageError:
        return
    assert most_words is None or len(ours) <= most_words
    rest = [*ours, *(command or [])]
    left = iter(line)
    assert all(any(word == each for each in left) for word in rest)
    assert len(values) <= len(line)
