"""Who a server runs as, when we are root and the server refuses to be.

PostgreSQL will not start as uid 0. Two ways around it need neither a new system user nor a folder
opened to others:

    NAMESPACE   a user namespace with one uid in it: the server sees itself as "nobody", the kernel
                still sees us, so every file stays ours. Not allowed in an ordinary Docker container.
    NOBODY      really uid 65534, with one capability kept: to pass folders such as a 0700 /root on the
                way to the server's programs and data. The data then belongs to uid 65534.

An ordinary user needs neither and stays who he is. Outside Linux only SELF exists.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from enum import Enum

from shared.errors import Refused

NOBODY_ID = 65534

_CLONE_NEWUSER = 0x10000000
_PR_SET_SECUREBITS = 28
_SECBIT_NO_SETUID_FIXUP = 1 << 2
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522

# Loaded here, not between fork and exec, where as little as possible should happen.
_libc = ctypes.CDLL(None, use_errno=True)


class Identity(Enum):
    """As whom a child runs."""

    SELF = "self"
    NAMESPACE = "namespace"
    NOBODY = "nobody"

    def assume(self) -> None:
        """Become it. Called in the child, between fork and exec."""
        if self is Identity.NAMESPACE:
            _enter_namespace()
        elif self is Identity.NOBODY:
            _become_nobody()

    def file_owner(self) -> int:
        """The uid, as we see it, of the files it makes."""
        return NOBODY_ID if self is Identity.NOBODY else os.geteuid()


def unprivileged() -> Identity:
    """The identity for a server that refuses root: SELF unless we are root."""
    if os.geteuid() != 0:
        return Identity.SELF
    for identity in (Identity.NAMESPACE, Identity.NOBODY):
        if sys.platform == "linux" and possible(identity):
            return identity
    raise Refused(
        "PostgreSQL cannot be run as root on this system",
        code="root_refused",
        hint="run this as an ordinary user",
    )


@functools.cache
def possible(identity: Identity) -> bool:
    """Whether the kernel lets a child of ours become it; found out by trying."""
    return _survives(identity.assume)


def _survives(preexec: Callable[[], None]) -> bool:
    try:
        subprocess.run(
            ["/bin/sh", "-c", "exit 0"],
            preexec_fn=preexec,
            env={},
            stdin=subprocess.DEVNULL,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return False
    return True


def _enter_namespace() -> None:
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", _CLONE_NEWUSER)
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{NOBODY_ID} {uid} 1"),
        ("gid_map", f"{NOBODY_ID} {gid} 1"),
    ):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, content.encode())  # the kernel wants each map in one write
        os.close(descriptor)


def _become_nobody() -> None:
    # Capabilities outlive the change of uid, and access(2), which initdb asks, counts them for a non-root uid.
    _call("prctl", _PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(NOBODY_ID, NOBODY_ID, NOBODY_ID)
    os.setresuid(NOBODY_ID, NOBODY_ID, NOBODY_ID)
    bit = 1 << _CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    low_and_high = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    _call("capset", header, low_and_high)
    _call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE, 0, 0)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
