"""How the agent starts: the line it says, its token, the check of its credentials, the credentials file, its log."""

import os
import re
import signal
import socket
import sys

import pytest

import strongroom
from fakes.secrets import ACCESS_KEY_ID, ACCOUNT, REGION, SECRET_ACCESS_KEY
from fakes.sts import Call
from harness.agent import TOKEN, Agent, eventually

SECRET = "/secretsmanager/get?secretId="
IDENTITY = [Call("GetCallerIdentity")]
NO_TOKEN = (
    'Could not read SSRF token variable(s) ["AWS_TOKEN", "AWS_SESSION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"]: '
)
INTERNAL = {"agent": '{"__type":"InternalFailure"}', "sm": '{"__type":"InternalFailure"}'}
ONCE = {"AWS_MAX_ATTEMPTS": "1"}
NO_KEYS = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
NO_REGION = {"AWS_REGION": None, "AWS_DEFAULT_REGION": None}
ROLE = f"arn:aws:iam::{ACCOUNT}:role/reader"
WORDS = ("agent", "sm")

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and modes")


@pytest.fixture
def failing(tmp_path, secrets):
    """Start an agent that must not get as far as its banner; returns how it ended."""

    def start(**settings):
        result = Agent(tmp_path, secrets, **settings).ended()
        assert (result.status, result.stdout) == (1, ""), result
        assert "Traceback" not in result.stderr
        return result.stderr

    return start


def token_works(running, token):
    return {200: True, 403: False}[running.fetch(f"{SECRET}known", token=token).status]


@pytest.fixture
def known(secrets):
    return secrets.create("known")


# The banner.


@pytest.mark.parametrize(("word", "said"), [("agent", "Agent"), ("sm", "Secrets Manager Provider")])
def test_the_banner(agent, word, said):
    """The first line on stdout, and the only one: who listens where. It is in the log, too."""
    running = agent(word=word)
    assert running.banner == f"{said}/{strongroom.__version__} listening on http://127.0.0.1:{running.port}\n"
    assert running.ping().short == (200, "healthy")
    running.wait_for_log(f" - {running.banner}")
    assert running.stdout == running.banner
    assert running.stderr == ""


def test_the_banner_before_the_log(agent):
    """With the log on stdout, the records of the start come behind it."""
    running = agent(log_to_file=False)
    eventually(lambda: running.stdout.count("listening on") == 2, "logged")
    first, *rest = running.stdout.splitlines()
    assert f"{first}\n" == running.banner
    assert any("Console logger initialized with `Info` log level." in line for line in rest)
    assert running.log == ""
    assert not (running.directory / "logs").exists()


@pytest.mark.parametrize("log_to_file", [True, False])
def test_a_closed_stdout(agent, known, log_to_file):
    """Whoever waited for the banner may close its end then: the agent goes on, refusals and their records too."""
    running = agent(log_to_file=log_to_file, closes_stdout=True)
    for _ in range(3):
        assert running.fetch(f"{SECRET}{known}", token=None).status == 403
        assert running.get(known).status == 200


@posix
@pytest.mark.parametrize(("word", "name_of_signal"), [("agent", "SIGTERM"), ("agent", "SIGINT"), ("sm", "SIGTERM")])
def test_signals_end_it(tmp_path, secrets, word, name_of_signal):
    """At once, with 0, with a last record; a request under way is answered first."""
    name = secrets.create()
    with Agent(tmp_path, secrets, word=word) as running, running.wire() as wire, running.wire() as idle:
        gate = secrets.hold("GetSecretValue")
        wire.get(f"{SECRET}{name}")
        gate.wait_for(1)
        running.signal(getattr(signal, name_of_signal))
        running.wait_for_log("shutting down")
        assert idle.is_ended()
        gate.release()
        assert wire.reply().value == "hunter2"
        assert running.process.wait(5) == 0


# The token.


def test_no_token(failing):
    """Without any of the variables it does not start, and says which it looked for."""
    assert failing(env={"AWS_TOKEN": None}).startswith(f"{NO_TOKEN}environment variable not found\n")


def test_no_token_for_the_newer_kind(failing):
    """Which says ``Error:`` in front, as of all that ends its start."""
    assert failing(word="sm", env={"AWS_TOKEN": None}).startswith(f"Error: {NO_TOKEN}environment variable not found\n")


@pytest.mark.parametrize(
    ("env", "good", "bad"),
    [
        ({"AWS_TOKEN": None, "AWS_SESSION_TOKEN": "s"}, "s", "a"),
        ({"AWS_TOKEN": "a", "AWS_SESSION_TOKEN": "s"}, "a", "s"),
        ({"AWS_TOKEN": "FILE:///x", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "c"}, "FILE:///x", "c"),
    ],
    ids=["second", "first-of-two", "no-file"],
)
def test_which_variable(agent, env, good, bad):
    """The first that is set; only a small ``file://`` names a file."""
    running = agent(env=env, validate_credentials=False)
    for token in (good, bad):
        assert running.fetch("/pong", token=token).status == (404 if token == good else 403)


def test_variables_of_one_s_own(agent, known):
    """``ssrf_env_variables`` names others."""
    running = agent(ssrf_env_variables=["MINE", "AWS_TOKEN"], env={"MINE": "m"})
    assert token_works(running, "m")
    assert not token_works(running, TOKEN)


def test_a_token_file(agent, tmp_path, known):
    """Its content without the space around it, by an absolute or a relative path."""
    (tmp_path / "token").write_text("  abc \n\n")
    for path in (tmp_path / "token", "../token"):
        running = agent(env={"AWS_TOKEN": f"file://{path}"})
        assert token_works(running, "abc")


@posix
def test_a_token_file_that_changes(agent, tmp_path, known):
    """The old token is good until SIGHUP, which reads the file anew; one that cannot be read changes nothing."""
    path = tmp_path / "token"
    path.write_text("old")
    running = agent(env={"AWS_TOKEN": f"file://{path}"})
    assert token_works(running, "old")
    path.write_text("new")
    assert (token_works(running, "old"), token_works(running, "new")) == (True, False)
    running.signal(signal.SIGHUP)
    eventually(lambda: token_works(running, "new"), "reloaded")
    assert not token_works(running, "old")
    path.unlink()
    running.signal(signal.SIGHUP)
    running.wait_for_log("Not reloaded")
    assert token_works(running, "new")


@pytest.mark.parametrize("word", WORDS)
def test_no_token_file(failing, tmp_path, word):
    """Then it does not start: the next variable is not tried."""
    told = failing(word=word, env={"AWS_TOKEN": "file:///none", "AWS_SESSION_TOKEN": "s"})
    prefix = {"agent": "", "sm": "Error: "}[word]
    assert told.startswith(f"{prefix}{NO_TOKEN}No such file or directory (os error 2)\n")


@posix
def test_a_token_file_that_is_none(failing, tmp_path):
    """A directory, and bytes that are no text."""
    assert "Is a directory (os error 21)\n" in failing(env={"AWS_TOKEN": f"file://{tmp_path}"})
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert "stream did not contain valid UTF-8\n" in failing(env={"AWS_TOKEN": f"file://{tmp_path / 'token'}"})


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may read every file")
def test_a_token_file_of_somebody_else(failing, tmp_path):
    """One that may not be read ends the start."""
    (tmp_path / "token").touch(mode=0o000)
    assert "Permission denied (os error 13)\n" in failing(env={"AWS_TOKEN": f"file://{tmp_path / 'token'}"})


def test_empty_tokens(failing, tmp_path):
    """A token that anybody can bring is refused at the start, from a variable or a file, and so is one nobody can."""
    (tmp_path / "token").write_text(" \n")
    for value, told in (
        ("", "the token in AWS_TOKEN is empty"),
        (f"file://{tmp_path / 'token'}", "the token in the file is empty"),
        (" abc", "the token in AWS_TOKEN begins or ends with white space"),
    ):
        assert f"{NO_TOKEN}{told}" in failing(env={"AWS_TOKEN": value})


def test_a_port_that_is_taken(failing):
    """It says which, and why."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = failing(http_port=port)
        assert re.match(rf"Could not bind to 127\.0\.0\.1:{port}: Address already in use \(os error \d+\)\n", told)
        told = failing(http_port=port, word="sm")
        assert told.startswith(f"Error: Could not bind to 127.0.0.1:{port}: ")


def test_a_port_that_was_just_left(agent, known):
    """Connections of the one before, which the system still remembers, do not stand in the way of the next."""
    first = agent()
    with first.wire() as wire:
        wire.get("/ping")
        assert wire.reply().status == 200
        first.stop()
    second = agent(http_port=first.port)
    assert second.get(known).status == 200


# The check of the credentials.


@pytest.mark.parametrize("word", WORDS)
def test_credentials_are_checked_once(agent, secrets, word):
    """One GetCallerIdentity before the banner, in the region of the config, and nothing else."""
    agent(word=word, region="eu-west-1")
    assert secrets.calls == IDENTITY
    assert secrets.calls[0].region == "eu-west-1"
    assert secrets.asked == []


@pytest.mark.parametrize("word", WORDS)
def test_credentials_that_are_refused(failing, word):
    """It does not start, and says why, both kinds with ``Error:`` in front."""
    told = failing(word=word, env={"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"})
    assert told.startswith("Error: ")
    assert "InvalidClientTokenId" in told


def test_no_credentials_at_all(failing, secrets):
    """Are no outage: it does not start."""
    assert failing(env=NO_KEYS).startswith("Error: ")
    assert secrets.calls == []


def test_no_region_at_all(failing, secrets):
    """Neither does it without a region."""
    told = failing(env=NO_REGION)
    assert told.startswith("Error: ")
    assert "region" in told


def test_aws_is_away(agent, failing, secrets, known):
    """An outage is suffered, unless it shall not be."""
    with secrets.down():
        running = agent(env=ONCE)
        assert running.ping().status == 200
        assert failing(env=ONCE, ignore_transient_errors=False).startswith("Error: ")
    assert running.get(known).value == "hunter2"


def test_a_broken_sts(agent, failing, secrets):
    """An error at AWS's side is an outage too."""
    secrets.fail("GetCallerIdentity", code="InternalFailure", status=500, times=2)
    agent(env=ONCE)
    assert failing(env=ONCE, ignore_transient_errors=False).startswith("Error: ")


def test_no_check(agent, secrets, known):
    """With ``validate_credentials = false`` STS is not asked, and it starts without credentials; requests then are 500."""
    running = agent(validate_credentials=False, env=NO_KEYS)
    assert running.get(known).short == (500, INTERNAL["agent"])
    assert agent(validate_credentials=False).get(known).status == 200
    assert secrets.calls == []


def test_no_check_and_no_region(agent, known):
    """Without a region it starts too; requests are 500, but for ARNs, which have one."""
    running = agent(validate_credentials=False, env=NO_REGION)
    assert running.get(known).short == (500, INTERNAL["agent"])


@pytest.mark.parametrize(
    ("settings", "env", "region"),
    [
        ({}, {"AWS_REGION": None, "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        ({}, {"AWS_DEFAULT_REGION": "eu-west-2"}, REGION),
        ({"region": "eu-west-1"}, NO_REGION, "eu-west-1"),
    ],
)
def test_regions(agent, secrets, settings, env, region):
    """The config's, then AWS_REGION, then AWS_DEFAULT_REGION."""
    name = secrets.create(region=region)
    assert agent(env=env, validate_credentials=False, **settings).get(name).status == 200
    assert secrets.asked[0].region == region


# The credentials file.


class CredentialsFile:
    """A file that an agent without any other credentials reads, again and again."""

    def __init__(self, path, secrets):
        self.path, self.secrets = path, secrets
        self.env = NO_KEYS | ONCE | {"SMA_CREDENTIALS_RELOAD_SECS": "1"}
        self.settings = {"credentials_file_path": path, "log_level": "debug", "own": {"negative_ttl_seconds": 0}}

    def write(self, key_id=ACCESS_KEY_ID, secret=SECRET_ACCESS_KEY, token="", section="default", mode=0o600):
        lines = [f"[{section}]", f"aws_access_key_id={key_id}", f"aws_secret_access_key={secret}"]
        self.put("\n".join([*lines, *([f"aws_session_token = {token}"] if token else [])]) + "\n", mode)

    def write_temporary(self, user="temporary"):
        key = self.secrets.issue("session", f"arn:aws:iam::{ACCOUNT}:user/{user}", 3600)
        self.write(key.access_key_id, key.secret_access_key, key.session_token)
        return key.access_key_id

    def put(self, text, mode=0o600):
        new = self.path.with_name("new")
        new.write_text(text)
        new.chmod(mode)
        new.replace(self.path)


@pytest.fixture
def file(tmp_path, secrets):
    return CredentialsFile(tmp_path / "credentials", secrets)


def test_a_credentials_file(agent, secrets, known, file):
    """Is what signs, for roles too; STS is not asked who that is."""
    file.write()
    secrets.role(ROLE)
    running = agent(env=file.env, **file.settings)
    assert running.get(known).status == running.get(known, roleArn=ROLE).status == 200
    assert [call.action for call in secrets.calls] == ["AssumeRole"]
    assert secrets.calls[0].access_key_id == secrets.asked[0].access_key_id == ACCESS_KEY_ID
    for told in (
        "Skipping STS credential validation for file-based credentials",
        f"Using file-based credentials from: {file.path}",
        f"Loaded file-based credentials from: {file.path}",
    ):
        running.wait_for_log(told)


def test_a_credentials_file_in_the_nested_form(agent, secrets, known, file):
    """The newer kind's form names it at another place, and wants credentials that expire."""
    file.write_temporary()
    text = f"[capabilities.secrets_manager]\nhttp_port = 0\ncredentials_file_path = '{file.path}'\n"
    assert agent(word="sm", env=file.env, text=text).get(known).status == 200
    assert secrets.calls == []


def test_a_credentials_file_that_comes_later(agent, secrets, known, file):
    """It starts, says that the file is missing, and answers 500 without asking AWS, until the file is there."""
    running = agent(env=file.env, **file.settings)
    assert running.get(known).short == (500, INTERNAL["agent"])
    assert (secrets.calls, secrets.asked) == ([], [])
    running.wait_for_log(
        f"Configured credentials_file_path does not exist yet: {file.path}. The agent will watch for it to appear."
    )
    file.write()
    eventually(lambda: running.get(known).status == 200, "healed")


def test_a_credentials_file_that_changes(agent, secrets, known, file):
    """Others are used soon; garbage changes nothing, and is tried again; what comes after it is used."""
    first = file.write_temporary("first")
    running = agent(env=file.env, **file.settings)
    assert running.get(known, refreshNow="true").status == 200
    file.put("garbage")
    running.wait_for_log(f"Failed to reload credentials from {file.path}")
    assert running.get(known, refreshNow="true").status == 200
    second = file.write_temporary("second")
    running.wait_for_log(f"Successfully reloaded credentials from {file.path}")
    assert running.get(known, refreshNow="true").status == 200
    assert [asked.access_key_id for asked in secrets.asked] == [first, first, second]


@posix
@pytest.mark.parametrize(("mode", "is_told"), [(0o644, True), (0o600, False)])
def test_modes_of_the_credentials_file(agent, known, file, mode, is_told):
    """One that others may read is used, with a warning."""
    file.write(mode=mode)
    running = agent(env=file.env, **file.settings)
    assert running.get(known).status == 200
    warning = (
        f"Credentials file {file.path} has broad permissions ({mode:o}). "
        "Consider restricting to owner-only (chmod 600)."
    )
    assert (warning in running.log) is is_told


def test_sections_of_the_credentials_file(agent, secrets, known, file):
    """AWS_PROFILE names the one to read; without it there are no credentials."""
    file.write(section="p")
    assert agent(env=file.env | {"AWS_PROFILE": "p"}, **file.settings).get(known).status == 200
    secrets.asked.clear()
    running = agent(env=file.env | {"AWS_PROFILE": "q"}, **file.settings)
    assert running.get(known).short == (500, INTERNAL["agent"])
    assert secrets.asked == []
    running.wait_for_log(f"Could not load credentials from {file.path}")


@pytest.mark.parametrize(("word", "is_good"), [("agent", True), ("sm", False)])
def test_long_term_keys_in_the_credentials_file(agent, known, file, word, is_good):
    """The newer kind refuses them, and says so; the older takes them."""
    file.write()
    running = agent(word=word, env=file.env, **file.settings)
    assert running.get(known).status == (200 if is_good else 500)
    assert ("Security Policy Violation: Long-term IAM User credentials are not permitted" in running.log) is not is_good


# The log.


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}[+-]\d\d:\d\d (DEBUG|INFO|WARN|ERROR) \S+ - .*")


@pytest.mark.parametrize("word", WORDS)
def test_the_log_file(agent, known, word):
    """In ``logs`` below the working directory: a line per record, at once; nothing for what went well."""
    running = agent(word=word)
    running.wait_for_log("listening on")
    before = running.log
    assert running.get(known).status == 200
    running.fetch(f"{SECRET}{known}", token=None)
    running.wait_for_log("incorrect SSRF token")
    lines = running.log.splitlines()
    assert all(LINE.fullmatch(line) for line in lines), lines
    assert lines[0].endswith(" - File logger initialized with `Info` log level.")
    assert len(lines) == len(before.splitlines()) + 1


@pytest.mark.parametrize("level", ["NONE", "error", "Debug"])
def test_levels(agent, known, level):
    """From debug to none, in any case."""
    running = agent(log_level=level)
    assert running.fetch(f"{SECRET}{known}", token=None).status == 403
    if level.lower() == "none":
        running.stop()
        assert running.log == ""
        return
    running.wait_for_log(" ERROR ")
    assert (" INFO " in running.log) is (level == "Debug")


def test_a_log_that_cannot_be_written(failing, tmp_path):
    """Ends the start, with the reason."""
    (tmp_path / "logs").write_text("in the way")
    assert "logs" in failing()


@posix
def test_a_log_that_is_moved_away(agent, known):
    """SIGHUP opens it anew, as log rotation asks for."""
    running = agent()
    running.wait_for_log("listening on")
    log = running.directory / "logs" / "secrets_manager_agent.log"
    log.rename(log.with_suffix(".1"))
    running.signal(signal.SIGHUP)
    running.wait_for_log("Configuration reloaded")


def test_no_secret_in_the_log(agent, secrets):
    """Not even at debug, whatever happens: no value, no token, no key."""
    canary = "canary-4711-value"
    name, bad = secrets.create(value=canary), secrets.create(value=canary)
    secrets.edit(bad, lambda answer: answer.update(CreatedDate="not a date", VersionStages=7))
    running = agent(log_level="debug", env=ONCE, own={"access_log": True})
    running.get(name)
    running.get(name, refreshNow="true")
    running.get(bad)
    running.fetch(f"{SECRET}{name}&jsonKey=x")
    secrets.fail("GetSecretValue", code="InternalServiceError", status=500)
    running.get(name, refreshNow="true")
    running.fetch(f"{SECRET}{name}", token="wrong-4712-token")
    running.stop()
    said = running.log + running.stdout + running.stderr
    assert said
    for secret in (canary, "wrong-4712-token", TOKEN, SECRET_ACCESS_KEY):
        assert secret not in said


def test_the_user_agent(agent, secrets, known):
    """Secrets Manager is told the product and its version, STS is not."""
    for word in WORDS:
        assert agent(word=word).get(known).status == 200
    products = [asked.user_agent.split()[-1] for asked in secrets.asked]
    assert all(re.fullmatch(rf"\S+/{re.escape(strongroom.__version__)}", product) for product in products), products
