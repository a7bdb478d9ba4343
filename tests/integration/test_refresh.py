"""A proof that loads only what has changed: what comes out is what loading everything gives, or it is loaded anew."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind, JobState
from shared.operations.databases import side
from shared.operations.proofs import verify
from shared.postgres.dsn import Dsn
from tests.integration.comparison import assert_same, connect, fingerprint, names
from tests.integration.conftest import Inline, RoleMaker
from tests.integration.inline_fleet import NAME, InlineFleet
from tests.integration.test_majors import not_built_into
from tests.integration.test_round_trip import fill, rich, succeeded
from tests.integration.warm_home import configure, on_server, seen, there, url_of

Maker = Callable[..., str]

SCHEMA = """
    create function wide(n int) returns text immutable language sql
        begin atomic select repeat(md5(n::text), 290); end;
    create table still (id int primary key, v text, other int unique);
    create table moving (id int primary key, v text, up int references moving, still int references still);
    create index on still ((other % 7));
    create index odd on moving (lower(left(v, 9))) where id > 3;
    comment on index odd is 'odd';
    alter table moving add constraint short check (length(v) < 99999) not valid;
    alter table moving cluster on moving_pkey;
    create table few (id serial primary key, moving int references moving on delete cascade);
    comment on constraint few_moving_fkey on few is 'which';
    create table by_range (id int not null, v text, still int references still) partition by range (id);
    create table lower_half partition of by_range for values from (0) to (100);
    create table upper_half partition of by_range for values from (100) to (20000);
    create unique index on by_range (id);
    create function refuse() returns trigger language plpgsql as $$ begin raise 'no'; end $$;
    create trigger refused after insert on moving for each row execute function refuse();
    create trigger always before insert or truncate on few execute function refuse();
    create trigger everywhere before insert on by_range for each row when (new.id < 0) execute function refuse();
    comment on trigger always on few is 'never';
    create materialized view sums as select count(*) n, sum(id) s from moving;
    create unique index on sums (n);
    create materialized view unfilled as select 1 as one with no data;
    create view shown as select still.v from still join moving on still.id = moving.still;
    create unlogged table fast as select 1 as one;
    alter table still alter v set storage external;
    alter table moving alter v set storage external;
    alter table by_range alter v set storage external;
    alter table upper_half alter v set storage external;
    alter table moving disable trigger refused;
    alter table few disable trigger always;
    insert into still select n, wide(n), n from generate_series(1, 910) n;
    insert into moving select n, wide(n), nullif(n - 1, 0), n from generate_series(1, 910) n;
    insert into few (moving) select generate_series(1, 20);
    insert into by_range select n, wide(n), n from generate_series(1, 200) n;
    alter table moving enable always trigger refused;
    alter table few enable trigger always;
    select lo_from_bytea(4711, 'large'), lo_from_bytea(4712, 'larger'), lo_from_bytea(4713, 'largest');
    comment on large object 4711 is 'one of three';
    grant select on large object 4712 to public;
    refresh materialized view sums
"""
CHANGE = """
    alter table moving disable trigger refused;
    update moving set v = 'changed' where id % 500 = 0;
    delete from moving where id > 907;
    alter table moving enable always trigger refused;
    delete from few where id > 15;
    update by_range set v = 'changed' where id = 150;
    select lo_put(4711, 0, 'L'), lo_unlink(4713);
    refresh materialized view unfilled;
    refresh materialized view sums with no data
"""


@pytest.fixture
def url(home: InlineFleet) -> str:
    return url_of(home)


@pytest.fixture
def fleet(home: InlineFleet, url: str) -> InlineFleet:
    """With a warm copy that was loaded whole."""
    configure(home, warm=True, assertions=())
    fill(
        url,
        "select lo_unlink(oid) from pg_largeobject_metadata; drop schema public cascade; create schema public;"
        + SCHEMA,
    )
    home.before = lambda _job, _step: None
    proven(home)
    return home


def proven(fleet: InlineFleet) -> Job:
    """Its newest snapshot, by the proof that follows one."""
    taken = succeeded(fleet.snapshot())
    request = verify.request(str(taken.request["snapshot_id"]), prune_job_id=str(uuid.uuid4()))
    return succeeded(fleet.run(JobKind.VERIFY, request))


def kept(fleet: InlineFleet, proof: Job) -> set[str]:
    """The tables whose parts a proof has not loaded."""
    refreshed = fleet.step_data(proof, "create").get("refresh") or {"kept": {}}
    snapshot = side.manifest_of(fleet.fleet, str(proof.request["snapshot_id"]))
    return {part.spec.table for part in snapshot.parts if str(part.spec.number) in refreshed["kept"]}


def notes(fleet: InlineFleet, proof: Job) -> list[str]:
    with fleet.fleet.catalog.transaction() as tx:
        [verification] = tx.verifications.of_snapshot(str(proof.request["snapshot_id"]))
    return [str(note) for note in verification.compared["notes"]]


def timed(fleet: InlineFleet) -> tuple[object, ...]:
    """What is known of how long a restore takes."""
    with fleet.fleet.catalog.transaction() as tx:
        measured = tx.measures.proofs([NAME])[NAME]
        return (*tx.jobs.restore_durations(NAME), measured.restore_seconds, measured.pace)


def is_whole(fleet: InlineFleet, proof: Job) -> bool:
    """It was begun with a refresh, which was given up."""
    refresh: dict[str, Any] = fleet.step_data(proof, "create")["refresh"]
    return refresh == {}


def assert_comes_back(fleet: InlineFleet, url: str, server: Postgres, before: dict[str, Any]) -> None:
    """What the proof has made becomes the live database, and is what that was."""
    fill(url, "drop schema public cascade; create schema public")
    restored = succeeded(fleet.restore())
    assert restored.result["warm"] is True
    assert_same(fingerprint(server, Dsn.parse(url).dbname), before)


def test_only_what_has_changed_is_loaded_and_all_of_it_is_compared(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    [whole] = there(fleet)
    took = timed(fleet)
    fill(
        url, "insert into by_range select n, wide(n), n % 900 + 1 from generate_series(201, 1110) n;" + CHANGE
    )
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    first = proven(fleet)
    assert kept(fleet, first) == {"still"}
    assert first.result["refreshed_from"] == whole.snapshot_id
    told = f"had not changed since {whole.snapshot_id}, and were not loaded again"
    assert [note for note in notes(fleet, first) if told in note]
    second = proven(fleet)
    assert kept(fleet, second) == {"still", "moving", "upper_half"}, "whatever it was loaded by"
    [copy] = there(fleet)
    assert copy.job_id == second.id
    assert timed(fleet) == took, "how long it takes to load everything"
    by_hand = succeeded(fleet.verify(str(second.request["snapshot_id"])))
    assert kept(fleet, by_hand) == set(), "who asks for a proof gets all of it"
    compared = ("tables", "row_count", "digests")
    assert len({tuple(proof.result[key] for key in compared) for proof in (first, second, by_hand)}) == 1
    assert "parts_kept" not in by_hand.result
    assert_comes_back(fleet, url, postgres, before)


ONE_ROW_LESS_IN_EACH_LARGE_TABLE = """
    do $$ declare t regclass; begin
        for t in select oid from pg_class where relkind = 'r' and relname <> 'wide' and pg_table_size(oid) > 8 << 20 loop
            execute format('delete from only %s where ctid = (select min(ctid) from only %s)', t, t);
        end loop;
    end $$;
    refresh materialized view shop.total
"""


def test_whatever_a_database_may_hold_is_built_again(
    role: RoleMaker, database: Maker, postgres: Postgres, inline: Inline
) -> None:
    other = role(postgres)
    url = database()
    rich(postgres, url, other, without=not_built_into(postgres))
    fleet = inline(url, warm=True)
    proven(fleet)
    fill(url, ONE_ROW_LESS_IN_EACH_LARGE_TABLE)
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    assert kept(fleet, proven(fleet)) == {"wide"}
    assert succeeded(fleet.restore()).result["warm"] is True
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)


def test_twenty_hours_after_the_last_whole_one_it_is_loaded_whole(fleet: InlineFleet) -> None:
    assert kept(fleet, proven(fleet)) == {"still", "moving"}
    with fleet.fleet.catalog.engine.begin() as connection:
        ago = "jsonb_build_object('whole_at', (now() - interval '20 hours')::text)"
        noted = "data ->> 'whole_at' is not null"
        connection.execute(text(f"update job_step set data = data || {ago} where {noted}"))
    assert kept(fleet, proven(fleet)) == set()
    assert kept(fleet, proven(fleet)) == {"still", "moving"}, "and they begin anew"


def test_what_cannot_be_refreshed_is_loaded_whole(fleet: InlineFleet, url: str, postgres: Postgres) -> None:
    for why, change in {
        "another schema": "grant select on still to public;"
        "create view grouped as select id, v from moving group by id",
        "what groups by a table needs its key": "update moving set up = null where id = 9",
        "and is gone": "drop view grouped;"
        "alter table moving add constraint late check (length(v) < 99) not valid",
        "a rule came later than the rows": "delete from moving where id = 910; refresh materialized view sums",
        "what tells of an end is not the end": "comment on function refuse is E'x\n--\n"
        "-- PostgreSQL database dump complete\n--\n'",
        "and what comes after it counts": "create or replace view shown as select still.v || '' as v from still",
    }.items():
        fill(url, change)
        assert is_whole(fleet, proven(fleet)), why
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    assert_comes_back(fleet, url, postgres, before)


def test_what_it_was_made_out_of_says_nothing_of_the_snapshot(fleet: InlineFleet) -> None:
    """Its manifest is gone."""
    [copy] = there(fleet)
    fleet.fleet.repository.delete_manifest(NAME, copy.snapshot_id)
    assert is_whole(fleet, proven(fleet))
    assert kept(fleet, proven(fleet)) == {"still", "moving"}


def test_a_table_whose_rows_hang_on_another_one_is_loaded(fleet: InlineFleet, url: str) -> None:
    """Unchanged itself, it could not be loaded any more: a proof is to find that."""
    fill(
        url,
        "create function known() returns bool language sql begin atomic select min(id) = 1 from few; end;"
        "alter table still add constraint of_known check (known() or id < 0)",
    )
    proven(fleet)
    assert kept(fleet, proven(fleet)) == {"moving"}
    fill(url, "delete from few where id = 1")
    taken = succeeded(fleet.snapshot())
    request = verify.request(str(taken.request["snapshot_id"]), prune_job_id=str(uuid.uuid4()))
    failed = fleet.run(JobKind.VERIFY, request)
    assert failed.state is JobState.FAILED
    assert failed.error is not None
    assert 'violates check constraint "of_known"' in str(failed.error["message"])


def test_a_difference_in_what_was_refreshed_says_nothing_of_the_snapshot(
    fleet: InlineFleet, url: str
) -> None:
    """Whoever was in it: the proof loads everything, and finds that the snapshot is good."""
    spoilt = list[str]()

    def spoil(job: Job, step: str) -> None:
        if step == "prove" and not spoilt:
            spoilt.append(str(fleet.step_data(job, "create")["side"]))
            on_server(url, "update still set v = 'spoilt' where id = 5", spoilt[0])

    fleet.before = spoil
    fill(url, CHANGE)
    proof = proven(fleet)
    assert len(spoilt) == 1
    assert is_whole(fleet, proof)
    newest = fleet.snapshots()[0]
    assert (newest.id, newest.refuted_at) == (proof.request["snapshot_id"], None)
    assert "parts_kept" not in proof.result


def test_a_restore_does_not_wait_for_a_proof_that_copies_its_copy(
    fleet: InlineFleet, url: str, postgres: Postgres
) -> None:
    """The server copies nothing while its checkpointer sleeps, and holds what it copies."""
    [copy] = there(fleet)
    assert seen(fleet).warm == copy
    name = f"snapfleet_side_{uuid.uuid4().hex[:12]}_1"
    with connect(postgres, "postgres") as admin, psycopg.connect(url, autocommit=True) as copying:
        query = "select pid from pg_stat_activity where backend_type = 'checkpointer'"
        [(checkpointer,)] = admin.execute(query).fetchall()
        os.kill(checkpointer, signal.SIGSTOP)
        try:
            statement = f"create database {name} template {copy.name} strategy file_copy"
            thread = threading.Thread(target=refused, args=(copying, statement))
            thread.start()
            holding = "select count(*) from pg_locks where objid = %s and locktype = 'object' and granted"
            deadline = time.monotonic() + 20
            while admin.execute(holding, [copy.oid]).fetchall() == [(0,)]:
                assert time.monotonic() < deadline, "nobody copies it"
                time.sleep(0.02)
            assert succeeded(fleet.restore()).result["warm"] is True
            thread.join(20)
            assert not thread.is_alive()
        finally:
            os.kill(checkpointer, signal.SIGCONT)
    assert name not in names(postgres)


def refused(session: psycopg.Connection[Any], statement: str) -> None:
    with suppress(psycopg.OperationalError):
        session.execute(statement.encode())
