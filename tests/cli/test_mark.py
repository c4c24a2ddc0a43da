"""The mark that a strongroom leaves for one inside its child."""

from hypothesis import given
from hypothesis import strategies as st

from strongroom.cli import mark

names = st.text("ABC_", min_size=1)
values = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.dictionaries(names, values), st.dictionaries(names, values))
def test_what_is_unchanged_is_ours(ours, since):
    """Exactly those that still have the value they were given are read back, whatever else has been set since."""
    environ = ours | since | {mark.MARK: mark.written(ours)}
    assert mark.read(environ) == {name for name, value in ours.items() if since.get(name, value) == value}


def test_the_mark():
    """Names and checksums (CRC-32), no values."""
    assert mark.written({"AWS_VAULT": "jon", "AWS_REGION": "eu-west-1"}) == "AWS_VAULT:f26eacd3,AWS_REGION:a6544782"


def test_a_mark_that_is_none():
    """Junk marks nothing."""
    for text in ("", ",", ":", "AWS_VAULT", "AWS_VAULT:", ":00000000", "AWS_VAULT:zz"):
        assert mark.read({"AWS_VAULT": "jon", mark.MARK: text}) == frozenset()
    assert mark.read({"AWS_VAULT": "jon"}) == frozenset()
