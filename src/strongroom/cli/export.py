"""``export``: print temporary credentials, for a shell, a file, or an SDK's credential_process."""

from __future__ import annotations

from importlib import import_module

from strongroom.cli import retrieval
from strongroom.cli.flags import Flag
from strongroom.cli.terminal import answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings

FORMATS = ("env", "export-env", "json", "ini", "fish", "powershell", "cmd", "nu")

FLAGS = (
    *retrieval.FLAGS,
    *retrieval.NARROWING,
    Flag("format", f"one of {', '.join(FORMATS)}; env is the default", value="FORMAT", choices=FORMATS),
    retrieval.STDOUT,
)
WORDS = ("[profile]",)
RUNS = False


def run(arguments: Arguments, settings: Settings) -> int:
    """Print the credentials of a profile."""
    retrieval.refuse_foreign_nesting(settings, "in an existing aws-vault subshell")
    return print_credentials(settings, arguments.text("format") or "env")


def print_credentials(settings: Settings, form: str) -> int:
    """Print the credentials of the profile that *settings* names in one of `FORMATS`."""
    profile, steps = retrieval.planned(settings, retrieval.profile_name(settings))
    credentials = retrieval.credentials(settings, profile, steps)
    if form == "json":
        answer(credentials.process_json() + "\n")
        return 0
    variables = credentials.environment()
    if profile.region:
        variables |= {"AWS_REGION": profile.region, "AWS_DEFAULT_REGION": profile.region}
    if form == "env":
        answer("".join(f"{name}={value}\n" for name, value in variables.items()))
    else:
        answer(import_module("strongroom.cli.quoting").written(form, variables, profile.name))
    return 0
