"""The steps of every kind of job. Whatever works on a database does it here on the model's server, in the order
and with the notes of the real step; everything else is the real step itself.

A step that the model does not know does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from shared.catalog.catalog import Transaction
from shared.domain.job import JobKind
from shared.domain.manifest import (
    Chunk,
    Manifest,
    Part,
    Properties,
    Setting,
    Source,
    TableCount,
    parse,
    plain,
)
from shared.domain.parts import CopyFormat, PartSpec
from shared.domain.snapshot import SnapshotState
from shared.errors import Damaged, NotFound
from shared.operations.databases import side
from shared.operations.jobs import hands
from shared.operations.jobs.hands import PartRun
from shared.operations.jobs.saga import Outcome, StartOver, StepActions, StepRun
from shared.operations.proofs import proving, verify
from shared.operations.proofs.proof import Comparison
from shared.operations.restores import restore, undo
from shared.operations.snapshots import safeguard, sealing
from shared.operations.snapshots.chunking import ChunkStore, ChunkWriter
from shared.operations.snapshots.taking import Taking
from shared.operations.upkeep import prune
from shared.postgres import databases
from tests.model.server import LIVE, Content, Server

SCHEMA = "public"
SOURCE = Source(
    system_identifier="1",
    dbname=LIVE,
    server_version="18.0",
    server_version_num=180000,
    tool_version="18.0",
    encoding="UTF8",
    locale_provider="c",
    collate="C",
    ctype="C",
    locale=None,
    collation_version=None,
)


class ModelSteps(dict[tuple[JobKind, str], StepActions]):
    def __missing__(self, key: tuple[JobKind, str]) -> StepActions:
        return StepActions(do=lambda _run: Outcome())


class Acts:
    """On one server. `taken` is what each snapshot's copy has seen."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.taken: dict[str, Content] = {}
        build_up = {
            "create": StepActions(do=proving.refuting(self.create), undo=self.undo_create),
            "load": StepActions(do=proving.refuting(self.load)),
            "build": StepActions(do=self.build),
            "prove": StepActions(do=self.prove),
        }
        self.steps = ModelSteps(
            {
                (JobKind.SNAPSHOT, "copy"): StepActions(do=self.copy, undo=self.undo_copy),
                (JobKind.SNAPSHOT, "seal"): StepActions(do=sealing.seal, undo=sealing.undo),
                (JobKind.VERIFY, "plan"): StepActions(do=self.plan),
                (JobKind.VERIFY, "drop"): StepActions(do=self.drop),
                (JobKind.RESTORE, "plan"): StepActions(do=self.plan),
                (JobKind.RESTORE, safeguard.STEP): StepActions(do=self.safeguard, undo=self.undo_safeguard),
                (JobKind.RESTORE, "swap"): StepActions(do=self.swap, undo=self.swap_back),
                (JobKind.RESTORE, "settle"): StepActions(do=self.settle),
                (JobKind.UNDO, "swap"): StepActions(do=self.undo_swap, undo=self.redo_swap),
                (JobKind.UNDO, "settle"): StepActions(do=self.settle),
            }
            | {
                (kind, name): act
                for kind in (JobKind.VERIFY, JobKind.RESTORE)
                for name, act in build_up.items()
            }
            | prune.STEPS
        )

    # Taking

    def copy(self, run: StepRun) -> Outcome:
        self.take(run, Taking.asked_for(run.job))
        return Outcome()

    def take(self, run: StepRun, taking: Taking) -> None:
        seen = self.server.content_of(LIVE)
        if seen is None:
            raise NotFound("the live database is absent", code="database_missing")
        specs = [
            PartSpec(
                number=number,
                schema=SCHEMA,
                table=table,
                columns=("n",),
                format=CopyFormat.TEXT,
                first_page=0,
                end_page=None,
            )
            for number, table in enumerate(sorted(seen.rows), start=1)
        ]
        with run.fleet.catalog.transaction() as tx:
            if tx.snapshots.get(taking.snapshot_id) is None:
                tx.snapshots.begin(
                    taking.snapshot_id,
                    database=run.job.database,
                    job_id=run.job.id,
                    reason=taking.reason,
                    labels=taking.labels,
                )
            parts = [(spec.number, plain(spec, PartSpec), 1) for spec in specs]
            tx.parts.plan(run.job.id, epoch=run.job.epoch, parts=parts)
        self.taken[taking.snapshot_id] = seen
        store = self.store(run, run.check)
        writer = ChunkWriter(store.store)
        writer.write(json.dumps({"tables": sorted(seen.rows)}).encode())
        archive = writer.close()
        hands.lead(run, self.copy_work(run, seen))
        properties = Properties(
            owner="owner",
            comment=None,
            connection_limit=-1,
            grants=None,
            settings=(Setting(role=None, name="model.setting", value=seen.setting),),
        )
        run.record(
            taken_at=datetime.now(UTC).isoformat(),
            source=plain(SOURCE, Source),
            properties=plain(properties, Properties),
            roles=[],
            extensions=[],
            sequences=[],
            archive=[plain(chunk, Chunk) for chunk in archive],
            archive_new_bytes=store.new_bytes,
            counts=[
                plain(TableCount(schema=SCHEMA, name=table, row_count=0), TableCount) for table in seen.rows
            ],
            seconds=0.0,
        )

    def store(self, run: StepRun, check: Callable[[], None]) -> ChunkStore:
        return ChunkStore(run.fleet, database=run.job.database, level=1, check=check)

    def copy_work(self, run: StepRun, seen: Content) -> hands.Work:
        def work(part: PartRun) -> Mapping[str, Any]:
            rows = seen.rows[parse(part.taken.spec, PartSpec).table]
            store = self.store(run, part.check)
            writer = ChunkWriter(store.store)
            writer.write("".join(f"{n}\n" for n in rows).encode())
            chunks = [plain(chunk, Chunk) for chunk in writer.close()]
            return {"row_count": len(rows), "new_bytes": store.new_bytes, "chunks": chunks}

        return work

    def undo_copy(self, run: StepRun) -> None:
        self.give_up(run, Taking.asked_for(run.job))

    def give_up(self, run: StepRun, taking: Taking) -> None:
        with run.fleet.catalog.transaction() as tx:
            tx.snapshots.fail(taking.snapshot_id, error=run.job.error)
            tx.parts.clear(run.job.id)

    def safeguard(self, run: StepRun) -> Outcome:
        if not safeguard.is_wanted(run.job.request):
            return Outcome()
        taking = safeguard.taking_of(run)
        if run.data(safeguard.STEP).get("seconds") is None:
            self.take(run, taking)
        try:
            sealed = sealing.close(run, taking)
        except sealing.ChunksLost:
            run.record(seconds=None)
            sealing.take_back(run, taking)
            self.take(run, taking)
            sealed = sealing.close(run, taking)

        def record(tx: Transaction) -> None:
            sealed.record(tx)
            tx.snapshots.hold(taking.snapshot_id, job_id=run.job.id)

        return Outcome(record=record)

    def undo_safeguard(self, run: StepRun) -> None:
        if not safeguard.is_wanted(run.job.request):
            return
        with run.fleet.catalog.transaction() as tx:
            found = tx.snapshots.get(safeguard.id_in(run.job))
        if found is None or found.state is SnapshotState.SEALED:
            return
        taking = safeguard.taking_of(run)
        sealing.take_back(run, taking)
        self.give_up(run, taking)

    # Building one up beside

    def plan(self, run: StepRun) -> Outcome:
        with run.fleet.catalog.transaction() as tx:
            if not tx.snapshots.hold(run.job.request["snapshot_id"], job_id=run.job.id):
                raise restore.snapshot_gone(run.job)
        if run.job.kind is JobKind.RESTORE:
            restore.refuse_damaged(run)
        return Outcome()

    def manifest(self, run: StepRun) -> Manifest:
        return side.manifest_of(run.fleet, run.job.request["snapshot_id"])

    def create(self, run: StepRun) -> Outcome:
        manifest = self.manifest(run)
        name = databases.side_name(run.job.id, run.job.epoch)
        run.record(side=name)
        self.drop_sides(run)
        pieces = [
            piece
            for chunk in manifest.archive
            for piece in run.fleet.repository.read_chunk(run.job.database, chunk)
        ]
        tables = json.loads(b"".join(pieces))["tables"]
        self.server.create(name, Content(rows=dict.fromkeys(tables, ())))
        with run.fleet.catalog.transaction() as tx:
            parts = [(part.spec.number, plain(part, Part), 1) for part in manifest.parts]
            tx.parts.plan(run.job.id, epoch=run.job.epoch, parts=parts)
        return Outcome()

    def drop_sides(self, run: StepRun) -> None:
        name = databases.side_name(run.job.id, 0)
        for leftover in self.server.names(name.removesuffix("0")):
            run.check()
            self.server.drop(leftover)

    def undo_create(self, run: StepRun) -> None:
        self.drop_sides(run)
        with run.fleet.catalog.transaction() as tx:
            tx.parts.clear(run.job.id)

    def side(self, run: StepRun) -> str:
        return str(run.data("create")["side"])

    def load(self, run: StepRun) -> Outcome:
        name = self.side(run)
        with run.fleet.catalog.transaction() as tx:
            tx.parts.adopt(run.job.id, epoch=run.job.epoch)

        def work(part: PartRun) -> Mapping[str, Any]:
            spec = parse(part.taken.spec, Part)
            read = run.fleet.repository.read_chunk
            body = b"".join(piece for chunk in spec.chunks for piece in read(run.job.database, chunk))
            rows = tuple(int(line) for line in body.split())
            self.server.load(name, number=spec.spec.number, table=spec.spec.table, rows=rows)
            return {"loaded": True}

        hands.lead(run, work)
        return Outcome()

    def build(self, run: StepRun) -> Outcome:
        if run.resumed:
            raise StartOver("create")
        return Outcome()

    def prove(self, run: StepRun) -> Outcome:
        manifest = self.manifest(run)
        rows = (self.server.content_of(self.side(run)) or Content()).rows
        recorded = {count.name: count.row_count for count in manifest.tables}
        wrong = tuple(
            f"{table} has {len(rows.get(table, ()))} rows instead of {recorded.get(table)}"
            for table in sorted(recorded.keys() | rows.keys())
            if len(rows.get(table, ())) != recorded.get(table)
        )
        found = Comparison(differences=wrong, notes=(), compared={"tables": len(rows)})
        if wrong:
            proving.refute(run, found, seconds=0.0)
            raise Damaged(f"what was restored is not the snapshot: {wrong[0]}", code="not_proven")
        return Outcome(record=lambda tx: proving.keep(tx, run, found, seconds=0.0))

    def drop(self, run: StepRun) -> Outcome:
        self.undo_create(run)

        def record(tx: Transaction) -> None:
            after = str(run.job.request["snapshot_id"])
            prune_job_id = run.job.request.get("prune_job_id")
            if prune_job_id is not None:
                tx.jobs.submit(verify.prune(run, str(prune_job_id), after=after))

        return Outcome(record=record)

    # Swapping

    def swap(self, run: StepRun) -> Outcome:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            noted = {
                "incoming_oid": self.server.oid_of(self.side(run)),
                "live_oid": self.server.oid_of(LIVE),
            }
            run.record(**noted)
        if noted["incoming_oid"] is None:
            raise NotFound("the side database is gone", code="database_missing")
        [setting] = self.manifest(run).properties.settings
        parked = databases.parked_name(run.job.id)
        run.check()
        self.server.exchange(incoming_oid=noted["incoming_oid"], parked_name=parked, setting=setting.value)

        def record(tx: Transaction) -> None:
            tx.parked.park(
                job_id=run.job.id,
                database=run.job.database,
                parked_name=parked,
                live_name=LIVE,
                parked_oid=noted["live_oid"],
                window=run.database.undo_window,
            )
            if safeguard.is_wanted(run.job.request):
                tx.snapshots.keep(safeguard.id_in(run.job), window=run.database.undo_window)

        return Outcome(record=record)

    def swap_back(self, run: StepRun) -> None:
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            return
        self.server.exchange(incoming_oid=noted["live_oid"], parked_name=self.side(run), setting=None)
        with run.fleet.catalog.transaction() as tx:
            tx.parked.dropped(run.job.id)

    def settle(self, run: StepRun) -> Outcome:
        if self.server.oid_of(LIVE) != run.data("swap")["incoming_oid"]:
            raise Damaged("the live database is another one", code="not_settled")
        return Outcome(record=lambda tx: tx.parts.clear(run.job.id))

    def undo_swap(self, run: StepRun) -> Outcome:
        parked = undo.parked_by(run)
        noted = run.data("swap")
        if "incoming_oid" not in noted:
            noted = {"incoming_oid": parked.parked_oid, "live_oid": self.server.oid_of(LIVE)}
            run.record(**noted)
        self.exchange_parked(parked.parked_name, incoming_oid=noted["incoming_oid"])
        return Outcome(record=lambda tx: undo.park(tx, run, parked, oid=noted["live_oid"]))

    def redo_swap(self, run: StepRun) -> None:
        noted = run.data("swap")
        if noted.get("live_oid") is None:
            return
        parked = undo.parked_by(run)
        self.exchange_parked(parked.parked_name, incoming_oid=noted["live_oid"])
        with run.fenced() as tx:
            if self.server.oid_of(parked.parked_name) is None:  # that it was gone is what the undo failed of
                tx.parked.dropped(parked.job_id)
            else:
                undo.park(tx, run, parked, oid=noted["incoming_oid"])

    def exchange_parked(self, parked_name: str, *, incoming_oid: int) -> None:
        spare = f"{parked_name}_back"
        self.server.exchange(incoming_oid=incoming_oid, parked_name=spare, setting=None)
        self.server.rename(spare, parked_name)
