"""What is tied to a live database and would not go over to the one that replaces it."""

from __future__ import annotations

from contextlib import suppress

from shared.errors import Refused, SnapfleetError
from shared.postgres import bonds
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
