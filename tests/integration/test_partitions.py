"""Partitioned tables whose rows may belong elsewhere after a restore."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg

from shared.domain.job import JobState
from shared.storage.folder import FolderStorage
from tests.integration.inline_fleet import InlineFleet

# The hash of an enum goes by the oids of its labels, and a restore makes new ones.
SAMPLE = """
    create type mood as enum ('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h');
    create table feeling (mood mood, note text) partition by hash (mood);
    create table feeling_0 partition of feeling for values with (modulus 3, remainder 0);
    create table feeling_1 partition of feeling for values with (modulus 3, remainder 1);
    create table feeling_2 partition of feeling for values with (modulus 3, remainder 2);
    insert into feeling
        select (enum_range(null::mood))[1 + i % 8], repeat(md5(i::text), 30) from generate_series(1, 40000) i;
    create table number (i int) partition by hash (i);
    create table number_0 partition of number for values with (modulus 2, remainder 0);
    create table number_1 partition of number for values with (modulus 2, remainder 1);
    insert into number select generate_series(1, 600000);
"""


def test_rows_partitioned_by_the_hash_of_an_enum_come_back(
    database: Callable[..., str], tmp_path: Path
) -> None:
    source, catalog = database(), database()
    digest = "select sum(hashtextextended(feeling::text, 0)), count(*) from feeling"
    with psycopg.connect(source) as session:
        session.execute(SAMPLE)
        expected = session.execute(digest).fetchone()
    fleet = InlineFleet(source, catalog_url=catalog, storage=FolderStorage(tmp_path))

    manifest = fleet.manifest(fleet.snapshot())
    job = fleet.restore()
    fleet.close()

    assert job.state is JobState.SUCCEEDED, job.error
    assert {(t.name, t.row_count) for t in manifest.tables if t.name.startswith("feel")} == {
        ("feeling", 40000)
    }
    # Numbers hash the same everywhere: their partitions are copied in parts.
    assert {part.spec.table for part in manifest.parts} == {"number_0", "number_1"}
    with psycopg.connect(source) as session:
        assert session.execute(digest).fetchone() == expected
