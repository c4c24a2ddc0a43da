import pytest

from strongroom.aws import secretsmanager
from strongroom.credentials import Credentials

KEY = Credentials("AKIA", "s")


class Recorded:
    """A chain that answers nothing and notes what is asked."""

    def __init__(self):
        self.calls = []

    def call(self, service, operation, members, **settings):
        self.calls.append((service, operation, members, settings))
        return {}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({}, {}),
        ({"version_id": "v", "version_stage": "s"}, {"VersionId": "v", "VersionStage": "s"}),
        ({"version_id": "", "version_stage": ""}, {"VersionId": "", "VersionStage": ""}),
    ],
)
def test_one_secret(given, sent):
    """Only what is given is sent, and that also if it is empty."""
    chain = Recorded()
    secretsmanager.get_secret_value(chain, "eu-west-1", KEY, secret_id="a", **given)
    assert chain.calls == [
        ("secretsmanager", "GetSecretValue", {"SecretId": "a"} | sent, {"region": "eu-west-1", "credentials": KEY})
    ]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"ids": ("a", "b")}, {"SecretIdList": ["a", "b"]}),
        ({"ids": ["a"], "next_token": "t"}, {"SecretIdList": ["a"], "NextToken": "t"}),
        ({"tag_key": "k", "max_results": 3}, {"Filters": [{"Key": "tag-key", "Values": ["k"]}], "MaxResults": 3}),
        (
            {"tag_key": "k", "max_results": 3, "next_token": "t"},
            {"Filters": [{"Key": "tag-key", "Values": ["k"]}], "MaxResults": 3, "NextToken": "t"},
        ),
    ],
)
def test_several_secrets(given, sent):
    """By id without a number, or by tag with one; it may take longer."""
    chain = Recorded()
    secretsmanager.batch_get_secret_value(chain, None, KEY, **given)
    assert chain.calls == [
        ("secretsmanager", "BatchGetSecretValue", sent, {"region": None, "credentials": KEY, "patient": True})
    ]
