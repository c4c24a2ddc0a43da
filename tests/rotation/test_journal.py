import json

import pytest

from strongroom.credentials import Credentials
from strongroom.keystore.memory import MemoryKeystore
from strongroom.own_items import OwnItems
from strongroom.rotation.journal import CREATED, KIND, PLANNED, STAGES, Journal, find

ARN = "arn:aws:iam::111111111111:user/jon"
NEW = Credentials("AKIANEW", "the new secret")
PLAN = Journal("jon", names=["jon", "copy"], arn=ARN, old="AKIAOLD", known=["AKIAOLD"])


def values(journal):
    return {name: getattr(journal, name) for name in Journal.__slots__}


@pytest.mark.parametrize("known", [None, (), ("AKIAOLD", "AKIAOTHER")])
@pytest.mark.parametrize("stage", STAGES)
def test_what_is_stored_comes_back(stage, known):
    """At every stage, through JSON."""
    new = None if stage == PLANNED else NEW
    made = Journal("jon", names=["jon", "copy"], arn=ARN, old="AKIAOLD", known=known, stage=stage, new=new)
    assert values(Journal.read("jon", json.loads(json.dumps(made.fields())))) == values(made)


def test_the_next_one():
    """A journal does not change; the next one keeps what it knows."""
    created = PLAN.at(CREATED, NEW)
    assert (PLAN.stage, PLAN.new, PLAN.new_id) == ("planned", None, "")
    assert values(created) == values(PLAN) | {"stage": "created", "new": NEW}
    assert (created.new_id, created.new_key) == ("AKIANEW", NEW)
    assert created.at("proved").new == NEW
    with pytest.raises(AssertionError, match="there is no new key yet: <Journal 'jon' planned>"):
        _ = PLAN.new_key


def test_no_secret_is_shown():
    """Neither by itself nor in an error."""
    assert repr(PLAN.at(CREATED, NEW)) == "<Journal 'jon' created>"


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "x"}, {"stage": None}, {"stage": ["planned"]}, {"names": None}, {"names": "jon"}, {"names": [1]}, {"arn": None},
        {"old": 1}, {"known": "x"}, {"known": [None]}, {"new": None}, {"new": ""}, {"new": 1}, {"secret": None},
        {"secret": ""},
    ],
)  # fmt: skip
def test_what_makes_no_sense(changed):
    """It is none."""
    assert Journal.read("jon", PLAN.at(CREATED, NEW).fields() | changed) is None
    assert Journal.read("jon", {}) is None


def test_finding_one():
    """By the profile that was named, or another one with a copy of its key; what cannot be read is not there."""
    own = OwnItems(MemoryKeystore())
    assert find(own, "jon") is None
    own.put(KIND, "ann", Journal("ann", names=["ann"], arn=ARN, old="AKIAANN", known=None).fields())
    own.put(KIND, "jon", PLAN.fields())
    own.put(KIND, "bad", {"names": ["copy"]})
    for name in ("jon", "copy"):
        assert values(find(own, name)) == values(PLAN)
    assert find(own, "bad") is None
