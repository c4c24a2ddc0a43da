"""What a server asks of the system for itself."""

from __future__ import annotations

import contextlib
import sys
from importlib import import_module

MOST_DESCRIPTORS = 65_536


def limit(most_connections: int) -> None:
    """Have no core dumps, which would hold secrets; as many descriptors as so many connections may need."""
    if sys.platform == "win32":
        return
    resource = import_module("resource")
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = min(MOST_DESCRIPTORS, most_connections * 4 + 1024)
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
