"""`snapfleet token …`: who may call the API, and what they may do there."""

from __future__ import annotations

import secrets
import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from cli import formats, output, records
from cli.exits import Usage
from cli.fleet import opened
from cli.identity import me
from cli.options import Json
from shared.domain import schedule, tokens
from shared.domain.access import Role
from shared.domain.tokens import Token
from shared.errors import Misconfigured
from shared.operations.trust import access

app = typer.Typer(help="Tokens for the API: make one, list them, revoke one.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the audit calls it: deploy-pipeline, say.")]


@app.command()
def create(
    name: Name,
    role: Annotated[Role, typer.Option("--role", help="What it may do; each includes those before it.")],
    database: Annotated[
        list[str] | None,
        typer.Option("--database", metavar="NAME", help="Only on this one; may be given several times."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="TIME", help="Valid for so long: 90d. Else for ever.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Make a token, and print its secret: this once, and never again."""
    now = datetime.now(UTC)
    expires_at = None if expires is None else now + parse_lifetime(expires)
    secret = tokens.secret_of(secrets.token_bytes(tokens.SECRET_BYTES))
    with opened() as fleet:
        made = access.create(
            fleet,
            name=name,
            role=role,
            databases=database or (),
            secret=secret,
            now=now,
            expires_at=expires_at,
            by=me(),
        )
    if as_json:
        output.as_json(records.token(made, now) | {"secret": secret})
        return
    output.note(f"token {made.name} may {made.role} on {reach(made)}, {until(made)}")
    output.note("its secret follows; it is shown this once, and is kept nowhere")
    # Alone on stdout, as it is: nothing may fold it or colour it.
    sys.stdout.write(f"{secret}\n")


def parse_lifetime(text: str) -> timedelta:
    try:
        return schedule.parse_duration(text)
    except Misconfigured as exc:
        raise Usage(f"--expires {exc.message}", hint=exc.hint) from exc


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List all there ever were, and when each was used last, to the minute."""
    now = datetime.now(UTC)
    with opened() as fleet:
        found = access.listing(fleet)
    if as_json:
        output.as_json([records.token(each, now) for each in found])
    elif not found:
        output.say("no token yet; make one: snapfleet token create NAME --role read")
    else:
        rows = (row(each, now) for each in found)
        output.table(
            ("TOKEN", "ROLE", "DATABASES", "STATE", "EXPIRES", "USED", "MADE"), rows, spare=("MADE",)
        )


def row(token: Token, now: datetime) -> tuple[str, ...]:
    return (
        token.name,
        str(token.role),
        reach(token),
        token.standing(now),
        formats.moment(token.expires_at) if token.expires_at else "never",
        formats.ago(token.last_used_at, now),
        formats.ago(token.created_at, now),
    )


def reach(token: Token) -> str:
    return "all databases" if token.databases is None else ", ".join(token.databases)


def until(token: Token) -> str:
    return "until it is revoked" if token.expires_at is None else f"until {formats.moment(token.expires_at)}"


@app.command()
def revoke(name: Name) -> None:
    """Let a token stand for nobody any more, from the next request on."""
    with opened() as fleet:
        revoked = access.revoke(fleet, name, now=datetime.now(UTC), by=me())
    output.say(f"token {revoked.name} is revoked")
