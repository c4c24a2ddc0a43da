import pytest

from strongroom.cli.terminal import Talk
from strongroom.cli.trouble import report
from strongroom.errors import AwsRefused, ProfileNotFound, StrongroomError, UsageError


def said(capfd, error, *, program="strongroom", command="", debug=False):
    talk = Talk(program)
    talk.command = command
    talk.debug_is_on = debug
    report(error, talk)
    out, err = capfd.readouterr()
    assert out == ""
    return err


def test_a_message_and_a_hint(capfd):
    """A line each, with the command that was run."""
    error = AwsRefused("AccessDenied", 403, "no", "ask your administrator")
    assert said(capfd, error, command="exec") == (
        "strongroom: error: exec: no\nstrongroom: hint: ask your administrator\n"
    )
    assert said(capfd, StrongroomError("no")) == "strongroom: error: no\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (UsageError("m", word="exce", known=["export", "exec"]), "error: m, try --help\nhint: did you mean 'exec'?\n"),
        (UsageError("m", "h", word="exce", known=["exec"]), "error: m, try --help\nhint: did you mean 'exec'?\n"),
        (UsageError("m", "h", word="zzz", known=["exec"]), "error: m, try --help\nhint: h\n"),
        (UsageError("m", word="zzz", known=[]), "error: m, try --help\n"),
        (UsageError("m", "h", known=["exec"]), "error: m, try --help\nhint: h\n"),
        (ProfileNotFound("jno", "m", "h", known=["ann", "jon"]), "error: m\nhint: did you mean 'jon'?\n"),
        (ProfileNotFound("x", "m", "h", known=["ann", "jon"]), "error: m\nhint: h\n"),
    ],
)
def test_the_nearest_word(capfd, error, text):
    """A word that is nearly right is suggested; a wrong command line points to the help."""
    assert said(capfd, error) == "".join(f"strongroom: {line}\n" for line in text.splitlines())


def test_what_to_type_is_said_with_the_name_that_was_typed(capfd):
    """A symlink named aws-vault is known by that name."""
    error = StrongroomError("no", "store it with `strongroom add jon`; strongroom keeps it")
    assert said(capfd, error, program="aws-vault") == (
        "aws-vault: error: no\naws-vault: hint: store it with `aws-vault add jon`; strongroom keeps it\n"
    )


def raised():
    try:
        try:
            raise OSError("the cause \udcff")
        except OSError as cause:
            raise StrongroomError("no") from cause
    except StrongroomError as error:
        return error


def test_details_if_they_are_wanted(capfd):
    """The way that the error took, with its cause, before the message."""
    text = said(capfd, raised(), debug=True)
    assert text.startswith("Traceback (most recent call last):\n")
    assert "OSError: the cause \\udcff\n" in text
    assert "in raised\n" in text
    assert text.endswith("strongroom: error: no\n")
    assert "Traceback" not in said(capfd, raised())
