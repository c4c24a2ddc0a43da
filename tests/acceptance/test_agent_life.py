"""The agent from its start to its end: streams that are closed, signals, and what a reload changes."""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import strongroom
from harness.agent import HEADER, PATIENCE_SECONDS, TOKEN, Agent, eventually, head, toml
from harness.launch import by_shell, by_unix, has_ipv6

SECRET = "/secretsmanager/get?secretId="
WORDS = ("agent", "sm")
# Then there is nothing to wait for at the start.
UNCHECKED = {"validate_credentials": False}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals and shells")


@pytest.fixture
def known(secrets):
    return secrets.create()


@pytest.fixture
def hidden(tmp_path, secrets, monkeypatch):
    """Start an agent whose stdout says nothing, with *command*; ready once its log tells the port, or its socket is there."""
    with contextlib.ExitStack() as stack:

        def start(command, **settings):
            directory = tmp_path / "hidden"
            directory.mkdir()
            by_shell(monkeypatch, directory, command)
            running = Agent(directory, secrets, **UNCHECKED, **settings)
            stack.callback(running.kill)
            return running

        yield start


def told_port(running):
    """The port, from the log."""
    return int(eventually(lambda: re.search(r"listening on http://127\.0\.0\.1:(\d+)\n", running.log), "listening")[1])


def is_listening(path):
    """Whether somebody accepts connections at a Unix socket."""
    try:
        by_unix(path).__exit__()
    except OSError:
        return False
    return True


def configure(running, **settings):
    """Write another config file."""
    running.config.write_text(toml({"http_port": 0} | settings))


def reload(running):
    """Have it read its files anew; returns once it has."""
    before = running.log.count("Configuration reloaded")
    running.signal(signal.SIGHUP)
    eventually(lambda: running.log.count("Configuration reloaded") > before, "reloaded")


# Streams.


@pytest.mark.parametrize("word", WORDS)
def test_a_stdout_that_was_never_open(hidden, known, word):
    """It starts, serves and ends as ever; the banner is in the log alone."""
    running = hidden("exec python >&-", word=word)
    running.port = told_port(running)
    assert running.get(known).value == "hunter2"
    running.stop()
    assert (running.stdout, running.stderr) == ("", "")


def test_no_stream_at_all(hidden, known):
    """With all three closed and the log on the console, no record gets into a connection that has the number of one."""
    running = hidden(
        "exec python <&- >&- 2>&-", log_to_file=False, log_level="debug", own={"unix_socket": "s", "access_log": True}
    )
    path = running.directory / "s"
    eventually(lambda: is_listening(path), "listening")
    for _ in range(3):
        with by_unix(path) as wire:
            for _ in range(3):
                wire.get(f"{SECRET}{known}")
                assert wire.reply().value == "hunter2"
                wire.get(f"{SECRET}{known}", f"{HEADER}: wrong")
                assert wire.reply().short == (403, "Bad Token")
            wire.socket.shutdown(socket.SHUT_WR)
            assert wire.is_ended()
    running.stop()
    assert not (running.directory / "logs").exists()


@pytest.mark.parametrize("log_to_file", [True, False])
def test_nobody_reads_the_banner(hidden, known, log_to_file):
    """A reader that has gone before there was anything to read is no reason to end."""
    running = hidden("exec python", log_to_file=log_to_file, own={"unix_socket": "s"})
    running.process.stdout.close()
    path = running.directory / "s"
    eventually(lambda: is_listening(path), "listening")
    with by_unix(path) as wire:
        wire.get(f"{SECRET}{known}")
        assert wire.reply().value == "hunter2"
    running.stop()
    assert running.stderr == ""


def test_a_full_stdout(tmp_path, secrets, known):
    """A pipe that nobody empties loses records, and holds nobody up."""
    running = Agent(tmp_path, secrets, log_to_file=False, own={"access_log": True}, **UNCHECKED)
    try:
        line = running.process.stdout.readline().decode()  # and then no more
        running.port = int(line.rpartition(":")[2])
        with running.wire() as wire:
            for _ in range(600):  # records of some 200 bytes; a pipe holds 64 KB
                wire.get(f"{SECRET}{known}")
                assert wire.reply().status == 200
        running.signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE_SECONDS) == 0
        said = running.process.stdout.read()
        assert 50_000 < len(said) < 70_000 + 4096
        assert said.endswith(b"\n")
    finally:
        running.kill()


# Ends.


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_end_while_aws_is_asked_at_the_start(tmp_path, secrets, name):
    """It does not wait for AWS, says no banner, and ends well."""
    gate = secrets.hang("GetCallerIdentity")
    running = Agent(tmp_path, secrets)
    try:
        gate.wait_for()
        running.signal(getattr(signal, name))
        assert running.process.wait(PATIENCE_SECONDS) == 0
        assert gate.arrived == 1  # so it was not tried again
        assert running.process.stdout.read() == b""
        assert running.stderr == ""
        assert "listening" not in running.log
    finally:
        running.kill()


def test_impatience(tmp_path, secrets, known):
    """Further signals change nothing: what is in hand is still answered, a reload is done, and it ends with 0."""
    with Agent(tmp_path, secrets) as running, running.wire() as wire:
        gate = secrets.hold("GetSecretValue")
        wire.get(f"{SECRET}{known}")
        gate.wait_for()
        running.signal(signal.SIGTERM)
        running.wait_for_log("shutting down")
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            running.signal(number)
        reload(running)
        with pytest.raises(ConnectionRefusedError):
            running.wire()
        gate.release()
        reply = wire.reply()
        assert reply.value == "hunter2"
        assert reply.headers["connection"] == "close"
        assert running.process.wait(5) == 0
    assert running.log.count("shutting down") == 1


def test_many_in_hand(tmp_path, secrets, known):
    """Each connection gets its last answer, whether AWS had to be asked for it or not; silent ones are closed."""
    others = [secrets.create(value=f"value {number}") for number in range(20)]
    with Agent(tmp_path, secrets) as running, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(running.wire()) for _ in range(5)]
        gate = secrets.hold("GetSecretValue", times=20)
        wires = [stack.enter_context(running.wire()) for _ in others]
        for wire, name in zip(wires, others, strict=True):
            wire.get(f"{SECRET}{name}")
        gate.wait_for(20)
        running.signal(signal.SIGTERM)
        assert all(wire.is_ended() for wire in silent)
        gate.release()
        assert [wire.reply().value for wire in wires] == [f"value {number}" for number in range(20)]
        assert all(wire.is_ended() for wire in wires)
        assert running.process.wait(5) == 0


@pytest.fixture
def isolated(tmp_path, monkeypatch):
    """Start agents as the first process of a process namespace."""
    command = ["unshare", "--pid", "--fork"]
    if (
        shutil.which("unshare") is None
        or subprocess.run([*command, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("only root may make a process number one, and in some containers not even root")
    by_shell(monkeypatch, tmp_path, f"exec {' '.join(command)} python")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_as_the_first_process(tmp_path, secrets, isolated, known, name):
    """In a container nothing happens on a signal that is not waited for: it is number one there, and ends with 0."""
    with Agent(tmp_path, secrets) as running:
        assert running.get(known).status == 200
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children")
        (inner,) = map(int, children.read_text().split())
        assert re.search(rf"^NSpid:\t{inner}\t1$", Path(f"/proc/{inner}/status").read_text(), re.MULTILINE)
        os.kill(inner, signal.SIGHUP)
        running.wait_for_log("Configuration reloaded")
        os.kill(inner, getattr(signal, name))
        assert running.process.wait(5) == 0
    running.wait_for_log("shutting down")


# Reloads.


def test_another_lifetime(agent, secrets, known):
    """A new ttl holds for what is cached, too."""
    running = agent(ttl_seconds=3600, **UNCHECKED)
    assert running.get(known).value == "hunter2"
    secrets.put(known, "changed")
    assert running.get(known).value == "hunter2"
    configure(running, ttl_seconds=0)
    reload(running)
    assert running.get(known).value == "changed"
    secrets.put(known, "again")
    assert running.get(known).value == "again"


def test_nothing_new(agent, secrets, known):
    """A reload of the same file forgets no secret, and closes no connection."""
    running = agent(**UNCHECKED)
    with running.wire() as wire:
        for _ in range(3):
            wire.get(f"{SECRET}{known}")
            assert wire.reply().status == 200
            reload(running)
    assert secrets.gets(known) == 1


def test_a_known_request_with_a_former_token(agent, tmp_path, known):
    """Is refused from the reload on, even where the very same bytes were answered a moment before."""
    path = tmp_path / "token"
    path.write_text("former")
    running = agent(env={"AWS_TOKEN": f"file://{path}"}, **UNCHECKED)
    asked = head(f"{SECRET}{known}", f"{HEADER}: former")
    with running.wire() as wire, running.wire("::1" if has_ipv6() else "127.0.0.1") as other:
        for each in (wire, other) * 3:
            each.send(asked)
            assert each.reply().status == 200
        path.write_text("latter")
        reload(running)
        for each in (wire, other):
            each.send(asked)
            assert each.reply().short == (403, "Bad Token")
            each.send(asked.replace(b"former", b"latter"))
            assert each.reply().status == 200


def test_a_first_client(agent, tmp_path, secrets):
    """Once one is declared the main token is good for nothing, and the new one at once for what it may have."""
    secrets.create("mine"), secrets.create("theirs")
    (tmp_path / "token").write_text("of the client")
    running = agent(**UNCHECKED)
    with running.wire() as wire:
        for name in ("mine", "theirs", "theirs"):
            wire.get(f"{SECRET}{name}")
            assert wire.reply().status == 200
        rule = {"name": "web", "token_file": tmp_path / "token", "secrets": ["mine"]}
        configure(running, **UNCHECKED, own={"clients": [rule]})
        reload(running)
        for name, token, status in (
            ("theirs", TOKEN, 403), ("mine", TOKEN, 403), ("mine", "of the client", 200), ("theirs", "of the client", 403),
        ):  # fmt: skip
            wire.get(f"{SECRET}{name}", f"{HEADER}: {token}")
            assert wire.reply().status == status


def test_other_headers_and_hosts(agent, known):
    """What is asked of a request is asked at once: its token's header, its host, its prefix, whether it is logged."""
    running = agent(own={"allowed_hosts": ["a.example"]}, **UNCHECKED)
    with running.wire() as wire:
        asked = head(f"/v1/{known}", "Host: a.example", f"{HEADER}: {TOKEN}")
        for _ in range(3):
            wire.send(asked)
            assert wire.reply().status == 200
        configure(running, **UNCHECKED)
        reload(running)
        wire.send(asked)
        assert wire.reply().status == 421
        configure(running, ssrf_headers=["X-Mine"], path_prefix="/w/", own={"access_log": True}, **UNCHECKED)
        reload(running)
        wire.get(f"/v1/{known}")
        assert wire.reply().status == 403
        wire.get(f"/v1/{known}", f"X-Mine: {TOKEN}")
        assert wire.reply().status == 404
        wire.get(f"/w/{known}", f"X-Mine: {TOKEN}")
        assert wire.reply().status == 200
    running.wait_for_log(f"access client=- peer=127.0.0.1:{wire_port(running.log)}")
    assert running.log.count(" - access ") == 3


def wire_port(log):
    return re.search(r"peer=127\.0\.0\.1:(\d+)", log)[1]


def test_other_levels(agent, known):
    """From the next record on; with none of them not even the reload is told."""
    running = agent(**UNCHECKED)
    running.wait_for_log("listening on")
    configure(running, log_level="debug", own={"access_log": True}, **UNCHECKED)
    reload(running)
    configure(running, log_level="none", http_port=1025, **UNCHECKED)
    running.signal(signal.SIGHUP)
    before = eventually(lambda: is_silent(running, known) and running.log, "silent")
    assert running.fetch(f"{SECRET}{known}", token=None).status == 403
    assert running.log == before
    assert "effect" not in before
    configure(running, log_level="error", **UNCHECKED)
    running.signal(signal.SIGHUP)
    eventually(lambda: not is_silent(running, known, token=None), "heard")
    assert running.log.count("Configuration reloaded") == 1


def is_silent(running, known, token=TOKEN):
    """Whether a request leaves no record."""
    before = running.log
    running.fetch(f"{SECRET}{known}", token=token)
    return running.log == before


@pytest.mark.parametrize("word", WORDS)
def test_a_broken_config(agent, known, word):
    """Is not taken: the log tells each mistake on one line, and the former settings stay, others that are right too."""
    running = agent(word=word, ttl_seconds=600, **UNCHECKED)
    running.wait_for_log("listening on")
    good = running.config.read_text()
    prefix = "Not reloaded, the former settings stay in force: "
    for text, told in (
        ("ttl_seconds = 3601\nlog_level = 'none'\nssrf_headers = []\n", ("3600", "SSRF headers")),
        ("ttl_seconds = \n", ("line 1",)),
        ("unheard_of = 1\n", ("unheard_of",)),
    ):
        running.config.write_text(text)
        before = len(running.log.splitlines())
        running.signal(signal.SIGHUP)
        (line,) = eventually(lambda before=before: running.log.splitlines()[before:], "told")
        assert " ERROR " in line
        assert prefix in line
        assert all(each in line for each in told), line
        assert running.get(known).status == 200
    running.config.unlink()
    before = running.log.count(prefix)
    running.signal(signal.SIGHUP)
    eventually(lambda: running.log.count(prefix) > before, "told")
    running.config.write_text(good)
    reload(running)
    assert running.get(known).status == 200


def test_what_waits_for_the_next_start(agent, tmp_path, known):
    """Is warned about, by name, and everything else is taken over."""
    running = agent(**UNCHECKED)
    configure(
        running,
        http_port=1025,
        log_to_file=False,
        log_level="debug",
        own={"unix_socket": "s", "unix_socket_mode": "0666", "unix_socket_owner": "root"},
        **UNCHECKED,
    )
    reload(running)
    for key in ("http_port", "log_to_file", "unix_socket", "unix_socket_mode", "unix_socket_owner"):
        assert f" WARN strongroom::agent - {key} takes effect at the next start\n" in running.log
    assert running.get(known).status == 200
    assert not (running.directory / "s").exists()
    reload(running)
    assert running.log.count("next start") == 5  # said once


def test_a_former_form(agent):
    """What a start would warn of is warned of at each reload."""
    running = agent(word="sm", **UNCHECKED)
    running.wait_for_log("listening on")
    reload(running)
    assert running.log.count("the flat form of the configuration file is deprecated") == 2


def test_a_request_in_hand(agent, secrets):
    """Is answered as it was asked, when the reload changes the way to AWS; whoever asks later gets the other region's."""
    here, there = "us-east-1", "eu-west-1"
    name = secrets.create(value="here")
    secrets.create(name, "there", region=there)
    running = agent(region=here, **UNCHECKED)
    gate = secrets.hold("GetSecretValue")
    with running.wire() as wire, running.wire() as other:
        wire.get(f"{SECRET}{name}")
        gate.wait_for()
        configure(running, region=there, **UNCHECKED)
        reload(running)
        other.get(f"{SECRET}{name}")
        gate.release()
        assert wire.reply().value == "here"
        assert other.reply().value == "there"
        wire.get(f"{SECRET}{name}")
        assert wire.reply().value == "there"
    assert [asked.region for asked in secrets.asked] == [here, there]


def test_reloads_under_load(agent, secrets, known):
    """However many there are, at whatever moment: each request is answered, and AWS is asked once."""
    running = agent(**UNCHECKED)
    assert running.get(known).status == 200
    with running.wire() as wire:
        for number in range(100):
            configure(running, ttl_seconds=300 + number, max_roles=1 + number % 2, **UNCHECKED)
            running.signal(signal.SIGHUP)
            wire.get(f"{SECRET}{known}" + "&versionStage=AWSCURRENT" * (number % 2))
            assert wire.reply().value == "hunter2"
    reload(running)
    assert secrets.gets(known) <= 2
    assert " ERROR " not in running.log


def test_a_reload_while_aws_is_asked_at_the_start(tmp_path, secrets, known):
    """Ends nothing: it is done once the agent serves."""
    gate = secrets.hold("GetCallerIdentity")
    running = Agent(tmp_path, secrets)
    gate.wait_for()
    configure(running, path_prefix="/later/")
    running.signal(signal.SIGHUP)
    running.signal(signal.SIGHUP)
    gate.release()
    with running:
        running.wait_for_log("Configuration reloaded")
        assert running.fetch(f"/later/{known}").status == 200
        assert running.log.index("listening on") < running.log.index("Configuration reloaded")


# The log's place.


@pytest.mark.parametrize(("word", "name"), [("agent", "secrets_manager_agent"), ("sm", "secrets_manager_provider")])
def test_modes_of_the_log(hidden, word, name):
    """Its owner writes it and a group may read it, unless the umask says less; moved away, it is made anew as such."""
    running = hidden("umask 027; exec python", word=word)
    told_port(running)
    log = running.directory / "logs" / f"{name}.log"
    assert [each.name for each in log.parent.iterdir()] == [log.name]
    assert (mode(log), mode(log.parent)) == (0o640, 0o750)
    moved = log.rename(log.with_name(f"{name}.log.1"))
    running.signal(signal.SIGHUP)
    eventually(log.exists, "made anew")
    running.wait_for_log("Configuration reloaded")
    assert mode(log) == 0o640
    assert "Configuration reloaded" not in moved.read_text()
    assert "listening on" not in running.log
    running.stop()
    assert "shutting down" in running.log


def mode(path):
    return path.stat().st_mode & 0o7777


def test_the_log_stays_where_it_was(agent, known):
    """A second start appends to the file of the first."""
    running = agent(**UNCHECKED)
    running.stop()
    first = running.log
    again = Agent(running.directory, None, env={"AWS_REGION": "us-east-1"}, **UNCHECKED)
    with again:
        again.wait_for_log("listening on")
    assert running.log.startswith(first)
    assert running.log.count("listening on") == 2


def test_the_version(agent):
    """The banner tells the same one as ``--version``."""
    told = subprocess.run([sys.executable, "-m", "strongroom", "--version"], capture_output=True, text=True, check=True)
    running = agent(**UNCHECKED)
    assert running.banner.startswith(f"Agent/{strongroom.__version__} ")
    assert strongroom.__version__ in told.stdout
