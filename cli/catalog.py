"""`snapfleet catalog rebuild` and `snapfleet adopt`: make a catalog of what a repository holds."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Annotated

import typer

from cli import exits, formats, output
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import Json
from shared.catalog import migration
from shared.domain.database import is_name
from shared.operations.composition import open_repository
from shared.operations.databases import preview
from shared.operations.fleet import Fleet
from shared.operations.upkeep import adopting, rebuilding
from shared.operations.upkeep.adopting import Copying
from shared.operations.upkeep.rebuilding import Entry, What

LINE_EVERY_SECONDS = 5.0

app = typer.Typer(help="Look after the catalog, the fleet's own record.")

Databases = Annotated[
    list[str] | None,
    typer.Option("--database", metavar="NAME", help="Only this one; may be given several times."),
]


@app.command()
def rebuild(database: Databases = None, as_json: Json = False) -> None:
    """Make the catalog anew from the repository alone.

    Adds what an empty catalog, or one that lost something, lacks; changes nothing that it knows.
    """
    with opened(migrated=False) as fleet:
        prepare(fleet)
        entries = rebuilding.rebuild(fleet, database or (), by=me())
        tell(fleet, entries, as_json=as_json, now=Now(time.monotonic))


def adopt(
    repository: Annotated[
        str, typer.Argument(metavar="REPOSITORY", help="s3://BUCKET/PREFIX or file:///FOLDER")
    ],
    database: Databases = None,
    name: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="What the one database is called here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Bring the snapshots of another installation's repository into ours.

    Cut off and run again, it goes on where it was.
    """
    if name is not None and not is_name(name):
        raise Usage(f"--as {name!r} is no name", hint="a-z, 0-9, - and _, at most 63, not - or _ first")
    now = Now(time.monotonic)
    with opened(migrated=False) as fleet:
        prepare(fleet)
        entries = adopting.adopt(
            fleet,
            open_repository(repository, like=fleet.repository),
            databases=database or (),
            name=name,
            report=copied(now),
            by=me(),
        )
        tell(fleet, entries, as_json=as_json, now=now)


def prepare(fleet: Fleet) -> None:
    preview.check_catalog_apart(fleet)
    migration.migrate(fleet.catalog)


class Now:
    """Says whether it is time again for a line that tells how far it is."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._said_at = clock()

    def __call__(self) -> bool:
        due = self._clock() - self._said_at >= LINE_EVERY_SECONDS
        if due:
            self._said_at = self._clock()
        return due


def copied(now: Now) -> adopting.Report:
    """A line on stderr now and then, and one at the end of each snapshot of which something was copied."""

    def report(copying: Copying) -> None:
        if now() or copying.done_chunks == copying.chunks:
            output.note(
                f"snapshot {copying.snapshot_id} of {copying.database}: {copying.done_chunks} of "
                f"{formats.counted(copying.chunks, 'chunk')}, {formats.size(copying.done_bytes)} copied"
            )

    return report


def tell(fleet: Fleet, entries: Iterable[Entry], *, as_json: bool, now: Now) -> None:
    """Each that needs a word as it comes, and what they come to. Exits with 1 where one was left out."""
    seen = list[Entry]()
    for entry in entries:
        seen.append(entry)
        told = f"snapshot {entry.snapshot_id} of {entry.database}"
        if entry.what is What.LEFT_OUT:
            output.error(f"{told} is left out: {entry.why}", entry.hint)
        elif entry.what is What.DIFFERS:
            output.note(f"{told} stays as the catalog has it: {entry.why}")
        elif now():
            output.note(f"{told}: {entry.what}, {formats.counted(len(seen), 'snapshot')} so far")
    if as_json:
        output.as_json([record(entry) for entry in seen])
    else:
        for name, counts in summed(seen).items():
            output.say(
                f"{name}: " + ", ".join(f"{counts[what]} {WORDS[what]}" for what in What if counts[what])
            )
        if not seen:
            output.say("no snapshot found")
    for name in sorted({entry.database for entry in seen} - fleet.databases.keys()):
        output.note(f"{name} is not configured here: until it is, its snapshots are only listed")
    if any(entry.what is What.LEFT_OUT for entry in seen):
        raise typer.Exit(exits.FAILED)


WORDS = {
    What.ADDED: "added",
    What.KNOWN: "known before",
    What.DIFFERS: "known and different",
    What.LEFT_OUT: "left out",
}


def summed(entries: Iterable[Entry]) -> dict[str, Counter[What]]:
    counts = dict[str, Counter[What]]()
    for entry in entries:
        counts.setdefault(entry.database, Counter())[entry.what] += 1
    return counts


def record(entry: Entry) -> dict[str, str | None]:
    return {
        "database": entry.database,
        "snapshot_id": entry.snapshot_id,
        "what": str(entry.what),
        "why": entry.why,
        "hint": entry.hint,
    }
