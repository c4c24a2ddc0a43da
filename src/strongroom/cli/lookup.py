"""Which file a command's first word means, as execvp(3) looks for it."""

from __future__ import annotations

import errno
import os

from strongroom.errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    T = TypeVar("T")

NOT_FOUND, NOT_EXECUTABLE = 127, 126


def start(command: Sequence[str], variables: Mapping[str, str], run: Callable[[str, list[str]], T]) -> T:
    """Run the first file that can be.

    `os.execvpe` differs: it passes over an executable file without a first line, and runs another one of that name.

    Args:
        command: Its words.
        variables: Its environment, in which its ``PATH`` is.
        run: Runs a file with these words, or raises OSError.

    Raises:
        CommandError: It cannot be run.
    """
    try:
        return _start(list(command), variables, run)
    except OSError as error:
        raise _cannot_run(command[0], error) from error
    except ValueError as error:  # an empty word, which the interpreter does not even look for
        raise _cannot_run(command[0], FileNotFoundError()) from error


def _start(command: list[str], variables: Mapping[str, str], run: Callable[[str, list[str]], T]) -> T:
    word = command[0]
    folders = [""] if os.sep in word or not word else os.get_exec_path(variables)
    failure: OSError = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    for folder in folders:
        path = os.path.join(folder, word)
        try:
            return run(path, command)
        except PermissionError as error:
            failure = error  # what counts, unless another directory has one that may be run
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return run("/bin/sh", ["/bin/sh", path, *command[1:]])
    raise failure


def _cannot_run(word: str, error: OSError) -> CommandError:
    if isinstance(error, (FileNotFoundError, NotADirectoryError)):
        hint = "the first word after the profile is the command; flags of ours stand before it"
        return CommandError(NOT_FOUND, f"command not found: {word!r}", hint)
    return CommandError(NOT_EXECUTABLE, f"cannot run {word!r}: {error.strerror}")
