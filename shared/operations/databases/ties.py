"""What of a live database stands against its being replaced: what is tied to it and would not go over, and what
cannot be kept of it.
"""

from __future__ import annotations

from contextlib import suppress

from shared.errors import Refused, SnapfleetError
from shared.postgres import bonds, inspection
from shared.postgres.dsn import Dsn
from shared.postgres.session import Session, connected


def refuse_prepared(session: Session, name: str) -> None:
    """A prepared transaction keeps its database from being renamed."""
    prepared = bonds.of(session, name).prepared
    if prepared:
        raise Refused(
            f"prepared transactions are open in {name!r}: {', '.join(prepared)}",
            code="prepared_transactions",
            hint="end each, logged in to that database: commit prepared '…', or rollback prepared '…'",
        )


def refuse_slots(session: Session, name: str, dsn: Dsn, *, application_name: str) -> None:
    """A logical slot stays with the old database: who reads it would never see the new one's changes."""
    slots = bonds.of(session, name).slots
    if not slots:
        return
    published: tuple[str, ...] = ()
    # A database that nobody can log in to has slots all the same.
    with suppress(SnapfleetError), connected(dsn, application_name=application_name) as live:
        published = bonds.publications(live)
    through = f", read through publications such as {', '.join(published)}" if published else ""
    raise Refused(
        f"logical replication slots are bound to {name!r}: {', '.join(slots)}{through}",
        code="replication_slots",
        hint="stop who reads them and drop each: select pg_drop_replication_slot('…'); make them anew after"
        " the restore, and let their readers begin with a fresh copy",
    )


def refuse_subscriptions(session: Session, name: str) -> None:
    """A subscription stays with the old database, and goes on holding a slot at its publisher."""
    subscriptions = bonds.of(session, name).subscriptions
    if subscriptions:
        raise Refused(
            f"{name!r} subscribes to other databases: {', '.join(subscriptions)}",
            code="subscriptions",
            hint="drop each, logged in to that database: drop subscription …; make them anew after the restore",
        )


NO_SAFEGUARD = "no_safeguard"
"""The code of the error that says that no safety snapshot can be taken: all else of a restore may go well."""


def refuse_unreadable(dsn: Dsn, *, application_name: str) -> None:
    """Of what this role may not read no safety snapshot could be taken: better told now."""
    closed: tuple[str, ...] = ()
    # Where nobody gets in, the safety snapshot says what to do.
    with suppress(SnapfleetError), connected(dsn, application_name=application_name) as live:
        closed = inspection.unreadable(live)
    if closed:
        raise Refused(
            f"no safety snapshot of {dsn.dbname!r} can be taken: this role may not read {inspection.first_of(closed)}",
            code=NO_SAFEGUARD,
            hint="let a superuser grant it (deploy/sql/source.sql), or restore without one: --no-safeguard",
        )
