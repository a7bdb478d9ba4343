"""`snapfleet restore --table …`: single tables, brought back beside the live ones."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cli import comparisons, formats, output, plans, records, watching
from cli.exits import Usage
from cli.identity import me
from shared.domain import table_names
from shared.domain.job import JobKind, NewJob
from shared.domain.snapshot import Snapshot
from shared.domain.table_names import WantedTable
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.jobs.requests import Accepted
from shared.operations.restores import tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the options ask for."""

    tables: tuple[WantedTable, ...]
    snapshot: str | None
    at: datetime | None
    as_superuser: bool


def parse(named: Sequence[str], to: Sequence[str]) -> tuple[WantedTable, ...]:
    """Each `--table` with its `--to`, in the order in which they were given; all have one, or none has."""
    if to and len(to) != len(named):
        raise Usage(
            f"--table is given {len(named)} times and --to {len(to)} times",
            hint="give each table its --to, in the same order, or none of them",
        )
    names: Iterable[str | None] = to or [None] * len(named)
    return tuple(table_names.wanted(table, name) for table, name in zip(named, names, strict=True))


def refuse_of_databases(options: Mapping[str, object]) -> None:
    """Usage for an option that says how a whole database is restored."""
    for option, given in options.items():
        if given:
            raise Usage(f"{option} is for whole databases, not for --table", hint="leave it out")


def bring_back(
    fleet: Fleet, name: str, wanted: Wanted, *, plan: bool, wait: bool, key: str | None, as_json: bool
) -> None:
    if plan:
        chosen, known = look(fleet, name, wanted)
        show_plan(chosen, known, as_json=as_json)
        return
    accepted = requests.accepted_before(fleet, key, kind=JobKind.TABLES, database=name) or submit(
        fleet, name, wanted, key
    )
    asked = ", ".join(str(each.table) for each in tables.asked_for(accepted.job))
    what = f"{asked} of snapshot {accepted.job.request['snapshot_id']} into {name}"
    watching.answer(fleet, accepted, what=what, wait=wait, as_json=as_json)


def look(fleet: Fleet, name: str, wanted: Wanted) -> tuple[Snapshot, tuple[WantedTable, ...]]:
    snapshot_id = None if wanted.snapshot is None else requests.find_snapshot(fleet, wanted.snapshot).id
    chosen = requests.choose_snapshot(fleet, name, snapshot_id=snapshot_id, at=wanted.at)
    if snapshot_id is None:
        plans.note_passed_over(requests.passed_over(fleet, chosen, at=wanted.at))
    known = tables.preview(fleet, name, chosen.id, wanted.tables, as_superuser=wanted.as_superuser)
    return chosen, known


def submit(fleet: Fleet, name: str, wanted: Wanted, key: str | None) -> Accepted:
    """Nothing that is live is changed, so nobody is asked."""
    chosen, known = look(fleet, name, wanted)
    new = NewJob(
        id=str(uuid.uuid4()),
        kind=JobKind.TABLES,
        database=name,
        request=tables.request(chosen.id, known, as_superuser=wanted.as_superuser),
        idempotency_key=key or str(uuid.uuid4()),
    )
    return requests.submit(fleet, new, by=me())


def show_plan(chosen: Snapshot, known: Sequence[WantedTable], *, as_json: bool) -> None:
    taken_at = chosen.taken_at or chosen.created_at
    new = [
        (str(each.table), comparisons.new_table(each.table.schema, each.new_name(taken_at))) for each in known
    ]
    if as_json:
        made = [{"table": table, "to": to} for table, to in new]
        output.as_json({"snapshot": records.snapshot(chosen), "tables": made})
    else:
        output.say(f"of snapshot {chosen.id}, taken {formats.moment(taken_at)}:")
        output.table(("TABLE", "AS"), new)
