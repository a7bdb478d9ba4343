"""What the catalog's server is like, and whether it lets us do what the fleet does with its tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.catalog.catalog import Catalog, translated
from shared.catalog.statements import statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`closed` names the tables that its user may not work with."""

    server_version: int
    size_bytes: int
    connections: int
    most_connections: int
    is_superuser: bool
    is_standby: bool
    closed: Sequence[str]


def read(catalog: Catalog) -> Facts:
    with translated(), catalog.engine.connect() as connection:
        row = connection.execute(statement("facts")).mappings().one()
        return Facts(**row)
