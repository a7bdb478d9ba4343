"""Digests of one method are the same in every release, and those of another refute nothing."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from sqlalchemy import text

from shared.domain import manifest
from shared.domain.evidence import METHOD
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import NAME
from tests.integration.test_round_trip import Maker, fill, succeeded

CONTENT = r"""
create table kinds (id int, t text, v varchar(9), b bytea, n numeric, d timestamptz, j jsonb, a text[]);
insert into kinds values
    (1, 'one', 'a"b', '\x00ff', 1.50, '2024-02-29 12:00+02', '{"k": [1]}', array['x', null]),
    (2, null, '', null, 'NaN', 'infinity', 'null', '{}');
"""
DIGEST = {2: "1085040333990870017"}
"""By method. Where this test fails METHOD has to grow: snapshots that were taken before would all be refuted."""


def test_the_digest_of_known_content_belongs_to_its_method(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, CONTENT)
    taken = inline(url)
    [table] = taken.manifest(succeeded(taken.snapshot())).tables
    assert {METHOD: table.digest} == DIGEST


def test_a_snapshot_with_digests_of_another_method_is_proven_by_its_numbers(
    database: Maker, inline: Inline, folder: Path
) -> None:
    url = database()
    fill(url, CONTENT + "select lo_from_bytea(0, 'large')")
    fleet = inline(url)
    found = fleet.manifest(succeeded(fleet.snapshot()))
    assert found.evidence is not None
    objects = replace(found.evidence.large_objects, digest="7")
    other = replace(
        found,
        evidence=replace(found.evidence, method=METHOD - 1, large_objects=objects),
        tables=tuple(replace(table, digest="7") for table in found.tables),
    )
    body = manifest.encode(other)
    (folder / NAME / "snapshots" / found.id / "manifest.json").write_bytes(body)
    with fleet.fleet.catalog.engine.begin() as connection:
        known = {"sha256": hashlib.sha256(body).hexdigest()}
        connection.execute(text("update snapshot set manifest_sha256 = :sha256"), known)
    job = succeeded(fleet.verify(found.id))
    with fleet.fleet.catalog.transaction() as tx:
        [kept] = [each for each in tx.verifications.of_snapshot(found.id) if each.job_id == job.id]
    assert kept.compared["digests"] == 0
    assert kept.compared["notes"] == [
        "content was digested in another way than now, and is not compared; numbers are"
    ]
