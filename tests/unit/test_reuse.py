"""Which parts are taken over, decided on paper: any doubt, and a part is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain import reuse
from shared.domain.increments import Base, Increment, Origin, Server, TableState
from shared.domain.manifest import Chunk, Manifest, Part, Properties, Source
from shared.domain.parts import Column, CopyFormat, PartSpec, Table
from shared.domain.proof import Digests
from shared.domain.reuse import Changes, Summary

SERVER = Server(
    system_identifier="7", database_oid=5, timeline=1, started_at=datetime(2026, 11, 22, tzinfo=UTC)
)
STATE = TableState(schema="public", name="t", filenode=90, definition="d")
WIDTH = 10
MIB = 1024 * 1024


def spec(number: int, *, last: int, name: str = "t") -> PartSpec:
    return PartSpec(
        number=number,
        schema="public",
        table=name,
        columns=("n",),
        format=CopyFormat.BINARY,
        first_page=(number - 1) * WIDTH,
        end_page=None if number == last else number * WIDTH,
    )


def part(number: int, *, last: int, digest: str | None = "1") -> Part:
    name = f"{number:064x}"
    chunk = Chunk(sha256=name, raw_bytes=100 + number, stored_bytes=10, stored_sha256=name)
    return Part(
        spec=spec(number, last=last), row_count=number, chunks=(chunk,), digest=digest, origin=Origin.NEW
    )


def manifest(*parts: Part, base: Base | None) -> Manifest:
    return Manifest(
        format=1,
        id="20261122T000000Z-000001",
        database="orders",
        taken_at=SERVER.started_at,
        source=Source(
            system_identifier="7",
            dbname="orders",
            server_version="18.6",
            server_version_num=180006,
            tool_version="18.6",
            encoding="UTF8",
            locale_provider="c",
            collate="C",
            ctype="C",
            locale=None,
            collation_version=None,
        ),
        properties=Properties(owner="o", comment=None, connection_limit=-1, grants=None, settings=()),
        roles=(),
        extensions=(),
        archive=(),
        parts=parts,
        tables=(),
        sequences=(),
        increment=Increment(built_on=None, unchecked=0, base=base),
    )


def base(*tables: TableState) -> Base:
    return Base(server=SERVER, lsn=100, summarized_to=110, chunk_bytes=MIB, tables=tables)


FORMER = manifest(*(part(n, last=4) for n in range(1, 5)), base=base(STATE))


def taken(
    changes: Changes | None = None, *, former: Manifest = FORMER, last: int = 4, now: TableState = STATE
) -> set[int]:
    found = reuse.reusable(
        [spec(n, last=last) for n in range(1, last + 1)],
        base=former,
        now=[now],
        changes={} if changes is None else {90: changes},
        undigested=frozenset(),
    )
    assert {p.origin for p in found.values()} <= {Origin.UNREAD}
    assert all(p.spec.number == number for number, p in found.items())
    return set(found)


def test_what_no_summary_names_is_taken_over() -> None:
    assert taken() == {1, 2, 3, 4}
    assert taken(Changes(ranges=frozenset({1}))) == {1, 3, 4}


def test_a_page_behind_the_last_limit_is_of_the_last_range() -> None:
    assert taken(Changes(ranges=frozenset({3}))) == {1, 2, 3}
    assert taken(Changes(ranges=frozenset({70}))) == {1, 2, 3}


@pytest.mark.parametrize(
    ("limit", "left"), [(0, set()), (10, {1}), (9, set()), (39, {1, 2, 3}), (400, {1, 2, 3})]
)
def test_where_a_file_was_cut_off_nothing_is_known_from_there_on(limit: int, left: set[int]) -> None:
    assert taken(Changes(limit=limit)) == left


def test_a_table_that_grew_keeps_its_ranges_but_the_last() -> None:
    assert taken(last=6) == {1, 2, 3}


@pytest.mark.parametrize(
    "now",
    [
        replace(STATE, filenode=91),
        replace(STATE, definition="other"),
        replace(STATE, name="u"),
    ],
)
def test_a_table_that_is_another_file_or_defined_otherwise_is_read(now: TableState) -> None:
    assert taken(now=now) == set()


def test_a_table_whose_pages_do_not_tell_all_is_read() -> None:
    assert taken(former=manifest(*FORMER.parts, base=base())) == set()


def test_a_snapshot_that_is_no_base_lends_nothing() -> None:
    assert taken(former=manifest(*FORMER.parts, base=None)) == set()
    assert taken(former=replace(FORMER, increment=None)) == set()


@pytest.mark.parametrize(
    ("server", "said"),
    [
        (replace(SERVER, system_identifier="8"), "another server or database"),
        (replace(SERVER, database_oid=6), "another server or database"),
        (replace(SERVER, timeline=2), "another timeline"),
        (replace(SERVER, started_at=SERVER.started_at + timedelta(seconds=1)), "started again"),
    ],
)
def test_another_life_of_the_server_is_an_obstacle(server: Server, said: str) -> None:
    assert reuse.obstacle(FORMER, SERVER) is None
    assert said in str(reuse.obstacle(FORMER, server))


def test_a_part_that_must_have_a_digest_and_has_none_is_read() -> None:
    former = manifest(part(1, last=2, digest=None), part(2, last=2), base=base(STATE))
    assert taken(former=former, last=2) == {2}


def table(bytes_: int) -> Table:
    return Table(
        schema="public",
        name="t",
        is_tree=False,
        columns=(Column(name="n", type_name="pg_catalog.int4"),),
        heap_pages=bytes_ // 8192,
        page_bytes=8192,
        heap_bytes=bytes_,
        toast_bytes=0,
        splittable=True,
    )


@pytest.mark.parametrize(
    ("choice", "megabytes", "without"),
    [
        (Digests.ALL, 1000, set()),
        (Digests.SAMPLE, 20, set()),
        (Digests.SAMPLE, 1000, {2, 3}),
        (Digests.NONE, 20, {1, 2, 3, 4}),
    ],
)
def test_a_digest_may_be_missing_where_a_sample_is_digested(
    choice: Digests, megabytes: int, without: set[int]
) -> None:
    specs = [spec(n, last=4) for n in range(1, 5)]
    tables = [table(megabytes * MIB)]
    assert reuse.without_digest(specs, tables, choice, digestible=[("public", "t")]) == without
    # Of a table whose rows the server cannot digest nobody expects any.
    assert reuse.without_digest(specs, tables, choice, digestible=[]) == {1, 2, 3, 4}


places = st.integers(0, 30)
summaries = st.lists(
    st.builds(
        lambda timeline, start, length: Summary(timeline=timeline, start=start, end=start + length),
        st.integers(1, 2),
        places,
        st.integers(1, 12),
    ),
    max_size=8,
)


@given(summaries, places, st.integers(0, 20))
def test_a_chain_covers_every_place_between_or_there_is_none(
    found: list[Summary], since: int, further: int
) -> None:
    upto = since + further
    way = reuse.chain(found, timeline=1, since=since, upto=upto)
    covered = {place for each in found if each.timeline == 1 for place in range(each.start, each.end)}
    wanted = set(range(since, upto))
    assert (way is not None) == (wanted <= covered)
    if way is not None:
        assert wanted <= {place for each in way for place in range(each.start, each.end)}
        assert {each.timeline for each in way} <= {1}


def test_what_differs_from_what_was_believed_is_found() -> None:
    former = {p.spec.number: p for p in FORMER.parts}
    read = list(FORMER.parts)
    assert reuse.differing(former, read) == ()
    read[1] = replace(read[1], row_count=99)
    read[2] = replace(read[2], chunks=())
    assert [p.spec.number for p in reuse.differing(former, read)] == [2, 3]


def test_a_manifest_of_an_earlier_release_does_not_say_how_it_was_read() -> None:
    assert reuse.how_read(replace(FORMER, increment=None)) is None
    said = reuse.how_read(FORMER)
    assert said is not None
    assert (said.new.parts, said.new.raw_bytes, said.unread.parts, said.is_base) == (4, 410, 0, True)
