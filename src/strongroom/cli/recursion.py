"""Programs that we run to get what we need, and that ask us for it in turn: a mark in their environment finds out."""

from __future__ import annotations

from strongroom.cli import environment
from strongroom.errors import CredentialsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class Running:
    """The profiles whose programs are running, and wait for us.

    Args:
        variable: What names them, one a line, in the environment of those programs.
        inherited: Our own environment.
    """

    __slots__ = ("_inherited", "_names", "_variable")

    def __init__(self, variable: str, inherited: Mapping[str, str]) -> None:
        self._variable = variable
        self._inherited = inherited
        self._names = inherited.get(variable, "").splitlines()

    def refuse(self, profile: str, field: str, hint: str) -> None:
        """Refuse to run the program of a profile for the sake of that very program.

        Args:
            profile: Whose.
            field: The setting that names the program.
            hint: What to do about it.

        Raises:
            CredentialsError: It is running.
        """
        if profile in self._names:
            raise CredentialsError(f"the {field} of profile {profile!r} asks strongroom for that same profile", hint)

    def environment(self, profile: str) -> dict[str, str]:
        """The environment of a program that is run on behalf of *profile*, which it tells of."""
        variables = environment.of_helper(self._inherited)
        variables[self._variable] = "\n".join([*self._names, profile])
        return variables
