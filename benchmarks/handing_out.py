"""A process that hands out credentials as ECS and as EC2 do, with all checks.

It reads from stdin, as one line of JSON, the id of the process whose descendants may ask, and a token; it says on which
ports it serves, ECS first; it ends with its stdin.
"""

import asyncio
import contextlib
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from strongroom.credentials import Credentials
from strongroom.endpoints.ec2 import Ec2
from strongroom.endpoints.ecs import Ecs, Entry
from strongroom.endpoints.guard import hosts_of
from strongroom.endpoints.scope import Scope
from strongroom.endpoints.slot import Slot
from strongroom.serve import sockets
from strongroom.serve.listener import Limits, Server

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop

ROLE = "arn:aws:iam::111122223333:role/admin"


def made(*_):
    """Credentials as long as STS makes them."""
    return Credentials("ASIA" + "X" * 16, "s" * 40, "t" * 900, int(time.time()) + 3600)


async def serve(root_pid, token):
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait():
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    with ThreadPoolExecutor(4) as pool:
        slot = Slot("bench", made, pool=pool, log=quiet)
        slot.start()
        scope = Scope(root_pid)
        ports = []
        for service in ("ecs", "ec2"):
            bound = sockets.loopback(0)
            hosts = hosts_of([each.getsockname()[:2] for each in bound])
            if service == "ecs":
                entry = Entry(slot, token, assume=made, allowed_roles=[ROLE])
                site = Ecs({"bench": entry}, hosts=hosts, scope=scope, log=quiet)
            else:
                what = {"role_name": "bench", "region": "eu-west-1", "imdsv1": False}
                site = Ec2(slot, hosts=hosts, scope=scope, log=quiet, **what)
            await Server(site, Limits(1000, 10, 120), loop).listen(bound)
            ports.append(bound[0].getsockname()[1])
        print(*ports, flush=True)
        threading.Thread(target=wait, daemon=True).start()
        await ended.wait()
        await slot.close()


def quiet(_line):
    """Nobody reads it."""


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve(**json.loads(sys.stdin.readline())))
