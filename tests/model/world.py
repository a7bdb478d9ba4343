"""One example's fleet: the real operations and catalog, and around them storage, locks, bell and server in memory."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from shared.broker.doorbell import MemoryDoorbell
from shared.catalog.catalog import Catalog, Transaction
from shared.domain.database import Database
from shared.domain.ids import new_snapshot_id
from shared.domain.job import SAGAS, Job
from shared.domain.proof import VerifyPolicy
from shared.domain.retention import Policy
from shared.domain.schedule import Every
from shared.domain.snapshot import Snapshot
from shared.locks.memory import MemoryLocks
from shared.operations.fleet import Fleet
from shared.storage.repository import Repository
from tests.model.acts import Acts
from tests.model.fuse import Fuse, FusedCatalog, FusedStorage
from tests.model.server import Content, Server

LEASE = timedelta(hours=1)
"""Longer than a rule takes: it ends when the model says so."""

PASS = """
    update snapshot set created_at = created_at - {span}, taken_at = taken_at - {span},
           sealed_at = sealed_at - {span}, failed_at = failed_at - {span}, kept_until = kept_until - {span}
     where database = '{name}';
    update chunk set touched_at = touched_at - {span} where database = '{name}';
    update parked set expires_at = expires_at - {span} where database = '{name}';
    update database set slots_until = slots_until - {span}, created_at = created_at - {span} where name = '{name}';
    update job set not_before = now(), enqueued_at = enqueued_at - interval '2 h'
     where database = '{name}' and finished_at is null and lease_until is null;
    update job set lease_until = now() - interval '1 s'
     where database = '{name}' and finished_at is null and lease_until is not null;
    update part set lease_until = now() - interval '1 s'
     where lease_until is not null and job_id in (select id from job where database = '{name}')"""
GIVE_UP = """
    update job set state = 'failed', lease_until = null, lease_owner = null, finished_at = now()
     where database = '{name}' and finished_at is null"""

HELD_AS = ("snapshot_id", "safeguard_id")
"""Under these names a request tells of a snapshot."""

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The catalog at one moment, as far as this example goes."""

    jobs: Mapping[str, Job]
    snapshots: Mapping[str, Snapshot]
    at: datetime

    @property
    def held(self) -> frozenset[str]:
        """Snapshots that an unfinished job needs: what it restores or proves, and what it takes beside."""
        unfinished = [job.request for job in self.jobs.values() if not job.state.is_final]
        return frozenset(
            str(request[key]) for request in unfinished for key in HELD_AS if request.get(key) is not None
        )


class World:
    def __init__(self, catalog: Catalog, *, content: Content, policy: Policy, verify: VerifyPolicy) -> None:
        self.name = f"model{next(_numbers)}"
        self.fuse = Fuse()
        self.storage = FusedStorage(self.fuse)
        self.server = Server(self.fuse, content)
        self.acts = Acts(self.server)
        self.bell = MemoryDoorbell()
        self.clock = 0.0
        self.catalog = FusedCatalog(catalog, self.fuse)
        self.fleet = Fleet(
            catalog=self.catalog,
            repository=Repository(self.storage),
            locks=MemoryLocks(clock=lambda: self.clock),
            doorbell=self.bell,
            databases={
                self.name: Database(
                    name=self.name,
                    url="postgresql://nobody@127.0.0.1:1/live",
                    schedule=Every(every=timedelta(hours=6), phase=timedelta(0)),
                    policy=policy,
                    part_bytes=8192,
                    compression_level=1,
                    parallelism=1,
                    undo_window=timedelta(hours=24),
                    verify=verify,
                    checked_daily=False,
                )
            },
            bin_dir=None,
            lease=LEASE,
            restore_as_superuser=False,
            owner="model",
        )
        self._connection = catalog.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self.reader = Transaction(self._connection)
        self.reader.schedules.know([self.name])

    @property
    def database(self) -> Database:
        return self.fleet.database(self.name)

    def close(self) -> None:
        self._connection.exec_driver_sql(GIVE_UP.format(name=self.name))
        self._connection.close()

    def look(self) -> Seen:
        jobs = self.reader.jobs.listing(database=self.name, limit=1000)
        snapshots = self.reader.snapshots.listing(database=self.name, with_hidden=True)
        return Seen(
            jobs={job.id: job for job in jobs},
            snapshots={snapshot.id: snapshot for snapshot in snapshots},
            at=datetime.now(UTC),
        )

    def noted(self, job: Job, step: str) -> Mapping[str, object]:
        """What a step of the job has written down."""
        return self.reader.jobs.step(job.id, SAGAS[job.kind].steps.index(step) + 1).data

    def chunks(self) -> frozenset[str]:
        """Every chunk that the catalog knows of, by name."""
        query = text("select sha256 from chunk where database = :name")
        return frozenset(self._connection.execute(query, {"name": self.name}).scalars())

    def parts(self) -> int:
        query = text("select count(*) from part where job_id in (select id from job where database = :name)")
        return int(self._connection.execute(query, {"name": self.name}).scalar_one())

    def time_passes(self, hours: int) -> None:
        """For everything that has a date but the deadlines of jobs; no worker of before lives any more."""
        span = f"interval '{hours} h'"
        self._connection.exec_driver_sql(PASS.format(span=span, name=self.name))
        self.catalog.begun += 1

    def drop_expired(self) -> None:
        """As housekeeping does it."""
        with self.fleet.catalog.transaction() as tx:
            expired = tx.parked.expired()
        for parked in expired:
            if self.server.oid_of(parked.parked_name) == parked.parked_oid:
                self.server.drop(parked.parked_name)
            with self.fleet.catalog.transaction() as tx:
                tx.parked.dropped(parked.job_id)

    def flush(self) -> None:
        """Redis forgets everything."""
        self.bell.rung.clear()
        self.clock += 2 * LEASE.total_seconds()


def new_id() -> str:
    return str(uuid.uuid4())


def new_snapshot() -> str:
    return new_snapshot_id(datetime.now(UTC), uuid.uuid4())
