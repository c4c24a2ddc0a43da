"""Keys in plaintext files: what is one, and that nothing else goes with its lines."""

import botocore.configloader
import botocore.exceptions
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strongroom import ini
from strongroom.credentials import Credentials
from strongroom.plaintext import TWO_READINGS, Found, find, leaves_the_rest, without

KEY = Credentials("AKIAJON4567890123456", "abc/def+123")
PAIR = "aws_access_key_id = AKIAJON4567890123456\naws_secret_access_key = abc/def+123\n"


def told(found):
    """What was found, as values."""
    return [(each.profile, each.line, each.credentials, each.reason, each.stays) for each in found]


def one(text, stem=""):
    """The only one."""
    (found,) = find(text, stem)
    return found


# Credentials files


def test_the_usual_file():
    """Each key with its profile and its line, in the order of the file; sections without a key are none of ours."""
    text = f"# mine\n[default]\n{PAIR}\n[role]\nrole_arn = x\n\n[ci]\nregion = us-east-1\n{PAIR}output = json\n"
    found = find(text)
    assert told(found) == [("default", 3, KEY, "", ""), ("ci", 11, KEY, "", "")]
    assert without(text, found) == (
        "# mine\n[default]\n\n[role]\nrole_arn = x\n\n[ci]\nregion = us-east-1\noutput = json\n"
    )
    assert without(text, found[:1]) == text.replace(PAIR, "", 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[default]\n",
        "[default]\nregion = x\n",
        "no section = at all\n",
        PAIR,
    ],
)
def test_no_key(text):
    """Nothing is found; keys before any header belong to nobody."""
    assert find(text) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (f"[a]\n{PAIR}aws_session_token = x\n", "a temporary key, which works only with its session token and not for long"),
        (f"[a]\n{PAIR}aws_security_token=x\n", "a temporary key, which works only with its session token and not for long"),
        ("[a]\naws_access_key_id = AKIA\n", "there is no aws_secret_access_key"),
        ("[a]\naws_secret_access_key = x\naws_access_key_id =\n", "there is no aws_access_key_id"),
        ("[a]\naws_access_key_id = AKIA # mine\naws_secret_access_key = x\n", TWO_READINGS),
        ('[a]\naws_access_key_id = "AKIA"\naws_secret_access_key = x\n', TWO_READINGS),
        ("[a]\nregion = x\n  aws_access_key_id = AKIA\naws_secret_access_key = x\n", TWO_READINGS),
    ],
)  # fmt: skip
def test_what_is_no_key(text, reason):
    """With the reason; no secret goes with it."""
    assert (one(text).credentials, one(text).reason) == (None, reason)


def test_an_empty_token_is_none():
    """The key is a long-term one, and the line of the token stays."""
    text = f"[a]\n{PAIR}aws_session_token =\n"
    assert without(text, [one(text)]) == "[a]\naws_session_token =\n"


@pytest.mark.parametrize(
    "text",
    [
        f"[a]\naws_access_key_id = OLD\n{PAIR}",
        f"[a]\n{PAIR}[b]\nregion = x\n[a]\n{PAIR}",
        "[a]\naws_access_key_id = AKIAJON4567890123456\naws_secret_access_key = `abc\ndef`\n",
    ],
    ids=["set twice", "a section twice", "over two lines"],
)
def test_lines_that_have_to_stay(text):
    """Without them an older key would come to light, or half a value would be left."""
    found = [each for each in find(text) if each.credentials]
    assert [bool(each.stays) for each in found] == [True]
    assert not leaves_the_rest(text, found)


def test_one_such_key_does_not_keep_the_others():
    """Each key is looked at."""
    text = f"[a]\naws_access_key_id = OLD\n{PAIR}[b]\n{PAIR}"
    assert [(each.profile, bool(each.stays)) for each in find(text)] == [("a", True), ("b", False)]


def test_a_config_file():
    """Its sections are called "profile NAME"; two for one profile in a file are one too many."""
    text = f"[default]\n{PAIR}[profile dev]\n{PAIR}[dev]\n{PAIR}"
    assert told(find(text))[1:] == [
        ("dev", 5, KEY, "", ""),
        ("dev", 8, None, "there is another section for 'dev'", ""),
    ]
    assert without(text, find(text)) == f"[default]\n[profile dev]\n[dev]\n{PAIR}"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings_and_line_ends(encoding):
    """A file keeps both, and bytes that are no text."""
    data = f"[jé]\r\n{PAIR}region = ü\r\n".replace("\n", "\r\n").replace("\r\r", "\r").encode(encoding)
    text = ini.decode(data)
    found = find(text)
    if encoding != "latin-1":
        assert told(found) == [("jé", 2, KEY, "", "")]
    expected = "[jé]\r\nregion = ü\r\n".encode(encoding) if found else data
    assert ini.encode(without(text, found), like=data) == expected


def test_no_line_end_at_the_end():
    """The line before it keeps its own."""
    text = f"[a]\n{PAIR}".removesuffix("\n")
    assert without(text, find(text)) == "[a]\n"


def test_no_secret_is_shown():
    """Not in the repr."""
    assert repr(one(f"[a]\n{PAIR}")) == "<Found 'a' in line 2: <Credentials ****3456>>"


_LINES = st.sampled_from([
    "[jon]", "[ci]", "[profile jon]", "  [odd]", "[unclosed", "",  "   ", "# a comment", "; another", "region = x",
    "  nested = y", "\tmore", "s3 =", "  max = 1", "aws_access_key_id = AKIA1", "aws_secret_access_key = abc/d=",
    "AWS_SECRET_ACCESS_KEY:efg", "  aws_access_key_id=AKIA2", "aws_secret_access_key = a # b", "aws_session_token = t",
    "aws_session_token =", "no delimiter", "open = `quote", "close` = x", 'text = """x', "continued = \\", "= x",
    "aws_access_key_id = %(region)s", "region = %(s3)s", "\udcff\udcfe", "x\x0bx", "\ufeff[jon]",
])  # fmt: skip
_TEXTS = st.lists(st.tuples(_LINES, st.sampled_from(["\n", "\r\n", "\n", "\r"])), max_size=14).map(
    lambda lines: "".join(line + end for line, end in lines)
)
_WITH_KEYS = st.builds(
    lambda before, name, after: f"{before}[{name}]\n{PAIR}{after}", _TEXTS, st.sampled_from("ab"), _TEXTS
)


@given(_TEXTS | _WITH_KEYS)
@example(f"[a]\n{PAIR}")
def test_only_those_lines_go(text):
    """What is left is the file's own bytes without whole lines, each of which sets a key that was found."""
    found = [each for each in find(text) if each.credentials and not each.stays]
    rest = without(text, found)
    spans = sorted(span for each in found for span in each.spans)
    assert rest == "".join(
        text[begin:end]
        for begin, end in zip([0, *(end for _, end in spans)], [*(begin for begin, _ in spans), len(text)], strict=True)
    )
    assert len(spans) == 2 * len(found)
    for begin, end in spans:
        assert begin == 0 or text[begin - 1] == "\n"
        line = text[begin:end]
        assert line.endswith("\n") or end >= len(text)
        assert line.strip("\ufeff \t").lower().startswith(("aws_access_key_id", "aws_secret_access_key"))
    assert find(rest) == [] or all(
        each.profile not in {one.profile for one in found} or each.reason for each in find(rest)
    )


@given(text=_WITH_KEYS)
def test_botocore_agrees(tmp_path_factory, text):
    """It finds the keys that we find, and afterwards all the rest as before."""
    directory = tmp_path_factory.getbasetemp() / "botocore"
    directory.mkdir(exist_ok=True)
    path = directory / "credentials"

    def read(content):
        path.write_bytes(ini.encode(content))
        try:
            return botocore.configloader.raw_config_parse(str(path), parse_subsections=False)
        except (botocore.exceptions.ConfigParseError, UnicodeDecodeError):
            return None

    before, found = read(text), find(text)
    keys = [each for each in found if each.credentials]
    if before is None:
        return
    for each in keys:
        assert before[each.section]["aws_access_key_id"] == each.credentials.access_key_id
        assert before[each.section]["aws_secret_access_key"] == each.credentials.secret_access_key
    gone = [each for each in keys if not each.stays]
    if leaves_the_rest(text, gone):
        for each in gone:
            del before[each.section]["aws_access_key_id"], before[each.section]["aws_secret_access_key"]
        assert read(without(text, gone)) == before


@given(st.text())
def test_any_text(text):
    """Is read, or refused."""
    try:
        find(text)
    except ValueError:
        return


# The console's tables


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_key_of_a_user(mark, end):
    """As it is downloaded today: the name of the file names the user."""
    text = f"{mark}Access key ID,Secret access key{end}AKIAJON4567890123456,abc/def+123{end}"
    found = one(text, "jon_accessKeys")
    assert told([found]) == [("jon", 2, KEY, "", "")]
    assert without(text, [found]) == f"{mark}Access key ID,Secret access key{end}"
    assert one(text, "credentials").profile == ""


def test_keys_of_several_users():
    """As it was downloaded when users were made: whoever has more in a line than a key keeps the line."""
    text = (
        "User name,Password,Access key ID,Secret access key,Console login link\n"
        "jon,hunter2,AKIAJON4567890123456,abc/def+123,https://111111111111.signin.aws.amazon.com/console\n"
        "\n"
        '"ci, too",,AKIAJON4567890123456,abc/def+123,\n'
        "nobody,hunter2,,,\n"
    )
    found = find(text)
    assert told(found) == [
        ("jon", 2, KEY, "", "its line holds more than the key: password, console login link"),
        ("ci, too", 4, KEY, "", ""),
        ("nobody", 5, None, "there is no access key in this line", ""),
    ]
    assert without(text, found[1:2]) == text.replace('"ci, too",,AKIAJON4567890123456,abc/def+123,\n', "")
    assert leaves_the_rest(text, found[1:2])


def test_the_oldest_form():
    """Other words for the same columns; a quoted cell over two lines is one line of the table."""
    text = 'User Name,Access Key Id,Secret Access Key\n"jon",AKIAJON4567890123456,"abc/def+123"\n"a\nb",A,B\nc,C,D'
    found = find(text)
    assert [(each.profile, each.line) for each in found] == [("jon", 2), ("a\nb", 3), ("c", 5)]
    assert (
        without(text, found[1:])
        == 'User Name,Access Key Id,Secret Access Key\n"jon",AKIAJON4567890123456,"abc/def+123"\n'
    )


def test_two_lines_for_one_user():
    """Which is meant cannot be known."""
    text = "User name,Access key ID,Secret access key\njon,A,B\njon,C,D\n"
    assert [(each.credentials, each.reason) for each in find(text)] == [(None, "there is another line for 'jon'")] * 2


def test_more_cells_than_headings():
    """Nobody knows what they are, so the line stays."""
    found = one("Access key ID,Secret access key\nA,B,C\n", "jon_accessKeys")
    assert found.stays == "its line holds more than the key: cells without a heading"


def test_a_table_that_cannot_be_read():
    """An error that repeats nothing of it."""
    with pytest.raises(ValueError, match=r"^line 2 cannot be read: field larger than field limit \(131072\)$"):
        find("Access key ID,Secret access key\n" + "x" * 200_000)


def test_values():
    """What is not said is empty."""
    found = Found("jon", 3)
    assert (found.spans, found.section, found.stays, repr(found)) == ((), "", "", "<Found 'jon' in line 3: None>")
