"""For applications: `with guarded("orders"): …` brings the database back if the block raises, or does harm.

    from cli.guard import guarded

    with guarded("orders", assertions=["balances.sql"]):
        migrate()

Settings are those of the command line. The same as `snapfleet guard`, without its output.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import structlog

from cli.exits import Usage
from cli.fleet import make_fleet
from cli.identity import me
from shared.catalog.revision import check_migrated
from shared.domain.ids import new_snapshot_id
from shared.domain.job import Job
from shared.domain.proof import Assertion
from shared.errors import Refused, SnapfleetError
from shared.operations.fleet import Fleet
from shared.operations.jobs import following
from shared.operations.restores import guard as guarding
from shared.operations.restores.guard import Guard, Point
from shared.settings import Settings

log = structlog.get_logger(__name__)


@contextmanager
def guarded(database: str | None = None, *, assertions: Iterable[str | Path] = ()) -> Generator[Point]:
    """Prove a snapshot, run the block, check. Without a name: the one database that is configured.

    A block that raises is undone by bringing the snapshot back, and raises what it raised, with a note of what
    became of the database. One that leaves something worse than before, or an assertion that does not hold, is
    undone too, and raises Refused (`checks_failed`). Raises before the block where no snapshot could be proven.
    """
    asked = tuple(read(Path(path)) for path in assertions)
    fleet = make_fleet(Settings.from_environment())
    try:
        check_migrated(fleet.catalog)
        name = fleet.database(database).name
        with watched_over(made(fleet, name, assertions=asked, wait=waiting(fleet), say=log.info)) as point:
            yield point
    finally:
        fleet.catalog.close()


@contextmanager
def watched_over(guard: Guard) -> Generator[Point]:
    """The same for a guard that is made already."""
    point = guarding.stand_ready(guard)
    try:
        yield point
    except BaseException as exc:
        exc.add_note(undone(guard, point))
        raise
    found = guarding.troubles(guard, point)
    if found:
        failed = Refused(f"the checks failed: {guarding.summary(found)}", code="checks_failed")
        failed.add_note(undone(guard, point))
        raise failed


def undone(guard: Guard, point: Point) -> str:
    """Bring the snapshot back, and say what became of that."""
    try:
        job = guarding.bring_back(guard, point)
    except SnapfleetError as exc:
        return f"{exc.message}; {exc.hint}"
    return (
        f"snapshot {point.snapshot_id} of {guard.database} was brought back; "
        f"take that back: snapfleet undo {job.id}"
    )


def waiting(fleet: Fleet) -> Callable[[str], Job]:
    def wait(job_id: str) -> Job:
        *_, last = following.follow(fleet, job_id)
        return last.job

    return wait


def made(
    fleet: Fleet,
    database: str,
    *,
    assertions: tuple[Assertion, ...],
    wait: Callable[[str], Job],
    say: Callable[[str], object],
) -> Guard:
    return Guard(
        fleet=fleet,
        database=fleet.database(database).name,
        assertions=assertions,
        wait=wait,
        new_id=lambda: str(uuid.uuid4()),
        new_snapshot_id=lambda: new_snapshot_id(datetime.now(UTC), uuid.uuid4()),
        say=say,
        by=me(),
    )


def read(path: Path) -> Assertion:
    """The query in a file."""
    try:
        return Assertion(name=str(path), sql=path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise Usage(f"{path} cannot be read", hint="give a file with one query in it") from exc
