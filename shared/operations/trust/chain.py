"""Keep the signed list of each database's snapshots: written after one was sealed, and before one is deleted.

Where nothing is signed there is none. Writers take turns, and each asks the catalog only when its turn has come.
"""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from shared.domain import chain
from shared.errors import SnapfleetError
from shared.operations.fleet import Fleet

log = structlog.get_logger(__name__)


def write(fleet: Fleet, database: str) -> None:
    """Make it say what the catalog says. Damaged where somebody else has written there: nothing is covered up."""
    if not fleet.repository.signing.can_sign:
        return
    with fleet.catalog.transaction() as tx:
        tx.standings.take_turn(database)
        former = fleet.repository.get_chain(database)
        snapshots = list(tx.snapshots.undeleted(database))
        # Of the tombstones, of which there are ever more, those that the list still names.
        named = former.hashes.keys() if former is not None else set[str]()
        snapshots += tx.snapshots.among(named - {each.id for each in snapshots})
        renewed = chain.renewed(former, database, snapshots)
        if renewed.snapshots or former is not None:
            fleet.repository.put_chain(renewed)


def keep(fleet: Fleet, databases: Iterable[str]) -> None:
    """The same for several, and never fails: what cannot be written now is written by the next call."""
    for database in databases:
        try:
            write(fleet, database)
        except SnapfleetError as exc:
            log.warning("chain_not_written", database=database, code=exc.code)
