"""`snapfleet restore` and `snapfleet undo`: bring a snapshot back, and take that back."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import formats, output, records, watching
from cli.exits import Usage, status_of
from cli.fleet import opened
from cli.options import DatabaseArgument, Json, Key, Wait, Yes
from shared.catalog.parked import Parked
from shared.domain.job import JobKind, NewJob
from shared.domain.snapshot import Reason, Snapshot
from shared.errors import Refused
from shared.operations import preview, requests
from shared.operations.fleet import Fleet
from shared.operations.preview import RestorePreview


def restore(  # noqa: PLR0917 - each is an option of the command
    database: DatabaseArgument = None,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="ID", help="This one; without it, the newest sealed.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at", metavar="TIME", help="The newest taken at or before this moment: 2026-11-22T19:55:00Z."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="NAME", help="Beside the live database, into a new one of this name."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would happen; change nothing.")] = False,
    yes: Yes = False,
    wait: Wait = False,
    as_superuser: Annotated[
        bool,
        typer.Option(
            "--as-superuser", help="Allow it where the URL logs in as one: the snapshot's code runs as one."
        ),
    ] = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Bring a snapshot back, in place of the live database or beside it.

    The live database is replaced at the very end, by a rename, and stays parked for the undo window.
    """
    if snapshot is not None and at is not None:
        raise Usage("--snapshot and --at both say which snapshot", hint="give one of them")
    moment = None if at is None else parse_moment(at)
    wanted = Wanted(snapshot=snapshot, at=moment, to=to, as_superuser=as_superuser)
    with opened() as fleet:
        name = fleet.database(database).name
        if plan:
            show_plan(look(fleet, name, wanted, job_id=None), as_json=as_json)
            return
        accepted = requests.accepted_before(
            fleet, idempotency_key, kind=JobKind.RESTORE, database=name
        ) or submit(fleet, name, wanted, yes=yes, idempotency_key=idempotency_key)
        request = accepted.job.request
        what = f"snapshot {request['snapshot_id']} into {request['to'] or name}"
        watching.answer(fleet, accepted, what=what, wait=wait, as_json=as_json)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the options of a restore ask for."""

    snapshot: str | None
    at: datetime | None
    to: str | None
    as_superuser: bool


def look(fleet: Fleet, name: str, wanted: Wanted, *, job_id: str | None) -> RestorePreview:
    snapshot_id = None if wanted.snapshot is None else requests.find_snapshot(fleet, wanted.snapshot).id
    chosen = requests.choose_snapshot(fleet, name, snapshot_id=snapshot_id, at=wanted.at)
    if snapshot_id is None:
        note_passed_over(requests.passed_over(fleet, chosen, at=wanted.at))
    return preview.restore_of(
        fleet, name, chosen, to=wanted.to, as_superuser=wanted.as_superuser, job_id=job_id
    )


def note_passed_over(newer: Sequence[Snapshot]) -> None:
    if newer:
        said = ", ".join(f"{each.id} ({remark(each)})" for each in newer)
        output.note(f"newer, and passed over: {said}; name one with --snapshot to restore it all the same")


def remark(snapshot: Snapshot) -> str:
    return "safeguard" if snapshot.reason is Reason.SAFEGUARD else snapshot.standing


def submit(
    fleet: Fleet, name: str, wanted: Wanted, *, yes: bool, idempotency_key: str | None
) -> requests.Accepted:
    """Look, ask, and only then make the request."""
    job_id = str(uuid.uuid4())
    seen = look(fleet, name, wanted, job_id=job_id)
    if seen.obstacles:
        raise seen.obstacles[0]
    if wanted.to is None:
        confirm(name, yes=yes, what=lambda: describe(seen, on_stdout=False))
    new = NewJob(
        id=job_id,
        kind=JobKind.RESTORE,
        database=name,
        request={"snapshot_id": seen.snapshot.id, "to": wanted.to, "as_superuser": wanted.as_superuser},
        idempotency_key=idempotency_key or str(uuid.uuid4()),
    )
    return requests.submit(fleet, new)


def undo(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The restore's id, or the beginning of it.")],
    wait: Wait = False,
    yes: Yes = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Take a finished restore back: the parked database gets its name again."""
    with opened() as fleet:
        done = requests.find_job(fleet, job)
        accepted = requests.accepted_before(fleet, idempotency_key, kind=JobKind.UNDO, database=done.database)
        if accepted is None:
            parked = requests.undoable(fleet, done.id)
            confirm(done.database, yes=yes, what=lambda: describe_parked(parked))
            accepted = requests.undo(
                fleet, done.id, job_id=str(uuid.uuid4()), idempotency_key=idempotency_key or str(uuid.uuid4())
            )
        what = f"undo of restore {done.id} in {done.database}"
        watching.answer(fleet, accepted, what=what, wait=wait, as_json=as_json)


def parse_moment(text: str) -> datetime:
    """ISO 8601; without a zone it is UTC, and that is said. Usage otherwise."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"--at {text!r} is no moment", hint="ISO 8601, such as 2026-11-22T19:55:00Z") from None
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    output.note(f"--at {text} names no zone: taken as UTC")
    return moment.replace(tzinfo=UTC)


def confirm(name: str, *, yes: bool, what: Callable[[], None]) -> None:
    """Return only if the live database may be replaced. `what` is shown before anybody is asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused(
            f"this replaces the live database {name}, and there is no terminal to ask on",
            code="not_confirmed",
            hint="give --yes",
        )
    what()
    typed = output.err().input(f"This replaces the live database. Type its name, {name}, to go on: ")
    if typed.strip() != name:
        raise Refused("nothing was changed: that is not the name", code="not_confirmed")


def describe_parked(parked: Parked) -> None:
    output.facts(
        {
            "brings back": parked.parked_name,
            "as": parked.live_name,
            "parked until": formats.moment(parked.expires_at),
        },
        on_stdout=False,
    )


def show_plan(seen: RestorePreview, *, as_json: bool) -> None:
    """Ends as the restore itself would: with the first obstacle's status, if there is one."""
    if as_json:
        output.as_json(records.preview(seen))
    else:
        describe(seen, on_stdout=True)
    for obstacle in seen.obstacles:
        output.failure(obstacle)
    if seen.obstacles:
        raise typer.Exit(status_of(seen.obstacles[0]))


def describe(seen: RestorePreview, *, on_stdout: bool) -> None:
    found = seen.snapshot
    replaces = seen.parked_name is not None
    output.facts(
        {
            "snapshot": found.id,
            "taken": f"{formats.moment(found.taken_at)}, {formats.ago(found.taken_at, seen.now)}",
            "size": f"{formats.size(found.raw_bytes)} raw, {formats.size(found.stored_bytes)} stored, "
            f"{formats.counted(found.row_count or 0, 'row')}",
            "from": f"PostgreSQL {found.server_version}",
            "into": f"{seen.target}, {'replaced' if replaces else 'new'}, on PostgreSQL "
            f"{seen.target_server_version}",
            "sessions cut": formats.number(seen.sessions_cut) if replaces else None,
            "parked": f"{formats.size(seen.parked_bytes)} as {seen.parked_name}" if replaces else None,
            "undo until": f"about {formats.moment(seen.parked_until)}" if replaces else None,
            "takes": "unknown: no restore of this database was recorded yet"
            if seen.estimated_seconds is None
            else f"about {formats.seconds(seen.estimated_seconds)}",
            "missing roles": ", ".join(seen.missing_roles) or None,
        },
        on_stdout=on_stdout,
    )
