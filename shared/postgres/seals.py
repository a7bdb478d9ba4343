"""Close a database of ours to everybody, and read what tells later whether it has stayed so."""

from __future__ import annotations

import time
from collections.abc import Callable

from shared.domain.manifest import parse
from shared.domain.warm import Seal
from shared.postgres import databases
from shared.postgres.session import Session, statement

FIRST_WITH_VERSIONS = 150000
"""The first that knows the version of a database's sort order, and whose counts are not late."""

COUNTS_LATE_SECONDS = 0.6
"""A former server reads its counts from a file that may be half a second old."""


def close(session: Session, name: str, *, check: Callable[[], None], but: int = 0) -> None:
    """As `databases.shut_out` does one of ours; what `read` tells of it afterwards is not late."""
    databases.refuse_foreign(name)
    databases.shut_out(session, name, check=check, but=but)
    if session.info.server_version < FIRST_WITH_VERSIONS:
        time.sleep(COUNTS_LATE_SECONDS)


def read(session: Session, oid: int) -> Seal | None:
    """None where there is no such database."""
    found = session.execute(statement("seal").encode(), {"oid": oid}).fetchone()
    if found is None:
        return None
    version = None
    if session.info.server_version >= FIRST_WITH_VERSIONS:
        query = "select pg_catalog.pg_database_collation_actual_version(%s) as version"
        told = session.execute(query, [oid]).fetchone()
        version = told["version"] if told else None
    return parse({**found, "collation_version": version}, Seal)
