"""``--listen``: an address besides the loopback interface's, for those who know what they do."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

from strongroom.errors import UsageError

if TYPE_CHECKING:
    from strongroom.cli.flags import Arguments

_FORM = re.compile(r"(?:\[(?P<v6>[^]]*)\]|(?P<v4>[^:]*))(?::(?P<port>[0-9]{1,5}))?")

# How containers call the machine that they run on: of Docker Desktop, of Podman, and the address that SDKs take for
# the agent of Amazon ECS.
HOSTS = ("host.docker.internal", "host.containers.internal", "169.254.170.2")


def read(arguments: Arguments) -> tuple[str, int] | None:
    """The address and the port, 0 for the same as on the loopback interface; None if there is none.

    Raises:
        UsageError: It is none, or one that nobody should listen on without having said so.
    """
    text = arguments.text("listen")
    if not text:
        for flag in ("i-know", "host", "from"):
            if arguments.values.get(flag):
                raise UsageError(f"--{flag} needs --listen")
        return None
    match = _FORM.fullmatch(text)
    bare, port = (text, 0) if text.count(":") > 1 and "[" not in text else ("", 0)
    if match is not None and not bare:
        bare, port = match["v6"] or match["v4"] or "", int(match["port"] or 0)
    try:
        address = ipaddress.ip_address(bare)
    except ValueError as error:
        raise UsageError(f"--listen: expected an address such as 172.17.0.1 or 172.17.0.1:80, got {text!r}") from error
    if port > 65_535:
        raise UsageError(f"--listen: no port is {port}")
    if address.is_loopback or address.is_multicast:
        kind = "it listens on the loopback interface anyway" if address.is_loopback else "that is no machine's address"
        raise UsageError(f"--listen: {address}: {kind}")
    if address.is_unspecified and not arguments.on("i-know"):
        raise UsageError(
            f"--listen={text} would serve credentials to every network that this machine is in",
            "name the one address that is meant, or say --i-know",
        )
    if address.is_unspecified and not port:
        raise UsageError(f"--listen={text}: that needs a port", f"such as --listen={text}:8080")
    return str(address), port


def networks(arguments: Arguments) -> tuple[str, ...]:
    """Where clients of `read`'s address may come from.

    Raises:
        UsageError: One is no network.
    """
    given = arguments.texts("from")
    for text in given:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise UsageError(f"--from: expected a network such as 172.17.0.0/16, got {text!r}") from error
    return given or ("0.0.0.0/0", "::/0")


def hosts(arguments: Arguments, port: int) -> list[str]:
    """What clients of it may call this machine, besides the address."""
    names = [*HOSTS, socket.gethostname(), *arguments.texts("host")]
    return [*names, *(f"{name}:{port}" for name in names if ":" not in name)]
