"""What the server does by itself in a database keeps nobody who is no superuser from dropping it."""

from __future__ import annotations

from pathlib import Path

import psycopg

from embedded.postgres import Postgres
from shared.postgres import databases
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected
from tests.conftest import FAST
from tests.waiting import until

NAME = "snapfleet_side_dropped"
# One page, then a rest: who vacuums it is in there for minutes.
SLOW = """
    create table slow (v text) with (
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
        autovacuum_vacuum_insert_threshold = 0, autovacuum_vacuum_insert_scale_factor = 0
    );
    insert into slow select repeat('x', 1000) from generate_series(1, 20000)
"""
VACUUMED = "select 1 from pg_stat_activity where backend_type = 'autovacuum worker' and datname = %s"


def test_a_database_is_dropped_while_autovacuum_is_in_it(tmp_path: Path) -> None:
    server = Postgres(tmp_path, settings=FAST | {"autovacuum_naptime": "1s"})
    server.start()
    try:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("create role owner_of_it login createdb password 'secret'")
            admin.execute(f"create database {NAME} owner owner_of_it")
            with psycopg.connect(server.dsn(NAME, user="owner_of_it", password="secret")) as inside:
                inside.execute(SLOW.encode())
            until(lambda: admin.execute(VACUUMED, [NAME]).fetchone())
            owner = Dsn.parse(server.dsn("postgres", user="owner_of_it", password="secret"))
            with connected(owner, application_name="test") as session:
                databases.drop(session, NAME)
            assert admin.execute("select from pg_database where datname = %s", [NAME]).fetchone() is None
    finally:
        server.stop()
