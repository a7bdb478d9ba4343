"""`snapfleet guard`: run a command, and bring the database back if it does harm."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from cli import command, exits, output, watching
from cli.command import Ended
from cli.exits import Usage
from cli.fleet import opened
from cli.guard import made, read
from shared.domain.job import Job
from shared.errors import SnapfleetError
from shared.operations.restores import guard as guarding
from shared.operations.restores.guard import Guard, NotBroughtBack, Point
from shared.signals import handled

TAKES_A_COMMAND = {"allow_extra_args": True}
"""What stands behind -- is the command's, options and all."""


def guard(
    context: typer.Context,
    database: Annotated[str, typer.Argument(metavar="DATABASE", help="Its name here.")],
    assertion: Annotated[
        list[Path] | None,
        typer.Option(
            "--assert",
            metavar="FILE.sql",
            help="One query that must be true in the first column of some row; may be given several times.",
        ),
    ] = None,
) -> None:
    """Prove a snapshot, run a command, check; bring the snapshot back if any of that goes wrong.

    snapfleet guard DATABASE --assert FILE.sql -- COMMAND …
    """
    argv = context.args
    try:
        if not argv:
            raise Usage("there is no command to run", hint="snapfleet guard DATABASE -- COMMAND …")
        if shutil.which(argv[0]) is None:
            raise Usage(f"there is no command {argv[0]}", hint="give its path, or see PATH")
        assertions = tuple(read(path) for path in assertion or ())
        with opened() as fleet:
            under = made(
                fleet,
                database,
                assertions=assertions,
                wait=lambda job_id: watching.to_its_end(fleet, job_id).job,
                say=output.note,
            )
            point = guarding.stand_ready(under)
            output.note(f"snapshot {point.snapshot_id} is proven; by hand: {point.by_hand(under.database)}")
            status = run(under, point, argv)
    except SnapfleetError as exc:
        output.failure(exc)
        raise typer.Exit(exits.NOT_BACK if isinstance(exc, NotBroughtBack) else exits.NOT_BEGUN) from exc
    raise typer.Exit(status)


def run(under: Guard, point: Point, argv: Sequence[str]) -> int:
    """Run it, check, and bring the snapshot back unless all is well; the exit status.

    From its start on no signal ends us before that is decided: it counts as a failure.
    """
    with command.noted() as late:
        ended = command.run(argv)
        found = guarding.troubles(under, point) if ended.is_well else ()
    ended = replace(ended, interrupted=ended.interrupted or next(iter(late), None))
    if ended.is_well and not found:
        output.note(f"nothing is worse than before; snapshot {point.snapshot_id} is kept for a week")
        return exits.DONE
    for trouble in found:
        output.error(trouble, None)
    if ended.interrupted is not None:
        output.note(f"interrupted by {ended.interrupted.name}")
    elif not found:
        output.note(f"the command ended with {ended.status}")
    output.note(f"bringing snapshot {point.snapshot_id} back")
    job = brought_back(under, point)
    output.note(f"{under.database} is as it was before the command; what it made of it is parked")
    output.note(f"take that back: snapfleet undo {job.id}")
    return exits.CHECKS_FAILED if ended.is_well else status_of(ended)


def status_of(ended: Ended) -> int:
    """The command's own; where it made nothing of a signal, that signal's."""
    if ended.status == 0 and ended.interrupted is not None:
        return command.OF_SIGNALS + ended.interrupted
    return ended.status


def brought_back(under: Guard, point: Point) -> Job:
    """Nobody needs us for it any more: whoever stops us now stops the showing only."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled(dict.fromkeys((signal.SIGTERM, signal.SIGHUP), stop)):
        try:
            return guarding.bring_back(under, point)
        except (typer.Exit, KeyboardInterrupt) as exc:
            raise NotBroughtBack(
                f"snapshot {point.snapshot_id} is not back yet: the restore goes on in the fleet",
                hint=f"see whether it ends well: snapfleet jobs {under.database}; "
                f"if not: {point.by_hand(under.database)}",
            ) from exc
