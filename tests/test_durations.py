import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from strongroom import durations

SECONDS = st.integers(-durations.LONGEST_SECONDS, durations.LONGEST_SECONDS)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        # from the documentation and the tests of Go's time.ParseDuration: https://pkg.go.dev/time#ParseDuration
        ("0", 0),
        ("5s", 5),
        ("30s", 30),
        ("1478s", 1478),
        ("-5s", -5),
        ("+5s", 5),
        ("-0", 0),
        ("+0", 0),
        ("5.0s", 5),
        ("5.6s", 5),
        ("5.s", 5),
        (".5s", 0),
        ("1.0s", 1),
        ("1.004s", 1),
        ("100.00100s", 100),
        ("10ns", 0),
        ("11us", 0),
        ("12µs", 0),
        ("12μs", 0),
        ("1300ms", 1),
        ("14s", 14),
        ("15m", 900),
        ("16h", 57600),
        ("3h30m", 12600),
        ("10.5s4m", 250),
        ("-2m3.4s", -123),
        ("1h2m3s4ms5us6ns", 3723),
        ("39h9m14.425s", 140954),
        ("52763797000ns", 52),
        ("0.3333333333333333333h", 1200),
        ("0.100000000000000000000h", 360),
        ("0.3h", 1080),
        # days and weeks, which aws-vault adds
        ("1d", 86400),
        ("1w", 604800),
        ("1d12h", 129600),
        ("1.5d", 129600),
        ("1w1d1h1m1s", 694861),
        ("5200w", 5200 * 604800),
    ],
)
def test_durations_of_go_with_days_and_weeks(text, seconds):
    """Go's grammar, and two units more; a fraction of a second is dropped."""
    assert durations.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "invalid duration '', for example 1h30m"),
        ("-", "invalid duration '-', for example 1h30m"),
        ("+", "invalid duration '+', for example 1h30m"),
        (".", "invalid duration '.', for example 1h30m"),
        ("s", "invalid duration 's', for example 1h30m"),
        (".s", "invalid duration '.s', for example 1h30m"),
        ("--5s", "invalid duration '--5s', for example 1h30m"),
        (" 5s", "invalid duration ' 5s', for example 1h30m"),
        ("1h.m", "invalid duration '1h.m', for example 1h30m"),
        ("3600", "missing unit in duration '3600', for example 3600s or 1h30m"),
        ("-3600", "missing unit in duration '-3600', for example 3600s or 1h30m"),
        ("1h30", "missing unit in duration '1h30', for example 1h30s or 1h30m"),
        ("1x", "unknown unit 'x' in duration '1x', known are ns us ms s m h d w"),
        ("1H", "unknown unit 'H' in duration '1H', known are ns us ms s m h d w"),
        ("1h 30m", "unknown unit 'h ' in duration '1h 30m', known are ns us ms s m h d w"),
        ("1h-30m", "unknown unit 'h-' in duration '1h-30m', known are ns us ms s m h d w"),
        ("1h\n", "unknown unit 'h\\n' in duration '1h\\n', known are ns us ms s m h d w"),
        ("1hour", "unknown unit 'hour' in duration '1hour', known are ns us ms s m h d w"),
        ("٣h", "invalid duration '٣h', for example 1h30m"),
        ("36501d", "duration '36501d' is longer than a hundred years"),
        ("-36501d", "duration '-36501d' is longer than a hundred years"),
        ("9" * 400 + "s", f"duration '{'9' * 400}s' is longer than a hundred years"),
    ],
)
def test_what_is_no_duration_is_refused_with_a_reason(text, message):
    """The reason says what is wrong, quotes it, and shows what would be right."""
    with pytest.raises(ValueError) as caught:
        durations.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds"), [("3600", 3600), (" 900 ", 900), ("0900", 900), ("1h", 3600), ("-5", -5), ("0" * 30 + "5", 5)]
)
def test_plain_seconds_where_they_are_meant(text, seconds):
    """``duration_seconds = 3600`` is how the AWS CLI writes it; blanks around it do not matter."""
    assert durations.parse(text, plain=True) == seconds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abc", "invalid duration 'abc', for example 1h30m"),
        ("²", "invalid duration '²', for example 1h30m"),
        ("9" * 5000, f"duration '{'9' * 5000}' is longer than a hundred years"),
        ("1h30", "missing unit in duration '1h30', for example 1h30s or 1h30m"),
    ],
)
def test_what_is_neither_plain_seconds_nor_a_duration(text, message):
    """Thousands of digits are no more of a problem than letters."""
    with pytest.raises(ValueError) as caught:
        durations.parse(text, plain=True)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"), (7, "7s"), (59.9, "59s"), (60, "1m0s"), (3599, "59m59s"), (3600, "1h0m0s"), (129600, "36h0m0s"),
        (-100, "-1m40s"), (-0.5, "0s"),
    ],
)  # fmt: skip
def test_durations_are_shown_as_go_shows_them(seconds, text):
    """Hours are the largest unit; a leading unit that is zero is left out."""
    assert durations.show(seconds) == text


@given(SECONDS)
def test_what_is_shown_is_read_back(seconds):
    """parse(show(x)) == x, for every whole number of seconds within a hundred years."""
    assert durations.parse(durations.show(seconds)) == seconds


@given(st.lists(st.tuples(st.integers(0, 100), st.sampled_from(["s", "m", "h", "d"])), min_size=1), st.booleans())
def test_parts_add_up_in_any_order(parts, negative):
    """Each number counts by its unit, wherever it stands and however often the unit was there before."""
    text = "-" * negative + "".join(f"{number}{unit}" for number, unit in parts)
    total = sum(number * durations.UNITS[unit] for number, unit in parts)
    assert durations.parse(text) == (-total if negative else total)


@given(st.text("0123456789.+-smhdwnuµ é\n") | st.text(), st.booleans())
@example("1" + "0" * 310 + "w", False)
def test_any_text_is_a_duration_or_a_value_error(text, plain):
    """Nothing else ever comes out: whoever reads a duration has one error to expect."""
    try:
        seconds, message = durations.parse(text, plain=plain), ""
    except ValueError as error:
        seconds, message = 0, str(error)
    assert abs(seconds) <= durations.LONGEST_SECONDS
    assert not message or repr(text) in message


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-5, "less than a minute"),
        (59.9, "less than a minute"),
        (60, "1 minute"),
        (3599, "59 minutes"),
        (3600, "1 hour"),
        (86_399, "23 hours"),
        (86_400, "1 day"),
        (91.5 * 86_400, "91 days"),
    ],
)
def test_ages_are_shown_in_their_largest_unit(seconds, shown):
    """For people, who need not know more exactly."""
    assert durations.show_age(seconds) == shown
