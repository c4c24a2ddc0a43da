import pytest

from harness.endpoints import TCP, Scope
from harness.service import Clock
from strongroom.endpoints.guard import QUIET_SECONDS, Guard, hosts_of
from strongroom.serve.http import Request
from strongroom.serve.listener import Peer

UNIX = Peer("unix", 1000, "uid 1000")


def asking(*lines, target=b"/"):
    return Request(b"\r\n".join((b"GET %b HTTP/1.1" % target, *lines, b"", b"")))


class Bench:
    def __init__(self, hosts=(b"a:1",), **how):
        self.clock = Clock()
        self.lines = []
        self.scope = Scope()
        self.guard = Guard(hosts, self.scope, log=self.lines.append, clock=self.clock, **how)


@pytest.mark.parametrize(
    ("addresses", "others", "hosts"),
    [
        ([("127.0.0.1", 4000)], [], {b"127.0.0.1:4000", b"localhost:4000"}),
        (
            [("127.0.0.1", 4000), ("::1", 4000)],
            [],
            {b"127.0.0.1:4000", b"[::1]:4000", b"localhost:4000"},
        ),
        ([("169.254.169.254", 80)], [], {b"169.254.169.254", b"169.254.169.254:80"}),
        ([("172.17.0.1", 4000)], ["Host.Docker.Internal:4000"], {b"172.17.0.1:4000", b"host.docker.internal:4000"}),
        ([("127.0.0.1", 80)], [], {b"127.0.0.1:80", b"127.0.0.1", b"localhost:80", b"localhost"}),
    ],
)
def test_what_host_may_say(addresses, others, hosts):
    """The address with its port, which clients leave out when it is HTTP's own; and a name where it has one."""
    assert hosts_of(addresses, others) == hosts


def test_letter_case():
    """Names have none."""
    guard = Bench(hosts=hosts_of([("127.0.0.1", 4000)])).guard
    assert guard.refusal(asking(b"Host: LOCALHOST:4000"), TCP) is None


@pytest.mark.parametrize("lines", [[], [b"Host: evil.com"]])
def test_unix_sockets(lines):
    """No web page reaches one, whatever the host; who may connect is the file system's business. Forwarded is not."""
    bench = Bench()
    assert bench.guard.meet(UNIX) is None
    assert bench.guard.refusal(asking(*lines), UNIX) is None
    assert bench.guard.refusal(asking(*lines, b"Via: x"), UNIX).kind == "forwarded"
    assert bench.scope.asked == []


def test_no_scope():
    """Any process of this machine."""
    assert Guard({b"a"}, None, log=lambda _: None).meet(TCP) is None


def test_other_networks():
    """Those that were said."""
    peer = Peer("tcp", None, "172.17.0.2:1", ("172.17.0.1", 4000), ("172.17.0.2", 1))
    assert Bench().guard.meet(peer).kind == "peer"
    assert Bench(peers=("172.17.0.0/16",)).guard.meet(peer) is None


def test_every_refusal_has_a_kind():
    """In the order in which they are looked for."""
    guard = Bench().guard
    for lines, kind in (
        ([b"Via: x", b"Origin: y", b"Host: z"], "forwarded"),
        ([b"Origin: y", b"Host: z"], "origin"),
        ([b"Sec-Fetch-Site: cross-site", b"Host: a:1"], "origin"),
        ([b"Host: z"], "host"),
        ([], "host"),
    ):
        assert guard.refusal(asking(*lines), TCP).kind == kind
    assert guard.refusal(asking(b"Host: a:1"), TCP) is None
    # No page's: somebody has typed the address, or it is a program that has taken much over from browsers.
    assert guard.refusal(asking(b"Host: a:1", b"Sec-Fetch-Site: none", b"Sec-Fetch-Mode: cors"), TCP) is None
    assert guard.refusal(asking(b"Host: a:1", target=b"http://b/"), TCP).kind == "host"


def test_the_log_is_not_flooded():
    """Of each kind once in a while, with how many there were meanwhile; nothing that was sent is shown as it is."""
    bench = Bench()
    evil = asking(b"Host: \x9b2Jevil\xff" + b"x" * 200)
    for _ in range(100):
        bench.guard.refusal(evil, TCP)
    bench.guard.refusal(asking(b"Host: a:1", b"Via: x"), TCP)
    bench.clock.tick(QUIET_SECONDS)
    for _ in range(2):
        bench.guard.refusal(asking(), TCP)
    shown = repr("\x9b2Jevil\xff" + "x" * 92)
    assert bench.lines == [
        f"refused a request of 127.0.0.1:40001: it is for host {shown}...",
        "refused a request of 127.0.0.1:40001: it has been forwarded (Via)",
        "refused a request of 127.0.0.1:40001: it names no host (and 99 more before)",
    ]
