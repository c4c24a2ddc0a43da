import http.server
import os
import sys
import threading

import pytest

from strongroom.cli import quoting
from strongroom.cli.flags import Arguments
from strongroom.cli.settings import Settings
from strongroom.cli.standing_files import Files
from strongroom.cli.terminal import Talk
from strongroom.endpoints.state import State

TOKENS = {"jon": "j" * 40, "ro": "r" * 40, "a/b c": "x" * 40}
URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


def files_of(home):
    return Files(Settings(Arguments({}, []), home.environ, Talk("strongroom"), "test"))


@pytest.fixture
def standing(c1):
    """Be the server: its lock, and its state."""
    files = files_of(c1)

    def begin(*serving, port=4711):
        files.write(State(port, TOKENS, serving))

    with files.claim():
        yield begin


@pytest.mark.parametrize("form", ["export-env", "fish", "powershell", "nu", "cmd"])
def test_env(c1, standing, form):
    """What a shell evaluates."""
    standing("jon", "ro")
    variables = {
        URI: "http://127.0.0.1:4711/profile/ro",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "r" * 40,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    result = c1.call("serve", "env", "ro", "--format", form)
    assert (result.status, result.stdout, result.stderr) == (0, quoting.written(form, variables, "ro"), "")
    if form == "export-env":
        assert c1.call("serve", "env", "ro").stdout == result.stdout
        plain = c1.call("serve", "env", "ro", "--format=env").stdout
        assert plain == "".join(f"{name}={value}\n" for name, value in variables.items())


def test_env_with_a_file(c1, standing):
    """The token's file in place of the token; names are escaped as in any URL."""
    standing("a/b c")
    c1.config.write_text(c1.config.read_text() + "[profile a/b c]\n")
    found = c1.call("serve", "env", "--format=json", "--token-file").json()
    assert found[URI] == "http://127.0.0.1:4711/profile/a%2Fb%20c"
    assert found["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] == files_of(c1).token("a/b c")
    assert found["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"].endswith("a%2Fb%20c/token")


def test_env_of_which_profile(c1, standing):
    """The one that is named, or that of AWS_PROFILE, or the only one."""
    standing("jon")
    assert ":4711/profile/jon\n" in c1.call("serve", "env").stdout
    standing("jon", "ro")
    assert ":4711/profile/ro\n" in c1.call("serve", "env", env={"AWS_PROFILE": "ro"}).stdout
    result = c1.call("serve", "env")
    assert (result.status, result.stderr) == (
        2,
        "strongroom: error: serve: required argument 'profile' not provided, try --help\n"
        "strongroom: hint: one of jon, ro\n",
    )
    result = c1.call("serve", "env", "admin")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr == (
        "strongroom: error: serve: profile 'admin' is not served, but 'jon', 'ro'\n"
        "strongroom: hint: end the server with `strongroom serve stop`, and start one of all profiles that you need\n"
    )
    assert c1.call("serve", "env", "jon", "ro").status == 2


def test_env_that_is_not_heeded(c1, standing):
    """Variables and files that SDKs look at first are named; so is the other token that was evaluated before."""
    standing("jon")
    credentials = c1.path / ".aws" / "credentials"
    credentials.write_text("[default]\naws_access_key_id = AKIA\naws_secret_access_key = x\n")
    token, file = "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
    env = {"AWS_PROFILE": "jon", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SESSION_TOKEN": "", token: "x", file: "/y"}
    assert f"AWS_ACCESS_KEY_ID {token} AWS_PROFILE\n" in c1.call("serve", "env", "--token-file", env=env).stderr
    result = c1.call("serve", "env", env=env)
    assert result.stderr == (
        "strongroom: warning: SDKs heed these variables before they ask a server, so unset them: "
        f"AWS_ACCESS_KEY_ID {file} AWS_PROFILE\n"
        f"strongroom: warning: SDKs take what [default] in {credentials} says (aws_access_key_id) before they ask a "
        "server: give that section another name, or use exec without a server\n"
    )


@pytest.mark.parametrize("words", [["env", "jon"], ["status"], ["stop"], ["docker-env", "jon"]])
def test_without_a_server(c1, words):
    """They say so, and how to start one; what the last one remembered does not count."""
    files_of(c1).write(State(4711, TOKENS, ["jon"]))
    result = c1.call("serve", *words)
    assert (result.status, result.stdout, result.stderr) == (
        1,
        "",
        "strongroom: error: serve: no server is running\nstrongroom: hint: start one with `strongroom serve PROFILE`\n",
    )


@pytest.mark.parametrize("broken", [b"", b"{}", b"\xff", b'{"version": 1, "port": 1, "serving": [], "tokens": []}'])
def test_a_state_that_is_broken(c1, standing, broken):
    """It is said, and a server that begins makes another."""
    standing("jon")
    files = files_of(c1)
    with open(files.state, "wb") as file:
        file.write(broken)
    result = c1.call("serve", "status")
    assert f"warning: {files.state} is not used, and made anew: " in result.stderr
    assert files.read().port == 0


@pytest.mark.skipif(sys.platform == "win32", reason="modes are others there")
def test_a_state_that_others_can_read(c1, standing):
    """Is not believed."""
    standing("jon")
    files = files_of(c1)
    os.chmod(files.state, 0o640)
    assert files.read().tokens == {}
    assert "others may read or change it (0640)" in c1.call("serve", "status").stderr


class Answering(http.server.BaseHTTPRequestHandler):
    answers: dict

    def do_GET(self):
        status, body = self.answers[self.headers["Authorization"]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def answering():
    """A server that answers as it is told."""
    handler = type("Told", (Answering,), {"answers": {}})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield handler.answers, server.server_port
        server.shutdown()
        thread.join()


def test_status(c1, standing, answering):
    """Until when credentials are good, of each profile."""
    answers, port = answering
    standing("jon", "ro", port=port)
    answers["j" * 40] = 200, b'{"Profile": "jon", "Expiration": "2026-11-23T01:38:46Z"}'
    answers["r" * 40] = 200, b'{"Profile": "ro", "Expiration": null}'
    result = c1.call("serve", "status")
    assert result.stdout == (
        f"process {os.getpid()} serves at http://127.0.0.1:{port}\n"
        "  jon  credentials until 2026-11-23T01:38:46Z\n"
        "  ro   no credentials now\n"
    )
    assert c1.call("serve", "status", "--json").json() == {
        "pid": os.getpid(),
        "url": f"http://127.0.0.1:{port}",
        "profiles": [
            {"profile": "jon", "expiration": "2026-11-23T01:38:46Z"},
            {"profile": "ro", "expiration": None},
        ],
    }


@pytest.mark.parametrize(
    ("answer", "told"),
    [((403, b"{}"), "the server refuses to say how 'jon' is: status 403"), ((200, b"["), "the server does not answer")],
)
def test_a_status_that_is_none(c1, standing, answering, answer, told):
    """Is an error."""
    answers, port = answering
    standing("jon", port=port)
    answers["j" * 40] = answer
    result = c1.call("serve", "status")
    assert (result.status, result.stdout) == (1, "")
    assert told in result.stderr


def test_a_second_server(c1, standing):
    """Is refused, with what to do, before anything is asked of anybody."""
    standing("jon")
    result = c1.call("serve", "start", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith(
        f"strongroom: error: serve: a server is running already: process {os.getpid()}, for jon\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["env", "--lazy"], "--lazy is for `serve start`"),
        (["status", "--listen=1.2.3.4"], "--listen is for `serve start`"),
        (["jon", "--json"], "--json is for `serve status`"),
        (["jon", "--format=env"], "--format is for `serve env`"),
        (["env", "--sidecar"], "--sidecar is for `serve docker-env`"),
        (["status", "jon"], "unexpected 'jon'"),
        (["stop", "jon"], "unexpected 'jon'"),
        ([], "required argument 'profile' not provided"),
        (["jon", "--no-session"], "unknown long flag '--no-session'"),
        (["jon", "--i-know"], "--i-know needs --listen"),
        (["jon", "--listen=0.0.0.0:80"], "--listen=0.0.0.0:80 would serve credentials to every network"),
        (["docker-env", "jon", "--sidecar", "--compose"], "Can't use --sidecar with --compose"),
        (["install", "jon", "--kind=cron"], "--kind: must be one of systemd, launchd, got 'cron'"),
    ],
)
def test_words_that_make_no_sense(c1, standing, words, message):
    """Are refused."""
    standing("jon")
    result = c1.call("serve", *words)
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith(f"strongroom: error: serve: {message}")


def test_a_profile_with_the_name_of_an_action(c1, standing):
    """Can be served: by `start`."""
    standing("jon")
    c1.config.write_text(c1.config.read_text() + "[profile stop]\nsource_profile = jon\n")
    result = c1.call("serve", "start", "stop")
    assert "a server is running already" in result.stderr  # it got so far


@pytest.mark.parametrize("word", ["proxy", "server"])
def test_words_of_aws_vault(c1, word):
    """Are known, and not needed."""
    result = c1.call(word, "--stop")
    assert result.status == 2
    assert result.stderr.startswith(
        f"strongroom: error: there is no command '{word}', try --help\nstrongroom: hint: exec --ec2-server "
    )
    assert "started with serve" in result.stderr
