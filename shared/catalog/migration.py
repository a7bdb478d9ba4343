"""Create or upgrade the catalog, one process at a time."""

from __future__ import annotations

from importlib.resources import as_file, files

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from shared.catalog.catalog import Catalog, translated
from shared.errors import Busy, Misconfigured

# Any constant will do, as long as every release uses the same one.
MIGRATION_LOCK = 5_262_733_601


def migrate(catalog: Catalog) -> tuple[str | None, str]:
    """Bring the catalog to this release's revision; (before, after). Running it twice changes nothing.

    Raises Busy while another process migrates.
    """
    with as_file(files("shared.catalog") / "migrations") as scripts, translated():
        config = Config()
        config.set_main_option("script_location", str(scripts))
        head = ScriptDirectory.from_config(config).get_current_head() or ""
        with catalog.engine.begin() as connection:
            key = {"key": MIGRATION_LOCK}
            if not connection.execute(text("select pg_try_advisory_xact_lock(:key)"), key).scalar_one():
                raise Busy(
                    "another process is migrating the catalog",
                    code="migration_running",
                    hint="wait for it to end, then run `snapfleet migrate` again",
                )
            before = MigrationContext.configure(connection).get_current_revision()
            if before is not None and before not in known_revisions(config):
                raise Misconfigured(
                    f"the catalog is at revision {before}, which this release does not know",
                    code="catalog_newer",
                    hint="upgrade snapfleet: a newer release has migrated this catalog",
                )
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return before, head


def known_revisions(config: Config) -> set[str]:
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
