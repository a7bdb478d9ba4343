"""Where output goes: results to stdout, for people or as JSON; notes, errors and progress to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli import formats
from shared.errors import SnapfleetError

# What is not read on a terminal is not folded to one either.
UNFOLDED = 10_000

COLOURS = {
    "sealed": "green",
    "succeeded": "green",
    "done": "green",
    "keep": "green",
    "copying": "yellow",
    "active": "yellow",
    "doing": "yellow",
    "pending": "yellow",
    "rolling_back": "yellow",
    "failed": "red",
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


def as_json(value: Any) -> None:
    """The whole of stdout, where `--json` is given."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: Sequence[str] = ()) -> None:
    """Aligned columns without a frame. `right` names those that hold numbers; known states get colours."""
    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, name in enumerate(columns):
        made.add_column(
            name, justify="right" if name in right else "left", no_wrap=index == 0, overflow="fold"
        )
    for row in rows:
        made.add_row(*(cell(text) for text in row))
    out().print(made)


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
