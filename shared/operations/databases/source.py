"""What snapshot and restore both need of a database's server: tools, a session
beside it, and that it is not our own catalog.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress

import structlog

from shared.errors import NotFound, Refused
from shared.operations.fleet import Fleet
from shared.postgres import backends, databases, floors, inspection, subscriptions, tools
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected
from shared.postgres.tools import Tools

log = structlog.get_logger(__name__)

OLDEST_SERVER = 14
MAINTENANCE_DATABASES = ("postgres", "template1")


@contextmanager
def maintenance(dsn: Dsn, name: str) -> Generator[Session]:
    """A session beside the live database: it may not exist, and must not be in use by us."""
    *first, last = (d for d in MAINTENANCE_DATABASES if d != dsn.dbname)
    with ExitStack() as exits:
        session: Session | None = None
        for database in first:
            with suppress(NotFound, Refused):
                session = exits.enter_context(connected(dsn.for_database(database), application_name=name))
        # Only the search for a session ends here, not what its user finds missing.
        yield session or exits.enter_context(connected(dsn.for_database(last), application_name=name))


@contextmanager
def taken_over(dsn: Dsn, name: str) -> Generator[Session]:
    """Such a session for a step that changes what is in the cluster: its former workers are cut off there."""
    with maintenance(dsn, name) as session:
        backends.end_superseded(session, name)
        yield session


def drop(dsn: Dsn, session: Session, name: str) -> None:
    """Drop a side or parked database, and first the subscriptions in it: with one, it is dropped for nobody.

    A superuser's restore has put them there, or they were the live one's when it was parked. Their publishers
    are not told: what they keep for a live one of the same name must stay.
    """
    databases.refuse_foreign(name)
    if subscriptions.is_subscribed(session, name):
        log.warning("subscriptions_forgotten", dropped=name)
        with entered(dsn, session, name) as inside:
            subscriptions.forget(inside)
    databases.drop(session, name)


@contextmanager
def entered(dsn: Dsn, session: Session, name: str) -> Generator[Session]:
    """A session in a database of ours, and nobody else in it: not even who applies a subscription there."""
    databases.allow(session, name, allowed=True)
    try:
        said = session.info.parameter_status("application_name") or ""
        with connected(dsn.for_database(name), application_name=said) as inside:
            databases.allow(session, name, allowed=False)
            yield inside
    finally:
        databases.allow(session, name, allowed=False)


def choose_tools(fleet: Fleet, dsn: Dsn, session: Session) -> Tools:
    """pg_dump and pg_restore for this server, or Refused saying what to install."""
    major = supported_major(dsn, session)
    return tools.choose(tools.find(bin_dir=fleet.bin_dir), server_major=major, tls_required=dsn.tls_required)


def choose_dumper(fleet: Fleet, dsn: Dsn, session: Session) -> Tools:
    """The same to take a snapshot with: none that the server could run code in, unless that is allowed."""
    chosen = floors.choose(
        tools.find(bin_dir=fleet.bin_dir),
        server_major=supported_major(dsn, session),
        tls_required=dsn.tls_required,
        allow_old=fleet.allow_old_tools,
    )
    server_version = session.info.parameter_status("server_version") or ""
    for warning in floors.warnings(tool_version=chosen.version, server_version=server_version):
        log.warning("old_release", what=warning)
    return chosen


def supported_major(dsn: Dsn, session: Session) -> int:
    major = session.info.server_version // 10000
    if major < OLDEST_SERVER:
        raise Refused(
            f"{dsn.where} runs PostgreSQL {major}; page ranges can be read from {OLDEST_SERVER} on",
            code="server_too_old",
        )
    return major


def refuse_catalog_target(fleet: Fleet, session: Session, name: str) -> None:
    """The same, for a session beside the database `name` in its cluster."""
    system_identifier, oid = fleet.catalog.identity()
    beside = inspection.identity(session)
    if (system_identifier, oid) == (beside.system_identifier, databases.oid_of(session, name)):
        raise catalog_inside()


def refuse_catalog(fleet: Fleet, session: Session) -> None:
    """Refused where this database holds the catalog: a restore would take the record of itself back."""
    ours = inspection.identity(session)
    if fleet.catalog.identity() == (ours.system_identifier, ours.oid):
        raise catalog_inside()


def catalog_inside() -> Refused:
    return Refused(
        "the catalog lies inside this database, which a restore would replace",
        code="catalog_in_protected_database",
        hint="give the catalog a database of its own: CATALOG_URL",
    )
