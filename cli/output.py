"""Where output goes: results to stdout, for people or as JSON; notes, errors and progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import formats
from shared.errors import SnapfleetError

# What is not read on a terminal is not folded to one either.
UNFOLDED = 10_000

GAP = 2
REMARKS = ""
# What a column of remarks must have at least: a snapshot's id fits in.
REMARKS_WIDTH = 25

T = TypeVar("T")

COLOURS = {
    "sealed": "green",
    "succeeded": "green",
    "done": "green",
    "keep": "green",
    "verified": "green",
    "copying": "yellow",
    "active": "yellow",
    "doing": "yellow",
    "pending": "yellow",
    "rolling_back": "yellow",
    "failed": "red",
    "ok": "green",
    "skipped": "dim",
    "error": "red",
    "warning": "yellow",
    "info": "dim",
    "suspect": "red",
    "refuted": "red",
    "rolled_back": "red",
    "remove": "red",
    "cancelled": "dim",
    "undone": "dim",
}


def console(stream: TextIO) -> Console:
    width = None if stream.isatty() else UNFOLDED
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def out() -> Console:
    return console(sys.stdout)


def err() -> Console:
    return console(sys.stderr)


def say(text: str = "", *, style: str = "", indent: int = 0) -> None:
    """One line of a result."""
    out().print(Text(" " * indent + formats.line(text), style=style), soft_wrap=True)


def note(text: str) -> None:
    """Something to know that is no error."""
    err().print(Text.assemble(("note: ", "cyan"), formats.line(text)), soft_wrap=True)


def error(message: str, hint: str | None) -> None:
    """The two lines that every failure is told in."""
    stream = err()
    stream.print(Text.assemble(("error: ", "bold red"), formats.line(message)), soft_wrap=True)
    if hint:
        stream.print(Text.assemble(("hint: ", "bold"), formats.line(hint)), soft_wrap=True)


def failure(exc: SnapfleetError) -> None:
    error(exc.message, exc.hint)


def at_most(limit: int, found: Sequence[T]) -> Sequence[T]:
    """So many of what was found, the newest first. Where there is more, a note says so."""
    if len(found) > limit:
        note(f"only the newest {limit} are shown; --limit shows more")
    return found[:limit]


def as_json(value: Any) -> None:
    """The whole of stdout, where `--json` is given."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Aligned columns without a frame; known states get colours.

    `right` names those that hold numbers. `spare` names those to leave out, the first one first, where
    the terminal is too narrow for all. A column without a name holds remarks, and is the one to be folded.
    """
    stream, cells = out(), [[formats.line(text) for text in row] for row in rows]
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, GAP, 0, 0))
    kept = fitting(columns, cells, spare=spare, width=stream.width)
    for index in kept:
        name = columns[index]
        made.add_column(
            name, justify="right" if name in right else "left", no_wrap=name != REMARKS, overflow="fold"
        )
    for row in cells:
        made.add_row(*(cell(row[index]) for index in kept))
    stream.print(made)


def fitting(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, spare: Sequence[str], width: int
) -> Sequence[int]:
    """Which columns to show."""
    needed = {
        index: GAP + max(cell_len(text) for text in (name, *(row[index] for row in rows)))
        for index, name in enumerate(columns)
    }
    for index, name in enumerate(columns):
        if name == REMARKS:
            needed[index] = min(needed[index], REMARKS_WIDTH)
    for name in spare:
        if sum(needed.values()) <= width + GAP:
            break
        del needed[columns.index(name)]
    return tuple(needed)


def facts(values: Mapping[str, str | None], *, on_stdout: bool = True) -> None:
    """Names and values below each other; where there is no value the name is left out."""
    made = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in values.items():
        if value and value != formats.NOTHING:
            made.add_row(name, cell(value))
    (out() if on_stdout else err()).print(made)


def cell(text: str) -> Text:
    return Text(formats.line(text), style=COLOURS.get(text, ""))
