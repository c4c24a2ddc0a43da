from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom import console, plan
from strongroom.errors import UsageError

# As sign-in tokens may be: with all that quoting trips over.
TOKEN = "VCQgs5qZ+t3Q/6fn=8Tr&5 #%x"

REGIONS = {
    "us-east-1": ("us-east-1.signin.aws.amazon.com", "console.aws.amazon.com"),
    "cn-north-1": ("signin.amazonaws.cn", "console.amazonaws.cn"),
    "us-gov-west-1": ("signin.amazonaws-us-gov.com", "console.amazonaws-us-gov.com"),
    "eusc-de-east-1": ("signin.amazonaws-eusc.eu", "console.amazonaws-eusc.eu"),
    "us-iso-east-1": ("signin.c2shome.ic.gov", "console.c2shome.ic.gov"),
    "us-isob-east-1": ("signin.sc2shome.sgov.gov", "console.sc2shome.sgov.gov"),
    "eu-isoe-west-1": ("signin.csphome.adc-e.uk", "console.csphome.adc-e.uk"),
    "us-isof-south-1": ("signin.csphome.hci.ic.gov", "console.csphome.hci.ic.gov"),
}


@pytest.mark.parametrize("region", REGIONS)
def test_each_partition_has_its_own_addresses(region):
    """For signing in, for the page, and for signing out."""
    partition, (host, domain) = plan.partition(region), REGIONS[region]
    assert console.federation_endpoint(partition) == f"https://{host}/federation"
    assert console.destination(partition, region) == f"https://{region}.{domain}/console/home?region={region}"
    assert console.destination(partition, None) == f"https://{domain}/"
    assert console.logout_url(partition, "https://x/").startswith(f"https://{host}/oauth?Action=logout&redirect_uri=")


def test_every_partition_that_a_plan_knows_is_here():
    """A region leads to a partition, and a partition to a console."""
    assert {plan.partition(region) for region in REGIONS} == set(console.PARTITIONS)
    assert {name for _, name in plan._PARTITIONS} | {"aws"} == set(console.PARTITIONS)


@pytest.mark.parametrize(("path", "page"), [
    ("s3/buckets", "s3/buckets?region=eu-west-1"),
    ("/s3/buckets", "s3/buckets?region=eu-west-1"),
    ("//evil.example/x", "evil.example/x?region=eu-west-1"),
    ("ec2/home#Instances:", "ec2/home?region=eu-west-1#Instances:"),
    ("ec2/home?a=b", "ec2/home?a=b&region=eu-west-1"),
    ("ec2/home?region=us-west-2#x", "ec2/home?region=us-west-2#x"),
    ("ec2/home?region=", "ec2/home?region="),
    ("#x", "console/home?region=eu-west-1#x"),
    ('a b/c"<>\r\n', "a%20b/c%22%3C%3E%0D%0A?region=eu-west-1"),
    ("a%20b", "a%20b?region=eu-west-1"),
    ("lambda/home?region=eu-west-1#/functions/f?tab=code", "lambda/home?region=eu-west-1#/functions/f?tab=code"),
    ("s3/object/b?prefix=https://x", "s3/object/b?prefix=https://x&region=eu-west-1"),
])  # fmt: skip
def test_a_path(path, page):
    """Stands after the domain; the region goes into its query, unless one is there, and before its fragment."""
    assert console.destination("aws", "eu-west-1", path) == f"https://eu-west-1.console.aws.amazon.com/{page}"


def test_a_path_without_a_region():
    """Is heeded; the console decides about the region."""
    assert console.destination("aws", None, "s3/buckets") == "https://console.aws.amazon.com/s3/buckets"
    assert console.destination("aws-cn", "", "a?b#c") == "https://console.amazonaws.cn/a?b#c"


@pytest.mark.parametrize("url", [
    "https://eu-west-1.console.aws.amazon.com/ec2/home?region=us-west-2#Instances:v=3",
    "https://console.aws.amazon.com",
    "https://s3.console.aws.amazon.com/s3/buckets/x?tab=objects",
    "https://111111111111-abcdefgh.us-east-1.console.aws.amazon.com/",
])  # fmt: skip
def test_an_address_that_was_copied(url):
    """A whole address of the console is taken as it is."""
    expected = url if "/" in url.removeprefix("https://") else f"{url}/"
    assert console.destination("aws", "eu-west-1", url) == expected


@pytest.mark.parametrize("url", [
    "http://console.aws.amazon.com/",
    "https://console.aws.amazon.com.evil.example/",
    "https://evilconsole.aws.amazon.com/",
    "https://evil.example/?console.aws.amazon.com",
    "https://console.aws.amazon.com@evil.example/",
    "https://x@console.aws.amazon.com/",
    "https://evil.example\\.console.aws.amazon.com/",
    "https://console.aws.amazon.com:8443/",
    "https://console.amazonaws.cn/",
    "https://[/",
    "javascript://console.aws.amazon.com/",
    "https://",
])  # fmt: skip
def test_an_address_elsewhere(url):
    """Is refused: nobody should be signed in there, and AWS would not."""
    with pytest.raises(UsageError) as caught:
        console.destination("aws", "eu-west-1", url)
    assert caught.value.message == f"{url!r} is no address of the console at console.aws.amazon.com"
    assert caught.value.hint == "give what follows the host, a path"


@pytest.mark.parametrize("region", ["evil.example/x", "us-east-1.evil", "x", "us-east-1#", "US-EAST-1", "a b-1", "-"])
def test_a_region_that_cannot_be_one(region):
    """Is refused: it would become a part of the host."""
    with pytest.raises(UsageError) as caught:
        console.destination("aws", region)
    assert caught.value.message == f"{region!r} cannot be a region"


def test_the_address_that_signs_in():
    """Each value is escaped once, whole."""
    page = console.destination("aws", "us-east-1")
    url = console.login_url("aws", page, TOKEN)
    assert url == (
        "https://us-east-1.signin.aws.amazon.com/federation?Action=login&Issuer=strongroom&Destination="
        "https%3A%2F%2Fus-east-1.console.aws.amazon.com%2Fconsole%2Fhome%3Fregion%3Dus-east-1"
        "&SigninToken=VCQgs5qZ%2Bt3Q%2F6fn%3D8Tr%265%20%23%25x"
    )
    assert parse_qs(urlsplit(url).query) == {
        "Action": ["login"], "Issuer": ["strongroom"], "Destination": [page], "SigninToken": [TOKEN],
    }  # fmt: skip


@pytest.mark.parametrize("partition", console.PARTITIONS)
def test_the_address_that_signs_out_first(partition):
    """Holds the one that signs in, escaped once more; both are of the same host."""
    url = console.login_url(partition, console.destination(partition, None), TOKEN)
    logout = console.logout_url(partition, url)
    assert parse_qs(urlsplit(logout).query) == {"Action": ["logout"], "redirect_uri": [url]}
    assert logout.endswith(quote(url, safe=""))
    assert urlsplit(logout).netloc == urlsplit(url).netloc


@given(st.text(), st.text(), st.sampled_from([None, "eu-west-1"]))
def test_nothing_escapes(path, token, region):
    """Whatever path and token are, the browser brings this token to AWS, and lands within the console."""
    try:
        page = console.destination("aws", region, path)
    except UsageError:
        assert "://" in path
        return
    assert urlsplit(page).netloc == (f"{region}." if region else "") + "console.aws.amazon.com" or "://" in path
    assert page.isascii()
    assert page.isprintable()
    assert " " not in page
    url = console.login_url("aws", page, token)
    fields = parse_qs(urlsplit(url).query, keep_blank_values=True)
    assert (fields["Destination"], fields["SigninToken"]) == ([page], [token])


# Services


def test_services_lead_to_paths():
    """About fifty; each stands after the console's domain as it is."""
    assert len(console.SERVICES) > 45
    assert list(console.SERVICES) == sorted(console.SERVICES)
    for word, path in console.SERVICES.items():
        assert console.service_path(word) == path
        page, _, fragment = path.partition("#")
        expected = f"https://console.aws.amazon.com/{page}" + (f"#{fragment}" if fragment else "")
        assert console.destination("aws", None, path) == expected


def test_a_service_in_capitals():
    """Is meant all the same."""
    assert console.service_path("EC2") == "ec2/home"


def test_any_path_is_a_service():
    """If it has a slash."""
    assert console.service_path("groundstation/home") == "groundstation/home"
    assert console.service_path("/x") == "/x"


def test_an_unknown_service():
    """Is refused with the names that there are, for a suggestion."""
    with pytest.raises(UsageError) as caught:
        console.service_path("lamda")
    assert caught.value.message == "unknown service 'lamda'"
    assert caught.value.word == "lamda"
    assert caught.value.known == tuple(console.SERVICES)
