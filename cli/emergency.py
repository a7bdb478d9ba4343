"""`snapfleet emergency …`: when the live database is broken, and there is no time to find out why."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Annotated

import typer

from cli import formats, output, plans, restores, watching
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import Json, Key, Wait, Yes
from shared.domain.job import Job, JobKind
from shared.errors import Refused
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted
from shared.operations.restores import reset as resetting
from shared.operations.restores.reset import ResetPreview

app = typer.Typer(help="What works when the live database does not.")


@app.callback()
def emergency() -> None:
    """What works when the live database does not."""


@app.command()
def reset(  # noqa: PLR0917 - each is an option of the command
    database: Annotated[str, typer.Argument(metavar="DATABASE", help="Its name here.")],
    from_snapshot: Annotated[
        bool,
        typer.Option("--from-snapshot", help="Not an empty one: the newest verified snapshot."),
    ] = False,
    snapshot: Annotated[
        str | None, typer.Option("--snapshot", metavar="ID", help="With --from-snapshot: this one.")
    ] = None,
    yes: Yes = False,
    wait: Wait = False,
    as_superuser: Annotated[
        bool,
        typer.Option("--as-superuser", help="With --from-snapshot: allow it where the URL logs in as one."),
    ] = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Park the broken database, and put an empty one, or a snapshot, in its place.

    Nothing of the broken one is read, and nothing is dropped. Jobs that are at work on it are cancelled first.
    """
    if not from_snapshot and (snapshot is not None or as_superuser):
        raise Usage("--snapshot and --as-superuser are about a snapshot", hint="give --from-snapshot too")
    with opened() as fleet:
        name = fleet.database(database).name
        kind = JobKind.RESTORE if from_snapshot else JobKind.RESET
        accepted = requests.accepted_before(fleet, idempotency_key, kind=kind, database=name)
        if accepted is None and from_snapshot:
            accepted = restore(fleet, name, snapshot, yes=yes, as_superuser=as_superuser, key=idempotency_key)
        elif accepted is None:
            accepted = empty(fleet, name, yes=yes, key=idempotency_key)
        watching.answer(fleet, accepted, what=f"reset of {name}", wait=wait, as_json=as_json)


def empty(fleet: Fleet, name: str, *, yes: bool, key: str | None) -> Accepted:
    job_id = str(uuid.uuid4())
    seen = resetting.look(fleet, name, job_id=job_id)
    restores.confirm(name, yes=yes, what=lambda: describe(seen))
    stop(fleet, name, seen.stopped)
    key = key or str(uuid.uuid4())
    return resetting.submit(fleet, name, job_id=job_id, idempotency_key=key, by=me())


def restore(
    fleet: Fleet, name: str, snapshot: str | None, *, yes: bool, as_superuser: bool, key: str | None
) -> Accepted:
    wanted = restores.Wanted(
        snapshot=snapshot or newest_verified(fleet, name),
        at=None,
        to=None,
        target=None,
        as_superuser=as_superuser,
        safeguard=False,
        plan_id=None,
        despite_differences=False,
    )
    seen = restores.look(fleet, name, wanted, job_id=None)
    if seen.obstacles:
        raise seen.obstacles[0]
    restores.confirm(name, yes=yes, what=lambda: plans.describe(seen, on_stdout=False))
    stop(fleet, name, seen.waits_for)
    return restores.submit(fleet, name, wanted, yes=True, idempotency_key=key)


def newest_verified(fleet: Fleet, name: str) -> str:
    with fleet.catalog.transaction() as tx:
        found = tx.snapshots.newest_good(name, verified=True)
    if found is None:
        raise Refused(
            f"no snapshot of {name} is verified",
            code="not_verified",
            hint=f"name one that is not: --snapshot ID; `snapfleet snapshot list {name}` shows them",
        )
    return found.id


def describe(seen: ResetPreview) -> None:
    output.facts(
        {
            "database": f"{seen.database}, {seen.where}",
            "holds after it": "nothing",
            "sessions cut": formats.number(sum(group.count for group in seen.sessions)),
            "parked": seen.parked_name,
            "undo until": f"about {formats.moment(seen.parked_until)}",
            "stays with it": ", ".join(seen.tied) or None,
        },
        on_stdout=False,
    )


def stop(fleet: Fleet, name: str, jobs: Sequence[Job]) -> None:
    for job in jobs:
        output.note(f"{job.kind} {formats.short(job.id)} of {name} is asked to stop, and waited for")
    resetting.clear_the_way(fleet, jobs, by=me())
