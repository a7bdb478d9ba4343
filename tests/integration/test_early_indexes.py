"""Indexes of large tables are built while others are still loaded, once each; nothing is lost where they cannot."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from embedded.postgres import Postgres
from shared.domain.job import Job, JobKind
from shared.errors import Refused
from shared.operations.databases import indexing, side
from shared.operations.jobs import hands
from shared.postgres import early, loading
from shared.postgres.dsn import Dsn
from shared.postgres.early import Early
from shared.postgres.session import Session, connected
from tests.integration.comparison import assert_same, fingerprint
from tests.integration.conftest import Inline
from tests.integration.inline_fleet import InlineFleet
from tests.integration.test_round_trip import Maker, fill, succeeded

LARGE = """
    create table "Large one" (n bigint primary key, "Wörd" text not null, filler text, unique (n, "Wörd"));
    alter table "Large one" alter filler set storage plain;
    create index "by Wörd" on "Large one" (upper("Wörd")) where "Wörd" <> E'\\n-- Name: no;\\n';
    insert into "Large one" select n, md5(n::text), repeat('x', 900) from generate_series(1, 10000) n;
    create table small (n bigint primary key references "Large one");
    insert into small select generate_series(1, 10);
    comment on index "by Wörd" is E'of an index;\\n-- Name: no;\\n\\\\restrict no\\n';
    comment on constraint "Large one_n_Wörd_key" on "Large one" is 'of a key';
    comment on index "Large one_pkey" is 'of the index of a key';
"""
THROUGH_A_VIEW = """
    create view one as select 1 as more;
    create function with_more(n bigint) returns bigint immutable language plpgsql
        as 'begin return n + (select more from public.one); end';
    create index "through a view" on "Large one" (with_more(n));
"""
"""Our own sessions read no views of others, those of pg_restore do."""


def early_indexes(fleet: InlineFleet, url: str) -> set[str]:
    """Restore the newest snapshot; which indexes the large table had just before `build`."""
    seen = set[str]()

    def look(job: Job, step: str) -> None:
        if (job.kind, step) == (JobKind.RESTORE, "build"):
            beside = Dsn.parse(url).for_database(str(fleet.step_data(job, "create")["side"]))
            with connected(beside, application_name="test") as session:
                query = (
                    "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid"
                    " where i.indrelid = 'public.\"Large one\"'::regclass and i.indisvalid"
                )
                seen.update(str(row["relname"]) for row in session.execute(query))

    fleet.before = look
    succeeded(fleet.restore())
    return seen


@pytest.fixture
def session(database: Maker) -> Generator[Session]:
    url = database()
    fill(url, "create table t (n int)")
    with connected(Dsn.parse(url), application_name="test") as session:
        loading.prepare(session)
        yield session


def has_index(session: Session) -> bool:
    found = session.execute("select to_regclass('public.i') is not null as there").fetchone()
    return bool(found and found["there"])


def test_indexes_and_keys_of_a_large_table_are_built_in_the_load(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, LARGE)
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    assert early_indexes(fleet, url) == {"Large one_pkey", "Large one_n_Wörd_key", "by Wörd"}
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)


def test_an_index_that_cannot_be_built_early_is_there_in_the_end(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    fill(url, LARGE + THROUGH_A_VIEW)
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    fleet = inline(url)
    succeeded(fleet.snapshot())
    assert "through a view" not in early_indexes(fleet, url)
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)


def test_an_archive_that_is_loaded_in_several_sessions_comes_back(
    database: Maker, postgres: Postgres, inline: Inline
) -> None:
    url = database()
    for name in "abc":
        fill(
            url,
            f"create table {name} as select n, repeat(md5(n::text), 100) as v from generate_series(1, 1100) n",
        )
    fill(url, "select lo_from_bytea(0, 'object'); create sequence s; select nextval('s')")
    before = fingerprint(postgres, Dsn.parse(url).dbname)
    fleet = inline(url)
    manifest = fleet.manifest(succeeded(fleet.snapshot()))
    assert sum(chunk.raw_bytes for chunk in manifest.archive) > side.LARGE_ARCHIVE_BYTES
    succeeded(fleet.restore())
    assert_same(fingerprint(postgres, Dsn.parse(url).dbname), before)


def test_a_unit_delivered_twice_is_done_once(session: Session) -> None:
    script = b"create index i on public.t (n)"
    for _ in range(2):  # a second index of that name would be refused
        assert early.build(session, 7, script, encoding="UTF8", while_running=lambda: None)
    assert has_index(session)


def test_what_is_refused_leaves_neither_an_index_nor_a_mark(session: Session) -> None:
    script = b"create index i on public.t (n); create index j on public.t (no_such_column)"
    assert not early.build(session, 7, script, encoding="UTF8", while_running=lambda: None)
    assert not has_index(session)
    assert early.build(session, 7, b"select 1", encoding="UTF8", while_running=lambda: None)


def test_a_long_build_is_ended_when_the_work_is_not_wanted_any_more(session: Session) -> None:
    def stop() -> None:
        raise Refused("cancelled", code="cancelled")

    with pytest.raises(Refused, match="cancelled"):
        early.build(
            session,
            7,
            b"create index i on public.t (n); select pg_sleep(60)",
            encoding="UTF8",
            while_running=stop,
        )
    assert not has_index(session)


def test_a_hand_stays_for_units_that_wait_for_the_parts_of_others(database: Maker, inline: Inline) -> None:
    fleet = inline(database())
    job = fleet.submit(JobKind.SNAPSHOT, {})
    with fleet.fleet.catalog.transaction() as tx:
        tx.parts.plan(job.id, epoch=job.epoch, parts=[(1, {}, 1), (2, {"after": [(1, 1)]}, 0)])
        assert tx.parts.take(job.id, epoch=job.epoch, owner="other", ttl=timedelta(minutes=1))
    with ThreadPoolExecutor(1) as threads:
        hand = threads.submit(hands.help_out, fleet.fleet, job, lambda _: {})
        with pytest.raises(TimeoutError):
            hand.result(6 * hands.POLL_SECONDS)
        with fleet.fleet.catalog.transaction() as tx:
            assert tx.parts.finish(job.id, epoch=job.epoch, number=1, owner="other", done_bytes=1, result={})
        assert hand.result(20) == 1


def test_indexes_wait_for_the_keys_of_their_table_and_the_largest_table_comes_first() -> None:
    def one(table: str, *, has_constraints: bool) -> Early:
        return Early(
            table=("s", table), ids=(1,), has_constraints=has_constraints, script=b"", encoding="UTF8"
        )

    spans = {("s", "large"): (1, 9), ("s", "less"): (10, 12)}
    found = [
        one("large", has_constraints=True),
        one("large", has_constraints=False),
        one("less", has_constraints=False),
    ]
    planned = [(number, dict(what)["after"]) for number, what, _ in indexing.units(found, spans)]
    first = indexing.FIRST_NUMBER
    assert planned == [
        (first, [(1, 9)]),
        (first + 1, [(1, 9), (first, first)]),
        (first + 2, [(10, 12)]),
    ]
