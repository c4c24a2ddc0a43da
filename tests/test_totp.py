import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import totp

# RFC 4226, appendix D; RFC 6238, appendix B (with the seeds of erratum 2866).
SEED = b"12345678901234567890"
SEEDS = {"SHA1": SEED, "SHA256": SEED + b"123456789012", "SHA512": SEED * 3 + b"1234"}
BASE32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


@pytest.mark.parametrize(
    ("counter", "code"),
    list(
        enumerate(["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"])
    ),
)
def test_hotp(counter, code):
    """RFC 4226, appendix D."""
    assert totp.hotp(SEED, counter) == code


@pytest.mark.parametrize(
    ("at", "algorithm", "code"),
    [
        (at, algorithm, code)
        for at, *codes in [
            (59, "94287082", "46119246", "90693936"),
            (1111111109, "07081804", "68084774", "25091201"),
            (1111111111, "14050471", "67062674", "99943326"),
            (1234567890, "89005924", "91819424", "93441116"),
            (2000000000, "69279037", "90698825", "38618901"),
            (20000000000, "65353130", "77737706", "47863826"),
        ]
        for algorithm, code in zip(SEEDS, codes, strict=True)
    ],
)
def test_totp(at, algorithm, code):
    """RFC 6238, appendix B."""
    assert totp.totp(SEEDS[algorithm], at, digits=8, algorithm=algorithm) == code


def test_the_period():
    """A code holds for half a minute, from its first moment to its last."""
    codes = {totp.totp(SEED, 30 + at) for at in (0, 0.5, 29, 29.999)}
    assert codes == {totp.hotp(SEED, 1)}
    assert totp.totp(SEED, 60) == totp.hotp(SEED, 2)


@pytest.mark.parametrize(
    "text",
    [
        BASE32,
        BASE32.lower(),
        " GEZD GNBV GY3T QOJQ  GEZD-GNBV-GY3T-QOJQ \n",
        BASE32 + "====",
        f"otpauth://totp/Amazon%20Web%20Services:jon@111111111111?secret={BASE32}&issuer=Amazon%20Web%20Services",
        f"OTPAUTH://TOTP/jon?SECRET={BASE32.lower()}&algorithm=sha1&digits=6&period=30\n",
    ],
)
def test_seeds(text):
    """As AWS shows them and QR codes hold them."""
    assert totp.read_seed(text) == SEED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the seed is empty"),
        (" =\n", "the seed is empty"),
        ("GEZDGNB1", "the seed is not base32: letters A to Z and digits 2 to 7"),
        ("GEZDGNBVGYé", "the seed is not base32: letters A to Z and digits 2 to 7"),
        ("GEZDGNBVGY3", "the seed is not base32: letters A to Z and digits 2 to 7"),
        ("123456", "the seed is not base32: letters A to Z and digits 2 to 7"),
        ("GEZDGNBV", "a seed of 5 bytes is not one: expected 10 to 128"),
        ("A" * 800, "a seed of 500 bytes is not one: expected 10 to 128"),
        (f"otpauth://hotp/jon?secret={BASE32}&counter=1",
         "the otpauth URL is not for codes that change with time: expected otpauth://totp/"),
        (f"otpauth://totp/jon?secret={BASE32}&digits=8", "AWS's devices have digits 6; the otpauth URL says something else"),
        (f"otpauth://totp/jon?secret={BASE32}&period=60",
         "AWS's devices have period 30; the otpauth URL says something else"),
        (f"otpauth://totp/jon?secret={BASE32}&algorithm=SHA256",
         "AWS's devices have algorithm SHA1; the otpauth URL says something else"),
        ("otpauth://totp/jon?issuer=x", "the otpauth URL has no secret, or several"),
        (f"otpauth://totp/jon?secret={BASE32}&secret={BASE32}", "the otpauth URL has no secret, or several"),
        ("otpauth://totp/jon?secret", "the otpauth URL cannot be read"),
        ("otpauth://[totp/jon", "the otpauth URL cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_seed(text, message):
    """Said without the seed, or what may be a part of it."""
    with pytest.raises(ValueError) as caught:
        totp.read_seed(text)
    assert str(caught.value) == message


@given(st.binary(min_size=totp.FEWEST_BYTES, max_size=totp.MOST_BYTES))
def test_every_seed_comes_back(seed):
    """Written and read; the standard library reads it too."""
    text = totp.to_base32(seed)
    assert totp.from_base32(text) == seed
    assert base64.b32decode(text + "=" * (-len(text) % 8)) == seed


@given(st.text())
def test_any_text(text):
    """It is a seed, or said to be none."""
    try:
        seed = totp.read_seed(text)
    except ValueError:
        return
    assert totp.FEWEST_BYTES <= len(seed) <= totp.MOST_BYTES
