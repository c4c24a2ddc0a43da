import os
import stat
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent import token
from strongroom.agent.config import SSRF_ENV_VARIABLES
from strongroom.agent.token import TokenError

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no modes and no such files")
PREFIX = (
    'Could not read SSRF token variable(s) ["AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]: '
)


def read(environ, names=SSRF_ENV_VARIABLES):
    return token.read(names, environ)


def refusal(environ, names=SSRF_ENV_VARIABLES):
    with pytest.raises(TokenError) as raised:
        token.read(names, environ)
    return raised.value


@pytest.fixture
def file(tmp_path):
    """Write a token file, closed to others, and name it as a variable does."""

    def write(content):
        path = tmp_path / "token"
        path.write_bytes(content)
        path.chmod(0o600)
        return f"file://{path}"

    return write


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"AWS_SESSION_TOKEN": "s"}, b"s"),
        ({"AWS_TOKEN": "a", "AWS_SESSION_TOKEN": "s"}, b"a"),
        ({"AWS_CONTAINER_AUTHORIZATION_TOKEN": "c", "AWS_SESSION_TOKEN": "s"}, b"s"),
        ({"AWS_TOKEN": "FILE:///x"}, b"FILE:///x"),
        ({"AWS_TOKEN": "file:/x"}, b"file:/x"),
        ({"AWS_TOKEN": "Bearer a\tb c"}, b"Bearer a\tb c"),
        ({"AWS_TOKEN": "gr\u00fc\u00df"}, b"gr\xc3\xbc\xc3\x9f"),
        ({"AWS_TOKEN": "\u00a0nbsp\u00a0"}, b"\xc2\xa0nbsp\xc2\xa0"),
        ({"AWS_TOKEN": "a\udcff", "AWS_SESSION_TOKEN": "s"}, b"s"),
    ],
)
def test_the_first_variable_that_is_set(environ, expected):
    """In the configured order; what is no UTF-8 is not set; a literal is taken as it stands."""
    assert read(environ) == expected


def test_no_variable_is_set():
    """The message lists the variables as Rust would; the hint says what to do."""
    error = refusal({"OTHER": "x", "AWS_TOKEN": "\udcff"})
    assert error.message == PREFIX + "environment variable not found"
    assert error.hint == "set AWS_TOKEN to a random text, or to file://PATH of a file that holds one"
    assert error.exit_status == 1


def test_names_as_rust_shows_them():
    """Quotes, backslashes and what cannot be printed are escaped; a list of none is possible."""
    names = ['a"b', "c\\d", "e\n\t\r\0\x1b\u200bf", "\u00e9'"]
    expected = r'["a\"b", "c\\d", "e\n\t\r\0\u{1b}\u{200b}f", "' + "\u00e9'\"]"
    assert (
        refusal({}, names).message
        == f"Could not read SSRF token variable(s) {expected}: environment variable not found"
    )
    error = refusal({}, ())
    assert error.message == "Could not read SSRF token variable(s) []: environment variable not found"
    assert error.hint == ""


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "is empty"),
        (" ", "begins or ends with white space, which HTTP does not transmit"),
        (" canary", "begins or ends with white space, which HTTP does not transmit"),
        ("canary\t", "begins or ends with white space, which HTTP does not transmit"),
        ("can\nary", "has control characters, which HTTP does not transmit"),
        ("canary\r\n", "has control characters, which HTTP does not transmit"),
        ("\x7fcanary", "has control characters, which HTTP does not transmit"),
    ],
)
def test_a_literal_that_no_request_can_bring(value, reason):
    """It is refused, without a look at the next variable, and never shown."""
    error = refusal({"AWS_TOKEN": value, "AWS_SESSION_TOKEN": "s"})
    assert error.message == PREFIX + f"the token in AWS_TOKEN {reason}"
    assert "canary" not in repr(error) + error.hint


@pytest.mark.parametrize("content", [b"abc", b"  abc\n", "\u3000\u2029abc\u0085\u00a0".encode(), b"\v\fabc\r\n"])
def test_a_file(file, content):
    """White space, all that Unicode calls so, is cut off at both ends."""
    assert read({"AWS_TOKEN": file(content)}) == b"abc"


@given(
    inner=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
    before=st.text(st.sampled_from(token.WHITE_SPACE)),
    after=st.text(st.sampled_from(token.WHITE_SPACE)),
)
def test_only_white_space_is_cut_off(tmp_path_factory, inner, before, after):
    """Whatever stands in the file, its first and last characters that are no white space stay."""
    path = tmp_path_factory.getbasetemp() / "property-token"
    path.write_bytes((before + inner + after).encode())
    bare = inner.strip(token.WHITE_SPACE)
    if bare:
        assert token.from_file(str(path)) == bare.encode()
    else:
        with pytest.raises(TokenError) as raised:
            token.from_file(str(path))
        assert raised.value.message == "the token in the file is empty"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the token in the file is empty"),
        (b" \n\t", "the token in the file is empty"),
        (b"can\nary", "the token in the file has control characters, which HTTP does not transmit"),
        (b"\x1ccanary", "the token in the file has control characters, which HTTP does not transmit"),
        (b"canary\xff", "stream did not contain valid UTF-8"),
        (b"canary" * 20_000, "the file is larger than 65536 bytes"),
    ],
)
def test_a_file_without_a_token(file, content, reason):
    """It is refused, without a look at the next variable; the hint names the file."""
    value = file(content)
    error = refusal({"AWS_TOKEN": value, "AWS_SESSION_TOKEN": "s"})
    assert error.message == PREFIX + reason
    assert error.hint == f"AWS_TOKEN names the file {value.removeprefix('file://')!r}"
    seen = error
    while seen is not None:  # what a traceback would print
        assert "canary" not in repr(seen)
        seen = seen.__cause__ or seen.__context__


def test_a_file_that_is_not_there(tmp_path):
    """The system's text and number, as Rust shows them."""
    error = refusal({"AWS_TOKEN": f"file://{tmp_path}/none", "AWS_SESSION_TOKEN": "s"})
    assert error.message == PREFIX + "No such file or directory (os error 2)"
    assert error.hint == f"AWS_TOKEN names the file '{tmp_path}/none'"


def test_the_path_is_taken_as_it_stands(file, tmp_path, monkeypatch):
    """Relative to the working directory, no percent-decoding, no home, no trimming."""
    file(b"abc")
    monkeypatch.chdir(tmp_path)
    assert read({"AWS_TOKEN": "file://token"}) == b"abc"
    assert read({"AWS_TOKEN": "file://./token"}) == b"abc"
    for odd in ("file://", "file://token ", "file://%74oken", "file://~/token", "file://localhost/token"):
        assert refusal({"AWS_TOKEN": odd}).message == PREFIX + "No such file or directory (os error 2)"
    assert refusal({"AWS_TOKEN": "file://a\0b"}).message == PREFIX + "file name contained an unexpected NUL byte"


@POSIX
def test_a_directory(tmp_path):
    """It opens, as far as Rust is concerned, and does not read."""
    assert refusal({"AWS_TOKEN": f"file://{tmp_path}"}).message == PREFIX + "Is a directory (os error 21)"


@POSIX
def test_a_file_of_others(file):
    """A file that may not be read; root may read all, so root's test becomes somebody else."""
    value = file(b"canary")
    os.chmod(value.removeprefix("file://"), 0)
    script = (
        "import os, sys\n"
        "from strongroom.agent import token\n"
        "if os.geteuid() == 0: os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "try: token.read(['T'], {'T': sys.argv[1]})\n"
        "except token.TokenError as error: print(error.message)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, value], capture_output=True, text=True, check=True)
    assert done.stdout == 'Could not read SSRF token variable(s) ["T"]: Permission denied (os error 13)\n'


@POSIX
@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o640, False), (0o660, False), (0o644, True), (0o602, True), (0o601, False)]
)
def test_a_file_that_all_may_read(file, mode, warned):
    """It is used, with a warning that names file and mode."""
    path = file(b"abc").removeprefix("file://")
    os.chmod(path, mode)
    warnings = []
    assert token.read(["T"], {"T": f"file://{path}"}, warnings.append) == b"abc"
    expected = (
        f"The token file {path!r} is open to all users of this machine ({mode:o}); "
        "only its owner and group should have access (640)"
    )
    assert warnings == [expected] * warned


@POSIX
def test_a_pipe(tmp_path):
    """A shell's <(command) works, in pieces too, and has no mode to warn of."""
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o666)
    path.chmod(0o666)

    def write():
        with open(path, "wb", buffering=0) as pipe:
            pipe.write(b" ab")
            pipe.write(b"c\n")

    writer = threading.Thread(target=write)
    writer.start()
    warnings = []
    assert token.from_file(str(path), warnings.append) == b"abc"
    writer.join()
    assert stat.S_ISFIFO(os.stat(path).st_mode)
    assert warnings == []


@POSIX
def test_a_device_without_an_end():
    """A wrong path is not read for ever."""
    assert refusal({"AWS_TOKEN": "file:///dev/zero"}).message == PREFIX + "the file is larger than 65536 bytes"
