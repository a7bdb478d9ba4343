"""What goes wrong with real servers, as the error that a user sees. The table itself: tests/unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from embedded.postgres import Postgres
from shared.errors import Busy, NotFound, Permanent, Refused, SnapfleetError, Transient, Unreachable
from shared.postgres import tools
from shared.postgres.dsn import Dsn
from tests.integration.dumping import (
    FILL,
    Maker,
    dumped,
    dumping,
    execute,
    exported,
    locked,
    restored,
    side,
    tools_for,
)


def failure(kind: type[SnapfleetError], code: str, call: Callable[[], object]) -> SnapfleetError:
    with pytest.raises(kind) as failed:
        call()
    assert (type(failed.value), failed.value.code) == (kind, code)
    return failed.value


def test_a_wrong_password_is_named_and_not_shown(postgres: Postgres, database: Maker) -> None:
    target = Dsn.parse(database(postgres))
    archive = dumped(tools_for(postgres), target)
    wrong = replace(target, password="hunter2")
    error = failure(Refused, "wrong_password", lambda: restored(tools_for(postgres), wrong, archive))
    assert "hunter2" not in f"{error} {error.hint} {error.__cause__}"


def test_a_lock_is_waited_for_so_long_and_no_longer(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, "create table orders as select 1")
    with locked(source, "orders"):
        error = failure(Busy, "lock_timeout", lambda: dumped(tools_for(postgres), source))
    assert "orders" in error.message
    assert dumped(tools_for(postgres), source)


def test_a_lock_on_one_of_many_tables_is_recognised(postgres: Postgres, database: Maker) -> None:
    """pg_dump complains with the list of them all, after the error."""
    source = Dsn.parse(database(postgres))
    execute(source, *(f"create table a_table_with_a_long_name_{n} ()" for n in range(300)))
    with locked(source, "a_table_with_a_long_name_299"):
        failure(Busy, "lock_timeout", lambda: dumped(tools_for(postgres), source))


def test_an_older_pg_dump_is_refused_before_any_byte(
    postgres: Postgres, postgres15: Postgres, database: Maker
) -> None:
    source = Dsn.parse(database(postgres))
    old = tools.find(bin_dir=postgres15.bin_dir)[0]
    with pytest.raises(Refused) as refused:
        tools.choose([old], server_major=postgres.major, tls_required=False)
    assert "postgresql-client-18" in str(refused.value.hint)
    got: list[bytes] = []

    def call() -> None:
        with dumping(old, source) as pieces:
            got.extend(pieces)

    failure(Refused, "client_too_old", call)
    assert not got


def test_an_archive_too_new_for_pg_restore_is_refused(
    postgres: Postgres, postgres15: Postgres, database: Maker
) -> None:
    archive = dumped(tools_for(postgres), Dsn.parse(database(postgres)))
    target = Dsn.parse(database(postgres15))
    failure(Refused, "client_too_old", lambda: restored(tools_for(postgres15), target, archive))


def reader_of(source: Dsn, other: Dsn) -> Dsn:
    return replace(other, dbname=source.dbname)


def test_a_table_without_rights_fails_the_dump_by_name(postgres: Postgres, database: Maker) -> None:
    source, other = Dsn.parse(database(postgres)), Dsn.parse(database(postgres))
    execute(source, "create table open ()", "create table closed ()", f"grant select on open to {other.user}")
    error = failure(
        Refused, "insufficient_rights", lambda: dumped(tools_for(postgres), reader_of(source, other))
    )
    assert "closed" in error.message


def test_row_level_security_fails_the_dump_by_name(postgres: Postgres, database: Maker) -> None:
    source, other = Dsn.parse(database(postgres)), Dsn.parse(database(postgres))
    execute(
        source,
        "create table ours as select 1 as n",
        "alter table ours enable row level security",
        "create policy none on ours using (n > 1)",
        f"grant select on ours to {other.user}",
    )
    error = failure(
        Refused, "insufficient_rights", lambda: dumped(tools_for(postgres), reader_of(source, other))
    )
    assert "row-level security" in error.message
    assert "ours" in error.message


def test_a_session_ended_in_mid_dump_is_a_server_out_of_reach(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, "create table big as select repeat('x', 1000) from generate_series(1, 30000)")
    got: list[bytes] = []

    def call() -> None:
        with dumping(tools_for(postgres), source, name="cut") as pieces:
            got.append(next(pieces))
            execute(
                source,
                "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'cut'",
            )
            got.extend(pieces)

    failure(Unreachable, "source_unreachable", call)
    assert 1_000_000 < sum(map(len, got)) < 30_000_000


def test_a_server_that_is_not_there_is_out_of_reach(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    archive = dumped(tools_for(postgres), source)
    nowhere = replace(source, port=1)
    failure(Unreachable, "source_unreachable", lambda: restored(tools_for(postgres), nowhere, archive))


def test_a_database_that_is_not_there_is_not_found(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    archive = dumped(tools_for(postgres), source)
    nowhere = source.for_database("nowhere")
    failure(NotFound, "database_missing", lambda: restored(tools_for(postgres), nowhere, archive))


def test_tools_without_tls_cannot_serve_a_connection_that_demands_it(
    postgres: Postgres, database: Maker
) -> None:
    source = Dsn.parse(database(postgres))
    archive = dumped(tools_for(postgres), source)
    demanding = replace(source, parameters=(("sslmode", "require"),))
    failure(Refused, "client_without_tls", lambda: restored(tools_for(postgres), demanding, archive))


def test_a_snapshot_whose_holder_is_gone_is_lost(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    with exported(source) as snapshot:
        pass
    failure(Transient, "snapshot_lost", lambda: dumped(tools_for(postgres), source, snapshot=snapshot))


def test_an_error_in_a_restore_fails_it_in_the_server_s_words(postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, *FILL)
    archive = dumped(tools_for(postgres), source)
    error = failure(Permanent, "tool_failed", lambda: restored(tools_for(postgres), source, archive))
    assert "already exists" in error.message
    assert "CREATE" not in error.message


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.99])
def test_a_truncated_archive_fails(share: float, postgres: Postgres, database: Maker) -> None:
    source = Dsn.parse(database(postgres))
    execute(source, *FILL)
    archive = dumped(tools_for(postgres), source)
    target, cut = side(source), archive[: int(len(archive) * share)]
    failure(Permanent, "tool_failed", lambda: restored(tools_for(postgres), target, cut))
