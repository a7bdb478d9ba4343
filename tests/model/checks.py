"""What must be true of the world after each rule: the invariants, as far as the model has them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from shared.domain import retention
from shared.domain.job import LANES, Job, JobKind, JobState
from shared.domain.manifest import Chunk
from shared.domain.proof import VerifyPolicy
from shared.domain.retention import FLOOR
from shared.domain.snapshot import MOVES, Reason, Snapshot, SnapshotState
from shared.operations.jobs.saga import lock_name
from shared.postgres import databases
from shared.storage.repository import chunk_key, manifest_key
from tests.model.server import LIVE, Content
from tests.model.world import World

BUILT = (JobKind.RESTORE, JobKind.VERIFY)
SWAPS = (JobKind.RESTORE, JobKind.UNDO)
A_MONTH = timedelta(days=30)
A_MINUTE = timedelta(minutes=1)
"""Clocks were read at different moments of one rule."""


def is_sealed(snapshot: Snapshot) -> bool:
    return snapshot.state is SnapshotState.SEALED


class Checks:
    """`live_content` is what the application has written, for the database that it was written to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen = world.look()
        self.live_oid = 1
        self.live_content = world.server.databases[1].content
        self.brought: dict[int, Content] = {}
        """What each database had when it became the live one: what is written to it later is the application's."""
        self.parked: dict[int, Content] = {}
        self._looked_at = self._began = -1
        self._excused: dict[str, set[str]] = {}
        self.would_go: frozenset[str] = frozenset()
        """Sealed snapshots that retention would let go if nobody did anything for a month."""
        self._pinned: set[str] = set()
        self._wanted: dict[str, str] = {}
        """By the id of the job that was promised it."""

    def look_again(self) -> None:
        """Costly, and in vain where no transaction was begun and nothing was stored since."""
        oid_before = self.live_oid
        self.the_live_name_is_whole()
        if self.world.catalog.begun != self._began:
            self._began = self.world.catalog.begun
            self.look_at_the_catalog(oid_before)
        if self.world.storage.version != self._looked_at:
            self._looked_at = self.world.storage.version
            self.what_is_stored_is_known()
            for snapshot in self.seen.snapshots.values():
                if snapshot.state is SnapshotState.SEALED:
                    self.a_sealed_snapshot_is_whole(snapshot)

    def look_at_the_catalog(self, oid_before: int) -> None:
        before, self.seen = self.seen, self.world.look()
        self.jobs_keep_their_rules()
        for job in self.seen.jobs.values():
            if job.id in before.jobs:
                was = before.jobs[job.id]
                assert not was.state.is_final or was == job, "what has ended has changed"
                if job.state.is_final and not was.state.is_final:
                    self.a_job_has_ended(job, oid_before)
        for snapshot in self.seen.snapshots.values():
            if snapshot.id in before.snapshots:
                was_state = before.snapshots[snapshot.id].state
                assert snapshot.state is was_state or self.leads(was_state, snapshot.state)
        former = before.snapshots.values()
        gone = [s for s in former if is_sealed(s) and not is_sealed(self.seen.snapshots[s.id])]
        self.spares(former, gone, held=before.held, at=self.seen.at)
        self.what_was_promised_is_there()
        self.retention_would_spare()

    def what_was_promised_is_there(self) -> None:
        """Whatever was decided before the promise was given."""
        unfinished = {job_id for job_id, job in self.seen.jobs.items() if not job.state.is_final}
        for snapshot_id in self._pinned | {s for job, s in self._wanted.items() if job in unfinished}:
            assert is_sealed(self.seen.snapshots[snapshot_id]), "it was promised to stay"

    def retention_would_spare(self) -> None:
        """The same of what would go if nobody did anything for a month: what it takes to see that may be rare."""
        later = self.seen.at + A_MONTH
        database = self.world.database
        plan = retention.plan(
            self.seen.snapshots.values(),
            database.policy,
            held=self.seen.held,
            now=later,
            proven_only=database.verify is not VerifyPolicy.NEVER,
        )
        snapshots = self.seen.snapshots
        gone = [snapshots[id_] for id_ in plan.remove if is_sealed(snapshots[id_])]
        self.would_go = frozenset(snapshot.id for snapshot in gone)
        self.spares(snapshots.values(), gone, held=self.seen.held, at=later)

    def promise(self, snapshot_id: str, *, pinned: bool) -> None:
        if pinned:
            self._pinned.add(snapshot_id)
        else:
            self._pinned.discard(snapshot_id)

    def accepted(self, job_id: str, request: Mapping[str, object]) -> None:
        """What a job asks for is held from now on; unless that was gone before."""
        wanted = request.get("snapshot_id")
        found = None if wanted is None else self.world.reader.snapshots.get(str(wanted))
        if found is not None and is_sealed(found):
            self._wanted[job_id] = found.id

    def leased(self, job: Job) -> Job | None:
        """The job's row, where somebody is at work on it: nobody else may be then."""
        seen = self.seen.jobs.get(job.id)
        if seen is None or seen.lease_until is None:
            return None
        return self.world.reader.jobs.get(job.id)

    def is_as_it_was(self, leased: Job) -> None:
        assert leased.lease_until is None or self.world.reader.jobs.get(leased.id) == leased, "two at one job"

    @staticmethod
    def leads(before: SnapshotState, after: SnapshotState) -> bool:
        """Whether a snapshot's life leads from one state to another, in however many moves."""
        return any(to is after or Checks.leads(to, after) for to in MOVES.get(before, frozenset()))

    def the_live_name_is_whole(self) -> None:
        """It means the old content or a snapshot's, never a mix, and is never absent."""
        names = Counter(self.world.server.names())
        assert max(names.values()) == 1
        oid = self.world.server.oid_of(LIVE)
        assert oid is not None
        content = self.world.server.databases[oid].content
        if oid != self.live_oid:
            self.parked[self.live_oid] = self.live_content
            if oid in self.parked:
                assert content == self.parked[oid], "it was parked otherwise"
            else:
                assert content in self.world.acts.taken.values(), "no snapshot has seen that"
            self.live_oid, self.live_content = oid, content
            self.brought[oid] = content
        assert content == self.live_content

    def jobs_keep_their_rules(self) -> None:
        live = Counter(
            LANES[job.kind]
            for job in self.seen.jobs.values()
            if job.state in {JobState.ACTIVE, JobState.ROLLING_BACK}
        )
        assert all(count == 1 for count in live.values()), "two at a time"

    def a_job_has_ended(self, job: Job, oid_before: int) -> None:
        if job.kind in BUILT:
            assert not self.sides(job), "a side database is left"
        if job.kind not in SWAPS:
            return
        noted = self.world.noted(job, "swap")
        if job.state is JobState.SUCCEEDED:
            assert self.live_oid == noted["incoming_oid"]
            if job.kind is JobKind.RESTORE:
                assert self.brought[self.live_oid] == self.world.acts.taken[str(job.request["snapshot_id"])]
        else:
            assert self.live_oid == noted.get("live_oid", oid_before)

    def sides(self, job: Job) -> list[str]:
        return self.world.server.names(databases.side_name(job.id, 0).removesuffix("0"))

    def spares(
        self, was: Iterable[Snapshot], gone: Sequence[Snapshot], *, held: frozenset[str], at: datetime
    ) -> None:
        """Of what was there nothing is gone that retention has to keep."""
        if not gone:
            return
        sealed = sorted((s for s in was if is_sealed(s)), key=lambda s: -s.sequence)
        verified = [s for s in sealed if s.is_verified and not s.is_suspect]
        assert not any(s in gone for s in verified[:1]), "the newest verified one is gone"
        newest = next((s for s in sealed if s.reason is not Reason.SAFEGUARD), None)
        assert newest is None or not newest.is_suspect, "the newest one is suspect"
        proven_only = self.world.database.verify is not VerifyPolicy.NEVER
        counting = [
            s
            for s in sealed
            if s.reason is not Reason.SAFEGUARD
            and not s.is_suspect
            and s.refuted_at is None
            and (s.is_verified or not proven_only)
        ]
        for snapshot in gone:
            assert not snapshot.pinned, "it was pinned"
            assert snapshot.id not in held, "a job holds it"
            assert snapshot.sealed_at is not None
            assert at - snapshot.sealed_at > FLOOR - A_MINUTE, "it was young"
            assert snapshot.kept_until is None or snapshot.kept_until < at + A_MINUTE, "its time is not over"
        if any(s in gone for s in counting):
            left = [s for s in counting if s not in gone]
            assert len(left) >= self.world.database.policy.last, "fewer than the policy keeps"

    def what_is_stored_is_known(self) -> None:
        known = self.world.chunks()
        for key in self.world.storage.keys(f"{self.world.name}/"):
            _, kind, name, *_ = key.split("/")
            if kind == "chunks":
                assert key.rpartition("/")[2] in known, "a chunk without a row"
            elif key.endswith("manifest.json"):
                snapshot = self.seen.snapshots[name]
                assert snapshot.state not in {SnapshotState.FAILED, SnapshotState.DELETED}

    def a_sealed_snapshot_is_whole(self, snapshot: Snapshot) -> None:
        """Every object is there as recorded, and is what the copy saw; but for what the test has damaged."""
        if self.is_excused(snapshot, manifest_key(self.world.name, snapshot.id)):
            return
        repository = self.world.fleet.repository
        manifest = repository.get_manifest(self.world.name, snapshot.id, sha256=snapshot.manifest_sha256)
        if any(
            self.is_excused(snapshot, chunk_key(self.world.name, sha256))
            for sha256 in manifest.distinct_chunks
        ):
            return

        def read(chunks: Iterable[Chunk]) -> bytes:
            return b"".join(piece for c in chunks for piece in repository.read_chunk(self.world.name, c))

        tables = json.loads(read(manifest.archive))["tables"]
        rows: dict[str, tuple[int, ...]] = dict.fromkeys(tables, ())
        for part in manifest.parts:
            rows[part.spec.table] = tuple(int(line) for line in read(part.chunks).split())
        [setting] = manifest.properties.settings
        assert Content(rows=rows, setting=setting.value) == self.world.acts.taken[snapshot.id]

    def excuse(self, key: str) -> None:
        """An object is about to be damaged: what is sealed by now could not know, what comes after has to."""
        sealed = (s.id for s in self.seen.snapshots.values() if s.state is SnapshotState.SEALED)
        self._excused.setdefault(key, set()).update(sealed)

    def is_excused(self, snapshot: Snapshot, key: str) -> bool:
        return key in self.world.storage.damaged and snapshot.id in self._excused[key]

    def nothing_is_left(self) -> None:
        """Every job has ended: no side database, no part, no lock; parked is what the catalog says is."""
        assert not any(s.state is SnapshotState.COPYING for s in self.seen.snapshots.values())
        assert not self.world.parts()
        parked = set()
        for job in self.seen.jobs.values():
            assert self.world.fleet.locks.holder(lock_name(job)) is None, "a lock is held"
            found = self.world.reader.parked.get(job.id)
            if found is not None and found.dropped_at is None:
                parked.add(found.parked_name)
                assert self.world.server.oid_of(found.parked_name) == found.parked_oid
        assert set(self.world.server.names()) == parked | {LIVE}
