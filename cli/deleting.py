"""`snapfleet snapshot delete`: one snapshot, by hand, looked at first."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from cli import output, records, watching
from cli.fleet import opened
from cli.identity import me
from cli.options import Json, Key, SnapshotArgument, Wait, Yes
from shared.domain.deletion import Deletion
from shared.domain.job import JobKind, NewJob
from shared.errors import Refused
from shared.operations.jobs import requests
from shared.operations.upkeep import deleting

PlanId = Annotated[
    str | None,
    typer.Option("--plan-id", metavar="ID", help="Only if all is as --plan saw it, which printed this."),
]


def delete(  # noqa: PLR0917 - each is an option of the command
    snapshot_id: SnapshotArgument,
    plan: Annotated[bool, typer.Option("--plan", help="Say what stands against it; change nothing.")] = False,
    plan_id: PlanId = None,
    yes: Yes = False,
    wait: Wait = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Delete one snapshot, whatever retention says of it.

    The newest verified one stays, and so does what is pinned or needed by a job.
    """
    with opened() as fleet:
        found = requests.find_snapshot(fleet, snapshot_id)
        planned = deleting.plan(fleet, found.id)
        if plan:
            show(planned, as_json=as_json)
            return
        accepted = requests.accepted_before(
            fleet, idempotency_key, kind=JobKind.PRUNE, database=found.database
        )
        if accepted is None:
            if plan_id is None and not yes:
                raise Refused(
                    f"this deletes snapshot {found.id} for good",
                    code="not_confirmed",
                    hint="look first with --plan, then give --plan-id; or give --yes",
                )
            seen = plan_id or planned.id
            deleting.refuse(planned, plan_id=seen)
            new = NewJob(
                id=str(uuid.uuid4()),
                kind=JobKind.PRUNE,
                database=fleet.database(found.database).name,
                request=deleting.request(found.id, plan_id=seen),
                idempotency_key=idempotency_key or str(uuid.uuid4()),
            )
            accepted = requests.submit(fleet, new, by=me())
        what = f"deletion of snapshot {found.id}"
        watching.answer(fleet, accepted, what=what, wait=wait, as_json=as_json)


def show(planned: Deletion, *, as_json: bool) -> None:
    if as_json:
        output.as_json(records.deletion(planned))
    elif planned.obstacle is not None:
        output.say(f"snapshot {planned.snapshot.id} stays: {planned.obstacle}")
    else:
        output.say(f"snapshot {planned.snapshot.id} would go; nothing was changed")
        output.say(f"plan {planned.id}")
