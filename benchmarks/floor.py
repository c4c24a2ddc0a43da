"""The least that an event loop can do for a request: write an answer that it knows, without looking at what came.

Started as a process of its own. It reads the answers from stdin, each a line of hexadecimal digits, the last one
followed by an empty line; it says on which ports it gives them, in that order; it ends with its stdin.
"""

import asyncio
import contextlib
import sys
import threading

try:
    from uvloop import new_event_loop
except ImportError:
    from asyncio import new_event_loop


class Constant(asyncio.Protocol):
    """One connection: whatever comes is one request."""

    def __init__(self, response):
        self.response = response

    def connection_made(self, transport):
        self.write = transport.write

    def data_received(self, _data):
        self.write(self.response)


async def serve(responses):
    """Serve until stdin ends."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def wait():
        sys.stdin.read()
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(ended.set)

    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for response in responses:
            server = await loop.create_server(lambda response=response: Constant(response), "127.0.0.1", backlog=1024)
            await stack.enter_async_context(server)
            ports.append(server.sockets[0].getsockname()[1])
        print(*ports, flush=True)
        threading.Thread(target=wait, daemon=True).start()
        await ended.wait()


if __name__ == "__main__":
    lines = iter(sys.stdin.readline, "\n")
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(serve([bytes.fromhex(line) for line in lines]))
