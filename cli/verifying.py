"""`snapfleet snapshot verify`: prove a snapshot by restoring it, or read again what is stored of it."""

from __future__ import annotations

import time
import uuid
from typing import Annotated

import typer

from cli import exits, formats, output, progress, watching
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import Json, Key, Wait
from shared.domain.job import JobKind, NewJob
from shared.domain.proof import Digests
from shared.domain.snapshot import Snapshot
from shared.operations.fleet import Fleet
from shared.operations.jobs import requests
from shared.operations.proofs import rereading
from shared.operations.proofs import verify as verifying


def verify(  # noqa: PLR0917 - each is an option of the command
    snapshot_id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="Its id, or the beginning of it; else the newest sealed one."),
    ] = None,
    database: Annotated[
        str | None, typer.Option("--database", help="Of which the newest; not needed where there is one.")
    ] = None,
    digests: Annotated[
        Digests | None,
        typer.Option("--digests", help="Of which rows the content is compared, of those that were recorded."),
    ] = None,
    stored: Annotated[
        bool, typer.Option("--stored", help="Only read and hash every object of it; no database is touched.")
    ] = False,
    wait: Wait = False,
    idempotency_key: Key = None,
    as_json: Json = False,
) -> None:
    """Prove a snapshot: restore it into a scratch database and compare."""
    if stored and (digests is not None or idempotency_key is not None):
        raise Usage("--stored reads objects only", hint="leave --digests and --idempotency-key out")
    with opened() as fleet:
        found = chosen(fleet, snapshot_id, database)
        if stored:
            read_again(fleet, found, as_json=as_json)
            return
        configured = fleet.database(found.database)
        new = NewJob(
            id=str(uuid.uuid4()),
            kind=JobKind.VERIFY,
            database=configured.name,
            request=verifying.request(found.id, digests=digests or configured.digests, prune_job_id=None),
            idempotency_key=idempotency_key or str(uuid.uuid4()),
        )
        accepted = requests.submit(fleet, new, by=me())
        watching.answer(fleet, accepted, what=f"proof of snapshot {found.id}", wait=wait, as_json=as_json)


def chosen(fleet: Fleet, snapshot_id: str | None, database: str | None) -> Snapshot:
    if snapshot_id is None:
        return verifying.newest(fleet, fleet.database(database).name)
    found = requests.find_snapshot(fleet, snapshot_id)
    if database is not None and found.database != database:
        raise Usage(f"snapshot {found.id} is of {found.database}", hint="leave --database out")
    return requests.choose_snapshot(fleet, found.database, snapshot_id=found.id, at=None)


def read_again(fleet: Fleet, found: Snapshot, *, as_json: bool) -> None:
    began = time.monotonic()
    with progress.counted("objects read") as show:
        objects, troubles = rereading.read_again(fleet, found, reading_id=str(uuid.uuid4()), each=show)
    took = formats.seconds(time.monotonic() - began)
    if as_json:
        output.as_json({"snapshot_id": found.id, "objects": objects, "damaged": dict(troubles)})
    elif not troubles:
        output.say(
            f"all {formats.counted(objects, 'object')} of snapshot {found.id} are as they were stored, in {took}"
        )
    if troubles:
        output.error(
            f"{len(troubles)} of {formats.counted(objects, 'object')} of snapshot {found.id} are not as they were stored",
            "restore another snapshot; take one: what is damaged is stored again",
        )
        for sha256, trouble in troubles.items():
            output.note(f"{sha256}: {trouble}")
        raise typer.Exit(exits.NOT_PROVEN)
