"""Free TCP ports on 127.0.0.1.

Between finding a port and the server's taking it, somebody else can. The range below the one from which
the kernel serves outgoing connections leaves only those who chose the same number on purpose. Those of
us claim what they find: by a name that only one process of a machine can have, and that ends with it.
"""

from __future__ import annotations

import errno
import secrets
import socket
from collections import deque

LOWEST, HIGHEST = 20_000, 32_000
_CLAIMED: deque[socket.socket] = deque()
_CLAIMS = 100
"""What was found so many ports ago has been taken since, or never will be."""


def free(count: int) -> tuple[int, ...]:
    """So many different ports that nobody listens on now."""
    found: list[int] = []
    start = secrets.randbelow(HIGHEST - LOWEST)
    for step in range(HIGHEST - LOWEST):
        if len(found) == count:
            return tuple(found)
        port = LOWEST + (start + step) % (HIGHEST - LOWEST)
        if claim(port):
            found.append(port)
    raise OSError(errno.EADDRINUSE, "no free port on 127.0.0.1")


def claim(port: int) -> bool:
    """Keep others of us from a port for a while; False where it is not free, or somebody else's."""
    if not is_free(port):
        return False
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0snapfleet-port-{port}")
    except OSError:
        held.close()
        return False
    _CLAIMED.append(held)
    if len(_CLAIMED) > _CLAIMS:
        _CLAIMED.popleft().close()
    return True


def is_free(port: int) -> bool:
    """Whether a server could take it now. Port 0 stands for none and is never free."""
    with socket.socket() as probe:
        # As servers do: a connection that is fading away does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return port != 0
