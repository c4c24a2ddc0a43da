"""``serve``: serve credentials of profiles to all programs of yours, until you end it.

`serve PROFILE...` begins, and `serve start PROFILE...` too, whatever profiles are
called. `serve env PROFILE` prints variables for a shell to evaluate, `serve
docker-env PROFILE` flags for a container; `serve status` and `serve stop` do what
they say; `serve install PROFILE...` makes it a service of yours.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import quote

from strongroom.cli import environment, retrieval, shadows
from strongroom.cli.flags import Flag
from strongroom.cli.standing_files import Files
from strongroom.cli.terminal import answer
from strongroom.credentials import go_json
from strongroom.endpoints.standing import STATUS
from strongroom.errors import StrongroomError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.endpoints.state import State

HOST = "127.0.0.1"
# What a shell, or a program, can read; an INI file has no place for these variables.
FORMATS = ("export-env", "env", "json", "fish", "powershell", "cmd", "nu")
SERVICES = ("systemd", "launchd")

_START = (
    *(flag for flag in retrieval.FLAGS if flag.name != "no-session"),
    Flag("lazy", "get credentials when somebody asks for them"),
    Flag("detach", "return when it listens, and let it go on in the background"),
    Flag("detached", hidden=True),
    Flag("allow-role", "let programs assume roles whose ARN fits; may be repeated", value="GLOB", many=True),
    Flag("new-tokens", "forget who was told the tokens"),
    Flag("listen", "listen on this address too, to which others may have access", value="ADDRESS[:PORT]"),
    Flag("from", "with --listen: serve this network only; may be repeated", value="NETWORK", many=True),
    Flag("host", "with --listen: how clients may call this machine; may be repeated", value="NAME", many=True),
    Flag("i-know", "with --listen: 0.0.0.0 is meant"),
)
_OF_OTHERS = (
    Flag("format", f"env: one of {', '.join(FORMATS)}", value="FORMAT", choices=FORMATS),
    Flag("token-file", "env: name the file that holds the token, instead of the token"),
    Flag("json", "status: the same, as JSON"),
    Flag("sidecar", "docker-env: of a container beside a relay at 169.254.170.2"),
    Flag("compose", "docker-env: the variables for examples/compose.yaml"),
    Flag("kind", f"install: {' or '.join(SERVICES)}", value="KIND", choices=SERVICES),
    Flag("stdout", "install: print it, and write nothing"),
)
FLAGS = (*_START, *_OF_OTHERS)
WORDS = ("[action]", "[profile]...")
RUNS = False

TOKEN, TOKEN_FILE = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
# What the variables of a server are not good beside.
_OTHERS = frozenset({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", TOKEN, TOKEN_FILE})

# How long one may take to end: what is in hand is answered before.
STOP_SECONDS = 15.0
# For a server of this machine to say how it is.
_STATUS_SECONDS = 5.0


def run(arguments: Arguments, settings: Settings) -> int:
    """Start a server, or do something about the one that is there.

    Raises:
        UsageError: A flag is of another action.
    """
    words = list(arguments.words)
    action = words.pop(0) if words and words[0] in ACTIONS else "start"
    _check_flags(arguments, action)
    arguments.words = words
    return ACTIONS[action](arguments, settings)


def _check_flags(arguments: Arguments, action: str) -> None:
    """Refuse flags of another action.

    Raises:
        UsageError: There is one.
    """
    theirs = {flag.name: flag.help.partition(":")[0] for flag in _OF_OTHERS}
    of_start = {flag.name: flag for flag in _START}
    for name in arguments.values:
        if name in theirs and theirs[name] != action and arguments.values[name]:
            raise UsageError(f"--{name} is for `serve {theirs[name]}`")
        flag = of_start.get(name)
        # A variable may stand in for a flag, and is there for all commands.
        if flag is not None and not flag.env and action not in {"start", "install"} and arguments.values[name]:
            raise UsageError(f"--{name} is for `serve start`")


def _start(arguments: Arguments, settings: Settings) -> int:
    retrieval.refuse_foreign_nesting(settings, "running in an existing aws-vault subshell")
    status: int = import_module("strongroom.cli.standing").start(arguments, settings, _names(settings))
    return status


def _names(settings: Settings) -> list[str]:
    """The profiles that are named, each once.

    Raises:
        UsageError: None is, or a flag would allow roles of a kind that there is not.
    """
    import_module("strongroom.cli.renewal").check_roles(settings.arguments)
    for name in settings.arguments.words:
        retrieval.refuse_bytes(name)
    return list(dict.fromkeys(settings.arguments.words)) or [retrieval.profile_name(settings)]


def _install(arguments: Arguments, settings: Settings) -> int:
    status: int = import_module("strongroom.cli.service_units").install(arguments, settings, _names(settings))
    return status


def _docker_env(arguments: Arguments, settings: Settings) -> int:
    state, name = served(settings)
    status: int = import_module("strongroom.cli.containers").run(arguments, settings, state, name, path_of(name))
    return status


# The one that is there


def running(settings: Settings) -> tuple[int, State]:
    """The process that serves, and its state.

    Raises:
        StrongroomError: There is none.
    """
    files = Files(settings)
    pid = files.server()
    if not pid:
        raise StrongroomError("no server is running", f"start one with `{settings.talk.program} serve PROFILE`")
    return pid, files.read()


def served(settings: Settings) -> tuple[State, str]:
    """The state of the server, and the profile that is meant.

    Raises:
        StrongroomError: There is no server, or it does not serve that.
        UsageError: It is not said which is meant.
    """
    _, state = running(settings)
    words = settings.arguments.words
    if len(words) > 1:
        raise UsageError(f"unexpected {words[1]!r}")
    name = words[0] if words else settings.variable("AWS_PROFILE")
    if not name and len(state.serving) == 1:
        name = state.serving[0]
    if not name:
        raise UsageError("required argument 'profile' not provided", f"one of {', '.join(state.serving)}")
    if name not in state.serving:
        raise StrongroomError(
            f"profile {name!r} is not served, but {', '.join(map(repr, state.serving))}",
            f"end the server with `{settings.talk.program} serve stop`, and start one of all profiles that you need",
        )
    return state, name


def path_of(name: str) -> str:
    """The path of a profile's credentials."""
    return f"/profile/{quote(name, safe='')}"


def _env(arguments: Arguments, settings: Settings) -> int:
    """Print the variables that lead to the server."""
    state, name = served(settings)
    profile = settings.profile(name)
    variables = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{HOST}:{state.port}{path_of(name)}"}
    if arguments.on("token-file"):
        variables[TOKEN_FILE] = Files(settings).token(name)
    else:
        variables[TOKEN] = state.tokens[name]
    variables |= region_of(settings, name)
    form = arguments.text("format") or "export-env"
    if form == "json":
        answer(go_json(variables, indent=2) + "\n")
    elif form == "env":
        answer("".join(f"{key}={value}\n" for key, value in variables.items()))
    else:
        answer(import_module("strongroom.cli.quoting").written(form, variables, profile.name))
    # Of two tokens most take the file's, and some the other.
    heeded = environment.STALE | environment.CHOOSERS | _OTHERS - variables.keys()
    before = sorted(key for key, value in settings.inherited.items() if key in heeded and value)
    if before:
        settings.talk.warn(f"SDKs heed these variables before they ask a server, so unset them: {' '.join(before)}")
    for shadow in shadows.of(settings, settings.inherited):
        settings.talk.warn(shadow)
    return 0


def region_of(settings: Settings, name: str) -> dict[str, str]:
    """The variables of a profile's region, if it has one."""
    region = settings.profile(name).region
    return {"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}


def _status(arguments: Arguments, settings: Settings) -> int:
    """Print who serves what, and until when the credentials are good; 1 if nobody does."""
    _no_words(settings)
    pid, state = running(settings)
    url = f"http://{HOST}:{state.port}"
    rows = [(name, _until(state, name)) for name in state.serving]
    if arguments.on("json"):
        found = [{"profile": name, "expiration": until} for name, until in rows]
        answer(go_json({"pid": pid, "url": url, "profiles": found}, indent=2) + "\n")
    else:
        width = max((len(name) for name, _ in rows), default=0)
        lines = [f"process {pid} serves at {url}"]
        lines += [
            f"  {name:{width}}  {f'credentials until {until}' if until else 'no credentials now'}"
            for name, until in rows
        ]
        answer("\n".join(lines) + "\n")
    return 0


def _until(state: State, name: str) -> str | None:
    """Until when a profile's credentials are good, as the server says; None if there are none now.

    Raises:
        StrongroomError: It does not say.
    """
    connection = http.client.HTTPConnection(HOST, state.port, timeout=_STATUS_SECONDS)
    try:
        connection.request("GET", STATUS, headers={"Authorization": state.tokens[name]})
        reply = connection.getresponse()
        found = json.loads(reply.read()) if reply.status == http.client.OK else None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StrongroomError(
            f"the server does not answer on port {state.port}: {error}", "it may be starting still, or ending"
        ) from error
    finally:
        connection.close()
    if not isinstance(found, dict):
        raise StrongroomError(f"the server refuses to say how {name!r} is: status {reply.status}")
    until = found.get("Expiration")
    return str(until) if until else None


def _stop(_arguments: Arguments, settings: Settings) -> int:
    """End it, and wait for its end."""
    _no_words(settings)
    files = Files(settings)
    pid, _ = running(settings)
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has ended by itself
    except OSError as error:
        raise StrongroomError(f"cannot end process {pid}: {error.strerror}") from error
    if not files.has_ended(STOP_SECONDS):
        raise StrongroomError(f"process {pid} has not ended", f"end it with `kill -9 {pid}`")
    answer(f"process {pid} has ended\n")
    return 0


def _no_words(settings: Settings) -> None:
    if settings.arguments.words:
        raise UsageError(f"unexpected {settings.arguments.words[0]!r}")


ACTIONS: dict[str, Callable[[Arguments, Settings], int]] = {
    "start": _start,
    "env": _env,
    "docker-env": _docker_env,
    "status": _status,
    "stop": _stop,
    "install": _install,
}
