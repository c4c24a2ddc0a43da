"""Variables written so that a shell, or a file's reader, gets exactly the values back."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from strongroom.errors import StrongroomError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# PowerShell takes these for a single quote too, and reads a doubled one as one:
# https://learn.microsoft.com/powershell/scripting/lang-spec/chapter-02 (single-quote-character)
_POWERSHELL_QUOTES = re.compile("['\u2018\u2019\u201a\u201b]")

_CONTROLS = re.compile("[\\x00-\\x1f\\x7f]")

_INI_KEYS = {
    "AWS_ACCESS_KEY_ID": "aws_access_key_id",
    "AWS_SECRET_ACCESS_KEY": "aws_secret_access_key",
    "AWS_SESSION_TOKEN": "aws_session_token",
    "AWS_CREDENTIAL_EXPIRATION": "aws_credential_expiration",
    "AWS_REGION": "region",
}


def posix(value: str) -> str:
    """Quote for sh, bash, zsh, ksh; a plain word stays plain."""
    return shlex.quote(value)


def fish(value: str) -> str:
    r"""Quote for fish, in whose single quotes ``\`` and ``'`` are escaped."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def powershell(value: str) -> str:
    """Quote for PowerShell, in whose single quotes a quote is doubled."""
    return "'" + _POWERSHELL_QUOTES.sub(lambda quote: quote[0] * 2, value) + "'"


def nu(value: str) -> str:
    r"""Quote for Nushell, in whose double quotes ``\`` and ``"`` are escaped, and ``\u{1b}`` is a character.

    The form without braces, JSON's, is an error there:
    https://www.nushell.sh/book/working_with_strings.html#double-quoted-strings
    """
    value = value.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + _CONTROLS.sub(lambda control: f"\\u{{{ord(control[0]):x}}}", value) + '"'


def cmd(value: str) -> str:
    """Check that ``set "NAME=value"`` gives the value back: cmd.exe has no way to quote some characters.

    Raises:
        StrongroomError: It would not.
    """
    if re.search(r'["%!^\r\n]', value):
        raise StrongroomError(
            "a value holds a character that cmd.exe cannot take safely", "use --format=json, or another shell"
        )
    return value


_SHELLS: dict[str, tuple[str, Callable[[str], str]]] = {
    "export-env": ("export {name}={value}", posix),
    "fish": ("set -gx {name} {value}", fish),
    "powershell": ("$Env:{name} = {value}", powershell),
    "cmd": ('set "{name}={value}"', cmd),
    "nu": ("$env.{name} = {value}", nu),
}


def written(form: str, variables: Mapping[str, str], profile: str) -> str:
    """The lines that set *variables*.

    Args:
        form: A shell's format, or ``ini``.
        variables: Names and values.
        profile: The section's name in an INI file.

    Raises:
        StrongroomError: A value cannot be written in this form.
    """
    if form == "ini":
        return _ini(variables, profile)
    line, quote = _SHELLS[form]
    return "".join(line.format(name=name, value=quote(value)) + "\n" for name, value in variables.items())


def _ini(variables: Mapping[str, str], profile: str) -> str:
    if any("\n" in text or "\r" in text for text in (*variables.values(), profile)):
        raise StrongroomError("a value or the profile's name holds a line break, which an INI file cannot keep")
    lines = [f"[{profile}]"]
    lines += [f"{key}={variables[name]}" for name, key in _INI_KEYS.items() if name in variables]
    return "\n".join(lines) + "\n"
