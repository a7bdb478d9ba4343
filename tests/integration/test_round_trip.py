"""A snapshot brought back is the database that it was taken of: by schema text, rows, settings and grants."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, connect, fingerprint
from tests.integration.conftest import Inline, RoleMaker

Maker = Callable[..., str]
SAMPLE = (Path(__file__).parent / "rich_sample.sql").read_text("utf-8")


def fill(url: str, script: str, **session: Any) -> None:
    with psycopg.connect(url, autocommit=True, **session) as owner:
        owner.execute(script.encode())


def rich(server: Postgres, url: str, other: str) -> None:
    """Fill the sample in, and give the database properties that no archive carries."""
    fill(url, SAMPLE.replace(":other", other))
    dsn = Dsn.parse(url)
    name, owner = sql.Identifier(dsn.dbname), sql.Identifier(dsn.user)
    with connect(server, "postgres") as admin:
        admin.execute(sql.SQL('grant set on parameter my_app."Odd" to {}').format(owner))
    with psycopg.connect(url, autocommit=True) as session:
        for statement in (
            "comment on database {} is 'it''s \"odd\"\nand {{long}} %s'",
            "alter database {} connection limit 77",
            "alter database {} set search_path to '\"$user\"', 'shop', 'Ödd \"schema\" ', 'a, b', ''",
            "alter database {} set work_mem = '5MB'",
            "alter database {} set datestyle = 'German, DMY'",
            "alter database {} set my_app.\"Odd\" = 'x=y, z'",
            "revoke connect on database {} from public",
        ):
            session.execute(sql.SQL(statement).format(name))
        session.execute(
            sql.SQL("grant connect, create on database {} to {} with grant option").format(
                name, sql.Identifier(other)
            )
        )
        session.execute(sql.SQL("alter role {} in database {} set work_mem = '6MB'").format(owner, name))


def succeeded(job: Job) -> Job:
    assert job.state is JobState.SUCCEEDED, (job.step, job.error)
    return job


def test_everything_an_owner_can_make_comes_back(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    other = role(postgres)
    url = database()
    name = Dsn.parse(url).dbname
    rich(postgres, url, other)
    before = fingerprint(postgres, name)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    fill(url, "drop schema shop cascade; drop publication if exists changes")
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(sql.SQL("alter database {} reset all").format(sql.Identifier(name)))
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres, name), before)
