"""The steps `swap` and `settle` of every kind of job that puts another database in the live one's place.

What it meant before lies parked for the undo window, under a name of the job's own. Both databases are told
apart by their oids, noted before the first act: so a second run, and the undo, know what has happened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shared.catalog.catalog import Transaction
from shared.domain.manifest import Properties
from shared.errors import Damaged, NotFound
from shared.operations.databases import preflight, source
from shared.operations.jobs.saga import Outcome, StepRun
from shared.postgres import databases, inspection
from shared.postgres.databases import LastLook
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected


def swap(
    run: StepRun,
    live: Dsn,
    *,
    properties: Properties,
    is_new: bool = False,
    last_look: Callable[[int | None], LastLook | None] = lambda _: None,
) -> Outcome:
    """Give `live`'s name to the side database, in one transaction with everything that goes with it.

    With `is_new` the name must be free, and nothing is parked. `last_look` is asked with the live one's oid.
    """
    parked = databases.parked_name(run.job.id)

    def side(session: Session) -> int | None:
        if is_new:
            preflight.refuse_target(session, live.dbname)
        return databases.oid_of(session, str(run.data("create")["side"]))

    noted = exchange(run, live, incoming=side, aside=parked, properties=properties, last_look=last_look)

    def record(tx: Transaction) -> None:
        if noted["live_oid"] is not None:
            tx.parked.park(
                job_id=run.job.id,
                database=run.job.database,
                parked_name=parked,
                live_name=live.dbname,
                parked_oid=noted["live_oid"],
                window=run.database.undo_window,
            )

    return Outcome(result={"parked": parked if noted["live_oid"] is not None else None}, record=record)


def swap_back(run: StepRun, live: Dsn) -> None:
    """Undo that: the side database is one again, and what was parked is live."""
    if exchange_back(run, live, aside=lambda: str(run.data("create")["side"])) is not None:
        with run.fenced() as tx:
            tx.parked.dropped(run.job.id)


def exchange(
    run: StepRun,
    live: Dsn,
    *,
    incoming: Callable[[Session], int | None],
    aside: str,
    properties: Properties | None = None,
    last_look: Callable[[int | None], LastLook | None] = lambda _: None,
) -> Mapping[str, int | None]:
    """Give `live`'s name to the database that `incoming` tells once, and `aside` to the one that has it now.

    Answers the oids of both, noted before the first act: `incoming_oid` and `live_oid`.
    """
    with source.taken_over(live, run.name) as session:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            noted = {"incoming_oid": incoming(session), "live_oid": databases.oid_of(session, live.dbname)}
            run.record(**noted)
        if noted["incoming_oid"] is None:
            raise NotFound("the side database is gone", code="database_missing")
        databases.exchange(
            session,
            live_name=live.dbname,
            incoming_oid=noted["incoming_oid"],
            parked_name=aside,
            properties=properties,
            check=run.check,
            last_look=last_look(noted["live_oid"]),
        )
    return noted


def exchange_back(run: StepRun, live: Dsn, *, aside: Callable[[], str]) -> Mapping[str, int | None] | None:
    """Give the name back to the database that had it, or to none; None where it was never to be taken.

    What came in is called `aside` then.
    """
    noted = run.data("swap")
    if "incoming_oid" not in noted:
        return None
    with source.taken_over(live, run.name) as session:
        if noted["live_oid"] is not None:
            databases.exchange(
                session,
                live_name=live.dbname,
                incoming_oid=noted["live_oid"],
                parked_name=aside(),
                properties=None,
                check=run.check,
            )
        elif databases.oid_of(session, live.dbname) == noted["incoming_oid"]:
            # As whatever lies aside: nobody gets in, and nobody comes back in the way of the renaming.
            databases.allow(session, live.dbname, allowed=False)
            databases.cut(session, live.dbname)
            databases.rename(session, live.dbname, aside())
    return noted


def refuse_unsettled(run: StepRun, live: Dsn) -> None:
    """Log in to the new database by its name, once, as an application would. Damaged where it is another."""
    with connected(live, application_name=run.name) as session:
        oid = inspection.identity(session).oid
    if oid != run.data("swap")["incoming_oid"]:
        raise Damaged(f"{live.dbname!r} is not the database that was swapped in", code="not_settled")
