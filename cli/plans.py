"""What a restore would do, as it is shown before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from cli import formats, output, records
from cli.exits import status_of
from shared.domain.snapshot import Reason, Snapshot
from shared.operations.databases.preview import RestorePreview


def show(seen: RestorePreview, *, as_json: bool) -> None:
    """Ends as the restore itself would: with the first obstacle's status, if there is one."""
    if as_json:
        output.as_json(records.preview(seen))
    else:
        describe(seen, on_stdout=True)
        if not seen.obstacles:
            output.say(f"plan {seen.plan_id}")
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
            "into": f"{seen.where}, {'replaced' if replaces else 'new'}, on PostgreSQL "
            f"{seen.target_server_version}",
            "safety snapshot": safety(seen) if replaces else None,
            "sessions cut": sessions(seen) if replaces else None,
            "parked": f"{formats.size(seen.parked_bytes)} as {seen.parked_name}" if replaces else None,
            "undo until": f"about {formats.moment(seen.parked_until)}" if replaces else None,
            "warm copy": warm_copy(seen),
            "takes": takes(seen),
            "waits for": ", ".join(f"{job.kind} {formats.short(job.id)}" for job in seen.waits_for) or None,
            "missing roles": ", ".join(seen.missing_roles) or None,
        },
        on_stdout=on_stdout,
    )
    for remark in seen.remarks:
        output.note(remark.message)


def safety(seen: RestorePreview) -> str:
    if seen.safeguard:
        return f"taken first, kept until about {formats.moment(seen.parked_until)}"
    return "none, as asked for: only the parked database holds what is replaced"


def warm_copy(seen: RestorePreview) -> str | None:
    """What it takes of the disk, and whether this restore would use it."""
    if seen.warm is not None:
        made = formats.moment(seen.warm.made_at)
        return f"proven {made}, {formats.size(seen.warm_bytes)}: it becomes the live database"
    return f"of no use here, {formats.size(seen.warm_bytes)}" if seen.warm_bytes else None


def takes(seen: RestorePreview) -> str:
    if seen.warm is not None:
        return "seconds" + (", after the safety snapshot" if seen.safeguard else "")
    if seen.estimated_seconds is None:
        return "unknown: no restore of this database was recorded yet"
    return f"about {formats.seconds(seen.estimated_seconds)}"


def sessions(seen: RestorePreview) -> str:
    """How many, and whose."""
    groups = (
        f"{group.count} of {group.role}" + (f" ({group.application})" if group.application else "")
        for group in seen.sessions
    )
    return ": ".join(filter(None, (formats.number(seen.sessions_cut), ", ".join(groups))))


def note_passed_over(newer: Sequence[Snapshot]) -> None:
    if newer:
        said = ", ".join(f"{each.id} ({remark(each)})" for each in newer)
        output.note(f"newer, and passed over: {said}; name one with --snapshot to restore it all the same")


def remark(snapshot: Snapshot) -> str:
    return "safeguard" if snapshot.reason is Reason.SAFEGUARD else snapshot.standing
