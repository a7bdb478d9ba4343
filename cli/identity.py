"""Who runs this command, as the machine knows him: for the audit."""

from __future__ import annotations

import os
import pwd
import socket

from shared.domain.access import Actor


def me() -> Actor:
    """The user that the kernel names, whatever the environment says."""
    number = os.geteuid()
    try:
        name = pwd.getpwuid(number).pw_name
    except KeyError:  # a container's user often has no name
        name = f"uid {number}"
    return Actor(name=name, origin=f"cli:{socket.gethostname()}")
