"""Every kind of trouble inside a database is found where it is, and nothing is found in a sound one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from embedded.postgres import Postgres
from shared.domain.findings import Finding, added
from shared.operations.databases import integrity
from shared.operations.databases.integrity import Budget
from shared.postgres.dsn import Dsn
from shared.postgres.integrity import looking

Maker = Callable[..., str]
SAMPLE = (Path(__file__).parent / "rich_sample.sql").read_text("utf-8")


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


def as_admin(server: Postgres, url: str, *statements: str) -> None:
    """What only a superuser may: such as switching foreign keys off."""
    run(server.dsn(Dsn.parse(url).dbname), *statements)


def look(url: str, *, each: float = 30, total: float = 60) -> list[Finding]:
    budget = Budget.of(each=timedelta(seconds=each), total=timedelta(seconds=total))
    with looking(Dsn.parse(url), application_name="a test") as session:
        return list(integrity.look(session, budget))


def codes(url: str) -> list[tuple[str, str]]:
    return [(finding.code, finding.subject) for finding in look(url)]


def test_in_a_sound_database_with_everything_in_it_only_that_is_found_which_it_says_of_itself(
    database: Maker,
) -> None:
    url = database()
    run(url, SAMPLE.replace(":other", Dsn.parse(url).user))
    stated = {"constraint_not_validated", "unlogged_table"}
    assert [finding for finding in look(url) if finding.code not in stated] == []


def test_an_index_whose_creation_broke_off_is_found(database: Maker) -> None:
    url = database()
    run(url, "create table t (a int)", "insert into t values (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        run(url, "create unique index concurrently t_a on t (a)")
    assert codes(url) == [("invalid_index", "public.t_a")]


def test_an_index_of_partitions_that_the_server_has_miscounted_is_found_until_it_counts_anew(
    database: Maker, postgres: Postgres
) -> None:
    url = database()
    run(
        url,
        "create table p (id int) partition by range (id)",
        "create table p_1 partition of p default",
        "create index whole on p (id)",
        "create index bare on only p (id)",
    )
    assert codes(url) == []
    as_admin(
        postgres, url, "update pg_index set indisvalid = false where indexrelid = 'public.whole'::regclass"
    )
    assert codes(url) == [("uncounted_index", "public.whole")]
    run(url, "alter index whole attach partition p_1_id_idx")
    assert codes(url) == []


def test_constraints_that_nobody_has_validated_are_found(database: Maker) -> None:
    url = database()
    run(
        url,
        "create table p (id int primary key)",
        "create table c (id int)",
        "alter table c add constraint positive check (id > 0) not valid",
        "alter table c add constraint fk foreign key (id) references p not valid",
    )
    assert codes(url) == [
        ("constraint_not_validated", "public.c: fk"),
        ("constraint_not_validated", "public.c: positive"),
    ]


def test_orphans_behind_foreign_keys_of_every_form_are_counted(database: Maker, postgres: Postgres) -> None:
    """Though the triggers were off: no constraint of the server would ever tell."""
    url = database()
    run(
        url,
        'create schema "Odd ""one"',
        'create table "Odd ""one".p (a int, "B b" text, primary key (a, "B b"))',
        'insert into "Odd ""one".p values (1, \'x\')',
        'create table simple (a int, b text, foreign key (a, b) references "Odd ""one".p)',
        'create table whole (a int, b text, foreign key (a, b) references "Odd ""one".p match full)',
        "create table tree (a int, b text) partition by range (a)",
        "create table low partition of tree for values from (0) to (10)",
        "create table high partition of tree for values from (10) to (20)",
        'alter table tree add constraint tree_fk foreign key (a, b) references "Odd ""one".p',
        "create table heir (extra int) inherits (simple)",
        "create table self (id bigint primary key, up int references self)",
    )
    rows = "(1, 'x'), (2, 'x'), (2, null), (null, null)"
    as_admin(
        postgres,
        url,
        f"set session_replication_role = replica; insert into simple values {rows};"
        f"insert into whole values {rows}; insert into tree values (1, 'x'), (3, 'x'), (13, 'x');"
        "insert into heir values (9, 'nobody cares', 1); insert into self values (1, 1), (2, 7)",
    )
    found = {f.subject: f.amount for f in look(url) if f.code == "orphan_rows"}
    assert found == {
        "public.simple: simple_a_b_fkey": 1,
        "public.whole: whole_a_b_fkey": 2,
        "public.tree: tree_fk": 2,
        "public.self: self_up_fkey": 1,
    }


def test_a_key_of_a_type_of_its_own_is_compared_by_its_own_operator(
    database: Maker, postgres: Postgres
) -> None:
    """The = of citext is in no search_path of ours."""
    url = database()
    as_admin(postgres, url, "create extension citext")
    run(
        url,
        "create table p (name citext primary key)",
        "create table c (name citext references p)",
        "insert into p values ('Ada')",
        "insert into c values ('ADA')",
    )
    assert codes(url) == []
    as_admin(postgres, url, "set session_replication_role = replica; insert into c values ('Bob')")
    assert codes(url) == [("orphan_rows", "public.c: c_name_fkey")]


def test_a_foreign_key_that_is_switched_off_is_found_with_and_without_orphans(
    database: Maker, postgres: Postgres
) -> None:
    url = database()
    run(url, "create table p (id int primary key)", "create table c (id int references p)")
    as_admin(postgres, url, "alter table c disable trigger all")
    assert codes(url) == [("foreign_key_disabled", "public.c: c_id_fkey")]
    run(url, "insert into c select generate_series(1, 2000)")
    orphans = look(url)[-1]
    assert (orphans.code, orphans.amount) == ("orphan_rows", 1000)
    assert orphans.what.startswith("1,000 or more rows of public.c refer to none of public.p")


def test_a_sequence_that_would_give_what_its_column_has_is_found(database: Maker) -> None:
    url = database()
    run(
        url,
        "create table by_serial (id serial)",
        "create table by_identity (id bigint generated by default as identity)",
        "create sequence shared",
        "create table by_default (id int default nextval('shared'))",
        "create sequence down increment -1",
        "create table downwards (id int default nextval('down'))",
        "create table fine (id serial)",
        "insert into by_serial values (5)",
        "insert into by_identity values (1)",
        "insert into by_default values (default), (default), (7)",
        "insert into downwards values (-3)",
        "insert into fine values (default), (default), (0)",
    )
    assert {(f.code, f.subject.partition(":")[0], f.amount) for f in look(url)} == {
        ("sequence_behind", "public.by_serial_id_seq", 5),
        ("sequence_behind", "public.by_identity_id_seq", 1),
        ("sequence_behind", "public.shared", 5),
        ("sequence_behind", "public.down", 3),
    }


def test_unlogged_tables_are_good_to_know(database: Maker) -> None:
    url = database()
    run(url, "create unlogged table cache (id int)")
    (finding,) = look(url)
    assert (finding.code, finding.severity, finding.subject) == ("unlogged_table", "info", "public.cache")


def test_what_takes_too_long_or_is_locked_is_said_and_not_guessed(database: Maker) -> None:
    url = database()
    run(url, "create table p (id int primary key)", "create table c (id int references p)")
    with psycopg.connect(url) as holder:
        holder.execute("lock table c in access exclusive mode")
        began = time.monotonic()
        (finding,) = look(url)
        assert time.monotonic() - began < 60
    assert (finding.code, finding.subject) == ("not_searched", "foreign keys")
    assert "public.c: c_id_fkey (somebody holds a lock on it)" in finding.what
    (finding,) = look(url, total=0)
    assert "no time was left" in finding.what


def test_looking_can_change_nothing(database: Maker) -> None:
    url = database()
    with (
        pytest.raises(Exception, match="read-only transaction"),
        looking(Dsn.parse(url), application_name="a test") as session,
    ):
        session.execute("create table t ()")


def check_indexes(url: str) -> list[Finding]:
    budget = Budget.of(each=timedelta(seconds=30), total=timedelta(seconds=60))
    with looking(Dsn.parse(url), application_name="a test") as session:
        return list(integrity.indexes(session, budget))


def test_an_index_that_contradicts_itself_is_found_by_amcheck(database: Maker, postgres: Postgres) -> None:
    """Its order is taken away under it, as a new version of a collation does."""
    url = database()
    assert [f.code for f in check_indexes(url)] == ["indexes_not_checked"]
    run(
        url,
        "create function before(a int, b int) returns int language sql immutable as 'select a - b'",
        "create table t (a int)",
        "insert into t select generate_series(1, 100)",
    )
    as_admin(
        postgres,
        url,
        "create extension amcheck",
        "create operator class by_before for type int4 using btree as operator 1 <, operator 2 <=,"
        " operator 3 =, operator 4 >=, operator 5 >, function 1 before(int, int)",
        "create index t_a on t (a by_before)",
    )
    admin = postgres.dsn(Dsn.parse(url).dbname)
    assert check_indexes(admin) == []
    run(
        url,
        "create or replace function before(a int, b int) returns int language sql immutable as 'select b - a'",
    )
    assert [(f.code, f.subject) for f in check_indexes(admin)] == [("index_damaged", "public.t_a")]
    (refused,) = check_indexes(url)
    assert (refused.code, "this role may not read it" in refused.what) == ("not_searched", True)


def test_only_what_is_worse_than_before_counts_as_added(database: Maker, postgres: Postgres) -> None:
    url = database()
    run(url, "create table p (id int primary key)", "create table c (id int references p)")
    as_admin(postgres, url, "set session_replication_role = replica; insert into c values (1)")
    before = look(url)
    assert added(before, look(url)) == ()
    as_admin(postgres, url, "set session_replication_role = replica; insert into c values (2)")
    run(url, "create unlogged table cache ()")
    assert [(f.code, f.amount) for f in added(before, look(url))] == [("orphan_rows", 2)]
    assert added(look(url), before) == ()
