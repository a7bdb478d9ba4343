"""An emergency: the live database is broken, in ways that keep everybody out of it."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind, JobState, NewJob
from shared.domain.snapshot import Reason
from shared.operations.jobs import requests
from shared.operations.restores import reset
from shared.postgres.dsn import Dsn
from tests.actors import TESTER
from tests.integration.comparison import assert_same, connect, fingerprint, names, nothing_changes
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import fill, succeeded

Maker = Callable[..., str]
Break = Callable[[Postgres, str], None]


def close(server: Postgres, name: str) -> None:
    with connect(server, "postgres") as admin:
        admin.execute(f"alter database {name} allow_connections false")


def shut(server: Postgres, name: str) -> None:
    with connect(server, "postgres") as admin:
        admin.execute(f"alter database {name} connection limit 0")


def damage(server: Postgres, name: str) -> None:
    """Nobody can log in to it any more: the map of its own catalogs is gone."""
    (server.data / "base" / str(oid_of(server, name)) / "pg_filenode.map").unlink()


def rich(url: str) -> str:
    """A database with everything that goes with its name, and something in it."""
    dsn = Dsn.parse(url)
    fill(url, "create table t as select 1 as n")
    for statement in (
        f"comment on database {dsn.dbname} is 'ours'",
        f"alter database {dsn.dbname} set work_mem = '5MB'",
        f"alter database {dsn.dbname} connection limit 44",
        f"revoke connect on database {dsn.dbname} from public",
    ):
        fill(url, statement)
    return dsn.dbname


def properties(server: Postgres, name: str) -> Any:
    with connect(server, "postgres") as session:
        return session.execute(
            "select pg_get_userbyid(datdba), datacl::text, shobj_description(oid, 'pg_database'), encoding, datcollate,"
            " datctype, (select setconfig from pg_db_role_setting where setdatabase = d.oid)"
            " from pg_database d where datname = %s",
            [name],
        ).fetchone()


def oid_of(server: Postgres, name: str) -> int:
    with connect(server, "postgres") as session:
        (oid,) = session.execute("select oid from pg_database where datname = %s", [name]).fetchone() or (0,)
        return int(oid)


def ask(fleet: InlineFleet) -> Job:
    job_id = str(uuid.uuid4())
    return reset.submit(fleet.fleet, NAME, job_id=job_id, idempotency_key=job_id, by=TESTER).job


def run(fleet: InlineFleet) -> Job:
    return fleet.to_its_end(ask(fleet).id)


@pytest.mark.parametrize("ruin", [close, shut, damage])
def test_a_database_that_lets_nobody_in_is_parked_and_an_empty_one_like_it_takes_its_place(
    ruin: Break, own_postgres: Postgres, database: Maker, inline: Inline
) -> None:
    url = database(own_postgres)
    name = rich(url)
    before, oid = properties(own_postgres, name), oid_of(own_postgres, name)
    fleet = inline(url)
    ruin(own_postgres, name)
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    job = succeeded(run(fleet))
    with psycopg.connect(url) as session:
        assert session.execute("select count(*) from pg_class where relname = 't'").fetchone() == (0,)
    assert properties(own_postgres, name) == before
    assert oid_of(own_postgres, str(job.result["parked"])) == oid
    with connect(own_postgres, "postgres") as admin:
        limit = admin.execute("select datconnlimit from pg_database where datname = %s", [name]).fetchone()
    assert limit == ((-1,) if ruin is shut else (44,))
    back = fleet.undo(job)
    if ruin is damage:
        # What cannot be logged in to is not left under the live name.
        assert back.state is JobState.ROLLED_BACK
        assert oid_of(own_postgres, str(job.result["parked"])) == oid
        psycopg.connect(url).close()
    elif ruin is close:
        assert back.state is JobState.SUCCEEDED
        fill(url, "select n from t")


def test_a_reset_is_taken_back_and_forth_with_every_row(url: str, postgres: Postgres, inline: Inline) -> None:
    name = rich(url)
    fleet = inline(url)
    before = fingerprint(postgres, name)
    job = succeeded(run(fleet))
    fill(url, "create table since as select 'written after the reset' as v")
    after = fingerprint(postgres, name)
    succeeded(fleet.undo(job))
    assert_same(fingerprint(postgres, name), before)
    succeeded(fleet.undo(job))
    assert_same(fingerprint(postgres, name), after)


@pytest.fixture
def url(database: Maker) -> str:
    return database()


@pytest.mark.parametrize("step", ["create", "swap", "settle"])
def test_a_reset_that_is_cancelled_leaves_the_old_database(
    step: str, url: str, postgres: Postgres, inline: Inline
) -> None:
    name = rich(url)
    fleet = inline(url)

    def cancel(job: Job, at: str) -> None:
        if at == step:
            with fleet.fleet.catalog.transaction() as tx:
                tx.jobs.request_cancel(job.id)

    fleet.before = cancel
    with nothing_changes(postgres, name):
        assert run(fleet).state is JobState.CANCELLED


def test_jobs_that_are_at_work_on_it_are_cancelled_first(url: str, inline: Inline) -> None:
    rich(url)
    fleet = inline(url)
    asked = requests.snapshot_request(
        snapshot_id="s1",
        prune_job_id=str(uuid.uuid4()),
        verify_job_id=str(uuid.uuid4()),
        reason=Reason.MANUAL,
        labels={},
    )
    at_work, waiting = (
        requests.submit(
            fleet.fleet,
            NewJob(id=key, kind=JobKind.SNAPSHOT, database=NAME, request=asked, idempotency_key=key),
            by=TESTER,
        ).job
        for key in (str(uuid.uuid4()), str(uuid.uuid4()))
    )
    seen = reset.look(fleet.fleet, NAME, job_id=str(uuid.uuid4()))
    assert [job.id for job in seen.stopped] == [at_work.id, waiting.id]
    reset.clear_the_way(fleet.fleet, seen.stopped, by=TESTER)
    succeeded(run(fleet))
    assert {fleet.job(job.id).state for job in (at_work, waiting)} == {JobState.CANCELLED}


def test_a_database_that_is_not_there_is_restored_and_not_reset(
    url: str, postgres: Postgres, inline: Inline
) -> None:
    fleet = inline(url)
    dsn = Dsn.parse(url)
    with connect(postgres, "postgres") as admin:
        admin.execute(f"drop database {dsn.dbname}")
    before = names(postgres)
    refused(run(fleet), "database_missing")
    assert names(postgres) == before
