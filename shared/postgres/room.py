"""How near a server is to its limits."""

from __future__ import annotations

from dataclasses import dataclass

from shared.postgres import inspection
from shared.postgres.session import Session, statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    connections: int
    most_connections: int
    tables: int
    most_locks: int


def of(session: Session) -> Room:
    return Room(**inspection.row(session, statement("server_room")))
