"""`snapfleet bootstrap` and `snapfleet unblock`: no service starts on an empty database by accident."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, TypeVar

import typer

from cli import exits, formats, output, watching
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import DatabaseArgument
from shared.domain import schedule
from shared.domain.job import JobState
from shared.errors import Misconfigured, NotFound, SnapfleetError, Unreachable
from shared.operations.fleet import Fleet
from shared.operations.jobs import blocking
from shared.operations.restores import bootstrap as bootstrapping
from shared.operations.restores.bootstrap import Begun

PATIENCE = timedelta(seconds=30)
"""How long a server that does not answer is asked again: it may be starting too, or in the middle of a swap."""

LOOK_SECONDS = 1.0
T = TypeVar("T")


def bootstrap(
    database: DatabaseArgument = None,
    if_empty: Annotated[
        bool, typer.Option("--if-empty", help="Only where it is absent or empty. Must be given.")
    ] = False,
    allow_fresh: Annotated[
        bool,
        typer.Option("--allow-fresh", help="Where there is no snapshot at all, be content and exit with 0."),
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="TIME", help="Wait no longer than this: 30m. The restore goes on."),
    ] = None,
    as_superuser: Annotated[
        bool, typer.Option("--as-superuser", help="As for restore: the snapshot's code runs as one.")
    ] = False,
) -> None:
    """Fill an absent or empty database from its newest verified snapshot, before a service starts.

    One that holds anything stays as it is. Where this fails, no snapshot of the database is taken until a
    later start ends well or somebody says `snapfleet unblock`.
    """
    if not if_empty:
        raise Usage("bootstrap replaces nothing but an absent or empty database", hint="say so: --if-empty")
    began = time.monotonic()
    give_up_at = None if timeout is None else began + parse_timeout(timeout).total_seconds()
    with opened() as fleet:
        name = fleet.database(database).name
        try:
            fill(fleet, name, give_up_at=give_up_at, as_superuser=as_superuser)
        except NotFound as exc:
            if exc.code != bootstrapping.NOTHING:
                raise
            if not allow_fresh:
                output.failure(exc)
                raise typer.Exit(exits.NO_SNAPSHOT) from None
            output.say(f"{name} is empty, and there is no snapshot of it: a fresh start")
        finally:
            note_blocked(fleet, name)


def fill(fleet: Fleet, name: str, *, give_up_at: float | None, as_superuser: bool) -> None:
    """Until it is in use, by our restore or by anybody else's."""
    while True:
        begun = answered(
            lambda: bootstrapping.begin(
                fleet, name, job_id=str(uuid.uuid4()), as_superuser=as_superuser, by=me()
            ),
            give_up_at=give_up_at,
        )
        if begun.accepted is None:
            output.say(f"{name} is in use, and stays as it is: it holds {begun.found.holds}")
            return
        describe(name, begun)
        report = watching.to_its_end(fleet, begun.accepted.job.id, give_up_at=give_up_at)
        if report.job.state is JobState.SUCCEEDED or not bootstrapping.found_in_use(report.job):
            watching.tell(report, on_stdout=True)
            return
        output.note(f"{name} was filled by somebody else meanwhile")


def answered(ask: Callable[[], T], *, give_up_at: float | None) -> T:
    """What `ask` returns, asked again while a server does not answer."""
    patient_until = time.monotonic() + PATIENCE.total_seconds() if give_up_at is None else give_up_at
    said = False
    while True:
        try:
            return ask()
        except Unreachable as exc:
            if time.monotonic() > patient_until:
                raise
            if not said:
                output.note(f"{exc.message}; asking again")
            said = True
        time.sleep(LOOK_SECONDS)


def describe(name: str, begun: Begun) -> None:
    snapshot = begun.snapshot
    if snapshot is not None:
        state = "absent" if begun.found.oid is None else "empty"
        output.note(
            f"{name} is {state}: snapshot {snapshot.id} of {formats.moment(snapshot.taken_at)} is restored"
        )
    if begun.accepted is not None and not begun.accepted.is_new:
        output.note(f"somebody else has asked for it: waiting for job {formats.short(begun.accepted.job.id)}")


def note_blocked(fleet: Fleet, name: str) -> None:
    """Said at the end of every start: nobody else may look for it."""
    try:
        why = blocking.why_blocked(fleet, name)
    except SnapfleetError:  # what has failed before is told, and tells more
        return
    if why is not None:
        output.note(f"no snapshot of {name} is taken: {why}")
        output.note(f"when it is as it should be: snapfleet unblock {name}")


def parse_timeout(text: str) -> timedelta:
    try:
        return schedule.parse_duration(text)
    except Misconfigured as exc:
        raise Usage(f"--timeout {exc.message}", hint=exc.hint) from exc


def unblock(database: DatabaseArgument = None) -> None:
    """Take snapshots of a database again: it is as it should be."""
    with opened() as fleet:
        name = fleet.database(database).name
        why = blocking.unblock(fleet, name, by=me())
    if why is None:
        output.say(f"{name} was not blocked")
    else:
        output.say(f"snapshots of {name} are taken again; the reason not to was: {why}")
