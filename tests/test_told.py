import json

import pytest

from strongroom.errors import (
    AwsError,
    AwsRefused,
    AwsUnreachable,
    LockError,
    MfaRefused,
    PromptDismissed,
    PromptFailed,
)
from strongroom.told import tell, told


@pytest.mark.parametrize("error", [
    AwsRefused("AccessDenied", 403, "no", "ask for it"),
    AwsUnreachable("away", "wait"),
    AwsError("odd", ""),
    MfaRefused("arn:aws:iam::111111111111:mfa/jon", "wrong code", "again"),
    PromptDismissed("not now", ""),
    PromptFailed("no window", "install one"),
], ids=lambda error: type(error).__name__)  # fmt: skip
def test_a_failure_is_told_as_it_was(error):
    """By way of JSON: kind, message, hint and facts."""
    heard = told(json.loads(json.dumps(tell(error))))
    assert type(heard) is type(error)
    assert (str(heard), vars(heard)) == (str(error), vars(error))


@pytest.mark.parametrize("failure", [{"message": "m", "hint": "h"}, tell(LockError("m", "h"))])
def test_what_is_of_no_such_kind(failure):
    """As another version may write it: the message counts."""
    heard = told(failure)
    assert type(heard) is AwsError
    assert (heard.message, heard.hint) == ("m", "h")
