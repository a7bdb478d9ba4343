"""Settings of a database or of a role that hurt a plain client are kept, and do not hurt us."""

from __future__ import annotations

from collections.abc import Callable

from psycopg import sql

from embedded.postgres import Postgres
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, connect, fingerprint
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.test_majors import not_built_into
from tests.integration.test_round_trip import rich, succeeded

Maker = Callable[..., str]

HURTFUL = {
    "statement_timeout": "20ms",
    "lock_timeout": "20ms",
    "idle_in_transaction_session_timeout": "20ms",
    "idle_session_timeout": "20ms",
    "default_transaction_read_only": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "off",
    "search_path": 'no such, schema"',
    "DateStyle": "SQL, DMY",
    "IntervalStyle": "iso_8601",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "TimeZone": "Asia/Kathmandu",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
    "default_toast_compression": "pglz",
    "constraint_exclusion": "on",
    "check_function_bodies": "on",
    "client_min_messages": "debug5",
    "xmloption": "document",
    "default_tablespace": "pg_default",
    "plan_cache_mode": "force_generic_plan",
    "enable_tidscan": "off",
    "max_parallel_workers_per_gather": "4",
}


def test_settings_of_a_database_do_not_hurt(
    role: RoleMaker, database: Maker, postgres15: Postgres, inline: Inline
) -> None:
    assert_unhurt("database", postgres15, role(postgres15), database(postgres15), inline)


def test_settings_of_a_role_do_not_hurt(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    assert_unhurt("role", postgres, role(postgres), database(postgres), inline)


def assert_unhurt(of: str, server: Postgres, other: str, url: str, inline: Inline) -> None:
    dsn = Dsn.parse(url)
    rich(server, url, other, without=not_built_into(server))
    what, name = sql.SQL(of), sql.Identifier(dsn.user if of == "role" else dsn.dbname)
    hurtful = HURTFUL | ({"transaction_timeout": "20ms"} if server.major >= 17 else {})
    with connect(server, "postgres") as admin:
        for setting, value in hurtful.items():
            admin.execute(
                sql.SQL("alter {} {} set {} to {}").format(what, name, sql.Identifier(setting), value)
            )
    before = fingerprint(server, dsn.dbname)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    with connect(server, dsn.dbname) as admin:
        admin.execute("drop schema shop cascade")
    succeeded(fleet.restore())
    assert_same(fingerprint(server, dsn.dbname), before)
