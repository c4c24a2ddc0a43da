"""Starts programs and says what each cost; talks over pipes, a line of NUL-separated words each way.

A process of its own, and a small one: Linux counts the memory of whoever forks as the child's until the child has
started its program, so a large parent would hide how little a program needs.
"""

import os
import sys
import time


def launch(words, environ):
    """Run one program to its end; returns wall, user and system seconds, peak memory as the system gives it, status."""
    null = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_RDWR, 0) for stream in (0, 1, 2)]
    began = time.perf_counter()
    child = os.posix_spawn(words[0], words, environ, file_actions=null)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - began
    return wall, usage.ru_utime, usage.ru_stime, usage.ru_maxrss, os.waitstatus_to_exitcode(status)


for line in sys.stdin.buffer:
    # How many of the words are variables, those, and then the command.
    count, *rest = os.fsdecode(line[:-1]).split("\0")
    pairs, command = rest[: int(count)], rest[int(count) :]
    figures = launch(command, dict(pair.split("=", 1) for pair in pairs))
    print(*figures, flush=True)
