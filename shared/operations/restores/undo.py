"""Take a finished restore back: the parked database gets its name again, in seconds.

What was restored is parked in its place, so that an undo can be undone inside the same window.
"""

from __future__ import annotations

from shared import failpoints
from shared.catalog.catalog import Transaction
from shared.catalog.parked import Parked
from shared.domain.job import JobKind
from shared.errors import Refused
from shared.operations.databases import source
from shared.operations.jobs.saga import Outcome, StepActions, StepRun
from shared.operations.restores import swapping
from shared.postgres import databases
from shared.postgres.dsn import Dsn


def kept_by(run: StepRun) -> Parked:
    """What the catalog knows of what that restore has parked, whether it is still there or not."""
    with run.fleet.catalog.transaction() as tx:
        parked = tx.parked.get(str(run.job.request["restore_job"]))
    if parked is None:
        raise gone()
    return parked


def parked_by(run: StepRun) -> Parked:
    """What that restore has parked. Refused where it is not there any more."""
    parked = kept_by(run)
    if parked.dropped_at is not None:
        raise gone()
    return parked


def gone() -> Refused:
    return Refused(
        "nothing is parked by that restore: its undo window has passed, or it swapped nothing",
        code="nothing_to_undo",
        hint="restore a snapshot instead: `snapfleet snapshot list`",
    )


def swap(run: StepRun) -> Outcome:
    """Exchange the live database and the parked one."""
    parked = parked_by(run)
    live = live_dsn(run, parked)
    # Both names are taken until the exchange commits: so it needs a third.
    noted = swapping.exchange(run, live, incoming=lambda _: parked.parked_oid, aside=spare_name(parked))
    failpoints.reach("undo.exchanged")
    tidy_name(run, live, parked)

    def record(tx: Transaction) -> None:
        if noted["live_oid"] is None:
            tx.parked.dropped(parked.job_id)
        else:
            park(tx, run, parked, oid=noted["live_oid"])

    return Outcome(result={"parked": parked.parked_name}, record=record)


def undo_swap(run: StepRun) -> None:
    parked = kept_by(run)
    live = live_dsn(run, parked)
    noted = swapping.exchange_back(run, live, aside=lambda: spare_name(parked))
    if noted is None or noted["incoming_oid"] is None:
        return
    is_there = tidy_name(run, live, parked)
    with run.fenced() as tx:
        if is_there:
            park(tx, run, parked, oid=noted["incoming_oid"])
        else:  # that it was gone may be what the undo failed of
            tx.parked.dropped(parked.job_id)


def settle(run: StepRun) -> Outcome:
    swapping.refuse_unsettled(run, live_dsn(run, kept_by(run)))
    return Outcome()


def live_dsn(run: StepRun, parked: Parked) -> Dsn:
    return run.fleet.dsn(run.job.database).for_database(parked.live_name)


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


def tidy_name(run: StepRun, live: Dsn, parked: Parked) -> bool:
    """What is parked now gets the one name that parked databases of this restore have. Whether anything is."""
    run.check()
    with source.maintenance(live, run.name) as session:
        if databases.oid_of(session, spare_name(parked)) is not None:
            databases.rename(session, spare_name(parked), parked.parked_name)
        return databases.oid_of(session, parked.parked_name) is not None


STEPS = {
    (JobKind.UNDO, "swap"): StepActions(do=swap, undo=undo_swap),
    (JobKind.UNDO, "settle"): StepActions(do=settle),
}
