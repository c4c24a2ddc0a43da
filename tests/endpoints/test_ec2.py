import json

import pytest

from harness.endpoints import HOUR, METADATA_HOSTS, Bench, made
from harness.service import DATE
from strongroom.endpoints.ec2 import Ec2
from strongroom.errors import AwsUnreachable, PromptDismissed
from strongroom.serve.listener import Peer

HERE = b"169.254.169.254"
# A local client of that address has it as its own, too.
PEER = Peer("tcp", None, "169.254.169.254:40001", ("169.254.169.254", 80), ("169.254.169.254", 40001))
ROLES = "/latest/meta-data/iam/security-credentials/"
TTL = "X-aws-ec2-metadata-token-ttl-seconds"
CREDENTIALS = {
    "AccessKeyId": "ASIAEXAMPLE000000001",
    "Code": "Success",
    "Expiration": "2030-03-17T18:46:40Z",
    "LastUpdated": "2030-03-17T17:46:40Z",
    "SecretAccessKey": "secret-1",
    "Token": "session",
    "Type": "AWS-HMAC",
}
DOCUMENT = {
    "availabilityZone": "eu-west-1a",
    "instanceId": "strongroom",
    "region": "eu-west-1",
    "version": "2017-09-30",
}
NO_TOKEN = "401 - Unauthorized: ask for a token first (PUT /latest/api/token), or start the server with --imdsv1\n"


class Client:
    """Asks as SDKs do, with a token."""

    def __init__(self, bench):
        self.bench = bench
        self.token = None

    def put(self, seconds="21600", *headers, target="/latest/api/token", **how):
        lines = headers if seconds is None else (f"{TTL}: {seconds}", *headers)
        return self.bench.fetch(target, *lines, **{"method": "PUT", "token": None, "host": HERE, "peer": PEER} | how)

    def get(self, target, *headers, **how):
        if self.token is None:
            self.token = self.put().text
        lines = (f"X-aws-ec2-metadata-token: {self.token}", *headers)
        return self.bench.fetch(target, *lines, **{"token": None, "host": HERE, "peer": PEER} | how)

    def get_v1(self, target, *headers, **how):
        return self.bench.fetch(target, *headers, **{"token": None, "host": HERE, "peer": PEER} | how)


@pytest.fixture
def bench():
    bench = Bench()
    bench.ec2()
    yield bench
    bench.close()


@pytest.fixture
def client(bench):
    return Client(bench)


def test_as_the_sdks_ask(client):
    """A token; the roles, without a final newline; the role."""
    reply = client.put()
    assert (reply.status, len(reply.text)) == (200, 56)
    assert reply.headers == {
        "date": DATE.decode(),
        "content-type": "text/plain",
        "content-length": "56",
        TTL.lower(): "21600",
    }
    reply = client.get(ROLES)
    assert reply.short == (200, "jon")
    reply = client.get(ROLES + "jon")
    assert (reply.status, json.loads(reply.text)) == (200, CREDENTIALS)
    assert list(json.loads(reply.text)) == list(CREDENTIALS)
    assert (reply.headers["content-type"], reply.headers["cache-control"]) == ("text/plain", "no-store")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        # Rust and JavaScript; CLI 2, with the slash; kops by the Go SDK, Java by the document below.
        ("/latest/meta-data/placement/region", "eu-west-1"),
        ("/latest/meta-data/placement/availability-zone", "eu-west-1a"),
        ("/latest/meta-data/placement/availability-zone/", "eu-west-1a"),
        ("/latest/meta-data/instance-id", "strongroom"),
        ("/latest/meta-data/instance-id/", "strongroom"),
        ("/latest/meta-data/services/partition", "aws"),
        ("/latest/meta-data/services/domain", "amazonaws.com"),
        ("/latest/meta-data/iam/security-credentials", "jon"),
        # ec2-metadata looks whether this is there before it asks for anything; cloud-init walks all below.
        ("/latest/meta-data/", "iam/\ninstance-id\nplacement/\nservices/"),
        ("/latest/meta-data", "iam/\ninstance-id\nplacement/\nservices/"),
        ("/latest/meta-data/iam/", "info\nsecurity-credentials/"),
        ("/latest/meta-data/placement/", "availability-zone\nregion"),
        ("/latest/meta-data/services/", "domain\npartition"),
        ("/latest/dynamic/", "instance-identity/"),
        ("/latest/dynamic/instance-identity/", "document"),
        ("/latest/", "dynamic/\nmeta-data/"),
        ("/latest", "dynamic/\nmeta-data/"),
        ("/", "latest"),
        # cloud-init, from the newest version that it knows to the oldest.
        ("/2021-03-23/meta-data/instance-id", "strongroom"),
        ("/2009-04-04/meta-data/instance-id", "strongroom"),
        ("/1.0/meta-data/instance-id", "strongroom"),
        # Scripts with a slash at the end of one variable and the begin of the other.
        ("/latest/meta-data//instance-id", "strongroom"),
        ("//latest/meta-data/instance-id?x=y", "strongroom"),
        ("http://169.254.169.254/latest/meta-data/instance-id", "strongroom"),
    ],
)
def test_paths(client, path, text):
    """What SDKs and tools ask for is there."""
    assert client.get(path).short == (200, text)


@pytest.mark.parametrize(
    "path", ["/latest/dynamic/instance-identity/document", "/2016-09-02/dynamic/instance-identity/document/"]
)
def test_the_identity_document(bench, client, path):
    """The region as the Java SDK reads it; an account only if it is known."""
    assert json.loads(client.get(path).body) == DOCUMENT
    bench.ec2(account_id="111122223333")
    assert json.loads(Client(bench).get(path).body) == DOCUMENT | {"accountId": "111122223333"}


def test_info(bench, client):
    """When the credentials came; or now, while there are none."""
    path = "/latest/meta-data/iam/info"
    assert json.loads(client.get(path).body) == {"Code": "Success", "LastUpdated": "2030-03-17T17:46:40Z"}
    bench.slot.keep(made(1))
    bench.pass_by(HOUR // 2)
    assert json.loads(client.get(path + "/").body) == {"Code": "Success", "LastUpdated": "2030-03-17T17:46:40Z"}


@pytest.mark.parametrize(
    "path",
    [
        "/latest/user-data",
        "/latest/meta-data/ami-id",
        "/latest/meta-data/public-keys/",
        "/latest/meta-data/local-ipv4",
        "/latest/meta-data/tags/instance",
        "/latest/meta-data/placement/availability-zone-id",
        "/latest/meta-data/instance-id/below",
        "/latest/dynamic/instance-identity/pkcs7",
        "/latest/meta-data/dynamic/instance-identity/document",
        "/latest/meta-data/iam/security-credentials/other",
        "/latest/meta-data/iam/security-credentials/jon/more",
        "/latest/meta-data/iam/security-credentials/JON",
        "/meta-data/instance-id",
        "/meta-data",
        "/2009-4-4/meta-data/instance-id",
        "/latest/api",
        "/stop",
        "/creds",
    ],
)
def test_unknown_paths(client, path):
    """404, as EC2 answers for what an instance does not have: at once, so that nobody waits for more."""
    assert client.get(path).short == (404, "404 - Not Found: there is nothing here\n")


@pytest.mark.parametrize(
    ("region", "partition", "domain"),
    [
        ("us-east-1", "aws", "amazonaws.com"),
        ("cn-north-1", "aws-cn", "amazonaws.com.cn"),
        ("us-gov-west-1", "aws-us-gov", "amazonaws.com"),
        ("eusc-de-east-1", "aws-eusc", "amazonaws.eu"),
        ("us-iso-east-1", "aws-iso", "c2s.ic.gov"),
        ("us-isob-east-1", "aws-iso-b", "sc2s.sgov.gov"),
    ],
)
def test_partitions(bench, region, partition, domain):
    """As the region says."""
    bench.ec2(region=region)
    client = Client(bench)
    assert client.get("/latest/meta-data/services/partition").text == partition
    assert client.get("/latest/meta-data/services/domain").text == domain
    assert client.get("/latest/meta-data/placement/region").text == region


def test_no_region(bench):
    """A profile without a region has no place."""
    bench.ec2(region="")
    client = Client(bench)
    for path in ("region", "availability-zone", ""):
        assert client.get(f"/latest/meta-data/placement/{path}").status == 404
    assert client.get("/latest/meta-data/").text == "iam/\ninstance-id\nservices/"
    document = {"instanceId": "strongroom", "version": "2017-09-30"}
    assert json.loads(client.get("/latest/dynamic/instance-identity/document").body) == document


# Tokens.


@pytest.mark.parametrize("path", ["/latest/meta-data/instance-id", ROLES, ROLES + "jon", "/nowhere", "/"])
@pytest.mark.parametrize("headers", [[], ["X-aws-ec2-metadata-token:"], ["X-aws-ec2-metadata-token: " + "A" * 56]])
def test_no_token(bench, client, path, headers):
    """Version 1 is off: 401 for everything, and no hint of what is there."""
    assert client.get_v1(path, *headers).short == (401, NO_TOKEN)
    assert bench.lines == ["refused a request of 169.254.169.254:40001: no token, or one that is not good any more"]
    assert bench.fetched.calls == 0


def test_version_1(bench):
    """Where it is turned on, no token is needed; one that is wrong is refused all the same."""
    bench.ec2(imdsv1=True)
    client = Client(bench)
    assert client.get_v1(ROLES).text == "jon"
    assert json.loads(client.get_v1(ROLES + "jon").text) == CREDENTIALS
    assert client.get(ROLES).text == "jon"
    assert client.get_v1(ROLES, "X-aws-ec2-metadata-token: " + "A" * 56).status == 401


@pytest.mark.parametrize("seconds", [None, "", "0", "21601", "-1", "six hours", "1.5"])
def test_how_long(client, seconds):
    """A token without a length, or with one that may not be, is not given: 400, which SDKs take for an error."""
    text = "400 - Bad Request: x-aws-ec2-metadata-token-ttl-seconds must say a number of seconds from 1 to 21600\n"
    assert client.put(seconds).short == (400, text)


@pytest.mark.parametrize("how", [{}, {"version": b"1.0"}])
@pytest.mark.parametrize("headers", [[], ["Content-Length: 0"]])
def test_token_without_a_body(client, how, headers):
    """Java and Rust send no Content-Length."""
    assert client.put("300", *headers, **how).headers[TTL.lower()] == "300"


def test_until_the_end(bench, client):
    """A token lives through a renewal, and through a night's sleep: SDKs do not ask for another one."""
    assert client.get(ROLES + "jon").status == 200
    bench.wall.tick(9 * HOUR)
    assert json.loads(client.get(ROLES + "jon").body)["SecretAccessKey"] == "secret-2"
    bench.clock.tick(21_599)
    assert client.get(ROLES + "jon").status == 200
    bench.clock.tick(1)
    assert client.get(ROLES + "jon").short == (401, NO_TOKEN)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_only_put_gives_tokens(client, method):
    """And says so."""
    reply = client.put(method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "PUT")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "OPTIONS", "CONNECT"])
def test_methods(client, method):
    """Nothing can be changed, and nobody can stop it."""
    for path in ("/latest/meta-data/instance-id", "/stop", ROLES + "jon"):
        reply = client.get(path, method=method)
        assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


def test_head(client):
    """HEAD tells of a body without it."""
    reply = client.get("/latest/meta-data/instance-id", method="HEAD")
    assert (reply.status, reply.headers["content-length"], reply.text) == (200, "10", "")


# Who asks.


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        (b"evil.com", "it is for host 'evil.com'"),
        (b"169.254.169.254.evil.com", "it is for host '169.254.169.254.evil.com'"),
        (b"169.254.169.254:8080", "it is for host '169.254.169.254:8080'"),
        (b"169.254.169.254.", "it is for host '169.254.169.254.'"),
        (b"localhost", "it is for host 'localhost'"),
        (b"[::ffff:169.254.169.254]", "it is for host '[::ffff:169.254.169.254]'"),
        (b"2852039166", "it is for host '2852039166'"),
        (None, "it names no host"),
    ],
)
@pytest.mark.parametrize("imdsv1", [False, True])
def test_hosts(bench, host, shown, imdsv1):
    """Only by its address, with its port or without: 401, for the token too."""
    bench.ec2(imdsv1=imdsv1)
    client = Client(bench)
    text = f"401 - Unauthorized: refused: {shown}\n"
    assert client.put(host=host).short == (401, text)
    assert client.get_v1(ROLES, host=host).short == (401, text)


def test_with_the_port(client):
    """The second way to write its host."""
    assert client.get(ROLES, host=b"169.254.169.254:80").status == 200


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("169.254.169.254", 200),
        ("127.0.0.1", 200),
        ("127.8.9.10", 200),
        ("169.254.169.253", 401),
        ("192.168.1.7", 401),
        ("10.0.0.1", 401),
        ("::1", 200),
        ("::ffff:127.0.0.1", 200),
        ("::ffff:192.168.1.7", 401),
        ("fe80::1%eth0", 401),
        ("", 401),
        ("unknown", 401),
    ],
)
def test_peers(bench, address, status):
    """This machine only, whatever a request says of itself."""
    client = Client(bench)
    peer = Peer("tcp", None, "x", ("169.254.169.254", 80), (address, 40001))
    assert client.put(peer=peer).status == status
    assert client.get_v1(ROLES, peer=peer).status == 401


def test_a_peer_that_has_gone(client):
    """Nobody knows who that was."""
    assert client.put(peer=Peer("tcp", None, "?")).short == (401, "401 - Unauthorized: refused: the client has gone\n")


@pytest.mark.parametrize("header", ["X-Forwarded-For: 127.0.0.1", "Via: 1.1 x", "Origin: http://169.254.169.254"])
def test_through_others(bench, header):
    """403, for the token as on EC2, and for all else."""
    bench.ec2(imdsv1=True)
    client = Client(bench)
    assert client.put("300", header).status == 403
    assert client.get_v1(ROLES, header).status == 403


def test_another_process(bench, client):
    """No token either, and nothing that says what is here."""
    bench.scope.reason = "it was not started by us"
    assert client.put().short == (403, "403 - Forbidden: refused: it was not started by us\n")
    assert client.get_v1("/nowhere").status == 403
    assert bench.lines == [
        "refused a request of 169.254.169.254:40001: it was not started by us; --any-process would let it"
    ]


# Credentials.


@pytest.mark.parametrize("error", [AwsUnreachable("no answer"), PromptDismissed("nobody entered a code")])
def test_no_credentials(bench, client, error):
    """504 and the reason, never an empty answer with success; all else is still there."""
    bench.fetched.answer = error
    assert client.get(ROLES + "jon").short == (504, f"504 - Gateway Timeout: {error.message}\n")
    assert client.get(ROLES).short == (200, "jon")


def test_known_heads(bench, client):
    """The same head on the same connection is answered by its bytes: while its token is good."""
    bench.slot.keep(made(1))
    desk = bench.site.desk(PEER)
    token = client.put("300").text
    head = bench.head(ROLES + "jon", f"X-aws-ec2-metadata-token: {token}", token=None, host=HERE)
    first = bench.answer(head, desk=desk, peer=PEER)
    assert desk.recall(head) == first.raw
    bench.clock.tick(299)
    assert desk.recall(head) == first.raw
    bench.clock.tick(1)
    assert desk.recall(head) is None
    assert bench.answer(head, desk=desk, peer=PEER).status == 401


def test_roles_by_any_name(bench):
    """A profile's name may hold what SDKs would not escape in a path."""
    bench.ec2(role_name="jo n/ß+x")
    client = Client(bench)
    assert client.get(ROLES).text == "jo-n--+x"
    assert client.get(ROLES + "jo-n--+x").status == 200


def test_two_servers(bench):
    """A token of one is none of the other's."""
    client = Client(bench)
    client.get(ROLES)
    bench.ec2()
    assert client.get(ROLES).status == 401
    assert isinstance(bench.site, Ec2)
    assert {HERE, HERE + b":80"} == METADATA_HOSTS
