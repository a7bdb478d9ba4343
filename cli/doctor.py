"""`snapfleet doctor`: examine the whole installation as this host sees it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli import exits, formats, output
from cli.exits import Usage
from cli.fleet import make_fleet
from cli.options import Json
from shared import logs
from shared.broker.app import make_app
from shared.broker.gauge import CeleryGauge
from shared.errors import SnapfleetError
from shared.locks.server import Server
from shared.operations.fleet import Fleet
from shared.operations.health.examinations import Patient, of_fleet
from shared.operations.health.examined_databases import of_databases
from shared.operations.health.examining import Examination, Result, Verdict, examine, is_wanted, worst
from shared.settings import Settings

PATIENCE = timedelta(seconds=30)
SETTINGS = "settings"
STATUSES = {
    Result.OK: exits.DONE,
    Result.SKIPPED: exits.DONE,
    Result.WARNING: exits.WARNED,
    Result.ERROR: exits.BROKEN,
}


def doctor(
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="Only this examination; may be given several times: redis, database.",
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Without the trial: nothing is taken, proven and restored.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Examine everything: software, settings, clock, catalog, Redis, repository, workers, each database.

    At last a tiny database of its own is snapshotted, proven, lost, restored and deleted. Changes nothing, and
    leaves nothing behind. Ends with 9 where something will hurt one day, and with 10 where something hurts now.
    """
    verdicts = list(examined(only or (), with_trial=not quick))
    if as_json:
        output.as_json([record(verdict) for verdict in verdicts])
    else:
        show(verdicts)
    raise typer.Exit(STATUSES[worst(verdicts)])


def examined(only: Sequence[str], *, with_trial: bool) -> Iterator[Verdict]:
    """What is wrong with the settings, and where nothing is, of everything."""
    try:
        settings = Settings.from_environment()
        logs.configure(level="critical", style=settings.log_format)
        fleet = make_fleet(settings)
    except SnapfleetError as exc:
        yield Verdict(name=SETTINGS, result=Result.ERROR, code=exc.code, detail=exc.message, hint=exc.hint)
        return
    try:
        yield from of_all(settings, fleet, only, with_trial=with_trial)
    finally:
        fleet.catalog.close()


def of_all(settings: Settings, fleet: Fleet, only: Sequence[str], *, with_trial: bool) -> Iterator[Verdict]:
    redis_url = settings.redis_url.get_secret_value()
    patient = Patient(
        fleet=fleet,
        redis=Server.connect(redis_url),
        gauge=CeleryGauge(make_app(redis_url)),
        folder=settings.folder,
        now=lambda: datetime.now(UTC),
        random=uuid.uuid4,
    )
    all_there_are = (
        Examination(name=SETTINGS, look=lambda _: f"{formats.counted(len(fleet.databases), 'database')}"),
        *of_fleet(patient),
        *of_databases(patient, with_trial=with_trial),
    )
    unknown = [name for name in only if not any(is_wanted(each, [name]) for each in all_there_are)]
    if unknown:
        known = ", ".join(each.name for each in all_there_are)
        raise Usage(f"there is no examination {unknown[0]!r}", hint=f"there are: {known}")
    yield from examine(all_there_are, patience=PATIENCE, only=only)
    patient.redis.close()


def show(verdicts: Sequence[Verdict]) -> None:
    output.table(
        ("EXAMINED", "RESULT", "TOOK", ""),
        (
            (
                verdict.name,
                str(verdict.result),
                formats.seconds(verdict.seconds or None),
                verdict.code or verdict.detail,
            )
            for verdict in verdicts
        ),
        right=("TOOK",),
        spare=("TOOK",),
    )
    wrong = [verdict for verdict in verdicts if verdict.code is not None]
    for verdict in wrong:
        output.say()
        output.say(f"{verdict.code}: {verdict.detail}", style="bold")
        if verdict.hint:
            output.say(verdict.hint, indent=2)
    output.say()
    output.say(told(verdicts))


def told(verdicts: Sequence[Verdict]) -> str:
    """The whole in one line."""
    errors = sum(verdict.result is Result.ERROR for verdict in verdicts)
    warnings = sum(verdict.result is Result.WARNING for verdict in verdicts)
    skipped = sum(verdict.result is Result.SKIPPED for verdict in verdicts)
    if not errors and not warnings:
        return "nothing is wrong that can be seen from here"
    left_out = f"; {formats.counted(skipped, 'examination')} left out until then" if skipped else ""
    return f"{formats.counted(errors, 'error')}, {formats.counted(warnings, 'warning')}{left_out}"


def record(verdict: Verdict) -> dict[str, object]:
    return {
        "examined": verdict.name,
        "result": str(verdict.result),
        "code": verdict.code,
        "detail": verdict.detail,
        "hint": verdict.hint,
        "seconds": round(verdict.seconds, 3),
    }
