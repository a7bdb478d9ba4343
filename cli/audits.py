"""`snapfleet audit …`: who did what, and whether that record is whole."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli import exits, formats, output, records
from cli.exits import Usage
from cli.fleet import opened
from cli.options import AnyDatabase, Json, Limit
from shared.domain import audit
from shared.domain.audit import Entry, Head
from shared.operations.jobs import requests
from shared.operations.trust import auditing
from shared.operations.trust.auditing import Examined

app = typer.Typer(help="Who did what, to what, from where, and how it ended.")


@app.command("list")
def list_(  # noqa: PLR0917 - each is an option of the command
    database: AnyDatabase = None,
    by: Annotated[str | None, typer.Option("--by", metavar="NAME", help="Only what this one did.")] = None,
    action: Annotated[
        str | None,
        typer.Option("--action", metavar="ACTION", help="Only this, such as restore.requested, or restore."),
    ] = None,
    job: Annotated[
        str | None, typer.Option("--job", metavar="ID", help="Only what is about this job.")
    ] = None,
    before: Annotated[
        int | None, typer.Option("--before", metavar="SEQ", help="Only what came before this entry.")
    ] = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the newest entries."""
    with opened() as fleet:
        found = auditing.listing(
            fleet,
            # Not asked of the configuration: the audit tells of databases that are gone from it, too.
            database=database,
            actor=by,
            action=action,
            job_id=None if job is None else requests.find_job(fleet, job).id,
            before=before,
            limit=limit,
        )
    if as_json:
        output.as_json([records.audited(each) for each in found])
    elif not found:
        output.say("no entry")
    else:
        columns = ("SEQ", "AT", "WHO", "FROM", "WHAT", "RESULT", "DATABASE", "JOB", "")
        output.table(
            columns, (row(each) for each in found), right=("SEQ",), spare=("FROM", "JOB", "DATABASE")
        )


def row(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.seq),
        formats.moment(entry.at),
        entry.actor,
        entry.origin,
        entry.action,
        entry.outcome,
        entry.database or "",
        formats.short(entry.job_id) if entry.job_id else "",
        said(entry),
    )


def said(entry: Entry) -> str:
    """What of the details tells the most, in one line."""
    request = entry.details.get("request")
    told = request if isinstance(request, dict) else entry.details
    plain = {name: value for name, value in told.items() if value not in (None, False, [], {}, "")}
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in plain.items()
    )


@app.command()
def verify(
    kept: Annotated[
        list[str] | None,
        typer.Option(
            "--kept", metavar="SEQ:HASH", help="A head that was kept elsewhere; several may be given."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the whole chain, and compare it with the jobs and with heads that were kept.

    Ends with 10 where an entry was changed, removed, inserted or moved, or is lacking.
    """
    heads = [parse_head(each) for each in kept or ()]
    with opened() as fleet:
        seen = auditing.examine(fleet, kept=heads)
    if as_json:
        output.as_json(records.examined(seen))
    else:
        tell(seen)
    if seen.findings:
        raise typer.Exit(exits.BROKEN)


def parse_head(text: str) -> Head:
    head = audit.parse_head(text)
    if head is None:
        raise Usage(f"--kept {text!r} is no head", hint="SEQ:HASH, as `snapfleet audit verify` shows it")
    return head


def tell(seen: Examined) -> None:
    for finding in seen.findings:
        output.error(finding.what, None)
    if not seen.findings:
        output.say(f"the audit is whole, from its first entry to entry {seen.head.seq:,}")
    output.say(f"head {seen.head}")
    output.note(
        f"keep that elsewhere; it proves what came before it: snapfleet audit verify --kept {seen.head}"
    )
