"""Indexes of partitions of partitions: put together one by one, for the server is not to be trusted with two at once."""

from __future__ import annotations

import tempfile

import psycopg

from embedded.postgres import Postgres
from shared.operations.databases import source
from shared.postgres.contents import listing
from shared.postgres.dsn import Dsn
from shared.postgres.entries import in_turns
from shared.postgres.session import connected
from tests.integration.comparison import assert_same, connect, fingerprint
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME
from tests.integration.test_round_trip import Maker, fill, succeeded

TREE = """
    create table event (id int, at date, region text, unique (id, at, region)) partition by range (at);
    create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01')
        partition by list (region);
    create table event_2025_eu partition of event_2025 for values in ('de', 'fr');
    create table event_2025_rest partition of event_2025 default;
    create table event_rest partition of event default;
    create index event_at on event (at, id);
    comment on index event_at is 'of the root';
    insert into event select n, date '2025-01-01' + n % 400, (array['de', 'fr', 'us'])[n % 3 + 1]
      from generate_series(1, 1000) n;
    create table remark (id int, at date, region text,
        constraint of_an_event foreign key (id, at, region) references event (id, at, region));
    insert into remark select id, at, region from event limit 10;
    comment on constraint of_an_event on remark is 'of a key that needs the whole tree';
"""


def test_they_are_attached_one_by_one_after_the_indexes_and_before_what_needs_them(
    database: Maker, inline: Inline
) -> None:
    url = database()
    fill(url, TREE)
    fleet = inline(url)
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    with tempfile.TemporaryFile() as archive, connected(Dsn.parse(url), application_name="test") as session:
        for chunk in manifest.archive:
            archive.writelines(fleet.fleet.repository.read_chunk(NAME, chunk))
        archive.flush()
        tools = source.choose_tools(fleet.fleet, Dsn.parse(url), session)
        lines = tuple(listing(tools, archive_fd=archive.fileno()))
        turns = in_turns(tools, lines, archive_fd=archive.fileno())
    assert sorted((*turns.first, *turns.one_by_one, *turns.last)) == sorted(lines)
    assert {line for line in lines if b" INDEX ATTACH " in line} == {*turns.one_by_one}
    assert len(turns.one_by_one) == 8
    assert [b"of_an_event" in line for line in turns.last] == [True, True]


def test_a_foreign_key_to_a_table_of_partitions_comes_back(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, TREE)
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    fleet = inline(url, parallelism=4)
    succeeded(fleet.snapshot())
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)


def test_a_tree_that_a_former_restore_has_left_invalid_is_whole_again_and_proven(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, TREE)
    with connect(postgres, Dsn.parse(url).dbname) as admin:
        admin.execute("update pg_index set indisvalid = false where indexrelid = 'public.event_at'::regclass")
    fleet = inline(url)
    succeeded(fleet.snapshot())
    succeeded(fleet.restore())
    with psycopg.connect(url) as session:
        valid = "select indisvalid from pg_index where indexrelid = 'public.event_at'::regclass"
        assert session.execute(valid).fetchone() == (True,)
