"""Tokens: a name, what it may do, and the hash of its secret."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, RowMapping, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from shared.catalog.ledgers import TokenRow
from shared.catalog.mapping import table
from shared.domain.access import Role
from shared.domain.tokens import Token

TOKEN = table(TokenRow)


class Tokens:
    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def add(self, token: Token) -> bool:
        """False where its name is taken: by another one, revoked or not."""
        row = upsert(TOKEN).values(
            name=token.name,
            role=token.role,
            databases=None if token.databases is None else list(token.databases),
            sha256=token.sha256,
            created_at=token.created_at,
            expires_at=token.expires_at,
        )
        once = row.on_conflict_do_nothing(index_elements=[TOKEN.c.name]).returning(TOKEN.c.name)
        return self._db.execute(once).scalar_one_or_none() is not None

    def by_digest(self, sha256: str) -> Token | None:
        row = self._db.execute(select(TOKEN).where(TOKEN.c.sha256 == sha256)).mappings().one_or_none()
        return to_token(row) if row else None

    def get(self, name: str) -> Token | None:
        row = self._db.execute(select(TOKEN).where(TOKEN.c.name == name)).mappings().one_or_none()
        return to_token(row) if row else None

    def listing(self) -> Sequence[Token]:
        """All there ever were, by their names."""
        return [to_token(row) for row in self._db.execute(select(TOKEN).order_by(TOKEN.c.name)).mappings()]

    def revoke(self, name: str, *, at: datetime) -> bool:
        """False where there is no such token that is not revoked yet."""
        change = update(TOKEN).where(TOKEN.c.name == name, TOKEN.c.revoked_at.is_(None))
        return self._db.execute(change.values(revoked_at=at)).rowcount == 1

    def used(self, name: str, *, at: datetime) -> None:
        self._db.execute(update(TOKEN).where(TOKEN.c.name == name).values(last_used_at=at))


def to_token(row: RowMapping) -> Token:
    databases = row["databases"]
    values = dict(row) | {
        "role": Role(row["role"]),
        "databases": None if databases is None else tuple(databases),
    }
    return Token(**values)
