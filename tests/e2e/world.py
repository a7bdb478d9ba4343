"""The promises, looked up in every place where breaking one would show.

Whatever has been killed, stopped or cut: afterwards all of them hold.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import redis
from sqlalchemy import text

from shared.domain.job import JobState
from shared.domain.snapshot import SnapshotState
from shared.operations.databases import side
from shared.operations.trust import auditing
from tests.e2e.fleet import NAME, RealFleet

LEAVING_SECONDS = 20.0
PROPERTIES = """
select pg_get_userbyid(datdba), datacl::text, shobj_description(oid, 'pg_database'), datconnlimit, datallowconn,
       (select array_agg(setconfig order by setrole)::text from pg_db_role_setting where setdatabase = d.oid)
  from pg_database d where datname = %s
"""
Content = dict[str, tuple[int, int]]


def properties(fleet: RealFleet) -> Any:
    """What belongs to the live name and not to its content."""
    with fleet.admin() as admin:
        return admin.execute(PROPERTIES, [NAME]).fetchone()


def assert_world(fleet: RealFleet, *, content: Iterable[Content], properties_before: Any) -> None:
    """Every promise holds; the live name means exactly one of these contents. Waits for all jobs to end."""
    fleet.at_rest()
    assert_jobs_are_over(fleet)
    assert_snapshots_are_real(fleet)
    assert fleet.content() in list(content)
    assert properties(fleet) == properties_before
    assert_no_secret_was_said(fleet)
    assert_nothing_is_left(fleet)


def assert_jobs_are_over(fleet: RealFleet) -> None:
    """I3, I5, I6: one at a time, all in a final state, each told of once."""
    with fleet.fleet.catalog.engine.connect() as catalog:
        jobs = catalog.execute(
            text(
                "select job.id::text, kind, job.state, min(step.started_at) as began, job.finished_at"
                " from job join job_step step on step.job_id = job.id"
                " group by job.id order by min(step.started_at) nulls last"
            )
        ).all()
        events = catalog.execute(text("select job_id::text, type, sequence from outbox order by id")).all()
    assert [job.state for job in jobs if not JobState(job.state).is_final] == []
    ran = [job for job in jobs if job.began is not None]
    assert all(earlier.finished_at <= later.began for earlier, later in pairwise(ran))
    told = [(event.job_id, event.type) for event in events]
    assert len(told) == len(set(told))
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert {(job.id, f"{job.kind}.{job.state}") for job in jobs} <= set(told)
    assert auditing.examine(fleet.fleet).findings == ()


def assert_snapshots_are_real(fleet: RealFleet) -> None:
    """I1, I2: sealed means that everything is there; and whoever sealed one left one that is newest."""
    with fleet.fleet.catalog.transaction() as tx:
        snapshots = tx.snapshots.listing(with_hidden=True)
        newest = tx.snapshots.newest_sealed(NAME)
    assert not [s.id for s in snapshots if s.state in {SnapshotState.COPYING, SnapshotState.DELETING}]
    sealed = [snapshot for snapshot in snapshots if snapshot.state is SnapshotState.SEALED]
    assert (newest is None) is (not sealed)
    for snapshot in sealed:
        manifest = side.manifest_of(fleet.fleet, snapshot.id)
        chunks = manifest.distinct_chunks.values()
        assert [c for c in chunks if fleet.fleet.repository.check_chunk(NAME, c) is not None] == []
    kept = {f"{NAME}/snapshots/{snapshot.id}/manifest.json" for snapshot in sealed}
    # Not yet of a worker that died: housekeeping writes it.
    standings = {f"{NAME}/snapshots/{snapshot.id}/standing.json" for snapshot in sealed}
    stored = {stat.key for stat in fleet.fleet.repository.storage.list(f"{NAME}/snapshots/")}
    assert stored - standings == kept


def assert_no_secret_was_said(fleet: RealFleet) -> None:
    """I7: neither logged, nor sent, nor written down, nor shown in anybody's arguments."""
    said = {str(log): log.read_bytes() for log in fleet.folder.glob("*.log")}
    with fleet.fleet.catalog.engine.connect() as catalog:
        rows = "select coalesce(string_agg(to_jsonb(job)::text, ' '), '') from job"
        said["job"] = str(catalog.execute(text(rows)).scalar_one()).encode()
    with redis.Redis.from_url(fleet.valkey.url) as client:
        said |= {repr(key): client.dump(key) or b"" for key in client.scan_iter()}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            said[str(process)] = (process / "cmdline").read_bytes()
    secrets = [secret.encode() for secret in fleet.secrets()]
    assert [where for where, words in said.items() if any(secret in words for secret in secrets)] == []


def assert_nothing_is_left(fleet: RealFleet) -> None:
    """I8, within one reconcile period."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while left := leftovers(fleet):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def leftovers(fleet: RealFleet) -> dict[str, Any]:
    """What a job of ours has made and should have taken away, by where it lies."""
    found: dict[str, Any] = {}
    with fleet.admin() as admin:
        found["backends"] = column(
            admin, "select application_name from pg_stat_activity where application_name like 'snapfleet:%'"
        )
        found["advisory locks"] = column(admin, "select objid from pg_locks where locktype = 'advisory'")
        found["databases"] = sorted(
            set(column(admin, r"select datname from pg_database where datname like 'snapfleet\_%'"))
            - set(parked(fleet))
        )
    with fleet.fleet.catalog.engine.connect() as catalog:
        found["parts"] = catalog.execute(text("select count(*) from part")).scalar_one()
    found["lock"] = fleet.fleet.locks.holder(NAME)
    # The pool has folders of its own there, jobs none.
    entries = [path.name for path in (fleet.folder / "tmp").iterdir()]
    found["files"] = [name for name in entries if not name.startswith("pymp-")]
    found["tools"] = tools_running(fleet)
    s3 = fleet.s3_session().client("s3", endpoint_url=fleet.seaweed.endpoint)
    found["uploads"] = s3.list_multipart_uploads(Bucket=fleet.seaweed.bucket).get("Uploads", [])
    return {where: what for where, what in found.items() if what}


def parked(fleet: RealFleet) -> list[str]:
    with fleet.fleet.catalog.engine.connect() as catalog:
        names = catalog.execute(text("select parked_name from parked where dropped_at is null"))
        return [str(name) for name in names.scalars()]


def column(session: psycopg.Connection, query: str) -> list[Any]:
    return [row[0] for row in session.execute(query.encode())]


def tools_running(fleet: RealFleet) -> list[str]:
    """pg_dump and pg_restore that some worker of this fleet has started; other tests have theirs."""
    ours = f"PGPORT={fleet.source.port}\0".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "environ").read_bytes()
            if b"PGAPPNAME=snapfleet:" in words and ours in words:
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
