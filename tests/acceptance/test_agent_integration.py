"""What the integration suites of the two originals ask of a program, by the names that the tests have there.

Each runs against the real program as a child, whose stdout is closed once the banner has been read, as those suites do it.
``agent`` stands for the AWS Secrets Manager Agent 2.0, ``sm`` for the AWS Workload Credentials Provider 3. Where those
tests wait for a time to live of five seconds, it is one second here.
"""

import json
import time

import pytest

from fakes.secrets import ACCESS_KEY_ID, ACCOUNT, SECRET_ACCESS_KEY
from harness.agent import TOKEN, Agent, eventually

ROLE = f"arn:aws:iam::{ACCOUNT}:role/asm-role-chaining-role"
NO_ACCESS_ROLE = f"arn:aws:iam::{ACCOUNT}:role/provider-no-access-role"
NO_ROLE = "arn:aws:iam::000000000000:role/NonExistentRole"
WORDS = ("agent", "sm")

FORMS = {
    "agent": 'http_port = {port}\nlog_level = "info"\nttl_seconds = {ttl}\nvalidate_credentials = true\n',
    "sm": """\
[logging]
log_level = "info"
[capabilities.secrets_manager]
http_port = {port}
validate_credentials = true
[capabilities.secrets_manager.cache]
ttl_seconds = {ttl}
""",
}
CREDENTIALS_FORMS = {
    "agent": 'http_port = 0\nlog_level = "debug"\ncredentials_file_path = "{path}"\n',
    "sm": """\
[logging]
log_level = "debug"
[capabilities.secrets_manager]
http_port = 0
credentials_file_path = "{path}"
""",
}


def user(name: str, password: str = "testpass123") -> str:
    return json.dumps({"username": name, "password": password})


def user_of(reply) -> str:
    return json.loads(reply.value)["username"]


def configured(word: str, ttl: int) -> dict:
    return {"word": word, "text": FORMS[word].format(port=0, ttl=ttl), "closes_stdout": True}


@pytest.fixture(scope="module")
def standing(tmp_path_factory, _secrets_server):
    """The agents that most tests share, with a time to live of five seconds: started at the first use."""
    started = {}

    def of(word):
        if word not in started:
            started[word] = Agent(tmp_path_factory.mktemp(word), _secrets_server, **configured(word, 5)).ready()
        return started[word]

    yield of
    for each in started.values():
        with each:
            pass


@pytest.fixture(params=WORDS)
def running(request, secrets, standing):
    """An agent of each kind."""
    return standing(request.param)


@pytest.fixture
def provider(secrets, standing):
    """The newer kind."""
    return standing("sm")


@pytest.fixture
def basic(secrets):
    """The name of a secret with a user and a password."""
    return secrets.create(value=user("testuser"))


@pytest.fixture
def versioned(secrets):
    """The name of a secret with a current and a pending version."""
    name = secrets.create(value=user("currentuser", "currentpass"))
    secrets.put(name, user("pendinguser", "pendingpass"), stages=("AWSPENDING",))
    return name


# secret_retrieval


def test_secret_retrieval_by_name(running, basic):
    """A name gives the secret of that name."""
    answer = running.get(basic).json()
    assert (answer["Name"], type(answer["VersionId"])) == (basic, str)
    assert "testuser" in answer["SecretString"]


def test_secret_retrieval_by_arn(running, secrets, basic):
    """An ARN gives the secret of that ARN."""
    answer = running.get(secrets.arn(basic)).json()
    assert answer["ARN"] == secrets.arn(basic)
    assert "testuser" in answer["SecretString"]


def test_binary_secret_retrieval(running, secrets):
    """Bytes come as base64, and there is no text then."""
    answer = running.get(secrets.create(value=b"\x00\x01\x02\x03\xff\xfe\xfd")).json()
    assert isinstance(answer["SecretBinary"], str)
    assert answer.get("SecretString") is None


def test_version_stage_retrieval(running, versioned):
    """Each stage has its own version."""
    for stage, name in (("AWSCURRENT", "currentuser"), ("AWSPENDING", "pendinguser")):
        reply = running.get(versioned, versionStage=stage)
        assert user_of(reply) == name
        assert stage in reply.json()["VersionStages"]


def test_version_id_retrieval(running, secrets, versioned):
    """Each version can be asked for by its id."""
    for stage, name in (("AWSCURRENT", "currentuser"), ("AWSPENDING", "pendinguser")):
        version_id = secrets.version_id(versioned, stage)
        reply = running.get(versioned, versionId=version_id)
        assert (reply.json()["VersionId"], user_of(reply)) == (version_id, name)


def test_large_secret_retrieval(running, secrets):
    """60,000 bytes come whole."""
    name = secrets.create(value=json.dumps({"data": "x" * 60_000, "size": "60KB"}))
    assert json.loads(running.get(name).value) == {"data": "x" * 60_000, "size": "60KB"}


def test_real_nonexistent_secret(running, secrets):
    """400, with something to read."""
    name = secrets.name("nonexistent")
    for parameters in ({}, {"refreshNow": "true"}):
        reply = running.get(name, **parameters)
        assert reply.status == 400
        assert reply.body


# cache_behavior


def test_refresh_now_on_updated_secret_succeeds(running, secrets, basic):
    """An update is not seen, until refreshNow asks for it."""
    assert user_of(running.get(basic)) == "testuser"
    version_id = secrets.put(basic, user("rotateduser"))
    assert user_of(running.get(basic)) == "testuser"
    fresh = running.get(basic, refreshNow="true")
    assert (user_of(fresh), fresh.json()["VersionId"]) == ("rotateduser", version_id)
    assert "AWSCURRENT" in fresh.json()["VersionStages"]


@pytest.mark.parametrize("word", WORDS)
def test_cache_expiration_and_refresh(agent, secrets, basic, word):
    """An update is seen once the time to live is over."""
    running = agent(**configured(word, 1))
    before = running.get(basic)
    version_id = secrets.put(basic, user("expireduser"))
    assert running.get(basic).json()["VersionId"] == before.json()["VersionId"] != version_id
    time.sleep(1.1)
    after = running.get(basic)
    assert (user_of(after), after.json()["VersionId"]) == ("expireduser", version_id)
    assert "AWSCURRENT" in after.json()["VersionStages"]


@pytest.mark.parametrize("word", WORDS)
def test_ttl_zero_disables_caching(agent, secrets, basic, word):
    """An update is seen at once."""
    running = agent(**configured(word, 0))
    before = running.get(basic).json()["VersionId"]
    version_id = secrets.put(basic, user("nocacheuser"))
    after = running.get(basic)
    assert (user_of(after), after.json()["VersionId"]) == ("nocacheuser", version_id)
    assert "AWSCURRENT" in after.json()["VersionStages"]
    assert before != version_id


# security


def test_ssrf_token_validation(running, basic):
    """No token and a wrong one are 403, refreshNow or not."""
    assert [running.get(basic, token=token).status for token in (None, "wrong-token", TOKEN)] == [403, 403, 200]
    assert user_of(running.get(basic)) == "testuser"
    assert [running.get(basic, token=token, refreshNow="true").status for token in (None, TOKEN)] == [403, 200]


def test_x_forwarded_for_rejection(running, basic):
    """A request that was forwarded is 400, with the right token too."""
    target = f"/secretsmanager/get?secretId={basic}"
    assert running.fetch(target, X_Forwarded_For="192.168.1.1").status == 400
    assert running.fetch(target).status == 200


# version_management


def test_version_stage_transitions(running, secrets, versioned):
    """A promotion is seen with refreshNow; the old version keeps its value and loses the label."""
    current, pending = (secrets.version_id(versioned, stage) for stage in ("AWSCURRENT", "AWSPENDING"))
    assert user_of(running.get(versioned, versionStage="AWSPENDING")) == "pendinguser"
    assert user_of(running.get(versioned, versionStage="AWSCURRENT")) == "currentuser"
    secrets.move(versioned, "AWSCURRENT", to=pending)
    promoted = running.get(versioned, versionStage="AWSCURRENT", refreshNow="true")
    assert (user_of(promoted), promoted.json()["VersionId"]) == ("pendinguser", pending)
    assert "AWSCURRENT" in promoted.json()["VersionStages"]
    old = running.get(versioned, versionId=current, refreshNow="true")
    assert (user_of(old), old.json()["VersionId"]) == ("currentuser", current)
    assert old.json()["VersionStages"] == ["AWSPREVIOUS"]


# configuration


def test_ping_endpoint_health_check(running):
    """Ping answers whoever asks."""
    assert running.fetch("/ping", token=None).short == (200, "healthy")
    assert running.fetch("/ping").short == (200, "healthy")


def test_path_based_requests(running, basic):
    """The path style gives what the query style gives."""
    path, query = running.fetch(f"/v1/{basic}"), running.get(basic)
    assert user_of(path) == "testuser"
    assert path.json()["Name"] == basic
    assert path.json() == query.json()


# role_chaining


def test_role_chaining_basic(provider, secrets, basic):
    """A secret can be read as another role."""
    secrets.role(ROLE)
    assert user_of(provider.get(basic, roleArn=ROLE)) == "testuser"


def test_role_chaining_invalid_role_arn_format(provider, basic):
    """What is no role's ARN is 400."""
    reply = provider.get(basic, roleArn="not-a-valid-arn")
    assert reply.status == 400
    assert "invalid roleArn format" in reply.text


def test_role_chaining_nonexistent_role(provider, basic):
    """A role that cannot be assumed is 403."""
    reply = provider.get(basic, roleArn=NO_ROLE)
    assert reply.status == 403
    assert "AccessDenied" in reply.text


def test_role_chaining_with_refresh_now(provider, secrets, basic):
    """A role's answers are cached, and refreshNow goes past them."""
    secrets.role(ROLE)
    assert user_of(provider.get(basic, roleArn=ROLE)) == "testuser"
    secrets.put(basic, user("rotateduser"))
    assert user_of(provider.get(basic, roleArn=ROLE)) == "testuser"
    assert user_of(provider.get(basic, roleArn=ROLE, refreshNow="true")) == "rotateduser"


def test_role_chaining_no_access_role_denied(provider, secrets, basic):
    """A role that may not read the secret is refused by Secrets Manager: 400."""
    secrets.role(ROLE)
    secrets.role(NO_ACCESS_ROLE)
    secrets.deny(role=NO_ACCESS_ROLE)
    assert provider.get(basic, roleArn=ROLE).status == 200
    reply = provider.get(basic, roleArn=NO_ACCESS_ROLE)
    assert reply.status == 400
    assert "AccessDenied" in reply.text


def test_role_chaining_separate_caches_per_role(provider, secrets, basic):
    """What was read as a role is not what was read as oneself."""
    secrets.role(ROLE)
    assert user_of(provider.get(basic)) == "testuser"
    secrets.put(basic, user("rotateduser"))
    assert user_of(provider.get(basic, roleArn=ROLE)) == "rotateduser"
    assert user_of(provider.get(basic)) == "testuser"


# prefetch

PREFETCH = """\
[logging]
log_level = "info"
[capabilities.secrets_manager]
http_port = 0
validate_credentials = {validate}
[capabilities.secrets_manager.cache]
ttl_seconds = 300
{prefetch}
"""


def prefetched(agent, prefetch: str, *, validate: str = "true"):
    """An agent that has fetched what it was told to."""
    running = agent(word="sm", text=PREFETCH.format(validate=validate, prefetch=prefetch), closes_stdout=True)
    eventually(lambda: running.fetch("/ready", token=None).status == 200, "ready")
    return running


def test_prefetch_serves_cached(agent, secrets, basic):
    """What was fetched at start is served, although it was changed since."""
    running = prefetched(agent, f'[[capabilities.secrets_manager.prefetch.secrets]]\nsecret_id = "{basic}"')
    secrets.put(basic, user("rotateduser"))
    assert user_of(running.get(basic)) == "testuser"


def test_prefetch_nonexistent_doesnt_crash(agent, secrets):
    """A secret that is not there is no reason to stop."""
    prefetch = f'[[capabilities.secrets_manager.prefetch.secrets]]\nsecret_id = "{secrets.name("nonexistent")}"'
    assert prefetched(agent, prefetch, validate="false").ping().status == 200


def test_prefetch_inline_syntax(agent, secrets, basic):
    """An array of inline tables, with a comma behind the last."""
    prefetch = f'[capabilities.secrets_manager.prefetch]\nsecrets = [\n  {{ secret_id = "{basic}" }},\n]'
    running = prefetched(agent, prefetch)
    secrets.put(basic, user("rotateduser"))
    assert user_of(running.get(basic)) == "testuser"


def test_prefetch_with_role_chaining(agent, secrets, basic):
    """What is fetched as a role is served to whoever asks as that role."""
    secrets.role(ROLE)
    prefetch = f'[[capabilities.secrets_manager.prefetch.secrets]]\nsecret_id = "{basic}"\nrole_arn = "{ROLE}"\n'
    running = prefetched(agent, prefetch)
    secrets.put(basic, user("rotateduser"))
    assert user_of(running.get(basic, roleArn=ROLE)) == "testuser"
    assert user_of(running.get(basic)) == "rotateduser"


def test_prefetch_with_tags(agent, secrets):
    """What has the tag is fetched."""
    name = secrets.create(value=user("testuser"), tags=("only-here",))
    running = prefetched(agent, '[capabilities.secrets_manager.prefetch]\nfilter_tags = [\n  {key = "only-here"},\n]')
    secrets.put(name, user("rotateduser"))
    assert user_of(running.get(name)) == "testuser"


# file_credentials


def credentials(key_id: str, secret: str, token: str | None = None) -> str:
    lines = ["[default]", f"aws_access_key_id = {key_id}", f"aws_secret_access_key = {secret}"]
    return "\n".join([*lines, *([f"aws_session_token = {token}"] if token else [])]) + "\n"


BOGUS = {
    "agent": credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "sm": credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "bogus-token"),
}


class CredentialsFile:
    """An agent of a kind, and the file with its credentials."""

    def __init__(self, agent, secrets, word, path):
        self.word, self.path = word, path
        self._agent = agent
        session = secrets.issue("session", f"arn:aws:iam::{ACCOUNT}:user/temporary", 3600)
        self.valid = (
            credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY)
            if word == "agent"
            else credentials(session.access_key_id, session.secret_access_key, session.session_token)
        )

    def write(self, text):
        self.path.write_text(text)
        self.path.chmod(0o600)

    def start(self, env=None):
        # Nothing but the file has credentials, so that an answer tells that it was the file.
        without = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
        text = CREDENTIALS_FORMS[self.word].format(path=self.path)
        return self._agent(word=self.word, text=text, env=without | (env or {}), closes_stdout=True)


@pytest.fixture(params=WORDS)
def file(request, agent, secrets, tmp_path):
    """For each kind of agent a credentials file that is not there yet."""
    return CredentialsFile(agent, secrets, request.param, tmp_path / "credentials")


def test_valid_credentials_explicit_path(file, basic):
    """The credentials of the file are used."""
    file.write(file.valid)
    assert user_of(file.start().get(basic)) == "testuser"


def test_invalid_credentials_agent_starts(file):
    """Credentials that AWS does not know end no start, and get no secret."""
    file.write(BOGUS[file.word])
    reply = file.start().get("any-secret")
    assert reply.status != 200
    assert reply.body


def test_long_term_rejected(agent, secrets, tmp_path, basic):
    """The newer kind takes no credentials that do not expire."""
    file = CredentialsFile(agent, secrets, "sm", tmp_path / "credentials")
    file.write(credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY))
    running = file.start()
    assert running.get(basic).status != 200
    assert "Long-term IAM User credentials are not permitted" in running.log


def test_malformed_credentials_file(file):
    """A file that is something else ends no start."""
    file.write("this is not a credentials file\nat all")
    reply = file.start().get("any-secret")
    assert reply.status != 200
    assert "InternalFailure" in reply.text


def test_empty_credentials_file(file):
    """Nor does an empty one."""
    file.write("")
    reply = file.start().get("any-secret")
    assert reply.status != 200
    assert "InternalFailure" in reply.text


def test_missing_credentials_path(file):
    """Nor one that is not there."""
    reply = file.start().get("any-secret")
    assert reply.status != 200
    assert "InternalFailure" in reply.text


def test_self_healing_credentials_appear_after_startup(file, basic):
    """Once the file is there it is used."""
    running = file.start({"SMA_CREDENTIALS_RELOAD_SECS": "1"})
    assert running.get(basic).status != 200
    file.write(file.valid)
    eventually(lambda: running.get(basic).status == 200, "healed")


def test_credential_rotation_while_running(file, basic):
    """The file's credentials are the ones in use: bad ones show, good ones heal."""
    file.write(file.valid)
    running = file.start({"SMA_CREDENTIALS_RELOAD_SECS": "1", "SMA_DISABLE_IDENTITY_CACHE": "1"})
    assert running.get(basic).status == 200
    file.write(BOGUS[file.word])
    eventually(lambda: running.get(basic, refreshNow="true").status != 200, "refused")
    file.write(file.valid)
    eventually(lambda: running.get(basic, refreshNow="true").status == 200, "healed")
