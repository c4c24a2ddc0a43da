"""Credentials out of web identities, programs, the machine and the AWS CLI's sign-in; and roles on top of them."""

import json
import shlex
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fakes.cloud import Call
from harness.home import ACCOUNT, ADM, R2, RO, shown_time

TOKEN = "eyJhbGciOi.J9.signature"
ENV = {"AWS_ACCESS_KEY_ID": "AKIAENVENVENVENVENV1", "AWS_SECRET_ACCESS_KEY": "secret of the environment"}


@pytest.fixture
def place(home, cloud):
    """Write a config of these profiles, in an AWS with roles and keys."""
    for arn in (RO, ADM, R2):
        cloud.role(arn)
    cloud.key(ENV["AWS_ACCESS_KEY_ID"], ENV["AWS_SECRET_ACCESS_KEY"])
    cloud.web_identities = {TOKEN}

    def write(**profiles):
        text = f"[default]\nregion = us-east-1\nendpoint_url = {cloud.url}\n"
        for name, settings in profiles.items():
            text += f"[profile {name}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())
        home.write_config(text)
        return home

    return write


def program(home, text, name="program"):
    """A program of the user's, as the config names it."""
    path = home.work / f"{name}.py"
    path.write_text(text)
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(path))}"


def printing(home, fields, name="program"):
    return program(home, f"print({json.dumps(json.dumps(fields))})\n", name)


def key_of(result):
    assert (result.status, result.stderr) == (0, "")
    return result.json()["AccessKeyId"]


# A web identity.


def test_a_token_in_a_file(place, cloud):
    """Its newline is not sent; the role's session is kept and used again."""
    home = place(pod={"role_arn": RO, "web_identity_token_file": "~/token", "role_session_name": "me"})
    (home.path / "token").write_text(TOKEN + "\n")
    first = home.call("export", "--format=json", "pod")
    assert key_of(first) == key_of(home.call("export", "--format=json", "pod"))
    assert cloud.calls == [Call("AssumeRoleWithWebIdentity", 3600, signer="nobody", role=RO)]
    assert cloud.calls[0].parameters["WebIdentityToken"] == TOKEN
    assert cloud.calls[0].session_name == "me"
    assert home.sessions() == [("AssumeRoleWithWebIdentity", "pod", "")]


def test_a_token_of_a_program(place, cloud, home):
    """What it prints, trimmed."""
    command = program(home, f"print({TOKEN!r}, end='\\r\\n\\n')")
    place(pod={"role_arn": RO, "web_identity_token_process": command, "duration_seconds": 7200})
    key_of(home.call("export", "--format=json", "pod"))
    assert cloud.calls == [Call("AssumeRoleWithWebIdentity", 7200, signer="nobody", role=RO)]


def test_a_role_on_a_web_identity(place, cloud):
    """It is chained, so it lasts an hour, and no code is sent, which is said."""
    home = place(
        pod={"role_arn": RO, "web_identity_token_file": "~/token"},
        admin={
            "role_arn": ADM,
            "source_profile": "pod",
            "duration_seconds": 7200,
            "mfa_serial": "arn:aws:iam::1:mfa/x",
        },
    )
    (home.path / "token").write_text(TOKEN)
    result = home.call("export", "--format=json", "admin")
    assert result.status == 0
    assert cloud.calls == [
        Call("AssumeRoleWithWebIdentity", 3600, signer="nobody", role=RO),
        Call("AssumeRole", 3600, signer="role", role=ADM),
    ]
    assert "no MFA code is sent" in result.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"web_identity_token_file": "~/nosuch", "role_arn": RO},
            "cannot read the web identity token of profile 'pod'",
        ),
        ({"web_identity_token_file": "~/empty", "role_arn": RO}, "the web identity token of profile 'pod' is none"),
        ({"web_identity_token_file": "~/huge", "role_arn": RO}, "the web identity token of profile 'pod' is none"),
        ({"web_identity_token_file": "~/bytes", "role_arn": RO}, "the web identity token of profile 'pod' is none"),
        ({"web_identity_token_file": "~/other", "role_arn": RO}, "(InvalidIdentityToken): The ID Token provided"),
        ({"web_identity_token_process": "exit 3", "role_arn": RO}, "web_identity_token_process: exit status 3"),
        ({"web_identity_token_file": "~/token"}, "has a web_identity_token_file and no role_arn"),
    ],
)
def test_no_token(place, cloud, settings, message):
    """One line says what is wrong with which setting; nothing is kept."""
    home = place(pod=settings)
    for name, data in {"empty": b"\n", "huge": b"x" * 30_000, "bytes": b"\xff\xfe", "other": b"another.token"}.items():
        (home.path / name).write_bytes(data)
    result = home.call("export", "pod")
    assert (result.status, result.stdout) == (1, "")
    assert message in result.stderr
    assert home.item_names() == []


# A program.


def test_credentials_of_a_program(place, home, cloud):
    """As it prints them: without a token or a time too, which are asked for each time and never kept."""
    place(proc={"credential_process": printing(home, {"Version": 1, "AccessKeyId": "AKIAX", "SecretAccessKey": "s"})})
    result = home.call("export", "--format=json", "proc")
    assert result.json() == {"Version": 1, "AccessKeyId": "AKIAX", "SecretAccessKey": "s"}
    assert home.item_names() == []


def test_temporary_credentials_of_a_program_are_kept(place, home):
    """Until they expire: the program runs once."""
    counter = home.work / "counter"
    fields = {
        "Version": 1,
        "AccessKeyId": "ASIAX",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": shown_time(time.time() + 3600),
    }
    text = f"open({str(counter)!r}, 'a').write('x')\nprint({json.dumps(json.dumps(fields))})\n"
    place(proc={"credential_process": program(home, text)})
    assert key_of(home.call("export", "--format=json", "proc")) == "ASIAX"
    assert key_of(home.call("export", "--format=json", "proc")) == "ASIAX"
    assert counter.read_text() == "x"
    assert home.sessions() == [("credential_process", "proc", "")]


def test_another_program_is_another_source(place, home):
    """What one printed is not taken for what the next one would print."""
    times = {"Expiration": shown_time(time.time() + 3600), "SessionToken": "t", "Version": 1, "SecretAccessKey": "s"}
    for name in ("ASIAONE", "ASIATWO"):
        place(proc={"credential_process": printing(home, times | {"AccessKeyId": name}, name)})
        assert key_of(home.call("export", "--format=json", "proc")) == name


def test_a_role_on_a_program(place, home, cloud):
    """Of another profile, and of the same one: both are assumed."""
    command = printing(
        home, {"Version": 1, "AccessKeyId": ENV["AWS_ACCESS_KEY_ID"], "SecretAccessKey": ENV["AWS_SECRET_ACCESS_KEY"]}
    )
    place(
        proc={"credential_process": command},
        role={"role_arn": ADM, "source_profile": "proc"},
        both={"credential_process": command, "role_arn": RO, "duration_seconds": 7200},
    )
    key_of(home.call("export", "--format=json", "role"))
    key_of(home.call("export", "--format=json", "both"))
    assert cloud.calls == [Call("AssumeRole", 3600, role=ADM), Call("AssumeRole", 7200, role=RO)]


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "it is no JSON"),
        ("[]", "it is no JSON object"),
        ('{"Version": 2}', "its Version is not 1"),
        ('{"Version": 1}', "AccessKeyId is missing"),
        ('{"Version": 1, "AccessKeyId": 5}', "AccessKeyId is no text"),
        ('{"Version": 1, "AccessKeyId": "CANARY", "SecretAccessKey": ""}', "SecretAccessKey is missing"),
        ('{"Version": 1, "AccessKeyId": "CANARY", "SecretAccessKey": "CANARY", "SessionToken": 1}', "SessionToken is no text"),
        ('{"Version": 1, "AccessKeyId": "CANARY", "SecretAccessKey": "CANARY", "Expiration": "soon"}', "its Expiration is no time"),
        ("CANARY" * 20_000, None),
    ],
)  # fmt: skip
def test_junk_of_a_program(place, home, output, reason):
    """Is told by its kind, and never shown."""
    place(proc={"credential_process": program(home, f"print({output!r})")})
    result = home.call("export", "--debug", "proc")
    assert (result.status, result.stdout) == (1, "")
    assert (reason or "it printed more than 65536 bytes") in result.stderr
    assert "CANARY" not in result.stderr


def test_a_program_that_fails_or_hangs(place, home, monkeypatch):
    """Its exit status is told, and it is ended when it takes too long."""
    monkeypatch.setattr("strongroom.providers.credential_process.PROCESS_SECONDS", 0.3)
    place(fails={"credential_process": "exit 7"}, hangs={"credential_process": "sleep 60"})
    assert "credential_process: exit status 7" in home.call("export", "fails").stderr
    assert "credential_process: no credentials within 0.3 seconds" in home.call("export", "hangs").stderr


@pytest.mark.parametrize("field", ["credential_process", "web_identity_token_process"])
def test_a_program_that_leads_back_to_us(place, home, field):
    """Is found out by the mark in its environment; with a stored key it is no recursion, for the key comes first."""
    command = f"{shlex.quote(sys.executable)} -m strongroom export --format=json loop"
    place(loop={field: command, "role_arn": RO} if field != "credential_process" else {field: command})
    result = home.run("export", "--format=json", "loop")
    assert result.status == 1
    assert f"the {field} of profile 'loop' asks strongroom for that same profile" in result.stderr


def test_the_environment_of_a_program(place, home):
    """It sees the user's variables, not AWS's credentials nor what opens the vault."""
    seen = home.work / "seen"
    text = f"import json, os\njson.dump(dict(os.environ), open({str(seen)!r}, 'w'))\n"
    place(proc={"credential_process": program(home, text)})
    home.call("export", "proc", env={**ENV, "MINE": "1"})
    names = json.loads(seen.read_text())
    assert names["MINE"] == "1"
    assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_VAULT_FILE_PASSPHRASE"} & set(names)


# The machine.


def test_the_environment_as_a_source(place, cloud):
    """Its keys assume the role."""
    home = place(env={"credential_source": "Environment", "role_arn": RO})
    key_of(home.call("export", "--format=json", "env", env=ENV))
    assert cloud.calls == [Call("AssumeRole", 3600, role=RO)]
    assert cloud.calls[0].access_key_id == ENV["AWS_ACCESS_KEY_ID"]


@pytest.fixture
def metadata():
    """A server that stands for a container's credentials, and for an instance's metadata with sessions (IMDSv2)."""
    credentials = {
        "Code": "Success",
        "RoleArn": "arn:aws:iam::111111111111:role/machine",
        "AccessKeyId": ENV["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": ENV["AWS_SECRET_ACCESS_KEY"],
        "Token": "",
        "Expiration": shown_time(time.time() + 3600),
    }
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            self._send(200, b"a-token")

        def do_GET(self):
            asked.append(self.path)
            if self.path.endswith("/security-credentials/"):
                self._send(200, b"machine")
            elif "machine" in self.path or "container" in self.path:
                self._send(200, json.dumps(credentials).encode())
            else:
                self._send(404, b"")

        def _send(self, status, body):
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-aws-ec2-metadata-token-ttl-seconds", "300")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    server.asked = asked
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("source", ["EcsContainer", "Ec2InstanceMetadata"])
def test_the_machine_as_a_source(place, cloud, metadata, source):
    """A container's and an instance's role assume another one."""
    home = place(machine={"credential_source": source, "role_arn": RO})
    env = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{metadata.url}/container",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.url,
        "AWS_EC2_METADATA_DISABLED": "false",
    }
    assert home.call("export", "--format=json", "machine", env=env).status == 0
    assert [call.action for call in cloud.calls] == ["AssumeRole"]
    assert metadata.asked


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("Environment", "credential_source = Environment has no credentials"),
        ("EcsContainer", "credential_source = EcsContainer has no credentials"),
        ("Ec2InstanceMetadata", "credential_source = Ec2InstanceMetadata has no credentials"),
        ("Elsewhere", "credential_source is 'Elsewhere'"),
    ],
)
def test_a_machine_without_credentials(place, source, message):
    """Says which source has none, and what it would need."""
    result = place(machine={"credential_source": source, "role_arn": RO}).call("export", "machine")
    assert (result.status, result.stdout) == (1, "")
    assert message in result.stderr
    assert "hint:" in result.stderr


def test_half_of_a_key(place):
    """botocore's own reason is told in one line."""
    home = place(env={"credential_source": "Environment", "role_arn": RO})
    result = home.call("export", "env", env={"AWS_ACCESS_KEY_ID": "AKIAX"})
    assert result.status == 1
    assert "Environment: no credentials can be had: Partial credentials found in env" in result.stderr


def test_no_session_of_the_aws_cli(place):
    """`aws login` has not been typed, or what reads its cache is not installed: either way it is said."""
    result = place(signed={"login_session": "arn:aws:iam::111111111111:user/jon"}).call("export", "signed")
    assert (result.status, result.stdout) == (1, "")
    assert "aws login" in result.stderr or "awscrt" in result.stderr


# What they have in common.


@pytest.mark.parametrize(
    ("settings", "title", "who"),
    [
        ({"credential_process": "true"}, "credential_process for profile p", "the program"),
        ({"credential_source": "Environment"}, "credential_source for profile p", "the machine"),
        ({"login_session": "arn:x"}, "login_session for profile p", "the AWS CLI's cache"),
        (
            {"web_identity_token_file": "~/x", "role_arn": RO},
            f"sts.AssumeRoleWithWebIdentity for profile p, role {RO}, for 1h0m0s, without MFA",
            "AWS",
        ),
    ],
)
def test_explain(place, settings, title, who):
    """Each source by its name and place, and who will be asked; nobody is."""
    result = place(p=settings).call("explain", "p")
    field = next(iter(settings))
    assert result.status == 0
    assert f"1. {title}\n" in result.stdout
    assert f"names its source: {field} (" in result.stdout
    assert f"nothing stored; {who} will be asked" in result.stdout


def test_a_stored_session_of_a_source_is_explained(place, home):
    """As any other step's."""
    fields = {"Version": 1, "AccessKeyId": "ASIAX", "SecretAccessKey": "s", "SessionToken": "t"}
    place(proc={"credential_process": printing(home, fields | {"Expiration": shown_time(time.time() + 3600)})})
    key_of(home.call("export", "--format=json", "proc"))
    assert "stored and good until" in home.call("explain", "proc").stdout


def test_a_locked_store_is_said(place, home):
    """With a wrong passphrase a kept session cannot be opened: nothing is asked in its stead."""
    fields = {"Version": 1, "AccessKeyId": "ASIAX", "SecretAccessKey": "s", "SessionToken": "t"}
    place(proc={"credential_process": printing(home, fields | {"Expiration": shown_time(time.time() + 3600)})})
    key_of(home.call("export", "--format=json", "proc"))
    result = home.call("export", "proc", env={"AWS_VAULT_FILE_PASSPHRASE": "wrong"})
    assert result.status == 1
    assert "wrong passphrase" in result.stderr


# What comes first when a profile names several sources.

SOURCES = {
    "sso": {
        "sso_start_url": "https://x/start", "sso_region": "us-east-1", "sso_account_id": ACCOUNT, "sso_role_name": "R"
    },
    "web": {"role_arn": RO, "web_identity_token_file": "{home}/token"},
    "process": {"credential_process": "echo"},
    "source": {"role_arn": ADM, "credential_source": "Environment"},
}  # fmt: skip
AS_BOTOCORE_SAYS = {
    "sso": "sso.GetRoleCredentials",
    "assume-role-with-web-identity": "sts.AssumeRoleWithWebIdentity",
    "custom-process": "credential_process",
    "assume-role": "credential_source",
}


@pytest.mark.parametrize(
    "names",
    [("sso",), ("web",), ("process",), ("source",), ("sso", "process"), ("process", "web"), ("source", "process")],
    ids="+".join,
)
def test_the_order_is_botocores(place, home, monkeypatch, names):
    """Whatever order they are written in: the AWS CLI and we take the same."""
    import botocore.session

    settings = {key: text.format(home=home.path) for name in names for key, text in SOURCES[name].items()}
    (home.path / "token").write_text(TOKEN)
    place(it=settings)
    steps = home.call("explain", "--json", "it").json()["steps"]
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home.config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home.path / "none"))
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED", raising=False)
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    session = botocore.session.Session(profile="it")
    providers = session.get_component("credential_provider")
    process = providers.get_provider("custom-process")
    monkeypatch.setattr(process, "load", lambda: _Found(process.METHOD) if "credential_process" in settings else None)
    assert steps[0]["action"] == AS_BOTOCORE_SAYS[session.get_credentials().method]


class _Found:
    def __init__(self, method):
        self.method = method
