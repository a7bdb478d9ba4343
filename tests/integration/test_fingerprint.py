"""The demo believes its fingerprint; so every kind of damage must change it, and nothing else may."""

from __future__ import annotations

from collections.abc import Generator

import psycopg
import pytest

from embedded import fingerprint
from embedded.postgres import Postgres
from tests.integration.sample import sample

DAMAGE = {
    "update journal.thought set state = state || '{\"depth\": -1}' where id = 1000": {"journal.thought"},
    "insert into journal.signal select * from journal.signal limit 1": {"journal.signal"},
    "truncate journal.moment_2026q1": {"journal.moment_2026q1"},
    "update journal.dream set lucid = 0 where lucid = 'NaN'": {"journal.dream"},
    "select nextval('journal.heartbeat')": {"position of journal.heartbeat"},
    "select lowrite(lo_open(4242, 131072), 'x')": {"large object 4242"},
    "select lo_unlink(4242)": {"large object 4242", "grants", "comments"},
    "alter database journal reset search_path": {"settings"},
    "comment on database journal is 'mine'": {"database"},
    "revoke select on journal.moment from journal_reader": {"grants"},
    "revoke update (temper) on journal.mind from journal_reader": {"grants"},
    "revoke connect on database journal from journal_reader": {"grants"},
    "alter default privileges in schema journal revoke select on tables from journal_reader": {"grants"},
    "comment on column journal.thought.follows is null": {"comments"},
    "alter type journal.mood rename value 'calm' to 'quiet'": {
        *("types", "columns", "journal.mind", "journal.thought", "journal.mood_by_day"),
    },
    "alter domain journal.intensity add check (value <> 2)": {"constraints"},
    "alter table journal.mind alter name drop not null": {"columns", "constraints"},
    "alter table journal.mind alter temper set default '{awed}'": {"columns"},
    "alter table journal.thought drop constraint said": {"constraints"},
    "drop index journal.thought_focus": {"relations", "indexes"},
    "drop trigger stamped on journal.mind": {"triggers"},
    "drop policy own_dreams on journal.dream": {"policies"},
    "drop statistics journal.mind_and_mood": {"statistics"},
    "alter sequence journal.heartbeat no cycle": {"sequences"},
    "alter function journal.stamp() security definer": {"functions"},
    "refresh materialized view journal.mood_by_day with no data": {"relations", "journal.mood_by_day"},
    "drop view journal.waking": {"relations", "columns", "views", "grants"},
}


@pytest.fixture(scope="module")
def owner(postgres: Postgres) -> Generator[str]:
    with sample(postgres, thoughts=300) as dsn:
        yield dsn


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_differs_and_nothing_else(owner: str, damage: str) -> None:
    with psycopg.connect(owner) as session:
        before = fingerprint.read(session)
        session.execute(damage)
        after = fingerprint.read(session)
        session.rollback()
    assert set(before.differences(after)) == DAMAGE[damage]
    assert str(before) != str(after)


def test_an_update_that_changes_nothing_but_the_order_of_the_rows_is_no_difference(owner: str) -> None:
    with psycopg.connect(owner) as session:
        before = fingerprint.read(session)
        session.execute("update journal.thought set body = body where id % 3 = 0")
        after = fingerprint.read(session)
        session.rollback()
    assert before.differences(after) == ()


def test_it_does_not_depend_on_the_settings_of_the_database_or_on_who_looks(
    owner: str, postgres: Postgres
) -> None:
    before = fingerprint.take(owner)
    settings = "set timezone = 'Asia/Tokyo'; set datestyle = 'SQL'; set extra_float_digits = -3"
    with psycopg.connect(postgres.dsn("journal")) as session:
        session.execute(settings + "; set intervalstyle = 'iso_8601'; set bytea_output = 'escape'")
        assert before.differences(fingerprint.read(session)) == ()
