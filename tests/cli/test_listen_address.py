import pytest

from strongroom.cli import listen_address
from strongroom.cli.flags import Arguments
from strongroom.errors import UsageError


def given(**values):
    return Arguments({name.replace("_", "-"): value for name, value in values.items()}, [])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("172.17.0.1", ("172.17.0.1", 0)),
        ("169.254.170.2:80", ("169.254.170.2", 80)),
        ("fd00::1", ("fd00::1", 0)),
        ("[fd00::1]", ("fd00::1", 0)),
        ("[fd00::1]:8080", ("fd00::1", 8080)),
    ],
)
def test_addresses(text, found):
    """With a port, or without one; those of IPv6 in brackets if there is a port."""
    assert listen_address.read(given(listen=text)) == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("localhost", "--listen: expected an address such as 172.17.0.1 or 172.17.0.1:80, got 'localhost'"),
        ("172.17.0.1:", "--listen: expected an address such as 172.17.0.1 or 172.17.0.1:80, got '172.17.0.1:'"),
        ("172.17.0.1:99999", "--listen: no port is 99999"),
        ("127.0.0.1", "--listen: 127.0.0.1: it listens on the loopback interface anyway"),
        ("[::1]:80", "--listen: ::1: it listens on the loopback interface anyway"),
        ("224.0.0.1", "--listen: 224.0.0.1: that is no machine's address"),
        ("0.0.0.0", "--listen=0.0.0.0 would serve credentials to every network that this machine is in"),
        ("::", "--listen=:: would serve credentials to every network that this machine is in"),
        ("[::]:80", "--listen=[::]:80 would serve credentials to every network that this machine is in"),
    ],
)
def test_what_is_none(text, message):
    """Is refused; that every network is meant, until somebody says so."""
    with pytest.raises(UsageError) as caught:
        listen_address.read(given(listen=text))
    assert caught.value.message == message


def test_every_network():
    """Can be had, with a port: on the loopback interface it is taken."""
    assert listen_address.read(given(listen="0.0.0.0:8080", i_know=True)) == ("0.0.0.0", 8080)
    with pytest.raises(UsageError) as caught:
        listen_address.read(given(listen="0.0.0.0", i_know=True))
    assert caught.value.message == "--listen=0.0.0.0: that needs a port"


@pytest.mark.parametrize("flag", ["i_know", "host", "from"])
def test_flags_without_it(flag):
    """Make no sense."""
    assert listen_address.read(given()) is None
    with pytest.raises(UsageError) as caught:
        listen_address.read(given(**{flag: ("x",)}))
    assert caught.value.message == f"--{flag.replace('_', '-')} needs --listen"


def test_networks():
    """Any, or those that are named."""
    assert listen_address.networks(given()) == ("0.0.0.0/0", "::/0")
    assert listen_address.networks(given(**{"from": ("172.17.0.0/16", "fd00::/8")})) == ("172.17.0.0/16", "fd00::/8")
    with pytest.raises(UsageError) as caught:
        listen_address.networks(given(**{"from": ("172.17.0.1/16",)}))
    assert caught.value.message == "--from: expected a network such as 172.17.0.0/16, got '172.17.0.1/16'"


def test_hosts():
    """What containers call their host, and what one says; each with the port and without."""
    found = listen_address.hosts(given(host=("build.internal", "proxy:9000")), 4711)
    assert {"host.docker.internal:4711", "169.254.170.2", "build.internal", "build.internal:4711", "proxy:9000"} <= set(
        found
    )
    assert "proxy:9000:4711" not in found
