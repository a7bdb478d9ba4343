"""`snapfleet snapshot …`: take, list, show, verify, delete, pin, unpin, accept."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import deleting, formats, output, proofs, records, verifying, watching
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import AnyDatabase, DatabaseArgument, Json, Key, Limit, SnapshotArgument, Wait
from shared.domain.increments import HowRead
from shared.domain.job import JobKind, NewJob
from shared.domain.proof import VerifyPolicy
from shared.domain.snapshot import Snapshot
from shared.domain.wording import counted
from shared.operations.databases import preview
from shared.operations.fleet import Fleet
from shared.operations.health import reports
from shared.operations.health.reports import SnapshotReport
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted
from shared.operations.snapshots import suspecting

app = typer.Typer(help="Take snapshots, list them, keep them.")

Label = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Say what it is for; may be given several times."),
]


@app.command()
def take(  # noqa: PLR0917 - each is an option of the command
    database: DatabaseArgument = None,
    wait: Wait = False,
    verified: Annotated[
        bool,
        typer.Option("--verified", help="Prove it too, whatever the policy, and wait until that has ended."),
    ] = False,
    label: Label = None,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Take a snapshot of a database."""
    labels = parse_labels(label or ())
    with opened() as fleet:
        name = fleet.database(database).name
        accepted = requests.accepted_before(
            fleet, idempotency_key, kind=JobKind.SNAPSHOT, database=name
        ) or submit(fleet, name, labels, idempotency_key, prove=verified)
        what = f"snapshot {accepted.job.request['snapshot_id']} of {name}"
        if verified:
            report = watching.to_its_end(fleet, accepted.job.id)
            watching.tell(report, on_stdout=not as_json)
            watching.watch(fleet, str(accepted.job.request["verify_job_id"]), as_json=as_json)
        else:
            watching.answer(fleet, accepted, what=what, wait=wait, as_json=as_json)


def submit(
    fleet: Fleet, name: str, labels: dict[str, str], idempotency_key: str | None, *, prove: bool
) -> Accepted:
    preview.check_source(fleet, name)
    request = requests.manual_snapshot_request(
        now=datetime.now(UTC),
        new_uuid=uuid.uuid4,
        labels=labels,
        verify=VerifyPolicy.ALWAYS if prove else None,
    )
    new = NewJob(
        id=str(uuid.uuid4()),
        kind=JobKind.SNAPSHOT,
        database=name,
        request=request,
        idempotency_key=idempotency_key or str(uuid.uuid4()),
    )
    return requests.submit(fleet, new, by=me())


def parse_labels(given: Iterable[str]) -> dict[str, str]:
    """`KEY=VALUE` each, every key once; Usage otherwise."""
    labels: dict[str, str] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise Usage(f"--label {text!r} is not KEY=VALUE", hint="for example --label release=1.4")
        if key in labels:
            raise Usage(f"--label {key} is given twice", hint="give each key one value")
        labels[key] = value
    return labels


@app.command("list")
def list_(database: AnyDatabase = None, limit: Limit = 100, as_json: Json = False) -> None:
    """List the snapshots that exist, the newest first."""
    with opened() as fleet:
        name = database and fleet.database(database).name
        found = output.at_most(limit, reports.snapshots(fleet, name, limit=limit + 1))
        now = reports.now(fleet)
    if as_json:
        output.as_json([records.snapshot(each) for each in found])
    elif not found:
        output.say("no snapshot yet; take one: snapfleet snapshot take")
        output.note(requests.IF_CATALOG_LOST)
    else:
        columns = ("SNAPSHOT", "DATABASE", "STATE", "TAKEN", "VERIFIED", "RAW", "STORED", "NEW", "ROWS", "")
        rows = (row(each, now) for each in found)
        output.table(
            columns, rows, right=("RAW", "STORED", "NEW", "ROWS"), spare=("NEW", "RAW", "ROWS", "VERIFIED")
        )


def row(found: Snapshot, now: datetime) -> tuple[str, ...]:
    remarks = ["pinned"] if found.pinned else []
    remarks += [f"{key}={value}" for key, value in found.labels.items()]
    return (
        found.id,
        found.database,
        found.standing,
        formats.ago(found.taken_at or found.created_at, now),
        formats.ago(found.verified_at, now),
        formats.size(found.raw_bytes),
        formats.size(found.stored_bytes),
        formats.size(found.new_bytes),
        formats.number(found.row_count),
        " ".join(remarks),
    )


@app.command()
def show(snapshot_id: SnapshotArgument, as_json: Json = False) -> None:
    """Show all that is known of a snapshot."""
    with opened() as fleet:
        report = reports.snapshot(fleet, snapshot_id)
    if as_json:
        output.as_json(records.snapshot_report(report))
    else:
        describe(report)


def describe(report: SnapshotReport) -> None:
    found = report.snapshot
    error = found.error or {}
    output.facts(
        {
            "snapshot": found.id,
            "database": found.database,
            "state": found.standing,
            "suspicious": "; ".join(found.suspicions),
            "accepted": formats.moment(found.accepted_at),
            "reason": str(found.reason),
            "pinned": "yes" if found.pinned else "no",
            "labels": ", ".join(f"{key}={value}" for key, value in found.labels.items()),
            "asked for": formats.moment(found.created_at),
            "taken": formats.moment(found.taken_at),
            "sealed": formats.moment(found.sealed_at),
            "verified": formats.moment(found.verified_at),
            "refuted": formats.moment(found.refuted_at),
            "kept until": formats.moment(found.kept_until),
            "failed": formats.moment(found.failed_at),
            "deleted": formats.moment(found.deleted_at),
            "took": formats.seconds(found.duration_seconds),
            "raw": formats.size(found.raw_bytes),
            "stored": formats.size(found.stored_bytes),
            "new": formats.size(found.new_bytes),
            "rows": formats.number(found.row_count),
            **how_read(found.how_read),
            "server": found.server_version and f"PostgreSQL {found.server_version}",
            "pg_dump": found.tool_version,
            "manifest": found.manifest_sha256 and f"sha256 {found.manifest_sha256}",
            "error": error.get("message"),
            "hint": error.get("hint"),
        }
    )
    for proof in report.verifications[:1]:
        output.say()
        output.say(f"{'proven' if proof.matched else 'refuted'} by job {formats.short(proof.job_id)}")
        for line in (*proof.differences, *proofs.facts(proof)):
            output.say(line, indent=2)
    if report.reading is not None:
        output.say()
        output.say(f"read again {formats.moment(report.reading.ended_at)}: {proofs.verdict(report.reading)}")
        for line in report.reading.differences:
            output.say(line, indent=2)
    if report.table_rows:
        output.say()
        rows = sorted(report.table_rows.items(), key=lambda item: (-item[1], item[0]))
        output.table(("TABLE", "ROWS"), ((name, formats.number(n)) for name, n in rows), right=("ROWS",))


def how_read(found: HowRead | None) -> dict[str, str | None]:
    """Of the tables that are copied in parts: what was read of them, and where nothing was taken over, why."""
    if found is None:
        return {}
    shares = {
        f"taken over unread from {found.built_on}": found.unread,
        "read and stored before": found.known,
        "read and stored anew": found.new,
    }
    return {
        "parts": "; ".join(
            f"{counted(share.parts, 'part')} ({formats.size(share.raw_bytes)}) {what}"
            for what, share in shares.items()
            if share.parts
        ),
        "read whole": found.reason,
        "not built on": found.not_base if found.not_base != found.reason else None,
    }


app.command()(verifying.verify)
app.command()(deleting.delete)


@app.command()
def pin(snapshot_id: SnapshotArgument) -> None:
    """Keep a snapshot from retention."""
    set_pinned(snapshot_id, pinned=True)


@app.command()
def unpin(snapshot_id: SnapshotArgument) -> None:
    """Let retention decide about a snapshot again."""
    set_pinned(snapshot_id, pinned=False)


@app.command()
def accept(snapshot_id: SnapshotArgument) -> None:
    """Let a suspect snapshot count: it is right as it is."""
    with opened() as fleet:
        found = suspecting.accept(fleet, requests.find_snapshot(fleet, snapshot_id).id, by=me())
    output.say(f"snapshot {found.id} is accepted, though {'; '.join(found.suspicions)}")


def set_pinned(snapshot_id: str, *, pinned: bool) -> None:
    with opened() as fleet:
        found = requests.pin(fleet, requests.find_snapshot(fleet, snapshot_id).id, pinned=pinned, by=me())
    output.say(f"snapshot {found.id} is {'pinned' if found.pinned else 'not pinned'}")
