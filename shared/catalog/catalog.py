"""The catalog: one transaction at a time, its errors turned into ours at this border."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from shared.catalog import liveness
from shared.catalog.audit import Audit
from shared.catalog.canaries import Canaries
from shared.catalog.chunks import Chunks
from shared.catalog.inbox import Inbox
from shared.catalog.jobs import Jobs
from shared.catalog.measures import Measures
from shared.catalog.notices import Notices
from shared.catalog.outbox import Outbox
from shared.catalog.pages import Pages
from shared.catalog.parked import ParkedDatabases
from shared.catalog.parts import Parts
from shared.catalog.prunings import Prunings
from shared.catalog.readings import Readings
from shared.catalog.schedules import Schedules
from shared.catalog.snapshots import Snapshots
from shared.catalog.standings import Standings
from shared.catalog.statements import statement
from shared.catalog.tokens import Tokens
from shared.catalog.verifications import Verifications
from shared.catalog.warm import WarmCopies
from shared.errors import Busy, Misconfigured, Refused, SnapfleetError, Unreachable

PATIENCE = timedelta(seconds=60)
IDENTITY = "snapfleet identity"
MIGRATE_HINT = "run `snapfleet migrate` with the same CATALOG_URL"
REBUILD_HINT = "if it was lost: `snapfleet catalog rebuild` makes it anew from the repository"


class Transaction:
    """Everything that one transaction can read and change; gone when it ends."""

    def __init__(self, connection: Connection) -> None:
        self.jobs = Jobs(connection)
        self.parts = Parts(connection)
        self.snapshots = Snapshots(connection)
        self.pages = Pages(connection)
        self.chunks = Chunks(connection)
        self.schedules = Schedules(connection)
        self.parked = ParkedDatabases(connection)
        self.warm = WarmCopies(connection)
        self.outbox = Outbox(connection)
        self.inbox = Inbox(connection)
        self.verifications = Verifications(connection)
        self.standings = Standings(connection)
        self.tokens = Tokens(connection)
        self.audit = Audit(connection)
        self.readings = Readings(connection)
        self.prunings = Prunings(connection)
        self.canaries = Canaries(connection)
        self.measures = Measures(connection)
        self.notices = Notices(connection)


class Catalog:
    """Our own database. Open one per process, after any fork."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._alone = engine.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def transaction(self) -> Generator[Transaction]:
        """All or nothing, at read committed.

        Raises Unreachable, Busy (somebody was quicker), or Misconfigured where it is not migrated.
        """
        with translated(), self._engine.begin() as connection:
            tx = Transaction(connection)
            yield tx
            tx.outbox.write()
            tx.audit.write()

    @contextmanager
    def singly(self) -> Generator[Transaction]:
        """Every statement is committed by itself: for one alone, or for several looks that need not agree.

        One round trip each, where a transaction of one statement takes three. No event and no act can be written.
        Raises what `transaction` does.
        """
        with translated(), self._alone.connect() as connection:
            tx = Transaction(connection)
            yield tx
            if tx.outbox.is_kept or tx.audit.is_kept:
                raise RuntimeError("what is told belongs into the transaction that it tells of")

    def identity(self) -> tuple[str, int]:
        """(system identifier of its server, oid of its database): what no name or alias can hide."""
        with translated(), self._engine.connect() as connection:
            # The same for as long as this connection lasts: asked for once.
            if IDENTITY not in connection.info:
                connection.info[IDENTITY] = tuple(connection.execute(statement("identity")).one())
            system_identifier, oid = connection.info[IDENTITY]
            return str(system_identifier), int(oid)

    @property
    def engine(self) -> Engine:
        """For migrations, which live in this room."""
        return self._engine

    def close(self) -> None:
        self._engine.dispose()


def connect(url: str, *, patience: timedelta = PATIENCE, connections: int = 2) -> Catalog:
    """The catalog at a libpq URL or key=value DSN. Connects when it is first used, and keeps so many connections.

    A transaction in which its owner does nothing for `patience` is ended by the server: a worker that was
    paused in the middle of one must not keep a job's row locked against whoever takes over. What is reported
    as done outlives a crash of the server, whatever its synchronous_commit says.
    """

    def open_connection() -> psycopg.Connection[Any]:
        connection = psycopg.connect(url, connect_timeout=5, application_name="snapfleet-catalog")
        connection.execute(
            "select set_config('idle_in_transaction_session_timeout', %s, false),"
            " set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'local'), false)",
            [str(int(patience / timedelta(milliseconds=1)))],
        )
        connection.commit()
        return connection

    engine = create_engine(
        "postgresql+psycopg://",
        creator=open_connection,
        pool_size=connections,
        max_overflow=8,
        pool_recycle=1800,
    )
    liveness.watch(engine.pool)
    return Catalog(engine)


@contextmanager
def translated() -> Generator[None]:
    """Turn SQLAlchemy's and the driver's errors into ours, the cause kept."""
    try:
        yield
    except SnapfleetError:
        raise
    except IntegrityError as exc:
        raise Busy("another process was quicker", code="superseded") from exc
    except DBAPIError as exc:
        raise translate(exc) from exc
    except psycopg.OperationalError as exc:
        raise unreachable(exc) from exc
    except PoolTimeoutError as exc:
        raise Unreachable("no free connection to the catalog", code="catalog_unreachable") from exc


def translate(exc: DBAPIError) -> SnapfleetError:
    cause = exc.orig
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.UndefinedColumn):
        return Misconfigured(
            "the catalog is not migrated to this release", code="catalog_not_migrated", hint=MIGRATE_HINT
        )
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return Refused(
            f"the user in CATALOG_URL may not do this in the catalog: {cause.diag.message_primary}",
            code="catalog_rights",
            hint="make it the owner of that database, or run deploy/sql/catalog.sql there again",
        )
    if isinstance(exc, OperationalError | InterfaceError) or exc.connection_invalidated:
        return unreachable(cause)
    return SnapfleetError(f"the catalog refused a statement: {type(cause).__name__}", code="catalog_error")


def unreachable(cause: BaseException | None) -> SnapfleetError:
    """Why the catalog did not answer, without the DSN that libpq's own text may quote."""
    text_of = str(cause)
    if "password authentication failed" in text_of:
        return Refused(
            "the catalog's server refuses the password in CATALOG_URL",
            code="catalog_wrong_password",
            hint="check user and password in CATALOG_URL",
        )
    if "does not exist" in text_of:
        return Misconfigured(
            "the database in CATALOG_URL does not exist",
            code="catalog_missing",
            hint="create it: createdb snapfleet; then run `snapfleet migrate`",
        )
    return Unreachable(
        "the catalog does not answer",
        code="catalog_unreachable",
        hint="is the server in CATALOG_URL up, and reachable from here?",
    )
