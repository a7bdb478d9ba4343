"""What PostgreSQL's tools are told about a database: all of it outside their arguments."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from shared.postgres.dsn import Dsn
from shared.postgres.process import BARE

# Keep-alive settings have no variable: the tools keep libpq's own.
_VARIABLES: Final = {
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}


def environment(dsn: Dsn, *, pgpass: int | None, application_name: str, options: str = "") -> dict[str, str]:
    """The whole environment of a tool that works on `dsn`: nothing of ours is inherited.

    The database's name travels here, where libpq takes it literally; in an argument it could be an option
    or a connection string. `pgpass` is what `private_pgpass` gave, and must be passed on to the tool.
    """
    env = {
        **BARE,
        "PGHOST": dsn.host,
        "PGPORT": str(dsn.port),
        "PGUSER": dsn.user,
        "PGDATABASE": dsn.dbname,
        "PGAPPNAME": application_name,
        "PGCONNECT_TIMEOUT": str(dsn.connect_timeout),
    }
    env |= {_VARIABLES[key]: value for key, value in dsn.parameters if key in _VARIABLES}
    if pgpass is not None:
        env["PGPASSFILE"] = f"/proc/self/fd/{pgpass}"
    if options:
        env["PGOPTIONS"] = options
    return env


@contextmanager
def private_pgpass(dsn: Dsn) -> Generator[int | None]:
    """A password file without a name, as a descriptor to pass on; None for a DSN without a password.

    It lives in memory and dies with its last holder, so no crash leaves one behind and no other user
    finds one. Without a password libpq goes its usual way (peer, certificate, the user's own .pgpass).
    """
    if dsn.password is None:
        yield None
        return
    fd = os.memfd_create("pgpass")
    try:
        os.fchmod(fd, 0o600)  # libpq ignores a password file that others could read
        escaped = dsn.password.replace("\\", "\\\\").replace(":", "\\:")
        os.write(fd, f"*:*:*:*:{escaped}\n".encode())
        yield fd
    finally:
        os.close(fd)
