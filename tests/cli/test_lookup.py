import errno
import os
import sys

import pytest

from strongroom.cli import lookup
from strongroom.errors import CommandError

if sys.platform == "win32":
    pytest.skip("Windows looks for programs in its own way", allow_module_level=True)


class Runs:
    """Stands for the system: which paths can be run, and why the others cannot."""

    def __init__(self, **failures):
        self.failures = failures
        self.tried = []

    def __call__(self, path, words):
        self.tried.append((path, words))
        number = self.failures.get(os.path.dirname(path).strip("/"), 0)
        if number:
            raise OSError(number, os.strerror(number))
        return path


def refused(command, variables, run):
    with pytest.raises(CommandError) as caught:
        lookup.start(command, variables, run)
    return caught.value.exit_status, caught.value.message


PATH = {"PATH": "/a:/b"}


def test_the_first_directory_of_path():
    """The command's own PATH, in order."""
    run = Runs(a=errno.ENOENT)
    assert lookup.start(["ls", "-l"], PATH, run) == "/b/ls"
    assert run.tried == [("/a/ls", ["ls", "-l"]), ("/b/ls", ["ls", "-l"])]


def test_a_path_is_taken_as_it_is():
    """With a slash in it nothing is looked for."""
    run = Runs()
    assert lookup.start(["./ls"], PATH, run) == "./ls"
    assert run.tried == [("./ls", ["./ls"])]


def test_a_script_without_a_first_line():
    """The shell runs it, and no other file of that name."""
    run = Runs(a=errno.ENOEXEC)
    assert lookup.start(["x", "1"], PATH, run) == "/bin/sh"
    assert run.tried[-1] == ("/bin/sh", ["/bin/sh", "/a/x", "1"])


@pytest.mark.parametrize(
    ("failures", "expected"),
    [
        ({"a": errno.ENOENT, "b": errno.ENOTDIR}, (127, "command not found: 'x'")),
        ({"a": errno.EACCES, "b": errno.ENOENT}, (126, "cannot run 'x': Permission denied")),
        ({"a": errno.E2BIG}, (126, "cannot run 'x': Argument list too long")),
    ],
)
def test_what_cannot_be_run(failures, expected):
    """127 for what is nowhere, 126 for what is somewhere."""
    assert refused(["x"], PATH, Runs(**failures)) == expected


def test_a_word_that_names_nothing():
    """An empty word, and one with a NUL, are no commands; the interpreter does not even look for them."""

    def run(path, words):
        raise ValueError("execve: path should not be empty")

    assert refused([""], PATH, run) == (127, "command not found: ''")
