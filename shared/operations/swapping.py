"""The steps `swap` and `settle` of every kind of job that puts a side database in the live one's place.

What it meant before lies parked for the undo window, under a name of the job's own. Both databases are told
apart by their oids, noted before the first act: so a second run, and the undo, know what has happened.
"""

from __future__ import annotations

from collections.abc import Callable

from shared.catalog.catalog import Transaction
from shared.domain.manifest import Properties
from shared.errors import Damaged, NotFound
from shared.operations import preflight, source
from shared.operations.saga import Outcome, StepRun
from shared.postgres import databases, inspection
from shared.postgres.databases import LastLook
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected


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
    target = live.dbname
    parked = databases.parked_name(run.job.id)
    with source.taken_over(live, run.name) as session:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            if is_new:
                preflight.refuse_target(session, target)
            noted = {
                "incoming_oid": databases.oid_of(session, str(run.data("create")["side"])),
                "live_oid": databases.oid_of(session, target),
            }
            run.record(**noted)
        if noted["incoming_oid"] is None:
            raise NotFound("the side database is gone", code="database_missing")
        databases.exchange(
            session,
            live_name=target,
            incoming_oid=noted["incoming_oid"],
            parked_name=parked,
            properties=properties,
            check=run.check,
            last_look=last_look(noted["live_oid"]),
        )

    def record(tx: Transaction) -> None:
        if noted["live_oid"] is not None:
            tx.parked.park(
                job_id=run.job.id,
                database=run.job.database,
                parked_name=parked,
                live_name=target,
                parked_oid=noted["live_oid"],
                window=run.database.undo_window,
            )

    return Outcome(result={"parked": parked if noted["live_oid"] is not None else None}, record=record)


def swap_back(run: StepRun, live: Dsn) -> None:
    """Give the name back to the database that had it."""
    noted = run.data("swap")
    if "incoming_oid" not in noted:
        return
    target, side = live.dbname, str(run.data("create")["side"])
    with source.taken_over(live, run.name) as session:
        if noted["live_oid"] is None:
            if databases.oid_of(session, target) == noted["incoming_oid"]:
                databases.cut(session, target)
                databases.rename(session, target, side)
            return
        databases.exchange(
            session,
            live_name=target,
            incoming_oid=noted["live_oid"],
            parked_name=side,
            properties=None,
            check=run.check,
        )
    with run.fenced() as tx:
        tx.parked.dropped(run.job.id)


def refuse_unsettled(run: StepRun, live: Dsn) -> None:
    """Log in to the new database by its name, once, as an application would. Damaged where it is another."""
    with connected(live, application_name=run.name) as session:
        oid = inspection.identity(session).oid
    if oid != run.data("swap")["incoming_oid"]:
        raise Damaged(f"{live.dbname!r} is not the database that was swapped in", code="not_settled")
