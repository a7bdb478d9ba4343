"""The server's own record of which pages changed: summaries of its log, from PostgreSQL 17 on.

They reach up to where the last checkpoint began. So that they tell of a snapshot, a checkpoint is asked for after it.
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg

from shared.domain.increments import Server, TableState
from shared.domain.reuse import Changes, Summary, chain
from shared.postgres.inspection import row, server_version
from shared.postgres.session import Session, statement

OLDEST_SERVER = 17
LOOK_AGAIN_SECONDS = (0.005, 0.1)
"""How soon after a look the next one follows: twice as long each time, up to the second."""
BEFORE = timedelta(minutes=5)
"""What the first checkpoint may take: all that was changed in memory is written, and nobody waits for it."""
MEANWHILE = timedelta(minutes=1)
"""What a statement beside a moment may take: it holds up what vacuum would clean, and locks out changes of tables."""


class Unsummarized(Exception):
    """The summaries cannot be read, or do not tell what is asked; its text says why, for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where in the log of which server."""

    server: Server
    lsn: int


def obstacle(session: Session) -> str | None:
    """Why this server's summaries cannot be read by this role, whatever they hold. Raises Unsummarized."""
    with readable(session):
        major = server_version(session) // 10000
        if major < OLDEST_SERVER:
            return f"PostgreSQL {major} keeps no summaries of its log"
        found: str | None = row(session, statement("summaries_offered"))["obstacle"]
        return found


def place(session: Session) -> Place:
    """Where the log ends now. Raises Unsummarized."""
    with readable(session):
        found = row(session, statement("log_place"))
    lsn = found.pop("lsn")
    return Place(server=Server(**found), lsn=lsn)


def checkpoint(session: Session) -> None:
    """End one summary here and begin another. Raises Unsummarized where the server would not."""
    with readable(session):
        session.execute("checkpoint")


def writers_end(session: Session, *, within: timedelta, check: Callable[[], None]) -> bool:
    """Wait for every transaction that has written so far; False when one goes on for longer.

    Not inside a transaction: it would see the same sessions for ever.
    """
    waited_for = writers(session)

    def ended() -> bool:
        return not waited_for & writers(session)

    return not waited_for or until(ended, within=within, check=check)


def writers(session: Session) -> frozenset[str]:
    return frozenset(r["xid"] for r in session.execute(statement("writers").encode()))


def until(done: Callable[[], bool], *, within: timedelta, check: Callable[[], None]) -> bool:
    """Look until it is done; False when it is not in time. Looks at least once."""
    deadline = time.monotonic() + within.total_seconds()
    pause, longest = LOOK_AGAIN_SECONDS
    while not done():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        check()
        time.sleep(min(pause, left))
        pause = min(2 * pause, longest)
    return True


def reach(
    session: Session, here: Place, *, within: timedelta, check: Callable[[], None]
) -> Sequence[Summary]:
    """All summaries there are, once they reach a place in the log; what was written up to there is on the disk then.

    Raises Unsummarized when they do not in time. Not inside a transaction.
    """
    found: list[Summary] = []

    def reached() -> bool:
        found[:] = [Summary(**r) for r in session.execute(statement("summaries").encode())]
        return chain(found, timeline=here.server.timeline, since=here.lsn - 1, upto=here.lsn) is not None

    checkpoint(session)
    with readable(session):
        if not until(reached, within=within, check=check):
            raise Unsummarized("the summaries of the log did not reach the snapshot in time")
    return found


def changes(
    session: Session, summaries: Sequence[Summary], server: Server, widths: Mapping[int, int]
) -> Mapping[int, Changes]:
    """What these summaries, of the server's timeline, name of some files, by filenode.

    `widths` are the pages of a range of each. Raises Unsummarized where one is gone.
    """
    values: dict[str, Any] = {
        "starts": [each.start for each in summaries],
        "ends": [each.end for each in summaries],
        "timeline": server.timeline,
        "database_oid": server.database_oid,
        "filenodes": list(widths),
        "pages": list(widths.values()),
    }
    with readable(session):
        rows = session.execute(statement("changes").encode(), values).fetchall()
    files: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for found in rows:
        files[found["filenode"]].append(found)
    return {filenode: of_file(named) for filenode, named in files.items()}


def of_file(rows: Collection[Mapping[str, Any]]) -> Changes:
    limits = [r["limit"] for r in rows if r["limit"] is not None]
    return Changes(
        ranges=frozenset(r["number"] for r in rows if r["number"] is not None),
        limit=min(limits, default=None),
    )


def table_states(session: Session, tables: Collection[tuple[str, str]]) -> tuple[TableState, ...]:
    """Of these tables, by schema and name, those whose pages tell all that can change of their rows.

    Call it once they are locked.
    """
    names = sorted(tables)
    values = {"schemas": [schema for schema, _ in names], "names": [name for _, name in names]}
    found = session.execute(statement("table_states").encode(), values).fetchall() if names else []
    return tuple(
        TableState(
            schema=r["schema"],
            name=r["name"],
            filenode=r["filenode"],
            definition=hashlib.sha256(r["definition"].encode()).hexdigest(),
        )
        for r in found
    )


@contextmanager
def readable(session: Session) -> Generator[None]:
    """Translate what the server answers where a summary has gone, or a right has. One that is gone itself raises."""
    try:
        yield
    except psycopg.Error as exc:
        if session.closed:
            raise
        raise Unsummarized(f"the summaries of the log cannot be read: {exc.diag.message_primary}") from exc
