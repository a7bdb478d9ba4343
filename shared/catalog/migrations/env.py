"""Alembic's entry: runs on the connection that `shared.catalog.migration` hands over."""

from __future__ import annotations

from alembic import context

from shared.catalog import ledgers, models  # noqa: F401 - to be declared
from shared.catalog.mapping import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
