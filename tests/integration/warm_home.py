"""A fleet with a warm copy, and what tests look at of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
from sqlalchemy import text

from shared.catalog.warm import WarmCopy
from shared.domain.job import Job
from shared.operations.databases import preview
from shared.operations.databases.preview import Intent
from shared.operations.jobs import requests
from shared.operations.upkeep import schedule
from shared.postgres.dsn import Dsn
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import fill, succeeded

SCHEMA = """
    create table big as select n, repeat(md5(n::text), 12) as v from generate_series(1, 6000) n;
    alter table big add primary key (n);
    create unlogged table quick as select 1 as one;
    create table small as select 'as in the snapshot' as what
"""
SINCE = "update small set what = 'written since'; delete from big where n % 2 = 0"


def url_of(home: InlineFleet) -> str:
    return home.fleet.database(NAME).url


def readied(home: InlineFleet) -> InlineFleet:
    """With a warm copy of its newest snapshot, and a live database that has gone on since; nothing is parked."""
    url = url_of(home)
    home.before = lambda _job, _step: None
    configure(home, warm=True, assertions=())
    fill(url, "drop schema public cascade; create schema public;" + SCHEMA)
    with home.fleet.catalog.engine.begin() as connection:
        connection.execute(text("update parked set expires_at = now() - interval '1 s'"))
    schedule.housekeeping(home.fleet)
    if not home.snapshots() or seen(home).warm is None:
        warmed(home)
    fill(url, SINCE)
    return home


def warmed(fleet: InlineFleet) -> Job:
    taken = succeeded(fleet.snapshot())
    return succeeded(fleet.verify(str(taken.request["snapshot_id"])))


def there(fleet: InlineFleet) -> list[WarmCopy]:
    with fleet.fleet.catalog.transaction() as tx:
        return list(tx.warm.there())


def on_server(url: str, statement: str, database: str = "postgres") -> Any:
    """As the database's owner, who owns its copies too."""
    with psycopg.connect(Dsn.parse(url).for_database(database).conninfo("test"), autocommit=True) as session:
        cursor = session.execute(statement.encode())
        return cursor.fetchall() if cursor.description else None


def ours(url: str) -> list[str]:
    """Databases of ours that this owner has, by kind."""
    query = r"select datname from pg_database where datname like 'snapfleet\_%' and pg_get_userbyid(datdba) = current_user"
    return sorted(name.split("_")[1] for (name,) in on_server(url, query))


def configure(fleet: InlineFleet, **changes: Any) -> None:
    fleet.configure(databases={NAME: replace(fleet.fleet.database(NAME), **changes)})


def seen(fleet: InlineFleet) -> preview.RestorePreview:
    chosen = requests.choose_snapshot(fleet.fleet, NAME, snapshot_id=None, at=None)
    return preview.restore_of(fleet.fleet, Intent(database=NAME, snapshot=chosen))


def cold(job: Job) -> bool:
    return "warm" not in succeeded(job).result


def fleet_oid(url: str, name: str) -> int | None:
    found = on_server(url, f"select oid::bigint from pg_database where datname = '{name}'")
    return int(found[0][0]) if found else None
