from strongroom.agent.failure import Failure


def test_a_failure():
    """The facts are attributes; its text is what the caller is told."""
    failure = Failure(400, "X", "no", kind="denied", reason="more than that")
    assert str(failure) == "400 X: no"
    assert (failure.status, failure.code, failure.message) == (400, "X", "no")
    assert (failure.kind, failure.reason, failure.outage) == ("denied", "more than that", False)
