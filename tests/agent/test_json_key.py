import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.agent.json_key import MAX_KEY_LENGTH, pick
from strongroom.serve.http import HttpError


def refusal(call, *arguments):
    with pytest.raises(HttpError) as caught:
        call(*arguments)
    return caught.value.status, caught.value.message, caught.value.code


def missing(message):
    return 404, message, "JsonKeyNotFound"


@pytest.mark.parametrize(
    ("text", "key", "picked"),
    [
        # strings are their text
        ('{"password":"hunter2"}', "password", "hunter2"),
        ('{"password":""}', "password", ""),
        (r'{"k":"a\"\n\u00e9\ud83d\ude00"}', "k", 'a"\né\U0001f600'),
        (r'{"k":"a\ud800"}', "k", "a\ufffd"),
        # anything else is its JSON
        ('{"k":1}', "k", "1"),
        ('{"k":1.10}', "k", "1.10"),
        ('{"k":-1E400}', "k", "-1E400"),
        ('{"k":12345678901234567890.123456789}', "k", "12345678901234567890.123456789"),
        ('{"k":true,"l":false}', "k", "true"),
        ('{"k":null}', "k", "null"),
        (
            r'{"k": {"b": [1.10, "x\ny", null, {}], "a/<": "é\u0001"}}',
            "k",
            r'{"b":[1.10,"x\ny",null,{}],"a/<":"é\u0001"}',
        ),
        ('{"k":[]}', "k", "[]"),
        # dots lead into objects, numbers into lists
        ('{"a":{"b":{"c":"x"}}}', "a.b.c", "x"),
        ('{"a":{"b":{"c":"x"}}}', "a.b", '{"c":"x"}'),
        ('{"users":[{"n":"x"},{"n":"y"}]}', "users.1.n", "y"),
        ('["x","y"]', "1", "y"),
        ("[[1,2],[3]]", "0.1", "2"),
        ('{"0":"x"}', "0", "x"),
        ('{"":{"":"x"}}', ".", "x"),
        ('{"":"x"}', "", "x"),
        # keys that hold dots go first
        ('{"a.b":"whole","a":{"b":"nested"}}', "a.b", "whole"),
        ('{"a":{"b":"nested"},"a.b":"whole"}', "a.b", "whole"),
        ('{"x":{"a.b":"whole","a":{"b":"nested"}}}', "x.a.b", "whole"),
        ('{"a.b":{"c":"longer"},"a":{"b.c":"shorter"}}', "a.b.c", "longer"),
        ('{"a.b":"dead end","a":{"b":{"c":"x"}}}', "a.b.c", "x"),
        # the last of several counts, as in most readers
        ('{"k":"x","k":"y"}', "k", "y"),
        ('{"1e2":{"k":"x"}}', "1e2.k", "x"),
    ],
)
def test_pick(text, key, picked):
    """A value is found by its key, a string as text, anything else as JSON with its numbers as they were written."""
    assert pick(text, key, "secret").decode() == picked


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"password":"hunter2"}', "user"),
        ('{"password":"hunter2"}', "Password"),
        ('{"password":"hunter2"}', "password.x"),
        ('{"password":"hunter2"}', "password.0"),
        ('{"password":"hunter2"}', ""),
        ('{"password":12}', "password.0"),
        ('["hunter2"]', "1"),
        ('["hunter2"]', "-1"),
        ('["hunter2"]', "00"),
        ('["hunter2"]', "²"),
        ('["hunter2"]', "٠"),
        ('["hunter2"]', "0."),
        ('["hunter2"]', "9" * MAX_KEY_LENGTH),
        ('"hunter2"', "hunter2"),
        ("12", "0"),
        ("null", "x"),
        ("{}", "a'b\n"),
    ],
)
def test_no_such_value(text, key):
    """What is not there is told by the name that was asked for, nothing else."""
    assert refusal(pick, text, key, "secret") == missing(f"the secret has no value at {key!r}")


@pytest.mark.parametrize(
    "text", ["hunter2", "", '{"password":"hunter2"', "{'password':1}", '{"k":NaN}', '{"k":Infinity}', "[" * 100_000]
)
def test_not_json(text):
    """A secret that is not JSON has no keys, and nothing of it hangs on the error."""
    with pytest.raises(HttpError) as caught:
        pick(text, "password", "secret")
    error = caught.value
    assert (error.status, error.message, error.code) == missing("the secret is not JSON")
    assert error.__context__ is None


def test_not_text():
    """What is binary has no keys."""
    assert refusal(pick, None, "k", "secret") == missing("the secret is not text")


def test_long_keys():
    """A key's length is bounded, a long one is found."""
    key = "k" * MAX_KEY_LENGTH
    assert pick(json.dumps({key: "x"}), key, "secret") == b"x"
    assert refusal(pick, "{}", key + "k", "secret") == missing("a jsonKey has at most 1024 characters, not 1025")


def test_many_ways():
    """A key of dots only, in a secret with as many ways to go, ends."""
    deep = '{"a":' * 400 + "1" + "}" * 400
    asked = "a." * (MAX_KEY_LENGTH // 2 - 1) + "a"
    assert refusal(pick, deep, asked, "secret") == missing(f"the secret has no value at {asked!r}")


def test_parameter():
    """A parameter is called one."""
    assert pick('{"a":{"b":"x"}}', "a.b", "parameter") == b"x"
    assert refusal(pick, "{}", "c", "parameter") == missing("the parameter has no value at 'c'")
    assert refusal(pick, None, "c", "parameter") == missing("the parameter is not text")
    assert refusal(pick, "x", "c", "parameter") == missing("the parameter is not JSON")


SIMPLE = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SIMPLE, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))


@given(VALUES.filter(lambda value: not isinstance(value, str)), st.text())
def test_values_survive(value, key):
    """What is picked reads back as what was there."""
    assert json.loads(pick(json.dumps({key: value}), key, "secret")) == value


@given(st.text() | VALUES.map(json.dumps), st.text())
def test_never_fails_otherwise(text, key):
    """Whatever is asked of whatever, there is a value or a 404."""
    try:
        picked = pick(text, key, "secret")
    except HttpError as error:
        picked = error
    assert isinstance(picked, bytes) or (picked.status, picked.code) == (404, "JsonKeyNotFound")
