"""A snapshot brought back is the database that it was taken of: by schema text, rows, settings and grants."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import Postgres
from shared.domain.job import Job, JobState
from shared.domain.parts import CopyFormat
from shared.postgres.dsn import Dsn
from shared.storage.s3 import S3Storage
from tests.extent import WHOLE
from tests.integration import rich_types
from tests.integration.comparison import assert_same, connect, fingerprint
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import MIB, InlineFleet, files

Maker = Callable[..., str]
SAMPLE, OBJECTS = (
    (Path(__file__).parent / f"rich_{name}.sql").read_text("utf-8") for name in ("sample", "objects")
)


def fill(url: str, script: str, **session: Any) -> None:
    with psycopg.connect(url, autocommit=True, **session) as owner:
        owner.execute(script.encode())


def rich(server: Postgres, url: str, other: str, *, without: Iterable[str] = ()) -> None:
    """Fill the sample in, and give the database properties that no archive carries."""
    fill(url, SAMPLE.replace(":other", other))
    fill(url, OBJECTS.replace(":other", other))
    fill(url, rich_types.script(rich_types.extremes(server.major, without=without)))
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


def comes_back(server: Postgres, url: str, inline: Inline, **settings: Any) -> tuple[InlineFleet, Job]:
    """Snapshot, lose everything, restore, compare; the fleet and the job of the snapshot."""
    name = Dsn.parse(url).dbname
    before = fingerprint(server, name)
    fleet = inline(url, **settings)
    taken = succeeded(fleet.snapshot())
    fill(url, "drop schema public cascade")
    succeeded(fleet.restore())
    assert_same(fingerprint(server, name), before)
    return fleet, taken


def test_an_empty_database_comes_back(database: Maker, postgres: Postgres, inline: Inline) -> None:
    fleet, taken = comes_back(postgres, database(), inline)
    assert fleet.manifest(taken).tables == ()


def test_a_thousand_small_tables_and_large_objects_come_back(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    for first in range(0, 1000, 500):  # a lock for each table, until the transaction ends
        fill(
            url,
            f"""do $$ begin for i in {first} .. {first + 499} loop
                execute format('create table t%1$s as select %1$s as v', i);
                if i % 10 = 0 then execute format('alter table t%s add id serial primary key', i); end if;
            end loop; end $$""",
        )
    fill(
        url,
        "select lo_from_bytea(0, convert_to('object ' || n, 'UTF8')) from generate_series(1, 1000) n",
    )
    fleet, taken = comes_back(postgres, url, inline)
    counts = fleet.manifest(taken).tables
    assert (len(counts), {count.row_count for count in counts}) == (1000, {1})


EDGES = """
    create type sort as enum ('a', 'b');
    create table {name} {columns};
    alter table {name} add n int generated always as identity, alter filler set storage external;
    insert into {name} (f4, f8, n1, d, t, tz, tm, i, b, c, s, filler) values
    ('NaN', 'NaN', 'NaN', '4713-01-01 BC', '-infinity', 'infinity', '24:00:00+15:59', '-178000000 years',
     '', 'a', '', 'x'),
    ('-0', '-0', '-0.00', '5874897-12-31', '294276-12-31 23:59:59.999999', '4713-01-01 00:00:00 BC+00',
     '00:00-15:59', '1 mon -1 day 00:00:00.000001', '\\x00ff5c2e0a', '    ', E'\\\\.', E'\\\\.\\n\\\\.'),
    ('1.1754944e-38', '2.2250738585072014e-308', 1e-300, 'infinity', 'epoch', 'epoch', '00:00:00+00', '0',
     '\\x5c2e0a', '', E'\\\\N', E'\\\\N'),
    ('1e-45', '5e-324', 123456789012345678901234567890.1234567890, '-infinity', 'infinity', '-infinity',
     null, null, null, null, E'\\b\\f\\v\\r\\n\\t\\\\"'',;\\\\', 'ünï𝄞'),
    ('-infinity', '1.7976931348623157e+308', 'infinity', null, null, null, null, null, null, null, null, null);
    insert into {name} (f8, filler)
    select sin(n) * exp(n % 600), repeat(md5(n::text), 30) from generate_series(1, 12000) n;
"""
COLUMNS = """(f4 float4, f8 float8, n1 numeric, d date, t timestamp, tz timestamptz, tm timetz, i interval,
    b bytea, c char(4), s text, filler text {more})"""


@pytest.mark.parametrize("copy_format", list(CopyFormat))
def test_extreme_values_come_back_from_parts(
    copy_format: CopyFormat, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    more = ", k sort default 'b'" if copy_format is CopyFormat.TEXT else ""
    fill(url, EDGES.format(name='"Edge s"', columns=COLUMNS.format(more=more)))
    fleet, taken = comes_back(postgres, url, inline)
    assert {(p.spec.table, p.spec.format) for p in fleet.manifest(taken).parts} == {("Edge s", copy_format)}


# One row fills one page: what a page range holds is counted in rows.
PAGEFUL = "create table t (n int, v text); alter table t alter v set storage plain;"


def pages(first: int, last: int) -> str:
    return f"insert into t select n, repeat('x', 7900) || n from generate_series({first}, {last}) n;"


@pytest.mark.parametrize("more", [pytest.param(-1, marks=WHOLE), 0, 1])
def test_a_table_that_ends_at_the_limit_of_a_part_comes_back(
    more: int, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, PAGEFUL + pages(1, 9 * 128 + more))
    fleet, taken = comes_back(postgres, url, inline, part_bytes=128 * 8192)
    parts = fleet.manifest(taken).parts
    assert [(p.spec.first_page, p.spec.end_page) for p in parts][-1] == ((9 if more > 0 else 8) * 128, None)
    assert [p.row_count for p in parts[:8]] == [128] * 8
    assert sum(p.row_count for p in parts) == 9 * 128 + more


def test_a_table_that_grew_and_was_vacuumed_stores_only_what_is_new(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, PAGEFUL + pages(1, 1200))
    fleet = inline(url, part_bytes=128 * 8192)
    first = fleet.manifest(succeeded(fleet.snapshot()))
    fill(url, f"delete from t where n = 700; {pages(1201, 1500)}")
    fill(url, "vacuum (freeze) t")
    fill(url, "analyze t")
    second = fleet.manifest(succeeded(fleet.snapshot()))
    assert sum(p.row_count for p in second.parts) == 1499
    changed = [n for n, (a, b) in enumerate(zip(first.parts, second.parts, strict=False)) if a != b]
    # The range that lost a row, and the one that was the last.
    assert changed == [699 // 128, 9]


def test_a_second_snapshot_of_unchanged_data_stores_next_to_nothing(
    database: Maker, inline: Inline, folder: Path
) -> None:
    url = database()
    fill(
        url,
        """create table a (id serial primary key, u uuid default gen_random_uuid(), v text);
        insert into a (v) select repeat(gen_random_uuid()::text, 6) from generate_series(1, 150000);
        create table b as select u from a""",
    )
    fleet = inline(url, part_bytes=4 * MIB)
    succeeded(fleet.snapshot())
    before = files(folder)
    fill(url, "analyze")
    job = succeeded(fleet.snapshot())
    added = sum(size for path, size in files(folder).items() if path not in before)
    [second, first] = fleet.snapshots()
    assert second.id == job.request["snapshot_id"]
    assert first.new_bytes == first.stored_bytes
    assert added < sum(before.values()) / 100
    assert second.new_bytes is not None
    assert second.new_bytes <= added


def test_a_snapshot_in_s3_comes_back(
    database: Maker, postgres: Postgres, inline: Inline, in_s3: S3Storage
) -> None:
    url = database()
    fill(url, PAGEFUL + pages(1, 1500))
    comes_back(postgres, url, inline, storage=in_s3)
