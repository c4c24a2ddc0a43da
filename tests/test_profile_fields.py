import pytest

from strongroom.profile_fields import FIELDS, ROLE_SECONDS, SESSION_SECONDS
from strongroom.profiles import Profile

BY_NAME = {field.name: field for field in FIELDS}


def test_each_field_is_an_annotated_attribute_of_a_profile():
    """The table and the types that checkers see name the same settings."""
    annotated = set(Profile.__annotations__) - {"name", "exists", "source", "warnings", "places"}
    assert annotated == set(BY_NAME)
    assert len(BY_NAME) == len(FIELDS)


def test_a_setting_stands_in_one_row_only():
    """No key and no variable means two settings."""
    keys = [field.key for field in FIELDS if field.key]
    variables = [variable for field in FIELDS for variable in field.variables]
    assert len(set(keys)) == len(keys)
    assert len(set(variables)) == len(variables)


def test_the_variables_of_the_role_count_for_the_target_only():
    """Five variables describe one AssumeRole; the others hold for the whole chain."""
    assert {variable for field in FIELDS if field.target for variable in field.variables} == {
        "AWS_ROLE_ARN",
        "AWS_ROLE_SESSION_NAME",
        "AWS_SESSION_TAGS",
        "AWS_TRANSITIVE_TAGS",
        "AWS_SOURCE_IDENTITY",
    }


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("region", "eu-west-1", "eu-west-1"),
        ("session_tags", " a = 1 , b=2", (("a", "1"), ("b", "2"))),
        ("session_tags", "a=b=c,d=", (("a", "b=c"), ("d", ""))),
        ("session_tags", "a=1,a=2", (("a", "2"),)),
        ("transitive_session_tags", ",x, y,", ("x", "y")),
        ("transitive_session_tags", " , ", None),
        ("sso_registration_scopes", "sso:account:access, x", ("sso:account:access", "x")),
        ("use_fips_endpoint", "TRUE", True),
        ("use_dualstack_endpoint", "false", False),
        ("assume_role_duration", "1h30m", 5_400),
        ("session_token_duration", "1d", 86_400),
        ("session_token_duration", "0", None),
        ("federation_token_duration", "0s", None),
    ],
)
def test_texts_become_values(name, text, value):
    """Each field reads its own kind of text; zero and nothing are "not set"."""
    assert BY_NAME[name].parse(text) == value


@pytest.mark.parametrize(("text", "value"), [("3600", 3_600), ("1h", 3_600), ("0", None), ("00", None)])
def test_duration_seconds_are_plain_or_with_units(text, value):
    """In a config file a bare number is seconds, as the AWS CLI writes it; `1h` is understood as well."""
    assert BY_NAME["assume_role_duration"].parse_key(text) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("session_tags", "a=1,", "'' is not KEY=VALUE: write KEY=VALUE,KEY=VALUE"),
        ("session_tags", "a", "'a' is not KEY=VALUE: write KEY=VALUE,KEY=VALUE"),
        ("session_tags", "=1", "'=1' is not KEY=VALUE: write KEY=VALUE,KEY=VALUE"),
        ("use_fips_endpoint", "yes", "'yes' is neither 'true' nor 'false'"),
        ("assume_role_duration", "3600", "missing unit in duration '3600', for example 3600s or 1h30m"),
    ],
)
def test_wrong_texts_say_why(name, text, message):
    """A text that is no value of the field is refused with the text and the right form."""
    with pytest.raises(ValueError) as raised:
        BY_NAME[name].parse(text)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "seconds", "others", "reason"),
    [
        ("assume_role_duration", ROLE_SECONDS[0], {"role_arn": "r"}, ""),
        ("assume_role_duration", ROLE_SECONDS[1], {"role_arn": "r"}, ""),
        ("assume_role_duration", 899, {"role_arn": "r"}, "14m59s is not within AWS's 15m0s to 12h0m0s"),
        ("assume_role_duration", 43_201, {"role_arn": "r"}, "12h0m1s is not within AWS's 15m0s to 12h0m0s"),
        ("assume_role_duration", 86_400, {}, ""),
        ("session_token_duration", SESSION_SECONDS[1], {}, ""),
        ("chained_session_token_duration", 129_601, {}, "36h0m1s is not within AWS's 15m0s to 36h0m0s"),
        ("federation_token_duration", None, {}, ""),
        ("region", 5, {}, ""),
    ],
)
def test_durations_have_limits(name, seconds, others, reason):
    """AWS's ranges hold for each duration; a role's only where there is a role."""
    assert BY_NAME[name].reason_against(seconds, others) == reason
