"""How AWS is reached: addresses, certificates, proxies. Real processes, because botocore reads proxies from its own."""

import pytest

from fakes.certificates import self_signed
from fakes.cloud import Call, Cloud
from harness.home import CODE, M

GST = "GetSessionToken"
NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def secure(c1):
    """An AWS with a certificate that nobody trusts, and the home's config pointing there."""
    cloud = Cloud()
    with cloud.serve(self_signed(c1.work)) as serving:
        c1.put_key("jon", cloud=serving)
        c1.write_config(f"[default]\nregion = us-east-1\nendpoint_url = {serving.url}\n[profile jon]\n")
        yield serving


def test_a_certificate_that_nobody_trusts(c1, secure):
    """Refused, with what to do; nothing has been sent."""
    result = c1.run("export", "jon")
    assert (result.status, result.stdout) == (1, "")
    assert "AWS_CA_BUNDLE" in result.stderr
    assert "Traceback" not in result.stderr
    assert secure.calls == []


def test_certificates_that_are_trusted(c1, secure):
    """AWS_CA_BUNDLE, or ca_bundle in the profile, names whom to trust."""
    certificate = str(c1.work / "certificate.pem")
    result = c1.run("export", "--format=json", "jon", env={"AWS_CA_BUNDLE": certificate})
    assert result.status == 0, result.stderr
    c1.config.write_text(c1.config.read_text() + f"ca_bundle = {certificate}\n")
    result = c1.run("export", "--format=json", "jon", "-d", "2h")
    assert result.status == 0, result.stderr
    assert secure.calls == [Call(GST, 3600), Call(GST, 7200)]


def test_a_bundle_that_is_not_there(c1, secure):
    """A path that names nothing is one line."""
    result = c1.run("export", "jon", env={"AWS_CA_BUNDLE": "/nowhere.pem"})
    assert (result.status, result.stdout) == (1, "")
    assert "/nowhere.pem" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("config", "env", "reached"),
    [
        ("{url}", {}, True),
        (NOWHERE, {"AWS_ENDPOINT_URL": "{url}"}, True),
        ("{url}", {"AWS_ENDPOINT_URL": NOWHERE}, False),
        (NOWHERE, {"AWS_ENDPOINT_URL": NOWHERE, "AWS_ENDPOINT_URL_STS": "{url}"}, True),
        ("{url}", {"AWS_ENDPOINT_URL": "{url}", "AWS_ENDPOINT_URL_STS": NOWHERE}, False),
    ],
)
def test_addresses(c1, cloud, config, env, reached):
    """AWS_ENDPOINT_URL_STS before AWS_ENDPOINT_URL before endpoint_url."""
    c1.write_config(f"[default]\nregion = us-east-1\nendpoint_url = {config.format(url=cloud.url)}\n[profile jon]\n")
    result = c1.run("export", "jon", env={name: value.format(url=cloud.url) for name, value in env.items()})
    assert (result.status == 0) is reached, result.stderr
    assert len(cloud.calls) == reached
    assert reached or NOWHERE in result.stderr


def test_a_proxy(c1, cloud):
    """HTTP_PROXY is asked, unless NO_PROXY names the host; the signature is for the host behind it."""
    c1.config.write_text(c1.config.read_text().replace(cloud.url, "http://sts.invalid"))
    result = c1.run("export", "--format=json", "jon", "-t", CODE, env={"HTTP_PROXY": cloud.url})
    assert result.status == 0, result.stderr
    assert cloud.calls == [Call(GST, 3600, M)]
    assert cloud.calls[0].host == "sts.invalid"
    env = {"HTTP_PROXY": cloud.url, "NO_PROXY": "sts.invalid"}
    assert c1.run("export", "jon", "-t", CODE, "-d", "2h", env=env).status == 1
    assert len(cloud.calls) == 1


@pytest.mark.parametrize(
    ("settings", "env", "host"),
    [
        ("region = eu-west-1", {}, "sts.eu-west-1.amazonaws.com:443"),
        ("region = cn-north-1", {}, "sts.cn-north-1.amazonaws.com.cn:443"),
        ("region = us-east-1", {"AWS_REGION": "us-gov-west-1"}, "sts.us-gov-west-1.amazonaws.com:443"),
        ("region = us-east-2\nuse_fips_endpoint = true", {}, "sts-fips.us-east-2.amazonaws.com:443"),
        ("region = us-east-2", {"AWS_USE_FIPS_ENDPOINT": "true"}, "sts-fips.us-east-2.amazonaws.com:443"),
        ("region = eu-west-1\nuse_dualstack_endpoint = true", {}, "sts.eu-west-1.api.aws:443"),
        ("region = eu-west-1\nsts_regional_endpoints = legacy", {}, "sts.amazonaws.com:443"),
        ("region = eu-west-1", {"AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, "sts.amazonaws.com:443"),
        ("region = eu-west-1\nsts_regional_endpoints = regional", {}, "sts.eu-west-1.amazonaws.com:443"),
        ("", {}, "sts.us-east-1.amazonaws.com:443"),
    ],
)
def test_awss_own_addresses(c1, cloud, settings, env, host):
    """Region, partition, FIPS and dual stack choose the host. (A proxy is told it, and goes no further.)"""
    c1.write_config(f"[default]\n{settings}\n[profile jon]\n")
    result = c1.run("export", "jon", env={"HTTPS_PROXY": cloud.url, "AWS_MAX_ATTEMPTS": "1", **env})
    assert (result.status, result.stdout) == (1, "")
    assert set(cloud.tunnels) == {host}
    assert "Traceback" not in result.stderr
