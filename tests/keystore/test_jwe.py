import base64
import json
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc import jwe as oracle
from joserfc.jwk import OctKey

from strongroom.errors import KeystoreLocked
from strongroom.keystore import jwe

FAST = jwe.MIN_ITERATIONS
REGISTRY = oracle.JWERegistry(algorithms=["PBES2-HS256+A128KW", "A256GCM"])


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def header_of(token):
    return json.loads(base64.urlsafe_b64decode(token.split(b".")[0] + b"=="))


def with_header(fields, rest=None):
    """A token that says *fields* of itself; the rest of it is in shape."""
    header = fields if isinstance(fields, bytes) else json.dumps(fields).encode()
    return b".".join([b64(header), *(rest or [b64(bytes(40)), b64(bytes(12)), b64(b"text"), b64(bytes(16))])])


GOOD = {"alg": "PBES2-HS256+A128KW", "enc": "A256GCM", "p2c": 8192, "p2s": "4Q5dFHfNKbf9DKoD"}


@settings(max_examples=25)
@given(st.binary(max_size=2000), st.binary(max_size=50))
def test_what_was_encrypted_can_be_opened(plaintext, passphrase):
    """With any passphrase, the empty one included."""
    assert jwe.decrypt(jwe.encrypt(plaintext, passphrase, FAST), passphrase) == plaintext


@settings(max_examples=15)
@given(st.binary(max_size=2000), st.text(min_size=14, max_size=20), st.integers(FAST, 20_000))
def test_another_library_opens_what_we_wrote(plaintext, passphrase, iterations):
    """An independent implementation of RFC 7516 and RFC 7518 reads it."""
    token = jwe.encrypt(plaintext, passphrase.encode(), iterations)
    opened = oracle.decrypt_compact(token, OctKey.import_key(passphrase.encode()), registry=REGISTRY)
    assert opened.plaintext == plaintext
    assert opened.protected["p2c"] == iterations


@settings(max_examples=15)
@given(st.binary(max_size=2000), st.text(min_size=14, max_size=20), st.integers(FAST, 20_000))
def test_we_open_what_another_library_wrote(plaintext, passphrase, iterations):
    """It chooses its own salt and the order of its header."""
    protected = {"enc": "A256GCM", "alg": "PBES2-HS256+A128KW", "p2c": iterations}
    token = oracle.encrypt_compact(protected, plaintext, OctKey.import_key(passphrase.encode()), registry=REGISTRY)
    assert jwe.decrypt(token.encode(), passphrase.encode()) == plaintext


def test_the_header_is_what_aws_vault_expects():
    """Keys in alphabetical order, its iteration count, a salt of 12 bytes; no time of writing; nothing twice."""
    one, other = (jwe.encrypt(b"text", b"pw") for _ in range(2))
    assert list(header_of(one).items())[:3] == [("alg", "PBES2-HS256+A128KW"), ("enc", "A256GCM"), ("p2c", 8192)]
    assert list(header_of(one)) == ["alg", "enc", "p2c", "p2s"]
    assert len(base64.urlsafe_b64decode(header_of(one)["p2s"])) == 12
    assert [len(part) for part in one.split(b".")[1:]] == [54, 16, 6, 22]
    assert not set(one.split(b".")[1:]) & set(other.split(b".")[1:])
    assert b"=" not in one
    assert b"\n" not in one


@settings(max_examples=300)
@given(st.data())
def test_any_changed_byte_is_refused(data):
    """Wherever a byte is changed, the content does not come out, and no other kind of error does."""
    token = bytearray(TOKEN)
    at = data.draw(st.integers(0, len(token) - 1))
    token[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((ValueError, KeystoreLocked)):
        jwe.decrypt(bytes(token), b"pw")


@settings(max_examples=100)
@given(st.integers(0, 299))
def test_any_cut_is_refused(length):
    """A token that was cut short is told as such, never taken for a wrong passphrase."""
    with pytest.raises(ValueError) as caught:
        jwe.decrypt(TOKEN[: length % len(TOKEN)], b"pw")
    assert str(caught.value) in {
        "it is not an encrypted item",
        "it is cut short",
        "it is cut short, or one of its parts has the wrong length",
        "it is cut short, or holds characters that do not belong there",
    }


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_anything_else_is_refused(data):
    """For any bytes there is an answer or one of the two errors."""
    with pytest.raises((ValueError, KeystoreLocked)):
        jwe.decrypt(b"eyJ" + data, b"pw")


TOKEN = jwe.encrypt(b'{"Key":"jon"}', b"pw", FAST)


def test_a_line_end_after_it_does_no_harm():
    """Editors add one."""
    assert jwe.decrypt(TOKEN + b"\r\n", b"pw") == b'{"Key":"jon"}'


def test_a_wrong_passphrase():
    """It is told apart from a changed content."""
    with pytest.raises(KeystoreLocked) as caught:
        jwe.decrypt(TOKEN, b"other")
    assert caught.value.message == "wrong passphrase"


def test_a_changed_content():
    """The key opens, the content does not: no passphrase would help."""
    parts = TOKEN.split(b".")
    parts[3] = b64(b'{"Key":"eve"}')
    with pytest.raises(ValueError) as caught:
        jwe.decrypt(b".".join(parts), b"pw")
    assert str(caught.value) == "its content was changed after it was written"


def test_a_changed_header():
    """It is authenticated with the content, even where it does not change the key."""
    parts = TOKEN.split(b".")
    parts[0] = b64(json.dumps(header_of(TOKEN) | {"created": "today"}).encode())
    with pytest.raises(ValueError) as caught:
        jwe.decrypt(b".".join(parts), b"pw")
    assert str(caught.value) == "its content was changed after it was written"


@pytest.mark.parametrize("iterations", [FAST, 8192, 100_000, jwe.MAX_ITERATIONS])
def test_iteration_counts_that_are_read(iterations):
    """All that aws-vault's library reads."""
    assert jwe.parse(with_header(GOOD | {"p2c": iterations})).iterations == iterations


ITERATIONS = "its iteration count (p2c {}) is not between 1000 and 1300000"
UNSUPPORTED = "its algorithm is not supported ({} {}, not '{}')"
CUT = "it is cut short, or holds characters that do not belong there"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (b"", "it is not an encrypted item"),
        (b"-----BEGIN", "it is not an encrypted item"),
        (b"eyJ", "it is cut short"),
        (b"eyJhbGciOiJIUzI1NiJ9.e30.c2ln", "it is cut short"),
        (TOKEN + b".more", "it is not an encrypted item"),
        (with_header(b'{"alg"'), "its header is not JSON"),
        (with_header(b'{"a' + b"\xff"), "its header is not JSON"),
        (b64(b'{"a":' + b"[" * 100_000) + b"....", "its header is not JSON"),
        (with_header(b'{"x"   ')[:9] + b"=.a.b.c.d", "its header is not JSON"),
        (with_header({"kty": "oct"}), UNSUPPORTED.format("alg", None, jwe.ALGORITHM)),
        (with_header(GOOD | {"alg": "dir"}), UNSUPPORTED.format("alg", "'dir'", jwe.ALGORITHM)),
        (with_header(GOOD | {"alg": ["x" * 99]}), UNSUPPORTED.format("alg", "['" + "x" * 38, jwe.ALGORITHM)),
        (with_header(GOOD | {"enc": "A128GCM"}), UNSUPPORTED.format("enc", "'A128GCM'", "A256GCM")),
        (with_header(GOOD | {"crit": ["x"]}), "its header asks for 'crit', which is not supported"),
        (with_header(GOOD | {"zip": "DEF"}), "its header asks for 'zip', which is not supported"),
        (with_header(GOOD | {"p2c": 999}), ITERATIONS.format(999)),
        (with_header(GOOD | {"p2c": 1_300_001}), ITERATIONS.format(1_300_001)),
        (with_header(GOOD | {"p2c": -1}), ITERATIONS.format(-1)),
        (with_header(GOOD | {"p2c": True}), ITERATIONS.format(True)),
        (with_header(GOOD | {"p2c": 8192.0}), ITERATIONS.format(8192.0)),
        (with_header(GOOD | {"p2c": None}), ITERATIONS.format(None)),
        (with_header(GOOD | {"p2s": 1}), "its header has no salt (p2s)"),
        (with_header(GOOD | {"p2s": "AAAAAAAAAA"}), "its salt (p2s) is shorter than 8 bytes"),
        (with_header(GOOD | {"p2s": "AA AA"}), CUT),
        (
            with_header(GOOD, [b64(bytes(39)), b64(bytes(12)), b"", b64(bytes(16))]),
            jwe_cut := CUT[:15] + ", or one of its parts has the wrong length",
        ),
        (with_header(GOOD, [b64(bytes(40)), b64(bytes(13)), b"", b64(bytes(16))]), jwe_cut),
        (with_header(GOOD, [b64(bytes(40)), b64(bytes(12)), b"", b64(bytes(15))]), jwe_cut),
        (with_header(GOOD, [b64(bytes(40)), b64(bytes(12)), b"a", b64(bytes(16))]), CUT),
        (with_header(GOOD, [b64(bytes(40)), b64(bytes(12)), b"+/+/", b64(bytes(16))]), CUT),
        (with_header(GOOD, [b64(bytes(40)), b64(bytes(12)), b"AB", b64(bytes(16))]), CUT),
    ],
    ids=range(30),
)
def test_what_is_none_of_ours(token, reason):
    """Each is refused before any key is derived, for its own reason."""
    with pytest.raises(ValueError) as caught:
        jwe.parse(token)
    assert str(caught.value) == reason


@pytest.mark.skipif(int(version("cryptography").split(".")[0]) < 50, reason="older ones load it for their key wrap")
def test_no_second_openssl():
    """`hashlib` would load the system's OpenSSL beside the one of cryptography: a fifth of a short run's time."""
    code = "import sys, strongroom.keystore.file; print('hashlib' in sys.modules, '_hashlib' in sys.modules)"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    run = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, env=environ)
    assert (run.stdout, run.stderr) == ("False False\n", "")
