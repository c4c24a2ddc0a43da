import contextlib
import socket
import sys
import time
from types import SimpleNamespace

import pytest

from fakes.certificates import self_signed
from fakes.cloud import Cloud
from strongroom.aws import client
from strongroom.aws.client import Endpoint
from strongroom.credentials import Credentials
from strongroom.errors import AwsError, AwsRefused, AwsUnreachable

KEY = Credentials("AKIAJONJONJONJONJON1", "secret of jon")
NOBODY = "http://127.0.0.1:1"
CHECK = "check endpoint_url, region and variables named AWS_*"
CHECK_NETWORK = "check the network, region and endpoint_url"
FOREIGN_HINT = "check endpoint_url, and whether a proxy or a sign-in page stands in between"


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """No waiting between attempts: how long each pause would have been."""
    waited = []
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def once(monkeypatch):
    """One attempt, and hardly any patience."""
    monkeypatch.setattr(client, "ATTEMPTS", 1)
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(client, "READ_SECONDS", 0.2)


@pytest.fixture
def aws(cloud):
    """Where the fake AWS is, which knows the key."""
    cloud.key(KEY.access_key_id, KEY.secret_access_key)
    return Endpoint("eu-west-1", cloud.url)


def ask(endpoint, key=KEY, **parameters):
    sts = client.connect("sts", endpoint, key)
    try:
        return client.call(sts.get_session_token, "sts GetSessionToken", **parameters)
    finally:
        sts.close()


def told(expected, endpoint, key=KEY, **parameters):
    """(message, hint) of a call that must fail with an error of exactly this class."""
    with pytest.raises(AwsError) as caught:
        ask(endpoint, key, **parameters)
    assert type(caught.value) is expected
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message, caught.value.hint


# What is asked, and where


def test_a_call_is_signed_for_the_region_and_sends_what_is_set(aws, cloud):
    """None, an empty text and an empty list are not sent."""
    answer = ask(aws, DurationSeconds=900, SerialNumber="", TokenCode=None)
    assert cloud.keys[answer["Credentials"]["AccessKeyId"]].kind == "session"
    assert [(call.region, call.access_key_id, call.parameters) for call in cloud.calls] == [
        ("eu-west-1", KEY.access_key_id, {"Action": "GetSessionToken", "Version": "2011-06-15",
                                          "DurationSeconds": "900"}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("region", "settings", "url"),
    [
        ("eu-west-1", {}, "https://sts.eu-west-1.amazonaws.com"),
        ("us-east-1", {}, "https://sts.us-east-1.amazonaws.com"),
        ("us-east-2", {"fips": True}, "https://sts-fips.us-east-2.amazonaws.com"),
        ("eu-west-1", {"dualstack": True}, "https://sts.eu-west-1.api.aws"),
        ("us-east-2", {"fips": True, "dualstack": True}, "https://sts-fips.us-east-2.api.aws"),
        ("eu-west-1", {"legacy_sts": True}, "https://sts.amazonaws.com"),
        # not among the regions that the global address serves
        ("ap-east-1", {"legacy_sts": True}, "https://sts.ap-east-1.amazonaws.com"),
        ("eu-west-1", {"url": "http://localhost:4566/x", "legacy_sts": True}, "http://localhost:4566/x"),
        ("xx-future-1", {}, "https://sts.xx-future-1.amazonaws.com"),
        *[
            (client.DEFAULT_REGIONS[partition], {}, f"https://sts.{client.DEFAULT_REGIONS[partition]}.{domain}")
            for partition, domain in {
                "aws": "amazonaws.com",
                "aws-cn": "amazonaws.com.cn",
                "aws-us-gov": "amazonaws.com",
                "aws-eusc": "amazonaws.eu",
                "aws-iso": "c2s.ic.gov",
                "aws-iso-b": "sc2s.sgov.gov",
                "aws-iso-e": "cloud.adc-e.uk",
                "aws-iso-f": "csp.hci.ic.gov",
            }.items()
        ],
    ],
)
def test_the_endpoint(region, settings, url):
    """Region, partition, FIPS, dual stack, the global STS, or an address of one's own."""
    assert client.connect("sts", Endpoint(region, **settings), KEY).meta.endpoint_url == url


def test_patience_has_bounds():
    """Few attempts and short waits: a command that cannot reach AWS says so."""
    made = client.connect("sts", Endpoint("eu-west-1"), KEY).meta.config
    assert made.retries == {"mode": "standard", "total_max_attempts": 3}
    assert (made.connect_timeout, made.read_timeout) == (5, 15)
    assert made.user_agent_extra == "strongroom"


# Nothing from around us


@pytest.fixture
def misled(monkeypatch, tmp_path):
    """Files and variables that would lead botocore astray."""
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        file = tmp_path / variable
        file.write_text("[profile x\nthis is broken\n[default]\nendpoint_url = http://127.0.0.1:1\n= \n")
        monkeypatch.setenv(variable, str(file))
    for variable, value in {
        "AWS_PROFILE": "nosuch",
        "AWS_DEFAULT_PROFILE": "nosuch",
        "AWS_ACCESS_KEY_ID": "AKIAOTHER",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_SESSION_TOKEN": "other",
        "AWS_REGION": "us-west-2",
        "AWS_DEFAULT_REGION": "us-west-2",
        "AWS_ENDPOINT_URL": NOBODY,
        "AWS_ENDPOINT_URL_STS": NOBODY,
        "AWS_STS_REGIONAL_ENDPOINTS": "legacy",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_DEFAULTS_MODE": "nosuch",
        "AWS_RETRY_MODE": "nosuch",
        "AWS_MAX_ATTEMPTS": "nosuch",
    }.items():
        monkeypatch.setenv(variable, value)


@pytest.mark.usefixtures("misled")
def test_the_shared_files_and_variables_of_the_sdk_have_no_effect(aws, cloud):
    """Only what was passed in counts: profiles that do not exist, broken files, other keys, other places."""
    ask(aws, DurationSeconds=900)
    assert [(call.access_key_id, call.region) for call in cloud.calls] == [(KEY.access_key_id, "eu-west-1")]
    made = client.connect("sts", Endpoint("eu-west-1"), KEY)
    assert made.meta.endpoint_url == "https://sts.eu-west-1.amazonaws.com"


# What AWS says


@pytest.mark.parametrize(
    ("code", "status", "message", "hint"),
    [
        ("AccessDenied", 403, "no", ""),
        ("InvalidClientTokenId", 403, "no", "the access key is deleted, inactive or of another partition: store a "
         "current one with `strongroom add`"),
        ("SignatureDoesNotMatch", 403, "no", "the stored secret does not belong to the stored access key id: store "
         "both again with `strongroom add`"),
        ("ExpiredToken", 403, "no", "the session has expired: `strongroom clear` removes stored ones"),
        ("Throttling", 400, "no", "AWS limits the rate of calls: try again in a moment"),
        ("ThrottlingException", 400, "no", "AWS limits the rate of calls: try again in a moment"),
        ("RequestLimitExceeded", 503, "no", "AWS limits the rate of calls: try again in a moment"),
        ("AccessDenied", 403, "MultiFactorAuthentication failed with invalid MFA one time pass code.",
         "the role's trust policy asks for MFA: set mfa_serial, or check the code"),
        ("ValidationError", 400, "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
         "ask for less with --duration, or raise the role's maximum session duration"),
        ("ValidationError", 400, "1 validation error detected", ""),
        ("SomethingNew", 400, "of tomorrow", ""),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("once")
def test_a_refusal(aws, cloud, code, status, message, hint):
    """AWS's code, status and words, and what to do about those that are met often."""
    cloud.fail("GetSessionToken", code=code, status=status, message=message)
    with pytest.raises(AwsRefused) as caught:
        ask(aws, DurationSeconds=900)
    error = caught.value
    assert (error.code, error.status) == (code, status)
    assert error.message == f"sts GetSessionToken was refused ({code}): {message}"
    assert error.hint == hint
    assert type(error.__cause__).__name__ in {"ClientError", "ExpiredTokenException"}


@pytest.mark.usefixtures("once")
def test_what_aws_says_is_one_line(aws, cloud):
    """And no essay; nothing said is said so."""
    cloud.fail("GetSessionToken", message="a\n  b\t" + "x" * 1000)
    message, _ = told(AwsRefused, aws)
    assert message == "sts GetSessionToken was refused (AccessDenied): " + ("a b " + "x" * 1000)[:500]
    cloud.fail("GetSessionToken", message="")
    assert told(AwsRefused, aws)[0] == "sts GetSessionToken was refused (AccessDenied): no reason given"


def test_real_refusals_of_keys(aws, cloud):
    """A key that AWS does not know, and one with another secret."""
    message, hint = told(AwsRefused, aws, Credentials("AKIAUNKNOWN", "x"))
    assert message == (
        "sts GetSessionToken was refused (InvalidClientTokenId): The security token included in the request is invalid."
    )
    assert hint.startswith("the access key is deleted")
    message, hint = told(AwsRefused, aws, Credentials(KEY.access_key_id, "another"))
    assert message.startswith("sts GetSessionToken was refused (SignatureDoesNotMatch): The request signature we")
    assert hint.startswith("the stored secret does not belong")


@pytest.mark.parametrize(
    ("minutes", "shown"), [(20, "behind AWS's"), (-20, "ahead of AWS's"), (-6, "ahead of AWS's"), (90, "behind AWS's")]
)
def test_a_clock_that_is_wrong(aws, cloud, minutes, shown):
    """It is the clock's fault, by so much, and not the secret's."""
    cloud.skew(minutes)
    _, hint = told(AwsRefused, aws)
    told_seconds = {minutes * 60 + drift for drift in range(-5, 6)}
    assert hint in {
        f"this machine's clock is {client.show(abs(each))} {shown}: set it, and try again" for each in told_seconds
    }


@pytest.mark.parametrize(
    ("code", "date", "hint"),
    [
        ("RequestTimeTooSkewed", 3600, "this machine's clock is 1h0m0s behind AWS's: set it, and try again"),
        ("RequestExpired", -3600, "this machine's clock is 1h0m0s ahead of AWS's: set it, and try again"),
        ("RequestExpired", 600, ""),
        ("AccessDenied", 3600, ""),
        ("RequestExpired", None, ""),
        ("SignatureDoesNotMatch", None, client._HINTS["SignatureDoesNotMatch"]),
    ],
)
def test_the_clock_is_blamed_only_for_what_it_can_have_done(monkeypatch, code, date, hint):
    """More than a quarter of an hour, a refusal that has to do with time, and an answer that says what time it is."""
    monkeypatch.setattr(client.time, "time", lambda: 1_800_000_000)
    shown = None if date is None else time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(1_800_000_000 + date))
    assert client._hint_for(code, "x", shown) == hint


def test_a_date_that_is_none():
    """What a proxy wrote there does not matter."""
    assert client._clock_skew("yesterday") == 0
    assert client._clock_skew("") == 0


# Trying again


@pytest.mark.parametrize(("code", "status"), [("Throttling", 400), ("InternalFailure", 500), ("", 503)])
def test_what_passes_is_tried_again(aws, cloud, pauses, code, status):
    """Twice, after a pause; the third answer counts."""
    cloud.fail("GetSessionToken", code=code, status=status, times=2)
    ask(aws, DurationSeconds=900)
    assert len(cloud.calls) == 3
    assert len(pauses) == 2


def test_what_does_not_pass_is_an_error(aws, cloud):
    """After three attempts."""
    cloud.fail("GetSessionToken", code="Throttling", status=400, times=9)
    assert told(AwsRefused, aws) == (
        "sts GetSessionToken was refused (Throttling): no", "AWS limits the rate of calls: try again in a moment",
    )  # fmt: skip
    assert len(cloud.calls) == 3


def test_a_refusal_is_not_tried_again(aws, cloud):
    """A wrong code would be as wrong the second time, and count against the user."""
    cloud.fail("GetSessionToken", times=9)
    told(AwsRefused, aws)
    assert len(cloud.calls) == 1


def test_a_connection_that_is_cut_is_tried_again(aws, cloud):
    """And when it stays like that, AWS was not reached."""
    cloud.cut("GetSessionToken")
    ask(aws, DurationSeconds=900)
    cloud.cut("GetSessionToken", times=9)
    message, hint = told(AwsUnreachable, aws)
    assert message == (
        "sts GetSessionToken did not reach AWS: Connection was closed before we received a valid response from "
        f'endpoint URL: "{aws.url}/".'
    )
    assert hint == CHECK_NETWORK
    assert len(cloud.calls) == 5


# No answer, or none that makes sense


@pytest.mark.usefixtures("once")
def test_a_broken_aws(aws, cloud):
    """An error of AWS's own, without a code."""
    cloud.html("GetSessionToken", status=500, page=b"")
    assert told(AwsUnreachable, aws) == (
        "sts GetSessionToken failed at AWS's side with HTTP status 500", "try again in a moment",
    )  # fmt: skip


@pytest.mark.parametrize("status", [200, 403, 502])
@pytest.mark.parametrize(
    "page",
    [
        b"<!DOCTYPE html><html><head><title>Please log in</title></head><body>Welcome!</body></html>",
        b"<html><body><p>unclosed<br></body>",
        b'{"message": "gateway"}',
        b"\xff\xfe\x00",
    ],
    ids=["portal", "html", "json", "bytes"],
)
@pytest.mark.usefixtures("once")
def test_something_that_is_not_awss(aws, cloud, status, page):
    """The page of a proxy, a portal or a gateway: told as such, whatever its status, and not shown."""
    cloud.html("GetSessionToken", status=status, page=page)
    message, hint = told(AwsUnreachable, aws)
    assert message in {
        "sts GetSessionToken was answered with something that is not AWS's format",
        f"sts GetSessionToken, with HTTP status {status}, was answered with something that is not AWS's format",
        f"sts GetSessionToken failed at AWS's side with HTTP status {status}",
    }
    assert hint in {FOREIGN_HINT, "try again in a moment"}
    assert hint == FOREIGN_HINT or status >= 500


@pytest.mark.usefixtures("once")
def test_nobody_there():
    """The address is named."""
    assert told(AwsUnreachable, Endpoint("eu-west-1", NOBODY)) == (
        f'sts GetSessionToken did not reach AWS: Could not connect to the endpoint URL: "{NOBODY}/"', CHECK_NETWORK,
    )  # fmt: skip


@pytest.mark.usefixtures("once")
def test_a_name_that_nobody_has():
    """The same for a host that does not exist: RFC 2606 keeps .invalid free for this."""
    message, hint = told(AwsUnreachable, Endpoint("eu-west-1", "http://sts.invalid"))
    assert message.startswith("sts GetSessionToken did not reach AWS: Could not connect to the endpoint URL")
    assert hint == CHECK_NETWORK


@pytest.mark.usefixtures("once")
def test_no_answer_in_time(aws, cloud):
    """Waiting has an end."""
    cloud.hang("GetSessionToken")
    assert told(AwsUnreachable, aws) == (
        f'sts GetSessionToken did not reach AWS: Read timeout on endpoint URL: "{aws.url}/"', CHECK_NETWORK,
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse instead of letting a caller wait")
@pytest.mark.usefixtures("once")
def test_no_connection_in_time():
    """A host that takes no connection: its queue is full."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        port = server.getsockname()[1]
        for _ in range(8):  # Linux takes one or two more than it was told
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        message, hint = told(AwsUnreachable, Endpoint("eu-west-1", f"http://127.0.0.1:{port}"))
    assert (
        message == f'sts GetSessionToken did not reach AWS: Connect timeout on endpoint URL: "http://127.0.0.1:{port}/"'
    )
    assert hint == CHECK_NETWORK


# Settings that make no sense


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nonsense", "sts in region 'eu-west-1': Invalid endpoint: nonsense"),
        ("http://", "sts in region 'eu-west-1': Invalid endpoint: http://"),
        ("http://exa mple.com", "sts in region 'eu-west-1': Invalid endpoint: http://exa mple.com"),
        ("http://ü.example", "sts in region 'eu-west-1': Invalid endpoint: http://ü.example"),
        ("http://[::1", "sts in region 'eu-west-1': Invalid IPv6 URL"),
        ("http://host:port", "sts GetSessionToken: Port could not be cast to integer value as 'port'"),
        ("http://127.0.0.1:99999", "sts GetSessionToken: Port out of range 0-65535"),
    ],
)
@pytest.mark.usefixtures("once")
def test_an_address_that_is_none(url, reason):
    """It is the setting's fault, not the network's."""
    assert told(AwsError, Endpoint("eu-west-1", url)) == (reason, CHECK)


def test_a_region_that_is_none():
    """The same."""
    message, hint = told(AwsError, Endpoint("no region"))
    assert message.startswith("sts in region 'no region': Provided region_name 'no region' doesn't match")
    assert hint == CHECK


def test_a_variable_of_botocores_that_makes_no_sense(monkeypatch):
    """Those few that botocore reads behind our back are named in its own words."""
    monkeypatch.setenv("AWS_REQUEST_MIN_COMPRESSION_SIZE_BYTES", "nosuch")
    message, hint = told(AwsError, Endpoint("eu-west-1"))
    assert "request_min_compression_size_bytes" in message
    assert hint == CHECK


def test_a_parameter_that_aws_would_not_take(aws, cloud):
    """Found out before anything is sent."""
    message, hint = told(AwsError, aws, SerialNumber="short")
    assert message.startswith("sts GetSessionToken: Parameter validation failed: Invalid length for parameter Serial")
    assert hint == "a setting of the profile has a form that AWS does not take"
    assert cloud.calls == []


@pytest.mark.parametrize("bad", ["\n", "\0", "é", "\udc80", "\x1b"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_key_that_cannot_be_sent_is_not_shown(aws, cloud, bad, place):
    """What libraries say of a header that they refuse holds the header: the session token, in the worst case."""
    values = ["ASIAIOSFODNN7EXAMPLE", "my secret", "my token"]
    values[place] += bad
    message, hint = told(AwsError, aws, Credentials(*values))
    shown = "****MPLE" if place else f"****PLE{bad}"
    assert message == f"the access key {shown!r} holds characters that no access key has"
    assert hint == "store it again with `strongroom add`"
    assert cloud.calls == []


# Certificates and proxies


@pytest.fixture
def secure(tmp_path):
    """An AWS with a certificate that nobody trusts, and the certificate's path."""
    certificate, key = self_signed(tmp_path)
    cloud = Cloud()
    with cloud.serve((certificate, key)):
        cloud.key(KEY.access_key_id, KEY.secret_access_key)
        yield cloud, certificate


@pytest.mark.usefixtures("once")
def test_certificates(secure):
    """Unknown ones are refused, with what to do about it; those of the bundle are trusted."""
    cloud, certificate = secure
    message, hint = told(AwsUnreachable, Endpoint("eu-west-1", cloud.url))
    assert message.startswith(f"sts GetSessionToken did not reach AWS: SSL validation failed for {cloud.url}/")
    assert hint == "if a proxy re-signs connections, name its certificate in AWS_CA_BUNDLE or ca_bundle"
    assert cloud.calls == []
    assert ask(Endpoint("eu-west-1", cloud.url, ca_bundle=certificate), DurationSeconds=900)["Credentials"]


@pytest.mark.usefixtures("once")
def test_a_bundle_without_certificates(secure, tmp_path):
    """One that is not there is named; one that holds something else is a failure, not a connection without checks."""
    cloud, _ = secure
    missing = str(tmp_path / "missing.pem")
    assert told(AwsError, Endpoint("eu-west-1", cloud.url, ca_bundle=missing)) == (
        f"there are no certificates at {missing!r}", "check AWS_CA_BUNDLE and ca_bundle",
    )  # fmt: skip
    other = tmp_path / "other.pem"
    other.write_text("hello")
    message, hint = told(AwsUnreachable, Endpoint("eu-west-1", cloud.url, ca_bundle=str(other)))
    assert message.startswith("sts GetSessionToken did not reach AWS: ")
    assert "AWS_CA_BUNDLE" in hint
    assert cloud.calls == []


@pytest.mark.usefixtures("once", "aws")
def test_a_proxy_is_used(cloud, monkeypatch):
    """As the usual variables say; the request is the one that AWS would have got. (The fake AWS plays both.)"""
    monkeypatch.setenv("HTTP_PROXY", cloud.url)
    monkeypatch.setattr(client, "READ_SECONDS", 5)
    assert ask(Endpoint("eu-west-1", "http://sts.invalid"), DurationSeconds=900)["Credentials"]
    assert cloud.calls[0].host == "sts.invalid"
    monkeypatch.setenv("NO_PROXY", "sts.invalid")
    told(AwsUnreachable, Endpoint("eu-west-1", "http://sts.invalid"))
    assert len(cloud.calls) == 1


@pytest.mark.usefixtures("once")
def test_a_proxy_that_refuses(cloud, monkeypatch):
    """AWS's own addresses go through a tunnel."""
    monkeypatch.setenv("HTTPS_PROXY", cloud.url)
    assert told(AwsUnreachable, Endpoint("eu-west-1")) == (
        f'sts GetSessionToken did not reach AWS: Failed to connect to proxy URL: "{cloud.url}"', "check HTTPS_PROXY",
    )  # fmt: skip
    assert cloud.tunnels == ["sts.eu-west-1.amazonaws.com:443"]


@pytest.mark.usefixtures("once")
def test_a_proxys_password_is_not_shown(monkeypatch):
    """The proxy is named without it."""
    monkeypatch.setenv("HTTPS_PROXY", "http://me:hunter2@127.0.0.1:1")
    message, _ = told(AwsUnreachable, Endpoint("eu-west-1"))
    assert message.startswith("sts GetSessionToken did not reach AWS: Failed to connect to proxy URL: ")
    assert "127.0.0.1:1" in message
    assert "hunter2" not in message


@pytest.mark.parametrize("service", client._SERVICES)
def test_each_service_is_found_under_its_name(service):
    """Without a look at all the others that botocore has descriptions of."""
    client._loader.cache_clear()
    connected = client.connect(service, Endpoint("eu-west-1"), KEY)
    connected.close()
    looked_for = {key[1] for key in client._loader(None)._cache if key[0] == "determine_latest_version"}
    assert (connected.meta.service_model.service_name, looked_for) == (service, {service})
