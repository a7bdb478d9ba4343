"""`snapfleet restore` and `snapfleet undo`: bring a snapshot back, and take that back."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import formats, output, plans, tables, watching
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import DatabaseArgument, Json, Key, Wait, Yes
from shared.catalog.parked import Parked
from shared.domain.ids import new_snapshot_id
from shared.domain.job import JobKind, NewJob
from shared.errors import Refused
from shared.operations.databases import preview
from shared.operations.databases.preview import Intent, RestorePreview
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests


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
    table: Annotated[
        list[str] | None,
        typer.Option(
            "--table",
            metavar="SCHEMA.NAME",
            help="Only this table, beside the live one under a new name; may be given several times.",
        ),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="NAME",
            help="Beside the live database, into a new one of this name; after --table, the table's new name.",
        ),
    ] = None,
    target_url_env: Annotated[
        str | None,
        typer.Option(
            "--target-url-env",
            metavar="VAR",
            help="With --to, on the server whose URL this variable holds, here and at every worker.",
        ),
    ] = None,
    no_safeguard: Annotated[
        bool,
        typer.Option(
            "--no-safeguard",
            help="Take no safety snapshot of the live database: it is broken. It is parked in any case.",
        ),
    ] = False,
    despite_differences: Annotated[
        bool,
        typer.Option(
            "--despite-differences",
            help="With --to: keep what was restored though its proof fails, to look at and to save from.",
        ),
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would happen; change nothing.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="With --plan: read and hash every stored byte of the snapshot.")
    ] = False,
    plan_id: Annotated[
        str | None,
        typer.Option("--plan-id", metavar="ID", help="Only if all is as --plan saw it, which printed this."),
    ] = None,
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
    if table:
        tables.refuse_of_databases(
            {
                "--target-url-env": target_url_env,
                "--no-safeguard": no_safeguard,
                "--despite-differences": despite_differences,
                "--deep": deep,
                "--plan-id": plan_id,
            }
        )
        single = tables.Wanted(
            tables=tables.parse(table, to or ()), snapshot=snapshot, at=moment, as_superuser=as_superuser
        )
        with opened() as fleet:
            name = fleet.database(database).name
            tables.bring_back(fleet, name, single, plan=plan, wait=wait, key=idempotency_key, as_json=as_json)
        return
    if to is not None and len(to) > 1:
        raise Usage("--to is given twice", hint="a database has one name")
    new_name = to[0] if to else None
    if deep and not plan:
        raise Usage("--deep says how closely --plan looks", hint="give --plan too")
    if target_url_env is not None and new_name is None:
        raise Usage("--target-url-env restores beside what is there", hint="give --to NAME too")
    if despite_differences and new_name is None:
        raise Usage(
            "what is not proven never replaces the live database",
            hint="restore it beside: give --to NAME too",
        )
    wanted = Wanted(
        snapshot=snapshot,
        at=moment,
        to=new_name,
        target=target_url_env,
        as_superuser=as_superuser,
        safeguard=not no_safeguard and new_name is None,
        plan_id=plan_id,
        despite_differences=despite_differences,
    )
    with opened() as fleet:
        name = fleet.database(database).name
        if plan:
            seen = look(fleet, name, wanted, job_id=None)
            plans.show(preview.with_objects(fleet, seen, deep=deep), as_json=as_json)
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
    target: str | None
    as_superuser: bool
    safeguard: bool
    plan_id: str | None
    despite_differences: bool


def look(fleet: Fleet, name: str, wanted: Wanted, *, job_id: str | None) -> RestorePreview:
    snapshot_id = None if wanted.snapshot is None else requests.find_snapshot(fleet, wanted.snapshot).id
    chosen = requests.choose_snapshot(fleet, name, snapshot_id=snapshot_id, at=wanted.at)
    if snapshot_id is None:
        plans.note_passed_over(requests.passed_over(fleet, chosen, at=wanted.at))
    intent = Intent(
        database=name,
        snapshot=chosen,
        to=wanted.to,
        target=wanted.target,
        as_superuser=wanted.as_superuser,
        safeguard=wanted.safeguard,
    )
    return preview.restore_of(fleet, intent, job_id=job_id)


def submit(
    fleet: Fleet, name: str, wanted: Wanted, *, yes: bool, idempotency_key: str | None
) -> requests.Accepted:
    """Look, ask, and only then make the request."""
    job_id = str(uuid.uuid4())
    seen = look(fleet, name, wanted, job_id=job_id)
    if seen.obstacles:
        raise seen.obstacles[0]
    preview.refuse_changed(wanted.plan_id, seen.plan_id)
    if wanted.to is None:
        confirm(name, yes=yes, what=lambda: plans.describe(seen, on_stdout=False))
    new = NewJob(
        id=job_id,
        kind=JobKind.RESTORE,
        database=name,
        request=requests.restore_request(
            snapshot_id=seen.snapshot.id,
            to=wanted.to,
            as_superuser=wanted.as_superuser,
            safeguard_id=new_snapshot_id(seen.now.astimezone(UTC), uuid.uuid4())
            if wanted.safeguard
            else None,
            plan_id=wanted.plan_id,
            target=wanted.target,
            despite_differences=wanted.despite_differences,
        ),
        idempotency_key=idempotency_key or str(uuid.uuid4()),
    )
    return requests.submit(fleet, new, by=me())


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
                fleet,
                done.id,
                job_id=str(uuid.uuid4()),
                idempotency_key=idempotency_key or str(uuid.uuid4()),
                by=me(),
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
