"""`snapfleet dead-letters …`: requests of the event bus that were not granted, and what to do about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from cli import formats, output
from cli.exits import Usage
from cli.fleet import opened, opened_streams
from cli.identity import me
from cli.options import Json
from shared.operations.messages import dead_letters
from shared.operations.messages.dead_letters import DeadLetter
from shared.streams.base import Streams

app = typer.Typer(help="Requests of the event bus that were not granted: list, ask again, drop.")

Letters = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="As `list` shows them.")]
All = Annotated[bool, typer.Option("--all", help="Every one there is.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List them, the newest first, each with the reason."""
    found = list(dead_letters.listing(opened_streams()))
    if as_json:
        output.as_json([record(letter) for letter in found])
    elif not found:
        output.say("no dead letter: every request was granted")
    else:
        columns = ("LETTER", "ASKED FOR", "DATABASE", "FROM", "CODE", "")
        rows = (
            (each.id, each.type or "", each.database or "", each.source or "", each.code, each.reason)
            for each in found
        )
        output.table(columns, rows, spare=("FROM", "ASKED FOR", "DATABASE"))


def record(letter: DeadLetter) -> dict[str, object]:
    return {
        "id": letter.id,
        "at": letter.at,
        "code": letter.code,
        "reason": letter.reason,
        "hint": letter.hint,
        "source": letter.source,
        "event_id": letter.event_id,
        "type": letter.type,
        "database": letter.database,
        "is_whole": letter.is_whole,
        "event": letter.body.decode(errors="replace"),
    }


@app.command()
def replay(letters: Letters = None, every: All = False) -> None:
    """Ask again, as if it were asked now: after the reason is gone."""
    streams = opened_streams()
    with opened() as fleet:
        for letter in chosen(streams, letters, every=every):
            dead_letters.replay(fleet.catalog, streams, letter, now=datetime.now(UTC), by=me())
            output.say(f"asked again: {letter.id}")


@app.command()
def drop(letters: Letters = None, every: All = False) -> None:
    """Drop them for good."""
    streams = opened_streams()
    with opened() as fleet:
        found = chosen(streams, letters, every=every)
        count = dead_letters.drop(fleet.catalog, streams, found, by=me())
    output.say(f"dropped {formats.counted(count, 'dead letter')}")


def chosen(streams: Streams, letters: list[str] | None, *, every: bool) -> list[DeadLetter]:
    if bool(letters) is every:
        raise Usage("say which: ids, or --all", hint="`snapfleet dead-letters list` shows them")
    return list(dead_letters.listing(streams)) if every else dead_letters.find(streams, letters or ())
