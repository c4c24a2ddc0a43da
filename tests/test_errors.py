import inspect
import re

import pytest

from strongroom import errors

CLASSES = {
    name: found
    for name, found in vars(errors).items()
    if inspect.isclass(found) and issubclass(found, errors.StrongroomError)
}

# How each is made, and its message, hint and facts.
MADE = [
    (errors.StrongroomError("m"), "m", "", {}),
    (errors.UsageError("m", "h"), "m", "h", {"word": "", "known": ()}),
    (errors.UsageError("m", word="exce", known=["exec"]), "m", "", {"word": "exce", "known": ("exec",)}),
    (errors.ConfigError("m", "h"), "m", "h", {}),
    (errors.ProfileError("m"), "m", "", {}),
    (errors.ProfileNotFound("jo", "m", "h", known=iter(["jon"])), "m", "h",
     {"name": "jo", "word": "jo", "known": ("jon",)}),
    (errors.ProfileLoop(iter(["a", "b", "a"]), "source_profile", "h"),
     "loop detected in config file for profile 'a': source_profile leads a -> b -> a", "h",
     {"names": ("a", "b", "a"), "field": "source_profile"}),
    (errors.ProfileIncomplete("p", "f", "m", "h"), "m", "h", {"name": "p", "field": "f"}),
    (errors.KeystoreError("m"), "m", "", {}),
    (errors.ItemNotFound("k"), "no item 'k' in the keystore", "", {"key": "k"}),
    (errors.ItemNotFound("k", "m", "h"), "m", "h", {"key": "k"}),
    (errors.ItemDamaged("k", "m", "h"), "m", "h", {"key": "k"}),
    (errors.KeystoreLocked("m"), "m", "", {}),
    (errors.KeystoreUnavailable("m"), "m", "", {}),
    (errors.NoKeystore(iter([("file", "r1"), ("pass", "r2")]), "h"),
     "no keystore can be used here (file: r1; pass: r2)", "h", {"reasons": (("file", "r1"), ("pass", "r2"))}),
    (errors.PromptError("m"), "m", "", {}),
    (errors.PromptUnavailable("m"), "m", "", {}),
    (errors.PromptDismissed("m"), "m", "", {}),
    (errors.PromptFailed("m"), "m", "", {}),
    (errors.LockError("m"), "m", "", {}),
    (errors.LockTimeout(7, "exec jon", "m", "h"), "m", "h", {"pid": 7, "command": "exec jon"}),
    (errors.CredentialsError("m"), "m", "", {}),
    (errors.NoCredentials("p", hint="h"), "profile p: credentials missing", "h", {"profile": "p"}),
    (errors.NoCredentials("p", "m"), "m", "", {"profile": "p"}),
    (errors.MfaRequired("s", "m", "h"), "m", "h", {"serial": "s"}),
    (errors.MfaRefused("s", "m", "h"), "m", "h", {"serial": "s"}),
    (errors.AwsError("m"), "m", "", {}),
    (errors.AwsRefused("Throttling", 400, "m", "h"), "m", "h", {"code": "Throttling", "status": 400}),
    (errors.AwsUnreachable("m"), "m", "", {}),
    (errors.CommandError(127, "m", "h"), "m", "h", {}),
]  # fmt: skip


def test_the_docstring_draws_the_tree_as_it_is():
    """Each class stands in the drawing, below its parent, and nothing else does."""
    drawn, parents = {}, {-1: Exception}
    for line in errors.__doc__.partition("::")[2].splitlines():
        row = re.match(r"( +)([A-Z]\w+)(  |$)", line)
        if row and row[2] in CLASSES:
            depth = len(row[1])
            parent = parents[max(each for each in parents if each < depth)]
            parents = {each: found for each, found in parents.items() if each < depth} | {depth: CLASSES[row[2]]}
            drawn[row[2]] = parent
    assert drawn == {name: found.__base__ for name, found in CLASSES.items()}


def test_exit_statuses():
    """A wrong command line is 2, a command that cannot be run says its own, everything else is 1."""
    others = {name: found.exit_status for name, found in CLASSES.items()} | {"UsageError": 1}
    assert errors.UsageError.exit_status == 2
    assert set(others.values()) == {1}
    assert errors.CommandError(126, "m").exit_status == 126


@pytest.mark.parametrize(("error", "message", "hint", "facts"), MADE, ids=lambda value: type(value).__name__)
def test_a_message_a_hint_and_facts(error, message, hint, facts):
    """An error is told by its message, helped by its hint, and carries its facts as attributes."""
    assert (str(error), error.message, error.hint) == (message, message, hint)
    assert {name: getattr(error, name) for name in facts} == facts


def test_every_error_is_tried_here():
    """A new error needs a line above."""
    assert {type(error).__name__ for error, *_ in MADE} == set(CLASSES)
