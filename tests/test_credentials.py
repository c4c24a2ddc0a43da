import copy
import datetime as dt
import json
import pickle
import re
import shlex
import sys
import traceback

import botocore.credentials
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import credentials
from strongroom.credentials import Credentials, go_json, parse_time, show_time, shown_key_id

SECRET, TOKEN = "wJalrXUtnFEMI/K7MDENG", "FwoGZXIvYXdzEBY"
LONG = Credentials("AKIAIOSFODNN7EXAMPLE", SECRET)
SHORT = Credentials("ASIAIOSFODNN7EXAMPLE", SECRET, TOKEN, 1_795_315_097)
ANSWER = {
    "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",
    "Expiration": "2026-11-22T02:38:17Z",
    "SecretAccessKey": SECRET,
    "SessionToken": TOKEN,
}

# What Go's time zones and ours can say, and what datetime knows.
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))
MOMENTS = st.datetimes(timezones=OFFSETS)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)


# The value


def test_credentials_are_a_value():
    """Equal by what they hold, usable as keys, and not to be changed."""
    assert Credentials("AKIAIOSFODNN7EXAMPLE", SECRET, "", None) == LONG
    assert hash(Credentials("AKIAIOSFODNN7EXAMPLE", SECRET)) == hash(LONG)
    assert len({LONG, SHORT, Credentials(*SHORT._values())}) == 2
    assert LONG != SHORT
    assert LONG._values() != LONG
    with pytest.raises(AttributeError) as caught:
        LONG.secret_access_key = "other"
    assert str(caught.value) == "secret_access_key: credentials do not change"


def test_the_repr_shows_four_characters_of_the_id():
    """And the end of its life, if it has one."""
    assert repr(LONG) == "<Credentials ****MPLE>"
    assert repr(SHORT) == "<Credentials ****MPLE until 2026-11-22T02:38:17Z>"
    assert [shown_key_id(text) for text in ("", "AKIA", "AKIA1234", "AKIA12345")] == ["****"] * 3 + ["****2345"]


@pytest.mark.parametrize("write", [pickle.dumps, copy.copy, copy.deepcopy])
def test_credentials_are_not_pickled(write):
    """A secret leaves only by the three ways that are made for it."""
    with pytest.raises(TypeError) as caught:
        write(SHORT)
    assert str(caught.value) == "credentials are not pickled"


secrets = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=12, max_size=40).map("S3".__add__)


@given(secrets, secrets, secrets)
def test_no_text_of_ours_holds_a_secret(key_id, secret, token):
    """Neither repr, str and formatting, nor the text of any exception that the value raises."""
    value = Credentials(key_id, secret, token, 1_795_315_097)
    texts = [repr(value), str(value), f"{value} {value!r}", repr([value]), repr({"a": value})]
    attempts = [
        lambda: setattr(value, "secret_access_key", secret),
        lambda: pickle.dumps(value),
        lambda: json.dumps(value),
        lambda: sorted([value, SHORT]),
        lambda: Credentials.from_sts({"AccessKeyId": key_id, "SecretAccessKey": secret}),
        lambda: Credentials.from_sts({"AccessKeyId": key_id, "SecretAccessKey": secret, "SessionToken": token}),
        lambda: Credentials.from_sts(value.sts_fields() | {"Expiration": secret}),
        lambda: Credentials.from_sts(value.sts_fields() | {"Expiration": [secret]}),
    ]
    for attempt in attempts:
        with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
            attempt()
        texts += traceback.format_exception(caught.value)
    for text in texts:
        assert secret not in text
        assert token not in text
        assert key_id not in text


# As STS answers, and as aws-vault stores


def test_an_answer_of_sts_is_read_and_written_back():
    """The same four fields both ways, in aws-vault's order, with more of them ignored."""
    assert Credentials.from_sts(ANSWER | {"AccountId": "1", "Strongroom": {}}) == SHORT
    assert list(SHORT.sts_fields().items()) == list(ANSWER.items())


@given(TEXTS, TEXTS, TEXTS, st.integers(-30_610_224_000, 253_402_300_799))
def test_what_is_written_is_read_back(key_id, secret, token, expiration):
    """Through JSON too, for any text and any time from the year 1000 to 9999."""
    value = Credentials(key_id, secret, token, expiration)
    assert Credentials.from_sts(json.loads(go_json(value.sts_fields()))) == value


def test_a_key_without_an_end_is_written_as_the_epoch():
    """A long-term key is no session: should one ever be stored as such, it has expired."""
    assert LONG.sts_fields() == {
        "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "Expiration": "1970-01-01T00:00:00Z",
        "SecretAccessKey": SECRET,
        "SessionToken": "",
    }


@pytest.mark.parametrize("field", ["AccessKeyId", "SecretAccessKey", "SessionToken"])
@pytest.mark.parametrize("value", [None, "", 7, ["x"]])
def test_a_field_that_is_missing_is_named(field, value):
    """What is empty or no text counts as missing."""
    with pytest.raises(ValueError) as caught:
        Credentials.from_sts(ANSWER | {field: value})
    assert str(caught.value) == f"the credentials have no {field}"


@pytest.mark.parametrize("value", [None, "", "soon", 1_795_315_097, "2026-11-22"])
def test_an_end_that_is_no_time_is_named(value):
    """The message says which field, and not what is in it."""
    with pytest.raises(ValueError) as caught:
        Credentials.from_sts(ANSWER | {"Expiration": value})
    assert str(caught.value) == "the Expiration of the credentials is not an RFC 3339 time"


# As a credential_process prints them


def test_the_json_of_a_credential_process_is_exact():
    """Two blanks of indent, this order, and only what there is."""
    assert SHORT.process_json() == (
        '{\n  "Version": 1,\n  "AccessKeyId": "ASIAIOSFODNN7EXAMPLE",\n'
        f'  "SecretAccessKey": "{SECRET}",\n  "SessionToken": "{TOKEN}",\n  "Expiration": "2026-11-22T02:38:17Z"\n}}'
    )
    assert LONG.process_json() == (
        f'{{\n  "Version": 1,\n  "AccessKeyId": "AKIAIOSFODNN7EXAMPLE",\n  "SecretAccessKey": "{SECRET}"\n}}'
    )


@pytest.mark.parametrize("expiration", [None, 4_102_444_800])
def test_botocore_takes_what_we_print(tmp_path, expiration):
    """An SDK's own reader of a credential_process finds every value, hard characters included."""
    token = "a<b>&\u2028é\U0001f511/+=" if expiration else ""
    value = Credentials("ASIAIOSFODNN7EXAMPLE", "s/+<&>\u2029'\"\\", token, expiration)
    answer = tmp_path / "answer"
    answer.write_text(value.process_json() + "\n", encoding="utf-8")
    program = f"import sys; sys.stdout.buffer.write(open({str(answer)!r}, 'rb').read())"
    command = shlex.join([sys.executable, "-c", program])
    provider = botocore.credentials.ProcessProvider("x", lambda: {"profiles": {"x": {"credential_process": command}}})
    found = provider.load()
    assert found is not None
    frozen = found.get_frozen_credentials()
    assert (frozen.access_key, frozen.secret_key, frozen.token) == (
        value.access_key_id, value.secret_access_key, value.session_token or None
    )  # fmt: skip
    if expiration:
        assert found._expiry_time.timestamp() == expiration


# As variables


def test_the_variables_that_sdks_read():
    """In the order in which ``export`` prints them, and only those that there are."""
    assert list(SHORT.environment().items()) == [
        ("AWS_ACCESS_KEY_ID", "ASIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", TOKEN),
        ("AWS_CREDENTIAL_EXPIRATION", "2026-11-22T02:38:17Z"),
    ]
    assert list(LONG.environment().items()) == [
        ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
    ]


# RFC 3339


@given(MOMENTS)
def test_times_are_read_as_datetime_reads_them(moment):
    """Any date from the year 1 to 9999, any offset, any number of digits in the fraction."""
    expected = (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) / dt.timedelta(seconds=1)
    written = moment.isoformat()
    variants = {written, written.replace("T", " "), written.replace("T", "t"), re.sub(r"\+00:00$", "Z", written)}
    variants.add(re.sub(r"\+00:00$", "z", written))
    for text in variants:
        assert parse_time(text) == pytest.approx(expected, abs=1e-5)


@given(st.integers(-30_610_224_000, 253_402_300_799))
def test_a_time_that_is_shown_is_read_back(seconds):
    """And is what datetime would have shown."""
    shown = show_time(seconds)
    assert shown == dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert parse_time(shown) == seconds


def digits(least, most, *others, width=2):
    return (st.integers(least, most) | st.sampled_from([least, most, *others])).map(lambda number: f"{number:0{width}}")


# Mostly right, and wrong at each place in turn.
DATES = st.tuples(
    digits(1, 9999, 0, 1900, 2000, 2024, width=4), digits(1, 12, 0, 2, 2, 2, 13), digits(1, 28, 0, 29, 30, 31, 32),
    digits(0, 23, 24), digits(0, 59, 60), digits(0, 59, 60, 61),
)  # fmt: skip
ENDS = st.sampled_from(
    ["Z"] * 9 + ["+00:00", "-00:00", "+23:59"] * 3 + ["-24:00", "+01:60", "+1:00", "+0100", "", " Z", "ZZ", "Z\n"]
)


@given(DATES, st.sampled_from(["", "", ".5", ".", ".123456789", ",5"]), ENDS)
def test_what_datetime_refuses_is_refused(date, fraction, end):
    """No 30th of February, no 24 o'clock, no offset of a day; the leap second, which datetime lacks, is taken."""
    text = "{}-{}-{}T{}:{}:{}".format(*date) + fraction + end
    # datetime takes an offset of 60 minutes; the RFC does not.
    if re.fullmatch(r"[\d:T-]+(\.\d+)?(Z|[+-]\d\d:[0-5]\d)", text) is None:
        fits = False
    else:
        whole = re.sub(r"\.\d+", "", text)
        try:
            # Python counts no leap seconds, and from 3.12 on it reads more than RFC 3339 allows: hence the pattern.
            dt.datetime.fromisoformat(re.sub(r":60(?=Z|[+-])", ":59", whole) if date[5] == "60" else whole)
            fits = True
        except ValueError:
            fits = date[0] == "0000" and fits_another_leap_year(whole)
    if fits:
        parse_time(text)
    else:
        with pytest.raises(ValueError) as caught:
            parse_time(text)
        assert str(caught.value) == f"not an RFC 3339 time: {text!r}"


def fits_another_leap_year(text):
    """RFC 3339 has a year 0, and datetime does not."""
    try:
        dt.datetime.fromisoformat(re.sub(r":60(?=Z|[+-])", ":59", "2000" + text[4:]))
    except ValueError:
        return False
    return True


def test_a_leap_second_is_the_first_of_the_next_minute():
    """As POSIX counts."""
    assert parse_time("2016-12-31T23:59:60Z") == parse_time("2017-01-01T00:00:00Z") == 1_483_228_800


@pytest.mark.parametrize("year", [1900, 2000, 2023, 2024, 2100])
def test_leap_days(year):
    """Every fourth year, but not in centuries, but in every fourth of those."""
    leaps = year in {2000, 2024}
    assert parse_time(f"{year}-03-01T00:00:00Z") - parse_time(f"{year}-02-28T00:00:00Z") == (1 + leaps) * 86400
    if not leaps:
        with pytest.raises(ValueError):
            parse_time(f"{year}-02-29T00:00:00Z")


@pytest.mark.parametrize(
    "text", ["", "Z", "2026-11-22", "2026-11-22T02:38:17", "26-11-22T02:38:17Z", "２026-11-22T02:38:17Z",
             "2026-1a-22T02:38:17Z", "2026_11-22T02:38:17Z", "-026-11-22T02:38:17Z", "2026-11-22T02:38:17Z ", "2026-11-22T02:38:17+24:00",
             "2026-11-22T02:38:17-01:60", "2026-02-29T02:38:17+00:00", "2026-11-22T24:00:00Z"]
)  # fmt: skip
def test_what_looks_like_a_time_and_is_none(text):
    """Also in the short way that is taken for the form of STS."""
    with pytest.raises(ValueError) as caught:
        parse_time(text)
    assert str(caught.value) == f"not an RFC 3339 time: {text!r}"


def test_offsets_and_fractions():
    """As aws-vault writes sessions of Identity Center: local time, milliseconds."""
    assert parse_time("2026-11-21T21:56:54.05-05:00") == 1_795_316_214.05
    assert parse_time("2026-11-22T02:56:54+00:00") == parse_time("2026-11-22T08:26:54+05:30") == 1_795_316_214


# JSON as Go writes it


def test_json_has_the_bytes_of_gos_encoder():
    """Compact, with HTML's characters and the line separators escaped, other characters as they are."""
    assert go_json({"a": "<&>\u2028\u2029é\U0001f511", "b": [1, None, True]}) == (
        '{"a":"\\u003c\\u0026\\u003e\\u2028\\u2029é\U0001f511","b":[1,null,true]}'
    )
    assert go_json({"a": {"b": "<"}}, indent=2) == '{\n  "a": {\n    "b": "\\u003c"\n  }\n}'


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner)
                    | st.dictionaries(st.text(), inner)), st.sampled_from([None, 2]))  # fmt: skip
def test_json_is_json(value, indent):
    """Whatever was escaped is read back as it was."""
    text = go_json(value, indent=indent)
    assert json.loads(text) == value
    assert not set(text) & set(credentials._ESCAPED)
