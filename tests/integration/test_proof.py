"""Whatever is not as it was when the snapshot was taken is named, and nothing else is."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import psycopg
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain import manifest
from shared.domain.job import Job, JobKind, JobState
from shared.domain.proof import Assertion, Digests
from shared.postgres.dsn import Dsn
from shared.postgres.session import connected
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.inline_fleet import NAME, InlineFleet, refused
from tests.integration.test_round_trip import Maker, fill, rich, succeeded

SAMPLE = """
    create table item (id int primary key, v text, twice int generated always as (id * 2) stored);
    insert into item select n, n::text from generate_series(1, 9) n;
    create table fewer as select * from item;
    create table picture as select id, decode(md5(v), 'hex') as b from item;
    create index item_v on item (v);
    create index item_twice on item (twice);
    create sequence ticket;
    create sequence left_alone;
    select setval('ticket', 40), lo_from_bytea(77, 'a voice'), lo_from_bytea(78, 'another');
    create function three() returns int language sql as 'select 3';
    create function four() returns int language sql as 'select 4';
    alter table item add constraint small check (id < 100), add constraint large check (id < 1000) not valid;
    revoke execute on function three() from public;
    create policy own on item using (true);
    create view seen as select * from item;
    create table big (n int, v text);
    alter table big alter v set storage plain;
    insert into big select n, repeat('x', 7900) || n from generate_series(1, 1200) n;
"""
OTHER_ROWS = "holds other rows than those that were recorded"
TAMPERED = {
    "update item set v = 'x' where id = 3": f"public.item {OTHER_ROWS}",
    "delete from fewer where id = 3": "public.fewer has 8 rows instead of 9",
    "update picture set b = set_byte(b, 3, get_byte(b, 3) # 1) where id = 4": f"public.picture {OTHER_ROWS}",
    "update big set v = v || 'x' where n = 300": f"public.big {OTHER_ROWS} of its pages 256 to 383",
    "select setval('ticket', 39)": "sequence public.ticket is behind, at 39 instead of 40",
    "drop sequence left_alone": "sequence public.left_alone is missing",
    "grant execute on function three() to public": "function public.three() lacks the revocation public EXECUTE",
    "grant select (v) on item to public": "column public.item.v has a grant public SELECT of its own",
    "select lo_put(77, 0, 'b')": "large objects hold other bytes than those that were recorded",
    "drop index item_v": "the number of indexes is 2 instead of 3",
    "drop function four()": "the number of functions is 1 instead of 2",
    "drop policy own on item": "the number of policies is 0 instead of 1",
    "alter table item drop constraint small, add constraint small check (id < 100) not valid": (
        "constraint small on public.item is not validated"
    ),
    "alter table picture set unlogged": "table public.picture has become unlogged",
    "create extension hstore": "extension hstore was not there",
}


def prove(
    fleet: InlineFleet, snapshot_id: str, tampering: str, digests: Digests = Digests.SAMPLE
) -> tuple[str, ...]:
    """The differences that a proof finds once somebody has changed what it restored."""

    def tamper(job: Job, step: str) -> None:
        if step == "prove":
            side = fleet.fleet.dsn(NAME).for_database(str(fleet.step_data(job, "create")["side"]))
            with psycopg.connect(side.conninfo("test"), autocommit=True) as session:
                session.execute(tampering.encode())

    fleet.before = tamper
    job = fleet.verify(snapshot_id, digests=digests)
    with fleet.fleet.catalog.transaction() as tx:
        [kept] = [each for each in tx.verifications.of_snapshot(snapshot_id) if each.job_id == job.id]
    assert kept.matched is (job.state is JobState.SUCCEEDED), job.error
    return kept.differences


def test_every_difference_is_named_and_nothing_else(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, SAMPLE)
    fleet = inline(url, part_bytes=128 * 8192)
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])
    assert prove(fleet, taken, "vacuum (full, freeze, analyze) item") == ()
    assert sorted(prove(fleet, taken, ";".join(TAMPERED))) == sorted(TAMPERED.values())
    assert fleet.snapshots()[0].standing == "refuted"
    unseen = {said for said in TAMPERED.values() if OTHER_ROWS in said or "other bytes" in said}
    counted = prove(fleet, taken, ";".join(TAMPERED), Digests.NONE)
    assert set(counted) == set(TAMPERED.values()) - unseen


def test_a_database_with_something_of_everything_is_proven(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    other = role(postgres)
    url = database()
    rich(postgres, url, other, without=["xml"])
    fleet = inline(url, digests=Digests.ALL)
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])
    assert prove(fleet, taken, "select 1", Digests.ALL) == ()
    with fleet.fleet.catalog.transaction() as tx:
        kept = tx.verifications.newest(NAME)
    assert kept is not None
    assert kept.compared["digests"] > 10


def test_a_schema_public_that_was_dropped_and_made_anew_is_proven(database: Maker, inline: Inline) -> None:
    """It has no privileges then but its owner's, no comment, and that of its restore is another one with the same."""
    url = database()
    fill(url, "drop schema public; create schema public; create table public.t as select 1 as n")
    fleet = inline(url)
    for more in ("select 1", "grant usage on schema public to public", "comment on schema public is 'ours'"):
        fill(url, more)
        succeeded(fleet.verify(str(succeeded(fleet.snapshot()).request["snapshot_id"])))


def test_a_snapshot_from_before_there_was_evidence_is_proven_by_what_it_has(
    database: Maker, inline: Inline, folder: Path
) -> None:
    url = database()
    fill(url, SAMPLE)
    fleet = inline(url, part_bytes=128 * 8192)
    found = fleet.manifest(succeeded(fleet.snapshot()))
    former = replace(
        found,
        evidence=None,
        tables=tuple(replace(table, digest=None) for table in found.tables),
        parts=tuple(replace(part, digest=None) for part in found.parts),
    )
    body = manifest.encode(former)
    (folder / NAME / "snapshots" / found.id / "manifest.json").write_bytes(body)
    with fleet.fleet.catalog.engine.begin() as connection:
        known = {"sha256": hashlib.sha256(body).hexdigest()}
        connection.execute(text("update snapshot set manifest_sha256 = :sha256"), known)
    change = "delete from fewer where id = 3; update item set v = 'x'; select lo_unlink(77)"
    assert prove(fleet, found.id, change) == ("public.fewer has 8 rows instead of 9",)


def test_assertions_of_the_operators_own_must_hold(database: Maker, inline: Inline) -> None:
    url = database()
    fill(url, "create table item as select n from generate_series(1, 9) n")
    name = Dsn.parse(url).dbname
    fill(url, f"alter database {name} set search_path = public")
    asked = {
        "true.sql": "select count(*) = 9 from item",
        "some row is.sql": "select n = 5 from item",
        "false.sql": "select count(*) = 8 from item",
        "null.sql": "select null::boolean",
        "no row.sql": "select true from item where n > 9",
        "no truth.sql": "select 1",
        "broken.sql": "select frm item",
        "two.sql": "rollback; select true",
        "writes.sql": "insert into item values (10) returning true",
    }
    fleet = inline(url, assertions=tuple(Assertion(name=n, sql=query) for n, query in asked.items()))
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])
    found = prove(fleet, taken, "select 1")
    assert [said.split(" cannot")[0].split(" does")[0] for said in found] == [
        f"assertion {name}" for name in list(asked)[2:]
    ]
    assert found[0] == "assertion false.sql does not hold"
    assert "read-only transaction" in found[-1]


def test_what_a_dead_worker_has_left_out_is_not_told_of_the_database_that_is_made_anew(
    database: Maker, inline: Inline
) -> None:
    url = database()
    fill(url, "create table item (n int primary key)")
    fleet = inline(url, assertions=(Assertion(name="stale.sql", sql="select false"),))
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])

    def leave_word(job: Job, step: str) -> None:
        if (job.kind, step) == (JobKind.RESTORE, "build"):
            with fleet.fleet.catalog.engine.begin() as connection:
                noted = text(
                    "update job_step set data = data || '{\"left_out\": [\"x\"]}' where name = 'build'"
                )
                assert connection.execute(noted).rowcount == 1

    fleet.before = leave_word
    job = succeeded(
        fleet.restore(snapshot_id=taken, to=f"{Dsn.parse(url).dbname}_beside", despite_differences=True)
    )
    assert job.result["differences"] == ["assertion stale.sql does not hold"]


def test_what_is_not_proven_can_be_had_beside_the_live_database_and_never_in_its_place(
    database: Maker, inline: Inline
) -> None:
    url = database()
    fill(url, "create table item as select n from generate_series(1, 9) n")
    fleet = inline(url, assertions=(Assertion(name="stale.sql", sql="select false"),))
    taken = str(succeeded(fleet.snapshot()).request["snapshot_id"])
    beside = f"{Dsn.parse(url).dbname}_beside"
    job = succeeded(fleet.restore(snapshot_id=taken, to=beside, despite_differences=True))
    assert job.result["differences"] == ["assertion stale.sql does not hold"]
    with connected(Dsn.parse(url).for_database(beside), application_name="test") as session:
        assert session.execute("select count(*) as n from public.item").fetchone() == {"n": 9}
    with fleet.fleet.catalog.transaction() as tx:
        found = tx.snapshots.get(taken)
    assert found is not None
    assert found.standing == "refuted"
    refused(fleet.restore(snapshot_id=taken, despite_differences=True), "not_proven", "stale.sql")
