"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

DatabaseArgument = Annotated[
    str | None,
    typer.Argument(metavar="DATABASE", help="Its name here; not needed where only one is configured."),
]
AnyDatabase = Annotated[
    str | None, typer.Argument(metavar="DATABASE", help="Only of this one; without it, of all.")
]
JobArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.")]
SnapshotArgument = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many at most.")]
Wait = Annotated[bool, typer.Option("--wait", help="Show progress, and end when the job does.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: for scripts.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key", metavar="KEY", help="The same key twice makes one job, and names it twice."
    ),
]
