"""A snapshot that is built on an earlier one reads what changed, and is the same as one that read everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
import pytest

from cli import records
from cli import snapshots as cli
from embedded.postgres import Postgres
from shared.domain.increments import Origin
from shared.domain.job import JobState
from shared.domain.manifest import Manifest
from shared.postgres.dsn import Dsn
from shared.storage.memory import MemoryStorage
from shared.storage.mirror import MirrorStorage
from shared.storage.repository import chunk_key
from tests.incremental.rights import allow_summaries
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet

Maker = Callable[..., str]

PARTS = 10
PAGES = 128
# One row fills one page, and a part has as many pages as it has rows. Not even the analyzing of autovacuum looks at them.
TABLE = f"""
    create table t (n int primary key, v text) with (autovacuum_enabled = off);
    alter table t alter v set storage plain;
    insert into t select n, repeat('x', 7900) || n from generate_series(1, {PARTS * PAGES}) n;
"""


def may_summarize(server: Postgres, url: str) -> None:
    dsn = Dsn.parse(url)
    with psycopg.connect(server.dsn(dsn.dbname), autocommit=True) as admin:
        allow_summaries(admin, dsn.user)


def run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements:
            session.execute(statement.encode())


def sealed(fleet: InlineFleet) -> Manifest:
    job = fleet.snapshot()
    assert job.state is JobState.SUCCEEDED, job.error
    return fleet.manifest(job)


def origins(manifest: Manifest) -> Mapping[Origin | None, int]:
    return Counter(part.origin for part in manifest.parts)


def ready(server: Postgres, database: Maker, inline: Inline, **settings: Any) -> tuple[str, InlineFleet]:
    """A table of `PARTS` parts whose pages nobody has a reason to touch, and a fleet with the rights."""
    url = database(server)
    may_summarize(server, url)
    # Who reads a row first notes on its page that it is there to stay. Vacuum does it for all, once the log is written.
    run(url, "set synchronous_commit = on", TABLE, "vacuum t")
    return url, inline(url, **({"part_bytes": PAGES * 8192} | settings))


def test_an_unchanged_table_is_not_read(database: Maker, postgres: Postgres, inline: Inline) -> None:
    _, fleet = ready(postgres, database, inline)
    first, second, third = sealed(fleet), sealed(fleet), sealed(fleet)
    assert [origins(m) for m in (first, second, third)] == [
        {Origin.NEW: PARTS},
        {Origin.UNREAD: PARTS},
        {Origin.UNREAD: PARTS},
    ]
    assert second.parts == third.parts == first.parts
    shown, *_ = (records.snapshot(each) for each in fleet.snapshots() if each.id == second.id)
    raw_bytes = sum(chunk.raw_bytes for part in second.parts for chunk in part.chunks)
    assert shown["how_read"]["unread"] == {"parts": PARTS, "raw_bytes": raw_bytes}
    assert (shown["how_read"]["known"]["parts"], shown["how_read"]["new"]["parts"]) == (0, 0)
    assert second.increment is not None
    assert (second.increment.built_on, second.increment.reason) == (first.id, None)
    assert second.tables == first.tables
    assert {(t.name, t.row_count) for t in second.tables} == {("t", PARTS * PAGES)}


def test_people_are_told_what_was_read_and_why(database: Maker, postgres: Postgres, inline: Inline) -> None:
    url = database(postgres)
    run(url, TABLE)
    fleet = inline(url, part_bytes=PAGES * 8192)
    sealed(fleet)
    told = cli.how_read(fleet.snapshots()[0].how_read)
    assert told["parts"] == f"{PARTS} parts (10 MB) read and stored anew"
    assert told["read whole"] == "the role may not ask for a checkpoint"
    assert told["not built on"] is None


def test_a_server_of_17_need_not_be_read_either(
    database: Maker, postgres17: Postgres, inline: Inline
) -> None:
    _, fleet = ready(postgres17, database, inline)
    first, second = sealed(fleet), sealed(fleet)
    assert origins(second) == {Origin.UNREAD: PARTS}
    assert first.parts == second.parts


def test_a_server_of_17_tells_of_pages_that_were_cut_off(
    database: Maker, postgres17: Postgres, inline: Inline
) -> None:
    """Of these its summaries tell by the new length alone."""
    url, fleet = ready(postgres17, database, inline)
    sealed(fleet)
    run(url, f"delete from t where n > {PARTS * PAGES - 100}", "vacuum t")
    cut = sealed(fleet)
    assert [part.origin for part in cut.parts] == [Origin.UNREAD] * (PARTS - 1) + [Origin.NEW]
    assert cut.row_count == PARTS * PAGES - 100


def test_a_server_without_summaries_is_read(database: Maker, postgres15: Postgres, inline: Inline) -> None:
    url = database(postgres15)
    run(url, TABLE)
    fleet = inline(url, part_bytes=PAGES * 8192)
    first, second = sealed(fleet), sealed(fleet)
    assert origins(second) == {Origin.KNOWN: PARTS}
    assert first.parts == second.parts
    assert second.increment is not None
    assert second.increment.reason == "PostgreSQL 15 keeps no summaries of its log"


def test_of_a_table_with_one_changed_corner_one_part_is_read(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url, fleet = ready(postgres, database, inline)
    first = sealed(fleet)
    # Too long for its page, a row that was changed would go to the end of the table.
    run(url, f"delete from t where n = {3 * PAGES + 1}")
    second = sealed(fleet)
    assert {part.spec.number: part.origin for part in second.parts} == {
        number: Origin.NEW if number == 4 else Origin.UNREAD for number in range(1, PARTS + 1)
    }
    changed = [
        (a.row_count, b.row_count)
        for a, b in zip(first.parts, second.parts, strict=True)
        if a.chunks != b.chunks
    ]
    assert changed == [(PAGES, PAGES - 1)]
    assert second.row_count == PARTS * PAGES - 1


def test_of_a_table_that_grew_only_the_end_is_read(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url, fleet = ready(postgres, database, inline)
    sealed(fleet)
    run(
        url,
        f"insert into t select n, repeat('x', 7900) || n from generate_series({PARTS * PAGES + 1}, {PARTS * PAGES + 10}) n",
    )
    grown = sealed(fleet)
    assert [part.origin for part in grown.parts] == [Origin.UNREAD] * (PARTS - 1) + [Origin.KNOWN, Origin.NEW]
    assert grown.row_count == PARTS * PAGES + 10


@pytest.mark.parametrize("loser", [0, 1])
def test_what_one_side_of_a_mirror_has_lost_of_an_unread_part_is_in_both_again(
    database: Maker, postgres: Postgres, inline: Inline, loser: int
) -> None:
    sides = MemoryStorage(), MemoryStorage()
    _, fleet = ready(postgres, database, inline, storage=MirrorStorage(first=sides[0], second=sides[1]))
    key = chunk_key(NAME, sealed(fleet).parts[1].chunks[0].sha256)
    sides[loser].delete(key)
    assert origins(sealed(fleet)) == {Origin.UNREAD: PARTS - 1, Origin.NEW: 1}
    assert sides[0].get(key) == sides[1].get(key)
