from strongroom.aws.failed import CallFailed
from strongroom.errors import AwsError


def test_a_refusal():
    """The facts are attributes; the message is for the log."""
    error = CallFailed("refused", "x was refused", status=400, code="X", said="no")
    assert isinstance(error, AwsError)
    assert (str(error), error.cause, error.status, error.code, error.said) == (
        "x was refused",
        "refused",
        400,
        "X",
        "no",
    )


def test_no_answer():
    """Then there is neither status nor code."""
    error = CallFailed("timeout", "x took too long")
    assert (error.cause, error.status, error.code, error.said) == ("timeout", 0, "", None)
