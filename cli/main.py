"""The command `snapfleet`: puts the commands together, and turns every failure into two lines and a status."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import structlog
import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command

from cli import (
    api,
    audits,
    bootstrapping,
    bus,
    catalog,
    checks,
    databases,
    dead_letters,
    doctor,
    embedding,
    emergency,
    exits,
    exporting,
    flowering,
    guarding,
    housekeeping,
    jobs,
    keys,
    output,
    restores,
    snapshots,
    tokens,
)
from shared import logs
from shared.errors import SnapfleetError

log = structlog.get_logger(__name__)

NAME = "snapfleet"


def print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"{NAME} {version(NAME)}\n")
        raise typer.Exit


def root(
    context: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=print_version, is_eager=True),
    ] = False,
) -> None:
    """Consistent snapshots of PostgreSQL databases, restored in minutes, with an undo."""
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


class InOrder(TyperGroup):
    """Lists its commands as they are used, not as they are made."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # noqa: ARG002 - its Context is private
        return list(ORDER)


ORDER = (
    "migrate",
    "databases",
    "snapshot",
    "restore",
    "undo",
    "emergency",
    "bootstrap",
    "unblock",
    "guard",
    "prune",
    "check",
    "doctor",
    "jobs",
    "job",
    "catalog",
    "adopt",
    "keys",
    "bus",
    "api",
    "dead-letters",
    "housekeeping",
    "token",
    "audit",
    "exporter",
    "flower",
    "demo",
    "up",
)


def make_app() -> typer.Typer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, cls=InOrder)
    app.callback(invoke_without_command=True, epilog=exits.explained())(root)
    app.add_typer(snapshots.app, name="snapshot")
    app.add_typer(emergency.app, name="emergency")
    app.add_typer(jobs.app, name="job")
    app.add_typer(catalog.app, name="catalog")
    app.add_typer(keys.app, name="keys")
    app.add_typer(dead_letters.app, name="dead-letters")
    app.add_typer(tokens.app, name="token")
    app.add_typer(audits.app, name="audit")
    app.command()(databases.migrate)
    app.command()(databases.databases)
    app.command()(databases.prune)
    app.command()(restores.restore)
    app.command()(restores.undo)
    app.command()(bootstrapping.bootstrap)
    app.command()(bootstrapping.unblock)
    app.command()(checks.check)
    app.command()(doctor.doctor)
    app.command(context_settings=guarding.TAKES_A_COMMAND)(guarding.guard)
    app.command()(catalog.adopt)
    app.command()(jobs.jobs)
    app.command()(bus.bus)
    app.command()(housekeeping.housekeeping)
    app.command()(api.api)
    app.command()(exporting.exporter)
    app.command()(flowering.flower)
    app.command()(embedding.demo)
    app.command()(embedding.up)
    return app


def main(argv: list[str] | None = None) -> int:
    """Run one command; its exit status. No exception leaves, and no traceback but in the debug log."""
    logs.configure(level="critical", style="auto")
    try:
        status = get_command(make_app()).main(args=argv, prog_name=NAME, standalone_mode=False)
    except TyperException as exc:
        output.error(exc.format_message(), f"`{command_of(exc)} --help` shows what it takes")
        return exits.USAGE
    except SnapfleetError as exc:
        log.debug("command_failed", exc_info=exc)
        output.failure(exc)
        return exits.status_of(exc)
    except (KeyboardInterrupt, typer.Abort):
        return exits.INTERRUPTED
    except Exception as exc:
        log.debug("command_failed", exc_info=exc)
        output.error(f"an unexpected {type(exc).__name__}", "set LOG_LEVEL=debug to see where it comes from")
        return exits.FAILED
    return status if isinstance(status, int) else exits.DONE


def command_of(exc: TyperException) -> str:
    context = getattr(exc, "ctx", None)
    return context.command_path if context is not None else NAME
