"""What a process of the fleet works with: composed once in an entry point, passed down from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from shared.broker.doorbell import Doorbell
from shared.catalog.catalog import Catalog
from shared.domain.database import Database
from shared.domain.meters import NO_METERS, Meters
from shared.errors import Misconfigured, NotFound, Refused
from shared.locks.base import Locks
from shared.postgres.dsn import Dsn
from shared.storage.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    catalog: Catalog
    repository: Repository
    locks: Locks
    doorbell: Doorbell
    databases: Mapping[str, Database]
    bin_dir: Path | None
    """Where client tools are looked for first."""
    lease: timedelta
    restore_as_superuser: bool
    owner: str
    """This process, for people: `host:pid`."""
    targets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """URLs of other servers to restore into, by the names of the environment variables that hold them."""
    allow_old_tools: bool = False
    """Whether snapshots are taken with a pg_dump that a hostile server could run code in."""
    lock_wait: timedelta = timedelta(seconds=30)
    """How long a copy waits for a table that somebody else has locked."""
    meters: Meters = NO_METERS
    """Who counts what this process does."""

    def database(self, name: str | None) -> Database:
        """A configured database; the only one, if none is named. NotFound names those there are."""
        known = ", ".join(sorted(self.databases)) or "none"
        if name is None:
            if len(self.databases) == 1:
                return next(iter(self.databases.values()))
            raise Refused(
                "more than one database is configured: name one",
                code="database_not_named",
                hint=f"configured are: {known}",
            )
        try:
            return self.databases[name]
        except KeyError:
            raise NotFound(
                f"no database {name!r} is configured",
                code="database_unknown",
                hint=f"configured are: {known}",
            ) from None

    def dsn(self, name: str) -> Dsn:
        return Dsn.parse(self.database(name).url)

    def verify_dsn(self, name: str) -> Dsn:
        """The server, and the role on it, that scratch databases of this database are made with."""
        database = self.database(name)
        return Dsn.parse(database.verify_url or database.url)

    def target_dsn(self, variable: str) -> Dsn:
        """Another server to restore into. A URL never travels: each process looks it up for itself.

        Misconfigured where this one's environment does not hold it.
        """
        try:
            return Dsn.parse(self.targets[variable])
        except KeyError:
            known = ", ".join(sorted(self.targets)) or "none"
            raise Misconfigured(
                f"{variable} is not set in the environment of {self.owner}, or is no name for a target's URL",
                code="target_unknown",
                hint="set SNAPFLEET_TARGET_<NAME>_URL here and for every worker, and start them anew;"
                f" set here: {known}",
            ) from None
