"""The eight promises, looked up after every case in every place where breaking one would show."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection, Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from shared.domain.job import LANES, JobKind, JobState, Lane
from shared.domain.manifest import Chunk
from shared.domain.snapshot import SnapshotState
from shared.operations.databases import side
from shared.operations.jobs.saga import lock_of
from shared.operations.trust import auditing
from tests.faults.shop import Content
from tests.faults.world import NAME, World

LEAVING_SECONDS = 15.0
JOBS = """
select job.id::text, kind, job.state, job.deadline_at, job.finished_at,
       (select min(started_at) from job_step where job_id = job.id) as began
  from job order by began nulls last
"""


def assert_world(world: World, *, contents: Collection[Content]) -> None:
    """Every promise holds, and the live name means exactly one of these contents. Waits for jobs to end."""
    world.settle()
    assert_jobs_are_over(world)
    assert_snapshots_are_real(world)
    assert world.shop.content() in contents, "I4: the live name means something else"
    assert world.shop.properties() == world.shop.properties_at_first, "I4: owner, grants, comment, settings"
    assert_nothing_is_left(world)
    assert_no_secret_was_said(world)


def assert_jobs_are_over(world: World) -> None:
    """I3, I5, I6: of each lane one at a time, all in a final state before their deadline, each told of once."""
    with world.fleet.catalog.engine.connect() as connection:
        jobs = connection.execute(text(JOBS)).all()
        told = connection.execute(text("select job_id::text, type, sequence from outbox order by id")).all()
    assert [job.id for job in jobs if not JobState(job.state).is_final] == [], "I5: these did not end"
    assert [job.id for job in jobs if job.finished_at > job.deadline_at] == [], "I5: these ended too late"
    for lane in set(LANES.values()):
        ran = [job for job in jobs if job.began is not None and LANES[JobKind(job.kind)] is lane]
        assert all(a.finished_at <= b.began for a, b in pairwise(ran)), f"I3: two at once in {lane}"
    # What befalls no job, such as a slot that was missed, may well happen again.
    events = [(event.job_id, event.type) for event in told if event.job_id is not None]
    twice = {each for each, count in Counter(events).items() if count > 1}
    assert twice == set(), f"I6: told twice: {twice}"
    assert [event.sequence for event in told] == list(range(1, len(told) + 1)), "I6: events have gaps"
    silent = {(job.id, f"{job.kind}.{job.state}") for job in jobs} - set(events)
    assert silent == set(), "I5: nobody was told"
    found = [finding.what for finding in auditing.examine(world.fleet).findings]
    assert found == [], f"the audit is not whole: {found[:3]}"


def assert_snapshots_are_real(world: World) -> None:
    """I1, I2: what is sealed is there to the last byte, and what retention may not touch is there."""
    with world.fleet.catalog.transaction() as tx:
        snapshots = tx.snapshots.listing(database=NAME, with_hidden=True)
    unfinished = {SnapshotState.COPYING, SnapshotState.DELETING}
    assert [s.id for s in snapshots if s.state in unfinished] == [], "I8: begun and not ended"
    sealed = {s.id for s in snapshots if s.state is SnapshotState.SEALED}
    repository = world.fleet.repository
    chunks: dict[str, Chunk] = {}
    for snapshot_id in sealed:
        manifest = side.manifest_of(world.fleet, snapshot_id)
        if snapshot_id not in world.seen_whole:
            for chunk in manifest.distinct_chunks.values():
                for _ in repository.read_chunk(NAME, chunk):
                    pass
            world.seen_whole.add(snapshot_id)
        chunks |= manifest.distinct_chunks
    wrong = {s: trouble for s, c in chunks.items() if (trouble := repository.check_chunk(NAME, c))}
    assert wrong == {}, "I1: sealed, and not as it was put"
    stored = {stat.key for stat in repository.storage.list(f"{NAME}/snapshots/")}
    kept = {f"{NAME}/snapshots/{snapshot_id}/manifest.json" for snapshot_id in sealed}
    # One may still be missing of a worker that died: housekeeping writes it.
    standings = {f"{NAME}/snapshots/{snapshot_id}/standing.json" for snapshot_id in sealed}
    assert stored - standings == kept, "I1: manifests and rows differ"
    known = {f"{NAME}/chunks/{s[:2]}/{s}" for s in chunk_rows(world)}
    objects = {stat.key for stat in repository.storage.list(f"{NAME}/chunks/")}
    assert objects <= known, "I8: objects that nobody knows of"
    lost = world.must_stay() - sealed
    assert lost == set(), "I2: retention took what it must keep"


def chunk_rows(world: World) -> set[str]:
    with world.fleet.catalog.engine.connect() as connection:
        return {str(found) for found in connection.execute(text("select sha256 from chunk")).scalars()}


def assert_no_secret_was_said(world: World) -> None:
    """I7: neither logged, nor sent, nor written down, nor shown in anybody's arguments."""
    said = {str(log): read_new(world, log) for log in (world.folder / "logs").iterdir()}
    with world.fleet.catalog.engine.connect() as connection:
        for table in ("job", "job_step", "outbox", "snapshot"):
            rows = f"select coalesce(string_agg(to_jsonb({table})::text, ' '), '') from {table}"
            said[table] = str(connection.execute(text(rows)).scalar_one()).encode()
    with redis.Redis.from_url(world.valkey.url) as client:
        said |= {repr(key): client.dump(key) or b"" for key in client.scan_iter()}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            said[str(process)] = (process / "cmdline").read_bytes()
    secrets = [secret.encode() for secret in world.secrets()]
    where = [place for place, words in said.items() if any(secret in words for secret in secrets)]
    assert where == [], "I7: a secret was said"


def read_new(world: World, log: Path) -> bytes:
    """What a log says since it was read last."""
    with log.open("rb") as lines:
        lines.seek(world.read_until.get(log, 0))
        words = lines.read()
        world.read_until[log] = lines.tell()
    return words


def assert_nothing_is_left(world: World) -> None:
    """I8, within a reconcile period."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while left := leftovers(world):
        assert time.monotonic() < deadline, f"I8: left over: {left}"
        time.sleep(0.05)


def leftovers(world: World) -> dict[str, Any]:
    """What a job has made and should have taken away, by where it lies."""
    found: dict[str, Any] = {}
    ours = "select application_name from pg_stat_activity where application_name like 'snapfleet:%'"
    with world.shop.admin() as admin:
        found["backends"] = [row[0] for row in admin.execute(ours.encode())]
        locks = admin.execute("select objid from pg_locks where locktype = 'advisory'")
        found["advisory locks"] = [row[0] for row in locks]
    found["databases"] = sorted(set(world.shop.databases().items()) - {*parked(world), *warm(world)})
    with world.fleet.catalog.engine.connect() as connection:
        found["parts"] = connection.execute(text("select count(*) from part")).scalar_one()
        locks_there = "select count(*) from pg_locks where locktype = 'advisory'"
        found["catalog locks"] = connection.execute(text(locks_there)).scalar_one()
    found["locks"] = [held for lane in Lane if (held := world.fleet.locks.holder(lock_of(NAME, lane)))]
    entries = [path.name for path in (world.folder / "tmp").iterdir()]
    # The pools of real workers have folders of their own there, jobs none.
    found["files"] = [name for name in entries if not name.startswith("pymp-")]
    found["tools"] = tools_running(world)
    uploads = world.s3_client().list_multipart_uploads(Bucket=world.seaweed.bucket)
    found["uploads"] = uploads.get("Uploads", [])
    return {where: what for where, what in found.items() if what}


def parked(world: World) -> Iterable[tuple[str, int]]:
    with world.fleet.catalog.engine.connect() as connection:
        rows = connection.execute(text("select parked_name, parked_oid from parked where dropped_at is null"))
        return [(str(name), int(oid)) for name, oid in rows]


def warm(world: World) -> Iterable[tuple[str, int]]:
    with world.fleet.catalog.transaction() as tx:
        return [(copy.name, copy.oid) for copy in tx.warm.there()]


def tools_running(world: World) -> dict[int, str]:
    """pg_dump and pg_restore on this world's server, by process id."""
    here = f"PGPORT={world.source.port}\0".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "environ").read_bytes()
            if b"PGAPPNAME=snapfleet:" in words and here in words and int(process.name) != os.getpid():
                words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
                found[int(process.name)] = words.decode()
    return found
