"""Jobs of one database at the same time, and snapshots under the hands of others."""

from __future__ import annotations

import random
import threading
from collections.abc import Generator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from embedded.postgres import Postgres
from shared.domain.job import JobState
from tests.e2e.fleet import NAME, RealFleet
from tests.e2e.world import assert_world, properties

WRITERS = 3
TOTAL = 100 * 1000


@pytest.fixture(scope="module")
def real(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Generator[RealFleet]:
    made = RealFleet(catalog_server=postgres, folder=tmp_path_factory.mktemp("fleet"))
    made.with_workers("w1", "w2")
    made.refill()
    yield made
    made.close()


def test_two_snapshots_and_two_restores_at_once_take_turns(real: RealFleet) -> None:
    before, whole = real.content(), properties(real)
    assert real.ended(real.take()).state is JobState.SUCCEEDED
    real.at_rest()

    jobs = [real.take(), real.restore(), real.take(), real.restore()]
    assert [real.ended(job).state for job in jobs] == [JobState.SUCCEEDED] * 4
    real.at_rest()

    # Steps of two jobs of one database never ran at the same time.
    overlaps = text("""
        select count(*)
          from job_step a join job job_a on job_a.id = a.job_id
          join job_step b on b.job_id <> a.job_id join job job_b on job_b.id = b.job_id
         where job_a.database = job_b.database
           and tstzrange(a.started_at, a.finished_at) && tstzrange(b.started_at, b.finished_at)""")
    with real.fleet.catalog.engine.connect() as catalog:
        assert catalog.execute(overlaps).scalar_one() == 0
    assert_world(real, content=[before], properties_before=whole)


@contextmanager
def writing(real: RealFleet) -> Generator[None]:
    """Several sessions move money about, each move in one transaction with its line in `transfer`."""
    done, faults = threading.Event(), list[BaseException]()

    def write(seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - which accounts is no secret
        try:
            with psycopg.connect(real.url(), autocommit=True) as session:
                while not done.is_set():
                    giver, taker = sorted(chance.sample(range(1, 101), 2))
                    amount = chance.randrange(1, 50)
                    with session.transaction():
                        session.execute(
                            "update account set balance = balance - %s where id = %s", [amount, giver]
                        )
                        session.execute(
                            "update account set balance = balance + %s where id = %s", [amount, taker]
                        )
                        session.execute(
                            "insert into transfer (giver, taker, amount) values (%s, %s, %s)",
                            [giver, taker, amount],
                        )
                        session.execute(
                            "update big set salt = 'x' where id = %s", [chance.randrange(1, 60_000)]
                        )
        except psycopg.Error as exc:
            faults.append(exc)

    writers = [threading.Thread(target=write, args=[seed]) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert faults == []


def test_a_snapshot_taken_while_others_write_is_of_one_moment(real: RealFleet) -> None:
    """Money is neither made nor lost, and every account is what its transfers say."""
    real.refill()
    with real.session() as shop:
        shop.execute("truncate transfer")
        shop.execute("update account set balance = 1000")

    with writing(real):
        real.until(lambda: transfers(real, NAME) > 50, "the first transfers")
        taken = real.ended(real.take())
        moved = transfers(real, NAME)
        real.until(lambda: transfers(real, NAME) > moved, "transfers after the snapshot")
    assert taken.state is JobState.SUCCEEDED
    real.at_rest()
    beside = real.ended(real.restore(to="beside"))
    assert beside.state is JobState.SUCCEEDED, beside.error

    with real.session("beside") as session:
        differing = session.execute("""
            select count(*), sum(balance)::bigint, count(*) filter (where balance <> 1000
                - coalesce((select sum(amount) from transfer where giver = account.id), 0)
                + coalesce((select sum(amount) from transfer where taker = account.id), 0))
              from account""").fetchone()
    assert differing == (100, TOTAL, 0)
    assert 50 < transfers(real, "beside") < transfers(real, NAME)
    with real.admin() as admin:
        admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier("beside")))


def transfers(real: RealFleet, name: str) -> int:
    with real.session(name) as session:
        row = session.execute("select count(*) from transfer").fetchone()
    assert row is not None
    return int(row[0])
