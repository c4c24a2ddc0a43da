import pytest

from strongroom import prompt
from strongroom.errors import PromptUnavailable


def test_each_driver_of_the_table_has_a_function():
    """And no function is missing from the table."""
    assert list(prompt.DRIVERS) == list(prompt._FUNCTIONS)
    assert prompt.driver("terminal") is prompt.ask


def test_an_unknown_driver():
    """The known ones are told."""
    with pytest.raises(PromptUnavailable) as caught:
        prompt.driver("carrier pigeon")
    assert caught.value.message == "no prompt driver is called 'carrier pigeon'"
    assert caught.value.hint == "known are: terminal"


@pytest.mark.parametrize(
    ("keys", "answer"),
    [("y\r", True), ("YES\r", True), (" y \r", True), ("\r", False), ("n\r", False), ("yep\r", False), ("\x04", False)],
)
def test_yes_or_no(person, keys, answer):
    """Only a yes is a yes."""
    someone = person('print(prompt.confirm("Remove it? "))')
    someone.expect("Remove it? ")
    someone.send(keys)
    assert someone.wait() == (0, f"{answer}\n", "")
    assert someone.as_before


def test_yes_or_no_without_a_terminal():
    """Nobody said yes, and nobody said no."""
    with pytest.raises(PromptUnavailable):
        prompt.confirm("Remove it?", terminal="/nowhere/tty")
