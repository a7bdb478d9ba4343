"""At which revision a catalog is and must be: every process asks when it starts, without the tools that migrate.

Those take 8 MB of each process, and a quarter of a second to import.
"""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import text

from shared.catalog.catalog import MIGRATE_HINT, REBUILD_HINT, Catalog, translated
from shared.errors import Misconfigured

HEAD = max(
    file.name[:4]
    for file in files("shared.catalog").joinpath("migrations", "versions").iterdir()
    if file.name[:4].isdigit()
)
"""This release's: a migration's file begins with its revision."""


def check_migrated(catalog: Catalog) -> None:
    """Misconfigured(`catalog_not_migrated`) unless the catalog is at this release's revision."""
    with translated(), catalog.engine.connect() as connection:
        current = None
        if connection.execute(text("select to_regclass('alembic_version')")).scalar_one() is not None:
            current = connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()
    if current != HEAD:
        raise Misconfigured(
            f"the catalog is at revision {current or 'none'}, and this release needs {HEAD}",
            code="catalog_not_migrated",
            hint=MIGRATE_HINT + ("" if current else f"; {REBUILD_HINT}"),
        )
