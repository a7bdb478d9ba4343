"""Databases of which no snapshot is taken until somebody decides: an empty one must never pass for a good one.

Only new snapshots are kept from it. Restores, proofs and pruning go on; pruning counts snapshots, not days.
"""

from __future__ import annotations

from shared.catalog.catalog import Transaction
from shared.domain.access import Actor
from shared.errors import Refused
from shared.operations.fleet import Fleet
from shared.operations.trust import auditing


def block(fleet: Fleet, database: str, *, why: str, by: Actor) -> bool:
    """Take no more snapshots of it. False where it is blocked already; the first reason stays."""
    with fleet.catalog.transaction() as tx:
        tx.schedules.know(fleet.databases)
        if tx.schedules.lock(database).blocked_why is not None:
            return False
        tx.schedules.block(database, why=why)
        tx.outbox.add("database.blocked", database=database, job_id=None, data={"why": why})
        auditing.did(tx, "database.blocked", by=by, database=database, details={"why": why})
        return True


def unblock(fleet: Fleet, database: str, *, by: Actor) -> str | None:
    """Take snapshots again, whatever the reason not to was: that reason, or None where there was none."""
    with fleet.catalog.transaction() as tx:
        tx.schedules.know(fleet.databases)
        why = tx.schedules.lock(database).blocked_why
        if why is not None:
            lift(tx, database, why=why, by=by)
        return why


def lift(tx: Transaction, database: str, *, why: str, by: Actor) -> None:
    """Unblock it if this is the reason; another reason stands."""
    if tx.schedules.lock(database).blocked_why == why:
        tx.schedules.unblock(database)
        tx.outbox.add("database.unblocked", database=database, job_id=None, data={"why": why})
        auditing.did(tx, "database.unblocked", by=by, database=database, details={"why": why})


def why_blocked(fleet: Fleet, database: str) -> str | None:
    with fleet.catalog.transaction() as tx:
        return tx.schedules.blocked(database)


def refuse_blocked(tx: Transaction, database: str) -> None:
    why = tx.schedules.blocked(database)
    if why is not None:
        raise Refused(
            f"no snapshot of {database} is taken: {why}",
            code="database_blocked",
            hint=f"look at the database; when it is as it should be: snapfleet unblock {database}",
        )
