"""Digests of one method are the same in every release and on every server, and those of an unknown one refute nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from shared.domain import manifest
from shared.domain.evidence import KNOWN_METHODS, METHOD
from shared.domain.job import Job
from shared.domain.manifest import Manifest
from shared.postgres import digests, inspection
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected, consistent
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_round_trip import Maker, fill, succeeded

CONTENT = r"""
create table kinds (id int, t text, v varchar(9), b bytea, n numeric, d timestamptz, j jsonb, a text[]);
insert into kinds values
    (1, 'one', 'a"b', '\x00ff', 1.50, '2024-02-29 12:00+02', '{"k": [1]}', array['x', null]),
    (2, null, '', null, 'NaN', 'infinity', 'null', '{}');
create table more (a bool, b int2, c int4, d int8, e oid, f float4, g float8, h numeric, i uuid, j date,
    k timestamp, l timestamptz, o json, p jsonb, r bpchar(3), s interval, t int4[], u inet, "ÿ ""v" timetz);
insert into more values
    (true, -1, -2, -3, 4, -0.5, 1e-300, -1.50, '00000000-0000-0000-0000-0000000000ff', '2024-02-29',
     '2024-02-29 12:00', '2024-02-29 12:00+02', '{"k": [1, 1.0]}', '{"k": [-1, 1.0]}', 'c',
     '1 month 2 days', '{{1},{2}}', '::1', '12:00+02'),
    (false, 0, 0, 0, 0, '-0', 'NaN', 'NaN', null, 'infinity', 'infinity', '-infinity', '1', 'null', '', '0',
     '{}', '10.0.0.0/8', null),
    (null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null);
"""
DIGESTS = {
    2: {"kinds": "1085040333990870017", "more": "8831219632439087"},
    3: {"kinds": "2277394024320154542", "more": "15420063840335019430"},
}
"""By method. Where this test fails METHOD has to grow: snapshots that were taken before would all be refuted."""

TOLD_APART = (
    ("bool", "false", "null"),
    ("int4", "0", "null"),
    ("int8", "-1", "4294967295"),
    ("int8", "1", "4294967296"),
    ("float4", "'-0'", "0"),
    ("float8", "'-0'", "0"),
    ("float8", "'NaN'", "'Infinity'"),
    ("numeric", "1.5", "1.50"),
    ("numeric", "-1", "1"),
    ("numeric", "'NaN'", "'-Infinity'"),
    ("numeric", "'Infinity'", "'-Infinity'"),
    ("date", "'infinity'", "'-infinity'"),
    ("timestamptz", "'infinity'", "'-infinity'"),
    ("timestamptz", "'2026-11-23 12:00+00'", "'2026-11-23 12:00+02'"),
    ("timestamp", "'2026-11-23 12:00:00.000001'", "'2026-11-23 12:00'"),
    ("interval", "'1 month'", "'30 days'"),
    ("timetz", "'12:00+00'", "'13:00+01'"),
    ("text", "''", "null"),
    ("bpchar", "'a'", "'a '"),
    ("varchar", "'a'", "'a '"),
    ("bytea", "''", "null"),
    ("json", "'1'", "' 1'"),
    ("jsonb", "'{\"a\": 1}'", "'{\"a\": -1}'"),
    ("jsonb", "'1'", "'1.0'"),
    ("int4[]", "'{1,2}'", "'{{1},{2}}'"),
    ("inet", "'10.0.0.0'", "'10.0.0.0/8'"),
)
"""Values of one type that are not the same, though the type itself may take them for equal, or hash them alike."""


def tables(url: str, *, method: int = METHOD) -> dict[str, str | None]:
    """The digest of each table."""
    with connected(Dsn.parse(url), application_name="test") as session, consistent(session):
        known = digests.expressions(session, method=method)
        return {each.name: each.digest for each in digests.count(session, inspection.tables(session), known)}


@pytest.mark.parametrize("server", ["postgres", "postgres17", "postgres15"])
def test_the_digest_of_known_content_belongs_to_its_method(
    database: Maker, server: str, request: pytest.FixtureRequest
) -> None:
    url = database(request.getfixturevalue(server))
    fill(url, CONTENT)
    assert {method: tables(url, method=method) for method in KNOWN_METHODS} == DIGESTS


def test_values_that_differ_have_other_digests(database: Maker) -> None:
    url = database()
    sides = ("a", "b")
    fill(
        url,
        "".join(
            f"create table {side}{number} as select {value}::{type_name} as v;"
            for number, (type_name, *values) in enumerate(TOLD_APART)
            for side, value in zip(sides, values, strict=True)
        ),
    )
    found = tables(url)
    assert [
        pair for number, pair in enumerate(TOLD_APART) if found[f"a{number}"] == found[f"b{number}"]
    ] == []


def test_values_in_another_row_or_column_have_another_digest(database: Maker) -> None:
    rows = (
        "(1,2),(3,4)",
        "(1,4),(3,2)",
        "(2,1),(3,4)",
        "(1,2),(3,null)",
        "(1,2),(null,3)",
        "(1,2),(null,null)",
    )
    url = database()
    fill(
        url,
        "".join(
            f"create table t{n} (x int8, y int8); insert into t{n} values {each};"
            for n, each in enumerate(rows)
        ),
    )
    found = tables(url)
    assert len(set(found.values())) == len(rows)


def test_a_table_has_a_digest_however_many_columns_it_has(database: Maker) -> None:
    url = database()
    columns = ", ".join(f"c{n} {'int' if n % 2 else 'interval'}" for n in range(1, 1601))
    fill(url, f"create table wide ({columns}); insert into wide (c1600) values ('1 day')")
    assert tables(url)["wide"] not in {None, "0"}


def as_if_recorded(fleet: InlineFleet, folder: Path, other: Manifest) -> None:
    """What is stored and known of a snapshot becomes this."""
    body = manifest.encode(other)
    (folder / NAME / "snapshots" / other.id / "manifest.json").write_bytes(body)
    with fleet.fleet.catalog.engine.begin() as connection:
        known = {"sha256": hashlib.sha256(body).hexdigest()}
        connection.execute(text("update snapshot set manifest_sha256 = :sha256"), known)


def recorded_by(found: Manifest, method: int, **of_table: str) -> Manifest:
    assert found.evidence is not None
    objects = (
        replace(found.evidence.large_objects, digest="7")
        if method not in KNOWN_METHODS
        else found.evidence.large_objects
    )
    return replace(
        found,
        evidence=replace(found.evidence, method=method, large_objects=objects),
        tables=tuple(replace(table, digest=of_table[table.name]) for table in found.tables),
    )


def test_a_snapshot_with_digests_of_an_unknown_method_is_proven_by_its_numbers(
    database: Maker, inline: Inline, folder: Path
) -> None:
    url = database()
    fill(url, CONTENT + "select lo_from_bytea(0, 'large')")
    fleet = inline(url)
    found = fleet.manifest(succeeded(fleet.snapshot()))
    as_if_recorded(fleet, folder, recorded_by(found, METHOD + 1, kinds="7", more="7"))
    kept = compared(fleet, succeeded(fleet.verify(found.id)))
    assert kept["digests"] == 0
    assert kept["notes"] == [
        "content was digested in a way that is not known here, and is not compared; numbers are"
    ]


def test_a_snapshot_of_a_former_release_is_proven_by_its_own_digests(
    database: Maker, inline: Inline, folder: Path
) -> None:
    url = database()
    fill(url, CONTENT)
    fleet = inline(url)
    found = fleet.manifest(succeeded(fleet.snapshot()))
    as_if_recorded(fleet, folder, recorded_by(found, 2, **DIGESTS[2]))
    kept = compared(fleet, succeeded(fleet.verify(found.id)))
    assert (kept["digests"], kept["notes"]) == (2, [])
    as_if_recorded(fleet, folder, recorded_by(found, 2, **DIGESTS[2] | {"kinds": "7"}))
    refuted = fleet.verify(found.id)
    assert refuted.error is not None
    assert refuted.error["code"] == "not_proven"


def compared(fleet: InlineFleet, job: Job) -> dict[str, object]:
    snapshot_id = str(job.request["snapshot_id"])
    with fleet.fleet.catalog.transaction() as tx:
        [kept] = [each for each in tx.verifications.of_snapshot(snapshot_id) if each.job_id == job.id]
    return dict(kept.compared)
