import os
import re
import shlex
import shutil
import subprocess

import pytest
import yaml

from strongroom.cli import containers
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.standing_files import Files
from strongroom.cli.terminal import Talk
from strongroom.endpoints.state import State
from strongroom.errors import StrongroomError

EXAMPLE = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, "examples", "compose.yaml")
URI, TOKEN_FILE = "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
SOCKET = "UNIX-CONNECT:/run/strongroom/socket"


@pytest.fixture
def files(c1):
    """A server's, with a socket for containers of ``ro``."""
    made = Files(Settings(Arguments({}, []), c1.environ, Talk("strongroom"), "test"))
    made.write(State(4711, {"ro": "r" * 40, "jon": "j" * 40}, ["ro", "jon"]))
    os.makedirs(made.mount("ro"))
    open(made.socket("ro"), "w").close()
    with made.claim():
        yield made


@pytest.fixture
def docker_env(c1, files, capsys):
    """Print what a container is given: status, lines of stdout, lines of stderr."""

    def run(*flags, name="ro", platform="linux"):
        arguments = Arguments(dict.fromkeys(flags, True), [name])
        settings = Settings(arguments, c1.environ, Talk("strongroom"), "serve")
        status = containers.run(arguments, settings, files.read(), name, f"/profile/{name}", platform=platform)
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


def test_a_relay_in_the_container(docker_env, files):
    """A mount and variables; the relay that they need is said, and it is no flag."""
    assert docker_env() == (
        0,
        [
            f"--mount=type=bind,source={files.mount('ro')},target=/run/strongroom,readonly",
            f"--env={URI}=http://127.0.0.1:4711/profile/ro",
            f"--env={TOKEN_FILE}=/run/strongroom/token",
            "--env=AWS_REGION=us-east-1",
            "--env=AWS_DEFAULT_REGION=us-east-1",
        ],
        [f"strongroom: in it: socat TCP-LISTEN:4711,bind=127.0.0.1,fork,reuseaddr {SOCKET} &"],
    )


def test_a_relay_beside_it(docker_env):
    """At the one address that SDKs trust."""
    _, flags, said = docker_env("sidecar")
    assert f"--env={URI}=http://169.254.170.2/profile/ro" in flags
    assert "--network=strongroom" in flags
    assert said == [
        "strongroom: once: docker network create --subnet=169.254.170.0/24 strongroom",
        f"strongroom: beside it: docker run --detach {flags[0]} --network=strongroom --ip=169.254.170.2 alpine/socat "
        f"TCP-LISTEN:80,fork,reuseaddr {SOCKET}",
    ]


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_virtual_machines(docker_env, files, platform):
    """Where containers see no socket of the host's, the relay leads to its port."""
    os.unlink(files.socket("ro"))
    status, _, said = docker_env(platform=platform)
    assert status == 0
    assert said[0].endswith(",fork,reuseaddr TCP:host.docker.internal:4711 &")


def test_without_a_socket(docker_env):
    """It is said."""
    with pytest.raises(StrongroomError) as caught:
        docker_env(name="jon")
    assert caught.value.message == "the server has no socket for containers"


def test_words_that_a_shell_would_take_apart(docker_env, c1, monkeypatch):
    """Are quoted, and that is said; what cannot be quoted for Compose is refused."""
    odd = c1.path / "a 'b"
    odd.mkdir()
    (odd / "socket").touch()
    monkeypatch.setattr(Files, "mount", lambda *_: str(odd))
    _, flags, said = docker_env()
    assert shlex.split(flags[0]) == [f"--mount=type=bind,source={odd},target=/run/strongroom,readonly"]
    assert said[-1] == "strongroom: some of these words are quoted: have the shell read them again, with eval"
    with pytest.raises(StrongroomError) as caught:
        docker_env("compose")
    assert caught.value.message == f"a path with quotes cannot be written for Compose: {str(odd)!r}"


# Compose


def words_of(text, variables):
    """The file as Compose reads it, its variables replaced."""
    return yaml.safe_load(re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda match: variables[match[1]], text))


def test_compose(docker_env, files):
    """The example takes exactly the variables that are printed, and leads to the same place."""
    with open(EXAMPLE, encoding="utf-8") as file:
        text = file.read()
    status, lines, said = docker_env("compose")
    assert (status, said) == (0, [])
    printed = dict(line.split("=", 1) for line in lines)
    variables = {name: value.strip("'") for name, value in printed.items()}
    assert set(re.findall(r"\$\{(\w+)", text)) == set(variables) - {"AWS_REGION"}
    assert variables["AWS_REGION"] == "us-east-1"
    found = words_of(text, variables)
    relay, program = found["services"]["relay"], found["services"]["program"]
    assert relay["command"] == ["TCP-LISTEN:80,fork,reuseaddr", SOCKET]
    assert program["environment"] == {
        URI: "http://169.254.170.2/profile/ro",
        TOKEN_FILE: "/run/strongroom/token",
        "AWS_REGION": None,  # what .env has
    }
    for service in (relay, program):
        (mount,) = service["volumes"]
        assert (mount["source"], mount["target"], mount["read_only"]) == (files.mount("ro"), "/run/strongroom", True)


# https://github.com/compose-spec/compose-spec/blob/main/schema/compose-spec.json, as far as the example goes.
SERVICE = {
    "image": str,
    "command": list,
    "restart": str,
    "read_only": bool,
    "cap_drop": list,
    "cap_add": list,
    "security_opt": list,
    "volumes": list,
    "networks": (dict, list),
    "depends_on": (dict, list),
    "environment": (dict, list),
}
MOUNT = {"type": str, "source": str, "target": str, "read_only": bool}


def test_the_shape_of_the_example():
    """What is in it is what the specification of Compose has, and the networks fit together."""
    with open(EXAMPLE, encoding="utf-8") as file:
        found = yaml.safe_load(file)
    assert set(found) == {"services", "networks"}
    for service in found["services"].values():
        assert all(isinstance(value, SERVICE[key]) for key, value in service.items())
        for mount in service["volumes"]:
            assert all(isinstance(value, MOUNT[key]) for key, value in mount.items())
        assert set(service["networks"]) <= {*found["networks"], "default"}
    (subnet,) = found["networks"]["credentials"]["ipam"]["config"]
    assert subnet == {"subnet": "169.254.170.0/24", "gateway": "169.254.170.1"}


def test_compose_itself(tmp_path):
    """Takes it, where there is one, and what is in ``.env``."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            break
    else:
        pytest.skip("no Compose on this machine")
    shutil.copy(EXAMPLE, tmp_path)
    values = {"STRONGROOM_MOUNT": "/home/o y/ro", "STRONGROOM_PATH": "/profile/ro", "STRONGROOM_RELAY": "UNIX:x"}
    text = "".join(f"{name}='{value}'\n" for name, value in values.items())
    (tmp_path / ".env").write_text(text + "AWS_REGION='eu-west-1'\n")
    done = subprocess.run([*command, "config"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert found.keys() == {"relay", "program"}
    assert found["relay"]["volumes"][0]["source"] == "/home/o y/ro"
    assert found["program"]["environment"]["AWS_REGION"] == "eu-west-1"
