"""What a container is given, so that a standing server of its host serves it.

No SDK speaks to a Unix socket, and none sends its requests over plain HTTP to a host that is not itself, but for one
address: https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html. So a relay listens either
in the container, or beside it at that address, and passes what comes on to the socket, which is mounted there.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING

from strongroom.cli.standing_files import Files
from strongroom.cli.terminal import answer
from strongroom.errors import StrongroomError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from strongroom.cli.flags import Arguments
    from strongroom.cli.settings import Settings
    from strongroom.endpoints.state import State

# Where the mount is, in a container.
MOUNT = "/run/strongroom"
SIDECAR = "169.254.170.2"
NETWORK = "strongroom"
_SUBNET = "169.254.170.0/24"
# A program of one purpose, of which there are packages and images everywhere: http://www.dest-unreach.org/socat/
_IMAGE = "alpine/socat"


def run(
    arguments: Arguments, settings: Settings, state: State, name: str, path: str, *, platform: str = sys.platform
) -> int:
    """Print the flags for ``docker run`` and ``podman run``, and say which relay is needed.

    Args:
        arguments: The command line.
        settings: Flags, variables, files.
        state: The server's.
        name: The profile.
        path: That of its credentials.
        platform: As in `sys.platform`.

    Raises:
        UsageError: Flags contradict each other.
        StrongroomError: The server has no socket.
    """
    if arguments.on("sidecar") and arguments.on("compose"):
        raise UsageError("Can't use --sidecar with --compose", "the example has a sidecar")
    mount = Files(settings).mount(name)
    # Containers on macOS and Windows run in a virtual machine, which sees no sockets of its host's.
    is_in_machine = platform != "linux"
    if not is_in_machine and not os.path.exists(os.path.join(mount, "socket")):
        raise StrongroomError("the server has no socket for containers", "what it said when it began tells why")
    found = settings.profile(name).region
    region = {"AWS_REGION": found} if found else {}
    target = f"TCP:host.docker.internal:{state.port}" if is_in_machine else f"UNIX-CONNECT:{MOUNT}/socket"
    if arguments.on("compose"):
        lines = {"STRONGROOM_MOUNT": mount, "STRONGROOM_PATH": path, "STRONGROOM_RELAY": target} | region
        answer("".join(f"{key}={_dotenv(value)}\n" for key, value in lines.items()))
        return 0
    flags = [f"--mount=type=bind,source={mount},target={MOUNT},readonly"]
    relayed = [f"{SIDECAR}:80" if arguments.on("sidecar") else f"127.0.0.1:{state.port}"]
    host = relayed[0].removesuffix(":80")
    variables = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{host}{path}",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": f"{MOUNT}/token",
    }
    if found:
        variables |= region | {"AWS_DEFAULT_REGION": found}
    if arguments.on("sidecar"):
        flags.append(f"--network={NETWORK}")
    shown = [shlex.quote(flag) for flag in [*flags, *_environment(variables)]]
    answer("\n".join(shown) + "\n")
    say = settings.talk.say
    if arguments.on("sidecar"):
        say(f"once: docker network create --subnet={_SUBNET} {NETWORK}")
        words = ["docker", "run", "--detach", flags[0], f"--network={NETWORK}", f"--ip={SIDECAR}", _IMAGE]
        say(f"beside it: {shlex.join([*words, 'TCP-LISTEN:80,fork,reuseaddr', target])}")
    else:
        say(f"in it: socat TCP-LISTEN:{state.port},bind=127.0.0.1,fork,reuseaddr {target} &")
    if any(flag != word for flag, word in zip([*flags, *_environment(variables)], shown, strict=True)):
        say("some of these words are quoted: have the shell read them again, with eval")
    return 0


def _environment(variables: Mapping[str, str]) -> list[str]:
    return [f"--env={name}={value}" for name, value in variables.items()]


def _dotenv(value: str) -> str:
    """Quote for the file ``.env`` of Compose, in whose single quotes nothing but a quote is special.

    Raises:
        StrongroomError: It cannot be quoted.
    """
    if "'" in value or "\n" in value:
        raise StrongroomError(f"a path with quotes cannot be written for Compose: {value!r}")
    return f"'{value}'"
