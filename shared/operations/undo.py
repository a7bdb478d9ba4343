"""Take a finished restore back: the parked database gets its name again, in seconds.

What was restored is parked in its place, so that an undo can be undone inside the same window.
"""

from __future__ import annotations

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.catalog.parked import Parked
from shared.domain.job import JobKind
from shared.errors import Damaged, Refused
from shared.operations import source
from shared.operations.saga import Outcome, StepActions, StepRun
from shared.postgres import databases, inspection
from shared.postgres.session import Session, connected


def parked_by(run: StepRun) -> Parked:
    with run.fleet.catalog.transaction() as tx:
        parked = tx.parked.get(str(run.job.request["restore_job"]))
    if parked is None or parked.dropped_at is not None:
        raise Refused(
            "nothing is parked by that restore: its undo window has passed, or it swapped nothing",
            code="nothing_to_undo",
            hint="restore a snapshot instead: `snapfleet snapshot list`",
        )
    return parked


def swap(run: StepRun) -> Outcome:
    """Exchange the live database and the parked one."""
    parked = parked_by(run)
    with source.taken_over(run.fleet.dsn(run.job.database), run.name) as session:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            noted = {
                "incoming_oid": parked.parked_oid,
                "live_oid": databases.oid_of(session, parked.live_name),
            }
            run.record(**noted)
        databases.exchange(
            session,
            live_name=parked.live_name,
            incoming_oid=noted["incoming_oid"],
            # Both names are taken until the exchange commits: so it needs a third.
            parked_name=spare_name(parked),
            properties=None,
            check=run.check,
        )
        failpoints.reach("undo.exchanged")
        tidy_name(session, parked)

    def record(tx: Transaction) -> None:
        if noted["live_oid"] is None:
            tx.parked.dropped(parked.job_id)
        else:
            park(tx, run, parked, oid=noted["live_oid"])

    return Outcome(result={"parked": parked.parked_name}, record=record)


def park(tx: Transaction, run: StepRun, parked: Parked, *, oid: int) -> None:
    """Note which of the two databases lies parked now."""
    tx.parked.park(
        job_id=parked.job_id,
        database=run.job.database,
        parked_name=parked.parked_name,
        live_name=parked.live_name,
        parked_oid=oid,
        window=run.database.undo_window,
    )


def spare_name(parked: Parked) -> str:
    return f"{parked.parked_name}_back"


def tidy_name(session: Session, parked: Parked) -> None:
    """What is parked now gets the one name that parked databases of this restore have."""
    if databases.oid_of(session, spare_name(parked)) is not None:
        databases.rename(session, spare_name(parked), parked.parked_name)


def undo_swap(run: StepRun) -> None:
    noted = run.data("swap")
    if noted.get("live_oid") is None:
        return
    parked = parked_by(run)
    with source.taken_over(run.fleet.dsn(run.job.database), run.name) as session:
        databases.exchange(
            session,
            live_name=parked.live_name,
            incoming_oid=noted["live_oid"],
            parked_name=spare_name(parked),
            properties=None,
            check=run.check,
        )
        tidy_name(session, parked)
    with run.fenced() as tx:
        park(tx, run, parked, oid=noted["incoming_oid"])


def settle(run: StepRun) -> Outcome:
    with run.fleet.catalog.transaction() as tx:
        parked = tx.parked.get(str(run.job.request["restore_job"]))
    if parked is None:
        raise Refused("nothing was parked by that restore", code="nothing_to_undo")
    dsn = run.fleet.dsn(run.job.database).for_database(parked.live_name)
    with connected(dsn, application_name=run.name) as session:
        oid = inspection.identity(session).oid
    if oid != run.data("swap")["incoming_oid"]:
        raise Damaged(f"{parked.live_name!r} is not the database that was brought back", code="not_settled")
    return Outcome()


STEPS = {
    (JobKind.UNDO, "swap"): StepActions(do=swap, undo=undo_swap),
    (JobKind.UNDO, "settle"): StepActions(do=settle),
}
