"""The catalog's tables: made by migrations exactly as modelled, and refusing what must never be there."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Generator
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from shared.catalog import catalog, ledgers, models  # noqa: F401 - to be declared
from shared.catalog.catalog import Catalog
from shared.catalog.mapping import Base
from shared.catalog.migration import MIGRATION_LOCK, migrate
from shared.catalog.revision import HEAD, check_migrated
from shared.errors import Busy, Misconfigured, Refused, SnapfleetError, Unreachable
from shared.postgres.dsn import Dsn

Maker = Callable[..., str]
JOB = """insert into job (id, kind, database, idempotency_key, deadline_at, state)
         values (%s, %s, 'orders', %s, now() + interval '1 h', %s)"""
SNAPSHOT = """insert into snapshot (id, database, sequence, reason, state, manifest_sha256, taken_at)
              values (%s, %s, %s, %s, %s, %s, now())"""


@pytest.fixture
def url(database: Maker) -> str:
    return database()


@pytest.fixture
def empty(url: str) -> Generator[Catalog]:
    """A catalog that nobody has migrated."""
    made = catalog.connect(url)
    yield made
    made.close()


@pytest.fixture
def db(url: str, empty: Catalog) -> Generator[psycopg.Connection[Any]]:
    """A session in a migrated catalog that knows the database `orders`."""
    migrate(empty)
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("insert into database (name) values ('orders')")
        yield session


def new_job(db: psycopg.Connection[Any], kind: str = "snapshot", state: str = "pending") -> str:
    job_id = str(uuid.uuid4())
    db.execute(JOB, [job_id, kind, job_id, state])
    return job_id


def new_snapshot(db: psycopg.Connection[Any], snapshot_id: str = "s1", **changed: Any) -> None:
    values: dict[str, Any] = {
        "database": "orders", "sequence": 1, "reason": "manual", "state": "copying", "sha256": None,
    }  # fmt: skip
    db.execute(SNAPSHOT, [snapshot_id, *(values | changed).values()])


def test_migrations_make_exactly_the_models(empty: Catalog) -> None:
    migrate(empty)
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_models_checks_and_indexes_are_there_too(db: psycopg.Connection[Any], database: Maker) -> None:
    """What the comparison above does not look at: checks, partial indexes, and what their conditions say."""
    modelled = database()
    bare = catalog.connect(modelled)
    Base.metadata.create_all(bare.engine)
    bare.close()
    for query in (
        (
            "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
            " where connamespace = 'public'::regnamespace and conrelid::regclass::text <> 'alembic_version' order by 1, 2"
        ),
        "select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'alembic_version' order by 1",
    ):
        with psycopg.connect(modelled) as other:
            assert db.execute(query).fetchall() == other.execute(query).fetchall()


def test_to_migrate_twice_changes_nothing(empty: Catalog) -> None:
    with pytest.raises(Misconfigured, match="none"):
        check_migrated(empty)
    before, head = migrate(empty)
    assert (before, head) == (None, HEAD)
    assert migrate(empty) == (head, head)
    check_migrated(empty)


def test_of_many_that_migrate_at_once_all_end_and_the_others_are_told(url: str) -> None:
    ended: list[object] = []
    start = threading.Barrier(6)

    def run() -> None:
        ours = catalog.connect(url)
        start.wait()
        try:
            ended.append(migrate(ours))
        except SnapfleetError as exc:
            ended.append(exc)
        ours.close()

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ended) == 6
    refusals = [e for e in ended if isinstance(e, SnapfleetError)]
    assert all(isinstance(e, Busy) and e.code == "migration_running" and e.hint for e in refusals)
    assert [e for e in ended if isinstance(e, tuple) and e[0] is None]
    ours = catalog.connect(url)
    check_migrated(ours)
    ours.close()


def test_whoever_migrates_keeps_others_out(url: str, empty: Catalog) -> None:
    with psycopg.connect(url) as other:
        other.execute("select pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        with pytest.raises(Busy) as busy:
            migrate(empty)
        assert busy.value.code == "migration_running"
    assert migrate(empty)[0] is None


def test_a_migration_that_fails_leaves_nothing(url: str, empty: Catalog) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute("create table chunk (taken int)")
        with pytest.raises(SnapfleetError):
            migrate(empty)
        tables = session.execute("select relname from pg_class where relkind = 'r' and relnamespace = 2200")
        assert tables.fetchall() == [("chunk",)]


def test_a_catalog_of_a_later_release_is_left_alone(db: psycopg.Connection[Any], empty: Catalog) -> None:
    db.execute("update alembic_version set version_num = '9999'")
    with pytest.raises(Misconfigured) as refusal:
        migrate(empty)
    assert (refusal.value.code, bool(refusal.value.hint)) == ("catalog_newer", True)


def test_a_catalog_that_is_not_migrated_says_so(empty: Catalog) -> None:
    with pytest.raises(Misconfigured) as refusal, empty.transaction() as tx:
        tx.jobs.listing()
    assert refusal.value.code == "catalog_not_migrated"
    assert "snapfleet migrate" in str(refusal.value.hint)
    with pytest.raises(Misconfigured) as at_start:
        check_migrated(empty)
    assert "snapfleet catalog rebuild" in str(at_start.value.hint)


@pytest.mark.parametrize("kind", ["snapshot", "restore", "undo", "prune"])
@pytest.mark.parametrize("state", ["active", "rolling_back"])
def test_a_database_has_one_live_job(kind: str, state: str, db: psycopg.Connection[Any]) -> None:
    for other in ("pending", "pending", "succeeded", "failed", "rolled_back", "cancelled", state):
        new_job(db, state=other)
    with pytest.raises(psycopg.errors.UniqueViolation, match="one_live"):
        new_job(db, kind, "active")


@pytest.mark.parametrize(
    "statement",
    [
        "update job set state = 'done'",
        "update job set kind = 'other'",
        "update job set epoch = -1",
        "update job set next_seq = 0",
        "insert into job_step (job_id, seq, name, state) select id, 1, 'x', 'other' from job",
        "insert into part (job_id, number, epoch, spec, expected_bytes, state) select id, 1, 1, '{}', 1, 'x' from job",
        "update snapshot set state = 'verified'",
        "update snapshot set reason = 'whim'",
        "update snapshot set state = 'sealed'",
        "update snapshot set state = 'sealed', taken_at = null, manifest_sha256 = 'x'",
        (
            "insert into chunk (database, sha256, raw_bytes, stored_bytes, stored_sha256, state)"
            " values ('orders', 'a', 1, 1, 'a', 'lost')"
        ),
    ],
)
def test_a_value_that_no_state_has_is_refused(statement: str, db: psycopg.Connection[Any]) -> None:
    new_job(db)
    new_snapshot(db)
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "update job set database = 'unknown'",
        "update snapshot set database = 'unknown'",
        "update snapshot set job_id = gen_random_uuid()",
        "delete from database",
        "delete from snapshot",
        "delete from chunk",
        "delete from job where id = (select job_id from snapshot)",
        "insert into snapshot_chunk values ('s1', 'orders', 'missing')",
        "insert into snapshot_chunk values ('unknown', 'orders', 'a')",
        "insert into snapshot_hold select 'unknown', id from job",
        "insert into slot values ('unknown', now(), null)",
        "insert into outbox (database, sequence, type) values ('unknown', 1, 'x')",
        "insert into parked select id, 'unknown', 'p', 'l', 1, now() from job",
        "insert into part (job_id, number, epoch, spec, expected_bytes) values (gen_random_uuid(), 1, 1, '{}', 1)",
    ],
)
def test_what_is_referred_to_exists(statement: str, db: psycopg.Connection[Any]) -> None:
    new_snapshot(db)
    db.execute("update snapshot set job_id = %s", [new_job(db)])
    db.execute(
        "insert into chunk (database, sha256, raw_bytes, stored_bytes, stored_sha256)"
        " values ('orders', 'a', 1, 1, 'a')"
    )
    db.execute("insert into snapshot_chunk values ('s1', 'orders', 'a')")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        db.execute(statement.encode())


@pytest.mark.parametrize(
    "again",
    [
        "insert into snapshot (id, database, sequence, reason) values ('s2', 'orders', 1, 'manual')",
        (
            "insert into job (id, kind, database, idempotency_key, deadline_at)"
            " select gen_random_uuid(), kind, database, idempotency_key, now() from job"
        ),
        "insert into slot values ('orders', '2026-01-01', null)",
        "insert into outbox (database, sequence, type) values ('orders', 1, 'x')",
    ],
)
def test_what_is_one_is_never_two(again: str, db: psycopg.Connection[Any]) -> None:
    new_snapshot(db)
    new_job(db)
    db.execute("insert into slot values ('orders', '2026-01-01', null)")
    db.execute("insert into outbox (database, sequence, type) values ('orders', 1, 'first')")
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.execute(again.encode())


def test_a_job_takes_its_steps_and_parts_with_it(db: psycopg.Connection[Any]) -> None:
    new_job(db)
    db.execute("insert into job_step (job_id, seq, name) select id, 1, 'copy' from job")
    db.execute(
        "insert into part (job_id, number, epoch, spec, expected_bytes) select id, 1, 1, '{}', 1 from job"
    )
    db.execute("delete from job")
    left = db.execute("select (select count(*) from job_step), (select count(*) from part)").fetchone()
    assert left == (0, 0)


@pytest.mark.parametrize(
    ("change", "kind", "code"),
    [
        ({"password": "wrong"}, Refused, "catalog_wrong_password"),
        ({"dbname": "no such database"}, Misconfigured, "catalog_missing"),
        ({"port": 1}, Unreachable, "catalog_unreachable"),
    ],
)
def test_a_catalog_that_cannot_be_reached_says_why_without_its_url(
    change: dict[str, Any], kind: type[SnapfleetError], code: str, url: str
) -> None:
    dsn = Dsn.parse(url)
    arguments: dict[str, Any] = {
        "host": dsn.host,
        "port": dsn.port,
        "user": dsn.user,
        "password": dsn.password,
        "dbname": dsn.dbname,
    }
    ours = catalog.connect(psycopg.conninfo.make_conninfo("", **(arguments | change)))
    with pytest.raises(kind) as failure:
        ours.identity()
    ours.close()
    assert (failure.value.code, bool(failure.value.hint)) == (code, True)
    assert "secret" not in str(failure.value)


def test_the_identity_is_the_same_under_every_name(url: str, database: Maker, empty: Catalog) -> None:
    alias = catalog.connect(url.replace("127.0.0.1", "localhost"))
    other = catalog.connect(database())
    assert alias.identity() == empty.identity()
    assert other.identity()[0] == empty.identity()[0]
    assert other.identity() != empty.identity()
    for each in (alias, other):
        each.close()
