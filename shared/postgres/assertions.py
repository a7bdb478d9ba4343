"""The operator's own questions to a database: each is one query, and true in the first column of some row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

import psycopg
from psycopg import sql

from shared.domain.manifest import Properties
from shared.domain.proof import Assertion
from shared.postgres.databases import setting_value
from shared.postgres.session import Session

PATIENCE = timedelta(minutes=10)
"""How long one may take."""

SERVER_GONE = ("08", "57P", "53", "58")
"""What the server or the way to it is to blame for: no answer to the question."""


def failures(
    session: Session,
    assertions: Iterable[Assertion],
    *,
    properties: Properties | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[str]:
    """What does not hold, in words. Each is asked read only, and sees names as a session of the database's
    own would: with `properties`, by the search_path that these set. `check` is called before each.
    """
    for assertion in assertions:
        check()
        try:
            holds = ask(session, assertion, search_path(properties))
        except psycopg.errors.QueryCanceled:
            yield f"assertion {assertion.name} was not answered within {PATIENCE}"
        except psycopg.Error as exc:
            if exc.sqlstate is None or exc.sqlstate.startswith(SERVER_GONE):
                raise
            yield f"assertion {assertion.name} cannot be asked: {exc.diag.message_primary}"
        else:
            if not holds:
                yield f"assertion {assertion.name} does not hold"


def ask(session: Session, assertion: Assertion, path: sql.Composable) -> bool:
    with session.transaction(force_rollback=True):
        session.execute(sql.SQL("set local search_path to {}").format(path))
        milliseconds = int(PATIENCE / timedelta(milliseconds=1))
        session.execute(sql.SQL("set local statement_timeout to {}").format(milliseconds))
        session.execute("set transaction read only")
        # In the extended protocol, which takes one statement: none can end the transaction before another.
        cursor = session.execute(assertion.sql.encode(), binary=True)
        if cursor.description is None:
            return False
        return any(next(iter(row.values()), None) is True for row in cursor)


def search_path(properties: Properties | None) -> sql.Composable:
    for setting in properties.settings if properties else ():
        if setting.role is None and setting.name == "search_path":
            return setting_value(setting.name, setting.value)
    return sql.SQL("default")
