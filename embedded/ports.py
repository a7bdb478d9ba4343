"""Free TCP ports on 127.0.0.1.

Between finding a port and the server's taking it, somebody else can. The range below the one from which
the kernel serves outgoing connections leaves only those who chose the same number on purpose, and a
random start keeps two of us apart.
"""

from __future__ import annotations

import errno
import secrets
import socket

LOWEST, HIGHEST = 20_000, 32_000


def free(count: int) -> tuple[int, ...]:
    """So many different ports that nobody listens on now."""
    found: list[int] = []
    start = secrets.randbelow(HIGHEST - LOWEST)
    for step in range(HIGHEST - LOWEST):
        if len(found) == count:
            return tuple(found)
        port = LOWEST + (start + step) % (HIGHEST - LOWEST)
        if is_free(port):
            found.append(port)
    raise OSError(errno.EADDRINUSE, "no free port on 127.0.0.1")


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
